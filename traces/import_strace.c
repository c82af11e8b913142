/* SPDX-License-Identifier: MIT */
/*
 * strace's output becomes a recording.
 *
 *     strace -f -yy -v -s 0 -X raw --absolute-timestamps=format:unix,precision:ns
 * --syscall-times=ns
 *
 * Line by line: what it is, whose it is; a call is numbered when it starts; when it ends it is
 * taken apart, its paths made absolute, its class given by the table, images, descriptors and edges
 * brought up to date, and it is spooled. A line that cannot be read is told with its number and
 * skipped: a recording of a million lines is not lost for one. At the end threads, images and calls
 * are written.
 *
 * Invariants: calls have the order of their starts; each thread's calls are numbered without gap; a
 * call that a signal or another thread interrupted is one call. It reads its input once, so a pipe
 * will do. It never believes a length in the input, and holds one line at a time.
 *
 * Cost: about 3 µs a line. Called by the command line and by tests.
 */
#include <traces/import.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stream {
    struct tdw__import im;
    struct tdw__import_report *report;
    FILE *notes;
    char line[TDW__LINE_BYTES];
};

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

/* Whose call it is; its numbers, when it starts. */
static void number(struct tdw__import *im, uint32_t thread, struct tdw__ref *ref)
{
    struct tdw__thread *const t = &im->threads[thread];

    *ref = (struct tdw__ref){im->calls++, thread, t->ordinal++};
    t->last = *ref;
    im->processes[t->row.process].last = *ref;
}

static void identify(struct tdw__import *im, struct tdw_call *call, struct tdw__ref ref,
                     uint64_t start_ns, uint64_t line)
{
    call->index = ref.call;
    call->thread = ref.thread;
    call->ordinal = ref.ordinal;
    call->process = im->threads[ref.thread].row.process;
    call->start_ns = call->end_ns = start_ns;
    call->line = line;
}

static void count(struct tdw__import_report *report, const struct tdw_call *call)
{
    const uint64_t ns = call->end_ns - call->start_ns;
    size_t i = 0;

    report->calls++;
    report->by_row[call->row]++;
    report->ns_by_row[call->row] += ns;
    report->by_compare[call->compare]++;
    report->timing += tdw__is_timing(call);
    report->total_ns += ns;
    report->covered_ns += call->how == TDW_HOW_UNSUPPORTED ? 0 : ns;
    report->served += call->how == TDW_HOW_SERVED;
    report->startup += (call->bits & TDW_CALL_STARTUP) != 0;
    report->no_result += (call->bits & TDW_CALL_NO_RESULT) != 0;
    report->words_unknown += (call->bits & TDW_CALL_SYMBOL) != 0;
    report->lists_cut += (call->bits & TDW_CALL_CUT) != 0;
    report->edges += call->edges;
    if (call->how != TDW_HOW_UNSUPPORTED)
        return;
    while (i < report->unsupported_names && strcmp(report->unsupported[i].name, call->name) != 0)
        i++;
    if (i == TDW__UNSUPPORTED_MAX)
        return;
    if (i == report->unsupported_names)
        snprintf(report->unsupported[report->unsupported_names++].name,
                 sizeof report->unsupported[i].name, "%s", call->name);
    report->unsupported[i].count++;
}

/* A shared, writable mapping of a file: stores through it are not in the recording. */
static bool shares_memory(const struct tdw__parsed *p)
{
    return p->syscall->track == TDW__T_MMAP && p->call.fd_path[0] && p->call.arg[2] & 2 &&
           (p->call.arg[3] & 3) == 1;
}

/* What the end of a call teaches, and its way into the spool. `slot` is UINT32_MAX if it was not
 * interrupted. */
static void complete(struct stream *s, uint32_t slot)
{
    struct tdw__import *const im = &s->im;
    struct tdw__parsed *const p = &im->parsed;
    struct tdw_call *const call = &p->call;

    tdw__paths_resolve(im, p);
    tdw__classify(call, p->syscall);
    if (tdw__task_startup(&im->processes[call->process], call, p->syscall))
        call->bits |= TDW_CALL_STARTUP;
    tdw__images_track(im, p);
    tdw__fds_track(im, p);
    tdw__chdir_track(im, p);
    tdw__edges_end(im, p);
    if (p->syscall->track == TDW__T_CLONE)
        tdw__task_cloned(im, call->thread, call, p->child_tid);
    if (p->syscall->track == TDW__T_EXEC && call->result == 0 && !(call->bits & TDW_CALL_NO_RESULT))
        tdw__task_exec(im, call->thread, call->path[0]);
    if (p->syscall->track == TDW__T_TID)
        im->threads[call->thread].child_tid = (uint64_t)call->arg[0];
    s->report->shared_maps += shares_memory(p);
    if (call->end_ns > im->last_ns)
        im->last_ns = call->end_ns;
    count(s->report, call);
    if (!im->error)
        im->error = slot == UINT32_MAX ? tdw__spool_put(&im->spool, call)
                                       : tdw__spool_fill(&im->spool, slot, call);
}

/* A whole call on one line. */
static int on_call(struct stream *s, uint32_t thread, const struct tdw__line *line,
                   const char **why)
{
    struct tdw__import *const im = &s->im;
    struct tdw__call_text text;
    struct tdw__ref ref;
    const int error = tdw__call_lex(line->text.at, line->text.bytes, true, &text, why);

    if (error)
        return error;
    number(im, thread, &ref);
    tdw__parse(&im->parsed, &text, true);
    identify(im, &im->parsed.call, ref, line->at_ns - im->first_ns, im->lines);
    im->parsed.call.end_ns += text.has_duration ? text.duration_ns : 0;
    tdw__classify(&im->parsed.call, im->parsed.syscall);
    tdw__edges_start(im, &im->parsed);
    complete(s, UINT32_MAX);
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
    pending->start_ns = line->at_ns - im->first_ns;
    pending->line = im->lines;
    pending->claimed = false;
    number(im, thread, &pending->ref);
    im->error = tdw__spool_reserve(&im->spool, &pending->slot);
    tdw__parse(&im->parsed, &text, false);
    identify(im, &im->parsed.call, pending->ref, pending->start_ns, pending->line);
    tdw__classify(&im->parsed.call, im->parsed.syscall);
    tdw__edges_start(im, &im->parsed);
    return 0;
}

/* Take the pending call apart once more, now with `rest` (or without an end), and complete it. */
static int finish(struct stream *s, uint32_t thread, struct tdw__span rest, uint64_t at_ns,
                  const char **why)
{
    struct tdw__import *const im = &s->im;
    struct tdw__pending *const pending = &im->threads[thread].pending;
    const bool whole = rest.bytes > 0;
    struct tdw__pending taken;
    struct tdw__call_text text;
    char *joined = realloc(pending->text, pending->bytes + rest.bytes + 1);

    if (!joined)
        return im->error = -ENOMEM;
    pending->text = joined;
    memcpy(joined + pending->bytes, rest.at, rest.bytes);
    if (tdw__call_lex(joined, pending->bytes + rest.bytes, whole, &text, why) && whole)
        return -EINVAL;
    taken = *pending;
    *pending = (struct tdw__pending){0};
    tdw__parse(&im->parsed, &text, whole);
    identify(im, &im->parsed.call, taken.ref, taken.start_ns, taken.line);
    if (!whole)
        im->parsed.call.bits |= TDW_CALL_NO_RESULT;
    im->parsed.call.end_ns = text.has_duration ? taken.start_ns + text.duration_ns : at_ns;
    complete(s, taken.slot);
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
    struct tdw__ref ref;
    bool bad = false;

    number(im, thread, &ref);
    tdw__parse(p, &text, false);
    identify(im, &p->call, ref, line->at_ns - im->first_ns, im->lines);
    p->call.args = 2;
    p->call.arg[0] = tdw__signal_number(line->name);
    if (p->call.arg[0] == 0)
        p->call.arg[0] = tdw__number(tdw__member(line->text, "si_signo"), &bad);
    p->call.arg[1] = tdw__number(tdw__member(line->text, "si_pid"), &bad);
    complete(s, UINT32_MAX);
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
    struct tdw__import_report *const report = s->report;

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

static int meta_number(struct tdw_trace_writer *writer, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return tdw_trace_meta(writer, key, text);
}

static int threads_write(struct tdw__import *im, struct tdw_trace_writer *writer)
{
    int error = 0;

    for (size_t i = 0; i < im->threads_count && !error; i++) {
        struct tdw__thread *const t = &im->threads[i];

        t->row.program = t->program;
        t->row.calls = t->ordinal;
        if (!t->row.ended)
            t->row.end_ns = im->last_ns;
        error = tdw_trace_thread(writer, &t->row);
    }
    return error;
}

static int file_write(struct stream *s, int out_fd)
{
    struct tdw__import *const im = &s->im;
    const struct tdw_trace_meta source = {"source", "strace"};
    const char *program = im->threads_count ? im->threads[0].program : NULL;
    struct tdw_trace_writer *writer;
    int error = tdw_trace_create_fd(&writer, out_fd, TDW_TRACE_RECORDING, &source, 1), closed;

    if (error)
        return error;
    if (program)
        error = tdw_trace_meta(writer, "program", program);
    if (!error)
        error = meta_number(writer, "began_unix_ns", im->first_ns);
    if (!error)
        error = meta_number(writer, "lines", im->lines);
    if (!error)
        error = meta_number(writer, "malformed_lines", s->report->malformed);
    if (!error)
        error = meta_number(writer, "shared_writable_mappings", s->report->shared_maps);
    if (!error)
        error = threads_write(im, writer);
    if (!error)
        error = tdw__images_write(im, writer);
    if (!error)
        error = tdw__spool_write(&im->spool, writer);
    if (error) {
        tdw_trace_abandon(writer);
        return error;
    }
    closed = tdw_trace_close(writer, NULL);
    return closed;
}

int tdw__import_stream(FILE *in, int out_fd, FILE *notes, struct tdw__import_report *report)
{
    struct stream *const s = calloc(1, sizeof *s);
    int error;

    *report = (struct tdw__import_report){0};
    if (!s)
        return -ENOMEM;
    s->report = report;
    s->notes = notes;
    s->im.error = tdw__spool_init(&s->im.spool);
    lines_read(s, in);
    close_pending(s);
    report->lines = s->im.lines;
    report->threads = s->im.threads_count;
    report->processes = s->im.processes_count;
    if (!s->im.error && report->calls == 0)
        s->im.error = -EINVAL;
    if (!s->im.error)
        s->im.error = file_write(s, out_fd);
    report->images = s->im.images_written;
    error = s->im.error;
    tdw__spool_fini(&s->im.spool);
    tdw__images_fini(&s->im);
    tdw__edges_fini(&s->im);
    tdw__tasks_fini(&s->im);
    free(s);
    return error;
}
