/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets: streams, datagrams, and sequenced packets, by path, by abstract name, in pairs.
 *
 * Bytes go straight into the peer's queue; there is no way in between and nothing on it. A sender
 * waits while the peer's queue is full: as many bytes as its send buffer for connected sockets, ten
 * datagrams otherwise. Who waits for another socket's queue stands in a list of that one, and is
 * woken when it has room again, newest first as on Linux, or when its owner goes.
 *
 * A connection is there as soon as connect answers, whether or not it is accepted yet. A peer that
 * closes with bytes unread leaves ECONNRESET behind. Names are unix_name.c's.
 */
#include <sim/kernel/net/unix.h>
#include <poll.h>

enum { DGRAM_QUEUE = 10 }; /* net.unix.max_dgram_qlen */

static struct tdw_unix *of(struct tdw_socket *socket)
{
    return tdw__unix_of(socket);
}

static struct ucred own_cred(void)
{
    return (struct ucred){.pid = tdw__process()->pid};
}

static int unix_open(struct tdw_socket *socket)
{
    struct tdw_unix *own =
        tdw__memory_get(tdw__socket_loop(socket)->memory, sizeof(*socket->unix_));

    if (!own)
        return -ENOMEM;
    own->socket = socket;
    own->cred = own_cred();
    tdw__node_init(&own->followers);
    tdw__node_init(&own->follows);
    tdw__node_init(&own->waiters);
    tdw__node_init(&own->waits);
    tdw__node_first(&socket->host->net->locals, &own->of_host);
    socket->unix_ = own;
    return 0;
}

static void set_peer(struct tdw_socket *socket, struct tdw_socket *peer)
{
    struct tdw_unix *own = of(socket);

    tdw__node_out(&own->follows);
    own->peer = peer;
    if (peer)
        tdw__node_first(&of(peer)->followers, &own->follows);
}

/* ── Waiting for room ──────────────────────────────────────────────────────────────────────── */

/* The socket waits for room in the queue of `peer`. */
static void wait_for_room(struct tdw_socket *socket, struct tdw_socket *peer)
{
    struct tdw_unix *own = of(socket);

    of(peer)->waited = true;
    if (tdw__node_alone(&own->waits)) {
        tdw__node_first(&of(peer)->waiters, &own->waits);
        own->waits_for = peer;
    } else if (own->waits_for != peer) { /* for several: each that has room tells it */
        tdw__node_out(&own->waits);
        tdw__node_first(&socket->host->net->waiting, &own->waits);
        own->waits_for = NULL;
    }
}

/* The socket waits until the listener, which is full, accepts somebody: it stays in the list until
 * it is connected or refused. */
static void want(struct tdw_socket *socket, struct tdw_socket *listener)
{
    wait_for_room(socket, listener);
    of(socket)->wanted = listener;
}

static void stop_waiting(struct tdw_socket *socket)
{
    tdw__node_out(&of(socket)->waits);
    of(socket)->waits_for = of(socket)->wanted = NULL;
}

/* A wake may look at any socket, and so move any into, out of, and between such lists: whoever is
 * in this one now is put aside first, and then taken from the front. */
static void look_again(struct tdw_node *list)
{
    struct tdw_node aside;

    tdw__node_init(&aside);
    tdw__node_all(list, &aside);
    while (!tdw__node_alone(&aside)) {
        struct tdw_node *node = aside.next;
        struct tdw_socket *other = tdw_of(node, struct tdw_unix, waits)->socket;

        tdw__node_out(node);
        if (of(other)->wanted)
            tdw__node_last(list, node);
        else
            of(other)->waits_for = NULL;
        tdw__socket_wake(other, POLLOUT | POLLWRNORM | POLLWRBAND);
    }
}

/* Whoever waits for room in the queue of `socket` looks again. */
static void room_again(struct tdw_socket *socket)
{
    if (!of(socket)->waited)
        return;
    of(socket)->waited = false;
    look_again(&of(socket)->waiters);
    look_again(&socket->host->net->waiting);
}

/* ── Connections ───────────────────────────────────────────────────────────────────────────── */

static void join(struct tdw_socket *a, struct tdw_socket *b)
{
    set_peer(a, b);
    of(a)->peer_name = of(b)->name;
    of(a)->peer_name_bytes = of(b)->name_bytes;
    of(a)->peer_cred = of(b)->cred;
    a->state = TDW_TCP_ESTABLISHED;
}

int tdw__unix_pair(struct tdw_host *host, int type, struct tdw_socket *pair[2])
{
    const struct tdw_protocol *protocol = type == SOCK_STREAM  ? &tdw__unix_stream
                                          : type == SOCK_DGRAM ? &tdw__unix_dgram
                                                               : &tdw__unix_seqpacket;

    pair[0] = tdw__socket_new(host, protocol, AF_UNIX, type);
    pair[1] = pair[0] ? tdw__socket_new(host, protocol, AF_UNIX, type) : NULL;
    if (!pair[1]) {
        if (pair[0])
            protocol->release(pair[0]);
        return -ENOMEM;
    }
    join(pair[0], pair[1]);
    join(pair[1], pair[0]);
    return 0;
}

static int unix_listen(struct tdw_socket *socket, int backlog)
{
    if (of(socket)->name_bytes == 0 ||
        (socket->state != TDW_TCP_CLOSED && socket->state != TDW_TCP_LISTEN))
        return -EINVAL;
    socket->state = TDW_TCP_LISTEN;
    socket->backlog = (uint32_t)backlog > TDW_SOMAXCONN ? TDW_SOMAXCONN : (uint32_t)backlog;
    of(socket)->cred = own_cred();
    room_again(socket);
    return 0;
}

/* A new socket stands for us at the listener, and we are connected to it. */
static int enqueue(struct tdw_socket *socket, struct tdw_socket *listener)
{
    struct tdw_socket *child;

    if (listener->accept_count > listener->backlog)
        return -EAGAIN;
    child = tdw__socket_new(listener->host, listener->protocol, AF_UNIX, listener->type);
    if (!child)
        return -ENOMEM;
    of(child)->name = of(listener)->name;
    of(child)->name_bytes = of(listener)->name_bytes;
    of(child)->cred = of(listener)->cred;
    of(child)->inode = NULL;
    child->options.pass_cred = listener->options.pass_cred;
    join(child, socket);
    join(socket, child);
    tdw__accept_push(listener, child);
    return 0;
}

/* Streams and sequenced packets. */
static int unix_connect(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    struct tdw_socket *listener;
    struct sockaddr_un name;
    int err = tdw__unix_parse(address, bytes, &name);

    if (err < 0)
        return err;
    err = tdw__unix_name_if_passing(socket);
    if (err)
        return err;
    err = tdw__unix_find(socket, address, bytes, &listener);
    if (err)
        return err;
    if (listener->state != TDW_TCP_LISTEN || listener->shut & TDW_SHUT_READ)
        return -ECONNREFUSED;
    if (listener->accept_count <= listener->backlog && socket->state != TDW_TCP_CLOSED)
        return socket->state == TDW_TCP_ESTABLISHED ? -EISCONN : -EINVAL;
    of(socket)->cred = own_cred();
    stop_waiting(socket); /* for another listener */
    err = enqueue(socket, listener);
    if (err != -EAGAIN)
        return err;
    want(socket, listener);
    return -EINPROGRESS;
}

static int unix_connected(struct tdw_socket *socket)
{
    struct tdw_socket *listener = of(socket)->wanted;
    int err;

    if (socket->state == TDW_TCP_ESTABLISHED)
        return 0;
    if (!listener)
        return -ECONNREFUSED;
    if (listener->state == TDW_TCP_LISTEN && !(listener->shut & TDW_SHUT_READ))
        err = enqueue(socket, listener);
    else
        err = -ECONNREFUSED;
    if (err == -EAGAIN) {
        of(listener)->waited = true;
        return -EINPROGRESS;
    }
    stop_waiting(socket);
    return err;
}

static int unix_accept(struct tdw_socket *socket, struct tdw_socket **child)
{
    if (socket->state != TDW_TCP_LISTEN)
        return -EINVAL;
    *child = tdw__accept_pop(socket);
    if (!*child)
        return socket->shut & TDW_SHUT_READ ? -EINVAL : -EAGAIN;
    room_again(socket);
    return 0;
}

/* Does a datagram socket have a peer, if only one that has gone, which is not `other`? */
static bool is_taken(struct tdw_socket *socket, const struct tdw_socket *other)
{
    return socket->state == TDW_TCP_ESTABLISHED && of(socket)->peer != other;
}

static void purge(struct tdw_socket *socket)
{
    struct tdw_segments received = socket->received;

    socket->received.head = NULL;
    socket->received_bytes = 0;
    socket->messages = 0;
    tdw__segments_free(tdw__socket_loop(socket), &received);
}

/* A datagram socket has another peer than `old` now, or none: what waits to be received is lost,
 * and who thinks to be connected is told. */
static void part(struct tdw_socket *socket, struct tdw_socket *old)
{
    if (!socket->received.head)
        return;
    purge(socket);
    room_again(socket);
    if (old && of(old)->peer == socket) {
        old->error = ECONNRESET;
        tdw__socket_wake(old, POLLERR);
    }
}

/* Nor does it wait for the old one's room. */
static void wait_no_more(struct tdw_socket *socket)
{
    if (tdw__node_alone(&of(socket)->waits))
        return;
    stop_waiting(socket);
    tdw__socket_wake(socket, POLLOUT | POLLWRNORM | POLLWRBAND);
}

static int dgram_connect(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    struct tdw_socket *const old = of(socket)->peer;
    const bool parts = socket->state == TDW_TCP_ESTABLISHED; /* maybe from one that has gone */
    struct tdw_socket *peer;
    struct sockaddr_un name;
    int err;

    if (address->sa_family == AF_UNSPEC) {
        set_peer(socket, NULL);
        socket->state = TDW_TCP_CLOSED;
        if (parts)
            part(socket, old);
        wait_no_more(socket);
        return 0;
    }
    err = tdw__unix_parse(address, bytes, &name);
    if (err < 0)
        return err;
    err = tdw__unix_name_if_passing(socket);
    if (err)
        return err;
    err = tdw__unix_find(socket, address, bytes, &peer);
    if (err)
        return err;
    if (is_taken(peer, socket))
        return -EPERM;
    join(socket, peer);
    if (parts && old != peer)
        part(socket, old);
    if (old != peer)
        wait_no_more(socket);
    return 0;
}

static int dgram_connected(struct tdw_socket *socket)
{
    (void)socket;
    return 0;
}

/* ── Sending ───────────────────────────────────────────────────────────────────────────────── */

static bool is_full(const struct tdw_socket *socket, const struct tdw_socket *peer)
{
    if (socket->type == SOCK_DGRAM)
        return peer->messages > DGRAM_QUEUE;
    return peer->received_bytes >= socket->options.send_bytes;
}

/* Where a message goes; what a send answers if nowhere. */
static int destination(struct tdw_socket *socket, const struct tdw_msg *msg,
                       struct tdw_socket **peer)
{
    const bool dgram = socket->type == SOCK_DGRAM;
    int err;

    if (socket->type == SOCK_STREAM && msg->name_bytes > 0)
        return socket->state == TDW_TCP_ESTABLISHED ? -EISCONN : -EOPNOTSUPP;
    if (dgram && msg->name_bytes > 0) {
        if (socket->shut & TDW_SHUT_WRITE)
            return -EPIPE;
        err = tdw__unix_find(socket, msg->name, msg->name_bytes, peer);
        if (err)
            return err;
    } else {
        *peer = of(socket)->peer;
        if (dgram && socket->shut & TDW_SHUT_WRITE)
            return -EPIPE;
        if (socket->state != TDW_TCP_ESTABLISHED)
            return -ENOTCONN;
        if (!dgram)
            return *peer ? 0 : -EPIPE;
        if (!*peer) {
            socket->state = TDW_TCP_CLOSED; /* told once: the peer has gone */
            part(socket, NULL);
            return -ECONNREFUSED;
        }
    }
    return is_taken(*peer, socket) ? -EPERM : 0;
}

static bool unix_send_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    struct tdw_socket *peer = of(socket)->peer;

    if (socket->type == SOCK_DGRAM && want->name &&
        tdw__unix_find(socket, want->name, want->name_bytes, &peer))
        return false;
    if (!peer || socket->error || socket->shut & TDW_SHUT_WRITE || peer->shut & TDW_SHUT_READ ||
        !is_full(socket, peer))
        return false;
    wait_for_room(socket, peer);
    return true;
}

/* With the bytes goes who sends them, if anybody wants to know. */
static void add_sender(const struct tdw_socket *socket, const struct tdw_socket *peer,
                       const struct tdw_msg *msg, struct ucred *sender)
{
    const bool claimed = memcmp(sender, &TDW_SENDER_UNKNOWN, sizeof(*sender)) != 0;

    if (!claimed && (socket->options.pass_cred || peer->options.pass_cred))
        *sender = (struct ucred){.pid = msg->process->pid};
}

static int64_t put(struct tdw_socket *socket, struct tdw_socket *peer, struct tdw_msg *msg,
                   size_t bytes, const struct ucred *sender)
{
    const struct tdw_unix *own = of(socket);
    const socklen_t name = socket->type == SOCK_DGRAM ? own->name_bytes : 0;
    struct tdw_segment *segment = tdw__segment_new(tdw__socket_loop(socket), name + bytes);

    if (!segment)
        return -ENOBUFS;
    memcpy(segment->data, &own->name, name);
    segment->name_bytes = (uint16_t)name;
    segment->off = name;
    segment->bytes = (uint32_t)bytes;
    segment->sender = *sender;
    tdw__io_take(&msg->io, segment->data + name, bytes);
    tdw__segments_push(&peer->received, segment);
    peer->received_bytes += bytes;
    peer->messages += socket->type != SOCK_STREAM;
    return (int64_t)bytes;
}

static int64_t put_stream(struct tdw_socket *socket, struct tdw_socket *peer, struct tdw_msg *msg,
                          struct tdw_passed *passed, const struct ucred *sender)
{
    const uint64_t max = socket->options.send_bytes;
    int64_t done = 0;

    while (msg->io.left > 0 && peer->received_bytes < max) {
        const uint64_t space = max - peer->received_bytes;
        size_t part = msg->io.left < space ? msg->io.left : (size_t)space;
        int64_t put_bytes;

        part = part < TDW_SEGMENT_BYTES ? part : TDW_SEGMENT_BYTES;
        put_bytes = put(socket, peer, msg, part, sender);
        if (put_bytes < 0)
            return done ? done : put_bytes;
        if (done == 0)
            peer->received.tail->passed = passed;
        done += put_bytes;
    }
    return done ? done : -EAGAIN;
}

/* What a send answers before anything is moved: 0 and where it goes, or -errno. */
static int may_send(struct tdw_socket *socket, const struct tdw_msg *msg, struct tdw_socket **peer)
{
    struct sockaddr_un name;
    int err;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (socket->type == SOCK_DGRAM && msg->name_bytes > 0) {
        err = tdw__unix_parse(msg->name, msg->name_bytes, &name);
        if (err < 0)
            return err;
    }
    err = socket->type == SOCK_STREAM ? 0 : tdw__unix_name_if_passing(socket);
    if (err)
        return err;
    if (socket->type == SOCK_DGRAM && msg->io.left > socket->options.send_bytes - 32)
        return -EMSGSIZE;
    if (socket->error && socket->type != SOCK_STREAM)
        return tdw__socket_error(socket);
    err = destination(socket, msg, peer);
    if (err)
        return err;
    if (socket->shut & TDW_SHUT_WRITE || (*peer)->shut & TDW_SHUT_READ)
        return -EPIPE;
    if (socket->type == SOCK_SEQPACKET && msg->io.left > socket->options.send_bytes - 32)
        return -EMSGSIZE;
    if (socket->type == SOCK_STREAM && msg->io.left == 0)
        return 0;
    return is_full(socket, *peer) ? -EAGAIN : 0;
}

static int64_t unix_send(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const bool stream = socket->type == SOCK_STREAM;
    const size_t bytes = msg->io.left;
    struct ucred sender = TDW_SENDER_UNKNOWN;
    struct tdw_passed *passed;
    struct tdw_socket *peer = NULL;
    int64_t done;
    int err;

    if (socket->type == SOCK_SEQPACKET && socket->error)
        return tdw__socket_error(socket);
    if (socket->type == SOCK_SEQPACKET && socket->state != TDW_TCP_ESTABLISHED)
        return -ENOTCONN;
    err = tdw__passed_take(socket, msg, &passed, &sender);
    if (err)
        return err;
    done = may_send(socket, msg, &peer);
    if (done == 0 && !(stream && bytes == 0)) {
        add_sender(socket, peer, msg, &sender);
        if (stream) {
            done = put_stream(socket, peer, msg, passed, &sender);
        } else {
            done = put(socket, peer, msg, bytes, &sender);
            if (done >= 0)
                peer->received.tail->passed = passed;
        }
        if (done >= 0) {
            tdw__socket_wake(peer, POLLIN | POLLRDNORM | POLLRDBAND);
            return done;
        }
    }
    if (passed)
        tdw__passed_free(tdw__socket_loop(socket), passed);
    return done;
}

/* ── Receiving ─────────────────────────────────────────────────────────────────────────────── */

static bool unix_receive_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    if (want->urgent || socket->received.head || socket->error || socket->shut & TDW_SHUT_READ)
        return false;
    return socket->type == SOCK_DGRAM || socket->state == TDW_TCP_ESTABLISHED;
}

/* Who sent it, of a connected socket: its peer, if that has a name. */
static void name_out(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const struct tdw_unix *own = of(socket);
    const struct tdw_unix *from = own->peer ? of(own->peer) : NULL;
    const socklen_t bytes = from ? from->name_bytes : own->peer_name_bytes;
    struct sockaddr_storage name;
    socklen_t room = msg->name_room;

    if (bytes == 0 || !msg->name)
        return;
    memcpy(&name, from ? &from->name : &own->peer_name, sizeof(own->name));
    tdw__address_out(&name, bytes, msg->name, &room);
    msg->name_bytes = bytes;
}

/* What was first is taken: its sender is told of room, as on Linux, also if it did not wait, which
 * is an edge for who polls it. Of datagrams nobody knows any more who sent them. */
static void tell_sender(const struct tdw_socket *socket)
{
    struct tdw_socket *peer = tdw__unix_of(socket)->peer;

    if (socket->type != SOCK_DGRAM && peer && (peer->changed.head || peer->changed.watches) &&
        socket->received_bytes * 4 <= peer->options.send_bytes)
        tdw__wake_for(&peer->changed, POLLOUT | POLLWRNORM | POLLWRBAND);
}

static int64_t unix_receive(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const struct tdw_segment *const first = socket->received.head;
    int64_t done;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (socket->type != SOCK_DGRAM && socket->state != TDW_TCP_ESTABLISHED)
        return socket->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
    if (socket->error && (socket->type != SOCK_STREAM || !socket->received.head))
        return tdw__socket_error(socket);
    if (!socket->received.head) {
        if (socket->type == SOCK_DGRAM && msg->io.nowait)
            return -EAGAIN; /* also if it is shut down */
        if (!(socket->shut & TDW_SHUT_READ))
            return -EAGAIN;
        if (socket->type == SOCK_STREAM) /* the end is told as from nobody */
            tdw__sender_give(socket, &(struct ucred){.pid = 0}, msg);
        return 0;
    }
    if (socket->type != SOCK_STREAM && !(msg->flags & MSG_PEEK))
        socket->messages--;
    if (socket->type != SOCK_DGRAM)
        name_out(socket, msg);
    done = socket->type == SOCK_STREAM ? tdw__receive_stream(socket, msg)
                                       : tdw__receive_message(socket, msg);
    room_again(socket);
    if (socket->received.head != first)
        tell_sender(socket);
    return done;
}

/* ── Readiness, ends ───────────────────────────────────────────────────────────────────────── */

static uint32_t unix_ready(struct tdw_socket *socket)
{
    struct tdw_socket *peer = of(socket)->peer;
    uint32_t ready = socket->error ? POLLERR : 0;

    if (socket->shut == TDW_SHUT_BOTH ||
        (socket->type != SOCK_DGRAM && socket->state == TDW_TCP_CLOSED))
        ready |= POLLHUP;
    if (socket->shut & TDW_SHUT_READ)
        ready |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (socket->state == TDW_TCP_LISTEN)
        return ready | (socket->accept_head ? POLLIN | POLLRDNORM : 0);
    if (socket->received.head)
        ready |= POLLIN | POLLRDNORM;
    /* A quarter of the send buffer may be in use (unix_writable). */
    if (!peer ||
        (socket->type == SOCK_DGRAM ? !is_full(socket, peer)
                                    : peer->received_bytes * 4 <= socket->options.send_bytes))
        return ready | POLLOUT | POLLWRNORM | POLLWRBAND;
    wait_for_room(socket, peer);
    return ready;
}

static int unix_shutdown(struct tdw_socket *socket, int how)
{
    struct tdw_socket *peer = of(socket)->peer;
    const uint32_t all = POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM | POLLHUP;

    socket->shut |= (uint8_t)(how + 1);
    if (peer && socket->type != SOCK_DGRAM) {
        peer->shut |=
            (uint8_t)((how != SHUT_RD ? TDW_SHUT_READ : 0) | (how != SHUT_WR ? TDW_SHUT_WRITE : 0));
        tdw__socket_wake(peer, all);
    }
    tdw__socket_wake(socket, all);
    return 0;
}

struct ucred tdw__unix_peer_cred(const struct tdw_socket *socket)
{
    const struct ucred none = {.uid = (uid_t)-1, .gid = (gid_t)-1};

    return socket->state == TDW_TCP_ESTABLISHED ? socket->unix_->peer_cred : none;
}

void tdw__unix_purge(struct tdw_host *host)
{
    struct tdw_node *const list = &host->net->locals;
    struct tdw_node left;

    tdw__node_init(&left);
    while (!tdw__node_alone(list)) {
        struct tdw_node *node = list->next;

        tdw__node_out(node);
        tdw__node_first(&left, node);
    }
    /* What is freed may close other sockets, which leave whichever of the lists they are in. */
    while (!tdw__node_alone(&left)) {
        struct tdw_node *node = left.next;

        tdw__node_out(node);
        tdw__node_first(list, node);
        purge(tdw_of(node, struct tdw_unix, of_host)->socket);
    }
}

/* Is there something that was not read? As Linux asks (since 6.17): beyond a first empty message.
 */
static bool is_unread(const struct tdw_socket *socket)
{
    const struct tdw_segment *first = socket->received.head;

    return first && (first->bytes > 0 || first->next);
}

/* The peer of a socket that closes: its stream ends, or its datagrams have nowhere to go. */
static void leave(struct tdw_socket *socket, struct tdw_socket *peer)
{
    of(peer)->peer_name = of(socket)->name;
    of(peer)->peer_name_bytes = of(socket)->name_bytes;
    set_peer(peer, NULL);
    if (socket->type == SOCK_DGRAM) {
        tdw__socket_wake(peer, POLLOUT | POLLWRNORM);
        return;
    }
    peer->shut = TDW_SHUT_BOTH;
    if (is_unread(socket))
        peer->error = ECONNRESET;
    tdw__socket_wake(peer, POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM | POLLHUP |
                               (peer->error ? POLLERR : 0));
}

static void unix_release(struct tdw_socket *socket)
{
    struct tdw_loop *loop = tdw__socket_loop(socket);
    struct tdw_unix *own = of(socket);
    struct tdw_socket *child;

    socket->state = TDW_TCP_CLOSED;
    while ((child = tdw__accept_pop(socket)) != NULL) {
        if (of(child)->peer)
            of(child)->peer->error = ECONNRESET;
        unix_release(child);
    }
    while (!tdw__node_alone(&own->followers)) /* of datagram sockets there may be many */
        leave(socket, tdw_of(own->followers.next, struct tdw_unix, follows)->socket);
    room_again(socket);
    while (!tdw__node_alone(&own->waiters))
        stop_waiting(tdw_of(own->waiters.next, struct tdw_unix, waits)->socket);
    stop_waiting(socket);
    set_peer(socket, NULL);
    tdw__unix_unbind(socket);
    tdw__node_out(&own->of_host);
    tdw__memory_put(loop->memory, own, sizeof(*own));
    tdw__socket_free(socket);
}

#define UNIX_COMMON                                                                                \
    .open = unix_open, .bind = tdw__unix_bind, .send = unix_send, .receive = unix_receive,         \
    .send_waits = unix_send_waits, .receive_waits = unix_receive_waits, .shutdown = unix_shutdown, \
    .ready = unix_ready, .name_of = tdw__unix_name_of, .release = unix_release

const struct tdw_protocol tdw__unix_stream = {.name = "unix stream",
                                              .stream = true,
                                              .listen = unix_listen,
                                              .connect = unix_connect,
                                              .connected = unix_connected,
                                              .accept = unix_accept,
                                              UNIX_COMMON};
const struct tdw_protocol tdw__unix_seqpacket = {.name = "unix seqpacket",
                                                 .listen = unix_listen,
                                                 .connect = unix_connect,
                                                 .connected = unix_connected,
                                                 .accept = unix_accept,
                                                 UNIX_COMMON};
const struct tdw_protocol tdw__unix_dgram = {
    .name = "unix dgram", .connect = dgram_connect, .connected = dgram_connected, UNIX_COMMON};
