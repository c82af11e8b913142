/* SPDX-License-Identifier: MIT */
/*
 * A log is emptied before the snapshot that replaces it is on the disk.
 *
 *     log 1 2 3 4 ─▶ snapshot.tmp: write (too early: empty the log), fsync ── rename to snapshot
 *                                  ── fsync of the directory ── empty the log
 *
 * As soon as the snapshot is written the log seems to be of no use. Until the snapshot is durable
 * under its name it is all that a power cut leaves.
 *
 * Seen: ArcadeDB dropped a log when its pages were written, not when they were synced
 * (github.com/ArcadeData/arcadedb/issues/4509).
 *
 * Found as:  key 0: [0-9]+ was acknowledged at .*; after a power cut of db .* it is
 * Faults:    --plan power-cut --crash every
 * Optimum:   1 deviation, 1 fault: the power is cut behind the truncation, and all that was done
 *            survives
 */
#include "corpus.h"

enum { CUTS_FIRST = BUGGY };
enum { RECORDS = 12, SNAPSHOT_EVERY = 4 };

static int journal, dir; /* descriptors: of the log, and of its directory */

/* ── The writer: record n is the number n, a snapshot the last one ─────────────────────────── */

struct writer {
    struct tdw_op op;
    uint64_t n;
    int fd;
};

static uint64_t place_of(uint64_t n)
{
    return (n - 1) % SNAPSHOT_EVERY * sizeof n;
}

static void next_record(struct tdw_op *op);
static void dir_synced(struct tdw_op *op)
{
    if (CUTS_FIRST)
        next_record(op);
    else
        TDW_ON(op, next_record, ftruncate, journal, 0);
}

static void renamed(struct tdw_op *op)
{
    TDW_ON(op, dir_synced, fsync, dir);
}

static void closed(struct tdw_op *op)
{
    TDW_ON(op, renamed, rename, "snapshot.tmp", "snapshot");
}

static void snapshot_synced(struct tdw_op *op)
{
    TDW_ON(op, closed, close, ((struct writer *)op)->fd);
}

static void sync_snapshot(struct tdw_op *op)
{
    TDW_ON(op, snapshot_synced, fsync, ((struct writer *)op)->fd);
}

static void snapshot_written(struct tdw_op *op)
{
    if (CUTS_FIRST)
        TDW_ON(op, sync_snapshot, ftruncate, journal, 0);
    else
        sync_snapshot(op);
}

static void opened(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    w->fd = op->res;
    TDW_ON(op, snapshot_written, pwrite, w->fd, &w->n, sizeof w->n, 0);
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    tdw_acked(0, w->n);
    if (w->n % SNAPSHOT_EVERY == 0)
        TDW_ON(op, opened, open, "snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    else
        next_record(op);
}

static void written(struct tdw_op *op)
{
    TDW_ON(op, synced, fdatasync, journal);
}

static void log_closed(struct tdw_op *op)
{
    TDW_ON(op, gone, close, dir);
}

static void next_record(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (w->n == RECORDS) {
        TDW_ON(op, log_closed, close, journal);
        return;
    }
    tdw_attempted(0, ++w->n);
    TDW_ON(op, written, pwrite, journal, &w->n, sizeof w->n, place_of(w->n));
}

static void writer_callback(void *unused)
{
    struct writer *w = tdw_malloc(sizeof *w);

    (void)unused;
    next_record(&w->op);
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    uint64_t n;
    int fd, unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->n < RECORDS) {
        tdw_attempted(0, ++me->n);
        TDW_AWAIT(me->unused, pwrite, journal, &me->n, sizeof me->n, place_of(me->n));
        TDW_AWAIT(me->unused, fdatasync, journal);
        tdw_acked(0, me->n);
        if (me->n % SNAPSHOT_EVERY != 0)
            continue;
        TDW_AWAIT(me->fd, open, "snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        TDW_AWAIT(me->unused, pwrite, me->fd, &me->n, sizeof me->n, 0);
        if (CUTS_FIRST)
            TDW_AWAIT(me->unused, ftruncate, journal, 0);
        TDW_AWAIT(me->unused, fsync, me->fd);
        TDW_AWAIT(me->unused, close, me->fd);
        TDW_AWAIT(me->unused, rename, "snapshot.tmp", "snapshot");
        TDW_AWAIT(me->unused, fsync, dir);
        if (!CUTS_FIRST)
            TDW_AWAIT(me->unused, ftruncate, journal, 0);
    }
    TDW_AWAIT(me->unused, close, journal);
    TDW_AWAIT(me->unused, close, dir);
    TDW_RETURN(0);
    TDW_END;
}

static void snapshot(uint64_t n)
{
    const int fd = tdw_open("snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    tdw_pwrite(fd, &n, sizeof n, 0);
    if (CUTS_FIRST)
        tdw_ftruncate(journal, 0);
    tdw_fsync(fd);
    tdw_close(fd);
    tdw_rename("snapshot.tmp", "snapshot");
    tdw_fsync(dir);
    if (!CUTS_FIRST)
        tdw_ftruncate(journal, 0);
}

static void writer_stackful(void *unused)
{
    (void)unused;
    for (uint64_t n = 1; n <= RECORDS; n++) {
        tdw_attempted(0, n);
        tdw_pwrite(journal, &n, sizeof n, place_of(n));
        tdw_fdatasync(journal);
        tdw_acked(0, n);
        if (n % SNAPSHOT_EVERY == 0)
            snapshot(n);
    }
    tdw_close(journal);
    tdw_close(dir);
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

/* The largest number, in the snapshot or in the log, which may have older ones still. */
static void recover(void *unused)
{
    uint64_t n = 0, record[SNAPSHOT_EVERY] = {0};

    (void)unused;
    load("snapshot", &n, sizeof n);
    load("log", record, sizeof record);
    for (int i = 0; i < SNAPSHOT_EVERY; i++)
        n = record[i] > n ? record[i] : n;
    tdw_found(0, n);
}

static void begin(void *unused)
{
    journal = durable_file("log");
    dir = directory();
    writer_spawn("writer", unused);
}

static void start(void)
{
    boot_disk(begin, recover);
}

CORPUS(log_cut_early, start, "what was acknowledged survives a power cut");
