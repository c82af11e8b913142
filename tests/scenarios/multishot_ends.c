/* SPDX-License-Identifier: MIT */
/*
 * A multishot receive has ended, and that is taken for the end of the stream.
 *
 *     sender ── a message every PACE ──▶ receiver: one op, a completion for each, a buffer for each
 *                                           └─ writes it to its log, gives the buffer back
 *
 * When no buffer is left the receive ends with -ENOBUFS, and without F_MORE. Nothing is wrong with
 * the connection: it has to be asked again, when a buffer is there. The receiver takes a result
 * that is not positive for the end, and does not see what comes after.
 *
 * Seen: IORingSwift ended the stream there (github.com/PADL/IORingSwift/issues/10);
 * io_uring_prep_recv_multishot(3), IORING_CQE_F_MORE.
 *
 * Found as:  check failed: .*: [0-9]+ messages of 6 were kept
 * Optimum:   1 deviation, 0 faults: a sync of the log takes as long as three messages do
 */
#include "corpus.h"

enum { TAKES_IT_FOR_THE_END = BUGGY };
enum { MESSAGES = 6, BYTES = 8, BUFFERS = 2, GROUP = 7 };
#define PACE (300 * US)

static int ends[2]; /* the receiver's, the sender's */
static char room[BUFFERS][BYTES];
static int log_file;

/* Has the stream ended, with a completion that answered `n`? */
static bool at_end(int n)
{
    return n == 0 || (n < 0 && (n != -ENOBUFS || TAKES_IT_FOR_THE_END));
}

static void judge(int kept)
{
    tdw_check(kept == MESSAGES, "%d messages of %d were kept", kept, MESSAGES);
}

/* ── The receiver ──────────────────────────────────────────────────────────────────────────── */

static struct receiver {
    struct tdw_op recv, op; /* `op`: what is done with a message */
    int kept, buffer, head, count;
    bool busy;
    struct shot {
        int n, buffer;
    } shots[BUFFERS + 1]; /* that came while it was busy */
} receiver;

static void next_shot(void);
static void came(struct tdw_op *op)
{
    receiver.shots[(receiver.head + receiver.count++) % (BUFFERS + 1)] =
        (struct shot){op->res, (int)(op->flags >> IORING_CQE_BUFFER_SHIFT)};
    if (!receiver.busy)
        next_shot();
}

static void given_back(struct tdw_op *op)
{
    (void)op;
    receiver.busy = false;
    next_shot();
}

static void kept(struct tdw_op *op)
{
    receiver.kept++;
    TDW_ON(op, given_back, provide_buffers, room[receiver.buffer], BYTES, 1, GROUP,
           receiver.buffer);
}

static void arm(struct tdw_op *op)
{
    (void)op;
    TDW_ON(&receiver.recv, came, recv_multishot, ends[0], GROUP, 0);
}

static void next_shot(void)
{
    const struct shot shot = receiver.shots[receiver.head];

    if (receiver.count == 0)
        return;
    receiver.head = (receiver.head + 1) % (BUFFERS + 1);
    receiver.count--;
    receiver.buffer = shot.buffer;
    receiver.busy = shot.n > 0;
    if (shot.n > 0) {
        TDW_ON(&receiver.op, kept, fdatasync, log_file);
    } else if (!at_end(shot.n)) {
        arm(NULL);
    } else {
        judge(receiver.kept);
        TDW_ON(&receiver.op, done, close, ends[0]);
    }
}

static void receiver_callback(void *unused)
{
    (void)unused;
    TDW_ON(&receiver.op, arm, provide_buffers, room, BYTES, BUFFERS, GROUP, 0);
}

struct receiver_frame {
    struct tdw_frame frame;
    void *arg;
    struct tdw_op recv;
    int n, kept, buffer, unused;
};
TDW_CO(receiver_stackless)
{
    TDW_BEGIN(struct receiver_frame, me);
    TDW_AWAIT(me->n, provide_buffers, room, BYTES, BUFFERS, GROUP, 0);
    for (me->n = 0;;) {
        if (me->n <= 0)
            TDW_GO(&me->recv, recv_multishot, ends[0], GROUP, 0);
        TDW_AWAIT_OP(me->n, &me->recv);
        if (at_end(me->n))
            break;
        if (me->n < 0)
            continue;
        me->buffer = (int)(me->recv.flags >> IORING_CQE_BUFFER_SHIFT);
        TDW_AWAIT(me->unused, fdatasync, log_file);
        me->kept++;
        TDW_AWAIT(me->unused, provide_buffers, room[me->buffer], BYTES, 1, GROUP, me->buffer);
    }
    judge(me->kept);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void receiver_stackful(void *unused)
{
    struct tdw_op recv = {.res = 0};
    int n = 0, count = 0;

    (void)unused;
    tdw_provide_buffers(room, BYTES, BUFFERS, GROUP, 0);
    for (;;) {
        int buffer;

        if (n <= 0)
            TDW_GO(&recv, recv_multishot, ends[0], GROUP, 0);
        n = tdw_await(&recv);
        if (at_end(n))
            break;
        if (n < 0)
            continue;
        buffer = (int)(recv.flags >> IORING_CQE_BUFFER_SHIFT);
        tdw_fdatasync(log_file);
        count++;
        tdw_provide_buffers(room[buffer], BYTES, 1, GROUP, buffer);
    }
    judge(count);
    tdw_close(ends[0]);
}
SUBJECT(receiver);

/* ── The sender ────────────────────────────────────────────────────────────────────────────── */

static void sender(void *unused)
{
    (void)unused;
    log_file = tdw_open("log", O_WRONLY | O_CREAT, 0644);
    receiver_spawn("receiver", NULL);
    for (int i = 0; i < MESSAGES; i++) {
        tdw_sleep(PACE);
        tdw_send(ends[1], "message", BYTES, MSG_NOSIGNAL);
    }
    tdw_close(ends[1]);
}

static void start(void)
{
    memset(&receiver, 0, sizeof receiver);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    tdw_spawn_stackful("sender", sender, NULL);
}

CORPUS(multishot_ends, start, "every message is kept");
