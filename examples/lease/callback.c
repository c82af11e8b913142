/* SPDX-License-Identifier: MIT */
/*
 * The lease with callbacks: each step names the one that follows it. Structs begin with their op.
 */
#include "lease.h"

static void gone(struct tdw_op *op)
{
    tdw_free(op);
}

/* ── Voter ─────────────────────────────────────────────────────────────────────────────────── */

struct voter {
    struct tdw_op op;
    uint32_t who;
    int fd;
    struct sockaddr_in from;
    struct message message;
    struct iovec iov;
    struct msghdr header;
};

static void asked_for_vote(struct tdw_op *op);
static void listens(struct tdw_op *op)
{
    struct voter *v = (void *)op;

    v->iov = (struct iovec){&v->message, sizeof v->message};
    v->header = (struct msghdr){
        .msg_name = &v->from, .msg_namelen = sizeof v->from, .msg_iov = &v->iov, .msg_iovlen = 1};
    TDW_ON(op, asked_for_vote, recvmsg, v->fd, &v->header, 0);
}

static void asked_for_vote(struct tdw_op *op)
{
    struct voter *v = (void *)op;

    if (op->res < 0)
        TDW_ON(op, gone, close, v->fd);
    else if (lease_grant(v->who, v->message.candidate))
        TDW_ON(op, listens, sendto, v->fd, &v->message, sizeof v->message, 0,
               (struct sockaddr *)&v->from, sizeof v->from);
    else
        listens(op);
}

static void voter(void *arg)
{
    struct voter *v = tdw_malloc(sizeof *v);

    v->who = (uint32_t)(uintptr_t)arg;
    v->fd = lease_socket(true);
    listens(&v->op);
}

/* ── Candidate ─────────────────────────────────────────────────────────────────────────────── */

struct candidate {
    struct tdw_op op, timer;
    struct message ask, answer;
    uint32_t votes, next;
    int fd, acts;
    uint64_t asked;
};

static void leave(struct tdw_op *op)
{
    gone(op);
    left_group(&scene.running);
}

static void rested(struct tdw_op *op);
static void next_round(struct candidate *c)
{
    if (c->ask.round == ROUNDS)
        TDW_ON(&c->op, leave, close, c->fd);
    else
        TDW_ON(&c->op, rested, sleep, lease_rest_ns());
}

static void acts(struct tdw_op *op)
{
    struct candidate *c = (void *)op;

    if (c->acts++ < ACTS && lease_act(c->ask.candidate)) {
        TDW_ON(op, acts, sleep, ACT_NS);
        return;
    }
    c->ask.round++;
    next_round(c);
}

static void answered(struct tdw_op *op);
static void count(struct candidate *c, bool more)
{
    if (c->votes < MAJORITY && more) {
        TDW_ON_WITHIN(&c->op, &c->timer, PATIENCE_NS, answered, recv, c->fd, &c->answer,
                      sizeof c->answer, 0);
        return;
    }
    if (c->votes < MAJORITY) {
        c->ask.round++;
        next_round(c);
        return;
    }
    lease_lead(c->ask.candidate, c->asked);
    c->acts = 0;
    acts(&c->op);
}

static void answered(struct tdw_op *op)
{
    struct candidate *c = (void *)op;

    c->votes += op->res > 0 && c->answer.round == c->ask.round;
    count(c, op->res > 0);
}

static void asks(struct tdw_op *op)
{
    struct candidate *c = (void *)op;

    c->next += c->next == c->ask.candidate;
    if (c->next < HOSTS) {
        const struct sockaddr_in *to = &scene.members[c->next++].address;

        TDW_ON(op, asks, sendto, c->fd, &c->ask, sizeof c->ask, 0, (const struct sockaddr *)to,
               sizeof *to);
    } else {
        count(c, true);
    }
}

static void rested(struct tdw_op *op)
{
    struct candidate *c = (void *)op;

    c->asked = lease_now();
    c->votes = lease_grant(c->ask.candidate, c->ask.candidate);
    c->next = 0;
    asks(op);
}

static void candidate(void *arg)
{
    struct candidate *c = tdw_malloc(sizeof *c);

    c->ask.candidate = (uint32_t)(uintptr_t)arg;
    c->fd = lease_socket(false);
    next_round(c);
}

static void host_main(void *arg)
{
    lease_booted((uint32_t)(uintptr_t)arg);
    tdw_daemon(tdw_spawn_callback("voter", voter, arg));
    tdw_spawn_callback("candidate", candidate, arg);
}

/* ── Test ──────────────────────────────────────────────────────────────────────────────────── */

static struct test {
    struct tdw_op op;
    struct tdw_host *paused;
} test;

static void over(struct tdw_op *op)
{
    (void)op;
}

static void resume(struct tdw_op *op)
{
    tdw_host_resume(test.paused);
    TDW_ON(op, over, wg_wait, &scene.running);
}

static void pause_one(struct tdw_op *op)
{
    test.paused = lease_pause_whom();
    tdw_host_pause(test.paused);
    TDW_ON(op, resume, sleep, lease_pause_ns());
}

void lease_callback(void *unused)
{
    (void)unused;
    scene_init(host_main);
    memset(&test, 0, sizeof test);
    TDW_ON(&test.op, pause_one, sleep, lease_pause_ns());
}
