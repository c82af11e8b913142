/* SPDX-License-Identifier: MIT */
/*
 * SQLite on simulated files: its interface to an operating system (sqlite3_vfs), on verbs.
 *
 *     SQLite ─▶ sqlite3_io_methods ─▶ tdw_pread, tdw_pwrite, tdw_fdatasync, … ─▶ the simulated
 * kernel
 *
 * What is durable when is what the judge is about, so this syncs where SQLite's own layer for unix
 * does, seen under strace: a file with fdatasync; after the first sync of a new journal or log the
 * directory it is in; after an unlink the directory, if SQLite asks for that. Nothing else.
 *
 * Each call blocks its stackful task. There is one connection at a time, so locks always succeed,
 * and there is no shared memory: WAL runs in exclusive locking mode.
 */
#include "judge.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>

struct file {
    sqlite3_file base; /* first */
    int fd;
    bool sync_dir; /* with the next sync: its name is new */
};

static struct file *file_of(sqlite3_file *base)
{
    return (struct file *)base;
}

/* ── Files ─────────────────────────────────────────────────────────────────────────────────── */

static int close_file(sqlite3_file *base)
{
    return tdw_close(file_of(base)->fd) == 0 ? SQLITE_OK : SQLITE_IOERR_CLOSE;
}

static int read_file(sqlite3_file *base, void *to, int bytes, sqlite3_int64 off)
{
    const int n = tdw_pread(file_of(base)->fd, to, (unsigned)bytes, (uint64_t)off);

    if (n == bytes)
        return SQLITE_OK;
    if (n < 0)
        return SQLITE_IOERR_READ;
    memset((char *)to + n, 0, (size_t)(bytes - n));
    return SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *base, const void *from, int bytes, sqlite3_int64 off)
{
    while (bytes > 0) {
        const int n = tdw_pwrite(file_of(base)->fd, from, (unsigned)bytes, (uint64_t)off);

        if (n <= 0)
            return n == -ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
        from = (const char *)from + n;
        bytes -= n;
        off += n;
    }
    return SQLITE_OK;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
    return tdw_ftruncate(file_of(base)->fd, (uint64_t)size) == 0 ? SQLITE_OK
                                                                 : SQLITE_IOERR_TRUNCATE;
}

static int sync_directory(void)
{
    const int dir = tdw_open(".", O_RDONLY | O_DIRECTORY, 0);
    const int ret = dir < 0 ? dir : tdw_fdatasync(dir);

    if (dir >= 0)
        tdw_close(dir);
    return ret == 0 ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

static int sync_file(sqlite3_file *base, int flags)
{
    struct file *file = file_of(base);

    (void)flags;
    if (tdw_fdatasync(file->fd) != 0)
        return SQLITE_IOERR_FSYNC;
    if (!file->sync_dir)
        return SQLITE_OK;
    file->sync_dir = false;
    return sync_directory();
}

static int size_file(sqlite3_file *base, sqlite3_int64 *size)
{
    struct statx stat;

    if (tdw_statx(file_of(base)->fd, "", AT_EMPTY_PATH, STATX_SIZE, &stat) != 0)
        return SQLITE_IOERR_FSTAT;
    *size = (sqlite3_int64)stat.stx_size;
    return SQLITE_OK;
}

static int lock_file(sqlite3_file *base, int level)
{
    (void)base, (void)level;
    return SQLITE_OK;
}

static int check_lock(sqlite3_file *base, int *reserved)
{
    (void)base;
    *reserved = 0;
    return SQLITE_OK;
}

static int control_file(sqlite3_file *base, int what, void *arg)
{
    (void)base, (void)what, (void)arg;
    return SQLITE_NOTFOUND;
}

static int sector_bytes(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

/* As SQLite's own for unix: a write leaves the bytes beside it alone, whatever happens. */
static int characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_file,
    .xLock = lock_file,
    .xUnlock = lock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_bytes,
    .xDeviceCharacteristics = characteristics,
};

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out)
{
    const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    const bool create = flags & SQLITE_OPEN_CREATE;
    struct file *file = file_of(base);

    (void)vfs;
    file->base.pMethods = NULL;
    if (!name)
        return SQLITE_CANTOPEN; /* a file that has no name is kept in memory: temp_store */
    file->fd =
        tdw_open(name,
                 (flags & SQLITE_OPEN_READWRITE ? O_RDWR : O_RDONLY) | (create ? O_CREAT : 0) |
                     (flags & SQLITE_OPEN_EXCLUSIVE ? O_EXCL : 0) | O_CLOEXEC,
                 0644);
    if (file->fd < 0)
        return SQLITE_CANTOPEN;
    file->sync_dir = create && flags & journals;
    file->base.pMethods = &methods;
    if (out)
        *out = flags;
    return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    const int ret = tdw_unlink(name);

    (void)vfs;
    if (ret < 0)
        return ret == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    return sync_dir ? sync_directory() : SQLITE_OK;
}

/* A file without bytes counts as none, as in SQLite's own. */
static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *there)
{
    struct statx stat;

    (void)vfs;
    if (flags == SQLITE_ACCESS_EXISTS)
        *there = tdw_statx(AT_FDCWD, name, 0, STATX_SIZE, &stat) == 0 && stat.stx_size > 0;
    else
        *there = tdw_sys_access(name, flags == SQLITE_ACCESS_READWRITE ? R_OK | W_OK : R_OK) == 0;
    return SQLITE_OK;
}

static int full_name(sqlite3_vfs *vfs, const char *name, int bytes, char *to)
{
    (void)vfs;
    sqlite3_snprintf(bytes, to, "%s", name);
    return SQLITE_OK;
}

/* ── Chance and time ───────────────────────────────────────────────────────────────────────── */

static int random_bytes(sqlite3_vfs *vfs, int bytes, char *to)
{
    (void)vfs;
    memset(to, 7, (size_t)bytes);
    return bytes;
}

static int sleep_us(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    tdw_sleep((uint64_t)us * 1000);
    return us;
}

static int time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ms)
{
    (void)vfs;
    *ms = 210866760000000 + (sqlite3_int64)(tdw_now() / 1000000); /* of the Julian period */
    return SQLITE_OK;
}

static int time_days(sqlite3_vfs *vfs, double *days)
{
    sqlite3_int64 ms;

    time_ms(vfs, &ms);
    *days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

void judge_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct file),
        .mxPathname = 512,
        .zName = "tidewheel",
        .xOpen = open_file,
        .xDelete = delete_file,
        .xAccess = access_file,
        .xFullPathname = full_name,
        .xRandomness = random_bytes,
        .xSleep = sleep_us,
        .xCurrentTime = time_days,
        .xCurrentTimeInt64 = time_ms,
    };

    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_initialize();
    sqlite3_vfs_register(&vfs, 1);
}
