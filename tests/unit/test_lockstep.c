/* SPDX-License-Identifier: MIT */
/*
 * Random programs, written once as data and interpreted in each model: equal digests, in both
 * meanings; and the calm run is the same under both.
 *
 * A program is a few tasks with a few steps each (nop, sleep, yield, lock and unlock, put, take,
 * file writes and reads, a linked pair, a wait with a deadline, spawn and join). All waits end, or
 * are stopped with the daemons.
 */
#include "tests.h"

enum { TASKS = 4, STEPS = 10, CHILD = TASKS };
enum what { NOP, SLEEP, YIELD, LOCK, UNLOCK, PUT, TAKE, WRITE, READ, PAIR, WITHIN, JOIN, WHATS };

static struct {
    uint8_t steps[TASKS + 1][STEPS];
    struct tdw_mutex mutex;
    struct tdw_chan chan;
    void *room[2];
    int fd;
    char bytes[TASKS + 1][16];
} p;

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void make_program(uint64_t seed)
{
    memset(&p, 0, sizeof p);
    for (int t = 0; t <= CHILD; t++) {
        bool locked = false;

        for (int i = 0; i < STEPS; i++) {
            uint8_t what = (uint8_t)(next(&seed) % WHATS);

            if (what == LOCK && locked)
                what = UNLOCK;
            if (what == UNLOCK && !locked)
                what = NOP;
            if ((what == TAKE || what == PUT) && locked)
                what = SLEEP;
            if (what == JOIN && (t == CHILD || locked))
                what = YIELD;
            if (i == STEPS - 1)
                what = locked ? UNLOCK : NOP;
            if (what == LOCK || what == UNLOCK)
                locked = what == LOCK;
            p.steps[t][i] = what;
        }
    }
}

/* Calls the step macro of a model with the verb of step (t, i). PUT and TAKE have deadlines. */
#define DO_STEP(DO, DO_WITHIN, DO_PAIR, DO_JOIN, t, i)                                             \
    switch ((enum what)p.steps[t][i]) {                                                            \
    case NOP:                                                                                      \
        DO(nop);                                                                                   \
        break;                                                                                     \
    case SLEEP:                                                                                    \
        DO(sleep, 700u + 100u * (uint64_t)(i));                                                    \
        break;                                                                                     \
    case YIELD:                                                                                    \
        DO(yield);                                                                                 \
        break;                                                                                     \
    case LOCK:                                                                                     \
        DO(lock, &p.mutex);                                                                        \
        break;                                                                                     \
    case UNLOCK:                                                                                   \
        tdw_mutex_unlock(&p.mutex);                                                                \
        DO(nop);                                                                                   \
        break;                                                                                     \
    case PUT:                                                                                      \
        DO_WITHIN(2000, put, &p.chan, p.bytes);                                                    \
        break;                                                                                     \
    case TAKE:                                                                                     \
        DO_WITHIN(2000, take, &p.chan, ITEM);                                                      \
        break;                                                                                     \
    case WRITE:                                                                                    \
        DO(pwrite, p.fd, p.bytes[t], 16, 16u * (uint64_t)(i));                                     \
        break;                                                                                     \
    case READ:                                                                                     \
        DO(pread, p.fd, p.bytes[t], 16, 16u * (uint64_t)(i));                                      \
        break;                                                                                     \
    case PAIR:                                                                                     \
        DO_PAIR();                                                                                 \
        break;                                                                                     \
    case WITHIN:                                                                                   \
        DO_WITHIN(900, sleep, 800u + 50u * (uint64_t)(i));                                         \
        break;                                                                                     \
    case JOIN:                                                                                     \
        DO_JOIN();                                                                                 \
        break;                                                                                     \
    case WHATS:                                                                                    \
        break;                                                                                     \
    }

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void stackful_task(void *arg)
{
    const uintptr_t t = (uintptr_t)arg;
    void *item;
    struct tdw_op a = {0}, b = {0};

#define ITEM &item
#define DO(verb, ...) tdw_mark("n", (uint64_t)TDW_DO(verb, ##__VA_ARGS__))
#define DO_WITHIN(ns, verb, ...) tdw_mark("n", (uint64_t)TDW_DO_WITHIN(ns, verb, ##__VA_ARGS__))
#define DO_PAIR()                                                                                  \
    TDW_GO_LINKED(&a, pwrite, p.fd, p.bytes[t], 8, 0);                                             \
    TDW_GO(&b, fsync, p.fd);                                                                       \
    tdw_await_all((struct tdw_op *const[]){&a, &b}, 2);                                            \
    tdw_mark("n", (uint64_t)(a.res + b.res))
#define DO_JOIN() DO(join, tdw_spawn_stackful("child", stackful_task, (void *)CHILD))
    for (int i = 0; i < STEPS; i++)
        DO_STEP(DO, DO_WITHIN, DO_PAIR, DO_JOIN, t, i);
#undef ITEM
#undef DO
#undef DO_WITHIN
#undef DO_PAIR
#undef DO_JOIN
}

static void stackful_test(void *unused)
{
    (void)unused;
    p.fd = tdw_open("file", O_RDWR | O_CREAT, 0600);
    for (uintptr_t t = 0; t < TASKS; t++)
        tdw_spawn_stackful("task", stackful_task, (void *)t);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct task_frame {
    struct tdw_frame frame;
    struct tdw_op a, b, timer;
    struct tdw_op *both[2];
    uintptr_t t;
    int i, n;
    void *item;
};

TDW_CO(stackless_task)
{
    TDW_BEGIN(struct task_frame, me);
#define ITEM &me->item
#define DO(verb, ...)                                                                              \
    TDW_AWAIT(me->n, verb, ##__VA_ARGS__);                                                         \
    tdw_mark("n", (uint64_t)me->n)
#define DO_WITHIN(ns, verb, ...)                                                                   \
    TDW_AWAIT_WITHIN(me->n, &me->timer, ns, verb, ##__VA_ARGS__);                                  \
    tdw_mark("n", (uint64_t)me->n)
#define DO_PAIR()                                                                                  \
    TDW_GO_LINKED(&me->a, pwrite, p.fd, p.bytes[me->t], 8, 0);                                     \
    TDW_GO(&me->b, fsync, p.fd);                                                                   \
    me->both[0] = &me->a;                                                                          \
    me->both[1] = &me->b;                                                                          \
    TDW_AWAIT_ALL(me->both, 2);                                                                    \
    tdw_mark("n", (uint64_t)(me->a.res + me->b.res))
#define DO_JOIN() DO(join, TDW_SPAWN("child", stackless_task, struct task_frame, .t = CHILD))
    for (me->i = 0; me->i < STEPS; me->i++)
        DO_STEP(DO, DO_WITHIN, DO_PAIR, DO_JOIN, me->t, me->i); /* inside a switch, in a loop */
    TDW_RETURN(0);
    TDW_END;
#undef ITEM
#undef DO
#undef DO_WITHIN
#undef DO_PAIR
#undef DO_JOIN
}

TDW_CO(stackless_test)
{
    TDW_BEGIN(struct task_frame, me);
    TDW_AWAIT(p.fd, open, "file", O_RDWR | O_CREAT, 0600);
    for (me->t = 0; me->t < TASKS; me->t++)
        TDW_SPAWN("task", stackless_task, struct task_frame, .t = me->t);
    TDW_RETURN(0);
    TDW_END;
}

/* ── Callback ──────────────────────────────────────────────────────────────────────────────── */

struct task {
    struct tdw_op op, timer;
    struct tdw_member a, b;
    struct tdw_group pair;
    uintptr_t t;
    int i;
    void *item;
};

static void callback_task(void *arg);
static void step(struct task *task);

static void step_done(struct tdw_op *op)
{
    struct task *task = tdw_of(op, struct task, op);

    tdw_mark("n", (uint64_t)op->res);
    task->i++;
    step(task);
}

static void pair_done(struct tdw_group *group)
{
    struct task *task = tdw_of(group, struct task, pair);

    tdw_mark("n", (uint64_t)(task->a.op.res + task->b.op.res));
    task->i++;
    step(task);
}

static void step(struct task *task)
{
    if (task->i == STEPS) {
        tdw_free(task);
        return;
    }
#define ITEM &task->item
#define DO(verb, ...) TDW_ON(&task->op, step_done, verb, ##__VA_ARGS__)
#define DO_WITHIN(ns, verb, ...)                                                                   \
    TDW_ON_WITHIN(&task->op, &task->timer, ns, step_done, verb, ##__VA_ARGS__)
#define DO_PAIR()                                                                                  \
    task->pair = (struct tdw_group){.done = pair_done};                                            \
    task->a.group = task->b.group = &task->pair;                                                   \
    task->pair.left = 2;                                                                           \
    TDW_ON_LINKED(&task->a.op, tdw__member_done, pwrite, p.fd, p.bytes[task->t], 8, 0);            \
    TDW_ON(&task->b.op, tdw__member_done, fsync, p.fd)
#define DO_JOIN() DO(join, tdw_spawn_callback("child", callback_task, (void *)CHILD))
    DO_STEP(DO, DO_WITHIN, DO_PAIR, DO_JOIN, task->t, task->i);
}

static void callback_task(void *arg)
{
    struct task *task = tdw_malloc(sizeof *task);

    task->t = (uintptr_t)arg;
    step(task);
}

static void file_opened(struct tdw_op *op)
{
    p.fd = op->res;
    for (uintptr_t t = 0; t < TASKS; t++)
        tdw_spawn_callback("task", callback_task, (void *)t);
}

static void callback_test(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    memset(&op, 0, sizeof op);
    TDW_ON(&op, file_opened, open, "file", O_RDWR | O_CREAT, 0600);
}

/* ── The three, under the same choices ─────────────────────────────────────────────────────── */

static void start(void *arg)
{
    tdw_mutex_init(&p.mutex, "mutex");
    tdw_chan_init(&p.chan, "chan", p.room, 2);
    switch (*(const enum tdw_model *)arg) {
    case TDW_CALLBACK:
        tdw_spawn_callback("test", callback_test, NULL);
        break;
    case TDW_STACKLESS:
        TDW_SPAWN("test", stackless_test, struct task_frame);
        break;
    case TDW_STACKFUL:
        tdw_spawn_stackful("test", stackful_test, NULL);
        break;
    }
}

static struct tdw_after run_model(const struct tdw_world_options *options, enum tdw_model model)
{
    struct tdw_after after;
    int ret;

    make_program(options->seed);
    ret = tdw_test_run(options, start, &model, &after);
    if (ret != 0 || after.findings)
        print_error("seed %llu model %d: %d %s\n", (unsigned long long)options->seed, (int)model,
                    ret, after.text);
    assert_int_equal(ret, 0);
    assert_int_equal(after.findings, 0);
    return after;
}

static void random_programs_are_the_same_in_the_three_models(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        for (int schedule = TDW_TIMED; schedule <= TDW_ADVERSARY; schedule++) {
            const struct tdw_world_options options = {.seed = seed,
                                                      .strategy = TDW_RANDOM,
                                                      .schedule = (enum tdw_schedule)schedule,
                                                      .watch_buffers = false};
            const struct tdw_after a = run_model(&options, TDW_CALLBACK);
            const struct tdw_after b = run_model(&options, TDW_STACKLESS);
            const struct tdw_after c = run_model(&options, TDW_STACKFUL);

            if (!tdw_digest_equal(a.digest, b.digest) || !tdw_digest_equal(a.digest, c.digest))
                fail_msg("seed %llu schedule %d: steps %llu %llu %llu", (unsigned long long)seed,
                         schedule, (unsigned long long)a.steps, (unsigned long long)b.steps,
                         (unsigned long long)c.steps);
        }
    }
}

static void the_calm_run_is_the_same_under_both_meanings(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct tdw_world_options options = {.seed = seed, .strategy = TDW_CALM};
        const struct tdw_after timed = run_model(&options, TDW_STACKLESS);
        struct tdw_after adversary;

        options.schedule = TDW_ADVERSARY;
        adversary = run_model(&options, TDW_STACKLESS);
        if (!tdw_digest_equal(timed.digest, adversary.digest))
            fail_msg("program %llu", (unsigned long long)seed);
    }
}

int tests_lockstep(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_are_the_same_in_the_three_models),
        cmocka_unit_test(the_calm_run_is_the_same_under_both_meanings),
    };

    return cmocka_run_group_tests_name("lockstep", tests, NULL, NULL);
}
