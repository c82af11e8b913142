/* SPDX-License-Identifier: MIT */
/*
 * Checked, waited, acted: what was true before the wait is not true behind it.
 *
 *     buyer ── is there one left? ── writes the sale to the log ── takes it ──▶ stock
 *
 * There is one thread, and so no data race; but a wait lets others run. The second buyer finds the
 * last item still there while the first one's entry is being written, and both take it. The fix
 * takes the item first, and would give it back if the entry failed.
 *
 * Seen: CWE-367, time of check and time of use; ESLint has a rule against the form that it has in
 * JavaScript, require-atomic-updates.
 *
 * Found as:  check failed: .*: -1 left
 * Optimum:   1 deviation, 0 faults: the first buyer's write takes longer than the second one's
 *            delay
 */
#include "corpus.h"

enum { TAKES_LAST = BUGGY };
#define LATER (10 * US)

static int stock, log_file;

static bool reserve(void)
{
    if (stock == 0)
        return false;
    stock -= !TAKES_LAST;
    return true;
}

static void sold(void)
{
    stock -= TAKES_LAST;
    tdw_check(stock >= 0, "%d left", stock);
}

/* ── A buyer, who comes after a time ───────────────────────────────────────────────────────── */

static void wrote(struct tdw_op *op)
{
    sold();
    gone(op);
}

static void came(struct tdw_op *op)
{
    if (reserve())
        TDW_ON(op, wrote, pwrite, log_file, "sold\n", 5, 0);
    else
        gone(op);
}

static void buyer_callback(void *arg)
{
    struct tdw_op *op = tdw_malloc(sizeof *op);

    TDW_ON(op, came, sleep, (uint64_t)(uintptr_t)arg);
}

struct buyer_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
};
TDW_CO(buyer_stackless)
{
    TDW_BEGIN(struct buyer_frame, me);
    TDW_AWAIT(me->n, sleep, (uint64_t)(uintptr_t)me->arg);
    if (reserve()) {
        TDW_AWAIT(me->n, pwrite, log_file, "sold\n", 5, 0);
        sold();
    }
    TDW_RETURN(0);
    TDW_END;
}

static void buyer_stackful(void *arg)
{
    tdw_sleep((uint64_t)(uintptr_t)arg);
    if (reserve()) {
        tdw_pwrite(log_file, "sold\n", 5, 0);
        sold();
    }
}
SUBJECT(buyer);

/* ── The shop ──────────────────────────────────────────────────────────────────────────────── */

static void shop(void *unused)
{
    (void)unused;
    stock = 1;
    log_file = tdw_open("log", O_WRONLY | O_CREAT, 0644);
    buyer_spawn("buyer", NULL);
    buyer_spawn("buyer", (void *)(uintptr_t)LATER);
}

static void start(void)
{
    tdw_spawn_stackful("shop", shop, NULL);
}

CORPUS(stale_check, start, "nothing is sold twice");
