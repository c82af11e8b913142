/* SPDX-License-Identifier: MIT */
/*
 * Record locks: of processes (POSIX) and of open files (OFD).
 *
 * Record locks of one file are one list, grouped by owner in the order in which the owners first
 * came, each owner's sorted by start; ranges of one owner never overlap, and touching ones of a
 * type are one. An owner is a descriptor table (POSIX) or an open file (OFD): only compared,
 * never ordered. Whole-file locks (flock.c) are another list and do not meet these.
 *
 * POSIX locks of a process go when it closes any descriptor of the file; OFD and flock locks when
 * the open file ends. Who waits is woken by every unlock and looks again: there is no queue jump
 * to prevent, since the schedule decides who looks first.
 *
 * A process about to wait for itself in a circle of waiting processes gets -EDEADLK. OFD locks
 * take no part in that, as on Linux.
 *
 * Row: SETLKW, which waits. Called by sys.c for what does not wait, and by desc.c when
 * descriptors and open files go. Cost: linear in the locks of the file.
 */
#include <sim/kernel/vfs.h>

/* ── Record locks ──────────────────────────────────────────────────────────────────────────── */

static bool overlap(const struct tdw_lock *a, const struct tdw_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

static bool conflict(const struct tdw_lock *held, const struct tdw_lock *want)
{
    return held->owner != want->owner && overlap(held, want) &&
           (held->type == F_WRLCK || want->type == F_WRLCK);
}

static struct tdw_lock *first_conflict(const struct tdw_inode *inode, const struct tdw_lock *want)
{
    struct tdw_lock *held = inode->locks;

    while (held && !conflict(held, want))
        held = held->next;
    return held;
}

static bool touches(const struct tdw_lock *held, const struct tdw_lock *want)
{
    return (uint64_t)held->end + 1 >= (uint64_t)want->start &&
           (uint64_t)want->end + 1 >= (uint64_t)held->start;
}

void tdw__lock_free(struct tdw_disk *disk, struct tdw_lock **at)
{
    struct tdw_lock *lock = *at;

    *at = lock->next;
    tdw__pool_put(&disk->locks, lock);
}

/* `want` overlaps `held`, of the same owner and another type: cut it out. `spare` becomes the
 * part behind it if there are two parts. Returns where what comes next hangs. */
static struct tdw_lock **cut(struct tdw_disk *disk, struct tdw_lock **at,
                             const struct tdw_lock *want, struct tdw_lock **spare)
{
    struct tdw_lock *held = *at;

    if (held->start < want->start) {
        if (held->end > want->end) {
            struct tdw_lock *behind = *spare;

            *spare = NULL;
            *behind = *held;
            behind->start = want->end + 1;
            held->next = behind;
        }
        held->end = want->start - 1;
        return &held->next;
    }
    if (held->end > want->end) {
        held->start = want->end + 1;
        return at;
    }
    tdw__lock_free(disk, at);
    return at;
}

/* Where the owner's locks begin: the place of the first, or the end of the list. */
static struct tdw_lock **group_of(struct tdw_inode *inode, const void *owner)
{
    struct tdw_lock **at = &inode->locks;

    while (*at && (*at)->owner != owner)
        at = &(*at)->next;
    return at;
}

/* Set the range to the wanted type, F_UNLCK to none. The caller has looked for conflicts. */
static int apply(struct tdw_inode *inode, struct tdw_lock want)
{
    struct tdw_disk *disk = inode->disk;
    struct tdw_lock *own = tdw__pool_get(&disk->locks);
    struct tdw_lock *spare = tdw__pool_get(&disk->locks);
    struct tdw_lock **at = group_of(inode, want.owner);

    if (!own || !spare) {
        if (own)
            tdw__pool_put(&disk->locks, own);
        return -ENOLCK;
    }
    while (*at && (*at)->owner == want.owner) {
        struct tdw_lock *held = *at;

        if (held->type == want.type && touches(held, &want)) {
            want.start = held->start < want.start ? held->start : want.start;
            want.end = held->end > want.end ? held->end : want.end;
            tdw__lock_free(disk, at);
        } else if (held->start > want.end) {
            break;
        } else if (held->type != want.type && overlap(held, &want)) {
            at = cut(disk, at, &want, &spare);
            if (!spare || (*at == held && held->start > want.end))
                break;
        } else {
            at = &held->next;
        }
    }
    if (want.type != F_UNLCK) {
        want.next = *at;
        *own = want;
        *at = own;
        own = NULL;
    }
    if (own)
        tdw__pool_put(&disk->locks, own);
    if (spare)
        tdw__pool_put(&disk->locks, spare);
    tdw__wake(&inode->lock_queue);
    return 0;
}

/* The range that `lock` means for `file`. */
static int range_of(const struct tdw_file *file, const struct flock *lock, struct tdw_lock *want)
{
    int64_t start;

    switch (lock->l_whence) {
    case SEEK_SET:
        start = 0;
        break;
    case SEEK_CUR:
        start = (int64_t)file->pos;
        break;
    case SEEK_END:
        start = (int64_t)file->inode->now.size;
        break;
    default:
        return -EINVAL;
    }
    if (lock->l_start > INT64_MAX - start)
        return -EOVERFLOW;
    start += lock->l_start;
    if (start < 0)
        return -EINVAL;
    want->start = start;
    want->end = INT64_MAX;
    if (lock->l_len > 0) {
        if (lock->l_len - 1 > INT64_MAX - start)
            return -EOVERFLOW;
        want->end = start + (lock->l_len - 1);
    } else if (lock->l_len < 0) {
        if (start + lock->l_len < 0)
            return -EINVAL;
        want->start = start + lock->l_len;
        want->end = start - 1;
    }
    return 0;
}

/* What `lock` asks for, checked. `own`: by the open file (OFD). */
static int want_of(struct tdw_process *process, const struct tdw_file *file, bool by_file,
                   const struct flock *lock, struct tdw_lock *want)
{
    int err;

    if (!file->inode)
        return -EINVAL;
    *want = (struct tdw_lock){.type = lock->l_type,
                              .owner = by_file ? (const void *)file : process->files,
                              .by_file = by_file,
                              .pid = by_file ? -1 : process->pid};
    err = range_of(file, lock, want);
    if (err)
        return err;
    return lock->l_type == F_RDLCK || lock->l_type == F_WRLCK || lock->l_type == F_UNLCK ? 0
                                                                                         : -EINVAL;
}

/* A lock to be set needs a file open for what it is about; an OFD lock must not name a process. */
static int check_set(const struct tdw_file *file, const struct tdw_lock *want,
                     const struct flock *lock)
{
    if ((want->type == F_RDLCK && !(file->bits & TDW_FILE_READ)) ||
        (want->type == F_WRLCK && !(file->bits & TDW_FILE_WRITE)))
        return -EBADF;
    return want->by_file && lock->l_pid != 0 ? -EINVAL : 0;
}

int tdw__lock_set(struct tdw_process *process, struct tdw_file *file, int cmd,
                  const struct flock *lock)
{
    struct tdw_lock want;
    int err = want_of(process, file, cmd == F_OFD_SETLK, lock, &want);

    if (!err)
        err = check_set(file, &want, lock);
    if (err)
        return err;
    if (want.type != F_UNLCK && first_conflict(file->inode, &want))
        return -EAGAIN;
    return apply(file->inode, want);
}

int tdw__lock_get(struct tdw_process *process, struct tdw_file *file, int cmd, struct flock *lock)
{
    const struct tdw_lock *held;
    struct tdw_lock want;
    const bool by_file = cmd == F_OFD_GETLK;
    int err;

    /* F_OFD_GETLK with F_UNLCK asks for the open file's own locks. */
    if (!by_file && lock->l_type != F_RDLCK && lock->l_type != F_WRLCK)
        return -EINVAL;
    err = want_of(process, file, by_file, lock, &want);
    if (!err && by_file && lock->l_pid != 0)
        err = -EINVAL;
    if (err)
        return err;
    if (want.type == F_UNLCK) {
        for (held = file->inode->locks; held; held = held->next)
            if (held->owner == want.owner && overlap(held, &want))
                break;
    } else {
        held = first_conflict(file->inode, &want);
    }
    if (!held) {
        lock->l_type = F_UNLCK;
        return 0;
    }
    *lock = (struct flock){.l_type = held->type,
                           .l_whence = SEEK_SET,
                           .l_start = held->start,
                           .l_len = held->end == INT64_MAX ? 0 : held->end - held->start + 1,
                           .l_pid = held->pid};
    return 0;
}

/* ── SETLKW: waiting for a record lock ─────────────────────────────────────────────────────── */

/* Does anybody whom `owner` waits for, and so on, wait for `self`? `depth` bounds the search:
 * more processes than that in a circle wait for ever, as on Linux (where it is 10). */
static bool waits_for(const struct tdw_disk *disk, const void *owner, const void *self,
                      uint32_t depth)
{
    if (owner == self)
        return true;
    if (depth == 0)
        return false;
    for (const struct tdw_lock_wait *wait = disk->lock_waits; wait; wait = wait->next) {
        const struct tdw_lock *held = wait->want.owner == owner ? wait->file->inode->locks : NULL;

        for (; held; held = held->next)
            if (conflict(held, &wait->want) && !held->by_file &&
                waits_for(disk, held->owner, self, depth - 1))
                return true;
    }
    return false;
}

static bool deadlocks(const struct tdw_lock_wait *wait)
{
    enum { DEPTH = 10 };
    const struct tdw_inode *inode = wait->file->inode;

    if (wait->want.by_file)
        return false;
    for (const struct tdw_lock *held = inode->locks; held; held = held->next)
        if (conflict(held, &wait->want) && !held->by_file &&
            waits_for(inode->disk, held->owner, wait->want.owner, DEPTH))
            return true;
    return false;
}

static void wait_end(struct tdw_disk *disk, struct tdw_lock_wait *wait)
{
    if (!wait->waits)
        return;
    wait->waits = false;
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        disk->lock_waits = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
}

static void wait_begin(struct tdw_disk *disk, struct tdw_lock_wait *wait)
{
    if (wait->waits)
        return;
    wait->waits = true;
    wait->prev = NULL;
    wait->next = disk->lock_waits;
    if (wait->next)
        wait->next->prev = wait;
    disk->lock_waits = wait;
}

static int start_setlkw(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const int cmd = (int)op->sqe.len;
    const struct flock *lock = tdw__pointer(op->sqe.addr);
    struct tdw_file *file = tdw__op_file(process, op);
    struct tdw_lock_wait *wait;
    struct tdw_lock want;
    int err;

    if (!file)
        return -EBADF;
    if (cmd != F_SETLKW && cmd != F_OFD_SETLKW)
        return -EINVAL;
    if (!lock)
        return -EFAULT;
    err = want_of(process, file, cmd == F_OFD_SETLKW, lock, &want);
    if (!err)
        err = check_set(file, &want, lock);
    if (err)
        return err;
    wait = tdw__pool_get_zeroed(&file->disk->waits);
    if (!wait)
        return -ENOLCK;
    file->refs++;
    wait->file = file;
    wait->want = want;
    *object = wait;
    return 0;
}

static struct tdw_waitq *blocked_setlkw(struct tdw_process *process, struct tdw_op *op,
                                        void *object)
{
    struct tdw_lock_wait *wait = object;
    struct tdw_inode *inode = wait->file->inode;

    (void)process;
    if (op->state == TDW_BLOCKED) /* only its queue is asked for */
        return &inode->lock_queue;
    wait_end(inode->disk, wait);
    if (wait->deadlock || wait->want.type == F_UNLCK || !first_conflict(inode, &wait->want))
        return NULL;
    if (deadlocks(wait)) {
        wait->deadlock = true;
        return NULL;
    }
    if (!wait->want.by_file)
        wait_begin(inode->disk, wait);
    return &inode->lock_queue;
}

static int32_t effect_setlkw(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_lock_wait *wait = object;

    (void)process, (void)op;
    return wait->deadlock ? -EDEADLK : apply(wait->file->inode, wait->want);
}

static void release_setlkw(struct tdw_process *process, void *object)
{
    struct tdw_lock_wait *wait = object;
    struct tdw_file *file = wait->file;

    (void)process;
    wait_end(file->disk, wait);
    tdw__pool_put(&file->disk->waits, wait);
    tdw__file_put(file);
}

const struct tdw_sim_opcode tdw__row_setlkw = {start_setlkw, blocked_setlkw, effect_setlkw,
                                               release_setlkw, TDW_WHOLE};

/* ── Dropping ──────────────────────────────────────────────────────────────────────────────── */

static bool drop_from(struct tdw_disk *disk, struct tdw_lock **at, const void *owner)
{
    bool dropped = false;

    while (*at) {
        if ((*at)->owner == owner) {
            tdw__lock_free(disk, at);
            dropped = true;
        } else {
            at = &(*at)->next;
        }
    }
    return dropped;
}

void tdw__locks_drop(struct tdw_inode *inode, const void *owner)
{
    bool dropped;

    if (!inode->locks && !inode->flocks)
        return;
    dropped = drop_from(inode->disk, &inode->locks, owner);
    dropped |= drop_from(inode->disk, &inode->flocks, owner);
    if (dropped)
        tdw__wake(&inode->lock_queue);
}
