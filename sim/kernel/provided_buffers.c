/* SPDX-License-Identifier: MIT */
/*
 * Provided buffers: an op with IOSQE_BUFFER_SELECT gets one of its group when it needs one.
 *
 *     PROVIDE_BUFFERS ─▶ list:  [first] ─▶ [ ] ─▶ [last]         taken from the front
 *     the program     ─▶ ring:  bufs[head % size] … bufs[tail]   the tail is the program's
 *
 * A group is of one kind or the other. The completion names the buffer (IORING_CQE_F_BUFFER, its
 * id in the upper half of the flags), and from then on it is the program's again, whatever the
 * result.
 *
 * When is it taken? As on Linux: a read takes a buffer of a list at its start, also if it then
 * waits, and is cancelled with it; a read of a ring takes it at its start if the file never makes
 * anybody wait, else with the data. Rows of sockets take it with the data (vfs.h: peek, take).
 * What a read has taken stands in words of its entry that reads do not use (addr3 and behind).
 *
 * Rows: PROVIDE_BUFFERS, REMOVE_BUFFERS. Calls: tdw_ring_*buf_ring. Memory comes from the loop's
 * pool. Cost: a walk along the groups of the process, of which there are few.
 */
#include <tidewheel/register.h>
#include <sim/kernel/vfs.h>

enum {
    IDS_MAX = 1 << 16,     /* buffer ids */
    LIST_MAX = UINT16_MAX, /* buffers in one list */
    RING_MAX = 1 << 16,    /* entries of a ring are fewer, or full could not be told from empty */
    ID_SHIFT = 16,         /* IORING_CQE_BUFFER_SHIFT */
};

struct buffer {
    struct buffer *next;
    uint64_t address;
    uint32_t bytes;
    uint16_t id;
};

struct tdw_buffer_group {
    struct tdw_buffer_group *next;
    struct buffer *first, *last;    /* a list */
    struct io_uring_buf_ring *ring; /* or a ring */
    uint32_t count, mask;
    uint16_t id, head;
    bool incremental;
};

static struct tdw_registered *registered_of(const struct tdw_op *op)
{
    return &tdw_of(op->task->ring, struct tdw_process, ring)->registered;
}

static struct tdw_buffer_group *group_find(const struct tdw_registered *r, uint32_t id)
{
    struct tdw_buffer_group *group = r->groups;

    while (group && group->id != id)
        group = group->next;
    return group;
}

/* The group `id`, made if it is not there; NULL when memory is exhausted. */
static struct tdw_buffer_group *group_make(struct tdw_process *process, uint16_t id)
{
    struct tdw_registered *r = &process->registered;
    struct tdw_buffer_group *group = group_find(r, id);

    if (group)
        return group;
    group = tdw__memory_get(process->ring.loop->memory, sizeof(*group));
    if (group) {
        *group = (struct tdw_buffer_group){.next = r->groups, .id = id};
        r->groups = group;
    }
    return group;
}

static void group_free(struct tdw_process *process, struct tdw_buffer_group *group)
{
    struct tdw_buffer_group **at = &process->registered.groups;

    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    tdw__memory_put(process->ring.loop->memory, group, sizeof(*group));
}

/* ── Picking ───────────────────────────────────────────────────────────────────────────────── */

/* The next entry of a ring, or NULL. */
static struct io_uring_buf *ring_entry(const struct tdw_buffer_group *group)
{
    if (group->ring->tail == group->head)
        return NULL;
    return &group->ring->bufs[group->head & group->mask];
}

static void ring_take(struct tdw_buffer_group *group, struct tdw_op *op, size_t used)
{
    struct io_uring_buf *entry = ring_entry(group);

    op->flags |= IORING_CQE_F_BUFFER | (uint32_t)entry->bid << ID_SHIFT;
    if (group->incremental && used < entry->len) {
        entry->addr += used;
        entry->len -= (uint32_t)used;
        op->flags |= TDW_CQE_F_BUF_MORE;
        return;
    }
    if (group->incremental)
        entry->len = 0;
    group->head++;
}

static void list_take(struct tdw_process *process, struct tdw_buffer_group *group,
                      struct tdw_op *op)
{
    struct buffer *first = group->first;

    group->first = first->next;
    group->count--;
    if (op)
        op->flags |= IORING_CQE_F_BUFFER | (uint32_t)first->id << ID_SHIFT;
    tdw__memory_put(process->ring.loop->memory, first, sizeof(*first));
}

bool tdw__buffer_selects(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return true;
    default:
        return false;
    }
}

int tdw__buffer_peek(const struct tdw_op *op, size_t want, struct iovec *buffer)
{
    const struct tdw_buffer_group *group;

    *buffer = (struct iovec){NULL, 0};
    if (op->flags & IORING_CQE_F_BUFFER) {
        *buffer = (struct iovec){tdw__pointer(op->sqe.addr3), op->sqe.__pad2[0]};
        return 0;
    }
    group = group_find(registered_of(op), op->sqe.buf_group);
    if (group && group->ring) {
        const struct io_uring_buf *entry = ring_entry(group);

        if (entry)
            *buffer = (struct iovec){tdw__pointer(entry->addr), entry->len};
    } else if (group && group->first) {
        *buffer = (struct iovec){tdw__pointer(group->first->address), group->first->bytes};
    }
    if (!buffer->iov_base)
        return -ENOBUFS;
    if (want > 0 && want < buffer->iov_len)
        buffer->iov_len = want;
    return 0;
}

void tdw__buffer_take(struct tdw_op *op, size_t want, size_t used)
{
    struct tdw_process *process = tdw_of(op->task->ring, struct tdw_process, ring);
    struct tdw_buffer_group *group = group_find(&process->registered, op->sqe.buf_group);
    struct iovec buffer;

    if (op->flags & IORING_CQE_F_BUFFER || tdw__buffer_peek(op, want, &buffer))
        return;
    if (!(op->bits & TDW_OP_SHOTS)) { /* a multishot op keeps none, and needs the words itself */
        op->sqe.addr3 = (uintptr_t)buffer.iov_base;
        op->sqe.__pad2[0] = buffer.iov_len;
    }
    if (group->ring)
        ring_take(group, op, used);
    else
        list_take(process, group, op);
}

int tdw__buffer_begin(struct tdw_op *op, size_t want, bool waits)
{
    const struct tdw_buffer_group *group = group_find(registered_of(op), op->sqe.buf_group);
    struct iovec buffer;
    const int err = tdw__buffer_peek(op, want, &buffer);

    if (!err && !(group->ring && waits))
        tdw__buffer_take(op, want, buffer.iov_len);
    return err;
}

/* ── PROVIDE_BUFFERS, REMOVE_BUFFERS ───────────────────────────────────────────────────────── */

static int start_provide(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint64_t count = (uint32_t)sqe->fd;

    (void)process, (void)object;
    if (sqe->rw_flags || sqe->splice_fd_in)
        return -EINVAL;
    if (count == 0 || count > IDS_MAX)
        return -E2BIG;
    if (sqe->len == 0)
        return -EINVAL;
    if (sqe->addr > UINT64_MAX - sqe->len * count)
        return -EOVERFLOW;
    if (sqe->addr > INT64_MAX)
        return -EFAULT;
    if (sqe->off > UINT16_MAX)
        return -E2BIG;
    return sqe->off + count > IDS_MAX ? -EINVAL : 0;
}

static int32_t effect_provide(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    struct tdw_buffer_group *group = group_make(process, sqe->buf_group);
    const uint32_t count = (uint32_t)sqe->fd;

    (void)object;
    if (!group)
        return -ENOMEM;
    if (group->ring)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        struct buffer *buffer = NULL;

        if (group->count < LIST_MAX)
            buffer = tdw__memory_get(process->ring.loop->memory, sizeof(*buffer));
        if (!buffer)
            return i > 0 ? 0 : group->count == LIST_MAX ? -EOVERFLOW : -ENOMEM;
        *buffer = (struct buffer){.address = sqe->addr + (uint64_t)i * sqe->len,
                                  .bytes = sqe->len,
                                  .id = (uint16_t)(sqe->off + i)};
        if (group->first)
            group->last->next = buffer;
        else
            group->first = buffer;
        group->last = buffer;
        group->count++;
    }
    return 0;
}

static int start_remove(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint32_t count = (uint32_t)sqe->fd;

    (void)process, (void)object;
    if (sqe->rw_flags || sqe->addr || sqe->len || sqe->off || sqe->splice_fd_in)
        return -EINVAL;
    return count == 0 || count > IDS_MAX ? -EINVAL : 0;
}

static int32_t effect_remove(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_buffer_group *group = group_find(&process->registered, op->sqe.buf_group);
    int32_t count = 0;

    (void)object;
    if (!group)
        return -ENOENT;
    if (group->ring)
        return -EINVAL;
    while (group->first && count < op->sqe.fd) {
        list_take(process, group, NULL);
        count++;
    }
    return count;
}

const struct tdw_sim_opcode tdw__row_provide_buffers = {.start = start_provide,
                                                        .effect = effect_provide};
const struct tdw_sim_opcode tdw__row_remove_buffers = {.start = start_remove,
                                                       .effect = effect_remove};

/* ── Rings of buffers ──────────────────────────────────────────────────────────────────────── */

static int do_register(struct tdw_process *process, const struct io_uring_buf_reg *reg,
                       unsigned flags)
{
    struct tdw_buffer_group *group;

    if (!reg)
        return -EFAULT;
    if (reg->resv[0] || reg->resv[1] || reg->resv[2] || reg->pad || flags & ~TDW_BUF_RING_INC)
        return -EINVAL;
    if (reg->ring_entries == 0 || reg->ring_entries & (reg->ring_entries - 1) ||
        reg->ring_entries >= RING_MAX)
        return -EINVAL;
    group = group_find(&process->registered, reg->bgid);
    if (group && (group->ring || group->first))
        return -EEXIST;
    if (!reg->ring_addr)
        return -EFAULT;
    if (reg->ring_addr % TDW_PAGE_BYTES)
        return -EINVAL;
    group = group_make(process, reg->bgid);
    if (!group)
        return -ENOMEM;
    group->ring = tdw__pointer(reg->ring_addr);
    group->mask = reg->ring_entries - 1;
    group->head = 0;
    group->incremental = flags & TDW_BUF_RING_INC;
    return 0;
}

int tdw__sim_ring_register_buf_ring(const struct io_uring_buf_reg *reg, unsigned flags)
{
    const int res = do_register(tdw__process(), reg, flags);

    return tdw__sys_event(TDW_SYS_REGISTER_BUF_RING, -1, reg ? reg->bgid : 0,
                          reg ? reg->ring_entries : 0, flags, res);
}

int tdw__sim_ring_unregister_buf_ring(int id)
{
    struct tdw_process *process = tdw__process();
    struct tdw_buffer_group *group = group_find(&process->registered, (uint32_t)id);
    const int res = !group ? -ENOENT : group->ring ? 0 : -EINVAL;

    if (!res)
        group_free(process, group);
    return tdw__sys_event(TDW_SYS_UNREGISTER_BUF_RING, -1, (uint64_t)id, 0, 0, res);
}

void tdw__provided_buffers_free(struct tdw_process *process)
{
    struct tdw_buffer_group *group;

    while ((group = process->registered.groups) != NULL) {
        while (group->first)
            list_take(process, group, NULL);
        group_free(process, group);
    }
}
