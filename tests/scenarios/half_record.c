/* SPDX-License-Identifier: MIT */
/*
 * The disk fills up in the middle of a record, and the log goes on behind it.
 *
 *     log │ record │ record │ half │ record │ record      recovery: │ record │ record │ ✗
 *                            └ the disk is full; an old file is deleted; the append is repeated
 *
 * A write to a disk that is nearly full takes a part and says so. The writer makes room and writes
 * the whole record once more, at the end of the file, which is behind the half. Recovery stops at
 * the first record that is not whole, and those behind it are lost, though they were acknowledged.
 *
 * Seen: Redis cuts its append-only file back since 2.6 (github.com/redis/redis/pull/587).
 *
 * Found as:  check failed: .*: the log has [0-9]+ records, and 8 were acknowledged
 * Optimum:   1 deviation, 1 fault: a record that does not end with a page, and a small disk
 */
#include "corpus.h"

enum { APPENDS_BEHIND_HALF = BUGGY };
enum { RECORDS = 8, RECORD_MAX = 1500, OLD_BYTES = 12288 };

struct record {
    uint64_t sum; /* of the rest */
    uint32_t number, bytes;
    uint8_t content[RECORD_MAX - 16];
};

static int journal; /* its descriptor */
static struct record record;
static uint64_t log_bytes;

static void make_record(uint32_t number)
{
    static const uint32_t sizes[] = {1024, 1024, 512, RECORD_MAX};

    memset(&record, 0, sizeof record);
    record.number = number;
    record.bytes = sizes[tdw_choose("size", sizeof sizes / sizeof *sizes)];
    record.sum = sum_of(&record.number, record.bytes - offsetof(struct record, number));
}

/* A write that answered `n` is over: is the whole record in the log? */
static bool appended(int n)
{
    const bool whole = n == (int)record.bytes;

    if (n > 0 && (whole || APPENDS_BEHIND_HALF))
        log_bytes += (uint32_t)n;
    return whole;
}

/* ── The writer ────────────────────────────────────────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    uint32_t n;
};

static void written(struct tdw_op *op);
static void append(struct tdw_op *op)
{
    TDW_ON(op, written, pwrite, journal, &record, record.bytes, log_bytes);
}

static void synced(struct tdw_op *op);
static void written(struct tdw_op *op)
{
    if (appended(op->res))
        TDW_ON(op, synced, fdatasync, journal);
    else
        TDW_ON(op, append, unlink, "old");
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (w->n == RECORDS) {
        gone(op);
    } else {
        make_record(++w->n);
        append(op);
    }
}

static void writer_callback(void *unused)
{
    (void)unused;
    synced(tdw_malloc(sizeof(struct writer)));
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    uint32_t n;
    int result, unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->n < RECORDS) {
        make_record(++me->n);
        for (;;) {
            TDW_AWAIT(me->result, pwrite, journal, &record, record.bytes, log_bytes);
            if (appended(me->result))
                break;
            TDW_AWAIT(me->unused, unlink, "old");
        }
        TDW_AWAIT(me->unused, fdatasync, journal);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    (void)unused;
    for (uint32_t n = 1; n <= RECORDS; n++) {
        make_record(n);
        while (!appended(tdw_pwrite(journal, &record, record.bytes, log_bytes)))
            tdw_unlink("old");
        tdw_fdatasync(journal);
    }
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

/* How many records there are, up to the first that is not whole. */
static uint32_t whole_records(void)
{
    struct record found = {.sum = 0};
    uint64_t at = 0;
    uint32_t n = 0;

    while (tdw_pread(journal, &found, sizeof found, at) >= 16 && found.number == n + 1 &&
           found.bytes <= sizeof found &&
           found.sum == sum_of(&found.number, found.bytes - offsetof(struct record, number))) {
        at += found.bytes;
        n++;
    }
    return n;
}

/* The disk is full but for a page or two when the log is begun. */
static void begin(void *unused)
{
    static const uint8_t old[OLD_BYTES];
    const int fd = tdw_open("old", O_WRONLY | O_CREAT, 0644);
    uint32_t found;

    log_bytes = 0;
    tdw_pwrite(fd, old, sizeof old, 0);
    tdw_close(fd);
    journal = durable_file("log");
    tdw_join(writer_spawn("writer", unused));
    found = whole_records();
    tdw_check(found == RECORDS, "the log has %u records, and %d were acknowledged", found, RECORDS);
    tdw_close(journal);
}

static void host_main(void *unused)
{
    tdw_spawn_stackful("main", begin, unused);
}

static void start(void)
{
    tdw_host_boot(tdw_host("db", host_main, NULL));
}

CORPUS(half_record, start, "a log is readable to its end");
