/* SPDX-License-Identifier: MIT */
/*
 * A short write, and the rest is dropped.
 *
 *     sender ── a message of BYTES ──▶ reader
 *
 * send(2) may take a part of what it is given. The sender looks for errors, finds none, and is
 * done; the reader sees the stream end in the middle of the message.
 *
 * Seen: FreeRDP's transport_write() (github.com/FreeRDP/FreeRDP/pull/365); send(2), write(2).
 *
 * Found as:  check failed: .*: [0-9]+ bytes of 4000 came
 * Optimum:   0 deviations, 1 fault: the send takes a part
 */
#include "corpus.h"

enum { DROPS_THE_REST = BUGGY };
enum { BYTES = 4000 };

static int ends[2]; /* the sender's, the reader's */
static char message[BYTES];

/* ── The sender ────────────────────────────────────────────────────────────────────────────── */

struct sender {
    struct tdw_op op;
    uint32_t sent;
};

static void sent(struct tdw_op *op)
{
    struct sender *s = (void *)op;

    if (op->res > 0)
        s->sent += (uint32_t)op->res;
    if (op->res < 0 || s->sent == BYTES || DROPS_THE_REST)
        TDW_ON(op, gone, close, ends[0]);
    else
        TDW_ON(op, sent, send, ends[0], message + s->sent, BYTES - s->sent, 0);
}

static void sender_callback(void *unused)
{
    struct sender *s = tdw_malloc(sizeof *s);

    (void)unused;
    TDW_ON(&s->op, sent, send, ends[0], message, BYTES, 0);
}

struct sender_frame {
    struct tdw_frame frame;
    void *arg;
    int n;
    uint32_t sent;
};
TDW_CO(sender_stackless)
{
    TDW_BEGIN(struct sender_frame, me);
    do {
        TDW_AWAIT(me->n, send, ends[0], message + me->sent, BYTES - me->sent, 0);
        if (me->n > 0)
            me->sent += (uint32_t)me->n;
    } while (me->n >= 0 && me->sent < BYTES && !DROPS_THE_REST);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void sender_stackful(void *unused)
{
    uint32_t sent_bytes = 0;
    int n;

    (void)unused;
    do {
        n = tdw_send(ends[0], message + sent_bytes, BYTES - sent_bytes, 0);
        if (n > 0)
            sent_bytes += (uint32_t)n;
    } while (n >= 0 && sent_bytes < BYTES && !DROPS_THE_REST);
    tdw_close(ends[0]);
}
SUBJECT(sender);

/* ── The reader ────────────────────────────────────────────────────────────────────────────── */

static void reader(void *unused)
{
    char buffer[BYTES];
    uint32_t got = 0;
    int n;

    (void)unused;
    while ((n = tdw_recv(ends[1], buffer + got, sizeof buffer - got, 0)) > 0)
        got += (uint32_t)n;
    tdw_check(got == BYTES && memcmp(buffer, message, BYTES) == 0, "%u bytes of %d came", got,
              BYTES);
    tdw_close(ends[1]);
}

static void start(void)
{
    for (int i = 0; i < BYTES; i++)
        message[i] = (char)i;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    tdw_spawn_stackful("reader", reader, NULL);
    sender_spawn("sender", NULL);
}

CORPUS(short_write, start, "a message arrives whole");
