/* SPDX-License-Identifier: MIT */
/*
 * Histories that are known to be good or bad, what is said of them, and the check in scenarios.
 *
 * The scenarios are clients of a small store (an array, a mutex, waits in between), in the three
 * models: one that is right, and one that reads what its client wrote last.
 */
#include "tests.h"
#include <stdio.h>
#include <stdlib.h>
#include <tidewheel/history.h>

static struct tdw_history h;
static struct tdw_checked checked;

static uint32_t ok(uint32_t op, int64_t result)
{
    tdw_history_ok(&h, op, result);
    return op;
}
#define OK(result, ...) ok(tdw_history_invoke(&h, __VA_ARGS__), result)

static void begin(const struct tdw_spec *spec)
{
    tdw_history_init(&h, "object", spec);
}

static enum tdw_linearizable check(void)
{
    return tdw_history_check(&h, &checked);
}

/* ── Known histories ───────────────────────────────────────────────────────────────────────── */

static void a_stale_read_is_named_with_what_it_could_have_been(void **state)
{
    uint32_t put, get;

    (void)state;
    begin(&tdw_spec_map);
    OK(0, TDW_MAP_PUT, 7, 3);
    OK(0, TDW_MAP_PUT, 7, 5);
    OK(0, TDW_MAP_PUT, 8, 1);
    put = tdw_history_invoke(&h, TDW_MAP_PUT, 7, 4);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    get = OK(3, TDW_MAP_GET, 7);
    ok(put, 0);
    OK(4, TDW_MAP_GET, 7);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_int_equal(checked.op, get);
    assert_int_equal(checked.event, 9);
    assert_string_equal(checked.text, "get(k7) = 3, returned at 0.000 us, cannot be: the map could "
                                      "only be {k7: 5} or {k7: 4}");
}

static void a_lost_update_is_found(void **state)
{
    uint32_t a, b;

    (void)state;
    begin(&tdw_spec_register);
    OK(0, TDW_REGISTER_WRITE, 1);
    a = tdw_history_invoke(&h, TDW_REGISTER_CAS, 1, 2);
    b = tdw_history_invoke(&h, TDW_REGISTER_CAS, 1, 3);
    ok(a, 1);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    ok(b, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_int_equal(checked.op, b);
    assert_non_null(strstr(checked.text, "cas(1, 3) = yes"));
    assert_non_null(strstr(checked.text, "the register could only be "));
}

static void a_lock_granted_twice_is_found(void **state)
{
    uint32_t second, release;

    (void)state;
    begin(&tdw_spec_lock);
    OK(0, TDW_LOCK_ACQUIRE, 1);
    second = tdw_history_invoke(&h, TDW_LOCK_ACQUIRE, 2);
    assert_int_equal(OK(0, TDW_LOCK_TRY_ACQUIRE, 3), 2);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    ok(second, 0);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_string_equal(checked.text, "acquire(2), returned at 0.000 us, cannot be: the lock could "
                                      "only be held by 1");

    begin(&tdw_spec_lock); /* and this is none: the release was under way */
    OK(0, TDW_LOCK_ACQUIRE, 1);
    release = tdw_history_invoke(&h, TDW_LOCK_RELEASE, 1);
    OK(0, TDW_LOCK_ACQUIRE, 2);
    ok(release, 0);
    assert_int_equal(check(), TDW_LINEARIZABLE);
}

static void a_queue_that_reorders_is_found(void **state)
{
    (void)state;
    begin(&tdw_spec_queue);
    OK(TDW_NONE, TDW_QUEUE_DEQUEUE);
    OK(0, TDW_QUEUE_ENQUEUE, 1);
    OK(0, TDW_QUEUE_ENQUEUE, 2);
    OK(2, TDW_QUEUE_DEQUEUE);
    OK(1, TDW_QUEUE_DEQUEUE);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_string_equal(checked.text, "dequeue() = 2, returned at 0.000 us, cannot be: the queue "
                                      "could only be [1, 2]");
}

static void a_crash_must_not_lose_what_was_acknowledged(void **state)
{
    (void)state;
    begin(&tdw_spec_map);
    OK(0, TDW_MAP_PUT, 1, 5);
    tdw_history_crash(&h, 0);
    OK(TDW_NONE, TDW_MAP_GET, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_non_null(strstr(checked.text, "get(k1) = none"));
}

/* The write was given up, the store crashed; a first read does not see it, a second one does. */
static enum tdw_linearizable seen_late(bool in_flight, bool crashes)
{
    uint32_t put;

    begin(&tdw_spec_map);
    put = tdw_history_invoke(&h, TDW_MAP_PUT, 1, 5);
    if (in_flight)
        tdw_history_directed(&h, put, TDW_IN_FLIGHT);
    tdw_history_unknown(&h, put);
    if (crashes)
        tdw_history_crash(&h, 0);
    OK(TDW_NONE, TDW_MAP_GET, 1);
    OK(5, TDW_MAP_GET, 1);
    return check();
}

static void an_unknown_write_appears_late_unless_its_store_crashed(void **state)
{
    (void)state;
    assert_int_equal(seen_late(false, false), TDW_LINEARIZABLE);
    assert_int_equal(seen_late(true, true), TDW_LINEARIZABLE);
    assert_int_equal(seen_late(false, true), TDW_NOT_LINEARIZABLE);
}

/* It was sent again: so nothing before its return was wrong, and what comes behind may be. */
static void a_write_that_returns_after_the_crash_has_outlived_it(void **state)
{
    uint32_t put, get;

    (void)state;
    begin(&tdw_spec_map);
    put = tdw_history_invoke(&h, TDW_MAP_PUT, 1, 5);
    tdw_history_crash(&h, 0);
    OK(TDW_NONE, TDW_MAP_GET, 1);
    OK(5, TDW_MAP_GET, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    ok(put, 0);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    get = OK(TDW_NONE, TDW_MAP_GET, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_int_equal(checked.op, get);
}

static void what_failed_must_not_be_seen(void **state)
{
    uint32_t put;

    (void)state;
    begin(&tdw_spec_map);
    put = tdw_history_invoke(&h, TDW_MAP_PUT, 1, 5);
    OK(5, TDW_MAP_GET, 1);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    tdw_history_fail(&h, put);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_int_equal(checked.op, put);
    assert_string_equal(checked.text, "put(k1, 5), without effect as was told at 0.000 us, cannot "
                                      "be: what came before has seen its effect");
}

static void a_map_is_whole_if_an_operation_spans_keys(void **state)
{
    (void)state;
    begin(&tdw_spec_map);
    OK(0, TDW_MAP_PUT, 1, 5);
    OK(1, TDW_MAP_MOVE, 1, 2);
    OK(1, TDW_MAP_COUNT);
    OK(5, TDW_MAP_GET, 2);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    OK(5, TDW_MAP_GET, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_non_null(strstr(checked.text, "{k2: 5}"));
}

/* ── A specification of one's own ──────────────────────────────────────────────────────────── */

enum { COUNTER_ADD };

static int32_t counter_step(const struct tdw_operation *operation, int64_t *state, uint32_t words)
{
    const int64_t sum = (words ? state[0] : 0) + operation->args[0];

    if (operation->result != TDW_ANY && operation->result != sum)
        return -1;
    state[0] = sum;
    return 1;
}

static void counter_tell(const int64_t *state, uint32_t words, char *text, size_t bytes)
{
    snprintf(text, bytes, "%d", words ? (int)state[0] : 0);
}

static void a_program_adds_its_own_specification(void **state)
{
    static const struct tdw_spec_verb verbs[] = {[COUNTER_ADD] = {"add", "v", 'v', .reads = false}};
    static const struct tdw_spec counter = {.name = "counter",
                                            .verbs = verbs,
                                            .verbs_count = 1,
                                            .grows = 1,
                                            .step = counter_step,
                                            .tell = counter_tell};
    uint32_t late;

    (void)state;
    begin(&counter);
    OK(2, COUNTER_ADD, 2);
    late = tdw_history_invoke(&h, COUNTER_ADD, 3);
    OK(3, COUNTER_ADD, 1);
    ok(late, 6);
    assert_int_equal(check(), TDW_LINEARIZABLE);
    OK(6, COUNTER_ADD, 1);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    assert_string_equal(checked.text,
                        "add(1) = 6, returned at 0.000 us, cannot be: the counter could only be 6");
}

/* ── Limits ────────────────────────────────────────────────────────────────────────────────── */

static void beyond_its_limits_the_check_gives_up(void **state)
{
    (void)state;
    begin(&tdw_spec_map);
    for (int i = 0; i < 14; i++)
        tdw_history_unknown(&h, tdw_history_invoke(&h, TDW_MAP_PUT, i, i));
    OK(100, TDW_MAP_COUNT);
    h.steps_max = 100;
    assert_int_equal(check(), TDW_GAVE_UP);
    assert_non_null(strstr(checked.text, "gave up after"));
    assert_in_range(checked.steps, 100, 300);
    h.steps_max = 100000000;
    h.bytes_max = 64;
    assert_int_equal(check(), TDW_GAVE_UP);
    h.bytes_max = (size_t)1 << 30;
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    h.lost = true;
    assert_int_equal(tdw_history_invoke(&h, TDW_MAP_COUNT), TDW_HISTORY_FULL);
    tdw_history_ok(&h, TDW_HISTORY_FULL, 0);
    assert_int_equal(check(), TDW_GAVE_UP);
    assert_string_equal(checked.text, "there was no memory to record it all");
}

struct lines {
    unsigned count;
    char all[4096];
};

static void add_line(void *out, const char *text)
{
    struct lines *lines = out;

    lines->count++;
    strncat(lines->all, text, sizeof lines->all - strlen(lines->all) - 1);
    strncat(lines->all, "\n", sizeof lines->all - strlen(lines->all) - 1);
}

static void at_most_fifteen_operations_are_told(void **state)
{
    struct lines lines = {0, ""};

    (void)state;
    begin(&tdw_spec_map);
    OK(0, TDW_MAP_PUT, 1, 77);
    for (int i = 0; i < 100; i++)
        OK(0, TDW_MAP_PUT, i % 2 + 1, i + 100);
    tdw_history_crash(&h, 0);
    OK(77, TDW_MAP_GET, 1);
    OK(0, TDW_MAP_PUT, 1, 5);
    assert_int_equal(check(), TDW_NOT_LINEARIZABLE);
    tdw_history_tell(&h, &checked, add_line, &lines);
    assert_int_equal(lines.count, 16); /* with the crash */
    assert_non_null(strstr(lines.all, "put(k1, 77)"));
    assert_non_null(strstr(lines.all, "store 0 crashes"));
    assert_non_null(strstr(lines.all, "\n*"));
    assert_null(strstr(lines.all, "k2"));
    assert_null(strstr(lines.all, "put(k1, 5)"));
}

/* ── In scenarios ──────────────────────────────────────────────────────────────────────────── */

enum { CLIENTS = 3, ROUNDS = 6 };

static struct {
    bool records, is_stale;
    struct tdw_mutex mutex;
    struct tdw_wg left;
    int64_t value;
    enum tdw_linearizable verdict;
} store;

struct client {
    struct tdw_frame frame;
    struct tdw_op op;
    int64_t seen;
    uint32_t handle;
    int round, n;
};

static void fresh(void)
{
    store.value = TDW_NONE;
    tdw_mutex_init(&store.mutex, "mutex");
    tdw_wg_init(&store.left, "left");
    tdw_wg_add(&store.left, CLIENTS);
    tdw_history_init(&h, "store", &tdw_spec_register);
}

static bool writes(const struct client *me)
{
    return me->round % 3 == 0; /* the second read that follows can be stale */
}
static int64_t number(const struct client *me)
{
    return (int64_t)(tdw_self()->index * 100) + me->round;
}

static void before(struct client *me)
{
    if (store.records)
        me->handle = writes(me) ? tdw_history_invoke(&h, TDW_REGISTER_WRITE, number(me))
                                : tdw_history_invoke(&h, TDW_REGISTER_READ);
}

/* Behind the lock and a wait: the effect. */
static void after(struct client *me)
{
    if (writes(me))
        store.value = number(me);
    if (writes(me) || !store.is_stale)
        me->seen = store.value;
    tdw_mark("seen", (uint64_t)me->seen);
    tdw_mutex_unlock(&store.mutex);
    if (store.records)
        tdw_history_ok(&h, me->handle, writes(me) ? 0 : me->seen);
    me->round++;
}

static void judge(void)
{
    if (store.records)
        store.verdict = tdw_check_linearizable(&h);
}

static void client_stackful(void *unused)
{
    struct client me = {.round = 0};

    (void)unused;
    while (me.round < ROUNDS) {
        before(&me);
        tdw_lock(&store.mutex);
        tdw_sleep(100);
        after(&me);
    }
    tdw_wg_done(&store.left);
}
static void test_stackful(void *unused)
{
    fresh();
    for (int i = 0; i < CLIENTS; i++)
        tdw_spawn_stackful("client", client_stackful, unused);
    tdw_wg_wait(&store.left);
    judge();
}

TDW_CO(client_stackless)
{
    TDW_BEGIN(struct client, me);
    while (me->round < ROUNDS) {
        before(me);
        TDW_AWAIT(me->n, lock, &store.mutex);
        TDW_AWAIT(me->n, sleep, 100);
        after(me);
    }
    tdw_wg_done(&store.left);
    TDW_RETURN(0);
    TDW_END;
}
TDW_CO(test_stackless)
{
    TDW_BEGIN(struct client, me);
    fresh();
    for (int i = 0; i < CLIENTS; i++)
        TDW_SPAWN("client", client_stackless, struct client);
    TDW_AWAIT(me->n, wg_wait, &store.left);
    judge();
    TDW_RETURN(0);
    TDW_END;
}

#define CLIENT(op_) tdw_of(op_, struct client, op)
static void next_round(struct client *me);
static void slept(struct tdw_op *op)
{
    after(CLIENT(op));
    next_round(CLIENT(op));
}
static void locked(struct tdw_op *op)
{
    TDW_ON(op, slept, sleep, 100);
}
static void next_round(struct client *me)
{
    if (me->round == ROUNDS) {
        tdw_wg_done(&store.left);
        return;
    }
    before(me);
    TDW_ON(&me->op, locked, lock, &store.mutex);
}
static void client_callback(void *unused)
{
    struct client *me = tdw_malloc(sizeof *me);

    (void)unused;
    memset(me, 0, sizeof *me);
    next_round(me);
}
static struct tdw_op waits;
static void all_left(struct tdw_op *op)
{
    (void)op;
    judge();
}
static void test_callback(void *unused)
{
    fresh();
    for (int i = 0; i < CLIENTS; i++)
        tdw_spawn_callback("client", client_callback, unused);
    memset(&waits, 0, sizeof waits);
    TDW_ON(&waits, all_left, wg_wait, &store.left);
}

static void main_task(void *arg)
{
    switch (*(const enum tdw_model *)arg) {
    case TDW_CALLBACK:
        tdw_spawn_callback("test", test_callback, NULL);
        break;
    case TDW_STACKLESS:
        TDW_SPAWN("test", test_stackless, struct client);
        break;
    case TDW_STACKFUL:
        tdw_spawn_stackful("test", test_stackful, NULL);
        break;
    }
}

static struct tdw_after run(enum tdw_model model, uint64_t seed)
{
    const struct tdw_world_options options = {.seed = seed, .strategy = TDW_RANDOM};
    struct tdw_after outcome;

    assert_int_equal(tdw_test_run(&options, main_task, &model, &outcome), 0);
    return outcome;
}

static void recording_is_no_part_of_the_digest_in_any_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct tdw_digest digest;

        store.records = store.is_stale = false;
        digest = run(TDW_CALLBACK, seed).digest;
        store.records = true;
        for (int model = 0; model < 3; model++) {
            const struct tdw_after outcome = run((enum tdw_model)model, seed);

            assert_string_equal(outcome.text, "");
            assert_true(tdw_digest_equal(outcome.digest, digest));
            assert_int_equal(store.verdict, TDW_LINEARIZABLE);
            assert_int_equal(h.ops_count, CLIENTS * ROUNDS);
        }
    }
}

static void a_stale_store_fails_the_run_alike_in_the_three_models(void **state)
{
    struct tdw_after first = {.findings = 0};
    uint64_t seed = 0;

    (void)state;
    store.records = store.is_stale = true;
    while (first.findings == 0 && seed < 100)
        first = run(TDW_CALLBACK, ++seed);
    assert_non_null(strstr(first.text, "store is not linearizable: read() = "));
    assert_non_null(strstr(first.text, " us by main/main#0/test#0/client#"));
    assert_non_null(strstr(first.text, "the register could only be "));
    for (int model = 1; model < 3; model++) {
        const struct tdw_after outcome = run((enum tdw_model)model, seed);

        assert_string_equal(outcome.text, first.text);
        assert_true(tdw_digest_equal(outcome.digest, first.digest));
    }
    tdw_history_fini(&h);
}

int tests_history(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_read_is_named_with_what_it_could_have_been),
        cmocka_unit_test(a_lost_update_is_found),
        cmocka_unit_test(a_lock_granted_twice_is_found),
        cmocka_unit_test(a_queue_that_reorders_is_found),
        cmocka_unit_test(a_crash_must_not_lose_what_was_acknowledged),
        cmocka_unit_test(an_unknown_write_appears_late_unless_its_store_crashed),
        cmocka_unit_test(a_write_that_returns_after_the_crash_has_outlived_it),
        cmocka_unit_test(what_failed_must_not_be_seen),
        cmocka_unit_test(a_map_is_whole_if_an_operation_spans_keys),
        cmocka_unit_test(a_program_adds_its_own_specification),
        cmocka_unit_test(beyond_its_limits_the_check_gives_up),
        cmocka_unit_test(at_most_fifteen_operations_are_told),
        cmocka_unit_test(recording_is_no_part_of_the_digest_in_any_model),
        cmocka_unit_test(a_stale_store_fails_the_run_alike_in_the_three_models),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
