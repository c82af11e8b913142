/* SPDX-License-Identifier: MIT */
/*
 * The proxy example's scenario, and what its three versions share.
 */
#include "proxy.h"
#include "../serve.h"
#include <netinet/tcp.h>

struct scene scene;

static struct sockaddr_in address_of(struct tdw_host *host, int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = tdw_host_ipv4(host)};
}

void scene_init(void (*proxy_main)(void *))
{
    scene.backend = tdw_host("backend", backend_main, NULL);
    scene.proxy = tdw_host("proxy", proxy_main, NULL);
    scene.clients = tdw_host("clients", clients_main, NULL);
    scene.backend_address = address_of(scene.backend, BACKEND_PORT);
    scene.proxy_address = address_of(scene.proxy, PROXY_PORT);
    memset(scene.given_up, 0, sizeof scene.given_up);
    tdw_wg_init(&scene.running, "clients");
    tdw_wg_add(&scene.running, CLIENTS);
    tdw_host_boot(scene.backend);
    tdw_host_boot(scene.proxy);
    tdw_host_boot(scene.clients);
}

int proxy_listen(int port)
{
    const bool real = scene.port != 0 && port == PROXY_PORT;
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)(real ? scene.port : port))};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0), on = 1;
    int bound;

    /* Its predecessor's connections may linger. */
    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (real) /* answers do not wait for acknowledgements, which connections have from here */
        tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bound = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    tdw_check(bound == 0, "bind: %d", bound);
    tdw_sys_listen(fd, real ? SOMAXCONN : CLIENTS);
    return fd;
}

void proxy_ended(int fd, int n)
{
    struct sockaddr_in peer = {.sin_port = 0};
    socklen_t bytes = sizeof peer;

    if (n != -ETIME && n != -ECONNREFUSED)
        return;
    tdw_sys_getpeername(fd, (struct sockaddr *)&peer, &bytes);
    memmove(scene.given_up + 1, scene.given_up, sizeof scene.given_up - sizeof(int));
    scene.given_up[0] = ntohs(peer.sin_port);
}

bool proxy_gave_up(int port)
{
    for (size_t i = 0; i < sizeof scene.given_up / sizeof(int); i++)
        if (scene.given_up[i] == port)
            return true;
    return false;
}

TDW_SCENARIO(proxy, .doc = "what a backend answers reaches its client, and a hung one ends",
             .callback = proxy_callback, .stackless = TDW_FRAME(proxy_stackless, struct proxy_test),
             .stackful = proxy_stackful);

/* serve PORT MODEL BACKEND-PORT: between whoever connects and a backend on the loopback. */
int main(int argc, char **argv)
{
    struct serve serve = {
        .mains = {proxy_callback_server, proxy_stackless_server, proxy_stackful_server}};
    const int asked = serve_asked(&serve, argc, argv);

    scene.port = serve.port;
    scene.backend_address = (struct sockaddr_in){.sin_family = AF_INET,
                                                 .sin_port = htons((uint16_t)serve.more),
                                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (asked)
        return asked < 0 ? 2 : serve_run(&serve);
    return tdw_main(argc, argv);
}
