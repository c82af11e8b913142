/* SPDX-License-Identifier: MIT */
/*
 * Choices: draws are uniform where it matters, keyed so that edits elsewhere leave them alone, and
 * can be overridden and replayed one by one.
 */
#include "tests.h"
#include <stdlib.h>

static double chi_square(const uint32_t *counts, int bins, uint32_t total)
{
    const double expected = (double)total / bins;
    double sum = 0;

    for (int i = 0; i < bins; i++)
        sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    return sum;
}

/* Neighbouring keys, all pairs of 16 bins: 255 degrees of freedom; 99.99 % of fair draws are < 350.
 */
static void neighbouring_keys_draw_independently(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        uint32_t high[256] = {0}, low[256] = {0};

        for (uint64_t i = 0; i < 65536; i++) {
            const uint64_t a = tdw__mix(seed, i), b = tdw__mix(seed, i + 1);

            high[(a >> 60) << 4 | b >> 60]++;
            low[(a & 15) << 4 | (b & 15)]++;
        }
        assert_true(chi_square(high, 256, 65536) < 350);
        assert_true(chi_square(low, 256, 65536) < 350);
    }
}

static uint32_t seen[8];

static void choose_once(void *arg)
{
    (void)arg;
    seen[tdw_choose("which", 8)]++;
}

static void a_random_choice_is_uniform_over_seeds(void **state)
{
    (void)state;
    memset(seen, 0, sizeof seen);
    for (uint64_t seed = 0; seed < 8000; seed++) {
        const struct tdw_world_options options = {.seed = seed, .strategy = TDW_RANDOM};

        assert_int_equal(tdw_test_run(&options, choose_once, NULL, NULL), 0);
    }
    assert_true(chi_square(seen, 8, 8000) < 30); /* 7 degrees of freedom */
}

/* ── The order of two tasks, with and without an unrelated one ─────────────────────────────── */

static char order[64];
static size_t order_at;
static char letter_a[] = "a", letter_b[] = "b", letter_x[] = "x";

static void worker(void *arg)
{
    for (int i = 0; i < 5; i++) {
        tdw_nop();
        if (*(const char *)arg != 'x' && order_at < sizeof order)
            order[order_at++] = *(const char *)arg;
    }
}

static void two_tasks(void *arg)
{
    tdw_spawn_stackful("a", worker, letter_a);
    if (arg)
        tdw_spawn_stackful("x", worker, letter_x);
    tdw_spawn_stackful("b", worker, letter_b);
}

static void latencies_survive_an_unrelated_task(void **state)
{
    int same = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        const struct tdw_world_options options = {.seed = seed, .strategy = TDW_RANDOM};
        char before[64] = "";

        order_at = 0;
        tdw_test_run(&options, two_tasks, NULL, NULL);
        memcpy(before, order, sizeof before);
        order_at = 0;
        tdw_test_run(&options, two_tasks, letter_x, NULL);
        same += memcmp(before, order, sizeof before) == 0;
    }
    assert_true(same >= 190); /* but for ties, which the random walk decides anew */
}

/* ── Overrides and scripts ─────────────────────────────────────────────────────────────────── */

struct recorder {
    struct tdw_tap tap;
    struct tdw_answer answers[4096];
    size_t count;
};

static void record(struct tdw_tap *tap, const struct tdw_event *event)
{
    struct recorder *r = tdw_of(tap, struct recorder, tap);

    if (event->kind == TDW_E_CHOICE && r->count < 4096)
        r->answers[r->count++] = (struct tdw_answer){.kind = event->opcode,
                                                     .key = event->data,
                                                     .bound = (uint32_t)event->off,
                                                     .value = event->len};
}

static struct recorder recorder;

static struct tdw_digest recorded_run(uint64_t seed, enum tdw_schedule schedule)
{
    const struct tdw_world_options options = {
        .seed = seed, .strategy = TDW_RANDOM, .schedule = schedule};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_digest digest;

    recorder.tap.event = record;
    recorder.count = 0;
    tdw_tap_add(tdw_world_loop(world), &recorder.tap);
    assert_int_equal(tdw_world_run(world, two_tasks, letter_x), 0);
    digest = tdw_world_digest(world);
    tdw_world_free(world);
    return digest;
}

static void a_script_of_all_choices_gives_the_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        const enum tdw_schedule schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED;
        const struct tdw_digest digest = recorded_run(seed, schedule);
        const struct tdw_world_options other = {.strategy = TDW_CALM, .schedule = schedule};
        struct tdw_world *world = tdw_world_new(&other);

        tdw_world_replay(world, recorder.answers, recorder.count);
        assert_int_equal(tdw_world_run(world, two_tasks, letter_x), 0);
        assert_true(tdw_world_diverged(world) == SIZE_MAX);
        assert_true(tdw_digest_equal(tdw_world_digest(world), digest));
        tdw_world_free(world);
    }
}

static void a_script_that_does_not_fit_is_told_where(void **state)
{
    const struct tdw_world_options options = {.strategy = TDW_CALM};
    struct tdw_world *world;

    (void)state;
    recorded_run(7, TDW_TIMED);
    assert_true(recorder.count > 10);
    recorder.answers[10].bound++;
    world = tdw_world_new(&options);
    tdw_world_replay(world, recorder.answers, recorder.count);
    tdw_world_run(world, two_tasks, letter_x);
    assert_int_equal(tdw_world_diverged(world), 10);
    tdw_world_free(world);
}

/* All choices as overrides of the calm run: by key, in any order. */
static void overrides_by_key_give_the_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        const enum tdw_schedule schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED;
        const struct tdw_digest digest = recorded_run(seed, schedule);
        const struct tdw_world_options calm = {.strategy = TDW_CALM, .schedule = schedule};
        struct tdw_world *world = tdw_world_new(&calm);

        for (size_t i = 0; i < recorder.count / 2; i++) {
            const struct tdw_answer swap = recorder.answers[i];

            recorder.answers[i] = recorder.answers[recorder.count - 1 - i];
            recorder.answers[recorder.count - 1 - i] = swap;
        }
        tdw_world_guide(world, recorder.answers, recorder.count);
        assert_int_equal(tdw_world_run(world, two_tasks, letter_x), 0);
        assert_int_equal(tdw_world_unused_answers(world), 0);
        assert_true(tdw_digest_equal(tdw_world_digest(world), digest));
        tdw_world_free(world);
    }
}

static void an_override_that_does_not_apply_is_counted(void **state)
{
    const struct tdw_world_options options = {.strategy = TDW_CALM};
    const struct tdw_answer stranger = {.kind = TDW_CHOOSE_APP, .key = 42, .value = 1, .bound = 2};
    struct tdw_world *world = tdw_world_new(&options);

    (void)state;
    tdw_world_guide(world, &stranger, 1);
    assert_int_equal(tdw_world_run(world, two_tasks, NULL), 0);
    assert_int_equal(tdw_world_unused_answers(world), 1);
    tdw_world_free(world);
}

int tests_choices(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbouring_keys_draw_independently),
        cmocka_unit_test(a_random_choice_is_uniform_over_seeds),
        cmocka_unit_test(latencies_survive_an_unrelated_task),
        cmocka_unit_test(a_script_of_all_choices_gives_the_same_run),
        cmocka_unit_test(a_script_that_does_not_fit_is_told_where),
        cmocka_unit_test(overrides_by_key_give_the_same_run),
        cmocka_unit_test(an_override_that_does_not_apply_is_counted),
    };

    return cmocka_run_group_tests_name("choices", tests, NULL, NULL);
}
