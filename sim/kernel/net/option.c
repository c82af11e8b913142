/* SPDX-License-Identifier: MIT */
/*
 * Socket options: one table says which there are, where each is kept, and what may be set.
 *
 * A row is an option that is a number: its place in struct tdw_socket_options, its size there, and
 * its range. What is not a number, is computed, or has a rule of its own stands in the two switches
 * below. Sizes of buffers are doubled and bounded as Linux does. Options that cannot matter here
 * (busy polling, marks) are kept and answered; what is not known is -ENOPROTOOPT.
 */
#include <sim/kernel/net/net.h>
#include <netinet/tcp.h>

enum {
    BUFFER_MAX = 212992, /* rmem_max, wmem_max */
    SEND_BYTES_MIN = 4608,
    RECEIVE_BYTES_MIN = 2304,
    ANY = -1,
};

struct option {
    int level, name;
    int domain; /* only of this one; ANY */
    uint16_t at;
    uint8_t size;
    int32_t min, max; /* else -EINVAL; booleans take any number */
};

#define AT(field)                                                                                  \
    (uint16_t) offsetof(struct tdw_socket_options, field),                                         \
        (uint8_t)sizeof(((struct tdw_socket_options *)0)->field)

static const struct option options[] = {
    {SOL_SOCKET, SO_REUSEADDR, ANY, AT(reuse_addr), 0, 1},
    {SOL_SOCKET, SO_REUSEPORT, ANY, AT(reuse_port), 0, 1},
    {SOL_SOCKET, SO_KEEPALIVE, ANY, AT(keep_alive), 0, 1},
    {SOL_SOCKET, SO_BROADCAST, ANY, AT(broadcast), 0, 1},
    {SOL_SOCKET, SO_OOBINLINE, ANY, AT(oob_inline), 0, 1},
    {SOL_SOCKET, SO_DONTROUTE, ANY, AT(dont_route), 0, 1},
    {SOL_SOCKET, SO_TIMESTAMP, ANY, AT(timestamp), 0, 1},
    {SOL_SOCKET, SO_PASSCRED, AF_UNIX, AT(pass_cred), 0, 1},
    {SOL_SOCKET, SO_RCVLOWAT, ANY, AT(low_water), 0, INT32_MAX},
    {SOL_SOCKET, SO_PRIORITY, ANY, AT(priority), INT32_MIN, INT32_MAX},
    {SOL_SOCKET, SO_MARK, ANY, AT(mark), INT32_MIN, INT32_MAX},
    {SOL_SOCKET, SO_BUSY_POLL, ANY, AT(busy_poll), 0, INT32_MAX},
    {IPPROTO_TCP, TCP_NODELAY, ANY, AT(no_delay), 0, 1},
    {IPPROTO_TCP, TCP_CORK, ANY, AT(cork), 0, 1},
    {IPPROTO_TCP, TCP_QUICKACK, ANY, AT(quick_ack), 0, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, ANY, AT(keep_idle_s), 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, ANY, AT(keep_interval_s), 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, ANY, AT(keep_count), 1, 127},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, ANY, AT(user_timeout_ms), 0, INT32_MAX},
    {IPPROTO_TCP, TCP_MAXSEG, ANY, AT(max_seg), 88, 32767},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, ANY, AT(defer_accept), 0, 1},
    {IPPROTO_TCP, TCP_FASTOPEN, ANY, AT(fastopen), 0, 1},
    {IPPROTO_IP, IP_TOS, AF_INET, AT(tos), 0, 255},
    {IPPROTO_IP, IP_PKTINFO, AF_INET, AT(recv_pktinfo), 0, 1},
    {IPPROTO_IP, IP_RECVERR, AF_INET, AT(recv_err), 0, 1},
    {IPPROTO_IPV6, IPV6_V6ONLY, AF_INET6, AT(v6only), 0, 1},
    {IPPROTO_IPV6, IPV6_TCLASS, AF_INET6, AT(tos), 0, 255},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, AF_INET6, AT(recv_pktinfo), 0, 1},
    {IPPROTO_IPV6, IPV6_RECVERR, AF_INET6, AT(recv_err), 0, 1},
};

static const struct option *find(const struct tdw_socket *socket, int level, int name)
{
    if (level == IPPROTO_TCP && (socket->domain == AF_UNIX || socket->type != SOCK_STREAM))
        return NULL;
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
        if (options[i].level == level && options[i].name == name &&
            (options[i].domain == ANY || options[i].domain == socket->domain))
            return &options[i];
    return NULL;
}

/* What an unknown option answers: by level, as Linux. */
static int unknown(const struct tdw_socket *socket, int level, int name)
{
    if (level != SOL_SOCKET && socket->domain == AF_UNIX)
        return -EOPNOTSUPP;
    if (level == SOL_SOCKET && name == SO_PASSCRED)
        return -EOPNOTSUPP; /* only of unix sockets, since Linux 6.16 */
    return -ENOPROTOOPT;
}

/* ── Setting ───────────────────────────────────────────────────────────────────────────────── */

static int set_number(struct tdw_socket *socket, const struct option *option, int32_t value)
{
    void *at = (char *)&socket->options + option->at;

    if (option->size == sizeof(bool)) {
        const bool flag = value != 0;

        memcpy(at, &flag, sizeof(flag));
        return 0;
    }
    if (option->name == SO_RCVLOWAT && option->level == SOL_SOCKET && value == 0)
        value = 1;
    if (value < option->min || value > option->max)
        return -EINVAL;
    memcpy(at, &value, sizeof(value));
    return 0;
}

static uint32_t buffer_bytes(uint32_t wanted, uint32_t least, bool force)
{
    const uint32_t bytes = (wanted > BUFFER_MAX && !force ? BUFFER_MAX : wanted) * 2;

    return bytes < least ? least : bytes;
}

static int set_linger(struct tdw_socket *socket, const void *value, socklen_t bytes)
{
    struct linger linger;

    if (bytes < sizeof(linger))
        return -EINVAL;
    memcpy(&linger, value, sizeof(linger));
    socket->options.linger_s = linger.l_onoff ? linger.l_linger : -1;
    return 0;
}

static int set_timeval(struct timeval *to, const void *value, socklen_t bytes)
{
    struct timeval time;

    if (bytes < sizeof(time))
        return -EINVAL;
    memcpy(&time, value, sizeof(time));
    if (time.tv_usec < 0 || time.tv_usec >= 1000000)
        return -EDOM;
    *to = time;
    return 0;
}

/* Is it one of those with rules of their own? Then *res is the answer. */
static bool set_special(struct tdw_socket *socket, int name, const void *value, socklen_t bytes,
                        int *res)
{
    struct tdw_socket_options *o = &socket->options;
    uint32_t number = 0;

    if (bytes >= sizeof(number))
        memcpy(&number, value, sizeof(number));
    *res = bytes < sizeof(number) ? -EINVAL : 0;
    switch (name) {
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        if (!*res)
            o->send_bytes = buffer_bytes(number, SEND_BYTES_MIN, name == SO_SNDBUFFORCE);
        return true;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        if (!*res)
            o->receive_bytes = buffer_bytes(number, RECEIVE_BYTES_MIN, name == SO_RCVBUFFORCE);
        return true;
    case SO_LINGER:
        *res = set_linger(socket, value, bytes);
        return true;
    case SO_RCVTIMEO:
        *res = set_timeval(&o->receive_timeout, value, bytes);
        return true;
    case SO_SNDTIMEO:
        *res = set_timeval(&o->send_timeout, value, bytes);
        return true;
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_PEERCRED:
        *res = -ENOPROTOOPT;
        return true;
    default:
        return false;
    }
}

static void changed(struct tdw_socket *socket)
{
    if (socket->port) {
        socket->port->reuse_addr = socket->options.reuse_addr;
        socket->port->reuse_port = socket->options.reuse_port;
    }
    if (socket->protocol->options_changed)
        socket->protocol->options_changed(socket);
}

int tdw__option_set(struct tdw_socket *socket, int level, int name, const void *value,
                    socklen_t bytes)
{
    const struct option *option;
    const int32_t none = 0;
    int32_t number;
    int res;

    if ((int)bytes < 0)
        return -EINVAL;
    if (!value && bytes > 0)
        return -EFAULT;
    if (level == SOL_SOCKET && name == SO_REUSEPORT && socket->domain == AF_UNIX && value &&
        bytes >= sizeof(number) && memcmp(value, &none, sizeof(none)) != 0)
        return -EOPNOTSUPP; /* only switching it off, since Linux 6.14 */
    if (level != SOL_SOCKET || !set_special(socket, name, value, bytes, &res)) {
        option = find(socket, level, name);
        if (!option)
            return unknown(socket, level, name);
        if (bytes < sizeof(number))
            return -EINVAL;
        if (name == IPV6_V6ONLY && level == IPPROTO_IPV6 && socket->port)
            return -EINVAL;
        memcpy(&number, value, sizeof(number));
        res = set_number(socket, option, number);
    }
    if (res == 0)
        changed(socket);
    return res;
}

/* ── Getting ───────────────────────────────────────────────────────────────────────────────── */

static int give(void *value, socklen_t *bytes, const void *from, socklen_t size)
{
    if ((int)*bytes < 0)
        return -EINVAL;
    if (*bytes > size)
        *bytes = size;
    memcpy(value, from, *bytes);
    return 0;
}

static int give_number(void *value, socklen_t *bytes, int32_t number)
{
    return give(value, bytes, &number, sizeof(number));
}

static int give_info(struct tdw_socket *socket, void *value, socklen_t *bytes)
{
    /* Ours to Linux's numbers (TCP_ESTABLISHED is 1, …). */
    static const uint8_t states[] = {
        [TDW_TCP_CLOSED] = TCP_CLOSE,
        [TDW_TCP_LISTEN] = TCP_LISTEN,
        [TDW_TCP_SYN_SENT] = TCP_SYN_SENT,
        [TDW_TCP_SYN_RECEIVED] = TCP_SYN_RECV,
        [TDW_TCP_ESTABLISHED] = TCP_ESTABLISHED,
        [TDW_TCP_FIN_WAIT] = TCP_FIN_WAIT1,
        [TDW_TCP_CLOSE_WAIT] = TCP_CLOSE_WAIT,
        [TDW_TCP_LAST_ACK] = TCP_LAST_ACK,
        [TDW_TCP_TIME_WAIT] = TCP_TIME_WAIT,
    };
    struct tcp_info info = {.tcpi_snd_mss = TDW_MSS, .tcpi_rcv_mss = TDW_MSS};

    info.tcpi_state = states[socket->end ? socket->end->state : socket->state];
    if (socket->end) {
        info.tcpi_retransmits = (uint8_t)socket->end->out.retries;
        info.tcpi_rtt = (uint32_t)((socket->end->way->link.latency_ns +
                                    tdw__other(socket->end)->way->link.latency_ns) /
                                   1000);
    }
    if (socket->state == TDW_TCP_LISTEN) {
        info.tcpi_unacked = socket->accept_count;
        info.tcpi_sacked = socket->backlog;
    }
    return give(value, bytes, &info, sizeof(info));
}

static int get_special(struct tdw_socket *socket, int name, void *value, socklen_t *bytes)
{
    const struct tdw_socket_options *o = &socket->options;
    const struct linger linger = {o->linger_s >= 0, o->linger_s >= 0 ? o->linger_s : 0};
    const struct ucred none = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    const struct ucred cred = socket->domain == AF_UNIX ? tdw__unix_peer_cred(socket) : none;

    switch (name) {
    case SO_SNDBUF:
        return give_number(value, bytes, (int32_t)o->send_bytes);
    case SO_RCVBUF:
        return give_number(value, bytes, (int32_t)o->receive_bytes);
    case SO_LINGER:
        return give(value, bytes, &linger, sizeof(linger));
    case SO_RCVTIMEO:
        return give(value, bytes, &o->receive_timeout, sizeof(o->receive_timeout));
    case SO_SNDTIMEO:
        return give(value, bytes, &o->send_timeout, sizeof(o->send_timeout));
    case SO_TYPE:
        return give_number(value, bytes, socket->type);
    case SO_DOMAIN:
        return give_number(value, bytes, socket->domain);
    case SO_PROTOCOL:
        return give_number(value, bytes,
                           socket->domain == AF_UNIX     ? 0
                           : socket->type == SOCK_STREAM ? IPPROTO_TCP
                                                         : IPPROTO_UDP);
    case SO_ERROR:
        return give_number(value, bytes, -tdw__socket_error(socket));
    case SO_ACCEPTCONN:
        return give_number(value, bytes, socket->state == TDW_TCP_LISTEN);
    case SO_PEERCRED:
        return give(value, bytes, &cred, sizeof(cred));
    default:
        return -ENOENT;
    }
}

int tdw__option_get(struct tdw_socket *socket, int level, int name, void *value, socklen_t *bytes)
{
    const struct option *option = find(socket, level, name);
    int32_t number = 0;

    if (!value || !bytes)
        return -EFAULT;
    if (level == IPPROTO_TCP && name == TCP_INFO && socket->protocol == &tdw__tcp)
        return give_info(socket, value, bytes);
    if (level == IPPROTO_TCP && name == TCP_MAXSEG && socket->protocol == &tdw__tcp && socket->end)
        return give_number(value, bytes, TDW_MSS);
    if (!option) {
        const int res = level == SOL_SOCKET ? get_special(socket, name, value, bytes) : -ENOENT;

        if (res == -ENOENT && socket->domain == AF_INET && level != SOL_SOCKET &&
            level != IPPROTO_IP && (level != IPPROTO_TCP || socket->type != SOCK_STREAM))
            return -EOPNOTSUPP;
        return res == -ENOENT ? unknown(socket, level, name) : res;
    }
    if (option->size == sizeof(bool)) {
        bool flag;

        memcpy(&flag, (const char *)&socket->options + option->at, sizeof(flag));
        number = flag;
    } else {
        memcpy(&number, (const char *)&socket->options + option->at, sizeof(number));
    }
    return give_number(value, bytes, number);
}
