/* SPDX-License-Identifier: MIT */
/*
 * A request is sent again after the connection broke, and is done twice.
 *
 *     client ── pay ──▶ server: books it ── done ─▶ ✗ the connection breaks
 *        └── connects, pays once more ──▶ server: books it
 *
 * A connection that breaks before the answer is there leaves open whether the request was done. The
 * client asks again, as it must; but the server cannot tell that it is the same request. The fix
 * gives a request a key that stays the same when it is repeated.
 *
 * Seen: httpclient sent POSTs twice (github.com/nahi/httpclient/issues/142); nginx stopped
 * repeating them in 1.9.13 (proxy_next_upstream, non_idempotent); RFC 9110, section 9.2.2.
 *
 * Found as:  check failed: .*: [0-9]+ payments were booked, and 3 made
 * Optimum:   0 deviations, 1 fault: the client's receive fails
 */
#include "corpus.h"

enum { SENDS_NO_KEY = BUGGY };
enum { PORT = 80, PAYMENTS = 3 };

static struct scene {
    struct tdw_host *server, *clients;
    uint8_t last_key;
    int booked;
} scene;

/* The key of payment `i`, from 1; 0: it has none. */
static uint8_t key_of(int i)
{
    return SENDS_NO_KEY ? 0 : (uint8_t)(i + 1);
}

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

struct client {
    struct tdw_op op;
    struct sockaddr_in server;
    int i, fd, n;
    uint8_t key, answer;
};

static void try_to_pay(struct client *c);
static void closed(struct tdw_op *op)
{
    struct client *c = (void *)op;

    c->i += c->n == 1;
    if (c->i < PAYMENTS)
        try_to_pay(c);
    else
        gone(op);
}

static void answered(struct tdw_op *op)
{
    struct client *c = (void *)op;

    c->n = op->res;
    TDW_ON(op, closed, close, c->fd);
}

static void sent(struct tdw_op *op)
{
    struct client *c = (void *)op;

    TDW_ON(op, answered, recv, c->fd, &c->answer, 1, 0);
}

static void connected(struct tdw_op *op)
{
    struct client *c = (void *)op;

    c->key = key_of(c->i);
    TDW_ON(op, sent, send, c->fd, &c->key, 1, MSG_NOSIGNAL);
}

static void try_to_pay(struct client *c)
{
    c->server = address_of(scene.server, PORT);
    c->fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    TDW_ON(&c->op, connected, connect, c->fd, (void *)&c->server, sizeof c->server);
}

static void client_callback(void *unused)
{
    struct client *c = tdw_malloc(sizeof *c);

    (void)unused;
    try_to_pay(c);
}

struct client_frame {
    struct tdw_frame frame;
    void *arg;
    struct sockaddr_in server;
    int i, fd, n, unused;
    uint8_t key, answer;
};
TDW_CO(client_stackless)
{
    TDW_BEGIN(struct client_frame, me);
    me->server = address_of(scene.server, PORT);
    while (me->i < PAYMENTS) {
        me->fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        TDW_AWAIT(me->n, connect, me->fd, (void *)&me->server, sizeof me->server);
        me->key = key_of(me->i);
        TDW_AWAIT(me->n, send, me->fd, &me->key, 1, MSG_NOSIGNAL);
        TDW_AWAIT(me->n, recv, me->fd, &me->answer, 1, 0);
        TDW_AWAIT(me->unused, close, me->fd);
        me->i += me->n == 1;
    }
    TDW_RETURN(0);
    TDW_END;
}

static void client_stackful(void *unused)
{
    const struct sockaddr_in address = address_of(scene.server, PORT);
    uint8_t answer;

    (void)unused;
    for (int i = 0, n; i < PAYMENTS; i += n == 1) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        const uint8_t key = key_of(i);

        tdw_connect(fd, (const void *)&address, sizeof address);
        tdw_send(fd, &key, 1, MSG_NOSIGNAL);
        n = tdw_recv(fd, &answer, 1, 0);
        tdw_close(fd);
    }
}
SUBJECT(client);

static void clients(void *unused)
{
    tdw_sleep(MS); /* the server listens by then */
    tdw_join(client_spawn("client", unused));
    tdw_check(scene.booked == PAYMENTS, "%d payments were booked, and %d made", scene.booked,
              PAYMENTS);
}

static void clients_main(void *unused)
{
    tdw_spawn_stackful("clients", clients, unused);
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

static void session(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    uint8_t key;

    while (tdw_recv(fd, &key, 1, 0) > 0) {
        if (key == 0 || key > scene.last_key) {
            scene.last_key = key;
            scene.booked++;
        }
        tdw_send(fd, &key, 1, MSG_NOSIGNAL);
    }
    tdw_close(fd);
}

static void accept_all(void *unused)
{
    const int listener = bound_socket(SOCK_STREAM, PORT);
    int fd;

    (void)unused;
    while ((fd = tdw_accept(listener, NULL, NULL, 0)) >= 0)
        tdw_detach(tdw_spawn_stackful("session", session, (void *)(intptr_t)fd));
    tdw_close(listener);
}

static void server_main(void *unused)
{
    tdw_daemon(tdw_spawn_stackful("server", accept_all, unused));
}

static void start(void)
{
    memset(&scene, 0, sizeof scene);
    scene.server = tdw_host("server", server_main, NULL);
    scene.clients = tdw_host("clients", clients_main, NULL);
    tdw_host_boot(scene.server);
    tdw_host_boot(scene.clients);
}

CORPUS(sent_twice, start, "a payment is booked once");
