/* SPDX-License-Identifier: MIT */
/*
 * A log is applied to a snapshot that contains it already.
 *
 *     log +1 +1 +1 +1 ─▶ snapshot 4 ── ✗ the power is cut ── the log is emptied
 *                              └── recovery: 4, and +1 +1 +1 +1: 8
 *
 * The snapshot is durable, and the log is not empty yet: both are right, and together they are
 * wrong, since an increment is not the same when it is done twice. The fix numbers the records, and
 * the snapshot says which is the last one that it contains.
 *
 * Seen: RayforceDB's journal (github.com/RayforceDB/rayforce/issues/420); the log sequence numbers
 * of pages in ARIES are there for this (Mohan et al., ACM TODS 17(1), 1992).
 *
 * Found as:  key 0: after a power cut of db .* it is [0-9]+, which nobody ever wrote
 * Faults:    --plan power-cut --crash every
 * Optimum:   0 deviations, 1 fault: the power is cut before the log is emptied
 */
#include "corpus.h"

enum { SNAPSHOT_KNOWS_NO_RECORD = BUGGY };
enum { RECORDS = 12, SNAPSHOT_EVERY = 4 };

/* A record adds to the total; the snapshot is the total, and the last record that is in it. */
struct record {
    uint64_t number, more;
};
struct snapshot {
    uint64_t total, number;
};

static int journal, dir; /* descriptors: of the log, and of its directory */

static uint64_t place_of(const struct record *record)
{
    return (record->number - 1) % SNAPSHOT_EVERY * sizeof *record;
}

/* The next record. As each adds one, the total is its number. */
static void attempt(struct record *record)
{
    record->number++;
    record->more = 1;
    tdw_attempted(0, record->number);
}

static struct snapshot snapshot_of(const struct record *last)
{
    return (struct snapshot){last->number, SNAPSHOT_KNOWS_NO_RECORD ? 0 : last->number};
}

/* ── The writer ────────────────────────────────────────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    struct record record;
    struct snapshot snapshot;
    int fd;
};

static void next_record(struct tdw_op *op);
static void dir_synced(struct tdw_op *op)
{
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

static void snapshot_written(struct tdw_op *op)
{
    TDW_ON(op, snapshot_synced, fsync, ((struct writer *)op)->fd);
}

static void opened(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    w->fd = op->res;
    w->snapshot = snapshot_of(&w->record);
    TDW_ON(op, snapshot_written, pwrite, w->fd, &w->snapshot, sizeof w->snapshot, 0);
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    tdw_acked(0, w->record.number);
    if (w->record.number % SNAPSHOT_EVERY == 0)
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

    if (w->record.number == RECORDS) {
        TDW_ON(op, log_closed, close, journal);
        return;
    }
    attempt(&w->record);
    TDW_ON(op, written, pwrite, journal, &w->record, sizeof w->record, place_of(&w->record));
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
    struct record record;
    struct snapshot snapshot;
    int fd, unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->record.number < RECORDS) {
        attempt(&me->record);
        TDW_AWAIT(me->unused, pwrite, journal, &me->record, sizeof me->record,
                  place_of(&me->record));
        TDW_AWAIT(me->unused, fdatasync, journal);
        tdw_acked(0, me->record.number);
        if (me->record.number % SNAPSHOT_EVERY != 0)
            continue;
        me->snapshot = snapshot_of(&me->record);
        TDW_AWAIT(me->fd, open, "snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        TDW_AWAIT(me->unused, pwrite, me->fd, &me->snapshot, sizeof me->snapshot, 0);
        TDW_AWAIT(me->unused, fsync, me->fd);
        TDW_AWAIT(me->unused, close, me->fd);
        TDW_AWAIT(me->unused, rename, "snapshot.tmp", "snapshot");
        TDW_AWAIT(me->unused, fsync, dir);
        TDW_AWAIT(me->unused, ftruncate, journal, 0);
    }
    TDW_AWAIT(me->unused, close, journal);
    TDW_AWAIT(me->unused, close, dir);
    TDW_RETURN(0);
    TDW_END;
}

static void take_snapshot(const struct record *last)
{
    const struct snapshot snapshot = snapshot_of(last);
    const int fd = tdw_open("snapshot.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    tdw_pwrite(fd, &snapshot, sizeof snapshot, 0);
    tdw_fsync(fd);
    tdw_close(fd);
    tdw_rename("snapshot.tmp", "snapshot");
    tdw_fsync(dir);
    tdw_ftruncate(journal, 0);
}

static void writer_stackful(void *unused)
{
    struct record record = {0, 0};

    (void)unused;
    while (record.number < RECORDS) {
        attempt(&record);
        tdw_pwrite(journal, &record, sizeof record, place_of(&record));
        tdw_fdatasync(journal);
        tdw_acked(0, record.number);
        if (record.number % SNAPSHOT_EVERY == 0)
            take_snapshot(&record);
    }
    tdw_close(journal);
    tdw_close(dir);
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

/* The total in the snapshot, and the records behind it. */
static void recover(void *unused)
{
    struct snapshot snapshot = {0, 0};
    struct record record[SNAPSHOT_EVERY] = {{0, 0}};
    uint64_t total;

    (void)unused;
    load("snapshot", &snapshot, sizeof snapshot);
    load("log", record, sizeof record);
    total = snapshot.total;
    for (int i = 0; i < SNAPSHOT_EVERY; i++)
        if (record[i].number > snapshot.number)
            total += record[i].more;
    tdw_found(0, total);
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

CORPUS(applied_twice, start, "an increment is done once");
