/* SPDX-License-Identifier: MIT */
/*
 * A TCP proxy between clients and a backend: what its three versions share.
 *
 *     clients ──▶ proxy ──▶ backend        a session: two pumps, one each way
 *        ▲          │  ▲        │
 *        └──────────┘  └────────┘
 *
 * A pump moves bytes from one socket to the other, no more than one buffer at a time: a reader that
 * is slow makes the pump wait in its send, which closes the window to the writer (back-pressure).
 * The end of one direction is passed on as a half-close, and the other goes on. A pump that hears
 * nothing for IDLE_NS gives the session up.
 *
 * The backend reads a request to its end and answers with a multiple of it; or it hangs, if the
 * request's first byte says so. Clients read slowly, and know what they must get: the whole answer,
 * unless the proxy has given their session up, as it must where the backend hangs, and may where an
 * adversary lets a time-out come before bytes that were on their way.
 *
 * The proxy is written three times; the backend and the clients (peers.c) once, with stackful
 * tasks.
 */
#ifndef PROXY_H
#define PROXY_H

#include "../left.h"
#include <arpa/inet.h>
#include <string.h>
#include <tidewheel/scenario.h>
#include <tidewheel/sys.h>

enum {
    PROXY_PORT = 80,
    BACKEND_PORT = 8080,
    CLIENTS = 3,
    REQUEST_MAX = 2000,
    TIMES = 60, /* as long as the request is its answer */
    BUFFER_BYTES = 4096,
    RETRY_NS = 1000000,
    CONNECT_NS = 50000000,
    IDLE_NS = 400000000,
};

struct scene {
    struct tdw_host *backend, *proxy, *clients;
    struct sockaddr_in backend_address, proxy_address;
    struct tdw_wg running;
    int port;         /* of a real proxy; 0: PROXY_PORT */
    int given_up[64]; /* ports of clients whose sessions were given up, the newest first */
};
extern struct scene scene; /* of the run in progress: set up anew by each */

/* The three hosts; `proxy_main` is the proxy's main function. All are booted. */
void scene_init(void (*proxy_main)(void *));
/* The main functions of the others (peers.c). */
void backend_main(void *unused), clients_main(void *unused);

/* A socket that listens on `port`. */
int proxy_listen(int port);

/* The session with the client at `fd` hears, or connects, no more with `n`: a time-out gives it up,
 * and so does a backend that does not listen yet. */
void proxy_ended(int fd, int n);
bool proxy_gave_up(int port);

void proxy_callback(void *unused), proxy_stackful(void *unused);
/* The main functions of the proxy's host. */
void proxy_callback_server(void *unused), proxy_stackless_server(void *unused),
    proxy_stackful_server(void *unused);
struct proxy_test {
    struct tdw_frame frame;
    int n;
};
enum tdw_step_result proxy_stackless(struct tdw_frame *tdw_frame);

#endif
