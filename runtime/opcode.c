/* SPDX-License-Identifier: MIT */
/*
 * The table of opcodes, looked up by number, and what an entry says apart from addresses.
 *
 * Called for each submit: the digest covers every field of an entry that is a value, and what the
 * others point to by content. Which is which depends on the opcode, so it is the table's; the usual
 * entry, where nothing is pointed to but a buffer, is done inline (tdw__entry_hash) and never comes
 * here.
 */
#define XXH_INLINE_ALL
#include <runtime/event.h>
#include <linux/openat2.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <xxhash.h>

#define ROW(NAME, number, addr, off, buffer, class)                                                \
    [number] = {#NAME, TDW_W_##addr, TDW_W_##off, TDW_B_##buffer, TDW_C_##class},
const struct tdw_opcode tdw__opcodes[256] = {TDW_OPCODES(ROW)};
#undef ROW

const struct tdw_opcode *tdw_opcode(uint8_t opcode)
{
    static const struct tdw_opcode unknown = {.name = "?"};

    return tdw__opcodes[opcode].name ? &tdw__opcodes[opcode] : &unknown;
}

static uint64_t hash_iovec(const struct iovec *iov, uint32_t count)
{
    uint64_t hash = count;

    for (uint32_t i = 0; i < count && i < 1024; i++) /* more are refused */
        hash = tdw__mix(hash, iov[i].iov_len);
    return hash;
}

static uint64_t hash_flock(const struct flock *lock)
{
    const uint64_t range = tdw__mix((uint64_t)lock->l_start, (uint64_t)lock->l_len);

    return tdw__mix(range, (uint64_t)lock->l_type << 16 | (uint64_t)lock->l_whence);
}

static uint64_t hash_time(const struct __kernel_timespec *time)
{
    return time ? tdw__mix((uint64_t)time->tv_sec, (uint64_t)time->tv_nsec) : 0;
}

/* An address: the bytes are in network order but for the family, which is hashed by value. */
static uint64_t hash_sockaddr(const struct sockaddr *address, uint64_t bytes)
{
    const size_t family = sizeof(address->sa_family);

    if (!address || bytes < family || bytes > sizeof(struct sockaddr_storage))
        return bytes;
    return tdw__mix(XXH3_64bits((const char *)address + family, bytes - family),
                    address->sa_family);
}

/* The name of a message that is received is room for one, and not looked at. */
static uint64_t hash_msghdr(const struct msghdr *message, bool received)
{
    const uint64_t lengths = hash_iovec(message->msg_iov, (uint32_t)message->msg_iovlen);
    const uint64_t name =
        received ? message->msg_namelen : hash_sockaddr(message->msg_name, message->msg_namelen);

    return tdw__mix(name, tdw__mix(lengths, message->msg_controllen));
}

static uint64_t hash_pollfds(const struct pollfd *fds, uint32_t count)
{
    uint64_t hash = count;

    for (uint32_t i = 0; i < count && i < 1024; i++)
        hash = tdw__mix(hash, (uint64_t)(uint32_t)fds[i].fd << 16 | (uint16_t)fds[i].events);
    return hash;
}

/* Open flags whose numbers depend on the architecture, as bits of our own. */
static uint64_t open_flags(uint32_t flags)
{
    const uint32_t varying = O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW;

    return (flags & ~varying) | (flags & O_DIRECT ? 1ull << 32 : 0) |
           (flags & O_DIRECTORY ? 1ull << 33 : 0) | (flags & O_NOFOLLOW ? 1ull << 34 : 0);
}

static uint64_t hash_how(const struct open_how *how)
{
    return tdw__mix(tdw__mix(open_flags((uint32_t)how->flags), how->mode), how->resolve);
}

/* What stands in `addr3`, for the few opcodes that look there. */
static uint64_t third_word(const struct io_uring_sqe *sqe)
{
    const char *path = (const char *)(uintptr_t)sqe->addr3;

    switch (sqe->opcode) {
    case IORING_OP_SETXATTR:
    case IORING_OP_GETXATTR:
        return path ? XXH3_64bits(path, strlen(path)) : 0;
    default:
        return 0;
    }
}

/* The content of one word: what it is, or what it points to. Addresses are 0. */
static uint64_t hash_word(const struct tdw_ring *ring, uint8_t kind, uint64_t word,
                          const struct io_uring_sqe *sqe)
{
    const void *pointer = (const void *)(uintptr_t)word;
    const struct tdw_op *target;

    switch ((enum tdw_word)kind) {
    case TDW_W_VALUE:
        return word;
    case TDW_W_ADDR:
        return 0;
    case TDW_W_PATH:
        return pointer ? XXH3_64bits(pointer, strlen(pointer)) : 0;
    case TDW_W_TIME:
        return hash_time(pointer);
    case TDW_W_NEWTIME:
        return tdw__is_update(sqe) ? hash_time(pointer) : 0;
    case TDW_W_HOW:
        return pointer && sqe->len >= sizeof(struct open_how) ? hash_how(pointer) : 0;
    case TDW_W_BYTES:
        return pointer && sqe->len <= 65536 ? XXH3_64bits(pointer, sqe->len) : sqe->len;
    case TDW_W_OFFSET:
        return pointer ? tdw__mix(*(const uint64_t *)pointer, 1) : 0;
    case TDW_W_FDS:
        return pointer ? XXH3_64bits(pointer, sqe->len * sizeof(int)) : 0;
    case TDW_W_IOVEC:
        return pointer ? hash_iovec(pointer, sqe->len) : 0;
    case TDW_W_FLOCK:
        return pointer ? hash_flock(pointer) : 0;
    case TDW_W_OP:
        target = tdw__find(ring, word);
        return target ? tdw__mix(target->task->actor, target->ordinal) : 0;
    case TDW_W_TASK:
        return pointer ? ((const struct tdw_task *)pointer)->actor : 0;
    case TDW_W_OBJECT:
        return pointer ? ((const struct tdw_sync *)pointer)->hash : 0;
    case TDW_W_SOCKADDR:
        return hash_sockaddr(pointer, sqe->off);
    case TDW_W_SOCKTO:
        return hash_sockaddr(pointer, sqe->addr_len);
    case TDW_W_MSGHDR:
        return pointer ? hash_msghdr(pointer, sqe->opcode == IORING_OP_RECVMSG) : 0;
    case TDW_W_EPEVENT:
        return pointer ? ((const struct epoll_event *)pointer)->events : 0;
    case TDW_W_POLLFDS:
        return pointer ? hash_pollfds(pointer, sqe->len) : 0;
    }
    return 0;
}

uint64_t tdw__entry_pointed(const struct tdw_ring *ring, const struct tdw_op *op)
{
    const struct tdw_opcode *row = &tdw__opcodes[op->sqe.opcode];
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint64_t addr = hash_word(ring, row->addr, sqe->addr, sqe);
    const uint64_t off = row->off == TDW_W_VALUE ? 0 : hash_word(ring, row->off, sqe->off, sqe);

    const uint64_t flags =
        sqe->opcode == IORING_OP_OPENAT ? open_flags(sqe->open_flags) : (uint32_t)sqe->rw_flags;

    return tdw__mix(tdw__mix(addr, off), flags ^ (uint64_t)sqe->file_index << 40) +
           ((uint64_t)sqe->ioprio << 32 | (uint64_t)sqe->buf_index << 48) + third_word(sqe);
}
