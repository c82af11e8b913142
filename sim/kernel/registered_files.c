/* SPDX-License-Identifier: MIT */
/*
 * Registered files: a ring's own table of open files.
 *
 *     IOSQE_FIXED_FILE, fd ──▶ slot ──▶ open file ◀── descriptor (may be closed meanwhile)
 *
 * A slot holds a reference to its open file, so what is registered stays open when its descriptor
 * is closed, and an op in flight keeps its file when the slot is emptied or changed. A direct
 * descriptor is an open file that was never anything but a slot: rows that open something put it
 * there when sqe->file_index says so (tdw__install), in the slot that it names or in a free one.
 *
 * The search for a free slot goes round in the range of tdw_ring_register_file_alloc_range: it
 * begins behind the slot that was filled last, or at the one that was emptied last. This is
 * Linux's order, and programs see it in the numbers.
 *
 * Row: FILES_UPDATE. Calls: tdw_ring_*files*. Cost of a look-up: a comparison and a load.
 */
#define XXH_INLINE_ALL
#include <tidewheel/register.h>
#include <sim/kernel/vfs.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FILES_MAX = 1 << 15 };

struct tdw_file *tdw__registered_file(const struct tdw_process *process, uint32_t index)
{
    const struct tdw_registered *r = &process->registered;

    return index < r->files_count ? r->files[index] : NULL;
}

/* ── Slots ─────────────────────────────────────────────────────────────────────────────────── */

/* The open file that may be registered under this number: rings may not, or they would hold
 * themselves. */
static struct tdw_file *registrable(const struct tdw_process *process, int fd)
{
    struct tdw_file *file = tdw__fd(process->files, fd);

    return file && file->kind != &tdw__kind_ring ? file : NULL;
}

static void slot_fill(struct tdw_registered *r, uint32_t index, struct tdw_file *file)
{
    r->files[index] = file;
    r->files_next = index + 1;
}

static void slot_empty(struct tdw_registered *r, uint32_t index)
{
    struct tdw_file *file = r->files[index];

    if (!file)
        return;
    r->files[index] = NULL;
    r->files_next = index;
    tdw__file_put(file);
}

static int slot_find(const struct tdw_registered *r, uint32_t from, uint32_t end)
{
    while (from < end && r->files[from])
        from++;
    return from < end ? (int)from : -ENFILE;
}

/* A free slot of the range; none: -ENFILE. */
static int slot_free(struct tdw_registered *r)
{
    const uint32_t from = r->files_next < r->files_start ? r->files_start : r->files_next;
    int slot = slot_find(r, from, r->files_end);

    if (slot < 0 && from != r->files_start) {
        r->files_next = r->files_start;
        slot = slot_find(r, r->files_start, from < r->files_end ? from : r->files_end);
    }
    return slot;
}

/* Put `file` into slot `index`, in place of what is there. */
static int slot_set(struct tdw_registered *r, uint32_t index, struct tdw_file *file)
{
    if (r->files_count == 0)
        return -ENXIO;
    if (index >= r->files_count)
        return -EINVAL;
    if (!r->files[index]) {
        slot_fill(r, index, file);
    } else { /* replacing does not move the search */
        tdw__file_put(r->files[index]);
        r->files[index] = file;
    }
    return 0;
}

/* ── What rows ask for ─────────────────────────────────────────────────────────────────────── */

int tdw__install_check(struct tdw_process *process, const struct tdw_op *op, bool cloexec)
{
    int fd;

    if (op->sqe.file_index)
        return cloexec ? -EINVAL : 0; /* a slot is never inherited, nor closed by exec */
    fd = tdw__fd_free(process->files, 0);
    return fd < 0 ? fd : 0;
}

int32_t tdw__registered_install(struct tdw_process *process, uint32_t index, struct tdw_file *file)
{
    struct tdw_registered *r = &process->registered;
    const bool any = index == IORING_FILE_INDEX_ALLOC;
    const int slot = any ? slot_free(r) : (int)(index - 1);
    const int err = any && slot < 0 ? slot : slot_set(r, (uint32_t)slot, file);

    if (err)
        tdw__file_put(file);
    return err ? err : any ? slot : 0;
}

int32_t tdw__install(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                     bool cloexec)
{
    int fd;

    if (op->sqe.file_index)
        return tdw__registered_install(process, op->sqe.file_index, file);
    fd = tdw__fd_free(process->files, 0);
    if (fd < 0)
        tdw__file_put(file);
    else
        tdw__fd_set(process->files, fd, file, cloexec);
    return fd;
}

int32_t tdw__registered_close(struct tdw_process *process, uint32_t index)
{
    struct tdw_registered *r = &process->registered;

    if (r->files_count == 0)
        return -ENXIO;
    if (index >= r->files_count)
        return -EINVAL;
    if (!r->files[index])
        return -EBADF;
    slot_empty(r, index);
    return 0;
}

/* ── FILES_UPDATE ──────────────────────────────────────────────────────────────────────────── */

/* Slots from `at` on get the open files of `fds`; -1 empties one, IORING_REGISTER_FILES_SKIP leaves
 * it. How many were done before one failed, or its error if it was the first. */
static int update(struct tdw_process *process, uint32_t at, const int *fds, uint32_t count)
{
    struct tdw_registered *r = &process->registered;

    for (uint32_t i = 0; i < count; i++) {
        struct tdw_file *file;

        if (fds[i] == IORING_REGISTER_FILES_SKIP)
            continue;
        slot_empty(r, at + i);
        if (fds[i] == -1)
            continue;
        file = registrable(process, fds[i]);
        if (!file)
            return i > 0 ? (int)i : -EBADF;
        file->refs++;
        slot_fill(r, at + i, file);
    }
    return (int)count;
}

/* Each of `fds` gets a free slot, whose number takes its place. */
static int32_t update_anywhere(struct tdw_process *process, int *fds, uint32_t count)
{
    struct tdw_registered *r = &process->registered;

    if (r->files_count == 0)
        return -ENXIO;
    for (uint32_t i = 0; i < count; i++) {
        struct tdw_file *file = registrable(process, fds[i]);
        const int slot = file ? slot_free(r) : -EBADF;

        if (slot < 0)
            return i > 0 ? (int32_t)i : slot;
        file->refs++;
        slot_fill(r, (uint32_t)slot, file);
        fds[i] = slot;
    }
    return (int32_t)count;
}

static int check_update(const struct tdw_registered *r, uint32_t at, uint32_t count)
{
    if (at > UINT32_MAX - count)
        return -EOVERFLOW;
    if (r->files_count == 0)
        return -ENXIO;
    return at + count > r->files_count ? -EINVAL : 0;
}

static int start_files_update(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    (void)process, (void)object;
    if (sqe->flags & IOSQE_FIXED_FILE || sqe->rw_flags || sqe->splice_fd_in || !sqe->len)
        return -EINVAL;
    return 0;
}

static int32_t effect_files_update(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    int *fds = tdw__pointer(sqe->addr);
    const uint32_t at = (uint32_t)sqe->off;
    int err;

    (void)object;
    if (at == IORING_FILE_INDEX_ALLOC)
        return fds ? update_anywhere(process, fds, sqe->len) : -EFAULT;
    err = check_update(&process->registered, at, sqe->len);
    if (err)
        return err;
    return fds ? update(process, at, fds, sqe->len) : -EFAULT;
}

const struct tdw_sim_opcode tdw__row_files_update = {.start = start_files_update,
                                                     .effect = effect_files_update};

/* ── Calls ─────────────────────────────────────────────────────────────────────────────────── */

static int event(uint8_t call, uint64_t off, const int *fds, uint32_t count, int res)
{
    const uint64_t data = fds && res >= 0 ? XXH3_64bits(fds, count * sizeof(*fds)) : 0;

    return tdw__sys_event(call, -1, off, count, data, res);
}

static int do_register(struct tdw_process *process, const int *fds, uint32_t count)
{
    struct tdw_registered *r = &process->registered;

    if (r->files_count > 0)
        return -EBUSY;
    if (count == 0)
        return -EINVAL;
    if (count > FILES_MAX || count > process->files->fds_limit)
        return -EMFILE;
    for (uint32_t i = 0; fds && i < count; i++)
        if (fds[i] != -1 && !registrable(process, fds[i]))
            return -EBADF;
    r->files = calloc(count, sizeof(struct tdw_file *));
    if (!r->files)
        return -ENOMEM;
    r->files_count = r->files_end = count;
    if (fds)
        update(process, 0, fds, count);
    r->files_start = r->files_next = 0;
    return 0;
}

static int do_unregister(struct tdw_process *process)
{
    struct tdw_registered *r = &process->registered;

    if (r->files_count == 0)
        return -ENXIO;
    for (uint32_t i = 0; i < r->files_count; i++)
        slot_empty(r, i);
    free(r->files);
    r->files = NULL;
    r->files_count = r->files_start = r->files_end = r->files_next = 0;
    return 0;
}

int tdw__sim_ring_register_files(const int *fds, unsigned count)
{
    return event(TDW_SYS_REGISTER_FILES, 0, fds, count,
                 fds || count == 0 ? do_register(tdw__process(), fds, count) : -EFAULT);
}

int tdw__sim_ring_register_files_sparse(unsigned count)
{
    return event(TDW_SYS_REGISTER_FILES, 1, NULL, count,
                 count > 0 ? do_register(tdw__process(), NULL, count) : -EINVAL);
}

int tdw__sim_ring_unregister_files(void)
{
    return event(TDW_SYS_UNREGISTER_FILES, 0, NULL, 0, do_unregister(tdw__process()));
}

int tdw__sim_ring_register_files_update(unsigned off, const int *fds, unsigned count)
{
    int res = count == 0 ? -EINVAL : check_update(&tdw__process()->registered, off, count);

    if (!res)
        res = fds ? update(tdw__process(), off, fds, count) : -EFAULT;
    return event(TDW_SYS_REGISTER_FILES_UPDATE, off, fds, count, res);
}

int tdw__sim_ring_register_file_alloc_range(unsigned off, unsigned count)
{
    struct tdw_registered *r = &tdw__process()->registered;
    int res = 0;

    if (off > UINT32_MAX - count)
        res = -EOVERFLOW;
    else if (off + count > r->files_count)
        res = -EINVAL;
    if (!res) {
        r->files_start = r->files_next = off;
        r->files_end = off + count;
    }
    return event(TDW_SYS_REGISTER_FILE_ALLOC_RANGE, off, NULL, count, res);
}

void tdw__registered_free(struct tdw_process *process)
{
    do_unregister(process);
    tdw__registered_buffers_free(process);
    tdw__provided_buffers_free(process);
    tdw__messages_free(process);
}
