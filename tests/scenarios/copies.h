/* SPDX-License-Identifier: MIT */
/*
 * Two copies of each of a few blocks, in two files, one written and synced after the other;
 * recovery takes the newest copy that is good. For lost_write.c and misdirected.c, which say by
 * TELLS_NO_VERSION and NAMES_NO_BLOCK what a block does not say of itself.
 */
#ifndef COPIES_H
#define COPIES_H

#include "corpus.h"

enum { BLOCKS = 3, WRITES = 8 };

struct block {
    uint64_t sum; /* of the rest */
    uint64_t number, version, value;
    uint8_t fill[4096 - 32];
};

static int copies[2]; /* descriptors */
static struct block block;

static uint64_t block_sum(const struct block *of)
{
    return sum_of(&of->number, sizeof *of - offsetof(struct block, number));
}

/* What stands in a block as its number. */
static uint64_t name_of(uint64_t number)
{
    return NAMES_NO_BLOCK ? 0 : number;
}

/* Write n goes to block n % BLOCKS; returns where that is. */
static uint64_t make_block(uint64_t n)
{
    block = (struct block){
        .number = name_of(n % BLOCKS), .version = TELLS_NO_VERSION ? 0 : n, .value = n};
    block.sum = block_sum(&block);
    tdw_attempted(n % BLOCKS, n);
    return n % BLOCKS * sizeof block;
}

/* ── The writer: one copy, durable, then the other ─────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    uint64_t n, at;
    int copy;
};

static void synced(struct tdw_op *op);
static void written(struct tdw_op *op)
{
    TDW_ON(op, synced, fdatasync, copies[((struct writer *)op)->copy]);
}

static void write_copy(struct writer *w, int copy)
{
    w->copy = copy;
    TDW_ON(&w->op, written, pwrite, copies[copy], &block, sizeof block, w->at);
}

static void next_write(struct writer *w)
{
    if (w->n == WRITES) {
        gone(&w->op);
        return;
    }
    w->at = make_block(++w->n);
    write_copy(w, 0);
}

static void synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (w->copy == 0) {
        write_copy(w, 1);
        return;
    }
    tdw_acked(w->n % BLOCKS, w->n);
    next_write(w);
}

static void writer_callback(void *unused)
{
    (void)unused;
    next_write(tdw_malloc(sizeof(struct writer)));
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    uint64_t n, at;
    int copy, unused;
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    while (me->n < WRITES) {
        me->at = make_block(++me->n);
        for (me->copy = 0; me->copy < 2; me->copy++) {
            TDW_AWAIT(me->unused, pwrite, copies[me->copy], &block, sizeof block, me->at);
            TDW_AWAIT(me->unused, fdatasync, copies[me->copy]);
        }
        tdw_acked(me->n % BLOCKS, me->n);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    (void)unused;
    for (uint64_t n = 1; n <= WRITES; n++) {
        const uint64_t at = make_block(n);

        for (int copy = 0; copy < 2; copy++) {
            tdw_pwrite(copies[copy], &block, sizeof block, at);
            tdw_fdatasync(copies[copy]);
        }
        tdw_acked(n % BLOCKS, n);
    }
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

static bool is_good(const struct block *read, uint64_t number)
{
    return read->sum == block_sum(read) && read->number == name_of(number);
}

/* Of each block the newest copy that is good; of two that are equally new the first. */
static void recover(void *unused)
{
    struct block read[2][BLOCKS];

    (void)unused;
    memset(read, 0, sizeof read);
    load("a", read[0], sizeof read[0]);
    load("b", read[1], sizeof read[1]);
    for (uint64_t number = 0; number < BLOCKS; number++) {
        const struct block *best = NULL;

        for (int copy = 0; copy < 2; copy++) {
            const struct block *one = &read[copy][number];

            if (is_good(one, number) && (!best || one->version > best->version))
                best = one;
        }
        tdw_found(number, best ? best->value : 0);
    }
}

static void begin(void *unused)
{
    copies[0] = durable_file("a");
    copies[1] = durable_file("b");
    tdw_join(writer_spawn("writer", unused));
    tdw_close(copies[0]);
    tdw_close(copies[1]);
}

static void start(void)
{
    boot_disk(begin, recover);
}

#endif
