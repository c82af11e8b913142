/* SPDX-License-Identifier: MIT */
/*
 * Cases that random programs rarely reach: each is a body that must see the same on the simulated
 * kernel and on the real one, through io_uring and through epoll.
 */
#include "backends.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <tidewheel/register.h>

int tests_cases(void);

static int listener_of(struct sockaddr_in *at, int backlog)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0), on = 1;
    socklen_t bytes = sizeof *at;

    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    tdw_sys_bind(fd, (struct sockaddr *)at, sizeof *at);
    tdw_sys_listen(fd, backlog);
    tdw_sys_getsockname(fd, (struct sockaddr *)at, &bytes);
    return fd;
}

static int connected(const struct sockaddr_in *at)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    return tdw_connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 ? fd : -1;
}

/* ── Races ─────────────────────────────────────────────────────────────────────────────────── */

/* Whoever wins, the two answers fit, and the byte is there once. */
static bool race(int fds[2], bool write_first)
{
    struct tdw_op read = {.res = 0}, write = {.res = 0}, cancel = {.res = 0};
    char byte = 0;
    int got, cancelled;

    TDW_GO(&read, read, fds[0], &byte, 1);
    if (write_first)
        TDW_GO(&write, write, fds[1], "x", 1);
    TDW_GO(&cancel, cancel, &read);
    if (!write_first)
        TDW_GO(&write, write, fds[1], "x", 1);
    got = tdw_await(&read);
    cancelled = tdw_await(&cancel);
    if (tdw_await(&write) != 1)
        return false;
    if (got == -ECANCELED)
        return cancelled == 0 && tdw_read(fds[0], &byte, 1) == 1;
    return got == 1 && byte == 'x' && (cancelled == -ENOENT || cancelled == -EALREADY);
}

static void races(void *unused)
{
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    seen[0] = 0;
    for (int i = 0; i < 200; i++)
        seen[0] += race(fds, i & 1);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void races_judge(void)
{
    SAW(200);
}

static void a_cancel_and_a_completion_agree_who_was_first(void **state)
{
    (void)state;
    everywhere(races, races_judge);
}

/* Which of two writes of one place is the last is open; a mixture is not. */
static void overlaps(void *unused)
{
    enum { BYTES = 65536 };
    static char a[BYTES], b[BYTES], c[BYTES];
    struct tdw_op ops[2] = {{.res = 0}};
    const int fd = tdw_open("overlap", O_RDWR | O_CREAT | O_TRUNC, 0644);

    (void)unused;
    memset(a, 'a', BYTES);
    memset(b, 'b', BYTES);
    seen[0] = seen[1] = 0;
    for (int i = 0; i < 20; i++) {
        TDW_GO(&ops[0], pwrite, fd, a, BYTES, 0);
        TDW_GO(&ops[1], pwrite, fd, b, BYTES, 0);
        seen[0] += tdw_await(&ops[0]) == BYTES && tdw_await(&ops[1]) == BYTES;
        tdw_pread(fd, c, BYTES, 0);
        seen[1] += memcmp(c, a, BYTES) == 0 || memcmp(c, b, BYTES) == 0;
    }
    tdw_close(fd);
}

static void overlaps_judge(void)
{
    SAW(20, 20);
}

static void writes_of_one_place_do_not_mix(void **state)
{
    (void)state;
    everywhere(overlaps, overlaps_judge);
}

/* ── Sizes ─────────────────────────────────────────────────────────────────────────────────── */

static void zeros(void *unused)
{
    const int fd = tdw_open("zero", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct iovec none = {NULL, 0};
    int fds[2], pair[2];
    char byte;

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_sys_socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    seen[0] = tdw_pread(fd, &byte, 0, 0);
    seen[1] = tdw_pwrite(fd, &byte, 0, 100);
    seen[2] = tdw_sys_lseek(fd, 0, SEEK_END);
    seen[3] = tdw_write(fds[1], &byte, 0);
    seen[4] = tdw_read(fds[0], &byte, 0);
    seen[5] = tdw_preadv(fd, &none, 0, 0);
    seen[6] = tdw_send(pair[0], &byte, 0, 0);
    seen[7] = tdw_recv(pair[1], &byte, 1, 0); /* a message without bytes is one */
    for (int i = 0; i < 2; i++) {
        tdw_close(fds[i]);
        tdw_close(pair[i]);
    }
    tdw_close(fd);
}

static void zeros_judge(void)
{
    SAW(0, 0, 0, 0, 0, 0, 0, 0);
}

static void nothing_can_be_moved(void **state)
{
    (void)state;
    everywhere(zeros, zeros_judge);
}

static void vectors(void *unused)
{
    static struct iovec iov[1025];
    static char out[1024], in[1024];
    const int fd = tdw_open("vectors", O_RDWR | O_CREAT | O_TRUNC, 0644);

    (void)unused;
    for (int i = 0; i < 1025; i++)
        iov[i] = (struct iovec){out + i % 1024, 1};
    memset(out, 'v', sizeof out);
    seen[0] = tdw_pwritev(fd, iov, 1024, 0);
    for (int i = 0; i < 1025; i++)
        iov[i].iov_base = in + i % 1024;
    seen[1] = tdw_preadv(fd, iov, 1024, 0);
    seen[2] = memcmp(in, out, sizeof in);
    seen[3] = tdw_preadv(fd, iov, 1025, 0);
    tdw_close(fd);
}

static void vectors_judge(void)
{
    SAW(1024, 1024, 0, -EINVAL);
}

static void a_thousand_vectors_and_no_more(void **state)
{
    (void)state;
    everywhere(vectors, vectors_judge);
}

/* ── Many completions ──────────────────────────────────────────────────────────────────────── */

static void crowd(void *unused)
{
    enum { COUNT = 5000 };
    static struct tdw_op ops[COUNT];
    int fds[2];

    (void)unused;
    memset(ops, 0, sizeof ops);
    tdw_sys_pipe2(fds, 0);
    for (int i = 0; i < COUNT; i++)
        TDW_GO(&ops[i], poll, fds[0], POLLIN);
    tdw_write(fds[1], "x", 1); /* all of them complete at once */
    seen[0] = 0;
    for (int i = 0; i < COUNT; i++)
        seen[0] += tdw_await(&ops[i]) == POLLIN;
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void crowd_judge(void)
{
    SAW(5000);
}

static void more_completions_than_the_queue_has_room_for(void **state)
{
    (void)state;
    everywhere(crowd, crowd_judge);
    options = (struct tdw_loop_options){.backend = TDW_BACKEND_URING, .entries = 2};
    assert_int_equal(on_real(crowd), 0);
    crowd_judge();
}

static void shots(void *unused)
{
    static char room[2][32];
    struct tdw_op recv = {.res = 0}, poll = {.res = 0};
    int pair[2];

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    tdw_provide_buffers(room, 32, 2, 5, 0);
    TDW_GO(&recv, recv_multishot, pair[1], 5, 0);
    for (int i = 0; i < 2; i++) {
        tdw_send(pair[0], "twelve bytes", 12, 0);
        seen[i] = tdw_await(&recv);
    }
    seen[2] = (recv.flags & IORING_CQE_F_MORE) != 0;
    tdw_send(pair[0], "twelve bytes", 12, 0);
    seen[3] = tdw_await(&recv); /* no buffer is left: that was the last one */
    seen[4] = recv.flags & IORING_CQE_F_MORE;
    TDW_GO(&poll, poll_multishot, pair[1], POLLIN);
    seen[5] = tdw_await(&poll) & POLLIN;
    seen[6] = (poll.flags & IORING_CQE_F_MORE) != 0;
    seen[7] = tdw_poll_remove(&poll);
    do
        seen[8] = tdw_await(&poll);
    while (poll.flags & IORING_CQE_F_MORE);
    for (int i = 0; i < 2; i++)
        tdw_close(pair[i]);
}

static void shots_judge(void)
{
    SAW(12, 12, true, -ENOBUFS, 0, POLLIN, true, 0, -ECANCELED);
}

static void several_completions_end(void **state)
{
    (void)state;
    everywhere(shots, shots_judge);
}

/* ── Edges, broken ends ────────────────────────────────────────────────────────────────────── */

static void edges(void *unused)
{
    const int epfd = tdw_sys_epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int fds[2];
    char byte;

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fds[0], &event);
    seen[0] = tdw_epoll_wait(epfd, &event, 1, 0);
    tdw_write(fds[1], "ab", 2);
    seen[1] = tdw_epoll_wait(epfd, &event, 1, 0);
    seen[2] = tdw_epoll_wait(epfd, &event, 1, 0); /* it was told once */
    tdw_read(fds[0], &byte, 1);
    seen[3] = tdw_epoll_wait(epfd, &event, 1, 0); /* there is more, and nothing new */
    tdw_write(fds[1], "c", 1);
    seen[4] = tdw_epoll_wait(epfd, &event, 1, 0);
    tdw_close(fds[1]);
    seen[5] = tdw_epoll_wait(epfd, &event, 1, UINT64_MAX);
    tdw_close(fds[0]);
    tdw_close(epfd);
}

static void edges_judge(void)
{
    SAW(0, 1, 0, 0, 1, 1);
}

static void waits_for_epoll(void *unused)
{
    const int epfd = tdw_sys_epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    struct tdw_op wait = {.res = 0};
    struct pollfd one;
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fds[0], &event);
    seen[0] = tdw_epoll_wait(epfd, &event, 1, 20 * MS);
    seen[1] = TDW_DO_WITHIN(20 * MS, epoll_wait, epfd, &event, 1, UINT64_MAX);
    TDW_GO(&wait, epoll_wait, epfd, &event, 1, UINT64_MAX);
    tdw_sleep(5 * MS);
    seen[2] = tdw_op_idle(&wait);
    tdw_write(fds[1], "x", 1);
    seen[3] = tdw_await(&wait);
    one = (struct pollfd){.fd = fds[1], .events = POLLIN};
    seen[4] = tdw_ppoll(&one, 1, 20 * MS);
    one = (struct pollfd){.fd = fds[0], .events = POLLIN};
    seen[5] = tdw_ppoll(&one, 1, UINT64_MAX);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
    tdw_close(epfd);
}

static void waits_for_epoll_judge(void)
{
    SAW(0, -ETIME, false, 1, 0, 1);
}

static void waits_for_several_things_end(void **state)
{
    (void)state;
    everywhere(waits_for_epoll, waits_for_epoll_judge);
}

static void an_edge_is_told_once(void **state)
{
    (void)state;
    everywhere(edges, edges_judge);
}

static void broken(void *unused)
{
    int fds[2], pair[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    tdw_close(fds[0]);
    tdw_close(pair[0]);
    seen[0] = tdw_write(fds[1], "x", 1);
    seen[1] = tdw_send(pair[1], "x", 1, 0); /* and no signal */
    tdw_close(fds[1]);
    tdw_close(pair[1]);
}

static void broken_judge(void)
{
    SAW(-EPIPE, -EPIPE);
}

static void a_broken_end_is_an_error(void **state)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    (void)state;
    everywhere(broken, broken_judge);
    signal(SIGPIPE, before);
}

/* ── Connections ───────────────────────────────────────────────────────────────────────────── */

static void crowded(void *unused)
{
    struct sockaddr_in at;
    const int fd = listener_of(&at, 1);
    int clients[3];

    (void)unused;
    for (int i = 0; i < 3; i++) {
        clients[i] = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        seen[i] = TDW_DO_WITHIN(200 * MS, connect, clients[i], (struct sockaddr *)&at, sizeof at);
    }
    for (int i = 0; i < 3; i++)
        tdw_close(clients[i]);
    tdw_close(fd);
}

static void crowded_judge(void)
{
    SAW(0, 0, -ETIME);
}

static void a_full_backlog_lets_nobody_in(void **state)
{
    (void)state;
    everywhere(crowded, crowded_judge);
}

static void reset_early(void *unused)
{
    const struct linger at_once = {1, 0};
    struct sockaddr_in at;
    const int fd = listener_of(&at, 4), client = connected(&at);
    char byte;
    int server;

    (void)unused;
    tdw_sys_setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    tdw_close(client);
    tdw_sleep(5 * MS);
    server = tdw_accept(fd, NULL, NULL, 0);
    seen[0] = server >= 0;
    seen[1] = tdw_recv(server, &byte, 1, 0);
    seen[2] = tdw_recv(server, &byte, 1, 0); /* an error is told once */
    tdw_close(server);
    tdw_close(fd);
}

static void reset_early_judge(void)
{
    SAW(true, -ECONNRESET, 0);
}

static void a_connection_may_be_reset_before_it_is_accepted(void **state)
{
    (void)state;
    everywhere(reset_early, reset_early_judge);
}

static void lingers(void *unused)
{
    struct sockaddr_in at;
    const int fd = listener_of(&at, 4), client = connected(&at), on = 1;
    const int server = tdw_accept(fd, NULL, NULL, 0);
    char byte;
    int again;

    (void)unused;
    tdw_close(server); /* who closes first waits */
    seen[0] = tdw_recv(client, &byte, 1, 0);
    tdw_close(client);
    tdw_close(fd);
    tdw_sleep(20 * MS);
    again = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    seen[1] = tdw_sys_bind(again, (struct sockaddr *)&at, sizeof at);
    tdw_sys_setsockopt(again, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    seen[2] = tdw_sys_bind(again, (struct sockaddr *)&at, sizeof at);
    tdw_close(again);
}

static void lingers_judge(void)
{
    SAW(0, -EADDRINUSE, 0);
}

static void a_port_is_taken_while_its_connection_lingers(void **state)
{
    (void)state;
    everywhere(lingers, lingers_judge);
}

static void keeps_alive(void *unused)
{
    static const int names[] = {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0), values[] = {11, 7, 3}, on = 1;
    socklen_t bytes = sizeof(int);
    int value = 0;

    (void)unused;
    seen[0] = tdw_sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    for (int i = 0; i < 3; i++) {
        tdw_sys_setsockopt(fd, IPPROTO_TCP, names[i], &values[i], sizeof values[i]);
        tdw_sys_getsockopt(fd, IPPROTO_TCP, names[i], &value, &bytes);
        seen[1 + i] = value;
    }
    value = 0;
    tdw_sys_getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &bytes);
    seen[4] = value;
    value = 40000;
    seen[5] = tdw_sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value);
    tdw_close(fd);
}

static void keeps_alive_judge(void)
{
    SAW(0, 11, 7, 3, 1, -EINVAL);
}

static void probes_are_set_as_on_linux(void **state)
{
    (void)state;
    everywhere(keeps_alive, keeps_alive_judge);
}

/* ── Polls, periods, numbers ───────────────────────────────────────────────────────────────── */

/* A poll keeps its name: what goes by user_data in this library is an op in flight. */
static void poll_names(void *unused)
{
    struct tdw_op poll = {.res = 0}, update = {.res = 0};
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    TDW_GO(&poll, poll, fds[0], POLLIN);
    update.sqe.opcode = IORING_OP_POLL_REMOVE;
    update.sqe.fd = -1;
    update.sqe.addr = poll.sqe.user_data;
    update.sqe.len = IORING_POLL_UPDATE_USER_DATA;
    update.sqe.off = 0x1230;
    update.done = tdw__go_done;
    tdw_submit(&update);
    seen[0] = tdw_await(&update);
    tdw_write(fds[1], "x", 1);
    seen[1] = tdw_await(&poll);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void poll_names_judge(void)
{
    SAW(-EINVAL, POLLIN);
}

static void a_poll_is_not_given_another_name(void **state)
{
    (void)state;
    everywhere(poll_names, poll_names_judge);
}

static void no_period(void *unused)
{
    const struct __kernel_timespec none = {.tv_sec = 0};
    struct tdw_op timer = {.res = 0};

    (void)unused;
    TDW_GO(&timer, timeout, &none, 1u << 6 /* IORING_TIMEOUT_MULTISHOT */);
    for (int i = 0; i < 3; i++)
        seen[i] = tdw_await(&timer);
    seen[3] = tdw_sleep(1 * MS); /* others have their turn */
    seen[4] = tdw_cancel(&timer);
    while (timer.flags & IORING_CQE_F_MORE && tdw_await(&timer) == -ETIME)
        ;
    seen[5] = timer.res;
}

static void no_period_judge(void)
{
    SAW(-ETIME, -ETIME, -ETIME, 0, 0, -ECANCELED);
}

static void a_period_of_nothing_leaves_time_for_others(void **state)
{
    (void)state;
    each(no_period, no_period_judge);
}

/* Of many records, to one receive that wants all of it: on the stack of a task. */
static void many_records(void *unused)
{
    enum { COUNT = 200 };
    static char bytes[COUNT];
    struct iovec all = {bytes, COUNT};
    struct msghdr message = {.msg_iov = &all, .msg_iovlen = 1};
    struct tdw_op receive = {.res = 0};
    int fds[2], sent = 0;

    (void)unused;
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
    while (sent < COUNT && send(fds[1], "x", 1, MSG_DONTWAIT) == 1)
        sent++;
    tdw_close(fds[1]);
    TDW_GO(&receive, recvmsg, fds[0], &message, MSG_WAITALL);
    seen[0] = tdw_await(&receive);
    seen[1] = sent;
    tdw_close(fds[0]);
}

/* io_uring gives up after so many polls of its own. */
static void many_records_judge(void)
{
    assert_in_range(seen[0], 1, (uint64_t)seen[1]);
    if (options.backend == TDW_BACKEND_EPOLL)
        assert_int_equal(seen[0], seen[1]);
}

static void a_receive_of_all_takes_many_records(void **state)
{
    (void)state;
    each(many_records, many_records_judge);
}

static void plain_closes(void *unused)
{
    struct tdw_op receive = {.res = 0};
    int fds[2], pipe[2];
    char byte = 0;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    TDW_GO(&receive, recv, fds[0], &byte, 1, 0);
    tdw_send(fds[1], "x", 1, 0);
    seen[0] = tdw_await(&receive);
    close(fds[0]); /* idle, but watched */
    close(fds[1]);
    tdw_sys_pipe2(pipe, 0);
    seen[1] = pipe[0] == fds[0];
    TDW_GO(&receive, read, pipe[0], &byte, 1);
    tdw_sleep(1 * MS);
    tdw_write(pipe[1], "y", 1);
    seen[2] = tdw_await(&receive);
    seen[3] = byte;

    /* In use: nobody answers for it but epoll, which sees it when the number comes again. */
    TDW_GO(&receive, read, pipe[0], &byte, 1);
    tdw_sleep(1 * MS);
    close(pipe[0]);
    seen[4] = tdw_sys_eventfd(0, 0) == pipe[0];
    tdw_cancel(&receive);
    seen[5] = tdw_await(&receive);
    tdw_close(pipe[0]);
    tdw_close(pipe[1]);
}

static void plain_closes_judge(void)
{
    SAW(1, true, 1, 'y', true, options.backend == TDW_BACKEND_EPOLL ? -EBADF : -ECANCELED);
}

static void a_number_that_is_given_out_again_is_a_new_file(void **state)
{
    (void)state;
    each(plain_closes, plain_closes_judge);
}

/* A unix stream stops where descriptors were passed: a short read is not its end. */
static void passes(void *unused)
{
    char control[CMSG_SPACE(sizeof(int))] = "", to[8];
    char a = 'A';
    struct iovec one = {&a, 1};
    struct msghdr message = {
        .msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    struct tdw_op receive = {.res = 0};
    int fds[2];

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    TDW_GO(&receive, recv, fds[0], to, 8, 0);
    tdw_sleep(1 * MS);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fds[1], sizeof(int));
    seen[0] = tdw_sendmsg(fds[1], &message, 0);
    seen[1] = tdw_send(fds[1], "BBB", 3, 0);
    seen[2] = tdw_await(&receive);
    seen[3] = TDW_DO_WITHIN(500 * MS, recv, fds[0], to, 8, 0);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void passes_judge(void)
{
    SAW(1, 3, 1, 3);
}

static void a_stream_may_stop_before_its_end(void **state)
{
    (void)state;
    everywhere(passes, passes_judge);
}

/* Of a task that is told to stop: what was sent so far was sent. */
static int stopped_pair[2];
static int64_t stopped_sent;

static void sends_much(void *unused)
{
    static char bytes[4 << 20];

    (void)unused;
    tdw_sleep(3600000 * MS);
    stopped_sent = tdw_send(stopped_pair[0], bytes, sizeof bytes, MSG_WAITALL);
}

static void stops_a_send(void *unused)
{
    static char bytes[65536];
    struct tdw_task *task;
    int64_t got = 0, n;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, stopped_pair);
    task = tdw_spawn_stackful("sends", sends_much, NULL);
    tdw_sleep(1 * MS);
    tdw_stop(task);
    tdw_join(task);
    tdw_close(stopped_pair[0]);
    while ((n = tdw_recv(stopped_pair[1], bytes, sizeof bytes, 0)) > 0)
        got += n;
    seen[0] = stopped_sent > 0;
    seen[1] = got == stopped_sent;
    tdw_close(stopped_pair[1]);
}

static void stops_a_send_judge(void)
{
    SAW(true, true);
}

static void what_a_stopped_send_sent_is_told(void **state)
{
    (void)state;
    each(stops_a_send, stops_a_send_judge);
}

/* A slot's number, and what was known of it. */
static void fills_a_slot(void *unused)
{
    struct tdw_op receive = {.res = 0};
    int idle[2], fds[2];
    char byte;

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, idle);
    TDW_GO(&receive, recv, idle[0], &byte, 1, 0);
    tdw_sleep(1 * MS);
    tdw_send(idle[1], "x", 1, 0);
    tdw_await(&receive);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    seen[0] = send(fds[1], "y", 1, 0);
    close(idle[0]); /* the slot's duplicate gets this one */
    seen[1] = tdw_ring_register_files(fds, 2);
    tdw_prep_recv(&receive, 0, &byte, 1, 0);
    receive.sqe.flags |= IOSQE_FIXED_FILE;
    receive.done = tdw__go_done;
    tdw_submit(&receive);
    seen[2] = tdw_await(&receive);
    tdw_ring_unregister_files();
    tdw_close(idle[1]);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void fills_a_slot_judge(void)
{
    SAW(1, 0, 1);
}

static void a_slot_knows_nothing_of_a_number_before(void **state)
{
    (void)state;
    each(fills_a_slot, fills_a_slot_judge);
}

/* How the backend waits at a listener is its own affair. */
static void accepts_plainly(void *unused)
{
    struct tdw_op accept = {.res = 0};
    struct sockaddr_in at;
    const int fd = listener_of(&at, 4);
    int client, server, copy;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        TDW_GO(&accept, accept, fd, NULL, NULL, 0);
        tdw_sleep(1 * MS);
        seen[4 * i] = tdw_sys_fcntl(fd, F_GETFL) & O_NONBLOCK;
        seen[4 * i + 1] = i == 1   ? tdw_sys_fcntl(fd, F_SETFL, O_RDWR)
                          : i == 2 ? tdw_sys_ioctl(fd, FIONBIO, &(int){0})
                                   : 0;
        client = connected(&at);
        server = tdw_await(&accept);
        seen[4 * i + 2] = server >= 0;
        tdw_close(server);
        tdw_close(client);
        TDW_GO(&accept, accept, fd, NULL, NULL, 0); /* which must not wait in a call */
        seen[4 * i + 3] = tdw_cancel(&accept);
        tdw_await(&accept);
    }
    TDW_GO(&accept, accept, fd, NULL, NULL, 0);
    tdw_sleep(1 * MS);
    copy = tdw_sys_dup(fd); /* of the same open file */
    seen[12] = tdw_sys_fcntl(copy, F_SETFL, O_RDWR);
    tdw_cancel(&accept);
    tdw_await(&accept);
    seen[13] = TDW_DO_WITHIN(5 * MS, accept, fd, NULL, NULL, 0);
    tdw_close(copy);
    tdw_close(fd);
}

static void accepts_plainly_judge(void)
{
    SAW(0, 0, true, 0, 0, 0, true, 0, 0, 0, true, 0, 0, -ETIME);
}

static void a_listener_looks_as_the_program_left_it(void **state)
{
    (void)state;
    everywhere(accepts_plainly, accepts_plainly_judge);
}

/* A completion among several ends a count, whose chain goes on with a number that nobody has seen:
 * what is known of numbers moves in memory. (The sanitizers look.) */
static void counts_and_goes_on(void *unused)
{
    static const struct __kernel_timespec long_time = {.tv_sec = 100};
    struct tdw_op accept = {.res = 0}, timer = {.res = 0}, read = {.res = 0};
    struct sockaddr_in at;
    const int fd = listener_of(&at, 16);
    int pipe[2], high, clients[8];
    char byte;

    (void)unused;
    tdw_sys_pipe2(pipe, 0);
    high = tdw_sys_fcntl(pipe[0], F_DUPFD, 900);
    TDW_GO(&accept, accept_multishot, fd, NULL, NULL, 0);
    tdw_sleep(1 * MS);
    tdw_prep_timeout(&timer, &long_time, 0);
    timer.sqe.off = 3;
    timer.sqe.flags |= IOSQE_IO_HARDLINK;
    timer.done = tdw__go_done;
    tdw_submit(&timer);
    TDW_GO(&read, read, high, &byte, 1);
    for (int i = 0; i < 8; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        connect(clients[i], (struct sockaddr *)&at, sizeof at); /* all before the loop looks */
    }
    seen[0] = tdw_await(&timer);
    tdw_write(pipe[1], "x", 1);
    seen[1] = tdw_await(&read);
    tdw_cancel(&accept);
    seen[2] = 0;
    for (int i = 0, one; i < 8; i++) {
        one = tdw_await(&accept);
        seen[2] += one >= 0 && tdw_close(one) == 0;
        close(clients[i]);
    }
    seen[3] = tdw_await(&accept);
    tdw_close(high);
    for (int i = 0; i < 2; i++)
        tdw_close(pipe[i]);
    tdw_close(fd);
}

static void counts_and_goes_on_judge(void)
{
    SAW(0, 1, 8, -ECANCELED);
}

static void a_completion_among_several_may_start_others(void **state)
{
    (void)state;
    each(counts_and_goes_on, counts_and_goes_on_judge);
}

/* ── What is registered ────────────────────────────────────────────────────────────────────── */

static int received(int fd, uint16_t group, uint32_t *flags)
{
    struct tdw_op receive = {.res = 0};
    int res;

    tdw_prep_recv(&receive, fd, NULL, 0, 0);
    receive.sqe.flags |= IOSQE_BUFFER_SELECT;
    receive.sqe.buf_group = group;
    receive.done = tdw__go_done;
    tdw_submit(&receive);
    res = tdw_await(&receive);
    *flags = receive.flags & ~(uint32_t)IORING_CQE_F_SOCK_NONEMPTY;
    return res;
}

/* The end of a stream leaves its buffer in the group. */
static void ends_with_buffers(void *unused)
{
    static char room[256];
    uint32_t flags;
    int fds[2];

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    tdw_provide_buffers(room, 64, 4, 7, 0);
    tdw_send(fds[1], "x", 1, 0);
    tdw_close(fds[1]);
    seen[0] = received(fds[0], 7, &flags);
    seen[1] = flags;
    seen[2] = received(fds[0], 7, &flags);
    seen[3] = flags;
    seen[4] = tdw_remove_buffers(9, 7);
    tdw_close(fds[0]);
}

static void ends_with_buffers_judge(void)
{
    SAW(1, IORING_CQE_F_BUFFER, 0, 0, 3);
}

static void an_end_takes_no_buffer(void **state)
{
    (void)state;
    everywhere(ends_with_buffers, ends_with_buffers_judge);
}

/* A buffer that is used by and by says in memory what is left of it. */
static void uses_by_and_by(void *unused)
{
    static char ring_memory[4096] __attribute__((aligned(4096))), room[64];
    struct io_uring_buf_ring *ring = (struct io_uring_buf_ring *)(void *)ring_memory;
    const struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring, .ring_entries = 4, .bgid = 3};
    uint32_t flags;
    int fds[2];

    (void)unused;
    memset(ring_memory, 0, sizeof ring_memory);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    seen[0] = tdw_ring_register_buf_ring(&reg, TDW_BUF_RING_INC);
    io_uring_buf_ring_add(ring, room, 64, 5, 3, 0);
    io_uring_buf_ring_advance(ring, 1);
    tdw_send(fds[1], "0123456789", 10, 0);
    seen[1] = received(fds[0], 3, &flags);
    seen[2] = flags & TDW_CQE_F_BUF_MORE;
    seen[3] = ring->bufs[0].len;
    seen[4] = ring->bufs[0].addr == (uintptr_t)room + 10;
    tdw_send(fds[1], ring_memory, 54, 0);
    seen[5] = received(fds[0], 3, &flags);
    seen[6] = flags & TDW_CQE_F_BUF_MORE;
    seen[7] = ring->bufs[0].len;
    tdw_ring_unregister_buf_ring(3);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void uses_by_and_by_judge(void)
{
    SAW(0, 10, TDW_CQE_F_BUF_MORE, 54, true, 54, 0, 0);
}

static void what_is_left_of_a_buffer_stands_in_memory(void **state)
{
    (void)state;
    everywhere(uses_by_and_by, uses_by_and_by_judge);
}

static int to_slot(int fd)
{
    return tdw_files_update(&fd, 1, IORING_FILE_INDEX_ALLOC) == 1 ? fd : -1;
}

static void updates(void *unused)
{
    const int none = -1, bad = 900, fd = tdw_open("file", O_RDWR | O_CREAT, 0644);
    struct tdw_op op = {.res = 0};

    (void)unused;
    seen[0] = tdw_ring_register_files_sparse(8);
    seen[1] = tdw_ring_register_files_update(0, &fd, 1);
    seen[2] = tdw_ring_register_files_update(0, &bad, 1);
    tdw_prep_pwrite(&op, 0, "x", 1, 0);
    op.sqe.flags |= IOSQE_FIXED_FILE;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[3] = tdw_await(&op); /* the slot was emptied first */
    seen[4] = tdw_ring_register_files_update(5, &none, 1);
    seen[5] = to_slot(fd); /* which says nothing of where a free one is */
    seen[6] = tdw_ring_register_file_alloc_range(UINT32_MAX, 2);
    tdw_prep_cancel_fd(&op, 3);
    op.sqe.cancel_flags |= IORING_ASYNC_CANCEL_FD_FIXED;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[7] = tdw_await(&op);
    seen[8] = tdw_ring_unregister_files();
    tdw_close(fd);
}

static void updates_judge(void)
{
    SAW(0, 1, -EBADF, -EBADF, 1, 0, -EOVERFLOW, -EBADF, 0);
}

static void slots_are_emptied_before_they_are_filled(void **state)
{
    (void)state;
    everywhere(updates, updates_judge);
}

/* ── Whose turn ────────────────────────────────────────────────────────────────────────────── */

/* Both are there when the loop looks next: the read was over before its deadline. */
static void late_looks(void *unused)
{
    const struct timespec pause = {.tv_nsec = 300000000};
    struct tdw_op read = {.res = 0}, limit = {.res = 0};
    char byte;
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    TDW_GO_LINKED(&read, read, fds[0], &byte, 1);
    TDW_GO(&limit, link_timeout, 200 * MS);
    tdw_yield();
    tdw_sleep(1000);
    if (write(fds[1], "x", 1) == 1)
        nanosleep(&pause, NULL); /* the thread does something else for too long */
    seen[0] = tdw_await(&read);
    seen[1] = tdw_await(&limit);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

static void late_looks_judge(void)
{
    SAW(1, -ECANCELED);
}

static void what_is_done_comes_before_a_deadline_that_has_passed(void **state)
{
    (void)state;
    each(late_looks, late_looks_judge);
}

/* So many that something is always complete. */
static struct tdw_op stream[32];
static bool stream_ends;

static void stream_goes_on(struct tdw_op *op)
{
    if (!stream_ends)
        tdw_submit(op);
}

static void streams(void *unused)
{
    (void)unused;
    memset(stream, 0, sizeof stream);
    stream_ends = false;
    for (int i = 0; i < 32; i++) {
        stream[i].sqe.opcode = IORING_OP_NOP;
        stream[i].done = stream_goes_on;
        tdw_submit(&stream[i]);
    }
    for (int i = 0; i < 3; i++)
        seen[i] = tdw_sleep(1 * MS);
    stream_ends = true;
}

static void streams_judge(void)
{
    SAW(0, 0, 0);
}

static void timers_come_through_a_stream_of_completions(void **state)
{
    (void)state;
    each(streams, streams_judge);
    options = (struct tdw_loop_options){
        .backend = TDW_BACKEND_URING, .sqpoll = true, .sqpoll_idle_ms = 1000};
    assert_int_equal(on_real(streams), 0);
    streams_judge();
}

int tests_cases(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_cancel_and_a_completion_agree_who_was_first),
        TEST(writes_of_one_place_do_not_mix),
        TEST(nothing_can_be_moved),
        TEST(a_thousand_vectors_and_no_more),
        TEST(more_completions_than_the_queue_has_room_for),
        TEST(several_completions_end),
        TEST(waits_for_several_things_end),
        TEST(an_edge_is_told_once),
        TEST(a_broken_end_is_an_error),
        TEST(a_full_backlog_lets_nobody_in),
        TEST(a_connection_may_be_reset_before_it_is_accepted),
        TEST(a_port_is_taken_while_its_connection_lingers),
        TEST(probes_are_set_as_on_linux),
        TEST(a_poll_is_not_given_another_name),
        TEST(a_period_of_nothing_leaves_time_for_others),
        TEST(a_receive_of_all_takes_many_records),
        TEST(a_number_that_is_given_out_again_is_a_new_file),
        TEST(a_stream_may_stop_before_its_end),
        TEST(what_a_stopped_send_sent_is_told),
        TEST(a_slot_knows_nothing_of_a_number_before),
        TEST(a_listener_looks_as_the_program_left_it),
        TEST(a_completion_among_several_may_start_others),
        TEST(an_end_takes_no_buffer),
        TEST(what_is_left_of_a_buffer_stands_in_memory),
        TEST(slots_are_emptied_before_they_are_filled),
        TEST(what_is_done_comes_before_a_deadline_that_has_passed),
        TEST(timers_come_through_a_stream_of_completions),
    };

    return cmocka_run_group_tests_name("cases", tests, NULL, NULL);
}
