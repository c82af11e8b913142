/* SPDX-License-Identifier: MIT */
/*
 * Conformance: random programs on the simulated kernel and on the machine's own.
 *
 *     draw ─▶ run on sim ─▶ run on uring, on epoll, as sim says when to look ─▶ compare
 *                                                     shrink ◀── a difference ──┘
 *
 * A program is a list of steps drawn from a seed, of one subsystem. It names descriptors by
 * variables and memory by op, so it is the same program wherever it runs, and a part of it is one
 * too: steps can be left out, which is how a difference is made small.
 *
 * After each step the run notes what completed: result, flags, what the kernel wrote; and what can
 * be seen of each descriptor: offset, size, bytes that wait, readiness. The simulated run goes
 * first. Where it sees an op complete, the real one waits for that; what it sees waiting must still
 * wait there. So no time is measured, and the machine may be slow.
 */
#ifndef TDW_CONFORMANCE_H
#define TDW_CONFORMANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <tests/unit/dice.h>
#include <tidewheel/loop.h>

enum {
    STEPS_MAX = 48,
    VARS = 8, /* descriptors */
    IDS = 6,  /* ops, in flight or not, each with memory of its own */
    DATA = 256,
    PATHS = 6,
    NOTES_MAX = STEPS_MAX * 4,
};

/* What a step does: an entry of the ring, or a plain call. */
enum what {
    W_ENTRY,
    W_PIPE,       /* into var out and out + 1; a: flags */
    W_EVENTFD,    /* a: value, b: flags */
    W_TIMERFD,    /* a: clock, b: flags */
    W_SETTIME,    /* of fd; a: ns, b: interval, c: flags */
    W_EPOLL,      /* a: flags */
    W_SOCKETPAIR, /* a: type */
    W_SOCKET,     /* a: domain, b: type */
    W_BIND,       /* to the loopback, any port */
    W_LISTEN,
    W_DUP,
    W_LSEEK,    /* a: offset, b: whence */
    W_SETFL,    /* a: flags */
    W_OPTION,   /* a: level, b: name, c: value */
    W_TRUNCATE, /* path; a: length */
    W_ACCESS,   /* path; a: mode */
    W_READLINK, /* path */
    W_CHMOD,    /* path; a: mode */
    W_FILES,    /* register var fd and fd + 1, and two empty slots; a: 1, take back */
    W_BUFFERS,  /* register the data of ops 0 and 1; a: 1, take back */
    W_BUF_RING, /* group a of four buffers; b: 1, take back; c: flags */
    W_END
};

/* What the word `addr` of an entry points to; `off` may point to a second thing. */
enum addr {
    A_WORD, /* nothing: it is `word` */
    A_DATA,
    A_IOV,
    A_PATH,
    A_NAME,   /* the address that var fd2 was bound to */
    A_HEADER, /* a message */
    A_TIME,
    A_EVENT,
    A_OP,    /* the op with number `word` */
    A_FIXED, /* registered buffer buf_index, from byte `word` on */
    A_LOCK,
    A_GROUP, /* memory for buffers to pick */
};
enum off { O_WORD, O_PATH2, O_STATX, O_HOW, O_VAR, O_TIME, O_VALUE };

struct step {
    uint8_t what; /* enum what */
    uint8_t opcode, sqe_flags, id;
    int8_t fd, fd2, out; /* variables; -1: none, -2: AT_FDCWD */
    int8_t path, path2;
    uint8_t addr, off_is;
    uint16_t ioprio, buf;
    uint32_t len, flags;
    uint64_t off, word;
    int32_t file_index;
    uint32_t iov[2], iov_count, control;
    uint64_t ns;
    uint32_t events;
    int64_t a, b, c;
    uint8_t fill;
};

struct program {
    uint64_t seed;
    int subsystem;
    uint32_t count;
    struct step steps[STEPS_MAX];
};

/* One completion, or the result of a call. */
struct note {
    uint16_t step; /* at which it was noted */
    uint16_t from; /* that submitted it */
    uint8_t id;    /* IDS: of a call */
    int32_t res;
    uint32_t flags;
    uint64_t hash; /* of what the kernel wrote */
};

/* What is seen of a descriptor. */
struct look {
    int32_t ready, waits;
    int64_t offset, size;
};

struct view {
    uint32_t count;
    uint32_t until; /* steps that were run */
    struct note notes[NOTES_MAX];
    struct look looks[STEPS_MAX][VARS];
};

struct subsystem {
    const char *name;
    void (*draw)(struct dice *dice, struct program *program);
};
extern const struct subsystem subsystems[];
extern const int subsystems_count;
void draw_program(struct program *program, int subsystem, uint64_t seed);

/* run.c: 0 or -errno. `expected`: what the simulated kernel saw; NULL for that itself. */
int run_program(const struct program *program, enum tdw_backend backend,
                const struct view *expected, struct view *view);
/* How long a step of the real kernel may take to do what it must. */
extern uint32_t patience_ms;

/* main.c: nothing is left in the directory of the real runs. */
void clean_place(void);

/* compare.c: the first difference. */
struct difference {
    bool is;               /* there is one */
    const char *explained; /* by this rule, or NULL */
    uint32_t step;
    char text[240];
};
void compare(const struct program *program, const struct view *sim, const struct view *real,
             struct difference *difference);
/* Run it on sim and on `backend`, and compare; false: it could not be run. */
bool differs(const struct program *program, enum tdw_backend backend,
             struct difference *difference);

/* shrink.c: leave out what is not needed for an unexplained difference. */
void shrink(struct program *program, enum tdw_backend backend);
void print_as_c(FILE *out, const struct program *program, enum tdw_backend backend);

#endif
