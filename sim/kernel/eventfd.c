/* SPDX-License-Identifier: MIT */
/*
 * Event counters, as eventfd(2) makes them.
 *
 * A write adds its eight bytes, and waits while the sum would pass 2^64 - 2; a read takes all (or
 * one, as a semaphore) and waits while there is nothing. A read asks for eight bytes or more, a
 * write for exactly eight; of several vectors each is a write of its own, and none is no write, as
 * io_uring has it. Every change wakes who waits for the other direction and who polls.
 *
 * Called through the kind of an open file (io.c, poll.c).
 */
#include <sim/kernel/vfs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct tdw_eventfd {
    uint64_t count;
    bool semaphore;
    struct tdw_waitq readable, writable, changed;
};

/* The next vector that is not empty; its bytes, at most what is left. */
static size_t next_bytes(struct tdw_io *io)
{
    while (io->skip == io->iov->iov_len) {
        io->iov++;
        io->skip = 0;
    }
    return io->iov->iov_len - io->skip < io->left ? io->iov->iov_len - io->skip : io->left;
}

static bool fits(const struct tdw_eventfd *event, uint64_t value)
{
    return UINT64_MAX - event->count > value;
}

static struct tdw_waitq *event_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    struct tdw_eventfd *event = file->eventfd;
    struct tdw_io copy = *io;
    uint64_t value;

    if (!write)
        return io->left >= sizeof(value) && event->count == 0 ? &event->readable : NULL;
    if (io->left == 0 || next_bytes(&copy) != sizeof(value))
        return NULL;
    tdw__io_take(&copy, &value, sizeof(value));
    return value != UINT64_MAX && !fits(event, value) ? &event->writable : NULL;
}

static int32_t event_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                          const struct tdw_op *op)
{
    struct tdw_eventfd *event = file->eventfd;
    const uint64_t value = event->semaphore && event->count > 0 ? 1 : event->count;

    (void)process, (void)op;
    if (io->left < sizeof(value))
        return -EINVAL;
    if (value == 0)
        return -EAGAIN;
    event->count -= value;
    tdw__io_fill(io, &value, sizeof(value));
    tdw__wake(&event->writable);
    tdw__wake_for(&event->changed, POLLOUT);
    return (int32_t)sizeof(value);
}

/* One vector's worth. */
static int32_t add(struct tdw_eventfd *event, struct tdw_io *io)
{
    uint64_t value;

    if (next_bytes(io) != sizeof(value))
        return -EINVAL;
    tdw__io_take(io, &value, sizeof(value));
    if (value == UINT64_MAX)
        return -EINVAL;
    if (!fits(event, value))
        return -EAGAIN;
    event->count += value;
    tdw__wake(&event->readable);
    tdw__wake_for(&event->changed, POLLIN);
    return (int32_t)sizeof(value);
}

static int32_t event_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                           const struct tdw_op *op)
{
    int32_t done = 0;

    (void)process, (void)op;
    while (io->left > 0) {
        const int32_t res = add(file->eventfd, io);

        if (res < 0)
            return done ? done : res;
        done += res;
    }
    return done;
}

static uint32_t event_ready(const struct tdw_file *file)
{
    const uint64_t count = file->eventfd->count;

    return (count > 0 ? POLLIN : 0) | (count == UINT64_MAX ? POLLERR : 0) |
           (UINT64_MAX - 1 > count ? POLLOUT : 0);
}

static struct tdw_waitq *event_queue(struct tdw_file *file)
{
    return &file->eventfd->changed;
}

static void event_close(struct tdw_file *file)
{
    free(file->eventfd);
}

static const struct tdw_file_kind kind = {.name = "eventfd",
                                          .mode = 0600,
                                          .blocked = event_blocked,
                                          .read = event_read,
                                          .write = event_write,
                                          .ready = event_ready,
                                          .ready_queue = event_queue,
                                          .close = event_close};

bool tdw__is_eventfd(const struct tdw_file *file)
{
    return file->kind == &kind;
}

void tdw__eventfd_signal(struct tdw_file *file)
{
    struct tdw_eventfd *event = file->eventfd;

    if (!fits(event, 1))
        return;
    event->count++;
    tdw__wake(&event->readable);
    tdw__wake(&event->changed);
}

int tdw__eventfd_open(struct tdw_files *files, uint32_t value, int flags)
{
    struct tdw_eventfd *event;
    struct tdw_file *file;
    int fd;

    if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
        return -EINVAL;
    fd = tdw__fd_free(files, 0);
    if (fd < 0)
        return fd;
    event = calloc(1, sizeof(*event));
    file = event ? tdw__file_new(files->disk, &kind, O_RDWR | (flags & EFD_NONBLOCK), NULL) : NULL;
    if (!file) {
        free(event);
        return -ENOMEM;
    }
    event->count = value;
    event->semaphore = flags & EFD_SEMAPHORE;
    file->eventfd = event;
    file->number = files->disk->inode_next++;
    tdw__fd_set(files, fd, file, flags & EFD_CLOEXEC);
    return fd;
}
