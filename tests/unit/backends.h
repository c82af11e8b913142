/* SPDX-License-Identifier: MIT */
/*
 * Bodies (body.h) that run on the real kernel, through both backends, and on the simulated one:
 * what they note must be the same. Each test works in a directory of its own.
 */
#ifndef TDW_TEST_BACKENDS_H
#define TDW_TEST_BACKENDS_H

#include "body.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <tidewheel/loop.h>
#include <unistd.h>

#define MS ((uint64_t)1000000)

static struct tdw_loop_options options; /* of the loop to open */

/* Open, run `body` as a task, close: what tdw_loop_run answered. */
static inline int on_real(void (*body)(void *))
{
    struct tdw_loop *loop;
    int ret = tdw_loop_open(&loop, &options);

    for (int i = 0; i < SEEN; i++)
        seen[i] = NOT_SEEN;
    body_to_run = body;
    if (ret < 0)
        return ret;
    ret = tdw_loop_start(loop, body_main, NULL);
    if (ret == 0)
        ret = tdw_loop_run(loop);
    tdw_loop_close(loop);
    return ret;
}

static inline void each(void (*body)(void *), void (*judge)(void))
{
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        assert_int_equal(on_real(body), 0);
        judge();
    }
}

/* … and on the simulated kernel. */
static inline void everywhere(void (*body)(void *), void (*judge)(void))
{
    each(body, judge);
    run(body);
    judge();
}

static int old_dir;
static char scratch[64];

static inline int setup(void **state)
{
    (void)state;
    old_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(scratch, sizeof scratch, "/tmp/tidewheel-real-XXXXXX");
    return !mkdtemp(scratch) || chdir(scratch) ? -1 : 0;
}

static inline int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    if (fchdir(old_dir) < 0 || system(command) != 0)
        return -1;
    return close(old_dir);
}

#endif
