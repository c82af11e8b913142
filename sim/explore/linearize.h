/* SPDX-License-Identifier: MIT */
/*
 * What the files that record and check histories share.
 *
 *     history.c          recording; the check as scenarios call it
 *     history_specs.c    register, map, queue, lock
 *     history_check.c    a history is cut into problems: by key, and by prefix
 *     linearize.c        one problem is solved: is there an order?
 *     history_fifo.c     of a queue: what can be known before it is tried
 *     rows.c             sets of rows of words: the states seen, and the configurations
 *     history_tell.c     operations and verdicts in words
 *
 * Events are numbered from 1, and 0 is "not yet". A prefix is named by the number of its last
 * event.
 */
#ifndef TDW_EXPLORE_LINEARIZE_H
#define TDW_EXPLORE_LINEARIZE_H

#include <tidewheel/history.h>

/* ── What is recorded ──────────────────────────────────────────────────────────────────────── */

enum tdw__ended { TDW__PENDING, TDW__OK, TDW__FAILED, TDW__UNKNOWN };

struct tdw_history_op {
    struct tdw_operation what;
    uint64_t invoked, ended; /* numbers of events */
    uint64_t directed;       /* with its store since then */
    uint64_t invoked_ns, ended_ns;
    uint32_t store;
    uint32_t task;   /* an index; UINT32_MAX: none was running */
    uint8_t outcome; /* enum tdw__ended */
};

struct tdw_history_crash {
    uint64_t event, now_ns;
    uint32_t store;
};

struct tdw_history_task {
    uint64_t actor;
    char path[120]; /* cut at that */
};

/* ── Rows (rows.c) ─────────────────────────────────────────────────────────────────────────── */

#define TDW__NO_ROW UINT32_MAX

/* A set of rows of words, each kept once. A row is named by where it stands, in order of insertion.
 */
struct tdw__rows {
    uint64_t *words; /* for each row: its hash, count and flags, and its words */
    size_t used, room;
    uint32_t *table; /* open addressing: place + 1, or 0 */
    uint32_t table_size, count;
};

/* The row's name; TDW__NO_ROW: no memory, or more than `bytes_max`. */
uint32_t tdw__rows_add(struct tdw__rows *rows, uint64_t hash, const uint64_t *words, uint32_t count,
                       size_t bytes_max, bool *is_new);
void tdw__rows_clear(struct tdw__rows *rows);
void tdw__rows_fini(struct tdw__rows *rows);

static inline size_t tdw__rows_bytes(const struct tdw__rows *rows)
{
    return rows->room * sizeof *rows->words + rows->table_size * sizeof *rows->table;
}
static inline const uint64_t *tdw__row(const struct tdw__rows *rows, uint32_t row)
{
    return rows->words + row + 2;
}
static inline uint32_t tdw__row_count(const struct tdw__rows *rows, uint32_t row)
{
    return (uint32_t)rows->words[row + 1];
}
/* 32 bits for whoever uses the set; zero at first. */
static inline uint32_t tdw__row_flags(const struct tdw__rows *rows, uint32_t row)
{
    return (uint32_t)(rows->words[row + 1] >> 32);
}
static inline void tdw__row_set(struct tdw__rows *rows, uint32_t row, uint32_t flags)
{
    rows->words[row + 1] |= (uint64_t)flags << 32;
}
/* The rows in order: the first is 0; the name behind the last is rows->used. */
static inline uint32_t tdw__row_next(const struct tdw__rows *rows, uint32_t row)
{
    return row + 2 + tdw__row_count(rows, row);
}

/* ── One problem (linearize.c) ─────────────────────────────────────────────────────────────── */

struct tdw__item {
    struct tdw_operation what;
    uint64_t invoked;
    uint64_t until;   /* it takes effect before this event; UINT64_MAX: at any time */
    uint64_t crashed; /* the last crash before `invoked`; 0 */
    uint64_t seen;    /* the end of the first answer of a value that it brings; UINT64_MAX: it never
                       * is; 0: it brings none */
    uint32_t op;      /* handle */
    bool reads;       /* answered so, it changes nothing */
};

/* Of a queue (history_fifo.c): when a value comes and goes. */
struct tdw__passage {
    int64_t value;
    uint64_t enters_from, entered_before;
    uint64_t leaves_from, left_before; /* 0: nobody got it */
    uint32_t twins;                    /* enqueued so many times more; then times say nothing */
    uint32_t answers;                  /* dequeued so often */
};
struct tdw__fifo {
    struct tdw__passage *passages; /* by value; room for one an item */
    uint32_t count;
    uint32_t takers;  /* dequeues whose outcome is unknown */
    uint64_t *latest; /* see is_in_order; room for one more */
};

/* Operations of which some may take effect (the first ones) and the others must. Both parts are in
 * the order of invocation. */
struct tdw__problem {
    const struct tdw_spec *spec;
    struct tdw__item *items;
    struct tdw__fifo fifo; /* if the specification says so */
    uint32_t optional, count;
    /* Where could this operation take effect? One that is not asked about: invoked at UINT64_MAX.
     */
    uint64_t asked_invoked;
    uint32_t asked_op;
};

/* False: it is not linearizable. */
bool tdw__fifo_prepare(struct tdw__fifo *fifo, struct tdw__problem *problem);
/* Can the value that came last not leave in time, because of those in front of it? */
bool tdw__fifo_is_hopeless(const struct tdw__fifo *fifo, const int64_t *state, uint32_t words);

/* A row of `configs` has its state in the low half of its first word. Its flags: */
enum {
    TDW__GOOD = 1,  /* the operations that must can all take effect from here */
    TDW__ASKED = 2, /* … and the one that was asked about could do so here */
};

struct tdw__search {
    uint64_t steps, steps_max;
    size_t bytes, bytes_max; /* `bytes`: at most so far */
    struct tdw__rows states, configs;
    /* Of the problem being solved: */
    const struct tdw__problem *problem;
    uint64_t *taken, *row; /* bits of items that took effect; a configuration as it is made */
    int64_t *scratch;      /* a state as it is made */
    struct tdw__frame *frames;
    uint32_t depth, optional_words, required_words;
    size_t scratch_room, row_room;
    uint64_t hash; /* of `taken` */
};

/* Can all that must take effect? `all`: do not stop at the first order, so that the flags of
 * `configs` are right for every configuration. */
enum tdw_linearizable tdw__linearize(struct tdw__search *search, const struct tdw__problem *problem,
                                     bool all);
/* Of the last problem: would the object in that state answer so? */
bool tdw__state_accepts(struct tdw__search *search, uint32_t state,
                        const struct tdw_operation *operation);
void tdw__search_fini(struct tdw__search *search);

/* ── In words (history_tell.c) ─────────────────────────────────────────────────────────────── */

/* The one key that the operation concerns; false: it has none, or several. */
bool tdw__operation_key(const struct tdw_spec *spec, const struct tdw_operation *operation,
                        int64_t *key);
/* Do its keys fall apart: does each operation concern one? */
bool tdw__is_by_key(const struct tdw_history *history);
/* "get(k7) = 3, returned at 1.300 us by main/main#0/client#1, cannot be" */
void tdw__wrong_text(const struct tdw_history *history, const struct tdw_history_op *op, char *text,
                     size_t bytes);
/* Like snprintf, behind what is in `text`; what finds no room is cut. */
void tdw__append(char *text, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
