/* SPDX-License-Identifier: MIT */
/*
 * What each recorded call becomes: the verb that it submits, or the call that never waits; and what
 * of its result must be as recorded.
 *
 * One row a name. A prepare function takes the recorded arguments, with descriptors through the
 * process's map; paths are absolute in the recording. Data that is written is a fixed pattern: the
 * recording holds no bytes.
 */
#include <dirent.h>
#include <string.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <tidewheel/sys.h>
#include <traces/replay.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define PREPARE(name) static bool name(struct replay_thread *t, const struct replay_step *s)
#define FD(i) tdw__replay_fd(t, s->arg[i])

/* A call that was made at once. */
static bool at_once(struct replay_thread *t, int64_t result)
{
    t->result = result;
    return true;
}

/* A directory argument: AT_FDCWD stays, and an absolute path does not care. */
static int dir(const struct replay_thread *t, const struct replay_step *s, int at)
{
    return s->arg[at] == AT_FDCWD || s->path[0] ? AT_FDCWD : tdw__replay_fd(t, s->arg[at]);
}

static uint32_t bytes(const struct replay_thread *t, int64_t wanted)
{
    const uint32_t most = t->replay->program->bytes_max;

    return wanted < 0 ? 0 : wanted > most ? most : (uint32_t)wanted;
}

static const struct iovec *vector(struct replay_thread *t, int64_t wanted)
{
    t->iov = (struct iovec){t->buffer, bytes(t, wanted)};
    return &t->iov;
}

/* ── Data ──────────────────────────────────────────────────────────────────────────────────── */

PREPARE(prepare_read)
{
    tdw_prep_read(&t->op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

PREPARE(prepare_write)
{
    tdw_prep_write(&t->op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

PREPARE(prepare_pread)
{
    tdw_prep_pread(&t->op, FD(0), t->buffer, bytes(t, s->arg[2]), (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_pwrite)
{
    tdw_prep_pwrite(&t->op, FD(0), t->buffer, bytes(t, s->arg[2]), (uint64_t)s->arg[3]);
    return false;
}

/* An array of iovecs is recorded as its total length, in the place of the array. */
PREPARE(prepare_readv)
{
    tdw_prep_preadv(&t->op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)-1);
    return false;
}

PREPARE(prepare_writev)
{
    tdw_prep_pwritev(&t->op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)-1);
    return false;
}

PREPARE(prepare_preadv)
{
    tdw_prep_preadv(&t->op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_pwritev)
{
    tdw_prep_pwritev(&t->op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_fsync)
{
    tdw_prep_fsync(&t->op, FD(0));
    return false;
}

PREPARE(prepare_fdatasync)
{
    tdw_prep_fdatasync(&t->op, FD(0));
    return false;
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

PREPARE(prepare_open)
{
    tdw_prep_open(&t->op, s->path[0], (int)s->arg[1], (mode_t)s->arg[2]);
    return false;
}

PREPARE(prepare_openat)
{
    tdw_prep_openat(&t->op, dir(t, s, 0), s->path[0], (int)s->arg[2], (mode_t)s->arg[3]);
    return false;
}

PREPARE(prepare_creat)
{
    tdw_prep_open(&t->op, s->path[0], O_CREAT | O_WRONLY | O_TRUNC, (mode_t)s->arg[1]);
    return false;
}

static void after_open(struct replay_thread *t, const struct replay_step *s)
{
    if (t->result >= 0 && s->result >= 0)
        tdw__replay_map_fd(t, s->result, (int)t->result);
}

PREPARE(prepare_close)
{
    tdw_prep_close(&t->op, FD(0));
    return false;
}

static void after_close(struct replay_thread *t, const struct replay_step *s)
{
    if (t->result == 0)
        tdw__replay_map_fd(t, s->arg[0], -1);
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

PREPARE(prepare_unlink)
{
    tdw_prep_unlink(&t->op, s->path[0]);
    return false;
}

PREPARE(prepare_unlinkat)
{
    tdw_prep_unlinkat(&t->op, dir(t, s, 0), s->path[0], (int)s->arg[2]);
    return false;
}

PREPARE(prepare_rmdir)
{
    tdw_prep_unlinkat(&t->op, AT_FDCWD, s->path[0], AT_REMOVEDIR);
    return false;
}

PREPARE(prepare_rename)
{
    tdw_prep_rename(&t->op, s->path[0], s->path[1]);
    return false;
}

PREPARE(prepare_renameat2)
{
    tdw_prep_renameat(&t->op, AT_FDCWD, s->path[0], AT_FDCWD, s->path[1], (uint32_t)s->arg[4]);
    return false;
}

PREPARE(prepare_mkdir)
{
    tdw_prep_mkdir(&t->op, s->path[0], (mode_t)s->arg[1]);
    return false;
}

PREPARE(prepare_mkdirat)
{
    tdw_prep_mkdirat(&t->op, dir(t, s, 0), s->path[0], (mode_t)s->arg[2]);
    return false;
}

PREPARE(prepare_link)
{
    tdw_prep_linkat(&t->op, AT_FDCWD, s->path[0], AT_FDCWD, s->path[1], 0);
    return false;
}

PREPARE(prepare_symlink)
{
    tdw_prep_symlinkat(&t->op, s->path[0], AT_FDCWD, s->path[1]);
    return false;
}

PREPARE(prepare_fallocate)
{
    tdw_prep_fallocate(&t->op, FD(0), (int)s->arg[1], (uint64_t)s->arg[2], (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_ftruncate)
{
    tdw_prep_ftruncate(&t->op, FD(0), (uint64_t)s->arg[1]);
    return false;
}

/* ── What is asked about files ─────────────────────────────────────────────────────────────── */

PREPARE(prepare_fstat)
{
    tdw_prep_statx(&t->op, FD(0), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &t->statx);
    return false;
}

PREPARE(prepare_stat)
{
    tdw_prep_statx(&t->op, AT_FDCWD, s->path[0], 0, STATX_BASIC_STATS, &t->statx);
    return false;
}

PREPARE(prepare_lstat)
{
    tdw_prep_statx(&t->op, AT_FDCWD, s->path[0], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &t->statx);
    return false;
}

/* newfstatat and statx: of the descriptor where there is no path. */
static bool stat_at(struct replay_thread *t, const struct replay_step *s, int64_t flags)
{
    if (!s->path[0] || !s->path[0][0])
        return prepare_fstat(t, s);
    return flags & AT_SYMLINK_NOFOLLOW ? prepare_lstat(t, s) : prepare_stat(t, s);
}

PREPARE(prepare_newfstatat)
{
    return stat_at(t, s, s->arg[3]);
}

PREPARE(prepare_statx)
{
    return stat_at(t, s, s->arg[2]);
}

PREPARE(prepare_getdents)
{
    tdw_prep_getdents(&t->op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

static void after_getdents(struct replay_thread *t, const struct replay_step *s)
{
    (void)s;
    t->names_hash = t->names_count = 0;
    for (int64_t at = 0; at < t->result; t->names_count++) {
        const char *name = (const char *)t->buffer + at + offsetof(struct dirent64, d_name);
        uint16_t length;

        memcpy(&length, t->buffer + at + offsetof(struct dirent64, d_reclen), sizeof length);
        t->names_hash += XXH3_64bits(name, strlen(name));
        at += length;
    }
}

PREPARE(call_access)
{
    return at_once(t, tdw_sys_access(s->path[0], (int)s->arg[1]));
}

PREPARE(call_faccessat)
{
    return at_once(t, tdw_sys_faccessat(dir(t, s, 0), s->path[0], (int)s->arg[2], (int)s->arg[3]));
}

PREPARE(call_readlink)
{
    return at_once(t, tdw_sys_readlink(s->path[0], (char *)t->buffer, bytes(t, s->arg[2])));
}

PREPARE(call_readlinkat)
{
    return at_once(t, tdw_sys_readlink(s->path[0], (char *)t->buffer, bytes(t, s->arg[3])));
}

PREPARE(call_truncate)
{
    return at_once(t, tdw_sys_truncate(s->path[0], s->arg[1]));
}

PREPARE(call_chmod)
{
    return at_once(t, tdw_sys_chmod(s->path[0], (mode_t)s->arg[1]));
}

PREPARE(call_fchmod)
{
    return at_once(t, tdw_sys_fchmod(FD(0), (mode_t)s->arg[1]));
}

PREPARE(call_fchown)
{
    return at_once(t, tdw_sys_fchown(FD(0), (uid_t)s->arg[1], (gid_t)s->arg[2]));
}

PREPARE(call_chown)
{
    return at_once(t, tdw_sys_chown(s->path[0], (uid_t)s->arg[1], (gid_t)s->arg[2]));
}

/* The working directory at the start is known only from the answers: it is as it was recorded. */
PREPARE(call_getcwd)
{
    if (s->path[0])
        tdw__files_chdir(tdw__process()->files, s->path[0]);
    return at_once(t, tdw_sys_getcwd((char *)t->buffer, bytes(t, s->arg[1])));
}

PREPARE(call_chdir)
{
    return at_once(t, tdw_sys_chdir(s->path[0]));
}

PREPARE(call_fchdir)
{
    return at_once(t, tdw_sys_fchdir(FD(0)));
}

PREPARE(call_statfs)
{
    struct statfs answer;

    return at_once(t, tdw_sys_statfs(s->path[0], &answer));
}

PREPARE(call_fstatfs)
{
    struct statfs answer;

    return at_once(t, tdw_sys_fstatfs(FD(0), &answer));
}

PREPARE(call_lseek)
{
    return at_once(t, tdw_sys_lseek(FD(0), s->arg[1], (int)s->arg[2]));
}

/* ── Locks and descriptors ─────────────────────────────────────────────────────────────────── */

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
        after_open(t, s);
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

PREPARE(prepare_socket)
{
    tdw_prep_socket(&t->op, (int)s->arg[0], (int)s->arg[1], (int)s->arg[2]);
    return false;
}

PREPARE(prepare_connect)
{
    struct sockaddr_un *to = (struct sockaddr_un *)&t->address;

    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    if (s->path[0])
        snprintf(to->sun_path, sizeof to->sun_path, "%s", s->path[0]);
    tdw_prep_connect(&t->op, FD(0), (struct sockaddr *)to, sizeof *to);
    return false;
}

/* ── Tasks and waits ───────────────────────────────────────────────────────────────────────── */

/* Threads and processes that this call made, start here. */
PREPARE(call_clone)
{
    struct replay *replay = t->replay;

    for (uint32_t i = 0; i < replay->program->threads_count; i++)
        if (replay->program->threads[i].clone_call == s->index)
            tdw__replay_spawn(&replay->threads[i]);
    return at_once(t, s->result);
}

PREPARE(call_recorded)
{
    return at_once(t, s->result);
}

/* A process ends: its descriptors are closed, and whoever reads from its pipes sees the end. */
PREPARE(call_exit)
{
    const struct replay_process *p = t->process;

    for (uint32_t fd = 0; fd < p->fds_max; fd++) {
        if (p->fds[fd] >= 0)
            tdw__fd_close(tdw__process()->files, p->fds[fd]);
        tdw__replay_map_fd(t, fd, -1);
    }
    return at_once(t, s->result);
}

PREPARE(call_exec)
{
    struct tdw_process *process = tdw__process();

    if (s->result == 0)
        process->files = tdw__files_exec(process->files);
    return at_once(t, s->result);
}

/* What depends on others is ordered by its edges; without one it lasts as long as recorded. */
PREPARE(prepare_wait)
{
    if (s->edges > 0)
        return at_once(t, s->result);
    tdw_prep_sleep(&t->op, s->end_ns - s->start_ns);
    return false;
}

/* A sleep that was waited for in the place of a call has the call's result. */
static void after_wait(struct replay_thread *t, const struct replay_step *s)
{
    t->result = s->result;
}

static const struct replay_call calls[] = {
    {"read", prepare_read, NULL},
    {"write", prepare_write, NULL},
    {"pread64", prepare_pread, NULL},
    {"pwrite64", prepare_pwrite, NULL},
    {"readv", prepare_readv, NULL},
    {"writev", prepare_writev, NULL},
    {"preadv", prepare_preadv, NULL},
    {"preadv2", prepare_preadv, NULL},
    {"pwritev", prepare_pwritev, NULL},
    {"pwritev2", prepare_pwritev, NULL},
    {"fsync", prepare_fsync, NULL},
    {"fdatasync", prepare_fdatasync, NULL},
    {"open", prepare_open, after_open},
    {"openat", prepare_openat, after_open},
    {"openat2", prepare_openat, after_open},
    {"creat", prepare_creat, after_open},
    {"close", prepare_close, after_close},
    {"unlink", prepare_unlink, NULL},
    {"unlinkat", prepare_unlinkat, NULL},
    {"rmdir", prepare_rmdir, NULL},
    {"rename", prepare_rename, NULL},
    {"renameat", prepare_rename, NULL},
    {"renameat2", prepare_renameat2, NULL},
    {"mkdir", prepare_mkdir, NULL},
    {"mkdirat", prepare_mkdirat, NULL},
    {"link", prepare_link, NULL},
    {"linkat", prepare_link, NULL},
    {"symlink", prepare_symlink, NULL},
    {"symlinkat", prepare_symlink, NULL},
    {"fallocate", prepare_fallocate, NULL},
    {"ftruncate", prepare_ftruncate, NULL},
    {"truncate", call_truncate, NULL},
    {"fstat", prepare_fstat, NULL},
    {"stat", prepare_stat, NULL},
    {"lstat", prepare_lstat, NULL},
    {"newfstatat", prepare_newfstatat, NULL},
    {"statx", prepare_statx, NULL},
    {"getdents64", prepare_getdents, after_getdents},
    {"access", call_access, NULL},
    {"faccessat", call_faccessat, NULL},
    {"faccessat2", call_faccessat, NULL},
    {"readlink", call_readlink, NULL},
    {"readlinkat", call_readlinkat, NULL},
    {"chmod", call_chmod, NULL},
    {"fchmod", call_fchmod, NULL},
    {"fchown", call_fchown, NULL},
    {"chown", call_chown, NULL},
    {"getcwd", call_getcwd, NULL},
    {"chdir", call_chdir, NULL},
    {"fchdir", call_fchdir, NULL},
    {"statfs", call_statfs, NULL},
    {"fstatfs", call_fstatfs, NULL},
    {"lseek", call_lseek, NULL},
    {"fcntl", prepare_fcntl, after_fcntl},
    {"flock", prepare_flock, NULL},
    {"dup", call_dup, after_open},
    {"dup2", call_dup2, after_open},
    {"dup3", call_dup3, after_open},
    {"eventfd2", call_eventfd, after_open},
    {"pipe", call_pipe, NULL},
    {"pipe2", call_pipe, NULL},
    {"sync_file_range", prepare_sync_range, NULL},
    {"fadvise64", call_fadvise, NULL},
    {"socket", prepare_socket, after_open},
    {"connect", prepare_connect, NULL},
    {"clone", call_clone, NULL},
    {"clone3", call_clone, NULL},
    {"fork", call_clone, NULL},
    {"vfork", call_clone, NULL},
    {"execve", call_exec, NULL},
    {"exit", call_recorded, NULL},
    {"exit_group", call_exit, NULL},
    {"wait4", call_recorded, NULL},
    {"waitid", call_recorded, NULL},
    {"(wait)", prepare_wait, after_wait},
    {"(descriptor)", prepare_image_fd, after_image_fd},
};

const struct replay_call *tdw__replay_call(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    return NULL;
}

/* ── Compare ───────────────────────────────────────────────────────────────────────────────── */

static bool same_error(int64_t a, int64_t b)
{
    return a >= 0 ? b >= 0 : a == b;
}

static bool same_stat(const struct replay_thread *t, const struct replay_step *s)
{
    if (!same_error(t->result, s->result))
        return false;
    if (s->result < 0 || !(s->bits & TDW_CALL_STAT))
        return true;
    return (t->statx.stx_mode & S_IFMT) == (s->stat.mode & S_IFMT) &&
           (!S_ISREG(s->stat.mode) || t->statx.stx_size == s->stat.size);
}

static bool same_lock(const struct replay_thread *t, const struct replay_step *s)
{
    const bool asked = s->arg[1] == F_GETLK || s->arg[1] == F_OFD_GETLK;

    if (t->result != s->result || !asked || s->result < 0)
        return t->result == s->result;
    return t->flock.l_type == s->lock.type &&
           (s->lock.type == F_UNLCK ||
            (t->flock.l_start == s->lock.start && t->flock.l_len == s->lock.length));
}

bool tdw__replay_matches(const struct replay_thread *t, const struct replay_step *s)
{
    const bool strict = t->replay->options->strict_fd;

    switch ((enum tdw_compare)s->compare) {
    case TDW_COMPARE_NONE:
    case TDW_COMPARE_TIMING:
        return true;
    case TDW_COMPARE_RESULT:
        return t->result == s->result;
    case TDW_COMPARE_ERRNO:
    case TDW_COMPARE_PID:
        return same_error(t->result, s->result);
    case TDW_COMPARE_FD:
        return strict ? t->result == s->result : same_error(t->result, s->result);
    case TDW_COMPARE_STREAM:
        return t->result == s->result || s->result == -EAGAIN || s->result == -EINTR;
    case TDW_COMPARE_STAT:
        return same_stat(t, s);
    case TDW_COMPARE_NAMES:
        return same_error(t->result, s->result) &&
               (!(s->bits & TDW_CALL_NAMES) ||
                (t->names_count == s->names.count && t->names_hash == s->names.hash));
    case TDW_COMPARE_LOCK:
        return same_lock(t, s);
    }
    return false;
}
