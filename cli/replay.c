/* SPDX-License-Identifier: MIT */
/*
 * tdw replay FILE: a kept run is repeated by its own program, strictly; a recording is driven
 * through the models on the simulated kernel.
 */
#include <cli/cli.h>
#include <stdlib.h>
#include <string.h>
#include <traces/replay.h>
#include <unistd.h>

/* The program that a kept run names; empty for a recording. */
static int program_of(const char *path, char *program, size_t bytes)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    struct tdw_trace_error error;
    char backend[16];
    bool recording;

    if (tdw_trace_open(&reader, path, &error) < 0) {
        fprintf(stderr, "tdw: %s: %s\n", path, error.text);
        return -EINVAL;
    }
    program[0] = backend[0] = '\0';
    recording = tdw_trace_kind(reader) == TDW_TRACE_RECORDING;
    while (!recording && tdw_trace_next(reader, &record) > 0) {
        if (record.type != TDW_TRACE_META)
            continue;
        if (strcmp(record.meta.key, "program") == 0)
            snprintf(program, bytes, "%s", record.meta.value);
        if (strcmp(record.meta.key, "backend") == 0)
            snprintf(backend, sizeof backend, "%s", record.meta.value);
    }
    tdw_trace_reader_close(reader);
    if (backend[0] && strcmp(backend, "sim") != 0) {
        fprintf(
            stderr,
            "tdw: %s is a run on the real kernel (%s), which never does the same again; tdw stat "
            "and tdw show read it\n",
            path, backend);
        return -EOPNOTSUPP;
    }
    if (!recording && !program[0]) {
        fprintf(stderr,
                "tdw: %s does not say which program it is a run of; give the program "
                "--replay %s\n",
                path, path);
        return -EINVAL;
    }
    return 0;
}

static int replay_kept(const char *path, char *program)
{
    char replay[] = "--replay";
    char *copy = strdup(path);
    char *argv[] = {program, replay, copy, NULL};

    if (!copy || tdw__check_program(program) < 0) {
        free(copy);
        return TDW_EXIT_USAGE;
    }
    execv(program, argv);
    fprintf(stderr, "tdw: %s could not be executed: %s\n", program, strerror(errno));
    free(copy);
    return TDW_EXIT_USAGE;
}

static const char *const pace_names[] = {"asap", "recorded", "closed"};

/* The options that only recordings have; true if `name` is one, and *value was taken. */
static bool own_option(struct tdw__replay_options *to, const char *name, const char *value,
                       bool *used, bool *bad)
{
    *used = *bad = false;
    if (strcmp(name, "--all") == 0) {
        to->startup = true;
    } else if (strcmp(name, "--strict-fd") == 0) {
        to->strict_fd = true;
    } else if (strcmp(name, "--pace") == 0 && value) {
        *used = *bad = true;
        for (int i = 0; i < 3; i++) {
            if (strcmp(value, pace_names[i]) == 0) {
                to->pace = (enum tdw_pace)i;
                *bad = false;
            }
        }
    } else if (strcmp(name, "--explain") == 0 && value) {
        *used = true;
        to->explain = strtoull(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

int tdw__cli_replay(int argc, char **argv)
{
    struct tdw__replay_options replay = {.out = stdout};
    struct tdw_options options;
    char *rest[64], program[512];
    int count = 0, ret;

    rest[count++] = argv[0];
    for (int i = 1; i < argc && count < 63; i++) {
        bool used, bad;

        if (own_option(&replay, argv[i], argv[i + 1], &used, &bad)) {
            if (bad)
                return tdw__usage("replay", "--pace is asap, recorded or closed");
            i += used;
        } else {
            rest[count++] = argv[i];
        }
    }
    rest[count] = NULL;
    if (tdw__options_parse(&options, count, rest) < 0)
        return TDW_EXIT_USAGE;
    if (options.help) {
        printf("usage: tdw replay FILE [options]\n\n"
               "  FILE a kept run: repeated by its program, every choice and event compared.\n"
               "  FILE a recording: driven through the models, every result compared.\n\n"
               "  --model M  --schedule S  --strategy S  --seed S  --runs N (seeds)  --json\n"
               "  --pace asap|recorded|closed   closed keeps the think times after completions\n"
               "  --all        the dynamic loader's calls too\n"
               "  --strict-fd  descriptors must have their recorded numbers\n"
               "  --explain N  show so many mismatches with the recorded call\n");
        return TDW_EXIT_OK;
    }
    if (options.names_count != 1)
        return tdw__usage("replay", "which file? One at a time");
    ret = program_of(options.names[0], program, sizeof program);
    if (ret < 0)
        return ret == -EOPNOTSUPP ? TDW_EXIT_UNSUPPORTED : TDW_EXIT_USAGE;
    if (program[0])
        return replay_kept(options.names[0], program);
    replay.path = options.names[0];
    replay.models = options.models;
    replay.schedule = options.schedule;
    replay.strategy = options.strategy;
    replay.seed = options.seed;
    replay.seeds = options.runs_given ? options.runs : 1;
    if (replay.seeds == 0)
        return TDW_EXIT_NOTHING;
    replay.json = options.json;
    ret = tdw__replay_recording(&replay);
    return ret < 0 ? TDW_EXIT_USAGE : ret;
}
