/* SPDX-License-Identifier: MIT */
/*
 * No compression: the sibling of compress_zstd.c for a build with -DTDW_NO_ZSTD.
 *
 * Chunks are stored as they are, which every build can read. A compressed chunk is refused with
 * -ENOTSUP, never guessed at.
 */
#ifdef TDW_NO_ZSTD

#include <traces/format.h>
#include <errno.h>
#include <stdlib.h>

struct tdw__pack {
    bool compress;
};

struct tdw__pack *tdw__pack_new(bool compress)
{
    struct tdw__pack *pack = calloc(1, sizeof *pack);

    if (pack)
        pack->compress = compress;
    return pack;
}

void tdw__pack_free(struct tdw__pack *pack)
{
    free(pack);
}

size_t tdw__pack_chunk(struct tdw__pack *pack, uint8_t *to, const uint8_t *from, size_t bytes)
{
    (void)pack, (void)to, (void)from, (void)bytes;
    return 0;
}

int tdw__unpack_chunk(struct tdw__pack *pack, uint8_t *to, size_t raw, const uint8_t *from,
                      size_t stored)
{
    (void)pack, (void)to, (void)raw, (void)from, (void)stored;
    return -ENOTSUP;
}

#else
typedef int tdw__with_zstd; /* a translation unit must not be empty */
#endif
