/* SPDX-License-Identifier: MIT */
/*
 * One run of one scenario in one model, and what became of it.
 *
 * The world's root task spawns task "test" in the model asked for; everything else is the
 * scenario's. How the run ended (deadlock, livelock, a daemon that survived) is turned into the
 * same kind of failure as a check that failed: a text and a place.
 */
#include <sim/explore/promises.h>
#include <string.h>

bool tdw__scenario_has(const struct tdw_scenario *scenario, enum tdw_model model)
{
    switch (model) {
    case TDW_CALLBACK:
        return scenario->callback != NULL;
    case TDW_STACKLESS:
        return scenario->stackless.step != NULL;
    case TDW_STACKFUL:
        return scenario->stackful != NULL;
    }
    return false;
}

void tdw__start_test(const struct tdw_run *run)
{
    static const struct tdw_site site = {"(scenario)", "main", "spawn", 0};
    const struct tdw_scenario *scenario = run->scenario;
    struct tdw_task *task = NULL;

    switch (run->model) {
    case TDW_CALLBACK:
        task = tdw__spawn(TDW_CALLBACK, "test", scenario->callback, NULL, &site);
        break;
    case TDW_STACKLESS:
        task = tdw__spawn_stackless("test", scenario->stackless.step, scenario->stackless.bytes,
                                    &site);
        break;
    case TDW_STACKFUL:
        task = tdw__spawn(TDW_STACKFUL, "test", scenario->stackful, NULL, &site);
        break;
    }
    if (!task)
        tdw__finding(tdw_loop(), tdw_self(), &site, "the test could not be started: %s",
                     strerror(errno));
}

static void start_test(void *arg)
{
    tdw_faults_begin();
    tdw__start_test(arg);
}

void tdw__world_options(const struct tdw_options *options, const struct tdw_scenario *scenario,
                        uint64_t seed, struct tdw_world_options *to)
{
    *to = (struct tdw_world_options){
        .seed = seed,
        .schedule = options->schedule,
        .strategy = options->strategy,
        .steps_max = options->max_steps,
        .watch_buffers = true,
        .stack_bytes = scenario->stack_bytes,
    };
}

struct lines {
    char *to;
    size_t bytes, at;
};

static void add_line(void *out, const char *text)
{
    struct lines *lines = out;
    const int n = snprintf(lines->to + lines->at, lines->bytes - lines->at, "; %s", text);

    lines->at += (size_t)n < lines->bytes - lines->at ? (size_t)n : lines->bytes - lines->at - 1;
}

void tdw__judge_end(struct tdw_loop *loop, int ret)
{
    char waiters[300] = "";
    struct lines lines = {waiters, sizeof waiters, 0};

    if (ret == 0)
        return;
    tdw_loop_waiters(loop, add_line, &lines);
    if (ret == -EDEADLK)
        tdw__finding(loop, NULL, NULL, "deadlock: nothing can come%s", waiters);
    else if (ret == -ELOOP)
        tdw__finding(loop, NULL, NULL, "livelock: no end after %llu steps%s",
                     (unsigned long long)loop->steps, waiters);
    else if (ret == -EOWNERDEAD)
        tdw__finding(loop, NULL, NULL, "a daemon survived its cancellation%s", waiters);
    else if (ret == -ETIME)
        tdw__finding(loop, NULL, NULL, "no end after %llu s%s",
                     (unsigned long long)(loop->now_ns / 1000000000u), waiters);
    else
        tdw__finding(loop, NULL, NULL, "the run could not go on: %s", strerror(-ret));
}

void tdw__outcome(struct tdw_loop *loop, struct tdw_outcome *outcome)
{
    const struct tdw_site *site = loop->failure.site;

    *outcome = (struct tdw_outcome){
        .failed = loop->findings > 0,
        .digest = loop->digest,
        .steps = loop->steps,
        .now_ns = loop->now_ns,
        .notes = loop->notes,
        .deliveries = loop->deliveries,
        .switches = loop->switches,
        .frames = loop->frames,
        .stack_bytes = loop->stacks ? tdw_stack_high_water(loop) : 0,
    };
    outcome->cuts = tdw__crashes_count(loop);
    if (!outcome->failed)
        return;
    outcome->failure = loop->failure;
    outcome->failure.site = NULL;
    snprintf(outcome->site, sizeof outcome->site, "%s:%u", site ? site->file : "",
             site ? site->line : 0);
    outcome->hash = tdw__mix(tdw__hash_text(outcome->site), site ? 0 : outcome->failure.text[0]);
}

static void tell_struck(const struct tdw_faults *faults, struct tdw_outcome *outcome)
{
    size_t at = 0;

    for (unsigned which = 0; which < 2; which++) {
        const struct tdw_site *site = tdw_faults_struck(faults, which);
        char place[TDW_STRUCK_BYTES / 2 - 1], line[16] = "";

        if (!site)
            continue;
        if (site->line > 0)
            snprintf(line, sizeof line, ":%u", site->line);
        snprintf(place, sizeof place, "%s%s %s", site->file, line, site->what);
        at += (size_t)snprintf(outcome->struck + at, sizeof outcome->struck - at, "%s%s",
                               outcome->strikes ? ", " : "", place);
        outcome->strikes++;
    }
}

/* Each model allocates what it needs, so the n-th allocation of one is not that of another. Where a
 * sweep fails each hit of each model in its turn, the models are not compared. */
bool tdw__leaves_memory_out(const struct tdw_options *options, const struct tdw_scenario *scenario)
{
    int models = 0;

    for (int m = 0; m < TDW_MODELS; m++)
        models += tdw__scenario_has(scenario, (enum tdw_model)m);
    return options->lockstep && models > 1 && options->plan && !tdw_plan_sweeps(options->plan) &&
           tdw_plan_rule_at(options->plan, TDW_AT_MEMORY);
}

void tdw__run_under_plan(struct tdw_loop *loop, const struct tdw_options *options,
                         const struct tdw_run *run, int (*go)(struct tdw_loop *loop, void *arg),
                         void *arg, struct tdw_outcome *outcome)
{
    struct tdw_faults *faults = NULL;

    if (options->plan && !(faults = tdw_plan_apply(options->plan, loop, options->counts)))
        tdw__judge_end(loop, -ENOMEM);
    if (faults)
        tdw_faults_sweep(faults, run->seed);
    if (faults && tdw__leaves_memory_out(options, run->scenario))
        tdw_faults_leave_out(faults, TDW_AT_MEMORY);
    tdw__running = options;
    tdw__judge_end(loop, go(loop, arg));
    tdw__running = NULL;
    tdw__outcome(loop, outcome);
    if (faults)
        tell_struck(faults, outcome);
    tdw_faults_end(faults);
}

struct simulated {
    struct tdw_world *world;
    struct tdw_run run;
};

static int simulate(struct tdw_loop *loop, void *arg)
{
    struct simulated *simulated = arg;

    (void)loop;
    return tdw_world_run(simulated->world, start_test, &simulated->run);
}

void tdw__run(struct tdw_world *world, const struct tdw_options *options, const struct tdw_run *run,
              struct tdw_outcome *outcome)
{
    struct simulated simulated = {world, *run};

    tdw__run_under_plan(tdw_world_loop(world), options, run, simulate, &simulated, outcome);
}

int tdw__run_on(struct tdw_world *world, const struct tdw_options *options,
                const struct tdw_run *run, struct tdw_outcome *outcome)
{
    struct tdw_world_options world_options;

    if (!world)
        return tdw__run_real(options, run, outcome);
    tdw__world_options(options, run->scenario, run->seed, &world_options);
    tdw_world_reset(world, &world_options);
    tdw__run(world, options, run, outcome);
    return 0;
}
