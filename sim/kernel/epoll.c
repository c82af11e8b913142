/* SPDX-License-Identifier: MIT */
/*
 * epoll(7): EPOLL_CTL, EPOLL_WAIT, and the calls that never wait.
 *
 *     open file ◀─ item (file, fd) ─▶ epoll ─ ready list ─▶ EPOLL_WAIT
 *         └ its queue of watches ── woken ──┘
 *
 * An item watches an open file, not a descriptor: it lives until it is deleted or the open file
 * ends, so a descriptor that is closed while another refers to the same open file goes on telling,
 * under its old number, which by then may be another's (the trap of epoll(7), question 6).
 *
 * A wake puts the item into the ready list if it is one that was asked for. EPOLL_WAIT takes items
 * from the front, looks what each is ready for now, drops those that are for nothing, and puts
 * level-triggered ones back at the end, so that all get their turn. EPOLLET items come back with
 * the next wake; EPOLLONESHOT ones when they are modified; of several EPOLLEXCLUSIVE ones on a file
 * a wake tells the first that somebody waits for, else the oldest.
 *
 * An epoll may watch others, no deeper than Linux's four, and not in a circle (-ELOOP).
 */
#include <tidewheel/sys.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/wait.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    NESTS_MAX = 4,
    EVENTS_MAX = INT32_MAX / (int)sizeof(struct epoll_event),
};
#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EXCLUSIVE_BITS                                                                             \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct tdw_epoll_item {
    struct tdw_watch watch;
    struct tdw_epoll *epoll;
    struct tdw_file *file;
    struct tdw_epoll_item *of_file, **of_file_at; /* the next that watches this file */
    struct tdw_epoll_item *same_fd;
    struct tdw_epoll_item *ready_next, *ready_prev;
    int fd;
    bool ready; /* in the list */
    struct epoll_event event;
};

struct tdw_epoll {
    struct tdw_loop *loop;
    struct tdw_file *file;    /* its own */
    struct tdw_waitq changed; /* who waits for or polls it, and epolls that watch it */
    struct tdw_epoll_item **by_fd;
    uint32_t by_fd_max, waiters;
    struct tdw_epoll_item *ready_first, *ready_last;
};

/* ── The ready list ────────────────────────────────────────────────────────────────────────── */

static void ready_put(struct tdw_epoll_item *item)
{
    struct tdw_epoll *epoll = item->epoll;

    if (item->ready)
        return;
    item->ready = true;
    item->ready_next = NULL;
    item->ready_prev = epoll->ready_last;
    if (epoll->ready_last)
        epoll->ready_last->ready_next = item;
    else
        epoll->ready_first = item;
    epoll->ready_last = item;
}

static void ready_take(struct tdw_epoll_item *item)
{
    struct tdw_epoll *epoll = item->epoll;

    if (!item->ready)
        return;
    item->ready = false;
    if (item->ready_next)
        item->ready_next->ready_prev = item->ready_prev;
    else
        epoll->ready_last = item->ready_prev;
    if (item->ready_prev)
        item->ready_prev->ready_next = item->ready_next;
    else
        epoll->ready_first = item->ready_next;
}

static uint32_t ready_for(const struct tdw_epoll_item *item)
{
    return tdw__ready(item->file) & item->event.events;
}

/* The first that is ready for something; those in front of it that are not are dropped. */
static struct tdw_epoll_item *ready_first(struct tdw_epoll *epoll)
{
    while (epoll->ready_first && !ready_for(epoll->ready_first))
        ready_take(epoll->ready_first);
    return epoll->ready_first;
}

static bool woken(struct tdw_watch *watch, uint32_t events)
{
    struct tdw_epoll_item *item = tdw_of(watch, struct tdw_epoll_item, watch);

    if (!(item->event.events & ~(uint32_t)PRIVATE_BITS) || !(item->event.events & events))
        return false;
    ready_put(item);
    tdw__wake_for(&item->epoll->changed, POLLIN | POLLRDNORM);
    return item->epoll->waiters > 0;
}

/* ── Items ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_epoll_item *find(const struct tdw_epoll *epoll, const struct tdw_file *file,
                                   int fd)
{
    struct tdw_epoll_item *item = (uint32_t)fd < epoll->by_fd_max ? epoll->by_fd[fd] : NULL;

    while (item && item->file != file)
        item = item->same_fd;
    return item;
}

static bool room_for(struct tdw_epoll *epoll, int fd)
{
    uint32_t max = epoll->by_fd_max ? epoll->by_fd_max : 16;
    struct tdw_epoll_item **grown;

    if ((uint32_t)fd < epoll->by_fd_max)
        return true;
    while (max <= (uint32_t)fd)
        max *= 2;
    grown = realloc(epoll->by_fd, max * sizeof(struct tdw_epoll_item *));
    if (!grown)
        return false;
    memset(grown + epoll->by_fd_max, 0, (max - epoll->by_fd_max) * sizeof(struct tdw_epoll_item *));
    epoll->by_fd = grown;
    epoll->by_fd_max = max;
    return true;
}

static void item_free(struct tdw_epoll_item *item)
{
    struct tdw_epoll_item **at = &item->epoll->by_fd[item->fd];

    while (*at != item)
        at = &(*at)->same_fd;
    *at = item->same_fd;
    ready_take(item);
    tdw__unwatch(item->file->kind->ready_queue(item->file), &item->watch);
    *item->of_file_at = item->of_file;
    if (item->of_file)
        item->of_file->of_file_at = item->of_file_at;
    tdw__memory_put(item->epoll->loop->memory, item, sizeof(*item));
}

void tdw__epoll_forget(struct tdw_file *file)
{
    while (file->watched_by)
        item_free(file->watched_by);
}

static int item_add(struct tdw_epoll *epoll, struct tdw_file *file, int fd,
                    const struct epoll_event *event)
{
    struct tdw_epoll_item *item;

    if (!room_for(epoll, fd))
        return -ENOMEM;
    item = tdw__memory_get(epoll->loop->memory, sizeof(*item));
    if (!item)
        return -ENOMEM;
    item->epoll = epoll;
    item->file = file;
    item->fd = fd;
    item->event = *event;
    item->event.events |= EPOLLERR | EPOLLHUP;
    item->same_fd = epoll->by_fd[fd];
    epoll->by_fd[fd] = item;
    item->of_file = file->watched_by;
    item->of_file_at = &file->watched_by;
    if (item->of_file)
        item->of_file->of_file_at = &item->of_file;
    file->watched_by = item;
    item->watch.woken = woken;
    item->watch.exclusive = event->events & EPOLLEXCLUSIVE;
    tdw__watch(file->kind->ready_queue(file), &item->watch);
    return 0;
}

/* A new or modified item may be ready already. */
static void look(struct tdw_epoll_item *item)
{
    if (!ready_for(item) || item->ready)
        return;
    ready_put(item);
    tdw__wake_for(&item->epoll->changed, POLLIN | POLLRDNORM);
}

/* ── The kind of open file ─────────────────────────────────────────────────────────────────── */

static uint32_t epoll_ready(const struct tdw_file *file)
{
    return ready_first(file->epoll) ? POLLIN | POLLRDNORM : 0;
}

static struct tdw_waitq *epoll_queue(struct tdw_file *file)
{
    return &file->epoll->changed;
}

static void epoll_close(struct tdw_file *file)
{
    struct tdw_epoll *epoll = file->epoll;

    for (uint32_t fd = 0; fd < epoll->by_fd_max; fd++)
        while (epoll->by_fd[fd])
            item_free(epoll->by_fd[fd]);
    free(epoll->by_fd);
    tdw__memory_put(epoll->loop->memory, epoll, sizeof(*epoll));
}

static const struct tdw_file_kind kind = {.name = "epoll",
                                          .mode = 0600,
                                          .ready = epoll_ready,
                                          .ready_queue = epoll_queue,
                                          .close = epoll_close};

/* How deep do the epolls below `epoll` go? More than NESTS_MAX: too deep, or `within` is there. */
static uint32_t depth(const struct tdw_epoll *epoll, const struct tdw_epoll *within, uint32_t level)
{
    uint32_t deepest = level;

    if (epoll == within || level > NESTS_MAX)
        return NESTS_MAX + 1;
    for (uint32_t fd = 0; fd < epoll->by_fd_max; fd++) {
        for (const struct tdw_epoll_item *item = epoll->by_fd[fd]; item; item = item->same_fd) {
            uint32_t below;

            if (item->file->kind != &kind)
                continue;
            below = depth(item->file->epoll, within, level + 1);
            deepest = below > deepest ? below : deepest;
        }
    }
    return deepest;
}

/* How many epolls stand above this one, by the longest way? */
static uint32_t height(const struct tdw_file *file, uint32_t level)
{
    uint32_t highest = level;

    if (level > NESTS_MAX)
        return level;
    for (const struct tdw_epoll_item *item = file->watched_by; item; item = item->of_file) {
        const uint32_t above = height(item->epoll->file, level + 1);

        highest = above > highest ? above : highest;
    }
    return highest;
}

/* ── EPOLL_CTL ─────────────────────────────────────────────────────────────────────────────── */

static int check_exclusive(const struct tdw_file *file, int what, const struct epoll_event *event)
{
    if (what == EPOLL_CTL_DEL || !(event->events & EPOLLEXCLUSIVE))
        return 0;
    if (what == EPOLL_CTL_MOD || file->kind == &kind || event->events & ~(uint32_t)EXCLUSIVE_BITS)
        return -EINVAL;
    return 0;
}

static int do_ctl(struct tdw_files *files, struct tdw_file *at, int what, int fd,
                  const struct epoll_event *event)
{
    struct tdw_file *file = tdw__fd(files, fd);
    struct tdw_epoll_item *item;
    int err;

    if (what != EPOLL_CTL_DEL && !event)
        return -EFAULT;
    if (!at || !file)
        return -EBADF;
    if (!file->kind->ready_queue)
        return -EPERM;
    if (at == file || at->kind != &kind)
        return -EINVAL;
    err = check_exclusive(file, what, event);
    if (err)
        return err;
    if (what == EPOLL_CTL_ADD && file->kind == &kind &&
        depth(file->epoll, at->epoll, height(at, 1)) > NESTS_MAX)
        return -ELOOP;
    item = find(at->epoll, file, fd);
    switch (what) {
    case EPOLL_CTL_ADD:
        if (item)
            return -EEXIST;
        err = item_add(at->epoll, file, fd, event);
        if (!err)
            look(find(at->epoll, file, fd));
        return err;
    case EPOLL_CTL_MOD:
        if (!item)
            return -ENOENT;
        if (item->event.events & EPOLLEXCLUSIVE)
            return -EINVAL;
        item->event = *event;
        item->event.events |= EPOLLERR | EPOLLHUP;
        look(item);
        return 0;
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        item_free(item);
        return 0;
    default:
        return -EINVAL;
    }
}

static int start_ctl(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    if (op->sqe.buf_index || op->sqe.splice_fd_in || op->sqe.flags & IOSQE_FIXED_FILE)
        return -EINVAL;
    return op->sqe.len != EPOLL_CTL_DEL && !op->sqe.addr ? -EFAULT : 0;
}

static int32_t effect_ctl(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)object;
    return do_ctl(process->files, tdw__fd(process->files, op->sqe.fd), (int)op->sqe.len,
                  (int)op->sqe.off, tdw__pointer(op->sqe.addr));
}

const struct tdw_sim_opcode tdw__row_epoll_ctl = {.start = start_ctl, .effect = effect_ctl};

/* ── EPOLL_WAIT ────────────────────────────────────────────────────────────────────────────── */

struct epoll_wait {
    struct tdw_wait wait;
    struct tdw_watch watch;
    struct tdw_file *file;
};

static bool wait_woken(struct tdw_watch *watch, uint32_t events)
{
    struct epoll_wait *waiting = tdw_of(watch, struct epoll_wait, watch);

    (void)events;
    tdw__wake(&waiting->wait.queue);
    return true;
}

static int start_wait(struct tdw_process *process, struct tdw_op *op, void **object)
{
    struct tdw_file *file = tdw__fd(process->files, op->sqe.fd);
    struct epoll_wait *waiting;

    if ((int)op->sqe.len <= 0 || op->sqe.len > EVENTS_MAX)
        return -EINVAL;
    if (!op->sqe.addr)
        return -EFAULT;
    if (!file)
        return -EBADF;
    if (file->kind != &kind)
        return -EINVAL;
    waiting = tdw__memory_get(process->ring.loop->memory, sizeof(*waiting));
    if (!waiting)
        return -ENOMEM;
    file->refs++;
    file->epoll->waiters++;
    waiting->file = file;
    waiting->watch.woken = wait_woken;
    tdw__watch(&file->epoll->changed, &waiting->watch);
    *object = waiting;
    tdw__wait_begin(&waiting->wait, op, op->sqe.off);
    return 0;
}

static struct tdw_waitq *blocked_wait(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct epoll_wait *waiting = object;

    (void)process;
    if (op->state == TDW_BLOCKED)
        return &waiting->wait.queue;
    return waiting->wait.over || ready_first(waiting->file->epoll) ? NULL : &waiting->wait.queue;
}

static int32_t effect_wait(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct epoll_event *events = tdw__pointer(op->sqe.addr);
    struct tdw_epoll *epoll = ((struct epoll_wait *)object)->file->epoll;
    struct tdw_epoll_item *last = epoll->ready_last, *item;
    int32_t count = 0;
    bool end = false;

    (void)process;
    while (!end && count < (int32_t)op->sqe.len && (item = epoll->ready_first) != NULL) {
        const uint32_t now = ready_for(item);

        end = item == last; /* those put back are for the next time */
        ready_take(item);
        if (!now)
            continue;
        events[count++] = (struct epoll_event){.events = now, .data = item->event.data};
        if (item->event.events & EPOLLONESHOT)
            item->event.events &= PRIVATE_BITS;
        else if (!(item->event.events & EPOLLET))
            ready_put(item);
    }
    return count;
}

static void release_wait(struct tdw_process *process, void *object)
{
    struct epoll_wait *waiting = object;

    tdw__wait_end(&waiting->wait);
    waiting->file->epoll->waiters--;
    tdw__unwatch(&waiting->file->epoll->changed, &waiting->watch);
    tdw__file_put(waiting->file);
    tdw__memory_put(process->ring.loop->memory, waiting, sizeof(*waiting));
}

struct tdw_file *tdw__epoll_wait_file(const void *object)
{
    return ((const struct epoll_wait *)object)->file;
}

const struct tdw_sim_opcode tdw__row_epoll_wait = {start_wait, blocked_wait, effect_wait,
                                                   release_wait, TDW_WHOLE};

/* ── The calls ─────────────────────────────────────────────────────────────────────────────── */

static int do_create(int flags)
{
    struct tdw_process *process = tdw__process();
    struct tdw_loop *loop = process->ring.loop;
    struct tdw_disk *disk = process->files->disk;
    const int fd = tdw__fd_free(process->files, 0);
    struct tdw_epoll *epoll;
    struct tdw_file *file;

    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    if (fd < 0)
        return fd;
    epoll = tdw__memory_get(loop->memory, sizeof(*epoll));
    file = epoll ? tdw__file_new(disk, &kind, O_RDWR, NULL) : NULL;
    if (!file) {
        if (epoll)
            tdw__memory_put(loop->memory, epoll, sizeof(*epoll));
        return -ENOMEM;
    }
    epoll->loop = loop;
    epoll->file = file;
    file->epoll = epoll;
    file->number = disk->inode_next++;
    tdw__fd_set(process->files, fd, file, flags & EPOLL_CLOEXEC);
    return fd;
}

int tdw__sim_sys_epoll_create1(int flags)
{
    return tdw__sys_event(TDW_SYS_EPOLL_CREATE, -1, (uint64_t)flags, 0, 0, do_create(flags));
}

int tdw__sim_sys_epoll_ctl(int epfd, int what, int fd, const struct epoll_event *event)
{
    struct tdw_files *files = tdw__process()->files;

    return tdw__sys_event(TDW_SYS_EPOLL_CTL, epfd, (uint64_t)fd, (uint64_t)what,
                          event ? event->events : 0,
                          do_ctl(files, tdw__fd(files, epfd), what, fd, event));
}
