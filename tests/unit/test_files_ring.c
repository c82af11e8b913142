/* SPDX-License-Identifier: MIT */
/*
 * What only io_uring has, against the machine's own io_uring: registered files and buffers, direct
 * descriptors, provided buffers, and the file operations that are easier to reach from there.
 *
 * As test_files_real.c, whose sibling this is: a program is drawn from a seed and runs on both
 * sides, call by call. Each side has a memory of the same layout, at addresses of its own; an
 * entry is drawn once, with offsets into that memory, and laid over each. After each call the
 * results, the flags of the completions and the whole of both memories must be the same.
 *
 * Bytes that Linux moves out of a file into a pipe are the file's own pages, and change with it
 * while they wait there; in sim they are what was moved. So only a file that is never written to is
 * moved into pipes here.
 *
 * The real side is a child process with nothing open but its ring, in a scratch directory. Where
 * there is no io_uring the test is skipped.
 */
#include "dice.h"
#include "files_rig.h"
#include "real_ring.h"
#include "tests.h"
#include <tidewheel/register.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <sys/xattr.h>

int tests_files_ring(void);

#define SOURCE "source" /* the file that is only read */

enum {
    PROGRAMS = 200,
    STEPS = 150,
    FDS = 16,
    SLOTS = 8,
    DATA_BYTES = 16384,
    SOURCE_BYTES = 30000,
    RING_ENTRIES = 8,
    GROUPS = 3, /* of provided buffers; the last is a ring */
    REPORT_BYTES = 1 << 16,
};

/* ── Drawing ───────────────────────────────────────────────────────────────────────────────── */

/* One side's memory. */
struct memory {
    _Alignas(4096) struct io_uring_buf ring[RING_ENTRIES]; /* of provided buffers */
    _Alignas(4096) char data[DATA_BYTES];
    char paths[2][64];
    struct iovec iov[4];
    int fds[8];
    char names[2][300];
    struct open_how how;
    uint64_t how_more; /* what a later kernel might know */
};

/* Words of an entry that hold addresses, as offsets into the memory. */
enum { AT_ADDR = 1, AT_OFF = 2, AT_ADDR3 = 4 };

enum call {
    C_ENTRY, /* of the kernel's, in `sqe` */
    C_REGISTER_FILES,
    C_REGISTER_FILES_SPARSE,
    C_UNREGISTER_FILES,
    C_UPDATE_FILES,
    C_ALLOC_RANGE,
    C_REGISTER_BUFFERS,
    C_UPDATE_BUFFERS,
    C_UNREGISTER_BUFFERS,
    C_REGISTER_BUF_RING,
    C_UNREGISTER_BUF_RING,
    C_FILL_BUF_RING,
    C_PIPE,
    C_PIPE_SIZE,
    C_SENDFILE,
    C_COPY_FILE_RANGE,
    C_SEEK,
    C_EVENTFD,
    C_LISTXATTR,
    C_REMOVEXATTR,
};

struct action {
    enum call call;
    struct io_uring_sqe sqe;
    uint32_t at;         /* AT_* */
    uint32_t off, count; /* of a call */
    int flags;
    int fds[8];
    char paths[2][64], names[2][300];
    struct open_how how;
    struct { /* vectors, relative to `data`; -1: NULL */
        int64_t base;
        size_t bytes;
    } iov[4];
};

static bool pipes; /* the program is mostly about pipes: 3 and 5 to read, 4 and 6 to write */

static int a_fd(struct dice *dice)
{
    return (int)PICK(dice, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, below(dice, FDS), -1);
}

static int a_slot(struct dice *dice)
{
    return (int)PICK(dice, 0, 1, 2, 3, 4, below(dice, SLOTS), below(dice, SLOTS + 2));
}

static uint32_t a_file_index(struct dice *dice)
{
    return (uint32_t)PICK(dice, 0, 0, 1, 2, 3, 4, SLOTS, SLOTS + 1, IORING_FILE_INDEX_ALLOC,
                          IORING_FILE_INDEX_ALLOC, IORING_FILE_INDEX_ALLOC);
}

/* A descriptor or a slot. */
static void a_file(struct dice *dice, struct io_uring_sqe *sqe)
{
    sqe->fd = a_fd(dice);
    if (below(dice, 2)) {
        sqe->fd = a_slot(dice);
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

static uint64_t an_offset(struct dice *dice)
{
    return (uint64_t)PICK(dice, 0, 0, 0, 1, 100, 4095, 4096, 5000, 9000, -1, -1, -1, -5);
}

static uint32_t a_length(struct dice *dice)
{
    return (uint32_t)PICK(dice, 0, 1, 8, 8, 8, 100, 512, 4000, 4096, 5000);
}

/* Where in `data` registered and provided buffers lie, and what reads and writes use. */
static uint32_t a_place(struct dice *dice)
{
    return (uint32_t)PICK(dice, 0, 0, 1, 100, 1000, 2048, 4096, 4097, 6000, 8192, 8192 + 3000);
}

static void draw_rw(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;
    static const uint8_t plain[] = {IORING_OP_READ, IORING_OP_WRITE};
    static const uint8_t fixed[] = {IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED};
    const uint32_t which = below(dice, 2);

    a_file(dice, sqe);
    if (pipes && below(dice, 3)) {
        sqe->fd = (int)PICK(dice, 3, 5) + (which == 1);
        sqe->flags = 0;
    }
    sqe->off = an_offset(dice);
    sqe->len = a_length(dice);
    sqe->addr = a_place(dice);
    a->at = AT_ADDR;
    if (below(dice, 40) == 0)
        sqe->rw_flags = 1 << 20;
    if (below(dice, 2)) {
        sqe->opcode = fixed[which];
        sqe->buf_index = (uint16_t)PICK(dice, 0, 0, 0, 1, 1, 2, 3, 4, 5);
        if (below(dice, 3)) { /* within what was registered at the beginning */
            sqe->addr = sqe->buf_index * 3000u + below(dice, 3000);
            sqe->len = below(dice, 1000);
        }
        return;
    }
    sqe->opcode = plain[which];
    if (which == 1 ? below(dice, 30) : below(dice, 3))
        return;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)below(dice, GROUPS + (below(dice, 10) == 0));
    sqe->addr = 0;
    a->at = 0;
    sqe->len = (uint32_t)PICK(dice, 0, 0, 4, 8, 100, 2000);
}

static void draw_readv(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    a_file(dice, sqe);
    sqe->opcode = IORING_OP_READV;
    sqe->off = an_offset(dice);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = (uint16_t)below(dice, GROUPS);
    sqe->len = (uint32_t)PICK(dice, 1, 1, 1, 1, 0, 2);
    sqe->addr = offsetof(struct memory, iov) - offsetof(struct memory, data);
    a->at = AT_ADDR;
    for (uint32_t i = 0; i < 2; i++) {
        a->iov[i].base = -1;
        a->iov[i].bytes = (size_t)PICK(dice, 0, 4, 100);
    }
}

static void a_name(struct dice *dice, char *path)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "dir", "dir/f", "none/x", SOURCE};

    snprintf(path, 64, "%s", names[below(dice, 9)]);
}

static void draw_open(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    a_name(dice, a->paths[0]);
    sqe->opcode = IORING_OP_OPENAT;
    sqe->fd = below(dice, 10) ? AT_FDCWD : a_fd(dice);
    sqe->addr = offsetof(struct memory, paths) - offsetof(struct memory, data);
    a->at = AT_ADDR;
    sqe->len = 0644;
    sqe->open_flags = (uint32_t)PICK(dice, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY);
    sqe->open_flags |= (uint32_t)PICK(dice, O_CREAT, O_CREAT, O_CREAT, 0, O_TRUNC | O_CREAT, O_PATH,
                                      O_APPEND, O_DIRECTORY);
    if (below(dice, 8) == 0)
        sqe->open_flags |= O_CLOEXEC;
    if (strcmp(a->paths[0], SOURCE) == 0)
        sqe->open_flags &= O_CLOEXEC;
    sqe->file_index = a_file_index(dice);
}

#define IN_MEMORY(member) (offsetof(struct memory, member) - offsetof(struct memory, data))

static void draw_open2(struct dice *dice, struct action *a)
{
    static const char *const paths[] = {"a",      "dir/f", "dir/../a", "link", "dir/up",
                                        "dir",    "abs",   "/etc",     "..",   "dir/../../x",
                                        "none/x", "loop",  "dir/in",   ""};
    struct io_uring_sqe *sqe = &a->sqe;

    snprintf(a->paths[0], sizeof(a->paths[0]), "%s", paths[below(dice, 14)]);
    sqe->opcode = IORING_OP_OPENAT2;
    sqe->fd = below(dice, 3) ? AT_FDCWD : a_fd(dice);
    sqe->addr = IN_MEMORY(paths);
    sqe->off = IN_MEMORY(how);
    a->at = AT_ADDR | AT_OFF;
    sqe->len = (uint32_t)PICK(dice, 24, 24, 24, 24, 24, 24, 24, 16, 28, 32);
    a->how.flags = (uint64_t)PICK(dice, O_RDONLY, O_RDONLY, O_RDWR, O_PATH, O_PATH | O_NOFOLLOW,
                                  O_RDWR | O_CREAT, O_PATH | O_RDWR, 1 << 30, O_TMPFILE | O_RDWR,
                                  O_DIRECTORY, O_CREAT | O_DIRECTORY, O_NOFOLLOW);
    a->how.mode = (uint64_t)PICK(dice, 0, 0, 0644, 010000);
    if (a->how.flags & O_CREAT && below(dice, 4))
        a->how.mode = 0644;
    a->how.resolve =
        (uint64_t)PICK(dice, 0, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
                       RESOLVE_NO_XDEV, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT,
                       RESOLVE_BENEATH | RESOLVE_IN_ROOT, 1 << 10, RESOLVE_NO_MAGICLINKS);
    if (below(dice, 3)) { /* nothing to refuse at once */
        sqe->len = sizeof(a->how);
        a->how.flags = (uint64_t)PICK(dice, O_RDONLY, O_RDONLY, O_PATH, O_PATH | O_NOFOLLOW,
                                      O_RDONLY | O_DIRECTORY);
        a->how.mode = 0;
        a->how.resolve =
            (uint64_t)PICK(dice, 0, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT);
    }
    if (!(a->how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) &&
        (*a->paths[0] == '/' || strstr(a->paths[0], "..") || strcmp(a->paths[0], "abs") == 0))
        snprintf(a->paths[0], sizeof(a->paths[0]), "link"); /* what is outside is left alone */
    sqe->file_index = a_file_index(dice);
    a->off = below(dice, 2);
}

static void an_xattr_name(struct dice *dice, char name[300])
{
    static const char *const names[] = {"user.a",     "user.a",     "user.b", "user.c",
                                        "trusted.a",  "security.a", "user.",  "a",
                                        "system.foo", "user",       ".a",     ""};

    snprintf(name, 300, "%s", names[below(dice, below(dice, 3) ? 4 : 12)]);
    if (below(dice, 30) == 0) {
        memset(name, 'n', 280);
        memcpy(name, "user.", 5);
        name[PICK(dice, 254, 255, 256, 279)] = '\0';
    }
}

static void draw_xattr(struct dice *dice, struct action *a)
{
    static const uint8_t opcodes[] = {IORING_OP_FSETXATTR, IORING_OP_SETXATTR, IORING_OP_FGETXATTR,
                                      IORING_OP_GETXATTR};
    struct io_uring_sqe *sqe = &a->sqe;
    const uint32_t which = below(dice, 4);

    an_xattr_name(dice, a->names[0]);
    if (below(dice, 6) == 0) {
        a->call = below(dice, 2) ? C_LISTXATTR : C_REMOVEXATTR;
        sqe->fd = a_fd(dice);
        a->count = (uint32_t)PICK(dice, 0, 3, 100, 2000);
        return;
    }
    sqe->opcode = opcodes[which];
    a_file(dice, sqe);
    sqe->addr = IN_MEMORY(names);
    sqe->off = a_place(dice);
    a->at = AT_ADDR | AT_OFF;
    sqe->len = (uint32_t)PICK(dice, 0, 1, 5, 40, 100, which < 2 ? 65537 : 300);
    if (which % 2 == 1) { /* by path */
        a_name(dice, a->paths[0]);
        sqe->flags = below(dice, 30) ? 0 : sqe->flags;
        sqe->addr3 = IN_MEMORY(paths);
        a->at |= AT_ADDR3;
    }
    sqe->xattr_flags = (uint32_t)PICK(dice, 0, 0, 0, XATTR_CREATE, XATTR_REPLACE, 3, 4);
    if (which >= 2 && below(dice, 20))
        sqe->xattr_flags = 0;
}

static void draw_advice(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    a_file(dice, sqe);
    sqe->opcode = below(dice, 2) ? IORING_OP_SYNC_FILE_RANGE : IORING_OP_FADVISE;
    sqe->off = an_offset(dice);
    sqe->len = a_length(dice);
    sqe->fadvise_advice = below(dice, 10);
    if (below(dice, 10) == 0)
        sqe->addr = (uint64_t)PICK(dice, 1, -1, 5000);
    if (below(dice, 20) == 0)
        sqe->buf_index = 1;
}

static void draw_close(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    sqe->opcode = IORING_OP_CLOSE;
    if (below(dice, 2)) {
        sqe->file_index = (uint32_t)a_slot(dice) + 1;
        sqe->fd = below(dice, 20) == 0;
    } else {
        sqe->fd = a_fd(dice);
    }
    if (below(dice, 30) == 0)
        sqe->flags |= IOSQE_FIXED_FILE;
}

static void draw_other(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    a_file(dice, sqe);
    switch (below(dice, 4)) {
    case 0:
        sqe->opcode = IORING_OP_FSYNC;
        break;
    case 1:
        sqe->opcode = IORING_OP_FALLOCATE;
        sqe->len = (uint32_t)PICK(dice, 0, FALLOC_FL_KEEP_SIZE);
        sqe->off = below(dice, 10000);
        sqe->addr = below(dice, 10000);
        break;
    case 2:
        sqe->opcode = TDW_OP_FTRUNCATE;
        sqe->off = below(dice, 10000);
        break;
    default:
        sqe->opcode = IORING_OP_POLL_ADD;
        sqe->poll32_events = POLLIN | POLLOUT;
    }
}

static void draw_splice(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    a_file(dice, sqe);
    sqe->splice_fd_in = a_fd(dice);
    if (pipes && below(dice, 8)) {
        sqe->fd = (int)PICK(dice, 4, 4, 6, 6, 0, 1);
        sqe->flags = 0;
        sqe->splice_fd_in = (int)PICK(dice, 3, 5, sqe->fd < 3 ? 3 : 7);
    }
    sqe->len = (uint32_t)PICK(dice, 0, 1, 100, 100, 4096, 5000, 70000);
    sqe->splice_flags = (uint32_t)PICK(dice, 0, 0, 0, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, 1 << 6);
    if (below(dice, pipes ? 12 : 3) == 0) {
        sqe->splice_fd_in = a_slot(dice);
        sqe->splice_flags |= SPLICE_F_FD_IN_FIXED;
    }
    if (below(dice, 4) == 0) {
        sqe->opcode = IORING_OP_TEE;
        sqe->off = below(dice, 20) == 0;
        return;
    }
    sqe->opcode = IORING_OP_SPLICE;
    sqe->splice_off_in = sqe->off = UINT64_MAX;
    if (below(dice, 3) == 0)
        sqe->splice_off_in = (uint64_t)PICK(dice, -1, 0, 100, 4000, -2);
    if (below(dice, 3) == 0)
        sqe->off = (uint64_t)PICK(dice, -1, 0, 100, 4000, -2);
}

/* Out: `fd`, in: `fds[0]`; offsets in `iov[].base`, or none. */
static void draw_copy(struct dice *dice, struct action *a)
{
    a->call = below(dice, 2) ? C_SENDFILE : C_COPY_FILE_RANGE;
    a->sqe.fd = pipes && below(dice, 3) ? (int)PICK(dice, 0, 1, 4, 6) : a_fd(dice);
    a->fds[0] = pipes && below(dice, 3) ? (int)PICK(dice, 0, 1, 7, 7) : a_fd(dice);
    for (uint32_t i = 0; i < 2; i++) {
        a->sqe.flags |= (uint8_t)(below(dice, 2) << i);
        a->iov[i].base = PICK(dice, 0, 0, 1, 100, 4000, 5000, 9000, -1, -100, INT64_MAX - 50);
    }
    a->count = (uint32_t)PICK(dice, 0, 1, 100, 4096, 5000, 70000, 200000);
    a->flags = below(dice, 20) == 0;
}

static void draw_files_update(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;

    sqe->opcode = IORING_OP_FILES_UPDATE;
    sqe->fd = -1;
    sqe->len = below(dice, 4);
    sqe->off =
        (uint64_t)PICK(dice, 0, 1, 3, SLOTS - 1, SLOTS, UINT32_MAX - 1, UINT32_MAX, UINT32_MAX);
    sqe->addr = offsetof(struct memory, fds) - offsetof(struct memory, data);
    a->at = AT_ADDR;
    for (uint32_t i = 0; i < 8; i++)
        a->fds[i] = (int)PICK(dice, a_fd(dice), a_fd(dice), a_fd(dice), -1, -2, -3);
    if (below(dice, 20) == 0)
        sqe->rw_flags = 1;
}

static void draw_provide(struct dice *dice, struct action *a)
{
    struct io_uring_sqe *sqe = &a->sqe;
    const int bid = (int)PICK(dice, 0, 1, 7, 100, 65534, 65535, 65536);

    if (below(dice, 3) == 0) {
        io_uring_prep_remove_buffers(sqe, (int)PICK(dice, 0, 1, 1, 2, 65536, 65537),
                                     (int)below(dice, GROUPS + 1));
        return;
    }
    io_uring_prep_provide_buffers(sqe, NULL, (int)PICK(dice, 0, 1, 8, 8, 100, 100),
                                  (int)PICK(dice, 0, 1, 1, 2, 3, 65537), (int)below(dice, GROUPS),
                                  bid);
    sqe->addr = a_place(dice);
    a->at = AT_ADDR;
}

static void draw_call(struct dice *dice, struct action *a)
{
    a->call = (enum call)PICK(
        dice, C_REGISTER_FILES, C_REGISTER_FILES_SPARSE, C_UNREGISTER_FILES, C_UPDATE_FILES,
        C_UPDATE_FILES, C_UPDATE_FILES, C_ALLOC_RANGE, C_REGISTER_BUFFERS, C_UPDATE_BUFFERS,
        C_UPDATE_BUFFERS, C_UNREGISTER_BUFFERS, C_REGISTER_BUF_RING, C_UNREGISTER_BUF_RING,
        C_FILL_BUF_RING, C_FILL_BUF_RING, C_FILL_BUF_RING, C_FILL_BUF_RING, C_PIPE, C_EVENTFD);
    if ((a->call == C_UNREGISTER_FILES || a->call == C_UNREGISTER_BUFFERS) && below(dice, 4))
        a->call = C_UPDATE_FILES;
    a->off = (uint32_t)PICK(dice, 0, 0, 1, 2, 5, SLOTS, UINT32_MAX - 2);
    a->count = (uint32_t)PICK(dice, 0, 1, 1, 2, 3, 4, SLOTS);
    if (a->call == C_REGISTER_FILES || a->call == C_REGISTER_FILES_SPARSE)
        a->count = (uint32_t)PICK(dice, 0, 1, SLOTS, SLOTS, SLOTS, SLOTS, SLOTS, FDS + 1, 40000);
    if (a->call == C_REGISTER_FILES && a->count > 8)
        a->count = 8;
    a->flags = (int)PICK(dice, 0, 0, O_CLOEXEC, O_CLOEXEC | O_NONBLOCK);
    for (uint32_t i = 0; i < 8; i++)
        a->fds[i] = (int)PICK(dice, -1, -1, -1, i % 3, 0, 1, 2, below(dice, 20) ? -1 : -3);
    if (a->call == C_REGISTER_BUFFERS || a->call == C_UPDATE_BUFFERS)
        a->count = (uint32_t)PICK(dice, 1, 2, 3, 4, 4, 4, 0);
    for (uint32_t i = 0; i < 4; i++) {
        a->iov[i].base = a_place(dice);
        a->iov[i].bytes = (size_t)PICK(dice, 1, 64, 4096, 4096, 5000);
        if (below(dice, 8) == 0)
            a->iov[i].base = -1, a->iov[i].bytes = 0;
        if (below(dice, 40) == 0)
            a->iov[i].bytes = (size_t)PICK(dice, 0, (1 << 30) + 1, INT64_MAX);
    }
}

static void draw(struct dice *dice, struct action *a)
{
    memset(a, 0, sizeof(*a));
    switch (below(dice, pipes ? 36 : 32)) {
    case 20:
    case 21:
    case 22:
    case 32:
    case 33:
    case 34:
        draw_splice(dice, a);
        break;
    case 23:
    case 35:
        draw_copy(dice, a);
        break;
    case 25:
    case 26:
        draw_open2(dice, a);
        break;
    case 27:
    case 28:
    case 29:
        draw_xattr(dice, a);
        break;
    case 30:
        draw_advice(dice, a);
        break;
    case 24:
        a->call = (enum call)PICK(dice, C_SEEK, C_SEEK, C_PIPE, C_PIPE_SIZE);
        a->sqe.fd = a_fd(dice);
        a->off = (uint32_t)PICK(dice, 0, 1, 100, 5000);
        a->count = (uint32_t)PICK(dice, 0, 1, 4096, 5000, 16384, 16384, 65536, 1 << 20, 1u << 31,
                                  (1u << 31) + 1);
        break;
    case 0:
    case 1:
    case 2:
        draw_open(dice, a);
        break;
    case 3:
        draw_close(dice, a);
        break;
    case 4:
        draw_files_update(dice, a);
        break;
    case 5:
    case 6:
        draw_provide(dice, a);
        break;
    case 7:
        draw_readv(dice, a);
        break;
    case 8:
        draw_other(dice, a);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        draw_call(dice, a);
        break;
    default:
        draw_rw(dice, a);
    }
}

/* ── Both sides ────────────────────────────────────────────────────────────────────────────── */

struct result {
    int32_t res;
    uint32_t flags;
    int words[2];
};

static struct memory *memory_new(void)
{
    struct memory *m =
        mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return m == MAP_FAILED ? NULL : m;
}

/* What the action says, laid over a side's memory. */
static void lay(const struct action *a, uint64_t fill, struct memory *m, struct io_uring_sqe *sqe)
{
    struct dice dice = {fill};

    for (size_t i = 0; i < DATA_BYTES; i += 64) /* so that each write brings something new */
        m->data[i] = (char)roll(&dice);
    memcpy(m->paths, a->paths, sizeof(m->paths));
    memcpy(m->fds, a->fds, sizeof(m->fds));
    memcpy(m->names, a->names, sizeof(m->names));
    m->how = a->how;
    m->how_more = a->call == C_ENTRY && a->sqe.opcode == IORING_OP_OPENAT2 ? a->off : 0;
    for (uint32_t i = 0; i < 4; i++)
        m->iov[i] =
            (struct iovec){a->iov[i].base < 0 ? NULL : m->data + a->iov[i].base, a->iov[i].bytes};
    *sqe = a->sqe;
    if (a->at & AT_ADDR)
        sqe->addr += (uintptr_t)m->data;
    if (a->at & AT_OFF)
        sqe->off += (uintptr_t)m->data;
    if (a->at & AT_ADDR3)
        sqe->addr3 += (uintptr_t)m->data;
}

/* Three more buffers into the ring. The program knows how far the kernel is only by completions;
 * here it may overwrite what was not picked, alike on both sides. */
static void fill_ring(const struct action *a, struct memory *m)
{
    struct io_uring_buf_ring *ring = (void *)m->ring;

    for (int i = 0; i < 3; i++)
        io_uring_buf_ring_add(ring, m->data + a->iov[i].base * (a->iov[i].base > 0),
                              (unsigned)a->iov[i].bytes % 300 + 1, (unsigned short)(a->off + i),
                              RING_ENTRIES - 1, i);
    io_uring_buf_ring_advance(ring, 3);
}

static struct io_uring_buf_reg ring_reg(const struct action *a, struct memory *m)
{
    return (struct io_uring_buf_reg){.ring_addr = (uintptr_t)m->ring,
                                     .ring_entries = a->count == 3 ? 3 : RING_ENTRIES,
                                     .bgid = GROUPS - 1};
}

/* A sum over the names, whose order is the file system's; then nothing is left of them. */
static int note_names(char *names, int32_t bytes, uint32_t room)
{
    unsigned sum = 0, word = 5381;

    for (int32_t i = 0; room > 0 && i < bytes; i++) {
        word = word * 33 + (unsigned char)names[i];
        if (!names[i]) {
            sum += word;
            word = 5381;
        }
    }
    memset(names, 0, 2000);
    return (int)sum;
}

/* The offsets of a copy, where it has some. */
static int64_t *offset_at(const struct action *a, int64_t offsets[2], uint32_t i)
{
    offsets[i] = a->iov[i].base;
    return a->sqe.flags >> i & 1 ? &offsets[i] : NULL;
}

static void note_offsets(struct result *r, const int64_t offsets[2])
{
    r->words[0] = (int)offsets[0];
    r->words[1] = (int)offsets[1];
}

static void sim_copy(struct rig *rig, const struct action *a, struct result *r)
{
    int64_t offsets[2];
    struct io_uring_sqe sqe = {
        .opcode = a->call == C_SENDFILE ? TDW_OP_SENDFILE : TDW_OP_COPY_FILE_RANGE,
        .fd = a->sqe.fd,
        .splice_fd_in = a->fds[0],
        .addr = (uintptr_t)offset_at(a, offsets, 0),
        .off = (uintptr_t)offset_at(a, offsets, 1),
        .len = a->count,
        .splice_flags = (uint32_t)a->flags,
    };

    if (a->call == C_SENDFILE)
        sqe.off = sqe.splice_flags = 0;
    r->res = rig_run(rig, &sqe);
    note_offsets(r, offsets);
}

static void run_sim(struct rig *rig, const struct action *a, struct memory *m,
                    const struct io_uring_sqe *sqe, struct result *r)
{
    struct io_uring_buf_reg reg = ring_reg(a, m);

    switch (a->call) {
    case C_ENTRY:
        r->res = rig_run(rig, sqe);
        r->flags = r->res == RIG_BLOCKED ? 0 : rig->flags;
        return;
    case C_REGISTER_FILES:
        r->res = tdw_ring_register_files(m->fds, a->count);
        return;
    case C_REGISTER_FILES_SPARSE:
        r->res = tdw_ring_register_files_sparse(a->count);
        return;
    case C_UNREGISTER_FILES:
        r->res = tdw_ring_unregister_files();
        return;
    case C_UPDATE_FILES:
        r->res = tdw_ring_register_files_update(a->off, m->fds, a->count);
        return;
    case C_ALLOC_RANGE:
        r->res = tdw_ring_register_file_alloc_range(a->off, a->count);
        return;
    case C_REGISTER_BUFFERS:
        r->res = tdw_ring_register_buffers(m->iov, a->count);
        return;
    case C_UPDATE_BUFFERS:
        r->res = tdw_ring_register_buffers_update(a->off, m->iov, a->count);
        return;
    case C_UNREGISTER_BUFFERS:
        r->res = tdw_ring_unregister_buffers();
        return;
    case C_REGISTER_BUF_RING:
        r->res = tdw_ring_register_buf_ring(&reg, 0);
        if (r->res == 0)
            m->ring[0].resv = 0; /* the tail */
        return;
    case C_UNREGISTER_BUF_RING:
        r->res = tdw_ring_unregister_buf_ring(reg.bgid);
        return;
    case C_FILL_BUF_RING:
        fill_ring(a, m);
        return;
    case C_PIPE:
        r->res = tdw_sys_pipe2(r->words, a->flags & ~O_NONBLOCK);
        return;
    case C_PIPE_SIZE:
        r->res = tdw_sys_fcntl(a->sqe.fd, F_SETPIPE_SZ, (int)a->count);
        return;
    case C_SENDFILE:
    case C_COPY_FILE_RANGE:
        sim_copy(rig, a, r);
        return;
    case C_SEEK:
        r->res = (int32_t)tdw_sys_lseek(a->sqe.fd, a->off, SEEK_SET);
        return;
    case C_LISTXATTR:
        r->res = (int32_t)tdw_sys_flistxattr(a->sqe.fd, m->data, a->count);
        r->words[0] = note_names(m->data, r->res, a->count);
        return;
    case C_REMOVEXATTR:
        r->res = tdw_sys_fremovexattr(a->sqe.fd, m->names[0]);
        return;
    case C_EVENTFD:
        r->res = tdw_sys_eventfd(a->count, a->flags & O_CLOEXEC ? EFD_CLOEXEC : 0);
        return;
    }
}

static int32_t real_answer(int res)
{
    return res < 0 ? -errno : res;
}

/* Labels of a security module are not there in sim. */
static int32_t real_list(int fd, char *to, uint32_t room)
{
    return real_answer((int)flistxattr(fd, to, room));
}

/* A call that could wait is made only where sim says that it does not. */
static void real_copy(const struct action *a, bool blocks, struct result *r)
{
    int64_t offsets[2];
    int64_t *in = offset_at(a, offsets, 0), *out = offset_at(a, offsets, 1);

    if (blocks)
        r->res = REAL_BLOCKED;
    else if (a->call == C_SENDFILE)
        r->res = real_answer((int)sendfile(a->sqe.fd, a->fds[0], in, a->count));
    else
        r->res = real_answer(
            (int)copy_file_range(a->fds[0], in, a->sqe.fd, out, a->count, (unsigned)a->flags));
    note_offsets(r, offsets);
}

static int32_t real_sparse(struct real_ring *ring, uint32_t count)
{
    const struct io_uring_rsrc_register reg = {.nr = count, .flags = IORING_RSRC_REGISTER_SPARSE};

    return real_ring_register(ring, IORING_REGISTER_FILES2, &reg, sizeof(reg));
}

static void run_real(struct real_ring *ring, const struct action *a, struct memory *m,
                     const struct io_uring_sqe *sqe, bool blocks, struct result *r)
{
    struct io_uring_buf_reg reg = ring_reg(a, m);
    struct io_uring_rsrc_update files = {.offset = a->off, .data = (uintptr_t)m->fds};
    struct io_uring_rsrc_update2 buffers = {
        .offset = a->off, .data = (uintptr_t)m->iov, .nr = a->count};
    struct io_uring_file_index_range range = {.off = a->off, .len = a->count};

    switch (a->call) {
    case C_ENTRY:
        r->res = real_ring_run(ring, sqe, &r->flags, blocks);
        return;
    case C_REGISTER_FILES:
        r->res = real_ring_register(ring, IORING_REGISTER_FILES, m->fds, a->count);
        return;
    case C_REGISTER_FILES_SPARSE:
        r->res = real_sparse(ring, a->count);
        return;
    case C_UNREGISTER_FILES:
        r->res = real_ring_register(ring, IORING_UNREGISTER_FILES, NULL, 0);
        return;
    case C_UPDATE_FILES:
        r->res = real_ring_register(ring, IORING_REGISTER_FILES_UPDATE, &files, a->count);
        return;
    case C_ALLOC_RANGE:
        r->res = real_ring_register(ring, IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
        return;
    case C_REGISTER_BUFFERS:
        r->res = real_ring_register(ring, IORING_REGISTER_BUFFERS, m->iov, a->count);
        return;
    case C_UPDATE_BUFFERS:
        r->res =
            real_ring_register(ring, IORING_REGISTER_BUFFERS_UPDATE, &buffers, sizeof(buffers));
        return;
    case C_UNREGISTER_BUFFERS:
        r->res = real_ring_register(ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
        return;
    case C_REGISTER_BUF_RING:
        r->res = real_ring_register(ring, IORING_REGISTER_PBUF_RING, &reg, 1);
        if (r->res == 0)
            m->ring[0].resv = 0;
        return;
    case C_UNREGISTER_BUF_RING:
        reg = (struct io_uring_buf_reg){.bgid = reg.bgid};
        r->res = real_ring_register(ring, IORING_UNREGISTER_PBUF_RING, &reg, 1);
        return;
    case C_FILL_BUF_RING:
        fill_ring(a, m);
        return;
    case C_PIPE:
        r->res = real_answer(pipe2(r->words, a->flags & ~O_NONBLOCK));
        return;
    case C_PIPE_SIZE:
        r->res = real_answer(fcntl(a->sqe.fd, F_SETPIPE_SZ, (int)a->count));
        return;
    case C_SENDFILE:
    case C_COPY_FILE_RANGE:
        real_copy(a, blocks, r);
        return;
    case C_SEEK:
        r->res = real_answer((int)lseek(a->sqe.fd, a->off, SEEK_SET));
        return;
    case C_LISTXATTR:
        r->res = real_list(a->sqe.fd, m->data, a->count);
        r->words[0] = note_names(m->data, r->res, a->count);
        return;
    case C_REMOVEXATTR:
        r->res = real_answer(fremovexattr(a->sqe.fd, m->names[0]));
        return;
    case C_EVENTFD:
        r->res = real_answer(eventfd(a->count, a->flags & O_CLOEXEC ? EFD_CLOEXEC : 0));
        return;
    }
}

/* ── One program ───────────────────────────────────────────────────────────────────────────── */

struct report {
    size_t bytes;
    uint64_t steps, successes, picked, calls[256], good[256];
    char text[REPORT_BYTES];
};
static struct report *report; /* shared with the child */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list rest;
    int bytes;

    va_start(rest, format);
    bytes = vsnprintf(report->text + report->bytes, REPORT_BYTES - report->bytes, format, rest);
    va_end(rest);
    if (bytes > 0 && (size_t)bytes < REPORT_BYTES - report->bytes)
        report->bytes += (size_t)bytes;
}

static void say_action(uint32_t step, const struct action *a, const struct result *r)
{
    const struct io_uring_sqe *s = &a->sqe;

    if (a->call == C_ENTRY)
        say("%4u %-16s fd %d flags %#x off %lld addr %llu len %u rw %#x buf %u index %u '%s'", step,
            tdw_opcode(s->opcode)->name, s->fd, s->flags, (long long)s->off,
            (unsigned long long)s->addr, s->len, (unsigned)s->rw_flags, s->buf_index, s->file_index,
            a->paths[0]);
    else
        say("%4u call %d fd %d off %u count %u flags %#x", step, (int)a->call, a->sqe.fd, a->off,
            a->count, (unsigned)a->flags);
    say(" fds %d %d %d %d = %d (%#x)\n", a->fds[0], a->fds[1], a->fds[2], a->fds[3], r->res,
        r->flags);
}

static bool same_memory(const struct memory *a, const struct memory *b)
{
    return memcmp(a->data, b->data, sizeof(a->data)) == 0 &&
           memcmp(a->fds, b->fds, sizeof(a->fds)) == 0;
}

struct pair {
    struct rig rig;
    struct real_ring ring;
    struct memory *sim, *real;
    int64_t size_max;
    const struct tdw_inode *source;
};

/* Is it a file whose bytes must not go into a pipe, nor into itself? */
static bool changes(const struct pair *pair, const struct tdw_file *in, const struct tdw_file *out)
{
    return in && in->kind == &tdw__kind_reg && in->inode != pair->source &&
           (!out || tdw__is_pipe(out) || out->inode == in->inode);
}

static void tame(struct pair *pair, struct action *a)
{
    struct tdw_process *process = &pair->rig.process;
    const struct io_uring_sqe *sqe = &a->sqe;

    if (a->call == C_ENTRY && sqe->opcode == IORING_OP_SPLICE) {
        const struct tdw_file *in = sqe->splice_flags & SPLICE_F_FD_IN_FIXED
                                        ? tdw__registered_file(process, (uint32_t)sqe->splice_fd_in)
                                        : tdw__fd(process->files, sqe->splice_fd_in);

        if (changes(pair, in, NULL))
            a->sqe.splice_fd_in = -1;
    }
    if (a->call == C_SENDFILE &&
        changes(pair, tdw__fd(process->files, a->fds[0]), tdw__fd(process->files, sqe->fd)))
        a->fds[0] = -1;
}

static bool compare(struct pair *pair, const struct action *a, uint32_t step, uint64_t fill)
{
    struct result sim = {0}, real = {0};
    struct io_uring_sqe sqe;

    lay(a, fill, pair->sim, &sqe);
    run_sim(&pair->rig, a, pair->sim, &sqe, &sim);
    lay(a, fill, pair->real, &sqe);
    run_real(&pair->ring, a, pair->real, &sqe, sim.res == RIG_BLOCKED, &real);
    report->steps++;
    report->successes += real.res >= 0;
    report->picked += (real.flags & IORING_CQE_F_BUFFER) != 0;
    if (a->call == C_ENTRY) {
        report->calls[a->sqe.opcode]++;
        report->good[a->sqe.opcode] += real.res >= 0;
    }
    say_action(step, a, &real);
    if (memcmp(&sim, &real, sizeof(sim)) == 0 && same_memory(pair->sim, pair->real))
        return true;
    say("     real %d flags %#x words %d %d\n     sim  %d flags %#x words %d %d\n", real.res,
        real.flags, real.words[0], real.words[1], sim.res, sim.flags, sim.words[0], sim.words[1]);
    return false;
}

/* The first calls of a program, so that there is something. */
static void begin(uint32_t step, struct action *a)
{
    static const char *const names[] = {"a", "b", "dir", "c", SOURCE};

    memset(a, 0, sizeof(*a));
    if (step < 4 || step == 8) {
        snprintf(a->paths[0], sizeof(a->paths[0]), "%s", names[step < 4 ? step : 4]);
        a->sqe.fd = AT_FDCWD;
        a->sqe.addr = offsetof(struct memory, paths) - offsetof(struct memory, data);
        a->at = AT_ADDR;
        a->sqe.opcode = step == 2 ? IORING_OP_MKDIRAT : IORING_OP_OPENAT;
        a->sqe.len = 0755;
        if (step < 4 && step != 2)
            a->sqe.open_flags = O_CREAT | O_RDWR;
        return;
    }
    if (step >= 6) {
        a->call = C_PIPE;
        return;
    }
    if (step == 4) {
        a->call = C_REGISTER_FILES;
        a->count = SLOTS;
        for (int i = 0; i < 8; i++)
            a->fds[i] = i < 3 ? i : -1;
    } else {
        a->call = C_REGISTER_BUFFERS;
        a->count = 4;
        for (uint32_t i = 0; i < 4; i++) {
            a->iov[i].base = i == 3 ? -1 : (int64_t)i * 3000;
            a->iov[i].bytes = i == 3 ? 0 : 4096;
        }
    }
}

/* The source, on both sides. */
static void source_bytes(char bytes[SOURCE_BYTES])
{
    struct dice dice = {7};

    for (int i = 0; i < SOURCE_BYTES; i++)
        bytes[i] = (char)roll(&dice);
}

static void sim_source(struct pair *pair)
{
    char bytes[SOURCE_BYTES];
    struct tdw_walk walk;
    int fd;

    source_bytes(bytes);
    fd = RIG(&pair->rig, openat, AT_FDCWD, SOURCE, O_CREAT | O_WRONLY, 0644);
    RIG(&pair->rig, write, fd, bytes, SOURCE_BYTES, 0);
    RIG(&pair->rig, close, fd);
    RIG(&pair->rig, symlinkat, "a", AT_FDCWD, "link");
    RIG(&pair->rig, symlinkat, "loop", AT_FDCWD, "loop");
    RIG(&pair->rig, mkdirat, AT_FDCWD, "dir", 0755);
    RIG(&pair->rig, symlinkat, "../a", AT_FDCWD, "dir/up");
    RIG(&pair->rig, symlinkat, "f", AT_FDCWD, "dir/in");
    RIG(&pair->rig, symlinkat, "/a", AT_FDCWD, "abs");
    tdw__walk(pair->rig.process.files, AT_FDCWD, SOURCE, 0, &walk);
    pair->source = walk.inode;
}

static bool real_source(void)
{
    const int fd = open(SOURCE, O_CREAT | O_WRONLY, 0644);
    char bytes[SOURCE_BYTES];
    bool done;

    source_bytes(bytes);
    done = write(fd, bytes, SOURCE_BYTES) == SOURCE_BYTES;
    close(fd);
    return done && !symlink("a", "link") && !symlink("loop", "loop") && !mkdir("dir", 0755) &&
           !symlink("../a", "dir/up") && !symlink("f", "dir/in") && !symlink("/a", "abs");
}

static bool run_program(struct pair *pair, uint64_t seed)
{
    struct dice dice = {seed};
    struct action action;
    bool alike = true;

    pipes = seed % 2 == 0;
    rig_init(&pair->rig, NULL);
    pair->rig.disk->file_bytes_max = (uint64_t)pair->size_max;
    tdw__files_limit(pair->rig.process.files, FDS, FDS);
    for (int fd = 0; fd < 3; fd++)
        RIG(&pair->rig, close, fd);
    tdw__disk_seed_dir(pair->rig.disk, "/scratch");
    tdw__files_chdir(pair->rig.process.files, "/scratch");
    sim_source(pair);
    for (uint32_t step = 0; alike && step < STEPS; step++) {
        if (step < (pipes ? 9 : 6))
            begin(step, &action);
        else
            draw(&dice, &action);
        tame(pair, &action);
        alike = compare(pair, &action, step, seed * STEPS + step);
    }
    rig_fini(&pair->rig, true);
    return alike;
}

/* The largest size of a file here. */
static int64_t largest(void)
{
    const int fd = open("size", O_RDWR | O_CREAT, 0600);
    int64_t low = 0, high = INT64_MAX;

    while (low < high) {
        const int64_t size = low + (high - low) / 2 + (high - low) % 2;

        if (ftruncate(fd, size) == 0)
            low = size;
        else
            high = size - 1;
    }
    close(fd);
    unlink("size");
    return low;
}

/* In the child: nothing is open but the ring, at a number that is never given out. */
static int child(const char *scratch, uint64_t seed)
{
    const struct rlimit fds = {FDS, FDS};
    struct pair pair = {.sim = memory_new(), .real = memory_new()};

    signal(SIGPIPE, SIG_IGN);
    signal(SIGSEGV, SIG_DFL); /* cmocka's would go on in the parent's code */
    signal(SIGABRT, SIG_DFL);
    alarm(60);
    umask(022);
    if (!pair.sim || !pair.real || chdir(scratch) || !real_source())
        return 77;
    pair.size_max = largest();
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    if (real_ring_open(&pair.ring) < 0 || dup2(pair.ring.fd, FDS + 4) < 0)
        return 77;
    close(pair.ring.fd);
    pair.ring.fd = FDS + 4;
    setrlimit(RLIMIT_NOFILE, &fds);
    return run_program(&pair, seed) ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

/* 0: alike; 1: a difference, told in the report; 77: not possible here. */
static int in_child(uint64_t seed)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char scratch[256];
    int status;
    pid_t pid;

    snprintf(scratch, sizeof(scratch), "%s/tdw-ring-XXXXXX", base);
    if (!mkdtemp(scratch))
        return 77;
    report->bytes = 0;
    report->text[0] = '\0';
    pid = fork();
    if (pid == 0)
        _exit(child(scratch, seed));
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        status = 77 << 8;
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (WIFSIGNALED(status))
        say("ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void random_programs_answer_as_the_real_ring(void **state)
{
    const char *only = getenv("TDW_RING_SEED"), *many = getenv("TDW_RING_PROGRAMS");
    const uint64_t first = only ? strtoull(only, NULL, 0) : 1;
    const uint64_t count = only ? 1 : many ? strtoull(many, NULL, 0) : PROGRAMS;

    (void)state;
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(report, MAP_FAILED);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const int status = in_child(seed);

        if (status == 77) {
            print_message("no io_uring here: skipped\n");
            munmap(report, sizeof(*report));
            skip();
        }
        if (status != 0) {
            fprintf(stderr, "TDW_RING_SEED=%llu differs:\n", (unsigned long long)seed);
            fputs(report->text, stderr);
            fail();
        }
    }
    for (int i = 0; many && i < 256; i++)
        if (report->calls[i])
            print_message("%-16s %8llu calls, %llu succeeded\n", tdw_opcode((uint8_t)i)->name,
                          (unsigned long long)report->calls[i],
                          (unsigned long long)report->good[i]);
    if (!only) {
        assert_true(report->successes >= count * STEPS / 4);
        assert_true(report->picked >= count / 2);
    }
    munmap(report, sizeof(*report));
}

int tests_files_ring(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_answer_as_the_real_ring),
    };

    return cmocka_run_group_tests_name("files_ring", tests, NULL, NULL);
}
