/* SPDX-License-Identifier: MIT */
/*
 * Registered buffers: memory that READ_FIXED and WRITE_FIXED name by an index.
 *
 * A real kernel pins their pages and saves the look-up; here nothing is saved, and what is left
 * is the contract: the bytes of such an op lie wholly inside the buffer of its index, or it is
 * -EFAULT. An op in flight has been checked at its start and does not look again, so buffers may
 * be unregistered meanwhile. A slot may be empty ({NULL, 0}).
 *
 * Calls: tdw_ring_*buffers*. Asked by the rows of io.c.
 */
#include <tidewheel/register.h>
#include <sim/kernel/vfs.h>
#include <runtime/mix.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS_MAX = 1 << 14 };
#define BUFFER_BYTES_MAX ((uint64_t)1 << 30)

int tdw__registered_buffer(const struct tdw_process *process, uint32_t index, uint64_t address,
                           uint64_t bytes)
{
    const struct tdw_registered *r = &process->registered;
    uint64_t base, offset;

    if (index >= r->buffers_count || !r->buffers[index].iov_base)
        return -EFAULT;
    base = (uintptr_t)r->buffers[index].iov_base;
    offset = address - base; /* wraps when the address lies before */
    return offset > r->buffers[index].iov_len || bytes > r->buffers[index].iov_len - offset
               ? -EFAULT
               : 0;
}

static int check_buffer(const struct iovec *buffer)
{
    if (!buffer->iov_base)
        return buffer->iov_len ? -EFAULT : 0;
    if (buffer->iov_len == 0 || buffer->iov_len > BUFFER_BYTES_MAX)
        return -EFAULT;
    return (uintptr_t)buffer->iov_base > UINTPTR_MAX - TDW_PAGE_BYTES - buffer->iov_len ? -EOVERFLOW
                                                                                        : 0;
}

static int do_register(struct tdw_registered *r, const struct iovec *buffers, uint32_t count)
{
    if (r->buffers_count > 0)
        return -EBUSY;
    if (count == 0 || count > BUFFERS_MAX)
        return -EINVAL;
    for (uint32_t i = 0; buffers && i < count; i++) {
        const int err = check_buffer(&buffers[i]);

        if (err)
            return err;
    }
    r->buffers = calloc(count, sizeof(struct iovec));
    if (!r->buffers)
        return -ENOMEM;
    if (buffers)
        memcpy(r->buffers, buffers, count * sizeof(struct iovec));
    r->buffers_count = count;
    return 0;
}

static int do_update(struct tdw_registered *r, uint32_t off, const struct iovec *buffers,
                     uint32_t count)
{
    if (count == 0)
        return -EINVAL;
    if (off > UINT32_MAX - count)
        return -EOVERFLOW;
    if (r->buffers_count == 0)
        return -ENXIO;
    if (off + count > r->buffers_count)
        return -EINVAL;
    if (!buffers)
        return -EFAULT;
    for (uint32_t i = 0; i < count; i++) {
        const int err = check_buffer(&buffers[i]);

        if (err)
            return i > 0 ? (int)i : err;
        r->buffers[off + i] = buffers[i];
    }
    return (int)count;
}

static int do_unregister(struct tdw_registered *r)
{
    if (r->buffers_count == 0)
        return -ENXIO;
    free(r->buffers);
    r->buffers = NULL;
    r->buffers_count = 0;
    return 0;
}

/* Their lengths: addresses are nobody's business. */
static int event(uint8_t call, uint64_t off, const struct iovec *buffers, uint32_t count, int res)
{
    uint64_t data = 0;

    for (uint32_t i = 0; buffers && res >= 0 && i < count; i++)
        data = tdw__mix(data, buffers[i].iov_len);
    return tdw__sys_event(call, -1, off, count, data, res);
}

int tdw__sim_ring_register_buffers(const struct iovec *buffers, unsigned count)
{
    return event(TDW_SYS_REGISTER_BUFFERS, 0, buffers, count,
                 buffers || count == 0 ? do_register(&tdw__process()->registered, buffers, count)
                                       : -EFAULT);
}

int tdw__sim_ring_register_buffers_sparse(unsigned count)
{
    return event(TDW_SYS_REGISTER_BUFFERS, 1, NULL, count,
                 count > 0 ? do_register(&tdw__process()->registered, NULL, count) : -EINVAL);
}

int tdw__sim_ring_register_buffers_update(unsigned off, const struct iovec *buffers, unsigned count)
{
    return event(TDW_SYS_REGISTER_BUFFERS_UPDATE, off, buffers, count,
                 do_update(&tdw__process()->registered, off, buffers, count));
}

int tdw__sim_ring_unregister_buffers(void)
{
    return event(TDW_SYS_UNREGISTER_BUFFERS, 0, NULL, 0,
                 do_unregister(&tdw__process()->registered));
}

void tdw__registered_buffers_free(struct tdw_process *process)
{
    do_unregister(&process->registered);
}
