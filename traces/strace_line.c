/* SPDX-License-Identifier: MIT */
/*
 * Lines of strace's output: what each is, and the parts of a call.
 *
 *     3555  1795474657.111815547 read(3<pipe:[7031]>,  <unfinished ...>
 *     [pid  3555] 1795474657.111815 <... read resumed>""..., 10) = 4 <0.002175185>
 *     └ tid, if -f    └ time         └ call, signal (---), end of a thread (+++)
 *
 * The tid may be missing (one thread, no -f), as may fractions of seconds beyond those printed and
 * the duration. Times must be Unix times (-ttt or --absolute-timestamps=format:unix).
 *
 * Taking a call apart means finding its commas and its closing parenthesis, across nested brackets,
 * quoted texts with escapes, descriptors' annotations (angle brackets, in which "->" is no end) and
 * comments. Nothing is copied: spans point into the line. Never reads behind the given length.
 *
 * Cost: a few ns a byte. Called by import_strace.c.
 */
#include <traces/import.h>
#include <errno.h>
#include <string.h>

struct cursor {
    const char *at, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static bool begins(const struct cursor *c, const char *text)
{
    const size_t bytes = strlen(text);

    return left(c) >= bytes && !memcmp(c->at, text, bytes);
}

static bool ends(const struct cursor *c, const char *text)
{
    const size_t bytes = strlen(text);

    return left(c) >= bytes && !memcmp(c->end - bytes, text, bytes);
}

static bool skip(struct cursor *c, const char *text)
{
    if (!begins(c, text))
        return false;
    c->at += strlen(text);
    return true;
}

static void skip_spaces(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

/* Decimal digits; false if there are none or too many. */
static bool digits(struct cursor *c, uint64_t *value)
{
    const char *const start = c->at;

    *value = 0;
    while (c->at < c->end && is_digit(*c->at) && c->at - start < 19)
        *value = *value * 10 + (uint64_t)(*c->at++ - '0');
    return c->at > start && (c->at == c->end || !is_digit(*c->at));
}

/* Seconds with up to nine decimals, as ns. */
static bool seconds(struct cursor *c, uint64_t *ns)
{
    uint64_t whole, unit = 1000000000;

    if (!digits(c, &whole) || whole > UINT64_MAX / 1000000000 - 1)
        return false;
    *ns = whole * 1000000000;
    if (c->at == c->end || *c->at != '.')
        return true;
    c->at++;
    while (c->at < c->end && is_digit(*c->at) && unit > 1) {
        unit /= 10;
        *ns += (uint64_t)(*c->at++ - '0') * unit;
    }
    return true;
}

static struct tdw__span word(struct cursor *c)
{
    struct tdw__span span = {c->at, 0};

    while (c->at < c->end && is_word(*c->at))
        c->at++;
    span.bytes = (size_t)(c->at - span.at);
    return span;
}

/* ── A line ──────────────────────────────────────────────────────────────────────────────────────
 */

static int malformed(const char **why, const char *text)
{
    *why = text;
    return -EINVAL;
}

/* The tid, in either of strace's two forms, if it is there. */
static bool lex_tid(struct cursor *c, uint32_t *tid)
{
    struct cursor save = *c;
    uint64_t value;
    const bool brackets = skip(c, "[pid");

    skip_spaces(c);
    *tid = 0;
    if (!digits(c, &value) || value > INT32_MAX)
        return !brackets && (*c = save, true);
    if (brackets ? !skip(c, "]") : c->at == c->end || *c->at != ' ')
        return !brackets && (*c = save, true);
    *tid = (uint32_t)value;
    skip_spaces(c);
    return true;
}

/* "+++ exited with 0 +++", "+++ killed by SIGTERM (core dumped) +++", "+++ superseded by …". */
static int lex_end(struct cursor *c, struct tdw__line *line, const char **why)
{
    uint64_t value = 0;

    if (skip(c, "exited with ")) {
        line->kind = TDW__LINE_EXITED;
        if (!digits(c, &value) || value > 255)
            return malformed(why, "an exit status is missing");
        line->status = (int32_t)value;
        return 0;
    }
    if (skip(c, "killed by ")) {
        line->kind = TDW__LINE_EXITED;
        line->text = word(c);
        line->status = -tdw__signal_number(line->text);
        return 0;
    }
    if (skip(c, "superseded by execve in pid ")) {
        line->kind = TDW__LINE_SUPERSEDED;
        if (!digits(c, &value) || value > INT32_MAX)
            return malformed(why, "a thread's number is missing");
        line->status = (int32_t)value;
        return 0;
    }
    return malformed(why, "a thread ended in a way that is not known");
}

/* "<... read resumed>rest" */
static int lex_resumed(struct cursor *c, struct tdw__line *line, const char **why)
{
    line->kind = TDW__LINE_RESUMED;
    line->name = word(c);
    if (line->name.bytes == 0 || !skip(c, " resumed>"))
        return malformed(why, "it resumes nothing");
    line->text = (struct tdw__span){c->at, left(c)};
    return 0;
}

/* A call, whole or not: "name(…". */
static int lex_call_line(struct cursor *c, struct tdw__line *line, const char **why)
{
    static const char unfinished[] = "<unfinished ...>", detached[] = "<detached ...>";
    const char *const start = c->at;
    size_t bytes;

    line->name = word(c);
    if (line->name.bytes == 0 || c->at == c->end || *c->at != '(')
        return malformed(why, "it is neither a call, a signal nor the end of a thread");
    while (c->end > start && c->end[-1] == ' ')
        c->end--;
    line->kind = TDW__LINE_CALL;
    bytes = ends(c, unfinished) ? sizeof unfinished - 1
            : ends(c, detached) ? sizeof detached - 1
                                : 0;
    if (bytes > 0) {
        line->kind = TDW__LINE_UNFINISHED;
        c->end -= bytes;
    }
    line->text = (struct tdw__span){start, (size_t)(c->end - start)};
    return 0;
}

int tdw__line_lex(const char *text, size_t bytes, struct tdw__line *line, const char **why)
{
    struct cursor c = {text, text + bytes};

    *line = (struct tdw__line){.kind = TDW__LINE_NOTE};
    if (c.end > c.at && c.end[-1] == '\n')
        c.end--;
    if (c.end > c.at && c.end[-1] == '\r')
        c.end--;
    if (memchr(c.at, 0, left(&c)))
        return malformed(why, "it has a zero byte");
    skip_spaces(&c);
    if (c.at == c.end || begins(&c, "strace: "))
        return 0;
    if (!lex_tid(&c, &line->tid))
        return malformed(why, "a thread's number is missing");
    if (!seconds(&c, &line->at_ns) || c.at == c.end || *c.at != ' ')
        return malformed(why, "it does not begin with a Unix time");
    skip_spaces(&c);
    if (skip(&c, "+++ "))
        return lex_end(&c, line, why);
    if (skip(&c, "<... "))
        return lex_resumed(&c, line, why);
    if (skip(&c, "--- stopped by "))
        return 0;
    if (skip(&c, "--- ")) {
        line->kind = TDW__LINE_SIGNAL;
        line->name = word(&c);
        skip_spaces(&c);
        line->text = (struct tdw__span){c.at, left(&c)};
        return 0;
    }
    return lex_call_line(&c, line, why);
}

/* ── A call ──────────────────────────────────────────────────────────────────────────────────────
 */

/* Past a quoted text; `at` is on its first quote. */
static bool skip_quoted(struct cursor *c)
{
    for (c->at++; c->at < c->end; c->at++) {
        if (*c->at == '\\')
            c->at++;
        else if (*c->at == '"')
            break;
    }
    if (c->at >= c->end) {
        c->at = c->end;
        return false;
    }
    c->at++;
    return true;
}

/* Past an annotation; `at` is on its first angle bracket. */
static bool skip_annotation(struct cursor *c)
{
    int depth = 0;

    for (; c->at < c->end; c->at++) {
        if (*c->at == '\\' && c->at + 1 < c->end)
            c->at++;
        else if (*c->at == '<')
            depth++;
        else if (*c->at == '>' && c->at[-1] != '-' && --depth == 0)
            break;
    }
    if (c->at >= c->end)
        return false;
    c->at++;
    return true;
}

/* An angle bracket opens an annotation if it follows a descriptor's number or word. */
static bool opens_annotation(const struct cursor *c, const char *start)
{
    return c->at > start && is_word(c->at[-1]) && c->at + 1 < c->end && c->at[1] != '<' &&
           c->at[1] != ' ';
}

static void skip_comment(struct cursor *c)
{
    while (c->at < c->end && !skip(c, "*/"))
        c->at++;
}

/* Past one argument: to a comma or closing bracket on its own level. */
static bool skip_argument(struct cursor *c)
{
    const char *const start = c->at;
    int depth = 0;

    while (c->at < c->end) {
        const char now = *c->at;

        if (now == '"') {
            if (!skip_quoted(c))
                return false;
            continue;
        }
        if (now == '<' && opens_annotation(c, start)) {
            if (!skip_annotation(c))
                return false;
            continue;
        }
        if (now == '/' && begins(c, "/*")) {
            skip_comment(c);
            continue;
        }
        if (depth == 0 && (now == ',' || now == ')' || now == ']' || now == '}'))
            return true;
        depth +=
            (now == '(' || now == '[' || now == '{') - (now == ')' || now == ']' || now == '}');
        c->at++;
    }
    return depth == 0;
}

static struct tdw__span trimmed(const char *at, const char *end)
{
    while (at < end && *at == ' ')
        at++;
    while (end > at && end[-1] == ' ')
        end--;
    return (struct tdw__span){at, (size_t)(end - at)};
}

/* The result and its note: "= 3</path>(deleted)", "= -1 ENOENT (…)", "= ? ERESTARTSYS (…)". */
static int lex_result(struct cursor *c, struct tdw__call_text *call, const char **why)
{
    const char *start;

    skip_spaces(c);
    if (!skip(c, "= "))
        return malformed(why, "the call has no result");
    start = c->at;
    while (c->at < c->end && *c->at != ' ') {
        if (*c->at == '<' && opens_annotation(c, start)) {
            if (!skip_annotation(c))
                return malformed(why, "the annotation of the result does not end");
            continue;
        }
        c->at++;
    }
    call->result = trimmed(start, c->at);
    if (call->result.bytes == 0)
        return malformed(why, "the call has no result");
    call->note = trimmed(c->at, c->end);
    return 0;
}

/* "<0.000123>" at the end of the text, if it is there; cuts it off. */
static void lex_duration(struct cursor *c, struct tdw__call_text *call)
{
    const char *at = c->end;
    struct cursor inner;

    if (at == c->at || at[-1] != '>')
        return;
    while (at > c->at && at[-1] != '<')
        at--;
    inner = (struct cursor){at, c->end - 1};
    if (at == c->at || !seconds(&inner, &call->duration_ns) || inner.at != inner.end)
        return;
    if (at - 1 > c->at && at[-2] != ' ')
        return;
    call->has_duration = true;
    c->end = at - 1;
    while (c->end > c->at && c->end[-1] == ' ')
        c->end--;
}

int tdw__call_lex(const char *text, size_t bytes, bool whole, struct tdw__call_text *call,
                  const char **why)
{
    static const char unfinished[] = "<unfinished ...>";
    struct cursor c = {text, text + bytes};

    *call = (struct tdw__call_text){.result = {c.end, 0}, .note = {c.end, 0}};
    if (whole)
        lex_duration(&c, call);
    call->name = word(&c);
    if (call->name.bytes == 0 || !skip(&c, "("))
        return malformed(why, "it is no call");
    for (;;) {
        const char *start;

        skip_spaces(&c);
        if (skip(&c, unfinished) || begins(&c, ")") || (!whole && c.at == c.end))
            break;
        start = c.at;
        if (!skip_argument(&c) && whole)
            return malformed(why, "an argument does not end");
        if (call->args < TDW__ARGS_MAX)
            call->arg[call->args++] = trimmed(start, c.at);
        if (!skip(&c, ","))
            break;
    }
    if (!whole)
        return 0;
    if (!skip(&c, ")"))
        return malformed(why, "the arguments do not end");
    return lex_result(&c, call, why);
}

/* ── Members of lists ────────────────────────────────────────────────────────────────────────────
 */

struct tdw__span tdw__list_open(struct tdw__span list)
{
    if (list.bytes > 0 && (list.at[0] == '[' || list.at[0] == '{'))
        return (struct tdw__span){list.at + 1, list.bytes - 1};
    return (struct tdw__span){list.at, 0};
}

bool tdw__next_member(struct tdw__span *rest, struct tdw__span *member)
{
    struct cursor c = {rest->at, rest->bytes ? rest->at + rest->bytes : rest->at};
    const char *start;

    while (c.at < c.end && (*c.at == ',' || *c.at == ' '))
        c.at++;
    start = c.at;
    if (c.at == c.end || *c.at == ']' || *c.at == '}' || *c.at == ')' || !skip_argument(&c))
        return false;
    *member = trimmed(start, c.at);
    *rest = (struct tdw__span){c.at, left(&c)};
    return true;
}
