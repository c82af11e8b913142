/* SPDX-License-Identifier: MIT */
/*
 * A short read, taken for the end of the file.
 *
 *     file of BYTES ──▶ loader, CHUNK bytes at a time
 *
 * read(2) may give less than was asked for, and says with 0 that the file has ended. The loader
 * stops at the first read that does not fill its buffer.
 *
 * Seen: QEMU reads the rest of what io_uring gave in part (luring_resubmit_short_read() in
 * block/io_uring.c), since guests saw the difference; read(2), "RETURN VALUE".
 *
 * Found as:  check failed: .*: [0-9]+ bytes of 2500 were loaded
 * Optimum:   0 deviations, 1 fault: one of the first two reads gives a part
 */
#include "corpus.h"

enum { TAKES_SHORT_FOR_END = BUGGY };
enum { BYTES = 2500, CHUNK = 1000 };

static char content[BYTES], loaded[BYTES + CHUNK];
static int file;

/* Has the file ended, after a read that answered `n`? */
static bool at_end(int n)
{
    return TAKES_SHORT_FOR_END ? n < CHUNK : n <= 0;
}

static void loaded_all(uint32_t bytes)
{
    tdw_check(bytes == BYTES && memcmp(loaded, content, BYTES) == 0, "%u bytes of %d were loaded",
              bytes, BYTES);
}

/* ── The loader ────────────────────────────────────────────────────────────────────────────── */

struct loader {
    struct tdw_op op;
    uint32_t bytes;
};

static void got(struct tdw_op *op)
{
    struct loader *l = (void *)op;

    l->bytes += op->res > 0 ? (uint32_t)op->res : 0;
    if (!at_end(op->res)) {
        TDW_ON(op, got, pread, file, loaded + l->bytes, CHUNK, l->bytes);
        return;
    }
    loaded_all(l->bytes);
    TDW_ON(op, gone, close, file);
}

static void loader_callback(void *unused)
{
    struct loader *l = tdw_malloc(sizeof *l);

    (void)unused;
    TDW_ON(&l->op, got, pread, file, loaded, CHUNK, 0);
}

struct loader_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
    uint32_t bytes;
};
TDW_CO(loader_stackless)
{
    TDW_BEGIN(struct loader_frame, me);
    do {
        TDW_AWAIT(me->n, pread, file, loaded + me->bytes, CHUNK, me->bytes);
        me->bytes += me->n > 0 ? (uint32_t)me->n : 0;
    } while (!at_end(me->n));
    loaded_all(me->bytes);
    TDW_AWAIT(me->n, close, file);
    TDW_RETURN(0);
    TDW_END;
}

static void loader_stackful(void *unused)
{
    uint32_t bytes = 0;
    int n;

    (void)unused;
    do {
        n = tdw_pread(file, loaded + bytes, CHUNK, bytes);
        bytes += n > 0 ? (uint32_t)n : 0;
    } while (!at_end(n));
    loaded_all(bytes);
    tdw_close(file);
}
SUBJECT(loader);

/* ── The file ──────────────────────────────────────────────────────────────────────────────── */

static void writer(void *unused)
{
    (void)unused;
    file = tdw_open("file", O_RDWR | O_CREAT, 0644);
    tdw_pwrite(file, content, BYTES, 0);
    loader_spawn("loader", NULL);
}

static void start(void)
{
    for (int i = 0; i < BYTES; i++)
        content[i] = (char)i;
    tdw_spawn_stackful("writer", writer, NULL);
}

CORPUS(short_read, start, "a file is loaded whole");
