/* SPDX-License-Identifier: MIT */
/*
 * Programs with a loop of their own: what becomes of their rings when waits tie, when processes
 * end, and of an op of ours that is used anew while it still has completions.
 */
#include "tests.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <tidewheel/process.h>
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>
#include <tidewheel/uring.h>

int tests_uring(void);

static int64_t seen[8];
static unsigned nseen;

static void saw(int64_t value)
{
    if (nseen < sizeof(seen) / sizeof *seen)
        seen[nseen++] = value;
}

static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

static void run(void (*body)(void *), const struct tdw_world_options *options)
{
    struct tdw_after after;

    nseen = 0;
    body_to_run = body;
    assert_int_equal(tdw_test_run(options, body_main, NULL, &after), 0);
    assert_int_equal(after.findings, 0);
}

/* ── A process ends with entries in flight and an eventfd at its ring ──────────────────────── */

static void ringing(void *unused)
{
    struct io_uring *ring = tdw_malloc(sizeof(*ring));

    (void)unused;
    tdw_uring_queue_init(8, ring, 0);
    saw(tdw_uring_register_eventfd(ring, tdw_sys_eventfd(0, 0)));
    for (int i = 0; i < 4; i++)
        io_uring_prep_poll_add(io_uring_get_sqe(ring), tdw_sys_eventfd(0, 0), POLLIN);
    saw(tdw_uring_submit(ring));
    tdw_sleep(1000000000);
    saw(-1); /* it never comes so far */
}

static void ringing_main(void *unused)
{
    tdw_spawn_stackful("ringing", ringing, unused);
}

static void ends_with_its_host(void *unused)
{
    struct tdw_host *host = tdw_host("far", ringing_main, NULL);

    (void)unused;
    for (int i = 0; i < 2; i++) {
        tdw_host_boot(host);
        tdw_sleep(1000000);
        tdw_host_crash(host);
    }
}

static void ends_by_a_signal(void *unused)
{
    int status = 0;
    const int pid = tdw_proc_spawn("ringing", ringing_main, unused);

    tdw_sleep(1000000);
    saw(tdw_proc_kill(pid));
    saw(tdw_waitpid(pid, &status) == pid);
}

static void a_ring_ends_with_its_process(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};

    (void)state;
    run(ends_with_its_host, &calm);
    assert_int_equal(nseen, 4);
    for (unsigned i = 0; i < nseen; i++)
        assert_int_equal(seen[i], i & 1 ? 4 : 0);
    run(ends_by_a_signal, &calm);
    assert_int_equal(nseen, 4);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[3], 1);
}

/* ── A wait runs out in the instant in which what it waits for comes ───────────────────────── */

static void waits(void *unused)
{
    (void)unused;
    for (long i = 0; i < 12; i++) {
        struct __kernel_timespec entry = {0, 999 + i % 3}, limit = {0, 1000};
        struct io_uring_cqe *cqe;
        struct io_uring ring;

        tdw_uring_queue_init(8, &ring, 0);
        io_uring_prep_timeout(io_uring_get_sqe(&ring), &entry, 0, 0);
        tdw_uring_submit(&ring);
        if (tdw_uring_wait_cqe_timeout(&ring, &cqe, &limit) == -ETIME && i & 1)
            tdw_uring_wait_cqe(&ring, &cqe);
        tdw_uring_queue_exit(&ring);
    }
    saw(1);
}

static void a_wait_may_tie_with_what_it_waits_for(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        const struct tdw_world_options options = {
            .seed = seed, .strategy = TDW_RANDOM, .schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED};

        run(waits, &options);
        assert_int_equal(nseen, 1);
    }
}

/* ── An op is used anew with completions that nobody took ──────────────────────────────────── */

static void uses_anew(void *unused)
{
    struct tdw_op op = {0}, cancel = {0};
    const int event = tdw_sys_eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;

    (void)unused;
    TDW_GO(&op, poll_multishot, event, POLLIN);
    tdw_write(event, &one, sizeof(one));
    tdw_sleep(1000000);
    TDW_GO(&cancel, cancel, &op);
    saw(tdw_await(&cancel));
    tdw_sleep(1000000);
    saw(tdw_op_idle(&op));
    TDW_GO(&op, nop);
    saw(tdw_await(&op));
}

static void an_op_is_used_anew_with_completions_left(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};

    (void)state;
    run(uses_anew, &calm);
    assert_int_equal(nseen, 3);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 0);
}

int tests_uring(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(a_ring_ends_with_its_process),
        TEST(a_wait_may_tie_with_what_it_waits_for),
        TEST(an_op_is_used_anew_with_completions_left),
    };
#undef TEST

    return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
