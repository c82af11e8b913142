/* SPDX-License-Identifier: MIT */
/*
 * The ring of those peers that use liburing with nothing between, as one writes it today: one
 * thread submits, work for completions is deferred until that thread asks for them, the ring itself
 * is registered, and a turn is one system call, which submits what the last turn filled in and
 * waits for more.
 */
#ifndef TDW_BENCH_RING_H
#define TDW_BENCH_RING_H

#include <liburing.h>
#include <stdlib.h>

static struct io_uring ring;

static inline void ring_open(unsigned entries)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_COOP_TASKRUN |
                                              IORING_SETUP_DEFER_TASKRUN};

    if (io_uring_queue_init_params(entries, &ring, &params) < 0)
        exit(1);
    io_uring_register_ring_fd(&ring);
}

static inline void ring_turn(void (*completed)(const struct io_uring_cqe *cqe))
{
    const struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_submit_and_wait(&ring, 1);
    io_uring_for_each_cqe(&ring, head, cqe)
    {
        count++;
        completed(cqe);
    }
    io_uring_cq_advance(&ring, count);
}

#endif
