/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and workers of the real backends: an op in flight keeps its file, though its entry,
 * or a thread, has only a number; closes that come at a bad time; waits are stopped, alone and by
 * kinds of cancellation; files do not cost a thread each.
 */
#include "backends.h"
#include <dirent.h>
#include <runtime/runtime.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <tidewheel/register.h>
#include <time.h>

int tests_workers(void);

/* ── Numbers that become another file's ────────────────────────────────────────────────────── */

static void closes_at_once(void *unused)
{
    (void)unused;
    seen[0] = seen[1] = seen[2] = 0;
    for (int i = 0; i < 200; i++) {
        const int fd = open("one", O_RDWR | O_CREAT | O_TRUNC, 0644);
        struct tdw_op write = {.res = 0}, close_op = {.res = 0};
        int other;

        TDW_GO(&write, pwrite, fd, "AAAA", 4, 0);
        TDW_GO(&close_op, close, fd);
        other = open("other", O_RDWR | O_CREAT | O_TRUNC, 0644);
        seen[0] += tdw_await(&write) == 4;
        seen[1] += tdw_await(&close_op) == 0;
        seen[2] += lseek(other, 0, SEEK_END);
        close(other);
    }
}

static void closes_at_once_judge(void)
{
    SAW(200, 200, 0);
}

static void a_write_in_flight_goes_to_its_file(void **state)
{
    (void)state;
    each(closes_at_once, closes_at_once_judge);
}

/* A lock that is waited for on `fd`, whose number becomes another file's: by close, or by dup2. */
static void lock_moves(bool by_dup2, uint64_t pause_ns, int64_t *saw)
{
    const int held = tdw_open("lock", O_RDWR | O_CREAT, 0644);
    const int fd = tdw_open("lock", O_RDWR, 0);
    struct tdw_op lock = {.res = 0};
    int other, probe;

    tdw_flock(held, LOCK_EX);
    other = by_dup2 ? tdw_open("other", O_RDWR | O_CREAT, 0644) : -1;
    TDW_GO(&lock, flock, fd, LOCK_EX);
    if (pause_ns > 0)
        tdw_sleep(pause_ns);
    if (by_dup2) {
        saw[0] = tdw_sys_dup2(other, fd) == fd;
        tdw_close(other);
    } else {
        saw[0] = tdw_close(fd) == 0;
        saw[0] &= tdw_open("other", O_RDWR | O_CREAT, 0644) == fd;
    }
    tdw_close(held);
    saw[1] = tdw_await(&lock);
    probe = tdw_open("other", O_RDWR, 0);
    saw[2] = tdw_sys_flock(probe, LOCK_EX | LOCK_NB); /* nobody has locked that one */
    tdw_close(probe);
    probe = tdw_open("lock", O_RDWR, 0);
    saw[3] = tdw_sys_flock(probe, LOCK_EX | LOCK_NB); /* nor has the op left its file open */
    tdw_close(probe);
    tdw_close(fd);
}

static void lock_numbers(void *unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++)
        lock_moves(i & 1, i & 2 ? 3 * MS : 0, seen + 4 * (size_t)i);
}

static void lock_numbers_judge(void)
{
    SAW(true, 0, 0, 0, true, 0, 0, 0, true, 0, 0, 0, true, 0, 0, 0);
}

static void a_wait_in_flight_is_for_its_file(void **state)
{
    (void)state;
    everywhere(lock_numbers, lock_numbers_judge);
}

static void closes_twice(void *unused)
{
    const int held = tdw_open("lock", O_RDWR | O_CREAT, 0644);
    const int fd = tdw_open("lock", O_RDWR, 0);
    struct tdw_op lock = {.res = 0}, closes[2] = {{.res = 0}};
    int results[2];

    (void)unused;
    tdw_flock(held, LOCK_EX);
    TDW_GO(&lock, flock, fd, LOCK_EX);
    tdw_sleep(3 * MS);
    for (int i = 0; i < 2; i++)
        TDW_GO(&closes[i], close, fd);
    for (int i = 0; i < 2; i++)
        results[i] = tdw_await(&closes[i]);
    seen[0] = results[0] + results[1];
    tdw_close(held);
    seen[1] = tdw_await(&lock);
}

static void closes_twice_judge(void)
{
    SAW(-EBADF, 0);
}

static void a_number_is_closed_once(void **state)
{
    (void)state;
    everywhere(closes_twice, closes_twice_judge);
}

static void splices(void *unused)
{
    const int file = tdw_open("spliced", O_RDWR | O_CREAT, 0644);
    struct tdw_op splice = {.res = 0};
    int from[2], other[2];
    char got[8] = "";

    (void)unused;
    tdw_sys_pipe2(from, 0);
    TDW_GO(&splice, splice, from[0], -1, file, 0, 4, 0);
    tdw_sleep(3 * MS);
    tdw_close(from[0]);
    tdw_sys_pipe2(other, 0);
    seen[0] = other[0] == from[0];
    tdw_write(other[1], "bad", 3);
    tdw_write(from[1], "good", 4);
    seen[1] = tdw_await(&splice);
    seen[2] = tdw_pread(file, got, 8, 0);
    seen[3] = memcmp(got, "good", 4);
    for (int i = 0; i < 2; i++)
        tdw_close(other[i]);
    tdw_close(from[1]);
    tdw_close(file);
}

static void splices_judge(void)
{
    SAW(true, 4, 4, 0);
}

static void both_files_of_a_splice_are_kept(void **state)
{
    (void)state;
    everywhere(splices, splices_judge);
}

/* ── What was submitted before ─────────────────────────────────────────────────────────────── */

static int new_file(const char *name)
{
    return open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static int64_t size_of(int fd)
{
    return lseek(fd, 0, SEEK_END);
}

/* The number, or the slot, becomes another file's between the submission and the next turn. */
static void numbers_change(void *unused)
{
    struct tdw_op write = {.res = 0}, lock = {.res = 0}, close_op = {.res = 0};
    int fd = new_file("old"), other = new_file("new"), held;

    (void)unused;
    TDW_GO(&write, pwrite, fd, "AAAA", 4, 0);
    seen[0] = tdw_sys_dup2(other, fd) == fd;
    seen[1] = tdw_await(&write);
    tdw_close(fd);
    fd = open("old", O_RDWR | O_CLOEXEC);
    seen[2] = size_of(fd);
    seen[3] = size_of(other);

    tdw_ring_register_files(&fd, 1);
    tdw_prep_pwrite(&write, 0, "AAAA", 4, 4);
    write.sqe.flags |= IOSQE_FIXED_FILE;
    write.done = tdw__go_done;
    tdw_submit(&write);
    seen[4] = tdw_ring_register_files_update(0, &other, 1);
    seen[5] = tdw_await(&write);
    seen[6] = size_of(fd);
    seen[7] = size_of(other);
    tdw_ring_unregister_files();

    /* A close that a worker does comes after what was submitted before it. */
    held = open("old", O_RDWR | O_CLOEXEC);
    flock(held, LOCK_EX);
    TDW_GO(&lock, flock, fd, LOCK_EX);
    tdw_sleep(3 * MS);
    TDW_GO(&write, pwrite, fd, "AAAA", 4, 8);
    TDW_GO(&close_op, close, fd);
    seen[8] = tdw_await(&write);
    seen[9] = tdw_await(&close_op);
    close(held);
    seen[10] = tdw_await(&lock);
    tdw_close(other);
}

static void numbers_change_judge(void)
{
    SAW(true, 4, 4, 0, 1, 4, 8, 0, 4, 0, 0);
}

static void what_was_submitted_before_is_about_the_file_before(void **state)
{
    (void)state;
    each(numbers_change, numbers_change_judge);
}

/* What the kernel hands to threads of its own looks its number up there. */
static void is_done_later(void *unused)
{
    (void)unused;
    for (int i = 0; i < 8; i++)
        seen[i] = 0;
    for (int i = 0; i < 30; i++) {
        struct tdw_op ops[3] = {{.res = 0}};
        int fd = new_file("old"), other;

        TDW_GO(&ops[0], fallocate, fd, 0, 0, 4096);
        TDW_GO(&ops[1], fsync, fd);
        TDW_GO(&ops[2], close, fd);
        other = new_file("new");
        for (int j = 0; j < 3; j++)
            seen[j] += tdw_await(&ops[j]) == 0;
        seen[3] += size_of(other);
        tdw_close(other);

        fd = new_file("old");
        other = new_file("new");
        tdw_prep_pwrite(&ops[0], fd, "AAAA", 4, 0);
        ops[0].sqe.flags |= IOSQE_ASYNC;
        ops[0].done = tdw__go_done;
        tdw_submit(&ops[0]);
        TDW_GO(&ops[1], fallocate, fd, 0, 0, 4096);
        seen[4] += tdw_sys_dup2(other, fd) == fd;
        seen[5] += tdw_await(&ops[0]) == 4;
        seen[6] += tdw_await(&ops[1]) == 0;
        seen[7] += size_of(other);
        tdw_close(fd);
        tdw_close(other);
    }
}

static void is_done_later_judge(void)
{
    SAW(30, 30, 30, 0, 30, 30, 30, 0);
}

static void what_is_done_later_is_done_to_its_file(void **state)
{
    (void)state;
    each(is_done_later, is_done_later_judge);
    options = (struct tdw_loop_options){.backend = TDW_BACKEND_URING, .sqpoll = true};
    assert_int_equal(on_real(is_done_later), 0);
    is_done_later_judge();
}

/* Closed, and another file's, again and again, while workers are at it. */
static void reuses_numbers(void *unused)
{
    (void)unused;
    seen[0] = seen[1] = 0;
    for (int i = 0; i < 60; i++) {
        const int held = new_file("lock"), fd = open("lock", O_RDWR | O_CLOEXEC);
        struct tdw_op lock = {.res = 0}, closes[2] = {{.res = 0}};
        int other;

        flock(held, LOCK_EX);
        TDW_GO(&lock, flock, fd, LOCK_EX);
        if (i & 1)
            tdw_sleep(MS / 4);
        TDW_GO(&closes[0], close, fd);
        while (fcntl(fd, F_GETFD) >= 0)
            tdw_yield();
        other = new_file("other");
        seen[0] += other == fd;
        TDW_GO(&closes[1], close, other); /* before the first is known to be done */
        seen[1] += tdw_await(&closes[1]) == 0 && tdw_await(&closes[0]) == 0;
        close(held);
        tdw_await(&lock);
    }
}

static void reuses_numbers_judge(void)
{
    SAW(60, 60);
}

static void a_new_file_is_closed_though_its_number_was_just_closed(void **state)
{
    (void)state;
    each(reuses_numbers, reuses_numbers_judge);
}

/* ── Closes that come at a bad time ────────────────────────────────────────────────────────── */

/* Close `fd` by the verb while no other can be opened; `other` is open, and behind it. */
static int close_without_room(int fd, int other)
{
    struct rlimit limit, less;
    int filled[64], count = 0, res;

    getrlimit(RLIMIT_NOFILE, &limit);
    less = limit;
    less.rlim_cur = (rlim_t)other + 8;
    setrlimit(RLIMIT_NOFILE, &less);
    while (count < 64 && (filled[count] = dup(other)) >= 0)
        count++;
    res = tdw_close(fd);
    setrlimit(RLIMIT_NOFILE, &limit);
    while (count > 0)
        close(filled[--count]);
    return res;
}

/* No descriptor is left for a duplicate: on epoll the op that waits ends, and nothing else does. */
static void closes_at_the_limit(void *unused)
{
    struct tdw_op receive = {.res = 0};
    int fds[2];
    char byte;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    TDW_GO(&receive, recv, fds[0], &byte, 1, 0);
    tdw_sleep(2 * MS);
    seen[0] = close_without_room(fds[0], fds[1]);
    if (options.backend == TDW_BACKEND_URING)
        tdw_send(fds[1], "x", 1, 0);
    seen[1] = tdw_await(&receive);
    tdw_close(fds[1]);
}

static void closes_at_the_limit_judge(void)
{
    SAW(0, options.backend == TDW_BACKEND_EPOLL ? -EMFILE : 1);
}

static void a_close_without_a_descriptor_left_ends_what_waits(void **state)
{
    (void)state;
    each(closes_at_the_limit, closes_at_the_limit_judge);
}

/* … and what it has moved so far is told. */
static void ends_in_the_middle(void *unused)
{
    struct tdw_op receive = {.res = 0};
    int fds[2];
    char bytes[10];

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    TDW_GO(&receive, recv, fds[0], bytes, 10, MSG_WAITALL);
    tdw_send(fds[1], "012345", 6, 0);
    tdw_sleep(2 * MS);
    seen[0] = close_without_room(fds[0], fds[1]);
    tdw_close(fds[1]);
    seen[1] = tdw_await(&receive);
}

static void ends_in_the_middle_judge(void)
{
    SAW(0, 6);
}

static void what_was_received_before_the_end_is_told(void **state)
{
    (void)state;
    each(ends_in_the_middle, ends_in_the_middle_judge);
}

/* A plain close, and then the verb. */
static void closes_again(void *unused)
{
    struct tdw_op receive = {.res = 0};
    int fds[2];
    char byte;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    TDW_GO(&receive, recv, fds[0], &byte, 1, 0);
    tdw_sleep(2 * MS);
    close(fds[0]);
    seen[0] = tdw_close(fds[0]);
    tdw_cancel(&receive);
    seen[1] = tdw_await(&receive);
    tdw_close(fds[1]);
}

static void closes_again_judge(void)
{
    SAW(-EBADF, options.backend == TDW_BACKEND_EPOLL ? -EBADF : -ECANCELED);
}

static void a_close_of_what_is_closed_is_refused(void **state)
{
    (void)state;
    each(closes_again, closes_again_judge);
}

static int stopping_fd;
static int64_t stopping_saw[2];

static void closes_when_stopped(void *unused)
{
    (void)unused;
    tdw_sleep(3600000 * MS);
    stopping_saw[0] = tdw_close(stopping_fd);
    stopping_saw[1] = fcntl(stopping_fd, F_GETFD);
}

/* Neither the stop of a task nor a cancellation of all on the descriptor leaves it open; and what
 * has another's number is not cancelled with it. */
static void stops_and_closes(void *unused)
{
    struct tdw_op lock = {.res = 0}, close_op = {.res = 0};
    int fd = new_file("lock"), held = open("lock", O_RDWR | O_CLOEXEC), other;
    struct tdw_task *task;

    (void)unused;
    flock(held, LOCK_EX);
    TDW_GO(&lock, flock, fd, LOCK_EX);
    tdw_sleep(2 * MS);
    stopping_fd = fd;
    task = tdw_spawn_stackful("closes", closes_when_stopped, NULL);
    tdw_sleep(2 * MS);
    tdw_stop(task);
    tdw_join(task);
    seen[0] = stopping_saw[0];
    seen[1] = stopping_saw[1];

    other = new_file("other");
    seen[2] = other == fd;
    seen[3] = tdw_cancel_fd(other); /* the lock is the old file's */
    TDW_GO(&close_op, close, other);
    tdw_cancel(&close_op);
    seen[4] = tdw_await(&close_op);
    close(held);
    seen[5] = tdw_await(&lock);
}

static void stops_and_closes_judge(void)
{
    SAW(0, -1, true, 0, 0, 0);
}

static void a_close_is_not_cancelled(void **state)
{
    (void)state;
    each(stops_and_closes, stops_and_closes_judge);
}

static struct tdw_op late_ops[3];
static int late_fds[4];

/* Nothing starts when the loop is being closed, though its timer is due. */
static void leaves_a_chain(void *unused)
{
    static const struct __kernel_timespec soon = {.tv_nsec = 5000000};
    static char byte;

    (void)unused;
    late_fds[0] = new_file("lock");
    late_fds[1] = open("lock", O_RDWR | O_CLOEXEC);
    memset(late_ops, 0, sizeof late_ops);
    tdw_daemon(tdw_self());
    flock(late_fds[0], LOCK_EX);
    tdw_prep_timeout(&late_ops[0], &soon, IORING_TIMEOUT_ETIME_SUCCESS);
    late_ops[0].sqe.flags |= IOSQE_IO_LINK;
    late_ops[0].done = tdw__go_done;
    tdw_submit(&late_ops[0]);
    TDW_GO(&late_ops[1], flock, late_fds[1], LOCK_EX);
    tdw_sys_pipe2(late_fds + 2, O_CLOEXEC);
    TDW_GO(&late_ops[2], read, late_fds[2], &byte, 1);
    tdw_sleep(3600000 * MS);
}

static int threads(void);

static void nothing_starts_while_a_loop_is_closed(void **state)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    (void)state;
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        const int before = threads();
        struct tdw_loop *loop;

        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        assert_int_equal(tdw_loop_open(&loop, &options), 0);
        body_to_run = leaves_a_chain;
        tdw_loop_start(loop, body_main, NULL);
        tdw_loop_wait(loop, 2 * MS);
        nanosleep(&pause, NULL);
        tdw_loop_close(loop);
        assert_int_equal(threads(), before);
        for (int i = 0; i < 4; i++)
            close(late_fds[i]);
    }
}

static int slot_ends[2];

static void leaves_a_slot(void *unused)
{
    static struct tdw_op receive;
    static char byte;

    (void)unused;
    memset(&receive, 0, sizeof receive);
    tdw_daemon(tdw_self());
    tdw_ring_register_files(slot_ends, 1);
    tdw_prep_recv(&receive, 0, &byte, 1, 0);
    receive.sqe.flags |= IOSQE_FIXED_FILE;
    receive.done = tdw__go_done;
    tdw_submit(&receive);
    close(slot_ends[0]);
    tdw_await(&receive);
}

/* The kernel's ring gives its files back a moment later. */
static void a_closed_loop_leaves_no_file_open(void **state)
{
    (void)state;
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        struct tdw_loop *loop;
        struct pollfd end;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, slot_ends), 0);
        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        assert_int_equal(tdw_loop_open(&loop, &options), 0);
        body_to_run = leaves_a_slot;
        tdw_loop_start(loop, body_main, NULL);
        tdw_loop_wait(loop, 5 * MS);
        tdw_loop_close(loop);
        end = (struct pollfd){.fd = slot_ends[1], .events = POLLIN};
        assert_int_equal(poll(&end, 1, 5000), 1);
        assert_true(end.revents & POLLHUP);
        close(slot_ends[1]);
    }
}

/* ── Stopped ───────────────────────────────────────────────────────────────────────────────── */

static void stops(void *unused)
{
    const int held = tdw_open("lock", O_RDWR | O_CREAT, 0644);
    struct tdw_op locks[2] = {{.res = 0}}, limit = {.res = 0}, alls[2] = {{.res = 0}};
    struct pollfd polled[2];
    struct tdw_op polls[2] = {{.res = 0}}, read = {.res = 0};
    int fds[2], pipe[2];
    char byte;

    (void)unused;
    tdw_sys_pipe2(pipe, 0);
    for (int i = 0; i < 2; i++)
        fds[i] = tdw_open("lock", O_RDWR, 0);
    tdw_flock(held, LOCK_EX);
    TDW_GO_LINKED(&locks[0], flock, fds[0], LOCK_EX);
    TDW_GO(&limit, link_timeout, 5 * MS);
    seen[0] = tdw_await(&locks[0]);
    seen[1] = tdw_await(&limit);

    for (int i = 0; i < 2; i++)
        TDW_GO(&locks[i], flock, fds[i], LOCK_EX);
    tdw_sleep(3 * MS);
    seen[2] = tdw_cancel_fd(fds[0]);
    seen[3] = tdw_await(&locks[0]);
    seen[4] = tdw_cancel(&locks[1]);
    seen[5] = tdw_await(&locks[1]);

    for (int i = 0; i < 2; i++) {
        polled[i] = (struct pollfd){.fd = pipe[0], .events = POLLIN};
        TDW_GO(&polls[i], ppoll, &polled[i], 1, UINT64_MAX);
    }
    TDW_GO(&read, read, pipe[0], &byte, 1);
    tdw_sleep(3 * MS);
    seen[6] = tdw_cancel_all();
    seen[7] = tdw_await(&polls[0]);
    seen[8] = tdw_await(&polls[1]);
    seen[9] = tdw_await(&read);

    /* Two cancellations of everything do not wait for each other. */
    TDW_GO(&read, read, pipe[0], &byte, 1);
    tdw_sleep(1 * MS);
    for (int i = 0; i < 2; i++)
        TDW_GO(&alls[i], cancel_all);
    seen[10] = tdw_await(&alls[1]) >= 0;
    seen[11] = tdw_await(&alls[0]) >= 0;
    seen[12] = tdw_await(&read);
    for (int i = 0; i < 2; i++) {
        tdw_close(pipe[i]);
        tdw_close(fds[i]);
    }
    tdw_close(held);
}

static void stops_judge(void)
{
    SAW(-ECANCELED, -ETIME, 1, -ECANCELED, 0, -ECANCELED, 3, -ECANCELED, -ECANCELED, -ECANCELED,
        true, true, -ECANCELED);
}

static void a_workers_op_is_cancelled_like_any_other(void **state)
{
    (void)state;
    everywhere(stops, stops_judge);
}

/* What a task waits for ends when it is told to stop: that is not asked to end, nor counted, again.
 */
static struct tdw_op stopped_read;
static int stopped_fd;

static void stopped_task(void *unused)
{
    static char byte;

    (void)unused;
    TDW_GO(&stopped_read, read, stopped_fd, &byte, 1);
    seen[0] = tdw_sleep(3600000 * MS);
    seen[1] = tdw_cancel_all();
    seen[2] = tdw_await(&stopped_read);
}

static void stopped(void *unused)
{
    struct tdw_task *task;
    int fds[2];

    (void)unused;
    memset(&stopped_read, 0, sizeof stopped_read);
    tdw_sys_pipe2(fds, 0);
    stopped_fd = fds[0];
    task = tdw_spawn_stackful("stopped", stopped_task, NULL);
    tdw_sleep(2 * MS);
    tdw_stop(task);
    seen[3] = tdw_sleep(3600000 * MS);
    tdw_join(task);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void stopped_judge(void)
{
    SAW(-ECANCELED, 1, -ECANCELED, -ECANCELED);
}

static void a_stopped_task_may_cancel_too(void **state)
{
    (void)state;
    everywhere(stopped, stopped_judge);
}

/* Two cancellations of one each find one each. */
static void cancels_one(void *unused)
{
    const int fd = new_file("lock"), held = open("lock", O_RDWR | O_CLOEXEC);
    struct tdw_op locks[2] = {{.res = 0}}, cancels[2] = {{.res = 0}};

    (void)unused;
    flock(held, LOCK_EX);
    for (int by = 0; by < 2; by++) {
        for (int i = 0; i < 2; i++)
            TDW_GO(&locks[i], flock, fd, LOCK_EX);
        tdw_sleep(2 * MS);
        for (int i = 0; i < 2; i++) {
            tdw_prep_cancel_fd(&cancels[i], fd);
            cancels[i].sqe.cancel_flags = by ? IORING_ASYNC_CANCEL_FD : IORING_ASYNC_CANCEL_ANY;
            cancels[i].done = tdw__go_done;
            tdw_submit(&cancels[i]);
        }
        for (int i = 0; i < 2; i++)
            seen[4 * by + i] = tdw_await(&cancels[i]);
        for (int i = 0; i < 2; i++)
            seen[4 * by + 2 + i] = tdw_await(&locks[i]);
    }
    close(held);
    tdw_close(fd);
}

static void cancels_one_judge(void)
{
    SAW(0, 0, -ECANCELED, -ECANCELED, 0, 0, -ECANCELED, -ECANCELED);
}

static void each_cancellation_finds_another(void **state)
{
    (void)state;
    each(cancels_one, cancels_one_judge);
}

/* A deadline and a stop in one turn: one of the two is the answer. */
static int64_t at_once;

static void waits_within(void *fd)
{
    const int res = TDW_DO_WITHIN(5 * MS, flock, *(int *)fd, LOCK_EX);

    at_once += res == -ETIME || res == -ECANCELED;
}

static void stops_at_the_deadline(void *unused)
{
    int fd = new_file("lock"), held = open("lock", O_RDWR | O_CLOEXEC);
    const struct timespec pause = {.tv_nsec = 3000000};

    (void)unused;
    at_once = 0;
    flock(held, LOCK_EX);
    for (int i = 0; i < 20; i++) {
        struct tdw_task *task = tdw_spawn_stackful("waits", waits_within, &fd);

        tdw_sleep(3 * MS);
        nanosleep(&pause, NULL); /* its deadline passes, and nobody looks */
        tdw_stop(task);
        tdw_join(task);
    }
    seen[0] = at_once;
    close(held);
    tdw_close(fd);
}

static void stops_at_the_deadline_judge(void)
{
    SAW(20);
}

static void a_stop_at_a_deadline_is_one_of_the_two(void **state)
{
    (void)state;
    each(stops_at_the_deadline, stops_at_the_deadline_judge);
}

static void moves_a_wait(void *unused)
{
    const int epfd = tdw_sys_epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;
    struct tdw_op wait = {.res = 0}, later = {.res = 0};

    (void)unused;
    TDW_GO(&wait, epoll_wait, epfd, &event, 1, 300 * MS);
    TDW_GO(&later, sleep, 500 * MS); /* by then it would not have ended if it had begun anew */
    tdw_sleep(250 * MS);
    seen[0] = tdw_close(epfd);
    seen[1] = tdw_await(&later);
    seen[2] = tdw_op_idle(&wait);
    seen[3] = tdw_await(&wait);
}

static void moves_a_wait_judge(void)
{
    SAW(0, 0, true, 0);
}

static void a_wait_that_is_moved_ends_in_time(void **state)
{
    (void)state;
    everywhere(moves_a_wait, moves_a_wait_judge);
}

/* Opening a FIFO waits for its other end, and no file waits for that. */
static void opens_fifos(void *unused)
{
    struct tdw_op opens[8] = {{.res = 0}};
    int fd, ends[8];

    (void)unused;
    for (int i = 0; i < 8; i++) {
        char name[8];

        snprintf(name, sizeof name, "fifo%d", i);
        tdw_sys_mknod(name, S_IFIFO | 0644, 0);
        tdw_prep_open(&opens[i], i ? strdup(name) : "fifo0", O_RDONLY, 0);
        opens[i].done = tdw__go_done;
        tdw_submit(&opens[i]);
    }
    tdw_sleep(2 * MS);
    fd = tdw_open("file", O_RDWR | O_CREAT, 0644);
    seen[0] = fd >= 0;
    seen[1] = tdw_fsync(fd);
    seen[2] = 0;
    tdw_cancel(&opens[7]);
    seen[2] = tdw_await(&opens[7]);
    seen[3] = 0;
    for (int i = 0; i < 7; i++) {
        ends[i] = open((const char *)(uintptr_t)opens[i].sqe.addr, O_WRONLY | O_NONBLOCK);
        const int end = tdw_await(&opens[i]);

        seen[3] += ends[i] >= 0 && end >= 0;
        close(ends[i]);
        tdw_close(end);
    }
    tdw_close(fd);
    for (int i = 1; i < 8; i++)
        free((void *)(uintptr_t)opens[i].sqe.addr);
}

/* io_uring tries O_NONBLOCK first, which a FIFO's reader never waits with. */
static void opens_fifos_judge(void)
{
    if (options.backend == TDW_BACKEND_EPOLL)
        assert_int_equal(seen[2], -ECANCELED);
    seen[2] = 0;
    SAW(true, 0, 0, 7);
}

/* Both ends at once, whichever thread is idle; and opens that nobody wants any more. */
static void opens_both_ends(void *unused)
{
    const int held = new_file("lock"), fd = open("lock", O_RDWR | O_CLOEXEC);
    struct tdw_op lock = {.res = 0}, ends[2] = {{.res = 0}};

    (void)unused;
    tdw_sys_mknod("both", S_IFIFO | 0644, 0);
    flock(held, LOCK_EX);
    TDW_GO(&lock, flock, fd, LOCK_EX); /* so that there is a thread that is idle afterwards */
    tdw_sleep(1 * MS);
    flock(held, LOCK_UN);
    tdw_await(&lock);
    seen[0] = seen[1] = 0;
    for (int i = 0; i < 20; i++) {
        TDW_GO(&ends[0], open, "both", O_RDONLY, 0);
        TDW_GO(&ends[1], open, "both", O_WRONLY, 0);
        for (int j = 0; j < 2; j++) {
            const int end = tdw_await(&ends[j]);

            seen[0] += end >= 0;
            tdw_close(end);
        }
        TDW_GO(&ends[1], open, "both", O_WRONLY, 0);
        tdw_cancel(&ends[1]);
        seen[1] += tdw_await(&ends[1]) < 0;
    }
    tdw_close(fd);
    close(held);
}

static void opens_both_ends_judge(void)
{
    SAW(40, 20);
}

static void both_ends_of_a_fifo_find_each_other(void **state)
{
    (void)state;
    each(opens_both_ends, opens_both_ends_judge);
}

static struct tdw_op slot_open;

static void opens_into_a_slot(void *unused)
{
    (void)unused;
    memset(&slot_open, 0, sizeof slot_open);
    tdw_sys_mknod("slot", S_IFIFO | 0644, 0);
    tdw_ring_register_files_sparse(2);
    TDW_GO(&slot_open, open_direct, "slot", O_WRONLY, 0, 0);
    seen[0] = tdw_sleep(2 * MS); /* the loop goes on */
    tdw_cancel(&slot_open);
    seen[1] = tdw_await(&slot_open) < 0;
    TDW_GO(&slot_open, open_direct, "file", O_RDWR | O_CREAT, 0644, 1);
    seen[2] = tdw_await(&slot_open);
    tdw_prep_pwrite(&slot_open, 1, "x", 1, 0);
    slot_open.sqe.flags |= IOSQE_FIXED_FILE;
    slot_open.done = tdw__go_done;
    tdw_submit(&slot_open);
    seen[3] = tdw_await(&slot_open);
    tdw_ring_unregister_files();
}

static void opens_into_a_slot_judge(void)
{
    SAW(0, true, 0, 1);
}

static void an_open_into_a_slot_may_wait_too(void **state)
{
    (void)state;
    each(opens_into_a_slot, opens_into_a_slot_judge);
}

static void leaves_an_open(void *unused)
{
    static struct tdw_op left;

    (void)unused;
    memset(&left, 0, sizeof left);
    tdw_daemon(tdw_self());
    TDW_GO(&left, open, "left", O_RDONLY, 0);
    tdw_await(&left);
}

/* At any moment of the way to the thread that opens. */
static void a_loop_closes_while_a_fifo_is_opened(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("left", 0644), 0);
    for (uint64_t i = 0; i < 300; i++) {
        struct tdw_loop *loop;
        uint64_t end;

        options = (struct tdw_loop_options){.backend = TDW_BACKEND_EPOLL};
        assert_int_equal(tdw_loop_open(&loop, &options), 0);
        body_to_run = leaves_an_open;
        tdw_loop_start(loop, body_main, NULL);
        tdw_loop_wait(loop, 1000);
        end = loop->now_ns + i % 150 * 1000;
        while (loop->now_ns < end)
            loop->backend->clock(loop);
        tdw_loop_close(loop); /* and does not hang */
    }
}

static void files_do_not_wait_for_fifos(void **state)
{
    (void)state;
    each(opens_fifos, opens_fifos_judge);
}

/* ── Threads ───────────────────────────────────────────────────────────────────────────────── */

static int threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static void many_writes(void *unused)
{
    enum { COUNT = 300, BYTES = 32768 };
    static struct tdw_op ops[COUNT];
    static char bytes[BYTES];
    const int fd = tdw_open("many", O_RDWR | O_CREAT, 0644);
    const int before = threads();

    (void)unused;
    memset(ops, 0, sizeof ops);
    seen[0] = 0;
    for (int i = 0; i < COUNT; i++)
        TDW_GO(&ops[i], pwrite, fd, bytes, BYTES, (uint64_t)i * BYTES);
    for (int i = 0; i < COUNT; i++)
        seen[0] += tdw_await(&ops[i]) == BYTES;
    seen[1] = threads() <= before + 4;
    tdw_close(fd);
}

static void many_writes_judge(void)
{
    SAW(300, true);
}

static void files_take_a_few_threads(void **state)
{
    (void)state;
    each(many_writes, many_writes_judge);
}

int tests_workers(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_write_in_flight_goes_to_its_file),
        TEST(a_wait_in_flight_is_for_its_file),
        TEST(a_number_is_closed_once),
        TEST(both_files_of_a_splice_are_kept),
        TEST(what_was_submitted_before_is_about_the_file_before),
        TEST(what_is_done_later_is_done_to_its_file),
        TEST(what_was_received_before_the_end_is_told),
        TEST(both_ends_of_a_fifo_find_each_other),
        TEST(an_open_into_a_slot_may_wait_too),
        TEST(a_loop_closes_while_a_fifo_is_opened),
        TEST(a_new_file_is_closed_though_its_number_was_just_closed),
        TEST(a_close_without_a_descriptor_left_ends_what_waits),
        TEST(a_close_of_what_is_closed_is_refused),
        TEST(a_close_is_not_cancelled),
        TEST(nothing_starts_while_a_loop_is_closed),
        TEST(a_closed_loop_leaves_no_file_open),
        TEST(each_cancellation_finds_another),
        TEST(a_stop_at_a_deadline_is_one_of_the_two),
        TEST(a_wait_that_is_moved_ends_in_time),
        TEST(files_do_not_wait_for_fifos),
        TEST(a_workers_op_is_cancelled_like_any_other),
        TEST(a_stopped_task_may_cancel_too),
        TEST(files_take_a_few_threads),
    };

    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
