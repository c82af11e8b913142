/* SPDX-License-Identifier: MIT */
/*
 * What workers do for the real backends: an op in flight keeps its file, though a thread has only a
 * number; waits are stopped, alone and by kinds of cancellation; files do not cost a thread each.
 */
#include "backends.h"
#include <dirent.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>

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
        TEST(a_workers_op_is_cancelled_like_any_other),
        TEST(a_stopped_task_may_cancel_too),
        TEST(files_take_a_few_threads),
    };

    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
