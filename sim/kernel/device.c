/* SPDX-License-Identifier: MIT */
/*
 * Character devices: /dev/null, /dev/zero, /dev/full, /dev/random and /dev/urandom.
 *
 * They are inodes of the disk like any file, and never wait. Random bytes are keyed, not
 * streamed: a function of the disk's seed, the actor, and the actor's op that reads, so that a
 * read elsewhere changes nobody's bytes, and a repeated run reads the same.
 *
 * Called through the kind of an open file (io.c).
 */
#include <sim/kernel/vfs.h>
#include <runtime/mix.h>
#include <endian.h>
#include <string.h>

static void fill_random(struct tdw_io *io, uint64_t key)
{
    for (uint64_t word = 0; io->left > 0; word++) {
        const uint64_t bytes = htole64(tdw__mix(key, word));

        tdw__io_fill(io, &bytes, io->left < sizeof(bytes) ? io->left : sizeof(bytes));
    }
}

static int32_t device_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                           const struct tdw_op *op)
{
    static const uint8_t zeros[TDW_PAGE_BYTES];
    const int32_t bytes = (int32_t)io->left;

    (void)process;
    switch ((enum tdw_device_number)file->inode->device) {
    case TDW_DEV_NULL:
        return 0;
    case TDW_DEV_ZERO:
    case TDW_DEV_FULL:
        while (io->left > 0)
            tdw__io_fill(io, zeros, io->left < sizeof(zeros) ? io->left : sizeof(zeros));
        break;
    case TDW_DEV_RANDOM:
    case TDW_DEV_URANDOM:
        fill_random(io, tdw__mix(file->disk->seed ^ (op->task ? op->task->actor : 0), op->ordinal));
        break;
    }
    return bytes;
}

static int32_t device_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                            const struct tdw_op *op)
{
    (void)process, (void)op;
    return file->inode->device == TDW_DEV_FULL ? -ENOSPC : (int32_t)io->left;
}

const struct tdw_file_kind tdw__kind_device = {
    .name = "device", .read = device_read, .write = device_write};
