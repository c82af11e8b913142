/* SPDX-License-Identifier: MIT */
/*
 * How long an op takes on the simulated kernel: a median by class of operation, times a factor.
 *
 * The factor is a quantile of a log-normal distribution (sigma = 0.5), in 1/1024, between whose 65
 * knots one interpolates linearly: integers only, so every machine draws the same time. Knot i is
 * exp(0.5 * z(i / 64)), with the two ends taken at 1/512 and 511/512. The choice's value counts
 * outwards from the median, 0, +1, -1, +2, ...: a smaller value is a calmer machine.
 *
 * The medians stand for a small NVMe drive behind a page cache. Profiles of real devices replace
 * them later; nothing else depends on the figures.
 */
#include <sim/kernel/world.h>

#define KNOTS 64
#define STEPS (TDW_LATENCY_BOUND / KNOTS) /* choices between two knots */

/* The last one stands twice, so that the interpolation may look one ahead. */
static const uint16_t factor[KNOTS + 2] = {
    242,  349,  403,  443,  476,  504,  530,  554,  576,  597,  618,  638,  657,  676,
    695,  713,  731,  749,  767,  784,  802,  820,  837,  855,  873,  891,  909,  928,
    947,  965,  985,  1004, 1024, 1044, 1065, 1086, 1108, 1130, 1153, 1177, 1201, 1226,
    1252, 1279, 1307, 1337, 1368, 1400, 1435, 1471, 1510, 1551, 1596, 1644, 1697, 1755,
    1820, 1894, 1979, 2081, 2205, 2367, 2599, 3006, 4334, 4334,
};

static const uint32_t median_ns[] = {
    [TDW_C_NONE] = 0,     [TDW_C_CALL] = 1000,    [TDW_C_READ] = 20000,
    [TDW_C_WRITE] = 4000, [TDW_C_FLUSH] = 200000, [TDW_C_TIMER] = 0,
};

/* The choice's value as a place among the quantiles: 0 the middle, 1 just above, 2 just below, … */
static inline uint32_t place_of(uint32_t value)
{
    const uint32_t middle = TDW_LATENCY_BOUND / 2;

    return value & 1 ? middle + (value + 1) / 2 : middle - value / 2;
}

uint32_t tdw__quantile_place(uint32_t value)
{
    return place_of(value);
}

static inline uint64_t log_normal(uint64_t median, uint32_t value)
{
    const uint32_t place = place_of(value);
    const uint32_t knot = place / STEPS, rest = place % STEPS;
    const uint64_t low = factor[knot], high = factor[knot + 1];

    return median * (low * STEPS + (high - low) * rest) / (1024 * STEPS);
}

uint64_t tdw__log_normal(uint64_t median, uint32_t value)
{
    return log_normal(median, value);
}

uint64_t tdw__log_normal_factor(uint32_t place)
{
    const uint32_t knot = place / STEPS, rest = place % STEPS;

    return factor[knot] + (factor[knot + 1] - factor[knot]) * rest / STEPS;
}

uint64_t tdw__latency_ns(uint8_t class, uint32_t value)
{
    return log_normal(median_ns[class], value);
}
