/* SPDX-License-Identifier: MIT */
/*
 * System calls that never wait (include/tidewheel/sys.h), on the running task's process.
 *
 * Each call is a static function that answers 0 or more, or -errno, and one around it, which the
 * table of calls names, that makes it an event: number, descriptor, two words, the hash of the
 * path. Nothing here blocks, takes virtual time, or touches errno.
 */
#define XXH_INLINE_ALL
#include <tidewheel/sys.h>
#include <sim/kernel/vfs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <xxhash.h>

static struct tdw_files *files(void)
{
    return tdw__process()->files;
}

static uint64_t now(void)
{
    return tdw__now(tdw__process());
}

static uint64_t hash_path(const char *path)
{
    return path ? XXH3_64bits(path, strlen(path)) : 0;
}

/* ── lseek ─────────────────────────────────────────────────────────────────────────────────── */

static int64_t seek_to(struct tdw_file *file, int64_t base, int64_t offset)
{
    int64_t pos;

    if (__builtin_add_overflow(base, offset, &pos) || pos < 0 ||
        (uint64_t)pos > file->disk->file_bytes_max)
        return -EINVAL;
    file->pos = (uint64_t)pos;
    return pos;
}

static int64_t seek_content(struct tdw_file *file, int64_t offset, bool hole)
{
    int64_t pos;

    if (!tdw__is_reg(file->inode))
        return -EINVAL;
    if (offset < 0)
        return -ENXIO;
    pos = tdw__pages_seek(file->inode, (uint64_t)offset, hole);
    if (pos >= 0)
        file->pos = (uint64_t)pos;
    return pos;
}

static int64_t do_lseek(int fd, int64_t offset, int whence)
{
    struct tdw_file *file = tdw__fd(files(), fd);

    if (!file)
        return -EBADF;
    if (whence < SEEK_SET || whence > SEEK_HOLE)
        return -EINVAL;
    if (S_ISFIFO(file->kind->mode) || S_ISSOCK(file->kind->mode))
        return -ESPIPE;
    if (file->kind != &tdw__kind_reg && file->kind != &tdw__kind_dir)
        return 0;
    switch (whence) {
    case SEEK_SET:
        return seek_to(file, 0, offset);
    case SEEK_CUR:
        return seek_to(file, (int64_t)file->pos, offset);
    case SEEK_END:
        return seek_to(file, tdw__is_reg(file->inode) ? (int64_t)file->inode->now.size : INT64_MAX,
                       offset);
    default:
        return seek_content(file, offset, whence == SEEK_HOLE);
    }
}

int64_t tdw__sim_sys_lseek(int fd, int64_t offset, int whence)
{
    const int64_t res = do_lseek(fd, offset, whence);

    tdw__sys_event(TDW_SYS_LSEEK, fd, (uint64_t)offset, (uint64_t)whence, 0, res);
    return res;
}

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

/* The commands that also work on O_PATH. */
static int fcntl_any(struct tdw_files *table, int fd, int cmd, int arg)
{
    const struct tdw_file *file = tdw__fd_any(table, fd);

    if (!file)
        return -EBADF;
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return tdw__fd_dup(table, fd, arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return tdw__fd_cloexec(table, fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
        tdw__fd_set_cloexec(table, fd, arg & FD_CLOEXEC);
        return 0;
    case F_GETFL:
        return file->flags;
    default:
        return file->bits & TDW_FILE_PATH ? -EBADF : -EINVAL;
    }
}

static int fcntl_lock(struct tdw_file *file, int cmd, struct flock *lock)
{
    if (!lock)
        return -EFAULT;
    if (cmd == F_GETLK || cmd == F_OFD_GETLK)
        return tdw__lock_get(tdw__process(), file, cmd, lock);
    return tdw__lock_set(tdw__process(), file, cmd, lock);
}

int tdw__sim_sys_fcntl(int fd, int cmd, uintptr_t word)
{
    const bool locks = cmd == F_SETLK || cmd == F_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_GETLK;
    struct tdw_file *file = tdw__fd(files(), fd);
    struct flock *lock = locks ? tdw__pointer(word) : NULL;
    const int arg = locks ? 0 : (int)word;
    uint64_t off = 0, len = 0;
    int res;

    if (lock) {
        off = (uint64_t)lock->l_start ^ (uint64_t)lock->l_type << 56;
        len = (uint64_t)lock->l_len ^ (uint64_t)lock->l_whence << 56;
    } else {
        off = (uint64_t)arg;
    }
    if (locks && file)
        res = fcntl_lock(file, cmd, lock);
    else if (file && cmd == F_SETFL)
        res = tdw__fd_setfl(file, arg);
    else if (file && cmd == F_GETPIPE_SZ)
        res = tdw__pipe_size(file);
    else if (file && cmd == F_SETPIPE_SZ)
        res = tdw__pipe_resize(file, (uint32_t)arg);
    else
        res = fcntl_any(files(), fd, cmd, arg);
    return tdw__sys_event(TDW_SYS_FCNTL, fd, off, len, (uint64_t)cmd, res);
}

int tdw__sim_sys_dup(int fd)
{
    return tdw__sys_event(TDW_SYS_DUP, fd, 0, 0, 0, tdw__fd_dup(files(), fd, 0, false));
}

int tdw__sim_sys_dup2(int fd, int to)
{
    int res;

    if (fd == to)
        res = tdw__fd_any(files(), fd) ? fd : -EBADF;
    else
        res = tdw__fd_dup3(files(), fd, to, 0);
    return tdw__sys_event(TDW_SYS_DUP2, fd, (uint64_t)to, 0, 0, res);
}

int tdw__sim_sys_dup3(int fd, int to, int flags)
{
    return tdw__sys_event(TDW_SYS_DUP3, fd, (uint64_t)to, (uint64_t)flags, 0,
                          tdw__fd_dup3(files(), fd, to, flags));
}

int tdw__sim_sys_pipe2(int fds[2], int flags)
{
    int got[2] = {-1, -1};
    const int res = tdw__pipe_open(files(), got, flags);

    if (res == 0) {
        fds[0] = got[0];
        fds[1] = got[1];
    }
    return tdw__sys_event(TDW_SYS_PIPE2, got[0], (uint64_t)got[1], (uint64_t)flags, 0, res);
}

int tdw__sim_sys_eventfd(unsigned value, int flags)
{
    return tdw__sys_event(TDW_SYS_EVENTFD, -1, value, (uint64_t)flags, 0,
                          tdw__eventfd_open(files(), value, flags));
}

static int do_flock(int fd, int operation)
{
    struct tdw_file *file = tdw__fd(files(), fd);

    if (operation != LOCK_UN && !(operation & LOCK_NB))
        return -EINVAL;
    return tdw__flock(file, operation);
}

int tdw__sim_sys_flock(int fd, int operation)
{
    return tdw__sys_event(TDW_SYS_FLOCK, fd, 0, (uint64_t)operation, 0, do_flock(fd, operation));
}

/* ── Paths ─────────────────────────────────────────────────────────────────────────────────── */

static int find(int dirfd, const char *path, uint32_t flags, struct tdw_inode **inode)
{
    struct tdw_walk walk;
    const int err = tdw__walk_existing(files(), dirfd, path, flags, &walk);

    *inode = walk.inode;
    return err;
}

/* The inode of a descriptor; NULL (and 0) if it has none. */
static int find_fd(int fd, struct tdw_inode **inode)
{
    const struct tdw_file *file = tdw__fd(files(), fd);

    *inode = file ? file->inode : NULL;
    return file ? 0 : -EBADF;
}

static int do_truncate(const char *path, int64_t length)
{
    struct tdw_inode *inode;
    int err;

    if (length < 0)
        return -EINVAL;
    err = find(AT_FDCWD, path, TDW_WALK_FOLLOW, &inode);
    if (err)
        return err;
    if (!tdw__is_reg(inode))
        return tdw__is_dir(inode) ? -EISDIR : -EINVAL;
    return tdw__inode_resize(inode, (uint64_t)length, now());
}

int tdw__sim_sys_truncate(const char *path, int64_t length)
{
    return tdw__sys_event(TDW_SYS_TRUNCATE, -1, (uint64_t)length, 0, hash_path(path),
                          do_truncate(path, length));
}

static int do_access(int dirfd, const char *path, int mode, int flags)
{
    struct tdw_inode *inode;
    int err;

    if (mode & ~(R_OK | W_OK | X_OK) || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    err = find(dirfd, path,
               (flags & AT_SYMLINK_NOFOLLOW ? 0u : TDW_WALK_FOLLOW) |
                   (flags & AT_EMPTY_PATH ? TDW_WALK_EMPTY : 0u),
               &inode);
    if (err)
        return err == -EXDEV && !(mode & X_OK) ? 0 : err;
    /* Even uid 0 runs only what somebody may run. */
    if (mode & X_OK && !tdw__is_dir(inode) && !(inode->now.mode & 0111))
        return -EACCES;
    return 0;
}

int tdw__sim_sys_access(const char *path, int mode)
{
    return tdw__sys_event(TDW_SYS_ACCESS, -1, 0, (uint64_t)mode, hash_path(path),
                          do_access(AT_FDCWD, path, mode, 0));
}

int tdw__sim_sys_faccessat(int dirfd, const char *path, int mode, int flags)
{
    return tdw__sys_event(TDW_SYS_FACCESSAT, dirfd, (uint64_t)flags, (uint64_t)mode,
                          hash_path(path), do_access(dirfd, path, mode, flags));
}

static int do_readlink(int dirfd, const char *path, char *buffer, size_t bytes)
{
    struct tdw_inode *inode;
    size_t length;
    int err;

    if (bytes == 0 || bytes > INT32_MAX)
        return -EINVAL;
    err = find(dirfd, path, TDW_WALK_EMPTY, &inode);
    if (err)
        return err == -EXDEV ? -ENOENT : err;
    if (!tdw__is_lnk(inode))
        return *path ? -EINVAL : -ENOENT;
    length = strlen(inode->target);
    if (length > bytes)
        length = bytes;
    memcpy(buffer, inode->target, length);
    return (int)length;
}

int tdw__sim_sys_readlink(const char *path, char *buffer, size_t bytes)
{
    const int res = path && !*path ? -ENOENT : do_readlink(AT_FDCWD, path, buffer, bytes);

    return tdw__sys_event(TDW_SYS_READLINK, -1, 0, bytes, hash_path(path), res);
}

int tdw__sim_sys_readlinkat(int dirfd, const char *path, char *buffer, size_t bytes)
{
    return tdw__sys_event(TDW_SYS_READLINKAT, dirfd, 0, bytes, hash_path(path),
                          do_readlink(dirfd, path, buffer, bytes));
}

/* The character devices there are, by the numbers of Linux; 0: none. */
static uint32_t device_of(mode_t mode, dev_t device)
{
    if (!S_ISCHR(mode) || major(device) != 1)
        return 0;
    switch (minor(device)) {
    case TDW_DEV_NULL:
    case TDW_DEV_ZERO:
    case TDW_DEV_FULL:
    case TDW_DEV_RANDOM:
    case TDW_DEV_URANDOM:
        return minor(device);
    default:
        return 0;
    }
}

static int do_mknod(const char *path, mode_t mode, dev_t device)
{
    const mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    struct tdw_inode *inode;
    struct tdw_walk walk;
    int err;

    if (S_ISDIR(type))
        return -EPERM;
    if (!S_ISREG(type) && !S_ISFIFO(type) && !S_ISSOCK(type) && !S_ISCHR(type) && !S_ISBLK(type))
        return -EINVAL;
    err = tdw__walk(files(), AT_FDCWD, path, TDW_WALK_PARENT, &walk);
    if (err)
        return err;
    if (walk.last != TDW_LAST_NAME)
        return -EEXIST;
    err = tdw__walk_last(&walk);
    if (err)
        return err;
    if (walk.inode)
        return -EEXIST;
    if (walk.slash)
        return -ENOENT;
    if ((S_ISCHR(type) || S_ISBLK(type)) && !device_of(type, device))
        return -EPERM;
    if (tdw__disk_writable(files()->disk))
        return -EROFS;
    inode = tdw__inode_new(files()->disk, type | (mode & 07777 & ~files()->umask), now());
    if (!inode)
        return -ENOMEM;
    if (S_ISCHR(type))
        inode->device = device_of(type, device);
    err = tdw__name_put(walk.dir, walk.text, walk.bytes, inode, now());
    if (err)
        tdw__inode_settle(inode);
    return err;
}

int tdw__sim_sys_mknod(const char *path, mode_t mode, dev_t device)
{
    return tdw__sys_event(TDW_SYS_MKNOD, -1, mode, device, hash_path(path),
                          do_mknod(path, mode, device));
}

/* ── Attributes ────────────────────────────────────────────────────────────────────────────── */

static int set_mode(int err, struct tdw_inode *inode, mode_t mode)
{
    if (err || !inode)
        return err;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    inode->now.mode = (inode->now.mode & S_IFMT) | (mode & 07777);
    inode->now.ctime_ns = now();
    return 0;
}

int tdw__sim_sys_chmod(const char *path, mode_t mode)
{
    struct tdw_inode *inode;
    const int err = find(AT_FDCWD, path, TDW_WALK_FOLLOW, &inode);

    return tdw__sys_event(TDW_SYS_CHMOD, -1, 0, mode, hash_path(path), set_mode(err, inode, mode));
}

int tdw__sim_sys_fchmod(int fd, mode_t mode)
{
    struct tdw_inode *inode;
    const int err = find_fd(fd, &inode);

    return tdw__sys_event(TDW_SYS_FCHMOD, fd, 0, mode, 0, set_mode(err, inode, mode));
}

static int set_owner(int err, struct tdw_inode *inode, uid_t owner, gid_t group)
{
    if (err || !inode)
        return err;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    if (owner != (uid_t)-1)
        inode->now.uid = owner;
    if (group != (gid_t)-1)
        inode->now.gid = group;
    if (!tdw__is_dir(inode))
        inode->now.mode &= ~(uint32_t)(inode->now.mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID);
    inode->now.ctime_ns = now();
    return 0;
}

int tdw__sim_sys_chown(const char *path, uid_t owner, gid_t group)
{
    struct tdw_inode *inode;
    const int err = find(AT_FDCWD, path, TDW_WALK_FOLLOW, &inode);

    return tdw__sys_event(TDW_SYS_CHOWN, -1, owner, group, hash_path(path),
                          set_owner(err, inode, owner, group));
}

int tdw__sim_sys_fchown(int fd, uid_t owner, gid_t group)
{
    struct tdw_inode *inode;
    const int err = find_fd(fd, &inode);

    return tdw__sys_event(TDW_SYS_FCHOWN, fd, owner, group, 0, set_owner(err, inode, owner, group));
}

/* One of the two times; UTIME_OMIT leaves it. False if it is none. */
static bool set_time(uint64_t *time_ns, const struct timespec *time, uint64_t now_ns)
{
    if (time->tv_nsec == UTIME_NOW)
        *time_ns = now_ns;
    else if (time->tv_nsec == UTIME_OMIT)
        ;
    else if (time->tv_nsec < 0 || time->tv_nsec > 999999999)
        return false;
    else
        *time_ns =
            time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
    return true;
}

static int do_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    static const struct timespec both_now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    const struct timespec *given = times ? times : both_now;
    struct tdw_attributes changed = {0};
    struct tdw_inode *inode;
    int err;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!set_time(&changed.atime_ns, &given[0], 0) || !set_time(&changed.mtime_ns, &given[1], 0))
        return -EINVAL;
    if (given[0].tv_nsec == UTIME_OMIT && given[1].tv_nsec == UTIME_OMIT)
        return 0;
    if (!path && (flags || dirfd == AT_FDCWD))
        return flags ? -EINVAL : -EFAULT;
    err = path ? find(dirfd, path,
                      (flags & AT_SYMLINK_NOFOLLOW ? 0u : TDW_WALK_FOLLOW) |
                          (flags & AT_EMPTY_PATH ? TDW_WALK_EMPTY : 0u),
                      &inode)
               : find_fd(dirfd, &inode);
    if (err || !inode)
        return err;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    set_time(&inode->now.atime_ns, &given[0], now());
    set_time(&inode->now.mtime_ns, &given[1], now());
    inode->now.ctime_ns = now();
    return 0;
}

int tdw__sim_sys_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    return tdw__sys_event(TDW_SYS_UTIMENSAT, dirfd, 0, (uint64_t)flags, hash_path(path),
                          do_utimensat(dirfd, path, times, flags));
}

/* ── The process ───────────────────────────────────────────────────────────────────────────── */

int tdw__sim_sys_getcwd(char *buffer, size_t bytes)
{
    return tdw__sys_event(TDW_SYS_GETCWD, -1, 0, bytes, 0,
                          tdw__names_path(files()->cwd, files()->root, buffer, bytes));
}

int tdw__sim_sys_chdir(const char *path)
{
    return tdw__sys_event(TDW_SYS_CHDIR, -1, 0, 0, hash_path(path),
                          tdw__files_chdir(files(), path));
}

int tdw__sim_sys_chroot(const char *path)
{
    return tdw__sys_event(TDW_SYS_CHROOT, -1, 0, 0, hash_path(path),
                          tdw__files_chroot(files(), path));
}

static int do_fchdir(int fd)
{
    const struct tdw_file *file = tdw__fd_any(files(), fd);
    struct tdw_inode *old = files()->cwd;

    if (!file)
        return -EBADF;
    if (!file->inode || !tdw__is_dir(file->inode))
        return -ENOTDIR;
    tdw__pin(file->inode);
    files()->cwd = file->inode;
    tdw__unpin(old);
    return 0;
}

int tdw__sim_sys_fchdir(int fd)
{
    return tdw__sys_event(TDW_SYS_FCHDIR, fd, 0, 0, 0, do_fchdir(fd));
}

static int fill_statfs(int err, struct statfs *result)
{
    const struct tdw_disk *disk = files()->disk;
    const uint64_t pages = (disk->bytes_max ? disk->bytes_max : (uint64_t)1 << 40) / TDW_PAGE_BYTES;

    if (err)
        return err;
    memset(result, 0, sizeof(*result));
    result->f_type = EXT4_SUPER_MAGIC;
    result->f_bsize = result->f_frsize = TDW_PAGE_BYTES;
    result->f_blocks = pages;
    result->f_bfree = pages > disk->pages_used ? pages - disk->pages_used : 0;
    result->f_bavail = result->f_bfree;
    result->f_files = 1 << 24;
    result->f_ffree = 1 << 23;
    result->f_namelen = TDW_NAME_BYTES_MAX;
    return 0;
}

int tdw__sim_sys_statfs(const char *path, struct statfs *result)
{
    struct tdw_inode *inode;
    const int err = find(AT_FDCWD, path, TDW_WALK_FOLLOW, &inode);

    return tdw__sys_event(TDW_SYS_STATFS, -1, 0, 0, hash_path(path), fill_statfs(err, result));
}

int tdw__sim_sys_fstatfs(int fd, struct statfs *result)
{
    const int err = tdw__fd_any(files(), fd) ? 0 : -EBADF;

    return tdw__sys_event(TDW_SYS_FSTATFS, fd, 0, 0, 0, fill_statfs(err, result));
}

int tdw__sim_sys_umask(mode_t mask)
{
    const int old = (int)files()->umask;

    files()->umask = mask & 0777;
    return tdw__sys_event(TDW_SYS_UMASK, -1, 0, mask, 0, old);
}

static int do_getrlimit(int resource, struct rlimit *limit)
{
    if (resource != RLIMIT_NOFILE)
        return -EINVAL;
    *limit = (struct rlimit){files()->fds_limit, files()->fds_limit_max};
    return 0;
}

int tdw__sim_sys_getrlimit(int resource, struct rlimit *limit)
{
    return tdw__sys_event(TDW_SYS_GETRLIMIT, -1, (uint64_t)resource, 0, 0,
                          do_getrlimit(resource, limit));
}

static int do_setrlimit(int resource, const struct rlimit *limit)
{
    if (resource != RLIMIT_NOFILE || limit->rlim_cur > limit->rlim_max)
        return -EINVAL;
    if (limit->rlim_max > files()->fds_limit_max)
        return -EPERM;
    tdw__files_limit(files(), (uint32_t)limit->rlim_cur, (uint32_t)limit->rlim_max);
    return 0;
}

int tdw__sim_sys_setrlimit(int resource, const struct rlimit *limit)
{
    return tdw__sys_event(TDW_SYS_SETRLIMIT, -1, limit->rlim_cur, limit->rlim_max, 0,
                          do_setrlimit(resource, limit));
}

int tdw__sim_sys_getpid(void)
{
    return tdw__sys_event(TDW_SYS_GETPID, -1, 0, 0, 0, tdw__process()->pid);
}
