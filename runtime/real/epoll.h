/* SPDX-License-Identifier: MIT */
/*
 * The parts of the epoll backend: epoll.c is the backend, and says how it works;
 *
 *     watched.c   what is known of each descriptor, and the list of the ops that wait for it
 *     attempt.c   one attempt of an op on its descriptor, without waiting
 */
#ifndef TDW_EPOLL_H
#define TDW_EPOLL_H

#include <runtime/real/real.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { TDW_EVENTS = 256 };

enum tdw_fd_kind {
    TDW_FD_UNKNOWN,
    TDW_FD_STREAM,
    TDW_FD_SEQPACKET,
    TDW_FD_SOCKET,
    TDW_FD_OTHER,
    TDW_FD_FILE
};

/* What is known of a descriptor, by its number. */
struct tdw_watched {
    struct tdw_op *head, *tail; /* that wait for it, oldest first */
    uint32_t generation;        /* so that an old event is not taken for a new one */
    uint8_t kind;               /* enum tdw_fd_kind */
    uint8_t ready;              /* POLLIN, POLLOUT: nobody knows otherwise */
    bool added;                 /* to the epoll set */
    bool ends;                  /* something other than bytes was told */
    bool orphan;                /* a duplicate of ours, closed with its last op */
    bool hidden;                /* it listens, and is O_NONBLOCK for us */
    bool copies;                /* a socket that cannot send without a copy */
    bool again;                 /* in the list of those to attempt again without an event */
};

struct tdw_epoll_loop {
    struct tdw_real real; /* the first member */
    int epfd;
    struct tdw_watched *fds;
    uint32_t fds_max;
    uint32_t waiting; /* ops in the lists */
    uint32_t streak;
    int *again;
    uint32_t again_count, again_max;
    bool no_pwait2;
    uint32_t events_at, events_count; /* of those that the last turn brought, served and all */
    struct epoll_event events[TDW_EVENTS];
    struct tdw_registry *registry;
    struct iovec rest[UIO_MAXIOV]; /* of a message of which a part has been moved */
};

static inline struct tdw_epoll_loop *tdw__epoll_of(struct tdw_loop *loop)
{
    return (struct tdw_epoll_loop *)(void *)loop;
}

/* ── What is known of a descriptor, and who waits for it (watched.c) ────────────────────────── */

/* NULL: the descriptor is not open. Good until the next one is asked for. */
struct tdw_watched *tdw__watched(struct tdw_epoll_loop *e, int fd);
/* A call has answered `fd`. If something is known of the number, its file was closed behind our
 * back: whoever still waits for it gets -EBADF, and it is forgotten. */
void tdw__watched_new(struct tdw_epoll_loop *e, int fd);
/* `fd` is about to be another file, or none: those that wait on it move to a duplicate. */
void tdw__watched_move(struct tdw_epoll_loop *e, int fd);
/* Close it if it is a duplicate of ours that nobody waits on any more. */
void tdw__watched_leave(struct tdw_epoll_loop *e, int fd);
void tdw__wait_enqueue(struct tdw_epoll_loop *e, struct tdw_watched *w, int fd, struct tdw_op *op);
void tdw__wait_unlink(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op);
/* Unlink, and leave the descriptor. */
void tdw__wait_dequeue(struct tdw_epoll_loop *e, struct tdw_op *op);

/* Where an op stands: its descriptor at present, in the high half of its slot's `sum`. */
static inline int tdw__wait_place(const struct tdw_op *op)
{
    return (int)(tdw__slot(op->task->ring, op)->sum >> 32) - 1;
}

/* ── One attempt (attempt.c) ───────────────────────────────────────────────────────────────── */

/* One attempt of `op` on `fd`: the result, or -EAGAIN, it has to wait. `flags` are the
 * completion's. */
int32_t tdw__attempt(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op, int fd,
                     uint32_t *flags);
/* Complete it. A send without a copy has copied: its buffer is free at once. */
void tdw__attempt_post(struct tdw_op *op, int32_t res, uint32_t flags);
/* A read that is about to wait picks its buffer if it is of a list, as io_uring's does. */
void tdw__hold_buffer(struct tdw_epoll_loop *e, struct tdw_op *op);
/* Put the buffer that is to be picked into the entry; false: the group has none. */
bool tdw__pick_buffer(struct tdw_epoll_loop *e, struct io_uring_sqe *sqe,
                      struct tdw_picked *picked);
/* `bytes` were moved through the buffer that was picked: the completion's flags. */
uint32_t tdw__use_buffer(struct tdw_epoll_loop *e, const struct tdw_op *op,
                         const struct tdw_picked *picked, int32_t bytes);
/* What an accepted or opened descriptor becomes: a number, or a slot. */
int32_t tdw__keep_fd(struct tdw_epoll_loop *e, const struct io_uring_sqe *sqe, int32_t fd);

/* Has the op `msg_flags`? */
static inline bool tdw__is_message(const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return true;
    default:
        return false;
    }
}

static inline short tdw__direction(const struct tdw_op *op)
{
    return tdw__kind(op->sqe.opcode) == TDW_K_WRITE ? POLLOUT : POLLIN;
}

static inline bool tdw__selects_buffer(const struct tdw_op *op)
{
    return op->sqe.flags & IOSQE_BUFFER_SELECT;
}

#endif
