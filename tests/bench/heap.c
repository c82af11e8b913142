/* SPDX-License-Identifier: MIT */
/*
 * The hold of a 4-ary heap: the classic measure of an event queue (Jones 1986), and the floor that
 * the simulator's whole path for an op is compared with.
 */
#include "bench.h"
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t key;
    uint64_t *lines; /* three cache lines, where they are touched */
};

static struct entry *heap;
static uint32_t count;

static void sift_up(uint32_t at, struct entry entry)
{
    while (at > 0 && entry.key < heap[(at - 1) / 4].key) {
        heap[at] = heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    heap[at] = entry;
}

static void sift_down(struct entry entry)
{
    uint32_t at = 0;

    for (;;) {
        uint32_t least = at * 4 + 1;

        if (least >= count)
            break;
        for (uint32_t i = least + 1; i < at * 4 + 5 && i < count; i++)
            if (heap[i].key < heap[least].key)
                least = i;
        if (heap[least].key >= entry.key)
            break;
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = entry;
}

double bench_heap_hold(const void *arg)
{
    const struct bench_hold *hold = arg;
    const uint32_t holds = 1000000;
    uint64_t seed = 88172645463325252u;
    uint64_t *memory = hold->touch ? calloc(hold->pending, 192) : NULL;
    double began;

    heap = malloc(hold->pending * sizeof *heap);
    count = 0;
    for (uint32_t i = 0; i < hold->pending; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        sift_up(count++, (struct entry){seed % 4000000, memory ? memory + i * 24 : NULL});
    }
    began = bench_now();
    for (uint32_t i = 0; i < holds; i++) {
        struct entry entry = heap[0];

        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        if (entry.lines)
            entry.lines[0]++, entry.lines[8]++, entry.lines[16]++;
        entry.key += seed % 4000000;
        sift_down(entry);
    }
    began = (bench_now() - began) / holds;
    free(heap);
    free(memory);
    return began;
}
