/* SPDX-License-Identifier: MIT */
/*
 * What objects do when operations come one at a time: register, map, queue, lock.
 *
 * A state is a row of words, empty at the start: a register's value; a map's pairs (key, value) in
 * ascending order of keys; a queue's values, oldest first; the owner of a lock that is held. Each
 * `step` is the object, and says -1 to an answer that the object would not give. A result of
 * TDW_ANY fits every answer.
 */
#include <sim/explore/linearize.h>
#include <string.h>

static bool answers(const struct tdw_operation *operation, int64_t result)
{
    return operation->result == TDW_ANY || operation->result == result;
}

static void tell_value(int64_t value, char *text, size_t bytes)
{
    if (value == TDW_NONE)
        tdw__append(text, bytes, "none");
    else
        tdw__append(text, bytes, "%lld", (long long)value);
}

/* ── Register ──────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_spec_verb register_verbs[] = {
    [TDW_REGISTER_READ] = {"read", "", 'v', .reads = true},
    [TDW_REGISTER_WRITE] = {"write", "v", .result = 0},
    [TDW_REGISTER_CAS] = {"cas", "vv", 'b', .refuses = true},
};

/* A register is unwritten before the first write only, and by writing TDW_NONE. */
static int32_t register_set(int64_t *state, int64_t value)
{
    state[0] = value;
    return value != TDW_NONE;
}

static int32_t register_step(const struct tdw_operation *operation, int64_t *state, uint32_t words)
{
    const int64_t value = words ? state[0] : TDW_NONE;

    switch ((enum tdw_register_verb)operation->verb) {
    case TDW_REGISTER_READ:
        return answers(operation, value) ? (int32_t)words : -1;
    case TDW_REGISTER_WRITE:
        return register_set(state, operation->args[0]);
    case TDW_REGISTER_CAS:
        if (!answers(operation, value == operation->args[0]))
            return -1;
        return value == operation->args[0] ? register_set(state, operation->args[1])
                                           : (int32_t)words;
    }
    return -1;
}

static void register_tell(const int64_t *state, uint32_t words, char *text, size_t bytes)
{
    tell_value(words ? state[0] : TDW_NONE, text, bytes);
}

const struct tdw_spec tdw_spec_register = {
    .name = "register",
    .verbs = register_verbs,
    .verbs_count = sizeof register_verbs / sizeof *register_verbs,
    .grows = 1,
    .step = register_step,
    .tell = register_tell,
};

/* ── Map ───────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_spec_verb map_verbs[] = {
    [TDW_MAP_GET] = {"get", "k", 'v', .reads = true},
    [TDW_MAP_PUT] = {"put", "kv", .result = 0},
    [TDW_MAP_DELETE] = {"delete", "k", 'b', .refuses = true},
    [TDW_MAP_CAS] = {"cas", "kvv", 'b', .refuses = true},
    [TDW_MAP_MOVE] = {"move", "kk", 'b', .refuses = true},
    [TDW_MAP_COUNT] = {"count", "", 'v', .reads = true},
};

/* Where the key's pair stands, or would. */
static uint32_t map_at(const int64_t *state, uint32_t words, int64_t key)
{
    uint32_t at = 0;

    while (at < words && state[at] < key)
        at += 2;
    return at;
}

static int64_t map_get(const int64_t *state, uint32_t words, int64_t key)
{
    const uint32_t at = map_at(state, words, key);

    return at < words && state[at] == key ? state[at + 1] : TDW_NONE;
}

/* TDW_NONE takes the key out. */
static uint32_t map_set(int64_t *state, uint32_t words, int64_t key, int64_t value)
{
    const uint32_t at = map_at(state, words, key);
    const bool is_there = at < words && state[at] == key;

    if (value == TDW_NONE) {
        if (!is_there)
            return words;
        memmove(state + at, state + at + 2, (words - at - 2) * sizeof *state);
        return words - 2;
    }
    if (!is_there)
        memmove(state + at + 2, state + at, (words - at) * sizeof *state);
    state[at] = key;
    state[at + 1] = value;
    return is_there ? words : words + 2;
}

static uint32_t map_move(int64_t *state, uint32_t words, int64_t from, int64_t to)
{
    const int64_t value = map_get(state, words, from);

    if (value == TDW_NONE)
        return words;
    words = map_set(state, words, from, TDW_NONE);
    return map_set(state, words, to, value);
}

static int32_t map_step(const struct tdw_operation *operation, int64_t *state, uint32_t words)
{
    const int64_t *args = operation->args;
    const int64_t value = map_get(state, words, args[0]);

    switch ((enum tdw_map_verb)operation->verb) {
    case TDW_MAP_GET:
        return answers(operation, value) ? (int32_t)words : -1;
    case TDW_MAP_PUT:
        return (int32_t)map_set(state, words, args[0], args[1]);
    case TDW_MAP_DELETE:
        if (!answers(operation, value != TDW_NONE))
            return -1;
        return (int32_t)map_set(state, words, args[0], TDW_NONE);
    case TDW_MAP_CAS:
        if (!answers(operation, value == args[1]))
            return -1;
        return (int32_t)(value == args[1] ? map_set(state, words, args[0], args[2]) : words);
    case TDW_MAP_MOVE:
        if (!answers(operation, value != TDW_NONE))
            return -1;
        return (int32_t)map_move(state, words, args[0], args[1]);
    case TDW_MAP_COUNT:
        return answers(operation, words / 2) ? (int32_t)words : -1;
    }
    return -1;
}

static void map_tell(const int64_t *state, uint32_t words, char *text, size_t bytes)
{
    tdw__append(text, bytes, "{");
    for (uint32_t i = 0; i < words; i += 2)
        tdw__append(text, bytes, "%sk%lld: %lld", i ? ", " : "", (long long)state[i],
                    (long long)state[i + 1]);
    tdw__append(text, bytes, "}");
}

const struct tdw_spec tdw_spec_map = {
    .name = "map",
    .verbs = map_verbs,
    .verbs_count = sizeof map_verbs / sizeof *map_verbs,
    .grows = 2,
    .by_key = true,
    .step = map_step,
    .tell = map_tell,
};

/* ── Queue ─────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_spec_verb queue_verbs[] = {
    [TDW_QUEUE_ENQUEUE] = {"enqueue", "v", .result = 0},
    [TDW_QUEUE_DEQUEUE] = {"dequeue", "", 'v', .refuses = true},
};

static int32_t queue_step(const struct tdw_operation *operation, int64_t *state, uint32_t words)
{
    switch ((enum tdw_queue_verb)operation->verb) {
    case TDW_QUEUE_ENQUEUE:
        state[words] = operation->args[0];
        return (int32_t)words + 1;
    case TDW_QUEUE_DEQUEUE:
        if (!answers(operation, words ? state[0] : TDW_NONE))
            return -1;
        if (words == 0)
            return 0;
        memmove(state, state + 1, (words - 1) * sizeof *state);
        return (int32_t)words - 1;
    }
    return -1;
}

static void queue_tell(const int64_t *state, uint32_t words, char *text, size_t bytes)
{
    tdw__append(text, bytes, "[");
    for (uint32_t i = 0; i < words; i++)
        tdw__append(text, bytes, "%s%lld", i ? ", " : "", (long long)state[i]);
    tdw__append(text, bytes, "]");
}

const struct tdw_spec tdw_spec_queue = {
    .name = "queue",
    .fifo = true,
    .verbs = queue_verbs,
    .verbs_count = sizeof queue_verbs / sizeof *queue_verbs,
    .grows = 1,
    .step = queue_step,
    .tell = queue_tell,
};

/* ── Lock ──────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_spec_verb lock_verbs[] = {
    [TDW_LOCK_ACQUIRE] = {"acquire", "v", .result = 0},
    [TDW_LOCK_TRY_ACQUIRE] = {"try-acquire", "v", 'b', .refuses = true},
    [TDW_LOCK_RELEASE] = {"release", "v", .result = 0},
};

static int32_t lock_step(const struct tdw_operation *operation, int64_t *state, uint32_t words)
{
    switch ((enum tdw_lock_verb)operation->verb) {
    case TDW_LOCK_TRY_ACQUIRE:
        if (!answers(operation, words == 0))
            return -1;
        if (words)
            return 1;
        state[0] = operation->args[0];
        return 1;
    case TDW_LOCK_ACQUIRE:
        if (words)
            return -1; /* it waits */
        state[0] = operation->args[0];
        return 1;
    case TDW_LOCK_RELEASE:
        return words && state[0] == operation->args[0] ? 0 : -1;
    }
    return -1;
}

static void lock_tell(const int64_t *state, uint32_t words, char *text, size_t bytes)
{
    if (words)
        tdw__append(text, bytes, "held by %lld", (long long)state[0]);
    else
        tdw__append(text, bytes, "free");
}

const struct tdw_spec tdw_spec_lock = {
    .name = "lock",
    .verbs = lock_verbs,
    .verbs_count = sizeof lock_verbs / sizeof *lock_verbs,
    .grows = 1,
    .step = lock_step,
    .tell = lock_tell,
};
