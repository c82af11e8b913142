/* SPDX-License-Identifier: MIT */
/*
 * A ring of the machine's own kernel, by its three system calls alone, for tests that compare the
 * simulated kernel with it.
 *
 * One entry at a time: real_ring_run submits it and waits for its completion. What has not
 * completed in time is taken to wait for somebody; it is cancelled, and the answer is
 * REAL_BLOCKED. So the time is short only where one expects that. Nothing of liburing's library
 * is used, only its inline functions.
 */
#ifndef TDW_TESTS_REAL_RING_H
#define TDW_TESTS_REAL_RING_H

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    REAL_BLOCKED = -1000000,
    REAL_ENTRIES = 8,
    REAL_RESTART = 512, /* ERESTARTSYS, which a cancelled wait of a worker answers */
};
#define REAL_SHORT_NS 5000000
#define REAL_LONG_NS 2000000000

struct real_ring {
    int fd;
    struct io_uring_params params;
    char *rings;
    struct io_uring_sqe *entries;
};

static inline unsigned *real_ring_word(const struct real_ring *ring, unsigned offset)
{
    return (unsigned *)(void *)(ring->rings + offset);
}

/* 0 or -errno. */
static inline int real_ring_open_as(struct real_ring *ring, uint32_t flags)
{
    memset(ring, 0, sizeof(*ring));
    ring->params.flags = flags;
    ring->fd = (int)syscall(SYS_io_uring_setup, REAL_ENTRIES, &ring->params);
    if (ring->fd < 0)
        return -errno;
    if (!(ring->params.features & IORING_FEAT_SINGLE_MMAP) ||
        !(ring->params.features & IORING_FEAT_EXT_ARG)) {
        close(ring->fd);
        return -ENOSYS;
    }
    ring->rings = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                       IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, REAL_ENTRIES * sizeof(*ring->entries), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
    if (ring->rings == MAP_FAILED || (void *)ring->entries == MAP_FAILED) {
        close(ring->fd);
        return -ENOMEM;
    }
    return 0;
}

static inline int real_ring_open(struct real_ring *ring)
{
    return real_ring_open_as(ring, 0);
}

static inline void real_ring_put(struct real_ring *ring, const struct io_uring_sqe *sqe,
                                 uint64_t user_data)
{
    unsigned *tail = real_ring_word(ring, ring->params.sq_off.tail);
    const unsigned index = *tail & (ring->params.sq_entries - 1);

    ring->entries[index] = *sqe;
    ring->entries[index].user_data = user_data;
    real_ring_word(ring, ring->params.sq_off.array)[index] = index;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

static inline void real_ring_enter(struct real_ring *ring, unsigned count)
{
    syscall(SYS_io_uring_enter, ring->fd, count, 0, 0, NULL, 0);
}

static inline void real_ring_submit(struct real_ring *ring, const struct io_uring_sqe *sqe,
                                    uint64_t user_data)
{
    real_ring_put(ring, sqe, user_data);
    real_ring_enter(ring, 1);
}

static inline bool real_ring_is_empty(const struct real_ring *ring)
{
    return *real_ring_word(ring, ring->params.cq_off.head) ==
           __atomic_load_n(real_ring_word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE);
}

/* The next completion, if one comes in time. */
static inline bool real_ring_reap(struct real_ring *ring, struct io_uring_cqe *cqe, uint64_t ns)
{
    struct __kernel_timespec time = {.tv_sec = (long long)(ns / 1000000000u),
                                     .tv_nsec = (long long)(ns % 1000000000u)};
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&time};
    unsigned *head = real_ring_word(ring, ring->params.cq_off.head);
    const struct io_uring_cqe *cqes = (const void *)(ring->rings + ring->params.cq_off.cqes);

    if (real_ring_is_empty(ring)) {
        long ret;

        do /* work of the ring's own interrupts it: a new worker, say */
            ret = syscall(SYS_io_uring_enter, ring->fd, 0, 1,
                          IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
        while (ret < 0 && errno == EINTR && real_ring_is_empty(ring));
    }
    if (real_ring_is_empty(ring))
        return false;
    *cqe = cqes[*head & (ring->params.cq_entries - 1)];
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return true;
}

static inline int32_t real_ring_run(struct real_ring *ring, const struct io_uring_sqe *sqe,
                                    uint32_t *flags, bool blocks)
{
    struct io_uring_sqe cancel;
    struct io_uring_cqe cqe;
    int32_t res = REAL_BLOCKED;

    real_ring_submit(ring, sqe, 1);
    if (real_ring_reap(ring, &cqe, blocks ? REAL_SHORT_NS : REAL_LONG_NS)) {
        if (flags)
            *flags = cqe.flags;
        return cqe.res;
    }
    io_uring_prep_cancel64(&cancel, 1, 0);
    real_ring_submit(ring, &cancel, 2);
    for (int left = 2; left > 0 && real_ring_reap(ring, &cqe, REAL_LONG_NS); left--)
        if (cqe.user_data == 1 && cqe.res != -ECANCELED && cqe.res != -EINTR &&
            cqe.res != -REAL_RESTART)
            res = cqe.res;
    return res;
}

static inline int real_ring_register(struct real_ring *ring, unsigned what, const void *arg,
                                     unsigned count)
{
    const long res = syscall(SYS_io_uring_register, ring->fd, what, arg, count);

    return res < 0 ? -errno : (int)res;
}

#endif
