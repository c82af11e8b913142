/* SPDX-License-Identifier: MIT */
/*
 * An echo server and its clients, over TCP between two hosts: what the three versions share.
 *
 *     clients ── connect, messages of any length ──▶ server: a task for each connection
 *        ▲                                              │
 *        └───────────── the same bytes ─────────────────┘
 *
 * A client sends messages and reads each back in whatever pieces it comes; then it shuts its side
 * down and waits for the end of the stream. The server sends back what it receives until the client
 * has shut down. A client that comes before the server listens tries again.
 */
#ifndef ECHO_H
#define ECHO_H

#include "../left.h"
#include <arpa/inet.h>
#include <string.h>
#include <tidewheel/scenario.h>
#include <tidewheel/sys.h>

enum { PORT = 7, CLIENTS = 4, MESSAGES = 5, BYTES_MAX = 3000, RETRY_NS = 1000000 };

struct scene {
    struct tdw_host *server, *clients;
    struct sockaddr_in address;
    int port; /* of a real server; 0: PORT */
    struct tdw_wg running;
};
extern struct scene scene; /* of the run in progress: set up anew by each */

/* Two hosts with these main functions; both are booted. */
void scene_init(void (*server_main)(void *), void (*clients_main)(void *));

/* A socket that listens on PORT. */
int echo_listen(void);

/* The next message of client `who`: its length, and its bytes in `to`. */
uint32_t echo_message(uint32_t who, uint32_t number, char *to);

/* What came back must be what was sent. */
void echo_check(const char *sent, const char *received, uint32_t bytes);

void echo_callback(void *unused), echo_stackful(void *unused);
/* The main functions of the server's host. */
void echo_callback_server(void *unused), echo_stackless_server(void *unused),
    echo_stackful_server(void *unused);
struct echo_test {
    struct tdw_frame frame;
    int n;
};
enum tdw_step_result echo_stackless(struct tdw_frame *tdw_frame);

#endif
