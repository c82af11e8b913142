/* SPDX-License-Identifier: MIT */
/*
 * The reader of the bench's file_read_uring on tidewheel's uring backend, in each model: as many
 * tasks as reads are in flight, each of which reads until none is left.
 *
 *     bench-read_tidewheel FILE DEPTH callback|stackless|stackful
 *
 * Each request has a loop of its own, opened before the time begins.
 */
#include "reads.h"
#include <string.h>
#include <tidewheel/loop.h>
#include <tidewheel/stackful.h>
#include <tidewheel/stackless.h>
#include <tidewheel/world.h>

static void (*reader_main)(void *);

static void check(int n)
{
    if (n != READ_BYTES)
        exit(1);
}

/* ── Callbacks ─────────────────────────────────────────────────────────────────────────────── */

static struct tdw_op ops[DEPTH_MAX];

static void submit(struct tdw_op *op);
static void got(struct tdw_op *op)
{
    check(op->res);
    if (reads.left > 0)
        submit(op);
    else
        reads_end();
}

static void submit(struct tdw_op *op)
{
    reads.left--;
    TDW_ON(op, got, pread, reads.fd, reads.buffers[op - ops], READ_BYTES, reads_offset());
}

static void callback_main(void *unused)
{
    (void)unused;
    reads_begin();
    for (uint32_t i = 0; i < reads.depth && reads.left > 0; i++)
        submit(&ops[i]);
}

/* ── Stackless ─────────────────────────────────────────────────────────────────────────────── */

struct reader {
    struct tdw_frame frame;
    char *to;
    int n;
};
TDW_CO(reader)
{
    TDW_BEGIN(struct reader, me);
    while (reads.left > 0) {
        reads.left--;
        TDW_AWAIT(me->n, pread, reads.fd, me->to, READ_BYTES, reads_offset());
        check(me->n);
    }
    reads_end();
    TDW_RETURN(0);
    TDW_END;
}

static void stackless_main(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < reads.depth; i++)
        TDW_SPAWN("reader", reader, struct reader, .to = reads.buffers[i]);
    reads_begin();
}

/* ── Stackful ──────────────────────────────────────────────────────────────────────────────── */

static void stackful_reader(void *to)
{
    while (reads.left > 0) {
        reads.left--;
        check(tdw_pread(reads.fd, to, READ_BYTES, reads_offset()));
    }
    reads_end();
}

static void stackful_main(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < reads.depth; i++)
        tdw_spawn_stackful("reader", stackful_reader, reads.buffers[i]);
    reads_begin();
}

static void run(void)
{
    const struct tdw_loop_options options = {.backend = TDW_BACKEND_URING,
                                             .ops_max = 2 * DEPTH_MAX};
    struct tdw_loop *loop;

    if (tdw_loop_open(&loop, &options) < 0 || tdw_loop_start(loop, reader_main, NULL) < 0 ||
        tdw_loop_run(loop) < 0)
        exit(1);
    tdw_loop_close(loop);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*main)(void *);
    } models[] = {
        {"callback", callback_main}, {"stackless", stackless_main}, {"stackful", stackful_main}};

    reads_open(argc, argv);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (argc > 3 && strcmp(argv[3], models[i].name) == 0)
            reader_main = models[i].main;
    return reader_main ? reads_serve(run) : 2;
}
