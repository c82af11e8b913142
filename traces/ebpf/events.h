/* SPDX-License-Identifier: MIT */
/*
 * Events of the recorder: what its kernel side tells, byte by byte.
 *
 *     kernel ─▶ ring ─▶ spool ─▶ events_import.c ─▶ events_args.c ─▶ import_calls.c
 *     record.bpf.c     record.c   whose, when        a struct tdw_call
 *
 * Each event begins with the same head and is as long as it says, a multiple of eight bytes. A
 * system call is one event, written when it ends, with its times, registers and result; what its
 * pointers led to follows as *fields*: raw bytes, as the kernel has them, taken apart only when the
 * recording is made into a file. What a descriptor stands for is told once, by an event of its own
 * with a number, and calls name the number.
 *
 * Included by the kernel side too: only types that vmlinux.h and <linux/types.h> both have.
 */
#ifndef TDW_TRACES_EVENTS_H
#define TDW_TRACES_EVENTS_H

enum tdw__event_kind {
    TDW__EV_BEGAN = 1, /* first: offset of wall time from the events' clock */
    TDW__EV_CALL,
    TDW__EV_BEFORE, /* fields of this thread's next call, read when it began */
    TDW__EV_WORDS,  /* what a descriptor's number stands for */
    TDW__EV_FORK,
    TDW__EV_THREAD, /* it was there when the recording began */
    TDW__EV_ENDED,
    TDW__EV_SIGNAL,
    TDW__EV_SUPERSEDED, /* the leader's, by the thread that calls exec */
    TDW__EV_FD,         /* a descriptor that was open when the recording began */
    TDW__EV_LOST,       /* last: the recorder's own count of what it lost */
};

enum {
    TDW__EV_WORDS_MAX = 2,  /* descriptors of a call whose words are told */
    TDW__EV_NR_OTHER = 511, /* a system call by another table of numbers */
    TDW__EV_NRS = 512,      /* numbers from here on are not known */
    TDW__EV_FIELD_MAX = 16384,
    TDW__EV_PATH_MAX = 4096,
    TDW__EV_PARTS_MAX = 64, /* names of a path */
};

struct tdw__event {
    __u16 kind;  /* enum tdw__event_kind */
    __u16 nr;    /* of the system call; of a signal */
    __u32 bytes; /* of the whole event */
    __u32 tid;   /* whose */
    __u32 other; /* fork: the child; thread, ended: the process; signal: who sent it */
    __u64 at_ns; /* a call: when it began; BEGAN: what is to be added to get a Unix time */
};

enum tdw__event_bits {
    TDW__EV_NO_RESULT = 1, /* the thread ended, or the recording, before the call did */
    TDW__EV_CUT = 2,       /* there was more than fitted */
};

struct tdw__event_call {
    struct tdw__event head;
    __u64 end_ns;
    __s64 result;
    __u64 arg[6];
    __u32
        words[TDW__EV_WORDS_MAX]; /* of its descriptors and directories, in their order; 0: none */
    __u32 result_words;
    __u32 lost;      /* calls of this thread before it that found no room in the ring */
    __u32 began_tid; /* another number than `tid` if a thread became its leader by exec */
    __u16 bits;      /* enum tdw__event_bits */
    __u16 unused;
    /* fields */
};

/* A field: its head, so many bytes, and zeros up to a multiple of eight. */
struct tdw__event_field {
    __u8 arg;    /* which argument's */
    __u8 letter; /* how to read it: that of the table (syscalls.h), or below */
    __u16 bytes;
    __u32 number; /* several messages: which one */
};

enum {
    TDW__EV_CLONE3 = 'C',  /* clone3's structure */
    TDW__EV_CONTROL = 'z', /* a message's control bytes */
};

struct tdw__event_words {
    struct tdw__event head;
    __u32 id, mode, rdev, bits;
    __u64 ino, magic, peer_ino;
    __u16 family, state, port, peer_port; /* ports in host order */
    __u8 here[16], there[16];             /* addresses */
    __u16 name_bytes;                     /* of a unix socket's address, with its family */
    __u16 path_bytes;
    __u32 unused;
    __u8 name[112];
    /* path: names from the last one up, each with a zero byte */
};

enum tdw__event_words_bits {
    TDW__EV_DELETED = 1,
    TDW__EV_PATH_CUT = 2,
};

struct tdw__event_ended {
    struct tdw__event head;
    __s32 code; /* as wait tells it */
    __u32 lost; /* calls of this thread after its last event */
};

struct tdw__event_fd {
    struct tdw__event head;
    __s32 fd;
    __u32 flags;
    __u64 offset;
    /* text: what /proc says it is, with a zero byte */
};

struct tdw__event_lost {
    struct tdw__event head;
    __u64 calls, others; /* others: events that are no calls */
};

/* What the kernel side does for a system call: made from the table. */
struct tdw__event_plan {
    __u8 letter[6];
    __u8 bits;
    __u8 words; /* where its descriptors are: the first and second argument + 1, four bits each */
};

enum tdw__event_plan_bits {
    TDW__PLAN_WORDS = 1,  /* has descriptors */
    TDW__PLAN_FIELDS = 2, /* has pointers that are followed when it ends */
    TDW__PLAN_BEFORE = 4, /* … when it begins */
    TDW__PLAN_RESULT = 8, /* the result is a descriptor */
    TDW__PLAN_FCNTL = 16, /* … for some commands */
};

#endif
