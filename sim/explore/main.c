/* SPDX-License-Identifier: MIT */
/*
 * The main function of every scenario program: the order in which things are done.
 *
 *     options → (list, help, replay) → explore each scenario → keep what failed → tell → exit code
 *
 * `tdw run PROGRAM` executes the program, so both are the same.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool tdw__is_selected(const struct tdw_options *options, const struct tdw_scenario *scenario)
{
    for (uint32_t i = 0; i < options->names_count; i++)
        if (strcmp(options->names[i], scenario->name) == 0)
            return true;
    return options->names_count == 0;
}

static int check_names(const struct tdw_options *options, const struct tdw_scenario *const *begin,
                       size_t count)
{
    for (uint32_t i = 0; i < options->names_count; i++) {
        const char *words[256];
        bool found = false;
        const char *near;

        for (size_t j = 0; j < count && j < 256; j++) {
            words[j] = begin[j]->name;
            found |= strcmp(begin[j]->name, options->names[i]) == 0;
        }
        if (found)
            continue;
        near = tdw__nearest(options->names[i], words, count < 256 ? count : 256);
        fprintf(stderr, "tidewheel: there is no scenario '%s'%s%s%s; --list names them\n",
                options->names[i], near ? "; did you mean " : "", near ? near : "",
                near ? "?" : "");
        return -EINVAL;
    }
    return 0;
}

static void list(const struct tdw_scenario *const *begin, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("%-20s", begin[i]->name);
        for (int m = 0; m < TDW_MODELS; m++)
            printf(" %-10s", tdw__scenario_has(begin[i], (enum tdw_model)m)
                                 ? tdw__model_name((enum tdw_model)m)
                                 : "-");
        printf(" %s\n", begin[i]->doc ? begin[i]->doc : "");
    }
}

/* Make the directories of `path`, which ends with a slash. */
static int make_dirs(const char *path)
{
    char part[512];

    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return 0;
}

/* Keep the failing run, if it can be run in this process (it did not die of it). */
static int keep(const struct tdw_options *options, const char *program, struct tdw_result *result)
{
    struct tdw_world_options world_options;
    struct tdw_world *world;
    char dir[400];
    int ret;

    if (!result->failures || result->signal || options->backend != TDW_BACKEND_SIM ||
        result->nondeterministic ||
        result->outcome.hash == TDW_K0) /* a difference of two runs is in neither of them */
        return 0;
    snprintf(dir, sizeof dir, "%s/", options->trace_dir ? options->trace_dir : "build/failures");
    ret = make_dirs(dir);
    if (ret < 0)
        return ret;
    tdw__world_options(options, result->scenario, result->failed.seed, &world_options);
    world = tdw_world_new(&world_options);
    if (!world)
        return -ENOMEM;
    snprintf(result->trace, sizeof result->trace, "%s%s-%s-%llu.tdw", dir, result->scenario->name,
             tdw__model_name(result->failed.model), (unsigned long long)result->failed.seed);
    ret = tdw__keep_run(world, options, program, &result->failed, result->trace);
    tdw_world_free(world);
    if (ret < 0)
        result->trace[0] = '\0';
    return ret;
}

static int exit_code(const struct tdw_result *results, size_t count, bool io_failed)
{
    uint64_t runs = 0;
    int code = TDW_EXIT_OK;

    for (size_t i = 0; i < count; i++) {
        runs += results[i].runs;
        if (results[i].nondeterministic)
            return TDW_EXIT_DIVERGED;
        if (results[i].failures)
            code = TDW_EXIT_FAILED;
        else if (code == TDW_EXIT_OK && results[i].interrupted)
            code = TDW_EXIT_INTERRUPTED;
        else if (code == TDW_EXIT_OK && results[i].stopped)
            code = TDW_EXIT_STOPPED;
    }
    if (code == TDW_EXIT_OK && io_failed)
        return TDW_EXIT_IO;
    return code == TDW_EXIT_OK && runs == 0 ? TDW_EXIT_NOTHING : code;
}

/* Has every rule of the plan fired? */
static bool all_fired(const struct tdw_options *options, const struct tdw_rule_count *counts)
{
    for (size_t i = 0; options->plan && i < tdw_plan_rules(options->plan); i++)
        if (counts[i].fires == 0)
            return false;
    return true;
}

/* Told once, for all scenarios. */
static void tell_left_out(const struct tdw_options *options,
                          const struct tdw_scenario *const *begin, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (tdw__is_selected(options, begin[i]) && tdw__leaves_memory_out(options, begin[i])) {
            fprintf(stderr,
                    "tidewheel: rule %s: tdw/memory/malloc is left out in lockstep, since models "
                    "allocate differently; choose a model (-m)\n",
                    tdw_plan_rule_at(options->plan, TDW_AT_MEMORY));
            return;
        }
}

static int explore_all(const struct tdw_options *options, const char *program,
                       const struct tdw_scenario *const *begin, size_t count)
{
    const size_t rules = options->plan ? tdw_plan_rules(options->plan) : 0;
    struct tdw_result *results = calloc(count ? count : 1, sizeof *results);
    struct tdw_rule_count *counts = calloc(rules ? rules : 1, sizeof *counts);
    uint64_t *goals = calloc(tdw__goals_count() + 1, sizeof *goals);
    size_t done = 0;
    bool io_failed = false;
    int code = TDW_EXIT_BUG;

    if (!results || !counts || !goals)
        goto out;
    tdw__report_head(options, program);
    if (options->backend == TDW_BACKEND_SIM)
        tell_left_out(options, begin, count);
    for (size_t i = 0; i < count; i++) {
        struct tdw_result *result = &results[done];
        int ret;

        if (!tdw__is_selected(options, begin[i]))
            continue;
        if (tdw__explore(options, begin[i], result, counts, goals) < 0) {
            fprintf(stderr, "tidewheel: no worker process could be started\n");
            code = TDW_EXIT_IO;
            goto out;
        }
        done++;
        ret = keep(options, program, result);
        if (ret < 0) {
            fprintf(stderr, "tidewheel: the failing run could not be kept: %s\n", strerror(-ret));
            io_failed = true;
        }
        tdw__report_result(options, program, result);
        if (result->interrupted || result->stopped)
            break;
    }
    code = exit_code(results, done, io_failed);
    if (code == TDW_EXIT_OK && options->require_fired && !all_fired(options, counts))
        code = TDW_EXIT_NEVER_FIRED;
    if (options->json)
        tdw__report_json(options, program, results, done, counts, goals, code);
    else
        tdw__report_rules(options, counts);
    tdw__report_goals(options, goals);
out:
    free(results);
    free(counts);
    free(goals);
    return code;
}

/* The compiler and the linker lay them out as they like: back to the order of the source. */
static int by_source(const void *a, const void *b)
{
    const struct tdw_scenario *x = *(const struct tdw_scenario *const *)a;
    const struct tdw_scenario *y = *(const struct tdw_scenario *const *)b;
    const int file = strcmp(x->file, y->file);

    return file ? file : x->line - y->line;
}

/* Can the backend that was asked for by name be used here? */
static bool is_to_be_had(const struct tdw_options *options)
{
    const struct tdw_loop_options loop_options = {.backend = options->backend};
    struct tdw_loop *loop;
    const int ret = tdw_loop_open(&loop, &loop_options);

    if (ret < 0) {
        fprintf(stderr, "tidewheel: backend %s is not to be had here: %s\n",
                tdw__backend_name(options->backend), strerror(-ret));
        return false;
    }
    tdw_loop_close(loop);
    return true;
}

/* The plan that was asked for; an exit code. */
static int open_plan(struct tdw_options *options, struct tdw_plan **plan)
{
    int ret = 0;

    *plan = NULL;
    if (options->plan_name)
        ret =
            tdw_plan_read(plan, options->plan_name, options->sets, options->sets_count, NULL, NULL);
    else if (options->sets_count)
        ret = tdw_plan_text(plan, "no plan", "", 0, options->sets, options->sets_count, NULL, NULL);
    if (ret == -ENOENT)
        fprintf(stderr,
                "tidewheel: there is no plan %s, neither a file nor a preset (tdw plan "
                "list)\n",
                options->plan_name);
    else if (ret < 0 && ret != -EINVAL)
        fprintf(stderr, "tidewheel: %s: %s\n", options->plan_name, strerror(-ret));
    options->plan = *plan;
    return ret == 0 ? TDW_EXIT_OK : ret == -ENOENT || ret == -EINVAL ? TDW_EXIT_USAGE : TDW_EXIT_IO;
}

/* A failing run is kept with its plan, which has to fit into its trace: said before the first run,
 * and not when one has failed and cannot be kept. */
static int check_plan_fits(const struct tdw_options *options)
{
    char *text;
    size_t bytes;

    if (!options->plan || options->costs || options->backend != TDW_BACKEND_SIM)
        return TDW_EXIT_OK;
    text = tdw__plan_text(options->plan, &bytes);
    free(text);
    if (!text)
        return TDW_EXIT_BUG;
    if (bytes <= TDW_TRACE_TEXT_BYTES)
        return TDW_EXIT_OK;
    fprintf(stderr,
            "tidewheel: %s is too long to be kept in a trace: %zu bytes as `tdw plan show` prints "
            "it, and %d are allowed\n",
            options->plan_name ? options->plan_name : "the plan", bytes, TDW_TRACE_TEXT_BYTES);
    return TDW_EXIT_USAGE;
}

static int act_with_plan(struct tdw_options *options, char **argv,
                         const struct tdw_scenario *const *begin, size_t count)
{
    struct tdw_plan *plan;
    int code = open_plan(options, &plan);

    if (code == TDW_EXIT_OK)
        code = check_plan_fits(options);
    if (code == TDW_EXIT_OK)
        code = options->costs ? tdw__models_of(options, begin, count)
                              : explore_all(options, argv[0], begin, count);
    tdw_plan_free(plan);
    return code;
}

static int act(const struct tdw_options *given, char **argv,
               const struct tdw_scenario *const *begin, size_t count)
{
    struct tdw_options options = *given;

    if (options.help) {
        tdw__options_help(argv[0]);
        return TDW_EXIT_OK;
    }
    if (options.version) {
        printf("tidewheel %s\n", TDW_VERSION);
        return TDW_EXIT_OK;
    }
    if (options.list) {
        list(begin, count);
        return TDW_EXIT_OK;
    }
    if (options.replay)
        return tdw__replay(&options, begin, begin + count);
    if (check_names(&options, begin, count) < 0)
        return options.bisect ? TDW_EXIT_BISECT_SKIP : TDW_EXIT_USAGE;
    if (options.backend != TDW_BACKEND_SIM) {
        if (!options.runs_given)
            options.runs = 1;
        options.jobs = 1; /* hosts of two runs at a time would be in each other's way */
        if (!is_to_be_had(&options))
            return TDW_EXIT_UNSUPPORTED;
    } else if (options.trace) {
        fprintf(stderr,
                "tidewheel: --trace is for --backend uring and epoll; in simulation failing "
                "runs are kept in --trace-dir\n");
        return TDW_EXIT_USAGE;
    }
    if (!options.costs && (options.models & (options.models - 1)) != 0)
        options.lockstep = true; /* all models, or several: they must agree */
    return act_with_plan(&options, argv, begin, count);
}

int tdw__main(int argc, char **argv, const struct tdw_scenario *const *begin,
              const struct tdw_scenario *const *end)
{
    const size_t count = (size_t)(end - begin);
    const struct tdw_scenario **scenarios = calloc(count + 1, sizeof *scenarios);
    struct tdw_options options;
    int code = TDW_EXIT_USAGE;

    if (!scenarios)
        return TDW_EXIT_BUG;
    memcpy(scenarios, begin, count * sizeof *scenarios);
    qsort(scenarios, count, sizeof *scenarios, by_source);
    if (tdw__options_parse(&options, argc, argv) == 0)
        code = act(&options, argv, scenarios, count);
    free(scenarios);
    return code;
}
