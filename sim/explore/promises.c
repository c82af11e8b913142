/* SPDX-License-Identifier: MIT */
/*
 * The ledger of what was attempted and acknowledged (promise.h), and the verdict on what is found.
 *
 * Attempts are kept in order, with the places in the order of the run at which they began and were
 * acknowledged. A verdict is a walk over the attempts of a key: a ledger of a test has hundreds.
 * Nothing here is an event: promises are the test's memory, not something that a program does.
 */
#include <sim/explore/promises.h>
#include <stdlib.h>

static void promises_free(struct tdw_loop *loop)
{
    tdw__crashes_free(loop->promises->crashes);
    tdw__expected_free(loop->promises);
    free(loop->promises->items);
    free(loop->promises);
    loop->promises = NULL;
}

struct tdw_promises *tdw__promises(struct tdw_loop *loop)
{
    if (!loop->promises) {
        loop->promises = calloc(1, sizeof *loop->promises);
        loop->promises_free = promises_free;
    }
    return loop->promises;
}

bool tdw__promise_note(struct tdw_promises *promises, uint64_t key, uint64_t value)
{
    if (promises->count == promises->max) {
        const size_t max = promises->max ? promises->max * 2 : 64;
        struct tdw_promise *items = realloc(promises->items, max * sizeof *items);

        if (!items)
            return false;
        promises->items = items;
        promises->max = max;
    }
    promises->items[promises->count++] = (struct tdw_promise){
        .key = key, .value = value, .begun = ++promises->order, .acked = UINT64_MAX};
    return true;
}

/* A ledger without an entry would judge wrongly: such a run is no verdict. */
static void no_memory(void)
{
    tdw__finding(tdw_loop(), tdw_self(), NULL, "no memory for what was promised");
    tdw_loop()->stop = true;
}

void tdw_attempted(uint64_t key, uint64_t value)
{
    struct tdw_promises *promises = tdw__promises(tdw_loop());

    if (!promises || !tdw__promise_note(promises, key, value)) {
        no_memory();
        return;
    }
    promises->items[promises->count - 1].begun_ns = tdw_now();
    tdw__crashes_look(promises->crashes);
}

void tdw_acked(uint64_t key, uint64_t value)
{
    struct tdw_promises *promises = tdw__promises(tdw_loop());
    size_t i = promises ? promises->count : 0;

    while (i-- > 0) {
        struct tdw_promise *promise = &promises->items[i];

        if (promise->key != key || promise->value != value)
            continue;
        if (promise->acked == UINT64_MAX) {
            promise->acked = ++promises->order;
            promise->acked_ns = tdw_now();
        }
        tdw__crashes_look(promises->crashes);
        return;
    }
    tdw__finding(tdw_loop(), tdw_self(), NULL,
                 "key %llu: %llu was acknowledged, and it had not been attempted",
                 (unsigned long long)key, (unsigned long long)value);
}

/* ── The verdict ───────────────────────────────────────────────────────────────────────────── */

/* The newest acknowledged attempt of the key that began after `order`, with another value; NULL. */
static const struct tdw_promise *later(const struct tdw_promises *promises, uint64_t key,
                                       uint64_t value, uint64_t order)
{
    const struct tdw_promise *found = NULL;

    for (size_t i = 0; i < promises->count; i++) {
        const struct tdw_promise *promise = &promises->items[i];

        if (promise->key == key && promise->value != value && promise->acked != UINT64_MAX &&
            promise->begun > order)
            found = promise;
    }
    return found;
}

bool tdw__promise_kept(const struct tdw_promises *promises, uint64_t key, uint64_t value,
                       const char *when, char *text, size_t bytes)
{
    const struct tdw_promise *lost = NULL;
    bool attempted = value == 0;

    if (value == 0) { /* as in the beginning */
        lost = later(promises, key, value, 0);
        if (!lost)
            return true;
    }
    for (size_t i = 0; i < promises->count; i++) {
        const struct tdw_promise *promise = &promises->items[i];
        const struct tdw_promise *newer;

        if (promise->key != key || promise->value != value)
            continue;
        attempted = true;
        newer = promise->acked == UINT64_MAX ? NULL : later(promises, key, value, promise->acked);
        if (!newer)
            return true;
        lost = newer;
    }
    if (!attempted)
        snprintf(text, bytes, "key %llu: %sit is %llu, which nobody ever wrote",
                 (unsigned long long)key, when, (unsigned long long)value);
    else if (value == 0)
        snprintf(text, bytes, "key %llu: %llu was acknowledged at %.3f us; %sit is not there",
                 (unsigned long long)key, (unsigned long long)lost->value,
                 (double)lost->acked_ns / 1e3, when);
    else
        snprintf(text, bytes, "key %llu: %llu was acknowledged at %.3f us; %sit is %llu again",
                 (unsigned long long)key, (unsigned long long)lost->value,
                 (double)lost->acked_ns / 1e3, when, (unsigned long long)value);
    return false;
}

void tdw__found(const struct tdw_site *site, uint64_t key, uint64_t value)
{
    struct tdw_loop *loop = tdw_loop();
    struct tdw_promises *promises = tdw__promises(loop);
    char text[256];

    if (!promises) {
        no_memory();
        return;
    }
    if (promises->recovers) {
        if (!tdw__promise_note(promises, key, value))
            no_memory();
        return;
    }
    if (tdw__promise_kept(promises, key, value, "", text, sizeof text))
        return;
    tdw__finding(loop, tdw_self(), site, "%s", text);
    loop->stop = true;
}
