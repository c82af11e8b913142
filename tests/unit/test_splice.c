/* SPDX-License-Identifier: MIT */
/*
 * Bytes that move without passing through the program, on a world: what SPLICE, TEE, SENDFILE and
 * COPY_FILE_RANGE wait for, and what a chain makes of them. Their answers are compared with the
 * real kernel's in test_files_ring.c.
 */
#include "tests.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <tidewheel/net.h>
#include <tidewheel/sys.h>

static int seen[16];
static char bytes[16];
static const struct tdw_world_options calm = {.strategy = TDW_CALM, .watch_buffers = true};

static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

static void run(void (*body)(void *))
{
    struct tdw_after after;

    memset(seen, 0x55, sizeof seen);
    memset(bytes, 0, sizeof bytes);
    body_to_run = body;
    assert_int_equal(tdw_test_run(&calm, body_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
}

static void waits_for_both_ends(void *unused)
{
    struct tdw_op op = {0}, cancel = {0};
    int in[2], out[2];
    char page[4096] = {0};

    (void)unused;
    tdw_sys_pipe2(in, 0);
    tdw_sys_pipe2(out, 0);
    seen[0] = tdw_sys_fcntl(out[1], F_SETPIPE_SZ, 4096);
    tdw_write(out[1], page, 4096);
    TDW_GO(&op, splice, in[0], -1, out[1], -1, 8, 0); /* nothing to take, no room */
    tdw_sleep(1000000);
    seen[1] = tdw_op_idle(&op);
    tdw_write(in[1], "abcdefgh", 8);
    tdw_sleep(1000000);
    seen[2] = tdw_op_idle(&op);
    tdw_read(out[0], page, 4096);
    seen[3] = tdw_await(&op);
    seen[4] = tdw_read(out[0], bytes, 16);
    TDW_GO(&op, splice, in[0], -1, out[1], -1, 8, 0);
    tdw_prep_cancel(&cancel, &op);
    cancel.done = tdw__go_done;
    tdw_submit(&cancel);
    seen[5] = tdw_await(&op);
    seen[6] = tdw_await(&cancel);
}

static void a_splice_waits_for_bytes_and_then_for_room(void **state)
{
    (void)state;
    run(waits_for_both_ends);
    assert_int_equal(seen[0], 4096);
    assert_false(seen[1]);
    assert_false(seen[2]);
    assert_int_equal(seen[3], 8);
    assert_int_equal(seen[4], 8);
    assert_memory_equal(bytes, "abcdefgh", 8);
    assert_int_equal(seen[5], -ECANCELED);
    assert_int_equal(seen[6], 0);
}

static void cancelled_behind_another(void *unused)
{
    struct tdw_op op = {0}, cancel = {0};
    int in[2], out[2];
    char page[4096] = {0};

    (void)unused;
    tdw_sys_pipe2(in, 0);
    tdw_sys_pipe2(out, 0);
    tdw_sys_fcntl(out[1], F_SETPIPE_SZ, 4096);
    tdw_write(out[1], page, 4096);
    tdw_write(in[1], "abc", 3);
    TDW_GO(&op, splice, in[0], -1, out[1], -1, 8, 0); /* for room */
    tdw_sleep(1000000);
    seen[0] = tdw_read(in[0], bytes, 16); /* now there is nothing to take either */
    TDW_GO(&cancel, cancel, &op);
    seen[1] = tdw_await(&cancel);
    seen[2] = tdw_await(&op);
}

static void a_splice_is_cancelled_in_the_queue_where_it_stands(void **state)
{
    (void)state;
    run(cancelled_behind_another);
    assert_int_equal(seen[0], 3);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], -ECANCELED);
}

static void tees_and_splices(void *unused)
{
    int in[2], out[2];

    (void)unused;
    tdw_sys_pipe2(in, 0);
    tdw_sys_pipe2(out, 0);
    tdw_write(in[1], "abcdef", 6);
    seen[0] = tdw_tee(in[0], out[1], 4, 0);
    tdw_write(out[1], "XY", 2); /* not into the block that both have */
    seen[1] = tdw_read(in[0], bytes, 8);
    seen[2] = tdw_read(out[0], bytes + 8, 8);
}

static void what_is_teed_stays_where_it_was(void **state)
{
    (void)state;
    run(tees_and_splices);
    assert_int_equal(seen[0], 4);
    assert_int_equal(seen[1], 6);
    assert_int_equal(seen[2], 6);
    assert_memory_equal(bytes, "abcdef\0\0abcdXY", 14);
}

static void copies(void *unused)
{
    const int in = tdw_open("in", O_CREAT | O_RDWR, 0600);
    const int out = tdw_open("out", O_CREAT | O_RDWR, 0600);
    off_t from = 2, to = 1;

    (void)unused;
    tdw_write(in, "0123456789", 10);
    seen[0] = tdw_sendfile(out, in, &from, 100);
    seen[1] = (int)from;
    seen[2] = (int)tdw_sys_lseek(out, 0, SEEK_CUR);
    from = 0;
    seen[3] = tdw_copy_file_range(in, &from, out, &to, 3, 0);
    seen[4] = (int)to;
    seen[5] = tdw_pread(out, bytes, 16, 0);
}

static void copies_move_the_offsets_they_were_given(void **state)
{
    (void)state;
    run(copies);
    assert_int_equal(seen[0], 8);
    assert_int_equal(seen[1], 10);
    assert_int_equal(seen[2], 8);
    assert_int_equal(seen[3], 3);
    assert_int_equal(seen[4], 4);
    assert_int_equal(seen[5], 8);
    assert_memory_equal(bytes, "20126789", 8);
}

static void short_in_a_chain(void *unused)
{
    struct tdw_op ops[2] = {{.res = 0}};
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_write(fds[1], "abc", 3);
    TDW_GO_LINKED(&ops[0], splice, fds[0], -1, tdw_open("f", O_CREAT | O_RDWR, 0600), -1, 8, 0);
    TDW_GO(&ops[1], nop);
    seen[0] = tdw_await(&ops[0]);
    seen[1] = tdw_await(&ops[1]);
}

static void a_short_splice_ends_its_chain(void **state)
{
    (void)state;
    run(short_in_a_chain);
    assert_int_equal(seen[0], 3);
    assert_int_equal(seen[1], -ECANCELED);
}

/* ── Sockets ───────────────────────────────────────────────────────────────────────────────── */

enum { MUCH = 1000000 };
static unsigned char much[MUCH];
static int got;

static void reads_all(void *fd)
{
    int n;

    got = 0;
    while ((n = tdw_read((int)(intptr_t)fd, much + got, (unsigned)(MUCH - got))) > 0)
        got += n;
}

static void sends_a_file(void *unused)
{
    const int file = tdw_open("f", O_CREAT | O_RDWR, 0600);
    struct tdw_task *reader;
    int fds[2];

    (void)unused;
    for (int i = 0; i < MUCH; i++)
        much[i] = (unsigned char)(i % 251);
    tdw_write(file, much, MUCH);
    memset(much, 0, MUCH);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    reader = tdw_spawn_stackful("reader", reads_all, (void *)(intptr_t)fds[1]);
    tdw_sys_lseek(file, 0, SEEK_SET);
    seen[0] = tdw_sendfile(fds[0], file, NULL, MUCH);
    seen[1] = (int)tdw_sys_lseek(file, 0, SEEK_CUR);
    tdw_close(fds[0]);
    tdw_join(reader);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    tdw_sys_lseek(file, 0, SEEK_SET);
    seen[2] = tdw_sendfile(fds[0], file, NULL, MUCH); /* nobody reads */
    seen[3] = tdw_sendfile(fds[0], file, NULL, MUCH);
}

static void a_file_is_sent_whole_unless_its_socket_does_not_wait(void **state)
{
    (void)state;
    run(sends_a_file);
    assert_int_equal(seen[0], MUCH);
    assert_int_equal(seen[1], MUCH);
    assert_int_equal(got, MUCH);
    for (int i = 0; i < MUCH; i++)
        if (much[i] != i % 251)
            fail();
    assert_in_range(seen[2], 1, MUCH - 1);
    assert_int_equal(seen[3], -EAGAIN);
}

static void relays(void *unused)
{
    int in[2], out[2], pipe[2];
    struct tdw_op op = {0};

    (void)unused;
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, in);
    tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, out);
    tdw_sys_pipe2(pipe, 0);
    TDW_GO(&op, splice, in[1], -1, pipe[1], -1, 100, 0);
    tdw_sleep(1000000);
    seen[0] = tdw_op_idle(&op);
    tdw_write(in[0], "relayed", 7);
    seen[1] = tdw_await(&op);
    seen[2] = tdw_splice(pipe[0], -1, out[0], -1, 100, 0);
    seen[3] = tdw_read(out[1], bytes, 16);
    seen[4] = tdw_splice(in[1], 0, pipe[1], -1, 100, 0);
    tdw_close(in[0]);
    seen[5] = tdw_splice(in[1], -1, pipe[1], -1, 100, 0);
}

static void a_pipe_joins_two_sockets(void **state)
{
    (void)state;
    run(relays);
    assert_false(seen[0]);
    assert_int_equal(seen[1], 7);
    assert_int_equal(seen[2], 7);
    assert_int_equal(seen[3], 7);
    assert_memory_equal(bytes, "relayed", 7);
    assert_int_equal(seen[4], -EINVAL);
    assert_int_equal(seen[5], 0);
}

int tests_splice(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_splice_waits_for_bytes_and_then_for_room),
        cmocka_unit_test(a_splice_is_cancelled_in_the_queue_where_it_stands),
        cmocka_unit_test(what_is_teed_stays_where_it_was),
        cmocka_unit_test(copies_move_the_offsets_they_were_given),
        cmocka_unit_test(a_short_splice_ends_its_chain),
        cmocka_unit_test(a_file_is_sent_whole_unless_its_socket_does_not_wait),
        cmocka_unit_test(a_pipe_joins_two_sockets),
    };

    return cmocka_run_group_tests_name("splice", tests, NULL, NULL);
}
