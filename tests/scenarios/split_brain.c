/* SPDX-License-Identifier: MIT */
/*
 * Split brain: who hears nothing of the primary believes that it is gone.
 *
 *     primary a ── beats ──▶ backup b          a ── renews its lease ──▶ witness w
 *                   ✗ the link is cut               b ── may I lead? ──▶ w
 *
 * The backup takes over after SILENCE. But a link that is cut looks like a primary that is dead,
 * and the primary, which the witness still renews, goes on. The fix asks the witness, which grants
 * one lease at a time; a primary that nobody renews steps down before its lease is over.
 *
 * Seen: GitHub, 21 October 2018: a partition of 43 seconds, two sites that took writes, a day of
 * repair (github.blog/2018-10-30-oct21-post-incident-analysis).
 *
 * Found as:  check failed: .*: two primaries
 * Optimum:   1 deviation, 0 faults: the link between a and b is cut
 */
#include "corpus.h"

enum { TRUSTS_SILENCE = BUGGY };
enum { A, B, W, HOSTS, PORT = 4000, BEATS = 30 };
#define BEAT (10 * MS)
#define LEASE (40 * MS)
#define SILENCE (50 * MS)
#define PATIENCE (5 * MS)

static struct scene {
    struct tdw_host *host[HOSTS];
    struct sockaddr_in address[HOSTS];
    uint64_t a_leads_until;
    bool over;
} scene;

struct message {
    uint64_t from, asked;
};

/* The backup takes over. */
static void promoted(void)
{
    tdw_check(tdw_now() >= scene.a_leads_until, "two primaries");
    scene.over = true;
}

/* ── The backup ────────────────────────────────────────────────────────────────────────────── */

struct backup {
    struct tdw_op op, timer;
    struct message ask, heard;
    int fd;
};

static void heard(struct tdw_op *op);
static void listen_on(struct tdw_op *op)
{
    struct backup *b = (void *)op;

    if (scene.over)
        TDW_ON(op, gone, close, b->fd);
    else
        TDW_ON_WITHIN(op, &b->timer, SILENCE, heard, recv, b->fd, &b->heard, sizeof b->heard, 0);
}

static void answered(struct tdw_op *op)
{
    if (op->res > 0 && ((struct backup *)op)->heard.from == W)
        promoted();
    listen_on(op);
}

static void asked(struct tdw_op *op)
{
    struct backup *b = (void *)op;

    TDW_ON_WITHIN(op, &b->timer, PATIENCE, answered, recv, b->fd, &b->heard, sizeof b->heard, 0);
}

static void heard(struct tdw_op *op)
{
    struct backup *b = (void *)op;

    if (scene.over || op->res != -ETIME) {
        listen_on(op);
    } else if (TRUSTS_SILENCE) {
        promoted();
        listen_on(op);
    } else {
        b->ask = (struct message){B, tdw_now()};
        TDW_ON(op, asked, sendto, b->fd, &b->ask, sizeof b->ask, 0, (void *)&scene.address[W],
               sizeof scene.address[W]);
    }
}

static void backup_callback(void *unused)
{
    struct backup *b = tdw_malloc(sizeof *b);

    (void)unused;
    b->fd = bound_socket(SOCK_DGRAM, PORT);
    listen_on(&b->op);
}

struct backup_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op timer;
    struct message ask, heard;
    int fd, n;
};
TDW_CO(backup_stackless)
{
    TDW_BEGIN(struct backup_frame, me);
    me->fd = bound_socket(SOCK_DGRAM, PORT);
    while (!scene.over) {
        TDW_AWAIT_WITHIN(me->n, &me->timer, SILENCE, recv, me->fd, &me->heard, sizeof me->heard, 0);
        if (scene.over || me->n != -ETIME)
            continue;
        if (!TRUSTS_SILENCE) {
            me->ask = (struct message){B, tdw_now()};
            TDW_AWAIT(me->n, sendto, me->fd, &me->ask, sizeof me->ask, 0, (void *)&scene.address[W],
                      sizeof scene.address[W]);
            TDW_AWAIT_WITHIN(me->n, &me->timer, PATIENCE, recv, me->fd, &me->heard,
                             sizeof me->heard, 0);
            if (me->n <= 0 || me->heard.from != W)
                continue;
        }
        promoted();
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

/* Does the witness let the backup lead? */
static bool witness_agrees(int fd)
{
    const struct message ask = {B, tdw_now()};
    struct message answer;

    tdw_sendto(fd, &ask, sizeof ask, 0, (void *)&scene.address[W], sizeof scene.address[W]);
    return TDW_DO_WITHIN(PATIENCE, recv, fd, &answer, sizeof answer, 0) > 0 && answer.from == W;
}

static void backup_stackful(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    struct message beat;

    (void)unused;
    while (!scene.over) {
        const int n = TDW_DO_WITHIN(SILENCE, recv, fd, &beat, sizeof beat, 0);

        if (!scene.over && n == -ETIME && (TRUSTS_SILENCE || witness_agrees(fd)))
            promoted();
    }
    tdw_close(fd);
}
SUBJECT(backup);

/* ── The others ────────────────────────────────────────────────────────────────────────────── */

static void primary(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    struct message answer;

    (void)unused;
    scene.a_leads_until = LEASE;
    for (int i = 0; i < BEATS && tdw_now() < scene.a_leads_until; i++) {
        const struct message beat = {A, tdw_now()};

        tdw_sendto(fd, &beat, sizeof beat, 0, (void *)&scene.address[B], sizeof scene.address[B]);
        tdw_sendto(fd, &beat, sizeof beat, 0, (void *)&scene.address[W], sizeof scene.address[W]);
        if (TDW_DO_WITHIN(PATIENCE, recv, fd, &answer, sizeof answer, 0) > 0)
            scene.a_leads_until = answer.asked + LEASE;
        tdw_sleep(BEAT);
    }
    scene.over |= tdw_now() < scene.a_leads_until;
    tdw_close(fd);
}

static void witness(void *unused)
{
    const int fd = bound_socket(SOCK_DGRAM, PORT);
    uint64_t until = 0;
    uint64_t holder = A;
    struct message ask;

    (void)unused;
    while (tdw_recv(fd, &ask, sizeof ask, 0) > 0) {
        const struct message answer = {W, ask.asked};

        if (ask.from != holder && tdw_now() < until)
            continue;
        holder = ask.from;
        until = tdw_now() + LEASE;
        tdw_sendto(fd, &answer, sizeof answer, 0, (void *)&scene.address[holder],
                   sizeof scene.address[holder]);
    }
    tdw_close(fd);
}

static void host_main(void *arg)
{
    switch ((int)(intptr_t)arg) {
    case A:
        tdw_spawn_stackful("primary", primary, NULL);
        break;
    case B:
        backup_spawn("backup", NULL);
        break;
    case W:
        tdw_daemon(tdw_spawn_stackful("witness", witness, NULL));
        break;
    }
}

/* For a while a is cut off from b (1), from w (2), from both (3). */
static void cutter(void *unused)
{
    const uint32_t which = tdw_choose("which", 4);

    (void)unused;
    tdw_sleep((50 + tdw_choose("when", 50)) * MS);
    cut(scene.host[A], scene.host[B], which & 1);
    cut(scene.host[A], scene.host[W], which & 2);
    tdw_sleep(100 * MS);
    cut(scene.host[A], scene.host[B], false);
    cut(scene.host[A], scene.host[W], false);
}

static void start(void)
{
    static const char *const names[HOSTS] = {"a", "b", "w"};

    memset(&scene, 0, sizeof scene);
    for (intptr_t i = 0; i < HOSTS; i++) {
        scene.host[i] = tdw_host(names[i], host_main, (void *)i);
        scene.address[i] = address_of(scene.host[i], PORT);
    }
    for (int i = HOSTS - 1; i >= 0; i--)
        tdw_host_boot(scene.host[i]);
    tdw_spawn_stackful("cutter", cutter, NULL);
}

CORPUS(split_brain, start, "there is one primary");
