/* SPDX-License-Identifier: MIT */
/*
 * Memory of one size: the blocks, pages, inodes and open files of a disk.
 *
 * Chunks of `per_chunk` objects are taken from the loop's memory, and given back when the pool
 * ends; what is put back is handed out next, so a cached file's pages stay warm. A pool without
 * objects owns nothing: a disk that nobody uses costs no chunk. Which address an object gets
 * decides nothing (objects are compared by identity, never ordered by place).
 *
 * Cost: a load and a store. Called by all files of this folder that keep something on a disk.
 */
#include <sim/kernel/vfs.h>
#include <string.h>

enum { CHUNK_HEAD = 64 }; /* keeps the objects of a chunk on cache lines */

void tdw__pool_init(struct tdw_pool *pool, struct tdw_memory *memory, uint32_t bytes,
                    uint32_t per_chunk)
{
    *pool =
        (struct tdw_pool){.memory = memory, .bytes = (bytes + 15u) & ~15u, .per_chunk = per_chunk};
}

static size_t chunk_bytes(const struct tdw_pool *pool)
{
    return CHUNK_HEAD + (size_t)pool->bytes * pool->per_chunk;
}

void tdw__pool_fini(struct tdw_pool *pool)
{
    while (pool->chunks) {
        void *chunk = pool->chunks;

        memcpy(&pool->chunks, chunk, sizeof(void *));
        tdw__memory_put(pool->memory, chunk, chunk_bytes(pool));
    }
    pool->free = NULL;
}

static bool grow(struct tdw_pool *pool)
{
    char *chunk = tdw__memory_take(pool->memory, chunk_bytes(pool));

    if (!chunk)
        return false;
    memcpy(chunk, &pool->chunks, sizeof(void *));
    pool->chunks = chunk;
    for (uint32_t i = pool->per_chunk; i-- > 0;)
        tdw__pool_put(pool, chunk + CHUNK_HEAD + (size_t)i * pool->bytes);
    return true;
}

void *tdw__pool_get(struct tdw_pool *pool)
{
    void *object = pool->free;

    if (TDW_UNLIKELY(!object)) {
        if (!grow(pool))
            return NULL;
        object = pool->free;
    }
    memcpy(&pool->free, object, sizeof(void *));
    return object;
}

void *tdw__pool_get_zeroed(struct tdw_pool *pool)
{
    void *object = tdw__pool_get(pool);

    return object ? memset(object, 0, pool->bytes) : NULL;
}

void tdw__pool_put(struct tdw_pool *pool, void *object)
{
    memcpy(object, &pool->free, sizeof(void *));
    pool->free = object;
}
