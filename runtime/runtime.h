/* SPDX-License-Identifier: MIT */
/*
 * What the files of runtime/ share, and what a backend may use of it.
 *
 *     loop   the clock, the digest, the taps and the ready set of one OS thread
 *     ring   one process on that loop: its slots (ops in flight), its tasks, its links and drains
 *     item   what may come next: an op in the ready set, either posted (deliver it) or due
 *            (let the backend go on with it)
 *
 * The runtime depends on no backend: it calls one through `struct tdw_backend_ops`. It asks for
 * choices through one function pointer that the simulated kernel fills; without it every answer
 * is 0.
 */
#ifndef TDW_RUNTIME_H
#define TDW_RUNTIME_H

#include <assert.h>
#include <tidewheel/choose.h>
#include <tidewheel/event.h>
#include <tidewheel/gate.h>
#include <tidewheel/stackful.h>
#include <tidewheel/stackless.h>
#include <tidewheel/sync.h>
#include <tidewheel/task.h>

#define TDW_LIKELY(x) __builtin_expect(!!(x), 1)
#define TDW_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TDW_NEVER UINT64_MAX /* a time that does not come */

/* ── Backends ──────────────────────────────────────────────────────────────────────────────── */

struct tdw_backend_ops {
    const char *name;
    /* Begin `op`. An op that fails at once is posted with tdw__post; nothing is returned. */
    void (*start)(struct tdw_ring *ring, struct tdw_op *op);
    /* The same, `due_ns` of the op later than it would; NULL: start does, where there is a gate. */
    void (*delay)(struct tdw_ring *ring, struct tdw_op *op);
    /* Does the op's descriptor move what it is asked to whole, for a gate: datagrams, counters,
     * entries of directories, aligned blocks (O_DIRECT)? false, too, where that is not known. */
    bool (*moves_whole)(const struct tdw_op *op);
    /* Take out of the ready set and return the item that comes next, letting time pass (or waiting
     * for the kernel) up to `deadline_ns`; NULL when nothing comes until then. */
    struct tdw_op *(*next)(struct tdw_loop *loop, uint64_t deadline_ns);
    /* Go on with an op that `next` returned in another state than posted. */
    void (*step)(struct tdw_loop *loop, struct tdw_op *op);
    /* Take `op`, held by no queue of the runtime's, out of the backend, so that it can be posted.
     * 0; -EALREADY: it can no longer be stopped and ends by itself; -EINPROGRESS: it was asked to
     * end, answers `res` if that works, and posts `asker` (unless NULL) when it is known what the
     * cancellation came to. */
    int (*withdraw)(struct tdw_ring *ring, struct tdw_op *op, int32_t res, struct tdw_op *asker);
    /* The same for an op whose process was killed: cannot fail, nothing is posted. */
    void (*forget)(struct tdw_ring *ring, struct tdw_op *op);
    /* Somebody is about to run the loop: 0, or why not. NULL: anybody may. */
    int (*enter)(struct tdw_loop *loop);
    /* Can nothing come any more, but for what somebody may yet begin? NULL: who knows. */
    bool (*idle)(struct tdw_loop *loop);
    /* Read the clock, of a loop that is late. */
    void (*clock)(struct tdw_loop *loop);
    /* A completion came while time-outs count them. */
    void (*counted)(struct tdw_ring *ring);
    /* The last task of the ring ended, or a step said that the ring ends with it. */
    void (*ended)(struct tdw_ring *ring);
    /* Of any thread: make the loop look at what tdw_ring_wake counted. */
    void (*wake)(struct tdw_loop *loop);
    /* The op is final: drop what was taken for it at its start. */
    void (*release)(struct tdw_ring *ring, struct tdw_op *op, void *object);
    /* What the op's descriptor leads to, for a gate; `to` says that it leads nowhere (gate.h). */
    void (*describe)(const struct tdw_op *op, struct tdw_described *to);
    /* What a program asks of this kernel without waiting (calls.h). */
    const struct tdw_calls *calls;
};

/* The address that an entry itself says it goes to; NULL: it says none (describe.c). */
const struct sockaddr *tdw__op_peer(const struct io_uring_sqe *sqe, socklen_t *bytes);

/* ── Slots: the ops in flight ──────────────────────────────────────────────────────────────────
 * An op's user_data is its slot's index and generation, so an old cancel never hits a re-used or
 * freed op (I3): only the slot is looked at, and it knows whether the generation is current.
 */
struct tdw_slot {
    struct tdw_op *op; /* NULL: free */
    void *object;      /* the backend's: e.g. the file the op holds */
    union {            /* the backend's, for a watched buffer: */
        void *saved;   /* the old bytes of one that is read into */
        uint64_t sum;  /* the hash of one that must not change */
    };
    uint32_t gen;
    uint32_t link; /* free: next free slot; in flight: slot of the next chain member */
};
_Static_assert(sizeof(struct tdw_slot) == 32, "two slots in a cache line");
#define TDW_NO_SLOT UINT32_MAX

/* What every op touches comes first, in 48 bytes. */
struct tdw_ring {
    struct tdw_loop *loop;
    struct tdw_slot *slots;
    struct tdw_op *chain; /* last op of the chain that the running step is building */
    uint64_t completed;   /* completions so far, less those of time-outs and private ops */
    uint32_t free_slot, inflight;
    uint32_t undrained; /* started ops that a drain has to wait for */
    bool draining;      /* a drain was started and is not complete */
    bool holds;         /* there may be held or startable ops */
    bool counting;      /* there may be time-outs that count completions */
    bool ending;        /* the backend is told as soon as the running step returns */

    uint32_t slots_used, slots_max, ops_max;
    bool dead;                 /* killed: nothing of it runs any more */
    bool starting;             /* somebody works the list of what is startable off */
    bool ends;                 /* the backend is told when no task is left */
    bool serves;               /* it may be the server of a channel */
    struct tdw_op *held_head;  /* ops behind a drain, oldest first */
    struct tdw_op **held_tail; /* … where the next is hung up */
    struct tdw_op *startable;  /* released by a link or a drain, about to start, oldest first */
    struct tdw_op **startable_tail;
    struct tdw_task *tasks; /* all tasks, newest first; ended ones while they are kept */
    struct tdw_task *root;
    struct tdw_shots *shots; /* ops with several completions (shot.c) */
    struct tdw_ring *next;   /* of the loop */
    const char *path;        /* host/process#boot */
    uint32_t tasks_running;  /* those of `tasks` that have not ended */
};

/* ── The ready set ─────────────────────────────────────────────────────────────────────────────
 * Posted completions, and ops whose time has come, as a 4-ary heap by (due, seq). With one entry,
 * the usual case, it costs no more than a register. The calm order is the heap's; a schedule may
 * take any entry.
 */
struct tdw_item {
    uint64_t due_ns, seq;
    struct tdw_op *op;
};
struct tdw_heap {
    struct tdw_item *items;
    uint32_t count, max;
};

/* ── The loop ──────────────────────────────────────────────────────────────────────────────── */

/* Why a run failed. */
struct tdw_failure {
    const struct tdw_site *site;
    uint64_t now_ns;
    char task[192], text[384];
};

typedef uint32_t tdw_choose_fn(struct tdw_loop *loop, const struct tdw_choice *choice);

struct tdw_loop {
    uint64_t now_ns; /* moved by the backend's clock alone (I5) */
    bool late;       /* a real clock, and it was not read since the kernel was last entered */
    bool unobserved; /* a real kernel, without a tap: events are nothing to anybody */
    struct tdw_digest digest;
    uint64_t seq;
    struct tdw_heap ready;
    const struct tdw_task *last; /* the actor that ran last */
    const struct tdw_backend_ops *backend;
    tdw_choose_fn *choose; /* NULL: every answer is 0 */
    struct tdw_tap *taps;
    struct tdw_gate *gate;     /* NULL: everything passes */
    uint64_t steps, steps_max; /* items run; the limit after which the run is a livelock */
    struct tdw_ring *rings;
    uint32_t tasks_alive;                  /* of all rings */
    uint32_t wakes;                        /* that nobody has waited for yet */
    struct tdw_sync wakers;                /* ops of verb `wake` */
    bool stop;                             /* leave the loop after this step */
    uint64_t switches, frames, deliveries; /* counted for `tdw models` */
    struct tdw_names *names;               /* interned strings, and ordinals by key */
    struct tdw_memory *memory;             /* tasks and frames */
    struct tdw_stacks *stacks;             /* made when the first stackful task is spawned */
    size_t stack_bytes;
    void *main_sp;  /* the loop's own stack, while a stackful task runs */
    uint32_t notes; /* of the run: worth telling, and no failure */
    uint32_t findings;
    struct tdw_failure failure;        /* the first finding */
    struct tdw_promises *promises;     /* what the run's checks know (sim/explore/promises.c) */
    void (*promises_free)(struct tdw_loop *loop);
    void (*between)(struct tdw_loop *loop); /* called between two items; NULL: nobody is */
};

int tdw__loop_init(struct tdw_loop *loop, const struct tdw_backend_ops *backend);
void tdw__loop_fini(struct tdw_loop *loop);
int tdw__ring_init(struct tdw_ring *ring, struct tdw_loop *loop, const char *path,
                   uint32_t ops_max);
/* Take every op of the ring out of every queue, without running another line of its tasks. */
void tdw__ring_withdraw_all(struct tdw_ring *ring);
void tdw__ring_fini(struct tdw_ring *ring);

/* ── An op's way (ring.c) ──────────────────────────────────────────────────────────────────── */

static inline struct tdw_slot *tdw__slot(const struct tdw_ring *ring, const struct tdw_op *op)
{
    return &ring->slots[(uint32_t)op->sqe.user_data];
}

/* The op in flight whose user_data this is, or NULL. */
struct tdw_op *tdw__find(const struct tdw_ring *ring, uint64_t user_data);

/* Complete `op` with `res`: its delivery becomes an item. `data` is the hash of bytes taken in. */
void tdw__post(struct tdw_op *op, int32_t res, uint32_t cqe_flags, uint64_t data);

/* Cancel `op` as ASYNC_CANCEL does: 0, and it completes with `res` (-ECANCELED; -ETIME for a
 * deadline) · -EALREADY, it ends by itself · -ENOENT, it completed · -EINPROGRESS, a real kernel
 * was asked, and `asker`, unless it is NULL, is posted by the backend with one of the others. */
int tdw__cancel(struct tdw_op *op, int32_t res, struct tdw_op *asker);

/* Does a cancellation find the op? As on Linux neither what is held by a link, which starts or ends
 * with the one in front, nor a deadline, which ends with its op. */
bool tdw__cancellable(const struct tdw_op *op);

/* From here on nothing starts that a completion lets go; from there on all of it does. A
 * cancellation of many cancels what was in flight when it came, and not what takes its place. */
bool tdw__starts_hold(struct tdw_ring *ring);
void tdw__starts_go(struct tdw_ring *ring, bool before);

/* `count` wakes have come for the loop: the ops that wait for one complete, or the next to come. */
void tdw__wakes(struct tdw_loop *loop, uint32_t count);

/* A linked time-out's time has come: stop the op in front of it. */
void tdw__link_timeout_fires(struct tdw_op *timer);

/* Hand a posted op, no longer in the ready set, to whoever waits for it. */
void tdw__deliver(struct tdw_loop *loop, struct tdw_op *op);

/* Ops with several completions (shot.c). Post one that is not the last, with F_MORE added; false:
 * no memory, so that the op has to end. */
bool tdw__post_more(struct tdw_op *op, int32_t res, uint32_t cqe_flags, uint64_t data);
void tdw__deliver_shot(struct tdw_loop *loop, struct tdw_op *shot);
/* The op's last completion is posted: does it have to wait behind others? */
bool tdw__shots_hold(struct tdw_op *op);
/* The last one is delivered. */
void tdw__shots_over(struct tdw_op *op);
/* A coroutine's op with several completions was delivered: keep the result for its await. */
void tdw__shots_keep(struct tdw_op *op);
/* Forget what is posted or kept: of an op, of one that is about to be used anew, of all of a killed
 * process. */
void tdw__shots_drop(struct tdw_op *op);
void tdw__shots_forget(struct tdw_ring *ring, struct tdw_op *op);
void tdw__shots_drop_all(struct tdw_ring *ring);
/* Has `op` a result that can be taken; take it. */
bool tdw__op_delivered(const struct tdw_op *op);

/* A heap of items by (due, seq): add, take the entry at `index`, take a certain op, which may stand
 * at `hint`; elsewhere it costs a search. */
void tdw__heap_add(struct tdw_heap *heap, struct tdw_op *op);
struct tdw_op *tdw__heap_take(struct tdw_heap *heap, uint32_t index);
void tdw__heap_remove(struct tdw_heap *heap, const struct tdw_op *op, uint32_t hint);
bool tdw__item_before(const struct tdw_item *a, const struct tdw_item *b);

/* Put `op` into / take it out of the ready set. With one entry it is as cheap as a register. */
static inline void tdw__ready_add(struct tdw_loop *loop, struct tdw_op *op)
{
    op->task->ready++;
    if (TDW_LIKELY(loop->ready.count == 0 && loop->ready.max > 0)) {
        loop->ready.items[0] = (struct tdw_item){op->due_ns, op->seq, op};
        loop->ready.count = 1;
        return;
    }
    tdw__heap_add(&loop->ready, op);
}
static inline struct tdw_op *tdw__ready_take(struct tdw_loop *loop, uint32_t index)
{
    struct tdw_op *op;

    if (TDW_LIKELY(loop->ready.count == 1)) {
        op = loop->ready.items[0].op;
        loop->ready.count = 0;
    } else {
        op = tdw__heap_take(&loop->ready, index);
    }
    op->task->ready--;
    return op;
}
void tdw__ready_remove(struct tdw_loop *loop, struct tdw_op *op, uint32_t hint);
/* The calm item: of the actor that ran last if it has one, else the smallest by (due, seq). */
uint32_t tdw__ready_calm(const struct tdw_loop *loop);

/* The table of opcodes, by number; rows without a name are all zeros. */
extern const struct tdw_opcode tdw__opcodes[256];

/* Does a TIMEOUT_REMOVE give a new time, in `off`? */
static inline bool tdw__is_update(const struct io_uring_sqe *sqe)
{
    return sqe->timeout_flags & (IORING_TIMEOUT_UPDATE | IORING_LINK_TIMEOUT_UPDATE);
}

/* Run the item that comes next. False: nothing can come by the deadline. */
bool tdw__loop_step(struct tdw_loop *loop, uint64_t deadline_ns);

/* ── Tasks (task.c) ────────────────────────────────────────────────────────────────────────── */

/* A task that has not started: no code of it runs before tdw__task_start. */
struct tdw_task *tdw__task_new(struct tdw_ring *ring, struct tdw_task *parent, enum tdw_model model,
                               const char *name, const struct tdw_site *site);
/* Make its first step an item; -EAGAIN when the ring is full. */
int tdw__task_start(struct tdw_task *task, const struct tdw_site *site);
/* "callback", "stackless", "stackful". */
const char *tdw__model_name(enum tdw_model model);
/* After a step of `task`: has a callback task nothing left in flight, did a coroutine return? */
void tdw__task_settle(struct tdw_task *task);
/* All tasks of a ring that was withdrawn: stacks, frames and tasks go back to their pools. */
void tdw__ring_drop_tasks(struct tdw_ring *ring);
/* Go on with a coroutine that waited; leave a stackful one, the running one, until then. */
void tdw__resume(struct tdw_task *task);
void tdw__pause(struct tdw_task *task);

/* The private opcodes that the runtime completes itself (sync.c): begin one, cancel a blocked
 * one, take a blocked one of a killed process out of its queue. */
void tdw__private_start(struct tdw_ring *ring, struct tdw_op *op);
int tdw__private_cancel(struct tdw_op *op, int32_t res);
void tdw__private_withdraw(struct tdw_op *op);
/* A process was killed: whoever waits on a channel that it serves ends -EPIPE. */
void tdw__channels_orphan(struct tdw_loop *loop, const struct tdw_ring *dead);
/* An ended task answers its joiners. */
void tdw__joiners_wake(struct tdw_task *task);

/* ── Small things (choose.c, names.c, memory.c, stack.c) ─────────────────────────────────────── */

static inline uint32_t tdw__choose(struct tdw_loop *loop, const struct tdw_choice *choice)
{
    return choice->bound < 2 || !loop->choose ? 0 : loop->choose(loop, choice);
}

struct tdw_names *tdw__names_new(void);
void tdw__names_free(struct tdw_names *names);
/* Forget the counts; the strings stay. */
void tdw__names_reset(struct tdw_names *names);
/* How often `key` was asked for before; counts it. */
uint32_t tdw__count(struct tdw_loop *loop, uint64_t key);
/* The one copy of `text` on this loop. NULL when memory is exhausted. */
const char *tdw__intern(struct tdw_loop *loop, const char *text);

/* The known word that is nearest to `word`, or NULL if none is near (nearest.c). */
const char *tdw__nearest(const char *word, const char *const *words, size_t count);

/* Memory by size class, given back all at once. Blocks are zeroed and aligned to 64 bytes. */
struct tdw_memory *tdw__memory_new(void);
void tdw__memory_free(struct tdw_memory *memory);
void *tdw__memory_get(struct tdw_memory *memory, size_t bytes);
/* The same without the zeros, for what is filled at once. */
void *tdw__memory_take(struct tdw_memory *memory, size_t bytes);
/* A larger block with the same content; `block` (NULL: none) is gone, unless this returns NULL. */
void *tdw__memory_grow(struct tdw_memory *memory, void *block, size_t bytes, size_t new_bytes);
void tdw__memory_put(struct tdw_memory *memory, void *block, size_t bytes);

struct tdw_stacks *tdw__stacks_new(size_t stack_bytes);
void tdw__stacks_free(struct tdw_stacks *stacks);
struct tdw_stack *tdw__stack_get(struct tdw_stacks *stacks);
void tdw__stack_put(struct tdw_stacks *stacks, struct tdw_stack *stack);
/* Does `address` lie in the guard of a stack of this pool? */
bool tdw__stack_guards(const struct tdw_stacks *stacks, const void *address);

/* What `done` of a task's START op points to, by model. */
tdw_done_fn tdw__callback_start, tdw__stackless_start, tdw__stackful_start;
/* Give back what a suspended or ended coroutine holds. */
void tdw__stackless_drop(struct tdw_task *task);
void tdw__stackful_drop(struct tdw_task *task);

#endif
