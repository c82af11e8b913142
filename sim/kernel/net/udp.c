/* SPDX-License-Identifier: MIT */
/*
 * UDP: datagrams, each an item of its own, which may overtake each other.
 *
 *     send ─▶ way: bandwidth, latency, loss ─▶ the socket that fits best ─▶ received
 *                                          └─▶ nobody: refused, told to a connected sender
 *
 * A datagram is sent at once and never waits: what a way cannot hold is lost, and so is what the
 * receiver's buffer cannot. A receive takes one, and the rest of it is lost (MSG_TRUNC). A pending
 * error (ECONNREFUSED) is told once, by the next send or receive.
 */
#include <sim/kernel/net/net.h>
#include <poll.h>

enum {
    BYTES_MAX = 65507,
    UDP_HEADER_BYTES = 42, /* Ethernet, IP, UDP */
    OVERHEAD = 768,        /* what a queued datagram costs beyond its bytes (struct sk_buff) */
};

struct tdw_datagram {
    struct tdw_op arrival;
    struct tdw_datagram *next, *prev; /* of the world */
    struct tdw_flow *flow;
    struct tdw_host *to_host, *from_host;
    struct tdw_address from, to;
    struct tdw_segment *segment; /* NULL: it says that nobody is there (ICMP) */
};

static void unlink_datagram(struct tdw_world *world, struct tdw_datagram *datagram)
{
    if (datagram->next)
        datagram->next->prev = datagram->prev;
    if (datagram->prev)
        datagram->prev->next = datagram->next;
    else
        world->net->datagrams = datagram->next;
}

void tdw__datagram_free(struct tdw_world *world, struct tdw_datagram *datagram)
{
    unlink_datagram(world, datagram);
    if (datagram->segment)
        tdw__segment_free(&world->loop, datagram->segment);
    tdw__flow_put(datagram->flow);
    tdw__memory_put(world->loop.memory, datagram, sizeof(*datagram));
}

/* ── On the way ────────────────────────────────────────────────────────────────────────────── */

static void run_arrival(struct tdw_op *work);

/* A second one like it, on the way to the same place. NULL: no memory. */
static struct tdw_datagram *twin(const struct tdw_datagram *datagram)
{
    struct tdw_world *world = datagram->from_host->world;
    struct tdw_datagram *made = tdw__memory_get(world->loop.memory, sizeof(*made));
    const struct tdw_segment *segment = datagram->segment;

    if (!made)
        return NULL;
    made->segment = tdw__segment_new(&world->loop, segment->room);
    if (!made->segment) {
        tdw__memory_put(world->loop.memory, made, sizeof(*made));
        return NULL;
    }
    made->segment->off = segment->off;
    made->segment->bytes = segment->bytes;
    made->segment->flags = segment->flags;
    memcpy(made->segment->data, segment->data, segment->off + segment->bytes);
    made->flow = datagram->flow;
    made->flow->refs++;
    made->to_host = datagram->to_host;
    made->from_host = datagram->from_host;
    made->from = datagram->from;
    made->to = datagram->to;
    made->next = world->net->datagrams;
    if (made->next)
        made->next->prev = made;
    world->net->datagrams = made;
    return made;
}

static void depart(struct tdw_datagram *datagram);

/* By a plan a datagram arrives twice, or with a wrong bit: the checksum of UDP has 16 bits. */
static void damage(struct tdw_datagram *datagram, const struct tdw_way *way)
{
    const uint64_t actor = datagram->flow->actor.actor;
    const uint32_t ordinal = datagram->flow->packets;
    struct tdw_segment *segment = datagram->segment;
    struct tdw_datagram *second;
    struct tdw_blow blow;

    if (!segment || segment->bytes == 0 || segment->flags & TDW_SEG_TWIN)
        return;
    if (tdw__way_hit(way, TDW_AT_NET_CORRUPT, segment->bytes, actor, ordinal, segment->bytes * 8,
                     &blow))
        segment->data[segment->off + blow.way / 8] ^= (uint8_t)(1 << blow.way % 8);
    if (!tdw__way_hit(way, TDW_AT_NET_DUPLICATE, segment->bytes, actor, ordinal, 1, &blow))
        return;
    second = twin(datagram);
    if (second) {
        second->segment->flags |= TDW_SEG_TWIN;
        depart(second);
    }
}

/* Send it off; it is freed if it is lost at once. */
static void depart(struct tdw_datagram *datagram)
{
    struct tdw_flow *flow = datagram->flow;
    struct tdw_world *world = datagram->from_host->world;
    struct tdw_way *way = tdw__way(datagram->from_host, datagram->to_host);
    const uint64_t bytes = datagram->segment ? datagram->segment->bytes : 0;
    uint64_t due = TDW_NEVER;
    uint32_t ordinal;

    if (way && TDW_UNLIKELY(world->loop.gate != NULL))
        damage(datagram, way);
    ordinal = flow->packets++;
    if (way)
        due = tdw__way_send(way, bytes + UDP_HEADER_BYTES, flow->actor.actor, ordinal);
    if (due == TDW_NEVER) {
        tdw__packet_event(&world->loop, flow->actor.actor, ordinal, 0, 0, bytes, -EAGAIN);
        tdw__datagram_free(world, datagram);
        return;
    }
    datagram->arrival.ordinal = ordinal;
    tdw__work_at(&datagram->arrival, &flow->actor, datagram->to_host, TDW_OP_PACKET, due,
                 run_arrival);
}

/* Nobody is there: the sender is told, if it runs. Takes over the datagram. */
static void refuse(struct tdw_datagram *datagram)
{
    struct tdw_world *world = datagram->to_host->world;
    const struct tdw_address to = datagram->to;
    struct tdw_host *host = datagram->to_host;

    tdw__segment_free(&world->loop, datagram->segment);
    datagram->segment = NULL;
    datagram->to_host = datagram->from_host;
    datagram->from_host = host;
    datagram->to = datagram->from;
    datagram->from = to;
    depart(datagram);
}

static void deliver(struct tdw_socket *socket, struct tdw_datagram *datagram)
{
    struct tdw_segment *segment = datagram->segment;
    struct sockaddr_storage name;

    segment->name_bytes = (uint16_t)tdw__inet_format(socket->domain, &datagram->from, &name);
    memcpy(segment->data, &name, segment->name_bytes);
    datagram->segment = NULL;
    socket->messages++;
    socket->received_bytes += segment->bytes;
    tdw__segments_push(&socket->received, segment);
    tdw__socket_wake(socket, POLLIN | POLLRDNORM);
}

static void run_arrival(struct tdw_op *work)
{
    struct tdw_datagram *datagram = tdw_of(work, struct tdw_datagram, arrival);
    struct tdw_host *host = datagram->to_host;
    struct tdw_world *world = host->world;
    const uint64_t bytes = datagram->segment ? datagram->segment->bytes : 0;
    struct tdw_socket *socket = NULL;
    int32_t res = -EHOSTDOWN;

    if (host->up) {
        socket =
            tdw__port_find(host, true, &datagram->to, &datagram->from, datagram->flow->actor.actor);
        res = socket ? 0 : -ECONNREFUSED;
    }
    if (socket && datagram->segment &&
        socket->received_bytes + (uint64_t)socket->messages * OVERHEAD >=
            socket->options.receive_bytes)
        res = -ENOBUFS;
    tdw__packet_event(&world->loop, datagram->flow->actor.actor, work->ordinal, 0, 0, bytes, res);
    if (datagram->segment && res == -ECONNREFUSED) {
        refuse(datagram);
        return;
    }
    if (socket && !datagram->segment && socket->peered) {
        socket->error = ECONNREFUSED;
        tdw__socket_wake(socket, POLLERR | POLLIN | POLLOUT);
    } else if (socket && datagram->segment && res == 0) {
        deliver(socket, datagram);
    }
    tdw__datagram_free(world, datagram);
}

/* ── The protocol ──────────────────────────────────────────────────────────────────────────── */

/* Before the first datagram: a port, any address. -EAGAIN: there is none left. */
static int bind_any(struct tdw_socket *socket)
{
    const struct tdw_address any = {.ip = tdw__inet_any(socket->domain)};
    const int err = socket->port ? 0 : tdw__port_take(socket, any, &socket->port);

    if (err == -EADDRINUSE)
        return -EAGAIN;
    if (!err && socket->local.port == 0)
        socket->local = socket->port->address;
    return err;
}

static int udp_connect(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    struct tdw_address peer;
    int err;

    if (address->sa_family == AF_UNSPEC) {
        /* Linux forgets an IPv6 peer's port alone: who is bound hears of that address only. */
        socket->peer.port = 0;
        socket->peered = false;
        if (socket->domain == AF_INET)
            socket->peer = (struct tdw_address){.port = 0};
        tdw__inet_unbind(socket);
        if (!socket->port)
            socket->local.port = 0;
        return 0;
    }
    err = bind_any(socket);
    if (!err && socket->domain == AF_INET6 && socket->options.v6only &&
        address->sa_family == AF_INET)
        err = -EAFNOSUPPORT;
    if (!err)
        err = tdw__inet_parse(socket, address, bytes, &peer);
    if (err)
        return err;
    err = tdw__inet_reach(socket, &peer.ip);
    if (err)
        return err;
    err = tdw__inet_autobind(socket, &peer.ip);
    if (!err) {
        socket->peer = peer;
        socket->peered = true;
    }
    return err;
}

static int udp_connected(struct tdw_socket *socket)
{
    (void)socket;
    return 0;
}

/* Where the message goes. */
static int destination(struct tdw_socket *socket, const struct tdw_msg *msg, struct tdw_address *to)
{
    const bool unnamed = !msg->name || (socket->domain == AF_INET6 &&
                                        msg->name_bytes >= sizeof(msg->name->sa_family) &&
                                        msg->name->sa_family == AF_UNSPEC);
    int err;

    if (unnamed) {
        *to = socket->peer;
        if (!socket->peered)
            return -EDESTADDRREQ;
        /* A name without a family is taken for an IPv6 one, also of an IPv4 peer. */
        return msg->name && tdw__is_ipv4(&to->ip) ? -ENETUNREACH : 0;
    }
    if (socket->domain == AF_INET6 && socket->options.v6only &&
        msg->name_bytes >= sizeof(msg->name->sa_family) && msg->name->sa_family == AF_INET)
        return -ENETUNREACH; /* however long it is */
    err = tdw__inet_parse(socket, msg->name, msg->name_bytes, to);
    if (err)
        return err == -EAFNOSUPPORT && socket->domain == AF_INET6 ? -EINVAL : err;
    if (to->port == 0)
        return -EINVAL;
    return socket->domain == AF_INET6 && socket->options.v6only && tdw__is_ipv4(&to->ip)
               ? -ENETUNREACH
               : 0;
}

/* The bytes of the message, behind room for the sender's address. */
static struct tdw_segment *pack(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const size_t bytes = msg->io.left;
    struct tdw_segment *segment =
        tdw__segment_new(tdw__socket_loop(socket), sizeof(struct sockaddr_in6) + bytes);

    if (!segment)
        return NULL;
    segment->off = sizeof(struct sockaddr_in6);
    segment->bytes = (uint32_t)bytes;
    tdw__io_take(&msg->io, segment->data + segment->off, bytes);
    return segment;
}

/* A datagram of the socket's flow with these bytes; NULL when memory is exhausted. */
static struct tdw_datagram *datagram_new(struct tdw_socket *socket, struct tdw_msg *msg)
{
    struct tdw_world *world = socket->host->world;
    struct tdw_datagram *datagram;

    if (!socket->flow)
        socket->flow = tdw__flow_new(world);
    datagram = socket->flow ? tdw__memory_get(world->loop.memory, sizeof(*datagram)) : NULL;
    if (!datagram)
        return NULL;
    datagram->segment = pack(socket, msg);
    if (!datagram->segment) {
        tdw__memory_put(world->loop.memory, datagram, sizeof(*datagram));
        return NULL;
    }
    datagram->flow = socket->flow;
    socket->flow->refs++;
    datagram->next = world->net->datagrams;
    if (datagram->next)
        datagram->next->prev = datagram;
    world->net->datagrams = datagram;
    return datagram;
}

static int64_t udp_send(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const size_t bytes = msg->io.left;
    struct tdw_datagram *datagram;
    struct tdw_address to;
    int err;

    err = bind_any(socket);
    if (err) {
        msg->io.nowait = true; /* nobody waits for a port */
        return err;
    }
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (bytes > BYTES_MAX)
        return -EMSGSIZE;
    err = destination(socket, msg, &to);
    if (!err)
        err = tdw__inet_control(msg, true);
    if (!err)
        err = tdw__inet_reach(socket, &to.ip);
    if (err)
        return err;
    if (socket->error)
        return tdw__socket_error(socket);
    if (socket->shut & TDW_SHUT_WRITE)
        return -EPIPE;
    datagram = datagram_new(socket, msg);
    if (!datagram)
        return -ENOBUFS;
    datagram->from_host = socket->host;
    datagram->to_host = tdw__host_of(socket->host, &to.ip);
    datagram->to = to;
    datagram->from = socket->local;
    /* Also of a socket that a connect bound to an IPv6 address: no answer will reach it. */
    if (tdw__is_any(&socket->local.ip) || tdw__is_ipv4(&socket->local.ip) != tdw__is_ipv4(&to.ip))
        datagram->from.ip = tdw__source_ip(socket->host, &to.ip);
    if (datagram->to_host)
        depart(datagram);
    else /* an address of the network that no machine has */
        tdw__datagram_free(socket->host->world, datagram);
    return (int64_t)bytes;
}

static bool udp_send_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    (void)socket, (void)want;
    return false;
}

static bool udp_receive_waits(struct tdw_socket *socket, const struct tdw_want *want)
{
    (void)want;
    return !socket->received.head && !socket->error && !(socket->shut & TDW_SHUT_READ);
}

static int64_t udp_receive(struct tdw_socket *socket, struct tdw_msg *msg)
{
    if (socket->error)
        return tdw__socket_error(socket);
    if (!socket->received.head)
        return socket->shut & TDW_SHUT_READ && !msg->io.nowait ? 0 : -EAGAIN;
    if (!(msg->flags & MSG_PEEK))
        socket->messages--;
    return tdw__receive_message(socket, msg);
}

static int udp_shutdown(struct tdw_socket *socket, int how)
{
    socket->shut |= (uint8_t)(how + 1);
    tdw__socket_wake(socket, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    return socket->peer.port == 0 ? -ENOTCONN : 0;
}

static uint32_t udp_ready(struct tdw_socket *socket)
{
    return POLLOUT | POLLWRNORM | POLLWRBAND | (socket->received.head ? POLLIN | POLLRDNORM : 0) |
           (socket->error ? POLLERR : 0) |
           (socket->shut & TDW_SHUT_READ ? POLLIN | POLLRDNORM | POLLRDHUP : 0) |
           (socket->shut == TDW_SHUT_BOTH ? POLLHUP : 0);
}

static void udp_release(struct tdw_socket *socket)
{
    if (socket->port)
        tdw__port_give(socket->port);
    if (socket->flow)
        tdw__flow_put(socket->flow);
    tdw__socket_free(socket);
}

const struct tdw_protocol tdw__udp = {
    .name = "udp",
    .bind = tdw__inet_bind,
    .connect = udp_connect,
    .connected = udp_connected,
    .send = udp_send,
    .receive = udp_receive,
    .send_waits = udp_send_waits,
    .receive_waits = udp_receive_waits,
    .shutdown = udp_shutdown,
    .ready = udp_ready,
    .name_of = tdw__inet_name,
    .release = udp_release,
};
