/* SPDX-License-Identifier: MIT */
/*
 * A history is checked: cut into problems, solved one by one, and the verdict put together.
 *
 *     history ─ by key ─▶ parts ─ a prefix of each ─▶ problem ─ tdw__linearize ─▶ verdict
 *
 * If every operation concerns one key, the history is linearizable exactly if the operations of
 * each key are. If one concerns several, nothing is cut.
 *
 * Of a part's prefix, an operation that returned in it must take effect between its two events. One
 * that did not, or whose outcome is unknown, may: from its invocation on, and until its store
 * crashes if it does. One that is known to have failed is left out, and so is a read that nobody
 * heard of.
 *
 * A prefix of a linearizable history is linearizable, so the shortest bad prefix is found by
 * halving, over the events that could make one bad: that an operation returned, or failed. What the
 * object could have been at that point is asked of the same search: without that event the prefix
 * is good, and of all configurations on the way to an order those are wanted where the operation
 * could come next.
 */
#include <sim/explore/linearize.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_TOLD = 4, EXPLAIN_STEPS = 200000 };

struct keyed {
    int64_t key;
    uint32_t op;
};

struct answer {
    int64_t value;
    uint64_t ended;
};

struct check {
    const struct tdw_history *history;
    struct tdw__search search;
    struct tdw__problem problem;
    struct keyed *keyed;          /* operations by key, then by invocation */
    uint64_t *ends;               /* of a part: events that could make a prefix bad */
    uint64_t *due;                /* of a problem: see find_due */
    struct answer *answers;       /* of a prefix, by value, then by when */
    const struct keyed *part;     /* that is looked at … */
    uint32_t count;               /* … and how many operations it has */
    const struct keyed *bad_part; /* with the shortest bad prefix */
    uint32_t bad_count;
    bool unsure; /* a shorter prefix may be bad: the search gave up there */
};

/* ── Problems ──────────────────────────────────────────────────────────────────────────────── */

/* When the operation's chances end in the prefix, if it has not returned in it. One that returns
 * later has outlived the crash (it was sent again, perhaps), and that is known of a prefix too:
 * otherwise a good history could have a bad one. */
static uint64_t chances_end(const struct tdw_history *history, const struct tdw_history_op *op,
                            uint64_t prefix)
{
    if (op->outcome == TDW__OK || op->store == TDW_IN_FLIGHT)
        return UINT64_MAX;
    for (size_t i = 0; i < history->crashes_count; i++) {
        const struct tdw_history_crash *crash = &history->crashes[i];

        if (crash->event > prefix)
            break;
        if (crash->store == op->store && crash->event > op->directed)
            return crash->event;
    }
    return UINT64_MAX;
}

static uint64_t crash_before(const struct tdw_history *history, uint64_t event)
{
    uint64_t last = 0;

    for (size_t i = 0; i < history->crashes_count && history->crashes[i].event < event; i++)
        last = history->crashes[i].event;
    return last;
}

enum role { ABSENT, MAY, MUST };

static enum role role_in(const struct check *c, const struct tdw_history_op *op, uint64_t prefix)
{
    const bool has_ended = op->ended && op->ended <= prefix;

    if (op->invoked > prefix || (has_ended && op->outcome == TDW__FAILED))
        return ABSENT;
    if (has_ended && op->outcome == TDW__OK)
        return MUST;
    return c->history->spec->verbs[op->what.verb].reads ? ABSENT : MAY;
}

/* With the result that it has: never, in any state. */
static bool changes_nothing(const struct tdw_spec *spec, const struct tdw_operation *operation)
{
    const struct tdw_spec_verb *verb = &spec->verbs[operation->verb];

    return verb->reads ||
           (verb->refuses && operation->result == (verb->result == 'v' ? TDW_NONE : 0));
}

static void add_items(struct check *c, uint64_t prefix, enum role role)
{
    const struct tdw_history *history = c->history;

    for (uint32_t i = 0; i < c->count; i++) {
        const uint32_t handle = c->part[i].op;
        const struct tdw_history_op *op = &history->ops[handle];
        struct tdw__item *item = &c->problem.items[c->problem.count];

        if (role_in(c, op, prefix) != role)
            continue;
        *item = (struct tdw__item){.what = op->what,
                                   .invoked = op->invoked,
                                   .until = op->ended,
                                   .crashed = crash_before(history, op->invoked),
                                   .op = handle,
                                   .reads = changes_nothing(history->spec, &op->what)};
        if (role == MAY) {
            item->what.result = TDW_ANY;
            item->until = chances_end(history, op, prefix);
        }
        c->problem.count++;
    }
}

static int by_answer(const void *a, const void *b)
{
    const struct answer *left = a, *right = b;

    if (left->value != right->value)
        return left->value < right->value ? -1 : 1;
    return left->ended < right->ended ? -1 : left->ended > right->ended;
}

/* When a value is first answered by something that ended behind `event`. */
static uint64_t first_answer(const struct check *c, uint32_t answers, int64_t value, uint64_t event)
{
    uint32_t low = 0, high = answers;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct answer *answer = &c->answers[middle];

        if (answer->value < value || (answer->value == value && answer->ended <= event))
            low = middle + 1;
        else
            high = middle;
    }
    return low < answers && c->answers[low].value == value ? c->answers[low].ended : UINT64_MAX;
}

static void find_seen(struct check *c)
{
    const struct tdw_spec_verb *verbs = c->history->spec->verbs;
    uint32_t answers = 0;

    for (uint32_t i = c->problem.optional; i < c->problem.count; i++) {
        const struct tdw__item *item = &c->problem.items[i];

        if (verbs[item->what.verb].result == 'v')
            c->answers[answers++] = (struct answer){item->what.result, item->until};
    }
    qsort(c->answers, answers, sizeof *c->answers, by_answer);
    for (uint32_t i = 0; i < c->problem.count; i++) {
        struct tdw__item *item = &c->problem.items[i];
        const char *letters = verbs[item->what.verb].args;
        uint64_t seen;

        item->seen = 0;
        for (size_t arg = 0; arg < TDW_OPERATION_ARGS && letters[arg]; arg++)
            if (letters[arg] == 'v') {
                seen = first_answer(c, answers, item->what.args[arg], item->invoked);
                item->seen = item->seen && item->seen < seen ? item->seen : seen;
            }
    }
}

/* What must come before something else is due no later than that. `due` has, for the items from
 * each one on, the earliest of theirs. */
static void find_due(struct check *c)
{
    struct tdw__problem *p = &c->problem;
    uint64_t *due = c->due;

    due[p->count] = UINT64_MAX;
    for (uint32_t i = p->count; i-- > p->optional;) {
        struct tdw__item *item = &p->items[i];
        uint32_t low = i + 1, high = p->count;

        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;

            if (p->items[middle].invoked < item->until)
                low = middle + 1;
            else
                high = middle;
        }
        if (item->seen && due[low] < item->seen)
            item->seen = due[low];
        due[i] = item->seen && item->seen < due[i + 1] ? item->seen : due[i + 1];
    }
}

/* Is the part linearizable up to that event? `asked` is an operation that has not ended by then. */
static enum tdw_linearizable solve(struct check *c, uint64_t prefix, uint32_t asked)
{
    struct tdw__problem *p = &c->problem;

    p->asked_op = asked;
    p->asked_invoked = asked == TDW_HISTORY_FULL ? UINT64_MAX : c->history->ops[asked].invoked;
    p->count = 0;
    add_items(c, prefix, MAY);
    p->optional = p->count;
    add_items(c, prefix, MUST);
    find_seen(c);
    find_due(c);
    p->fifo.latest = c->due; /* which is done with */
    if (p->spec->fifo && !tdw__fifo_prepare(&p->fifo, p) && asked == TDW_HISTORY_FULL)
        return TDW_NOT_LINEARIZABLE;
    return tdw__linearize(&c->search, p, asked != TDW_HISTORY_FULL);
}

/* ── Parts ─────────────────────────────────────────────────────────────────────────────────── */

static int by_key(const void *a, const void *b)
{
    const struct keyed *left = a, *right = b;

    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->op < right->op ? -1 : left->op > right->op;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

/* The part is bad: by which event? */
static uint64_t shortest_bad(struct check *c)
{
    uint32_t ends = 0, low = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        const struct tdw_history_op *op = &c->history->ops[c->part[i].op];

        if (op->outcome == TDW__OK || op->outcome == TDW__FAILED)
            c->ends[ends++] = op->ended;
    }
    qsort(c->ends, ends, sizeof *c->ends, by_number);
    ends--; /* the last one is bad: it is the whole part */
    while (low < ends) {
        const uint32_t middle = low + (ends - low) / 2;
        const enum tdw_linearizable verdict = solve(c, c->ends[middle], TDW_HISTORY_FULL);

        if (verdict == TDW_GAVE_UP)
            c->unsure = true;
        if (verdict == TDW_NOT_LINEARIZABLE)
            ends = middle;
        else
            low = middle + 1;
    }
    return c->ends[low];
}

static void judge_part(struct check *c, struct tdw_checked *checked)
{
    const enum tdw_linearizable verdict = solve(c, UINT64_MAX, TDW_HISTORY_FULL);
    uint64_t event;

    if (verdict == TDW_GAVE_UP && checked->verdict == TDW_LINEARIZABLE)
        checked->verdict = TDW_GAVE_UP;
    if (verdict != TDW_NOT_LINEARIZABLE)
        return;
    event = shortest_bad(c);
    if (checked->verdict == TDW_NOT_LINEARIZABLE && checked->event < event)
        return;
    checked->verdict = TDW_NOT_LINEARIZABLE;
    checked->event = event;
    c->bad_part = c->part;
    c->bad_count = c->count;
}

static void judge_parts(struct check *c, struct tdw_checked *checked)
{
    const struct tdw_history *history = c->history;
    const bool is_by_key = tdw__is_by_key(history);
    const uint32_t all = (uint32_t)history->ops_count;

    for (uint32_t i = 0; i < all; i++) {
        c->keyed[i] = (struct keyed){.key = 0, .op = i};
        if (is_by_key)
            tdw__operation_key(history->spec, &history->ops[i].what, &c->keyed[i].key);
    }
    qsort(c->keyed, all, sizeof *c->keyed, by_key);
    for (uint32_t i = 0; i < all; i += c->count) {
        c->part = &c->keyed[i];
        c->count = 1;
        while (i + c->count < all && c->keyed[i + c->count].key == c->part->key)
            c->count++;
        judge_part(c, checked);
    }
}

/* ── What is wrong ─────────────────────────────────────────────────────────────────────────── */

/* The states in which the operation could have found the object, in the order in which the search
 * met them: those that refuse its answer, or those that would give it. */
static void tell_states(struct check *c, const struct tdw_operation *what, bool refusing,
                        char *text, size_t bytes)
{
    struct tdw__search *s = &c->search;
    uint32_t states[STATES_TOLD], told = 0;

    for (uint32_t row = 0; row < s->configs.used; row = tdw__row_next(&s->configs, row)) {
        const uint32_t state = (uint32_t)*tdw__row(&s->configs, row);
        char one[64] = "";
        uint32_t i = 0;

        while (i < told && states[i] != state)
            i++;
        if (tdw__row_flags(&s->configs, row) != (TDW__GOOD | TDW__ASKED) || i < told ||
            tdw__state_accepts(s, state, what) == refusing)
            continue;
        if (told == STATES_TOLD) {
            tdw__append(text, bytes, " or others");
            return;
        }
        states[told++] = state;
        c->history->spec->tell((const int64_t *)tdw__row(&s->states, state),
                               tdw__row_count(&s->states, state), one, sizeof one);
        tdw__append(text, bytes, "%s%s%s", told > 1 ? " or " : "", one,
                    strlen(one) == sizeof one - 1 ? "..." : "");
    }
}

static void tell_object(struct check *c, struct tdw_checked *checked)
{
    const struct tdw_operation *what = &c->history->ops[checked->op].what;
    const enum tdw_linearizable verdict = solve(c, checked->event - 1, checked->op);
    char refusing[150] = "", fitting[100] = "";

    tell_states(c, what, true, refusing, sizeof refusing);
    tell_states(c, what, false, fitting, sizeof fitting);
    if (!refusing[0] && !fitting[0]) /* the search gave up before */
        snprintf(refusing, sizeof refusing, "something else");
    tdw__append(checked->text, sizeof checked->text, ": the %s could only be %s%s%s%s",
                c->history->spec->name, refusing, refusing[0] && fitting[0] ? ", or " : "", fitting,
                fitting[0] ? " if another answer did not count" : "");
    if (verdict == TDW_GAVE_UP)
        tdw__append(checked->text, sizeof checked->text, " (as far as was looked)");
}

static void explain(struct check *c, struct tdw_checked *checked)
{
    const struct tdw_history *history = c->history;
    const struct tdw_history_op *op;

    c->part = c->bad_part;
    c->count = c->bad_count;
    for (uint32_t i = 0; i < c->count; i++)
        if (history->ops[c->part[i].op].ended == checked->event)
            checked->op = c->part[i].op;
    op = &history->ops[checked->op];
    tdw__wrong_text(history, op, checked->text, sizeof checked->text);
    if (op->outcome == TDW__OK) {
        if (c->search.steps_max > EXPLAIN_STEPS)
            c->search.steps_max = EXPLAIN_STEPS;
        tell_object(c, checked);
    }
    if (c->unsure)
        tdw__append(checked->text, sizeof checked->text, " (and perhaps it was bad before)");
}

/* ── The whole ─────────────────────────────────────────────────────────────────────────────── */

enum tdw_linearizable tdw_history_check(const struct tdw_history *history,
                                        struct tdw_checked *checked)
{
    const size_t ops = history->ops_count + 1;
    struct check c = {
        .history = history,
        .search = {.steps_max = history->steps_max, .bytes_max = history->bytes_max},
        .problem = {.spec = history->spec,
                    .items = malloc(ops * sizeof *c.problem.items),
                    .fifo.passages = malloc(ops * sizeof *c.problem.fifo.passages)},
        .keyed = malloc(ops * sizeof *c.keyed),
        .ends = malloc(ops * sizeof *c.ends),
        .due = malloc(ops * sizeof *c.due),
        .answers = malloc(ops * sizeof *c.answers),
    };

    *checked = (struct tdw_checked){.verdict = TDW_LINEARIZABLE, .op = TDW_HISTORY_FULL};
    if (history->lost || !c.problem.items || !c.problem.fifo.passages || !c.keyed || !c.ends ||
        !c.due || !c.answers)
        checked->verdict = TDW_GAVE_UP;
    else
        judge_parts(&c, checked);
    if (checked->verdict == TDW_NOT_LINEARIZABLE)
        explain(&c, checked);
    if (checked->verdict == TDW_GAVE_UP && history->lost)
        tdw__append(checked->text, sizeof checked->text, "there was no memory to record it all");
    else if (checked->verdict == TDW_GAVE_UP)
        tdw__append(checked->text, sizeof checked->text, "gave up after %llu steps and %zu KiB",
                    (unsigned long long)c.search.steps, c.search.bytes >> 10);
    checked->steps = c.search.steps;
    checked->bytes = c.search.bytes;
    tdw__search_fini(&c.search);
    free(c.problem.items);
    free(c.problem.fifo.passages);
    free(c.keyed);
    free(c.ends);
    free(c.due);
    free(c.answers);
    return checked->verdict;
}
