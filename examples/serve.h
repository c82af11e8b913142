/* SPDX-License-Identifier: MIT */
/*
 * An example as a real server: PROGRAM -- serve PORT [callback|stackless|stackful] [more].
 *
 * The server of a scenario, the same code, runs as the root task of the program's own host, on the
 * real backend that TDW_BACKEND names (uring, epoll), and serves whoever connects to PORT. SIGINT
 * and SIGTERM end it; TDW_TRACE=FILE keeps what happened.
 */
#ifndef EXAMPLES_SERVE_H
#define EXAMPLES_SERVE_H

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <tidewheel/loop.h>
#include <tidewheel/process.h>
#include <tidewheel/stackful.h>

struct serve {
    int port, more; /* more: a number behind the model, or 0 */
    int model;      /* enum tdw_model */
    void (*mains[3])(void *);
};

/* "-- serve …" among the arguments: 1, 0: not there, -1: told what is wrong with it. */
static inline int serve_asked(struct serve *serve, int argc, char **argv)
{
    static const char *const models[] = {"callback", "stackless", "stackful"};
    int at = 1;

    while (at < argc && strcmp(argv[at], "--") != 0)
        at++;
    if (at + 1 >= argc || strcmp(argv[at + 1], "serve") != 0)
        return 0;
    serve->port = at + 2 < argc ? atoi(argv[at + 2]) : 0;
    serve->model = 2;
    for (int i = 0; at + 3 < argc && i < 3; i++)
        if (strcmp(argv[at + 3], models[i]) == 0)
            serve->model = i;
    serve->more = at + 4 < argc ? atoi(argv[at + 4]) : 0;
    if (serve->port > 0 && serve->port < 65536 &&
        (at + 3 >= argc || strcmp(argv[at + 3], models[serve->model]) == 0))
        return 1;
    fprintf(stderr, "usage: %s -- serve PORT [callback|stackless|stackful]\n", argv[0]);
    return -1;
}

static inline void serve_until_told(void *unused)
{
    struct signalfd_siginfo info;
    sigset_t set;

    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    tdw_read(signalfd(-1, &set, SFD_CLOEXEC), &info, sizeof info);
    tdw_proc_exit(0);
}

/* The port is free when the kernel is done with the ring of a predecessor that was killed: an
 * accept in flight keeps its listener until then, a moment longer than the process. */
static inline void serve_wait_for_port(int port)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;

    for (int tries = 0; tries < 500; tries++) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        int bound;

        tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bound = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
        tdw_close(fd);
        if (bound != -EADDRINUSE)
            return;
        tdw_sleep(10000000);
    }
}

static inline void serve_task(void *arg)
{
    const struct serve *serve = arg;

    serve_wait_for_port(serve->port);
    serve->mains[serve->model](NULL);
    serve_until_told(NULL);
}

static inline void serve_main(void *arg)
{
    if (strcmp(tdw_loop_backend(tdw_loop()), "sim") == 0) {
        fprintf(stderr, "a simulated kernel has no clients outside: TDW_BACKEND=uring or epoll\n");
        return;
    }
    tdw_spawn_stackful("serve", serve_task, arg);
}

/* Serve until a signal: an exit code. */
static inline int serve_run(struct serve *serve)
{
    sigset_t set;
    int ret;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL); /* they are read, and by every thread's leave */
    signal(SIGPIPE, SIG_IGN);
    ret = tdw_run(NULL, serve_main, serve);
    if (ret == -EPERM || ret == -ENOSYS || ret == -EACCES)
        return 5;
    if (ret == -EINVAL)
        return 2;
    return ret == 0 ? 0 : 7;
}

#endif
