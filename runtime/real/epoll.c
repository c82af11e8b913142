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
 * RWF_NOWAIT, listeners are made O_NONBLOCK (which F_GETFL does not show), files that would have to
 * go to a device are read by a worker.
 *
 * An op that waits holds its file, as io_uring's does: when its descriptor is closed by the verb
 * `close`, or by dup2, the waiting ones move to a duplicate.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READY_STREAK = 64, EVENTS = 256, SHOTS_AT_ONCE = 32, SUBMITTED_MAX = 1024 };

#define EVENT_WAKE UINT64_MAX
#define WHAT_ENDS (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

enum fd_kind { FD_UNKNOWN, FD_STREAM, FD_SEQPACKET, FD_SOCKET, FD_OTHER, FD_FILE };

struct watched {
    struct tdw_op *head, *tail; /* that wait for it, oldest first */
    uint32_t generation;        /* so that an old event is not taken for a new one */
    uint8_t kind;               /* enum fd_kind */
    uint8_t ready;              /* POLLIN, POLLOUT: nobody knows otherwise */
    bool added;                 /* to the epoll set */
    bool ends;                  /* something other than bytes was told */
    bool orphan;                /* a duplicate of ours, closed with its last op */
    bool hidden;                /* it listens, and is O_NONBLOCK for us */
    bool copies;                /* a socket that cannot send without a copy */
    bool again;                 /* in the list of those to attempt again without an event */
};

struct tdw_epoll_loop {
    struct tdw_real real; /* the first member */
    int epfd;
    struct watched *fds;
    uint32_t fds_max;
    uint32_t waiting; /* ops in the lists */
    uint32_t streak;
    int *again;
    uint32_t again_count, again_max;
    bool no_pwait2;
    uint32_t events_at, events_count; /* of those that the last turn brought, served and all */
    struct epoll_event events[EVENTS];
    struct tdw_registry *registry;
};

static inline struct tdw_epoll_loop *epoll_of(struct tdw_loop *loop)
{
    return (struct tdw_epoll_loop *)(void *)loop;
}

/* ── What is known of a descriptor ─────────────────────────────────────────────────────────── */

static void fds_grow(struct tdw_epoll_loop *e, int fd)
{
    uint32_t max = e->fds_max ? e->fds_max : 64;
    struct watched *fds;

    while (max <= (uint32_t)fd)
        max *= 2;
    fds = realloc(e->fds, max * sizeof *fds);
    if (!fds)
        abort(); /* an accepted op cannot be refused any more */
    memset(fds + e->fds_max, 0, (max - e->fds_max) * sizeof *fds);
    e->fds = fds;
    e->fds_max = max;
}

static enum fd_kind kind_of(int fd)
{
    struct stat info;
    int type = 0;
    socklen_t bytes = sizeof type;

    if (fstat(fd, &info) < 0 || fcntl(fd, F_GETFL) & O_PATH)
        return FD_UNKNOWN; /* a name is no open file */
    if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISBLK(info.st_mode) ||
        S_ISLNK(info.st_mode))
        return FD_FILE;
    if (!S_ISSOCK(info.st_mode))
        return FD_OTHER;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
    return type == SOCK_STREAM ? FD_STREAM : type == SOCK_SEQPACKET ? FD_SEQPACKET : FD_SOCKET;
}

static bool is_inet(int fd)
{
    int domain = 0;
    socklen_t bytes = sizeof domain;

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes);
    return domain == AF_INET || domain == AF_INET6;
}

/* NULL: the descriptor is not open. */
static struct watched *look_up(struct tdw_epoll_loop *e, int fd)
{
    struct watched *w;

    if (fd < 0)
        return NULL;
    if (TDW_UNLIKELY((uint32_t)fd >= e->fds_max))
        fds_grow(e, fd);
    w = &e->fds[fd];
    if (TDW_UNLIKELY(w->kind == FD_UNKNOWN)) {
        w->kind = (uint8_t)kind_of(fd);
        w->ready = POLLIN | POLLOUT;
        w->copies = w->kind != FD_FILE && w->kind != FD_OTHER && !is_inet(fd);
    }
    return w->kind == FD_UNKNOWN ? NULL : w;
}

/* A stream socket that is known to have nothing, or no room, has nothing to say to an ordinary
 * transfer; what is unusual is asked for its errors. */
static bool knows(const struct watched *w, const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_RECV:
        return w->kind == FD_STREAM && !w->hidden && op->sqe.len > 0 && !op->sqe.addr2 &&
               !(op->sqe.flags & IOSQE_BUFFER_SELECT) &&
               !(op->sqe.msg_flags & ~(uint32_t)(MSG_WAITALL | MSG_NOSIGNAL));
    default:
        return false;
    }
}

/* Where an op stands: its descriptor at present, in the high half of its slot's `sum`. */
static int place_of(const struct tdw_op *op)
{
    return (int)(tdw__slot(op->task->ring, op)->sum >> 32) - 1;
}

static void set_place(struct tdw_op *op, int fd)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    slot->sum = (uint64_t)(uint32_t)(fd + 1) << 32 | (uint32_t)slot->sum;
}

static void forget(struct tdw_epoll_loop *e, int fd)
{
    struct watched *w = &e->fds[fd];

    if (w->added)
        epoll_ctl(e->epfd, EPOLL_CTL_DEL, fd, NULL);
    *w = (struct watched){.generation = w->generation + 1};
}

/* The last op that waited on a duplicate of ours has left it. */
static void leave_orphan(struct tdw_epoll_loop *e, int fd)
{
    if (!e->fds[fd].orphan || e->fds[fd].head)
        return;
    forget(e, fd);
    close(fd);
}

/* ── Lists of the waiting ──────────────────────────────────────────────────────────────────── */

static void watch(struct tdw_epoll_loop *e, struct watched *w, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET};

    if (TDW_LIKELY(w->added))
        return;
    event.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
    w->added = epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void enqueue(struct tdw_epoll_loop *e, struct watched *w, int fd, struct tdw_op *op)
{
    op->state = TDW_BLOCKED;
    op->next = NULL;
    set_place(op, fd);
    if (w->head)
        w->tail->next = op;
    else
        w->head = op;
    w->tail = op;
    e->waiting++;
    watch(e, w, fd);
}

static void unlink_op(struct tdw_epoll_loop *e, struct watched *w, struct tdw_op *op)
{
    struct tdw_op **at = &w->head, *before = NULL;

    while (*at != op) {
        before = *at;
        at = &(*at)->next;
    }
    *at = op->next;
    if (w->tail == op)
        w->tail = before;
    e->waiting--;
}

static void dequeue(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    const int fd = place_of(op);

    unlink_op(e, &e->fds[fd], op);
    leave_orphan(e, fd);
}

/* `fd` is about to be another file, or none: those that wait on it move to a duplicate. */
static void move_waiting(struct tdw_epoll_loop *e, int fd)
{
    struct tdw_op *op = (uint32_t)fd < e->fds_max ? e->fds[fd].head : NULL;
    const struct watched old = (uint32_t)fd < e->fds_max ? e->fds[fd] : (struct watched){.kind = 0};
    const int copy = op ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    struct watched *w;

    if ((uint32_t)fd >= e->fds_max || old.kind == FD_UNKNOWN)
        return;
    forget(e, fd);
    if (!op)
        return;
    if (copy < 0)
        abort(); /* there is no descriptor left to keep an accepted op alive with */
    w = look_up(e, copy);
    w->orphan = true;
    w->hidden = old.hidden;
    w->head = op;
    w->tail = old.tail;
    for (; op; op = op->next)
        set_place(op, copy);
    watch(e, w, copy);
}

/* ── Attempts ──────────────────────────────────────────────────────────────────────────────── */

/* Has the op `msg_flags`? */
static bool is_message(const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return true;
    default:
        return false;
    }
}

/* Bytes that an op with MSG_WAITALL has moved so far stand in op->res. */
static bool goes_on(const struct tdw_op *op, const struct watched *w)
{
    return is_message(op) && (op->sqe.msg_flags & (MSG_WAITALL | MSG_PEEK)) == MSG_WAITALL &&
           (w->kind == FD_STREAM || w->kind == FD_SEQPACKET);
}

static size_t vector_bytes(const struct iovec *iov, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* How many bytes the op would move at most. */
static size_t bytes_of(const struct tdw_op *op)
{
    const struct msghdr *message = (const void *)(uintptr_t)op->sqe.addr;

    switch (op->sqe.opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return vector_bytes(message->msg_iov, message->msg_iovlen);
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return vector_bytes((const void *)(uintptr_t)op->sqe.addr, op->sqe.len);
    default:
        return op->sqe.len;
    }
}

/* The message less the bytes that were moved: in `rest`, with its vectors in `room`. */
static struct msghdr *rest_of(const struct msghdr *message, size_t moved, struct msghdr *rest,
                              struct iovec room[UIO_MAXIOV])
{
    size_t count = 0;

    *rest = *message;
    rest->msg_iov = room;
    for (size_t i = 0; i < message->msg_iovlen && i < UIO_MAXIOV; i++) {
        const struct iovec *iov = &message->msg_iov[i];
        const size_t skip = moved < iov->iov_len ? moved : iov->iov_len;

        moved -= skip;
        if (skip < iov->iov_len || iov->iov_len == 0)
            room[count++] = (struct iovec){(char *)iov->iov_base + skip, iov->iov_len - skip};
    }
    rest->msg_iovlen = count;
    rest->msg_controllen = 0; /* it went with the first part */
    return rest;
}

/* Go on behind what was moved. */
static int32_t perform_rest(const struct tdw_op *op, struct io_uring_sqe *sqe)
{
    struct msghdr *message = (void *)(uintptr_t)sqe->addr;
    struct iovec room[UIO_MAXIOV];
    struct msghdr rest;
    int32_t res;

    if (sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_RECV ||
        sqe->opcode == IORING_OP_SEND_ZC) {
        sqe->addr += (uint32_t)op->res;
        sqe->len -= (uint32_t)op->res;
        return tdw__perform(sqe, true);
    }
    sqe->addr = (uintptr_t)rest_of(message, (size_t)op->res, &rest, room);
    res = tdw__perform(sqe, true);
    if (sqe->opcode == IORING_OP_RECVMSG && res >= 0)
        message->msg_flags = rest.msg_flags;
    return res;
}

static int32_t poll_attempt(const struct tdw_op *op, int fd)
{
    struct pollfd one = {.fd = fd, .events = (short)(op->sqe.poll32_events | POLLRDHUP)};

    if (poll(&one, 1, 0) < 0)
        return -errno;
    return one.revents ? one.revents : -EAGAIN;
}

static int32_t connect_attempt(struct tdw_op *op, struct io_uring_sqe *sqe)
{
    struct pollfd one = {.fd = sqe->fd, .events = POLLOUT};
    int err = 0;
    socklen_t bytes = sizeof err;

    if (op->res == 0) { /* not begun */
        const int32_t res = tdw__perform(sqe, true);

        if (res != -EINPROGRESS)
            return res;
        op->res = 1;
    }
    if (poll(&one, 1, 0) < 1)
        return -EAGAIN;
    if (getsockopt(sqe->fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        return -errno;
    if (err)
        return -err;
    err = tdw__perform(sqe, true); /* the socket does not know yet that it is connected */
    return err == -EISCONN ? 0 : err;
}

/* A listener that would wait is told not to, for good: nobody else's accept may come in between. */
static int32_t accept_attempt(struct watched *w, struct tdw_op *op, const struct io_uring_sqe *sqe)
{
    const bool direct = sqe->file_index != 0;
    struct io_uring_sqe own = *sqe;

    if (!w->hidden) {
        const int flags = fcntl(sqe->fd, F_GETFL);

        if (!(flags & O_NONBLOCK))
            fcntl(sqe->fd, F_SETFL, flags | O_NONBLOCK);
        w->hidden = true;
    }
    if (op->sqe.ioprio & IORING_ACCEPT_MULTISHOT && !direct)
        own.ioprio = 0;
    return tdw__perform(&own, true);
}

/* A stream that cannot be asked not to wait: look first. Nobody else should read it meanwhile. */
static int32_t read_attempt(const struct io_uring_sqe *sqe, short events)
{
    struct pollfd one = {.fd = sqe->fd, .events = events};
    const int32_t res = tdw__perform(sqe, true);

    if (res != -EOPNOTSUPP)
        return res;
    if (poll(&one, 1, 0) < 1)
        return -EAGAIN;
    return tdw__perform(sqe, false);
}

static short direction(const struct tdw_op *op)
{
    return tdw__kind(op->sqe.opcode) == TDW_K_WRITE ? POLLOUT : POLLIN;
}

/* One attempt, on `sqe`, a copy with descriptor and buffer as they are. */
static int32_t attempt_once(struct watched *w, struct tdw_op *op, struct io_uring_sqe *sqe)
{
    switch (op->sqe.opcode) {
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        if (w->copies)
            return -EOPNOTSUPP;
        return op->res > 0 ? perform_rest(op, sqe) : tdw__perform(sqe, true);
    case IORING_OP_POLL_ADD:
        return poll_attempt(op, sqe->fd);
    case IORING_OP_CONNECT:
        return connect_attempt(op, sqe);
    case IORING_OP_ACCEPT:
        return accept_attempt(w, op, sqe);
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
        return read_attempt(sqe, direction(op));
    default:
        return op->res > 0 ? perform_rest(op, sqe) : tdw__perform(sqe, true);
    }
}

/* A stream that moved less than it was asked to has no more at present, unless it was told of
 * something other than bytes, which an edge tells once only. */
static void learn(struct watched *w, const struct tdw_op *op, const struct io_uring_sqe *sqe,
                  int32_t res)
{
    const short way = direction(op);

    if (op->sqe.opcode == IORING_OP_POLL_ADD)
        return;
    if (res == -EAGAIN)
        w->ready &= (uint8_t)~way;
    else if (w->added && w->kind == FD_STREAM && !w->ends && res > 0 &&
             op->sqe.opcode == IORING_OP_RECV && !(sqe->msg_flags & MSG_PEEK) &&
             (uint32_t)res < sqe->len)
        w->ready &= (uint8_t)~way;
}

static bool selects(const struct tdw_op *op)
{
    return op->sqe.flags & IOSQE_BUFFER_SELECT;
}

/* A read that waits holds its buffer, if it is of a list: as io_uring's does. */
static bool holds_buffer(const struct tdw_op *op)
{
    return op->flags & IORING_CQE_F_BUFFER &&
           (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READV);
}

static void hold_buffer(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    struct tdw_picked picked;

    if (!selects(op) || holds_buffer(op) ||
        (op->sqe.opcode != IORING_OP_READ && op->sqe.opcode != IORING_OP_READV) ||
        !tdw__registry_is_list(e->registry, op->sqe.buf_group) ||
        !tdw__registry_pick(e->registry, op->sqe.buf_group, &picked))
        return;
    tdw__registry_use(e->registry, op->sqe.buf_group, 0);
    op->sqe.addr3 = picked.addr;
    op->sqe.__pad2[0] = picked.bytes;
    op->flags = IORING_CQE_F_BUFFER | (uint32_t)picked.id << IORING_CQE_BUFFER_SHIFT;
}

/* Put the buffer that is to be picked into the entry; false: the group has none. */
static bool pick(struct tdw_epoll_loop *e, struct io_uring_sqe *sqe, struct tdw_picked *picked)
{
    if (!tdw__registry_pick(e->registry, sqe->buf_group, picked))
        return false;
    sqe->addr = picked->addr;
    sqe->len = sqe->len && sqe->len < picked->bytes ? sqe->len : picked->bytes;
    return true;
}

/* `bytes` were moved through the buffer that was picked: the completion's flags. */
static uint32_t use_picked(struct tdw_epoll_loop *e, const struct tdw_op *op,
                           const struct tdw_picked *picked, int32_t bytes)
{
    const bool more = tdw__registry_use(e->registry, op->sqe.buf_group, (uint32_t)bytes);

    return IORING_CQE_F_BUFFER | (uint32_t)picked->id << IORING_CQE_BUFFER_SHIFT |
           (more ? TDW_CQE_F_BUF_MORE : 0);
}

/* What an accepted or opened descriptor becomes: a number, or a slot. */
static int32_t keep_fd(struct tdw_epoll_loop *e, const struct io_uring_sqe *sqe, int32_t fd)
{
    int32_t res;

    if (fd < 0)
        return fd;
    if (!sqe->file_index) {
        if ((uint32_t)fd < e->fds_max && e->fds[fd].kind != FD_UNKNOWN)
            forget(e, fd); /* it was closed behind our back */
        return fd;
    }
    res = tdw__registry_install(e->registry, fd, sqe->file_index);
    if (res < 0)
        close(fd);
    return res;
}

/* One attempt of `op` on `fd`: the result, or -EAGAIN, it has to wait. `flags` are the
 * completion's. */
static int32_t attempt(struct tdw_epoll_loop *e, struct watched *w, struct tdw_op *op, int fd,
                       uint32_t *flags)
{
    struct io_uring_sqe sqe = op->sqe;
    struct tdw_picked picked;
    int32_t res;

    *flags = 0;
    sqe.fd = fd;
    if (selects(op) && op->sqe.opcode == IORING_OP_RECV &&
        (w->kind == FD_FILE || w->kind == FD_OTHER))
        return -ENOTSOCK;
    if (holds_buffer(op)) {
        sqe.addr = op->sqe.addr3;
        sqe.len = sqe.len && sqe.len < op->sqe.__pad2[0] ? sqe.len : (uint32_t)op->sqe.__pad2[0];
    } else if (selects(op) && !pick(e, &sqe, &picked)) {
        return -ENOBUFS;
    }
    res = attempt_once(w, op, &sqe);
    learn(w, op, &sqe, res);
    if (op->sqe.opcode == IORING_OP_ACCEPT)
        return keep_fd(e, &op->sqe, res);
    if (holds_buffer(op)) {
        *flags = res == -EAGAIN ? 0 : op->flags;
        return res;
    }
    if (selects(op) && res >= 0) {
        *flags = use_picked(e, op, &picked, res);
        return res;
    }
    if (goes_on(op, w) && res != -EAGAIN) {
        if (res > 0 && (size_t)(op->res + res) < bytes_of(op)) {
            op->res += res;
            return attempt(e, w, op, fd, flags);
        }
        return op->res > 0 ? op->res + (res > 0 ? res : 0) : res;
    }
    return res;
}

static bool is_multishot(const struct tdw_op *op)
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

/* A send without a copy has copied: its buffer is free at once. */
static void post(struct tdw_op *op, int32_t res, uint32_t flags)
{
    const bool gives_back =
        op->sqe.opcode == IORING_OP_SEND_ZC || op->sqe.opcode == IORING_OP_SENDMSG_ZC;

    if (gives_back && tdw__post_more(op, res, 0, 0))
        tdw__real_post(op, 0, IORING_CQE_F_NOTIF);
    else
        tdw__real_post(op, res, flags);
}

/* Attempt until it would wait: true; false: it is complete, and posted. */
static bool attempt_all(struct tdw_epoll_loop *e, struct watched *w, struct tdw_op *op, int fd)
{
    uint32_t flags;
    int32_t res;

    for (int shots = 0; shots < SHOTS_AT_ONCE; shots++) {
        res = attempt(e, w, op, fd, &flags);
        if (res == -EAGAIN)
            return true;
        if (!is_multishot(op) || res < 0 || (res == 0 && op->sqe.opcode != IORING_OP_ACCEPT) ||
            !tdw__post_more(op, res, flags, 0)) {
            post(op, res, flags);
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
static void put_back(struct tdw_epoll_loop *e, struct watched *w, struct tdw_op *op)
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

static struct tdw_op *first_behind(const struct watched *w, uint64_t seq)
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
        struct watched *w = &e->fds[fd];
        const uint64_t seq = op->seq;

        if (is_poll(op) == polls && (polls || w->ready & direction(op))) {
            unlink_op(e, w, op);
            op->state = TDW_PENDING;
            if (attempt_all(e, w, op, fd))
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
    leave_orphan(e, fd);
}

/* The descriptor of an event; NULL: it has been another since. */
static struct watched *event_fd(struct tdw_epoll_loop *e, const struct epoll_event *event)
{
    struct watched *w = &e->fds[(uint32_t)event->data.u64];

    return w->generation == event->data.u64 >> 32 && w->added ? w : NULL;
}

/* What an event says is noted, and told to polls: they hear of what woke them, also if somebody
 * takes it away in the same turn. */
static void note_edge(struct tdw_epoll_loop *e, const struct epoll_event *event)
{
    struct watched *w = event_fd(e, event);

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
    leave_orphan(e, fd);
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

static void to_worker(struct tdw_epoll_loop *e, struct tdw_op *op, const struct io_uring_sqe *sqe)
{
    if (tdw__worker_begin(&e->real, op, sqe) < 0)
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

    if (selects(op)) {
        if (!pick(e, sqe, &picked)) {
            tdw__post(op, -ENOBUFS, 0, 0);
            return;
        }
        res = tdw__perform(sqe, false); /* the buffer is picked and used in one go */
        tdw__post(op, res, res >= 0 ? use_picked(e, op, &picked, res) : 0, 0);
        return;
    }
    res = may_be_cached(op) ? read_cached(sqe) : -EAGAIN;
    if (res == -EAGAIN)
        to_worker(e, op, sqe);
    else
        tdw__post(op, res, 0, 0);
}

/* O_NONBLOCK is nothing to io_uring; flags of the entry are. */
static bool asks_not_to_wait(const struct tdw_op *op)
{
    if (is_message(op))
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
    struct watched *w = look_up(e, sqe->fd);
    const bool polls = op->sqe.opcode == IORING_OP_POLL_ADD;
    const bool connects = op->sqe.opcode == IORING_OP_CONNECT;

    if (!w) {
        post(op, -EBADF, 0);
        return;
    }
    if (w->kind == FD_FILE && !polls && tdw__opcodes[op->sqe.opcode].class != TDW_C_CALL) {
        start_file(e, op, sqe);
        return;
    }
    if (polls || connects || w->ready & direction(op) || !knows(w, op)) {
        if (!attempt_all(e, w, op, sqe->fd))
            return;
        w = &e->fds[sqe->fd];
    }
    if (op->task->bits & TDW_TASK_STOPPING) {
        tdw__post(op, -ECANCELED, op->flags, 0);
        return;
    }
    if (asks_not_to_wait(op)) {
        post(op, op->res > 0 ? op->res : -EAGAIN, 0);
        return;
    }
    if (connects && op->res == 0) { /* a unix socket whose peer's queue is full: no edge tells */
        to_worker(e, op, sqe);
        return;
    }
    hold_buffer(e, op);
    enqueue(e, w, sqe->fd, op);
    if (!w->added) { /* what epoll does not take waits in a thread */
        dequeue(e, op);
        to_worker(e, op, sqe);
    }
}

static int32_t close_of(struct tdw_epoll_loop *e, const struct io_uring_sqe *sqe)
{
    if (sqe->off || sqe->addr || sqe->len || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (sqe->flags & IOSQE_FIXED_FILE)
        return -EBADF;
    if (sqe->file_index)
        return sqe->fd ? -EINVAL : tdw__registry_remove(e->registry, sqe->file_index);
    if (sqe->fd == e->epfd || sqe->fd == e->real.wake_fd)
        return -EBADF;
    if (sqe->fd >= 0)
        move_waiting(e, sqe->fd);
    return close(sqe->fd) < 0 ? -errno : 0;
}

static int32_t poll_update(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    const uint32_t flags = op->sqe.len;
    struct tdw_op *target = tdw__find(op->task->ring, op->sqe.addr);

    if (op->sqe.buf_index || op->sqe.splice_fd_in ||
        flags & ~(uint32_t)(IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA |
                            IORING_POLL_ADD_MULTI) ||
        flags == IORING_POLL_ADD_MULTI ||
        (op->sqe.off && !(flags & IORING_POLL_UPDATE_USER_DATA)) ||
        (op->sqe.poll32_events && !(flags & IORING_POLL_UPDATE_EVENTS)))
        return -EINVAL;
    if (!target || target->sqe.opcode != IORING_OP_POLL_ADD || target->state != TDW_BLOCKED)
        return -ENOENT;
    if (!(flags & IORING_POLL_UPDATE_EVENTS))
        return tdw__cancel(target, -ECANCELED, NULL);
    target->sqe.poll32_events = op->sqe.poll32_events;
    attempt_waiting(e, place_of(target));
    return 0;
}

/* ── Cancel ────────────────────────────────────────────────────────────────────────────────── */

static int epoll_withdraw(struct tdw_ring *ring, struct tdw_op *op, int32_t res,
                          struct tdw_op *asker)
{
    struct tdw_epoll_loop *e = epoll_of(ring->loop);
    int ret;

    if (tdw__is_timer(op)) {
        tdw__real_timer_stop(&e->real, op);
        return 0;
    }
    if (op->state == TDW_BLOCKED) {
        dequeue(e, op);
        if (op->sqe.opcode == IORING_OP_CONNECT)
            op->res = 0; /* that it had begun is no result */
        return 0;
    }
    ret = tdw__worker_cancel(&e->real, op);
    if (ret != -EINPROGRESS)
        return ret;
    tdw__slot(ring, op)->sum |= (uint32_t)-res;
    if (asker) /* a link time-out: cancellations of this backend are answered at once */
        tdw__post(asker, -ETIME, 0, 0);
    return -EINPROGRESS;
}

static bool is_meant(const struct tdw_epoll_loop *e, const struct tdw_op *cancel,
                     const struct tdw_op *op)
{
    const uint32_t flags = cancel->sqe.cancel_flags;
    int fd = cancel->sqe.fd;

    if (op == cancel || op->state == TDW_POSTED || !tdw__cancellable(op))
        return false;
    if (flags & IORING_ASYNC_CANCEL_ANY)
        return true;
    if (!(flags & IORING_ASYNC_CANCEL_FD))
        return op->sqe.user_data == cancel->sqe.addr;
    if (flags & IORING_ASYNC_CANCEL_FD_FIXED)
        fd = tdw__registry_file(e->registry, (uint32_t)fd);
    if (op->state == TDW_BLOCKED && op->sqe.opcode < TDW_OP_FIRST)
        return place_of(op) == fd;
    return op->state == TDW_PENDING && !tdw__is_timer(op) && op->sqe.fd == fd;
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
    if (flags & IORING_ASYNC_CANCEL_FD && !(flags & IORING_ASYNC_CANCEL_FD_FIXED) &&
        fcntl(cancel->sqe.fd, F_GETFD) < 0)
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
        tdw__post(op, close_of(e, sqe), 0, 0);
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
    if (names_file(op->sqe.opcode) && !look_up(e, sqe->fd))
        return -EBADF;
    if (op->sqe.opcode == IORING_OP_READ_FIXED || op->sqe.opcode == IORING_OP_WRITE_FIXED)
        return look_up(e, sqe->fd)
                   ? tdw__registry_buffer(e->registry, sqe->buf_index, sqe->addr, sqe->len)
                   : -EBADF;
    return 0;
}

/* What opens something: at once by this thread only if it cannot wait. */
static bool opens(uint8_t opcode)
{
    return opcode == IORING_OP_OPENAT || opcode == IORING_OP_OPENAT2;
}

static void epoll_start(struct tdw_ring *ring, struct tdw_op *op)
{
    struct tdw_epoll_loop *e = epoll_of(ring->loop);
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
                      ? keep_fd(e, &op->sqe, tdw__perform(&sqe, true))
                      : tdw__perform(&sqe, true),
                  0, 0);
        return;
    case TDW_K_FILE:
        if (opens(op->sqe.opcode) && op->sqe.file_index) /* into a slot, which is the loop's */
            tdw__post(op, keep_fd(e, &op->sqe, tdw__perform(&sqe, false)), 0, 0);
        else
            to_worker(e, op, &sqe);
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
        to_worker(e, op, &sqe);
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
        const long n = syscall(SYS_epoll_pwait2, e->epfd, events, EVENTS, &left, NULL, (size_t)8);

        if (n >= 0 || errno != ENOSYS)
            return (int)n;
        e->no_pwait2 = true;
    }
    if (left_ns != 0 && left_ns != TDW_NEVER) /* in ms, and not too early */
        timeout = left_ns / 1000000 < 100000 ? (int)((left_ns + 999999) / 1000000) : 100000;
    return epoll_wait(e->epfd, events, EVENTS, timeout);
}

static void woken(struct tdw_epoll_loop *e)
{
    uint64_t wakes;

    if (read(e->real.wake_fd, &wakes, sizeof wakes) < 0)
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
    if (until_ns != TDW_NEVER)
        tdw__real_timers_fire(&e->real);
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
    struct tdw_epoll_loop *e = epoll_of(loop);

    if (loop->ready.count == 0 || ++e->streak >= READY_STREAK) {
        e->streak = 0;
        if (!gather(e, deadline_ns))
            return NULL;
    }
    if (TDW_UNLIKELY(loop->taps != NULL))
        tdw__real_now(&e->real); /* a trace has the time of each step */
    return tdw__ready_take(loop, 0);
}

static const struct tdw_backend_ops epoll_backend = {
    .name = "epoll",
    .start = epoll_start,
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
    .calls = &tdw__real_calls,
};

/* ── Opened and closed ─────────────────────────────────────────────────────────────────────── */

static int epoll_enroll(struct tdw_real *real, unsigned opcode, const void *arg, unsigned count)
{
    return tdw__registry_enroll(epoll_of(&real->loop)->registry, opcode, arg, count);
}

static void epoll_forget_fd(struct tdw_real *real, int fd)
{
    if (fd >= 0)
        move_waiting(epoll_of(&real->loop), fd);
}

static void epoll_closed(struct tdw_real *real)
{
    struct tdw_epoll_loop *e = epoll_of(&real->loop);

    for (uint32_t fd = 0; fd < e->fds_max; fd++)
        if (e->fds[fd].orphan)
            close((int)fd);
    tdw__registry_free(e->registry);
    close(e->epfd);
    free(e->again);
    free(e->fds);
}

static void slot_closes(void *loop, int fd)
{
    move_waiting(loop, fd);
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
    e->registry = tdw__registry_new(slot_closes, e);
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (!e->registry || e->epfd < 0 ||
        epoll_ctl(e->epfd, EPOLL_CTL_ADD, e->real.wake_fd, &wake) < 0) {
        ret = e->registry ? -errno : -ENOMEM;
        tdw__registry_free(e->registry);
        close(e->real.wake_fd);
        tdw__loop_fini(&e->real.loop);
        free(e);
        return ret;
    }
    e->real.enroll = epoll_enroll;
    e->real.forget_fd = epoll_forget_fd;
    e->real.closed = epoll_closed;
    *loop = &e->real.loop;
    return 0;
}
