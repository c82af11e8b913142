/* SPDX-License-Identifier: MIT */
/*
 * TCP connections: handshake, states, ends (RFC 9293; names and choices as Linux has them).
 *
 *     CLOSED ─connect─▶ SYN_SENT ──SYN+ACK──▶ ESTABLISHED ─close─▶ FIN_WAIT ─FIN─▶ TIME_WAIT
 *     LISTEN ─SYN─▶ SYN_RECEIVED ─ACK─▶ ESTABLISHED ─FIN─▶ CLOSE_WAIT ─close─▶ LAST_ACK ─▶ CLOSED
 *
 * A connection is one object with two ends, made by connect; its other end comes to life when the
 * SYN arrives at a listener. What stands in ends is what each host knows, and changes only when
 * something arrives there; how it travels is tcp_out.c's. An end whose program has closed its
 * socket goes on until its bytes and its FIN are delivered; one that does not exist any more (its
 * host crashed, nobody listens) answers what arrives with RST.
 *
 * FIN_WAIT covers FIN_WAIT_1, FIN_WAIT_2 and CLOSING: programs cannot tell them apart, nor LAST_ACK
 * from CLOSED. A full accept queue drops SYNs and the last step of handshakes, which are sent
 * again.
 *
 * What programs ask of it is tcp_socket.c's. Called from there, and by tcp_out.c when packets
 * arrive.
 */
#include <sim/kernel/net/net.h>
#include <poll.h>

/* ── Ends and connections ──────────────────────────────────────────────────────────────────── */

void tdw__tcp_link(struct tdw_end *end)
{
    struct tdw_net_host *net = end->host->net;

    end->linked = true;
    end->prev = NULL;
    end->next = net->ends;
    if (end->next)
        end->next->prev = end;
    net->ends = end;
}

static void unlink_end(struct tdw_end *end)
{
    if (!end->linked)
        return;
    end->linked = false;
    if (end->next)
        end->next->prev = end->prev;
    if (end->prev)
        end->prev->next = end->next;
    else
        end->host->net->ends = end->next;
}

void tdw__tcp_free(struct tdw_connection *connection)
{
    struct tdw_world *world = connection->ends[0].host->world;

    for (int i = 0; i < 2; i++) {
        struct tdw_end *end = &connection->ends[i];

        tdw__segments_free(&world->loop, &end->out.unsent);
        tdw__segments_free(&world->loop, &end->out.transit);
        unlink_end(end);
    }
    if (world->loop.last == &connection->actor)
        world->loop.last = NULL;
    if (connection->next)
        connection->next->prev = connection->prev;
    if (connection->prev)
        connection->prev->next = connection->next;
    else
        world->net->connections = connection->next;
    tdw__memory_put(world->loop.memory, connection, sizeof(*connection));
}

static bool is_over(const struct tdw_end *end)
{
    return end->state == TDW_TCP_CLOSED && !end->socket && !end->out.transit.head;
}

void tdw__tcp_settle(struct tdw_connection *connection)
{
    if (!is_over(&connection->ends[0]) || !is_over(&connection->ends[1]))
        return;
    for (int i = 0; i < 2; i++) {
        tdw__work_cancel(&connection->ends[i].out.news);
        tdw__work_cancel(&connection->ends[i].timer);
    }
    tdw__actor_fini(&connection->actor);
    tdw__tcp_free(connection);
}

/* The program and the connection let go of each other. */
void tdw__tcp_detach(struct tdw_end *end)
{
    if (end->socket)
        end->socket->end = NULL;
    end->socket = NULL;
}

void tdw__tcp_forget(struct tdw_end *end)
{
    tdw__work_cancel(&end->timer);
    tdw__work_cancel(&end->out.news);
    end->out.wants_news = end->out.news_sent = false;
    tdw__tcp_drop_unsent(end);
    end->state = TDW_TCP_CLOSED;
    end->listener = NULL;
    if (end->port)
        tdw__port_give(end->port);
    end->port = NULL;
    tdw__tcp_detach(end);
    unlink_end(end);
    tdw__tcp_tell(tdw__other(end));
}

void tdw__tcp_broken(struct tdw_end *end, int error)
{
    struct tdw_socket *socket = end->socket;

    tdw__work_cancel(&end->out.arrival);
    tdw__segments_free(end->loop, &end->out.transit);
    tdw__tcp_forget(end);
    if (!socket)
        return;
    socket->error = error;
    socket->shut = TDW_SHUT_BOTH;
    socket->state = TDW_TCP_CLOSED;
    tdw__port_leave(socket);
    tdw__socket_wake(socket,
                     POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP | POLLRDHUP);
}

/* Say that there is no such connection; at most once. The other end need not ask any more. */
static void reset_peer(struct tdw_end *end)
{
    if (end->reset_sent || !end->host->up)
        return;
    end->reset_sent = true;
    if (!tdw__other(end)->out.news_sent)
        tdw__work_cancel(&tdw__other(end)->out.news);
    tdw__tcp_signal(end, TDW_SEG_RST);
}

/* A connection is cut off from this side: RST instead of FIN. */
void tdw__tcp_abort(struct tdw_end *end)
{
    reset_peer(end);
    tdw__tcp_forget(end);
}

static void way_changed(struct tdw_end *end)
{
    const struct tdw_way *back = tdw__other(end)->way;

    end->back_ns = tdw__way_down(back) ? TDW_NEVER : back->link.latency_ns;
}

void tdw__tcp_ways_changed(struct tdw_net *net)
{
    for (struct tdw_connection *connection = net->connections; connection;
         connection = connection->next) {
        for (int i = 0; i < 2; i++) {
            struct tdw_end *end = &connection->ends[i];

            way_changed(end);
            if (!tdw__tcp_heard(end))
                tdw__tcp_tell(end); /* a sender that waits has to find out */
        }
    }
}

void tdw__tcp_begin(struct tdw_connection *connection, struct tdw_socket *socket,
                    struct tdw_host *to)
{
    struct tdw_world *world = socket->host->world;
    struct tdw_net *net = world->net;

    tdw__actor_init(&connection->actor, world, tdw__own_name(&world->loop));
    connection->next = net->connections;
    if (connection->next)
        connection->next->prev = connection;
    net->connections = connection;
    connection->ends[0].host = socket->host;
    connection->ends[1].host = to;
    for (int i = 0; i < 2; i++) {
        struct tdw_end *end = &connection->ends[i];

        end->connection = connection;
        end->loop = &world->loop;
        end->way = tdw__way(end->host, connection->ends[1 - i].host);
        end->heard_ns = world->loop.now_ns;
    }
    for (int i = 0; i < 2; i++)
        way_changed(&connection->ends[i]);
    connection->ends[0].address = socket->local;
    connection->ends[1].address = socket->peer;
}

/* What options say about an end. */
void tdw__tcp_options(struct tdw_end *end, const struct tdw_socket_options *options)
{
    end->out.no_delay = options->no_delay;
    end->out.cork = end->out.corked = options->cork;
    end->out.send_bytes = options->send_bytes;
    end->user_timeout_ms = options->user_timeout_ms;
    end->window_bytes = options->receive_bytes / 2; /* tcp_adv_win_scale: half is for overhead */
    tdw__other(end)->peer_window_bytes = end->window_bytes;
}

/* ── Timers: keepalive, TIME_WAIT, nobody there ────────────────────────────────────────────── */

static void run_timer(struct tdw_op *work);

void tdw__tcp_arm(struct tdw_end *end, uint64_t due_ns)
{
    tdw__work_cancel(&end->timer);
    end->timer.ordinal = end == &end->connection->ends[1];
    tdw__work_at(&end->timer, &end->connection->actor, end->host, TDW_OP_TIMER, due_ns, run_timer);
}

/* A keepalive probe: would it be answered? */
static void probe(struct tdw_end *end)
{
    const struct tdw_socket_options *options = &end->socket->options;
    const struct tdw_end *to = tdw__other(end);
    const uint64_t now = end->loop->now_ns;
    const uint64_t idle_ns = (uint64_t)options->keep_idle_s * TDW_SECOND_NS;

    if (now - end->heard_ns < idle_ns && end->probes == 0) {
        tdw__tcp_arm(end, end->heard_ns + idle_ns);
        return;
    }
    if (!tdw__tcp_heard(end)) {
        const bool late =
            end->user_timeout_ms && now - end->heard_ns >= (uint64_t)end->user_timeout_ms * 1000000;

        if ((int32_t)end->probes++ >= options->keep_count || late)
            tdw__tcp_broken(end, ETIMEDOUT);
        else
            tdw__tcp_arm(end, now + (uint64_t)options->keep_interval_s * TDW_SECOND_NS);
        return;
    }
    if (to->state == TDW_TCP_CLOSED) {
        tdw__tcp_reset(end);
        return;
    }
    end->probes = 0;
    end->heard_ns = now;
    tdw__tcp_arm(end, now + idle_ns);
}

static void run_timer(struct tdw_op *work)
{
    struct tdw_end *end = tdw_of(work, struct tdw_end, timer);

    switch ((enum tdw_tcp_state)end->state) {
    case TDW_TCP_SYN_SENT:
        tdw__tcp_broken(end, EHOSTUNREACH);
        break;
    case TDW_TCP_ESTABLISHED:
    case TDW_TCP_CLOSE_WAIT:
        if (end->socket && end->socket->options.keep_alive)
            probe(end);
        break;
    case TDW_TCP_FIN_WAIT:
    case TDW_TCP_TIME_WAIT:
        if (!end->socket)
            tdw__tcp_forget(end);
        break;
    case TDW_TCP_CLOSED:
    case TDW_TCP_LISTEN:
    case TDW_TCP_SYN_RECEIVED:
    case TDW_TCP_LAST_ACK:
        break;
    }
    tdw__tcp_settle(end->connection);
}

void tdw__tcp_keepalive(struct tdw_end *end)
{
    const struct tdw_socket_options *options = &end->socket->options;

    if (end->state != TDW_TCP_ESTABLISHED && end->state != TDW_TCP_CLOSE_WAIT)
        return;
    if (options->keep_alive)
        tdw__tcp_arm(end, end->heard_ns + (uint64_t)options->keep_idle_s * TDW_SECOND_NS);
    else
        tdw__work_cancel(&end->timer);
}

/* ── What arrives ──────────────────────────────────────────────────────────────────────────── */

static bool is_full(const struct tdw_socket *listener)
{
    return listener->accept_count > listener->backlog;
}

/* The same by a plan. */
static bool is_deaf(struct tdw_end *end)
{
    const struct tdw_end *client = tdw__other(end);
    struct tdw_blow blow;

    return tdw__way_hit(client->way, TDW_AT_NET_BACKLOG, 0, end->connection->actor.actor,
                        client->out.arrival.ordinal, 1, &blow);
}

bool tdw__tcp_accepts(struct tdw_end *end, const struct tdw_segment *first)
{
    if (first->flags & TDW_SEG_SYN && end->state == TDW_TCP_CLOSED) {
        end->listener = tdw__port_find(end->host, false, &end->address, &tdw__other(end)->address,
                                       end->connection->actor.actor);
        if (!end->listener || !(is_full(end->listener) || is_deaf(end)))
            return true;
        end->listener = NULL;
        return false;
    }
    return !(first->flags & TDW_SEG_ACK) || end->state != TDW_TCP_SYN_RECEIVED ||
           !is_full(end->listener);
}

static void syn_arrived(struct tdw_end *end)
{
    if (end->state != TDW_TCP_CLOSED)
        return;
    if (!end->listener) {
        reset_peer(end);
        return;
    }
    end->state = TDW_TCP_SYN_RECEIVED;
    tdw__tcp_link(end);
    tdw__tcp_options(end, &end->listener->options);
    tdw__tcp_signal(end, TDW_SEG_SYN | TDW_SEG_ACK);
}

static void syn_ack_arrived(struct tdw_end *end)
{
    if (end->state != TDW_TCP_SYN_SENT) {
        reset_peer(end);
        return;
    }
    end->state = TDW_TCP_ESTABLISHED;
    tdw__tcp_signal(end, TDW_SEG_ACK);
    tdw__tcp_keepalive(end);
    tdw__socket_wake(end->socket, POLLOUT | POLLWRNORM |
                                      (end->socket->shut & TDW_SHUT_READ ? POLLIN | POLLRDHUP : 0));
}

/* The third step: somebody can be accepted. */
static void handshake_done(struct tdw_end *end)
{
    struct tdw_socket *listener = end->listener, *child;

    if (end->state != TDW_TCP_SYN_RECEIVED) {
        if (end->state == TDW_TCP_CLOSED)
            reset_peer(end);
        return;
    }
    child = tdw__socket_new(end->host, &tdw__tcp, listener->domain, SOCK_STREAM);
    if (child)
        child->port = tdw__port_share(listener->port, child);
    if (!child || !child->port) {
        tdw__tcp_abort(end);
        if (child)
            tdw__socket_free(child);
        return;
    }
    child->options = listener->options;
    tdw__tcp_options(end, &child->options);
    child->address_wanted = listener->address_wanted;
    child->local = child->port->address = end->address;
    child->peer = tdw__other(end)->address;
    child->end = end;
    child->tried = TDW_CONNECTED;
    end->socket = child;
    end->listener = NULL;
    end->state = TDW_TCP_ESTABLISHED;
    tdw__tcp_keepalive(end);
    child->shut = listener->shut; /* what was shut before it listened */
    if (child->shut & TDW_SHUT_WRITE)
        child->protocol->shutdown(child, SHUT_WR);
    tdw__accept_push(listener, child);
}

void tdw__tcp_reset(struct tdw_end *end)
{
    switch ((enum tdw_tcp_state)end->state) {
    case TDW_TCP_SYN_SENT:
        tdw__tcp_broken(end, ECONNREFUSED);
        break;
    case TDW_TCP_CLOSE_WAIT:
        tdw__tcp_broken(end, EPIPE);
        break;
    case TDW_TCP_SYN_RECEIVED:
    case TDW_TCP_ESTABLISHED:
    case TDW_TCP_FIN_WAIT:
    case TDW_TCP_LAST_ACK:
        tdw__tcp_broken(end, ECONNRESET);
        break;
    case TDW_TCP_TIME_WAIT: /* tcp_rfc1337 is off */
        tdw__tcp_forget(end);
        break;
    case TDW_TCP_CLOSED:
    case TDW_TCP_LISTEN:
        break;
    }
}

static void data_arrived(struct tdw_end *end, struct tdw_segment *segment)
{
    struct tdw_half *half = &tdw__other(end)->out;
    struct tdw_socket *socket = end->socket;

    if (!socket || (end->state == TDW_TCP_FIN_WAIT && socket->shut & TDW_SHUT_READ)) {
        /* Nobody will read it, and the sender must not believe so (RFC 1122, 4.2.2.13). */
        tdw__segment_free(end->loop, segment);
        if (socket)
            tdw__tcp_broken(end, ECONNRESET);
        else if (end->state != TDW_TCP_CLOSED)
            tdw__tcp_forget(end);
        reset_peer(end);
        return;
    }
    half->arrived += segment->bytes;
    half->arrived_ns = end->loop->now_ns;
    socket->received_bytes += segment->bytes;
    tdw__segments_push(&socket->received, segment);
    if (half->wants_news)
        tdw__tcp_tell(tdw__other(end));
    tdw__socket_wake(socket, POLLIN | POLLRDNORM);
}

/* The port stays taken for a minute, whoever holds the socket. */
static void time_wait(struct tdw_end *end)
{
    struct tdw_socket *socket = end->socket;

    end->state = TDW_TCP_TIME_WAIT;
    tdw__tcp_arm(end, end->loop->now_ns + TDW_TCP_MINUTE_NS);
    if (!socket)
        return;
    if (socket->port && !end->port)
        end->port = tdw__port_share(socket->port, NULL);
    tdw__tcp_detach(end);
    socket->ended = true;
    socket->state = TDW_TCP_CLOSED;
    socket->shut = TDW_SHUT_BOTH;
    tdw__port_leave(socket);
    tdw__socket_wake(socket, POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP | POLLOUT | POLLWRNORM);
}

/* Our FIN arrived there: if theirs has come before, this end is over. */
static void fin_acknowledged(struct tdw_end *end)
{
    struct tdw_socket *socket = end->socket;

    if (end->state != TDW_TCP_LAST_ACK)
        return;
    tdw__tcp_detach(end);
    tdw__tcp_forget(end);
    if (socket) {
        socket->state = TDW_TCP_CLOSED;
        tdw__port_leave(socket);
        tdw__socket_wake(socket, POLLHUP);
    }
}

static void fin_arrived(struct tdw_end *end)
{
    struct tdw_socket *socket = end->socket;

    switch ((enum tdw_tcp_state)end->state) {
    case TDW_TCP_ESTABLISHED:
        end->state = TDW_TCP_CLOSE_WAIT;
        if (socket) {
            socket->shut |= TDW_SHUT_READ;
            socket->ended = true;
            tdw__socket_wake(socket, POLLIN | POLLRDNORM | POLLRDHUP);
        }
        break;
    case TDW_TCP_FIN_WAIT:
        time_wait(end);
        break;
    case TDW_TCP_CLOSED:
        if (tdw__other(end)->state != TDW_TCP_CLOSED && tdw__other(end)->state != TDW_TCP_LAST_ACK)
            reset_peer(end);
        break;
    case TDW_TCP_LISTEN:
    case TDW_TCP_SYN_SENT:
    case TDW_TCP_SYN_RECEIVED:
    case TDW_TCP_CLOSE_WAIT:
    case TDW_TCP_LAST_ACK:
    case TDW_TCP_TIME_WAIT:
        break;
    }
    fin_acknowledged(tdw__other(end));
}

void tdw__tcp_arrived(struct tdw_end *end, struct tdw_segment *segment)
{
    const uint16_t flags = segment->flags;

    end->heard_ns = end->loop->now_ns;
    end->probes = 0;
    if (segment->bytes > 0) {
        data_arrived(end, segment);
        return;
    }
    tdw__segment_free(end->loop, segment);
    if (flags & TDW_SEG_RST)
        tdw__tcp_reset(end);
    else if (flags & TDW_SEG_SYN)
        flags &TDW_SEG_ACK ? syn_ack_arrived(end) : syn_arrived(end);
    else if (flags & TDW_SEG_ACK)
        handshake_done(end);
    else if (flags & TDW_SEG_FIN)
        fin_arrived(end);
}
