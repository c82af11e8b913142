/* SPDX-License-Identifier: MIT */
/*
 * What an entry points to, as it was when it was submitted (IORING_FEAT_SUBMIT_STABLE).
 *
 * A program may take back, as soon as submit returns, all that only says what is to be done: a
 * path, the vectors of a write, a time, an address, the header of a message that is sent. Here ops
 * look at it whenever they take effect, so of a program's own rings (uring.c) it is copied first,
 * into one block that lives as long as the op; which words of an entry are such, the table of
 * opcodes tells. What data is read from or written to stays the program's. The header of a message
 * that is received is copied, too, but what there is to tell is put into the program's own; into
 * that of a multishot receive nothing is, as on Linux.
 *
 * Ops of the runtime's own verbs are not copied: a task that waits keeps what it gave.
 *
 * Two passes over an entry, of which the first only counts. A read or a write costs two look-ups.
 */
#include <limits.h>
#include <sim/kernel/uring.h>
#include <string.h>
#include <linux/limits.h>
#include <sys/uio.h>

enum { CONTROL_MAX = 1 << 20 };

/* Copies go to `to`, one behind the other; NULL: they are only counted. */
struct copies {
    char *to;
    size_t bytes;
};

static uint64_t copy(struct copies *copies, const void *from, size_t bytes)
{
    const size_t at = copies->bytes;

    copies->bytes += (bytes + 15) / 16 * 16;
    if (!copies->to || !from || bytes == 0)
        return (uintptr_t)from;
    memcpy(copies->to + at, from, bytes);
    return (uintptr_t)(copies->to + at);
}

static uint64_t copy_text(struct copies *copies, const char *text)
{
    const size_t bytes = text ? strnlen(text, PATH_MAX) : 0;

    /* A path that is too long is refused, however it goes on. */
    return bytes < PATH_MAX ? copy(copies, text, bytes + 1) : (uintptr_t)text;
}

static void *pointer_to(uint64_t word)
{
    return (void *)(uintptr_t)word;
}

static uint64_t copy_vectors(struct copies *copies, const struct iovec *iov, uint64_t count)
{
    return count <= UIO_MAXIOV ? copy(copies, iov, count * sizeof(*iov)) : (uintptr_t)iov;
}

static uint64_t copy_address(struct copies *copies, const void *address, uint64_t bytes)
{
    return bytes <= sizeof(struct sockaddr_storage) ? copy(copies, address, bytes)
                                                    : (uintptr_t)address;
}

static uint64_t copy_header(struct copies *copies, const struct msghdr *from, bool received)
{
    struct msghdr header = *from;

    header.msg_iov = pointer_to(copy_vectors(copies, from->msg_iov, from->msg_iovlen));
    if (received) /* its name and control bytes are written */
        return copy(copies, &header, sizeof(header));
    header.msg_name = pointer_to(copy_address(copies, from->msg_name, from->msg_namelen));
    if (from->msg_controllen <= CONTROL_MAX)
        header.msg_control = pointer_to(copy(copies, from->msg_control, from->msg_controllen));
    return copy(copies, &header, sizeof(header));
}

static uint64_t copy_word(struct copies *copies, const struct io_uring_sqe *sqe, enum tdw_word kind,
                          uint64_t word)
{
    void *from = pointer_to(word);

    if (!from)
        return word;
    switch (kind) {
    case TDW_W_PATH:
        return copy_text(copies, from);
    case TDW_W_NEWTIME:
        if (!tdw__is_update(sqe))
            return word;
        return copy(copies, from, sizeof(struct __kernel_timespec));
    case TDW_W_TIME:
        return copy(copies, from, sizeof(struct __kernel_timespec));
    case TDW_W_BYTES:
        return sqe->len <= XATTR_SIZE_MAX ? copy(copies, from, sqe->len) : word;
    case TDW_W_HOW:
        return sqe->len <= PATH_MAX ? copy(copies, from, sqe->len) : word;
    case TDW_W_IOVEC:
        return copy_vectors(copies, from, sqe->len);
    case TDW_W_SOCKADDR:
        return copy_address(copies, from, sqe->off);
    case TDW_W_SOCKTO:
        return copy_address(copies, from, sqe->addr_len);
    case TDW_W_MSGHDR:
        return copy_header(copies, from, sqe->opcode == IORING_OP_RECVMSG);
    case TDW_W_EPEVENT:
        return copy(copies, from, sizeof(struct epoll_event));
    case TDW_W_ADDR: /* the program's, or none of an io_uring's */
    case TDW_W_VALUE:
    case TDW_W_OFFSET:
    case TDW_W_FDS:
    case TDW_W_FLOCK:
    case TDW_W_OP:
    case TDW_W_TASK:
    case TDW_W_OBJECT:
    case TDW_W_POLLFDS:
        break;
    }
    return word;
}

static void copy_all(struct copies *copies, struct io_uring_sqe *sqe)
{
    const struct tdw_opcode *row = &tdw__opcodes[sqe->opcode];
    const bool has_path = sqe->opcode == IORING_OP_SETXATTR || sqe->opcode == IORING_OP_GETXATTR;
    const uint64_t addr = copy_word(copies, sqe, row->addr, sqe->addr);
    const uint64_t off = copy_word(copies, sqe, row->off, sqe->off);
    const uint64_t path = has_path ? copy_text(copies, pointer_to(sqe->addr3)) : sqe->addr3;

    if (!copies->to)
        return;
    sqe->addr = addr;
    sqe->off = off;
    sqe->addr3 = path;
}

int tdw__stable_take(struct tdw_foreign *foreign, struct tdw_memory *memory)
{
    struct copies copies = {NULL, 0};

    copy_all(&copies, &foreign->op.sqe);
    foreign->stable_bytes = copies.bytes;
    if (copies.bytes == 0)
        return 0;
    if (foreign->op.sqe.opcode == IORING_OP_RECVMSG &&
        !(foreign->op.sqe.ioprio & IORING_RECV_MULTISHOT))
        foreign->header = pointer_to(foreign->op.sqe.addr);
    foreign->stable = copies.to = tdw__memory_take(memory, copies.bytes);
    if (!foreign->stable)
        return -ENOMEM;
    copies.bytes = 0;
    copy_all(&copies, &foreign->op.sqe);
    return 0;
}

struct msghdr *tdw__header_told(const struct tdw_op *op)
{
    const struct tdw_foreign *foreign = op->bits & TDW_OP_FOREIGN ? (const void *)op : NULL;

    return foreign && foreign->header ? foreign->header : pointer_to(op->sqe.addr);
}

void tdw__stable_put(struct tdw_foreign *foreign, struct tdw_memory *memory)
{
    if (foreign->stable)
        tdw__memory_put(memory, foreign->stable, foreign->stable_bytes);
}
