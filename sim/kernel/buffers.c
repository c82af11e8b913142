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

static uint64_t hash_bytes(const void *from, size_t bytes)
{
    return XXH3_64bits(from, bytes);
}

static uint64_t hash_vector(const struct iovec *iov, uint32_t count, size_t bytes)
{
    uint64_t hash = 0;

    for (uint32_t i = 0; i < count && bytes > 0; i++) {
        const size_t part = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;

        hash = tdw__mix(hash, hash_bytes(iov[i].iov_base, part));
        bytes -= part;
    }
    return hash;
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

void tdw__buffer_start(struct tdw_op *op)
{
    void *buffer = (void *)(uintptr_t)op->sqe.addr;
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    switch ((enum tdw_buffer)tdw_opcode(op->sqe.opcode)->buffer) {
    case TDW_B_NONE:
    case TDW_B_INV:
        break;
    case TDW_B_OUT:
        slot->sum = hash_bytes(buffer, op->sqe.len);
        break;
    case TDW_B_OUTV:
        slot->sum = hash_vector(buffer, op->sqe.len, SIZE_MAX);
        break;
    case TDW_B_IN:
        slot->saved = tdw__memory_get(op->task->ring->loop->memory, looked_at(op));
        if (slot->saved) {
            memcpy(slot->saved, buffer, looked_at(op));
            memset(buffer, PATTERN, looked_at(op));
        }
        break;
    }
}

void tdw__buffer_stop(struct tdw_op *op)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);
    void *buffer = (void *)(uintptr_t)op->sqe.addr;

    if (tdw__opcodes[op->sqe.opcode].buffer != TDW_B_IN || !slot->saved)
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

    if (tdw__opcodes[op->sqe.opcode].buffer != TDW_B_IN || !slot->saved)
        return;
    tdw__memory_put(op->task->ring->loop->memory, slot->saved, looked_at(op));
    slot->saved = NULL;
}

uint64_t tdw__buffer_effect(struct tdw_op *op, int32_t res)
{
    const void *buffer = (const void *)(uintptr_t)op->sqe.addr;
    const struct tdw_slot *slot = tdw__slot(op->task->ring, op);
    const enum tdw_buffer kind = tdw_opcode(op->sqe.opcode)->buffer;
    uint64_t whole, taken;

    if (kind != TDW_B_OUT && kind != TDW_B_OUTV)
        return 0;
    whole = kind == TDW_B_OUT ? hash_bytes(buffer, op->sqe.len)
                              : hash_vector(buffer, op->sqe.len, SIZE_MAX);
    if (tdw__world(op->task->ring->loop)->options.watch_buffers && whole != slot->sum)
        tdw__finding(op->task->ring->loop, op->task, op->site,
                     "the buffer of a write in flight was changed");
    if (res <= 0)
        return 0;
    if (kind == TDW_B_OUTV)
        return hash_vector(buffer, op->sqe.len, (size_t)res);
    taken = (uint32_t)res;
    return taken == op->sqe.len ? whole : hash_bytes(buffer, taken);
}
