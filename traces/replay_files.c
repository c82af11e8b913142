/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls on files: data, names, and what is asked about them.
 *
 * Everything that may wait is an op, the rest a call at once. An array of iovecs is recorded as its
 * total length, so one vector stands for it. Called through the table by replay_run.c.
 */
#include <dirent.h>
#include <string.h>
#include <sys/vfs.h>
#include <tidewheel/sys.h>
#include <traces/replay_calls.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* A directory argument: AT_FDCWD stays, and an absolute path does not care. */
static int dir(const struct replay_thread *t, const struct replay_step *s, int at)
{
    return s->arg[at] == AT_FDCWD || s->path[0] ? AT_FDCWD : tdw__replay_fd(t, s->arg[at]);
}

/* ── Data ──────────────────────────────────────────────────────────────────────────────────── */

PREPARE(prepare_read)
{
    if (s->row == TDW_ROW_STREAM)
        return tdw__replay_stream_read(t, s);
    tdw_prep_read(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

PREPARE(prepare_write)
{
    if (s->row == TDW_ROW_STREAM)
        return tdw__replay_stream_write(t, s);
    tdw_prep_write(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

static bool after_read(struct replay_thread *t, const struct replay_step *s)
{
    return s->row == TDW_ROW_STREAM && tdw__replay_stream_taken(t, s);
}

static bool after_write(struct replay_thread *t, const struct replay_step *s)
{
    return s->row == TDW_ROW_STREAM && tdw__replay_stream_written(t, s);
}

PREPARE(prepare_pread)
{
    tdw_prep_pread(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]), (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_pwrite)
{
    tdw_prep_pwrite(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]), (uint64_t)s->arg[3]);
    return false;
}

/* An array of iovecs is recorded as its total length, in the place of the array. */
PREPARE(prepare_readv)
{
    if (s->row == TDW_ROW_STREAM)
        return tdw__replay_stream_read(t, s);
    tdw_prep_preadv(&t->task.op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)-1);
    return false;
}

PREPARE(prepare_writev)
{
    if (s->row == TDW_ROW_STREAM)
        return tdw__replay_stream_write(t, s);
    tdw_prep_pwritev(&t->task.op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)-1);
    return false;
}

PREPARE(prepare_preadv)
{
    tdw_prep_preadv(&t->task.op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_pwritev)
{
    tdw_prep_pwritev(&t->task.op, FD(0), vector(t, s->arg[1]), 1, (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_fsync)
{
    tdw_prep_fsync(&t->task.op, FD(0));
    return false;
}

PREPARE(prepare_fdatasync)
{
    tdw_prep_fdatasync(&t->task.op, FD(0));
    return false;
}

PREPARE(prepare_sync_file_range)
{
    tdw_prep_sync_file_range(&t->task.op, FD(0), (uint32_t)s->arg[2], (uint64_t)s->arg[1],
                             (int)s->arg[3]);
    return false;
}

PREPARE(prepare_fadvise)
{
    tdw_prep_fadvise(&t->task.op, FD(0), (uint64_t)s->arg[1], (uint32_t)s->arg[2], (int)s->arg[3]);
    return false;
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

PREPARE(prepare_open)
{
    tdw_prep_open(&t->task.op, s->path[0], (int)s->arg[1], (mode_t)s->arg[2]);
    return false;
}

PREPARE(prepare_openat)
{
    tdw_prep_openat(&t->task.op, dir(t, s, 0), s->path[0], (int)s->arg[2], (mode_t)s->arg[3]);
    return false;
}

PREPARE(prepare_creat)
{
    tdw_prep_open(&t->task.op, s->path[0], O_CREAT | O_WRONLY | O_TRUNC, (mode_t)s->arg[1]);
    return false;
}

/* In the place of what is not simulated. */
PREPARE(prepare_served)
{
    (void)s;
    tdw_prep_open(&t->task.op, "/dev/null", O_RDWR, 0);
    return false;
}

PREPARE(prepare_close)
{
    tdw_prep_close(&t->task.op, FD(0));
    return false;
}

static bool after_close(struct replay_thread *t, const struct replay_step *s)
{
    if (t->result == 0)
        tdw__replay_map_fd(t, s->arg[0], -1);
    return false;
}

PREPARE(prepare_unlink)
{
    tdw_prep_unlink(&t->task.op, s->path[0]);
    return false;
}

PREPARE(prepare_unlinkat)
{
    tdw_prep_unlinkat(&t->task.op, dir(t, s, 0), s->path[0], (int)s->arg[2]);
    return false;
}

PREPARE(prepare_rmdir)
{
    tdw_prep_unlinkat(&t->task.op, AT_FDCWD, s->path[0], AT_REMOVEDIR);
    return false;
}

PREPARE(prepare_rename)
{
    tdw_prep_rename(&t->task.op, s->path[0], s->path[1]);
    return false;
}

PREPARE(prepare_renameat2)
{
    tdw_prep_renameat(&t->task.op, AT_FDCWD, s->path[0], AT_FDCWD, s->path[1], (uint32_t)s->arg[4]);
    return false;
}

PREPARE(prepare_mkdir)
{
    tdw_prep_mkdir(&t->task.op, s->path[0], (mode_t)s->arg[1]);
    return false;
}

PREPARE(prepare_mkdirat)
{
    tdw_prep_mkdirat(&t->task.op, dir(t, s, 0), s->path[0], (mode_t)s->arg[2]);
    return false;
}

PREPARE(prepare_link)
{
    tdw_prep_linkat(&t->task.op, AT_FDCWD, s->path[0], AT_FDCWD, s->path[1], 0);
    return false;
}

PREPARE(prepare_symlink)
{
    tdw_prep_symlinkat(&t->task.op, s->path[0], AT_FDCWD, s->path[1]);
    return false;
}

PREPARE(prepare_fallocate)
{
    tdw_prep_fallocate(&t->task.op, FD(0), (int)s->arg[1], (uint64_t)s->arg[2],
                       (uint64_t)s->arg[3]);
    return false;
}

PREPARE(prepare_ftruncate)
{
    tdw_prep_ftruncate(&t->task.op, FD(0), (uint64_t)s->arg[1]);
    return false;
}

/* ── What is asked about files ─────────────────────────────────────────────────────────────── */

PREPARE(prepare_fstat)
{
    tdw_prep_statx(&t->task.op, FD(0), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &t->statx);
    return false;
}

PREPARE(prepare_stat)
{
    tdw_prep_statx(&t->task.op, AT_FDCWD, s->path[0], 0, STATX_BASIC_STATS, &t->statx);
    return false;
}

PREPARE(prepare_lstat)
{
    tdw_prep_statx(&t->task.op, AT_FDCWD, s->path[0], AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
                   &t->statx);
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
    tdw_prep_getdents(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]));
    return false;
}

static bool after_getdents(struct replay_thread *t, const struct replay_step *s)
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
    return false;
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

/* Of a path; an absolute one does not care for the directory. */
PREPARE(call_fchmodat)
{
    return at_once(t, tdw_sys_chmod(s->path[0], (mode_t)s->arg[2]));
}

PREPARE(call_fchownat)
{
    return at_once(t, tdw_sys_chown(s->path[0], (uid_t)s->arg[2], (gid_t)s->arg[3]));
}

PREPARE(call_utimensat)
{
    return at_once(t, tdw_sys_utimensat(s->path[0] ? AT_FDCWD : FD(0), s->path[0], NULL,
                                        (int)s->arg[3] & AT_SYMLINK_NOFOLLOW));
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

const struct replay_call tdw__replay_files[] = {
    {"read", prepare_read, after_read},
    {"write", prepare_write, after_write},
    {"pread64", prepare_pread, NULL},
    {"pwrite64", prepare_pwrite, NULL},
    {"readv", prepare_readv, after_read},
    {"writev", prepare_writev, after_write},
    {"preadv", prepare_preadv, NULL},
    {"preadv2", prepare_preadv, NULL},
    {"pwritev", prepare_pwritev, NULL},
    {"pwritev2", prepare_pwritev, NULL},
    {"fsync", prepare_fsync, NULL},
    {"fdatasync", prepare_fdatasync, NULL},
    {"sync_file_range", prepare_sync_file_range, NULL},
    {"fadvise64", prepare_fadvise, NULL},
    {"open", prepare_open, tdw__replay_new_fd},
    {"openat", prepare_openat, tdw__replay_new_fd},
    {"openat2", prepare_openat, tdw__replay_new_fd},
    {"creat", prepare_creat, tdw__replay_new_fd},
    {"(served)", prepare_served, tdw__replay_new_fd},
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
    {"fchmodat", call_fchmodat, NULL},
    {"fchmod", call_fchmod, NULL},
    {"fchown", call_fchown, NULL},
    {"chown", call_chown, NULL},
    {"lchown", call_chown, NULL},
    {"fchownat", call_fchownat, NULL},
    {"utimensat", call_utimensat, NULL},
    {"getcwd", call_getcwd, NULL},
    {"chdir", call_chdir, NULL},
    {"fchdir", call_fchdir, NULL},
    {"statfs", call_statfs, NULL},
    {"fstatfs", call_fstatfs, NULL},
    {"lseek", call_lseek, NULL},
    {NULL, NULL, NULL},
};
