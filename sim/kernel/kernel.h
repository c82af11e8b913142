/* SPDX-License-Identifier: MIT */
/*
 * What the files of sim/kernel/ share: the simulated kernel behind the `sim` backend.
 *
 *     world    the virtual clock, the wheel, the choices; it holds hosts
 *     host     a machine: a disk, and what runs on it; may crash and boot again
 *     process  a ring of the runtime, a descriptor table, a working directory
 *
 * An op that is not the runtime's own reaches the kernel as `start` (world.c): its row in the
 * table of opcodes resolves the descriptor and says whether it has to wait in a queue. When its
 * time has come the row's `effect` changes the state and gives the result. Rows are the only
 * thing that a subsystem (files, pipes, locks) adds.
 */
#ifndef TDW_KERNEL_H
#define TDW_KERNEL_H

#include <runtime/calls.h>
#include <runtime/event.h>
#include <runtime/runtime.h>
#include <tidewheel/world.h>

struct tdw_disk;  /* vfs.h: a host's files, volatile and durable */
struct tdw_files; /* vfs.h: a process's descriptors, working directory, locks */
struct tdw_file;  /* vfs.h: an open file */
struct tdw_host_clock;

/* Told when an object becomes ready: what epoll has of each descriptor. */
struct tdw_watch {
    struct tdw_watch *next, *prev; /* in the object's queue; the first one's prev is the last */
    /* True: somebody was told. Of several exclusive ones, a wake stops at the first. */
    bool (*woken)(struct tdw_watch *watch, uint32_t events);
    bool exclusive;
};

/* Ops that wait for an object to become ready, oldest first, and who else is told. */
struct tdw_waitq {
    struct tdw_op *head, *tail;
    struct tdw_watch *watches;
};

/* What a process has registered with its ring. It is the ring's, so neither a forked process nor
 * the next boot has it. Zeroed: nothing. */
struct tdw_registered {
    struct tdw_file **files;         /* registered_files.c: by index; NULL: the slot is empty */
    uint32_t files_count;            /* 0: none are registered */
    uint32_t files_start, files_end; /* where free slots are looked for, */
    uint32_t files_next;             /* … and from where on */
    uint32_t buffers_count;
    struct iovec *buffers;           /* registered_buffers.c */
    struct tdw_buffer_group *groups; /* provided_buffers.c */
    struct tdw_message *messages;    /* ring_file.c: sent to this ring, and not taken yet */
    struct tdw_waitq message_queue;
};

struct tdw_process {
    struct tdw_host *host; /* one cache line with what every op touches of the ring */
    struct tdw_files *files;
    struct tdw_ring ring;
    struct tdw_registered registered;
    int32_t pid;
    int status;         /* as waitpid tells it */
    bool waited;        /* its parent has been told */
    bool sigpipe_kills; /* tdw_proc_sigpipe */
    struct tdw_process *parent;
    struct tdw_waitq children;     /* ops that wait for one to end */
    struct tdw_process *next;      /* in the world, newest first */
    struct tdw_allocation *memory; /* of tdw_malloc */
    struct tdw_uring *urings;      /* of programs that have a loop of their own */
};

/* When the effect of a row is tried. */
enum tdw_row_how {
    TDW_WHOLE,  /* when it completes, and is not blocked */
    TDW_SPLITS, /* or before (files) */
    TDW_TRIES,  /* when it completes: it answers TDW_AGAIN if, and only if, it is blocked */
};

/* How the simulated kernel performs one opcode. The three functions are called in this order;
 * `process` is the one that submitted. */
struct tdw_sim_opcode {
    /* Check arguments, resolve the descriptor, keep what the op holds in *object (a reference, e.g.
     * to the open file). 0, or -errno: the op completes with it at once. NULL: nothing to do. */
    int (*start)(struct tdw_process *process, struct tdw_op *op, void **object);
    /* The queue in which the op has to wait at present, or NULL if it can take effect. May be NULL.
     * Asked at start, and again whenever the op would take effect. */
    struct tdw_waitq *(*blocked)(struct tdw_process *process, struct tdw_op *op, void *object);
    /* Take effect: change the state, copy data, return the result (>= 0 or -errno), or one of
     * enum tdw_not_yet. May set op->flags, the completion's; op->res is 0 before the first time,
     * and the row's own until the end. */
    int32_t (*effect)(struct tdw_process *process, struct tdw_op *op, void *object);
    /* Drop what start put into *object. NULL: nothing to do. */
    void (*release)(struct tdw_process *process, void *object);
    enum tdw_row_how how;
};

/* Answers of an effect that is not the op's last. */
enum tdw_not_yet {
    TDW_AGAIN = INT32_MIN,     /* there is more to do: ask `blocked`, then take effect again */
    TDW_WAITS = INT32_MIN + 1, /* wait for the next wake of the queue, ready or not */
};

/* The row of an opcode; NULL: the kernel does not know it (-EINVAL). */
const struct tdw_sim_opcode *tdw__sim_opcode(uint8_t opcode);

/* All ops of the queue may go on: each gets its latency from now, and is asked again then. */
void tdw__wake(struct tdw_waitq *queue);
/* The same when the object became ready for `events` (POLLIN, …): polls for others sleep on. */
void tdw__wake_for(struct tdw_waitq *queue, uint32_t events);
/* One op that is blocked looks again, as after a wake of its queue. */
void tdw__wake_op(struct tdw_op *op);
void tdw__watch(struct tdw_waitq *queue, struct tdw_watch *watch);
void tdw__unwatch(struct tdw_waitq *queue, struct tdw_watch *watch);

/* ── Work of the kernel's own ──────────────────────────────────────────────────────────────────
 * What happens later without an op: a packet arrives (TDW_OP_PACKET), a timer of a connection runs
 * out (TDW_OP_TIMER). It is an op that nobody submitted and nobody is told of: an item like others,
 * ordered, chosen and timed by the same rules. Its task is an *actor*, which has no code and only
 * a name: the flow that it belongs to.
 */
/* The name of something that the running task makes: by that task, and how much it made before. */
uint64_t tdw__own_name(struct tdw_loop *loop);
void tdw__actor_init(struct tdw_task *actor, struct tdw_world *world, uint64_t name);
/* Nothing refers to it any more. */
void tdw__actor_fini(struct tdw_task *actor);
/* `run` is called at `due_ns`, or when `host` is paused no more, with the work idle again.
 * `work->ordinal` is the caller's. */
void tdw__work_at(struct tdw_op *work, struct tdw_task *actor, struct tdw_host *host,
                  uint8_t opcode, uint64_t due_ns, tdw_done_fn *run);
/* Not any more, if it is on its way. */
void tdw__work_cancel(struct tdw_op *work);

/* ── Programs with a loop of their own (uring.c) ───────────────────────────────────────────────
 * An entry of such a program is an op (TDW_OP_FOREIGN) inside of this. Its user_data is the
 * program's, and what others name it by.
 */
struct tdw_foreign {
    struct tdw_op op;
    struct tdw_foreign *next, *prev; /* of the ring */
    struct tdw_uring *uring;
    uint64_t user_data;
    void *stable; /* copies of what the entry points to, or NULL */
    size_t stable_bytes;
    struct msghdr *header; /* of a receive: the program's, for what there is to tell; or NULL */
    bool quiet;            /* IOSQE_CQE_SKIP_SUCCESS */
    bool forbidden;        /* by a restriction of the ring */
};
/* net/socket.c: does the op's descriptor move messages whole? */
bool tdw__sim_moves_whole(const struct tdw_op *op);
/* stable.c: where a receive tells what it has to tell beside its bytes. */
struct msghdr *tdw__header_told(const struct tdw_op *op);
/* The op in flight that `op` names by `user_data`, or NULL. */
struct tdw_op *tdw__target(const struct tdw_op *op, uint64_t user_data);
/* The process is at its end, and its ops are out of every queue: what its rings hold goes back. */
void tdw__urings_end(struct tdw_process *process);

/* process.c: `op` answered -EPIPE: its process may have to die of it. */
void tdw__process_sigpipe(struct tdw_process *process, const struct tdw_op *op);

/* The process of the running task. */
struct tdw_process *tdw__process(void);

/* A child of `parent` with copies of its descriptors; its root task runs main(arg). NULL when
 * memory is exhausted. */
struct tdw_process *tdw__process_fork(struct tdw_process *parent, void (*main)(void *), void *arg);

/* Its plain calls (calls.h), each in the file of its subsystem; calls.c has the table. */
#define TDW_SIM_CALL(result, name, parameters, arguments) result tdw__sim_##name parameters;
#define TDW_SIM_CALL_VOID(name, parameters, arguments) void tdw__sim_##name parameters;
TDW_CALLS_TABLE(TDW_SIM_CALL, TDW_SIM_CALL_VOID)
int tdw__sim_sys_fcntl(int fd, int cmd, uintptr_t arg);
extern const struct tdw_calls tdw__sim_calls;

void tdw__sim_describe(const struct tdw_op *op, struct tdw_described *to); /* describe.c */

/* ── Points of a plan (gate.h) ─────────────────────────────────────────────────────────────── */

/* Does some rule name the point? Asked first: without a plan that is all it costs. */
static inline bool tdw__point_asked(const struct tdw_loop *loop, enum tdw_kernel_point point)
{
    return TDW_UNLIKELY(loop->gate != NULL) && loop->gate->points >> point & 1;
}
/* Of a point that is asked: does it go wrong, and how? */
static inline bool tdw__point_hit(const struct tdw_loop *loop, const struct tdw_hit *hit,
                                  struct tdw_blow *blow)
{
    return loop->gate->hit(loop->gate, hit, blow);
}

/* ── Clocks and timers (clock.c, timer.c) ──────────────────────────────────────────────────── */

bool tdw__clock_known(int clock); /* CLOCK_REALTIME, … */
/* What a host's clock shows. */
uint64_t tdw__clock_ns(const struct tdw_host *host, int clock);
/* The world's time when `ns` of the host's have passed, or when its clock shows `ns`. */
uint64_t tdw__clock_after(const struct tdw_host *host, uint64_t ns);
uint64_t tdw__clock_at(const struct tdw_host *host, int clock, uint64_t ns);
/* So much of a clock's time passes in `ns` of the world's, rounded up. */
uint64_t tdw__clock_passes(const struct tdw_host_clock *clock, uint64_t ns);

/* A timer of a host: due after a time of its clock, or at one. It is embedded in what it is for. */
struct tdw_timer {
    struct tdw_op work;
    struct tdw_timer *next, *prev; /* of the host, while it runs */
    struct tdw_host *host;
    uint64_t at_ns; /* on its clock */
    int clock;
    bool absolute; /* a step of the clock moves it */
    void (*expired)(struct tdw_timer *timer);
    /* The clock was stepped while it ran; NULL: that does not matter. */
    void (*stepped)(struct tdw_timer *timer);
};
/* It runs out when `clock` shows `at_ns`. `actor` is on whose behalf. */
void tdw__timer_start(struct tdw_timer *timer, struct tdw_host *host, struct tdw_task *actor,
                      int clock, uint64_t at_ns);
void tdw__timer_stop(struct tdw_timer *timer);
static inline bool tdw__timer_runs(const struct tdw_timer *timer)
{
    return timer->work.state == TDW_PENDING;
}
/* The clocks of a host were bent or stepped. */
void tdw__timers_changed(struct tdw_host *host, bool stepped);

/* What st_mtime and its like show: CLOCK_REALTIME of the process's host. */
static inline uint64_t tdw__now(const struct tdw_process *process)
{
    return process->host ? tdw__clock_ns(process->host, 0) : process->ring.loop->now_ns;
}

#endif
