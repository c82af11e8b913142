/* SPDX-License-Identifier: MIT */
/*
 * Memory by size class, for tasks and stackless frames.
 *
 * Classes are multiples of 64 bytes up to 4 KiB; each has a list of free blocks, and new blocks
 * are cut from chunks. What is larger goes through malloc, behind a header that links it. All of
 * it can be given back at once. Getting and putting a pooled block is a list operation; blocks
 * come zeroed, unless they are taken as they are.
 *
 * Under the address sanitizer nothing is pooled: it would see neither the use of a block that was
 * put back nor what lies beside one.
 */
#include <runtime/runtime.h>
#include <runtime/switch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LINE 64
#ifdef TDW_ASAN
#define CLASSES 1 /* none */
#else
#define CLASSES 65 /* the last: 4 KiB */
#endif
#define CHUNK_BYTES (256 * 1024)
#define HUGE_BYTES (2 * 1024 * 1024)

struct chunk {
    struct chunk *next;
    char pad[LINE - sizeof(struct chunk *)];
};

struct large {
    struct large *next, *prev;
    char pad[LINE - 2 * sizeof(struct large *)];
};

struct block {
    struct block *next;
};

struct tdw_memory {
    struct block *free[CLASSES]; /* [0] of no block */
    struct chunk *chunks;
    char *cut, *end; /* the rest of the newest chunk */
    size_t bytes;    /* of all chunks */
    struct large large;
};

struct tdw_memory *tdw__memory_new(void)
{
    struct tdw_memory *memory = calloc(1, sizeof *memory);

    if (memory)
        memory->large.next = memory->large.prev = &memory->large;
    return memory;
}

void tdw__memory_free(struct tdw_memory *memory)
{
    if (!memory)
        return;
    while (memory->chunks) {
        struct chunk *chunk = memory->chunks;

        memory->chunks = chunk->next;
        free(chunk);
    }
    for (struct large *large = memory->large.next, *next; large != &memory->large; large = next) {
        next = large->next;
        free(large);
    }
    free(memory);
}

/* A block of no bytes is a block of its own all the same. */
static size_t class_of(size_t bytes)
{
    return bytes ? (bytes + LINE - 1) / LINE : 1;
}

static void *get_large(struct tdw_memory *memory, size_t bytes)
{
    void *block;
    struct large *large;

    if (posix_memalign(&block, LINE, sizeof *large + bytes) != 0)
        return NULL;
    large = block;
    large->next = memory->large.next;
    large->prev = &memory->large;
    large->next->prev = large->prev->next = large;
    return large + 1;
}

/* Worlds that are large get huge pages: a thousand hosts are more pages than a TLB has entries. */
static bool add_chunk(struct tdw_memory *memory)
{
    const bool huge = memory->bytes >= HUGE_BYTES;
    const size_t bytes = huge ? HUGE_BYTES : CHUNK_BYTES;
    struct chunk *chunk = aligned_alloc(huge ? HUGE_BYTES : LINE, bytes);

    if (!chunk)
        return false;
    if (huge)
        madvise(chunk, bytes, MADV_HUGEPAGE); /* or not: it is only faster */
    chunk->next = memory->chunks;
    memory->chunks = chunk;
    memory->cut = (char *)(chunk + 1);
    memory->end = (char *)chunk + bytes;
    memory->bytes += bytes;
    return true;
}

static void *cut(struct tdw_memory *memory, size_t bytes)
{
    if ((!memory->cut || memory->cut + bytes > memory->end) && !add_chunk(memory))
        return NULL;
    memory->cut += bytes;
    return memory->cut - bytes;
}

void *tdw__memory_take(struct tdw_memory *memory, size_t bytes)
{
    const size_t class = class_of(bytes);
    void *block;

    if (class >= CLASSES)
        return get_large(memory, bytes);
    if (memory->free[class]) {
        block = memory->free[class];
        memory->free[class] = memory->free[class]->next;
    } else {
        block = cut(memory, class * LINE);
    }
    return block;
}

void *tdw__memory_get(struct tdw_memory *memory, size_t bytes)
{
    const size_t class = class_of(bytes);
    void *block = tdw__memory_take(memory, bytes);

    return block ? memset(block, 0, class < CLASSES ? class * LINE : bytes) : NULL;
}

void *tdw__memory_grow(struct tdw_memory *memory, void *block, size_t bytes, size_t new_bytes)
{
    void *grown;

    if (block && class_of(bytes) >= CLASSES) {
        struct large *large = realloc((struct large *)block - 1, sizeof *large + new_bytes);

        if (!large)
            return NULL;
        large->next->prev = large->prev->next = large;
        return large + 1;
    }
    grown = tdw__memory_take(memory, new_bytes);
    if (grown && block) {
        memcpy(grown, block, bytes < new_bytes ? bytes : new_bytes);
        tdw__memory_put(memory, block, bytes);
    }
    return grown;
}

void tdw__memory_put(struct tdw_memory *memory, void *block, size_t bytes)
{
    const size_t class = class_of(bytes);

    if (class >= CLASSES) {
        struct large *large = (struct large *)block - 1;

        large->next->prev = large->prev;
        large->prev->next = large->next;
        free(large);
        return;
    }
    ((struct block *)block)->next = memory->free[class];
    memory->free[class] = block;
}
