/* SPDX-License-Identifier: MIT */
/*
 * A write is acknowledged before a majority has it.
 *
 *     client ── write ──▶ leader l ── own log ── (too early: done ──▶ client)
 *                            └─ replicates to f and g ── one of them has it ── done ──▶ client
 *
 * The leader has the write in its own log, and says so. It is cut off before f or g have it; they
 * elect a leader of theirs, whose log wins, and the write is gone. Two of three have to have a
 * write before anybody is told of it.
 *
 * Seen: MongoDB rolled writes back that a primary in the minority had acknowledged
 * (aphyr.com/posts/284-jepsen-mongodb); Redis's documentation of its replication warns of it.
 *
 * Found as:  check failed: .*: write [0-9]+ was acknowledged, and the new leader has [0-9]+
 * Optimum:   1 deviation, 0 faults: the leader is cut off
 */
#include "corpus.h"

enum { TELLS_EARLY = BUGGY };
enum { L, F, G, C, HOSTS, PORT = 4000, CLIENT_PORT = 4001, WRITES = 10 };
#define PACE (10 * MS)
#define PATIENCE (5 * MS)

static struct scene {
    struct tdw_host *host[HOSTS];
    struct sockaddr_in address[HOSTS];
    uint64_t log[HOSTS]; /* the last write that each has: a message is its number */
    uint64_t acknowledged;
} scene;

#define TO(who) 0, (void *)&scene.address[who], sizeof scene.address[who]

/* ── The leader ────────────────────────────────────────────────────────────────────────────── */

struct leader {
    struct tdw_op op, timer;
    uint64_t write, told;
    int client, peers, to; /* sockets; whom to replicate to next */
};

static void received(struct tdw_op *op);
static void next_write(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    TDW_ON(op, received, recv, l->client, &l->write, sizeof l->write, 0);
}

static void told(struct tdw_op *op);
static void listens(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    TDW_ON_WITHIN(op, &l->timer, PATIENCE, told, recv, l->peers, &l->told, sizeof l->told, 0);
}

static void told(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    if (op->res > 0 && l->told != l->write)
        listens(op);
    else if (op->res > 0 && !TELLS_EARLY)
        TDW_ON(op, next_write, sendto, l->client, &l->write, sizeof l->write, TO(C));
    else
        next_write(op);
}

static void replicates(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    if (l->to == C)
        listens(op);
    else
        TDW_ON(op, replicates, sendto, l->peers, &l->write, sizeof l->write, TO(l->to++));
}

static void closed(struct tdw_op *op)
{
    TDW_ON(op, gone, close, ((struct leader *)op)->peers);
}

static void received(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    if (op->res <= 0) {
        TDW_ON(op, closed, close, l->client);
        return;
    }
    scene.log[L] = l->write;
    l->to = F;
    if (TELLS_EARLY)
        TDW_ON(op, replicates, sendto, l->client, &l->write, sizeof l->write, TO(C));
    else
        replicates(op);
}

static void leader_callback(void *unused)
{
    struct leader *l = tdw_malloc(sizeof *l);

    (void)unused;
    l->client = bound_socket(SOCK_DGRAM, CLIENT_PORT);
    l->peers = bound_socket(SOCK_DGRAM, PORT);
    next_write(&l->op);
}

struct leader_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op timer;
    uint64_t write, told;
    int client, peers, to, n;
};
TDW_CO(leader_stackless)
{
    TDW_BEGIN(struct leader_frame, me);
    me->client = bound_socket(SOCK_DGRAM, CLIENT_PORT);
    me->peers = bound_socket(SOCK_DGRAM, PORT);
    for (;;) {
        TDW_AWAIT(me->n, recv, me->client, &me->write, sizeof me->write, 0);
        if (me->n <= 0)
            break;
        scene.log[L] = me->write;
        if (TELLS_EARLY)
            TDW_AWAIT(me->n, sendto, me->client, &me->write, sizeof me->write, TO(C));
        for (me->to = F; me->to < C; me->to++)
            TDW_AWAIT(me->n, sendto, me->peers, &me->write, sizeof me->write, TO(me->to));
        do {
            TDW_AWAIT_WITHIN(me->n, &me->timer, PATIENCE, recv, me->peers, &me->told,
                             sizeof me->told, 0);
        } while (me->n > 0 && me->told != me->write);
        if (me->n > 0 && !TELLS_EARLY)
            TDW_AWAIT(me->n, sendto, me->client, &me->write, sizeof me->write, TO(C));
    }
    TDW_AWAIT(me->n, close, me->client);
    TDW_AWAIT(me->n, close, me->peers);
    TDW_RETURN(0);
    TDW_END;
}

/* Has one of the followers got the write? */
static bool replicate(int fd, uint64_t write)
{
    uint64_t heard;
    int n;

    tdw_sendto(fd, &write, sizeof write, TO(F));
    tdw_sendto(fd, &write, sizeof write, TO(G));
    do
        n = TDW_DO_WITHIN(PATIENCE, recv, fd, &heard, sizeof heard, 0);
    while (n > 0 && heard != write);
    return n > 0;
}

static void leader_stackful(void *unused)
{
    const int clients = bound_socket(SOCK_DGRAM, CLIENT_PORT);
    const int peers = bound_socket(SOCK_DGRAM, PORT);
    uint64_t write;

    (void)unused;
    while (tdw_recv(clients, &write, sizeof write, 0) > 0) {
        scene.log[L] = write;
        if (TELLS_EARLY)
            tdw_sendto(clients, &write, sizeof write, TO(C));
        if (replicate(peers, write) && !TELLS_EARLY)
            tdw_sendto(clients, &write, sizeof write, TO(C));
    }
    tdw_close(clients);
    tdw_close(peers);
}
SUBJECT(leader);

/* ── The others ────────────────────────────────────────────────────────────────────────────── */

static void follower(void *arg)
{
    const intptr_t own = (intptr_t)arg;
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    uint64_t write;

    while (tdw_recv(fd, &write, sizeof write, 0) > 0) {
        scene.log[own] = write;
        tdw_sendto(fd, &write, sizeof write, TO(L));
    }
    tdw_close(fd);
}

static void client(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    struct sockaddr_in leader = address_of(scene.host[L], CLIENT_PORT);

    (void)unused;
    for (uint64_t write = 1; write <= WRITES; write++) {
        uint64_t answer = 0;

        tdw_sleep(PACE);
        tdw_sendto(fd, &write, sizeof write, 0, (void *)&leader, sizeof leader);
        while (answer < write && TDW_DO_WITHIN(PACE, recv, fd, &answer, sizeof answer, 0) > 0)
            ;
        if (answer == write)
            scene.acknowledged = write;
    }
    tdw_close(fd);
}

static void host_main(void *arg)
{
    switch ((int)(intptr_t)arg) {
    case L:
        tdw_daemon(leader_spawn("leader", NULL));
        break;
    case C:
        tdw_spawn_stackful("client", client, NULL);
        break;
    default:
        tdw_daemon(tdw_spawn_stackful("follower", follower, arg));
    }
}

/* The leader is cut off from its followers, or not; then these elect one who has the most. */
static void cutter(void *unused)
{
    uint64_t best;

    (void)unused;
    if (tdw_choose("cut", 10) < 9)
        return;
    tdw_sleep((5 + tdw_choose("when", 50)) * MS);
    cut(scene.host[L], scene.host[F], true);
    cut(scene.host[L], scene.host[G], true);
    tdw_sleep(30 * MS);
    best = scene.log[F] > scene.log[G] ? scene.log[F] : scene.log[G];
    tdw_check(scene.acknowledged <= best,
              "write %llu was acknowledged, and the new leader has %llu",
              (unsigned long long)scene.acknowledged, (unsigned long long)best);
}

static void start(void)
{
    static const char *const names[HOSTS] = {"l", "f", "g", "c"};

    memset(&scene, 0, sizeof scene);
    for (intptr_t i = 0; i < HOSTS; i++) {
        scene.host[i] = tdw_host(names[i], host_main, (void *)i);
        scene.address[i] = address_of(scene.host[i], PORT);
    }
    for (int i = 0; i < HOSTS; i++)
        tdw_host_boot(scene.host[i]);
    tdw_spawn_stackful("cutter", cutter, NULL);
}

CORPUS(early_ack, start, "what was acknowledged stays");
