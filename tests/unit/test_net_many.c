/* SPDX-License-Identifier: MIT */
/*
 * Thousands of sockets in one process: what is found, told and given back when there are many.
 *
 * As in test_net.c the body of each test is a stackful task, which notes what it saw in `seen`.
 */
#include "body.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <tidewheel/sys.h>

int tests_net_many(void);

#define ADDRESS(name) (const struct sockaddr *)&(name), sizeof(name)
enum { PORT = 80, MANY = 3000 };

static int fds[MANY][2];

static int limit_to(rlim_t soft, rlim_t hard)
{
    const struct rlimit limit = {soft, hard};

    return tdw_sys_setrlimit(RLIMIT_NOFILE, &limit);
}

/* How many of the pairs carry a byte from end `from` to the other. */
static int carry(int from)
{
    int count = 0;

    for (int i = 0; i < MANY; i++) {
        char byte = (char)i;

        tdw_send(fds[i][from], &byte, 1, 0);
        byte = 0;
        count += tdw_recv(fds[i][!from], &byte, 1, 0) == 1 && byte == (char)i;
    }
    return count;
}

/* ── The limit ─────────────────────────────────────────────────────────────────────────────── */

static int open_all(void)
{
    int count = 0;

    while (tdw_sys_dup(0) >= 0)
        count++;
    return count;
}

static void limits(void *unused)
{
    struct rlimit limit;

    (void)unused;
    seen[0] = tdw_sys_getrlimit(RLIMIT_NOFILE, &limit);
    seen[1] = (int64_t)limit.rlim_cur;
    seen[2] = (int64_t)limit.rlim_max;
    seen[3] = open_all(); /* 0, 1, 2 are open */
    seen[4] = limit_to(5000, 65536);
    seen[5] = open_all();
    seen[6] = limit_to(100, 4000); /* what is open stays so */
    seen[7] = tdw_sys_dup(4999);
    seen[8] = tdw_sys_lseek(4999, 0, SEEK_SET);
    seen[9] = limit_to(4001, 4001);
    seen[10] = limit_to(4000, 3999);
    seen[11] = limit_to(4000, 4000);
    seen[12] = tdw_sys_getrlimit(RLIMIT_STACK, &limit);
}

static void descriptors_go_up_to_a_limit_that_can_be_raised(void **state)
{
    (void)state;
    run(limits);
    SAW(0, 1024, 65536, 1021, 0, 3976, 0, -EMFILE, 0, -EPERM, -EINVAL, 0, -EINVAL);
}

/* ── Streams over loopback ─────────────────────────────────────────────────────────────────── */

/* Its own name, as the other end knows it. */
static bool names_fit(const int ends[2])
{
    struct sockaddr_in own, peer;
    socklen_t bytes = sizeof(own);

    return tdw_sys_getsockname(ends[0], (void *)&own, &bytes) == 0 &&
           tdw_sys_getpeername(ends[1], (void *)&peer, &bytes) == 0 &&
           memcmp(&own, &peer, sizeof(own)) == 0;
}

static int listen_here(void)
{
    const struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    int err;

    tdw_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    err = tdw_sys_bind(fd, ADDRESS(here));
    return err ? err : tdw_sys_listen(fd, 16) ? -1 : fd;
}

static int connect_all(int listener)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int count = 0;

    for (int i = 0; i < MANY; i++) {
        fds[i][0] = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
        count += tdw_connect(fds[i][0], ADDRESS(to)) == 0;
        fds[i][1] = tdw_accept(listener, NULL, NULL, 0);
        count += names_fit(fds[i]);
    }
    return count;
}

static void streams(void *unused)
{
    int listener;

    (void)unused;
    limit_to(8192, 8192);
    listener = listen_here();
    seen[0] = connect_all(listener);
    seen[1] = carry(0);
    seen[2] = carry(1);
    tdw_close(listener);
    /* Connections hold their listener's port, also those that are only remembered. */
    listener = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    seen[3] = tdw_sys_bind(
        listener, ADDRESS(((struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)})));
    for (int i = 0; i < MANY; i++) /* every second one is closed by its server first */
        tdw_close(fds[(i * 7) % MANY][i % 2]);
    for (int i = 0; i < MANY; i++)
        tdw_close(fds[(i * 7) % MANY][!(i % 2)]);
    seen[4] = tdw_sys_bind(
        listener, ADDRESS(((struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)})));
    tdw_sleep(70 * 1000000000ull); /* TIME_WAIT */
    seen[5] = tdw_sys_bind(
        listener, ADDRESS(((struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)})));
    tdw_close(listener);
    listener = listen_here();
    seen[6] = connect_all(listener);
}

static void thousands_of_connections_keep_apart_and_give_their_port_back(void **state)
{
    (void)state;
    run(streams);
    SAW(2 * MANY, MANY, MANY, -EADDRINUSE, -EADDRINUSE, 0, 2 * MANY);
}

/* ── Unix sockets ──────────────────────────────────────────────────────────────────────────── */

static int hung_up(int from, int step)
{
    int count = 0;

    for (int i = from; i < MANY; i += step) {
        struct pollfd poll = {fds[i][1], POLLIN, 0};

        tdw_ppoll(&poll, 1, 0);
        count += poll.revents == (POLLIN | POLLHUP);
    }
    return count;
}

static void pairs(void *unused)
{
    (void)unused;
    limit_to(8192, 8192);
    for (int i = 0; i < MANY; i++)
        tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]);
    seen[0] = carry(0);
    for (int i = 0; i < MANY; i += 2)
        tdw_close(fds[i][0]);
    seen[1] = hung_up(0, 2);
    seen[2] = hung_up(1, 2);
    for (int i = 1; i < MANY; i += 2)
        tdw_close(fds[i][0]);
    seen[3] = hung_up(0, 1);
}

static void a_close_is_told_to_the_peer_and_to_nobody_else(void **state)
{
    (void)state;
    run(pairs);
    SAW(MANY, MANY / 2, 0, MANY);
}

static struct sockaddr_un name_of(int i)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    snprintf(name.sun_path, sizeof name.sun_path, i % 2 ? "/s%d" : "%c%d", i % 2 ? i : 0, i);
    return name;
}

/* Half of them have abstract names, half of them paths. All speak to one, in the end. */
static void named(void *unused)
{
    const struct sockaddr_un first = name_of(0);
    int64_t sum = 0;

    (void)unused;
    limit_to(8192, 8192);
    for (int i = 0; i < 5; i++)
        seen[i] = 0;
    for (int i = 0; i < MANY; i++) {
        const struct sockaddr_un name = name_of(i);

        fds[i][0] = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
        seen[0] += tdw_sys_bind(fds[i][0], ADDRESS(name)) == 0;
    }
    for (int i = 0; i < MANY; i++) {
        const struct sockaddr_un name = name_of(MANY - 1 - i);

        tdw_sendto(fds[i][0], &i, sizeof i, 0, ADDRESS(name));
    }
    for (int i = 0; i < MANY; i++) {
        int from = -1;

        tdw_recv(fds[i][0], &from, sizeof from, MSG_DONTWAIT);
        seen[1] += from == MANY - 1 - i;
    }
    for (int i = 1; i < MANY; i++) {
        int from = 0;

        seen[2] += tdw_connect(fds[i][0], ADDRESS(first)) == 0;
        tdw_send(fds[i][0], &i, sizeof i, 0);
        tdw_recv(fds[0][0], &from, sizeof from, MSG_DONTWAIT);
        sum += from;
    }
    seen[3] = sum;
    tdw_close(fds[0][0]);
    for (int i = 1; i < MANY; i++) /* each is told once that there is nobody any more */
        seen[4] += tdw_send(fds[i][0], &i, sizeof i, 0) == -ECONNREFUSED &&
                   tdw_send(fds[i][0], &i, sizeof i, 0) == -ENOTCONN;
}

static void thousands_of_names_are_found(void **state)
{
    (void)state;
    run(named);
    SAW(MANY, MANY, MANY - 1, (int64_t)MANY * (MANY - 1) / 2, MANY - 1);
}

/* ── Who waits for room ────────────────────────────────────────────────────────────────────── */

enum { SENDERS = 200 };
static int at_queue[SENDERS];

static void sender(void *index)
{
    const int i = (int)(intptr_t)index;

    seen[0] += tdw_send(at_queue[i], &i, sizeof i, 0) == sizeof i;
}

static void queue(void *unused)
{
    const struct sockaddr_un name = name_of(0);
    const int sink = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
    int64_t sum = 0;
    int i;

    (void)unused;
    seen[0] = 0;
    tdw_sys_bind(sink, ADDRESS(name));
    for (i = 0; i < SENDERS; i++) {
        at_queue[i] = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
        tdw_connect(at_queue[i], ADDRESS(name));
        tdw_spawn_stackful("sender", sender, (void *)(intptr_t)i);
    }
    tdw_sleep(1000000);
    seen[1] = seen[0]; /* as many as the queue holds */
    for (int left = SENDERS / 2; left > 0; left--) {
        int from;

        tdw_recv(sink, &from, sizeof from, 0);
        sum += from;
        tdw_sleep(1000000);
    }
    seen[2] = seen[0];
    tdw_close(sink); /* the others have nowhere to go */
    tdw_sleep(1000000);
    seen[3] = seen[0];
    seen[4] = sum < SENDERS * (SENDERS - 1) / 2;
}

static void senders_wait_for_room_and_for_the_end(void **state)
{
    (void)state;
    run(queue);
    SAW(SENDERS / 2 + 11, 11, SENDERS / 2 + 11, SENDERS / 2 + 11, 1);
}

static void polled_senders(void *unused)
{
    static const int order[] = {2, 0, 3, 1};
    const struct sockaddr_un name = name_of(0);
    const int sink = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0), epoll = tdw_sys_epoll_create1(0);
    struct epoll_event events[4];
    int ends[4];

    (void)unused;
    tdw_sys_bind(sink, ADDRESS(name));
    for (int i = 0; i < 4; i++) {
        ends[i] = tdw_sys_socket(AF_UNIX, SOCK_DGRAM, 0);
        tdw_connect(ends[i], ADDRESS(name));
    }
    while (tdw_send(ends[0], "x", 1, MSG_DONTWAIT) == 1)
        ;
    for (int i = 0; i < 4; i++) {
        struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)order[i]};

        tdw_sys_epoll_ctl(epoll, EPOLL_CTL_ADD, ends[order[i]], &event);
    }
    seen[0] = tdw_epoll_wait(epoll, events, 4, 0);
    tdw_recv(sink, (char[1]){0}, 1, 0);
    seen[1] = tdw_epoll_wait(epoll, events, 4, 0);
    for (int i = 0; i < 4; i++)
        seen[2 + i] = events[i].data.u32;
}

static void who_waits_for_room_is_told_newest_first(void **state)
{
    (void)state;
    run(polled_senders);
    SAW(0, 4, 1, 3, 0, 2);
}

/* ── Who is told of a connection ───────────────────────────────────────────────────────────── */

enum { EPOLLS = 300, SECOND_NS = 1000000000 };
static int epolls[EPOLLS], listener, told;

static void watch(int i, int what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};

    tdw_sys_epoll_ctl(epolls[i], what, listener, &event);
}

static void waiter(void *index)
{
    const int i = (int)(intptr_t)index;
    struct epoll_event event;

    if (tdw_epoll_wait(epolls[i], &event, 1, SECOND_NS) < 1)
        return;
    seen[told++] = i;
    tdw_close(tdw_accept(listener, NULL, NULL, 0));
    watch(i, EPOLL_CTL_DEL);
}

static void exclusive(void *unused)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = {htonl(INADDR_LOOPBACK)}};

    (void)unused;
    told = 0;
    listener = listen_here();
    for (int i = 0; i < EPOLLS; i++) {
        epolls[i] = tdw_sys_epoll_create1(0);
        watch(i, EPOLL_CTL_ADD);
        tdw_spawn_stackful("waiter", waiter, (void *)(intptr_t)i);
    }
    watch(0, EPOLL_CTL_DEL); /* the first, the last, and all but a few in between */
    watch(EPOLLS - 1, EPOLL_CTL_DEL);
    for (int i = 3; i < EPOLLS - 3; i++)
        watch(i, EPOLL_CTL_DEL);
    watch(7, EPOLL_CTL_ADD); /* behind all others */
    for (int i = 0; i < 6; i++) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

        tdw_sleep(SECOND_NS / 100);
        tdw_connect(fd, ADDRESS(to));
        tdw_close(fd);
    }
}

static void of_exclusive_watchers_the_oldest_is_told(void **state)
{
    (void)state;
    run(exclusive);
    SAW(1, 2, EPOLLS - 3, EPOLLS - 2, 7, NOT_SEEN);
}

int tests_net_many(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_go_up_to_a_limit_that_can_be_raised),
        cmocka_unit_test(thousands_of_connections_keep_apart_and_give_their_port_back),
        cmocka_unit_test(a_close_is_told_to_the_peer_and_to_nobody_else),
        cmocka_unit_test(thousands_of_names_are_found),
        cmocka_unit_test(senders_wait_for_room_and_for_the_end),
        cmocka_unit_test(who_waits_for_room_is_told_newest_first),
        cmocka_unit_test(of_exclusive_watchers_the_oldest_is_told),
    };

    return cmocka_run_group_tests_name("net_many", tests, NULL, NULL);
}
