/* SPDX-License-Identifier: MIT */
/*
 * In the place of uring.c, in a build without liburing's library (URING=no): there is no io_uring,
 * as on a kernel that has none.
 */
#include <runtime/real/real.h>

int tdw__uring_open(struct tdw_loop **loop, const struct tdw_loop_options *options)
{
    (void)loop, (void)options;
    return -ENOSYS;
}
