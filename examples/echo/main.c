/* SPDX-License-Identifier: MIT */
/*
 * The echo example's scenario, and what its three versions share.
 */
#include "echo.h"
#include "../serve.h"
#include <netinet/tcp.h>

struct scene scene;

void scene_init(void (*server_main)(void *), void (*clients_main)(void *))
{
    scene.server = tdw_host("server", server_main, NULL);
    scene.clients = tdw_host("clients", clients_main, NULL);
    scene.address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = tdw_host_ipv4(scene.server)};
    tdw_wg_init(&scene.running, "clients");
    tdw_wg_add(&scene.running, CLIENTS);
    tdw_host_boot(scene.server);
    tdw_host_boot(scene.clients);
}

int echo_listen(void)
{
    const int port = scene.port ? scene.port : PORT, on = 1;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    int bound;

    /* Its predecessor's connections may linger. */
    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (scene.port) /* answers do not wait for acknowledgements, which connections have from here */
        tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bound = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    tdw_check(bound == 0, "bind: %d", bound);
    tdw_sys_listen(fd, scene.port ? SOMAXCONN : CLIENTS);
    return fd;
}

uint32_t echo_message(uint32_t who, uint32_t number, char *to)
{
    const uint32_t bytes = 1 + tdw_choose("bytes", BYTES_MAX);

    for (uint32_t i = 0; i < bytes; i++)
        to[i] = (char)(who * 31 + number * 7 + i);
    return bytes;
}

void echo_check(const char *sent, const char *received, uint32_t bytes)
{
    tdw_check(memcmp(sent, received, bytes) == 0, "an echo of %u bytes differs", bytes);
}

TDW_SCENARIO(echo, .doc = "every client gets back what it sent", .callback = echo_callback,
             .stackless = TDW_FRAME(echo_stackless, struct echo_test), .stackful = echo_stackful);

int main(int argc, char **argv)
{
    struct serve serve = {
        .mains = {echo_callback_server, echo_stackless_server, echo_stackful_server}};
    const int asked = serve_asked(&serve, argc, argv);

    scene.port = serve.port;
    if (asked)
        return asked < 0 ? 2 : serve_run(&serve);
    return tdw_main(argc, argv);
}
