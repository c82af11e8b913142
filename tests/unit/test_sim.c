/* SPDX-License-Identifier: MIT */
/*
 * The world as a whole: what it finds (deadlock, livelock, survivors, misused buffers), crashes,
 * resets, and that digests depend on the program alone.
 */
#include "tests.h"
#include <stdlib.h>

static const struct tdw_world_options calm = {.strategy = TDW_CALM, .watch_buffers = true};
static int64_t seen[16];
#define KNOWN_DIGEST 0x8e60cc0f591c02b9u

/* ── Findings ──────────────────────────────────────────────────────────────────────────────── */

static struct tdw_mutex left, right;

static void crossing(void *first)
{
    tdw_lock(first ? &left : &right);
    tdw_nop();
    tdw_lock(first ? &right : &left);
}

static void deadlock_main(void *unused)
{
    (void)unused;
    tdw_mutex_init(&left, "left");
    tdw_mutex_init(&right, "right");
    tdw_spawn_stackful("a", crossing, NULL);
    tdw_spawn_stackful("b", crossing, &left);
}

struct text {
    char all[1024];
};

static void add(void *out, const char *line)
{
    struct text *text = out;

    strncat(text->all, line, sizeof text->all - strlen(text->all) - 1);
}

static void a_deadlock_lists_who_waits_for_what(void **state)
{
    struct tdw_world *world = tdw_world_new(&calm);
    struct text text = {""};

    (void)state;
    assert_int_equal(tdw_world_run(world, deadlock_main, NULL), -EDEADLK);
    tdw_loop_waiters(tdw_world_loop(world), add, &text);
    assert_non_null(strstr(text.all, "main/main#0/a#0 waits for LOCK of left (blocked)"));
    assert_non_null(strstr(text.all, "main/main#0/b#0 waits for LOCK of right (blocked)"));
    assert_non_null(strstr(text.all, "test_sim.c:"));
    tdw_world_free(world);
}

static void spinner(void *unused)
{
    (void)unused;
    for (;;)
        tdw_yield();
}

static void spin_main(void *unused)
{
    tdw_spawn_stackful("spinner", spinner, unused);
}

static void an_endless_loop_is_a_livelock(void **state)
{
    const struct tdw_world_options options = {.steps_max = 10000};

    (void)state;
    assert_int_equal(tdw_test_run(&options, spin_main, NULL, NULL), -ELOOP);
}

static void stubborn(void *unused)
{
    (void)unused;
    while (tdw_lock(&left) != 12345)
        ;
}

static void survivor_main(void *unused)
{
    tdw_mutex_init(&left, "left");
    tdw_mutex_trylock(&left);
    tdw_daemon(tdw_spawn_stackful("stubborn", stubborn, unused));
}

static void a_daemon_that_survives_is_told(void **state)
{
    (void)state;
    assert_int_equal(tdw_test_run(&calm, survivor_main, NULL, NULL), -EOWNERDEAD);
}

static char buffer[64];

static void changes_a_write(void *unused)
{
    struct tdw_op op = {0};
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);

    (void)unused;
    TDW_GO(&op, pwrite, fd, buffer, sizeof buffer, 0);
    buffer[3]++;
    tdw_await(&op);
}

static void writes_into_a_read(void *unused)
{
    struct tdw_op op = {0};
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);

    (void)unused;
    TDW_GO(&op, pread, fd, buffer, sizeof buffer, 0);
    buffer[3]++;
    tdw_await(&op);
}

static void leaves_buffers_alone(void *unused)
{
    const int fd = tdw_open("f", O_CREAT | O_RDWR, 0600);

    (void)unused;
    memcpy(buffer, "before", 7);
    seen[0] = tdw_pwrite(fd, buffer, 4, 0);
    memset(buffer, 'x', sizeof buffer);
    seen[1] = tdw_pread(fd, buffer, sizeof buffer, 0); /* short: the rest stays as it was */
    seen[2] = memcmp(buffer, "befoxxxx", 8);
}

static void run_task(void (*body)(void *), struct tdw_after *after);
static void (*body_to_run)(void *);
static void body_main(void *unused)
{
    tdw_spawn_stackful("test", body_to_run, unused);
}
static void run_task(void (*body)(void *), struct tdw_after *after)
{
    body_to_run = body;
    assert_int_equal(tdw_test_run(&calm, body_main, NULL, after), 0);
}

static void buffers_in_flight_are_watched(void **state)
{
    struct tdw_after after;

    (void)state;
    run_task(changes_a_write, &after);
    assert_string_equal(after.text, "the buffer of a write in flight was changed");
    run_task(writes_into_a_read, &after);
    assert_string_equal(after.text, "the buffer of a read in flight was written to");
    run_task(leaves_buffers_alone, &after);
    assert_string_equal(after.text, "");
    assert_int_equal(seen[0], 4);
    assert_int_equal(seen[1], 4);
    assert_int_equal(seen[2], 0);
}

/* ── Crashes ───────────────────────────────────────────────────────────────────────────────── */

static struct tdw_host *victim;
static struct tdw_chan line;

static void writer(void *unused)
{
    const int old = tdw_open("synced", O_RDONLY, 0);
    int fd, dir;
    char text[8] = "";

    (void)unused;
    if (old >= 0) { /* the second life */
        seen[0] = tdw_pread(old, text, sizeof text, 0);
        seen[1] = memcmp(text, "kept", 4);
        seen[2] = tdw_open("lost", O_RDONLY, 0);
        return;
    }
    fd = tdw_open("synced", O_CREAT | O_RDWR, 0600);
    tdw_pwrite(fd, "kept", 4, 0);
    tdw_fsync(fd);
    dir = tdw_open(".", O_RDONLY | O_DIRECTORY, 0);
    tdw_fsync(dir);
    tdw_pwrite(fd, "gone", 4, 4);
    tdw_open("lost", O_CREAT | O_RDWR, 0600);
    seen[3] = 1;
    tdw_malloc(100);
    for (;;)
        tdw_sleep(1000);
}

static void writer_main(void *unused)
{
    tdw_chan_serve(&line);
    tdw_daemon(tdw_spawn_stackful("writer", writer, unused));
}

static void crasher(void *unused)
{
    void *item;
    struct tdw_op take = {0};

    (void)unused;
    tdw_chan_init(&line, "line", NULL, 0);
    victim = tdw_host("victim", writer_main, NULL);
    tdw_host_boot(victim);
    seen[4] = tdw_host_boot(victim);
    tdw_sleep(3000000);
    TDW_GO(&take, take, &line, &item);
    seen[5] = tdw_host_crash(victim);
    seen[6] = tdw_await(&take); /* whom we waited for is dead */
    seen[7] = tdw_host_crash(victim);
    seen[8] = tdw_put(&line, NULL);
    seen[9] = tdw_host_running(victim);
    tdw_host_boot(victim);
    tdw_sleep(3000000);
}

static void crash_main(void *unused)
{
    tdw_spawn_stackful("crasher", crasher, unused);
}

static void a_crash_keeps_what_was_synced_and_nothing_else(void **state)
{
    struct tdw_after after;

    (void)state;
    memset(seen, 0x77, sizeof seen);
    assert_int_equal(tdw_test_run(&calm, crash_main, NULL, &after), 0);
    assert_string_equal(after.text, "");
    assert_int_equal(seen[3], 1);
    assert_int_equal(seen[0], 4);
    assert_int_equal(seen[1], 0);
    assert_int_equal(seen[2], -ENOENT);
    assert_int_equal(seen[4], -EALREADY);
    assert_int_equal(seen[5], 0);
    assert_int_equal(seen[6], -EPIPE);
    assert_int_equal(seen[7], -ESRCH);
    assert_int_equal(seen[8], -EPIPE);
    assert_int_equal(seen[9], 0);
}

/* ── Resets, and what a digest depends on ──────────────────────────────────────────────────── */

static void a_reset_world_is_as_good_as_new(void **state)
{
    const struct tdw_world_options options = {.seed = 3, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_digest digest;

    (void)state;
    tdw_world_run(world, crash_main, NULL);
    digest = tdw_world_digest(world);
    for (int i = 0; i < 3; i++) {
        tdw_world_reset(world, &options);
        assert_int_equal(tdw_world_run(world, i == 1 ? deadlock_main : crash_main, NULL),
                         i == 1 ? -EDEADLK : 0);
        assert_int_equal(tdw_digest_equal(tdw_world_digest(world), digest), i != 1);
    }
    tdw_world_free(world);
}

/* The digest of one program, as a number in the source: the same on every machine, compiler,
 * level and architecture. It changes only with what a digest covers; say why in the commit. */
static void the_digest_of_a_known_run_is_known(void **state)
{
    const struct tdw_world_options options = {.seed = 42, .strategy = TDW_RANDOM};
    struct tdw_after after;

    (void)state;
    assert_int_equal(tdw_test_run(&options, crash_main, NULL, &after), 0);
    if (after.digest.lo != KNOWN_DIGEST)
        print_error("the digest is 0x%016llxu\n", (unsigned long long)after.digest.lo);
    assert_true(after.digest.lo == KNOWN_DIGEST);
}

int tests_sim(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadlock_lists_who_waits_for_what),
        cmocka_unit_test(an_endless_loop_is_a_livelock),
        cmocka_unit_test(a_daemon_that_survives_is_told),
        cmocka_unit_test(buffers_in_flight_are_watched),
        cmocka_unit_test(a_crash_keeps_what_was_synced_and_nothing_else),
        cmocka_unit_test(a_reset_world_is_as_good_as_new),
        cmocka_unit_test(the_digest_of_a_known_run_is_known),
    };

    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
