/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's echo_epoll: an echo server on epoll, with nothing between.
 *
 *     bench-echo_epoll [level]
 *
 * Edges, unless `level` is asked for. A connection is registered once; while what it received could
 * not all be sent it is watched for room alone, so that it takes no more than it can give back. A
 * receive that did not fill the buffer has emptied the socket, and the next edge tells of more; but
 * an end that came together with the last bytes has no edge of its own, so it is asked for.
 */
#include "peer.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS = 1024 };

struct connection {
    int fd;
    uint32_t bytes, sent;
    char buffer[PEER_ROOM];
};

static int epoll;
static uint32_t trigger = EPOLLET;

static void watch(struct connection *c, int what, uint32_t events)
{
    struct epoll_event event = {.events = events | trigger, .data.ptr = c};

    epoll_ctl(epoll, what, c->fd, &event);
}

/* 1: all is sent; 0: there is no room for it yet; -errno. */
static int send_rest(struct connection *c)
{
    while (c->sent < c->bytes) {
        const ssize_t n = send(c->fd, c->buffer + c->sent, c->bytes - c->sent, 0);

        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        c->sent += (uint32_t)n;
    }
    peer_bytes += c->bytes;
    return 1;
}

/* Whether the connection is still there; `all`: there is more to come than an edge will tell. */
static bool echo(struct connection *c, bool all)
{
    for (;;) {
        const ssize_t n = recv(c->fd, c->buffer, sizeof c->buffer, 0);
        int sent;

        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        c->bytes = (uint32_t)n;
        c->sent = 0;
        sent = send_rest(c);
        if (sent < 0)
            return false;
        if (sent == 0) {
            watch(c, EPOLL_CTL_MOD, EPOLLOUT);
            return true;
        }
        if (!all && (size_t)n < sizeof c->buffer)
            return true;
    }
}

static void ready(struct connection *c, uint32_t events)
{
    bool there = true;

    if (c->sent < c->bytes) {
        const int sent = send_rest(c);

        if (sent > 0)
            watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP);
        there = sent >= 0;
    } else {
        there = echo(c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    }
    if (!there) {
        close(c->fd);
        free(c);
    }
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = malloc(sizeof *c);

        if (!c) {
            close(fd);
            continue;
        }
        c->fd = fd;
        c->bytes = c->sent = 0;
        watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct connection listener;

    if (argc > 1 && strcmp(argv[1], "level") == 0)
        trigger = 0;
    epoll = epoll_create1(0);
    listener.fd = peer_listen(SOCK_NONBLOCK);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        const int count = epoll_wait(epoll, events, EVENTS, -1);

        for (int i = 0; i < count; i++)
            if (events[i].data.ptr == &listener)
                accept_all(listener.fd);
            else
                ready(events[i].data.ptr, events[i].events);
    }
}
