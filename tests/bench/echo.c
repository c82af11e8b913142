/* SPDX-License-Identifier: MIT */
/*
 * Echo servers on the real kernel: ours, on io_uring and on epoll in each model, and their peers.
 *
 * Every server is a program (peers/) with a client of its own, all of them alive at once and their
 * connections open; a round lets each of them work for a moment, in an order that turns from round
 * to round, while the others sleep. Servers are on the first CPU, clients on the second. With one
 * connection the two take turns, and on a virtual machine the interrupt that wakes the other CPU
 * may cost several times what it is sent for: so that is done on one CPU as well (1_one_cpu). Told
 * are the server's processor time for a message, user and system, and messages a second; both from
 * the first send to the last answer, so that nothing of a server's start or end is in them. Many
 * short rounds tell more than a few long ones: what else the machine does changes from second to
 * second, and then meets both of a pair.
 *
 *     echo_uring_callback_64         ns      ours against a peer; less than 1 is better
 *     echo_uring_callback_64_rate    1/s     more than 1 is better
 *
 * and each peer against the raw one, which has nothing between itself and the kernel. A program
 * that is not there or fails is told and left out. BENCH_ROUNDS and BENCH_MS set how many rounds
 * there are and how long a server works in each, BENCH_CONNECTIONS the one count to do.
 */
#include "bench.h"
#include "program.h"
#include <string.h>

enum { ROUNDS = 105, ROUND_MS = 40, ENTRIES_MAX = 8, OURS = 3, RIVALS = 3 };

struct entry {
    const char *name;
    const char *argv[4];
    struct program server, load;
    double cpu[BENCH_ROUNDS_MAX], rate[BENCH_ROUNDS_MAX];
};

struct group {
    const char *name;
    uint32_t count;
    struct entry entries[ENTRIES_MAX]; /* ours, their rivals (the raw one first), more peers */
};

/* How many connections, and where the client runs. */
struct setting {
    const char *name;
    uint32_t connections;
    int load_cpu;
};

/* ── One server and its client ─────────────────────────────────────────────────────────────── */

static void leave(struct entry *e)
{
    program_stop(&e->load);
    program_stop(&e->server);
}

static bool enter(struct entry *e, const struct setting *setting)
{
    char port[32], ready[32], connections[16];
    const char *const load[] = {"build/bench-load", port, connections, NULL};

    snprintf(connections, sizeof connections, "%u", setting->connections);
    if (program_start(&e->server, 0, e->argv) && program_line(&e->server, port, sizeof port) &&
        program_start(&e->load, setting->load_cpu, load) &&
        program_line(&e->load, ready, sizeof ready))
        return true;
    leave(e);
    return false;
}

static bool measure(struct entry *e, uint32_t round, uint32_t ms)
{
    const double before = program_cpu_ns(&e->server);
    uint64_t answer[2]; /* messages, ns */

    if (!program_ask(&e->load, ms, answer))
        return false;
    e->cpu[round] = (program_cpu_ns(&e->server) - before) / (double)answer[0];
    e->rate[round] = (double)answer[0] * 1e9 / (double)answer[1];
    return true;
}

/* ── A group ───────────────────────────────────────────────────────────────────────────────── */

static void run_rounds(struct group *group, uint32_t rounds, uint32_t ms)
{
    for (uint32_t round = 0; round < rounds + 1; round++)
        for (uint32_t i = 0; i < group->count; i++) {
            struct entry *e = &group->entries[(i + round) % group->count];

            /* The first round warms up; its figures are overwritten. */
            if (e->server.pid && !measure(e, round > 0 ? round - 1 : 0, ms)) {
                printf("%s: %s stopped answering\n", group->name, e->name);
                leave(e);
            }
        }
}

static void tell(FILE *out, const struct group *group, const struct entry *e,
                 const struct entry *reference, const struct setting *setting, uint32_t rounds)
{
    char name[64];

    snprintf(name, sizeof name, "%s_%s_%s", group->name, e->name, setting->name);
    bench_paired(out, name, "ns", e->cpu, reference->name, reference->cpu, rounds);
    snprintf(name, sizeof name, "%s_%s_%s_rate", group->name, e->name, setting->name);
    bench_paired(out, name, "1/s", e->rate, reference->name, reference->rate, rounds);
}

static void run_group(FILE *out, struct group *group, const struct setting *setting)
{
    const uint32_t rounds = program_setting("BENCH_ROUNDS", ROUNDS, BENCH_ROUNDS_MAX);

    for (uint32_t i = 0; i < group->count; i++)
        if (!enter(&group->entries[i], setting))
            printf("%s: no %s\n", group->name, group->entries[i].name);
    run_rounds(group, rounds, program_setting("BENCH_MS", ROUND_MS, 60000));
    for (uint32_t i = 0; i < group->count; i++)
        for (uint32_t j = OURS; j < OURS + RIVALS; j++) {
            const struct entry *e = &group->entries[i], *reference = &group->entries[j];
            const bool wanted = i < OURS || (j == OURS && i > OURS);

            if (wanted && e->server.pid && reference->server.pid)
                tell(out, group, e, reference, setting, rounds);
        }
    for (uint32_t i = 0; i < group->count; i++)
        leave(&group->entries[i]);
}

static void run_all(FILE *out, struct group *group)
{
    static const struct setting settings[] = {
        {"1", 1, 1}, {"1_one_cpu", 1, 0}, {"64", 64, 1}, {"1000", 1000, 1}};
    const uint32_t only = program_setting("BENCH_CONNECTIONS", 0, 1000);

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (only == 0 || only == settings[i].connections)
            run_group(out, group, &settings[i]);
}

#define OUR(backend, model)                                                                        \
    {                                                                                              \
        .name = #model, .argv = { "build/bench-echo_tidewheel", backend, #model }                  \
    }
#define PEER(label, program, ...)                                                                  \
    {                                                                                              \
        .name = label, .argv = { "build/bench-echo_" program, ##__VA_ARGS__ }                      \
    }

void bench_echo_uring(FILE *out)
{
    static struct group group = {
        "echo_uring",
        8,
        {OUR("uring", callback), OUR("uring", stackless), OUR("uring", stackful),
         PEER("liburing", "liburing"), PEER("libuv", "libuv"), PEER("libevent", "libevent"),
         PEER("liburing_fixed", "liburing", "fixed"), PEER("multishot", "multishot")},
    };

    run_all(out, &group);
}

void bench_echo_epoll(FILE *out)
{
    static struct group group = {
        "echo_epoll",
        6,
        {OUR("epoll", callback), OUR("epoll", stackless), OUR("epoll", stackful),
         PEER("epoll", "epoll"), PEER("libuv", "libuv"), PEER("libevent", "libevent")},
    };

    run_all(out, &group);
}
