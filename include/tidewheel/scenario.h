/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: what a test program is made of.
 *
 *     static void agree(void *unused) { … tdw_check(n == 5, "read %d bytes", n); }
 *     TDW_SCENARIO(agreement, .stackful = agree, .doc = "readers see what writers wrote");
 *     int main(int argc, char **argv) { return tdw_main(argc, argv); }
 *
 * A scenario is one program in up to three models; the explorer runs it under many seeds, and in
 * lockstep checks that all models do the same. It runs as task "test" on host "main", and may make
 * further hosts. A run fails when a check fails, at a finding, at a deadlock or livelock, or when
 * the process dies.
 */
#ifndef TIDEWHEEL_SCENARIO_H
#define TIDEWHEEL_SCENARIO_H

#include <tidewheel/disk.h>
#include <tidewheel/promise.h>
#include <tidewheel/stackful.h>
#include <tidewheel/stackless.h>
#include <tidewheel/sys.h>
#include <tidewheel/world.h>

struct tdw_co {
    tdw_step_fn *step;
    size_t bytes;
};
/* A stackless function as a scenario: TDW_FRAME(agree, struct agree). Its frame starts zeroed. */
#define TDW_FRAME(co, type)                                                                        \
    {                                                                                              \
        .step = (co), .bytes = sizeof(type)                                                        \
    }

struct tdw_scenario {
    const char *name, *doc;
    void (*callback)(void *unused);
    struct tdw_co stackless;
    void (*stackful)(void *unused);
    size_t stack_bytes; /* of a stackful task of it; 0: TDW_STACK_BYTES */
    const char *file;   /* set by TDW_SCENARIO: scenarios are told in the order of their source */
    int line;
};

/* Scenarios are found through their section, programs through a note. */
#define TDW_SCENARIO(name_, ...)                                                                   \
    static const struct tdw_scenario tdw_scenario_##name_ = {                                      \
        .name = #name_, .file = __FILE__, .line = __LINE__, __VA_ARGS__};                          \
    __attribute__((used, section("tdw_scenarios"))) static const struct tdw_scenario               \
        *const tdw_scenario_entry_##name_ = &tdw_scenario_##name_

struct tdw__note {
    uint32_t name_bytes, desc_bytes, type;
    char name[12];
    uint32_t version;
};

/* The program: options of `tdw run` (see tdw-run(1)); the value is the exit code. */
int tdw__main(int argc, char **argv, const struct tdw_scenario *const *begin,
              const struct tdw_scenario *const *end);

#define TDW__NOTE __attribute__((used, aligned(4), section(".note.tidewheel")))
#define tdw_main(argc, argv)                                                                       \
    (__extension__({                                                                               \
        TDW__NOTE static const struct tdw__note tdw_note_ = {10, 4, 1, "tidewheel", 1};            \
        extern const struct tdw_scenario *const __start_tdw_scenarios[];                           \
        extern const struct tdw_scenario *const __stop_tdw_scenarios[];                            \
        extern const struct tdw_goal *const __start_tdw_goals[] __attribute__((weak));             \
        extern const struct tdw_goal *const __stop_tdw_goals[] __attribute__((weak));              \
        tdw__goals(__start_tdw_goals, __stop_tdw_goals);                                           \
        tdw__main((argc), (argv), __start_tdw_scenarios, __stop_tdw_scenarios);                    \
    }))

/* The run fails if `condition` is false, with the text and values behind it. The present step goes
 * on to its next wait; then the run ends. */
#define tdw_check(condition, ...)                                                                  \
    ((condition) ? (void)0 : tdw__check_failed(TDW_SITE("check"), #condition, __VA_ARGS__))
void tdw__check_failed(const struct tdw_site *site, const char *condition, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From now on, until the run ends, happens(arg) must not be true between any two steps. */
#define tdw_never(happens, arg) tdw__never(TDW_SITE("never"), #happens, (happens), (arg))
void tdw__never(const struct tdw_site *site, const char *what, bool (*happens)(void *arg),
                void *arg);

/* comes(arg) has to be true between two steps at least once from now on, within so much virtual time
 * and before the run ends: what must come about once tdw_heal has ended the faults. */
#define tdw_eventually(comes, arg, within_ns)                                                      \
    tdw__eventually(TDW_SITE("eventually"), #comes, (comes), (arg), (within_ns))
void tdw__eventually(const struct tdw_site *site, const char *what, bool (*comes)(void *arg),
                     void *arg, uint64_t within_ns);

/* This place was come to; and: with `condition` true. What no run comes to is told at the end, with
 * its place, whether it was ever executed or not. */
#define tdw_reached(name) tdw_sometimes(true, name)
#define tdw_sometimes(condition, name_)                                                            \
    do {                                                                                           \
        static const struct tdw_goal tdw_goal_ = {(name_), __FILE__, __LINE__};                    \
        __attribute__((used, section("tdw_goals"))) static const struct tdw_goal                   \
            *const tdw_goal_entry_ = &tdw_goal_;                                                   \
        if (condition)                                                                             \
            tdw__goal_reached(&tdw_goal_entry_);                                                   \
    } while (0)
struct tdw_goal {
    const char *name, *file;
    int line;
};
void tdw__goal_reached(const struct tdw_goal *const *entry);
/* The program's goals, before tdw__main. */
void tdw__goals(const struct tdw_goal *const *begin, const struct tdw_goal *const *end);

/* A line with virtual time and task, shown for failing and replayed runs. */
void tdw_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A parameter of the scenario: --param name=value if given, else a choice in [low, high], low in
 * the calm run. */
uint64_t tdw_param(const char *name, uint64_t low, uint64_t high);

#endif
