/* SPDX-License-Identifier: MIT */
/*
 * What is to happen some day (tdw_eventually), or never (tdw_never), and what some run should have
 * come to (tdw_reached, tdw_sometimes).
 *
 * Expectations of a run are asked between any two of its items, so they see each state that the
 * program's other parts can see; they must only look. A real loop has no such moments: there they
 * are asked once a millisecond, by the task that waits for the deadline.
 *
 * Goals are in a section of the program, one entry for each place in the source, so that those that
 * are never executed are known, too. Each worker counts in its part of a shared mapping.
 */
#include <sim/explore/promises.h>
#include <stdlib.h>
#include <string.h>

/* ── Expectations ──────────────────────────────────────────────────────────────────────────── */

enum { POLL_NS = 1000000 };

struct tdw_expected {
    struct tdw_expected *next;
    const struct tdw_site *site;
    const char *what;
    bool (*holds)(void *arg);
    void *arg;
    uint64_t until_ns; /* UINT64_MAX: never */
    bool done;
    struct tdw_task *task; /* who said so */
};

void tdw__expected_free(struct tdw_promises *promises)
{
    while (promises->expected) {
        struct tdw_expected *expected = promises->expected;

        promises->expected = expected->next;
        free(expected);
    }
}

static bool is_never(const struct tdw_expected *expected)
{
    return expected->until_ns == UINT64_MAX;
}

static void ask(struct tdw_loop *loop, struct tdw_expected *expected)
{
    if (expected->done || !expected->holds(expected->arg))
        return;
    expected->done = true;
    if (!is_never(expected))
        return;
    tdw__finding(loop, NULL, expected->site, "it was never to happen: %s", expected->what);
    loop->stop = true;
}

static void ask_all(struct tdw_loop *loop)
{
    struct tdw_expected *expected = loop->promises ? loop->promises->expected : NULL;

    for (; expected && !loop->stop; expected = expected->next)
        ask(loop, expected);
}

static struct tdw_expected *expect(const struct tdw_site *site, const char *what,
                                   bool (*holds)(void *arg), void *arg, uint64_t until_ns)
{
    struct tdw_loop *loop = tdw_loop();
    struct tdw_promises *promises = tdw__promises(loop);
    struct tdw_expected *expected = promises ? calloc(1, sizeof *expected) : NULL;

    if (!expected) {
        tdw__finding(loop, tdw_self(), site, "no memory for what is expected");
        loop->stop = true;
        return NULL;
    }
    *expected = (struct tdw_expected){.next = promises->expected,
                                      .site = site,
                                      .what = what,
                                      .holds = holds,
                                      .arg = arg,
                                      .until_ns = until_ns};
    promises->expected = expected;
    loop->between = ask_all;
    return expected;
}

/* The task that waits for a deadline; its op is the process's memory. */
struct deadline {
    struct tdw_op op;
    struct tdw_expected *expected;
};

static void wait_on(struct deadline *deadline);

static void waited(struct tdw_op *op)
{
    struct deadline *deadline = tdw_of(op, struct deadline, op);
    struct tdw_expected *expected = deadline->expected;
    struct tdw_loop *loop = tdw_loop();
    const bool ends = op->res == -ECANCELED;

    ask(loop, expected);
    if (expected->done && !is_never(expected))
        return;
    if (!ends && tdw_now() < expected->until_ns) {
        wait_on(deadline);
        return;
    }
    if (is_never(expected))
        return;
    tdw__finding(loop, NULL, expected->site, "it did not come about %s: %s",
                 ends ? "before the run ended" : "in time", expected->what);
    loop->stop = true;
}

static void wait_on(struct deadline *deadline)
{
    const bool polls = !tdw_loop()->backend->idle; /* nobody asks between items */
    const uint64_t left = deadline->expected->until_ns - tdw_now();

    TDW_ON(&deadline->op, waited, sleep, polls && left > POLL_NS ? (uint64_t)POLL_NS : left);
}

static void begin(void *arg)
{
    struct deadline *deadline = tdw_malloc(sizeof *deadline);

    if (!deadline)
        return;
    deadline->expected = arg;
    wait_on(deadline);
}

void tdw__never(const struct tdw_site *site, const char *what, bool (*happens)(void *arg),
                void *arg)
{
    struct tdw_expected *expected = expect(site, what, happens, arg, UINT64_MAX);

    if (expected && !tdw_loop()->backend->idle)
        tdw_daemon(tdw_spawn_callback("never", begin, expected));
}

void tdw__eventually(const struct tdw_site *site, const char *what, bool (*comes)(void *arg),
                     void *arg, uint64_t within_ns)
{
    struct tdw_expected *expected = expect(site, what, comes, arg, tdw_now() + within_ns);

    if (expected)
        tdw_daemon(tdw_spawn_callback("eventually", begin, expected));
}

/* ── Goals ─────────────────────────────────────────────────────────────────────────────────── */

static struct { /* of the program: said once, before anything runs */
    const struct tdw_goal *const *begin;
    size_t count;
    uint64_t *reached; /* this worker's; NULL: nobody counts */
} goals;

void tdw__goals(const struct tdw_goal *const *begin, const struct tdw_goal *const *end)
{
    goals.begin = begin;
    goals.count = (size_t)(end - begin);
}

size_t tdw__goals_count(void)
{
    return goals.count;
}

void tdw__goals_into(uint64_t *counts)
{
    goals.reached = counts;
}

/* A goal in a function that is inline has an entry in each file that has the function. */
size_t tdw__goal_first(size_t index)
{
    const struct tdw_goal *goal = goals.begin[index];
    size_t i = 0;

    while (goals.begin[i]->line != goal->line || strcmp(goals.begin[i]->file, goal->file) != 0)
        i++;
    return i;
}

const struct tdw_goal *tdw__goal(size_t index)
{
    return goals.begin[index];
}

void tdw__goal_reached(const struct tdw_goal *const *entry)
{
    if (goals.reached && entry >= goals.begin && entry < goals.begin + goals.count)
        goals.reached[entry - goals.begin]++;
}
