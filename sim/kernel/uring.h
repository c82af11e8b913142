/* SPDX-License-Identifier: MIT */
/*
 * The inside of a simulated io_uring (uring.c, uring_register.c): its rings, which are the
 * program's memory, and what becomes of an entry.
 */
#ifndef TDW_URING_INSIDE_H
#define TDW_URING_INSIDE_H

#include <sim/kernel/vfs.h>
#include <tidewheel/uring.h>

struct tdw_overflow;

/* What may be done with a ring (tdw_uring_register_restrictions), once it is enabled. */
struct tdw_uring_limits {
    bool set, on;
    uint8_t flags_allowed, flags_required; /* of entries */
    uint64_t opcodes[4], registers;        /* bits */
};

struct tdw_uring {
    struct {
        unsigned sq_head, sq_tail, sq_mask, sq_entries, flags, dropped;
        unsigned cq_head, cq_tail, cq_mask, cq_entries, cq_flags, overflow;
    } words;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned *array;
    struct tdw_task *task; /* who set it up, submits and waits */
    struct tdw_overflow *overflow, **overflow_tail;
    struct tdw_file *eventfd; /* signalled with each completion, or NULL */
    struct tdw_op timer;      /* of the present wait */
    struct tdw_uring *next;   /* of the process */
    struct tdw_foreign *ops;  /* in flight */
    unsigned wanted;          /* the task waits for so many completions */
    bool timed_out;
    bool timer_late; /* the task waits for the timer, which could not be stopped any more */
    bool leaving, disabled;
    struct tdw_uring_limits limits;
};

/* stable.c: the entry's words point to copies from now on: 0, -ENOMEM. And the copies go. */
int tdw__stable_take(struct tdw_foreign *foreign, struct tdw_memory *memory);
void tdw__stable_put(struct tdw_foreign *foreign, struct tdw_memory *memory);

/* uring_register.c: a descriptor that stands for the ring; may the entry be submitted to it? */
int tdw__uring_fd(void);
void tdw__uring_fd_close(int fd);
bool tdw__uring_may_submit(const struct tdw_uring *uring, const struct io_uring_sqe *sqe);

#endif
