/* SPDX-License-Identifier: MIT */
/*
 * TCP as programs see it: connect, listen, accept, send, receive, shutdown, close, readiness.
 *
 * Each answers at once with what the state of the socket's end admits (tcp.c), or -EAGAIN or
 * -EINPROGRESS, and then the op waits. Order of what a read answers: bytes that arrived, then the
 * end of the stream if the peer sent it, then a pending error, then an end of our own; of what a
 * write answers: a pending error, then EPIPE.
 *
 * Called through `tdw__tcp`, by the rows of socket.c and transfer.c, by polls and by calls.c.
 */
#include <sim/kernel/net/net.h>
#include <poll.h>

#define UNREACHABLE_NS 3060000000u /* three probes for a neighbour that does not answer */

/* ── Connecting ────────────────────────────────────────────────────────────────────────────── */

static uint8_t state_of(const struct tdw_socket *socket)
{
    return socket->end ? socket->end->state : socket->state;
}

static void stop_listening(struct tdw_socket *socket);

/* connect(AF_UNSPEC): the socket is as new, but for its bound address. */
static int disconnect(struct tdw_socket *socket)
{
    struct tdw_end *end = socket->end;

    const bool cut = end != NULL;

    if (cut) {
        struct tdw_connection *connection = end->connection;

        tdw__tcp_abort(end);
        tdw__tcp_settle(connection);
    }
    if (socket->state == TDW_TCP_LISTEN)
        stop_listening(socket);
    socket->state = TDW_TCP_CLOSED;
    socket->shut = 0;
    socket->ended = false;
    if (cut)
        socket->error = ECONNRESET;
    if (cut || socket->tried != TDW_UNCONNECTED)
        tdw__inet_unbind(socket);
    socket->tried = TDW_UNCONNECTED;
    socket->peer = (struct tdw_address){.port = 0};
    tdw__segments_free(tdw__socket_loop(socket), &socket->received);
    socket->received_bytes = 0;
    tdw__socket_wake(socket, POLLIN | POLLOUT | POLLERR | POLLHUP);
    return 0;
}

/* What a connect answers on a socket that is not fresh; 0: it is. */
static int check_connect(struct tdw_socket *socket)
{
    const uint8_t state = state_of(socket);
    int err;

    switch ((enum tdw_tried)socket->tried) {
    case TDW_UNCONNECTED:
        return state == TDW_TCP_CLOSED ? 0 : -EISCONN;
    case TDW_CONNECTING:
        if (state == TDW_TCP_SYN_SENT)
            return -EALREADY;
        if (state != TDW_TCP_CLOSED) {
            socket->tried = TDW_CONNECTED;
            return 1; /* done, and not told yet */
        }
        err = tdw__socket_error(socket);
        disconnect(socket);
        return err; /* of the attempt before, if nobody was told; else this is a new one */
    case TDW_CONNECTED:
        return -EISCONN;
    case TDW_DISCONNECTING:
        break;
    }
    return -EINVAL;
}

static bool same_address(const struct tdw_address *a, const struct tdw_address *b)
{
    return a->port == b->port && tdw__same_ip(&a->ip, &b->ip);
}

/* Is there a connection between the same ends already? Only a program that chose its port can ask
 * for one. What waits out its minute makes room, as with net.ipv4.tcp_tw_reuse. */
static bool is_connected(const struct tdw_socket *socket, const struct tdw_address *peer)
{
    struct tdw_end *end = socket->port_wanted ? socket->host->net->ends : NULL;

    while (end && (end->state == TDW_TCP_CLOSED || end->state == TDW_TCP_TIME_WAIT ||
                   !same_address(&end->address, &socket->local) ||
                   !same_address(&tdw__other(end)->address, peer)))
        end = end->next;
    return end;
}

static int tcp_connect(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    struct tdw_loop *loop = tdw__socket_loop(socket);
    struct tdw_connection *connection;
    struct tdw_host *to = NULL;
    struct tdw_address peer;
    int err;

    if (address->sa_family == AF_UNSPEC)
        return disconnect(socket);
    err = check_connect(socket);
    if (err)
        return err > 0 ? 0 : err;
    err = tdw__inet_parse(socket, address, bytes, &peer);
    if (err)
        return err;
    err = tdw__inet_reach(socket, &peer.ip);
    if (err)
        return err;
    socket->by_ipv4 |= tdw__is_ipv4(&peer.ip);
    err = tdw__inet_autobind(socket, &peer.ip);
    if (err)
        return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
    if (is_connected(socket, &peer))
        return -EADDRNOTAVAIL;
    connection = tdw__memory_get(loop->memory, sizeof(*connection));
    if (!connection)
        return -ENOMEM;
    socket->peer = peer;
    socket->ended = false;
    socket->error = 0;
    socket->tried = TDW_CONNECTING;
    /* Linux sends by IPv4 for good once it did, and to an IPv6 peer nothing comes of it. */
    if (socket->by_ipv4 == tdw__is_ipv4(&peer.ip))
        to = tdw__host_of(socket->host, &peer.ip);
    tdw__tcp_begin(connection, socket, to ? to : socket->host);
    socket->end = &connection->ends[0];
    socket->end->socket = socket;
    socket->end->state = TDW_TCP_SYN_SENT;
    tdw__tcp_link(socket->end);
    tdw__tcp_options(socket->end, &socket->options);
    if (to)
        tdw__tcp_signal(socket->end, TDW_SEG_SYN);
    else
        tdw__tcp_arm(socket->end, loop->now_ns + UNREACHABLE_NS);
    return -EINPROGRESS;
}

static int tcp_connected(struct tdw_socket *socket)
{
    const uint8_t state = state_of(socket);

    if (state == TDW_TCP_SYN_SENT)
        return -EINPROGRESS;
    if (state == TDW_TCP_CLOSED && socket->tried == TDW_CONNECTING)
        return socket->error ? -socket->error : -ECONNABORTED;
    if (state == TDW_TCP_CLOSED && socket->tried == TDW_UNCONNECTED &&
        socket->shut == TDW_SHUT_BOTH) /* it was shut down meanwhile */
        return -socket->error;
    if (socket->tried == TDW_CONNECTING)
        socket->tried = TDW_CONNECTED;
    return 0;
}

/* ── Listening and accepting ───────────────────────────────────────────────────────────────── */

static int tcp_listen(struct tdw_socket *socket, int backlog)
{
    const struct in6_addr any = tdw__inet_any(socket->domain);
    int err;

    if (socket->tried != TDW_UNCONNECTED ||
        (socket->state != TDW_TCP_CLOSED && socket->state != TDW_TCP_LISTEN))
        return -EINVAL;
    if ((uint32_t)backlog > TDW_SOMAXCONN)
        backlog = TDW_SOMAXCONN;
    socket->backlog = (uint32_t)backlog;
    if (socket->state == TDW_TCP_LISTEN)
        return 0;
    if (!socket->port) {
        const struct tdw_address own = {.ip = socket->address_wanted ? socket->local.ip : any};

        err = tdw__port_take(socket, own, &socket->port);
        if (err)
            return err;
        socket->local = socket->port->address;
    }
    if (!tdw__port_may_listen(socket->port))
        return -EADDRINUSE;
    socket->port->listens = true;
    socket->state = TDW_TCP_LISTEN;
    return 0;
}

static int tcp_accept(struct tdw_socket *socket, struct tdw_socket **child)
{
    if (socket->state != TDW_TCP_LISTEN)
        return -EINVAL;
    *child = tdw__accept_pop(socket);
    return *child ? 0 : -EAGAIN;
}

/* Who is not accepted yet is cut off; handshakes are forgotten. */
static void stop_listening(struct tdw_socket *socket)
{
    struct tdw_socket *child;
    struct tdw_end *next;

    socket->state = TDW_TCP_CLOSED;
    while ((child = tdw__accept_pop(socket)) != NULL) {
        child->options.linger_s = 0;
        child->protocol->release(child);
    }
    for (struct tdw_end *end = socket->host->net->ends; end; end = next) {
        next = end->next;
        if (end->listener == socket) {
            struct tdw_connection *connection = end->connection;

            tdw__tcp_forget(end);
            tdw__tcp_settle(connection);
        }
    }
    if (socket->port)
        socket->port->listens = false;
    tdw__port_leave(socket);
}

/* ── Sending and receiving ─────────────────────────────────────────────────────────────────── */

static uint64_t buffered(const struct tdw_end *end)
{
    return end->out.written - end->out.acked;
}

bool tdw__tcp_writable(const struct tdw_end *end)
{
    return buffered(end) <= (uint64_t)end->out.send_bytes * 2 / 3;
}

/* Room in the send buffer; if there is none, the end wants to be told. */
static uint64_t room(struct tdw_end *end)
{
    const uint64_t max = end->out.send_bytes;

    if (buffered(end) < max)
        return max - buffered(end);
    tdw__tcp_catch_up(end);
    if (buffered(end) < max)
        return max - buffered(end);
    tdw__tcp_want_news(end);
    return 0;
}

static bool tcp_send_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    if (socket->error || socket->shut & TDW_SHUT_WRITE || !socket->end)
        return false;
    if (socket->end->state == TDW_TCP_SYN_SENT)
        return true;
    return want->bytes > 0 && room(socket->end) == 0;
}

/* Small sends that are held back fill up a segment of the wire's size (as tcp_sendmsg does). */
static size_t room_for(uint64_t bytes)
{
    if (bytes > TDW_SEGMENT_BYTES)
        return TDW_SEGMENT_BYTES;
    return bytes < TDW_MSS ? TDW_MSS : bytes;
}

/* Copy up to `max` bytes behind what is not sent yet. */
static int64_t take_in(struct tdw_end *end, struct tdw_msg *msg, uint64_t max)
{
    struct tdw_half *half = &end->out;
    int64_t done = 0;

    while (msg->io.left > 0 && (uint64_t)done < max) {
        struct tdw_segment *tail = half->unsent.head ? half->unsent.tail : NULL;
        uint64_t part = msg->io.left < max - (uint64_t)done ? msg->io.left : max - (uint64_t)done;
        uint32_t spare = tail ? tail->room - tail->off - tail->bytes : 0;

        if (spare == 0) {
            tail = tdw__segment_new(end->loop, room_for(part));
            if (!tail)
                return done > 0 ? done : -ENOMEM;
            tdw__segments_push(&half->unsent, tail);
            spare = tail->room;
        }
        part = part < spare ? part : spare;
        tdw__io_take(&msg->io, tail->data + tail->off + tail->bytes, part);
        tail->bytes += (uint32_t)part;
        half->written += part;
        done += (int64_t)part;
    }
    return done;
}

static bool is_open(const struct tdw_end *end)
{
    return end->state == TDW_TCP_ESTABLISHED || end->state == TDW_TCP_CLOSE_WAIT;
}

static int64_t tcp_send(struct tdw_socket *socket, struct tdw_msg *msg)
{
    struct tdw_end *end = socket->end;
    uint64_t space;
    int64_t done;

    int err;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (end && end->state == TDW_TCP_SYN_SENT)
        return -EAGAIN;
    err = msg->control && end && is_open(end) ? tdw__inet_control(msg, false) : 0;
    if (err)
        return err;
    if (socket->error)
        return tdw__socket_error(socket);
    if (!end || socket->shut & TDW_SHUT_WRITE)
        return -EPIPE;
    if (msg->io.left == 0)
        return 0;
    space = room(end);
    if (space == 0)
        return -EAGAIN;
    done = take_in(end, msg, space);
    if (done > 0) {
        end->out.cork = end->out.corked || msg->flags & MSG_MORE;
        tdw__tcp_push(end);
    }
    return done;
}

static bool tcp_receive_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    const uint64_t low = socket->options.low_water;
    const uint64_t least = want->bytes < low ? want->bytes : low;

    if (want->urgent || socket->received_bytes >= (least ? least : 1) || socket->error ||
        socket->shut & TDW_SHUT_READ)
        return false;
    return state_of(socket) != TDW_TCP_CLOSED && socket->state != TDW_TCP_LISTEN;
}

static int64_t tcp_receive(struct tdw_socket *socket, struct tdw_msg *msg)
{
    int64_t done;

    if (socket->state == TDW_TCP_LISTEN)
        return -ENOTCONN;
    if (msg->flags & MSG_OOB)
        return -EINVAL;
    if (socket->received_bytes > 0) {
        done = tdw__receive_stream(socket, msg);
        if (socket->end && !(msg->flags & MSG_PEEK))
            tdw__tcp_taken(socket->end, (uint64_t)done);
        return done;
    }
    if (socket->ended)
        return 0;
    if (socket->error)
        return tdw__socket_error(socket);
    if (socket->shut & TDW_SHUT_READ)
        return 0;
    return state_of(socket) == TDW_TCP_CLOSED ? -ENOTCONN : -EAGAIN;
}

/* ── Readiness, ends ───────────────────────────────────────────────────────────────────────── */

static uint32_t tcp_ready(struct tdw_socket *socket)
{
    const uint8_t state = state_of(socket);
    uint32_t ready = 0;

    if (socket->state == TDW_TCP_LISTEN)
        return socket->accept_head ? POLLIN | POLLRDNORM : 0;
    if (socket->shut == TDW_SHUT_BOTH || state == TDW_TCP_CLOSED)
        ready |= POLLHUP;
    if (socket->shut & TDW_SHUT_READ)
        ready |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (socket->error)
        ready |= POLLERR;
    if (state == TDW_TCP_SYN_SENT)
        return ready;
    if (socket->received_bytes >= (socket->options.low_water ? socket->options.low_water : 1))
        ready |= POLLIN | POLLRDNORM;
    if (!socket->end || socket->shut & TDW_SHUT_WRITE || tdw__tcp_writable(socket->end))
        return ready | POLLOUT | POLLWRNORM;
    tdw__tcp_catch_up(socket->end);
    if (tdw__tcp_writable(socket->end))
        return ready | POLLOUT | POLLWRNORM;
    tdw__tcp_want_news(socket->end);
    return ready;
}

/* The program will send nothing any more: what is written goes out, then a FIN. */
static void finish(struct tdw_end *end)
{
    if (end->state == TDW_TCP_ESTABLISHED)
        end->state = TDW_TCP_FIN_WAIT;
    else if (end->state == TDW_TCP_CLOSE_WAIT)
        end->state = TDW_TCP_LAST_ACK;
    else
        return;
    end->out.fin_queued = true;
    tdw__tcp_push(end);
}

static int tcp_shutdown(struct tdw_socket *socket, int how)
{
    const uint8_t state = state_of(socket);

    if (state == TDW_TCP_LISTEN) {
        if (how == SHUT_WR)
            return 0;
        stop_listening(socket);
        socket->shut = 0;
        tdw__socket_wake(socket, POLLIN | POLLHUP);
        return 0;
    }
    if (socket->tried == TDW_CONNECTING)
        socket->tried = state == TDW_TCP_CLOSED || state == TDW_TCP_SYN_SENT ? TDW_DISCONNECTING
                                                                             : TDW_CONNECTED;
    if (state == TDW_TCP_SYN_SENT) {
        struct tdw_connection *connection = socket->end->connection;

        tdw__tcp_broken(socket->end, ECONNRESET);
        tdw__tcp_settle(connection);
        tdw__inet_unbind(socket);
        socket->tried = TDW_UNCONNECTED;
        return 0;
    }
    socket->shut |= (uint8_t)(how + 1);
    if (how != SHUT_RD && socket->end)
        finish(socket->end);
    tdw__socket_wake(socket,
                     (how != SHUT_WR ? POLLIN | POLLRDNORM | POLLRDHUP : 0) |
                         (how != SHUT_RD ? POLLOUT | POLLWRNORM : 0) |
                         (socket->shut == TDW_SHUT_BOTH || state == TDW_TCP_CLOSED ? POLLHUP : 0));
    return state == TDW_TCP_CLOSED ? -ENOTCONN : 0;
}

static int tcp_name(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address)
{
    if (peer && (!socket->end || socket->end->state == TDW_TCP_SYN_SENT))
        return -ENOTCONN;
    return tdw__inet_name(socket, peer, address);
}

static void tcp_options_changed(struct tdw_socket *socket)
{
    if (!socket->end)
        return;
    tdw__tcp_options(socket->end, &socket->options);
    tdw__tcp_keepalive(socket->end);
    tdw__tcp_push(socket->end);
}

static uint64_t tcp_unsent(struct tdw_socket *socket)
{
    if (!socket->end)
        return 0;
    tdw__tcp_catch_up(socket->end);
    return buffered(socket->end);
}

/* The program closed the socket of `end`. */
static void close_end(struct tdw_end *end, struct tdw_socket *socket)
{
    const bool unread = socket->received_bytes > 0;

    tdw__tcp_detach(end);
    end->port = end->port ? end->port : socket->port;
    if (end->port == socket->port)
        socket->port = NULL;
    if (end->port)
        end->port->socket = NULL;
    tdw__work_cancel(&end->timer);
    if (!end->host->up || end->state == TDW_TCP_SYN_SENT) {
        tdw__tcp_forget(end);
    } else if (unread || socket->options.linger_s == 0) {
        tdw__tcp_abort(end);
    } else {
        end->out.cork = false;
        finish(end);
        if (end->state == TDW_TCP_FIN_WAIT)
            tdw__tcp_arm(end, end->loop->now_ns + TDW_TCP_MINUTE_NS);
    }
    tdw__tcp_settle(end->connection);
}

static void tcp_release(struct tdw_socket *socket)
{
    if (socket->state == TDW_TCP_LISTEN)
        stop_listening(socket);
    if (socket->end)
        close_end(socket->end, socket);
    if (socket->port)
        tdw__port_give(socket->port);
    tdw__socket_free(socket);
}

const struct tdw_protocol tdw__tcp = {
    .name = "tcp",
    .stream = true,
    .bind = tdw__inet_bind,
    .listen = tcp_listen,
    .connect = tcp_connect,
    .connected = tcp_connected,
    .accept = tcp_accept,
    .send = tcp_send,
    .receive = tcp_receive,
    .send_waits = tcp_send_waits,
    .receive_waits = tcp_receive_waits,
    .shutdown = tcp_shutdown,
    .ready = tcp_ready,
    .name_of = tcp_name,
    .options_changed = tcp_options_changed,
    .unsent = tcp_unsent,
    .release = tcp_release,
};
