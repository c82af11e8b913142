/* SPDX-License-Identifier: MIT */
/*
 * The proxy with stackful coroutines.
 */
#include "proxy.h"

struct session {
    int client, backend;
    struct tdw_wg pumps;
};

static void pump(struct session *s, int from, int to)
{
    char buffer[BUFFER_BYTES];
    int n;

    while ((n = TDW_DO_WITHIN(IDLE_NS, recv, from, buffer, sizeof buffer, 0)) > 0)
        if (tdw_send(to, buffer, (size_t)n, MSG_WAITALL) < n)
            break;
    proxy_ended(s->client, n);
    if (n != 0) /* the session is over: the other pump ends, too */
        tdw_shutdown(from, SHUT_RDWR);
    tdw_shutdown(to, n == 0 ? SHUT_WR : SHUT_RDWR);
    tdw_wg_done(&s->pumps);
}

static void upstream(void *arg)
{
    struct session *s = arg;

    pump(s, s->client, s->backend);
}

static void downstream(void *arg)
{
    struct session *s = arg;

    pump(s, s->backend, s->client);
}

static void session(void *arg)
{
    struct session s = {.client = (int)(intptr_t)arg,
                        .backend = tdw_sys_socket(AF_INET, SOCK_STREAM, 0)};
    const int n =
        TDW_DO_WITHIN(CONNECT_NS, connect, s.backend, (struct sockaddr *)&scene.backend_address,
                      sizeof scene.backend_address);

    proxy_ended(s.client, n);
    if (n == 0) {
        tdw_wg_init(&s.pumps, "pumps");
        tdw_wg_add(&s.pumps, 2);
        tdw_detach(tdw_spawn_stackful("up", upstream, &s));
        tdw_detach(tdw_spawn_stackful("down", downstream, &s));
        tdw_wg_wait(&s.pumps);
    }
    tdw_close(s.backend);
    tdw_close(s.client);
}

static void proxy(void *unused)
{
    const int listener = proxy_listen(PROXY_PORT);
    int fd;

    (void)unused;
    while ((fd = tdw_accept(listener, NULL, NULL, 0)) >= 0)
        tdw_detach(tdw_spawn_stackful("session", session, (void *)(intptr_t)fd));
    tdw_close(listener);
}

void proxy_stackful_server(void *unused)
{
    tdw_daemon(tdw_spawn_stackful("proxy", proxy, unused));
}

void proxy_stackful(void *unused)
{
    (void)unused;
    scene_init(proxy_stackful_server);
    tdw_wg_wait(&scene.running);
}
