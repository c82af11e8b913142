/* SPDX-License-Identifier: MIT */
/*
 * A file that is replaced by a rename, over and over: version n holds the number n. For
 * empty_rename.c and lost_rename.c, which say by FORGETS_CONTENT and FORGETS_DIRECTORY what is not
 * synced.
 */
#ifndef REPLACE_H
#define REPLACE_H

#include "corpus.h"

enum { VERSIONS = 6 };

static int dir; /* a descriptor of the directory */

/* ── The writer: version n of the file is the number n ─────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    uint64_t n;
    int fd;
};

static void next_version(struct writer *w);
static void dir_synced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    tdw_acked(0, w->n);
    next_version(w);
}

static void renamed(struct tdw_op *op)
{
    if (FORGETS_DIRECTORY)
        dir_synced(op);
    else
        TDW_ON(op, dir_synced, fsync, dir);
}

static void closed(struct tdw_op *op)
{
    TDW_ON(op, renamed, rename, "config.tmp", "config");
}

static void synced(struct tdw_op *op)
{
    TDW_ON(op, closed, close, ((struct writer *)op)->fd);
}

static void written(struct tdw_op *op)
{
    if (FORGETS_CONTENT)
        synced(op);
    else
        TDW_ON(op, synced, fsync, ((struct writer *)op)->fd);
}

static void opened(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    w->fd = op->res;
    TDW_ON(op, written, pwrite, w->fd, &w->n, sizeof w->n, 0);
}

static void next_version(struct writer *w)
{
    if (w->n == VERSIONS) {
        TDW_ON(&w->op, gone, close, dir);
        return;
    }
    tdw_attempted(0, ++w->n);
    TDW_ON(&w->op, opened, open, "config.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
}

static void writer_callback(void *unused)
{
    struct writer *w = tdw_malloc(sizeof *w);

    (void)unused;
    next_version(w);
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
    while (me->n < VERSIONS) {
        tdw_attempted(0, ++me->n);
        TDW_AWAIT(me->fd, open, "config.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        TDW_AWAIT(me->unused, pwrite, me->fd, &me->n, sizeof me->n, 0);
        if (!FORGETS_CONTENT)
            TDW_AWAIT(me->unused, fsync, me->fd);
        TDW_AWAIT(me->unused, close, me->fd);
        TDW_AWAIT(me->unused, rename, "config.tmp", "config");
        if (!FORGETS_DIRECTORY)
            TDW_AWAIT(me->unused, fsync, dir);
        tdw_acked(0, me->n);
    }
    TDW_AWAIT(me->unused, close, dir);
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    (void)unused;
    for (uint64_t n = 1; n <= VERSIONS; n++) {
        int fd;

        tdw_attempted(0, n);
        fd = tdw_open("config.tmp", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        tdw_pwrite(fd, &n, sizeof n, 0);
        if (!FORGETS_CONTENT)
            tdw_fsync(fd);
        tdw_close(fd);
        tdw_rename("config.tmp", "config");
        if (!FORGETS_DIRECTORY)
            tdw_fsync(dir);
        tdw_acked(0, n);
    }
    tdw_close(dir);
}
SUBJECT(writer);

/* ── The host ──────────────────────────────────────────────────────────────────────────────── */

static void recover(void *unused)
{
    uint64_t n = 0;
    const int bytes = load("config", &n, sizeof n);

    (void)unused;
    tdw_check(bytes < 0 || n > 0, "the configuration has %d bytes and is 0", bytes);
    tdw_found(0, n);
}

static void begin(void *unused)
{
    dir = directory();
    writer_spawn("writer", unused);
}

static void start(void)
{
    boot_disk(begin, recover);
}

#endif
