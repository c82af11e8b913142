/* SPDX-License-Identifier: MIT */
/*
 * The rows of all recorded calls, looked up by name; and whether a result is as recorded.
 *
 * What is compared is the recording's table to say (docs/trace-format.md), stored with each call;
 * bytes never are.
 */
#include <string.h>
#include <traces/replay_calls.h>

const struct replay_call *tdw__replay_call(const char *name)
{
    static const struct replay_call *const tables[] = {
        tdw__replay_files,   tdw__replay_copies, tdw__replay_fds,
        tdw__replay_sockets, tdw__replay_waits,  tdw__replay_tasks,
    };

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const struct replay_call *row = tables[i]; row->name; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return NULL;
}

/* ── Compare ───────────────────────────────────────────────────────────────────────────────── */

static bool same_error(int64_t a, int64_t b)
{
    return a >= 0 ? b >= 0 : a == b;
}

static bool same_stat(const struct replay_thread *t, const struct replay_step *s)
{
    if (!same_error(t->result, s->result))
        return false;
    if (s->result < 0 || !(s->bits & TDW_CALL_STAT))
        return true;
    return (t->statx.stx_mode & S_IFMT) == (s->stat.mode & S_IFMT) &&
           (!S_ISREG(s->stat.mode) || t->statx.stx_size == s->stat.size);
}

static bool same_lock(const struct replay_thread *t, const struct replay_step *s)
{
    const bool asked = s->arg[1] == F_GETLK || s->arg[1] == F_OFD_GETLK;

    if (t->result != s->result || !asked || s->result < 0)
        return t->result == s->result;
    return t->flock.l_type == s->lock.type &&
           (s->lock.type == F_UNLCK ||
            (t->flock.l_start == s->lock.start && t->flock.l_len == s->lock.length));
}

bool tdw__replay_matches(const struct replay_thread *t, const struct replay_step *s)
{
    const bool strict = t->replay->options->strict_fd;

    if (t->differs)
        return false;
    switch ((enum tdw_compare)s->compare) {
    case TDW_COMPARE_NONE:
        return true;
    case TDW_COMPARE_TIMING:
        return true;
    case TDW_COMPARE_RESULT:
        return t->result == s->result;
    case TDW_COMPARE_ERRNO:
    case TDW_COMPARE_PID:
        return same_error(t->result, s->result);
    case TDW_COMPARE_FD:
        return strict ? t->result == s->result : same_error(t->result, s->result);
    case TDW_COMPARE_STREAM:
        return t->result == s->result || s->result == -EAGAIN || s->result == -EINTR;
    case TDW_COMPARE_STAT:
        return same_stat(t, s);
    case TDW_COMPARE_NAMES:
        return same_error(t->result, s->result) &&
               (!(s->bits & TDW_CALL_NAMES) ||
                (t->names_count == s->names.count && t->names_hash == s->names.hash));
    case TDW_COMPARE_LOCK:
        return same_lock(t, s);
    }
    return false;
}
