/* SPDX-License-Identifier: MIT */
/*
 * Tasks: spawned, started, settled after each step, ended, freed.
 *
 * A task's start is an op of its own (START), submitted on its behalf: so a new task is ordered,
 * traced and counted like anything else. After each step `settle` asks whether the task is over: a
 * coroutine when its function returned, a callback task when nothing of it is in flight.
 *
 * Memory: an ended task is kept while a child of it is alive, and until it was joined, detached, or
 * its parent ended. So a path can always be told, and a parent can always join.
 */
#include <runtime/event.h>
#include <stdio.h>
#include <string.h>

static bool counts_as_alive(const struct tdw_task *task)
{
    return !(task->bits & (TDW_TASK_ENDED | TDW_TASK_DAEMON));
}

struct tdw_task *tdw__task_new(struct tdw_ring *ring, struct tdw_task *parent, enum tdw_model model,
                               const char *name, const struct tdw_site *site)
{
    struct tdw_loop *loop = ring->loop;
    const uint64_t up = parent ? parent->actor : 0;
    struct tdw_task *task = tdw__memory_get(loop->memory, sizeof *task);
    uint64_t key;

    if (!task)
        return NULL;
    task->name = tdw__intern(loop, name);
    if (!task->name) {
        tdw__memory_put(loop->memory, task, sizeof *task);
        return NULL;
    }
    key = tdw__mix(up, tdw__hash_text(name));
    task->index = tdw__count(loop, key);
    task->actor = tdw__mix(key, task->index);
    task->ring = ring;
    task->model = (uint8_t)model;
    task->site = site;
    task->parent = parent;
    if (parent)
        parent->children++;
    task->next = ring->tasks;
    if (ring->tasks)
        ring->tasks->prev = task;
    ring->tasks = task;
    loop->tasks_alive++;
    ring->tasks_running++;
    return task;
}

static void task_free(struct tdw_task *task)
{
    struct tdw_ring *ring = task->ring;

    if (task->next)
        task->next->prev = task->prev;
    if (task->prev)
        task->prev->next = task->next;
    else
        ring->tasks = task->next;
    if (ring->loop->last == task)
        ring->loop->last = NULL;
    if (ring->root == task)
        ring->root = NULL;
    tdw__memory_put(ring->loop->memory, task, sizeof *task);
}

/* Free `task`, and then its ancestors, as far as nobody needs them any more. */
static void release(struct tdw_task *task)
{
    while (task && (task->bits & TDW_TASK_ENDED) && (task->bits & TDW_TASK_DETACHED) &&
           task->children == 0 && task->inflight == 0) {
        struct tdw_task *parent = task->parent;

        task_free(task);
        if (parent)
            parent->children--;
        task = parent;
    }
}

static void show_spawn(struct tdw_task *task)
{
    struct tdw_loop *loop = task->ring->loop;
    char path[512];

    path[0] = '\0';
    if (loop->taps)
        tdw_task_path(task, path, sizeof path);
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_SPAWN,
                         .actor = task->actor,
                         .data = task->parent ? task->parent->actor : 0,
                         .site = task->site,
                         .name = path,
                     });
}

int tdw__task_start(struct tdw_task *task, const struct tdw_site *site)
{
    static tdw_done_fn *const start[] = {
        [TDW_CALLBACK] = tdw__callback_start,
        [TDW_STACKLESS] = tdw__stackless_start,
        [TDW_STACKFUL] = tdw__stackful_start,
    };
    struct tdw_task *self = tdw__self;
    struct tdw_op *chain = task->ring->chain;
    int ret;

    show_spawn(task);
    tdw__prep(&task->op, TDW_OP_START, -1, NULL, 0, 0, 0);
    task->op.done = start[task->model];
    tdw__self = task;
    task->ring->chain = NULL;
    ret = tdw__submit(&task->op, site);
    task->ring->chain = chain;
    tdw__self = self;
    return ret;
}

static struct tdw_stack *stack_for(struct tdw_loop *loop)
{
    if (!loop->stacks)
        loop->stacks = tdw__stacks_new(loop->stack_bytes);
    return loop->stacks ? tdw__stack_get(loop->stacks) : NULL;
}

struct tdw_task *tdw__spawn(enum tdw_model model, const char *name, void (*entry)(void *),
                            void *arg, const struct tdw_site *site)
{
    struct tdw_ring *ring = tdw__self->ring;
    struct tdw_stack *stack = NULL;
    struct tdw_task *task;

    if (ring->inflight == ring->ops_max) { /* the start would be refused: check, then change */
        errno = EAGAIN;
        return NULL;
    }
    if (model == TDW_STACKFUL) {
        stack = stack_for(ring->loop);
        if (!stack) {
            errno = ENOMEM;
            return NULL;
        }
    }
    task = tdw__task_new(ring, tdw__self, model, name, site);
    if (!task) {
        if (stack)
            tdw__stack_put(ring->loop->stacks, stack);
        errno = ENOMEM;
        return NULL;
    }
    task->entry = entry;
    task->arg = arg;
    task->stack = stack;
    tdw__task_start(task, site);
    return task;
}

/* ── Ends ──────────────────────────────────────────────────────────────────────────────────── */

static void detach(struct tdw_task *task)
{
    if (task->bits & TDW_TASK_DETACHED)
        return;
    task->bits |= TDW_TASK_DETACHED;
    if ((task->bits & TDW_TASK_ENDED) && task->parent)
        task->parent->zombies--;
}

/* Nobody is left to join the ended children of `task`. */
static void detach_zombies(struct tdw_task *task)
{
    struct tdw_task *next;

    for (struct tdw_task *child = task->ring->tasks; child && task->zombies; child = next) {
        next = child->next;
        if (child->parent == task && (child->bits & TDW_TASK_ENDED) &&
            !(child->bits & TDW_TASK_DETACHED)) {
            detach(child);
            release(child);
        }
    }
}

static void end(struct tdw_task *task)
{
    struct tdw_loop *loop = task->ring->loop;

    if (counts_as_alive(task))
        loop->tasks_alive--;
    task->bits |= TDW_TASK_ENDED;
    task->ring->tasks_running--;
    if (task->model != TDW_CALLBACK && task->inflight > 0)
        tdw__finding(loop, task, task->site, "task ended with %u op%s in flight", task->inflight,
                     task->inflight == 1 ? "" : "s");
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_END,
                         .actor = task->actor,
                         .off = (uint64_t)task->result,
                     });
    if (task->parent && !(task->bits & TDW_TASK_DETACHED))
        task->parent->zombies++;
    task->children++; /* it must not be freed with the last of its children: settle does that */
    if (task->zombies)
        detach_zombies(task);
    task->children--;
    if (!task->parent || (task->parent->bits & TDW_TASK_ENDED) || task->joiners)
        detach(task);
    tdw__joiners_wake(task);
}

static bool is_over(const struct tdw_task *task)
{
    switch ((enum tdw_model)task->model) {
    case TDW_CALLBACK:
        return task->inflight == 0;
    case TDW_STACKLESS:
    case TDW_STACKFUL:
        return task->where == NULL;
    }
    return false;
}

/* A step of it has returned: is it over? */
static void settle(struct tdw_task *task)
{
    if (!(task->bits & TDW_TASK_ENDED))
        end(task);
    if (task->inflight == 0) {
        if (task->model == TDW_STACKFUL)
            tdw__stackful_drop(task);
        release(task);
    }
}

void tdw__task_settle(struct tdw_task *task)
{
    struct tdw_ring *ring = task->ring;

    if (TDW_UNLIKELY(is_over(task)))
        settle(task);
    else if (TDW_LIKELY(!ring->ending))
        return;
    if (ring->ending || (ring->tasks_running == 0 && ring->ends))
        ring->loop->backend->ended(ring);
}

void tdw__ring_drop_tasks(struct tdw_ring *ring)
{
    struct tdw_task *next;

    for (struct tdw_task *task = ring->tasks; task; task = next) {
        next = task->next;
        if (counts_as_alive(task))
            ring->loop->tasks_alive--;
        if (task->model == TDW_STACKFUL)
            tdw__stackful_drop(task);
        else if (task->model == TDW_STACKLESS)
            tdw__stackless_drop(task);
        if (ring->loop->last == task)
            ring->loop->last = NULL;
        tdw__memory_put(ring->loop->memory, task, sizeof *task);
    }
    ring->tasks = ring->root = NULL;
}

/* ── Public ────────────────────────────────────────────────────────────────────────────────── */

void tdw_set_result(int64_t result)
{
    tdw__self->result = result;
}

void tdw_daemon(struct tdw_task *task)
{
    if (counts_as_alive(task))
        task->ring->loop->tasks_alive--;
    task->bits |= TDW_TASK_DAEMON;
}

void tdw_detach(struct tdw_task *task)
{
    detach(task);
    release(task);
}

void tdw_stop(struct tdw_task *task)
{
    struct tdw_ring *ring = task->ring;

    if (task->bits & (TDW_TASK_ENDED | TDW_TASK_STOPPING))
        return;
    task->bits |= TDW_TASK_STOPPING;
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (op && op->task == task && op->sqe.opcode != TDW_OP_START)
            tdw__cancel(op, -ECANCELED, NULL);
    }
}

/* Write `text` behind what is there; *at goes on counting past the end. */
static void append(char *to, size_t bytes, size_t *at, const char *text)
{
    for (; *text; text++, (*at)++)
        if (*at + 1 < bytes)
            to[*at] = *text;
}

static void append_path(const struct tdw_task *task, char *to, size_t bytes, size_t *at)
{
    char index[16];

    if (task->bits & TDW_TASK_ROOT) {
        append(to, bytes, at, task->ring->path);
        return;
    }
    if (task->parent) {
        append_path(task->parent, to, bytes, at);
        append(to, bytes, at, "/");
    }
    snprintf(index, sizeof index, "#%u", task->index);
    append(to, bytes, at, task->name);
    append(to, bytes, at, index);
}

size_t tdw_task_path(const struct tdw_task *task, char *text, size_t bytes)
{
    size_t at = 0;

    append_path(task, text, bytes, &at);
    if (bytes > 0)
        text[at < bytes ? at : bytes - 1] = '\0';
    return at;
}

const char *tdw__model_name(enum tdw_model model)
{
    switch (model) {
    case TDW_CALLBACK:
        return "callback";
    case TDW_STACKLESS:
        return "stackless";
    case TDW_STACKFUL:
        return "stackful";
    }
    return "?";
}
