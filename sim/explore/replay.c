/* SPDX-License-Identifier: MIT */
/*
 * Kept runs: written as a trace with all choices and events, and replayed strictly.
 *
 * A replay reads the choices of the file first (they are the script), then runs, and compares each
 * event with the file's as it happens: the first difference is named on both sides. The options of
 * the run (scenario, model, schedule, seed, parameters) are in the file's metadata.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>

/* ── Keep ──────────────────────────────────────────────────────────────────────────────────── */

static void parameter_text(const struct tdw_options *options, char *text, size_t bytes)
{
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < options->params_count && at < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s%.*s=%llu", i ? " " : "",
                               (int)options->params[i].name_bytes, options->params[i].name,
                               (unsigned long long)options->params[i].value);
}

char *tdw__plan_text(const struct tdw_plan *plan, size_t *bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, bytes);
    int ret;

    if (!to)
        return NULL;
    ret = tdw_plan_show(plan, to);
    if (fclose(to) == 0 && ret == 0)
        return text;
    free(text);
    return NULL;
}

int tdw__keep_run(struct tdw_world *world, const struct tdw_options *options, const char *program,
                  const struct tdw_run *run, const char *path)
{
    char seed[24], params[512], steps[24], draws[24];
    size_t plan_bytes;
    char *plan = options->plan ? tdw__plan_text(options->plan, &plan_bytes) : NULL;
    const struct tdw_trace_meta meta[] = {
        {"program", program},
        {"scenario", run->scenario->name},
        {"model", tdw__model_name(run->model)},
        {"schedule", tdw__schedule_name(options->schedule)},
        {"strategy", tdw__strategy_name(options->strategy)},
        {"seed", seed},
        {"max_steps", steps},
        {"params", params},
        {"tidewheel", TDW_VERSION},
        {"crash_every", draws},
        {"lockstep", tdw__leaves_memory_out(options, run->scenario) ? "1" : "0"},
        {"plan", plan ? plan : ""},
    };
    struct tdw_world_options world_options;
    struct tdw_trace_writer *writer;
    struct tdw_outcome outcome;
    int ret;

    if (options->plan && !plan)
        return -ENOMEM;
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)run->seed);
    snprintf(steps, sizeof steps, "%llu", (unsigned long long)options->max_steps);
    snprintf(draws, sizeof draws, "%d", options->crash_every ? (int)options->crash_draws : -1);
    parameter_text(options, params, sizeof params);
    ret = tdw_trace_create(&writer, path, TDW_TRACE_RUN, meta,
                           sizeof meta / sizeof *meta - (options->plan ? 0 : 1));
    free(plan);
    if (ret < 0)
        return ret;
    tdw__world_options(options, run->scenario, run->seed, &world_options);
    tdw_world_reset(world, &world_options);
    tdw_tap_add(tdw_world_loop(world), tdw_trace_tap(writer));
    tdw__run(world, options, run, &outcome);
    tdw_tap_remove(tdw_world_loop(world), tdw_trace_tap(writer));
    return tdw_trace_close(writer, &outcome.digest);
}

/* ── Read ──────────────────────────────────────────────────────────────────────────────────── */

struct kept {
    char scenario[64], model[16], schedule[16], strategy[16], params[512];
    uint64_t seed, max_steps;
    int crash_draws; /* -1: it was not crashed everywhere */
    bool lockstep;   /* what lockstep leaves out was left out */
    struct tdw_plan *plan;
    struct tdw_answer *answers;
    size_t answers_count, answers_max;
    struct tdw_digest digest;
    bool whole;
};

static void take_meta(struct kept *kept, const struct tdw_trace_meta *meta)
{
    const struct {
        const char *key;
        char *to;
        size_t bytes;
    } texts[] = {
        {"scenario", kept->scenario, sizeof kept->scenario},
        {"model", kept->model, sizeof kept->model},
        {"schedule", kept->schedule, sizeof kept->schedule},
        {"strategy", kept->strategy, sizeof kept->strategy},
        {"params", kept->params, sizeof kept->params},
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(meta->key, texts[i].key) == 0)
            snprintf(texts[i].to, texts[i].bytes, "%s", meta->value);
    if (strcmp(meta->key, "seed") == 0)
        kept->seed = strtoull(meta->value, NULL, 10);
    if (strcmp(meta->key, "max_steps") == 0)
        kept->max_steps = strtoull(meta->value, NULL, 10);
    if (strcmp(meta->key, "crash_every") == 0)
        kept->crash_draws = atoi(meta->value);
    if (strcmp(meta->key, "lockstep") == 0)
        kept->lockstep = atoi(meta->value) != 0;
    if (strcmp(meta->key, "plan") == 0 && !kept->plan)
        tdw_plan_text(&kept->plan, "the trace's plan", meta->value, strlen(meta->value), NULL, 0,
                      NULL, NULL);
}

static int take_choice(struct kept *kept, const struct tdw_event *event)
{
    if (kept->answers_count == kept->answers_max) {
        const size_t max = kept->answers_max ? kept->answers_max * 2 : 1024;
        struct tdw_answer *answers = realloc(kept->answers, max * sizeof *answers);

        if (!answers)
            return -ENOMEM;
        kept->answers = answers;
        kept->answers_max = max;
    }
    kept->answers[kept->answers_count++] = (struct tdw_answer){.kind = event->opcode,
                                                               .key = event->data,
                                                               .bound = (uint32_t)event->off,
                                                               .value = event->len};
    return 0;
}

static int read_kept(const char *path, struct kept *kept)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    struct tdw_trace_error error;
    int ret = tdw_trace_open(&reader, path, &error);

    if (ret < 0) {
        fprintf(stderr, "tidewheel: %s: %s\n", path, error.text);
        return ret;
    }
    if (tdw_trace_kind(reader) != TDW_TRACE_RUN) {
        fprintf(stderr,
                "tidewheel: %s is a recording of a real program, not a kept run; "
                "`tdw replay` replays it\n",
                path);
        tdw_trace_reader_close(reader);
        return -EINVAL;
    }
    while ((ret = tdw_trace_next(reader, &record)) > 0) {
        if (record.type == TDW_TRACE_META)
            take_meta(kept, &record.meta);
        else if (record.type == TDW_TRACE_EVENT && record.event.kind == TDW_E_CHOICE &&
                 take_choice(kept, &record.event) < 0)
            break;
        else if (record.type == TDW_TRACE_END)
            kept->digest = record.end.digest, kept->whole = true;
    }
    if (ret < 0)
        fprintf(stderr, "tidewheel: %s: byte %llu: %s\n", path,
                (unsigned long long)tdw_trace_error(reader)->offset, tdw_trace_error(reader)->text);
    tdw_trace_reader_close(reader);
    return ret;
}

/* ── Compare ───────────────────────────────────────────────────────────────────────────────── */

struct comparison {
    struct tdw_tap tap;
    struct tdw_loop *loop;
    struct tdw_trace_reader *reader;
    uint64_t index;
    bool differs;
    char expected[200], found[200];
    bool show; /* logs, marks, findings: for people */
};

/* The file's next event that the digest covers. */
static bool expected_event(struct comparison *c, struct tdw_event *event)
{
    struct tdw_trace_record record;

    while (tdw_trace_next(c->reader, &record) > 0) {
        if (record.type == TDW_TRACE_EVENT && record.event.kind < TDW_E_CHOICE) {
            *event = record.event;
            return true;
        }
    }
    return false;
}

static void show_line(const struct tdw_event *event)
{
    char path[192] = "";

    if (tdw_self())
        tdw_task_path(tdw_self(), path, sizeof path);
    switch ((enum tdw_event_kind)event->kind) {
    case TDW_E_LOG:
        printf("%12.3f us  %-28s %s\n", (double)event->now_ns / 1e3, path, event->name);
        break;
    case TDW_E_MARK:
        printf("%12.3f us  %-28s mark %s = %llu\n", (double)event->now_ns / 1e3, path, event->name,
               (unsigned long long)event->off);
        break;
    case TDW_E_CRASH:
    case TDW_E_BOOT:
        printf("%12.3f us  %-28s %s %s\n", (double)event->now_ns / 1e3, path,
               tdw_event_name(event->kind), event->name);
        break;
    case TDW_E_FINDING:
        printf("%12.3f us  %-28s %s\n", (double)event->now_ns / 1e3, path, event->name);
        break;
    default:
        break;
    }
}

static void on_event(struct tdw_tap *tap, const struct tdw_event *event)
{
    struct comparison *c = tdw_of(tap, struct comparison, tap);
    struct tdw_digest here = {0, 0}, there = {0, 0};
    struct tdw_event expected = {0};

    if (c->show)
        show_line(event);
    if (event->kind >= TDW_E_CHOICE || c->differs)
        return;
    if (expected_event(c, &expected))
        tdw__digest_fold(&there, &expected);
    tdw__digest_fold(&here, event);
    if (!tdw_digest_equal(here, there)) {
        c->differs = true;
        tdw__event_text(event, c->found, sizeof c->found);
        if (expected.kind)
            tdw__event_text(&expected, c->expected, sizeof c->expected);
        else
            snprintf(c->expected, sizeof c->expected, "the end of the run");
        c->loop->stop = true;
        return;
    }
    c->index++;
}

static const struct tdw_scenario *find_scenario(const struct tdw_scenario *const *begin,
                                                const struct tdw_scenario *const *end,
                                                const char *name)
{
    for (; begin < end; begin++)
        if (strcmp((*begin)->name, name) == 0)
            return *begin;
    return NULL;
}

/* The kept run's own options, instead of those of the command line. */
static int use_options(struct tdw_options *options, struct kept *kept, struct tdw_run *run)
{
    char *word, *rest = kept->params;

    options->schedule = strcmp(kept->schedule, "adversary") == 0 ? TDW_ADVERSARY : TDW_TIMED;
    options->strategy = strcmp(kept->strategy, "calm") == 0 ? TDW_CALM : TDW_RANDOM;
    options->max_steps = kept->max_steps;
    options->lockstep = kept->lockstep;
    options->crash_every = kept->crash_draws >= 0;
    options->crash_draws = options->crash_every ? (uint32_t)kept->crash_draws : 0;
    options->params_count = 0;
    while ((word = strtok_r(rest, " ", &rest)) != NULL && options->params_count < TDW_PARAMS_MAX) {
        const char *equals = strchr(word, '=');

        if (!equals)
            continue;
        options->params[options->params_count++] =
            (struct tdw_param_value){word, (size_t)(equals - word), strtoull(equals + 1, NULL, 10)};
    }
    run->seed = kept->seed;
    for (int m = 0; m < TDW_MODELS; m++) {
        if (strcmp(kept->model, tdw__model_name((enum tdw_model)m)) == 0) {
            run->model = (enum tdw_model)m;
            return 0;
        }
    }
    return -EINVAL;
}

/* The kept answers where their keys occur, the strategy elsewhere: for a program that was edited.
 */
static int guide_kept(const struct tdw_options *options, const struct tdw_run *run,
                      const struct kept *kept)
{
    struct tdw_world_options world_options;
    struct tdw_outcome outcome;
    struct tdw_world *world;
    size_t unused;

    tdw__world_options(options, run->scenario, run->seed, &world_options);
    world = tdw_world_new(&world_options);
    if (!world)
        return TDW_EXIT_BUG;
    tdw_world_guide(world, kept->answers, kept->answers_count);
    tdw__run(world, options, run, &outcome);
    unused = tdw_world_unused_answers(world);
    tdw_world_free(world);
    printf("%s %s seed %llu: guided, %zu of %zu choices applied: %s\n", kept->scenario, kept->model,
           (unsigned long long)kept->seed, kept->answers_count - unused, kept->answers_count,
           outcome.failed ? outcome.failure.text : "nothing failed");
    return outcome.failed ? TDW_EXIT_FAILED : TDW_EXIT_OK;
}

static int replay_kept(struct tdw_options *options, const struct tdw_run *run, struct kept *kept)
{
    struct comparison c = {.tap.event = on_event, .show = !options->json && !options->quiet};
    struct tdw_world_options world_options;
    struct tdw_outcome outcome;
    struct tdw_world *world;
    char digest[33];
    size_t diverged;

    if (tdw_trace_open(&c.reader, options->replay, NULL) < 0)
        return TDW_EXIT_IO;
    tdw__world_options(options, run->scenario, run->seed, &world_options);
    world = tdw_world_new(&world_options);
    if (!world)
        return TDW_EXIT_BUG;
    c.loop = tdw_world_loop(world);
    tdw_world_replay(world, kept->answers, kept->answers_count);
    tdw_tap_add(c.loop, &c.tap);
    tdw__run(world, options, run, &outcome);
    diverged = tdw_world_diverged(world);
    tdw_world_free(world);
    tdw_trace_reader_close(c.reader);
    tdw__digest_text(outcome.digest, digest);

    if (c.differs || diverged != SIZE_MAX || !tdw_digest_equal(outcome.digest, kept->digest)) {
        if (c.differs)
            printf("replay diverged at event %llu\n  kept: %s\n  now:  %s\n",
                   (unsigned long long)c.index, c.expected, c.found);
        else if (diverged != SIZE_MAX)
            printf("replay diverged at choice %zu of %zu\n", diverged, kept->answers_count);
        else
            printf("replay diverged: digest %s\n", digest);
        return TDW_EXIT_DIVERGED;
    }
    printf("%s %s seed %llu: replayed, %llu events and %zu choices the same, digest %s\n",
           kept->scenario, kept->model, (unsigned long long)kept->seed, (unsigned long long)c.index,
           kept->answers_count, digest);
    if (!outcome.failed)
        return TDW_EXIT_OK;
    printf("  fails as before: %s\n", outcome.failure.text);
    if (outcome.failure.task[0])
        printf("  in %s at %s\n", outcome.failure.task, outcome.site);
    return TDW_EXIT_FAILED;
}

static void free_kept(struct kept *kept)
{
    free(kept->answers);
    tdw_plan_free(kept->plan);
}

int tdw__replay(const struct tdw_options *given, const struct tdw_scenario *const *begin,
                const struct tdw_scenario *const *end)
{
    struct tdw_options options = *given;
    struct tdw_run run = {0};
    struct kept kept = {.crash_draws = -1};
    int code;

    if (read_kept(options.replay, &kept) < 0 || !kept.whole) {
        free_kept(&kept);
        return TDW_EXIT_USAGE;
    }
    run.scenario = find_scenario(begin, end, kept.scenario);
    if (!run.scenario || use_options(&options, &kept, &run) < 0) {
        fprintf(stderr, "tidewheel: %s: this program has no scenario '%s' in model '%s'\n",
                options.replay, kept.scenario, kept.model);
        free_kept(&kept);
        return options.bisect ? TDW_EXIT_BISECT_SKIP : TDW_EXIT_USAGE;
    }
    options.plan = kept.plan;
    code = options.guided ? guide_kept(&options, &run, &kept) : replay_kept(&options, &run, &kept);
    free_kept(&kept);
    return code;
}
