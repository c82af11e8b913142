/* SPDX-License-Identifier: MIT */
/*
 * `tdw stat`: what is in a trace, in numbers.
 *
 * The file is read once. For a run: events by kind and opcode, and for each opcode the time from
 * submit to deliver. For a recording: calls and their durations by row of the replay table, what of
 * them is compared, and the unsupported ones by name. For both: metadata, size, whether it is
 * complete, and the digest. A damaged file gives the numbers of what is whole, and says so.
 *
 * Memory: an entry for each op in flight (its submit waits for its delivery), 8 KiB for each
 * power of two of each duration met. Never holds the file. Called by the command line.
 */
#include <tidewheel/choose.h>
#include <traces/histogram.h>
#include <traces/import.h>
#include <traces/traces.h>
#include <inttypes.h>
#include <string.h>

enum { METAS_MAX = 256 };

struct meta {
    char *key, *value;
};

/* Submits that wait for their delivery: open addressing by (actor, ordinal). */
struct flight {
    uint64_t actor, submit_ns;
    uint32_t ordinal;
    bool used;
};

struct numbers {
    struct meta meta[METAS_MAX];
    size_t metas;
    uint64_t kinds[256], opcodes[256], choices[TDW_CHOOSE_KINDS + 1];
    struct tdw__histogram by_op[256], by_row[TDW_ROWS];
    uint64_t rows[TDW_ROWS], compares[16], hows[16];
    uint64_t startup, timing, calls, threads, images, actors, lost_calls, lost_others;
    uint64_t row_ns[TDW_ROWS];
    struct {
        char name[32];
        uint64_t count;
    } unsupported[TDW__UNSUPPORTED_MAX];
    size_t unsupported_names;
    struct flight *flight;
    size_t flying, flight_room;
    uint64_t last_ns, events, file_bytes, raw_bytes;
    struct tdw_digest digest;
    bool complete, has_digest;
    int error; /* of ours: -ENOMEM */
};

/* ── Gathering ───────────────────────────────────────────────────────────────────────────────────
 */

static size_t flight_slot(const struct numbers *s, uint64_t actor, uint32_t ordinal)
{
    return ((actor ^ ordinal) * 0x9e3779b97f4a7c15u >> 20) & (s->flight_room - 1);
}

static struct flight *flight_find(const struct numbers *s, uint64_t actor, uint32_t ordinal)
{
    size_t slot = flight_slot(s, actor, ordinal);

    while (s->flight[slot].used &&
           (s->flight[slot].actor != actor || s->flight[slot].ordinal != ordinal))
        slot = (slot + 1) & (s->flight_room - 1);
    return &s->flight[slot];
}

static int flight_grow(struct numbers *s)
{
    struct flight *const old = s->flight;
    const size_t room = s->flight_room;

    if (2 * (s->flying + 1) <= room)
        return 0;
    s->flight_room = room ? 2 * room : 1024;
    s->flight = calloc(s->flight_room, sizeof *s->flight);
    if (!s->flight) {
        s->flight = old;
        s->flight_room = room;
        return -ENOMEM;
    }
    for (size_t i = 0; i < room; i++) {
        if (old[i].used)
            *flight_find(s, old[i].actor, old[i].ordinal) = old[i];
    }
    free(old);
    return 0;
}

static void flight_put(struct numbers *s, const struct tdw_event *e)
{
    struct flight *flight;

    if (flight_grow(s)) {
        s->error = -ENOMEM;
        return;
    }
    flight = flight_find(s, e->actor, e->ordinal);
    s->flying += !flight->used;
    *flight = (struct flight){e->actor, e->now_ns, e->ordinal, true};
}

/* Take an entry out and close the gap, so that no search breaks off at it. */
static void flight_remove(struct numbers *s, struct flight *gone)
{
    const size_t mask = s->flight_room - 1;
    size_t gap = (size_t)(gone - s->flight), at = gap;

    s->flying--;
    for (;;) {
        size_t home;

        s->flight[gap].used = false;
        do {
            at = (at + 1) & mask;
            if (!s->flight[at].used)
                return;
            home = flight_slot(s, s->flight[at].actor, s->flight[at].ordinal);
        } while (((at - home) & mask) < ((at - gap) & mask));
        s->flight[gap] = s->flight[at];
        gap = at;
    }
}

static void on_deliver(struct numbers *s, const struct tdw_event *e)
{
    struct flight *flight = s->flight_room ? flight_find(s, e->actor, e->ordinal) : NULL;

    if (!flight || !flight->used)
        return;
    if (tdw__histogram_add(&s->by_op[e->opcode], e->now_ns - flight->submit_ns))
        s->error = -ENOMEM;
    if (!(e->flags & IORING_CQE_F_MORE))
        flight_remove(s, flight);
}

static void on_event(struct numbers *s, const struct tdw_event *e)
{
    s->events++;
    s->kinds[e->kind]++;
    if (e->now_ns > s->last_ns)
        s->last_ns = e->now_ns;
    if (e->kind == TDW_E_SUBMIT) {
        s->opcodes[e->opcode]++;
        flight_put(s, e);
    } else if (e->kind == TDW_E_DELIVER) {
        on_deliver(s, e);
    } else if (e->kind == TDW_E_CHOICE) {
        s->choices[e->opcode < TDW_CHOOSE_KINDS ? e->opcode : TDW_CHOOSE_KINDS]++;
    }
}

static void on_unsupported(struct numbers *s, const char *name)
{
    size_t i = 0;

    while (i < s->unsupported_names && strcmp(s->unsupported[i].name, name) != 0)
        i++;
    if (i == TDW__UNSUPPORTED_MAX)
        return;
    if (i == s->unsupported_names)
        snprintf(s->unsupported[s->unsupported_names++].name, sizeof s->unsupported[i].name, "%s",
                 name);
    s->unsupported[i].count++;
}

static void on_call(struct numbers *s, const struct tdw_call *c)
{
    const uint64_t ns = c->end_ns - c->start_ns;

    s->calls++;
    s->rows[c->row]++;
    s->row_ns[c->row] += ns;
    s->compares[c->compare & 15]++;
    s->timing += tdw__is_timing(c);
    s->hows[c->how & 15]++;
    s->startup += (c->bits & TDW_CALL_STARTUP) != 0;
    if (c->end_ns > s->last_ns)
        s->last_ns = c->end_ns;
    if (tdw__histogram_add(&s->by_row[c->row], ns))
        s->error = -ENOMEM;
    if (c->row == TDW_ROW_UNSUPPORTED)
        on_unsupported(s, c->name);
}

static void on_meta(struct numbers *s, const struct tdw_trace_meta *meta)
{
    size_t i = 0;
    char *value = strdup(meta->value);

    while (i < s->metas && strcmp(s->meta[i].key, meta->key) != 0)
        i++;
    if (i == METAS_MAX || !value) {
        free(value);
        return;
    }
    if (i == s->metas) {
        s->meta[i].key = strdup(meta->key);
        if (!s->meta[i].key) {
            free(value);
            return;
        }
        s->meta[s->metas++].value = NULL;
    }
    free(s->meta[i].value);
    s->meta[i].value = value;
}

static int gather(struct numbers *s, struct tdw_trace_reader *reader)
{
    struct tdw_trace_record record;
    int got;

    while ((got = tdw_trace_next(reader, &record)) == 1 && !s->error) {
        switch (record.type) {
        case TDW_TRACE_META:
            on_meta(s, &record.meta);
            break;
        case TDW_TRACE_EVENT:
            on_event(s, &record.event);
            break;
        case TDW_TRACE_ACTOR:
            s->actors++;
            break;
        case TDW_TRACE_THREAD:
            s->threads++;
            break;
        case TDW_TRACE_IMAGE:
            s->images++;
            break;
        case TDW_TRACE_GAP:
            s->lost_calls += record.gap.calls;
            s->lost_others += record.gap.others;
            break;
        case TDW_TRACE_CALL:
            on_call(s, &record.call);
            break;
        case TDW_TRACE_END:
            s->has_digest = record.end.has_digest;
            s->digest = record.end.digest;
            break;
        }
    }
    s->complete = got == 0;
    tdw_trace_bytes(reader, &s->file_bytes, &s->raw_bytes);
    return s->error ? s->error : got;
}

/* ── Printing ────────────────────────────────────────────────────────────────────────────────────
 */

static double per(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

/* A text in quotes, for JSON. */
static void quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void times_print(FILE *out, const struct tdw__histogram *h)
{
    fprintf(out, "%12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64, tdw__histogram_at(h, 500),
            tdw__histogram_at(h, 900), tdw__histogram_at(h, 990), h->max);
}

static void times_json(FILE *out, const struct tdw__histogram *h)
{
    fprintf(
        out,
        "\"p50_ns\":%" PRIu64 ",\"p90_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64,
        tdw__histogram_at(h, 500), tdw__histogram_at(h, 900), tdw__histogram_at(h, 990), h->max);
}

static void run_print(const struct numbers *s, FILE *out)
{
    fprintf(out, "\n%-12s %12s\n", "events", "count");
    for (int kind = 0; kind < 256; kind++) {
        if (s->kinds[kind])
            fprintf(out, "%-12s %12" PRIu64 "\n", tdw_event_name((uint8_t)kind), s->kinds[kind]);
    }
    for (uint8_t kind = 0; kind <= TDW_CHOOSE_KINDS; kind++) {
        if (s->choices[kind])
            fprintf(out, "  %-10s %12" PRIu64 "\n", tdw_choice_name(kind), s->choices[kind]);
    }
    fprintf(out, "\n%-16s %12s %12s %12s %12s %12s\n", "submit to", "count", "p50 ns", "p90 ns",
            "p99 ns", "max ns");
    for (int op = 0; op < 256; op++) {
        if (!s->opcodes[op])
            continue;
        fprintf(out, "%-16s %12" PRIu64 " ", tdw_opcode((uint8_t)op)->name, s->opcodes[op]);
        times_print(out, &s->by_op[op]);
        fputc('\n', out);
    }
    if (s->flying)
        fprintf(out, "%zu ops were not delivered\n", s->flying);
}

static void recording_print(const struct numbers *s, FILE *out)
{
    uint64_t compared = 0;

    for (int i = TDW_COMPARE_RESULT; i <= TDW_COMPARE_TIMING; i++)
        compared += s->compares[i];
    fprintf(out, "\n%-16s %12s %12s %12s %12s %12s\n", "calls", "count", "p50 ns", "p90 ns",
            "p99 ns", "max ns");
    for (uint8_t row = 0; row < TDW_ROWS; row++) {
        if (!s->rows[row])
            continue;
        fprintf(out, "%-16s %12" PRIu64 " ", tdw_row_name(row), s->rows[row]);
        times_print(out, &s->by_row[row]);
        fputc('\n', out);
    }
    fprintf(out, "\ncompared     %" PRIu64 " of %" PRIu64 " calls, %.1f%% of them timing\n",
            compared, s->calls, 100 * per(s->timing, compared));
    fprintf(out, "served       %" PRIu64 "\n", s->hows[TDW_HOW_SERVED]);
    fprintf(out, "start-up     %" PRIu64 "\n", s->startup);
    fprintf(out, "unsupported  %" PRIu64 "\n", s->rows[TDW_ROW_UNSUPPORTED]);
    for (size_t i = 0; i < s->unsupported_names; i++)
        fprintf(out, "    %-20s %" PRIu64 "\n", s->unsupported[i].name, s->unsupported[i].count);
}

static void text_print(const struct numbers *s, const struct tdw_trace_reader *reader, FILE *out)
{
    const bool run = tdw_trace_kind(reader) == TDW_TRACE_RUN;
    const struct tdw_trace_error *const error = tdw_trace_error(reader);
    const uint64_t records = run ? s->events : s->calls;

    fprintf(out, "kind         %s\n", run ? "run" : "recording");
    for (size_t i = 0; i < s->metas; i++)
        fprintf(out, "%-12s %s\n", s->meta[i].key, s->meta[i].value);
    fprintf(out, "complete     %s\n", s->complete ? "yes" : "no");
    if (error->code)
        fprintf(out, "damage       byte %" PRIu64 ": %s\n", error->offset, error->text);
    if (s->has_digest)
        fprintf(out, "digest       %016" PRIx64 "%016" PRIx64 "\n", s->digest.hi, s->digest.lo);
    fprintf(out, "last time    %" PRIu64 " ns\n", s->last_ns);
    if (!run)
        fprintf(out, "threads      %" PRIu64 "\nimages       %" PRIu64 "\n", s->threads, s->images);
    if (s->lost_calls || s->lost_others)
        fprintf(out, "lost         %" PRIu64 " calls, %" PRIu64 " other events\n", s->lost_calls,
                s->lost_others);
    fprintf(out, "%-12s %" PRIu64 ", %" PRIu64 " bytes: %.2f bytes each, %.2f before compression\n",
            run ? "all events" : "all calls", records, s->file_bytes, per(s->file_bytes, records),
            per(s->raw_bytes, records));
    if (run)
        run_print(s, out);
    else
        recording_print(s, out);
}

static void run_json(const struct numbers *s, FILE *out)
{
    const char *comma = "";

    fprintf(out, ",\"events\":{");
    for (int kind = 0; kind < 256; kind++) {
        if (s->kinds[kind]) {
            fprintf(out, "%s\"%s\":%" PRIu64, comma, tdw_event_name((uint8_t)kind), s->kinds[kind]);
            comma = ",";
        }
    }
    fprintf(out, "},\"ops\":{");
    comma = "";
    for (int op = 0; op < 256; op++) {
        if (s->opcodes[op]) {
            fprintf(out, "%s\"%s\":{\"count\":%" PRIu64 ",", comma, tdw_opcode((uint8_t)op)->name,
                    s->opcodes[op]);
            times_json(out, &s->by_op[op]);
            fputc('}', out);
            comma = ",";
        }
    }
    fprintf(out, "},\"undelivered\":%zu", s->flying);
}

static void recording_json(const struct numbers *s, FILE *out)
{
    const char *comma = "";

    fprintf(out,
            ",\"threads\":%" PRIu64 ",\"images\":%" PRIu64 ",\"lost_calls\":%" PRIu64
            ",\"calls\":{",
            s->threads, s->images, s->lost_calls);
    for (uint8_t row = 0; row < TDW_ROWS; row++) {
        if (s->rows[row]) {
            fprintf(out, "%s\"%s\":{\"count\":%" PRIu64 ",\"sum_ns\":%" PRIu64 ",", comma,
                    tdw_row_name(row), s->rows[row], s->row_ns[row]);
            times_json(out, &s->by_row[row]);
            fputc('}', out);
            comma = ",";
        }
    }
    fprintf(out, "},\"compared\":{");
    comma = "";
    for (uint8_t compare = 0; compare <= TDW_COMPARE_TIMING; compare++) {
        fprintf(out, "%s\"%s\":%" PRIu64, comma, tdw_compare_name(compare), s->compares[compare]);
        comma = ",";
    }
    fprintf(out, "},\"served\":%" PRIu64 ",\"startup\":%" PRIu64 ",\"unsupported\":{",
            s->hows[TDW_HOW_SERVED], s->startup);
    for (size_t i = 0; i < s->unsupported_names; i++) {
        fputs(i ? "," : "", out);
        quoted(out, s->unsupported[i].name);
        fprintf(out, ":%" PRIu64, s->unsupported[i].count);
    }
    fputc('}', out);
}

static void json_print(const struct numbers *s, const struct tdw_trace_reader *reader, FILE *out)
{
    const bool run = tdw_trace_kind(reader) == TDW_TRACE_RUN;
    const struct tdw_trace_error *const error = tdw_trace_error(reader);

    fprintf(out, "{\"kind\":\"%s\",\"meta\":{", run ? "run" : "recording");
    for (size_t i = 0; i < s->metas; i++) {
        fputs(i ? "," : "", out);
        quoted(out, s->meta[i].key);
        fputc(':', out);
        quoted(out, s->meta[i].value);
    }
    fprintf(out, "},\"complete\":%s", s->complete ? "true" : "false");
    if (error->code) {
        fprintf(out, ",\"damage\":{\"offset\":%" PRIu64 ",\"text\":", error->offset);
        quoted(out, error->text);
        fputc('}', out);
    }
    if (s->has_digest)
        fprintf(out, ",\"digest\":\"%016" PRIx64 "%016" PRIx64 "\"", s->digest.hi, s->digest.lo);
    fprintf(out,
            ",\"last_ns\":%" PRIu64 ",\"file_bytes\":%" PRIu64 ",\"raw_bytes\":%" PRIu64
            ",\"records\":%" PRIu64,
            s->last_ns, s->file_bytes, s->raw_bytes, run ? s->events : s->calls);
    if (run)
        run_json(s, out);
    else
        recording_json(s, out);
    fprintf(out, "}\n");
}

static void stat_free(struct numbers *s)
{
    for (size_t i = 0; i < s->metas; i++) {
        free(s->meta[i].key);
        free(s->meta[i].value);
    }
    for (int i = 0; i < 256; i++)
        tdw__histogram_fini(&s->by_op[i]);
    for (int i = 0; i < TDW_ROWS; i++)
        tdw__histogram_fini(&s->by_row[i]);
    free(s->flight);
    free(s);
}

int tdw__trace_stat(const char *path, FILE *out, bool json)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_error error;
    struct numbers *s;
    int got = tdw_trace_open(&reader, path, &error);

    if (got) {
        fprintf(stderr, "%s: byte %" PRIu64 ": %s\n", path, error.offset, error.text);
        return got;
    }
    s = calloc(1, sizeof *s);
    if (!s) {
        tdw_trace_reader_close(reader);
        return -ENOMEM;
    }
    got = gather(s, reader);
    if (json)
        json_print(s, reader, out);
    else
        text_print(s, reader, out);
    stat_free(s);
    tdw_trace_reader_close(reader);
    return got;
}
