/* SPDX-License-Identifier: MIT */
/*
 * Verbs: each operation once, with the same arguments in every model.
 *
 *     callback    TDW_ON(&g->op, got, pread, fd, g->buf, 512, 0);       static void got(op)
 *     stackless   TDW_AWAIT(n, pread, me->fd, me->buf, 512, 0);
 *     stackful    n = tdw_pread(fd, buf, 512, 0);
 *     any         TDW_GO(&op, pread, fd, buf, 512, 0);                  collect it later
 *
 * A row of TDW_VERBS is the whole definition of a verb: its parameters and how they are put into
 * the entry. It becomes tdw_prep_NAME(op, …); the macros of the models take the name and call
 * that, so the faces of an operation cannot differ. Everything else about a verb (what is written
 * where, which errors) is in the manual page of the system call that it is named after; results
 * are >= 0 or -errno.
 *
 * Nothing that an argument points to may change until the op is delivered.
 */
#ifndef TIDEWHEEL_VERBS_H
#define TIDEWHEEL_VERBS_H

#include <poll.h>
#include <sys/epoll.h>
#include <tidewheel/net.h>
#include <tidewheel/register.h>
#include <tidewheel/ring.h>
#include <tidewheel/sync.h>
#include <tidewheel/task.h>

static inline void tdw__prep(struct tdw_op *op, int opcode, int fd, const void *addr, uint32_t len,
                             uint64_t off, uint32_t flags)
{
    io_uring_prep_rw(opcode, &op->sqe, fd, addr, len, off);
    op->sqe.rw_flags = (__kernel_rwf_t)flags;
}

/* A time to wait, kept inside the entry (in words that TIMEOUT does not use), so that the caller
 * has nothing to keep alive. */
static inline void tdw__prep_time(struct tdw_op *op, int opcode, uint64_t ns)
{
    struct __kernel_timespec *time = (struct __kernel_timespec *)(void *)&op->sqe.addr3;

    tdw__prep(op, opcode, -1, time, 1, 0, 0);
    time->tv_sec = (long long)(ns / 1000000000u);
    time->tv_nsec = (long long)(ns % 1000000000u);
}

/* As many bytes as one call moves at most, on Linux. */
static inline uint32_t tdw__bytes(size_t bytes)
{
    return bytes < 0x7ffff000u ? (uint32_t)bytes : 0x7ffff000u;
}

/* A slot as an entry has it: one more; IORING_FILE_INDEX_ALLOC stays. */
static inline uint32_t tdw__file_index(uint32_t slot)
{
    return slot == IORING_FILE_INDEX_ALLOC ? slot : slot + 1;
}

#define TDW__ADDR(pointer) ((uint64_t)(uintptr_t)(pointer))

/* V(name, parameters behind the op, statement that fills op->sqe) */
/* clang-format off */
#define TDW_VERBS(V)                                                                               \
    V(nop, (struct tdw_op *op), io_uring_prep_nop(&op->sqe))                                       \
    V(open, (struct tdw_op *op, const char *path, int flags, mode_t mode),                         \
      io_uring_prep_openat(&op->sqe, AT_FDCWD, path, flags, mode))                                 \
    V(openat, (struct tdw_op *op, int dir, const char *path, int flags, mode_t mode),              \
      io_uring_prep_openat(&op->sqe, dir, path, flags, mode))                                      \
    V(close, (struct tdw_op *op, int fd), io_uring_prep_close(&op->sqe, fd))                       \
    V(read, (struct tdw_op *op, int fd, void *to, uint32_t bytes),                                 \
      io_uring_prep_read(&op->sqe, fd, to, bytes, (uint64_t)-1))                                   \
    V(write, (struct tdw_op *op, int fd, const void *from, uint32_t bytes),                        \
      io_uring_prep_write(&op->sqe, fd, from, bytes, (uint64_t)-1))                                \
    V(pread, (struct tdw_op *op, int fd, void *to, uint32_t bytes, uint64_t offset),               \
      io_uring_prep_read(&op->sqe, fd, to, bytes, offset))                                         \
    V(pwrite, (struct tdw_op *op, int fd, const void *from, uint32_t bytes, uint64_t offset),      \
      io_uring_prep_write(&op->sqe, fd, from, bytes, offset))                                      \
    V(preadv, (struct tdw_op *op, int fd, const struct iovec *to, uint32_t count, uint64_t offset),\
      io_uring_prep_readv(&op->sqe, fd, to, count, offset))                                        \
    V(pwritev,                                                                                     \
      (struct tdw_op *op, int fd, const struct iovec *from, uint32_t count, uint64_t offset),      \
      io_uring_prep_writev(&op->sqe, fd, from, count, offset))                                     \
    V(fsync, (struct tdw_op *op, int fd), io_uring_prep_fsync(&op->sqe, fd, 0))                    \
    V(fdatasync, (struct tdw_op *op, int fd),                                                      \
      io_uring_prep_fsync(&op->sqe, fd, IORING_FSYNC_DATASYNC))                                    \
    V(fallocate, (struct tdw_op *op, int fd, int mode, uint64_t offset, uint64_t bytes),           \
      io_uring_prep_rw(IORING_OP_FALLOCATE, &op->sqe, fd, (const void *)(uintptr_t)bytes,          \
                       (uint32_t)mode, offset))                                                    \
    V(ftruncate, (struct tdw_op *op, int fd, uint64_t bytes),                                      \
      tdw__prep(op, TDW_OP_FTRUNCATE, fd, NULL, 0, bytes, 0))                                      \
    V(statx,                                                                                       \
      (struct tdw_op *op, int dir, const char *path, int flags, uint32_t mask, struct statx *to),  \
      io_uring_prep_rw(IORING_OP_STATX, &op->sqe, dir, path, mask, TDW__ADDR(to));                 \
      op->sqe.statx_flags = (uint32_t)flags)                                                       \
    V(unlink, (struct tdw_op *op, const char *path),                                               \
      tdw__prep(op, IORING_OP_UNLINKAT, AT_FDCWD, path, 0, 0, 0))                                  \
    V(unlinkat, (struct tdw_op *op, int dir, const char *path, int flags),                         \
      tdw__prep(op, IORING_OP_UNLINKAT, dir, path, 0, 0, (uint32_t)flags))                         \
    V(rename, (struct tdw_op *op, const char *from, const char *to),                               \
      tdw__prep(op, IORING_OP_RENAMEAT, AT_FDCWD, from, (uint32_t)AT_FDCWD, TDW__ADDR(to), 0))     \
    V(renameat,                                                                                    \
      (struct tdw_op *op, int from_dir, const char *from, int to_dir, const char *to,              \
       uint32_t flags),                                                                            \
      tdw__prep(op, IORING_OP_RENAMEAT, from_dir, from, (uint32_t)to_dir, TDW__ADDR(to), flags))   \
    V(mkdir, (struct tdw_op *op, const char *path, mode_t mode),                                   \
      tdw__prep(op, IORING_OP_MKDIRAT, AT_FDCWD, path, mode, 0, 0))                                \
    V(mkdirat, (struct tdw_op *op, int dir, const char *path, mode_t mode),                        \
      tdw__prep(op, IORING_OP_MKDIRAT, dir, path, mode, 0, 0))                                     \
    V(linkat,                                                                                      \
      (struct tdw_op *op, int from_dir, const char *from, int to_dir, const char *to, int flags),  \
      tdw__prep(op, IORING_OP_LINKAT, from_dir, from, (uint32_t)to_dir, TDW__ADDR(to),             \
                (uint32_t)flags))                                                                  \
    V(symlinkat, (struct tdw_op *op, const char *target, int dir, const char *path),               \
      tdw__prep(op, IORING_OP_SYMLINKAT, dir, target, 0, TDW__ADDR(path), 0))                      \
    V(getdents, (struct tdw_op *op, int fd, void *to, uint32_t bytes),                             \
      tdw__prep(op, TDW_OP_GETDENTS, fd, to, bytes, 0, 0))                                         \
    V(setlkw, (struct tdw_op *op, int fd, int command, const struct flock *lock),                  \
      tdw__prep(op, TDW_OP_SETLKW, fd, lock, (uint32_t)command, 0, 0))                             \
    V(flock, (struct tdw_op *op, int fd, int operation),                                           \
      tdw__prep(op, TDW_OP_FLOCK, fd, NULL, (uint32_t)operation, 0, 0))                            \
    V(socket, (struct tdw_op *op, int domain, int type, int protocol),                             \
      io_uring_prep_rw(IORING_OP_SOCKET, &op->sqe, domain, NULL, (uint32_t)protocol,               \
                       (uint64_t)type))                                                            \
    V(connect, (struct tdw_op *op, int fd, const struct sockaddr *to, socklen_t bytes),            \
      io_uring_prep_connect(&op->sqe, fd, to, bytes))                                              \
    V(bind, (struct tdw_op *op, int fd, const struct sockaddr *to, socklen_t bytes),               \
      tdw__prep(op, TDW_OP_BIND, fd, to, 0, bytes, 0))                                             \
    V(listen, (struct tdw_op *op, int fd, int backlog),                                            \
      tdw__prep(op, TDW_OP_LISTEN, fd, NULL, (uint32_t)backlog, 0, 0))                             \
    V(accept, (struct tdw_op *op, int fd, struct sockaddr *from, socklen_t *bytes, int flags),     \
      io_uring_prep_accept(&op->sqe, fd, from, bytes, flags))                                      \
    V(accept_multishot,                                                                            \
      (struct tdw_op *op, int fd, struct sockaddr *from, socklen_t *bytes, int flags),             \
      io_uring_prep_multishot_accept(&op->sqe, fd, from, bytes, flags))                            \
    V(send, (struct tdw_op *op, int fd, const void *from, size_t bytes, int flags),                \
      io_uring_prep_send(&op->sqe, fd, from, bytes, flags))                                        \
    V(sendto,                                                                                      \
      (struct tdw_op *op, int fd, const void *from, size_t bytes, int flags,                       \
       const struct sockaddr *to, socklen_t to_bytes),                                             \
      io_uring_prep_send(&op->sqe, fd, from, bytes, flags);                                        \
      io_uring_prep_send_set_addr(&op->sqe, to, (__u16)to_bytes))                                  \
    V(send_zc, (struct tdw_op *op, int fd, const void *from, size_t bytes, int flags),             \
      io_uring_prep_send_zc(&op->sqe, fd, from, bytes, flags, 0))                                  \
    V(recv, (struct tdw_op *op, int fd, void *to, size_t bytes, int flags),                        \
      io_uring_prep_recv(&op->sqe, fd, to, bytes, flags))                                          \
    /* Into the buffers of group `group`; one completion for each, until F_MORE is clear. */       \
    V(recv_multishot, (struct tdw_op *op, int fd, uint16_t group, int flags),                      \
      io_uring_prep_recv_multishot(&op->sqe, fd, NULL, 0, flags);                                  \
      op->sqe.flags |= IOSQE_BUFFER_SELECT;                                                        \
      op->sqe.buf_group = group)                                                                   \
    V(sendmsg, (struct tdw_op *op, int fd, const struct msghdr *message, unsigned flags),          \
      io_uring_prep_sendmsg(&op->sqe, fd, message, flags))                                         \
    V(recvmsg, (struct tdw_op *op, int fd, struct msghdr *message, unsigned flags),                \
      io_uring_prep_recvmsg(&op->sqe, fd, message, flags))                                         \
    V(shutdown, (struct tdw_op *op, int fd, int how), io_uring_prep_shutdown(&op->sqe, fd, how))   \
    V(poll, (struct tdw_op *op, int fd, uint32_t events),                                          \
      io_uring_prep_poll_add(&op->sqe, fd, events))                                                \
    V(poll_multishot, (struct tdw_op *op, int fd, uint32_t events),                                \
      io_uring_prep_poll_multishot(&op->sqe, fd, events))                                          \
    V(poll_remove, (struct tdw_op *op, const struct tdw_op *target),                               \
      io_uring_prep_poll_remove(&op->sqe, target->sqe.user_data))                                  \
    V(poll_update, (struct tdw_op *op, const struct tdw_op *target, uint32_t events),              \
      io_uring_prep_poll_update(&op->sqe, target->sqe.user_data, 0, events,                        \
                                IORING_POLL_UPDATE_EVENTS))                                        \
    V(epoll_ctl, (struct tdw_op *op, int epfd, int what, int fd, const struct epoll_event *event), \
      io_uring_prep_rw(IORING_OP_EPOLL_CTL, &op->sqe, epfd, event, (uint32_t)what, (uint64_t)fd))  \
    /* epoll_wait and poll with a time-out in ns; UINT64_MAX: none. 0 when it is over. */          \
    V(epoll_wait,                                                                                  \
      (struct tdw_op *op, int epfd, struct epoll_event *events, uint32_t count, uint64_t ns),      \
      tdw__prep(op, TDW_OP_EPOLL_WAIT, epfd, events, count, ns, 0))                                \
    V(ppoll, (struct tdw_op *op, struct pollfd *fds, uint32_t count, uint64_t ns),                 \
      tdw__prep(op, TDW_OP_PPOLL, -1, fds, count, ns, 0))                                          \
    /* Until a child process (-1: any) has ended: its pid; `status` as waitpid tells it. */         \
    V(waitpid, (struct tdw_op *op, int pid, int *status),                                          \
      tdw__prep(op, TDW_OP_WAITPID, pid, status, 0, 0, 0))                                         \
    /* The addresses of a host, by name: 0, -ENOENT. */                                            \
    V(resolve, (struct tdw_op *op, const char *name, struct tdw_resolved *to),                     \
      tdw__prep(op, TDW_OP_RESOLVE, -1, name, 0, TDW__ADDR(to), 0))                                \
    V(openat2, (struct tdw_op *op, int dir, const char *path, struct open_how *how),               \
      io_uring_prep_openat2(&op->sqe, dir, path, how))                                             \
    V(sync_file_range,                                                                             \
      (struct tdw_op *op, int fd, uint32_t bytes, uint64_t offset, uint32_t flags),                \
      tdw__prep(op, IORING_OP_SYNC_FILE_RANGE, fd, NULL, bytes, offset, flags))                    \
    V(fadvise, (struct tdw_op *op, int fd, uint64_t offset, uint32_t bytes, int advice),           \
      tdw__prep(op, IORING_OP_FADVISE, fd, NULL, bytes, offset, (uint32_t)advice))                 \
    V(madvise, (struct tdw_op *op, void *at, uint32_t bytes, int advice),                          \
      tdw__prep(op, IORING_OP_MADVISE, -1, at, bytes, 0, (uint32_t)advice))                        \
    V(fsetxattr,                                                                                   \
      (struct tdw_op *op, int fd, const char *name, const void *value, uint32_t bytes, int flags), \
      tdw__prep(op, IORING_OP_FSETXATTR, fd, name, bytes, TDW__ADDR(value), (uint32_t)flags))      \
    V(setxattr,                                                                                    \
      (struct tdw_op *op, const char *path, const char *name, const void *value, uint32_t bytes,   \
       int flags),                                                                                 \
      tdw__prep(op, IORING_OP_SETXATTR, 0, name, bytes, TDW__ADDR(value), (uint32_t)flags);        \
      op->sqe.addr3 = TDW__ADDR(path))                                                             \
    V(fgetxattr, (struct tdw_op *op, int fd, const char *name, void *value, uint32_t bytes),       \
      tdw__prep(op, IORING_OP_FGETXATTR, fd, name, bytes, TDW__ADDR(value), 0))                    \
    V(getxattr,                                                                                    \
      (struct tdw_op *op, const char *path, const char *name, void *value, uint32_t bytes),        \
      tdw__prep(op, IORING_OP_GETXATTR, 0, name, bytes, TDW__ADDR(value), 0);                      \
      op->sqe.addr3 = TDW__ADDR(path))                                                             \
    /* To another ring (tdw_ring_fd), and what comes from one (register.h). */                     \
    V(msg_ring, (struct tdw_op *op, int ring_fd, uint32_t res, uint64_t user_data, uint32_t flags),\
      io_uring_prep_msg_ring(&op->sqe, ring_fd, res, user_data, flags))                            \
    V(msg_ring_fd,                                                                                 \
      (struct tdw_op *op, int ring_fd, uint32_t from_slot, uint32_t to_slot, uint64_t user_data,   \
       uint32_t flags),                                                                            \
      tdw__prep(op, IORING_OP_MSG_RING, ring_fd, (void *)(uintptr_t)IORING_MSG_SEND_FD, 0,         \
                user_data, flags);                                                                 \
      op->sqe.addr3 = from_slot;                                                                   \
      op->sqe.file_index = tdw__file_index(to_slot))                                               \
    V(ring_message, (struct tdw_op *op, struct tdw_ring_message *to),                              \
      tdw__prep(op, TDW_OP_RING_MESSAGE, -1, to, 0, 0, 0))                                         \
    /* Bytes from file to file. An offset of -1 is the file's position, or none (a pipe). */       \
    V(splice,                                                                                      \
      (struct tdw_op *op, int in, int64_t in_offset, int out, int64_t out_offset, uint32_t bytes,  \
       uint32_t flags),                                                                            \
      io_uring_prep_splice(&op->sqe, in, in_offset, out, out_offset, bytes, flags))                \
    V(tee, (struct tdw_op *op, int in, int out, uint32_t bytes, uint32_t flags),                   \
      io_uring_prep_tee(&op->sqe, in, out, bytes, flags))                                          \
    V(sendfile, (struct tdw_op *op, int out, int in, off_t *offset, size_t bytes),                 \
      tdw__prep(op, TDW_OP_SENDFILE, out, offset, tdw__bytes(bytes), 0, 0);                        \
      op->sqe.splice_fd_in = in)                                                                   \
    V(copy_file_range,                                                                             \
      (struct tdw_op *op, int in, off_t *in_offset, int out, off_t *out_offset, size_t bytes,      \
       uint32_t flags),                                                                            \
      tdw__prep(op, TDW_OP_COPY_FILE_RANGE, out, in_offset, tdw__bytes(bytes),                     \
                TDW__ADDR(out_offset), flags);                                                     \
      op->sqe.splice_fd_in = in)                                                                   \
    /* Registered files and buffers, direct descriptors (register.h). */                           \
    V(open_direct, (struct tdw_op *op, const char *path, int flags, mode_t mode, uint32_t slot),   \
      io_uring_prep_openat(&op->sqe, AT_FDCWD, path, flags, mode);                                 \
      op->sqe.file_index = tdw__file_index(slot))                                                  \
    V(openat_direct,                                                                               \
      (struct tdw_op *op, int dir, const char *path, int flags, mode_t mode, uint32_t slot),       \
      io_uring_prep_openat(&op->sqe, dir, path, flags, mode);                                      \
      op->sqe.file_index = tdw__file_index(slot))                                                  \
    V(socket_direct, (struct tdw_op *op, int domain, int type, int protocol, uint32_t slot),       \
      io_uring_prep_rw(IORING_OP_SOCKET, &op->sqe, domain, NULL, (uint32_t)protocol,               \
                       (uint64_t)type);                                                            \
      op->sqe.file_index = tdw__file_index(slot))                                                  \
    V(close_direct, (struct tdw_op *op, uint32_t slot),                                            \
      io_uring_prep_close(&op->sqe, 0);                                                            \
      op->sqe.file_index = slot + 1)                                                               \
    V(read_fixed,                                                                                  \
      (struct tdw_op *op, int fd, void *to, uint32_t bytes, uint64_t offset, uint16_t buffer),     \
      io_uring_prep_read_fixed(&op->sqe, fd, to, bytes, offset, buffer))                           \
    V(write_fixed,                                                                                 \
      (struct tdw_op *op, int fd, const void *from, uint32_t bytes, uint64_t offset,               \
       uint16_t buffer),                                                                           \
      io_uring_prep_write_fixed(&op->sqe, fd, from, bytes, offset, buffer))                        \
    V(files_update, (struct tdw_op *op, int *fds, uint32_t count, uint32_t slot),                  \
      io_uring_prep_rw(IORING_OP_FILES_UPDATE, &op->sqe, -1, fds, count, slot))                    \
    /* Buffers to pick from, and a read into one: op->flags names it (IORING_CQE_F_BUFFER). */     \
    V(provide_buffers,                                                                             \
      (struct tdw_op *op, void *at, uint32_t bytes, int count, uint16_t group, int first_id),      \
      io_uring_prep_provide_buffers(&op->sqe, at, (int)bytes, count, group, first_id))             \
    V(remove_buffers, (struct tdw_op *op, int count, uint16_t group),                              \
      io_uring_prep_remove_buffers(&op->sqe, count, group))                                        \
    V(read_select,                                                                                 \
      (struct tdw_op *op, int fd, uint32_t bytes, uint64_t offset, uint16_t group),                \
      io_uring_prep_read(&op->sqe, fd, NULL, bytes, offset);                                       \
      op->sqe.flags = IOSQE_BUFFER_SELECT;                                                         \
      op->sqe.buf_group = group)                                                                   \
    /* Sleep: 0 when the time is over (TIMEOUT's -ETIME is a success here). */                     \
    V(sleep, (struct tdw_op *op, uint64_t ns),                                                     \
      tdw__prep_time(op, IORING_OP_TIMEOUT, ns);                                                   \
      op->sqe.timeout_flags = IORING_TIMEOUT_ETIME_SUCCESS)                                        \
    /* TIMEOUT as io_uring has it: -ETIME when it fires. */                                        \
    V(timeout, (struct tdw_op *op, const struct __kernel_timespec *time, uint32_t flags),          \
      tdw__prep(op, IORING_OP_TIMEOUT, -1, time, 1, 0, flags))                                     \
    V(link_timeout, (struct tdw_op *op, uint64_t ns),                                              \
      tdw__prep_time(op, IORING_OP_LINK_TIMEOUT, ns))                                              \
    /* Cancel a TIMEOUT: 0, -ENOENT, -EBUSY… as TIMEOUT_REMOVE. */                                 \
    V(timeout_remove, (struct tdw_op *op, const struct tdw_op *target),                            \
      tdw__prep(op, IORING_OP_TIMEOUT_REMOVE, -1, (void *)(uintptr_t)target->sqe.user_data, 0, 0,  \
                0))                                                                                \
    /* Give a TIMEOUT a new time from now on: 0, -ENOENT. */                                       \
    V(timeout_update,                                                                              \
      (struct tdw_op *op, const struct tdw_op *target, const struct __kernel_timespec *time),      \
      tdw__prep(op, IORING_OP_TIMEOUT_REMOVE, -1, (void *)(uintptr_t)target->sqe.user_data, 0,     \
                TDW__ADDR(time), IORING_TIMEOUT_UPDATE))                                           \
    /* Cancel one op: 0, it ends -ECANCELED · -EALREADY, too late, it ends by itself · -ENOENT, it \
     * completed. Safe whatever became of the target since, as long as its memory is readable      \
     * now. */                                                                                     \
    V(cancel, (struct tdw_op *op, const struct tdw_op *target),                                    \
      io_uring_prep_cancel64(&op->sqe, target->sqe.user_data, 0))                                  \
    /* Cancel what is in flight on fd: how many were, or -ENOENT. */                               \
    V(cancel_fd, (struct tdw_op *op, int fd),                                                      \
      io_uring_prep_cancel_fd(&op->sqe, fd, IORING_ASYNC_CANCEL_ALL))                              \
    /* Cancel all that the process has in flight, but for this op. */                              \
    V(cancel_all, (struct tdw_op *op),                                                             \
      io_uring_prep_cancel64(&op->sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL))      \
    V(yield, (struct tdw_op *op), tdw__prep(op, TDW_OP_YIELD, -1, NULL, 0, 0, 0))                  \
    /* Wait until the task ended: its result, cut to 31 bits. The task is gone afterwards. */      \
    V(join, (struct tdw_op *op, struct tdw_task *task),                                            \
      tdw__prep(op, TDW_OP_JOIN, -1, task, 0, 0, 0))                                               \
    V(lock, (struct tdw_op *op, struct tdw_mutex *mutex),                                          \
      tdw__prep(op, TDW_OP_LOCK, -1, mutex, 0, 0, 0))                                              \
    V(cond_wait, (struct tdw_op *op, struct tdw_cond *cond, struct tdw_mutex *mutex),              \
      tdw__prep(op, TDW_OP_COND_WAIT, -1, cond, 0, TDW__ADDR(mutex), 0))                           \
    V(sem_take, (struct tdw_op *op, struct tdw_sem *sem),                                          \
      tdw__prep(op, TDW_OP_SEM_TAKE, -1, sem, 0, 0, 0))                                            \
    V(put, (struct tdw_op *op, struct tdw_chan *chan, void *item),                                 \
      tdw__prep(op, TDW_OP_PUT, -1, chan, 0, TDW__ADDR(item), 0))                                  \
    V(take, (struct tdw_op *op, struct tdw_chan *chan, void *item),                                \
      tdw__prep(op, TDW_OP_TAKE, -1, chan, 0, TDW__ADDR(item), 0))                                 \
    V(wg_wait, (struct tdw_op *op, struct tdw_wg *wg),                                             \
      tdw__prep(op, TDW_OP_WG_WAIT, -1, wg, 0, 0, 0))                                              \
    /* Until another thread calls tdw_ring_wake (loop.h): how often it did. */                     \
    V(wake, (struct tdw_op *op), tdw__prep(op, TDW_OP_WAKE, -1, NULL, 0, 0, 0))                    \
    V(token_wait, (struct tdw_op *op, struct tdw_token *token),                                    \
      tdw__prep(op, TDW_OP_TOKEN, -1, token, 0, 0, 0))
/* clang-format on */

#define TDW__PREP_VERB(name, parameters, fill)                                                     \
    static inline void tdw_prep_##name parameters                                                  \
    {                                                                                              \
        fill;                                                                                      \
    }
TDW_VERBS(TDW__PREP_VERB)
#undef TDW__PREP_VERB

/* The running coroutine's own op, about to be filled. It is in flight only when a callback that
 * runs on behalf of a suspended coroutine tries to wait: that stops the program with a message. */
void tdw__own_is_busy(void) __attribute__((noreturn));
static inline struct tdw_op *tdw__own_op(void)
{
    struct tdw_op *op = &tdw_self()->op;

    if (__builtin_expect(!tdw_op_idle(op), 0))
        tdw__own_is_busy();
    return op;
}

/* Fill `op` with a verb and submit it; `done` continues. The value is tdw_submit's. An op in
 * flight is left as it is (-EBUSY). */
#define TDW__SUBMIT(op_, done_, site_, flags_, verb, ...)                                          \
    (__extension__({                                                                               \
        struct tdw_op *tdw_op_ = (op_);                                                            \
        const struct tdw_site *tdw_at_ = (site_);                                                  \
        int tdw_ret_;                                                                              \
        if (__builtin_expect(tdw_op_idle(tdw_op_), 1)) {                                           \
            tdw_prep_##verb(tdw_op_, ##__VA_ARGS__);                                               \
            tdw_op_->sqe.flags |= (flags_);                                                        \
            tdw_op_->done = (done_);                                                               \
            tdw_ret_ = tdw__submit(tdw_op_, tdw_at_);                                              \
        } else {                                                                                   \
            tdw_ret_ = tdw__refuse_busy(tdw_op_, tdw_at_);                                         \
        }                                                                                          \
        tdw_ret_;                                                                                  \
    }))

/* ── Callback ──────────────────────────────────────────────────────────────────────────────────
 * TDW_ON(op, done, verb, …) submits; the loop calls done(op) with op->res. 0 or a refusal of
 * tdw_submit. TDW_ON_LINKED does the same with IOSQE_IO_LINK: the next submit of this step starts
 * when this op has completed in full.
 */
#define TDW_ON(op, done, verb, ...)                                                                \
    TDW__SUBMIT((op), (done), TDW_SITE(#verb), 0, verb, ##__VA_ARGS__)
#define TDW_ON_LINKED(op, done, verb, ...)                                                         \
    TDW__SUBMIT((op), (done), TDW_SITE(#verb), IOSQE_IO_LINK, verb, ##__VA_ARGS__)

/* The same with a deadline: `timer` is a second op of the caller, which is idle again when `done`
 * is called. When `ns` have passed the op is cancelled, and its result is -ETIME if that worked. */
#define TDW_ON_WITHIN(op, timer, ns, done, verb, ...)                                              \
    (!tdw_op_idle(timer) ? tdw__refuse_busy((timer), TDW_SITE(#verb))                              \
     : !tdw__has_room(2) ? -EAGAIN                                                                 \
                         : tdw__within((timer), (ns), TDW_SITE(#verb),                             \
                                       TDW__SUBMIT((op), (done), TDW_SITE(#verb), IOSQE_IO_LINK,   \
                                                   verb, ##__VA_ARGS__)))
/* May so many ops be submitted now? */
bool tdw__has_room(uint32_t ops);
int tdw__within(struct tdw_op *timer, uint64_t ns, const struct tdw_site *site, int submitted);

/* Several ops, one continuation: `done` of the group is called when `left` has come down to 0. */
struct tdw_group {
    uint32_t left;
    void (*done)(struct tdw_group *group);
};
struct tdw_member {
    struct tdw_op op;
    struct tdw_group *group;
};
tdw_done_fn tdw__member_done;
#define TDW_ON_GROUP(member, group_, verb, ...)                                                    \
    (__extension__({                                                                               \
        struct tdw_member *tdw_member_ = (member);                                                 \
        tdw_member_->group = (group_);                                                             \
        int tdw_joined_ = TDW_ON(&tdw_member_->op, tdw__member_done, verb, ##__VA_ARGS__);         \
        tdw_member_->group->left += tdw_joined_ == 0;                                              \
        tdw_joined_;                                                                               \
    }))

/* ── Any model: start now, collect later ─────────────────────────────────────────────────────── */
tdw_done_fn tdw__go_done;
/* The result of an op that was delivered: of a multishot op, the next one that nobody took. */
int tdw__op_take(struct tdw_op *op);
#define TDW_GO(op, verb, ...)                                                                      \
    TDW__SUBMIT((op), tdw__go_done, TDW_SITE(#verb), 0, verb, ##__VA_ARGS__)
#define TDW_GO_LINKED(op, verb, ...)                                                               \
    TDW__SUBMIT((op), tdw__go_done, TDW_SITE(#verb), IOSQE_IO_LINK, verb, ##__VA_ARGS__)

#endif
