/* SPDX-License-Identifier: MIT */
/*
 * The timing wheel: see wheel.h for what it is and promises.
 *
 * Map of the file: chunks, add, cascade, pop, remove. A removed entry stays in its chunk as a hole
 * until the slot is emptied; a slot's bit is cleared when no entry is left in it, so a set bit
 * always means an entry.
 */
#include <sim/kernel/wheel.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/task.h>

#define CHUNK_ENTRIES 7
#define SLAB_CHUNKS 512

/* Two cache lines; the head and the first three entries share one. */
struct tdw_wheel_chunk {
    struct tdw_wheel_chunk *next;
    uint16_t begin, end; /* entries [begin, end) are in use */
    uint32_t live;       /* first chunk of a slot only: entries of the whole slot, without holes */
    struct tdw_wheel_entry entries[CHUNK_ENTRIES];
};

/* ── Chunks ────────────────────────────────────────────────────────────────────────────────── */

static void more_chunks(struct tdw_wheel *wheel)
{
    struct tdw_wheel_chunk *slab = aligned_alloc(64, SLAB_CHUNKS * sizeof *slab);
    struct tdw_wheel_chunk **slabs =
        realloc(wheel->slabs, (wheel->slabs_count + 1) * sizeof(struct tdw_wheel_chunk *));

    if (!slab || !slabs)
        abort(); /* an accepted op cannot be refused any more */
    wheel->slabs = slabs;
    wheel->slabs[wheel->slabs_count++] = slab;
    for (int i = 0; i < SLAB_CHUNKS; i++) {
        slab[i].next = wheel->free;
        wheel->free = &slab[i];
    }
}

static struct tdw_wheel_chunk *chunk_get(struct tdw_wheel *wheel)
{
    struct tdw_wheel_chunk *chunk;

    if (!wheel->free)
        more_chunks(wheel);
    chunk = wheel->free;
    wheel->free = chunk->next;
    chunk->next = NULL;
    chunk->begin = chunk->end = 0;
    chunk->live = 0;
    return chunk;
}

static void chunk_put(struct tdw_wheel *wheel, struct tdw_wheel_chunk *chunk)
{
    chunk->next = wheel->free;
    wheel->free = chunk;
}

void tdw__wheel_init(struct tdw_wheel *wheel)
{
    memset(wheel, 0, sizeof *wheel);
}

void tdw__wheel_fini(struct tdw_wheel *wheel)
{
    for (size_t i = 0; i < wheel->slabs_count; i++)
        free(wheel->slabs[i]);
    free(wheel->slabs);
}

static void set_empty(struct tdw_wheel *wheel, int level, int digit)
{
    wheel->occupied[level] &= ~(1ull << digit);
    if (!wheel->occupied[level])
        wheel->levels &= ~(1u << level);
}

static inline void slot_clear(struct tdw_wheel *wheel, int level, int digit)
{
    struct tdw_wheel_slot *slot = &wheel->slots[level][digit];

    slot->tail->next = wheel->free; /* the whole list at once */
    wheel->free = slot->head;
    slot->head = slot->tail = NULL;
    set_empty(wheel, level, digit);
}

void tdw__wheel_reset(struct tdw_wheel *wheel)
{
    for (int level = 0; level < TDW_WHEEL_LEVELS; level++)
        while (wheel->occupied[level])
            slot_clear(wheel, level, __builtin_ctzll(wheel->occupied[level]));
    wheel->time_ns = 0;
    wheel->count = 0;
}

/* ── Add ───────────────────────────────────────────────────────────────────────────────────── */

static int level_of(const struct tdw_wheel *wheel, uint64_t due_ns)
{
    const uint64_t differs = due_ns ^ wheel->time_ns;

    return differs ? (63 - __builtin_clzll(differs)) / 6 : 0;
}

static int digit_of(uint64_t due_ns, int level)
{
    return (int)(due_ns >> (6 * level) & 63);
}

static void place(struct tdw_wheel *wheel, uint64_t due_ns, struct tdw_op *op)
{
    const int level = level_of(wheel, due_ns), digit = digit_of(due_ns, level);
    struct tdw_wheel_slot *slot = &wheel->slots[level][digit];
    struct tdw_wheel_chunk *chunk = slot->tail;

    if (!chunk) {
        chunk = slot->head = slot->tail = chunk_get(wheel);
        wheel->occupied[level] |= 1ull << digit;
        wheel->levels |= 1u << level;
    } else if (chunk->end == CHUNK_ENTRIES) {
        chunk = chunk_get(wheel);
        slot->tail->next = chunk;
        slot->tail = chunk;
    }
    chunk->entries[chunk->end++] = (struct tdw_wheel_entry){due_ns, op};
    slot->head->live++;
}

void tdw__wheel_add(struct tdw_wheel *wheel, uint64_t due_ns, struct tdw_op *op)
{
    assert(due_ns >= wheel->time_ns);
    wheel->count++;
    place(wheel, due_ns, op);
}

/* ── Pop ───────────────────────────────────────────────────────────────────────────────────── */

/* An entry that comes out soon: fetch what its pop touches. */
static inline void fetch_op(const struct tdw_op *op)
{
    __builtin_prefetch(op, 1);
    __builtin_prefetch((const char *)op + 64, 1);
}

/* Fetch the task of the entry that is likely to come out next. */
static inline void fetch_next(const struct tdw_wheel *wheel, int level)
{
    const struct tdw_wheel_chunk *chunk;
    const struct tdw_op *op;

    if (!wheel->occupied[level])
        return;
    chunk = wheel->slots[level][__builtin_ctzll(wheel->occupied[level])].head;
    op = chunk->begin < chunk->end ? chunk->entries[chunk->begin].op : NULL;
    if (op)
        __builtin_prefetch((const void *)((uintptr_t)op->task + offsetof(struct tdw_task, actor)),
                           1);
}

/* The first entry of a slot that is not a hole. */
static struct tdw_wheel_entry *first_entry(struct tdw_wheel *wheel, struct tdw_wheel_slot *slot)
{
    for (;;) {
        struct tdw_wheel_chunk *chunk = slot->head;

        while (chunk->begin < chunk->end) {
            if (chunk->entries[chunk->begin].op)
                return &chunk->entries[chunk->begin];
            chunk->begin++;
        }
        slot->head = chunk->next;
        slot->head->live = chunk->live;
        chunk_put(wheel, chunk);
    }
}

static struct tdw_op *take_first(struct tdw_wheel *wheel, int level, int digit)
{
    struct tdw_wheel_slot *slot = &wheel->slots[level][digit];
    struct tdw_op *op = first_entry(wheel, slot)->op;

    wheel->count--;
    slot->head->begin++;
    if (--slot->head->live == 0)
        slot_clear(wheel, level, digit);
    fetch_next(wheel, level);
    return op;
}

/* The wheel's time has entered the window of this slot: its entries go to the levels below. */
static void cascade(struct tdw_wheel *wheel, int level, int digit)
{
    struct tdw_wheel_slot slot = wheel->slots[level][digit];

    wheel->slots[level][digit] = (struct tdw_wheel_slot){NULL, NULL};
    set_empty(wheel, level, digit);
    for (struct tdw_wheel_chunk *chunk = slot.head, *next; chunk; chunk = next) {
        for (uint16_t i = chunk->begin; i < chunk->end; i++) {
            if (!chunk->entries[i].op)
                continue;
            if (level <= 2)
                fetch_op(chunk->entries[i].op);
            place(wheel, chunk->entries[i].due_ns, chunk->entries[i].op);
        }
        next = chunk->next;
        chunk_put(wheel, chunk);
    }
}

/* A slot of few entries: the least of them is the earliest of all, so the wheel's time can go to
 * where it is due at once, and only the others move, straight to their level as seen from there.
 * Saves a thinly filled wheel most of its cascades. NULL: the least is due after the limit. */
static struct tdw_op *take_least(struct tdw_wheel *wheel, int level, int digit, uint64_t limit_ns,
                                 uint64_t *due_ns)
{
    struct tdw_wheel_chunk *chunk = wheel->slots[level][digit].head;
    uint16_t least = chunk->begin;

    while (!chunk->entries[least].op)
        least++;
    for (uint16_t i = least + 1; i < chunk->end; i++)
        if (chunk->entries[i].op && chunk->entries[i].due_ns < chunk->entries[least].due_ns)
            least = i;
    if (chunk->entries[least].due_ns > limit_ns)
        return NULL;

    *due_ns = wheel->time_ns = chunk->entries[least].due_ns;
    wheel->count--;
    wheel->slots[level][digit] = (struct tdw_wheel_slot){NULL, NULL};
    set_empty(wheel, level, digit);
    for (uint16_t i = chunk->begin; i < chunk->end; i++) {
        if (i == least || !chunk->entries[i].op)
            continue;
        fetch_op(chunk->entries[i].op);
        place(wheel, chunk->entries[i].due_ns, chunk->entries[i].op);
    }
    chunk_put(wheel, chunk);
    if (wheel->levels)
        fetch_next(wheel, __builtin_ctz(wheel->levels));
    return chunk->entries[least].op;
}

struct tdw_op *tdw__wheel_pop(struct tdw_wheel *wheel, uint64_t limit_ns, uint64_t *due_ns)
{
    for (;;) {
        int level, digit;
        uint64_t start;

        if (!wheel->levels)
            return NULL;
        level = __builtin_ctz(wheel->levels);
        digit = __builtin_ctzll(wheel->occupied[level]);
        if (wheel->slots[level][digit].head->live == 1 || level == 0) {
            const uint64_t due = first_entry(wheel, &wheel->slots[level][digit])->due_ns;

            if (due > limit_ns)
                return NULL;
            *due_ns = wheel->time_ns = due;
            return take_first(wheel, level, digit);
        }
        if (wheel->slots[level][digit].head == wheel->slots[level][digit].tail)
            return take_least(wheel, level, digit, limit_ns, due_ns);
        /* All digits below this one are 0 at the start of the slot's window. */
        start = wheel->time_ns >> (6 * level) >> 6 << 6 << (6 * level);
        start |= (uint64_t)digit << (6 * level);
        if (start > limit_ns)
            return NULL;
        wheel->time_ns = start;
        cascade(wheel, level, digit);
    }
}

/* ── Remove ────────────────────────────────────────────────────────────────────────────────── */

void tdw__wheel_remove(struct tdw_wheel *wheel, uint64_t due_ns, const struct tdw_op *op)
{
    const int level = level_of(wheel, due_ns), digit = digit_of(due_ns, level);
    struct tdw_wheel_slot *slot = &wheel->slots[level][digit];

    for (struct tdw_wheel_chunk *chunk = slot->head; chunk; chunk = chunk->next) {
        for (uint16_t i = chunk->begin; i < chunk->end; i++) {
            if (chunk->entries[i].op != op)
                continue;
            chunk->entries[i].op = NULL;
            wheel->count--;
            if (--slot->head->live == 0)
                slot_clear(wheel, level, digit);
            return;
        }
    }
    assert(!"an op that is not in the wheel was taken out of it");
}
