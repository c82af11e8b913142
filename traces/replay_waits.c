/* SPDX-License-Identifier: MIT */
/*
 * Recorded waits: for one of several descriptors, for a wake, a signal, a time.
 *
 * What comes from peers for a wait is there when the wait is made (replay_peers.c), so it only
 * looks. Without that, it waits for what comes by itself, at most as long as it waited in the
 * recording. Either way it may be told of more or less than there: that is timing. It must not be
 * told of events that nobody was told of for this descriptor in all of the recording.
 *
 * A wait for a wake or a signal whose cause is in the recording is over when its edges are; without
 * one it lasts as long as it did. Calls that only set these things up have no effect here.
 */
#include <linux/futex.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <tidewheel/sys.h>
#include <time.h>
#include <traces/import.h>
#include <traces/replay_calls.h>

static uint64_t length_of(const struct replay_step *s)
{
    return s->end_ns - s->start_ns;
}

/* How long the wait may last: `asked_ns` (negative: for ever) as the program asked. */
static uint64_t deadline(const struct replay_step *s, int64_t asked_ns)
{
    if (s->result == 0)
        return asked_ns < 0 ? length_of(s) : (uint64_t)asked_ns;
    if (s->segment != REPLAY_NONE)
        return 0;
    return asked_ns < 0 || (uint64_t)asked_ns > length_of(s) ? length_of(s) : (uint64_t)asked_ns;
}

static int64_t of_ms(int64_t ms)
{
    return ms < 0 ? -1 : ms > INT64_MAX / 1000000 ? INT64_MAX : ms * 1000000;
}

/* As long as it was recorded, unless its edges say when it is over. */
static bool wait_as_recorded(struct replay_thread *t, const struct replay_step *s)
{
    if (s->edges > 0)
        return at_once(t, s->result);
    tdw_prep_sleep(&t->task.op, length_of(s));
    return false;
}

PREPARE(prepare_wait)
{
    return wait_as_recorded(t, s);
}

/* A sleep that was waited for in the place of a call has the call's result. */
static bool after_wait(struct replay_thread *t, const struct replay_step *s)
{
    t->result = s->result;
    return false;
}

/* ── What epoll instances were told of ─────────────────────────────────────────────────────── */

int tdw__replay_tell(struct replay_program *program, uint32_t process, uint64_t data,
                     uint32_t events)
{
    if (tdw__grow(&program->told, &program->told_max, program->told_count, sizeof *program->told) <
        0)
        return -ENOMEM;
    program->told[program->told_count++] = (struct replay_told){data, process, events};
    return 0;
}

static int by_data(const void *a, const void *b)
{
    const struct replay_told *x = a, *y = b;

    if (x->process != y->process)
        return x->process < y->process ? -1 : 1;
    return x->data < y->data ? -1 : x->data > y->data;
}

void tdw__replay_told(struct replay_program *program)
{
    size_t kept = 0;

    if (program->told_count)
        qsort(program->told, program->told_count, sizeof *program->told, by_data);
    for (size_t i = 0; i < program->told_count; i++) {
        if (kept && by_data(&program->told[kept - 1], &program->told[i]) == 0)
            program->told[kept - 1].events |= program->told[i].events;
        else
            program->told[kept++] = program->told[i];
    }
    program->told_count = kept;
}

bool tdw__replay_was_told(const struct replay_program *program, uint32_t process, uint64_t data,
                          uint32_t events)
{
    const struct replay_told key = {data, process, 0};
    const struct replay_told *found =
        program->told_count ? bsearch(&key, program->told, program->told_count, sizeof key, by_data)
                            : NULL;

    return found && (events & ~found->events) == 0;
}

/* ── epoll ─────────────────────────────────────────────────────────────────────────────────── */

PREPARE(call_epoll_create)
{
    return at_once(t, tdw_sys_epoll_create1(s->name[12] ? (int)s->arg[0] : 0));
}

PREPARE(prepare_epoll_ctl)
{
    struct epoll_event *event = (struct epoll_event *)t->buffer;

    *event = (struct epoll_event){0};
    if (s->items) {
        event->events = (uint32_t)items(t, s)[0].b;
        event->data.u64 = (uint64_t)items(t, s)[0].a;
    }
    tdw_prep_epoll_ctl(&t->task.op, FD(0), (int)s->arg[1], FD(2), event);
    return false;
}

PREPARE(prepare_epoll_wait)
{
    const int64_t room = t->replay->program->bytes_max / sizeof(struct epoll_event);
    const int64_t count = s->arg[2] < 0 ? 0 : s->arg[2] < room ? s->arg[2] : room;
    const int64_t asked = s->name[strlen(s->name) - 1] == '2' ? s->arg[3] : of_ms(s->arg[3]);

    if (s->result < 0)
        return wait_as_recorded(t, s);
    tdw_prep_epoll_wait(&t->task.op, FD(0), (struct epoll_event *)t->buffer, (uint32_t)count,
                        deadline(s, asked));
    return false;
}

static bool after_epoll_wait(struct replay_thread *t, const struct replay_step *s)
{
    const struct epoll_event *events = (const struct epoll_event *)t->buffer;

    if (s->result < 0)
        return after_wait(t, s);
    for (int64_t i = 0; i < t->result; i++)
        t->differs |= !tdw__replay_was_told(t->replay->program, t->recorded->process,
                                            events[i].data.u64, events[i].events);
    return false;
}

/* ── poll and select ───────────────────────────────────────────────────────────────────────── */

/* The items of poll are pollfds, those of select sets of descriptors, by bits. */
static uint32_t pollfds(struct replay_thread *t, const struct replay_step *s, bool select)
{
    struct pollfd *fds = (struct pollfd *)t->buffer;
    const uint32_t room = t->replay->program->bytes_max / (uint32_t)sizeof *fds;
    uint32_t count = 0;

    for (; count < s->items && count < room; count++) {
        const struct tdw_call_item *item = &items(t, s)[count];
        const int sets = (int)item->b & 7;
        const int wanted =
            !select ? (int)(item->b & 0xffff)
                    : (sets & 1 ? POLLIN : 0) | (sets & 2 ? POLLOUT : 0) | (sets & 4 ? POLLPRI : 0);

        fds[count] = (struct pollfd){tdw__replay_fd(t, item->a), (short)wanted, 0};
    }
    return count;
}

static bool wait_for_fds(struct replay_thread *t, const struct replay_step *s, int64_t asked,
                         bool select)
{
    if (s->result < 0)
        return wait_as_recorded(t, s);
    tdw_prep_ppoll(&t->task.op, (struct pollfd *)t->buffer, pollfds(t, s, select),
                   deadline(s, asked));
    return false;
}

PREPARE(prepare_poll)
{
    return wait_for_fds(t, s, of_ms(s->arg[2]), false);
}

PREPARE(prepare_ppoll)
{
    return wait_for_fds(t, s, s->arg[2], false);
}

PREPARE(prepare_select)
{
    return wait_for_fds(t, s, s->arg[4], true);
}

static bool after_poll(struct replay_thread *t, const struct replay_step *s)
{
    if (s->result < 0)
        t->result = s->result;
    return false;
}

/* ── Wakes, signals, timers ────────────────────────────────────────────────────────────────── */

static bool futex_waits(int64_t command)
{
    switch (command & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_LOCK_PI:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI2:
        return true;
    default:
        return false;
    }
}

PREPARE(prepare_futex)
{
    return futex_waits(s->arg[1]) ? wait_as_recorded(t, s) : at_once(t, s->result);
}

/* Its edges are its meaning. */
PREPARE(call_order)
{
    return at_once(t, s->result);
}

/* A relative time starts now; at which virtual time an absolute one is over, nobody recorded: it
 * is over at once, and what was recorded about it comes by edges and lengths. */
PREPARE(call_timerfd_settime)
{
    const int64_t ns = s->arg[2] <= 0 ? 0 : s->arg[1] & TFD_TIMER_ABSTIME ? 1 : s->arg[2];
    const struct itimerspec value = {.it_value = {ns / 1000000000, ns % 1000000000}};

    return at_once(t, tdw_sys_timerfd_settime(FD(0), 0, &value, NULL));
}

const struct replay_call tdw__replay_waits[] = {
    {"epoll_create", call_epoll_create, tdw__replay_new_fd},
    {"epoll_create1", call_epoll_create, tdw__replay_new_fd},
    {"epoll_ctl", prepare_epoll_ctl, NULL},
    {"epoll_wait", prepare_epoll_wait, after_epoll_wait},
    {"epoll_pwait", prepare_epoll_wait, after_epoll_wait},
    {"epoll_pwait2", prepare_epoll_wait, after_epoll_wait},
    {"poll", prepare_poll, after_poll},
    {"ppoll", prepare_ppoll, after_poll},
    {"select", prepare_select, after_poll},
    {"pselect6", prepare_select, after_poll},
    {"futex", prepare_futex, after_wait},
    {"semop", prepare_wait, after_wait},
    {"semtimedop", prepare_wait, after_wait},
    {"rt_sigsuspend", prepare_wait, after_wait},
    {"rt_sigtimedwait", prepare_wait, after_wait},
    {"timerfd_settime", call_timerfd_settime, NULL},
    {"(wait)", prepare_wait, after_wait},
    {"(order)", call_order, NULL},
    {NULL, NULL, NULL},
};
