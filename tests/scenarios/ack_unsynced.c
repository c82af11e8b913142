/* SPDX-License-Identifier: MIT */
/*
 * A record is acknowledged before it is on the disk.
 *
 *     append ── (too early: done) ── fdatasync ── done
 *
 * A write that has succeeded is in the page cache. The writer answers then, and syncs afterwards; a
 * power cut in between takes back what was promised.
 *
 * Seen: Elasticsearch before 2.0 synced its log every five seconds, and answered at once
 * (aphyr.com/posts/323-call-me-maybe-elasticsearch-1-5-0).
 *
 * Found as:  key 0: [0-9]+ was acknowledged at .*; after a power cut of db .* it is
 * Faults:    --plan power-cut --crash every
 * Optimum:   0 deviations, 1 fault: the power is cut before the sync
 */
#include "corpus.h"

enum { ANSWERS_BEFORE_SYNC = BUGGY };
enum { RECORDS = 8 };

static int journal; /* its descriptor */

/* ── The writer: record n is the number n ──────────────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    uint64_t n;
};

static void synced(struct tdw_op *op);
static void written(struct tdw_op *op)
{
    if (ANSWERS_BEFORE_SYNC)
        tdw_acked(0, ((struct writer *)op)->n);
    TDW_ON(op, synced, fdatasync, journal);
}

static void next_record(struct writer *w)
{
    if (w->n == RECORDS) {
        TDW_ON(&w->op, gone, close, journal);
        return;
    }
    tdw_attempted(0, ++w->n);
    TDW_ON(&w->op, written, pwrite, journal, &w->n, sizeof w->n, (w->n - 1) * sizeof w->n);
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (!ANSWERS_BEFORE_SYNC)
        tdw_acked(0, w->n);
    next_record(w);
}

static void writer_callback(void *unused)
{
    struct writer *w = tdw_malloc(sizeof *w);

    (void)unused;
    next_record(w);
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    uint64_t n;
    int unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->n < RECORDS) {
        tdw_attempted(0, ++me->n);
        TDW_AWAIT(me->unused, pwrite, journal, &me->n, sizeof me->n, (me->n - 1) * sizeof me->n);
        if (ANSWERS_BEFORE_SYNC)
            tdw_acked(0, me->n);
        TDW_AWAIT(me->unused, fdatasync, journal);
        if (!ANSWERS_BEFORE_SYNC)
            tdw_acked(0, me->n);
    }
    TDW_AWAIT(me->unused, close, journal);
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    (void)unused;
    for (uint64_t n = 1; n <= RECORDS; n++) {
        tdw_attempted(0, n);
        tdw_pwrite(journal, &n, sizeof n, (n - 1) * sizeof n);
        if (ANSWERS_BEFORE_SYNC)
            tdw_acked(0, n);
        tdw_fdatasync(journal);
        if (!ANSWERS_BEFORE_SYNC)
            tdw_acked(0, n);
    }
    tdw_close(journal);
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

static void recover(void *unused)
{
    uint64_t record[RECORDS] = {0}, n = 0;

    (void)unused;
    load("log", record, sizeof record);
    while (n < RECORDS && record[n] == n + 1)
        n++;
    tdw_found(0, n);
}

static void begin(void *unused)
{
    journal = durable_file("log");
    writer_spawn("writer", unused);
}

static void start(void)
{
    boot_disk(begin, recover);
}

CORPUS(ack_unsynced, start, "what was acknowledged survives a power cut");
