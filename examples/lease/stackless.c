/* SPDX-License-Identifier: MIT */
/*
 * The lease with stackless coroutines: what lives across a wait is in the frame.
 */
#include "lease.h"

struct voter {
    struct tdw_frame frame;
    uint32_t who;
    int fd, n;
    struct sockaddr_in from;
    struct message message;
    struct iovec iov;
    struct msghdr header;
};
TDW_CO(voter)
{
    TDW_BEGIN(struct voter, me);
    me->fd = lease_socket(true);
    me->iov = (struct iovec){&me->message, sizeof me->message};
    for (;;) {
        me->header = (struct msghdr){.msg_name = &me->from,
                                     .msg_namelen = sizeof me->from,
                                     .msg_iov = &me->iov,
                                     .msg_iovlen = 1};
        TDW_AWAIT(me->n, recvmsg, me->fd, &me->header, 0);
        if (me->n < 0)
            break;
        if (lease_grant(me->who, me->message.candidate))
            TDW_AWAIT(me->n, sendto, me->fd, &me->message, sizeof me->message, 0,
                      (struct sockaddr *)&me->from, sizeof me->from);
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

/* Ask everybody: do two of three grant it? */
struct elect {
    struct tdw_frame frame;
    struct tdw_op timer;
    struct message ask, answer;
    uint32_t votes, i;
    int fd, n;
};
TDW_CO(elect)
{
    TDW_BEGIN(struct elect, me);
    me->votes = lease_grant(me->ask.candidate, me->ask.candidate);
    for (me->i = 0; me->i < HOSTS; me->i++)
        if (me->i != me->ask.candidate)
            TDW_AWAIT(me->n, sendto, me->fd, &me->ask, sizeof me->ask, 0,
                      (struct sockaddr *)&scene.members[me->i].address,
                      sizeof scene.members[me->i].address);
    while (me->votes < MAJORITY) {
        TDW_AWAIT_WITHIN(me->n, &me->timer, PATIENCE_NS, recv, me->fd, &me->answer,
                         sizeof me->answer, 0);
        if (me->n <= 0)
            break;
        me->votes += me->answer.round == me->ask.round;
    }
    TDW_RETURN(me->votes >= MAJORITY);
    TDW_END;
}

struct candidate {
    struct tdw_frame frame;
    uint32_t who, round;
    int fd, n, i;
    uint64_t asked;
};
TDW_CO(candidate)
{
    TDW_BEGIN(struct candidate, me);
    me->fd = lease_socket(false);
    for (me->round = 0; me->round < ROUNDS; me->round++) {
        TDW_AWAIT(me->n, sleep, lease_rest_ns());
        me->asked = lease_now();
        TDW_CALL(me->n, elect, struct elect, .ask = {me->who, me->round}, .fd = me->fd);
        if (!me->n)
            continue;
        lease_lead(me->who, me->asked);
        for (me->i = 0; me->i < ACTS && lease_act(me->who); me->i++)
            TDW_AWAIT(me->n, sleep, ACT_NS);
    }
    TDW_AWAIT(me->n, close, me->fd);
    left_group(&scene.running);
    TDW_RETURN(0);
    TDW_END;
}

static void host_main(void *arg)
{
    const uint32_t who = (uint32_t)(uintptr_t)arg;

    lease_booted(who);
    tdw_daemon(TDW_SPAWN("voter", voter, struct voter, .who = who));
    TDW_SPAWN("candidate", candidate, struct candidate, .who = who);
}

TDW_CO_EXTERN(lease_stackless)
{
    TDW_BEGIN(struct lease_test, me);
    scene_init(host_main);
    TDW_AWAIT(me->n, sleep, lease_pause_ns());
    me->paused = lease_pause_whom();
    tdw_host_pause(me->paused);
    TDW_AWAIT(me->n, sleep, lease_pause_ns());
    tdw_host_resume(me->paused);
    TDW_AWAIT(me->n, wg_wait, &scene.running);
    TDW_RETURN(0);
    TDW_END;
}
