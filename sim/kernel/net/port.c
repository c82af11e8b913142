/* SPDX-License-Identifier: MIT */
/*
 * Ports: who has which address of a host, and who gets what is sent there.
 *
 * A record says that an address and port are taken, by a socket or by what a closed connection left
 * behind (TIME_WAIT holds its port for a minute). Two records of one port conflict if their
 * addresses may be the same, unless both say SO_REUSEADDR and the other one does not listen, or
 * both say SO_REUSEPORT (one user runs everything here).
 *
 * A port that the program leaves to us is the next free one above the last that was given out, so
 * a number does not come back soon; real kernels start at random, which a program must not notice.
 *
 * Who gets a packet: the record with the most specific address that fits; among several that share
 * it by SO_REUSEPORT a choice decides (*waiter*, keyed by the flow).
 *
 * Cost: a walk along one of 64 chains. Called by inet.c, tcp.c and udp.c.
 */
#include <sim/kernel/net/net.h>

static struct tdw_port **bucket(struct tdw_host *host, uint16_t number)
{
    return &host->net->ports[number % 64];
}

static bool may_meet(const struct tdw_port *a, const struct tdw_port *b)
{
    const struct in6_addr *x = &a->address.ip, *y = &b->address.ip;

    if (tdw__same_ip(x, y))
        return true;
    /* :: covers the IPv4 addresses too, unless it is for IPv6 only. */
    if (tdw__is_any(x))
        return tdw__is_ipv4(x) == tdw__is_ipv4(y) ||
               (tdw__is_ipv4(x) ? !b->v6only && tdw__is_any(y) : !a->v6only);
    if (tdw__is_any(y))
        return tdw__is_ipv4(x) == tdw__is_ipv4(y) ||
               (tdw__is_ipv4(y) ? !a->v6only && tdw__is_any(x) : !b->v6only);
    return false;
}

/* May `a` not be taken, or listened at, beside `b`? */
static bool conflicts(const struct tdw_port *a, const struct tdw_port *b)
{
    if (a == b || a->datagram != b->datagram || a->address.port != b->address.port ||
        !may_meet(a, b))
        return false;
    if (a->reuse_port && b->reuse_port)
        return false;
    return !(a->reuse_addr && b->reuse_addr) || (!a->datagram && b->listens);
}

static bool is_taken(struct tdw_host *host, const struct tdw_port *port)
{
    for (const struct tdw_port *other = *bucket(host, port->address.port); other;
         other = other->next)
        if (conflicts(port, other))
            return true;
    return false;
}

/* Any number at all, of that protocol: what is free is not shared. */
static bool is_free(struct tdw_host *host, bool datagram, uint16_t number)
{
    for (const struct tdw_port *other = *bucket(host, number); other; other = other->next)
        if (other->address.port == number && other->datagram == datagram)
            return false;
    return true;
}

static int free_number(struct tdw_host *host, bool datagram)
{
    uint16_t *next = &host->net->port_next[datagram];

    for (int tries = TDW_PORT_LAST - TDW_PORT_FIRST + 1; tries > 0; tries--) {
        const uint16_t number = *next;

        *next = number == TDW_PORT_LAST ? TDW_PORT_FIRST : (uint16_t)(number + 1);
        if (is_free(host, datagram, number))
            return number;
    }
    return -EADDRINUSE;
}

static struct tdw_port *insert(const struct tdw_port *port)
{
    struct tdw_loop *loop = &port->host->world->loop;
    struct tdw_port *record = tdw__memory_get(loop->memory, sizeof(*record));
    struct tdw_port **at = bucket(port->host, port->address.port);

    if (!record)
        return NULL;
    *record = *port;
    record->next = NULL;
    while (*at) /* oldest first: what a walk finds does not depend on anything else */
        at = &(*at)->next;
    *at = record;
    return record;
}

int tdw__port_take(struct tdw_socket *socket, struct tdw_address address, struct tdw_port **port)
{
    struct tdw_port record = {.host = socket->host,
                              .socket = socket,
                              .address = address,
                              .datagram = socket->type == SOCK_DGRAM,
                              .reuse_addr = socket->options.reuse_addr,
                              .reuse_port = socket->options.reuse_port,
                              .v6only = socket->options.v6only};

    if (address.port == 0) {
        const int number = free_number(socket->host, record.datagram);

        if (number < 0)
            return number;
        record.address.port = (uint16_t)number;
    } else if (is_taken(socket->host, &record)) {
        return -EADDRINUSE;
    }
    *port = insert(&record);
    return *port ? 0 : -ENOMEM;
}

struct tdw_port *tdw__port_share(const struct tdw_port *port, struct tdw_socket *socket)
{
    struct tdw_port record = *port;

    record.socket = socket;
    record.listens = false;
    return insert(&record);
}

void tdw__port_give(struct tdw_port *port)
{
    struct tdw_port **at = bucket(port->host, port->address.port);

    while (*at != port)
        at = &(*at)->next;
    *at = port->next;
    tdw__memory_put(port->host->world->loop.memory, port, sizeof(*port));
}

void tdw__port_leave(struct tdw_socket *socket)
{
    if (socket->port && !socket->port_wanted) {
        tdw__port_give(socket->port);
        socket->port = NULL;
    }
}

bool tdw__port_may_listen(const struct tdw_port *port)
{
    for (const struct tdw_port *other = *bucket(port->host, port->address.port); other;
         other = other->next)
        if (conflicts(port, other))
            return false;
    return true;
}

/* How well does the record fit? 0: not at all. */
static int fits(const struct tdw_port *port, bool datagram, const struct tdw_address *to,
                const struct tdw_address *from)
{
    const struct tdw_socket *socket = port->socket;
    const struct in6_addr *own;
    int score = 1;

    if (!socket || port->datagram != datagram || port->address.port != to->port ||
        (!datagram && !port->listens))
        return 0;
    /* A connected datagram socket has the address that it sends from, and no other. */
    own = datagram ? &socket->local.ip : &port->address.ip;
    if (tdw__same_ip(own, &to->ip))
        score += 2;
    else if (!tdw__is_any(own) ||
             (tdw__is_ipv4(&to->ip) ? !tdw__is_ipv4(own) && port->v6only : tdw__is_ipv4(own)))
        return 0;
    if (datagram && !tdw__same_ip(&socket->peer.ip, &in6addr_any)) { /* only its peer's */
        if ((socket->peer.port && socket->peer.port != from->port) ||
            !tdw__same_ip(&socket->peer.ip, &from->ip))
            return 0;
        score += 4;
    }
    return score;
}

struct tdw_socket *tdw__port_find(struct tdw_host *host, bool datagram,
                                  const struct tdw_address *to, const struct tdw_address *from,
                                  uint64_t actor)
{
    struct tdw_port *const first = *bucket(host, to->port);
    uint32_t count = 0, pick;
    int best = 0;

    for (const struct tdw_port *port = first; port; port = port->next) {
        const int score = fits(port, datagram, to, from);

        if (score > best) {
            best = score;
            count = 0;
        }
        count += score > 0 && score == best;
    }
    if (best == 0)
        return NULL;
    pick = tdw__choose(
        &host->world->loop,
        &(struct tdw_choice){.kind = TDW_CHOOSE_WAITER, .actor = actor, .bound = count});
    for (const struct tdw_port *port = first; port; port = port->next)
        if (fits(port, datagram, to, from) == best && pick-- == 0)
            return port->socket;
    return NULL;
}
