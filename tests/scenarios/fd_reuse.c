/* SPDX-License-Identifier: MIT */
/*
 * A descriptor is re-used while somebody still has its number.
 *
 *     client a ── asks, and leaves ──▶ session ── syncs its journal ── confirms, to the number
 *     client b ── comes, and gets a's number ──────────────────────────────▶ b reads a's answer
 *
 * A request is confirmed when the journal is durable, and the session goes on listening to its
 * client meanwhile. The client leaves, its descriptor is closed, and the next connection has the
 * same number when the confirmation is sent. What was a number before the wait has to be asked for
 * again behind it.
 *
 * Seen: glibc's resolver sent queries to descriptors that had become something else's
 * (CVE-2013-7423); firebuild's supervisor could acknowledge to the wrong process
 * (github.com/firebuild/firebuild/issues/433); close(2), "NOTES".
 *
 * Found as:  check failed: .*: client [ab] was told what [ab] asked for
 * Optimum:   1 deviation, 0 faults: the sync for a takes until b has come
 */
#include "corpus.h"

enum { KEEPS_THE_NUMBER = BUGGY };
enum { PORT = 80, CLIENTS = 2 };
#define PATIENCE (400 * US)
#define LATER (450 * US)

static struct scene {
    struct tdw_host *server, *clients;
    int journal;
} scene;

struct session {
    int fd; /* -1: closed */
    char key;
    struct tdw_wg answers;
};

/* ── The answer ────────────────────────────────────────────────────────────────────────────── */

struct answer {
    struct tdw_op op;
    struct session *session;
    int fd;
    char text;
};

static void told(struct tdw_op *op)
{
    tdw_wg_done(&((struct answer *)op)->session->answers);
    gone(op);
}

static void durable(struct tdw_op *op)
{
    struct answer *a = (void *)op;
    const int fd = KEEPS_THE_NUMBER ? a->fd : a->session->fd;

    if (fd >= 0)
        TDW_ON(op, told, send, fd, &a->text, 1, MSG_NOSIGNAL);
    else
        told(op);
}

static void answer_callback(void *arg)
{
    struct answer *a = tdw_malloc(sizeof *a);

    a->session = arg;
    a->fd = a->session->fd;
    a->text = a->session->key;
    TDW_ON(&a->op, durable, fdatasync, scene.journal);
}

struct answer_frame {
    struct tdw_frame frame;
    void *arg; /* the session */
    struct session *session;
    int fd, n;
    char text;
};
TDW_CO(answer_stackless)
{
    TDW_BEGIN(struct answer_frame, me);
    me->session = me->arg;
    me->fd = me->session->fd;
    me->text = me->session->key;
    TDW_AWAIT(me->n, fdatasync, scene.journal);
    if (!KEEPS_THE_NUMBER)
        me->fd = me->session->fd;
    if (me->fd >= 0)
        TDW_AWAIT(me->n, send, me->fd, &me->text, 1, MSG_NOSIGNAL);
    tdw_wg_done(&me->session->answers);
    TDW_RETURN(0);
    TDW_END;
}

static void answer_stackful(void *arg)
{
    struct session *session = arg;
    const char text = session->key;
    int fd = session->fd;

    tdw_fdatasync(scene.journal);
    if (!KEEPS_THE_NUMBER)
        fd = session->fd;
    if (fd >= 0)
        tdw_send(fd, &text, 1, MSG_NOSIGNAL);
    tdw_wg_done(&session->answers);
}
SUBJECT(answer);

/* ── The rest of the server ────────────────────────────────────────────────────────────────── */

static void listen_to_client(void *arg)
{
    struct session session = {.fd = (int)(intptr_t)arg};
    char key;
    int fd;

    tdw_wg_init(&session.answers, "answers");
    while (tdw_recv(session.fd, &key, 1, 0) > 0) {
        session.key = key;
        tdw_wg_add(&session.answers, 1);
        tdw_detach(answer_spawn("answer", &session));
    }
    fd = session.fd;
    session.fd = -1;
    tdw_close(fd);
    tdw_wg_wait(&session.answers);
}

static void serve(void *unused)
{
    int listener, fd;

    (void)unused;
    scene.journal = tdw_open("journal", O_RDWR | O_CREAT, 0644);
    tdw_pwrite(scene.journal, "entry\n", 6, 0);
    listener = bound_socket(SOCK_STREAM, PORT);
    for (int i = 0; i < CLIENTS && (fd = tdw_accept(listener, NULL, NULL, 0)) >= 0; i++)
        tdw_spawn_stackful("session", listen_to_client, (void *)(intptr_t)fd);
    tdw_close(listener);
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

/* Client 0 has little patience; the next one comes a little later. */
static void client(void *arg)
{
    const char key = (char)('a' + (intptr_t)arg);
    char text = 0;
    int fd, n;

    tdw_sleep((uint64_t)(key - 'a') * LATER);
    fd = connect_to(scene.server, PORT);
    tdw_send(fd, &key, 1, 0);
    n = TDW_DO_WITHIN(PATIENCE, recv, fd, &text, 1, 0);
    tdw_check(n <= 0 || text == key, "client %c was told what %c asked for", key, text);
    tdw_close(fd);
}

static void server(void *unused)
{
    tdw_spawn_stackful("server", serve, unused);
}

static void clients(void *unused)
{
    (void)unused;
    for (intptr_t i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client, (void *)i);
}

static void start(void)
{
    tdw_link_default(tdw_link_preset("loopback"));
    scene.server = tdw_host("server", server, NULL);
    scene.clients = tdw_host("clients", clients, NULL);
    tdw_host_boot(scene.server);
    tdw_host_boot(scene.clients);
}

CORPUS(fd_reuse, start, "an answer goes to who asked");
