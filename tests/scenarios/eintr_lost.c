/* SPDX-License-Identifier: MIT */
/*
 * EINTR, taken for the end of the connection.
 *
 *     client ── requests ──▶ server: receives one, answers it
 *        ▲───── answers ───────┘
 *
 * A receive that was interrupted (-EINTR) has received nothing, and nothing is wrong with the
 * connection: it is asked again. The server takes every error for a connection that broke, and
 * hangs up on its client.
 *
 * Seen: Python programs had to repeat calls by hand, and many did not, until the interpreter did
 * (PEP 475, "Retry system calls failing with EINTR"); signal(7), "Interruption of system calls".
 *
 * Found as:  check failed: .*: the server hung up before answer [0-9]+
 * Optimum:   0 deviations, 1 fault: a receive of the server is interrupted
 */
#include "corpus.h"

enum { HANGS_UP_AT_EINTR = BUGGY };
enum { REQUESTS = 4 };

static int ends[2]; /* the server's, the client's */

/* What the server does after a receive that answered `n`. */
static bool hangs_up(int n)
{
    return n <= 0 && (n != -EINTR || HANGS_UP_AT_EINTR);
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

struct server {
    struct tdw_op op;
    char request;
};

static void received(struct tdw_op *op);
static void next_one(struct tdw_op *op)
{
    TDW_ON(op, received, recv, ends[0], &((struct server *)op)->request, 1, 0);
}

static void received(struct tdw_op *op)
{
    if (hangs_up(op->res))
        TDW_ON(op, gone, close, ends[0]);
    else if (op->res > 0)
        TDW_ON(op, next_one, send, ends[0], &((struct server *)op)->request, 1, 0);
    else
        next_one(op);
}

static void server_callback(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    next_one(&s->op);
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
        if (hangs_up(me->n))
            break;
        if (me->n > 0)
            TDW_AWAIT(me->n, send, ends[0], &me->request, 1, 0);
    }
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void server_stackful(void *unused)
{
    char request;
    int n;

    (void)unused;
    while (!hangs_up(n = tdw_recv(ends[0], &request, 1, 0)))
        if (n > 0)
            tdw_send(ends[0], &request, 1, 0);
    tdw_close(ends[0]);
}
SUBJECT(server);

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

static void client(void *unused)
{
    char answer;

    (void)unused;
    for (int i = 0; i < REQUESTS; i++) {
        const char request = (char)i;
        int n;

        tdw_send(ends[1], &request, 1, MSG_NOSIGNAL);
        n = tdw_recv(ends[1], &answer, 1, 0);
        tdw_check(n == 1 && answer == request, "the server hung up before answer %d", i);
    }
    tdw_close(ends[1]);
}

static void start(void)
{
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    server_spawn("server", NULL);
    tdw_spawn_stackful("client", client, NULL);
}

CORPUS(eintr_lost, start, "every request is answered");
