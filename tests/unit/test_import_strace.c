/* SPDX-License-Identifier: MIT */
/*
 * The importer of strace's output: each special case as a few lines of recording.
 *
 * A snippet is imported into a file in memory and read back through the public reader; what a test
 * looks at is the file, never the importer's state. Times are left out of most snippets: `T` at a
 * line's beginning stands for a tid and a time that grows by 1 µs a line. Damaged recordings (cut
 * at every byte, bytes changed at random) must import or be refused, never crash, and always give a
 * file that reads to its end.
 */
#define XXH_INLINE_ALL
#include <traces/import.h>
#include <traces/traces.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>
#include "tests.h"

int tests_import_strace(void);

enum { CALLS_MAX = 64, OTHERS_MAX = 64, ITEMS_MAX = 8 };

/* A recording, read whole: fine for a test. */
struct recording {
    int result;
    struct tdw__import_report report;
    struct tdw_call call[CALLS_MAX];
    struct tdw_call_item item[CALLS_MAX][ITEMS_MAX];
    size_t calls;
    struct tdw_trace_thread thread[OTHERS_MAX];
    size_t threads;
    struct tdw_image image[OTHERS_MAX];
    size_t images;
    char texts[1 << 18];
    size_t used;
};

static struct recording rec;

static const char *kept(const char *text)
{
    const size_t bytes = text ? strlen(text) + 1 : 0;
    char *const at = rec.texts + rec.used;

    if (!text)
        return NULL;
    assert_true(rec.used + bytes <= sizeof rec.texts);
    memcpy(at, text, bytes);
    rec.used += bytes;
    return at;
}

static void keep_call(const struct tdw_call *call)
{
    struct tdw_call *const c = &rec.call[rec.calls];

    assert_true(rec.calls < CALLS_MAX);
    *c = *call;
    c->name = kept(call->name);
    c->path[0] = kept(call->path[0]);
    c->path[1] = kept(call->path[1]);
    c->fd_path[0] = kept(call->fd_path[0]);
    c->fd_path[1] = kept(call->fd_path[1]);
    c->result_path = kept(call->result_path);
    c->address = kept(call->address);
    for (uint32_t i = 0; i < call->items && i < ITEMS_MAX; i++)
        rec.item[rec.calls][i] = call->item[i];
    c->item = rec.item[rec.calls++];
}

/* Read the trace at `fd` to its end. */
static void read_back(int fd)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_record r;
    int got;

    lseek(fd, 0, SEEK_SET);
    assert_int_equal(tdw_trace_open_fd(&reader, fd, NULL), 0);
    assert_int_equal(tdw_trace_kind(reader), TDW_TRACE_RECORDING);
    while ((got = tdw_trace_next(reader, &r)) == 1) {
        if (r.type == TDW_TRACE_CALL) {
            keep_call(&r.call);
        } else if (r.type == TDW_TRACE_THREAD) {
            assert_true(rec.threads < OTHERS_MAX);
            r.thread.program = kept(r.thread.program);
            rec.thread[rec.threads++] = r.thread;
        } else if (r.type == TDW_TRACE_IMAGE) {
            assert_true(rec.images < OTHERS_MAX);
            r.image.path = kept(r.image.path);
            r.image.target = kept(r.image.target);
            rec.image[rec.images++] = r.image;
        }
    }
    assert_int_equal(got, 0);
    tdw_trace_reader_close(reader);
}

static int import_bytes(const char *text, size_t bytes, int *fd)
{
    FILE *const in =
        bytes ? fmemopen((void *)(uintptr_t)text, bytes, "r") : fopen("/dev/null", "r");
    int result;

    *fd = memfd_create("recording", MFD_CLOEXEC);
    assert_non_null(in);
    assert_true(*fd >= 0);
    result = tdw__import_stream(in, *fd, NULL, &rec.report);
    fclose(in);
    return result;
}

static void import_text(const char *text)
{
    int fd;

    memset(&rec, 0, sizeof rec);
    rec.result = import_bytes(text, strlen(text), &fd);
    if (rec.result == 0)
        read_back(fd);
    close(fd);
}

/* Import lines that begin with "T<tid> ": a time is put behind the tid. */
static void import_lines(const char *lines)
{
    static char text[1 << 16];
    size_t used = 0;
    unsigned us = 0;

    while (*lines) {
        const size_t bytes = strcspn(lines, "\n");
        unsigned tid;
        int skip;

        assert_int_equal(sscanf(lines, "T%u %n", &tid, &skip), 1);
        used += (size_t)snprintf(text + used, sizeof text - used, "%u  1700000000.%09u %.*s\n", tid,
                                 us++ * 1000, (int)bytes - skip, lines + skip);
        assert_true(used < sizeof text);
        lines += bytes + (lines[bytes] == '\n');
    }
    import_text(text);
    assert_int_equal(rec.result, 0);
}

static const struct tdw_image *image_of(const char *path)
{
    for (size_t i = 0; i < rec.images; i++) {
        if (!strcmp(rec.image[i].path, path) && rec.image[i].kind != TDW_IMAGE_FD)
            return &rec.image[i];
    }
    return NULL;
}

static void edge_is(const struct tdw_call *call, uint8_t kind, uint64_t to)
{
    assert_int_equal(call->edges, 1);
    assert_int_equal(call->edge[0].kind, kind);
    assert_int_equal(call->edge[0].call, to);
    assert_int_equal(call->edge[0].thread, rec.call[to].thread);
    assert_int_equal(call->edge[0].ordinal, rec.call[to].ordinal);
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────────
 */

static void times_and_durations_are_read_in_all_forms(void **state)
{
    (void)state;
    import_text("7  1700000000.000000100 getpid() = 7 <0.000000250>\n"
                "[pid     7] 1700000000.000001 getpid()     = 7 <0.000002>\n"
                "7 1700000001 getpid() = 7\n");
    assert_int_equal(rec.calls, 3);
    assert_int_equal(rec.call[0].start_ns, 0);
    assert_int_equal(rec.call[0].end_ns, 250);
    assert_int_equal(rec.call[1].start_ns, 900);
    assert_int_equal(rec.call[1].end_ns, 2900);
    assert_int_equal(rec.call[2].start_ns, 999999900);
    assert_int_equal(rec.call[2].end_ns, 999999900);
    assert_int_equal(rec.call[2].ordinal, 2);
    assert_int_equal(rec.thread[0].tid, 7);
    assert_int_equal(rec.thread[0].calls, 3);
    /* Without -f there is no tid. */
    import_text("1700000000.5 getpid() = 7\n1700000000.6 +++ exited with 3 +++\n");
    assert_int_equal(rec.calls, 1);
    assert_int_equal(rec.thread[0].status, 3);
    assert_true(rec.thread[0].ended);
}

static void malformed_lines_are_counted_by_number_and_skipped(void **state)
{
    (void)state;
    import_text("7 1700000000.0 getpid() = 7\n"
                "rubbish\n"
                "7 12:00:00 getpid() = 7\n"
                "7 1700000000.1 read(3, \"abc\n"
                "7 1700000000.1 read(3\n"
                "7 1700000000.1 <... read resumed>) = 3\n"
                "7 1700000000.1 +++ dissolved +++\n"
                "7 1700000000.1 read(3, \"\"..., 5)\n"
                "strace: Process 8 attached\n"
                "\n"
                "7 1700000000.2 getpid() = 7\n");
    assert_int_equal(rec.result, 0);
    assert_int_equal(rec.calls, 2);
    assert_int_equal(rec.report.malformed, 7);
    for (uint64_t i = 0; i < 7; i++)
        assert_int_equal(rec.report.first_malformed[i], 2 + i);
    assert_int_equal(rec.call[1].line, 11);
    assert_int_equal(rec.call[1].ordinal, 1);
    import_text("what is this?\n");
    assert_int_equal(rec.result, -EINVAL);
}

static void an_interrupted_call_is_one_call_at_its_start(void **state)
{
    (void)state;
    import_lines("T1 pipe2([3<pipe:[9]>, 4<pipe:[9]>], 0x80000) = 0 <0.000000001>\n"
                 "T1 clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x10) = 2 <0.1>\n"
                 "T1 read(3<pipe:[9]>,  <unfinished ...>\n"
                 "T2 getpid() = 2 <0.000000001>\n"
                 "T2 write(4<pipe:[9]>, \"\"..., 5 <unfinished ...>\n"
                 "T1 <... read resumed>\"\"..., 100) = 5 <0.000001500>\n"
                 "T2 <... write resumed>) = 5 <0.000002500>\n");
    assert_int_equal(rec.calls, 5);
    assert_string_equal(rec.call[2].name, "read");
    assert_int_equal(rec.call[2].arg[2], 100);
    assert_int_equal(rec.call[2].result, 5);
    assert_int_equal(rec.call[2].end_ns - rec.call[2].start_ns, 1500);
    assert_int_equal(rec.call[2].line, 3);
    assert_int_equal(rec.call[2].row, TDW_ROW_STREAM);
    edge_is(&rec.call[2], TDW_EDGE_DATA, 4);
    assert_int_equal(rec.call[4].result, 5);
    assert_int_equal(rec.call[0].items, 2);
    assert_int_equal(rec.item[0][0].a, 3);
    assert_int_equal(rec.item[0][1].a, 4);
    assert_string_equal(rec.call[0].fd_path[0], "pipe:[9]");
    assert_string_equal(rec.call[0].fd_path[1], "pipe:[9]");
}

static void a_call_without_end_has_no_result(void **state)
{
    (void)state;
    import_lines("T1 pause( <unfinished ...>\n"
                 "T1 +++ killed by SIGTERM (core dumped) +++\n");
    assert_int_equal(rec.calls, 1);
    assert_true(rec.call[0].bits & TDW_CALL_NO_RESULT);
    assert_int_equal(rec.call[0].end_ns, 1000);
    assert_int_equal(rec.thread[0].status, -15);
    import_lines("T1 read(0</dev/null>, <unfinished ...>\n");
    assert_true(rec.call[0].bits & TDW_CALL_NO_RESULT);
    import_lines("T1 read(0</dev/null>, <unfinished ...>) = ?\n"
                 "T1 exit_group(0) = ?\n");
    assert_int_equal(rec.calls, 2);
    assert_true(rec.call[0].bits & TDW_CALL_NO_RESULT);
    assert_true(rec.call[1].bits & TDW_CALL_NO_RESULT);
}

static void results_are_values_errors_or_restarts(void **state)
{
    (void)state;
    import_lines("T1 open(\"/x\", 0) = -1 ENOENT (No such file or directory) <0.1>\n"
                 "T1 pause() = ? ERESTARTNOHAND (To be restarted if no handler) <0.1>\n"
                 "T1 brk(NULL) = 0x55cd6d96c000 <0.1>\n"
                 "T1 poll([{fd=3, events=0x1}], 1, 10) = 0 (Timeout) <0.1>\n"
                 "T1 fcntl(5</a>, 0x3) = 0x802 (flags O_RDWR|O_NONBLOCK) <0.1>\n"
                 "T1 read(3</a>, 0x1, 2) = -1 EWOULDBLOCK (x) <0.1>\n"
                 "T1 lseek(3</a>, 0, 0x1) = -1 <0.1>\n");
    assert_int_equal(rec.call[0].result, -ENOENT);
    assert_int_equal(rec.call[1].result, -EINTR);
    assert_true(rec.call[1].bits & TDW_CALL_RESTART);
    assert_int_equal(rec.call[2].result, 0x55cd6d96c000);
    assert_int_equal(rec.call[3].result, 0);
    assert_int_equal(rec.call[4].result, 0x802);
    assert_int_equal(rec.call[5].result, -EAGAIN);
    assert_int_equal(rec.call[6].result, -1);
}

/* ── Arguments ───────────────────────────────────────────────────────────────────────────────────
 */

static void numbers_and_flags_are_read_raw_and_decoded(void **state)
{
    (void)state;
    import_lines(
        "T1 openat(-100</w>, \"f\", 0x80000|0x2, 0644) = 3</w/f> <0.1>\n"
        "T1 openat(AT_FDCWD</w>, \"f\", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</w/f> <0.1>\n"
        "T1 statx(3</w/f>, \"\", |0x1000, 0x200, {stx_mask=0x2, stx_mode=0100600, "
        "stx_size=14, stx_atime={tv_sec=1, tv_nsec=2} /* 1970 */}) = 0 <0.1>\n"
        "T1 lseek(3</w/f>, -10, SEEK_END) = 4 <0.1>\n"
        "T1 open(\"/y\", O_NEWFANGLED) = 5</y> <0.1>\n"
        "T1 mmap(NULL, 18446744073709551615, PROT_READ, MAP_SHARED, 3</w/f>, 0) = 0 <0.1>\n");
    assert_int_equal(rec.call[0].arg[0], -100);
    assert_int_equal(rec.call[0].arg[2], 0x80002);
    assert_int_equal(rec.call[0].arg[3], 0644);
    assert_int_equal(rec.call[1].arg[0], -100);
    assert_int_equal(rec.call[1].arg[2], 0x80042);
    assert_int_equal(rec.call[2].arg[2], 0x1000);
    assert_int_equal(rec.call[2].stat.size, 14);
    assert_int_equal(rec.call[2].stat.mode, 0100600);
    assert_string_equal(rec.call[2].fd_path[0], "/w/f");
    assert_int_equal(rec.call[3].arg[1], -10);
    assert_int_equal(rec.call[3].arg[2], 2);
    assert_true(rec.call[4].bits & TDW_CALL_SYMBOL);
    assert_false(rec.call[3].bits & TDW_CALL_SYMBOL);
    assert_int_equal(rec.call[5].arg[1], -1);
    assert_int_equal(rec.report.words_unknown, 1);
}

static void paths_become_absolute(void **state)
{
    (void)state;
    import_lines(
        "T1 getcwd(\"/home/x\", 4096) = 8 <0.1>\n"
        "T1 unlink(\"a\") = 0 <0.1>\n"
        "T1 chdir(\"../y/./z/\") = 0 <0.1>\n"
        "T1 rename(\"b\", \"/c//d/../e\") = 0 <0.1>\n"
        "T1 openat(5</dir>, \"f\", 0) = 6</dir/f> <0.1>\n"
        "T1 symlink(\"../t\", \"l\") = 0 <0.1>\n"
        "T1 fchdir(5</dir>) = 0 <0.1>\n"
        "T1 mkdir(\"..\", 0755) = -1 EEXIST (File exists) <0.1>\n"
        "T1 unlink(\"t\\\"\\\\\\n\\74x\\x41>\\303\\244\") = 0 <0.1>\n"
        "T1 bind(3<UNIX-STREAM:[1]>, {sa_family=0x1, sun_path=\"sock\"}, 110) = 0 <0.1>\n");
    assert_string_equal(rec.call[0].path[0], "/home/x");
    assert_string_equal(rec.call[1].path[0], "/home/x/a");
    assert_string_equal(rec.call[2].path[0], "/home/y/z");
    assert_string_equal(rec.call[3].path[0], "/home/y/z/b");
    assert_string_equal(rec.call[3].path[1], "/c/e");
    assert_string_equal(rec.call[4].path[0], "/dir/f");
    assert_string_equal(rec.call[5].path[0], "../t");
    assert_string_equal(rec.call[5].path[1], "/home/y/z/l");
    assert_string_equal(rec.call[7].path[0], "/");
    assert_string_equal(rec.call[8].path[0], "/dir/t\"\\\n<xA>\xc3\xa4");
    assert_string_equal(rec.call[9].address, "unix:/dir/sock");
}

static void locks_and_stat_and_names_are_kept(void **state)
{
    (void)state;
    import_lines(
        "T1 fcntl(3</f>, 0x6, {l_type=0x1, l_whence=0, l_start=1073741826, l_len=510}) = 0 "
        "<0.1>\n"
        "T1 fcntl(3</f>, F_GETLK, {l_type=F_UNLCK, l_whence=SEEK_SET, l_start=5, l_len=1, "
        "l_pid=77}) = 0 <0.1>\n"
        "T1 fcntl(3</f>, 0x7, {l_type=0, l_whence=0, l_start=0, l_len=0}) = 0 <0.1>\n"
        "T1 fcntl(3</f>, 0x406, 30) = 30</f> <0.1>\n"
        "T1 flock(3</f>, 0x6) = 0 <0.1>\n"
        "T1 flock(3</f>, 0x2) = 0 <0.1>\n"
        "T1 getdents64(4</d>, [{d_ino=1, d_off=2, d_reclen=24, d_type=0x4, d_name=\".\"}, "
        "{d_ino=2, d_off=3, d_reclen=24, d_type=0x8, d_name=\"f\\\"\"}], 32768) = 48 <0.1>\n"
        "T1 getdents64(4</d>, [], 32768) = 0 <0.1>\n");
    assert_int_equal(rec.call[0].row, TDW_ROW_LOCK);
    assert_int_equal(rec.call[0].how, TDW_HOW_SYS);
    assert_int_equal(rec.call[0].lock.type, 1);
    assert_int_equal(rec.call[0].lock.start, 1073741826);
    assert_int_equal(rec.call[0].lock.length, 510);
    assert_int_equal(rec.call[1].lock.type, 2);
    assert_int_equal(rec.call[1].lock.pid, 77);
    assert_int_equal(rec.call[1].arg[1], 5);
    assert_int_equal(rec.call[2].how, TDW_HOW_OP);
    assert_int_equal(rec.call[3].row, TDW_ROW_FDS);
    assert_int_equal(rec.call[3].compare, TDW_COMPARE_FD);
    assert_int_equal(rec.call[4].how, TDW_HOW_SYS);
    assert_int_equal(rec.call[5].how, TDW_HOW_OP);
    assert_true(rec.call[6].bits & TDW_CALL_NAMES);
    assert_int_equal(rec.call[6].names.count, 2);
    assert_int_equal(rec.call[6].names.hash, XXH3_64bits(".", 1) + XXH3_64bits("f\"", 2));
    assert_int_equal(rec.call[7].names.count, 0);
}

static void lists_keep_their_members(void **state)
{
    (void)state;
    import_lines(
        "T1 writev(3</f>, [{iov_base=\"\"..., iov_len=2}, {iov_base=\"\"..., iov_len=30}], 2) = 32 "
        "<0.1>\n"
        "T1 sendmsg(3<UNIX:[1->2]>, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"\"..., "
        "iov_len=9}], msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=0x1, cmsg_type=0x1, "
        "cmsg_data=[4</x>, 5]}], msg_controllen=24, msg_flags=0}, 0) = 9 <0.1>\n"
        "T1 poll([{fd=14<TCP:[1.2.3.4:5->6.7.8.9:10]>, events=0x1}, {fd=3, events=0x4}], 2, -1) = "
        "1 "
        "([{fd=3, revents=0x4}]) <0.1>\n"
        "T1 pselect6(15, [13 14<TCP:[1.2.3.4:5->6.7.8.9:10]>], [14], NULL, {tv_sec=1, tv_nsec=5}, "
        "NULL) = 1 (in [14], left {tv_sec=0, tv_nsec=9}) <0.1>\n"
        "T1 epoll_wait(12<anon_inode:[eventpoll]>, [{events=0x1, data={u32=7, u64=4294967303}}], "
        "8, "
        "100) = 1 <0.1>\n"
        "T1 epoll_ctl(12<anon_inode:[eventpoll]>, 0x1, 14<TCP:[1]>, {events=0x5, data={u32=7, "
        "u64=7}}) = 0 <0.1>\n"
        "T1 preadv2(3</f>, [{iov_base=\"\"..., iov_len=4}], 1, 100, 0) = 4 <0.1>\n"
        "T1 sendfile(7</o>, 9</i>, [11] => [16], 5) = 5 <0.1>\n");
    assert_int_equal(rec.call[0].arg[1], 32);
    assert_int_equal(rec.item[0][1].a, 30);
    assert_int_equal(rec.call[1].arg[1], 9);
    assert_int_equal(rec.call[1].items, 3);
    assert_int_equal(rec.item[1][1].a, 4);
    assert_int_equal(rec.item[1][1].b, 1);
    assert_int_equal(rec.item[1][2].a, 5);
    assert_int_equal(rec.item[2][0].b, 1);
    assert_int_equal(rec.item[2][1].b, 4 | 4ull << 32);
    assert_int_equal(rec.call[2].arg[2], -1);
    assert_int_equal(rec.call[3].items, 2);
    assert_int_equal(rec.item[3][0].a, 13);
    assert_int_equal(rec.item[3][0].b, 1);
    assert_int_equal(rec.item[3][1].a, 14);
    assert_int_equal(rec.item[3][1].b, 3 | 1ull << 32);
    assert_int_equal(rec.call[3].arg[4], 1000000005);
    assert_int_equal(rec.item[4][0].a, 4294967303);
    assert_int_equal(rec.item[4][0].b, 1);
    assert_int_equal(rec.item[5][0].b, 5);
    assert_int_equal(rec.call[6].arg[3], 100);
    assert_int_equal(rec.call[6].row, TDW_ROW_FILE_AT);
    assert_int_equal(rec.call[7].arg[2], 11);
    assert_string_equal(rec.call[7].fd_path[1], "/i");
}

static void addresses_are_read_raw_and_decoded(void **state)
{
    (void)state;
    import_lines(
        "T1 connect(3<TCP:[1]>, {sa_family=0x2, sin_port=\"\\x9b\\x57\", "
        "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, "
        "16) = -1 EINPROGRESS (Operation now in progress) <0.1>\n"
        "T1 bind(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(80), "
        "sin_addr=inet_addr(\"10.0.0.7\")}, 16) "
        "= 0 <0.1>\n"
        "T1 connect(3<TCPv6:[1]>, {sa_family=AF_INET6, sin6_port=htons(8080), "
        "sin6_flowinfo=htonl(0), "
        "inet_pton(AF_INET6, \"::1\", &sin6_addr), sin6_scope_id=0}, 28) = 0 <0.1>\n"
        "T1 connect(3<UNIX-STREAM:[1]>, {sa_family=0x1, sun_path=@\"abstract\"}, 110) = 0 <0.1>\n"
        "T1 accept4(3<TCP:[127.0.0.1:80]>, {sa_family=0x2, sin_port=\"\\x00\\x50\", "
        "sin_addr=\"\\x01\\x02\\x03\\x04\"}, [16], 0x800) = 4<TCP:[127.0.0.1:80->1.2.3.4:80]> "
        "<0.1>\n"
        "T1 accept(3<TCP:[127.0.0.1:80]>, NULL, NULL) = -1 EAGAIN (x) <0.1>\n");
    assert_string_equal(rec.call[0].address, "127.0.0.1:39767");
    assert_int_equal(rec.call[0].result, -EINPROGRESS);
    assert_string_equal(rec.call[1].address, "10.0.0.7:80");
    assert_string_equal(rec.call[2].address, "[::1]:8080");
    assert_string_equal(rec.call[3].address, "unix:@abstract");
    assert_string_equal(rec.call[4].address, "1.2.3.4:80");
    assert_string_equal(rec.call[4].result_path, "TCP:[127.0.0.1:80->1.2.3.4:80]");
    assert_null(rec.call[5].address);
    assert_int_equal(rec.call[5].result, -EAGAIN);
}

/* ── Classes ─────────────────────────────────────────────────────────────────────────────────────
 */

static void the_same_call_has_the_class_of_its_descriptor(void **state)
{
    (void)state;
    import_lines("T1 read(3</f>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 read(4<pipe:[1]>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 read(5<TCP:[1.1.1.1:1->2.2.2.2:2]>, \"\"..., 5) = -1 EAGAIN (x) <0.1>\n"
                 "T1 read(6</proc/1/stat>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 read(7</dev/urandom<char 1:9>>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 openat(-100</w>, \"/sys/x\", 0) = 8</sys/x> <0.1>\n"
                 "T1 read(9<anon_inode:[eventfd]>, \"\"..., 8) = 8 <0.1>\n"
                 "T1 read(10</dev/shm/f>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 ioctl(5<TCP:[1]>, 0x5421, [1]) = 0 <0.1>\n"
                 "T1 ioctl(0</dev/pts/0<char 136:0>>, 0x5401, 0x7ff) = 0 <0.1>\n"
                 "T1 io_uring_enter(4, 1, 0, 0, NULL, 8) = 1 <0.1>\n"
                 "T1 frobnicate(1, 2) = 0 <0.1>\n"
                 "T1 frobnicate(1, 2) = 0 <0.1>\n");
    assert_int_equal(rec.call[0].row, TDW_ROW_FILE);
    assert_int_equal(rec.call[0].compare, TDW_COMPARE_RESULT);
    assert_int_equal(rec.call[1].row, TDW_ROW_STREAM);
    assert_int_equal(rec.call[1].compare, TDW_COMPARE_STREAM);
    assert_int_equal(rec.call[2].object, TDW_OBJECT_SOCKET);
    for (int i = 3; i < 6; i++) {
        assert_int_equal(rec.call[i].how, TDW_HOW_SERVED);
        assert_int_equal(rec.call[i].compare, TDW_COMPARE_NONE);
    }
    assert_int_equal(rec.call[6].object, TDW_OBJECT_EVENTFD);
    assert_int_equal(rec.call[7].how, TDW_HOW_OP);
    assert_int_equal(rec.call[8].row, TDW_ROW_SOCKOPT);
    assert_int_equal(rec.call[9].how, TDW_HOW_IGNORE);
    assert_int_equal(rec.call[10].row, TDW_ROW_UNSUPPORTED);
    assert_int_equal(rec.call[11].row, TDW_ROW_UNSUPPORTED);
    assert_string_equal(rec.call[11].name, "frobnicate");
    assert_int_equal(rec.report.unsupported_names, 2);
    assert_int_equal(rec.report.unsupported[1].count, 2);
    assert_int_equal(rec.report.served, 3);
}

static void the_loaders_calls_are_marked_up_to_its_last(void **state)
{
    (void)state;
    import_lines("T1 execve(\"/bin/x\", [\"\"...], [\"\"...]) = 0 <0.1>\n"
                 "T1 brk(NULL) = 0x5000 <0.1>\n"
                 "T1 openat(-100</w>, \"/etc/ld.so.cache\", 0x80000) = 3</etc/ld.so.cache> <0.1>\n"
                 "T1 mmap(NULL, 43327, 0x1, 0x2, 3</etc/ld.so.cache>, 0) = 0x7000 <0.1>\n"
                 "T1 close(3</etc/ld.so.cache>) = 0 <0.1>\n"
                 "T1 munmap(0x6000, 10) = 0 <0.1>\n"
                 "T1 munmap(0x7000, 43327) = 0 <0.1>\n"
                 "T1 munmap(0x8000, 10) = 0 <0.1>\n"
                 "T1 execve(\"/bin/static\", [], []) = 0 <0.1>\n"
                 "T1 arch_prctl(0x1002, 0x1) = 0 <0.1>\n"
                 "T1 readlink(\"/proc/self/exe\", \"\"..., 4096) = 5 <0.1>\n"
                 "T1 mprotect(0x1000, 1, 0x1) = 0 <0.1>\n"
                 "T1 write(1</dev/null<char 1:3>>, \"\"..., 1) = 1 <0.1>\n"
                 "T1 brk(NULL) = 0x5000 <0.1>\n");
    for (size_t i = 0; i < rec.calls; i++)
        assert_int_equal((rec.call[i].bits & TDW_CALL_STARTUP) != 0,
                         (i >= 1 && i <= 6) || (i >= 9 && i <= 11));
    assert_int_equal(rec.report.startup, 9);
    assert_string_equal(rec.thread[0].program, "/bin/static");
}

static void the_table_and_the_page_agree(void **state)
{
    FILE *const page = fopen("docs/trace-format.md", "re");
    static char rows[TDW_ROWS][8192];
    char line[8192];

    (void)state;
    if (!page)
        skip();
    while (fgets(line, sizeof line, page)) {
        for (uint8_t row = 1; row < TDW_ROWS; row++) {
            char begin[64];

            snprintf(begin, sizeof begin, "| %s | `", tdw_row_name(row));
            if (!strncmp(line, begin, strlen(begin)))
                memcpy(rows[row], line, sizeof line);
        }
    }
    fclose(page);
    for (size_t i = 0; i < tdw__syscalls(); i++) {
        const struct tdw__syscall *const s = tdw__syscall_at(i);
        char quoted[64];

        snprintf(quoted, sizeof quoted, "`%s`", s->name);
        if (!strstr(rows[s->row], quoted))
            fail_msg("%s is not in the row \"%s\" of the page", s->name, tdw_row_name(s->row));
        for (uint8_t row = 1; row < TDW_ROWS; row++) {
            if (row != s->row && strstr(rows[row], quoted))
                fail_msg("%s is in the row \"%s\" of the page", s->name, tdw_row_name(row));
        }
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(tdw__syscall_at(k)->name, s->name);
        assert_ptr_equal(tdw__syscall(s->name, strlen(s->name)), s);
    }
    assert_null(tdw__syscall("nothing", 7)->name);
}

/* ── Threads and edges ───────────────────────────────────────────────────────────────────────────
 */

static void threads_and_processes_are_told_apart(void **state)
{
    (void)state;
    import_lines("T1 execve(\"/bin/x\", [], []) = 0 <0.1>\n"
                 "T1 clone3({flags=0x3d0f00, child_tid=0x990, exit_signal=0} <unfinished ...>\n"
                 "T2 rseq(0x1, 0x20, 0, 0x53053053) = 0 <0.1>\n"
                 "T1 <... clone3 resumed> => {parent_tid=[2]}, 88) = 2 <0.1>\n"
                 "T2 clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0xa10) = 3 <0.1>\n"
                 "T3 getpid() = 3 <0.1>\n"
                 "T3 +++ exited with 7 +++\n"
                 "T2 exit(0) = ?\n"
                 "T2 +++ exited with 0 +++\n"
                 "T1 vfork( <unfinished ...>\n"
                 "T3 getpid() = 3 <0.1>\n"
                 "T1 <... vfork resumed>) = 3 <0.1>\n");
    assert_int_equal(rec.threads, 4);
    assert_int_equal(rec.thread[1].process, rec.thread[0].process);
    assert_int_equal(rec.thread[1].pid, 1);
    assert_int_equal(rec.thread[1].parent, 0);
    assert_int_equal(rec.thread[1].clone_flags, 0x3d0f00);
    assert_int_equal(rec.thread[1].clone_call, 1);
    assert_int_not_equal(rec.thread[2].process, rec.thread[0].process);
    assert_int_equal(rec.thread[2].parent, 1);
    assert_int_equal(rec.thread[2].status, 7);
    assert_int_equal(rec.thread[3].tid, 3);
    assert_int_equal(rec.thread[3].parent, 0);
    assert_true(rec.thread[3].process != rec.thread[2].process);
    edge_is(&rec.call[2], TDW_EDGE_SPAWN, 1);
    edge_is(&rec.call[4], TDW_EDGE_SPAWN, 3);
    edge_is(&rec.call[7], TDW_EDGE_SPAWN, 6);
    assert_int_equal(rec.call[7].process, rec.thread[3].process);
}

static void futex_waits_are_tied_to_their_wakes(void **state)
{
    (void)state;
    import_lines("T1 clone3({flags=0x3d0f00, child_tid=0x990} => {parent_tid=[2]}, 88) = 2 <0.1>\n"
                 "T2 futex(0x300, 0x80, 2, NULL <unfinished ...>\n"
                 "T1 futex(0x400, 0x81, 1) = 1 <0.000000100>\n"
                 "T1 futex(0x300, 0x81, 1) = 1 <0.000000100>\n"
                 "T2 <... futex resumed>) = 0 <0.000002500>\n"
                 "T1 futex(0x990, 0x109, 2, NULL, 0xffffffff <unfinished ...>\n"
                 "T2 exit(0) = ?\n"
                 "T2 +++ exited with 0 +++\n"
                 "T1 <... futex resumed>) = 0 <0.1>\n"
                 "T1 futex(0x300, 0x80, 2, {tv_sec=0, tv_nsec=5}) = -1 ETIMEDOUT (x) <0.1>\n");
    assert_int_equal(rec.call[1].edges, 2);
    assert_int_equal(rec.call[1].edge[0].kind, TDW_EDGE_SPAWN);
    assert_int_equal(rec.call[1].edge[1].kind, TDW_EDGE_WAKE);
    assert_int_equal(rec.call[1].edge[1].call, 3);
    edge_is(&rec.call[4], TDW_EDGE_EXIT, 5);
    assert_int_equal(rec.call[6].edges, 0);
    assert_int_equal(rec.call[6].arg[3], 5);
}

static void reaped_and_signalled_processes_leave_edges(void **state)
{
    (void)state;
    import_lines("T1 fork() = 2 <0.000000100>\n"
                 "T2 pause( <unfinished ...>\n"
                 "T1 kill(2, 15) = 0 <0.000000100>\n"
                 "T2 <... pause resumed>) = ? ERESTARTNOHAND (x) <0.000001>\n"
                 "T2 --- SIGTERM {si_signo=15, si_code=0, si_pid=1, si_uid=0} ---\n"
                 "T2 +++ killed by SIGTERM +++\n"
                 "T1 wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM}], 0, NULL) = 2 <0.1>\n"
                 "T1 --- SIGCHLD {si_signo=17, si_code=0x2, si_pid=2, si_uid=0} ---\n");
    assert_string_equal(rec.call[3].name, "signal");
    assert_int_equal(rec.call[3].arg[0], 15);
    assert_int_equal(rec.call[3].arg[1], 1);
    edge_is(&rec.call[3], TDW_EDGE_SIGNAL, 2);
    edge_is(&rec.call[4], TDW_EDGE_EXIT, 3);
    edge_is(&rec.call[5], TDW_EDGE_EXIT, 3);
    assert_int_equal(rec.call[5].arg[0], 17);
}

static void reads_follow_the_write_that_brought_their_last_byte(void **state)
{
    (void)state;
    import_lines(
        "T1 socketpair(0x1, 0x1, 0, [3<UNIX-STREAM:[5->6]>, 4<UNIX-STREAM:[6->5]>]) = 0 <0.1>\n"
        "T1 eventfd2(0, 0) = 5<anon_inode:[eventfd]> <0.1>\n"
        "T1 fork() = 2 <0.000000100>\n"
        "T2 write(3<UNIX-STREAM:[5->6]>, \"\"..., 4) = 4 <0.000000100>\n"
        "T2 write(3<UNIX-STREAM:[5->6]>, \"\"..., 4) = 4 <0.000000100>\n"
        "T2 write(5<anon_inode:[eventfd]>, \"\"..., 8) = 8 <0.000000100>\n"
        "T1 read(4<UNIX-STREAM:[6->5]>, \"\"..., 4) = 4 <0.000000100>\n"
        "T1 read(4<UNIX-STREAM:[6->5]>, \"\"..., 2) = 2 <0.000000100>\n"
        "T1 read(5<anon_inode:[eventfd]>, \"\"..., 8) = 8 <0.000000100>\n"
        "T1 write(4<UNIX-STREAM:[6->5]>, \"\"..., 1) = 1 <0.000000100>\n"
        "T2 read(3<UNIX-STREAM:[5->6]>, \"\"..., 9) = 1 <0.000000100>\n");
    edge_is(&rec.call[6], TDW_EDGE_DATA, 3);
    edge_is(&rec.call[7], TDW_EDGE_DATA, 4);
    edge_is(&rec.call[8], TDW_EDGE_DATA, 5);
    edge_is(&rec.call[10], TDW_EDGE_DATA, 9);
}

static void the_accepting_end_of_a_unix_connection_is_known_with_its_path(void **state)
{
    (void)state;
    import_lines("T1 fork() = 2 <0.000000100>\n"
                 "T2 sendfile(3<UNIX-STREAM:[5->6]>, 4</f>, NULL, 9) = 9 <0.000000100>\n"
                 "T1 read(7<UNIX-STREAM:[6->5,\"/s\"]>, \"\"..., 20) = 9 <0.000000100>\n"
                 "T1 write(7<UNIX-STREAM:[6->5,\"/s\"]>, \"\"..., 2) = 2 <0.000000100>\n"
                 "T2 read(3<UNIX-STREAM:[5->6]>, \"\"..., 2) = 2 <0.000000100>\n");
    edge_is(&rec.call[2], TDW_EDGE_DATA, 1);
    edge_is(&rec.call[4], TDW_EDGE_DATA, 3);
}

static void values_behind_a_pointer_are_kept_where_they_are_numbers(void **state)
{
    (void)state;
    import_lines("T1 ioctl(5<TCP:[1]>, 0x5421, [1]) = 0 <0.1>\n"
                 "T1 ioctl(5<TCP:[1]>, 0x5421, [0]) = 0 <0.1>\n"
                 "T1 ioctl(0</f>, 0x5401, 0x7ffe00) = -1 ENOTTY (x) <0.1>\n"
                 "T1 setsockopt(5<TCP:[1]>, 0x6, 0x4, [300], 4) = 0 <0.1>\n"
                 "T1 setsockopt(5<TCP:[1]>, 0x1, 0xd, {l_onoff=1, l_linger=0}, 8) = 0 <0.1>\n");
    assert_int_equal(rec.call[0].arg[2], 1);
    assert_int_equal(rec.call[1].arg[2], 0);
    assert_int_equal(rec.call[2].arg[2], 0);
    assert_int_equal(rec.call[3].arg[3], 300);
    assert_int_equal(rec.call[4].arg[3], 0);
    assert_int_equal(rec.call[4].arg[4], 8);
    assert_int_equal(rec.report.words_unknown, 0);
}

static void calls_that_found_nothing_to_move_count_as_timing(void **state)
{
    (void)state;
    import_lines("T1 read(5<TCP:[1.1.1.1:1->2.2.2.2:2]>, \"\"..., 5) = -1 EAGAIN (x) <0.1>\n"
                 "T1 read(5<TCP:[1.1.1.1:1->2.2.2.2:2]>, \"\"..., 5) = ? ERESTARTSYS (x) <0.1>\n"
                 "T1 read(5<TCP:[1.1.1.1:1->2.2.2.2:2]>, \"\"..., 5) = 5 <0.1>\n"
                 "T1 read(5<TCP:[1.1.1.1:1->2.2.2.2:2]>, \"\"..., 5) = -1 ECONNRESET (x) <0.1>\n"
                 "T1 poll([{fd=5, events=0x1}], 1, 0) = 0 (Timeout) <0.1>\n");
    assert_int_equal(rec.report.timing, 3);
}

static void netlink_is_answered_from_the_recording(void **state)
{
    (void)state;
    import_lines("T1 socket(0x10, 0x80003, 0) = 3<NETLINK:[ROUTE:7]> <0.1>\n"
                 "T1 recvmsg(3<NETLINK:[ROUTE:7]>, {msg_iov=[{iov_base=\"\"..., iov_len=9}], "
                 "msg_iovlen=1}, 0) = 9 <0.1>\n"
                 "T1 close(3<NETLINK:[ROUTE:7]>) = 0 <0.1>\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(rec.call[i].how, TDW_HOW_SERVED);
}

static void calls_on_one_file_are_ordered_across_threads(void **state)
{
    (void)state;
    import_lines("T1 fork() = 2 <0.000000100>\n"
                 "T1 openat(-100</w>, \"d/f\", 0x42, 0600) = 3</w/d/f> <0.000000100>\n"
                 "T1 pwrite64(3</w/d/f>, \"\"..., 5, 0 <unfinished ...>\n"
                 "T2 openat(-100</w>, \"d/f\", 0) = 3</w/d/f> <0.000000100>\n"
                 "T1 <... pwrite64 resumed>) = 5 <0.000001500>\n"
                 "T2 pread64(3</w/d/f>, \"\"..., 5, 0) = 5 <0.000000100>\n"
                 "T2 pread64(3</w/d/f>, \"\"..., 5, 0) = 5 <0.000000100>\n"
                 "T2 unlink(\"/w/d/g\") = 0 <0.000000100>\n"
                 "T1 mkdir(\"/w/d/h\", 0755) = 0 <0.000000100>\n");
    /* The open overlaps the write: it follows the first open only. */
    assert_int_equal(rec.call[3].edges, 2);
    assert_int_equal(rec.call[3].edge[1].kind, TDW_EDGE_ORDER);
    assert_int_equal(rec.call[3].edge[1].call, 1);
    edge_is(&rec.call[4], TDW_EDGE_ORDER, 2);
    assert_int_equal(rec.call[5].edges, 0);
    edge_is(&rec.call[7], TDW_EDGE_ORDER, 6);
}

/* ── Images ──────────────────────────────────────────────────────────────────────────────────────
 */

static void images_say_what_was_there_before(void **state)
{
    const struct tdw_image *i;

    (void)state;
    import_lines(
        "T1 openat(-100</w>, \"a\", 0) = 3</w/a> <0.1>\n"
        "T1 pread64(3</w/a>, \"\"..., 100, 4096) = 100 <0.1>\n"
        "T1 read(3</w/a>, \"\"..., 50) = 50 <0.1>\n"
        "T1 openat(-100</w>, \"b\", 0) = -1 ENOENT (x) <0.1>\n"
        "T1 openat(-100</w>, \"b\", 0x42, 0600) = 4</w/b> <0.1>\n"
        "T1 pwrite64(4</w/b>, \"\"..., 100, 0) = 100 <0.1>\n"
        "T1 newfstatat(-100</w>, \"/x/y/c\", {st_mode=0100644, st_size=77}, 0) = 0 <0.1>\n"
        "T1 openat(-100</w>, \"/x/y/c\", 0x2) = 5</x/y/c> <0.1>\n"
        "T1 pwrite64(5</x/y/c>, \"\"..., 100, 500) = 100 <0.1>\n"
        "T1 pread64(5</x/y/c>, \"\"..., 100, 500) = 100 <0.1>\n"
        "T1 openat(-100</w>, \"maybe\", 0x42, 0600) = 6</w/maybe> <0.1>\n"
        "T1 fstat(6</w/maybe>, {st_mode=0100600, st_size=12}) = 0 <0.1>\n"
        "T1 openat(-100</w>, \"new\", 0x42, 0600) = 7</w/new> <0.1>\n"
        "T1 fstat(7</w/new>, {st_mode=0100600, st_size=0}) = 0 <0.1>\n"
        "T1 openat(-100</w>, \"/l/lib.so\", 0) = 8</u/lib.so.1> <0.1>\n"
        "T1 lseek(8</u/lib.so.1>, 0, 0x2) = 999 <0.1>\n"
        "T1 rename(\"/w/r\", \"/w/s\") = 0 <0.1>\n"
        "T1 openat(-100</w>, \"s\", 0) = 9</w/s> <0.1>\n"
        "T1 read(9</w/s>, \"\"..., 10) = 4 <0.1>\n"
        "T1 mkdir(\"/w/m\", 0755) = 0 <0.1>\n"
        "T1 openat(-100</w>, \"/w/n/o\", 0x42, 0600) = -1 ENOENT (x) <0.1>\n"
        "T1 getdents64(9</w/q>, [{d_ino=1, d_off=1, d_reclen=24, d_type=0x8, d_name=\"e\"}], "
        "99) = 24 <0.1>\n"
        "T1 openat(-100</w>, \"/proc/self/x\", 0) = 9</proc/1/x> <0.1>\n"
        "T1 write(1</w/out>, \"\"..., 1) = 1 <0.1>\n");
    i = image_of("/w/a");
    assert_int_equal(i->kind, TDW_IMAGE_FILE);
    assert_int_equal(i->size, 4196);
    assert_false(i->exact);
    assert_int_equal(image_of("/w/b")->kind, TDW_IMAGE_ABSENT);
    i = image_of("/x/y/c");
    assert_int_equal(i->size, 77);
    assert_true(i->exact);
    assert_int_equal(i->mode, 0644);
    assert_int_equal(image_of("/x/y")->kind, TDW_IMAGE_DIRECTORY);
    assert_int_equal(image_of("/")->kind, TDW_IMAGE_DIRECTORY);
    assert_int_equal(image_of("/w/maybe")->size, 12);
    assert_null(image_of("/w/new"));
    i = image_of("/l/lib.so");
    assert_int_equal(i->kind, TDW_IMAGE_LINK);
    assert_string_equal(i->target, "/u/lib.so.1");
    assert_int_equal(image_of("/u/lib.so.1")->size, 999);
    assert_int_equal(image_of("/w/r")->size, 4);
    assert_true(image_of("/w/r")->exact);
    assert_null(image_of("/w/s"));
    assert_null(image_of("/w/m"));
    assert_int_equal(image_of("/w/n")->kind, TDW_IMAGE_ABSENT);
    assert_null(image_of("/w/n/o"));
    assert_int_equal(image_of("/w/q/e")->kind, TDW_IMAGE_FILE);
    assert_null(image_of("/proc/1/x"));
    assert_null(image_of("/proc/self/x"));
    i = &rec.image[rec.images - 1];
    assert_int_equal(i->kind, TDW_IMAGE_FD);
    assert_int_equal(i->fd, 1);
    assert_string_equal(i->path, "/w/out");
}

static void shared_offsets_follow_dup_and_fork(void **state)
{
    (void)state;
    import_lines("T1 openat(-100</w>, \"a\", 0) = 3</w/a> <0.1>\n"
                 "T1 dup(3</w/a>) = 4</w/a> <0.1>\n"
                 "T1 read(3</w/a>, \"\"..., 100) = 100 <0.1>\n"
                 "T1 fork() = 2 <0.1>\n"
                 "T2 read(4</w/a>, \"\"..., 100) = 100 <0.1>\n"
                 "T2 read(4</w/a>, \"\"..., 100) = 7 <0.1>\n");
    assert_int_equal(image_of("/w/a")->size, 207);
    assert_true(image_of("/w/a")->exact);
}

/* ── Damage ──────────────────────────────────────────────────────────────────────────────────────
 */

static const char snippet[] =
    "1  1700000000.000000100 execve(\"/bin/x\", [\"\"...], [\"\"...]) = 0 <0.001>\n"
    "1  1700000000.000100100 clone3({flags=0x3d0f00, child_tid=0x990} <unfinished ...>\n"
    "2  1700000000.000100200 futex(0x300, 0x80, 2, {tv_sec=1, tv_nsec=3} <unfinished ...>\n"
    "1  1700000000.000100300 <... clone3 resumed> => {parent_tid=[2]}, 88) = 2 <0.000001>\n"
    "1  1700000000.000100400 openat(-100</w>, \"t\\\"\\\\\\n\\74\", 0x42, 0600) = 3</w/t\\74x> "
    "<0.1>\n"
    "1  1700000000.000100450 fcntl(3</w/t>, 0x6, {l_type=0x1, l_whence=0, l_start=1, l_len=2}) = "
    "0\n"
    "1  1700000000.000100500 getdents64(3</w>, [{d_ino=1, d_type=0x4, d_name=\".\"}], 99) = 24 "
    "<0.1>\n"
    "1  1700000000.000100600 sendmsg(4<UNIX:[1->2]>, {msg_iov=[{iov_base=\"\"..., iov_len=9}], "
    "msg_control=[{cmsg_level=0x1, cmsg_type=0x1, cmsg_data=[4</x>]}]}, 0) = 9 <0.1>\n"
    "1  1700000000.000100700 pselect6(15, [13 14<TCP:[1.2.3.4:5->6.7.8.9:10]>], [14], NULL, "
    "{tv_sec=1, tv_nsec=5}, NULL) = 1 (in [14], left {tv_sec=0, tv_nsec=9}) <0.1>\n"
    "1  1700000000.000100800 connect(3<TCP:[1]>, {sa_family=0x2, sin_port=\"\\x9b\\x57\", "
    "sin_addr=\"\\x7f\\x00\\x00\\x01\"}, 16) = -1 EINPROGRESS (Operation now in progress) <0.1>\n"
    "1  1700000000.000100900 poll([{fd=14, events=0x1}], 1, 10) = 1 ([{fd=14, revents=0x1}]) "
    "<0.1>\n"
    "2  1700000000.000101000 <... futex resumed>) = 0 <0.1>\n"
    "2  1700000000.000101100 --- SIGTERM {si_signo=15, si_code=0, si_pid=1, si_uid=0} ---\n"
    "2  1700000000.000101200 +++ killed by SIGTERM +++\n"
    "1  1700000000.000101300 exit_group(0) = ?\n";

/* A thread's close takes its time; meanwhile another thread gets the number for another file. */
static void a_number_that_is_given_out_while_it_is_closed_keeps_its_new_meaning(void **state)
{
    (void)state;
    import_lines("T1 openat(-100</w>, \"/w/old\", 0x41, 0600) = 3</w/old> <0.000000100>\n"
                 "T1 clone(child_stack=0x7f00, flags=0x3d0f00) = 2 <0.000000100>\n"
                 "T2 close(3</w/old> <unfinished ...>\n"
                 "T1 openat(-100</w>, \"/w/new\", 0x41, 0600) = 3</w/new> <0.000000100>\n"
                 "T2 <... close resumed>) = 0 <0.000003000>\n"
                 "T1 write(3</w/new>, \"\"..., 5) = 5 <0.000000100>\n"
                 "T1 close(3</w/new>) = 0 <0.000000100>\n");
    for (size_t i = 0; i < rec.images; i++)
        assert_int_not_equal(rec.image[i].kind, TDW_IMAGE_FD);
}

static void damaged_check(const char *text, size_t bytes)
{
    int fd, result;

    memset(&rec, 0, offsetof(struct recording, call));
    rec.calls = rec.threads = rec.images = rec.used = 0;
    result = import_bytes(text, bytes, &fd);
    assert_true(result == 0 || result == -EINVAL);
    if (result == 0)
        read_back(fd);
    close(fd);
}

static void recordings_cut_anywhere_are_imported(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof snippet; bytes++)
        damaged_check(snippet, bytes);
    assert_int_equal(rec.calls, 12);
    assert_int_equal(rec.report.malformed, 0);
}

static void recordings_changed_at_random_are_imported(void **state)
{
    static const char likely[] = "<>()[]{}\",\\ =-0x?+./|\n";
    char text[sizeof snippet];
    uint64_t x = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 4000; round++) {
        memcpy(text, snippet, sizeof text);
        for (int i = 0; i < 1 + round % 5; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[x % (sizeof text - 1)] =
                round % 3 ? likely[(x >> 32) % (sizeof likely - 1)] : (char)(x >> 40);
        }
        damaged_check(text, sizeof text - 1);
    }
}

static void a_line_longer_than_the_limit_is_malformed(void **state)
{
    static const char head[] = "1 1700000000.0 getpid() = 1\n1 1700000000.1 unlink(\"";
    static const char tail[] = "\") = 0\n1 1700000000.2 getpid() = 1\n";
    const size_t bytes = TDW__LINE_BYTES + sizeof head + sizeof tail;
    char *const text = malloc(bytes);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', bytes);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + bytes - sizeof tail, tail, sizeof tail);
    import_text(text);
    assert_int_equal(rec.calls, 2);
    assert_int_equal(rec.report.malformed, 1);
    assert_int_equal(rec.report.first_malformed[0], 2);
    free(text);
}

/* ── What is printed ─────────────────────────────────────────────────────────────────────────────
 */

static void stat_and_show_read_an_imported_file(void **state)
{
    char path[] = "/tmp/tdw-test-XXXXXX", out[64], *text = NULL;
    const int fd = mkstemp(path);
    size_t bytes = 0;
    FILE *in = fmemopen((void *)(uintptr_t)snippet, sizeof snippet - 1, "r"), *memory;
    const struct tdw__show show = {.setup = true};

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(tdw__import_stream(in, fd, NULL, &rec.report), 0);
    fclose(in);
    close(fd);
    memory = open_memstream(&text, &bytes);
    assert_int_equal(tdw__trace_stat(path, memory, false), 0);
    assert_int_equal(tdw__trace_stat(path, memory, true), 0);
    assert_int_equal(tdw__trace_show(path, memory, &show), 0);
    fclose(memory);
    assert_non_null(strstr(text, "kind         recording"));
    assert_non_null(strstr(text, "\"complete\":true"));
    assert_non_null(strstr(text, "connect(3<TCP:[1]>, 127.0.0.1:39767, 16) = -EINPROGRESS"));
    free(text);
    unlink(path);
    snprintf(out, sizeof out, "%s.tdw", path);
    assert_int_equal(access(out, F_OK), -1);
}

int tests_import_strace(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_and_durations_are_read_in_all_forms),
        cmocka_unit_test(malformed_lines_are_counted_by_number_and_skipped),
        cmocka_unit_test(an_interrupted_call_is_one_call_at_its_start),
        cmocka_unit_test(a_call_without_end_has_no_result),
        cmocka_unit_test(results_are_values_errors_or_restarts),
        cmocka_unit_test(numbers_and_flags_are_read_raw_and_decoded),
        cmocka_unit_test(paths_become_absolute),
        cmocka_unit_test(locks_and_stat_and_names_are_kept),
        cmocka_unit_test(lists_keep_their_members),
        cmocka_unit_test(addresses_are_read_raw_and_decoded),
        cmocka_unit_test(the_same_call_has_the_class_of_its_descriptor),
        cmocka_unit_test(the_loaders_calls_are_marked_up_to_its_last),
        cmocka_unit_test(the_table_and_the_page_agree),
        cmocka_unit_test(threads_and_processes_are_told_apart),
        cmocka_unit_test(futex_waits_are_tied_to_their_wakes),
        cmocka_unit_test(reaped_and_signalled_processes_leave_edges),
        cmocka_unit_test(reads_follow_the_write_that_brought_their_last_byte),
        cmocka_unit_test(the_accepting_end_of_a_unix_connection_is_known_with_its_path),
        cmocka_unit_test(values_behind_a_pointer_are_kept_where_they_are_numbers),
        cmocka_unit_test(calls_that_found_nothing_to_move_count_as_timing),
        cmocka_unit_test(netlink_is_answered_from_the_recording),
        cmocka_unit_test(calls_on_one_file_are_ordered_across_threads),
        cmocka_unit_test(images_say_what_was_there_before),
        cmocka_unit_test(shared_offsets_follow_dup_and_fork),
        cmocka_unit_test(a_number_that_is_given_out_while_it_is_closed_keeps_its_new_meaning),
        cmocka_unit_test(recordings_cut_anywhere_are_imported),
        cmocka_unit_test(recordings_changed_at_random_are_imported),
        cmocka_unit_test(a_line_longer_than_the_limit_is_malformed),
        cmocka_unit_test(stat_and_show_read_an_imported_file),
    };

    return cmocka_run_group_tests_name("import strace", tests, NULL, NULL);
}
