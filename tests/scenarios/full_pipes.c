/* SPDX-License-Identifier: MIT */
/*
 * Two full queues, and each end waits for the other.
 *
 *     parent ── pages ──▶ [ pipe, one page ] ──▶ filter
 *        ▲─────────────── [ pipe, one page ] ◀──── pages ──┘
 *
 * The parent writes all of its input to the filter, and then reads what has come out. That works
 * for as much as fits into the pipes and the filter; with more, the filter waits to write, and so
 * reads no more, and the parent waits to write, and so does not read. The fix reads while it
 * writes.
 *
 * Seen: Python's manual warns of it in subprocess (Popen.wait, PIPE;
 * github.com/python/cpython/issues/51426); pipe(7), "Pipe capacity".
 *
 * Found as:  deadlock: nothing can come; .*parent#0 waits for WRITE.*filter#0 waits for WRITE
 * Optimum:   1 deviation, 0 faults: an input of more than three pages
 */
#include "corpus.h"

enum { WRITES_FIRST = BUGGY };
enum { PAGE = 4096, PAGES_MAX = 8 };

static int in[2], out[2]; /* of the filter: to read from, to write to */
static unsigned pages;
static char page[PAGE];

/* ── What comes out ────────────────────────────────────────────────────────────────────────── */

static void drain(void *unused)
{
    char buffer[PAGE];
    unsigned got = 0;

    (void)unused;
    while (tdw_read(out[0], buffer, PAGE) == PAGE)
        got++;
    tdw_check(got == pages, "%u pages of %u came out", got, pages);
    tdw_close(out[0]);
}

/* ── The parent ────────────────────────────────────────────────────────────────────────────── */

struct parent {
    struct tdw_op op;
    unsigned i;
};

static void closed(struct tdw_op *op)
{
    if (WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
    gone(op);
}

static void wrote(struct tdw_op *op)
{
    if (++((struct parent *)op)->i < pages)
        TDW_ON(op, wrote, write, in[1], page, PAGE);
    else
        TDW_ON(op, closed, close, in[1]);
}

static void parent_callback(void *unused)
{
    struct parent *p = tdw_malloc(sizeof *p);

    (void)unused;
    if (!WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
    TDW_ON(&p->op, wrote, write, in[1], page, PAGE);
}

struct parent_frame {
    struct tdw_frame frame;
    void *arg;
    unsigned i;
    int n;
};
TDW_CO(parent_stackless)
{
    TDW_BEGIN(struct parent_frame, me);
    if (!WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
    for (; me->i < pages; me->i++)
        TDW_AWAIT(me->n, write, in[1], page, PAGE);
    TDW_AWAIT(me->n, close, in[1]);
    if (WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
    TDW_RETURN(0);
    TDW_END;
}

static void parent_stackful(void *unused)
{
    (void)unused;
    if (!WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
    for (unsigned i = 0; i < pages; i++)
        tdw_write(in[1], page, PAGE);
    tdw_close(in[1]);
    if (WRITES_FIRST)
        tdw_spawn_stackful("drain", drain, NULL);
}
SUBJECT(parent);

/* ── The filter ────────────────────────────────────────────────────────────────────────────── */

static void filter(void *unused)
{
    char buffer[PAGE];

    (void)unused;
    while (tdw_read(in[0], buffer, PAGE) == PAGE)
        tdw_write(out[1], buffer, PAGE);
    tdw_close(in[0]);
    tdw_close(out[1]);
}

static void start(void)
{
    pages = 1 + tdw_choose("pages", PAGES_MAX);
    tdw_sys_pipe2(in, 0);
    tdw_sys_pipe2(out, 0);
    tdw_sys_fcntl(in[1], F_SETPIPE_SZ, PAGE);
    tdw_sys_fcntl(out[1], F_SETPIPE_SZ, PAGE);
    parent_spawn("parent", NULL);
    tdw_spawn_stackful("filter", filter, NULL);
}

CORPUS(full_pipes, start, "what goes into a filter comes out");
