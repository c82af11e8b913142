/* SPDX-License-Identifier: MIT */
/*
 * The hierarchical timing wheel (Varghese & Lauck 1987): ops by due time, in virtual ns.
 *
 *     level 0:  64 slots of 1 ns        the window of 64 ns in which the wheel's time lies
 *     level 1:  64 slots of 64 ns       …
 *     level 10: 16 slots of 2^60 ns
 *
 * An entry stands on the level of the highest 6-bit digit in which its due time differs from the
 * wheel's time, in the slot of that digit. So the earliest entry is in the lowest occupied slot of
 * the lowest occupied level; two bit scans find it. A slot is a list of chunks of {due, op}: moving
 * entries down a level ("cascade") touches no op.
 *
 * Equal due times leave in the order of insertion: they always share a slot, and a slot is
 * cascaded exactly when the wheel's time enters its window, before anything can be inserted below
 * it directly. (The calm order among them is (due, seq), which the ready set sees to.)
 *
 * A pop takes a limit and moves nothing beyond it: a wheel that cascaded past the clock's next
 * stop would let a later, earlier-due insert come out too late (tests/unit/test_wheel.c).
 *
 * Cost: insert O(1), pop O(1) amortised with at most ten moves of an entry, remove O(1) amortised:
 * a look at the first few dozen entries of a slot, or a note that is read when the entry is met.
 * Memory: chunks from a pool that grows and is kept; for each two entries that were removed from
 * long slots and are still there, up to eight words.
 */
#ifndef TDW_WHEEL_H
#define TDW_WHEEL_H

#include <tidewheel/ring.h>

enum { TDW_WHEEL_LEVELS = 11, TDW_WHEEL_SLOTS = 64 };

struct tdw_wheel_entry {
    uint64_t due_ns;
    struct tdw_op *op; /* NULL: removed */
};

struct tdw_wheel_slot {
    struct tdw_wheel_chunk *head, *tail;
};

struct tdw_wheel {
    uint64_t time_ns;
    uint64_t occupied[TDW_WHEEL_LEVELS];
    uint32_t levels; /* that have an occupied slot */
    size_t count;    /* of entries that were not removed */
    struct tdw_wheel_chunk *free;
    struct tdw_wheel_chunk **slabs; /* what to give back at the end */
    size_t slabs_count;
    struct tdw_wheel_entry *removed; /* still in their slots; a hash table */
    size_t removed_count, removed_max;
    struct tdw_wheel_slot slots[TDW_WHEEL_LEVELS][TDW_WHEEL_SLOTS];
};

void tdw__wheel_init(struct tdw_wheel *wheel);
void tdw__wheel_fini(struct tdw_wheel *wheel);
/* Empty, at time 0; keeps the memory. */
void tdw__wheel_reset(struct tdw_wheel *wheel);

/* due_ns >= the wheel's time. */
void tdw__wheel_add(struct tdw_wheel *wheel, uint64_t due_ns, struct tdw_op *op);
/* The earliest entry, if it is due by limit_ns: its op, and *due_ns. Else NULL, and the wheel's
 * time is at most limit_ns. */
struct tdw_op *tdw__wheel_pop(struct tdw_wheel *wheel, uint64_t limit_ns, uint64_t *due_ns);
/* Is another entry due at `due_ns`, which a pop just returned? */
bool tdw__wheel_tie_among(struct tdw_wheel *wheel); /* one that was not removed */
static inline bool tdw__wheel_tie(struct tdw_wheel *wheel, uint64_t due_ns)
{
    return wheel->time_ns == due_ns && (wheel->occupied[0] >> (due_ns & 63) & 1) &&
           (wheel->removed_count == 0 || tdw__wheel_tie_among(wheel));
}
/* Take `op`, added with due_ns, out again. */
void tdw__wheel_remove(struct tdw_wheel *wheel, uint64_t due_ns, struct tdw_op *op);

#endif
