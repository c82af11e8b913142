/* SPDX-License-Identifier: MIT */
/*
 * Service times: the value of a distribution at a quantile, in integers.
 *
 * A power is taken as 2^(y log2 x), with both functions in fixed point (16 bits behind the point):
 * 2^f for f = i/64 comes of six square roots of 2, taken by integer arithmetic when they are first
 * needed, and is interpolated between; log2 is its inverse, found by bisection over the same table.
 * So there is no table of figures to trust, and every machine has the same values.
 *
 * The log-normal quantiles are those of latency.c (sigma 1/2), raised to sigma / (1/2).
 */
#include <sim/kernel/world.h>
#include <tidewheel/device.h>

enum { STEPS = 64, ONE = 1 << 16 };

/* The square root of a 64-bit number, rounded down. */
static uint64_t square_root(uint64_t n)
{
    uint64_t root = 0;

    for (uint64_t bit = (uint64_t)1 << 31; bit > 0; bit >>= 1)
        if ((root + bit) * (root + bit) <= n)
            root += bit;
    return root;
}

/* 2^(i/64) in 1/2^30: the product of the roots 2^(1/2), 2^(1/4), … that i's bits stand for. */
static uint64_t power_step(uint32_t i)
{
    uint64_t power = (uint64_t)1 << 30, root = (uint64_t)1 << 31;

    for (uint32_t bit = STEPS / 2; bit > 0; bit /= 2) {
        root = square_root(root << 30);
        if (i & bit)
            power = power * root >> 30;
    }
    return i == STEPS ? (uint64_t)1 << 31 : power;
}

/* 2^(x / ONE) of a fraction 0 <= x < ONE, in 1/2^30. */
static uint64_t power_fraction(uint32_t x)
{
    const uint32_t step = x / (ONE / STEPS), rest = x % (ONE / STEPS);
    const uint64_t low = power_step(step), high = power_step(step + 1);

    return low + (high - low) * rest / (ONE / STEPS);
}

/* value * 2^(x / ONE), saturating. */
static uint64_t times_power(uint64_t value, int64_t x)
{
    const int64_t whole = x >= 0 ? x / ONE : -((-x + ONE - 1) / ONE);
    unsigned __int128 result =
        (unsigned __int128)value * power_fraction((uint32_t)(x - whole * ONE));

    if (whole >= 0)
        result = whole > 60 ? UINT64_MAX : result << whole >> 30;
    else
        result = whole < -90 ? 0 : result >> (30 - whole);
    return result > INT64_MAX ? INT64_MAX : (uint64_t)result;
}

/* log2(n / d) * ONE of 0 < d <= n < 2^32 * d. */
static int64_t logarithm(uint64_t n, uint64_t d)
{
    int64_t whole = 0;
    uint32_t low = 0, high = ONE;
    uint64_t ratio;

    while (n >> whole >= 2 * d)
        whole++;
    ratio = (uint64_t)(((unsigned __int128)n << 30) / ((unsigned __int128)d << whole));
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;

        if (power_fraction(middle) <= ratio)
            low = middle;
        else
            high = middle;
    }
    return whole * ONE + low;
}

static uint64_t log_normal(uint64_t median, uint64_t sigma, uint32_t place)
{
    const uint64_t factor = tdw__log_normal_factor(place); /* in 1/1024, of sigma 1/2 */
    const int64_t log =
        factor >= 1024 ? logarithm(factor, 1024) : -logarithm(1024, factor ? factor : 1);

    return times_power(median, log * (int64_t)sigma / 512);
}

/* a (1 - u)^(-1 / alpha) */
static uint64_t pareto(uint64_t least, uint64_t alpha, uint32_t place)
{
    const uint64_t left = 2 * (TDW_LATENCY_BOUND - place) - 1; /* (1 - u) * 2 * 4096 */

    return times_power(least, logarithm(2 * TDW_LATENCY_BOUND, left) * 1024 /
                                  (int64_t)(alpha ? alpha : 1));
}

static uint64_t empirical(const struct tdw_service *service, uint32_t place)
{
    const uint64_t at = (uint64_t)(2 * place + 1) * (service->count - 1);
    const uint64_t knot = at / (2 * TDW_LATENCY_BOUND), rest = at % (2 * TDW_LATENCY_BOUND);
    const uint64_t low = service->table[knot];
    const uint64_t high = service->table[knot + 1 < service->count ? knot + 1 : knot];

    return low + (high - low) * rest / (2 * TDW_LATENCY_BOUND);
}

uint64_t tdw_service_ns(const struct tdw_service *service, uint32_t place)
{
    switch (service->kind) {
    case TDW_CONSTANT:
        return service->a_ns;
    case TDW_UNIFORM:
        return service->a_ns +
               (service->b - service->a_ns) * (2 * (uint64_t)place + 1) / (2 * TDW_LATENCY_BOUND);
    case TDW_LOG_NORMAL:
        return log_normal(service->a_ns, service->b, place);
    case TDW_PARETO:
        return pareto(service->a_ns, service->b, place);
    case TDW_EMPIRICAL:
        return service->count > 0 ? empirical(service, place) : 0;
    }
    return 0;
}
