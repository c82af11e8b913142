/* SPDX-License-Identifier: MIT */
/*
 * Two views of one program: the same, different, or different for a reason that is known.
 *
 * A known reason is a rule here, with the words of the table of differences in tdw-sim(7); there is
 * no other place where a difference can be forgiven.
 */
#include "conformance.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

/* The notes of a step by op, each op's in the order in which they came. */
static uint32_t notes_of(const struct view *view, uint32_t step, const struct note **to)
{
    uint32_t count = 0;

    for (uint32_t id = 0; id <= IDS; id++)
        for (uint32_t i = 0; i < view->count; i++)
            if (view->notes[i].step == step && view->notes[i].id == id)
                to[count++] = &view->notes[i];
    return count;
}

/* The step that submitted the op which was noted at step `at`: the last with its number that could.
 */
static const struct step *step_of(const struct program *p, uint32_t at, uint8_t id)
{
    for (uint32_t i = at + 1; i-- > 0;)
        if (p->steps[i].what == W_ENTRY && p->steps[i].id == id)
            return &p->steps[i];
    return &p->steps[at];
}

static void describe(const struct program *p, uint32_t at, const struct note *note, char *text,
                     size_t bytes)
{
    if (!note)
        snprintf(text, bytes, "nothing more");
    else if (note->id == IDS)
        snprintf(text, bytes, "call: %d", note->res);
    else
        snprintf(text, bytes, "op %u %s: %d, flags %#x, content %08x", note->id,
                 tdw_opcode(step_of(p, at, note->id)->opcode)->name, note->res, note->flags,
                 (unsigned)note->hash);
}

static const char *explain(const struct program *p, enum tdw_backend backend, uint32_t at,
                           const struct note *sim, const struct note *real)
{
    const struct step *step = sim && real && sim->id < IDS ? step_of(p, at, sim->id) : NULL;

    (void)backend;
    if (!step || sim->id != real->id)
        return NULL;
    if (step->opcode == IORING_OP_CONNECT && sim->res == -ECONNREFUSED &&
        real->res == -ECONNABORTED)
        return "refused twice";
    return NULL;
}

static bool same_note(const struct note *a, const struct note *b)
{
    return a && b && a->id == b->id && a->res == b->res && a->flags == b->flags &&
           a->hash == b->hash;
}

static void compare_notes(const struct program *p, enum tdw_backend backend, uint32_t at,
                          const struct view *sim, const struct view *real, struct difference *d)
{
    const struct note *a[NOTES_MAX], *b[NOTES_MAX];
    const uint32_t a_count = notes_of(sim, at, a), b_count = notes_of(real, at, b);

    for (uint32_t i = 0; i < a_count || i < b_count; i++) {
        const struct note *x = i < a_count ? a[i] : NULL, *y = i < b_count ? b[i] : NULL;
        char first[100], second[100];

        if (same_note(x, y))
            continue;
        describe(p, at, x, first, sizeof first);
        describe(p, at, y, second, sizeof second);
        d->is = true;
        d->step = at;
        d->explained = explain(p, backend, at, x, y);
        snprintf(d->text, sizeof d->text, "sim %s; real %s", first, second);
        return;
    }
}

static void compare_looks(uint32_t at, const struct view *sim, const struct view *real,
                          struct difference *d)
{
    for (int i = 0; i < VARS; i++) {
        const struct look *a = &sim->looks[at][i], *b = &real->looks[at][i];

        if (memcmp(a, b, sizeof *a) == 0)
            continue;
        d->is = true;
        d->step = at;
        snprintf(d->text, sizeof d->text,
                 "var %d: sim ready %#x, %d wait, offset %lld, size %lld; real ready %#x, %d wait, "
                 "offset %lld, size %lld",
                 i, (unsigned)a->ready, a->waits, (long long)a->offset, (long long)a->size,
                 (unsigned)b->ready, b->waits, (long long)b->offset, (long long)b->size);
        return;
    }
}

void compare(const struct program *p, enum tdw_backend backend, const struct view *sim,
             const struct view *real, struct difference *d)
{
    memset(d, 0, sizeof *d);
    for (uint32_t at = 0; at < real->until && !d->is; at++) {
        compare_notes(p, backend, at, sim, real, d);
        if (!d->is)
            compare_looks(at, sim, real, d);
    }
}

bool differs(const struct program *p, enum tdw_backend backend, struct difference *d)
{
    static struct view sim, real;

    memset(d, 0, sizeof *d);
    if (run_program(p, TDW_BACKEND_SIM, NULL, &sim) < 0 || run_program(p, backend, &sim, &real) < 0)
        return false;
    compare(p, backend, &sim, &real, d);
    return d->is && !d->explained;
}
