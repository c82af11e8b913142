/* SPDX-License-Identifier: MIT */
/*
 * Two sends on one stream, and the second one is first.
 *
 *     sender ── head ─┬─▶ both in flight ──▶ stream ──▶ receiver: body, head
 *               body ─┘
 *
 * Submissions begin in order, and that is all. A send that has to wait for room, or for a worker,
 * is overtaken by the next one, and a stream has no boundaries at which the receiver could see it.
 * The fix links the two: the body begins when the head is through.
 *
 * Seen: a month's hunt (github.com/axboe/liburing/issues/1359), and others before it; since then
 * liburing's manual says that overlapping sends are unsafe (github.com/axboe/liburing/pull/1373).
 *
 * Found as:  check failed: .*: a body came in the place of head [0-9]+
 * Optimum:   1 deviation, 0 faults: the send of a head takes longer than that of its body
 */
#include "corpus.h"

enum { LEAVES_UNLINKED = BUGGY };
enum { FRAMES = 3, BYTES = 100 };

static int ends[2]; /* the sender's, the receiver's */
static const char head[BYTES] = {'h'}, body[BYTES] = {'b'};

/* ── The sender ────────────────────────────────────────────────────────────────────────────── */

static struct sender {
    struct tdw_op head, body;
    int sent;
} sender;

static void sent(struct tdw_op *op);
static void send_frame(void)
{
    if (LEAVES_UNLINKED)
        TDW_ON(&sender.head, sent, send, ends[0], head, BYTES, MSG_NOSIGNAL);
    else
        TDW_ON_LINKED(&sender.head, sent, send, ends[0], head, BYTES, MSG_NOSIGNAL);
    TDW_ON(&sender.body, sent, send, ends[0], body, BYTES, MSG_NOSIGNAL);
}

static void sent(struct tdw_op *op)
{
    if (!tdw_op_idle(&sender.head) || !tdw_op_idle(&sender.body))
        return;
    if (++sender.sent < FRAMES)
        send_frame();
    else
        TDW_ON(op, done, close, ends[0]);
}

static void sender_callback(void *unused)
{
    (void)unused;
    send_frame();
}

/* The same for coroutines, which await both. */
static void go_frame(void)
{
    if (LEAVES_UNLINKED)
        TDW_GO(&sender.head, send, ends[0], head, BYTES, MSG_NOSIGNAL);
    else
        TDW_GO_LINKED(&sender.head, send, ends[0], head, BYTES, MSG_NOSIGNAL);
    TDW_GO(&sender.body, send, ends[0], body, BYTES, MSG_NOSIGNAL);
}

struct sender_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op *both[2];
    int sent, n;
};
TDW_CO(sender_stackless)
{
    TDW_BEGIN(struct sender_frame, me);
    me->both[0] = &sender.head;
    me->both[1] = &sender.body;
    for (; me->sent < FRAMES; me->sent++) {
        go_frame();
        TDW_AWAIT_ALL(me->both, 2);
    }
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void sender_stackful(void *unused)
{
    (void)unused;
    for (int i = 0; i < FRAMES; i++) {
        go_frame();
        tdw_await_all((struct tdw_op *const[]){&sender.head, &sender.body}, 2);
    }
    tdw_close(ends[0]);
}
SUBJECT(sender);

/* ── The receiver ──────────────────────────────────────────────────────────────────────────── */

static void receiver(void *unused)
{
    char bytes[BYTES];

    (void)unused;
    for (int i = 0; i < FRAMES; i++) {
        tdw_recv(ends[1], bytes, BYTES, MSG_WAITALL);
        tdw_check(bytes[0] == 'h', "a body came in the place of head %d", i);
        tdw_recv(ends[1], bytes, BYTES, MSG_WAITALL);
    }
    tdw_close(ends[1]);
}

static void start(void)
{
    memset(&sender, 0, sizeof sender);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    sender_spawn("sender", NULL);
    tdw_spawn_stackful("receiver", receiver, NULL);
}

CORPUS(unordered_sends, start, "a head comes before its body");
