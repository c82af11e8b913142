/* SPDX-License-Identifier: MIT */
/*
 * cp FROM TO, over liburing: a queue of blocks, each read and then written where it was.
 *
 * An ordinary liburing program: there is nothing of tidewheel in it. Built as it is, it runs on the
 * real kernel; with `-include tidewheel/liburing.h`, on the simulated one (Makefile).
 *
 * A block goes round: its read is queued, its completion queues the write of what was read, and
 * that completion frees the block for the next offset. Short transfers go on where they stopped.
 * At the end the copy is synced and read back, and its checksum is printed.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 16, BLOCK_BYTES = 32 * 1024 };

struct block {
    char *bytes;
    off_t offset;
    unsigned length, done; /* of the block; of the present transfer */
    int writing;
};

struct copy {
    struct io_uring ring;
    int from, to;
    off_t size, next; /* the next offset that nobody reads */
    struct block blocks[DEPTH];
    unsigned inflight, transfers;
};

static void queue(struct copy *copy, struct block *block)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&copy->ring);
    char *at = block->bytes + block->done;
    const unsigned left = block->length - block->done;
    const __u64 offset = (__u64)(block->offset + block->done);

    if (block->writing)
        io_uring_prep_write(sqe, copy->to, at, left, offset);
    else
        io_uring_prep_read(sqe, copy->from, at, left, offset);
    io_uring_sqe_set_data(sqe, block);
    copy->inflight++;
    copy->transfers++;
}

/* Give the block the next part of the file, if there is one. */
static void begin(struct copy *copy, struct block *block)
{
    const off_t left = copy->size - copy->next;

    if (left <= 0)
        return;
    block->offset = copy->next;
    block->length = left < BLOCK_BYTES ? (unsigned)left : BLOCK_BYTES;
    block->done = 0;
    block->writing = 0;
    copy->next += block->length;
    queue(copy, block);
}

/* A transfer ended: go on with it, write what was read, or take the next part. */
static int step(struct copy *copy, struct block *block, int res)
{
    if (res < 0)
        return res;
    if (res == 0)
        return -EIO; /* the file became shorter */
    block->done += (unsigned)res;
    if (block->done < block->length) {
        queue(copy, block);
    } else if (!block->writing) {
        block->writing = 1;
        block->done = 0;
        queue(copy, block);
    } else {
        begin(copy, block);
    }
    return 0;
}

static int run(struct copy *copy)
{
    for (int i = 0; i < DEPTH; i++) {
        copy->blocks[i].bytes = malloc(BLOCK_BYTES);
        if (!copy->blocks[i].bytes)
            return -ENOMEM;
        begin(copy, &copy->blocks[i]);
    }
    while (copy->inflight > 0) {
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        int error = io_uring_submit_and_wait(&copy->ring, 1);

        if (error < 0)
            return error;
        error = 0;
        io_uring_for_each_cqe(&copy->ring, head, cqe)
        {
            copy->inflight--;
            seen++;
            if (!error)
                error = step(copy, io_uring_cqe_get_data(cqe), cqe->res);
        }
        io_uring_cq_advance(&copy->ring, seen);
        if (error)
            return error;
    }
    return fsync(copy->to) < 0 ? -errno : 0;
}

/* FNV-1a of what the copy holds. */
static unsigned long long checksum(struct copy *copy)
{
    unsigned long long hash = 0xcbf29ce484222325ull;
    char *buffer = copy->blocks[0].bytes;
    ssize_t bytes;

    for (off_t at = 0; (bytes = pread(copy->to, buffer, BLOCK_BYTES, at)) > 0; at += bytes)
        for (ssize_t i = 0; i < bytes; i++)
            hash = (hash ^ (unsigned char)buffer[i]) * 0x100000001b3ull;
    return hash;
}

int main(int argc, char **argv)
{
    struct copy copy = {.from = -1, .to = -1};
    struct stat st;
    int error;

    if (argc != 3) {
        fprintf(stderr, "usage: cp FROM TO\n");
        return 2;
    }
    copy.from = open(argv[1], O_RDONLY);
    copy.to = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (copy.from < 0 || copy.to < 0 || fstat(copy.from, &st) < 0) {
        fprintf(stderr, "cp: %s\n", strerror(errno));
        return 1;
    }
    copy.size = st.st_size;
    error = io_uring_queue_init(DEPTH, &copy.ring, 0);
    if (!error)
        error = run(&copy);
    if (error) {
        fprintf(stderr, "cp: %s\n", strerror(-error));
        return 1;
    }
    printf("copied %lld bytes, checksum %016llx\n", (long long)copy.size, checksum(&copy));
    for (int i = 0; i < DEPTH; i++)
        free(copy.blocks[i].bytes);
    io_uring_queue_exit(&copy.ring);
    close(copy.from);
    close(copy.to);
    return 0;
}
