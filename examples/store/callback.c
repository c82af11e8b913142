/* SPDX-License-Identifier: MIT */
/*
 * The store with callbacks: each step submits one op and names the step that follows it. Loops and
 * function calls become fields that say where to go on.
 */
#include "store.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

struct server {
    struct tdw_op op;
    struct store store;
    int snapshot;
    uint32_t done; /* bytes of what is being written */
    bool recovers; /* and nothing more */
    void *first;
};

static struct server *server_of(struct tdw_op *op)
{
    return tdw_of(op, struct server, op);
}

static void serve(struct server *s);
static void answered(struct server *s);
static void dir_closed(struct tdw_op *op);

/* Recovery: snapshot, log, directory. */

static void dir_synced(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res == 0, "fsync of the directory: %d", op->res);
    if (!s->recovers) {
        serve(s);
        return;
    }
    store_promises(&s->store);
    TDW_ON(&s->op, dir_closed, close, s->store.dir);
}

static void dir_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.dir = op->res;
    TDW_ON(&s->op, dir_synced, fsync, s->store.dir);
}

static void log_cut(struct tdw_op *op)
{
    TDW_ON(op, dir_opened, open, ".", O_RDONLY | O_DIRECTORY, 0);
}

/* A read may give a part only: what is left is read then, until there is no more. */
static bool read_more(struct server *s, int n, uint32_t bytes)
{
    s->done += n > 0 ? (uint32_t)n : 0;
    return n > 0 && s->done < bytes;
}

static void read_log(struct server *s);
static void log_read(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res >= 0, "reading the log: %d", op->res);
    if (read_more(s, op->res, LOG_ROOM)) {
        read_log(s);
        return;
    }
    s->store.log_bytes = store_replay_log(&s->store, (int)s->done);
    TDW_ON(&s->op, log_cut, ftruncate, s->store.log, s->store.log_bytes);
}

static void read_log(struct server *s)
{
    TDW_ON(&s->op, log_read, pread, s->store.log, s->store.buffer + s->done, LOG_ROOM - s->done,
           s->done);
}

static void log_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.log = op->res;
    s->done = 0;
    read_log(s);
}

static void snapshot_closed(struct tdw_op *op)
{
    TDW_ON(op, log_opened, open, "log", O_RDWR | O_CREAT, 0644);
}

static void read_snapshot(struct server *s);
static void snapshot_read(struct tdw_op *op)
{
    struct server *s = server_of(op);

    if (read_more(s, op->res, SNAPSHOT_BYTES)) {
        read_snapshot(s);
        return;
    }
    store_load_snapshot(&s->store, op->res < 0 ? op->res : (int)s->done);
    TDW_ON(&s->op, snapshot_closed, close, s->snapshot);
}

static void read_snapshot(struct server *s)
{
    TDW_ON(&s->op, snapshot_read, pread, s->snapshot, s->store.buffer + s->done,
           SNAPSHOT_BYTES - s->done, s->done);
}

static void snapshot_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->snapshot = op->res;
    s->done = 0;
    if (s->snapshot >= 0)
        read_snapshot(s);
    else
        snapshot_closed(op);
}

/* A new snapshot. */

static void log_emptied(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.log_bytes = 0;
    serve(s);
}

static void rename_synced(struct tdw_op *op)
{
    tdw_check(op->res == 0, "fsync of the directory: %d", op->res);
    TDW_ON(op, log_emptied, ftruncate, server_of(op)->store.log, 0);
}

static void renamed(struct tdw_op *op)
{
    tdw_check(op->res == 0, "rename of the snapshot: %d", op->res);
    TDW_ON(op, rename_synced, fsync, server_of(op)->store.dir);
}

static void tmp_closed(struct tdw_op *op)
{
    TDW_ON(op, renamed, rename, "snapshot.tmp", "snapshot");
}

static void tmp_synced(struct tdw_op *op)
{
    tdw_check(op->res == 0, "fsync of the snapshot: %d", op->res);
    TDW_ON(op, tmp_closed, close, server_of(op)->store.tmp);
}

static void write_tmp(struct server *s);
static void tmp_written(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res > 0, "writing the snapshot: %d", op->res);
    s->done += (uint32_t)op->res;
    if (op->res > 0 && s->done < SNAPSHOT_BYTES)
        write_tmp(s);
    else
        TDW_ON(op, tmp_synced, fsync, s->store.tmp);
}

/* A file may take a part only: what is left is written then. */
static void write_tmp(struct server *s)
{
    TDW_ON(&s->op, tmp_written, pwrite, s->store.tmp, s->store.buffer + s->done,
           SNAPSHOT_BYTES - s->done, s->done);
}

static void tmp_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.tmp = op->res;
    s->done = 0;
    write_tmp(s);
}

/* Serving: take, append, sync, answer. */

static void log_synced(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res == 0, "fdatasync of the log: %d", op->res);
    if (!ACKNOWLEDGE_EARLY)
        store_answer(&s->store);
    answered(s);
}

static void append(struct server *s);
static void log_written(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res > 0, "appending to the log: %d", op->res);
    s->done += (uint32_t)op->res;
    if (op->res > 0 && s->done < s->store.buffer_bytes) {
        append(s);
        return;
    }
    s->store.log_bytes += s->store.buffer_bytes;
    if (ACKNOWLEDGE_EARLY)
        store_answer(&s->store);
    TDW_ON(&s->op, log_synced, fdatasync, s->store.log);
}

static void append(struct server *s)
{
    TDW_ON(&s->op, log_written, pwrite, s->store.log, s->store.buffer + s->done,
           s->store.buffer_bytes - s->done, s->store.log_bytes + s->done);
}

static void log_closed(struct tdw_op *op)
{
    (void)op; /* nothing is in flight any more: the task ends */
}

static void dir_closed(struct tdw_op *op)
{
    TDW_ON(op, log_closed, close, server_of(op)->store.log);
}

static void taken(struct tdw_op *op)
{
    struct server *s = server_of(op);

    if (op->res < 0) {
        TDW_ON(&s->op, dir_closed, close, s->store.dir);
        return;
    }
    store_gather(&s->store, s->first);
    if (s->store.buffer_bytes > 0) {
        s->done = 0;
        append(s);
    } else {
        store_answer(&s->store);
        answered(s);
    }
}

static void answered(struct server *s)
{
    if (s->store.log_bytes < SNAPSHOT_AT) {
        serve(s);
        return;
    }
    store_encode_snapshot(&s->store);
    TDW_ON(&s->op, tmp_opened, open, "snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
}

static void serve(struct server *s)
{
    TDW_ON(&s->op, taken, take, &scene.requests, &s->first);
}

static void begin_server(bool recovers)
{
    struct server *s = tdw_malloc(sizeof *s);

    s->recovers = recovers;
    TDW_ON(&s->op, snapshot_opened, open, "snapshot", O_RDONLY, 0);
}

static void server(void *unused)
{
    (void)unused;
    begin_server(false);
}

static void recovery(void *unused)
{
    (void)unused;
    begin_server(true);
}

static void recovery_main(void *unused)
{
    tdw_spawn_callback("recovery", recovery, unused);
}

/* Sessions: a request, its answer, the next request. */

struct session {
    struct tdw_op op;
    int fd;
    struct request request;
    uint8_t wire[REQUEST_BYTES];
};

static void session_over(struct tdw_op *op)
{
    tdw_free(tdw_of(op, struct session, op));
}

static void session_received(struct tdw_op *op);
static void session_next(struct tdw_op *op)
{
    struct session *s = tdw_of(op, struct session, op);

    TDW_ON(op, session_received, recv, s->fd, s->wire, REQUEST_BYTES, MSG_WAITALL);
}

static void session_sent(struct tdw_op *op)
{
    if (op->res == REPLY_BYTES)
        session_next(op);
    else
        TDW_ON(op, session_over, close, tdw_of(op, struct session, op)->fd);
}

static void session_answered(struct tdw_op *op)
{
    struct session *s = tdw_of(op, struct session, op);

    if (op->res < 0) {
        TDW_ON(op, session_over, close, s->fd);
        return;
    }
    store_put_u64(s->wire, s->request.value);
    TDW_ON(op, session_sent, send, s->fd, s->wire, REPLY_BYTES, MSG_WAITALL);
}

static void session_queued(struct tdw_op *op)
{
    struct session *s = tdw_of(op, struct session, op);

    if (op->res < 0)
        TDW_ON(op, session_over, close, s->fd);
    else
        TDW_ON(op, session_answered, sem_take, &s->request.answered);
}

static void session_received(struct tdw_op *op)
{
    struct session *s = tdw_of(op, struct session, op);

    if (op->res != REQUEST_BYTES) {
        TDW_ON(op, session_over, close, s->fd);
        return;
    }
    request_decode(&s->request, s->wire);
    TDW_ON(op, session_queued, put, &scene.requests, &s->request);
}

static void session(void *arg)
{
    struct session *s = tdw_malloc(sizeof *s);

    s->fd = (int)(intptr_t)arg;
    session_next(&s->op);
}

struct acceptor {
    struct tdw_op op;
    int listener;
};

static void stopped(struct tdw_op *op)
{
    tdw_free(tdw_of(op, struct acceptor, op));
}

static void accepted(struct tdw_op *op)
{
    const int listener = tdw_of(op, struct acceptor, op)->listener;

    if (op->res < 0) {
        TDW_ON(op, stopped, close, listener);
        return;
    }
    tdw_detach(tdw_spawn_callback("session", session, (void *)(intptr_t)op->res));
    TDW_ON(op, accepted, accept, listener, NULL, NULL, 0);
}

static void acceptor(void *arg)
{
    struct acceptor *a = tdw_malloc(sizeof *a);

    a->listener = (int)(intptr_t)arg;
    TDW_ON(&a->op, accepted, accept, a->listener, NULL, NULL, 0);
}

void store_callback_server(void *unused)
{
    const int listener = store_listen();

    tdw_daemon(tdw_spawn_callback("server", server, unused));
    tdw_daemon(tdw_spawn_callback("acceptor", acceptor, (void *)(intptr_t)listener));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct client {
    struct tdw_op op, timer;
    uint32_t which;
    int puts, fd;
    bool last_round;
    struct ask ask;
};

static struct client *client_of(struct tdw_op *op)
{
    return tdw_of(op, struct client, op);
}

static void answer(struct client *c);
static void attempt(struct tdw_op *op);

static void hung_up(struct tdw_op *op)
{
    client_of(op)->fd = -1;
    TDW_ON(op, attempt, sleep, RETRY_NS);
}

/* The server is not there, or too slow for us. */
static void give_up(struct client *c)
{
    TDW_ON(&c->op, hung_up, close, c->fd);
}

static void got_reply(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (op->res == REPLY_BYTES)
        answer(c);
    else
        give_up(c);
}

static void request_sent(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (op->res == REQUEST_BYTES)
        TDW_ON_WITHIN(op, &c->timer, scene.patience_ns, got_reply, recv, c->fd, c->ask.wire,
                      REPLY_BYTES, MSG_WAITALL);
    else
        give_up(c);
}

static void connected(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (op->res < 0) {
        give_up(c);
        return;
    }
    ask_encode(&c->ask);
    TDW_ON_WITHIN(op, &c->timer, scene.patience_ns, request_sent, send, c->fd, c->ask.wire,
                  REQUEST_BYTES, MSG_WAITALL);
}

/* Ask until there is an answer. */
static void attempt(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (c->fd >= 0) {
        op->res = 0;
        connected(op);
        return;
    }
    c->fd = store_socket();
    TDW_ON_WITHIN(op, &c->timer, scene.patience_ns, connected, connect, c->fd,
                  (struct sockaddr *)&scene.address, sizeof scene.address);
}

static void ask(struct client *c, struct ask what)
{
    c->ask = what;
    attempt(&c->op);
}

static void left(struct tdw_op *op)
{
    tdw_free(client_of(op));
    left_group(&scene.running);
}

/* The request was answered: what the client does next. */
static void answer(struct client *c)
{
    const uint32_t key = c->ask.key;

    ask_check(&c->ask);
    if (c->ask.is_put) {
        ask(c, ask_get(c->which, key));
    } else if (!c->last_round && ++c->puts < PUTS_EACH) {
        ask(c, ask_put(c->which, client_choose_key()));
    } else if (!c->last_round) {
        c->last_round = true;
        ask(c, ask_get(c->which, 0));
    } else if (key + 1 < KEYS_EACH) {
        ask(c, ask_get(c->which, key + 1));
    } else {
        TDW_ON(&c->op, left, close, c->fd);
    }
}

static void client(void *arg)
{
    struct client *c = tdw_malloc(sizeof *c);

    c->which = (uint32_t)(uintptr_t)arg;
    c->fd = -1;
    ask(c, ask_put(c->which, client_choose_key()));
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uintptr_t i = 0; i < CLIENTS; i++)
        tdw_spawn_callback("client", client, (void *)i);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

static void finished(struct tdw_op *op)
{
    (void)op;
}

static void wait_for_clients(struct tdw_op *op)
{
    TDW_ON(op, finished, wg_wait, &scene.running);
}

static void boot_again(struct tdw_op *op)
{
    tdw_host_boot(scene.server);
    wait_for_clients(op);
}

static void crash(struct tdw_op *op)
{
    tdw_host_crash(scene.server);
    TDW_ON(op, boot_again, sleep, RETRY_NS);
}

static void test(bool crashes, uint64_t patience_ns)
{
    struct tdw_op *op = tdw_malloc(sizeof *op);

    scene_init(crashes, patience_ns, store_callback_server, clients_main, recovery_main);
    if (crashes)
        TDW_ON(op, crash, sleep, scene_crash_after_ns());
    else
        wait_for_clients(op);
}

void store_callback(void *unused)
{
    (void)unused;
    test(false, ENDLESS_NS);
}

void store_callback_crash(void *unused)
{
    (void)unused;
    test(true, LONG_NS);
}

void store_callback_patience(void *unused)
{
    (void)unused;
    test(false, SHORT_NS);
}
