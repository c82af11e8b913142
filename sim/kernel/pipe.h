/* SPDX-License-Identifier: MIT */
/*
 * The inside of a pipe: what pipe.c (its two ends), fifo.c (pipes with a name), and the movers of
 * bytes (splice.c, copy.c) share.
 *
 *     [ slot ][ slot ] … size          a slot: some bytes of one block
 *       first ─▶ used ─▶
 *
 * A block may be in slots of several pipes after TEE, so it is counted. Bytes that were written
 * share the last slot while they fit; bytes that were moved there do not, for their block may be
 * somebody else's too.
 */
#ifndef TDW_PIPE_H
#define TDW_PIPE_H

#include <sim/kernel/vfs.h>

struct tdw_pipe_slot {
    struct tdw_block *block;
    uint32_t off, bytes;
    bool packet; /* O_DIRECT: a read takes no more than this one */
    bool merges; /* a write may go on behind its bytes */
};

struct tdw_pipe {
    struct tdw_disk *disk;
    struct tdw_pipe_slot *slots;
    uint32_t size; /* of slots, a power of two */
    uint32_t first, used;
    uint32_t readers, writers; /* open files, not descriptors */
    uint32_t both;             /* of them, those that are reader and writer: of a FIFO */
    uint32_t readers_ever, writers_ever;
    struct tdw_inode *fifo; /* whose pipe it is, or NULL */
    struct tdw_waitq readable, writable, partner;
};

static inline struct tdw_pipe_slot *tdw__pipe_slot(const struct tdw_pipe *pipe, uint32_t i)
{
    return &pipe->slots[(pipe->first + i) & (pipe->size - 1)];
}

static inline bool tdw__pipe_full(const struct tdw_pipe *pipe)
{
    return pipe->used == pipe->size;
}

/* FIFOs. The kind of an end opened with `flags`; make `file` an end of the pipe of its inode: 0,
 * -ENXIO, -ENOMEM; the queue in which it waits until somebody opens the other end. `partners`: how
 * many had, before. */
const struct tdw_file_kind *tdw__fifo_kind(int flags);
int tdw__fifo_open(struct tdw_file *file, uint32_t *partners);
struct tdw_waitq *tdw__fifo_waits(const struct tdw_file *file, uint32_t partners);

/* The first slot goes, with its block if nobody else has it. */
void tdw__pipe_drop(struct tdw_pipe *pipe);
/* `bytes` of the front are gone. */
void tdw__pipe_consume(struct tdw_pipe *pipe, size_t bytes);

/* Up to `bytes` of `in` from `pos` on go into the pipe's free slots. How many, or -errno. */
int32_t tdw__pipe_fill(struct tdw_process *process, struct tdw_pipe *pipe, struct tdw_file *in,
                       uint64_t pos, size_t bytes, const struct tdw_op *op);
/* Up to `bytes` of the pipe are written to `out`, at `pos`. How many, or -errno. */
int32_t tdw__pipe_drain(struct tdw_process *process, struct tdw_pipe *pipe, struct tdw_file *out,
                        uint64_t pos, size_t bytes, const struct tdw_op *op);
/* Up to `bytes` go from pipe to pipe; `copy`: and stay where they were. */
int32_t tdw__pipe_move(struct tdw_pipe *in, struct tdw_pipe *out, size_t bytes, bool copy);

/* May bytes be moved out of, into a file that is no pipe, without the program's seeing them? */
bool tdw__splices_from(const struct tdw_file *file);
bool tdw__splices_to(const struct tdw_file *file);

/* The files of an op that moves bytes from one to another. */
struct tdw_transfer {
    struct tdw_file *in, *out;
    struct tdw_waitq *queue; /* in which the op stands while it is blocked */
    uint64_t in_pos, out_pos;
    bool begun;
};
/* The file that sqe->splice_fd_in names, or NULL. */
struct tdw_file *tdw__transfer_in(const struct tdw_process *process, const struct tdw_op *op);
/* A row's start: both files, the sqe's `fd` and `splice_fd_in`. -EBADF. */
int tdw__transfer_begin(struct tdw_process *process, struct tdw_op *op, void **object);
void tdw__transfer_release(struct tdw_process *process, void *object);
/* The queue in which a transfer that may wait has to; NULL: none. */
struct tdw_waitq *tdw__transfer_blocked(const struct tdw_transfer *transfer, size_t left);

#endif
