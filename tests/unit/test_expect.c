/* SPDX-License-Identifier: MIT */
/*
 * Promises, and what is to happen some day or never: what is found wrong, and what is not.
 */
#include "tests.h"
#include <stdio.h>
#include <tidewheel/fault.h>
#include <tidewheel/scenario.h>

int tests_expect(void);

enum { MS = 1000000 };

static int value;

static bool is_seven(void *unused)
{
    (void)unused;
    return value == 7;
}

static void count_up(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++) {
        tdw_sleep(MS);
        value = i;
    }
}

static void never_main(void *unused)
{
    (void)unused;
    tdw_never(is_seven, NULL);
    tdw_spawn_stackful("count", count_up, NULL);
}

static void soon_main(void *unused)
{
    (void)unused;
    tdw_eventually(is_seven, NULL, (uint64_t)20 * MS);
    tdw_spawn_stackful("count", count_up, NULL);
}

static void too_soon_main(void *unused)
{
    (void)unused;
    tdw_eventually(is_seven, NULL, (uint64_t)5 * MS);
    tdw_spawn_stackful("count", count_up, NULL);
}

static void too_late_main(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("count", count_up, NULL);
    value = 8;
    tdw_eventually(is_seven, NULL, (uint64_t)3600 * 1000 * MS);
}

static void stopped(void *unused)
{
    (void)unused;
    tdw_sleep(MS);
}

static void never_comes_main(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("stop", stopped, NULL);
    tdw_eventually(is_seven, NULL, (uint64_t)3600 * 1000 * MS);
}

static struct tdw_after after_run(void (*main)(void *))
{
    const struct tdw_world_options options = {.seed = 2, .strategy = TDW_RANDOM};
    struct tdw_after after;

    value = 0;
    assert_int_equal(tdw_test_run(&options, main, NULL, &after), 0);
    return after;
}

static void what_never_happens_may_not(void **state)
{
    const struct tdw_after after = after_run(never_main);

    (void)state;
    assert_int_equal(after.findings, 1);
    assert_string_equal(after.text, "it was never to happen: is_seven");
    assert_int_equal(value, 7); /* the run ends there */
}

static void what_comes_about_in_time_is_enough(void **state)
{
    (void)state;
    assert_int_equal(after_run(soon_main).findings, 0);
    assert_int_equal(value, 9);
    assert_int_equal(after_run(too_late_main).findings, 0);
}

static void what_does_not_is_told(void **state)
{
    (void)state;
    assert_string_equal(after_run(too_soon_main).text, "it did not come about in time: is_seven");
    assert_string_equal(after_run(never_comes_main).text,
                        "it did not come about before the run ended: is_seven");
}

/* ── Promises ──────────────────────────────────────────────────────────────────────────────── */

static void (*promises)(void);

static void promise_main(void *unused)
{
    (void)unused;
    promises();
}

static const char *promised(void (*body)(void))
{
    static struct tdw_after after;

    promises = body;
    after = after_run(promise_main);
    return after.findings ? after.text : "";
}

static void nothing_is_promised(void)
{
    tdw_found(1, 0);
    tdw_attempted(1, 5);
    tdw_found(1, 0);
    tdw_found(1, 5);
}

static void the_newest_is_there(void)
{
    tdw_attempted(1, 5);
    tdw_acked(1, 5);
    tdw_attempted(1, 6);
    tdw_found(1, 5);
    tdw_found(1, 6);
    tdw_acked(1, 6);
    tdw_found(1, 6);
}

static void two_at_a_time(void)
{
    tdw_attempted(1, 5);
    tdw_attempted(1, 6);
    tdw_acked(1, 6);
    tdw_acked(1, 5);
    tdw_found(1, 5); /* in which order they took effect nobody said */
    tdw_found(1, 6);
}

static void an_old_one(void)
{
    the_newest_is_there();
    tdw_found(1, 5);
}

static void none(void)
{
    the_newest_is_there();
    tdw_found(1, 0);
}

static void an_unknown_one(void)
{
    tdw_found(1, 9);
}

static void removed(void)
{
    the_newest_is_there();
    tdw_attempted(1, 0);
    tdw_found(1, 6);
    tdw_acked(1, 0);
    tdw_found(1, 0);
    tdw_found(1, 6);
}

static void not_attempted(void)
{
    tdw_acked(1, 9);
}

static void promises_are_kept_or_not(void **state)
{
    (void)state;
    assert_string_equal(promised(nothing_is_promised), "");
    assert_string_equal(promised(the_newest_is_there), "");
    assert_string_equal(promised(two_at_a_time), "");
    assert_string_equal(promised(an_old_one),
                        "key 1: 6 was acknowledged at 0.000 us; it is 5 again");
    assert_string_equal(promised(none), "key 1: 6 was acknowledged at 0.000 us; it is not there");
    assert_string_equal(promised(an_unknown_one), "key 1: it is 9, which nobody ever wrote");
    assert_string_equal(promised(removed), "key 1: 0 was acknowledged at 0.000 us; it is 6 again");
    assert_string_equal(promised(not_attempted),
                        "key 1: 9 was acknowledged, and it had not been attempted");
}

int tests_expect(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_never_happens_may_not),
        cmocka_unit_test(what_comes_about_in_time_is_enough),
        cmocka_unit_test(what_does_not_is_told),
        cmocka_unit_test(promises_are_kept_or_not),
    };

    return cmocka_run_group_tests_name("expect", tests, NULL, NULL);
}
