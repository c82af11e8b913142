/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's echo_uring: an echo server on liburing, with nothing between.
 *
 *     bench-echo_liburing [fixed] [poll_first]
 *
 * One ring, one thread: work for completions is deferred until the thread asks for them, and each
 * turn is one system call that submits what the last turn filled in and waits for more. A
 * connection has one op in flight, a receive into its own buffer or the send of what was received.
 * `fixed` keeps connections in the ring's table of files; `poll_first` tells the kernel not to try
 * a receive before something came.
 */
#include "peer.h"
#include "ring.h"
#include <string.h>

enum { ENTRIES = 4096, FILES = 4096 };

struct connection {
    enum { RECEIVING, SENDING, CLOSING } stage;
    int fd;
    int bytes;
    char buffer[PEER_ROOM];
};

static int listener;
static bool fixed, poll_first;

/* There are more entries than connections, each of which fills in one a turn. */
static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void submit_accept(void)
{
    struct io_uring_sqe *sqe = entry();

    if (fixed)
        io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    else
        io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data(sqe, NULL);
}

static void submit_recv(struct connection *c)
{
    struct io_uring_sqe *sqe = entry();

    c->stage = RECEIVING;
    io_uring_prep_recv(sqe, c->fd, c->buffer, sizeof c->buffer, 0);
    if (poll_first)
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    if (fixed)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, c);
}

static void submit_send(struct connection *c)
{
    struct io_uring_sqe *sqe = entry();

    c->stage = SENDING;
    io_uring_prep_send(sqe, c->fd, c->buffer, (size_t)c->bytes, MSG_WAITALL);
    if (fixed)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, c);
}

static void submit_close(struct connection *c)
{
    struct io_uring_sqe *sqe = entry();

    c->stage = CLOSING;
    if (fixed)
        io_uring_prep_close_direct(sqe, (unsigned)c->fd);
    else
        io_uring_prep_close(sqe, c->fd);
    io_uring_sqe_set_data(sqe, c);
}

static void accepted(int fd)
{
    struct connection *c = fd >= 0 ? malloc(sizeof *c) : NULL;

    if (!c)
        return;
    c->fd = fd;
    submit_recv(c);
}

static void moved(struct connection *c, int res)
{
    if (c->stage == CLOSING) {
        free(c);
    } else if (c->stage == RECEIVING && res > 0) {
        c->bytes = res;
        submit_send(c);
    } else if (c->stage == SENDING && res == c->bytes) {
        peer_bytes += (uint64_t)res;
        submit_recv(c);
    } else {
        submit_close(c);
    }
}

static void completed(const struct io_uring_cqe *cqe)
{
    struct connection *c = io_uring_cqe_get_data(cqe);

    if (c) {
        moved(c, cqe->res);
        return;
    }
    accepted(cqe->res);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        submit_accept();
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        fixed |= strcmp(argv[i], "fixed") == 0;
        poll_first |= strcmp(argv[i], "poll_first") == 0;
    }
    ring_open(ENTRIES);
    if (fixed && io_uring_register_files_sparse(&ring, FILES) < 0)
        return 1;
    listener = peer_listen(0);
    submit_accept();
    for (;;)
        ring_turn(completed);
}
