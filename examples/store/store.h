/* SPDX-License-Identifier: MIT */
/*
 * A small durable key-value store: what its three versions share.
 *
 *     clients ══ TCP ══ sessions ── requests ──▶ server ── log: pwrite, fdatasync ──▶ disk
 *                           ▲                       │ └─── snapshot: write, fsync, rename, …
 *                           └─────── answered ◀─────┘
 *
 * Clients and server are on two hosts. Each connection has a session on the server's, which hands
 * one request at a time to the server and sends back its answer. A client that does not get an
 * answer in time, or whose connection breaks, connects again and asks again. The server appends
 * what a batch of requests puts to a log, makes it durable, and only then answers (group commit).
 * When the log has grown it writes the whole table to a new snapshot, renames it over the old one,
 * and empties the log. After a crash it reads the snapshot and then the log, up to the first record
 * whose checksum is wrong.
 *
 * The promise: what was acknowledged is there after a crash. EXAMPLE_BUG breaks it in one place.
 *
 * Here are the file format, the table, the requests, and the memory of the scenario (what the
 * clients know), which belongs to no host. What a version adds is how it waits.
 */
#ifndef STORE_H
#define STORE_H

#include "../left.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <tidewheel/scenario.h>
#include <tidewheel/sys.h>

enum {
    PORT = 6000,
    REQUEST_BYTES = 16, /* on the wire */
    REPLY_BYTES = 8,
    CLIENTS = 3,
    KEYS_EACH = 4, /* each client has its own keys, so it knows what they must hold */
    KEYS = CLIENTS * KEYS_EACH,
    PUTS_EACH = 8,
    BATCH_MAX = 8,
    RECORD_BYTES = 24,
    LOG_ROOM = 64 * RECORD_BYTES,
    SNAPSHOT_AT = 12 * RECORD_BYTES, /* of log; small, so that every run makes some */
    SNAPSHOT_BYTES = 16 + KEYS * 16,
};

#ifdef EXAMPLE_BUG
enum { ACKNOWLEDGE_EARLY = 1 };
#else
enum { ACKNOWLEDGE_EARLY = 0 };
#endif

/* ── Requests, and the scenario's memory ───────────────────────────────────────────────────── */

struct request {
    bool is_put;
    uint32_t key;
    uint64_t value; /* to put, or as it was got */
    struct tdw_sem answered;
};

struct client_view {
    uint64_t tried[KEYS_EACH], acknowledged[KEYS_EACH];
};

struct scene {
    struct client_view clients[CLIENTS];
    struct tdw_wg running;
    struct tdw_host *server, *client_host;
    struct sockaddr_in address;
    uint64_t patience_ns; /* of a client, for each step */
    int port;             /* of a real server; 0: PORT */
    bool crashes;
    /* The server's, set up anew by each boot: its sessions' requests. */
    struct tdw_chan requests;
    void *requests_room[BATCH_MAX];
};

extern struct scene scene; /* of the run in progress: set up anew by each */

/* ── The table and its files ───────────────────────────────────────────────────────────────── */

struct store {
    uint64_t value[KEYS], order[KEYS]; /* order: of the put, to tell old from new */
    uint64_t next_order;
    int log, dir, tmp;
    uint64_t log_bytes;
    struct request *batch[BATCH_MAX];
    uint32_t batch_count;
    uint8_t buffer[LOG_ROOM];
    uint32_t buffer_bytes;
};

static inline uint32_t store_sum(const uint8_t *from, uint32_t bytes)
{
    uint32_t sum = 2166136261u; /* FNV-1a */

    for (uint32_t i = 0; i < bytes; i++)
        sum = (sum ^ from[i]) * 16777619u;
    return sum;
}

static inline void store_put_u64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t store_get_u64(const uint8_t *from)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static inline void store_set(struct store *store, uint32_t key, uint64_t order, uint64_t value)
{
    if (key >= KEYS || order < store->order[key])
        return;
    store->order[key] = order;
    store->value[key] = value;
    if (order >= store->next_order)
        store->next_order = order + 1;
}

/* Record: checksum of the rest (4), key (4), order (8), value (8); little endian. */
static inline void store_encode(uint8_t *to, uint32_t key, uint64_t order, uint64_t value)
{
    store_put_u64(to, (uint64_t)key << 32);
    store_put_u64(to + 8, order);
    store_put_u64(to + 16, value);
    store_put_u64(to, (uint64_t)key << 32 | store_sum(to + 4, RECORD_BYTES - 4));
}

/* Apply the log's records; returns how many bytes of it are whole. What follows is a record that a
 * power cut tore, or nothing. */
static inline uint64_t store_replay_log(struct store *store, int32_t bytes)
{
    int32_t at = 0;

    for (; at + RECORD_BYTES <= bytes; at += RECORD_BYTES) {
        const uint8_t *from = store->buffer + at;

        tdw_sometimes(at > 0, "a log of several records is replayed");
        if ((uint32_t)store_get_u64(from) != store_sum(from + 4, RECORD_BYTES - 4)) {
            tdw_reached("a torn record ends the log");
            break;
        }
        store_set(store, (uint32_t)(store_get_u64(from) >> 32), store_get_u64(from + 8),
                  store_get_u64(from + 16));
    }
    return (uint64_t)at;
}

/* Snapshot: checksum of the entries (8), their number (8), then (order, value) of each key. */
static inline void store_encode_snapshot(struct store *store)
{
    uint8_t *to = store->buffer + 16;

    for (uint32_t key = 0; key < KEYS; key++, to += 16) {
        store_put_u64(to, store->order[key]);
        store_put_u64(to + 8, store->value[key]);
    }
    store_put_u64(store->buffer, store_sum(store->buffer + 16, KEYS * 16));
    store_put_u64(store->buffer + 8, KEYS);
}

static inline void store_load_snapshot(struct store *store, int32_t bytes)
{
    tdw_check(bytes == SNAPSHOT_BYTES &&
                  store_get_u64(store->buffer) == store_sum(store->buffer + 16, KEYS * 16),
              "a snapshot of %d bytes", bytes);
    for (uint32_t key = 0; key < KEYS; key++)
        store_set(store, key, store_get_u64(store->buffer + 16 + key * 16),
                  store_get_u64(store->buffer + 24 + key * 16));
}

/* A first request has come: gather those that wait behind it, and encode what they put. Values of a
 * key count up, so a put of an older one is a repeat that comes late, of a connection that was
 * given up: it is answered, and not done. */
static inline void store_gather(struct store *store, void *first)
{
    void *item = first;

    store->batch_count = store->buffer_bytes = 0;
    do {
        struct request *request = item;

        store->batch[store->batch_count++] = request;
        if (!request->is_put || request->value <= store->value[request->key])
            continue;
        store_encode(store->buffer + store->buffer_bytes, request->key, store->next_order,
                     request->value);
        store_set(store, request->key, store->next_order, request->value);
        store->buffer_bytes += RECORD_BYTES;
    } while (store->batch_count < BATCH_MAX && tdw_chan_trytake(&scene.requests, &item) == 0);
}

/* Answer all requests of the batch. */
static inline void store_answer(struct store *store)
{
    for (uint32_t i = 0; i < store->batch_count; i++) {
        struct request *request = store->batch[i];

        if (!request->is_put)
            request->value = store->value[request->key];
        tdw_sem_post(&request->answered);
    }
}

/* A socket whose other end may vanish without a word (a host that lost power): it is asked now and
 * then whether it is there. What is accepted inherits that. */
static inline int store_socket(void)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0), on = 1, few = 3;

    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &few, sizeof few);
    tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &few, sizeof few);
    tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &few, sizeof few);
    return fd;
}

/* The server's host has booted: a socket that listens, and a queue of requests. */
static inline int store_listen(void)
{
    const int port = scene.port ? scene.port : PORT, on = 1;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = store_socket();
    int bound;

    tdw_chan_init(&scene.requests, "requests", scene.requests_room, BATCH_MAX);
    /* Its predecessor's connections may linger. */
    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bound = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    tdw_check(bound == 0, "bind: %d", bound);
    tdw_sys_listen(fd, scene.port ? SOMAXCONN : CLIENTS);
    return fd;
}

/* On the wire: whether it is a put (4), the key (4), the value (8); the answer is a value. */
static inline void request_encode(uint8_t *to, bool is_put, uint32_t key, uint64_t value)
{
    store_put_u64(to, (uint64_t)is_put << 32 | key);
    store_put_u64(to + 8, value);
}

static inline void request_decode(struct request *request, const uint8_t *from)
{
    request->is_put = store_get_u64(from) >> 32;
    request->key = (uint32_t)store_get_u64(from) % KEYS;
    request->value = store_get_u64(from + 8);
    tdw_sem_init(&request->answered, "answered", 0);
}

/* ── The clients' side ─────────────────────────────────────────────────────────────────────── */

#define RETRY_NS ((uint64_t)300000)
/* How long a client waits: for ever, so long that only a dead server is given up, or so short that
 * a slow one is, too. */
#define ENDLESS_NS ((uint64_t)3600 * 1000000000)
#define LONG_NS ((uint64_t)5000000)
#define SHORT_NS ((uint64_t)1000000)

/* What a client asks, and what it gets. */
struct ask {
    uint32_t client, key; /* of the client's own */
    bool is_put;
    uint64_t value;
    uint8_t wire[REQUEST_BYTES];
};

/* Puts count up for each key, so a value tells how old it is. */
static inline struct ask ask_put(uint32_t client, uint32_t key)
{
    const uint64_t value = ++scene.clients[client].tried[key];

    tdw_attempted(client * KEYS_EACH + key, value);
    return (struct ask){client, key, true, value, {0}};
}

static inline struct ask ask_get(uint32_t client, uint32_t key)
{
    return (struct ask){client, key, false, 0, {0}};
}

static inline void ask_encode(struct ask *ask)
{
    request_encode(ask->wire, ask->is_put, ask->client * KEYS_EACH + ask->key, ask->value);
}

/* The answer has come. What was got must be at least as new as what was acknowledged, and not newer
 * than what was tried. */
static inline void ask_check(const struct ask *ask)
{
    struct client_view *view = &scene.clients[ask->client];
    const uint32_t key = ask->client * KEYS_EACH + ask->key;
    const uint64_t got = store_get_u64(ask->wire);
    const uint64_t acknowledged = view->acknowledged[ask->key], tried = view->tried[ask->key];

    if (ask->is_put) {
        view->acknowledged[ask->key] = ask->value;
        tdw_acked(key, ask->value);
        return;
    }
    tdw_check(got >= acknowledged, "key %u: got %llu, but %llu was acknowledged", key,
              (unsigned long long)got, (unsigned long long)acknowledged);
    tdw_check(got <= tried, "key %u: got %llu, but %llu was the last put", key,
              (unsigned long long)got, (unsigned long long)tried);
}

/* Which key the client's next put is for, and how long after its start the server crashes. */
static inline uint32_t client_choose_key(void)
{
    return tdw_choose("key", KEYS_EACH);
}

static inline uint64_t scene_crash_after_ns(void)
{
    return (1 + tdw_choose("crash after", 64)) * 250000ull;
}

/* What has to be there after a power cut: asked of the table as recovery made it. */
static inline void store_promises(const struct store *store)
{
    for (uint32_t key = 0; key < KEYS; key++)
        tdw_found(key, store->value[key]);
}

/* Set up the scenario's memory; the hosts run these as their main functions, and `recover` is what
 * the server's would do first after a power cut. */
void scene_init(bool crashes, uint64_t patience_ns, void (*server_main)(void *),
                void (*clients_main)(void *), void (*recover)(void *));

/* The main functions of the server's host, and the test tasks, of each version. */
void store_callback_server(void *unused), store_stackless_server(void *unused),
    store_stackful_server(void *unused);
void store_callback(void *unused);
void store_stackful(void *unused);
void store_callback_crash(void *unused);
void store_stackful_crash(void *unused);
void store_callback_patience(void *unused);
void store_stackful_patience(void *unused);
TDW_CO_EXTERN(store_stackless);
TDW_CO_EXTERN(store_stackless_crash);
TDW_CO_EXTERN(store_stackless_patience);

struct test_frame {
    struct tdw_frame frame;
    int n;
};

#endif
