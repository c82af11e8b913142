/* SPDX-License-Identifier: MIT */
/*
 * Reads of a cached file on the real kernel: ours on io_uring in each model, raw liburing, and fio.
 *
 * 4 KiB at random places of a file of 256 MiB in the build directory, of which nothing has to come
 * from a disk, with 1 and with 64 reads in flight: what is measured is what a read costs on its way
 * through the ring. Every reader is a program (peers/) on the first CPU that does as many reads
 * each round, in an order that turns from round to round. fio submits and collects in batches of
 * the same size as the others, and is told to keep no statistics that need a clock, which is its
 * fastest way; one more run of it, with them, tells its latency from submission on.
 *
 *     file_read_uring_callback_64         ns    processor time of a read, which others' programs do
 *                                               not add to
 *     file_read_uring_callback_64_wall    ns    by the clock on the wall
 *
 * BENCH_ROUNDS and BENCH_MS set how many rounds there are and about how long each reader works.
 */
#include "bench.h"
#include "program.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PATH "build/bench-file"
enum {
    FILE_BYTES = 256 << 20,
    CHUNK = 1 << 20,
    ROUNDS = 63,
    ROUND_MS = 40,
    FIO_MS = 200, /* at least: it counts time in whole milliseconds */
    READS_PER_MS = 700,
    READERS = 5,
    OURS = 3,
    FIO = 4,
};

struct reader {
    const char *name;
    const char *argv[5]; /* the depth is the third */
    struct program program;
    bool missing;
    double cpu[BENCH_ROUNDS_MAX], wall[BENCH_ROUNDS_MAX];
};

/* Written anew, and so in the page cache; 0 or -1. */
static int file_make(void)
{
    const int fd = open(FILE_PATH, O_RDWR | O_CREAT | O_TRUNC, 0644);
    char *chunk = malloc(CHUNK);
    int bad = fd < 0 || !chunk;

    for (int i = 0; !bad && i < FILE_BYTES / CHUNK; i++) {
        memset(chunk, 'a' + i % 26, CHUNK);
        bad = write(fd, chunk, CHUNK) != CHUNK;
    }
    /* Pages that are being written back are locked now and then. */
    bad = bad || fsync(fd) < 0;
    if (fd >= 0)
        close(fd);
    free(chunk);
    return bad ? -1 : 0;
}

/* ── fio ───────────────────────────────────────────────────────────────────────────────────── */

/* The number behind `key` in the object behind `object`; 0 if there is none. */
static double json_number(const char *json, const char *object, const char *key)
{
    const char *at = strstr(json, object);

    at = at ? strstr(at, key) : NULL;
    at = at ? strchr(at, ':') : NULL;
    return at ? strtod(at + 1, NULL) : 0;
}

/* Its JSON in `json`; an empty text if it is not there. */
static void fio_run(uint32_t ms, const char *depth, const char *clocks, char *json, size_t bytes)
{
    char iodepth[32], submit[48], complete[48], runtime[32];
    const char *const argv[] = {"fio",
                                "--name=read",
                                "--filename=" FILE_PATH,
                                "--size=256m",
                                "--rw=randread",
                                "--bs=4k",
                                "--ioengine=io_uring",
                                "--direct=0",
                                "--invalidate=0",
                                "--fadvise_hint=0",
                                "--norandommap=1",
                                "--random_generator=tausworthe64",
                                "--thread",
                                "--time_based",
                                "--output-format=json",
                                iodepth,
                                submit,
                                complete,
                                runtime,
                                clocks,
                                NULL};
    struct program fio;
    size_t got = 0;

    snprintf(iodepth, sizeof iodepth, "--iodepth=%s", depth);
    snprintf(submit, sizeof submit, "--iodepth_batch_submit=%s", depth);
    snprintf(complete, sizeof complete, "--iodepth_batch_complete_max=%s", depth);
    snprintf(runtime, sizeof runtime, "--runtime=%ums", ms);
    if (program_start(&fio, 0, argv)) {
        got = fread(json, 1, bytes - 1, fio.from);
        program_stop(&fio);
    }
    json[got] = '\0';
}

/* False if there is no fio. */
static bool fio_measure(uint32_t ms, const char *depth, double *cpu, double *wall)
{
    static char json[65536];
    double reads, busy;

    fio_run(ms, depth, "--gtod_reduce=1", json, sizeof json);
    reads = json_number(json, "\"read\" :", "\"total_ios\"");
    busy = json_number(json, "\"job_runtime\"", "\"usr_cpu\"") +
           json_number(json, "\"job_runtime\"", "\"sys_cpu\"");
    if (reads <= 0)
        return false;
    *wall = json_number(json, "\"read\" :", "\"runtime\"") * 1e6 / reads;
    *cpu = json_number(json, "\"job_runtime\"", "\"job_runtime\"") * 1e6 * busy / 100 / reads;
    return true;
}

static double fio_latency_ns(uint32_t ms, const char *depth)
{
    static char json[65536];

    fio_run(ms, depth, "--gtod_reduce=0", json, sizeof json);
    return json_number(json, "\"lat_ns\" :", "\"mean\"");
}

/* ── Readers ───────────────────────────────────────────────────────────────────────────────── */

static bool enter(struct reader *r, const char *depth)
{
    char ready[32];

    r->argv[1] = FILE_PATH;
    r->argv[2] = depth;
    if (program_start(&r->program, 0, r->argv) && program_line(&r->program, ready, sizeof ready))
        return true;
    program_stop(&r->program);
    return false;
}

static bool measure(struct reader *r, uint32_t round, const char *depth, uint32_t ms)
{
    const uint64_t count = (uint64_t)ms * READS_PER_MS;
    uint64_t answer[2]; /* ns: wall, processor */

    if (strcmp(r->argv[0], "fio") == 0)
        return fio_measure(ms > FIO_MS ? ms : FIO_MS, depth, &r->cpu[round], &r->wall[round]);
    if (!r->program.pid || !program_ask(&r->program, count, answer))
        return false;
    r->wall[round] = (double)answer[0] / (double)count;
    r->cpu[round] = (double)answer[1] / (double)count;
    return true;
}

static void tell(FILE *out, const struct reader *r, const struct reader *reference,
                 const char *depth, uint32_t rounds)
{
    char name[64];

    snprintf(name, sizeof name, "file_read_uring_%s_%s", r->name, depth);
    bench_paired(out, name, "ns", r->cpu, reference->name, reference->cpu, rounds);
    snprintf(name, sizeof name, "file_read_uring_%s_%s_wall", r->name, depth);
    bench_paired(out, name, "ns", r->wall, reference->name, reference->wall, rounds);
}

static void run_rounds(struct reader *readers, const char *depth, uint32_t rounds)
{
    const uint32_t ms = program_setting("BENCH_MS", ROUND_MS, 60000);

    /* The first round warms up; its figures are overwritten. */
    for (uint32_t round = 0; round < rounds + 1; round++)
        for (uint32_t i = 0; i < READERS; i++) {
            struct reader *r = &readers[(i + round) % READERS];

            if (!r->missing && !measure(r, round > 0 ? round - 1 : 0, depth, ms)) {
                printf("file_read_uring: no %s\n", r->name);
                r->missing = true;
            }
        }
}

static void run_depth(FILE *out, struct reader *readers, const char *depth)
{
    const uint32_t rounds = program_setting("BENCH_ROUNDS", ROUNDS, BENCH_ROUNDS_MAX);
    const struct reader *fio = &readers[FIO];
    char name[64];

    for (int i = 0; i < READERS; i++) {
        readers[i].missing = false;
        if (i < FIO)
            enter(&readers[i], depth);
    }
    run_rounds(readers, depth, rounds);
    for (int i = 0; i < READERS; i++)
        for (int j = OURS; j < READERS; j++)
            if ((i < OURS || (i > OURS && j == OURS)) && !readers[i].missing && !readers[j].missing)
                tell(out, &readers[i], &readers[j], depth, rounds);
    snprintf(name, sizeof name, "file_read_fio_latency_%s", depth);
    if (!fio->missing)
        bench_value(out, name, "ns", fio_latency_ns(FIO_MS, depth), "depth/iops",
                    atoi(depth) * fio->wall[rounds - 1]);
    for (int i = 0; i < FIO; i++)
        program_stop(&readers[i].program);
}

#define OUR(model)                                                                                 \
    {                                                                                              \
        .name = #model, .argv = { "build/bench-read_tidewheel", NULL, NULL, #model }               \
    }

void bench_file_read(FILE *out)
{
    static struct reader readers[READERS] = {
        OUR(callback),
        OUR(stackless),
        OUR(stackful),
        {.name = "liburing", .argv = {"build/bench-read_liburing"}},
        {.name = "fio", .argv = {"fio"}},
    };

    if (file_make() < 0) {
        printf("file_read_uring: no room for %s\n", FILE_PATH);
    } else {
        run_depth(out, readers, "1");
        run_depth(out, readers, "64");
    }
    unlink(FILE_PATH);
}
