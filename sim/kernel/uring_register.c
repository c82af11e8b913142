/* SPDX-License-Identifier: MIT */
/*
 * What liburing registers, on a simulated ring: files, buffers, an eventfd, restrictions; and the
 * probe.
 *
 * Files and buffers belong to the process's one ring (include/tidewheel/register.h), so two rings
 * of a program share them. A ring has a descriptor, as on Linux: it can be polled, and closed with
 * the ring. What has no meaning here (worker limits) is accepted as its comment in the public
 * header says.
 *
 * A ring that starts disabled can be restricted to some opcodes, flags and registrations; from when
 * it is enabled on everything else is -EACCES, for an entry as its completion.
 */
#include <tidewheel/register.h>
#include <sim/kernel/uring.h>
#include <poll.h>
#include <stdlib.h>

enum {
    OPCODES = TDW_OP_LISTEN + 1,
    RESTRICTIONS_MAX = IORING_RESTRICTION_LAST + IORING_REGISTER_LAST + IORING_OP_LAST,
};

/* ── The descriptor ────────────────────────────────────────────────────────────────────────── */

static const struct tdw_file_kind kind = {.name = "io_uring", .mode = 0600};

int tdw__uring_fd(void)
{
    struct tdw_process *process = tdw__process();
    struct tdw_disk *disk = process->files->disk;
    const int fd = tdw__fd_free(process->files, 0);
    struct tdw_file *file = fd < 0 ? NULL : tdw__file_new(disk, &kind, O_RDWR, NULL);

    if (!file)
        return -1;
    file->number = disk->inode_next++;
    tdw__fd_set(process->files, fd, file, true);
    return fd;
}

void tdw__uring_fd_close(int fd)
{
    struct tdw_files *files = tdw__process()->files;
    const struct tdw_file *file = tdw__fd(files, fd);

    if (file && file->kind == &kind)
        tdw__fd_close(files, fd);
}

/* ── Restrictions ──────────────────────────────────────────────────────────────────────────── */

static bool is_in(const uint64_t *set, uint32_t bit)
{
    return set[bit / 64] >> bit % 64 & 1;
}

static bool may_register(const struct io_uring *ring, uint32_t what)
{
    const struct tdw_uring *uring = ring->sq.ring_ptr;

    return !uring->limits.on || is_in(&uring->limits.registers, what);
}

bool tdw__uring_may_submit(const struct tdw_uring *uring, const struct io_uring_sqe *sqe)
{
    const struct tdw_uring_limits *limits = &uring->limits;
    const uint8_t may = limits->flags_allowed | limits->flags_required;

    return !limits->on || (is_in(limits->opcodes, sqe->opcode) && !(sqe->flags & ~may) &&
                           (sqe->flags & limits->flags_required) == limits->flags_required);
}

static int limit(struct tdw_uring_limits *limits, const struct io_uring_restriction *one)
{
    switch (one->opcode) {
    case IORING_RESTRICTION_REGISTER_OP:
        if (one->register_op >= IORING_REGISTER_LAST)
            return -EINVAL;
        limits->registers |= 1ull << one->register_op;
        return 0;
    case IORING_RESTRICTION_SQE_OP:
        if (one->sqe_op >= OPCODES)
            return -EINVAL;
        limits->opcodes[one->sqe_op / 64] |= 1ull << one->sqe_op % 64;
        return 0;
    case IORING_RESTRICTION_SQE_FLAGS_ALLOWED:
        limits->flags_allowed = one->sqe_flags;
        return 0;
    case IORING_RESTRICTION_SQE_FLAGS_REQUIRED:
        limits->flags_required = one->sqe_flags;
        return 0;
    default:
        return -EINVAL;
    }
}

int tdw_uring_register_restrictions(struct io_uring *ring, struct io_uring_restriction *given,
                                    unsigned count)
{
    struct tdw_uring *uring = ring->sq.ring_ptr;
    struct tdw_uring_limits limits = {.set = true};
    int err = 0;

    if (!uring->disabled)
        return -EBADFD;
    if (uring->limits.set)
        return -EBUSY;
    if (!given || count > RESTRICTIONS_MAX)
        return -EINVAL;
    for (unsigned i = 0; !err && i < count; i++)
        err = limit(&limits, &given[i]);
    if (!err)
        uring->limits = limits;
    return err;
}

/* ── Files and buffers ─────────────────────────────────────────────────────────────────────── */

int tdw_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count)
{
    return may_register(ring, IORING_REGISTER_BUFFERS)
               ? tdw__sim_ring_register_buffers(buffers, count)
               : -EACCES;
}

int tdw_uring_register_buffers_sparse(struct io_uring *ring, unsigned count)
{
    return may_register(ring, IORING_REGISTER_BUFFERS2)
               ? tdw__sim_ring_register_buffers_sparse(count)
               : -EACCES;
}

int tdw_uring_unregister_buffers(struct io_uring *ring)
{
    return may_register(ring, IORING_UNREGISTER_BUFFERS) ? tdw__sim_ring_unregister_buffers()
                                                         : -EACCES;
}

int tdw_uring_register_files(struct io_uring *ring, const int *files, unsigned count)
{
    return may_register(ring, IORING_REGISTER_FILES) ? tdw__sim_ring_register_files(files, count)
                                                     : -EACCES;
}

int tdw_uring_register_files_sparse(struct io_uring *ring, unsigned count)
{
    return may_register(ring, IORING_REGISTER_FILES2) ? tdw__sim_ring_register_files_sparse(count)
                                                      : -EACCES;
}

int tdw_uring_register_files_update(struct io_uring *ring, unsigned off, const int *files,
                                    unsigned count)
{
    return may_register(ring, IORING_REGISTER_FILES_UPDATE)
               ? tdw__sim_ring_register_files_update(off, files, count)
               : -EACCES;
}

int tdw_uring_unregister_files(struct io_uring *ring)
{
    return may_register(ring, IORING_UNREGISTER_FILES) ? tdw__sim_ring_unregister_files() : -EACCES;
}

int tdw_uring_register_file_alloc_range(struct io_uring *ring, unsigned off, unsigned count)
{
    return may_register(ring, IORING_REGISTER_FILE_ALLOC_RANGE)
               ? tdw__sim_ring_register_file_alloc_range(off, count)
               : -EACCES;
}

int tdw_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg, unsigned flags)
{
    return may_register(ring, IORING_REGISTER_PBUF_RING)
               ? tdw__sim_ring_register_buf_ring(reg, flags)
               : -EACCES;
}

int tdw_uring_unregister_buf_ring(struct io_uring *ring, int group)
{
    return may_register(ring, IORING_UNREGISTER_PBUF_RING)
               ? tdw__sim_ring_unregister_buf_ring(group)
               : -EACCES;
}

/* ── An eventfd ────────────────────────────────────────────────────────────────────────────── */

int tdw_uring_register_eventfd(struct io_uring *ring, int fd)
{
    struct tdw_uring *uring = ring->sq.ring_ptr;
    struct tdw_file *file = tdw__fd(tdw__process()->files, fd);

    if (!may_register(ring, IORING_REGISTER_EVENTFD))
        return -EACCES;
    if (uring->eventfd)
        return -EBUSY;
    if (!file)
        return -EBADF;
    if (!tdw__is_eventfd(file))
        return -EINVAL;
    file->refs++;
    uring->eventfd = file;
    return 0;
}

int tdw_uring_register_eventfd_async(struct io_uring *ring, int fd)
{
    return tdw_uring_register_eventfd(ring, fd);
}

int tdw_uring_unregister_eventfd(struct io_uring *ring)
{
    struct tdw_uring *uring = ring->sq.ring_ptr;

    if (!may_register(ring, IORING_UNREGISTER_EVENTFD))
        return -EACCES;
    if (!uring->eventfd)
        return -ENXIO;
    tdw__file_put(uring->eventfd);
    uring->eventfd = NULL;
    return 0;
}

/* ── The probe ─────────────────────────────────────────────────────────────────────────────── */

bool tdw_opcode_supported(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_TIMEOUT:
    case IORING_OP_LINK_TIMEOUT:
        return true;
    default:
        return opcode < TDW_OP_FIRST && tdw__sim_opcode(opcode);
    }
}

int tdw_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count)
{
    if (ring && !may_register(ring, IORING_REGISTER_PROBE))
        return -EACCES;
    probe->last_op = OPCODES - 1;
    probe->ops_len = (uint8_t)(count < OPCODES ? count : OPCODES);
    for (uint8_t op = 0; op < probe->ops_len; op++)
        probe->ops[op] = (struct io_uring_probe_op){
            .op = op, .flags = tdw_opcode_supported(op) ? IO_URING_OP_SUPPORTED : 0};
    return 0;
}

struct io_uring_probe *tdw_uring_get_probe_ring(struct io_uring *ring)
{
    struct io_uring_probe *probe =
        calloc(1, sizeof(*probe) + 256 * sizeof(struct io_uring_probe_op));

    if (probe)
        tdw_uring_register_probe(ring, probe, 256);
    return probe;
}

struct io_uring_probe *tdw_uring_get_probe(void)
{
    return tdw_uring_get_probe_ring(NULL);
}

void tdw_uring_free_probe(struct io_uring_probe *probe)
{
    free(probe);
}

/* ── Without an effect here ────────────────────────────────────────────────────────────────── */

int tdw_uring_enable_rings(struct io_uring *ring)
{
    struct tdw_uring *uring = ring->sq.ring_ptr;

    if (!uring->disabled)
        return -EBADFD;
    uring->disabled = false;
    uring->limits.on = uring->limits.set;
    return 0;
}

int tdw_uring_ring_dontfork(struct io_uring *ring)
{
    (void)ring;
    return 0;
}

int tdw_uring_register_ring_fd(struct io_uring *ring)
{
    (void)ring;
    return 1;
}

int tdw_uring_unregister_ring_fd(struct io_uring *ring)
{
    (void)ring;
    return 1;
}

int tdw_uring_register_iowq_max_workers(struct io_uring *ring, unsigned *values)
{
    (void)ring, (void)values;
    return 0;
}
