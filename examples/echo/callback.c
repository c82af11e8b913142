/* SPDX-License-Identifier: MIT */
/*
 * The echo server with callbacks: each step names the one that follows it.
 */
#include "echo.h"

/* The last step of whoever begins with its op. */
static void gone(struct tdw_op *op)
{
    tdw_free(op);
}

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

struct connection {
    struct tdw_op op;
    int fd;
    uint32_t bytes;
    char buffer[1024];
};
#define CONNECTION(op_) tdw_of(op_, struct connection, op)

static void sent_back(struct tdw_op *op);
static void received(struct tdw_op *op)
{
    struct connection *c = CONNECTION(op);

    c->bytes = (uint32_t)op->res;
    if (op->res > 0)
        TDW_ON(op, sent_back, send, c->fd, c->buffer, c->bytes, MSG_WAITALL);
    else
        TDW_ON(op, gone, close, c->fd);
}

static void sent_back(struct tdw_op *op)
{
    struct connection *c = CONNECTION(op);

    if (op->res == (int)c->bytes)
        TDW_ON(op, received, recv, c->fd, c->buffer, sizeof c->buffer, 0);
    else
        TDW_ON(op, gone, close, c->fd);
}

static void connection(void *arg)
{
    struct connection *c = tdw_malloc(sizeof *c);

    c->fd = (int)(intptr_t)arg;
    TDW_ON(&c->op, received, recv, c->fd, c->buffer, sizeof c->buffer, 0);
}

struct server {
    struct tdw_op op;
    int listener;
};
#define SERVER(op_) tdw_of(op_, struct server, op)

static void accepted(struct tdw_op *op)
{
    if (op->res < 0) {
        TDW_ON(op, gone, close, SERVER(op)->listener);
        return;
    }
    tdw_detach(tdw_spawn_callback("connection", connection, (void *)(intptr_t)op->res));
    TDW_ON(op, accepted, accept, SERVER(op)->listener, NULL, NULL, 0);
}

static void server(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    s->listener = echo_listen();
    TDW_ON(&s->op, accepted, accept, s->listener, NULL, NULL, 0);
}

void echo_callback_server(void *unused)
{
    tdw_daemon(tdw_spawn_callback("server", server, unused));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct client {
    struct tdw_op op;
    int fd;
    uint32_t who, number, bytes, got;
    char out[BYTES_MAX], in[BYTES_MAX];
};
#define CLIENT(op_) tdw_of(op_, struct client, op)

static void left(struct tdw_op *op)
{
    gone(op);
    left_group(&scene.running);
}

static void ended(struct tdw_op *op)
{
    tdw_check(op->res == 0, "the end of the stream: %d", op->res);
    TDW_ON(op, left, close, CLIENT(op)->fd);
}

static void shut(struct tdw_op *op)
{
    TDW_ON(op, ended, recv, CLIENT(op)->fd, CLIENT(op)->in, 1, 0);
}

static void next_message(struct client *c);
static void heard(struct tdw_op *op)
{
    struct client *c = CLIENT(op);

    if (op->res > 0)
        c->got += (uint32_t)op->res;
    if (op->res > 0 && c->got < c->bytes) {
        TDW_ON(op, heard, recv, c->fd, c->in + c->got, c->bytes - c->got, 0);
        return;
    }
    tdw_check(op->res > 0, "the connection broke: %d", op->res);
    if (op->res <= 0)
        c->number = MESSAGES;
    else
        echo_check(c->out, c->in, c->bytes);
    next_message(c);
}

static void asked(struct tdw_op *op)
{
    struct client *c = CLIENT(op);

    if (op->res > 0)
        TDW_ON(op, heard, recv, c->fd, c->in, c->bytes, 0);
    else
        heard(op);
}

static void next_message(struct client *c)
{
    if (c->number == MESSAGES) {
        TDW_ON(&c->op, shut, shutdown, c->fd, SHUT_WR);
        return;
    }
    c->bytes = echo_message(c->who, c->number++, c->out);
    c->got = 0;
    TDW_ON(&c->op, asked, send, c->fd, c->out, c->bytes, MSG_WAITALL);
}

static void try_again(struct tdw_op *op);
static void waited(struct tdw_op *op)
{
    TDW_ON(op, try_again, sleep, RETRY_NS);
}

static void connected(struct tdw_op *op)
{
    if (op->res == 0)
        next_message(CLIENT(op));
    else
        TDW_ON(op, waited, close, CLIENT(op)->fd);
}

static void try_again(struct tdw_op *op)
{
    struct client *c = CLIENT(op);

    c->fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    TDW_ON(op, connected, connect, c->fd, (void *)&scene.address, sizeof scene.address);
}

static void client(void *arg)
{
    struct client *c = tdw_malloc(sizeof *c);

    c->who = (uint32_t)(uintptr_t)arg;
    try_again(&c->op);
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uintptr_t i = 0; i < CLIENTS; i++)
        tdw_spawn_callback("client", client, (void *)i);
}

static void done(struct tdw_op *op)
{
    (void)op;
}

void echo_callback(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    scene_init(echo_callback_server, clients_main);
    op = (struct tdw_op){.res = 0};
    TDW_ON(&op, done, wg_wait, &scene.running);
}
