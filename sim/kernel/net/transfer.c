/* SPDX-License-Identifier: MIT */
/*
 * The rows SEND SENDMSG SEND_ZC SENDMSG_ZC RECV RECVMSG.
 *
 *     entry ─▶ struct tdw_msg ─▶ the protocol's send or receive ─▶ result, flags, addresses
 *
 * As io_uring does it: an op tries without waiting; if nothing can be moved it waits in the queue
 * of the socket, unless MSG_DONTWAIT says otherwise. A stream's op completes with what could be
 * moved, which may be less than asked for; with MSG_WAITALL it goes on until all of it is, and its
 * result so far is kept in op->res. Between two such moves others may get in. A receive with room
 * for control bytes does not go on.
 *
 * A send without a copy completes twice: with its result, then, one latency later, with the notice
 * that the buffer is free (IORING_CQE_F_NOTIF), also when it failed. A multishot receive fills one
 * selected buffer for each completion, and ends with the peer's end, an error, or no buffer.
 */
#include <sim/kernel/net/net.h>
#include <limits.h>

enum {
    SEND_FLAGS = IORING_RECVSEND_POLL_FIRST | IORING_RECVSEND_FIXED_BUF | 1 << 3, /* REPORT_USAGE */
    NOTIF_COPIED = (int)(1u << 31), /* IORING_NOTIF_USAGE_ZC_COPIED: here bytes are always copied */
    REPORT_USAGE = 1 << 3,          /* IORING_SEND_ZC_REPORT_USAGE */
};

static bool has_msghdr(const struct tdw_op *op)
{
    return tdw__opcodes[op->sqe.opcode].addr == TDW_W_MSGHDR;
}

static bool is_zero_copy(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_SEND_ZC || op->sqe.opcode == IORING_OP_SENDMSG_ZC;
}

static bool is_multishot(const struct tdw_op *op)
{
    return op->sqe.ioprio & IORING_RECV_MULTISHOT &&
           (op->sqe.opcode == IORING_OP_RECV || op->sqe.opcode == IORING_OP_RECVMSG);
}

/* ── From the entry to a message ───────────────────────────────────────────────────────────── */

static int check_msghdr(const struct msghdr *header)
{
    if (!header)
        return -EFAULT;
    if (header->msg_iovlen > UIO_MAXIOV)
        return -EMSGSIZE;
    if ((int)header->msg_namelen < 0)
        return -EINVAL;
    for (size_t i = 0; i < header->msg_iovlen; i++)
        if (header->msg_iov[i].iov_len > (size_t)SSIZE_MAX)
            return -EINVAL;
    return 0;
}

static size_t total_of(const struct iovec *iov, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total =
            iov[i].iov_len > TDW_IO_BYTES_MAX - total ? TDW_IO_BYTES_MAX : total + iov[i].iov_len;
    return total;
}

/* The vectors move on by what was moved before. */
static void skip(struct tdw_io *io, size_t bytes)
{
    io->left -= bytes;
    while (bytes > 0) {
        const size_t here = io->iov->iov_len - io->skip;

        if (bytes < here) {
            io->skip += bytes;
            return;
        }
        bytes -= here;
        io->iov++;
        io->skip = 0;
    }
}

/* `one` holds the vector of the forms that have none. */
static struct tdw_msg message_of(struct tdw_process *process, const struct tdw_op *op,
                                 struct iovec *one)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    struct tdw_msg msg = {.process = process, .flags = (int)sqe->msg_flags};

    if (has_msghdr(op)) {
        const struct msghdr *header = tdw__pointer(sqe->addr);

        msg.io.iov = header->msg_iov;
        msg.io.left = total_of(header->msg_iov, header->msg_iovlen);
        msg.name = header->msg_name;
        msg.control = header->msg_control;
        if (sqe->opcode == IORING_OP_RECVMSG) {
            msg.name_room = header->msg_name ? header->msg_namelen : 0;
            msg.control_room = header->msg_control ? header->msg_controllen : 0;
        } else {
            msg.name_bytes = header->msg_name ? header->msg_namelen : 0;
            msg.control_bytes = header->msg_control ? header->msg_controllen : 0;
        }
    } else {
        *one = (struct iovec){tdw__pointer(sqe->addr), sqe->len};
        msg.io.iov = one;
        msg.io.left = sqe->len;
        if (sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SEND_ZC) {
            msg.name = tdw__pointer(sqe->off);
            msg.name_bytes = msg.name ? sqe->addr_len : 0;
        }
    }
    if (op->res > 0)
        skip(&msg.io, (size_t)op->res);
    msg.io.nowait = msg.flags & MSG_DONTWAIT;
    return msg;
}

/* The same, as far as it decides about waiting. (Written to where it is read from: a struct that is
 * returned is copied by words that have just been stored by halves, which stalls.) */
static void want_of(const struct tdw_op *op, struct tdw_want *want)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (has_msghdr(op)) {
        const struct msghdr *header = tdw__pointer(sqe->addr);

        want->bytes = total_of(header->msg_iov, header->msg_iovlen);
        want->name = header->msg_name;
        want->name_bytes = header->msg_namelen;
    } else {
        want->bytes = sqe->len;
        want->name = tdw__pointer(sqe->off);
        want->name_bytes = sqe->addr_len;
    }
    want->bytes -= (size_t)op->res;
    want->urgent = sqe->msg_flags & MSG_OOB;
}

/* ── Sending ───────────────────────────────────────────────────────────────────────────────── */

/* What is wrong with the entry itself. */
static int check_send(const struct tdw_op *op)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->ioprio & ~SEND_FLAGS ||
        (!is_zero_copy(op) && sqe->ioprio & ~IORING_RECVSEND_POLL_FIRST))
        return -EINVAL;
    if (is_zero_copy(op) && sqe->flags & IOSQE_CQE_SKIP_SUCCESS)
        return -EINVAL;
    return has_msghdr(op) && (sqe->off || sqe->file_index) ? -EINVAL : 0;
}

static int begin_send(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    int err;

    if (has_msghdr(op))
        err = check_msghdr(tdw__pointer(sqe->addr));
    else
        err = sqe->off && sqe->addr_len > sizeof(struct sockaddr_storage) ? -EINVAL : 0;
    if (!err)
        err = tdw__start_socket(process, op, object);
    if (err)
        return err;
    return !has_msghdr(op) && !sqe->addr && sqe->len > 0 ? -EFAULT : 0;
}

static int start_send(struct tdw_process *process, struct tdw_op *op, void **object)
{
    int err = check_send(op);

    if (err)
        return err;
    err = begin_send(process, op, object);
    if (err && is_zero_copy(op)) { /* its buffer is given back all the same */
        op->res = err;
        return 0;
    }
    return err;
}

static struct tdw_waitq *blocked_send(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_socket *socket;
    struct tdw_want want;

    (void)process;
    if (op->bits & TDW_OP_SHOTS || op->res < 0)
        return NULL; /* only the notice is left, which does not wait; or a refusal */
    socket = tdw__socket_of(object);
    if (op->state == TDW_BLOCKED)
        return &socket->writers;
    if (op->sqe.msg_flags & MSG_DONTWAIT)
        return NULL;
    want_of(op, &want);
    return socket->protocol->send_waits(socket, &want) ? &socket->writers : NULL;
}

/* Move what can be moved; the result so far, or TDW_AGAIN. */
static int32_t send_some(struct tdw_process *process, struct tdw_op *op, struct tdw_socket *socket)
{
    struct iovec one;
    struct tdw_msg msg = message_of(process, op, &one);
    const size_t wanted = msg.io.left;
    const int64_t moved = socket->protocol->send(socket, &msg);

    if (moved == -EAGAIN && !msg.io.nowait)
        return TDW_AGAIN;
    if (moved < 0)
        return op->res > 0 ? op->res : (int32_t)moved;
    op->res += (int32_t)moved;
    if ((size_t)moved < wanted && msg.flags & MSG_WAITALL && socket->type != SOCK_DGRAM &&
        !msg.io.nowait)
        return TDW_AGAIN;
    return op->res;
}

static int32_t effect_send(struct tdw_process *process, struct tdw_op *op, void *object)
{
    return send_some(process, op, tdw__socket_of(object));
}

static int32_t effect_send_zc(struct tdw_process *process, struct tdw_op *op, void *object)
{
    int32_t res = op->res;

    if (op->bits & TDW_OP_SHOTS) {
        op->flags = IORING_CQE_F_NOTIF;
        return op->sqe.ioprio & REPORT_USAGE ? NOTIF_COPIED : 0;
    }
    if (res >= 0)
        res = tdw__socket_of(object)->domain == AF_UNIX
                  ? -EOPNOTSUPP
                  : send_some(process, op, tdw__socket_of(object));
    if (res == TDW_AGAIN)
        return res;
    return tdw__post_more(op, res, 0, tdw__buffer_effect(op, res)) ? TDW_AGAIN : res;
}

/* ── Receiving ─────────────────────────────────────────────────────────────────────────────── */

/* A buffer has to be there at once, even if there is nothing to put into it yet. */
static int start_selected(const struct tdw_op *op)
{
    struct iovec buffer;

    if (!(op->sqe.flags & IOSQE_BUFFER_SELECT) || op->sqe.ioprio & IORING_RECVSEND_POLL_FIRST)
        return 0;
    return tdw__buffer_peek(op, 0, &buffer);
}

static int start_receive(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    int err;

    if (sqe->ioprio & ~(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT))
        return -EINVAL;
    if (sqe->off || sqe->file_index)
        return -EINVAL;
    if (is_multishot(op) && (!(sqe->flags & IOSQE_BUFFER_SELECT) || sqe->msg_flags & MSG_WAITALL))
        return -EINVAL;
    if (has_msghdr(op)) {
        const struct msghdr *header = tdw__pointer(sqe->addr);

        err = check_msghdr(header);
        if (!err && sqe->flags & IOSQE_BUFFER_SELECT && header->msg_iovlen > 1)
            err = -EINVAL;
        err = err ? err : tdw__start_socket(process, op, object);
        return err ? err : start_selected(op);
    }
    err = tdw__start_socket(process, op, object);
    if (!err)
        err = start_selected(op);
    if (err)
        return err;
    return !sqe->addr && sqe->len > 0 && !(sqe->flags & IOSQE_BUFFER_SELECT) ? -EFAULT : 0;
}

static struct tdw_waitq *blocked_receive(struct tdw_process *process, struct tdw_op *op,
                                         void *object)
{
    struct tdw_socket *socket = tdw__socket_of(object);
    struct tdw_want want;

    (void)process;
    if (op->state == TDW_BLOCKED)
        return &socket->readers;
    if (op->sqe.msg_flags & MSG_DONTWAIT)
        return NULL;
    want_of(op, &want);
    if (op->sqe.flags & IOSQE_BUFFER_SELECT)
        want.bytes = 1; /* how much there will be room for does not matter */
    return socket->protocol->receive_waits(socket, &want) ? &socket->readers : NULL;
}

/* What RECVMSG tells beside its bytes. */
static void header_out(const struct tdw_msg *msg, struct msghdr *header)
{
    if (header->msg_name)
        header->msg_namelen = msg->name_bytes;
    header->msg_controllen = msg->control_bytes;
    header->msg_flags = msg->flags_out | (msg->flags & MSG_CMSG_CLOEXEC);
}

static int32_t receive_some(struct tdw_process *process, struct tdw_op *op,
                            struct tdw_socket *socket)
{
    struct iovec one;
    struct tdw_msg msg = message_of(process, op, &one);
    const size_t wanted = msg.io.left;
    int64_t moved;

    /* Once it is shut, a worker tries, and its recvmsg (not its recv) minds O_NONBLOCK. */
    if (has_msghdr(op) && socket->shut & TDW_SHUT_READ && socket->file->flags & O_NONBLOCK)
        msg.io.nowait = true;
    moved = socket->protocol->receive(socket, &msg);
    if (moved == -EAGAIN && !msg.io.nowait)
        return TDW_AGAIN;
    if (moved < 0)
        return op->res > 0 ? op->res : (int32_t)moved;
    op->res += (int32_t)moved;
    if (has_msghdr(op))
        header_out(&msg, tdw__header_told(op));
    if (socket->received.head)
        op->flags |= IORING_CQE_F_SOCK_NONEMPTY;
    if (msg.flags & MSG_WAITALL && socket->type != SOCK_DGRAM && moved > 0 &&
        (size_t)moved < wanted && !msg.io.nowait && !(msg.flags & MSG_PEEK) &&
        msg.control_room == 0)
        return TDW_AGAIN;
    return op->res;
}

static int32_t effect_receive(struct tdw_process *process, struct tdw_op *op, void *object)
{
    return op->sqe.flags & IOSQE_BUFFER_SELECT
               ? tdw__receive_selected(process, op, tdw__socket_of(object))
               : receive_some(process, op, tdw__socket_of(object));
}

const struct tdw_sim_opcode tdw__row_send = {start_send, blocked_send, effect_send, tdw__release_fd,
                                             TDW_TRIES};
const struct tdw_sim_opcode tdw__row_send_zc = {start_send, blocked_send, effect_send_zc,
                                                tdw__release_fd, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_receive = {start_receive, blocked_receive, effect_receive,
                                                tdw__release_fd, TDW_WHOLE};
