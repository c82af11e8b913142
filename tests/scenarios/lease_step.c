/* SPDX-License-Identifier: MIT */
/*
 * A lease is measured by a clock that may be set.
 *
 *     holders a, b ── may I? ──▶ server: grants for LEASE, to one at a time
 *          └─ acts while its own clock says that LEASE has not passed since it asked
 *
 * Server and holder measure the same time, each by its own clock, which is sound as long as both
 * run at one rate. The holder reads CLOCK_REALTIME. When that is set back, by NTP or by hand, its
 * lease lasts longer, the server's does not, and the next holder acts beside it.
 *
 * Seen: Redlock, whose clocks are the wall's (martin.kleppmann.com/2016/02/08/
 * how-to-do-distributed-locking.html); Cloudflare's resolver at the leap second of 2017
 * (blog.cloudflare.com/how-and-why-the-leap-second-affected-cloudflare-dns); clock_gettime(2).
 *
 * Found as:  check failed: .*: [ab] acts, and [ab] still holds the lease
 * Optimum:   1 deviation, 0 faults: the clock of a is set back
 */
#include "corpus.h"
#include <time.h>

enum { CLOCK = BUGGY ? CLOCK_REALTIME : CLOCK_MONOTONIC };
enum { HOLDERS = 2, ROUNDS = 6, PORT = 4000 };
#define LEASE (1000 * MS)
#define PATIENCE (50 * MS)
#define ACT (100 * MS)
#define REST (300 * MS)

static struct scene {
    struct tdw_host *server;
    struct sockaddr_in address;
    struct {
        struct tdw_host *host;
        uint64_t until; /* by its own clock */
    } of[HOLDERS];
} scene;

struct message {
    int who, round;
};

static uint64_t now(int clock)
{
    struct timespec time;

    tdw_sys_clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000 * MS + (uint64_t)time.tv_nsec;
}

/* The holder does something, if it still may. */
static bool act(int who)
{
    const int other = !who;

    if (now(CLOCK) >= scene.of[who].until)
        return false;
    tdw_check(tdw_host_clock(scene.of[other].host, CLOCK) >= scene.of[other].until,
              "%c acts, and %c still holds the lease", 'a' + who, 'a' + other);
    return true;
}

/* ── A holder ──────────────────────────────────────────────────────────────────────────────── */

struct holder {
    struct tdw_op op, timer;
    struct message ask, answer;
    int fd;
    uint64_t asked;
};

static void rested(struct tdw_op *op);
static void next_round(struct holder *h)
{
    if (h->ask.round++ < ROUNDS)
        TDW_ON(&h->op, rested, sleep, REST);
    else
        TDW_ON(&h->op, gone, close, h->fd);
}

static void acts(struct tdw_op *op)
{
    struct holder *h = (void *)op;

    if (act(h->ask.who))
        TDW_ON(op, acts, sleep, ACT);
    else
        next_round(h);
}

static void answered(struct tdw_op *op)
{
    struct holder *h = (void *)op;

    if (op->res <= 0) {
        next_round(h);
        return;
    }
    if (h->answer.round == h->ask.round)
        scene.of[h->ask.who].until = h->asked + LEASE;
    acts(op);
}

static void sent(struct tdw_op *op)
{
    struct holder *h = (void *)op;

    TDW_ON_WITHIN(op, &h->timer, PATIENCE, answered, recv, h->fd, &h->answer, sizeof h->answer, 0);
}

static void rested(struct tdw_op *op)
{
    struct holder *h = (void *)op;

    h->asked = now(CLOCK);
    TDW_ON(op, sent, sendto, h->fd, &h->ask, sizeof h->ask, 0, (void *)&scene.address,
           sizeof scene.address);
}

static void holder_callback(void *arg)
{
    struct holder *h = tdw_malloc(sizeof *h);

    h->ask.who = (int)(intptr_t)arg;
    h->fd = bound_socket(SOCK_DGRAM, 0);
    next_round(h);
}

struct holder_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op timer;
    struct message ask, answer;
    int fd, n;
    uint64_t asked;
};
TDW_CO(holder_stackless)
{
    TDW_BEGIN(struct holder_frame, me);
    me->ask.who = (int)(intptr_t)me->arg;
    me->fd = bound_socket(SOCK_DGRAM, 0);
    while (me->ask.round++ < ROUNDS) {
        TDW_AWAIT(me->n, sleep, REST);
        me->asked = now(CLOCK);
        TDW_AWAIT(me->n, sendto, me->fd, &me->ask, sizeof me->ask, 0, (void *)&scene.address,
                  sizeof scene.address);
        TDW_AWAIT_WITHIN(me->n, &me->timer, PATIENCE, recv, me->fd, &me->answer, sizeof me->answer,
                         0);
        if (me->n <= 0)
            continue;
        if (me->answer.round == me->ask.round)
            scene.of[me->ask.who].until = me->asked + LEASE;
        while (act(me->ask.who))
            TDW_AWAIT(me->n, sleep, ACT);
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

static void holder_stackful(void *arg)
{
    const int fd = bound_socket(SOCK_DGRAM, 0);
    struct message ask = {.who = (int)(intptr_t)arg}, answer;

    while (ask.round++ < ROUNDS) {
        uint64_t asked;

        tdw_sleep(REST);
        asked = now(CLOCK);
        tdw_sendto(fd, &ask, sizeof ask, 0, (void *)&scene.address, sizeof scene.address);
        if (TDW_DO_WITHIN(PATIENCE, recv, fd, &answer, sizeof answer, 0) <= 0)
            continue;
        if (answer.round == ask.round)
            scene.of[ask.who].until = asked + LEASE;
        while (act(ask.who))
            tdw_sleep(ACT);
    }
    tdw_close(fd);
}
SUBJECT(holder);

static void holder_main(void *arg)
{
    holder_spawn("holder", arg);
}

/* ── The server, and who sets a clock ──────────────────────────────────────────────────────── */

static void serve(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    struct sockaddr_in from;
    struct message message;
    struct iovec iov = {&message, sizeof message};
    struct msghdr header = {.msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1};
    uint64_t until = 0;
    int granted_to = HOLDERS;

    (void)unused;
    for (;;) {
        header.msg_namelen = sizeof from;
        if (tdw_recvmsg(fd, &header, 0) < 0)
            break;
        if (message.who != granted_to && now(CLOCK_MONOTONIC) < until)
            continue;
        granted_to = message.who;
        until = now(CLOCK_MONOTONIC) + LEASE;
        tdw_sendto(fd, &message, sizeof message, 0, (void *)&from, sizeof from);
    }
    tdw_close(fd);
}

static void server_main(void *unused)
{
    tdw_daemon(tdw_spawn_stackful("server", serve, unused));
}

static void setter(void *unused)
{
    (void)unused;
    tdw_sleep(500 * MS);
    tdw_host_step(scene.of[0].host, tdw_choose("step", 16) == 15 ? -900 * (int64_t)MS : 0);
}

static void start(void)
{
    static const char *const names[HOLDERS] = {"a", "b"};

    memset(&scene, 0, sizeof scene);
    scene.server = tdw_host("server", server_main, NULL);
    scene.address = address_of(scene.server, PORT);
    tdw_host_boot(scene.server);
    for (intptr_t i = 0; i < HOLDERS; i++) {
        scene.of[i].host = tdw_host(names[i], holder_main, (void *)i);
        tdw_host_boot(scene.of[i].host);
    }
    tdw_spawn_stackful("setter", setter, NULL);
}

CORPUS(lease_step, start, "a lease has one holder");
