/* SPDX-License-Identifier: MIT */
/*
 * What entries on files, descriptors and a ring's own things answer when they fail. errnos.h says
 * how the tables are read; those of sockets are in test_errnos_net.c.
 */
#include "errnos.h"
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/xattr.h>

int tests_errnos(void);

enum { PIPE_BYTES = 65536 };

static char bytes[PIPE_BYTES];
static char long_name[300], long_path[5000];

static void fill_names(void)
{
    memset(long_name, 'n', sizeof(long_name) - 1);
    memset(long_path, '/', sizeof(long_path) - 1);
}

static uint64_t at(const void *pointer)
{
    return (uintptr_t)pointer;
}

/* ── Every opcode ──────────────────────────────────────────────────────────────────────────── */

/* Of all opcodes, the same entry with `flags`. A flag that no kernel knows is refused before
 * anything else is looked at. */
static void unknown_flags(struct errnos *e)
{
    for (int opcode = 0; opcode < TDW_OP_FIRST; opcode++)
        if (tdw_opcode((uint8_t)opcode)->name[0] != '?')
            ASK_RAW(-EINVAL, .opcode = (uint8_t)opcode, .fd = -1, .flags = 1 << 7);
}

/* Linux 6.10 picks buffers for SEND as well, which only the simulated kernel refuses. */
static void buffers_for_nothing(struct errnos *e)
{
    const struct io_uring_sqe nop = {.opcode = IORING_OP_NOP, .flags = IOSQE_IO_LINK};

    SIM_RAW(-EOPNOTSUPP, .opcode = IORING_OP_SEND, .fd = -1, .flags = IOSQE_BUFFER_SELECT);
    ASK_LINKED(-EOPNOTSUPP, nop, .opcode = IORING_OP_LINK_TIMEOUT, .flags = IOSQE_BUFFER_SELECT);
    for (int opcode = 0; opcode < TDW_OP_FIRST; opcode++)
        if (tdw_opcode_supported((uint8_t)opcode) && !tdw__buffer_selects((uint8_t)opcode) &&
            opcode != IORING_OP_SEND && opcode != IORING_OP_LINK_TIMEOUT)
            ASK_RAW(-EOPNOTSUPP, .opcode = (uint8_t)opcode, .fd = -1, .flags = IOSQE_BUFFER_SELECT);
}

/* A second ring, in place of the side's own, that starts disabled and is restricted so. */
static int restrict_to(struct side *side, struct io_uring_restriction *to, unsigned count)
{
    int err;

    if (side->real) {
        err = real_ring_open_as(&side->ring, IORING_SETUP_R_DISABLED);
        if (!err)
            err = real_ring_register(&side->ring, IORING_REGISTER_RESTRICTIONS, to, count);
        return err ? err : real_ring_register(&side->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    }
    err = tdw_uring_queue_init(SIDES_ENTRIES, &side->uring, IORING_SETUP_R_DISABLED);
    if (!err)
        err = tdw_uring_register_restrictions(&side->uring, to, count);
    return err ? err : tdw_uring_enable_rings(&side->uring);
}

static void on_a_restricted_ring(struct errnos *outer, struct io_uring_restriction *to,
                                 unsigned count, errnos_table_fn *table)
{
    struct side sim = *outer->sim, real;
    struct errnos inner = {.sim = &sim, .real = outer->real ? &real : NULL};

    if (outer->real)
        real = *outer->real;
    BOTH(&inner, restrict_to(side, to, count));
    table(&inner);
    tdw_uring_queue_exit(&sim.uring);
}

static void everything_is_forbidden(struct errnos *e)
{
    for (int opcode = 0; opcode < TDW_OP_FIRST; opcode++)
        if (tdw_opcode_supported((uint8_t)opcode) && opcode != IORING_OP_LINK_TIMEOUT)
            ASK_RAW(-EACCES, .opcode = (uint8_t)opcode, .fd = -1);
}

static void time_outs_are_forbidden(struct errnos *e)
{
    const struct io_uring_sqe nop = {.opcode = IORING_OP_NOP, .flags = IOSQE_IO_LINK};

    ASK_LINKED(-EACCES, nop, .opcode = IORING_OP_LINK_TIMEOUT);
}

static int register_a_file(struct side *side)
{
    static const int none = -1;

    return side->real ? real_ring_register(&side->ring, IORING_REGISTER_FILES, &none, 1)
                      : tdw_uring_register_files(&side->uring, &none, 1);
}

static int register_no_buffer(struct side *side)
{
    static const struct iovec none;

    return side->real ? real_ring_register(&side->ring, IORING_REGISTER_BUFFERS, &none, 1)
                      : tdw_uring_register_buffers(&side->uring, &none, 1);
}

static void asynchronous_nops_are_allowed(struct errnos *e)
{
    ASK_RAW(0, .opcode = IORING_OP_NOP, .flags = IOSQE_ASYNC);
    ASK_RAW(0, .opcode = IORING_OP_NOP, .flags = IOSQE_ASYNC | IOSQE_IO_DRAIN);
    ASK_RAW(-EACCES, .opcode = IORING_OP_NOP);
    ASK_RAW(-EACCES, .opcode = IORING_OP_NOP, .flags = IOSQE_ASYNC | IOSQE_IO_LINK);
    ASK_RAW(-EACCES, .opcode = IORING_OP_CLOSE, .fd = -1, .flags = IOSQE_ASYNC);
    ASK_RAW(-EINVAL, .opcode = IORING_OP_CLOSE, .fd = -1, .flags = 1 << 7);
    BOTH(e, register_a_file(side));
    BOTH(e, register_no_buffer(side) == -EACCES ? 0 : -EPROTO);
}

static int restrict_late(struct side *side, struct io_uring_restriction *to)
{
    return side->real ? real_ring_register(&side->ring, IORING_REGISTER_RESTRICTIONS, to, 1)
                      : tdw_uring_register_restrictions(&side->uring, to, 1);
}

static void restrictions(struct errnos *e)
{
    struct io_uring_restriction nothing[] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = 0}};
    struct io_uring_restriction links[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_IO_LINK}};
    struct io_uring_restriction nops[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_IO_DRAIN},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_ASYNC},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES}};

    on_a_restricted_ring(e, nothing, 1, everything_is_forbidden);
    on_a_restricted_ring(e, links, 2, time_outs_are_forbidden);
    on_a_restricted_ring(e, nops, 4, asynchronous_nops_are_allowed);
    BOTH(e, restrict_late(side, nops) == -EBADFD ? 0 : -EPROTO);
}

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

/* What an entry needs beside its descriptor to come as far as to look at that. */
static void no_descriptor(struct errnos *e)
{
    struct epoll_event event = {.events = EPOLLIN};
    struct open_how how = {.flags = O_RDONLY};
    struct iovec iov = {bytes, 1};
    int none = 99;

    BOTH(e, errnos_register(side, bytes, sizeof(bytes)));
    BOTH(e, errnos_register_files(side, 2));
    ASK(-EBADF, fsync, none, 0);
    ASK(-EBADF, readv, none, &iov, 1, 0);
    ASK(-EBADF, writev, none, &iov, 1, 0);
    ASK(-EBADF, read_fixed, none, bytes, 1, 0, 0);
    ASK(-EBADF, write_fixed, none, bytes, 1, 0, 0);
    ASK(-EBADF, sync_file_range, none, 1, 0, 0);
    ASK(-EBADF, fadvise, none, 0, 1, POSIX_FADV_NORMAL);
    ASK(-EBADF, files_update, &none, 1, 0);
    ASK(-EBADF, openat2, none, "file", &how);
    ASK(-EBADF, epoll_ctl, none, none, EPOLL_CTL_ADD, &event);
    ASK(-EBADF, splice, none, -1, none, -1, 1, 0);
    ASK(-EBADF, tee, none, none, 1, 0);
    ASK(-EBADF, fsetxattr, none, "user.name", bytes, 0, 1);
    ASK(-EBADF, fgetxattr, none, "user.name", bytes, 1);
    ASK_RAW(-EBADF, .opcode = IORING_OP_SETXATTR, .flags = IOSQE_FIXED_FILE);
    ASK_RAW(-EBADF, .opcode = IORING_OP_GETXATTR, .flags = IOSQE_FIXED_FILE);
}

/* The table of registered files is full, then that of descriptors. */
static void no_room_for_a_descriptor(struct errnos *e)
{
    struct open_how how = {.flags = O_RDONLY};
    int fd;

    BOTH(e, errnos_register_files(side, 1));
    GET(openat_direct, AT_FDCWD, ".", O_RDONLY, 0, IORING_FILE_INDEX_ALLOC - 1);
    ASK(-ENFILE, openat_direct, AT_FDCWD, ".", O_RDONLY, 0, IORING_FILE_INDEX_ALLOC - 1);
    ASK(-ENFILE, openat2_direct, AT_FDCWD, ".", &how, IORING_FILE_INDEX_ALLOC - 1);
    do
        fd = GET(openat, AT_FDCWD, ".", O_RDONLY, 0);
    while (fd >= 0 && fd < SIDES_FDS - 1);
    ASK(-EMFILE, openat, AT_FDCWD, ".", O_RDONLY, 0);
    ASK(-EMFILE, openat2, AT_FDCWD, ".", &how);
}

/* ── Paths ─────────────────────────────────────────────────────────────────────────────────── */

static void make_tree(struct errnos *e)
{
    fill_names();
    GET(mkdirat, AT_FDCWD, "dir", 0755);
    GET(openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);
    GET(symlinkat, "loop", AT_FDCWD, "loop");
}

static int make_fifo(struct side *side)
{
    return side->real ? side_result(mkfifo("fifo", 0644))
                      : tdw_sys_mknod("fifo", S_IFIFO | 0644, 0);
}

static void opens(struct errnos *e)
{
    struct open_how how = {.flags = O_RDONLY};
    struct open_how exclusive = {.flags = O_CREAT | O_EXCL};
    struct open_how writing = {.flags = O_WRONLY | O_NONBLOCK};
    struct open_how newer[2] = {{.flags = O_RDONLY}, {.flags = 1}};
    struct open_how cached = {.flags = O_CREAT, .resolve = RESOLVE_CACHED};

    make_tree(e);
    ASK(-EFAULT, openat, AT_FDCWD, NULL, O_RDONLY, 0);
    ASK(-EFAULT, openat2, AT_FDCWD, NULL, &how);
    ASK(-ENAMETOOLONG, openat2, AT_FDCWD, long_name, &how);
    ASK(-ENAMETOOLONG, openat2, AT_FDCWD, long_path, &how);
    ASK(-EEXIST, openat2, AT_FDCWD, "file", &exclusive);
    ASK(-EAGAIN, openat2, AT_FDCWD, "new", &cached);
    ASK(-ENOTDIR, openat2, AT_FDCWD, "file/below", &how);
    ASK(-ELOOP, openat2, AT_FDCWD, "loop", &how);
    ASK(-EISDIR, openat2, AT_FDCWD, "dir", &writing);
    BOTH(e, make_fifo(side));
    ASK(-ENXIO, openat2, AT_FDCWD, "fifo", &writing);
    ASK_RAW(-E2BIG, .opcode = IORING_OP_OPENAT2, .fd = AT_FDCWD, .addr = at("file"),
            .off = at(newer), .len = sizeof(newer));
}

static void names(struct errnos *e)
{
    struct statx statx;
    int fds[2] = {-1, -1};

    make_tree(e);
    ASK(-EFAULT, statx, AT_FDCWD, NULL, 0, STATX_ALL, &statx);
    ASK(-EFAULT, statx, AT_FDCWD, "file", 0, STATX_ALL, NULL);
    ASK(-EFAULT, unlinkat, AT_FDCWD, NULL, 0);
    ASK(-EFAULT, renameat, AT_FDCWD, NULL, AT_FDCWD, "to", 0);
    ASK(-EFAULT, renameat, AT_FDCWD, "file", AT_FDCWD, NULL, 0);
    ASK(-EFAULT, mkdirat, AT_FDCWD, NULL, 0755);
    ASK(-EFAULT, symlinkat, NULL, AT_FDCWD, "to");
    ASK(-EFAULT, linkat, AT_FDCWD, "file", AT_FDCWD, NULL, 0);
    ASK(-EBUSY, unlinkat, AT_FDCWD, "/", AT_REMOVEDIR);
    BOTH(e, side_pipe(side, fds));
    ASK(-EXDEV, linkat, fds[0], "", AT_FDCWD, "pipe", AT_EMPTY_PATH);
    ASK_RAW(-EINVAL, .opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = at("d"), .off = 1);
    ASK_RAW(-EINVAL, .opcode = IORING_OP_SYMLINKAT, .fd = AT_FDCWD, .addr = at("d"), .off = at("e"),
            .len = 1);
}

/* A file has so many names and no more; that many takes the machine's own disk too long. */
static void links(struct errnos *e)
{
    char name[16];

    make_tree(e);
    for (int i = 1; i < TDW_LINKS_MAX; i++) {
        snprintf(name, sizeof(name), "dir/%d", i);
        SIM(0, linkat, AT_FDCWD, "file", AT_FDCWD, name, 0);
    }
    SIM(-EMLINK, linkat, AT_FDCWD, "file", AT_FDCWD, "one-more", 0);
}

static void attributes(struct errnos *e)
{
    static const struct {
        int32_t res;
        const char *path;
    } cases[] = {{-EFAULT, NULL},  {-ENOENT, "none"},          {-ENOTDIR, "file/below"},
                 {-ELOOP, "loop"}, {-ENAMETOOLONG, long_name}, {-ENAMETOOLONG, long_path}};
    char value[8] = "value";
    int file;

    make_tree(e);
    for (size_t i = 0; i < sizeof(cases) / sizeof *cases; i++) {
        ASK(cases[i].res, setxattr, "user.name", value, cases[i].path, 0, 5);
        ASK(cases[i].res, getxattr, "user.name", value, cases[i].path, 5);
    }
    file = GET(openat, AT_FDCWD, "file", O_RDWR, 0);
    ASK(-EFAULT, fsetxattr, file, NULL, value, 0, 5);
    ASK(-EFAULT, fgetxattr, file, NULL, value, 5);
    ASK(-EFAULT, setxattr, NULL, value, "file", 0, 5);
    ASK(-EFAULT, getxattr, NULL, value, "file", 5);
}

/* Whether there are any is the file system's to say; test_files_ring.c compares them. */
static void attribute_values(struct errnos *e)
{
    char value[8] = "value", name[300] = "user.";
    int file, fifo;

    make_tree(e);
    tdw_sys_mknod("fifo", S_IFIFO | 0644, 0);
    file = SIM(0, openat, AT_FDCWD, "file", O_RDWR, 0);
    fifo = SIM(0, openat, AT_FDCWD, "fifo", O_RDWR, 0);
    memset(name + 5, 'n', sizeof(name) - 6);
    SIM(-ENODATA, fgetxattr, file, "user.a", value, 5);
    SIM(-ENODATA, fsetxattr, file, "user.a", value, XATTR_REPLACE, 5);
    SIM(-ENODATA, setxattr, "user.a", value, "file", XATTR_REPLACE, 5);
    SIM(0, setxattr, "user.a", value, "file", 0, 5);
    SIM(0, fgetxattr, file, "user.a", value, 5);
    SIM(-ERANGE, fgetxattr, file, "user.a", value, 4);
    SIM(-ERANGE, getxattr, "user.a", value, "file", 4);
    SIM(-EEXIST, fsetxattr, file, "user.a", value, XATTR_CREATE, 5);
    SIM(-EEXIST, setxattr, "user.a", value, "file", XATTR_CREATE, 5);
    SIM(-ERANGE, fsetxattr, file, name, value, 0, 5);
    SIM(-ERANGE, setxattr, name, value, "file", 0, 5);
    SIM(-EPERM, fsetxattr, fifo, "user.a", value, 0, 5);
}

/* ── Bytes ─────────────────────────────────────────────────────────────────────────────────── */

/* An entry that reads or writes, with its flags. */
#define RW(op, file, address, size, flags)                                                         \
    .opcode = IORING_OP_##op, .fd = (file), .addr = at(address), .len = (size), .rw_flags = (flags)

static void transfers(struct errnos *e)
{
    struct iovec iov = {bytes, 8};
    const int unknown = 1 << 20;
    int empty[2] = {-1, -1}, full[2] = {-1, -1};
    int file, dir;

    make_tree(e);
    BOTH(e, errnos_register(side, bytes, sizeof(bytes)));
    file = GET(openat, AT_FDCWD, "file", O_RDWR, 0);
    GET(write, file, bytes, 64, 0);
    ASK_RAW(-EFAULT, RW(READ, file, NULL, 8, 0));
    ASK_RAW(-EFAULT, RW(WRITE, file, NULL, 8, 0));
    ASK_RAW(-EFAULT, RW(READV, file, NULL, 1, 0));
    ASK_RAW(-EFAULT, RW(WRITEV, file, NULL, 1, 0));
    ASK_RAW(-EOPNOTSUPP, RW(READV, file, &iov, 1, unknown));
    ASK_RAW(-EOPNOTSUPP, RW(WRITEV, file, &iov, 1, unknown));
    ASK_RAW(-EINVAL, RW(WRITEV, file, &iov, 1, RWF_HIPRI));

    ASK_RAW(-EOPNOTSUPP, RW(READ, file, bytes, 8, unknown));
    ASK_RAW(-EFAULT, RW(READ_FIXED, file, bytes + sizeof(bytes), 8, 0));
    ASK_RAW(-EFAULT, RW(WRITE_FIXED, file, bytes + sizeof(bytes), 8, 0));
    dir = GET(openat, AT_FDCWD, "dir", O_RDONLY, 0);
    ASK_RAW(-EISDIR, RW(READV, dir, &iov, 1, 0));
    ASK_RAW(-EISDIR, RW(READ_FIXED, dir, bytes, 8, 0));

    BOTH(e, side_pipe(side, empty));
    ASK_RAW(-EAGAIN, RW(READ, empty[0], bytes, 8, RWF_NOWAIT));
    ASK_RAW(-EAGAIN, RW(READV, empty[0], &iov, 1, RWF_NOWAIT));
    ASK_RAW(-EAGAIN, RW(READ_FIXED, empty[0], bytes, 8, RWF_NOWAIT));
    BOTH(e, side_pipe(side, full));
    GET(write, full[1], bytes, PIPE_BYTES, 0);
    ASK_RAW(-EAGAIN, RW(WRITE, full[1], bytes, 8, RWF_NOWAIT));
    ASK_RAW(-EAGAIN, RW(WRITEV, full[1], &iov, 1, RWF_NOWAIT));
    ASK_RAW(-EAGAIN, RW(WRITE_FIXED, full[1], bytes, 8, RWF_NOWAIT));
    GET(close, full[0]);
    ASK_RAW(-EPIPE, RW(WRITEV, full[1], &iov, 1, 0));
    ASK_RAW(-EPIPE, RW(WRITE_FIXED, full[1], bytes, 8, 0));
}

static void hints_and_moves(struct errnos *e)
{
    int fds[2] = {-1, -1}, others[2] = {-1, -1};
    int file;

    make_tree(e);
    file = GET(openat, AT_FDCWD, "file", O_RDWR, 0);
    BOTH(e, side_pipe(side, fds));
    BOTH(e, side_pipe(side, others));
    ASK(0, sync_file_range, file, 1, 0, 0);
    ASK(-ESPIPE, sync_file_range, fds[0], 1, 0, 0);
    ASK(0, fadvise, file, 0, 1, POSIX_FADV_WILLNEED);
    ASK(-ESPIPE, fadvise, fds[0], 0, 1, POSIX_FADV_WILLNEED);
    ASK(-EAGAIN, splice, fds[0], -1, others[1], -1, 1, SPLICE_F_NONBLOCK);
    ASK(-ESPIPE, splice, fds[0], 0, others[1], -1, 1, 0);
    ASK(-EAGAIN, tee, fds[0], others[1], 1, SPLICE_F_NONBLOCK);
}

/* How far a file reaches, and how much there is room for, is the file system's to say. */
static void limits(struct errnos *e)
{
    const int file = SIM(0, openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);
    struct tdw_disk *disk = tdw__process()->files->disk;
    struct iovec iov = {bytes, 8};

    BOTH(e, errnos_register(side, bytes, sizeof(bytes)));
    disk->file_bytes_max = PIPE_BYTES;
    SIM(-EFBIG, writev, file, &iov, 1, disk->file_bytes_max);
    SIM(-EFBIG, write_fixed, file, bytes, 8, disk->file_bytes_max, 0);
    disk->bytes_max = 1;
    SIM(-ENOSPC, writev, file, &iov, 1, 0);
    SIM(-ENOSPC, write_fixed, file, bytes, 8, 0, 0);
}

/* ── Things of a ring ──────────────────────────────────────────────────────────────────────── */

static int epoll_of(const struct side *side)
{
    return side->real ? side_result(epoll_create1(0)) : tdw_sys_epoll_create1(0);
}

static void epolls(struct errnos *e)
{
    struct epoll_event event = {.events = EPOLLIN};
    const int epoll = BOTH(e, epoll_of(side)), within = BOTH(e, epoll_of(side));
    const int ready = BOTH(e, side_eventfd(side, 1));
    const int file = GET(openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);

    ASK(-EFAULT, epoll_ctl, epoll, ready, EPOLL_CTL_ADD, NULL);
    ASK(-EPERM, epoll_ctl, epoll, file, EPOLL_CTL_ADD, &event);
    ASK(-ENOENT, epoll_ctl, epoll, ready, EPOLL_CTL_MOD, &event);
    ASK(-ENOENT, epoll_ctl, epoll, ready, EPOLL_CTL_DEL, NULL);
    GET(epoll_ctl, epoll, ready, EPOLL_CTL_ADD, &event);
    ASK(-EEXIST, epoll_ctl, epoll, ready, EPOLL_CTL_ADD, &event);
    GET(epoll_ctl, epoll, within, EPOLL_CTL_ADD, &event);
    ASK(-ELOOP, epoll_ctl, within, epoll, EPOLL_CTL_ADD, &event);
}

static void of_the_ring(struct errnos *e)
{
    const struct io_uring_sqe nop = {.opcode = IORING_OP_NOP, .flags = IOSQE_IO_LINK};
    struct __kernel_timespec long_time = {.tv_sec = 1000};
    int fds[2] = {-1, -1}, none[2] = {-1, -1};

    ASK(-EFAULT, timeout, NULL, 0, 0);
    ASK_LINKED(-EFAULT, nop, .opcode = IORING_OP_LINK_TIMEOUT, .len = 1);
    ASK(-EFAULT, timeout_update, NULL, 1, 0);
    ASK(-ENOENT, timeout_update, &long_time, 1 << 20, 0);
    ASK_RAW(-EFAULT, .opcode = IORING_OP_PROVIDE_BUFFERS, .fd = 1, .len = 8, .addr = 1ull << 63);
    ASK_RAW(-EOVERFLOW, .opcode = IORING_OP_PROVIDE_BUFFERS, .fd = 2, .len = 8,
            .addr = UINT64_MAX - 8);
    BOTH(e, errnos_register_files(side, 2));
    ASK(-EFAULT, files_update, NULL, 1, 0);
    ASK(-EOVERFLOW, files_update, none, 2, -2);
    ASK(-E2BIG, provide_buffers, bytes, 8, 1 << 17, 1, 0);
    ASK(-ENOENT, remove_buffers, 1, 1);
    GET(provide_buffers, bytes, 8, 2, 1, 0);
    ASK(0, remove_buffers, 1, 1);
    BOTH(e, side_pipe(side, fds));
    ASK_RAW(-EINVAL, .opcode = IORING_OP_POLL_ADD, .fd = fds[0], .buf_index = 1);
}

/* ── What has begun ────────────────────────────────────────────────────────────────────────── */

/* The results of the last races, by user_data. */
static int32_t raced[8];

static void race(struct io_uring *ring, int32_t entries)
{
    struct io_uring_cqe *cqe;

    tdw_uring_submit(ring);
    for (int32_t i = 0; i < entries; i++) {
        tdw_uring_wait_cqe(ring, &cqe);
        raced[cqe->user_data] = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
}

/* liburing of later releases leaves user_data alone, that of earlier ones clears it. */
#define ENTRY(ring, id, verb, ...)                                                                 \
    (__extension__({                                                                               \
        struct io_uring_sqe *entry_ = io_uring_get_sqe(ring);                                      \
        io_uring_prep_##verb(entry_, __VA_ARGS__);                                                 \
        entry_->user_data = (id);                                                                  \
        entry_;                                                                                    \
    }))

/* A sync is asked to end, and a poll to change its mind, while what they wait for comes about. */
static void races(void *unused)
{
    struct io_uring *ring = tdw_malloc(sizeof(*ring));
    const int event = tdw_sys_eventfd(0, 0), file = tdw_open("file", O_RDWR | O_CREAT, 0644);
    const uint64_t one = 1;

    (void)unused;
    tdw_uring_queue_init(8, ring, 0);
    ENTRY(ring, 1, fsync, file, 0);
    ENTRY(ring, 2, cancel64, 1, 0);
    ENTRY(ring, 3, poll_add, event, POLLIN);
    ENTRY(ring, 4, write, event, &one, sizeof(one), 0);
    ENTRY(ring, 5, poll_update, 3, 0, POLLIN, IORING_POLL_UPDATE_EVENTS);
    race(ring, 5);
    tdw_uring_queue_exit(ring);
}

static void races_main(void *unused)
{
    tdw_spawn_stackful("races", races, unused);
}

/* Whether it is too late depends on the run; what else there can be is that it had ended. */
static void what_takes_effect_cannot_be_stopped(void **state)
{
    struct tdw_world_options options = {.strategy = TDW_RANDOM};
    int late_cancels = 0, late_updates = 0;

    (void)state;
    for (; options.seed < 64; options.seed += 2) {
        assert_int_equal(tdw_test_run(&options, races_main, NULL, NULL), 0);
        assert_int_equal(raced[1], 0);
        assert_true(raced[2] == -EALREADY || raced[2] == -ENOENT);
        assert_int_equal(raced[3], POLLIN);
        assert_true(raced[5] == 0 || raced[5] == -EALREADY || raced[5] == -ENOENT);
        late_cancels += raced[2] == -EALREADY;
        late_updates += raced[5] == -EALREADY;
    }
    assert_true(late_cancels > 0);
    assert_true(late_updates > 0);
}

/* A time-out that waits for its turn does not run yet, so there is nothing to remove. */
static void held(void *unused)
{
    struct io_uring *ring = tdw_malloc(sizeof(*ring));
    struct __kernel_timespec time = {.tv_sec = 1};
    uint64_t count;

    (void)unused;
    tdw_uring_queue_init(8, ring, 0);
    ENTRY(ring, 1, read, tdw_sys_eventfd(0, 0), &count, sizeof(count), 0)->flags = IOSQE_IO_LINK;
    ENTRY(ring, 2, timeout, &time, 0, 0);
    ENTRY(ring, 3, timeout_update, &time, 2, 0);
    ENTRY(ring, 4, timeout_remove, 2, 0);
    race(ring, 2);
    tdw_uring_queue_exit(ring);
}

static void held_main(void *unused)
{
    tdw_spawn_stackful("held", held, unused);
}

static void a_time_out_that_waits_for_its_turn_is_not_found(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};

    (void)state;
    assert_int_equal(tdw_test_run(&calm, held_main, NULL, NULL), 0);
    assert_int_equal(raced[3], -ENOENT);
    assert_int_equal(raced[4], -ENOENT);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

#define TABLE(name, table, both)                                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        errnos_check(table, both);                                                                 \
    }

TABLE(every_opcode_refuses_flags_that_nobody_knows, unknown_flags, true)
TABLE(most_opcodes_have_no_use_for_a_picked_buffer, buffers_for_nothing, true)
TABLE(a_restricted_ring_does_what_it_may, restrictions, true)
TABLE(unknown_descriptors_answer_as_linux, no_descriptor, true)
TABLE(full_descriptor_tables_answer_as_linux, no_room_for_a_descriptor, true)
TABLE(opens_answer_as_linux, opens, true)
TABLE(names_answer_as_linux, names, true)
TABLE(a_file_has_so_many_names_and_no_more, links, false)
TABLE(extended_attributes_answer_as_linux, attributes, true)
TABLE(values_of_extended_attributes_are_checked, attribute_values, false)
TABLE(transfers_answer_as_linux, transfers, true)
TABLE(hints_and_moves_answer_as_linux, hints_and_moves, true)
TABLE(files_and_disks_have_their_limits, limits, false)
TABLE(epolls_answer_as_linux, epolls, true)
TABLE(entries_about_the_ring_answer_as_linux, of_the_ring, true)

int tests_errnos(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_opcode_refuses_flags_that_nobody_knows),
        cmocka_unit_test(most_opcodes_have_no_use_for_a_picked_buffer),
        cmocka_unit_test(a_restricted_ring_does_what_it_may),
        cmocka_unit_test(unknown_descriptors_answer_as_linux),
        cmocka_unit_test(full_descriptor_tables_answer_as_linux),
        cmocka_unit_test(opens_answer_as_linux),
        cmocka_unit_test(names_answer_as_linux),
        cmocka_unit_test(a_file_has_so_many_names_and_no_more),
        cmocka_unit_test(extended_attributes_answer_as_linux),
        cmocka_unit_test(values_of_extended_attributes_are_checked),
        cmocka_unit_test(transfers_answer_as_linux),
        cmocka_unit_test(hints_and_moves_answer_as_linux),
        cmocka_unit_test(files_and_disks_have_their_limits),
        cmocka_unit_test(epolls_answer_as_linux),
        cmocka_unit_test(entries_about_the_ring_answer_as_linux),
        cmocka_unit_test(what_takes_effect_cannot_be_stopped),
        cmocka_unit_test(a_time_out_that_waits_for_its_turn_is_not_found),
    };

    return cmocka_run_group_tests_name("errnos", tests, NULL, NULL);
}
