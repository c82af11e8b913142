/* SPDX-License-Identifier: MIT */
/*
 * Replay a recording in the models asked for, and tell how it went: mismatches with the recorded
 * line, virtual time, percentiles beside the recorded ones, and whether the digests are equal.
 */
#include <inttypes.h>
#include <string.h>
#include <traces/replay.h>

struct told {
    struct tdw_digest digest;
    uint64_t operations, mismatches, timing_as_recorded, now_ns;
    int ret;
};

static void tell_mismatches(const struct replay *replay, uint64_t count)
{
    const uint64_t kept =
        replay->mismatches < REPLAY_MISMATCHES ? replay->mismatches : REPLAY_MISMATCHES;

    for (uint64_t i = 0; i < kept && i < count; i++) {
        const struct replay_step *s = &replay->program->steps[replay->mismatched[i]];

        fprintf(replay->options->out,
                "  mismatch: call %" PRIu64 " (line %" PRIu64 ") %s(%" PRId64 ", %" PRId64
                ", %" PRId64 "%s%s%s) = %" PRId64 " recorded, %" PRId64 " replayed\n",
                s->index, s->line, s->name, s->arg[0], s->arg[1], s->arg[2],
                s->path[0] ? ", \"" : "", s->path[0] ? s->path[0] : "", s->path[0] ? "\"" : "",
                s->result, replay->mismatched_result[i]);
    }
}

static void tell_rows(const struct replay *replay)
{
    FILE *out = replay->options->out;

    fprintf(out, "\n%-20s %9s   %10s %10s %10s   %10s %10s\n", "calls", "count", "p50 us", "p99 us",
            "max us", "recorded", "p99 us");
    for (uint8_t row = 1; row < TDW_ROWS; row++) {
        const struct tdw__histogram *now = &replay->by_row[row];
        const struct tdw__histogram *then = &replay->recorded_by_row[row];

        if (!now->count)
            continue;
        fprintf(out, "%-20s %9" PRIu64 "   %10.1f %10.1f %10.1f   %10.1f %10.1f\n",
                tdw_row_name(row), now->count, (double)tdw__histogram_at(now, 500) / 1e3,
                (double)tdw__histogram_at(now, 990) / 1e3, (double)now->max / 1e3,
                (double)tdw__histogram_at(then, 500) / 1e3,
                (double)tdw__histogram_at(then, 990) / 1e3);
    }
}

static uint64_t peers_of(const struct replay_program *program)
{
    uint64_t peers = 0;

    for (size_t i = 0; i < program->peers_count; i++)
        peers += !program->peers[i].inside;
    return peers;
}

static void tell_left_out(const struct replay_program *program,
                          const struct tdw__replay_options *options)
{
    if (options->json)
        return;
    fprintf(options->out,
            "%s: %" PRIu64 " calls in %u threads; not replayed: %" PRIu64 " ignored, %" PRIu64
            " served, %" PRIu64 " start-up, %" PRIu64 " unsupported\n",
            options->path, program->calls, program->threads_count, program->ignored,
            program->served, program->startup, program->unsupported);
    if (peers_of(program))
        fprintf(options->out,
                "  %" PRIu64 " connections with the outside, which makes %zu segments\n",
                peers_of(program), program->segments_count);
    for (size_t i = 0; i < 64 && program->unsupported_names[i].name; i++)
        fprintf(options->out, "  unsupported: %s, %" PRIu64 " times\n",
                program->unsupported_names[i].name, program->unsupported_names[i].count);
}

static void tell_waiter(void *out, const char *text)
{
    fprintf(out, "  %s\n", text);
}

/* Why a replay came to no end, and who still waits. */
static void tell_end(const struct tdw__replay_options *options, struct tdw_world *world, int ret)
{
    if (options->json || ret == 0)
        return;
    fprintf(options->out, "did not end: %s\n", strerror(-ret));
    tdw_loop_waiters(tdw_world_loop(world), tell_waiter, options->out);
}

static void run_one(const struct tdw__replay_options *options, const struct replay_program *program,
                    struct tdw_world *world, int model, uint64_t seed, bool rows, struct told *told)
{
    const struct tdw_world_options world_options = {
        .seed = seed, .schedule = options->schedule, .strategy = options->strategy};
    struct replay replay;

    tdw_world_reset(world, &world_options);
    told->ret = tdw__replay_run(&replay, world, program, options, (enum tdw_model)model);
    told->digest = tdw_world_digest(world);
    told->now_ns = tdw_world_now(world);
    told->operations = replay.operations;
    told->mismatches = replay.mismatches;
    told->timing_as_recorded = replay.timing_as_recorded;
    if (!options->json) {
        tell_mismatches(&replay, options->explain ? options->explain : 5);
        if (rows)
            tell_rows(&replay);
        tell_end(options, world, told->ret);
    }
    if (told->ret < 0) /* what was left waiting lies in the replay's memory */
        tdw_world_reset(world, &world_options);
    tdw__replay_fini(&replay);
}

static void tell_run(const struct tdw__replay_options *options, int model, uint64_t seed,
                     const struct told *told, bool first)
{
    char digest[33];

    tdw__digest_text(told->digest, digest);
    if (options->json)
        fprintf(options->out,
                "%s    {\"model\": \"%s\", \"seed\": %" PRIu64 ", \"operations\": %" PRIu64
                ", \"mismatches\": %" PRIu64 ", \"timing_as_recorded\": %" PRIu64
                ", \"virtual_ns\": %" PRIu64 ", \"digest\": \"%s\"}",
                first ? "" : ",\n", tdw__model_name((enum tdw_model)model), seed, told->operations,
                told->mismatches, told->timing_as_recorded, told->now_ns, digest);
    else if (options->seeds == 1)
        fprintf(options->out,
                "%-10s %" PRIu64 " operations, %" PRIu64
                " mismatches, %.3f s of virtual time, digest %s\n",
                tdw__model_name((enum tdw_model)model), told->operations, told->mismatches,
                (double)told->now_ns / 1e9, digest);
}

static void tell_total(const struct tdw__replay_options *options,
                       const struct replay_program *program, uint64_t mismatches, uint64_t timing,
                       bool equal, bool ended)
{
    fprintf(options->out,
            "\n%" PRIu64 " of %" PRIu64 " compared calls (%.1f%%) are a matter of timing; %" PRIu64
            " of these answered as recorded\n",
            program->timing, program->compared,
            program->compared ? 100.0 * (double)program->timing / (double)program->compared : 0.0,
            timing);
    fprintf(options->out, "%" PRIu64 " seed%s: %" PRIu64 " mismatches, digests %s%s\n",
            options->seeds, options->seeds == 1 ? "" : "s", mismatches,
            equal ? "equal in all models" : "DIFFER", ended ? "" : "; a replay did not end");
}

static int replay_all(const struct tdw__replay_options *options,
                      const struct replay_program *program, struct tdw_world *world)
{
    uint64_t mismatches = 0, operations = 0, timing = 0, runs = 0;
    bool equal = true, first = true, ended = true;

    for (uint64_t seed = options->seed; seed < options->seed + options->seeds; seed++) {
        struct told reference, told;
        bool have = false;

        for (int model = 0; model < 3; model++) {
            const bool last = model == 2 || !(options->models >> (model + 1));

            if (!(options->models & 1u << model))
                continue;
            run_one(options, program, world, model, seed, last && options->seeds == 1, &told);
            tell_run(options, model, seed, &told, first);
            first = false;
            mismatches += told.mismatches;
            operations += told.operations;
            timing += told.timing_as_recorded;
            runs++;
            ended &= told.ret == 0;
            equal &= !have || tdw_digest_equal(reference.digest, told.digest);
            reference = told;
            have = true;
        }
    }
    if (options->json)
        fprintf(options->out,
                "\n  ],\n  \"operations\": %" PRIu64 ",\n  \"mismatches\": %" PRIu64
                ",\n  \"unsupported\": %" PRIu64 ",\n  \"compared\": %" PRIu64
                ",\n  \"timing\": %" PRIu64 ",\n  \"peers\": %" PRIu64
                ",\n  \"digests_equal\": %s,\n  \"ended\": %s\n}\n",
                operations, mismatches, program->unsupported, program->compared, program->timing,
                peers_of(program), equal ? "true" : "false", ended ? "true" : "false");
    else
        tell_total(options, program, mismatches, runs ? timing / runs : 0, equal, ended);
    return !equal ? 3 : mismatches || program->unsupported || !ended ? 1 : 0;
}

int tdw__replay_recording(const struct tdw__replay_options *options)
{
    const struct tdw_world_options world_options = {.seed = options->seed};
    struct replay_program program;
    struct tdw_world *world;
    int ret = tdw__replay_load(&program, options);

    if (ret < 0)
        return ret;
    world = tdw_world_new(&world_options);
    if (world) {
        if (options->json)
            fprintf(options->out, "{\n  \"runs\": [\n");
        tell_left_out(&program, options);
        ret = replay_all(options, &program, world);
    } else {
        ret = -ENOMEM;
    }
    tdw_world_free(world);
    tdw__replay_free(&program);
    return ret;
}
