/* SPDX-License-Identifier: MIT */
/*
 * What a plan does to packets, hosts and clocks: each point in a small program of two hosts.
 */
#include "tests.h"
#include <stdio.h>
#include <sys/wait.h>
#include <tidewheel/fault.h>
#include <tidewheel/process.h>
#include <tidewheel/scenario.h>

int tests_fate(void);

enum { PORT = 7000, MS = 1000000, DATAGRAMS = 200 };

static struct {
    struct sockaddr_in address;
    struct tdw_host *server, *client;
    uint32_t got, wrong, reordered, doubled, boots, beats, broken;
    uint64_t last, first_ns, longest_ns;
    bool seen[DATAGRAMS];
} test;

static uint64_t fires[8];

static void run(const char *text, void (*main)(void *))
{
    const struct tdw_world_options options = {.seed = 3, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_rule_count counts[8];
    struct tdw_faults *faults;
    struct tdw_plan *plan;

    memset(&test, 0, sizeof test);
    memset(counts, 0, sizeof counts);
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    faults = tdw_plan_apply(plan, tdw_world_loop(world), counts);
    assert_non_null(faults);
    assert_int_equal(tdw_world_run(world, main, NULL), 0);
    tdw_faults_end(faults);
    for (size_t i = 0; i < tdw_plan_rules(plan) && i < 8; i++)
        fires[i] = counts[i].fires;
    tdw_plan_free(plan);
    tdw_world_free(world);
}

/* ── Datagrams ─────────────────────────────────────────────────────────────────────────────── */

static int udp_socket(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_DGRAM, 0);

    tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    return fd;
}

static void receive_all(void *unused)
{
    const int fd = udp_socket();
    uint64_t words[2];

    (void)unused;
    while (tdw_recv(fd, words, sizeof words, 0) == sizeof words) {
        if (test.got++ == 0)
            test.first_ns = tdw_now();
        if (words[0] >= DATAGRAMS || words[1] != ~words[0]) {
            test.wrong++;
            continue;
        }
        test.doubled += test.seen[words[0]];
        test.seen[words[0]] = true;
        test.reordered += words[0] < test.last;
        test.last = words[0];
    }
    tdw_close(fd);
}

static void send_all(void *unused)
{
    const int fd = udp_socket();

    (void)unused;
    for (uint64_t i = 0; i < DATAGRAMS; i++) {
        uint64_t words[2] = {i, ~i};

        tdw_sendto(fd, words, sizeof words, 0, (struct sockaddr *)&test.address,
                   sizeof test.address);
        tdw_sleep(MS);
    }
    tdw_sleep(200 * MS);
    tdw_close(fd);
}

static void receiver(void *unused)
{
    (void)unused;
    tdw_daemon(tdw_spawn_stackful("receive", receive_all, NULL));
}

static void sender(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("send", send_all, NULL);
}

static void two_hosts(void (*server)(void *), void (*client)(void *))
{
    tdw_faults_begin();
    test.server = tdw_host("server", server, NULL);
    test.client = tdw_host("client", client, NULL);
    test.address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = tdw_host_ipv4(test.server)};
    tdw_host_boot(test.server);
    tdw_host_boot(test.client);
}

static struct {
    void (*server)(void *), (*client)(void *);
} mains;

static void both_mains(void *unused)
{
    (void)unused;
    two_hosts(mains.server, mains.client);
}

/* A plan, and what the hosts "server" and "client" do. */
static void run_hosts(const char *text, void (*server)(void *), void (*client)(void *))
{
    mains.server = server;
    mains.client = client;
    run(text, both_mains);
}

static void without_faults_all_arrive_once_and_in_order(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/*, match: {peer: nobody}}]", receiver, sender);
    assert_int_equal(test.got, DATAGRAMS);
    assert_int_equal(test.wrong + test.doubled + test.reordered, 0);
}

static void dropped_datagrams_do_not_arrive(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/drop, p: 20%, match: {host: client, peer: server}}]",
              receiver, sender);
    assert_true(fires[0] > 10);
    assert_int_equal(test.got, DATAGRAMS - fires[0]);
}

static void doubled_datagrams_arrive_twice(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/duplicate, p: 20%}]", receiver, sender);
    assert_true(fires[0] > 10);
    assert_int_equal(test.got, DATAGRAMS + fires[0]);
    assert_int_equal(test.doubled, fires[0]);
}

static void corrupt_datagrams_have_one_wrong_bit(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/corrupt, p: 20%}]", receiver, sender);
    assert_true(fires[0] > 10);
    assert_int_equal(test.got, DATAGRAMS);
    assert_int_equal(test.wrong, fires[0]);
}

static void late_datagrams_are_overtaken(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/delay, p: 10%, action: {delay: 5ms}}]", receiver, sender);
    assert_true(fires[0] > 5);
    assert_int_equal(test.got, DATAGRAMS);
    assert_true(test.reordered > 0);
}

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

static void beat(void *unused)
{
    uint64_t before = tdw_now();

    (void)unused;
    for (;;) {
        if (tdw_sleep(MS) < 0)
            return;
        test.beats++;
        if (tdw_now() - before > test.longest_ns)
            test.longest_ns = tdw_now() - before;
        before = tdw_now();
    }
}

static void beating(void *unused)
{
    (void)unused;
    test.boots++;
    tdw_daemon(tdw_spawn_stackful("beat", beat, NULL));
}

static void wait_100ms(void *unused)
{
    (void)unused;
    tdw_sleep(100 * MS);
}

static void waiter(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("wait", wait_100ms, NULL);
}

static void beats(void *unused)
{
    (void)unused;
    two_hosts(beating, waiter);
}

static void a_host_that_crashes_is_down_for_a_while(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/crash, match: {host: server}, at: 20ms, action: {down: 30ms}}]",
        beats);
    assert_int_equal(fires[0], 1);
    assert_int_equal(test.boots, 2);
    assert_in_range(test.beats, 66, 70);
}

static void a_host_that_restarts_is_not(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/restart, match: {host: server}, at: 20ms}]", beats);
    assert_int_equal(test.boots, 2);
    assert_in_range(test.beats, 96, 101);
}

static void a_paused_host_goes_on_behind(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/pause, match: {host: server}, at: 20ms, action: {down: 30ms}}]",
        beats);
    assert_int_equal(test.boots, 1);
    assert_true(test.longest_ns >= 29 * MS);
}

static void some_of_a_group_are_spared(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/crash, action: {down: 1s}, spare: {group: '*er*', keep: 1}, p: 1,"
        " match: {host: 'server'}}]",
        beats);
    assert_int_equal(fires[0], 0); /* client is not of the group, so server is its last */
    run("rules: [{point: tdw/host/crash, action: {down: 1s}, spare: {group: '*e*', keep: 1}, p: 1,"
        " match: {host: 'server'}}]",
        beats);
    assert_int_equal(fires[0], 1);
}

static void a_partition_keeps_packets_away(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/partition, match: {host: server}, at: 50ms,"
              "         action: {down: 50ms}}]",
              receiver, sender);
    assert_in_range(test.got, DATAGRAMS - 52, DATAGRAMS - 48);
    run_hosts(
        "rules: [{point: tdw/net/deaf, match: {host: client}, at: 50ms, action: {down: 50ms}}]",
        receiver, sender);
    assert_int_equal(test.got, DATAGRAMS); /* who is deaf reaches others */
}

/* Only a third host's packets are kept away: no datagram is. And then only the client's are. */
static void a_partition_may_be_between_some(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/partition, match: {host: server, peer: other*}, at: 50ms,"
              "         action: {down: 50ms}}]",
              receiver, sender);
    assert_int_equal(fires[0], 1);
    assert_int_equal(test.got, DATAGRAMS);
    run_hosts("rules: [{point: tdw/net/deaf, match: {host: server, peer: cl*}, at: 50ms,"
              "         action: {down: 50ms}}]",
              receiver, sender);
    assert_in_range(test.got, DATAGRAMS - 52, DATAGRAMS - 48);
}

/* 44 bytes of a packet at 1,000 bytes a second are 44 ms: what is sent each millisecond waits, for
 * longer and longer, until the link's queue of 100 bytes is full. */
static void a_slow_link_holds_packets_up(void **state)
{
    (void)state;
    run_hosts("links: {'client -> server': {queue: 100}}\n"
              "rules: [{point: tdw/net/slow, match: {host: client}, at: 50ms,"
              "         action: {down: 100ms, bandwidth: 1000}}]",
              receiver, sender);
    assert_in_range(test.got, DATAGRAMS - 100, DATAGRAMS - 80);
    run_hosts("links: {'client <-> server': {latency: 50ms, drop: false, queue: 0, jitter: 0ns}}\n",
              receiver, sender);
    assert_int_equal(test.got, DATAGRAMS);
    assert_in_range(test.first_ns, 50 * MS, 52 * MS);
}

static void latecomer(void *unused)
{
    (void)unused;
    two_hosts(receiver, sender);
    tdw_sleep(70 * MS);
    tdw_host_boot(tdw_host("late", waiter, NULL));
}

static void latecomers(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("late", latecomer, NULL);
}

static void who_comes_during_a_partition_is_not_part_of_it(void **state)
{
    (void)state;
    run("rules: [{point: tdw/net/partition, match: {host: server}, at: 50ms,"
        "         action: {down: 50ms}}]",
        latecomers);
    assert_in_range(test.got, DATAGRAMS - 52, DATAGRAMS - 48);
}

static void healed(void *unused)
{
    (void)unused;
    tdw_sleep(30 * MS);
    tdw_heal(NULL);
    tdw_sleep(70 * MS);
}

static void heals(void *unused)
{
    (void)unused;
    two_hosts(beating, waiter);
    tdw_spawn_stackful("heal", healed, NULL);
}

static void healing_ends_it_all(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/crash, match: {host: server}, at: 20ms, action: {down: 1h}},\n"
        "        {point: tdw/op/timeout/delay, from: 40ms}]",
        heals);
    assert_int_equal(test.boots, 2);
    assert_int_equal(fires[1], 0);
    assert_in_range(test.beats, 85, 90);
}

static void some_healed(void *unused)
{
    (void)unused;
    tdw_sleep(30 * MS);
    tdw_heal("ser*");
    tdw_sleep(70 * MS);
}

static void heals_some(void *unused)
{
    (void)unused;
    two_hosts(beating, waiter);
    tdw_spawn_stackful("heal", some_healed, NULL);
}

static void healing_may_be_for_some(void **state)
{
    (void)state;
    run("rules: [{point: tdw/host/crash, match: {host: server}, at: 20ms, action: {down: 1h}},\n"
        "        {point: tdw/op/timeout/delay, match: {host: server}, from: 40ms},\n"
        "        {point: tdw/op/timeout/delay, match: {host: main}, nth: 1, from: 25ms}]",
        heals_some);
    assert_int_equal(test.boots, 2);
    assert_int_equal(fires[1], 0);
    assert_int_equal(fires[2], 1); /* main is not healed */
    assert_in_range(test.beats, 85, 90);
}

/* ── Processes ─────────────────────────────────────────────────────────────────────────────── */

static void child_main(void *unused)
{
    (void)unused;
    tdw_daemon(tdw_spawn_stackful("beat", beat, NULL));
}

/* Whoever dies is told of, and has a successor. */
static void supervise(void *unused)
{
    int status;

    (void)unused;
    tdw_proc_spawn("child", child_main, NULL);
    tdw_proc_spawn("child", child_main, NULL);
    while (tdw_waitpid(-1, &status) > 0) {
        test.broken += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        tdw_proc_spawn("child", child_main, NULL);
    }
}

static void supervising(void *unused)
{
    (void)unused;
    tdw_daemon(tdw_spawn_stackful("supervise", supervise, NULL));
}

static void processes_are_killed(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/process/kill, match: {host: server}, every: 10}]", supervising,
              waiter);
    assert_in_range(fires[0], 8, 11);
    assert_in_range(test.broken, fires[0] - 1, fires[0]); /* the last is told of after the end */
}

/* ── Slow, and hanging ─────────────────────────────────────────────────────────────────────── */

enum { CALLS = 40 };

static uint64_t took_ns[CALLS];
static int answers[CALLS];

/* Reads of a file and of what is in no file, an fsync, and a write, each 5 ms. */
static void calls(void *unused)
{
    const int fd = tdw_open("file", O_RDWR | O_CREAT, 0644);
    char buffer[8];

    (void)unused;
    tdw_write(fd, "01234567", 8);
    for (int i = 0; i < CALLS; i++) {
        const uint64_t before = tdw_now();

        switch (i % 4) {
        case 0:
            answers[i] = tdw_pread(fd, buffer, 8, 0);
            break;
        case 1:
            answers[i] = tdw_fsync(fd);
            break;
        case 2:
            answers[i] = tdw_pwrite(fd, "0", 1, 0);
            break;
        default:
            answers[i] = tdw_mkdir("dir", 0755);
        }
        took_ns[i] = tdw_now() - before;
        tdw_sleep(5 * MS);
    }
}

static void calling(void *unused)
{
    (void)unused;
    test.boots++;
    tdw_spawn_stackful("calls", calls, NULL);
}

static void calling_host(void *unused)
{
    (void)unused;
    two_hosts(calling, waiter);
}

static uint64_t longest(int which)
{
    uint64_t ns = 0;

    for (int i = which; i < CALLS; i += 4)
        ns = took_ns[i] > ns ? took_ns[i] : ns;
    return ns;
}

static void a_slow_host_takes_its_time(void **state)
{
    uint64_t before;

    (void)state;
    run("rules: []", calling_host);
    before = longest(1);
    run("hosts: {serv*: {slow: 50}}", calling_host);
    assert_true(longest(1) > 10 * before);
    run("rules: [{point: tdw/host/slow, match: {host: server}, at: 20ms,"
        "         action: {times: 1000, down: 40ms}}]",
        calling_host);
    assert_true(longest(1) > 50 * before || longest(0) > 5 * MS);
    assert_true(took_ns[CALLS - 3] < 10 * before);
    /* It is as slow as it was before when that is over. */
    run("hosts: {server: {slow: 50}}\n"
        "rules: [{point: tdw/host/slow, match: {host: server}, at: 20ms, action: {down: 10ms}}]",
        calling_host);
    assert_int_equal(fires[0], 1);
    assert_true(took_ns[CALLS - 3] > 10 * before);
}

static void a_disk_that_hangs_answers_late(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/hang, match: {host: server}, at: 20ms, action: {down: 70ms}}]",
        calling_host);
    assert_true(longest(0) > 50 * MS || longest(1) > 50 * MS);
    assert_true(longest(2) < MS); /* into the page cache */
    assert_true(longest(3) < MS);
}

static void a_disk_that_is_read_only_refuses_changes(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/read-only, match: {host: server}, at: 50ms},"
        "        {point: tdw/host/restart, match: {host: nobody}}]",
        calling_host);
    assert_int_equal(answers[2], 1);
    assert_int_equal(answers[CALLS - 4], 8);
    assert_int_equal(answers[CALLS - 3], -EROFS);
    assert_int_equal(answers[CALLS - 2], -EROFS);
    assert_int_equal(answers[CALLS - 1], -EEXIST);
    run("rules: [{point: tdw/disk/read-only, match: {host: server}, at: 1ms},"
        "        {point: tdw/host/crash, match: {host: server}, at: 50ms, action: {down: 1ms}}]",
        calling_host);
    assert_int_equal(test.boots, 2);
    assert_int_equal(answers[2], 1);
    assert_int_equal(answers[CALLS - 1], -EEXIST); /* made by the second boot */
}

static void heal_at_30ms(void *unused)
{
    (void)unused;
    tdw_sleep(30 * MS);
    tdw_heal(NULL);
}

static void calling_and_healed(void *unused)
{
    calling_host(unused);
    tdw_spawn_stackful("heal", heal_at_30ms, NULL);
}

static void a_disk_is_healed_too(void **state)
{
    (void)state;
    run("rules: [{point: tdw/disk/hang, match: {host: server}, at: 29ms, action: {down: 1h}}]",
        calling_and_healed);
    assert_int_equal(fires[0], 1);
    assert_true(longest(0) < 100 * MS && longest(1) < 100 * MS);
    run("rules: [{point: tdw/disk/read-only, match: {host: server}, at: 1ms}]", calling_and_healed);
    assert_int_equal(answers[2], -EROFS);
    assert_int_equal(answers[CALLS - 2], 1);
    assert_int_equal(answers[CALLS - 3], 0);
}

static void opens_many(void *unused)
{
    (void)unused;
    while (test.got < 100 && tdw_open("file", O_RDWR | O_CREAT, 0644) >= 0)
        test.got++;
}

static void opening(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("opens", opens_many, NULL);
}

static void descriptors_come_to_an_end(void **state)
{
    (void)state;
    run_hosts("hosts: {server: {descriptors: 20}}", opening, waiter);
    assert_int_equal(test.got, 17);
}

/* ── Connections ───────────────────────────────────────────────────────────────────────────── */

static void accepts(void *unused)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

    (void)unused;
    tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    tdw_sys_listen(fd, 5);
    while (tdw_accept(fd, NULL, NULL, 0) >= 0)
        test.got++;
}

static void accepting(void *unused)
{
    (void)unused;
    tdw_daemon(tdw_spawn_stackful("accept", accepts, NULL));
}

static void connects(void *unused)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    const uint64_t before = tdw_now();

    (void)unused;
    tdw_connect(fd, (const struct sockaddr *)&test.address, sizeof test.address);
    test.longest_ns = tdw_now() - before;
    tdw_sleep(10 * MS);
    tdw_close(fd);
}

static void connecting(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("connect", connects, NULL);
}

/* TCP asks again after a second. */
static void a_full_backlog_hears_no_request(void **state)
{
    (void)state;
    run_hosts("rules: [{point: tdw/net/backlog, match: {host: client}, budget: 1}]", accepting,
              connecting);
    assert_int_equal(fires[0], 1);
    assert_int_equal(test.got, 1);
    assert_in_range(test.longest_ns, (uint64_t)1000 * MS, (uint64_t)1100 * MS);
}

/* ── The schedule when it is fair ──────────────────────────────────────────────────────────── */

static bool over;

static void spins(void *unused)
{
    (void)unused;
    tdw_heal(NULL);
    while (!over) {
        tdw_yield();
        test.beats++;
    }
}

static void waits_its_turn(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        tdw_yield();
    over = true;
}

static void spinning(void *unused)
{
    (void)unused;
    tdw_spawn_stackful("spins", spins, NULL);
    tdw_spawn_stackful("waits", waits_its_turn, NULL);
}

/* The calm schedule stays with who ran last. A fair one gives each its turn, to the step. */
static void a_fair_schedule_passes_nobody_over(void **state)
{
    (void)state;
    for (int schedule = TDW_TIMED; schedule <= TDW_ADVERSARY; schedule++)
        for (int strategy = TDW_CALM; strategy <= TDW_RANDOM; strategy++) {
            const struct tdw_world_options options = {.seed = 3,
                                                      .schedule = (enum tdw_schedule)schedule,
                                                      .strategy = (enum tdw_strategy)strategy,
                                                      .steps_max = 10000};
            struct tdw_world *world = tdw_world_new(&options);

            over = false;
            test.beats = 0;
            assert_int_equal(tdw_world_run(world, spinning, NULL), 0);
            assert_in_range(test.beats, 100, 202);
            tdw_world_free(world);
        }
}

/* ── Clocks ────────────────────────────────────────────────────────────────────────────────── */

static uint64_t realtime_ms[2];

static void look_at_clocks(void *unused)
{
    (void)unused;
    tdw_sleep(100 * MS);
    realtime_ms[0] = tdw_host_clock(test.server, CLOCK_REALTIME) / MS;
    realtime_ms[1] = tdw_host_clock(test.client, CLOCK_REALTIME) / MS;
}

static void clocks(void *unused)
{
    (void)unused;
    two_hosts(beating, waiter);
    tdw_spawn_stackful("look", look_at_clocks, NULL);
}

static void clocks_jump_and_drift(void **state)
{
    (void)state;
    run("rules: [{point: tdw/clock/step, match: {host: server}, at: 20ms, action: {step: -5s}}]",
        clocks);
    assert_int_equal(realtime_ms[1] - realtime_ms[0], 5000);
    run("rules: [{point: tdw/clock/drift, match: {host: server}, once: true,"
        "         action: {ppm: 100000}}]",
        clocks);
    assert_in_range(realtime_ms[0] - realtime_ms[1], 8, 11);
    run("clocks: {server: {step: 5s}, '*': {}}", clocks);
    assert_int_equal(realtime_ms[0] - realtime_ms[1], 5000);
    run("clocks: {s*: {ppm: 100000}, server: {step: 5s}}", clocks);
    assert_in_range(realtime_ms[0] - realtime_ms[1], 8, 11);
}

/* ── Memory ────────────────────────────────────────────────────────────────────────────────── */

static void allocates(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        void *block = tdw_malloc(100);

        test.broken += !block;
        tdw_free(block);
    }
}

static void memory_may_be_refused(void **state)
{
    (void)state;
    run("rules: [{point: tdw/memory/malloc, p: 10%, match: {size: '>=100'}}]", allocates);
    assert_true(fires[0] > 3);
    assert_int_equal(test.broken, fires[0]);
}

/* ── Ends ──────────────────────────────────────────────────────────────────────────────────── */

static void wait_for_ever(void *unused)
{
    struct tdw_mutex mutex;

    (void)unused;
    tdw_mutex_init(&mutex, "never");
    tdw_mutex_trylock(&mutex);
    tdw_lock(&mutex);
}

static void deadlocked(void *unused)
{
    (void)unused;
    tdw_faults_begin();
    tdw_spawn_stackful("wait", wait_for_ever, NULL);
}

static void long_wait(void *unused)
{
    (void)unused;
    tdw_faults_begin();
    tdw_spawn_stackful("wait", wait_100ms, NULL);
}

/* A rule that has done what it may asks no more: there is no tick behind the second. */
static void a_plan_that_is_through_ticks_no_more(void **state)
{
    static const char text[] = "rules: [{point: tdw/clock/step, budget: 2}]";
    const struct tdw_world_options options = {.seed = 3, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_faults *faults;
    struct tdw_plan *plan;

    (void)state;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    faults = tdw_plan_apply(plan, tdw_world_loop(world), NULL);
    assert_int_equal(tdw_world_run(world, long_wait, NULL), 0);
    assert_in_range(tdw_world_steps(world), 3, 20);
    tdw_faults_end(faults);
    tdw_plan_free(plan);
    tdw_world_free(world);
}

/* The plan's own task does not keep a run alive in which nothing can come any more. */
static void a_deadlock_is_seen_through_a_plan(void **state)
{
    static const char text[] = "rules: [{point: tdw/host/crash, match: {host: x}, p: 1%}]";
    const struct tdw_world_options options = {.seed = 3, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&options);
    struct tdw_faults *faults;
    struct tdw_plan *plan;

    (void)state;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    faults = tdw_plan_apply(plan, tdw_world_loop(world), NULL);
    assert_int_equal(tdw_world_run(world, deadlocked, NULL), -EDEADLK);
    tdw_faults_end(faults);
    tdw_plan_free(plan);
    tdw_world_free(world);
}

int tests_fate(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_all_arrive_once_and_in_order),
        cmocka_unit_test(dropped_datagrams_do_not_arrive),
        cmocka_unit_test(doubled_datagrams_arrive_twice),
        cmocka_unit_test(corrupt_datagrams_have_one_wrong_bit),
        cmocka_unit_test(late_datagrams_are_overtaken),
        cmocka_unit_test(a_host_that_crashes_is_down_for_a_while),
        cmocka_unit_test(a_host_that_restarts_is_not),
        cmocka_unit_test(a_paused_host_goes_on_behind),
        cmocka_unit_test(some_of_a_group_are_spared),
        cmocka_unit_test(a_partition_keeps_packets_away),
        cmocka_unit_test(who_comes_during_a_partition_is_not_part_of_it),
        cmocka_unit_test(a_partition_may_be_between_some),
        cmocka_unit_test(a_slow_link_holds_packets_up),
        cmocka_unit_test(healing_ends_it_all),
        cmocka_unit_test(healing_may_be_for_some),
        cmocka_unit_test(processes_are_killed),
        cmocka_unit_test(a_slow_host_takes_its_time),
        cmocka_unit_test(a_disk_that_hangs_answers_late),
        cmocka_unit_test(a_disk_that_is_read_only_refuses_changes),
        cmocka_unit_test(a_disk_is_healed_too),
        cmocka_unit_test(descriptors_come_to_an_end),
        cmocka_unit_test(a_full_backlog_hears_no_request),
        cmocka_unit_test(a_fair_schedule_passes_nobody_over),
        cmocka_unit_test(clocks_jump_and_drift),
        cmocka_unit_test(memory_may_be_refused),
        cmocka_unit_test(a_plan_that_is_through_ticks_no_more),
        cmocka_unit_test(a_deadlock_is_seen_through_a_plan),
    };

    return cmocka_run_group_tests_name("fate", tests, NULL, NULL);
}
