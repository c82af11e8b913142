/* SPDX-License-Identifier: MIT */
/*
 * Tasks: on whose behalf code runs.
 *
 * A task has a path (host/process#boot/name#i/child#j), a model, and the line where it waits. The
 * path, not an address or a counter, names it in choices, traces and digests, so that it is the
 * same in the three models and survives unrelated edits. A callback inherits the task of its op;
 * code outside of any task runs as its process's root task.
 *
 * A coroutine task ends when its function returns; a callback task ends when a step leaves it
 * nothing in flight. An ended task is kept until it was joined or detached, and as long as a child
 * of it is alive.
 */
#ifndef TIDEWHEEL_TASK_H
#define TIDEWHEEL_TASK_H

#include <tidewheel/ring.h>

struct tdw_ring;
struct tdw_stack;

enum tdw_model { TDW_CALLBACK, TDW_STACKLESS, TDW_STACKFUL };

enum tdw_task_bits {
    TDW_TASK_DAEMON = 1,   /* does not keep the run alive; cancelled at its end */
    TDW_TASK_ENDED = 2,    /* no code of it will run again */
    TDW_TASK_DETACHED = 4, /* nobody joins it */
    TDW_TASK_STOPPING = 8, /* told to end: its waits answer -ECANCELED */
    TDW_TASK_ROOT = 16,
};

/* Private but for its size: read it through the functions below. Four cache lines, the first two
 * of which are the op that plain awaits use. */
struct tdw_task {
    struct tdw_op op;

    uint64_t actor; /* hash of the path */
    struct tdw_ring *ring;
    void *where;                 /* suspended at: saved stack pointer, or innermost frame */
    struct tdw_stack *stack;     /* stackful only */
    const struct tdw_site *site; /* where it waits, or was spawned */
    uint32_t ops;                /* submitted so far */
    uint32_t inflight;           /* accepted and not delivered */
    uint32_t ready;              /* of these, in the ready set */
    uint32_t waiting;            /* awaited ops that have yet to be delivered */
    uint8_t model;               /* enum tdw_model */
    uint8_t bits;                /* enum tdw_task_bits */
    uint16_t spare;              /* zero */
    uint32_t index;              /* ordinal among same-named siblings */

    struct tdw_task *parent;
    const char *name;             /* interned */
    struct tdw_op *joiners;       /* blocked JOIN ops, oldest first */
    struct tdw_task *next, *prev; /* in its ring */
    void (*entry)(void *);
    union {
        void *arg;      /* until it started */
        int64_t result; /* afterwards */
    };
    uint32_t children; /* that are not yet freed */
    uint32_t zombies;  /* of these, ended and not joined */
};
_Static_assert(sizeof(struct tdw_task) == 256, "a task is four cache lines");

/* The running task; NULL outside of any world or loop. The one thing that is looked up by thread.
 */
extern _Thread_local struct tdw_task *tdw__self __attribute__((tls_model("initial-exec")));
static inline struct tdw_task *tdw_self(void)
{
    return tdw__self;
}

/* Spawn a task in the running task's process. `name` is copied; siblings may share a name. The
 * task's first step is an item like any other: it runs when the schedule says so.
 * NULL with errno set when memory or the ring's limit is exhausted (ENOMEM, EAGAIN). */
#define tdw_spawn_callback(name, entry, arg)                                                       \
    tdw__spawn(TDW_CALLBACK, (name), (entry), (arg), TDW_SITE("spawn"))
#define tdw_spawn_stackful(name, entry, arg)                                                       \
    tdw__spawn(TDW_STACKFUL, (name), (entry), (arg), TDW_SITE("spawn"))
struct tdw_task *tdw__spawn(enum tdw_model model, const char *name, void (*entry)(void *),
                            void *arg, const struct tdw_site *site);

/* The running task's result, as its joiner gets it (0 unless set). Stackless: TDW_RETURN sets it.
 */
void tdw_set_result(int64_t result);

/* The running task is a daemon from here on, or was asked to be by its spawner: it may be alive
 * at the end of the run, and is then cancelled. */
void tdw_daemon(struct tdw_task *task);

/* Nobody will join `task`; its memory is given back when it ended. */
void tdw_detach(struct tdw_task *task);

/* Tell `task` to end: cancels what it has in flight, and every later wait of it answers
 * -ECANCELED. It runs on until its function returns. */
void tdw_stop(struct tdw_task *task);

/* The path, written to `text` (cut at `bytes`); returns its full length. */
size_t tdw_task_path(const struct tdw_task *task, char *text, size_t bytes);

#endif
