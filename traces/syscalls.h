/* SPDX-License-Identifier: MIT */
/*
 * The replay table: what every recorded system call becomes.
 *
 * X(name, row, how, compare, track, shape): the row of the table in docs/trace-format.md (a test
 * compares the two); how it is replayed and what is compared, unless its arguments say otherwise
 * (tdw__classify: what the descriptor is, fcntl's command, a path in /proc, …); what an importer
 * learns from it; and its arguments, one letter each:
 *
 *     f descriptor   d directory for the path behind it   p path   t text that is no path of ours
 *     n number of 64 bits   j of 32 bits, signed   u of 32 bits, unsigned   x nothing we need
 *     v iovecs   o pointed-to offset   T timespec or timeval
 *     i pointed-to number, 0 if it is none
 *     l struct flock or a number   s struct stat, statx   e directory entries   a socket address
 *     m message   M several   k pair of descriptors   q pollfds   r w c sets of select
 *     E epoll events   V one epoll event   K futex's 4th: time-out or number
 *
 * It is the one place: an importer for another recorder uses the same table, and a new system call
 * is one line here. Called by importers, `tdw stat`, `tdw show` and tests.
 */
#ifndef TDW_TRACES_SYSCALLS_H
#define TDW_TRACES_SYSCALLS_H

#include <tidewheel/trace.h>

/* What an importer learns from a call. */
enum tdw__track {
    TDW__T_NONE,
    TDW__T_READ,
    TDW__T_WRITE,
    TDW__T_COPY, /* from one descriptor to the other */
    TDW__T_SEEK,
    TDW__T_RESIZE, /* truncate, fallocate */
    TDW__T_OPEN,
    TDW__T_CLOSE,
    TDW__T_NEW_FD, /* the result is a descriptor of something without a name */
    TDW__T_PAIR,   /* two of them in a list */
    TDW__T_DUP,
    TDW__T_FCNTL,
    TDW__T_STAT,
    TDW__T_EXISTS, /* success says that the path is there */
    TDW__T_LINK_READ,
    TDW__T_LIST, /* getdents */
    TDW__T_MKDIR,
    TDW__T_UNLINK,
    TDW__T_RENAME,
    TDW__T_LINK,
    TDW__T_SYMLINK,
    TDW__T_CHDIR,
    TDW__T_GETCWD,
    TDW__T_CLONE,
    TDW__T_EXEC,
    TDW__T_EXIT,
    TDW__T_REAP, /* wait4 and its like */
    TDW__T_FUTEX,
    TDW__T_KILL,
    TDW__T_TID, /* set_tid_address */
    TDW__T_MMAP,
    TDW__T_MUNMAP,
};

struct tdw__syscall {
    const char *name;
    uint8_t row, how, compare;
    uint8_t track;
    const char *shape;
};

/* clang-format off */
#define TDW__SYSCALLS(X)                                                                           \
    X(pread64, FILE_AT, OP, RESULT, READ, "fxnn")                                                  \
    X(pwrite64, FILE_AT, OP, RESULT, WRITE, "fxnn")                                                \
    X(preadv, FILE_AT, OP, RESULT, READ, "fvjn")                                                   \
    X(pwritev, FILE_AT, OP, RESULT, WRITE, "fvjn")                                                 \
    X(preadv2, FILE_AT, OP, RESULT, READ, "fvjnj")                                                 \
    X(pwritev2, FILE_AT, OP, RESULT, WRITE, "fvjnj")                                               \
    X(read, FILE, OP, RESULT, READ, "fxn")                                                         \
    X(write, FILE, OP, RESULT, WRITE, "fxn")                                                       \
    X(readv, FILE, OP, RESULT, READ, "fvj")                                                        \
    X(writev, FILE, OP, RESULT, WRITE, "fvj")                                                      \
    X(recvfrom, STREAM, OP, STREAM, READ, "fxnuax")                                                \
    X(sendto, STREAM, OP, STREAM, WRITE, "fxnuan")                                                 \
    X(recvmsg, STREAM, OP, STREAM, READ, "fmu")                                                    \
    X(sendmsg, STREAM, OP, STREAM, WRITE, "fmu")                                                   \
    X(recvmmsg, STREAM, OP, STREAM, READ, "fMuuT")                                                 \
    X(sendmmsg, STREAM, OP, STREAM, WRITE, "fMuu")                                                 \
    X(sendfile, COPY, OP, RESULT, COPY, "ffon")                                                    \
    X(sendfile64, COPY, OP, RESULT, COPY, "ffon")                                                  \
    X(copy_file_range, COPY, OP, RESULT, COPY, "fofonu")                                           \
    X(splice, COPY, OP, RESULT, COPY, "fofonu")                                                    \
    X(tee, COPY, OP, RESULT, COPY, "ffnu")                                                         \
    X(vmsplice, COPY, OP, RESULT, WRITE, "fvnu")                                                   \
    X(fdatasync, SYNC, OP, RESULT, NONE, "f")                                                      \
    X(fsync, SYNC, OP, RESULT, NONE, "f")                                                          \
    X(sync_file_range, SYNC, OP, RESULT, NONE, "fnnu")                                             \
    X(sync, SYNC, OP, RESULT, NONE, "")                                                            \
    X(syncfs, SYNC, OP, RESULT, NONE, "f")                                                         \
    X(openat, OPEN, OP, FD, OPEN, "dpju")                                                          \
    X(openat2, OPEN, OP, FD, OPEN, "dpxn")                                                         \
    X(open, OPEN, OP, FD, OPEN, "pju")                                                             \
    X(creat, OPEN, OP, FD, OPEN, "pu")                                                             \
    X(close, OPEN, OP, RESULT, CLOSE, "f")                                                         \
    X(close_range, OPEN, SYS, RESULT, CLOSE, "uuu")                                                \
    X(unlink, NAMES, OP, RESULT, UNLINK, "p")                                                      \
    X(unlinkat, NAMES, OP, RESULT, UNLINK, "dpj")                                                  \
    X(rename, NAMES, OP, RESULT, RENAME, "pp")                                                     \
    X(renameat, NAMES, OP, RESULT, RENAME, "dpdp")                                                 \
    X(renameat2, NAMES, OP, RESULT, RENAME, "dpdpu")                                               \
    X(mkdir, NAMES, OP, RESULT, MKDIR, "pu")                                                       \
    X(mkdirat, NAMES, OP, RESULT, MKDIR, "dpu")                                                    \
    X(rmdir, NAMES, OP, RESULT, UNLINK, "p")                                                       \
    X(link, NAMES, OP, RESULT, LINK, "pp")                                                         \
    X(linkat, NAMES, OP, RESULT, LINK, "dpdpj")                                                    \
    X(symlink, NAMES, OP, RESULT, SYMLINK, "tp")                                                   \
    X(symlinkat, NAMES, OP, RESULT, SYMLINK, "tdp")                                                \
    X(fallocate, NAMES, OP, RESULT, RESIZE, "fjnn")                                                \
    X(mknod, NAMES, OP, RESULT, SYMLINK, "puu")                                                    \
    X(mknodat, NAMES, OP, RESULT, SYMLINK, "dpuu")                                                 \
    X(ftruncate, META, OP, RESULT, RESIZE, "fn")                                                   \
    X(truncate, META, SYS, RESULT, RESIZE, "pn")                                                   \
    X(access, META, SYS, RESULT, EXISTS, "pj")                                                     \
    X(faccessat, META, SYS, RESULT, EXISTS, "dpj")                                                 \
    X(faccessat2, META, SYS, RESULT, EXISTS, "dpjj")                                               \
    X(readlink, META, SYS, RESULT, LINK_READ, "pxj")                                               \
    X(readlinkat, META, SYS, RESULT, LINK_READ, "dpxj")                                            \
    X(getdents64, META, OP, NAMES, LIST, "feu")                                                    \
    X(getdents, META, OP, NAMES, LIST, "feu")                                                      \
    X(chdir, META, SYS, RESULT, CHDIR, "p")                                                        \
    X(fchdir, META, SYS, RESULT, CHDIR, "f")                                                       \
    X(getcwd, META, SYS, RESULT, GETCWD, "tn")                                                     \
    X(chmod, META, SYS, ERRNO, EXISTS, "pu")                                                       \
    X(fchmod, META, SYS, ERRNO, NONE, "fu")                                                        \
    X(fchmodat, META, SYS, ERRNO, EXISTS, "dpu")                                                   \
    X(chown, META, SYS, ERRNO, EXISTS, "pjj")                                                      \
    X(lchown, META, SYS, ERRNO, EXISTS, "pjj")                                                     \
    X(fchown, META, SYS, ERRNO, NONE, "fjj")                                                       \
    X(fchownat, META, SYS, ERRNO, EXISTS, "dpjjj")                                                 \
    X(utimensat, META, SYS, ERRNO, EXISTS, "dpxj")                                                 \
    X(utime, META, SYS, ERRNO, EXISTS, "px")                                                       \
    X(utimes, META, SYS, ERRNO, EXISTS, "px")                                                      \
    X(fadvise64, META, SYS, ERRNO, NONE, "fnnj")                                                   \
    X(readahead, META, SYS, ERRNO, NONE, "fnn")                                                    \
    X(newfstatat, STAT, OP, STAT, STAT, "dpsj")                                                    \
    X(fstat, STAT, OP, STAT, STAT, "fs")                                                           \
    X(stat, STAT, OP, STAT, STAT, "ps")                                                            \
    X(lstat, STAT, OP, STAT, STAT, "ps")                                                           \
    X(statx, STAT, OP, STAT, STAT, "dpjus")                                                        \
    X(fstatfs, STAT, SYS, ERRNO, NONE, "fx")                                                       \
    X(statfs, STAT, SYS, ERRNO, EXISTS, "px")                                                      \
    X(lseek, SEEK, SYS, RESULT, SEEK, "fnu")                                                       \
    X(flock, LOCK, OP, LOCK, NONE, "fj")                                                           \
    X(fcntl, FDS, SYS, RESULT, FCNTL, "ful")                                                       \
    X(dup, FDS, SYS, FD, DUP, "f")                                                                 \
    X(dup2, FDS, SYS, FD, DUP, "fj")                                                               \
    X(dup3, FDS, SYS, FD, DUP, "fjj")                                                              \
    X(pipe, FDS, SYS, FD, PAIR, "k")                                                               \
    X(pipe2, FDS, SYS, FD, PAIR, "kj")                                                             \
    X(eventfd, FDS, SYS, FD, NEW_FD, "u")                                                          \
    X(eventfd2, FDS, SYS, FD, NEW_FD, "uj")                                                        \
    X(socketpair, FDS, SYS, FD, PAIR, "jjjk")                                                      \
    X(signalfd, FDS, SYS, FD, NEW_FD, "jxn")                                                       \
    X(signalfd4, FDS, SYS, FD, NEW_FD, "jxnj")                                                     \
    X(timerfd_create, FDS, SYS, FD, NEW_FD, "jj")                                                  \
    X(memfd_create, FDS, SYS, FD, NEW_FD, "tu")                                                    \
    X(inotify_init, FDS, SYS, FD, NEW_FD, "")                                                      \
    X(inotify_init1, FDS, SYS, FD, NEW_FD, "j")                                                    \
    X(inotify_add_watch, FDS, SYS, ERRNO, EXISTS, "fpu")                                           \
    X(inotify_rm_watch, FDS, SYS, ERRNO, NONE, "fj")                                               \
    X(pidfd_open, FDS, SYS, FD, NEW_FD, "ju")                                                      \
    X(socket, SOCKET, OP, FD, NEW_FD, "jjj")                                                       \
    X(bind, SOCKET, OP, ERRNO, NONE, "faj")                                                        \
    X(listen, SOCKET, OP, ERRNO, NONE, "fj")                                                       \
    X(accept, SOCKET, OP, FD, NEW_FD, "fax")                                                       \
    X(accept4, SOCKET, OP, FD, NEW_FD, "faxj")                                                     \
    X(connect, SOCKET, OP, ERRNO, NONE, "faj")                                                     \
    X(setsockopt, SOCKOPT, SYS, ERRNO, NONE, "fjjij")                                              \
    X(getsockopt, SOCKOPT, SYS, ERRNO, NONE, "fjjxx")                                              \
    X(getpeername, SOCKOPT, SYS, ERRNO, NONE, "fax")                                               \
    X(getsockname, SOCKOPT, SYS, ERRNO, NONE, "fax")                                               \
    X(shutdown, SOCKOPT, SYS, ERRNO, NONE, "fj")                                                   \
    X(epoll_create, EPOLL, SYS, FD, NEW_FD, "j")                                                   \
    X(epoll_create1, EPOLL, SYS, FD, NEW_FD, "j")                                                  \
    X(epoll_ctl, EPOLL, OP, RESULT, NONE, "fjfV")                                                  \
    X(epoll_wait, WAIT, WAIT, TIMING, NONE, "fEjj")                                                \
    X(epoll_pwait, WAIT, WAIT, TIMING, NONE, "fEjjxn")                                             \
    X(epoll_pwait2, WAIT, WAIT, TIMING, NONE, "fEjTxn")                                            \
    X(poll, WAIT, WAIT, TIMING, NONE, "quj")                                                       \
    X(ppoll, WAIT, WAIT, TIMING, NONE, "quTxn")                                                    \
    X(select, WAIT, WAIT, TIMING, NONE, "jrwcT")                                                   \
    X(pselect6, WAIT, WAIT, TIMING, NONE, "jrwcTx")                                                \
    X(nanosleep, WAIT, WAIT, TIMING, NONE, "Tx")                                                   \
    X(clock_nanosleep, WAIT, WAIT, TIMING, NONE, "jjTx")                                           \
    X(pause, WAIT, WAIT, TIMING, NONE, "")                                                         \
    X(restart_syscall, WAIT, WAIT, TIMING, NONE, "x")                                              \
    X(futex, FUTEX, EDGE, NONE, FUTEX, "njuKnu")                                                   \
    X(semop, FUTEX, EDGE, NONE, NONE, "jxu")                                                       \
    X(semtimedop, FUTEX, EDGE, NONE, NONE, "jxuT")                                                 \
    X(kill, SIGNAL, EDGE, NONE, KILL, "jj")                                                        \
    X(tkill, SIGNAL, EDGE, NONE, KILL, "jj")                                                       \
    X(tgkill, SIGNAL, EDGE, NONE, KILL, "jjj")                                                     \
    X(rt_sigqueueinfo, SIGNAL, EDGE, NONE, KILL, "jjx")                                            \
    X(signal, SIGNAL, EDGE, NONE, NONE, "jj")                                                      \
    X(rt_sigaction, SIGNAL, EDGE, NONE, NONE, "jxxn")                                              \
    X(rt_sigprocmask, SIGNAL, EDGE, NONE, NONE, "jxxn")                                            \
    X(rt_sigreturn, SIGNAL, EDGE, NONE, NONE, "x")                                                 \
    X(rt_sigsuspend, SIGNAL, EDGE, NONE, NONE, "xn")                                               \
    X(rt_sigpending, SIGNAL, EDGE, NONE, NONE, "xn")                                               \
    X(rt_sigtimedwait, SIGNAL, EDGE, NONE, NONE, "xxTn")                                           \
    X(sigaltstack, SIGNAL, EDGE, NONE, NONE, "xx")                                                 \
    X(setitimer, SIGNAL, EDGE, NONE, NONE, "jxx")                                                  \
    X(getitimer, SIGNAL, EDGE, NONE, NONE, "jx")                                                   \
    X(alarm, SIGNAL, EDGE, NONE, NONE, "u")                                                        \
    X(timer_create, SIGNAL, EDGE, NONE, NONE, "jxx")                                               \
    X(timer_settime, SIGNAL, EDGE, NONE, NONE, "jjTx")                                             \
    X(timer_delete, SIGNAL, EDGE, NONE, NONE, "j")                                                 \
    X(timerfd_settime, SIGNAL, EDGE, NONE, NONE, "fjTx")                                           \
    X(timerfd_gettime, SIGNAL, EDGE, NONE, NONE, "fx")                                             \
    X(pidfd_send_signal, SIGNAL, EDGE, NONE, NONE, "fjxu")                                         \
    X(clone, TASK, TASK, PID, CLONE, "")                                                           \
    X(clone3, TASK, TASK, PID, CLONE, "")                                                          \
    X(fork, TASK, TASK, PID, CLONE, "")                                                            \
    X(vfork, TASK, TASK, PID, CLONE, "")                                                           \
    X(execve, TASK, TASK, ERRNO, EXEC, "pxx")                                                      \
    X(execveat, TASK, TASK, ERRNO, EXEC, "dpxxj")                                                  \
    X(exit, TASK, TASK, NONE, EXIT, "j")                                                           \
    X(exit_group, TASK, TASK, NONE, EXIT, "j")                                                     \
    X(wait4, TASK, TASK, PID, REAP, "jxjx")                                                        \
    X(waitid, TASK, TASK, PID, REAP, "jjxjx")                                                      \
    X(mmap, MEMORY, IGNORE, NONE, MMAP, "nnuufn")                                                  \
    X(munmap, MEMORY, IGNORE, NONE, MUNMAP, "nn")                                                  \
    X(mprotect, MEMORY, IGNORE, NONE, NONE, "nnu")                                                 \
    X(mremap, MEMORY, IGNORE, NONE, NONE, "nnnun")                                                 \
    X(msync, MEMORY, IGNORE, NONE, NONE, "nnu")                                                    \
    X(mincore, MEMORY, IGNORE, NONE, NONE, "nnx")                                                  \
    X(mlock, MEMORY, IGNORE, NONE, NONE, "nn")                                                     \
    X(munlock, MEMORY, IGNORE, NONE, NONE, "nn")                                                   \
    X(brk, MEMORY, IGNORE, NONE, NONE, "n")                                                        \
    X(madvise, MEMORY, IGNORE, NONE, NONE, "nnj")                                                  \
    X(shmget, MEMORY, IGNORE, NONE, NONE, "nnj")                                                   \
    X(shmat, MEMORY, IGNORE, NONE, NONE, "jnj")                                                    \
    X(shmdt, MEMORY, IGNORE, NONE, NONE, "n")                                                      \
    X(shmctl, MEMORY, IGNORE, NONE, NONE, "jjx")                                                   \
    X(getpid, IGNORED, IGNORE, NONE, NONE, "")                                                     \
    X(getppid, IGNORED, IGNORE, NONE, NONE, "")                                                    \
    X(gettid, IGNORED, IGNORE, NONE, NONE, "")                                                     \
    X(getuid, IGNORED, IGNORE, NONE, NONE, "")                                                     \
    X(geteuid, IGNORED, IGNORE, NONE, NONE, "")                                                    \
    X(getgid, IGNORED, IGNORE, NONE, NONE, "")                                                     \
    X(getegid, IGNORED, IGNORE, NONE, NONE, "")                                                    \
    X(getgroups, IGNORED, IGNORE, NONE, NONE, "jx")                                                \
    X(setuid, IGNORED, IGNORE, NONE, NONE, "j")                                                    \
    X(setgid, IGNORED, IGNORE, NONE, NONE, "j")                                                    \
    X(setgroups, IGNORED, IGNORE, NONE, NONE, "jx")                                                \
    X(setresuid, IGNORED, IGNORE, NONE, NONE, "jjj")                                               \
    X(setresgid, IGNORED, IGNORE, NONE, NONE, "jjj")                                               \
    X(getpgrp, IGNORED, IGNORE, NONE, NONE, "")                                                    \
    X(getpgid, IGNORED, IGNORE, NONE, NONE, "j")                                                   \
    X(setpgid, IGNORED, IGNORE, NONE, NONE, "jj")                                                  \
    X(getsid, IGNORED, IGNORE, NONE, NONE, "j")                                                    \
    X(setsid, IGNORED, IGNORE, NONE, NONE, "")                                                     \
    X(prctl, IGNORED, IGNORE, NONE, NONE, "jxxxx")                                                 \
    X(arch_prctl, IGNORED, IGNORE, NONE, NONE, "jn")                                               \
    X(prlimit64, IGNORED, IGNORE, NONE, NONE, "juxx")                                              \
    X(getrlimit, IGNORED, IGNORE, NONE, NONE, "ux")                                                \
    X(setrlimit, IGNORED, IGNORE, NONE, NONE, "ux")                                                \
    X(getrusage, IGNORED, IGNORE, NONE, NONE, "jx")                                                \
    X(umask, IGNORED, IGNORE, NONE, NONE, "u")                                                     \
    X(getrandom, IGNORED, IGNORE, NONE, NONE, "xnu")                                               \
    X(uname, IGNORED, IGNORE, NONE, NONE, "x")                                                     \
    X(sysinfo, IGNORED, IGNORE, NONE, NONE, "x")                                                   \
    X(clock_gettime, IGNORED, IGNORE, NONE, NONE, "jx")                                            \
    X(clock_getres, IGNORED, IGNORE, NONE, NONE, "jx")                                             \
    X(gettimeofday, IGNORED, IGNORE, NONE, NONE, "xx")                                             \
    X(time, IGNORED, IGNORE, NONE, NONE, "x")                                                      \
    X(times, IGNORED, IGNORE, NONE, NONE, "x")                                                     \
    X(rseq, IGNORED, IGNORE, NONE, NONE, "nuju")                                                   \
    X(set_tid_address, IGNORED, IGNORE, NONE, TID, "n")                                            \
    X(set_robust_list, IGNORED, IGNORE, NONE, NONE, "nn")                                          \
    X(get_robust_list, IGNORED, IGNORE, NONE, NONE, "jxx")                                         \
    X(membarrier, IGNORED, IGNORE, NONE, NONE, "juj")                                              \
    X(sched_yield, IGNORED, IGNORE, NONE, NONE, "")                                                \
    X(sched_getaffinity, IGNORED, IGNORE, NONE, NONE, "jux")                                       \
    X(sched_setaffinity, IGNORED, IGNORE, NONE, NONE, "jux")                                       \
    X(sched_getparam, IGNORED, IGNORE, NONE, NONE, "jx")                                           \
    X(sched_getscheduler, IGNORED, IGNORE, NONE, NONE, "j")                                        \
    X(sched_setscheduler, IGNORED, IGNORE, NONE, NONE, "jjx")                                      \
    X(getpriority, IGNORED, IGNORE, NONE, NONE, "jj")                                              \
    X(setpriority, IGNORED, IGNORE, NONE, NONE, "jjj")                                             \
    X(getcpu, IGNORED, IGNORE, NONE, NONE, "xxx")                                                  \
    X(personality, IGNORED, IGNORE, NONE, NONE, "u")                                               \
    X(capget, IGNORED, IGNORE, NONE, NONE, "xx")                                                   \
    X(capset, IGNORED, IGNORE, NONE, NONE, "xx")                                                   \
    X(ioctl, IGNORED, IGNORE, NONE, NONE, "fui")                                                   \
    X(io_setup, IGNORED, IGNORE, NONE, NONE, "ux")                                                 \
    X(io_destroy, IGNORED, IGNORE, NONE, NONE, "n")                                                \
    X(io_submit, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "nnx")                                      \
    X(io_cancel, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "nxx")                                      \
    X(io_getevents, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "nnnxT")                                 \
    X(io_pgetevents, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "nnnxTx")                               \
    X(io_uring_setup, UNSUPPORTED, UNSUPPORTED, NONE, NEW_FD, "ux")                                \
    X(io_uring_enter, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "fuuuxn")                              \
    X(io_uring_register, UNSUPPORTED, UNSUPPORTED, NONE, NONE, "fuxu")
/* clang-format on */

/* The row of the system call `name` (`bytes` long), or that of an unknown one (name NULL): never
 * NULL. */
const struct tdw__syscall *tdw__syscall(const char *name, size_t bytes);

/* All of them, for tests and listings: the count, and the ith. */
size_t tdw__syscalls(void);
const struct tdw__syscall *tdw__syscall_at(size_t i);

/* Row, how, compare and object of a call whose arguments and descriptor paths are filled in. */
void tdw__classify(struct tdw_call *call, const struct tdw__syscall *syscall);

/* Is the call's result a matter of time alone: a wait, or a transfer that found nothing to move or
 * was interrupted? */
bool tdw__is_timing(const struct tdw_call *call);

/* Is `path` answered from the recording: /proc, /sys, /dev, a character device? */
bool tdw__served(const char *path);

#endif
