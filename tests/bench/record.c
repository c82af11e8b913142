/* SPDX-License-Identifier: MIT */
/*
 * A recorded system call: a loop of cached preads of 4 KiB, untraced, under a bare recorder, under
 * ours, and under strace.
 *
 * All four run the same program (tests/record/calls.c), which tells how long a call took it; a
 * figure is the whole call, not what recording adds. The bare recorder (bare.bpf.c) is drained by
 * this process, as ours is by itself, so both leave the same work to the other core. The order is
 * turned round each time, and medians are told. Where BPF is refused the line says so.
 */
#include "bench.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <bare.skel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <traces/ebpf/record.h>
#include <unistd.h>

enum { ROUNDS = 9, PREADS = 400000, STRACED = 4000 };

static char number[24];

/* build/record-calls, beside this program. */
static const char *program(void)
{
    static char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    char *const slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

    snprintf(slash ? slash + 1 : path, 32, "record-calls");
    return path;
}

/* A child with its output at *out; it waits for a byte at *go, if that is asked for. */
static pid_t child(char **argv, int *out, int *go)
{
    int ends[2], gate[2] = {-1, -1};
    char byte;
    pid_t pid;

    if (pipe(ends) || (go && pipe(gate)))
        return -1;
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        if (go && read(gate[0], &byte, 1) != 1)
            _exit(1);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    if (go) {
        close(gate[0]);
        *go = gate[1];
    }
    return pid;
}

static double told(int out)
{
    char text[64] = {0};
    const ssize_t n = read(out, text, sizeof text - 1);

    close(out);
    return n > 0 ? atof(text) : -1;
}

static double run_untraced(const void *unused)
{
    char *argv[] = {(char *)(uintptr_t)program(), (char[]){"preads"}, number, NULL};
    int out;

    (void)unused;
    snprintf(number, sizeof number, "%d", PREADS);
    if (child(argv, &out, NULL) < 0)
        return -1;
    while (wait(NULL) > 0)
        continue;
    return told(out);
}

static double run_strace(const void *unused)
{
    char *argv[] = {(char[]){"strace"},
                    (char[]){"-f"},
                    (char[]){"-yy"},
                    (char[]){"-o"},
                    (char[]){"/dev/null"},
                    (char *)(uintptr_t)program(),
                    (char[]){"preads"},
                    number,
                    NULL};
    int out;

    (void)unused;
    snprintf(number, sizeof number, "%d", STRACED);
    if (child(argv, &out, NULL) < 0)
        return -1;
    while (wait(NULL) > 0)
        continue;
    return told(out);
}

static int taken(void *buffer, void *bytes, size_t count)
{
    memcpy(buffer, bytes, count < 64 ? count : 64);
    return 0;
}

static double run_bare(const void *unused)
{
    char *argv[] = {(char *)(uintptr_t)program(), (char[]){"preads"}, number, NULL};
    struct bare *const skel = bare__open_and_load();
    struct ring_buffer *ring;
    char buffer[64];
    int out, go;
    pid_t pid;

    (void)unused;
    if (!skel || bare__attach(skel))
        return -1;
    ring = ring_buffer__new(bpf_map__fd(skel->maps.ring), taken, buffer, NULL);
    snprintf(number, sizeof number, "%d", PREADS);
    pid = child(argv, &out, &go);
    skel->bss->target = (unsigned)pid;
    if (write(go, "", 1) != 1)
        return -1;
    close(go);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        ring_buffer__consume(ring);
        usleep(1000);
    }
    ring_buffer__free(ring);
    bare__destroy(skel);
    return told(out);
}

static double run_ours(const void *unused)
{
    static const char file[] = "/tmp/record-pread.tdw";
    char *argv[] = {(char *)(uintptr_t)program(), (char[]){"preads"}, number, NULL};
    const struct tdw__record_options options = {
        .output = file, .command = argv, .ring_bytes = TDW__RING_BYTES};
    FILE *const nowhere = fopen("/dev/null", "w");
    const int kept = dup(1);
    struct tdw__recorded recorded;
    int ends[2], error;

    (void)unused;
    snprintf(number, sizeof number, "%d", PREADS);
    fflush(stdout);
    if (!nowhere || pipe(ends))
        return -1;
    dup2(ends[1], 1);
    error = tdw__record(&options, nowhere, &recorded);
    dup2(kept, 1);
    close(kept);
    close(ends[1]);
    fclose(nowhere);
    unlink(file);
    if (!error)
        return told(ends[0]);
    close(ends[0]);
    return -1;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void bench_record(FILE *out)
{
    static bench_fn *const runs[] = {run_untraced, run_bare, run_ours};
    enum { RUNS = sizeof runs / sizeof *runs };
    double values[RUNS][ROUNDS], strace;

    if (run_bare(NULL) < 0 || run_ours(NULL) < 0) {
        fprintf(out, "record_pread\t\tns\t(BPF is refused here)\t\t\n");
        printf("%-28s skipped: BPF is refused here\n", "record_pread");
        return;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < RUNS; i++)
            values[(i + round) % RUNS][round] = runs[(i + round) % RUNS](NULL);
    for (int i = 0; i < RUNS; i++)
        qsort(values[i], ROUNDS, sizeof **values, by_value);
    strace = run_strace(NULL);
    bench_value(out, "record_pread", "ns", values[2][ROUNDS / 2], "bare_recorder",
                values[1][ROUNDS / 2]);
    bench_value(out, "record_pread_vs_untraced", "ns", values[2][ROUNDS / 2], "untraced",
                values[0][ROUNDS / 2]);
    bench_value(out, "record_pread_bare", "ns", values[1][ROUNDS / 2], "untraced",
                values[0][ROUNDS / 2]);
    bench_value(out, "record_pread_strace", "ns", strace, "untraced", values[0][ROUNDS / 2]);
}
