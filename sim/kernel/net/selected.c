/* SPDX-License-Identifier: MIT */
/*
 * Receiving into selected buffers: RECV and RECVMSG with IOSQE_BUFFER_SELECT, once or multishot.
 *
 * The buffer is picked when there are bytes for it, so an op that waits holds none. If there is
 * none at the start or later the op ends -ENOBUFS. A multishot op posts a completion for each
 * filled buffer and ends with the peer's end, an error, or no buffer. Multishot RECVMSG lays out
 * each buffer as io_uring does:
 *
 *     struct io_uring_recvmsg_out │ name: msg_namelen │ control: msg_controllen │ payload
 */
#include <sim/kernel/net/net.h>

static const struct msghdr *header_of(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_RECVMSG ? tdw__pointer(op->sqe.addr) : NULL;
}

static bool is_multishot(const struct tdw_op *op)
{
    return op->sqe.ioprio & IORING_RECV_MULTISHOT;
}

/* How much of the buffer the op wants; 0: all. */
static size_t wanted(const struct tdw_op *op)
{
    const struct msghdr *header = header_of(op);

    if (!header)
        return op->sqe.len;
    return header->msg_iovlen > 0 && !is_multishot(op) ? header->msg_iov->iov_len : 0;
}

/* The parts of a buffer that a multishot RECVMSG fills. */
struct layout {
    struct io_uring_recvmsg_out *out;
    char *name, *control;
    size_t before; /* the payload */
};

static bool lay_out(const struct msghdr *header, const struct iovec *buffer, struct layout *at)
{
    at->before = sizeof(*at->out) + header->msg_namelen + header->msg_controllen;
    at->out = buffer->iov_base;
    at->name = (char *)buffer->iov_base + sizeof(*at->out);
    at->control = at->name + header->msg_namelen;
    return at->before <= buffer->iov_len;
}

/* One receive into `buffer`; *used: the bytes of it that were filled. */
static int64_t receive_into(struct tdw_process *process, struct tdw_op *op,
                            struct tdw_socket *socket, struct iovec buffer, size_t *used)
{
    const struct msghdr *header = header_of(op);
    struct tdw_msg msg = {.process = process, .flags = (int)op->sqe.msg_flags};
    struct layout at = {.before = 0};
    int64_t moved;

    if (header && is_multishot(op)) {
        if (!lay_out(header, &buffer, &at))
            return -EFAULT;
        msg.name = header->msg_namelen ? (struct sockaddr *)(void *)at.name : NULL;
        msg.control = header->msg_controllen ? at.control : NULL;
    } else if (header) {
        msg.name = header->msg_name;
        msg.control = header->msg_control;
    }
    if (header) {
        msg.name_room = msg.name ? header->msg_namelen : 0;
        msg.control_room = msg.control ? header->msg_controllen : 0;
    }
    buffer.iov_base = (char *)buffer.iov_base + at.before;
    buffer.iov_len -= at.before;
    msg.io = (struct tdw_io){.iov = &buffer, .left = buffer.iov_len};
    moved = socket->protocol->receive(socket, &msg);
    if (moved < 0)
        return moved;
    if (at.out)
        *at.out = (struct io_uring_recvmsg_out){.namelen = msg.name_bytes,
                                                .controllen = (uint32_t)msg.control_bytes,
                                                .payloadlen = (uint32_t)moved,
                                                .flags = (uint32_t)msg.flags_out};
    else if (header) {
        struct msghdr *told = tdw__header_told(op);

        if (told->msg_name)
            told->msg_namelen = msg.name_bytes;
        told->msg_controllen = msg.control_bytes;
        told->msg_flags = msg.flags_out;
    }
    *used = at.before + (size_t)moved;
    return moved;
}

int32_t tdw__receive_selected(struct tdw_process *process, struct tdw_op *op,
                              struct tdw_socket *socket)
{
    struct iovec buffer;
    size_t used = 0;
    int64_t moved;
    int32_t res;
    const int err = tdw__buffer_peek(op, wanted(op), &buffer);

    if (err)
        return err;
    moved = receive_into(process, op, socket, buffer, &used);
    if (moved == -EAGAIN && !(op->sqe.msg_flags & MSG_DONTWAIT))
        return TDW_AGAIN;
    if (moved <= 0)
        return (int32_t)moved;
    tdw__buffer_take(op, wanted(op), used);
    if (socket->received.head)
        op->flags |= IORING_CQE_F_SOCK_NONEMPTY;
    res = (int32_t)(is_multishot(op) ? (int64_t)used : moved);
    return is_multishot(op) && tdw__post_more(op, res, op->flags, 0) ? TDW_AGAIN : res;
}
