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
 * A number that is taken is an entry of the host's table, with two lists of records: of those who
 * asked for it, and of the connections that its listeners accepted, of which there may be
 * thousands.
 *
 * Cost: that of finding an entry, but for a bind or listen at a number that is taken already, which
 * looks at all of its records. Called by inet.c, tcp.c and udp.c.
 */
#include <sim/kernel/net/net.h>

struct tdw_port_number {
    struct tdw_hashed hashed;
    struct tdw_node asked, accepted;
};

static uint64_t key_of(bool datagram, uint16_t number)
{
    return (uint64_t)datagram << 16 | number;
}

/* NULL: nobody has it. */
static struct tdw_port_number *find_number(const struct tdw_host *host, bool datagram,
                                           uint16_t number)
{
    const uint64_t key = key_of(datagram, number);
    struct tdw_hashed *entry = tdw__table_chain(&host->net->ports, key);

    while (entry && entry->key != key)
        entry = entry->next;
    return entry ? tdw_of(entry, struct tdw_port_number, hashed) : NULL;
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

static const struct tdw_port *port_at(struct tdw_node *node)
{
    return tdw_of(node, struct tdw_port, node);
}

static bool conflicts_in(struct tdw_node *list, const struct tdw_port *port)
{
    for (struct tdw_node *node = list->next; node != list; node = node->next)
        if (conflicts(port, port_at(node)))
            return true;
    return false;
}

/* With any of the same number? */
static bool conflicts_with_any(const struct tdw_port *port)
{
    struct tdw_port_number *number = find_number(port->host, port->datagram, port->address.port);

    if (!number)
        return false;
    return conflicts_in(&number->asked, port) || conflicts_in(&number->accepted, port);
}

static int free_number(struct tdw_host *host, bool datagram)
{
    uint16_t *next = &host->net->port_next[datagram];

    for (int tries = TDW_PORT_LAST - TDW_PORT_FIRST + 1; tries > 0; tries--) {
        const uint16_t number = *next;

        *next = number == TDW_PORT_LAST ? TDW_PORT_FIRST : (uint16_t)(number + 1);
        if (!find_number(host, datagram, number)) /* what is free is not shared */
            return number;
    }
    return -EADDRINUSE;
}

static struct tdw_port_number *take_number(struct tdw_host *host, bool datagram, uint16_t port)
{
    struct tdw_loop *loop = &host->world->loop;
    struct tdw_port_number *number = find_number(host, datagram, port);

    if (number || tdw__table_room(loop, &host->net->ports))
        return number;
    number = tdw__memory_get(loop->memory, sizeof(*number));
    if (!number)
        return NULL;
    tdw__node_init(&number->asked);
    tdw__node_init(&number->accepted);
    tdw__table_put(&host->net->ports, &number->hashed, key_of(datagram, port));
    return number;
}

/* The last record of the number is gone. */
static void give_number(struct tdw_host *host, struct tdw_port_number *number)
{
    if (!tdw__node_alone(&number->asked) || !tdw__node_alone(&number->accepted))
        return;
    tdw__table_take(&host->net->ports, &number->hashed);
    tdw__memory_put(host->world->loop.memory, number, sizeof(*number));
}

/* `accepted`: of a connection that has its listener's port. */
static struct tdw_port *insert(const struct tdw_port *port, bool accepted)
{
    struct tdw_loop *loop = &port->host->world->loop;
    struct tdw_port_number *number = take_number(port->host, port->datagram, port->address.port);
    struct tdw_port *record = number ? tdw__memory_get(loop->memory, sizeof(*record)) : NULL;

    if (!record) {
        if (number)
            give_number(port->host, number);
        return NULL;
    }
    *record = *port;
    record->number = number;
    tdw__node_last(accepted ? &number->accepted : &number->asked, &record->node);
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
    } else if (conflicts_with_any(&record)) {
        return -EADDRINUSE;
    }
    *port = insert(&record, false);
    return *port ? 0 : -ENOMEM;
}

struct tdw_port *tdw__port_share(const struct tdw_port *port, struct tdw_socket *socket)
{
    struct tdw_port record = *port;

    record.socket = socket;
    record.listens = false;
    return insert(&record, true);
}

void tdw__port_give(struct tdw_port *port)
{
    struct tdw_port_number *number = port->number;
    struct tdw_host *host = port->host;

    tdw__node_out(&port->node);
    tdw__memory_put(host->world->loop.memory, port, sizeof(*port));
    give_number(host, number);
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
    return !conflicts_with_any(port);
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
    struct tdw_port_number *number = find_number(host, datagram, to->port);
    struct tdw_node *list;
    uint32_t count = 0, pick;
    int best = 0;

    if (!number)
        return NULL;
    list = &number->asked;
    for (struct tdw_node *node = list->next; node != list; node = node->next) {
        const int score = fits(port_at(node), datagram, to, from);

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
    for (struct tdw_node *node = list->next; node != list; node = node->next)
        if (fits(port_at(node), datagram, to, from) == best && pick-- == 0)
            return port_at(node)->socket;
    return NULL;
}
