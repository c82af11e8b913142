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

struct tdw_verdict {
    int32_t error;     /* 0: it passes; else -errno, its result */
    uint32_t bytes;    /* not 0: it moves so many at most, which its entry says already */
    uint64_t delay_ns; /* it completes so much later than it would */
    const char *point; /* the name of what decided it; NULL: nothing did, it passes as it is */
};

struct tdw_gate {
    struct tdw_verdict (*judge)(struct tdw_gate *gate, struct tdw_op *op);
    /* The last completion of `op` is posted; NULL: the gate need not know. */
    void (*completed)(struct tdw_gate *gate, struct tdw_op *op);
};

/* From now on `gate` is asked; NULL: everything passes. The gate is the caller's. */
void tdw_gate_set(struct tdw_loop *loop, struct tdw_gate *gate);

#endif
