/* SPDX-License-Identifier: MIT */
/*
 * The whole path of an op on the simulated kernel, submit to deliver, digest on, trace off, in each
 * model and with 1, 1,000 and 100,000 in flight; 512-byte reads; bytes of a waiting task; a small
 * run with its reset.
 *
 * Latencies are random, and the wider the more is in flight (at most one op in 25 ns is due), so
 * that few are due at the same nanosecond. The start of the tasks is in the figure, spread over at
 * least 40 ops of each.
 */
#include "bench.h"
#include <stdlib.h>
#include <string.h>
#include <tidewheel/scenario.h>

enum { OPS = 1000000, OPS_MANY = 4000000, READ_BYTES = 512 };

struct load {
    enum tdw_model model;
    uint32_t tasks;
    bool read;
};

static struct {
    uint32_t left;
    int fd;
    char *buffers;
} work;

/* ── Callback ──────────────────────────────────────────────────────────────────────────────── */

struct pinger {
    struct tdw_op op;
    uint32_t left;
    char *buffer;
};

static void pinged(struct tdw_op *op)
{
    struct pinger *p = tdw_of(op, struct pinger, op);

    if (--p->left > 0) {
        if (p->buffer)
            TDW_ON(&p->op, pinged, pread, work.fd, p->buffer, READ_BYTES, 0);
        else
            TDW_ON(&p->op, pinged, nop);
    }
}

static void ping_callback(void *buffer)
{
    struct pinger *p = tdw_malloc(sizeof *p);

    p->left = work.left + 1;
    p->buffer = buffer;
    p->op.res = 0;
    pinged(&p->op);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct ping {
    struct tdw_frame frame;
    uint32_t left;
    int n;
    char *buffer;
};

TDW_CO(ping_stackless)
{
    TDW_BEGIN(struct ping, me);
    if (me->buffer) {
        for (me->left = work.left; me->left > 0; me->left--)
            TDW_AWAIT(me->n, pread, work.fd, me->buffer, READ_BYTES, 0);
    } else {
        for (me->left = work.left; me->left > 0; me->left--)
            TDW_AWAIT(me->n, nop);
    }
    TDW_RETURN(0);
    TDW_END;
}

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void ping_stackful(void *buffer)
{
    if (buffer) {
        for (uint32_t left = work.left; left > 0; left--)
            tdw_pread(work.fd, buffer, READ_BYTES, 0);
    } else {
        for (uint32_t left = work.left; left > 0; left--)
            tdw_nop();
    }
}

/* ── All ───────────────────────────────────────────────────────────────────────────────────── */

static void spawn_all(const struct load *load)
{
    for (uint32_t i = 0; i < load->tasks; i++) {
        char *buffer = load->read ? work.buffers + (size_t)i * READ_BYTES : NULL;

        switch (load->model) {
        case TDW_CALLBACK:
            tdw_spawn_callback("ping", ping_callback, buffer);
            break;
        case TDW_STACKLESS:
            TDW_SPAWN("ping", ping_stackless, struct ping, .buffer = buffer);
            break;
        case TDW_STACKFUL:
            tdw_spawn_stackful("ping", ping_stackful, buffer);
            break;
        }
    }
}

static void prepare_file(void *arg)
{
    static char block[READ_BYTES];

    work.fd = tdw_open("file", O_RDWR | O_CREAT, 0600);
    tdw_pwrite(work.fd, block, sizeof block, 0);
    spawn_all(arg);
}

static void start(void *arg)
{
    const struct load *load = arg;

    if (load->read)
        tdw_spawn_stackful("file", prepare_file, arg);
    else
        spawn_all(load);
}

static struct tdw_world *world;

static double run_load(const void *arg)
{
    struct load load = *(const struct load *)arg;
    const uint32_t ops = load.tasks > 1000 ? OPS_MANY : OPS;
    const struct tdw_world_options options = {
        .seed = 1, .strategy = TDW_RANDOM, .slowdown = load.tasks > 1600 ? load.tasks / 100 : 16};
    double began;

    if (world)
        tdw_world_reset(world, &options);
    else
        world = tdw_world_new(&options);
    work.left = ops / load.tasks;
    work.buffers = malloc((size_t)load.tasks * READ_BYTES);
    memset(work.buffers, 0, (size_t)load.tasks * READ_BYTES);
    began = bench_now();
    tdw_world_run(world, start, &load);
    began = (bench_now() - began) / (work.left * load.tasks);
    free(work.buffers);
    return began;
}

static void load_benches(FILE *out, bool read)
{
    static const char *const models[] = {"callback", "stackless", "stackful"};
    static const uint32_t sizes[] = {1, 1000, 100000};

    for (int s = 0; s < 3; s++) {
        for (int m = 0; m < 3; m++) {
            const struct load load = {(enum tdw_model)m, sizes[s], read};
            const struct bench_hold hold = {sizes[s], s == 2};
            char name[64];

            snprintf(name, sizeof name, "sim_%s_%s_%u", read ? "read" : "op", models[m], sizes[s]);
            bench_pair(out, &(struct bench){name, "ns", run_load, &load,
                                            s == 2 ? "heap4_hold_3_lines" : "heap4_hold_bare_keys",
                                            bench_heap_hold, &hold});
        }
    }
}

/* ── Bytes of a waiting task ───────────────────────────────────────────────────────────────── */

static long resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * 4096;
}

static long resident;

struct sleeper {
    struct tdw_frame frame;
    int n;
};

TDW_CO(sleep_stackless)
{
    TDW_BEGIN(struct sleeper, me);
    TDW_AWAIT(me->n, sleep, 1000000);
    TDW_RETURN(0);
    TDW_END;
}

static void sleep_stackful(void *unused)
{
    (void)unused;
    tdw_sleep(1000000);
}

static void no_more(struct tdw_op *op)
{
    (void)op;
}

static void sleep_callback(void *unused)
{
    (void)unused;
    TDW_ON(&tdw_self()->op, no_more, sleep, 1000000); /* a task's own op is there to be used */
}

static void look(void *unused)
{
    (void)unused;
    tdw_sleep(500000); /* all others wait now */
    resident = resident_bytes() - resident;
}

static void start_sleepers(void *arg)
{
    const struct load *load = arg;

    resident = resident_bytes();
    for (uint32_t i = 0; i < load->tasks; i++) {
        switch (load->model) {
        case TDW_CALLBACK:
            tdw_spawn_callback("sleeper", sleep_callback, NULL);
            break;
        case TDW_STACKLESS:
            TDW_SPAWN("sleeper", sleep_stackless, struct sleeper);
            break;
        case TDW_STACKFUL:
            tdw_spawn_stackful("sleeper", sleep_stackful, NULL);
            break;
        }
    }
    tdw_spawn_stackful("look", look, NULL);
}

static void bytes_benches(FILE *out)
{
    static const char *const names[] = {"task_bytes_callback", "task_bytes_stackless",
                                        "task_bytes_stackful"};
    static const double budgets[] = {256, 320, 8192};

    for (int m = 0; m < 3; m++) {
        const struct tdw_world_options options = {.seed = 1};
        struct load load = {(enum tdw_model)m, 100000, false};
        struct tdw_world *fresh = tdw_world_new(&options);

        tdw_world_run(fresh, start_sleepers, &load);
        tdw_world_free(fresh);
        bench_value(out, names[m], "bytes", (double)resident / load.tasks,
                    "budget (op and task; ours: with slot and wheel)", budgets[m]);
    }
}

/* ── A small run with its reset ────────────────────────────────────────────────────────────── */

struct yielder {
    struct tdw_frame frame;
    int i, n;
};

TDW_CO(yield_five)
{
    TDW_BEGIN(struct yielder, me);
    for (me->i = 0; me->i < 5; me->i++)
        TDW_AWAIT(me->n, yield);
    TDW_RETURN(0);
    TDW_END;
}

static void two_tasks(void *unused)
{
    (void)unused;
    TDW_SPAWN("a", yield_five, struct yielder);
    TDW_SPAWN("b", yield_five, struct yielder);
}

static double run_small(const void *arg)
{
    const uint32_t runs = 100000;
    double began = bench_now();

    (void)arg;
    for (uint32_t i = 0; i < runs; i++) {
        const struct tdw_world_options options = {.seed = i, .strategy = TDW_RANDOM};

        tdw_world_reset(world, &options);
        tdw_world_run(world, two_tasks, NULL);
    }
    return (bench_now() - began) / runs;
}

static double one_microsecond(const void *arg)
{
    (void)arg;
    return 1000;
}

void bench_sim(FILE *out)
{
    bytes_benches(out);
    load_benches(out, false);
    load_benches(out, true);
    bench_pair(
        out, &(struct bench){"run_reset", "ns", run_small, NULL, "budget", one_microsecond, NULL});
    tdw_world_free(world);
}
