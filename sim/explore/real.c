/* SPDX-License-Identifier: MIT */
/*
 * Programs and scenarios on the backend that is asked for, the real kernel's among them.
 *
 * tdw_run is what an ordinary program calls: TDW_BACKEND says where it runs, TDW_TRACE what is
 * kept of it. A scenario on a real backend runs as it would in a world, its hosts on addresses of
 * the loopback, with what a real kernel cannot do on request left out (runtime/real/hosts.c). It is
 * not repeatable there: no digest is told, and no run is kept but as a trace. A watch ends it after
 * so long, as the step limit does in a world.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/loop.h>
#include <tidewheel/trace.h>
#include <tidewheel/verbs.h>

#define WATCH_NS ((uint64_t)60 * 1000000000u)

/* ── The trace of a run ────────────────────────────────────────────────────────────────────── */

struct recording {
    struct tdw_trace_writer *writer; /* NULL: none */
};

static int recording_begin(struct recording *recording, struct tdw_loop *loop, const char *path,
                           const struct tdw_trace_meta *more, size_t more_count)
{
    struct tdw_trace_meta meta[8] = {{"backend", tdw_loop_backend(loop)},
                                     {"tidewheel", TDW_VERSION}};
    int ret;

    recording->writer = NULL;
    if (!path || !*path)
        return 0;
    for (size_t i = 0; i < more_count && i + 2 < 8; i++)
        meta[i + 2] = more[i];
    ret = tdw_trace_create(&recording->writer, path, TDW_TRACE_RUN, meta, more_count + 2);
    if (ret < 0) {
        fprintf(stderr, "tidewheel: the trace %s could not be made: %s\n", path, strerror(-ret));
        return ret;
    }
    tdw_tap_add(loop, tdw_trace_tap(recording->writer));
    return 0;
}

static int recording_end(struct recording *recording, struct tdw_loop *loop)
{
    const struct tdw_digest digest = tdw_loop_digest(loop);
    int ret;

    if (!recording->writer)
        return 0;
    tdw_tap_remove(loop, tdw_trace_tap(recording->writer));
    ret = tdw_trace_close(recording->writer, &digest);
    if (ret < 0)
        fprintf(stderr, "tidewheel: the trace could not be written: %s\n", strerror(-ret));
    return ret;
}

/* ── Programs ──────────────────────────────────────────────────────────────────────────────── */

/* What was asked for, in code or by the environment; -EINVAL. */
static int backend_asked(const struct tdw_loop_options *options)
{
    const char *name = getenv("TDW_BACKEND");
    int backend;

    if (options->backend != TDW_BACKEND_ANY || !name || !*name)
        return (int)options->backend;
    backend = tdw_backend_named(name);
    if (backend < 0)
        fprintf(stderr, "tidewheel: TDW_BACKEND: there is no backend '%s'; sim, uring, epoll\n",
                name);
    return backend;
}

/* A program that is not a scenario has nobody to tell what its checks found: stderr does. */
static int tell_findings(const struct tdw_loop *loop)
{
    const struct tdw_failure *failure = &loop->failure;

    if (loop->findings == 0)
        return 0;
    fprintf(stderr, "tidewheel: %s\n  in %s at %s:%u\n", failure->text, failure->task,
            failure->site ? failure->site->file : "", failure->site ? failure->site->line : 0);
    return -EBADMSG;
}

static int run_simulated(const struct tdw_loop_options *options, void (*main)(void *), void *arg)
{
    const struct tdw_world_options world_options = {.seed = options->seed,
                                                    .strategy = TDW_RANDOM,
                                                    .ops_max = options->ops_max,
                                                    .stack_bytes = options->stack_bytes};
    struct tdw_world *world = tdw_world_new(&world_options);
    struct recording recording;
    int ret, written;

    if (!world)
        return -ENOMEM;
    ret = recording_begin(&recording, tdw_world_loop(world), getenv("TDW_TRACE"), NULL, 0);
    if (ret == 0) {
        ret = tdw_world_run(world, main, arg);
        ret = ret ? ret : tell_findings(tdw_world_loop(world));
        written = recording_end(&recording, tdw_world_loop(world));
        ret = ret ? ret : written;
    }
    tdw_world_free(world);
    return ret;
}

int tdw_run(const struct tdw_loop_options *given, void (*main)(void *), void *arg)
{
    struct tdw_loop_options options = given ? *given : (struct tdw_loop_options){.seed = 0};
    const int backend = backend_asked(&options);
    struct recording recording;
    struct tdw_loop *loop;
    int ret, written;

    if (backend < 0)
        return backend;
    if (backend == TDW_BACKEND_SIM)
        return run_simulated(&options, main, arg);
    options.backend = (enum tdw_backend)backend;
    ret = tdw_loop_open(&loop, &options);
    if (ret < 0) {
        fprintf(stderr, "tidewheel: no loop on the real kernel: %s\n", strerror(-ret));
        return ret;
    }
    ret = recording_begin(&recording, loop, getenv("TDW_TRACE"), NULL, 0);
    if (ret == 0)
        ret = tdw_loop_start(loop, main, arg);
    if (ret == 0)
        ret = tdw_loop_run(loop);
    if (ret == 0)
        ret = tell_findings(loop);
    written = recording_end(&recording, loop);
    tdw_loop_close(loop);
    return ret ? ret : written;
}

/* ── Scenarios ─────────────────────────────────────────────────────────────────────────────── */

struct watch {
    struct tdw_op op;
    const struct tdw_run *run;
};

static void too_long(struct tdw_op *op)
{
    struct tdw_loop *loop = tdw_loop();

    if (op->res == 0) {
        tdw__judge_end(loop, -ETIME);
        loop->stop = true;
    }
}

/* On behalf of the root task, which ends with its start: the watch is a daemon's. */
static void watch_main(void *arg)
{
    struct watch *watch = arg;

    TDW_ON(&watch->op, too_long, sleep, WATCH_NS);
}

static void main_of_run(void *arg)
{
    struct watch *watch = arg;
    struct tdw_task *task = tdw_spawn_callback("watch", watch_main, watch);

    if (task)
        tdw_daemon(task);
    tdw__start_test(watch->run);
}

static int perform(struct tdw_loop *loop, void *arg)
{
    const int ret = tdw_loop_start(loop, main_of_run, arg);

    return ret ? ret : tdw_loop_run(loop);
}

int tdw__run_real(const struct tdw_options *options, const struct tdw_run *run,
                  struct tdw_outcome *outcome)
{
    const struct tdw_trace_meta meta[] = {{"scenario", run->scenario->name},
                                          {"model", tdw__model_name(run->model)}};
    const struct tdw_loop_options loop_options = {.backend = options->backend, .seed = run->seed};
    struct watch watch = {.run = run};
    struct recording recording;
    struct tdw_loop *loop;
    int ret = tdw_loop_open(&loop, &loop_options);

    *outcome = (struct tdw_outcome){.failed = false};
    if (ret < 0)
        return ret;
    ret = recording_begin(&recording, loop, options->trace, meta, 2);
    if (ret < 0) {
        tdw_loop_close(loop);
        return ret;
    }
    tdw__run_under_plan(loop, options, run, perform, &watch, outcome);
    ret = recording_end(&recording, loop);
    tdw_loop_close(loop);
    return ret;
}
