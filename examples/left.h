/* SPDX-License-Identifier: MIT */
/*
 * The end of a part of a test that its wait group counts.
 *
 * A plan may cut the power of the host that it runs on, which then boots and runs all of its parts
 * again: so there may be more ends than were waited for.
 */
#ifndef EXAMPLES_LEFT_H
#define EXAMPLES_LEFT_H

#include <tidewheel/sync.h>

static inline void left_group(struct tdw_wg *running)
{
    if (running->left > 0)
        tdw_wg_done(running);
}

#endif
