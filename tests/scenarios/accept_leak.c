/* SPDX-License-Identifier: MIT */
/*
 * A storm of connections, and each that fails leaks its descriptor.
 *
 *     clients ── connect ──▶ server: accepts, greets, starts a session
 *                                       └─ the greeting fails: the client has gone already
 *
 * The server gives up on a client that it cannot greet, and forgets that it has a descriptor for
 * it. The session that would have closed it was never started. A port scan, or a health check that
 * hangs up at once, takes one descriptor each time, until accept answers -EMFILE to everybody.
 *
 * Seen: tlstunnel ran out of descriptors, until its failure paths were rewritten
 * (github.com/hannesm/tlstunnel-lwt/issues/15); accept(2), "EMFILE".
 *
 * Found as:  check failed: .*: [0-9]+ descriptors are still open
 * Optimum:   0 deviations, 1 fault: a greeting fails
 */
#include "corpus.h"

enum { FORGETS_TO_CLOSE = BUGGY };
enum { PORT = 80, CLIENTS = 4, FDS = 64 };

static struct scene {
    struct tdw_host *server, *clients;
    struct tdw_wg sessions;
} scene;

/* How many descriptors the process has, beside the first three. */
static int open_files(void)
{
    int count = 0;

    for (int fd = 3; fd < FDS; fd++)
        count += tdw_sys_fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void session(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    char byte;

    while (tdw_recv(fd, &byte, 1, 0) > 0)
        ;
    tdw_close(fd);
    tdw_wg_done(&scene.sessions);
}

static void greeted(int fd)
{
    tdw_wg_add(&scene.sessions, 1);
    tdw_spawn_stackful("session", session, (void *)(intptr_t)fd);
}

static void judge(void)
{
    const int count = open_files();

    tdw_check(count == 0, "%d descriptors are still open", count);
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

struct server {
    struct tdw_op op;
    int listener, fd, accepted;
};

static void over(struct tdw_op *op)
{
    judge();
    gone(op);
}

static void sessions_over(struct tdw_op *op)
{
    TDW_ON(op, over, close, ((struct server *)op)->listener);
}

static void greets(struct tdw_op *op);
static void next_client(struct tdw_op *op)
{
    struct server *s = (void *)op;

    if (s->accepted++ < CLIENTS)
        TDW_ON(op, greets, accept, s->listener, NULL, NULL, 0);
    else
        TDW_ON(op, sessions_over, wg_wait, &scene.sessions);
}

static void was_greeted(struct tdw_op *op)
{
    struct server *s = (void *)op;

    if (op->res < 0 && !FORGETS_TO_CLOSE) {
        TDW_ON(op, next_client, close, s->fd);
        return;
    }
    if (op->res > 0)
        greeted(s->fd);
    next_client(op);
}

static void greets(struct tdw_op *op)
{
    struct server *s = (void *)op;

    s->fd = op->res;
    TDW_ON(op, was_greeted, send, s->fd, "hello\n", 6, MSG_NOSIGNAL);
}

static void server_callback(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    s->listener = bound_socket(SOCK_STREAM, PORT);
    next_client(&s->op);
}

struct server_frame {
    struct tdw_frame frame;
    void *arg;
    int listener, fd, accepted, n;
};
TDW_CO(server_stackless)
{
    TDW_BEGIN(struct server_frame, me);
    me->listener = bound_socket(SOCK_STREAM, PORT);
    for (; me->accepted < CLIENTS; me->accepted++) {
        TDW_AWAIT(me->fd, accept, me->listener, NULL, NULL, 0);
        TDW_AWAIT(me->n, send, me->fd, "hello\n", 6, MSG_NOSIGNAL);
        if (me->n > 0)
            greeted(me->fd);
        else if (!FORGETS_TO_CLOSE)
            TDW_AWAIT(me->n, close, me->fd);
    }
    TDW_AWAIT(me->n, wg_wait, &scene.sessions);
    TDW_AWAIT(me->n, close, me->listener);
    judge();
    TDW_RETURN(0);
    TDW_END;
}

static void server_stackful(void *unused)
{
    const int listener = bound_socket(SOCK_STREAM, PORT);

    (void)unused;
    for (int accepted = 0; accepted < CLIENTS; accepted++) {
        const int fd = tdw_accept(listener, NULL, NULL, 0);

        if (tdw_send(fd, "hello\n", 6, MSG_NOSIGNAL) > 0)
            greeted(fd);
        else if (!FORGETS_TO_CLOSE)
            tdw_close(fd);
    }
    tdw_wg_wait(&scene.sessions);
    tdw_close(listener);
    judge();
}
SUBJECT(server);

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

static void client(void *unused)
{
    const int fd = connect_to(scene.server, PORT);
    char greeting[8];

    (void)unused;
    tdw_recv(fd, greeting, sizeof greeting, 0);
    tdw_close(fd);
}

static void clients_main(void *unused)
{
    for (int i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client, unused);
}

static void server_main(void *unused)
{
    tdw_wg_init(&scene.sessions, "sessions");
    server_spawn("server", unused);
}

static void start(void)
{
    scene.server = tdw_host("server", server_main, NULL);
    scene.clients = tdw_host("clients", clients_main, NULL);
    tdw_host_boot(scene.server);
    tdw_host_boot(scene.clients);
}

CORPUS(accept_leak, start, "who is gone takes no descriptor along");
