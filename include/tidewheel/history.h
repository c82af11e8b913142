/* SPDX-License-Identifier: MIT */
/*
 * Histories: what clients asked of an object and what they were told, and whether one object, used
 * by one client at a time, could have answered so.
 *
 *     static struct tdw_history history;
 *     tdw_history_init(&history, "accounts", &tdw_spec_map);        before the clients start
 *     …
 *     op = tdw_history_invoke(&history, TDW_MAP_PUT, key, value);   before the request is sent
 *     n = put(key, value);
 *     if (n == 0)                 tdw_history_ok(&history, op, 0);
 *     else if (n == -ETIMEDOUT)   tdw_history_unknown(&history, op);
 *     else                        tdw_history_fail(&history, op);
 *     …
 *     tdw_check_linearizable(&history);                             when the clients have ended
 *
 * A history is *linearizable* (Herlihy and Wing 1990) if each operation can be given one instant
 * between its invocation and its return at which it takes effect, such that the answers are those
 * of the object's specification. The order of events is the order of these calls; virtual times and
 * tasks are kept for reports alone. Recording is no event, waits for nothing and asks no choice, so
 * that a digest is the same with and without it.
 *
 * An operation whose outcome nobody was told (unknown, or no call at all) takes effect at any time
 * after its invocation, or never. When the store that it was directed at loses power it has taken
 * effect before that, or it never will (strict linearizability: Aguilera and Frølund 2003).
 *
 * Specifications are tables: register, map, queue and lock are here, and a program may add its own.
 */
#ifndef TIDEWHEEL_HISTORY_H
#define TIDEWHEEL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tidewheel/ring.h>

/* Values are numbers of 64 bits. Two of them are taken. */
#define TDW_NONE INT64_MIN      /* no value: an absent key, an empty queue, an unwritten register */
#define TDW_ANY (INT64_MIN + 1) /* as a result: it is not known, or shall not matter */

enum { TDW_OPERATION_ARGS = 4 };

struct tdw_operation {
    uint32_t verb; /* an index into the specification's verbs */
    int64_t args[TDW_OPERATION_ARGS];
    int64_t result;
};

/* ── Specifications ────────────────────────────────────────────────────────────────────────────
 * The arguments stand in brackets, in order, and behind them the result; a verb without one ignores
 * it. Objects start without a value.
 */
extern const struct tdw_spec tdw_spec_register, tdw_spec_map, tdw_spec_queue, tdw_spec_lock;

enum tdw_register_verb {
    TDW_REGISTER_READ,  /* () = value or TDW_NONE */
    TDW_REGISTER_WRITE, /* (value) */
    TDW_REGISTER_CAS,   /* (old, new) = 1; 0: it was not `old` */
};

/* Operations with one key concern it alone, and a map is checked key by key, unless the history has
 * one of the last two. */
enum tdw_map_verb {
    TDW_MAP_GET,    /* (key) = value or TDW_NONE */
    TDW_MAP_PUT,    /* (key, value) */
    TDW_MAP_DELETE, /* (key) = 1; 0: there was none */
    TDW_MAP_CAS,    /* (key, old, new) = 1; 0: it was not `old`. TDW_NONE: absent */
    TDW_MAP_MOVE,   /* (from, to) = 1, and `to` has the value; 0: there was no `from` */
    TDW_MAP_COUNT,  /* () = how many keys there are */
};

enum tdw_queue_verb {
    TDW_QUEUE_ENQUEUE, /* (value) */
    TDW_QUEUE_DEQUEUE, /* () = the oldest value, or TDW_NONE: it was empty */
};

enum tdw_lock_verb {
    TDW_LOCK_ACQUIRE,     /* (owner); waits, and is not reentrant */
    TDW_LOCK_TRY_ACQUIRE, /* (owner) = 1; 0: it was held */
    TDW_LOCK_RELEASE,     /* (owner), who must hold it */
};

/* A verb in words and letters. `args` has a letter for each argument, which says how it is printed:
 * k key, v value. `result` is v (value), b (yes or no), or 0. */
struct tdw_spec_verb {
    const char *name, *args;
    char result;
    bool reads;   /* never changes the object */
    bool refuses; /* does not when its result is no, or TDW_NONE */
};

/* What the object does when operations come one at a time. Its state is a row of words, empty at
 * the start. States with equal words are the same state; if one state has several rows, a check is
 * slower and no less right, so there is no function to compare or hash them.
 */
struct tdw_spec {
    const char *name; /* "map" */
    const struct tdw_spec_verb *verbs;
    uint32_t verbs_count;
    uint32_t grows; /* words that one operation may add */
    bool by_key;    /* an operation with one argument of letter k concerns this key alone */
    bool fifo; /* a state is what args[0] put in and results take out, in that order: saves time */
    /* Perform the operation on `state`, a copy of `words` words with room for `grows` more. How
     * many words there are now; -1: the object cannot do this, or cannot answer `result`. There is
     * one answer in each state. With TDW_ANY it does what it does with the right one. */
    int32_t (*step)(const struct tdw_operation *operation, int64_t *state, uint32_t words);
    /* The state in a few words: "{k7: 5}". */
    void (*tell)(const int64_t *state, uint32_t words, char *text, size_t bytes);
};

/* ── Recording ─────────────────────────────────────────────────────────────────────────────── */

#define TDW_HISTORY_FULL UINT32_MAX /* a handle: memory was short; see tdw_history_invoke */
#define TDW_IN_FLIGHT UINT32_MAX    /* no store: see tdw_history_directed */

/* Fields are private but for the limits. */
struct tdw_history {
    const char *name;
    const struct tdw_spec *spec;
    uint64_t steps_max; /* of a check, for each key: what it may look at; 4,000,000 */
    size_t bytes_max;   /* of a check's memory; 256 MiB */

    uint64_t events; /* so far; the first is number 1 */
    bool lost;       /* memory was short */
    struct tdw_history_op *ops;
    struct tdw_history_crash *crashes;
    struct tdw_history_task *tasks;
    size_t ops_count, ops_room, crashes_count, crashes_room, tasks_count, tasks_room;
};

/* Begin an empty history. `history` is zeroed memory or an earlier history, whose memory is used
 * again: so one in a static, begun by each run, loses nothing when a run ends in its middle. `name`
 * and `spec` outlive it. Cannot fail: memory is taken as it grows, about 120 bytes an operation. */
void tdw_history_init(struct tdw_history *history, const char *name, const struct tdw_spec *spec);
/* Gives the memory back, and leaves zeroed memory. */
void tdw_history_fini(struct tdw_history *history);

/* The running task is about to begin an operation: its handle. When memory is short the handle is
 * TDW_HISTORY_FULL, which the calls below ignore, and a check gives up. */
#define tdw_history_invoke(history, verb_, ...)                                                    \
    tdw__history_invoke((history), &(const struct tdw_operation){                                  \
                                       .verb = (verb_), .args = {__VA_ARGS__}, .result = 0})
uint32_t tdw__history_invoke(struct tdw_history *history, const struct tdw_operation *operation);

/* It returned. Each operation ends at most once, but for one that is unknown: a late answer may
 * still say what became of it. */
void tdw_history_ok(struct tdw_history *history, uint32_t op, int64_t result);
/* It had no effect and will never have one. */
void tdw_history_fail(struct tdw_history *history, uint32_t op);
/* Nobody knows (a time-out, a broken connection): it may take effect at any time, or never. */
void tdw_history_unknown(struct tdw_history *history, uint32_t op);

/* The operation is with that store from now on, whose next crash ends its chances; TDW_IN_FLIGHT:
 * with none, its message may outlive every crash. Unless told otherwise all are with store 0. Said
 * again, it was sent again: a crash before that ends nothing. */
void tdw_history_directed(struct tdw_history *history, uint32_t op, uint32_t store);
/* That store loses power now: what was directed at it and has not returned has taken effect, or
 * never will, unless it is told later that it returned. */
void tdw_history_crash(struct tdw_history *history, uint32_t store);

/* ── Checking ──────────────────────────────────────────────────────────────────────────────── */

enum tdw_linearizable {
    TDW_LINEARIZABLE,
    TDW_NOT_LINEARIZABLE,
    TDW_GAVE_UP, /* beyond its limits, or memory was short: nothing is known */
};

struct tdw_checked {
    enum tdw_linearizable verdict;
    uint32_t op;    /* not linearizable: the one whose end completes the shortest bad prefix … */
    uint64_t event; /* … and the number of that event */
    uint64_t steps; /* looked at, in all */
    size_t bytes;   /* of memory, at most */
    char text[320]; /* what is wrong, in a sentence; or why it gave up; or empty */
};

/* Check what was recorded so far. Needs no running task. Takes memory and gives it back. */
enum tdw_linearizable tdw_history_check(const struct tdw_history *history,
                                        struct tdw_checked *checked);

/* The operations of a bad prefix that matter, 15 at most, a line each with their times and tasks.
 */
void tdw_history_tell(const struct tdw_history *history, const struct tdw_checked *checked,
                      void (*line)(void *out, const char *text), void *out);

/* The run fails if the history is not linearizable, as with tdw_check; the operations that matter
 * are logged. Giving up is a note: it is logged and counted, and the run does not fail of it.
 * The verdict. */
#define tdw_check_linearizable(history) tdw__check_linearizable(TDW_SITE("check"), (history))
enum tdw_linearizable tdw__check_linearizable(const struct tdw_site *site,
                                              const struct tdw_history *history);

#endif
