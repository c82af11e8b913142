/* SPDX-License-Identifier: MIT */
/*
 * One problem of linearizability: is there an order in which the operations took effect?
 *
 *     configuration = (which operations have taken effect, the object's state)
 *
 *          ┌──────────── candidates: invoked before any that has to return next ───────────┐
 *          ▼                                                                               │
 *     operation ─ step ─▶ refused: the next candidate                                      │
 *                  └────▶ a new configuration ─ seen before? ─ yes: the next candidate     │
 *                                                    └ no: go deeper ──────────────────────┘
 *
 * Depth first (Wing and Gong 1993), with a memory of the configurations seen (Lowe 2017). States
 * are kept in a set, so that equal ones have one number and undo is a step back to an earlier
 * number. A configuration is that number and the bits of the operations, compared in full: a
 * collision of hashes gives no wrong verdict. Bits in front of the first operation that still has
 * to take effect are left away, so a configuration's size depends on how many overlap and not on
 * the history.
 *
 * Of the operations that must take effect the frontier is the earliest end; only what was invoked
 * before it may come next. One that need not (its outcome is unknown) never holds up the frontier,
 * and is a candidate as long as nothing took effect that was invoked after its store crashed.
 *
 * Candidates are tried in the order in which the values that they bring are first answered, behind
 * those that bring none. That is a guess, often right (what is dequeued first was enqueued first),
 * and only saves time.
 *
 * Three things are left out, and lose no order:
 *   - what changes nothing and fits now is taken now, and nothing is tried in its place: whatever
 *     order takes it later may as well take it here. Not where a crash lies between the last
 *     operation and this one: that would end the chances of operations that may still come;
 *   - an operation that need not take effect, and leaves the state as it is, is not taken here;
 *   - nor is it if what comes next leads to the same state without it.
 * The third is tried when one order is enough; where all configurations are wanted it is not.
 *
 * The stack is memory of the search's own: the caller may be a coroutine. Cost: some 30 ns for each
 * candidate looked at; how many is exponential at worst, in the operations that overlap and in
 * those that never returned, and has a limit.
 */
#include <sim/explore/linearize.h>
#include <runtime/mix.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = UINT32_MAX };
enum phase { READS, CHANGES, OPTIONAL, PHASES };

struct tdw__frame {
    uint64_t frontier; /* the earliest end of what must still take effect */
    uint64_t latest;   /* the latest invocation of what has taken effect */
    uint32_t config, state;
    uint32_t item; /* that led here; NONE: the start */
    uint32_t base; /* the first that must still take effect */
    uint32_t top;  /* behind the last that must, and did */
    enum phase phase;
    uint32_t at; /* the last candidate of this phase; NONE: there was none */
};

/* ── Which operations have taken effect ────────────────────────────────────────────────────── */

static uint32_t bit_of(const struct tdw__search *s, uint32_t item)
{
    const uint32_t optional = s->problem->optional;

    return item < optional ? item : s->optional_words * 64 + item - optional;
}

static bool is_taken(const struct tdw__search *s, uint32_t item)
{
    const uint32_t bit = bit_of(s, item);

    return s->taken[bit / 64] >> bit % 64 & 1;
}

static void flip(struct tdw__search *s, uint32_t item)
{
    const uint32_t bit = bit_of(s, item);

    s->taken[bit / 64] ^= (uint64_t)1 << bit % 64;
    s->hash ^= tdw__mix(item, TDW_K2);
}

/* The configuration as a row: where the bits begin and the state; how many words of bits belong to
 * operations that need not take effect; the bits, without the full words in front. */
static uint32_t make_row(struct tdw__search *s, const struct tdw__frame *frame)
{
    const uint32_t optional = s->problem->optional;
    const uint32_t first = (frame->base - optional) / 64, end = (frame->top - optional + 63) / 64;
    uint32_t words = s->optional_words, count = 2;

    while (words > 0 && s->taken[words - 1] == 0)
        words--;
    s->row[0] = frame->state | (uint64_t)first << 32;
    s->row[1] = words;
    for (uint32_t i = 0; i < words; i++)
        s->row[count++] = s->taken[i];
    for (uint32_t i = first; i < end; i++)
        s->row[count++] = s->taken[s->optional_words + i];
    return count;
}

/* ── Candidates ────────────────────────────────────────────────────────────────────────────── */

/* Finds the frontier, beginning at the base of the configuration before. */
static void find_frontier(struct tdw__search *s, struct tdw__frame *frame)
{
    const struct tdw__problem *p = s->problem;

    while (frame->base < p->count && is_taken(s, frame->base))
        frame->base++;
    frame->frontier = UINT64_MAX;
    for (uint32_t i = frame->base; i < p->count && p->items[i].invoked < frame->frontier; i++) {
        s->steps++;
        if (p->items[i].until < frame->frontier && !is_taken(s, i))
            frame->frontier = p->items[i].until;
    }
}

static bool fits(const struct tdw__search *s, const struct tdw__frame *frame, uint32_t item)
{
    const struct tdw__item *it = &s->problem->items[item];

    if (is_taken(s, item))
        return false;
    if (frame->phase == OPTIONAL)
        return it->until > frame->latest;
    return it->reads == (frame->phase == READS);
}

/* Candidates of a phase come in the order in which what they bring is seen. */
static bool comes_before(const struct tdw__search *s, uint32_t a, uint32_t b)
{
    const struct tdw__item *left = &s->problem->items[a], *right = &s->problem->items[b];

    return left->seen != right->seen ? left->seen < right->seen : a < b;
}

static uint32_t next_candidate(struct tdw__search *s, struct tdw__frame *frame)
{
    const struct tdw__problem *p = s->problem;

    for (; frame->phase < PHASES; frame->phase++, frame->at = NONE) {
        const uint32_t end = frame->phase == OPTIONAL ? p->optional : p->count;
        uint32_t best = NONE, i = frame->phase == OPTIONAL ? 0 : frame->base;

        for (; i < end && p->items[i].invoked < frame->frontier; i++) {
            s->steps++;
            if ((frame->at == NONE || comes_before(s, frame->at, i)) && fits(s, frame, i) &&
                (best == NONE || comes_before(s, i, best)))
                best = i;
        }
        frame->at = best;
        if (best != NONE)
            return best;
    }
    return NONE;
}

/* ── Steps ─────────────────────────────────────────────────────────────────────────────────── */

static uint64_t hash_words(const uint64_t *words, uint32_t count)
{
    uint64_t hash = count;

    for (uint32_t i = 0; i < count; i++)
        hash = tdw__mix(hash, words[i]);
    return hash;
}

static uint32_t add_state(struct tdw__search *s, uint32_t words)
{
    const uint64_t *row = (const uint64_t *)s->scratch;
    bool is_new;

    return tdw__rows_add(&s->states, hash_words(row, words), row, words, s->bytes_max / 2, &is_new);
}

static bool scratch_has(struct tdw__search *s, size_t words)
{
    int64_t *scratch;

    if (words <= s->scratch_room)
        return true;
    scratch = realloc(s->scratch, words * 2 * sizeof *scratch);
    if (!scratch)
        return false;
    s->scratch = scratch;
    s->scratch_room = words * 2;
    return true;
}

/* Performs the operation on a copy of the state, in `scratch`. *words: how many there are now; -1:
 * the object refuses. False: no memory. */
static bool perform(struct tdw__search *s, uint32_t state, const struct tdw_operation *what,
                    int32_t *words)
{
    const struct tdw_spec *spec = s->problem->spec;
    const uint32_t before = tdw__row_count(&s->states, state);

    if (!scratch_has(s, (size_t)before + spec->grows))
        return false;
    if (before)
        memcpy(s->scratch, tdw__row(&s->states, state), before * sizeof *s->scratch);
    *words = spec->step(what, s->scratch, before);
    return true;
}

bool tdw__state_accepts(struct tdw__search *s, uint32_t state,
                        const struct tdw_operation *operation)
{
    int32_t words;

    return perform(s, state, operation, &words) && words >= 0;
}

/* The state behind the operation. False: no memory. *to is NONE: the object refuses. */
static bool step(struct tdw__search *s, uint32_t from, uint32_t item, uint32_t *to)
{
    const struct tdw__problem *p = s->problem;
    const uint32_t before = tdw__row_count(&s->states, from);
    int32_t words;

    if (!perform(s, from, &p->items[item].what, &words))
        return false;
    *to = NONE;
    if (words < 0 || (p->spec->fifo && (uint32_t)words > before &&
                      tdw__fifo_is_hopeless(&p->fifo, s->scratch, (uint32_t)words)))
        return true;
    *to = add_state(s, (uint32_t)words);
    return *to != TDW__NO_ROW;
}

/* From here all that must can take effect; so it can from the configurations on the way here. */
static void mark_good(struct tdw__search *s)
{
    for (uint32_t i = s->depth; i-- > 0;) {
        const uint32_t config = s->frames[i].config;

        if (tdw__row_flags(&s->configs, config) & TDW__GOOD)
            return;
        tdw__row_set(&s->configs, config, TDW__GOOD);
    }
}

/* The one that was asked about has not taken effect, and could next. */
static bool may_be_next(const struct tdw__search *s, const struct tdw__frame *frame)
{
    const struct tdw__problem *p = s->problem;

    if (p->asked_invoked >= frame->frontier)
        return false;
    for (uint32_t i = 0; i < p->optional; i++)
        if (p->items[i].op == p->asked_op)
            return !is_taken(s, i);
    return true;
}

/* Go on to (taken, state), unless it was seen before. False: no memory. */
static bool enter(struct tdw__search *s, uint32_t item, uint32_t state)
{
    const struct tdw__problem *p = s->problem;
    const struct tdw__frame *from = item == NONE ? NULL : &s->frames[s->depth - 1];
    struct tdw__frame *frame = &s->frames[s->depth];
    uint32_t count;
    bool is_new;

    *frame = (struct tdw__frame){.state = state,
                                 .item = item,
                                 .base = from ? from->base : p->optional,
                                 .top = from ? from->top : p->optional,
                                 .latest = from ? from->latest : 0,
                                 .at = NONE};
    if (from) {
        flip(s, item);
        if (item >= frame->top)
            frame->top = item + 1;
        if (p->items[item].invoked > frame->latest)
            frame->latest = p->items[item].invoked;
    }
    find_frontier(s, frame);
    count = make_row(s, frame);
    frame->config = tdw__rows_add(&s->configs, s->hash ^ tdw__mix(state, TDW_K1), s->row, count,
                                  s->bytes_max / 2, &is_new);
    if (frame->config == TDW__NO_ROW)
        return false;
    if (!is_new) {
        if (tdw__row_flags(&s->configs, frame->config) & TDW__GOOD)
            mark_good(s);
        flip(s, item);
        return true;
    }
    if (may_be_next(s, frame))
        tdw__row_set(&s->configs, frame->config, TDW__ASKED);
    s->depth++;
    return true;
}

static void leave(struct tdw__search *s)
{
    s->depth--;
    if (s->frames[s->depth].item != NONE)
        flip(s, s->frames[s->depth].item);
}

/* ── The search ────────────────────────────────────────────────────────────────────────────── */

static bool begin(struct tdw__search *s, const struct tdw__problem *p)
{
    const uint32_t required = p->count - p->optional;
    uint32_t start;

    s->problem = p;
    s->optional_words = (p->optional + 63) / 64;
    s->required_words = (required + 63) / 64;
    s->depth = 0;
    s->hash = 0;
    tdw__rows_clear(&s->states);
    tdw__rows_clear(&s->configs);
    free(s->taken);
    free(s->row);
    free(s->frames);
    s->taken = calloc((size_t)s->optional_words + s->required_words + 1, sizeof *s->taken);
    s->row = malloc(((size_t)s->optional_words + s->required_words + 3) * sizeof *s->row);
    s->frames = malloc(((size_t)p->count + 2) * sizeof *s->frames);
    if (!s->taken || !s->row || !s->frames)
        return false;
    start = add_state(s, 0);
    return start != TDW__NO_ROW && enter(s, NONE, start);
}

static void account(struct tdw__search *s)
{
    const size_t bytes = tdw__rows_bytes(&s->states) + tdw__rows_bytes(&s->configs) +
                         s->problem->count * (sizeof *s->problem->items + sizeof *s->frames);

    if (bytes > s->bytes)
        s->bytes = bytes;
}

static enum tdw_linearizable search(struct tdw__search *s, uint64_t steps_max, bool all)
{
    const struct tdw__problem *p = s->problem;
    enum tdw_linearizable verdict = TDW_NOT_LINEARIZABLE;

    while (s->depth > 0) {
        struct tdw__frame *frame = &s->frames[s->depth - 1];
        uint32_t item, state, without;

        if (frame->base == p->count) {
            mark_good(s);
            verdict = TDW_LINEARIZABLE;
            if (!all)
                break;
        }
        item = next_candidate(s, frame);
        if (item == NONE) {
            leave(s);
            continue;
        }
        if (s->steps > steps_max || !step(s, frame->state, item, &state))
            return TDW_GAVE_UP;
        if (state == NONE || (frame->phase == OPTIONAL && state == frame->state))
            continue;
        if (!all && frame->item < p->optional) {
            if (!step(s, frame[-1].state, item, &without))
                return TDW_GAVE_UP;
            if (without == state)
                continue; /* what led here had no part in it */
        }
        if (frame->phase == READS && state == frame->state &&
            p->items[item].crashed <= frame->latest)
            frame->phase = PHASES; /* it need not come later */
        if (!enter(s, item, state))
            return TDW_GAVE_UP;
    }
    return verdict;
}

enum tdw_linearizable tdw__linearize(struct tdw__search *s, const struct tdw__problem *p, bool all)
{
    enum tdw_linearizable verdict = TDW_GAVE_UP;

    if (begin(s, p))
        verdict = search(s, s->steps + s->steps_max, all);
    account(s);
    return verdict;
}

void tdw__search_fini(struct tdw__search *s)
{
    tdw__rows_fini(&s->states);
    tdw__rows_fini(&s->configs);
    free(s->taken);
    free(s->row);
    free(s->frames);
    free(s->scratch);
}
