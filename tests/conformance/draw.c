/* SPDX-License-Identifier: MIT */
/*
 * Random programs, by subsystem.
 *
 * Each begins with a few steps that make something to work on, and goes on with steps drawn from a
 * list of its own, most of them sensible and some not. What Linux leaves open is kept out: which of
 * several that wait for one thing gets it, so no two readers wait on one object at a time; partial
 * transfers, which depend on the sizes of a kernel's buffers; file descriptors by number.
 *
 * Draw one thing after the other: the order in which arguments are evaluated is the compiler's.
 */
#include "conformance.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>

#define HOUR_NS ((int64_t)3600 * 1000000000)

static struct step *add(struct program *p)
{
    struct step *s = &p->steps[p->count < STEPS_MAX ? p->count++ : STEPS_MAX - 1];

    memset(s, 0, sizeof *s);
    s->fd = s->fd2 = s->out = s->path = s->path2 = -1;
    s->what = W_ENTRY;
    s->fill = (uint8_t)p->count;
    return s;
}

static struct step *entry(struct program *p, struct dice *dice, uint8_t opcode, int fd)
{
    struct step *s = add(p);

    s->opcode = opcode;
    s->fd = (int8_t)fd;
    s->id = (uint8_t)(1 + below(dice, IDS - 1)); /* op 0 is for what waits, by its drawer */
    return s;
}

static struct step *plain(struct program *p, enum what what, int fd, int out)
{
    struct step *s = add(p);

    s->what = (uint8_t)what;
    s->fd = (int8_t)fd;
    s->out = (int8_t)out;
    return s;
}

static int a_var(struct dice *dice)
{
    return (int)PICK(dice, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, -1);
}

static uint32_t a_length(struct dice *dice)
{
    return (uint32_t)PICK(dice, 0, 1, 8, 10, 100, DATA);
}

/* ── Files ─────────────────────────────────────────────────────────────────────────────────── */

static struct step *draw_open(struct program *p, struct dice *dice, int out)
{
    struct step *s = entry(p, dice, IORING_OP_OPENAT, -2);

    s->addr = A_PATH;
    s->path = (int8_t)below(dice, 2);
    s->len = 0644;
    s->flags = (uint32_t)PICK(dice, O_RDWR | O_CREAT, O_RDWR | O_CREAT, O_RDONLY, O_WRONLY,
                              O_RDWR | O_CREAT | O_TRUNC, O_RDWR | O_CREAT | O_EXCL,
                              O_RDWR | O_CREAT | O_APPEND, O_WRONLY | O_CREAT | O_DSYNC,
                              O_RDONLY | O_DIRECTORY, O_PATH, O_RDWR | O_NOFOLLOW);
    s->out = (int8_t)out;
    return s;
}

static void draw_transfer(struct program *p, struct dice *dice, int fd, bool seekable)
{
    static const uint8_t opcodes[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV,
                                      IORING_OP_WRITEV};
    struct step *s = entry(p, dice, opcodes[below(dice, 4)], fd);

    s->off = (uint64_t)PICK(dice, 0, 0, -1, -1, 5, 100, 4090, 1000000, -2);
    if (!seekable)
        s->off = (uint64_t)PICK(dice, 0, -1);
    if (s->opcode == IORING_OP_READV || s->opcode == IORING_OP_WRITEV) {
        s->addr = A_IOV;
        s->len = (uint32_t)PICK(dice, 0, 1, 2, 2);
        for (int i = 0; i < 2; i++)
            s->iov[i] = (uint32_t)PICK(dice, 0, 1, 50, DATA / 2);
    } else {
        s->addr = A_DATA;
        s->len = a_length(dice);
    }
    s->flags = (uint32_t)PICK(dice, 0, 0, 0, 0, 0, seekable ? RWF_DSYNC : 0,
                              seekable ? RWF_APPEND : 0, 1 << 30);
}

static void draw_copy(struct program *p, struct dice *dice)
{
    struct step *s =
        entry(p, dice, (uint8_t)PICK(dice, TDW_OP_SENDFILE, TDW_OP_COPY_FILE_RANGE), a_var(dice));

    s->fd2 = (int8_t)a_var(dice);
    s->len = a_length(dice);
}

static void draw_file_call(struct program *p, struct dice *dice)
{
    struct step *s;

    switch (below(dice, 5)) {
    case 0:
        s = plain(p, W_LSEEK, a_var(dice), -1);
        s->a = PICK(dice, 0, 10, -5, 5000);
        s->b = PICK(dice, SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 9);
        return;
    case 1:
        s = plain(p, W_DUP, a_var(dice), (int)below(dice, VARS));
        return;
    case 2:
        s = plain(p, W_TRUNCATE, -1, -1);
        s->path = (int8_t)below(dice, PATHS);
        s->a = PICK(dice, 0, 7, 5000, -1);
        return;
    case 3:
        s = plain(p, W_CHMOD, -1, -1);
        s->path = (int8_t)below(dice, PATHS);
        s->a = PICK(dice, 0600, 0444, 0644);
        return;
    default:
        s = plain(p, W_ACCESS, -1, -1);
        s->path = (int8_t)below(dice, PATHS);
        s->a = PICK(dice, 0, 4, 9);
    }
}

static void draw_file_op(struct program *p, struct dice *dice)
{
    const int fd = a_var(dice);
    struct step *s;

    switch (below(dice, 8)) {
    case 0:
        s = entry(p, dice, IORING_OP_FSYNC, fd);
        s->flags = (uint32_t)PICK(dice, 0, IORING_FSYNC_DATASYNC, 2);
        return;
    case 1:
        s = entry(p, dice, IORING_OP_FALLOCATE, fd);
        s->off = (uint64_t)PICK(dice, 0, 100, 4096, -1);
        s->word = (uint64_t)PICK(dice, 100, 8192, 0);
        s->len =
            (uint32_t)PICK(dice, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           FALLOC_FL_ZERO_RANGE, FALLOC_FL_PUNCH_HOLE, 0x4000);
        return;
    case 2:
        s = entry(p, dice, TDW_OP_FTRUNCATE, fd);
        s->off = (uint64_t)PICK(dice, 0, 3, 5000, -1);
        return;
    case 3:
        s = entry(p, dice, IORING_OP_STATX, -2);
        s->addr = A_PATH;
        s->path = (int8_t)below(dice, PATHS);
        s->off_is = O_STATX;
        s->len = STATX_BASIC_STATS;
        s->flags = (uint32_t)PICK(dice, 0, 0, AT_SYMLINK_NOFOLLOW, 1 << 30);
        return;
    case 4:
        s = entry(p, dice, IORING_OP_CLOSE, fd);
        return;
    case 5:
        s = entry(p, dice, IORING_OP_SYNC_FILE_RANGE, fd);
        s->flags = (uint32_t)PICK(dice, 0, 2, 7, 8);
        s->len = a_length(dice);
        return;
    case 6:
        s = entry(p, dice, IORING_OP_FADVISE, fd);
        s->flags = (uint32_t)PICK(dice, 0, 3, 77);
        return;
    default:
        draw_copy(p, dice);
    }
}

static void draw_files(struct dice *dice, struct program *p)
{
    for (int i = 0; i < 2; i++)
        draw_open(p, dice, i)->flags = O_RDWR | O_CREAT;
    p->steps[1].path = 1;
    while (p->count < STEPS_MAX) {
        const uint32_t which = below(dice, 10);

        if (which < 4)
            draw_transfer(p, dice, a_var(dice), true);
        else if (which < 5)
            draw_open(p, dice, (int)below(dice, VARS));
        else if (which < 7)
            draw_file_call(p, dice);
        else
            draw_file_op(p, dice);
    }
}

/* ── Directories ───────────────────────────────────────────────────────────────────────────── */

static struct step *draw_name(struct program *p, struct dice *dice, uint8_t opcode)
{
    struct step *s = entry(p, dice, opcode, -2);

    s->addr = A_PATH;
    s->path = (int8_t)below(dice, PATHS);
    s->path2 = (int8_t)below(dice, PATHS);
    return s;
}

static void draw_xattr(struct program *p, struct dice *dice)
{
    struct step *s =
        entry(p, dice, (uint8_t)PICK(dice, IORING_OP_FSETXATTR, IORING_OP_FGETXATTR), a_var(dice));

    s->addr = A_DATA; /* a name without a namespace */
    s->off_is = O_VALUE;
    s->len = (uint32_t)PICK(dice, 0, 5, 100);
}

static void draw_directory_step(struct program *p, struct dice *dice)
{
    struct step *s;

    switch (below(dice, 11)) {
    case 0:
        s = draw_name(p, dice, IORING_OP_MKDIRAT);
        s->path = (int8_t)PICK(dice, 2, 4, 2, 0, 3);
        s->len = 0755;
        return;
    case 1:
        s = draw_name(p, dice, IORING_OP_UNLINKAT);
        s->flags = (uint32_t)PICK(dice, 0, AT_REMOVEDIR, AT_REMOVEDIR, 4);
        return;
    case 2:
        s = draw_name(p, dice, IORING_OP_RENAMEAT);
        s->off_is = O_PATH2;
        s->flags = (uint32_t)PICK(dice, 0, 0, 0, 1 /* NOREPLACE */, 2 /* EXCHANGE */, 3);
        return;
    case 3:
        s = draw_name(p, dice, IORING_OP_SYMLINKAT);
        s->off_is = O_PATH2;
        return;
    case 4:
        s = draw_name(p, dice, IORING_OP_LINKAT);
        s->off_is = O_PATH2;
        s->flags = (uint32_t)PICK(dice, 0, AT_SYMLINK_FOLLOW, 1);
        return;
    case 5:
        s = draw_name(p, dice, IORING_OP_OPENAT);
        s->flags = (uint32_t)PICK(dice, O_RDONLY | O_DIRECTORY, O_RDONLY, O_RDWR | O_CREAT,
                                  O_WRONLY | O_CREAT | O_EXCL, O_RDONLY | O_NOFOLLOW, O_PATH);
        s->len = 0644;
        s->out = (int8_t)below(dice, VARS);
        return;
    case 6: /* from the beginning: what comes in behind the end is the file system's business */
        s = plain(p, W_LSEEK, a_var(dice), -1);
        s = entry(p, dice, TDW_OP_GETDENTS, s->fd);
        s->addr = A_DATA;
        s->len = (uint32_t)PICK(dice, DATA, DATA, 8);
        return;
    case 7:
        s = plain(p, W_READLINK, -1, -1);
        s->path = (int8_t)below(dice, PATHS);
        return;
    case 8:
        s = draw_name(p, dice, IORING_OP_STATX);
        s->off_is = O_STATX;
        s->len = STATX_BASIC_STATS;
        s->flags = (uint32_t)PICK(dice, 0, AT_SYMLINK_NOFOLLOW);
        return;
    case 9:
        draw_xattr(p, dice);
        return;
    default:
        entry(p, dice, IORING_OP_CLOSE, a_var(dice));
    }
}

static void draw_directories(struct dice *dice, struct program *p)
{
    struct step *s = draw_name(p, dice, IORING_OP_MKDIRAT);

    s->path = 2;
    s->len = 0755;
    draw_open(p, dice, 0)->flags = O_RDWR | O_CREAT;
    while (p->count < STEPS_MAX)
        draw_directory_step(p, dice);
}

/* ── What waits: pipes, event and timer descriptors ────────────────────────────────────────── */

/* The op that may wait is op 0: two that wait for one thing would have no order. */
static void draw_read(struct program *p, struct dice *dice, int fd)
{
    struct step *s = entry(p, dice, IORING_OP_READ, fd);

    s->id = 0;
    s->addr = A_DATA;
    s->len = (uint32_t)PICK(dice, 1, 8, 8, 10, 100, 0);
    s->off = (uint64_t)PICK(dice, 0, -1);
}

static void draw_write(struct program *p, struct dice *dice, int fd)
{
    struct step *s = entry(p, dice, IORING_OP_WRITE, fd);

    s->addr = A_DATA;
    s->len = (uint32_t)PICK(dice, 1, 8, 10, 100);
    s->off = (uint64_t)PICK(dice, 0, -1);
    s->word = 0;
}

static void draw_poll(struct program *p, struct dice *dice, int fd)
{
    struct step *s = entry(p, dice, IORING_OP_POLL_ADD, fd);

    s->id = 5;
    s->flags = (uint32_t)PICK(dice, POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT, 0, POLLRDHUP);
}

/* Ends the op that may wait, so that the next one may. */
static void draw_cancel_of(struct program *p, struct dice *dice, uint64_t which)
{
    struct step *s = entry(p, dice, IORING_OP_ASYNC_CANCEL, -1);

    s->id = 4;
    s->addr = A_OP;
    s->word = which;
}

static void draw_pipe_step(struct program *p, struct dice *dice)
{
    const int fd = (int)PICK(dice, 0, 0, 0, 1, 1, 2, 3, a_var(dice));
    struct step *s;

    switch (below(dice, 12)) {
    case 0:
    case 1:
        draw_read(p, dice, fd);
        return;
    case 2:
    case 3:
    case 4:
        draw_write(p, dice, fd);
        return;
    case 5:
        draw_poll(p, dice, fd);
        return;
    case 6:
        draw_cancel_of(p, dice, (uint64_t)PICK(dice, 0, 0, 5, 3));
        return;
    case 7:
        if (below(dice, 3) == 0)
            entry(p, dice, IORING_OP_CLOSE, fd);
        return;
    case 8:
        s = entry(p, dice, (uint8_t)PICK(dice, IORING_OP_TEE, IORING_OP_SPLICE), 3);
        s->fd2 = 0;
        s->off = s->word = s->opcode == IORING_OP_TEE ? 0 : (uint64_t)-1;
        s->flags = SPLICE_F_NONBLOCK;
        s->len = (uint32_t)PICK(dice, 1, 10, 100);
        return;
    case 9:
        s = plain(p, W_SETFL, fd, -1);
        s->a = PICK(dice, 0, 0, O_NONBLOCK);
        return;
    case 10:
        if (below(dice, 4) == 0) {
            s = plain(p, W_PIPE, -1, (int)PICK(dice, 0, 2, 4));
            s->a = PICK(dice, 0, O_NONBLOCK, O_CLOEXEC, 1);
        }
        return;
    default:
        s = plain(p, W_DUP, fd, (int)PICK(dice, 4, 5, 6));
    }
}

static void draw_pipes(struct dice *dice, struct program *p)
{
    plain(p, W_PIPE, -1, 0);
    plain(p, W_PIPE, -1, 2);
    while (p->count < STEPS_MAX)
        draw_pipe_step(p, dice);
}

static void draw_eventfds(struct dice *dice, struct program *p)
{
    struct step *s;

    plain(p, W_EVENTFD, -1, 0);
    while (p->count < STEPS_MAX) {
        const int fd = (int)PICK(dice, 0, 0, 0, 1, 1, 2, a_var(dice));

        switch (below(dice, 8)) {
        case 0:
            s = plain(p, W_EVENTFD, -1, (int)below(dice, 3));
            s->a = PICK(dice, 0, 1, 3);
            s->b = PICK(dice, 0, EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC, 1 << 9);
            break;
        case 1:
        case 2:
            draw_read(p, dice, fd);
            break;
        case 3:
        case 4:
            draw_write(p, dice, fd);
            p->steps[p->count - 1].word = (uint64_t)PICK(dice, 1, 1, 2, 1000, -1);
            p->steps[p->count - 1].id = 1;
            p->steps[p->count - 1].len = (uint32_t)PICK(dice, 8, 8, 8, 4, 16);
            break;
        case 5:
            draw_poll(p, dice, fd);
            break;
        case 6:
            draw_cancel_of(p, dice, (uint64_t)PICK(dice, 0, 0, 5, 1));
            break;
        default:
            if (below(dice, 4) == 0)
                entry(p, dice, IORING_OP_CLOSE, fd);
        }
    }
}

static void draw_timerfds(struct dice *dice, struct program *p)
{
    struct step *s = plain(p, W_TIMERFD, -1, 0);

    s->a = CLOCK_MONOTONIC;
    while (p->count < STEPS_MAX) {
        const int fd = (int)PICK(dice, 0, 0, 0, 1, 1, a_var(dice));

        switch (below(dice, 8)) {
        case 0:
            s = plain(p, W_TIMERFD, -1, (int)below(dice, 2));
            s->a = PICK(dice, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, 77);
            s->b = PICK(dice, 0, TFD_NONBLOCK, TFD_CLOEXEC, 1 << 9);
            break;
        case 1:
        case 2:
            s = plain(p, W_SETTIME, fd, -1);
            s->a = PICK(dice, 0, 1, 1000000, HOUR_NS, -1);
            s->b = PICK(dice, 0, 0, HOUR_NS);
            s->c = PICK(dice, 0, 0, 0, 1 << 9);
            break;
        case 3:
        case 4:
            draw_read(p, dice, fd);
            break;
        case 5:
            draw_poll(p, dice, fd);
            break;
        case 6:
            draw_cancel_of(p, dice, (uint64_t)PICK(dice, 0, 0, 5));
            break;
        default:
            if (below(dice, 4) == 0)
                entry(p, dice, IORING_OP_CLOSE, fd);
            else
                draw_write(p, dice, fd);
        }
    }
}

/* ── Sockets ───────────────────────────────────────────────────────────────────────────────── */

static void draw_message(struct program *p, struct dice *dice, int fd, bool out)
{
    const bool header = below(dice, 3) == 0;
    struct step *s = entry(p, dice,
                           out ? (header ? IORING_OP_SENDMSG : IORING_OP_SEND)
                               : (header ? IORING_OP_RECVMSG : IORING_OP_RECV),
                           fd);

    s->addr = header ? A_HEADER : A_DATA;
    s->len = header ? 1 : (uint32_t)PICK(dice, 1, 10, 100, 0);
    s->iov_count = (uint32_t)PICK(dice, 1, 2, 0);
    for (int i = 0; i < 2; i++)
        s->iov[i] = (uint32_t)PICK(dice, 1, 10, 50);
    if (out) {
        s->flags = (uint32_t)PICK(dice, 0, 0, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL);
        if (s->opcode == IORING_OP_SEND && below(dice, 4) == 0)
            s->opcode = IORING_OP_SEND_ZC;
    } else {
        s->id = 0;
        s->flags = (uint32_t)PICK(dice, 0, 0, 0, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, MSG_TRUNC);
        if (s->flags & MSG_WAITALL)
            s->iov[0] |= 1;
    }
}

static bool has_datagrams(const struct program *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        if ((p->steps[i].what == W_SOCKETPAIR && p->steps[i].a == SOCK_DGRAM) ||
            (p->steps[i].what == W_SOCKET && p->steps[i].b == SOCK_DGRAM))
            return true;
    return false;
}

static void draw_socket_step(struct program *p, struct dice *dice)
{
    const int fd = (int)PICK(dice, 0, 0, 1, 1, 2, 3, 4, 5, a_var(dice));
    struct step *s;

    switch (below(dice, 14)) {
    case 0:
    case 1:
    case 2:
        draw_message(p, dice, fd, true);
        return;
    case 3:
    case 4:
    case 5:
        draw_message(p, dice, fd, false);
        return;
    case 6:
        draw_poll(p, dice, fd);
        return;
    case 7:
        draw_cancel_of(p, dice, (uint64_t)PICK(dice, 0, 0, 5));
        return;
    case 8:
        if (below(dice, 2)) {
            s = entry(p, dice, IORING_OP_SHUTDOWN, fd);
            s->len = (uint32_t)PICK(dice, SHUT_RD, SHUT_WR, SHUT_WR, SHUT_RDWR, 7);
            /* What a read of a datagram socket that was shut answers depends on who waits, where.
             */
            if (has_datagrams(p) && s->len <= SHUT_RDWR)
                s->len = SHUT_WR;
        }
        return;
    case 9:
        if (below(dice, 2))
            entry(p, dice, IORING_OP_CLOSE, fd);
        return;
    case 10:
        if (below(dice, 3) == 0) {
            s = plain(p, W_SOCKETPAIR, -1, (int)PICK(dice, 0, 4, 6));
            s->a = PICK(dice, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, 99);
        }
        return;
    case 11: /* a socket of its own: one that was refused is asked again with a matter of timing */
        s = plain(p, W_SOCKET, -1, 7);
        s->a = AF_INET;
        s->b = PICK(dice, SOCK_STREAM, SOCK_STREAM | SOCK_NONBLOCK, 77);
        s = entry(p, dice, IORING_OP_CONNECT, 7);
        s->addr = A_NAME;
        s->fd2 = 2;
        return;
    case 12:
        s = entry(p, dice, IORING_OP_ACCEPT, 2);
        s->id = 3;
        s->out = 5;
        return;
    default:
        s = plain(p, W_SOCKET, -1, 7);
        s->a = AF_INET;
        s->b = PICK(dice, SOCK_STREAM, SOCK_STREAM, SOCK_STREAM | SOCK_NONBLOCK, 77);
    }
}

static void draw_sockets(struct dice *dice, struct program *p)
{
    struct step *s;

    plain(p, W_SOCKETPAIR, -1, 0)->a = PICK(dice, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET);
    s = plain(p, W_SOCKET, -1, 2);
    s->a = AF_INET;
    s->b = SOCK_STREAM;
    plain(p, W_BIND, 2, -1);
    plain(p, W_LISTEN, 2, -1);
    s = plain(p, W_SOCKET, -1, 3);
    s->a = AF_INET;
    s->b = SOCK_STREAM;
    s = plain(p, W_OPTION, 3, -1);
    s->a = IPPROTO_TCP;
    s->b = TCP_NODELAY;
    s->c = 1;
    s = entry(p, dice, IORING_OP_CONNECT, 3);
    s->addr = A_NAME;
    s->fd2 = 2;
    s = entry(p, dice, IORING_OP_ACCEPT, 2);
    s->out = 4;
    while (p->count < STEPS_MAX)
        draw_socket_step(p, dice);
}

/* ── epoll ─────────────────────────────────────────────────────────────────────────────────── */

static void draw_epolls(struct dice *dice, struct program *p)
{
    struct step *s;

    plain(p, W_EPOLL, -1, 7);
    plain(p, W_PIPE, -1, 0);
    plain(p, W_EVENTFD, -1, 2);
    plain(p, W_SOCKETPAIR, -1, 3)->a = SOCK_STREAM;
    while (p->count < STEPS_MAX) {
        const int fd = (int)PICK(dice, 0, 1, 2, 3, 4, a_var(dice));

        switch (below(dice, 9)) {
        case 0:
        case 1:
        case 2:
            s = entry(p, dice, IORING_OP_EPOLL_CTL, (int)PICK(dice, 7, 7, 7, 7, 0));
            s->addr = A_EVENT;
            s->off_is = O_VAR;
            s->fd2 = (int8_t)fd;
            s->len = (uint32_t)PICK(dice, EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_ADD,
                                    EPOLL_CTL_MOD, EPOLL_CTL_DEL, 77);
            s->events = (uint32_t)PICK(dice, EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLOUT, EPOLLRDHUP) |
                        (uint32_t)PICK(dice, 0, 0, EPOLLET, EPOLLONESHOT);
            s->word = below(dice, 1000);
            break;
        case 3:
        case 4:
            s = entry(p, dice, TDW_OP_EPOLL_WAIT, 7);
            s->addr = A_EVENT;
            s->len = 4;
            s->off = 0;
            break;
        case 5:
            draw_write(p, dice, (int)PICK(dice, 1, 2, 3, 4));
            p->steps[p->count - 1].word = 1;
            break;
        case 6:
            draw_read(p, dice, (int)PICK(dice, 0, 2, 3, 4));
            break;
        case 7:
            draw_poll(p, dice, 7);
            break;
        default:
            if (below(dice, 3) == 0)
                entry(p, dice, IORING_OP_CLOSE, fd);
            else
                draw_cancel_of(p, dice, (uint64_t)PICK(dice, 0, 5));
        }
    }
}

/* ── Links ─────────────────────────────────────────────────────────────────────────────────── */

/*
 * One member of a chain, with number `id`. `read`: a member before it reads the pipe already; a
 * second one could wait beside it once the first is cancelled, and which of two gets the bytes, and
 * how many, is the scheduler's.
 */
static void draw_member(struct program *p, struct dice *dice, int id, bool *read)
{
    struct step *s;

    switch (below(dice, *read ? 6 : 7)) {
    case 0:
        s = entry(p, dice, IORING_OP_NOP, -1);
        break;
    case 1:
        s = entry(p, dice, IORING_OP_FSYNC, (int)PICK(dice, 0, 0, -1));
        break;
    case 2:
    case 3:
        draw_transfer(p, dice, 0, true);
        s = &p->steps[p->count - 1];
        break;
    case 4:
        draw_write(p, dice, 2);
        s = &p->steps[p->count - 1];
        break;
    case 5:
        s = entry(p, dice, IORING_OP_TIMEOUT, -1);
        s->addr = A_TIME;
        s->len = 1;
        s->ns = 1000000;
        s->flags = (uint32_t)PICK(dice, 0, IORING_TIMEOUT_ETIME_SUCCESS);
        break;
    default:
        draw_read(p, dice, 1);
        s = &p->steps[p->count - 1];
        *read = true;
    }
    s->id = (uint8_t)id;
}

static void draw_chain(struct program *p, struct dice *dice)
{
    const uint32_t count = 1 + below(dice, 4);
    bool read = false;

    if (p->count + count + 1 > STEPS_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct step *s;

        draw_member(p, dice, (int)i, &read);
        s = &p->steps[p->count - 1];
        if (i + 1 < count)
            s->sqe_flags |= (uint8_t)PICK(dice, IOSQE_IO_LINK, IOSQE_IO_LINK, IOSQE_IO_HARDLINK);
        else if (count == 1 && below(dice, 8) == 0 && s->opcode != IORING_OP_READ)
            s->sqe_flags |= IOSQE_IO_DRAIN; /* behind a read that waits nothing would go on */
    }
    if (below(dice, 3) == 0) { /* a deadline for the last one */
        struct step *s = &p->steps[p->count - 1];
        const bool waits = s->opcode == IORING_OP_READ && s->fd == 1; /* others race with it */

        s->sqe_flags |= IOSQE_IO_LINK;
        s = entry(p, dice, IORING_OP_LINK_TIMEOUT, -1);
        s->addr = A_TIME;
        s->len = 1;
        s->ns = (uint64_t)PICK(dice, 1000000, 1000000, HOUR_NS);
        if (!waits)
            s->ns = HOUR_NS;
        s->id = 5;
    }
}

static void draw_links(struct dice *dice, struct program *p)
{
    struct step *s;

    draw_open(p, dice, 0)->flags = O_RDWR | O_CREAT;
    plain(p, W_PIPE, -1, 1);
    while (p->count + 7 < STEPS_MAX) {
        draw_chain(p, dice);
        /* Nothing may be in flight when the next chain takes the numbers. */
        s = entry(p, dice, IORING_OP_ASYNC_CANCEL, -1);
        s->id = 4;
        s->flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    }
}

/* ── Cancels and time-outs ─────────────────────────────────────────────────────────────────── */

static void draw_cancel(struct program *p, struct dice *dice)
{
    struct step *s = entry(p, dice, IORING_OP_ASYNC_CANCEL, -1);

    s->id = 4;
    switch (below(dice, 4)) {
    case 0:
        s->fd = (int8_t)PICK(dice, 0, 1, 2, 7);
        s->flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
        return;
    case 1:
        s->flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
        return;
    default:
        s->addr = A_OP;
        s->word = below(dice, IDS);
        s->flags = (uint32_t)PICK(dice, 0, 0, 0, 1 << 20);
    }
}

static void draw_cancel_step(struct program *p, struct dice *dice)
{
    struct step *s;

    switch (below(dice, 10)) {
    case 0:
    case 1:
        draw_cancel(p, dice);
        return;
    case 2:
        draw_read(p, dice, (int)PICK(dice, 0, 2));
        return;
    case 3:
        draw_poll(p, dice, (int)PICK(dice, 0, 1, 2, 3));
        p->steps[p->count - 1].len = (uint32_t)PICK(dice, 0, 0, IORING_POLL_ADD_MULTI);
        return;
    case 4:
        s = entry(p, dice, IORING_OP_TIMEOUT, -1);
        s->id = 1;
        s->addr = A_TIME;
        s->len = (uint32_t)PICK(dice, 1, 1, 1, 1, 0);
        s->ns = (uint64_t)PICK(dice, 1000000, HOUR_NS, HOUR_NS);
        s->flags = (uint32_t)PICK(dice, 0, 0, IORING_TIMEOUT_BOOTTIME, IORING_TIMEOUT_REALTIME,
                                  IORING_TIMEOUT_ETIME_SUCCESS, 12);
        return;
    case 5:
        s = entry(p, dice, IORING_OP_TIMEOUT_REMOVE, -1);
        s->id = 2;
        s->addr = A_OP;
        s->word = (uint64_t)PICK(dice, 1, 1, 0);
        if (below(dice, 2)) {
            s->off_is = O_TIME;
            s->ns = (uint64_t)PICK(dice, 1000000, HOUR_NS);
            s->flags = IORING_TIMEOUT_UPDATE;
        }
        return;
    case 6:
        s = entry(p, dice, IORING_OP_POLL_REMOVE, -1);
        s->id = 2;
        s->addr = A_OP;
        s->word = (uint64_t)PICK(dice, 5, 5, 0);
        if (below(dice, 2)) {
            s->len = IORING_POLL_UPDATE_EVENTS;
            s->flags = (uint32_t)PICK(dice, POLLIN, POLLOUT);
        }
        return;
    case 7:
        draw_write(p, dice, (int)PICK(dice, 1, 3));
        p->steps[p->count - 1].id = 3;
        return;
    case 8:
        s = entry(p, dice, IORING_OP_NOP, -1);
        s->id = 3;
        return;
    default:
        if (below(dice, 5) == 0)
            entry(p, dice, IORING_OP_CLOSE, (int)PICK(dice, 0, 1, 2, 3))->id = 3;
    }
}

static void draw_cancels(struct dice *dice, struct program *p)
{
    plain(p, W_PIPE, -1, 0);
    plain(p, W_SOCKETPAIR, -1, 2)->a = SOCK_STREAM;
    while (p->count < STEPS_MAX)
        draw_cancel_step(p, dice);
}

/* ── Registered files and buffers, buffers to pick ─────────────────────────────────────────── */

static void draw_buffer_step(struct program *p, struct dice *dice)
{
    struct step *s;

    switch (below(dice, 13)) {
    case 0:
        s = entry(p, dice, IORING_OP_PROVIDE_BUFFERS, -1);
        s->addr = A_GROUP;
        s->buf = (uint16_t)below(dice, 3);
        s->a = PICK(dice, 1, 2, 4, 0);
        s->len = 32;
        return;
    case 1:
        s = entry(p, dice, IORING_OP_REMOVE_BUFFERS, -1);
        s->buf = (uint16_t)below(dice, 3);
        s->a = PICK(dice, 1, 2, 10, 0);
        return;
    case 2:
    case 3:
    case 4:
        s = entry(p, dice, (uint8_t)PICK(dice, IORING_OP_READ, IORING_OP_RECV),
                  (int)PICK(dice, 0, 2, 4));
        s->id = 0;
        s->sqe_flags = IOSQE_BUFFER_SELECT;
        s->buf = (uint16_t)below(dice, 3);
        s->len = (uint32_t)PICK(dice, 0, 10, 32, 100);
        s->off = s->opcode == IORING_OP_READ ? (uint64_t)PICK(dice, -1, 0) : 0;
        return;
    case 5:
        draw_write(p, dice, (int)PICK(dice, 1, 3));
        return;
    case 6:
        s = plain(p, W_BUF_RING, -1, -1);
        s->a = below(dice, 3);
        s->b = PICK(dice, 0, 0, 1);
        return;
    case 7:
        s = plain(p, W_FILES, (int)PICK(dice, 0, 2, 4), -1);
        s->a = PICK(dice, 0, 0, 1);
        return;
    case 8:
        s = plain(p, W_BUFFERS, -1, -1);
        s->a = PICK(dice, 0, 0, 1);
        return;
    case 9:
    case 10:
        s = entry(p, dice, (uint8_t)PICK(dice, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED), 4);
        s->addr = A_FIXED;
        s->buf = (uint16_t)PICK(dice, 0, 1, 1, 7);
        s->word = below(dice, 50);
        s->len = (uint32_t)PICK(dice, 0, 10, 200, DATA);
        s->off = (uint64_t)PICK(dice, 0, 10);
        return;
    case 11:
        s = entry(p, dice, (uint8_t)PICK(dice, IORING_OP_WRITE, IORING_OP_READ, IORING_OP_FSYNC),
                  (int)PICK(dice, 0, 0, 1, 2, 9));
        s->sqe_flags = IOSQE_FIXED_FILE;
        s->addr = s->opcode == IORING_OP_FSYNC ? A_WORD : A_DATA;
        s->len = s->opcode == IORING_OP_FSYNC ? 0 : 10;
        if (s->opcode == IORING_OP_READ)
            s->id = 0;
        return;
    default:
        if (below(dice, 2)) {
            s = draw_open(p, dice, -1);
            s->flags = O_RDWR | O_CREAT;
            s->file_index = (int32_t)PICK(dice, 3, 4, 1, 9, IORING_FILE_INDEX_ALLOC);
        } else {
            s = entry(p, dice, IORING_OP_CLOSE, -1);
            s->what = W_ENTRY;
            s->file_index = (int32_t)PICK(dice, 3, 4, 1, 9);
        }
    }
}

static void draw_buffers(struct dice *dice, struct program *p)
{
    plain(p, W_PIPE, -1, 0);
    plain(p, W_SOCKETPAIR, -1, 2)->a = SOCK_STREAM;
    draw_open(p, dice, 4)->flags = O_RDWR | O_CREAT;
    while (p->count < STEPS_MAX)
        draw_buffer_step(p, dice);
}

/* ── All ───────────────────────────────────────────────────────────────────────────────────── */

const struct subsystem subsystems[] = {
    {"files", draw_files},      {"directories", draw_directories},
    {"pipes", draw_pipes},      {"sockets", draw_sockets},
    {"eventfd", draw_eventfds}, {"timerfd", draw_timerfds},
    {"epoll", draw_epolls},     {"links", draw_links},
    {"cancels", draw_cancels},  {"buffers", draw_buffers},
};
const int subsystems_count = sizeof subsystems / sizeof *subsystems;

void draw_program(struct program *program, int subsystem, uint64_t seed)
{
    struct dice dice = {seed * 64 + (uint64_t)subsystem};

    memset(program, 0, sizeof *program);
    program->seed = seed;
    program->subsystem = subsystem;
    subsystems[subsystem].draw(&dice, program);
}
