/* SPDX-License-Identifier: MIT */
/*
 * The models, each alone and mixed: nested calls, any and all, results of tasks, the guard of a
 * stack, and a million tasks at once (--big).
 */
#include "tests.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t seen[32];
static const struct tdw_world_options calm = {.strategy = TDW_CALM};

static void run(void (*main)(void *))
{
    struct tdw_after after;

    memset(seen, 0, sizeof seen);
    assert_int_equal(tdw_test_run(&calm, main, NULL, &after), 0);
    assert_string_equal(after.text, "");
}

/* ── Stackless: calls, recursion, control flow ─────────────────────────────────────────────── */

struct sum {
    struct tdw_frame frame;
    int64_t n, rest;
    int ignored;
};

TDW_CO(sum)
{
    TDW_BEGIN(struct sum, me);
    if (me->n == 0)
        TDW_RETURN(0);
    TDW_AWAIT(me->ignored, nop);
    TDW_CALL(me->rest, sum, struct sum, .n = me->n - 1);
    TDW_RETURN(me->n + me->rest);
    TDW_END;
}

struct flow {
    struct tdw_frame frame;
    int i, j, n;
    int64_t total;
    struct tdw_op ops[3];
    struct tdw_op *all[3];
    struct tdw_task *child;
};

TDW_CO(flow)
{
    TDW_BEGIN(struct flow, me);
    TDW_CALL(me->total, sum, struct sum, .n = 100);
    seen[0] = me->total;
    for (me->i = 0; me->i < 3; me->i++) {
        for (me->j = 0; me->j < 2; me->j++) {
            switch (me->i) {
            case 0:
                TDW_AWAIT(me->n, nop);
                seen[1]++;
                break;
            case 1: {
                TDW_AWAIT(me->n, sleep, 10);
                if (me->j) {
                    TDW_YIELD();
                    seen[2]++;
                }
                break;
            }
            default:
                TDW_CALL(me->n, sum, struct sum, .n = 2);
                seen[3] += me->n;
            }
        }
    }
    for (me->i = 0; me->i < 3; me->i++) {
        me->all[me->i] = &me->ops[me->i];
        TDW_GO(&me->ops[me->i], sleep, 100u * (uint64_t)(3 - me->i));
    }
    TDW_AWAIT_ANY(seen[4], me->all, 3);
    TDW_AWAIT_ALL(me->all, 3);
    TDW_AWAIT_ANY(seen[5], me->all, 3); /* all delivered: at once, the lowest */
    TDW_AWAIT_OP(me->n, &me->ops[1]);
    me->child = TDW_SPAWN("child", sum, struct sum, .n = 4);
    TDW_AWAIT(seen[6], join, me->child);
    TDW_RETURN(0);
    TDW_END;
}

static void flow_main(void *unused)
{
    (void)unused;
    TDW_SPAWN("flow", flow, struct flow);
}

static void stackless_functions_nest_loop_and_switch(void **state)
{
    (void)state;
    run(flow_main);
    assert_int_equal(seen[0], 5050);
    assert_int_equal(seen[1], 2);
    assert_int_equal(seen[2], 1);
    assert_int_equal(seen[3], 6);
    assert_int_equal(seen[4], 2);
    assert_int_equal(seen[5], 0);
    assert_int_equal(seen[6], 10);
}

/* ── Stackful: anywhere, any and all ───────────────────────────────────────────────────────── */

/* The compiler must neither inline a level nor turn the recursion into a loop. */
#define USE(pad) __asm__ volatile("" : : "r"(pad) : "memory")

__attribute__((noinline)) static int64_t deep(int64_t n)
{
    char pad[64] = {(char)n};
    int64_t rest;

    USE(pad);
    rest = n == 0 ? tdw_nop() : deep(n - 1);
    USE(pad);
    return n + rest;
}

static void stackful_test(void *unused)
{
    struct tdw_op ops[3] = {0};
    struct tdw_op *const all[] = {&ops[0], &ops[1], &ops[2]};

    (void)unused;
    seen[0] = deep(100);
    for (int i = 0; i < 3; i++)
        TDW_GO(&ops[i], sleep, 100u * (uint64_t)(3 - i));
    seen[1] = tdw_await_any(all, 3);
    seen[2] = tdw_await_all(all, 3);
    seen[3] = tdw_await_any(all, 3);
    tdw_set_result(77);
    seen[4] = (int64_t)tdw_stack_high_water(tdw_loop());
}

static void joiner(void *unused)
{
    struct tdw_task *task = tdw_spawn_stackful("deep", stackful_test, unused);

    seen[5] = tdw_join(task);
    task = tdw_spawn_stackful("deep", stackful_test, unused);
    tdw_sleep(100000);
    seen[6] = tdw_join(task); /* ended long ago */
    tdw_detach(tdw_spawn_stackful("deep", stackful_test, unused));
}

static void stackful_main(void *unused)
{
    tdw_spawn_stackful("joiner", joiner, unused);
}

static void stackful_tasks_wait_at_any_depth(void **state)
{
    (void)state;
    run(stackful_main);
    assert_int_equal(seen[0], 5050);
    assert_int_equal(seen[1], 2);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[3], 0);
    assert_in_range(seen[4], 6400, 65536);
    assert_int_equal(seen[5], 77);
    assert_int_equal(seen[6], 77);
}

/* ── Mixed: one mutex, three models ────────────────────────────────────────────────────────── */

static struct tdw_mutex shared;

struct locker {
    struct tdw_frame frame;
    int n;
};

TDW_CO(stackless_locker)
{
    TDW_BEGIN(struct locker, me);
    TDW_AWAIT(me->n, lock, &shared);
    seen[0] += 1;
    TDW_AWAIT(me->n, nop);
    tdw_mutex_unlock(&shared);
    TDW_RETURN(5);
    TDW_END;
}

static void stackful_locker(void *unused)
{
    (void)unused;
    tdw_lock(&shared);
    seen[0] += 10;
    tdw_nop();
    tdw_mutex_unlock(&shared);
}

static void joined(struct tdw_op *op)
{
    seen[1] = op->res;
}

static void locked(struct tdw_op *op)
{
    seen[0] += 100;
    tdw_mutex_unlock(&shared);
    TDW_ON(op, joined, join, TDW_SPAWN("less", stackless_locker, struct locker));
}

static void mixed_main(void *unused)
{
    static struct tdw_op op;

    memset(&op, 0, sizeof op);
    tdw_mutex_init(&shared, "shared");
    tdw_spawn_stackful("full", stackful_locker, unused);
    TDW_SPAWN("less", stackless_locker, struct locker);
    TDW_ON(&op, locked, lock, &shared);
}

static void the_models_mix_in_one_program(void **state)
{
    (void)state;
    run(mixed_main);
    assert_int_equal(seen[0], 112);
    assert_int_equal(seen[1], 5);
}

/* ── Mistakes ──────────────────────────────────────────────────────────────────────────────── */

static void leaves_an_op(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    memset(&op, 0, sizeof op);
    TDW_GO(&op, sleep, 1000);
}

static void leaving_main(void *unused)
{
    tdw_spawn_stackful("leaver", leaves_an_op, unused);
}

static void a_coroutine_that_ends_with_an_op_in_flight_is_found(void **state)
{
    struct tdw_after after;

    (void)state;
    assert_int_equal(tdw_test_run(&calm, leaving_main, NULL, &after), 0);
    assert_int_equal(after.findings, 1);
    assert_non_null(strstr(after.text, "1 op in flight"));
}

__attribute__((noinline)) static int too_deep(int n)
{
    char pad[512] = {(char)n};
    int rest;

    USE(pad);
    rest = n > 1000000 ? 0 : too_deep(n + 1);
    USE(pad);
    return rest + pad[0];
}

static void overflow(void *unused)
{
    (void)unused;
    tdw_nop();
    seen[0] = too_deep(0);
}

static void overflow_main(void *unused)
{
    tdw_spawn_stackful("digger", overflow, unused);
}

static void a_stack_overflow_names_its_task(void **state)
{
    char text[512] = "";
    int pipes[2], status;
    ssize_t n;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers' own handlers see it first */
#endif
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    if (fork() == 0) {
        dup2(pipes[1], 2);
        tdw_test_run(&calm, overflow_main, NULL, NULL);
        _exit(0);
    }
    close(pipes[1]);
    n = read(pipes[0], text, sizeof text - 1);
    assert_true(n > 0);
    close(pipes[0]);
    wait(&status);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "stack overflow in task main/main#0/digger#0"));
    assert_non_null(strstr(text, "test_models.c"));
}

/* ── A million ─────────────────────────────────────────────────────────────────────────────── */

enum { MILLION = 1000000 };

struct sleeper {
    struct tdw_frame frame;
    int n;
};

TDW_CO(stackless_sleeper)
{
    TDW_BEGIN(struct sleeper, me);
    TDW_AWAIT(me->n, sleep, 1000000);
    seen[0]++;
    TDW_RETURN(0);
    TDW_END;
}

static void stackful_sleeper(void *unused)
{
    (void)unused;
    tdw_sleep(1000000);
    seen[0]++;
}

static void slept(struct tdw_op *op)
{
    seen[0]++;
    tdw_free(op);
}

static void callback_sleeper(void *unused)
{
    struct tdw_op *op = tdw_malloc(sizeof *op);

    (void)unused;
    TDW_ON(op, slept, sleep, 1000000);
}

static void million_main(void *arg)
{
    const enum tdw_model model = *(const enum tdw_model *)arg;

    for (int i = 0; i < MILLION; i++) {
        struct tdw_task *task =
            model == TDW_CALLBACK    ? tdw_spawn_callback("t", callback_sleeper, NULL)
            : model == TDW_STACKLESS ? TDW_SPAWN("t", stackless_sleeper, struct sleeper)
                                     : tdw_spawn_stackful("t", stackful_sleeper, NULL);
        if (!task)
            return;
        tdw_detach(task);
    }
}

int tests_big(void);
int tests_big(void)
{
    for (enum tdw_model model = TDW_CALLBACK; model <= TDW_STACKFUL; model++) {
        const struct tdw_world_options options = {.ops_max = MILLION + 16, .stack_bytes = 8192};
        struct tdw_after after;
        int ret;

        seen[0] = 0;
        ret = tdw_test_run(&options, million_main, &model, &after);
        printf("model %d: %lld tasks slept, %llu steps: %s\n", (int)model, (long long)seen[0],
               (unsigned long long)after.steps, ret == 0 && seen[0] == MILLION ? "ok" : "FAILED");
        if (ret != 0 || seen[0] != MILLION)
            return 1;
    }
    return 0;
}

int tests_models(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stackless_functions_nest_loop_and_switch),
        cmocka_unit_test(stackful_tasks_wait_at_any_depth),
        cmocka_unit_test(the_models_mix_in_one_program),
        cmocka_unit_test(a_coroutine_that_ends_with_an_op_in_flight_is_found),
        cmocka_unit_test(a_stack_overflow_names_its_task),
    };

    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
