/* SPDX-License-Identifier: MIT */
/*
 * What faults cost where there are none, and what a power cut costs.
 *
 * A point of a program without a plan, ours and libfiu's (ours stands in front; the reference is
 * libfiu's own function, nothing enabled); the same with a rule that hardly ever fires (the
 * reference asks an external callback of libfiu); an op under a plan without rules; a host with
 * 1,000 files, of which 50 are dirty, that crashes and boots, in place and as an image in another
 * world.
 */
#include "bench.h"
#include <dlfcn.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/fault.h>
#include <tidewheel/scenario.h>

enum { CALLS = 2000000, OPS = 1000000, FLIGHTS = 1000, FILES = 1000, DIRTY = 50, CRASHES = 200 };

int fiu_fail(const char *name);

static volatile int sink;

static double budget(const void *arg)
{
    return *(const double *)arg;
}

/* ── Points of a program ───────────────────────────────────────────────────────────────────── */

static double call_tdw_fault(const void *unused)
{
    const double began = bench_now();

    (void)unused;
    for (int i = 0; i < CALLS; i++)
        sink = tdw_fault("app/bench");
    return (bench_now() - began) / CALLS;
}

/* Of libfiu: NULL where it is not installed. */
static void *of_libfiu(const char *name)
{
    static void *library;

    if (!library)
        library = dlopen("libfiu.so.0", RTLD_NOW | RTLD_LOCAL);
    return library ? dlsym(library, name) : NULL;
}

static double call_fiu_fail(const void *function)
{
    int (*const fail)(const char *) = *(int (*const *)(const char *))function;
    const double began = bench_now();

    for (int i = 0; i < CALLS; i++)
        sink = fail("app/bench");
    return (bench_now() - began) / CALLS;
}

static int never(const char *name, int *failnum, void **failinfo, unsigned *flags)
{
    (void)name, (void)failnum, (void)failinfo, (void)flags;
    return 0;
}

static double measured[2];

static void measure_points(void *unused)
{
    static int (*const ours)(const char *) = fiu_fail;

    (void)unused;
    measured[0] = call_tdw_fault(NULL);
    measured[1] = call_fiu_fail(&ours);
}

/* In a simulated task, under a rule for the point. */
static double call_planned(const void *which)
{
    static const char text[] = "rules: [{point: app/bench, p: 1/1000000}]";
    const struct tdw_world_options options = {.seed = 1, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_faults *faults;
    struct tdw_plan *plan;

    if (!world || tdw_plan_text(&plan, "bench", text, strlen(text), NULL, 0, NULL, NULL) < 0)
        abort();
    faults = tdw_plan_apply(plan, tdw_world_loop(world), NULL);
    tdw_world_run(world, measure_points, NULL);
    tdw_faults_end(faults);
    tdw_plan_free(plan);
    tdw_world_free(world);
    return measured[*(const int *)which];
}

static void bench_points(FILE *out)
{
    typedef int enable_fn(const char *, int, void *, unsigned,
                          int (*)(const char *, int *, void **, unsigned *));
    static const double one = 1, five = 5;
    static int (*const ours)(const char *) = fiu_fail;
    static const int tdw = 0, fiu = 1;
    int (*const theirs)(const char *) = (int (*)(const char *))of_libfiu("fiu_fail");
    int (*const init)(unsigned) = (int (*)(unsigned))of_libfiu("fiu_init");
    enable_fn *const enable = (enable_fn *)of_libfiu("fiu_enable_external");

    bench_pair(out, &(struct bench){"fault_point_off", "ns", call_tdw_fault, NULL, "budget", budget,
                                    &one});
    bench_pair(out, &(struct bench){"fault_point_off_fiu", "ns", call_fiu_fail, &ours, "budget",
                                    budget, &five});
    if (!theirs || !init || !enable || init(0) != 0)
        return;
    bench_pair(out, &(struct bench){"fault_point_off_fiu", "ns", call_fiu_fail, &ours, "libfiu",
                                    call_fiu_fail, &theirs});
    if (enable("app/bench", 1, NULL, 0, never) != 0)
        return;
    bench_pair(out, &(struct bench){"fault_point_on", "ns", call_planned, &tdw, "libfiu, external",
                                    call_fiu_fail, &theirs});
    bench_pair(out, &(struct bench){"fault_point_on_fiu", "ns", call_planned, &fiu,
                                    "libfiu, external", call_fiu_fail, &theirs});
}

/* ── An op under an empty plan ─────────────────────────────────────────────────────────────── */

struct pinger {
    struct tdw_op op;
    uint32_t left;
};

static void pinged(struct tdw_op *op)
{
    struct pinger *p = tdw_of(op, struct pinger, op);

    if (--p->left > 0)
        TDW_ON(&p->op, pinged, nop);
}

static void ping(void *unused)
{
    struct pinger *p = tdw_malloc(sizeof *p);

    (void)unused;
    p->left = OPS / FLIGHTS + 1;
    pinged(&p->op);
}

static void start_pings(void *unused)
{
    (void)unused;
    for (int i = 0; i < FLIGHTS; i++)
        tdw_spawn_callback("ping", ping, NULL);
}

static double run_ops(const void *planned)
{
    const struct tdw_world_options options = {.seed = 1, .strategy = TDW_RANDOM, .slowdown = 25};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_faults *faults = NULL;
    struct tdw_plan *plan = NULL;
    double took;

    if (!world || tdw_plan_read(&plan, "none", NULL, 0, NULL, NULL) < 0)
        abort();
    if (planned)
        faults = tdw_plan_apply(plan, tdw_world_loop(world), NULL);
    took = -bench_now();
    tdw_world_run(world, start_pings, NULL);
    took += bench_now();
    tdw_faults_end(faults);
    tdw_plan_free(plan);
    tdw_world_free(world);
    return took / OPS;
}

/* ── Crashes ───────────────────────────────────────────────────────────────────────────────── */

static struct {
    struct tdw_host *host;
    struct tdw_world *world; /* of images */
    double in_place, image;
} crash;

static void nothing(void *unused)
{
    (void)unused;
}

static void make_files(struct tdw_disk *disk)
{
    char path[32];

    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "/file%d", i);
        if (tdw__disk_seed_file(disk, path, 10000, (uint64_t)i) < 0)
            abort();
    }
}

static void dirty_files(struct tdw_disk *disk)
{
    char path[32];

    for (int i = 0; i < DIRTY; i++) {
        struct tdw_inode *inode;
        const int n = snprintf(path, sizeof path, "file%d", i * (FILES / DIRTY));

        inode = tdw__name_find(disk->root, path, (uint32_t)n)->now;
        tdw__pages_write(inode, 5000, path, sizeof path);
        tdw__inode_set_size(inode, inode->now.size);
    }
}

static double crash_in_place(void)
{
    double began;

    dirty_files(crash.host->disk);
    began = bench_now();
    tdw_host_crash(crash.host);
    tdw_host_boot(crash.host);
    return bench_now() - began;
}

static double crash_as_image(void)
{
    const struct tdw_world_options options = {.strategy = TDW_CALM};
    struct tdw_survival survival = {.choose = NULL};
    double began;

    dirty_files(crash.host->disk);
    tdw_world_reset(crash.world, &options);
    began = bench_now();
    tdw__image_run(crash.world, "db", tdw__image_of(crash.world, crash.host, &survival), nothing,
                   NULL);
    return bench_now() - began;
}

static void measure_crashes(void *unused)
{
    (void)unused;
    crash.host = tdw_host("db", nothing, NULL);
    tdw_host_persistence(crash.host, TDW_STRICT);
    make_files(tdw_host_disk(crash.host));
    tdw_host_boot(crash.host);
    crash.in_place = crash.image = 0;
    for (int i = 0; i < CRASHES; i++) {
        crash.image += crash_as_image() / CRASHES;
        crash.in_place += crash_in_place() / CRASHES;
    }
}

static double run_crashes(const void *image)
{
    const struct tdw_world_options options = {.seed = 1, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);

    crash.world = tdw_world_new(&options);
    if (!world || !crash.world)
        abort();
    tdw_world_run(world, measure_crashes, NULL);
    tdw_world_free(crash.world);
    tdw_world_free(world);
    return (image ? crash.image : crash.in_place) / 1e3;
}

void bench_faults(FILE *out)
{
    static const double hundred = 100;
    static const int yes = 1;

    bench_points(out);
    bench_pair(out, &(struct bench){"sim_op_callback_1000_plan", "ns", run_ops, &yes,
                                    "without a plan", run_ops, NULL});
    bench_pair(out,
               &(struct bench){"crash_boot", "us", run_crashes, NULL, "budget", budget, &hundred});
    bench_pair(out, &(struct bench){"crash_boot_image", "us", run_crashes, &yes, "budget", budget,
                                    &hundred});
}
