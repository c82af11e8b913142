/* SPDX-License-Identifier: MIT */
/*
 * The store with stackless coroutines: what lives across a wait is a field of a frame, and a
 * function that waits is called with TDW_CALL.
 */
#include "store.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

struct step { /* of a function of the server */
    struct tdw_frame frame;
    struct store *store;
    int n, snapshot;
};

TDW_CO(recover)
{
    TDW_BEGIN(struct step, me);
    TDW_AWAIT(me->snapshot, open, "snapshot", O_RDONLY, 0);
    if (me->snapshot >= 0) {
        TDW_AWAIT(me->n, pread, me->snapshot, me->store->buffer, SNAPSHOT_BYTES, 0);
        store_load_snapshot(me->store, me->n);
        TDW_AWAIT(me->n, close, me->snapshot);
    }
    TDW_AWAIT(me->store->log, open, "log", O_RDWR | O_CREAT, 0644);
    TDW_AWAIT(me->n, pread, me->store->log, me->store->buffer, LOG_ROOM, 0);
    tdw_check(me->n >= 0, "reading the log: %d", me->n);
    me->store->log_bytes = store_replay_log(me->store, me->n);
    TDW_AWAIT(me->n, ftruncate, me->store->log, me->store->log_bytes);
    TDW_AWAIT(me->store->dir, open, ".", O_RDONLY | O_DIRECTORY, 0);
    TDW_AWAIT(me->n, fsync, me->store->dir);
    tdw_check(me->n == 0, "fsync of the directory: %d", me->n);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO(commit)
{
    TDW_BEGIN(struct step, me);
    if (me->store->buffer_bytes > 0) {
        TDW_AWAIT(me->n, pwrite, me->store->log, me->store->buffer, me->store->buffer_bytes,
                  me->store->log_bytes);
        tdw_check(me->n == (int)me->store->buffer_bytes, "appending to the log: %d", me->n);
        me->store->log_bytes += me->store->buffer_bytes;
        if (ACKNOWLEDGE_EARLY)
            store_answer(me->store);
        TDW_AWAIT(me->n, fdatasync, me->store->log);
        tdw_check(me->n == 0, "fdatasync of the log: %d", me->n);
        if (ACKNOWLEDGE_EARLY)
            TDW_RETURN(0);
    }
    store_answer(me->store);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO(snapshot)
{
    TDW_BEGIN(struct step, me);
    store_encode_snapshot(me->store);
    TDW_AWAIT(me->store->tmp, open, "snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    TDW_AWAIT(me->n, pwrite, me->store->tmp, me->store->buffer, SNAPSHOT_BYTES, 0);
    tdw_check(me->n == SNAPSHOT_BYTES, "writing the snapshot: %d", me->n);
    TDW_AWAIT(me->n, fsync, me->store->tmp);
    TDW_AWAIT(me->n, close, me->store->tmp);
    TDW_AWAIT(me->n, rename, "snapshot.tmp", "snapshot");
    TDW_AWAIT(me->n, fsync, me->store->dir);
    tdw_check(me->n == 0, "fsync of the directory: %d", me->n);
    TDW_AWAIT(me->n, ftruncate, me->store->log, 0);
    me->store->log_bytes = 0;
    TDW_RETURN(0);
    TDW_END;
}

struct server {
    struct tdw_frame frame;
    struct store *store;
    void *first;
    int n;
};

TDW_CO(server)
{
    TDW_BEGIN(struct server, me);
    me->store = tdw_malloc(sizeof *me->store);
    TDW_CALL(me->n, recover, struct step, .store = me->store);
    for (;;) {
        TDW_AWAIT(me->n, take, &scene.requests, &me->first);
        if (me->n < 0)
            break;
        store_gather(me->store, me->first);
        TDW_CALL(me->n, commit, struct step, .store = me->store);
        if (me->store->log_bytes >= SNAPSHOT_AT)
            TDW_CALL(me->n, snapshot, struct step, .store = me->store);
    }
    TDW_AWAIT(me->n, close, me->store->dir);
    TDW_AWAIT(me->n, close, me->store->log);
    TDW_RETURN(0);
    TDW_END;
}

static void server_main(void *unused)
{
    (void)unused;
    store_connect();
    tdw_daemon(TDW_SPAWN("server", server, struct server));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct ask { /* until there is an answer: the server may crash, or be too slow for us */
    struct tdw_frame frame;
    struct tdw_op timer;
    uint32_t client, key;
    uint64_t value;
    bool is_put;
    int n;
    void *reply;
    struct request *request;
};

TDW_CO(ask)
{
    TDW_BEGIN(struct ask, me);
    for (;;) {
        me->request = client_request(me->client, me->is_put, me->key, me->value);
        me->reply = NULL;
        TDW_AWAIT(me->n, put, &scene.requests, me->request);
        while (me->n == 0 && me->reply != me->request) { /* answers to requests given up */
            if (scene.patience_ns)
                TDW_AWAIT_WITHIN(me->n, &me->timer, scene.patience_ns, take,
                                 &scene.clients[me->client].replies, &me->reply);
            else
                TDW_AWAIT(me->n, take, &scene.clients[me->client].replies, &me->reply);
        }
        if (me->n == 0)
            TDW_RETURN((intptr_t)me->request);
        TDW_AWAIT(me->n, sleep, RETRY_NS);
    }
    TDW_END;
}

struct client {
    struct tdw_frame frame;
    uint32_t which, key;
    int i;
    intptr_t answer;
};

TDW_CO(client)
{
    TDW_BEGIN(struct client, me);
    for (me->i = 0; me->i < PUTS_EACH; me->i++) {
        me->key = client_choose_key();
        TDW_CALL(me->answer, ask, struct ask, .client = me->which, .is_put = true, .key = me->key,
                 .value = client_next_value(me->which, me->key));
        client_acknowledged((const struct request *)me->answer);
        TDW_CALL(me->answer, ask, struct ask, .client = me->which, .key = me->key);
        client_check((const struct request *)me->answer);
    }
    for (me->key = 0; me->key < KEYS_EACH; me->key++) {
        TDW_CALL(me->answer, ask, struct ask, .client = me->which, .key = me->key);
        client_check((const struct request *)me->answer);
    }
    tdw_wg_done(&scene.running);
    TDW_RETURN(0);
    TDW_END;
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < CLIENTS; i++)
        TDW_SPAWN("client", client, struct client, .which = i);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

TDW_CO(test)
{
    TDW_BEGIN(struct test_frame, me);
    if (scene.crashes) {
        TDW_AWAIT(me->n, sleep, scene_crash_after_ns());
        store_power_off();
        TDW_AWAIT(me->n, sleep, RETRY_NS);
        tdw_host_boot(scene.server);
    }
    TDW_AWAIT(me->n, wg_wait, &scene.running);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO_EXTERN(store_stackless)
{
    TDW_BEGIN(struct test_frame, me);
    scene_init(false, 0, server_main, clients_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO_EXTERN(store_stackless_crash)
{
    TDW_BEGIN(struct test_frame, me);
    scene_init(true, 3000000, server_main, clients_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO_EXTERN(store_stackless_patience)
{
    TDW_BEGIN(struct test_frame, me);
    scene_init(false, 400000, server_main, clients_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}
