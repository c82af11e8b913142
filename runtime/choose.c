/* SPDX-License-Identifier: MIT */
/*
 * The program's own choices, and the words for the kinds of choice.
 *
 * The runtime and the kernel ask through tdw__choose (runtime.h) with keys at hand; here a key is
 * made from the running task, the point's name, and how often the task was at that point before.
 */
#include <runtime/mix.h>
#include <runtime/runtime.h>

static uint32_t ask(uint64_t point, uint32_t bound)
{
    struct tdw_task *task = tdw__self;
    struct tdw_loop *loop = task->ring->loop;
    const uint64_t key = tdw__mix(task->actor ^ TDW_CHOOSE_APP, point);

    return tdw__choose(loop, &(struct tdw_choice){
                                 .kind = TDW_CHOOSE_APP,
                                 .ordinal = tdw__count(loop, key),
                                 .bound = bound,
                                 .actor = task->actor,
                                 .point = point,
                             });
}

uint32_t tdw_choose(const char *point, uint32_t bound)
{
    return bound < 2 ? 0 : ask(tdw__hash_text(point), bound);
}

uint64_t tdw_random(const char *point)
{
    const uint64_t hash = tdw__hash_text(point);
    const uint64_t high = ask(hash, UINT32_MAX);

    return high << 32 | ask(hash, UINT32_MAX);
}

const char *tdw_choice_name(uint8_t kind)
{
    static const char *const names[TDW_CHOOSE_KINDS] = {
        [TDW_CHOOSE_NEXT] = "next",       [TDW_CHOOSE_EFFECT] = "effect",
        [TDW_CHOOSE_LATENCY] = "latency", [TDW_CHOOSE_FAULT] = "fault",
        [TDW_CHOOSE_COUNT] = "count",     [TDW_CHOOSE_WAITER] = "waiter",
        [TDW_CHOOSE_PACKET] = "packet",   [TDW_CHOOSE_CRASH] = "crash",
        [TDW_CHOOSE_APP] = "app",
    };

    return kind < TDW_CHOOSE_KINDS && names[kind] ? names[kind] : "?";
}
