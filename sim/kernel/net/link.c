/* SPDX-License-Identifier: MIT */
/*
 * Addresses, names, and the ways between hosts.
 *
 * Every host has the loopback addresses, one IPv4 and one IPv6 address by its number, and what
 * tdw_host_address added; all of the latter are in one table of the world. 10.0.0.0/8 and fd00::/8
 * are routed, and whatever address a host was given; all else is unreachable at once.
 *
 * A way leads from one host to another and is made when it is first used. A packet handed to it
 * waits until the way is free (it drains at its bandwidth), then takes latency and jitter:
 *
 *     handed over ─ waits for those before it ─ bytes / bandwidth ─ latency + jitter ─▶ arrives
 *
 * If more bytes wait than its queue holds, or if it is down, the packet is lost. Jitter is drawn
 * per packet (choice *packet*), keyed by its flow and its number there. Time is the only state.
 *
 * Cost: a way is looked up by hash once for a connection, and for each datagram.
 */
#include <arpa/inet.h>
#include <runtime/mix.h>
#include <sim/kernel/net/net.h>
#include <stdlib.h>

/* ── Presets ───────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *name;
    struct tdw_link link;
} presets[] = {
    /* A round trip of one byte over TCP on 127.0.0.1 takes some 10 to 25 us on x86 servers, half
     * of which are the wake-ups that our ops' own latencies stand for; memory copies at 8 GB/s. */
    {"loopback", {.latency_ns = 4000, .jitter_ns = 500, .bytes_per_s = 8000000000}},
    /* "Round trip within same datacenter: 500 us", 10 Gbit/s (J. Dean, "Designs, Lessons and
     * Advice from Building Large Distributed Systems", LADIS 2009; 1 Gbit/s then). */
    {"lan",
     {.latency_ns = 225000,
      .jitter_ns = 25000,
      .bytes_per_s = 1250000000,
      .queue_bytes = 4000000,
      .drop = TDW_DROP_TAIL}},
    /* "Send packet CA -> Netherlands -> CA: 150 ms" (the same), at 100 Mbit/s with a queue of
     * the bandwidth-delay product (Villamizar and Song 1994). */
    {"wan",
     {.latency_ns = 74000000,
      .jitter_ns = 1000000,
      .bytes_per_s = 12500000,
      .queue_bytes = 1875000,
      .drop = TDW_DROP_TAIL}},
};

const struct tdw_link *tdw_link_preset(const char *name)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i].link;
    return NULL;
}

/* ── Addresses ─────────────────────────────────────────────────────────────────────────────── */

static struct in6_addr mapped(uint32_t ipv4)
{
    struct in6_addr ip = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    for (int i = 0; i < 4; i++)
        ip.s6_addr[12 + i] = (uint8_t)(ipv4 >> (24 - 8 * i));
    return ip;
}

bool tdw__is_ipv4(const struct in6_addr *ip)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(ip->s6_addr, prefix, sizeof(prefix)) == 0;
}

bool tdw__is_any(const struct in6_addr *ip)
{
    static const struct in6_addr none;
    const struct in6_addr none_ipv4 = mapped(0);

    return tdw__same_ip(ip, &none) || tdw__same_ip(ip, &none_ipv4);
}

bool tdw__is_local(const struct in6_addr *ip)
{
    return tdw__is_ipv4(ip) ? ip->s6_addr[12] == 127 : tdw__same_ip(ip, &in6addr_loopback);
}

/* Where the search begins: this decides the order of nothing that is seen. */
static uint32_t slot_of(const struct in6_addr *ip, uint32_t max)
{
    uint64_t words[2];

    memcpy(words, ip, sizeof(words));
    return (uint32_t)tdw__mix(words[0], words[1]) & (max - 1);
}

static struct tdw_host *find_host(const struct tdw_net *net, const struct in6_addr *ip)
{
    if (net->addresses_max == 0)
        return NULL;
    for (uint32_t at = slot_of(ip, net->addresses_max); net->addresses[at].host;
         at = (at + 1) & (net->addresses_max - 1))
        if (tdw__same_ip(&net->addresses[at].ip, ip))
            return net->addresses[at].host;
    return NULL;
}

static void put_address(struct tdw_net *net, const struct in6_addr *ip, struct tdw_host *host)
{
    uint32_t at = slot_of(ip, net->addresses_max);

    while (net->addresses[at].host)
        at = (at + 1) & (net->addresses_max - 1);
    net->addresses[at].ip = *ip;
    net->addresses[at].host = host;
    net->addresses_count++;
}

static int add_address(struct tdw_host *host, const struct in6_addr *ip)
{
    struct tdw_net *net = host->world->net;

    if (find_host(net, ip))
        return -EADDRINUSE;
    if (net->addresses_count * 2 >= net->addresses_max) {
        struct tdw_net grown = *net;

        grown.addresses_max = net->addresses_max ? net->addresses_max * 2 : 64;
        grown.addresses = calloc(grown.addresses_max, sizeof(*grown.addresses));
        grown.addresses_count = 0;
        if (!grown.addresses)
            return -ENOMEM;
        for (uint32_t i = 0; i < net->addresses_max; i++)
            if (net->addresses[i].host)
                put_address(&grown, &net->addresses[i].ip, net->addresses[i].host);
        free(net->addresses);
        *net = grown;
    }
    put_address(net, ip, host);
    return 0;
}

int tdw__sim_host_address(struct tdw_host *host, const char *address)
{
    struct in6_addr ip;
    struct in_addr ipv4;

    if (inet_pton(AF_INET, address, &ipv4) == 1)
        ip = mapped(ntohl(ipv4.s_addr));
    else if (inet_pton(AF_INET6, address, &ip) != 1)
        return -EINVAL;
    if (tdw__is_any(&ip))
        return -EINVAL;
    return tdw__is_local(&ip) ? -EADDRINUSE : add_address(host, &ip);
}

struct in_addr tdw__sim_host_ipv4(const struct tdw_host *host)
{
    struct in_addr ip;

    memcpy(&ip, &host->net->ipv4.s6_addr[12], sizeof(ip));
    return ip;
}

struct in6_addr tdw__sim_host_ipv6(const struct tdw_host *host)
{
    return host->net->ipv6;
}

struct tdw_host *tdw__host_of(struct tdw_host *from, const struct in6_addr *ip)
{
    return tdw__is_local(ip) || tdw__is_any(ip) ? from : find_host(from->world->net, ip);
}

bool tdw__host_has(const struct tdw_host *host, const struct in6_addr *ip)
{
    return tdw__is_local(ip) || find_host(host->world->net, ip) == host;
}

bool tdw__routed(const struct tdw_host *host, const struct in6_addr *ip)
{
    if (tdw__is_local(ip) || tdw__is_any(ip) || find_host(host->world->net, ip))
        return true;
    return tdw__is_ipv4(ip) ? ip->s6_addr[12] == 10 : ip->s6_addr[0] == 0xfd;
}

struct in6_addr tdw__source_ip(const struct tdw_host *host, const struct in6_addr *ip)
{
    if (tdw__is_any(ip))
        return tdw__is_ipv4(ip) ? mapped(INADDR_LOOPBACK) : in6addr_loopback;
    if (tdw__host_has(host, ip))
        return *ip;
    return tdw__is_ipv4(ip) ? host->net->ipv4 : host->net->ipv6;
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

struct tdw_host_name {
    struct tdw_hashed hashed;
    struct tdw_host *host;
    struct tdw_host_name *next; /* of the host */
    const char *text;           /* interned */
};

struct tdw_host *tdw__host_named(const struct tdw_world *world, const char *name)
{
    struct tdw_hashed *entry = tdw__table_chain(&world->net->names, tdw__hash_text(name));

    for (; entry; entry = entry->next)
        if (strcmp(tdw_of(entry, struct tdw_host_name, hashed)->text, name) == 0)
            return tdw_of(entry, struct tdw_host_name, hashed)->host;
    return NULL;
}

/* One more name of the host, which nobody has. */
static int add_name(struct tdw_host *host, const char *text)
{
    struct tdw_loop *loop = &host->world->loop;
    struct tdw_table *names = &host->world->net->names;
    struct tdw_host_name *name;

    text = tdw__intern(loop, text);
    name = text && tdw__table_room(loop, names) == 0 ? tdw__memory_get(loop->memory, sizeof(*name))
                                                     : NULL;
    if (!name)
        return -ENOMEM;
    name->host = host;
    name->text = text;
    name->next = host->net->host_names;
    host->net->host_names = name;
    tdw__table_put(names, &name->hashed, tdw__hash_text(text));
    return 0;
}

int tdw__sim_host_alias(struct tdw_host *host, const char *name)
{
    return tdw__host_named(host->world, name) ? -EEXIST : add_name(host, name);
}

static int start_resolve(struct tdw_process *process, struct tdw_op *op, void **object)
{
    (void)process, (void)object;
    return op->sqe.addr && op->sqe.off ? 0 : -EFAULT;
}

/* Names are looked up when the answer is given: a host made meanwhile is found. */
static int32_t effect_resolve(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const char *name = tdw__pointer(op->sqe.addr);
    struct tdw_resolved *to = tdw__pointer(op->sqe.off);
    const struct tdw_host *host = strcmp(name, "localhost") == 0
                                      ? process->host
                                      : tdw__host_named(process->host->world, name);

    (void)object;
    *to = (struct tdw_resolved){.has = 0};
    if (!host)
        return -ENOENT;
    *to = (struct tdw_resolved){tdw__sim_host_ipv4(host), tdw__sim_host_ipv6(host), 3};
    if (strcmp(name, "localhost") == 0) {
        to->ipv4.s_addr = htonl(INADDR_LOOPBACK);
        to->ipv6 = in6addr_loopback;
    }
    return 0;
}

const struct tdw_sim_opcode tdw__row_resolve = {.start = start_resolve, .effect = effect_resolve};

/* ── Ways ──────────────────────────────────────────────────────────────────────────────────── */

static uint32_t way_slot(const struct tdw_host *from, const struct tdw_host *to, uint32_t max)
{
    return (uint32_t)tdw__mix(from->net->number, to->net->number) & (max - 1);
}

static void put_way(struct tdw_net *net, struct tdw_way *way)
{
    uint32_t at = way_slot(way->from, way->to, net->ways_max);

    while (net->ways[at])
        at = (at + 1) & (net->ways_max - 1);
    net->ways[at] = way;
    net->ways_count++;
}

static bool grow_ways(struct tdw_net *net)
{
    struct tdw_net grown = *net;

    grown.ways_max = net->ways_max ? net->ways_max * 2 : 64;
    grown.ways = calloc(grown.ways_max, sizeof(*grown.ways));
    grown.ways_count = 0;
    if (!grown.ways)
        return false;
    for (uint32_t i = 0; i < net->ways_max; i++)
        if (net->ways[i])
            put_way(&grown, net->ways[i]);
    free(net->ways);
    *net = grown;
    return true;
}

struct tdw_way *tdw__way(struct tdw_host *from, struct tdw_host *to)
{
    struct tdw_net *net = from->world->net;
    struct tdw_way *way;

    if (net->ways_max > 0)
        for (uint32_t at = way_slot(from, to, net->ways_max); net->ways[at];
             at = (at + 1) & (net->ways_max - 1))
            if (net->ways[at]->from == from && net->ways[at]->to == to)
                return net->ways[at];
    if (net->ways_count * 2 >= net->ways_max && !grow_ways(net))
        return NULL;
    way = tdw__memory_get(from->world->loop.memory, sizeof(*way));
    if (!way)
        return NULL;
    way->from = from;
    way->to = to;
    way->link = from == to ? *tdw_link_preset("loopback") : net->link;
    put_way(net, way);
    return way;
}

int tdw__sim_link_set(struct tdw_host *from, struct tdw_host *to, const struct tdw_link *link)
{
    struct tdw_way *way = tdw__way(from, to);

    if (!way)
        return -ENOMEM;
    way->link = *link;
    way->own = true;
    tdw__tcp_ways_changed(from->world->net);
    return 0;
}

int tdw__sim_link_cut(struct tdw_host *from, struct tdw_host *to, bool cut)
{
    struct tdw_way *way = tdw__way(from, to);

    if (!way)
        return -ENOMEM;
    assert(cut || way->cut > 0);
    way->cut += cut ? 1 : UINT32_MAX;
    tdw__tcp_ways_changed(from->world->net);
    return 0;
}

void tdw__sim_link_default(const struct tdw_link *link)
{
    struct tdw_net *net = tdw__process()->host->world->net;

    net->link = *link;
    for (uint32_t i = 0; i < net->ways_max; i++)
        if (net->ways[i] && !net->ways[i]->own && net->ways[i]->from != net->ways[i]->to)
            net->ways[i]->link = *link;
    tdw__tcp_ways_changed(net);
}

/* bytes / rate in ns, rounded up, without overflow. */
static uint64_t drain_ns(uint64_t bytes, uint64_t bytes_per_s)
{
    return bytes_per_s == 0
               ? 0
               : (uint64_t)(((unsigned __int128)bytes * 1000000000u + bytes_per_s - 1) /
                            bytes_per_s);
}

/* What the way carries: its link, or what a host at its ends lets pass. */
static uint64_t rate_of(const struct tdw_way *way)
{
    const uint64_t ends[] = {way->from->bytes_per_s, way->to->bytes_per_s};
    uint64_t rate = way->link.bytes_per_s;

    for (int i = 0; i < 2 && way->from != way->to; i++)
        if (ends[i] > 0 && (rate == 0 || ends[i] < rate))
            rate = ends[i];
    return rate;
}

uint64_t tdw__sim_host_bandwidth(struct tdw_host *host, uint64_t bytes_per_s)
{
    struct tdw_net *net = host->world->net;
    const uint64_t was = host->bytes_per_s;

    host->bytes_per_s = bytes_per_s;
    for (uint32_t i = 0; i < net->ways_max; i++) /* what waits has left by the old rate */
        if (net->ways[i] && (net->ways[i]->from == host || net->ways[i]->to == host))
            net->ways[i]->busy_until_ns = 0;
    tdw__tcp_ways_changed(net);
    return was;
}

static uint64_t jitter_ns(struct tdw_world *world, const struct tdw_link *link, uint64_t actor,
                          uint32_t ordinal)
{
    if (link->jitter_ns == 0)
        return 0;
    return tdw__log_normal(link->jitter_ns,
                           tdw__choose(&world->loop, &(struct tdw_choice){
                                                         .kind = TDW_CHOOSE_PACKET,
                                                         .actor = actor,
                                                         .ordinal = ordinal,
                                                         .bound = TDW_LATENCY_BOUND,
                                                     }));
}

bool tdw__way_hit(const struct tdw_way *way, enum tdw_kernel_point point, uint64_t bytes,
                  uint64_t actor, uint32_t ordinal, uint32_t bound, struct tdw_blow *blow)
{
    const struct tdw_loop *loop = &way->from->world->loop;
    const struct tdw_hit hit = {.point = point,
                                .host = way->from->name,
                                .peer = way->to->name,
                                .actor = actor,
                                .ordinal = ordinal,
                                .bytes = bytes,
                                .bound = bound};

    return tdw__point_asked(loop, point) && way->from != way->to &&
           tdw__point_hit(loop, &hit, blow);
}

/* What a plan adds to a packet's time. */
static uint64_t delay_ns(const struct tdw_way *way, uint64_t bytes, uint64_t actor,
                         uint32_t ordinal)
{
    enum { STEPS = 1024, STEP_NS = 100000 };
    struct tdw_blow blow;

    if (!tdw__way_hit(way, TDW_AT_NET_DELAY, bytes, actor, ordinal, STEPS, &blow))
        return 0;
    return blow.delay_ns ? blow.delay_ns : (uint64_t)(blow.way + 1) * STEP_NS;
}

uint64_t tdw__way_send(struct tdw_way *way, uint64_t bytes, uint64_t actor, uint32_t ordinal)
{
    struct tdw_world *world = way->from->world;
    const struct tdw_link *link = &way->link;
    const uint64_t now = world->loop.now_ns;
    const uint64_t start = way->busy_until_ns > now ? way->busy_until_ns : now;
    const uint64_t rate = rate_of(way);
    struct tdw_blow blow;

    if (tdw__way_down(way) || tdw__way_hit(way, TDW_AT_NET_DROP, bytes, actor, ordinal, 1, &blow))
        return TDW_NEVER;
    if (link->drop == TDW_DROP_TAIL && link->queue_bytes > 0 &&
        start - now > drain_ns(link->queue_bytes, rate))
        return TDW_NEVER;
    way->busy_until_ns = start + drain_ns(bytes, rate);
    return way->busy_until_ns + link->latency_ns + jitter_ns(world, link, actor, ordinal) +
           delay_ns(way, bytes, actor, ordinal);
}

/* ── Lives ─────────────────────────────────────────────────────────────────────────────────── */

int tdw__net_init(struct tdw_world *world)
{
    world->net = calloc(1, sizeof(*world->net));
    if (!world->net)
        return -ENOMEM;
    world->net->link = *tdw_link_preset("lan");
    return 0;
}

void tdw__net_reset(struct tdw_world *world)
{
    struct tdw_net *net = world->net;

    for (uint32_t i = 0; i < net->ways_max; i++)
        if (net->ways[i])
            tdw__memory_put(world->loop.memory, net->ways[i], sizeof(*net->ways[i]));
    if (net->ways_count)
        memset(net->ways, 0, net->ways_max * sizeof(*net->ways));
    if (net->addresses_count)
        memset(net->addresses, 0, net->addresses_max * sizeof(*net->addresses));
    net->ways_count = net->addresses_count = net->hosts = 0;
    net->link = *tdw_link_preset("lan");
}

void tdw__net_fini(struct tdw_world *world)
{
    if (!world->net)
        return;
    tdw__net_reset(world);
    tdw__table_free(&world->loop, &world->net->names);
    free(world->net->ways);
    free(world->net->addresses);
    free(world->net);
}

int tdw__net_host_init(struct tdw_host *host)
{
    struct tdw_net_host *net = tdw__memory_get(host->world->loop.memory, sizeof(*net));
    int err;

    if (!net)
        return -ENOMEM;
    net->number = ++host->world->net->hosts;
    net->ipv4 = mapped(10u << 24 | net->number);
    net->ipv6 = (struct in6_addr){.s6_addr = {[0] = 0xfd,
                                              [13] = (uint8_t)(net->number >> 16),
                                              [14] = (uint8_t)(net->number >> 8),
                                              [15] = (uint8_t)net->number}};
    tdw__node_init(&net->locals);
    tdw__node_init(&net->waiting);
    net->port_next[0] = net->port_next[1] = TDW_PORT_FIRST;
    host->net = net;
    err = add_address(host, &net->ipv4);
    if (!err)
        err = add_address(host, &net->ipv6);
    return err ? err : add_name(host, host->name);
}

void tdw__net_host_fini(struct tdw_host *host)
{
    struct tdw_loop *loop = &host->world->loop;
    struct tdw_net_host *net = host->net;

    if (!net)
        return;
    while (net->host_names) {
        struct tdw_host_name *name = net->host_names;

        net->host_names = name->next;
        tdw__table_take(&host->world->net->names, &name->hashed);
        tdw__memory_put(loop->memory, name, sizeof(*name));
    }
    tdw__table_free(loop, &net->ports);
    tdw__table_free(loop, &net->names);
    tdw__memory_put(loop->memory, net, sizeof(*net));
    host->net = NULL;
}
