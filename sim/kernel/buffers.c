/* SPDX-License-Identifier: MIT */
/*
 * Buffers of ops in flight: two mistakes that a real kernel hides on most days.
 *
 * A buffer that is being written must not change until the op completes: its hash at start is
 * compared with its hash at effect. A buffer that is being read into must not be used: from start
 * to effect it holds a pattern, so whoever reads it early reads that, and whoever writes to it is
 * found. What the read then leaves alone gets its old bytes back, as on Linux. Both are findings,
 * with task and line.
 *
 * Only where the world's options ask for it. Cost: one hash of the bytes written at start (the
 * one at effect is the digest's own); one copy, fill and comparison of the bytes to be read, of
 * which at most LOOK_BYTES are watched.
 */
#define XXH_INLINE_ALL
#include <sim/kernel/world.h>
#include <string.h>
#include <xxhash.h>

#define LOOK_BYTES 4096u
#define PATTERN 0xa5

/* Hash of the first `bytes` of what the vectors hold. */
static uint64_t hash_vector(const struct iovec *iov, size_t count, size_t bytes)
{
    uint64_t hash = 0;

    if (count == 1)
        return XXH3_64bits(iov->iov_base, iov->iov_len < bytes ? iov->iov_len : bytes);
    for (size_t i = 0; i < count && bytes > 0; i++) {
        const size_t part = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

        hash = tdw__mix(hash, XXH3_64bits(iov[i].iov_base, part));
        bytes -= part;
    }
    return hash;
}

/* Where the bytes are that the kernel takes in: the vectors, and how many; 0: it takes none. `one`
 * holds the vector of the plain forms. */
static size_t taken_from(const struct tdw_op *op, struct iovec *one, const struct iovec **iov)
{
    const struct msghdr *message = (const void *)(uintptr_t)op->sqe.addr;

    switch ((enum tdw_buffer)tdw__opcodes[op->sqe.opcode].buffer) {
    case TDW_B_NONE:
    case TDW_B_IN:
    case TDW_B_INV:
    case TDW_B_INMSG:
        break;
    case TDW_B_OUT:
        *one = (struct iovec){(void *)(uintptr_t)op->sqe.addr, op->sqe.len};
        *iov = one;
        return 1;
    case TDW_B_OUTV:
        *iov = (const void *)(uintptr_t)op->sqe.addr;
        return op->sqe.len;
    case TDW_B_OUTMSG:
        *iov = message->msg_iov;
        return message->msg_iovlen;
    }
    return 0;
}

static uint64_t hash_taken(const struct tdw_op *op, size_t bytes)
{
    const struct iovec *iov = NULL;
    struct iovec one;
    const size_t count = taken_from(op, &one, &iov);

    return count ? hash_vector(iov, count, bytes) : 0;
}

/* Still the pattern? Compares the buffer with itself, one byte on. */
static bool untouched(const unsigned char *buffer, size_t bytes)
{
    return bytes == 0 || (buffer[0] == PATTERN && memcmp(buffer, buffer + 1, bytes - 1) == 0);
}

static size_t looked_at(const struct tdw_op *op)
{
    return op->sqe.len < LOOK_BYTES ? op->sqe.len : LOOK_BYTES;
}

/* Is the op read into a buffer that is known from its start? */
static bool reads(const struct tdw_op *op)
{
    return tdw__opcodes[op->sqe.opcode].buffer == TDW_B_IN &&
           !(op->sqe.flags & IOSQE_BUFFER_SELECT);
}

void tdw__buffer_start(struct tdw_op *op)
{
    void *buffer = (void *)(uintptr_t)op->sqe.addr;
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    if (!reads(op)) {
        slot->sum = hash_taken(op, SIZE_MAX);
        return;
    }
    slot->saved = tdw__memory_get(op->task->ring->loop->memory, looked_at(op));
    if (slot->saved) {
        memcpy(slot->saved, buffer, looked_at(op));
        memset(buffer, PATTERN, looked_at(op));
    }
}

void tdw__buffer_stop(struct tdw_op *op)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);
    void *buffer = (void *)(uintptr_t)op->sqe.addr;

    if (!reads(op) || !slot->saved)
        return;
    if (!untouched(buffer, looked_at(op)))
        tdw__finding(op->task->ring->loop, op->task, op->site,
                     "the buffer of a read in flight was written to");
    else
        memcpy(buffer, slot->saved, looked_at(op));
    tdw__memory_put(op->task->ring->loop->memory, slot->saved, looked_at(op));
    slot->saved = NULL;
}

void tdw__buffer_drop(struct tdw_op *op)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    if (!reads(op) || !slot->saved)
        return;
    tdw__memory_put(op->task->ring->loop->memory, slot->saved, looked_at(op));
    slot->saved = NULL;
}

uint64_t tdw__buffer_effect(struct tdw_op *op, int32_t res)
{
    const bool watched = tdw__world(op->task->ring->loop)->options.watch_buffers;

    if (watched && !reads(op) && hash_taken(op, SIZE_MAX) != tdw__slot(op->task->ring, op)->sum)
        tdw__finding(op->task->ring->loop, op->task, op->site,
                     "the buffer of a write in flight was changed");
    return res > 0 ? hash_taken(op, (size_t)res) : 0;
}
