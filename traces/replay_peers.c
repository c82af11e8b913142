/* SPDX-License-Identifier: MIT */
/*
 * Peers at work: the world outside of the recording.
 *
 *     step about to be made ─▶ release its segments ─▶ the peer acts ─▶ wait until it has arrived
 *                                                                       ─▶ the step is made
 *
 * Peers live in one process of their own, on the program's host, which has all addresses of the
 * recording: what was a distance between machines is part of the recorded times. Each peer is two
 * tasks in the run's model: one acts, segment by segment, and one takes whatever the program
 * writes, so that the program never waits for its reader. The connection is closed when both are
 * done: the actor has no segment left, and the program has closed its end.
 *
 * They are daemons: a connection that the recording never closed ends with the run. What a step
 * waits for is its own descriptor (a poll), so nothing here knows how long a network takes.
 *
 * Cost: some 600 bytes a connection. Called by replay_run.c.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tidewheel/net.h>
#include <tidewheel/sys.h>
#include <traces/replay.h>

enum { REPLAY_PEER_BYTES = 64 << 10 }; /* sent and taken at once */

enum phase { TAKE, TURN, PACE, ACT, ACTED, CLOSED };

struct drain;

/* One that acts. */
struct actor {
    struct replay_task task;
    struct replay *replay;
    struct replay_peer *peer;
    struct drain *drain;
    uint32_t segment;
    uint32_t sent; /* bytes of the present segment */
    int fd;        /* -1: not connected */
    enum phase phase;
    bool drained; /* the program has closed its end */
    struct sockaddr_storage address;
};

/* One that takes what the program writes. */
struct drain {
    struct replay_task task;
    struct actor *actor;
    enum { DRAIN_BEGINS, DRAIN_TAKES, DRAIN_CLOSES } phase;
};

struct replay_outside {
    struct tdw_token ready;
    struct actor *actors;
    struct drain *drains;
    int *listeners; /* descriptors */
    uint8_t sent[REPLAY_PEER_BYTES], drained[REPLAY_PEER_BYTES];
};

/* ── Taking what the program writes ────────────────────────────────────────────────────────── */

/* Whoever of a connection's two tasks ends last closes it: fills in the op. */
static bool close_connection(struct actor *a, struct tdw_op *op)
{
    if (a->fd < 0)
        return false;
    tdw_prep_close(op, a->fd);
    a->fd = -1;
    return true;
}

static bool drain_next(struct replay_task *task)
{
    struct drain *d = tdw_of(task, struct drain, task);
    struct actor *a = d->actor;

    if (d->phase == DRAIN_CLOSES)
        return false;
    if (d->phase == DRAIN_TAKES && task->op.res <= 0) {
        d->phase = DRAIN_CLOSES;
        a->drained = true;
        return task->op.res != -ECANCELED && a->segment == REPLAY_NONE &&
               close_connection(a, &task->op);
    }
    d->phase = DRAIN_TAKES;
    tdw_prep_recv(&task->op, a->fd, a->replay->outside->drained, REPLAY_PEER_BYTES, 0);
    return true;
}

static void connected(struct actor *a)
{
    tdw_token_cancel(&a->peer->connected);
    *a->drain = (struct drain){.task = {.model = a->task.model, .next = drain_next}, .actor = a};
    tdw__replay_start(&a->drain->task, "drain", true);
}

/* ── Acting ────────────────────────────────────────────────────────────────────────────────── */

static struct replay_segment *segment_of(const struct actor *a)
{
    return &a->replay->program->segments[a->segment];
}

static bool wait_for_token(struct actor *a, struct tdw_token *token)
{
    if (token->cancelled)
        return false;
    tdw_prep_token_wait(&a->task.op, token);
    return true;
}

/* At one address connections are accepted in their recorded order. */
static bool wait_for_turn(struct actor *a)
{
    return segment_of(a)->act == REPLAY_ACCEPT && a->peer->before != REPLAY_NONE &&
           wait_for_token(a, &a->replay->program->peers[a->peer->before].connected);
}

/* The outside's think time: until the consumer ended, in the recording. */
static bool wait_for_pace(struct actor *a)
{
    const struct replay_step *s = &a->replay->program->steps[segment_of(a)->consumer];
    const uint64_t now = tdw_now();
    uint64_t until = now;

    switch (a->replay->options->pace) {
    case TDW_PACE_ASAP:
        return false;
    case TDW_PACE_RECORDED:
        until = s->end_ns;
        break;
    case TDW_PACE_CLOSED:
        until = now + (s->end_ns - s->start_ns);
        break;
    }
    if (until <= now)
        return false;
    tdw_prep_sleep(&a->task.op, until - now);
    return true;
}

/* Connect, from the recorded address if it is free. */
static bool act_connect(struct actor *a)
{
    struct sockaddr_storage own;
    const socklen_t own_bytes = a->peer->ours ? tdw__replay_address(a->peer->ours, &own) : 0;
    const socklen_t bytes = a->peer->theirs ? tdw__replay_address(a->peer->theirs, &a->address) : 0;
    const int on = 1;

    a->fd = bytes ? tdw_sys_socket(a->address.ss_family, SOCK_STREAM, 0) : -1;
    if (a->fd < 0)
        return false;
    if (own_bytes && own.ss_family == a->address.ss_family && own.ss_family != AF_UNIX) {
        tdw_sys_setsockopt(a->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        tdw_sys_bind(a->fd, (struct sockaddr *)&own, own_bytes);
    }
    tdw_prep_connect(&a->task.op, a->fd, (struct sockaddr *)&a->address, bytes);
    return true;
}

/* Begin what the segment says. True: with an op, which has to be waited for. */
static bool act(struct actor *a)
{
    const struct linger linger = {1, 0};
    const uint32_t left = segment_of(a)->bytes - a->sent;

    switch ((enum replay_act)segment_of(a)->act) {
    case REPLAY_CONNECT:
        return act_connect(a);
    case REPLAY_ACCEPT:
        tdw_prep_accept(&a->task.op, a->replay->outside->listeners[a->peer->listener], NULL, NULL,
                        0);
        return true;
    case REPLAY_SEND:
        tdw_prep_send(&a->task.op, a->fd, a->replay->outside->sent,
                      left < REPLAY_PEER_BYTES ? left : REPLAY_PEER_BYTES, MSG_NOSIGNAL);
        return true;
    case REPLAY_END:
        tdw_sys_shutdown(a->fd, SHUT_WR);
        return false;
    case REPLAY_RESET: /* nobody may hold the socket when it is closed */
        tdw_sys_setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        tdw_prep_cancel_fd(&a->task.op, a->fd);
        return true;
    }
    return false;
}

/* What came of the segment. False: the connection came to nothing, or is over. */
static bool acted(struct actor *a)
{
    const int32_t res = a->task.op.res;

    switch ((enum replay_act)segment_of(a)->act) {
    case REPLAY_ACCEPT:
        a->fd = res;
        /* fall through */
    case REPLAY_CONNECT:
        if (a->fd >= 0 && res >= 0)
            connected(a);
        return a->fd >= 0 && res >= 0;
    case REPLAY_SEND:
        a->sent += res > 0 ? (uint32_t)res : 0;
        return res > 0;
    case REPLAY_END:
        return true;
    case REPLAY_RESET:
        return false;
    }
    return false;
}

/* On to the next segment, once the present one is done in full. */
static void advance(struct actor *a)
{
    if (segment_of(a)->act == REPLAY_SEND && a->sent < segment_of(a)->bytes) {
        a->phase = ACT;
        return;
    }
    a->sent = 0;
    a->segment = segment_of(a)->next_of_peer;
    a->phase = TAKE;
}

static bool actor_next(struct replay_task *task)
{
    struct actor *a = tdw_of(task, struct actor, task);

    for (;;) {
        if (a->phase != TAKE && task->op.res == -ECANCELED)
            return false; /* the run is over */
        switch (a->phase) {
        case TAKE:
            a->phase = TURN;
            if (a->segment == REPLAY_NONE) {
                a->phase = CLOSED;
                return a->drained && close_connection(a, &task->op);
            }
            if (wait_for_token(a, &segment_of(a)->released))
                return true;
            break;
        case TURN:
            a->phase = PACE;
            if (wait_for_turn(a))
                return true;
            break;
        case PACE:
            a->phase = ACT;
            if (wait_for_pace(a))
                return true;
            break;
        case ACT:
            a->phase = ACTED;
            if (act(a))
                return true;
            break;
        case ACTED:
            if (acted(a)) {
                advance(a);
                break;
            }
            a->phase = CLOSED;
            return close_connection(a, &task->op);
        case CLOSED:
            return false;
        }
    }
}

/* ── Start ─────────────────────────────────────────────────────────────────────────────────── */

/* A socket of ours at the address; or -1, and connects there are refused. */
static int listen_at(const char *text)
{
    struct sockaddr_storage at;
    const socklen_t bytes = tdw__replay_address(text, &at);
    const int fd = bytes ? tdw_sys_socket(at.ss_family, SOCK_STREAM, 0) : -1;

    if (fd < 0 || tdw_sys_bind(fd, (struct sockaddr *)&at, bytes) < 0 ||
        tdw_sys_listen(fd, 511) < 0)
        return -1;
    return fd;
}

/* The root task of the peers' process. */
static void peers_main(void *arg)
{
    struct replay *replay = arg;
    const struct replay_program *program = replay->program;
    struct replay_outside *outside = replay->outside;

    for (size_t i = 0; i < program->listeners_count; i++)
        outside->listeners[i] = listen_at(program->listeners[i]);
    for (size_t i = 0; i < program->peers_count; i++) {
        struct actor *a = &outside->actors[i];

        *a = (struct actor){
            .task = {.model = replay->model, .next = actor_next},
            .replay = replay,
            .peer = &program->peers[i],
            .drain = &outside->drains[i],
            .segment = program->peers[i].first,
            .fd = -1,
        };
        if (!a->peer->inside)
            tdw__replay_start(&a->task, "peer", true);
    }
    tdw_token_cancel(&outside->ready);
}

/* The host has every address that the recording mentions. */
static void own_address(const char *text)
{
    struct sockaddr_storage at;
    char host[INET6_ADDRSTRLEN] = "";

    if (!text || tdw__replay_address(text, &at) == 0 || at.ss_family == AF_UNIX)
        return;
    if (at.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&at)->sin_addr, host, sizeof host);
    else
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&at)->sin6_addr, host, sizeof host);
    tdw_host_address(tdw__process()->host, host); /* it may have it already */
}

int tdw__replay_peers_start(struct replay *replay)
{
    const struct replay_program *program = replay->program;
    struct replay_outside *outside = calloc(1, sizeof *outside);

    for (size_t i = 0; i < program->steps_count; i++)
        if (program->steps[i].call && program->steps[i].row == TDW_ROW_SOCKET)
            own_address(program->steps[i].address);
    for (size_t i = 0; i < program->peers_count; i++)
        own_address(program->peers[i].theirs);
    replay->outside = outside;
    if (!outside)
        return -ENOMEM;
    outside->actors = calloc(program->peers_count + 1, sizeof *outside->actors);
    outside->drains = calloc(program->peers_count + 1, sizeof *outside->drains);
    outside->listeners = calloc(program->listeners_count + 1, sizeof *outside->listeners);
    if (!outside->actors || !outside->drains || !outside->listeners)
        return -ENOMEM;
    tdw_token_init(&outside->ready, "peers");
    for (size_t i = 0; i < program->peers_count; i++)
        tdw_token_init(&program->peers[i].connected, "connected");
    for (size_t i = 0; i < program->segments_count; i++)
        tdw_token_init(&program->segments[i].released, "released");
    return tdw__process_fork(tdw__process(), peers_main, replay) ? 0 : -ENOMEM;
}

struct tdw_token *tdw__replay_peers_ready(struct replay *replay)
{
    return &replay->outside->ready;
}

void tdw__replay_peers_fini(struct replay *replay)
{
    if (!replay->outside)
        return;
    free(replay->outside->actors);
    free(replay->outside->drains);
    free(replay->outside->listeners);
    free(replay->outside);
    replay->outside = NULL;
}

/* ── Release and arrival ───────────────────────────────────────────────────────────────────── */

void tdw__replay_release(struct replay_thread *t, const struct replay_step *s)
{
    struct replay_segment *const segments = t->replay->program->segments;

    t->arriving = s->segment;
    t->asked = false;
    for (uint32_t i = s->segment; i != REPLAY_NONE; i = segments[i].next_of_consumer)
        tdw_token_cancel(&segments[i].released);
}

/* One poll, the first time: true, and it is to be waited for. */
static bool ask(struct replay_thread *t, int fd, uint32_t events)
{
    if (t->asked || fd < 0)
        return false;
    t->asked = true;
    tdw_prep_poll(&t->task.op, fd, events);
    return true;
}

static bool has_to_come(struct replay_thread *t, const struct replay_segment *segment)
{
    const struct replay_step *taker = &t->replay->program->steps[segment->taker];
    const int fd = tdw__replay_fd(t, taker->arg[0]);

    switch ((enum replay_act)segment->act) {
    case REPLAY_SEND: /* its first bytes: a read goes on until it has all of them */
    case REPLAY_CONNECT:
        return ask(t, fd, POLLIN);
    case REPLAY_END:
        return ask(t, fd, POLLIN | POLLRDHUP);
    case REPLAY_RESET:
        return ask(t, fd, POLLERR | POLLHUP);
    case REPLAY_ACCEPT: /* the connect is what they wait for */
        return false;
    }
    return false;
}

/* Does the step take what others in the recording send, and would not wait for it by itself? */
static bool waits_inside(const struct replay_thread *t, const struct replay_step *s)
{
    const bool takes = strncmp(s->name, "accept", 6) == 0 || strncmp(s->name, "read", 4) == 0 ||
                       strncmp(s->name, "recv", 4) == 0;
    const struct tdw_file *file;

    if (s->fed || !takes || s->result < 0 || s->bits & TDW_CALL_NO_RESULT ||
        s->object == TDW_OBJECT_FILE || s->object == TDW_OBJECT_SIGNALFD)
        return false;
    file = tdw__fd(tdw__process()->files, tdw__replay_fd(t, s->arg[0]));
    return file && file->flags & O_NONBLOCK;
}

bool tdw__replay_arrives(struct replay_thread *t, const struct replay_step *s)
{
    const struct replay_segment *const segments = t->replay->program->segments;

    for (; t->arriving != REPLAY_NONE; t->arriving = segments[t->arriving].next_of_consumer) {
        if (has_to_come(t, &segments[t->arriving]))
            return true;
        t->asked = false;
    }
    return s->segment == REPLAY_NONE && waits_inside(t, s) &&
           ask(t, tdw__replay_fd(t, s->arg[0]), POLLIN);
}
