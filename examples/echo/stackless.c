/* SPDX-License-Identifier: MIT */
/*
 * The echo server with stackless coroutines: what lives across a wait is in the frame.
 */
#include "echo.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

struct connection {
    struct tdw_frame frame;
    int fd, n, sent;
    char buffer[1024];
};
TDW_CO(connection)
{
    TDW_BEGIN(struct connection, me);
    for (;;) {
        TDW_AWAIT(me->n, recv, me->fd, me->buffer, sizeof me->buffer, 0);
        if (me->n <= 0)
            break;
        TDW_AWAIT(me->sent, send, me->fd, me->buffer, (size_t)me->n, MSG_WAITALL);
        if (me->sent < me->n)
            break;
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

struct server {
    struct tdw_frame frame;
    int listener, fd, n;
};
TDW_CO(server)
{
    TDW_BEGIN(struct server, me);
    me->listener = echo_listen();
    for (;;) {
        TDW_AWAIT(me->fd, accept, me->listener, NULL, NULL, 0);
        if (me->fd < 0)
            break;
        tdw_detach(TDW_SPAWN("connection", connection, struct connection, .fd = me->fd));
    }
    TDW_AWAIT(me->n, close, me->listener);
    TDW_RETURN(0);
    TDW_END;
}

void echo_stackless_server(void *unused)
{
    (void)unused;
    tdw_daemon(TDW_SPAWN("server", server, struct server));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct client {
    struct tdw_frame frame;
    int fd, n;
    uint32_t who, number, bytes, got;
    char out[BYTES_MAX], in[BYTES_MAX];
};
TDW_CO(client)
{
    TDW_BEGIN(struct client, me);
    for (;;) {
        me->fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        TDW_AWAIT(me->n, connect, me->fd, (struct sockaddr *)&scene.address, sizeof scene.address);
        if (me->n == 0)
            break;
        TDW_AWAIT(me->n, close, me->fd);
        TDW_AWAIT(me->n, sleep, RETRY_NS);
    }
    for (me->number = 0; me->number < MESSAGES; me->number++) {
        me->bytes = echo_message(me->who, me->number, me->out);
        TDW_AWAIT(me->n, send, me->fd, me->out, me->bytes, MSG_WAITALL);
        for (me->got = 0; me->n > 0 && me->got < me->bytes; me->got += (uint32_t)me->n)
            TDW_AWAIT(me->n, recv, me->fd, me->in + me->got, me->bytes - me->got, 0);
        tdw_check(me->n > 0, "the connection broke: %d", me->n);
        if (me->n <= 0)
            break;
        echo_check(me->out, me->in, me->bytes);
    }
    TDW_AWAIT(me->n, shutdown, me->fd, SHUT_WR);
    TDW_AWAIT(me->n, recv, me->fd, me->in, 1, 0);
    tdw_check(me->n == 0, "the end of the stream: %d", me->n);
    TDW_AWAIT(me->n, close, me->fd);
    left_group(&scene.running);
    TDW_RETURN(0);
    TDW_END;
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < CLIENTS; i++)
        TDW_SPAWN("client", client, struct client, .who = i);
}

TDW_CO_EXTERN(echo_stackless)
{
    TDW_BEGIN(struct echo_test, me);
    scene_init(echo_stackless_server, clients_main);
    TDW_AWAIT(me->n, wg_wait, &scene.running);
    TDW_RETURN(0);
    TDW_END;
}
