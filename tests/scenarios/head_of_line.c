/* SPDX-License-Identifier: MIT */
/*
 * One slow subscriber holds up all the others.
 *
 *     publisher, every PACE ──┬─▶ [ socket, room for a few ] ──▶ subscriber 0, dawdles now and then
 *                             └─▶ [ socket ] ──▶ subscriber 1, has to know within DEADLINE
 *
 * The publisher sends each event to one subscriber after the other, and waits for each send. When
 * the first one does not read, its socket is full, the send waits, and the second one gets nothing.
 * The fix waits for nobody: who has not taken the last event yet misses this one.
 *
 * Seen: Apollo's dashboard stopped for everybody when one browser paused
 * (github.com/ApolloAuto/apollo/issues/9102); the websockets library has a chapter on it
 * ("Broadcasting messages").
 *
 * Found as:  check failed: .*: an event came [0-9]+ us late
 * Optimum:   1 deviation, 0 faults: subscriber 0 dawdles for long
 */
#include "corpus.h"

enum { WAITS_FOR_EACH = BUGGY };
enum { SUBSCRIBERS = 2, EVENTS = 10, ROOM = 4096 };
#define PACE (1 * MS)
#define DEADLINE (2 * MS)

struct event {
    uint64_t published;
    char content[4000];
};

static struct out {
    struct tdw_op op;
    struct event event;
    int fd, peer;
} outs[SUBSCRIBERS];
static struct tdw_wg sends; /* in flight */

static void fill(struct out *out)
{
    out->event.published = tdw_now();
}

/* ── A send that nobody waits for ──────────────────────────────────────────────────────────── */

static void sent(struct tdw_op *op)
{
    (void)op;
    tdw_wg_done(&sends);
}

static void send_or_skip(struct out *out)
{
    if (!tdw_op_idle(&out->op))
        return;
    fill(out);
    tdw_wg_add(&sends, 1);
    TDW_ON(&out->op, sent, send, out->fd, &out->event, sizeof out->event, MSG_NOSIGNAL);
}

/* ── The publisher ─────────────────────────────────────────────────────────────────────────── */

struct publisher {
    struct tdw_op op;
    int i, to;
};

static void closed(struct tdw_op *op)
{
    struct publisher *p = (void *)op;

    if (p->to < SUBSCRIBERS)
        TDW_ON(op, closed, close, outs[p->to++].fd);
    else
        gone(op);
}

static void sent_all(struct tdw_op *op)
{
    ((struct publisher *)op)->to = 0;
    closed(op);
}

static void publish(struct tdw_op *op);
static void next_subscriber(struct tdw_op *op)
{
    struct publisher *p = (void *)op;

    for (; !WAITS_FOR_EACH && p->to < SUBSCRIBERS; p->to++)
        send_or_skip(&outs[p->to]);
    if (p->to < SUBSCRIBERS) {
        struct out *out = &outs[p->to++];

        fill(out);
        TDW_ON(op, next_subscriber, send, out->fd, &out->event, sizeof out->event, MSG_NOSIGNAL);
        return;
    }
    p->i++;
    TDW_ON(op, publish, sleep, PACE);
}

static void publish(struct tdw_op *op)
{
    struct publisher *p = (void *)op;

    p->to = 0;
    if (p->i < EVENTS)
        next_subscriber(op);
    else
        TDW_ON(op, sent_all, wg_wait, &sends);
}

static void publisher_callback(void *unused)
{
    struct publisher *p = tdw_malloc(sizeof *p);

    (void)unused;
    publish(&p->op);
}

struct publisher_frame {
    struct tdw_frame frame;
    void *arg;
    int i, to, n;
};
TDW_CO(publisher_stackless)
{
    TDW_BEGIN(struct publisher_frame, me);
    for (; me->i < EVENTS; me->i++) {
        for (me->to = 0; me->to < SUBSCRIBERS; me->to++) {
            if (!WAITS_FOR_EACH) {
                send_or_skip(&outs[me->to]);
                continue;
            }
            fill(&outs[me->to]);
            TDW_AWAIT(me->n, send, outs[me->to].fd, &outs[me->to].event, sizeof outs->event,
                      MSG_NOSIGNAL);
        }
        TDW_AWAIT(me->n, sleep, PACE);
    }
    TDW_AWAIT(me->n, wg_wait, &sends);
    for (me->to = 0; me->to < SUBSCRIBERS; me->to++)
        TDW_AWAIT(me->n, close, outs[me->to].fd);
    TDW_RETURN(0);
    TDW_END;
}

static void publisher_stackful(void *unused)
{
    (void)unused;
    for (int i = 0; i < EVENTS; i++) {
        for (struct out *out = outs; out < outs + SUBSCRIBERS; out++) {
            if (!WAITS_FOR_EACH) {
                send_or_skip(out);
                continue;
            }
            fill(out);
            tdw_send(out->fd, &out->event, sizeof out->event, MSG_NOSIGNAL);
        }
        tdw_sleep(PACE);
    }
    tdw_wg_wait(&sends);
    for (int to = 0; to < SUBSCRIBERS; to++)
        tdw_close(outs[to].fd);
}
SUBJECT(publisher);

/* ── Subscribers ───────────────────────────────────────────────────────────────────────────── */

static void dawdler(void *unused)
{
    struct event event;

    (void)unused;
    while (tdw_recv(outs[0].peer, &event, sizeof event, 0) > 0)
        tdw_sleep(tdw_choose("dawdle", 100) == 99 ? 8 * PACE : 0);
    tdw_close(outs[0].peer);
}

static void punctual(void *unused)
{
    uint64_t last = tdw_now();
    struct event event;

    (void)unused;
    while (tdw_recv(outs[1].peer, &event, sizeof event, 0) > 0) {
        tdw_check(tdw_now() - last < PACE + DEADLINE, "an event came %llu us late",
                  (unsigned long long)((tdw_now() - last - PACE) / US));
        last = tdw_now();
    }
    tdw_close(outs[1].peer);
}

static void start(void)
{
    memset(outs, 0, sizeof outs);
    tdw_wg_init(&sends, "sends");
    for (int i = 0; i < SUBSCRIBERS; i++) {
        const int room = ROOM;
        int ends[2];

        tdw_sys_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
        tdw_sys_setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        outs[i].fd = ends[0];
        outs[i].peer = ends[1];
    }
    publisher_spawn("publisher", NULL);
    tdw_spawn_stackful("dawdler", dawdler, NULL);
    tdw_spawn_stackful("punctual", punctual, NULL);
}

CORPUS(head_of_line, start, "a slow subscriber is nobody else's trouble");
