/* SPDX-License-Identifier: MIT */
/*
 * The echo server of the bench on tidewheel's real backends, in each model.
 *
 *     bench-echo_tidewheel uring|epoll callback|stackless|stackful
 *
 * It does what the peers do: one op in flight for a connection, a receive into a buffer of its own,
 * then the send of what came. A connection is a task.
 */
#include "peer.h"
#include <string.h>
#include <tidewheel/loop.h>
#include <tidewheel/stackful.h>
#include <tidewheel/stackless.h>
#include <tidewheel/sys.h>
#include <tidewheel/world.h>

enum { OPS_MAX = 8192 };

static int listener;

static void open_listener(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof at;

    listener = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || tdw_sys_bind(listener, (struct sockaddr *)&at, bytes) < 0 ||
        tdw_sys_listen(listener, PEER_BACKLOG) < 0 ||
        tdw_sys_getsockname(listener, (struct sockaddr *)&at, &bytes) < 0)
        exit(1);
    peer_ready(&at);
}

/* ── Callbacks ─────────────────────────────────────────────────────────────────────────────── */

struct connection {
    struct tdw_op op;
    int fd;
    int bytes;
    char buffer[PEER_ROOM];
};
#define CONNECTION(op_) tdw_of(op_, struct connection, op)

static void closed(struct tdw_op *op)
{
    tdw_free(CONNECTION(op));
}

static void sent(struct tdw_op *op);
static void received(struct tdw_op *op)
{
    struct connection *c = CONNECTION(op);

    c->bytes = op->res;
    if (c->bytes > 0)
        TDW_ON(op, sent, send, c->fd, c->buffer, (size_t)c->bytes, MSG_WAITALL);
    else
        TDW_ON(op, closed, close, c->fd);
}

static void sent(struct tdw_op *op)
{
    struct connection *c = CONNECTION(op);

    if (op->res == c->bytes) {
        peer_bytes += (uint64_t)op->res;
        TDW_ON(op, received, recv, c->fd, c->buffer, sizeof c->buffer, 0);
    } else {
        TDW_ON(op, closed, close, c->fd);
    }
}

static void connection(void *fd)
{
    struct connection *c = tdw_malloc(sizeof *c);

    c->op = (struct tdw_op){.res = 0};
    c->fd = (int)(intptr_t)fd;
    TDW_ON(&c->op, received, recv, c->fd, c->buffer, sizeof c->buffer, 0);
}

static void accepted(struct tdw_op *op)
{
    if (op->res >= 0)
        tdw_detach(tdw_spawn_callback("connection", connection, (void *)(intptr_t)op->res));
    TDW_ON(op, accepted, accept, listener, NULL, NULL, 0);
}

static void serve_callback(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    open_listener();
    TDW_ON(&op, accepted, accept, listener, NULL, NULL, 0);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct frame {
    struct tdw_frame frame;
    int fd, n, sent;
    char buffer[PEER_ROOM];
};
TDW_CO(stackless_connection)
{
    TDW_BEGIN(struct frame, me);
    for (;;) {
        TDW_AWAIT(me->n, recv, me->fd, me->buffer, sizeof me->buffer, 0);
        if (me->n <= 0)
            break;
        TDW_AWAIT(me->sent, send, me->fd, me->buffer, (size_t)me->n, MSG_WAITALL);
        if (me->sent < me->n)
            break;
        peer_bytes += (uint64_t)me->sent;
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

struct acceptor {
    struct tdw_frame frame;
    int fd;
};
TDW_CO(acceptor)
{
    TDW_BEGIN(struct acceptor, me);
    for (;;) {
        TDW_AWAIT(me->fd, accept, listener, NULL, NULL, 0);
        if (me->fd >= 0)
            tdw_detach(TDW_SPAWN("connection", stackless_connection, struct frame, .fd = me->fd));
    }
    TDW_END;
}

static void serve_stackless(void *unused)
{
    (void)unused;
    open_listener();
    TDW_SPAWN("acceptor", acceptor, struct acceptor);
}

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void stackful_connection(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    char buffer[PEER_ROOM];
    int n;

    while ((n = tdw_recv(fd, buffer, sizeof buffer, 0)) > 0) {
        if (tdw_send(fd, buffer, (size_t)n, MSG_WAITALL) < n)
            break;
        peer_bytes += (uint64_t)n;
    }
    tdw_close(fd);
}

static void stackful_acceptor(void *unused)
{
    (void)unused;
    for (;;) {
        const int fd = tdw_accept(listener, NULL, NULL, 0);

        if (fd >= 0)
            tdw_detach(tdw_spawn_stackful("connection", stackful_connection, (void *)(intptr_t)fd));
    }
}

static void serve_stackful(void *unused)
{
    open_listener();
    tdw_spawn_stackful("acceptor", stackful_acceptor, unused);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*serve)(void *);
    } models[] = {
        {"callback", serve_callback}, {"stackless", serve_stackless}, {"stackful", serve_stackful}};
    struct tdw_loop_options options = {.ops_max = OPS_MAX};
    struct tdw_loop *loop;

    options.backend = tdw_backend_named(argc > 2 ? argv[1] : "uring");
    if (argc < 3 || tdw_loop_open(&loop, &options) < 0)
        return 1;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(argv[2], models[i].name) == 0)
            tdw_loop_start(loop, models[i].serve, NULL);
    return tdw_loop_run(loop) == 0 ? 0 : 1;
}
