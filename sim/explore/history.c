/* SPDX-License-Identifier: MIT */
/*
 * Recording of histories, and the check as scenarios call it.
 *
 * An operation is an entry of an array, in the order of invocation; its handle is the index. Every
 * call that is recorded takes the next event number, and numbers alone decide what came before
 * what: at one virtual time many things happen in an order. Times and tasks are kept for people.
 *
 * Recording touches no loop, so that it is neither an event nor a choice. The arrays are the
 * history's own memory and double as they fill up; when there is no memory the history says that it
 * is not whole, and a check of it gives up.
 */
#include <sim/explore/linearize.h>
#include <assert.h>
#include <runtime/event.h>
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>

enum { TASKS_LOOKED_AT = 32 };

void tdw_history_init(struct tdw_history *history, const char *name, const struct tdw_spec *spec)
{
    const struct tdw_history old = *history;

    *history = (struct tdw_history){
        .name = name,
        .spec = spec,
        .steps_max = 4000000,
        .bytes_max = (size_t)256 << 20,
        .ops = old.ops,
        .ops_room = old.ops_room,
        .crashes = old.crashes,
        .crashes_room = old.crashes_room,
        .tasks = old.tasks,
        .tasks_room = old.tasks_room,
    };
}

void tdw_history_fini(struct tdw_history *history)
{
    free(history->ops);
    free(history->crashes);
    free(history->tasks);
    *history = (struct tdw_history){.name = NULL};
}

/* Room for one more of `bytes` each: the array, or NULL. */
static void *with_room(struct tdw_history *history, void *array, size_t count, size_t *room,
                       size_t bytes)
{
    const size_t more = *room ? *room * 2 : 64;

    if (count < *room)
        return array;
    array = realloc(array, more * bytes);
    if (array)
        *room = more;
    else
        history->lost = true;
    return array;
}

static uint64_t now_ns(void)
{
    return tdw__self ? tdw__self->ring->loop->now_ns : 0;
}

/* The running task, as it is told: paths outlive tasks. Clients are few or come in turn, so only
 * the last tasks are looked through; one that is not found is entered again. */
static uint32_t running_task(struct tdw_history *history)
{
    const struct tdw_task *task = tdw__self;
    struct tdw_history_task *tasks;

    if (!task)
        return UINT32_MAX;
    for (size_t i = history->tasks_count, n = 0; i-- > 0 && n < TASKS_LOOKED_AT; n++)
        if (history->tasks[i].actor == task->actor)
            return (uint32_t)i;
    tasks = with_room(history, history->tasks, history->tasks_count, &history->tasks_room,
                      sizeof *tasks);
    if (!tasks)
        return UINT32_MAX;
    history->tasks = tasks;
    tasks += history->tasks_count;
    tasks->actor = task->actor;
    tdw_task_path(task, tasks->path, sizeof tasks->path);
    return (uint32_t)history->tasks_count++;
}

uint32_t tdw__history_invoke(struct tdw_history *history, const struct tdw_operation *operation)
{
    struct tdw_history_op *ops;

    assert(operation->verb < history->spec->verbs_count);
    if (history->ops_count >= TDW_HISTORY_FULL - 1)
        history->lost = true;
    ops = history->lost ? NULL
                        : with_room(history, history->ops, history->ops_count, &history->ops_room,
                                    sizeof *ops);
    if (!ops)
        return TDW_HISTORY_FULL;
    history->ops = ops;
    ops[history->ops_count] = (struct tdw_history_op){
        .what = *operation,
        .invoked = ++history->events,
        .directed = history->events,
        .invoked_ns = now_ns(),
        .task = running_task(history),
    };
    ops[history->ops_count].what.result = TDW_ANY;
    return (uint32_t)history->ops_count++;
}

static void end(struct tdw_history *history, uint32_t op, enum tdw__ended outcome, int64_t result)
{
    struct tdw_history_op *ended;

    if (op == TDW_HISTORY_FULL)
        return;
    assert(op < history->ops_count);
    ended = &history->ops[op];
    assert(ended->outcome == TDW__PENDING || ended->outcome == TDW__UNKNOWN);
    ended->outcome = (uint8_t)outcome;
    ended->what.result = result;
    ended->ended = ++history->events;
    ended->ended_ns = now_ns();
}

void tdw_history_ok(struct tdw_history *history, uint32_t op, int64_t result)
{
    end(history, op, TDW__OK, result);
}

void tdw_history_fail(struct tdw_history *history, uint32_t op)
{
    end(history, op, TDW__FAILED, TDW_ANY);
}

void tdw_history_unknown(struct tdw_history *history, uint32_t op)
{
    end(history, op, TDW__UNKNOWN, TDW_ANY);
}

void tdw_history_directed(struct tdw_history *history, uint32_t op, uint32_t store)
{
    if (op == TDW_HISTORY_FULL)
        return;
    assert(op < history->ops_count);
    history->ops[op].store = store;
    history->ops[op].directed = ++history->events;
}

void tdw_history_crash(struct tdw_history *history, uint32_t store)
{
    struct tdw_history_crash *crashes = with_room(history, history->crashes, history->crashes_count,
                                                  &history->crashes_room, sizeof *crashes);

    if (!crashes)
        return;
    history->crashes = crashes;
    crashes[history->crashes_count++] = (struct tdw_history_crash){
        .event = ++history->events,
        .now_ns = now_ns(),
        .store = store,
    };
}

static void log_line(void *unused, const char *text)
{
    (void)unused;
    tdw_log("%s", text);
}

enum tdw_linearizable tdw__check_linearizable(const struct tdw_site *site,
                                              const struct tdw_history *history)
{
    struct tdw_loop *loop = tdw__self->ring->loop;
    struct tdw_checked checked;

    switch (tdw_history_check(history, &checked)) {
    case TDW_LINEARIZABLE:
        break;
    case TDW_NOT_LINEARIZABLE:
        if (loop->taps)
            tdw_history_tell(history, &checked, log_line, NULL);
        tdw__finding(loop, tdw__self, site, "%s is not linearizable: %s", history->name,
                     checked.text);
        loop->stop = true;
        break;
    case TDW_GAVE_UP:
        loop->notes++;
        tdw_log("note: whether %s is linearizable is not known: %s", history->name, checked.text);
        break;
    }
    return checked.verdict;
}
