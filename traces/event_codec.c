/* SPDX-License-Identifier: MIT */
/*
 * Events as bytes, and back.
 *
 *     head      5 bits kind │ 20 time passed │ 40 another actor │ 80 ordinal not as expected
 *     fields    01 opcode │ 02 fd │ 04 off │ 08 len │ 10 data │ 20 flags │ 40 res │ 80 more
 *     more      01 name │ 02 site                                   (only if the bit is set)
 *     then      what the bits announce, in this order: kind (if the 5 bits are 31), time, actor,
 *               ordinal, opcode, fd, off, len, data, flags, res, site, name
 *
 * A field is written only where it differs from what is expected: the time and the actor of the
 * event before; the ordinal of the actor's last submit (for a submit, the one after it); the
 * actor's last opcode; and all else as in the last event of the same kind and a like opcode, of any
 * actor. So a field that a kind does not use costs nothing, nor does one that repeats. Times,
 * ordinals, offsets and lengths are written as differences; `data` is mostly a hash and takes its 8
 * bytes.
 *
 * An actor is a small number, given in the order in which actors come up in the chunk; a new one is
 * followed by its 8 bytes. The 5 bits are the kind up to 15, the kind less 16 from 32 to 46, and 31
 * for others, of which the number follows. 0 announces a record that is no event: the naming of an
 * actor.
 *
 * Both halves keep the same state and change it in the same places, side by side below. Nothing is
 * lost but `op` (a pointer) and what is longer than the limits of trace.h. Cost: 5-8 ns an event,
 * 2-5 bytes for those of a NOP. Called by writer.c and reader.c.
 */
#include <traces/format.h>

enum { HEAD_KIND = 0x1f, HEAD_TIME = 0x20, HEAD_ACTOR = 0x40, HEAD_ORDINAL = 0x80 };
enum {
    F_OPCODE = 1,
    F_FD = 2,
    F_OFF = 4,
    F_LEN = 8,
    F_DATA = 16,
    F_FLAGS = 32,
    F_RES = 64,
    F_MORE = 128
};
enum { MORE_NAME = 1, MORE_SITE = 2 };
enum { CODE_OTHER_RECORD = 0, CODE_OTHER_KIND = 31, RECORD_ACTOR = 1 };

/* The least that a new actor takes in a chunk: head, fields, number, the actor's 8 bytes. */
_Static_assert(TDW_TRACE_CHUNK_BYTES / 11 < TDW__ACTORS_MAX, "actors of a chunk fit the table");
_Static_assert(TDW__SITES_MAX * 3 <= TDW__TEXTS_MAX, "a chunk's sites do not exhaust its texts");

void tdw__events_reset(struct tdw__events *events)
{
    memset(events, 0, offsetof(struct tdw__events, table));
    memset(events->slots, 0, sizeof events->slots);
    memset(events->site_slots, 0, sizeof events->site_slots);
    events->site_of[0] = NULL;
}

/* ── What both halves expect ─────────────────────────────────────────────────────────────────────
 */

static inline uint8_t code_of(uint8_t kind)
{
    if (kind >= 1 && kind <= 15)
        return kind;
    return kind >= 32 && kind <= 46 ? (uint8_t)(kind - 16) : (uint8_t)CODE_OTHER_KIND;
}

/* Kinds that tell of an op have an opcode that their actor has used before. */
static inline bool of_an_op(uint8_t kind)
{
    return kind <= TDW_E_DELIVER || kind == TDW_E_ACQUIRE;
}

static inline uint8_t *opcode_expected(struct tdw__events *events, uint8_t kind, uint8_t code,
                                       struct tdw__actor *actor)
{
    return of_an_op(kind) ? &actor->opcode : &events->opcode[code];
}

static inline uint32_t ordinal_expected(const struct tdw__actor *actor, uint8_t kind)
{
    return actor->ordinal + (kind == TDW_E_SUBMIT);
}

static inline void ordinal_learn(struct tdw__actor *actor, uint8_t kind, uint32_t ordinal, bool new)
{
    if (kind == TDW_E_SUBMIT || new)
        actor->ordinal = ordinal;
}

static inline struct tdw__before *before(struct tdw__events *events, uint8_t code, uint8_t opcode)
{
    return &events->before[code][(opcode + (opcode >> 3)) & 63];
}

static inline struct tdw__actor *actor_new(struct tdw__events *events, uint64_t actor)
{
    struct tdw__actor *entry = &events->table[events->actors++];

    entry->actor = actor;
    entry->ordinal = UINT32_MAX; /* so that the first submit, number 0, is as expected */
    entry->opcode = 0;
    return entry;
}

/* ── Writing ─────────────────────────────────────────────────────────────────────────────────────
 */

/* The number of `actor`, or the next free one when it is new in this chunk. */
static uint32_t actor_number(struct tdw__events *events, uint64_t actor)
{
    uint32_t slot = (uint32_t)((actor * 0x9e3779b97f4a7c15u) >> 48);

    _Static_assert(TDW__ACTOR_SLOTS == 1 << 16, "the slot is a hash's upper 16 bits");
    for (;; slot = (slot + 1) % TDW__ACTOR_SLOTS) {
        const uint32_t number = events->slots[slot];

        if (number == 0) {
            events->slots[slot] = (uint16_t)(events->actors + 1);
            return events->actors;
        }
        if (events->table[number - 1].actor == actor)
            return number - 1;
    }
}

/* The slot of `site`: its own, or the free one where it belongs. By address: sites are constants.
 */
static struct tdw__site_slot *site_slot(struct tdw__events *events, const struct tdw_site *site)
{
    uint32_t slot = (uint32_t)(((uintptr_t)site * 0x9e3779b97f4a7c15u) >> 53);

    _Static_assert(TDW__SITE_SLOTS == 1 << 11, "the slot is a hash's upper 11 bits");
    while (events->site_slots[slot].site && events->site_slots[slot].site != site)
        slot = (slot + 1) % TDW__SITE_SLOTS;
    return &events->site_slots[slot];
}

static uint8_t *site_put(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                         uint8_t *at, const struct tdw_site *site, struct tdw__before *last)
{
    struct tdw__site_slot *slot;

    if (!site) {
        last->site = 0;
        return tdw__put_varint(at, 0);
    }
    slot = site_slot(events, site);
    if (slot->site) {
        last->site = slot->number;
        return tdw__put_varint(at, slot->number);
    }
    slot->site = site;
    slot->number = last->site = ++events->sites;
    events->site_of[slot->number] = site;
    at = tdw__put_varint(at, slot->number);
    at = tdw__put_interned(texts, chunk, at, site->file);
    at = tdw__put_interned(texts, chunk, at, site->function);
    at = tdw__put_interned(texts, chunk, at, site->what);
    return tdw__put_varint(at, site->line);
}

/* The fields that differ from the last event's; `last` takes them over. */
static inline uint8_t *fields_put(uint8_t *at, const struct tdw_event *e, struct tdw__before *last,
                                  uint8_t *bits)
{
    if (e->fd != last->fd) {
        *bits |= F_FD;
        at = tdw__put_delta(at, (uint64_t)(int64_t)e->fd, 0);
        last->fd = e->fd;
    }
    if (e->off != last->off) {
        *bits |= F_OFF;
        at = tdw__put_delta(at, e->off, last->off);
        last->off = e->off;
    }
    if (e->len != last->len) {
        *bits |= F_LEN;
        at = tdw__put_delta(at, e->len, last->len);
        last->len = e->len;
    }
    if (e->data != last->data) {
        *bits |= F_DATA;
        at = tdw__put_u64(at, e->data);
        last->data = e->data;
    }
    if (e->flags != last->flags) {
        *bits |= F_FLAGS;
        at = tdw__put_varint(at, e->flags);
        last->flags = e->flags;
    }
    if (e->res != last->res) {
        *bits |= F_RES;
        at = tdw__put_delta(at, (uint64_t)(int64_t)e->res, 0);
        last->res = e->res;
    }
    return at;
}

/* The time and the actor, where they differ from the event before; answers the actor. */
static inline struct tdw__actor *who_put(struct tdw__events *events, uint8_t **at, uint8_t *head,
                                         const struct tdw_event *e, bool *new)
{
    if (e->now_ns != events->now_ns) {
        *head |= HEAD_TIME;
        *at = tdw__put_varint(*at, e->now_ns - events->now_ns);
        events->now_ns = e->now_ns;
    }
    if (events->actors == 0 || e->actor != events->table[events->actor].actor) {
        *head |= HEAD_ACTOR;
        events->actor = actor_number(events, e->actor);
        *at = tdw__put_varint(*at, events->actor);
        *new = events->actor == events->actors;
        if (*new) {
            *at = tdw__put_u64(*at, e->actor);
            actor_new(events, e->actor);
        }
    }
    return &events->table[events->actor];
}

uint8_t *tdw__event_put(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                        uint8_t *at, const struct tdw_event *e)
{
    const uint8_t code = code_of(e->kind);
    uint8_t *const start = at;
    const bool more = e->name != NULL;
    uint8_t head = code, fields = 0, *opcode;
    struct tdw__actor *actor;
    struct tdw__before *last;
    bool new = false, moved;

    last = before(events, code, e->opcode);
    moved = events->site_of[last->site] != e->site;
    at += 2 + (more || moved);
    if (code == CODE_OTHER_KIND)
        *at++ = e->kind;
    actor = who_put(events, &at, &head, e, &new);

    if (e->ordinal != ordinal_expected(actor, e->kind)) {
        head |= HEAD_ORDINAL;
        at = tdw__put_delta(at, e->ordinal, ordinal_expected(actor, e->kind));
    }
    ordinal_learn(actor, e->kind, e->ordinal, new);
    opcode = opcode_expected(events, e->kind, code, actor);
    if (e->opcode != *opcode) {
        fields |= F_OPCODE;
        *at++ = *opcode = e->opcode;
    }
    at = fields_put(at, e, last, &fields);
    if (more || moved) {
        fields |= F_MORE;
        start[2] = (uint8_t)((more ? MORE_NAME : 0) | (moved ? MORE_SITE : 0));
        if (moved)
            at = site_put(events, texts, chunk, at, e->site, last);
        if (more)
            at = tdw__put_text(at, e->name, tdw__text_bytes(e->name, TDW_TRACE_TEXT_BYTES));
    }
    start[0] = head;
    start[1] = fields;
    return at;
}

uint8_t *tdw__actor_put(uint8_t *at, uint64_t actor, const char *path)
{
    *at++ = CODE_OTHER_RECORD;
    *at++ = RECORD_ACTOR;
    at = tdw__put_u64(at, actor);
    return tdw__put_text(at, path, tdw__text_bytes(path, TDW_TRACE_PATH_BYTES));
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────────
 */

static void site_get(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                     struct tdw__in *in, struct tdw__before *last)
{
    const uint64_t number = tdw__get_upto(in, events->sites + 1);
    struct tdw_site *site;

    if (in->bad)
        return;
    last->site = (uint32_t)number;
    if (number <= events->sites)
        return;
    if (number > TDW__SITES_MAX) {
        in->bad = true;
        return;
    }
    site = &events->site[number];
    site->file = tdw__get_interned(texts, chunk, in);
    site->function = tdw__get_interned(texts, chunk, in);
    site->what = tdw__get_interned(texts, chunk, in);
    site->line = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    if (in->bad)
        return;
    events->site_of[number] = site;
    events->sites++;
}

/* A difference, folded, of a 32-bit number: what is wider is malformed. */
static int32_t get_i32(struct tdw__in *in)
{
    const int64_t value = (int64_t)tdw__get_delta(in, 0);

    if (value != (int32_t)value)
        in->bad = true;
    return (int32_t)value;
}

static void fields_get(struct tdw__in *in, struct tdw_event *e, struct tdw__before *last,
                       uint8_t bits)
{
    if (bits & F_FD)
        last->fd = get_i32(in);
    if (bits & F_OFF)
        last->off = tdw__get_delta(in, last->off);
    if (bits & F_LEN)
        last->len = tdw__get_delta(in, last->len);
    if (bits & F_DATA)
        last->data = tdw__get_u64(in);
    if (bits & F_FLAGS)
        last->flags = (uint16_t)tdw__get_upto(in, UINT16_MAX);
    if (bits & F_RES)
        last->res = get_i32(in);
    e->fd = last->fd;
    e->off = last->off;
    e->len = last->len;
    e->data = last->data;
    e->flags = last->flags;
    e->res = last->res;
}

static struct tdw__actor *who_get(struct tdw__events *events, struct tdw__in *in, uint8_t head,
                                  bool *new)
{
    if (head & HEAD_TIME)
        events->now_ns += tdw__get_varint(in);
    if (head & HEAD_ACTOR) {
        const uint32_t number = (uint32_t)tdw__get_upto(in, events->actors);

        *new = number == events->actors;
        if (*new) {
            const uint64_t actor = tdw__get_u64(in);

            if (in->bad || events->actors == TDW__ACTORS_MAX)
                return NULL;
            actor_new(events, actor);
        }
        events->actor = number;
    }
    return events->actors > 0 && !in->bad ? &events->table[events->actor] : NULL;
}

static void actor_get(struct tdw__in *in, uint8_t head, struct tdw_trace_record *record)
{
    record->type = TDW_TRACE_ACTOR;
    if (head != CODE_OTHER_RECORD || tdw__get_u8(in) != RECORD_ACTOR)
        in->bad = true;
    record->actor.actor = tdw__get_u64(in);
    record->actor.path = tdw__get_text(in, TDW_TRACE_PATH_BYTES);
}

static uint8_t kind_get(struct tdw__in *in, uint8_t code)
{
    uint8_t kind;

    if (code != CODE_OTHER_KIND)
        return code < 16 ? code : (uint8_t)(code + 16);
    kind = tdw__get_u8(in);
    if (code_of(kind) != CODE_OTHER_KIND)
        in->bad = true;
    return kind;
}

void tdw__event_get(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                    struct tdw__in *in, struct tdw_trace_record *record)
{
    struct tdw_event *e = &record->event;
    const uint8_t head = tdw__get_u8(in), code = head & HEAD_KIND;
    uint8_t fields, more = 0, *opcode;
    struct tdw__actor *actor;
    struct tdw__before *last;
    bool new = false;

    if (code == CODE_OTHER_RECORD) {
        actor_get(in, head, record);
        return;
    }
    record->type = TDW_TRACE_EVENT;
    *e = (struct tdw_event){0};
    fields = tdw__get_u8(in);
    if (fields & F_MORE)
        more = tdw__get_u8(in);
    e->kind = kind_get(in, code);
    actor = who_get(events, in, head, &new);
    if (!actor || (more & ~(MORE_NAME | MORE_SITE))) {
        in->bad = true;
        return;
    }
    e->now_ns = events->now_ns;
    e->actor = actor->actor;
    e->ordinal = ordinal_expected(actor, e->kind);
    if (head & HEAD_ORDINAL)
        e->ordinal = (uint32_t)tdw__get_delta(in, e->ordinal);
    ordinal_learn(actor, e->kind, e->ordinal, new);
    opcode = opcode_expected(events, e->kind, code, actor);
    if (fields & F_OPCODE)
        *opcode = tdw__get_u8(in);
    e->opcode = *opcode;
    last = before(events, code, e->opcode);
    fields_get(in, e, last, fields);
    if (more & MORE_SITE)
        site_get(events, texts, chunk, in, last);
    e->site = events->site_of[last->site];
    if (more & MORE_NAME)
        e->name = tdw__get_text(in, TDW_TRACE_TEXT_BYTES);
}
