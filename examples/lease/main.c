/* SPDX-License-Identifier: MIT */
/*
 * The lease example's scenario, and what its three versions share.
 */
#include "lease.h"

struct scene scene;

void scene_init(void (*host_main)(void *))
{
    static const char *const names[HOSTS] = {"a", "b", "c"};

    memset(&scene, 0, sizeof scene);
    tdw_wg_init(&scene.running, "candidates");
    tdw_wg_add(&scene.running, HOSTS);
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct member *m = &scene.members[i];

        m->host = tdw_host(names[i], host_main, (void *)(uintptr_t)i);
        m->address = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = tdw_host_ipv4(m->host)};
        m->granted_to = HOSTS;
    }
    for (uint32_t i = 0; i < HOSTS; i++) {
        const int32_t steps = (int32_t)tdw_choose("drift", 11) - 5;

        tdw_host_boot(scene.members[i].host);
        tdw_host_drift(scene.members[i].host, steps * (DRIFT_PPB / 5));
    }
}

uint64_t lease_pause_ns(void)
{
    return (500 + tdw_choose("pause", 2000)) * MS;
}

struct tdw_host *lease_pause_whom(void)
{
    return scene.members[tdw_choose("whom", HOSTS)].host;
}

int lease_socket(bool voter)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(voter ? PORT : 0)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_DGRAM, 0);

    tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    return fd;
}

uint64_t lease_now(void)
{
    struct timespec now;

    tdw_sys_clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

uint64_t lease_rest_ns(void)
{
    return tdw_choose("rest", 1000) * MS;
}

void lease_booted(uint32_t who)
{
    struct member *m = &scene.members[who];

    m->leads_until = 0;
    m->granted_to = HOSTS;
    m->promised_until = lease_now() + LEASE_NS;
}

bool lease_grant(uint32_t who, uint32_t candidate)
{
    struct member *m = &scene.members[who];
    const uint64_t now = lease_now();

    if (m->granted_to != candidate && now < m->promised_until)
        return false;
    m->granted_to = candidate;
    m->promised_until = now + LEASE_NS;
    return true;
}

void lease_lead(uint32_t who, uint64_t asked)
{
    scene.members[who].leads_until = asked + LEASE_NS - MARGIN_NS;
}

bool lease_act(uint32_t who)
{
    if (lease_now() >= scene.members[who].leads_until)
        return false;
    for (uint32_t i = 0; i < HOSTS; i++) {
        const struct member *other = &scene.members[i];

        tdw_check(i == who || tdw_host_clock(other->host, CLOCK_MONOTONIC) >= other->leads_until,
                  "%c leads, and %c believes that it does, too", 'a' + who, 'a' + i);
    }
    tdw_mark("acts", who);
    return true;
}

TDW_SCENARIO(lease, .doc = "no two hosts believe at once that they lead",
             .callback = lease_callback, .stackless = TDW_FRAME(lease_stackless, struct lease_test),
             .stackful = lease_stackful);

int main(int argc, char **argv)
{
    return tdw_main(argc, argv);
}
