/* SPDX-License-Identifier: MIT */
/*
 * The options of a scenario program: values, environment, and what is said to mistakes.
 */
#include "tests.h"
#include <sim/explore/explore.h>
#include <stdlib.h>

static int parse(struct tdw_options *options, const char *a, const char *b)
{
    char *argv[] = {(char *)(uintptr_t) "program", (char *)(uintptr_t)a, (char *)(uintptr_t)b,
                    NULL};

    return tdw__options_parse(options, b ? 3 : 2, argv);
}

static void values_are_understood(void **state)
{
    struct tdw_options options;

    (void)state;
    assert_int_equal(parse(&options, "-n", "7"), 0);
    assert_int_equal(options.runs, 7);
    assert_int_equal(parse(&options, "--runs=0x10", NULL), 0);
    assert_int_equal(options.runs, 16);
    assert_int_equal(parse(&options, "-s9", "name"), 0);
    assert_int_equal(options.seed, 9);
    assert_int_equal(options.names_count, 1);
    assert_int_equal(parse(&options, "--time", "5m"), 0);
    assert_true(options.time_ns == 300000000000u);
    assert_int_equal(parse(&options, "--model", "stackful"), 0);
    assert_int_equal(options.models, 1u << TDW_STACKFUL);
    assert_int_equal(parse(&options, "-p", "clients=4"), 0);
    assert_int_equal(options.params[0].name_bytes, 7);
    assert_int_equal(options.params[0].value, 4);
    assert_int_equal(parse(&options, "--max-steps=5", NULL), 0);
    assert_int_equal(options.max_steps, 5);
    assert_int_equal(parse(&options, "--", "--nonsense"), 0);
}

static void mistakes_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"--runs", "many"}, {"--runs", NULL}, {"--runs", "-1"},
        {"--rums", "7"},    {"-x", NULL},     {"--model", "threads"},
        {"--time", "5"},    {"--time", "0s"}, {"--json=1", NULL},
        {"-p", "clients"},  {"-p", "=4"},     {"--schedule", "chaos"},
        {"--jobs", "2000"}, {"--seed", "1x"}, {"--seed", "99999999999999999999"},
    };
    struct tdw_options options;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(&options, bad[i][0], bad[i][1]), -EINVAL);
}

static void the_environment_comes_first_and_arguments_win(void **state)
{
    struct tdw_options options;

    (void)state;
    setenv("TDW_RUNS", "11", 1);
    setenv("TDW_SEED", "12", 1);
    assert_int_equal(parse(&options, "--runs", "13"), 0);
    assert_int_equal(options.runs, 13);
    assert_int_equal(options.seed, 12);
    setenv("TDW_SEED", "x", 1);
    assert_int_equal(parse(&options, "--runs", "13"), -EINVAL);
    unsetenv("TDW_RUNS");
    unsetenv("TDW_SEED");
}

static void the_nearest_word_is_suggested(void **state)
{
    static const char *const words[] = {"runs", "replay", "schedule"};

    (void)state;
    assert_string_equal(tdw__nearest("rusn", words, 3), "runs");
    assert_string_equal(tdw__nearest("repaly", words, 3), "replay");
    assert_null(tdw__nearest("zzzzzz", words, 3));
}

int tests_options(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_understood),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(the_environment_comes_first_and_arguments_win),
        cmocka_unit_test(the_nearest_word_is_suggested),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
