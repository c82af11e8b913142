/* SPDX-License-Identifier: MIT */
/*
 * All unit tests: runs the groups, and closes with their totals.
 *
 *     build/tests           all
 *     build/tests PATTERN   tests whose name matches (cmocka's patterns)
 *     build/tests --big     a million tasks alive at once in each model
 *
 * A canary goes first: a test that must fail, so that we know that a failure would be seen.
 */
#include "tests.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>

int tests_big(void);

/* libfiu has a copy of each point's name that it never frees. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfiu";
}

static void fails(void **state)
{
    (void)state;
    assert_true(false);
}

/* In a child, so that its failure is not counted. */
static int canary(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fails)};
    int status;

    fflush(NULL);
    if (fork() == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(99);
        _exit(cmocka_run_group_tests_name("canary", tests, NULL, NULL));
    }
    wait(&status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

int tdw_test_run(const struct tdw_world_options *options, void (*main_task)(void *), void *arg,
                 struct tdw_after *after)
{
    struct tdw_world *world = tdw_world_new(options);
    struct tdw_loop *loop = tdw_world_loop(world);
    struct tdw_tap tap;
    int ret;

    tdw_test_watch(world, &tap, options->seed);
    ret = tdw_world_run(world, main_task, arg);
    if (after) {
        *after = (struct tdw_after){loop->digest, loop->now_ns, loop->steps, loop->findings, ""};
        snprintf(after->text, sizeof after->text, "%s", loop->findings ? loop->failure.text : "");
    }
    tdw_world_free(world);
    return ret;
}

/* cmocka tells each group's totals; ours adds them up from its output's counter. */
static unsigned ran;
void tdw_test_count(unsigned tests)
{
    ran += tests;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } groups[] = {
#define GROUP(name) {#name, tests_##name},
        TDW_GROUPS(GROUP)
#undef GROUP
    };
    int failed = 0;

    if (argc > 1 && strcmp(argv[1], "--big") == 0)
        return tests_big();
    if (!canary()) {
        fprintf(stderr, "the canary did not fail: this program would not see a failure\n");
        return 1;
    }
    if (tdw_test_seen_begin() != 0)
        return 1;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        failed += groups[i].run();
    if (argc == 1 && tdw_test_seen_write(argv[0]) != 0) {
        fprintf(stderr, "what the tests saw could not be written\n");
        return 1;
    }
    printf("%u passed, %d failed\n", ran - (unsigned)failed, failed);
    return failed || ran == 0;
}
