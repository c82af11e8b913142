/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads that perform ops which would make the loop wait.
 *
 *     loop: begin ─▶ [queue] ─▶ worker: perform ─▶ [finished] ─▶ eventfd ─▶ loop: reap, post
 *
 * There are two kinds of work, as in io_uring's own pool. *Bounded* work waits for a device: at
 * most BOUNDED_MAX threads do it, more would not make a disk faster. *Unbounded* work waits for
 * somebody else (a lock, a child, a name server): each gets a thread, since any of them may wait
 * for ever and must not keep the next from starting. Threads are started when there is work and
 * nobody idle, and stay.
 *
 * A job is a copy of the entry, so a worker never looks at the op. Only the loop's thread posts.
 * What waits is interrupted by a signal (SIGRTMAX - 1, whose disposition does nothing): its call
 * answers -EINTR, and the job ends -ECANCELED. The signal is sent again until the job has ended,
 * because it may come between the look at `stop` and the call.
 *
 * An entry has a number where the kernel's would have the file, and the number may be closed and
 * be another file's before the job has made its call. So nobody closes a number that a job has:
 * what has not begun is given a duplicate, what waits is interrupted and goes on with one, and the
 * close itself becomes a job that waits until the rest, which waits for devices only, has ended.
 * Not every job has a duplicate from the start, because closing one drops the process's POSIX locks
 * on the file.
 *
 * Cost: a mutex and a futex each way, about 10 us.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BOUNDED_MAX = 4, UNBOUNDED_MAX = 1024, JOBS_KEPT = 64 };
#define INTERRUPT (SIGRTMAX - 1)

struct job {
    struct job *next;
    struct tdw_op *op; /* NULL: a close that nobody waits for */
    struct io_uring_sqe sqe;
    int32_t res;      /* not 0 before it runs: it cannot */
    int copies[2];    /* duplicates of ours of its descriptors, or -1 */
    bool moved;       /* it is to go on with them */
    bool gone;        /* a close that may have happened: the number may be another file's */
    pthread_t thread; /* valid while it runs */
    bool waits;
    bool looked;     /* whether an open waits for somebody was asked, or need not be */
    uint64_t end_ns; /* of a wait with a time-out, on CLOCK_MONOTONIC; TDW_NEVER */
    atomic_bool stop;
};

struct lane { /* one of the two kinds */
    struct job *head, **tail;
    pthread_cond_t work;
    uint32_t threads, threads_max, idle;
};

struct tdw_workers {
    struct tdw_real *real;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t left;  /* a job has ended, or gone on with a duplicate */
    struct lane lanes[2]; /* by enum tdw_lane */
    struct job *running, *finished, **finished_tail;
    struct job *spare;
    pthread_t *threads;
    uint32_t threads_count, threads_room, spare_count;
    bool closing;
    uint32_t count; /* the loop's own: begun and not reaped */
};

static void nothing(int signal)
{
    (void)signal;
}

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

static bool names(struct job *job, int which, int fd)
{
    const int32_t *place = tdw__descriptor(&job->sqe, which);

    return place && *place == fd;
}

static void adopt(struct job *job)
{
    for (int i = 0; i < 2; i++)
        if (job->copies[i] >= 0)
            *tdw__descriptor(&job->sqe, i) = job->copies[i];
    job->moved = false;
}

/* Duplicate what it has as `fd`. */
static void duplicate(struct job *job, int fd)
{
    for (int i = 0; i < 2; i++)
        if (names(job, i, fd) && job->copies[i] < 0) {
            job->copies[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
            job->moved = true;
            if (job->copies[i] < 0)
                job->res = -errno;
        }
}

/* Whoever can go on without the number is made to. How many run and still have it. */
static uint32_t move_away(struct tdw_workers *workers, int fd)
{
    uint32_t running = 0;

    for (int i = 0; i < 2; i++)
        for (struct job *job = workers->lanes[i].head; job; job = job->next) {
            duplicate(job, fd);
            adopt(job);
        }
    for (struct job *job = workers->running; job; job = job->next) {
        if (!names(job, 0, fd) && !names(job, 1, fd))
            continue;
        running++;
        if (job->waits) {
            duplicate(job, fd);
            pthread_kill(job->thread, INTERRUPT);
        }
    }
    return running;
}

/* Any thread: returns when no job has the number, nor will. `closes`: the job that closes it now,
 * or NULL. */
static void leave(struct tdw_workers *workers, int fd, struct job *closes)
{
    pthread_mutex_lock(&workers->lock);
    while (move_away(workers, fd) > 0) {
        struct timespec soon; /* a signal may come too early, and is sent again */

        clock_gettime(CLOCK_MONOTONIC, &soon);
        soon.tv_nsec += 1000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&workers->left, &workers->lock, &soon);
    }
    if (closes)
        closes->gone = true;
    pthread_mutex_unlock(&workers->lock);
}

/* ── On a worker's thread ──────────────────────────────────────────────────────────────────── */

static void unlink_running(struct tdw_workers *workers, struct job *job)
{
    struct job **at = &workers->running;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}

/* Put the duplicates in; not 0: it cannot go on. */
static int32_t go_on(struct tdw_workers *workers, struct job *job)
{
    int32_t res;

    pthread_mutex_lock(&workers->lock);
    if (job->moved) {
        adopt(job);
        pthread_cond_broadcast(&workers->left);
    }
    res = job->res;
    pthread_mutex_unlock(&workers->lock);
    return res;
}

/* The entry as it is to be performed now: a wait that goes on has less time left. */
static struct io_uring_sqe now_of(const struct job *job)
{
    struct io_uring_sqe sqe = job->sqe;
    uint64_t now;

    if (job->end_ns != TDW_NEVER) {
        now = tdw__os_clock_ns(CLOCK_MONOTONIC);
        sqe.off = job->end_ns > now ? job->end_ns - now : 0;
    }
    return sqe;
}

static int32_t run(struct tdw_workers *workers, struct job *job, int32_t res)
{
    struct io_uring_sqe sqe;

    while (!res) {
        if (atomic_load(&job->stop))
            return -ECANCELED;
        if (job->sqe.opcode == IORING_OP_CLOSE)
            leave(workers, job->sqe.fd, job);
        sqe = now_of(job);
        res = tdw__perform(&sqe, false);
        if (res != -EINTR || !job->waits)
            return res;
        res = go_on(workers, job);
    }
    return res;
}

struct start {
    struct tdw_workers *workers;
    struct lane *lane;
};

static int thread_start(struct tdw_workers *workers, struct lane *lane);
static uint32_t queued(const struct lane *lane);

static bool opens(uint8_t opcode)
{
    return opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2;
}

/* Opening a FIFO waits for its other end, a terminal for its line: for somebody else. */
static bool waits_to_open(const struct io_uring_sqe *sqe)
{
    struct stat info;

    return fstatat(sqe->fd, (const char *)(uintptr_t)sqe->addr, &info, 0) == 0 &&
           (S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode));
}

/* The lock is held. */
static void append(struct lane *lane, struct job *job)
{
    job->next = NULL;
    *lane->tail = job;
    lane->tail = &job->next;
    pthread_cond_signal(&lane->work);
}

/* Another thread's, which may wait. False: there is none, or the loop is being closed, so that this
 * one does it. */
static bool to_unbounded(struct tdw_workers *workers, struct job *job)
{
    struct lane *lane = &workers->lanes[TDW_UNBOUNDED];
    bool ours;

    pthread_mutex_lock(&workers->lock);
    job->looked = true;
    if (lane->threads < lane->threads_max && lane->idle <= queued(lane))
        thread_start(workers, lane); /* else it waits for one of those that there are */
    ours = workers->closing || lane->threads == 0;
    if (!ours) {
        unlink_running(workers, job);
        append(lane, job);
    }
    pthread_mutex_unlock(&workers->lock);
    return !ours;
}

static void *worker(void *arg)
{
    const struct start start = *(struct start *)arg;
    struct tdw_workers *workers = start.workers;
    struct lane *lane = start.lane;

    free(arg);
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct job *job = lane->head;
        int32_t res;

        if (!job) {
            if (workers->closing)
                break;
            lane->idle++;
            pthread_cond_wait(&lane->work, &workers->lock);
            lane->idle--;
            continue;
        }
        lane->head = job->next;
        if (!lane->head)
            lane->tail = &lane->head;
        job->thread = pthread_self();
        job->next = workers->running;
        workers->running = job;
        res = job->res;
        pthread_mutex_unlock(&workers->lock);
        if (!job->looked && waits_to_open(&job->sqe) && to_unbounded(workers, job)) {
            pthread_mutex_lock(&workers->lock);
            continue;
        }
        res = run(workers, job, res);
        pthread_mutex_lock(&workers->lock);
        job->res = res;
        unlink_running(workers, job);
        pthread_cond_broadcast(&workers->left);
        job->next = NULL;
        *workers->finished_tail = job;
        workers->finished_tail = &job->next;
        tdw__real_wake(workers->real);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* ── On the loop's thread ──────────────────────────────────────────────────────────────────── */

static struct tdw_workers *workers_of(struct tdw_real *real)
{
    struct tdw_workers *workers = real->workers;
    pthread_condattr_t monotonic;

    if (workers)
        return workers;
    workers = calloc(1, sizeof *workers);
    if (!workers)
        return NULL;
    workers->real = real;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int i = 0; i < 2; i++) {
        pthread_cond_init(&workers->lanes[i].work, NULL);
        workers->lanes[i].tail = &workers->lanes[i].head;
        workers->lanes[i].threads_max = i == TDW_UNBOUNDED ? UNBOUNDED_MAX : BOUNDED_MAX;
    }
    workers->finished_tail = &workers->finished;
    real->workers = workers;
    return workers;
}

/* One more thread of this lane, with all signals blocked but the one that interrupts. */
static int thread_start(struct tdw_workers *workers, struct lane *lane)
{
    const struct sigaction interrupt = {.sa_handler = nothing}; /* without SA_RESTART */
    struct start *start = malloc(sizeof *start);
    sigset_t all, before;
    int err;

    if (workers->threads_count == workers->threads_room) {
        const uint32_t room = workers->threads_room ? workers->threads_room * 2 : 8;
        pthread_t *threads = realloc(workers->threads, room * sizeof *threads);

        if (!threads) {
            free(start);
            return -EAGAIN;
        }
        workers->threads = threads;
        workers->threads_room = room;
    }
    if (!start)
        return -EAGAIN;
    *start = (struct start){workers, lane};
    sigaction(INTERRUPT, &interrupt, NULL);
    sigfillset(&all);
    sigdelset(&all, INTERRUPT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&workers->threads[workers->threads_count], NULL, worker, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        free(start);
        return -EAGAIN;
    }
    workers->threads_count++;
    lane->threads++;
    return 0;
}

static struct job *job_get(struct tdw_workers *workers)
{
    struct job *job = workers->spare;

    if (!job)
        return calloc(1, sizeof *job);
    workers->spare = job->next;
    workers->spare_count--;
    return job;
}

static void job_put(struct tdw_workers *workers, struct job *job)
{
    tdw__close_copies(job->copies);
    if (workers->spare_count == JOBS_KEPT) {
        free(job);
        return;
    }
    job->next = workers->spare;
    workers->spare = job;
    workers->spare_count++;
}

static uint32_t queued(const struct lane *lane)
{
    uint32_t count = 0;

    for (const struct job *job = lane->head; job; job = job->next)
        count++;
    return count;
}

/* Room for a job in this lane, and a thread for it; NULL: there is none. The lock is held. */
static struct job *job_new(struct tdw_workers *workers, struct lane *lane)
{
    struct job *job = job_get(workers);

    if (!job)
        return NULL;
    job->copies[0] = job->copies[1] = -1;
    if (lane->threads < lane->threads_max && lane->idle <= queued(lane) &&
        thread_start(workers, lane) < 0 && lane->threads == 0) {
        job_put(workers, job);
        return NULL;
    }
    return job;
}

static void job_enqueue(struct tdw_workers *workers, struct lane *lane, struct job *job)
{
    job->res = 0;
    job->moved = job->gone = false;
    atomic_store(&job->stop, false);
    workers->count++;
    append(lane, job);
}

static uint64_t end_of(const struct io_uring_sqe *sqe)
{
    const bool times = sqe->opcode == TDW_OP_EPOLL_WAIT || sqe->opcode == TDW_OP_PPOLL;
    const uint64_t now = times ? tdw__os_clock_ns(CLOCK_MONOTONIC) : 0;

    return times && sqe->off < TDW_NEVER - now ? now + sqe->off : TDW_NEVER;
}

int tdw__worker_begin(struct tdw_real *real, struct tdw_op *op, const struct io_uring_sqe *sqe,
                      enum tdw_lane which)
{
    struct tdw_workers *workers = workers_of(real);
    struct lane *lane;
    struct job *job;

    if (!workers)
        return -EAGAIN;
    lane = &workers->lanes[which];
    pthread_mutex_lock(&workers->lock);
    job = job_new(workers, lane);
    if (job) {
        job->op = op;
        job->sqe = *sqe;
        job->waits = which == TDW_UNBOUNDED || opens(sqe->opcode);
        job->looked = which == TDW_UNBOUNDED || !opens(sqe->opcode);
        job->end_ns = end_of(sqe);
        op->state = TDW_PENDING;
        job_enqueue(workers, lane, job);
    }
    pthread_mutex_unlock(&workers->lock);
    return job ? 0 : -EAGAIN;
}

/* Does a job of the list have the number? -EBADF: it is one that closes it. */
static int has(struct job *job, int fd)
{
    int ret = 0;

    for (; job; job = job->next) {
        if (job->sqe.opcode == IORING_OP_CLOSE && job->sqe.fd == fd && !job->gone)
            return -EBADF;
        ret |= names(job, 0, fd) || names(job, 1, fd);
    }
    return ret;
}

int tdw__worker_close(struct tdw_real *real, struct tdw_op *op, int fd)
{
    struct tdw_workers *workers = real->workers;
    struct job *job = NULL;
    int ret = -ENOENT;

    if (!workers || workers->count == 0)
        return -ENOENT;
    pthread_mutex_lock(&workers->lock);
    for (int i = 0; i < 3 && ret != -EBADF; i++) {
        const int one = has(i < 2 ? workers->lanes[i].head : workers->running, fd);

        ret = one == 0 ? ret : one;
    }
    if (ret == 1) {
        job = job_new(workers, &workers->lanes[TDW_BOUNDED]);
        ret = job ? 0 : -EAGAIN;
    }
    if (job) {
        job->op = op;
        job->sqe = (struct io_uring_sqe){.opcode = IORING_OP_CLOSE, .fd = fd};
        job->waits = false;
        job->looked = true;
        job->end_ns = TDW_NEVER;
        if (op)
            op->state = TDW_PENDING;
        job_enqueue(workers, &workers->lanes[TDW_BOUNDED], job);
    }
    pthread_mutex_unlock(&workers->lock);
    return ret;
}

void tdw__worker_leave(struct tdw_real *real, int fd)
{
    if (real->workers && real->workers->count > 0)
        leave(real->workers, fd, NULL);
}

static struct job *find(struct job *job, const struct tdw_op *op)
{
    while (job && job->op != op)
        job = job->next;
    return job;
}

/* Take a job that has not begun out of its lane. */
static bool unqueue(struct tdw_workers *workers, struct lane *lane, const struct tdw_op *op)
{
    for (struct job **at = &lane->head; *at; at = &(*at)->next) {
        struct job *job = *at;

        if (job->op != op)
            continue;
        *at = job->next;
        if (!*at)
            lane->tail = at;
        job_put(workers, job);
        workers->count--;
        return true;
    }
    return false;
}

int tdw__worker_cancel(struct tdw_real *real, struct tdw_op *op)
{
    struct tdw_workers *workers = real->workers;
    struct job *job;
    int ret = -ENOENT;

    if (!workers)
        return -ENOENT;
    pthread_mutex_lock(&workers->lock);
    job = find(workers->running, op);
    if (op->sqe.opcode == IORING_OP_CLOSE) {
        ret = -EALREADY; /* its number is nobody's any more */
    } else if (unqueue(workers, &workers->lanes[0], op) ||
               unqueue(workers, &workers->lanes[1], op)) {
        ret = 0;
    } else if (job && job->waits) {
        atomic_store(&job->stop, true);
        pthread_kill(job->thread, INTERRUPT);
        ret = -EINPROGRESS;
    } else if (job || find(workers->finished, op)) {
        ret = -EALREADY;
    }
    pthread_mutex_unlock(&workers->lock);
    return ret;
}

bool tdw__worker_names(const struct tdw_real *real, const struct tdw_op *op, int fd)
{
    struct tdw_workers *workers = real->workers;
    bool yes = false;

    if (!workers || workers->count == 0 || op->state != TDW_PENDING)
        return false;
    pthread_mutex_lock(&workers->lock);
    for (int i = 0; i < 3; i++) {
        struct job *job = find(i < 2 ? workers->lanes[i].head : workers->running, op);

        yes |= job && names(job, 0, fd);
    }
    pthread_mutex_unlock(&workers->lock);
    return yes;
}

/* Those that were told to stop and have not: the signal may have come too early. */
static void interrupt_again(struct tdw_workers *workers)
{
    for (struct job *job = workers->running; job; job = job->next)
        if (atomic_load(&job->stop))
            pthread_kill(job->thread, INTERRUPT);
}

bool tdw__worker_stops(const struct tdw_real *real)
{
    struct tdw_workers *workers = real->workers;
    bool any = false;

    if (!workers || workers->count == 0)
        return false;
    pthread_mutex_lock(&workers->lock);
    for (struct job *job = workers->running; job; job = job->next)
        any |= atomic_load(&job->stop);
    interrupt_again(workers);
    pthread_mutex_unlock(&workers->lock);
    return any;
}

void tdw__worker_reap(struct tdw_real *real)
{
    struct tdw_workers *workers = real->workers;
    struct job *job;

    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    job = workers->finished;
    workers->finished = NULL;
    workers->finished_tail = &workers->finished;
    pthread_mutex_unlock(&workers->lock);
    while (job) {
        struct job *next = job->next;

        workers->count--;
        if (job->res >= 0 && real->opened && opens(job->sqe.opcode))
            job->res = real->opened(real, job->op, job->res);
        if (job->op)
            tdw__real_post(job->op, job->res, 0);
        pthread_mutex_lock(&workers->lock);
        job_put(workers, job);
        pthread_mutex_unlock(&workers->lock);
        job = next;
    }
}

uint32_t tdw__worker_count(const struct tdw_real *real)
{
    return real->workers ? real->workers->count : 0;
}

static void free_jobs(struct job *job)
{
    while (job) {
        struct job *next = job->next;

        tdw__close_copies(job->copies);
        free(job);
        job = next;
    }
}

void tdw__workers_free(struct tdw_real *real)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct tdw_workers *workers = real->workers;
    struct job *queued_jobs[2];

    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    for (int i = 0; i < 2; i++) {
        queued_jobs[i] = workers->lanes[i].head;
        workers->lanes[i].head = NULL;
        pthread_cond_broadcast(&workers->lanes[i].work);
    }
    while (workers->running) {
        for (struct job *job = workers->running; job; job = job->next)
            atomic_store(&job->stop, job->waits);
        interrupt_again(workers);
        pthread_mutex_unlock(&workers->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < 2; i++) {
        for (struct job *job = queued_jobs[i]; job; job = job->next)
            if (job->sqe.opcode == IORING_OP_CLOSE)
                close(job->sqe.fd); /* nobody is left who has the number */
        free_jobs(queued_jobs[i]);
    }
    for (uint32_t i = 0; i < workers->threads_count; i++)
        pthread_join(workers->threads[i], NULL);
    free_jobs(workers->finished);
    free_jobs(workers->spare);
    for (int i = 0; i < 2; i++)
        pthread_cond_destroy(&workers->lanes[i].work);
    pthread_cond_destroy(&workers->left);
    pthread_mutex_destroy(&workers->lock);
    free(workers->threads);
    free(workers);
    real->workers = NULL;
}
