/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: cmocka, the groups, and a way to run a program on a world.
 *
 * cmocka fails by longjmp, which must not leave a coroutine's stack: tasks record what they saw,
 * and the test judges when the world has ended.
 */
#ifndef TDW_TESTS_H
#define TDW_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <runtime/event.h>
#include <tidewheel/scenario.h>

/* Counts the tests of a group, for the totals at the end. */
void tdw_test_count(unsigned tests);
#undef cmocka_run_group_tests_name
#define cmocka_run_group_tests_name(name, tests, setup, teardown)                                  \
    (tdw_test_count(sizeof(tests) / sizeof *(tests)),                                              \
     _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof *(tests), setup, teardown))

/* opcodes_seen.c: an op of that opcode completed so; `tap` watches a world with that seed, and
 * lives as long; the begin and the end of a full run of `program`: 0 or -1. */
void tdw_test_seen(uint8_t opcode, int32_t res);
void tdw_test_watch(struct tdw_world *world, struct tdw_tap *tap, uint64_t seed);
int tdw_test_seen_begin(void);
int tdw_test_seen_write(const char *program);

/* Each group: runs its tests, returns how many failed. */
/* clang-format off */
#define TDW_GROUPS(X)                                                                              \
    X(wheel) X(choices) X(ring) X(edges) X(sync) X(models) X(lockstep) X(sim) X(options) \
    X(trace) X(import_strace) X(events) X(files) X(files_real) X(files_ring) X(registered)         \
    X(splice)                                                                                      \
    X(files_more) X(clock) X(process) X(net) X(net_ring) X(net_many) X(uring) X(storm) X(replay) \
    X(errnos) X(errnos_net) X(real) X(workers) X(cases) X(plan) X(short) X(power) X(damage) \
    X(fate) X(expect) X(history) X(linearize)
/* clang-format on */
#define TDW_DECLARE(name) int tests_##name(void);
TDW_GROUPS(TDW_DECLARE)
#undef TDW_DECLARE

/* Run main(arg) on a fresh world; the loop's answer. The outcome, if asked for, is what remains. */
struct tdw_after {
    struct tdw_digest digest;
    uint64_t now_ns, steps;
    uint32_t findings;
    char text[384];
};
int tdw_test_run(const struct tdw_world_options *options, void (*main)(void *), void *arg,
                 struct tdw_after *after);

#endif
