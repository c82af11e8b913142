/* SPDX-License-Identifier: MIT */
/*
 * The recorder's events: each kind of call told twice, as strace's line and as an event made by
 * hand, must be the same call; and whole recordings of a few events.
 *
 * No privileges are needed: this is the part of the recorder behind the ring. Damaged events (cut
 * at every eight bytes, bytes changed at random) must import or be refused, never crash, and always
 * give a file that reads to its end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/syscall.h>
#include <traces/ebpf/events_import.h>
#include <unistd.h>
#include "tests.h"

int tests_events(void);

enum { STREAM_BYTES = 1 << 16, CALLS_MAX = 32 };

/* ── Events by hand ──────────────────────────────────────────────────────────────────────────────
 */

/* A stream of events; the last one grows by fields. */
struct stream {
    _Alignas(8) uint8_t bytes[STREAM_BYTES];
    size_t used, last;
};

static struct stream s;

static void *put(size_t bytes, unsigned kind, unsigned nr, unsigned tid, unsigned other,
                 uint64_t at_ns)
{
    struct tdw__event *const head = (void *)(s.bytes + s.used);

    assert_true(s.used + bytes <= sizeof s.bytes);
    memset(head, 0, bytes);
    *head = (struct tdw__event){.kind = (__u16)kind,
                                .nr = (__u16)nr,
                                .bytes = (__u32)bytes,
                                .tid = tid,
                                .other = other,
                                .at_ns = at_ns};
    s.last = s.used;
    s.used += bytes;
    return head;
}

static struct tdw__event_call *call_put(unsigned nr, int64_t result, const uint64_t arg[6])
{
    struct tdw__event_call *const call = put(sizeof *call, TDW__EV_CALL, nr, 7, 7, 1000);

    call->began_tid = 7;
    call->end_ns = 2000;
    call->result = result;
    for (int i = 0; i < 6; i++)
        call->arg[i] = arg[i];
    return call;
}

/* What argument `arg` of the last event led to. */
static void field_put(unsigned arg, int letter, unsigned number, const void *bytes, size_t count)
{
    struct tdw__event *const head = (void *)(s.bytes + s.last);
    const struct tdw__event_field field = {(__u8)arg, (__u8)letter, (__u16)count, number};

    memcpy(s.bytes + s.used, &field, sizeof field);
    memset(s.bytes + s.used + sizeof field, 0, (count + 7) & ~(size_t)7);
    memcpy(s.bytes + s.used + sizeof field, bytes, count);
    s.used += sizeof field + ((count + 7) & ~(size_t)7);
    head->bytes = (__u32)(s.used - s.last);
}

static void text_put(unsigned arg, int letter, const char *text)
{
    field_put(arg, letter, 0, text, strlen(text) + 1);
}

/* Words of a path, given from its last name up, with "\0" between the names. */
static struct tdw__event_words *words_put(unsigned id, unsigned mode, const char *names,
                                          size_t bytes)
{
    struct tdw__event_words *const words =
        put(sizeof *words + ((bytes + 7) & ~(size_t)7), TDW__EV_WORDS, 0, 7, 0, 0);

    words->id = id;
    words->mode = mode;
    words->ino = 42;
    words->path_bytes = (__u16)bytes;
    memcpy(words + 1, names, bytes);
    return words;
}
#define WORDS(id, mode, names) words_put(id, mode, names, sizeof names)

/* ── One call, told twice ────────────────────────────────────────────────────────────────────────
 */

static struct tdw__parsed said, seen;
static struct tdw__event_texts texts;

static void same_text(const char *name, const char *a, const char *b)
{
    if (!a || !b) {
        if (a != b)
            print_message("%s: %s is not %s\n", name, a ? a : "(null)", b ? b : "(null)");
        assert_true(a == b);
        return;
    }
    assert_string_equal(a, b);
}

static void same_calls(const struct tdw_call *a, const struct tdw_call *b)
{
    same_text("name", a->name, b->name);
    assert_int_equal(a->args, b->args);
    for (int i = 0; i < 6; i++)
        assert_int_equal(a->arg[i], b->arg[i]);
    assert_int_equal(a->result, b->result);
    assert_int_equal(a->bits, b->bits);
    for (int i = 0; i < 2; i++) {
        same_text("path", a->path[i], b->path[i]);
        same_text("fd_path", a->fd_path[i], b->fd_path[i]);
    }
    same_text("result_path", a->result_path, b->result_path);
    same_text("address", a->address, b->address);
    assert_memory_equal(&a->lock, &b->lock, sizeof a->lock);
    assert_int_equal(a->stat.mode, b->stat.mode);
    assert_int_equal(a->stat.size, b->stat.size);
    assert_int_equal(a->names.count, b->names.count);
    assert_int_equal(a->names.hash, b->names.hash);
    assert_int_equal(a->items, b->items);
    for (uint32_t i = 0; i < a->items; i++) {
        assert_int_equal(a->item[i].a, b->item[i].a);
        assert_int_equal(a->item[i].b, b->item[i].b);
    }
}

/* The call at `at` (and what was read before it) is what this line of strace says. */
static void is_line(const struct tdw__event_call *event, const struct tdw__event_call *before,
                    const char *line)
{
    struct tdw__call_text text;
    const char *why = "";

    assert_int_equal(tdw__call_lex(line, strlen(line), true, &text, &why), 0);
    tdw__parse(&said, &text, true);
    tdw__event_parse(&seen, event, before, &texts);
    same_calls(&said.call, &seen.call);
    for (int i = 0; i < 2; i++) {
        same_text("dir", said.dir[i], seen.dir[i]);
        assert_int_equal(said.dir_fd[i], seen.dir_fd[i]);
    }
    assert_int_equal(said.child_tid, seen.child_tid);
}

static void begin(void)
{
    s.used = s.last = 0;
}

#define CALL(nr, result, ...) call_put(nr, result, (const uint64_t[6]){__VA_ARGS__})
#define KNOW(id, mode, names)                                                                      \
    assert_int_equal(tdw__event_words_add(&texts, WORDS(id, mode, names)), 0)

/* Descriptors that the lines below use. */
static int words_setup(void **state)
{
    (void)state;
    begin();
    KNOW(1, S_IFREG | 0644, "b\0a");
    KNOW(2, S_IFDIR | 0755, "cwd");
    KNOW(3, S_IFREG | 0644, "c\0cwd");
    tdw__event_words_add(&texts, ({
        struct tdw__event_words *w = WORDS(4, S_IFIFO | 0600, "");
        w->magic = 0x50495045;
        w;
    }));
    return 0;
}

static int words_teardown(void **state)
{
    (void)state;
    tdw__event_words_fini(&texts);
    texts = (struct tdw__event_texts){0};
    return 0;
}

static void numbers_have_their_width(void **state)
{
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_pread64, 4096, 0xffffffff00000003, 0x7f0000000000, 4096, 1ull << 40);
    c->words[0] = 1;
    is_line(c, NULL, "pread64(3</a/b>, \"\"..., 4096, 1099511627776) = 4096");
    is_line(CALL(SYS_kill, -3, 0x00000000ffffff85, 15), NULL,
            "kill(-123, 15) = -1 ESRCH (No such process)");
    is_line(CALL(SYS_umask, 022, 077), NULL, "umask(077) = 022");
    c = CALL(SYS_lseek, 10, 3, (uint64_t)-10, 2);
    c->words[0] = 1;
    is_line(c, NULL, "lseek(3</a/b>, -10, 2) = 10");
    is_line(CALL(SYS_brk, 0x5555, 0), NULL, "brk(NULL) = 0x5555");
    is_line(CALL(SYS_exit_group, 0, 0xff), NULL, "exit_group(255) = 0");
    c = CALL(SYS_mmap, 0x7000, 0, 8192, 1, 2, 3, 4096);
    c->words[0] = 1;
    is_line(c, NULL, "mmap(NULL, 8192, 0x1, 0x2, 3</a/b>, 4096) = 0x7000");
    is_line(CALL(SYS_mremap, 0x7000, 0x6000, 4096, 8192, 1, 99), NULL,
            "mremap(0x6000, 4096, 8192, 0x1) = 0x7000");
}

static void paths_and_their_directories_are_told(void **state)
{
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_openat, 4, (uint64_t)-100, 1, O_RDONLY | O_CLOEXEC, 0xdead);
    c->words[0] = 2;
    c->result_words = 3;
    text_put(1, 'p', "c");
    is_line(c, NULL, "openat(-100</cwd>, \"c\", 0x80000) = 4</cwd/c>");
    begin();
    c = CALL(SYS_openat, -2, 5, 1, O_CREAT | O_WRONLY, 0644);
    c->words[0] = 2;
    text_put(1, 'p', "x");
    is_line(c, NULL, "openat(5</cwd>, \"x\", 0x41, 0644) = -1 ENOENT (No such file or directory)");
    begin();
    c = CALL(SYS_renameat, 0, (uint64_t)-100, 1, 5, 2);
    c->words[0] = 2;
    c->words[1] = 1;
    text_put(1, 'p', "from");
    text_put(3, 'p', "to");
    is_line(c, NULL, "renameat(-100</cwd>, \"from\", 5</a/b>, \"to\") = 0");
    begin();
    c = CALL(SYS_getcwd, 5, 1, 4096);
    text_put(0, 't', "/cwd");
    is_line(c, NULL, "getcwd(\"/cwd\", 4096) = 5");
    begin();
    c = CALL(SYS_symlink, 0, 1, 2);
    text_put(0, 't', "target");
    text_put(1, 'p', "name");
    is_line(c, NULL, "symlink(\"target\", \"name\") = 0");
}

static void an_empty_path_means_the_descriptor(void **state)
{
    struct stat st = {.st_mode = S_IFREG | 0644, .st_size = 77};
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_newfstatat, 0, 3, 1, 2, 0x1000);
    c->words[0] = 1;
    text_put(1, 'p', "");
    field_put(2, 's', 0, &st, sizeof st);
    is_line(c, NULL, "newfstatat(3</a/b>, \"\", {st_mode=0100644, st_size=77}, 0x1000) = 0");
    begin();
    c = CALL(SYS_fstat, 0, 3, 1);
    c->words[0] = 1;
    field_put(1, 's', 0, &st, sizeof st);
    is_line(c, NULL, "fstat(3</a/b>, {st_mode=0100644, st_size=77}) = 0");
}

static void locks_are_taken_apart(void **state)
{
    const struct flock lock = {.l_type = F_WRLCK, .l_start = 120, .l_len = 8, .l_pid = 99};
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_fcntl, -EAGAIN, 3, F_SETLK, 1);
    c->words[0] = 1;
    field_put(2, 'l', 0, &lock, sizeof lock);
    is_line(c, NULL,
            "fcntl(3</a/b>, 0x6, {l_type=0x1, l_whence=0, l_start=120, l_len=8}) = -1 EAGAIN (x)");
    begin();
    c = CALL(SYS_fcntl, 0, 3, F_GETLK, 1);
    c->words[0] = 1;
    field_put(2, 'l', 0, &lock, sizeof lock);
    is_line(c, NULL,
            "fcntl(3</a/b>, 0x5, {l_type=0x1, l_whence=0, l_start=120, l_len=8, l_pid=99}) = 0");
    c = CALL(SYS_fcntl, 2, 3, F_GETFL, 12345);
    c->words[0] = 1;
    is_line(c, NULL, "fcntl(3</a/b>, 0x3) = 0x2");
    c = CALL(SYS_fcntl, 9, 3, F_DUPFD, 5);
    c->words[0] = c->result_words = 1;
    is_line(c, NULL, "fcntl(3</a/b>, 0, 5) = 9</a/b>");
}

static void lists_become_items(void **state)
{
    const uint64_t iov[4] = {1, 100, 2, 28};
    const struct epoll_event events[2] = {{EPOLLIN, {.u64 = 5}}, {EPOLLOUT, {.u64 = 6}}};
    const struct {
        int fd;
        short events, revents;
    } polled[2] = {{3, 1, 0}, {4, 4, 4}};
    const int fds[2] = {5, 6};
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_writev, 128, 3, 1, 2);
    c->words[0] = 1;
    field_put(1, 'v', 0, iov, sizeof iov);
    is_line(c, NULL,
            "writev(3</a/b>, [{iov_base=\"\"..., iov_len=100}, {iov_base=\"\"..., iov_len=28}], 2) "
            "= 128");
    begin();
    c = CALL(SYS_epoll_wait, 2, 4, 1, 64, (uint64_t)-1);
    field_put(1, 'E', 0, events, sizeof events);
    is_line(c, NULL,
            "epoll_wait(4, [{events=0x1, data={u32=5, u64=5}}, {events=0x4, data={u32=6, "
            "u64=6}}], 64, -1) = 2");
    begin();
    c = CALL(SYS_epoll_ctl, 0, 4, 1, 5, 1);
    c->words[1] = 4;
    field_put(3, 'V', 0, events, sizeof *events);
    is_line(c, NULL, "epoll_ctl(4, 0x1, 5<pipe:[42]>, {events=0x1, data={u32=5, u64=5}}) = 0");
    begin();
    c = CALL(SYS_poll, 1, 1, 2, 10);
    field_put(0, 'q', 0, polled, sizeof polled);
    is_line(c, NULL,
            "poll([{fd=3, events=0x1}, {fd=4, events=0x4}], 2, 10) = 1 ([{fd=4, revents=0x4}])");
    begin();
    c = CALL(SYS_pipe2, 0, 1, 0);
    c->words[0] = c->words[1] = 4;
    field_put(0, 'k', 0, fds, sizeof fds);
    is_line(c, NULL, "pipe2([5<pipe:[42]>, 6<pipe:[42]>], 0) = 0");
}

static void sets_of_select_are_read_before_and_after(void **state)
{
    const uint64_t asked = 1 << 3 | 1 << 5, answered = 1 << 5;
    const int64_t wait[2] = {1, 500};
    const struct tdw__event_call *before;
    struct tdw__event_call *c;

    (void)state;
    begin();
    before = CALL(SYS_pselect6, 0, 8, 1, 0, 0, 1, 0);
    field_put(1, 'r', 0, &asked, sizeof asked);
    field_put(4, 'T', 0, wait, sizeof wait);
    c = CALL(SYS_pselect6, 1, 8, 1, 0, 0, 1, 0);
    field_put(1, 'r', 0, &answered, sizeof answered);
    is_line(c, before,
            "pselect6(8, [3 5], NULL, NULL, {tv_sec=1, tv_nsec=500}, NULL) = 1 (in [5], left "
            "{tv_sec=0, tv_nsec=7})");
}

static void addresses_and_messages_are_told(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
    const struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
    const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0name"};
    const uint64_t iov[2] = {1, 10};
    const struct {
        uint64_t bytes;
        int level, type, fd, unused;
    } rights = {20, SOL_SOCKET, SCM_RIGHTS, 7, 0};
    struct tdw__event_call *c;

    (void)state;
    in.sin_addr.s_addr = htonl(0x7f000001);
    in6.sin6_addr.s6_addr[15] = 1;
    begin();
    c = CALL(SYS_connect, 0, 3, 1, 16);
    field_put(1, 'a', 0, &in, sizeof in);
    is_line(c, NULL,
            "connect(3, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
            "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, 16) = 0");
    begin();
    c = CALL(SYS_bind, 0, 3, 1, 28);
    field_put(1, 'a', 0, &in6, sizeof in6);
    is_line(c, NULL,
            "bind(3, {sa_family=0xa, sin6_port=\"\\x00\\x51\", "
            "sin6_addr=\"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
            "\\x00\\x01\"}, 28) = 0");
    begin();
    c = CALL(SYS_bind, 0, 3, 1, 9);
    field_put(1, 'a', 0, &un, 9);
    is_line(c, NULL, "bind(3, {sa_family=0x1, sun_path=\"/tmp/x\"}, 9) = 0");
    begin();
    c = CALL(SYS_connect, 0, 3, 1, 7);
    field_put(1, 'a', 0, &name, 7);
    is_line(c, NULL, "connect(3, {sa_family=0x1, sun_path=@\"name\"}, 7) = 0");
    begin();
    c = CALL(SYS_accept4, -EAGAIN, 3, 1, 2, 0x80000);
    field_put(1, 'a', 0, &in, sizeof in);
    is_line(c, NULL, "accept4(3, 0x7f00, [16], 0x80000) = -1 EAGAIN (x)");
    begin();
    c = CALL(SYS_sendmsg, 10, 3, 1, 0);
    field_put(1, 'v', 0, iov, sizeof iov);
    field_put(1, TDW__EV_CONTROL, 0, &rights, sizeof rights);
    is_line(c, NULL,
            "sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"\"..., iov_len=10}], "
            "msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=0x1, cmsg_type=0x1, "
            "cmsg_data=[7]}], msg_controllen=24, msg_flags=0}, 0) = 10");
}

static void times_and_offsets_are_told(void **state)
{
    const int64_t wait[4] = {0, 0, 2, 5};
    const int64_t offset = 4096;
    const int one = 1;
    const struct tdw__event_call *before;
    struct tdw__event_call *c;

    (void)state;
    begin();
    c = CALL(SYS_timer_settime, 0, 1, 0, 1, 0);
    field_put(2, 'T', 0, wait, sizeof wait);
    is_line(c, NULL,
            "timer_settime(1, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=2, "
            "tv_nsec=5}}, NULL) = 0");
    begin();
    before = CALL(SYS_sendfile, 0, 4, 3, 1, 100);
    field_put(2, 'o', 0, &offset, sizeof offset);
    c = CALL(SYS_sendfile, 100, 4, 3, 1, 100);
    is_line(c, before, "sendfile(4, 3, [4096] => [4196], 100) = 100");
    is_line(CALL(SYS_sendfile, 100, 4, 3, 0, 100), NULL, "sendfile(4, 3, NULL, 100) = 100");
    begin();
    c = CALL(SYS_setsockopt, 0, 3, 1, 2, 1, 4);
    field_put(3, 'i', 0, &one, sizeof one);
    is_line(c, NULL, "setsockopt(3, 0x1, 0x2, [1], 4) = 0");
    begin();
    c = CALL(SYS_ioctl, 0, 3, 0x5421, 1);
    field_put(2, 'i', 0, &one, sizeof one);
    is_line(c, NULL, "ioctl(3, 0x5421, [1]) = 0");
}

static void futex_shows_what_its_command_has(void **state)
{
    const int64_t wait[2] = {1, 2};
    struct tdw__event_call *c;

    (void)state;
    begin();
    is_line(CALL(SYS_futex, 1, 0x1000, 0x81, 1, 9, 9, 9), NULL, "futex(0x1000, 0x81, 1) = 1");
    c = CALL(SYS_futex, -ETIMEDOUT, 0x1000, 0x80, 2, 0x2000);
    field_put(3, 'K', 0, wait, sizeof wait);
    is_line(c, NULL, "futex(0x1000, 0x80, 2, {tv_sec=1, tv_nsec=2}) = -1 ETIMEDOUT (x)");
    is_line(CALL(SYS_futex, 0, 0x1000, 0x189, 0, 0, 9, 0xffffffff), NULL,
            "futex(0x1000, 0x189, 0, NULL, 0xffffffff) = 0");
}

static void clones_tell_flags_and_where_a_thread_ends(void **state)
{
    const uint64_t args[8] = {0x3d0f00, 0, 0x9990, 0x8880, 0, 0, 0, 0};
    struct tdw__event_call *c;

    (void)state;
    begin();
    is_line(CALL(SYS_clone, 55, 0x1200011, 0, 0, 0x7770, 0), NULL,
            "clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x7770) = 55");
    c = CALL(SYS_clone3, 56, 1, 88);
    field_put(0, TDW__EV_CLONE3, 0, args, sizeof args);
    is_line(c, NULL,
            "clone3({flags=0x3d0f00, child_tid=0x9990, parent_tid=0x8880, exit_signal=0} => "
            "{parent_tid=[56]}, 88) = 56");
}

static void results_are_values_errors_or_restarts(void **state)
{
    (void)state;
    begin();
    is_line(CALL(SYS_getpid, 77), NULL, "getpid() = 77");
    is_line(CALL(SYS_pause, -514), NULL,
            "pause() = ? ERESTARTNOHAND (To be restarted if no handler)");
    is_line(CALL(SYS_munmap, -EINVAL, 0x1000, 4096), NULL, "munmap(0x1000, 4096) = -1 EINVAL (x)");
}

static void names_of_a_directory_are_hashed(void **state)
{
    uint8_t entries[64] = {0};
    struct tdw__event_call *c;

    (void)state;
    entries[16] = 32, entries[18] = 8, memcpy(entries + 19, "file", 5);
    entries[48] = 24, entries[50] = 4, memcpy(entries + 51, ".", 2);
    begin();
    c = CALL(SYS_getdents64, 56, 3, 1, 32768);
    c->words[0] = 2;
    field_put(1, 'e', 0, entries, 56);
    is_line(c, NULL,
            "getdents64(3</cwd>, [{d_ino=1, d_off=1, d_reclen=32, d_type=0x8, d_name=\"file\"}, "
            "{d_ino=2, d_off=2, d_reclen=24, d_type=0x4, d_name=\".\"}], 32768) = 56");
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────
 */

static void words_are(struct tdw__event_words *words, const char *expected)
{
    struct tdw__event_texts own = {0};

    assert_int_equal(tdw__event_words_add(&own, words), 0);
    assert_string_equal(tdw__event_words(&own, words->id), expected);
    assert_null(tdw__event_words(&own, words->id + 1));
    assert_null(tdw__event_words(&own, 0));
    tdw__event_words_fini(&own);
}

static struct tdw__event_words *socket_words(const char *protocol, unsigned family)
{
    struct tdw__event_words *const words = words_put(1, S_IFSOCK, protocol, strlen(protocol) + 1);

    words->family = (__u16)family;
    return words;
}

static void descriptors_have_the_words_of_strace(void **state)
{
    struct tdw__event_words *w;

    (void)state;
    begin();
    words_are(WORDS(1, S_IFREG, "c\0b\0a"), "/a/b/c");
    words_are(words_put(1, S_IFDIR, "", 0), "/");
    w = WORDS(1, S_IFCHR, "null\0dev");
    w->rdev = 1 << 20 | 3;
    words_are(w, "/dev/null<char 1:3>");
    w = WORDS(1, S_IFREG, "[eventfd]");
    w->magic = 0x09041934;
    words_are(w, "anon_inode:[eventfd]");
    words_are(socket_words("NETLINK", AF_NETLINK), "NETLINK:[42]");
    words_are(socket_words("TCP", AF_INET), "TCP:[42]");
    w = socket_words("TCP", AF_INET);
    w->port = 80;
    memcpy(w->here, "\x7f\0\0\1", 4);
    words_are(w, "TCP:[127.0.0.1:80]");
    w->peer_port = 5000;
    memcpy(w->there, "\x7f\0\0\2", 4);
    words_are(w, "TCP:[127.0.0.1:80->127.0.0.2:5000]");
    w = socket_words("TCPv6", AF_INET6);
    w->port = 81;
    w->here[15] = 1;
    words_are(w, "TCPv6:[[::1]:81]");
    w = socket_words("UNIX-STREAM", AF_UNIX);
    words_are(w, "UNIX-STREAM:[42]");
    w->peer_ino = 43;
    w->name_bytes = 5;
    memcpy(w->name, "\1\0/x", 5);
    words_are(w, "UNIX-STREAM:[42->43,\"/x\"]");
    memcpy(w->name, "\1\0\0ab", 5);
    words_are(w, "UNIX-STREAM:[42->43,@\"ab\"]");
}

/* ── Whole recordings ────────────────────────────────────────────────────────────────────────────
 */

static struct {
    struct tdw__import_report report;
    struct tdw_call call[CALLS_MAX];
    char name[CALLS_MAX][32];
    size_t calls;
    struct tdw_trace_thread thread[8];
    size_t threads;
    struct tdw_image fd;
    char fd_path[64];
    struct tdw_trace_gap gap[8];
    size_t gaps;
} rec;

static void keep(const struct tdw_trace_record *r)
{
    if (r->type == TDW_TRACE_CALL && rec.calls < CALLS_MAX) {
        snprintf(rec.name[rec.calls], sizeof rec.name[0], "%s", r->call.name);
        rec.call[rec.calls++] = r->call;
    } else if (r->type == TDW_TRACE_THREAD && rec.threads < 8) {
        rec.thread[rec.threads++] = r->thread;
    } else if (r->type == TDW_TRACE_GAP && rec.gaps < 8) {
        rec.gap[rec.gaps++] = r->gap;
    } else if (r->type == TDW_TRACE_IMAGE && r->image.kind == TDW_IMAGE_FD) {
        rec.fd = r->image;
        snprintf(rec.fd_path, sizeof rec.fd_path, "%s", r->image.path);
    }
}

/* Import so many bytes of the stream and read what was written, to its end. */
static int import(size_t bytes)
{
    const int fd = memfd_create("recording", MFD_CLOEXEC);
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    int result, got;

    memset(&rec, 0, sizeof rec);
    result = tdw__import_events(s.bytes, bytes, fd, &rec.report);
    if (result == 0) {
        lseek(fd, 0, SEEK_SET);
        assert_int_equal(tdw_trace_open_fd(&reader, fd, NULL), 0);
        while ((got = tdw_trace_next(reader, &record)) == 1)
            keep(&record);
        assert_int_equal(got, 0);
        tdw_trace_reader_close(reader);
    }
    close(fd);
    return result;
}

static struct tdw__event_call *timed(unsigned tid, unsigned nr, uint64_t from, uint64_t to,
                                     int64_t result)
{
    struct tdw__event_call *const call = CALL(nr, result, 0);

    call->head.tid = call->began_tid = tid;
    call->head.at_ns = from;
    call->end_ns = to;
    return call;
}

static void calls_are_in_the_order_of_their_starts(void **state)
{
    (void)state;
    begin();
    put(sizeof(struct tdw__event), TDW__EV_BEGAN, 0, 0, 0, 1000000);
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 7, 7, 50);
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 8, 7, 60);
    timed(7, SYS_getpid, 110, 120, 7);
    timed(7, SYS_gettid, 130, 140, 7);
    timed(8, SYS_pause, 100, 200, -EINTR); /* under way meanwhile */
    assert_int_equal(import(s.used), 0);
    assert_int_equal(rec.calls, 3);
    assert_string_equal(rec.name[0], "pause");
    assert_string_equal(rec.name[1], "getpid");
    assert_string_equal(rec.name[2], "gettid");
    assert_int_equal(rec.call[0].start_ns, 50);
    assert_int_equal(rec.call[0].end_ns, 150);
    assert_int_equal(rec.call[2].ordinal, 1);
    assert_int_equal(rec.threads, 2);
    assert_int_equal(rec.thread[1].process, rec.thread[0].process);
    assert_int_equal(rec.thread[1].pid, 7);
}

static void children_come_from_their_clone(void **state)
{
    struct tdw__event_ended *ended;
    struct tdw__event_call *clone;

    (void)state;
    begin();
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 7, 7, 10);
    put(sizeof(struct tdw__event), TDW__EV_FORK, 1, 7, 8, 25);
    timed(8, SYS_getpid, 30, 40, 8);
    clone = timed(7, SYS_clone, 20, 50, 8);
    clone->arg[0] = 17;
    ended = put(sizeof *ended, TDW__EV_ENDED, 0, 8, 8, 60);
    ended->code = 3 << 8;
    timed(7, SYS_wait4, 55, 70, 8);
    assert_int_equal(import(s.used), 0);
    assert_int_equal(rec.calls, 3);
    assert_int_equal(rec.threads, 2);
    assert_int_equal(rec.thread[1].parent, 0);
    assert_int_equal(rec.thread[1].clone_call, 0);
    assert_int_equal(rec.thread[1].clone_flags, 17);
    assert_true(rec.thread[1].ended);
    assert_int_equal(rec.thread[1].status, 3);
    assert_int_equal(rec.call[1].edge[0].kind, TDW_EDGE_SPAWN);
    assert_int_equal(rec.call[2].edge[0].kind, TDW_EDGE_EXIT);
    assert_int_equal(rec.call[2].edge[0].call, 1);
}

static void an_exec_by_another_thread_goes_on_as_the_leader(void **state)
{
    struct tdw__event_call *exec;

    (void)state;
    begin();
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 7, 7, 10);
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 8, 7, 11);
    put(sizeof(struct tdw__event), TDW__EV_SUPERSEDED, 0, 7, 8, 40);
    exec = timed(8, SYS_execve, 30, 50, 0);
    exec->head.tid = 7;
    timed(7, SYS_getpid, 60, 70, 7);
    assert_int_equal(import(s.used), 0);
    assert_int_equal(rec.threads, 2);
    assert_int_equal(rec.calls, 2);
    assert_int_equal(rec.call[0].thread, 1);
    assert_int_equal(rec.call[1].thread, 0);
    assert_true(rec.thread[1].ended);
    assert_false(rec.thread[0].ended);
}

static void losses_are_gaps(void **state)
{
    struct tdw__event_lost *lost;

    (void)state;
    begin();
    timed(7, SYS_getpid, 10, 20, 7);
    timed(7, SYS_getpid, 30, 40, 7)->lost = 5;
    lost = put(sizeof *lost, TDW__EV_LOST, 0, 0, 0, 0);
    lost->calls = 8;
    lost->others = 1;
    assert_int_equal(import(s.used), 0);
    assert_int_equal(rec.gaps, 2);
    assert_int_equal(rec.gap[0].thread, 0);
    assert_int_equal(rec.gap[0].ordinal, 1);
    assert_int_equal(rec.gap[0].calls, 5);
    assert_int_equal(rec.gap[0].before_ns, 20);
    assert_int_equal(rec.gap[1].thread, UINT32_MAX);
    assert_int_equal(rec.gap[1].calls, 3);
    assert_int_equal(rec.gap[1].others, 1);
    assert_int_equal(rec.report.lost_calls, 8);
}

static void descriptors_at_the_beginning_are_images(void **state)
{
    struct tdw__event_fd *fd;

    (void)state;
    begin();
    fd = put(sizeof *fd + 16, TDW__EV_FD, 0, 7, 7, 5);
    fd->fd = 3;
    fd->offset = 100;
    memcpy(fd + 1, "/etc/passwd", 12);
    timed(7, SYS_getpid, 10, 20, 7);
    assert_int_equal(import(s.used), 0);
    assert_string_equal(rec.fd_path, "/etc/passwd");
    assert_int_equal(rec.fd.fd, 3);
    assert_int_equal(rec.fd.size, 100);
    assert_true(rec.fd.exact);
}

/* A recording with something of each kind. */
static void mixture_put(void)
{
    struct tdw__event_call *c;

    begin();
    put(sizeof(struct tdw__event), TDW__EV_BEGAN, 0, 0, 0, 1000000);
    put(sizeof(struct tdw__event_fd) + 8, TDW__EV_FD, 0, 7, 7, 5);
    WORDS(1, S_IFREG | 0644, "b\0a");
    put(sizeof(struct tdw__event), TDW__EV_THREAD, 0, 8, 7, 6);
    c = timed(7, SYS_openat, 10, 20, 3);
    c->arg[0] = (uint64_t)-100;
    c->result_words = 1;
    text_put(1, 'p', "/a/b");
    c = timed(7, SYS_read, 30, 40, 10);
    c->words[0] = 1;
    timed(8, SYS_pause, 15, 90, -4);
    put(sizeof(struct tdw__event), TDW__EV_FORK, 1, 7, 9, 55);
    timed(7, SYS_clone, 50, 60, 9);
    put(sizeof(struct tdw__event), TDW__EV_SUPERSEDED, 0, 7, 8, 65);
    put(sizeof(struct tdw__event), TDW__EV_SIGNAL, 17, 7, 9, 70);
    put(sizeof(struct tdw__event_ended), TDW__EV_ENDED, 0, 9, 9, 80);
    put(sizeof(struct tdw__event_lost), TDW__EV_LOST, 0, 0, 0, 0);
}

static void what_is_cut_or_changed_is_survived(void **state)
{
    uint64_t dice = 1;

    (void)state;
    mixture_put();
    for (size_t bytes = 0; bytes <= s.used; bytes += 8)
        import(bytes);
    assert_int_equal(import(s.used), 0);
    assert_int_equal(rec.report.malformed, 0);
    for (int i = 0; i < 4000; i++) {
        mixture_put();
        for (int k = 0; k < 4; k++) {
            dice = dice * 6364136223846793005u + 1442695040888963407u;
            s.bytes[(dice >> 33) % s.used] ^= (uint8_t)(1u << (dice >> 61));
        }
        import(s.used);
    }
}

int tests_events(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_their_width),
        cmocka_unit_test(paths_and_their_directories_are_told),
        cmocka_unit_test(an_empty_path_means_the_descriptor),
        cmocka_unit_test(locks_are_taken_apart),
        cmocka_unit_test(lists_become_items),
        cmocka_unit_test(sets_of_select_are_read_before_and_after),
        cmocka_unit_test(addresses_and_messages_are_told),
        cmocka_unit_test(times_and_offsets_are_told),
        cmocka_unit_test(futex_shows_what_its_command_has),
        cmocka_unit_test(clones_tell_flags_and_where_a_thread_ends),
        cmocka_unit_test(results_are_values_errors_or_restarts),
        cmocka_unit_test(names_of_a_directory_are_hashed),
        cmocka_unit_test(descriptors_have_the_words_of_strace),
        cmocka_unit_test(calls_are_in_the_order_of_their_starts),
        cmocka_unit_test(children_come_from_their_clone),
        cmocka_unit_test(an_exec_by_another_thread_goes_on_as_the_leader),
        cmocka_unit_test(losses_are_gaps),
        cmocka_unit_test(descriptors_at_the_beginning_are_images),
        cmocka_unit_test(what_is_cut_or_changed_is_survived),
    };

    return cmocka_run_group_tests_name("events", tests, words_setup, words_teardown);
}
