/* SPDX-License-Identifier: MIT */
/*
 * A chain that a short read has broken.
 *
 *     copier: for each block   read ─ linked ─▶ write
 *
 * A linked write starts when the read in front of it has been done in full. A read that gave a part
 * has not failed (its result is positive), but it breaks the chain all the same, and the write ends
 * -ECANCELED. The copier looks at the read's result, finds bytes, and goes on to the next block:
 * the copy has a hole. Whoever links has to look at the last member of the chain.
 *
 * Seen: the rule came with the flag (Linux 9e645e1105ca, "io_uring: add support for sqe links");
 * io_uring_enter(2), "IOSQE_IO_LINK".
 *
 * Found as:  check failed: .*: block [0-9]+ is not in the copy
 * Optimum:   0 deviations, 1 fault: a read gives a part
 */
#include "corpus.h"

enum { LOOKS_AT_READS_ONLY = BUGGY };
enum { BLOCK = 512, BLOCKS = 6 };

static int from, to;

/* Is the block to be copied once more? */
static bool again(int read, int wrote)
{
    return LOOKS_AT_READS_ONLY ? read <= 0 : wrote == -ECANCELED;
}

/* ── The copier ────────────────────────────────────────────────────────────────────────────── */

static struct copier {
    struct tdw_op read, write;
    unsigned block;
    char bytes[BLOCK];
} copier;

static void ended(struct tdw_op *op);
static void copy_block(void)
{
    const uint64_t at = (uint64_t)copier.block * BLOCK;

    TDW_ON_LINKED(&copier.read, ended, pread, from, copier.bytes, BLOCK, at);
    TDW_ON(&copier.write, ended, pwrite, to, copier.bytes, BLOCK, at);
}

static void ended(struct tdw_op *op)
{
    (void)op;
    if (!tdw_op_idle(&copier.read) || !tdw_op_idle(&copier.write))
        return;
    copier.block += !again(copier.read.res, copier.write.res);
    if (copier.block < BLOCKS)
        copy_block();
}

static void copier_callback(void *unused)
{
    (void)unused;
    copy_block();
}

struct copier_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op read, write;
    struct tdw_op *both[2];
    unsigned block;
    char bytes[BLOCK];
};
TDW_CO(copier_stackless)
{
    TDW_BEGIN(struct copier_frame, me);
    me->both[0] = &me->read;
    me->both[1] = &me->write;
    while (me->block < BLOCKS) {
        TDW_GO_LINKED(&me->read, pread, from, me->bytes, BLOCK, (uint64_t)me->block * BLOCK);
        TDW_GO(&me->write, pwrite, to, me->bytes, BLOCK, (uint64_t)me->block * BLOCK);
        TDW_AWAIT_ALL(me->both, 2);
        me->block += !again(me->read.res, me->write.res);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void copier_stackful(void *unused)
{
    struct tdw_op read = {.res = 0}, write = {.res = 0};
    char bytes[BLOCK];

    (void)unused;
    for (unsigned block = 0; block < BLOCKS; block += !again(read.res, write.res)) {
        TDW_GO_LINKED(&read, pread, from, bytes, BLOCK, (uint64_t)block * BLOCK);
        TDW_GO(&write, pwrite, to, bytes, BLOCK, (uint64_t)block * BLOCK);
        tdw_await_all((struct tdw_op *const[]){&read, &write}, 2);
    }
}
SUBJECT(copier);

/* ── The files ─────────────────────────────────────────────────────────────────────────────── */

static void owner(void *unused)
{
    char block[BLOCK], copy[BLOCK];

    (void)unused;
    from = tdw_open("from", O_RDWR | O_CREAT, 0644);
    to = tdw_open("to", O_RDWR | O_CREAT, 0644);
    for (unsigned i = 0; i < BLOCKS; i++) {
        memset(block, 'a' + (int)i, BLOCK);
        tdw_pwrite(from, block, BLOCK, (uint64_t)i * BLOCK);
    }
    tdw_join(copier_spawn("copier", NULL));
    for (unsigned i = 0; i < BLOCKS; i++) {
        memset(block, 'a' + (int)i, BLOCK);
        memset(copy, 0, BLOCK);
        /* In a readv, which the plan does not shorten. */
        tdw_preadv(to, &(struct iovec){copy, BLOCK}, 1, (uint64_t)i * BLOCK);
        tdw_check(memcmp(block, copy, BLOCK) == 0, "block %u is not in the copy", i);
    }
}

static void start(void)
{
    memset(&copier, 0, sizeof copier);
    tdw_spawn_stackful("owner", owner, NULL);
}

CORPUS(broken_chain, start, "a copy is whole");
