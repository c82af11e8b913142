/* SPDX-License-Identifier: MIT */
/*
 * The table of opcodes, looked up by number, and what an entry says apart from addresses.
 *
 * Called for each submit: the digest covers every field of an entry that is a value, and what the
 * others point to by content. Which is which depends on the opcode, so it is the table's, and the
 * usual entry (no pointed-to arguments) takes the short way: five words under a mask.
 */
#define XXH_INLINE_ALL
#include <runtime/event.h>
#include <string.h>
#include <xxhash.h>

#define ROW(NAME, number, addr, off, buffer, class)                                                \
    [number] = {#NAME, TDW_W_##addr, TDW_W_##off, TDW_B_##buffer, TDW_C_##class},
static const struct tdw_opcode opcodes[256] = {TDW_OPCODES(ROW)};
#undef ROW
static const struct tdw_opcode unknown = {"?", TDW_W_ADDR, TDW_W_VALUE, TDW_B_NONE, TDW_C_CALL};

const struct tdw_opcode *tdw_opcode(uint8_t opcode)
{
    return opcodes[opcode].name ? &opcodes[opcode] : &unknown;
}

static uint64_t hash_iovec(const struct iovec *iov, uint32_t count)
{
    uint64_t hash = count;

    for (uint32_t i = 0; i < count; i++)
        hash = tdw__mix(hash, iov[i].iov_len);
    return hash;
}

static uint64_t hash_flock(const struct flock *lock)
{
    const uint64_t range = tdw__mix((uint64_t)lock->l_start, (uint64_t)lock->l_len);

    return tdw__mix(range, (uint64_t)lock->l_type << 16 | (uint64_t)lock->l_whence);
}

/* The content of one word: what it is, or what it points to. Addresses are 0. */
static uint64_t hash_word(const struct tdw_ring *ring, uint8_t kind, uint64_t word, uint32_t len)
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
    case TDW_W_TIME: {
        const struct __kernel_timespec *time = pointer;
        return time ? tdw__mix((uint64_t)time->tv_sec, (uint64_t)time->tv_nsec) : 0;
    }
    case TDW_W_IOVEC:
        return pointer ? hash_iovec(pointer, len) : 0;
    case TDW_W_FLOCK:
        return pointer ? hash_flock(pointer) : 0;
    case TDW_W_OP:
        target = tdw__find(ring, word);
        return target ? tdw__mix(target->task->actor, target->ordinal) : 0;
    case TDW_W_TASK:
        return pointer ? ((const struct tdw_task *)pointer)->actor : 0;
    case TDW_W_OBJECT:
        return pointer ? ((const struct tdw_sync *)pointer)->hash : 0;
    }
    return 0;
}

uint64_t tdw__entry_hash(const struct tdw_ring *ring, const struct tdw_op *op)
{
    const struct tdw_opcode *row = &opcodes[op->sqe.opcode];
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint64_t addr = hash_word(ring, row->addr, sqe->addr, sqe->len);
    const uint64_t off =
        row->off == TDW_W_VALUE ? 0 : hash_word(ring, row->off, sqe->off, sqe->len);
    const uint64_t rest = (uint64_t)sqe->rw_flags | (uint64_t)sqe->ioprio << 32 |
                          (uint64_t)sqe->buf_index << 48;

    return tdw__mix2(tdw__mix2(addr ^ TDW_K0, off ^ TDW_K1) ^ rest ^ TDW_K2,
                     (uint64_t)sqe->file_index ^ TDW_K3);
}
