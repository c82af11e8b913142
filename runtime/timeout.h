/* SPDX-License-Identifier: MIT */
/*
 * What an entry of TIMEOUT, LINK_TIMEOUT and TIMEOUT_REMOVE says, and whether Linux would take it.
 *
 * The simulated kernel runs its time-outs on virtual clocks, the real backends on a heap of their
 * own; both read entries with this.
 */
#ifndef TDW_RUNTIME_TIMEOUT_H
#define TDW_RUNTIME_TIMEOUT_H

#include <errno.h>
#include <tidewheel/ring.h>

enum {
    TDW_TIMEOUT_MULTISHOT = 1 << 6, /* IORING_TIMEOUT_MULTISHOT, Linux 6.4 */
    TDW_TIMEOUT_CLOCKS = IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME,
    TDW_TIMEOUT_UPDATES = IORING_TIMEOUT_UPDATE | IORING_LINK_TIMEOUT_UPDATE,
};

/* Does the op carry its own time (tdw_prep_sleep)? Then it is a sleep, and to wake is no error. */
static inline bool tdw__is_sleep(const struct tdw_op *op)
{
    return op->sqe.addr == (uintptr_t)&op->sqe.addr3;
}

/* Does a number of completions end it, too? */
static inline bool tdw__counts_completions(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_TIMEOUT && op->sqe.off > 0 &&
           !(op->sqe.timeout_flags & TDW_TIMEOUT_MULTISHOT);
}

/* The time at `word`; -EFAULT, -EINVAL. More than a second's worth of ns is taken as it is. */
static inline int tdw__timeout_ns(uint64_t word, uint64_t *ns)
{
    const struct __kernel_timespec *time = (const void *)(uintptr_t)word;

    if (!time)
        return -EFAULT;
    if (time->tv_sec < 0 || time->tv_nsec < 0)
        return -EINVAL;
    *ns = time->tv_sec > INT64_MAX / 1000000000 - 1 || time->tv_nsec > INT64_MAX / 2
              ? INT64_MAX
              : (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
    return 0;
}

/* May it start, and what is its time? */
static inline int tdw__timeout_check(const struct tdw_op *op, uint64_t *ns)
{
    const uint32_t flags = op->sqe.timeout_flags;
    const uint32_t known = IORING_TIMEOUT_ABS | TDW_TIMEOUT_CLOCKS | IORING_TIMEOUT_ETIME_SUCCESS |
                           TDW_TIMEOUT_MULTISHOT;

    if (op->sqe.len != 1 || op->sqe.buf_index || op->sqe.splice_fd_in)
        return -EINVAL;
    if (op->sqe.opcode == IORING_OP_LINK_TIMEOUT && (op->sqe.off || flags & TDW_TIMEOUT_MULTISHOT))
        return -EINVAL;
    if (flags & ~known || (flags & TDW_TIMEOUT_CLOCKS) == TDW_TIMEOUT_CLOCKS)
        return -EINVAL;
    if (flags & TDW_TIMEOUT_MULTISHOT && tdw__is_sleep(op))
        return -EINVAL; /* its time stands where its completions are listed */
    if (flags & TDW_TIMEOUT_MULTISHOT && flags & IORING_TIMEOUT_ABS)
        return -EINVAL;
    return tdw__timeout_ns(op->sqe.addr, ns);
}

/* The same of a TIMEOUT_REMOVE. */
static inline int tdw__timeout_remove_check(const struct tdw_op *op)
{
    const uint32_t flags = op->sqe.timeout_flags;
    uint64_t ns;

    if (op->sqe.flags & (IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT) || op->sqe.buf_index ||
        op->sqe.len || op->sqe.splice_fd_in)
        return -EINVAL;
    if (!(flags & TDW_TIMEOUT_UPDATES))
        return flags ? -EINVAL : 0;
    if (flags & ~(uint32_t)(TDW_TIMEOUT_UPDATES | TDW_TIMEOUT_CLOCKS | IORING_TIMEOUT_ABS) ||
        (flags & TDW_TIMEOUT_CLOCKS) == TDW_TIMEOUT_CLOCKS)
        return -EINVAL;
    return tdw__timeout_ns(op->sqe.off, &ns);
}

#endif
