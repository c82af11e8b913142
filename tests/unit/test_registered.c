/* SPDX-License-Identifier: MIT */
/*
 * Registered files and buffers, direct descriptors and provided buffers on a world: what lasts
 * longer than one call. How each call answers is compared with a real ring in test_files_ring.c.
 */
#include "tests.h"
#include <fcntl.h>
#include <stdlib.h>
#include <tidewheel/register.h>

static int seen[16];
static unsigned flags[4];
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
    body_to_run = body;
    assert_int_equal(tdw_test_run(&calm, body_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
}

/* A read of the registered file in `slot`. */
static int read_slot(int slot, void *to, unsigned bytes)
{
    struct tdw_op op = {0};

    tdw_prep_pread(&op, slot, to, bytes, 0);
    op.sqe.flags = IOSQE_FIXED_FILE;
    op.done = tdw__go_done;
    return tdw_submit(&op) < 0 ? -1 : tdw_await(&op);
}

static void keeps_files_open(void *unused)
{
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);
    char byte = 'x';

    (void)unused;
    tdw_write(fd, &byte, 1);
    seen[0] = tdw_ring_register_files(&fd, 1);
    tdw_close(fd);
    tdw_unlink("f");
    byte = 0;
    seen[1] = read_slot(0, &byte, 1);
    seen[2] = byte;
    seen[3] = tdw_ring_unregister_files();
    seen[4] = read_slot(0, &byte, 1);
}

static void a_registered_file_stays_open_without_its_descriptor(void **state)
{
    (void)state;
    run(keeps_files_open);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 'x');
    assert_int_equal(seen[3], 0);
    assert_int_equal(seen[4], -EBADF);
}

static void slot_emptied_in_flight(void *unused)
{
    struct tdw_op read = {0};
    int fds[2], none = -1;
    char byte = 0;

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_ring_register_files(fds, 2);
    tdw_prep_pread(&read, 0, &byte, 1, 0);
    read.sqe.flags = IOSQE_FIXED_FILE;
    read.done = tdw__go_done;
    tdw_submit(&read);
    tdw_close(fds[0]);
    seen[0] = tdw_files_update(&none, 1, 0);
    seen[1] = tdw_write(fds[1], "y", 1);
    seen[2] = tdw_await(&read);
    seen[3] = byte;
}

static void an_op_in_flight_keeps_the_file_of_its_slot(void **state)
{
    (void)state;
    run(slot_emptied_in_flight);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 1);
    assert_int_equal(seen[3], 'y');
}

static void opens_direct(void *unused)
{
    char byte = 0;

    (void)unused;
    seen[0] = tdw_open_direct("f", O_CREAT | O_RDWR, 0600, 0);
    tdw_ring_register_files_sparse(3);
    seen[1] = tdw_open_direct("f", O_CREAT | O_RDWR, 0600, 1);
    seen[2] = tdw_open_direct("f", O_RDONLY, 0, IORING_FILE_INDEX_ALLOC);
    seen[3] = tdw_open("f", O_RDONLY, 0); /* the lowest free descriptor: none was used */
    seen[4] = read_slot(1, &byte, 1);
    seen[5] = tdw_close_direct(1);
    seen[6] = read_slot(1, &byte, 1);
    seen[7] = tdw_open_direct("g", O_RDONLY | O_CLOEXEC, 0, 1);
}

static void direct_descriptors_are_slots_and_nothing_else(void **state)
{
    (void)state;
    run(opens_direct);
    assert_int_equal(seen[0], -ENXIO);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], 2);
    assert_int_equal(seen[3], 3);
    assert_int_equal(seen[4], 0);
    assert_int_equal(seen[5], 0);
    assert_int_equal(seen[6], -EBADF);
    assert_int_equal(seen[7], -EINVAL);
}

/* ── Fixed buffers ─────────────────────────────────────────────────────────────────────────── */

static void fixed_buffers(void *unused)
{
    static char memory[4096];
    const struct iovec buffer = {memory, sizeof memory};
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);
    struct tdw_op op = {0};

    (void)unused;
    memcpy(memory, "abcd", 4);
    seen[0] = tdw_ring_register_buffers(&buffer, 1);
    seen[1] = tdw_write_fixed(fd, memory, 4, 0, 0);
    TDW_GO(&op, read_fixed, fd, memory + 100, 4, 0, 0);
    seen[2] = tdw_ring_unregister_buffers(); /* the op was checked at its start */
    seen[3] = tdw_await(&op);
    seen[4] = memcmp(memory, memory + 100, 4);
    seen[5] = tdw_read_fixed(fd, memory, 4, 0, 0);
}

static void fixed_buffers_carry_bytes_and_may_go_while_in_use(void **state)
{
    (void)state;
    run(fixed_buffers);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 4);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[3], 4);
    assert_int_equal(seen[4], 0);
    assert_int_equal(seen[5], -EFAULT);
}

/* ── Provided buffers ──────────────────────────────────────────────────────────────────────── */

static char pool[4][8];

static void reads_into_picked(void *unused)
{
    struct tdw_op read[3] = {{.res = 0}}, cancel = {0};
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    seen[0] = tdw_provide_buffers(pool, 8, 3, 5, 40);
    for (int i = 0; i < 3; i++)
        TDW_GO(&read[i], read_select, fds[0], 0, 0, 5);
    seen[1] = tdw_read_select(fds[0], 0, 0, 5); /* all are taken, though nothing has come */
    TDW_GO(&cancel, cancel, &read[0]);
    tdw_await(&cancel);
    seen[2] = tdw_await(&read[0]);
    flags[0] = read[0].flags;
    tdw_write(fds[1], "0123456789ab", 12);
    seen[3] = tdw_await(&read[1]);
    seen[4] = tdw_await(&read[2]);
    flags[1] = read[1].flags;
    flags[2] = read[2].flags;
}

static void a_buffer_of_a_list_is_taken_at_the_start_of_a_read(void **state)
{
    (void)state;
    run(reads_into_picked);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], -ENOBUFS);
    assert_int_equal(seen[2], -ECANCELED);
    assert_int_equal(flags[0], IORING_CQE_F_BUFFER | 40 << 16);
    assert_int_equal(seen[3] + seen[4], 12);
    assert_int_equal(flags[1], IORING_CQE_F_BUFFER | 41 << 16);
    assert_int_equal(flags[2], IORING_CQE_F_BUFFER | 42 << 16);
    assert_memory_equal(pool[1], "01234567", 8);
    assert_memory_equal(pool[2], "89ab", 4);
}

static void selects_in_a_chain(void *unused)
{
    struct tdw_op ops[3] = {{.res = 0}};
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);

    (void)unused;
    tdw_write(fd, "0123456789ab", 12);
    tdw_provide_buffers(pool, 8, 2, 5, 40);
    TDW_GO_LINKED(&ops[0], read_select, fd, 0, 0, 5); /* the whole buffer */
    TDW_GO_LINKED(&ops[1], read_select, fd, 0, 8, 5); /* half of it */
    TDW_GO(&ops[2], nop);
    for (int i = 0; i < 3; i++)
        seen[i] = tdw_await(&ops[i]);
}

static void a_chain_goes_on_when_the_picked_buffer_is_full(void **state)
{
    (void)state;
    run(selects_in_a_chain);
    assert_int_equal(seen[0], 8);
    assert_int_equal(seen[1], 4);
    assert_int_equal(seen[2], -ECANCELED);
}

static void ring_of_buffers(void *unused)
{
    struct io_uring_buf_ring *ring = aligned_alloc(4096, 4096);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)ring, .ring_entries = 4, .bgid = 1};
    struct tdw_op read[2] = {{.res = 0}};
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    memset(ring, 0, 4096);
    io_uring_buf_ring_init(ring);
    seen[0] = tdw_ring_register_buf_ring(&reg, TDW_BUF_RING_INC);
    io_uring_buf_ring_add(ring, pool[3], 8, 9, io_uring_buf_ring_mask(4), 0);
    io_uring_buf_ring_advance(ring, 1);
    TDW_GO(&read[0], read_select, fds[0], 0, 0, 1);
    TDW_GO(&read[1], read_select, fds[0], 0, 0, 1); /* of the same: it is taken with the data */
    tdw_write(fds[1], "abc", 3);
    seen[1] = tdw_await(&read[0]);
    flags[0] = read[0].flags;
    tdw_write(fds[1], "defghij", 7);
    seen[2] = tdw_await(&read[1]);
    flags[1] = read[1].flags;
    seen[3] = tdw_read_select(fds[0], 0, 0, 1);
    seen[4] = tdw_ring_unregister_buf_ring(1);
    free(ring);
}

static void a_buffer_of_a_ring_is_used_up_piece_by_piece(void **state)
{
    (void)state;
    run(ring_of_buffers);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 3);
    assert_int_equal(flags[0], IORING_CQE_F_BUFFER | TDW_CQE_F_BUF_MORE | 9 << 16);
    assert_int_equal(seen[2], 5);
    assert_int_equal(flags[1], IORING_CQE_F_BUFFER | 9 << 16);
    assert_memory_equal(pool[3], "abcdefgh", 8);
    assert_int_equal(seen[3], -ENOBUFS);
    assert_int_equal(seen[4], 0);
}

/* ── The end of a process ──────────────────────────────────────────────────────────────────── */

static void holder(void *unused)
{
    (void)unused;
    tdw_ring_register_files_sparse(4);
    seen[0] = tdw_open_direct("f", O_CREAT | O_RDWR, 0600, 0);
    tdw_provide_buffers(pool, 8, 3, 5, 40);
    seen[1]++;
    tdw_sleep(1000000000);
}

static void holder_main(void *unused)
{
    tdw_spawn_stackful("holder", holder, unused);
}

static void crashes_a_holder(void *unused)
{
    struct tdw_host *host = tdw_host("other", holder_main, unused);

    seen[1] = 0;
    for (int i = 0; i < 2; i++) {
        seen[2 + i] = tdw_host_boot(host);
        tdw_sleep(100000000);
        seen[4 + i] = tdw_host_crash(host); /* asserts that no file of its disk is open */
    }
}

static void what_is_registered_goes_with_the_process(void **state)
{
    (void)state;
    run(crashes_a_holder);
    for (int i = 2; i < 6; i++)
        assert_int_equal(seen[i], 0);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 2);
}

int tests_registered(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registered_file_stays_open_without_its_descriptor),
        cmocka_unit_test(an_op_in_flight_keeps_the_file_of_its_slot),
        cmocka_unit_test(direct_descriptors_are_slots_and_nothing_else),
        cmocka_unit_test(fixed_buffers_carry_bytes_and_may_go_while_in_use),
        cmocka_unit_test(a_buffer_of_a_list_is_taken_at_the_start_of_a_read),
        cmocka_unit_test(a_chain_goes_on_when_the_picked_buffer_is_full),
        cmocka_unit_test(a_buffer_of_a_ring_is_used_up_piece_by_piece),
        cmocka_unit_test(what_is_registered_goes_with_the_process),
    };

    return cmocka_run_group_tests_name("registered", tests, NULL, NULL);
}
