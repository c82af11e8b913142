/* SPDX-License-Identifier: MIT */
/*
 * Chunks compressed with zstd, level 1.
 *
 * A chunk goes in whole and comes out whole; nothing is kept between chunks, so each can be
 * unpacked alone. The context is made once for a writer or reader and used for all its chunks.
 * Level 1, because a record is written far more often than read, and the coding before it has
 * already taken away what repeats. The frame has no checksum of its own (the chunk has) and names
 * its content's size, which must be the one in the chunk's header: nothing larger is ever unpacked.
 *
 * A build with -DTDW_NO_ZSTD leaves this file empty and fills compress_none.c. Called at chunk
 * close and chunk read.
 */
#ifndef TDW_NO_ZSTD

#include <traces/format.h>
#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

struct tdw__pack {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

struct tdw__pack *tdw__pack_new(bool compress)
{
    struct tdw__pack *pack = calloc(1, sizeof *pack);

    if (!pack)
        return NULL;
    if (compress)
        pack->compress = ZSTD_createCCtx();
    else
        pack->decompress = ZSTD_createDCtx();
    if (!pack->compress && !pack->decompress) {
        free(pack);
        return NULL;
    }
    return pack;
}

void tdw__pack_free(struct tdw__pack *pack)
{
    if (!pack)
        return;
    ZSTD_freeCCtx(pack->compress);
    ZSTD_freeDCtx(pack->decompress);
    free(pack);
}

size_t tdw__pack_chunk(struct tdw__pack *pack, uint8_t *to, const uint8_t *from, size_t bytes)
{
    const size_t packed = ZSTD_compressCCtx(pack->compress, to, bytes, from, bytes, 1);

    return ZSTD_isError(packed) || packed >= bytes ? 0 : packed;
}

int tdw__unpack_chunk(struct tdw__pack *pack, uint8_t *to, size_t raw, const uint8_t *from,
                      size_t stored)
{
    const size_t bytes = ZSTD_decompressDCtx(pack->decompress, to, raw, from, stored);

    return ZSTD_isError(bytes) || bytes != raw ? -EBADMSG : 0;
}

#else
typedef int tdw__no_zstd; /* a translation unit must not be empty */
#endif
