/* SPDX-License-Identifier: MIT */
/*
 * The `uring` backend: ops are the kernel's own entries, so it hands them over.
 *
 *     start ─▶ submission queue ─┐                      ┌─▶ completion queue ─▶ post ─▶ deliver
 *     start ─▶ submission queue ─┴─ one call: enter ────┘
 *
 * Submissions are gathered while completions are delivered; when none is left, one call submits
 * them all and waits. The kernel does its part of the work inside that call (DEFER_TASKRUN,
 * SINGLE_ISSUER, COOP_TASKRUN, where it has them), so nothing interrupts the program in between. A
 * completion is taken out of the queue when it is about to be delivered, one at a time: what is
 * ready is usually one op, and its place a register.
 *
 * `user_data` in the kernel is the op's address, which is pinned until its last completion; the two
 * low bits say what a completion answers. Links, drains and time-outs are the runtime's; so a
 * cancellation by user_data looks the op up by slot and generation first, and never names one to
 * the kernel that is not there any more.
 *
 * An opcode that the kernel lacks, by its probe at open, is performed by plain calls: at once where
 * those cannot wait, else by a worker. That is never decided by a result.
 *
 * Cost over raw liburing: a copy of 64 bytes, the slot, the event; see `make bench`, echo_uring.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Few entries: both queues stay in the nearest cache, and a full one costs a call. */
enum { ENTRIES = 128, COMPLETIONS_PER_ENTRY = 16, STREAK = 128 };

/* Kernels since 6.1; by the oldest header's names where it has them. */
enum tdw_tag {
    TAG_OP = 0,     /* a completion of the op */
    TAG_ASKER = 1,  /* what a cancellation came to that this op asked for */
    TAG_WAKE = 2,   /* the eventfd was read */
    TAG_NOBODY = 3, /* a cancellation that nobody waits for */
};

enum tdw_route {
    ROUTE_KERNEL, /* zero: an entry of the kernel's */
    ROUTE_LATE,   /* … which it hands to a thread of its own */
    ROUTE_TIMER,
    ROUTE_TIMER_REMOVE,
    ROUTE_CANCEL,
    ROUTE_POLL_REMOVE,
    ROUTE_CLOSE,
    ROUTE_PROMPT, /* plain calls, at once */
    ROUTE_WORKER, /* plain calls, elsewhere */
    ROUTE_RESOLVE,
    ROUTE_NONE,
};

struct late { /* an op that the kernel may look up its descriptors of later */
    struct tdw_op *op;
    int copies[2]; /* of them: duplicates of ours that it was given, or -1 */
};

struct tdw_uring_loop {
    struct tdw_real real; /* the first member */
    struct io_uring ring;
    uint32_t streak;   /* ops delivered since the kernel was last asked */
    uint32_t inkernel; /* completions to come, but for the eventfd's */
    struct late *late;
    struct tdw_op *closes; /* that wait for such ops */
    uint32_t late_count, late_max;
    bool closing;
    uint64_t wakes; /* what the eventfd is read into */
    uint8_t route[256];
};

static inline struct tdw_uring_loop *uring_of(struct tdw_loop *loop)
{
    return (struct tdw_uring_loop *)(void *)loop;
}

static bool reap(struct tdw_uring_loop *u);

/* ── Submission ────────────────────────────────────────────────────────────────────────────── */

static inline struct io_uring_sqe *entry(struct tdw_uring_loop *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    while (TDW_UNLIKELY(!sqe)) { /* the queue is full: hand it over, or let SQPOLL make room */
        if (u->ring.flags & IORING_SETUP_SQPOLL) {
            io_uring_submit(&u->ring); /* else the thread sees nothing to make room of */
            io_uring_sqring_wait(&u->ring);
        } else if (io_uring_submit(&u->ring) < 0 && !reap(u)) {
            io_uring_get_events(&u->ring); /* completions may stand in the way */
        }
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

/* The kernel has all that was submitted: what an entry's numbers mean is settled. */
static void flush(struct tdw_uring_loop *u)
{
    while (io_uring_sq_ready(&u->ring) > 0) {
        if (io_uring_submit(&u->ring) < 0 && !reap(u))
            io_uring_get_events(&u->ring);
        if (u->ring.flags & IORING_SETUP_SQPOLL)
            sched_yield(); /* its thread is at it */
    }
}

static void arm_wake(struct tdw_uring_loop *u)
{
    struct io_uring_sqe *sqe = entry(u);

    io_uring_prep_read(sqe, u->real.wake_fd, &u->wakes, sizeof u->wakes, 0);
    sqe->user_data = TAG_WAKE;
}

/* Links, drains and silent successes are the runtime's. */
enum { OUR_FLAGS = IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN | IOSQE_CQE_SKIP_SUCCESS };

static inline struct io_uring_sqe *submit(struct tdw_uring_loop *u, struct tdw_op *op,
                                          enum tdw_tag tag)
{
    struct io_uring_sqe *sqe = entry(u);

    *sqe = op->sqe;
    sqe->flags &= (uint8_t)~OUR_FLAGS;
    sqe->user_data = (uintptr_t)op | tag;
    u->inkernel++;
    return sqe;
}

static void ask_to_cancel(struct tdw_uring_loop *u, const struct tdw_op *target,
                          struct tdw_op *asker)
{
    struct io_uring_sqe *sqe = entry(u);

    io_uring_prep_cancel64(sqe, (uintptr_t)target, 0);
    sqe->user_data = asker ? (uintptr_t)asker | TAG_ASKER : TAG_NOBODY;
    u->inkernel++;
}

/* ── Cancel ────────────────────────────────────────────────────────────────────────────────── */

/* How many of a cancellation of many are yet to be answered, and what they came to so far. */
static void count_answer(struct tdw_op *cancel, int32_t answer)
{
    struct tdw_slot *slot = tdw__slot(cancel->task->ring, cancel);
    const bool all = cancel->sqe.cancel_flags & IORING_ASYNC_CANCEL_ALL;

    if (all)
        cancel->res += answer == 0;
    else
        cancel->res = answer;
    if (--slot->sum == 0)
        tdw__post(cancel, cancel->res, 0, 0);
}

/* What one cancellation came to, by the kernel or by a worker. */
static void answered(struct tdw_op *asker, int32_t res)
{
    const uint32_t flags = asker->sqe.cancel_flags;

    if (asker->sqe.opcode == IORING_OP_LINK_TIMEOUT)
        tdw__post(asker, res ? res : -ETIME, 0, 0);
    else if (asker->sqe.opcode == IORING_OP_ASYNC_CANCEL && flags & IORING_ASYNC_CANCEL_ANY)
        count_answer(asker, res);
    else if (asker->sqe.opcode == IORING_OP_ASYNC_CANCEL && flags & IORING_ASYNC_CANCEL_FD)
        tdw__post(asker, res < 0 ? res : res + asker->res, 0, 0); /* with those of workers */
    else if (asker->sqe.opcode == IORING_OP_ASYNC_CANCEL && flags & IORING_ASYNC_CANCEL_ALL)
        tdw__post(asker, res == 0, 0, 0);
    else
        tdw__post(asker, res, 0, 0);
}

static int uring_withdraw(struct tdw_ring *ring, struct tdw_op *op, int32_t res,
                          struct tdw_op *asker)
{
    struct tdw_uring_loop *u = uring_of(ring->loop);
    int ret;

    if (tdw__is_timer(op) || tdw__real_is_delayed(&u->real, op)) {
        tdw__real_timer_stop(&u->real, op);
        return 0;
    }
    if (op->sqe.opcode == IORING_OP_ASYNC_CANCEL || /* its slot counts its answers */
        op->sqe.opcode == IORING_OP_CLOSE)          /* its number is nobody's any more */
        return -EALREADY;
    ret = tdw__worker_cancel(&u->real, op);
    if (ret == 0 || ret == -EALREADY)
        return ret;
    tdw__real_will_answer(op, res);
    if (ret != -EINPROGRESS)
        ask_to_cancel(u, op, asker);
    else if (asker) /* a worker's, interrupted */
        answered(asker, 0);
    return -EINPROGRESS;
}

/* Of ANY: the runtime knows what there is, the kernel only what it has. */
static void cancel_any(struct tdw_ring *ring, struct tdw_op *cancel)
{
    const bool all = cancel->sqe.cancel_flags & IORING_ASYNC_CANCEL_ALL;
    const bool held = tdw__starts_hold(ring);
    struct tdw_slot *slot = tdw__slot(ring, cancel);

    cancel->res = all ? 0 : -ENOENT;
    slot->sum = 1; /* our own, so that no answer ends it too early */
    for (uint32_t i = 0; i < ring->slots_used; i++) {
        struct tdw_op *op = ring->slots[i].op;
        int ret;

        if (!op || op == cancel || op->state == TDW_POSTED || !tdw__cancellable(op) ||
            tdw__real_ends_already(op))
            continue;
        slot->sum++;
        ret = tdw__cancel(op, -ECANCELED, cancel);
        if (ret != -EINPROGRESS)
            count_answer(cancel, ret);
        if (!all)
            break;
    }
    tdw__starts_go(ring, held);
    if (--slot->sum == 0)
        tdw__post(cancel, cancel->res, 0, 0);
}

/* Those that workers do on the descriptor; how many were stopped, one at most if not all. */
static int32_t cancel_workers(struct tdw_uring_loop *u, struct tdw_ring *ring,
                              const struct tdw_op *cancel)
{
    const bool all = cancel->sqe.cancel_flags & IORING_ASYNC_CANCEL_ALL;
    const bool held = tdw__starts_hold(ring);
    int32_t count = 0;

    for (uint32_t i = 0; i < ring->slots_used && (all || count == 0); i++) {
        struct tdw_op *op = ring->slots[i].op;
        int ret;

        if (!op || op == cancel || u->route[op->sqe.opcode] != ROUTE_WORKER ||
            tdw__real_ends_already(op) || !tdw__worker_names(&u->real, op, cancel->sqe.fd))
            continue;
        ret = tdw__cancel(op, -ECANCELED, NULL);
        count += ret == 0 || ret == -EINPROGRESS;
    }
    tdw__starts_go(ring, held);
    return count;
}

/* The kernel knows best what waits on its file, but for what workers do there. */
static void cancel_fd(struct tdw_uring_loop *u, struct tdw_ring *ring, struct tdw_op *op)
{
    const uint32_t flags = op->sqe.cancel_flags;

    if (tdw__worker_count(&u->real) > 0 && fcntl(op->sqe.fd, F_GETFD) >= 0 &&
        !(flags & ~(uint32_t)(IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD)))
        op->res = cancel_workers(u, ring, op);
    if (op->res > 0 && !(flags & IORING_ASYNC_CANCEL_ALL)) {
        tdw__post(op, 0, 0, 0);
        return;
    }
    submit(u, op, TAG_ASKER);
}

static void cancel_start(struct tdw_uring_loop *u, struct tdw_ring *ring, struct tdw_op *op)
{
    const uint32_t flags = op->sqe.cancel_flags;
    struct tdw_op *target;
    int ret = -ENOENT;

    if (flags & IORING_ASYNC_CANCEL_FD) {
        cancel_fd(u, ring, op);
        return;
    }
    if (op->sqe.off || op->sqe.len || op->sqe.splice_fd_in ||
        flags & ~(uint32_t)(IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY)) {
        tdw__post(op, -EINVAL, 0, 0);
        return;
    }
    if (flags & IORING_ASYNC_CANCEL_ANY) {
        cancel_any(ring, op);
        return;
    }
    target = tdw__find(ring, op->sqe.addr);
    if (target && target != op && tdw__cancellable(target))
        ret = tdw__cancel(target, -ECANCELED, op);
    if (ret != -EINPROGRESS)
        tdw__post(op, flags & IORING_ASYNC_CANCEL_ALL ? ret == 0 : ret, 0, 0);
}

static void poll_remove_start(struct tdw_uring_loop *u, struct tdw_ring *ring, struct tdw_op *op)
{
    const struct tdw_op *target = tdw__find(ring, op->sqe.addr);

    if (!tdw__poll_update_allowed(&op->sqe)) {
        tdw__post(op, -EINVAL, 0, 0);
        return;
    }
    if (!target || target->sqe.opcode != IORING_OP_POLL_ADD || target->state != TDW_PENDING) {
        tdw__post(op, -ENOENT, 0, 0);
        return;
    }
    op->sqe.addr = (uintptr_t)target;
    submit(u, op, TAG_OP);
}

/* ── What the kernel does later ────────────────────────────────────────────────────────────────
 * Of an entry that a thread of its own performs the kernel looks the descriptor up there, later
 * than at the submission, when the number may be another file's. So while there are such ops on a
 * number, a close of it waits for them, as long as a device takes. A splice may wait for somebody:
 * it is given duplicates.
 */

/* May it wait for somebody? */
static bool splices(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_SPLICE || sqe->opcode == IORING_OP_TEE;
}

/* Is a descriptor of the entry a slot? */
static bool is_slot(const struct io_uring_sqe *sqe, int which)
{
    return which ? splices(sqe) && sqe->splice_flags & SPLICE_F_FD_IN_FIXED
                 : sqe->flags & IOSQE_FIXED_FILE;
}

static bool names_late(struct late *late, bool fixed, int fd)
{
    for (int i = 0; i < 2; i++) {
        const int32_t *place = tdw__descriptor(&late->op->sqe, i);

        if (place && *place == fd && late->copies[i] < 0 && fixed == is_slot(&late->op->sqe, i))
            return true;
    }
    return false;
}

static bool is_late_on(struct tdw_uring_loop *u, bool fixed, int fd)
{
    for (uint32_t i = 0; i < u->late_count; i++)
        if (names_late(&u->late[i], fixed, fd))
            return true;
    return false;
}

/* Those that are no slots become duplicates; without room for one it stays the number. */
static void duplicate(struct late *late, struct io_uring_sqe *sqe)
{
    for (int i = 0; i < 2; i++) {
        int32_t *place = tdw__descriptor(sqe, i);

        if (is_slot(sqe, i))
            continue;
        late->copies[i] = fcntl(*place, F_DUPFD_CLOEXEC, 0);
        *place = late->copies[i] < 0 ? *place : late->copies[i];
    }
}

static void late_start(struct tdw_uring_loop *u, struct tdw_op *op)
{
    struct io_uring_sqe *sqe =
        submit(u, op, TAG_OP); /* first: others may end, or start, meanwhile */
    struct late *late = &u->late[u->late_count];

    if (u->late_count == u->late_max) {
        const uint32_t max = u->late_max ? u->late_max * 2 : 16;

        late = realloc(u->late, max * sizeof *late);
        if (!late)
            abort(); /* an accepted op cannot be refused any more */
        u->late = late;
        u->late_max = max;
        late = &u->late[u->late_count];
    }
    *late = (struct late){op, {-1, -1}};
    u->late_count++;
    if (splices(&op->sqe))
        duplicate(late, sqe);
}

static void close_start(struct tdw_uring_loop *u, struct tdw_op *op);

/* `op` may be one of them, and has ended: closes that waited for it go on. */
static void late_ended(struct tdw_uring_loop *u, const struct tdw_op *op)
{
    struct tdw_op *closes = u->closes;
    uint32_t at = 0;

    while (at < u->late_count && u->late[at].op != op)
        at++;
    if (at == u->late_count)
        return;
    tdw__close_copies(u->late[at].copies);
    u->late[at] = u->late[--u->late_count];
    u->closes = NULL;
    while (closes) {
        struct tdw_op *next = closes->next;

        close_start(u, closes);
        closes = next;
    }
}

/* Wait for those on the number, or, `fixed`, on any slot, but for what may wait itself. */
static void late_settle(struct tdw_uring_loop *u, bool fixed, int fd)
{
    struct io_uring_cqe *cqe;

    flush(u);
    for (uint32_t i = 0; i < u->late_count;) {
        if (splices(&u->late[i].op->sqe) ||
            (fixed ? !is_slot(&u->late[i].op->sqe, 0) : !names_late(&u->late[i], false, fd))) {
            i++;
            continue;
        }
        if (!reap(u))
            io_uring_wait_cqe(&u->ring, &cqe);
        i = 0;
    }
}

/* What is asked to be done by a thread and is no file's waits for somebody, and holds its file from
 * the submission on if the thread is left out, which is a hint. */
static bool is_of_a_file(const struct tdw_op *op)
{
    struct stat info;

    if (op->sqe.flags & IOSQE_FIXED_FILE)
        return true;
    return fstat(op->sqe.fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISBLK(info.st_mode));
}

static void async_start(struct tdw_uring_loop *u, struct tdw_op *op)
{
    const uint8_t flags = op->sqe.flags;

    if (is_of_a_file(op)) {
        late_start(u, op);
        return;
    }
    op->sqe.flags &= (uint8_t)~IOSQE_ASYNC;
    submit(u, op, TAG_OP);
    op->sqe.flags = flags;
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

static void resolve_start(struct tdw_uring_loop *u, struct tdw_op *op)
{
    if (tdw__real_host_named(&u->real, (const char *)(uintptr_t)op->sqe.addr,
                             (struct tdw_resolved *)(uintptr_t)op->sqe.off))
        tdw__post(op, 0, 0, 0);
    else if (tdw__worker_begin(&u->real, op, &op->sqe, TDW_UNBOUNDED) < 0)
        tdw__post(op, -EAGAIN, 0, 0);
}

static enum tdw_lane lane_of(uint8_t opcode)
{
    return tdw__kind(opcode) == TDW_K_FILE ? TDW_BOUNDED : TDW_UNBOUNDED;
}

/* By plain calls, of a kernel that has no such opcode, or of none. */
static void call_start(struct tdw_uring_loop *u, struct tdw_ring *ring, struct tdw_op *op,
                       bool prompt)
{
    struct sockaddr_storage room;
    struct io_uring_sqe sqe = op->sqe;

    if (op->sqe.flags & IOSQE_FIXED_FILE) {
        tdw__post(op, -EBADF, 0, 0); /* a slot of the kernel's table, which it cannot use itself */
        return;
    }
    tdw__real_localise(ring, &sqe, &room);
    if (prompt || tdw__only_looks(&sqe))
        tdw__post(op, tdw__perform(&sqe, true), 0, 0);
    else if (tdw__worker_begin(&u->real, op, &sqe, lane_of(sqe.opcode)) < 0)
        tdw__post(op, -EAGAIN, 0, 0);
}

/* The kernel's ops hold files; those of workers have numbers, which have to stay theirs. */
static void close_start(struct tdw_uring_loop *u, struct tdw_op *op)
{
    const bool plain = !op->sqe.file_index && op->sqe.fd >= 0;
    int ret = -ENOENT;

    if (is_late_on(u, !plain, plain ? op->sqe.fd : (int)op->sqe.file_index - 1)) {
        op->next = u->closes;
        u->closes = op;
        return;
    }
    if (plain && TDW_UNLIKELY(tdw__worker_count(&u->real) > 0)) {
        flush(u); /* what was submitted before it has its file */
        ret = tdw__worker_close(&u->real, op, op->sqe.fd);
    }
    if (ret == -ENOENT)
        submit(u, op, TAG_OP);
    else if (ret < 0)
        tdw__post(op, ret, 0, 0);
}

static void start_other(struct tdw_uring_loop *u, struct tdw_ring *ring, struct tdw_op *op)
{
    switch ((enum tdw_route)u->route[op->sqe.opcode]) {
    case ROUTE_KERNEL: { /* on a host with a place of its own, or by a thread */
        struct sockaddr_storage room;

        if (tdw__host_of(ring)->dir != AT_FDCWD)
            tdw__real_localise(ring, &op->sqe, &room);
        if (op->sqe.flags & IOSQE_ASYNC)
            async_start(u, op);
        else
            submit(u, op, TAG_OP);
        return;
    }
    case ROUTE_LATE:
        if (tdw__host_of(ring)->dir != AT_FDCWD)
            tdw__real_localise(ring, &op->sqe, NULL);
        late_start(u, op);
        return;
    case ROUTE_TIMER:
        tdw__real_timer_begin(&u->real, op);
        return;
    case ROUTE_TIMER_REMOVE:
        tdw__post(op, tdw__real_timer_remove(&u->real, op), 0, 0);
        return;
    case ROUTE_CANCEL:
        cancel_start(u, ring, op);
        return;
    case ROUTE_POLL_REMOVE:
        poll_remove_start(u, ring, op);
        return;
    case ROUTE_CLOSE:
        close_start(u, op);
        return;
    case ROUTE_PROMPT:
        call_start(u, ring, op, true);
        return;
    case ROUTE_WORKER:
        call_start(u, ring, op, false);
        return;
    case ROUTE_RESOLVE:
        resolve_start(u, op);
        return;
    case ROUTE_NONE:
        break;
    }
    tdw__real_lacks(&u->real, op);
}

static void uring_start(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_uring_loop *u = uring_of(ring->loop);

    op->state = TDW_PENDING;
    op->res = 0;
    if (TDW_LIKELY(u->route[op->sqe.opcode] == ROUTE_KERNEL &&
                   tdw__host_of(ring)->dir == AT_FDCWD && !(op->sqe.flags & IOSQE_ASYNC)))
        submit(u, op, TAG_OP);
    else
        start_other(u, ring, op);
    /* A task that was told to stop waits for nobody: what cannot go on at once is cancelled. */
    if (TDW_UNLIKELY(op->task->bits & TDW_TASK_STOPPING) && op->state == TDW_PENDING)
        tdw__cancel(op, -ECANCELED, NULL);
}

/* ── Completion ────────────────────────────────────────────────────────────────────────────── */

/* One completion of `op` has come. */
static inline void complete(struct tdw_uring_loop *u, struct tdw_op *op, int32_t res,
                            uint32_t flags)
{
    if (TDW_UNLIKELY(flags & IORING_CQE_F_MORE)) {
        u->inkernel++; /* there is another to come */
        if (!tdw__post_more(op, res, flags & ~IORING_CQE_F_MORE, 0))
            ask_to_cancel(u, op, NULL); /* no memory: it has to end */
        return;
    }
    tdw__real_post(op, res, flags);
    if (TDW_UNLIKELY(u->late_count > 0))
        late_ended(u, op);
}

/* Take one completion out of the queue; false: there is none. */
static bool reap(struct tdw_uring_loop *u)
{
    struct io_uring_cq *cq = &u->ring.cq;
    const unsigned head = *cq->khead;
    const struct io_uring_cqe *cqe = &cq->cqes[head & *cq->kring_mask];
    uint64_t word;
    uint32_t flags;
    int32_t res;

    if (head == io_uring_smp_load_acquire(cq->ktail))
        return false;
    word = cqe->user_data;
    flags = cqe->flags;
    res = cqe->res;
    io_uring_smp_store_release(cq->khead, head + 1);
    switch ((enum tdw_tag)(word & 3)) {
    case TAG_OP:
        u->inkernel--;
        if (TDW_LIKELY(!u->closing))
            complete(u, (struct tdw_op *)(uintptr_t)word, res, flags);
        else
            u->inkernel += flags & IORING_CQE_F_MORE ? 1 : 0;
        break;
    case TAG_ASKER:
        u->inkernel--;
        if (!u->closing)
            answered((struct tdw_op *)(uintptr_t)(word & ~(uint64_t)3), res);
        break;
    case TAG_WAKE:
        if (!u->closing) {
            arm_wake(u);
            tdw__real_woken(&u->real);
        }
        break;
    case TAG_NOBODY:
        u->inkernel--;
        break;
    }
    return true;
}

/* One call: submit what was gathered, and wait until `until_ns` for something to come. */
static void enter(struct tdw_uring_loop *u, uint64_t until_ns)
{
    struct __kernel_timespec left;
    struct io_uring_cqe *cqe;
    uint64_t now = u->real.loop.now_ns;

    u->streak = 0;
    if (until_ns != TDW_NEVER && u->real.loop.late)
        now = tdw__real_now(&u->real);
    if (until_ns <= now) {
        io_uring_submit_and_get_events(&u->ring);
    } else if (until_ns == TDW_NEVER) {
        io_uring_submit_and_wait(&u->ring, 1);
        u->real.loop.late = true; /* there is no timer, and perhaps nobody who asks */
        return;
    } else {
        left.tv_sec = (long long)((until_ns - now) / 1000000000u);
        left.tv_nsec = (long long)((until_ns - now) % 1000000000u);
        io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &left, NULL);
    }
    if (tdw__real_timers_next(&u->real) > tdw__real_now(&u->real) || u->closing)
        return;     /* nothing starts any more when the loop is being closed */
    while (reap(u)) /* what is done already beats its deadline, however late the two are seen */
        ;
    tdw__real_timers_fire(&u->real);
}

/* Something is ready, or false: nothing comes until the deadline, or ever. */
static bool gather(struct tdw_uring_loop *u, uint64_t deadline_ns)
{
    struct tdw_loop *loop = &u->real.loop;
    bool asked = false;

    for (;;) {
        while (loop->ready.count == 0 && reap(u))
            ;
        if (TDW_LIKELY(loop->ready.count > 0))
            return true;
        if (u->inkernel == 0 && !tdw__real_expects(&u->real))
            return false;
        if (asked && loop->now_ns >= deadline_ns)
            return false;
        enter(u, tdw__real_until(&u->real, deadline_ns));
        asked = true;
    }
}

static struct tdw_op *uring_next(struct tdw_loop *loop, uint64_t deadline_ns)
{
    struct tdw_uring_loop *u = uring_of(loop);

    if (TDW_UNLIKELY(++u->streak >=
                     STREAK)) { /* what is gathered, and timers, have waited enough */
        enter(u, 0);
        while (loop->ready.count > 0 && reap(u)) /* nor may those that only yield starve others */
            ;
    }
    if (loop->ready.count == 0 && !gather(u, deadline_ns))
        return NULL;
    if (TDW_UNLIKELY(loop->taps != NULL))
        tdw__real_now(&u->real); /* a trace has the time of each step */
    return tdw__ready_take(loop, 0);
}

/* What a slot of the kernel's table holds is not known here. */
static bool uring_moves_whole(const struct tdw_op *op)
{
    return !(op->sqe.flags & IOSQE_FIXED_FILE) && tdw__fd_moves_whole(op->sqe.fd);
}

static const struct tdw_backend_ops uring_backend = {
    .name = "uring",
    .start = uring_start,
    .delay = tdw__real_delay,
    .moves_whole = uring_moves_whole,
    .next = uring_next,
    .step = tdw__real_step,
    .withdraw = uring_withdraw,
    .forget = tdw__real_forget,
    .enter = tdw__real_enter,
    .clock = tdw__real_clock,
    .counted = tdw__real_timers_counted,
    .ended = tdw__real_ended,
    .wake = tdw__real_loop_wake,
    .release = tdw__real_release,
    .describe = tdw__real_describe,
    .calls = &tdw__real_calls,
};

/* ── Opened and closed ─────────────────────────────────────────────────────────────────────── */

static int uring_enroll(struct tdw_real *real, unsigned opcode, const void *arg, unsigned count)
{
    struct tdw_uring_loop *u = uring_of(&real->loop);
    long ret;

    late_settle(u, true, -1); /* what was submitted before is about what was registered before */
    ret = syscall(__NR_io_uring_register, u->ring.ring_fd, opcode, arg, count);
    return ret < 0 ? -errno : (int)ret;
}

static void uring_forget_fd(struct tdw_real *real, int fd)
{
    late_settle(uring_of(&real->loop), false, fd);
    tdw__worker_leave(real, fd);
}

static void uring_closed(struct tdw_real *real)
{
    struct tdw_uring_loop *u = uring_of(&real->loop);

    u->closing = true;
    for (struct tdw_boot *boot = real->boots; boot && u->inkernel > 0; boot = boot->next)
        for (uint32_t i = 0; i < boot->ring.slots_used; i++) { /* ANY is younger than 5.11 */
            const struct tdw_op *op = boot->ring.slots[i].op;

            if (op && op->state == TDW_PENDING)
                ask_to_cancel(u, op, NULL);
        }
    while (u->inkernel > 0) {
        enter(u, tdw__real_now(real) + 10000000);
        while (reap(u))
            ;
    }
    for (const struct tdw_op *op = u->closes; op; op = op->next)
        if (!op->sqe.file_index)
            close(op->sqe.fd); /* what it waited for has ended */
    io_uring_queue_exit(&u->ring);
    for (uint32_t i = 0; i < u->late_count; i++)
        tdw__close_copies(u->late[i].copies);
    free(u->late);
}

/* What this kernel can do: by its probe, once. */
static int route_all(struct tdw_uring_loop *u, uint64_t missing)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);

    if (!probe)
        return -ENOSYS;
    for (int opcode = 0; opcode < 256; opcode++) {
        const enum tdw_kind kind = tdw__kind((uint8_t)opcode);

        if (kind == TDW_K_PROMPT)
            u->route[opcode] = ROUTE_PROMPT;
        else if (kind == TDW_K_UNKNOWN || (kind == TDW_K_OWN && opcode != IORING_OP_CLOSE))
            u->route[opcode] = ROUTE_NONE; /* buffers and slots are the kernel's, or nobody's */
        else
            u->route[opcode] = ROUTE_WORKER;
        if (opcode < 64 && !(missing >> opcode & 1) && io_uring_opcode_supported(probe, opcode))
            u->route[opcode] = kind == TDW_K_FILE || kind == TDW_K_WAIT ? ROUTE_LATE : ROUTE_KERNEL;
    }
    io_uring_free_probe(probe);
    u->route[IORING_OP_TIMEOUT] = u->route[IORING_OP_LINK_TIMEOUT] = ROUTE_TIMER;
    u->route[IORING_OP_TIMEOUT_REMOVE] = ROUTE_TIMER_REMOVE;
    u->route[IORING_OP_ASYNC_CANCEL] = ROUTE_CANCEL;
    u->route[IORING_OP_POLL_REMOVE] = ROUTE_POLL_REMOVE;
    u->route[IORING_OP_CLOSE] = ROUTE_CLOSE;   /* every kernel that has EXT_ARG has it */
    u->route[IORING_OP_MSG_RING] = ROUTE_NONE; /* its completions would be nobody's op */
    u->route[TDW_OP_BIND] = ROUTE_PROMPT;      /* a host binds to its own address */
    u->route[TDW_OP_RESOLVE] = ROUTE_RESOLVE;
    return 0;
}

/* The best set-up that the kernel takes: each line is tried if the one before is refused. 0;
 * -ENOSYS: it is older than 5.11, or takes none; or what it answered. */
static int queue_init(struct tdw_uring_loop *u, const struct tdw_loop_options *options)
{
    static const unsigned ways[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_SUBMIT_ALL, /* 5.18 */
        0,
    };
    const uint32_t entries = options->entries ? options->entries : ENTRIES;
    int ret = -EINVAL;

    for (size_t i = 0; i < sizeof ways / sizeof *ways && ret == -EINVAL; i++) {
        struct io_uring_params params = {.flags = ways[i],
                                         .cq_entries = entries * COMPLETIONS_PER_ENTRY};

        if (options->sqpoll) { /* its thread runs the kernel's part of the work */
            params.flags = IORING_SETUP_SQPOLL | (ways[i] & IORING_SETUP_SINGLE_ISSUER);
            params.sq_thread_idle = options->sqpoll_idle_ms;
        }
        params.flags |= IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        ret = io_uring_queue_init_params(entries, &u->ring, &params);
        if (ret == 0 && !(params.features & IORING_FEAT_EXT_ARG)) { /* before 5.11 */
            io_uring_queue_exit(&u->ring);
            ret = -ENOSYS;
        }
    }
    return ret == -EINVAL ? -ENOSYS : ret;
}

int tdw__uring_open(struct tdw_loop **loop, const struct tdw_loop_options *options)
{
    struct tdw_uring_loop *u = calloc(1, sizeof *u);
    int ret = u ? queue_init(u, options) : -ENOMEM;

    if (ret < 0) {
        free(u);
        return ret;
    }
    ret = tdw__real_init(&u->real, &uring_backend, options);
    if (ret == 0) {
        ret = route_all(u, options->missing);
        if (ret < 0)
            tdw__real_fini(&u->real);
    }
    if (ret < 0) {
        io_uring_queue_exit(&u->ring);
        free(u);
        return ret;
    }
    io_uring_register_ring_fd(&u->ring); /* saves a look-up for each call, where there is such */
    u->real.enroll = uring_enroll;
    u->real.forget_fd = uring_forget_fd;
    u->real.closed = uring_closed;
    arm_wake(u);
    *loop = &u->real.loop;
    return 0;
}
