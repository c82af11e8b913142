/* SPDX-License-Identifier: MIT */
/*
 * Short ops with vectors and messages: on the simulated kernel and on both real ones they move the
 * first bytes of what they were asked to, and leave the program's vectors and headers as they were.
 */
#include "backends.h"
#include <string.h>
#include <tidewheel/fault.h>
#include <tidewheel/process.h>
#include <tidewheel/stackless.h>
#include <tidewheel/world.h>

int tests_short(void);

static char digits[] = "0123456789";
static struct iovec ten[] = {{digits, 2}, {digits, 0}, {digits + 2, 4}, {digits + 6, 4}};
static struct tdw_rule_count counts[4];

static void run_on(const struct tdw_plan *plan, struct tdw_loop *loop, struct tdw_world *world)
{
    struct tdw_faults *faults = tdw_plan_apply(plan, loop, counts);

    assert_non_null(faults);
    if (world) {
        assert_int_equal(tdw_world_run(world, body_main, NULL), 0);
    } else {
        assert_int_equal(tdw_loop_start(loop, body_main, NULL), 0);
        assert_int_equal(tdw_loop_run(loop), 0);
    }
    assert_int_equal(loop->findings, 0);
    tdw_faults_end(faults);
}

/* The body under the plan, on every kernel. */
static void under(const char *text, void (*body)(void *), void (*judge)(void))
{
    for (int backend = 0; backend < 3; backend++) {
        const struct tdw_world_options world_options = {.strategy = TDW_RANDOM,
                                                        .watch_buffers = true};
        const struct tdw_loop_options loop_options = {.backend = backend == 1 ? TDW_BACKEND_URING
                                                                              : TDW_BACKEND_EPOLL};
        struct tdw_world *world = backend == 0 ? tdw_world_new(&world_options) : NULL;
        struct tdw_loop *loop = world ? tdw_world_loop(world) : NULL;
        struct tdw_plan *plan;

        for (int i = 0; i < SEEN; i++)
            seen[i] = NOT_SEEN;
        memset(counts, 0, sizeof counts);
        body_to_run = body;
        assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
        if (!world)
            assert_int_equal(tdw_loop_open(&loop, &loop_options), 0);
        run_on(plan, loop, world);
        if (world)
            tdw_world_free(world);
        else
            tdw_loop_close(loop);
        tdw_plan_free(plan);
        judge();
    }
}

/* ── Vectors ───────────────────────────────────────────────────────────────────────────────── */

static void vectors(void *unused)
{
    const int fd = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    char a[4] = "----", b[8] = "--------";
    const struct iovec to[] = {{a, 3}, {b, 7}};
    struct tdw_op op = {.res = 0};

    (void)unused;
    TDW_GO(&op, pwritev, fd, ten, 4, 0);
    seen[0] = tdw_await(&op);
    seen[1] = op.sqe.addr == (uintptr_t)ten && op.sqe.len == 4;
    seen[2] = tdw_pread(fd, a, 4, 0) == 4 && memcmp(a, "0123", 4) == 0;
    seen[3] = tdw_pread(fd, b, 8, 0);
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[4] = tdw_await(&op);
    memset(a, '-', sizeof a);
    memset(b, '-', sizeof b);
    seen[5] = tdw_preadv(fd, to, 2, 0);
    seen[6] = memcmp(a, "012-", 4) == 0 && memcmp(b, "3-------", 8) == 0;
    seen[7] = tdw_preadv(fd, to, 2, 0);
    seen[8] = to[1].iov_len == 7 && memcmp(b, "3456789-", 8) == 0;
    tdw_close(fd);
    tdw_unlink("file");
}

static void vectors_judge(void)
{
    SAW(5, 1, 1, 5, 10, 4, 1, 10, 1);
    assert_int_equal(counts[0].fires, 1);
    assert_int_equal(counts[1].fires, 1);
}

static void vectors_are_moved_in_part_and_stay_as_they_were(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/writev/short, once: true, match: {size: 10}, action: {short: "
          "5}}, {point: tdw/op/readv/short, once: true, action: {short: 4}}]",
          vectors, vectors_judge);
}

/* Short, shorter, and as it was. */
static void twice_judge(void)
{
    SAW(5, 1, 1, 5, 10);
    assert_int_equal(counts[1].fires, 1);
}

static void two_rules_shorten_one_op(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/writev/short, once: true, action: {short: 7}}, {point: "
          "tdw/op/writev/short, once: true, action: {short: 5}}]",
          vectors, twice_judge);
}

/* One that waits, and is taken back: its copy goes, and its entry is whole again. */
static void cancelled(void *unused)
{
    char a[4], b[4];
    const struct iovec to[] = {{a, 4}, {b, 4}};
    struct tdw_op op = {.res = 0};
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    TDW_GO(&op, preadv, fds[0], to, 2, (uint64_t)-1);
    tdw_cancel(&op);
    seen[0] = tdw_await(&op);
    seen[1] = op.sqe.addr == (uintptr_t)to && op.sqe.len == 2;
    tdw_write(fds[1], "0123456789", 10);
    seen[2] = tdw_preadv(fds[0], to, 2, (uint64_t)-1);
    seen[3] = tdw_preadv(fds[0], NULL, 0, (uint64_t)-1);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void cancelled_judge(void)
{
    SAW(-ECANCELED, 1, 5, 0);
}

static void a_cancelled_short_op_is_whole_again(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/readv/short, action: {short: 5}}]", cancelled, cancelled_judge);
}

/* ── Messages ──────────────────────────────────────────────────────────────────────────────── */

static void messages(void *unused)
{
    char a[4] = "----", control[64];
    struct iovec to[] = {{a, 4}};
    const struct msghdr out = {.msg_iov = ten, .msg_iovlen = 4};
    struct msghdr in = {.msg_iov = to,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof control,
                        .msg_flags = -1};
    int fds[2];

    (void)unused;
    seen[0] = tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    seen[1] = tdw_sendmsg(fds[0], &out, 0);
    seen[2] = tdw_sendmsg(fds[0], &out, 0);
    seen[3] = tdw_recvmsg(fds[1], &in, 0);
    seen[4] = in.msg_iov == to && in.msg_iovlen == 1 && to[0].iov_len == 4;
    seen[5] = in.msg_flags == 0 && in.msg_controllen == 0;
    seen[6] = memcmp(a, "012", 3) == 0;
    seen[7] = ten[2].iov_len == 4 && out.msg_iovlen == 4;
    tdw_close(fds[0]);
    tdw_close(fds[1]);

    tdw_sys_socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
    seen[8] = tdw_sendmsg(fds[0], &out, 0);
    seen[9] = tdw_recvmsg(fds[1], &in, 0);
    seen[10] = in.msg_flags & MSG_TRUNC;
    seen[11] = tdw_send(fds[0], "0123", 4, 0);
    seen[12] = tdw_recv(fds[1], a, 4, 0);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void messages_judge(void)
{
    SAW(0, 3, 3, 3, 1, 1, 1, 1, 10, 4, MSG_TRUNC, 4, 4);
    assert_int_equal(counts[0].fires, 3);
}

static void messages_of_a_stream_are_moved_in_part(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/sendmsg/short, action: {short: 3}}, {point: "
          "tdw/op/recvmsg/short, action: {short: 3}}, {point: tdw/op/send/short, match: {size: "
          "4}}]",
          messages, messages_judge);
}

/* ── Models ────────────────────────────────────────────────────────────────────────────────── */

static int pipes[3][2];

static void wrote(struct tdw_op *op)
{
    seen[0] = op->res;
    seen[1] = op->sqe.addr == (uintptr_t)ten && op->sqe.len == 4;
}

struct writer {
    struct tdw_frame frame;
    int res;
};

TDW_CO(stackless_writer)
{
    TDW_BEGIN(struct writer, me);
    TDW_AWAIT(me->res, pwritev, pipes[1][1], ten, 4, (uint64_t)-1);
    seen[2] = me->res;
    TDW_RETURN(0);
    TDW_END;
}

static void in_models(void *unused)
{
    static struct tdw_op op;

    (void)unused;
    for (int i = 0; i < 3; i++)
        tdw_sys_pipe2(pipes[i], 0);
    op = (struct tdw_op){.res = 0};
    TDW_ON(&op, wrote, pwritev, pipes[0][1], ten, 4, (uint64_t)-1);
    tdw_join(TDW_SPAWN("less", stackless_writer, struct writer));
    seen[3] = tdw_pwritev(pipes[2][1], ten, 4, (uint64_t)-1);
    for (int i = 0; i < 3; i++) {
        char to[16];

        seen[4 + i] = tdw_read(pipes[i][0], to, sizeof to);
        tdw_close(pipes[i][0]);
        tdw_close(pipes[i][1]);
    }
}

static void in_models_judge(void)
{
    SAW(5, 1, 5, 5, 5, 5, 5);
}

static void every_model_sees_it(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/writev/short, action: {short: 5}}]", in_models, in_models_judge);
}

/* ── Kills ─────────────────────────────────────────────────────────────────────────────────── */

/* A process is killed while its short op waits, and another's op comes to lie where that was. */
static struct tdw_op shared;
static int other_end[2];

static void victim(void *unused)
{
    static char a[8];
    static const struct iovec to[] = {{a, 8}};

    (void)unused;
    tdw_sys_pipe2(other_end, 0);
    shared = (struct tdw_op){.res = 0};
    TDW_ON(&shared, wrote, preadv, other_end[0], to, 1, (uint64_t)-1);
}

static void kills(void *unused)
{
    const int pid = tdw_proc_spawn("victim", victim, NULL);

    (void)unused;
    tdw_sleep(MS);
    seen[2] = tdw_proc_kill(pid);
    shared = (struct tdw_op){.res = 0};
    TDW_GO(&shared, sleep, MS);
    seen[3] = tdw_await(&shared);
    seen[4] = shared.sqe.len;
}

static void a_killed_op_is_not_put_back(void **state)
{
    static const char text[] = "rules: [{point: tdw/op/readv/short, action: {short: 5}}]";
    const struct tdw_world_options calm = {.strategy = TDW_CALM};
    struct tdw_world *world = tdw_world_new(&calm);
    struct tdw_plan *plan;

    (void)state;
    body_to_run = kills;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    run_on(plan, tdw_world_loop(world), world);
    tdw_world_free(world);
    tdw_plan_free(plan);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[4], 1);
}

int tests_short(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(vectors_are_moved_in_part_and_stay_as_they_were),
        TEST(two_rules_shorten_one_op),
        TEST(a_cancelled_short_op_is_whole_again),
        TEST(messages_of_a_stream_are_moved_in_part),
        TEST(every_model_sees_it),
        TEST(a_killed_op_is_not_put_back),
    };

    return cmocka_run_group_tests_name("short", tests, NULL, NULL);
}
