/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's echo groups: an echo server on libuv.
 *
 * Each read has a message of its own, the buffer and the write request in one, so that reads may
 * overtake writes; messages come from a list and go back there, so that none is allocated once the
 * list is long enough.
 */
#include "peer.h"
#include <stddef.h>
#include <uv.h>

struct message {
    uv_write_t write;
    struct message *next;
    uv_buf_t filled;
    char bytes[PEER_ROOM];
};

static struct message *spare;

static void give_back(struct message *m)
{
    m->next = spare;
    spare = m;
}

static void gone(uv_handle_t *connection)
{
    free(connection);
}

static void provide(uv_handle_t *connection, size_t wanted, uv_buf_t *to)
{
    struct message *m = spare;

    (void)connection, (void)wanted;
    if (m)
        spare = m->next;
    else
        m = malloc(sizeof *m);
    *to = uv_buf_init(m ? m->bytes : NULL, m ? sizeof m->bytes : 0);
}

static void written(uv_write_t *write, int status)
{
    struct message *m = (struct message *)(void *)write;

    if (status == 0)
        peer_bytes += m->filled.len;
    give_back(m);
}

static void received(uv_stream_t *connection, ssize_t n, const uv_buf_t *from)
{
    struct message *m = NULL;

    if (from->base)
        m = (struct message *)(void *)(from->base - offsetof(struct message, bytes));
    if (n > 0) {
        m->filled = uv_buf_init(m->bytes, (unsigned)n);
        uv_write(&m->write, connection, &m->filled, 1, written);
        return;
    }
    if (m)
        give_back(m);
    if (n < 0)
        uv_close((uv_handle_t *)connection, gone);
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *connection = status == 0 ? malloc(sizeof *connection) : NULL;

    if (!connection)
        return;
    uv_tcp_init(listener->loop, connection);
    if (uv_accept(listener, (uv_stream_t *)connection) == 0)
        uv_read_start((uv_stream_t *)connection, provide, received);
    else
        uv_close((uv_handle_t *)connection, gone);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;

    if (uv_tcp_init(loop, &listener) < 0 || uv_tcp_open(&listener, peer_listen(0)) < 0 ||
        uv_listen((uv_stream_t *)&listener, PEER_BACKLOG, connected) < 0)
        return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
