/* SPDX-License-Identifier: MIT */
/*
 * Programs with a loop of their own: what becomes of their rings when waits tie, when processes
 * end, and of an op of ours that is used anew while it still has completions.
 */
#include "tests.h"
#include <poll.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <tidewheel/process.h>
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>
#include <tidewheel/uring.h>

int tests_uring(void);

static int64_t seen[24];
static unsigned nseen;
static struct tdw_digest digest; /* of the last run */

static void saw(int64_t value)
{
    if (nseen < sizeof(seen) / sizeof *seen)
        seen[nseen++] = value;
}

static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

static void run(void (*body)(void *), const struct tdw_world_options *options)
{
    struct tdw_after after;

    nseen = 0;
    body_to_run = body;
    assert_int_equal(tdw_test_run(options, body_main, NULL, &after), 0);
    assert_int_equal(after.findings, 0);
    digest = after.digest;
}

/* ── A process ends with entries in flight and an eventfd at its ring ──────────────────────── */

static void ringing(void *unused)
{
    struct io_uring *ring = tdw_malloc(sizeof(*ring));

    (void)unused;
    tdw_uring_queue_init(8, ring, 0);
    saw(tdw_uring_register_eventfd(ring, tdw_sys_eventfd(0, 0)));
    for (int i = 0; i < 4; i++)
        io_uring_prep_poll_add(io_uring_get_sqe(ring), tdw_sys_eventfd(0, 0), POLLIN);
    saw(tdw_uring_submit(ring));
    tdw_sleep(1000000000);
    saw(-1); /* it never comes so far */
}

static void ringing_main(void *unused)
{
    tdw_spawn_stackful("ringing", ringing, unused);
}

static void ends_with_its_host(void *unused)
{
    struct tdw_host *host = tdw_host("far", ringing_main, NULL);

    (void)unused;
    for (int i = 0; i < 2; i++) {
        tdw_host_boot(host);
        tdw_sleep(1000000);
        tdw_host_crash(host);
    }
}

static void ends_by_a_signal(void *unused)
{
    int status = 0;
    const int pid = tdw_proc_spawn("ringing", ringing_main, unused);

    tdw_sleep(1000000);
    saw(tdw_proc_kill(pid));
    saw(tdw_waitpid(pid, &status) == pid);
}

static void a_ring_ends_with_its_process(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};

    (void)state;
    run(ends_with_its_host, &calm);
    assert_int_equal(nseen, 4);
    for (unsigned i = 0; i < nseen; i++)
        assert_int_equal(seen[i], i & 1 ? 4 : 0);
    run(ends_by_a_signal, &calm);
    assert_int_equal(nseen, 4);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[3], 1);
}

/* ── A wait runs out in the instant in which what it waits for comes ───────────────────────── */

static void waits(void *unused)
{
    (void)unused;
    for (long i = 0; i < 12; i++) {
        struct __kernel_timespec entry = {0, 999 + i % 3}, limit = {0, 1000};
        struct io_uring_cqe *cqe;
        struct io_uring ring;

        tdw_uring_queue_init(8, &ring, 0);
        io_uring_prep_timeout(io_uring_get_sqe(&ring), &entry, 0, 0);
        tdw_uring_submit(&ring);
        if (tdw_uring_wait_cqe_timeout(&ring, &cqe, &limit) == -ETIME && i & 1)
            tdw_uring_wait_cqe(&ring, &cqe);
        tdw_uring_queue_exit(&ring);
    }
    saw(1);
}

static void a_wait_may_tie_with_what_it_waits_for(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        const struct tdw_world_options options = {
            .seed = seed, .strategy = TDW_RANDOM, .schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED};

        run(waits, &options);
        assert_int_equal(nseen, 1);
    }
}

/* ── An op is used anew with completions that nobody took ──────────────────────────────────── */

static void uses_anew(void *unused)
{
    struct tdw_op op = {0}, cancel = {0};
    const int event = tdw_sys_eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;

    (void)unused;
    TDW_GO(&op, poll_multishot, event, POLLIN);
    tdw_write(event, &one, sizeof(one));
    tdw_sleep(1000000);
    TDW_GO(&cancel, cancel, &op);
    saw(tdw_await(&cancel));
    tdw_sleep(1000000);
    saw(tdw_op_idle(&op));
    TDW_GO(&op, nop);
    saw(tdw_await(&op));
}

static void an_op_is_used_anew_with_completions_left(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};

    (void)state;
    run(uses_anew, &calm);
    assert_int_equal(nseen, 3);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 0);
}

/* ── What an entry points to is taken back as soon as it was submitted ─────────────────────── */

enum { ENTRIES = 13 };

struct given {
    char path[64], other[64], link[64], made[64];
    struct open_how how;
    struct iovec iov[2], sent[1], room[1];
    struct __kernel_timespec time, hour, update;
    char key[16], value[16];
    struct msghdr header;
    struct sockaddr_un name;
    struct epoll_event event;
};

static void takes_back(void *unused)
{
    static char text[] = "0123456789", read[16];
    struct given *given = tdw_malloc(sizeof(*given));
    const int file = tdw_openat(AT_FDCWD, "/old", O_CREAT | O_RDWR, 0600);
    const int listener = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    const int client = tdw_sys_socket(AF_UNIX, SOCK_STREAM, 0);
    const int event = tdw_sys_eventfd(1, 0), epoll = tdw_sys_epoll_create1(0);
    struct io_uring_cqe *cqe;
    struct msghdr *header = tdw_malloc(sizeof(*header)); /* the program's own: it is written to */
    struct io_uring ring;
    int pair[2];

    (void)unused;
    *given = (struct given){
        .path = "/old",
        .other = "/new",
        .link = "/link",
        .made = "/made",
        .how = {.flags = O_CREAT | O_RDWR, .mode = 0640},
        .iov = {{text, 4}, {text + 4, 6}},
        .sent = {{text, 10}},
        .room = {{read, sizeof(read)}},
        .time = {0, 1000},
        .hour = {3600, 0},
        .update = {0, 1000},
        .key = "user.key",
        .value = "the value",
        .name = {.sun_family = AF_UNIX, .sun_path = "/socket"},
        .event = {.events = EPOLLIN, .data.u64 = 77},
    };
    given->header = (struct msghdr){.msg_iov = given->sent, .msg_iovlen = 1};
    *header = (struct msghdr){.msg_iov = given->room, .msg_iovlen = 1, .msg_flags = -1};
    tdw_sys_bind(listener, (struct sockaddr *)&given->name, sizeof(given->name));
    tdw_sys_listen(listener, 1);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    tdw_uring_queue_init(16, &ring, 0);

    io_uring_prep_writev(io_uring_get_sqe(&ring), file, given->iov, 2, 0);
    io_uring_prep_openat2(io_uring_get_sqe(&ring), AT_FDCWD, given->made, &given->how);
    io_uring_prep_renameat(io_uring_get_sqe(&ring), AT_FDCWD, given->path, AT_FDCWD, given->other,
                           0);
    io_uring_prep_mkdirat(io_uring_get_sqe(&ring), AT_FDCWD, given->link, 0755);
    io_uring_prep_timeout(io_uring_get_sqe(&ring), &given->time, 0, 0);
    io_uring_prep_sendmsg(io_uring_get_sqe(&ring), pair[0], &given->header, 0);
    io_uring_prep_connect(io_uring_get_sqe(&ring), client, (struct sockaddr *)&given->name,
                          sizeof(given->name));
    io_uring_prep_epoll_ctl(io_uring_get_sqe(&ring), epoll, event, EPOLL_CTL_ADD, &given->event);
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    io_uring_prep_recvmsg(io_uring_get_sqe(&ring), pair[1], header, 0);
    io_uring_prep_timeout(io_uring_get_sqe(&ring), &given->hour, 0, 0);
    io_uring_prep_timeout_update(io_uring_get_sqe(&ring), &given->update, ENTRIES - 3, 0);
    io_uring_prep_fsetxattr(io_uring_get_sqe(&ring), file, given->key, given->value, 0, 10);
    for (unsigned i = 0; i < ENTRIES; i++)
        ring.sq.sqes[i].user_data = i;
    saw(tdw_uring_submit(&ring));
    memset(given, 0x5a, sizeof(*given));
    tdw_free(given);
    for (int i = 0; i < ENTRIES; i++) {
        tdw_uring_wait_cqe(&ring, &cqe);
        seen[1 + cqe->user_data] = cqe->res;
        tdw_uring_cqe_seen(&ring, cqe);
    }
    nseen += ENTRIES;
    tdw_uring_queue_exit(&ring);
    saw(memcmp(read, text, 10) || header->msg_flags != 0);
    saw(tdw_fgetxattr(file, "user.key", read, sizeof(read)));
    saw(strcmp(read, "the value"));
    saw(tdw_pread(file, read, sizeof(read), 0));
    saw(memcmp(read, text, 10));
    saw(tdw_openat(AT_FDCWD, "/new", O_RDONLY, 0) > 0);
    tdw_epoll_wait(epoll, &(struct epoll_event){.events = 0}, 1, UINT64_MAX);
}

static void what_an_entry_points_to_may_be_taken_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        const struct tdw_world_options options = {
            .seed = seed, .strategy = TDW_RANDOM, .schedule = seed & 1 ? TDW_ADVERSARY : TDW_TIMED};

        struct tdw_digest before;
        void *elsewhere;

        run(takes_back, &options);
        before = digest;
        elsewhere = malloc(1000 + 64 * seed); /* what is pointed to is no part of a digest */
        run(takes_back, &options);
        free(elsewhere);
        assert_true(tdw_digest_equal(before, digest));
        assert_int_equal(nseen, 20);
        assert_int_equal(seen[0], ENTRIES);
        assert_int_equal(seen[1], 10);
        assert_true(seen[2] > 0);
        assert_int_equal(seen[3], 0);
        assert_int_equal(seen[4], 0);
        assert_int_equal(seen[5], -ETIME);
        assert_int_equal(seen[6], 10);
        for (unsigned i = 7; i < 10; i++)
            assert_int_equal(seen[i], 0);
        assert_int_equal(seen[10], 10);
        assert_int_equal(seen[11], -ETIME);
        assert_int_equal(seen[12], 0);
        assert_int_equal(seen[13], 0);
        assert_int_equal(seen[14], 0);
        assert_int_equal(seen[15], 10);
        assert_int_equal(seen[16], 0);
        assert_int_equal(seen[17], 10);
        assert_int_equal(seen[18], 0);
        assert_int_equal(seen[19], 1);
    }
}

/* ── A refused entry ends its batch ────────────────────────────────────────────────────────── */

static unsigned batch_flags;

static void batches(void *unused)
{
    struct io_uring_cqe *cqe;
    struct io_uring ring;

    (void)unused;
    saw(tdw_uring_queue_init(8, &ring, batch_flags));
    for (unsigned i = 0; i < 4; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

        io_uring_prep_nop(sqe);
        sqe->user_data = i;
        if (i == 1)
            sqe->flags = 1 << 7; /* no flag of any kernel's */
    }
    saw(tdw_uring_submit(&ring));
    saw(tdw_uring_submit(&ring));
    for (int i = 0; i < 4; i++) {
        tdw_uring_wait_cqe(&ring, &cqe);
        seen[nseen + cqe->user_data] = cqe->res;
        tdw_uring_cqe_seen(&ring, cqe);
    }
    nseen += 4;
    tdw_uring_queue_exit(&ring);
}

static void a_refused_entry_ends_its_batch(void **state)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};
    const int64_t first[] = {0, 2, 2, 0, -EINVAL, 0, 0}, all[] = {0, 4, 0, 0, -EINVAL, 0, 0};

    (void)state;
    batch_flags = 0;
    run(batches, &calm);
    assert_memory_equal(seen, first, sizeof first);
    batch_flags = IORING_SETUP_SUBMIT_ALL;
    run(batches, &calm);
    assert_memory_equal(seen, all, sizeof all);
}

int tests_uring(void)
{
#define TEST(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        TEST(a_ring_ends_with_its_process),
        TEST(a_wait_may_tie_with_what_it_waits_for),
        TEST(an_op_is_used_anew_with_completions_left),
        TEST(what_an_entry_points_to_may_be_taken_back),
        TEST(a_refused_entry_ends_its_batch),
    };
#undef TEST

    return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
