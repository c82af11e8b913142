/* SPDX-License-Identifier: MIT */
/*
 * The trace format: what is written is read; what is damaged is told, after all that is whole.
 *
 * Files are made in memory (memfd), from random records with a fixed seed. The sweeps cut a file at
 * every byte, flip every bit, and overwrite and shuffle bytes at random; each time the reader must
 * end with an error or the true end, and everything it delivered before must be a prefix of what
 * was written. A record is compared field by field, texts by content.
 */
#include <traces/format.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests.h"

int tests_trace(void);

/* A keyed sequence: the same on every machine. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t below(struct dice *dice, uint64_t bound)
{
    return roll(dice) % bound;
}

/* Numbers of all lengths, with the extremes. */
static uint64_t wild(struct dice *dice)
{
    switch (below(dice, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return (uint64_t)INT64_MAX + below(dice, 3);
    default:
        return roll(dice) >> below(dice, 64);
    }
}

/* ── Files in memory ─────────────────────────────────────────────────────────────────────────────
 */

static int memory_file(const void *bytes, size_t count)
{
    const int fd = memfd_create("trace", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, count, 0), count);
    return fd;
}

/* The whole content, allocated. */
static uint8_t *content(int fd, size_t *bytes)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    uint8_t *copy = malloc((size_t)end + 1);

    assert_non_null(copy);
    assert_int_equal(pread(fd, copy, (size_t)end, 0), end);
    *bytes = (size_t)end;
    return copy;
}

static struct tdw_trace_reader *reader_of(int fd)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_error error;

    lseek(fd, 0, SEEK_SET);
    assert_int_equal(tdw_trace_open_fd(&reader, fd, &error), 0);
    return reader;
}

/* ── Random events ───────────────────────────────────────────────────────────────────────────────
 */

static const char *const texts[] = {"", "a", "disk/0", "server/main#0/conn#17", "über\tset\n\"x\""};
enum { TEXTS = sizeof texts / sizeof texts[0] };
static const struct tdw_site sites[] = {
    {"a.c", "f", "submit", 1},
    {"a.c", "f", "submit", 2},
    {"some/long/path/to/a/file.c", "function_with_a_name", "await", 123456},
    {NULL, NULL, NULL, 0},
    {"", "", "", UINT32_MAX},
};

static struct tdw_event event_random(struct dice *dice, uint64_t *now_ns)
{
    static const uint8_t kinds[] = {1, 2, 3, 4, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 32, 33, 34};
    struct tdw_event e = {0};

    *now_ns += below(dice, 3) ? below(dice, 1000) : 0;
    e.kind = below(dice, 16) ? kinds[below(dice, sizeof kinds)] : (uint8_t)roll(dice);
    e.now_ns = below(dice, 64) ? *now_ns : wild(dice);
    e.actor = below(dice, 16) ? below(dice, 12) * 0x123456789abcdefu : wild(dice);
    e.ordinal = below(dice, 4) ? (uint32_t)below(dice, 50) : (uint32_t)roll(dice);
    e.opcode = below(dice, 4) ? (uint8_t)below(dice, 4) : (uint8_t)roll(dice);
    e.flags = below(dice, 3) ? 0 : (uint16_t)roll(dice);
    e.fd = below(dice, 3) ? -1 : (int32_t)wild(dice);
    e.res = below(dice, 3) ? 0 : (int32_t)wild(dice);
    e.off = below(dice, 2) ? 0 : wild(dice);
    e.len = below(dice, 2) ? 512 : wild(dice);
    e.data = below(dice, 2) ? 0 : wild(dice);
    e.site = below(dice, 3) ? &sites[below(dice, sizeof sites / sizeof sites[0])] : NULL;
    e.name = below(dice, 8) ? NULL : texts[below(dice, TEXTS)];
    return e;
}

static void text_equal(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

static void event_equal(const struct tdw_event *a, const struct tdw_event *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->opcode, b->opcode);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->fd, b->fd);
    assert_int_equal(a->now_ns, b->now_ns);
    assert_int_equal(a->actor, b->actor);
    assert_int_equal(a->ordinal, b->ordinal);
    assert_int_equal(a->res, b->res);
    assert_int_equal(a->off, b->off);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->data, b->data);
    text_equal(a->name, b->name);
    assert_int_equal(a->site != NULL, b->site != NULL);
    if (a->site) {
        text_equal(a->site->file, b->site->file);
        text_equal(a->site->function, b->site->function);
        text_equal(a->site->what, b->site->what);
        assert_int_equal(a->site->line, b->site->line);
    }
}

/* A run of random events with actor names between them. Answers its descriptor. */
static int run_write(uint64_t seed, size_t events)
{
    const struct tdw_trace_meta meta[] = {{"program", "test"}, {"seed", "17"}};
    const struct tdw_digest digest = {0x1122334455667788, UINT64_MAX};
    struct dice dice = {seed};
    uint64_t now_ns = 0;
    struct tdw_trace_writer *writer;
    const int fd = memory_file("", 0);

    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, meta, 2), 0);
    for (size_t i = 0; i < events; i++) {
        const struct tdw_event event = event_random(&dice, &now_ns);

        assert_int_equal(tdw_trace_event(writer, &event), 0);
        if (i % 97 == 5)
            assert_int_equal(tdw_trace_actor(writer, i, "host/process#0/task#1"), 0);
        if (i % 1000 == 999)
            assert_int_equal(tdw_trace_flush(writer), 0);
    }
    assert_int_equal(tdw_trace_close(writer, &digest), 0);
    return fd;
}

/* Read all of it, each event compared with the one that was written. Answers the last return. */
static int run_check(struct tdw_trace_reader *reader, uint64_t seed, struct tdw_trace_end *seen)
{
    struct dice dice = {seed};
    uint64_t now_ns = 0;
    struct tdw_trace_record record;
    int got;

    *seen = (struct tdw_trace_end){0};
    while ((got = tdw_trace_next(reader, &record)) == 1) {
        struct tdw_event event;

        switch (record.type) {
        case TDW_TRACE_META:
            assert_string_equal(record.meta.key, seen->metas == 0 ? "program" : "seed");
            assert_string_equal(record.meta.value, seen->metas++ == 0 ? "test" : "17");
            break;
        case TDW_TRACE_EVENT:
            event = event_random(&dice, &now_ns);
            event_equal(&record.event, &event);
            seen->events++;
            break;
        case TDW_TRACE_ACTOR:
            assert_int_equal(record.actor.actor, seen->events - 1);
            assert_string_equal(record.actor.path, "host/process#0/task#1");
            seen->actors++;
            break;
        case TDW_TRACE_END:
            assert_true(record.end.has_digest);
            assert_int_equal(record.end.digest.lo, 0x1122334455667788);
            assert_int_equal(record.end.digest.hi, UINT64_MAX);
            assert_int_equal(record.end.events, seen->events);
            seen->has_digest = true;
            break;
        case TDW_TRACE_THREAD:
        case TDW_TRACE_IMAGE:
        case TDW_TRACE_GAP:
        case TDW_TRACE_CALL:
            fail();
        }
    }
    return got;
}

static void events_come_back_as_they_were_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        const size_t events = seed == 8 ? 60000 : 3000;
        const int fd = run_write(seed, events);
        struct tdw_trace_reader *reader = reader_of(fd);
        struct tdw_trace_end seen;

        assert_int_equal(tdw_trace_kind(reader), TDW_TRACE_RUN);
        assert_int_equal(run_check(reader, seed, &seen), 0);
        assert_int_equal(seen.events, events);
        assert_int_equal(seen.metas, 2);
        assert_true(seen.has_digest);
        tdw_trace_reader_close(reader);
        close(fd);
    }
}

static void the_same_events_give_the_same_bytes(void **state)
{
    const int a = run_write(3, 2000), b = run_write(3, 2000);
    size_t bytes_a, bytes_b;
    uint8_t *const x = content(a, &bytes_a), *const y = content(b, &bytes_b);

    (void)state;
    assert_int_equal(bytes_a, bytes_b);
    assert_memory_equal(x, y, bytes_a);
    free(x);
    free(y);
    close(a);
    close(b);
}

static void many_actors_and_sites_need_no_more_memory(void **state)
{
    enum { EVENTS = 120000, SITES = 5000 };
    struct tdw_site *many = calloc(SITES, sizeof *many);
    const int fd = memory_file("", 0);
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record = {0};
    uint64_t n = 0;

    (void)state;
    assert_non_null(many);
    for (uint32_t i = 0; i < SITES; i++)
        many[i] = (struct tdw_site){"f.c", "f", "w", i};
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0), 0);
    for (uint64_t i = 0; i < EVENTS; i++) {
        const struct tdw_event e = {.kind = TDW_E_MARK, .actor = i * i, .site = &many[i % SITES]};

        assert_int_equal(tdw_trace_event(writer, &e), 0);
    }
    assert_int_equal(tdw_trace_close(writer, NULL), 0);
    reader = reader_of(fd);
    while (tdw_trace_next(reader, &record) == 1 && record.type == TDW_TRACE_EVENT) {
        assert_int_equal(record.event.actor, n * n);
        assert_int_equal(record.event.site->line, n % SITES);
        n++;
    }
    assert_int_equal(record.type, TDW_TRACE_END);
    assert_int_equal(n, EVENTS);
    assert_false(record.end.has_digest);
    tdw_trace_reader_close(reader);
    close(fd);
    free(many);
}

static void a_text_longer_than_the_limit_is_cut(void **state)
{
    const size_t bytes = TDW_TRACE_TEXT_BYTES + 1000;
    char *text = malloc(bytes + 1);
    const int fd = memory_file("", 0);
    const struct tdw_event e = {.kind = TDW_E_LOG, .name = text};
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', bytes);
    text[bytes] = 0;
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(tdw_trace_event(writer, &e), 0);
    assert_int_equal(tdw_trace_meta(writer, text, text), 0);
    assert_int_equal(tdw_trace_close(writer, NULL), 0);
    reader = reader_of(fd);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(tdw_trace_next(reader, &record), 1);
        assert_int_equal(strlen(record.event.name), TDW_TRACE_TEXT_BYTES);
    }
    assert_int_equal(tdw_trace_next(reader, &record), 1);
    assert_int_equal(strlen(record.meta.key), TDW_TRACE_PATH_BYTES);
    assert_int_equal(strlen(record.meta.value), TDW_TRACE_TEXT_BYTES);
    tdw_trace_reader_close(reader);
    close(fd);
    free(text);
}

static void a_typical_event_takes_at_most_ten_bytes(void **state)
{
    const int fd = memory_file("", 0);
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    uint64_t file, raw, events = 0;

    (void)state;
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0), 0);
    for (uint32_t i = 0; i < 50000; i++) {
        struct tdw_event e = {.actor = (i % 100 + 1) * 0x9e3779b97f4a7c15u, .ordinal = i / 100};

        for (uint8_t kind = TDW_E_SUBMIT; kind <= TDW_E_DELIVER; kind++) {
            e.now_ns = i * 1000 + kind * 100u;
            e.fd = kind == TDW_E_SUBMIT ? -1 : 0;
            e.data = kind == TDW_E_SUBMIT ? 0xfedcba9876543210 : 0;
            e.kind = kind;
            e.site = kind == TDW_E_SUBMIT ? &sites[0] : NULL;
            assert_int_equal(tdw_trace_event(writer, &e), 0);
            events++;
        }
    }
    assert_int_equal(tdw_trace_close(writer, NULL), 0);
    reader = reader_of(fd);
    while (tdw_trace_next(reader, &record) == 1)
        continue;
    tdw_trace_bytes(reader, &file, &raw);
    assert_in_range(raw, events * 2, events * 10);
    assert_in_range(file, 100, raw + 1000);
    tdw_trace_reader_close(reader);
    close(fd);
}

/* ── Recordings ──────────────────────────────────────────────────────────────────────────────────
 */

static struct tdw_call call_random(struct dice *dice, struct tdw_call_item *items)
{
    static const char *const names[] = {"pread64", "openat", "fcntl", "x"};
    struct tdw_call c = {
        .name = names[below(dice, 4)],
        .start_ns = wild(dice),
        .end_ns = wild(dice),
        .line = below(dice, 3) ? 0 : wild(dice),
        .thread = below(dice, 3) ? 0 : (uint32_t)below(dice, 2000),
        .process = (uint32_t)below(dice, 2),
        .ordinal = (uint32_t)wild(dice),
        .bits = (uint16_t)below(dice, 256),
        .row = (uint8_t)below(dice, TDW_ROWS),
        .how = (uint8_t)below(dice, 9),
        .compare = (uint8_t)below(dice, 10),
        .object = (uint8_t)below(dice, 10),
        .args = (uint8_t)below(dice, 7),
        .edges = (uint8_t)below(dice, TDW_TRACE_EDGES_MAX + 1),
        .result = (int64_t)wild(dice),
        .items = below(dice, 4) ? 0 : (uint32_t)below(dice, TDW_TRACE_ITEMS_MAX + 1),
    };

    for (int i = 0; i < 6; i++)
        c.arg[i] = below(dice, 2) ? 7 : (int64_t)wild(dice);
    for (int i = 0; i < 2; i++) {
        c.path[i] = below(dice, 2) ? texts[below(dice, TEXTS)] : NULL;
        c.fd_path[i] = below(dice, 2) ? texts[below(dice, TEXTS)] : NULL;
    }
    c.result_path = below(dice, 2) ? texts[below(dice, TEXTS)] : NULL;
    c.address = below(dice, 2) ? "127.0.0.1:80" : NULL;
    if (c.bits & TDW_CALL_LOCK)
        c.lock = (struct tdw_call_lock){(int64_t)wild(dice), (int64_t)wild(dice),
                                        (int32_t)wild(dice), (int16_t)wild(dice), 2};
    if (c.bits & TDW_CALL_STAT)
        c.stat = (struct tdw_call_stat){wild(dice), (uint32_t)wild(dice)};
    if (c.bits & TDW_CALL_NAMES)
        c.names = (struct tdw_call_names){wild(dice), (uint32_t)wild(dice)};
    for (uint32_t i = 0; i < c.items; i++)
        items[i] = (struct tdw_call_item){(int64_t)wild(dice), wild(dice)};
    for (uint32_t i = 0; i < c.edges; i++)
        c.edge[i] = (struct tdw_edge){wild(dice), (uint32_t)wild(dice), (uint32_t)wild(dice), 3};
    c.item = items;
    return c;
}

static void call_equal(const struct tdw_call *a, const struct tdw_call *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->start_ns, b->start_ns);
    assert_int_equal(a->end_ns, b->end_ns);
    assert_int_equal(a->line, b->line);
    assert_int_equal(a->thread, b->thread);
    assert_int_equal(a->process, b->process);
    assert_int_equal(a->ordinal, b->ordinal);
    assert_int_equal(a->bits, b->bits);
    assert_int_equal(a->row, b->row);
    assert_int_equal(a->how, b->how);
    assert_int_equal(a->compare, b->compare);
    assert_int_equal(a->object, b->object);
    assert_int_equal(a->args, b->args);
    assert_memory_equal(a->arg, b->arg, sizeof a->arg);
    assert_int_equal(a->result, b->result);
    for (int i = 0; i < 2; i++) {
        text_equal(a->path[i], b->path[i]);
        text_equal(a->fd_path[i], b->fd_path[i]);
    }
    text_equal(a->result_path, b->result_path);
    text_equal(a->address, b->address);
    assert_int_equal(a->lock.start, b->lock.start);
    assert_int_equal(a->lock.length, b->lock.length);
    assert_int_equal(a->lock.pid, b->lock.pid);
    assert_int_equal(a->lock.type, b->lock.type);
    assert_int_equal(a->lock.whence, b->lock.whence);
    assert_int_equal(a->stat.size, b->stat.size);
    assert_int_equal(a->stat.mode, b->stat.mode);
    assert_int_equal(a->names.hash, b->names.hash);
    assert_int_equal(a->names.count, b->names.count);
    assert_int_equal(a->items, b->items);
    for (uint32_t i = 0; i < a->items; i++) {
        assert_int_equal(a->item[i].a, b->item[i].a);
        assert_int_equal(a->item[i].b, b->item[i].b);
    }
    assert_int_equal(a->edges, b->edges);
    for (uint32_t i = 0; i < a->edges; i++) {
        assert_int_equal(a->edge[i].kind, b->edge[i].kind);
        assert_int_equal(a->edge[i].call, b->edge[i].call);
        assert_int_equal(a->edge[i].thread, b->edge[i].thread);
        assert_int_equal(a->edge[i].ordinal, b->edge[i].ordinal);
    }
}

static void calls_come_back_as_they_were_written(void **state)
{
    static struct tdw_call_item items[TDW_TRACE_ITEMS_MAX];
    const uint64_t calls = 5000;
    const int fd = memory_file("", 0);
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    struct dice dice = {5};

    (void)state;
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RECORDING, NULL, 0), 0);
    for (uint64_t i = 0; i < calls; i++) {
        const struct tdw_call call = call_random(&dice, items);

        assert_int_equal(tdw_trace_call(writer, &call), 0);
    }
    assert_int_equal(tdw_trace_close(writer, NULL), 0);
    reader = reader_of(fd);
    assert_int_equal(tdw_trace_kind(reader), TDW_TRACE_RECORDING);
    dice = (struct dice){5};
    for (uint64_t i = 0; i < calls; i++) {
        const struct tdw_call call = call_random(&dice, items);

        assert_int_equal(tdw_trace_next(reader, &record), 1);
        assert_int_equal(record.type, TDW_TRACE_CALL);
        assert_int_equal(record.call.index, i);
        call_equal(&record.call, &call);
    }
    assert_int_equal(tdw_trace_next(reader, &record), 1);
    assert_int_equal(record.type, TDW_TRACE_END);
    assert_int_equal(record.end.calls, calls);
    assert_int_equal(tdw_trace_next(reader, &record), 0);
    assert_int_equal(tdw_trace_next(reader, &record), 0);
    tdw_trace_reader_close(reader);
    close(fd);
}

static void threads_and_images_come_back_as_they_were_written(void **state)
{
    const struct tdw_trace_thread t[] = {
        {.index = 0,
         .tid = 7,
         .pid = 7,
         .parent = UINT32_MAX,
         .clone_call = UINT64_MAX,
         .status = -9,
         .ended = true,
         .program = "/bin/x",
         .calls = 12},
        {.index = 1,
         .process = 1,
         .tid = 8,
         .parent = 0,
         .clone_call = 3,
         .clone_flags = 0x3d0f00,
         .start_ns = 9,
         .end_ns = UINT64_MAX},
    };
    const struct tdw_image m[] = {
        {.path = "/a", .kind = TDW_IMAGE_FILE, .size = UINT64_MAX, .mode = 0644, .exact = true},
        {.path = "/l", .target = "/a", .kind = TDW_IMAGE_LINK},
        {.path = "/in", .kind = TDW_IMAGE_FD, .fd = 0, .process = 4},
    };
    const int fd = memory_file("", 0);
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record r;

    (void)state;
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RECORDING, NULL, 0), 0);
    assert_int_equal(tdw_trace_thread(writer, &t[1]), -EINVAL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(tdw_trace_thread(writer, &t[i]), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tdw_trace_image(writer, &m[i]), 0);
    assert_int_equal(tdw_trace_close(writer, NULL), 0);
    reader = reader_of(fd);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tdw_trace_next(reader, &r), 1);
        text_equal(r.thread.program, t[i].program);
        r.thread.program = t[i].program;
        assert_int_equal(r.thread.index, t[i].index);
        assert_int_equal(r.thread.parent, t[i].parent);
        assert_int_equal(r.thread.clone_call, t[i].clone_call);
        assert_int_equal(r.thread.clone_flags, t[i].clone_flags);
        assert_int_equal(r.thread.status, t[i].status);
        assert_int_equal(r.thread.ended, t[i].ended);
        assert_int_equal(r.thread.calls, t[i].calls);
        assert_int_equal(r.thread.end_ns, t[i].end_ns);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tdw_trace_next(reader, &r), 1);
        text_equal(r.image.path, m[i].path);
        text_equal(r.image.target, m[i].target);
        assert_int_equal(r.image.size, m[i].size);
        assert_int_equal(r.image.kind, m[i].kind);
        assert_int_equal(r.image.mode, m[i].mode);
        assert_int_equal(r.image.exact, m[i].exact);
        assert_int_equal(r.image.process, m[i].process);
    }
    tdw_trace_reader_close(reader);
    close(fd);
}

/* ── Errors of the writer ────────────────────────────────────────────────────────────────────────
 */

static void the_first_error_of_a_writer_sticks(void **state)
{
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const int file = memory_file("", 0);
    const struct tdw_event e = {.kind = TDW_E_MARK};
    struct tdw_trace_writer *writer;

    (void)state;
    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0), -ENOSPC);
    assert_null(writer);
    close(fd);
    assert_int_equal(tdw_trace_create_fd(&writer, file, TDW_TRACE_RUN, NULL, 0), 0);
    close(file);
    tdw_trace_tap(writer)->event(tdw_trace_tap(writer), &e);
    assert_int_equal(tdw_trace_status(writer), 0);
    assert_int_equal(tdw_trace_flush(writer), -EBADF);
    assert_int_equal(tdw_trace_status(writer), -EBADF);
    assert_int_equal(tdw_trace_event(writer, &e), -EBADF);
    assert_int_equal(tdw_trace_close(writer, NULL), -EBADF);
    assert_int_equal(tdw_trace_create(&writer, "/nonexistent/x", TDW_TRACE_RUN, NULL, 0), -ENOENT);
    assert_null(writer);
}

/* ── Damage ──────────────────────────────────────────────────────────────────────────────────────
 */

/* Read damaged bytes: what is delivered must be what was written. Answers the last return. */
static int damaged_check(const uint8_t *bytes, size_t count, uint64_t seed,
                         struct tdw_trace_end *seen, struct tdw_trace_error *error)
{
    const int fd = memory_file(bytes, count);
    struct tdw_trace_reader *reader;
    int got;

    lseek(fd, 0, SEEK_SET);
    *seen = (struct tdw_trace_end){0};
    got = tdw_trace_open_fd(&reader, fd, error);
    if (got == 0) {
        got = run_check(reader, seed, seen);
        *error = *tdw_trace_error(reader);
        assert_int_equal(got, error->code);
    }
    if (got != 0) {
        assert_true(error->text[0] != 0);
        assert_in_range(error->offset, 0, count);
    }
    tdw_trace_reader_close(reader);
    close(fd);
    return got;
}

static void a_cut_file_is_read_up_to_its_last_whole_chunk(void **state)
{
    const int fd = run_write(21, 2500);
    size_t bytes;
    uint8_t *const whole = content(fd, &bytes);
    uint64_t before = 0;

    (void)state;
    close(fd);
    for (size_t cut = 0; cut < bytes; cut += cut < 200 || cut + 200 > bytes ? 1 : 53) {
        struct tdw_trace_end seen;
        struct tdw_trace_error error;

        assert_int_equal(damaged_check(whole, cut, 21, &seen, &error), -ENODATA);
        assert_false(seen.has_digest);
        assert_true(seen.events >= before);
        before = seen.events;
    }
    assert_int_equal(before, 2500);
    free(whole);
}

static void every_flipped_bit_of_a_small_file_is_noticed(void **state)
{
    const int fd = run_write(22, 40);
    size_t bytes;
    uint8_t *const copy = content(fd, &bytes);
    struct tdw_trace_end seen;
    struct tdw_trace_error error;

    (void)state;
    close(fd);
    assert_int_equal(damaged_check(copy, bytes, 22, &seen, &error), 0);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(damaged_check(copy, bytes, 22, &seen, &error) < 0);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(copy);
}

static void random_damage_is_noticed_and_nothing_wrong_is_delivered(void **state)
{
    const int fd = run_write(23, 3000);
    size_t bytes;
    uint8_t *const whole = content(fd, &bytes), *const copy = malloc(bytes);
    struct dice dice = {99};

    (void)state;
    close(fd);
    assert_non_null(copy);
    for (int i = 0; i < 2000; i++) {
        struct tdw_trace_end seen;
        struct tdw_trace_error error;
        const size_t at = below(&dice, bytes), span = 1 + below(&dice, 64);

        memcpy(copy, whole, bytes);
        for (size_t k = at; k < at + span && k < bytes; k++)
            copy[k] = i % 2 ? 0 : (uint8_t)roll(&dice);
        if (memcmp(copy, whole, bytes) != 0)
            assert_true(damaged_check(copy, bytes, 23, &seen, &error) < 0);
    }
    free(copy);
    free(whole);
}

static void what_follows_the_end_is_an_error(void **state)
{
    const int fd = run_write(24, 100);
    size_t bytes;
    uint8_t *copy = content(fd, &bytes);
    struct tdw_trace_end seen;
    struct tdw_trace_error error;

    (void)state;
    close(fd);
    copy = realloc(copy, 2 * bytes);
    assert_non_null(copy);
    memcpy(copy + bytes, copy + TDW__HEADER_BYTES, bytes - TDW__HEADER_BYTES);
    assert_int_equal(damaged_check(copy, bytes + 10, 24, &seen, &error), -ENODATA);
    assert_int_equal(damaged_check(copy, 2 * bytes - 32, 24, &seen, &error), -EBADMSG);
    assert_int_equal(seen.events, 100);
    assert_true(seen.has_digest);
    free(copy);
}

static void a_lost_or_doubled_chunk_is_noticed(void **state)
{
    const int fd = run_write(25, 3000); /* chunks: meta, three of events, end */
    size_t bytes, at[8] = {TDW__HEADER_BYTES};
    uint8_t *const whole = content(fd, &bytes), *const copy = malloc(2 * bytes);
    struct tdw_trace_end seen;
    struct tdw_trace_error error;
    int chunks = 0;

    (void)state;
    close(fd);
    assert_non_null(copy);
    for (size_t i = at[0]; i < bytes; at[++chunks] = i)
        i += TDW__HEADER_BYTES + tdw__load_u32(whole + i + 8);
    assert_int_equal(chunks, 5);
    memcpy(copy, whole, at[2]);
    memcpy(copy + at[2], whole + at[3], bytes - at[3]);
    assert_int_equal(damaged_check(copy, bytes - (at[3] - at[2]), 25, &seen, &error), -EBADMSG);
    assert_int_equal(seen.events, 1000);
    assert_int_equal(error.offset, at[2]);
    memcpy(copy, whole, at[2]);
    memcpy(copy + at[2], whole + at[1], bytes - at[1]);
    assert_int_equal(damaged_check(copy, bytes + (at[2] - at[1]), 25, &seen, &error), -EBADMSG);
    assert_int_equal(seen.events, 1000);
    free(copy);
    free(whole);
}

static int open_bytes(const void *bytes, size_t count, struct tdw_trace_error *error)
{
    const int fd = memory_file(bytes, count);
    struct tdw_trace_reader *reader;
    int got;

    lseek(fd, 0, SEEK_SET);
    got = tdw_trace_open_fd(&reader, fd, error);
    tdw_trace_reader_close(reader);
    close(fd);
    return got;
}

static void foreign_and_later_files_are_refused_by_name(void **state)
{
    const int fd = run_write(26, 1);
    size_t bytes;
    uint8_t *const copy = content(fd, &bytes);
    struct tdw_trace_reader *reader;
    struct tdw_trace_error error;

    (void)state;
    close(fd);
    assert_int_equal(open_bytes("", 0, &error), -ENODATA);
    assert_non_null(strstr(error.text, "empty"));
    assert_int_equal(open_bytes("\x7f"
                                "ELF...........................",
                                30, &error),
                     -EINVAL);
    assert_non_null(strstr(error.text, "not a tidewheel trace"));
    copy[8] = 2;
    tdw__put_u32(copy + 28, tdw__crc32c(0, copy, 28));
    assert_int_equal(open_bytes(copy, bytes, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "version 2"));
    assert_int_equal(error.offset, 8);
    assert_int_equal(tdw_trace_open(&reader, "/nonexistent", &error), -ENOENT);
    assert_null(reader);
    assert_int_equal(tdw_trace_open(&reader, "/tmp", &error), -EISDIR);
    free(copy);
}

/* A file of one chunk with the given header and bytes, checksums right. Answers the reader's end.
 */
static int one_chunk(struct tdw__chunk_header header, const uint8_t *payload, size_t count)
{
    uint8_t bytes[1024] = {0};
    const int fd = memory_file("", 0);
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    int got;

    assert_int_equal(tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0), 0);
    tdw_trace_abandon(writer);
    header.crc = tdw__crc32c(0, payload, count);
    tdw__chunk_header_put(bytes, &header);
    memcpy(bytes + TDW__HEADER_BYTES, payload, count);
    assert_int_equal(pwrite(fd, bytes, TDW__HEADER_BYTES + count, TDW__HEADER_BYTES),
                     TDW__HEADER_BYTES + count);
    reader = reader_of(fd);
    while ((got = tdw_trace_next(reader, &record)) == 1)
        continue;
    tdw_trace_reader_close(reader);
    close(fd);
    return got;
}

static void impossible_sizes_with_good_checksums_are_refused(void **state)
{
    static const uint8_t zeros[64];
    const struct tdw__chunk_header base = {
        .type = TDW__CHUNK_META, .stored = 8, .raw = 8, .records = 1};
    struct tdw__chunk_header h = base;

    (void)state;
    h.stored = h.raw = UINT32_MAX;
    assert_int_equal(one_chunk(h, zeros, 8), -EBADMSG);
    h = base, h.raw = TDW_TRACE_CHUNK_BYTES + 1, h.packing = TDW__PACK_ZSTD;
    assert_int_equal(one_chunk(h, zeros, 8), -EBADMSG);
    h = base, h.raw = 9;
    assert_int_equal(one_chunk(h, zeros, 8), -EBADMSG);
    h = base, h.packing = TDW__PACK_ZSTD;
    assert_true(one_chunk(h, zeros, 8) < 0);
    h = base, h.records = 9;
    assert_int_equal(one_chunk(h, zeros, 8), -EBADMSG);
    h = base, h.packing = 2;
    assert_int_equal(one_chunk(h, zeros, 8), -ENOTSUP);
    h = base, h.type = 77;
    assert_int_equal(one_chunk(h, zeros, 8), -ENOTSUP);
    h = base, h.type = 200; /* may be passed over */
    assert_int_equal(one_chunk(h, zeros, 8), -ENODATA);
    h = base, h.number = 1;
    assert_int_equal(one_chunk(h, zeros, 8), -EBADMSG);
    /* Two empty texts are 4 bytes: 4 are left over. */
    assert_int_equal(one_chunk(base, zeros, 8), -EBADMSG);
    h = base, h.stored = h.raw = 4;
    assert_int_equal(one_chunk(h, zeros, 4), -ENODATA);
}

static void malformed_records_with_good_checksums_never_crash(void **state)
{
    struct dice dice = {7};

    (void)state;
    for (int i = 0; i < 6000; i++) {
        uint8_t bytes[512];
        const uint32_t count = 1 + (uint32_t)below(&dice, sizeof bytes);
        const struct tdw__chunk_header header = {.type = (uint8_t)(1 + i % 6),
                                                 .stored = count,
                                                 .raw = count,
                                                 .records = 1 + (uint32_t)below(&dice, count)};

        for (uint32_t k = 0; k < count; k++)
            bytes[k] = i % 3 ? (uint8_t)below(&dice, 4) : (uint8_t)roll(&dice);
        assert_true(one_chunk(header, bytes, count) < 0);
    }
}

static void numbers_come_back_from_bytes(void **state)
{
    struct dice dice = {1};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[2 * TDW__VARINT_BYTES];
        const uint64_t value = wild(&dice), base = wild(&dice);
        uint8_t *end = tdw__put_delta(tdw__put_varint(bytes, value), value, base);
        struct tdw__in in = {bytes, end, false};
        struct tdw__in cut = {bytes, end - 1, false};

        assert_int_equal(tdw__get_varint(&in), value);
        assert_int_equal(tdw__get_delta(&in, base), value);
        assert_true(!in.bad && in.at == in.end);
        tdw__get_varint(&cut);
        tdw__get_varint(&cut);
        assert_true(cut.bad);
    }
    struct tdw__in wide = {(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", NULL,
                           false};
    wide.end = wide.at + 10;
    assert_int_equal(tdw__get_varint(&wide), 0);
    assert_true(wide.bad);
}

static uint32_t crc_by_bits(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0 - (crc & 1)));
    }
    return ~crc;
}

static void all_ways_to_the_checksum_agree(void **state)
{
    struct dice dice = {3};
    uint8_t bytes[300];

    (void)state;
    assert_int_equal(tdw__crc32c(0, "123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)roll(&dice);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        const uint32_t crc = crc_by_bits(bytes, count);

        assert_int_equal(tdw__crc32c(0, bytes, count), crc);
        assert_int_equal(tdw__crc32c_tables(0, bytes, count), crc);
        assert_int_equal(
            tdw__crc32c(tdw__crc32c(0, bytes, count / 3), bytes + count / 3, count - count / 3),
            crc);
    }
}

int tests_trace(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_from_bytes),
        cmocka_unit_test(all_ways_to_the_checksum_agree),
        cmocka_unit_test(events_come_back_as_they_were_written),
        cmocka_unit_test(the_same_events_give_the_same_bytes),
        cmocka_unit_test(many_actors_and_sites_need_no_more_memory),
        cmocka_unit_test(a_text_longer_than_the_limit_is_cut),
        cmocka_unit_test(a_typical_event_takes_at_most_ten_bytes),
        cmocka_unit_test(calls_come_back_as_they_were_written),
        cmocka_unit_test(threads_and_images_come_back_as_they_were_written),
        cmocka_unit_test(the_first_error_of_a_writer_sticks),
        cmocka_unit_test(a_cut_file_is_read_up_to_its_last_whole_chunk),
        cmocka_unit_test(every_flipped_bit_of_a_small_file_is_noticed),
        cmocka_unit_test(random_damage_is_noticed_and_nothing_wrong_is_delivered),
        cmocka_unit_test(what_follows_the_end_is_an_error),
        cmocka_unit_test(a_lost_or_doubled_chunk_is_noticed),
        cmocka_unit_test(foreign_and_later_files_are_refused_by_name),
        cmocka_unit_test(impossible_sizes_with_good_checksums_are_refused),
        cmocka_unit_test(malformed_records_with_good_checksums_never_crash),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
