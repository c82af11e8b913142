/* SPDX-License-Identifier: MIT */
/*
 * Calls of a recording, whoever recorded them: from the start of each to the file.
 *
 * A recorder's own importer says which thread a call is of, when it starts, and, taken apart, what
 * it was when it ends. Here a call is numbered when it starts; when it ends its paths are made
 * absolute, its class is given by the table, images, descriptors and edges are brought up to date,
 * and it is spooled. At the end threads, images and calls are written.
 *
 * Invariants: calls have the order of their starts; each thread's calls are numbered without gap;
 * between the start and the end of a call, other threads' calls may start and end. In the file are
 * only whole calls: those that never ended have no result.
 *
 * Cost: about 1 µs a call. Called by the importer of each recorder.
 */
#define XXH_INLINE_ALL
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ── A call, taken apart ─────────────────────────────────────────────────────────────────────────
 */

void tdw__parsed_init(struct tdw__parsed *p, const struct tdw__syscall *syscall)
{
    memset(p, 0, offsetof(struct tdw__parsed, items));
    p->arena.used = 0;
    p->arena.cut = false;
    p->dir_fd[0] = p->dir_fd[1] = -100;
    p->syscall = syscall;
    p->call.name = syscall->name;
    p->call.item = p->items;
}

void tdw__item_add(struct tdw__parsed *p, int64_t a, uint64_t b)
{
    if (p->call.items == TDW_TRACE_ITEMS_MAX) {
        p->call.bits |= TDW_CALL_CUT;
        return;
    }
    p->items[p->call.items++] = (struct tdw_call_item){a, b};
}

void tdw__entries_hash(struct tdw__parsed *p)
{
    struct tdw__span rest = p->entries;
    struct tdw__entry entry;

    p->call.bits |= TDW_CALL_NAMES;
    while (p->entry_next(&p->arena, &rest, &entry)) {
        p->call.names.hash += entry.name ? XXH3_64bits(entry.name, strlen(entry.name)) : 0;
        p->call.names.count++;
    }
}

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
static void complete(struct tdw__import *im, uint32_t slot)
{
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
    im->report->shared_maps += shares_memory(p);
    if (call->end_ns > im->last_ns)
        im->last_ns = call->end_ns;
    count(im->report, call);
    if (!im->error)
        im->error = slot == UINT32_MAX ? tdw__spool_put(&im->spool, call)
                                       : tdw__spool_fill(&im->spool, slot, call);
}

void tdw__call_whole(struct tdw__import *im, uint32_t thread, uint64_t start_ns, uint64_t end_ns)
{
    struct tdw__ref ref;

    number(im, thread, &ref);
    identify(im, &im->parsed.call, ref, start_ns, im->lines);
    im->parsed.call.end_ns = end_ns;
    tdw__classify(&im->parsed.call, im->parsed.syscall);
    tdw__edges_start(im, &im->parsed);
    complete(im, UINT32_MAX);
}

void tdw__call_started(struct tdw__import *im, uint32_t thread, uint64_t start_ns)
{
    const struct tdw__parsed *const p = &im->parsed;
    struct tdw__pending *const pending = &im->threads[thread].pending;
    const int error = tdw__spool_reserve(&im->spool, &pending->slot);

    if (error)
        im->error = error;
    pending->started = true;
    pending->claimed = false;
    pending->start_ns = start_ns;
    pending->line = im->lines;
    pending->clones = p->syscall->track == TDW__T_CLONE;
    pending->clone_flags = pending->clones ? (uint64_t)p->call.arg[0] : 0;
    pending->child_tid = p->child_tid;
    number(im, thread, &pending->ref);
    identify(im, &im->parsed.call, pending->ref, start_ns, pending->line);
    tdw__classify(&im->parsed.call, p->syscall);
    tdw__edges_start(im, p);
}

void tdw__call_ended(struct tdw__import *im, uint32_t thread, uint64_t end_ns)
{
    const struct tdw__pending taken = im->threads[thread].pending;

    im->threads[thread].pending = (struct tdw__pending){0};
    identify(im, &im->parsed.call, taken.ref, taken.start_ns, taken.line);
    im->parsed.call.end_ns = end_ns;
    complete(im, taken.slot);
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────────
 */

void tdw__import_init(struct tdw__import *im, struct tdw__import_report *report)
{
    im->report = report;
    im->error = tdw__spool_init(&im->spool);
}

void tdw__gap(struct tdw__import *im, uint32_t thread, uint64_t calls, uint64_t now_ns)
{
    const struct tdw__thread *const t = &im->threads[thread];

    if (calls == 0 || im->error)
        return;
    im->error = tdw__grow(&im->gaps, &im->gaps_room, im->gaps_count, sizeof *im->gaps);
    if (!im->error)
        im->gaps[im->gaps_count++] = (struct tdw_trace_gap){
            .thread = thread, .ordinal = t->ordinal, .calls = calls, .before_ns = now_ns};
}

/* Losses by thread; then those of which no thread is known. */
static int gaps_write(const struct tdw__import *im, struct tdw_trace_writer *writer)
{
    struct tdw_trace_gap rest = {
        .thread = UINT32_MAX, .calls = im->lost_calls, .others = im->lost_others};
    int error = 0;

    for (size_t i = 0; i < im->gaps_count && !error; i++) {
        rest.calls -= im->gaps[i].calls < rest.calls ? im->gaps[i].calls : rest.calls;
        error = tdw_trace_gap(writer, &im->gaps[i]);
    }
    if (!error && (rest.calls || rest.others))
        error = tdw_trace_gap(writer, &rest);
    return error;
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

static int file_write(struct tdw__import *im, const char *recorder, int out_fd)
{
    const struct tdw_trace_meta source = {"source", recorder};
    const char *program = im->threads_count ? im->threads[0].program : NULL;
    struct tdw_trace_writer *writer;
    int error = tdw_trace_create_fd(&writer, out_fd, TDW_TRACE_RECORDING, &source, 1);

    if (error)
        return error;
    if (program)
        error = tdw_trace_meta(writer, "program", program);
    if (!error)
        error = meta_number(writer, "began_unix_ns", im->first_ns + im->unix_ns);
    if (!error)
        error = meta_number(writer, "lines", im->lines);
    if (!error)
        error = meta_number(writer, "malformed_lines", im->report->malformed);
    if (!error)
        error = meta_number(writer, "shared_writable_mappings", im->report->shared_maps);
    if (!error && im->counts_losses)
        error = meta_number(writer, "lost_calls", im->lost_calls);
    if (!error)
        error = threads_write(im, writer);
    if (!error)
        error = tdw__images_write(im, writer);
    if (!error)
        error = gaps_write(im, writer);
    if (!error)
        error = tdw__spool_write(&im->spool, writer);
    if (error) {
        tdw_trace_abandon(writer);
        return error;
    }
    return tdw_trace_close(writer, NULL);
}

int tdw__import_write(struct tdw__import *im, const char *recorder, int out_fd)
{
    struct tdw__import_report *const report = im->report;

    report->lines = im->lines;
    report->threads = im->threads_count;
    report->processes = im->processes_count;
    report->lost_calls = im->lost_calls;
    report->lost_others = im->lost_others;
    if (!im->error && report->calls == 0)
        im->error = -EINVAL;
    if (!im->error)
        im->error = file_write(im, recorder, out_fd);
    report->images = im->images_written;
    return im->error;
}

void tdw__import_fini(struct tdw__import *im)
{
    tdw__spool_fini(&im->spool);
    tdw__images_fini(im);
    tdw__edges_fini(im);
    tdw__tasks_fini(im);
    free(im->gaps);
}
