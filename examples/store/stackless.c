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
    uint32_t done; /* bytes of what is being written */
};

TDW_CO(recover)
{
    TDW_BEGIN(struct step, me);
    TDW_AWAIT(me->snapshot, open, "snapshot", O_RDONLY, 0);
    if (me->snapshot >= 0) {
        for (me->n = 1, me->done = 0; me->n > 0 && me->done < SNAPSHOT_BYTES;
             me->done += (uint32_t)(me->n > 0 ? me->n : 0))
            TDW_AWAIT(me->n, pread, me->snapshot, me->store->buffer + me->done,
                      SNAPSHOT_BYTES - me->done, me->done);
        store_load_snapshot(me->store, me->n < 0 ? me->n : (int)me->done);
        TDW_AWAIT(me->n, close, me->snapshot);
    }
    TDW_AWAIT(me->store->log, open, "log", O_RDWR | O_CREAT, 0644);
    for (me->n = 1, me->done = 0; me->n > 0 && me->done < LOG_ROOM;
         me->done += (uint32_t)(me->n > 0 ? me->n : 0))
        TDW_AWAIT(me->n, pread, me->store->log, me->store->buffer + me->done, LOG_ROOM - me->done,
                  me->done);
    tdw_check(me->n >= 0, "reading the log: %d", me->n);
    me->store->log_bytes = store_replay_log(me->store, (int)me->done);
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
        for (me->n = me->done = 0; me->n >= 0 && me->done < me->store->buffer_bytes;
             me->done += (uint32_t)me->n) {
            TDW_AWAIT(me->n, pwrite, me->store->log, me->store->buffer + me->done,
                      me->store->buffer_bytes - me->done, me->store->log_bytes + me->done);
            tdw_check(me->n > 0, "appending to the log: %d", me->n);
        }
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
    for (me->n = me->done = 0; me->n >= 0 && me->done < SNAPSHOT_BYTES;
         me->done += (uint32_t)me->n) {
        TDW_AWAIT(me->n, pwrite, me->store->tmp, me->store->buffer + me->done,
                  SNAPSHOT_BYTES - me->done, me->done);
        tdw_check(me->n > 0, "writing the snapshot: %d", me->n);
    }
    TDW_AWAIT(me->n, fsync, me->store->tmp);
    tdw_check(me->n == 0, "fsync of the snapshot: %d", me->n);
    TDW_AWAIT(me->n, close, me->store->tmp);
    TDW_AWAIT(me->n, rename, "snapshot.tmp", "snapshot");
    tdw_check(me->n == 0, "rename of the snapshot: %d", me->n);
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

TDW_CO(recovery)
{
    TDW_BEGIN(struct server, me);
    me->store = tdw_malloc(sizeof *me->store);
    TDW_CALL(me->n, recover, struct step, .store = me->store);
    store_promises(me->store);
    TDW_AWAIT(me->n, close, me->store->dir);
    TDW_AWAIT(me->n, close, me->store->log);
    TDW_RETURN(0);
    TDW_END;
}

static void recovery_main(void *unused)
{
    (void)unused;
    TDW_SPAWN("recovery", recovery, struct server);
}

/* One connection: a request, its answer, the next request. */
struct session {
    struct tdw_frame frame;
    int fd, n;
    struct request request;
    uint8_t wire[REQUEST_BYTES];
};

TDW_CO(session)
{
    TDW_BEGIN(struct session, me);
    for (;;) {
        TDW_AWAIT(me->n, recv, me->fd, me->wire, REQUEST_BYTES, MSG_WAITALL);
        if (me->n != REQUEST_BYTES)
            break;
        request_decode(&me->request, me->wire);
        TDW_AWAIT(me->n, put, &scene.requests, &me->request);
        if (me->n < 0)
            break;
        TDW_AWAIT(me->n, sem_take, &me->request.answered);
        if (me->n < 0)
            break;
        store_put_u64(me->wire, me->request.value);
        TDW_AWAIT(me->n, send, me->fd, me->wire, REPLY_BYTES, MSG_WAITALL);
        if (me->n != REPLY_BYTES)
            break;
    }
    TDW_AWAIT(me->n, close, me->fd);
    TDW_RETURN(0);
    TDW_END;
}

struct acceptor {
    struct tdw_frame frame;
    int listener, fd, n;
};

TDW_CO(acceptor)
{
    TDW_BEGIN(struct acceptor, me);
    for (;;) {
        TDW_AWAIT(me->fd, accept, me->listener, NULL, NULL, 0);
        if (me->fd < 0)
            break;
        tdw_detach(TDW_SPAWN("session", session, struct session, .fd = me->fd));
    }
    TDW_AWAIT(me->n, close, me->listener);
    TDW_RETURN(0);
    TDW_END;
}

void store_stackless_server(void *unused)
{
    const int listener = store_listen();

    (void)unused;
    tdw_daemon(TDW_SPAWN("server", server, struct server));
    tdw_daemon(TDW_SPAWN("acceptor", acceptor, struct acceptor, .listener = listener));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

struct attempt { /* false if the server is not there, or too slow for us */
    struct tdw_frame frame;
    struct tdw_op timer;
    struct ask *ask;
    int *fd, n;
};

TDW_CO(attempt)
{
    TDW_BEGIN(struct attempt, me);
    if (*me->fd < 0) {
        *me->fd = store_socket();
        TDW_AWAIT_WITHIN(me->n, &me->timer, scene.patience_ns, connect, *me->fd,
                         (struct sockaddr *)&scene.address, sizeof scene.address);
        if (me->n < 0)
            TDW_RETURN(false);
    }
    ask_encode(me->ask);
    TDW_AWAIT_WITHIN(me->n, &me->timer, scene.patience_ns, send, *me->fd, me->ask->wire,
                     REQUEST_BYTES, MSG_WAITALL);
    if (me->n != REQUEST_BYTES)
        TDW_RETURN(false);
    TDW_AWAIT_WITHIN(me->n, &me->timer, scene.patience_ns, recv, *me->fd, me->ask->wire,
                     REPLY_BYTES, MSG_WAITALL);
    TDW_RETURN(me->n == REPLY_BYTES);
    TDW_END;
}

struct asking { /* until there is an answer */
    struct tdw_frame frame;
    struct ask ask;
    int *fd, n;
};

TDW_CO(asking)
{
    TDW_BEGIN(struct asking, me);
    for (;;) {
        TDW_CALL(me->n, attempt, struct attempt, .ask = &me->ask, .fd = me->fd);
        if (me->n)
            break;
        TDW_AWAIT(me->n, close, *me->fd);
        *me->fd = -1;
        TDW_AWAIT(me->n, sleep, RETRY_NS);
    }
    ask_check(&me->ask);
    TDW_RETURN(0);
    TDW_END;
}

struct client {
    struct tdw_frame frame;
    uint32_t which, key;
    int i, fd, n;
};

TDW_CO(client)
{
    TDW_BEGIN(struct client, me);
    me->fd = -1;
    for (me->i = 0; me->i < PUTS_EACH; me->i++) {
        me->key = client_choose_key();
        TDW_CALL(me->n, asking, struct asking, .ask = ask_put(me->which, me->key), .fd = &me->fd);
        TDW_CALL(me->n, asking, struct asking, .ask = ask_get(me->which, me->key), .fd = &me->fd);
    }
    for (me->key = 0; me->key < KEYS_EACH; me->key++)
        TDW_CALL(me->n, asking, struct asking, .ask = ask_get(me->which, me->key), .fd = &me->fd);
    TDW_AWAIT(me->n, close, me->fd);
    left_group(&scene.running);
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
        tdw_host_crash(scene.server);
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
    scene_init(false, ENDLESS_NS, store_stackless_server, clients_main, recovery_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO_EXTERN(store_stackless_crash)
{
    TDW_BEGIN(struct test_frame, me);
    scene_init(true, LONG_NS, store_stackless_server, clients_main, recovery_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO_EXTERN(store_stackless_patience)
{
    TDW_BEGIN(struct test_frame, me);
    scene_init(false, SHORT_NS, store_stackless_server, clients_main, recovery_main);
    TDW_CALL(me->n, test, struct test_frame);
    TDW_RETURN(0);
    TDW_END;
}
