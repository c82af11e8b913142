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

int tdw__inet_parse(const struct tdw_socket *socket, const struct sockaddr *address,
                    socklen_t bytes, struct tdw_address *to)
{
    const struct sockaddr_in *ipv4 = (const void *)address;
    const struct sockaddr_in6 *ipv6 = (const void *)address;

    if (bytes < sizeof(address->sa_family))
        return -EINVAL;
    if (socket->domain == AF_INET) {
        if (bytes < sizeof(*ipv4))
            return -EINVAL;
        if (ipv4->sin_family != AF_INET)
            return -EAFNOSUPPORT;
        *to = (struct tdw_address){mapped(&ipv4->sin_addr), ntohs(ipv4->sin_port)};
        return 0;
    }
    if (bytes < offsetof(struct sockaddr_in6, sin6_scope_id))
        return -EINVAL;
    if (ipv6->sin6_family != AF_INET6)
        return -EAFNOSUPPORT;
    *to = (struct tdw_address){ipv6->sin6_addr, ntohs(ipv6->sin6_port)};
    return 0;
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
    const int err = tdw__inet_parse(socket, address, bytes, &to);

    if (err)
        return err;
    if (socket->domain == AF_INET6 && socket->options.v6only && tdw__is_ipv4(&to.ip))
        return -EINVAL;
    if (!tdw__is_any(&to.ip) && !tdw__host_has(socket->host, &to.ip))
        return -EADDRNOTAVAIL;
    if (socket->port || socket->state != TDW_TCP_CLOSED)
        return -EINVAL;
    return bind_to(socket, &to);
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

int tdw__inet_name(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address)
{
    const struct tdw_address none = {.ip = tdw__inet_any(socket->domain)};

    if (peer && socket->peer.port == 0)
        return -ENOTCONN;
    if (!peer && socket->local.port == 0)
        return (int)tdw__inet_format(socket->domain, &none, address);
    return (int)tdw__inet_format(socket->domain, peer ? &socket->peer : &socket->local, address);
}
