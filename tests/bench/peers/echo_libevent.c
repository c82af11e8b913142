/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's echo groups: an echo server on libevent's bufferevents, which is what its
 * users write: what came is moved, not copied, from the one's input to its output.
 */
#include "peer.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static void received(struct bufferevent *connection, void *unused)
{
    struct evbuffer *input = bufferevent_get_input(connection);

    (void)unused;
    peer_bytes += evbuffer_get_length(input);
    bufferevent_write_buffer(connection, input);
}

static void ended(struct bufferevent *connection, short what, void *unused)
{
    (void)unused;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(connection);
}

static void connected(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int bytes, void *base)
{
    struct bufferevent *connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)listener, (void)from, (void)bytes;
    if (!connection) {
        close(fd);
        return;
    }
    bufferevent_setcb(connection, received, NULL, ended, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(void)
{
    struct event_base *base = event_base_new();

    if (!base || !evconnlistener_new(base, connected, base, LEV_OPT_CLOSE_ON_FREE, 0,
                                     peer_listen(SOCK_NONBLOCK)))
        return 1;
    return event_base_dispatch(base);
}
