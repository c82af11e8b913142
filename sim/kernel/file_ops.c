/* SPDX-License-Identifier: MIT */
/*
 * The table of the file side's opcodes: which row performs which.
 *
 * The rows live beside what they are about: io.c (reading, writing, durability), name_ops.c
 * (everything by path), poll.c, lock.c and unix.c. A new one is a row there and a line here.
 * world.c asks once for each start.
 */
#include <sim/kernel/pipe.h>

static const struct tdw_sim_opcode *const rows[256] = {
    [IORING_OP_OPENAT] = &tdw__row_openat,
    [IORING_OP_OPENAT2] = &tdw__row_openat2,
    [IORING_OP_CLOSE] = &tdw__row_close,
    [IORING_OP_READ] = &tdw__row_read,
    [IORING_OP_WRITE] = &tdw__row_write,
    [IORING_OP_READV] = &tdw__row_readv,
    [IORING_OP_WRITEV] = &tdw__row_writev,
    [IORING_OP_READ_FIXED] = &tdw__row_read_fixed,
    [IORING_OP_WRITE_FIXED] = &tdw__row_write_fixed,
    [IORING_OP_FILES_UPDATE] = &tdw__row_files_update,
    [IORING_OP_PROVIDE_BUFFERS] = &tdw__row_provide_buffers,
    [IORING_OP_REMOVE_BUFFERS] = &tdw__row_remove_buffers,
    [IORING_OP_SETXATTR] = &tdw__row_setxattr,
    [IORING_OP_FSETXATTR] = &tdw__row_setxattr,
    [IORING_OP_GETXATTR] = &tdw__row_getxattr,
    [IORING_OP_FGETXATTR] = &tdw__row_getxattr,
    [IORING_OP_SYNC_FILE_RANGE] = &tdw__row_sync_file_range,
    [IORING_OP_FADVISE] = &tdw__row_fadvise,
    [IORING_OP_MADVISE] = &tdw__row_madvise,
    [IORING_OP_MSG_RING] = &tdw__row_msg_ring,
    [TDW_OP_RING_MESSAGE] = &tdw__row_ring_message,
    [IORING_OP_SPLICE] = &tdw__row_splice,
    [IORING_OP_TEE] = &tdw__row_tee,
    [TDW_OP_SENDFILE] = &tdw__row_sendfile,
    [TDW_OP_COPY_FILE_RANGE] = &tdw__row_copy_file_range,
    [IORING_OP_FSYNC] = &tdw__row_fsync,
    [IORING_OP_FALLOCATE] = &tdw__row_fallocate,
    [TDW_OP_FTRUNCATE] = &tdw__row_ftruncate,
    [IORING_OP_STATX] = &tdw__row_statx,
    [IORING_OP_UNLINKAT] = &tdw__row_unlinkat,
    [IORING_OP_RENAMEAT] = &tdw__row_renameat,
    [IORING_OP_MKDIRAT] = &tdw__row_mkdirat,
    [IORING_OP_LINKAT] = &tdw__row_linkat,
    [IORING_OP_SYMLINKAT] = &tdw__row_symlinkat,
    [TDW_OP_GETDENTS] = &tdw__row_getdents,
    [IORING_OP_POLL_ADD] = &tdw__row_poll_add,
    [IORING_OP_POLL_REMOVE] = &tdw__row_poll_remove,
    [TDW_OP_WAITPID] = &tdw__row_waitpid,
    [TDW_OP_PPOLL] = &tdw__row_ppoll,
    [IORING_OP_EPOLL_CTL] = &tdw__row_epoll_ctl,
    [TDW_OP_EPOLL_WAIT] = &tdw__row_epoll_wait,
    [TDW_OP_SETLKW] = &tdw__row_setlkw,
    [TDW_OP_FLOCK] = &tdw__row_flock,
    [IORING_OP_SOCKET] = &tdw__row_socket,
    [IORING_OP_CONNECT] = &tdw__row_connect,
    [TDW_OP_BIND] = &tdw__row_bind,
    [TDW_OP_LISTEN] = &tdw__row_listen,
    [IORING_OP_ACCEPT] = &tdw__row_accept,
    [IORING_OP_SHUTDOWN] = &tdw__row_shutdown,
    [IORING_OP_SEND] = &tdw__row_send,
    [IORING_OP_SENDMSG] = &tdw__row_send,
    [IORING_OP_SEND_ZC] = &tdw__row_send_zc,
    [IORING_OP_SENDMSG_ZC] = &tdw__row_send_zc,
    [IORING_OP_RECV] = &tdw__row_receive,
    [IORING_OP_RECVMSG] = &tdw__row_receive,
    [TDW_OP_RESOLVE] = &tdw__row_resolve,
};

const struct tdw_sim_opcode *tdw__file_opcode(uint8_t opcode)
{
    return rows[opcode];
}

struct tdw_file *tdw__op_started_on(const struct tdw_op *op, void *object)
{
    switch (op->sqe.opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_POLL_ADD:
    case IORING_OP_ACCEPT:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
    case TDW_OP_FLOCK:
        return object;
    case TDW_OP_SETLKW:
        return object ? ((const struct tdw_lock_wait *)object)->file : NULL;
    case TDW_OP_EPOLL_WAIT:
        return object ? tdw__epoll_wait_file(object) : NULL;
    case IORING_OP_CONNECT:
        return object ? tdw__connect_file(object) : NULL;
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
    case TDW_OP_SENDFILE:
        return object ? ((const struct tdw_transfer *)object)->out : NULL;
    default:
        return NULL;
    }
}

bool tdw__file_op_waits(uint8_t opcode, const void *object)
{
    const struct tdw_sim_opcode *row = tdw__file_opcode(opcode);
    const struct tdw_file *file = object;
    const struct tdw_transfer *moves = object;

    switch (opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE_FIXED:
        return file && file->kind->blocked;
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
        return tdw__open_waits(object);
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
    case TDW_OP_SENDFILE:
    case TDW_OP_COPY_FILE_RANGE:
        return moves && (moves->in->kind->blocked || moves->out->kind->blocked);
    default:
        return row && row->blocked;
    }
}
