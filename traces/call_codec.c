/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls as bytes, and back.
 *
 *     name, parts, start (since the last call's), length, then what `parts` announces:
 *     0001 thread and process       0020 paths of descriptors      0400 items
 *     0002 ordinal                  0040 path of the result        0800 edges
 *     0004 line                     0080 address                   1000 lock
 *     0008 row, how, compare,       0100 arguments that differ     2000 stat
 *          object, args, bits       0200 result                    4000 names
 *     0010 paths
 *
 * What is expected, and then not written: the thread of the call before; in each thread the next
 * ordinal; the next line; and all else as in the last call of the same name (by its number as a
 * text, modulo 256). So a program that does the same thing over and over costs 8-12 bytes a call
 * even before zstd. A list's length is bounded by trace.h, and so is the memory of a reader.
 *
 * Both halves change the same state in the same order, as in event_codec.c. Called by writer.c and
 * reader.c.
 */
#include <traces/format.h>

enum {
    P_THREAD = 0x1,
    P_ORDINAL = 0x2,
    P_LINE = 0x4,
    P_CLASS = 0x8,
    P_PATHS = 0x10,
    P_FD_PATHS = 0x20,
    P_RESULT_PATH = 0x40,
    P_ADDRESS = 0x80,
    P_ARGS = 0x100,
    P_RESULT = 0x200,
    P_ITEMS = 0x400,
    P_EDGES = 0x800,
    P_LOCK = 0x1000,
    P_STAT = 0x2000,
    P_NAMES = 0x4000,
    P_ALL = 0x7fff,
};

void tdw__calls_reset(struct tdw__calls *calls)
{
    memset(calls, 0, offsetof(struct tdw__calls, item));
    memset(calls->ordinal, 0xff, sizeof calls->ordinal);
}

size_t tdw__call_bytes(const struct tdw_call *call)
{
    const char *const texts[] = {
        call->name,       call->path[0],     call->path[1], call->fd_path[0],
        call->fd_path[1], call->result_path, call->address,
    };
    size_t bytes = 512 + (size_t)call->items * 2 * TDW__VARINT_BYTES;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        bytes += tdw__text_bytes(texts[i], TDW_TRACE_PATH_BYTES) + 8;
    return bytes;
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────
 */

static bool class_differs(const struct tdw__call_before *last, const struct tdw_call *call)
{
    return call->row != last->row || call->how != last->how || call->compare != last->compare ||
           call->object != last->object || call->args != last->args || call->bits != last->bits;
}

/* Does `text` differ from the text with this number? */
static bool text_differs(const struct tdw__texts *texts, const uint8_t *chunk, uint32_t number,
                         const char *text)
{
    size_t bytes;

    if (!text || number == 0)
        return (text != NULL) != (number != 0);
    bytes = tdw__text_bytes(text, TDW_TRACE_PATH_BYTES);
    return texts->length[number] != bytes || memcmp(chunk + texts->at[number], text, bytes) != 0;
}

/* Which of the parts must be written. */
static uint32_t parts_of(const struct tdw__calls *calls, const struct tdw__texts *texts,
                         const uint8_t *chunk, const struct tdw__call_before *last,
                         const struct tdw_call *call)
{
    const uint32_t expected = calls->ordinal[call->thread % TDW__THREAD_SLOTS] + 1;
    uint32_t parts = 0;

    parts |= call->thread != calls->thread || call->process != calls->process ? P_THREAD : 0;
    parts |= call->ordinal != expected ? P_ORDINAL : 0;
    parts |= call->line != calls->line + 1 ? P_LINE : 0;
    parts |= class_differs(last, call) ? P_CLASS : 0;
    for (int i = 0; i < 2; i++) {
        parts |= text_differs(texts, chunk, last->path[i], call->path[i]) ? P_PATHS : 0;
        parts |= text_differs(texts, chunk, last->fd_path[i], call->fd_path[i]) ? P_FD_PATHS : 0;
    }
    parts |= call->result_path ? P_RESULT_PATH : 0;
    parts |= call->address ? P_ADDRESS : 0;
    parts |= memcmp(call->arg, last->arg, sizeof call->arg) ? P_ARGS : 0;
    parts |= call->result != last->result ? P_RESULT : 0;
    parts |= call->items > 0 ? P_ITEMS : 0;
    parts |= call->edges > 0 ? P_EDGES : 0;
    parts |= call->bits & TDW_CALL_LOCK ? P_LOCK : 0;
    parts |= call->bits & TDW_CALL_STAT ? P_STAT : 0;
    parts |= call->bits & TDW_CALL_NAMES ? P_NAMES : 0;
    return parts;
}

static uint8_t *class_put(uint8_t *at, struct tdw__call_before *last, const struct tdw_call *call)
{
    *at++ = last->row = call->row;
    *at++ = last->how = call->how;
    *at++ = last->compare = call->compare;
    *at++ = last->object = call->object;
    *at++ = last->args = call->args;
    last->bits = call->bits;
    return tdw__put_varint(at, call->bits);
}

/* Number of a text that has just been written or met, for `last`. */
static uint32_t number_of(struct tdw__texts *texts, const uint8_t *chunk, const char *text)
{
    uint8_t bytes[TDW__VARINT_BYTES];
    struct tdw__in in = {bytes, bytes + sizeof bytes, false};

    tdw__put_interned(texts, chunk, bytes, text);
    return (uint32_t)tdw__get_varint(&in);
}

static uint8_t *two_put(struct tdw__texts *texts, const uint8_t *chunk, uint8_t *at,
                        const char *const text[2], uint32_t numbers[2])
{
    for (int i = 0; i < 2; i++) {
        at = tdw__put_interned(texts, chunk, at, text[i]);
        numbers[i] = number_of(texts, chunk, text[i]);
    }
    return at;
}

static uint8_t *args_put(uint8_t *at, struct tdw__call_before *last, const int64_t arg[6])
{
    uint8_t *const bits = at++;

    *bits = 0;
    for (int i = 0; i < 6; i++) {
        if (arg[i] == last->arg[i])
            continue;
        *bits |= (uint8_t)(1 << i);
        at = tdw__put_delta(at, (uint64_t)arg[i], (uint64_t)last->arg[i]);
        last->arg[i] = arg[i];
    }
    return at;
}

static uint8_t *lists_put(uint8_t *at, uint32_t parts, const struct tdw_call *call)
{
    if (parts & P_ITEMS) {
        at = tdw__put_varint(at, call->items);
        for (uint32_t i = 0; i < call->items; i++) {
            at = tdw__put_delta(at, (uint64_t)call->item[i].a, 0);
            at = tdw__put_varint(at, call->item[i].b);
        }
    }
    if (parts & P_EDGES) {
        *at++ = call->edges;
        for (uint32_t i = 0; i < call->edges; i++) {
            *at++ = call->edge[i].kind;
            at = tdw__put_varint(at, call->edge[i].call);
            at = tdw__put_varint(at, call->edge[i].thread);
            at = tdw__put_varint(at, call->edge[i].ordinal);
        }
    }
    return at;
}

static uint8_t *extras_put(uint8_t *at, uint32_t parts, const struct tdw_call *call)
{
    if (parts & P_LOCK) {
        at = tdw__put_delta(at, (uint64_t)call->lock.start, 0);
        at = tdw__put_delta(at, (uint64_t)call->lock.length, 0);
        at = tdw__put_delta(at, (uint64_t)(int64_t)call->lock.pid, 0);
        at = tdw__put_delta(at, (uint64_t)(int64_t)call->lock.type, 0);
        at = tdw__put_delta(at, (uint64_t)(int64_t)call->lock.whence, 0);
    }
    if (parts & P_STAT) {
        at = tdw__put_varint(at, call->stat.size);
        at = tdw__put_varint(at, call->stat.mode);
    }
    if (parts & P_NAMES) {
        at = tdw__put_varint(at, call->names.count);
        at = tdw__put_u64(at, call->names.hash);
    }
    return at;
}

/* Thread, ordinal, line: who made the call. The state takes them over. */
static uint8_t *who_put(struct tdw__calls *calls, uint8_t *at, uint32_t parts,
                        const struct tdw_call *call)
{
    if (parts & P_THREAD) {
        at = tdw__put_varint(at, call->thread);
        at = tdw__put_varint(at, call->process);
        calls->thread = call->thread;
        calls->process = call->process;
    }
    if (parts & P_ORDINAL)
        at = tdw__put_varint(at, call->ordinal);
    calls->ordinal[call->thread % TDW__THREAD_SLOTS] = call->ordinal;
    if (parts & P_LINE)
        at = tdw__put_delta(at, call->line, calls->line);
    calls->line = call->line;
    return at;
}

uint8_t *tdw__call_put(struct tdw__calls *calls, struct tdw__texts *texts, const uint8_t *chunk,
                       uint8_t *at, const struct tdw_call *call)
{
    struct tdw__call_before *last;
    uint32_t parts;

    at = tdw__put_interned(texts, chunk, at, call->name);
    last = &calls->before[number_of(texts, chunk, call->name) % TDW__NAME_SLOTS];
    parts = parts_of(calls, texts, chunk, last, call);
    at = tdw__put_varint(at, parts);
    at = tdw__put_delta(at, call->start_ns, calls->start_ns);
    at = tdw__put_delta(at, call->end_ns, call->start_ns);
    calls->start_ns = call->start_ns;
    at = who_put(calls, at, parts, call);
    if (parts & P_CLASS)
        at = class_put(at, last, call);
    if (parts & P_PATHS)
        at = two_put(texts, chunk, at, call->path, last->path);
    if (parts & P_FD_PATHS)
        at = two_put(texts, chunk, at, call->fd_path, last->fd_path);
    if (parts & P_RESULT_PATH)
        at = tdw__put_interned(texts, chunk, at, call->result_path);
    if (parts & P_ADDRESS)
        at = tdw__put_interned(texts, chunk, at, call->address);
    if (parts & P_ARGS)
        at = args_put(at, last, call->arg);
    if (parts & P_RESULT)
        at = tdw__put_delta(at, (uint64_t)call->result, 0);
    last->result = call->result;
    at = lists_put(at, parts, call);
    return extras_put(at, parts, call);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────
 */

/* An interned text and its number. */
static const char *text_get(struct tdw__texts *texts, const uint8_t *chunk, struct tdw__in *in,
                            uint32_t *number)
{
    struct tdw__in peek = *in;

    *number = (uint32_t)tdw__get_upto(&peek, TDW__TEXTS_MAX);
    return tdw__get_interned(texts, chunk, in);
}

static const char *text_of(const struct tdw__texts *texts, const uint8_t *chunk, uint32_t number)
{
    return number == 0 ? NULL : (const char *)chunk + texts->at[number];
}

static void who_get(struct tdw__calls *calls, struct tdw__in *in, uint32_t parts,
                    struct tdw_call *call)
{
    uint32_t *ordinal;

    if (parts & P_THREAD) {
        calls->thread = (uint32_t)tdw__get_upto(in, UINT32_MAX);
        calls->process = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    }
    call->thread = calls->thread;
    call->process = calls->process;
    ordinal = &calls->ordinal[call->thread % TDW__THREAD_SLOTS];
    *ordinal = parts & P_ORDINAL ? (uint32_t)tdw__get_upto(in, UINT32_MAX) : *ordinal + 1;
    call->ordinal = *ordinal;
    calls->line = parts & P_LINE ? tdw__get_delta(in, calls->line) : calls->line + 1;
    call->line = calls->line;
}

static void class_get(struct tdw__in *in, uint32_t parts, struct tdw__call_before *last,
                      struct tdw_call *call)
{
    if (parts & P_CLASS) {
        last->row = tdw__get_u8(in);
        last->how = tdw__get_u8(in);
        last->compare = tdw__get_u8(in);
        last->object = tdw__get_u8(in);
        last->args = tdw__get_u8(in);
        last->bits = (uint16_t)tdw__get_upto(in, UINT16_MAX);
        if (last->args > 6 || last->row >= TDW_ROWS)
            in->bad = true;
    }
    call->row = last->row;
    call->how = last->how;
    call->compare = last->compare;
    call->object = last->object;
    call->args = last->args;
    call->bits = last->bits;
}

static void texts_get(struct tdw__texts *texts, const uint8_t *chunk, struct tdw__in *in,
                      uint32_t parts, struct tdw__call_before *last, struct tdw_call *call)
{
    for (int i = 0; i < 2 && parts & P_PATHS; i++)
        text_get(texts, chunk, in, &last->path[i]);
    for (int i = 0; i < 2 && parts & P_FD_PATHS; i++)
        text_get(texts, chunk, in, &last->fd_path[i]);
    if (parts & P_RESULT_PATH)
        call->result_path = tdw__get_interned(texts, chunk, in);
    if (parts & P_ADDRESS)
        call->address = tdw__get_interned(texts, chunk, in);
    for (int i = 0; i < 2 && !in->bad; i++) {
        call->path[i] = text_of(texts, chunk, last->path[i]);
        call->fd_path[i] = text_of(texts, chunk, last->fd_path[i]);
    }
}

static void numbers_get(struct tdw__in *in, uint32_t parts, struct tdw__call_before *last,
                        struct tdw_call *call)
{
    const uint8_t bits = parts & P_ARGS ? tdw__get_u8(in) : 0;

    if (bits & 0xc0)
        in->bad = true;
    for (int i = 0; i < 6; i++) {
        if (bits & 1 << i)
            last->arg[i] = (int64_t)tdw__get_delta(in, (uint64_t)last->arg[i]);
        call->arg[i] = last->arg[i];
    }
    if (parts & P_RESULT)
        last->result = (int64_t)tdw__get_delta(in, 0);
    call->result = last->result;
}

static void lists_get(struct tdw__calls *calls, struct tdw__in *in, uint32_t parts,
                      struct tdw_call *call)
{
    if (parts & P_ITEMS) {
        call->items = (uint32_t)tdw__get_upto(in, TDW_TRACE_ITEMS_MAX);
        call->item = calls->item;
        for (uint32_t i = 0; i < call->items; i++) {
            calls->item[i].a = (int64_t)tdw__get_delta(in, 0);
            calls->item[i].b = tdw__get_varint(in);
        }
    }
    if (parts & P_EDGES) {
        call->edges = tdw__get_u8(in);
        if (call->edges > TDW_TRACE_EDGES_MAX) {
            in->bad = true;
            call->edges = 0;
        }
        for (uint32_t i = 0; i < call->edges; i++) {
            call->edge[i].kind = tdw__get_u8(in);
            call->edge[i].call = tdw__get_varint(in);
            call->edge[i].thread = (uint32_t)tdw__get_upto(in, UINT32_MAX);
            call->edge[i].ordinal = (uint32_t)tdw__get_upto(in, UINT32_MAX);
        }
    }
}

static void extras_get(struct tdw__in *in, uint32_t parts, struct tdw_call *call)
{
    if (parts & P_LOCK) {
        call->lock.start = (int64_t)tdw__get_delta(in, 0);
        call->lock.length = (int64_t)tdw__get_delta(in, 0);
        call->lock.pid = (int32_t)tdw__get_delta(in, 0);
        call->lock.type = (int16_t)tdw__get_delta(in, 0);
        call->lock.whence = (int16_t)tdw__get_delta(in, 0);
    }
    if (parts & P_STAT) {
        call->stat.size = tdw__get_varint(in);
        call->stat.mode = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    }
    if (parts & P_NAMES) {
        call->names.count = (uint32_t)tdw__get_upto(in, UINT32_MAX);
        call->names.hash = tdw__get_u64(in);
    }
}

void tdw__call_get(struct tdw__calls *calls, struct tdw__texts *texts, const uint8_t *chunk,
                   struct tdw__in *in, struct tdw_call *call)
{
    struct tdw__call_before *last;
    uint32_t number, parts;

    *call = (struct tdw_call){0};
    call->name = text_get(texts, chunk, in, &number);
    parts = (uint32_t)tdw__get_upto(in, P_ALL);
    if (!call->name || in->bad) {
        in->bad = true;
        return;
    }
    last = &calls->before[number % TDW__NAME_SLOTS];
    calls->start_ns = call->start_ns = tdw__get_delta(in, calls->start_ns);
    call->end_ns = tdw__get_delta(in, call->start_ns);
    who_get(calls, in, parts, call);
    class_get(in, parts, last, call);
    texts_get(texts, chunk, in, parts, last, call);
    numbers_get(in, parts, last, call);
    lists_get(calls, in, parts, call);
    extras_get(in, parts, call);
}
