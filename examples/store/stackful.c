/* SPDX-License-Identifier: MIT */
/*
 * The store with stackful coroutines: straight-line code, suspended wherever it waits.
 */
#include "store.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

static void recover(struct store *store)
{
    const int snapshot = tdw_open("snapshot", O_RDONLY, 0);
    int n;

    if (snapshot >= 0) {
        n = tdw_pread(snapshot, store->buffer, SNAPSHOT_BYTES, 0);
        store_load_snapshot(store, n);
        tdw_close(snapshot);
    }
    store->log = tdw_open("log", O_RDWR | O_CREAT, 0644);
    n = tdw_pread(store->log, store->buffer, LOG_ROOM, 0);
    tdw_check(n >= 0, "reading the log: %d", n);
    store->log_bytes = store_replay_log(store, n);
    tdw_ftruncate(store->log, store->log_bytes);
    store->dir = tdw_open(".", O_RDONLY | O_DIRECTORY, 0);
    n = tdw_fsync(store->dir);
    tdw_check(n == 0, "fsync of the directory: %d", n);
}

static void commit(struct store *store)
{
    int n;

    if (store->buffer_bytes > 0) {
        n = tdw_pwrite(store->log, store->buffer, store->buffer_bytes, store->log_bytes);
        tdw_check(n == (int)store->buffer_bytes, "appending to the log: %d", n);
        store->log_bytes += store->buffer_bytes;
        if (ACKNOWLEDGE_EARLY)
            store_answer(store);
        n = tdw_fdatasync(store->log);
        tdw_check(n == 0, "fdatasync of the log: %d", n);
        if (ACKNOWLEDGE_EARLY)
            return;
    }
    store_answer(store);
}

static void snapshot(struct store *store)
{
    int n;

    store_encode_snapshot(store);
    store->tmp = tdw_open("snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    n = tdw_pwrite(store->tmp, store->buffer, SNAPSHOT_BYTES, 0);
    tdw_check(n == SNAPSHOT_BYTES, "writing the snapshot: %d", n);
    tdw_fsync(store->tmp);
    tdw_close(store->tmp);
    tdw_rename("snapshot.tmp", "snapshot");
    n = tdw_fsync(store->dir);
    tdw_check(n == 0, "fsync of the directory: %d", n);
    tdw_ftruncate(store->log, 0);
    store->log_bytes = 0;
}

static void server(void *unused)
{
    struct store *store = tdw_malloc(sizeof *store);
    void *first;

    (void)unused;
    recover(store);
    while (tdw_take(&scene.requests, &first) == 0) {
        store_gather(store, first);
        commit(store);
        if (store->log_bytes >= SNAPSHOT_AT)
            snapshot(store);
    }
    tdw_close(store->dir);
    tdw_close(store->log);
}

static void server_main(void *unused)
{
    store_connect();
    tdw_daemon(tdw_spawn_stackful("server", server, unused));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

/* Ask until there is an answer: the server may crash, or be too slow for us. */
static struct request *ask(uint32_t client, bool is_put, uint32_t key, uint64_t value)
{
    struct tdw_chan *replies = &scene.clients[client].replies;

    for (;;) {
        struct request *request = client_request(client, is_put, key, value);
        void *reply = NULL;
        int n = tdw_put(&scene.requests, request);

        while (n == 0 && reply != request) /* answers to requests that were given up */
            n = scene.patience_ns ? TDW_DO_WITHIN(scene.patience_ns, take, replies, &reply)
                                  : tdw_take(replies, &reply);
        if (n == 0)
            return request;
        tdw_sleep(RETRY_NS);
    }
}

static void client(void *arg)
{
    const uint32_t which = (uint32_t)(uintptr_t)arg;

    for (int i = 0; i < PUTS_EACH; i++) {
        const uint32_t key = client_choose_key();

        client_acknowledged(ask(which, true, key, client_next_value(which, key)));
        client_check(ask(which, false, key, 0));
    }
    for (uint32_t key = 0; key < KEYS_EACH; key++)
        client_check(ask(which, false, key, 0));
    tdw_wg_done(&scene.running);
}

static void clients_main(void *unused)
{
    (void)unused;
    for (uintptr_t i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client, (void *)i);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

static void test(bool crashes, uint64_t patience_ns)
{
    scene_init(crashes, patience_ns, server_main, clients_main);
    if (crashes) {
        tdw_sleep(scene_crash_after_ns());
        store_power_off();
        tdw_sleep(RETRY_NS);
        tdw_host_boot(scene.server);
    }
    tdw_wg_wait(&scene.running);
}

void store_stackful(void *unused)
{
    (void)unused;
    test(false, 0);
}

void store_stackful_crash(void *unused)
{
    (void)unused;
    test(true, 3000000);
}

void store_stackful_patience(void *unused)
{
    (void)unused;
    test(false, 400000);
}
