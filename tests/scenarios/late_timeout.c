/* SPDX-License-Identifier: MIT */
/*
 * A late time-out hits the next request.
 *
 *     client ── request 0 ──▶ … ◀── answer, just in time; request 1 ──▶ …
 *                 └─ time-out 0 ─────────────────────────────┘ cancels request 1
 *
 * The client gives each request a timer, and takes the timer back when the answer is there. A timer
 * that has run out cannot be taken back: its completion is on its way, and finds another request
 * in the place of its own. It has to look whether that is still the one.
 *
 * Seen: Node's keep-alive timer was found to destroy the socket of a request that had just come
 * (github.com/nodejs/node/issues/13391); io_uring_prep_timeout_remove(3), -ENOENT and -EALREADY.
 *
 * Found as:  check failed: .*: request [0-9]+ was given up after
 * Options:   --schedule adversary
 * Optimum:   4 deviations, 0 faults: the timer runs out while its cancel is on its way, and is
 *            passed over by the cancel's completion and by the next request, as that takes effect
 *            and as it is seen
 */
#include "corpus.h"

enum { HITS_WHOM_IT_FINDS = BUGGY };
enum { REQUESTS = 4 };
#define TIMEOUT (1000 * US)

static struct client {
    struct tdw_op ask; /* the receive of the answer */
    int ends[2];       /* the client's, the server's */
    uint32_t number;   /* of the request in flight */
    uint64_t began;
    char answer;
    struct tdw_wg timers;
    struct timer {
        struct tdw_op op, cancel;
        uint32_t number;
    } of[REQUESTS];
} client;

/* ── Time-outs: callbacks in every model ───────────────────────────────────────────────────── */

static void cancelled(struct tdw_op *op)
{
    (void)op;
    tdw_wg_done(&client.timers);
}

static void expired(struct tdw_op *op)
{
    struct timer *t = tdw_of(op, struct timer, op);

    if (op->res == 0 && !tdw_op_idle(&client.ask) &&
        (HITS_WHOM_IT_FINDS || t->number == client.number))
        TDW_ON(&t->cancel, cancelled, cancel, &client.ask);
    else
        tdw_wg_done(&client.timers);
}

static struct timer *arm(void)
{
    struct timer *t = &client.of[client.number];

    t->number = client.number;
    client.began = tdw_now();
    tdw_wg_add(&client.timers, 1);
    TDW_ON(&t->op, expired, sleep, TIMEOUT);
    return t;
}

static void judge(int n)
{
    const uint64_t took = tdw_now() - client.began;

    tdw_check(n == 1 || took >= TIMEOUT, "request %u was given up after %llu ns", client.number,
              (unsigned long long)took);
}

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

static struct tdw_op step;

static void over(struct tdw_op *op)
{
    TDW_ON(op, done, close, client.ends[0]);
}

static void disarmed(struct tdw_op *op);
static void answered(struct tdw_op *op)
{
    judge(op->res);
    TDW_ON(&step, disarmed, cancel, &client.of[client.number].op);
}

static void asked(struct tdw_op *op)
{
    (void)op;
    arm();
    TDW_ON(&client.ask, answered, recv, client.ends[0], &client.answer, 1, 0);
}

static void disarmed(struct tdw_op *op)
{
    if (++client.number < REQUESTS)
        TDW_ON(op, asked, send, client.ends[0], "?", 1, MSG_NOSIGNAL);
    else
        TDW_ON(op, over, wg_wait, &client.timers);
}

static void client_callback(void *unused)
{
    (void)unused;
    TDW_ON(&step, asked, send, client.ends[0], "?", 1, MSG_NOSIGNAL);
}

struct client_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
};
TDW_CO(client_stackless)
{
    TDW_BEGIN(struct client_frame, me);
    for (; client.number < REQUESTS; client.number++) {
        TDW_AWAIT(me->n, send, client.ends[0], "?", 1, MSG_NOSIGNAL);
        arm();
        TDW_GO(&client.ask, recv, client.ends[0], &client.answer, 1, 0);
        TDW_AWAIT_OP(me->n, &client.ask);
        judge(me->n);
        TDW_AWAIT(me->n, cancel, &client.of[client.number].op);
    }
    TDW_AWAIT(me->n, wg_wait, &client.timers);
    TDW_AWAIT(me->n, close, client.ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void client_stackful(void *unused)
{
    (void)unused;
    for (; client.number < REQUESTS; client.number++) {
        struct timer *timer;

        tdw_send(client.ends[0], "?", 1, MSG_NOSIGNAL);
        timer = arm();
        TDW_GO(&client.ask, recv, client.ends[0], &client.answer, 1, 0);
        judge(tdw_await(&client.ask));
        tdw_cancel(&timer->op);
    }
    tdw_wg_wait(&client.timers);
    tdw_close(client.ends[0]);
}
SUBJECT(client);

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

static void server(void *unused)
{
    char request;

    (void)unused;
    while (tdw_recv(client.ends[1], &request, 1, 0) > 0)
        tdw_send(client.ends[1], "!", 1, MSG_NOSIGNAL);
    tdw_close(client.ends[1]);
}

static void start(void)
{
    memset(&client, 0, sizeof client);
    memset(&step, 0, sizeof step);
    tdw_wg_init(&client.timers, "timers");
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, client.ends);
    client_spawn("client", NULL);
    tdw_spawn_stackful("server", server, NULL);
}

CORPUS(late_timeout, start, "no request is given up before its time");
