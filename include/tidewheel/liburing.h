/* SPDX-License-Identifier: MIT */
/*
 * Move a program with its own io_uring loop into the simulator by one header.
 *
 * Included in the place of <liburing.h>, or before everything with -include, it renames liburing's
 * functions to those of <tidewheel/uring.h> and the C library's calls on descriptors to their
 * simulated twins, and lets `main` run as one stackful task of a world. The source stays as it is:
 *
 *     cc cat.c -luring                                            on the real kernel
 *     cc -include tidewheel/liburing.h cat.c -ltidewheel          on the simulated one
 *
 * Regular files that the command line names are there at the start, with their real content; what
 * the program writes to descriptors 1 and 2 is written to the real ones. TDW_SEED, TDW_SCHEDULE
 * (timed, adversary) and TDW_STRATEGY (calm, random) in the environment choose the run.
 *
 * What is not renamed is the real thing: stdio, memory, strings, exit. Threads, signals and fork
 * are not simulated.
 */
#ifndef TIDEWHEEL_LIBURING_H
#define TIDEWHEEL_LIBURING_H

#ifdef LIB_URING_H
#error "include <tidewheel/liburing.h> before <liburing.h>"
#endif
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

/* ── liburing ──────────────────────────────────────────────────────────────────────────────── */

#define io_uring_queue_init tdw_uring_queue_init
#define io_uring_queue_init_params tdw_uring_queue_init_params
#define io_uring_queue_exit tdw_uring_queue_exit
#define io_uring_submit tdw_uring_submit
#define io_uring_submit_and_wait tdw_uring_submit_and_wait
#define io_uring_submit_and_wait_timeout tdw_uring_submit_and_wait_timeout
#define io_uring_submit_and_get_events tdw_uring_submit_and_get_events
#define io_uring_get_events tdw_uring_get_events
#define io_uring_peek_batch_cqe tdw_uring_peek_batch_cqe
#define io_uring_wait_cqes tdw_uring_wait_cqes
#define io_uring_wait_cqe_timeout tdw_uring_wait_cqe_timeout
#define __io_uring_get_cqe tdw_uring__get_cqe
#define __io_uring_sqring_wait tdw_uring__sqring_wait
#define io_uring_register_buffers tdw_uring_register_buffers
#define io_uring_register_buffers_sparse tdw_uring_register_buffers_sparse
#define io_uring_unregister_buffers tdw_uring_unregister_buffers
#define io_uring_register_files tdw_uring_register_files
#define io_uring_register_files_sparse tdw_uring_register_files_sparse
#define io_uring_register_files_update tdw_uring_register_files_update
#define io_uring_unregister_files tdw_uring_unregister_files
#define io_uring_register_file_alloc_range tdw_uring_register_file_alloc_range
#define io_uring_register_eventfd tdw_uring_register_eventfd
#define io_uring_register_eventfd_async tdw_uring_register_eventfd_async
#define io_uring_unregister_eventfd tdw_uring_unregister_eventfd
#define io_uring_register_buf_ring tdw_uring_register_buf_ring
#define io_uring_unregister_buf_ring tdw_uring_unregister_buf_ring
#define io_uring_register_probe tdw_uring_register_probe
#define io_uring_get_probe_ring tdw_uring_get_probe_ring
#define io_uring_get_probe tdw_uring_get_probe
#define io_uring_free_probe tdw_uring_free_probe
#define io_uring_enable_rings tdw_uring_enable_rings
#define io_uring_register_restrictions tdw_uring_register_restrictions
#define io_uring_ring_dontfork tdw_uring_ring_dontfork
#define io_uring_register_ring_fd tdw_uring_register_ring_fd
#define io_uring_unregister_ring_fd tdw_uring_unregister_ring_fd
#define io_uring_register_iowq_max_workers tdw_uring_register_iowq_max_workers

#include <liburing.h>

/* ── The C library ─────────────────────────────────────────────────────────────────────────── */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

int tdw_libc_open(const char *path, int flags, ...);
int tdw_libc_openat(int dir, const char *path, int flags, ...);
int tdw_libc_close(int fd);
ssize_t tdw_libc_read(int fd, void *to, size_t bytes);
ssize_t tdw_libc_write(int fd, const void *from, size_t bytes);
ssize_t tdw_libc_pread(int fd, void *to, size_t bytes, off_t offset);
ssize_t tdw_libc_pwrite(int fd, const void *from, size_t bytes, off_t offset);
off_t tdw_libc_lseek(int fd, off_t offset, int whence);
int tdw_libc_fsync(int fd);
int tdw_libc_fdatasync(int fd);
int tdw_libc_ftruncate(int fd, off_t bytes);
int tdw_libc_unlink(const char *path);
int tdw_libc_rename(const char *from, const char *to);
int tdw_libc_mkdir(const char *path, mode_t mode);
int tdw_libc_stat(const char *path, struct stat *stat);
int tdw_libc_fstat(int fd, struct stat *stat);
int tdw_libc_dup(int fd);
int tdw_libc_dup2(int fd, int to);
int tdw_libc_pipe(int fds[2]);
int tdw_libc_pipe2(int fds[2], int flags);
int tdw_libc_eventfd(unsigned value, int flags);
int tdw_libc_getrlimit(int resource, struct rlimit *limit);
int tdw_libc_setrlimit(int resource, const struct rlimit *limit);
int tdw_libc_socket(int domain, int type, int protocol);
int tdw_libc_socketpair(int domain, int type, int protocol, int fds[2]);
int tdw_libc_bind(int fd, const struct sockaddr *address, socklen_t bytes);
int tdw_libc_listen(int fd, int backlog);
int tdw_libc_accept(int fd, struct sockaddr *address, socklen_t *bytes);
int tdw_libc_connect(int fd, const struct sockaddr *address, socklen_t bytes);
ssize_t tdw_libc_send(int fd, const void *from, size_t bytes, int flags);
ssize_t tdw_libc_recv(int fd, void *to, size_t bytes, int flags);
int tdw_libc_shutdown(int fd, int how);
int tdw_libc_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes);
int tdw_libc_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes);
int tdw_libc_getsockname(int fd, struct sockaddr *address, socklen_t *bytes);
int tdw_libc_getpeername(int fd, struct sockaddr *address, socklen_t *bytes);
int tdw_libc_clock_gettime(clockid_t clock, struct timespec *now);
int tdw_libc_nanosleep(const struct timespec *time, struct timespec *left);
unsigned tdw_libc_sleep(unsigned seconds);
int tdw_libc_usleep(unsigned us);

/* Named like a struct, or like members of programs' own: only where they are called. */
#define open(...) tdw_libc_open(__VA_ARGS__)
#define openat(...) tdw_libc_openat(__VA_ARGS__)
#define close(fd) tdw_libc_close(fd)
#define read(fd, to, bytes) tdw_libc_read(fd, to, bytes)
#define write(fd, from, bytes) tdw_libc_write(fd, from, bytes)
#define pread(fd, to, bytes, offset) tdw_libc_pread(fd, to, bytes, offset)
#define pwrite(fd, from, bytes, offset) tdw_libc_pwrite(fd, from, bytes, offset)
#define lseek(fd, offset, whence) tdw_libc_lseek(fd, offset, whence)
#define fsync(fd) tdw_libc_fsync(fd)
#define fdatasync(fd) tdw_libc_fdatasync(fd)
#define ftruncate(fd, bytes) tdw_libc_ftruncate(fd, bytes)
#define unlink(path) tdw_libc_unlink(path)
#define rename(from, to) tdw_libc_rename(from, to)
#define mkdir(path, mode) tdw_libc_mkdir(path, mode)
#define stat(path, to) tdw_libc_stat(path, to)
#define fstat(fd, to) tdw_libc_fstat(fd, to)
#define dup(fd) tdw_libc_dup(fd)
#define dup2(fd, to) tdw_libc_dup2(fd, to)
#define pipe(fds) tdw_libc_pipe(fds)
#define pipe2(fds, flags) tdw_libc_pipe2(fds, flags)
#define eventfd(value, flags) tdw_libc_eventfd(value, flags)
#define getrlimit(resource, limit) tdw_libc_getrlimit(resource, limit)
#define setrlimit(resource, limit) tdw_libc_setrlimit(resource, limit)
#define socket(domain, type, protocol) tdw_libc_socket(domain, type, protocol)
#define socketpair(domain, type, protocol, fds) tdw_libc_socketpair(domain, type, protocol, fds)
#define bind(fd, address, bytes) tdw_libc_bind(fd, address, bytes)
#define listen(fd, backlog) tdw_libc_listen(fd, backlog)
#define accept(fd, address, bytes) tdw_libc_accept(fd, address, bytes)
#define connect(fd, address, bytes) tdw_libc_connect(fd, address, bytes)
#define send(fd, from, bytes, flags) tdw_libc_send(fd, from, bytes, flags)
#define recv(fd, to, bytes, flags) tdw_libc_recv(fd, to, bytes, flags)
#define shutdown(fd, how) tdw_libc_shutdown(fd, how)
#define setsockopt(fd, level, name, value, bytes) tdw_libc_setsockopt(fd, level, name, value, bytes)
#define getsockopt(fd, level, name, value, bytes) tdw_libc_getsockopt(fd, level, name, value, bytes)
#define getsockname(fd, address, bytes) tdw_libc_getsockname(fd, address, bytes)
#define getpeername(fd, address, bytes) tdw_libc_getpeername(fd, address, bytes)
#define clock_gettime(clock, now) tdw_libc_clock_gettime(clock, now)
#define nanosleep(time, left) tdw_libc_nanosleep(time, left)
#define sleep(seconds) tdw_libc_sleep(seconds)
#define usleep(us) tdw_libc_usleep(us)

/* ── main ──────────────────────────────────────────────────────────────────────────────────── */

/* Run a program on a world of its own, as described above; what it returned, or 1 if it could not
 * go on (said on standard error). */
int tdw_program(int argc, char **argv, int (*program)(int argc, char **argv));

#ifndef TDW_NO_MAIN
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
int tdw_program_main(); /* of whatever parameters the program's main has */
#pragma GCC diagnostic pop
__attribute__((weak)) int main(int argc, char **argv)
{
    return tdw_program(argc, argv, (int (*)(int, char **))(void (*)(void))tdw_program_main);
}
#define main tdw_program_main
#endif

#endif
