/* SPDX-License-Identifier: MIT */
/*
 * The gate: may an op start at all?
 *
 *     submit ─▶ tap ─▶ gate ─┬─ passes ─▶ backend
 *                            └─ refused: completes with an error; nothing of it was done
 *
 * It stands in front of every backend, so what it refuses is refused alike on the simulated kernel
 * and on the real one. It is asked once for each op that goes to a kernel, when the op starts:
 * after its links and drains, and after the event of its submission; the answer is an event
 * (TDW_E_FAULT) before anybody acts on it. Waits of the runtime's own (locks, channels, yields)
 * pass.
 */
#ifndef TIDEWHEEL_GATE_H
#define TIDEWHEEL_GATE_H

#include <tidewheel/ring.h>

struct tdw_verdict {
    int32_t error;     /* 0: it passes; else -errno, its result */
    const char *point; /* the name of what refused it */
};

struct tdw_gate {
    struct tdw_verdict (*judge)(struct tdw_gate *gate, const struct tdw_op *op);
};

/* From now on `gate` is asked; NULL: everything passes. The gate is the caller's. */
void tdw_gate_set(struct tdw_loop *loop, struct tdw_gate *gate);

#endif
