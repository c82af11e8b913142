/* SPDX-License-Identifier: MIT */
/*
 * The simulated files, where the real kernel cannot be asked: what survives a power cut, who
 * waits for what, seeded contents, limits, sharing of descriptors, determinism.
 *
 * Rows are called directly on a process without a world (files_rig.h). That an op waits is seen
 * by its row naming a queue. The last tests are random: a disk against a plain model of what was
 * synced, and against itself for leaks of space.
 */
#include "files_rig.h"
#include "tests.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

int tests_files(void);

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, NULL);
    return rig.disk && rig.process.files ? 0 : -1;
}

/* Syncs under way. */
enum { FLIGHTS = 3 };
static struct rig_flight in_flight[FLIGHTS];

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < FLIGHTS; i++)
        if (in_flight[i].row) /* the test failed */
            rig_land(&rig, &in_flight[i], false);
    rig_fini(&rig, true);
    return 0;
}

/* The power goes, and a new process starts on what is left. */
static void crash_to(struct tdw_survival *survival)
{
    struct tdw_disk *disk = rig.disk;

    rig_fini(&rig, false);
    tdw__disk_crash(disk, survival);
    rig_init(&rig, disk);
}

static void crash(void)
{
    crash_to(NULL);
}

static int open_at(const char *path, int flags)
{
    return RIG(&rig, openat, AT_FDCWD, path, flags, 0644);
}

static void must_open(int *fd, const char *path, int flags)
{
    *fd = open_at(path, flags);
    assert_true(*fd >= 0);
}

static void write_text(int fd, const char *text, uint64_t off)
{
    const unsigned bytes = (unsigned)strlen(text);

    assert_int_equal(RIG(&rig, write, fd, text, bytes, off), (int)bytes);
}

static void sync_fd(int fd)
{
    assert_int_equal(RIG(&rig, fsync, fd, 0), 0);
}

static void sync_path(const char *path)
{
    int fd;

    must_open(&fd, path, O_RDONLY);
    sync_fd(fd);
    assert_int_equal(RIG(&rig, close, fd), 0);
}

static void put_file(const char *path, const char *text)
{
    int fd;

    must_open(&fd, path, O_RDWR | O_CREAT | O_TRUNC);
    write_text(fd, text, 0);
    assert_int_equal(RIG(&rig, close, fd), 0);
}

/* The file's content as text, or its errno as "-2". */
static const char *content(const char *path)
{
    static char text[8192];
    const int fd = open_at(path, O_RDONLY);
    int bytes;

    if (fd < 0) {
        snprintf(text, sizeof(text), "%d", fd);
        return text;
    }
    bytes = RIG(&rig, read, fd, text, sizeof(text) - 1, 0);
    assert_true(bytes >= 0);
    text[bytes] = '\0';
    RIG(&rig, close, fd);
    return text;
}

static struct statx stat_of(const char *path)
{
    struct statx stat;

    assert_int_equal(
        RIG(&rig, statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &stat), 0);
    return stat;
}

/* ── What survives a power cut ─────────────────────────────────────────────────────────────── */

static void what_was_synced_survives_and_nothing_else(void **state)
{
    int fd;

    (void)state;
    must_open(&fd, "/log", O_RDWR | O_CREAT);
    write_text(fd, "kept", 0);
    sync_fd(fd);
    sync_path("/");
    write_text(fd, "lost", 0);
    write_text(fd, "more", 4);
    crash();
    assert_string_equal(content("/log"), "kept");
}

static void a_name_without_a_synced_directory_is_gone(void **state)
{
    int fd;

    (void)state;
    must_open(&fd, "/new", O_RDWR | O_CREAT);
    write_text(fd, "data", 0);
    sync_fd(fd);
    crash();
    assert_string_equal(content("/new"), "-2");
}

static void a_synced_name_of_an_unsynced_file_is_empty(void **state)
{
    (void)state;
    put_file("/new", "data");
    sync_path("/");
    crash();
    assert_string_equal(content("/new"), "");
    assert_int_equal(stat_of("/new").stx_mode, S_IFREG | 0644);
}

static void an_unlink_that_was_not_synced_comes_back(void **state)
{
    (void)state;
    put_file("/file", "data");
    sync_path("/file");
    sync_path("/");
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/file", 0), 0);
    assert_string_equal(content("/file"), "-2");
    crash();
    assert_string_equal(content("/file"), "data");
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/file", 0), 0);
    sync_path("/");
    crash();
    assert_string_equal(content("/file"), "-2");
}

static void replace_by_rename_shows_the_old_or_the_new(void **state)
{
    (void)state;
    put_file("/file", "old");
    sync_path("/file");
    sync_path("/");
    put_file("/tmp", "new");
    sync_path("/tmp");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/tmp", AT_FDCWD, "/file", 0), 0);
    crash();
    assert_string_equal(content("/file"), "old");
    assert_string_equal(content("/tmp"), "-2");
    put_file("/tmp", "new");
    sync_path("/tmp");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/tmp", AT_FDCWD, "/file", 0), 0);
    sync_path("/");
    crash();
    assert_string_equal(content("/file"), "new");
    assert_string_equal(content("/tmp"), "-2");
}

static void replace_by_rename_without_fsync_is_empty(void **state)
{
    (void)state;
    put_file("/file", "old");
    sync_path("/file");
    sync_path("/");
    put_file("/tmp", "new");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/tmp", AT_FDCWD, "/file", 0), 0);
    sync_path("/");
    crash();
    assert_string_equal(content("/file"), "");
}

static void a_rename_across_directories_is_one_thing(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        rig_fini(&rig, true);
        rig_init(&rig, NULL);
        tdw__disk_seed_dir(rig.disk, "/a");
        tdw__disk_seed_dir(rig.disk, "/b");
        put_file("/a/file", "data");
        sync_path("/a/file");
        sync_path("/a");
        assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/a/file", AT_FDCWD, "/b/file", 0), 0);
        sync_path(which ? "/a" : "/b");
        crash();
        assert_string_equal(content("/a/file"), "-2");
        assert_string_equal(content("/b/file"), "data");
        assert_int_equal(stat_of("/b/file").stx_nlink, 1);
    }
}

static void a_rename_into_a_new_directory_does_not_lose_the_file(void **state)
{
    (void)state;
    put_file("/file", "data");
    sync_path("/file");
    sync_path("/");
    assert_int_equal(RIG(&rig, mkdirat, AT_FDCWD, "/new", 0755), 0);
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/file", AT_FDCWD, "/new/file", 0), 0);
    sync_path("/new");
    crash();
    assert_string_equal(content("/file"), "-2");
    assert_string_equal(content("/new/file"), "data");
}

static void directories_that_change_places_do_not_form_a_circle(void **state)
{
    (void)state;
    tdw__disk_seed_dir(rig.disk, "/p");
    tdw__disk_seed_dir(rig.disk, "/q");
    put_file("/p/file", "data");
    sync_path("/p/file");
    sync_path("/p");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/q", AT_FDCWD, "/p/q", 0), 0);
    sync_path("/p");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/p/q", AT_FDCWD, "/q", 0), 0);
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/p", AT_FDCWD, "/q/p", 0), 0);
    sync_path("/q");
    crash();
    assert_string_equal(content("/q/p/file"), "data");
    assert_int_equal(stat_of("/q").stx_nlink, 3);
}

static void an_unlinked_open_file_is_gone_after_a_crash(void **state)
{
    int fd;

    (void)state;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    sync_fd(fd);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/file", 0), 0);
    write_text(fd, "still writable", 0);
    sync_path("/");
    crash();
    assert_string_equal(content("/file"), "-2");
    assert_int_equal(rig.disk->pages_used, 0);
}

static void fdatasync_keeps_data_and_size_but_no_mode(void **state)
{
    int fd;

    (void)state;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    sync_fd(fd);
    sync_path("/");
    write_text(fd, "data", 0);
    assert_int_equal(tdw_sys_fchmod(fd, 0600), 0);
    assert_int_equal(RIG(&rig, fsync, fd, IORING_FSYNC_DATASYNC), 0);
    crash();
    assert_string_equal(content("/file"), "data");
    assert_int_equal(stat_of("/file").stx_mode, S_IFREG | 0644);
}

static void synchronous_writes_are_durable_at_once(void **state)
{
    static const int flags[] = {O_DSYNC, O_SYNC, 0, 0};
    static const int rw_flags[] = {0, 0, RWF_DSYNC, RWF_SYNC};

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct iovec iov = {(char[]){"data"}, 4};
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/file%d", i);
        must_open(&fd, path, O_RDWR | O_CREAT | flags[i]);
        sync_path("/");
        assert_int_equal(RIG(&rig, writev2, fd, &iov, 1, 0, rw_flags[i]), 4);
        crash();
        assert_string_equal(content(path), "data");
    }
}

static void a_synchronous_write_syncs_only_its_own_pages(void **state)
{
    char bytes[3 * TDW_PAGE_BYTES + 1];
    int fd, sync;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    must_open(&sync, "/file", O_WRONLY | O_DSYNC);
    sync_path("/");
    assert_int_equal(RIG(&rig, write, fd, bytes, 3 * TDW_PAGE_BYTES, 0), 3 * TDW_PAGE_BYTES);
    assert_int_equal(RIG(&rig, write, sync, "y", 1, TDW_PAGE_BYTES), 1);
    crash();
    must_open(&fd, "/file", O_RDONLY);
    assert_int_equal(stat_of("/file").stx_size, 3 * TDW_PAGE_BYTES);
    assert_int_equal(RIG(&rig, read, fd, bytes, sizeof(bytes), 0), 3 * TDW_PAGE_BYTES);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[TDW_PAGE_BYTES], 'y');
    assert_int_equal(bytes[TDW_PAGE_BYTES + 1], 'x');
    assert_int_equal(bytes[2 * TDW_PAGE_BYTES], 0);
}

/* A page cut off and not written since must not come back with the size of a later sync. */
static void old_content_does_not_come_back_behind_a_truncation(void **state)
{
    char bytes[3 * TDW_PAGE_BYTES];
    int fd, sync;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    must_open(&sync, "/file", O_WRONLY | O_DSYNC);
    assert_int_equal(RIG(&rig, write, fd, bytes, sizeof(bytes), 0), (int)sizeof(bytes));
    sync_fd(fd);
    sync_path("/");
    assert_int_equal(tdw_sys_truncate("/file", 100), 0);
    assert_int_equal(RIG(&rig, write, fd, "a", 1, TDW_PAGE_BYTES), 1);
    assert_int_equal(RIG(&rig, write, sync, "b", 1, 2 * TDW_PAGE_BYTES), 1);
    crash();
    must_open(&fd, "/file", O_RDONLY);
    assert_int_equal(RIG(&rig, read, fd, bytes, sizeof(bytes), 0), 2 * TDW_PAGE_BYTES + 1);
    assert_int_equal(bytes[99], 'x');
    for (int i = 100; i < 2 * TDW_PAGE_BYTES; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_equal(bytes[2 * TDW_PAGE_BYTES], 'b');
}

static void an_unsynced_truncation_is_undone(void **state)
{
    (void)state;
    put_file("/file", "0123456789");
    sync_path("/file");
    sync_path("/");
    assert_int_equal(tdw_sys_truncate("/file", 3), 0);
    assert_string_equal(content("/file"), "012");
    crash();
    assert_string_equal(content("/file"), "0123456789");
}

static void a_removed_directory_comes_back_with_its_names(void **state)
{
    (void)state;
    tdw__disk_seed_dir(rig.disk, "/a/b");
    put_file("/a/b/file", "data");
    sync_path("/a/b/file");
    sync_path("/a/b");
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a/b/file", 0), 0);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a/b", AT_REMOVEDIR), 0);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a", AT_REMOVEDIR), 0);
    crash();
    assert_string_equal(content("/a/b/file"), "data");
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a/b/file", 0), 0);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a/b", AT_REMOVEDIR), 0);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/a", AT_REMOVEDIR), 0);
    sync_path("/");
    assert_string_equal(content("/a/b/file"), "-2");
    crash();
    assert_string_equal(content("/a/b/file"), "-2");
}

static void an_exchange_is_one_thing(void **state)
{
    (void)state;
    tdw__disk_seed_dir(rig.disk, "/d");
    put_file("/x", "x");
    put_file("/d/y", "y");
    sync_path("/x");
    sync_path("/d/y");
    sync_path("/");
    sync_path("/d");
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/x", AT_FDCWD, "/d/y", RENAME_EXCHANGE), 0);
    sync_path("/d");
    crash();
    assert_string_equal(content("/x"), "y");
    assert_string_equal(content("/d/y"), "x");
}

static void hard_links_survive_one_by_one(void **state)
{
    (void)state;
    tdw__disk_seed_dir(rig.disk, "/d");
    put_file("/x", "x");
    sync_path("/x");
    sync_path("/");
    assert_int_equal(RIG(&rig, linkat, AT_FDCWD, "/x", AT_FDCWD, "/d/y", 0), 0);
    assert_int_equal(RIG(&rig, linkat, AT_FDCWD, "/x", AT_FDCWD, "/z", 0), 0);
    assert_int_equal(stat_of("/x").stx_nlink, 3);
    sync_path("/d");
    crash();
    assert_int_equal(stat_of("/x").stx_nlink, 2);
    assert_string_equal(content("/d/y"), "x");
    assert_string_equal(content("/z"), "-2");
}

/* ── Seeded contents ───────────────────────────────────────────────────────────────────────── */

static void seeded_files_hold_their_pattern(void **state)
{
    uint64_t words[4], expected[4];
    char byte;
    int fd;

    (void)state;
    assert_int_equal(tdw__disk_seed_file(rig.disk, "/data/base/1", (uint64_t)1 << 40, 7), 0);
    assert_int_equal(tdw__disk_seed_file(rig.disk, "/data/base/1", 1, 7), -EEXIST);
    assert_int_equal(tdw__disk_seed_file(rig.disk, "/data/base/1/2", 1, 7), -ENOTDIR);
    must_open(&fd, "/data/base/1", O_RDWR);
    for (uint64_t i = 0; i < 4; i++)
        expected[i] = tdw__pattern(7, 1000000 + i);
    assert_int_equal(RIG(&rig, read, fd, words, 32, 8000000), 32);
    assert_memory_equal(words, expected, 32);
    assert_int_equal(RIG(&rig, read, fd, &byte, 1, 8000003), 1);
    assert_int_equal(byte, ((char *)expected)[3]);
    /* A write changes its own bytes only, now and after a sync and a crash. */
    write_text(fd, "!", 8000001);
    ((char *)expected)[1] = '!';
    assert_int_equal(RIG(&rig, read, fd, words, 32, 8000000), 32);
    assert_memory_equal(words, expected, 32);
    sync_fd(fd);
    crash();
    must_open(&fd, "/data/base/1", O_RDWR);
    assert_int_equal(RIG(&rig, read, fd, words, 32, 8000000), 32);
    assert_memory_equal(words, expected, 32);
    assert_int_equal(RIG(&rig, read, fd, words, 32, ((uint64_t)1 << 40) - 8), 8);
}

static void a_seeded_file_cut_and_grown_reads_zeros(void **state)
{
    uint64_t word = 1;
    int fd;

    (void)state;
    tdw__disk_seed_file(rig.disk, "/file", 100000, 7);
    must_open(&fd, "/file", O_RDWR);
    assert_int_equal(tdw_sys_truncate("/file", 5000), 0);
    assert_int_equal(tdw_sys_truncate("/file", 100000), 0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 5000), 8);
    assert_int_equal(word, 0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 50000), 8);
    assert_int_equal(word, 0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 4992), 8);
    assert_int_equal(word, tdw__pattern(7, 624));
    crash();
    must_open(&fd, "/file", O_RDWR);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 50000), 8);
    assert_int_equal(word, tdw__pattern(7, 6250));
}

static void a_hole_in_a_seeded_file_reads_zeros_until_a_crash(void **state)
{
    uint64_t word = 1;
    int fd;

    (void)state;
    tdw__disk_seed_file(rig.disk, "/file", 100000, 7);
    must_open(&fd, "/file", O_RDWR);
    assert_int_equal(RIG(&rig, fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8, 50000),
                     0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 8), 8);
    assert_int_equal(word, 0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 40000), 8);
    assert_int_equal(word, 0);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 0), 8);
    assert_int_equal(word, tdw__pattern(7, 0));
    assert_int_equal(tdw_sys_lseek(fd, 0, SEEK_HOLE), 4096);
    assert_int_equal(tdw_sys_lseek(fd, 4096, SEEK_DATA), 12 * 4096);
    assert_int_equal(tdw_sys_lseek(fd, 50008, SEEK_HOLE), 100000);
    crash();
    must_open(&fd, "/file", O_RDWR);
    assert_int_equal(RIG(&rig, read, fd, &word, 8, 40000), 8);
    assert_int_equal(word, tdw__pattern(7, 5000));
}

static void seeded_symlinks_lead_somewhere(void **state)
{
    char target[16];

    (void)state;
    tdw__disk_seed_file(rig.disk, "/real/file", 10, 1);
    assert_int_equal(tdw__disk_seed_symlink(rig.disk, "/link", "real"), 0);
    assert_int_equal(stat_of("/link/file").stx_size, 10);
    assert_int_equal(tdw_sys_readlink("/link", target, sizeof(target)), 4);
    crash();
    assert_int_equal(stat_of("/link/file").stx_size, 10);
}

static void random_bytes_depend_on_seed_actor_and_op_only(void **state)
{
    uint64_t a[8], b[8];
    int fd;

    (void)state;
    rig.disk->seed = 1;
    rig.task.actor = 5;
    must_open(&fd, "/dev/urandom", O_RDONLY);
    assert_int_equal(RIG(&rig, read, fd, a, sizeof(a), (uint64_t)-1), (int)sizeof(a));
    assert_int_equal(RIG(&rig, read, fd, b, sizeof(b), (uint64_t)-1), (int)sizeof(b));
    assert_memory_equal(a, b, sizeof(a)); /* the rig's ops all have ordinal 0 */
    assert_int_not_equal(a[0], a[1]);
    rig.task.actor = 6;
    assert_int_equal(RIG(&rig, read, fd, b, sizeof(b), (uint64_t)-1), (int)sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

/* ── Limits ────────────────────────────────────────────────────────────────────────────────── */

static void a_full_disk_answers_enospc_and_has_room_again(void **state)
{
    static char bytes[10 * TDW_PAGE_BYTES];
    int fd, other;

    (void)state;
    rig.disk->bytes_max = 8 * TDW_PAGE_BYTES;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    must_open(&other, "/other", O_RDWR | O_CREAT);
    assert_int_equal(RIG(&rig, write, fd, bytes, sizeof(bytes), 0), 8 * TDW_PAGE_BYTES);
    assert_int_equal(RIG(&rig, write, other, bytes, 1, 0), -ENOSPC);
    assert_int_equal(stat_of("/other").stx_size, 0);
    write_text(fd, "over", 0); /* overwriting needs no space */
    assert_int_equal(tdw_sys_truncate("/file", 6 * TDW_PAGE_BYTES), 0);
    assert_int_equal(RIG(&rig, fallocate, other, 0, 0, 3 * TDW_PAGE_BYTES), -ENOSPC);
    assert_int_equal(RIG(&rig, fallocate, other, 0, 0, 2 * TDW_PAGE_BYTES), 0);
    assert_int_equal(RIG(&rig, write, fd, bytes, 1, 7 * TDW_PAGE_BYTES), -ENOSPC);
    assert_int_equal(RIG(&rig, write, other, bytes, 2 * TDW_PAGE_BYTES, 0), 2 * TDW_PAGE_BYTES);
    assert_int_equal(RIG(&rig, close, other), 0);
    assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, "/other", 0), 0);
    assert_int_equal(RIG(&rig, write, fd, bytes, 1, 7 * TDW_PAGE_BYTES), 1);
    assert_int_equal(rig.disk->pages_used, 7);
}

static void offsets_reach_to_the_end(void **state)
{
    char byte = 'x';
    int fd;

    (void)state;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    assert_int_equal(RIG(&rig, write, fd, &byte, 1, INT64_MAX - 1), 1);
    assert_int_equal(RIG(&rig, write, fd, &byte, 1, INT64_MAX), -EINVAL);
    assert_int_equal(stat_of("/file").stx_size, INT64_MAX);
    assert_int_equal(tdw_sys_lseek(fd, 0, SEEK_DATA), INT64_MAX - INT64_MAX % TDW_PAGE_BYTES);
    byte = 0;
    assert_int_equal(RIG(&rig, read, fd, &byte, 1, INT64_MAX - 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(rig.disk->pages_used, 1);
    assert_int_equal(tdw_sys_truncate("/file", 0), 0);
    assert_int_equal(rig.disk->pages_used, 0);
}

static void descriptors_are_the_lowest_free_up_to_the_limit(void **state)
{
    int fds[2];

    (void)state;
    tdw__files_limit(rig.process.files, 6, 6);
    assert_int_equal(open_at("/dev/null", O_RDWR), 3);
    assert_int_equal(open_at("/dev/null", O_RDWR), 4);
    assert_int_equal(tdw_sys_pipe2(fds, 0), -EMFILE);
    assert_int_equal(open_at("/dev/null", O_RDWR), 5);
    assert_int_equal(open_at("/dev/null", O_RDWR), -EMFILE);
    assert_int_equal(RIG(&rig, close, 4), 0);
    assert_int_equal(tdw_sys_dup(0), 4);
}

static void forty_symlinks_are_followed_and_no_more(void **state)
{
    char from[16], to[16];

    (void)state;
    put_file("/0", "end");
    for (int i = 1; i <= 41; i++) {
        snprintf(from, sizeof(from), "%d", i - 1);
        snprintf(to, sizeof(to), "/%d", i);
        tdw__disk_seed_symlink(rig.disk, to, from);
    }
    assert_string_equal(content("/40"), "end");
    assert_string_equal(content("/41"), "-40");
    tdw__disk_seed_symlink(rig.disk, "/loop", "loop");
    assert_int_equal(open_at("/loop", O_RDONLY), -ELOOP);
}

/* ── Waiting ───────────────────────────────────────────────────────────────────────────────── */

static void a_pipe_waits_where_it_must(void **state)
{
    static char bytes[70000];
    int fds[2];

    (void)state;
    assert_int_equal(tdw_sys_pipe2(fds, 0), 0);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 1, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, poll_add, fds[0], POLLIN), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, poll_add, fds[1], POLLOUT), POLLOUT);
    assert_int_equal(RIG(&rig, write, fds[1], bytes, sizeof(bytes), 0), 65536);
    assert_int_equal(RIG(&rig, write, fds[1], bytes, 1, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, poll_add, fds[1], POLLOUT), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 4095, 0), 4095);
    assert_int_equal(RIG(&rig, write, fds[1], bytes, 1, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 1, 0), 1);
    assert_int_equal(RIG(&rig, write, fds[1], bytes, 4096, 0), 4096);
    /* io_uring waits all the same; only the entry can say otherwise. */
    tdw_sys_fcntl(fds[1], F_SETFL, O_NONBLOCK);
    assert_int_equal(RIG(&rig, write, fds[1], bytes, 1, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, writev2, fds[1], &(struct iovec){bytes, 1}, 1, 0, RWF_NOWAIT),
                     -EAGAIN);
    assert_int_equal(RIG(&rig, close, fds[1]), 0);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, sizeof(bytes), 0), 65536);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 1, 0), 0);
    assert_int_equal(RIG(&rig, poll_add, fds[0], POLLIN), POLLHUP);
}

static void a_pipe_without_readers_is_broken(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(tdw_sys_pipe2(fds, 0), 0);
    assert_int_equal(RIG(&rig, close, fds[0]), 0);
    assert_int_equal(RIG(&rig, write, fds[1], "x", 1, 0), -EPIPE);
    assert_int_equal(RIG(&rig, poll_add, fds[1], POLLIN), POLLERR);
}

static void packets_of_a_direct_pipe_keep_their_bounds(void **state)
{
    char bytes[8];
    int fds[2];

    (void)state;
    assert_int_equal(tdw_sys_pipe2(fds, O_DIRECT), 0);
    write_text(fds[1], "abc", 0);
    write_text(fds[1], "de", 0);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 2, 0), 2);
    assert_int_equal(RIG(&rig, read, fds[0], bytes, 8, 0), 2);
    assert_memory_equal(bytes, "de", 2);
}

static void an_eventfd_waits_where_it_must(void **state)
{
    uint64_t value = UINT64_MAX - 1;
    int fd = tdw_sys_eventfd(0, 0), semaphore = tdw_sys_eventfd(2, EFD_SEMAPHORE);

    (void)state;
    assert_int_equal(RIG(&rig, poll_add, fd, POLLIN), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, write, fd, &value, 8, 0), 8);
    value = 1;
    assert_int_equal(RIG(&rig, write, fd, &value, 8, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, poll_add, fd, POLLOUT), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, read, fd, &value, 8, 0), 8);
    assert_true(value == UINT64_MAX - 1);
    assert_int_equal(RIG(&rig, read, fd, &value, 8, 0), RIG_BLOCKED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(RIG(&rig, read, semaphore, &value, 8, 0), 8);
        assert_int_equal(value, 1);
    }
    assert_int_equal(RIG(&rig, read, semaphore, &value, 8, 0), RIG_BLOCKED);
    assert_int_equal(RIG(&rig, read, semaphore, &value, 7, 0), -EINVAL);
    assert_int_equal(RIG(&rig, write, semaphore, "0123456789abcdef", 16, 0), -EINVAL);
}

static void a_closed_descriptor_leaves_the_op_its_file(void **state)
{
    const struct tdw_sim_opcode *row = tdw__file_opcode(IORING_OP_WRITE);
    struct tdw_op op = {.task = &rig.task};
    void *object = NULL;
    int fd;

    (void)state;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    io_uring_prep_write(&op.sqe, fd, "data", 4, 0);
    assert_int_equal(row->start(&rig.process, &op, &object), 0);
    assert_int_equal(RIG(&rig, close, fd), 0);
    assert_int_equal(open_at("/dev/null", O_RDWR), fd);
    assert_null(row->blocked(&rig.process, &op, object));
    assert_int_equal(row->effect(&rig.process, &op, object), 4);
    row->release(&rig.process, object);
    assert_string_equal(content("/file"), "data");
    assert_int_equal(rig.disk->opens, 2);
}

/* ── Locks between processes ───────────────────────────────────────────────────────────────── */

/* An op of SETLKW or FLOCK that is kept between its stages. */
struct waiting {
    struct rig *rig;
    const struct tdw_sim_opcode *row;
    struct tdw_op op;
    struct flock lock;
    void *object;
};

static void begin_lock(struct waiting *w, struct rig *who, int fd, short type, int64_t start)
{
    *w = (struct waiting){.rig = who, .row = tdw__file_opcode(TDW_OP_SETLKW)};
    w->lock = (struct flock){.l_type = type, .l_start = start, .l_len = 1};
    w->op.task = &who->task;
    w->op.sqe = (struct io_uring_sqe){
        .opcode = TDW_OP_SETLKW, .fd = fd, .addr = (uint64_t)(uintptr_t)&w->lock, .len = F_SETLKW};
    assert_int_equal(w->row->start(&who->process, &w->op, &w->object), 0);
}

static bool is_blocked(struct waiting *w)
{
    return w->row->blocked(&w->rig->process, &w->op, w->object) != NULL;
}

static int end_lock(struct waiting *w, bool effect)
{
    const int res = effect ? w->row->effect(&w->rig->process, &w->op, w->object) : 0;

    w->row->release(&w->rig->process, w->object);
    return res;
}

static int set_lock(struct rig *who, int fd, int cmd, short type, int64_t start)
{
    struct flock lock = {.l_type = type, .l_start = start, .l_len = 1};

    rig_enter(who);
    return tdw_sys_fcntl(fd, cmd, &lock);
}

static void record_locks_belong_to_processes(void **state)
{
    struct flock lock = {.l_type = F_RDLCK, .l_len = 0};
    struct waiting w;
    struct rig other;
    int fd, fd2;

    (void)state;
    must_open(&fd, "/file", O_RDWR | O_CREAT);
    rig_init(&other, rig.disk);
    other.process.pid = 78;
    fd2 = RIG(&other, openat, AT_FDCWD, "/file", O_RDWR, 0);
    assert_int_equal(set_lock(&rig, fd, F_SETLK, F_WRLCK, 5), 0);
    assert_int_equal(set_lock(&other, fd2, F_SETLK, F_WRLCK, 5), -EAGAIN);
    assert_int_equal(set_lock(&other, fd2, F_SETLK, F_WRLCK, 4), 0);
    rig_enter(&other);
    assert_int_equal(tdw_sys_fcntl(fd2, F_GETLK, &lock), 0);
    assert_int_equal(lock.l_type, F_WRLCK);
    assert_int_equal(lock.l_start, 5);
    assert_int_equal(lock.l_pid, 77);
    begin_lock(&w, &other, fd2, F_RDLCK, 5);
    assert_true(is_blocked(&w));
    /* Any close of the file by its process drops the lock. */
    rig_enter(&rig);
    assert_int_equal(tdw_sys_dup(fd), fd + 1);
    assert_int_equal(RIG(&rig, close, fd + 1), 0);
    assert_false(is_blocked(&w));
    assert_int_equal(end_lock(&w, true), 0);
    assert_int_equal(set_lock(&rig, fd, F_SETLK, F_WRLCK, 5), -EAGAIN);
    rig_fini(&other, false);
    assert_int_equal(set_lock(&rig, fd, F_SETLK, F_WRLCK, 5), 0);
}

static void a_circle_of_waiting_processes_is_a_deadlock(void **state)
{
    struct waiting w[3];
    struct rig others[2];
    struct rig *who[3] = {&rig, &others[0], &others[1]};
    int fds[3];

    (void)state;
    must_open(&fds[0], "/file", O_RDWR | O_CREAT);
    for (int i = 1; i < 3; i++) {
        rig_init(who[i], rig.disk);
        fds[i] = RIG(who[i], openat, AT_FDCWD, "/file", O_RDWR, 0);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(set_lock(who[i], fds[i], F_SETLK, F_WRLCK, i), 0);
    for (int i = 0; i < 3; i++)
        begin_lock(&w[i], who[i], fds[i], F_WRLCK, (i + 1) % 3);
    assert_true(is_blocked(&w[0]));
    assert_true(is_blocked(&w[1]));
    assert_false(is_blocked(&w[2]));
    assert_int_equal(end_lock(&w[2], true), -EDEADLK);
    end_lock(&w[0], false);
    end_lock(&w[1], false);
    rig_fini(&others[1], false);
    rig_fini(&others[0], false);
    rig_enter(&rig);
}

static void flock_belongs_to_the_open_file(void **state)
{
    int a, b, copy;

    (void)state;
    must_open(&a, "/file", O_RDWR | O_CREAT);
    must_open(&b, "/file", O_RDONLY);
    copy = tdw_sys_dup(a);
    assert_int_equal(tdw_sys_flock(a, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(tdw_sys_flock(copy, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(tdw_sys_flock(b, LOCK_SH | LOCK_NB), -EAGAIN);
    assert_int_equal(rig_raw(&rig, TDW_OP_FLOCK, b, NULL, LOCK_SH, 0), RIG_BLOCKED);
    assert_int_equal(tdw_sys_flock(b, LOCK_SH), -EINVAL);
    assert_int_equal(RIG(&rig, close, a), 0);
    assert_int_equal(tdw_sys_flock(b, LOCK_SH | LOCK_NB), -EAGAIN);
    assert_int_equal(RIG(&rig, close, copy), 0);
    assert_int_equal(rig_raw(&rig, TDW_OP_FLOCK, b, NULL, LOCK_SH, 0), 0);
}

/* ── Processes ─────────────────────────────────────────────────────────────────────────────── */

static void a_fork_shares_open_files_but_not_the_table(void **state)
{
    struct tdw_files *parent = rig.process.files, *child = tdw__files_clone(parent);
    char bytes[4];
    int fd;

    (void)state;
    put_file("/file", "0123456789");
    tdw__files_free(child);
    must_open(&fd, "/file", O_RDONLY | O_CLOEXEC);
    child = tdw__files_clone(parent);
    rig.process.files = child;
    assert_int_equal(RIG(&rig, read, fd, bytes, 4, (uint64_t)-1), 4);
    rig.process.files = parent;
    assert_int_equal(tdw_sys_lseek(fd, 0, SEEK_CUR), 4);
    assert_int_equal(RIG(&rig, close, fd), 0);
    rig.process.files = child;
    assert_int_equal(RIG(&rig, read, fd, bytes, 4, (uint64_t)-1), 4);
    rig.process.files = child = tdw__files_exec(child);
    assert_int_equal(RIG(&rig, read, fd, bytes, 4, (uint64_t)-1), -EBADF);
    assert_int_equal(RIG(&rig, read, 0, bytes, 4, (uint64_t)-1), 0);
    rig.process.files = tdw__files_share(parent);
    tdw__files_free(child);
    tdw__files_free(parent);
}

static void names_of_calls_are_known(void **state)
{
    (void)state;
    assert_string_equal(tdw_sys_name(TDW_SYS_LSEEK), "lseek");
    assert_string_equal(tdw_sys_name(TDW_SYS_GETPID), "getpid");
    assert_string_equal(tdw_sys_name(0), "?");
    assert_string_equal(tdw_sys_name(255), "?");
}

static void times_are_virtual(void **state)
{
    struct statx stat;

    (void)state;
    rig.loop.now_ns = 1500000000;
    put_file("/file", "x");
    stat = stat_of("/file");
    assert_int_equal(stat.stx_mtime.tv_sec, 1);
    assert_int_equal(stat.stx_mtime.tv_nsec, 500000000);
    rig.loop.now_ns = 2000000000;
    content("/file");
    stat = stat_of("/file");
    assert_int_equal(stat.stx_mtime.tv_sec, 1);
    assert_int_equal(stat.stx_atime.tv_sec, 2);
}

/* ── Random: against a plain model ─────────────────────────────────────────────────────────── */

enum { MODEL_BYTES = 5 * TDW_PAGE_BYTES + 100 };

struct image {
    uint8_t bytes[MODEL_BYTES];
    uint64_t size;
};

static uint64_t roll(uint64_t *dice)
{
    uint64_t x = *dice += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void same_image(int fd, const struct image *image)
{
    static uint8_t bytes[MODEL_BYTES];

    assert_int_equal(RIG(&rig, read, fd, bytes, MODEL_BYTES, 0), (int)image->size);
    assert_memory_equal(bytes, image->bytes, image->size);
}

static void model_zero(struct image *image, uint64_t from, uint64_t to)
{
    if (from < to && from < MODEL_BYTES)
        memset(image->bytes + from, 0, (to < MODEL_BYTES ? to : MODEL_BYTES) - from);
}

/* What each sync under way covers: what was there when it started. */
static struct {
    struct image image;
    uint64_t order; /* of the starts; 0: not under way */
} flights[FLIGHTS];
static uint64_t starts, kept_order; /* the start whose image is kept */

static void flight_begin(int i, int fd, bool data_only, const struct image *now)
{
    struct io_uring_sqe sqe = {0};

    io_uring_prep_fsync(&sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
    assert_int_equal(rig_start(&rig, &in_flight[i], &sqe), 0);
    flights[i].image = *now;
    flights[i].order = ++starts;
}

static void flight_end(int i, bool effect, struct image *kept)
{
    assert_int_equal(rig_land(&rig, &in_flight[i], effect), 0);
    if (effect && flights[i].order > kept_order) {
        *kept = flights[i].image;
        kept_order = flights[i].order;
    }
    flights[i].order = 0;
}

static void flights_end(bool effect, struct image *kept)
{
    for (int i = 0; i < FLIGHTS; i++)
        if (flights[i].order)
            flight_end(i, effect, kept);
}

/* One file, random changes, syncs and crashes, under each profile: what is read is what the model
 * says. Bytes of the model behind the size are zero. */
static void random_files_keep_what_was_synced(void **state)
{
    static struct image now, kept;
    uint64_t dice = 42;

    (void)state;
    for (int file = 0; file < 200; file++) {
        const uint64_t size = file % 2 ? roll(&dice) % MODEL_BYTES : 0;
        char path[16];
        int fd;

        snprintf(path, sizeof(path), "/%d", file);
        tdw__disk_persistence(rig.disk, (enum tdw_persistence)(file % TDW_NO_BARRIERS));
        assert_int_equal(tdw__disk_seed_file(rig.disk, path, size, 9), 0);
        must_open(&fd, path, O_RDWR);
        memset(&now, 0, sizeof(now));
        now.size = size;
        RIG(&rig, read, fd, now.bytes, MODEL_BYTES, 0);
        kept = now;
        for (int step = 0; step < 200; step++) {
            const uint64_t off = roll(&dice) % MODEL_BYTES;
            const uint64_t bytes = 1 + roll(&dice) % (roll(&dice) % 2 ? 100 : MODEL_BYTES - off);
            const uint64_t end = off + bytes < MODEL_BYTES ? off + bytes : MODEL_BYTES;
            static uint8_t data[MODEL_BYTES];
            const int flight = (int)(roll(&dice) % FLIGHTS);

            switch (roll(&dice) % 12) {
            case 0:
            case 1:
            case 2:
                memset(data, (int)(1 + roll(&dice) % 255), sizeof(data));
                assert_int_equal(RIG(&rig, write, fd, data, (unsigned)(end - off), off),
                                 (int)(end - off));
                memcpy(now.bytes + off, data, end - off);
                now.size = end > now.size ? end : now.size;
                break;
            case 3:
                assert_int_equal(tdw_sys_truncate(path, (int64_t)off), 0);
                model_zero(&now, off, MODEL_BYTES);
                now.size = off;
                break;
            case 4:
                assert_int_equal(RIG(&rig, fallocate, fd,
                                     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
                                     (off_t)(end - off)),
                                 0);
                model_zero(&now, off, end);
                break;
            case 5:
            case 6:
                assert_int_equal(RIG(&rig, fsync, fd, roll(&dice) % 2), 0);
                kept = now;
                kept_order = ++starts;
                break;
            case 7:
            case 8:
            case 9:
            case 10:
                if (flights[flight].order)
                    flight_end(flight, true, &kept);
                else
                    flight_begin(flight, fd, roll(&dice) % 2, &now);
                break;
            default:
                flights_end(false, &kept);
                crash();
                must_open(&fd, path, O_RDWR);
                now = kept;
            }
            same_image(fd, &now);
        }
        flights_end(true, &kept);
        assert_int_equal(RIG(&rig, close, fd), 0);
        assert_int_equal(RIG(&rig, unlinkat, AT_FDCWD, path, 0), 0);
        sync_path("/");
        assert_int_equal(rig.disk->pages_used, 0);
    }
}

/* Names at random, with syncs and crashes: whatever survives is a tree, its counts are right, and
 * when all of it is removed no inode is left. */
static void walk_tree(const char *path, uint32_t depth, uint32_t *subdirs)
{
    char buffer[4096], child[256];
    const int fd = open_at(path, O_RDONLY | O_DIRECTORY);
    int bytes;

    assert_true(fd >= 0);
    assert_true(depth < 64);
    *subdirs = 0;
    bytes = rig_raw(&rig, TDW_OP_GETDENTS, fd, buffer, sizeof(buffer), 0);
    assert_true(bytes > 0);
    RIG(&rig, close, fd);
    for (int at = 0; at < bytes;) {
        const char *name = buffer + at + 19;
        uint32_t below;

        snprintf(child, sizeof(child), "%s/%s", depth ? path : "", name);
        if (strcmp(name, ".") && strcmp(name, "..") && S_ISDIR(stat_of(child).stx_mode)) {
            ++*subdirs;
            walk_tree(child, depth + 1, &below);
            assert_int_equal(stat_of(child).stx_nlink, 2 + below);
        }
        at += (int)*(const uint16_t *)(const void *)(buffer + at + 16);
    }
}

static void random_path(uint64_t *dice, char *path)
{
    static const char *const names[] = {"a", "b", "c"};
    const uint32_t parts = 1 + (uint32_t)(roll(dice) % 3);
    size_t at = 0;

    for (uint32_t i = 0; i < parts; i++) {
        path[at++] = '/';
        path[at++] = *names[roll(dice) % 3];
    }
    path[at] = '\0';
}

static void empty_tree(uint32_t depth, const char *path)
{
    static const char *const names[] = {"a", "b", "c"};
    char child[256];

    if (depth == 100 || strlen(path) > 240)
        return;
    for (int i = 0; i < 3; i++) {
        snprintf(child, sizeof(child), "%s/%s", path, names[i]);
        if (RIG(&rig, unlinkat, AT_FDCWD, child, 0) == -EISDIR) {
            empty_tree(depth + 1, child);
            RIG(&rig, unlinkat, AT_FDCWD, child, AT_REMOVEDIR);
        }
    }
}

static uint32_t count_inodes(void)
{
    uint32_t count = 0;

    for (const struct tdw_inode *inode = rig.disk->inodes_all; inode; inode = inode->next)
        count++;
    return count;
}

static uint32_t any_answer(struct tdw_survival *unused, const char *point, uint32_t ordinal,
                           uint32_t bound)
{
    static uint64_t dice = 11;

    (void)unused, (void)point, (void)ordinal;
    return (uint32_t)(roll(&dice) % bound);
}

static void random_names_stay_a_tree(void **state)
{
    const uint32_t names = rig.disk->names, inodes = count_inodes();
    struct tdw_survival any = {.choose = any_answer};
    uint64_t dice = 7;

    (void)state;
    for (int round = 0; round < 60 * TDW_PERSISTENCES; round++) {
        if (round % 10 == 0) /* all is empty and durable */
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)(round / 10 % TDW_PERSISTENCES));
        for (int step = 0; step < 200; step++) {
            char a[64], b[64];
            uint32_t subdirs;
            int fd;

            random_path(&dice, a);
            random_path(&dice, b);
            switch (roll(&dice) % 16) {
            case 0:
            case 1:
                fd = open_at(a, O_RDWR | O_CREAT);
                if (fd >= 0 && roll(&dice) % 2)
                    RIG(&rig, close, fd);
                break;
            case 2:
            case 3:
            case 4:
                RIG(&rig, mkdirat, AT_FDCWD, a, 0755);
                break;
            case 5:
                RIG(&rig, unlinkat, AT_FDCWD, a, roll(&dice) % 2 ? AT_REMOVEDIR : 0);
                break;
            case 6:
                RIG(&rig, linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
                break;
            case 7:
                RIG(&rig, renameat, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
                break;
            case 8:
            case 9:
                fd = open_at(a, O_RDONLY);
                if (fd >= 0)
                    sync_fd(fd);
                break;
            case 10:
                if (roll(&dice) % 8 == 0)
                    crash_to(&any);
                walk_tree("/", 0, &subdirs);
                break;
            case 11:
                tdw_sys_chdir(a);
                break;
            default:
                RIG(&rig, renameat, AT_FDCWD, a, AT_FDCWD, b, 0);
            }
        }
        if (round % 3 == 0)
            crash_to(&any);
        if (round % 10 == 9) {
            empty_tree(0, "");
            sync_path("/");
            crash();
            assert_int_equal(rig.disk->names, names);
            assert_int_equal(count_inodes(), inodes);
            assert_int_equal(rig.disk->root->names.subdirs, 1);
            assert_null(rig.disk->root->names.dirty);
        }
    }
}

int tests_files(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_was_synced_survives_and_nothing_else),
        TEST(a_name_without_a_synced_directory_is_gone),
        TEST(a_synced_name_of_an_unsynced_file_is_empty),
        TEST(an_unlink_that_was_not_synced_comes_back),
        TEST(replace_by_rename_shows_the_old_or_the_new),
        TEST(replace_by_rename_without_fsync_is_empty),
        TEST(a_rename_across_directories_is_one_thing),
        TEST(a_rename_into_a_new_directory_does_not_lose_the_file),
        TEST(directories_that_change_places_do_not_form_a_circle),
        TEST(an_unlinked_open_file_is_gone_after_a_crash),
        TEST(fdatasync_keeps_data_and_size_but_no_mode),
        TEST(synchronous_writes_are_durable_at_once),
        TEST(a_synchronous_write_syncs_only_its_own_pages),
        TEST(old_content_does_not_come_back_behind_a_truncation),
        TEST(an_unsynced_truncation_is_undone),
        TEST(a_removed_directory_comes_back_with_its_names),
        TEST(an_exchange_is_one_thing),
        TEST(hard_links_survive_one_by_one),
        TEST(seeded_files_hold_their_pattern),
        TEST(a_seeded_file_cut_and_grown_reads_zeros),
        TEST(a_hole_in_a_seeded_file_reads_zeros_until_a_crash),
        TEST(seeded_symlinks_lead_somewhere),
        TEST(random_bytes_depend_on_seed_actor_and_op_only),
        TEST(a_full_disk_answers_enospc_and_has_room_again),
        TEST(offsets_reach_to_the_end),
        TEST(descriptors_are_the_lowest_free_up_to_the_limit),
        TEST(forty_symlinks_are_followed_and_no_more),
        TEST(a_pipe_waits_where_it_must),
        TEST(a_pipe_without_readers_is_broken),
        TEST(packets_of_a_direct_pipe_keep_their_bounds),
        TEST(an_eventfd_waits_where_it_must),
        TEST(a_closed_descriptor_leaves_the_op_its_file),
        TEST(record_locks_belong_to_processes),
        TEST(a_circle_of_waiting_processes_is_a_deadlock),
        TEST(flock_belongs_to_the_open_file),
        TEST(a_fork_shares_open_files_but_not_the_table),
        TEST(names_of_calls_are_known),
        TEST(times_are_virtual),
        TEST(random_files_keep_what_was_synced),
        TEST(random_names_stay_a_tree),
    };
#undef TEST

    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
