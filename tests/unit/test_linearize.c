/* SPDX-License-Identifier: MIT */
/*
 * The checker of histories against brute force.
 *
 * Clients of a correct object are interleaved at random, with time-outs, operations that failed,
 * messages that stay in flight and crashes of the store: such a history must be accepted. One thing
 * of it is then changed, and the verdict and the shortest bad prefix must be those of a checker
 * that tries every order. The object and that checker are written here once more, in the plainest
 * way.
 */
#include "tests.h"
#include "dice.h"
#include <sim/explore/linearize.h>
#include <stdlib.h>

enum { KEYS = 3, VALUES = 3, CLIENTS_MAX = 5, OPS_MAX = 400, MOVES_MAX = 4 * OPS_MAX };
enum kind { REGISTER, MAP, MAP_ACROSS, QUEUE, LOCK, KINDS };

static const struct tdw_spec *const specs[KINDS] = {&tdw_spec_register, &tdw_spec_map,
                                                    &tdw_spec_map, &tdw_spec_queue, &tdw_spec_lock};

/* ── The object ────────────────────────────────────────────────────────────────────────────── */

struct object {
    int64_t map[KEYS]; /* a register is the first */
    int64_t queue[OPS_MAX];
    int queued;
    int64_t owner; /* 0: free */
};

static void fresh(struct object *object)
{
    memset(object, 0, sizeof *object);
    for (int i = 0; i < KEYS; i++)
        object->map[i] = TDW_NONE;
}

static int64_t map_count(const struct object *object)
{
    int64_t count = 0;

    for (int i = 0; i < KEYS; i++)
        count += object->map[i] != TDW_NONE;
    return count;
}

static int64_t swap_if(int64_t *place, int64_t old, int64_t new)
{
    const bool fits = *place == old;

    if (fits)
        *place = new;
    return fits;
}

static int64_t take_out(int64_t *place)
{
    const int64_t value = *place;

    *place = TDW_NONE;
    return value;
}

static int64_t map_do(struct object *o, const struct tdw_operation *what)
{
    int64_t *place = &o->map[what->args[0]], value;

    switch ((enum tdw_map_verb)what->verb) {
    case TDW_MAP_GET:
        return *place;
    case TDW_MAP_PUT:
        *place = what->args[1];
        return 0;
    case TDW_MAP_DELETE:
        return take_out(place) != TDW_NONE;
    case TDW_MAP_CAS:
        return swap_if(place, what->args[1], what->args[2]);
    case TDW_MAP_MOVE:
        value = take_out(place);
        if (value != TDW_NONE)
            o->map[what->args[1]] = value;
        return value != TDW_NONE;
    case TDW_MAP_COUNT:
        return map_count(o);
    }
    return 0;
}

static int64_t queue_do(struct object *o, const struct tdw_operation *what)
{
    const int64_t head = o->queue[0];

    if (what->verb == TDW_QUEUE_ENQUEUE) {
        o->queue[o->queued++] = what->args[0];
        return 0;
    }
    if (o->queued == 0)
        return TDW_NONE;
    memmove(o->queue, o->queue + 1, (size_t)--o->queued * sizeof head);
    return head;
}

static int64_t register_do(struct object *o, const struct tdw_operation *what)
{
    switch ((enum tdw_register_verb)what->verb) {
    case TDW_REGISTER_READ:
        return o->map[0];
    case TDW_REGISTER_WRITE:
        o->map[0] = what->args[0];
        return 0;
    case TDW_REGISTER_CAS:
        return swap_if(&o->map[0], what->args[0], what->args[1]);
    }
    return 0;
}

/* False: it cannot be done now. */
static bool lock_do(struct object *o, const struct tdw_operation *what, int64_t *result)
{
    const bool is_free = o->owner == 0;

    *result = is_free;
    if (what->verb == TDW_LOCK_RELEASE) {
        if (o->owner != what->args[0])
            return false;
        o->owner = 0;
        return true;
    }
    if (is_free)
        o->owner = what->args[0];
    return is_free || what->verb == TDW_LOCK_TRY_ACQUIRE;
}

static bool perform(enum kind kind, struct object *o, const struct tdw_operation *what,
                    int64_t *result)
{
    switch (kind) {
    case REGISTER:
        *result = register_do(o, what);
        return true;
    case MAP:
    case MAP_ACROSS:
        *result = map_do(o, what);
        return true;
    case QUEUE:
        *result = queue_do(o, what);
        return true;
    case LOCK:
        return lock_do(o, what, result);
    case KINDS:
        break;
    }
    return false;
}

static bool has_result(enum kind kind, uint32_t verb)
{
    return specs[kind]->verbs[verb].result != 0;
}

/* ── Scripts: histories that can be changed ────────────────────────────────────────────────── */

enum act { INVOKE, OK, FAIL, UNKNOWN, DIRECT, CRASH };

struct script {
    enum kind kind;
    bool is_distinct; /* no value is enqueued twice */
    struct move {
        enum act act;
        int op;
        int64_t result;
    } moves[MOVES_MAX];
    int count, ops;
    struct tdw_operation whats[OPS_MAX];
};

static void add(struct script *s, enum act act, int op, int64_t result)
{
    s->moves[s->count++] = (struct move){act, op, result};
}

static void record(const struct script *s, struct tdw_history *h)
{
    uint32_t handles[OPS_MAX];

    tdw_history_init(h, "object", specs[s->kind]);
    for (int i = 0; i < s->count; i++) {
        const struct move *move = &s->moves[i];

        switch (move->act) {
        case INVOKE:
            handles[move->op] = tdw__history_invoke(h, &s->whats[move->op]);
            break;
        case OK:
            tdw_history_ok(h, handles[move->op], move->result);
            break;
        case FAIL:
            tdw_history_fail(h, handles[move->op]);
            break;
        case UNKNOWN:
            tdw_history_unknown(h, handles[move->op]);
            break;
        case DIRECT:
            tdw_history_directed(h, handles[move->op], (uint32_t)move->result);
            break;
        case CRASH:
            tdw_history_crash(h, (uint32_t)move->result);
            break;
        }
    }
}

/* ── Brute force ───────────────────────────────────────────────────────────────────────────── */

struct brute {
    const struct script *script;
    int invoked[8], until[8];
    bool must[8], may[8];
    int64_t result[8];
};

/* Give each operation that is left an instant at or behind `now`, in every order. */
static bool orders(const struct brute *b, unsigned placed, int now, const struct object *object)
{
    bool all = true;

    for (int i = 0; i < b->script->ops; i++)
        all = all && (!b->must[i] || placed >> i & 1);
    if (all)
        return true;
    for (int i = 0; i < b->script->ops; i++) {
        const int at = b->invoked[i] > now ? b->invoked[i] : now;
        struct object next;
        int64_t result;

        if (placed >> i & 1 || (!b->must[i] && !b->may[i]) || at >= b->until[i])
            continue;
        memcpy(&next, object, sizeof next);
        if (perform(b->script->kind, &next, &b->script->whats[i], &result) &&
            (!b->must[i] || !has_result(b->script->kind, b->script->whats[i].verb) ||
             result == b->result[i]) &&
            orders(b, placed | 1u << i, at, &next))
            return true;
    }
    return false;
}

/* Does the crash end the operation's chances? Not if it is sent again later, or returns. */
static bool ends_chances(const struct script *s, int crash, int op)
{
    int64_t store = 0;

    for (int i = 0; i < s->count; i++) {
        const struct move *move = &s->moves[i];

        if (move->op != op || move->act == CRASH)
            continue;
        if (move->act == OK || (move->act == DIRECT && i > crash))
            return false;
        if (move->act == DIRECT)
            store = move->result;
    }
    return store == s->moves[crash].result;
}

/* Are the first `moves` of the script linearizable? Events are numbered by moves, from 1. */
static bool brute_accepts(const struct script *s, int moves)
{
    struct brute b = {.script = s};
    struct object object;

    for (int i = 0; i < s->ops; i++)
        b.until[i] = 1000;
    for (int i = 0; i < moves; i++) {
        const struct move *move = &s->moves[i];

        switch (move->act) {
        case INVOKE:
            b.invoked[move->op] = i + 1;
            b.may[move->op] = true;
            break;
        case OK:
            b.must[move->op] = true;
            b.until[move->op] = i + 1;
            b.result[move->op] = move->result;
            break;
        case FAIL:
            b.may[move->op] = false;
            break;
        case UNKNOWN:
        case DIRECT:
            break;
        case CRASH:
            for (int op = 0; op < s->ops; op++)
                if (b.may[op] && b.until[op] == 1000 && ends_chances(s, i, op))
                    b.until[op] = i + 1;
            break;
        }
    }
    fresh(&object);
    return orders(&b, 0, 0, &object);
}

/* The number of the event that completes the shortest bad prefix; 0: there is none. */
static int brute(const struct script *s)
{
    for (int moves = 1; moves <= s->count; moves++)
        if (!brute_accepts(s, moves))
            return moves;
    return 0;
}

/* ── Histories of a correct object ─────────────────────────────────────────────────────────── */

static int64_t any_value(struct dice *dice)
{
    return 1 + below(dice, VALUES);
}

static struct tdw_operation any_operation(const struct script *s, struct dice *dice, int client,
                                          const struct object *object)
{
    const enum kind kind = s->kind;
    static const uint32_t verbs[KINDS] = {3, TDW_MAP_MOVE, 6, 2, 2};
    struct tdw_operation what = {.verb = below(dice, verbs[kind])};
    const bool is_map = kind == MAP || kind == MAP_ACROSS;

    for (int i = 0; i < 3; i++)
        what.args[i] = any_value(dice);
    if (is_map)
        what.args[0] = below(dice, KEYS);
    if (is_map && what.verb == TDW_MAP_MOVE)
        what.args[1] = below(dice, KEYS);
    if (is_map && what.verb == TDW_MAP_CAS && below(dice, 3) == 0)
        what.args[1] = TDW_NONE;
    if (kind == QUEUE && s->is_distinct)
        what.args[0] = s->ops;
    if (kind == LOCK) {
        what.args[0] = client + 1;
        if (object->owner == client + 1)
            what.verb = TDW_LOCK_RELEASE;
    }
    return what;
}

/* `chance` in 100: that an operation is given up, that the store crashes. */
static void make_history(struct script *s, struct dice *dice, enum kind kind, int ops, int clients,
                         uint32_t chance)
{
    enum { GONE, WAITS, DONE } state[OPS_MAX];
    bool in_flight[OPS_MAX];
    int64_t results[OPS_MAX];
    int client_op[CLIENTS_MAX], steps = 0;
    struct object object;

    fresh(&object);
    s->kind = kind;
    s->count = s->ops = 0;
    for (int i = 0; i < clients; i++)
        client_op[i] = -1;
    while ((s->ops < ops || steps++ < clients * 8) && s->count < MOVES_MAX - 4) {
        const int client = (int)below(dice, (uint32_t)clients), op = client_op[client];
        const int effect = s->ops ? (int)below(dice, (uint32_t)s->ops) : 0;

        if (below(dice, 100) < chance / 2) { /* a crash: what waits there waits in vain */
            add(s, CRASH, 0, 0);
            for (int i = 0; i < s->ops; i++)
                if (state[i] == WAITS && !in_flight[i])
                    state[i] = GONE;
        }
        if (s->ops && state[effect] == WAITS && below(dice, 4) == 0 &&
            perform(kind, &object, &s->whats[effect], &results[effect]))
            state[effect] = DONE;
        if (op < 0 && s->ops < ops) {
            s->whats[s->ops] = any_operation(s, dice, client, &object);
            state[s->ops] = WAITS;
            in_flight[s->ops] = below(dice, 100) < chance;
            add(s, INVOKE, s->ops, 0);
            if (in_flight[s->ops])
                add(s, DIRECT, s->ops, TDW_IN_FLIGHT);
            client_op[client] = s->ops++;
        } else if (op >= 0 && state[op] == WAITS &&
                   !perform(kind, &(struct object){.owner = object.owner}, &s->whats[op],
                            &results[op])) {
            continue; /* a lock that is held */
        } else if (op >= 0 && (state[op] == GONE || below(dice, 100) < chance)) {
            const bool fails = state[op] != DONE && below(dice, 3) == 0;

            add(s, fails ? FAIL : UNKNOWN, op, 0);
            if (fails)
                state[op] = GONE;
            client_op[client] = -1;
        } else if (op >= 0 &&
                   (state[op] == DONE || perform(kind, &object, &s->whats[op], &results[op]))) {
            state[op] = DONE;
            if (below(dice, 3) != 0)
                continue;
            add(s, OK, op, results[op]);
            client_op[client] = -1;
        }
    }
}

/* Change one thing. The handles stay right: an operation is invoked before it ends. */
static void mutate(struct script *s, struct dice *dice)
{
    const int i = (int)below(dice, (uint32_t)s->count);
    struct move *move = &s->moves[i], *next = move + 1;

    switch (move->act) {
    case OK:
        if (below(dice, 4) == 0)
            move->act = FAIL;
        else if (below(dice, 3))
            move->result = below(dice, VALUES + 2) ? below(dice, VALUES + 1) : TDW_NONE;
        break;
    case FAIL:
    case UNKNOWN:
        move->act = OK;
        move->result = below(dice, VALUES + 1);
        break;
    case INVOKE:
    case DIRECT:
    case CRASH:
        if (i + 1 < s->count &&
            (next->act == CRASH || move->act == CRASH || next->op != move->op)) {
            const struct move moved = *move;

            *move = *next;
            *next = moved;
        }
        break;
    }
}

/* ── Tests ─────────────────────────────────────────────────────────────────────────────────── */

static struct script script;
static struct tdw_history history;

static void a_correct_object_is_accepted(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        const enum kind kind = (enum kind)(seed % KINDS);
        const uint32_t chance = kind == QUEUE || kind == LOCK || seed % 3 ? 0 : 2;
        struct dice dice = {seed};
        struct tdw_checked checked;

        script.is_distinct = true;
        make_history(&script, &dice, kind, 20 + (int)below(&dice, OPS_MAX - 20), CLIENTS_MAX,
                     chance);
        record(&script, &history);
        tdw_history_check(&history, &checked);
        if (checked.verdict != TDW_LINEARIZABLE)
            print_error("seed %llu: %s\n", (unsigned long long)seed, checked.text);
        assert_int_equal(checked.verdict, TDW_LINEARIZABLE);
    }
    tdw_history_fini(&history);
}

static void verdict_and_prefix_are_those_of_brute_force(void **state)
{
    unsigned bad[KINDS] = {0}, good[KINDS] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        const enum kind kind = (enum kind)(seed % KINDS);
        struct dice dice = {seed};
        struct tdw_checked checked;
        int event;

        script.is_distinct = below(&dice, 2);
        make_history(&script, &dice, kind, 2 + (int)below(&dice, 6), 2 + (int)below(&dice, 3), 12);
        for (uint32_t i = below(&dice, 3); i > 0; i--)
            mutate(&script, &dice);
        event = brute(&script);
        record(&script, &history);
        tdw_history_check(&history, &checked);
        if (checked.verdict != (event ? TDW_NOT_LINEARIZABLE : TDW_LINEARIZABLE) ||
            (int)checked.event != event)
            print_error("seed %llu: event %d, but %llu: %s\n", (unsigned long long)seed, event,
                        (unsigned long long)checked.event, checked.text);
        assert_int_equal(checked.verdict, event ? TDW_NOT_LINEARIZABLE : TDW_LINEARIZABLE);
        assert_int_equal(checked.event, event);
        ++*(event ? &bad[kind] : &good[kind]);
    }
    for (int kind = 0; kind < KINDS; kind++) { /* otherwise little was tested */
        assert_in_range(bad[kind], 300, 3700);
        assert_in_range(good[kind], 300, 3700);
    }
    tdw_history_fini(&history);
}

static void rows_of_equal_hash_are_told_apart(void **state)
{
    const uint64_t words[3] = {1, 2, 3};
    struct tdw__rows rows = {.words = NULL};
    uint32_t names[3];
    bool is_new;

    (void)state;
    for (int i = 0; i < 3; i++) {
        names[i] = tdw__rows_add(&rows, 7, words + i, 1, 4096, &is_new);
        assert_true(is_new);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tdw__rows_add(&rows, 7, words + i, 1, 4096, &is_new), names[i]);
        assert_false(is_new);
        assert_int_equal(*tdw__row(&rows, names[i]), words[i]);
    }
    assert_int_not_equal(tdw__rows_add(&rows, 7, words, 2, 4096, &is_new), names[0]);
    assert_int_equal(tdw__rows_add(&rows, 7, words, 3, 8, &is_new), TDW__NO_ROW);
    tdw__rows_fini(&rows);
}

int tests_linearize(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_equal_hash_are_told_apart),
        cmocka_unit_test(a_correct_object_is_accepted),
        cmocka_unit_test(verdict_and_prefix_are_those_of_brute_force),
    };

    return cmocka_run_group_tests_name("linearize", tests, NULL, NULL);
}
