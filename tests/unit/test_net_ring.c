/* SPDX-License-Identifier: MIT */
/*
 * Sockets on the simulated kernel against the machine's own, through io_uring: random programs.
 *
 * A program is drawn from a seed: sockets of one or two families are made, bound, connected,
 * accepted, written, read, polled, shut down and closed, while up to a few ops wait. Each entry is
 * drawn once and laid over both sides' memory. After each, the completions (results and flags, by
 * op), the memory, the readiness of every descriptor, the bytes that wait in it and its names must
 * be the same. sides.h says how the two sides are set up.
 *
 * What Linux leaves open is kept out of the programs: send buffers never fill up (their sizes are
 * counted differently), ports and names that the kernel picks are shown as one, there is no urgent
 * data, and sockets do not delay small segments (TCP_NODELAY). A poll of a descriptor that was
 * closed may be told more often on one side, since its file cannot be looked at. One difference is
 * left, in a program of thousands: sockets that are passed in a circle are collected by Linux.
 */
#include "dice.h"
#include "sides.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

int tests_net_ring(void);

enum {
    SETTLE_MS = 500,
    PROGRAMS = 400, /* TDW_NET_PROGRAMS=n for more */
    STEPS = 120,
    IDS = 8,     /* ops, in flight or not */
    WAITING = 4, /* of them in flight at most */
    DATA = 512,
    CONTROL = 64,
    FDS_SEEN = SIDES_FDS,
    DONE_MAX = 64,
    PORT = 4000, /* and a few above */
    REPORT_BYTES = 1 << 16,
};

/* ── Drawing ───────────────────────────────────────────────────────────────────────────────── */

/* One side's memory: each op has its own. */
struct memory {
    struct op_memory {
        char data[DATA];
        struct sockaddr_storage name;
        socklen_t name_bytes;
        _Alignas(8) char control[CONTROL];
        struct iovec iov[2];
        struct msghdr header;
        struct epoll_event event;
    } ops[IDS];
    struct epoll_event events[8];
};

/* Words of an entry that hold addresses, into the op's memory. */
enum {
    AT_DATA = 1,    /* addr */
    AT_NAME = 2,    /* addr */
    AT_HEADER = 4,  /* addr */
    OFF_NAME = 8,   /* off: a send's */
    OFF_BYTES = 16, /* off: an accept's */
    OFF_EVENT = 32, /* addr: of epoll */
};

enum call { C_ENTRY, C_SOCKETPAIR, C_EPOLL_CREATE, C_EPOLL_WAIT, C_OPTION, C_GETOPTION };

struct action {
    enum call call;
    struct io_uring_sqe sqe;
    uint32_t at, id;
    struct sockaddr_storage name;
    socklen_t name_bytes;
    uint32_t vectors[2], vectors_count, control_bytes;
    int passed[4], passed_count;
    struct epoll_event event;
    int words[4]; /* of a call */
};

struct program {
    struct dice dice;
    int domains[2];
    int types[2];
    uint32_t waiting; /* ops in flight, by bit */
    uint32_t polls;   /* those that are polls */
    int polled[IDS];  /* a poll's descriptor; -1: it was closed since */
    uint32_t readers; /* those that take something */
    uint32_t failed;  /* have not succeeded, so far */
    uint32_t waited;  /* did not complete at once */
    bool epoll; /* there is one: nothing is read by READ, which Linux makes wait for an epoll */
};

static int a_fd(struct program *program)
{
    return (int)PICK(&program->dice, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, -1,
                     below(&program->dice, SIDES_FDS));
}

static int a_domain(struct program *program)
{
    return program->domains[below(&program->dice, 2)];
}

static socklen_t an_ipv4(struct dice *dice, struct sockaddr_storage *to)
{
    struct sockaddr_in *name = (void *)to;

    name->sin_family =
        (sa_family_t)PICK(dice, AF_INET, AF_INET, AF_INET, AF_INET, AF_INET, AF_INET6, AF_UNSPEC);
    name->sin_port = htons((uint16_t)(PORT + below(dice, 3)));
    name->sin_addr.s_addr =
        htonl((uint32_t)PICK(dice, INADDR_LOOPBACK, INADDR_LOOPBACK, INADDR_LOOPBACK, INADDR_ANY));
    return (socklen_t)PICK(dice, sizeof(*name), sizeof(*name), sizeof(*name), sizeof(*name),
                           sizeof(*name) - 1, sizeof(*to), 4);
}

static socklen_t an_ipv6(struct dice *dice, struct sockaddr_storage *to)
{
    struct sockaddr_in6 *name = (void *)to;

    name->sin6_family = (sa_family_t)PICK(dice, AF_INET6, AF_INET6, AF_INET6, AF_INET6, AF_INET);
    name->sin6_port = htons((uint16_t)(PORT + below(dice, 3)));
    switch (below(dice, 4)) {
    case 0:
        break;
    case 1:
        name->sin6_addr.s6_addr[10] = name->sin6_addr.s6_addr[11] = 0xff;
        name->sin6_addr.s6_addr[12] = 127;
        name->sin6_addr.s6_addr[15] = 1;
        break;
    default:
        name->sin6_addr = in6addr_loopback;
    }
    return (socklen_t)PICK(dice, sizeof(*name), sizeof(*name), sizeof(*name), sizeof(*name),
                           sizeof(*name) - 4, sizeof(*to), 4);
}

static socklen_t a_unix(struct dice *dice, struct sockaddr_storage *to)
{
    struct sockaddr_un *name = (void *)to;
    const uint32_t which = below(dice, 8);

    name->sun_family = AF_UNIX;
    if (which == 0)
        return (socklen_t)PICK(dice, 2, 1, 0, 3, sizeof(*name) + 1);
    name->sun_path[0] = '\0'; /* abstract: no file system is shared by the sides */
    name->sun_path[1] = (char)('a' + below(dice, 3));
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 2);
}

static void a_name(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;
    const int domain = below(dice, 20) ? a_domain(program) : AF_UNSPEC;

    memset(&a->name, 0, sizeof(a->name));
    a->name_bytes = domain == AF_INET    ? an_ipv4(dice, &a->name)
                    : domain == AF_INET6 ? an_ipv6(dice, &a->name)
                    : domain == AF_UNIX  ? a_unix(dice, &a->name)
                                         : (socklen_t)PICK(dice, 2, 16, 28);
}

static void draw_socket(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;
    const uint32_t which = below(dice, 2);
    const int domain = program->domains[which];
    const int type =
        (int)PICK(dice, program->types[which], program->types[which], program->types[which],
                  SOCK_STREAM, domain == AF_UNIX ? SOCK_DGRAM : SOCK_STREAM, SOCK_SEQPACKET, 77);

    if (domain == AF_UNIX && below(dice, 2)) {
        a->call = C_SOCKETPAIR;
        a->words[0] = domain;
        a->words[1] = type;
        return;
    }
    a->sqe.opcode = IORING_OP_SOCKET;
    a->sqe.fd = domain;
    a->sqe.off = (uint64_t)type | (uint64_t)PICK(dice, 0, 0, SOCK_CLOEXEC, SOCK_NONBLOCK);
    a->sqe.len = (uint32_t)PICK(dice, 0, 0, 0, 0, IPPROTO_TCP, IPPROTO_UDP, 250);
}

static void draw_accept(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    a->sqe.opcode = IORING_OP_ACCEPT;
    a->sqe.fd = a_fd(program);
    a->sqe.accept_flags = (uint32_t)PICK(dice, 0, 0, 0, SOCK_CLOEXEC, SOCK_NONBLOCK, 1);
    a->sqe.ioprio = (uint16_t)PICK(dice, 0, 0, IORING_ACCEPT_MULTISHOT, TDW_ACCEPT_DONTWAIT);
    if (a->sqe.ioprio != IORING_ACCEPT_MULTISHOT && below(dice, 2)) {
        a->at = AT_NAME | OFF_BYTES;
        a->name_bytes = (socklen_t)PICK(dice, sizeof(a->name), 16, 5, 0);
    }
}

/* Vectors, control bytes and a name for a message. */
static void draw_header(struct program *program, struct action *a, bool send)
{
    struct dice *dice = &program->dice;

    a->at |= AT_HEADER;
    a->vectors_count = (uint32_t)PICK(dice, 1, 1, 1, 2, 0);
    for (uint32_t i = 0; i < 2; i++)
        a->vectors[i] = (uint32_t)PICK(dice, 0, 1, 10, 100, 200);
    if (a->sqe.msg_flags & MSG_WAITALL)
        a->vectors[0] |= 1;
    if (below(dice, 2))
        a->name_bytes = (socklen_t)PICK(dice, sizeof(a->name), 16, 3);
    if (send && a->name_bytes)
        a_name(program, a);
    a->control_bytes = (uint32_t)PICK(dice, 0, 0, CONTROL, 24, 20, 32, 8);
    if (send && a->control_bytes) {
        a->passed_count = (int)below(dice, 4);
        a->control_bytes = (uint32_t)CMSG_SPACE((size_t)a->passed_count * sizeof(int));
        for (int i = 0; i < a->passed_count; i++)
            a->passed[i] = (int)PICK(dice, 0, 1, 2, 3, 4, 5, below(dice, SIDES_FDS));
    }
}

static void draw_send(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    a->sqe.fd = a_fd(program);
    a->sqe.msg_flags =
        (uint32_t)PICK(dice, 0, 0, 0, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, MSG_EOR);
    if (below(dice, 3) == 0) {
        a->sqe.opcode =
            (uint8_t)PICK(dice, IORING_OP_SENDMSG, IORING_OP_SENDMSG, IORING_OP_SENDMSG_ZC);
        draw_header(program, a, true);
        return;
    }
    a->sqe.opcode =
        (uint8_t)PICK(dice, IORING_OP_SEND, IORING_OP_SEND, IORING_OP_WRITE, IORING_OP_SEND_ZC);
    if (a->sqe.opcode == IORING_OP_WRITE && program->epoll)
        a->sqe.opcode = IORING_OP_SEND;
    a->at = AT_DATA;
    a->sqe.len = (uint32_t)PICK(dice, 0, 1, 10, 100, 100, 300);
    if (a->sqe.opcode == IORING_OP_WRITE) {
        a->sqe.rw_flags = 0;
    } else if (below(dice, 3) == 0) {
        a->at |= OFF_NAME;
        a_name(program, a);
        a->sqe.addr_len = (uint16_t)a->name_bytes;
    }
}

static void draw_receive(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    a->sqe.fd = a_fd(program);
    a->sqe.msg_flags = (uint32_t)PICK(dice, 0, 0, 0, MSG_DONTWAIT, MSG_DONTWAIT, MSG_PEEK,
                                      MSG_TRUNC, MSG_WAITALL, MSG_CMSG_CLOEXEC);
    if (below(dice, 3) == 0) {
        a->sqe.opcode = IORING_OP_RECVMSG;
        draw_header(program, a, false);
        return;
    }
    a->sqe.opcode = (uint8_t)PICK(dice, IORING_OP_RECV, IORING_OP_RECV, IORING_OP_READ);
    if (program->epoll)
        a->sqe.opcode = IORING_OP_RECV;
    a->at = AT_DATA;
    a->sqe.len = (uint32_t)PICK(dice, 0, 1, 10, 100, 300);
    if (a->sqe.opcode == IORING_OP_READ)
        a->sqe.rw_flags = 0;
}

static void draw_poll(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    a->sqe.opcode = IORING_OP_POLL_ADD;
    a->sqe.fd = a_fd(program);
    a->sqe.poll32_events =
        (uint32_t)PICK(dice, POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT, POLLRDHUP, 0, POLLPRI);
    a->sqe.len = (uint32_t)PICK(dice, 0, 0, IORING_POLL_ADD_MULTI);
}

static void draw_cancel(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    a->sqe.fd = -1;
    a->sqe.addr = 1 + below(dice, IDS);
    switch (below(dice, 4)) {
    case 0:
        a->sqe.opcode = IORING_OP_POLL_REMOVE;
        if (below(dice, 2)) {
            a->sqe.len = IORING_POLL_UPDATE_EVENTS;
            a->sqe.poll32_events = (uint32_t)PICK(dice, POLLIN, POLLOUT, POLLRDHUP);
        }
        return;
    case 1:
        a->sqe.fd = a_fd(program);
        a->sqe.addr = 0;
        a->sqe.cancel_flags = IORING_ASYNC_CANCEL_FD;
        a->sqe.cancel_flags |= (uint32_t)PICK(dice, 0, IORING_ASYNC_CANCEL_ALL);
        /* Which of several it hits if not all is decided by a hash of their user_data on Linux. */
        if (program->waiting & (program->waiting - 1))
            a->sqe.cancel_flags |= IORING_ASYNC_CANCEL_ALL;
        break;
    case 2:
        a->sqe.cancel_flags = (uint32_t)PICK(dice, 0, IORING_ASYNC_CANCEL_ALL,
                                             IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        break;
    default:
        break;
    }
    a->sqe.opcode = IORING_OP_ASYNC_CANCEL;
}

static void draw_epoll(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    switch (below(dice, 6)) {
    case 0:
        a->call = C_EPOLL_CREATE;
        program->epoll = true;
        return;
    case 1:
    case 2:
        a->call = C_EPOLL_WAIT;
        a->words[0] = a_fd(program);
        return;
    default:
        break;
    }
    a->sqe.opcode = IORING_OP_EPOLL_CTL;
    a->sqe.fd = a_fd(program);
    a->sqe.off = (uint64_t)(int64_t)a_fd(program);
    a->sqe.len = (uint32_t)PICK(dice, EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD,
                                EPOLL_CTL_DEL, 77);
    a->at = OFF_EVENT;
    a->event.events =
        (uint32_t)PICK(dice, EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLOUT, EPOLLRDHUP) |
        (uint32_t)PICK(dice, 0, 0, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE, EPOLLET | EPOLLONESHOT);
    a->event.data.u64 = below(dice, 1000);
}

static void draw_option(struct program *program, struct action *a)
{
    static const int options[][2] = {{SOL_SOCKET, SO_REUSEADDR},  {SOL_SOCKET, SO_REUSEPORT},
                                     {SOL_SOCKET, SO_PASSCRED},   {IPPROTO_IPV6, IPV6_V6ONLY},
                                     {SOL_SOCKET, SO_ERROR},      {SOL_SOCKET, SO_TYPE},
                                     {SOL_SOCKET, SO_ACCEPTCONN}, {SOL_SOCKET, SO_DOMAIN},
                                     {SOL_SOCKET, SO_PROTOCOL},   {IPPROTO_TCP, TCP_NODELAY}};
    const uint32_t which = below(&program->dice, sizeof(options) / sizeof(options[0]));

    a->call = below(&program->dice, 2) ? C_OPTION : C_GETOPTION;
    a->words[0] = a_fd(program);
    a->words[1] = options[which][0];
    a->words[2] = options[which][1];
    a->words[3] = options[which][1] == TCP_NODELAY || below(&program->dice, 2);
}

/* A socket of TCP that connects to its own address is connected to itself on Linux, which sim does
 * not know: each descriptor has a port to bind to, and connects to others. */
static void own_port(struct action *a, bool own)
{
    struct sockaddr_in *name = (void *)&a->name; /* sin6_port is at its place */
    const int port = PORT + (a->sqe.fd + 3) % 3;

    if (name->sin_family == AF_UNIX) /* without a family it may be IPv4's */
        return;
    if (own)
        name->sin_port = htons((uint16_t)port);
    else if (ntohs(name->sin_port) == port)
        name->sin_port = htons((uint16_t)(PORT + (a->sqe.fd + 4) % 3));
}

static void draw(struct program *program, struct action *a)
{
    struct dice *dice = &program->dice;

    switch (below(dice, 16)) {
    case 0:
    case 1:
        draw_socket(program, a);
        break;
    case 2:
        a->sqe.opcode = TDW_OP_BIND;
        a->sqe.fd = a_fd(program);
        a_name(program, a);
        own_port(a, true);
        a->at = AT_NAME;
        a->sqe.off = a->name_bytes;
        break;
    case 3:
        a->sqe.opcode = TDW_OP_LISTEN;
        a->sqe.fd = a_fd(program);
        a->sqe.len = 4;
        break;
    case 4:
        a->sqe.opcode = IORING_OP_CONNECT;
        a->sqe.fd = a_fd(program);
        a_name(program, a);
        own_port(a, false);
        a->at = AT_NAME;
        a->sqe.off = a->name_bytes;
        break;
    case 5:
        draw_accept(program, a);
        break;
    case 6:
    case 7:
        draw_send(program, a);
        break;
    case 8:
    case 9:
        draw_receive(program, a);
        break;
    case 10:
        a->sqe.opcode = IORING_OP_SHUTDOWN;
        a->sqe.fd = a_fd(program);
        a->sqe.len = (uint32_t)PICK(dice, SHUT_RD, SHUT_WR, SHUT_WR, SHUT_RDWR, 3);
        break;
    case 11:
        a->sqe.opcode = IORING_OP_CLOSE;
        a->sqe.fd = a_fd(program);
        break;
    case 12:
        draw_poll(program, a);
        break;
    case 13:
        draw_cancel(program, a);
        break;
    case 14:
        draw_epoll(program, a);
        break;
    default:
        draw_option(program, a);
    }
}

/* ── The beginning of a program: a connection of its first family, and a listener ──────────── */

static void first_name(const struct program *program, struct action *a)
{
    struct sockaddr_in *ipv4 = (void *)&a->name;
    struct sockaddr_in6 *ipv6 = (void *)&a->name;
    struct sockaddr_un *local = (void *)&a->name;

    a->name.ss_family = (sa_family_t)program->domains[0];
    a->name_bytes = sizeof(*ipv4);
    if (program->domains[0] == AF_INET) {
        ipv4->sin_port = htons(PORT);
        ipv4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (program->domains[0] == AF_INET6) {
        a->name_bytes = sizeof(*ipv6);
        ipv6->sin6_port = htons(PORT);
        ipv6->sin6_addr = in6addr_loopback;
    } else {
        a->name_bytes = offsetof(struct sockaddr_un, sun_path) + 2;
        local->sun_path[1] = 'a';
    }
    a->at = AT_NAME;
    a->sqe.off = a->name_bytes;
}

static void begin(struct program *program, uint32_t step, struct action *a)
{
    static const uint8_t opcodes[] = {IORING_OP_SOCKET, IORING_OP_SOCKET,  TDW_OP_BIND,
                                      TDW_OP_LISTEN,    IORING_OP_CONNECT, IORING_OP_ACCEPT};

    a->sqe.opcode = opcodes[step];
    a->sqe.fd = step == 4;
    if (step < 2) {
        a->sqe.fd = program->domains[0];
        a->sqe.off = (uint64_t)program->types[0];
    }
    if (step == 2 || step == 4)
        first_name(program, a);
    if (step == 3)
        a->sqe.len = 4;
}

enum { BEGIN_STEPS = 6 };

/* ── Both sides ────────────────────────────────────────────────────────────────────────────── */

struct report {
    char text[REPORT_BYTES];
    size_t bytes;
    uint64_t steps, successes, late;
    uint64_t calls[256], good[256];
};
static struct report *report;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    if (report->bytes < REPORT_BYTES)
        report->bytes += (size_t)vsnprintf(report->text + report->bytes,
                                           REPORT_BYTES - report->bytes, format, list);
    va_end(list);
}

static uint64_t address(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

/* Lay an action over one side's memory; its entry. */
static struct io_uring_sqe lay(const struct action *a, struct memory *memory, uint32_t fill)
{
    struct op_memory *op = &memory->ops[a->id];
    struct io_uring_sqe sqe = a->sqe;

    memset(op, 0, sizeof(*op));
    for (uint32_t i = 0; i < DATA; i++)
        op->data[i] = (char)(fill + i * 7);
    op->name = a->name;
    op->name_bytes = a->name_bytes;
    op->event = a->event;
    if (a->at & AT_HEADER) {
        op->iov[0] = (struct iovec){op->data, a->vectors[0]};
        op->iov[1] = (struct iovec){op->data + 200, a->vectors[1]};
        op->header = (struct msghdr){.msg_iov = op->iov, .msg_iovlen = a->vectors_count};
        if (a->name_bytes) {
            op->header.msg_name = &op->name;
            op->header.msg_namelen = a->name_bytes;
        }
        op->header.msg_controllen = a->control_bytes;
        op->header.msg_control = a->control_bytes ? op->control : NULL;
    }
    if (a->passed_count) {
        struct cmsghdr *cmsg = (void *)op->control;

        *cmsg = (struct cmsghdr){CMSG_LEN((size_t)a->passed_count * sizeof(int)), SOL_SOCKET,
                                 SCM_RIGHTS};
        memcpy(CMSG_DATA(cmsg), a->passed, (size_t)a->passed_count * sizeof(int));
    }
    sqe.addr = a->at & AT_DATA     ? address(op->data)
               : a->at & AT_NAME   ? address(&op->name)
               : a->at & AT_HEADER ? address(&op->header)
               : a->at & OFF_EVENT ? address(&op->event)
                                   : sqe.addr;
    if (a->at & OFF_NAME)
        sqe.addr2 = address(&op->name);
    if (a->at & OFF_BYTES)
        sqe.addr2 = address(&op->name_bytes);
    return sqe;
}

/* What a side shows after a step. */
struct view {
    int res; /* of a call */
    struct side_done done[DONE_MAX];
    uint32_t count;
    int ready[FDS_SEEN], waits[FDS_SEEN];
    struct name {
        int res;
        socklen_t bytes;
        struct sockaddr_storage address;
    } names[FDS_SEEN][2]; /* its own, its peer's */
};

static int call(struct side *side, const struct action *a, struct memory *memory)
{
    int fds[2], value = a->words[3];
    socklen_t bytes = sizeof(value);
    int res;

    switch (a->call) {
    case C_SOCKETPAIR:
        return SIDE_CALL(side, socketpair, a->words[0], a->words[1], 0, fds);
    case C_EPOLL_CREATE:
        return SIDE_CALL(side, epoll_create1, 0);
    case C_EPOLL_WAIT:
        memset(memory->events, 0, sizeof(memory->events));
        return side_epoll_wait(side, a->words[0], memory->events, 8);
    case C_OPTION:
        return side_option(side, a->words[0], a->words[1], a->words[2], a->words[3]);
    case C_GETOPTION:
        res = SIDE_CALL(side, getsockopt, a->words[0], a->words[1], a->words[2], &value, &bytes);
        return res < 0 ? res : value;
    case C_ENTRY:
        break;
    }
    return 0;
}

static int by_op(const void *a, const void *b)
{
    const struct side_done *x = a, *y = b;

    return x->id != y->id ? (x->id < y->id ? -1 : 1) : 0;
}

/* A name that the kernel picked: a NUL and five digits. */
static bool is_picked(const struct sockaddr_un *name)
{
    static const char digits[] = "0123456789abcdef";

    return name->sun_path[0] == '\0' && strspn(name->sun_path + 1, digits) == 5;
}

/* A port or a name that the kernel picked is any. */
static void forget_picked(struct sockaddr_storage *address)
{
    struct sockaddr_in *name = (void *)address; /* sin6_port is at its place */

    if ((name->sin_family == AF_INET || name->sin_family == AF_INET6) &&
        ntohs(name->sin_port) > PORT + 100)
        name->sin_port = 0xffff;
    if (name->sin_family == AF_UNIX && is_picked((void *)address))
        memset(((struct sockaddr_un *)(void *)address)->sun_path + 1, '0', 5);
}

/* Whose process it was: somebody's. */
static void forget_sender(struct op_memory *op)
{
    struct cmsghdr *cmsg = (void *)op->control;
    pid_t pid;

    if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_CREDENTIALS ||
        cmsg->cmsg_len < CMSG_LEN(sizeof(pid)))
        return;
    memcpy(&pid, CMSG_DATA(cmsg), sizeof(pid));
    pid = pid != 0;
    memcpy(CMSG_DATA(cmsg), &pid, sizeof(pid));
}

static void look_names(const struct side *side, int fd, struct name names[2])
{
    memset(names, 0, 2 * sizeof(names[0]));
    for (int peer = 0; peer < 2; peer++) {
        struct name *name = &names[peer];

        name->bytes = sizeof(name->address);
        name->res = peer ? SIDE_CALL(side, getpeername, fd, (void *)&name->address, &name->bytes)
                         : SIDE_CALL(side, getsockname, fd, (void *)&name->address, &name->bytes);
        forget_picked(&name->address);
    }
}

static void look(const struct side *side, struct view *view)
{
    struct pollfd fds[FDS_SEEN];

    for (int fd = 0; fd < FDS_SEEN; fd++)
        fds[fd] = (struct pollfd){fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    side_poll(side, fds, FDS_SEEN);
    for (int fd = 0; fd < FDS_SEEN; fd++) {
        view->ready[fd] = fds[fd].revents;
        view->waits[fd] = 0;
        if (SIDE_CALL(side, ioctl, fd, FIONREAD, &view->waits[fd]) < 0)
            view->waits[fd] = -1;
        look_names(side, fd, view->names[fd]);
    }
}

static bool looks_alike(const struct view *a, const struct view *b)
{
    return memcmp(a->ready, b->ready, sizeof(a->ready)) == 0 &&
           memcmp(a->waits, b->waits, sizeof(a->waits)) == 0 &&
           memcmp(a->names, b->names, sizeof(a->names)) == 0;
}

/* A machine under load ends a connection when it gets to it (the answer to a FIN, the other end's
 * state), after the call that began it: it has a while to look as it must. */
static void settle(const struct side *side, struct view *view, const struct view *expected)
{
    for (int i = 0; i < SETTLE_MS && !looks_alike(view, expected); i++) {
        usleep(1000);
        look(side, view);
    }
}

/* Flags that both must have. Whether more bytes wait is told by some kernels and kinds only. */
struct pair {
    struct side *sim, *real;
    struct memory *sim_memory, *real_memory;
    int ready[FDS_SEEN]; /* after the last step */
};

/* Is its file ready for what it was ready for before, as far as it can still be seen? */
static bool is_as_before(const struct pair *pair, const struct view *view, int fd)
{
    return fd < 0 || pair->ready[fd] == view->ready[fd];
}

/* A poll tells more often than needed: of wakes after which all is as it was. How soon the real
 * kernel is done with what a step has begun (the answer to a FIN) is a matter of its load. */
static void drop_needless(const struct program *program, const struct pair *pair, struct view *view,
                          const struct view *other)
{
    for (uint32_t i = 0; i < view->count; i++) {
        bool both = !is_as_before(pair, view, program->polled[view->done[i].id - 1]);

        for (uint32_t j = 0; j < other->count; j++)
            both |= other->done[j].id == view->done[i].id;
        if (both || !(program->polls & 1u << (view->done[i].id - 1)) ||
            !(view->done[i].flags & IORING_CQE_F_MORE))
            continue;
        memmove(&view->done[i], &view->done[i + 1], (--view->count - i) * sizeof(view->done[0]));
        i--;
    }
}

/* Has an op completed on the other side that has not on this one? */
static bool lacks(const struct view *view, const struct view *other)
{
    for (uint32_t i = 0; i < other->count; i++) {
        uint32_t at = 0;

        while (at < view->count && view->done[at].id != other->done[i].id)
            at++;
        if (at == view->count)
            return true;
    }
    return false;
}

/* `other`: what is expected, or NULL. A needless completion may come before those. */
static void take_view(const struct program *program, struct side *side, struct view *view,
                      const struct view *other)
{
    uint32_t more = side_reap(side, view->done, DONE_MAX, other ? other->count : 0);

    for (view->count = more; more > 0 && other && lacks(view, other); view->count += more)
        more = side_reap(side, view->done + view->count, DONE_MAX - view->count, 1);
    for (uint32_t i = 0; i < view->count; i++)
        view->done[i].flags &= ~(uint32_t)IORING_CQE_F_SOCK_NONEMPTY;
    /* How often a multishot poll tells of one change depends on how it came about: the last counts.
     */
    for (uint32_t i = 0; i < view->count;) {
        uint32_t later = i + 1;

        while (later < view->count && view->done[later].id != view->done[i].id)
            later++;
        if (program->polls & 1u << (view->done[i].id - 1) && later < view->count &&
            view->done[later].flags & IORING_CQE_F_MORE) {
            memmove(&view->done[i], &view->done[i + 1],
                    (--view->count - i) * sizeof(view->done[0]));
            continue;
        }
        i++;
    }
    /* of one op in the order in which they came */
    for (uint32_t i = 1; i < view->count; i++)
        for (uint32_t j = i; j > 0 && by_op(&view->done[j - 1], &view->done[j]) > 0; j--) {
            const struct side_done swap = view->done[j];

            view->done[j] = view->done[j - 1];
            view->done[j - 1] = swap;
        }
    look(side, view);
}

/* A sender may get its name after its message; Linux shows it then, and in sim the message says who
 * its sender was. */
static bool named_later(const struct op_memory *sim, const struct op_memory *real)
{
    return sim->header.msg_namelen == 0 && real->name.ss_family == AF_UNIX;
}

/* Of an op that has failed, or waits, Linux may have written control bytes (the credentials of
 * nobody), for which room is then lacking. */
static bool same_control(const struct op_memory *sim, const struct op_memory *real, bool failed,
                         bool waited)
{
    if (failed || (waited && real->header.msg_flags & MSG_CTRUNC))
        return true;
    return memcmp(sim->control, real->control, sizeof(sim->control)) == 0 &&
           sim->header.msg_controllen == real->header.msg_controllen &&
           sim->header.msg_flags == real->header.msg_flags;
}

static bool same_op(const struct op_memory *a, const struct op_memory *b)
{
    if (!named_later(a, b) && (a->header.msg_namelen != b->header.msg_namelen ||
                               memcmp(&a->name, &b->name, sizeof(a->name)) != 0))
        return false;
    return memcmp(a->data, b->data, sizeof(a->data)) == 0 && a->name_bytes == b->name_bytes;
}

static void say_name(const char *side, const struct name *name)
{
    const unsigned char *bytes = (const unsigned char *)&name->address;

    say(" %s %d, %u bytes", side, name->res, name->bytes);
    for (int i = 0; i < 28; i++)
        say("%s%02x", i % 4 ? "" : " ", bytes[i]);
}

static bool same_name(int fd, int peer, const struct name *sim, const struct name *real)
{
    if (memcmp(sim, real, sizeof(*sim)) == 0)
        return true;
    say("     %s of fd %d:", peer ? "peer" : "name", fd);
    say_name("real", real);
    say_name("; sim", sim);
    say("\n");
    return false;
}

/* `polls`: ops that waited and are polls. What one tells is what its wake told it or what it sees
 * when it looks again; either way something is ready, and all that is ready is compared below. */
static bool same(const struct pair *pair, const struct program *program, uint32_t polls,
                 const struct view *sim, const struct view *real)
{
    bool alike = sim->res == real->res && sim->count == real->count;

    if (sim->res != real->res)
        say("     call: real %d, sim %d\n", real->res, sim->res);
    for (uint32_t i = 0; i < sim->count || i < real->count; i++) {
        const struct side_done none = {0};
        const struct side_done *s = i < sim->count ? &sim->done[i] : &none;
        const struct side_done *r = i < real->count ? &real->done[i] : &none;

        if (s->id == r->id && s->flags == r->flags &&
            (s->res == r->res || (polls & 1u << (s->id - 1) && s->res >= 0 && r->res >= 0)))
            continue;
        say("     real: op %d: %d flags %#x   sim: op %d: %d flags %#x\n", (int)r->id, r->res,
            r->flags, (int)s->id, s->res, s->flags);
        alike = false;
    }
    for (int fd = 0; fd < FDS_SEEN; fd++)
        if (sim->ready[fd] != real->ready[fd] || sim->waits[fd] != real->waits[fd]) {
            say("     fd %d: real is ready for %#x, %d bytes; sim %#x, %d bytes\n", fd,
                real->ready[fd], real->waits[fd], sim->ready[fd], sim->waits[fd]);
            alike = false;
        }
    for (int fd = 0; fd < FDS_SEEN; fd++)
        for (int peer = 0; peer < 2; peer++)
            alike &= same_name(fd, peer, &sim->names[fd][peer], &real->names[fd][peer]);
    for (int i = 0; i < IDS; i++) {
        const struct op_memory *s = &pair->sim_memory->ops[i];
        const struct op_memory *r = &pair->real_memory->ops[i];

        if (!same_op(s, r) ||
            !same_control(s, r, program->failed & 1u << i, program->waited & 1u << i)) {
            say("     memory of op %d: names %u %u, data %d, control %d; name %u %u control %zu "
                "%zu flags %#x %#x (real, sim)\n",
                i + 1, r->name_bytes, s->name_bytes, memcmp(s->data, r->data, DATA) != 0,
                memcmp(s->control, r->control, CONTROL) != 0, r->header.msg_namelen,
                s->header.msg_namelen, r->header.msg_controllen, s->header.msg_controllen,
                (unsigned)r->header.msg_flags, (unsigned)s->header.msg_flags);
            alike = false;
        }
    }
    if (memcmp(pair->sim_memory->events, pair->real_memory->events,
               sizeof(pair->sim_memory->events)) != 0) {
        say("     epoll: real %#x, sim %#x\n", pair->real_memory->events[0].events,
            pair->sim_memory->events[0].events);
        alike = false;
    }
    return alike;
}

static void say_action(uint32_t step, const struct action *a)
{
    static const char *const calls[] = {"entry",      "socketpair", "epoll_create",
                                        "epoll_wait", "setsockopt", "getsockopt"};
    const struct io_uring_sqe *sqe = &a->sqe;

    if (a->call != C_ENTRY) {
        say("%3u  %s %d %d %d %d\n", step, calls[a->call], a->words[0], a->words[1], a->words[2],
            a->words[3]);
        return;
    }
    say("%3u  op %u: %s fd %d off %lld len %u flags %#x ioprio %#x", step, a->id + 1,
        tdw_opcode(sqe->opcode)->name, sqe->fd, (long long)sqe->off, sqe->len, sqe->rw_flags,
        sqe->ioprio);
    if (a->name_bytes) {
        const unsigned char *ip = (const unsigned char *)&a->name;

        say(" name(%u) family %d port %d ip %u.…%u or …%x%x%x%x:…%x", a->name_bytes,
            a->name.ss_family, ip[2] << 8 | ip[3], ip[4], ip[7], ip[18], ip[19], ip[20], ip[21],
            ip[23]);
    }
    if (a->at & AT_HEADER)
        say(" %u vectors %u %u control %u files %d", a->vectors_count, a->vectors[0], a->vectors[1],
            a->control_bytes, a->passed_count);
    if (a->at & OFF_EVENT)
        say(" events %#x", a->event.events);
    say("%s\n", a->sqe.opcode == IORING_OP_ASYNC_CANCEL || a->sqe.opcode == IORING_OP_POLL_REMOVE
                    ? (sqe->addr ? "" : " (by fd)")
                    : "");
}

static bool takes(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_RECV || sqe->opcode == IORING_OP_RECVMSG ||
           sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_ACCEPT;
}

/* Which of several that wait for the same gets it is open: one waits at a time. */
static void take_now(const struct program *program, struct action *a)
{
    if (!(program->waiting & program->readers) || a->call != C_ENTRY || !takes(&a->sqe))
        return;
    if (a->sqe.opcode == IORING_OP_ACCEPT) {
        a->sqe.ioprio = TDW_ACCEPT_DONTWAIT;
        return;
    }
    if (a->sqe.opcode == IORING_OP_READ)
        a->sqe.opcode = IORING_OP_RECV;
    a->sqe.msg_flags |= MSG_DONTWAIT;
}

/* When a small segment is sent would depend on when others were acknowledged. A result that is no
 * descriptor does no harm. */
static void no_delay(const struct pair *pair, const struct view *view)
{
    for (uint32_t i = 0; i < view->count; i++) {
        if (view->done[i].res < 0)
            continue;
        side_option(pair->sim, view->done[i].res, IPPROTO_TCP, TCP_NODELAY, 1);
        side_option(pair->real, view->done[i].res, IPPROTO_TCP, TCP_NODELAY, 1);
    }
}

/* What a read of a datagram socket that was shut answers depends on who waits, and where. */
static void keep_readable(const struct pair *pair, struct action *a)
{
    int type = 0;
    socklen_t bytes = sizeof(type);

    if (a->call != C_ENTRY || a->sqe.opcode != IORING_OP_SHUTDOWN)
        return;
    SIDE_CALL(pair->real, getsockopt, a->sqe.fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
    if (type == SOCK_DGRAM)
        a->sqe.len = SHUT_WR;
}

/* What a thread of the kernel's has done is its work a moment longer than it is in flight: a
 * cancellation answers -EALREADY then, and -ENOENT ever after. */
static void forget_workers(const struct view *sim, struct view *real, const struct action *a)
{
    for (uint32_t i = 0; i < real->count && i < sim->count; i++)
        if (a->sqe.opcode == IORING_OP_ASYNC_CANCEL && real->done[i].id == a->id + 1 &&
            sim->done[i].id == a->id + 1 && real->done[i].res == -EALREADY &&
            sim->done[i].res == -ENOENT)
            real->done[i].res = -ENOENT;
}

/* One step on both sides. */
static bool step_both(struct pair *pair, struct program *program, const struct action *a,
                      uint32_t fill)
{
    struct io_uring_sqe sqe;
    struct view sim, real;
    bool alike;

    memset(&sim, 0, sizeof(sim));
    memset(&real, 0, sizeof(real));
    if (a->call == C_ENTRY) {
        program->waiting |= 1u << a->id;
        program->failed |= 1u << a->id;
        program->waited &= ~(1u << a->id);
        program->polls &= ~(1u << a->id);
        program->readers &= ~(1u << a->id);
        if (takes(&a->sqe))
            program->readers |= 1u << a->id;
        if (a->sqe.opcode == IORING_OP_POLL_ADD || a->sqe.opcode == IORING_OP_POLL_REMOVE)
            program->polls |= 1u << a->id;
        program->polled[a->id] = a->sqe.fd < FDS_SEEN ? a->sqe.fd : -1;
        sqe = lay(a, pair->sim_memory, fill);
        side_submit(pair->sim, &sqe, a->id + 1);
        sqe = lay(a, pair->real_memory, fill);
        side_submit(pair->real, &sqe, a->id + 1);
        report->calls[a->sqe.opcode]++;
        for (int i = 0; a->sqe.opcode == IORING_OP_CLOSE && i < IDS; i++)
            if (program->polled[i] == a->sqe.fd)
                program->polled[i] = -1;
    } else {
        sim.res = call(pair->sim, a, pair->sim_memory);
        real.res = call(pair->real, a, pair->real_memory);
    }
    take_view(program, pair->sim, &sim, NULL);
    take_view(program, pair->real, &real, &sim);
    settle(pair->real, &real, &sim);
    drop_needless(program, pair, &real, &sim);
    drop_needless(program, pair, &sim, &real);
    forget_workers(&sim, &real, a);
    memcpy(pair->ready, real.ready, sizeof(pair->ready));
    for (int i = 0; i < IDS; i++) {
        forget_picked(&pair->sim_memory->ops[i].name);
        forget_picked(&pair->real_memory->ops[i].name);
        forget_sender(&pair->sim_memory->ops[i]);
        forget_sender(&pair->real_memory->ops[i]);
    }
    no_delay(pair, &real);
    for (uint32_t i = 0; i < real.count; i++)
        if (real.done[i].res >= 0)
            program->failed &= ~(1u << (real.done[i].id - 1));
    alike = same(pair, program, program->polls & ~(1u << a->id), &sim, &real);
    for (uint32_t i = 0; i < real.count; i++) {
        if (!(real.done[i].flags & IORING_CQE_F_MORE))
            program->waiting &= ~(1u << (real.done[i].id - 1));
        report->successes += real.done[i].res >= 0;
        report->late += real.done[i].id != a->id + 1;
        if (real.done[i].id == a->id + 1)
            report->good[a->sqe.opcode] += real.done[i].res >= 0;
        say("     op %d: %d%s\n", (int)real.done[i].id, real.done[i].res,
            real.done[i].flags & IORING_CQE_F_MORE ? ", more" : "");
    }
    program->waited |= program->waiting;
    report->steps++;
    return alike;
}

/* The number of an op that is not in flight; if too many are, one that ends all of them first. */
static bool choose_id(struct program *program, struct action *a)
{
    const bool full = __builtin_popcount(program->waiting) >= WAITING;

    for (a->id = 0; program->waiting & 1u << a->id; a->id++)
        ;
    return full;
}

static void cancel_all(struct action *a)
{
    const uint32_t id = a->id;

    memset(a, 0, sizeof(*a));
    a->id = id;
    a->sqe.opcode = IORING_OP_ASYNC_CANCEL;
    a->sqe.fd = -1;
    a->sqe.cancel_flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
}

static void families(struct program *program)
{
    static const int both[][2] = {{AF_UNIX, SOCK_STREAM},  {AF_UNIX, SOCK_SEQPACKET},
                                  {AF_UNIX, SOCK_DGRAM},   {AF_INET, SOCK_STREAM},
                                  {AF_INET6, SOCK_STREAM}, {AF_INET, SOCK_DGRAM},
                                  {AF_INET6, SOCK_DGRAM}};
    const uint32_t first = below(&program->dice, 7), second = below(&program->dice, 7);

    program->domains[0] = both[first][0];
    program->types[0] = both[first][1];
    program->domains[1] = both[second][0];
    program->types[1] = both[second][1];
}

static int run_program(struct side *sim, struct side *real, void *arg)
{
    const uint64_t seed = *(const uint64_t *)arg;
    struct program program = {.dice = {seed}};
    struct pair pair = {
        sim, real, calloc(1, sizeof(struct memory)), calloc(1, sizeof(struct memory)), {0}};
    bool alike = true;

    families(&program);
    for (uint32_t step = 0; alike && step < STEPS; step++) {
        struct action a;

        memset(&a, 0, sizeof(a));
        if (step < BEGIN_STEPS)
            begin(&program, step, &a);
        else
            draw(&program, &a);
        if (choose_id(&program, &a))
            cancel_all(&a);
        take_now(&program, &a);
        keep_readable(&pair, &a);
        say_action(step, &a);
        alike = step_both(&pair, &program, &a, (uint32_t)(seed * STEPS + step));
    }
    free(pair.sim_memory);
    free(pair.real_memory);
    return alike ? 0 : 1;
}

static void random_sockets_answer_as_the_real_ring(void **state)
{
    const char *only = getenv("TDW_NET_SEED"), *many = getenv("TDW_NET_PROGRAMS");
    const uint64_t first = only ? strtoull(only, NULL, 0) : 1;
    const uint64_t count = only ? 1 : many ? strtoull(many, NULL, 0) : PROGRAMS;

    (void)state;
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(report, MAP_FAILED);
    for (uint64_t seed = first; seed < first + count; seed++) {
        int status;

        /* How often the real kernel wakes a poll, and when it is done with what it has begun, is a
         * matter of its load: a difference has to be one again. */
        for (int tries = 0; tries < 2; tries++) {
            report->bytes = 0;
            status = sides_in_child(run_program, &seed, NULL);
            if (status == 0 || status == 77)
                break;
        }
        if (status == 77) {
            print_message("no io_uring, or no network of its own, here: skipped\n");
            munmap(report, sizeof(*report));
            skip();
        }
        if (status != 0) {
            fprintf(stderr, "TDW_NET_SEED=%llu differs (%d):\n", (unsigned long long)seed, status);
            fputs(report->text, stderr);
            fail();
        }
    }
    for (int i = 0; many && i < 256; i++)
        if (report->calls[i])
            print_message("%-16s %8llu entries, %llu succeeded\n", tdw_opcode((uint8_t)i)->name,
                          (unsigned long long)report->calls[i],
                          (unsigned long long)report->good[i]);
    if (!only) {
        assert_true(report->successes >= count * STEPS / 8);
        assert_true(report->late >= count);
    }
    munmap(report, sizeof(*report));
}

int tests_net_ring(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sockets_answer_as_the_real_ring),
    };

    return cmocka_run_group_tests_name("net_ring", tests, NULL, NULL);
}
