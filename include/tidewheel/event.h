/* SPDX-License-Identifier: MIT */
/*
 * Events: all that can be observed of a run, in order.
 *
 * Every event passes one function (tdw__event in runtime/event.h), which folds it into the digest
 * and shows it to the taps. A tap is an observer: a trace writer, a checker, a comparison with an
 * earlier run. It never changes the run; with no tap an event costs its digest only.
 *
 * Fields that the digest covers: all but `op`, `site` and `name`. A field that an event kind does
 * not use is 0.
 */
#ifndef TIDEWHEEL_EVENT_H
#define TIDEWHEEL_EVENT_H

#include <tidewheel/ring.h>

/* Numbers are kept in traces: never re-use one. */
enum tdw_event_kind {
    TDW_E_SUBMIT = 1,   /* fd, off, len, flags: of the entry; data: hash of the rest of it */
    TDW_E_EFFECT = 2,   /* took effect before it completes; res; data: hash of bytes taken in */
    TDW_E_COMPLETE = 3, /* res, flags; data as above if it took effect together with this */
    TDW_E_DELIVER = 4,  /* res, flags */
    TDW_E_SYS = 5,      /* a call that never waits: opcode is enum tdw_sys; fd, off, len, res */
    TDW_E_SPAWN = 6,    /* actor: the new task; data: its parent; name: its path */
    TDW_E_END = 7,      /* a task ended; off: its result */
    TDW_E_FAULT = 8,    /* data: hash of the point's name */
    TDW_E_PACKET = 9,
    TDW_E_CRASH = 10,   /* name: the host */
    TDW_E_BOOT = 11,    /* name: the host; off: how often it booted before */
    TDW_E_ACQUIRE = 12, /* the op (actor, ordinal) was granted object `data` by another's step */
    TDW_E_MARK = 13,    /* off: the user's value; data: hash of name */
    /* From here on: not in the digest. */
    TDW_E_CHOICE = 32,  /* data: key, off: bound, len: value, opcode: enum tdw_choice */
    TDW_E_LOG = 33,     /* name: the line */
    TDW_E_FINDING = 34, /* name: the text */
    TDW_E_CALL = 35,    /* one recorded system call: see trace.h */
};

struct tdw_event {
    uint8_t kind; /* enum tdw_event_kind */
    uint8_t opcode;
    uint16_t flags; /* of the entry (IOSQE_*) or of the completion (IORING_CQE_F_*, low half) */
    int32_t fd;
    uint64_t now_ns;
    uint64_t actor;
    uint32_t ordinal;
    int32_t res;
    uint64_t off, len, data;
    const struct tdw_op *op;     /* or NULL */
    const struct tdw_site *site; /* or NULL */
    const char *name;            /* or NULL */
};

struct tdw_tap {
    void (*event)(struct tdw_tap *tap, const struct tdw_event *event);
    struct tdw_tap *next;
};

/* A rolling hash of the events so far. Two runs with the same digest are taken for the same run. */
struct tdw_digest {
    uint64_t lo, hi;
};

static inline bool tdw_digest_equal(struct tdw_digest a, struct tdw_digest b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

/* Observe `loop` from now on. The tap is the caller's, until tdw_tap_remove. */
void tdw_tap_add(struct tdw_loop *loop, struct tdw_tap *tap);
void tdw_tap_remove(struct tdw_loop *loop, struct tdw_tap *tap);
struct tdw_digest tdw_loop_digest(const struct tdw_loop *loop);

/* The word for a kind, as traces print it: "submit", "deliver", …; "?" for an unknown number. */
const char *tdw_event_name(uint8_t kind);

#endif
