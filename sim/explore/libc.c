/* SPDX-License-Identifier: MIT */
/*
 * The C library's calls on descriptors, for programs moved by <tidewheel/liburing.h>.
 *
 * Each is the simulated call of the same name with libc's manners: -1 and errno for an error. What
 * may wait is an op of the running task, so other ops of the program go on meanwhile.
 */
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

/* The prototypes stand in <tidewheel/liburing.h>, whose macros would be in the way here. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static int64_t libc(int64_t res)
{
    if (res >= 0)
        return res;
    errno = (int)-res;
    return -1;
}

#define CALL(type, name, parameters, call)                                                         \
    type tdw_libc_##name parameters                                                                \
    {                                                                                              \
        return (type)libc(call);                                                                   \
    }

int tdw_libc_open(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return (int)libc(tdw_open(path, flags, mode));
}

int tdw_libc_openat(int dir, const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return (int)libc(tdw_openat(dir, path, flags, mode));
}

/* ── Files ─────────────────────────────────────────────────────────────────────────────────── */

CALL(int, close, (int fd), tdw_close(fd))
CALL(ssize_t, read, (int fd, void *to, size_t bytes), tdw_read(fd, to, (uint32_t)bytes))
CALL(ssize_t, write, (int fd, const void *from, size_t bytes), tdw_write(fd, from, (uint32_t)bytes))
CALL(ssize_t, pread, (int fd, void *to, size_t bytes, off_t offset),
     tdw_pread(fd, to, (uint32_t)bytes, (uint64_t)offset))
CALL(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t offset),
     tdw_pwrite(fd, from, (uint32_t)bytes, (uint64_t)offset))
CALL(off_t, lseek, (int fd, off_t offset, int whence), tdw_sys_lseek(fd, offset, whence))
CALL(int, fsync, (int fd), tdw_fsync(fd))
CALL(int, fdatasync, (int fd), tdw_fdatasync(fd))
CALL(int, ftruncate, (int fd, off_t bytes), tdw_ftruncate(fd, (uint64_t)bytes))
CALL(int, unlink, (const char *path), tdw_unlink(path))
CALL(int, rename, (const char *from, const char *to), tdw_rename(from, to))
CALL(int, mkdir, (const char *path, mode_t mode), tdw_mkdir(path, mode))

static struct timespec timespec_of(const struct statx_timestamp *time)
{
    return (struct timespec){.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};
}

static int stat_of(int dir, const char *path, int flags, struct stat *to)
{
    struct statx from;
    const int res = tdw_statx(dir, path, flags, STATX_BASIC_STATS, &from);

    if (res < 0)
        return (int)libc(res);
    *to = (struct stat){.st_dev = makedev(from.stx_dev_major, from.stx_dev_minor),
                        .st_ino = from.stx_ino,
                        .st_mode = from.stx_mode,
                        .st_nlink = from.stx_nlink,
                        .st_uid = from.stx_uid,
                        .st_gid = from.stx_gid,
                        .st_rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor),
                        .st_size = (off_t)from.stx_size,
                        .st_blksize = (blksize_t)from.stx_blksize,
                        .st_blocks = (blkcnt_t)from.stx_blocks,
                        .st_atim = timespec_of(&from.stx_atime),
                        .st_mtim = timespec_of(&from.stx_mtime),
                        .st_ctim = timespec_of(&from.stx_ctime)};
    return 0;
}

int tdw_libc_stat(const char *path, struct stat *to)
{
    return stat_of(AT_FDCWD, path, 0, to);
}

int tdw_libc_fstat(int fd, struct stat *to)
{
    return stat_of(fd, "", AT_EMPTY_PATH, to);
}

/* ── Descriptors and sockets ───────────────────────────────────────────────────────────────── */

CALL(int, dup, (int fd), tdw_sys_dup(fd))
CALL(int, dup2, (int fd, int to), tdw_sys_dup2(fd, to))
CALL(int, pipe, (int fds[2]), tdw_sys_pipe2(fds, 0))
CALL(int, pipe2, (int fds[2], int flags), tdw_sys_pipe2(fds, flags))
CALL(int, eventfd, (unsigned value, int flags), tdw_sys_eventfd(value, flags))
CALL(int, getrlimit, (int resource, struct rlimit *limit), tdw_sys_getrlimit(resource, limit))
CALL(int, setrlimit, (int resource, const struct rlimit *limit), tdw_sys_setrlimit(resource, limit))
CALL(int, socket, (int domain, int type, int protocol), tdw_sys_socket(domain, type, protocol))
CALL(int, socketpair, (int domain, int type, int protocol, int fds[2]),
     tdw_sys_socketpair(domain, type, protocol, fds))
CALL(int, bind, (int fd, const struct sockaddr *address, socklen_t bytes),
     tdw_sys_bind(fd, address, bytes))
CALL(int, listen, (int fd, int backlog), tdw_sys_listen(fd, backlog))
CALL(int, accept, (int fd, struct sockaddr *address, socklen_t *bytes),
     tdw_accept(fd, address, bytes, 0))
CALL(int, connect, (int fd, const struct sockaddr *address, socklen_t bytes),
     tdw_connect(fd, address, bytes))
CALL(ssize_t, send, (int fd, const void *from, size_t bytes, int flags),
     tdw_send(fd, from, bytes, flags))
CALL(ssize_t, recv, (int fd, void *to, size_t bytes, int flags), tdw_recv(fd, to, bytes, flags))
CALL(int, shutdown, (int fd, int how), tdw_sys_shutdown(fd, how))
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),
     tdw_sys_setsockopt(fd, level, name, value, bytes))
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes),
     tdw_sys_getsockopt(fd, level, name, value, bytes))
CALL(int, getsockname, (int fd, struct sockaddr *address, socklen_t *bytes),
     tdw_sys_getsockname(fd, address, bytes))
CALL(int, getpeername, (int fd, struct sockaddr *address, socklen_t *bytes),
     tdw_sys_getpeername(fd, address, bytes))

/* ── Time ──────────────────────────────────────────────────────────────────────────────────── */

CALL(int, clock_gettime, (clockid_t clock, struct timespec *now), tdw_sys_clock_gettime(clock, now))

int tdw_libc_nanosleep(const struct timespec *time, struct timespec *left)
{
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec > 999999999)
        return (int)libc(-EINVAL);
    if (left)
        *left = (struct timespec){0, 0};
    return (int)libc(tdw_sleep((uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec));
}

unsigned tdw_libc_sleep(unsigned seconds)
{
    tdw_sleep(seconds * (uint64_t)1000000000u);
    return 0;
}

int tdw_libc_usleep(unsigned us)
{
    return (int)libc(tdw_sleep(us * (uint64_t)1000u));
}
