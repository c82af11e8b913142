/* SPDX-License-Identifier: MIT */
/*
 * What is told of the runs: a line a scenario, a paragraph a failure, or one JSON object.
 *
 * The paragraph of a failure says what failed, where, in which task and at what virtual time, and
 * ends with the command that replays it.
 */
#include <sim/explore/explore.h>
#include <string.h>

static void models_text(unsigned models, char *text, size_t bytes)
{
    size_t at = 0;

    text[0] = '\0';
    for (int m = 0; m < TDW_MODELS; m++)
        if (models & 1u << m)
            at += (size_t)snprintf(text + at, bytes - at, "%s%s", at ? "," : "",
                                   tdw__model_name((enum tdw_model)m));
}

void tdw__report_head(const struct tdw_options *options, const char *program)
{
    char models[64];

    if (options->json || options->quiet)
        return;
    models_text(options->models, models, sizeof models);
    if (options->backend != TDW_BACKEND_SIM) {
        printf("%s: seed %llu, %llu run%s, backend %s, models %s\n", program,
               (unsigned long long)options->seed, (unsigned long long)options->runs,
               options->runs == 1 ? "" : "s", tdw__backend_name(options->backend), models);
        return;
    }
    printf("%s: seed %llu, %s%llu%s, schedule %s, strategy %s, models %s%s\n", program,
           (unsigned long long)options->seed, options->time_ns ? "for " : "",
           options->time_ns ? (unsigned long long)(options->time_ns / 1000000000u)
                            : (unsigned long long)options->runs,
           options->time_ns ? " s" : " runs", tdw__schedule_name(options->schedule),
           tdw__strategy_name(options->strategy), models, options->lockstep ? " in lockstep" : "");
}

static enum tdw_sweep sweep_of(const struct tdw_options *options)
{
    return options->plan ? tdw_plan_sweeps(options->plan) : TDW_SWEEP_NONE;
}

/* Which hits the failing run of a sweep had fail. */
static void report_swept(const struct tdw_options *options, const struct tdw_result *result)
{
    const char *where = result->outcome.struck;
    uint64_t pair[2];

    if (sweep_of(options) == TDW_SWEEP_NONE || result->outcome.strikes == 0)
        return;
    tdw_sweep_pair(result->failed.seed, pair);
    if (result->outcome.strikes == 2)
        printf("    with hits %llu and %llu failed, at %s\n", (unsigned long long)pair[0],
               (unsigned long long)pair[1], where);
    else
        printf("    with hit %llu failed, at %s\n",
               (unsigned long long)(sweep_of(options) == TDW_SWEEP_PAIRS ? pair[0]
                                                                         : result->failed.seed),
               where);
}

static void report_failure(const struct tdw_options *options, const char *program,
                           const struct tdw_result *result)
{
    const struct tdw_failure *failure = &result->outcome.failure;
    char digest[33];

    tdw__digest_text(result->outcome.digest, digest);
    printf("  FAILED  %s, %s, seed %llu\n", result->scenario->name,
           tdw__model_name(result->failed.model), (unsigned long long)result->failed.seed);
    printf("    %s\n", failure->text);
    report_swept(options, result);
    if (failure->task[0])
        printf("    in %s at %s, %.3f us of %s time, step %llu\n", failure->task,
               result->outcome.site, (double)failure->now_ns / 1e3,
               options->backend == TDW_BACKEND_SIM ? "virtual" : "real",
               (unsigned long long)result->outcome.steps);
    if (result->nondeterministic)
        printf("    and the same seed did not give the same run again: the program depends on "
               "something outside the simulation\n");
    if (result->trace[0])
        printf("    kept as %s; replay it with\n      %s --replay %s\n", result->trace, program,
               result->trace);
    if (options->backend != TDW_BACKEND_SIM) {
        printf(
            "    on the real kernel, which may do something else the next time; --trace FILE keeps "
            "what happened\n");
        return;
    }
    printf("    repeat it with\n      %s %s -s %llu -n 1 -m %s --schedule %s --strategy %s",
           program, result->scenario->name, (unsigned long long)result->failed.seed,
           result->outcome.failure.text[0] == 'l' && strncmp(failure->text, "lockstep", 8) == 0
               ? "all"
               : tdw__model_name(result->failed.model),
           tdw__schedule_name(options->schedule), tdw__strategy_name(options->strategy));
    for (uint32_t i = 0; i < options->params_count; i++)
        printf(" -p %.*s=%llu", (int)options->params[i].name_bytes, options->params[i].name,
               (unsigned long long)options->params[i].value);
    if (options->plan_name)
        printf(" --plan %s", options->plan_name);
    if (options->crash_every)
        printf(" --crash %s:%u", options->crash_counts ? "count" : "every", options->crash_draws);
    for (uint32_t i = 0; i < options->sets_count; i++)
        printf(" --set '%s'", options->sets[i]);
    if (tdw__leaves_memory_out(options, result->scenario))
        printf(" --lockstep");
    printf("\n");
}

static void report_cuts(const struct tdw_options *options, const struct tdw_cuts *cuts)
{
    if (cuts->cuts == 0) {
        printf("  no power cut: the scenario does not say what has to survive one "
               "(tdw_survives)\n");
        return;
    }
    printf("  %llu power cuts, %llu different recoveries", (unsigned long long)cuts->cuts,
           (unsigned long long)cuts->recoveries);
    if (options->crash_counts)
        printf("; %llu lost what was promised, %llu broke the recovery",
               (unsigned long long)cuts->lost, (unsigned long long)cuts->broken);
    printf("\n");
}

/* Which places survived the failure that exhaustive rules put there. */
static void report_struck(const struct tdw_options *options, const struct tdw_result *result)
{
    const bool pairs = sweep_of(options) == TDW_SWEEP_PAIRS;
    const int width = pairs ? 92 : 60;

    if (sweep_of(options) != TDW_SWEEP_NONE && !result->swept && options->runs > 1)
        printf("  the sweep did not come to its end: -n N, or -t T, gives it more runs\n");
    if (result->struck_count == 0)
        return;
    printf("  %-*s %10s %10s\n", width,
           pairs ? "each pair of hits failed once, at" : "each hit failed once, at", "survived",
           "failed");
    for (uint32_t i = 0; i < result->struck_count; i++)
        printf("  %-*s %10llu %10llu\n", width, result->struck[i].place,
               (unsigned long long)result->struck[i].survived,
               (unsigned long long)result->struck[i].failed);
    if (result->struck_elsewhere)
        printf("  and %llu runs at other places\n", (unsigned long long)result->struck_elsewhere);
}

void tdw__report_result(const struct tdw_options *options, const char *program,
                        const struct tdw_result *result)
{
    if (options->json)
        return;
    if (!options->quiet || result->failures) {
        const double seconds = result->seconds > 0 ? result->seconds : 1e-9;

        printf("%-20s %9llu runs  %8.0f /s  %12llu steps  %s\n", result->scenario->name,
               (unsigned long long)result->runs, (double)result->runs / seconds,
               (unsigned long long)result->steps, result->failures ? "failed" : "ok");
    }
    if (options->crash_every && (!options->quiet || options->crash_counts))
        report_cuts(options, &result->cuts);
    if (!options->quiet || result->failures)
        report_struck(options, result);
    if (result->notes)
        printf("  %llu check%s of a history gave up, and tell%s nothing\n",
               (unsigned long long)result->notes, result->notes == 1 ? "" : "s",
               result->notes == 1 ? "s" : "");
    if (result->failures) {
        report_failure(options, program, result);
    } else if (!options->quiet) {
        for (int m = 0; m < TDW_MODELS; m++) {
            char digest[33];

            if (!(result->models & 1u << m) || options->backend != TDW_BACKEND_SIM)
                continue;
            tdw__digest_text(result->first[m], digest);
            printf("  %-10s seed %llu: digest %s   all runs: %016llx\n",
                   tdw__model_name((enum tdw_model)m), (unsigned long long)options->seed, digest,
                   (unsigned long long)result->digest_sum[m]);
        }
    }
    fflush(stdout);
}

void tdw__report_rules(const struct tdw_options *options, const struct tdw_rule_count *counts)
{
    const size_t rules = options->plan ? tdw_plan_rules(options->plan) : 0;

    if (rules == 0 || options->quiet)
        return;
    printf("%-32s %12s %12s %12s\n", "rule of the plan", "runs live", "hits", "fires");
    for (size_t i = 0; i < rules; i++)
        printf("  %-30.30s %12llu %12llu %12llu%s\n", tdw_plan_rule_name(options->plan, i),
               (unsigned long long)counts[i].live, (unsigned long long)counts[i].hits,
               (unsigned long long)counts[i].fires,
               counts[i].fires  ? ""
               : counts[i].hits ? "  never fired"
               : counts[i].live ? "  never hit"
                                : "  never live");
}

void tdw__report_goals(const struct tdw_options *options, const uint64_t *goals)
{
    size_t count = 0, reached = 0;

    if (tdw__goals_count() == 0 || options->json || options->quiet)
        return;
    for (size_t i = 0; i < tdw__goals_count(); i++) {
        count += tdw__goal_first(i) == i;
        reached += goals[i] > 0;
    }
    printf("%zu of %zu goals were reached%s\n", reached, count, reached < count ? "; never:" : "");
    for (size_t i = 0; i < tdw__goals_count(); i++)
        if (goals[i] == 0 && tdw__goal_first(i) == i)
            printf("  %-30s %s:%d\n", tdw__goal(i)->name, tdw__goal(i)->file, tdw__goal(i)->line);
}

static void json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_result(const struct tdw_options *options, const struct tdw_result *result)
{
    const char *comma = "";

    printf("    {\"name\": ");
    json_text(result->scenario->name);
    printf(", \"runs\": %llu, \"failures\": %llu, \"notes\": %llu, \"steps\": %llu, "
           "\"seconds\": %.3f, \"digests\": {",
           (unsigned long long)result->runs, (unsigned long long)result->failures,
           (unsigned long long)result->notes, (unsigned long long)result->steps, result->seconds);
    for (int m = 0; m < TDW_MODELS; m++) {
        char digest[33];

        if (!(result->models & 1u << m))
            continue;
        tdw__digest_text(result->first[m], digest);
        printf("%s\"%s\": {\"first\": \"%s\", \"all\": \"%016llx\"}", comma,
               tdw__model_name((enum tdw_model)m), digest,
               (unsigned long long)result->digest_sum[m]);
        comma = ", ";
    }
    printf("}");
    if (options->crash_every)
        printf(", \"cuts\": %llu, \"recoveries\": %llu, \"lost\": %llu, \"broken\": %llu",
               (unsigned long long)result->cuts.cuts, (unsigned long long)result->cuts.recoveries,
               (unsigned long long)result->cuts.lost, (unsigned long long)result->cuts.broken);
    if (result->failures) {
        printf(
            ", \"failure\": {\"seed\": %llu, \"model\": \"%s\", \"schedule\": \"%s\", \"text\": ",
            (unsigned long long)result->failed.seed, tdw__model_name(result->failed.model),
            tdw__schedule_name(options->schedule));
        json_text(result->outcome.failure.text);
        printf(", \"task\": ");
        json_text(result->outcome.failure.task);
        printf(", \"site\": ");
        json_text(result->outcome.site);
        printf(", \"trace\": ");
        json_text(result->trace);
        printf(", \"deterministic\": %s}", result->nondeterministic ? "false" : "true");
    }
    printf("}");
}

static void json_rules(const struct tdw_options *options, const struct tdw_rule_count *counts)
{
    if (!options->plan)
        return;
    printf(",\n  \"rules\": [");
    for (size_t i = 0; i < tdw_plan_rules(options->plan); i++) {
        printf("%s\n    {\"name\": ", i ? "," : "");
        json_text(tdw_plan_rule_name(options->plan, i));
        printf(", \"live\": %llu, \"hits\": %llu, \"fires\": %llu}",
               (unsigned long long)counts[i].live, (unsigned long long)counts[i].hits,
               (unsigned long long)counts[i].fires);
    }
    printf("\n  ]");
}

static void json_goals(const uint64_t *goals)
{
    if (tdw__goals_count() == 0)
        return;
    printf(",\n  \"goals\": [");
    for (size_t i = 0; i < tdw__goals_count(); i++) {
        if (tdw__goal_first(i) != i)
            continue;
        printf("%s\n    {\"name\": ", i ? "," : "");
        json_text(tdw__goal(i)->name);
        printf(", \"file\": ");
        json_text(tdw__goal(i)->file);
        printf(", \"line\": %d, \"reached\": %llu}", tdw__goal(i)->line,
               (unsigned long long)goals[i]);
    }
    printf("\n  ]");
}

void tdw__report_json(const struct tdw_options *options, const char *program,
                      const struct tdw_result *results, size_t count,
                      const struct tdw_rule_count *counts, const uint64_t *goals, int code)
{
    printf("{\n  \"program\": ");
    json_text(program);
    printf(",\n  \"version\": \"%s\", \"seed\": %llu, \"schedule\": \"%s\", \"strategy\": \"%s\",\n"
           "  \"exit\": %d,\n  \"scenarios\": [\n",
           TDW_VERSION, (unsigned long long)options->seed, tdw__schedule_name(options->schedule),
           tdw__strategy_name(options->strategy), code);
    for (size_t i = 0; i < count; i++) {
        json_result(options, &results[i]);
        printf("%s\n", i + 1 < count ? "," : "");
    }
    printf("  ]");
    json_rules(options, counts);
    json_goals(goals);
    printf("\n}\n");
}
