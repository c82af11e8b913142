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
#include <unistd.h>

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

static void describe(const struct program *p, const struct note *note, char *text, size_t bytes)
{
    if (!note)
        snprintf(text, bytes, "nothing more");
    else if (note->id == IDS)
        snprintf(text, bytes, "call: %d", note->res);
    else
        snprintf(text, bytes, "op %u %s: %d, flags %#x, content %08x", note->id,
                 tdw_opcode(p->steps[note->from].opcode)->name, note->res, note->flags,
                 (unsigned)note->hash);
}

/* Of a plain call. */
static const char *explain_call(const struct step *step)
{
    if (step->what == W_LSEEK && (step->b == SEEK_DATA || step->b == SEEK_HOLE))
        return "holes in preallocated space";
    return NULL;
}

/* `reader`: somebody else waits for bytes, or did. */
static const char *explain(const struct program *p, uint32_t at, const struct note *sim,
                           const struct note *real, bool reader)
{
    const struct step *step = sim && sim->id < IDS ? &p->steps[sim->from] : NULL;

    if (sim && sim->id == IDS)
        return explain_call(&p->steps[at]);
    if (!step)
        return NULL;
    if (!real) {
        if (step->opcode == IORING_OP_POLL_ADD && sim->from != at && reader)
            return "a read before a poll";
        return NULL;
    }
    if (sim->id != real->id)
        return NULL;
    if (step->opcode == IORING_OP_CONNECT && sim->res == -ECONNREFUSED &&
        real->res == -ECONNABORTED)
        return "refused twice";
    if (step->opcode == IORING_OP_POLL_REMOVE && sim->res == 0 && real->res == -EALREADY)
        return "a poll that was just woken";
    if (step->opcode == IORING_OP_POLL_ADD && sim->res > 0 && real->res > 0 && sim->from != at)
        return "what a poll tells";
    return NULL;
}

static bool reads(const struct step *step)
{
    return step->what == W_ENTRY &&
           (step->opcode == IORING_OP_READ || step->opcode == IORING_OP_READV ||
            step->opcode == IORING_OP_RECV || step->opcode == IORING_OP_RECVMSG);
}

/* Does a read wait, or did one until this step? */
static bool has_reader(const struct program *p, uint32_t at, const struct view *sim)
{
    for (uint32_t i = 0; i < at; i++) {
        bool over = !reads(&p->steps[i]);

        for (uint32_t j = 0; j < sim->count && !over; j++)
            over = sim->notes[j].from == i && sim->notes[j].id < IDS && sim->notes[j].step < at;
        if (!over)
            return true;
    }
    return false;
}

static bool same_note(const struct note *a, const struct note *b)
{
    return a && b && a->id == b->id && a->res == b->res && a->flags == b->flags &&
           a->hash == b->hash;
}

static void compare_notes(const struct program *p, uint32_t at, const struct view *sim,
                          const struct view *real, struct difference *d)
{
    const struct note *a[NOTES_MAX], *b[NOTES_MAX];
    const uint32_t a_count = notes_of(sim, at, a), b_count = notes_of(real, at, b);

    for (uint32_t i = 0; i < a_count || i < b_count; i++) {
        const struct note *x = i < a_count ? a[i] : NULL, *y = i < b_count ? b[i] : NULL;
        char first[100], second[100];

        if (same_note(x, y))
            continue;
        describe(p, x, first, sizeof first);
        describe(p, y, second, sizeof second);
        d->is = true;
        d->step = at;
        d->explained = explain(p, at, x, y, has_reader(p, at, sim));
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

void compare(const struct program *p, const struct view *sim, const struct view *real,
             struct difference *d)
{
    memset(d, 0, sizeof *d);
    for (uint32_t at = 0; at < real->until && !d->is; at++) {
        compare_notes(p, at, sim, real, d);
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
    compare(p, &sim, &real, d);
    return d->is && !d->explained;
}
