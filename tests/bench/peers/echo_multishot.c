/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's echo_uring: liburing with what saves most. A connection is in the ring's
 * table of files and has one receive that stays, which picks a buffer of a ring for each message;
 * what came is sent from that buffer, which then goes back.
 *
 * Sends of a connection leave one at a time, so that they keep their order: buffers that arrive in
 * the meantime wait in a list of the connection. One that has none left to receive into tries again
 * when one of its sends has ended.
 */
#include "peer.h"
#include "ring.h"

enum { ENTRIES = 4096, FILES = 4096, BUFFERS = 4096, GROUP = 0, NONE = -1 };

/* An op is told by the low bits of its user_data; the rest is the connection. */
enum { ACCEPT, RECV, SEND, CLOSE, KIND_MASK = 3 };

struct connection {
    int fd;
    int first, last; /* buffers to be sent, the first of them on its way */
    bool receiving, ended;
};

static int listener;
static struct io_uring_buf_ring *pool;
static char buffers[BUFFERS][PEER_ROOM];
static struct {
    int bytes, next;
} filled[BUFFERS];

static void submit(struct io_uring_sqe *sqe, const struct connection *c, int kind)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)c | (uint64_t)kind);
}

static void submit_accept(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    submit(sqe, NULL, ACCEPT);
}

static void submit_recv(struct connection *c)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    c->receiving = true;
    io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->buf_group = GROUP;
    submit(sqe, c, RECV);
}

static void submit_send(struct connection *c)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    io_uring_prep_send(sqe, c->fd, buffers[c->first], (size_t)filled[c->first].bytes, MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE;
    submit(sqe, c, SEND);
}

/* What there is to do for a connection of which nothing is being sent. */
static void go_on(struct connection *c)
{
    struct io_uring_sqe *sqe;

    if (c->first != NONE) {
        submit_send(c);
    } else if (c->ended && !c->receiving) {
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_close_direct(sqe, (unsigned)c->fd);
        submit(sqe, c, CLOSE);
    } else if (!c->receiving) {
        submit_recv(c);
    }
}

static void received(struct connection *c, const struct io_uring_cqe *cqe)
{
    const bool idle = c->first == NONE;

    if (!(cqe->flags & IORING_CQE_F_MORE))
        c->receiving = false;
    if (cqe->res > 0) {
        const int id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

        filled[id].bytes = cqe->res;
        filled[id].next = NONE;
        if (idle)
            c->first = id;
        else
            filled[c->last].next = id;
        c->last = id;
    } else if (cqe->res != -ENOBUFS) {
        c->ended = true;
    }
    if (idle)
        go_on(c);
}

static void sent(struct connection *c, int res)
{
    const int id = c->first;

    if (res != filled[id].bytes)
        c->ended = true;
    else
        peer_bytes += (uint64_t)res;
    c->first = filled[id].next;
    io_uring_buf_ring_add(pool, buffers[id], PEER_ROOM, (unsigned short)id, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(pool, 1);
    go_on(c);
}

static void completed(const struct io_uring_cqe *cqe)
{
    struct connection *c = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)KIND_MASK);

    switch (cqe->user_data & KIND_MASK) {
    case ACCEPT:
        c = cqe->res >= 0 ? malloc(sizeof *c) : NULL;
        if (c) {
            *c = (struct connection){.fd = cqe->res, .first = NONE};
            submit_recv(c);
        }
        if (!(cqe->flags & IORING_CQE_F_MORE))
            submit_accept();
        break;
    case RECV:
        received(c, cqe);
        break;
    case SEND:
        sent(c, cqe->res);
        break;
    case CLOSE:
        free(c);
    }
}

static int pool_init(void)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS, .bgid = GROUP};

    if (posix_memalign((void **)&pool, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0)
        return -ENOMEM;
    io_uring_buf_ring_init(pool);
    reg.ring_addr = (uint64_t)(uintptr_t)pool;
    for (int i = 0; i < BUFFERS; i++)
        io_uring_buf_ring_add(pool, buffers[i], PEER_ROOM, (unsigned short)i, BUFFERS - 1, i);
    io_uring_buf_ring_advance(pool, BUFFERS);
    return io_uring_register_buf_ring(&ring, &reg, 0);
}

int main(void)
{
    ring_open(ENTRIES);
    if (io_uring_register_files_sparse(&ring, FILES) < 0 || pool_init() < 0)
        return 1;
    listener = peer_listen(0);
    submit_accept();
    for (;;)
        ring_turn(completed);
}
