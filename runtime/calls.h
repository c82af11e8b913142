/* SPDX-License-Identifier: MIT */
/*
 * The plain calls of the kernel beneath: what a program asks of it without waiting.
 *
 * An op finds its kernel through the loop's backend; so does a call. Each row of TDW_CALLS is one
 * public function (its contract is in the public header that declares it) and one member of
 * `struct tdw_calls`, which a kernel fills: sim/kernel/ with tdw__sim_NAME, the real backends with
 * tdw__real_NAME. calls.c has the public functions, which do nothing but go there. So the same
 * program calls the simulated kernel or the real one, and neither room knows the other.
 *
 * Rows of HERE go to the kernel of the running task; rows of HOST to the kernel that made the host,
 * whose first member says which that is.
 *
 * Cost: one indirect call.
 */
#ifndef TDW_CALLS_H
#define TDW_CALLS_H

#include <sys/types.h>
#include <tidewheel/device.h>
#include <tidewheel/disk.h>
#include <tidewheel/net.h>
#include <tidewheel/process.h>
#include <tidewheel/register.h>
#include <tidewheel/sys.h>
#include <tidewheel/world.h>

/* HERE(result, name, parameters, arguments). fcntl has its own row: its public form is variadic. */
/* clang-format off */
#define TDW_CALLS_HERE(X)                                                                          \
    X(int64_t, sys_lseek, (int fd, int64_t offset, int whence), (fd, offset, whence))              \
    X(int, sys_dup, (int fd), (fd))                                                                \
    X(int, sys_dup2, (int fd, int to), (fd, to))                                                   \
    X(int, sys_dup3, (int fd, int to, int flags), (fd, to, flags))                                 \
    X(int, sys_pipe2, (int fds[2], int flags), (fds, flags))                                       \
    X(int, sys_eventfd, (unsigned value, int flags), (value, flags))                               \
    X(int, sys_truncate, (const char *path, int64_t length), (path, length))                       \
    X(int, sys_access, (const char *path, int mode), (path, mode))                                 \
    X(int, sys_faccessat, (int dirfd, const char *path, int mode, int flags),                      \
      (dirfd, path, mode, flags))                                                                  \
    X(int, sys_readlink, (const char *path, char *buffer, size_t bytes), (path, buffer, bytes))    \
    X(int, sys_readlinkat, (int dirfd, const char *path, char *buffer, size_t bytes),              \
      (dirfd, path, buffer, bytes))                                                                \
    X(int, sys_chmod, (const char *path, mode_t mode), (path, mode))                               \
    X(int, sys_fchmod, (int fd, mode_t mode), (fd, mode))                                          \
    X(int, sys_chown, (const char *path, uid_t owner, gid_t group), (path, owner, group))          \
    X(int, sys_fchown, (int fd, uid_t owner, gid_t group), (fd, owner, group))                     \
    X(int, sys_utimensat,                                                                          \
      (int dirfd, const char *path, const struct timespec times[2], int flags),                    \
      (dirfd, path, times, flags))                                                                 \
    X(int64_t, sys_listxattr, (const char *path, char *to, size_t room), (path, to, room))         \
    X(int64_t, sys_llistxattr, (const char *path, char *to, size_t room), (path, to, room))        \
    X(int64_t, sys_flistxattr, (int fd, char *to, size_t room), (fd, to, room))                    \
    X(int, sys_removexattr, (const char *path, const char *name), (path, name))                    \
    X(int, sys_lremovexattr, (const char *path, const char *name), (path, name))                   \
    X(int, sys_fremovexattr, (int fd, const char *name), (fd, name))                               \
    X(int, sys_mknod, (const char *path, mode_t mode, dev_t device), (path, mode, device))         \
    X(int, sys_chroot, (const char *path), (path))                                                 \
    X(int, sys_getcwd, (char *buffer, size_t bytes), (buffer, bytes))                              \
    X(int, sys_chdir, (const char *path), (path))                                                  \
    X(int, sys_fchdir, (int fd), (fd))                                                             \
    X(int, sys_statfs, (const char *path, struct statfs *result), (path, result))                  \
    X(int, sys_fstatfs, (int fd, struct statfs *result), (fd, result))                             \
    X(int, sys_umask, (mode_t mask), (mask))                                                       \
    X(int, sys_flock, (int fd, int operation), (fd, operation))                                    \
    X(int, sys_getpid, (void), ())                                                                 \
    X(int, sys_getrlimit, (int resource, struct rlimit *limit), (resource, limit))                 \
    X(int, sys_setrlimit, (int resource, const struct rlimit *limit), (resource, limit))           \
    X(int, sys_socket, (int domain, int type, int protocol), (domain, type, protocol))             \
    X(int, sys_socketpair, (int domain, int type, int protocol, int fds[2]),                       \
      (domain, type, protocol, fds))                                                               \
    X(int, sys_bind, (int fd, const struct sockaddr *address, socklen_t bytes),                    \
      (fd, address, bytes))                                                                        \
    X(int, sys_listen, (int fd, int backlog), (fd, backlog))                                       \
    X(int, sys_shutdown, (int fd, int how), (fd, how))                                             \
    X(int, sys_setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),      \
      (fd, level, name, value, bytes))                                                             \
    X(int, sys_getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes),           \
      (fd, level, name, value, bytes))                                                             \
    X(int, sys_getsockname, (int fd, struct sockaddr *address, socklen_t *bytes),                  \
      (fd, address, bytes))                                                                        \
    X(int, sys_getpeername, (int fd, struct sockaddr *address, socklen_t *bytes),                  \
      (fd, address, bytes))                                                                        \
    X(int, sys_ioctl, (int fd, unsigned long request, void *arg), (fd, request, arg))              \
    X(int, sys_epoll_create1, (int flags), (flags))                                                \
    X(int, sys_epoll_ctl, (int epfd, int what, int fd, const struct epoll_event *event),           \
      (epfd, what, fd, event))                                                                     \
    X(int, sys_timerfd_create, (int clock, int flags), (clock, flags))                             \
    X(int, sys_timerfd_settime,                                                                    \
      (int fd, int flags, const struct itimerspec *value, struct itimerspec *old),                 \
      (fd, flags, value, old))                                                                     \
    X(int, sys_timerfd_gettime, (int fd, struct itimerspec *value), (fd, value))                   \
    X(int, sys_clock_gettime, (int clock, struct timespec *now), (clock, now))                     \
    X(int, sys_clock_settime, (int clock, const struct timespec *now), (clock, now))               \
    X(int, ring_register_files, (const int *fds, unsigned count), (fds, count))                    \
    X(int, ring_register_files_sparse, (unsigned count), (count))                                  \
    X(int, ring_unregister_files, (void), ())                                                      \
    X(int, ring_register_files_update, (unsigned off, const int *fds, unsigned count),             \
      (off, fds, count))                                                                           \
    X(int, ring_register_file_alloc_range, (unsigned off, unsigned count), (off, count))           \
    X(int, ring_register_buffers, (const struct iovec *buffers, unsigned count), (buffers, count)) \
    X(int, ring_register_buffers_sparse, (unsigned count), (count))                                \
    X(int, ring_register_buffers_update,                                                           \
      (unsigned off, const struct iovec *buffers, unsigned count), (off, buffers, count))          \
    X(int, ring_unregister_buffers, (void), ())                                                    \
    X(int, ring_register_buf_ring, (const struct io_uring_buf_reg *reg, unsigned flags),           \
      (reg, flags))                                                                                \
    X(int, ring_unregister_buf_ring, (int group), (group))                                         \
    X(int, ring_fd, (void), ())                                                                    \
    X(void *, malloc, (size_t bytes), (bytes))                                                     \
    X(int, proc_spawn, (const char *name, void (*main)(void *), void *arg), (name, main, arg))     \
    X(int, proc_kill, (int pid), (pid))                                                            \
    X(struct tdw_host *, host, (const char *name, void (*main)(void *), void *arg),                \
      (name, main, arg))

/* The same without a result. */
#define TDW_CALLS_HERE_VOID(X)                                                                     \
    X(free, (void *block), (block))                                                                \
    X(proc_exit, (int status), (status))                                                           \
    X(proc_sigpipe, (bool kills), (kills))                                                         \
    X(schedule_fair, (void), ())                                                                   \
    X(link_default, (const struct tdw_link *link), (link))

/* HOST(result, name, parameters, arguments): the first parameter is the host. */
#define TDW_CALLS_HOST(X)                                                                          \
    X(int, host_boot, (struct tdw_host *host), (host))                                             \
    X(int, host_crash, (struct tdw_host *host), (host))                                            \
    X(bool, host_running, (const struct tdw_host *host), (host))                                   \
    X(int, host_pause, (struct tdw_host *host), (host))                                            \
    X(int, host_resume, (struct tdw_host *host), (host))                                           \
    X(struct tdw_disk *, host_disk, (struct tdw_host *host), (host))                               \
    X(int, host_drift, (struct tdw_host *host, int32_t ppb), (host, ppb))                          \
    X(uint64_t, host_clock, (const struct tdw_host *host, int clock), (host, clock))               \
    X(int, host_device, (struct tdw_host *host, const struct tdw_device *device), (host, device))  \
    X(int, host_persistence, (struct tdw_host *host, enum tdw_persistence profile),                \
      (host, profile))                                                                             \
    X(int, host_address, (struct tdw_host *host, const char *address), (host, address))            \
    X(struct in_addr, host_ipv4, (const struct tdw_host *host), (host))                            \
    X(struct in6_addr, host_ipv6, (const struct tdw_host *host), (host))                           \
    X(int, host_alias, (struct tdw_host *host, const char *name), (host, name))                    \
    X(int, host_restart, (struct tdw_host *host), (host))                                          \
    X(uint32_t, host_children, (const struct tdw_host *host), (host))                              \
    X(int, host_kill, (struct tdw_host *host, uint32_t child), (host, child))                      \
    X(int, host_slow, (struct tdw_host *host, uint32_t times), (host, times))                      \
    X(int, host_descriptors, (struct tdw_host *host, uint32_t count), (host, count))               \
    X(int, host_disk_kind, (struct tdw_host *host, int full, uint32_t sector),                     \
      (host, full, sector))                                                                        \
    X(uint64_t, host_bandwidth, (struct tdw_host *host, uint64_t bytes_per_s),                     \
      (host, bytes_per_s))                                                                         \
    X(int, host_disk_stall, (struct tdw_host *host, uint64_t ns), (host, ns))                      \
    X(int, host_disk_read_only, (struct tdw_host *host, bool on), (host, on))                      \
    X(int, link_cut, (struct tdw_host *host, struct tdw_host *to, bool cut), (host, to, cut))      \
    X(int, link_set,                                                                               \
      (struct tdw_host *host, struct tdw_host *to, const struct tdw_link *link), (host, to, link))

#define TDW_CALLS_HOST_VOID(X)                                                                     \
    X(host_disk_limits, (struct tdw_host *host, uint64_t bytes, uint64_t file_bytes),              \
      (host, bytes, file_bytes))                                                                   \
    X(host_step, (struct tdw_host *host, int64_t ns), (host, ns))
/* clang-format on */

struct tdw_calls {
#define TDW_CALL_MEMBER(result, name, parameters, arguments) result(*name) parameters;
#define TDW_CALL_MEMBER_VOID(name, parameters, arguments) void(*name) parameters;
    TDW_CALLS_HERE(TDW_CALL_MEMBER)
    TDW_CALLS_HERE_VOID(TDW_CALL_MEMBER_VOID)
    TDW_CALLS_HOST(TDW_CALL_MEMBER)
    TDW_CALLS_HOST_VOID(TDW_CALL_MEMBER_VOID)
    int (*sys_fcntl)(int fd, int cmd, uintptr_t arg); /* an int, or a struct flock * */
};

/* Declare a kernel's functions, and fill its table with them: TDW_CALLS_DECLARE(tdw__sim_). */
#define TDW_CALLS_TABLE(ROW, ROW_VOID)                                                             \
    TDW_CALLS_HERE(ROW)                                                                            \
    TDW_CALLS_HERE_VOID(ROW_VOID) TDW_CALLS_HOST(ROW) TDW_CALLS_HOST_VOID(ROW_VOID)

#endif
