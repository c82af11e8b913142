/* SPDX-License-Identifier: MIT */
/*
 * The gate: may an op start at all, and as it is?
 *
 *     submit ─▶ tap ─▶ gate ─┬─ passes ─▶ backend
 *                            ├─ is changed: moves less, or takes longer ─▶ backend
 *                            └─ refused: completes with an error; nothing of it was done
 *
 * It stands in front of every backend, so what it refuses is refused alike on the simulated kernel
 * and on the real one. It is asked once for each op that goes to a kernel, when the op starts:
 * after its links and drains, and after the event of its submission; an answer that is not plain is
 * an event (TDW_E_FAULT) before anybody acts on it. Waits of the runtime's own (locks, channels,
 * yields) pass.
 *
 * An op that moves less has its entry changed by the gate itself, which puts it back in
 * `completed`.
 */
#ifndef TIDEWHEEL_GATE_H
#define TIDEWHEEL_GATE_H

#include <tidewheel/ring.h>

struct tdw_host;

struct tdw_verdict {
    int32_t error;     /* 0: it passes; else -errno, its result */
    uint32_t bytes;    /* not 0: it moves so many at most, which its entry says already */
    uint64_t delay_ns; /* it completes so much later than it would */
    const char *point; /* the name of what decided it; NULL: nothing did, it passes as it is */
};

/* ── Points inside of the simulated kernel ─────────────────────────────────────────────────────
 * Where something may go wrong that no program can see before it has: X(NAME, "point", "what").
 * Each is asked where it acts, at the effect, and a point that fires is an event before it acts.
 */
/* clang-format off */
#define TDW_KERNEL_POINTS(X)                                                                       \
    X(READ_ERROR, "tdw/disk/read/error", "a sector cannot be read (EIO) until it is written")      \
    X(READ_ROT, "tdw/disk/read/rot", "a bit of a sector is wrong until it is written")             \
    X(WRITE_LOST, "tdw/disk/write/lost", "a page is written to the cache and never to the disk")   \
    X(WRITE_MISDIRECTED, "tdw/disk/write/misdirected", "a page lands in another's place on disk")  \
    X(SYNC_ERROR, "tdw/disk/sync/error", "fsync fails (EIO) once, and what it was for is dropped") \
    X(SYNC_LIE, "tdw/disk/sync/lie", "fsync answers 0 and makes nothing durable")                  \
    X(DISK_WIPED, "tdw/disk/wiped", "a host boots with an empty disk")                             \
    X(DISK_SWAPPED, "tdw/disk/swapped", "a host boots with the disk of another that is down")      \
    X(NET_DROP, "tdw/net/drop", "a packet is lost; a stream sends it again")                       \
    X(NET_DELAY, "tdw/net/delay", "a packet takes longer; datagrams overtake each other")          \
    X(NET_DUPLICATE, "tdw/net/duplicate", "a datagram arrives twice")                              \
    X(NET_CORRUPT, "tdw/net/corrupt", "a bit of a datagram is wrong")                              \
    X(NET_RESET, "tdw/net/reset", "a connection is reset, at both ends")                           \
    X(NET_BACKLOG, "tdw/net/backlog", "a listener is full: a connection request is not heard")     \
    X(MEMORY, "tdw/memory/malloc", "tdw_malloc answers NULL; left out in lockstep")                \
    X(HOST_CRASH, "tdw/host/crash", "tick: a host loses power, and boots after `down`")            \
    X(HOST_RESTART, "tdw/host/restart", "tick: a host's processes are killed, and start anew")     \
    X(HOST_PAUSE, "tdw/host/pause", "tick: a host stands still for `down`")                        \
    X(PROCESS_KILL, "tdw/process/kill", "tick: a process that another one started is killed")      \
    X(HOST_SLOW, "tdw/host/slow", "tick: a host's ops take `times` as long, for `down`")           \
    X(DISK_HANG, "tdw/disk/hang", "tick: no request to a host's disk ends for `down`")             \
    X(DISK_READ_ONLY, "tdw/disk/read-only", "tick: a host's disk refuses changes until it boots")  \
    X(NET_PARTITION, "tdw/net/partition", "tick: a host hears and reaches no peer for `down`")     \
    X(NET_DEAF, "tdw/net/deaf", "tick: a host hears no peer for `down`, and reaches all")          \
    X(NET_SLOW, "tdw/net/slow", "tick: a host's links carry `bandwidth` a second, for `down`")     \
    X(CLOCK_STEP, "tdw/clock/step", "tick: a host's CLOCK_REALTIME jumps by `step`")               \
    X(CLOCK_DRIFT, "tdw/clock/drift", "tick: a host's clocks run fast by `ppm`, or slow")
/* clang-format on */

/* The first of those that are asked as time goes by, once a millisecond for each host. */
#define TDW_AT_TICKS TDW_AT_HOST_CRASH

enum tdw_kernel_point {
#define TDW_POINT(name, text, what) TDW_AT_##name,
    TDW_KERNEL_POINTS(TDW_POINT)
#undef TDW_POINT
        TDW_KERNEL_POINTS_COUNT
};

/* Something is about to happen at a point. */
struct tdw_hit {
    enum tdw_kernel_point point;
    const char *host, *peer; /* their names; peer NULL: it is about one host alone */
    const struct tdw_op *op; /* that is about to take effect; NULL: none is */
    uint64_t actor;          /* who, and how often it was there before */
    uint32_t ordinal;
    uint64_t bytes; /* that are moved */
    uint32_t bound; /* how many ways there are in which it may go wrong */
    /* The path of the file, in `to`; NULL: it is about no file. */
    const char *(*path)(const void *file, char *to, size_t bytes);
    const void *file;
};

/* How it goes wrong. */
struct tdw_blow {
    int error;         /* positive; 0: the point's own */
    uint64_t delay_ns; /* 0: the point's own */
    uint64_t down_ns;  /* 0: the point's own */
    int64_t step_ns;   /* 0: the point's own */
    int32_t ppm;       /* 0: the point's own */
    uint32_t times;    /* 0: the point's own */
    uint64_t bandwidth; /* bytes a second; 0: the point's own */
    const char *peers; /* of links: only those to hosts that match; NULL: all */
    uint32_t way;      /* below the hit's bound */
    bool keep;         /* of SYNC_ERROR: what it was for is not dropped */
};

struct tdw_gate {
    struct tdw_verdict (*judge)(struct tdw_gate *gate, struct tdw_op *op);
    /* The last completion of `op` is posted; NULL: the gate need not know. */
    void (*completed)(struct tdw_gate *gate, struct tdw_op *op);
    /* Does it go wrong? Asked only at the points whose bits are set. */
    bool (*hit)(struct tdw_gate *gate, const struct tdw_hit *hit, struct tdw_blow *blow);
    uint64_t points;
    /* A host was made: its disk, for a start, may be told what it is. NULL: nothing is to be said.
     */
    void (*host_made)(struct tdw_gate *gate, struct tdw_host *host, const char *name);
};

/* What an op is about: the open file that its descriptor leads to. */
struct tdw_described {
    const char *kind; /* "file", "directory", "device", "pipe", "tcp", "udp", "unix", "socket" (any
                       * other), "eventfd", "timerfd", "epoll", "io_uring"; NULL: there is none */
    char path[1024];  /* a path that leads to it, from its host's root; "": none is known */
    char peer[128];   /* the host that it is connected to, or that the op itself names; its address,
                       * where no host has that; "": none */
};
/* Of an op of a process that runs, by the kernel that it is for. Not for every op: a walk through
 * the names of a disk, or several system calls. */
void tdw_describe(const struct tdw_op *op, struct tdw_described *to);

/* From now on `gate` is asked; NULL: everything passes. The gate is the caller's. */
void tdw_gate_set(struct tdw_loop *loop, struct tdw_gate *gate);

#endif
