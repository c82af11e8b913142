/* SPDX-License-Identifier: MIT */
/*
 * An edge is told once, and there was more behind it.
 *
 *     client ── request, request, … every PACE ──▶ server: epoll, EPOLLET ── reads one ── answers
 *
 * Edge-triggered, epoll tells that something came, and not that something is there. When two
 * requests come before the server reads, it is told once; it reads one, and waits. Nothing more
 * comes, as the client waits for its answers. Who is told of an edge reads until -EAGAIN.
 *
 * Seen: strongSwan's davici_read() took one event a call (github.com/strongswan/davici/issues/4);
 * epoll(7), "Possible pitfalls and ways to avoid them" and its questions and answers.
 *
 * Found as:  deadlock: nothing can come; .*server#0 waits for EPOLL_WAIT.*client#0 waits for RECV
 * Optimum:   1 deviation, 0 faults: the server is told so late that the next request has come
 */
#include "corpus.h"

enum { READS_ONCE = BUGGY };
enum { REQUESTS = 5 };
#define PACE (3 * US)

static int ends[2]; /* the server's, the client's */

static int watched(void)
{
    const struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    const int epoll = tdw_sys_epoll_create1(0);

    tdw_sys_epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    return epoll;
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

struct server {
    struct tdw_op op;
    struct epoll_event event;
    int epoll;
    char request;
};

static void closed(struct tdw_op *op)
{
    TDW_ON(op, gone, close, ((struct server *)op)->epoll);
}

static void told(struct tdw_op *op);
static void waits(struct tdw_op *op)
{
    struct server *s = (void *)op;

    TDW_ON(op, told, epoll_wait, s->epoll, &s->event, 1, UINT64_MAX);
}

static void received(struct tdw_op *op)
{
    struct server *s = (void *)op;

    if (op->res > 0)
        TDW_ON(op, READS_ONCE ? waits : told, send, ends[0], &s->request, 1, MSG_NOSIGNAL);
    else if (op->res == 0)
        TDW_ON(op, closed, close, ends[0]);
    else
        waits(op);
}

static void told(struct tdw_op *op)
{
    TDW_ON(op, received, recv, ends[0], &((struct server *)op)->request, 1, MSG_DONTWAIT);
}

static void server_callback(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    s->epoll = watched();
    waits(&s->op);
}

struct server_frame {
    struct tdw_frame frame;
    void *arg;
    struct epoll_event event;
    int epoll, n, unused;
    char request;
};
TDW_CO(server_stackless)
{
    TDW_BEGIN(struct server_frame, me);
    me->epoll = watched();
    do {
        TDW_AWAIT(me->n, epoll_wait, me->epoll, &me->event, 1, UINT64_MAX);
        do {
            TDW_AWAIT(me->n, recv, ends[0], &me->request, 1, MSG_DONTWAIT);
            if (me->n > 0)
                TDW_AWAIT(me->unused, send, ends[0], &me->request, 1, MSG_NOSIGNAL);
        } while (me->n > 0 && !READS_ONCE);
    } while (me->n != 0);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_AWAIT(me->n, close, me->epoll);
    TDW_RETURN(0);
    TDW_END;
}

static void server_stackful(void *unused)
{
    const int epoll = watched();
    struct epoll_event event;
    char request;
    int n;

    (void)unused;
    do {
        tdw_epoll_wait(epoll, &event, 1, UINT64_MAX);
        do {
            n = tdw_recv(ends[0], &request, 1, MSG_DONTWAIT);
            if (n > 0)
                tdw_send(ends[0], &request, 1, MSG_NOSIGNAL);
        } while (n > 0 && !READS_ONCE);
    } while (n != 0);
    tdw_close(ends[0]);
    tdw_close(epoll);
}
SUBJECT(server);

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

static void client(void *unused)
{
    char answer;

    (void)unused;
    for (int i = 0; i < REQUESTS; i++) {
        tdw_send(ends[1], "?", 1, 0);
        tdw_sleep(PACE);
    }
    for (int i = 0; i < REQUESTS; i++)
        tdw_recv(ends[1], &answer, 1, 0);
    tdw_close(ends[1]);
}

static void start(void)
{
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    server_spawn("server", NULL);
    tdw_spawn_stackful("client", client, NULL);
}

CORPUS(edge_triggered, start, "every request is answered");
