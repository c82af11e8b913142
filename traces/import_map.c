/* SPDX-License-Identifier: MIT */
/*
 * The importer's map, and arrays that grow.
 *
 * The map goes from a 64-bit hash to a number. The hash is taken for the thing itself: with 10^6
 * paths two meet by chance once in 4 × 10^7 recordings. Open addressing, at most half full, doubled
 * when it would be more. Its order is never looked at, so it decides no byte of a file.
 *
 * Cost: one or two cache lines a look-up. Called by the import_*.c files.
 */
#define XXH_INLINE_ALL
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

uint64_t tdw__key(const void *bytes, size_t count, uint64_t salt)
{
    const uint64_t key = XXH3_64bits_withSeed(bytes, count, salt);

    return key ? key : 1;
}

static struct tdw__map_entry *find(const struct tdw__map *map, uint64_t key)
{
    size_t slot = key & (map->room - 1);

    while (map->entry[slot].key != 0 && map->entry[slot].key != key)
        slot = (slot + 1) & (map->room - 1);
    return &map->entry[slot];
}

int64_t *tdw__map_get(const struct tdw__map *map, uint64_t key)
{
    struct tdw__map_entry *entry;

    if (map->room == 0)
        return NULL;
    entry = find(map, key);
    return entry->key ? &entry->value : NULL;
}

static int rebuild(struct tdw__map *map)
{
    struct tdw__map larger = {.room = map->room ? map->room * 2 : 64, .count = map->count};

    larger.entry = calloc(larger.room, sizeof *larger.entry);
    if (!larger.entry)
        return -ENOMEM;
    for (size_t i = 0; i < map->room; i++) {
        if (map->entry[i].key)
            *find(&larger, map->entry[i].key) = map->entry[i];
    }
    free(map->entry);
    *map = larger;
    return 0;
}

int tdw__map_put(struct tdw__map *map, uint64_t key, int64_t value)
{
    struct tdw__map_entry *entry;
    int error;

    if (2 * (map->count + 1) > map->room && (error = rebuild(map)))
        return error;
    entry = find(map, key);
    map->count += entry->key == 0;
    *entry = (struct tdw__map_entry){key, value};
    return 0;
}

void tdw__map_fini(struct tdw__map *map)
{
    free(map->entry);
    *map = (struct tdw__map){0};
}

int tdw__grow(void *array, size_t *room, size_t count, size_t bytes)
{
    const size_t larger = *room ? *room * 2 : 16;
    void *old, *fresh;

    if (count < *room)
        return 0;
    memcpy(&old, array, sizeof old);
    fresh = realloc(old, larger * bytes);
    if (!fresh)
        return -ENOMEM;
    memcpy(array, &fresh, sizeof fresh);
    *room = larger;
    return 0;
}
