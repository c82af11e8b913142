/* SPDX-License-Identifier: MIT */
/*
 * Clocks that drift and are stepped: what becomes of all that waits for them.
 *
 * Expected times are exact to the ns but for the latency of a completion.
 */
#include "body.h"
#include <sys/timerfd.h>
#include <tidewheel/sys.h>
#include <time.h>

int tests_clock(void);

#define SECOND_NS ((uint64_t)1000000000)
enum { WAITS = 5, FAST = 500000000 /* parts in 10^9: half as fast again */ };

static uint64_t ended_ns[WAITS];
static int32_t ended_with[WAITS];
static int64_t shown_ns;

static struct tdw_host *own_host(void)
{
    return tdw_host("main", NULL, NULL);
}

static struct __kernel_timespec in_seconds(int64_t seconds)
{
    return (struct __kernel_timespec){.tv_sec = seconds};
}

/* ── One task for each way to wait ─────────────────────────────────────────────────────────── */

static void note(int wait, int32_t res)
{
    ended_ns[wait] = tdw_now();
    ended_with[wait] = res;
}

static void by_sleep(void *seconds)
{
    note(0, tdw_sleep(*(int *)seconds * SECOND_NS));
}

static void by_timeout(void *seconds)
{
    struct __kernel_timespec time = in_seconds(
        (int64_t)(tdw_host_clock(own_host(), CLOCK_REALTIME) / SECOND_NS) + *(int *)seconds);
    struct tdw_op op = {0};

    TDW_GO(&op, timeout, &time, IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME);
    time = in_seconds(-1); /* it was read */
    note(1, tdw_await(&op));
}

static void by_link(void *seconds)
{
    char byte;
    int pipe[2];

    tdw_sys_pipe2(pipe, 0);
    note(2, TDW_DO_WITHIN(*(int *)seconds * SECOND_NS, read, pipe[0], &byte, 1));
}

static void by_timerfd(void *seconds)
{
    const struct itimerspec value = {.it_value.tv_sec = *(int *)seconds};
    const int fd = tdw_sys_timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t expirations;

    tdw_sys_timerfd_settime(fd, 0, &value, NULL);
    note(3, tdw_read(fd, &expirations, sizeof expirations));
}

/* Five periods. */
static void by_multishot(void *seconds)
{
    struct __kernel_timespec time = in_seconds(*(int *)seconds / 5);
    struct tdw_op op = {0};
    int32_t res = 0;

    TDW_GO(&op, timeout, &time, 1 << 6 /* IORING_TIMEOUT_MULTISHOT */);
    time = in_seconds(-1);
    for (int i = 0; i < 5; i++)
        res = tdw_await(&op);
    note(4, res);
    tdw_cancel(&op);
}

static void (*const waits[WAITS])(void *) = {by_sleep, by_timeout, by_link, by_timerfd,
                                             by_multishot};
static struct tdw_task *waiters[WAITS];

static void wait_in_all_ways(int *seconds)
{
    for (int i = 0; i < WAITS; i++)
        waiters[i] = tdw_spawn_stackful("waiter", waits[i], seconds);
}

static void join_all(void)
{
    for (int i = 0; i < WAITS; i++)
        tdw_join(waiters[i]);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

static void bend(void *unused)
{
    int seconds = 10;

    (void)unused;
    wait_in_all_ways(&seconds);
    tdw_sleep(2 * SECOND_NS);
    tdw_host_drift(own_host(), FAST);
    tdw_sleep(6 * SECOND_NS);
    shown_ns = (int64_t)tdw_host_clock(own_host(), CLOCK_MONOTONIC);
    join_all();
}

static void a_clock_that_becomes_fast_ends_all_waits_early(void **state)
{
    const uint64_t due = 2 * SECOND_NS + 8 * SECOND_NS * 2 / 3;

    (void)state;
    run(bend);
    for (int i = 0; i < WAITS; i++) {
        if (ended_ns[i] < due || ended_ns[i] > due + 1000000)
            fail_msg("wait %d ended at %llu ns", i, (unsigned long long)ended_ns[i]);
        assert_int_equal(ended_with[i], i == 0 ? 0 : i == 3 ? 8 : -ETIME);
    }
    assert_in_range(shown_ns, 8 * SECOND_NS, 9 * SECOND_NS);
}

static void step(void *unused)
{
    int seconds = 10;

    (void)unused;
    wait_in_all_ways(&seconds);
    tdw_sleep(2 * SECOND_NS);
    tdw_host_step(own_host(), 5 * (int64_t)SECOND_NS);
    tdw_sleep(SECOND_NS);
    tdw_host_step(own_host(), -4 * (int64_t)SECOND_NS);
    join_all();
}

static void a_step_moves_only_what_waits_for_the_time_of_day(void **state)
{
    (void)state;
    run(step);
    for (int i = 0; i < WAITS; i++) {
        const uint64_t due = (i == 1 ? 9 : 10) * SECOND_NS;

        if (ended_ns[i] < due || ended_ns[i] > due + 1000000)
            fail_msg("wait %d ended at %llu ns", i, (unsigned long long)ended_ns[i]);
    }
}

/* A multishot time-out of an hour is updated to a second while the clock is fast; one at a time
 * that has passed is due at once, whatever a step does. */
static void update(void *unused)
{
    struct __kernel_timespec hour = in_seconds(3600), second = in_seconds(1), past = in_seconds(1);
    struct tdw_op op = {0}, change = {0}, late = {0};

    (void)unused;
    tdw_host_drift(own_host(), FAST);
    TDW_GO(&op, timeout, &hour, 1 << 6 /* IORING_TIMEOUT_MULTISHOT */);
    TDW_GO(&change, timeout_remove, &op);
    tdw_await(&change);
    tdw_await(&op);
    TDW_GO(&op, timeout, &hour, 1 << 6);
    TDW_GO(&change, timeout_update, &op, &second);
    ended_with[0] = tdw_await(&change);
    for (int i = 0; i < 4; i++) {
        ended_with[1] = tdw_await(&op);
        ended_ns[i] = tdw_host_clock(own_host(), CLOCK_MONOTONIC);
    }
    tdw_cancel(&op);
    TDW_GO(&late, timeout, &past, IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME);
    tdw_host_step(own_host(), -100 * (int64_t)SECOND_NS);
    tdw_await(&late);
    ended_ns[4] = tdw_host_clock(own_host(), CLOCK_MONOTONIC);
}

static void an_updated_multishot_timeout_has_its_new_period(void **state)
{
    (void)state;
    run(update);
    assert_int_equal(ended_with[0], 0);
    assert_int_equal(ended_with[1], -ETIME);
    for (int i = 1; i < 4; i++)
        assert_in_range(ended_ns[i] - ended_ns[i - 1], SECOND_NS, SECOND_NS + 1000);
    assert_in_range(ended_ns[4], ended_ns[3], ended_ns[3] + SECOND_NS / 100);
}

int tests_clock(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_becomes_fast_ends_all_waits_early),
        cmocka_unit_test(a_step_moves_only_what_waits_for_the_time_of_day),
        cmocka_unit_test(an_updated_multishot_timeout_has_its_new_period),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
