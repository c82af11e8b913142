/* SPDX-License-Identifier: MIT */
/*
 * System calls that never wait, on the running task's process.
 *
 * What may wait is an op (verbs.h); these are plain calls: they take no virtual time, take effect
 * at once, and are an event of their own (TDW_E_SYS). Each has the arguments of the call of the
 * same name in libc, and answers with its result or with -errno; errno itself is not touched.
 * Where libc's wrapper hides a flag or a result of the kernel's call, the kernel's form is meant:
 * getcwd and readlink give the length.
 *
 * The waiting forms are refused here with -EINVAL: F_SETLKW and F_OFD_SETLKW, and flock without
 * LOCK_NB or LOCK_UN.
 */
#ifndef TIDEWHEEL_SYS_H
#define TIDEWHEEL_SYS_H

#include <tidewheel/ops.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct epoll_event;
struct flock;
struct itimerspec;
struct rlimit;
struct statfs;
struct timespec;

/* X(NAME, number, name). Numbers are kept in traces: never re-use one. */
#define TDW_SYS_CALLS(X)                                                                           \
    X(LSEEK, 1, "lseek")                                                                           \
    X(FCNTL, 2, "fcntl")                                                                           \
    X(DUP, 3, "dup")                                                                               \
    X(DUP2, 4, "dup2")                                                                             \
    X(DUP3, 5, "dup3")                                                                             \
    X(PIPE2, 6, "pipe2")                                                                           \
    X(EVENTFD, 7, "eventfd")                                                                       \
    X(TRUNCATE, 8, "truncate")                                                                     \
    X(ACCESS, 9, "access")                                                                         \
    X(FACCESSAT, 10, "faccessat")                                                                  \
    X(READLINK, 11, "readlink")                                                                    \
    X(READLINKAT, 12, "readlinkat")                                                                \
    X(CHMOD, 13, "chmod")                                                                          \
    X(FCHMOD, 14, "fchmod")                                                                        \
    X(CHOWN, 15, "chown")                                                                          \
    X(FCHOWN, 16, "fchown")                                                                        \
    X(GETCWD, 17, "getcwd")                                                                        \
    X(CHDIR, 18, "chdir")                                                                          \
    X(FCHDIR, 19, "fchdir")                                                                        \
    X(STATFS, 20, "statfs")                                                                        \
    X(FSTATFS, 21, "fstatfs")                                                                      \
    X(UMASK, 22, "umask")                                                                          \
    X(FLOCK, 23, "flock")                                                                          \
    X(UTIMENSAT, 24, "utimensat")                                                                  \
    X(GETPID, 25, "getpid")                                                                        \
    X(SOCKET, 26, "socket")                                                                        \
    X(SOCKETPAIR, 27, "socketpair")                                                                \
    X(BIND, 28, "bind")                                                                            \
    X(LISTEN, 29, "listen")                                                                        \
    X(SHUTDOWN, 30, "shutdown")                                                                    \
    X(SETSOCKOPT, 31, "setsockopt")                                                                \
    X(GETSOCKOPT, 32, "getsockopt")                                                                \
    X(GETSOCKNAME, 33, "getsockname")                                                              \
    X(GETPEERNAME, 34, "getpeername")                                                              \
    X(IOCTL, 35, "ioctl")                                                                          \
    X(EPOLL_CREATE, 36, "epoll_create1")                                                           \
    X(EPOLL_CTL, 37, "epoll_ctl")                                                                  \
    X(TIMERFD_CREATE, 38, "timerfd_create")                                                        \
    X(TIMERFD_SETTIME, 39, "timerfd_settime")                                                      \
    X(TIMERFD_GETTIME, 40, "timerfd_gettime")                                                      \
    X(CLOCK_GETTIME, 41, "clock_gettime")                                                          \
    X(CLOCK_SETTIME, 42, "clock_settime")                                                          \
    X(REGISTER_FILES, 64, "register_files")                                                        \
    X(UNREGISTER_FILES, 65, "unregister_files")                                                    \
    X(REGISTER_FILES_UPDATE, 66, "register_files_update")                                          \
    X(REGISTER_FILE_ALLOC_RANGE, 67, "register_file_alloc_range")                                  \
    X(REGISTER_BUFFERS, 68, "register_buffers")                                                    \
    X(UNREGISTER_BUFFERS, 69, "unregister_buffers")                                                \
    X(REGISTER_BUFFERS_UPDATE, 70, "register_buffers_update")                                      \
    X(REGISTER_BUF_RING, 71, "register_buf_ring")                                                  \
    X(UNREGISTER_BUF_RING, 72, "unregister_buf_ring")                                              \
    X(RING_FD, 73, "ring_fd")                                                                      \
    X(LISTXATTR, 74, "listxattr")                                                                  \
    X(LLISTXATTR, 75, "llistxattr")                                                                \
    X(FLISTXATTR, 76, "flistxattr")                                                                \
    X(REMOVEXATTR, 77, "removexattr")                                                              \
    X(LREMOVEXATTR, 78, "lremovexattr")                                                            \
    X(FREMOVEXATTR, 79, "fremovexattr")                                                            \
    X(CHROOT, 80, "chroot")                                                                        \
    X(MKNOD, 81, "mknod")                                                                          \
    X(GETRLIMIT, 82, "getrlimit")                                                                  \
    X(SETRLIMIT, 83, "setrlimit")

enum tdw_sys_call {
#define TDW_SYS_ENUM(NAME, number, name) TDW_SYS_##NAME = number,
    TDW_SYS_CALLS(TDW_SYS_ENUM)
#undef TDW_SYS_ENUM
};

/* "lseek", …; "?" for an unknown number. */
const char *tdw_sys_name(uint8_t call);

/* With SEEK_DATA and SEEK_HOLE, in pages of 4096 bytes. */
int64_t tdw_sys_lseek(int fd, int64_t offset, int whence);

/* F_DUPFD(_CLOEXEC), F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETLK, F_GETLK, F_OFD_SETLK,
 * F_OFD_GETLK, F_GETPIPE_SZ, F_SETPIPE_SZ; -EINVAL for any other. */
int tdw_sys_fcntl(int fd, int cmd, ... /* int, or struct flock * */);

int tdw_sys_dup(int fd);
int tdw_sys_dup2(int fd, int to);
int tdw_sys_dup3(int fd, int to, int flags);
int tdw_sys_pipe2(int fds[2], int flags);
int tdw_sys_eventfd(unsigned value, int flags);

int tdw_sys_truncate(const char *path, int64_t length);
int tdw_sys_access(const char *path, int mode);
int tdw_sys_faccessat(int dirfd, const char *path, int mode, int flags);
int tdw_sys_readlink(const char *path, char *buffer, size_t bytes);
int tdw_sys_readlinkat(int dirfd, const char *path, char *buffer, size_t bytes);

int tdw_sys_chmod(const char *path, mode_t mode);
int tdw_sys_fchmod(int fd, mode_t mode);
int tdw_sys_chown(const char *path, uid_t owner, gid_t group);
int tdw_sys_fchown(int fd, uid_t owner, gid_t group);
/* Virtual time. `path` NULL: `dirfd` itself. */
int tdw_sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags);

/* Names in the order in which they were first set, each with its NUL. `room` 0: the bytes needed.
 * Setting and getting are verbs. */
int64_t tdw_sys_listxattr(const char *path, char *to, size_t room);
int64_t tdw_sys_llistxattr(const char *path, char *to, size_t room);
int64_t tdw_sys_flistxattr(int fd, char *to, size_t room);
int tdw_sys_removexattr(const char *path, const char *name);
int tdw_sys_lremovexattr(const char *path, const char *name);
int tdw_sys_fremovexattr(int fd, const char *name);

/* FIFOs, regular files, sockets without a listener, and the devices null, zero, full, random and
 * urandom (-EPERM for others). */
int tdw_sys_mknod(const char *path, mode_t mode, dev_t device);
int tdw_sys_chroot(const char *path);
int tdw_sys_getcwd(char *buffer, size_t bytes);
int tdw_sys_chdir(const char *path);
int tdw_sys_fchdir(int fd);
int tdw_sys_statfs(const char *path, struct statfs *result);
int tdw_sys_fstatfs(int fd, struct statfs *result);
int tdw_sys_umask(mode_t mask);
int tdw_sys_flock(int fd, int operation);
int tdw_sys_getpid(void);
/* RLIMIT_NOFILE: 1,024, and up to 65,536 for who asks; -EINVAL for any other. Descriptors that are
 * open stay so. Nobody may raise the second number. */
int tdw_sys_getrlimit(int resource, struct rlimit *limit);
int tdw_sys_setrlimit(int resource, const struct rlimit *limit);

/* Sockets. What may wait is an op; what never does can be either. */
int tdw_sys_socket(int domain, int type, int protocol);
int tdw_sys_socketpair(int domain, int type, int protocol, int fds[2]);
int tdw_sys_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int tdw_sys_listen(int fd, int backlog);
int tdw_sys_shutdown(int fd, int how);
int tdw_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes);
int tdw_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes);
int tdw_sys_getsockname(int fd, struct sockaddr *address, socklen_t *bytes);
int tdw_sys_getpeername(int fd, struct sockaddr *address, socklen_t *bytes);
/* FIONREAD, FIONBIO, FIOASYNC (accepted), SIOCOUTQ, SIOCATMARK; -ENOTTY for any other. */
int tdw_sys_ioctl(int fd, unsigned long request, void *arg);

/* Readiness and timers. Times are the host's clocks (CLOCK_REALTIME, CLOCK_MONOTONIC, …). */
int tdw_sys_epoll_create1(int flags);
int tdw_sys_epoll_ctl(int epfd, int what, int fd, const struct epoll_event *event);
int tdw_sys_timerfd_create(int clock, int flags);
int tdw_sys_timerfd_settime(int fd, int flags, const struct itimerspec *value,
                            struct itimerspec *old);
int tdw_sys_timerfd_gettime(int fd, struct itimerspec *value);
int tdw_sys_clock_gettime(int clock, struct timespec *now);
int tdw_sys_clock_settime(int clock, const struct timespec *now);

#endif
