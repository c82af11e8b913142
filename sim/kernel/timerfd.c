/* SPDX-License-Identifier: MIT */
/*
 * Timers as descriptors, as timerfd_create(2) makes them.
 *
 * A timer counts how often it ran out; a read takes the count, and waits while it is 0. A periodic
 * timer goes on from when it was due, so its count tells of every period, however late it is read.
 * With TFD_TIMER_CANCEL_ON_SET an absolute timer of CLOCK_REALTIME tells a step of that clock,
 * once, as -ECANCELED.
 *
 * Its actor is named by the task that made it. Called through the kind of an open file and by
 * sys.h.
 */
#include <tidewheel/sys.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>

struct tdw_timerfd {
    struct tdw_task actor;
    struct tdw_timer timer;
    struct tdw_waitq changed; /* readers and polls */
    uint64_t expirations, interval_ns;
    int clock;
    bool tells_steps, stepped;
};

static struct tdw_waitq *timerfd_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    struct tdw_timerfd *timerfd = file->timerfd;

    (void)write;
    return io->left >= sizeof(uint64_t) && timerfd->expirations == 0 && !timerfd->stepped
               ? &timerfd->changed
               : NULL;
}

static int32_t timerfd_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                            const struct tdw_op *op)
{
    struct tdw_timerfd *timerfd = file->timerfd;
    const uint64_t count = timerfd->expirations;

    (void)process, (void)op;
    if (io->left < sizeof(count))
        return -EINVAL;
    if (timerfd->stepped) {
        timerfd->stepped = false;
        timerfd->expirations = 0;
        return -ECANCELED;
    }
    if (count == 0)
        return -EAGAIN;
    timerfd->expirations = 0;
    tdw__io_fill(io, &count, sizeof(count));
    return (int32_t)sizeof(count);
}

static uint32_t timerfd_ready(const struct tdw_file *file)
{
    return file->timerfd->expirations > 0 || file->timerfd->stepped ? POLLIN : 0;
}

static struct tdw_waitq *timerfd_queue(struct tdw_file *file)
{
    return &file->timerfd->changed;
}

static void timerfd_close(struct tdw_file *file)
{
    struct tdw_timerfd *timerfd = file->timerfd;
    struct tdw_loop *loop = timerfd->actor.ring->loop;

    tdw__timer_stop(&timerfd->timer);
    tdw__actor_fini(&timerfd->actor);
    tdw__memory_put(loop->memory, timerfd, sizeof(*timerfd));
}

static const struct tdw_file_kind kind = {.name = "timerfd",
                                          .mode = 0600,
                                          .blocked = timerfd_blocked,
                                          .read = timerfd_read,
                                          .ready = timerfd_ready,
                                          .ready_queue = timerfd_queue,
                                          .close = timerfd_close};

/* All periods that have passed by now are counted at once: a clock that was stepped ahead, or a
 * host that was paused, may leave very many. */
static void expired(struct tdw_timer *timer)
{
    struct tdw_timerfd *timerfd = tdw_of(timer, struct tdw_timerfd, timer);
    const uint64_t interval = timerfd->interval_ns;
    const uint64_t now = tdw__clock_ns(timer->host, timer->clock);
    uint64_t next, periods = 1;

    if (interval > 0) {
        periods += now > timer->at_ns ? (now - timer->at_ns) / interval : 0;
        next = timer->at_ns + periods * interval;
        tdw__timer_start(timer, timer->host, &timerfd->actor, timer->clock,
                         next < timer->at_ns ? UINT64_MAX : next);
    }
    timerfd->expirations += periods;
    tdw__wake_for(&timerfd->changed, POLLIN);
}

static void stepped(struct tdw_timer *timer)
{
    struct tdw_timerfd *timerfd = tdw_of(timer, struct tdw_timerfd, timer);

    if (!timerfd->tells_steps)
        return;
    timerfd->stepped = true;
    tdw__wake_for(&timerfd->changed, POLLIN);
}

/* ── The calls ─────────────────────────────────────────────────────────────────────────────── */

static int do_create(int clock, int flags)
{
    struct tdw_process *process = tdw__process();
    struct tdw_loop *loop = process->ring.loop;
    struct tdw_disk *disk = process->files->disk;
    const int fd = tdw__fd_free(process->files, 0);
    struct tdw_timerfd *timerfd;
    struct tdw_file *file;

    if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK) ||
        (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
         clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM))
        return -EINVAL;
    if (fd < 0)
        return fd;
    timerfd = tdw__memory_get(loop->memory, sizeof(*timerfd));
    file = timerfd ? tdw__file_new(disk, &kind, O_RDWR | (flags & TFD_NONBLOCK), NULL) : NULL;
    if (!file) {
        if (timerfd)
            tdw__memory_put(loop->memory, timerfd, sizeof(*timerfd));
        return -ENOMEM;
    }
    timerfd->clock = clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME
                     : clock == CLOCK_REALTIME     ? CLOCK_REALTIME
                                                   : CLOCK_MONOTONIC;
    timerfd->timer.expired = expired;
    timerfd->timer.stepped = stepped;
    tdw__actor_init(&timerfd->actor, process->host->world, tdw__own_name(loop));
    file->timerfd = timerfd;
    file->number = disk->inode_next++;
    tdw__fd_set(process->files, fd, file, flags & TFD_CLOEXEC);
    return fd;
}

int tdw__sim_sys_timerfd_create(int clock, int flags)
{
    return tdw__sys_event(TDW_SYS_TIMERFD_CREATE, clock, (uint64_t)flags, 0, 0,
                          do_create(clock, flags));
}

static struct tdw_timerfd *at(int fd, int *err)
{
    struct tdw_file *file = tdw__fd(tdw__process()->files, fd);

    *err = !file ? -EBADF : file->kind != &kind ? -EINVAL : 0;
    return *err ? NULL : file->timerfd;
}

static bool to_ns(const struct timespec *time, uint64_t *ns)
{
    const uint64_t seconds = (uint64_t)time->tv_sec;

    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec > 999999999)
        return false;
    *ns = seconds > INT64_MAX / 1000000000 - 1 ? INT64_MAX
                                               : seconds * 1000000000u + (uint64_t)time->tv_nsec;
    return true;
}

static struct timespec from_ns(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

static void get(const struct tdw_timerfd *timerfd, struct itimerspec *value)
{
    const struct tdw_timer *timer = &timerfd->timer;
    uint64_t left = 0;

    if (tdw__timer_runs(timer)) {
        const uint64_t now = tdw__clock_ns(timer->host, timer->clock);

        left = timer->at_ns > now ? timer->at_ns - now : 1;
    }
    *value = (struct itimerspec){.it_interval = from_ns(timerfd->interval_ns),
                                 .it_value = from_ns(left)};
}

static int do_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
    struct tdw_host *host = tdw__process()->host;
    uint64_t at_ns, interval_ns;
    int err;
    struct tdw_timerfd *timerfd = at(fd, &err);
    const bool absolute = flags & TFD_TIMER_ABSTIME;

    if (!value)
        return -EFAULT;
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
        !to_ns(&value->it_value, &at_ns) || !to_ns(&value->it_interval, &interval_ns))
        return -EINVAL;
    if (!timerfd)
        return err;
    if (old)
        get(timerfd, old);
    tdw__timer_stop(&timerfd->timer);
    timerfd->expirations = 0;
    timerfd->stepped = false;
    timerfd->interval_ns = interval_ns;
    timerfd->timer.absolute = absolute && timerfd->clock == CLOCK_REALTIME;
    timerfd->tells_steps = timerfd->timer.absolute && flags & TFD_TIMER_CANCEL_ON_SET;
    if (at_ns == 0)
        return 0;
    /* What is relative does not care for steps, so the clock that has none is right for it. */
    if (absolute)
        tdw__timer_start(&timerfd->timer, host, &timerfd->actor, timerfd->clock, at_ns);
    else
        tdw__timer_start(&timerfd->timer, host, &timerfd->actor, CLOCK_MONOTONIC,
                         tdw__clock_ns(host, CLOCK_MONOTONIC) + at_ns);
    return 0;
}

int tdw__sim_sys_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                                 struct itimerspec *old)
{
    const int res = do_settime(fd, flags, value, old);

    return tdw__sys_event(TDW_SYS_TIMERFD_SETTIME, fd, value ? (uint64_t)value->it_value.tv_sec : 0,
                          value ? (uint64_t)value->it_value.tv_nsec : 0, (uint64_t)flags, res);
}

int tdw__sim_sys_timerfd_gettime(int fd, struct itimerspec *value)
{
    int res;
    const struct tdw_timerfd *timerfd = at(fd, &res);

    if (timerfd && !value)
        res = -EFAULT;
    else if (timerfd)
        get(timerfd, value);
    return tdw__sys_event(TDW_SYS_TIMERFD_GETTIME, fd, 0, 0, 0, res);
}
