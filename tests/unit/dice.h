/* SPDX-License-Identifier: MIT */
/*
 * What random programs are drawn with: splitmix64 (Steele, Lea, Flood 2014), so that a seed is the
 * same program everywhere. Draw one thing after the other: the order in which arguments and
 * initializers are evaluated is the compiler's.
 */
#ifndef TDW_TESTS_DICE_H
#define TDW_TESTS_DICE_H

#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t roll(struct dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint32_t below(struct dice *dice, uint32_t bound)
{
    return (uint32_t)(roll(dice) % bound);
}

/* One of the numbers. */
#define PICK(dice, ...)                                                                            \
    (((const int64_t[]){__VA_ARGS__})[below(                                                       \
        (dice), (uint32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))])

#endif
