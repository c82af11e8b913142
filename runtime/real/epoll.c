/* SPDX-License-Identifier: MIT */
/*
 * The `epoll` backend: the same ops where there is no io_uring.
 *
 *     start ─▶ attempt ─┬─ done ─────────────────────────────────────────▶ post
 *                       ├─ would wait: in the list of its descriptor ─▶ (ready) ─▶ attempt
 *                       └─ waits for a device, or cannot be asked: a worker ─────▶ post
 *
 * A descriptor is registered once, edge-triggered, for everything, when an op first has to wait on
 * it. What is known of it is kept: an attempt that would have waited, or that moved less than a
 * stream had room for, clears a bit, an edge sets it, and nobody asks the kernel in between. So an
 * echo costs one receive, one send, and its share of one wait.
 *
 * The loop itself never waits in a call: sockets are asked with MSG_DONTWAIT, other streams with
 * RWF_NOWAIT, listeners are made O_NONBLOCK (which tdw_sys_fcntl does not show), files that would
 * have to go to a device are read by a worker.
 *
 * An op that waits holds its file, as io_uring's does: when its descriptor is closed by the verb
 * `close`, or by dup2, the waiting ones move to a duplicate.
 */
#include <runtime/real/epoll.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READY_STREAK = 64, SHOTS_AT_ONCE = 32 };

#define EVENT_WAKE UINT64_MAX
#define WHAT_ENDS (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

/* ── Attempts ──────────────────────────────────────────────────────────────────────────────── */

/* A stream socket that is known to have nothing, or no room, has nothing to say to an ordinary
 * transfer; what is unusual is asked for its errors. */
static bool knows(const struct tdw_watched *w, const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_RECV:
        return w->kind == TDW_FD_STREAM && !w->hidden && op->sqe.len > 0 && !op->sqe.addr2 &&
               !(op->sqe.flags & IOSQE_BUFFER_SELECT) &&
               !(op->sqe.msg_flags & ~(uint32_t)(MSG_WAITALL | MSG_NOSIGNAL));
    default:
        return false;
    }
}

static bool tdw__is_multishot(const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_ACCEPT:
        return op->sqe.ioprio & IORING_ACCEPT_MULTISHOT;
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return op->sqe.ioprio & IORING_RECV_MULTISHOT;
    case IORING_OP_POLL_ADD:
        return op->sqe.len & IORING_POLL_ADD_MULTI;
    default:
        return false;
    }
}
static void attempt_again(struct tdw_epoll_loop *e, int fd)
{
    if (e->fds[fd].again)
        return;
    if (e->again_count == e->again_max) {
        const uint32_t max = e->again_max ? e->again_max * 2 : 16;
        int *again = realloc(e->again, max * sizeof *again);

        if (!again)
            abort();
        e->again = again;
        e->again_max = max;
    }
    e->fds[fd].again = true;
    e->again[e->again_count++] = fd;
}

/* Attempt until it would wait: true; false: it is complete, and posted. */
static bool attempt_all(struct tdw_epoll_loop *e, struct tdw_op *op, int fd)
{
    uint32_t flags;
    int32_t res;

    for (int shots = 0; shots < SHOTS_AT_ONCE; shots++) {
        res = tdw__attempt(e, &e->fds[fd], op, fd, &flags); /* whoever completes may start others */
        if (res == -EAGAIN)
            return true;
        if (!tdw__is_multishot(op) || res < 0 || (res == 0 && op->sqe.opcode != IORING_OP_ACCEPT) ||
            !tdw__post_more(op, res, flags, 0)) {
            tdw__attempt_post(op, res, flags);
            return false;
        }
        op->res = 0;
        if (op->sqe.opcode == IORING_OP_POLL_ADD)
            return true; /* again at the next edge */
    }
    attempt_again(e, fd); /* the others' turn */
    return true;
}

/* ── Edges ─────────────────────────────────────────────────────────────────────────────────── */

/* Back to where it was: before those that came later. */
static void put_back(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op)
{
    struct tdw_op **at = &w->head;

    while (*at && (*at)->seq < op->seq)
        at = &(*at)->next;
    op->state = TDW_BLOCKED;
    op->next = *at;
    *at = op;
    if (!op->next)
        w->tail = op;
    e->waiting++;
}

static bool is_poll(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_POLL_ADD;
}

static struct tdw_op *first_behind(const struct tdw_watched *w, uint64_t seq)
{
    struct tdw_op *op = w->head;

    while (op && op->seq <= seq)
        op = op->next;
    return op;
}

/* Attempt those that wait on `fd` and may go on, polls or all others, oldest first. What completes
 * may start what is linked to it, which may cancel or add others: the next one is looked for anew.
 */
static void attempt_some(struct tdw_epoll_loop *e, int fd, bool polls)
{
    struct tdw_op *op = e->fds[fd].head;

    while (op) {
        struct tdw_watched *w = &e->fds[fd];
        const uint64_t seq = op->seq;

        if (is_poll(op) == polls && (polls || w->ready & tdw__direction(op))) {
            tdw__wait_unlink(e, w, op);
            op->state = TDW_PENDING;
            if (attempt_all(e, op, fd))
                put_back(e, &e->fds[fd], op);
        }
        op = first_behind(&e->fds[fd], seq);
    }
}

/* Polls first: they are told what woke them, also if somebody takes it away. */
static void attempt_waiting(struct tdw_epoll_loop *e, int fd)
{
    attempt_some(e, fd, true);
    attempt_some(e, fd, false);
    tdw__watched_leave(e, fd);
}

/* The descriptor of an event; NULL: it has been another since. */
static struct tdw_watched *event_fd(struct tdw_epoll_loop *e, const struct epoll_event *event)
{
    struct tdw_watched *w = &e->fds[(uint32_t)event->data.u64];

    return w->generation == event->data.u64 >> 32 && w->added ? w : NULL;
}

/* What an event says is noted, and told to polls: they hear of what woke them, also if somebody
 * takes it away in the same turn. */
static void note_edge(struct tdw_epoll_loop *e, const struct epoll_event *event)
{
    struct tdw_watched *w = event_fd(e, event);

    if (!w)
        return;
    if (event->events & (EPOLLIN | EPOLLPRI | WHAT_ENDS))
        w->ready |= POLLIN;
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        w->ready |= POLLOUT;
    if (event->events & WHAT_ENDS)
        w->ends = true;
    attempt_some(e, (int)(uint32_t)event->data.u64, true);
}

/* Everybody else. */
static void serve_edge(struct tdw_epoll_loop *e, const struct epoll_event *event)
{
    const int fd = (int)(uint32_t)event->data.u64;

    if (!event_fd(e, event))
        return;
    attempt_some(e, fd, false);
    tdw__watched_leave(e, fd);
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

static void to_worker(struct tdw_epoll_loop *e, struct tdw_op *op, const struct io_uring_sqe *sqe,
                      enum tdw_lane lane)
{
    if (tdw__worker_begin(&e->real, op, sqe, lane) < 0)
        tdw__post(op, -EAGAIN, 0, 0);
}

/* Reads at a place of their own: they can be done again by a worker. */
static bool may_be_cached(const struct tdw_op *op)
{
    return (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READ_FIXED) &&
           op->sqe.off != (uint64_t)-1 && !(op->sqe.flags & IOSQE_ASYNC);
}

/* What is cached of a file, if that is all there is to be had; else -EAGAIN. */
static int32_t read_cached(const struct io_uring_sqe *sqe)
{
    const int32_t res = tdw__perform(sqe, true);
    struct io_uring_sqe rest = *sqe;

    if (res == -EOPNOTSUPP && !sqe->rw_flags)
        return -EAGAIN;
    if (res <= 0 || (uint32_t)res == sqe->len)
        return res;
    rest.addr += (uint32_t)res;
    rest.len -= (uint32_t)res;
    rest.off += (uint32_t)res;
    return tdw__perform(&rest, true) == 0 ? res : -EAGAIN; /* its end, or what is not cached */
}

/* A file: what is cached at once, all else by a worker. */
static void start_file(struct tdw_epoll_loop *e, struct tdw_op *op, struct io_uring_sqe *sqe)
{
    struct tdw_picked picked;
    int32_t res;

    if (tdw__selects_buffer(op)) {
        if (!tdw__pick_buffer(e, sqe, &picked)) {
            tdw__post(op, -ENOBUFS, 0, 0);
            return;
        }
        res = tdw__perform(sqe, false); /* the buffer is picked and used in one go */
        tdw__post(op, res, res >= 0 ? tdw__use_buffer(e, op, &picked, res) : 0, 0);
        return;
    }
    res = may_be_cached(op) ? read_cached(sqe) : -EAGAIN;
    if (res == -EAGAIN)
        to_worker(e, op, sqe, TDW_BOUNDED);
    else
        tdw__post(op, res, 0, 0);
}

/* O_NONBLOCK is nothing to io_uring; flags of the entry are. */
static bool asks_not_to_wait(const struct tdw_op *op)
{
    if (tdw__is_message(op))
        return op->sqe.msg_flags & MSG_DONTWAIT;
    switch (op->sqe.opcode) {
    case IORING_OP_ACCEPT:
        return op->sqe.ioprio & TDW_ACCEPT_DONTWAIT;
    case IORING_OP_POLL_ADD:
    case IORING_OP_CONNECT:
        return false;
    default:
        return op->sqe.rw_flags & RWF_NOWAIT;
    }
}

/* An op that may have to wait for its descriptor. */
static void start_ready(struct tdw_epoll_loop *e, struct tdw_op *op, struct io_uring_sqe *sqe)
{
    struct tdw_watched *w = tdw__watched(e, sqe->fd);
    const bool polls = op->sqe.opcode == IORING_OP_POLL_ADD;
    const bool connects = op->sqe.opcode == IORING_OP_CONNECT;

    if (!w) {
        tdw__attempt_post(op, -EBADF, 0);
        return;
    }
    if (w->kind == TDW_FD_FILE && !polls && tdw__opcodes[op->sqe.opcode].class != TDW_C_CALL) {
        start_file(e, op, sqe);
        return;
    }
    if (polls || connects || w->ready & tdw__direction(op) || !knows(w, op)) {
        if (!attempt_all(e, op, sqe->fd))
            return;
        w = &e->fds[sqe->fd];
    }
    if (op->task->bits & TDW_TASK_STOPPING) {
        tdw__attempt_post(op, op->res > 0 && !connects ? op->res : -ECANCELED, op->flags);
        return;
    }
    if (asks_not_to_wait(op)) {
        tdw__attempt_post(op, op->res > 0 ? op->res : -EAGAIN, 0);
        return;
    }
    if (connects && op->res == 0) { /* a unix socket whose peer's queue is full: no edge tells */
        to_worker(e, op, sqe, TDW_UNBOUNDED);
        return;
    }
    tdw__hold_buffer(e, op);
    tdw__wait_enqueue(e, w, sqe->fd, op);
    if (!w->added) { /* what epoll does not take waits in a thread */
        tdw__wait_dequeue(e, op);
        to_worker(e, op, sqe, TDW_UNBOUNDED);
    }
}

/* The number is not any file's of ours from now on; -EINPROGRESS: a worker closes it, and posts. */
static int32_t close_fd(struct tdw_epoll_loop *e, struct tdw_op *op, int fd)
{
    int ret;

    if (fd < 0 || fd == e->epfd || fd == e->real.wake_fd)
        return -EBADF;
    tdw__watched_move(e, fd);
    ret = tdw__worker_close(&e->real, op, fd);
    if (ret == -ENOENT)
        return close(fd) < 0 ? -errno : 0;
    return ret ? ret : -EINPROGRESS;
}

static int32_t close_of(struct tdw_epoll_loop *e, struct tdw_op *op, const struct io_uring_sqe *sqe)
{
    if (sqe->off || sqe->addr || sqe->len || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (sqe->flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (sqe->file_index)
        return sqe->fd ? -EINVAL : tdw__registry_remove(e->registry, sqe->file_index);
    return close_fd(e, op, sqe->fd);
}

static int32_t poll_update(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    const uint32_t flags = op->sqe.len;
    struct tdw_op *target = tdw__find(op->task->ring, op->sqe.addr);

    if (!tdw__poll_update_allowed(&op->sqe))
        return -EINVAL;
    if (!target || target->sqe.opcode != IORING_OP_POLL_ADD || target->state != TDW_BLOCKED)
        return -ENOENT;
    if (!(flags & IORING_POLL_UPDATE_EVENTS))
        return tdw__cancel(target, -ECANCELED, NULL);
    target->sqe.poll32_events = op->sqe.poll32_events;
    attempt_waiting(e, tdw__wait_place(target));
    return 0;
}

/* ── Cancel ────────────────────────────────────────────────────────────────────────────────── */

static int epoll_withdraw(struct tdw_ring *ring, struct tdw_op *op, int32_t res,
                          struct tdw_op *asker)
{
    struct tdw_epoll_loop *e = tdw__epoll_of(ring->loop);
    int ret;

    if (tdw__is_timer(op) || tdw__real_is_delayed(&e->real, op)) {
        tdw__real_timer_stop(&e->real, op);
        return 0;
    }
    if (op->state == TDW_BLOCKED) {
        tdw__wait_dequeue(e, op);
        if (op->sqe.opcode == IORING_OP_CONNECT)
            op->res = 0; /* that it had begun is no result */
        return 0;
    }
    ret = tdw__worker_cancel(&e->real, op);
    if (ret != -EINPROGRESS)
        return ret;
    tdw__real_will_answer(op, res);
    if (asker) /* a link time-out: cancellations of this backend are answered at once */
        tdw__post(asker, -ETIME, 0, 0);
    return -EINPROGRESS;
}

static bool is_meant(const struct tdw_epoll_loop *e, const struct tdw_op *cancel,
                     const struct tdw_op *op)
{
    const uint32_t flags = cancel->sqe.cancel_flags;
    int fd = cancel->sqe.fd;

    if (op == cancel || op->state == TDW_POSTED || !tdw__cancellable(op) ||
        tdw__real_ends_already(op))
        return false;
    if (flags & IORING_ASYNC_CANCEL_ANY)
        return true;
    if (!(flags & IORING_ASYNC_CANCEL_FD))
        return op->sqe.user_data == cancel->sqe.addr;
    if (flags & IORING_ASYNC_CANCEL_FD_FIXED)
        fd = tdw__registry_file(e->registry, (uint32_t)fd);
    if (op->state == TDW_BLOCKED && op->sqe.opcode < TDW_OP_FIRST)
        return tdw__wait_place(op) == fd;
    return tdw__worker_names(&e->real, op, fd);
}

static int32_t cancel_all(struct tdw_epoll_loop *e, struct tdw_op *cancel)
{
    const uint32_t flags = cancel->sqe.cancel_flags;
    const uint32_t known = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_FD |
                           IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD_FIXED;
    const bool all = flags & IORING_ASYNC_CANCEL_ALL;
    struct tdw_ring *ring = cancel->task->ring;
    int32_t count = 0, first = -ENOENT;
    bool held;

    if (cancel->sqe.off || cancel->sqe.len || cancel->sqe.splice_fd_in || flags & ~known ||
        (flags & IORING_ASYNC_CANCEL_FD && flags & IORING_ASYNC_CANCEL_ANY))
        return -EINVAL;
    if (flags & IORING_ASYNC_CANCEL_FD &&
        (flags & IORING_ASYNC_CANCEL_FD_FIXED
             ? tdw__registry_file(e->registry, (uint32_t)cancel->sqe.fd)
             : fcntl(cancel->sqe.fd, F_GETFD)) < 0)
        return -EBADF;
    held = tdw__starts_hold(ring);
    for (uint32_t i = 0; i < ring->slots_used && (all || first == -ENOENT); i++) {
        struct tdw_op *op = ring->slots[i].op;

        if (!op || !is_meant(e, cancel, op))
            continue;
        first = tdw__cancel(op, -ECANCELED, NULL);
        first = first == -EINPROGRESS ? 0 : first;
        count += first == 0;
    }
    tdw__starts_go(ring, held);
    return all ? count : first;
}

/* ── Start, by kind ────────────────────────────────────────────────────────────────────────── */

static void start_own(struct tdw_epoll_loop *e, struct tdw_op *op, struct io_uring_sqe *sqe)
{
    int32_t res;

    switch (op->sqe.opcode) {
    case IORING_OP_TIMEOUT:
    case IORING_OP_LINK_TIMEOUT:
        tdw__real_timer_begin(&e->real, op);
        return;
    case IORING_OP_TIMEOUT_REMOVE:
        tdw__post(op, tdw__real_timer_remove(&e->real, op), 0, 0);
        return;
    case IORING_OP_ASYNC_CANCEL:
        tdw__post(op, cancel_all(e, op), 0, 0);
        return;
    case IORING_OP_POLL_ADD:
        start_ready(e, op, sqe);
        return;
    case IORING_OP_POLL_REMOVE:
        tdw__post(op, poll_update(e, op), 0, 0);
        return;
    case IORING_OP_CLOSE:
        res = close_of(e, op, sqe);
        if (res != -EINPROGRESS)
            tdw__post(op, res, 0, 0);
        return;
    default:
        tdw__post(op, tdw__registry_perform(e->registry, sqe), 0, 0);
        return;
    }
}

/* Does the entry name an open file by `fd`? io_uring looks for that before all else. */
static bool names_file(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
    case TDW_OP_FTRUNCATE:
    case IORING_OP_SYNC_FILE_RANGE:
    case IORING_OP_FADVISE:
    case IORING_OP_FSETXATTR:
    case IORING_OP_FGETXATTR:
    case IORING_OP_SHUTDOWN:
    case TDW_OP_BIND:
    case TDW_OP_LISTEN:
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
        return true;
    default:
        return false;
    }
}

/* The slot of a registered file becomes its descriptor; where an entry has a buffer's number, the
 * buffer has to be there. 0, -EBADF, -EFAULT. */
static int resolve(struct tdw_epoll_loop *e, const struct tdw_op *op, struct io_uring_sqe *sqe)
{
    if (sqe->flags & IOSQE_FIXED_FILE && sqe->opcode != IORING_OP_CLOSE) {
        const int fd = tdw__registry_file(e->registry, (uint32_t)sqe->fd);

        if (fd < 0)
            return fd;
        sqe->fd = fd;
    }
    if ((op->sqe.opcode == IORING_OP_SPLICE || op->sqe.opcode == IORING_OP_TEE) &&
        sqe->splice_flags & SPLICE_F_FD_IN_FIXED) {
        const int fd = tdw__registry_file(e->registry, (uint32_t)sqe->splice_fd_in);

        if (fd < 0)
            return fd;
        sqe->splice_fd_in = fd;
    }
    if (op->sqe.opcode == IORING_OP_FSYNC && op->sqe.fsync_flags & ~(uint32_t)IORING_FSYNC_DATASYNC)
        return -EINVAL;
    if (names_file(op->sqe.opcode) && !tdw__watched(e, sqe->fd))
        return -EBADF;
    if (op->sqe.opcode == IORING_OP_READ_FIXED || op->sqe.opcode == IORING_OP_WRITE_FIXED)
        return tdw__watched(e, sqe->fd)
                   ? tdw__registry_buffer(e->registry, sqe->buf_index, sqe->addr, sqe->len)
                   : -EBADF;
    return 0;
}

static void epoll_start(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_epoll_loop *e = tdw__epoll_of(ring->loop);
    const enum tdw_kind kind = tdw__kind(op->sqe.opcode);
    struct sockaddr_storage room;
    struct io_uring_sqe sqe = op->sqe;
    int err;

    op->state = TDW_PENDING;
    op->res = 0;
    if (kind == TDW_K_UNKNOWN) {
        tdw__real_lacks(&e->real, op);
        return;
    }
    err = TDW_UNLIKELY(op->sqe.flags & (1 << 7)) ? -EINVAL : resolve(e, op, &sqe);
    if (err) {
        tdw__post(op, err, 0, 0);
        return;
    }
    if (tdw__host_of(ring)->dir != AT_FDCWD)
        tdw__real_localise(ring, &sqe, &room);
    switch (kind) {
    case TDW_K_READ:
    case TDW_K_WRITE:
        start_ready(e, op, &sqe);
        return;
    case TDW_K_PROMPT:
        tdw__post(op,
                  op->sqe.opcode == IORING_OP_SOCKET
                      ? tdw__keep_fd(e, &op->sqe, tdw__perform(&sqe, true))
                      : tdw__perform(&sqe, true),
                  0, 0);
        return;
    case TDW_K_FILE:
        to_worker(e, op, &sqe, TDW_BOUNDED);
        return;
    case TDW_K_WAIT:
        if (op->sqe.opcode == TDW_OP_RESOLVE &&
            tdw__real_host_named(&e->real, (const char *)(uintptr_t)sqe.addr,
                                 (struct tdw_resolved *)(uintptr_t)sqe.off)) {
            tdw__post(op, 0, 0, 0);
            return;
        }
        if (tdw__only_looks(&sqe)) {
            tdw__post(op, tdw__perform(&sqe, false), 0, 0);
            return;
        }
        to_worker(e, op, &sqe, TDW_UNBOUNDED);
        if (op->task->bits & TDW_TASK_STOPPING && op->state == TDW_PENDING)
            tdw__cancel(op, -ECANCELED, NULL);
        return;
    case TDW_K_OWN:
        start_own(e, op, &sqe);
        return;
    case TDW_K_UNKNOWN:
        return;
    }
}

/* ── The loop's turn ───────────────────────────────────────────────────────────────────────── */

static int wait_events(struct tdw_epoll_loop *e, struct epoll_event *events, uint64_t left_ns)
{
    const struct timespec left = {(time_t)(left_ns / 1000000000u), (long)(left_ns % 1000000000u)};
    int timeout = left_ns == TDW_NEVER ? -1 : 0;

    if (!e->no_pwait2 && left_ns != 0 && left_ns != TDW_NEVER) {
        const long n =
            syscall(SYS_epoll_pwait2, e->epfd, events, TDW_EVENTS, &left, NULL, (size_t)8);

        if (n >= 0 || errno != ENOSYS)
            return (int)n;
        e->no_pwait2 = true;
    }
    if (left_ns != 0 && left_ns != TDW_NEVER) /* in ms, and not too early */
        timeout = left_ns / 1000000 < 100000 ? (int)((left_ns + 999999) / 1000000) : 100000;
    return epoll_wait(e->epfd, events, TDW_EVENTS, timeout);
}

static void woken(struct tdw_epoll_loop *e)
{
    eventfd_t wakes;

    if (eventfd_read(e->real.wake_fd, &wakes) < 0)
        assert(errno == EAGAIN);
    tdw__real_woken(&e->real);
}

/* Those that had more to do than their share. */
static void serve_again(struct tdw_epoll_loop *e)
{
    const uint32_t again = e->again_count;

    for (uint32_t i = 0; i < again; i++) {
        const int fd = e->again[i];

        e->fds[fd].again = false;
        attempt_waiting(e, fd);
    }
    e->again_count -= again;
    if (again > 0)
        memmove(e->again, e->again + again, e->again_count * sizeof *e->again);
}

/* Serve what the last turn brought until something is complete; false: there is nothing left. */
static bool serve_some(struct tdw_epoll_loop *e)
{
    while (e->events_at < e->events_count) {
        const struct epoll_event *event = &e->events[e->events_at++];

        if (event->data.u64 != EVENT_WAKE)
            serve_edge(e, event);
        if (e->real.loop.ready.count > 0)
            return true;
    }
    return false;
}

/* One call: wait until `until_ns` for something to be ready. Polls are told at once; everybody else
 * is served from `events`, one descriptor at a time, so that what is received is answered while it
 * is in the nearest cache. */
static void turn(struct tdw_epoll_loop *e, uint64_t until_ns)
{
    struct tdw_loop *loop = &e->real.loop;
    uint64_t left = until_ns;
    int n;

    if (until_ns != TDW_NEVER) {
        if (loop->late)
            tdw__real_now(&e->real);
        left = until_ns > loop->now_ns ? until_ns - loop->now_ns : 0;
    }
    n = wait_events(e, e->events, e->again_count > 0 ? 0 : left);
    if (until_ns == TDW_NEVER)
        loop->late = true; /* there is no timer, and perhaps nobody who asks */
    else
        tdw__real_now(&e->real);
    e->events_at = 0;
    e->events_count = n > 0 ? (uint32_t)n : 0;
    for (uint32_t i = 0; i < e->events_count; i++)
        if (e->events[i].data.u64 == EVENT_WAKE)
            woken(e);
        else
            note_edge(e, &e->events[i]);
    serve_again(e);
    if (until_ns == TDW_NEVER || tdw__real_timers_next(&e->real) > loop->now_ns)
        return;
    while (e->events_at < e->events_count) /* what is done already beats its deadline */
        serve_some(e);
    tdw__real_timers_fire(&e->real);
}

static bool gather(struct tdw_epoll_loop *e, uint64_t deadline_ns)
{
    struct tdw_loop *loop = &e->real.loop;
    bool asked = false;

    if (loop->ready.count > 0) { /* those that only yield must not starve others */
        while (e->events_at < e->events_count)
            serve_some(e);
        turn(e, 0);
        return true;
    }
    while (!serve_some(e) && loop->ready.count == 0) {
        if (e->waiting == 0 && !tdw__real_expects(&e->real))
            return false;
        if (asked && loop->now_ns >= deadline_ns)
            return false;
        turn(e, tdw__real_until(&e->real, deadline_ns));
        asked = true;
    }
    return true;
}

static struct tdw_op *epoll_next(struct tdw_loop *loop, uint64_t deadline_ns)
{
    struct tdw_epoll_loop *e = tdw__epoll_of(loop);

    if (loop->ready.count == 0 || ++e->streak >= READY_STREAK) {
        e->streak = 0;
        if (!gather(e, deadline_ns))
            return NULL;
    }
    if (TDW_UNLIKELY(loop->taps != NULL))
        tdw__real_now(&e->real); /* a trace has the time of each step */
    return tdw__ready_take(loop, 0);
}

static bool epoll_moves_whole(const struct tdw_op *op)
{
    const struct tdw_epoll_loop *e = tdw__epoll_of(op->task->ring->loop);
    const bool fixed = op->sqe.flags & IOSQE_FIXED_FILE;

    return tdw__fd_moves_whole(fixed ? tdw__registry_file(e->registry, (uint32_t)op->sqe.fd)
                                     : op->sqe.fd);
}

static const struct tdw_backend_ops epoll_backend = {
    .name = "epoll",
    .start = epoll_start,
    .delay = tdw__real_delay,
    .moves_whole = epoll_moves_whole,
    .next = epoll_next,
    .step = tdw__real_step,
    .withdraw = epoll_withdraw,
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

static int epoll_enroll(struct tdw_real *real, unsigned opcode, const void *arg, unsigned count)
{
    return tdw__registry_enroll(tdw__epoll_of(&real->loop)->registry, opcode, arg, count);
}

static void epoll_forget_fd(struct tdw_real *real, int fd)
{
    if (fd < 0)
        return;
    tdw__watched_move(tdw__epoll_of(&real->loop), fd);
    tdw__worker_leave(real, fd);
}

static int32_t epoll_opened(struct tdw_real *real, const struct tdw_op *op, int32_t fd)
{
    return tdw__keep_fd(tdw__epoll_of(&real->loop), &op->sqe, fd);
}

static bool epoll_hides_nonblock(struct tdw_real *real, int fd, bool forget)
{
    struct tdw_epoll_loop *e = tdw__epoll_of(&real->loop);
    bool hides;

    if (fd < 0 || (uint32_t)fd >= e->fds_max)
        return false;
    hides = e->fds[fd].hidden;
    e->fds[fd].hidden &= !forget;
    return hides;
}

static void epoll_got_fd(struct tdw_real *real, int fd)
{
    tdw__watched_new(tdw__epoll_of(&real->loop), fd);
}

static void epoll_closed(struct tdw_real *real)
{
    struct tdw_epoll_loop *e = tdw__epoll_of(&real->loop);

    tdw__registry_free(e->registry); /* whose slots may leave duplicates */
    for (uint32_t fd = 0; fd < e->fds_max; fd++)
        if (e->fds[fd].orphan)
            close((int)fd);
    close(e->epfd);
    free(e->again);
    free(e->fds);
}

static void slot_closes(void *loop, int fd)
{
    if (close_fd(loop, NULL, fd) == -EAGAIN) { /* no thread: in this one */
        tdw__worker_leave(loop, fd);
        close(fd);
    }
}

static void slot_opened(void *loop, int fd)
{
    tdw__watched_new(loop, fd);
}

int tdw__epoll_open(struct tdw_loop **loop, const struct tdw_loop_options *options)
{
    struct tdw_epoll_loop *e = calloc(1, sizeof *e);
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = EVENT_WAKE};
    int ret = e ? tdw__real_init(&e->real, &epoll_backend, options) : -ENOMEM;

    if (ret < 0) {
        free(e);
        return ret;
    }
    e->registry = tdw__registry_new(slot_closes, slot_opened, e);
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (!e->registry || e->epfd < 0 ||
        epoll_ctl(e->epfd, EPOLL_CTL_ADD, e->real.wake_fd, &wake) < 0) {
        ret = e->registry ? -errno : -ENOMEM;
        tdw__registry_free(e->registry);
        tdw__real_fini(&e->real);
        free(e);
        return ret;
    }
    e->real.enroll = epoll_enroll;
    e->real.forget_fd = epoll_forget_fd;
    e->real.got_fd = epoll_got_fd;
    e->real.opened = epoll_opened;
    e->real.hides_nonblock = epoll_hides_nonblock;
    e->real.closed = epoll_closed;
    *loop = &e->real.loop;
    return 0;
}
