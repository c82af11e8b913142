/* SPDX-License-Identifier: MIT */
/*
 * Running a whole program, its main and all, as one stackful task on a world of its own
 * (<tidewheel/liburing.h>).
 *
 * The files that its command line names are copied onto the simulated disk, under the names by
 * which they are called; descriptors 0, 1 and 2 are the console, whose output goes to the real one.
 * A program that cannot go on is told who waits for what, and ends with 1.
 */
#include <sim/explore/explore.h>
#include <sim/kernel/vfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tidewheel/stackful.h>
#include <unistd.h>

int tdw_program(int argc, char **argv, int (*program)(int argc, char **argv));

struct program {
    int argc;
    char **argv;
    int (*main)(int argc, char **argv);
    int status;
};

/* ── Files of the command line ─────────────────────────────────────────────────────────────── */

/* Make the directories above `path`. */
static void make_above(const char *path)
{
    char part[4096];
    size_t at = 0;

    for (; path[at] && at + 1 < sizeof part; at++) {
        part[at] = path[at];
        part[at + 1] = '\0';
        if (path[at] == '/' && at > 0)
            tdw_mkdir(part, 0755);
    }
}

static int copy_in(const char *path)
{
    FILE *from = fopen(path, "rb");
    char buffer[65536];
    size_t bytes;
    int fd;

    if (!from)
        return -errno;
    make_above(path);
    fd = tdw_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    while (fd >= 0 && (bytes = fread(buffer, 1, sizeof buffer, from)) > 0)
        if (tdw_write(fd, buffer, (uint32_t)bytes) != (int)bytes)
            break;
    fclose(from);
    return fd < 0 ? fd : tdw_close(fd);
}

static void copy_arguments(const struct program *program)
{
    struct stat st;

    for (int i = 1; i < program->argc; i++) {
        const char *path = program->argv[i];

        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && copy_in(path) < 0)
            fprintf(stderr, "tidewheel: %s: not copied onto the simulated disk\n", path);
    }
}

/* ── The run ───────────────────────────────────────────────────────────────────────────────── */

static void run(void *arg)
{
    struct program *program = arg;

    copy_arguments(program);
    tdw__console_open(tdw__process()->files);
    program->status = program->main(program->argc, program->argv);
}

static void root(void *arg)
{
    tdw_spawn_stackful("main", run, arg);
}

static void say(void *out, const char *text)
{
    fprintf(out, "  %s\n", text);
}

/* A word of the environment that chooses between 0 and 1. */
static int choice(const char *name, const char *zero, const char *one)
{
    const char *value = getenv(name);

    if (!value || strcmp(value, zero) == 0)
        return 0;
    if (strcmp(value, one) == 0)
        return 1;
    fprintf(stderr, "tidewheel: %s=%s: it is %s or %s\n", name, value, zero, one);
    exit(2);
}

int tdw_program(int argc, char **argv, int (*main_function)(int argc, char **argv))
{
    struct program program = {argc, argv, main_function, 1};
    const char *seed = getenv("TDW_SEED");
    struct tdw_world_options options = {
        .seed = seed ? strtoull(seed, NULL, 0) : 1,
        .schedule = choice("TDW_SCHEDULE", "timed", "adversary") ? TDW_ADVERSARY : TDW_TIMED,
        .strategy = choice("TDW_STRATEGY", "calm", "random") ? TDW_RANDOM : TDW_CALM,
        .stack_bytes = 1 << 20, /* a main uses what a thread would have */
    };
    struct tdw_world *world = tdw_world_new(&options);
    int ret;

    if (!world) {
        fprintf(stderr, "tidewheel: no memory\n");
        return 1;
    }
    ret = tdw_world_run(world, root, &program);
    fflush(NULL);
    if (ret == -EDEADLK) {
        fprintf(stderr, "tidewheel: the program waits, and nothing will come:\n");
        tdw_loop_waiters(tdw_world_loop(world), say, stderr);
        program.status = 1;
    } else if (ret < 0) {
        fprintf(stderr, "tidewheel: %s\n", strerror(-ret));
        program.status = 1;
    }
    if (tdw_world_findings(world) > 0) {
        fprintf(stderr, "tidewheel: %s\n", tdw_world_loop(world)->failure.text);
        program.status = program.status ? program.status : 1;
    }
    tdw_world_free(world);
    return program.status;
}
