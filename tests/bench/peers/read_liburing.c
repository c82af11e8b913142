/* SPDX-License-Identifier: MIT */
/*
 * A peer of the bench's file_read_uring: reads through liburing, with nothing between.
 * What a turn's completions made room for is submitted together.
 */
#include "reads.h"
#include "ring.h"

static uint32_t inflight;

static void submit(uint64_t slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    reads.left--;
    io_uring_prep_read(sqe, reads.fd, reads.buffers[slot], READ_BYTES, reads_offset());
    io_uring_sqe_set_data64(sqe, slot);
}

static void completed(const struct io_uring_cqe *cqe)
{
    if (cqe->res != READ_BYTES)
        exit(1);
    if (reads.left > 0)
        submit(cqe->user_data);
    else
        inflight--;
}

static void run(void)
{
    reads_begin();
    for (; inflight < reads.depth && reads.left > 0; inflight++)
        submit(inflight);
    while (inflight > 0)
        ring_turn(completed);
    reads_end();
}

int main(int argc, char **argv)
{
    reads_open(argc, argv);
    ring_open(DEPTH_MAX);
    return reads_serve(run);
}
