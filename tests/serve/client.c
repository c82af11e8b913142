/* SPDX-License-Identifier: MIT */
/*
 * Real clients for the examples that serve: plain sockets and threads, nothing of tidewheel.
 *
 *     client store PORT OPERATIONS [SERVER]   puts and gets; with the server's process id, kills it
 *                                             (-9) half-way, and goes on with the one that follows
 *     client proxy PORT BACKEND MIB           64 connections, through a proxy, to a backend of ours
 *     client echo  PORT CONNECTIONS MESSAGES|SECONDSs
 *
 * Each checks what it gets and ends 0 if all of it is right. store: a get must answer a value that
 * is at least as new as what was acknowledged, and no newer than what was put; so after a server
 * was killed and started again whatever it had acknowledged must be there. proxy: each connection
 * sends its part of MIB MiB and reads it back from the backend, an echo, through the proxy both
 * ways. echo: batches of 64-byte messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    KEYS = 12, /* of examples/store: a thread for each */
    PATIENCE_MS = 20000,
    PROXY_CLIENTS = 64,
    PIECE = 65536,
    MESSAGE = 64,
    BATCH = 64,
};

static int port, backend_port;
static uint64_t wanted, seconds;
static atomic_uint_least64_t done, wrong, reconnects;
static atomic_int victim; /* the server to kill half-way; 0: none, or it is done */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void complain(const char *format, long long a, long long b)
{
    fprintf(stderr, format, a, b);
    atomic_fetch_add(&wrong, 1);
}

/* A connection, within the time that a server may take to come back; -1. */
static int connect_to(int to)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)to),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {PATIENCE_MS / 1000, 0};
    const uint64_t end = now_ms() + PATIENCE_MS;
    const int on = 1;

    do {
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            return fd;
        }
        close(fd);
        usleep(20000);
    } while (now_ms() < end);
    complain("no connection to port %lld after %lld ms\n", to, PATIENCE_MS);
    return -1;
}

static bool send_all(int fd, const void *from, size_t bytes)
{
    return send(fd, from, bytes, MSG_NOSIGNAL) == (ssize_t)bytes;
}

static bool receive_all(int fd, void *to, size_t bytes)
{
    return recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

/* ── Store ─────────────────────────────────────────────────────────────────────────────────── */

static void put_u64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* One request and its answer, over as many connections as it takes. */
static bool ask(int *fd, bool is_put, uint32_t key, uint64_t value, uint64_t *answer)
{
    uint8_t wire[16];

    for (;;) {
        if (*fd < 0 && (*fd = connect_to(port)) < 0)
            return false;
        put_u64(wire, (uint64_t)is_put << 32 | key);
        put_u64(wire + 8, value);
        if (send_all(*fd, wire, 16) && receive_all(*fd, wire, 8)) {
            *answer = get_u64(wire);
            return true;
        }
        close(*fd);
        *fd = -1;
        atomic_fetch_add(&reconnects, 1);
    }
}

static void kill_server(void)
{
    const int server = atomic_exchange(&victim, 0);

    if (server > 0)
        kill(server, SIGKILL);
}

static void *store_client(void *arg)
{
    const uint32_t key = (uint32_t)(uintptr_t)arg;
    uint64_t tried = 0, acknowledged = 0, got;
    int fd = -1;

    /* What an earlier run has left there. */
    if (!ask(&fd, false, key, 0, &got))
        return NULL;
    tried = acknowledged = got;
    while (atomic_fetch_add(&done, 2) < wanted && !wrong) {
        if (done > wanted / 2)
            kill_server();
        if (!ask(&fd, true, key, ++tried, &got))
            break;
        acknowledged = tried;
        if (!ask(&fd, false, key, 0, &got))
            break;
        if (got < acknowledged || got > tried)
            complain("a get answered %lld, and %lld was acknowledged\n", (long long)got,
                     (long long)acknowledged);
    }
    close(fd);
    return NULL;
}

/* ── Proxy ─────────────────────────────────────────────────────────────────────────────────── */

static uint64_t next_word(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void fill(uint64_t *words, size_t bytes, uint64_t *state)
{
    for (size_t i = 0; i < bytes / 8; i++)
        words[i] = next_word(state);
}

static void *backend_connection(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    static _Thread_local char buffer[PIECE];
    ssize_t n;

    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        for (ssize_t at = 0, sent; at < n; at += sent)
            if ((sent = send(fd, buffer + at, (size_t)(n - at), MSG_NOSIGNAL)) <= 0)
                break;
    shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void *backend(void *arg)
{
    const int listener = *(int *)arg;
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        pthread_t thread;

        pthread_create(&thread, NULL, backend_connection, (void *)(intptr_t)fd);
        pthread_detach(thread);
    }
    return NULL;
}

static void backend_start(void)
{
    static int listener;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)backend_port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;
    pthread_t thread;

    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, SOMAXCONN) < 0) {
        perror("backend");
        exit(1);
    }
    pthread_create(&thread, NULL, backend, &listener);
    pthread_detach(thread);
}

/* Send and read back at once: the window to the backend and back is smaller than what is sent. */
static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void *proxy_client(void *arg)
{
    const uint64_t seed = (uint64_t)(uintptr_t)arg, bytes = wanted;
    uint64_t out_state = seed, in_state = seed, sent = 0, got = 0;
    static _Thread_local uint64_t out[PIECE / 8], in[PIECE / 8], expected[PIECE / 8];
    size_t out_at = PIECE, in_at = 0;
    const int fd = connect_to(port);

    while (fd >= 0 && got < bytes && !wrong) {
        struct pollfd one = {.fd = fd, .events = (short)(POLLIN | (sent < bytes ? POLLOUT : 0))};
        ssize_t n;

        if (poll(&one, 1, PATIENCE_MS) < 1) {
            complain("nothing more after %lld of %lld bytes\n", (long long)got, (long long)bytes);
            break;
        }
        if (one.revents & POLLOUT && sent < bytes) {
            if (out_at == PIECE) {
                fill(out, PIECE, &out_state);
                out_at = 0;
            }
            n = send(fd, (char *)out + out_at, least(PIECE - out_at, bytes - sent),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) {
                out_at += (size_t)n;
                sent += (uint64_t)n;
            }
            if (sent == bytes)
                shutdown(fd, SHUT_WR);
        }
        if (!(one.revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        n = recv(fd, (char *)in + in_at, PIECE - in_at, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            complain("the connection ended after %lld bytes (%lld)\n", (long long)got, errno);
            break;
        }
        got += n > 0 ? (uint64_t)n : 0;
        in_at += n > 0 ? (size_t)n : 0;
        if (in_at < PIECE && got < bytes)
            continue;
        fill(expected, PIECE, &in_state);
        if (memcmp(in, expected, in_at) != 0)
            complain("bytes before %lld differ (connection %lld)\n", (long long)got,
                     (long long)seed);
        in_at = 0;
    }
    if (fd >= 0)
        close(fd);
    atomic_fetch_add(&done, got);
    return NULL;
}

/* ── Echo ──────────────────────────────────────────────────────────────────────────────────── */

static void *echo_client(void *arg)
{
    const uint64_t end = seconds ? now_ms() + seconds * 1000 : UINT64_MAX;
    char out[MESSAGE * BATCH], in[MESSAGE * BATCH];
    const int fd = connect_to(port);

    memset(out, (int)(uintptr_t)arg, sizeof out);
    while (fd >= 0 && !wrong && now_ms() < end &&
           (seconds || atomic_load_explicit(&done, memory_order_relaxed) < wanted)) {
        if (!send_all(fd, out, sizeof out) || !receive_all(fd, in, sizeof in)) {
            complain("an echo broke (%lld) after %lld messages\n", errno, (long long)done);
            break;
        }
        if (memcmp(in, out, sizeof in) != 0)
            complain("an echo differs, connection %lld, after %lld messages\n",
                     (long long)(uintptr_t)arg, (long long)done);
        atomic_fetch_add_explicit(&done, BATCH, memory_order_relaxed);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* ── All ───────────────────────────────────────────────────────────────────────────────────── */

static void run(void *(*client)(void *), int count)
{
    pthread_t *threads = calloc((size_t)count, sizeof *threads);

    for (int i = 0; threads && i < count; i++)
        pthread_create(&threads[i], NULL, client, (void *)(intptr_t)i);
    for (int i = 0; threads && i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    const uint64_t began = now_ms();
    uint64_t ms;

    setvbuf(stdout, NULL, _IOLBF, 0);
    port = argc > 3 ? atoi(argv[2]) : 0;
    if (strcmp(what, "store") == 0) {
        wanted = strtoull(argv[3], NULL, 10);
        victim = argc > 4 ? atoi(argv[4]) : 0;
        run(store_client, KEYS);
        kill_server(); /* also if something was wrong before: somebody waits for its end */
    } else if (strcmp(what, "proxy") == 0 && argc > 4) {
        backend_port = atoi(argv[3]);
        wanted = (strtoull(argv[4], NULL, 10) << 20) / PROXY_CLIENTS;
        backend_start();
        run(proxy_client, PROXY_CLIENTS);
        if (!wrong && done != wanted * PROXY_CLIENTS)
            complain("%lld bytes came back, not %lld\n", (long long)done,
                     (long long)(wanted * PROXY_CLIENTS));
    } else if (strcmp(what, "echo") == 0 && argc > 4) {
        wanted = strtoull(argv[4], NULL, 10);
        seconds = strchr(argv[4], 's') ? wanted : 0;
        run(echo_client, atoi(argv[3]));
    } else {
        fprintf(stderr, "usage: client store PORT N [SERVER] | proxy PORT BACKEND MIB | echo PORT "
                        "CONNECTIONS N|Ns\n");
        return 2;
    }
    ms = now_ms() - began;
    printf("%s: %llu %s in %.1f s, %llu wrong, %llu connections broke\n", what,
           (unsigned long long)done, strcmp(what, "proxy") == 0 ? "bytes" : "done",
           (double)ms / 1e3, (unsigned long long)wrong, (unsigned long long)reconnects);
    return wrong ? 1 : 0;
}
