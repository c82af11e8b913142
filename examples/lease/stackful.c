/* SPDX-License-Identifier: MIT */
/*
 * The lease with stackful coroutines.
 */
#include "lease.h"

static void voter(void *arg)
{
    const uint32_t who = (uint32_t)(uintptr_t)arg;
    const int fd = lease_socket(true);
    struct sockaddr_in from;
    struct message message;
    struct iovec iov = {&message, sizeof message};
    struct msghdr header = {.msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1};

    for (;;) {
        header.msg_namelen = sizeof from;
        if (tdw_recvmsg(fd, &header, 0) < 0)
            break;
        if (lease_grant(who, message.candidate))
            tdw_sendto(fd, &message, sizeof message, 0, (struct sockaddr *)&from, sizeof from);
    }
    tdw_close(fd);
}

/* Ask everybody: do two of three grant it? */
static bool elect(uint32_t who, int fd, uint32_t round)
{
    struct message ask = {who, round}, answer;
    uint32_t votes = lease_grant(who, who);

    for (uint32_t i = 0; i < HOSTS; i++)
        if (i != who)
            tdw_sendto(fd, &ask, sizeof ask, 0, (struct sockaddr *)&scene.members[i].address,
                       sizeof scene.members[i].address);
    while (votes < MAJORITY && TDW_DO_WITHIN(PATIENCE_NS, recv, fd, &answer, sizeof answer, 0) > 0)
        votes += answer.round == round;
    return votes >= MAJORITY;
}

static void candidate(void *arg)
{
    const uint32_t who = (uint32_t)(uintptr_t)arg;
    const int fd = lease_socket(false);

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t asked;

        tdw_sleep(lease_rest_ns());
        asked = lease_now();
        if (!elect(who, fd, round))
            continue;
        lease_lead(who, asked);
        for (int i = 0; i < ACTS && lease_act(who); i++)
            tdw_sleep(ACT_NS);
    }
    tdw_close(fd);
    left_group(&scene.running);
}

static void host_main(void *arg)
{
    lease_booted((uint32_t)(uintptr_t)arg);
    tdw_daemon(tdw_spawn_stackful("voter", voter, arg));
    tdw_spawn_stackful("candidate", candidate, arg);
}

void lease_stackful(void *unused)
{
    struct tdw_host *paused;

    (void)unused;
    scene_init(host_main);
    tdw_sleep(lease_pause_ns());
    paused = lease_pause_whom();
    tdw_host_pause(paused);
    tdw_sleep(lease_pause_ns());
    tdw_host_resume(paused);
    tdw_wg_wait(&scene.running);
}
