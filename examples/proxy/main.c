/* SPDX-License-Identifier: MIT */
/*
 * The proxy example's scenario, and what its three versions share.
 */
#include "proxy.h"

struct scene scene;

static struct sockaddr_in address_of(struct tdw_host *host, int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = tdw_host_ipv4(host)};
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
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    const int bound = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);

    tdw_check(bound == 0, "bind: %d", bound);
    tdw_sys_listen(fd, CLIENTS);
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
             .callback = proxy_callback,
             .stackless = TDW_FRAME(proxy_stackless, struct proxy_test),
             .stackful = proxy_stackful);

int main(int argc, char **argv)
{
    return tdw_main(argc, argv);
}
