/* SPDX-License-Identifier: MIT */
/*
 * A histogram of durations with three significant digits, whatever their size.
 *
 * Buckets grow with the values (log-linear): below 2048 each value has its own; above, each power
 * of two is split into 1024 buckets of equal width, so a bucket is never wider than 1/1024 of its
 * value. Buckets are made a page of 1024 at a time, when a value first falls there: 8 KiB each, 54
 * at most.
 *
 * Invariant: `count` is the sum of all buckets. A quantile is the largest value of its bucket, but
 * never more than the largest value seen. Cost: two shifts and an increment a value. Called by
 * stat.c.
 */
#ifndef TDW_TRACES_HISTOGRAM_H
#define TDW_TRACES_HISTOGRAM_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

enum { TDW__PAGE_BUCKETS = 1024, TDW__PAGES = 55 };

struct tdw__histogram {
    uint64_t count, max;
    uint64_t *page[TDW__PAGES];
};

/* Page 0 and 1: values below 2048. Page n > 1: from 1024 << (n - 1) on. */
static inline unsigned tdw__histogram_page(uint64_t value)
{
    return value < TDW__PAGE_BUCKETS ? 0 : 54 - (unsigned)__builtin_clzll(value);
}

/* Add one value. 0 or -ENOMEM: the value is then not counted. */
static inline int tdw__histogram_add(struct tdw__histogram *h, uint64_t value)
{
    const unsigned page = tdw__histogram_page(value);
    const unsigned shift = page > 1 ? page - 1 : 0;

    if (!h->page[page]) {
        h->page[page] = calloc(TDW__PAGE_BUCKETS, sizeof *h->page[page]);
        if (!h->page[page])
            return -ENOMEM;
    }
    h->page[page][(value >> shift) % TDW__PAGE_BUCKETS]++;
    h->count++;
    if (value > h->max)
        h->max = value;
    return 0;
}

/* The value that `permille` of a thousand values do not exceed; 0 if there are none. */
static inline uint64_t tdw__histogram_at(const struct tdw__histogram *h, unsigned permille)
{
    const uint64_t whole = h->count / 1000 * permille;
    uint64_t rank = whole + (h->count % 1000 * permille + 999) / 1000;

    for (unsigned page = 0; page < TDW__PAGES; page++) {
        const unsigned shift = page > 1 ? page - 1 : 0;

        for (uint64_t i = 0; h->page[page] && i < TDW__PAGE_BUCKETS; i++) {
            const uint64_t bucket = page == 0 ? i : i + TDW__PAGE_BUCKETS;
            const uint64_t top = (bucket << shift) + ((1ull << shift) - 1);

            if (h->page[page][i] >= rank && h->count > 0)
                return top < h->max ? top : h->max;
            rank -= h->page[page][i];
        }
    }
    return h->max;
}

static inline void tdw__histogram_fini(struct tdw__histogram *h)
{
    for (unsigned page = 0; page < TDW__PAGES; page++)
        free(h->page[page]);
}

#endif
