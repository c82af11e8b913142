/* SPDX-License-Identifier: MIT */
/*
 * Recorded copies from descriptor to descriptor.
 *
 * Into or out of a stream it is as with writes and reads: as many bytes as the recorded call moved,
 * in as many goes as it takes; and one that moved nothing for want of bytes or room has no effect.
 * An offset that the call was given is compared with what it must have become.
 */
#include <poll.h>
#include <string.h>
#include <traces/replay_calls.h>

/* Offsets were recorded as they were at entry; -1: none was given. */
static off_t *offset(struct replay_thread *t, const struct replay_step *s, int which, int argument)
{
    if (s->arg[argument] < 0)
        return NULL;
    t->offsets[which] = s->arg[argument] + t->moved;
    return &t->offsets[which];
}

static bool is_stream(const struct replay_step *s)
{
    return s->object == TDW_OBJECT_SOCKET || s->object == TDW_OBJECT_PIPE;
}

/* ── sendfile: to the first descriptor ─────────────────────────────────────────────────────── */

static void fill_sendfile(struct replay_thread *t, const struct replay_step *s)
{
    const int64_t wanted = is_stream(s) && s->result > 0 ? s->result : s->arg[3];

    tdw_prep_sendfile(&t->task.op, FD(0), FD(1), offset(t, s, 0, 2), (size_t)(wanted - t->moved));
}

PREPARE(prepare_sendfile)
{
    if (is_stream(s) && tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    fill_sendfile(t, s);
    return false;
}

static bool after_sendfile(struct replay_thread *t, const struct replay_step *s)
{
    const enum replay_transfer transfer =
        is_stream(s) ? tdw__replay_transferred(t, s, POLLOUT) : REPLAY_WHOLE;

    if (transfer == REPLAY_MORE)
        fill_sendfile(t, s);
    if (transfer == REPLAY_WHOLE && s->arg[2] >= 0 && t->result >= 0)
        t->differs = t->offsets[0] != s->arg[2] + t->result;
    return transfer != REPLAY_WHOLE;
}

/* ── From the first descriptor ─────────────────────────────────────────────────────────────── */

PREPARE(prepare_copy_file_range)
{
    tdw_prep_copy_file_range(&t->task.op, FD(0), offset(t, s, 0, 1), FD(2), offset(t, s, 1, 3),
                             (size_t)s->arg[4], (uint32_t)s->arg[5]);
    return false;
}

static bool after_copy_file_range(struct replay_thread *t, const struct replay_step *s)
{
    for (int i = 0; i < 2 && t->result >= 0; i++)
        if (s->arg[2 * i + 1] >= 0)
            t->differs |= t->offsets[i] != s->arg[2 * i + 1] + t->result;
    return false;
}

static void fill_splice(struct replay_thread *t, const struct replay_step *s)
{
    const int64_t wanted = s->result > 0 ? s->result : s->arg[4];
    const int64_t from = s->arg[1] < 0 ? -1 : s->arg[1] + t->moved;
    const int64_t to = s->arg[3] < 0 ? -1 : s->arg[3] + t->moved;

    tdw_prep_splice(&t->task.op, FD(0), from, FD(2), to, (uint32_t)(wanted - t->moved),
                    (uint32_t)s->arg[5]);
}

PREPARE(prepare_splice)
{
    if (tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    fill_splice(t, s);
    return false;
}

static bool after_splice(struct replay_thread *t, const struct replay_step *s)
{
    const enum replay_transfer transfer = tdw__replay_transferred(t, s, POLLIN);

    if (transfer == REPLAY_MORE)
        fill_splice(t, s);
    return transfer != REPLAY_WHOLE;
}

/* It takes nothing out of the pipe, so it cannot go on. */
PREPARE(prepare_tee)
{
    if (tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    tdw_prep_tee(&t->task.op, FD(0), FD(1), (uint32_t)s->arg[2], (uint32_t)s->arg[3]);
    return false;
}

const struct replay_call tdw__replay_copies[] = {
    {"sendfile", prepare_sendfile, after_sendfile},
    {"sendfile64", prepare_sendfile, after_sendfile},
    {"copy_file_range", prepare_copy_file_range, after_copy_file_range},
    {"splice", prepare_splice, after_splice},
    {"tee", prepare_tee, NULL},
    {NULL, NULL, NULL},
};
