/* SPDX-License-Identifier: MIT */
/*
 * A test whose body is a stackful task of host "main", the only one of a calm world: it notes what
 * it saw in `seen`, and the test judges when the world has ended.
 */
#ifndef TDW_TEST_BODY_H
#define TDW_TEST_BODY_H

#include "tests.h"
#include <tidewheel/stackful.h>

enum { SEEN = 32, NOT_SEEN = 0x5555 };

static int64_t seen[SEEN];
static void (*body_to_run)(void *);

static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

/* Run it to its end, without a finding: when that was. */
static inline uint64_t run(void (*body)(void *))
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM, .watch_buffers = true};
    struct tdw_after after;

    for (int i = 0; i < SEEN; i++)
        seen[i] = NOT_SEEN;
    body_to_run = body;
    assert_int_equal(tdw_test_run(&calm, body_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
    return after.now_ns;
}

/* What the body must have seen, from the first on. */
#define SAW(...)                                                                                   \
    do {                                                                                           \
        const int64_t expected_[] = {__VA_ARGS__};                                                 \
        for (size_t i_ = 0; i_ < sizeof expected_ / sizeof *expected_; i_++)                       \
            if (seen[i_] != expected_[i_])                                                         \
                fail_msg("seen[%zu] is %lld, not %lld", i_, (long long)seen[i_],                   \
                         (long long)expected_[i_]);                                                \
    } while (0)

#endif
