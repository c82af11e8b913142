/* SPDX-License-Identifier: MIT */
/*
 * What the epoll backend knows of each descriptor: its kind, whether it is ready, and who waits.
 *
 * It is a table by number, filled when a number is first used. A number is another file once it has
 * been closed: closing by the verb, dup2 and whatever gives a number out come through here, and
 * what was known is forgotten. (A plain close(2), and then a number given out to somebody else's
 * plain call, are not seen.) The generation tells an event that was under way from a new one.
 *
 * An op that waits holds its file, as io_uring's does: those that wait on a number which is closed
 * move to a duplicate, of which nobody but this table knows.
 */
#include <runtime/real/epoll.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fds_grow(struct tdw_epoll_loop *e, int fd)
{
    uint32_t max = e->fds_max ? e->fds_max : 64;
    struct tdw_watched *fds;

    while (max <= (uint32_t)fd)
        max *= 2;
    fds = realloc(e->fds, max * sizeof *fds);
    if (!fds)
        abort(); /* an accepted op cannot be refused any more */
    memset(fds + e->fds_max, 0, (max - e->fds_max) * sizeof *fds);
    e->fds = fds;
    e->fds_max = max;
}

static enum tdw_fd_kind kind_of(int fd)
{
    struct stat info;
    int type = 0;
    socklen_t bytes = sizeof type;

    if (fstat(fd, &info) < 0 || fcntl(fd, F_GETFL) & O_PATH)
        return TDW_FD_UNKNOWN; /* a name is no open file */
    if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISBLK(info.st_mode) ||
        S_ISLNK(info.st_mode))
        return TDW_FD_FILE;
    if (!S_ISSOCK(info.st_mode))
        return TDW_FD_OTHER;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
    return type == SOCK_STREAM      ? TDW_FD_STREAM
           : type == SOCK_SEQPACKET ? TDW_FD_SEQPACKET
                                    : TDW_FD_SOCKET;
}

static bool is_inet(int fd)
{
    int domain = 0;
    socklen_t bytes = sizeof domain;

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes);
    return domain == AF_INET || domain == AF_INET6;
}

struct tdw_watched *tdw__watched(struct tdw_epoll_loop *e, int fd)
{
    struct tdw_watched *w;

    if (fd < 0)
        return NULL;
    if (TDW_UNLIKELY((uint32_t)fd >= e->fds_max))
        fds_grow(e, fd);
    w = &e->fds[fd];
    if (TDW_UNLIKELY(w->kind == TDW_FD_UNKNOWN)) {
        w->kind = (uint8_t)kind_of(fd);
        w->ready = POLLIN | POLLOUT;
        w->copies = w->kind != TDW_FD_FILE && w->kind != TDW_FD_OTHER && !is_inet(fd);
    }
    return w->kind == TDW_FD_UNKNOWN ? NULL : w;
}

static void set_place(struct tdw_op *op, int fd)
{
    struct tdw_slot *slot = tdw__slot(op->task->ring, op);

    slot->sum = (uint64_t)(uint32_t)(fd + 1) << 32 | (uint32_t)slot->sum;
}

static void forget(struct tdw_epoll_loop *e, int fd)
{
    struct tdw_watched *w = &e->fds[fd];

    if (w->added)
        epoll_ctl(e->epfd, EPOLL_CTL_DEL, fd, NULL);
    *w = (struct tdw_watched){.generation = w->generation + 1};
}

void tdw__watched_leave(struct tdw_epoll_loop *e, int fd)
{
    if (!e->fds[fd].orphan || e->fds[fd].head)
        return;
    forget(e, fd);
    close(fd);
}

static void watch(struct tdw_epoll_loop *e, struct tdw_watched *w, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET};

    if (TDW_LIKELY(w->added))
        return;
    event.data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd;
    w->added = epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void tdw__wait_enqueue(struct tdw_epoll_loop *e, struct tdw_watched *w, int fd, struct tdw_op *op)
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

void tdw__wait_unlink(struct tdw_epoll_loop *e, struct tdw_watched *w, struct tdw_op *op)
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

void tdw__wait_dequeue(struct tdw_epoll_loop *e, struct tdw_op *op)
{
    const int fd = tdw__wait_place(op);

    tdw__wait_unlink(e, &e->fds[fd], op);
    tdw__watched_leave(e, fd);
}

static void end_waiting(struct tdw_epoll_loop *e, int fd, int32_t res)
{
    int32_t moved;

    while (e->fds[fd].head) {
        struct tdw_op *op = e->fds[fd].head;

        tdw__wait_unlink(e, &e->fds[fd], op);
        moved = op->sqe.opcode == IORING_OP_CONNECT ? 0 : op->res; /* so far: it is told */
        tdw__attempt_post(op, moved > 0 ? moved : res, op->flags & ~IORING_CQE_F_MORE);
    }
}

void tdw__watched_new(struct tdw_epoll_loop *e, int fd)
{
    if ((uint32_t)fd >= e->fds_max || e->fds[fd].kind == TDW_FD_UNKNOWN)
        return;
    end_waiting(e, fd, -EBADF);
    forget(e, fd);
}

void tdw__watched_move(struct tdw_epoll_loop *e, int fd)
{
    struct tdw_watched old, *w;
    int copy;

    if ((uint32_t)fd >= e->fds_max || e->fds[fd].kind == TDW_FD_UNKNOWN)
        return;
    copy = e->fds[fd].head ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) /* nobody waits; or it is closed already, or there is no descriptor left */
        end_waiting(e, fd, -errno);
    old = e->fds[fd];
    forget(e, fd);
    if (copy < 0)
        return;
    tdw__watched_new(e, copy);
    w = tdw__watched(e, copy);
    w->orphan = true;
    w->hidden = old.hidden;
    w->head = old.head;
    w->tail = old.tail;
    for (struct tdw_op *op = old.head; op; op = op->next)
        set_place(op, copy);
    watch(e, w, copy);
}
