/* SPDX-License-Identifier: MIT */
/*
 * strace's output becomes a recording.
 *
 *     strace -f -yy -v -s 0 -X raw --absolute-timestamps=format:unix,precision:ns
 * --syscall-times=ns
 *
 * Line by line: what it is, whose it is; a call is told to the later stages (import_calls.c) when
 * it starts, taken apart when it ends, and told to them again. A line that cannot be read is told
 * with its number and skipped: a recording of a million lines is not lost for one.
 *
 * Invariants: a call that a signal or another thread interrupted is one call. It reads its input
 * once, so a pipe will do. It never believes a length in the input, and holds one line at a time.
 *
 * Cost: about 3 µs a line. Called by the command line and by tests.
 */
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct stream {
    struct tdw__import im;
    FILE *notes;
    char line[TDW__LINE_BYTES];
};

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

/* A whole call on one line. */
static int on_call(struct stream *s, uint32_t thread, const struct tdw__line *line,
                   const char **why)
{
    struct tdw__import *const im = &s->im;
    const uint64_t start_ns = line->at_ns - im->first_ns;
    struct tdw__call_text text;
    const int error = tdw__call_lex(line->text.at, line->text.bytes, true, &text, why);

    if (error)
        return error;
    tdw__parse(&im->parsed, &text, true);
    tdw__call_whole(im, thread, start_ns, start_ns + (text.has_duration ? text.duration_ns : 0));
    return 0;
}

/* The beginning of a call: kept until its end comes. */
static int on_unfinished(struct stream *s, uint32_t thread, const struct tdw__line *line,
                         const char **why)
{
    struct tdw__import *const im = &s->im;
    struct tdw__pending *const pending = &im->threads[thread].pending;
    struct tdw__call_text text;

    if (pending->text) {
        *why = "the thread is in a call already";
        return -EINVAL;
    }
    if (tdw__call_lex(line->text.at, line->text.bytes, false, &text, why))
        return -EINVAL;
    pending->text = malloc(line->text.bytes + 1);
    if (!pending->text)
        return im->error = -ENOMEM;
    memcpy(pending->text, line->text.at, line->text.bytes);
    pending->text[line->text.bytes] = 0;
    pending->bytes = line->text.bytes;
    tdw__parse(&im->parsed, &text, false);
    tdw__call_started(im, thread, line->at_ns - im->first_ns);
    return 0;
}

/* Take the pending call apart once more, now with `rest` (or without an end), and complete it. */
static int finish(struct stream *s, uint32_t thread, struct tdw__span rest, uint64_t at_ns,
                  const char **why)
{
    struct tdw__import *const im = &s->im;
    struct tdw__pending *const pending = &im->threads[thread].pending;
    const bool whole = rest.bytes > 0;
    struct tdw__call_text text;
    char *joined = realloc(pending->text, pending->bytes + rest.bytes + 1);

    if (!joined)
        return im->error = -ENOMEM;
    pending->text = joined;
    memcpy(joined + pending->bytes, rest.at, rest.bytes);
    if (tdw__call_lex(joined, pending->bytes + rest.bytes, whole, &text, why) && whole)
        return -EINVAL;
    tdw__parse(&im->parsed, &text, whole);
    if (!whole)
        im->parsed.call.bits |= TDW_CALL_NO_RESULT;
    pending->text = NULL;
    tdw__call_ended(im, thread, text.has_duration ? pending->start_ns + text.duration_ns : at_ns);
    free(joined);
    return 0;
}

static int on_resumed(struct stream *s, uint32_t thread, const struct tdw__line *line,
                      const char **why)
{
    const struct tdw__pending *const pending = &s->im.threads[thread].pending;
    const size_t bytes = line->name.bytes;

    if (!pending->text || pending->bytes <= bytes || pending->text[bytes] != '(' ||
        memcmp(pending->text, line->name.at, bytes) != 0) {
        *why = "the thread is not in that call";
        return -EINVAL;
    }
    return finish(s, thread, line->text, line->at_ns - s->im.first_ns, why);
}

/* A signal's delivery becomes a call of its own. */
static void on_signal(struct stream *s, uint32_t thread, const struct tdw__line *line)
{
    struct tdw__import *const im = &s->im;
    struct tdw__parsed *const p = &im->parsed;
    const struct tdw__call_text text = {.name = {"signal", 6}, .result = {"", 0}, .note = {"", 0}};
    const uint64_t at_ns = line->at_ns - im->first_ns;
    bool bad = false;

    tdw__parse(p, &text, false);
    p->call.args = 2;
    p->call.arg[0] = tdw__signal_number(line->name);
    if (p->call.arg[0] == 0)
        p->call.arg[0] = tdw__number(tdw__member(line->text, "si_signo"), &bad);
    p->call.arg[1] = tdw__number(tdw__member(line->text, "si_pid"), &bad);
    tdw__call_whole(im, thread, at_ns, at_ns);
}

/* A thread ended; the call that it was in has no result. */
static void on_end(struct stream *s, uint32_t thread, const struct tdw__line *line)
{
    struct tdw__import *const im = &s->im;
    const uint64_t at_ns = line->at_ns - im->first_ns;
    const char *why;

    if (im->threads[thread].pending.text)
        finish(s, thread, (struct tdw__span){"", 0}, at_ns, &why);
    tdw__edges_thread_end(im, thread);
    tdw__task_ended(im, thread, line->status, at_ns);
}

static int on_line(struct stream *s, const char *bytes, size_t length, const char **why)
{
    struct tdw__import *const im = &s->im;
    struct tdw__line line;
    int64_t thread;

    if (tdw__line_lex(bytes, length, &line, why))
        return -EINVAL;
    if (line.kind == TDW__LINE_NOTE)
        return 0;
    if (!im->started) {
        im->started = true;
        im->first_ns = line.at_ns;
    }
    if (line.at_ns < im->first_ns) {
        *why = "its time is before the first line's";
        return -EINVAL;
    }
    thread = tdw__task_of(im, line.tid, line.at_ns - im->first_ns);
    if (thread < 0)
        return im->error;
    switch (line.kind) {
    case TDW__LINE_CALL:
        return on_call(s, (uint32_t)thread, &line, why);
    case TDW__LINE_UNFINISHED:
        return on_unfinished(s, (uint32_t)thread, &line, why);
    case TDW__LINE_RESUMED:
        return on_resumed(s, (uint32_t)thread, &line, why);
    case TDW__LINE_SIGNAL:
        on_signal(s, (uint32_t)thread, &line);
        return 0;
    case TDW__LINE_EXITED:
        on_end(s, (uint32_t)thread, &line);
        return 0;
    case TDW__LINE_SUPERSEDED:
        tdw__task_superseded(im, (uint32_t)thread, (uint32_t)line.status,
                             line.at_ns - im->first_ns);
        return 0;
    case TDW__LINE_NOTE:
        return 0;
    }
    return 0;
}

/* ── The stream ──────────────────────────────────────────────────────────────────────────────────
 */

static void complain(struct stream *s, const char *why)
{
    struct tdw__import_report *const report = s->im.report;

    if (report->malformed < sizeof report->first_malformed / sizeof report->first_malformed[0])
        report->first_malformed[report->malformed] = s->im.lines;
    report->malformed++;
    if (s->notes && report->malformed <= 20)
        fprintf(s->notes, "line %llu: %s\n", (unsigned long long)s->im.lines, why);
    else if (s->notes && report->malformed == 21)
        fprintf(s->notes, "further malformed lines are only counted\n");
}

/* One line into the buffer; its length, 0 at the end, or -EMSGSIZE for one that is too long. */
static ssize_t line_read(struct stream *s, FILE *in)
{
    size_t bytes = 0;
    int c;

    while ((c = getc_unlocked(in)) != EOF) {
        if (bytes < sizeof s->line)
            s->line[bytes] = (char)c;
        bytes++;
        if (c == '\n')
            break;
    }
    return bytes > sizeof s->line ? -EMSGSIZE : (ssize_t)bytes;
}

static void lines_read(struct stream *s, FILE *in)
{
    ssize_t bytes;

    while (!s->im.error && (bytes = line_read(s, in)) != 0) {
        const char *why = "it is longer than a line may be";

        s->im.lines++;
        if (bytes < 0 || (on_line(s, s->line, (size_t)bytes, &why) == -EINVAL && !s->im.error))
            complain(s, why);
    }
    if (ferror(in) && !s->im.error)
        s->im.error = errno ? -errno : -EIO;
}

/* Calls that are still running when the recording stops. */
static void close_pending(struct stream *s)
{
    const char *why;

    for (uint32_t i = 0; i < s->im.threads_count && !s->im.error; i++) {
        if (s->im.threads[i].pending.text)
            finish(s, i, (struct tdw__span){"", 0}, s->im.last_ns, &why);
    }
}

int tdw__import_stream(FILE *in, int out_fd, FILE *notes, struct tdw__import_report *report)
{
    struct stream *const s = calloc(1, sizeof *s);
    int error;

    *report = (struct tdw__import_report){0};
    if (!s)
        return -ENOMEM;
    s->notes = notes;
    tdw__import_init(&s->im, report);
    lines_read(s, in);
    close_pending(s);
    error = tdw__import_write(&s->im, "strace", out_fd);
    tdw__import_fini(&s->im);
    free(s);
    return error;
}
