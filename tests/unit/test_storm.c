/* SPDX-License-Identifier: MIT */
/*
 * Storms: random programs over everything that waits, on hosts that crash, boot, pause and lose
 * their links, in processes that are killed. Nobody asks what the answers are: the run must end,
 * find nothing, lose no memory (AddressSanitizer asks), and be the same when it is repeated.
 *
 * A worker keeps SLOTS ops in flight, on descriptors drawn from a few small numbers, so that most
 * ops meet a socket, an epoll, a timer or a pipe in some state or other. Whatever an op answers,
 * the next one is drawn. A worker that has drawn its last cancels what is left. The same worker
 * runs in the three models: it is told of each completion, and they differ in who tells it.
 *
 *     director (host "main")       crash, boot, pause, resume, cut, change clocks
 *     hosts a, b, c: root ─▶ workers ─▶ child processes ─▶ workers
 *
 * TDW_STORMS=n: so many seeds instead of the few of an ordinary run; TDW_STORM=n: that seed only.
 */
#include "tests.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <tidewheel/process.h>
#include <tidewheel/register.h>
#include <tidewheel/stackful.h>
#include <tidewheel/stackless.h>
#include <tidewheel/sys.h>

enum {
    HOSTS = 3,
    WORKERS = 2,
    SLOTS = 4,
    OPS = 50,
    FDS = 20,
    BYTES = 3000,
    GROUP = 7,
    BUFFERS = 4
};
#define MS_NS ((uint64_t)1000000)

struct storm {
    uint64_t seed;
    enum tdw_model model;
    uint32_t workers; /* made so far: the next one's number */
    struct tdw_host *hosts[HOSTS];
};
static struct storm storm;

struct worker;

struct slot {
    struct tdw_op op, timer;
    struct worker *worker;
    bool busy; /* its last completion is not told yet */
    union {
        char bytes[BYTES];
        struct epoll_event events[4];
        struct pollfd polls[4];
    };
    union {
        struct sockaddr_storage address;
        struct __kernel_timespec time;
        struct tdw_resolved resolved;
        struct epoll_event event;
        int status;
    };
    socklen_t address_bytes;
    struct msghdr message;
    struct iovec iov[2];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))];
};

struct worker {
    uint64_t random;
    uint32_t left;                /* ops to draw */
    uint32_t depth;               /* of processes */
    bool exits;                   /* its process, at the end of this step */
    struct slot slots[SLOTS + 1]; /* the last one only cancels the others */
    char provided[BUFFERS][64];
};

static uint32_t draw(uint64_t *random, uint32_t bound)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*random >> 33) % bound);
}

/* ── What a worker draws ───────────────────────────────────────────────────────────────────── */

#define PICK(list) ((list)[draw(r, sizeof(list) / sizeof *(list))])

static int any_fd(uint64_t *r)
{
    return (int)draw(r, FDS);
}

static void any_address(uint64_t *r, struct slot *slot, bool own)
{
    struct sockaddr_in *in = (void *)&slot->address;
    struct sockaddr_in6 *in6 = (void *)&slot->address;
    struct sockaddr_un *un = (void *)&slot->address;
    const uint32_t port = 1 + draw(r, 3), host = draw(r, HOSTS + 1), family = draw(r, 5);

    memset(&slot->address, 0, sizeof slot->address);
    if (family < 3) {
        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (host < HOSTS && !own)
            in->sin_addr = tdw_host_ipv4(storm.hosts[host]);
        else
            in->sin_addr.s_addr = htonl(own ? INADDR_ANY : INADDR_LOOPBACK);
        slot->address_bytes = sizeof *in;
    } else if (family == 3) {
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        if (host < HOSTS && !own)
            in6->sin6_addr = tdw_host_ipv6(storm.hosts[host]);
        else
            in6->sin6_addr = own ? in6addr_any : in6addr_loopback;
        slot->address_bytes = sizeof *in6;
    } else {
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path + (host & 1), 8, "/s%u", port);
        slot->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 4);
    }
}

static void any_option(uint64_t *r, int fd)
{
    static const int names[] = {SO_RCVBUF,    SO_SNDBUF,    SO_REUSEADDR, SO_REUSEPORT,
                                SO_KEEPALIVE, SO_OOBINLINE, SO_ERROR,     SO_RCVLOWAT};
    const int on = (int)draw(r, 2), seconds = (int)draw(r, 2);
    const struct linger linger = {on, seconds};
    const struct timeval wait = {0, (int)draw(r, 2000)};
    const int value = (int)draw(r, 5000);
    int got = 0;
    socklen_t bytes = sizeof got;

    switch (draw(r, 6)) {
    case 0:
        tdw_sys_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        break;
    case 1:
        tdw_sys_setsockopt(fd, SOL_SOCKET, draw(r, 2) ? SO_RCVTIMEO : SO_SNDTIMEO, &wait,
                           sizeof wait);
        break;
    case 2:
        tdw_sys_setsockopt(fd, IPPROTO_TCP, draw(r, 2) ? TCP_NODELAY : TCP_USER_TIMEOUT, &value,
                           sizeof value);
        break;
    case 3:
        tdw_sys_getsockopt(fd, SOL_SOCKET, PICK(names), &got, &bytes);
        break;
    default:
        tdw_sys_setsockopt(fd, SOL_SOCKET, PICK(names), &value, sizeof value);
    }
}

static const uint32_t poll_events[] = {POLLIN,  POLLOUT, POLLIN | POLLOUT, POLLIN | POLLRDHUP,
                                       POLLPRI, 0};

static struct epoll_event any_event(uint64_t *r)
{
    static const uint32_t flags[] = {0, 0, EPOLLET, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE};
    const uint32_t events = PICK(poll_events), flag = PICK(flags), data = draw(r, 9);

    return (struct epoll_event){.events = events | flag, .data.u64 = data};
}

static void any_timer(uint64_t *r, int fd)
{
    const bool absolute = draw(r, 4) == 0;
    const long period = (long)draw(r, 3) * 300000, first = (long)draw(r, 900000);
    struct itimerspec value = {{0, period}, {0, first}}, old;

    if (absolute)
        tdw_sys_clock_gettime(CLOCK_REALTIME, &value.it_value);
    tdw_sys_timerfd_settime(fd, absolute ? TFD_TIMER_ABSTIME : 0, &value, &old);
}

/* A process that is killed, ends by itself, or has ended before. */
static void child_main(void *depth);
static void any_process(struct worker *worker, uint64_t *r)
{
    switch (draw(r, 12)) {
    case 0:
    case 1:
        if (worker->depth < 2)
            tdw_proc_spawn("child", child_main, (void *)(uintptr_t)(worker->depth + 1));
        break;
    case 2:
        tdw_proc_kill((int)draw(r, 12));
        break;
    case 3:
        worker->exits = worker->depth > 0;
        break;
    default:
        break;
    }
}

/* One call that never waits. */
static void any_call(uint64_t *r, struct slot *slot)
{
    static const int types[] = {SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    static const int families[] = {AF_INET, AF_INET, AF_INET6, AF_UNIX};
    const int fd = any_fd(r), other = any_fd(r);
    struct sockaddr_storage name;
    socklen_t bytes = sizeof name;
    struct epoll_event event;
    int fds[2], queued = 0, family, type;

    switch (draw(r, 22)) {
    case 0:
    case 1:
    case 2:
        family = PICK(families);
        type = PICK(types);
        tdw_sys_socket(family, type | (draw(r, 4) ? 0 : SOCK_NONBLOCK), 0);
        break;
    case 3:
        tdw_sys_socketpair(AF_UNIX, PICK(types), 0, fds);
        break;
    case 4:
    case 5:
        any_address(r, slot, true);
        tdw_sys_bind(fd, (void *)&slot->address, slot->address_bytes);
        break;
    case 6:
    case 7:
        tdw_sys_listen(fd, (int)draw(r, 3));
        break;
    case 8:
    case 9:
        any_option(r, fd);
        break;
    case 10:
        tdw_sys_epoll_create1(0);
        break;
    case 11:
    case 12:
    case 13:
        event = any_event(r);
        tdw_sys_epoll_ctl(fd, 1 + (int)draw(r, 3), other, &event);
        break;
    case 14:
        tdw_sys_timerfd_create(draw(r, 2) ? CLOCK_REALTIME : CLOCK_MONOTONIC, 0);
        break;
    case 15:
        any_timer(r, fd);
        break;
    case 16:
        tdw_sys_pipe2(fds, draw(r, 2) ? O_NONBLOCK : 0);
        break;
    case 17:
        tdw_sys_eventfd(draw(r, 2), 0);
        break;
    case 18:
        draw(r, 2) ? tdw_sys_dup(fd) : tdw_sys_dup2(fd, other);
        break;
    case 19:
        tdw_sys_shutdown(fd, (int)draw(r, 3));
        break;
    case 20:
        memset(&name, 0, sizeof name);
        draw(r, 2) ? tdw_sys_getsockname(fd, (void *)&name, &bytes)
                   : tdw_sys_getpeername(fd, (void *)&name, &bytes);
        break;
    default:
        tdw_sys_ioctl(fd, draw(r, 2) ? FIONREAD : TIOCOUTQ, &queued);
        tdw_mark("queued", (uint64_t)queued);
    }
}

/* ── Ops ───────────────────────────────────────────────────────────────────────────────────── */

static tdw_done_fn told; /* callbacks */

/* Most ops have a deadline; the others are ended by a cancel at the latest. */
#define GO(verb, ...)                                                                              \
    (within ? TDW_ON_WITHIN(&slot->op, &slot->timer, within, done, verb, ##__VA_ARGS__)            \
            : TDW_ON(&slot->op, done, verb, ##__VA_ARGS__))

static void message_begin(struct slot *slot, uint64_t *r, bool out)
{
    const int first = any_fd(r), second = any_fd(r), third = any_fd(r);
    const int fds[3] = {first, second, third};
    const uint32_t count = draw(r, 4);
    struct cmsghdr *head = (void *)slot->control;

    slot->iov[0] = (struct iovec){slot->bytes, draw(r, 50)};
    slot->iov[1] = (struct iovec){slot->bytes + 1000, draw(r, 2000)};
    slot->message = (struct msghdr){.msg_iov = slot->iov, .msg_iovlen = 1 + draw(r, 2)};
    memset(slot->control, 0, sizeof slot->control);
    if (out && count == 0)
        return;
    slot->message.msg_control = slot->control;
    slot->message.msg_controllen = out ? CMSG_SPACE(count * sizeof(int)) : sizeof slot->control;
    if (!out && draw(r, 3) == 0)
        slot->message.msg_controllen = CMSG_SPACE(sizeof(int)); /* too small for three */
    if (!out)
        return;
    *head = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
}

static int go_message(struct slot *slot, uint64_t *r, uint64_t within, tdw_done_fn *done)
{
    const int fd = any_fd(r), flags = draw(r, 4) ? 0 : MSG_DONTWAIT;
    const struct sockaddr *to = (void *)&slot->address;

    switch (draw(r, 8)) {
    case 0:
    case 1:
        message_begin(slot, r, true);
        return GO(sendmsg, fd, &slot->message, (unsigned)flags);
    case 2:
    case 3:
        message_begin(slot, r, false);
        return GO(recvmsg, fd, &slot->message, (unsigned)flags);
    case 4:
        any_address(r, slot, false);
        return GO(sendto, fd, slot->bytes, draw(r, BYTES), flags, to, slot->address_bytes);
    case 5:
        return GO(send_zc, fd, slot->bytes, draw(r, BYTES), flags);
    case 6:
        return GO(recv_multishot, fd, GROUP, 0);
    default:
        return GO(provide_buffers, slot->worker->provided, 64, BUFFERS, GROUP, 0);
    }
}

static int go_wait(struct slot *slot, uint64_t *r, uint64_t within, tdw_done_fn *done)
{
    const struct tdw_op *other = &slot->worker->slots[draw(r, SLOTS)].op;
    const int fd = any_fd(r);
    const uint64_t ns = draw(r, 3) ? draw(r, 2000000) : UINT64_MAX;
    int how;

    switch (draw(r, 9)) {
    case 0:
        return GO(poll, fd, PICK(poll_events));
    case 1:
        return GO(poll_multishot, fd, PICK(poll_events));
    case 2:
        return GO(poll_update, other, PICK(poll_events));
    case 3:
        return GO(poll_remove, other);
    case 4:
    case 5:
        return GO(epoll_wait, fd, slot->events, 1 + draw(r, 4), ns);
    case 6:
        for (int i = 0; i < 4; i++) {
            slot->polls[i].fd = (int)draw(r, FDS + 1) - 1;
            slot->polls[i].events = (short)PICK(poll_events);
            slot->polls[i].revents = 0;
        }
        return GO(ppoll, slot->polls, draw(r, 5), ns);
    case 7:
        slot->event = any_event(r);
        how = 1 + (int)draw(r, 3);
        return GO(epoll_ctl, fd, how, any_fd(r), &slot->event);
    default:
        return GO(waitpid, draw(r, 2) ? -1 : (int)draw(r, 12), &slot->status);
    }
}

static int go_other(struct slot *slot, uint64_t *r, uint64_t within, tdw_done_fn *done)
{
    static const char *const names[] = {"a", "b", "c", "nobody"};
    const struct tdw_op *other = &slot->worker->slots[draw(r, SLOTS)].op;
    const int fd = any_fd(r);
    int to;

    switch (draw(r, 9)) {
    case 0:
        return GO(cancel, other);
    case 1:
        return GO(cancel_fd, fd);
    case 2:
        return GO(close, fd);
    case 3:
        return GO(shutdown, fd, (int)draw(r, 3));
    case 4:
        return GO(sleep, draw(r, 1000000));
    case 5:
        slot->time = (struct __kernel_timespec){0, draw(r, 500000)};
        return GO(timeout, &slot->time, draw(r, 2) ? 0 : 1 << 6 /* multishot */);
    case 6:
        to = any_fd(r);
        return GO(splice, fd, -1, to, -1, draw(r, BYTES), 0);
    case 7:
        return GO(resolve, PICK(names), &slot->resolved);
    default:
        return GO(nop);
    }
}

static int go_any(struct slot *slot, uint64_t *r, tdw_done_fn *done)
{
    const bool endless = draw(r, 6) == 0 && slot != slot->worker->slots; /* not all of them */
    const uint64_t within = endless ? 0 : draw(r, 3000000) + 1;
    const int fd = any_fd(r), flags = draw(r, 4) ? 0 : MSG_DONTWAIT;
    const struct sockaddr *to = (void *)&slot->address;

    if (draw(r, 3) == 0)
        any_call(r, slot);
    any_process(slot->worker, r);
    switch (draw(r, 14)) {
    case 0:
    case 1:
    case 2:
        any_address(r, slot, false);
        return GO(connect, fd, to, slot->address_bytes);
    case 3:
        slot->address_bytes = sizeof slot->address;
        return GO(accept, fd, (void *)&slot->address, &slot->address_bytes, 0);
    case 4:
        return GO(accept_multishot, fd, NULL, NULL, 0);
    case 5:
        return GO(send, fd, slot->bytes, draw(r, BYTES), flags);
    case 6:
        return GO(recv, fd, slot->bytes, draw(r, BYTES), flags);
    case 7:
        return GO(read, fd, slot->bytes, draw(r, BYTES));
    case 8:
        return GO(write, fd, slot->bytes, draw(r, BYTES));
    case 9:
    case 10:
        return go_message(slot, r, within, done);
    case 11:
    case 12:
        return go_wait(slot, r, within, done);
    default:
        return go_other(slot, r, within, done);
    }
}

/* ── Workers ───────────────────────────────────────────────────────────────────────────────── */

/* Whatever it is that completed: it is told to the digest, and the slot is free after the last. */
static void saw(struct slot *slot, int res, uint32_t flags)
{
    tdw_mark("saw", (uint64_t)(uint32_t)res << 32 | flags);
    slot->busy = flags & IORING_CQE_F_MORE;
    if (slot->busy && slot->worker->left > 0)
        slot->worker->left--; /* else a periodic time-out beside three waits went on for ever */
}

/* Each free slot draws its next op. After the last draw one busy slot after the other is cancelled,
 * again and again: file I/O cannot be stopped, and ends by itself. */
static void pump(struct worker *worker)
{
    tdw_done_fn *const done = storm.model == TDW_CALLBACK ? told : tdw__go_done;
    struct slot *busy = NULL, *slot;
    const uint64_t within = 0;

    for (int i = 0; i < SLOTS; i++) {
        slot = &worker->slots[i];
        while (!slot->busy && worker->left > 0) {
            worker->left--;
            slot->busy = go_any(slot, &worker->random, done) == 0;
        }
        if (slot->busy)
            busy = slot;
    }
    slot = &worker->slots[SLOTS];
    if (worker->left == 0 && busy && !slot->busy)
        slot->busy = (draw(&worker->random, 2) ? GO(sleep, MS_NS) : GO(cancel, &busy->op)) == 0;
    if (worker->exits)
        tdw_proc_exit(3);
}

static struct worker *worker_new(uint32_t depth)
{
    struct worker *worker = tdw_malloc(sizeof *worker);

    worker->random = tdw__mix(storm.seed, ++storm.workers);
    worker->left = OPS;
    worker->depth = depth;
    for (int i = 0; i <= SLOTS; i++)
        worker->slots[i].worker = worker;
    return worker;
}

static void told(struct tdw_op *op)
{
    struct slot *slot = tdw_of(op, struct slot, op);

    saw(slot, op->res, op->flags);
    pump(slot->worker);
}

static void callback_worker(void *worker)
{
    pump(worker);
}

/* The busy slots of a worker, as a wait needs them: their number. */
static uint32_t busy_ops(struct worker *worker, struct tdw_op *ops[SLOTS + 1])
{
    uint32_t count = 0;

    for (int i = 0; i <= SLOTS; i++)
        if (worker->slots[i].busy)
            ops[count++] = &worker->slots[i].op;
    return count;
}

static void take(struct tdw_op *op)
{
    const int res = tdw__op_take(op);

    saw(tdw_of(op, struct slot, op), res, op->flags);
}

static void stackful_worker(void *arg)
{
    struct worker *worker = arg;
    struct tdw_op *ops[SLOTS + 1];
    uint32_t count;

    pump(worker);
    while ((count = busy_ops(worker, ops)) > 0) {
        take(ops[tdw_await_any(ops, count)]);
        pump(worker);
    }
}

struct worker_frame {
    struct tdw_frame frame;
    struct worker *worker;
    struct tdw_op *ops[SLOTS + 1];
    uint32_t count;
    int index;
};

TDW_CO(stackless_worker)
{
    TDW_BEGIN(struct worker_frame, me);
    pump(me->worker);
    while ((me->count = busy_ops(me->worker, me->ops)) > 0) {
        TDW_AWAIT_ANY(me->index, me->ops, me->count);
        take(me->ops[me->index]);
        pump(me->worker);
    }
    TDW_RETURN(0);
    TDW_END;
}

static void spawn_worker(uint32_t depth)
{
    struct worker *worker = worker_new(depth);

    switch (storm.model) {
    case TDW_CALLBACK:
        tdw_spawn_callback("worker", callback_worker, worker);
        break;
    case TDW_STACKLESS:
        TDW_SPAWN("worker", stackless_worker, struct worker_frame, .worker = worker);
        break;
    case TDW_STACKFUL:
        tdw_spawn_stackful("worker", stackful_worker, worker);
        break;
    }
}

/* What a process begins with: something of each kind, listeners among them. */
static void open_some(uint64_t random)
{
    uint64_t *const r = &random;
    struct slot name = {.address_bytes = 0};
    int fds[2];

    for (int i = 0; i < 4; i++) {
        const int fd = tdw_sys_socket(i < 2    ? AF_INET
                                      : i == 2 ? AF_INET6
                                               : AF_UNIX,
                                      i == 1 ? SOCK_DGRAM : SOCK_STREAM, 0);

        do
            any_address(r, &name, true);
        while (name.address.ss_family != (i < 2 ? AF_INET : i == 2 ? AF_INET6 : AF_UNIX));
        tdw_sys_bind(fd, (void *)&name.address, name.address_bytes);
        tdw_sys_listen(fd, (int)draw(r, 3));
    }
    tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    tdw_sys_socketpair(AF_UNIX, draw(r, 2) ? SOCK_STREAM : SOCK_DGRAM, 0, fds);
    tdw_sys_epoll_create1(0);
    tdw_sys_timerfd_create(CLOCK_MONOTONIC, 0);
    tdw_sys_eventfd(0, 0);
    tdw_sys_pipe2(fds, 0);
}

static void child_main(void *depth)
{
    if (storm.workers % 2)
        open_some(storm.workers);
    spawn_worker((uint32_t)(uintptr_t)depth);
}

static void host_main(void *unused)
{
    (void)unused;
    open_some(storm.seed);
    for (int i = 0; i < WORKERS; i++)
        spawn_worker(0);
}

/* ── The director ──────────────────────────────────────────────────────────────────────────── */

static void disturb(uint64_t *r)
{
    struct tdw_host *host = storm.hosts[draw(r, HOSTS)], *other = storm.hosts[draw(r, HOSTS)];
    struct tdw_link link = {0};

    /* One after the other: what initializes a structure, or is passed, is drawn in any order. */
    link.latency_ns = draw(r, 1000000);
    link.jitter_ns = draw(r, 2) * 50000;
    if (draw(r, 2))
        link.bytes_per_s = 10000 + draw(r, 1000000);
    link.queue_bytes = draw(r, 2) * 4000;
    link.drop = draw(r, 2) ? TDW_DROP_TAIL : TDW_DROP_NONE;
    link.down = draw(r, 3) == 0;

    switch (draw(r, 8)) {
    case 0:
        tdw_host_crash(host);
        break;
    case 1:
        tdw_host_boot(host);
        break;
    case 2:
        tdw_host_pause(host);
        break;
    case 3:
        tdw_host_resume(host);
        break;
    case 4:
    case 5:
        tdw_link_set(host, other, &link);
        break;
    case 6:
        tdw_host_step(host, (int64_t)draw(r, 2000000) - 1000000);
        break;
    default:
        tdw_host_drift(host, (int32_t)draw(r, 200000000) - 100000000);
    }
}

static void director(void *unused)
{
    static const char *const names[HOSTS] = {"a", "b", "c"};
    uint64_t random = tdw__mix(storm.seed, 0);

    (void)unused;
    for (int i = 0; i < HOSTS; i++)
        storm.hosts[i] = tdw_host(names[i], host_main, NULL);
    for (int i = 0; i < HOSTS; i++)
        tdw_host_boot(storm.hosts[i]);
    for (int i = 0; i < 12; i++) {
        tdw_sleep(draw(&random, 700000));
        disturb(&random);
    }
    for (int i = 0; i < HOSTS; i++)
        tdw_host_resume(storm.hosts[i]);
}

static void storm_main(void *unused)
{
    tdw_spawn_stackful("director", director, unused);
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_world_options options_of(uint64_t seed)
{
    return (struct tdw_world_options){.seed = seed,
                                      .strategy = TDW_RANDOM,
                                      .schedule = seed % 2 ? TDW_ADVERSARY : TDW_TIMED,
                                      .watch_buffers = seed % 3 == 0,
                                      .steps_max = 200000,
                                      .stack_bytes = 65536,
                                      .ops_max = 4096};
}

static void show_waiter(void *unused, const char *text)
{
    (void)unused;
    print_error("%s\n", text);
}

static struct tdw_after blow(struct tdw_world *world, uint64_t seed, enum tdw_model model)
{
    struct tdw_loop *loop = tdw_world_loop(world);
    struct tdw_after after = {0};
    int ret;

    storm = (struct storm){.seed = seed, .model = model};
    ret = tdw_world_run(world, storm_main, NULL);
    after = (struct tdw_after){loop->digest, loop->now_ns, loop->steps, loop->findings, ""};
    if (ret != 0)
        tdw_loop_waiters(tdw_world_loop(world), show_waiter, NULL);
    if (ret != 0 || after.findings)
        fail_msg("storm %llu, model %d: %d after %llu steps, %llu ns: %s", (unsigned long long)seed,
                 (int)model, ret, (unsigned long long)after.steps, (unsigned long long)after.now_ns,
                 after.findings ? loop->failure.text : "");
    return after;
}

static void first_and_count(uint64_t *first, uint64_t *count, uint64_t usual)
{
    const char *one = getenv("TDW_STORM"), *many = getenv("TDW_STORMS");

    *first = one ? strtoull(one, NULL, 0) : 0;
    *count = one ? 1 : many ? strtoull(many, NULL, 0) : usual;
}

static void storms_are_the_same_twice_and_in_the_three_models(void **state)
{
    uint64_t first, count, all = 0;

    (void)state;
    first_and_count(&first, &count, 150);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct tdw_world_options options = options_of(seed);
        struct tdw_world *world = tdw_world_new(&options);
        struct tdw_after after[4];

        for (int i = 0; i < 4; i++) {
            after[i] = blow(world, seed, (enum tdw_model)(i % 3));
            tdw_world_reset(world, &options);
        }
        tdw_world_free(world);
        all = tdw__mix(all, after[0].digest.lo);
        for (int i = 1; i < 4; i++)
            if (!tdw_digest_equal(after[0].digest, after[i].digest))
                fail_msg("storm %llu: run %d has another digest; steps %llu, %llu",
                         (unsigned long long)seed, i, (unsigned long long)after[0].steps,
                         (unsigned long long)after[i].steps);
    }
    print_message("digest of all storms: %016llx\n",
                  (unsigned long long)all); /* for other builds */
}

/* A run is cut after any number of steps, and the world is used again. */
static void a_storm_can_be_cut_at_every_step(void **state)
{
    uint64_t first, count;
    struct tdw_world *world = NULL;

    (void)state;
    first_and_count(&first, &count, 12);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct tdw_world_options options = options_of(seed);

        for (options.steps_max = 1; options.steps_max < 1500;
             options.steps_max += options.steps_max / 40 + 1) {
            if (!world)
                world = tdw_world_new(&options);
            else
                tdw_world_reset(world, &options);
            storm = (struct storm){.seed = seed, .model = (enum tdw_model)(options.steps_max % 3)};
            tdw_world_run(world, storm_main, NULL);
        }
    }
    tdw_world_free(world);
}

int tests_storm(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storms_are_the_same_twice_and_in_the_three_models),
        cmocka_unit_test(a_storm_can_be_cut_at_every_step),
    };

    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
