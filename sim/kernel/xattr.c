/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: the rows FSETXATTR SETXATTR FGETXATTR GETXATTR, and the calls that list and
 * remove them.
 *
 *     inode: xattrs_now ──▶ set ◀── xattrs_kept        a set is never changed, only replaced
 *
 * A set is one piece of memory, shared by the two sides until they differ, as pages are: fsync
 * makes both the one that is now, a power cut the one that was kept. fdatasync leaves them out.
 * An inode without attributes has no set.
 *
 * Names begin with user. (regular files and directories only), trusted. or security.; others are
 * -EOPNOTSUPP, as on a file system without ACLs. A value has at most 64 KiB, and so has the list of
 * names; space is not counted. Names are listed in the order in which they were first set.
 */
#define XXH_INLINE_ALL
#include <sim/kernel/vfs.h>
#include <tidewheel/sys.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <xxhash.h>

/* One attribute; the name, with its NUL, and the value follow. */
struct entry {
    uint32_t value_bytes;
    uint16_t name_bytes; /* with the NUL */
};

struct tdw_xattrs {
    uint32_t refs;
    uint32_t bytes; /* of all entries */
    char entries[];
};

/* ── Sets ──────────────────────────────────────────────────────────────────────────────────── */

static struct entry entry_at(const char *at)
{
    struct entry entry;

    memcpy(&entry, at, sizeof(entry));
    return entry;
}

static const char *name_at(const char *at)
{
    return at + sizeof(struct entry);
}

static const char *value_at(const char *at)
{
    return name_at(at) + entry_at(at).name_bytes;
}

static size_t entry_bytes(const struct entry *entry)
{
    return sizeof(*entry) + entry->name_bytes + entry->value_bytes;
}

static const char *next_entry(const char *at)
{
    const struct entry entry = entry_at(at);

    return at + entry_bytes(&entry);
}

static const char *find(const struct tdw_xattrs *set, const char *name)
{
    const char *end = set ? set->entries + set->bytes : NULL;

    for (const char *at = set ? set->entries : NULL; at != end; at = next_entry(at))
        if (strcmp(name_at(at), name) == 0)
            return at;
    return NULL;
}

void tdw__xattrs_put(struct tdw_xattrs *set)
{
    if (set && --set->refs == 0)
        free(set);
}

struct tdw_xattrs *tdw__xattrs_ref(struct tdw_xattrs *set)
{
    if (set)
        set->refs++;
    return set;
}

void tdw__xattrs_keep(struct tdw_inode *inode)
{
    tdw__xattrs_put(inode->xattrs_kept);
    inode->xattrs_kept = tdw__xattrs_ref(inode->xattrs_now);
}

void tdw__xattrs_revert(struct tdw_inode *inode)
{
    tdw__xattrs_put(inode->xattrs_now);
    inode->xattrs_now = tdw__xattrs_ref(inode->xattrs_kept);
}

/* A set without the entry at `without`, and with `more` bytes of room behind. */
static struct tdw_xattrs *set_copy(const struct tdw_xattrs *set, const char *without, size_t more)
{
    const size_t bytes = set ? set->bytes : 0;
    struct tdw_xattrs *copy = malloc(sizeof(*copy) + bytes + more);
    size_t before, skip = 0;

    if (!copy)
        return NULL;
    if (set) {
        before = without ? (size_t)(without - set->entries) : bytes;
        skip = without ? (size_t)(next_entry(without) - without) : 0;
        memcpy(copy->entries, set->entries, before);
        memcpy(copy->entries + before, set->entries + before + skip, bytes - before - skip);
    }
    copy->refs = 1;
    copy->bytes = (uint32_t)(bytes - skip);
    return copy;
}

static void set_replace(struct tdw_inode *inode, struct tdw_xattrs *set, uint64_t now_ns)
{
    tdw__xattrs_put(inode->xattrs_now);
    inode->xattrs_now = set;
    inode->now.ctime_ns = now_ns;
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* May a file of this mode have an attribute of that name? */
static int check_space(uint32_t mode, const char *name, bool write)
{
    const char *rest = strchr(name, '.');

    if (begins(name, "user.")) {
        if (!S_ISREG(mode) && !S_ISDIR(mode))
            return write ? -EPERM : -ENODATA;
    } else if (!begins(name, "trusted.") && !begins(name, "security.")) {
        return -EOPNOTSUPP;
    }
    return rest[1] ? 0 : -EINVAL;
}

static int check_name(const char *name)
{
    const size_t bytes = name ? strnlen(name, XATTR_NAME_MAX + 1) : 0;

    if (!name)
        return -EFAULT;
    return bytes == 0 || bytes > XATTR_NAME_MAX ? -ERANGE : 0;
}

/* ── Getting and setting ───────────────────────────────────────────────────────────────────── */

static int32_t get(const struct tdw_inode *inode, uint32_t mode, const char *name, char *to,
                   size_t room)
{
    const int err = check_space(mode, name, false);
    const char *at = err || !inode ? NULL : find(inode->xattrs_now, name);
    uint32_t bytes;

    if (err)
        return err;
    if (!at)
        return inode ? -ENODATA : -EOPNOTSUPP;
    bytes = entry_at(at).value_bytes;
    if (room == 0)
        return (int32_t)bytes;
    if (bytes > room)
        return -ERANGE;
    memcpy(to, value_at(at), bytes);
    return (int32_t)bytes;
}

static int set(struct tdw_inode *inode, uint32_t mode, const struct io_uring_sqe *sqe,
               uint64_t now_ns)
{
    const char *name = tdw__pointer(sqe->addr);
    const struct entry entry = {sqe->len, (uint16_t)(strlen(name) + 1)};
    const int err = check_space(mode, name, true);
    const char *old = err || !inode ? NULL : find(inode->xattrs_now, name);
    struct tdw_xattrs *copy;
    char *at;

    if (err)
        return err;
    if (!inode)
        return -EOPNOTSUPP;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    if (old && sqe->xattr_flags & XATTR_CREATE)
        return -EEXIST;
    if (!old && sqe->xattr_flags & XATTR_REPLACE)
        return -ENODATA;
    copy = set_copy(inode->xattrs_now, old, entry_bytes(&entry));
    if (!copy)
        return -ENOMEM;
    at = copy->entries + copy->bytes;
    memcpy(at, &entry, sizeof(entry));
    memcpy(at + sizeof(entry), name, entry.name_bytes);
    if (entry.value_bytes > 0)
        memcpy(at + sizeof(entry) + entry.name_bytes, tdw__pointer(sqe->off), entry.value_bytes);
    copy->bytes += (uint32_t)entry_bytes(&entry);
    set_replace(inode, copy, now_ns);
    return 0;
}

/* ── Rows ──────────────────────────────────────────────────────────────────────────────────── */

static bool by_path(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_GETXATTR || op->sqe.opcode == IORING_OP_SETXATTR;
}

static bool sets(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_SETXATTR || op->sqe.opcode == IORING_OP_FSETXATTR;
}

static int check_entry(const struct tdw_op *op)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    int err;

    if (sqe->xattr_flags & ~(sets(op) ? XATTR_CREATE | XATTR_REPLACE : 0u))
        return -EINVAL;
    err = check_name(tdw__pointer(sqe->addr));
    if (err)
        return err;
    if (sets(op) && sqe->len > XATTR_SIZE_MAX)
        return -E2BIG;
    return sqe->len > 0 && !sqe->off ? -EFAULT : 0;
}

static int start_xattr(struct tdw_process *process, struct tdw_op *op, void **object)
{
    int err;

    if (by_path(op) && op->sqe.flags & IOSQE_FIXED_FILE)
        return -EBADF;
    err = check_entry(op);
    if (err)
        return err;
    return by_path(op) ? tdw__path_check(tdw__pointer(op->sqe.addr3), false)
                       : tdw__start_fd(process, op, object);
}

static int32_t effect_xattr(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct tdw_file *file = object;
    struct tdw_inode *inode = file ? file->inode : NULL;
    struct tdw_walk walk;
    uint32_t mode;

    if (by_path(op)) {
        const int err = tdw__walk_existing(process->files, AT_FDCWD, tdw__pointer(op->sqe.addr3),
                                           TDW_WALK_FOLLOW, &walk);

        if (err)
            return err;
        inode = walk.inode;
    }
    mode = inode ? inode->now.mode : file->kind->mode;
    return sets(op) ? set(inode, mode, &op->sqe, tdw__now(process))
                    : get(inode, mode, tdw__pointer(op->sqe.addr), tdw__pointer(op->sqe.off),
                          op->sqe.len);
}

static void release_xattr(struct tdw_process *process, void *object)
{
    (void)process;
    if (object)
        tdw__file_put(object);
}

const struct tdw_sim_opcode tdw__row_setxattr = {start_xattr, NULL, effect_xattr, release_xattr,
                                                 TDW_SPLITS};
const struct tdw_sim_opcode tdw__row_getxattr = {start_xattr, NULL, effect_xattr, release_xattr,
                                                 TDW_WHOLE};

/* ── Calls ─────────────────────────────────────────────────────────────────────────────────── */

static int64_t list(const struct tdw_inode *inode, char *to, size_t room)
{
    const struct tdw_xattrs *set = inode ? inode->xattrs_now : NULL;
    const char *end = set ? set->entries + set->bytes : NULL;
    size_t bytes = 0;

    for (const char *at = set ? set->entries : NULL; at != end; at = next_entry(at))
        bytes += entry_at(at).name_bytes;
    if (bytes > XATTR_LIST_MAX)
        return -E2BIG;
    if (room == 0)
        return (int64_t)bytes;
    if (bytes > room)
        return -ERANGE;
    for (const char *at = set ? set->entries : NULL; at != end; at = next_entry(at)) {
        memcpy(to, name_at(at), entry_at(at).name_bytes);
        to += entry_at(at).name_bytes;
    }
    return (int64_t)bytes;
}

static int drop(struct tdw_inode *inode, uint32_t mode, const char *name)
{
    struct tdw_xattrs *copy;
    const char *old;
    int err = check_space(mode, name, true);

    if (err)
        return err;
    if (!inode)
        return -EOPNOTSUPP;
    if (tdw__disk_writable(inode->disk))
        return -EROFS;
    old = find(inode->xattrs_now, name);
    if (!old)
        return -ENODATA;
    copy = set_copy(inode->xattrs_now, old, 0);
    if (!copy)
        return -ENOMEM;
    set_replace(inode, copy, tdw__now(tdw__process()));
    return 0;
}

/* What a path or (path NULL) a descriptor names; 0 or -errno. The mode is of what has no inode. */
static int place(int fd, const char *path, uint32_t flags, struct tdw_inode **inode, uint32_t *mode)
{
    struct tdw_files *files = tdw__process()->files;
    const struct tdw_file *file;
    struct tdw_walk walk;

    if (path) {
        const int err = tdw__walk_existing(files, AT_FDCWD, path, flags, &walk);

        *inode = err ? NULL : walk.inode;
        *mode = err ? 0 : walk.inode->now.mode;
        return err;
    }
    file = tdw__fd(files, fd);
    if (!file)
        return -EBADF;
    *inode = file->inode;
    *mode = file->inode ? file->inode->now.mode : file->kind->mode;
    return 0;
}

static int64_t do_list(int fd, const char *path, uint32_t flags, char *to, size_t room)
{
    struct tdw_inode *inode;
    uint32_t mode;
    const int err = place(fd, path, flags, &inode, &mode);

    return err ? err : list(inode, to, room);
}

static int do_remove(int fd, const char *path, uint32_t flags, const char *name)
{
    struct tdw_inode *inode;
    uint32_t mode;
    int err = check_name(name);

    if (!err)
        err = place(fd, path, flags, &inode, &mode);
    return err ? err : drop(inode, mode, name);
}

static uint64_t hash_text(const char *text)
{
    return text ? XXH3_64bits(text, strlen(text)) : 0;
}

int64_t tdw__sim_sys_listxattr(const char *path, char *to, size_t room)
{
    return tdw__sys_event(TDW_SYS_LISTXATTR, -1, 0, room, hash_text(path),
                          path ? do_list(-1, path, TDW_WALK_FOLLOW, to, room) : -EFAULT);
}

int64_t tdw__sim_sys_llistxattr(const char *path, char *to, size_t room)
{
    return tdw__sys_event(TDW_SYS_LLISTXATTR, -1, 0, room, hash_text(path),
                          path ? do_list(-1, path, 0, to, room) : -EFAULT);
}

int64_t tdw__sim_sys_flistxattr(int fd, char *to, size_t room)
{
    return tdw__sys_event(TDW_SYS_FLISTXATTR, fd, 0, room, 0, do_list(fd, NULL, 0, to, room));
}

int tdw__sim_sys_removexattr(const char *path, const char *name)
{
    return tdw__sys_event(TDW_SYS_REMOVEXATTR, -1, hash_text(name), 0, hash_text(path),
                          path ? do_remove(-1, path, TDW_WALK_FOLLOW, name) : -EFAULT);
}

int tdw__sim_sys_lremovexattr(const char *path, const char *name)
{
    return tdw__sys_event(TDW_SYS_LREMOVEXATTR, -1, hash_text(name), 0, hash_text(path),
                          path ? do_remove(-1, path, 0, name) : -EFAULT);
}

int tdw__sim_sys_fremovexattr(int fd, const char *name)
{
    return tdw__sys_event(TDW_SYS_FREMOVEXATTR, fd, hash_text(name), 0, 0,
                          do_remove(fd, NULL, 0, name));
}
