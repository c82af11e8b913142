/* SPDX-License-Identifier: MIT */
/*
 * The life of descriptors that threads share: edges between the calls of different threads that
 * make, use and close one descriptor number of a process.
 *
 *     use     after the call that made it (or, for a number that was used wrongly, closed it)
 *     close   after the last use that was over by then
 *     make    after the close that gave the number back
 *
 * A number is given out again at once, so without the last one a thread that is ahead of another
 * would put its connection where the other still closes a file. Calls of one thread are in order
 * anyway, and so is what a process inherits. Called by replay_plan.c for every step, in the file's
 * order; cost: a look-up or two, and only where threads share.
 */
#include <string.h>
#include <traces/replay_plan.h>

/* Does another thread of the process make calls too? */
static bool is_shared(const struct plan *plan, const struct replay_step *s)
{
    const struct tdw_trace_thread *threads = plan->program->threads;

    for (uint32_t t = 0; t < plan->program->threads_count; t++)
        if (t != s->thread && threads[t].process == threads[s->thread].process)
            return true;
    return false;
}

static uint64_t key(uint32_t of, int64_t fd, uint64_t salt)
{
    const uint64_t what[2] = {of, (uint64_t)fd};

    return tdw__key(what, sizeof what, salt);
}

static bool of_others(const struct plan *plan, uint32_t at, uint32_t other)
{
    return other != REPLAY_NONE &&
           plan->program->steps[other].thread != plan->program->steps[at].thread;
}

static void used(struct plan *plan, uint32_t at, int64_t fd)
{
    const struct replay_step *steps = plan->program->steps, *s = &steps[at];
    const uint32_t process = tdw__plan_process(plan, s);
    const uint32_t change = tdw__plan_get(&plan->fd_changed, key(process, fd, 30));
    const uint64_t known = key(s->thread, fd, 32);

    if (of_others(plan, at, change) && steps[change].end_ns <= s->end_ns &&
        tdw__plan_get(&plan->fd_known, known) != change) {
        tdw__plan_edge(plan, at, change);
        tdw__plan_put(plan, &plan->fd_known, known, change);
    }
    tdw__plan_put(plan, &plan->fd_used, key(process, fd, 31), at);
}

static void closed(struct plan *plan, uint32_t at, int64_t fd, uint32_t user)
{
    const struct replay_step *steps = plan->program->steps;
    const uint32_t process = tdw__plan_process(plan, &steps[at]);

    if (of_others(plan, at, user) && steps[user].end_ns <= steps[at].start_ns)
        tdw__plan_edge(plan, at, user);
    tdw__plan_put(plan, &plan->fd_changed, key(process, fd, 30), at);
}

static void made(struct plan *plan, uint32_t at, int64_t fd)
{
    const struct replay_step *steps = plan->program->steps;
    const uint64_t where = key(tdw__plan_process(plan, &steps[at]), fd, 30);
    const uint32_t change = tdw__plan_get(&plan->fd_changed, where);

    if (of_others(plan, at, change) && steps[change].start_ns <= steps[at].end_ns)
        tdw__plan_edge(plan, at, change);
    tdw__plan_put(plan, &plan->fd_changed, where, at);
}

void tdw__plan_life(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];
    const struct tdw_call_item *items = plan->program->items + s->first_item;
    const bool makes_two = s->row == TDW_ROW_FDS, passes = strcmp(s->name, "recvmsg") == 0;
    uint32_t user;

    if (s->bits & TDW_CALL_NO_RESULT || !is_shared(plan, s))
        return;
    user = tdw__plan_get(&plan->fd_used, key(tdw__plan_process(plan, s), s->arg[0], 31));
    if (s->fd_path)
        used(plan, at, s->arg[0]);
    if (strcmp(s->name, "epoll_ctl") == 0)
        used(plan, at, s->arg[2]);
    if (s->result < 0)
        return;
    if (strcmp(s->name, "close") == 0)
        closed(plan, at, s->arg[0], user);
    if (s->result_path)
        made(plan, at, s->result);
    for (uint32_t i = 0; i < s->items; i++)
        if (makes_two || (passes && items[i].b == 1))
            made(plan, at, items[i].a);
}
