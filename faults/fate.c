/* SPDX-License-Identifier: MIT */
/*
 * Fate: what a plan does to hosts, links and clocks as time goes by.
 *
 *     every millisecond of virtual time, for each host:
 *         what is over ends: it boots, goes on, hears again; else the points of ticks are asked
 *
 * Ops and packets have a moment at which something may go wrong with them; a machine has not. So a
 * task of the plan's own, `plan`, asks once a tick, keyed by the host's name and the number of the
 * tick. It is a daemon of host main, and uses what any test may use (tdw_host_crash, tdw_link_cut,
 * …). Host main itself, where the test is, is left alone, but for its clock.
 *
 * Spare: a rule that would leave fewer than so many of a group's hosts whole does not fire.
 *
 * A task that always waits for its next tick would hide every deadlock. So it ends when nothing of
 * its own is to be undone, and nothing else can come and no rule is still to begin; or when no rule
 * may fire any more, after which hours in which nothing happens are one step.
 *
 * Cost: an item a millisecond of virtual time, where a rule is about ticks at all.
 */
#include <faults/faults.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/net.h>
#include <tidewheel/verbs.h>
#include <tidewheel/world.h>

enum { TICK_NS = 1000000, DOWN_NS = 10000000, STEPS = 2001, PPMS = 1001 };
enum { TIMES = 10, BANDWIDTH = 10000 }; /* of what is slow, if the rule does not say */

/* A host, and until when what is done to it lasts; 0: nothing is. */
struct fated {
    struct tdw_host *host;
    const char *name;
    uint64_t crashed, paused, slow, hung, choked, cut, deaf;
    uint32_t times_before; /* how slow it was anyhow, … */
    uint64_t bandwidth_before;
    bool read_only;    /* until it boots; or is healed */
    const char *peers; /* from whom it is cut off; NULL: everybody … */
    size_t peers_end;  /* … there was then */
    bool own;          /* the test's */
};

struct tdw_fate {
    struct tdw_faults *faults;
    struct fated *hosts;
    size_t count, max;
    uint32_t tick;
    uint64_t begins_ns; /* … of the last rule about ticks */
};

struct tdw_fate *tdw__fate_new(struct tdw_faults *faults)
{
    struct tdw_fate *fate = calloc(1, sizeof *fate);

    if (fate)
        fate->faults = faults;
    return fate;
}

void tdw__fate_free(struct tdw_fate *fate)
{
    if (fate)
        free(fate->hosts);
    free(fate);
}

void tdw__fate_host(struct tdw_fate *fate, struct tdw_host *host, const char *name)
{
    if (fate->count == fate->max) {
        const size_t max = fate->max ? fate->max * 2 : 8;
        struct fated *hosts = realloc(fate->hosts, max * sizeof *hosts);

        if (!hosts)
            return; /* nothing happens to it, then */
        fate->hosts = hosts;
        fate->max = max;
    }
    fate->hosts[fate->count++] =
        (struct fated){.host = host, .name = name, .own = strcmp(name, "main") == 0};
}

struct tdw_host *tdw__fate_nth(const struct tdw_fate *fate, size_t n, const char **name)
{
    if (n >= fate->count)
        return NULL;
    *name = fate->hosts[n].name;
    return fate->hosts[n].host;
}

/* ── Spare ─────────────────────────────────────────────────────────────────────────────────── */

/* Something that is to be undone. */
static bool is_hurt(const struct fated *f)
{
    return f->crashed || f->paused || f->slow || f->hung || f->choked || f->cut || f->deaf;
}

static bool is_whole(const struct fated *f)
{
    return tdw_host_running(f->host) && !is_hurt(f);
}

bool tdw__fate_may_hurt(const struct tdw_fate *fate, const struct tdw_rule *rule, const char *host)
{
    uint64_t whole = 0;

    if (!tdw__glob(rule->spare.group, host))
        return true;
    for (size_t i = 0; i < fate->count; i++)
        whole += tdw__glob(rule->spare.group, fate->hosts[i].name) && is_whole(&fate->hosts[i]) &&
                 strcmp(fate->hosts[i].name, host) != 0;
    return whole >= rule->spare.keep;
}

/* ── What happens, and ends ────────────────────────────────────────────────────────────────── */

/* Every way into the host and, `out`, out of it, too: is cut, or mended. */
static void cut_ways(struct tdw_fate *fate, const struct fated *f, bool out, bool on)
{
    for (size_t i = 0; i < f->peers_end; i++) {
        const struct fated *peer = &fate->hosts[i];

        if (peer == f || (f->peers && !tdw__glob(f->peers, peer->name)))
            continue;
        tdw_link_cut(peer->host, f->host, on);
        if (out)
            tdw_link_cut(f->host, peer->host, on);
    }
}

/* Hosts that are made later have ways of their own. */
static void cut_off(struct tdw_fate *fate, struct fated *f, bool out, const char *peers)
{
    f->peers = peers;
    f->peers_end = fate->count;
    cut_ways(fate, f, out, true);
}

static void undo(struct tdw_fate *fate, struct fated *f, uint64_t now)
{
    if (f->crashed && now >= f->crashed) {
        f->crashed = 0;
        tdw_host_boot(f->host);
    }
    if (f->paused && now >= f->paused) {
        f->paused = 0;
        tdw_host_resume(f->host);
    }
    if (f->slow && now >= f->slow) {
        f->slow = 0;
        tdw_host_slow(f->host, f->times_before);
    }
    if (f->hung && now >= f->hung) {
        f->hung = 0;
        tdw_host_disk_stall(f->host, 0);
    }
    if (f->read_only && now == UINT64_MAX) {
        f->read_only = false;
        tdw_host_disk_read_only(f->host, false);
    }
    if (f->choked && now >= f->choked) {
        f->choked = 0;
        tdw_host_bandwidth(f->host, f->bandwidth_before);
    }
    if (f->cut && now >= f->cut) {
        f->cut = 0;
        cut_ways(fate, f, true, false);
    }
    if (f->deaf && now >= f->deaf) {
        f->deaf = 0;
        cut_ways(fate, f, false, false);
    }
}

/* So many times as slow as it is anyhow. */
static void slow_down(struct fated *f, uint64_t times)
{
    const int before = tdw_host_slow(f->host, 1);

    f->times_before = before > 0 ? (uint32_t)before : 1;
    times *= f->times_before;
    tdw_host_slow(f->host, times < 1000000 ? (uint32_t)times : 1000000);
}

static void act(struct tdw_fate *fate, struct fated *f, enum tdw_kernel_point point,
                const struct tdw_blow *blow, uint64_t now)
{
    const uint64_t until = now + (blow->down_ns ? blow->down_ns : DOWN_NS);
    const int64_t step = (int64_t)blow->way - STEPS / 2, ppm = (int64_t)blow->way - PPMS / 2;

    switch (point) {
    case TDW_AT_HOST_CRASH:
        if (tdw_host_crash(f->host) == 0)
            f->crashed = until;
        break;
    case TDW_AT_HOST_RESTART:
        tdw_host_restart(f->host);
        break;
    case TDW_AT_HOST_PAUSE:
        if (tdw_host_pause(f->host) == 0)
            f->paused = until;
        break;
    case TDW_AT_PROCESS_KILL:
        tdw_host_kill(f->host, blow->way);
        break;
    case TDW_AT_HOST_SLOW:
        f->slow = until;
        slow_down(f, blow->times ? blow->times : TIMES);
        break;
    case TDW_AT_DISK_HANG:
        f->hung = until;
        tdw_host_disk_stall(f->host, until - now);
        break;
    case TDW_AT_DISK_READ_ONLY:
        f->read_only = true;
        tdw_host_disk_read_only(f->host, true);
        break;
    case TDW_AT_NET_PARTITION:
        f->cut = until;
        cut_off(fate, f, true, blow->peers);
        break;
    case TDW_AT_NET_DEAF:
        f->deaf = until;
        cut_off(fate, f, false, blow->peers);
        break;
    case TDW_AT_NET_SLOW:
        f->choked = until;
        f->bandwidth_before =
            tdw_host_bandwidth(f->host, blow->bandwidth ? blow->bandwidth : BANDWIDTH);
        break;
    case TDW_AT_CLOCK_STEP:
        tdw_host_step(f->host, blow->step_ns ? blow->step_ns : step * 1000000);
        break;
    case TDW_AT_CLOCK_DRIFT:
        tdw_host_drift(f->host, (int32_t)(blow->ppm ? blow->ppm : ppm) * 1000);
        break;
    default:
        break;
    }
}

/* A host has one trouble at a time, and its clock. */
static bool may_happen(const struct fated *f, enum tdw_kernel_point point)
{
    if (point == TDW_AT_CLOCK_STEP || point == TDW_AT_CLOCK_DRIFT)
        return true;
    if (point == TDW_AT_PROCESS_KILL)
        return !f->own && tdw_host_children(f->host) > 0;
    return !f->own && is_whole(f);
}

/* In how many ways it may go wrong. */
static uint32_t ways(const struct fated *f, enum tdw_kernel_point point)
{
    switch (point) {
    case TDW_AT_CLOCK_STEP:
        return STEPS;
    case TDW_AT_CLOCK_DRIFT:
        return PPMS;
    case TDW_AT_PROCESS_KILL:
        return tdw_host_children(f->host);
    default:
        return 1;
    }
}

static void ask(struct tdw_fate *fate, struct fated *f, uint64_t now)
{
    const struct tdw_plan *plan = tdw__faults_plan(fate->faults);

    for (int point = TDW_AT_TICKS; point < TDW_KERNEL_POINTS_COUNT; point++) {
        const struct tdw_hit hit = {.point = (enum tdw_kernel_point)point,
                                    .host = f->name,
                                    .actor = tdw__mix(tdw__hash_text(f->name), TDW_K2),
                                    .ordinal = fate->tick,
                                    .bound = ways(f, (enum tdw_kernel_point)point)};
        struct tdw_blow blow;

        if (plan->first[256 + point] < plan->first[257 + point] &&
            may_happen(f, (enum tdw_kernel_point)point) &&
            tdw__faults_hit(fate->faults, &hit, &blow))
            act(fate, f, (enum tdw_kernel_point)point, &blow, now);
    }
}

/* What is not to be hurt any more is whole again at once. */
void tdw__fate_heal(struct tdw_fate *fate)
{
    for (size_t i = 0; i < fate->count; i++)
        if (tdw__faults_healed(fate->faults, fate->hosts[i].name))
            undo(fate, &fate->hosts[i], UINT64_MAX);
}

/* ── The task ──────────────────────────────────────────────────────────────────────────────── */

static bool owes(const struct tdw_fate *fate)
{
    for (size_t i = 0; i < fate->count; i++)
        if (is_hurt(&fate->hosts[i]))
            return true;
    return false;
}

/* The op outlives the plan's work on the loop: it is the run's memory. */
struct ticking {
    struct tdw_op op;
    struct tdw_fate *fate;
};

static void ticked(struct tdw_op *op)
{
    struct tdw_fate *fate = tdw_of(op, struct ticking, op)->fate;
    struct tdw_loop *loop = tdw_loop();
    const uint64_t now = tdw_now();
    const bool healed = tdw__faults_healed(fate->faults, NULL);

    if (op->res == -ECANCELED) { /* the run ends: who stands still has to end, too */
        for (size_t i = 0; i < fate->count; i++)
            if (fate->hosts[i].paused)
                tdw_host_resume(fate->hosts[i].host);
        return;
    }
    fate->tick++;
    for (size_t i = 0; i < fate->count; i++) {
        if (tdw__faults_healed(fate->faults, fate->hosts[i].name))
            continue;
        undo(fate, &fate->hosts[i], now);
        ask(fate, &fate->hosts[i], now);
    }
    if (healed || (!owes(fate) && (!tdw__faults_ticks_left(fate->faults) ||
                                   (now >= fate->begins_ns && loop->backend->idle(loop)))))
        return;
    TDW_ON(op, ticked, sleep, TICK_NS);
}

static void begin(void *arg)
{
    struct ticking *ticking = tdw_malloc(sizeof *ticking);

    if (!ticking)
        return;
    ticking->fate = arg;
    TDW_ON(&ticking->op, ticked, sleep, TICK_NS);
}

void tdw_faults_begin(void)
{
    struct tdw_faults *faults = tdw__faults_here();
    const struct tdw_plan *plan = faults ? tdw__faults_plan(faults) : NULL;
    struct tdw_fate *fate = faults ? tdw__faults_fate(faults) : NULL;

    if (!plan || !plan->ticks || !fate || !tdw_loop()->backend->idle)
        return;
    for (uint32_t i = plan->first[256 + TDW_AT_TICKS]; i < plan->first[TDW_PLACES]; i++) {
        const struct tdw_rule *rule = &plan->rules[plan->concerns[i].rule];

        if (rule->from_ns > fate->begins_ns)
            fate->begins_ns = rule->from_ns;
    }
    tdw_daemon(tdw_spawn_callback("plan", begin, fate));
}
