/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls on descriptors and locks, and the map from recorded to simulated descriptors as
 * far as calls change it.
 *
 * Locks that wait are ops, all else is a call at once. A process's map is replay_run.c's.
 */
#include <string.h>
#include <tidewheel/sys.h>
#include <traces/replay_calls.h>

void tdw__replay_new_fd(struct replay_thread *t, const struct replay_step *s)
{
    if (t->result >= 0 && s->result >= 0)
        tdw__replay_map_fd(t, s->result, (int)t->result);
}

/* A descriptor that was there before the first call: opened, and given its number. */
PREPARE(prepare_image_fd)
{
    tdw_prep_open(&t->op, s->path[0], (int)s->arg[1], 0);
    return false;
}

static void after_image_fd(struct replay_thread *t, const struct replay_step *s)
{
    const int fd = (int)t->result, wanted = (int)s->arg[0];

    if (fd < 0)
        return;
    if (fd != wanted) {
        tdw_sys_dup2(fd, wanted);
        tdw__fd_close(tdw__process()->files, fd);
    }
    tdw__replay_map_fd(t, wanted, wanted);
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
            tdw_prep_setlkw(&t->op, FD(0), cmd, &t->flock);
            return false;
        }
        return at_once(t, tdw_sys_fcntl(FD(0), cmd, &t->flock));
    default:
        return at_once(t, tdw_sys_fcntl(FD(0), cmd, (int)s->arg[2]));
    }
}

static void after_fcntl(struct replay_thread *t, const struct replay_step *s)
{
    if (s->arg[1] == F_DUPFD || s->arg[1] == F_DUPFD_CLOEXEC)
        tdw__replay_new_fd(t, s);
}

PREPARE(prepare_flock)
{
    const int operation = (int)s->arg[1];

    if (operation & (LOCK_NB | LOCK_UN))
        return at_once(t, tdw_sys_flock(FD(0), operation));
    tdw_prep_flock(&t->op, FD(0), operation);
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

/* The two descriptors of the answer stand behind the flags (replay_load.c). */
PREPARE(call_pipe)
{
    int fds[2];
    const int ret = tdw_sys_pipe2(fds, s->name[4] ? (int)s->arg[1] : 0);

    if (ret == 0 && s->result == 0) {
        tdw__replay_map_fd(t, s->arg[2], fds[0]);
        tdw__replay_map_fd(t, s->arg[3], fds[1]);
    }
    return at_once(t, ret);
}

/* It makes nothing durable (sync_file_range(2)): it only answers. */
PREPARE(prepare_sync_range)
{
    if (FD(0) < 0)
        return at_once(t, -EBADF);
    tdw_prep_nop(&t->op);
    return false;
}

/* Advice changes nothing; a pipe refuses it, as it refuses to seek. */
PREPARE(call_fadvise)
{
    const int64_t at = tdw_sys_lseek(FD(0), 0, SEEK_CUR);

    return at_once(t, at < 0 ? at : 0);
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
    {"pipe", call_pipe, NULL},
    {"pipe2", call_pipe, NULL},
    {"sync_file_range", prepare_sync_range, NULL},
    {"fadvise64", call_fadvise, NULL},
    {"(descriptor)", prepare_image_fd, after_image_fd},
    {NULL, NULL, NULL},
};
