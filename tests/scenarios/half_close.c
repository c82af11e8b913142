/* SPDX-License-Identifier: MIT */
/*
 * A half-close, taken for a close.
 *
 *     client ── request, end (SHUT_WR) ──▶ server ── a worker computes the answer
 *        ▲───────────────────── answer ────────┘
 *
 * A client that has asked for all that it wants shuts its sending side down, and goes on reading.
 * The server's receive answers 0, and it closes the connection, with the answer still being made.
 * The end of one direction says nothing about the other.
 *
 * Seen: Envoy's TCP proxy closed both sides at the first end
 * (github.com/envoyproxy/envoy/pull/2386), as many proxies did; RFC 9293, section 3.6; shutdown(2).
 *
 * Found as:  check failed: .*: no answer came: 0
 * Optimum:   1 deviation, 0 faults: the worker's read takes longer than it is until the client's
 *            end
 */
#include "corpus.h"

enum { CLOSES_AT_THE_END = BUGGY };
#define LATER (50 * US)

static int ends[2]; /* the server's, the client's */
static int file;
static struct tdw_wg answers; /* that are being made */

static void worker(void *unused)
{
    char answer;

    (void)unused;
    tdw_pread(file, &answer, 1, 0);
    tdw_send(ends[0], &answer, 1, MSG_NOSIGNAL);
    tdw_wg_done(&answers);
}

static void hand_on(void)
{
    tdw_wg_add(&answers, 1);
    tdw_spawn_stackful("worker", worker, NULL);
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

struct server {
    struct tdw_op op;
    char request;
};

static void may_close(struct tdw_op *op)
{
    TDW_ON(op, gone, close, ends[0]);
}

static void received(struct tdw_op *op)
{
    struct server *s = (void *)op;

    if (op->res > 0) {
        hand_on();
        TDW_ON(op, received, recv, ends[0], &s->request, 1, 0);
    } else if (CLOSES_AT_THE_END) {
        may_close(op);
    } else {
        TDW_ON(op, may_close, wg_wait, &answers);
    }
}

static void server_callback(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    TDW_ON(&s->op, received, recv, ends[0], &s->request, 1, 0);
}

struct server_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
    char request;
};
TDW_CO(server_stackless)
{
    TDW_BEGIN(struct server_frame, me);
    for (;;) {
        TDW_AWAIT(me->n, recv, ends[0], &me->request, 1, 0);
        if (me->n <= 0)
            break;
        hand_on();
    }
    if (!CLOSES_AT_THE_END)
        TDW_AWAIT(me->n, wg_wait, &answers);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void server_stackful(void *unused)
{
    char request;

    (void)unused;
    while (tdw_recv(ends[0], &request, 1, 0) > 0)
        hand_on();
    if (!CLOSES_AT_THE_END)
        tdw_wg_wait(&answers);
    tdw_close(ends[0]);
}
SUBJECT(server);

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

static void client(void *unused)
{
    char answer = 0;
    int n;

    (void)unused;
    file = tdw_open("answers", O_RDWR | O_CREAT, 0644);
    tdw_pwrite(file, "a", 1, 0);
    server_spawn("server", NULL);
    tdw_send(ends[1], "?", 1, 0);
    tdw_sleep(LATER);
    tdw_shutdown(ends[1], SHUT_WR);
    n = tdw_recv(ends[1], &answer, 1, 0);
    tdw_check(n == 1 && answer == 'a', "no answer came: %d", n);
    tdw_close(ends[1]);
}

static void start(void)
{
    tdw_wg_init(&answers, "answers");
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    tdw_spawn_stackful("client", client, NULL);
}

CORPUS(half_close, start, "who has shut down for writing is answered");
