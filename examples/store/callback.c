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
    void *first;
};

static struct server *server_of(struct tdw_op *op)
{
    return tdw_of(op, struct server, op);
}

static void serve(struct server *s);
static void answered(struct server *s);

/* Recovery: snapshot, log, directory. */

static void dir_synced(struct tdw_op *op)
{
    tdw_check(op->res == 0, "fsync of the directory: %d", op->res);
    serve(server_of(op));
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

static void log_read(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res >= 0, "reading the log: %d", op->res);
    s->store.log_bytes = store_replay_log(&s->store, op->res);
    TDW_ON(&s->op, log_cut, ftruncate, s->store.log, s->store.log_bytes);
}

static void log_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.log = op->res;
    TDW_ON(&s->op, log_read, pread, s->store.log, s->store.buffer, LOG_ROOM, 0);
}

static void snapshot_closed(struct tdw_op *op)
{
    TDW_ON(op, log_opened, open, "log", O_RDWR | O_CREAT, 0644);
}

static void snapshot_read(struct tdw_op *op)
{
    struct server *s = server_of(op);

    store_load_snapshot(&s->store, op->res);
    TDW_ON(&s->op, snapshot_closed, close, s->snapshot);
}

static void snapshot_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->snapshot = op->res;
    if (s->snapshot >= 0)
        TDW_ON(&s->op, snapshot_read, pread, s->snapshot, s->store.buffer, SNAPSHOT_BYTES, 0);
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
    TDW_ON(op, rename_synced, fsync, server_of(op)->store.dir);
}

static void tmp_closed(struct tdw_op *op)
{
    TDW_ON(op, renamed, rename, "snapshot.tmp", "snapshot");
}

static void tmp_synced(struct tdw_op *op)
{
    TDW_ON(op, tmp_closed, close, server_of(op)->store.tmp);
}

static void tmp_written(struct tdw_op *op)
{
    tdw_check(op->res == SNAPSHOT_BYTES, "writing the snapshot: %d", op->res);
    TDW_ON(op, tmp_synced, fsync, server_of(op)->store.tmp);
}

static void tmp_opened(struct tdw_op *op)
{
    struct server *s = server_of(op);

    s->store.tmp = op->res;
    TDW_ON(&s->op, tmp_written, pwrite, s->store.tmp, s->store.buffer, SNAPSHOT_BYTES, 0);
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

static void log_written(struct tdw_op *op)
{
    struct server *s = server_of(op);

    tdw_check(op->res == (int)s->store.buffer_bytes, "appending to the log: %d", op->res);
    s->store.log_bytes += s->store.buffer_bytes;
    if (ACKNOWLEDGE_EARLY)
        store_answer(&s->store);
    TDW_ON(&s->op, log_synced, fdatasync, s->store.log);
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
        TDW_ON(&s->op, log_written, pwrite, s->store.log, s->store.buffer, s->store.buffer_bytes,
               s->store.log_bytes);
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

static void server(void *unused)
{
    struct server *s = tdw_malloc(sizeof *s);

    (void)unused;
    TDW_ON(&s->op, snapshot_opened, open, "snapshot", O_RDONLY, 0);
}

static void server_main(void *unused)
{
    store_connect();
    tdw_daemon(tdw_spawn_callback("server", server, unused));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct client {
    struct tdw_op op, timer;
    uint32_t which, key;
    int puts;
    bool is_put, last_round;
    uint64_t value;
    struct request *request;
    void *reply;
};

static struct client *client_of(struct tdw_op *op)
{
    return tdw_of(op, struct client, op);
}

static void answer(struct client *c);
static void attempt(struct client *c);

static void slept(struct tdw_op *op)
{
    attempt(client_of(op));
}

static void got_reply(struct tdw_op *op);

static void wait_for_reply(struct client *c)
{
    struct tdw_chan *replies = &scene.clients[c->which].replies;

    if (scene.patience_ns)
        TDW_ON_WITHIN(&c->op, &c->timer, scene.patience_ns, got_reply, take, replies, &c->reply);
    else
        TDW_ON(&c->op, got_reply, take, replies, &c->reply);
}

static void got_reply(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (op->res < 0)
        TDW_ON(&c->op, slept, sleep, RETRY_NS);
    else if (c->reply != c->request) /* an answer to a request that was given up */
        wait_for_reply(c);
    else
        answer(c);
}

static void request_put(struct tdw_op *op)
{
    struct client *c = client_of(op);

    if (op->res < 0)
        TDW_ON(&c->op, slept, sleep, RETRY_NS);
    else
        wait_for_reply(c);
}

static void attempt(struct client *c)
{
    c->request = client_request(c->which, c->is_put, c->key, c->value);
    c->reply = NULL;
    TDW_ON(&c->op, request_put, put, &scene.requests, c->request);
}

static void ask(struct client *c, bool is_put, uint32_t key, uint64_t value)
{
    c->is_put = is_put;
    c->key = key;
    c->value = value;
    attempt(c);
}

static void next_put(struct client *c)
{
    const uint32_t key = client_choose_key();

    ask(c, true, key, client_next_value(c->which, key));
}

/* The request was answered: what the client does next. */
static void answer(struct client *c)
{
    if (c->is_put) {
        client_acknowledged(c->request);
        ask(c, false, c->key, 0);
        return;
    }
    client_check(c->request);
    if (!c->last_round && ++c->puts < PUTS_EACH) {
        next_put(c);
    } else if (!c->last_round) {
        c->last_round = true;
        ask(c, false, 0, 0);
    } else if (c->key + 1 < KEYS_EACH) {
        ask(c, false, c->key + 1, 0);
    } else {
        tdw_wg_done(&scene.running);
    }
}

static void client(void *arg)
{
    struct client *c = tdw_malloc(sizeof *c);

    c->which = (uint32_t)(uintptr_t)arg;
    next_put(c);
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
    store_power_off();
    TDW_ON(op, boot_again, sleep, RETRY_NS);
}

static void test(bool crashes, uint64_t patience_ns)
{
    struct tdw_op *op = tdw_malloc(sizeof *op);

    scene_init(crashes, patience_ns, server_main, clients_main);
    if (crashes)
        TDW_ON(op, crash, sleep, scene_crash_after_ns());
    else
        wait_for_clients(op);
}

void store_callback(void *unused)
{
    (void)unused;
    test(false, 0);
}

void store_callback_crash(void *unused)
{
    (void)unused;
    test(true, 3000000);
}

void store_callback_patience(void *unused)
{
    (void)unused;
    test(false, 400000);
}
