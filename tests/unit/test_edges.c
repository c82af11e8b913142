/* SPDX-License-Identifier: MIT */
/*
 * Edges of an op's life that once went wrong: each test is a mistake that was made, named by what
 * must hold instead.
 */
#include "tests.h"
#include <stdlib.h>
#include <sys/un.h>
#include <tidewheel/sys.h>

static int seen[16];
static uint64_t when[16];
static const struct tdw_world_options calm = {.strategy = TDW_CALM, .watch_buffers = true};

static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

static void run(void (*body)(void *))
{
    struct tdw_after after;

    memset(seen, 0x55, sizeof seen);
    body_to_run = body;
    assert_int_equal(tdw_test_run(&calm, body_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
}

/* ── Deadlines that end before their op does ───────────────────────────────────────────────── */

static void cancel_all_with_a_deadline(void *unused)
{
    struct tdw_op op = {0}, timer = {0}, rest = {0};

    (void)unused;
    TDW_GO_LINKED(&op, sleep, 1000000);
    TDW_GO_LINKED(&timer, link_timeout, 500000);
    TDW_GO(&rest, nop);
    tdw_cancel_all();
    seen[0] = tdw_await(&op);
    seen[1] = tdw_await(&timer);
    seen[2] = tdw_await(&rest);
    TDW_GO_LINKED(&op, sleep, 100000);
    TDW_GO(&timer, link_timeout, 500000);
    seen[3] = tdw_cancel(&timer); /* which is not found: it ends with its op */
    seen[4] = tdw_await(&op);
    seen[5] = tdw_await(&timer);
}

static void a_deadline_ends_with_its_op(void **state)
{
    (void)state;
    run(cancel_all_with_a_deadline);
    assert_int_equal(seen[0], -ECANCELED);
    assert_int_equal(seen[1], -ECANCELED);
    assert_int_equal(seen[2], -ECANCELED);
    assert_int_equal(seen[3], -ENOENT);
    assert_int_equal(seen[4], 0);
    assert_int_equal(seen[5], -ECANCELED);
}

static void sleeper(void *unused)
{
    (void)unused;
    seen[0] = TDW_DO_WITHIN(5000, sleep, 9000000);
    seen[1] = TDW_DO_WITHIN(5000, sleep, 9000000); /* told to stop: at once */
    seen[2] = tdw_close(tdw_open("f", O_CREAT | O_RDWR, 0600));
}

static void stops_a_sleeper(void *unused)
{
    struct tdw_task *task = tdw_spawn_stackful("sleeper", sleeper, unused);

    tdw_sleep(100);
    tdw_stop(task);
    tdw_join(task);
}

static void a_task_can_be_stopped_inside_a_deadline(void **state)
{
    (void)state;
    run(stops_a_sleeper);
    assert_int_equal(seen[0], -ECANCELED);
    assert_int_equal(seen[1], -ECANCELED);
    assert_int_equal(seen[2], 0);
}

static void bad_time(void *unused)
{
    struct tdw_op op = {0}, timer = {0};
    struct __kernel_timespec time = {.tv_nsec = -1};

    (void)unused;
    TDW_GO_LINKED(&op, sleep, 1000);
    tdw_prep_link_timeout(&timer, 0);
    timer.sqe.addr = (uintptr_t)&time;
    timer.done = tdw__go_done;
    tdw_submit(&timer);
    seen[0] = tdw_await(&timer);
    seen[1] = tdw_await(&op);
    tdw_prep_timeout(&op, NULL, 0);
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[2] = tdw_await(&op);
}

static void a_deadline_with_a_bad_time_leaves_its_op_alone(void **state)
{
    (void)state;
    run(bad_time);
    assert_int_equal(seen[0], -EINVAL);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], -EFAULT);
}

/* ── Chains ────────────────────────────────────────────────────────────────────────────────── */

enum { LONG = 100000 };

static void long_chain(void *unused)
{
    struct tdw_op *ops = calloc(LONG, sizeof *ops);

    (void)unused;
    TDW_GO_LINKED(&ops[0], pread, 99, NULL, 0, 0); /* fails at its start */
    for (int i = 1; i < LONG - 1; i++)
        TDW_GO_LINKED(&ops[i], nop);
    TDW_GO(&ops[LONG - 1], nop);
    seen[0] = tdw_await(&ops[LONG - 1]);
    TDW_GO_LINKED(&ops[0], sleep, 1000000);
    for (int i = 1; i < LONG - 1; i++)
        TDW_GO_LINKED(&ops[i], nop);
    TDW_GO(&ops[LONG - 1], nop);
    seen[1] = tdw_cancel(&ops[0]);
    seen[2] = tdw_await(&ops[LONG - 1]);
    for (int i = 0; i < LONG; i++)
        tdw_await(&ops[i]);
    free(ops);
}

static void a_long_chain_that_is_cancelled_needs_no_stack(void **state)
{
    (void)state;
    run(long_chain);
    assert_int_equal(seen[0], -ECANCELED);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], -ECANCELED);
}

static void broken_chain(void *unused)
{
    struct tdw_op a = {0}, b = {0}, c = {0};
    char bytes[8] = "";
    const struct iovec iov = {bytes, 8};
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);

    (void)unused;
    tdw_pwrite(fd, bytes, 4, 0);
    TDW_GO_LINKED(&a, pread, 99, bytes, 1, 0);
    TDW__SUBMIT(&b, tdw__go_done, TDW_SITE("t"), IOSQE_IO_HARDLINK, nop);
    TDW_GO(&c, nop);
    seen[0] = tdw_await(&c); /* what was cancelled carries nothing on, hard or not */
    tdw_await(&a);
    tdw_await(&b);
    TDW_GO_LINKED(&a, preadv, fd, &iov, 1, 0); /* 4 of 8 */
    TDW_GO(&b, nop);
    seen[1] = tdw_await(&b);
    seen[2] = tdw_await(&a);
}

static void a_cancelled_or_short_member_ends_its_chain(void **state)
{
    (void)state;
    run(broken_chain);
    assert_int_equal(seen[0], -ECANCELED);
    assert_int_equal(seen[1], -ECANCELED);
    assert_int_equal(seen[2], 4);
}

/* ── Drains ────────────────────────────────────────────────────────────────────────────────── */

#define GO_DRAIN(op, flags, ...)                                                                   \
    TDW__SUBMIT(op, tdw__go_done, TDW_SITE("drain"), IOSQE_IO_DRAIN | (flags), __VA_ARGS__)

static void drains(void *unused)
{
    struct tdw_op a = {0}, b = {0}, c = {0}, d = {0};

    (void)unused;
    GO_DRAIN(&a, 0, sleep, 5000); /* runs at once, and holds what follows */
    TDW_GO(&b, sleep, 10);
    tdw_yield(); /* no op of the kernel's: not held, and releases nobody */
    seen[0] = tdw_op_idle(&b);
    tdw_await(&b);
    when[0] = tdw_now();
    tdw_await(&a);
    TDW_GO(&a, sleep, 1000);
    GO_DRAIN(&b, IOSQE_IO_LINK, sleep, 1000);
    TDW_GO(&c, sleep, 1000); /* linked behind the drain */
    TDW_GO(&d, sleep, 1);
    when[1] = tdw_now();
    tdw_await(&c);
    when[2] = tdw_now();
    tdw_await(&d);
    tdw_await(&a);
    tdw_await(&b);
}

static void a_running_drain_holds_and_a_linked_one_ends(void **state)
{
    (void)state;
    run(drains);
    assert_int_equal(seen[0], 0);
    assert_int_equal(when[0], 5010);
    assert_int_equal(when[2] - when[1], 3000);
}

/* ── Tasks ─────────────────────────────────────────────────────────────────────────────────── */

static void nothing(void *unused)
{
    (void)unused;
}

static void parent(void *unused)
{
    for (int i = 0; i < 3; i++)
        tdw_spawn_stackful("child", nothing, unused);
    tdw_detach(tdw_spawn_stackful("child", nothing, unused));
    tdw_sleep(1000); /* all have ended, and nobody joined them */
}

static void family(void *unused)
{
    for (int i = 0; i < 3; i++) {
        tdw_detach(tdw_spawn_stackful("parent", parent, unused));
        tdw_sleep(5000);
    }
    seen[0] = 0;
}

static void a_detached_parent_takes_its_ended_children_along(void **state)
{
    (void)state;
    run(family);
    assert_int_equal(seen[0], 0);
}

static void reader(void *arg)
{
    const int fd = *(const int *)arg;
    char byte;

    seen[0] = tdw_read(fd, &byte, 1);
    seen[1] = tdw_read(fd, &byte, 1);
}

static void stops_a_reader(void *unused)
{
    struct tdw_task *task;
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    task = tdw_spawn_stackful("reader", reader, fds);
    tdw_sleep(5000);
    tdw_stop(task);
    tdw_join(task);
}

static void a_stopped_task_waits_for_no_pipe(void **state)
{
    (void)state;
    run(stops_a_reader);
    assert_int_equal(seen[0], -ECANCELED);
    assert_int_equal(seen[1], -ECANCELED);
}

/* ── Buffers and time ──────────────────────────────────────────────────────────────────────── */

static void empty_reads(void *unused)
{
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);
    char byte = 'x';

    (void)unused;
    for (int i = 0; i < 100; i++)
        seen[0] = tdw_pread(fd, &byte, 0, 0);
    seen[1] = byte;
}

static void a_watched_read_of_nothing_touches_nothing(void **state)
{
    (void)state;
    run(empty_reads);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 'x');
}

static void polls(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    memset(&op, 0, sizeof op);
    TDW_GO(&op, sleep, 1000);
}

static void wait_and_poll_stop_where_they_say(void **state)
{
    struct tdw_world *world = tdw_world_new(&calm);
    struct tdw_loop *loop = tdw_world_loop(world);

    (void)state;
    assert_int_equal(tdw_world_run(world, polls, NULL), 0); /* a root task may leave ops behind */
    assert_int_equal(loop->now_ns, 1000);
    assert_int_equal(tdw_loop_poll(loop), 0);
    assert_int_equal(loop->now_ns, 1000);
    assert_int_equal(tdw_loop_wait(loop, 5000), 0);
    assert_int_equal(loop->now_ns, 5000);
    tdw_world_free(world);
}

/* ── A connect that began at its start ─────────────────────────────────────────────────────── */

static void connect_and_listen(void *unused)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/sock"};
    const int listener = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    const int client = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    struct tdw_op connect = {0}, listen = {0};

    (void)unused;
    tdw_sys_bind(listener, (void *)&name, sizeof name);
    TDW_GO(&connect, connect, client, (void *)&name, sizeof name);
    memset(&name, 0, sizeof name); /* the kernel has its own copy */
    TDW_GO(&listen, listen, listener, 1);
    seen[1] = tdw_await(&listen);
    seen[0] = tdw_await(&connect);
}

static void a_connect_may_come_behind_what_was_submitted_after_it(void **state)
{
    int refused = 0, accepted = 0;

    (void)state;
    body_to_run = connect_and_listen;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        const struct tdw_world_options options = {.seed = seed, .strategy = TDW_RANDOM};

        memset(seen, 0x55, sizeof seen);
        assert_int_equal(tdw_test_run(&options, body_main, NULL, NULL), 0);
        assert_int_equal(seen[1], 0);
        refused += seen[0] == -ECONNREFUSED;
        accepted += seen[0] == 0;
    }
    assert_int_equal(refused + accepted, 40);
    assert_true(refused > 0);
    assert_true(accepted > 0);
}

int tests_edges(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_ends_with_its_op),
        cmocka_unit_test(a_task_can_be_stopped_inside_a_deadline),
        cmocka_unit_test(a_deadline_with_a_bad_time_leaves_its_op_alone),
        cmocka_unit_test(a_long_chain_that_is_cancelled_needs_no_stack),
        cmocka_unit_test(a_cancelled_or_short_member_ends_its_chain),
        cmocka_unit_test(a_running_drain_holds_and_a_linked_one_ends),
        cmocka_unit_test(a_detached_parent_takes_its_ended_children_along),
        cmocka_unit_test(a_stopped_task_waits_for_no_pipe),
        cmocka_unit_test(a_watched_read_of_nothing_touches_nothing),
        cmocka_unit_test(wait_and_poll_stop_where_they_say),
        cmocka_unit_test(a_connect_may_come_behind_what_was_submitted_after_it),
    };

    return cmocka_run_group_tests_name("edges", tests, NULL, NULL);
}
