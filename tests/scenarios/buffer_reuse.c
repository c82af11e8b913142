/* SPDX-License-Identifier: MIT */
/*
 * A buffer is used again while a send from it is in flight.
 *
 *     client ── requests ──▶ server ── formats an answer, sends it, does not wait ──▶ client
 *
 * The server has two ops for its sends, so that it can take the next request while an answer is on
 * its way, and waits only for an op that it is about to use again. But it has one buffer, and
 * formats the next answer into that. What a send in flight points to belongs to the kernel.
 *
 * Seen: a connection's buffer was recycled under its send, and the old peer got the next one's
 * answer (github.com/MDA2AV/ioxide/issues/221); io_uring_prep_send(3), io_uring_prep_send_zc(3).
 *
 * Found as:  the buffer of a write in flight was changed
 * Optimum:   1 deviation, 0 faults: the server's send takes longer than it is until the next
 *            request
 */
#include "corpus.h"

enum { HAS_ONE_BUFFER = BUGGY };
enum { REQUESTS = 4, BYTES = 64 };
#define PACE (1 * US)

static int ends[2]; /* the server's, the client's */

static struct out {
    struct tdw_op op;
    char bytes[BYTES];
} outs[2];

/* The answer to request `i`, in the buffer that its send may use. */
static const char *format(unsigned i, char request)
{
    char *bytes = outs[HAS_ONE_BUFFER ? 0 : i % 2].bytes;

    memset(bytes, request, BYTES);
    return bytes;
}

/* ── The server ────────────────────────────────────────────────────────────────────────────── */

static struct server {
    struct tdw_op op;
    unsigned i;
    char request;
    bool waits, ends;
} server_state;

static void received(struct tdw_op *op);
static void sent(struct tdw_op *op);
static void answer(struct server *s)
{
    struct out *out = &outs[s->i % 2];

    s->waits = !tdw_op_idle(&out->op);
    if (s->waits)
        return;
    TDW_ON(&out->op, sent, send, ends[0], format(s->i, s->request), BYTES, MSG_NOSIGNAL);
    s->i++;
    TDW_ON(&s->op, received, recv, ends[0], &s->request, 1, 0);
}

static void end(struct server *s)
{
    s->ends = !tdw_op_idle(&outs[0].op) || !tdw_op_idle(&outs[1].op);
    if (!s->ends)
        TDW_ON(&s->op, done, close, ends[0]);
}

static void sent(struct tdw_op *op)
{
    (void)op;
    if (server_state.waits)
        answer(&server_state);
    else if (server_state.ends)
        end(&server_state);
}

static void received(struct tdw_op *op)
{
    if (op->res > 0)
        answer(&server_state);
    else
        end(&server_state);
}

static void server_callback(void *unused)
{
    (void)unused;
    TDW_ON(&server_state.op, received, recv, ends[0], &server_state.request, 1, 0);
}

struct server_frame {
    struct tdw_frame frame;
    void *arg;
    unsigned i;
    int n;
    char request;
};
TDW_CO(server_stackless)
{
    TDW_BEGIN(struct server_frame, me);
    for (;; me->i++) {
        TDW_AWAIT(me->n, recv, ends[0], &me->request, 1, 0);
        if (me->n <= 0)
            break;
        TDW_AWAIT_OP(me->n, &outs[me->i % 2].op);
        TDW_GO(&outs[me->i % 2].op, send, ends[0], format(me->i, me->request), BYTES, MSG_NOSIGNAL);
    }
    TDW_AWAIT_OP(me->n, &outs[0].op);
    TDW_AWAIT_OP(me->n, &outs[1].op);
    TDW_AWAIT(me->n, close, ends[0]);
    TDW_RETURN(0);
    TDW_END;
}

static void server_stackful(void *unused)
{
    char request;

    (void)unused;
    for (unsigned i = 0; tdw_recv(ends[0], &request, 1, 0) > 0; i++) {
        struct tdw_op *op = &outs[i % 2].op;

        tdw_await(op);
        TDW_GO(op, send, ends[0], format(i, request), BYTES, MSG_NOSIGNAL);
    }
    tdw_await(&outs[0].op);
    tdw_await(&outs[1].op);
    tdw_close(ends[0]);
}
SUBJECT(server);

/* ── The client ────────────────────────────────────────────────────────────────────────────── */

static void client(void *unused)
{
    char bytes[BYTES];

    (void)unused;
    for (int i = 0; i < REQUESTS; i++) {
        const char request = (char)('a' + i);

        tdw_send(ends[1], &request, 1, 0);
        tdw_sleep(PACE);
    }
    tdw_shutdown(ends[1], SHUT_WR);
    while (tdw_recv(ends[1], bytes, BYTES, 0) > 0)
        ;
    tdw_close(ends[1]);
}

static void start(void)
{
    memset(outs, 0, sizeof outs);
    memset(&server_state, 0, sizeof server_state);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    server_spawn("server", NULL);
    tdw_spawn_stackful("client", client, NULL);
}

CORPUS(buffer_reuse, start, "an answer stays as it is until it was sent");
