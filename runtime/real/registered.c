/* SPDX-License-Identifier: MIT */
/*
 * Registered files, registered buffers and groups of buffers, without a kernel that keeps them.
 *
 * The epoll backend has what io_uring_register(2) gives from here. A registered file is a duplicate
 * of the descriptor, so that closing the program's own leaves it (and, as any close, the slot's end
 * drops the process's POSIX locks on the file, which the kernel's does not); a registered buffer is
 * its bounds; a group is a list, or the ring in the program's memory that io_uring would read.
 * Numbers and errors are the kernel's.
 */
#include <runtime/real/real.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { /* of io_uring_register(2), where the oldest header lacks them */
       PBUF_RING = 22,
       UNREGISTER_PBUF_RING = 23,
       FILE_ALLOC_RANGE = 25,
       FILES_MAX = 1 << 20,
       BUFFERS_MAX = 1 << 14,
       GROUPS = 1 << 16,
};

struct buffer {
    struct buffer *next;
    struct tdw_picked at;
};

struct group {
    struct group *next;
    uint16_t id;
    struct buffer *head, **tail;    /* PROVIDE_BUFFERS; first in, first out */
    struct io_uring_buf_ring *ring; /* or a ring in memory */
    uint32_t mask;
    uint16_t at;      /* … of which this one is next, */
    bool incremental; /* … and is used up by and by */
};

struct tdw_registry {
    void (*closes)(void *owner, int fd);
    void (*opened)(void *owner, int fd);
    void *owner;
    int *files; /* -1: empty */
    uint32_t files_count, files_start, files_end, files_next;
    struct iovec *buffers;
    uint32_t buffers_count;
    struct group *groups;
};

struct tdw_registry *tdw__registry_new(void (*closes)(void *owner, int fd),
                                       void (*opened)(void *owner, int fd), void *owner)
{
    struct tdw_registry *r = calloc(1, sizeof *r);

    if (r) {
        r->closes = closes;
        r->opened = opened;
        r->owner = owner;
    }
    return r;
}

static void close_slot(const struct tdw_registry *r, int fd)
{
    r->closes(r->owner, fd);
}

static void group_free(struct group *group)
{
    while (group->head) {
        struct buffer *next = group->head->next;

        free(group->head);
        group->head = next;
    }
    free(group);
}

static int files_drop(struct tdw_registry *r)
{
    if (!r->files)
        return -ENXIO;
    for (uint32_t i = 0; i < r->files_count; i++)
        if (r->files[i] >= 0)
            close_slot(r, r->files[i]);
    free(r->files);
    r->files = NULL;
    r->files_count = 0;
    return 0;
}

static int buffers_drop(struct tdw_registry *r)
{
    if (!r->buffers)
        return -ENXIO;
    free(r->buffers);
    r->buffers = NULL;
    r->buffers_count = 0;
    return 0;
}

void tdw__registry_free(struct tdw_registry *r)
{
    if (!r)
        return;
    files_drop(r);
    buffers_drop(r);
    while (r->groups) {
        struct group *next = r->groups->next;

        group_free(r->groups);
        r->groups = next;
    }
    free(r);
}

/* ── Files ─────────────────────────────────────────────────────────────────────────────────── */

static int file_copy(const struct tdw_registry *r, int fd)
{
    const int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0)
        r->opened(r->owner, copy);
    return fd >= 0 && copy < 0 ? -errno : copy;
}

static int files_register(struct tdw_registry *r, const int *fds, unsigned count)
{
    struct rlimit limit;

    if (r->files)
        return -EBUSY;
    if (count == 0)
        return -EINVAL;
    if (count > FILES_MAX || (getrlimit(RLIMIT_NOFILE, &limit) == 0 && count > limit.rlim_cur))
        return -EMFILE;
    r->files = malloc(count * sizeof *r->files);
    if (!r->files)
        return -ENOMEM;
    memset(r->files, 0xff, count * sizeof *r->files);
    r->files_count = r->files_end = count;
    r->files_start = r->files_next = 0;
    for (unsigned i = 0; fds && i < count; i++) {
        const int copy = fds[i] == -1 ? -1 : file_copy(r, fds[i] < 0 ? INT32_MAX : fds[i]);

        if (copy < -1) {
            files_drop(r);
            return copy;
        }
        r->files[i] = copy;
    }
    return 0;
}

static int files_update(struct tdw_registry *r, uint32_t off, const int *fds, unsigned count)
{
    if (!r->files)
        return -ENXIO;
    if (off > r->files_count || count > r->files_count - off)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        int copy;

        if (fds[i] == IORING_REGISTER_FILES_SKIP)
            continue;
        if (r->files[off + i] >= 0) { /* emptied first, whatever comes of the new one */
            close_slot(r, r->files[off + i]);
            r->files[off + i] = -1;
            r->files_next = off + i;
        }
        if (fds[i] == -1)
            continue;
        copy = file_copy(r, fds[i] < 0 ? INT32_MAX : fds[i]);
        if (copy < 0)
            return i ? (int)i : copy;
        r->files[off + i] = copy;
        r->files_next = off + i + 1;
    }
    return (int)count;
}

static int files_range(struct tdw_registry *r, const struct io_uring_file_index_range *range)
{
    if (range->off + range->len < range->off)
        return -EOVERFLOW;
    if (!r->files || range->resv)
        return -EINVAL;
    if (range->len > r->files_count || range->off > r->files_count - range->len)
        return -EINVAL;
    r->files_start = r->files_next = range->off;
    r->files_end = range->off + range->len;
    return 0;
}

int tdw__registry_file(const struct tdw_registry *r, uint32_t slot)
{
    return slot < r->files_count && r->files[slot] >= 0 ? r->files[slot] : -EBADF;
}

static int free_slot(struct tdw_registry *r)
{
    const uint32_t from = r->files_next < r->files_start ? r->files_start : r->files_next;

    for (uint32_t i = from; i < r->files_end; i++)
        if (r->files[i] < 0)
            return (int)i;
    for (uint32_t i = r->files_start; i < from && i < r->files_end; i++)
        if (r->files[i] < 0)
            return (int)i;
    return -ENFILE;
}

int tdw__registry_install(struct tdw_registry *r, int fd, uint32_t index)
{
    const bool any = index == IORING_FILE_INDEX_ALLOC;
    const int slot = !r->files ? (any ? -ENFILE : -ENXIO) : any ? free_slot(r) : (int)index - 1;

    if (slot < 0)
        return slot;
    if ((uint32_t)slot >= r->files_count)
        return -EINVAL;
    if (r->files[slot] >= 0)
        close_slot(r, r->files[slot]);
    else
        r->files_next = (uint32_t)slot + 1; /* where the next free one is looked for */
    r->files[slot] = fd;
    return any ? slot : 0;
}

int tdw__registry_remove(struct tdw_registry *r, uint32_t index)
{
    const uint32_t slot = index - 1;

    if (!r->files)
        return -ENXIO;
    if (slot >= r->files_count)
        return -EINVAL;
    if (r->files[slot] < 0)
        return -EBADF;
    close_slot(r, r->files[slot]);
    r->files[slot] = -1;
    r->files_next = slot;
    return 0;
}

/* ── Buffers ───────────────────────────────────────────────────────────────────────────────── */

static int buffer_check(const struct iovec *buffer)
{
    if (!buffer->iov_base)
        return buffer->iov_len ? -EFAULT : 0;
    if (buffer->iov_len == 0 || buffer->iov_len > (size_t)1 << 30)
        return -EFAULT;
    return 0;
}

static int buffers_register(struct tdw_registry *r, const struct iovec *buffers, unsigned count)
{
    if (r->buffers)
        return -EBUSY;
    if (count == 0 || count > BUFFERS_MAX)
        return -EINVAL;
    for (unsigned i = 0; buffers && i < count; i++)
        if (buffer_check(&buffers[i]) < 0)
            return -EFAULT;
    r->buffers = calloc(count, sizeof *r->buffers);
    if (!r->buffers)
        return -ENOMEM;
    if (buffers)
        memcpy(r->buffers, buffers, count * sizeof *buffers);
    r->buffers_count = count;
    return 0;
}

static int buffers_update(struct tdw_registry *r, const struct io_uring_rsrc_update2 *update)
{
    const struct iovec *buffers = (const struct iovec *)(uintptr_t)update->data;

    if (update->nr == 0)
        return -EINVAL;
    if (!r->buffers)
        return -ENXIO;
    if (update->offset > r->buffers_count || update->nr > r->buffers_count - update->offset)
        return -EINVAL;
    for (uint32_t i = 0; i < update->nr; i++) {
        if (buffer_check(&buffers[i]) < 0)
            return i ? (int)i : -EFAULT;
        r->buffers[update->offset + i] = buffers[i];
    }
    return (int)update->nr;
}

int tdw__registry_buffer(const struct tdw_registry *r, uint16_t index, uint64_t at, uint64_t bytes)
{
    const struct iovec *buffer = index < r->buffers_count ? &r->buffers[index] : NULL;
    const uint64_t begin = buffer ? (uintptr_t)buffer->iov_base : 0;

    if (!buffer || !begin || at < begin || at > begin + buffer->iov_len ||
        bytes > begin + buffer->iov_len - at)
        return -EFAULT;
    return 0;
}

/* ── Groups ────────────────────────────────────────────────────────────────────────────────── */

static struct group *group_of(const struct tdw_registry *r, uint16_t id)
{
    struct group *group = r->groups;

    while (group && group->id != id)
        group = group->next;
    return group;
}

static struct group *group_new(struct tdw_registry *r, uint16_t id)
{
    struct group *group = calloc(1, sizeof *group);

    if (!group)
        return NULL;
    group->id = id;
    group->tail = &group->head;
    group->next = r->groups;
    r->groups = group;
    return group;
}

static int ring_register(struct tdw_registry *r, const struct tdw_buf_reg *reg)
{
    struct group *group = group_of(r, reg->bgid);

    if (reg->flags & ~(uint32_t)TDW_BUF_RING_INC || reg->ring_entries == 0 ||
        reg->ring_entries & (reg->ring_entries - 1) || reg->ring_entries >= 65536)
        return -EINVAL;
    if (!reg->ring_addr)
        return -EFAULT;
    if (reg->ring_addr & 4095)
        return -EINVAL;
    if (group && (group->ring || group->head))
        return -EEXIST;
    if (!group)
        group = group_new(r, reg->bgid);
    if (!group)
        return -ENOMEM;
    group->ring = (struct io_uring_buf_ring *)(uintptr_t)reg->ring_addr;
    group->mask = reg->ring_entries - 1;
    group->at = 0;
    group->incremental = reg->flags & TDW_BUF_RING_INC;
    return 0;
}

static int ring_unregister(struct tdw_registry *r, uint16_t id)
{
    struct group **at = &r->groups, *group;

    while (*at && (*at)->id != id)
        at = &(*at)->next;
    group = *at;
    if (!group)
        return -ENOENT;
    if (!group->ring)
        return -EINVAL;
    *at = group->next;
    group_free(group);
    return 0;
}

bool tdw__registry_is_list(const struct tdw_registry *r, uint16_t id)
{
    const struct group *group = group_of(r, id);

    return group && !group->ring;
}

bool tdw__registry_pick(const struct tdw_registry *r, uint16_t id, struct tdw_picked *picked)
{
    const struct group *group = group_of(r, id);
    const struct io_uring_buf *buf;

    if (!group)
        return false;
    if (!group->ring) {
        if (group->head)
            *picked = group->head->at;
        return group->head != NULL;
    }
    if (io_uring_smp_load_acquire(&group->ring->tail) == group->at)
        return false;
    buf = &group->ring->bufs[group->at & group->mask];
    *picked = (struct tdw_picked){buf->addr, buf->len, buf->bid};
    return true;
}

bool tdw__registry_use(struct tdw_registry *r, uint16_t id, uint32_t bytes)
{
    struct group *group = group_of(r, id);
    struct buffer *first = group->head;
    struct io_uring_buf *buf;

    if (!group->ring) {
        group->head = first->next;
        if (!group->head)
            group->tail = &group->head;
        free(first);
        return false;
    }
    buf = &group->ring->bufs[group->at & group->mask];
    if (group->incremental && bytes < buf->len) { /* what is left of it is what it is */
        buf->addr += bytes;
        buf->len -= bytes;
        return true;
    }
    if (group->incremental)
        buf->len = 0;
    group->at++;
    return false;
}

static int32_t provide(struct tdw_registry *r, const struct io_uring_sqe *sqe)
{
    struct group *group = group_of(r, sqe->buf_group);
    const uint32_t count = (uint32_t)sqe->fd;

    if (sqe->rw_flags || sqe->splice_fd_in)
        return -EINVAL;
    if (count == 0 || count > GROUPS)
        return -E2BIG;
    if (sqe->off > UINT16_MAX)
        return -E2BIG;
    if (sqe->off + count > GROUPS)
        return -EINVAL;
    if (!sqe->len)
        return -EINVAL;
    if (group && group->ring)
        return -EINVAL;
    if (!group)
        group = group_new(r, sqe->buf_group);
    for (uint32_t i = 0; group && i < count; i++) {
        struct buffer *buffer = malloc(sizeof *buffer);

        if (!buffer)
            return i ? 0 : -ENOMEM;
        buffer->next = NULL;
        buffer->at = (struct tdw_picked){sqe->addr + (uint64_t)i * sqe->len, sqe->len,
                                         (uint16_t)(sqe->off + i)};
        *group->tail = buffer;
        group->tail = &buffer->next;
    }
    return group ? 0 : -ENOMEM;
}

static int32_t remove_buffers(struct tdw_registry *r, const struct io_uring_sqe *sqe)
{
    struct group *group = group_of(r, sqe->buf_group);
    const uint32_t count = (uint32_t)sqe->fd;
    int32_t removed = 0;

    if (sqe->rw_flags || sqe->addr || sqe->len || sqe->off || sqe->splice_fd_in || count == 0 ||
        count > GROUPS)
        return -EINVAL;
    if (!group)
        return -ENOENT;
    if (group->ring)
        return -EINVAL;
    while (group->head && (uint32_t)removed < count) {
        tdw__registry_use(r, sqe->buf_group, 0);
        removed++;
    }
    return removed;
}

/* ── By number ─────────────────────────────────────────────────────────────────────────────── */

int tdw__registry_enroll(struct tdw_registry *r, unsigned opcode, const void *arg, unsigned count)
{
    const struct io_uring_rsrc_register *rsrc = arg;
    const struct io_uring_files_update *update = arg;

    switch (opcode) {
    case IORING_REGISTER_FILES:
        return files_register(r, arg, count);
    case IORING_REGISTER_FILES2:
        return files_register(r, NULL, rsrc->nr);
    case IORING_UNREGISTER_FILES:
        return files_drop(r);
    case IORING_REGISTER_FILES_UPDATE:
        return files_update(r, update->offset, (const int *)(uintptr_t)update->fds, count);
    case FILE_ALLOC_RANGE:
        return files_range(r, arg);
    case IORING_REGISTER_BUFFERS:
        return buffers_register(r, arg, count);
    case IORING_REGISTER_BUFFERS2:
        return buffers_register(r, NULL, rsrc->nr);
    case IORING_REGISTER_BUFFERS_UPDATE:
        return buffers_update(r, arg);
    case IORING_UNREGISTER_BUFFERS:
        return buffers_drop(r);
    case PBUF_RING:
        return ring_register(r, arg);
    case UNREGISTER_PBUF_RING:
        return ring_unregister(r, ((const struct tdw_buf_reg *)arg)->bgid);
    default:
        return -EINVAL;
    }
}

/* FILES_UPDATE with an offset of ALLOC puts each into a free slot, and tells which. */
static int32_t update_op(struct tdw_registry *r, const struct io_uring_sqe *sqe)
{
    int *fds = (int *)(uintptr_t)sqe->addr;

    if (sqe->rw_flags || sqe->splice_fd_in || sqe->len == 0)
        return -EINVAL;
    if ((uint32_t)sqe->off != IORING_FILE_INDEX_ALLOC)
        return files_update(r, (uint32_t)sqe->off, fds, sqe->len);
    if (!r->files)
        return -ENXIO;
    for (uint32_t i = 0; i < sqe->len; i++) {
        const int copy = file_copy(r, fds[i]);
        const int slot =
            copy < 0 ? -EBADF : tdw__registry_install(r, copy, IORING_FILE_INDEX_ALLOC);

        if (slot < 0) {
            if (copy >= 0)
                close(copy);
            return i ? (int32_t)i : slot;
        }
        fds[i] = slot;
    }
    return (int32_t)sqe->len;
}

int32_t tdw__registry_perform(struct tdw_registry *r, const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_FILES_UPDATE:
        return update_op(r, sqe);
    case IORING_OP_PROVIDE_BUFFERS:
        return provide(r, sqe);
    default:
        return remove_buffers(r, sqe);
    }
}
