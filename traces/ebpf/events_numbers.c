/* SPDX-License-Identifier: MIT */
/*
 * Numbers of system calls: their names, and what the kernel side does for each.
 *
 * The names are those of the machine that this is built for, from the kernel's header, by the
 * Makefile. What is done for a call follows from the letters of the replay table: descriptors are
 * looked up when a call begins; what pointers lead to is copied when it ends, but for what the call
 * changes (offsets, sets of select) or outlives (the program of an exec), which is copied before.
 *
 * Called by the recorder and by the importer of its events.
 */
#include "events_import.h"
#include <string.h>
#include <syscall_numbers.h>

#define NAME(name, number) [number] = #name,
static const char *const names[TDW__EV_NRS] = {TDW__SYSCALL_NUMBERS(NAME)};
#undef NAME

const char *tdw__event_name(unsigned nr)
{
    return nr < TDW__EV_NRS ? names[nr] : NULL;
}

/* Does the kernel change or leave what this argument points to? */
static bool is_before(const struct tdw__syscall *syscall, char letter)
{
    const bool selects = strchr(syscall->shape, 'r') != NULL;

    return letter == 'o' || (selects && strchr("rwcT", letter)) ||
           (letter == 'p' && syscall->track == TDW__T_EXEC);
}

static void letter_plan(struct tdw__event_plan *plan, const struct tdw__syscall *syscall,
                        unsigned i)
{
    const char letter = syscall->shape[i];
    const bool before = is_before(syscall, letter);

    if (strchr("njux", letter))
        return;
    plan->letter[i] = (uint8_t)letter;
    if (letter == 'f' || letter == 'd') {
        plan->bits |= TDW__PLAN_WORDS;
        if ((plan->words & 15) == 0)
            plan->words = (uint8_t)(i + 1);
        else if (plan->words >> 4 == 0)
            plan->words |= (uint8_t)((i + 1) << 4);
    } else if (before && letter != 'r' && letter != 'w' && letter != 'c')
        plan->bits |= TDW__PLAN_BEFORE;
    else if (before)
        plan->bits |= TDW__PLAN_BEFORE | TDW__PLAN_FIELDS;
    else
        plan->bits |= TDW__PLAN_FIELDS;
}

void tdw__event_plan(unsigned nr, struct tdw__event_plan *plan)
{
    const char *const name = tdw__event_name(nr);
    const struct tdw__syscall *const syscall =
        tdw__syscall(name ? name : "", name ? strlen(name) : 0);

    *plan = (struct tdw__event_plan){0};
    for (unsigned i = 0; i < 6 && syscall->shape[i]; i++)
        letter_plan(plan, syscall, i);
    if (syscall->track == TDW__T_OPEN || syscall->track == TDW__T_NEW_FD ||
        syscall->track == TDW__T_DUP)
        plan->bits |= TDW__PLAN_RESULT;
    if (syscall->track == TDW__T_FCNTL)
        plan->bits |= TDW__PLAN_FCNTL;
    if (name && !strcmp(name, "clone3")) {
        plan->letter[0] = TDW__EV_CLONE3;
        plan->bits |= TDW__PLAN_FIELDS;
    }
}
