/* SPDX-License-Identifier: MIT */
/*
 * A lost wake-up: to check and to wait are two steps.
 *
 *     consumer: lock, empty?, unlock ── lock, wait ──▶ sleeps
 *     producer:                      ▲ lock, put, signal, unlock: nobody waits yet
 *
 * A signal wakes who waits, and is forgotten when nobody does. The consumer looks whether there is
 * an item, lets go of the mutex, and goes to sleep though the item has come in between. The last
 * item's signal is the last one, so it sleeps for ever.
 *
 * Seen: pthread_cond_wait(3p) takes the mutex for this reason; glibc's own condition variables
 * could lose a wake-up inside (sourceware.org/bugzilla/show_bug.cgi?id=25847), which OCaml's,
 * Python's and .NET's locks were found to hang by.
 *
 * Found as:  deadlock: nothing can come; .*consumer#0 waits for COND_WAIT
 * Options:   --schedule adversary
 * Optimum:   1 deviation, 0 faults: the producer's last sleep ends while the consumer holds the
 *            mutex to look
 */
#include "corpus.h"

enum { LETS_GO_IN_BETWEEN = BUGGY };
enum { ITEMS = 3 };

static struct tdw_mutex mutex;
static struct tdw_cond filled;
static int items;

/* ── The consumer ──────────────────────────────────────────────────────────────────────────── */

struct consumer {
    struct tdw_op op;
    int taken;
};

static void next_item(struct tdw_op *op);
static void take(struct tdw_op *op)
{
    struct consumer *c = (void *)op;

    if (items == 0) {
        TDW_ON(op, take, cond_wait, &filled, &mutex);
        return;
    }
    items--;
    tdw_mutex_unlock(&mutex);
    if (++c->taken < ITEMS)
        next_item(op);
    else
        gone(op);
}

static void waits_now(struct tdw_op *op)
{
    TDW_ON(op, take, cond_wait, &filled, &mutex);
}

static void locked(struct tdw_op *op)
{
    if (LETS_GO_IN_BETWEEN && items == 0) {
        tdw_mutex_unlock(&mutex);
        TDW_ON(op, waits_now, lock, &mutex);
    } else {
        take(op);
    }
}

static void next_item(struct tdw_op *op)
{
    TDW_ON(op, locked, lock, &mutex);
}

static void consumer_callback(void *unused)
{
    struct consumer *c = tdw_malloc(sizeof *c);

    (void)unused;
    next_item(&c->op);
}

struct consumer_frame {
    struct tdw_frame frame;
    void *arg;
    int taken, n;
};
TDW_CO(consumer_stackless)
{
    TDW_BEGIN(struct consumer_frame, me);
    for (; me->taken < ITEMS; me->taken++) {
        TDW_AWAIT(me->n, lock, &mutex);
        if (LETS_GO_IN_BETWEEN && items == 0) {
            tdw_mutex_unlock(&mutex);
            TDW_AWAIT(me->n, lock, &mutex);
            TDW_AWAIT(me->n, cond_wait, &filled, &mutex);
        }
        while (items == 0)
            TDW_AWAIT(me->n, cond_wait, &filled, &mutex);
        items--;
        tdw_mutex_unlock(&mutex);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void consumer_stackful(void *unused)
{
    (void)unused;
    for (int taken = 0; taken < ITEMS; taken++) {
        tdw_lock(&mutex);
        if (LETS_GO_IN_BETWEEN && items == 0) {
            tdw_mutex_unlock(&mutex);
            tdw_lock(&mutex);
            tdw_cond_wait(&filled, &mutex);
        }
        while (items == 0)
            tdw_cond_wait(&filled, &mutex);
        items--;
        tdw_mutex_unlock(&mutex);
    }
}
SUBJECT(consumer);

/* ── The producer ──────────────────────────────────────────────────────────────────────────── */

static void producer(void *unused)
{
    (void)unused;
    for (int i = 0; i < ITEMS; i++) {
        tdw_sleep(10 * US);
        tdw_lock(&mutex);
        items++;
        tdw_cond_signal(&filled);
        tdw_mutex_unlock(&mutex);
    }
}

static void start(void)
{
    items = 0;
    tdw_mutex_init(&mutex, "mutex");
    tdw_cond_init(&filled, "filled");
    consumer_spawn("consumer", NULL);
    tdw_spawn_stackful("producer", producer, NULL);
}

CORPUS(lost_wakeup, start, "who waits for an item gets it");
