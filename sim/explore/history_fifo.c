/* SPDX-License-Identifier: MIT */
/*
 * What a queue's answers say about the order in which it was filled, before it is tried.
 *
 * A wrong order of two enqueues shows only when their values are dequeued, and all that was decided
 * between would be tried in every way before the search came back to it. But the answers are known
 * from the start: a state is hopeless as soon as a value stands behind one that must leave later.
 * That is so if the dequeue that answered the former ended before the one that answered the latter
 * was invoked, or if more values in front of it are answered by nobody than there are dequeues of
 * unknown outcome, which could have taken them.
 *
 * By the same rules many a history is bad at first sight.
 *
 * It is known only of values that were enqueued once and dequeued at most once; others are let
 * pass. An enqueue of unknown outcome whose value nobody got is taken never: it helps nothing.
 */
#include <sim/explore/linearize.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const struct tdw__passage *left = a, *right = b;

    return left->value < right->value ? -1 : left->value > right->value;
}

static struct tdw__passage *passage_of(const struct tdw__fifo *fifo, int64_t value)
{
    uint32_t low = 0, high = fifo->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (fifo->passages[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < fifo->count && fifo->passages[low].value == value ? &fifo->passages[low] : NULL;
}

static bool brings(const struct tdw__item *item)
{
    return item->seen != 0;
}

/* One passage for each value that something enqueues, in the order of values. */
static void find_passages(struct tdw__fifo *fifo, const struct tdw__problem *p)
{
    uint32_t values = 0;

    fifo->count = fifo->takers = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct tdw__item *item = &p->items[i];

        if (!brings(item)) {
            fifo->takers += i < p->optional;
            continue;
        }
        fifo->passages[values++] =
            (struct tdw__passage){.value = item->what.args[0],
                                  .enters_from = item->invoked,
                                  .entered_before = i < p->optional ? UINT64_MAX : item->until};
    }
    qsort(fifo->passages, values, sizeof *fifo->passages, by_value);
    for (uint32_t i = 0; i < values; i++) {
        struct tdw__passage *last = fifo->count ? &fifo->passages[fifo->count - 1] : NULL;

        if (last && last->value == fifo->passages[i].value)
            last->twins++;
        else
            fifo->passages[fifo->count++] = fifo->passages[i];
    }
}

/* False: a value was dequeued before it was enqueued, or more often. */
static bool find_answers(struct tdw__fifo *fifo, const struct tdw__problem *p)
{
    for (uint32_t i = p->optional; i < p->count; i++) {
        const struct tdw__item *item = &p->items[i];
        struct tdw__passage *passage;

        if (brings(item) || item->what.result == TDW_NONE)
            continue;
        passage = passage_of(fifo, item->what.result);
        if (!passage || passage->answers++ > passage->twins)
            return false;
        passage->leaves_from = item->invoked;
        passage->left_before = item->until;
        if (!passage->twins && item->until < passage->enters_from)
            return false;
        if (!passage->twins && item->until < passage->entered_before)
            passage->entered_before = item->until;
    }
    return true;
}

static int by_entry(const void *a, const void *b)
{
    const struct tdw__passage *left = a, *right = b;

    return left->entered_before < right->entered_before   ? -1
           : left->entered_before > right->entered_before ? 1
                                                          : by_value(a, b);
}

/* False: a value entered before another one, and leaves after it. `latest` has, for the first
 * values to have entered, when the last of them leaves. */
static bool is_in_order(struct tdw__fifo *fifo)
{
    uint64_t *latest = fifo->latest;
    bool is_good = true;

    qsort(fifo->passages, fifo->count, sizeof *fifo->passages, by_entry);
    latest[0] = 0;
    for (uint32_t i = 0; i < fifo->count; i++) {
        const struct tdw__passage *x = &fifo->passages[i];
        const bool is_stuck = !x->left_before && x->entered_before != UINT64_MAX && !fifo->takers;
        const uint64_t leaves = x->twins ? 0 : is_stuck ? UINT64_MAX : x->leaves_from;

        latest[i + 1] = leaves > latest[i] ? leaves : latest[i];
    }
    for (uint32_t i = 0; i < fifo->count && is_good; i++) {
        const struct tdw__passage *y = &fifo->passages[i];
        uint32_t low = 0, high = fifo->count;

        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;

            if (fifo->passages[middle].entered_before < y->enters_from)
                low = middle + 1;
            else
                high = middle;
        }
        is_good = y->twins || !y->left_before || latest[low] < y->left_before;
    }
    qsort(fifo->passages, fifo->count, sizeof *fifo->passages, by_value);
    return is_good;
}

bool tdw__fifo_prepare(struct tdw__fifo *fifo, struct tdw__problem *p)
{
    find_passages(fifo, p);
    if (!find_answers(fifo, p) || !is_in_order(fifo))
        return false;
    for (uint32_t i = 0; i < p->optional; i++)
        if (p->items[i].seen == UINT64_MAX && p->items[i].op != p->asked_op)
            p->items[i].until = 0; /* never */
    return true;
}

bool tdw__fifo_is_hopeless(const struct tdw__fifo *fifo, const int64_t *state, uint32_t words)
{
    const struct tdw__passage *last = words ? passage_of(fifo, state[words - 1]) : NULL;
    uint32_t stuck = 0;

    if (!last || last->twins || !last->left_before)
        return false;
    for (uint32_t i = 0; i + 1 < words; i++) {
        const struct tdw__passage *before = passage_of(fifo, state[i]);

        if (!before || before->twins)
            continue;
        stuck += !before->left_before;
        if (last->left_before < before->leaves_from || stuck > fifo->takers)
            return true;
    }
    return false;
}
