/* SPDX-License-Identifier: MIT */
/*
 * Where do two models part? Two runs with the same choices have the same events, if the program is
 * the same; here is found the first event that differs, and both sides are named.
 *
 * The first run's events are kept as hashes, with the texts of the last few; the second run is
 * compared with them as it goes. Only called when the digests differ.
 */
#include <sim/explore/explore.h>
#include <stdlib.h>
#include <string.h>

struct sequence {
    struct tdw_tap tap;
    uint64_t *hashes;
    size_t count, max;
    const struct sequence *other; /* compare with this one */
    size_t want;                  /* index of the event whose text is wanted */
    size_t differs;               /* first index that differs; SIZE_MAX: none */
    char text[200];
};

void tdw__event_text(const struct tdw_event *event, char *text, size_t bytes)
{
    const char *op = event->kind <= TDW_E_DELIVER ? tdw_opcode(event->opcode)->name : "";
    char path[128] = "";
    int n;

    if (event->op)
        tdw_task_path(event->op->task, path, sizeof path);
    n = snprintf(text, bytes, "%s %s of %s at %llu ns", tdw_event_name(event->kind), op,
                 path[0]       ? path
                 : event->name ? event->name
                               : "?",
                 (unsigned long long)event->now_ns);
    if (n > 0 && (size_t)n < bytes && event->res)
        n += snprintf(text + n, bytes - (size_t)n, " = %d", event->res);
    if (n > 0 && (size_t)n < bytes && event->site)
        snprintf(text + n, bytes - (size_t)n, " (%s:%u)", event->site->file, event->site->line);
}

static void on_event(struct tdw_tap *tap, const struct tdw_event *event)
{
    struct sequence *s = tdw_of(tap, struct sequence, tap);
    struct tdw_digest digest = {0, 0};

    if (event->kind >= TDW_E_CHOICE)
        return;
    tdw__digest_fold(&digest, event);
    if (s->other && s->differs == SIZE_MAX &&
        (s->count >= s->other->count || s->other->hashes[s->count] != digest.lo)) {
        s->differs = s->count;
        tdw__event_text(event, s->text, sizeof s->text);
    }
    if (s->count == s->want)
        tdw__event_text(event, s->text, sizeof s->text);
    if (!s->other && s->count == s->max) {
        const size_t max = s->max ? s->max * 2 : 4096;
        uint64_t *hashes = realloc(s->hashes, max * sizeof *hashes);

        if (!hashes)
            return;
        s->hashes = hashes;
        s->max = max;
    }
    if (!s->other)
        s->hashes[s->count] = digest.lo;
    s->count++;
}

static void observe(struct tdw_world *world, const struct tdw_options *options,
                    const struct tdw_run *run, struct sequence *sequence)
{
    struct tdw_world_options world_options;
    struct tdw_outcome outcome;

    sequence->tap.event = on_event;
    sequence->count = 0;
    tdw__world_options(options, run->scenario, run->seed, &world_options);
    tdw_world_reset(world, &world_options);
    tdw_tap_add(tdw_world_loop(world), &sequence->tap);
    tdw__run(world, options, run, &outcome);
    tdw_tap_remove(tdw_world_loop(world), &sequence->tap);
}

void tdw__lockstep_explain(struct tdw_world *world, const struct tdw_options *options,
                           const struct tdw_run *a, const struct tdw_run *b, char *text,
                           size_t bytes)
{
    struct sequence first = {.want = SIZE_MAX, .differs = SIZE_MAX};
    struct sequence second = {.want = SIZE_MAX, .differs = SIZE_MAX, .other = &first};

    observe(world, options, a, &first);
    observe(world, options, b, &second);
    if (second.differs == SIZE_MAX) {
        snprintf(second.text, sizeof second.text, "(it ends)");
        second.differs = second.count;
    }
    first.want = second.differs;
    snprintf(first.text, sizeof first.text, "(it ends)");
    free(first.hashes);
    first.hashes = NULL;
    first.max = 0;
    observe(world, options, a, &first);
    free(first.hashes);
    if (a->model == b->model)
        snprintf(text, bytes, "event %zu is not the same again; once: %s; then: %s", second.differs,
                 first.text, second.text);
    else
        snprintf(text, bytes, "lockstep: the models differ at event %zu; %s: %s; %s: %s",
                 second.differs, tdw__model_name(a->model), first.text, tdw__model_name(b->model),
                 second.text);
}
