/* SPDX-License-Identifier: MIT */
/*
 * Short ops: the entry says less while its op is in flight, and is put back when it completes.
 *
 *     plain     len of the entry
 *     vectors   a copy of the vectors, cut behind the bytes that are moved
 *     messages  a copy of the header and of its vectors; what a receive tells in its header is told
 *               to the program's at the end
 *
 * The program's own vectors and header are never changed: they may be constant, or several ops' at
 * a time. A copy lives as long as its op, since every kernel may look at it until then. It is the
 * loop's memory: what is still in flight when a plan ends, or when its process is killed, is given
 * back with the loop.
 *
 * An op is known by its address and its number: where one was killed another may come to lie.
 *
 * There is no part of a message that a descriptor moves whole (datagrams, packets): a kernel would
 * never do that. Nor of vectors whose buffers are picked when the op takes effect, which multishot
 * receives are, too.
 */
#include <faults/faults.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { MOVED_MAX = 0x7ffff000 }; /* by one call of Linux */

struct copy {
    struct msghdr header; /* of a message */
    struct iovec iov[];
};

struct tdw_short {
    struct tdw_op *op;
    uint64_t seq;
    uint64_t addr; /* the entry's, as they were */
    uint32_t len;
    struct copy *copy; /* NULL: it is a plain op */
    size_t bytes;      /* of the copy */
};

static enum tdw_buffer buffer_of(const struct tdw_op *op)
{
    return (enum tdw_buffer)tdw__opcodes[op->sqe.opcode].buffer;
}

static bool is_message(const struct tdw_op *op)
{
    return buffer_of(op) == TDW_B_OUTMSG || buffer_of(op) == TDW_B_INMSG;
}

static bool has_vectors(const struct tdw_op *op)
{
    return is_message(op) || buffer_of(op) == TDW_B_OUTV || buffer_of(op) == TDW_B_INV;
}

/* NULL: none, or such as every kernel refuses. */
static const struct iovec *vectors_of(const struct tdw_op *op, size_t *count)
{
    const void *addr = (const void *)(uintptr_t)op->sqe.addr;
    const struct msghdr *header = is_message(op) ? addr : NULL;

    *count = header ? header->msg_iovlen : op->sqe.len;
    if (!addr || *count > UIO_MAXIOV)
        return NULL;
    return header ? header->msg_iov : addr;
}

uint64_t tdw__bytes_asked(const struct tdw_op *op)
{
    const struct iovec *iov;
    uint64_t bytes = 0;
    size_t count;

    if (!has_vectors(op))
        return op->sqe.len;
    iov = vectors_of(op, &count);
    for (size_t i = 0; iov && i < count; i++) {
        if (iov[i].iov_len > SSIZE_MAX)
            return 0; /* refused */
        bytes += iov[i].iov_len < MOVED_MAX - bytes ? iov[i].iov_len : MOVED_MAX - bytes;
    }
    return bytes;
}

bool tdw__has_parts(const struct tdw_op *op)
{
    const struct tdw_backend_ops *backend = op->task->ring->loop->backend;

    if (has_vectors(op) && op->sqe.flags & IOSQE_BUFFER_SELECT)
        return false;
    return buffer_of(op) == TDW_B_NONE || !backend->moves_whole || !backend->moves_whole(op);
}

/* ── Shortened ─────────────────────────────────────────────────────────────────────────────── */

static void put_copy(struct tdw_loop *loop, struct tdw_short *entry)
{
    if (entry->copy)
        tdw__memory_put(loop->memory, entry->copy, entry->bytes);
    entry->copy = NULL;
}

/* The op's, whichever op of that address it was. */
static struct tdw_short *entry_at(const struct tdw_shorts *shorts, const struct tdw_op *op)
{
    for (uint32_t i = 0; i < shorts->count; i++)
        if (shorts->entries[i].op == op)
            return &shorts->entries[i];
    return NULL;
}

static struct tdw_short *entry_new(struct tdw_shorts *shorts)
{
    if (shorts->count == shorts->max) {
        const uint32_t max = shorts->max ? shorts->max * 2 : 16;
        struct tdw_short *entries = realloc(shorts->entries, max * sizeof *entries);

        if (!entries)
            return NULL;
        shorts->entries = entries;
        shorts->max = max;
    }
    return &shorts->entries[shorts->count++];
}

/* From now on the entry of the op is about a copy. */
static bool take_copy(struct tdw_loop *loop, struct tdw_op *op, struct tdw_short *entry)
{
    size_t count;
    const struct iovec *iov = vectors_of(op, &count);

    entry->bytes = sizeof *entry->copy + count * sizeof *iov;
    entry->copy = tdw__memory_get(loop->memory, entry->bytes);
    if (!entry->copy)
        return false;
    memcpy(entry->copy->iov, iov, count * sizeof *iov);
    if (is_message(op)) {
        entry->copy->header = *(const struct msghdr *)(uintptr_t)op->sqe.addr;
        entry->copy->header.msg_iov = entry->copy->iov;
        op->sqe.addr = (uintptr_t)&entry->copy->header;
    } else {
        op->sqe.addr = (uintptr_t)entry->copy->iov;
    }
    return true;
}

static void cut(struct tdw_op *op, struct copy *copy, size_t bytes)
{
    size_t count = 0;

    for (; bytes > 0; count++) {
        struct iovec *iov = &copy->iov[count];

        iov->iov_len = iov->iov_len < bytes ? iov->iov_len : bytes;
        bytes -= iov->iov_len;
    }
    if (is_message(op))
        copy->header.msg_iovlen = count;
    else
        op->sqe.len = (uint32_t)count;
}

bool tdw__shorten(struct tdw_shorts *shorts, struct tdw_op *op, uint32_t bytes)
{
    struct tdw_loop *loop = op->task->ring->loop;
    struct tdw_short *entry = entry_at(shorts, op);

    if (!entry || entry->seq != op->seq) { /* else it is short already, and gets shorter */
        if (entry)
            put_copy(loop, entry);
        else if (!(entry = entry_new(shorts)))
            return false;
        *entry = (struct tdw_short){op, op->seq, op->sqe.addr, op->sqe.len, NULL, 0};
        if (has_vectors(op) && !take_copy(loop, op, entry)) {
            *entry = shorts->entries[--shorts->count];
            return false;
        }
    }
    if (entry->copy)
        cut(op, entry->copy, bytes);
    else
        op->sqe.len = bytes;
    return true;
}

/* ── Put back ──────────────────────────────────────────────────────────────────────────────── */

static void tell_header(const struct tdw_short *entry)
{
    struct msghdr *header = (struct msghdr *)(uintptr_t)entry->addr;

    header->msg_namelen = entry->copy->header.msg_namelen;
    header->msg_controllen = entry->copy->header.msg_controllen;
    header->msg_flags = entry->copy->header.msg_flags;
}

void tdw__restore(struct tdw_shorts *shorts, struct tdw_op *op)
{
    struct tdw_short *entry = shorts->count ? entry_at(shorts, op) : NULL;

    if (!entry)
        return;
    if (entry->seq == op->seq) {
        if (buffer_of(op) == TDW_B_INMSG && op->res >= 0)
            tell_header(entry);
        if (entry->copy)
            op->sqe.addr = entry->addr;
        op->sqe.len = entry->len;
    }
    put_copy(op->task->ring->loop, entry);
    *entry = shorts->entries[--shorts->count];
}

void tdw__shorts_fini(struct tdw_shorts *shorts)
{
    free(shorts->entries);
    *shorts = (struct tdw_shorts){.entries = NULL};
}
