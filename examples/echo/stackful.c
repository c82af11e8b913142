/* SPDX-License-Identifier: MIT */
/*
 * The echo server with stackful coroutines.
 */
#include "echo.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

static void connection(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    char buffer[1024];
    int n;

    while ((n = tdw_recv(fd, buffer, sizeof buffer, 0)) > 0)
        if (tdw_send(fd, buffer, (size_t)n, MSG_WAITALL) < n)
            break;
    tdw_close(fd);
}

static void server(void *unused)
{
    const int listener = echo_listen();
    int fd;

    (void)unused;
    while ((fd = tdw_accept(listener, NULL, NULL, 0)) >= 0)
        tdw_detach(tdw_spawn_stackful("connection", connection, (void *)(intptr_t)fd));
    tdw_close(listener);
}

void echo_stackful_server(void *unused)
{
    tdw_daemon(tdw_spawn_stackful("server", server, unused));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

static int connect_patiently(void)
{
    for (;;) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

        if (tdw_connect(fd, (struct sockaddr *)&scene.address, sizeof scene.address) == 0)
            return fd;
        tdw_close(fd);
        tdw_sleep(RETRY_NS);
    }
}

static void client(void *arg)
{
    const uint32_t who = (uint32_t)(uintptr_t)arg;
    const int fd = connect_patiently();
    char out[BYTES_MAX], in[BYTES_MAX];
    int n = 0;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        const uint32_t bytes = echo_message(who, i, out);

        n = tdw_send(fd, out, bytes, MSG_WAITALL);
        for (uint32_t got = 0; n > 0 && got < bytes; got += (uint32_t)n)
            n = tdw_recv(fd, in + got, bytes - got, 0);
        tdw_check(n > 0, "the connection broke: %d", n);
        if (n <= 0)
            break;
        echo_check(out, in, bytes);
    }
    tdw_shutdown(fd, SHUT_WR);
    n = tdw_recv(fd, in, 1, 0);
    tdw_check(n == 0, "the end of the stream: %d", n);
    tdw_close(fd);
    left_group(&scene.running);
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uintptr_t i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client, (void *)i);
}

void echo_stackful(void *unused)
{
    (void)unused;
    scene_init(echo_stackful_server, clients_main);
    tdw_wg_wait(&scene.running);
}
