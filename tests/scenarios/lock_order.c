/* SPDX-License-Identifier: MIT */
/*
 * Two locks, taken in two orders.
 *
 *     transfer 0 → 1: locks 0, reads the balance, locks 1
 *     transfer 1 → 0: locks 1, reads the balance, locks 0
 *
 * Each has what the other one waits for. It goes well as long as the second transfer begins when
 * the first is done. The fix locks in the order of the accounts.
 *
 * Seen: of 31 deadlocks in MySQL, Apache, Mozilla and OpenOffice nearly all are of one or two
 * resources (Lu, Park, Seo and Zhou, "Learning from Mistakes", ASPLOS 2008); Linux has lockdep
 * against it (Documentation/locking/lockdep-design.rst).
 *
 * Found as:  deadlock: nothing can come; .*transfer#0 waits for LOCK.*transfer#1 waits for LOCK
 * Optimum:   1 deviation, 0 faults: the first transfer's read takes longer than the second one's
 *            delay
 */
#include "corpus.h"

enum { LOCKS_AS_IT_COMES = BUGGY };
#define LATER (50 * US)

static struct tdw_mutex accounts[2];
static int file, balances[2];

/* Who is locked first by a transfer from account `from`. */
static int first_of(int from)
{
    return LOCKS_AS_IT_COMES ? from : 0;
}

static void move(int from)
{
    balances[from]--;
    balances[!from]++;
    tdw_mutex_unlock(&accounts[0]);
    tdw_mutex_unlock(&accounts[1]);
}

/* ── A transfer, from the account with that number ─────────────────────────────────────────── */

struct transfer {
    struct tdw_op op;
    int from;
    char balance;
};

static void have_both(struct tdw_op *op)
{
    move(((struct transfer *)op)->from);
    gone(op);
}

static void has_read(struct tdw_op *op)
{
    TDW_ON(op, have_both, lock, &accounts[!first_of(((struct transfer *)op)->from)]);
}

static void have_one(struct tdw_op *op)
{
    struct transfer *t = (void *)op;

    TDW_ON(op, has_read, pread, file, &t->balance, 1, (uint64_t)t->from);
}

static void begin(struct tdw_op *op)
{
    TDW_ON(op, have_one, lock, &accounts[first_of(((struct transfer *)op)->from)]);
}

static void transfer_callback(void *arg)
{
    struct transfer *t = tdw_malloc(sizeof *t);

    t->from = (int)(intptr_t)arg;
    TDW_ON(&t->op, begin, sleep, (uint64_t)t->from * LATER);
}

struct transfer_frame {
    struct tdw_frame frame;
    void *arg;
    int from, n;
    char balance;
};
TDW_CO(transfer_stackless)
{
    TDW_BEGIN(struct transfer_frame, me);
    me->from = (int)(intptr_t)me->arg;
    TDW_AWAIT(me->n, sleep, (uint64_t)me->from * LATER);
    TDW_AWAIT(me->n, lock, &accounts[first_of(me->from)]);
    TDW_AWAIT(me->n, pread, file, &me->balance, 1, (uint64_t)me->from);
    TDW_AWAIT(me->n, lock, &accounts[!first_of(me->from)]);
    move(me->from);
    TDW_RETURN(0);
    TDW_END;
}

static void transfer_stackful(void *arg)
{
    const int from = (int)(intptr_t)arg;
    char balance;

    tdw_sleep((uint64_t)from * LATER);
    tdw_lock(&accounts[first_of(from)]);
    tdw_pread(file, &balance, 1, (uint64_t)from);
    tdw_lock(&accounts[!first_of(from)]);
    move(from);
}
SUBJECT(transfer);

/* ── The bank ──────────────────────────────────────────────────────────────────────────────── */

static void bank(void *unused)
{
    (void)unused;
    file = tdw_open("balances", O_RDWR | O_CREAT, 0644);
    tdw_pwrite(file, "ab", 2, 0);
    for (intptr_t i = 0; i < 2; i++)
        transfer_spawn("transfer", (void *)i);
}

static void start(void)
{
    memset(balances, 0, sizeof balances);
    tdw_mutex_init(&accounts[0], "account 0");
    tdw_mutex_init(&accounts[1], "account 1");
    tdw_spawn_stackful("bank", bank, NULL);
}

CORPUS(lock_order, start, "transfers end");
