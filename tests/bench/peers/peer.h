/* SPDX-License-Identifier: MIT */
/*
 * What the echo servers of the bench have in common.
 *
 * A server listens on a free port of 127.0.0.1, prints the port, and sends back whatever comes, on
 * any number of connections, in one thread, until SIGTERM or SIGINT. Then it prints one line,
 *
 *     cpu_ns 123456789 messages 24000
 *
 * its own processor time, user and system, and how many messages it sent back. Nobody asks it
 * anything while it is measured: processor time can be read from outside, and the client counts.
 * So all that differs between two servers is how they wait and how they move bytes.
 */
#ifndef TDW_BENCH_PEER_H
#define TDW_BENCH_PEER_H

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_MESSAGE = 64, PEER_ROOM = 4096, PEER_BACKLOG = 1024 };

static uint64_t peer_bytes; /* sent back so far */

static inline uint64_t peer_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000;
}

/* The end, in a signal: nothing that was interrupted goes on, so printing cannot meet itself. */
static inline void peer_end(int signal)
{
    struct rusage used;

    (void)signal;
    getrusage(RUSAGE_SELF, &used);
    dprintf(1, "cpu_ns %llu messages %llu\n",
            (unsigned long long)(peer_ns(used.ru_utime) + peer_ns(used.ru_stime)),
            (unsigned long long)(peer_bytes / PEER_MESSAGE));
    _exit(0);
}

/* From here on clients may come. */
static inline void peer_ready(const struct sockaddr_in *at)
{
    signal(SIGTERM, peer_end);
    signal(SIGINT, peer_end);
    signal(SIGPIPE, SIG_IGN);
    printf("%u\n", ntohs(at->sin_port));
    fflush(stdout);
}

/* A listening socket; `flags` as of socket's type. */
static inline int peer_listen(int flags)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, bytes) < 0 || listen(fd, PEER_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &bytes) < 0) {
        perror("listen");
        exit(1);
    }
    peer_ready(&at);
    return fd;
}

#endif
