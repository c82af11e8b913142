/* SPDX-License-Identifier: MIT */
/*
 * What the two backends on the real kernel share.
 *
 *     start ─┬─ the kernel's ring, or a wait for readiness   uring.c, epoll.c
 *            ├─ timers.c    time-outs: a heap, no kernel
 *            ├─ workers.c   calls that may block, on threads of their own
 *            └─ perform.c   an op as plain calls: what workers run, and what cannot block at once
 *
 * A backend posts an op on the loop's own thread only. Workers hand theirs over through a list, and
 * wake the loop as any other thread does. The runtime keeps links, drains and the waits without a
 * kernel, so both backends, and the simulated kernel, have them from the same code.
 *
 * An op in the kernel or with a worker cannot be taken back at once: withdraw then answers
 * -EINPROGRESS, and it ends by itself.
 */
#ifndef TDW_REAL_H
#define TDW_REAL_H

#include <runtime/calls.h>
#include <runtime/event.h>
#include <runtime/runtime.h>
#include <stdatomic.h>
#include <tidewheel/loop.h>

/* A name, an address of 127.0.0.0/8, and what runs there: hosts of a scenario on one machine. Only
 * `home` is ever removed, whatever the host does. */
struct tdw_host {
    const struct tdw_calls *calls; /* the first member of any kernel's host */
    struct tdw_real *real;
    struct tdw_host *next;
    const char *name;
    void (*main)(void *);
    void *arg;
    uint32_t address; /* IPv4, in the machine's order; 0: the program's own host */
    uint32_t boots;
    bool up;
    int dir;         /* where relative paths begin; AT_FDCWD: where the program is */
    char path[4096]; /* … by name */
    char home[4096]; /* where it began: made for it, and removed with the loop; or empty */
    int *left;       /* directories that it has left, and that ops in flight may begin in */
    uint32_t left_count;
};

/* One run of a host's main: a ring of the runtime; kept until the loop is closed. */
struct tdw_boot {
    struct tdw_ring ring;
    struct tdw_host *host;
    struct tdw_boot *next;
};

struct tdw_real {
    struct tdw_loop loop; /* the first member */
    uint64_t start_ns;    /* CLOCK_MONOTONIC when the loop's clock showed 0 */
    struct tdw_heap timers;
    struct tdw_workers *workers; /* NULL until an op needs one */
    struct tdw_host *hosts;      /* the program's own is the last */
    struct tdw_boot *boots;
    int wake_fd;       /* an eventfd: somebody else has something for the loop */
    atomic_bool woken; /* … and has said so since the loop last looked */
    atomic_uint wakes; /* of tdw_ring_wake, not yet delivered */
    int pid;           /* who may run it */
    uint64_t seed;
    uint32_t ops_max;
    int status;         /* of tdw_proc_exit */
    bool refused;       /* something that only the simulated kernel does, and said so */
    uint64_t warned[4]; /* opcodes that this backend lacks */
    /* io_uring_register(2) of the loop's ring, or of what stands for it. 0 and more, or -errno. */
    int (*enroll)(struct tdw_real *real, unsigned opcode, const void *arg, unsigned count);
    /* Another file is about to get the number `fd`, by dup2. */
    void (*forget_fd)(struct tdw_real *real, int fd);
    /* A call has answered `fd`: what was known of the number is of a file that is gone. NULL: the
     * backend knows nothing of numbers. */
    void (*got_fd)(struct tdw_real *real, int fd);
    /* A worker has opened `fd` for `op`: the op's result. NULL: it is that. */
    int32_t (*opened)(struct tdw_real *real, const struct tdw_op *op, int32_t fd);
    /* Did the backend make the file O_NONBLOCK itself? NULL: it never does. `forget`: the program
     * is about to say what it is to be. */
    bool (*hides_nonblock)(struct tdw_real *real, int fd, bool forget);
    void (*closed)(struct tdw_real *real); /* take everything out of the kernel, and free it */
};

static inline struct tdw_real *tdw__real(struct tdw_loop *loop)
{
    return (struct tdw_real *)loop;
}

/* ── Loops (loop.c) ────────────────────────────────────────────────────────────────────────── */

/* Of what both backends have. 0, -ENOMEM, -EMFILE. */
int tdw__real_init(struct tdw_real *real, const struct tdw_backend_ops *backend,
                   const struct tdw_loop_options *options);
void tdw__real_fini(struct tdw_real *real);
const char *tdw__backend_name(enum tdw_backend backend);
/* A new loop of this backend; 0 or -errno. */
int tdw__uring_open(struct tdw_loop **loop, const struct tdw_loop_options *options);
int tdw__epoll_open(struct tdw_loop **loop, const struct tdw_loop_options *options);
/* From any thread: make the loop look. */
void tdw__real_wake(struct tdw_real *real);
void tdw__real_loop_wake(struct tdw_loop *loop);
/* The eventfd was read: post what workers finished, and the ops of verb `wake`. */
void tdw__real_woken(struct tdw_real *real);
/* May anything still come: is somebody else at work for the loop, or can wake it? */
bool tdw__real_expects(const struct tdw_real *real);
/* An opcode that this backend lacks: told once, -EINVAL. */
void tdw__real_lacks(struct tdw_real *real, struct tdw_op *op);
void tdw__real_ended(struct tdw_ring *ring);
int tdw__real_enter(struct tdw_loop *loop);
void tdw__real_clock(struct tdw_loop *loop);
/* Of both backends: every item is posted, and what is dropped is dropped with the loop. */
void tdw__real_step(struct tdw_loop *loop, struct tdw_op *op);
void tdw__real_forget(struct tdw_ring *ring, struct tdw_op *op);
void tdw__real_release(struct tdw_ring *ring, struct tdw_op *op, void *object);
/* Complete an op that a kernel or a worker ended. One that was cancelled in time answers what the
 * cancellation said it would, which stands in the low half of its slot's `sum`: -ETIME of a
 * deadline. */
static inline void tdw__real_post(struct tdw_op *op, int32_t res, uint32_t cqe_flags)
{
    if (TDW_UNLIKELY(res == -ECANCELED)) {
        const uint32_t said = (uint32_t)tdw__slot(op->task->ring, op)->sum;

        res = said ? -(int32_t)said : res;
    }
    tdw__post(op, res, cqe_flags, 0);
}

/* Is the POLL_REMOVE well-formed? Nobody's poll gets another user_data: it names the op, for as
 * long as that is in flight. */
static inline bool tdw__poll_update_allowed(const struct io_uring_sqe *sqe)
{
    const uint32_t flags = sqe->len;

    if (sqe->buf_index || sqe->splice_fd_in || sqe->off ||
        flags & ~(uint32_t)(IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI) ||
        flags == IORING_POLL_ADD_MULTI)
        return false;
    return !sqe->poll32_events || flags & IORING_POLL_UPDATE_EVENTS;
}

static inline bool tdw__is_timer(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_TIMEOUT || op->sqe.opcode == IORING_OP_LINK_TIMEOUT;
}

/* Was it asked to end before, and has not yet? What its cancellation is to answer stands in the low
 * half of its slot's `sum`, where a timer has its period and a cancellation its count. */
static inline bool tdw__real_ends_already(const struct tdw_op *op)
{
    return op->state == TDW_PENDING && !tdw__is_timer(op) &&
           op->sqe.opcode != IORING_OP_ASYNC_CANCEL &&
           (uint32_t)tdw__slot(op->task->ring, op)->sum != 0;
}

/* It was asked to end, and answers `res` then. The first who asks is who is answered. */
static inline void tdw__real_will_answer(struct tdw_op *op, int32_t res)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    if ((uint32_t)slot->sum == 0)
        slot->sum |= (uint32_t)-res;
}

/* ── Clocks (clock_os.c) ───────────────────────────────────────────────────────────────────── */
uint64_t tdw__os_clock_ns(int clock);
static inline uint64_t tdw__real_now(struct tdw_real *real)
{
    real->loop.late = false;
    return real->loop.now_ns = tdw__os_clock_ns(1 /* CLOCK_MONOTONIC */) - real->start_ns;
}

/* ── Timers (timers.c) ─────────────────────────────────────────────────────────────────────── */
/* Start a TIMEOUT or LINK_TIMEOUT; one that is refused is posted. */
void tdw__real_timer_begin(struct tdw_real *real, struct tdw_op *op);
/* Take a running one out, so that it can be posted. */
void tdw__real_timer_stop(struct tdw_real *real, struct tdw_op *op);
/* Start any other op `due_ns` later; is it one that is yet to be started? */
void tdw__real_delay(struct tdw_ring *ring, struct tdw_op *op);
bool tdw__real_is_delayed(const struct tdw_real *real, const struct tdw_op *op);
/* Post those whose time has come. */
void tdw__real_timers_fire(struct tdw_real *real);
void tdw__real_timers_counted(struct tdw_ring *ring);
/* The result of a TIMEOUT_REMOVE. */
int32_t tdw__real_timer_remove(struct tdw_real *real, struct tdw_op *op);
/* When the first one is due, or TDW_NEVER. */
static inline uint64_t tdw__real_timers_next(const struct tdw_real *real)
{
    return real->timers.count > 0 ? real->timers.items[0].due_ns : TDW_NEVER;
}

/* ── Workers (workers.c) ───────────────────────────────────────────────────────────────────── */
enum tdw_lane {
    TDW_BOUNDED,   /* waits for a device: a few threads */
    TDW_UNBOUNDED, /* waits for somebody else: a thread each */
};
/* Perform `op` on another thread; it is posted when the loop is woken. `sqe` says what to do, and
 * is copied. -EAGAIN: no thread could be started. */
int tdw__worker_begin(struct tdw_real *real, struct tdw_op *op, const struct io_uring_sqe *sqe,
                      enum tdw_lane lane);
/* Close `fd` when no job needs the number any more, and post `op`, if there is one. -ENOENT: none
 * needs it now, whoever asks closes it; -EBADF: it is being closed; -EAGAIN: no thread. */
int tdw__worker_close(struct tdw_real *real, struct tdw_op *op, int fd);
/* `fd` is about to be another file: wait until no job needs the number, which is as long as a
 * device takes at most. */
void tdw__worker_leave(struct tdw_real *real, int fd);
/* 0: it had not begun, and is taken back. -EINPROGRESS: it was interrupted, and ends by itself.
 * -EALREADY: it cannot be stopped. -ENOENT: no worker has it. */
int tdw__worker_cancel(struct tdw_real *real, struct tdw_op *op);
/* Is `op` one that a worker has, on descriptor `fd`? */
bool tdw__worker_names(const struct tdw_real *real, const struct tdw_op *op, int fd);
/* Is one of those that were interrupted still at it? They are interrupted again: the loop looks
 * after a millisecond. */
bool tdw__worker_stops(const struct tdw_real *real);
/* Post what is finished. */
void tdw__worker_reap(struct tdw_real *real);
/* Ops that workers have, queued, running, or finished and not posted. */
uint32_t tdw__worker_count(const struct tdw_real *real);
/* Interrupt and take back all, wait for the threads, free them. Nothing is posted. */
void tdw__workers_free(struct tdw_real *real);

/* How long the loop may wait: until the first timer, or a worker that was told to stop and may have
 * to be told again, no longer than `deadline_ns`. */
uint64_t tdw__real_until_stopped(struct tdw_real *real, uint64_t until);
static inline uint64_t tdw__real_until(struct tdw_real *real, uint64_t deadline_ns)
{
    const uint64_t first = tdw__real_timers_next(real);
    const uint64_t until = first < deadline_ns ? first : deadline_ns;

    return TDW_LIKELY(!real->workers) ? until : tdw__real_until_stopped(real, until);
}

/* ── An op as plain calls (perform.c) ──────────────────────────────────────────────────────── */
enum tdw_kind {
    TDW_K_UNKNOWN, /* not an op of any kernel */
    TDW_K_PROMPT,  /* cannot wait for long: performed at once */
    TDW_K_READ,    /* waits until the descriptor is readable, or a file's device */
    TDW_K_WRITE,   /* … writable */
    TDW_K_FILE,    /* waits for a device: a worker's */
    TDW_K_WAIT,    /* waits for somebody else, without a descriptor to be told by: a worker's */
    TDW_K_OWN,     /* of the backend itself: time-outs, cancels, polls, buffers */
};
enum tdw_kind tdw__kind(uint8_t opcode);
/* A wait with no time to wait: it is over at once. */
bool tdw__only_looks(const struct io_uring_sqe *sqe);
/* The field of the entry that has its first or second descriptor (`which`: 0, 1), or NULL. Not in
 * an entry: those of PPOLL. */
int32_t *tdw__descriptor(struct io_uring_sqe *sqe, int which);
/* Close the duplicates that stood for them; -1: there is none. */
void tdw__close_copies(const int copies[2]);
/* Perform the entry with plain calls. With `prompt` a call that would wait answers -EAGAIN, as far
 * as the kernel can be asked not to wait for that kind of descriptor. */
int32_t tdw__perform(const struct io_uring_sqe *sqe, bool prompt);

/* struct io_uring_buf_reg, whose `flags` the oldest header calls padding. */
struct tdw_buf_reg {
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid, flags;
    uint64_t resv[3];
};
_Static_assert(sizeof(struct tdw_buf_reg) == sizeof(struct io_uring_buf_reg), "the kernel's");

/* ── What is registered, without a kernel (registered.c; epoll) ──────────────────────────────── */
struct tdw_registry;
/* `closes` closes the descriptor of a slot that is emptied; `opened` is told of one that is new. */
struct tdw_registry *tdw__registry_new(void (*closes)(void *owner, int fd),
                                       void (*opened)(void *owner, int fd), void *owner);
void tdw__registry_free(struct tdw_registry *registry);
int tdw__registry_enroll(struct tdw_registry *registry, unsigned opcode, const void *arg,
                         unsigned count);
/* The descriptor in a slot; -EBADF. */
int tdw__registry_file(const struct tdw_registry *registry, uint32_t slot);
/* Put `fd` into slot `index` (IORING_FILE_INDEX_ALLOC: any free one), which takes it over: the
 * slot's number of an ALLOC, else 0; -ENFILE, -EINVAL, -ENXIO. */
int tdw__registry_install(struct tdw_registry *registry, int fd, uint32_t index);
/* Empty a slot: 0; -EBADF, -EINVAL, -ENXIO. */
int tdw__registry_remove(struct tdw_registry *registry, uint32_t index);
/* Does [at, at + bytes) lie in registered buffer `index`? 0, -EFAULT. */
int tdw__registry_buffer(const struct tdw_registry *registry, uint16_t index, uint64_t at,
                         uint64_t bytes);
/* The buffer of a group that would be picked next; false: there is none. */
struct tdw_picked {
    uint64_t addr;
    uint32_t bytes;
    uint16_t id;
};
bool tdw__registry_pick(const struct tdw_registry *registry, uint16_t group,
                        struct tdw_picked *picked);
/* Is it a list (PROVIDE_BUFFERS), and not a ring in memory? */
bool tdw__registry_is_list(const struct tdw_registry *registry, uint16_t group);
/* It was used, for so many bytes. True: it is not used up (IORING_CQE_F_BUF_MORE). */
bool tdw__registry_use(struct tdw_registry *registry, uint16_t group, uint32_t bytes);
/* PROVIDE_BUFFERS, REMOVE_BUFFERS, FILES_UPDATE. */
int32_t tdw__registry_perform(struct tdw_registry *registry, const struct io_uring_sqe *sqe);

/* ── Hosts (hosts.c) and plain calls (calls.c) ─────────────────────────────────────────────── */
extern const struct tdw_calls tdw__real_calls;
#define TDW_REAL_CALL(result, name, parameters, arguments) result tdw__real_##name parameters;
#define TDW_REAL_CALL_VOID(name, parameters, arguments) void tdw__real_##name parameters;
TDW_CALLS_TABLE(TDW_REAL_CALL, TDW_REAL_CALL_VOID)
int tdw__real_sys_fcntl(int fd, int cmd, uintptr_t arg);

static inline struct tdw_host *tdw__host_of(struct tdw_ring *ring)
{
    return tdw_of(ring, struct tdw_boot, ring)->host;
}
/* The host goes on in directory `fd`, which is its own from now on: 0, or -errno, and `fd` is
 * closed. */
int tdw__real_host_move(struct tdw_host *host, int fd);
struct tdw_host *tdw__real_host_new(struct tdw_real *real, const char *name, void (*main)(void *),
                                    void *arg, bool own);
void tdw__real_hosts_free(struct tdw_real *real);
/* The address of one of the loop's own hosts; false: it has none of that name. */
bool tdw__real_host_named(const struct tdw_real *real, const char *name, struct tdw_resolved *to);
int tdw__real_bind_on(const struct tdw_host *host, int fd, const struct sockaddr *address,
                      socklen_t bytes);
void tdw__real_describe(const struct tdw_op *op, struct tdw_described *to); /* describe.c */
/* Does the descriptor move messages whole? */
bool tdw__fd_moves_whole(int fd);
/* The system's addresses of a name: 0, -ENOENT, -EAGAIN, -ENOMEM. Any thread; waits. */
int32_t tdw__real_resolve(const char *name, struct tdw_resolved *to);
/* What an entry of this ring means here: paths begin in the host's directory, and a host binds to
 * its own address. `address` is room for that. Only needed for hosts with an address. */
void tdw__real_localise(struct tdw_ring *ring, struct io_uring_sqe *sqe,
                        struct sockaddr_storage *address);

#endif
