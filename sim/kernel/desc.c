/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and open files.
 *
 *     descriptor table (of a process, shared or copied) ─▶ open file ─▶ inode, pipe, …
 *
 * A table is an array that grows with the descriptors in use: resolving one is a comparison and a
 * load. New descriptors are the lowest free ones, below the process's limit. Open files are
 * counted: by descriptors, in however many tables, and by ops in flight, so that closing a
 * descriptor leaves an op its file.
 *
 * Closing any descriptor of a file drops the record locks that the table's process holds on it
 * (POSIX's rule); the last reference to an open file drops the locks held by the file itself.
 *
 * A new table has 0, 1 and 2 open on /dev/null, so that the first file a program opens is 3, as
 * on a real machine. Called by the rows (io.c, name_ops.c, …), by sys.c, and by world.c.
 */
#include <sim/kernel/vfs.h>
#include <stdlib.h>
#include <string.h>

/* ── Open files ────────────────────────────────────────────────────────────────────────────── */

struct tdw_file *tdw__file_new(struct tdw_disk *disk, const struct tdw_file_kind *kind, int flags,
                               struct tdw_inode *inode)
{
    static const uint8_t access[4] = {TDW_FILE_READ, TDW_FILE_WRITE, TDW_FILE_READ | TDW_FILE_WRITE,
                                      0};
    struct tdw_file *file = tdw__memory_get(disk->memory, sizeof(*file));

    if (!file)
        return NULL;
    file->kind = kind;
    file->refs = 1;
    file->flags = flags;
    file->disk = disk;
    file->inode = inode;
    file->sync_errors = inode ? inode->sync_errors : 0;
    file->bits = flags & O_PATH ? TDW_FILE_PATH : access[flags & O_ACCMODE];
    disk->opens++;
    return file;
}

void tdw__file_close(struct tdw_file *file)
{
    struct tdw_disk *disk = file->disk;

    assert(file->refs == 0);
    if (file->watched_by)
        tdw__epoll_forget(file);
    if (file->inode)
        tdw__locks_drop(file->inode, file);
    if (file->kind->close)
        file->kind->close(file);
    if (file->inode)
        tdw__unpin(file->inode);
    disk->opens--;
    tdw__memory_put(disk->memory, file, sizeof(*file));
}

int tdw__fd_setfl(struct tdw_file *file, int flags)
{
    const int settable = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;

    struct tdw_waitq *queue = file->kind->ready_queue ? file->kind->ready_queue(file) : NULL;

    if (flags & O_DIRECT && !file->kind->direct)
        return -EINVAL;
    if (queue)
        tdw__wake(queue); /* what they wait for depends on the flags: they are asked again */
    file->flags = (file->flags & ~settable) | (flags & settable);
    return 0;
}

void tdw__io_fill(struct tdw_io *io, const void *from, size_t bytes)
{
    const char *at = from;

    assert(bytes <= io->left);
    io->left -= bytes;
    while (bytes > 0) {
        const size_t room = io->iov->iov_len - io->skip;
        const size_t part = room < bytes ? room : bytes;

        memcpy((char *)io->iov->iov_base + io->skip, at, part);
        at += part;
        bytes -= part;
        io->skip += part;
        if (io->skip == io->iov->iov_len) {
            io->iov++;
            io->skip = 0;
        }
    }
}

void tdw__io_take(struct tdw_io *io, void *to, size_t bytes)
{
    char *at = to;

    assert(bytes <= io->left);
    io->left -= bytes;
    while (bytes > 0) {
        const size_t room = io->iov->iov_len - io->skip;
        const size_t part = room < bytes ? room : bytes;

        memcpy(at, (const char *)io->iov->iov_base + io->skip, part);
        at += part;
        bytes -= part;
        io->skip += part;
        if (io->skip == io->iov->iov_len) {
            io->iov++;
            io->skip = 0;
        }
    }
}

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

static uint32_t words_of(uint32_t bits)
{
    return (bits + 63) / 64;
}

/* A table and its bits are one block, of so many bytes. */
static size_t table_bytes(uint32_t size)
{
    return size * sizeof(struct tdw_file *) + words_of(size) * sizeof(uint64_t);
}

static void table_free(struct tdw_files *files)
{
    if (files->fds != files->few)
        tdw__memory_put(files->disk->memory, files->fds, table_bytes(files->fds_size));
}

/* Room for descriptors below `size`. */
static int table_grow(struct tdw_files *files, uint32_t size)
{
    uint32_t new_size = files->fds_size;
    struct tdw_file **fds;
    uint64_t *cloexec;

    while (new_size < size)
        new_size *= 2;
    if (new_size == files->fds_size)
        return 0;
    fds = tdw__memory_get(files->disk->memory, table_bytes(new_size));
    if (!fds)
        return -ENOMEM;
    cloexec = (uint64_t *)(fds + new_size);
    memcpy(fds, files->fds, files->fds_size * sizeof(*fds));
    memcpy(cloexec, files->cloexec, words_of(files->fds_size) * sizeof(*cloexec));
    table_free(files);
    files->fds = fds;
    files->cloexec = cloexec;
    files->fds_size = new_size;
    return 0;
}

int tdw__fd_free(struct tdw_files *files, uint32_t from)
{
    uint32_t fd = from > files->fd_free ? from : files->fd_free;
    int err;

    while (fd < files->fds_size && files->fds[fd])
        fd++;
    if (fd >= files->fds_limit)
        return -EMFILE;
    err = table_grow(files, fd + 1);
    return err ? err : (int)fd;
}

void tdw__fd_set(struct tdw_files *files, int fd, struct tdw_file *file, bool cloexec)
{
    assert(!files->fds[fd]);
    files->fds[fd] = file;
    tdw__fd_set_cloexec(files, fd, cloexec);
    while (files->fd_free < files->fds_size && files->fds[files->fd_free])
        files->fd_free++;
}

bool tdw__fd_cloexec(const struct tdw_files *files, int fd)
{
    return files->cloexec[fd / 64] >> (fd % 64) & 1;
}

void tdw__fd_set_cloexec(struct tdw_files *files, int fd, bool cloexec)
{
    const uint64_t bit = (uint64_t)1 << (fd % 64);

    if (cloexec)
        files->cloexec[fd / 64] |= bit;
    else
        files->cloexec[fd / 64] &= ~bit;
}

int tdw__fd_close(struct tdw_files *files, int fd)
{
    struct tdw_file *file = tdw__fd_any(files, fd);

    if (!file)
        return -EBADF;
    files->fds[fd] = NULL;
    tdw__fd_set_cloexec(files, fd, false);
    if ((uint32_t)fd < files->fd_free)
        files->fd_free = (uint32_t)fd;
    if (file->inode && !(file->bits & TDW_FILE_PATH))
        tdw__locks_drop(file->inode, files);
    tdw__file_put(file);
    return 0;
}

int tdw__fd_dup(struct tdw_files *files, int fd, int from, bool cloexec)
{
    struct tdw_file *file = tdw__fd_any(files, fd);
    int to;

    if (!file)
        return -EBADF;
    if (from < 0 || (uint32_t)from >= files->fds_limit)
        return -EINVAL;
    to = tdw__fd_free(files, (uint32_t)from);
    if (to < 0)
        return to;
    file->refs++;
    tdw__fd_set(files, to, file, cloexec);
    return to;
}

int tdw__fd_dup3(struct tdw_files *files, int fd, int to, int flags)
{
    struct tdw_file *file = tdw__fd_any(files, fd);
    int err;

    if (flags & ~O_CLOEXEC || fd == to)
        return -EINVAL;
    if (to < 0 || (uint32_t)to >= files->fds_limit || !file)
        return -EBADF;
    err = table_grow(files, (uint32_t)to + 1);
    if (err)
        return err;
    file->refs++;
    tdw__fd_close(files, to);
    tdw__fd_set(files, to, file, flags & O_CLOEXEC);
    return to;
}

/* ── Tables ────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_files *table_new(struct tdw_disk *disk)
{
    struct tdw_files *files = tdw__memory_get(disk->memory, sizeof(*files));

    if (!files)
        return NULL;
    files->fds = files->few;
    files->cloexec = &files->few_cloexec;
    files->fds_size = TDW_FDS_FEW;
    files->refs = 1;
    files->fds_limit = TDW_FDS_SOFT;
    files->fds_limit_max = TDW_FDS_HARD;
    files->umask = 022;
    files->disk = disk;
    disk->tables++;
    return files;
}

struct tdw_files *tdw__files_new(struct tdw_disk *disk)
{
    struct tdw_files *files = table_new(disk);
    struct tdw_file *null;
    struct tdw_walk walk;

    if (!files)
        return NULL;
    files->root = files->cwd = disk->root;
    disk->root->pins += 2;
    if (tdw__walk_existing(files, AT_FDCWD, "/dev/null", 0, &walk))
        return files; /* somebody removed it: start without */
    null = tdw__file_new(disk, &tdw__kind_device, O_RDWR | TDW_O_LARGEFILE, walk.inode);
    if (!null) {
        tdw__files_free(files);
        return NULL;
    }
    tdw__pin(walk.inode);
    null->refs = 3;
    for (int fd = 0; fd < 3; fd++)
        tdw__fd_set(files, fd, null, false);
    return files;
}

struct tdw_files *tdw__files_clone(const struct tdw_files *files)
{
    struct tdw_files *copy = table_new(files->disk);

    if (!copy)
        return NULL;
    if (table_grow(copy, files->fds_size)) {
        copy->disk->tables--;
        table_free(copy);
        tdw__memory_put(copy->disk->memory, copy, sizeof(*copy));
        return NULL;
    }
    for (uint32_t fd = 0; fd < files->fds_size; fd++) {
        copy->fds[fd] = files->fds[fd];
        if (copy->fds[fd])
            copy->fds[fd]->refs++;
    }
    memcpy(copy->cloexec, files->cloexec, words_of(files->fds_size) * sizeof(uint64_t));
    copy->fds_limit = files->fds_limit;
    copy->fds_limit_max = files->fds_limit_max;
    copy->fd_free = files->fd_free;
    copy->umask = files->umask;
    copy->root = files->root;
    copy->cwd = files->cwd;
    tdw__pin(copy->root);
    tdw__pin(copy->cwd);
    return copy;
}

struct tdw_files *tdw__files_share(struct tdw_files *files)
{
    files->refs++;
    return files;
}

struct tdw_files *tdw__files_exec(struct tdw_files *files)
{
    if (files->refs > 1) {
        struct tdw_files *own = tdw__files_clone(files);

        if (!own)
            return NULL;
        tdw__files_free(files);
        files = own;
    }
    for (uint32_t fd = 0; fd < files->fds_size; fd++)
        if (tdw__fd_cloexec(files, (int)fd))
            tdw__fd_close(files, (int)fd);
    return files;
}

void tdw__files_free(struct tdw_files *files)
{
    if (--files->refs > 0)
        return;
    for (uint32_t fd = 0; fd < files->fds_size; fd++)
        if (files->fds[fd])
            tdw__fd_close(files, (int)fd);
    tdw__unpin(files->root);
    tdw__unpin(files->cwd);
    files->disk->tables--;
    table_free(files);
    tdw__memory_put(files->disk->memory, files, sizeof(*files));
}

void tdw__files_limit(struct tdw_files *files, uint32_t fds_limit, uint32_t fds_limit_max)
{
    files->fds_limit = fds_limit;
    files->fds_limit_max = fds_limit_max;
}

static int go(struct tdw_files *files, const char *path, struct tdw_inode **place)
{
    struct tdw_walk walk;
    const int err = tdw__walk_existing(files, AT_FDCWD, path, TDW_WALK_FOLLOW, &walk);

    if (err)
        return err;
    if (!tdw__is_dir(walk.inode))
        return -ENOTDIR;
    tdw__pin(walk.inode);
    tdw__unpin(*place);
    *place = walk.inode;
    return 0;
}

int tdw__files_chdir(struct tdw_files *files, const char *path)
{
    return go(files, path, &files->cwd);
}

int tdw__files_chroot(struct tdw_files *files, const char *path)
{
    return go(files, path, &files->root);
}
