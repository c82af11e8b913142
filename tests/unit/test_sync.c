/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation objects, each in a program whose outcome is right under every schedule: many
 * seeds, both meanings.
 */
#include "tests.h"

static int errors;
static struct {
    struct tdw_mutex mutex;
    struct tdw_cond cond;
    struct tdw_sem sem;
    struct tdw_chan chan;
    struct tdw_wg wg;
    struct tdw_token token;
    void *room[3];
    int inside, sum, taken, ready;
} s;

static void wrong(bool bad)
{
    errors += bad;
}

/* Under 200 seeds in both meanings: ends, without finding, and no `wrong`. */
static void under_all(void (*main)(void *))
{
    for (uint64_t seed = 0; seed < 400; seed++) {
        const struct tdw_world_options options = {
            .seed = seed, .strategy = TDW_RANDOM, .schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED};
        struct tdw_after after;

        memset(&s, 0, sizeof s);
        errors = 0;
        assert_int_equal(tdw_test_run(&options, main, NULL, &after), 0);
        assert_int_equal(after.findings, 0);
        assert_int_equal(errors, 0);
    }
}

/* ── Mutex ─────────────────────────────────────────────────────────────────────────────────── */

static void locker(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        wrong(tdw_lock(&s.mutex) != 0);
        wrong(s.inside++ != 0);
        tdw_nop();
        wrong(tdw_mutex_trylock(&s.mutex));
        wrong(--s.inside != 0);
        tdw_mutex_unlock(&s.mutex);
    }
}

static void mutex_main(void *unused)
{
    tdw_mutex_init(&s.mutex, "m");
    for (int i = 0; i < 4; i++)
        tdw_spawn_stackful("locker", locker, unused);
}

static void one_at_a_time_holds_a_mutex(void **state)
{
    (void)state;
    under_all(mutex_main);
}

/* ── Condition ─────────────────────────────────────────────────────────────────────────────── */

static void waiter(void *unused)
{
    (void)unused;
    wrong(tdw_lock(&s.mutex) != 0);
    while (!s.ready)
        wrong(tdw_cond_wait(&s.cond, &s.mutex) != 0);
    wrong(s.mutex.owner != tdw_self());
    s.sum++;
    tdw_mutex_unlock(&s.mutex);
}

static void hasty(void *unused)
{
    int n;

    (void)unused;
    tdw_lock(&s.mutex);
    n = TDW_DO_WITHIN(1, cond_wait, &s.cond, &s.mutex);
    wrong(n != 0 && n != -ETIME);
    wrong(s.mutex.owner != tdw_self()); /* held again, also after a time-out */
    tdw_mutex_unlock(&s.mutex);
}

static void waker(void *unused)
{
    (void)unused;
    tdw_sleep(3000);
    tdw_lock(&s.mutex);
    s.ready = 1;
    tdw_cond_broadcast(&s.cond);
    tdw_cond_signal(&s.cond); /* nobody waits: no effect */
    tdw_mutex_unlock(&s.mutex);
}

static void check_three(void *unused)
{
    struct tdw_task *tasks[4];

    (void)unused;
    for (int i = 0; i < 3; i++)
        tasks[i] = tdw_spawn_stackful("waiter", waiter, NULL);
    tasks[3] = tdw_spawn_stackful("hasty", hasty, NULL);
    tdw_spawn_stackful("waker", waker, NULL);
    for (int i = 0; i < 4; i++)
        tdw_join(tasks[i]);
    wrong(s.sum != 3);
}

static void cond_main(void *unused)
{
    tdw_mutex_init(&s.mutex, "m");
    tdw_cond_init(&s.cond, "c");
    tdw_spawn_stackful("test", check_three, unused);
}

static void a_condition_wakes_all_and_returns_the_mutex(void **state)
{
    (void)state;
    under_all(cond_main);
}

/* ── Semaphore, wait group, token ──────────────────────────────────────────────────────────── */

static void user(void *unused)
{
    (void)unused;
    wrong(tdw_sem_take(&s.sem) != 0);
    wrong(++s.inside > 2);
    tdw_nop();
    s.inside--;
    tdw_sem_post(&s.sem);
    tdw_wg_done(&s.wg);
}

static void until_cancelled(void *unused)
{
    (void)unused;
    wrong(tdw_token_wait(&s.token) != 0);
    wrong(s.wg.left != 0);
    wrong(tdw_token_wait(&s.token) != 0);
    s.sum++;
}

static void group(void *unused)
{
    struct tdw_task *last;

    tdw_wg_add(&s.wg, 5);
    for (int i = 0; i < 5; i++)
        tdw_spawn_stackful("user", user, unused);
    last = tdw_spawn_stackful("until", until_cancelled, unused);
    wrong(tdw_wg_wait(&s.wg) != 0);
    wrong(s.inside != 0 || s.sem.count != 2);
    tdw_token_cancel(&s.token);
    tdw_join(last);
    wrong(s.sum != 1);
    wrong(tdw_wg_wait(&s.wg) != 0);
}

static void group_main(void *unused)
{
    tdw_sem_init(&s.sem, "s", 2);
    tdw_wg_init(&s.wg, "w");
    tdw_token_init(&s.token, "t");
    tdw_spawn_stackful("test", group, unused);
}

static void semaphores_groups_and_tokens_count(void **state)
{
    (void)state;
    under_all(group_main);
}

static void done_too_often(void *unused)
{
    (void)unused;
    tdw_wg_init(&s.wg, "w");
    tdw_wg_add(&s.wg, 1);
    tdw_wg_done(&s.wg);
    tdw_wg_done(&s.wg);
    wrong(s.wg.left != 0);
}

static void too_many_ends_are_a_finding(void **state)
{
    const struct tdw_world_options options = {.seed = 1};
    struct tdw_after after;

    (void)state;
    errors = 0;
    assert_int_equal(tdw_test_run(&options, done_too_often, NULL, &after), 0);
    assert_int_equal(after.findings, 1);
    assert_int_equal(errors, 0);
}

/* ── Channel ───────────────────────────────────────────────────────────────────────────────── */

static void producer(void *arg)
{
    for (uintptr_t i = 1; i <= 4; i++)
        wrong(tdw_put(&s.chan, (void *)((uintptr_t)arg * 100 + i)) != 0);
    if (--s.ready == 0)
        tdw_chan_close(&s.chan);
}

static void consumer(void *unused)
{
    uintptr_t last[4] = {0};
    void *item;
    int n;

    (void)unused;
    while ((n = tdw_take(&s.chan, &item)) == 0) {
        const uintptr_t from = (uintptr_t)item / 100, number = (uintptr_t)item % 100;

        wrong(number <= last[from]); /* of one producer: in order */
        last[from] = number;
        s.taken++;
    }
    wrong(n != -EPIPE);
    wrong(tdw_put(&s.chan, NULL) != -EPIPE);
}

static void chan_test(void *arg)
{
    struct tdw_task *task;

    s.ready = 3;
    for (uintptr_t i = 1; i <= 3; i++)
        tdw_spawn_stackful("producer", producer, (void *)i);
    task = tdw_spawn_stackful("consumer", consumer, arg);
    tdw_spawn_stackful("consumer", consumer, arg);
    tdw_join(task);
}

static void chan_main(void *unused)
{
    tdw_chan_init(&s.chan, "c", s.room, 3);
    tdw_spawn_stackful("test", chan_test, unused);
}

static void rendezvous_main(void *unused)
{
    tdw_chan_init(&s.chan, "c", NULL, 0);
    tdw_spawn_stackful("test", chan_test, unused);
}

static void a_channel_loses_and_reorders_nothing(void **state)
{
    (void)state;
    under_all(chan_main);
    under_all(rendezvous_main);
}

static int tried[8];

static void try_channel(void *unused)
{
    void *item = NULL;

    (void)unused;
    tdw_chan_init(&s.chan, "c", s.room, 1);
    tried[0] = tdw_chan_trytake(&s.chan, &item);
    tried[1] = tdw_chan_tryput(&s.chan, s.room);
    tried[2] = tdw_chan_tryput(&s.chan, s.room);
    tried[3] = tdw_chan_trytake(&s.chan, &item);
    tried[4] = item == (void *)s.room;
    tdw_chan_close(&s.chan);
    tried[5] = tdw_chan_tryput(&s.chan, NULL);
    tried[6] = tdw_chan_trytake(&s.chan, &item);
}

static void the_forms_that_do_not_wait_say_so(void **state)
{
    const struct tdw_world_options options = {.seed = 0};

    (void)state;
    tdw_test_run(&options, try_channel, NULL, NULL);
    assert_int_equal(tried[0], -EAGAIN);
    assert_int_equal(tried[1], 0);
    assert_int_equal(tried[2], -EAGAIN);
    assert_int_equal(tried[3], 0);
    assert_int_equal(tried[4], 1);
    assert_int_equal(tried[5], -EPIPE);
    assert_int_equal(tried[6], -EPIPE);
}

/* ── Stopping ──────────────────────────────────────────────────────────────────────────────── */

static void endless(void *unused)
{
    void *item;

    (void)unused;
    s.taken = tdw_take(&s.chan, &item);
    s.sum = tdw_sleep(1000); /* told to stop: no wait lasts any more */
    s.ready = tdw_open("still", O_CREAT | O_RDWR, 0600) >= 0; /* but there is tidying up */
}

static void stop_test(void *unused)
{
    struct tdw_task *task = tdw_spawn_stackful("endless", endless, unused);

    tdw_sleep(10);
    tdw_stop(task);
    wrong(tdw_join(task) != 0);
    wrong(s.taken != -ECANCELED || s.sum != -ECANCELED || !s.ready);
    tdw_daemon(tdw_spawn_stackful("daemon", endless, unused)); /* cancelled at the end of the run */
}

static void stop_main(void *unused)
{
    tdw_chan_init(&s.chan, "c", NULL, 0);
    tdw_spawn_stackful("test", stop_test, unused);
}

static void a_stopped_task_ends_and_may_tidy_up(void **state)
{
    (void)state;
    under_all(stop_main);
}

int tests_sync(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_holds_a_mutex),
        cmocka_unit_test(a_condition_wakes_all_and_returns_the_mutex),
        cmocka_unit_test(semaphores_groups_and_tokens_count),
        cmocka_unit_test(too_many_ends_are_a_finding),
        cmocka_unit_test(a_channel_loses_and_reorders_nothing),
        cmocka_unit_test(the_forms_that_do_not_wait_say_so),
        cmocka_unit_test(a_stopped_task_ends_and_may_tidy_up),
    };

    return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
