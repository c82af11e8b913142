/* SPDX-License-Identifier: MIT */
/*
 * The options of `tdw run` and of every scenario program: one table, from which parsing, help, the
 * environment (TDW_RUNS for --runs) and the suggestions for mistyped ones are made.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS(X)                                                                                 \
    X(runs, 'n', "N", number, "runs of each scenario (1000)")                                      \
    X(time, 't', "T", duration, "run for this long instead (10s, 5m, 1h)")                         \
    X(jobs, 'j', "N", jobs, "worker processes (one per core); 0: none, for a debugger")            \
    X(seed, 's', "S", seed, "seed of the first run; the next run has the next number (1)")         \
    X(model, 'm', "M", model, "callback, stackless, stackful, or all (all)")                       \
    X(schedule, 0, "S", schedule, "timed, or adversary: anything that is not blocked may be next") \
    X(strategy, 0, "S", strategy, "random, or calm: what happens on a quiet day")                  \
    X(backend, 0, "B", backend,                                                                    \
      "sim; or the real kernel, uring or epoll: not repeatable, 1 run unless -n says more (sim)")  \
    X(trace, 0, "FILE", trace, "with a real backend: write the (last) run's trace there")          \
    X(lockstep, 0, NULL, lockstep, "all models must do the same, event by event (on for 'all')")   \
    X(param, 'p', "NAME=V", param, "set a parameter of the scenario")                              \
    X(max_steps, 0, "N", max_steps, "steps after which a run counts as a livelock (10000000)")     \
    X(plan, 0, "FILE", plan, "what may go wrong: a plan, or a preset (tdw plan list)")             \
    X(set, 0, "KEY=V", set, "set a key of the plan: rules.0.p=0.1")                                \
    X(crash, 0, "every[:N]", crash,                                                                \
      "cut the power at every point that matters (tdw_survives), in N random ways, too (2); "      \
      "count[:N]: and count what comes of it instead of failing")                                  \
    X(require_fired, 0, NULL, require_fired, "exit 6 if a rule of the plan never fired")           \
    X(trace_dir, 0, "DIR", trace_dir, "where failing runs are kept as .tdw (build/failures)")      \
    X(replay, 0, "FILE", replay, "repeat a kept run, comparing every choice and event")            \
    X(guided, 0, NULL, guided,                                                                     \
      "with --replay: only answer as then, do not compare; for edited code")                       \
    X(json, 0, NULL, json, "tell it as JSON")                                                      \
    X(quiet, 'q', NULL, quiet, "only failures and the last line")                                  \
    X(bisect, 0, NULL, bisect, "for git bisect run: 125 where this does not apply")                \
    X(costs, 0, NULL, costs, "tell what the models cost (tdw models PROGRAM)")                     \
    X(list, 'l', NULL, list, "name the scenarios and their models")                                \
    X(version, 'V', NULL, version, "the version")                                                  \
    X(help, 'h', NULL, help, "this text")

typedef int set_fn(struct tdw_options *options, const char *value);

/* ── Values ────────────────────────────────────────────────────────────────────────────────── */

/* A number; false if it is none, or too large. */
static bool parse_number(const char *text, uint64_t *to)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *to = strtoull(text, &end, 0);
    return *end == '\0' && errno == 0;
}

static int set_runs(struct tdw_options *o, const char *value)
{
    o->runs_given = true;
    return parse_number(value, &o->runs) ? 0 : -EINVAL;
}
#define set_number set_runs

static int set_seed(struct tdw_options *o, const char *value)
{
    return parse_number(value, &o->seed) ? 0 : -EINVAL;
}

static int set_max_steps(struct tdw_options *o, const char *value)
{
    return parse_number(value, &o->max_steps) && o->max_steps ? 0 : -EINVAL;
}

static int set_jobs(struct tdw_options *o, const char *value)
{
    uint64_t jobs;

    if (!parse_number(value, &jobs) || jobs > 1024)
        return -EINVAL;
    o->jobs = (uint32_t)jobs;
    return 0;
}

static int set_duration(struct tdw_options *o, const char *value)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", 1000000u}, {"s", 1000000000u}, {"m", 60000000000u}, {"h", 3600000000000u}};
    char *end;
    const uint64_t number = strtoull(value, &end, 10);

    for (size_t i = 0; end != value && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) == 0 && number && number < UINT64_MAX / units[i].ns) {
            o->time_ns = number * units[i].ns;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_model(struct tdw_options *o, const char *value)
{
    if (strcmp(value, "all") == 0) {
        o->models = (1 << TDW_MODELS) - 1;
        return 0;
    }
    for (int i = 0; i < TDW_MODELS; i++) {
        if (strcmp(value, tdw__model_name((enum tdw_model)i)) == 0) {
            o->models = 1u << i;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_schedule(struct tdw_options *o, const char *value)
{
    o->schedule = strcmp(value, "adversary") == 0 ? TDW_ADVERSARY : TDW_TIMED;
    return strcmp(value, tdw__schedule_name(o->schedule)) == 0 ? 0 : -EINVAL;
}

static int set_strategy(struct tdw_options *o, const char *value)
{
    o->strategy = strcmp(value, "calm") == 0 ? TDW_CALM : TDW_RANDOM;
    return strcmp(value, tdw__strategy_name(o->strategy)) == 0 ? 0 : -EINVAL;
}

static int set_param(struct tdw_options *o, const char *value)
{
    const char *equals = strchr(value, '=');
    struct tdw_param_value *param = &o->params[o->params_count];

    if (!equals || equals == value || o->params_count == TDW_PARAMS_MAX ||
        !parse_number(equals + 1, &param->value))
        return -EINVAL;
    param->name = value;
    param->name_bytes = (size_t)(equals - value);
    o->params_count++;
    return 0;
}

#define FLAG(name)                                                                                 \
    static int set_##name(struct tdw_options *o, const char *value)                                \
    {                                                                                              \
        o->name = !value || strcmp(value, "0") != 0;                                               \
        return 0;                                                                                  \
    }
FLAG(lockstep)
FLAG(guided)
FLAG(json)
FLAG(quiet)
FLAG(bisect)
FLAG(require_fired)
FLAG(list)
FLAG(costs)
FLAG(version)
FLAG(help)

static int set_plan(struct tdw_options *o, const char *value)
{
    o->plan_name = value;
    return 0;
}

static int set_crash(struct tdw_options *o, const char *value)
{
    const char *colon = strchr(value, ':');
    const size_t bytes = colon ? (size_t)(colon - value) : strlen(value);
    uint64_t draws = 2;

    o->crash_counts = bytes == 5 && memcmp(value, "count", 5) == 0;
    if ((!o->crash_counts && (bytes != 5 || memcmp(value, "every", 5) != 0)) ||
        (colon && (!parse_number(colon + 1, &draws) || draws > TDW_CRASH_DRAWS_MAX)))
        return -EINVAL;
    o->crash_every = true;
    o->crash_draws = (uint32_t)draws;
    return 0;
}

static int set_set(struct tdw_options *o, const char *value)
{
    if (o->sets_count == TDW_SETS_MAX)
        return -EINVAL;
    o->sets[o->sets_count++] = value;
    return 0;
}

static int set_trace_dir(struct tdw_options *o, const char *value)
{
    o->trace_dir = value;
    return 0;
}

static int set_trace(struct tdw_options *o, const char *value)
{
    o->trace = value;
    return 0;
}

static int set_backend(struct tdw_options *o, const char *value)
{
    const int backend = tdw_backend_named(value);

    if (backend < 0)
        return -EINVAL;
    o->backend = (enum tdw_backend)backend;
    return 0;
}

static int set_replay(struct tdw_options *o, const char *value)
{
    o->replay = value;
    return 0;
}

/* ── The table ─────────────────────────────────────────────────────────────────────────────── */

struct option {
    const char *name; /* with underscores, as in the environment */
    char letter;
    const char *value; /* NULL: a flag */
    set_fn *set;
    const char *help;
};

#define ROW(name, letter, value, set, help) {#name, letter, value, set_##set, help},
static const struct option table[] = {OPTIONS(ROW)};
#undef ROW
#define COUNT (sizeof table / sizeof *table)

/* Does `text` name the option, with dashes for underscores? */
static bool is_named(const struct option *option, const char *text, size_t bytes)
{
    if (strlen(option->name) != bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != (option->name[i] == '_' ? '-' : option->name[i]))
            return false;
    return true;
}

static int unknown(const char *text)
{
    const char *names[COUNT];
    const char *near;

    for (size_t i = 0; i < COUNT; i++)
        names[i] = table[i].name;
    near = tdw__nearest(text, names, COUNT);
    fprintf(stderr, "tidewheel: there is no option --%s", text);
    if (near) {
        fprintf(stderr, "; did you mean --");
        for (; *near; near++)
            fputc(*near == '_' ? '-' : *near, stderr);
        fprintf(stderr, "?\n");
    } else {
        fprintf(stderr, "; --help names them all\n");
    }
    return -EINVAL;
}

static int apply(struct tdw_options *options, const struct option *option, const char *value,
                 const char *where)
{
    const int ret = option->set(options, value);

    if (ret < 0)
        fprintf(stderr, "tidewheel: %s%s: '%s' is not good for it; %s\n", where, option->name,
                value ? value : "", option->help);
    return ret;
}

static int from_environment(struct tdw_options *options)
{
    for (size_t i = 0; i < COUNT; i++) {
        char name[64] = "TDW_";
        const char *value;

        for (size_t j = 0; table[i].name[j]; j++) {
            const char c = table[i].name[j];

            name[4 + j] = c == '_' ? '_' : (char)(c - 'a' + 'A');
        }
        value = getenv(name);
        if (value && apply(options, &table[i], value, "from the environment: --") < 0)
            return -EINVAL;
    }
    return 0;
}

static int parse_long(struct tdw_options *options, const char *text, char ***argv)
{
    const char *equals = strchr(text, '=');
    const size_t bytes = equals ? (size_t)(equals - text) : strlen(text);

    for (size_t i = 0; i < COUNT; i++) {
        if (!is_named(&table[i], text, bytes))
            continue;
        if (!table[i].value && equals) {
            fprintf(stderr, "tidewheel: --%s takes no value\n", table[i].name);
            return -EINVAL;
        }
        if (table[i].value && !equals && !(*argv)[1]) {
            fprintf(stderr, "tidewheel: --%s needs a value: %s\n", text, table[i].help);
            return -EINVAL;
        }
        return apply(options, &table[i],
                     !table[i].value ? NULL
                     : equals        ? equals + 1
                                     : *++*argv,
                     "--");
    }
    return unknown(text);
}

static int parse_short(struct tdw_options *options, const char *text, char ***argv)
{
    for (; *text; text++) {
        const struct option *option = NULL;

        for (size_t i = 0; i < COUNT; i++)
            if (table[i].letter == *text)
                option = &table[i];
        if (!option) {
            fprintf(stderr, "tidewheel: there is no option -%c; --help names them all\n", *text);
            return -EINVAL;
        }
        if (option->value) {
            const char *value = text[1] ? text + 1 : *++*argv;

            if (!value) {
                fprintf(stderr, "tidewheel: -%c needs a value: %s\n", *text, option->help);
                return -EINVAL;
            }
            return apply(options, option, value, "--");
        }
        if (apply(options, option, NULL, "--") < 0)
            return -EINVAL;
    }
    return 0;
}

int tdw__options_parse(struct tdw_options *options, int argc, char **argv)
{
    *options = (struct tdw_options){
        .runs = 1000,
        .seed = 1,
        .jobs = UINT32_MAX,
        .models = (1 << TDW_MODELS) - 1,
        .strategy = TDW_RANDOM,
        .backend = TDW_BACKEND_SIM,
        .max_steps = 10000000,
    };
    (void)argc;
    if (from_environment(options) < 0)
        return -EINVAL;
    for (argv++; *argv; argv++) {
        const char *text = *argv;
        int ret = 0;

        if (strncmp(text, "--", 2) == 0 && text[2])
            ret = parse_long(options, text + 2, &argv);
        else if (text[0] == '-' && text[1] && text[1] != '-')
            ret = parse_short(options, text + 1, &argv);
        else if (strcmp(text, "--") == 0)
            return 0;
        else if (options->names_count < TDW_NAMES_MAX)
            options->names[options->names_count++] = text;
        else
            ret = -EINVAL;
        if (ret < 0)
            return -EINVAL;
        if (!*argv)
            break;
    }
    return 0;
}

void tdw__options_help(const char *program)
{
    printf("usage: %s [options] [scenario…] [-- arguments of the program]\n\n", program);
    for (size_t i = 0; i < COUNT; i++) {
        char name[32], letter[8] = "   ";
        size_t at = 0;

        for (; table[i].name[at]; at++)
            name[at] = table[i].name[at] == '_' ? '-' : table[i].name[at];
        snprintf(name + at, sizeof name - at, " %s", table[i].value ? table[i].value : "");
        if (table[i].letter)
            snprintf(letter, sizeof letter, "-%c,", table[i].letter);
        printf("  %s --%-17s %s\n", letter, name, table[i].help);
    }
    printf("\nEach also as TDW_NAME in the environment.\n"
           "Exit: 0 nothing failed, 1 a failure was found, 2 usage, 3 not deterministic, 4 nothing "
           "was run.\n");
}

const char *tdw__schedule_name(enum tdw_schedule schedule)
{
    return schedule == TDW_ADVERSARY ? "adversary" : "timed";
}

const char *tdw__strategy_name(enum tdw_strategy strategy)
{
    return strategy == TDW_CALM ? "calm" : "random";
}
