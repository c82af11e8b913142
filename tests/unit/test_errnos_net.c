/* SPDX-License-Identifier: MIT */
/*
 * What entries on sockets answer when they fail. errnos.h says how the tables are read; those of
 * all else are in test_errnos.c.
 *
 * The four opcodes that send are held to one table, as a program would try one after the other.
 */
#include "errnos.h"
#include <sim/kernel/net/net.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

int tests_errnos_net(void);

#define SECOND_NS ((uint64_t)1000000000)
enum { DATAGRAM_BYTES_MAX = 65507, PORT = 4000, NOBODYS_PORT = 9, IOV_MAX_ = 1024 };

static char bytes[DATAGRAM_BYTES_MAX + 1];
static const uint8_t senders[] = {IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_SEND_ZC,
                                  IORING_OP_SENDMSG_ZC};
enum { SENDERS = sizeof(senders) };

/* ── Addresses ─────────────────────────────────────────────────────────────────────────────── */

static struct sockaddr_in ipv4(uint32_t ip, int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(ip)};
}

static struct sockaddr_un path(const char *text)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", text);
    return name;
}

#define NAME(address) (const struct sockaddr *)&(address), sizeof(address)

static struct io_uring_sqe to_bind(int fd, const void *name, size_t name_bytes)
{
    return (struct io_uring_sqe){
        .opcode = TDW_OP_BIND, .fd = fd, .addr = (uintptr_t)name, .addr2 = name_bytes};
}

#define ASK_BIND(want, fd, name)                                                                   \
    ({                                                                                             \
        const struct io_uring_sqe bind_ = to_bind(fd, &(name), sizeof(name));                      \
        errnos_ask(e, want, &bind_, 1, true, ERRNOS_HERE);                                         \
    })
#define ASK_LISTEN(want, socket, backlog)                                                          \
    ASK_RAW(want, .opcode = TDW_OP_LISTEN, .fd = (socket), .len = (backlog))

/* ── Sending ───────────────────────────────────────────────────────────────────────────────── */

/* A message, and the entry that sends it by one of four opcodes. */
struct message {
    const void *name;
    socklen_t name_bytes;
    size_t bytes;
    int flags;
    void *control;
    size_t control_bytes;
    struct iovec iov;
    struct msghdr header;
};

static struct io_uring_sqe to_send(uint8_t opcode, int fd, struct message *m)
{
    struct io_uring_sqe sqe = {.opcode = opcode, .fd = fd, .msg_flags = (uint32_t)m->flags};

    m->iov = (struct iovec){bytes, m->bytes};
    m->header = (struct msghdr){.msg_name = (void *)(uintptr_t)m->name,
                                .msg_namelen = m->name_bytes,
                                .msg_iov = &m->iov,
                                .msg_iovlen = 1,
                                .msg_control = m->control,
                                .msg_controllen = m->control_bytes};
    if (opcode == IORING_OP_SENDMSG || opcode == IORING_OP_SENDMSG_ZC) {
        sqe.addr = (uintptr_t)&m->header;
        sqe.len = 1;
    } else {
        sqe.addr = (uintptr_t)bytes;
        sqe.len = (uint32_t)m->bytes;
        sqe.addr2 = (uintptr_t)m->name;
        sqe.addr_len = (uint16_t)m->name_bytes;
    }
    return sqe;
}

/* ASK_SEND(want, opcode, fd, .name = …, .bytes = …) */
#define ASK_SEND(want, opcode, fd, ...)                                                            \
    ({                                                                                             \
        struct message message_ = {__VA_ARGS__};                                                   \
        const struct io_uring_sqe send_ = to_send(opcode, fd, &message_);                          \
        errnos_ask(e, want, &send_, 1, true, ERRNOS_HERE);                                         \
    })

static void datagrams_of(struct errnos *e, uint8_t opcode)
{
    const struct sockaddr_in nobody = ipv4(INADDR_LOOPBACK, NOBODYS_PORT);
    const struct sockaddr_in no_port = ipv4(INADDR_LOOPBACK, 0);
    const struct sockaddr_in everybody = ipv4(0x7fffffff, PORT); /* 127.255.255.255 */
    const struct sockaddr_un other = path("other");
    const int fd = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);

    ASK_SEND(-EDESTADDRREQ, opcode, fd, .bytes = 1);
    ASK_SEND(-EAFNOSUPPORT, opcode, fd, .bytes = 1, .name = &other, .name_bytes = sizeof(other));
    ASK_SEND(-EINVAL, opcode, fd, .bytes = 1, .name = &no_port, .name_bytes = sizeof(no_port));
    ASK_SEND(-EMSGSIZE, opcode, fd, .bytes = DATAGRAM_BYTES_MAX + 1, .name = &nobody,
             .name_bytes = sizeof(nobody));
    ASK_SEND(-EACCES, opcode, fd, .bytes = 1, .name = &everybody, .name_bytes = sizeof(everybody));
    ASK(-EACCES, connect, fd, NAME(everybody));
    GET(connect, fd, NAME(nobody));
    ASK_SEND(0, opcode, fd, .bytes = 1);
    ASK_SEND(-ECONNREFUSED, opcode, fd, .bytes = 1);
    GET(close, fd);
}

static void datagrams(struct errnos *e)
{
    const struct sockaddr_in everybody = ipv4(0x7fffffff, PORT);
    const int stream = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    const int datagram = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);

    ASK(-ENETUNREACH, connect, stream, NAME(everybody));
    BOTH(e, side_option(side, datagram, SOL_SOCKET, SO_BROADCAST, 1));
    ASK_SEND(0, IORING_OP_SEND, datagram, .bytes = 1, .name = &everybody,
             .name_bytes = sizeof(everybody));
    for (int i = 0; i < SENDERS; i++)
        datagrams_of(e, senders[i]);
}

static void receives(struct errnos *e)
{
    const struct sockaddr_in nobody = ipv4(INADDR_LOOPBACK, NOBODYS_PORT);
    struct iovec iov[IOV_MAX_ + 1] = {{bytes, 1}};
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = 1};
    struct msghdr endless = {.msg_iov = iov, .msg_iovlen = IOV_MAX_ + 1};
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    const int fd = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    const int own = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);

    ASK(-EFAULT, recvmsg, fd, NULL, 0);
    ASK(-EMSGSIZE, recvmsg, fd, &endless, 0);
    GET(connect, fd, NAME(nobody));
    GET(send, fd, bytes, 1, 0);
    ASK(-ECONNREFUSED, recv, fd, bytes, 1, 0);
    GET(send, fd, bytes, 1, 0);
    ASK(-ECONNREFUSED, recvmsg, fd, &header, 0);
    ASK_BIND(0, own, name);
    GET(connect, own, NAME(name));
    GET(send, own, bytes, 1, 0);
    ASK(-EFAULT, recv, own, NULL, 1, 0);
    GET(send, own, bytes, 1, 0);
    ASK_RAW(-ENOBUFS, .opcode = IORING_OP_RECVMSG, .fd = own, .addr = (uintptr_t)&header, .len = 1,
            .flags = IOSQE_BUFFER_SELECT, .buf_group = 5);
    ASK(-EFAULT, send, fd, NULL, 1, 0);
    ASK(-EFAULT, sendmsg, fd, NULL, 0);
    ASK_RAW(-EFAULT, .opcode = IORING_OP_SENDMSG_ZC, .fd = fd);
    ASK_RAW(-EFAULT, .opcode = IORING_OP_SEND_ZC, .fd = fd, .len = 1);
}

/* WRITE and its like on a socket that has nowhere to send. */
static void writes(struct errnos *e)
{
    const int fd = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    struct iovec iov = {bytes, 1};

    BOTH(e, errnos_register(side, bytes, sizeof(bytes)));
    ASK(-EDESTADDRREQ, write, fd, bytes, 1, 0);
    ASK(-EDESTADDRREQ, writev, fd, &iov, 1, 0);
    ASK(-EDESTADDRREQ, write_fixed, fd, bytes, 1, 0, 0);
}

/* Entries that want a socket, of `fd`: each answers `res`. */
static void on_no_socket(struct errnos *e, int32_t res, int fd)
{
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    struct msghdr header = {.msg_iov = &(struct iovec){bytes, 1}, .msg_iovlen = 1};

    for (int i = 0; i < SENDERS; i++)
        ASK_SEND(res, senders[i], fd, .bytes = 1);
    ASK(res, recv, fd, bytes, 1, 0);
    ASK(res, recvmsg, fd, &header, 0);
    ASK(res, accept, fd, NULL, NULL, 0);
    ASK(res, connect, fd, NAME(name));
    ASK(res, shutdown, fd, SHUT_RD);
    ASK_BIND(res, fd, name);
    ASK_LISTEN(res, fd, 1);
}

static void no_sockets(struct errnos *e)
{
    const int file = GET(openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);

    on_no_socket(e, -EBADF, 99);
    on_no_socket(e, -ENOTSOCK, file);
}

/* ── Streams ───────────────────────────────────────────────────────────────────────────────── */

/* A connection over loopback: [0] has connected, [1] was accepted; the listener stays. */
static int stream_pair(struct errnos *e, int fds[2])
{
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    const int listener = GET(socket, AF_INET, SOCK_STREAM, 0, 0);

    BOTH(e, side_option(side, listener, SOL_SOCKET, SO_REUSEADDR, 1));
    ASK_BIND(0, listener, name);
    ASK_LISTEN(0, listener, 8);
    fds[0] = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    GET(connect, fds[0], NAME(name));
    fds[1] = GET(accept, listener, NULL, NULL, 0);
    return listener;
}

static int reset(struct side *side, int fd)
{
    const struct linger now = {.l_onoff = 1};

    return SIDE_CALL(side, setsockopt, fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Send until there is no room left. */
static int fill(struct errnos *e, struct side *side, int fd)
{
    struct message message = {.bytes = sizeof(bytes), .flags = MSG_DONTWAIT};
    const struct io_uring_sqe sqe = to_send(IORING_OP_SEND, fd, &message);

    while (errnos_run(e, side, &sqe, 1) > 0)
        ;
    return 0;
}

static void streams_of(struct errnos *e, uint8_t opcode)
{
    int fds[2];
    const int listener = stream_pair(e, fds);
    const int fresh = GET(socket, AF_INET, SOCK_STREAM, 0, 0);

    ASK_SEND(-EPIPE, opcode, fresh, .bytes = 1); /* and not -ENOTCONN */
    GET(close, fresh);
    BOTH(e, fill(e, side, fds[0]));
    ASK_SEND(-EAGAIN, opcode, fds[0], .bytes = 1, .flags = MSG_DONTWAIT);
    BOTH(e, reset(side, fds[1]));
    GET(close, fds[1]);
    ASK_SEND(-ECONNRESET, opcode, fds[0], .bytes = 1);
    ASK_SEND(-EPIPE, opcode, fds[0], .bytes = 1);
    GET(close, fds[0]);
    GET(close, listener);
}

static void streams(struct errnos *e)
{
    struct msghdr header = {.msg_iov = &(struct iovec){bytes, 1}, .msg_iovlen = 1};
    const int fresh = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    int fds[2], listener;

    for (int i = 0; i < SENDERS; i++)
        streams_of(e, senders[i]);
    ASK(-ENOTCONN, recvmsg, fresh, &header, 0);
    ASK(-ENOTCONN, shutdown, fresh, SHUT_RD);
    listener = stream_pair(e, fds);
    ASK(-EAGAIN, recvmsg, fds[0], &header, MSG_DONTWAIT);
    ASK_RAW(-EAGAIN, .opcode = IORING_OP_ACCEPT, .fd = listener, .ioprio = TDW_ACCEPT_DONTWAIT);
    BOTH(e, reset(side, fds[1]));
    GET(close, fds[1]);
    ASK(-ECONNRESET, recvmsg, fds[0], &header, 0);
    GET(close, fds[0]);
    GET(close, listener);
}

/* Urgent data, of which there is none: TCP and unix sockets say so, UDP has never heard of it. */
static void urgent_data(struct errnos *e)
{
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    struct msghdr header = {.msg_iov = &(struct iovec){bytes, 1}, .msg_iovlen = 1};
    const int datagram = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    const int local = GET(socket, AF_UNIX, SOCK_DGRAM, 0, 0);
    int fds[2];

    stream_pair(e, fds);
    ASK(-EINVAL, recv, fds[0], bytes, 1, MSG_OOB);
    ASK(-EOPNOTSUPP, recv, local, bytes, 1, MSG_OOB);
    ASK(-EOPNOTSUPP, recvmsg, local, &header, MSG_OOB);
    ASK_BIND(0, datagram, name);
    ASK(ERRNOS_NONE, recv, datagram, bytes, 1, MSG_OOB);
    ASK_SEND(0, IORING_OP_SEND, datagram, .bytes = 1, .name = &name, .name_bytes = sizeof(name));
    ASK_SEND(0, IORING_OP_SEND, datagram, .bytes = 1, .name = &name, .name_bytes = sizeof(name));
    GET(recv, datagram, bytes, 1, MSG_OOB);
}

/* ── Connecting, listening, accepting ──────────────────────────────────────────────────────── */

static void connects(struct errnos *e)
{
    const struct sockaddr_in there = ipv4(INADDR_LOOPBACK, PORT);
    const struct sockaddr_in ours = ipv4(INADDR_LOOPBACK, PORT + 1);
    const struct sockaddr_in elsewhere = ipv4(0xcb007101, PORT); /* 203.0.113.1 */
    int fds[2], same[2], fd;
    const int listener = stream_pair(e, fds);
    uint64_t waits;

    ASK(-EFAULT, connect, fds[0], NULL, sizeof(there));
    for (int i = 0; i < 2; i++) {
        same[i] = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
        BOTH(e, side_option(side, same[i], SOL_SOCKET, SO_REUSEADDR, 1));
        ASK_BIND(0, same[i], ours);
    }
    ASK_BIND(-EADDRNOTAVAIL, GET(socket, AF_INET, SOCK_STREAM, 0, 0), elsewhere);
    GET(connect, same[0], NAME(there));
    ASK(-EADDRNOTAVAIL, connect, same[1], NAME(there));

    /* Nobody is accepted any more, so a second one has to wait. */
    ASK_LISTEN(0, listener, 0);
    fd = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    ASK(ERRNOS_NONE, connect, fd, NAME(there));
    waits = e->ids;
    ASK(-EALREADY, connect, fd, NAME(there));
    e->of = waits; /* what becomes of it when somebody gives it up */
    ASK(-ECONNRESET, shutdown, fd, SHUT_RDWR);
}

static void listens(struct errnos *e)
{
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    int fds[2];

    for (int i = 0; i < 2; i++) {
        fds[i] = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
        BOTH(e, side_option(side, fds[i], SOL_SOCKET, SO_REUSEADDR, 1));
        ASK_BIND(0, fds[i], name);
    }
    ASK_LISTEN(0, fds[0], 1);
    ASK_LISTEN(-EADDRINUSE, fds[1], 1);
}

/* One more who can be accepted. */
static int caller(struct errnos *e)
{
    const struct sockaddr_in name = ipv4(INADDR_LOOPBACK, PORT);
    const int fd = GET(socket, AF_INET, SOCK_STREAM, 0, 0);

    GET(connect, fd, NAME(name));
    return fd;
}

static void accepts(struct errnos *e)
{
    struct sockaddr_storage name;
    socklen_t name_bytes = sizeof(name);
    struct sockaddr *to = (struct sockaddr *)&name;
    int fds[2], fd;
    const int listener = stream_pair(e, fds);

    fd = caller(e);
    ASK(-EFAULT, accept, listener, to, NULL, 0);
    GET(close, fd);
    fd = caller(e);
    BOTH(e, reset(side, fd));
    GET(close, fd);
    GET(accept, listener, to, &name_bytes, 0); /* and not -ECONNABORTED */
    BOTH(e, (int)name_bytes);
    BOTH(e, name.ss_family);
}

/* The tables of descriptors are full, of both kinds. */
static void no_descriptor_is_left(struct errnos *e)
{
    int fds[2], fd;
    const int listener = stream_pair(e, fds);

    BOTH(e, errnos_register_files(side, 1));
    GET(socket_direct_alloc, AF_INET, SOCK_DGRAM, 0, 0);
    ASK(-ENFILE, socket_direct_alloc, AF_INET, SOCK_DGRAM, 0, 0);
    caller(e);
    ASK_RAW(-ENFILE, .opcode = IORING_OP_ACCEPT, .fd = listener,
            .file_index = IORING_FILE_INDEX_ALLOC);
    do
        fd = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    while (fd >= 0 && fd < SIDES_FDS - 1);
    ASK(-EMFILE, socket, AF_INET, SOCK_DGRAM, 0, 0);
    ASK(-EMFILE, accept, listener, NULL, NULL, 0);
}

static void unknown_families(struct errnos *e)
{
    ASK(-EAFNOSUPPORT, socket, 77, SOCK_STREAM, 0, 0);
    ASK(-ESOCKTNOSUPPORT, socket, AF_UNIX, SOCK_RDM, 0, 0);
    ASK(-EPROTONOSUPPORT, socket, AF_INET, SOCK_STREAM, IPPROTO_UDP, 0);
}

/* ── Ports run out ─────────────────────────────────────────────────────────────────────────── */

enum { OWN_PORTS = TDW_PORT_LAST - TDW_PORT_FIRST + 1 };

/* Of the ports that the kernel gives out by itself there are none left for `socket`'s protocol. */
static bool take_ports(struct tdw_socket *socket, struct tdw_port **taken)
{
    struct tdw_address address = {.ip = tdw__inet_any(AF_INET)};
    bool ok = true;

    for (int i = 0; i < OWN_PORTS; i++) {
        address.port = (uint16_t)(TDW_PORT_FIRST + i);
        ok &= tdw__port_take(socket, address, &taken[i]) == 0;
    }
    return ok;
}

/* The real side has but one such port in its network, which it takes; false: it may not say so. */
static bool take_real_port(const int fds[2])
{
    const struct sockaddr_in only = ipv4(INADDR_ANY, 40000);
    const char range[] = "40000 40000";
    const int sysctl = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
    const bool ok = write(sysctl, range, sizeof(range) - 1) > 0;

    close(sysctl);
    return ok && bind(fds[0], NAME(only)) == 0 && bind(fds[1], NAME(only)) == 0;
}

static void ports_run_out(struct errnos *e)
{
    const struct sockaddr_in any = ipv4(INADDR_ANY, 0);
    const struct sockaddr_in there = ipv4(INADDR_LOOPBACK, PORT);
    static struct tdw_port *taken[2][OWN_PORTS];
    const struct tdw_files *files = tdw__process()->files;
    int datagram, stream, fds[2];

    fds[0] = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    fds[1] = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    if (e->real && !take_real_port(fds))
        e->real = NULL;
    for (int i = 0; i < 2; i++)
        BOTH(e, side->real || take_ports(tdw__fd(files, fds[i])->socket, taken[i]) ? 0 : -EPROTO);
    datagram = GET(socket, AF_INET, SOCK_DGRAM, 0, 0);
    stream = GET(socket, AF_INET, SOCK_STREAM, 0, 0);
    ASK_BIND(-EADDRINUSE, datagram, any);
    ASK_BIND(-EADDRINUSE, stream, any);
    ASK(-EAGAIN, connect, datagram, NAME(there));
    for (int i = 0; i < SENDERS; i++)
        ASK_SEND(-EAGAIN, senders[i], datagram, .bytes = 1, .name = &there,
                 .name_bytes = sizeof(there));
    ASK(-EADDRNOTAVAIL, connect, stream, NAME(there));
    ASK_LISTEN(-EADDRINUSE, stream, 1);
    for (int i = 0; i < 2 * OWN_PORTS; i++)
        tdw__port_give(taken[i / OWN_PORTS][i % OWN_PORTS]);
}

/* ── Unix sockets ──────────────────────────────────────────────────────────────────────────── */

static void make_names(struct errnos *e)
{
    const int file = GET(openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);

    GET(close, file);
    GET(symlinkat, "loop", AT_FDCWD, "loop");
}

static void paths(struct errnos *e)
{
    static const struct {
        int32_t res;
        const char *path;
    } cases[] = {{-ENOENT, "none/socket"},
                 {-ENOTDIR, "file/socket"},
                 {-ELOOP, "loop/socket"},
                 {-EADDRINUSE, "file"}};
    const struct sockaddr_un good = path("socket");
    const int fd = GET(socket, AF_UNIX, SOCK_STREAM, 0, 0);

    make_names(e);
    for (size_t i = 0; i < sizeof(cases) / sizeof *cases; i++) {
        const struct sockaddr_un name = path(cases[i].path);

        ASK_BIND(cases[i].res, fd, name);
    }
    ASK_RAW(-EFAULT, .opcode = TDW_OP_BIND, .fd = fd, .addr2 = sizeof(struct sockaddr_un));
    ASK_BIND(0, fd, good);
    ASK(-EPERM, setxattr, "user.name", "value", "socket", 0, 5);
}

/* Credentials of a process that is not there. */
static struct cmsghdr *credentials(char *control, size_t room)
{
    struct cmsghdr *cmsg = (void *)control;
    const struct ucred nobody = {.pid = 4000000};

    memset(control, 0, room);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_CREDENTIALS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(nobody));
    memcpy(CMSG_DATA(cmsg), &nobody, sizeof(nobody));
    return cmsg;
}

static void unix_sends(struct errnos *e)
{
    const struct sockaddr_un none = path("none"), stream = path("stream");
    const struct sockaddr_un a = path("a"), b = path("b");
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
    const int server = GET(socket, AF_UNIX, SOCK_STREAM, 0, 0);
    const int first = GET(socket, AF_UNIX, SOCK_DGRAM, 0, 0);
    const int second = GET(socket, AF_UNIX, SOCK_DGRAM, 0, 0);
    const int third = GET(socket, AF_UNIX, SOCK_DGRAM, 0, 0);
    const int caller = GET(socket, AF_UNIX, SOCK_STREAM, 0, 0);

    ASK_BIND(0, server, stream);
    ASK_LISTEN(0, server, 1);
    ASK(-EPROTOTYPE, connect, third, NAME(stream));
    for (int i = 0; i < 2; i++) { /* those without a copy are for the internet alone */
        ASK_SEND(-ENOENT, senders[i], third, .bytes = 1, .name = &none, .name_bytes = sizeof(none));
        ASK_SEND(-EPROTOTYPE, senders[i], third, .bytes = 1, .name = &stream,
                 .name_bytes = sizeof(stream));
        ASK_SEND(-ENOTCONN, senders[i], third, .bytes = 1);
    }
    ASK_BIND(0, first, a);
    ASK_BIND(0, second, b);
    GET(connect, second, NAME(a));
    GET(connect, first, NAME(b));
    ASK(-EPERM, connect, third, NAME(a));
    GET(connect, caller, NAME(stream));
    for (int i = 0; i < 2; i++) {
        ASK_SEND(-EPERM, senders[i], third, .bytes = 1, .name = &a, .name_bytes = sizeof(a));
        ASK_SEND(-EISCONN, senders[i], caller, .bytes = 1, .name = &a, .name_bytes = sizeof(a));
    }
    ASK_SEND(-ESRCH, IORING_OP_SENDMSG, second, .bytes = 1,
             .control = credentials(control, sizeof(control)), .control_bytes = sizeof(control));
    BOTH(e, fill(e, side, second));
    ASK_SEND(-EAGAIN, IORING_OP_SENDMSG, second, .bytes = 1, .flags = MSG_DONTWAIT);
}

/* ── Other hosts, which only a world has ───────────────────────────────────────────────────── */

enum { TRANSFERS = SENDERS + 2 };

/* Entry `i` of those that send or receive one byte. */
static struct io_uring_sqe transfer(int i, int fd, struct message *message)
{
    struct io_uring_sqe sqe;

    *message = (struct message){.bytes = 1};
    sqe = to_send(i < SENDERS ? senders[i] : IORING_OP_SENDMSG, fd, message);
    if (i == SENDERS)
        io_uring_prep_recvmsg(&sqe, fd, &message->header, 0);
    else if (i > SENDERS)
        io_uring_prep_recv(&sqe, fd, bytes, 1, 0);
    return sqe;
}

#define SIM_TRANSFER(want, i, fd)                                                                  \
    ({                                                                                             \
        struct message message_;                                                                   \
        const struct io_uring_sqe sqe_ = transfer(i, fd, &message_);                               \
        errnos_ask(e, want, &sqe_, 1, false, ERRNOS_HERE);                                         \
    })

/* Nobody has the address, and whoever waits for the connection hears of it. */
static void nobody_is_there(struct errnos *e)
{
    const struct sockaddr_in nobody = ipv4(0x0ac80009, PORT); /* 10.200.0.9 */

    for (int i = 0; i < TRANSFERS; i++) {
        const int fd = SIM(0, socket, AF_INET, SOCK_STREAM, 0, 0);

        e->wait_ns = 0;
        SIM(ERRNOS_NONE, connect, fd, NAME(nobody));
        SIM(0, cancel64, e->ids, 0);
        e->wait_ns = 5 * SECOND_NS;
        SIM_TRANSFER(-EHOSTUNREACH, i, fd);
    }
}

/* Somebody else is told first what became of a connect. */
static void the_error_is_taken(struct errnos *e)
{
    const struct sockaddr_in nobody = ipv4(0x0ac80009, PORT);
    const int fd = SIM(0, socket, AF_INET, SOCK_STREAM, 0, 0);
    socklen_t size = sizeof(int);
    int error = 0;

    SIM(ERRNOS_NONE, connect, fd, NAME(nobody));
    e->of = e->ids;
    tdw_sleep(3 * SECOND_NS);
    while (!error) {
        tdw_sleep(100);
        tdw_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    BOTH(e, error == EHOSTUNREACH ? 0 : -EPROTO);
    SIM_RAW(-ECONNABORTED, .opcode = IORING_OP_NOP);
}

static void listening(void *unused)
{
    const struct sockaddr_in any = ipv4(INADDR_ANY, PORT);
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    (void)unused;
    tdw_sys_bind(fd, NAME(any));
    tdw_sys_listen(fd, 1);
    tdw_sleep(3600 * SECOND_NS);
}

static void listening_main(void *unused)
{
    tdw_daemon(tdw_self());
    tdw_daemon(tdw_spawn_stackful("server", listening, unused));
}

/* A peer that has gone without a word: what was sent to it is not acknowledged in time. */
static void the_peer_is_gone(struct errnos *e)
{
    struct tdw_host *far = tdw_host("far", listening_main, NULL);
    const struct sockaddr_in there = ipv4(ntohl(tdw_host_ipv4(far).s_addr), PORT);

    for (int i = 0; i < TRANSFERS; i++) {
        const int fd = SIM(0, socket, AF_INET, SOCK_STREAM, 0, 0);

        BOTH(e, tdw_host_boot(far));
        e->wait_ns = SECOND_NS;
        SIM(0, connect, fd, NAME(there));
        BOTH(e, side_option(side, fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000));
        BOTH(e, tdw_host_crash(far));
        e->wait_ns = 10 * SECOND_NS;
        SIM(0, send, fd, bytes, 1, 0);
        SIM_TRANSFER(-ETIMEDOUT, i, fd);
    }
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

#define TABLE(name, table, both)                                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        errnos_check(table, both);                                                                 \
    }

TABLE(datagrams_answer_as_linux, datagrams, true)
TABLE(urgent_receives_answer_as_linux, urgent_data, true)
TABLE(receives_answer_as_linux, receives, true)
TABLE(writes_to_sockets_answer_as_linux, writes, true)
TABLE(what_is_no_socket_answers_as_linux, no_sockets, true)
TABLE(streams_answer_as_linux, streams, true)
TABLE(connects_answer_as_linux, connects, true)
TABLE(listens_answer_as_linux, listens, true)
TABLE(accepts_answer_as_linux, accepts, true)
TABLE(full_tables_answer_as_linux, no_descriptor_is_left, true)
TABLE(full_ports_answer_as_linux, ports_run_out, true)
TABLE(unknown_families_answer_as_linux, unknown_families, true)
TABLE(paths_of_sockets_answer_as_linux, paths, true)
TABLE(sends_to_names_answer_as_linux, unix_sends, true)
TABLE(an_address_that_nobody_has_is_unreachable, nobody_is_there, false)
TABLE(a_connect_whose_error_is_taken_is_aborted, the_error_is_taken, false)
TABLE(a_peer_that_is_gone_times_out, the_peer_is_gone, false)

int tests_errnos_net(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_answer_as_linux),
        cmocka_unit_test(urgent_receives_answer_as_linux),
        cmocka_unit_test(receives_answer_as_linux),
        cmocka_unit_test(writes_to_sockets_answer_as_linux),
        cmocka_unit_test(what_is_no_socket_answers_as_linux),
        cmocka_unit_test(streams_answer_as_linux),
        cmocka_unit_test(connects_answer_as_linux),
        cmocka_unit_test(listens_answer_as_linux),
        cmocka_unit_test(accepts_answer_as_linux),
        cmocka_unit_test(full_tables_answer_as_linux),
        cmocka_unit_test(full_ports_answer_as_linux),
        cmocka_unit_test(unknown_families_answer_as_linux),
        cmocka_unit_test(paths_of_sockets_answer_as_linux),
        cmocka_unit_test(sends_to_names_answer_as_linux),
        cmocka_unit_test(an_address_that_nobody_has_is_unreachable),
        cmocka_unit_test(a_connect_whose_error_is_taken_is_aborted),
        cmocka_unit_test(a_peer_that_is_gone_times_out),
    };

    return cmocka_run_group_tests_name("errnos_net", tests, NULL, NULL);
}
