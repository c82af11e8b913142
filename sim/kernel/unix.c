/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets, as far as a program needs them that looks whether a server is there: SOCKET for
 * AF_UNIX, CONNECT to a path, CLOSE.
 *
 * Nobody listens: connecting is -ENOENT where there is no such path and -ECONNREFUSED where there
 * is one, or for an abstract name. An unconnected socket reads -EINVAL (-ENOTCONN unless a
 * stream) and writes -ENOTCONN. Other families are -EAFNOSUPPORT.
 */
#include <sim/kernel/vfs.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { TYPE_MASK = 0xf };

static int32_t socket_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                           const struct tdw_op *op)
{
    (void)process, (void)io, (void)op;
    return file->socket_type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
}

static int32_t socket_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                            const struct tdw_op *op)
{
    (void)process, (void)file, (void)io, (void)op;
    return -ENOTCONN;
}

/* Never ready for anything else, so there is nothing to wait for: poll.c refuses it. */
static uint32_t socket_ready(const struct tdw_file *file)
{
    return POLLOUT | POLLWRNORM | POLLWRBAND |
           (file->socket_type == SOCK_DGRAM ? 0 : (uint32_t)POLLHUP);
}

static const struct tdw_file_kind kind = {.name = "socket",
                                          .mode = S_IFSOCK | 0777,
                                          .read = socket_read,
                                          .write = socket_write,
                                          .ready = socket_ready};

static int start_socket(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const int type = (int)sqe->off, protocol = (int)sqe->len;

    (void)process, (void)object;
    if (sqe->addr || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (sqe->file_index && type & SOCK_CLOEXEC)
        return -EINVAL;
    if (type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    if (sqe->fd != AF_UNIX)
        return -EAFNOSUPPORT;
    if (protocol != 0 && protocol != PF_UNIX)
        return -EPROTONOSUPPORT;
    switch (type & TYPE_MASK) {
    case SOCK_STREAM:
    case SOCK_DGRAM:
    case SOCK_RAW:
    case SOCK_SEQPACKET:
        return 0;
    default:
        return -ESOCKTNOSUPPORT;
    }
}

static int32_t effect_socket(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const int type = (int)op->sqe.off;
    const int err = tdw__install_check(process, op, type & SOCK_CLOEXEC);
    struct tdw_disk *disk = process->files->disk;
    struct tdw_file *file;

    (void)object;
    if (err)
        return err;
    file = tdw__file_new(disk, &kind, O_RDWR | (type & SOCK_NONBLOCK), NULL);
    if (!file)
        return -ENFILE;
    file->socket_type = (type & TYPE_MASK) == SOCK_RAW ? SOCK_DGRAM : type & TYPE_MASK;
    file->number = disk->inode_next++;
    return tdw__install(process, op, file, type & SOCK_CLOEXEC);
}

static int start_connect(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct sockaddr_un *address = tdw__pointer(sqe->addr);
    const struct tdw_file *file = tdw__op_file(process, op);

    if (sqe->len || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (file && file->kind != &kind)
        return -ENOTSOCK;
    if (file && sqe->off > 0 && !address)
        return -EFAULT;
    if (file && (sqe->off <= offsetof(struct sockaddr_un, sun_path) ||
                 sqe->off > sizeof(*address) || address->sun_family != AF_UNIX))
        return -EINVAL;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_connect(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct sockaddr_un *address = tdw__pointer(op->sqe.addr);
    char path[sizeof(address->sun_path) + 1] = {0};
    struct tdw_walk walk;
    int err;

    (void)object;
    memcpy(path, address->sun_path, op->sqe.off - offsetof(struct sockaddr_un, sun_path));
    if (!*path)
        return -ECONNREFUSED;
    err = tdw__walk_existing(process->files, AT_FDCWD, path, TDW_WALK_FOLLOW, &walk);
    return err ? err : -ECONNREFUSED;
}

const struct tdw_sim_opcode tdw__row_socket = {start_socket, NULL, effect_socket, NULL, false};
const struct tdw_sim_opcode tdw__row_connect = {start_connect, NULL, effect_connect,
                                                tdw__release_fd, false};
