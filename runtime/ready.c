/* SPDX-License-Identifier: MIT */
/*
 * The ready set: items that may come next, as a 4-ary heap by (due, seq).
 *
 * An op enters when it is posted, or when its time has come; a schedule takes any entry out. Each
 * task counts its own entries, so that the calm rule ("go on with who ran last") knows without a
 * search, in the usual case, that the task has none. An entry carries its key: sifting touches no
 * op. Growing doubles; after the first few steps of a run nothing is allocated.
 */
#include <runtime/runtime.h>
#include <stdlib.h>

#define ARITY 4

static bool before(const struct tdw_item *a, const struct tdw_item *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void sift_up(struct tdw_item *items, uint32_t at, struct tdw_item item)
{
    while (at > 0) {
        const uint32_t up = (at - 1) / ARITY;

        if (!before(&item, &items[up]))
            break;
        items[at] = items[up];
        at = up;
    }
    items[at] = item;
}

static void sift_down(struct tdw_item *items, uint32_t count, uint32_t at, struct tdw_item item)
{
    for (;;) {
        const uint32_t first = at * ARITY + 1;
        uint32_t least = first;

        if (first >= count)
            break;
        for (uint32_t i = first + 1; i < first + ARITY && i < count; i++)
            if (before(&items[i], &items[least]))
                least = i;
        if (!before(&items[least], &item))
            break;
        items[at] = items[least];
        at = least;
    }
    items[at] = item;
}

static void grow(struct tdw_heap *heap)
{
    const uint32_t max = heap->max ? heap->max * 2 : 64;
    struct tdw_item *items = realloc(heap->items, max * sizeof *items);

    /* Each entry is an op that the caller owns already: there is no way to refuse it. */
    if (!items)
        abort();
    heap->items = items;
    heap->max = max;
}

void tdw__heap_add(struct tdw_heap *heap, struct tdw_op *op)
{
    if (TDW_UNLIKELY(heap->count == heap->max))
        grow(heap);
    sift_up(heap->items, heap->count++, (struct tdw_item){op->due_ns, op->seq, op});
}

struct tdw_op *tdw__heap_take(struct tdw_heap *heap, uint32_t index)
{
    struct tdw_op *op = heap->items[index].op;
    const struct tdw_item last = heap->items[--heap->count];

    if (index < heap->count) {
        if (index > 0 && before(&last, &heap->items[(index - 1) / ARITY]))
            sift_up(heap->items, index, last);
        else
            sift_down(heap->items, heap->count, index, last);
    }
    return op;
}

void tdw__heap_remove(struct tdw_heap *heap, const struct tdw_op *op, uint32_t hint)
{
    if (hint < heap->count && heap->items[hint].op == op) {
        tdw__heap_take(heap, hint);
        return;
    }
    for (uint32_t i = 0; i < heap->count; i++) {
        if (heap->items[i].op == op) {
            tdw__heap_take(heap, i);
            return;
        }
    }
    assert(!"an op outside the heap was taken out of it");
}

void tdw__ready_remove(struct tdw_loop *loop, struct tdw_op *op, uint32_t hint)
{
    op->task->ready--;
    tdw__heap_remove(&loop->ready, op, hint);
}

bool tdw__item_before(const struct tdw_item *a, const struct tdw_item *b)
{
    return before(a, b);
}

uint32_t tdw__ready_calm(const struct tdw_loop *loop)
{
    const struct tdw_item *items = loop->ready.items;
    uint32_t left, best = 0;
    bool found = false;

    if (loop->ready.count == 1 || !loop->last || loop->last->ready == 0)
        return 0;
    if (items[0].op->task == loop->last)
        return 0; /* the least of all is the least of its own */
    left = loop->last->ready;
    /* New entries have late keys and stand at the end: look there first. */
    for (uint32_t i = loop->ready.count; left > 0 && i-- > 0;) {
        if (items[i].op->task != loop->last)
            continue;
        left--;
        if (!found || before(&items[i], &items[best]))
            best = i;
        found = true;
    }
    return best;
}
