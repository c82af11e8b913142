/* SPDX-License-Identifier: MIT */
/*
 * Histories in words: operations, what is wrong with one, and the lines around it.
 *
 * Operations are printed by the letters of their verbs. Of a bad prefix at most 15 operations are
 * told: the one that completes it, the last ones that speak of the value it answered (who wrote
 * what was read), and then those that ended last or have not ended. Nothing here depends on an
 * address or on the order of a hash.
 */
#include <sim/explore/linearize.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINES_MAX = 15, SPEAK_MAX = 5 };

void tdw__append(char *text, size_t bytes, const char *format, ...)
{
    const size_t at = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + at, bytes - at, format, args);
    va_end(args);
}

bool tdw__operation_key(const struct tdw_spec *spec, const struct tdw_operation *operation,
                        int64_t *key)
{
    const char *letters = spec->verbs[operation->verb].args, *k = strchr(letters, 'k');

    if (!k || strchr(k + 1, 'k'))
        return false;
    *key = operation->args[k - letters];
    return true;
}

bool tdw__is_by_key(const struct tdw_history *history)
{
    int64_t key;

    if (!history->spec->by_key)
        return false;
    for (size_t i = 0; i < history->ops_count; i++)
        if (!tdw__operation_key(history->spec, &history->ops[i].what, &key))
            return false;
    return true;
}

/* ── Operations ────────────────────────────────────────────────────────────────────────────── */

static void append_value(char letter, int64_t value, char *text, size_t bytes)
{
    if (letter == 'b')
        tdw__append(text, bytes, "%s", value ? "yes" : "no");
    else if (value == TDW_NONE)
        tdw__append(text, bytes, "none");
    else
        tdw__append(text, bytes, "%s%lld", letter == 'k' ? "k" : "", (long long)value);
}

static void append_operation(const struct tdw_spec *spec, const struct tdw_operation *operation,
                             char *text, size_t bytes)
{
    const struct tdw_spec_verb *verb = &spec->verbs[operation->verb];

    tdw__append(text, bytes, "%s(", verb->name);
    for (size_t i = 0; i < TDW_OPERATION_ARGS && verb->args[i]; i++) {
        tdw__append(text, bytes, "%s", i ? ", " : "");
        append_value(verb->args[i], operation->args[i], text, bytes);
    }
    tdw__append(text, bytes, ")");
    if (!verb->result || operation->result == TDW_ANY)
        return;
    tdw__append(text, bytes, " = ");
    append_value(verb->result, operation->result, text, bytes);
}

static void append_time(uint64_t ns, char *text, size_t bytes)
{
    tdw__append(text, bytes, "%llu.%03u us", (unsigned long long)(ns / 1000),
                (unsigned)(ns % 1000));
}

static const char *path_of(const struct tdw_history *history, const struct tdw_history_op *op)
{
    return op->task < history->tasks_count ? history->tasks[op->task].path : "";
}

void tdw__wrong_text(const struct tdw_history *history, const struct tdw_history_op *op, char *text,
                     size_t bytes)
{
    const bool has_failed = op->outcome == TDW__FAILED;
    const char *path = path_of(history, op);

    append_operation(history->spec, &op->what, text, bytes);
    tdw__append(text, bytes, "%s",
                has_failed ? ", without effect as was told at " : ", returned at ");
    append_time(op->ended_ns, text, bytes);
    tdw__append(text, bytes, "%s%s, cannot be%s", path[0] ? " by " : "", path,
                has_failed ? ": what came before has seen its effect" : "");
}

/* ── The lines around it ───────────────────────────────────────────────────────────────────── */

struct telling {
    const struct tdw_history *history;
    uint64_t event; /* that completes the prefix */
    const struct tdw_history_op *wrong;
    bool is_by_key;
    int64_t key;
    uint32_t told[LINES_MAX], count;
};

static bool is_of_part(const struct telling *t, const struct tdw_history_op *op)
{
    int64_t key;

    return op->invoked <= t->event &&
           (!t->is_by_key ||
            (tdw__operation_key(t->history->spec, &op->what, &key) && key == t->key));
}

static bool has_ended(const struct telling *t, const struct tdw_history_op *op)
{
    return op->ended && op->ended <= t->event && op->outcome != TDW__UNKNOWN;
}

static bool is_told(const struct telling *t, uint32_t op)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->told[i] == op)
            return true;
    return false;
}

/* Does it take or answer the value that the wrong one answered? */
static bool speaks_of(const struct telling *t, const struct tdw_history_op *op)
{
    const struct tdw_spec_verb *verb = &t->history->spec->verbs[op->what.verb];
    const int64_t value = t->wrong->what.result;

    if (t->history->spec->verbs[t->wrong->what.verb].result != 'v' || value == TDW_NONE)
        return false;
    for (size_t i = 0; i < TDW_OPERATION_ARGS && verb->args[i]; i++)
        if (verb->args[i] == 'v' && op->what.args[i] == value)
            return true;
    return verb->result == 'v' && op->what.result == value;
}

/* The one that ended last of those that are not told yet; one that did not end is the latest. */
static uint32_t latest(const struct telling *t, bool speaking)
{
    uint32_t best = TDW_HISTORY_FULL;
    uint64_t best_end = 0;

    for (size_t i = t->history->ops_count; i-- > 0;) {
        const struct tdw_history_op *op = &t->history->ops[i];
        const uint64_t end = has_ended(t, op) ? op->ended : UINT64_MAX;

        if (!has_ended(t, op) && t->history->spec->verbs[op->what.verb].reads)
            continue; /* it says nothing */
        if (end > best_end && is_of_part(t, op) && (!speaking || speaks_of(t, op)) &&
            !is_told(t, (uint32_t)i)) {
            best = (uint32_t)i;
            best_end = end;
        }
    }
    return best;
}

static void choose(struct telling *t, uint32_t max, bool speaking)
{
    uint32_t op;

    while (t->count < max && (op = latest(t, speaking)) != TDW_HISTORY_FULL)
        t->told[t->count++] = op;
}

static void tell_op(const struct telling *t, const struct tdw_history_op *op,
                    void (*line)(void *out, const char *text), void *out)
{
    char what[96] = "", from[32] = "", to[32] = "...", text[300];
    struct tdw_operation operation = op->what;

    if (!has_ended(t, op))
        operation.result = TDW_ANY;
    append_operation(t->history->spec, &operation, what, sizeof what);
    append_time(op->invoked_ns, from, sizeof from);
    if (has_ended(t, op)) {
        to[0] = '\0';
        append_time(op->ended_ns, to, sizeof to);
    } else if (op->ended && op->ended <= t->event) {
        snprintf(to, sizeof to, "unknown");
    }
    snprintf(text, sizeof text, "%s %14s to %14s  %-24s%s %s", op == t->wrong ? "*" : " ", from, to,
             what, op->outcome == TDW__FAILED && has_ended(t, op) ? " failed" : "",
             path_of(t->history, op));
    line(out, text);
}

static void tell_crashes(const struct telling *t, uint64_t after, uint64_t before,
                         void (*line)(void *out, const char *text), void *out)
{
    for (size_t i = 0; i < t->history->crashes_count; i++) {
        const struct tdw_history_crash *crash = &t->history->crashes[i];
        char when[32] = "", text[100];

        if (crash->event <= after || crash->event >= before)
            continue;
        append_time(crash->now_ns, when, sizeof when);
        snprintf(text, sizeof text, "  %14s  store %u crashes", when, (unsigned)crash->store);
        line(out, text);
    }
}

void tdw_history_tell(const struct tdw_history *history, const struct tdw_checked *checked,
                      void (*line)(void *out, const char *text), void *out)
{
    struct telling t = {.history = history, .event = checked->event};
    uint64_t after = UINT64_MAX;

    if (checked->verdict != TDW_NOT_LINEARIZABLE)
        return;
    t.wrong = &history->ops[checked->op];
    t.is_by_key = tdw__is_by_key(history);
    if (t.is_by_key)
        tdw__operation_key(history->spec, &t.wrong->what, &t.key);
    t.told[t.count++] = checked->op;
    choose(&t, SPEAK_MAX, true);
    choose(&t, LINES_MAX, false);
    for (size_t i = 0; i < history->ops_count; i++) {
        if (!is_told(&t, (uint32_t)i))
            continue;
        if (after != UINT64_MAX)
            tell_crashes(&t, after, history->ops[i].invoked, line, out);
        after = history->ops[i].invoked;
        tell_op(&t, &history->ops[i], line, out);
    }
    tell_crashes(&t, after, checked->event, line, out);
}
