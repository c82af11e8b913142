/* SPDX-License-Identifier: MIT */
/*
 * The client of the bench's echo groups: many connections, one message in flight on each.
 *
 *     bench-load PORT CONNECTIONS
 *
 * It connects to 127.0.0.1, sends one message on each connection and checks what comes back, so
 * that the server has accepted all of them; then it prints "ready". For each number on its standard
 * input it keeps a message in flight on every connection for so many milliseconds, waits for those
 * that are still out, and prints
 *
 *     15300 150210345
 *
 * messages that came back, and the nanoseconds from the first send to the last answer. A server
 * that does not answer is not waited for: an alarm ends the program.
 *
 * It is meant to cost less than what it measures: edges (a message is one edge, and its receive
 * empties the socket), one receive and one send a message, one look at the clock a turn.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, EVENTS = 1024, PATIENCE_S = 10 };

struct connection {
    int fd;
    uint32_t got; /* of the answer */
};

static int epoll;
static struct connection *all;
static uint32_t connections;
static char message[MESSAGE];

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void ask(struct connection *c)
{
    c->got = 0;
    must(send(c->fd, message, MESSAGE, MSG_NOSIGNAL) == MESSAGE, "send");
}

static void connect_one(struct connection *c, uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct linger abrupt = {1, 0}; /* no TIME_WAIT */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    char answer[MESSAGE];
    const int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    must(c->fd >= 0, "socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
    must(connect(c->fd, (const struct sockaddr *)&to, sizeof to) == 0, "connect");
    ask(c);
    must(recv(c->fd, answer, MESSAGE, MSG_WAITALL) == MESSAGE, "recv");
    must(memcmp(answer, message, MESSAGE) == 0, "the answer differs");
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) == 0, "epoll_ctl");
}

/* Whether the answer is complete. */
static int take(struct connection *c)
{
    char answer[MESSAGE];
    const ssize_t n = recv(c->fd, answer, MESSAGE - c->got, MSG_DONTWAIT);

    must(n > 0, "recv");
    c->got += (uint32_t)n;
    return c->got == MESSAGE;
}

static void run(uint64_t ms)
{
    static struct epoll_event events[EVENTS];
    const uint64_t start = now(), end = start + ms * 1000000;
    uint64_t messages = 0;
    uint32_t out = connections;

    for (uint32_t i = 0; i < connections; i++)
        ask(&all[i]);
    while (out > 0) {
        const int count = epoll_wait(epoll, events, EVENTS, -1);
        const int go_on = now() < end;

        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;

            if (!take(c))
                continue;
            messages++;
            if (go_on)
                ask(c);
            else
                out--;
        }
    }
    printf("%llu %llu\n", (unsigned long long)messages, (unsigned long long)(now() - start));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned long long ms;

    if (argc < 3) {
        fprintf(stderr, "usage: load PORT CONNECTIONS\n");
        return 2;
    }
    connections = (uint32_t)atoi(argv[2]);
    all = calloc(connections, sizeof *all);
    epoll = epoll_create1(0);
    must(all && epoll >= 0, "load");
    for (int i = 0; i < MESSAGE; i++)
        message[i] = (char)('!' + i);
    alarm(PATIENCE_S);
    for (uint32_t i = 0; i < connections; i++)
        connect_one(&all[i], (uint16_t)atoi(argv[1]));
    alarm(0);
    printf("ready\n");
    fflush(stdout);
    while (scanf("%llu", &ms) == 1) {
        alarm((unsigned)(ms / 1000 + PATIENCE_S));
        run(ms);
        alarm(0);
    }
    return 0;
}
