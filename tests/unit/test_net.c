/* SPDX-License-Identifier: MIT */
/*
 * Sockets between tasks and hosts: what a program sees of connections, datagrams and links.
 *
 * The body of each test is a stackful task of host "main"; it notes what it saw in `seen`, and the
 * test judges when the world has ended. Expected values are Linux's (asked on 6.18), times those of
 * the presets.
 */
#include "body.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <tidewheel/process.h>
#include <tidewheel/register.h>
#include <tidewheel/sys.h>

int tests_net(void);

#define SECOND_NS ((uint64_t)1000000000)
#define ADDRESS(name) (const struct sockaddr *)&(name), sizeof(name)
enum { PORT = 80 };

static char text[262144];

static struct sockaddr_in at(struct in_addr ip, int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = ip};
}

static struct sockaddr_in here(int port)
{
    return at((struct in_addr){htonl(INADDR_LOOPBACK)}, port);
}

static int listen_here(int backlog)
{
    const struct sockaddr_in any = at((struct in_addr){0}, PORT);
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    tdw_sys_bind(fd, ADDRESS(any));
    tdw_sys_listen(fd, backlog);
    return fd;
}

static int connect_to(struct sockaddr_in to)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    const int ret = tdw_connect(fd, ADDRESS(to));

    if (ret < 0)
        tdw_close(fd);
    return ret < 0 ? ret : fd;
}

/* A connection over loopback: [0] has connected, [1] was accepted. */
static void pair(int fds[2])
{
    const int listener = listen_here(1);

    fds[0] = connect_to(here(PORT));
    fds[1] = tdw_accept(listener, NULL, NULL, 0);
    tdw_close(listener);
}

static int poll_now(int fd, short events)
{
    struct pollfd poll = {fd, events, 0};

    tdw_ppoll(&poll, 1, 0);
    return poll.revents;
}

static void option(int fd, int level, int name, int value)
{
    tdw_sys_setsockopt(fd, level, name, &value, sizeof value);
}

/* ── Streams ───────────────────────────────────────────────────────────────────────────────── */

static void half_close(void *unused)
{
    int fds[2];

    (void)unused;
    pair(fds);
    seen[0] = tdw_send(fds[0], "hello", 5, 0);
    seen[1] = tdw_recv(fds[1], text, 64, MSG_PEEK);
    seen[2] = tdw_recv(fds[1], text, 64, 0);
    seen[3] = memcmp(text, "hello", 5);
    seen[4] = tdw_shutdown(fds[0], SHUT_WR);
    seen[5] = tdw_recv(fds[1], text, 64, 0);
    seen[6] = poll_now(fds[1], POLLIN | POLLOUT | POLLRDHUP);
    seen[7] = tdw_send(fds[1], "back", 4, 0);
    seen[8] = tdw_recv(fds[0], text, 64, 0);
    seen[9] = tdw_send(fds[0], "x", 1, 0);
    seen[10] = tdw_close(fds[1]);
    seen[11] = tdw_recv(fds[0], text, 64, 0);
    seen[12] = poll_now(fds[0], POLLIN | POLLOUT | POLLRDHUP);
    tdw_close(fds[0]);
}

static void a_half_closed_stream_still_answers(void **state)
{
    (void)state;
    run(half_close);
    SAW(5, 5, 5, 0, 0, 0, POLLIN | POLLOUT | POLLRDHUP, 4, 4, -EPIPE, 0, 0,
        POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

static void reset(void *unused)
{
    const struct linger now = {1, 0};
    int fds[2], error = 0;
    socklen_t bytes = sizeof error;

    (void)unused;
    pair(fds);
    tdw_send(fds[1], "left", 4, 0);
    tdw_sys_setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    tdw_close(fds[1]);
    tdw_sleep(SECOND_NS);
    seen[0] = poll_now(fds[0], POLLIN | POLLOUT);
    seen[1] = tdw_recv(fds[0], text, 64, 0); /* what came before the RST */
    seen[2] = tdw_recv(fds[0], text, 64, 0);
    seen[3] = tdw_recv(fds[0], text, 64, 0);
    seen[4] = tdw_send(fds[0], "x", 1, 0);
    tdw_close(fds[0]);

    pair(fds); /* unread bytes make a close a reset, too */
    tdw_send(fds[0], "unread", 6, 0);
    tdw_sleep(SECOND_NS);
    tdw_close(fds[1]);
    tdw_sleep(SECOND_NS);
    seen[5] = tdw_sys_getsockopt(fds[0], SOL_SOCKET, SO_ERROR, &error, &bytes);
    seen[6] = error;
    seen[7] = tdw_recv(fds[0], text, 64, 0);
    tdw_close(fds[0]);
}

static void a_reset_is_told_once(void **state)
{
    (void)state;
    run(reset);
    SAW(POLLIN | POLLOUT | POLLERR | POLLHUP, 4, -ECONNRESET, 0, -EPIPE, 0, ECONNRESET, 0);
}

static void window(void *unused)
{
    struct tdw_op op = {0};
    int fds[2], queued = 0;
    int64_t total = 0, n;

    (void)unused;
    pair(fds);
    while ((n = tdw_send(fds[0], text, 65536, MSG_DONTWAIT)) > 0)
        total += n;
    seen[0] = n;
    seen[1] = total; /* what is in the send buffer, and what the window let through */
    tdw_sleep(SECOND_NS);
    total += (n = tdw_send(fds[0], text, sizeof text, MSG_DONTWAIT)) > 0 ? n : 0;
    seen[2] = poll_now(fds[0], POLLOUT);
    TDW_GO(&op, send, fds[0], text, 100000, MSG_WAITALL);
    seen[3] = tdw_sys_ioctl(fds[1], FIONREAD, &queued);
    seen[4] = queued;
    for (int64_t got = 0; got < total + 100000; got += n)
        n = tdw_recv(fds[1], text + 131072, 32768, 0);
    seen[5] = tdw_await(&op);
    seen[6] = poll_now(fds[0], POLLOUT);
    seen[7] = tdw_sys_ioctl(fds[1], FIONREAD, &queued);
    seen[8] = queued;
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void a_sender_waits_for_the_window(void **state)
{
    (void)state;
    run(window);
    SAW(-EAGAIN, 87040, 0, 0, 65536, 100000, POLLOUT, 0, 0);
}

static void connect_errors(void *unused)
{
    struct sockaddr_in to = here(9);
    int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    uint64_t before;

    (void)unused;
    seen[0] = tdw_send(fd, "x", 1, 0);
    seen[1] = tdw_recv(fd, text, 1, 0);
    seen[2] = poll_now(fd, POLLIN | POLLOUT);
    seen[3] = tdw_connect(fd, ADDRESS(to));
    seen[4] = tdw_recv(fd, text, 1, 0);
    to.sin_addr.s_addr = inet_addr("203.0.113.1");
    seen[5] = tdw_connect(fd, ADDRESS(to));
    to.sin_addr.s_addr = inet_addr("10.9.9.9");
    before = tdw_now();
    seen[6] = tdw_connect(fd, ADDRESS(to));
    seen[7] = (int64_t)((tdw_now() - before) / SECOND_NS);
    to.sin_addr = tdw_host_ipv4(tdw_host("off", body_main, NULL));
    before = tdw_now();
    seen[8] = tdw_connect(fd, ADDRESS(to));
    seen[9] = (int64_t)((tdw_now() - before) / SECOND_NS);
    to.sin_family = AF_INET6;
    seen[10] = tdw_connect(fd, ADDRESS(to));
    seen[11] = tdw_listen(fd, 1);
    seen[12] = tdw_connect(fd, ADDRESS(to));
    tdw_close(fd);
}

static void a_connect_fails_as_the_network_does(void **state)
{
    (void)state;
    run(connect_errors);
    SAW(-EPIPE, -ENOTCONN, POLLOUT | POLLHUP, -ECONNREFUSED, 0, -ENETUNREACH, -EHOSTUNREACH, 3,
        -ETIMEDOUT, 127, -EAFNOSUPPORT, 0, -EISCONN);
}

static void full_backlog(void *unused)
{
    const int listener = listen_here(1);
    struct tdw_op ops[3] = {0};
    static struct sockaddr_in to;
    int fds[3];
    uint64_t before = tdw_now();

    (void)unused;
    to = here(PORT);
    for (int i = 0; i < 3; i++) {
        fds[i] = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        TDW_GO(&ops[i], connect, fds[i], ADDRESS(to));
        tdw_sleep(SECOND_NS / 10);
    }
    seen[0] = tdw_await(&ops[0]);
    seen[1] = tdw_await(&ops[1]);
    seen[2] = tdw_op_idle(&ops[2]); /* its SYN is dropped, and sent again after a second */
    tdw_close(tdw_accept(listener, NULL, NULL, 0));
    seen[3] = tdw_await(&ops[2]);
    seen[4] = (int64_t)((tdw_now() - before) / (SECOND_NS / 10));
    for (int i = 0; i < 3; i++)
        tdw_close(fds[i]);
    tdw_close(listener);
}

static void a_full_backlog_drops_connections_until_later(void **state)
{
    (void)state;
    run(full_backlog);
    SAW(0, 0, 0, 0, 12);
}

static void ports(void *unused)
{
    const struct sockaddr_in any = at((struct in_addr){0}, PORT), one = here(PORT);
    int fds[4], a, b;

    (void)unused;
    a = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    b = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    seen[0] = tdw_sys_bind(a, ADDRESS(any));
    seen[1] = tdw_sys_bind(b, ADDRESS(one));
    option(a, SOL_SOCKET, SO_REUSEADDR, 1);
    option(b, SOL_SOCKET, SO_REUSEADDR, 1);
    seen[2] = tdw_sys_bind(b, ADDRESS(one)); /* both say so, and none listens */
    seen[3] = tdw_sys_listen(a, 1);
    seen[4] = tdw_sys_listen(b, 1);
    seen[5] = tdw_sys_bind(a, ADDRESS(any));
    tdw_close(a);
    tdw_close(b);

    pair(fds); /* who closes first keeps the port for a minute */
    tdw_close(fds[1]);
    tdw_sleep(SECOND_NS);
    tdw_close(fds[0]);
    tdw_sleep(SECOND_NS);
    a = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    seen[6] = tdw_sys_bind(a, ADDRESS(any));
    option(a, SOL_SOCKET, SO_REUSEADDR, 1);
    seen[7] = tdw_sys_bind(a, ADDRESS(any)); /* the other one did not say so */
    tdw_sleep(60 * SECOND_NS);
    seen[8] = tdw_sys_bind(a, ADDRESS(any));
    tdw_close(a);
    a = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    b = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    option(a, SOL_SOCKET, SO_REUSEPORT, 1);
    option(b, SOL_SOCKET, SO_REUSEPORT, 1);
    seen[9] = tdw_sys_bind(a, ADDRESS(any)) | tdw_sys_bind(b, ADDRESS(any));
    seen[10] = tdw_sys_listen(a, 1) | tdw_sys_listen(b, 1);
    tdw_close(a);
    tdw_close(b);
}

static void ports_are_shared_and_held_as_on_linux(void **state)
{
    (void)state;
    run(ports);
    SAW(0, -EADDRINUSE, 0, 0, -EADDRINUSE, -EINVAL, -EADDRINUSE, -EADDRINUSE, 0, 0, 0);
}

static void close_with_accept(void *unused)
{
    const struct sockaddr_in any = at((struct in_addr){0}, PORT);
    const int listener = listen_here(1);
    struct tdw_op op = {0};
    int fd, other = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    (void)unused;
    TDW_GO(&op, accept, listener, NULL, NULL, 0);
    tdw_sleep(SECOND_NS);
    seen[0] = tdw_close(listener);
    seen[1] = tdw_sys_bind(other, ADDRESS(any));
    fd = connect_to(here(PORT));
    seen[2] = fd >= 0;
    seen[3] = tdw_await(&op) >= 0;
    tdw_close(op.res);
    tdw_sleep(SECOND_NS);
    tdw_close(fd);
    seen[4] = connect_to(here(PORT));
    tdw_close(other);
}

static void a_listener_with_an_accept_in_flight_keeps_its_port(void **state)
{
    (void)state;
    run(close_with_accept);
    SAW(0, -EADDRINUSE, 1, 1, -ECONNREFUSED);
}

static void nagle(void *unused)
{
    const struct tdw_link slow = {.latency_ns = 50000000};
    struct tdw_host *self = tdw_host("main", NULL, NULL);
    int fds[2];

    (void)unused;
    tdw_link_set(self, self, &slow);
    for (int no_delay = 0; no_delay < 2; no_delay++) {
        pair(fds);
        option(fds[0], IPPROTO_TCP, TCP_NODELAY, no_delay);
        for (int i = 0; i < 3; i++)
            tdw_send(fds[0], "abc", 3, 0);
        tdw_sleep(70 * SECOND_NS / 1000); /* one way, and not yet back */
        seen[no_delay * 2] = tdw_recv(fds[1], text, 64, 0);
        tdw_sleep(100 * SECOND_NS / 1000);
        seen[no_delay * 2 + 1] = tdw_recv(fds[1], text, 64, MSG_DONTWAIT);
        tdw_close(fds[0]);
        tdw_close(fds[1]);
        tdw_sleep(70 * SECOND_NS);
    }
}

static void nagle_holds_small_segments_back(void **state)
{
    (void)state;
    run(nagle);
    SAW(3, 6, 9, -EAGAIN);
}

static void keepalive_main(void *unused)
{
    (void)unused;
    tdw_close(tdw_accept(listen_here(1), NULL, NULL, 0));
}

static void far_main(void *unused)
{
    tdw_spawn_stackful("server", keepalive_main, unused);
}

static void far_holds(void *unused)
{
    (void)unused;
    tdw_accept(listen_here(1), NULL, NULL, 0);
    tdw_sleep(1000000 * SECOND_NS);
}

static void far_holds_main(void *unused)
{
    tdw_daemon(tdw_self());
    tdw_daemon(tdw_spawn_stackful("server", far_holds, unused));
}

static void keepalive(void *unused)
{
    struct tdw_host *far = tdw_host("far", far_holds_main, NULL);
    uint64_t before;
    int fd, idle;

    (void)unused;
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
    option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    idle = connect_to(at(tdw_host_ipv4(far), 81));
    seen[0] = idle;
    tdw_sleep(100 * SECOND_NS); /* it answers */
    seen[1] = poll_now(fd, POLLIN);
    before = tdw_now();
    seen[2] = tdw_host_crash(far);
    seen[3] = tdw_recv(fd, text, 1, 0);
    seen[4] = tdw_now() - before <= 20 * SECOND_NS;
    tdw_close(fd);

    tdw_host_boot(far); /* … and one that has forgotten us says so */
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    tdw_sleep(SECOND_NS);
    tdw_host_crash(far);
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    seen[5] = tdw_send(fd, "x", 1, 0);
    seen[6] = tdw_recv(fd, text, 1, 0);
    tdw_close(fd);
}

static void a_peer_that_is_gone_is_found_out(void **state)
{
    (void)state;
    run(keepalive);
    SAW(-ECONNREFUSED, 0, 0, -ETIMEDOUT, 1, 1, -ECONNRESET);
}

static void unanswered(void *unused)
{
    struct tdw_host *far = tdw_host("far", far_holds_main, NULL);
    int fd;
    uint64_t before;

    (void)unused;
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
    tdw_host_crash(far);
    before = tdw_now();
    seen[0] = tdw_send(fd, "x", 1, 0);
    seen[1] = tdw_recv(fd, text, 1, 0);
    seen[2] = (int64_t)((tdw_now() - before) / SECOND_NS);
    tdw_close(fd);
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    tdw_host_crash(far);
    before = tdw_now();
    tdw_send(fd, "x", 1, 0);
    seen[3] = tdw_recv(fd, text, 1, 0);
    seen[4] = (int64_t)((tdw_now() - before) / SECOND_NS); /* tcp_retries2 */
    tdw_close(fd);
}

static void what_is_not_acknowledged_times_out(void **state)
{
    (void)state;
    run(unanswered);
    SAW(1, -ETIMEDOUT, 6, -ETIMEDOUT, 924);
}

/* Send until the window is closed and it fails; how many seconds after it was told to begin. */
static void send_all(int fd, int64_t told[2])
{
    const uint64_t before = tdw_now();
    int ret;

    do
        ret = tdw_send(fd, text, sizeof text, MSG_NOSIGNAL);
    while (ret > 0);
    told[0] = ret;
    told[1] = (int64_t)((tdw_now() - before) / SECOND_NS);
}

static void blocked_sender(void *told)
{
    const struct sockaddr_in to = at(tdw_host_ipv4(tdw_host("far", NULL, NULL)), PORT);
    const int fd = connect_to(to);

    send_all(fd, told);
    tdw_close(fd);
}

static void set_links(const struct tdw_link *link)
{
    struct tdw_host *self = tdw_host("main", NULL, NULL), *far = tdw_host("far", NULL, NULL);

    tdw_link_set(self, far, link);
    tdw_link_set(far, self, link);
}

static void closed_windows(void *unused)
{
    const struct tdw_link *lan = tdw_link_preset("lan");
    struct tdw_host *far = tdw_host("far", far_holds_main, NULL);
    struct tdw_link down = *lan;
    struct tdw_task *sender;
    int fd;

    (void)unused;
    down.down = true;
    for (int how = 0; how < 4; how++) {
        tdw_host_boot(far);
        tdw_sleep(SECOND_NS);
        sender = tdw_spawn_stackful("sender", blocked_sender, &seen[2 * how]);
        tdw_sleep(10 * SECOND_NS);
        if (how == 2) /* its answer is not heard at first */
            set_links(&down);
        if (how != 3)
            tdw_host_crash(far);
        if (how == 1 || how == 2)
            tdw_host_boot(far);
        tdw_sleep(10 * SECOND_NS);
        set_links(how == 3 ? &down : lan);
        tdw_join(sender);
        set_links(lan);
        tdw_host_crash(far);
    }
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 3000); /* also while the peer answers */
    send_all(fd, &seen[8]);
    seen[10] = tdw_send(fd, "x", 1, MSG_NOSIGNAL);
    tdw_close(fd);
}

static void a_sender_at_a_closed_window_finds_out_that_its_peer_is_gone(void **state)
{
    (void)state;
    run(closed_windows);
    SAW(-ETIMEDOUT, 934, -ECONNRESET, 10, -ECONNRESET, 22, -ETIMEDOUT, 944, -ETIMEDOUT, 3, -EPIPE);
}

static void shots(void *unused)
{
    const int listener = listen_here(8);
    struct tdw_op accepting = {0};
    int fds[4];

    (void)unused;
    TDW_GO(&accepting, accept_multishot, listener, NULL, NULL, 0);
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_to(here(PORT));
        seen[i] = tdw_await(&accepting) >= 0 && accepting.flags & IORING_CQE_F_MORE;
    }
    for (int i = 0; i < 2; i++) /* nobody waits: they are kept */
        tdw_close(connect_to(here(PORT)));
    tdw_sleep(SECOND_NS);
    seen[3] = tdw_cancel(&accepting);
    seen[4] = tdw_await(&accepting) >= 0 && accepting.flags & IORING_CQE_F_MORE;
    seen[5] = tdw_await(&accepting) >= 0 && accepting.flags & IORING_CQE_F_MORE;
    seen[6] = tdw_await(&accepting);
    seen[7] = accepting.flags & IORING_CQE_F_MORE;
    seen[8] = tdw_op_idle(&accepting);
    for (int i = 0; i < 3; i++)
        tdw_close(fds[i]);
    tdw_close(listener);
}

static void each_await_takes_one_completion_of_a_multishot_op(void **state)
{
    (void)state;
    run(shots);
    SAW(1, 1, 1, 0, 1, 1, -ECANCELED, 0, 1);
}

static void picked(void *unused)
{
    static char buffers[4][16];
    struct tdw_op receiving = {0};
    int fds[2];

    (void)unused;
    pair(fds);
    tdw_provide_buffers(buffers, 16, 4, 7, 0);
    TDW_GO(&receiving, recv_multishot, fds[1], 7, 0);
    tdw_send(fds[0], "0123456789abcdefghij", 20, 0);
    seen[0] = tdw_await(&receiving);
    seen[1] = receiving.flags & IORING_CQE_F_BUFFER && receiving.flags & IORING_CQE_F_MORE;
    seen[2] = memcmp(buffers[receiving.flags >> 16], "0123456789abcdef", 16);
    seen[3] = tdw_await(&receiving);
    tdw_send(fds[0], text, 64, 0);
    seen[4] = tdw_await(&receiving);
    seen[5] = tdw_await(&receiving);
    seen[6] = tdw_await(&receiving); /* all four are used */
    seen[7] = receiving.flags & IORING_CQE_F_MORE;
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void a_multishot_receive_ends_when_no_buffer_is_left(void **state)
{
    (void)state;
    run(picked);
    SAW(16, 1, 0, 4, 16, 16, -ENOBUFS, 0);
}

static void zero_copy(void *unused)
{
    struct tdw_op op = {0};
    int fds[2];

    (void)unused;
    pair(fds);
    TDW_GO(&op, send_zc, fds[0], text, 1000, 0);
    seen[0] = tdw_await(&op);
    seen[1] = op.flags & IORING_CQE_F_MORE;
    seen[2] = tdw_await(&op);
    seen[3] = op.flags;
    seen[4] = tdw_recv(fds[1], text, sizeof text, MSG_WAITALL | MSG_DONTWAIT);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void a_send_without_a_copy_completes_twice(void **state)
{
    (void)state;
    run(zero_copy);
    SAW(1000, IORING_CQE_F_MORE, 0, IORING_CQE_F_NOTIF);
}

/* ── Datagrams ─────────────────────────────────────────────────────────────────────────────── */

static void datagrams(void *unused)
{
    const struct sockaddr_in to = here(53);
    struct sockaddr_in from = {0};
    struct iovec iov = {text, 4};
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
    const int a = tdw_sys_socket(AF_INET, SOCK_DGRAM, 0);
    const int b = tdw_sys_socket(AF_INET, SOCK_DGRAM, 0);

    (void)unused;
    seen[0] = tdw_send(a, "x", 1, 0);
    seen[1] = tdw_sys_bind(b, ADDRESS(to));
    seen[2] = tdw_sendto(a, "datagram", 8, 0, ADDRESS(to));
    seen[3] = tdw_recvmsg(b, &message, 0);
    seen[4] = message.msg_flags & MSG_TRUNC;
    seen[5] = from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && from.sin_port != 0;
    tdw_sendto(a, "datagram", 8, 0, ADDRESS(to));
    seen[6] = tdw_recv(b, text, 3, MSG_TRUNC);
    seen[7] = tdw_recv(b, text, 3, MSG_DONTWAIT); /* the rest is gone */
    seen[8] = tdw_sendto(a, text, 65508, 0, ADDRESS(to));
    tdw_close(b);
    seen[9] = tdw_connect(a, ADDRESS(to));
    seen[10] = tdw_send(a, "x", 1, 0);
    tdw_sleep(SECOND_NS);
    seen[11] = tdw_send(a, "x", 1, 0); /* nobody was there */
    seen[12] = tdw_send(a, "x", 1, 0);
    tdw_close(a);
}

static void datagrams_are_cut_and_refused(void **state)
{
    (void)state;
    run(datagrams);
    SAW(-EDESTADDRREQ, 0, 8, 4, MSG_TRUNC, 1, 8, -EAGAIN, -EMSGSIZE, 0, 1, -ECONNREFUSED, 1);
}

/* ── Unix sockets ──────────────────────────────────────────────────────────────────────────── */

static void unix_names(void *unused)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/sock"};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0name"};
    const int listener = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    int fd = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0), accepted;

    (void)unused;
    seen[0] = tdw_connect(fd, ADDRESS(path));
    seen[1] = tdw_recv(fd, text, 1, 0);
    seen[2] = tdw_send(fd, text, 1, 0);
    seen[3] = tdw_bind(listener, ADDRESS(path));
    seen[4] = tdw_connect(fd, ADDRESS(path));
    seen[5] = tdw_listen(listener, 4);
    seen[6] = tdw_bind(fd, ADDRESS(path));
    seen[7] = tdw_connect(fd, ADDRESS(path));
    accepted = tdw_accept(listener, NULL, NULL, 0);
    tdw_send(fd, "abc", 3, 0);
    tdw_send(fd, "def", 3, 0);
    seen[8] = tdw_recv(accepted, text, 64, 0);
    seen[9] = tdw_unlink("/sock");
    seen[10] = tdw_send(accepted, "x", 1, 0);
    seen[11] = tdw_close(fd); /* with a byte unread */
    seen[12] = tdw_recv(accepted, text, 1, 0);
    seen[13] = tdw_send(accepted, "x", 1, 0);
    tdw_close(accepted);
    tdw_close(listener);
    fd = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    seen[14] = tdw_connect(fd, ADDRESS(abstract));
    accepted = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    tdw_sys_bind(accepted, ADDRESS(abstract));
    seen[15] = tdw_sendto(fd, "to a name", 9, 0, ADDRESS(abstract));
    seen[16] = tdw_recv(accepted, text, 64, 0);
    tdw_close(fd);
    tdw_close(accepted);
}

static void unix_sockets_are_found_by_name(void **state)
{
    (void)state;
    run(unix_names);
    SAW(-ENOENT, -EINVAL, -ENOTCONN, 0, -ECONNREFUSED, 0, -EADDRINUSE, 0, 6, 0, 1, 0, -ECONNRESET,
        -EPIPE, -ECONNREFUSED, 9, 9);
}

static void passing(void *unused)
{
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
    int fds[2], pipe[2], got = -1;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds);
    tdw_sys_pipe2(pipe, 0);
    *cmsg = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(cmsg), &pipe[1], sizeof(int));
    seen[0] = tdw_sendmsg(fds[0], &message, 0);
    tdw_close(pipe[1]);
    memset(control, 0, sizeof control);
    seen[1] = tdw_recvmsg(fds[1], &message, 0);
    seen[2] = cmsg->cmsg_type == SCM_RIGHTS;
    memcpy(&got, CMSG_DATA(cmsg), sizeof got);
    seen[3] = tdw_write(got, "through", 7);
    tdw_close(got);
    seen[4] = tdw_read(pipe[0], text, 64);
    seen[5] = tdw_read(pipe[0], text, 64); /* that was the last writer */
    message.msg_controllen = sizeof control;
    memcpy(CMSG_DATA(cmsg), &fds[1], sizeof(int));
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    tdw_sendmsg(fds[0], &message, 0); /* through itself, and left there */
    tdw_close(fds[0]);
    tdw_close(fds[1]);
    tdw_close(pipe[0]);
}

static void descriptors_are_passed(void **state)
{
    (void)state;
    run(passing);
    SAW(1, 1, 1, 7, 7, 0);
}

/* ── Links ─────────────────────────────────────────────────────────────────────────────────── */

static void sink(void *unused)
{
    const int fd = tdw_accept(listen_here(1), NULL, NULL, 0);

    (void)unused;
    while (tdw_recv(fd, text + 65536, 65536, 0) > 0)
        ;
    tdw_close(fd);
}

static void sink_main(void *unused)
{
    tdw_spawn_stackful("sink", sink, unused);
}

static void bandwidth(void *unused)
{
    struct tdw_host *self = tdw_host("main", NULL, NULL), *far = tdw_host("far", sink_main, NULL);
    const struct tdw_link narrow = {.latency_ns = 1000000, .bytes_per_s = 1000000};
    uint64_t before;
    int fd;

    (void)unused;
    tdw_link_set(self, far, &narrow);
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    fd = connect_to(at(tdw_host_ipv4(far), PORT));
    before = tdw_now();
    for (int i = 0; i < 20; i++)
        tdw_send(fd, text, 50000, MSG_WAITALL);
    tdw_shutdown(fd, SHUT_WR);
    seen[0] = tdw_recv(fd, text, 1, 0);
    seen[1] = (int64_t)((tdw_now() - before) / (SECOND_NS / 10)); /* 1 MB at 1 MB/s */
    tdw_close(fd);
}

static void a_link_has_a_bandwidth(void **state)
{
    (void)state;
    run(bandwidth);
    assert_int_equal(seen[0], 0);
    assert_in_range(seen[1], 10, 12);
}

static void cut_off(void *unused)
{
    struct tdw_host *self = tdw_host("main", NULL, NULL), *far = tdw_host("far", far_main, NULL);
    struct tdw_link down = *tdw_link_preset("lan");
    uint64_t before;
    int fd;

    (void)unused;
    down.down = true;
    tdw_host_boot(far);
    tdw_sleep(SECOND_NS);
    tdw_link_set(self, far, &down);
    before = tdw_now();
    fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    {
        struct tdw_op op = {0};
        const struct sockaddr_in to = at(tdw_host_ipv4(far), PORT);

        TDW_GO(&op, connect, fd, ADDRESS(to));
        tdw_sleep(5 * SECOND_NS);
        seen[0] = tdw_op_idle(&op);
        tdw_link_set(self, far, tdw_link_preset("lan"));
        seen[1] = tdw_await(&op);
    }
    seen[2] = (int64_t)((tdw_now() - before) / SECOND_NS); /* SYNs at 0, 1, 3, 7 s */
    seen[3] = tdw_recv(fd, text, 1, 0);
    tdw_close(fd);
}

static void a_connection_outlives_a_cut_link(void **state)
{
    (void)state;
    run(cut_off);
    SAW(0, 0, 7, 0);
}

static void names(void *unused)
{
    struct tdw_host *far = tdw_host("far", body_main, NULL);
    struct tdw_resolved to;

    (void)unused;
    seen[0] = tdw_resolve("nobody", &to);
    seen[1] = tdw_resolve("far", &to);
    seen[2] = to.ipv4.s_addr == tdw_host_ipv4(far).s_addr && to.has == 3;
    seen[3] = tdw_host_alias(far, "alias");
    seen[4] = tdw_host_alias(far, "main");
    seen[5] = tdw_resolve("alias", &to);
    seen[6] = tdw_resolve("localhost", &to);
    seen[7] = to.ipv4.s_addr == htonl(INADDR_LOOPBACK);
    seen[8] = tdw_host_address(far, "192.0.2.7");
    seen[9] = tdw_host_address(far, "192.0.2.7");
    seen[10] = tdw_host_address(far, "not an address");
    seen[11] = tdw_host_boot(tdw_host("without a main", NULL, NULL));
}

static void hosts_have_names_and_addresses(void **state)
{
    (void)state;
    run(names);
    SAW(-ENOENT, 0, 1, 0, -EEXIST, 0, 0, 1, 0, -EADDRINUSE, -EINVAL, -EINVAL);
}

static void cancelled_half_way(void *unused)
{
    struct tdw_op receive = {0}, send = {0};
    char bytes[100];
    int pair[2], queued = 0;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TDW_GO(&receive, recv, pair[0], bytes, sizeof bytes, MSG_WAITALL);
    tdw_send(pair[1], text, 50, 0);
    tdw_sleep(SECOND_NS);
    seen[0] = tdw_cancel(&receive);
    seen[1] = tdw_await(&receive);
    TDW_GO(&send, send, pair[1], text, sizeof text, MSG_WAITALL);
    tdw_sleep(SECOND_NS);
    seen[2] = tdw_cancel(&send);
    seen[3] = tdw_await(&send);
    tdw_sys_ioctl(pair[0], FIONREAD, &queued);
    seen[4] = seen[3] == queued;
    seen[5] = TDW_DO_WITHIN(SECOND_NS, recv, pair[1], bytes, sizeof bytes, MSG_WAITALL);
}

static void what_a_cancelled_transfer_has_moved_is_told(void **state)
{
    (void)state;
    run(cancelled_half_way);
    SAW(0, 50, 0);
    assert_true(seen[3] > 0);
    assert_int_equal(seen[4], 1);
    assert_true(seen[5] < 0);
}

static int named_datagrams(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const int fd = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    tdw_sys_bind(fd, ADDRESS(name));
    return fd;
}

static void watch_room(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};

    tdw_sys_epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Who is woken for room in one queue is looked at, and found to wait for another one, too. */
static void wakes_that_move_waiters(void *unused)
{
    struct sockaddr_un one = {.sun_family = AF_UNIX, .sun_path = "/one"};
    struct sockaddr_un two = {.sun_family = AF_UNIX, .sun_path = "/two"};
    const int at_one = named_datagrams("/one"), at_two = named_datagrams("/two");
    const int fill = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    const int both = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    const int other = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0), epoll = tdw_sys_epoll_create1(0);
    struct tdw_op poll = {0}, first = {0}, second = {0};

    (void)unused;
    seen[0] = tdw_connect(both, ADDRESS(two));
    watch_room(epoll, both);
    watch_room(epoll, other);
    TDW_GO(&poll, poll_multishot, epoll, POLLIN);
    seen[1] = tdw_await(&poll);
    while (tdw_sendto(fill, "x", 1, MSG_DONTWAIT, ADDRESS(one)) == 1)
        ;
    while (tdw_sendto(fill, "x", 1, MSG_DONTWAIT, ADDRESS(two)) == 1)
        ;
    TDW_GO(&first, sendto, both, "a", 1, 0, ADDRESS(one));
    tdw_sleep(1000000);
    TDW_GO(&second, sendto, other, "b", 1, 0, ADDRESS(one));
    tdw_sleep(1000000);
    seen[2] = tdw_recv(at_one, text, 1, 0);
    seen[3] = tdw_recv(at_one, text, 1, 0);
    seen[4] = tdw_await(&first);
    seen[5] = tdw_await(&second);
    tdw_cancel(&poll);
    tdw_close(at_two);
}

static void a_wake_may_move_those_who_wait_for_room(void **state)
{
    (void)state;
    run(wakes_that_move_waiters);
    SAW(0, POLLIN, 1, 1, 1, 1);
}

static void shut_listener(void *unused)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/listener"};
    const int listener = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    struct tdw_op waits = {0};

    (void)unused;
    tdw_sys_bind(listener, ADDRESS(name));
    tdw_sys_listen(listener, 0);
    seen[0] = tdw_connect(tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0), ADDRESS(name));
    TDW_GO(&waits, connect, tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0), ADDRESS(name));
    tdw_sleep(1000000);
    seen[1] = tdw_sys_shutdown(listener, SHUT_RD);
    seen[2] = tdw_accept(listener, NULL, NULL, 0) > 0;
    seen[3] = tdw_await(&waits);
}

static void a_waiting_connect_is_refused_when_the_listener_is_shut(void **state)
{
    (void)state;
    run(shut_listener);
    SAW(0, 0, 1, -ECONNREFUSED);
}

int tests_net(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(a_half_closed_stream_still_answers),
        TEST(a_reset_is_told_once),
        TEST(a_sender_waits_for_the_window),
        TEST(a_connect_fails_as_the_network_does),
        TEST(a_full_backlog_drops_connections_until_later),
        TEST(ports_are_shared_and_held_as_on_linux),
        TEST(a_listener_with_an_accept_in_flight_keeps_its_port),
        TEST(nagle_holds_small_segments_back),
        TEST(a_peer_that_is_gone_is_found_out),
        TEST(what_is_not_acknowledged_times_out),
        TEST(a_sender_at_a_closed_window_finds_out_that_its_peer_is_gone),
        TEST(each_await_takes_one_completion_of_a_multishot_op),
        TEST(a_multishot_receive_ends_when_no_buffer_is_left),
        TEST(a_send_without_a_copy_completes_twice),
        TEST(datagrams_are_cut_and_refused),
        TEST(unix_sockets_are_found_by_name),
        TEST(descriptors_are_passed),
        TEST(a_link_has_a_bandwidth),
        TEST(a_connection_outlives_a_cut_link),
        TEST(hosts_have_names_and_addresses),
        TEST(what_a_cancelled_transfer_has_moved_is_told),
        TEST(a_wake_may_move_those_who_wait_for_room),
        TEST(a_waiting_connect_is_refused_when_the_listener_is_shut),
    };
#undef TEST

    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
