/* SPDX-License-Identifier: MIT */
/*
 * Pipes: 16 slots of a page each, 64 KiB in all, unless F_SETPIPE_SZ says otherwise.
 *
 *     write end ─▶ [ slot ][ slot ] … 16 ─▶ read end
 *
 * A write starts a new slot for each page it fills; its odd bytes are put behind those of the
 * last slot if they fit there, so small writes share a page. A write of PIPE_BUF bytes or fewer
 * goes in whole or not at all; a longer one goes in as far as there is room, and its op completes
 * with that count, as io_uring's does. So a write waits only while not one byte would go in, a
 * read only while the pipe is empty and somebody could still write.
 *
 * The last write end to go gives readers 0, the last read end gives writers -EPIPE (there are no
 * signals). O_DIRECT makes every write a packet. Blocks come from the disk's pool: nothing is
 * allocated on an op's way. Called through the kinds of the two ends (io.c, poll.c).
 */
#include <sim/kernel/pipe.h>
#include <poll.h>
#include <stdlib.h>

#define BYTES_MAX (1u << 20) /* /proc/sys/fs/pipe-max-size; privileges to pass it nobody has */

static struct tdw_waitq *read_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    struct tdw_pipe *pipe = file->pipe;

    (void)write;
    return io->left > 0 && pipe->used == 0 && pipe->writers > 0 ? &pipe->readable : NULL;
}

/* The bytes of a write that would go into the last slot. */
static size_t merged(struct tdw_pipe *pipe, size_t bytes)
{
    const struct tdw_pipe_slot *last = tdw__pipe_slot(pipe, pipe->used - 1);
    const size_t odd = bytes % TDW_PAGE_BYTES;

    return pipe->used > 0 && last->merges && last->off + last->bytes + odd <= TDW_PAGE_BYTES ? odd
                                                                                             : 0;
}

static struct tdw_waitq *write_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    struct tdw_pipe *pipe = file->pipe;

    (void)write;
    return io->left > 0 && pipe->readers > 0 && tdw__pipe_full(pipe) &&
                   (file->flags & O_DIRECT || merged(pipe, io->left) == 0)
               ? &pipe->writable
               : NULL;
}

void tdw__pipe_drop(struct tdw_pipe *pipe)
{
    struct tdw_block *block = tdw__pipe_slot(pipe, 0)->block;

    if (--block->refs == 0)
        tdw__pool_put(&pipe->disk->blocks, block);
    pipe->first = (pipe->first + 1) & (pipe->size - 1);
    pipe->used--;
}

/* There is room, or nobody reads any more. Who polls an end that is both is in the other queue. */
static void wake_writers(struct tdw_pipe *pipe)
{
    tdw__wake(&pipe->writable);
    if (pipe->both > 0)
        tdw__wake(&pipe->readable);
}

static int32_t pipe_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                         const struct tdw_op *op)
{
    struct tdw_pipe *pipe = file->pipe;
    const size_t wanted = io->left;
    bool packet = false, room = false;

    (void)process, (void)op;
    if (wanted > 0 && pipe->used == 0)
        return pipe->writers > 0 ? -EAGAIN : 0;
    while (io->left > 0 && pipe->used > 0 && !packet) {
        struct tdw_pipe_slot *slot = tdw__pipe_slot(pipe, 0);
        const uint32_t part = io->left < slot->bytes ? (uint32_t)io->left : slot->bytes;

        tdw__io_fill(io, slot->block->bytes + slot->off, part);
        slot->off += part;
        slot->bytes -= part;
        packet = slot->packet;
        if (slot->bytes == 0 || packet) {
            room |= tdw__pipe_full(pipe);
            tdw__pipe_drop(pipe);
        }
    }
    if (room) /* nobody else waits for it, and no edge is told */
        wake_writers(pipe);
    return (int32_t)(wanted - io->left);
}

static int32_t pipe_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                          const struct tdw_op *op)
{
    struct tdw_pipe *pipe = file->pipe;
    const bool packet = file->flags & O_DIRECT;
    const size_t wanted = io->left;
    size_t odd;

    (void)process, (void)op;
    if (wanted == 0)
        return 0;
    if (pipe->readers == 0)
        return -EPIPE;
    odd = packet ? 0 : merged(pipe, wanted);
    if (odd > 0) {
        struct tdw_pipe_slot *last = tdw__pipe_slot(pipe, pipe->used - 1);

        tdw__io_take(io, last->block->bytes + last->off + last->bytes, odd);
        last->bytes += (uint32_t)odd;
    }
    while (io->left > 0 && !tdw__pipe_full(pipe)) {
        struct tdw_pipe_slot *slot = tdw__pipe_slot(pipe, pipe->used);
        struct tdw_block *block = tdw__pool_get(&pipe->disk->blocks);
        const uint32_t part = io->left < TDW_PAGE_BYTES ? (uint32_t)io->left : TDW_PAGE_BYTES;

        if (!block)
            return wanted > io->left ? (int32_t)(wanted - io->left) : -ENOMEM;
        block->refs = 1;
        *slot = (struct tdw_pipe_slot){
            .block = block, .bytes = part, .packet = packet, .merges = !packet};
        tdw__io_take(io, block->bytes, part);
        pipe->used++;
    }
    if (wanted == io->left)
        return -EAGAIN;
    tdw__wake(&pipe->readable);
    return (int32_t)(wanted - io->left);
}

static uint32_t read_ready(const struct tdw_file *file)
{
    const struct tdw_pipe *pipe = file->pipe;

    /* An end that did not wait for a writer knows of none before one has come. */
    return (pipe->used > 0 ? POLLIN | POLLRDNORM : 0) |
           (pipe->writers == 0 && file->pos != pipe->writers_ever ? POLLHUP : 0);
}

static uint32_t write_ready(const struct tdw_file *file)
{
    const struct tdw_pipe *pipe = file->pipe;

    return (!tdw__pipe_full(pipe) ? POLLOUT | POLLWRNORM : 0) | (pipe->readers == 0 ? POLLERR : 0);
}

/* FIONREAD, of either end. */
static int readable_bytes(const struct tdw_file *file)
{
    const struct tdw_pipe *pipe = file->pipe;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < pipe->used; i++)
        bytes += tdw__pipe_slot(pipe, i)->bytes;
    return (int)bytes;
}

static struct tdw_waitq *read_queue(struct tdw_file *file)
{
    return &file->pipe->readable;
}

static struct tdw_waitq *write_queue(struct tdw_file *file)
{
    return &file->pipe->writable;
}

static struct tdw_waitq *both_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    return write ? write_blocked(file, io, write) : read_blocked(file, io, write);
}

static uint32_t both_ready(const struct tdw_file *file)
{
    return read_ready(file) | write_ready(file);
}

static void pipe_settle(struct tdw_pipe *pipe)
{
    if (pipe->readers + pipe->writers > 0)
        return;
    if (pipe->fifo)
        pipe->fifo->pipe = NULL;
    while (pipe->used > 0)
        tdw__pipe_drop(pipe);
    free(pipe->slots);
    free(pipe);
}

static const struct tdw_file_kind both_ends;

/* One end fewer; the last of a kind tells the other side. */
static void end_close(struct tdw_file *file)
{
    struct tdw_pipe *pipe = file->pipe;

    if (!pipe) /* of a FIFO that could not be opened */
        return;
    if (file->bits & TDW_FILE_READ)
        pipe->readers--;
    if (file->bits & TDW_FILE_WRITE)
        pipe->writers--;
    if (file->kind == &both_ends)
        pipe->both--;
    wake_writers(pipe);
    tdw__wake(&pipe->readable);
    pipe_settle(pipe);
}

static const struct tdw_file_kind read_end = {.name = "pipe",
                                              .readable_bytes = readable_bytes,
                                              .mode = S_IFIFO | 0600,
                                              .direct = true,
                                              .blocked = read_blocked,
                                              .read = pipe_read,
                                              .ready = read_ready,
                                              .ready_queue = read_queue,
                                              .close = end_close};
static const struct tdw_file_kind write_end = {.name = "pipe",
                                               .readable_bytes = readable_bytes,
                                               .mode = S_IFIFO | 0600,
                                               .direct = true,
                                               .blocked = write_blocked,
                                               .write = pipe_write,
                                               .ready = write_ready,
                                               .ready_queue = write_queue,
                                               .close = end_close};

static const struct tdw_file_kind both_ends = {.name = "pipe",
                                               .readable_bytes = readable_bytes,
                                               .mode = S_IFIFO | 0600,
                                               .direct = true,
                                               .blocked = both_blocked,
                                               .read = pipe_read,
                                               .write = pipe_write,
                                               .ready = both_ready,
                                               .ready_queue = read_queue,
                                               .close = end_close};

bool tdw__is_pipe(const struct tdw_file *file)
{
    return file->kind == &read_end || file->kind == &write_end || file->kind == &both_ends;
}

static struct tdw_pipe *pipe_new(struct tdw_disk *disk)
{
    struct tdw_pipe *pipe = calloc(1, sizeof(*pipe));

    if (!pipe)
        return NULL;
    pipe->disk = disk;
    pipe->size = TDW_PIPE_SLOTS;
    pipe->slots = calloc(pipe->size, sizeof(struct tdw_pipe_slot));
    if (!pipe->slots) {
        free(pipe);
        return NULL;
    }
    return pipe;
}

int tdw__pipe_size(const struct tdw_file *file)
{
    return tdw__is_pipe(file) ? (int)(file->pipe->size * TDW_PAGE_BYTES) : -EBADF;
}

/* F_SETPIPE_SZ: room for `bytes`, in a power of two of pages. */
int tdw__pipe_resize(struct tdw_file *file, uint32_t bytes)
{
    struct tdw_pipe *pipe = file->pipe;
    struct tdw_pipe_slot *slots;
    uint32_t size = 1;

    if (!tdw__is_pipe(file))
        return -EBADF;
    if (bytes > BYTES_MAX)
        return bytes > 1u << 31 ? -EINVAL : -EPERM;
    while (size * (uint64_t)TDW_PAGE_BYTES < bytes)
        size *= 2;
    if (size < pipe->used)
        return -EBUSY;
    slots = calloc(size, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < pipe->used; i++)
        slots[i] = *tdw__pipe_slot(pipe, i);
    free(pipe->slots);
    pipe->slots = slots;
    pipe->size = size;
    pipe->first = 0;
    tdw__wake(&pipe->writable);
    return (int)(size * TDW_PAGE_BYTES);
}

/* Both open files; nothing if either cannot be made. */
static int ends_new(struct tdw_disk *disk, int flags, struct tdw_file *ends[2])
{
    struct tdw_pipe *pipe = pipe_new(disk);

    ends[0] = pipe ? tdw__file_new(disk, &read_end, O_RDONLY | (flags & ~O_DIRECT), NULL) : NULL;
    if (!ends[0]) {
        if (pipe)
            pipe_settle(pipe);
        return -ENFILE;
    }
    pipe->readers = 1;
    ends[0]->pipe = pipe;
    ends[0]->number = disk->inode_next++;
    ends[1] = tdw__file_new(disk, &write_end, O_WRONLY | flags, NULL);
    if (!ends[1]) {
        tdw__file_put(ends[0]);
        return -ENFILE;
    }
    pipe->writers = 1;
    pipe->readers_ever = pipe->writers_ever = 1;
    ends[1]->pipe = pipe;
    ends[1]->number = ends[0]->number;
    return 0;
}

int tdw__pipe_open(struct tdw_files *files, int fds[2], int flags)
{
    struct tdw_file *ends[2];
    int first, second, err;

    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    first = tdw__fd_free(files, 0);
    if (first < 0)
        return first;
    second = tdw__fd_free(files, (uint32_t)first + 1);
    if (second < 0)
        return second;
    err = ends_new(files->disk, flags & (O_NONBLOCK | O_DIRECT), ends);
    if (err)
        return err;
    tdw__fd_set(files, first, ends[0], flags & O_CLOEXEC);
    tdw__fd_set(files, second, ends[1], flags & O_CLOEXEC);
    fds[0] = first;
    fds[1] = second;
    return 0;
}

/* ── FIFOs ─────────────────────────────────────────────────────────────────────────────────── */

const struct tdw_file_kind *tdw__fifo_kind(int flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return &read_end;
    case O_WRONLY:
        return &write_end;
    default:
        return &both_ends;
    }
}

int tdw__fifo_open(struct tdw_file *file, uint32_t *partners)
{
    struct tdw_inode *inode = file->inode;
    struct tdw_pipe *pipe;

    if (!(file->bits & (TDW_FILE_READ | TDW_FILE_WRITE)))
        return -EINVAL;
    pipe = inode->pipe ? inode->pipe : pipe_new(inode->disk);
    if (!pipe)
        return -ENOMEM;
    inode->pipe = pipe;
    pipe->fifo = inode;
    if (file->kind == &write_end && file->flags & O_NONBLOCK && pipe->readers == 0) {
        pipe_settle(pipe);
        return -ENXIO;
    }
    file->pipe = pipe;
    *partners = file->bits & TDW_FILE_READ ? pipe->writers_ever : pipe->readers_ever;
    if (file->kind == &both_ends)
        pipe->both++;
    if (file->bits & TDW_FILE_READ) {
        pipe->readers++;
        pipe->readers_ever++;
        if (file->flags & O_NONBLOCK && pipe->writers == 0)
            file->pos = pipe->writers_ever;
    }
    if (file->bits & TDW_FILE_WRITE) {
        pipe->writers++;
        pipe->writers_ever++;
    }
    tdw__wake(&pipe->partner);
    return 0;
}

struct tdw_waitq *tdw__fifo_waits(const struct tdw_file *file, uint32_t partners)
{
    struct tdw_pipe *pipe = file->pipe;

    if (file->kind == &both_ends || file->flags & O_NONBLOCK)
        return NULL;
    if (file->kind == &read_end)
        return pipe->writers == 0 && pipe->writers_ever == partners ? &pipe->partner : NULL;
    return pipe->readers == 0 && pipe->readers_ever == partners ? &pipe->partner : NULL;
}
