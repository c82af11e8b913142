/* SPDX-License-Identifier: MIT */
/*
 * The simulated files against the machine's own: the same random calls on both, and every result
 * must be the same: counts, errnos, bytes, sizes, link counts, descriptor numbers, locks.
 *
 * A program is drawn from a seed. It runs in a child process with nothing open, whose root is a
 * scratch directory, and in a simulated process whose root is a directory of a simulated disk; so
 * the absolute paths, ".." at the root, and the numbers of descriptors are the same. The first
 * difference ends the program and is printed with the seed and the calls up to it.
 *
 * Needs the right to chroot (uid 0, or a user namespace of its own); without it the test is
 * skipped. Not compared, since Linux leaves them to the file system: inode and device numbers,
 * times, blocks, sizes of directories, the order of their entries. Not drawn: O_DIRECT (depends
 * on addresses), set-id bits, positions of directories other than 0.
 */
#include "dice.h"
#include "files_rig.h"
#include "tests.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

int tests_files_real(void);

enum {
    PROGRAMS = 250,
    STEPS = 120,
    FDS = 24,
    BUFFER_BYTES = 80000,
    REPORT_BYTES = 1 << 16,
    PATH_BYTES = 600,
};

/* ── Drawing ───────────────────────────────────────────────────────────────────────────────── */

/* clang-format off */
#define CALLS(X)                                                                                   \
    X(OPEN, 14) X(CLOSE, 5) X(READ, 5) X(PREAD, 5) X(READV, 2) X(WRITE, 7) X(PWRITE, 5)            \
    X(WRITEV, 2) X(TRUNCATE, 2) X(FTRUNCATE, 3) X(FALLOCATE, 3) X(RENAME, 8) X(LINK, 4)            \
    X(SYMLINK, 4) X(UNLINK, 4) X(RMDIR, 3) X(MKDIR, 6) X(STAT, 4) X(FSTAT, 2) X(LSEEK, 4)          \
    X(DUP, 1) X(DUP2, 1) X(DUP3, 1) X(DUPFD, 1) X(GETFL, 1) X(SETFL, 1) X(GETFD, 1) X(SETFD, 1)    \
    X(SETLK, 6) X(GETLK, 3) X(FLOCK, 2) X(GETDENTS, 3) X(PIPE, 2) X(EVENTFD, 2) X(READLINK, 2)     \
    X(ACCESS, 2) X(CHDIR, 2) X(FCHDIR, 1) X(GETCWD, 1) X(CHMOD, 1) X(FCHMOD, 1) X(UMASK, 1)        \
    X(POLL, 2) X(PIPESZ, 1) X(SETPIPESZ, 1) X(MKNOD, 3) X(FSYNC, 0)
/* clang-format on */

enum call {
#define ENUM(name, weight) C_##name,
    CALLS(ENUM) C_COUNT
#undef ENUM
};
static const char *const call_names[] = {
#define NAME(name, weight) #name,
    CALLS(NAME)
#undef NAME
};
static const uint8_t call_weights[] = {
#define WEIGHT(name, weight) weight,
    CALLS(WEIGHT)
#undef WEIGHT
};

struct action {
    enum call call;
    int fd, fd2, flags, mode;
    int64_t off, len;
    struct flock lock;
    char path[PATH_BYTES], path2[PATH_BYTES];
    uint64_t fill; /* key of the bytes written */
};

struct result {
    int64_t res;
    uint64_t hash; /* of the bytes and fields that came back */
    int64_t words[6];
};

static int64_t size_max = INT64_MAX; /* of a file, on the real side */
static bool zeroes = true;           /* FALLOC_FL_ZERO_RANGE works there */
static bool recent = true;           /* the kernel answers as sim does where Linux has changed */
static bool trees;                   /* the program is mostly about names, and few of them */

static const char *a_name(struct dice *dice)
{
    static char longest[256], too_long[257];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};

    if (trees && below(dice, 8))
        return names[below(dice, 3)];
    if (!*longest) {
        memset(longest, 'l', 255);
        memset(too_long, 'L', 256);
    }
    switch (below(dice, 60)) {
    case 0:
        return longest;
    case 1:
        return too_long;
    case 2:
    case 3:
        return ".";
    case 4:
    case 5:
    case 6:
        return "..";
    default:
        return names[below(dice, 6)];
    }
}

static void a_path(struct dice *dice, char *path)
{
    const uint32_t parts = 1 + (uint32_t)PICK(dice, 0, 0, 0, 1, 1, 2);
    size_t at = 0;

    if (below(dice, 60) == 0) {
        *path = '\0';
        return;
    }
    if (below(dice, 6) == 0)
        path[at++] = '/';
    for (uint32_t i = 0; i < parts; i++) {
        const char *name = a_name(dice);

        /* Mostly through what may be a directory, or little but -ENOTDIR is seen. */
        if (i + 1 < parts && below(dice, 6))
            name = below(dice, 2) ? "a" : "b";
        if (at + strlen(name) + 4 > PATH_BYTES / 2)
            break;
        if (i > 0) {
            path[at++] = '/';
            if (below(dice, 20) == 0)
                path[at++] = '/';
        }
        memcpy(path + at, name, strlen(name));
        at += strlen(name);
    }
    if (below(dice, 12) == 0)
        path[at++] = '/';
    path[at] = '\0';
}

static int a_fd(struct dice *dice)
{
    return (int)PICK(dice, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9,
                     below(dice, 26), -1);
}

static int a_dirfd(struct dice *dice)
{
    return below(dice, trees ? 12 : 4) ? AT_FDCWD : a_fd(dice);
}

static int64_t an_offset(struct dice *dice)
{
    switch (below(dice, 12)) {
    case 0:
        return PICK(dice, -2, -5, INT64_MIN);
    case 1:
        return size_max - (int64_t)below(dice, 5000) + 1;
    case 2:
        return PICK(dice, size_max, size_max - 1, INT64_MAX, (int64_t)1 << 32, (int64_t)1 << 40);
    case 3:
        return below(dice, 1 << 20);
    default:
        return PICK(dice, 0, 0, 1, 10, 100, 4095, 4096, 4097, 5000, 8191, 8192, 20000, 65536);
    }
}

static int64_t a_length(struct dice *dice)
{
    return PICK(dice, 0, 1, 3, 8, 8, 8, 100, 511, 512, 4095, 4096, 4097, 10000, 65536, 70000);
}

static int open_flags(struct dice *dice)
{
    int flags = (int)PICK(dice, O_RDONLY, O_RDWR, O_RDWR, O_WRONLY, O_RDWR, O_ACCMODE);

    if (trees && below(dice, 2))
        return (int)PICK(dice, O_RDONLY, O_PATH, O_PATH | O_NOFOLLOW) | O_DIRECTORY;
    if (below(dice, 2))
        flags |= O_CREAT;
    if (below(dice, 8) == 0)
        flags |= O_EXCL;
    if (below(dice, 8) == 0)
        flags |= O_TRUNC;
    if (below(dice, 6) == 0)
        flags |= O_APPEND;
    if (below(dice, 8) == 0)
        flags |= O_DIRECTORY;
    if (below(dice, 8) == 0)
        flags |= O_NOFOLLOW;
    if (below(dice, 8) == 0)
        flags |= O_CLOEXEC;
    if (below(dice, 12) == 0)
        flags |= O_NONBLOCK;
    if (below(dice, 20) == 0)
        flags |= O_PATH;
    if (below(dice, 30) == 0)
        flags |= O_NOATIME;
    if (below(dice, 25) == 0)
        flags |= O_TMPFILE;
    return flags;
}

static struct flock a_lock(struct dice *dice)
{
    return (struct flock){
        .l_type = (short)PICK(dice, F_RDLCK, F_WRLCK, F_RDLCK, F_WRLCK, F_UNLCK, F_UNLCK, 7),
        .l_whence = (short)PICK(dice, SEEK_SET, SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, 9),
        .l_start = below(dice, 15) ? (int64_t)below(dice, 24) - 2
                                   : PICK(dice, INT64_MAX, INT64_MAX - 3, INT64_MIN, -100),
        .l_len = below(dice, 15) ? (int64_t)below(dice, 12) - 3
                                 : PICK(dice, INT64_MAX, INT64_MAX - 3, INT64_MIN, -100),
        .l_pid = below(dice, 20) == 0};
}

static enum call a_call(struct dice *dice)
{
    uint32_t total = 0, at;

    if (trees && below(dice, 6))
        return (enum call)PICK(dice, C_MKDIR, C_MKDIR, C_MKDIR, C_RENAME, C_RENAME, C_RENAME,
                               C_LINK, C_SYMLINK, C_SYMLINK, C_UNLINK, C_RMDIR, C_STAT, C_READLINK,
                               C_OPEN, C_OPEN, C_CLOSE, C_GETDENTS, C_CHDIR, C_FCHDIR, C_GETCWD);
    for (uint32_t i = 0; i < C_COUNT; i++)
        total += call_weights[i];
    at = below(dice, total);
    for (uint32_t i = 0; i < C_COUNT; i++) {
        if (at < call_weights[i])
            return (enum call)i;
        at -= call_weights[i];
    }
    return C_STAT;
}

/* The flag word, whose meaning is each call's own. */
static int a_flag(struct dice *dice, enum call call)
{
    switch (call) {
    case C_OPEN:
        return open_flags(dice);
    case C_RENAME:
        return (int)PICK(dice, 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE,
                         RENAME_NOREPLACE | RENAME_EXCHANGE, 1 << 10);
    case C_LINK:
        return (int)PICK(dice, 0, 0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, 1);
    case C_STAT:
        return (int)PICK(dice, 0, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 2);
    case C_FALLOCATE:
        return (int)PICK(dice, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
                         FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                         FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    case C_LSEEK:
        return (int)PICK(dice, SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 7);
    case C_SETFL:
        return O_NONBLOCK | (int)PICK(dice, 0, O_APPEND, O_RDWR, O_CREAT, O_NOATIME);
    case C_SETFD:
        return (int)PICK(dice, 0, FD_CLOEXEC, 2);
    case C_SETLK:
        return (int)PICK(dice, F_SETLK, F_SETLK, F_OFD_SETLK);
    case C_GETLK:
        return (int)PICK(dice, F_GETLK, F_OFD_GETLK, F_OFD_GETLK);
    case C_FLOCK:
        return (int)PICK(dice, LOCK_SH, LOCK_EX, LOCK_UN, LOCK_SH | LOCK_EX) | LOCK_NB;
    case C_DUP3:
        return (int)PICK(dice, 0, O_CLOEXEC, O_APPEND);
    case C_PIPE:
        return O_NONBLOCK | (int)PICK(dice, 0, O_CLOEXEC, O_APPEND, O_DIRECT);
    case C_EVENTFD:
        return EFD_NONBLOCK | (int)PICK(dice, 0, EFD_SEMAPHORE, EFD_CLOEXEC, 8);
    case C_ACCESS:
        return (int)PICK(dice, F_OK, R_OK, W_OK, X_OK, R_OK | X_OK, 8);
    case C_MKNOD:
        return (int)PICK(dice, S_IFIFO, S_IFIFO, S_IFIFO, S_IFREG, 0, S_IFSOCK, S_IFDIR);
    case C_UMASK:
        return (int)PICK(dice, 0, 022, 077, 027);
    case C_POLL:
        return POLLIN | POLLOUT | (int)PICK(dice, 0, POLLPRI, POLLRDNORM);
    default:
        return 0;
    }
}

static void draw(struct dice *dice, struct action *action)
{
    memset(action, 0, sizeof(*action));
    action->call = a_call(dice);
    action->fd = a_fd(dice);
    action->fd2 = a_fd(dice);
    action->mode = (int)PICK(dice, 0666, 0644, 0755, 0, 01777);
    action->off = an_offset(dice);
    action->len = a_length(dice);
    action->lock = a_lock(dice);
    action->fill = roll(dice);
    action->flags = a_flag(dice, action->call);
    a_path(dice, action->path);
    a_path(dice, action->path2);
    switch (action->call) {
    case C_OPEN:
    case C_STAT:
    case C_UNLINK:
    case C_RMDIR:
    case C_MKDIR:
    case C_READLINK:
    case C_ACCESS:
        action->fd = a_dirfd(dice);
        break;
    case C_RENAME:
    case C_LINK:
    case C_SYMLINK:
        action->fd = a_dirfd(dice);
        action->fd2 = a_dirfd(dice);
        break;
    case C_FALLOCATE:
        if (action->off > 1 << 20 && action->off < size_max - 5000)
            action->off %= 1 << 20; /* do not fill the real disk */
        break;
    default:
        break;
    }
}

/* The first calls of a program, so that there is something: files, directories, open files. */
static void begin(struct dice *dice, uint32_t step, struct action *action)
{
    static const char *const names[] = {"a", "b", "c", "d", "a/e", "b/f", "a/b", "e"};

    action->call = trees || step % 4 < 2 ? C_MKDIR : C_OPEN;
    action->fd = AT_FDCWD;
    action->flags =
        O_CREAT | (int)PICK(dice, O_RDWR, O_RDWR, O_WRONLY, O_RDONLY, O_APPEND | O_RDWR);
    snprintf(action->path, sizeof(action->path), "%s", names[step]);
}

/* ── Both sides ────────────────────────────────────────────────────────────────────────────── */

static char buffer_sim[BUFFER_BYTES], buffer_real[BUFFER_BYTES];

static uint64_t hash(const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    uint64_t hash = 14695981039346656037u;

    while (count-- > 0)
        hash = (hash ^ *at++) * 1099511628211u;
    return hash;
}

static void fill(char *buffer, const struct action *action)
{
    struct dice dice = {action->fill};

    for (int64_t i = 0; i < action->len; i += 8) {
        uint64_t word = roll(&dice);

        if (action->len == 8)
            word = action->fill % 16 == 0 ? UINT64_MAX - action->fill % 3 : action->fill % 5;
        memcpy(buffer + i, &word, 8);
    }
}

/* Three vectors, one of them empty. */
static void vectors(const struct action *action, char *buffer, struct iovec iov[3])
{
    const size_t bytes = (size_t)action->len, first = bytes / 3;

    iov[0] = (struct iovec){buffer, first};
    iov[1] = (struct iovec){buffer, 0};
    iov[2] = (struct iovec){buffer + first, bytes - first};
}

static void note_bytes(struct result *result, const char *buffer)
{
    if (result->res > 0)
        result->hash = hash(buffer, (size_t)result->res);
}

/* A sum over the entries: a set. */
static uint64_t hash_entries(const char *buffer, int64_t bytes)
{
    uint64_t sum = 0;

    for (int64_t at = 0; at < bytes;) {
        const struct dirent64 *entry = (const void *)(buffer + at);

        sum += hash(entry->d_name, strlen(entry->d_name)) * (entry->d_type + 1u);
        at += entry->d_reclen;
    }
    return sum;
}

static void note_statx(struct result *result, const struct statx *stat)
{
    if (result->res != 0)
        return;
    result->words[0] = stat->stx_mode;
    result->words[1] = stat->stx_nlink;
    result->words[2] = S_ISDIR(stat->stx_mode) ? 0 : (int64_t)stat->stx_size;
    if (S_ISREG(stat->stx_mode) || S_ISDIR(stat->stx_mode) || S_ISLNK(stat->stx_mode)) {
        result->words[3] = stat->stx_uid;
        result->words[4] = stat->stx_gid;
    }
}

static void note_lock(struct result *result, const struct flock *lock)
{
    if (result->res != 0)
        return;
    result->words[0] = lock->l_type;
    if (lock->l_type == F_UNLCK)
        return;
    result->words[1] = lock->l_start;
    result->words[2] = lock->l_len;
    result->words[3] = lock->l_whence;
    result->words[4] = lock->l_pid;
}

/* ── The simulated side ────────────────────────────────────────────────────────────────────── */

/* What would wait: the real descriptors are O_NONBLOCK, and these are plain calls. */
static int64_t unless_blocked(int64_t res)
{
    return res == RIG_BLOCKED ? -EAGAIN : res;
}

static int64_t sim_rw(struct rig *rig, const struct action *a)
{
    struct iovec iov[3];

    vectors(a, buffer_sim, iov);
    switch (a->call) {
    case C_READ:
        return RIG(rig, read, a->fd, buffer_sim, (unsigned)a->len, (uint64_t)-1);
    case C_PREAD:
        return RIG(rig, read, a->fd, buffer_sim, (unsigned)a->len, (uint64_t)a->off);
    case C_READV:
        return RIG(rig, readv, a->fd, iov, 3, (uint64_t)-1);
    case C_WRITE:
        return RIG(rig, write, a->fd, buffer_sim, (unsigned)a->len, (uint64_t)-1);
    case C_PWRITE:
        return RIG(rig, write, a->fd, buffer_sim, (unsigned)a->len, (uint64_t)a->off);
    default:
        return RIG(rig, writev, a->fd, iov, 3, (uint64_t)-1);
    }
}

static void sim_getdents(struct rig *rig, const struct action *a, struct result *r)
{
    tdw_sys_lseek(a->fd, 0, SEEK_SET);
    if (a->len == 8) {
        r->res = rig_raw(rig, TDW_OP_GETDENTS, a->fd, buffer_sim, 8, 0);
        return;
    }
    while ((r->res = rig_raw(rig, TDW_OP_GETDENTS, a->fd, buffer_sim, 600, 0)) > 0)
        r->hash += hash_entries(buffer_sim, r->res);
}

static int64_t sim_names(struct rig *rig, const struct action *a)
{
    switch (a->call) {
    case C_OPEN:
        return RIG(rig, openat, a->fd, a->path, a->flags, (mode_t)a->mode);
    case C_RENAME:
        return RIG(rig, renameat, a->fd, a->path, a->fd2, a->path2, (unsigned)a->flags);
    case C_LINK:
        return RIG(rig, linkat, a->fd, a->path, a->fd2, a->path2, a->flags);
    case C_SYMLINK:
        return RIG(rig, symlinkat, a->path, a->fd2, a->path2);
    case C_UNLINK:
        return RIG(rig, unlinkat, a->fd, a->path, 0);
    case C_RMDIR:
        return RIG(rig, unlinkat, a->fd, a->path, AT_REMOVEDIR);
    case C_MKDIR:
        return RIG(rig, mkdirat, a->fd, a->path, (mode_t)a->mode);
    case C_TRUNCATE:
        return tdw_sys_truncate(a->path, a->off);
    case C_ACCESS:
        return tdw_sys_faccessat(a->fd, a->path, a->flags, 0);
    case C_CHDIR:
        return tdw_sys_chdir(a->path);
    case C_MKNOD:
        return tdw_sys_mknod(a->path, (mode_t)(a->flags | a->mode), 0);
    default:
        return tdw_sys_chmod(a->path, (mode_t)a->mode);
    }
}

static int64_t sim_fds(struct rig *rig, const struct action *a, struct result *r)
{
    int fds[2] = {0, 0}, res;

    switch (a->call) {
    case C_CLOSE:
        return RIG(rig, close, a->fd);
    case C_FTRUNCATE:
        return rig_raw(rig, TDW_OP_FTRUNCATE, a->fd, NULL, 0, (uint64_t)a->off);
    case C_FALLOCATE:
        return RIG(rig, fallocate, a->fd, a->flags, a->off, a->len);
    case C_LSEEK:
        return tdw_sys_lseek(a->fd, a->off, a->flags);
    case C_DUP:
        return tdw_sys_dup(a->fd);
    case C_DUP2:
        return tdw_sys_dup2(a->fd, a->fd2);
    case C_DUP3:
        return tdw_sys_dup3(a->fd, a->fd2, a->flags);
    case C_DUPFD:
        return tdw_sys_fcntl(a->fd, a->len & 1 ? F_DUPFD_CLOEXEC : F_DUPFD, a->fd2);
    case C_GETFL:
        return tdw_sys_fcntl(a->fd, F_GETFL);
    case C_SETFL:
        return tdw_sys_fcntl(a->fd, F_SETFL, a->flags);
    case C_GETFD:
        return tdw_sys_fcntl(a->fd, F_GETFD);
    case C_SETFD:
        return tdw_sys_fcntl(a->fd, F_SETFD, a->flags);
    case C_PIPESZ:
        return tdw_sys_fcntl(a->fd, F_GETPIPE_SZ);
    case C_SETPIPESZ:
        return tdw_sys_fcntl(a->fd, F_SETPIPE_SZ, (int)a->len);
    case C_FLOCK:
        return tdw_sys_flock(a->fd, a->flags);
    case C_PIPE:
        res = tdw_sys_pipe2(fds, a->flags);
        r->words[0] = fds[0];
        r->words[1] = fds[1];
        return res;
    case C_EVENTFD:
        return tdw_sys_eventfd((unsigned)a->len, a->flags);
    case C_FCHDIR:
        return tdw_sys_fchdir(a->fd);
    case C_FCHMOD:
        return tdw_sys_fchmod(a->fd, (mode_t)a->mode);
    case C_UMASK:
        return tdw_sys_umask((mode_t)a->flags);
    case C_POLL:
        res = RIG(rig, poll_add, a->fd, (unsigned)a->flags);
        return res == RIG_BLOCKED ? 0 : res;
    default:
        return RIG(rig, fsync, a->fd, 0);
    }
}

static void run_sim(struct rig *rig, const struct action *a, struct result *r)
{
    struct flock lock = a->lock;
    struct statx stat;

    memset(r, 0, sizeof(*r));
    switch (a->call) {
    case C_READ:
    case C_PREAD:
    case C_READV:
        r->res = unless_blocked(sim_rw(rig, a));
        note_bytes(r, buffer_sim);
        break;
    case C_WRITE:
    case C_PWRITE:
    case C_WRITEV:
        fill(buffer_sim, a);
        r->res = unless_blocked(sim_rw(rig, a));
        break;
    case C_STAT:
        r->res = RIG(rig, statx, a->fd, a->path, a->flags, STATX_BASIC_STATS, &stat);
        note_statx(r, &stat);
        break;
    case C_FSTAT:
        r->res = RIG(rig, statx, a->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat);
        note_statx(r, &stat);
        break;
    case C_SETLK:
        r->res = tdw_sys_fcntl(a->fd, a->flags, &lock);
        break;
    case C_GETLK:
        r->res = tdw_sys_fcntl(a->fd, a->flags, &lock);
        note_lock(r, &lock);
        break;
    case C_GETDENTS:
        sim_getdents(rig, a, r);
        break;
    case C_READLINK:
        r->res = tdw_sys_readlinkat(a->fd, a->path, buffer_sim, (size_t)a->len);
        note_bytes(r, buffer_sim);
        break;
    case C_GETCWD:
        r->res = tdw_sys_getcwd(buffer_sim, (size_t)a->len);
        note_bytes(r, buffer_sim);
        break;
    case C_OPEN:
    case C_RENAME:
    case C_LINK:
    case C_SYMLINK:
    case C_UNLINK:
    case C_RMDIR:
    case C_MKDIR:
    case C_TRUNCATE:
    case C_ACCESS:
    case C_CHDIR:
    case C_CHMOD:
    case C_MKNOD:
        r->res = sim_names(rig, a);
        break;
    default:
        r->res = sim_fds(rig, a, r);
    }
}

/* ── The real side ─────────────────────────────────────────────────────────────────────────── */

static int64_t real(int64_t res)
{
    return res < 0 ? -errno : res;
}

static int64_t real_rw(const struct action *a)
{
    struct iovec iov[3];

    vectors(a, buffer_real, iov);
    switch (a->call) {
    case C_READ:
        return real(read(a->fd, buffer_real, (size_t)a->len));
    case C_PREAD:
        return real(pread(a->fd, buffer_real, (size_t)a->len, a->off));
    case C_READV:
        return real(readv(a->fd, iov, 3));
    case C_WRITE:
        return real(write(a->fd, buffer_real, (size_t)a->len));
    case C_PWRITE:
        return real(pwrite(a->fd, buffer_real, (size_t)a->len, a->off));
    default:
        return real(writev(a->fd, iov, 3));
    }
}

static void real_getdents(const struct action *a, struct result *r)
{
    lseek(a->fd, 0, SEEK_SET);
    if (a->len == 8) {
        r->res = real(syscall(SYS_getdents64, a->fd, buffer_real, 8));
        return;
    }
    while ((r->res = real(syscall(SYS_getdents64, a->fd, buffer_real, 600))) > 0)
        r->hash += hash_entries(buffer_real, r->res);
}

static int64_t real_names(const struct action *a)
{
    switch (a->call) {
    case C_OPEN:
        return real(openat(a->fd, a->path, a->flags, (mode_t)a->mode));
    case C_RENAME:
        return real(syscall(SYS_renameat2, a->fd, a->path, a->fd2, a->path2, a->flags));
    case C_LINK:
        return real(linkat(a->fd, a->path, a->fd2, a->path2, a->flags));
    case C_SYMLINK:
        return real(symlinkat(a->path, a->fd2, a->path2));
    case C_UNLINK:
        return real(unlinkat(a->fd, a->path, 0));
    case C_RMDIR:
        return real(unlinkat(a->fd, a->path, AT_REMOVEDIR));
    case C_MKDIR:
        return real(mkdirat(a->fd, a->path, (mode_t)a->mode));
    case C_TRUNCATE:
        return real(truncate(a->path, a->off));
    case C_ACCESS:
        return real(faccessat(a->fd, a->path, a->flags, 0));
    case C_CHDIR:
        return real(chdir(a->path));
    case C_MKNOD:
        return real(mknod(a->path, (mode_t)(a->flags | a->mode), 0));
    default:
        return real(chmod(a->path, (mode_t)a->mode));
    }
}

static int64_t real_poll(const struct action *a)
{
    struct pollfd fd = {.fd = a->fd, .events = (short)a->flags};

    if (a->fd < 0)
        return -EBADF;
    if (poll(&fd, 1, 0) < 0)
        return -errno;
    return fd.revents & POLLNVAL ? -EBADF : fd.revents;
}

static int64_t real_fds(const struct action *a, struct result *r)
{
    int fds[2] = {0, 0};
    int64_t res;

    switch (a->call) {
    case C_CLOSE:
        return real(close(a->fd));
    case C_FTRUNCATE:
        return real(ftruncate(a->fd, a->off));
    case C_FALLOCATE:
        return real(fallocate(a->fd, a->flags, a->off, a->len));
    case C_LSEEK:
        return real(lseek(a->fd, a->off, a->flags));
    case C_DUP:
        return real(dup(a->fd));
    case C_DUP2:
        return real(dup2(a->fd, a->fd2));
    case C_DUP3:
        return real(dup3(a->fd, a->fd2, a->flags));
    case C_DUPFD:
        return real(fcntl(a->fd, a->len & 1 ? F_DUPFD_CLOEXEC : F_DUPFD, a->fd2));
    case C_GETFL:
        return real(fcntl(a->fd, F_GETFL));
    case C_SETFL:
        return real(fcntl(a->fd, F_SETFL, a->flags));
    case C_GETFD:
        return real(fcntl(a->fd, F_GETFD));
    case C_SETFD:
        return real(fcntl(a->fd, F_SETFD, a->flags));
    case C_PIPESZ:
        return real(fcntl(a->fd, F_GETPIPE_SZ));
    case C_SETPIPESZ:
        return real(fcntl(a->fd, F_SETPIPE_SZ, (int)a->len));
    case C_FLOCK:
        return real(flock(a->fd, a->flags));
    case C_PIPE:
        res = real(pipe2(fds, a->flags));
        r->words[0] = fds[0];
        r->words[1] = fds[1];
        return res;
    case C_EVENTFD:
        return real(eventfd((unsigned)a->len, a->flags));
    case C_FCHDIR:
        return real(fchdir(a->fd));
    case C_FCHMOD:
        return real(fchmod(a->fd, (mode_t)a->mode));
    case C_UMASK:
        return umask((mode_t)a->flags);
    case C_POLL:
        return real_poll(a);
    default:
        return real(fsync(a->fd));
    }
}

static void run_real(const struct action *a, struct result *r)
{
    struct flock lock = a->lock;
    struct statx stat;

    memset(r, 0, sizeof(*r));
    switch (a->call) {
    case C_READ:
    case C_PREAD:
    case C_READV:
        r->res = real_rw(a);
        note_bytes(r, buffer_real);
        break;
    case C_WRITE:
    case C_PWRITE:
    case C_WRITEV:
        fill(buffer_real, a);
        r->res = real_rw(a);
        break;
    case C_STAT:
        r->res = real(statx(a->fd, a->path, a->flags, STATX_BASIC_STATS, &stat));
        note_statx(r, &stat);
        break;
    case C_FSTAT:
        r->res = real(statx(a->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat));
        note_statx(r, &stat);
        break;
    case C_SETLK:
        r->res = real(fcntl(a->fd, a->flags, &lock));
        break;
    case C_GETLK:
        r->res = real(fcntl(a->fd, a->flags, &lock));
        note_lock(r, &lock);
        break;
    case C_GETDENTS:
        real_getdents(a, r);
        break;
    case C_READLINK:
        r->res = real(readlinkat(a->fd, a->path, buffer_real, (size_t)a->len));
        note_bytes(r, buffer_real);
        break;
    case C_GETCWD:
        r->res = real(syscall(SYS_getcwd, buffer_real, a->len));
        note_bytes(r, buffer_real);
        break;
    case C_OPEN:
    case C_RENAME:
    case C_LINK:
    case C_SYMLINK:
    case C_UNLINK:
    case C_RMDIR:
    case C_MKDIR:
    case C_TRUNCATE:
    case C_ACCESS:
    case C_CHDIR:
    case C_CHMOD:
    case C_MKNOD:
        r->res = real_names(a);
        break;
    default:
        r->res = real_fds(a, r);
    }
}

/* ── One program ───────────────────────────────────────────────────────────────────────────── */

/* What older kernels do otherwise is left out there. */
static void as_before(struct action *a)
{
    if (a->call == C_OPEN && a->flags & O_CREAT) /* with O_DIRECTORY refused since 6.4 */
        a->flags &= ~O_DIRECTORY;
    if (a->call == C_GETLK && a->lock.l_type != F_WRLCK) /* F_OFD_GETLK of F_UNLCK since 6.6 */
        a->lock.l_type = F_RDLCK;
    if (a->call == C_EVENTFD) /* writes of more than 8 bytes refused since 6.9 */
        a->call = C_PIPESZ;
}

/* What the two interfaces define differently is turned into what both do alike: io_uring ignores
 * the offset of what cannot seek, plain calls refuse it; sim locks only what has an inode; a
 * directory's positions are its file system's own. */
static void comparable(struct action *a, bool preallocated)
{
    const int access = fcntl(a->fd, F_GETFL);
    struct stat stat;

    if (!recent)
        as_before(a);
    /* A plain call looks at the offset first, io_uring at the descriptor. */
    if (a->off < 0 && a->call == C_PREAD &&
        (access < 0 || access & O_PATH || (access & O_ACCMODE) % 2 == 1))
        a->call = C_READ;
    if (a->off < 0 && a->call == C_PWRITE &&
        (access < 0 || access & O_PATH || (access & O_ACCMODE) % 3 == 0))
        a->call = C_WRITE;
    /* A plain call looks at the second path when it comes to it, io_uring at once. */
    if ((a->call == C_RENAME || a->call == C_LINK) && !*a->path2)
        memcpy(a->path2, "f", 2);
    /* io_uring takes the path first, and then looks at the flags. */
    if (a->call == C_OPEN && !*a->path)
        a->flags = O_RDONLY;
    /* Nobody else is there to open the other end. */
    if (a->call == C_OPEN && fstatat(a->fd, a->path, &stat, 0) == 0 && S_ISFIFO(stat.st_mode))
        a->flags |= O_NONBLOCK;
    if (a->call == C_FALLOCATE && !zeroes)
        a->flags &= ~FALLOC_FL_ZERO_RANGE;
    if (a->call == C_FTRUNCATE && a->off < 0 && (access < 0 || access & O_PATH))
        a->off = 0;
    if (a->call == C_STAT && !*a->path && a->flags != AT_EMPTY_PATH)
        a->flags = 0;
    if (a->fd < 0 || fstat(a->fd, &stat) < 0)
        return;
    if (S_ISDIR(stat.st_mode) && a->call == C_LSEEK) {
        a->off = 0;
        a->flags = SEEK_SET;
    }
    /* Where there is data in preallocated space depends on what the page cache holds. */
    if (preallocated && a->call == C_LSEEK && (a->flags == SEEK_DATA || a->flags == SEEK_HOLE))
        a->flags = SEEK_END;
    if (S_ISDIR(stat.st_mode) && a->lock.l_whence != 9)
        a->lock.l_whence = SEEK_SET;
    if (S_ISDIR(stat.st_mode) && (a->call == C_READ || a->call == C_READV)) {
        a->off = 0;
        a->call = C_PREAD;
    }
    if (S_ISDIR(stat.st_mode) && a->call == C_PREAD && a->len == 0)
        a->len = 8; /* io_uring's read of no bytes does not reach a directory */
    if (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode) || S_ISLNK(stat.st_mode))
        return;
    if (!(stat.st_mode & S_IFMT) && a->len == 0 &&
        (a->call == C_WRITE || a->call == C_PWRITE || a->call == C_WRITEV))
        a->len = 8; /* nor does io_uring's write of no bytes reach an eventfd */
    switch (a->call) {
    case C_READV: /* a plain call of no bytes does not reach the file */
        a->call = a->len > 0 ? C_READV : C_READ;
        break;
    case C_PREAD:
        a->call = C_READ;
        break;
    case C_PWRITE:
    case C_WRITEV:
        a->call = C_WRITE;
        break;
    case C_SETLK:
    case C_GETLK:
    case C_FLOCK:
    case C_FCHMOD:
        a->call = C_FSTAT;
        break;
    default:
        break;
    }
}

struct report {
    size_t bytes;
    uint64_t steps, calls[C_COUNT], successes[C_COUNT];
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
    say("%4u %-9s fd %d fd2 %d flags %#x mode %#o off %lld len %lld '%.40s' '%.40s'", step,
        call_names[a->call], a->fd, a->fd2, (unsigned)a->flags, (unsigned)a->mode,
        (long long)a->off, (long long)a->len, a->path, a->path2);
    if (a->call == C_SETLK || a->call == C_GETLK)
        say(" lock %d whence %d %lld+%lld", a->lock.l_type, a->lock.l_whence,
            (long long)a->lock.l_start, (long long)a->lock.l_len);
    say(" = %lld\n", (long long)r->res);
}

static bool same(const struct result *a, const struct result *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool compare(struct rig *rig, const struct action *action, uint32_t step)
{
    struct result sim, real_result;

    run_real(action, &real_result);
    run_sim(rig, action, &sim);
    report->steps++;
    report->calls[action->call]++;
    report->successes[action->call] += real_result.res >= 0;
    say_action(step, action, &real_result);
    if (same(&sim, &real_result))
        return true;
    say("     real %lld hash %llx words %lld %lld %lld %lld %lld\n", (long long)real_result.res,
        (unsigned long long)real_result.hash, (long long)real_result.words[0],
        (long long)real_result.words[1], (long long)real_result.words[2],
        (long long)real_result.words[3], (long long)real_result.words[4]);
    say("     sim  %lld hash %llx words %lld %lld %lld %lld %lld\n", (long long)sim.res,
        (unsigned long long)sim.hash, (long long)sim.words[0], (long long)sim.words[1],
        (long long)sim.words[2], (long long)sim.words[3], (long long)sim.words[4]);
    return false;
}

/* Everything that is there now, from the root: attributes of each name to a depth of three, and
 * what the files hold at their beginnings. */
static bool compare_all(struct rig *rig)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct action action = {.call = C_CHDIR, .path = "/"};

    for (int fd = 0; fd < FDS; fd++) {
        close(fd);
        RIG(rig, close, fd);
    }
    if (!compare(rig, &action, STEPS))
        return false;
    for (uint32_t i = 0; i < 7 * 7 * 7; i++) {
        const uint32_t at[3] = {i % 7, i / 7 % 7, i / 49};

        if (at[0] == 6 || (at[1] == 6 && at[2] != 6))
            continue;
        snprintf(action.path, sizeof(action.path), "%s%s%s%s%s", names[at[0]], at[1] < 6 ? "/" : "",
                 at[1] < 6 ? names[at[1]] : "", at[2] < 6 ? "/" : "",
                 at[2] < 6 ? names[at[2]] : "");
        action.fd = AT_FDCWD;
        action.call = C_STAT;
        action.flags = AT_SYMLINK_NOFOLLOW;
        if (!compare(rig, &action, STEPS))
            return false;
        action.call = C_OPEN;
        action.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
        if (!compare(rig, &action, STEPS))
            return false;
        action.call = C_READ;
        action.fd = 0;
        action.len = 70000;
        if (!compare(rig, &action, STEPS))
            return false;
        action.call = C_GETDENTS;
        if (!compare(rig, &action, STEPS))
            return false;
        close(0);
        RIG(rig, close, 0);
    }
    return true;
}

static bool run_program(uint64_t seed)
{
    struct dice dice = {seed};
    struct action action;
    struct rig rig;
    bool alike = true, preallocated = false;

    trees = seed % 3 == 0;
    rig_init(&rig, NULL);
    rig.disk->file_bytes_max = (uint64_t)size_max;
    rig.process.pid = getpid();
    tdw__disk_seed_dir(rig.disk, "/scratch");
    if (tdw__files_chroot(rig.process.files, "/scratch") ||
        tdw__files_chdir(rig.process.files, "/scratch/../scratch/."))
        tdw__files_chdir(rig.process.files, "/");
    tdw__files_limit(rig.process.files, FDS, FDS);
    for (int fd = 0; fd < 3; fd++)
        RIG(&rig, close, fd);
    for (uint32_t step = 0; alike && step < STEPS; step++) {
        draw(&dice, &action);
        if (step < 8)
            begin(&dice, step, &action);
        preallocated |= action.call == C_FALLOCATE;
        comparable(&action, preallocated);
        alike = compare(&rig, &action, step);
    }
    if (alike)
        alike = compare_all(&rig);
    rig_fini(&rig, true);
    return alike;
}

static bool put(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY);
    const bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* Uid 0 in a user namespace of our own, where chroot is allowed. */
static bool become_root(void)
{
    const unsigned uid = geteuid(), gid = getegid();
    char map[64];

    if (uid == 0)
        return true;
    if (unshare(CLONE_NEWUSER))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (!put("/proc/self/uid_map", map) || !put("/proc/self/setgroups", "deny"))
        return false;
    snprintf(map, sizeof(map), "0 %u 1", gid);
    return put("/proc/self/gid_map", map);
}

/* In the child: nothing is open, and the root is `scratch`. */
static int child(const char *scratch, uint64_t seed)
{
    const struct rlimit fds = {FDS, FDS};

    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    umask(022);
    if (chmod(scratch, 0755) || chdir(scratch) || chroot("."))
        return 77;
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    setrlimit(RLIMIT_NOFILE, &fds);
    return run_program(seed) ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static int status_of(pid_t pid)
{
    int status;

    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 77;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* As the root of a namespace, if need be: run the program in one more child, and clear up. */
static int contained(const char *scratch, uint64_t seed)
{
    int status;
    pid_t pid;

    if (!become_root())
        return 77;
    pid = fork();
    if (pid == 0)
        _exit(child(scratch, seed));
    status = status_of(pid);
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* 0: alike; 1: a difference, told in the report; 77: not possible here. */
static int in_child(uint64_t seed)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char scratch[PATH_BYTES];
    int status;
    pid_t pid;

    snprintf(scratch, sizeof(scratch), "%s/tdw-files-XXXXXX", base);
    if (!mkdtemp(scratch))
        return 77;
    report->bytes = 0;
    report->text[0] = '\0';
    pid = fork();
    if (pid == 0)
        _exit(contained(scratch, seed));
    status = status_of(pid);
    rmdir(scratch);
    return status;
}

/* The largest size of a file where the scratch directories are; whether ranges can be zeroed. */
static int64_t probe(void)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char path[PATH_BYTES];
    int64_t low = 0, high = INT64_MAX;
    unsigned major = 0, minor = 0;
    struct utsname name;
    int fd;

    if (uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2)
        recent = major > 6 || (major == 6 && minor >= 12);

    snprintf(path, sizeof(path), "%s/tdw-size-XXXXXX", base);
    fd = mkstemp(path);
    if (fd < 0)
        return high;
    unlink(path);
    zeroes = fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096) == 0;
    while (low < high) {
        const int64_t size = low + (high - low) / 2 + (high - low) % 2;

        if (ftruncate(fd, size) == 0)
            low = size;
        else
            high = size - 1;
    }
    close(fd);
    return low;
}

static void random_programs_answer_as_the_real_kernel(void **state)
{
    const char *only = getenv("TDW_FILES_SEED"), *many = getenv("TDW_FILES_PROGRAMS");
    const uint64_t first = only ? strtoull(only, NULL, 0) : 1;
    const uint64_t count = only ? 1 : many ? strtoull(many, NULL, 0) : PROGRAMS;

    (void)state;
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(report, MAP_FAILED);
    size_max = probe();
    for (uint64_t seed = first; seed < first + count; seed++) {
        const int status = in_child(seed);

        if (status == 77) {
            print_message("no right to chroot: skipped\n");
            munmap(report, sizeof(*report));
            skip();
        }
        if (status != 0) {
            fprintf(stderr, "TDW_FILES_SEED=%llu differs:\n", (unsigned long long)seed);
            fputs(report->text, stderr);
            fail();
        }
    }
    for (uint32_t i = 0; many && i < C_COUNT; i++)
        print_message("%-10s %8llu calls, %llu succeeded\n", call_names[i],
                      (unsigned long long)report->calls[i],
                      (unsigned long long)report->successes[i]);
    if (!only)
        assert_true(report->steps >= 20000);
    munmap(report, sizeof(*report));
}

int tests_files_real(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_answer_as_the_real_kernel),
    };

    return cmocka_run_group_tests_name("files_real", tests, NULL, NULL);
}
