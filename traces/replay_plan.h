/* SPDX-License-Identifier: MIT */
/*
 * What is known while a replay is planned: replay_plan.c finds connections and segments,
 * replay_inside.c, replay_life.c and
 * replay_order.c the edges and lists that follow from them.
 */
#ifndef TDW_REPLAY_PLAN_H
#define TDW_REPLAY_PLAN_H

#include <traces/import.h>
#include <traces/replay.h>

struct connection {
    uint32_t peer;
    uint32_t ahead; /* bytes that were looked at and not taken */
    bool named;     /* its words name both ends */
    bool ended, reset;
    uint64_t listener; /* key of the socket that accepted it; 0: none */
};

struct accepted {
    uint64_t listener, end_ns;
    uint32_t step;
};

struct plan {
    struct replay_program *program;
    struct tdw__map by_words, by_fd; /* connections */
    struct tdw__map ends;            /* words "here>there" that occur */
    struct tdw__map told;            /* the wait that told of a descriptor */
    struct tdw__map registered;      /* descriptor of an epoll registration */
    struct tdw__map bound, bound_by; /* who binds or listens, by address; who bound a socket */
    struct tdw__map refused;         /* the last connect that an address refused */
    struct tdw__map fd_changed;      /* the call that last made or closed a descriptor */
    struct tdw__map fd_used;         /* the one that last used it */
    struct tdw__map fd_known;        /* by thread: the change that its calls are ordered after */
    struct tdw__map name_made, name_found; /* by path: who made it, who found it made */
    struct connection *connections;
    size_t connections_count, connections_max;
    struct accepted *accepted; /* or found nothing to accept */
    size_t accepted_count, accepted_max;
    uint32_t *connection_of; /* by step: connection + 1 */
    uint32_t *last_of;       /* by thread: its last step with a result, + 1 */
    uint32_t *last_connect;  /* by listener: the last step that connected there, + 1 */
    struct tdw__ref *extra;  /* edges: `call` waits for `ordinal` */
    size_t extra_count, extra_max;
    int error;
};

static inline void tdw__plan_put(struct plan *plan, struct tdw__map *map, uint64_t key,
                                 int64_t value)
{
    if (!plan->error)
        plan->error = tdw__map_put(map, key, value);
}

/* REPLAY_NONE: it is not there. */
static inline uint32_t tdw__plan_get(const struct tdw__map *map, uint64_t key)
{
    const int64_t *value = tdw__map_get(map, key);

    return value ? (uint32_t)*value : REPLAY_NONE;
}

static inline uint32_t tdw__plan_process(const struct plan *plan, const struct replay_step *s)
{
    return plan->program->threads[s->thread].process;
}

/* `step` is submitted when `after`, of another thread, has completed. */
void tdw__plan_edge(struct plan *plan, uint32_t step, uint32_t after);
/* The step binds; listens. (replay_inside.c) */
void tdw__plan_bind(struct plan *plan, uint32_t at);
void tdw__plan_listen(struct plan *plan, uint32_t at);
/* The step connects, to an address of the recording's own? It has one. */
bool tdw__plan_connects_inside(struct plan *plan, uint32_t at);
/* What step `at` does to the descriptors that it shares with other threads (replay_life.c). */
void tdw__plan_life(struct plan *plan, uint32_t at);
/* Step `at` made a name, or found it made by a call at the same time: that one comes first. */
void tdw__plan_name(struct plan *plan, uint32_t at);
/* A process ends at step `at`: after what its other threads had done by then. */
void tdw__plan_exit(struct plan *plan, uint32_t at);
/* When all steps were looked at: order what came from outside, and give every step its edges and
 * its segments. */
void tdw__plan_order(struct plan *plan);

#endif
