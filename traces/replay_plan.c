/* SPDX-License-Identifier: MIT */
/*
 * Who was outside of the recording, and what came from there when.
 *
 *     steps, in the file's order ─▶ connections ─▶ peers, one each
 *                                ─▶ what reads and accepts took ─▶ segments, each with the step
 *                                                                  that releases it
 *                                ─▶ edges that only a replay needs
 *
 * A connection begins with an accept or connect that worked. It is recognised by the recorder's
 * words for its descriptors ("TCP:[here->there]"), or, as long as these do not name both ends, by
 * the descriptor. If the same words the other way round occur anywhere, both ends are in the
 * recording and there is no peer; nor is there one for a connect to an address at which the
 * recording itself listens.
 *
 * A read that took n bytes makes a segment of n bytes. It is released by the first wait since the
 * connection was last found empty that told the program of it, or by the read itself: never earlier
 * than in the recording, and late enough that no other call can take it. Connections at one
 * listening socket are made one by one, in the order in which they were accepted; so the process
 * that accepted one in the recording does so again.
 *
 * Once for a file; cost: some lookups a step. Called by replay_load.c.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <traces/replay_plan.h>

enum { TELLS_OF_INPUT = POLLIN | POLLPRI | POLLERR | POLLHUP | POLLRDHUP };

/* ── Words and keys ────────────────────────────────────────────────────────────────────────── */

static uint64_t key_of_fd(uint32_t process, int64_t fd)
{
    const uint64_t what[2] = {process, (uint64_t)fd};

    return tdw__key(what, sizeof what, 20);
}

static uint64_t key_of_text(const char *text)
{
    return tdw__key(text, strlen(text), 21);
}

/* The two ends in "KIND:[here->there]"; of a Unix socket without its path. */
static bool both_ends(const char *words, struct tdw__span *here, struct tdw__span *there)
{
    const char *const open = words ? strchr(words, '[') : NULL;
    const char *const arrow = open ? strstr(open, "->") : NULL;
    const char *end = arrow ? strrchr(arrow, ']') : NULL;

    if (!end || words[0] == '/')
        return false;
    if (strncmp(words, "UNIX", 4) == 0 && memchr(arrow, ',', (size_t)(end - arrow)))
        end = memchr(arrow, ',', (size_t)(end - arrow));
    *here = (struct tdw__span){open + 1, (size_t)(arrow - open) - 1};
    *there = (struct tdw__span){arrow + 2, (size_t)(end - arrow) - 2};
    return true;
}

static uint64_t key_of_ends(struct tdw__span from, struct tdw__span to)
{
    char line[256];
    const int n =
        snprintf(line, sizeof line, "%.*s>%.*s", (int)from.bytes, from.at, (int)to.bytes, to.at);

    return tdw__key(line, n < (int)sizeof line ? (size_t)n : sizeof line - 1, 22);
}

static void see_ends(struct plan *plan, const char *words)
{
    struct tdw__span here, there;

    if (both_ends(words, &here, &there))
        tdw__plan_put(plan, &plan->ends, key_of_ends(here, there), 1);
}

static const char *keep(struct plan *plan, const char *before, struct tdw__span text)
{
    const char *kept = tdw__replay_text(plan->program, before, text.at, text.bytes);

    if (!kept)
        plan->error = -ENOMEM;
    return kept;
}

/* Where a listening socket is: "TCP:[127.0.0.1:80]", "UNIX-STREAM:[18,"/path"]". */
static const char *listening_at(struct plan *plan, const char *words)
{
    const char *const open = words ? strchr(words, '[') : NULL;
    const char *const quote = open ? strchr(open, '"') : NULL;
    const char *const end = !open ? NULL : quote ? strchr(quote + 1, '"') : strrchr(open, ']');

    if (!end)
        return NULL;
    if (quote)
        return keep(plan, quote[-1] == '@' ? "unix:@" : "unix:",
                    (struct tdw__span){quote + 1, (size_t)(end - quote) - 1});
    return keep(plan, "", (struct tdw__span){open + 1, (size_t)(end - open) - 1});
}

/* ── Connections ───────────────────────────────────────────────────────────────────────────── */

/* A new connection with its peer; its index. */
static uint32_t connection_new(struct plan *plan, const struct replay_peer *peer)
{
    struct replay_program *program = plan->program;

    if (tdw__grow(&plan->connections, &plan->connections_max, plan->connections_count,
                  sizeof *plan->connections) < 0 ||
        tdw__grow(&program->peers, &program->peers_max, program->peers_count,
                  sizeof *program->peers) < 0) {
        plan->error = -ENOMEM;
        return REPLAY_NONE;
    }
    plan->connections[plan->connections_count] =
        (struct connection){.peer = (uint32_t)program->peers_count};
    program->peers[program->peers_count] = *peer;
    program->peers[program->peers_count].first = REPLAY_NONE;
    program->peers[program->peers_count++].last = REPLAY_NONE;
    return (uint32_t)plan->connections_count++;
}

/* From now on `words` name the connection. */
static void name(struct plan *plan, uint32_t connection, const char *words)
{
    struct connection *c = &plan->connections[connection];
    struct replay_peer *peer = &plan->program->peers[c->peer];
    struct tdw__span here, there;

    if (c->named || !both_ends(words, &here, &there))
        return;
    c->named = true;
    tdw__plan_put(plan, &plan->by_words, key_of_text(words), connection);
    peer->inside = tdw__plan_get(&plan->ends, key_of_ends(there, here)) != REPLAY_NONE;
    if (strncmp(words, "TCP", 3) == 0 && peer->listener == REPLAY_NONE) {
        peer->theirs = keep(plan, "", here);
        if (!peer->ours)
            peer->ours = keep(plan, "", there);
    }
}

/* The connection that a call is on, or REPLAY_NONE. */
static uint32_t connection_of(struct plan *plan, const struct replay_step *s)
{
    uint32_t connection;

    if (s->object != TDW_OBJECT_SOCKET || !s->fd_path)
        return REPLAY_NONE;
    connection = tdw__plan_get(&plan->by_words, key_of_text(s->fd_path));
    if (connection != REPLAY_NONE)
        return connection;
    connection = tdw__plan_get(&plan->by_fd, key_of_fd(tdw__plan_process(plan, s), s->arg[0]));
    if (connection != REPLAY_NONE)
        name(plan, connection, s->fd_path);
    return connection;
}

/* Something comes from the peer: `taker` takes it. */
static void segment_add(struct plan *plan, uint32_t peer, uint32_t taker, enum replay_act act,
                        uint32_t bytes)
{
    struct replay_program *program = plan->program;
    const struct replay_step *s = &program->steps[taker];
    const uint32_t wait =
        tdw__plan_get(&plan->told, key_of_fd(tdw__plan_process(plan, s), s->arg[0]));
    const uint32_t at = (uint32_t)program->segments_count;

    if (tdw__grow(&program->segments, &program->segments_max, at, sizeof *program->segments) < 0) {
        plan->error = -ENOMEM;
        return;
    }
    program->segments[program->segments_count++] = (struct replay_segment){
        .consumer = wait == REPLAY_NONE || act == REPLAY_ACCEPT ? taker : wait,
        .taker = taker,
        .peer = peer,
        .next_of_peer = REPLAY_NONE,
        .next_of_consumer = REPLAY_NONE,
        .bytes = bytes,
        .act = (uint8_t)act,
    };
    if (program->peers[peer].last == REPLAY_NONE)
        program->peers[peer].first = at;
    else
        program->segments[program->peers[peer].last].next_of_peer = at;
    program->peers[peer].last = at;
}

/* ── Steps ─────────────────────────────────────────────────────────────────────────────────── */

static void on_accept(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];
    const uint64_t listener = s->fd_path ? key_of_text(s->fd_path) : 0;
    struct replay_peer peer = {.listener = REPLAY_NONE, .before = REPLAY_NONE};
    uint32_t connection;

    if (s->bits & (TDW_CALL_NO_RESULT | TDW_CALL_RESTART) ||
        (s->result < 0 && s->result != -EAGAIN))
        return;
    if (tdw__grow(&plan->accepted, &plan->accepted_max, plan->accepted_count,
                  sizeof *plan->accepted) < 0) {
        plan->error = -ENOMEM;
        return;
    }
    plan->accepted[plan->accepted_count++] = (struct accepted){listener, s->end_ns, at};
    if (s->result >= 0) {
        peer.theirs = listening_at(plan, s->fd_path);
        peer.ours = s->address;
        connection = connection_new(plan, &peer);
        if (plan->error)
            return;
        plan->connections[connection].listener = listener;
        plan->connection_of[at] = connection + 1;
        tdw__plan_put(plan, &plan->by_fd, key_of_fd(tdw__plan_process(plan, s), s->result),
                      connection);
        name(plan, connection, s->result_path);
        segment_add(plan, plan->connections[connection].peer, at, REPLAY_CONNECT, 0);
    }
    tdw__plan_put(plan, &plan->told, key_of_fd(tdw__plan_process(plan, s), s->arg[0]), REPLAY_NONE);
}

/* The place of `address` among those at which peers listen. */
static uint32_t listener_of(struct plan *plan, const char *address)
{
    struct replay_program *program = plan->program;
    uint32_t *last;

    for (uint32_t i = 0; i < program->listeners_count; i++)
        if (strcmp(program->listeners[i], address) == 0)
            return i;
    last = realloc(plan->last_connect, (program->listeners_count + 1) * sizeof *last);
    if (!last || tdw__grow(&program->listeners, &program->listeners_max, program->listeners_count,
                           sizeof *program->listeners) < 0) {
        plan->last_connect = last ? last : plan->last_connect;
        plan->error = -ENOMEM;
        return REPLAY_NONE;
    }
    plan->last_connect = last;
    last[program->listeners_count] = 0;
    program->listeners[program->listeners_count] = address;
    return (uint32_t)program->listeners_count++;
}

static void on_connect(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];
    struct replay_peer peer = {.ours = s->address, .before = REPLAY_NONE};
    uint32_t connection, before;

    if (!s->address || tdw__plan_connects_inside(plan, at) || !s->fd_path ||
        (s->result != 0 && s->result != -EINPROGRESS) ||
        (strncmp(s->fd_path, "TCP", 3) != 0 && strncmp(s->fd_path, "UNIX-STREAM", 11) != 0))
        return;
    peer.listener = listener_of(plan, s->address);
    if (plan->error)
        return;
    before = plan->last_connect[peer.listener];
    if (before) {
        peer.before = plan->connections[plan->connection_of[before - 1] - 1].peer;
        tdw__plan_edge(plan, at, before - 1);
    }
    connection = connection_new(plan, &peer);
    if (plan->error)
        return;
    plan->last_connect[peer.listener] = at + 1;
    plan->connection_of[at] = connection + 1;
    tdw__plan_put(plan, &plan->by_fd, key_of_fd(tdw__plan_process(plan, s), s->arg[0]), connection);
    segment_add(plan, plan->connections[connection].peer, at, REPLAY_ACCEPT, 0);
}

/* How many bytes a call wanted to read, and whether only to look at them; false if it is no read.
 */
static bool is_read(const struct replay_step *s, int64_t *wanted, bool *peek)
{
    static const struct {
        const char *name;
        uint8_t bytes, flags; /* arguments; 6: none */
    } reads[] = {
        {"read", 2, 6}, {"readv", 1, 6}, {"recvfrom", 2, 3}, {"recvmsg", 1, 2}, {"splice", 4, 6}};

    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        if (strcmp(s->name, reads[i].name) != 0)
            continue;
        *wanted = s->arg[reads[i].bytes];
        *peek = reads[i].flags < 6 && s->arg[reads[i].flags] & MSG_PEEK;
        return true;
    }
    return false;
}

static void on_stream(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];
    const uint32_t index = connection_of(plan, s);
    struct connection *c = index == REPLAY_NONE ? NULL : &plan->connections[index];
    const bool reset = s->result == -ECONNRESET || s->result == -EPIPE;
    const int64_t took = s->result;
    int64_t wanted;
    bool peek, reads = is_read(s, &wanted, &peek);

    if (!c || s->bits & (TDW_CALL_NO_RESULT | TDW_CALL_RESTART))
        return;
    if (reset && !c->reset) {
        c->reset = true;
        segment_add(plan, c->peer, at, REPLAY_RESET, 0);
    }
    if (!reads)
        return;
    plan->connection_of[at] = index + 1;
    if (took > 0) {
        if (took > c->ahead)
            segment_add(plan, c->peer, at, REPLAY_SEND, (uint32_t)took - c->ahead);
        c->ahead = !peek             ? (took > c->ahead ? 0 : c->ahead - (uint32_t)took)
                   : took > c->ahead ? (uint32_t)took
                                     : c->ahead;
    } else if (took == 0 && wanted > 0 && !c->ended) {
        c->ended = true;
        segment_add(plan, c->peer, at, REPLAY_END, 0);
    }
    if (!peek)
        tdw__plan_put(plan, &plan->told, key_of_fd(tdw__plan_process(plan, s), s->arg[0]),
                      REPLAY_NONE);
}

/* A wait told of `events` at a descriptor: the first one since it was found empty counts. */
static void tell(struct plan *plan, uint32_t at, int64_t fd, uint64_t events)
{
    const uint64_t key = key_of_fd(tdw__plan_process(plan, &plan->program->steps[at]), fd);

    if (events & TELLS_OF_INPUT && tdw__plan_get(&plan->told, key) == REPLAY_NONE)
        tdw__plan_put(plan, &plan->told, key, at);
}

static uint64_t key_of_registration(uint32_t process, int64_t epoll, int64_t data)
{
    const uint64_t what[3] = {process, (uint64_t)epoll, (uint64_t)data};

    return tdw__key(what, sizeof what, 23);
}

static void on_wait(struct plan *plan, uint32_t at)
{
    struct replay_program *program = plan->program;
    const struct replay_step *s = &program->steps[at];
    const uint32_t process = tdw__plan_process(plan, s);
    const bool epoll = strncmp(s->name, "epoll", 5) == 0;

    for (uint32_t i = 0; i < s->items && s->result > 0; i++) {
        const struct tdw_call_item *item = &program->items[s->first_item + i];

        if (!epoll) {
            tell(plan, at, item->a, item->b >> 32);
            continue;
        }
        tell(plan, at,
             (int32_t)tdw__plan_get(&plan->registered,
                                    key_of_registration(process, s->arg[0], item->a)),
             item->b);
        if (!plan->error)
            plan->error = tdw__replay_tell(program, process, (uint64_t)item->a, (uint32_t)item->b);
    }
}

static void on_step(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];
    const struct tdw_call_item *items = plan->program->items + s->first_item;

    if (strncmp(s->name, "accept", 6) == 0)
        on_accept(plan, at);
    else if (strcmp(s->name, "bind") == 0)
        tdw__plan_bind(plan, at);
    else if (strcmp(s->name, "listen") == 0)
        tdw__plan_listen(plan, at);
    else if (strcmp(s->name, "connect") == 0)
        on_connect(plan, at);
    else if (s->row == TDW_ROW_STREAM || s->row == TDW_ROW_COPY)
        on_stream(plan, at);
    else if (s->row == TDW_ROW_WAIT)
        on_wait(plan, at);
    else if (strcmp(s->name, "epoll_ctl") == 0 && s->items && s->result == 0)
        tdw__plan_put(plan, &plan->registered,
                      key_of_registration(tdw__plan_process(plan, s), s->arg[0], items[0].a),
                      s->arg[2]);
    else if (strcmp(s->name, "exit_group") == 0)
        tdw__plan_exit(plan, at);
    if (strcmp(s->name, "close") == 0) {
        tdw__plan_put(plan, &plan->by_fd, key_of_fd(tdw__plan_process(plan, s), s->arg[0]),
                      REPLAY_NONE);
        tdw__plan_put(plan, &plan->told, key_of_fd(tdw__plan_process(plan, s), s->arg[0]),
                      REPLAY_NONE);
    }
    tdw__plan_life(plan, at);
    tdw__plan_name(plan, at);
    if (!(s->bits & TDW_CALL_NO_RESULT))
        plan->last_of[s->thread] = at + 1;
}

int tdw__replay_plan(struct replay_program *program)
{
    struct plan plan = {.program = program};

    plan.connection_of = calloc(program->steps_count + 1, sizeof *plan.connection_of);
    plan.last_of = calloc(program->threads_count + 1, sizeof *plan.last_of);
    if (!plan.connection_of || !plan.last_of)
        plan.error = -ENOMEM;
    for (uint32_t i = 0; i < program->steps_count && !plan.error; i++) {
        see_ends(&plan, program->steps[i].fd_path);
        see_ends(&plan, program->steps[i].result_path);
    }
    for (uint32_t i = 0; i < program->steps_count && !plan.error; i++)
        if (program->steps[i].call)
            on_step(&plan, i);
    if (!plan.error)
        tdw__plan_order(&plan);
    if (!plan.error)
        tdw__replay_told(program);
    tdw__map_fini(&plan.by_words);
    tdw__map_fini(&plan.by_fd);
    tdw__map_fini(&plan.ends);
    tdw__map_fini(&plan.told);
    tdw__map_fini(&plan.registered);
    tdw__map_fini(&plan.bound);
    tdw__map_fini(&plan.bound_by);
    tdw__map_fini(&plan.refused);
    tdw__map_fini(&plan.name_made);
    tdw__map_fini(&plan.name_found);
    tdw__map_fini(&plan.fd_changed);
    tdw__map_fini(&plan.fd_used);
    tdw__map_fini(&plan.fd_known);
    free(plan.connections);
    free(plan.accepted);
    free(plan.connection_of);
    free(plan.last_of);
    free(plan.last_connect);
    free(plan.extra);
    return plan.error;
}
