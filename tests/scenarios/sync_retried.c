/* SPDX-License-Identifier: MIT */
/*
 * A sync fails, is tried again, and the second answer is believed.
 *
 *     write ── fsync: EIO, the page is dropped ── fsync: 0, there was nothing to do ── done
 *
 * When the kernel cannot write a page back it says so once, and calls the page clean. The next
 * fsync has nothing to write and succeeds; what was written is in the cache, and nowhere else. The
 * fix writes once more what it still has in memory, and syncs that.
 *
 * Seen: PostgreSQL until 11.2 (lwn.net/Articles/752063); Rebello et al., "Can Applications Recover
 * from fsync Failures?", USENIX ATC 2020.
 *
 * Found as:  key 0: [0-9]+ was acknowledged at .*; after a power cut of db .* it is
 * Faults:    --crash every
 * Optimum:   0 deviations, 2 faults: a sync fails, and the power is cut after the next one
 */
#include "corpus.h"

enum { SYNCS_ONCE_MORE = BUGGY };
enum { RECORDS = 8 };

static int journal; /* its descriptor */

/* ── The writer: record n is the number n ──────────────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    uint64_t n;
};

static void synced(struct tdw_op *op);
static void sync_record(struct tdw_op *op)
{
    TDW_ON(op, synced, fdatasync, journal);
}

static void write_record(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    TDW_ON(op, sync_record, pwrite, journal, &w->n, sizeof w->n, (w->n - 1) * sizeof w->n);
}

static void next_record(struct writer *w)
{
    if (w->n == RECORDS) {
        TDW_ON(&w->op, gone, close, journal);
        return;
    }
    tdw_attempted(0, ++w->n);
    write_record(&w->op);
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (op->res == 0) {
        tdw_acked(0, w->n);
        next_record(w);
    } else if (SYNCS_ONCE_MORE) {
        sync_record(op);
    } else {
        write_record(op);
    }
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
    int error, unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->n < RECORDS) {
        tdw_attempted(0, ++me->n);
        me->error = 0;
        do {
            if (me->error == 0 || !SYNCS_ONCE_MORE)
                TDW_AWAIT(me->unused, pwrite, journal, &me->n, sizeof me->n,
                          (me->n - 1) * sizeof me->n);
            TDW_AWAIT(me->error, fdatasync, journal);
        } while (me->error < 0);
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
        int error = 0;

        tdw_attempted(0, n);
        do {
            if (error == 0 || !SYNCS_ONCE_MORE)
                tdw_pwrite(journal, &n, sizeof n, (n - 1) * sizeof n);
            error = tdw_fdatasync(journal);
        } while (error < 0);
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

CORPUS(sync_retried, start, "what was acknowledged survives a power cut");
