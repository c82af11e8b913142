/* SPDX-License-Identifier: MIT */
/*
 * Plain calls on the real kernel: the system's own, with their result or -errno, each an event.
 *
 * On a host with a directory of its own, relative paths begin there (hosts.c); chdir moves only the
 * host. What libc keeps for the whole process (umask, root directory, limits) is the process's
 * here, too.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static struct tdw_real *real(void)
{
    return tdw__real(tdw__self->ring->loop);
}

static struct tdw_host *host(void)
{
    return tdw__host_of(tdw__self->ring);
}

/* The result of a libc call as an event and a value. */
static int64_t told(uint8_t call, int fd, uint64_t off, uint64_t len, const char *path, int64_t ret)
{
    const int64_t res = ret < 0 ? -errno : ret;

    tdw__sys_event(call, fd, off, len, path ? tdw__hash_text(path) : 0, res);
    return res;
}

static int told_int(uint8_t call, int fd, uint64_t off, uint64_t len, const char *path, int64_t ret)
{
    return (int)told(call, fd, off, len, path, ret);
}

/* What the backend knew of a number that a call answers is of a file that is gone. */
static int fresh(int fd)
{
    if (fd >= 0 && real()->got_fd)
        real()->got_fd(real(), fd);
    return fd;
}

static bool hides_nonblock(int fd, bool forget)
{
    return real()->hides_nonblock && real()->hides_nonblock(real(), fd, forget);
}

static int fresh_pair(int ret, const int fds[2])
{
    for (int i = 0; ret == 0 && i < 2; i++)
        fresh(fds[i]);
    return ret;
}

#define CALL(NAME, fd, off, len, path, call)                                                       \
    return told_int(TDW_SYS_##NAME, (fd), (uint64_t)(off), (uint64_t)(len), (path), (call))

struct place {
    char path[8192];
};

/* The path as the process sees it. */
static const char *here(const char *path, struct place *place)
{
    if (!path || *path == '/' || *path == '\0' || host()->dir == AT_FDCWD)
        return path;
    snprintf(place->path, sizeof place->path, "%s/%.4090s", host()->path, path);
    return place->path;
}

static int dir_of(int dirfd)
{
    return dirfd == AT_FDCWD ? host()->dir : dirfd;
}

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

int64_t tdw__real_sys_lseek(int fd, int64_t offset, int whence)
{
    return told(TDW_SYS_LSEEK, fd, (uint64_t)offset, (uint64_t)whence, NULL,
                lseek(fd, offset, whence));
}

int tdw__real_sys_fcntl(int fd, int cmd, uintptr_t arg)
{
    const bool unlocks = cmd != F_SETLKW && cmd != F_OFD_SETLKW;
    int ret = -1;

    if (cmd == F_SETFL)
        hides_nonblock(fd, true);
    errno = EINVAL; /* for those that wait: they are verbs */
    if (unlocks)
        ret = fcntl(fd, cmd, arg);
    if (cmd == F_GETFL && ret >= 0 && hides_nonblock(fd, false))
        ret &= ~O_NONBLOCK;
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
        fresh(ret);
    CALL(FCNTL, fd, cmd, 0, NULL, ret);
}

int tdw__real_sys_dup(int fd)
{
    CALL(DUP, fd, 0, 0, NULL, fresh(dup(fd)));
}

int tdw__real_sys_dup2(int fd, int to)
{
    if (fd != to)
        real()->forget_fd(real(), to);
    CALL(DUP2, fd, to, 0, NULL, dup2(fd, to));
}

int tdw__real_sys_dup3(int fd, int to, int flags)
{
    if (fd != to)
        real()->forget_fd(real(), to);
    CALL(DUP3, fd, to, flags, NULL, dup3(fd, to, flags));
}

int tdw__real_sys_pipe2(int fds[2], int flags)
{
    CALL(PIPE2, -1, flags, 0, NULL, fresh_pair(pipe2(fds, flags), fds));
}

int tdw__real_sys_eventfd(unsigned value, int flags)
{
    CALL(EVENTFD, -1, value, flags, NULL, fresh(eventfd(value, flags)));
}

int tdw__real_sys_flock(int fd, int operation)
{
    const bool waits = !(operation & (LOCK_NB | LOCK_UN));
    int ret = -1;

    errno = EINVAL;
    if (!waits)
        ret = flock(fd, operation);
    CALL(FLOCK, fd, operation, 0, NULL, ret);
}

int tdw__real_sys_ioctl(int fd, unsigned long request, void *arg)
{
    if (request == FIONBIO)
        hides_nonblock(fd, true);
    CALL(IOCTL, fd, request, 0, NULL, ioctl(fd, request, arg));
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

int tdw__real_sys_truncate(const char *path, int64_t length)
{
    struct place place;

    CALL(TRUNCATE, -1, length, 0, path, truncate(here(path, &place), length));
}

int tdw__real_sys_access(const char *path, int mode)
{
    CALL(ACCESS, -1, mode, 0, path, faccessat(host()->dir, path, mode, 0));
}

int tdw__real_sys_faccessat(int dirfd, const char *path, int mode, int flags)
{
    CALL(FACCESSAT, dirfd, mode, flags, path, faccessat(dir_of(dirfd), path, mode, flags));
}

int tdw__real_sys_readlink(const char *path, char *buffer, size_t bytes)
{
    CALL(READLINK, -1, 0, bytes, path, readlinkat(host()->dir, path, buffer, bytes));
}

int tdw__real_sys_readlinkat(int dirfd, const char *path, char *buffer, size_t bytes)
{
    CALL(READLINKAT, dirfd, 0, bytes, path, readlinkat(dir_of(dirfd), path, buffer, bytes));
}

int tdw__real_sys_chmod(const char *path, mode_t mode)
{
    CALL(CHMOD, -1, mode, 0, path, fchmodat(host()->dir, path, mode, 0));
}

int tdw__real_sys_fchmod(int fd, mode_t mode)
{
    CALL(FCHMOD, fd, mode, 0, NULL, fchmod(fd, mode));
}

int tdw__real_sys_chown(const char *path, uid_t owner, gid_t group)
{
    CALL(CHOWN, -1, owner, group, path, fchownat(host()->dir, path, owner, group, 0));
}

int tdw__real_sys_fchown(int fd, uid_t owner, gid_t group)
{
    CALL(FCHOWN, fd, owner, group, NULL, fchown(fd, owner, group));
}

int tdw__real_sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    CALL(UTIMENSAT, dirfd, flags, 0, path,
         syscall(SYS_utimensat, path ? dir_of(dirfd) : dirfd, path, times, flags));
}

int64_t tdw__real_sys_listxattr(const char *path, char *to, size_t room)
{
    struct place place;

    return told(TDW_SYS_LISTXATTR, -1, 0, room, path, listxattr(here(path, &place), to, room));
}

int64_t tdw__real_sys_llistxattr(const char *path, char *to, size_t room)
{
    struct place place;

    return told(TDW_SYS_LLISTXATTR, -1, 0, room, path, llistxattr(here(path, &place), to, room));
}

int64_t tdw__real_sys_flistxattr(int fd, char *to, size_t room)
{
    return told(TDW_SYS_FLISTXATTR, fd, 0, room, NULL, flistxattr(fd, to, room));
}

int tdw__real_sys_removexattr(const char *path, const char *name)
{
    struct place place;

    CALL(REMOVEXATTR, -1, 0, 0, path, removexattr(here(path, &place), name));
}

int tdw__real_sys_lremovexattr(const char *path, const char *name)
{
    struct place place;

    CALL(LREMOVEXATTR, -1, 0, 0, path, lremovexattr(here(path, &place), name));
}

int tdw__real_sys_fremovexattr(int fd, const char *name)
{
    CALL(FREMOVEXATTR, fd, 0, 0, name, fremovexattr(fd, name));
}

int tdw__real_sys_mknod(const char *path, mode_t mode, dev_t device)
{
    CALL(MKNOD, -1, mode, device, path, mknodat(host()->dir, path, mode, device));
}

int tdw__real_sys_statfs(const char *path, struct statfs *result)
{
    struct place place;

    CALL(STATFS, -1, 0, 0, path, statfs(here(path, &place), result));
}

int tdw__real_sys_fstatfs(int fd, struct statfs *result)
{
    CALL(FSTATFS, fd, 0, 0, NULL, fstatfs(fd, result));
}

/* ── Where the process is ──────────────────────────────────────────────────────────────────── */

int tdw__real_sys_chroot(const char *path)
{
    int ret = -1;

    errno = EOPNOTSUPP; /* the root is the process's: a host of several has none of its own */
    if (host()->dir == AT_FDCWD)
        ret = chroot(path);
    CALL(CHROOT, -1, 0, 0, path, ret);
}

int tdw__real_sys_getcwd(char *buffer, size_t bytes)
{
    int64_t ret = -1;

    if (host()->dir == AT_FDCWD) {
        ret = syscall(SYS_getcwd, buffer, bytes);
    } else if (strlen(host()->path) < bytes) {
        ret = snprintf(buffer, bytes, "%s", host()->path) + 1;
    } else {
        errno = ERANGE;
    }
    CALL(GETCWD, -1, 0, bytes, NULL, ret);
}

/* A host of several moves without the process. */
static int move_host(int fd)
{
    const int ret = fd < 0 ? -errno : tdw__real_host_move(host(), fd);

    errno = -ret;
    return ret < 0 ? -1 : 0;
}

int tdw__real_sys_chdir(const char *path)
{
    int ret;

    if (host()->dir == AT_FDCWD)
        ret = chdir(path);
    else
        ret = move_host(openat(host()->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CALL(CHDIR, -1, 0, 0, path, ret);
}

int tdw__real_sys_fchdir(int fd)
{
    int ret;

    if (host()->dir == AT_FDCWD)
        ret = fchdir(fd);
    else
        ret = move_host(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CALL(FCHDIR, fd, 0, 0, NULL, ret);
}

int tdw__real_sys_umask(mode_t mask)
{
    CALL(UMASK, -1, mask, 0, NULL, umask(mask));
}

int tdw__real_sys_getpid(void)
{
    CALL(GETPID, -1, 0, 0, NULL, getpid());
}

int tdw__real_sys_getrlimit(int resource, struct rlimit *limit)
{
    CALL(GETRLIMIT, -1, resource, 0, NULL, getrlimit((__rlimit_resource_t)resource, limit));
}

int tdw__real_sys_setrlimit(int resource, const struct rlimit *limit)
{
    CALL(SETRLIMIT, -1, resource, 0, NULL, setrlimit((__rlimit_resource_t)resource, limit));
}

/* ── Sockets ───────────────────────────────────────────────────────────────────────────────── */

int tdw__real_sys_socket(int domain, int type, int protocol)
{
    CALL(SOCKET, domain, type, protocol, NULL, fresh(socket(domain, type, protocol)));
}

int tdw__real_sys_socketpair(int domain, int type, int protocol, int fds[2])
{
    CALL(SOCKETPAIR, domain, type, protocol, NULL,
         fresh_pair(socketpair(domain, type, protocol, fds), fds));
}

int tdw__real_sys_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    const int ret = tdw__real_bind_on(host(), fd, address, bytes);

    return tdw__sys_event(TDW_SYS_BIND, fd, 0, bytes, 0, ret);
}

int tdw__real_sys_listen(int fd, int backlog)
{
    CALL(LISTEN, fd, backlog, 0, NULL, listen(fd, backlog));
}

int tdw__real_sys_shutdown(int fd, int how)
{
    CALL(SHUTDOWN, fd, how, 0, NULL, shutdown(fd, how));
}

int tdw__real_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    CALL(SETSOCKOPT, fd, level, name, NULL, setsockopt(fd, level, name, value, bytes));
}

int tdw__real_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
    CALL(GETSOCKOPT, fd, level, name, NULL, getsockopt(fd, level, name, value, bytes));
}

int tdw__real_sys_getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
    CALL(GETSOCKNAME, fd, 0, 0, NULL, getsockname(fd, address, bytes));
}

int tdw__real_sys_getpeername(int fd, struct sockaddr *address, socklen_t *bytes)
{
    CALL(GETPEERNAME, fd, 0, 0, NULL, getpeername(fd, address, bytes));
}

/* ── Readiness, timers, clocks ─────────────────────────────────────────────────────────────── */

int tdw__real_sys_epoll_create1(int flags)
{
    CALL(EPOLL_CREATE, -1, flags, 0, NULL, fresh(epoll_create1(flags)));
}

int tdw__real_sys_epoll_ctl(int epfd, int what, int fd, const struct epoll_event *event)
{
    struct epoll_event copy = event ? *event : (struct epoll_event){.events = 0};

    CALL(EPOLL_CTL, epfd, what, fd, NULL, epoll_ctl(epfd, what, fd, event ? &copy : NULL));
}

int tdw__real_sys_timerfd_create(int clock, int flags)
{
    CALL(TIMERFD_CREATE, -1, clock, flags, NULL, fresh(timerfd_create(clock, flags)));
}

int tdw__real_sys_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                                  struct itimerspec *old)
{
    CALL(TIMERFD_SETTIME, fd, flags, 0, NULL, timerfd_settime(fd, flags, value, old));
}

int tdw__real_sys_timerfd_gettime(int fd, struct itimerspec *value)
{
    CALL(TIMERFD_GETTIME, fd, 0, 0, NULL, timerfd_gettime(fd, value));
}

int tdw__real_sys_clock_gettime(int clock, struct timespec *now)
{
    CALL(CLOCK_GETTIME, -1, clock, 0, NULL, clock_gettime(clock, now));
}

int tdw__real_sys_clock_settime(int clock, const struct timespec *now)
{
    CALL(CLOCK_SETTIME, -1, clock, 0, NULL, clock_settime(clock, now));
}

/* ── What is registered with the ring ──────────────────────────────────────────────────────── */

/* Numbers of io_uring_register(2) that the oldest header lacks. */
enum { FILE_ALLOC_RANGE = 25, PBUF_RING = 22, UNREGISTER_PBUF_RING = 23 };

static int enroll(uint8_t call, unsigned opcode, const void *arg, unsigned count, uint64_t off)
{
    return tdw__sys_event(call, -1, off, count, 0, real()->enroll(real(), opcode, arg, count));
}

int tdw__real_ring_register_files(const int *fds, unsigned count)
{
    return enroll(TDW_SYS_REGISTER_FILES, IORING_REGISTER_FILES, fds, count, 0);
}

int tdw__real_ring_register_files_sparse(unsigned count)
{
    const struct io_uring_rsrc_register reg = {.nr = count, .flags = IORING_RSRC_REGISTER_SPARSE};

    return enroll(TDW_SYS_REGISTER_FILES, IORING_REGISTER_FILES2, &reg, sizeof reg, 0);
}

int tdw__real_ring_unregister_files(void)
{
    return enroll(TDW_SYS_UNREGISTER_FILES, IORING_UNREGISTER_FILES, NULL, 0, 0);
}

int tdw__real_ring_register_files_update(unsigned off, const int *fds, unsigned count)
{
    const struct io_uring_files_update update = {.offset = off, .fds = (uintptr_t)fds};

    return enroll(TDW_SYS_REGISTER_FILES_UPDATE, IORING_REGISTER_FILES_UPDATE, &update, count, off);
}

int tdw__real_ring_register_file_alloc_range(unsigned off, unsigned count)
{
    const struct io_uring_file_index_range range = {.off = off, .len = count};

    return enroll(TDW_SYS_REGISTER_FILE_ALLOC_RANGE, FILE_ALLOC_RANGE, &range, 0, off);
}

int tdw__real_ring_register_buffers(const struct iovec *buffers, unsigned count)
{
    return enroll(TDW_SYS_REGISTER_BUFFERS, IORING_REGISTER_BUFFERS, buffers, count, 0);
}

int tdw__real_ring_register_buffers_sparse(unsigned count)
{
    const struct io_uring_rsrc_register reg = {.nr = count, .flags = IORING_RSRC_REGISTER_SPARSE};

    return enroll(TDW_SYS_REGISTER_BUFFERS, IORING_REGISTER_BUFFERS2, &reg, sizeof reg, 0);
}

int tdw__real_ring_register_buffers_update(unsigned off, const struct iovec *buffers,
                                           unsigned count)
{
    const struct io_uring_rsrc_update2 update = {
        .offset = off, .data = (uintptr_t)buffers, .nr = count};

    return enroll(TDW_SYS_REGISTER_BUFFERS_UPDATE, IORING_REGISTER_BUFFERS_UPDATE, &update,
                  sizeof update, off);
}

int tdw__real_ring_unregister_buffers(void)
{
    return enroll(TDW_SYS_UNREGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS, NULL, 0, 0);
}

int tdw__real_ring_register_buf_ring(const struct io_uring_buf_reg *reg, unsigned flags)
{
    const struct tdw_buf_reg own = {.ring_addr = reg->ring_addr,
                                    .ring_entries = reg->ring_entries,
                                    .bgid = reg->bgid,
                                    .flags = (uint16_t)flags};

    return enroll(TDW_SYS_REGISTER_BUF_RING, PBUF_RING, &own, 1, reg->bgid);
}

int tdw__real_ring_unregister_buf_ring(int group)
{
    const struct tdw_buf_reg reg = {.bgid = (uint16_t)group};

    return enroll(TDW_SYS_UNREGISTER_BUF_RING, UNREGISTER_PBUF_RING, &reg, 1, (uint64_t)group);
}

int tdw__real_ring_fd(void)
{
    return tdw__sys_event(TDW_SYS_RING_FD, -1, 0, 0, 0, -EOPNOTSUPP);
}

/* ── Memory and processes ──────────────────────────────────────────────────────────────────── */

void *tdw__real_malloc(size_t bytes)
{
    return calloc(1, bytes ? bytes : 1);
}

void tdw__real_free(void *block)
{
    free(block);
}

int tdw__real_proc_spawn(const char *name, void (*main)(void *), void *arg)
{
    (void)name, (void)main, (void)arg;
    return -EOPNOTSUPP;
}

int tdw__real_proc_kill(int pid)
{
    (void)pid;
    return -EOPNOTSUPP;
}

/* The program's own host ends the loop; one of several ends alone. */
void tdw__real_proc_exit(int status)
{
    struct tdw_ring *ring = tdw__self->ring;

    ring->ending = true;
    if (host()->dir == AT_FDCWD) {
        real()->status = status;
        ring->loop->stop = true;
    }
    if (tdw__self->model == TDW_STACKFUL)
        tdw__pause(tdw__self); /* for ever */
}

/* Sends are told MSG_NOSIGNAL, as io_uring does; for the rest it is the process's own business. */
void tdw__real_proc_sigpipe(bool kills)
{
    const struct sigaction action = {.sa_handler = kills ? SIG_DFL : SIG_IGN};

    sigaction(SIGPIPE, &action, NULL);
}

/* ── The table ─────────────────────────────────────────────────────────────────────────────── */

#define ROW(result, name, parameters, arguments) .name = tdw__real_##name,
#define ROW_VOID(name, parameters, arguments) .name = tdw__real_##name,
const struct tdw_calls tdw__real_calls = {
    TDW_CALLS_TABLE(ROW, ROW_VOID).sys_fcntl = tdw__real_sys_fcntl,
};
