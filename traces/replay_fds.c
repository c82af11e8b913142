/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls on descriptors and locks, and the map from recorded to simulated descriptors as
 * far as calls change it.
 *
 * Locks that wait are ops, all else is a call at once. A process's map is replay_run.c's.
 */
#include <linux/close_range.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tidewheel/sys.h>
#include <traces/replay_calls.h>

bool tdw__replay_new_fd(struct replay_thread *t, const struct replay_step *s)
{
    if (t->result >= 0 && s->result >= 0)
        tdw__replay_map_fd(t, s->result, (int)t->result);
    return false;
}

/* Two descriptors, as they were answered. */
static bool new_pair(struct replay_thread *t, const struct replay_step *s, int ret,
                     const int fds[2])
{
    for (uint32_t i = 0; i < 2 && i < s->items && ret == 0 && s->result == 0; i++)
        tdw__replay_map_fd(t, items(t, s)[i].a, fds[i]);
    return at_once(t, ret);
}

/* A descriptor that was there before the first call: opened, and given its number. */
PREPARE(prepare_image_fd)
{
    tdw_prep_open(&t->task.op, s->path[0], (int)s->arg[1], 0);
    return false;
}

static bool after_image_fd(struct replay_thread *t, const struct replay_step *s)
{
    const int fd = (int)t->result, wanted = (int)s->arg[0];

    if (fd < 0)
        return false;
    if (fd != wanted) {
        tdw_sys_dup2(fd, wanted);
        tdw__fd_close(tdw__process()->files, fd);
    }
    tdw__replay_map_fd(t, wanted, wanted);
    return false;
}

PREPARE(prepare_fcntl)
{
    const int cmd = (int)s->arg[1];

    switch (cmd) {
    case F_SETLKW:
    case F_OFD_SETLKW:
    case F_SETLK:
    case F_OFD_SETLK:
    case F_GETLK:
    case F_OFD_GETLK:
        t->flock = (struct flock){.l_type = s->lock.type,
                                  .l_whence = s->lock.whence,
                                  .l_start = s->lock.start,
                                  .l_len = s->lock.length};
        /* F_GETLK is recorded as it was answered: who is not in the way of a write lock was in
         * nobody's way; the answer's type tells nothing of what was asked for. */
        if (cmd == F_GETLK || cmd == F_OFD_GETLK)
            t->flock.l_type = F_WRLCK;
        if (cmd == F_SETLKW || cmd == F_OFD_SETLKW) {
            tdw_prep_setlkw(&t->task.op, FD(0), cmd, &t->flock);
            return false;
        }
        return at_once(t, tdw_sys_fcntl(FD(0), cmd, &t->flock));
    case F_SETOWN: /* who gets signals: what came of them is recorded */
    case F_GETOWN:
        return at_once(t, FD(0) < 0 ? -EBADF : s->result);
    default:
        return at_once(t, tdw_sys_fcntl(FD(0), cmd, (int)s->arg[2]));
    }
}

static bool after_fcntl(struct replay_thread *t, const struct replay_step *s)
{
    if (s->arg[1] == F_DUPFD || s->arg[1] == F_DUPFD_CLOEXEC)
        tdw__replay_new_fd(t, s);
    return false;
}

PREPARE(prepare_flock)
{
    const int operation = (int)s->arg[1];

    if (operation & (LOCK_NB | LOCK_UN))
        return at_once(t, tdw_sys_flock(FD(0), operation));
    tdw_prep_flock(&t->task.op, FD(0), operation);
    return false;
}

PREPARE(call_dup)
{
    return at_once(t, tdw_sys_dup(FD(0)));
}

/* The target's number: as recorded, unless something else of ours has it. */
PREPARE(call_dup2)
{
    return at_once(t, tdw_sys_dup2(FD(0), (int)s->arg[1]));
}

PREPARE(call_dup3)
{
    return at_once(t, tdw_sys_dup3(FD(0), (int)s->arg[1], (int)s->arg[2]));
}

PREPARE(call_pipe)
{
    int fds[2];
    const int ret = tdw_sys_pipe2(fds, s->name[4] ? (int)s->arg[1] : 0);

    return new_pair(t, s, ret, fds);
}

PREPARE(call_socketpair)
{
    int fds[2];
    const int ret = tdw_sys_socketpair((int)s->arg[0], (int)s->arg[1], (int)s->arg[2], fds);

    return new_pair(t, s, ret, fds);
}

/* A signalfd is stood in for by an eventfd that never becomes ready: what is read from it is
 * answered from the recording, after the kill. */
PREPARE(call_signalfd)
{
    if (s->arg[0] >= 0)
        return at_once(t, FD(0) < 0 ? -EBADF : FD(0));
    return at_once(t, tdw_sys_eventfd(0, EFD_NONBLOCK));
}

PREPARE(call_timerfd)
{
    return at_once(t, tdw_sys_timerfd_create((int)s->arg[0], (int)s->arg[1]));
}

/* Those of the range that are known; CLOSE_RANGE_CLOEXEC marks them instead. */
PREPARE(call_close_range)
{
    const int64_t most = t->process->fds_max;

    for (int64_t fd = s->arg[0]; fd >= 0 && fd <= s->arg[1] && fd < most && s->result == 0; fd++) {
        const int own = tdw__replay_fd(t, fd);

        if (own < 0)
            continue;
        if (s->arg[2] & CLOSE_RANGE_CLOEXEC) {
            tdw__fd_set_cloexec(tdw__process()->files, own, true);
            continue;
        }
        tdw__fd_close(tdw__process()->files, own);
        tdw__replay_map_fd(t, fd, -1);
    }
    return at_once(t, s->result);
}

PREPARE(call_eventfd)
{
    return at_once(t, tdw_sys_eventfd((unsigned)s->arg[0], (int)s->arg[1]));
}

const struct replay_call tdw__replay_fds[] = {
    {"fcntl", prepare_fcntl, after_fcntl},
    {"flock", prepare_flock, NULL},
    {"dup", call_dup, tdw__replay_new_fd},
    {"dup2", call_dup2, tdw__replay_new_fd},
    {"dup3", call_dup3, tdw__replay_new_fd},
    {"eventfd2", call_eventfd, tdw__replay_new_fd},
    {"eventfd", call_eventfd, tdw__replay_new_fd},
    {"signalfd", call_signalfd, tdw__replay_new_fd},
    {"signalfd4", call_signalfd, tdw__replay_new_fd},
    {"timerfd_create", call_timerfd, tdw__replay_new_fd},
    {"socketpair", call_socketpair, NULL},
    {"close_range", call_close_range, NULL},
    {"pipe", call_pipe, NULL},
    {"pipe2", call_pipe, NULL},
    {"(descriptor)", prepare_image_fd, after_image_fd},
    {NULL, NULL, NULL},
};
