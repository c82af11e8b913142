/* SPDX-License-Identifier: MIT */
/*
 * Edges: which call cannot come before which other.
 *
 *     spawn    a thread's first call, after the clone that made it
 *     exit     wait4 that reaped, after the last call of the process;
 *              futex wait for a thread's end, after its exit
 *     wake     futex wait that ended, after the wake of the same address (and process, if
 *              private) that began in between
 *     data     a read of bytes, after the write that brought the last of them: pipe, socket
 *              pair, stream between two recorded sockets, eventfd
 *     signal   a signal's delivery or a signalfd's read, after the kill
 *     order    any call on a file, after the last call of another thread on it that had ended
 *              by then; for calls that make and remove names also on the directory
 *
 * Causes are entered when a call starts, because their effect may be seen before they end; effects
 * are looked up when a call ends. A cause that was consumed is taken away: of two wakes of one
 * address the first waiter gets the first. What finds no cause has none (the cause is outside of
 * the recording): a futex wait is then a pure wait of the recorded length.
 *
 * Memory: a fixed ring for each address, channel and path. Called by import_calls.c.
 */
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WAKES = 8, WRITES = 32, RECENT = 4 };
enum { FUTEX_PRIVATE = 0x80, FUTEX_COMMAND = 0x7f };

/* The last calls that could wake waiters of one address. */
struct tdw__wakes {
    struct {
        struct tdw__ref ref;
        uint64_t start_ns;
        int64_t left; /* how many waiters it may still have woken */
    } wake[WAKES];
    unsigned next;
};

/* The last writes into one direction of a stream. */
struct tdw__channel {
    struct {
        struct tdw__ref ref;
        uint64_t end; /* total written with this one; UINT64_MAX: it has not ended */
    } write[WRITES];
    uint64_t written, taken;
    unsigned next;
};

/* The last calls on one path. */
struct tdw__recent {
    struct {
        struct tdw__ref ref;
        uint64_t start_ns, end_ns;
    } call[RECENT];
    unsigned next;
};

static struct tdw__ref ref_of(const struct tdw_call *call)
{
    return (struct tdw__ref){call->index, call->thread, call->ordinal};
}

void tdw__edge_add(struct tdw_call *call, enum tdw_edge_kind kind, struct tdw__ref ref)
{
    if (tdw__ref_none(ref) || ref.thread == call->thread || call->edges == TDW_TRACE_EDGES_MAX)
        return;
    for (int i = 0; i < call->edges; i++) {
        if (call->edge[i].call == ref.call)
            return;
    }
    call->edge[call->edges++] = (struct tdw_edge){
        .call = ref.call, .thread = ref.thread, .ordinal = ref.ordinal, .kind = (uint8_t)kind};
}

/* The entry for `key`, zeroed when new; its index, or TDW__NONE. */
static int64_t entry(struct tdw__import *im, struct tdw__map *map, uint64_t key, void *array,
                     size_t *count, size_t *room, size_t bytes)
{
    const int64_t *const known = tdw__map_get(map, key);
    const size_t index = *count;
    char *base;

    if (known)
        return *known;
    if (im->error)
        return TDW__NONE;
    im->error = tdw__grow(array, room, index, bytes);
    if (!im->error)
        im->error = tdw__map_put(map, key, (int64_t)index);
    if (im->error)
        return TDW__NONE;
    memcpy(&base, array, sizeof base);
    memset(base + index * bytes, 0, bytes);
    ++*count;
    return (int64_t)index;
}

/* ── Wakes ───────────────────────────────────────────────────────────────────────────────────────
 */

static struct tdw__wakes *wakes_at(struct tdw__import *im, uint32_t process, uint64_t address,
                                   bool private)
{
    const uint64_t what[2] = {address, private ? process + 1 : 0};
    const int64_t i = entry(im, &im->wakes_by_key, tdw__key(what, sizeof what, 3), &im->wakes,
                            &im->wakes_count, &im->wakes_room, sizeof *im->wakes);

    return i < 0 ? NULL : &im->wakes[i];
}

static void wake_add(struct tdw__wakes *wakes, struct tdw__ref ref, uint64_t start_ns,
                     int64_t count)
{
    const unsigned at = wakes ? wakes->next++ % WAKES : 0;

    if (!wakes)
        return;
    wakes->wake[at].ref = ref;
    wakes->wake[at].start_ns = start_ns;
    wakes->wake[at].left = count;
}

/* Does this futex command wake (1), wait (2) or neither (0)? */
static int futex_does(int64_t command)
{
    switch (command & FUTEX_COMMAND) {
    case 1:  /* WAKE */
    case 3:  /* REQUEUE */
    case 4:  /* CMP_REQUEUE */
    case 5:  /* WAKE_OP */
    case 7:  /* UNLOCK_PI */
    case 10: /* WAKE_BITSET */
        return 1;
    case 0:  /* WAIT */
    case 6:  /* LOCK_PI */
    case 9:  /* WAIT_BITSET */
    case 11: /* WAIT_REQUEUE_PI */
    case 13: /* LOCK_PI2 */
        return 2;
    default:
        return 0;
    }
}

/* The exit of a thread wakes who waits for its number to be cleared, through a shared futex. */
void tdw__edges_thread_end(struct tdw__import *im, uint32_t thread)
{
    const struct tdw__thread *t = &im->threads[thread];

    if (t->child_tid == 0 || tdw__ref_none(t->last))
        return;
    for (int private = 0; private < 2; private ++)
        wake_add(wakes_at(im, t->row.process, t->child_tid, private), t->last, 0, 1);
}

static void futex_start(struct tdw__import *im, const struct tdw_call *call)
{
    if (futex_does(call->arg[1]) == 1)
        wake_add(wakes_at(im, call->process, (uint64_t)call->arg[0], call->arg[1] & FUTEX_PRIVATE),
                 ref_of(call), call->start_ns, call->arg[2] > 0 ? call->arg[2] : 1);
}

/* A wake that is over has woken as many as it says. */
static void wake_end(struct tdw__wakes *wakes, const struct tdw_call *call)
{
    for (int i = 0; i < WAKES; i++) {
        if (wakes->wake[i].ref.call == call->index && wakes->wake[i].ref.thread == call->thread &&
            call->result < wakes->wake[i].left)
            wakes->wake[i].left = call->result;
    }
}

static void wait_end(struct tdw__wakes *wakes, struct tdw_call *call)
{
    int best = -1;

    for (int i = 0; i < WAKES; i++) {
        if (wakes->wake[i].left <= 0 || wakes->wake[i].ref.thread == call->thread)
            continue;
        /* An exit has no time of its own; a wake must have begun while this waited. */
        if (wakes->wake[i].start_ns != 0 && wakes->wake[i].start_ns < call->start_ns)
            continue;
        if (best < 0 || wakes->wake[i].ref.call < wakes->wake[best].ref.call)
            best = i;
    }
    if (best < 0)
        return;
    wakes->wake[best].left--;
    tdw__edge_add(call, wakes->wake[best].start_ns == 0 ? TDW_EDGE_EXIT : TDW_EDGE_WAKE,
                  wakes->wake[best].ref);
}

static void futex_end(struct tdw__import *im, struct tdw_call *call)
{
    const int does = futex_does(call->arg[1]);
    struct tdw__wakes *const wakes =
        does ? wakes_at(im, call->process, (uint64_t)call->arg[0], call->arg[1] & FUTEX_PRIVATE)
             : NULL;

    if (!wakes || call->result < 0 || call->bits & TDW_CALL_RESTART)
        return;
    if (does == 1)
        wake_end(wakes, call);
    else
        wait_end(wakes, call);
}

/* ── Data ────────────────────────────────────────────────────────────────────────────────────────
 */

/* The key of the stream that a descriptor writes into or reads from; 0 if it is none. */
static uint64_t channel_key(struct tdw__import *im, const struct tdw_call *call, bool writes)
{
    const char *const what = call->fd_path[0];
    const char *const open = what ? strchr(what, '[') : NULL, *const arrow =
                                                                  open ? strstr(open, "->") : NULL;
    const char *close = arrow ? strrchr(arrow, ']') : NULL;
    char line[256];
    int n;

    if (!what || what[0] == '/')
        return 0;
    if (!strncmp(what, "pipe:", 5))
        return tdw__key(what, strlen(what), 4);
    if (call->object == TDW_OBJECT_EVENTFD) {
        const struct tdw__open *o = tdw__fd_open(im, call->process, call->arg[0], what);

        return o ? tdw__key(&o->serial, sizeof o->serial, 5) : 0;
    }
    if (!close || call->object != TDW_OBJECT_SOCKET)
        return 0;
    /* The accepting end of a Unix connection has its path behind it. */
    if (!strncmp(what, "UNIX", 4) && memchr(arrow, ',', (size_t)(close - arrow)))
        close = memchr(arrow, ',', (size_t)(close - arrow));
    /* A socket pair or connection: "[here->there]"; the key is the sender's "from>to". */
    if (writes)
        n = snprintf(line, sizeof line, "%.*s>%.*s", (int)(arrow - open - 1), open + 1,
                     (int)(close - arrow - 2), arrow + 2);
    else
        n = snprintf(line, sizeof line, "%.*s>%.*s", (int)(close - arrow - 2), arrow + 2,
                     (int)(arrow - open - 1), open + 1);
    return n > 0 && n < (int)sizeof line ? tdw__key(line, (size_t)n, 6) : 0;
}

static struct tdw__channel *channel_of(struct tdw__import *im, const struct tdw_call *call,
                                       bool writes)
{
    const uint64_t key = channel_key(im, call, writes);
    const int64_t i = key ? entry(im, &im->channel_by_key, key, &im->channels, &im->channels_count,
                                  &im->channels_room, sizeof *im->channels)
                          : TDW__NONE;

    return i < 0 ? NULL : &im->channels[i];
}

static void write_start(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__channel *const channel = channel_of(im, call, true);
    unsigned at;

    if (!channel)
        return;
    at = channel->next++ % WRITES;
    channel->write[at].ref = ref_of(call);
    channel->write[at].end = UINT64_MAX;
}

static void write_end(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__channel *const channel = channel_of(im, call, true);

    for (int i = 0; channel && i < WRITES; i++) {
        if (channel->write[i].end != UINT64_MAX || channel->write[i].ref.call != call->index)
            continue;
        /* One that wrote nothing brings nothing. */
        channel->write[i].end = 0;
        if (call->result > 0)
            channel->write[i].end = channel->written += (uint64_t)call->result;
    }
}

/* Does a copy write to its first descriptor? (Others read from it.) */
static bool copies_out(const struct tdw_call *call)
{
    return !strncmp(call->name, "sendfile", 8);
}

/* The oldest write that brings the stream to `taken` bytes or more. */
static void read_end(struct tdw__import *im, struct tdw_call *call)
{
    struct tdw__channel *const channel = channel_of(im, call, false);
    int best = -1;

    if (!channel || call->result <= 0)
        return;
    /* An eventfd's read takes all that was written to it. */
    channel->taken = call->object == TDW_OBJECT_EVENTFD ? channel->written
                                                        : channel->taken + (uint64_t)call->result;
    for (int i = 0; i < WRITES && (unsigned)i < channel->next; i++) {
        if (channel->write[i].end < channel->taken || channel->write[i].end == 0)
            continue;
        if (best < 0 || channel->write[i].ref.call < channel->write[best].ref.call)
            best = i;
    }
    if (best >= 0)
        tdw__edge_add(call, TDW_EDGE_DATA, channel->write[best].ref);
}

/* ── Signals ─────────────────────────────────────────────────────────────────────────────────────
 */

static uint64_t kill_key(int64_t pid, int64_t signal)
{
    return (uint64_t)pid << 8 | (uint64_t)(signal & 0xff) | 1ull << 63;
}

static void kill_start(struct tdw__import *im, const struct tdw_call *call)
{
    const bool thread = !strcmp(call->name, "tgkill");
    const int64_t signal = call->arg[thread ? 2 : 1];

    if (im->error)
        return;
    /* Entered by the target, and for signalfds under "any signal". */
    im->error = tdw__map_put(&im->kills, kill_key(call->arg[0], signal), (int64_t)call->index);
    if (!im->error)
        im->error = tdw__map_put(&im->kills, kill_key(call->arg[0], 0), (int64_t)call->index);
    if (!im->error)
        im->error = tdw__map_put(&im->kills, tdw__key(&call->index, sizeof call->index, 7),
                                 (int64_t)call->thread << 32 | call->ordinal);
}

static void killed_end(struct tdw__import *im, struct tdw_call *call, int64_t signal)
{
    const int64_t pid = im->processes[call->process].pid;
    int64_t *const index = tdw__map_get(&im->kills, kill_key(pid, signal));
    const int64_t *where;
    uint64_t key;

    if (!index)
        return;
    key = (uint64_t)*index;
    where = tdw__map_get(&im->kills, tdw__key(&key, sizeof key, 7));
    if (where)
        tdw__edge_add(call, TDW_EDGE_SIGNAL,
                      (struct tdw__ref){key, (uint32_t)(*where >> 32), (uint32_t)*where});
}

/* A signal's delivery: by a kill, or for a child's end by the child's last call. */
static void signal_end(struct tdw__import *im, struct tdw_call *call)
{
    enum { SIGNAL_CHILD = 17 };

    if (call->arg[0] != SIGNAL_CHILD) {
        killed_end(im, call, call->arg[0]);
        return;
    }
    for (size_t i = im->processes_count; i-- > 0;) {
        if (im->processes[i].pid == (uint32_t)call->arg[1]) {
            tdw__edge_add(call, TDW_EDGE_EXIT, im->processes[i].last);
            break;
        }
    }
}

static void reap_end(struct tdw__import *im, struct tdw_call *call)
{
    const int64_t pid = call->result > 0 ? call->result : call->arg[1];

    if (call->result < 0 || (call->result == 0 && strcmp(call->name, "waitid") != 0))
        return;
    for (size_t i = im->processes_count; i-- > 0;) {
        if (im->processes[i].pid == (uint32_t)pid) {
            tdw__edge_add(call, TDW_EDGE_EXIT, im->processes[i].last);
            break;
        }
    }
}

/* ── Order ───────────────────────────────────────────────────────────────────────────────────────
 */

/* Order this call after the last one of another thread on `path`, and enter it. */
static void order_path(struct tdw__import *im, struct tdw_call *call, const char *path,
                       size_t bytes)
{
    const int64_t i = entry(im, &im->recent_by_key, tdw__key(path, bytes, 8), &im->recent,
                            &im->recent_count, &im->recent_room, sizeof *im->recent);
    struct tdw__recent *const recent = i < 0 ? NULL : &im->recent[i];
    uint64_t own_ns = 0;
    int best = -1;
    unsigned at;

    if (!recent)
        return;
    for (int k = 0; k < RECENT && (unsigned)k < recent->next; k++) {
        if (recent->call[k].ref.call == call->index)
            return;
        if (recent->call[k].ref.thread == call->thread) {
            if (recent->call[k].start_ns > own_ns)
                own_ns = recent->call[k].start_ns;
        } else if (recent->call[k].end_ns <= call->start_ns &&
                   (best < 0 || recent->call[k].end_ns > recent->call[best].end_ns)) {
            best = k;
        }
    }
    /* One that this thread's own last call on the path came after is ordered already. */
    if (best >= 0 && recent->call[best].end_ns > own_ns)
        tdw__edge_add(call, TDW_EDGE_ORDER, recent->call[best].ref);
    at = recent->next++ % RECENT;
    recent->call[at].ref = ref_of(call);
    recent->call[at].start_ns = call->start_ns;
    recent->call[at].end_ns = call->end_ns;
}

static void order(struct tdw__import *im, struct tdw_call *call)
{
    const char *const paths[] = {call->path[0], call->path[1], call->fd_path[0], call->fd_path[1],
                                 call->result_path};
    const bool names = call->row == TDW_ROW_NAMES || call->row == TDW_ROW_OPEN;

    if (call->how == TDW_HOW_SERVED || call->how == TDW_HOW_IGNORE || call->how == TDW_HOW_TASK)
        return;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *const slash = paths[i] ? strrchr(paths[i], '/') : NULL;

        if (!slash || paths[i][0] != '/' || tdw__served(paths[i]))
            continue;
        order_path(im, call, paths[i], strlen(paths[i]));
        if (names && i < 2 && slash > paths[i])
            order_path(im, call, paths[i], (size_t)(slash - paths[i]));
    }
}

/* ── Both ends ───────────────────────────────────────────────────────────────────────────────────
 */

void tdw__edges_start(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *const call = &parsed->call;

    switch ((enum tdw__track)parsed->syscall->track) {
    case TDW__T_FUTEX:
        futex_start(im, call);
        break;
    case TDW__T_WRITE:
        write_start(im, call);
        break;
    case TDW__T_COPY:
        if (copies_out(call))
            write_start(im, call);
        break;
    case TDW__T_KILL:
        kill_start(im, call);
        break;
    case TDW__T_EXIT:
        tdw__edges_thread_end(im, call->thread);
        break;
    default: /* the others are no causes */
        break;
    }
}

void tdw__edges_end(struct tdw__import *im, struct tdw__parsed *parsed)
{
    struct tdw_call *const call = &parsed->call;
    struct tdw__thread *const thread = &im->threads[call->thread];

    if (call->ordinal == 0)
        tdw__edge_add(call, TDW_EDGE_SPAWN, thread->spawn);
    if (!(call->bits & TDW_CALL_NO_RESULT)) {
        switch ((enum tdw__track)parsed->syscall->track) {
        case TDW__T_FUTEX:
            futex_end(im, call);
            break;
        case TDW__T_WRITE:
            write_end(im, call);
            break;
        case TDW__T_COPY:
            if (copies_out(call))
                write_end(im, call);
            break;
        case TDW__T_READ:
            read_end(im, call);
            if (call->object == TDW_OBJECT_SIGNALFD && call->result > 0)
                killed_end(im, call, 0);
            break;
        case TDW__T_REAP:
            reap_end(im, call);
            break;
        default: /* the others are no effects */
            break;
        }
        if (!strcmp(call->name, "signal"))
            signal_end(im, call);
    }
    order(im, call);
}

void tdw__edges_fini(struct tdw__import *im)
{
    free(im->channels);
    free(im->wakes);
    free(im->recent);
    tdw__map_fini(&im->channel_by_key);
    tdw__map_fini(&im->wakes_by_key);
    tdw__map_fini(&im->recent_by_key);
    tdw__map_fini(&im->kills);
}
