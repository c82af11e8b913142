/* SPDX-License-Identifier: MIT */
/*
 * A shutdown with operations in flight: what was accepted is lost.
 *
 *     clients ── line ──▶ accepted ── looked up ── appended ──▶ log
 *     keeper  ── after a while: accepts no more, closes the log
 *
 * The keeper lets nobody in any more, and takes that for "nobody is in". A line that was accepted
 * before, and whose turn to write has not come, finds the log closed. The fix waits until all that
 * was accepted is done.
 *
 * Seen: Node's manual of process.exit() warns that pending writes, even to the standard output, are
 * lost; libuv's of uv_close(), that a handle's memory is free in its callback and not before.
 *
 * Found as:  check failed: .*: an accepted line ended -9
 * Optimum:   1 deviation, 0 faults: a look-up takes longer than it is until the shutdown
 */
#include "corpus.h"

enum { CLOSES_AT_ONCE = BUGGY };
enum { LINES = 3 };
#define PACE (10 * US)
#define OPEN_FOR (80 * US)

static struct scene {
    int log, names;
    uint64_t end;
    bool closing;
    struct tdw_wg accepted; /* and not done */
} scene;

/* ── The keeper of the log ─────────────────────────────────────────────────────────────────── */

static void may_close(struct tdw_op *op)
{
    TDW_ON(op, gone, close, scene.log);
}

static void shuts_down(struct tdw_op *op)
{
    scene.closing = true;
    if (CLOSES_AT_ONCE)
        may_close(op);
    else
        TDW_ON(op, may_close, wg_wait, &scene.accepted);
}

static void keeper_callback(void *unused)
{
    struct tdw_op *op = tdw_malloc(sizeof *op);

    (void)unused;
    TDW_ON(op, shuts_down, sleep, OPEN_FOR);
}

struct keeper_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
};
TDW_CO(keeper_stackless)
{
    TDW_BEGIN(struct keeper_frame, me);
    TDW_AWAIT(me->n, sleep, OPEN_FOR);
    scene.closing = true;
    if (!CLOSES_AT_ONCE)
        TDW_AWAIT(me->n, wg_wait, &scene.accepted);
    TDW_AWAIT(me->n, close, scene.log);
    TDW_RETURN(0);
    TDW_END;
}

static void keeper_stackful(void *unused)
{
    (void)unused;
    tdw_sleep(OPEN_FOR);
    scene.closing = true;
    if (!CLOSES_AT_ONCE)
        tdw_wg_wait(&scene.accepted);
    tdw_close(scene.log);
}
SUBJECT(keeper);

/* ── Lines ─────────────────────────────────────────────────────────────────────────────────── */

static void append(void *arg)
{
    uint64_t at;
    char name;
    int n;

    tdw_sleep((uint64_t)(uintptr_t)arg * PACE);
    if (scene.closing)
        return;
    tdw_wg_add(&scene.accepted, 1);
    tdw_pread(scene.names, &name, 1, 0);
    at = scene.end++;
    n = tdw_pwrite(scene.log, &name, 1, at);
    tdw_check(n == 1, "an accepted line ended %d", n);
    tdw_wg_done(&scene.accepted);
}

static void setup(void *unused)
{
    (void)unused;
    scene.log = tdw_open("log", O_WRONLY | O_CREAT, 0644);
    scene.names = tdw_open("names", O_RDWR | O_CREAT, 0644);
    tdw_pwrite(scene.names, "a", 1, 0);
    keeper_spawn("keeper", NULL);
    for (uintptr_t i = 0; i < LINES; i++)
        tdw_spawn_stackful("append", append, (void *)i);
}

static void start(void)
{
    memset(&scene, 0, sizeof scene);
    tdw_wg_init(&scene.accepted, "accepted");
    tdw_spawn_stackful("setup", setup, NULL);
}

CORPUS(shutdown_inflight, start, "what was accepted is written");
