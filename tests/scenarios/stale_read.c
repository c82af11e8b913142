/* SPDX-License-Identifier: MIT */
/*
 * A stale read: the leader does not know that it no longer is one.
 *
 *     leader l ── ping ──▶ followers f, g        (✗ cut off; f and g elect f, which takes a write)
 *        └─ reads are answered from its own copy
 *
 * A leader that was cut off has not heard that the others have another one, and answers reads with
 * what it has. The fix asks before it answers whether a majority is still with it: one follower of
 * the two, in this term, for this read.
 *
 * Seen: etcd and Consul answered reads from the leader's state alone
 * (aphyr.com/posts/316-jepsen-etcd-and-consul); the Raft paper, section 8, says what a read needs.
 *
 * Found as:  check failed: .*: read [0-9]+, and 2 was written before
 * Optimum:   1 deviation, 0 faults: the leader is cut off
 */
#include "corpus.h"

enum { ANSWERS_ALONE = BUGGY };
enum { L, F, G, HOSTS, PORT = 4000, READS = 12 };
#define PACE (10 * MS)
#define PATIENCE (5 * MS)

static struct scene {
    struct tdw_host *host[HOSTS];
    struct sockaddr_in address[HOSTS];
    uint64_t term[HOSTS];
    uint64_t written, leaders_copy;
} scene;

struct message {
    uint64_t term, read;
};

/* What the leader answers, given that it may: a read that began when `written` was the last write.
 */
static void answer(uint64_t written)
{
    tdw_check(scene.leaders_copy >= written, "read %llu, and %llu was written before",
              (unsigned long long)scene.leaders_copy, (unsigned long long)written);
}

/* ── The leader ────────────────────────────────────────────────────────────────────────────── */

struct leader {
    struct tdw_op op, timer;
    struct message ask, told;
    uint64_t written;
    int fd;
};

static void next_read(struct tdw_op *op);
static void paced(struct leader *l)
{
    if (l->ask.read == READS)
        TDW_ON(&l->op, gone, close, l->fd);
    else
        TDW_ON(&l->op, next_read, sleep, PACE);
}

static void told(struct tdw_op *op);
static void listens(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    TDW_ON_WITHIN(op, &l->timer, PATIENCE, told, recv, l->fd, &l->told, sizeof l->told, 0);
}

static void told(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    if (op->res > 0 && l->told.read != l->ask.read) {
        listens(op);
        return;
    }
    if (op->res > 0 && l->told.term == l->ask.term)
        answer(l->written);
    paced(l);
}

static void asked_one(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    TDW_ON(op, listens, sendto, l->fd, &l->ask, sizeof l->ask, 0, (void *)&scene.address[G],
           sizeof scene.address[G]);
}

static void next_read(struct tdw_op *op)
{
    struct leader *l = (void *)op;

    l->ask = (struct message){scene.term[L], l->ask.read + 1};
    l->written = scene.written;
    if (ANSWERS_ALONE) {
        answer(l->written);
        paced(l);
        return;
    }
    TDW_ON(op, asked_one, sendto, l->fd, &l->ask, sizeof l->ask, 0, (void *)&scene.address[F],
           sizeof scene.address[F]);
}

static void leader_callback(void *unused)
{
    struct leader *l = tdw_malloc(sizeof *l);

    (void)unused;
    l->fd = bound_socket(SOCK_DGRAM, PORT);
    paced(l);
}

struct leader_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op timer;
    struct message ask, told;
    uint64_t written;
    int fd, n;
};
TDW_CO(leader_stackless)
{
    TDW_BEGIN(struct leader_frame, me);
    me->fd = bound_socket(SOCK_DGRAM, PORT);
    while (me->ask.read < READS) {
        TDW_AWAIT(me->n, sleep, PACE);
        me->ask = (struct message){scene.term[L], me->ask.read + 1};
        me->written = scene.written;
        if (ANSWERS_ALONE) {
            answer(me->written);
            continue;
        }
        TDW_AWAIT(me->n, sendto, me->fd, &me->ask, sizeof me->ask, 0, (void *)&scene.address[F],
                  sizeof scene.address[F]);
        TDW_AWAIT(me->n, sendto, me->fd, &me->ask, sizeof me->ask, 0, (void *)&scene.address[G],
                  sizeof scene.address[G]);
        do {
            TDW_AWAIT_WITHIN(me->n, &me->timer, PATIENCE, recv, me->fd, &me->told, sizeof me->told,
                             0);
        } while (me->n > 0 && me->told.read != me->ask.read);
        if (me->n > 0 && me->told.term == me->ask.term)
            answer(me->written);
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

/* Is a follower still with the leader? */
static bool leads(int fd, const struct message *ask)
{
    struct message heard;
    int n;

    for (int i = F; i < HOSTS; i++)
        tdw_sendto(fd, ask, sizeof *ask, 0, (void *)&scene.address[i], sizeof scene.address[i]);
    do
        n = TDW_DO_WITHIN(PATIENCE, recv, fd, &heard, sizeof heard, 0);
    while (n > 0 && heard.read != ask->read);
    return n > 0 && heard.term == ask->term;
}

static void leader_stackful(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);

    (void)unused;
    for (uint64_t read = 1; read <= READS; read++) {
        uint64_t written;

        tdw_sleep(PACE);
        written = scene.written;
        if (ANSWERS_ALONE || leads(fd, &(struct message){scene.term[L], read}))
            answer(written);
    }
    tdw_close(fd);
}
SUBJECT(leader);

/* ── The others ────────────────────────────────────────────────────────────────────────────── */

static void follower(void *arg)
{
    const intptr_t own = (intptr_t)arg;
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    struct message message;

    while (tdw_recv(fd, &message, sizeof message, 0) > 0) {
        message.term = scene.term[own];
        tdw_sendto(fd, &message, sizeof message, 0, (void *)&scene.address[L],
                   sizeof scene.address[L]);
    }
    tdw_close(fd);
}

static void host_main(void *arg)
{
    if ((intptr_t)arg == L)
        leader_spawn("leader", arg);
    else
        tdw_daemon(tdw_spawn_stackful("follower", follower, arg));
}

/* The leader is cut off, or not; then the others elect f, and it takes a write. */
static void cutter(void *unused)
{
    (void)unused;
    if (tdw_choose("cut", 10) < 9)
        return;
    tdw_sleep((5 + tdw_choose("when", 50)) * MS);
    cut(scene.host[L], scene.host[F], true);
    cut(scene.host[L], scene.host[G], true);
    tdw_sleep(30 * MS);
    scene.term[F] = scene.term[G] = 2;
    scene.written = 2;
}

static void start(void)
{
    static const char *const names[HOSTS] = {"l", "f", "g"};

    memset(&scene, 0, sizeof scene);
    scene.written = scene.leaders_copy = 1;
    for (intptr_t i = 0; i < HOSTS; i++) {
        scene.host[i] = tdw_host(names[i], host_main, (void *)i);
        scene.address[i] = address_of(scene.host[i], PORT);
        scene.term[i] = 1;
    }
    for (int i = HOSTS - 1; i >= 0; i--)
        tdw_host_boot(scene.host[i]);
    tdw_spawn_stackful("cutter", cutter, NULL);
}

CORPUS(stale_read, start, "a read sees every write before it");
