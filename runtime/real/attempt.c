/* SPDX-License-Identifier: MIT */
/*
 * One attempt of an op on its descriptor, as the entry says and without waiting for anybody.
 *
 * It is a call of perform.c, with what io_uring does around one: a connect in two steps, a listener
 * that does not block, a transfer of everything or nothing less (MSG_WAITALL) that goes on where it
 * stood, a buffer picked from a group, a descriptor put into a slot. -EAGAIN means that the op has
 * to wait; what the attempt tells of the descriptor is noted there.
 */
#include <runtime/real/epoll.h>
#include <fcntl.h>
#include <unistd.h>

enum { MOVED_MAX = 0x7ffff000 };

static bool has_vectors(uint8_t opcode)
{
    return opcode == IORING_OP_SENDMSG || opcode == IORING_OP_SENDMSG_ZC ||
           opcode == IORING_OP_RECVMSG;
}

/* Bytes that an op with MSG_WAITALL has moved so far stand in op->res. */
static bool goes_on(const struct tdw_op *op, const struct tdw_watched *w)
{
    return tdw__is_message(op) && (op->sqe.msg_flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL &&
           (w->kind == TDW_FD_STREAM || w->kind == TDW_FD_SEQPACKET);
}

static size_t vector_bytes(const struct iovec *iov, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* How many bytes the op would move at most: io_uring's entries and plain calls have one bound. */
static size_t bytes_of(const struct tdw_op *op)
{
    const struct msghdr *message = (const void *)(uintptr_t)op->sqe.addr;
    size_t bytes = op->sqe.len;

    if (has_vectors(op->sqe.opcode))
        bytes = vector_bytes(message->msg_iov, message->msg_iovlen);
    return bytes < MOVED_MAX ? bytes : MOVED_MAX;
}

/* The message less the bytes that were moved: in `rest`, with its vectors in `room`. */
static struct msghdr *rest_of(const struct msghdr *message, size_t moved, struct msghdr *rest,
                              struct iovec room[UIO_MAXIOV])
{
    size_t count = 0;

    *rest = *message;
    rest->msg_iov = room;
    for (size_t i = 0; i < message->msg_iovlen && i < UIO_MAXIOV; i++) {
        const struct iovec *iov = &message->msg_iov[i];
        const size_t skip = moved < iov->iov_len ? moved : iov->iov_len;

        moved -= skip;
        if (skip < iov->iov_len || iov->iov_len == 0)
            room[count++] = (struct iovec){(char *)iov->iov_base + skip, iov->iov_len - skip};
    }
    rest->msg_iovlen = count;
    rest->msg_controllen = 0; /* it went with the first part */
    return rest;
}

/* Go on behind what was moved. */
static int32_t perform_rest(struct tdw_epoll_loop *e, const struct tdw_op *op,
                            struct io_uring_sqe *sqe)
{
    struct msghdr *message = (void *)(uintptr_t)sqe->addr;
    struct msghdr rest;
    int32_t res;

    if (!has_vectors(sqe->opcode)) {
        sqe->addr += (uint32_t)op->res;
        sqe->len -= (uint32_t)op->res;
        return tdw__perform(sqe, true);
    }
    sqe->addr = (uintptr_t)rest_of(message, (size_t)op->res, &rest, e->rest);
    res = tdw__perform(sqe, true);
    if (sqe->opcode == IORING_OP_RECVMSG && res >= 0)
        message->msg_flags = rest.msg_flags;
    return res;
}

static int32_t poll_attempt(const struct tdw_op *op, int fd)
{
    struct pollfd one = {.fd = fd, .events = (short)(op->sqe.poll32_events | POLLRDHUP)};

    if (poll(&one, 1, 0) < 0)
        return -errno;
    return one.revents ? one.revents : -EAGAIN;
}

static int32_t connect_attempt(struct tdw_op *op, struct io_uring_sqe *sqe)
{
    struct pollfd one = {.fd = sqe->fd, .events = POLLOUT};
    int err = 0;
    socklen_t bytes = sizeof err;

    if (op->res == 0) { /* not begun */
        const int32_t res = tdw__perform(sqe, true);

        if (res != -EINPROGRESS)
            return res;
        op->res = 1;
    }
    if (poll(&one, 1, 0) < 1)
        return -EAGAIN;
    if (getsockopt(sqe->fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        return -errno;
    if (err)
        return -err;
    err = tdw__perform(sqe, true); /* the socket does not know yet that it is connected */
    return err == -EISCONN ? 0 : err;
}

/* A listener that would wait is told not to, for good: nobody else's accept may come in between. */
static int32_t accept_attempt(struct tdw_watched *w, struct tdw_op *op,
                              const struct io_uring_sqe *sqe)
{
    const bool direct = sqe->file_index != 0;
    const int flags = fcntl(sqe->fd, F_GETFL);
    struct io_uring_sqe own = *sqe;

    if (!(flags & O_NONBLOCK)) /* it is the file's: whoever shares it may have said so */
        w->hidden = fcntl(sqe->fd, F_SETFL, flags | O_NONBLOCK) == 0;
    if (op->sqe.ioprio & IORING_ACCEPT_MULTISHOT && !direct)
        own.ioprio = 0;
    return tdw__perform(&own, true);
}

/* A stream that cannot be asked not to wait: look first. Nobody else should read it meanwhile. */
static int32_t read_attempt(const struct io_uring_sqe *sqe, short events)
{
    struct pollfd one = {.fd = sqe->fd, .events = events};
    const int32_t res = tdw__perform(sqe, true);

    if (res != -EOPNOTSUPP)
        return res;
    if (poll(&one, 1, 0) < 1)
        return -EAGAIN;
    return tdw__perform(sqe, false);
}

/* One attempt, on `sqe`, a copy with descriptor and buffer as they are. */
static int32_t attempt_once(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op,
                            struct io_uring_sqe *sqe)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        if (w->copies)
            return -EOPNOTSUPP;
        return op->res > 0 ? perform_rest(e, op, sqe) : tdw__perform(sqe, true);
    case IORING_OP_POLL_ADD:
        return poll_attempt(op, sqe->fd);
    case IORING_OP_CONNECT:
        return connect_attempt(op, sqe);
    case IORING_OP_ACCEPT:
        return accept_attempt(w, op, sqe);
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
        return read_attempt(sqe, tdw__direction(op));
    default:
        return op->res > 0 ? perform_rest(e, op, sqe) : tdw__perform(sqe, true);
    }
}

/* A stream that moved less than it was asked to has no more at present, unless it was told of
 * something other than bytes, which an edge tells once only. A unix stream also stops where
 * somebody passed descriptors, or another process wrote. */
static void learn(struct tdw_watched *w, const struct tdw_op *op, const struct io_uring_sqe *sqe,
                  int32_t res)
{
    const short way = tdw__direction(op);

    if (op->sqe.opcode == IORING_OP_POLL_ADD)
        return;
    if (res == -EAGAIN)
        w->ready &= (uint8_t)~way;
    else if (w->added && w->kind == TDW_FD_STREAM && !w->copies && !w->ends && res > 0 &&
             op->sqe.opcode == IORING_OP_RECV && !(sqe->msg_flags & MSG_PEEK) &&
             (uint32_t)res < sqe->len)
        w->ready &= (uint8_t)~way;
}

/* A read that waits holds its buffer, if it is of a list: as io_uring's does. */
static bool holds_buffer(const struct tdw_op *op)
{
    return op->flags & IORING_CQE_F_BUFFER &&
           (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READV);
}

void tdw__hold_buffer(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    struct tdw_picked picked;

    if (!tdw__selects_buffer(op) || holds_buffer(op) ||
        (op->sqe.opcode != IORING_OP_READ && op->sqe.opcode != IORING_OP_READV) ||
        !tdw__registry_is_list(e->registry, op->sqe.buf_group) ||
        !tdw__registry_pick(e->registry, op->sqe.buf_group, &picked))
        return;
    tdw__registry_use(e->registry, op->sqe.buf_group, 0);
    op->sqe.addr3 = picked.addr;
    op->sqe.__pad2[0] = picked.bytes;
    op->flags = IORING_CQE_F_BUFFER | (uint32_t)picked.id << IORING_CQE_BUFFER_SHIFT;
}

bool tdw__pick_buffer(struct tdw_epoll_loop *e, struct io_uring_sqe *sqe, struct tdw_picked *picked)
{
    if (!tdw__registry_pick(e->registry, sqe->buf_group, picked))
        return false;
    sqe->addr = picked->addr;
    sqe->len = sqe->len && sqe->len < picked->bytes ? sqe->len : picked->bytes;
    return true;
}

uint32_t tdw__use_buffer(struct tdw_epoll_loop *e, const struct tdw_op *op,
                         const struct tdw_picked *picked, int32_t bytes)
{
    const bool more = tdw__registry_use(e->registry, op->sqe.buf_group, (uint32_t)bytes);

    return IORING_CQE_F_BUFFER | (uint32_t)picked->id << IORING_CQE_BUFFER_SHIFT |
           (more ? TDW_CQE_F_BUF_MORE : 0);
}

int32_t tdw__keep_fd(struct tdw_epoll_loop *e, const struct io_uring_sqe *sqe, int32_t fd)
{
    int32_t res;

    if (fd < 0)
        return fd;
    tdw__watched_new(e, fd);
    if (!sqe->file_index)
        return fd;
    res = tdw__registry_install(e->registry, fd, sqe->file_index);
    if (res < 0)
        close(fd);
    return res;
}

/* The buffer that a transfer is made through: as the entry says, the one it holds, or the next one
 * of its group, which is `picked`. 0, -ENOTSOCK, -ENOBUFS. */
static int32_t put_buffer(struct tdw_epoll_loop *e, const struct tdw_watched *w,
                          const struct tdw_op *op, struct io_uring_sqe *sqe,
                          struct tdw_picked *picked)
{
    if (!tdw__selects_buffer(op))
        return 0;
    if (op->sqe.opcode == IORING_OP_RECV && (w->kind == TDW_FD_FILE || w->kind == TDW_FD_OTHER))
        return -ENOTSOCK;
    if (!holds_buffer(op))
        return tdw__pick_buffer(e, sqe, picked) ? 0 : -ENOBUFS;
    sqe->addr = op->sqe.addr3;
    if (sqe->len == 0 || sqe->len > op->sqe.__pad2[0])
        sqe->len = (uint32_t)op->sqe.__pad2[0];
    return 0;
}

int32_t tdw__attempt(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op, int fd,
                     uint32_t *flags)
{
    for (;;) {
        struct io_uring_sqe sqe = op->sqe;
        struct tdw_picked picked;
        int32_t res;

        *flags = 0;
        sqe.fd = fd;
        res = put_buffer(e, w, op, &sqe, &picked);
        if (res < 0)
            return res;
        res = attempt_once(e, w, op, &sqe);
        learn(w, op, &sqe, res);
        if (op->sqe.opcode == IORING_OP_ACCEPT)
            return tdw__keep_fd(e, &op->sqe, res);
        if (holds_buffer(op)) {
            *flags = res == -EAGAIN ? 0 : op->flags;
            return res;
        }
        if (tdw__selects_buffer(op) && tdw__is_message(op) && res == 0)
            return res; /* the buffer stays where it was */
        if (tdw__selects_buffer(op) && res >= 0) {
            *flags = tdw__use_buffer(e, op, &picked, res);
            return res;
        }
        if (res == -EAGAIN || !goes_on(op, w))
            return res;
        if (res <= 0 || (size_t)op->res + (size_t)res >= bytes_of(op))
            return op->res > 0 ? op->res + (res > 0 ? res : 0) : res;
        op->res += res;
    }
}

void tdw__attempt_post(struct tdw_op *op, int32_t res, uint32_t flags)
{
    const bool gives_back =
        op->sqe.opcode == IORING_OP_SEND_ZC || op->sqe.opcode == IORING_OP_SENDMSG_ZC;

    if (gives_back && tdw__post_more(op, res, 0, 0))
        tdw__real_post(op, 0, IORING_CQE_F_NOTIF);
    else
        tdw__real_post(op, res, flags);
}
