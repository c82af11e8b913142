/* SPDX-License-Identifier: MIT */
/*
 * Many runs of one scenario, in worker processes.
 *
 * Worker w of n takes the seeds s+w, s+w+n, … in ascending order and writes what it found into its
 * part of a shared mapping; the parent only waits and adds up. When a run fails, no worker goes on
 * to a larger seed, so the failure that is told is the one with the smallest seed, however many
 * workers there are. A worker that dies of a signal leaves behind which run it was in: that is a
 * failure like any other.
 *
 * The first run of each worker is done twice, and a failing one too: if the digests differ, the
 * program depends on something that the simulator does not control.
 */
#include <sim/explore/explore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    struct tdw_rule_count *counts; /* behind the parts: those of each worker in a row */
    uint64_t *goals;               /* behind these, likewise */
    uint64_t limit;                /* no seed above this one needs to be run */
    uint64_t row;                  /* of a sweep of pairs: the last from which more may come */
    int stop;                      /* the signal that said so */
    struct part {
        struct tdw_result result;
        struct tdw_run current;
        uint64_t next; /* its seeds below this one are done */
        bool done;
    } parts[];
};

static struct shared *listening; /* for the signal handler of the parent */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ── Worker ────────────────────────────────────────────────────────────────────────────────── */

static void lower_limit(struct shared *shared, uint64_t seed)
{
    uint64_t limit = __atomic_load_n(&shared->limit, __ATOMIC_RELAXED);

    while (seed < limit && !__atomic_compare_exchange_n(&shared->limit, &limit, seed, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void keep_failure(struct part *part, const struct tdw_run *run,
                         const struct tdw_outcome *outcome)
{
    part->result.failures++;
    if (part->result.failures == 1) {
        part->result.failed = *run;
        part->result.outcome = *outcome;
    }
}

static void note_failure(struct shared *shared, struct part *part, const struct tdw_run *run,
                         const struct tdw_outcome *outcome)
{
    keep_failure(part, run, outcome);
    lower_limit(shared, run->seed);
}

/* One run, in the world or, where there is none, on the real kernel. */
static void run_one(struct tdw_world *world, const struct tdw_options *options,
                    const struct tdw_run *run, struct tdw_outcome *outcome)
{
    const int ret = tdw__run_on(world, options, run, outcome);

    if (ret < 0 && !outcome->failed) {
        outcome->failed = true;
        snprintf(outcome->failure.text, sizeof outcome->failure.text,
                 "the run could not be made: %s", strerror(-ret));
    }
}

/* Once more: is it the same run? */
static bool repeats(struct tdw_world *world, const struct tdw_options *options,
                    const struct tdw_run *run, const struct tdw_outcome *outcome)
{
    struct tdw_outcome again;

    if (!world)
        return true; /* a real kernel never does the same */
    run_one(world, options, run, &again);
    return tdw_digest_equal(again.digest, outcome->digest) && again.failed == outcome->failed;
}

static void add_cuts(struct tdw_cuts *to, const struct tdw_cuts *more)
{
    to->cuts += more->cuts;
    to->recoveries += more->recoveries;
    to->lost += more->lost;
    to->broken += more->broken;
}

static void add_struck(struct tdw_result *to, const struct tdw_struck *struck)
{
    uint32_t i = 0;

    while (i < to->struck_count && strcmp(to->struck[i].place, struck->place) != 0)
        i++;
    if (i == TDW_STRUCK_MAX) {
        to->struck_elsewhere += struck->survived + struck->failed;
        return;
    }
    if (i == to->struck_count)
        snprintf(to->struck[to->struck_count++].place, sizeof struck->place, "%s", struck->place);
    to->struck[i].survived += struck->survived;
    to->struck[i].failed += struck->failed;
}

/*
 * When a sweep has ended. Runs with calm choices are alike up to the hit that fails.
 *
 * Of single hits: with the first run in which nothing was hit so often.
 *
 * Of pairs: row j has the runs (1, j), (2, j), … (j - 1, j). Failing hit i can leave a run with
 * fewer hits, or with more, so a run that did not come to hit j says that no (i, k) with k > j
 * does, and nothing of another i. The next rows have what this one has, and an i that is larger: a
 * row in which no run came to its second hit, and the last not even to its first, is followed by
 * its like only.
 */
static void note_row(struct shared *shared, const struct tdw_run *run,
                     const struct tdw_outcome *outcome)
{
    uint64_t pair[2], row = __atomic_load_n(&shared->row, __ATOMIC_RELAXED);

    tdw_sweep_pair(run->seed, pair);
    if (outcome->strikes == 0 || (outcome->strikes == 1 && pair[0] + 1 < pair[1]))
        return;
    while (row < pair[1] && !__atomic_compare_exchange_n(&shared->row, &row, pair[1], false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* Is the row behind the last that had something to tell run, and had nothing? What is done is
 * looked at first: what a run had to tell is there before the run counts as done. */
static bool rows_end(const struct shared *shared, uint32_t workers)
{
    uint64_t next = UINT64_MAX, pair[2];

    for (uint32_t i = 0; i < workers; i++) {
        const uint64_t of_worker = __atomic_load_n(&shared->parts[i].next, __ATOMIC_ACQUIRE);

        next = of_worker < next ? of_worker : next;
    }
    tdw_sweep_pair(next, pair);
    return pair[1] > __atomic_load_n(&shared->row, __ATOMIC_RELAXED) + 1;
}

/* A run of a sweep: is there more to come? A failure where a hit failed does not end the search. */
static bool sweep(struct shared *shared, struct part *part, const struct tdw_run *run,
                  const struct tdw_outcome *outcome, enum tdw_sweep kind)
{
    struct tdw_struck struck = {.survived = !outcome->failed, .failed = outcome->failed};

    if (kind == TDW_SWEEP_PAIRS)
        note_row(shared, run, outcome);
    if (outcome->strikes == 0) {
        if (outcome->failed)
            note_failure(shared, part, run, outcome);
        if (outcome->failed || kind == TDW_SWEEP_PAIRS || run->seed == 0)
            return !outcome->failed;
        part->result.swept = true;
        lower_limit(shared, run->seed);
        return false;
    }
    snprintf(struck.place, sizeof struck.place, "%s%s", outcome->struck,
             kind == TDW_SWEEP_PAIRS && outcome->strikes == 1 ? ", and no second" : "");
    add_struck(&part->result, &struck);
    if (outcome->failed)
        keep_failure(part, run, outcome);
    return true;
}

/* One seed in all models. False: the worker has found what it can find. */
static bool run_seed(struct tdw_world *world, const struct tdw_options *options,
                     struct shared *shared, struct part *part, uint64_t seed, bool first)
{
    const enum tdw_sweep kind = options->plan ? tdw_plan_sweeps(options->plan) : TDW_SWEEP_NONE;
    struct tdw_result *result = &part->result;
    struct tdw_run reference = {.scenario = NULL};
    struct tdw_digest digest = {0, 0};

    for (int m = 0; m < TDW_MODELS; m++) {
        const struct tdw_run run = {result->scenario, (enum tdw_model)m, seed};
        struct tdw_outcome outcome;

        if (!(result->models & 1u << m))
            continue;
        part->current = run;
        run_one(world, options, &run, &outcome);
        result->runs++;
        result->steps += outcome.steps;
        add_cuts(&result->cuts, &outcome.cuts);
        result->notes += outcome.notes;
        result->digest_sum[m] += tdw__mix(outcome.digest.lo ^ seed, outcome.digest.hi);
        if (seed == options->seed)
            result->first[m] = outcome.digest;

        if ((first || outcome.failed) && !repeats(world, options, &run, &outcome)) {
            result->nondeterministic = true;
            if (!outcome.failed)
                tdw__lockstep_explain(world, options, &run, &run, outcome.failure.text,
                                      sizeof outcome.failure.text);
        }
        if (!outcome.failed && world && options->lockstep && reference.scenario &&
            !tdw_digest_equal(digest, outcome.digest)) {
            outcome.failed = true;
            outcome.hash = TDW_K0;
            outcome.site[0] = '\0';
            tdw__lockstep_explain(world, options, &reference, &run, outcome.failure.text,
                                  sizeof outcome.failure.text);
        }
        if (kind != TDW_SWEEP_NONE && !result->nondeterministic) {
            if (!sweep(shared, part, &run, &outcome, kind))
                return false;
            continue;
        }
        if (outcome.failed || result->nondeterministic) {
            note_failure(shared, part, &run, &outcome);
            return false;
        }
        if (!reference.scenario) {
            reference = run;
            digest = outcome.digest;
        }
    }
    return true;
}

static void work(const struct tdw_options *given, struct shared *shared, struct part *part,
                 uint32_t which, uint32_t workers)
{
    const uint64_t end_ns = given->time_ns ? now_ns() + given->time_ns : 0;
    const bool pairs = given->plan && tdw_plan_sweeps(given->plan) == TDW_SWEEP_PAIRS;
    struct tdw_options own = *given;
    const struct tdw_options *options = &own;
    struct tdw_world_options world_options;
    struct tdw_world *world = NULL;

    tdw__goals_into(shared->goals + which * tdw__goals_count());
    own.counts = own.plan ? shared->counts + which * tdw_plan_rules(own.plan) : NULL;
    tdw__world_options(options, part->result.scenario, options->seed, &world_options);
    if (options->backend == TDW_BACKEND_SIM) {
        world = tdw_world_new(&world_options);
        if (!world)
            return;
    }
    for (uint64_t i = which; end_ns || i < options->runs; i += workers) {
        const uint64_t seed = options->seed + i;

        __atomic_store_n(&part->next, seed, __ATOMIC_RELEASE);
        if (end_ns && now_ns() >= end_ns)
            break;
        if (pairs && rows_end(shared, workers)) {
            part->result.swept = true;
            break;
        }
        if (seed > __atomic_load_n(&shared->limit, __ATOMIC_RELAXED) ||
            __atomic_load_n(&shared->stop, __ATOMIC_RELAXED))
            break;
        if (!run_seed(world, options, shared, part, seed, i == which))
            break;
    }
    tdw_world_free(world);
    __atomic_store_n(&part->next, UINT64_MAX, __ATOMIC_RELEASE);
    part->done = true;
}

/* ── Parent ────────────────────────────────────────────────────────────────────────────────── */

static void on_signal(int signal)
{
    if (listening)
        __atomic_store_n(&listening->stop, signal, __ATOMIC_RELAXED);
}

static void listen_to_signals(struct shared *shared)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    listening = shared;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, shared ? &action : &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigaction(SIGTERM, shared ? &action : &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigaction(SIGUSR1, shared ? &action : &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

static void add_part(struct tdw_result *result, const struct part *part)
{
    result->runs += part->result.runs;
    result->steps += part->result.steps;
    add_cuts(&result->cuts, &part->result.cuts);
    result->notes += part->result.notes;
    result->nondeterministic |= part->result.nondeterministic;
    for (int m = 0; m < TDW_MODELS; m++) {
        result->digest_sum[m] += part->result.digest_sum[m];
        result->first[m].lo |= part->result.first[m].lo;
        result->first[m].hi |= part->result.first[m].hi;
    }
    for (uint32_t i = 0; i < part->result.struck_count; i++)
        add_struck(result, &part->result.struck[i]);
    result->struck_elsewhere += part->result.struck_elsewhere;
    result->swept |= part->result.swept;
    if (!part->result.failures)
        return;
    if (!result->failures || part->result.failed.seed < result->failed.seed) {
        result->failed = part->result.failed;
        result->outcome = part->result.outcome;
        result->signal = part->result.signal;
    }
    result->failures = 1; /* the one with the smallest seed; how many there are was not asked */
}

/* A worker ended; by a signal, it left behind the run that it was in. */
static void collect(struct shared *shared, struct part *part, int status)
{
    struct tdw_outcome outcome = {.failed = true};

    if (part->done)
        return;
    part->result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (part->result.signal)
        snprintf(outcome.failure.text, sizeof outcome.failure.text,
                 "the process died of signal %d "
                 "(%s)",
                 part->result.signal, strsignal(part->result.signal));
    else
        snprintf(outcome.failure.text, sizeof outcome.failure.text,
                 "the process exited with %d in the middle of a run", WEXITSTATUS(status));
    part->result.runs++;
    if (part->current.scenario)
        note_failure(shared, part, &part->current, &outcome);
}

/* What the workers have done so far; they go on meanwhile. */
static void tell_progress(const struct tdw_options *options, const struct shared *shared,
                          uint32_t workers, uint64_t began)
{
    struct tdw_progress progress = {
        .name = shared->parts[0].result.scenario->name,
        .sweep = options->plan ? tdw_plan_sweeps(options->plan) : TDW_SWEEP_NONE,
        .seconds = (double)(now_ns() - began) / 1e9,
    };

    for (uint32_t i = 0; i < workers; i++) {
        const struct part *part = &shared->parts[i];
        const uint64_t seed = __atomic_load_n(&part->current.seed, __ATOMIC_RELAXED);

        progress.runs += __atomic_load_n(&part->result.runs, __ATOMIC_RELAXED);
        progress.findings += __atomic_load_n(&part->result.failures, __ATOMIC_RELAXED);
        progress.seed = seed > progress.seed ? seed : progress.seed;
    }
    tdw__progress_tell(&progress);
}

static int run_workers(const struct tdw_options *options, struct shared *shared, uint32_t workers)
{
    const uint64_t began = now_ns();
    pid_t *pids = calloc(workers, sizeof *pids);
    uint32_t started = 0, left;
    bool told;

    if (!pids)
        return -ENOMEM;
    fflush(NULL);
    for (; started < workers; started++) {
        pids[started] = fork();
        if (pids[started] < 0)
            break;
        if (pids[started] == 0) {
            work(options, shared, &shared->parts[started], started, workers);
            _exit(0);
        }
    }
    told = tdw__progress_begin(options);
    left = started;
    while (left > 0) { /* as they end, so that what one died of ends the others' search */
        int status;
        const pid_t pid = waitpid(-1, &status, 0);

        if (pid < 0 && errno != EINTR)
            break;
        if (pid < 0 && told)
            tell_progress(options, shared, started, began);
        for (uint32_t i = 0; pid > 0 && i < started; i++)
            if (pids[i] == pid) {
                collect(shared, &shared->parts[i], status);
                left--;
            }
    }
    if (told)
        tdw__progress_end();
    free(pids);
    return started == workers ? 0 : -EAGAIN;
}

static void add_counts(struct tdw_rule_count *to, const struct tdw_rule_count *from, size_t rules)
{
    for (size_t i = 0; i < rules; i++) {
        to[i].hits += from[i].hits;
        to[i].fires += from[i].fires;
        to[i].live += from[i].live;
    }
}

/* The last row of pairs of which runs from `seed` on do not have all. */
static uint64_t row_before(uint64_t seed)
{
    uint64_t pair[2];

    tdw_sweep_pair(seed, pair);
    return pair[1] <= 2 ? 1 : pair[1] - (pair[0] == 1);
}

int tdw__explore(const struct tdw_options *options, const struct tdw_scenario *scenario,
                 struct tdw_result *result, struct tdw_rule_count *counts, uint64_t *goals)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const uint32_t jobs =
        options->jobs == UINT32_MAX ? (uint32_t)(cores > 0 ? cores : 1) : options->jobs;
    const uint32_t workers = jobs == 0 ? 1 : jobs;
    const size_t rules = options->plan ? tdw_plan_rules(options->plan) : 0;
    const size_t bytes = sizeof(struct shared) + workers * sizeof(struct part) +
                         workers * rules * sizeof(struct tdw_rule_count) +
                         workers * tdw__goals_count() * sizeof(uint64_t);
    struct shared *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const uint64_t began = now_ns();
    int ret = 0;

    *result = (struct tdw_result){.scenario = scenario};
    if (shared == MAP_FAILED)
        return -ENOMEM;
    shared->limit = UINT64_MAX;
    shared->row = row_before(options->seed);
    shared->counts = (struct tdw_rule_count *)(void *)&shared->parts[workers];
    shared->goals = (uint64_t *)(void *)&shared->counts[workers * rules];
    for (int m = 0; m < TDW_MODELS; m++)
        if ((options->models & 1u << m) && tdw__scenario_has(scenario, (enum tdw_model)m))
            result->models |= 1u << m;
    for (uint32_t i = 0; i < workers; i++) {
        shared->parts[i].result.scenario = scenario;
        shared->parts[i].result.models = result->models;
    }
    listen_to_signals(shared);
    if (jobs == 0)
        work(options, shared, &shared->parts[0], 0, 1);
    else if (result->models)
        ret = run_workers(options, shared, workers);
    listen_to_signals(NULL);
    for (uint32_t i = 0; i < workers; i++) {
        add_part(result, &shared->parts[i]);
        add_counts(counts, shared->counts + i * rules, rules);
        for (size_t j = 0; j < tdw__goals_count(); j++)
            goals[tdw__goal_first(j)] += shared->goals[i * tdw__goals_count() + j];
    }
    result->interrupted = shared->stop == SIGINT;
    result->stopped = shared->stop && !result->interrupted;
    result->seconds = (double)(now_ns() - began) / 1e9;
    tdw__goals_into(NULL);
    munmap(shared, bytes);
    return ret;
}
