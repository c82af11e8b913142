/* SPDX-License-Identifier: MIT */
/*
 * The explorer: many runs of scenarios, and what came of them.
 *
 *     main.c       a program's command line: the order of things
 *     options.c    the table of options, from which parsing, help and environment are made
 *     scenario.c   what scenarios call: checks, logs, parameters
 *     run.c        one run of one scenario in one model
 *     promises.c   what was acknowledged, and whether it is still there
 *     expect.c     what is to happen some day, or never; which goals were reached
 *     crashes.c    a power cut at every point at which it could make a difference
 *     lockstep.c   the same choices in all models: equal digests, or the first event that differs
 *     explorer.c   many runs, in worker processes
 *     progress.c   how far it is, on a terminal
 *     report.c     what a person, and a program (--json), is told
 *     replay.c     a kept run, strict
 *     history*.c   histories of operations, and whether they are linearizable (linearize.h)
 *
 * A run is named by (scenario, model, schedule, strategy, seed); that is all it takes to repeat it.
 */
#ifndef TDW_EXPLORE_H
#define TDW_EXPLORE_H

#include <runtime/event.h>
#include <stdio.h>
#include <tidewheel/fault.h>
#include <tidewheel/loop.h>
#include <tidewheel/promise.h>
#include <tidewheel/scenario.h>
#include <tidewheel/trace.h>

/* Exit codes of every verb. */
enum tdw_exit {
    TDW_EXIT_OK = 0,
    TDW_EXIT_FAILED = 1,
    TDW_EXIT_USAGE = 2,
    TDW_EXIT_DIVERGED = 3,
    TDW_EXIT_NOTHING = 4,
    TDW_EXIT_UNSUPPORTED = 5,
    TDW_EXIT_NEVER_FIRED = 6,
    TDW_EXIT_IO = 7,
    TDW_EXIT_BUG = 70,
    TDW_EXIT_STOPPED = 75,
    TDW_EXIT_SKIPPED = 77,
    TDW_EXIT_BISECT_SKIP = 125,
    TDW_EXIT_INTERRUPTED = 130,
};

enum {
    TDW_MODELS = 3,
    TDW_PARAMS_MAX = 32,
    TDW_NAMES_MAX = 64,
    TDW_SETS_MAX = 64,
    TDW_CRASH_DRAWS_MAX = 200,
    TDW_STRUCK_MAX = 1024,
    TDW_STRUCK_BYTES = 184,
};

struct tdw_param_value {
    const char *name; /* not terminated: part of an argument */
    size_t name_bytes;
    uint64_t value;
};

struct tdw_options {
    uint64_t runs, seed, time_ns, max_steps;
    uint32_t jobs;
    unsigned models; /* bit by enum tdw_model */
    enum tdw_schedule schedule;
    enum tdw_strategy strategy;
    bool runs_given, lockstep, guided, json, list, costs, help, version, bisect, quiet;
    bool require_fired, crash_every, crash_counts;
    uint32_t crash_draws; /* --crash: ways to cut the power that are drawn */
    const char *trace_dir, *replay;
    const char *plan_name, *sets[TDW_SETS_MAX]; /* of --plan and --set */
    uint32_t sets_count;
    const struct tdw_plan *plan;   /* NULL: nothing goes wrong by itself */
    struct tdw_rule_count *counts; /* of this worker; NULL: nobody counts */
    enum tdw_backend backend;
    const char *trace; /* of a run on a real backend */
    struct tdw_param_value params[TDW_PARAMS_MAX];
    uint32_t params_count;
    const char *names[TDW_NAMES_MAX]; /* of scenarios; none: all */
    uint32_t names_count;
};

/* 0, or -EINVAL after the reason was printed. Environment first (TDW_SEED …), then arguments. */
int tdw__options_parse(struct tdw_options *options, int argc, char **argv);
void tdw__options_help(const char *program);
const char *tdw__backend_name(enum tdw_backend backend);
const char *tdw__schedule_name(enum tdw_schedule schedule);
const char *tdw__strategy_name(enum tdw_strategy strategy);

/* ── One run ───────────────────────────────────────────────────────────────────────────────── */

struct tdw_run {
    const struct tdw_scenario *scenario;
    enum tdw_model model;
    uint64_t seed;
};

struct tdw_cuts { /* of the power, by --crash */
    uint64_t cuts, recoveries;
    uint64_t lost, broken; /* --crash count: what was promised was not there; a recovery failed */
};

struct tdw_outcome {
    bool failed;
    struct tdw_digest digest;
    uint64_t steps, now_ns;
    uint64_t deliveries, switches, frames;
    struct tdw_cuts cuts;
    size_t stack_bytes;            /* the deepest of a stackful task */
    char struck[TDW_STRUCK_BYTES]; /* where exhaustive rules fired: "file:line what"; "": nowhere */
    unsigned strikes;              /* at how many of their hits: 0, 1, or 2 of a pair */
    uint32_t notes;
    uint64_t hash; /* of the failure: check and place, the same for the same mistake */
    char site[160];
    struct tdw_failure failure;
};

bool tdw__scenario_has(const struct tdw_scenario *scenario, enum tdw_model model);
/* Runs in `world`, which is reset first; its taps listen. */
void tdw__run(struct tdw_world *world, const struct tdw_options *options, const struct tdw_run *run,
              struct tdw_outcome *outcome);
/* The same on a real backend, on a loop of its own. 0; -errno: the run could not be made. */
int tdw__run_real(const struct tdw_options *options, const struct tdw_run *run,
                  struct tdw_outcome *outcome);
/* In `world` or, where it is NULL, on the real backend that the options name. 0 or -errno. */
int tdw__run_on(struct tdw_world *world, const struct tdw_options *options,
                const struct tdw_run *run, struct tdw_outcome *outcome);
/* What both have in common: the plan is put to work on the loop, `go` runs it and answers how it
 * ended, and what became of it is judged. */
void tdw__run_under_plan(struct tdw_loop *loop, const struct tdw_options *options,
                         const struct tdw_run *run, int (*go)(struct tdw_loop *loop, void *arg),
                         void *arg, struct tdw_outcome *outcome);
/* Of the root task: spawn the test in the model asked for. */
void tdw__start_test(const struct tdw_run *run);
/* The end of the loop as a finding, unless there is an earlier one; what became of the run. */
void tdw__judge_end(struct tdw_loop *loop, int ret);
void tdw__outcome(struct tdw_loop *loop, struct tdw_outcome *outcome);
void tdw__world_options(const struct tdw_options *options, const struct tdw_scenario *scenario,
                        uint64_t seed, struct tdw_world_options *to);

/* The options of the run in progress, for tdw_param. */
extern _Thread_local const struct tdw_options *tdw__running;

/* ── Lockstep ──────────────────────────────────────────────────────────────────────────────── */

/* Find the first event in which two models differ, and describe it in `text`. */
void tdw__lockstep_explain(struct tdw_world *world, const struct tdw_options *options,
                           const struct tdw_run *a, const struct tdw_run *b, char *text,
                           size_t bytes);
/* Is memory never refused in runs of the scenario, though the plan says so? */
bool tdw__leaves_memory_out(const struct tdw_options *options, const struct tdw_scenario *scenario);
/* One line for an event, for people. */
void tdw__event_text(const struct tdw_event *event, char *text, size_t bytes);

/* ── Goals (expect.c) ──────────────────────────────────────────────────────────────────────── */

/* How often each of the program's goals was reached is counted there from now on. */
size_t tdw__goals_count(void);
void tdw__goals_into(uint64_t *counts);
const struct tdw_goal *tdw__goal(size_t index);
size_t tdw__goal_first(size_t index); /* of the same place: where it is added up */

/* ── Many runs ─────────────────────────────────────────────────────────────────────────────── */

/* A place at which an exhaustive rule fired, or a pair of them: runs that survived it, and that did
 * not. */
struct tdw_struck {
    char place[TDW_STRUCK_BYTES + 16];
    uint64_t survived, failed;
};

/* What became of one scenario. */
struct tdw_result {
    const struct tdw_scenario *scenario;
    uint64_t runs, failures, steps, notes;
    struct tdw_cuts cuts;
    uint64_t digest_sum[TDW_MODELS]; /* over all runs, in any order */
    struct tdw_digest first[TDW_MODELS];
    unsigned models;
    bool nondeterministic, interrupted, stopped;
    bool swept;            /* a sweep came to its end */
    struct tdw_run failed; /* the failing run with the smallest seed */
    struct tdw_outcome outcome;
    struct tdw_struck struck[TDW_STRUCK_MAX];
    uint32_t struck_count;
    uint64_t struck_elsewhere; /* runs that had their failure where the table had no place left */
    int signal;                /* the worker died of it in that run */
    double seconds;
    char trace[512]; /* where the failing run was kept; or empty */
};

/* 0 or -errno (a worker could not be started). What the plan's rules do is added to `counts`. */
int tdw__explore(const struct tdw_options *options, const struct tdw_scenario *scenario,
                 struct tdw_result *result, struct tdw_rule_count *counts, uint64_t *goals);

/* ── Progress (progress.c) ─────────────────────────────────────────────────────────────────── */

struct tdw_progress {
    const char *name; /* of the scenario */
    uint64_t runs, findings;
    uint64_t seed; /* the largest that is being run */
    enum tdw_sweep sweep;
    double seconds; /* since the first run */
};

/* Is it to be told? Then waits are interrupted once a second, to tell it, until it ends. */
bool tdw__progress_begin(const struct tdw_options *options);
void tdw__progress_tell(const struct tdw_progress *progress);
void tdw__progress_end(void);

/* ── Telling ───────────────────────────────────────────────────────────────────────────────── */

void tdw__report_head(const struct tdw_options *options, const char *program);
void tdw__report_result(const struct tdw_options *options, const char *program,
                        const struct tdw_result *result);
void tdw__report_json(const struct tdw_options *options, const char *program,
                      const struct tdw_result *results, size_t count,
                      const struct tdw_rule_count *counts, const uint64_t *goals, int code);

/* What the rules of the plan did, all workers together. */
void tdw__report_rules(const struct tdw_options *options, const struct tdw_rule_count *counts);

/* Which goals no run reached. */
void tdw__report_goals(const struct tdw_options *options, const uint64_t *goals);

/* Is the scenario among those that were asked for? */
bool tdw__is_selected(const struct tdw_options *options, const struct tdw_scenario *scenario);
/* What the models of the scenarios cost; an exit code. */
int tdw__models_of(const struct tdw_options *options, const struct tdw_scenario *const *begin,
                   size_t count);

/* ── Keeping and replaying ─────────────────────────────────────────────────────────────────── */

/* The plan as it was understood, with what was set: all that it takes to have it again. To be
 * freed; NULL: no memory. */
char *tdw__plan_text(const struct tdw_plan *plan, size_t *bytes);
/* Run again and write the trace to `path`. 0 or -errno. */
int tdw__keep_run(struct tdw_world *world, const struct tdw_options *options, const char *program,
                  const struct tdw_run *run, const char *path);
/* Replay a kept run, comparing every choice and event; an exit code. */
int tdw__replay(const struct tdw_options *options, const struct tdw_scenario *const *begin,
                const struct tdw_scenario *const *end);

#endif
