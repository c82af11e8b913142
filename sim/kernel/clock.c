/* SPDX-License-Identifier: MIT */
/*
 * The clocks of a host: a straight line over the world's time, until something bends it.
 *
 *     host time = at its base + (world's time - the base's) * (1 + drift)
 *
 * CLOCK_MONOTONIC starts at 0 with each boot. CLOCK_REALTIME goes on over boots, like the clock of
 * a mainboard, starts at 2000-01-01, and may be stepped, by a program or a test. CLOCK_BOOTTIME is
 * the monotonic one: nothing is suspended here; a paused host's clocks go on. A new drift bends the
 * line at the present instant. All of it is integer arithmetic in ns.
 *
 * A duration that a program asks for (a sleep, a timer) is one of its host's clock, so a fast clock
 * wakes it early. Times are due in the world's time, rounded up: never before the clock says so.
 */
#include <sim/kernel/world.h>
#include <tidewheel/sys.h>
#include <time.h>

#define EPOCH_NS (946684800u * (uint64_t)1000000000u)
#define PPB 1000000000

static uint64_t world_now(const struct tdw_host *host)
{
    return host->world->loop.now_ns;
}

/* So much of the host's time passes in `ns` of the world's. */
static uint64_t scaled(const struct tdw_host_clock *clock, uint64_t ns)
{
    if (TDW_LIKELY(clock->drift_ppb == 0))
        return ns;
    return (uint64_t)((__int128)ns + (__int128)ns * clock->drift_ppb / PPB);
}

/* … and back, rounded up. */
static uint64_t unscaled(const struct tdw_host_clock *clock, uint64_t ns)
{
    const __int128 rate = PPB + (__int128)clock->drift_ppb;
    const __int128 world = ((__int128)ns * PPB + rate - 1) / rate;

    if (TDW_LIKELY(clock->drift_ppb == 0))
        return ns;
    return world >= (__int128)TDW_NEVER ? TDW_NEVER - 1 : (uint64_t)world;
}

uint64_t tdw__clock_passes(const struct tdw_host_clock *clock, uint64_t ns)
{
    const uint64_t passes = scaled(clock, ns);

    return passes + (unscaled(clock, passes) < ns);
}

static void rebase(struct tdw_host *host)
{
    struct tdw_host_clock *clock = &host->clock;
    const uint64_t passed = scaled(clock, world_now(host) - clock->base_ns);

    clock->base_ns = world_now(host);
    clock->monotonic_ns += passed;
    clock->realtime_ns += passed;
}

void tdw__clock_init(struct tdw_host *host)
{
    host->clock = (struct tdw_host_clock){.realtime_ns = EPOCH_NS + world_now(host),
                                          .base_ns = world_now(host)};
}

void tdw__clock_boot(struct tdw_host *host)
{
    rebase(host);
    host->clock.monotonic_ns = 0;
}

bool tdw__clock_known(int clock)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        return true;
    default:
        return false;
    }
}

static bool is_real(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

uint64_t tdw__clock_ns(const struct tdw_host *host, int clock)
{
    const struct tdw_host_clock *c = &host->clock;

    return (is_real(clock) ? c->realtime_ns : c->monotonic_ns) +
           scaled(c, world_now(host) - c->base_ns);
}

uint64_t tdw__clock_after(const struct tdw_host *host, uint64_t ns)
{
    const uint64_t now = world_now(host), passes = unscaled(&host->clock, ns);

    return passes > TDW_NEVER - 1 - now ? TDW_NEVER - 1 : now + passes;
}

uint64_t tdw__clock_at(const struct tdw_host *host, int clock, uint64_t ns)
{
    const uint64_t now = tdw__clock_ns(host, clock);

    return tdw__clock_after(host, ns > now ? ns - now : 0);
}

/* ── What tests and programs do to it ──────────────────────────────────────────────────────── */

int tdw__sim_host_drift(struct tdw_host *host, int32_t ppb)
{
    const struct tdw_host_clock before = host->clock;

    if (ppb <= -PPB / 2 || ppb >= PPB)
        return -EINVAL;
    rebase(host);
    host->clock.drift_ppb = ppb;
    tdw__timers_changed(host, false);
    tdw__timeouts_changed(host, &before, 0);
    return 0;
}

void tdw__sim_host_step(struct tdw_host *host, int64_t ns)
{
    rebase(host);
    host->clock.realtime_ns += (uint64_t)ns;
    tdw__timers_changed(host, true);
    tdw__timeouts_changed(host, &host->clock, ns);
}

uint64_t tdw__sim_host_clock(const struct tdw_host *host, int clock)
{
    return tdw__clock_ns(host, clock);
}

static int do_gettime(int clock, struct timespec *now)
{
    uint64_t ns;

    if (!tdw__clock_known(clock))
        return -EINVAL;
    if (!now)
        return -EFAULT;
    ns = tdw__clock_ns(tdw__process()->host, clock);
    *now = (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
    return 0;
}

int tdw__sim_sys_clock_gettime(int clock, struct timespec *now)
{
    const int res = do_gettime(clock, now);

    return tdw__sys_event(TDW_SYS_CLOCK_GETTIME, clock, res ? 0 : (uint64_t)now->tv_sec,
                          res ? 0 : (uint64_t)now->tv_nsec, 0, res);
}

static int do_settime(int clock, const struct timespec *now)
{
    struct tdw_host *host = tdw__process()->host;

    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    if (!now)
        return -EFAULT;
    if (now->tv_sec < 0 || now->tv_nsec < 0 || now->tv_nsec > 999999999)
        return -EINVAL;
    tdw__sim_host_step(host,
                       (int64_t)((uint64_t)now->tv_sec * 1000000000u + (uint64_t)now->tv_nsec -
                                 tdw__clock_ns(host, CLOCK_REALTIME)));
    return 0;
}

int tdw__sim_sys_clock_settime(int clock, const struct timespec *now)
{
    const int res = do_settime(clock, now);

    return tdw__sys_event(TDW_SYS_CLOCK_SETTIME, clock, now ? (uint64_t)now->tv_sec : 0,
                          now ? (uint64_t)now->tv_nsec : 0, 0, res);
}
