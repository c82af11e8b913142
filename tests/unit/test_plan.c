/* SPDX-License-Identifier: MIT */
/*
 * Plans: what is read, what is told of one that is wrong, and what its rules do to a program, on
 * the simulated kernel and on the real one.
 */
#include "backends.h"
#include <faults/faults.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tidewheel/fault.h>
#include <tidewheel/net.h>
#include <tidewheel/world.h>

int tests_plan(void);

/* ── Values ────────────────────────────────────────────────────────────────────────────────── */

static void values_are_read_as_people_write_them(void **state)
{
    static const struct {
        bool (*read)(const char *text, uint64_t *to);
        const char *text;
        uint64_t value; /* UINT64_MAX: refused */
    } cases[] = {
        {tdw__value_chance, "0", 0},
        {tdw__value_chance, "1", (uint64_t)1 << 32},
        {tdw__value_chance, "0.5", (uint64_t)1 << 31},
        {tdw__value_chance, "25%", (uint64_t)1 << 30},
        {tdw__value_chance, "1/8", (uint64_t)1 << 29},
        {tdw__value_chance, "0.1 %", 4294967},
        {tdw__value_chance, "1.01", UINT64_MAX},
        {tdw__value_chance, "101%", UINT64_MAX},
        {tdw__value_chance, "3/2", UINT64_MAX},
        {tdw__value_chance, "1/0", UINT64_MAX},
        {tdw__value_chance, "-1", UINT64_MAX},
        {tdw__value_chance, "", UINT64_MAX},
        {tdw__value_chance, "0.", UINT64_MAX},
        {tdw__value_chance, ".5", UINT64_MAX},
        {tdw__value_chance, "0.5x", UINT64_MAX},
        {tdw__value_chance, "99999999999999999999", UINT64_MAX},
        {tdw__value_time, "0", 0},
        {tdw__value_time, "7ns", 7},
        {tdw__value_time, "1.5us", 1500},
        {tdw__value_time, "20 ms", 20000000},
        {tdw__value_time, "2h", 7200000000000},
        {tdw__value_time, "5", UINT64_MAX},
        {tdw__value_time, "5d", UINT64_MAX},
        {tdw__value_time, "9999999999h", UINT64_MAX},
        {tdw__value_size, "512", 512},
        {tdw__value_size, "4k", 4096},
        {tdw__value_size, "1.5M", 1572864},
        {tdw__value_size, "1GiB", 1 << 30},
        {tdw__value_size, "4x", UINT64_MAX},
        {tdw__value_count, "12", 12},
        {tdw__value_count, "1.5", UINT64_MAX},
        {tdw__value_count, "1k", UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 0;
        const bool good = cases[i].read(cases[i].text, &value);

        if (good != (cases[i].value != UINT64_MAX) || (good && value != cases[i].value))
            fail_msg("'%s' is %s %llu", cases[i].text, good ? "read as" : "refused",
                     (unsigned long long)value);
    }
    assert_int_equal(tdw__value_error("EIO"), EIO);
    assert_int_equal(tdw__value_error("EDQUOT"), EDQUOT);
    assert_int_equal(tdw__value_error("EIOO"), 0);
    assert_int_equal(tdw__value_error(""), 0);
}

/* The definition. */
static bool glob_by_definition(const char *pattern, const char *text)
{
    if (*pattern == '\0')
        return *text == '\0';
    if (*pattern == '*')
        return glob_by_definition(pattern + 1, text) ||
               (*text && glob_by_definition(pattern, text + 1));
    return *text && (*pattern == '?' || *pattern == *text) &&
           glob_by_definition(pattern + 1, text + 1);
}

static void patterns_match_as_defined(void **state)
{
    uint64_t dice = 1;
    uint32_t matched = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char pattern[8], text[10];
        size_t p = 0, t = 0;

        dice = tdw__mix(dice, (uint64_t)i);
        for (uint64_t bits = dice; p < dice % 7; bits >>= 3)
            pattern[p++] = "ab*?/a*b"[bits % 8];
        for (uint64_t bits = dice >> 32; t < (dice >> 8) % 9; bits >>= 2)
            text[t++] = "ab/a"[bits % 4];
        pattern[p] = text[t] = '\0';
        if (tdw__glob(pattern, text) != glob_by_definition(pattern, text))
            fail_msg("'%s' and '%s'", pattern, text);
        matched += tdw__glob(pattern, text);
    }
    assert_in_range(matched, 10000, 100000);
}

/* ── Reading ───────────────────────────────────────────────────────────────────────────────── */

static char heard[4096];

static void hear(void *unused, const char *file, unsigned line, unsigned column, const char *text)
{
    const size_t at = strlen(heard);

    (void)unused;
    snprintf(heard + at, sizeof heard - at, "%s:%u:%u: %s\n", file, line, column, text);
}

static int reads_as(const char *text, const char *const *set, size_t count)
{
    struct tdw_plan *plan;
    const int ret = tdw_plan_text(&plan, "p", text, strlen(text), set, count, hear, NULL);

    tdw_plan_free(plan);
    return ret;
}

static void all_that_is_wrong_is_told_with_its_place(void **state)
{
    static const char plan[] = "rules:\n"
                               "  - point: tdw/op/rea/error\n"
                               "    p: 1.5\n"
                               "    matc: {}\n"
                               "    match: {opcode: raed, size: '>x'}\n"
                               "  - name: a\n"
                               "    point: app/x\n"
                               "    while: b\n"
                               "    every: 0\n"
                               "    p: 0.1\n"
                               "  - name: b\n"
                               "    point: app/y\n"
                               "    while: a\n"
                               "    between: [2s, 1s]\n"
                               "  - budget: 3\n"
                               "ruls: 3\n";

    (void)state;
    heard[0] = '\0';
    assert_int_equal(reads_as(plan, NULL, 0), -EINVAL);
    assert_string_equal(heard,
                        "p:2:12: no point matches 'tdw/op/rea/error'; tdw points names them\n"
                        "p:3:8: '1.5' is no probability: 0.01, 1%, 1/100, from 0 to 1\n"
                        "p:4:5: there is no key 'matc' in a rule; did you mean match?\n"
                        "p:5:21: no opcode is called 'raed'; tdw points names them\n"
                        "p:5:34: '>x' is no range of sizes: 4k, >=4k, <1M, 1k..4k\n"
                        "p:9:12: 'every' counts from 1\n"
                        "p:10:5: a rule has one of p, nth, every, exhaustive\n"
                        "p:14:5: 'between' ends before it begins\n"
                        "p:15:5: rule 4 has no point\n"
                        "p:16:1: there is no key 'ruls' in a plan; did you mean rules?\n"
                        "p:0:0: 'a' waits for itself: its 'while' goes round in a circle\n"
                        "p:0:0: 'b' waits for itself: its 'while' goes round in a circle\n");
}

static void what_is_wrong_with_disks_is_told(void **state)
{
    static const char plan[] = "disks:\n"
                               "  db: {persistence: ext4, devise: nvme}\n"
                               "  x: {device: floppy, capacity: much}\n"
                               "  y: 3\n";

    (void)state;
    heard[0] = '\0';
    assert_int_equal(reads_as(plan, NULL, 0), -EINVAL);
    assert_string_equal(heard,
                        "p:2:21: no profile is called 'ext4'\n"
                        "p:2:27: there is no key 'devise' in a disk; did you mean device?\n"
                        "p:3:15: no device is called 'floppy': nvme, sata-ssd, hdd, ebs-like\n"
                        "p:3:33: 'much' is no size: 512, 4k, 1M\n"
                        "p:4:6: a disk has keys and values\n");
}

static void what_is_wrong_with_machines_is_told(void **state)
{
    static const char plan[] =
        "hosts: {a: {slow: 1, descriptors: 2}}\n"
        "clocks: {a: {step: soon, ppm: 0}}\n"
        "links: {a: {}, a -> b: {preset: lam, latenci: 3ms}}\n"
        "disks: {a: {full: EIO, sector: 1k}}\n"
        "rules: [{point: tdw/host/slow, action: {times: 1, bandwidth: 0}}]\n";

    (void)state;
    heard[0] = '\0';
    assert_int_equal(reads_as(plan, NULL, 0), -EINVAL);
    assert_string_equal(heard,
                        "p:1:19: what is slow takes 2 to 1000000 times as long\n"
                        "p:1:35: a process has room for 3 to 1048576 descriptors\n"
                        "p:2:20: 'soon' is no step: 5s, -10ms\n"
                        "p:2:31: '0' is no drift: 200, -50, up to 500000\n"
                        "p:3:9: 'a' is no link: client -> server, a* <-> b*\n"
                        "p:3:33: no link is called 'lam': loopback, lan, wan\n"
                        "p:3:38: there is no key 'latenci' in a link; did you mean latency?\n"
                        "p:4:19: a full disk answers ENOSPC or EDQUOT, not 'EIO'\n"
                        "p:4:32: a sector has 512 or 4096 bytes\n"
                        "p:5:48: what is slow takes 2 to 1000000 times as long\n"
                        "p:5:62: a bandwidth is 1 byte a second at least; tdw/net/partition is "
                        "none at all\n");
}

static void what_is_no_plan_is_refused(void **state)
{
    static const char *const texts[] = {
        "rules: [",
        "rules: 3",
        "- x",
        "a: &a [x]\nrules: *a\n",
        "rules: [[[[[[x]]]]]]",
        "rules: [3]",
        "{{{{{{{{{{",
        "rules: {a: b}",
        "\x80\x81",
        "rules: [{point: [a]}]",
        "rules: [{? [a] : b}]",
    };
    char *bomb = malloc(2 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        heard[0] = '\0';
        if (reads_as(texts[i], NULL, 0) != -EINVAL || heard[0] == '\0')
            fail_msg("'%s': %s", texts[i], heard);
    }
    memset(bomb, '[', 2 << 20);
    bomb[(2 << 20) - 1] = '\0';
    heard[0] = '\0';
    assert_int_equal(reads_as(bomb, NULL, 0), -EINVAL);
    assert_non_null(strstr(heard, "1 MiB"));
    bomb[1 << 19] = '\0';
    assert_int_equal(reads_as(bomb, NULL, 0), -EINVAL);
    free(bomb);
}

static void nothing_is_a_plan_too(void **state)
{
    (void)state;
    assert_int_equal(reads_as("", NULL, 0), 0);
    assert_int_equal(reads_as("rules:\n", NULL, 0), 0);
    assert_int_equal(reads_as("rules: []\n", NULL, 0), 0);
    assert_int_equal(reads_as("# only a comment\n", NULL, 0), 0);
}

static char *shown(const struct tdw_plan *plan)
{
    size_t bytes;
    char *text;
    FILE *to = open_memstream(&text, &bytes);

    assert_int_equal(tdw_plan_show(plan, to), 0);
    fclose(to);
    return text;
}

static void what_is_shown_is_the_same_plan(void **state)
{
    static const char text[] =
        "hosts: {a: {slow: 3, descriptors: 64}, b: {}}\n"
        "clocks: {a: {step: -5s, ppm: 7}, '*': {}}\n"
        "links: {'a -> b*': {preset: wan, latency: 5ms, drop: false}, ' * <->  c ': {down: true}}\n"
        "disks: {'db*': {persistence: xfs, capacity: 1M}, '*': {device: nvme, file_max: 8k},\n"
        "        z: {}, y: {full: EDQUOT, sector: 4k}}\n"
        "rules:\n"
        "- {point: tdw/disk/sync/error, action: {keep: true, error: EIO}}\n"
        "- {name: \"q\\\"x\", point: tdw/op/*/error, p: 1/3, match: {host: 'a*', size: 4k..1M,\n"
        "   opcode: [read, write], path: '*.log', task: '*/x#0', process: main#*}, budget: 3,\n"
        "   action: {error: ENOSPC}, cooldown: 1.5ms, enable: 12.5%}\n"
        "- {point: tdw/op/*/short, nth: 7, action: {short: 1}, after: \"begin\", from: 5us}\n"
        "- {point: app/*, every: 9, while: \"rule 3\", between: [1ms, 2s]}\n"
        "- {point: tdw/op/recv/delay, once: true, action: {delay: 1500us}, match: {size: '>9'}}\n"
        "- {point: app/each, exhaustive: true, spare: {group: 'r*', keep: 2}}\n"
        "- {point: tdw/clock/step, match: {host: x, peer: y, fd: 't*'}, action: {step: -5ms}}\n"
        "- {point: app/never, exhaustive: false}\n"
        "- {point: tdw/clock/drift, action: {ppm: -7}}\n"
        "- {point: tdw/host/restart, action: {down: 3ms}}\n"
        "- {point: tdw/host/slow, action: {down: 3ms, times: 7}}\n"
        "- {point: tdw/net/slow, action: {bandwidth: 8k}}\n"
        "- {point: app/never, p: 0}\n";
    static const char pairs[] = "rules: [{point: app/each, exhaustive: pairs}]";
    struct tdw_plan *plan, *again;
    char *first, *second;

    (void)state;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), NULL, 0, NULL, NULL), 0);
    first = shown(plan);
    assert_int_equal(tdw_plan_text(&again, "p", first, strlen(first), NULL, 0, NULL, NULL), 0);
    second = shown(again);
    assert_string_equal(first, second);
    for (size_t i = 0; i < tdw_plan_rules(plan); i++) {
        struct tdw_rule a = plan->rules[i], b = again->rules[i];

        assert_int_equal(a.chance, b.chance);
        assert_int_equal(a.enable, b.enable);
        assert_int_equal(a.match.size_min, b.match.size_min);
        assert_int_equal(a.match.size_max, b.match.size_max);
        assert_memory_equal(a.match.opcodes, b.match.opcodes, sizeof a.match.opcodes);
        assert_int_equal(a.cooldown_ns, b.cooldown_ns);
        assert_int_equal(a.during, b.during);
        assert_memory_equal(&a.action, &b.action, sizeof a.action);
    }
    free(first);
    free(second);
    tdw_plan_free(plan);
    tdw_plan_free(again);
    assert_int_equal(tdw_plan_text(&plan, "p", pairs, strlen(pairs), NULL, 0, NULL, NULL), 0);
    first = shown(plan);
    assert_non_null(strstr(first, "exhaustive: pairs"));
    free(first);
    tdw_plan_free(plan);
    for (size_t i = 0; tdw_plan_preset(i); i++) {
        assert_int_equal(tdw_plan_read(&plan, tdw_plan_preset(i), NULL, 0, NULL, NULL), 0);
        tdw_plan_free(plan);
    }
}

static void keys_can_be_set(void **state)
{
    static const char text[] = "rules:\n- {point: tdw/op/read/error, p: 0.5}\n";
    static const char *const set[] = {"rules.0.p=25%", "rules.0.match.host=a",
                                      "rules.1={point: app/x, nth: 2}", "rules.1.nth=3"};
    static const char *const wrong[][1] = {{"rules.2.p=1"},    {"rules"},      {"=x"},
                                           {"rules.0.p=2"},    {"rules..p=1"}, {"rules.0.q=1"},
                                           {"rules.0.p.x.y=1"}};
    struct tdw_plan *plan;

    (void)state;
    assert_int_equal(tdw_plan_text(&plan, "p", text, strlen(text), set, 4, NULL, NULL), 0);
    assert_int_equal(tdw_plan_rules(plan), 2);
    assert_int_equal(plan->rules[0].chance, (uint64_t)1 << 30);
    assert_string_equal(plan->rules[0].match.host, "a");
    assert_int_equal(plan->rules[1].n, 3);
    tdw_plan_free(plan);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        heard[0] = '\0';
        if (reads_as(text, wrong[i], 1) != -EINVAL || !strstr(heard, wrong[i][0]))
            fail_msg("--set %s: %s", wrong[i][0], heard);
    }
    assert_int_equal(reads_as("", (const char *const[]){"rules.0.point=app/x"}, 1), 0);
    heard[0] = '\0';
    assert_int_equal(reads_as("rules: [{point: /x}]",
                              (const char *const[]){" rules.0.mat\x9e\x97\xd1\x8c\x96\x85\x9a\xc2"
                                                    ">=4k"},
                              1),
                     -EINVAL);
    assert_true(heard[0]); /* it is no lack of memory */
}

/* ── Judging ───────────────────────────────────────────────────────────────────────────────── */

static const char *plan_of_test;
static struct tdw_rule_count counts[8];
static const struct tdw_site *struck[2];

static struct tdw_plan *prepare(void (*body)(void *))
{
    struct tdw_plan *plan;

    assert_int_equal(
        tdw_plan_text(&plan, "p", plan_of_test, strlen(plan_of_test), NULL, 0, NULL, NULL), 0);
    for (int i = 0; i < SEEN; i++)
        seen[i] = NOT_SEEN;
    memset(counts, 0, sizeof counts);
    body_to_run = body;
    return plan;
}

/* The body under the plan, on the simulated kernel. */
static struct tdw_digest simulate(void (*body)(void *), uint64_t seed)
{
    const struct tdw_world_options world_options = {.seed = seed, .strategy = TDW_RANDOM};
    struct tdw_world *world = tdw_world_new(&world_options);
    struct tdw_loop *loop = tdw_world_loop(world);
    struct tdw_faults *faults;
    struct tdw_digest digest;
    struct tdw_plan *plan;

    plan = prepare(body);
    faults = tdw_plan_apply(plan, loop, counts);
    tdw_faults_sweep(faults, seed);
    assert_int_equal(tdw_world_run(world, body_main, NULL), 0);
    for (unsigned i = 0; i < 2; i++)
        struck[i] = tdw_faults_struck(faults, i);
    assert_int_equal(loop->findings, 0);
    tdw_faults_end(faults);
    digest = tdw_loop_digest(loop);
    tdw_world_free(world);
    tdw_plan_free(plan);
    return digest;
}

/* … and on the real one. */
static void perform(void (*body)(void *), enum tdw_backend backend)
{
    const struct tdw_loop_options loop_options = {.backend = backend, .seed = 1};
    struct tdw_faults *faults;
    struct tdw_plan *plan;
    struct tdw_loop *loop;

    plan = prepare(body);
    assert_int_equal(tdw_loop_open(&loop, &loop_options), 0);
    faults = tdw_plan_apply(plan, loop, counts);
    assert_int_equal(tdw_loop_start(loop, body_main, NULL), 0);
    assert_int_equal(tdw_loop_run(loop), 0);
    tdw_faults_end(faults);
    tdw_loop_close(loop);
    tdw_plan_free(plan);
}

static void under(const char *plan, void (*body)(void *), void (*judge)(void))
{
    plan_of_test = plan;
    simulate(body, 1);
    judge();
    perform(body, TDW_BACKEND_URING);
    judge();
    perform(body, TDW_BACKEND_EPOLL);
    judge();
}

static void writes(void *unused)
{
    const int fd = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    const int other = tdw_open("other", O_RDWR | O_CREAT | O_TRUNC, 0644);
    char buffer[16];

    (void)unused;
    for (int i = 0; i < 6; i++)
        seen[i] = tdw_pwrite(fd, "0123456789", 10, 0);
    seen[6] = tdw_pread(fd, buffer, 10, 0);
    seen[7] = tdw_pwrite(other, "0123", 4, 0);
    seen[8] = tdw_fsync(fd);
    seen[9] = tdw_unlink("other");
    seen[10] = tdw_unlink("file");
}

static void nth_judge(void)
{
    SAW(10, 10, -ENOSPC, 10, 10, 10, 10, 4, 0, 0, 0);
    assert_int_equal(counts[0].hits, 7);
    assert_int_equal(counts[0].fires, 1);
    assert_int_equal(counts[0].live, 1);
}

static void every_judge(void)
{
    SAW(10, -EIO, 10, -EIO, 10, 10, 10, 4, 0, 0, 0);
    assert_int_equal(counts[0].fires, 2);
}

static void size_judge(void)
{
    SAW(10, 10, 10, 10, 10, 10, 10, -EIO, 0, 0, 0);
    assert_int_equal(counts[0].hits, 1);
}

static void path_judge(void)
{
    SAW(10, 10, 10, 10, 10, 10, 10, 4, 0, -EROFS, 0);
}

static void short_judge(void)
{
    SAW(3, 10, 10, 10, 10, 10, 1, 3, 0, 0, 0);
}

static void host_judge(void)
{
    SAW(10, 10, 10, 10, 10, 10, 10, 4, 0, 0, 0);
    assert_int_equal(counts[0].hits, 0);
}

static void cancel_judge(void)
{
    SAW(10, 10, 10, 10, 10, 10, 10, 4, -ECANCELED, 0, 0);
}

static void rules_say_at_which_op_and_what(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/write/error, nth: 3, action: {error: ENOSPC}}]", writes,
          nth_judge);
    under("rules: [{point: tdw/op/write/error, every: 2, budget: 2, action: {error: EIO}}]", writes,
          every_judge);
    under("rules: [{point: tdw/op/w*/error, match: {size: '<10'}, action: {error: EIO}}]", writes,
          size_judge);
    under("rules: [{point: tdw/op/*/error, match: {path: o*, opcode: unlinkat}, action: {error: "
          "EROFS}}]",
          writes, path_judge);
    under("rules: [{point: tdw/op/write/short, action: {short: 3}, match: {opcode: write}, "
          "nth: 1}, {point: tdw/op/read/short, action: {short: 1}}, {point: tdw/op/write/short, "
          "match: {size: 4}, action: {short: 3}}]",
          writes, short_judge);
    under("rules: [{point: tdw/op/write/error, match: {host: other}}]", writes, host_judge);
    under("rules: [{point: tdw/op/fsync/cancel, match: {process: 'main#*', task: '*/test#0'}}]",
          writes, cancel_judge);
}

/* What the descriptors lead to: two files, a pipe, an eventfd, a socket on its way to main. */
static void reaches(void *unused)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof to;
    const int file = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    const int other = tdw_open("other", O_RDWR | O_CREAT | O_TRUNC, 0644);
    const int socket = tdw_sys_socket(AF_INET, SOCK_DGRAM, 0);
    const int counter = tdw_sys_eventfd(0, 0);
    const uint64_t one = 1;
    int ends[2];

    (void)unused;
    tdw_sys_pipe2(ends, 0);
    tdw_sys_bind(socket, (struct sockaddr *)&to, sizeof to);
    tdw_sys_getsockname(socket, (struct sockaddr *)&to, &bytes);
    seen[0] = tdw_pwrite(file, "0123", 4, 0);
    seen[1] = tdw_pwrite(other, "0123", 4, 0);
    seen[2] = tdw_write(ends[1], "01", 2);
    seen[3] = tdw_write(counter, &one, sizeof one);
    seen[4] = tdw_sendto(socket, "0", 1, 0, (struct sockaddr *)&to, sizeof to);
    seen[5] = tdw_connect(socket, (struct sockaddr *)&to, sizeof to);
    seen[6] = tdw_send(socket, "0", 1, 0);
    seen[7] = tdw_unlink("other");
    seen[8] = tdw_unlink("file");
    for (int i = 0; i < 2; i++)
        tdw_close(ends[i]);
    tdw_close(socket);
    tdw_close(counter);
    tdw_close(file);
    tdw_close(other);
}

static void kind_judge(void)
{
    SAW(4, 4, -EIO, -EBUSY, 1, 0, 1, 0, 0);
}

static void open_path_judge(void)
{
    SAW(4, -EIO, 2, 8, 1, 0, 1, 0, 0);
}

static void peer_judge(void)
{
    SAW(4, 4, 2, 8, -ENOBUFS, 0, -ENOBUFS, 0, 0);
}

static void rules_say_which_files_and_peers(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/write/error, match: {fd: pipe}, action: {error: EIO}},"
          "        {point: tdw/op/*/error, match: {fd: event*, opcode: write},"
          "         action: {error: EBUSY}}]",
          reaches, kind_judge);
    under("rules: [{point: tdw/op/*/error, match: {path: '/*other', opcode: write},"
          "         action: {error: EIO}}]",
          reaches, open_path_judge);
    under("rules: [{point: tdw/op/send/error, match: {peer: main, fd: udp},"
          "         action: {error: ENOBUFS}},"
          "        {point: tdw/op/connect/error, match: {peer: main, fd: tcp}},"
          "        {point: tdw/op/*/error, match: {peer: nobody}}]",
          reaches, peer_judge);
}

/* What is taken whole or not at all, and a socket, which is made of no descriptor. */
static void takes_whole(void *unused)
{
    static _Alignas(4096) char block[8192];
    const int counter = tdw_sys_eventfd(5, 0);
    const int direct = tdw_open("file", O_RDWR | O_CREAT | O_DIRECT, 0644);
    uint64_t value = 0;

    (void)unused;
    seen[0] = tdw_read(counter, &value, sizeof value);
    seen[1] = direct < 0 ? (int)sizeof block : tdw_pwrite(direct, block, sizeof block, 0);
    seen[2] = tdw_socket(AF_INET, SOCK_STREAM, 0) >= 0;
    tdw_unlink("file");
}

static void takes_whole_judge(void)
{
    SAW(8, 8192, 1);
}

static void what_has_no_parts_is_never_short(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/*/short}, {point: tdw/op/socket/error, match: {fd: '*'}}]",
          takes_whole, takes_whole_judge);
}

static void looks_up(void *unused)
{
    struct tdw_resolved to;
    uint64_t began = tdw_now();

    (void)unused;
    seen[0] = tdw_resolve("127.0.0.1", &to);
    seen[1] = tdw_resolve("127.0.0.1", &to);
    seen[2] = tdw_resolve("main", &to);
    seen[3] = tdw_resolve("no.such.name.invalid", &to);
    seen[4] = tdw_now() - began >= 30 * MS;
}

static void looks_up_judge(void)
{
    assert_true(seen[0] == -EAGAIN || seen[0] == -ENOMEM);
    assert_int_equal(seen[2], -ENOENT);
    assert_int_equal(seen[4], 1);
    assert_int_equal(counts[0].fires, 1);
    assert_int_equal(counts[1].fires, 1);
    assert_int_equal(counts[2].fires, 1);
}

static void names_cannot_be_looked_up_for_a_while(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/resolve/error, once: true}, {point: tdw/op/resolve/error, match: "
          "{path: main}, action: {error: ENOENT}}, {point: tdw/op/resolve/delay, nth: 2, action: "
          "{delay: 30ms}}]",
          looks_up, looks_up_judge);
}

/* The entry is as it was before, so that it can be used again. */
static void resubmits(void *unused)
{
    const int fd = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct tdw_op op = {.res = 0};

    (void)unused;
    TDW_GO(&op, pwrite, fd, "0123456789", 10, 0);
    seen[0] = tdw_await(&op);
    seen[1] = op.sqe.len;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[2] = tdw_await(&op);
    tdw_unlink("file");
}

static void resubmits_judge(void)
{
    SAW(4, 10, 10);
}

static void a_short_op_leaves_its_entry(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/write/short, once: true, action: {short: 4}}]", resubmits,
          resubmits_judge);
}

static void waits(void *unused)
{
    struct tdw_op read = {.res = 0};
    uint64_t began;
    char byte;
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    tdw_write(fds[1], "x", 1);
    began = tdw_now();
    seen[0] = tdw_read(fds[0], &byte, 1);
    seen[1] = tdw_now() - began >= 30 * MS;
    tdw_write(fds[1], "y", 1);
    seen[2] = TDW_DO_WITHIN(5 * MS, read, fds[0], &byte, 1);
    TDW_GO(&read, read, fds[0], &byte, 1);
    seen[3] = tdw_cancel(&read);
    seen[4] = tdw_await(&read);
    for (int i = 0; i < 2; i++)
        tdw_close(fds[i]);
}

/* What a delay ends is for the kernel to say: on sim the bytes may have been taken. */
static void waits_judge(void)
{
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], true);
    assert_true(seen[2] == -ETIME || seen[2] == 1);
}

static void a_delay_is_waited_for(void **state)
{
    (void)state;
    under("rules: [{point: tdw/op/read/delay, action: {delay: 30ms}}]", waits, waits_judge);
}

static void times(void *unused)
{
    const int fd = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);

    (void)unused;
    seen[0] = tdw_pwrite(fd, "0", 1, 0);
    tdw_sleep(600 * MS);
    seen[1] = tdw_pwrite(fd, "0", 1, 0);
    seen[2] = tdw_pwrite(fd, "0", 1, 0);
    seen[3] = tdw_fsync(fd);
    tdw_mark("begin", 1);
    seen[4] = tdw_fsync(fd);
    tdw_sleep(2000 * MS);
    seen[5] = tdw_pwrite(fd, "0", 1, 0);
    seen[6] = tdw_pread(fd, &(char){0}, 1, 0);
    tdw_close(fd);
    tdw_unlink("file");
}

static void times_judge(void)
{
    SAW(1, -EIO, 1, 0, -EIO, 1, 1);
    assert_int_equal(counts[2].fires, 0);
}

static void rules_say_when(void **state)
{
    (void)state;
    under("rules:\n"
          "- {name: window, point: tdw/op/write/error, between: [500ms, 2s], cooldown: 1h, "
          "action: {error: EIO}}\n"
          "- {point: tdw/op/fsync/error, after: begin, action: {error: EIO}}\n"
          "- {point: tdw/op/read/error, while: window}\n",
          times, times_judge);
}

/* ── Sweeps ────────────────────────────────────────────────────────────────────────────────── */

static void pairs_are_in_the_order_of_the_later_hit(void **state)
{
    uint64_t pair[2], nth = 0;

    (void)state;
    tdw_sweep_pair(0, pair);
    assert_int_equal(pair[0], 0);
    assert_int_equal(pair[1], 0);
    for (uint64_t later = 2; later < 500; later++)
        for (uint64_t first = 1; first < later; first++) {
            tdw_sweep_pair(++nth, pair);
            if (pair[0] != first || pair[1] != later)
                fail_msg("pair %llu is %llu, %llu", (unsigned long long)nth,
                         (unsigned long long)pair[0], (unsigned long long)pair[1]);
        }
    for (int bit = 1; bit < 64; bit++) { /* the last of a row, and the first of the next */
        const uint64_t row = ((uint64_t)1 << bit / 2) + (uint64_t)bit;

        tdw_sweep_pair(row * (row - 1) / 2, pair);
        assert_int_equal(pair[0], row - 1);
        assert_int_equal(pair[1], row);
        tdw_sweep_pair(row * (row - 1) / 2 + 1, pair);
        assert_int_equal(pair[0], 1);
        assert_int_equal(pair[1], row + 1);
    }
    tdw_sweep_pair(UINT64_MAX, pair); /* 2^64 is between the rows of 6074001000 and of the next */
    assert_int_equal(pair[1], 6074001001);
    assert_int_equal(pair[0], UINT64_MAX - (uint64_t)6074001000 / 2 * 6074000999);
}

/* Which of ten hits fail. */
static void ten(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++)
        seen[i] = tdw_fault("app/each");
}

static void a_sweep_fails_each_hit_once(void **state)
{
    (void)state;
    plan_of_test = "rules: [{point: app/each, exhaustive: true}]";
    for (uint64_t nth = 0; nth < 12; nth++) {
        simulate(ten, nth);
        for (uint64_t i = 0; i < 10; i++)
            assert_int_equal(seen[i], i + 1 == nth);
        assert_int_equal(struck[0] != NULL, nth >= 1 && nth <= 10);
        assert_null(struck[1]);
    }
}

static void a_sweep_of_pairs_fails_each_pair_once(void **state)
{
    uint64_t nth = 0;

    (void)state;
    plan_of_test = "rules: [{point: app/each, exhaustive: pairs}]";
    for (uint64_t later = 2; later <= 12; later++)
        for (uint64_t first = 1; first < later; first++) {
            simulate(ten, ++nth);
            for (uint64_t i = 0; i < 10; i++)
                assert_int_equal(seen[i], i + 1 == first || i + 1 == later);
            assert_int_equal(struck[0] != NULL, first <= 10);
            assert_int_equal(struck[1] != NULL, later <= 10);
        }
}

static void nothing_is_short(void *unused)
{
    char byte = 'x';

    (void)unused;
    seen[0] = tdw_pwrite(tdw_open("file", O_RDWR | O_CREAT, 0644), &byte, 1, 0);
}

/* A hit that cannot fail as the rule says is one, too: a sweep that ends there tells less. */
static void a_hit_of_which_nothing_comes_is_struck(void **state)
{
    (void)state;
    plan_of_test = "rules: [{point: tdw/op/write/short, exhaustive: true}]";
    simulate(nothing_is_short, 1);
    assert_int_equal(seen[0], 1);
    assert_non_null(struck[0]);
}

static void the_sweeps_of_a_plan_are_of_one_kind(void **state)
{
    (void)state;
    heard[0] = '\0';
    assert_int_equal(reads_as("rules: [{point: app/x, exhaustive: some}]", NULL, 0), -EINVAL);
    assert_string_equal(heard, "p:1:36: 'exhaustive' is true, pairs or false\n");
    heard[0] = '\0';
    assert_int_equal(reads_as("rules: [{point: app/x, exhaustive: true}, "
                              "{point: app/y, exhaustive: pairs}]",
                              NULL, 0),
                     -EINVAL);
    assert_string_equal(heard, "p:0:0: one rule has 'exhaustive: true' and another 'exhaustive: "
                               "pairs'; a plan does one of them\n");
}

/* ── Points of programs ────────────────────────────────────────────────────────────────────── */

static void own_points(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        seen[i] = tdw_fault("app/cache/full");
    seen[3] = tdw_fault("app/cache/empty");
    seen[4] = tdw_fault("app/other");
}

static void own_points_judge(void)
{
    SAW(false, true, false, true, false);
}

static void no_points_judge(void)
{
    SAW(false, false, false, false, false);
}

static void a_program_has_points_of_its_own(void **state)
{
    (void)state;
    assert_false(tdw_fault("app/outside"));
    under("rules: [{point: app/cache/full, nth: 2}, {point: 'app/*/empty'}]", own_points,
          own_points_judge);
    under("rules: [{point: tdw/op/read/error}]", own_points, no_points_judge);
}

/* ── libfiu ────────────────────────────────────────────────────────────────────────────────── */

int legacy_store(int value);
int fiu_enable(const char *name, int failnum, void *failinfo, unsigned flags);
int fiu_disable(const char *name);

static void legacy(void *unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++)
        seen[i] = legacy_store(i);
}

static void legacy_judge(void)
{
    SAW(0, -1, 2, -1);
    assert_int_equal(counts[0].hits, 4);
}

static void legacy_alone_judge(void)
{
    SAW(0, 1, 2, 3);
}

static void code_that_knows_libfiu_alone_follows_a_plan(void **state)
{
    (void)state;
#ifdef TDW_NO_FIU
    skip();
#else
    under("rules: [{point: 'app/legacy/*', every: 2}]", legacy, legacy_judge);
    under("rules: [{point: app/other}]", legacy, legacy_alone_judge);
    assert_int_equal(legacy_store(5), 5);
    /* What libfiu does by itself it does where there is no simulation. */
    assert_int_equal(fiu_enable("app/legacy/store", 1, NULL, 0), 0);
    assert_int_equal(legacy_store(5), -1);
    plan_of_test = "rules: [{point: app/other}]";
    simulate(legacy, 1);
    legacy_alone_judge();
    assert_int_equal(fiu_disable("app/legacy/store"), 0);
    assert_int_equal(legacy_store(5), 5);
#endif
}

/* ── Chance ────────────────────────────────────────────────────────────────────────────────── */

static void many(void *unused)
{
    (void)unused;
    seen[0] = 0;
    for (int i = 0; i < 5000; i++)
        seen[0] += tdw_nop() == -EINTR;
}

static void chance_is_drawn_by_seed_alone(void **state)
{
    struct tdw_digest first, second, other;
    int64_t live = 0, fired;

    (void)state;
    plan_of_test = "rules: [{point: tdw/op/nop/delay, p: 10%, action: {delay: 1ms}}]";
    first = simulate(many, 7);
    fired = (int64_t)counts[0].fires;
    second = simulate(many, 7);
    other = simulate(many, 8);
    assert_true(tdw_digest_equal(first, second));
    assert_false(tdw_digest_equal(first, other));
    assert_in_range(fired, 500 - 85, 500 + 85); /* four standard deviations */
    plan_of_test = "rules: [{point: tdw/op/nop/delay, nth: 1, enable: 25%}]";
    for (uint64_t seed = 0; seed < 200; seed++) {
        simulate(writes, seed);
        live += (int64_t)counts[0].live;
    }
    assert_in_range(live, 50 - 25, 50 + 25);
}

int tests_plan(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_are_read_as_people_write_them),
        TEST(patterns_match_as_defined),
        TEST(all_that_is_wrong_is_told_with_its_place),
        TEST(what_is_wrong_with_disks_is_told),
        TEST(what_is_wrong_with_machines_is_told),
        TEST(what_is_no_plan_is_refused),
        TEST(nothing_is_a_plan_too),
        TEST(what_is_shown_is_the_same_plan),
        TEST(keys_can_be_set),
        TEST(rules_say_at_which_op_and_what),
        TEST(rules_say_which_files_and_peers),
        TEST(names_cannot_be_looked_up_for_a_while),
        TEST(what_has_no_parts_is_never_short),
        TEST(a_short_op_leaves_its_entry),
        TEST(a_delay_is_waited_for),
        TEST(rules_say_when),
        TEST(pairs_are_in_the_order_of_the_later_hit),
        TEST(a_sweep_fails_each_hit_once),
        TEST(a_sweep_of_pairs_fails_each_pair_once),
        TEST(a_hit_of_which_nothing_comes_is_struck),
        TEST(the_sweeps_of_a_plan_are_of_one_kind),
        TEST(a_program_has_points_of_its_own),
        TEST(code_that_knows_libfiu_alone_follows_a_plan),
        TEST(chance_is_drawn_by_seed_alone),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
