/* SPDX-License-Identifier: MIT */
/*
 * Replays of recordings: who is outside and what comes from there when; and whole replays of a few
 * lines each, in three models, under both schedules.
 *
 * A snippet is imported into a file in memory. "T1 " at a line's beginning stands for a tid and a
 * time that grows by 1 ms a line. Plans are looked at where the loader leaves them: a plan that
 * releases too early or too late would often be right by luck in a run.
 */
#include <tests/unit/tests.h>
#include <traces/import.h>
#include <traces/replay.h>
#include <sys/mman.h>
#include <unistd.h>

int tests_replay(void);

/* A recording of these lines: the path of a file that lives until the descriptor is closed. */
static int recording_of(const char *lines, char *path, size_t path_bytes)
{
    static char text[1 << 16];
    static struct tdw__import_report report;
    const int fd = memfd_create("recording", MFD_CLOEXEC);
    size_t used = 0;
    unsigned ms = 0;
    FILE *in;

    while (*lines) {
        const size_t bytes = strcspn(lines, "\n");
        unsigned tid;
        int skip;

        assert_int_equal(sscanf(lines, "T%u %n", &tid, &skip), 1);
        used += (size_t)snprintf(text + used, sizeof text - used, "%u  1700000000.%09u %.*s\n", tid,
                                 ms++ * 1000000, (int)bytes - skip, lines + skip);
        assert_true(used < sizeof text);
        lines += bytes + (lines[bytes] == '\n');
    }
    in = fmemopen(text, used, "r");
    assert_non_null(in);
    assert_int_equal(tdw__import_stream(in, fd, NULL, &report), 0);
    assert_int_equal(report.malformed, 0);
    fclose(in);
    snprintf(path, path_bytes, "/proc/self/fd/%d", fd);
    return fd;
}

static struct replay_program program;

static void load(const char *lines)
{
    char path[64];
    const int fd = recording_of(lines, path, sizeof path);
    const struct tdw__replay_options options = {.path = path};

    assert_int_equal(tdw__replay_load(&program, &options), 0);
    close(fd);
}

static void segment_is(size_t at, uint8_t act, uint32_t bytes, uint32_t taker, uint32_t consumer)
{
    assert_true(at < program.segments_count);
    assert_int_equal(program.segments[at].act, act);
    assert_int_equal(program.segments[at].bytes, bytes);
    assert_int_equal(program.segments[at].taker, taker);
    assert_int_equal(program.segments[at].consumer, consumer);
}

static bool comes_after(uint32_t step, uint32_t other)
{
    for (uint32_t i = 0; i < program.steps[step].edges; i++)
        if (program.edges[program.steps[step].first_edge + i].call == other)
            return true;
    return false;
}

/* ── Plans ─────────────────────────────────────────────────────────────────────────────────── */

#define LISTEN                                                                                     \
    "T1 socket(0x2, 0x1, 0) = 3<TCP:[7]> <0.000001000>\n"                                          \
    "T1 bind(3<TCP:[7]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "                                \
    "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, 16) = 0 <0.000001000>\n"                                  \
    "T1 listen(3<TCP:[127.0.0.1:80]>, 5) = 0 <0.000001000>\n"
#define ACCEPT(tid, fd, port, hex)                                                                 \
    tid " accept4(3<TCP:[127.0.0.1:80]>, {sa_family=0x2, sin_port=\"" hex "\", "                   \
        "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, [128 => 16], 0x800) = " fd                            \
        "<TCP:[127.0.0.1:80->127.0.0.1:" port "]> <0.000001000>\n"
#define CONNECTION(fd, port) fd "<TCP:[127.0.0.1:80->127.0.0.1:" port "]>"
#define NOBODY(tid)                                                                                \
    tid " accept4(3<TCP:[127.0.0.1:80]>, 0x7ff, [128], 0x800) = -1 EAGAIN (x) <0.000001000>\n"
#define EPOLL "5<anon_inode:[eventpoll]>"

static void a_read_makes_one_segment_which_the_wait_that_told_of_it_releases(void **state)
{
    (void)state;
    load(LISTEN                                            /* 0-2 */
             ACCEPT("T1", "4", "9999", "\\x27\\x0f")       /* 3 */
         "T1 epoll_create1(0) = " EPOLL " <0.000001000>\n" /* 4 */
         "T1 epoll_ctl(" EPOLL ", 0x1, " CONNECTION(
             "4",
             "9999") ", {events=0x1, data={u32=4, "
                     "u64=77}}) = 0 <0.000001000>\n" /* 5 */
                     "T1 epoll_wait(" EPOLL ", [{events=0x1, data={u32=4, u64=77}}], 8, -1) = 1 "
                     "<0.000001000>\n" /* 6 */
                     "T1 epoll_wait(" EPOLL ", [{events=0x1, data={u32=4, u64=77}}], 8, -1) = 1 "
                     "<0.000001000>\n" /* 7 */
                     "T1 read(" CONNECTION(
                         "4",
                         "9999") ", \"\"..., 100) = 10 <0.000001000>\n" /* 8 */
                                 "T1 read(" CONNECTION(
                                     "4",
                                     "9999") ", \"\"..., 100) = 7 <0.000001000>\n" /* 9 */
                                             "T1 read(" CONNECTION(
                                                 "4",
                                                 "9999") ", 0x7, 100) = -1 EAGAIN (x) "
                                                         "<0.000001000>\n" /* 10 */
                                                         "T1 read(" CONNECTION(
                                                             "4",
                                                             "9999") ", \"\", 100) = 0 "
                                                                     "<0.000001000>\n" /* 11 */
                                                                     "T1 read(" CONNECTION(
                                                                         "4",
                                                                         "9999") ", \"\", 100) = 0 "
                                                                                 "<0.000001000>\n");
    assert_int_equal(program.peers_count, 1);
    assert_string_equal(program.peers[0].theirs, "127.0.0.1:80");
    assert_string_equal(program.peers[0].ours, "127.0.0.1:9999");
    assert_int_equal(program.segments_count, 4);
    segment_is(0, REPLAY_CONNECT, 0, 3, 3);
    segment_is(1, REPLAY_SEND, 10, 8, 6);
    segment_is(2, REPLAY_SEND, 7, 9, 9);
    segment_is(3, REPLAY_END, 0, 11, 11);
    assert_int_equal(program.steps[6].segment, 1);
    assert_int_equal(program.steps[7].segment, REPLAY_NONE);
    assert_true(program.steps[10].fed);
    assert_true(tdw__replay_was_told(&program, 0, 77, 1));
    assert_false(tdw__replay_was_told(&program, 0, 77, 5));
    assert_false(tdw__replay_was_told(&program, 0, 78, 1));
    tdw__replay_free(&program);
}

static void what_was_looked_at_is_not_sent_twice(void **state)
{
    (void)state;
    load(LISTEN ACCEPT("T1", "4", "9999", "\\x27\\x0f") /* 3 */
         "T1 recvfrom(" CONNECTION(
             "4", "9999") ", \"\"..., 10, 0x2, NULL, NULL) = 10 <0.000001>\n"
                          "T1 recvfrom(" CONNECTION(
                              "4",
                              "9999") ", \"\"..., 20, 0x2, NULL, NULL) = 12 <0.000001>\n"
                                      "T1 recvfrom(" CONNECTION(
                                          "4",
                                          "9999") ", \"\"..., 8, 0, NULL, NULL) = 8 <0.000001>\n"
                                                  "T1 recvfrom(" CONNECTION(
                                                      "4", "9999") ", \"\"..., 9, 0, NULL, NULL) = "
                                                                   "9 <0.000001>\n");
    assert_int_equal(program.segments_count, 4);
    segment_is(1, REPLAY_SEND, 10, 4, 4);
    segment_is(2, REPLAY_SEND, 2, 5, 5);
    segment_is(3, REPLAY_SEND, 5, 7, 7);
    tdw__replay_free(&program);
}

static void a_connection_with_both_ends_in_the_recording_has_no_peer(void **state)
{
    (void)state;
    load(LISTEN "T1 fork() = 2 <0.000001>\n"                       /* 3 */
                "T2 socket(0x2, 0x1, 0) = 4<TCP:[8]> <0.000001>\n" /* 4 */
                "T2 connect(4<TCP:[8]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
                "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, 16) = 0 <0.000001>\n" /* 5 */
         ACCEPT("T1", "4", "9999", "\\x27\\x0f")                           /* 6 */
         "T2 write(4<TCP:[127.0.0.1:9999->127.0.0.1:80]>, \"\"..., 3) = 3 <0.000001>\n"
         "T1 read(" CONNECTION("4", "9999") ", \"\"..., 100) = 3 <0.000001>\n"); /* 8 */
    for (size_t i = 0; i < program.peers_count; i++)
        assert_true(program.peers[i].inside);
    assert_int_equal(program.steps[8].segment, REPLAY_NONE);
    assert_false(program.steps[8].fed);
    assert_false(program.steps[6].fed);
    assert_true(comes_after(8, 7));
    tdw__replay_free(&program);
}

static void accepts_at_one_socket_keep_their_order_and_their_process(void **state)
{
    (void)state;
    load(LISTEN "T1 fork() = 2 <0.000001>\n"       /* 3 */
         ACCEPT("T1", "4", "9001", "\\x23\\x29")   /* 4 */
         NOBODY("T2")                              /* 5 */
         ACCEPT("T2", "4", "9002", "\\x23\\x2a")   /* 6 */
         ACCEPT("T1", "5", "9003", "\\x23\\x2b")); /* 7 */
    assert_true(comes_after(5, 4));
    assert_false(comes_after(6, 5)); /* its own thread's */
    assert_true(comes_after(7, 6));
    assert_true(program.steps[5].fed);
    tdw__replay_free(&program);
}

static void a_wait_releases_a_connection_only_if_the_accepts_before_it_were_over(void **state)
{
    static const char wait[] =
        " poll([{fd=3<TCP:[127.0.0.1:80]>, events=0x1}], 1, -1) = 1 ([{fd=3, revents=0x1}]) ";
    char lines[4096];

    (void)state;
    /* The wait ends 0.5 ms after its start; the accept between has the next line's time. */
    snprintf(lines, sizeof lines, "%s%sT1%s<0.000500000>\n%s%s", LISTEN,
             "T1 fork() = 2 <0.000001>\n", wait, ACCEPT("T2", "4", "9001", "\\x23\\x29"),
             ACCEPT("T1", "4", "9002", "\\x23\\x2a"));
    load(lines);
    segment_is(1, REPLAY_CONNECT, 0, 6, 6);
    tdw__replay_free(&program);
    snprintf(lines, sizeof lines, "%s%sT1%s<0.002500000>\n%s%s", LISTEN,
             "T1 fork() = 2 <0.000001>\n", wait, ACCEPT("T2", "4", "9001", "\\x23\\x29"),
             ACCEPT("T1", "4", "9002", "\\x23\\x2a"));
    load(lines);
    segment_is(1, REPLAY_CONNECT, 0, 6, 4);
    assert_true(comes_after(4, 5));
    tdw__replay_free(&program);
}

static void connects_to_the_outside_find_a_listener_for_each_address(void **state)
{
    (void)state;
    load("T1 socket(0x2, 0x1, 0) = 3<TCP:[7]> <0.000001>\n"
         "T1 connect(3<TCP:[7]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
         "sin_addr=\"\\x0a\\x00\\x00\\x07\"}, 16) = 0 <0.000001>\n" /* 1 */
         "T1 write(3<TCP:[10.0.0.1:9->10.0.0.7:80]>, \"\"..., 3) = 3 <0.000001>\n"
         "T1 read(3<TCP:[10.0.0.1:9->10.0.0.7:80]>, \"\"..., 30) = 30 <0.000001>\n" /* 3 */
         "T1 close(3<TCP:[10.0.0.1:9->10.0.0.7:80]>) = 0 <0.000001>\n"
         "T1 socket(0x1, 0x1, 0) = 3<UNIX-STREAM:[8]> <0.000001>\n"
         "T1 connect(3<UNIX-STREAM:[8]>, {sa_family=0x1, sun_path=\"/none\"}, 110) = -1 ENOENT (x) "
         "<0.000001>\n"
         "T1 connect(3<UNIX-STREAM:[8]>, {sa_family=0x1, sun_path=@\"there\"}, 110) = 0 "
         "<0.000001>\n");
    assert_int_equal(program.peers_count, 2);
    assert_int_equal(program.listeners_count, 2);
    assert_string_equal(program.listeners[0], "10.0.0.7:80");
    assert_string_equal(program.listeners[1], "unix:@there");
    segment_is(0, REPLAY_ACCEPT, 0, 1, 1);
    segment_is(1, REPLAY_SEND, 30, 3, 3);
    segment_is(2, REPLAY_ACCEPT, 0, 7, 7);
    tdw__replay_free(&program);
}

static void a_process_ends_after_what_its_other_threads_had_done(void **state)
{
    (void)state;
    load("T1 clone(child_stack=0x7f00, flags=0x3d0f00) = 2 <0.000001>\n"
         "T2 fsync(1</f>) = 0 <0.000001>\n" /* 1 */
         "T2 futex(0x10, 0x80, 0, NULL <unfinished ...>\n"
         "T1 exit_group(0) = ?\n"); /* 3 */
    assert_true(comes_after(3, 1));
    assert_false(comes_after(3, 2));
    tdw__replay_free(&program);
}

/* Two make the same directory at once: the first to begin is not the first to have it. */
static void who_finds_a_name_comes_after_who_made_it(void **state)
{
    (void)state;
    load("T1 fork() = 2 <0.000001>\n"
         "T1 mkdir(\"/w/d\", 0700) = -1 EEXIST (x) <0.0015>\n"
         "T2 mkdir(\"/w/d\", 0700) = 0 <0.0001>\n"
         "T1 mkdir(\"/w/d\", 0700) = -1 EEXIST (x) <0.0001>\n");
    assert_true(comes_after(1, 2));
    assert_false(comes_after(2, 1));
    tdw__replay_free(&program);
}

static void addresses_are_read_as_the_recording_writes_them(void **state)
{
    struct sockaddr_storage to;

    (void)state;
    assert_int_equal(tdw__replay_address("127.0.0.1:80", &to), 16);
    assert_int_equal(to.ss_family, AF_INET);
    assert_memory_equal((char *)&to + 2, "\0\x50\x7f\0\0\1", 6);
    assert_int_equal(tdw__replay_address("[::1]:258", &to), 28);
    assert_int_equal(to.ss_family, AF_INET6);
    assert_memory_equal((char *)&to + 2, "\1\2", 2);
    assert_int_equal(tdw__replay_address("unix:/a", &to), 5);
    assert_string_equal((char *)&to + 2, "/a");
    assert_int_equal(tdw__replay_address("unix:@a", &to), 4);
    assert_memory_equal((char *)&to + 2, "\0a", 2);
    assert_int_equal(tdw__replay_address("nonsense", &to), 0);
    assert_int_equal(tdw__replay_address("1.2.3:4", &to), 0);
    assert_int_equal(tdw__replay_address("[::1", &to), 0);
    assert_int_equal(tdw__replay_address("", &to), 0);
}

/* ── Whole replays ─────────────────────────────────────────────────────────────────────────── */

/* In three models, under both schedules and all paces: 0, or what it first answered otherwise. */
static int replay(const char *lines)
{
    char path[64];
    const int fd = recording_of(lines, path, sizeof path);
    FILE *out = fopen("/dev/null", "w");
    struct tdw__replay_options options = {
        .path = path, .models = 7, .seeds = 8, .explain = 5, .out = out};
    int ret = 0;

    assert_non_null(out);
    for (int pace = 0; pace < 3 && ret == 0; pace++) {
        options.pace = (enum tdw_pace)pace;
        options.schedule = TDW_TIMED;
        options.strategy = TDW_CALM;
        ret = tdw__replay_recording(&options);
        options.schedule = TDW_ADVERSARY;
        options.strategy = TDW_RANDOM;
        ret = ret ? ret : tdw__replay_recording(&options);
    }
    fclose(out);
    close(fd);
    return ret;
}

/* clang-format off */
#define C4 CONNECTION("4", "9001")
#define C5 CONNECTION("5", "9003")
#define C6 CONNECTION("6", "9002")
static const char two_connections[] = LISTEN
    "T1 fcntl(3<TCP:[127.0.0.1:80]>, 0x4, 0x802) = 0 <0.000001>\n"
    "T1 epoll_create1(0) = " EPOLL " <0.000001>\n"
    "T1 epoll_ctl(" EPOLL ", 0x1, 3<TCP:[127.0.0.1:80]>, "
        "{events=0x1, data={u32=3, u64=3}}) = 0 <0.000001>\n"
    "T1 epoll_wait(" EPOLL ", [], 8, 100) = 0 <0.100>\n"
    "T1 epoll_wait(" EPOLL ", [{events=0x1, data={u32=3, u64=3}}], 8, -1) = 1 <0.0001>\n"
    ACCEPT("T1", "4", "9001", "\\x23\\x29")
    ACCEPT("T1", "6", "9002", "\\x23\\x2a")
    NOBODY("T1")
    "T1 epoll_ctl(" EPOLL ", 0x1, " C4 ", "
        "{events=0x80002001, data={u32=4, u64=4}}) = 0 <0.000001>\n"
    "T1 epoll_ctl(" EPOLL ", 0x1, " C6 ", {events=0x1, data={u32=6, u64=6}}) = 0 <0.000001>\n"
    "T1 epoll_wait(" EPOLL ", [{events=0x1, data={u32=4, u64=4}}, "
        "{events=0x1, data={u32=6, u64=6}}], 8, -1) = 2 <0.0001>\n"
    "T1 read(" C4 ", \"\"..., 100) = 10 <0.000001>\n"
    "T1 read(" C4 ", 0x7, 90) = -1 EAGAIN (x) <0.000001>\n"
    "T1 read(" C6 ", \"\"..., 200000) = 100000 <0.0001>\n"
    "T1 write(" C4 ", \"\"..., 500000) = 500000 <0.0001>\n"
    "T1 write(" C6 ", \"\"..., 500000) = 70000 <0.0001>\n"
    "T1 write(" C6 ", \"\"..., 430000) = -1 EAGAIN (x) <0.0001>\n"
    "T1 epoll_wait(" EPOLL ", [{events=0x2001, data={u32=4, u64=4}}], 8, -1) = 1 <0.0001>\n"
    "T1 read(" C4 ", \"\"..., 100) = 3 <0.000001>\n"
    "T1 read(" C4 ", \"\", 97) = 0 <0.000001>\n"
    "T1 close(" C4 ") = 0 <0.000001>\n"
    "T1 exit_group(0) = ?\n";

/* Two processes accept from one socket. Each connection sends another size. */
#define POLL_LISTENER(tid) \
    tid " poll([{fd=3<TCP:[127.0.0.1:80]>, events=0x1}], 1, -1) = 1 ([{fd=3, revents=0x1}]) " \
        "<0.0001>\n"
static const char two_workers[] = LISTEN
    "T1 fcntl(3<TCP:[127.0.0.1:80]>, 0x4, 0x802) = 0 <0.000001>\n"
    "T1 fork() = 2 <0.000001>\n"
    POLL_LISTENER("T1")
    POLL_LISTENER("T2")
    ACCEPT("T2", "4", "9001", "\\x23\\x29")
    NOBODY("T1")
    ACCEPT("T1", "6", "9002", "\\x23\\x2a")
    ACCEPT("T1", "5", "9003", "\\x23\\x2b")
    NOBODY("T2")
    ACCEPT("T2", "5", "9004", "\\x23\\x2c")
    "T1 read(" C6 ", \"\"..., 100) = 22 <0.000001>\n"
    "T2 read(" C4 ", \"\"..., 100) = 11 <0.000001>\n"
    "T2 read(" CONNECTION("5", "9004") ", \"\"..., 100) = 44 <0.000001>\n"
    "T1 read(" C5 ", \"\"..., 100) = 33 <0.000001>\n"
    "T2 exit_group(0) = ?\n"
    "T1 exit_group(0) = ?\n";
/* clang-format on */

static void a_server_of_two_connections_replays(void **state)
{
    (void)state;
    assert_int_equal(replay(two_connections), 0);
}

static void workers_accept_the_connections_that_they_accepted(void **state)
{
    (void)state;
    assert_int_equal(replay(two_workers), 0);
}

/* A thread closes a descriptor slowly; another thread gets the number for something else. */
static void threads_that_share_descriptors_keep_their_order(void **state)
{
    (void)state;
    assert_int_equal(replay("T1 openat(-100</w>, \"/w/old\", 0x42, 0600) = 3</w/old> <0.000001>\n"
                            "T1 clone(child_stack=0x7f00, flags=0x3d0f00) = 2 <0.000001>\n"
                            "T2 fsync(3</w/old>) = 0 <0.0001>\n"
                            "T2 close(3</w/old>) = 0 <0.000001>\n"
                            "T1 openat(-100</w>, \"/w/new\", 0x42, 0600) = 3</w/new> <0.000001>\n"
                            "T1 write(3</w/new>, \"\"..., 5) = 5 <0.000001>\n"
                            "T2 write(3</w/new>, \"\"..., 6) = 6 <0.000001>\n"
                            "T1 exit_group(0) = ?\n"),
                     0);
}

static void what_is_run_may_be_run(void **state)
{
    (void)state;
    assert_int_equal(
        replay("T1 access(\"/w/program\", 0x1) = 0 <0.000001>\n"
               "T1 access(\"/w/text\", 0x4) = 0 <0.000001>\n"
               "T1 newfstatat(-100</w>, \"/w/text\", {st_mode=0100644, st_size=7}, 0) = 0 "
               "<0.000001>\n"
               "T1 access(\"/w/text\", 0x1) = -1 EACCES (x) <0.000001>\n"
               "T1 faccessat2(-100</w>, \"/w/other\", 0x1, 0x200) = 0 <0.000001>\n"
               "T1 openat(-100</w>, \"/dev/null\", 0x2) = 3</dev/null<char 1:3>> <0.000001>\n"
               "T1 dup2(3</dev/null<char 1:3>>, 1) = 1</dev/null<char 1:3>> <0.000001>\n"
               "T1 close_range(0x3, 0xffffffff, 0) = 0 <0.000001>\n"
               "T1 fcntl(3, 0x1) = -1 EBADF (x) <0.000001>\n"),
        0);
}

static void connects_to_the_outside_are_answered(void **state)
{
    (void)state;
    assert_int_equal(
        replay("T1 socket(0x2, 0x1, 0) = 3<TCP:[7]> <0.000001>\n"
               "T1 connect(3<TCP:[7]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
               "sin_addr=\"\\x0a\\x01\\x00\\x07\"}, 16) = 0 <0.000001>\n"
               "T1 write(3<TCP:[10.1.0.1:9->10.1.0.7:80]>, \"\"..., 3) = 3 <0.000001>\n"
               "T1 read(3<TCP:[10.1.0.1:9->10.1.0.7:80]>, \"\"..., 30) = 30 <0.000001>\n"
               "T1 read(3<TCP:[10.1.0.1:9->10.1.0.7:80]>, \"\", 30) = 0 <0.000001>\n"
               "T1 close(3<TCP:[10.1.0.1:9->10.1.0.7:80]>) = 0 <0.000001>\n"
               "T1 socket(0x1, 0x1, 0) = 3<UNIX-STREAM:[8]> <0.000001>\n"
               "T1 connect(3<UNIX-STREAM:[8]>, {sa_family=0x1, sun_path=\"/none\"}, 110) = -1 "
               "ENOENT (x) <0.000001>\n"
               "T1 connect(3<UNIX-STREAM:[8]>, {sa_family=0x1, sun_path=@\"there\"}, 110) = 0 "
               "<0.000001>\n"
               "T1 recvfrom(3<UNIX-STREAM:[8->9]>, \"\"..., 30, 0, NULL, NULL) = 7 <0.000001>\n"
               "T1 socket(0x2, 0x801, 0) = 4<TCP:[7]> <0.000001>\n"
               "T1 connect(4<TCP:[7]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
               "sin_addr=\"\\x0a\\x01\\x00\\x07\"}, 16) = -1 EINPROGRESS (x) <0.000001>\n"
               "T1 poll([{fd=4<TCP:[10.1.0.1:10->10.1.0.7:80]>, events=0x4}], 1, -1) = 1 ([{fd=4, "
               "revents=0x4}]) <0.0001>\n"
               "T1 read(4<TCP:[10.1.0.1:10->10.1.0.7:80]>, \"\"..., 30) = 5 <0.000001>\n"
               "T1 exit_group(0) = ?\n"),
        0);
}

static void descriptors_travel_between_processes(void **state)
{
    (void)state;
    assert_int_equal(
        replay("T1 socketpair(0x1, 0x1, 0, [3<UNIX-STREAM:[5->6]>, 4<UNIX-STREAM:[6->5]>]) = 0 "
               "<0.000001>\n"
               "T1 fork() = 2 <0.000001>\n"
               "T1 pipe2([5<pipe:[1]>, 6<pipe:[1]>], 0) = 0 <0.000001>\n"
               "T1 sendmsg(3<UNIX-STREAM:[5->6]>, {msg_name=NULL, msg_namelen=0, "
               "msg_iov=[{iov_base=\"\"..., iov_len=9}], msg_iovlen=1, msg_control=[{cmsg_len=20, "
               "cmsg_level=0x1, cmsg_type=0x1, cmsg_data=[5<pipe:[1]>]}], msg_controllen=24, "
               "msg_flags=0}, 0) = 9 <0.000001>\n"
               "T1 write(6<pipe:[1]>, \"\"..., 12) = 12 <0.000001>\n"
               "T2 recvmsg(4<UNIX-STREAM:[6->5]>, {msg_name=NULL, msg_namelen=0, "
               "msg_iov=[{iov_base=\"\"..., iov_len=9}], msg_iovlen=1, msg_control=[{cmsg_len=20, "
               "cmsg_level=0x1, cmsg_type=0x1, cmsg_data=[3<pipe:[1]>]}], msg_controllen=24, "
               "msg_flags=0}, 0) = 9 <0.000001>\n"
               "T2 read(3<pipe:[1]>, \"\"..., 100) = 12 <0.000001>\n"
               "T2 exit_group(0) = ?\n"
               "T1 exit_group(0) = ?\n"),
        0);
}

static void an_epoll_event_that_the_recording_never_had_is_a_mismatch(void **state)
{
    static const char lines[] = LISTEN ACCEPT(
        "T1", "4", "9001",
        "\\x23\\x29") "T1 epoll_create1(0) = " EPOLL " <0.000001>\n"
                      "T1 epoll_ctl(" EPOLL ", 0x1, " CONNECTION(
                          "4",
                          "9001") ", {events=0x5, data={u32=4, "
                                  "u64=4}}) = 0 <0.000001>\n"
                                  "T1 epoll_wait(" EPOLL
                                  ", [{events=0x%d, data={u32=4, u64=4}}], 8, -1) = 1 <0.0001>\n"
                                  "T1 read(" CONNECTION("4",
                                                        "9001") ", \"\"..., 100) = 10 <0.000001>\n";
    char text[4096];

    (void)state;
    snprintf(text, sizeof text, lines, 5);
    assert_int_equal(replay(text), 0);
    snprintf(text, sizeof text, lines, 1);
    assert_int_equal(replay(text), 1);
}

static void a_read_of_another_size_is_a_mismatch(void **state)
{
    (void)state;
    /* The recorded sizes cannot be: the file has 3 bytes. */
    assert_int_equal(replay("T1 openat(-100</w>, \"/w/f\", 0x42, 0600) = 3</w/f> <0.000001>\n"
                            "T1 write(3</w/f>, \"\"..., 3) = 3 <0.000001>\n"
                            "T1 pread64(3</w/f>, \"\"..., 9, 0) = 4 <0.000001>\n"),
                     1);
}

int tests_replay(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_makes_one_segment_which_the_wait_that_told_of_it_releases),
        cmocka_unit_test(what_was_looked_at_is_not_sent_twice),
        cmocka_unit_test(a_connection_with_both_ends_in_the_recording_has_no_peer),
        cmocka_unit_test(accepts_at_one_socket_keep_their_order_and_their_process),
        cmocka_unit_test(a_wait_releases_a_connection_only_if_the_accepts_before_it_were_over),
        cmocka_unit_test(connects_to_the_outside_find_a_listener_for_each_address),
        cmocka_unit_test(a_process_ends_after_what_its_other_threads_had_done),
        cmocka_unit_test(who_finds_a_name_comes_after_who_made_it),
        cmocka_unit_test(addresses_are_read_as_the_recording_writes_them),
        cmocka_unit_test(a_server_of_two_connections_replays),
        cmocka_unit_test(workers_accept_the_connections_that_they_accepted),
        cmocka_unit_test(threads_that_share_descriptors_keep_their_order),
        cmocka_unit_test(what_is_run_may_be_run),
        cmocka_unit_test(connects_to_the_outside_are_answered),
        cmocka_unit_test(descriptors_travel_between_processes),
        cmocka_unit_test(an_epoll_event_that_the_recording_never_had_is_a_mismatch),
        cmocka_unit_test(a_read_of_another_size_is_a_mismatch),
    };

    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
