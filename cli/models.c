/* SPDX-License-Identifier: MIT */
/*
 * tdw models: what the three models cost on this machine; tdw models PROGRAM [options]: what they
 * cost in that program, which tells it itself (--costs), on any backend.
 *
 * One program three times: W tasks, each submitting NOPs one after the other, on the simulated
 * kernel with random latencies. Told are ns per op with 1 and 1,000 in flight, the bytes that a
 * waiting task holds, stack switches and frames per op. Medians of several runs; the machine is
 * whatever it is, so compare the rows with each other.
 */
#include <cli/cli.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPEATS = 7, OPS = 200000 };

static struct {
    uint32_t tasks, ops_each;
} work;

struct pinger {
    struct tdw_op op;
    uint32_t left;
};

static void ping_done(struct tdw_op *op)
{
    struct pinger *p = tdw_of(op, struct pinger, op);

    if (--p->left > 0)
        TDW_ON(&p->op, ping_done, nop);
    else
        tdw_free(p);
}

static void ping_callback(void *arg)
{
    struct pinger *p = tdw_malloc(sizeof *p);

    (void)arg;
    p->left = work.ops_each;
    TDW_ON(&p->op, ping_done, nop);
}

struct ping {
    struct tdw_frame frame;
    uint32_t left;
    int n;
};

TDW_CO(ping_stackless)
{
    TDW_BEGIN(struct ping, me);
    for (me->left = work.ops_each; me->left > 0; me->left--)
        TDW_AWAIT(me->n, nop);
    TDW_RETURN(0);
    TDW_END;
}

static void ping_stackful(void *arg)
{
    (void)arg;
    for (uint32_t left = work.ops_each; left > 0; left--)
        tdw_nop();
}

static void start(void *arg)
{
    const enum tdw_model model = *(const enum tdw_model *)arg;

    for (uint32_t i = 0; i < work.tasks; i++) {
        switch (model) {
        case TDW_CALLBACK:
            tdw_spawn_callback("ping", ping_callback, NULL);
            break;
        case TDW_STACKLESS:
            TDW_SPAWN("ping", ping_stackless, struct ping);
            break;
        case TDW_STACKFUL:
            tdw_spawn_stackful("ping", ping_stackful, NULL);
            break;
        }
    }
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median ns per op; the world keeps the last run. */
static double measure(struct tdw_world *world, enum tdw_model model, uint32_t tasks)
{
    const struct tdw_world_options options = {.seed = 1, .strategy = TDW_RANDOM};
    double times[REPEATS];

    work.tasks = tasks;
    work.ops_each = OPS / tasks;
    for (int i = -1; i < REPEATS; i++) {
        double began;

        tdw_world_reset(world, &options);
        began = now_ns();
        tdw_world_run(world, start, &model);
        if (i >= 0)
            times[i] = (now_ns() - began) / OPS;
    }
    qsort(times, REPEATS, sizeof *times, by_value);
    return times[REPEATS / 2];
}

/* What a waiting task of this program holds: op and task, and its struct, frame or stack. */
static size_t bytes_per_task(struct tdw_world *world, enum tdw_model model)
{
    switch (model) {
    case TDW_CALLBACK:
        return sizeof(struct tdw_task);
    case TDW_STACKLESS:
        return sizeof(struct tdw_task) + sizeof(struct ping);
    case TDW_STACKFUL:
        return sizeof(struct tdw_task) +
               (tdw_stack_high_water(tdw_world_loop(world)) + 4095) / 4096 * 4096;
    }
    return 0;
}

/* PROGRAM --costs, with the rest of the arguments behind it. */
static int of_program(int argc, char **argv)
{
    static char costs[] = "--costs";
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

    if (!arguments)
        return TDW_EXIT_BUG;
    if (tdw__check_program(argv[1]) < 0) {
        free(arguments);
        return TDW_EXIT_USAGE;
    }
    arguments[0] = argv[1];
    arguments[1] = costs;
    for (int i = 2; i < argc; i++)
        arguments[i] = argv[i];
    execv(argv[1], arguments);
    fprintf(stderr, "tdw: %s could not be executed: %s\n", argv[1], strerror(errno));
    free(arguments);
    return TDW_EXIT_USAGE;
}

int tdw__cli_models(int argc, char **argv)
{
    const struct tdw_world_options options = {.seed = 1, .strategy = TDW_RANDOM};
    const bool json = argc > 1 && strcmp(argv[1], "--json") == 0;

    if (argc > 1 && argv[1][0] != '-')
        return of_program(argc, argv);
    if (argc > 1 && !json)
        return tdw__usage("models", "without a program the only option is --json");
    if (json)
        printf("[\n");
    else
        printf("model       ns/op (1)  ns/op (1000)  bytes/task  switches/op  pause\n");
    for (int m = 0; m < TDW_MODELS; m++) {
        static const char *const pauses[] = {"returns to the loop", "saves a label, returns",
                                             "switches stacks"};
        struct tdw_world *world = tdw_world_new(&options);
        double one, many, switches;
        size_t bytes;

        if (!world)
            return TDW_EXIT_BUG;
        one = measure(world, (enum tdw_model)m, 1);
        many = measure(world, (enum tdw_model)m, 1000);
        switches = (double)tdw_world_loop(world)->switches / OPS;
        bytes = bytes_per_task(world, (enum tdw_model)m);
        if (json)
            printf("  {\"model\": \"%s\", \"ns_1\": %.1f, \"ns_1000\": %.1f, \"bytes\": %zu, "
                   "\"switches\": %.2f}%s\n",
                   tdw__model_name((enum tdw_model)m), one, many, bytes, switches,
                   m + 1 < TDW_MODELS ? "," : "");
        else
            printf("%-10s %10.1f %13.1f %11zu %12.2f  %s\n", tdw__model_name((enum tdw_model)m),
                   one, many, bytes, switches, pauses[m]);
        tdw_world_free(world);
    }
    if (json)
        printf("]\n");
    return TDW_EXIT_OK;
}
