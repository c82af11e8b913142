/* SPDX-License-Identifier: MIT */
/*
 * cat FILE…, over liburing: batches of reads, then their writes in one chain.
 *
 * An ordinary liburing program: there is nothing of tidewheel in it. Built as it is, it runs on the
 * real kernel; with `-include tidewheel/liburing.h`, on the simulated one (Makefile).
 *
 * Up to DEPTH blocks are read at once, in any order; they are written by linked entries, since
 * standard output has no offsets. A short write breaks the chain, and what is left is written
 * again.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 8, BLOCK_BYTES = 4096 };

static char blocks[DEPTH][BLOCK_BYTES];
static int filled[DEPTH];

static int fail(const char *what, int error)
{
    fprintf(stderr, "cat: %s: %s\n", what, strerror(-error));
    return 1;
}

/* Wait for `count` completions; each says how much its block holds. The first error, or 0. */
static int collect(struct io_uring *ring, int count)
{
    struct io_uring_cqe *cqe;
    int error = 0;

    while (count-- > 0) {
        const int ret = io_uring_wait_cqe(ring, &cqe);

        if (ret < 0)
            return ret;
        if (cqe->res < 0 && !error)
            error = cqe->res;
        filled[cqe->user_data] = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
    return error;
}

/* Read up to DEPTH blocks from `offset` on: how many, or an error. */
static int read_batch(struct io_uring *ring, int fd, off_t offset, off_t size)
{
    int count = 0, error;

    for (; count < DEPTH && offset + (off_t)count * BLOCK_BYTES < size; count++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

        io_uring_prep_read(sqe, fd, blocks[count], BLOCK_BYTES,
                           (__u64)(offset + (off_t)count * BLOCK_BYTES));
        sqe->user_data = (__u64)count;
    }
    io_uring_submit(ring);
    error = collect(ring, count);
    return error ? error : count;
}

/* Write the blocks in order: 0 or an error. */
static int write_batch(struct io_uring *ring, int count)
{
    int done[DEPTH] = {0}, first = 0;

    while (first < count) {
        int queued = 0, bytes[DEPTH];

        memcpy(bytes, filled, sizeof bytes);
        for (int i = first; i < count; i++, queued++) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

            io_uring_prep_write(sqe, STDOUT_FILENO, blocks[i] + done[i],
                                (unsigned)(bytes[i] - done[i]), (__u64)-1);
            sqe->user_data = (__u64)i;
            if (i + 1 < count)
                sqe->flags |= IOSQE_IO_LINK;
        }
        io_uring_submit(ring);
        for (; queued > 0; queued--) {
            struct io_uring_cqe *cqe;
            const int ret = io_uring_wait_cqe(ring, &cqe);

            if (ret < 0)
                return ret;
            if (cqe->res < 0 && cqe->res != -ECANCELED)
                return cqe->res;
            done[cqe->user_data] += cqe->res > 0 ? cqe->res : 0;
            io_uring_cqe_seen(ring, cqe);
        }
        while (first < count && done[first] == bytes[first])
            first++;
    }
    return 0;
}

static int cat(struct io_uring *ring, const char *path)
{
    const int fd = open(path, O_RDONLY);
    struct stat st;
    off_t offset = 0;
    int count = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(path, -errno);
    for (; offset < st.st_size; offset += (off_t)count * BLOCK_BYTES) {
        count = read_batch(ring, fd, offset, st.st_size);
        if (count < 0)
            return fail(path, count);
        const int error = write_batch(ring, count);

        if (error)
            return fail("standard output", error);
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    struct io_uring ring;
    int status = 0, error = io_uring_queue_init(DEPTH, &ring, 0);

    if (error < 0)
        return fail("io_uring", error);
    for (int i = 1; i < argc; i++)
        status |= cat(&ring, argv[i]);
    io_uring_queue_exit(&ring);
    return status;
}
