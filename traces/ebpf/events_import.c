/* SPDX-License-Identifier: MIT */
/*
 * The recorder's events become a recording: the sibling of import_strace.c.
 *
 *     events, as the ring had them (each call when it ended)
 *       ─▶ an index by time of start ─▶ starts and ends in the order of time ─▶ import_calls.c
 *
 * The ring is in the order in which events were written, nearly; a recording is in the order of
 * starts, and what a call's end teaches must not be known to calls that started before it. So an
 * index is sorted by start, and calls that are under way stand in a heap by their end. A call
 * during which nothing else begins or ends is told whole, as most are.
 *
 * It believes nothing: every length is checked in a first walk, which also keeps what descriptors
 * stand for; an event that cannot be is counted as malformed and passed over.
 *
 * Memory: sixteen bytes an event, and the words of descriptors. Cost: about 2 µs a call. Called
 * by the recorder, tests and a fuzzer.
 */
#include "events_import.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct moment {
    uint64_t at_ns;
    uint64_t offset; /* of the event */
};

/* A call that has begun. */
struct flight {
    uint64_t end_ns;
    const struct tdw__event_call *event, *before;
    uint32_t thread;
};

struct flow {
    struct tdw__import im;
    struct tdw__event_texts texts;
    const uint8_t *events;
    struct moment *moments;
    size_t moments_count, moments_room;
    struct flight *flights; /* a heap: the first ends first */
    size_t flights_count, flights_room;
    struct tdw__map before; /* by tid: the offset of what was read before its next call */
};

/* ── The index ───────────────────────────────────────────────────────────────────────────────────
 */

static const struct tdw__event *event_at(const struct flow *f, uint64_t offset)
{
    return (const struct tdw__event *)(const void *)(f->events + offset);
}

static size_t least_bytes(unsigned kind)
{
    switch ((enum tdw__event_kind)kind) {
    case TDW__EV_CALL:
    case TDW__EV_BEFORE:
        return sizeof(struct tdw__event_call);
    case TDW__EV_WORDS:
        return sizeof(struct tdw__event_words);
    case TDW__EV_ENDED:
        return sizeof(struct tdw__event_ended);
    case TDW__EV_FD:
        return sizeof(struct tdw__event_fd) + 1;
    case TDW__EV_LOST:
        return sizeof(struct tdw__event_lost);
    case TDW__EV_BEGAN:
    case TDW__EV_FORK:
    case TDW__EV_THREAD:
    case TDW__EV_SIGNAL:
    case TDW__EV_SUPERSEDED:
        return sizeof(struct tdw__event);
    }
    return SIZE_MAX;
}

static void words_keep(struct flow *f, const struct tdw__event *event)
{
    const struct tdw__event_words *const words = (const void *)event;

    if (words->path_bytes > event->bytes - sizeof *words)
        f->im.malformed++;
    else
        f->im.error = tdw__event_words_add(&f->texts, words);
}

static void moment_add(struct flow *f, uint64_t offset, uint64_t at_ns)
{
    f->im.error = tdw__grow(&f->moments, &f->moments_room, f->moments_count, sizeof *f->moments);
    if (!f->im.error)
        f->moments[f->moments_count++] = (struct moment){at_ns, offset};
}

/* An event's place in the order, or what it says for all. */
static void enter(struct flow *f, uint64_t offset)
{
    const struct tdw__event *const event = event_at(f, offset);

    switch ((enum tdw__event_kind)event->kind) {
    case TDW__EV_BEGAN:
        f->im.unix_ns = event->at_ns;
        break;
    case TDW__EV_WORDS:
        words_keep(f, event);
        break;
    case TDW__EV_LOST:
        f->im.lost_calls = ((const struct tdw__event_lost *)(const void *)event)->calls;
        f->im.lost_others = ((const struct tdw__event_lost *)(const void *)event)->others;
        break;
    default: /* it happened at its time */
        moment_add(f, offset, event->at_ns);
        break;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct moment *const x = a, *const y = b;

    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void index_all(struct flow *f, size_t bytes)
{
    uint64_t offset = 0;

    while (!f->im.error && bytes - offset >= sizeof(struct tdw__event)) {
        const struct tdw__event *const event = event_at(f, offset);

        /* Behind an impossible length there is no next event to be found. */
        if (event->bytes < sizeof *event || event->bytes % 8 || event->bytes > bytes - offset) {
            f->im.malformed++;
            break;
        }
        f->im.lines++;
        if (event->bytes < least_bytes(event->kind))
            f->im.malformed++;
        else
            enter(f, offset);
        offset += event->bytes;
    }
    if (f->moments_count)
        qsort(f->moments, f->moments_count, sizeof *f->moments, by_time);
    f->im.first_ns = f->moments_count ? f->moments[0].at_ns : 0;
}

/* ── Calls under way ─────────────────────────────────────────────────────────────────────────────
 */

static void flights_swap(struct flow *f, size_t a, size_t b)
{
    const struct flight kept = f->flights[a];

    f->flights[a] = f->flights[b];
    f->flights[b] = kept;
}

static void flight_add(struct flow *f, const struct flight *flight)
{
    size_t i = f->flights_count;

    f->im.error = tdw__grow(&f->flights, &f->flights_room, i, sizeof *f->flights);
    if (f->im.error)
        return;
    f->flights[i] = *flight;
    f->flights_count++;
    for (; i > 0 && f->flights[(i - 1) / 2].end_ns > f->flights[i].end_ns; i = (i - 1) / 2)
        flights_swap(f, i, (i - 1) / 2);
}

static struct flight flight_take(struct flow *f, size_t at)
{
    const struct flight taken = f->flights[at];

    /* Up to the top without looking, then the last one down in its place. */
    for (; at > 0; at = (at - 1) / 2)
        flights_swap(f, at, (at - 1) / 2);
    f->flights[0] = f->flights[--f->flights_count];
    for (size_t i = 0;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < f->flights_count; child++)
            if (f->flights[child].end_ns < f->flights[least].end_ns)
                least = child;
        if (least == i)
            break;
        flights_swap(f, i, least);
        i = least;
    }
    return taken;
}

/* The end of a call that had begun before others did. */
static void land(struct flow *f, size_t at)
{
    const struct flight flight = flight_take(f, at);

    tdw__event_parse(&f->im.parsed, flight.event, flight.before, &f->texts);
    tdw__call_ended(&f->im, flight.thread, flight.end_ns);
}

static void land_until(struct flow *f, uint64_t now_ns)
{
    while (!f->im.error && f->flights_count && f->flights[0].end_ns <= now_ns)
        land(f, 0);
}

/* The call that this thread is in ends now; for those of which no end is told. */
static void land_thread(struct flow *f, uint32_t thread)
{
    for (size_t i = 0; i < f->flights_count; i++) {
        if (f->flights[i].thread == thread) {
            land(f, i);
            return;
        }
    }
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────────
 */

/* What was read before this call, if that was told. */
static const struct tdw__event_call *before_of(struct flow *f, const struct tdw__event_call *call)
{
    int64_t *const at = tdw__map_get(&f->before, (uint64_t)call->began_tid + 1);
    const struct tdw__event_call *before;

    if (!at || *at < 0)
        return NULL;
    before = (const void *)event_at(f, (uint64_t)*at);
    *at = -1;
    return before->head.at_ns == call->head.at_ns ? before : NULL;
}

static void on_call(struct flow *f, size_t i, uint64_t now_ns)
{
    struct tdw__import *const im = &f->im;
    const struct tdw__event_call *const call = (const void *)event_at(f, f->moments[i].offset);
    const struct tdw__event_call *const before = before_of(f, call);
    const uint64_t end_ns = call->end_ns > call->head.at_ns ? call->end_ns - im->first_ns : now_ns;
    const int64_t thread = tdw__task_of(im, call->began_tid, now_ns);
    const bool alone =
        (i + 1 == f->moments_count || f->moments[i + 1].at_ns - im->first_ns >= end_ns) &&
        (f->flights_count == 0 || f->flights[0].end_ns >= end_ns);

    if (thread < 0)
        return;
    if (im->threads[thread].pending.started) {
        im->malformed++;
        return;
    }
    tdw__gap(im, (uint32_t)thread, call->lost, now_ns);
    tdw__event_parse(&im->parsed, call, before, &f->texts);
    if (alone) {
        tdw__call_whole(im, (uint32_t)thread, now_ns, end_ns);
        return;
    }
    tdw__call_started(im, (uint32_t)thread, now_ns);
    flight_add(f, &(struct flight){end_ns, call, before, (uint32_t)thread});
}

/* A signal's delivery becomes a call of its own. */
static void on_signal(struct flow *f, const struct tdw__event *event, uint64_t now_ns)
{
    struct tdw__import *const im = &f->im;
    const int64_t thread = tdw__task_of(im, event->tid, now_ns);

    if (thread < 0)
        return;
    tdw__parsed_init(&im->parsed, tdw__syscall("signal", 6));
    im->parsed.call.args = 2;
    im->parsed.call.arg[0] = event->nr;
    im->parsed.call.arg[1] = event->other;
    tdw__call_whole(im, (uint32_t)thread, now_ns, now_ns);
}

static void on_ended(struct flow *f, const struct tdw__event_ended *event, uint64_t now_ns)
{
    struct tdw__import *const im = &f->im;
    const int64_t thread = tdw__task_of(im, event->head.tid, now_ns);
    const int32_t signal = event->code & 0x7f;

    if (thread < 0)
        return;
    land_thread(f, (uint32_t)thread);
    tdw__gap(im, (uint32_t)thread, event->lost, now_ns);
    tdw__edges_thread_end(im, (uint32_t)thread);
    tdw__task_ended(im, (uint32_t)thread, signal ? -signal : event->code >> 8 & 0xff, now_ns);
}

/* A thread that calls exec ends its leader and goes on under the leader's number. */
static void on_superseded(struct flow *f, const struct tdw__event *event, uint64_t now_ns)
{
    struct tdw__import *const im = &f->im;
    const int64_t leader = tdw__task_of(im, event->tid, now_ns);
    const int64_t by = tdw__task_of(im, event->other, now_ns);

    if (leader < 0 || by < 0 || leader == by)
        return;
    land_thread(f, (uint32_t)leader);
    tdw__task_superseded(im, (uint32_t)leader, event->other, now_ns);
    for (size_t i = 0; i < f->flights_count; i++) {
        if (f->flights[i].thread == (uint32_t)by)
            f->flights[i].thread = (uint32_t)leader;
    }
}

static void on_fd(struct flow *f, const struct tdw__event_fd *event, uint64_t now_ns)
{
    const int64_t thread = tdw__task_there(&f->im, event->head.tid, event->head.tid, now_ns);
    const char *const words = (const char *)(event + 1);

    if (thread < 0 || !memchr(words, 0, event->head.bytes - sizeof *event))
        return;
    tdw__fd_there(&f->im, f->im.threads[thread].row.process, event->fd, words, event->flags,
                  event->offset);
}

static void on_moment(struct flow *f, size_t i)
{
    struct tdw__import *const im = &f->im;
    const struct tdw__event *const event = event_at(f, f->moments[i].offset);
    const uint64_t now_ns = f->moments[i].at_ns - im->first_ns;

    land_until(f, now_ns);
    switch ((enum tdw__event_kind)event->kind) {
    case TDW__EV_CALL:
        on_call(f, i, now_ns);
        break;
    case TDW__EV_BEFORE:
        im->error =
            tdw__map_put(&f->before, (uint64_t)event->tid + 1, (int64_t)f->moments[i].offset);
        break;
    case TDW__EV_FORK:
        tdw__task_forked(im, event->tid, event->other, now_ns);
        break;
    case TDW__EV_THREAD:
        tdw__task_there(im, event->tid, event->other, now_ns);
        break;
    case TDW__EV_ENDED:
        on_ended(f, (const void *)event, now_ns);
        break;
    case TDW__EV_SIGNAL:
        on_signal(f, event, now_ns);
        break;
    case TDW__EV_SUPERSEDED:
        on_superseded(f, event, now_ns);
        break;
    case TDW__EV_FD:
        on_fd(f, (const void *)event, now_ns);
        break;
    default: /* BEGAN, WORDS, LOST have no time */
        break;
    }
}

int tdw__import_events(const uint8_t *events, size_t bytes, int out_fd,
                       struct tdw__import_report *report)
{
    struct flow *const f = calloc(1, sizeof *f);
    int error;

    *report = (struct tdw__import_report){0};
    if (!f)
        return -ENOMEM;
    f->events = events;
    tdw__import_init(&f->im, report);
    f->im.counts_losses = true;
    index_all(f, bytes);
    for (size_t i = 0; i < f->moments_count && !f->im.error; i++)
        on_moment(f, i);
    land_until(f, UINT64_MAX);
    report->malformed = f->im.malformed;
    error = tdw__import_write(&f->im, "tdw", out_fd);
    tdw__import_fini(&f->im);
    tdw__event_words_fini(&f->texts);
    tdw__map_fini(&f->before);
    free(f->moments);
    free(f->flights);
    free(f);
    return error;
}
