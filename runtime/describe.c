/* SPDX-License-Identifier: MIT */
/*
 * What an op is about, for a gate that asks (gate.h): the part that is the same for every kernel.
 */
#include <runtime/runtime.h>

/* An entry's `fd` is a descriptor, but for those whose field has another meaning. */
static bool has_descriptor(const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_NOP:
    case IORING_OP_POLL_REMOVE:
    case IORING_OP_FILES_UPDATE:
    case IORING_OP_PROVIDE_BUFFERS:
    case IORING_OP_REMOVE_BUFFERS:
    case IORING_OP_SOCKET: /* a domain */
    case IORING_OP_MADVISE:
    case IORING_OP_SETXATTR:
    case IORING_OP_GETXATTR:
    case TDW_OP_PPOLL:
    case TDW_OP_RESOLVE:
    case TDW_OP_RING_MESSAGE:
    case IORING_OP_TIMEOUT:
    case IORING_OP_TIMEOUT_REMOVE:
    case IORING_OP_LINK_TIMEOUT:
    case IORING_OP_ASYNC_CANCEL:
    case TDW_OP_WAITPID:
        return false;
    default:
        return op->sqe.fd >= 0;
    }
}

void tdw_describe(const struct tdw_op *op, struct tdw_described *to)
{
    const struct tdw_backend_ops *backend = op->task->ring->loop->backend;

    to->kind = NULL;
    to->path[0] = to->peer[0] = '\0';
    if (backend->describe && has_descriptor(op))
        backend->describe(op, to);
}

const struct sockaddr *tdw__op_peer(const struct io_uring_sqe *sqe, socklen_t *bytes)
{
    const struct msghdr *msg = (const void *)(uintptr_t)sqe->addr;

    switch (sqe->opcode) {
    case IORING_OP_CONNECT:
        *bytes = (socklen_t)sqe->off;
        return (const void *)(uintptr_t)sqe->addr;
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        *bytes = sqe->addr_len;
        return (const void *)(uintptr_t)sqe->off;
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        *bytes = msg ? msg->msg_namelen : 0;
        return msg ? msg->msg_name : NULL;
    default:
        return NULL;
    }
}
