/* SPDX-License-Identifier: MIT */
/*
 * liburing's calls on a simulated ring (include/tidewheel/uring.h): set up, submit, wait.
 *
 *     the program fills entries ─▶ submit: one struct tdw_foreign each ─▶ ops of its task
 *     the program reads the CQ  ◀─ done: its user_data, result, flags ◀── deliveries
 *
 * The rings are the program's memory (tdw_malloc), laid out as liburing's inline functions expect
 * them. An entry is copied into an op from the loop's pool, which lives until its last completion,
 * and what it points to beside the data, too (stable.c).
 * The program's user_data is kept beside it, since the op's own is the runtime's; ops that name
 * others by user_data (cancel, updates) find them through tdw__target.
 *
 * A completion that finds the CQ full waits in a list, in order, and IORING_SQ_CQ_OVERFLOW says so;
 * it moves into the CQ when the program enters the kernel and there is room (IORING_FEAT_NODROP).
 *
 * Waiting suspends the task until enough completions are there; the delivery that makes them enough
 * resumes it. One task submits and waits, as IORING_SETUP_SINGLE_ISSUER wants it.
 */
#include <tidewheel/uring.h>
#include <sim/kernel/uring.h>
#include <sim/kernel/world.h>
#include <string.h>

enum {
    ENTRIES_MAX = 32768,
    KNOWN_FLAGS = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF | IORING_SETUP_CQSIZE |
                  IORING_SETUP_CLAMP | IORING_SETUP_ATTACH_WQ | IORING_SETUP_R_DISABLED |
                  IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    LOOK_NS = 1000, /* what looking in vain costs */
};

static const struct tdw_site site = {"(io_uring)", "submit", "submit", 0};

static struct tdw_uring *of(struct io_uring *ring)
{
    return ring->sq.ring_ptr;
}

/* ── Set up ────────────────────────────────────────────────────────────────────────────────── */

static unsigned power_of_two(unsigned n)
{
    unsigned power = 1;

    while (power < n)
        power *= 2;
    return power;
}

static int sizes(unsigned entries, struct io_uring_params *p)
{
    if (p->flags & ~(uint32_t)KNOWN_FLAGS)
        return -EINVAL;
    if (p->flags & IORING_SETUP_DEFER_TASKRUN && !(p->flags & IORING_SETUP_SINGLE_ISSUER))
        return -EINVAL;
    if (entries > ENTRIES_MAX && p->flags & IORING_SETUP_CLAMP)
        entries = ENTRIES_MAX;
    if (entries == 0 || entries > ENTRIES_MAX)
        return -EINVAL;
    p->sq_entries = power_of_two(entries);
    if (!(p->flags & IORING_SETUP_CQSIZE)) {
        p->cq_entries = 2 * p->sq_entries;
        return 0;
    }
    if (p->cq_entries > 2 * ENTRIES_MAX && p->flags & IORING_SETUP_CLAMP)
        p->cq_entries = 2 * ENTRIES_MAX;
    if (p->cq_entries == 0 || p->cq_entries > 2 * ENTRIES_MAX)
        return -EINVAL;
    p->cq_entries = power_of_two(p->cq_entries);
    return p->cq_entries < p->sq_entries ? -EINVAL : 0;
}

/* Point liburing's view of the rings at ours. */
static void lay_out(struct io_uring *ring, struct tdw_uring *uring, unsigned sq, unsigned cq)
{
    uring->words.sq_mask = sq - 1;
    uring->words.sq_entries = sq;
    uring->words.cq_mask = cq - 1;
    uring->words.cq_entries = cq;
    for (unsigned i = 0; i < sq; i++)
        uring->array[i] = i;
    ring->sq = (struct io_uring_sq){.khead = &uring->words.sq_head,
                                    .ktail = &uring->words.sq_tail,
                                    .kring_mask = &uring->words.sq_mask,
                                    .kring_entries = &uring->words.sq_entries,
                                    .kflags = &uring->words.flags,
                                    .kdropped = &uring->words.dropped,
                                    .array = uring->array,
                                    .sqes = uring->sqes,
                                    .ring_ptr = uring,
                                    .ring_mask = sq - 1,
                                    .ring_entries = sq};
    ring->cq = (struct io_uring_cq){.khead = &uring->words.cq_head,
                                    .ktail = &uring->words.cq_tail,
                                    .kring_mask = &uring->words.cq_mask,
                                    .kring_entries = &uring->words.cq_entries,
                                    .kflags = &uring->words.cq_flags,
                                    .koverflow = &uring->words.overflow,
                                    .cqes = uring->cqes,
                                    .ring_ptr = uring,
                                    .ring_mask = cq - 1,
                                    .ring_entries = cq};
}

static struct tdw_uring *uring_new(unsigned sq, unsigned cq)
{
    const size_t bytes = sizeof(struct tdw_uring) + sq * sizeof(struct io_uring_sqe) +
                         cq * sizeof(struct io_uring_cqe) + sq * sizeof(unsigned);
    struct tdw_uring *uring = tdw__sim_malloc(bytes);

    if (!uring)
        return NULL;
    uring->sqes = (void *)(uring + 1);
    uring->cqes = (void *)(uring->sqes + sq);
    uring->array = (void *)(uring->cqes + cq);
    uring->overflow_tail = &uring->overflow;
    return uring;
}

int tdw_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                struct io_uring_params *params)
{
    const int err = sizes(entries, params);
    struct tdw_uring *uring;

    if (err)
        return err;
    uring = uring_new(params->sq_entries, params->cq_entries);
    if (!uring)
        return -ENOMEM;
    memset(ring, 0, sizeof(*ring));
    lay_out(ring, uring, params->sq_entries, params->cq_entries);
    uring->task = tdw_self();
    uring->next = tdw__process()->urings;
    tdw__process()->urings = uring;
    uring->disabled = params->flags & IORING_SETUP_R_DISABLED;
    params->features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                       IORING_FEAT_RW_CUR_POS | IORING_FEAT_CUR_PERSONALITY |
                       IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS | IORING_FEAT_EXT_ARG |
                       IORING_FEAT_NATIVE_WORKERS | IORING_FEAT_RSRC_TAGS | IORING_FEAT_CQE_SKIP |
                       IORING_FEAT_LINKED_FILE;
    ring->features = params->features;
    ring->flags = params->flags & ~(uint32_t)IORING_SETUP_SQPOLL; /* submit always enters */
    ring->ring_fd = ring->enter_ring_fd = tdw__uring_fd();
    return 0;
}

int tdw_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    struct io_uring_params params = {.flags = flags};

    return tdw_uring_queue_init_params(entries, ring, &params);
}

static void drop_overflow(struct tdw_uring *uring, struct tdw_memory *memory);

static void foreign_free(struct tdw_loop *loop, struct tdw_foreign *foreign)
{
    if (foreign->next)
        foreign->next->prev = foreign->prev;
    if (foreign->prev)
        foreign->prev->next = foreign->next;
    else
        foreign->uring->ops = foreign->next;
    tdw__stable_put(foreign, loop->memory);
    tdw__memory_put(loop->memory, foreign, sizeof(*foreign));
}

/* What a ring holds beside its memory, which is the process's. */
static void forget(struct tdw_process *process, struct tdw_uring *uring)
{
    struct tdw_uring **at = &process->urings;

    while (*at != uring)
        at = &(*at)->next;
    *at = uring->next;
    drop_overflow(uring, process->ring.loop->memory);
    if (uring->eventfd)
        tdw__file_put(uring->eventfd);
}

void tdw__urings_end(struct tdw_process *process)
{
    while (process->urings) {
        struct tdw_uring *uring = process->urings;

        while (uring->ops)
            foreign_free(process->ring.loop, uring->ops);
        forget(process, uring);
    }
}

void tdw_uring_queue_exit(struct io_uring *ring)
{
    struct tdw_uring *uring = of(ring);

    for (struct tdw_foreign *foreign = uring->ops; foreign; foreign = foreign->next)
        tdw__cancel(&foreign->op, -ECANCELED, NULL);
    uring->leaving = true;
    while (uring->ops)
        tdw__pause(uring->task);
    forget(tdw__process(), uring);
    tdw__uring_fd_close(ring->ring_fd);
    tdw__sim_free(uring);
    memset(ring, 0, sizeof(*ring));
    ring->ring_fd = -1;
}

/* ── Completions ───────────────────────────────────────────────────────────────────────────── */

static unsigned ready(const struct tdw_uring *uring)
{
    return uring->words.cq_tail - uring->words.cq_head;
}

static void put(struct tdw_uring *uring, struct io_uring_cqe cqe)
{
    uring->cqes[uring->words.cq_tail & uring->words.cq_mask] = cqe;
    uring->words.cq_tail++;
}

/* A completion that found no room. */
struct tdw_overflow {
    struct tdw_overflow *next;
    struct io_uring_cqe cqe;
};

static void complete(struct tdw_uring *uring, struct io_uring_cqe cqe)
{
    struct tdw_loop *loop = uring->task->ring->loop;
    struct tdw_overflow *late;

    if (uring->leaving)
        return;
    if (!uring->overflow && ready(uring) < uring->words.cq_entries) {
        put(uring, cqe);
    } else {
        late = tdw__memory_get(loop->memory, sizeof(*late));
        if (!late) {
            uring->words.overflow++;
            return;
        }
        late->cqe = cqe;
        *uring->overflow_tail = late;
        uring->overflow_tail = &late->next;
        uring->words.flags |= IORING_SQ_CQ_OVERFLOW;
    }
    if (uring->eventfd && !(uring->words.cq_flags & IORING_CQ_EVENTFD_DISABLED))
        tdw__eventfd_signal(uring->eventfd);
}

/* What was late moves into the CQ as far as there is room. */
static void flush(struct tdw_uring *uring)
{
    while (uring->overflow && ready(uring) < uring->words.cq_entries) {
        struct tdw_overflow *late = uring->overflow;

        put(uring, late->cqe);
        uring->overflow = late->next;
        tdw__memory_put(uring->task->ring->loop->memory, late, sizeof(*late));
    }
    if (!uring->overflow) {
        uring->overflow_tail = &uring->overflow;
        uring->words.flags &= ~IORING_SQ_CQ_OVERFLOW;
    }
}

static void drop_overflow(struct tdw_uring *uring, struct tdw_memory *memory)
{
    while (uring->overflow) {
        struct tdw_overflow *next = uring->overflow->next;

        tdw__memory_put(memory, uring->overflow, sizeof(*uring->overflow));
        uring->overflow = next;
    }
}

static void done(struct tdw_op *op)
{
    struct tdw_foreign *foreign = tdw_of(op, struct tdw_foreign, op);
    struct tdw_uring *uring = foreign->uring;
    const bool last = tdw_op_idle(op);
    struct tdw_task *task = op->task;

    if (!(foreign->quiet && op->res >= 0))
        complete(uring, (struct io_uring_cqe){
                            .user_data = foreign->user_data, .res = op->res, .flags = op->flags});
    if (last)
        foreign_free(task->ring->loop, foreign);
    if (uring->wanted > 0 && ready(uring) >= uring->wanted) {
        uring->wanted = 0;
        tdw__resume(task);
    } else if (uring->leaving && !uring->ops) {
        tdw__resume(task);
    }
}

/* ── Submit ────────────────────────────────────────────────────────────────────────────────── */

enum { REFUSED = 1 }; /* it completes with an error, and is the last of its batch */

/* One entry becomes an op: 0, REFUSED, -EAGAIN (the ring of the process is full, or memory). */
static int submit_one(struct tdw_uring *uring, const struct io_uring_sqe *sqe)
{
    struct tdw_loop *loop = uring->task->ring->loop;
    struct tdw_foreign *foreign = tdw__memory_get(loop->memory, sizeof(*foreign));
    bool refused;
    int err;

    if (!foreign)
        return -EAGAIN;
    foreign->uring = uring;
    foreign->user_data = sqe->user_data;
    foreign->op.sqe = *sqe;
    foreign->quiet = sqe->flags & IOSQE_CQE_SKIP_SUCCESS;
    foreign->op.sqe.flags &= (uint8_t)~IOSQE_CQE_SKIP_SUCCESS; /* or we would never hear of it */
    foreign->op.bits = TDW_OP_FOREIGN;
    foreign->op.done = done;
    foreign->forbidden = !tdw__uring_may_submit(uring, sqe);
    if (sqe->opcode >= TDW_OP_FIRST) /* none of a kernel's */
        foreign->op.sqe.opcode = UINT8_MAX;
    refused = tdw__check_entry(tdw__world(loop), &foreign->op) < 0;
    foreign->next = uring->ops;
    if (foreign->next)
        foreign->next->prev = foreign;
    uring->ops = foreign;
    err = tdw__stable_take(foreign, loop->memory) ? -EAGAIN : tdw__submit(&foreign->op, &site);
    if (err == -EINVAL) { /* a linked time-out in front of everything: the kernel completes it so */
        complete(uring, (struct io_uring_cqe){.user_data = sqe->user_data, .res = -EINVAL});
        err = REFUSED;
    }
    if (err)
        foreign_free(loop, foreign);
    return err ? err : refused ? REFUSED : 0;
}

int tdw_uring_submit(struct io_uring *ring)
{
    struct tdw_uring *uring = of(ring);
    int count = 0, err = 0;

    if (uring->disabled)
        return -EBADFD;
    flush(uring);
    uring->words.sq_tail = ring->sq.sqe_tail; /* what io_uring_get_sqe gave out */
    ring->sq.sqe_head = ring->sq.sqe_tail;
    while (!err && uring->words.sq_head != uring->words.sq_tail) {
        const unsigned index = uring->array[uring->words.sq_head & uring->words.sq_mask];

        err = submit_one(uring, &uring->sqes[index]);
        if (err >= 0) {
            uring->words.sq_head++;
            count++;
        }
        if (err == REFUSED && ring->flags & IORING_SETUP_SUBMIT_ALL)
            err = 0;
    }
    uring->task->ring->chain = NULL; /* a chain ends with its batch */
    return count > 0 ? count : err;
}

/* ── Wait ──────────────────────────────────────────────────────────────────────────────────── */

static void timer_done(struct tdw_op *op)
{
    struct tdw_uring *uring = tdw_of(op, struct tdw_uring, timer);

    if (uring->timer_late) {
        uring->timer_late = false;
        tdw__resume(op->task);
    } else if (uring->wanted > 0) {
        uring->wanted = 0;
        uring->timed_out = true;
        tdw__resume(op->task);
    }
}

static void timer_start(struct tdw_uring *uring, const struct __kernel_timespec *time)
{
    const uint64_t ns = (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;

    tdw_prep_sleep(&uring->timer, ns);
    uring->timer.done = timer_done;
    tdw__submit(&uring->timer, &site);
}

/* The wait is over: nobody is told of the timer's end. If it has run out in this very instant it is
 * on its way, and has to be waited for. */
static void timer_stop(struct tdw_uring *uring)
{
    if (tdw_op_idle(&uring->timer))
        return;
    uring->timer.bits |= TDW_OP_QUIET;
    if (tdw__cancel(&uring->timer, -ECANCELED, NULL) == 0)
        return;
    uring->timer.bits &= (uint8_t)~TDW_OP_QUIET;
    uring->timer_late = true;
    tdw__pause(uring->task);
}

/* Until `count` completions are there: 0, -ETIME. */
static int wait_for(struct tdw_uring *uring, unsigned count, const struct __kernel_timespec *time)
{
    flush(uring);
    if (count > uring->words.cq_entries)
        count = uring->words.cq_entries;
    if (ready(uring) >= count)
        return 0;
    uring->timed_out = false;
    uring->wanted = count;
    if (time)
        timer_start(uring, time);
    uring->task->site = &site;
    tdw__pause(uring->task);
    if (time)
        timer_stop(uring);
    flush(uring);
    return uring->timed_out ? -ETIME : 0;
}

static struct io_uring_cqe *first(struct tdw_uring *uring)
{
    return ready(uring) ? &uring->cqes[uring->words.cq_head & uring->words.cq_mask] : NULL;
}

/* The first completion, if there is one. In vain it costs time. */
static int look(struct tdw_uring *uring, struct io_uring_cqe **cqe)
{
    flush(uring);
    if (!ready(uring))
        tdw_sleep(LOOK_NS);
    *cqe = first(uring);
    return *cqe ? 0 : -EAGAIN;
}

int tdw_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                        struct __kernel_timespec *time, sigset_t *sigmask)
{
    struct tdw_uring *uring = of(ring);
    int err;

    (void)sigmask; /* there are no signals */
    if (wait_nr == 0)
        return look(uring, cqe);
    err = wait_for(uring, wait_nr, time);
    *cqe = first(uring);
    return *cqe ? 0 : err;
}

int tdw_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                               struct __kernel_timespec *time)
{
    return tdw_uring_wait_cqes(ring, cqe, 1, time, NULL);
}

int tdw_uring_wait_cqe_nr(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr)
{
    return tdw_uring_wait_cqes(ring, cqe, wait_nr, NULL, NULL);
}

int tdw_uring_wait_cqe(struct io_uring *ring, struct io_uring_cqe **cqe)
{
    return tdw_uring_wait_cqes(ring, cqe, 1, NULL, NULL);
}

int tdw_uring_peek_cqe(struct io_uring *ring, struct io_uring_cqe **cqe)
{
    return look(of(ring), cqe);
}

unsigned tdw_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned count)
{
    struct tdw_uring *uring = of(ring);
    struct io_uring_cqe *cqe;
    unsigned got = 0;

    look(uring, &cqe);
    for (; got < count && got < ready(uring); got++)
        cqes[got] = &uring->cqes[(uring->words.cq_head + got) & uring->words.cq_mask];
    return got;
}

int tdw_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr)
{
    const int count = tdw_uring_submit(ring);

    if (count >= 0 && wait_nr > 0)
        wait_for(of(ring), wait_nr, NULL);
    return count;
}

int tdw_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                      unsigned wait_nr, struct __kernel_timespec *time,
                                      sigset_t *sigmask)
{
    const int count = tdw_uring_submit(ring);
    int err;

    if (count < 0)
        return count;
    err = tdw_uring_wait_cqes(ring, cqe, wait_nr, time, sigmask);
    return err && !(err == -EAGAIN && wait_nr == 0) ? err : count;
}

int tdw_uring_get_events(struct io_uring *ring)
{
    flush(of(ring));
    return 0;
}

int tdw_uring_submit_and_get_events(struct io_uring *ring)
{
    return tdw_uring_submit(ring);
}

int tdw_uring__get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                       unsigned wait_nr, sigset_t *sigmask)
{
    if (submit > 0) {
        const int count = tdw_uring_submit(ring);

        if (count < 0)
            return count;
    }
    return tdw_uring_wait_cqes(ring, cqe, wait_nr, NULL, sigmask);
}

int tdw_uring__sqring_wait(struct io_uring *ring)
{
    (void)ring;
    return 0; /* submit takes everything */
}
