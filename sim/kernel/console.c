/* SPDX-License-Identifier: MIT */
/*
 * The console: descriptors 0, 1 and 2 of a program that runs by itself (sim/explore/program.c).
 *
 * What is written to 1 and 2 goes to the real descriptors at the write's effect; nothing is ever
 * there to be read. The bytes are in the digest like those of any write.
 */
#include <sim/kernel/vfs.h>
#include <unistd.h>

static int32_t console_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                            const struct tdw_op *op)
{
    (void)process, (void)file, (void)io, (void)op;
    return 0;
}

static int32_t console_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                             const struct tdw_op *op)
{
    const int32_t bytes = (int32_t)io->left;
    char buffer[TDW_PAGE_BYTES];

    (void)process, (void)op;
    while (io->left > 0) {
        const size_t part = io->left < sizeof(buffer) ? io->left : sizeof(buffer);

        tdw__io_take(io, buffer, part);
        for (size_t at = 0; at < part;) {
            const ssize_t written = write((int)file->number, buffer + at, part - at);

            if (written <= 0)
                return -EIO;
            at += (size_t)written;
        }
    }
    return bytes;
}

static const struct tdw_file_kind kind = {
    .name = "console", .mode = S_IFCHR | 0620, .read = console_read, .write = console_write};

int tdw__console_open(struct tdw_files *files)
{
    for (int fd = 0; fd < 3; fd++) {
        struct tdw_file *file = tdw__file_new(files->disk, &kind, O_RDWR, NULL);

        if (!file)
            return -ENFILE;
        file->number = (uint64_t)(fd == 0 ? 1 : fd);
        tdw__fd_close(files, fd);
        tdw__fd_set(files, fd, file, false);
    }
    return 0;
}
