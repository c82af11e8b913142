/* SPDX-License-Identifier: MIT */
/*
 * A cancel and the completion: the op is used again before it has ended.
 *
 *     asker ── recv, for at most PATIENCE, then cancel ──▶ the same op for the next round
 *
 * The completion of a cancel does not say that its target has ended. There are two completions, in
 * either order, whichever the cancel answers: 0, the target ends -ECANCELED; -EALREADY, it ends by
 * itself, soon; -ENOENT, it has ended, and its completion may still wait to be seen. The asker
 * waits for the cancel and then re-uses the op. In a C program that is a kernel that writes into
 * memory which by then is something else's, or a completion for a request that is freed.
 *
 * Seen: io_uring_prep_cancel(3), "NOTES": the caller must wait for the cancelled request's own
 * completion; liburing had to say so more clearly (commit a2dece6ae57b).
 *
 * Found as:  op submitted while in flight
 * Options:   --schedule adversary
 * Optimum:   1 deviation, 0 faults: the cancel's completion is seen before its target's
 */
#include "corpus.h"

enum { REUSES_AT_ONCE = BUGGY };
enum { ROUNDS = 3 };
#define PATIENCE (100 * US)

static int ends[2]; /* the asker's, the answerer's */

/* ── The asker ─────────────────────────────────────────────────────────────────────────────── */

struct asker {
    struct tdw_op ask, op; /* `op`: patience, cancel, close */
    int round;
    bool waits; /* for `ask` to end */
    char answer;
};

static void patience_over(struct tdw_op *op);
static void answered(struct tdw_op *op);
static void left(struct tdw_op *op)
{
    tdw_free(tdw_of(op, struct asker, op));
}

static void next_round(struct asker *a)
{
    a->waits = a->round == ROUNDS && !tdw_op_idle(&a->ask);
    if (a->waits)
        return;
    if (a->round++ == ROUNDS) {
        TDW_ON(&a->op, left, close, ends[0]);
        return;
    }
    TDW_ON(&a->ask, answered, recv, ends[0], &a->answer, 1, 0);
    TDW_ON(&a->op, patience_over, sleep, PATIENCE);
}

static void answered(struct tdw_op *op)
{
    struct asker *a = tdw_of(op, struct asker, ask);

    if (a->waits)
        next_round(a);
}

static void cancelled(struct tdw_op *op)
{
    struct asker *a = tdw_of(op, struct asker, op);

    if (REUSES_AT_ONCE || tdw_op_idle(&a->ask))
        next_round(a);
    else
        a->waits = true;
}

static void patience_over(struct tdw_op *op)
{
    struct asker *a = tdw_of(op, struct asker, op);

    if (tdw_op_idle(&a->ask))
        next_round(a);
    else
        TDW_ON(op, cancelled, cancel, &a->ask);
}

static void asker_callback(void *unused)
{
    struct asker *a = tdw_malloc(sizeof *a);

    (void)unused;
    next_round(a);
}

struct asker_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op ask;
    int round, n;
    char answer;
};
TDW_CO(asker_stackless)
{
    TDW_BEGIN(struct asker_frame, me);
    for (me->round = 0; me->round < ROUNDS; me->round++) {
        TDW_GO(&me->ask, recv, ends[0], &me->answer, 1, 0);
        TDW_AWAIT(me->n, sleep, PATIENCE);
        if (tdw_op_idle(&me->ask))
            continue;
        TDW_AWAIT(me->n, cancel, &me->ask);
        if (!REUSES_AT_ONCE)
            TDW_AWAIT_OP(me->n, &me->ask);
    }
    TDW_AWAIT_OP(me->n, &me->ask);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void asker_stackful(void *unused)
{
    struct tdw_op ask = {.res = 0};
    char answer;

    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        TDW_GO(&ask, recv, ends[0], &answer, 1, 0);
        tdw_sleep(PATIENCE);
        if (tdw_op_idle(&ask))
            continue;
        tdw_cancel(&ask);
        if (!REUSES_AT_ONCE)
            tdw_await(&ask);
    }
    tdw_await(&ask);
    tdw_close(ends[0]);
}
SUBJECT(asker);

/* ── The answerer ──────────────────────────────────────────────────────────────────────────── */

/* It answers about when the asker gives up. */
static void answerer(void *unused)
{
    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        tdw_sleep(PATIENCE);
        tdw_send(ends[1], "", 1, MSG_NOSIGNAL);
    }
    tdw_close(ends[1]);
}

static void start(void)
{
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    asker_spawn("asker", NULL);
    tdw_spawn_stackful("answerer", answerer, NULL);
}

CORPUS(cancel_race, start, "an op is used again when it has ended");
