/* SPDX-License-Identifier: MIT */
/*
 * Disks that are not what they should be: each point of tdw/disk/ in a program of a few lines, on a
 * host that is crashed and booted again.
 */
#include "tests.h"
#include <fcntl.h>
#include <stdio.h>
#include <tidewheel/fault.h>
#include <tidewheel/scenario.h>

int tests_damage(void);

enum { PAGE = 4096, PAGES = 4 };

static struct {
    void (*boots[2])(void); /* what the host does after its first boot, and after its second */
    int boot;
    int seen[8];
    int count;
} test;

static void note(int value)
{
    test.seen[test.count++] = value;
}

static void work(void *unused)
{
    (void)unused;
    test.boots[test.boot]();
}

static void host_main(void *unused)
{
    tdw_spawn_stackful("work", work, unused);
}

static void test_main(void *unused)
{
    struct tdw_host *host = tdw_host("db", host_main, NULL);

    (void)unused;
    for (test.boot = 0; test.boot < 2; test.boot++) {
        tdw_host_boot(host);
        tdw_sleep(1000000000);
        tdw_host_crash(host);
    }
}

static void root(void *unused)
{
    tdw_spawn_stackful("test", test_main, unused);
}

/* `main` under a plan; `fires`: how often its first rule did. */
static void run_root(const char *text, void (*main)(void *), uint64_t fires)
{
    const struct tdw_world_options options = {.seed = 5, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_rule_count counts[4] = {{0, 0, 0}};
    struct tdw_faults *faults;
    struct tdw_plan *plan;

    test.count = 0;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    faults = tdw_plan_apply(plan, tdw_world_loop(world), counts);
    assert_non_null(faults);
    assert_int_equal(tdw_world_run(world, main, NULL), 0);
    tdw_faults_end(faults);
    tdw_plan_free(plan);
    assert_int_equal(counts[0].fires, fires);
    tdw_world_free(world);
}

/* Two boots of a host. */
static void run(const char *text, void (*first)(void), void (*second)(void), uint64_t fires)
{
    memset(&test, 0, sizeof test);
    test.boots[0] = first;
    test.boots[1] = second;
    run_root(text, root, fires);
}

static int open_file(void)
{
    return tdw_open("file", O_RDWR | O_CREAT, 0644);
}

static void sync_dir(void)
{
    const int dir = tdw_open(".", O_RDONLY | O_DIRECTORY, 0);

    tdw_fsync(dir);
    tdw_close(dir);
}

static void fill(int fd, int page, int with)
{
    static char bytes[PAGE];

    memset(bytes, with, sizeof bytes);
    tdw_pwrite(fd, bytes, PAGE, (uint64_t)page * PAGE);
}

/* What the page is filled with, or the error; 0: with different bytes. */
static int filled(int fd, int page)
{
    static char bytes[PAGE];
    const int n = tdw_pread(fd, bytes, PAGE, (uint64_t)page * PAGE);

    if (n < 0)
        return n;
    for (int i = 1; i < n; i++)
        if (bytes[i] != bytes[0])
            return 0;
    return n == 0 ? -1 : bytes[0];
}

/* PAGES pages of 'a', durable. */
static int old_file(void)
{
    const int fd = open_file();

    for (int i = 0; i < PAGES; i++)
        fill(fd, i, 'a');
    note(tdw_fsync(fd));
    sync_dir();
    return fd;
}

static void nothing(void)
{
}

static void seen_are(const int *expected, int count)
{
    assert_int_equal(test.count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(test.seen[i], expected[i]);
}
#define SEEN(...)                                                                                  \
    seen_are((const int[]){__VA_ARGS__}, (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* ── Reading ───────────────────────────────────────────────────────────────────────────────── */

static void reads_twice(void)
{
    const int fd = old_file();

    note(filled(fd, 0));
    note(filled(fd, 0));
    fill(fd, 0, 'b');
    note(filled(fd, 0));
    tdw_close(fd);
}

static void what_cannot_be_read_cannot_until_it_is_written(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/read/error, nth: 1}]", reads_twice, nothing, 1);
    /* The sector that is bad is any of the page: a short read, or none. */
    assert_int_equal(test.seen[0], 0);
    assert_true(test.seen[1] == -EIO || test.seen[1] == 'a');
    assert_int_equal(test.seen[1], test.seen[2]);
    assert_int_equal(test.seen[3], 'b');
}

static void rot_stays_until_it_is_written(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/read/rot, nth: 1}]", reads_twice, nothing, 1);
    SEEN(0, 0, 0, 'b');
}

static void reads_again(void)
{
    const int fd = open_file();

    note(filled(fd, 0));
    tdw_close(fd);
}

/* What was written over it went with the power. */
static void rot_is_back_when_the_write_was_not_durable(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/read/rot, nth: 1}]", reads_twice, reads_again, 1);
    SEEN(0, 0, 0, 'b', 0);
}

static void reads_and_syncs(void)
{
    const int fd = old_file();

    note(filled(fd, 0));
    fill(fd, 0, 'b');
    tdw_fsync(fd);
    note(filled(fd, 0));
    tdw_close(fd);
}

static void rot_is_gone_when_it_was(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/read/rot, nth: 1}]", reads_and_syncs, reads_again, 1);
    SEEN(0, 0, 'b', 'b');
}

/* ── Writing ───────────────────────────────────────────────────────────────────────────────── */

static void writes_a_page(void)
{
    const int fd = old_file();

    fill(fd, 1, 'b');
    note(tdw_fsync(fd));
    note(filled(fd, 1));
    tdw_close(fd);
}

static void looks_at_all(void)
{
    const int fd = open_file();

    for (int i = 0; i < PAGES; i++)
        note(filled(fd, i));
    tdw_close(fd);
}

static void a_lost_write_is_seen_after_a_crash(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/write/lost, nth: 5}]", writes_a_page, looks_at_all, 1);
    SEEN(0, 0, 'b', 'a', 'a', 'a', 'a');
}

static void a_misdirected_write_is_another_pages(void **state)
{
    int elsewhere = 0;

    (void)state;
    run("rules: [{point: tdw/disk/write/misdirected, nth: 5}]", writes_a_page, looks_at_all, 1);
    assert_int_equal(test.count, 3 + PAGES);
    assert_int_equal(test.seen[2], 'b');
    for (int i = 0; i < PAGES; i++)
        elsewhere += i != 1 && test.seen[3 + i] == 'b';
    assert_int_equal(elsewhere + (test.seen[4] == 'b'), 1);
}

/* ── Syncs ─────────────────────────────────────────────────────────────────────────────────── */

static void syncs_twice(void)
{
    const int fd = old_file(), other = open_file();

    fill(fd, 1, 'b');
    note(tdw_fsync(fd));
    note(tdw_fsync(fd));
    note(tdw_fsync(other));
    note(tdw_fsync(other));
    tdw_close(fd);
    tdw_close(other);
}

static void looks_at_one(void)
{
    const int fd = open_file();

    note(filled(fd, 1));
    tdw_close(fd);
}

static void a_failed_sync_drops_what_it_was_for(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/sync/error, match: {path: /file}, nth: 2}]", syncs_twice,
        looks_at_one, 1);
    SEEN(0, -EIO, 0, -EIO, 0, 'a');
}

static void a_failed_sync_may_leave_it(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/sync/error, match: {path: '*le'}, nth: 2, action: {keep: true}}]",
        syncs_twice, looks_at_one, 1);
    SEEN(0, -EIO, 0, -EIO, 0, 'b');
}

static void writes_again(void)
{
    const int fd = old_file();

    fill(fd, 1, 'b');
    note(tdw_fsync(fd));
    fill(fd, 1, 'c');
    note(tdw_fsync(fd));
    tdw_close(fd);
}

static void what_is_written_again_is_kept(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/sync/error, match: {path: /file}, nth: 2}]", writes_again,
        looks_at_one, 1);
    SEEN(0, -EIO, 0, 'c');
}

static void a_sync_that_lies_keeps_nothing(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/sync/lie, match: {path: /file, host: db}, nth: 2}]",
        writes_a_page, looks_at_one, 1);
    SEEN(0, 0, 'b', 'a');
    run("rules: [{point: tdw/disk/sync/lie, match: {host: other}}]", writes_a_page, looks_at_one,
        0);
    SEEN(0, 0, 'b', 'b');
}

/* Rules hold under each profile, and a lie does not count as a flush. */
static void profiles_know_damage_too(void **state)
{
    char text[200];

    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++) {
        snprintf(text, sizeof text,
                 "disks: {db: {persistence: %s}}\n"
                 "rules: [{point: tdw/disk/write/lost, nth: 5}]",
                 tdw_persistence_name((enum tdw_persistence)p));
        run(text, writes_a_page, looks_at_one, 1);
        assert_true(test.seen[3] != 'b');
    }
}

static void a_wiped_disk_is_empty(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/wiped, match: {host: db}, nth: 2}]", writes_a_page, looks_at_one,
        1);
    SEEN(0, 0, 'b', -1);
}

/* ── Two hosts ─────────────────────────────────────────────────────────────────────────────── */

static char owners[4];

static void writes_its_name(void *name)
{
    const int fd = open_file();
    char first = *(const char *)name;

    if (tdw_pread(fd, &first, 1, 0) == 0) {
        tdw_pwrite(fd, name, 1, 0);
        tdw_fsync(fd);
        sync_dir();
    }
    owners[test.count++] = first;
    tdw_close(fd);
}

static void owner_main(void *name)
{
    tdw_spawn_stackful("owner", writes_its_name, name);
}

static void owners_main(void *unused)
{
    static char names[2][2] = {"a", "b"};
    struct tdw_host *hosts[2];

    (void)unused;
    for (int i = 0; i < 4; i++) {
        hosts[i % 2] = tdw_host(names[i % 2], owner_main, names[i % 2]);
        tdw_host_boot(hosts[i % 2]);
        tdw_sleep(1000000000);
        tdw_host_crash(hosts[i % 2]);
    }
}

static void two_roots(void *unused)
{
    tdw_spawn_stackful("test", owners_main, unused);
}

static void a_swapped_disk_is_anothers(void **state)
{
    (void)state;
    run_root("rules: [{point: tdw/disk/swapped, match: {host: a}, nth: 1}]", two_roots, 1);
    assert_memory_equal(owners, "abba", 4);
    run_root("rules: [{point: tdw/disk/swapped, match: {host: x}}]", two_roots, 0);
    assert_memory_equal(owners, "abab", 4);
}

/* ── O_SYNC ────────────────────────────────────────────────────────────────────────────────── */

static void writes_synchronously(void)
{
    const int fd = old_file(), sync = tdw_open("file", O_RDWR | O_DSYNC, 0644);

    note(tdw_pwrite(sync, "b", 1, 0));
    note(tdw_pwrite(sync, "c", 1, PAGE));
    note(tdw_fsync(fd));
    note(tdw_fsync(sync));
    tdw_close(fd);
    tdw_close(sync);
}

static void looks_at_two_bytes(void)
{
    const int fd = open_file();
    char byte = 0;

    for (int i = 0; i < 2; i++) {
        tdw_pread(fd, &byte, 1, (uint64_t)i * PAGE);
        note(byte);
    }
    tdw_close(fd);
}

/* The write fails, and so does the next sync through another open file: once each. */
static void a_synchronous_write_fails_like_a_sync(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/sync/error, match: {opcode: write}, nth: 1}]",
        writes_synchronously, looks_at_two_bytes, 1);
    SEEN(0, -EIO, 1, -EIO, 0, 'a', 'c');
    run("rules: [{point: tdw/disk/sync/lie, match: {opcode: write}}]", writes_synchronously,
        looks_at_two_bytes, 2);
    SEEN(0, 1, 1, 0, 0, 'b', 'c'); /* the honest fsync that comes after keeps both */
}

/* ── Limits ────────────────────────────────────────────────────────────────────────────────── */

static void fills_the_disk(void)
{
    static const char bytes[2 * PAGE] = "x";
    const int fd = open_file();

    note(tdw_pwrite(fd, bytes, sizeof bytes, 0));
    note(tdw_pwrite(fd, bytes, sizeof bytes, sizeof bytes));
    note(tdw_pwrite(fd, bytes, sizeof bytes, 2 * sizeof bytes));
    tdw_close(fd);
}

static void a_disk_is_as_large_as_the_plan_says(void **state)
{
    (void)state;
    run("disks: {db: {capacity: 12k}}\nrules: [{point: tdw/disk/wiped, p: 0}]", fills_the_disk,
        nothing, 0);
    SEEN(2 * PAGE, PAGE, -ENOSPC);
    run("disks: {db: {capacity: 12k, full: EDQUOT}}\nrules: [{point: tdw/disk/wiped, p: 0}]",
        fills_the_disk, nothing, 0);
    SEEN(2 * PAGE, PAGE, -EDQUOT);
}

int tests_damage(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_read_cannot_until_it_is_written),
        cmocka_unit_test(rot_stays_until_it_is_written),
        cmocka_unit_test(rot_is_back_when_the_write_was_not_durable),
        cmocka_unit_test(rot_is_gone_when_it_was),
        cmocka_unit_test(a_lost_write_is_seen_after_a_crash),
        cmocka_unit_test(a_misdirected_write_is_another_pages),
        cmocka_unit_test(a_failed_sync_drops_what_it_was_for),
        cmocka_unit_test(a_failed_sync_may_leave_it),
        cmocka_unit_test(what_is_written_again_is_kept),
        cmocka_unit_test(a_sync_that_lies_keeps_nothing),
        cmocka_unit_test(profiles_know_damage_too),
        cmocka_unit_test(a_wiped_disk_is_empty),
        cmocka_unit_test(a_swapped_disk_is_anothers),
        cmocka_unit_test(a_synchronous_write_fails_like_a_sync),
        cmocka_unit_test(a_disk_is_as_large_as_the_plan_says),
    };

    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
