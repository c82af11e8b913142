/* SPDX-License-Identifier: MIT */
/*
 * Whole-file locks, as flock(2) takes them.
 *
 * A lock belongs to an open file, whoever has descriptors of it, and goes when that ends (lock.c
 * drops it together with record locks). It does not meet record locks. Converting a lock gives the
 * old one up first, also if the new one is then not to be had.
 *
 * Row: FLOCK, which waits in the queue of the inode's locks. Called by sys.c for what does not
 * wait. Cost: linear in the locks of the file.
 */
#include <sim/kernel/vfs.h>
#include <sys/file.h>

static struct tdw_lock **flock_of(struct tdw_file *file)
{
    struct tdw_lock **at = &file->inode->flocks;

    while (*at && (*at)->owner != file)
        at = &(*at)->next;
    return at;
}

static bool flock_conflict(const struct tdw_file *file, short type)
{
    const struct tdw_lock *held = file->inode->flocks;

    while (held && (held->owner == file || (type == F_RDLCK && held->type == F_RDLCK)))
        held = held->next;
    return held != NULL;
}

/* The lock type of an operation without LOCK_NB, or -EINVAL. */
static int flock_type(int operation)
{
    switch (operation) {
    case LOCK_SH:
        return F_RDLCK;
    case LOCK_EX:
        return F_WRLCK;
    case LOCK_UN:
        return F_UNLCK;
    default:
        return -EINVAL;
    }
}

/* A held lock of another type is given up before the new one is had: flock does not convert in
 * one step. True if the file has the lock of that type. */
static bool flock_give_up(struct tdw_file *file, short type)
{
    struct tdw_lock **at = flock_of(file);

    if (*at && (*at)->type == type)
        return true;
    if (*at) {
        tdw__lock_free(file->disk, at);
        tdw__wake(&file->inode->lock_queue);
    }
    return false;
}

static int flock_take(struct tdw_file *file, short type)
{
    struct tdw_lock *lock = tdw__pool_get_zeroed(&file->disk->locks);
    struct tdw_lock **at = &file->inode->flocks;

    if (!lock)
        return -ENOLCK;
    while (*at)
        at = &(*at)->next;
    *lock = (struct tdw_lock){.owner = file, .type = type};
    *at = lock;
    return 0;
}

int tdw__flock(struct tdw_file *file, int operation)
{
    const int type = flock_type(operation & ~LOCK_NB);

    if (type < 0)
        return -EINVAL;
    if (!file)
        return -EBADF;
    if (!file->inode)
        return -EINVAL;
    if (type != F_UNLCK && !(file->bits & (TDW_FILE_READ | TDW_FILE_WRITE)))
        return -EBADF;
    if (flock_give_up(file, (short)type) || type == F_UNLCK)
        return 0;
    return flock_conflict(file, (short)type) ? -EWOULDBLOCK : flock_take(file, (short)type);
}

static int start_flock(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct tdw_file *file = tdw__op_file(process, op);
    const int type = flock_type((int)op->sqe.len & ~LOCK_NB);

    if (type < 0 || (file && !file->inode))
        return -EINVAL;
    if (file && type != F_UNLCK && !(file->bits & (TDW_FILE_READ | TDW_FILE_WRITE)))
        return -EBADF;
    return tdw__start_fd(process, op, object);
}

/* As on Linux, a lock that is to be converted is given up before the wait, or two sharers that
 * both want it alone would wait for ever. */
static struct tdw_waitq *blocked_flock(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_file *file = object;
    const int type = flock_type((int)op->sqe.len & ~LOCK_NB);

    (void)process;
    if (op->state == TDW_BLOCKED)
        return &file->inode->lock_queue;
    if (op->sqe.len & LOCK_NB || type == F_UNLCK || !flock_conflict(file, (short)type))
        return NULL;
    return flock_give_up(file, (short)type) ? NULL : &file->inode->lock_queue;
}

static int32_t effect_flock(struct tdw_process *process, struct tdw_op *op, void *object)
{
    (void)process;
    return tdw__flock(object, (int)op->sqe.len);
}

const struct tdw_sim_opcode tdw__row_flock = {start_flock, blocked_flock, effect_flock,
                                              tdw__release_fd, TDW_WHOLE};
