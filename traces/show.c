/* SPDX-License-Identifier: MIT */
/*
 * `tdw show`: a trace, one line an event.
 *
 *          time           actor             event     op          fields                  source
 *     1.000000250  server/main#0/conn#1  deliver   READ #4     res=512                 echo.c:81
 * await
 *
 * Fields that an event's kind does not use are left out, as are those that are 0. Actors are named
 * by the spawn events and actor records before them; one without a name is its number. Calls of a
 * recording look much like the recorder's own lines, with their place, thread and edges.
 *
 * Filters are applied before anything is formatted. Memory: an entry for each actor with a name.
 * Never holds the file. Called by the command line.
 */
#include <tidewheel/choose.h>
#include <tidewheel/sys.h>
#include <traces/import.h>
#include <traces/traces.h>
#include <errno.h>
#include <stdarg.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ACTOR_BYTES = 32 };

struct shown {
    FILE *out;
    const struct tdw__show *filter;
    struct tdw__map actors; /* index of the path, by actor */
    char **paths;
    size_t paths_count, paths_room;
    uint64_t passed, printed;
};

/* ── Actors ──────────────────────────────────────────────────────────────────────────────────────
 */

static uint64_t actor_key(uint64_t actor)
{
    return actor ? actor : 1;
}

static int actor_learn(struct shown *s, uint64_t actor, const char *path)
{
    char *copy;
    int error;

    if (!path || tdw__map_get(&s->actors, actor_key(actor)))
        return 0;
    error = tdw__grow(&s->paths, &s->paths_room, s->paths_count, sizeof *s->paths);
    copy = error ? NULL : strdup(path);
    if (!copy)
        return -ENOMEM;
    s->paths[s->paths_count] = copy;
    return tdw__map_put(&s->actors, actor_key(actor), (int64_t)s->paths_count++);
}

/* The path of an actor, or its number written to `room`. */
static const char *actor_name(const struct shown *s, uint64_t actor, char room[ACTOR_BYTES])
{
    const int64_t *const index = tdw__map_get(&s->actors, actor_key(actor));

    if (index)
        return s->paths[*index];
    snprintf(room, ACTOR_BYTES, actor ? "%016" PRIx64 : "-", actor);
    return room;
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────────
 */

/* What `opcode` means in an event of this kind. */
static const char *op_name(const struct tdw_event *e)
{
    switch (e->kind) {
    case TDW_E_SUBMIT:
    case TDW_E_EFFECT:
    case TDW_E_COMPLETE:
    case TDW_E_DELIVER:
    case TDW_E_ACQUIRE:
    case TDW_E_FAULT:
        return tdw_opcode(e->opcode)->name;
    case TDW_E_SYS:
        return tdw_sys_name(e->opcode);
    case TDW_E_CHOICE:
        return tdw_choice_name(e->opcode);
    }
    return "";
}

static bool event_passes(const struct shown *s, const struct tdw_event *e)
{
    const struct tdw__show *const f = s->filter;
    char room[ACTOR_BYTES];

    if (e->now_ns < f->from_ns || (f->to_ns && e->now_ns > f->to_ns))
        return false;
    if (f->kinds && (e->kind > 63 || !(f->kinds >> e->kind & 1)))
        return false;
    if (!f->kinds && e->kind == TDW_E_CHOICE && !f->choices)
        return false;
    if (f->op && strcasecmp(f->op, op_name(e)) != 0)
        return false;
    return !f->actor || strstr(actor_name(s, e->actor, room), f->actor);
}

static void result_print(FILE *out, int64_t result)
{
    const char *const name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;

    if (name)
        fprintf(out, " res=-%s", name);
    else
        fprintf(out, " res=%" PRId64, result);
}

static void fields_print(const struct shown *s, const struct tdw_event *e)
{
    FILE *const out = s->out;
    char room[ACTOR_BYTES];

    if (e->kind == TDW_E_CHOICE) {
        fprintf(out, " %" PRIu64 " of %" PRIu64 " key=%016" PRIx64, e->len, e->off, e->data);
        return;
    }
    if (e->kind == TDW_E_SPAWN) {
        fprintf(out, " by %s", actor_name(s, e->data, room));
        return;
    }
    if (e->fd > 0 || e->fd < -1 || (e->fd == 0 && e->kind == TDW_E_SUBMIT))
        fprintf(out, " fd=%d", e->fd);
    if (e->kind == TDW_E_END || e->kind == TDW_E_MARK)
        fprintf(out, " value=%" PRId64, (int64_t)e->off);
    else if (e->off == UINT64_MAX)
        fprintf(out, " off=-1");
    else if (e->off)
        fprintf(out, " off=%" PRIu64, e->off);
    if (e->len)
        fprintf(out, " len=%" PRIu64, e->len);
    if (e->flags)
        fprintf(out, " flags=%#x", e->flags);
    if (e->kind == TDW_E_COMPLETE || e->kind == TDW_E_DELIVER || e->kind == TDW_E_EFFECT ||
        e->kind == TDW_E_SYS || e->res)
        result_print(out, e->res);
    if (e->data && e->kind != TDW_E_SUBMIT)
        fprintf(out, " data=%016" PRIx64, e->data);
}

/* A text on one line: what would break it is written as an escape. */
static void line_print(FILE *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
}

static void event_print(const struct shown *s, const struct tdw_event *e)
{
    const char *const name = tdw_event_name(e->kind), *const op = op_name(e);
    char room[ACTOR_BYTES], number[32];

    fprintf(s->out, "%" PRIu64 ".%09" PRIu64 "  %-24s ", e->now_ns / 1000000000,
            e->now_ns % 1000000000, actor_name(s, e->actor, room));
    snprintf(number, sizeof number, "%s%s#%u", op, op[0] ? " " : "", e->ordinal);
    if (name[0] == '?')
        fprintf(s->out, "kind-%-4u %-16s", e->kind, number);
    else
        fprintf(s->out, "%-9s %-16s", name, op[0] ? number : "");
    fields_print(s, e);
    if (e->name) {
        fputs("  \"", s->out);
        line_print(s->out, e->name);
        fputc('"', s->out);
    }
    if (e->site && e->site->file)
        fprintf(s->out, "  %s:%u %s %s", e->site->file, e->site->line,
                e->site->function ? e->site->function : "", e->site->what ? e->site->what : "");
    fputc('\n', s->out);
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

struct text {
    char *at;
    size_t room, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(t->at + (t->used < t->room ? t->used : t->room),
                      t->used < t->room ? t->room - t->used : 0, format, args);
    va_end(args);
    t->used += bytes > 0 ? (size_t)bytes : 0;
}

static void args_add(struct text *t, const struct tdw_call *c)
{
    const struct tdw__syscall *const row = tdw__syscall(c->name, strlen(c->name));
    const char *comma = "";
    int fds = 0, paths = 0;

    for (size_t i = 0; i < c->args && i < 6; i++) {
        const char letter = i < strlen(row->shape) ? row->shape[i] : 'n';

        if (letter == 'x')
            continue;
        add(t, "%s", comma);
        comma = ", ";
        if (letter == 'p' || letter == 't')
            add(t, "\"%s\"", paths < 2 && c->path[paths] ? c->path[paths] : "");
        else if (letter == 'a')
            add(t, "%s", c->address ? c->address : "NULL");
        else
            add(t, c->arg[i] > 4095 ? "%#" PRIx64 : "%" PRId64, c->arg[i]);
        paths += letter == 'p' || letter == 't';
        if (letter == 'f' && fds < 2) {
            if (c->fd_path[fds])
                add(t, "<%s>", c->fd_path[fds]);
            fds++;
        }
    }
}

static void extras_add(struct text *t, const struct tdw_call *c)
{
    if (c->bits & TDW_CALL_LOCK)
        add(t, " {type=%d whence=%d start=%" PRId64 " len=%" PRId64 " pid=%d}", c->lock.type,
            c->lock.whence, c->lock.start, c->lock.length, c->lock.pid);
    if (c->bits & TDW_CALL_STAT)
        add(t, " {mode=0%o size=%" PRIu64 "}", c->stat.mode, c->stat.size);
    if (c->bits & TDW_CALL_NAMES)
        add(t, " {names=%u}", c->names.count);
    for (uint32_t i = 0; i < c->items && i < 8; i++)
        add(t, "%s%" PRId64 ":%" PRIx64, i ? " " : " [", c->item[i].a, c->item[i].b);
    if (c->items)
        add(t, c->items > 8 ? " …]" : "]");
}

size_t tdw__call_text(const struct tdw_call *c, char *text, size_t bytes)
{
    struct text t = {text, bytes, 0};
    const char *name;

    add(&t, "%s(", c->name);
    args_add(&t, c);
    add(&t, ")");
    extras_add(&t, c);
    if (c->bits & TDW_CALL_NO_RESULT) {
        add(&t, " = ?");
    } else if (c->bits & TDW_CALL_RESTART) {
        add(&t, " = ? (interrupted)");
    } else {
        name = c->result < 0 && c->result > -4096 ? strerrorname_np((int)-c->result) : NULL;
        if (name)
            add(&t, " = -%s", name);
        else
            add(&t, c->result > 4095 ? " = %#" PRIx64 : " = %" PRId64, c->result);
        if (c->result_path)
            add(&t, "<%s>", c->result_path);
    }
    return t.used;
}

static bool call_passes(const struct tdw__show *f, const struct tdw_call *c)
{
    const char *const paths[] = {c->path[0], c->path[1], c->fd_path[0], c->fd_path[1],
                                 c->result_path};
    bool found = !f->path;

    if (c->end_ns < f->from_ns || (f->to_ns && c->start_ns > f->to_ns))
        return false;
    if ((f->rows && !(f->rows >> c->row & 1)) || (f->thread && c->thread + 1 != f->thread))
        return false;
    if (f->op && strcmp(f->op, c->name) != 0)
        return false;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && !found; i++)
        found = paths[i] && strstr(paths[i], f->path);
    return found;
}

static void call_print(const struct shown *s, const struct tdw_call *c)
{
    char text[4 * TDW_TRACE_PATH_BYTES];

    tdw__call_text(c, text, sizeof text);
    fprintf(s->out, "%-7" PRIu64 " %" PRIu64 ".%09" PRIu64 " t%u#%u  ", c->index,
            c->start_ns / 1000000000, c->start_ns % 1000000000, c->thread, c->ordinal);
    line_print(s->out, text);
    fprintf(s->out, " <%" PRIu64 " ns>  %s/%s", c->end_ns - c->start_ns, tdw_row_name(c->row),
            tdw_how_name(c->how));
    if (c->bits & TDW_CALL_STARTUP)
        fputs(" start-up", s->out);
    for (int i = 0; i < c->edges; i++)
        fprintf(s->out, "  after %" PRIu64 " t%u#%u (%s)", c->edge[i].call, c->edge[i].thread,
                c->edge[i].ordinal, tdw_edge_name(c->edge[i].kind));
    fputc('\n', s->out);
}

/* ── The file ────────────────────────────────────────────────────────────────────────────────────
 */

static void setup_print(const struct shown *s, const struct tdw_trace_record *r)
{
    if (r->type == TDW_TRACE_THREAD)
        fprintf(s->out, "thread t%u process %u tid %u calls %u %s\n", r->thread.index,
                r->thread.process, r->thread.tid, r->thread.calls,
                r->thread.program ? r->thread.program : "");
    else
        fprintf(s->out, "%s %s%s%s size %" PRIu64 "%s\n", tdw_image_name(r->image.kind),
                r->image.path, r->image.target ? " -> " : "",
                r->image.target ? r->image.target : "", r->image.size,
                r->image.kind == TDW_IMAGE_FILE && !r->image.exact ? " at least" : "");
}

/* Of what passes the filters: behind `skip`, and within `count`? */
static bool in_window(struct shown *s)
{
    if (s->passed++ < s->filter->skip)
        return false;
    s->printed++;
    return !s->filter->count || s->printed <= s->filter->count;
}

/* What is not in the file is shown whatever is asked for. */
static void gap_print(const struct shown *s, const struct tdw_trace_gap *gap)
{
    if (gap->thread == UINT32_MAX)
        fprintf(s->out,
                "gap    %" PRIu64 " calls and %" PRIu64 " other events lost, nobody knows where\n",
                gap->calls, gap->others);
    else
        fprintf(s->out,
                "gap    %" PRIu64 " calls of thread %" PRIu32 " lost before its call %" PRIu32 "\n",
                gap->calls, gap->thread, gap->ordinal);
}

static int record_show(struct shown *s, const struct tdw_trace_record *r)
{
    switch (r->type) {
    case TDW_TRACE_EVENT:
        if (r->event.kind == TDW_E_SPAWN && actor_learn(s, r->event.actor, r->event.name))
            return -ENOMEM;
        if (event_passes(s, &r->event) && in_window(s))
            event_print(s, &r->event);
        return 0;
    case TDW_TRACE_ACTOR:
        return actor_learn(s, r->actor.actor, r->actor.path);
    case TDW_TRACE_THREAD:
    case TDW_TRACE_IMAGE:
        if (s->filter->setup)
            setup_print(s, r);
        return 0;
    case TDW_TRACE_CALL:
        if (call_passes(s->filter, &r->call) && in_window(s))
            call_print(s, &r->call);
        return 0;
    case TDW_TRACE_GAP:
        gap_print(s, &r->gap);
        return 0;
    case TDW_TRACE_META:
    case TDW_TRACE_END:
        return 0;
    }
    return 0;
}

int tdw__trace_show(const char *path, FILE *out, const struct tdw__show *show)
{
    struct shown s = {.out = out, .filter = show};
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    struct tdw_trace_error error;
    int got = tdw_trace_open(&reader, path, &error), failed = 0;

    if (got) {
        fprintf(stderr, "%s: byte %" PRIu64 ": %s\n", path, error.offset, error.text);
        return got;
    }
    while (!failed && (got = tdw_trace_next(reader, &record)) == 1) {
        failed = record_show(&s, &record);
        if (show->count && s.printed >= show->count) {
            got = 0;
            break;
        }
    }
    if (got < 0)
        fprintf(stderr, "%s: byte %" PRIu64 ": %s\n", path, tdw_trace_error(reader)->offset,
                tdw_trace_error(reader)->text);
    for (size_t i = 0; i < s.paths_count; i++)
        free(s.paths[i]);
    free(s.paths);
    tdw__map_fini(&s.actors);
    tdw_trace_reader_close(reader);
    return failed ? failed : got;
}
