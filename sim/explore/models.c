/* SPDX-License-Identifier: MIT */
/*
 * `tdw models PROGRAM`: what the three models of a program's scenarios cost, on any backend.
 *
 * Each scenario runs some times in each model, the models in turn, so that a machine that changes
 * its pace does so for all; told is the median. Time is the processor's, of this thread: on a real
 * kernel most of a run's own time is waiting. An op is a delivery; switches and frames are counted
 * by the runtime; the stack is the deepest that any task's grew.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS_SIM = 51, RUNS_REAL = 11 };

struct sample {
    double ns_per_op, ops, switches, frames;
    size_t stack;
};

static double thread_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One run; false: it failed, and was told. */
static bool measure(struct tdw_world *world, const struct tdw_options *options,
                    const struct tdw_run *run, struct sample *sample)
{
    const double began = thread_ns();
    struct tdw_outcome outcome;
    double ns;
    int ret = tdw__run_on(world, options, run, &outcome);

    ns = thread_ns() - began;
    if (ret < 0 || outcome.failed || outcome.deliveries == 0) {
        fprintf(stderr, "tidewheel: %s in %s does not run: %s\n", run->scenario->name,
                tdw__model_name(run->model),
                outcome.failed ? outcome.failure.text : "nothing was done");
        return false;
    }
    *sample = (struct sample){
        .ns_per_op = ns / (double)outcome.deliveries,
        .ops = (double)outcome.deliveries,
        .switches = (double)outcome.switches / (double)outcome.deliveries,
        .frames = (double)outcome.frames / (double)outcome.deliveries,
        .stack = outcome.stack_bytes,
    };
    return true;
}

static void tell(const struct tdw_options *options, const char *name, enum tdw_model model,
                 const struct sample *s, bool last)
{
    if (options->json)
        printf("  {\"scenario\": \"%s\", \"backend\": \"%s\", \"model\": \"%s\", \"cpu_ns\": %.1f, "
               "\"ops\": %.0f, \"switches\": %.2f, \"frames\": %.2f, \"stack\": %zu}%s\n",
               name, tdw__backend_name(options->backend), tdw__model_name(model), s->ns_per_op,
               s->ops, s->switches, s->frames, s->stack, last ? "" : ",");
    else
        printf("%-14s %-8s %-10s %11.1f %8.0f %12.2f %10.2f %8zu\n", name,
               tdw__backend_name(options->backend), tdw__model_name(model), s->ns_per_op, s->ops,
               s->switches, s->frames, s->stack);
}

/* A scenario in its models, in turn. */
static int compare(struct tdw_world *world, const struct tdw_options *options,
                   const struct tdw_scenario *scenario, bool last)
{
    const int runs = world ? RUNS_SIM : RUNS_REAL;
    static double times[TDW_MODELS][RUNS_SIM];
    struct sample samples[TDW_MODELS];
    int told = -1;

    for (int i = -1; i < runs; i++) { /* the first one warms up */
        for (int m = 0; m < TDW_MODELS; m++) {
            const struct tdw_run run = {scenario, (enum tdw_model)m,
                                        options->seed + (i > 0 ? (uint64_t)i : 0)};

            if (!(options->models & 1u << m) || !tdw__scenario_has(scenario, (enum tdw_model)m))
                continue;
            if (!measure(world, options, &run, &samples[m]))
                return TDW_EXIT_FAILED;
            if (i >= 0)
                times[m][i] = samples[m].ns_per_op;
            told = m;
        }
    }
    for (int m = 0; m <= told; m++) {
        if (!(options->models & 1u << m) || !tdw__scenario_has(scenario, (enum tdw_model)m))
            continue;
        qsort(times[m], (size_t)runs, sizeof times[m][0], by_value);
        samples[m].ns_per_op = times[m][runs / 2];
        tell(options, scenario->name, (enum tdw_model)m, &samples[m], last && m == told);
    }
    return TDW_EXIT_OK;
}

/* One world runs them all, and its stacks have one size. */
static const struct tdw_scenario *deepest(const struct tdw_scenario *const *begin, size_t count)
{
    const struct tdw_scenario *scenario = begin[0];

    for (size_t i = 1; i < count; i++)
        if (begin[i]->stack_bytes > scenario->stack_bytes)
            scenario = begin[i];
    return scenario;
}

int tdw__models_of(const struct tdw_options *options, const struct tdw_scenario *const *begin,
                   size_t count)
{
    struct tdw_world_options world_options;
    struct tdw_world *world = NULL;
    int code = TDW_EXIT_OK;

    if (count == 0)
        return TDW_EXIT_NOTHING;
    tdw__world_options(options, deepest(begin, count), options->seed, &world_options);
    if (options->backend == TDW_BACKEND_SIM) {
        world = tdw_world_new(&world_options);
        if (!world)
            return TDW_EXIT_BUG;
    }
    if (options->json)
        printf("[\n");
    else
        printf("scenario       backend  model       cpu ns/op      ops  switches/op  frames/op    "
               "stack\n");
    for (size_t i = 0; i < count && code == TDW_EXIT_OK; i++)
        if (tdw__is_selected(options, begin[i]))
            code = compare(world, options, begin[i], i + 1 == count);
    if (options->json)
        printf("]\n");
    tdw_world_free(world);
    return code;
}
