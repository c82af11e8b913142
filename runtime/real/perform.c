/* SPDX-License-Identifier: MIT */
/*
 * An op as plain system calls: what io_uring does for an entry, done by whoever calls this.
 *
 * The epoll backend performs with it what is ready, a worker what may block, and the uring backend
 * what its kernel is too old for. Each case has the fields of the entry as the kernel reads them.
 * Descriptors and buffers are plain here: who calls has put registered ones and picked ones in.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { RWF_KNOWN = 0xff }; /* those that Linux has */

static void *at(uint64_t word)
{
    return (void *)(uintptr_t)word;
}

static int32_t answer(int64_t ret)
{
    return ret < 0 ? -errno : (int32_t)ret;
}

bool tdw__fd_moves_whole(int fd)
{
    int type = SOCK_STREAM;
    socklen_t bytes = sizeof type;
    struct stat about;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0)
        return type != SOCK_STREAM;
    if (fstat(fd, &about) < 0)
        return false;
    /* What has no type is an eventfd, a timerfd or the like. */
    return (about.st_mode & S_IFMT) == 0 || S_ISDIR(about.st_mode) || fcntl(fd, F_GETFL) & O_DIRECT;
}

enum tdw_kind tdw__kind(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_NOP:
    case IORING_OP_SHUTDOWN:
    case IORING_OP_EPOLL_CTL:
    case TDW_OP_BIND:
    case TDW_OP_LISTEN:
    case IORING_OP_SOCKET:
    case IORING_OP_MADVISE:
        return TDW_K_PROMPT;
    case IORING_OP_READV:
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
    case IORING_OP_ACCEPT:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return TDW_K_READ;
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_CONNECT:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        return TDW_K_WRITE;
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_STATX:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_SYMLINKAT:
    case IORING_OP_LINKAT:
    case IORING_OP_FSETXATTR:
    case IORING_OP_SETXATTR:
    case IORING_OP_FGETXATTR:
    case IORING_OP_GETXATTR:
    case IORING_OP_SYNC_FILE_RANGE:
    case IORING_OP_FADVISE:
    case TDW_OP_FTRUNCATE:
    case TDW_OP_GETDENTS:
    case TDW_OP_COPY_FILE_RANGE:
        return TDW_K_FILE;
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
    case TDW_OP_SENDFILE:
    case TDW_OP_SETLKW:
    case TDW_OP_FLOCK:
    case TDW_OP_EPOLL_WAIT:
    case TDW_OP_PPOLL:
    case TDW_OP_RESOLVE:
    case TDW_OP_WAITPID:
        return TDW_K_WAIT;
    case IORING_OP_POLL_ADD:
    case IORING_OP_POLL_REMOVE:
    case IORING_OP_TIMEOUT:
    case IORING_OP_TIMEOUT_REMOVE:
    case IORING_OP_LINK_TIMEOUT:
    case IORING_OP_ASYNC_CANCEL:
    case IORING_OP_CLOSE:
    case IORING_OP_FILES_UPDATE:
    case IORING_OP_PROVIDE_BUFFERS:
    case IORING_OP_REMOVE_BUFFERS:
        return TDW_K_OWN;
    default:
        return TDW_K_UNKNOWN;
    }
}

int32_t *tdw__descriptor(struct io_uring_sqe *sqe, int which)
{
    switch (sqe->opcode) {
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
    case TDW_OP_SENDFILE:
    case TDW_OP_COPY_FILE_RANGE:
        return which ? &sqe->splice_fd_in : &sqe->fd;
    case IORING_OP_RENAMEAT:
    case IORING_OP_LINKAT:
        return which ? (int32_t *)&sqe->len : &sqe->fd;
    case IORING_OP_SETXATTR:
    case IORING_OP_GETXATTR:
    case TDW_OP_PPOLL:
    case TDW_OP_RESOLVE:
    case TDW_OP_WAITPID:
    case IORING_OP_CLOSE: /* takes the number itself */
        return NULL;
    default:
        return which ? NULL : &sqe->fd;
    }
}

void tdw__close_copies(const int copies[2])
{
    for (int i = 0; i < 2; i++)
        if (copies[i] >= 0)
            close(copies[i]);
}

bool tdw__only_looks(const struct io_uring_sqe *sqe)
{
    return (sqe->opcode == TDW_OP_EPOLL_WAIT || sqe->opcode == TDW_OP_PPOLL) && sqe->off == 0;
}

/* ── Reads and writes ──────────────────────────────────────────────────────────────────────── */

/* A descriptor that has no place to stand at takes no offset: io_uring ignores it there. */
static int32_t move(const struct io_uring_sqe *sqe, const struct iovec *iov, int count, bool out,
                    bool prompt)
{
    const int flags = (int)sqe->rw_flags | (prompt ? RWF_NOWAIT : 0);
    off_t offset = (off_t)sqe->off;
    ssize_t ret;

    for (;;) {
        ret = out ? pwritev2(sqe->fd, iov, count, offset, flags)
                  : preadv2(sqe->fd, iov, count, offset, flags);
        if (ret >= 0 || errno != ESPIPE || offset == -1)
            return answer(ret);
        offset = -1;
    }
}

/* Is the descriptor open for it? */
static bool may_move(int fd, bool out)
{
    const int flags = fcntl(fd, F_GETFL);
    const int mode = flags & O_ACCMODE;

    return flags >= 0 && !(flags & O_PATH) && mode != (out ? O_RDONLY : O_WRONLY);
}

static int32_t transfer(const struct io_uring_sqe *sqe, bool prompt)
{
    const bool out = sqe->opcode == IORING_OP_WRITE || sqe->opcode == IORING_OP_WRITEV ||
                     sqe->opcode == IORING_OP_WRITE_FIXED;
    const struct iovec one = {at(sqe->addr), sqe->len};
    int32_t res;

    /* What plain calls look at in another order, or not at all where there is nothing to move. */
    if ((int64_t)sqe->off < -1 || (uint32_t)sqe->rw_flags > RWF_KNOWN)
        return !may_move(sqe->fd, out)               ? -EBADF
               : (uint32_t)sqe->rw_flags > RWF_KNOWN ? -EOPNOTSUPP
                                                     : -EINVAL;
    if (sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV)
        return move(sqe, at(sqe->addr), (int)sqe->len, out, prompt);
    res = move(sqe, &one, 1, out, prompt);
    /* A read of nothing through vectors never reaches the file, which may have something to say. */
    return res == 0 && sqe->len == 0 && !out ? answer(read(sqe->fd, one.iov_base, 0)) : res;
}

/* An offset of -1 is no offset. */
static int32_t splice_of(const struct io_uring_sqe *sqe)
{
    loff_t in = (loff_t)sqe->splice_off_in, out = (loff_t)sqe->off;

    if (sqe->opcode == IORING_OP_TEE)
        return answer(
            tee(sqe->splice_fd_in, sqe->fd, sqe->len, sqe->splice_flags & ~SPLICE_F_FD_IN_FIXED));
    return answer(splice(sqe->splice_fd_in, in == -1 ? NULL : &in, sqe->fd, out == -1 ? NULL : &out,
                         sqe->len, sqe->splice_flags & ~SPLICE_F_FD_IN_FIXED));
}

/* ── Sockets ───────────────────────────────────────────────────────────────────────────────── */

static int32_t message(const struct io_uring_sqe *sqe, bool prompt)
{
    const int flags = (int)sqe->msg_flags | (prompt ? MSG_DONTWAIT : 0);

    switch (sqe->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        return answer(sendto(sqe->fd, at(sqe->addr), sqe->len, flags | MSG_NOSIGNAL, at(sqe->addr2),
                             sqe->addr_len));
    case IORING_OP_RECV:
        return answer(recv(sqe->fd, at(sqe->addr), sqe->len, flags));
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        return answer(sendmsg(sqe->fd, at(sqe->addr), flags | MSG_NOSIGNAL));
    default:
        return answer(recvmsg(sqe->fd, at(sqe->addr), flags));
    }
}

/* A socket that waits is asked not to for the length of the call. */
static int32_t connect_of(const struct io_uring_sqe *sqe, bool prompt)
{
    const int flags = prompt ? fcntl(sqe->fd, F_GETFL) : O_NONBLOCK;
    int32_t res;

    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK))
        fcntl(sqe->fd, F_SETFL, flags | O_NONBLOCK);
    res = answer(connect(sqe->fd, at(sqe->addr), (socklen_t)sqe->off));
    if (!(flags & O_NONBLOCK))
        fcntl(sqe->fd, F_SETFL, flags);
    return res;
}

static int32_t resolve(const struct io_uring_sqe *sqe)
{
    return tdw__real_resolve(at(sqe->addr), at(sqe->off));
}

/* ── Waits for several things ──────────────────────────────────────────────────────────────── */

static const struct timespec *time_left(uint64_t ns, struct timespec *room)
{
    if (ns == UINT64_MAX)
        return NULL;
    room->tv_sec = (time_t)(ns / 1000000000u);
    room->tv_nsec = (long)(ns % 1000000000u);
    return room;
}

static int32_t epoll_wait_of(const struct io_uring_sqe *sqe)
{
    struct timespec room;
    const struct timespec *left = time_left(sqe->off, &room);

    return answer(
        syscall(SYS_epoll_pwait2, sqe->fd, at(sqe->addr), (int)sqe->len, left, NULL, (size_t)8));
}

static int32_t ppoll_of(const struct io_uring_sqe *sqe)
{
    struct timespec room;

    return answer(ppoll(at(sqe->addr), sqe->len, time_left(sqe->off, &room), NULL));
}

/* ── By opcode ─────────────────────────────────────────────────────────────────────────────── */

static int32_t names(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_OPENAT:
        return answer(
            openat(sqe->fd, at(sqe->addr), (int)sqe->open_flags | O_LARGEFILE, (mode_t)sqe->len));
    case IORING_OP_OPENAT2:
        return answer(syscall(SYS_openat2, sqe->fd, at(sqe->addr), at(sqe->off), (size_t)sqe->len));
    case IORING_OP_STATX:
        return answer(statx(sqe->fd, at(sqe->addr), (int)sqe->statx_flags, sqe->len, at(sqe->off)));
    case IORING_OP_RENAMEAT:
        return answer(
            renameat2(sqe->fd, at(sqe->addr), (int)sqe->len, at(sqe->off), sqe->rename_flags));
    case IORING_OP_UNLINKAT:
        return answer(unlinkat(sqe->fd, at(sqe->addr), (int)sqe->unlink_flags));
    case IORING_OP_MKDIRAT:
        return answer(mkdirat(sqe->fd, at(sqe->addr), (mode_t)sqe->len));
    case IORING_OP_SYMLINKAT:
        return answer(symlinkat(at(sqe->addr), sqe->fd, at(sqe->off)));
    default:
        return answer(
            linkat(sqe->fd, at(sqe->addr), (int)sqe->len, at(sqe->off), (int)sqe->hardlink_flags));
    }
}

static int32_t attributes(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_FSETXATTR:
        return answer(
            fsetxattr(sqe->fd, at(sqe->addr), at(sqe->off), sqe->len, (int)sqe->xattr_flags));
    case IORING_OP_SETXATTR:
        return answer(
            setxattr(at(sqe->addr3), at(sqe->addr), at(sqe->off), sqe->len, (int)sqe->xattr_flags));
    case IORING_OP_FGETXATTR:
        return answer(fgetxattr(sqe->fd, at(sqe->addr), at(sqe->off), sqe->len));
    default:
        return answer(getxattr(at(sqe->addr3), at(sqe->addr), at(sqe->off), sqe->len));
    }
}

static int32_t files(const struct io_uring_sqe *sqe)
{
    int err;

    switch (sqe->opcode) {
    case IORING_OP_FSYNC:
        if (sqe->fsync_flags & ~(unsigned)IORING_FSYNC_DATASYNC)
            return -EINVAL;
        return answer(sqe->fsync_flags ? fdatasync(sqe->fd) : fsync(sqe->fd));
    case IORING_OP_FALLOCATE:
        return answer(fallocate(sqe->fd, (int)sqe->len, (off_t)sqe->off, (off_t)sqe->addr));
    case TDW_OP_FTRUNCATE:
        return answer(ftruncate(sqe->fd, (off_t)sqe->off));
    case IORING_OP_SYNC_FILE_RANGE:
        return answer(sync_file_range(sqe->fd, (off_t)sqe->off, sqe->len, sqe->sync_range_flags));
    case IORING_OP_FADVISE:
        err = posix_fadvise(sqe->fd, (off_t)sqe->off, sqe->len, (int)sqe->fadvise_advice);
        return -err;
    case TDW_OP_GETDENTS:
        return answer(syscall(SYS_getdents64, sqe->fd, at(sqe->addr), sqe->len));
    default:
        return answer(copy_file_range(sqe->splice_fd_in, at(sqe->addr), sqe->fd, at(sqe->off),
                                      sqe->len, sqe->splice_flags));
    }
}

static int32_t waits(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case TDW_OP_SENDFILE:
        return answer(sendfile(sqe->fd, sqe->splice_fd_in, at(sqe->addr), sqe->len));
    case TDW_OP_SETLKW:
        return answer(fcntl(sqe->fd, (int)sqe->len, at(sqe->addr)));
    case TDW_OP_FLOCK:
        return answer(flock(sqe->fd, (int)sqe->len));
    case TDW_OP_EPOLL_WAIT:
        return epoll_wait_of(sqe);
    case TDW_OP_PPOLL:
        return ppoll_of(sqe);
    case TDW_OP_RESOLVE:
        return resolve(sqe);
    case TDW_OP_WAITPID:
        return answer(waitpid(sqe->fd, at(sqe->addr), 0));
    default:
        return splice_of(sqe);
    }
}

static int32_t prompts(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_SHUTDOWN:
        return answer(shutdown(sqe->fd, (int)sqe->len));
    case IORING_OP_EPOLL_CTL:
        return answer(epoll_ctl(sqe->fd, (int)sqe->len, (int)sqe->off, at(sqe->addr)));
    case TDW_OP_BIND:
        return answer(bind(sqe->fd, at(sqe->addr), (socklen_t)sqe->off));
    case TDW_OP_LISTEN:
        return answer(listen(sqe->fd, (int)sqe->len));
    case IORING_OP_SOCKET:
        return sqe->rw_flags ? -EINVAL : answer(socket(sqe->fd, (int)sqe->off, (int)sqe->len));
    case IORING_OP_MADVISE:
        return answer(madvise(at(sqe->addr), sqe->len, (int)sqe->fadvise_advice));
    default:
        return 0;
    }
}

int32_t tdw__perform(const struct io_uring_sqe *sqe, bool prompt)
{
    switch (sqe->opcode) {
    case IORING_OP_CLOSE:
        return sqe->file_index ? -EINVAL : answer(close(sqe->fd));
    case IORING_OP_ACCEPT:
        return answer(accept4(sqe->fd, at(sqe->addr), at(sqe->off), (int)sqe->accept_flags));
    case IORING_OP_CONNECT:
        return connect_of(sqe, prompt);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return message(sqe, prompt);
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_STATX:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_SYMLINKAT:
    case IORING_OP_LINKAT:
        return names(sqe);
    case IORING_OP_FSETXATTR:
    case IORING_OP_SETXATTR:
    case IORING_OP_FGETXATTR:
    case IORING_OP_GETXATTR:
        return attributes(sqe);
    case IORING_OP_READV:
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
        return transfer(sqe, prompt);
    default:
        break;
    }
    switch (tdw__kind(sqe->opcode)) {
    case TDW_K_PROMPT:
        return prompts(sqe);
    case TDW_K_FILE:
        return files(sqe);
    case TDW_K_WAIT:
        return waits(sqe);
    case TDW_K_READ:
    case TDW_K_WRITE:
    case TDW_K_OWN:
    case TDW_K_UNKNOWN:
        break;
    }
    return -EINVAL;
}
