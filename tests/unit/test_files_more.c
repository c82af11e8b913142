/* SPDX-License-Identifier: MIT */
/*
 * Files on a world, beyond what one call answers: attributes after a power cut, FIFOs whose opens
 * wait for each other, messages between rings, roots, and what fsync covers.
 */
#include "tests.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <tidewheel/process.h>
#include <tidewheel/sys.h>

static int seen[24];
static char bytes[64];
static const struct tdw_world_options calm = {.strategy = TDW_CALM, .watch_buffers = true};

static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}

static void run_with(const struct tdw_world_options *options, void (*body)(void *))
{
    struct tdw_after after;

    memset(seen, 0x55, sizeof seen);
    memset(bytes, 0, sizeof bytes);
    body_to_run = body;
    assert_int_equal(tdw_test_run(options, body_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
}

static void run(void (*body)(void *))
{
    run_with(&calm, body);
}

/* ── Extended attributes ───────────────────────────────────────────────────────────────────── */

static int boots;

static int value_of(const char *path, const char *name)
{
    char value[16] = {0};
    const int n = tdw_getxattr(path, name, value, sizeof value);

    return n < 0 ? n : value[0];
}

static void writes_and_dies(void *unused)
{
    (void)unused;
    if (boots++ == 0) {
        const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);
        const int dir = tdw_open("/", O_RDONLY | O_DIRECTORY, 0);

        tdw_fsetxattr(fd, "user.kept", "1", 1, 0);
        tdw_fsync(fd);
        tdw_fsync(dir);
        tdw_fsetxattr(fd, "user.kept", "2", 1, 0);
        tdw_fsetxattr(fd, "user.lost", "3", 1, 0);
        tdw_fdatasync(fd);
        seen[0] = value_of("f", "user.kept");
        seen[1] = value_of("f", "user.lost");
        tdw_sleep(1000000000000);
    }
    seen[2] = value_of("f", "user.kept");
    seen[3] = value_of("f", "user.lost");
    seen[4] = (int)tdw_sys_listxattr("f", bytes, sizeof bytes);
    seen[5] = tdw_sys_removexattr("f", "user.kept");
    seen[6] = tdw_sys_removexattr("f", "user.kept");
    seen[7] = (int)tdw_sys_listxattr("f", NULL, 0);
}

static void dying_main(void *unused)
{
    tdw_spawn_stackful("dying", writes_and_dies, unused);
}

static void crashes(void *unused)
{
    struct tdw_host *host = tdw_host("other", dying_main, unused);

    boots = 0;
    tdw_host_boot(host);
    tdw_sleep(1000000000);
    tdw_host_crash(host);
    tdw_host_boot(host);
    tdw_sleep(1000000000);
}

static void attributes_that_were_not_synced_go_with_the_power(void **state)
{
    (void)state;
    run(crashes);
    assert_int_equal(seen[0], '2');
    assert_int_equal(seen[1], '3');
    assert_int_equal(seen[2], '1');
    assert_int_equal(seen[3], -ENODATA);
    assert_int_equal(seen[4], 10);
    assert_string_equal(bytes, "user.kept");
    assert_int_equal(seen[5], 0);
    assert_int_equal(seen[6], -ENODATA);
    assert_int_equal(seen[7], 0);
}

/* ── FIFOs ─────────────────────────────────────────────────────────────────────────────────── */

static void writes_fifo(void *unused)
{
    int fd;

    (void)unused;
    tdw_sleep(1000000);
    seen[1] = fd = tdw_open("fifo", O_WRONLY, 0);
    tdw_write(fd, "through", 7);
    tdw_close(fd);
}

static void reads_fifo(void *unused)
{
    struct tdw_task *writer;
    struct stat stat;
    int fd;

    (void)unused, (void)stat;
    seen[0] = tdw_sys_mknod("fifo", S_IFIFO | 0600, 0);
    writer = tdw_spawn_stackful("writer", writes_fifo, NULL);
    fd = tdw_open("fifo", O_RDONLY, 0);
    seen[2] = tdw_now() >= 1000000;
    seen[3] = tdw_read(fd, bytes, sizeof bytes);
    seen[4] = tdw_read(fd, bytes + 32, 8); /* the writer has gone */
    tdw_join(writer);
    seen[5] = tdw_open("fifo", O_WRONLY | O_NONBLOCK, 0);
    seen[6] = tdw_sys_lseek(fd, 0, SEEK_SET);
    tdw_close(fd);
    tdw_close(seen[5]);
    seen[7] = tdw_open("fifo", O_WRONLY | O_NONBLOCK, 0);
    seen[8] = tdw_open("fifo", O_RDWR, 0);
    seen[9] = TDW_DO_WITHIN(1000, open, "fifo2", O_RDONLY, 0);
    tdw_sys_mknod("fifo2", S_IFIFO | 0600, 0);
    seen[10] = TDW_DO_WITHIN(1000000000, open, "fifo2", O_RDONLY, 0);
    seen[11] = tdw_open("fifo2", O_WRONLY | O_NONBLOCK, 0); /* the reader has given up */
}

static void a_fifo_opens_when_both_ends_are_there(void **state)
{
    (void)state;
    run(reads_fifo);
    assert_int_equal(seen[0], 0);
    assert_true(seen[1] > 0);
    assert_true(seen[2]);
    assert_int_equal(seen[3], 7);
    assert_memory_equal(bytes, "through", 7);
    assert_int_equal(seen[4], 0);
    assert_true(seen[5] > 0);
    assert_int_equal(seen[6], -ESPIPE);
    assert_int_equal(seen[7], -ENXIO);
    assert_true(seen[8] > 0);
    assert_int_equal(seen[9], -ENOENT);
    assert_int_equal(seen[10], -ETIME);
    assert_int_equal(seen[11], -ENXIO);
}

/* ── Messages between rings ────────────────────────────────────────────────────────────────── */

static void sends_to_itself(void *unused)
{
    struct tdw_ring_message message = {0};
    struct tdw_op wait = {0};
    const int ring = tdw_ring_fd();
    int none[1] = {-1};

    (void)unused;
    TDW_GO(&wait, ring_message, &message);
    tdw_sleep(1000000);
    seen[0] = tdw_op_idle(&wait);
    seen[1] = tdw_msg_ring(ring, 77, 0x123456789, 0);
    seen[2] = tdw_await(&wait);
    seen[3] = message.res;
    seen[4] = message.user_data == 0x123456789;
    seen[5] = tdw_msg_ring(0, 77, 1, 0); /* /dev/null is no ring */
    seen[6] = tdw_msg_ring_fd(ring, 0, 0, 1, 0);
    seen[7] = tdw_msg_ring(ring, 1, 2, IORING_MSG_RING_CQE_SKIP);
    seen[8] = tdw_ring_register_files(&ring, 1); /* would hold itself */
    seen[9] = tdw_ring_register_files(none, 1);
    seen[10] = tdw_poll(ring, POLLIN | POLLOUT);
    tdw_msg_ring(ring, 1, 2, 0);
    seen[11] = tdw_poll(ring, POLLIN | POLLOUT);
}

static void a_message_arrives_as_a_completion_would(void **state)
{
    (void)state;
    run(sends_to_itself);
    assert_false(seen[0]);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], 0);
    assert_int_equal(seen[3], 77);
    assert_true(seen[4]);
    assert_int_equal(seen[5], -EBADFD);
    assert_int_equal(seen[6], -EINVAL);
    assert_int_equal(seen[7], -EINVAL);
    assert_int_equal(seen[8], -EBADF);
    assert_int_equal(seen[9], 0);
    assert_int_equal(seen[10], POLLOUT);
    assert_int_equal(seen[11], POLLIN | POLLOUT);
}

static int parents_ring;

static void child_sends(void *unused)
{
    const int fd = tdw_open("from-child", O_CREAT | O_RDWR, 0600);

    (void)unused;
    tdw_write(fd, "child", 5);
    seen[0] = tdw_ring_register_files(&fd, 1);
    seen[1] = tdw_msg_ring(parents_ring, 5, 6, 0);
    seen[2] = tdw_msg_ring_fd(parents_ring, 0, IORING_FILE_INDEX_ALLOC, 7, 0);
    seen[3] = tdw_msg_ring_fd(parents_ring, 3, 0, 7, 0); /* an empty slot */
}

static void child_main(void *unused)
{
    tdw_spawn_stackful("sender", child_sends, unused);
}

static void receives_from_a_child(void *unused)
{
    struct tdw_ring_message messages[2] = {{0}, {0}};
    struct tdw_op read = {0};

    (void)unused;
    parents_ring = tdw_ring_fd();
    tdw_ring_register_files_sparse(4);
    tdw_proc_spawn("child", child_main, NULL);
    seen[4] = tdw_ring_message(&messages[0]);
    seen[5] = tdw_ring_message(&messages[1]);
    seen[6] = messages[0].res == 5 && messages[0].user_data == 6;
    seen[7] = messages[1].res == 0 && messages[1].user_data == 7;
    tdw_prep_pread(&read, 0, bytes, 8, 0);
    read.sqe.flags = IOSQE_FIXED_FILE;
    read.done = tdw__go_done;
    tdw_submit(&read);
    seen[8] = tdw_await(&read);
}

static void rings_of_processes_send_data_and_files(void **state)
{
    (void)state;
    run(receives_from_a_child);
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen[i], 0);
    assert_int_equal(seen[3], -EBADF);
    assert_int_equal(seen[4], 0);
    assert_int_equal(seen[5], 0);
    assert_true(seen[6]);
    assert_true(seen[7]);
    assert_int_equal(seen[8], 5);
    assert_memory_equal(bytes, "child", 5);
}

/* ── Roots, advice ─────────────────────────────────────────────────────────────────────────── */

static void changes_root(void *unused)
{
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
    int jail;

    (void)unused;
    tdw_mkdir("/jail", 0755);
    tdw_close(tdw_open("/outside", O_CREAT | O_WRONLY, 0600));
    tdw_close(tdw_open("/jail/inside", O_CREAT | O_WRONLY, 0600));
    jail = tdw_open("/jail", O_PATH, 0);
    seen[0] = tdw_openat2(jail, "/inside", &how) > 0;
    seen[1] = tdw_openat2(jail, "/../../outside", &how);
    how.resolve = RESOLVE_BENEATH;
    seen[2] = tdw_openat2(jail, "../outside", &how);
    seen[3] = tdw_sys_chroot("/jail");
    seen[4] = tdw_open("/inside", O_RDONLY, 0) > 0;
    seen[5] = tdw_open("/outside", O_RDONLY, 0);
    seen[6] = tdw_madvise(bytes, 4096, MADV_DONTNEED);
    seen[7] = tdw_madvise(NULL, 4096, MADV_WILLNEED);
    seen[8] = tdw_sys_mknod("/null", S_IFCHR | 0666, 1 << 8 | 3);
    seen[9] = tdw_write(tdw_open("/null", O_WRONLY, 0), "x", 1);
    tdw_sys_mknod("/full", S_IFCHR | 0666, 1 << 8 | 7);
    seen[10] = tdw_write(tdw_open("/full", O_WRONLY, 0), "x", 1);
    seen[11] = tdw_sys_mknod("/disk", S_IFBLK | 0666, 8 << 8);
}

static void a_root_is_not_left(void **state)
{
    (void)state;
    run(changes_root);
    assert_true(seen[0]);
    assert_int_equal(seen[1], -ENOENT);
    assert_int_equal(seen[2], -EXDEV);
    assert_int_equal(seen[3], 0);
    assert_true(seen[4]);
    assert_int_equal(seen[5], -ENOENT);
    assert_int_equal(seen[6], -EINVAL);
    assert_int_equal(seen[7], 0);
    assert_int_equal(seen[8], 0);
    assert_int_equal(seen[9], 1);
    assert_int_equal(seen[10], -ENOSPC);
    assert_int_equal(seen[11], -EPERM);
}

/* ── A small disk ──────────────────────────────────────────────────────────────────────────── */

static void fills_its_disk(void *unused)
{
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);
    static char page[4096];

    (void)unused;
    for (seen[0] = 0; seen[0] < 100; seen[0]++)
        if ((seen[1] = tdw_pwrite(fd, page, 4096, (uint64_t)seen[0] * 4096)) < 0)
            break;
    seen[2] = tdw_pwrite(fd, page, 4096, 1 << 20);
    seen[3] = tdw_ftruncate(fd, (1 << 20) + 1);
}

static void filling_main(void *unused)
{
    tdw_spawn_stackful("filling", fills_its_disk, unused);
}

static void boots_a_small_one(void *unused)
{
    struct tdw_host *host = tdw_host("small", filling_main, unused);

    tdw_host_disk_limits(host, 10 * 4096, 1 << 20);
    tdw_host_boot(host);
    tdw_sleep(1000000000);
}

static void a_small_disk_is_soon_full(void **state)
{
    (void)state;
    run(boots_a_small_one);
    assert_int_equal(seen[0], 10);
    assert_int_equal(seen[1], -ENOSPC);
    assert_int_equal(seen[2], -EFBIG);
    assert_int_equal(seen[3], -EFBIG);
}

/* ── fsync ─────────────────────────────────────────────────────────────────────────────────── */

static void syncs_and_writes(void *unused)
{
    struct tdw_op sync = {0};
    int fd, dir;

    (void)unused;
    if (boots++ > 0) {
        fd = tdw_open("log", O_RDONLY, 0);
        seen[2] = tdw_read(fd, bytes, sizeof bytes);
        seen[3] = tdw_open("late", O_RDONLY, 0);
        return;
    }
    fd = tdw_open("log", O_CREAT | O_WRONLY | O_APPEND, 0600);
    dir = tdw_open("/", O_RDONLY | O_DIRECTORY, 0);
    tdw_fsync(dir);
    tdw_write(fd, "first ", 6);
    TDW_GO(&sync, fsync, fd);
    seen[0] = tdw_write(fd, "second", 6); /* after the sync's start, before its effect */
    seen[1] = tdw_op_idle(&sync);
    tdw_await(&sync);
    TDW_GO(&sync, fsync, dir);
    tdw_open("late", O_CREAT | O_WRONLY, 0600);
    tdw_await(&sync);
    tdw_sleep(1000000000000);
}

static void syncing_main(void *unused)
{
    tdw_spawn_stackful("syncing", syncs_and_writes, unused);
}

static void crashes_syncing(void *unused)
{
    struct tdw_host *host = tdw_host("other", syncing_main, unused);

    boots = 0;
    tdw_host_boot(host);
    tdw_sleep(1000000000);
    tdw_host_crash(host);
    tdw_host_boot(host);
    tdw_sleep(1000000000);
}

static void a_sync_covers_what_came_before_its_start_only(void **state)
{
    (void)state;
    run(crashes_syncing);
    assert_int_equal(seen[0], 6);
    assert_false(seen[1]);
    assert_int_equal(seen[2], 6);
    assert_memory_equal(bytes, "first ", 6);
    assert_int_equal(seen[3], -ENOENT);
}

int tests_files_more(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_that_were_not_synced_go_with_the_power),
        cmocka_unit_test(a_fifo_opens_when_both_ends_are_there),
        cmocka_unit_test(a_message_arrives_as_a_completion_would),
        cmocka_unit_test(rings_of_processes_send_data_and_files),
        cmocka_unit_test(a_root_is_not_left),
        cmocka_unit_test(a_small_disk_is_soon_full),
        cmocka_unit_test(a_sync_covers_what_came_before_its_start_only),
    };

    return cmocka_run_group_tests_name("files_more", tests, NULL, NULL);
}
