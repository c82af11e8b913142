/* SPDX-License-Identifier: MIT */
/*
 * Single values in strace's output: numbers, words, quoted texts, annotations, members of lists.
 *
 * A number is C's (decimal, octal, hexadecimal, with a sign), or several of them and words joined
 * by
 * "|"; what does not fit into 64 bits wraps, as it would in the kernel. A text's escapes are
 * undone; zero bytes in it are left out. Texts are kept in the arena of the call, which has a fixed
 * size: what does not fit is cut, and the arena remembers that.
 *
 * Never reads behind a span and never allocates. Cost: a few ns a byte. Called by strace_args.c and
 * whoever looks into a list himself.
 */
#include <traces/import.h>
#include <string.h>

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────────
 */

int tdw__digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* A number in C's notation at the span's beginning; false if there is none. */
bool tdw__plain_number(struct tdw__span *span, int64_t *value)
{
    const char *at = span->at, *const end = at + span->bytes;
    const bool minus = at < end && *at == '-';
    uint64_t sum = 0;
    int base = 10;
    const char *start;

    at += minus;
    if (end - at > 1 && at[0] == '0') {
        base = at[1] == 'x' ? 16 : 8;
        at += base == 16 ? 2 : 0;
    }
    for (start = at; at < end && tdw__digit(*at) < base; at++)
        sum = sum * (unsigned)base + (unsigned)tdw__digit(*at);
    if (at == start)
        return false;
    *value = (int64_t)(minus ? 0 - sum : sum);
    *span = (struct tdw__span){at, (size_t)(end - at)};
    return true;
}

struct tdw__span tdw__word_of(const struct tdw__span *span)
{
    struct tdw__span word = {span->at, 0};

    while (word.bytes < span->bytes &&
           (tdw__digit(word.at[word.bytes]) < 10 || word.at[word.bytes] == '_' ||
            ((word.at[word.bytes] | 32) >= 'a' && (word.at[word.bytes] | 32) <= 'z')))
        word.bytes++;
    return word;
}

int64_t tdw__number(struct tdw__span span, bool *bad)
{
    int64_t sum = 0;

    while (span.bytes > 0) {
        int64_t value = 0;

        if (*span.at == '|' || *span.at == ' ') {
            span.at++, span.bytes--;
            continue;
        }
        if (!tdw__plain_number(&span, &value)) {
            const struct tdw__span word = tdw__word_of(&span);

            if (word.bytes == 0) {
                *bad |= *span.at != '<' && *span.at != '/';
                break;
            }
            *bad |= !tdw__word(word, &value);
            span.at += word.bytes, span.bytes -= word.bytes;
        }
        sum |= value;
    }
    return sum;
}

/* ── Texts ───────────────────────────────────────────────────────────────────────────────────────
 */

/* One character, escapes undone; moves *at on. */
char tdw__unescape(const char **at, const char *end)
{
    const char *p = *at;
    int value = 0, count;

    if (*p != '\\' || end - p < 2) {
        *at = p + 1;
        return *p;
    }
    p++;
    if (tdw__digit(*p) < 8) {
        for (count = 0; count < 3 && p < end && tdw__digit(*p) < 8; count++)
            value = value * 8 + tdw__digit(*p++);
        *at = p;
        return (char)value;
    }
    if (*p == 'x') {
        for (count = 0, p++; count < 2 && p < end && tdw__digit(*p) < 16; count++)
            value = value * 16 + tdw__digit(*p++);
        *at = p;
        return (char)value;
    }
    *at = p + 1;
    switch (*p) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'v':
        return '\v';
    case 'f':
        return '\f';
    default:
        return *p;
    }
}

/* Keep the bytes from `at` to `end`, unescaped. Zero bytes and what is too long are left out. */
const char *tdw__keep(struct tdw__arena *arena, const char *at, const char *end)
{
    char *const text = arena->bytes + arena->used;
    size_t bytes = 0;

    if (sizeof arena->bytes - arena->used <= TDW_TRACE_PATH_BYTES) {
        arena->cut = true;
        return "";
    }
    while (at < end && bytes < TDW_TRACE_PATH_BYTES) {
        const char c = tdw__unescape(&at, end);

        if (c != 0)
            text[bytes++] = c;
    }
    arena->cut |= at < end;
    text[bytes] = 0;
    arena->used += bytes + 1;
    return text;
}

/* The end of a quoted text that begins at `at` (behind its quote). */
const char *tdw__quote_end(const char *at, const char *end)
{
    while (at < end && *at != '"')
        at += *at == '\\' && end - at > 1 ? 2 : 1;
    return at < end ? at : end;
}

const char *tdw__quoted(struct tdw__arena *arena, struct tdw__span span)
{
    const char *const end = span.at + span.bytes;
    const char *close;

    if (span.bytes < 2 || span.at[0] != '"')
        return NULL;
    close = tdw__quote_end(span.at + 1, end);
    /* Three dots behind it: the recorder has cut it. An empty one means that it shows no bytes. */
    if (end - close >= 4 && !memcmp(close, "\"...", 4) && close > span.at + 1)
        arena->cut = true;
    return tdw__keep(arena, span.at + 1, close);
}

const char *tdw__annotation(struct tdw__arena *arena, struct tdw__span span)
{
    const char *at = memchr(span.at, '<', span.bytes), *end = span.at + span.bytes;

    if (!at || at == span.at)
        return NULL;
    while (end > at && end[-1] != '>')
        end--;
    return end - at < 2 ? NULL : tdw__keep(arena, at + 1, end - 1);
}

/* ── Members
 * ────────────────────────────────────────────────────────────────────────────────────────── */

struct tdw__span tdw__member(struct tdw__span braces, const char *key)
{
    struct tdw__span rest = tdw__list_open(braces), member;
    const size_t bytes = strlen(key);

    while (tdw__next_member(&rest, &member)) {
        if (member.bytes > bytes && !memcmp(member.at, key, bytes) && member.at[bytes] == '=')
            return (struct tdw__span){member.at + bytes + 1, member.bytes - bytes - 1};
    }
    return (struct tdw__span){braces.at, 0};
}
