/* SPDX-License-Identifier: MIT */
/*
 * The timing wheel: see wheel.h for what it is and promises.
 *
 * Map of the file: chunks, the removed, add, cascade, pop, remove. A removed entry stays in its
 * chunk as a hole until the slot is emptied; a slot's bit is cleared when no entry is left in it.
 *
 * Of a long slot only the first chunks are searched for what is to be removed. What is not among
 * them is noted in a table, by due time and op, and becomes a hole when it is met: before it could
 * come out, when its slot is cascaded, or when the noted are more than the entries that are left.
 * Until then its op's memory may be anything's. The table is hashed by addresses, which decide
 * nothing but how long a look takes.
 */
#include <sim/kernel/wheel.h>
#include <runtime/mix.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/task.h>

#define CHUNK_ENTRIES 7
#define SLAB_CHUNKS 512
#define LOOK_CHUNKS 8 /* of a slot, for what is to be removed */
#define REMOVED_FIRST 256

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
    free(wheel->removed);
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
    if (wheel->removed_count > 0)
        memset(wheel->removed, 0, wheel->removed_max * sizeof *wheel->removed);
    wheel->removed_count = 0;
}

/* ── The removed: an open hash of due times and ops ────────────────────────────────────────── */

static size_t home_of(const struct tdw_wheel *wheel, const struct tdw_wheel_entry *entry)
{
    return tdw__mix(entry->due_ns, (uintptr_t)entry->op) & (wheel->removed_max - 1);
}

static size_t behind(const struct tdw_wheel *wheel, size_t at)
{
    return (at + 1) & (wheel->removed_max - 1);
}

/* Where it stands, or where its chain ends. */
static size_t removed_find(const struct tdw_wheel *wheel, const struct tdw_wheel_entry *entry)
{
    size_t at = home_of(wheel, entry);

    while (wheel->removed[at].op &&
           (wheel->removed[at].op != entry->op || wheel->removed[at].due_ns != entry->due_ns))
        at = behind(wheel, at);
    return at;
}

static inline bool is_removed(const struct tdw_wheel *wheel, const struct tdw_wheel_entry *entry)
{
    return wheel->removed_count > 0 && wheel->removed[removed_find(wheel, entry)].op;
}

/* An op may be added and removed with one due time again and again: it stands there as often. */
static void removed_put(struct tdw_wheel *wheel, const struct tdw_wheel_entry *entry)
{
    size_t at = home_of(wheel, entry);

    while (wheel->removed[at].op)
        at = behind(wheel, at);
    wheel->removed[at] = *entry;
}

static void removed_grow(struct tdw_wheel *wheel)
{
    struct tdw_wheel_entry *old = wheel->removed;
    const size_t old_max = wheel->removed_max;

    wheel->removed_max = old_max ? 2 * old_max : REMOVED_FIRST;
    wheel->removed = calloc(wheel->removed_max, sizeof *wheel->removed);
    if (!wheel->removed)
        abort(); /* as for chunks */
    for (size_t i = 0; i < old_max; i++)
        if (old[i].op)
            removed_put(wheel, &old[i]);
    free(old);
}

/* Was it removed? Then it is noted no more. */
static bool removed_take(struct tdw_wheel *wheel, const struct tdw_wheel_entry *entry)
{
    size_t hole = removed_find(wheel, entry);

    if (!wheel->removed[hole].op)
        return false;
    wheel->removed_count--;
    /* Whatever behind it stands nearer to its home in the hole moves there. */
    for (size_t at = behind(wheel, hole); wheel->removed[at].op; at = behind(wheel, at)) {
        const size_t home = home_of(wheel, &wheel->removed[at]);
        const size_t mask = wheel->removed_max - 1;

        if (((at - home) & mask) >= ((at - hole) & mask)) {
            wheel->removed[hole] = wheel->removed[at];
            hole = at;
        }
    }
    wheel->removed[hole] = (struct tdw_wheel_entry){.op = NULL};
    return true;
}

/* Is there an entry, or a hole, also one that is only now made? */
static bool is_live(struct tdw_wheel *wheel, const struct tdw_wheel_slot *slot,
                    struct tdw_wheel_entry *entry)
{
    if (!entry->op)
        return false;
    if (wheel->removed_count == 0 || !removed_take(wheel, entry))
        return true;
    entry->op = NULL;
    slot->head->live--;
    return false;
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
    if (op && !is_removed(wheel, &chunk->entries[chunk->begin]))
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

/* Make the holes that matter when something is taken from the slot; false: it was all holes. */
static bool settle(struct tdw_wheel *wheel, int level, int digit)
{
    const struct tdw_wheel_slot *slot = &wheel->slots[level][digit];

    if (level == 0 || slot->head->live == 1) {
        while (slot->head->live > 0 &&
               !is_live(wheel, slot, first_entry(wheel, &wheel->slots[level][digit])))
            ;
    } else if (slot->head == slot->tail) {
        for (uint16_t i = slot->head->begin; i < slot->head->end; i++)
            is_live(wheel, slot, &slot->head->entries[i]);
    }
    if (slot->head->live > 0)
        return true;
    slot_clear(wheel, level, digit);
    return false;
}

bool tdw__wheel_tie_among(struct tdw_wheel *wheel)
{
    return settle(wheel, 0, digit_of(wheel->time_ns, 0));
}

/* The wheel's time has entered the window of this slot: its entries go to the levels below. */
static void cascade(struct tdw_wheel *wheel, int level, int digit)
{
    struct tdw_wheel_slot slot = wheel->slots[level][digit];

    wheel->slots[level][digit] = (struct tdw_wheel_slot){NULL, NULL};
    set_empty(wheel, level, digit);
    for (struct tdw_wheel_chunk *chunk = slot.head, *next; chunk; chunk = next) {
        for (uint16_t i = chunk->begin; i < chunk->end; i++) {
            if (!chunk->entries[i].op ||
                (wheel->removed_count > 0 && removed_take(wheel, &chunk->entries[i])))
                continue;
            if (level <= 2)
                fetch_op(chunk->entries[i].op);
            place(wheel, chunk->entries[i].due_ns, chunk->entries[i].op);
        }
        next = chunk->next;
        chunk_put(wheel, chunk);
    }
}

/* All that was removed becomes holes, and all holes go. Entries stay where they are: the wheel's
 * time does. */
static void sweep(struct tdw_wheel *wheel)
{
    for (int level = 0; level < TDW_WHEEL_LEVELS; level++)
        for (uint64_t left = wheel->occupied[level]; left; left &= left - 1)
            cascade(wheel, level, __builtin_ctzll(left));
    assert(wheel->removed_count == 0); /* I12: whatever was taken out had been there */
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

        if (wheel->count == 0) {
            if (wheel->removed_count > 0)
                sweep(wheel);
            return NULL;
        }
        level = __builtin_ctz(wheel->levels);
        digit = __builtin_ctzll(wheel->occupied[level]);
        if (wheel->removed_count > 0 && !settle(wheel, level, digit))
            continue;
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

/* Its hole is made. What is empty in front goes at once: who is removed is often the oldest. */
static void made_hole(struct tdw_wheel *wheel, int level, int digit)
{
    struct tdw_wheel_slot *slot = &wheel->slots[level][digit];

    if (--slot->head->live == 0)
        slot_clear(wheel, level, digit);
    else
        first_entry(wheel, slot);
}

void tdw__wheel_remove(struct tdw_wheel *wheel, uint64_t due_ns, struct tdw_op *op)
{
    const int level = level_of(wheel, due_ns), digit = digit_of(due_ns, level);
    struct tdw_wheel_chunk *chunk = wheel->slots[level][digit].head;

    wheel->count--;
    for (int look = LOOK_CHUNKS; chunk && look > 0; chunk = chunk->next, look--) {
        for (uint16_t i = chunk->begin; i < chunk->end; i++) {
            if (chunk->entries[i].op != op || chunk->entries[i].due_ns != due_ns)
                continue;
            chunk->entries[i].op = NULL;
            made_hole(wheel, level, digit);
            return;
        }
    }
    assert(chunk); /* I12: an op that is not in the wheel was taken out of it */
    if (2 * (wheel->removed_count + 1) > wheel->removed_max)
        removed_grow(wheel);
    removed_put(wheel, &(struct tdw_wheel_entry){due_ns, op});
    wheel->removed_count++;
    if (wheel->removed_count > wheel->count + REMOVED_FIRST)
        sweep(wheel);
}
