/* SPDX-License-Identifier: MIT */
/*
 * The network between the hosts of a world: addresses, names, links.
 *
 * A program uses sockets as it would anywhere (verbs.h, sys.h). This is the other side: what a
 * test says about the machines and the wires between them. Every host has the addresses 127.0.0.0/8
 * and ::1, one IPv4 address 10.x.y.z and one IPv6 address fd00::…, counted up in the order in
 * which hosts were made (the world's first host is 10.0.0.1), and its name.
 *
 * A link is one way from one host to another; so routes may be asymmetric. All pairs of hosts are
 * connected, by a link as the world's default says until told otherwise.
 *
 *     sender ─▶ [ queue, drained at bandwidth ] ─▶ latency + jitter ─▶ receiver
 */
#ifndef TIDEWHEEL_NET_H
#define TIDEWHEEL_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct tdw_host;

/* What a name stands for: verb `resolve`. */
struct tdw_resolved {
    struct in_addr ipv4;
    struct in6_addr ipv6;
    uint32_t has; /* bit 0: ipv4 is set, bit 1: ipv6 */
};

/* What happens to a packet that finds the queue of a link full. */
enum tdw_drop {
    TDW_DROP_TAIL, /* it is lost; a stream sends it again */
    TDW_DROP_NONE, /* it waits: the queue has no end */
};

/* The properties of a link. Zero bandwidth: as fast as can be. */
struct tdw_link {
    uint64_t latency_ns;  /* of a packet without bytes, one way */
    uint64_t jitter_ns;   /* added on top: log-normal with this median, 0: none */
    uint64_t bytes_per_s; /* at which the queue drains */
    uint64_t queue_bytes; /* that may wait; 0: no limit */
    enum tdw_drop drop;
    bool down; /* nothing passes; what is on its way still arrives */
};

/* Well-known ones, each with the source of its figures in docs/man/tdw-sim.7.scd. NULL for an
 * unknown name; "loopback", "lan", "wan". */
const struct tdw_link *tdw_link_preset(const char *name);

/* The link from one host to another is like this from now on; what is on its way is not touched.
 * 0, -ENOMEM. */
int tdw_link_set(struct tdw_host *from, struct tdw_host *to, const struct tdw_link *link);
/* Nothing passes from one host to another until it is undone, as often as it was done; what the link
 * is otherwise stays as it is. 0, -ENOMEM. */
int tdw_link_cut(struct tdw_host *from, struct tdw_host *to, bool cut);
/* What leaves the host and what reaches it passes at so many bytes a second at most, whatever its
 * links are, but for its own loopback; 0: as they are. What it was until now. */
uint64_t tdw_host_bandwidth(struct tdw_host *host, uint64_t bytes_per_s);
/* Every link of the running task's world that was not set by itself, in both directions. */
void tdw_link_default(const struct tdw_link *link);

/* One more address of `host`: 0, -EINVAL (neither an IPv4 nor an IPv6 address), -EADDRINUSE,
 * -ENOMEM. */
int tdw_host_address(struct tdw_host *host, const char *address);
/* The first IPv4 address of `host`, and its first IPv6 address. */
struct in_addr tdw_host_ipv4(const struct tdw_host *host);
struct in6_addr tdw_host_ipv6(const struct tdw_host *host);
/* One more name of `host`, for everybody who resolves it. 0, -EEXIST, -ENOMEM. */
int tdw_host_alias(struct tdw_host *host, const char *name);

#endif
