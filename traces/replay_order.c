/* SPDX-License-Identifier: MIT */
/*
 * The order that the outside keeps: edges that only a replay needs, and who releases what.
 *
 *     accepts at one listening socket   in the order in which they ended, whichever process made
 *                                       them; a connection is made when the accepts before its own
 *                                       are over, so the process that accepted it does so again
 *     connects to one address outside   in their order (replay_plan.c)
 *     names made at the same time       who found one comes after who made it
 *     the end of a process              after what its other threads had done by then
 *
 * None of these can wait in a circle: whatever comes after something here also ended after it in
 * the recording. Called by replay_plan.c, once for a file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <traces/replay_plan.h>

void tdw__plan_edge(struct plan *plan, uint32_t step, uint32_t after)
{
    if (plan->error || plan->program->steps[step].thread == plan->program->steps[after].thread)
        return;
    plan->error = tdw__grow(&plan->extra, &plan->extra_max, plan->extra_count, sizeof *plan->extra);
    if (!plan->error)
        plan->extra[plan->extra_count++] = (struct tdw__ref){.call = step, .ordinal = after};
}

void tdw__plan_exit(struct plan *plan, uint32_t at)
{
    const struct replay_program *program = plan->program;

    for (uint32_t t = 0; t < program->threads_count; t++)
        if (program->threads[t].process == tdw__plan_process(plan, &program->steps[at]) &&
            plan->last_of[t])
            tdw__plan_edge(plan, at, plan->last_of[t] - 1);
}

void tdw__plan_name(struct plan *plan, uint32_t at)
{
    const struct replay_step *steps = plan->program->steps, *s = &steps[at];
    const char *const path = s->path[1] ? s->path[1] : s->path[0];
    const uint64_t key = path ? tdw__key(path, strlen(path), 50) : 0;
    uint32_t other;

    if (s->row != TDW_ROW_NAMES || !path)
        return;
    if (s->result == 0) {
        other = tdw__plan_get(&plan->name_found, key);
        if (other != REPLAY_NONE && steps[other].end_ns > s->start_ns)
            tdw__plan_edge(plan, other, at);
        tdw__plan_put(plan, &plan->name_made, key, at);
    } else if (s->result == -EEXIST) {
        other = tdw__plan_get(&plan->name_made, key);
        if (other != REPLAY_NONE && steps[other].end_ns > s->start_ns)
            tdw__plan_edge(plan, at, other);
        tdw__plan_put(plan, &plan->name_found, key, at);
    }
}

static int by_listener(const void *a, const void *b)
{
    const struct accepted *x = a, *y = b;

    if (x->listener != y->listener)
        return x->listener < y->listener ? -1 : 1;
    if (x->end_ns != y->end_ns)
        return x->end_ns < y->end_ns ? -1 : 1;
    return x->step < y->step ? -1 : x->step > y->step;
}

/* Accepts at one socket come one after the other, and so do the connections that they take. A wait
 * may release a connection only if the accepts before it were over when that wait ended; else
 * whoever they depend on might depend on what comes after the wait. */
static void order_accepts(struct plan *plan)
{
    struct replay_program *program = plan->program;
    uint32_t *segment_of = calloc(program->steps_count + 1, sizeof *segment_of);

    if (!segment_of) {
        plan->error = -ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < program->segments_count; i++)
        if (program->segments[i].act == REPLAY_CONNECT)
            segment_of[program->segments[i].taker] = i + 1;
    if (plan->accepted_count)
        qsort(plan->accepted, plan->accepted_count, sizeof *plan->accepted, by_listener);
    for (size_t i = 1; i < plan->accepted_count; i++) {
        const struct accepted *before = &plan->accepted[i - 1], *own = &plan->accepted[i];
        struct replay_segment *segment =
            segment_of[own->step] ? &program->segments[segment_of[own->step] - 1] : NULL;

        if (before->listener != own->listener)
            continue;
        tdw__plan_edge(plan, own->step, before->step);
        if (!segment || segment->consumer == own->step)
            continue;
        if (before->end_ns <= program->steps[segment->consumer].end_ns)
            tdw__plan_edge(plan, segment->consumer, before->step);
        else
            segment->consumer = own->step;
    }
    free(segment_of);
}

/* What peers alone feed: reads of their connections; accepts of sockets that nobody in the
 * recording connected to. */
static void mark_fed(struct plan *plan)
{
    struct replay_program *program = plan->program;
    struct tdw__map inside = {0};

    for (size_t i = 0; i < plan->connections_count; i++)
        if (plan->connections[i].listener && program->peers[plan->connections[i].peer].inside)
            tdw__plan_put(plan, &inside, plan->connections[i].listener, 1);
    for (size_t i = 0; i < plan->accepted_count; i++)
        program->steps[plan->accepted[i].step].fed =
            tdw__plan_get(&inside, plan->accepted[i].listener) == REPLAY_NONE;
    for (size_t i = 0; i < program->steps_count; i++) {
        const uint32_t c = plan->connection_of[i];

        if (c && program->steps[i].row != TDW_ROW_SOCKET)
            program->steps[i].fed = !program->peers[plan->connections[c - 1].peer].inside;
    }
    tdw__map_fini(&inside);
}

/* Each consumer gets the list of its segments, in their order. */
static void list_by_consumer(struct replay_program *program)
{
    for (size_t i = program->segments_count; i-- > 0;) {
        struct replay_segment *segment = &program->segments[i];
        struct replay_step *consumer = &program->steps[segment->consumer];

        if (program->peers[segment->peer].inside)
            continue;
        segment->next_of_consumer = consumer->segment;
        consumer->segment = (uint32_t)i;
    }
}

static int by_step(const void *a, const void *b)
{
    const struct tdw__ref *x = a, *y = b;

    if (x->call != y->call)
        return x->call < y->call ? -1 : 1;
    return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* The edges of a step stand together: they are written down anew. */
static void merge_edges(struct plan *plan)
{
    struct replay_program *program = plan->program;
    const size_t count = program->edges_count + plan->extra_count;
    struct tdw_edge *edges = plan->extra_count ? malloc(count * sizeof *edges) : NULL;
    size_t at = 0, next = 0;

    if (!edges) {
        plan->error = plan->extra_count ? -ENOMEM : plan->error;
        return;
    }
    qsort(plan->extra, plan->extra_count, sizeof *plan->extra, by_step);
    for (size_t i = 0; i < program->steps_count; i++) {
        struct replay_step *s = &program->steps[i];
        const size_t first = at;

        if (s->edges)
            memcpy(&edges[at], &program->edges[s->first_edge], s->edges * sizeof *edges);
        at += s->edges;
        for (; next < plan->extra_count && plan->extra[next].call == i; next++)
            edges[at++] =
                (struct tdw_edge){.call = plan->extra[next].ordinal,
                                  .thread = program->steps[plan->extra[next].ordinal].thread,
                                  .kind = TDW_EDGE_ORDER};
        s->first_edge = (uint32_t)first;
        s->edges = (uint32_t)(at - first);
    }
    free(program->edges);
    program->edges = edges;
    program->edges_count = program->edges_max = at;
}

void tdw__plan_order(struct plan *plan)
{
    order_accepts(plan);
    if (!plan->error)
        mark_fed(plan);
    if (!plan->error)
        merge_edges(plan);
    if (!plan->error)
        list_by_consumer(plan->program);
}
