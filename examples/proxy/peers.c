/* SPDX-License-Identifier: MIT */
/*
 * The two ends that the proxy stands between: the backend and the clients.
 */
#include "proxy.h"

/* ── Backend ───────────────────────────────────────────────────────────────────────────────── */

static void answer(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    char request[REQUEST_MAX];
    uint32_t bytes = 0;
    int n;

    while ((n = tdw_recv(fd, request + bytes, REQUEST_MAX - bytes, 0)) > 0 &&
           (bytes += (uint32_t)n) < REQUEST_MAX)
        ;
    if (bytes > 0 && request[0] == 'h')
        tdw_sleep(2 * (uint64_t)IDLE_NS); /* the proxy has had enough by then */
    else
        for (int i = 0; i < TIMES && n >= 0; i++)
            n = tdw_send(fd, request, bytes, MSG_WAITALL);
    tdw_close(fd);
}

static void backend(void *unused)
{
    const int listener = proxy_listen(BACKEND_PORT);
    int fd;

    (void)unused;
    while ((fd = tdw_accept(listener, NULL, NULL, 0)) >= 0)
        tdw_detach(tdw_spawn_stackful("answer", answer, (void *)(intptr_t)fd));
    tdw_close(listener);
}

void backend_main(void *unused)
{
    tdw_daemon(tdw_spawn_stackful("backend", backend, unused));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

/* A request: its length. Its first byte is 'h' for a backend that hangs, else 'a'. */
static uint32_t request_of(char *to)
{
    const uint32_t bytes = 1 + tdw_choose("bytes", REQUEST_MAX);

    memset(to, 'x', bytes);
    to[0] = tdw_choose("hang", 4) == 3 ? 'h' : 'a';
    return bytes;
}

static int port_of(int fd)
{
    struct sockaddr_in own = {.sin_port = 0};
    socklen_t bytes = sizeof own;

    tdw_sys_getsockname(fd, (struct sockaddr *)&own, &bytes);
    return ntohs(own.sin_port);
}

/* `answered` bytes came, and then the receive answered `last`. */
static void check(int port, const char *request, uint32_t bytes, int64_t answered, int last)
{
    const bool given_up = proxy_gave_up(port);
    const int64_t expected = (int64_t)bytes * TIMES;

    tdw_check(given_up || request[0] != 'h', "the backend hung, and nobody gave up");
    tdw_check(given_up || last == 0, "the answer's end: %d", last);
    tdw_check(given_up || answered == expected, "an answer of %lld bytes, not %lld",
              (long long)answered, (long long)expected);
}

static void client(void *unused)
{
    char request[REQUEST_MAX], buffer[BUFFER_BYTES];
    const uint32_t bytes = request_of(request);
    int64_t answered = 0;
    int fd, n, port;

    (void)unused;
    for (;;) {
        fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        n = tdw_connect(fd, (struct sockaddr *)&scene.proxy_address, sizeof scene.proxy_address);
        if (n == 0)
            break;
        tdw_close(fd);
        tdw_sleep(RETRY_NS);
    }
    port = port_of(fd);
    n = tdw_send(fd, request, bytes, MSG_WAITALL);
    tdw_shutdown(fd, SHUT_WR);
    while ((n = tdw_recv(fd, buffer, sizeof buffer, 0)) > 0) {
        answered += n;
        tdw_sleep(RETRY_NS); /* a slow reader */
    }
    check(port, request, bytes, answered, n);
    tdw_close(fd);
    left_group(&scene.running);
}

void clients_main(void *unused)
{
    for (int i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client, unused);
}
