/* SPDX-License-Identifier: MIT */
/*
 * Recorded waits.
 */
#include <traces/replay_calls.h>

/* What depends on others is ordered by its edges; without one it lasts as long as recorded. */
PREPARE(prepare_wait)
{
    if (s->edges > 0)
        return at_once(t, s->result);
    tdw_prep_sleep(&t->op, s->end_ns - s->start_ns);
    return false;
}

/* A sleep that was waited for in the place of a call has the call's result. */
static void after_wait(struct replay_thread *t, const struct replay_step *s)
{
    t->result = s->result;
}
const struct replay_call tdw__replay_waits[] = {
    {"(wait)", prepare_wait, after_wait},
    {NULL, NULL, NULL},
};
