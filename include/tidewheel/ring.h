/* SPDX-License-Identifier: MIT */
/*
 * Ring and op: how an operation is handed over, and how it comes back.
 *
 *     prep ─▶ submit ─▶ start ─▶ effect ─▶ complete ─▶ deliver
 *             (here)    (the backend)                  (op->done is called, by the loop)
 *
 * An op is memory of the caller, usually inside the caller's own struct, zeroed before its first
 * use. From submit until its final delivery it belongs to tidewheel: it must not move, change or be
 * freed, and neither may anything that its entry points to. Results are >= 0 or -errno.
 *
 * Multishot ops and sends without a copy complete several times: each completion but the last has
 * IORING_CQE_F_MORE in `flags`, and only the last one makes the op free for use. A callback's
 * `done` is called for each; in a coroutine each await takes one, in order.
 *
 * Who may complete an op: only the backend that started it, or the runtime for private opcodes;
 * exactly once (I1). Until when it is valid: `res` and `flags` may be read in `done` and after it,
 * until the op is submitted again. What cancel promises: see tdw_prep_cancel in verbs.h.
 */
#ifndef TIDEWHEEL_RING_H
#define TIDEWHEEL_RING_H

#include <stddef.h>
#include <tidewheel/ops.h>

struct tdw_loop;
struct tdw_op;
struct tdw_task;

/* Called by the loop when the op completed; never from inside tdw_submit (I7). */
typedef void tdw_done_fn(struct tdw_op *op);

/* A line of the user's source. Sites are static constants: nothing is looked up later. */
struct tdw_site {
    const char *file, *function, *what;
    uint32_t line;
};

#define TDW_SITE(text)                                                                             \
    (__extension__({                                                                               \
        static const struct tdw_site tdw_site_ = {__FILE__, __func__, (text), __LINE__};           \
        &tdw_site_;                                                                                \
    }))

/* Where an op stands. Zero is idle, so a zeroed op is ready for use. */
enum tdw_op_state {
    TDW_IDLE,     /* not submitted, or delivered */
    TDW_HELD,     /* accepted; waits for its link or for a drain */
    TDW_BLOCKED,  /* started; waits in the queue of an object */
    TDW_PENDING,  /* started; may take effect when its time has come */
    TDW_EFFECTED, /* took effect, not complete */
    TDW_POSTED,   /* complete; waits to be delivered */
};

/*
 * What its entry points to (buffers, paths, vectors, times, addresses) stays in place and as it is
 * until the op was delivered: the simulated kernel may look at it at any time until then.
 *
 * Two cache lines: what to do, and all else. The second line is touched by submit, by the wheel's
 * pop, and by deliver; nothing on an op's way looks elsewhere but at its task and its slot.
 */
struct tdw_op {
    struct io_uring_sqe sqe; /* what to do; `user_data` is tidewheel's: slot and generation */

    int32_t res;    /* result, valid once delivered */
    uint32_t flags; /* IORING_CQE_F_* */
    tdw_done_fn *done;
    struct tdw_task *task;       /* on whose behalf: the task that ran at submit */
    const struct tdw_site *site; /* where it was submitted */
    uint64_t due_ns;             /* when it is to take effect or complete */
    uint64_t seq;                /* place in the order of submissions to this loop */
    union {
        struct tdw_op *next; /* while blocked: behind it in the object's queue */
        uint64_t place;      /* while pending: the backend's own */
    };
    uint32_t ordinal; /* its number among its task's ops */
    uint16_t passed;  /* how often a schedule chose another item while this was the calm one */
    uint8_t state;    /* enum tdw_op_state */
    uint8_t bits;     /* enum tdw_op_bits */
};
_Static_assert(sizeof(struct tdw_op) == 128, "an op is two cache lines");

enum tdw_op_bits {
    TDW_OP_AWAITED = 1,    /* a coroutine waits for this op among others */
    TDW_OP_QUIET = 2,      /* ends when it completes, and is not delivered: a deadline's timer */
    TDW_OP_CUT = 4,        /* ended by its chain: what follows it ends too, hard link or not */
    TDW_OP_COUNTED = 8,    /* a drain of its ring has to wait for it */
    TDW_OP_EARLY = 16,     /* takes effect before it completes */
    TDW_OP_SIGNALLED = 32, /* a COND_WAIT that waits for its mutex again */
    TDW_OP_SHOTS = 64,     /* has, or had, more than one completion */
    TDW_OP_FOREIGN = 128,  /* an entry of a program that has its own io_uring loop */
};

/* The struct around an op: tdw_of(op, struct get, op). */
#define tdw_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/*
 * Submit `op` on behalf of the running task. Never blocks, never calls `done` in place.
 *   0        accepted: `done` will be called exactly once
 *   -EBUSY   the op is in flight already; a finding, and nothing changes
 *   -EAGAIN  the ring has `ops_max` ops in flight; nothing changes
 *   -EINVAL  a private opcode that completes inside submit follows a linked op
 * A refused op is as it was before, and `done` is not called.
 */
#define tdw_submit(op) tdw__submit((op), TDW_SITE("submit"))
int tdw__submit(struct tdw_op *op, const struct tdw_site *site);

/* Is the op free for use: never submitted, or delivered? */
static inline bool tdw_op_idle(const struct tdw_op *op)
{
    return op->state == TDW_IDLE;
}

/* Records that an op in flight was about to be filled in again; answers -EBUSY. */
int tdw__refuse_busy(struct tdw_op *op, const struct tdw_site *site);

/* ── The loop ──────────────────────────────────────────────────────────────────────────────────
 * One for each OS thread. It delivers completions, one at a time, in an order that the schedule
 * chooses, and asks the backend for more when it has none. The calls below return when they say,
 * never because of a completion in itself.
 */
struct tdw_loop *tdw_loop(void); /* of the running task; NULL outside of any */

/* Until no task is left that is not a daemon, then until the cancelled daemons have ended too.
 * 0, or -EDEADLK (tasks wait and nothing can come), -ELOOP (livelock: the step limit was reached),
 * -EOWNERDEAD (a daemon survived its cancellation), -ECHILD (a real loop, and this is a child of the
 * process that opened it). */
int tdw_loop_run(struct tdw_loop *loop);

/* Deliver what can be delivered without waiting. Returns the number of deliveries, or -ECHILD. */
int tdw_loop_poll(struct tdw_loop *loop);

/* Deliver until `deadline_ns` on the loop's clock. Returns the number of deliveries, or -ECHILD. */
int tdw_loop_wait(struct tdw_loop *loop, uint64_t deadline_ns);

/* Everybody who has not ended: who waits for what, where; one line each, to `out`. */
void tdw_loop_waiters(struct tdw_loop *loop, void (*line)(void *out, const char *text), void *out);

/* The running task's clock, in ns; starts at 0. Never falls (I5). */
uint64_t tdw_now(void);

#endif
