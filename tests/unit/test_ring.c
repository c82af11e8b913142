/* SPDX-License-Identifier: MIT */
/*
 * An op's life: refusals, links, drains, cancellation, deadlines. Tasks write down what they saw;
 * the tests judge afterwards.
 */
#include "tests.h"

static int seen[32];
static uint64_t when[32];
static const struct tdw_world_options calm = {.strategy = TDW_CALM};

static void run(void (*main)(void *), uint32_t findings)
{
    struct tdw_after after;

    memset(seen, 0x55, sizeof seen);
    assert_int_equal(tdw_test_run(&calm, main, NULL, &after), 0);
    assert_int_equal(after.findings, findings);
}

/* The body of a test, as one stackful task. */
#define TASK(name)                                                                                 \
    static void name##_body(void *unused);                                                         \
    static void name##_main(void *unused)                                                          \
    {                                                                                              \
        tdw_spawn_stackful(#name, name##_body, unused);                                            \
    }                                                                                              \
    static void name##_body(void *unused)

TASK(twice)
{
    struct tdw_op op = {0};

    (void)unused;
    seen[0] = TDW_GO(&op, nop);
    seen[1] = TDW_GO(&op, sleep, 1); /* must leave the first one alone */
    seen[2] = op.sqe.opcode;
    seen[3] = tdw_await(&op);
    seen[4] = TDW_GO(&op, nop);
    seen[5] = tdw_await(&op);
    seen[6] = tdw_await(&op); /* delivered: at once */
}

static void an_op_submitted_twice_is_refused_and_goes_on(void **state)
{
    (void)state;
    run(twice_main, 1);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], -EBUSY);
    assert_int_equal(seen[2], IORING_OP_NOP);
    for (int i = 3; i < 7; i++)
        assert_int_equal(seen[i], 0);
}

static void nothing(struct tdw_op *op)
{
    seen[20]++;
    (void)op;
}

TASK(full)
{
    static struct tdw_op ops[8];

    (void)unused;
    memset(ops, 0, sizeof ops);
    seen[20] = 0;
    for (int i = 0; i < 6; i++)
        seen[i] = TDW_ON(&ops[i], nothing, nop);
    seen[6] = tdw_op_idle(&ops[5]);
    seen[7] = tdw_nop(); /* refused as well */
}

static void a_full_ring_refuses_and_loses_nothing(void **state)
{
    const struct tdw_world_options options = {.ops_max = 4};
    struct tdw_after after;

    (void)state;
    assert_int_equal(tdw_test_run(&options, full_main, NULL, &after), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(seen[i], 0);
    assert_int_equal(seen[4], -EAGAIN);
    assert_int_equal(seen[5], -EAGAIN);
    assert_int_equal(seen[6], 1);
    assert_int_equal(seen[7], -EAGAIN);
    assert_int_equal(after.findings, 1); /* the task ended with four ops in flight */
}

TASK(cancelling)
{
    struct tdw_op sleep = {0}, done = {0};

    (void)unused;
    TDW_GO(&sleep, sleep, 1000000);
    seen[0] = tdw_cancel(&sleep);
    seen[1] = tdw_await(&sleep);
    when[0] = tdw_now();
    TDW_GO(&done, nop);
    tdw_await(&done);
    seen[2] = tdw_cancel(&done); /* delivered */
    seen[3] = tdw_timeout_remove(&done);
    TDW_GO(&sleep, sleep, 1000000);
    seen[4] = tdw_timeout_remove(&sleep);
    seen[5] = tdw_await(&sleep);
    TDW_GO(&sleep, sleep, 1000000);
    TDW_GO(&done, sleep, 2000000);
    seen[6] = tdw_cancel_all();
    seen[7] = tdw_await(&sleep);
    seen[8] = tdw_await(&done);
    seen[9] = tdw_cancel_all();
    TDW_GO(&done, nop);
    seen[10] = tdw_cancel_fd(5);
    tdw_await(&done);
}

static void cancel_tells_what_became_of_its_target(void **state)
{
    (void)state;
    run(cancelling_main, 0);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], -ECANCELED);
    assert_true(when[0] < 1000000);
    assert_int_equal(seen[2], -ENOENT);
    assert_int_equal(seen[3], -ENOENT);
    assert_int_equal(seen[4], 0);
    assert_int_equal(seen[5], -ECANCELED);
    assert_int_equal(seen[6], 2);
    assert_int_equal(seen[7], -ECANCELED);
    assert_int_equal(seen[8], -ECANCELED);
    assert_int_equal(seen[9], 0); /* with ALL: how many */
    assert_int_equal(seen[10], -EBADF); /* as it is not open */
}

TASK(stale)
{
    struct tdw_op op = {0}, cancel = {0};

    (void)unused;
    TDW_GO(&op, nop);
    tdw_prep_cancel(&cancel, &op); /* names this life of the op … */
    cancel.done = tdw__go_done;
    tdw_await(&op);
    TDW_GO(&op, sleep, 1000); /* … not the next one */
    tdw_submit(&cancel);
    seen[0] = tdw_await(&cancel);
    seen[1] = tdw_await(&op);
}

static void an_old_cancel_never_hits_a_reused_op(void **state)
{
    (void)state;
    run(stale_main, 0);
    assert_int_equal(seen[0], -ENOENT);
    assert_int_equal(seen[1], 0);
}

TASK(chain)
{
    struct tdw_op a = {0}, b = {0}, c = {0};
    char byte[4] = "abc";
    int fd;

    (void)unused;
    fd = tdw_open("f", O_RDWR | O_CREAT, 0600);
    TDW_GO_LINKED(&a, pwrite, fd, byte, 3, 0);
    TDW_GO_LINKED(&b, fsync, fd);
    TDW_GO(&c, pread, fd, byte, 3, 0);
    seen[0] = tdw_await(&c);
    seen[1] = tdw_op_idle(&a) && tdw_op_idle(&b);
    seen[2] = a.res;
    seen[3] = b.res;
    TDW_GO_LINKED(&a, pread, fd, byte, 4, 0); /* short: breaks the chain */
    TDW_GO_LINKED(&b, nop);
    TDW_GO(&c, nop);
    seen[4] = tdw_await(&c);
    seen[5] = tdw_await(&a);
    seen[6] = tdw_await(&b);
    TDW_GO_LINKED(&a, pread, 99, byte, 1, 0); /* fails when it is submitted */
    TDW_GO(&b, nop);
    seen[7] = tdw_await(&b);
    seen[8] = tdw_await(&a);
    TDW__SUBMIT(&a, tdw__go_done, TDW_SITE("t"), IOSQE_IO_HARDLINK, pread, 99, byte, 1, 0);
    TDW_GO(&b, nop);
    seen[9] = tdw_await(&b);
    seen[10] = tdw_await(&a);
    TDW_GO_LINKED(&a, nop);
    seen[11] = TDW_GO(&b, yield); /* completes inside submit: no order to keep */
    seen[12] = TDW_GO(&b, nop);
    seen[13] = tdw_await(&b);
}

static void chains_go_on_after_success_and_end_after_failure(void **state)
{
    (void)state;
    run(chain_main, 0);
    assert_int_equal(seen[0], 3);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 3);
    assert_int_equal(seen[3], 0);
    assert_int_equal(seen[4], -ECANCELED);
    assert_int_equal(seen[5], 3);
    assert_int_equal(seen[6], -ECANCELED);
    assert_int_equal(seen[7], -ECANCELED);
    assert_int_equal(seen[8], -EBADF);
    assert_int_equal(seen[9], 0);
    assert_int_equal(seen[10], -EBADF);
    assert_int_equal(seen[11], -EINVAL);
    assert_int_equal(seen[12], 0);
    assert_int_equal(seen[13], 0);
}

TASK(drain)
{
    static struct tdw_op ops[6];

    (void)unused;
    memset(ops, 0, sizeof ops);
    TDW_GO(&ops[0], sleep, 5000);
    TDW_GO(&ops[1], sleep, 9000);
    TDW__SUBMIT(&ops[2], tdw__go_done, TDW_SITE("t"), IOSQE_IO_DRAIN, sleep, 1);
    TDW_GO(&ops[3], nop);
    TDW_GO(&ops[4], sleep, 100);
    for (int i = 0; i < 5; i++) {
        tdw_await(&ops[i]);
        when[i] = tdw_now();
    }
}

static void a_drain_waits_for_all_before_it_and_holds_all_behind_it(void **state)
{
    (void)state;
    run(drain_main, 0);
    assert_int_equal(when[1], 9000);
    assert_int_equal(when[2], 9001);
    assert_true(when[3] > 9001);
    assert_int_equal(when[4] > 9100, 1);
}

TASK(deadline)
{
    struct tdw_mutex mutex;
    struct tdw_op op = {0}, timer = {0};

    (void)unused;
    tdw_mutex_init(&mutex, "m");
    seen[0] = TDW_DO_WITHIN(500, sleep, 1000);
    when[0] = tdw_now();
    seen[1] = TDW_DO_WITHIN(5000, sleep, 1000);
    when[1] = tdw_now();
    seen[2] = TDW_DO_WITHIN(500, lock, &mutex); /* free: no time passes */
    when[2] = tdw_now();
    seen[3] = TDW_DO_WITHIN(500, lock, &mutex); /* by ourselves */
    when[3] = tdw_now();
    TDW_GO_LINKED(&op, sleep, 1000000);
    TDW_GO(&timer, link_timeout, 10);
    seen[4] = tdw_await(&op); /* as io_uring: two completions */
    seen[5] = tdw_await(&timer);
    TDW_GO_LINKED(&op, nop);
    TDW_GO(&timer, link_timeout, 1000000);
    seen[6] = tdw_await(&op);
    seen[7] = tdw_await(&timer);
    seen[8] = TDW_GO(&timer, link_timeout, 10); /* nothing in front of it */
}

static void deadlines_end_waits_and_only_those_that_last(void **state)
{
    (void)state;
    run(deadline_main, 0);
    assert_int_equal(seen[0], -ETIME);
    assert_int_equal(when[0], 500);
    assert_int_equal(seen[1], 0);
    assert_int_equal(when[1], 1500);
    assert_int_equal(seen[2], 0);
    assert_int_equal(when[2], 1500);
    assert_int_equal(seen[3], -ETIME);
    assert_int_equal(when[3], 2000);
    assert_int_equal(seen[4], -ECANCELED);
    assert_int_equal(seen[5], -ETIME);
    assert_int_equal(seen[6], 0);
    assert_int_equal(seen[7], -ECANCELED);
    assert_int_equal(seen[8], -EINVAL);
}

TASK(skip)
{
    static struct tdw_op a, b;

    (void)unused;
    seen[20] = 0;
    a = b = (struct tdw_op){0};
    TDW__SUBMIT(&a, nothing, TDW_SITE("t"), IOSQE_CQE_SKIP_SUCCESS, nop);
    TDW__SUBMIT(&b, nothing, TDW_SITE("t"), IOSQE_CQE_SKIP_SUCCESS, close, 77);
    tdw_sleep(1000000);
    seen[0] = tdw_op_idle(&a) && tdw_op_idle(&b);
    seen[1] = b.res;
}

static void skip_success_hides_the_callback_not_the_end(void **state)
{
    (void)state;
    run(skip_main, 0);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], -EBADF);
    assert_int_equal(seen[20], 1); /* the failure was told */
}

TASK(bad_time)
{
    struct __kernel_timespec time = {.tv_sec = 0, .tv_nsec = -1};

    (void)unused;
    seen[0] = tdw_timeout(&time, 0);
    time.tv_nsec = 700;
    seen[1] = tdw_timeout(&time, 0);
    time.tv_nsec = 5000;
    seen[2] = tdw_timeout(&time, IORING_TIMEOUT_ABS);
    when[0] = tdw_now();
    seen[3] = tdw_timeout(&time, IORING_TIMEOUT_ABS); /* in the past */
    when[1] = tdw_now();
    seen[4] = tdw_sleep(0);
    time.tv_nsec = 1000000001; /* which Linux takes */
    seen[5] = tdw_timeout(&time, 0);
}

static void time_outs_are_exact_and_checked(void **state)
{
    (void)state;
    run(bad_time_main, 0);
    assert_int_equal(seen[0], -EINVAL);
    assert_int_equal(seen[5], -ETIME);
    assert_int_equal(seen[1], -ETIME);
    assert_int_equal(seen[2], -ETIME);
    assert_int_equal(when[0], 5000);
    assert_int_equal(seen[3], -ETIME);
    assert_int_equal(when[1], 5000);
    assert_int_equal(seen[4], 0);
}

TASK(unknown)
{
    struct tdw_op op = {0};

    (void)unused;
    tdw_prep_nop(&op);
    op.sqe.opcode = 250;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[0] = tdw_await(&op);
}

static void an_unknown_opcode_is_einval(void **state)
{
    (void)state;
    run(unknown_main, 0);
    assert_int_equal(seen[0], -EINVAL);
}

/* The list of stackful names in stackful.h against the table of verbs. */
#define TEXT_(...) #__VA_ARGS__
#define TEXT(...) TEXT_(__VA_ARGS__)
static void every_verb_has_its_stackful_face(void **state)
{
    (void)state;
#define IS_DEFINED(name, parameters, fill)                                                         \
    assert_non_null(strstr(TEXT(tdw_##name(x)), "tdw_prep_" #name "("));
    TDW_VERBS(IS_DEFINED)
#undef IS_DEFINED
}

int tests_ring(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_op_submitted_twice_is_refused_and_goes_on),
        cmocka_unit_test(a_full_ring_refuses_and_loses_nothing),
        cmocka_unit_test(cancel_tells_what_became_of_its_target),
        cmocka_unit_test(an_old_cancel_never_hits_a_reused_op),
        cmocka_unit_test(chains_go_on_after_success_and_end_after_failure),
        cmocka_unit_test(a_drain_waits_for_all_before_it_and_holds_all_behind_it),
        cmocka_unit_test(deadlines_end_waits_and_only_those_that_last),
        cmocka_unit_test(skip_success_hides_the_callback_not_the_end),
        cmocka_unit_test(time_outs_are_exact_and_checked),
        cmocka_unit_test(an_unknown_opcode_is_einval),
        cmocka_unit_test(every_verb_has_its_stackful_face),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
