/* SPDX-License-Identifier: MIT */
/*
 * What liburing registers, on a simulated ring: files, buffers, an eventfd; and the probe.
 *
 * Files and buffers belong to the process's one ring (include/tidewheel/register.h), so two rings
 * of a program share them. A ring has a descriptor, as on Linux: it can be polled, and closed with
 * the ring. What has no meaning here (worker limits, restrictions) is accepted or refused as its
 * comment in the public header says.
 */
#include <tidewheel/register.h>
#include <sim/kernel/uring.h>
#include <poll.h>
#include <stdlib.h>

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

/* ── Files and buffers ─────────────────────────────────────────────────────────────────────── */

int tdw_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count)
{
    (void)ring;
    return tdw_ring_register_buffers(buffers, count);
}

int tdw_uring_register_buffers_sparse(struct io_uring *ring, unsigned count)
{
    (void)ring;
    return tdw_ring_register_buffers_sparse(count);
}

int tdw_uring_unregister_buffers(struct io_uring *ring)
{
    (void)ring;
    return tdw_ring_unregister_buffers();
}

int tdw_uring_register_files(struct io_uring *ring, const int *files, unsigned count)
{
    (void)ring;
    return tdw_ring_register_files(files, count);
}

int tdw_uring_register_files_sparse(struct io_uring *ring, unsigned count)
{
    (void)ring;
    return tdw_ring_register_files_sparse(count);
}

int tdw_uring_register_files_update(struct io_uring *ring, unsigned off, const int *files,
                                    unsigned count)
{
    (void)ring;
    return tdw_ring_register_files_update(off, files, count);
}

int tdw_uring_unregister_files(struct io_uring *ring)
{
    (void)ring;
    return tdw_ring_unregister_files();
}

int tdw_uring_register_file_alloc_range(struct io_uring *ring, unsigned off, unsigned count)
{
    (void)ring;
    return tdw_ring_register_file_alloc_range(off, count);
}

int tdw_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg, unsigned flags)
{
    (void)ring;
    return tdw_ring_register_buf_ring(reg, flags);
}

int tdw_uring_unregister_buf_ring(struct io_uring *ring, int group)
{
    (void)ring;
    return tdw_ring_unregister_buf_ring(group);
}

/* ── An eventfd ────────────────────────────────────────────────────────────────────────────── */

int tdw_uring_register_eventfd(struct io_uring *ring, int fd)
{
    struct tdw_uring *uring = ring->sq.ring_ptr;
    struct tdw_file *file = tdw__fd(tdw__process()->files, fd);

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
    enum { OPS = TDW_OP_LISTEN + 1 };

    (void)ring;
    probe->last_op = OPS - 1;
    probe->ops_len = (uint8_t)(count < OPS ? count : OPS);
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
