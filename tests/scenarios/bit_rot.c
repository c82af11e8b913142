/* SPDX-License-Identifier: MIT */
/*
 * A bit on the disk has changed, and nobody looks.
 *
 *     read from a ─▶ a bit is wrong (missing: is the checksum right? else read from b) ─▶ answer
 *
 * There are two copies of each block, in two files. The second one is of use only to a reader who
 * notices that the first is not what was written; a read that succeeds says nothing about that.
 *
 * Seen: Bairavasundaram et al., "An Analysis of Data Corruption in the Storage Stack", FAST 2008,
 * counted 400,000 blocks with wrong checksums in 41 months.
 *
 * Found as:  check failed: .*: block [0-9]+ is not what was written
 * Optimum:   0 deviations, 1 fault: a bit of the first copy is wrong
 */
#include "corpus.h"

enum { LOOKS_AT_NO_SUM = BUGGY };
enum { BLOCKS = 4, READS = 12 };

struct block {
    uint64_t sum; /* of the rest */
    uint8_t content[512 - 8];
};

static int copies[2]; /* descriptors */

static struct block block_of(uint32_t number)
{
    struct block block;

    memset(block.content, (int)number, sizeof block.content);
    block.sum = sum_of(block.content, sizeof block.content);
    return block;
}

static bool is_good(const struct block *block)
{
    return LOOKS_AT_NO_SUM || block->sum == sum_of(block->content, sizeof block->content);
}

static void answer(const struct block *block, uint32_t number)
{
    const struct block written = block_of(number);

    tdw_check(memcmp(block, &written, sizeof written) == 0, "block %u is not what was written",
              number);
}

/* ── The reader: read i is of block i % BLOCKS ─────────────────────────────────────────────── */

struct reader {
    struct tdw_op op;
    uint32_t i;
    struct block block;
};

static void next_read(struct reader *r);
static void read_second(struct tdw_op *op)
{
    struct reader *r = (void *)op;

    answer(&r->block, r->i++ % BLOCKS);
    next_read(r);
}

static void read_first(struct tdw_op *op)
{
    struct reader *r = (void *)op;

    if (is_good(&r->block))
        read_second(op);
    else
        TDW_ON(op, read_second, pread, copies[1], &r->block, sizeof r->block,
               r->i % BLOCKS * sizeof r->block);
}

static void next_read(struct reader *r)
{
    if (r->i == READS)
        gone(&r->op);
    else
        TDW_ON(&r->op, read_first, pread, copies[0], &r->block, sizeof r->block,
               r->i % BLOCKS * sizeof r->block);
}

static void reader_callback(void *unused)
{
    (void)unused;
    next_read(tdw_malloc(sizeof(struct reader)));
}

struct reader_frame {
    struct tdw_frame frame;
    void *arg;
    uint32_t i;
    int unused;
    struct block block;
};
TDW_CO(reader_stackless)
{
    TDW_BEGIN(struct reader_frame, me);
    for (; me->i < READS; me->i++) {
        TDW_AWAIT(me->unused, pread, copies[0], &me->block, sizeof me->block,
                  me->i % BLOCKS * sizeof me->block);
        if (!is_good(&me->block))
            TDW_AWAIT(me->unused, pread, copies[1], &me->block, sizeof me->block,
                      me->i % BLOCKS * sizeof me->block);
        answer(&me->block, me->i % BLOCKS);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void reader_stackful(void *unused)
{
    struct block block;

    (void)unused;
    for (uint32_t i = 0; i < READS; i++) {
        const uint64_t at = i % BLOCKS * sizeof block;

        tdw_pread(copies[0], &block, sizeof block, at);
        if (!is_good(&block))
            tdw_pread(copies[1], &block, sizeof block, at);
        answer(&block, i % BLOCKS);
    }
}
SUBJECT(reader);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

static int written_file(const char *path)
{
    const int fd = tdw_open(path, O_RDWR | O_CREAT, 0644);

    for (uint32_t number = 0; number < BLOCKS; number++) {
        const struct block block = block_of(number);

        tdw_pwrite(fd, &block, sizeof block, number * sizeof block);
    }
    tdw_fsync(fd);
    return fd;
}

static void begin(void *unused)
{
    copies[0] = written_file("a");
    copies[1] = written_file("b");
    tdw_join(reader_spawn("reader", unused));
    tdw_close(copies[0]);
    tdw_close(copies[1]);
}

static void host_main(void *unused)
{
    tdw_spawn_stackful("main", begin, unused);
}

static void start(void)
{
    tdw_host_boot(tdw_host("db", host_main, NULL));
}

CORPUS(bit_rot, start, "a block is what was written");
