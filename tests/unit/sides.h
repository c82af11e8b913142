/* SPDX-License-Identifier: MIT */
/*
 * Two sides that are asked the same: a ring of the machine's own kernel, and a simulated one in a
 * world. For tests that compare the two, entry by entry, also while ops wait.
 *
 * side_submit hands an entry over, and what completed since is in side_reap: a short time later, so
 * that what is on its way over loopback has arrived. Ops are told apart by their number, their
 * user_data on both sides. The test runs in a stackful task of a world, in a child process of its
 * own (sides_in_child): in a network of its own, with nothing open but the ring, so that
 * descriptors and ports are the same numbers on both sides.
 */
#ifndef TDW_TESTS_SIDES_H
#define TDW_TESTS_SIDES_H

#include "real_ring.h"
#include "tests.h"
#include <sim/kernel/vfs.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <tidewheel/register.h>
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>
#include <tidewheel/uring.h>

enum {
    SIDES_FDS = 24,     /* a process's limit of descriptors */
    SIDES_RING_FD = 40, /* where the ring is */
    SIDES_ENTRIES = 64,
    SIDES_SETTLE_NS = 20000000,
};

struct side {
    bool real;
    struct real_ring ring;
    struct io_uring uring;
};

struct side_done {
    uint64_t id;
    int32_t res;
    uint32_t flags;
};

/* -errno on both sides. */
static inline int side_result(int res)
{
    return res < 0 ? -errno : res;
}

#define SIDE_CALL(side, call, ...)                                                                 \
    ((side)->real ? side_result(call(__VA_ARGS__)) : tdw_sys_##call(__VA_ARGS__))

static inline int side_pipe(const struct side *side, int fds[2])
{
    return side->real ? side_result(pipe2(fds, 0)) : tdw_sys_pipe2(fds, 0);
}

static inline int side_eventfd(const struct side *side, unsigned value)
{
    return side->real ? side_result(eventfd(value, 0)) : tdw_sys_eventfd(value, 0);
}

static inline int side_option(const struct side *side, int fd, int level, int name, int value)
{
    return SIDE_CALL(side, setsockopt, fd, level, name, &value, sizeof(value));
}

/* poll(2) that does not wait. */
static inline int side_poll(const struct side *side, struct pollfd *fds, uint32_t count)
{
    return side->real ? side_result(poll(fds, count, 0)) : tdw_ppoll(fds, count, 0);
}

/* epoll_wait(2) that does not wait. */
static inline int side_epoll_wait(const struct side *side, int fd, struct epoll_event *events,
                                  int count)
{
    return side->real ? side_result(epoll_wait(fd, events, count, 0))
                      : tdw_epoll_wait(fd, events, count, 0);
}

static inline void side_put(struct side *side, const struct io_uring_sqe *sqe, uint64_t id)
{
    struct io_uring_sqe *entry;

    if (side->real) {
        real_ring_put(&side->ring, sqe, id);
        return;
    }
    entry = io_uring_get_sqe(&side->uring);
    *entry = *sqe;
    entry->user_data = id;
}

static inline void side_enter(struct side *side, unsigned count)
{
    if (side->real)
        real_ring_enter(&side->ring, count);
    else
        tdw_uring_submit(&side->uring);
}

static inline void side_submit(struct side *side, const struct io_uring_sqe *sqe, uint64_t id)
{
    side_put(side, sqe, id);
    side_enter(side, 1);
}

/* What completed, at most `max`; after `ns` on the simulated side, and on the real one once
 * `expected` are there, or it gave up. */
static inline uint32_t side_reap(struct side *side, struct side_done *done, uint32_t max,
                                 uint32_t expected)
{
    struct io_uring_cqe cqe, *seen;
    uint32_t count = 0;

    if (side->real) {
        while (count < max &&
               real_ring_reap(&side->ring, &cqe, count < expected ? REAL_LONG_NS / 4 : 1))
            done[count++] = (struct side_done){cqe.user_data, cqe.res, cqe.flags};
        return count;
    }
    tdw_sleep(SIDES_SETTLE_NS);
    while (count < max && tdw_uring_peek_cqe(&side->uring, &seen) == 0) {
        done[count++] = (struct side_done){seen->user_data, seen->res, seen->flags};
        io_uring_cqe_seen(&side->uring, seen);
    }
    return count;
}

/* ── A child for the comparison ────────────────────────────────────────────────────────────── */

/* A network of our own, with its loopback up. */
static inline bool sides_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    bool up;
    int fd;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    return up;
}

/* The real side: nothing is open but its ring. */
static inline bool side_open_real(struct side *side)
{
    const struct rlimit fds = {SIDES_FDS, SIDES_FDS};

    side->real = true;
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    if (real_ring_open(&side->ring) < 0 || dup2(side->ring.fd, SIDES_RING_FD) < 0)
        return false;
    close(side->ring.fd);
    side->ring.fd = SIDES_RING_FD;
    return setrlimit(RLIMIT_NOFILE, &fds) == 0;
}

/* The simulated one, from a task of its world. */
static inline bool side_open_sim(struct side *side)
{
    side->real = false;
    for (int fd = 0; fd < 3; fd++)
        tdw_close(fd);
    if (tdw_uring_queue_init(SIDES_ENTRIES, &side->uring, 0) < 0)
        return false;
    tdw_sys_dup2(side->uring.ring_fd, SIDES_RING_FD);
    tdw_close(side->uring.ring_fd);
    side->uring.ring_fd = SIDES_RING_FD;
    tdw__files_limit(tdw__process()->files, SIDES_FDS, SIDES_FDS);
    return true;
}

/* run(arg) as a task of a world in a child; it answers with its exit status, and 77 says that the
 * comparison is not possible here. -1: the child was ended by a signal. */
struct sides_run {
    int (*run)(struct side *sim, struct side *real, void *arg);
    void *arg;
    int status;
    bool compare;
    struct side sim, real;
};

static inline void sides_task(void *arg)
{
    struct sides_run *run = arg;

    if (side_open_sim(&run->sim)) {
        run->status = run->run(&run->sim, run->compare ? &run->real : NULL, run->arg);
        tdw_uring_queue_exit(&run->sim.uring);
    }
}

static inline void sides_main(void *arg)
{
    tdw_spawn_stackful("test", sides_task, arg);
}

/* `dir`: where the real side works, or NULL. */
static inline int sides_in_child(int (*run)(struct side *, struct side *, void *), void *arg,
                                 const char *dir)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM, .stack_bytes = 1 << 18};
    static struct sides_run child;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGPIPE, SIG_IGN);
        signal(SIGSEGV, SIG_DFL); /* cmocka's would go on in the parent's code */
        signal(SIGABRT, SIG_DFL);
        alarm(60);
        child = (struct sides_run){.run = run, .arg = arg, .status = 77, .compare = true};
        if ((dir && chdir(dir) < 0) || !sides_network() || !side_open_real(&child.real))
            _exit(77);
        tdw_test_run(&calm, sides_main, &child, NULL);
        _exit(child.status);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 77;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The same without a real side, which is NULL, and without a child. */
static inline int sides_alone(int (*run)(struct side *, struct side *, void *), void *arg)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM, .stack_bytes = 1 << 18};
    struct sides_run alone = {.run = run, .arg = arg, .status = 77};

    tdw_test_run(&calm, sides_main, &alone, NULL);
    return alone.status;
}

#endif
