/* SPDX-License-Identifier: MIT */
/*
 * Names and ordinals: the two look-ups by hash that a loop needs, both off an op's way.
 *
 * Interned strings: a task's or object's name is stored once, so tasks can share and compare it.
 * Ordinals: how often a key (parent and child's name; actor and point of an application choice)
 * occurred before. Both are open-addressing tables that double when half full. A reset forgets
 * the ordinals by counting up a stamp, so that a short run is not charged for a long one before.
 */
#define XXH_INLINE_ALL
#include <runtime/mix.h>
#include <runtime/runtime.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct counter {
    uint64_t key;
    uint32_t stamp, count;
};

struct tdw_names {
    char **strings;
    uint32_t strings_max, strings_used;
    struct counter *counters;
    uint32_t counters_max, counters_used, stamp;
};

#define FIRST_MAX 64 /* entries; a power of two */

struct tdw_names *tdw__names_new(void)
{
    struct tdw_names *names = calloc(1, sizeof *names);

    if (!names)
        return NULL;
    names->strings_max = names->counters_max = FIRST_MAX;
    names->stamp = 1;
    names->strings = calloc(FIRST_MAX, sizeof *names->strings);
    names->counters = calloc(FIRST_MAX, sizeof *names->counters);
    if (!names->strings || !names->counters) {
        tdw__names_free(names);
        return NULL;
    }
    return names;
}

void tdw__names_free(struct tdw_names *names)
{
    if (!names)
        return;
    if (names->strings)
        for (uint32_t i = 0; i < names->strings_max; i++)
            free(names->strings[i]);
    free(names->strings);
    free(names->counters);
    free(names);
}

void tdw__names_reset(struct tdw_names *names)
{
    names->counters_used = 0;
    if (++names->stamp == 0) {
        memset(names->counters, 0, names->counters_max * sizeof *names->counters);
        names->stamp = 1;
    }
}

/* The place of `text`, or the empty one where it belongs. */
static char **string_place(char **strings, uint32_t max, const char *text)
{
    uint32_t at = (uint32_t)XXH3_64bits(text, strlen(text)) & (max - 1);

    while (strings[at] && strcmp(strings[at], text) != 0)
        at = (at + 1) & (max - 1);
    return &strings[at];
}

static int strings_grow(struct tdw_names *names)
{
    const uint32_t max = names->strings_max * 2;
    char **strings = calloc(max, sizeof *strings);

    if (!strings)
        return -ENOMEM;
    for (uint32_t i = 0; i < names->strings_max; i++)
        if (names->strings[i])
            *string_place(strings, max, names->strings[i]) = names->strings[i];
    free(names->strings);
    names->strings = strings;
    names->strings_max = max;
    return 0;
}

const char *tdw__intern(struct tdw_loop *loop, const char *text)
{
    struct tdw_names *names = loop->names;
    char **place = string_place(names->strings, names->strings_max, text);

    if (*place)
        return *place;
    if (names->strings_used * 2 >= names->strings_max) {
        if (strings_grow(names) < 0)
            return NULL;
        place = string_place(names->strings, names->strings_max, text);
    }
    *place = strdup(text);
    names->strings_used += *place != NULL;
    return *place;
}

static struct counter *counter_place(struct counter *counters, uint32_t max, uint32_t stamp,
                                     uint64_t key)
{
    uint32_t at = (uint32_t)tdw__mix2(key, TDW_K0) & (max - 1);

    while (counters[at].stamp == stamp && counters[at].key != key)
        at = (at + 1) & (max - 1);
    return &counters[at];
}

static void counters_grow(struct tdw_names *names)
{
    const uint32_t max = names->counters_max * 2;
    struct counter *counters = calloc(max, sizeof *counters);

    if (!counters)
        abort(); /* an ordinal cannot be refused, and a wrong one would be a wrong run */
    for (uint32_t i = 0; i < names->counters_max; i++) {
        const struct counter *old = &names->counters[i];

        if (old->stamp == names->stamp)
            *counter_place(counters, max, names->stamp, old->key) = *old;
    }
    free(names->counters);
    names->counters = counters;
    names->counters_max = max;
}

uint32_t tdw__count(struct tdw_loop *loop, uint64_t key)
{
    struct tdw_names *names = loop->names;
    struct counter *counter;

    if (names->counters_used * 2 >= names->counters_max)
        counters_grow(names);
    counter = counter_place(names->counters, names->counters_max, names->stamp, key);
    if (counter->stamp != names->stamp) {
        *counter = (struct counter){.key = key, .stamp = names->stamp};
        names->counters_used++;
    }
    return counter->count++;
}
