/* SPDX-License-Identifier: MIT */
/*
 * EAGAIN, and what should have been written is lost.
 *
 *     writer ── a page every PACE ──▶ socket with little room ──▶ reader ──▶ log
 *
 * A send that must not wait (MSG_DONTWAIT) answers -EAGAIN when there is no room. The writer takes
 * that for "not now", as it should, and goes on with the next page, as it should not. It goes wrong
 * as soon as the reader is slow for once.
 *
 * Seen: azure-c-shared-utility dropped packets at WSAEWOULDBLOCK, which is EAGAIN
 * (github.com/Azure/azure-c-shared-utility/pull/390); send(2), "MSG_DONTWAIT".
 *
 * Found as:  check failed: .*: page [0-9]+ came, not [0-9]+
 * Optimum:   1 deviation, 0 faults: a sync of the reader takes as long as two pages do
 */
#include "corpus.h"

enum { DROPS_AT_EAGAIN = BUGGY };
enum { PAGE = 4096, PAGES = 6 };
#define PACE (250 * US)

static int ends[2]; /* the reader's, the writer's */

/* ── The writer ────────────────────────────────────────────────────────────────────────────── */

struct writer {
    struct tdw_op op;
    int i;
    char page[PAGE];
};

static void paced(struct tdw_op *op);
static void wrote(struct tdw_op *op);
static void room(struct tdw_op *op)
{
    TDW_ON(op, wrote, send, ends[1], ((struct writer *)op)->page, PAGE, MSG_DONTWAIT);
}

static void wrote(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (op->res == -EAGAIN && !DROPS_AT_EAGAIN) {
        TDW_ON(op, room, poll, ends[1], POLLOUT);
        return;
    }
    w->i++;
    TDW_ON(op, paced, sleep, PACE);
}

static void paced(struct tdw_op *op)
{
    struct writer *w = (void *)op;

    if (w->i == PAGES) {
        TDW_ON(op, gone, close, ends[1]);
        return;
    }
    memset(w->page, w->i, PAGE);
    room(op);
}

static void writer_callback(void *unused)
{
    struct writer *w = tdw_malloc(sizeof *w);

    (void)unused;
    paced(&w->op);
}

struct writer_frame {
    struct tdw_frame frame;
    void *arg;
    int i, n;
    char page[PAGE];
};
TDW_CO(writer_stackless)
{
    TDW_BEGIN(struct writer_frame, me);
    for (me->i = 0; me->i < PAGES; me->i++) {
        memset(me->page, me->i, PAGE);
        for (;;) {
            TDW_AWAIT(me->n, send, ends[1], me->page, PAGE, MSG_DONTWAIT);
            if (me->n != -EAGAIN || DROPS_AT_EAGAIN)
                break;
            TDW_AWAIT(me->n, poll, ends[1], POLLOUT);
        }
        TDW_AWAIT(me->n, sleep, PACE);
    }
    TDW_AWAIT(me->n, close, ends[1]);
    TDW_RETURN(0);
    TDW_END;
}

static void writer_stackful(void *unused)
{
    char page[PAGE];

    (void)unused;
    for (int i = 0; i < PAGES; i++) {
        memset(page, i, PAGE);
        while (tdw_send(ends[1], page, PAGE, MSG_DONTWAIT) == -EAGAIN && !DROPS_AT_EAGAIN)
            tdw_poll(ends[1], POLLOUT);
        tdw_sleep(PACE);
    }
    tdw_close(ends[1]);
}
SUBJECT(writer);

/* ── The reader ────────────────────────────────────────────────────────────────────────────── */

static void reader(void *unused)
{
    const int log = tdw_open("log", O_WRONLY | O_CREAT, 0644);
    char page[PAGE];
    int next = 0;

    (void)unused;
    writer_spawn("writer", NULL);
    while (tdw_recv(ends[0], page, PAGE, 0) == PAGE) {
        tdw_check(page[0] == next, "page %d came, not %d", page[0], next);
        tdw_pwrite(log, page, PAGE, (uint64_t)PAGE * next++);
        tdw_fdatasync(log);
    }
    tdw_check(next == PAGES, "page %d came, not %d", next, PAGES);
    tdw_close(log);
    tdw_close(ends[0]);
}

static void start(void)
{
    const int room = PAGE;

    tdw_sys_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
    tdw_sys_setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    tdw_spawn_stackful("reader", reader, NULL);
}

CORPUS(eagain_lost, start, "every page that was written is read");
