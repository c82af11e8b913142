/* SPDX-License-Identifier: MIT */
/*
 * Listing directories: the row GETDENTS, and what an open directory is.
 *
 * Entries come in the order in which their names were made, "." and ".." first, in the kernel's
 * layout (struct linux_dirent64). The file position is a cookie that names the next entry: names
 * keep theirs, so removing entries while listing loses and repeats none. Position 0 starts anew.
 *
 * A read of a directory is -EISDIR; of no bytes, it is no read, as io_uring has it. Called through
 * file_ops.c and the kind of an open file.
 */
#include <sim/kernel/vfs.h>
#include <string.h>

static int32_t dir_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                        const struct tdw_op *op)
{
    const uint64_t pos = io->off == UINT64_MAX ? file->pos : io->off;

    (void)process, (void)op;
    if (io->left > (uint64_t)INT64_MAX - pos)
        return -EINVAL;
    return io->left > 0 ? -EISDIR : 0;
}

const struct tdw_file_kind tdw__kind_dir = {.name = "directory", .read = dir_read};

/* The kernel's struct linux_dirent64, without the name. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t bytes;
    uint8_t type;
} __attribute__((packed));

/* Where the entries go, and how far they got. */
struct listing {
    char *buffer;
    size_t room, used;
};

/* False if there is no room. `off`: where a later call goes on. */
static bool list(struct listing *to, const struct tdw_inode *inode, const char *text,
                 uint32_t length, uint64_t off)
{
    const size_t bytes = (sizeof(struct entry) + length + 1 + 7) & ~(size_t)7;
    const struct entry entry = {.ino = inode->number,
                                .off = (int64_t)off,
                                .bytes = (uint16_t)bytes,
                                .type = (uint8_t)(inode->now.mode >> 12)};

    if (bytes > to->room - to->used)
        return false;
    memset(to->buffer + to->used, 0, bytes);
    memcpy(to->buffer + to->used, &entry, sizeof(entry));
    memcpy(to->buffer + to->used + sizeof(entry), text, length);
    to->used += bytes;
    return true;
}

static int start_getdents(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct tdw_file *file = tdw__op_file(process, op);

    if (file && file->kind != &tdw__kind_dir)
        return -ENOTDIR;
    if (file && !op->sqe.addr)
        return -EFAULT;
    return tdw__start_fd(process, op, object);
}

static int32_t effect_getdents(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    struct tdw_inode *dir = file->inode;
    struct listing to = {.buffer = tdw__pointer(op->sqe.addr), .room = op->sqe.len};
    const struct tdw_name *name = dir->names.head;
    bool more = true;

    if (dir->links_now == 0)
        return -ENOENT;
    if (file->pos == 0 && (more = list(&to, dir, ".", 1, 1)))
        file->pos = 1;
    if (more && file->pos == 1 && (more = list(&to, dir->names.parent, "..", 2, 2)))
        file->pos = 2;
    while (name && name->cookie < file->pos)
        name = name->next;
    for (; more && name; name = name->next) {
        if (name->now && (more = list(&to, name->now, name->text, name->bytes, name->cookie + 1)))
            file->pos = name->cookie + 1;
    }
    tdw__file_accessed(file, tdw__now(process));
    return to.used || more ? (int32_t)to.used : -EINVAL;
}

const struct tdw_sim_opcode tdw__row_getdents = {start_getdents, NULL, effect_getdents,
                                                 tdw__release_fd, TDW_WHOLE};
