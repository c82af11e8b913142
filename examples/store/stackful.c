/* SPDX-License-Identifier: MIT */
/*
 * The store with stackful coroutines: straight-line code, suspended wherever it waits.
 */
#include "store.h"

/* ── Server ────────────────────────────────────────────────────────────────────────────────── */

/* All that there is, up to so many bytes, which may come in parts. Returns how many, or an error.
 */
static int read_all(int fd, uint8_t *to, uint32_t bytes)
{
    int n = 1, done = 0;

    while (n > 0 && (uint32_t)done < bytes) {
        n = tdw_pread(fd, to + done, bytes - (uint32_t)done, (uint64_t)done);
        done += n > 0 ? n : 0;
    }
    return n < 0 ? n : done;
}

static void recover(struct store *store)
{
    const int snapshot = tdw_open("snapshot", O_RDONLY, 0);
    int n;

    if (snapshot >= 0) {
        n = read_all(snapshot, store->buffer, SNAPSHOT_BYTES);
        store_load_snapshot(store, n);
        tdw_close(snapshot);
    }
    store->log = tdw_open("log", O_RDWR | O_CREAT, 0644);
    n = read_all(store->log, store->buffer, LOG_ROOM);
    tdw_check(n >= 0, "reading the log: %d", n);
    store->log_bytes = store_replay_log(store, n);
    tdw_ftruncate(store->log, store->log_bytes);
    store->dir = tdw_open(".", O_RDONLY | O_DIRECTORY, 0);
    n = tdw_fsync(store->dir);
    tdw_check(n == 0, "fsync of the directory: %d", n);
}

static void recovery(void *unused)
{
    struct store *store = tdw_malloc(sizeof *store);

    (void)unused;
    recover(store);
    store_promises(store);
    tdw_close(store->dir);
    tdw_close(store->log);
}

static void recovery_main(void *unused)
{
    tdw_spawn_stackful("recovery", recovery, unused);
}

/* A file may take a part only: what is left is written then. */
static void write_all(int fd, const uint8_t *from, uint32_t bytes, uint64_t at, const char *what)
{
    int n = 0;

    for (uint32_t done = 0; n >= 0 && done < bytes; done += (uint32_t)n) {
        n = tdw_pwrite(fd, from + done, bytes - done, at + done);
        tdw_check(n > 0, "%s: %d", what, n);
    }
}

static void commit(struct store *store)
{
    int n;

    if (store->buffer_bytes > 0) {
        write_all(store->log, store->buffer, store->buffer_bytes, store->log_bytes,
                  "appending to the log");
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
    write_all(store->tmp, store->buffer, SNAPSHOT_BYTES, 0, "writing the snapshot");
    n = tdw_fsync(store->tmp);
    tdw_check(n == 0, "fsync of the snapshot: %d", n);
    tdw_close(store->tmp);
    n = tdw_rename("snapshot.tmp", "snapshot");
    tdw_check(n == 0, "rename of the snapshot: %d", n);
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

/* One connection: a request, its answer, the next request. */
static void session(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    struct request request;
    uint8_t wire[REQUEST_BYTES];

    while (tdw_recv(fd, wire, REQUEST_BYTES, MSG_WAITALL) == REQUEST_BYTES) {
        request_decode(&request, wire);
        if (tdw_put(&scene.requests, &request) < 0 || tdw_sem_take(&request.answered) < 0)
            break;
        store_put_u64(wire, request.value);
        if (tdw_send(fd, wire, REPLY_BYTES, MSG_WAITALL) != REPLY_BYTES)
            break;
    }
    tdw_close(fd);
}

static void acceptor(void *arg)
{
    const int listener = (int)(intptr_t)arg;
    int fd;

    while ((fd = tdw_accept(listener, NULL, NULL, 0)) >= 0)
        tdw_detach(tdw_spawn_stackful("session", session, (void *)(intptr_t)fd));
    tdw_close(listener);
}

void store_stackful_server(void *unused)
{
    const int listener = store_listen();

    tdw_daemon(tdw_spawn_stackful("server", server, unused));
    tdw_daemon(tdw_spawn_stackful("acceptor", acceptor, (void *)(intptr_t)listener));
}

/* ── Clients ───────────────────────────────────────────────────────────────────────────────── */

/* One attempt: false if the server is not there, or too slow for us. */
static bool try_to_ask(struct ask *ask, int *fd)
{
    const uint64_t patience = scene.patience_ns;

    if (*fd < 0) {
        *fd = store_socket();
        if (TDW_DO_WITHIN(patience, connect, *fd, (struct sockaddr *)&scene.address,
                          sizeof scene.address) < 0)
            return false;
    }
    ask_encode(ask);
    return TDW_DO_WITHIN(patience, send, *fd, ask->wire, REQUEST_BYTES, MSG_WAITALL) ==
               REQUEST_BYTES &&
           TDW_DO_WITHIN(patience, recv, *fd, ask->wire, REPLY_BYTES, MSG_WAITALL) == REPLY_BYTES;
}

/* Ask until there is an answer. */
static void ask(struct ask ask, int *fd)
{
    while (!try_to_ask(&ask, fd)) {
        tdw_close(*fd);
        *fd = -1;
        tdw_sleep(RETRY_NS);
    }
    ask_check(&ask);
}

static void client(void *arg)
{
    const uint32_t which = (uint32_t)(uintptr_t)arg;
    int fd = -1;

    for (int i = 0; i < PUTS_EACH; i++) {
        const uint32_t key = client_choose_key();

        ask(ask_put(which, key), &fd);
        ask(ask_get(which, key), &fd);
    }
    for (uint32_t key = 0; key < KEYS_EACH; key++)
        ask(ask_get(which, key), &fd);
    tdw_close(fd);
    left_group(&scene.running);
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
    scene_init(crashes, patience_ns, store_stackful_server, clients_main, recovery_main);
    if (crashes) {
        tdw_sleep(scene_crash_after_ns());
        tdw_host_crash(scene.server);
        tdw_sleep(RETRY_NS);
        tdw_host_boot(scene.server);
    }
    tdw_wg_wait(&scene.running);
}

void store_stackful(void *unused)
{
    (void)unused;
    test(false, ENDLESS_NS);
}

void store_stackful_crash(void *unused)
{
    (void)unused;
    test(true, LONG_NS);
}

void store_stackful_patience(void *unused)
{
    (void)unused;
    test(false, SHORT_NS);
}
