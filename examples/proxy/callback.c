/* SPDX-License-Identifier: MIT */
/*
 * The proxy with callbacks: each step names the one that follows it. Structs begin with their op.
 */
#include "proxy.h"

/* The last step of whoever begins with its op. */
static void gone(struct tdw_op *op)
{
    tdw_free(op);
}

struct session {
    struct tdw_op op, timer;
    int client, backend;
    struct tdw_wg pumps;
};

struct pump {
    struct tdw_op op, timer;
    int from, to, n;
    struct session *session;
    char buffer[BUFFER_BYTES];
};

static void pump_done(struct tdw_op *op)
{
    tdw_wg_done(&((struct pump *)(void *)op)->session->pumps);
    gone(op);
}

static void pump_shut(struct tdw_op *op)
{
    struct pump *p = (void *)op;

    TDW_ON(op, pump_done, shutdown, p->to, p->n == 0 ? SHUT_WR : SHUT_RDWR);
}

static void pump_ended(struct pump *p)
{
    proxy_ended(p->session->client, p->n);
    if (p->n != 0) /* the session is over: the other pump ends, too */
        TDW_ON(&p->op, pump_shut, shutdown, p->from, SHUT_RDWR);
    else
        pump_shut(&p->op);
}

static void pump_received(struct tdw_op *op);
static void pump_sent(struct tdw_op *op)
{
    struct pump *p = (void *)op;

    if (op->res < p->n)
        pump_ended(p);
    else
        TDW_ON_WITHIN(op, &p->timer, IDLE_NS, pump_received, recv, p->from, p->buffer,
                      sizeof p->buffer, 0);
}

static void pump_received(struct tdw_op *op)
{
    struct pump *p = (void *)op;

    p->n = op->res;
    if (p->n > 0)
        TDW_ON(op, pump_sent, send, p->to, p->buffer, (size_t)p->n, MSG_WAITALL);
    else
        pump_ended(p);
}

static void pump(struct session *s, int from, int to)
{
    struct pump *p = tdw_malloc(sizeof *p);

    p->from = from, p->to = to, p->session = s;
    pump_sent(&p->op);
}

static void upstream(void *arg)
{
    struct session *s = arg;

    pump(s, s->client, s->backend);
}

static void downstream(void *arg)
{
    struct session *s = arg;

    pump(s, s->backend, s->client);
}

static void backend_closed(struct tdw_op *op)
{
    TDW_ON(op, gone, close, ((struct session *)(void *)op)->client);
}

static void session_over(struct tdw_op *op)
{
    TDW_ON(op, backend_closed, close, ((struct session *)(void *)op)->backend);
}

static void backend_connected(struct tdw_op *op)
{
    struct session *s = (void *)op;

    proxy_ended(s->client, op->res);
    if (op->res != 0) {
        session_over(op);
        return;
    }
    tdw_wg_init(&s->pumps, "pumps");
    tdw_wg_add(&s->pumps, 2);
    tdw_detach(tdw_spawn_callback("up", upstream, s));
    tdw_detach(tdw_spawn_callback("down", downstream, s));
    TDW_ON(op, session_over, wg_wait, &s->pumps);
}

static void session(void *arg)
{
    struct session *s = tdw_malloc(sizeof *s);

    s->client = (int)(intptr_t)arg;
    s->backend = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    TDW_ON_WITHIN(&s->op, &s->timer, CONNECT_NS, backend_connected, connect, s->backend,
                  (struct sockaddr *)&scene.backend_address, sizeof scene.backend_address);
}

struct proxy {
    struct tdw_op op;
    int listener;
};

static void accepted(struct tdw_op *op)
{
    struct proxy *p = (void *)op;

    if (op->res < 0) {
        TDW_ON(op, gone, close, p->listener);
        return;
    }
    tdw_detach(tdw_spawn_callback("session", session, (void *)(intptr_t)op->res));
    TDW_ON(op, accepted, accept, p->listener, NULL, NULL, 0);
}

static void proxy(void *unused)
{
    struct proxy *p = tdw_malloc(sizeof *p);

    (void)unused;
    p->listener = proxy_listen(PROXY_PORT);
    TDW_ON(&p->op, accepted, accept, p->listener, NULL, NULL, 0);
}

void proxy_callback_server(void *unused)
{
    tdw_daemon(tdw_spawn_callback("proxy", proxy, unused));
}

static void done(struct tdw_op *op)
{
    (void)op;
}

void proxy_callback(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    scene_init(proxy_callback_server);
    op = (struct tdw_op){.res = 0};
    TDW_ON(&op, done, wg_wait, &scene.running);
}
