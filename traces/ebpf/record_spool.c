/* SPDX-License-Identifier: MIT */
/*
 * Events on their way from the ring to the recording: a file without a name beside the output.
 *
 * While a program is recorded nothing is looked at: bytes are appended to a buffer, which is
 * written when it is full. At the end the file is mapped, for the importer. It is beside the
 * output, since that is where there must be room anyway, and has no name, so that nothing stays
 * after a kill.
 *
 * Cost: one copy. Called by record.c.
 */
#include "record_spool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int tdw__record_spool_open(struct tdw__record_spool *spool, const char *output)
{
    char name[4096];

    *spool = (struct tdw__record_spool){.fd = -1};
    if (snprintf(name, sizeof name, "%s.events.XXXXXX", output) >= (int)sizeof name)
        return -ENAMETOOLONG;
    spool->fd = mkostemp(name, O_CLOEXEC);
    if (spool->fd < 0)
        return -errno;
    unlink(name);
    spool->buffer = malloc(TDW__RECORD_BUFFER_BYTES);
    return spool->buffer ? 0 : -ENOMEM;
}

static void flush(struct tdw__record_spool *spool)
{
    size_t done = 0;

    while (done < spool->used && !spool->error) {
        const ssize_t n = write(spool->fd, spool->buffer + done, spool->used - done);

        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            spool->error = errno ? -errno : -EIO;
    }
    spool->bytes += spool->used;
    spool->used = 0;
}

void tdw__record_spool_put(struct tdw__record_spool *spool, const void *bytes, size_t count)
{
    if (count > TDW__RECORD_BUFFER_BYTES - spool->used)
        flush(spool);
    memcpy(spool->buffer + spool->used, bytes, count);
    spool->used += count;
}

int tdw__record_spool_map(struct tdw__record_spool *spool, const uint8_t **events, size_t *bytes)
{
    void *at;

    flush(spool);
    if (spool->error)
        return spool->error;
    at = mmap(NULL, spool->bytes, PROT_READ, MAP_PRIVATE, spool->fd, 0);
    if (at == MAP_FAILED)
        return -errno;
    spool->map = at;
    *events = at;
    *bytes = spool->bytes;
    return 0;
}

void tdw__record_spool_close(struct tdw__record_spool *spool)
{
    if (spool->map)
        munmap(spool->map, spool->bytes);
    if (spool->fd >= 0)
        close(spool->fd);
    free(spool->buffer);
}
