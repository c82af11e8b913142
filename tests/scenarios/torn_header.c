/* SPDX-License-Identifier: MIT */
/*
 * A header of two sectors is rewritten in place, and trusted.
 *
 *     sector 0: count, segment 0 … 61        new ─┐
 *     sector 1: segment 62 … 124             old ─┴─▶ count says 63, segment 62 is not there
 *
 * A disk writes whole sectors, and no more than that: a power cut in the middle of a write leaves
 * some sectors new and some old. The fix has two headers with a checksum each, writes them in turn,
 * and recovery takes the newer one that is whole.
 *
 * Seen: pages that are torn like this are why PostgreSQL has full_page_writes and InnoDB a
 * doublewrite buffer; Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, lists
 * programs that rely on atomic overwrites.
 *
 * Found as:  after a power cut of db .*check failed: .*: segment [0-9]+ of [0-9]+ is 0
 * Faults:    --plan power-cut --crash every
 * Optimum:   2 deviations, 1 fault: the power is cut before a sync, the write is torn, and its
 *            first sector survives
 */
#include "corpus.h"

enum { REWRITES_IN_PLACE = BUGGY };
enum { SEGMENTS_MAX = 125, FIRST = 60, LAST = 70 };

struct header {
    uint64_t count, segment[SEGMENTS_MAX];
    uint64_t generation, sum; /* of what stands before it */
};
_Static_assert(sizeof(struct header) == 1024, "two sectors");

static struct header header; /* as it is in memory */
static int file;

static uint64_t header_sum(const struct header *of)
{
    return sum_of(of, offsetof(struct header, sum));
}

/* The table grows by a segment; returns the place of the header that says so. */
static uint64_t add_segment(void)
{
    header.segment[header.count] = 1000 + header.count;
    header.count++;
    header.generation++;
    header.sum = header_sum(&header);
    tdw_attempted(0, header.count);
    return REWRITES_IN_PLACE ? 0 : header.generation % 2 * sizeof header;
}

/* ── The writer ────────────────────────────────────────────────────────────────────────────── */

static void synced(struct tdw_op *op);
static void written(struct tdw_op *op)
{
    TDW_ON(op, synced, fdatasync, file);
}

static void next_segment(struct tdw_op *op)
{
    if (header.count == LAST)
        TDW_ON(op, gone, close, file);
    else
        TDW_ON(op, written, pwrite, file, &header, sizeof header, add_segment());
}

static void synced(struct tdw_op *op)
{
    tdw_acked(0, header.count);
    next_segment(op);
}

static void writer_callback(void *unused)
{
    (void)unused;
    next_segment(tdw_malloc(sizeof(struct tdw_op)));
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    int unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (header.count < LAST) {
        TDW_AWAIT(me->unused, pwrite, file, &header, sizeof header, add_segment());
        TDW_AWAIT(me->unused, fdatasync, file);
        tdw_acked(0, header.count);
    }
    TDW_AWAIT(me->unused, close, file);
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    (void)unused;
    while (header.count < LAST) {
        tdw_pwrite(file, &header, sizeof header, add_segment());
        tdw_fdatasync(file);
        tdw_acked(0, header.count);
    }
    tdw_close(file);
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

/* Which of the two headers on the disk is the one to believe? NULL: neither. */
static const struct header *believed(const struct header on_disk[2])
{
    const struct header *best = NULL;

    if (REWRITES_IN_PLACE)
        return &on_disk[0];
    for (int i = 0; i < 2; i++)
        if (on_disk[i].sum == header_sum(&on_disk[i]) &&
            (!best || on_disk[i].generation > best->generation))
            best = &on_disk[i];
    return best;
}

static void recover(void *unused)
{
    struct header on_disk[2] = {{.count = 0}};
    const struct header *found;

    (void)unused;
    load("table", on_disk, sizeof on_disk);
    found = believed(on_disk);
    for (uint64_t i = 0; found && i < found->count; i++)
        tdw_check(found->segment[i] == 1000 + i, "segment %llu of %llu is %llu",
                  (unsigned long long)i, (unsigned long long)found->count,
                  (unsigned long long)found->segment[i]);
    tdw_found(0, found ? found->count : 0);
}

/* A table of FIRST segments, durable. */
static void begin(void *unused)
{
    file = durable_file("table");
    while (header.count < FIRST)
        add_segment();
    tdw_pwrite(file, &header, sizeof header, 0);
    tdw_fsync(file);
    tdw_acked(0, FIRST);
    writer_spawn("writer", unused);
}

static void start(void)
{
    memset(&header, 0, sizeof header);
    boot_disk(begin, recover);
}

CORPUS(torn_header, start, "a header is the old one or the new one");
