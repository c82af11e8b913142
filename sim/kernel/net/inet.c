/* SPDX-License-Identifier: MIT */
/*
 * IP addresses as programs write them, and the bound ends of sockets: what TCP and UDP share.
 *
 * A socket's addresses are kept as IPv6; an IPv4 socket reads and shows the mapped ones. An IPv6
 * socket may use mapped addresses too, unless it is IPV6_V6ONLY.
 */
#include <sim/kernel/net/net.h>

static struct in6_addr mapped(const struct in_addr *ipv4)
{
    struct in6_addr ip = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    memcpy(&ip.s6_addr[12], ipv4, sizeof(*ipv4));
    return ip;
}

struct in6_addr tdw__inet_any(int domain)
{
    return domain == AF_INET ? mapped(&(struct in_addr){0}) : in6addr_any;
}

/* `either`: an IPv6 socket takes IPv4's too. */
static int parse(const struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes,
                 bool either, struct tdw_address *to)
{
    const struct sockaddr_in *ipv4 = (const void *)address;
    const struct sockaddr_in6 *ipv6 = (const void *)address;

    if (bytes < sizeof(address->sa_family))
        return -EINVAL;
    if (socket->domain == AF_INET) {
        if (bytes < sizeof(*ipv4))
            return -EINVAL;
        if (ipv4->sin_family != AF_INET && !(either && ipv4->sin_family == AF_UNSPEC))
            return -EAFNOSUPPORT;
        *to = (struct tdw_address){mapped(&ipv4->sin_addr), ntohs(ipv4->sin_port)};
        return 0;
    }
    if (ipv6->sin6_family == AF_INET && either) {
        *to = (struct tdw_address){mapped(&ipv4->sin_addr), ntohs(ipv4->sin_port)};
        return bytes < sizeof(*ipv4) ? -EINVAL : 0;
    }
    if (bytes < offsetof(struct sockaddr_in6, sin6_scope_id))
        return -EINVAL;
    if (ipv6->sin6_family != AF_INET6)
        return -EAFNOSUPPORT;
    *to = (struct tdw_address){ipv6->sin6_addr, ntohs(ipv6->sin6_port)};
    return 0;
}

int tdw__inet_parse(const struct tdw_socket *socket, const struct sockaddr *address,
                    socklen_t bytes, struct tdw_address *to)
{
    return parse(socket, address, bytes, socket->type == SOCK_DGRAM, to);
}

socklen_t tdw__inet_format(int domain, const struct tdw_address *from, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof(*to));
    if (domain == AF_INET) {
        struct sockaddr_in *ipv4 = (void *)to;

        ipv4->sin_family = AF_INET;
        ipv4->sin_port = htons(from->port);
        memcpy(&ipv4->sin_addr, &from->ip.s6_addr[12], sizeof(ipv4->sin_addr));
        return sizeof(*ipv4);
    }
    struct sockaddr_in6 *ipv6 = (void *)to;

    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(from->port);
    ipv6->sin6_addr = from->ip;
    return sizeof(*ipv6);
}

/* Is the level's type one that Linux knows for a send? */
static bool control_known(const struct cmsghdr *cmsg, bool datagram)
{
    if (cmsg->cmsg_level == SOL_SOCKET)
        return cmsg->cmsg_type == SO_MARK || cmsg->cmsg_type == SO_TIMESTAMPING ||
               cmsg->cmsg_type == SCM_TXTIME || cmsg->cmsg_type == SCM_RIGHTS ||
               cmsg->cmsg_type == SCM_CREDENTIALS;
    if (cmsg->cmsg_level == IPPROTO_IP && datagram)
        return cmsg->cmsg_type == IP_TTL || cmsg->cmsg_type == IP_TOS ||
               cmsg->cmsg_type == IP_PKTINFO || cmsg->cmsg_type == IP_RETOPTS;
    return true; /* of another protocol */
}

int tdw__inet_control(const struct tdw_msg *msg, bool datagram)
{
    const char *at = msg->control, *end = at ? at + msg->control_bytes : at;

    while (at && at + sizeof(struct cmsghdr) <= end) {
        const struct cmsghdr *cmsg = (const void *)at;

        if (cmsg->cmsg_len < sizeof(*cmsg) || cmsg->cmsg_len > (size_t)(end - at) ||
            !control_known(cmsg, datagram))
            return -EINVAL;
        at += CMSG_ALIGN(cmsg->cmsg_len);
    }
    return 0;
}

static int bind_to(struct tdw_socket *socket, const struct tdw_address *address)
{
    const int err = tdw__port_take(socket, *address, &socket->port);

    if (!err)
        socket->local = socket->port->address;
    return err;
}

int tdw__inet_bind(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    struct tdw_address to;
    int err = parse(socket, address, bytes, false, &to);

    /* As a compatible game of Linux's: no family and no address is IPv4's any. */
    if (err == -EAFNOSUPPORT && socket->domain == AF_INET && address->sa_family == AF_UNSPEC)
        err = parse(socket, address, bytes, true, &to) ? err : tdw__is_any(&to.ip) ? 0 : err;

    if (err)
        return err;
    if (socket->domain == AF_INET6 && socket->options.v6only && tdw__is_ipv4(&to.ip))
        return -EINVAL;
    if (!tdw__is_any(&to.ip) && !tdw__host_has(socket->host, &to.ip))
        return -EADDRNOTAVAIL;
    if (socket->port || socket->state != TDW_TCP_CLOSED)
        return -EINVAL;
    err = bind_to(socket, &to);
    if (err == -EADDRINUSE) /* an address that a connection left goes all the same */
        socket->local.ip = tdw__inet_any(socket->domain);
    socket->port_wanted = !err && to.port != 0;
    socket->address_wanted = !err && !tdw__is_any(&to.ip);
    if (!err && socket->domain == AF_INET6 && !tdw__is_any(&to.ip) && !tdw__is_ipv4(&to.ip))
        socket->options.v6only = true; /* no IPv4 address can be its peer any more */
    return err;
}

/* The last address of the loopback's network, or of the hosts'. */
static bool is_broadcast(const struct in6_addr *ip)
{
    static const uint8_t ones[3] = {255, 255, 255};

    return tdw__is_ipv4(ip) && (ip->s6_addr[12] == 127 || ip->s6_addr[12] == 10) &&
           memcmp(&ip->s6_addr[13], ones, sizeof(ones)) == 0;
}

int tdw__inet_reach(const struct tdw_socket *socket, struct in6_addr *ip)
{
    const bool from_ipv4 = socket->domain == AF_INET6 && tdw__is_ipv4(&socket->local.ip);

    if (is_broadcast(ip) && socket->type == SOCK_STREAM)
        return -ENETUNREACH;
    if (is_broadcast(ip) && !socket->options.broadcast)
        return -EACCES;
    if (tdw__is_any(ip) && from_ipv4)
        *ip = tdw__inet_any(AF_INET);
    if (socket->options.v6only && tdw__is_ipv4(ip) && socket->domain == AF_INET6)
        return -ENETUNREACH;
    if (from_ipv4 && !tdw__is_ipv4(ip) &&
        (socket->type == SOCK_STREAM || !tdw__is_any(&socket->local.ip)))
        return -EAFNOSUPPORT;
    if (tdw__is_any(ip))
        *ip = tdw__source_ip(socket->host, ip);
    return tdw__routed(socket->host, ip) ? 0 : -ENETUNREACH;
}

int tdw__inet_autobind(struct tdw_socket *socket, const struct in6_addr *to)
{
    const struct in6_addr source = tdw__source_ip(socket->host, to);
    struct tdw_address address = {.ip = source};
    int err = 0;

    if (!socket->port)
        err = bind_to(socket, &address);
    /* A socket that is bound to any address gets one of the route when it connects. */
    if (!err && tdw__is_any(&socket->local.ip))
        socket->local.ip = source;
    return err;
}

void tdw__inet_unbind(struct tdw_socket *socket)
{
    tdw__port_leave(socket);
    if (!socket->address_wanted)
        socket->local.ip = tdw__inet_any(socket->domain);
}

int tdw__inet_name(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address)
{
    const struct tdw_address none = {.ip = tdw__inet_any(socket->domain)};

    if (peer && socket->peer.port == 0)
        return -ENOTCONN;
    if (!peer && socket->local.port == 0)
        return (int)tdw__inet_format(socket->domain, &none, address);
    return (int)tdw__inet_format(socket->domain, peer ? &socket->peer : &socket->local, address);
}
