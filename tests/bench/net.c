/* SPDX-License-Identifier: MIT */
/*
 * The network of the simulated kernel: messages between hosts, connections, readiness, long times.
 *
 * tcp_message is a message of 64 bytes from a host to another, on the callback model: each is sent
 * by an op of its own, on a socket as it comes (with Nagle's algorithm), and received with whatever
 * is there, up to a segment. Its peers are separate programs over the libraries of Debian (peers/):
 * the mailbox of SimGrid and the UDP echo of ns-3, each with as many messages; where a library is
 * not installed its line says so. hosts_1000 compares a message among 1,000 hosts with one among 2;
 * years_10 is ten simulated years with a timer each second.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <tidewheel/scenario.h>
#include <tidewheel/sys.h>

enum {
    BYTES = 64,
    ROOM = 1536,
    PORT = 7,
    MESSAGES = 1000000,
    CONNECTIONS = 100000,
    WATCHED = 1000
};
#define SECOND_NS 1000000000u

static struct {
    uint32_t hosts, messages; /* each host sends so many to the next */
    struct tdw_host **all;
} net;

/* ── Messages: each host sends to the next, on callbacks ───────────────────────────────────── */

struct end {
    struct tdw_op op;
    int fd;
    uint32_t left;
    char *buffer; /* ROOM to receive, BYTES to send */
};

static struct end *end_new(size_t bytes)
{
    struct end *end = tdw_malloc(sizeof *end + bytes);

    *end = (struct end){.buffer = (char *)(end + 1)};
    return end;
}

static void received(struct tdw_op *op)
{
    struct end *end = tdw_of(op, struct end, op);

    if (op->res > 0)
        TDW_ON(op, received, recv, end->fd, end->buffer, ROOM, 0);
}

static void accepted(struct tdw_op *op)
{
    struct end *end = tdw_of(op, struct end, op);

    end->fd = op->res;
    TDW_ON(op, received, recv, end->fd, end->buffer, ROOM, 0);
}

static void sent(struct tdw_op *op)
{
    struct end *end = tdw_of(op, struct end, op);

    if (--end->left > 0)
        TDW_ON(op, sent, send, end->fd, end->buffer, BYTES, MSG_WAITALL);
    else
        TDW_ON(op, received, shutdown, end->fd, SHUT_WR);
}

static void connected(struct tdw_op *op)
{
    struct end *end = tdw_of(op, struct end, op);

    TDW_ON(op, sent, send, end->fd, end->buffer, BYTES, MSG_WAITALL);
}

static struct sockaddr_in address_of(struct in_addr ip)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = ip};
}

static void serve(void *arg)
{
    struct sockaddr_in any = address_of((struct in_addr){0});
    struct end *end = end_new(ROOM);
    const int listener = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    (void)arg;
    tdw_sys_bind(listener, (struct sockaddr *)&any, sizeof any);
    tdw_sys_listen(listener, 8);
    TDW_ON(&end->op, accepted, accept, listener, NULL, NULL, 0);
}

static void begin(struct tdw_op *op)
{
    struct end *end = tdw_of(op, struct end, op);
    static struct sockaddr_in to[1024];
    const uint32_t next = end->left % net.hosts;

    to[next] = address_of(tdw_host_ipv4(net.all[next]));
    end->fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    end->left = net.messages;
    TDW_ON(op, connected, connect, end->fd, (struct sockaddr *)&to[next], sizeof to[next]);
}

static void host_main(void *arg)
{
    const uint32_t self = (uint32_t)(uintptr_t)arg;
    struct end *end = end_new(BYTES);
    const bool one_way = net.hosts == 2; /* from the first to the second */

    if (!one_way || self == 1)
        serve(NULL);
    if (one_way && self == 1)
        return;
    end->left = (self + 1) % net.hosts;
    TDW_ON(&end->op, begin, sleep, 1000000); /* until all listen */
}

static void messages_main(void *arg)
{
    char name[16];

    (void)arg;
    for (uint32_t i = 0; i < net.hosts; i++) {
        snprintf(name, sizeof name, "h%u", i);
        net.all[i] = tdw_host(name, host_main, (void *)(uintptr_t)i);
    }
    for (uint32_t i = 0; i < net.hosts; i++)
        tdw_host_boot(net.all[i]);
}

static void say(void *to, const char *text)
{
    fprintf(to, "  %s\n", text);
}

static double run_world(void (*main)(void *), double units)
{
    struct tdw_world *world = tdw_world_new(
        &(struct tdw_world_options){.strategy = TDW_RANDOM, .seed = 1, .steps_max = UINT64_MAX});
    const double start = bench_now();
    int ret;
    double ns;

    ret = tdw_world_run(world, main, NULL);
    ns = bench_now() - start;
    if (ret < 0) {
        fprintf(stderr, "bench: the run ended %d: %s\n", ret, strerror(-ret));
        tdw_loop_waiters(tdw_world_loop(world), say, stderr);
    }
    tdw_world_free(world);
    return ns / units;
}

/* ns for a message among `hosts` hosts, with as many messages in all. */
static double run_messages(const void *arg)
{
    const uint32_t hosts = *(const uint32_t *)arg;
    struct tdw_host *all[1024];

    net.hosts = hosts;
    net.all = all;
    net.messages = hosts == 2 ? MESSAGES : MESSAGES / hosts;
    return run_world(messages_main, MESSAGES);
}

/* ── Connections: connect, accept, close on both sides ─────────────────────────────────────── */

static void acceptor(void *arg)
{
    struct sockaddr_in any = address_of((struct in_addr){0});
    const int listener = tdw_socket(AF_INET, SOCK_STREAM, 0);

    (void)arg;
    tdw_bind(listener, (struct sockaddr *)&any, sizeof any);
    tdw_listen(listener, 8);
    for (int i = 0; i < CONNECTIONS; i++)
        tdw_close(tdw_accept(listener, NULL, NULL, 0));
}

static void connector(void *arg)
{
    struct sockaddr_in to = address_of((struct in_addr){htonl(INADDR_LOOPBACK)});
    const struct linger now = {1, 0}; /* no TIME_WAIT: there are more connections than ports */

    (void)arg;
    for (int i = 0; i < CONNECTIONS; i++) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        char byte;

        tdw_connect(fd, (struct sockaddr *)&to, sizeof to);
        tdw_recv(fd, &byte, 1, 0);
        tdw_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        tdw_close(fd);
    }
}

static void connections_main(void *arg)
{
    tdw_spawn_stackful("acceptor", acceptor, arg);
    tdw_spawn_stackful("connector", connector, arg);
}

static double run_connections(const void *arg)
{
    (void)arg;
    return run_world(connections_main, CONNECTIONS);
}

/* ── epoll: one of many descriptors becomes ready, again and again ─────────────────────────── */

static void watcher(void *arg)
{
    const int epoll = tdw_sys_epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    int fds[WATCHED];
    uint64_t one = 1;

    (void)arg;
    for (int i = 0; i < WATCHED; i++) {
        fds[i] = tdw_sys_eventfd(0, 0);
        event.data.fd = fds[i];
        tdw_sys_epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        tdw_write(fds[i * 7 % WATCHED], &one, sizeof one);
        tdw_epoll_wait(epoll, &event, 1, UINT64_MAX);
        tdw_read(event.data.fd, &one, sizeof one);
    }
}

static void epoll_main(void *arg)
{
    tdw_spawn_stackful("watcher", watcher, arg);
}

static double run_epoll(const void *arg)
{
    (void)arg;
    return run_world(epoll_main, CONNECTIONS);
}

/* ── Ten years, a timer each second ────────────────────────────────────────────────────────── */

static uint32_t seconds_left;

static void ticked(struct tdw_op *op)
{
    if (--seconds_left > 0)
        TDW_ON(op, ticked, sleep, SECOND_NS);
}

static void years_main(void *arg)
{
    static struct tdw_op op;

    (void)arg;
    op = (struct tdw_op){.res = 0};
    seconds_left = 10u * 365 * 24 * 3600;
    TDW_ON(&op, ticked, sleep, SECOND_NS);
}

/* ── The peers ─────────────────────────────────────────────────────────────────────────────── */

/* ns for a message of a peer's program, which prints it; 0 if it is not there. */
static double run_peer(const char *name)
{
    char command[256];
    double ns = 0;
    FILE *pipe;

    snprintf(command, sizeof command, "build/bench-%s 2>/dev/null", name);
    pipe = popen(command, "r");
    if (!pipe || fscanf(pipe, "%lf", &ns) != 1)
        ns = 0;
    if (pipe)
        pclose(pipe);
    return ns;
}

static double median(double (*run)(const void *), const void *arg)
{
    double values[5];

    for (int i = 0; i < 5; i++) {
        int at = i;
        const double value = run(arg);

        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values[2];
}

void bench_net(FILE *out)
{
    static const uint32_t two = 2, thousand = 1000;
    const double message = median(run_messages, &two);
    const double simgrid = run_peer("simgrid"), ns3 = run_peer("ns3");

    bench_value(out, "tcp_message", "ns", message, simgrid > 0 ? "simgrid_mailbox" : "no SimGrid",
                simgrid);
    bench_value(out, "tcp_message", "ns", message, ns3 > 0 ? "ns3_udp_echo" : "no ns-3", ns3);
    bench_value(out, "hosts_1000", "ns", median(run_messages, &thousand), "hosts_2", message);
    bench_value(out, "accept_close", "ns", median(run_connections, NULL), "tcp_message", message);
    bench_value(out, "epoll_ready", "ns", median(run_epoll, NULL), "tcp_message", message);
    bench_value(out, "years_10", "s", run_world(years_main, 1) / 1e9, "budget", 60);
}
