/* SPDX-License-Identifier: MIT */
/*
 * The one place of the runtime that reads a clock of the machine. Real loops only; nothing that
 * comes from here reaches a simulated run.
 */
#include <runtime/real/real.h>
#include <time.h>

uint64_t tdw__os_clock_ns(int clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
