/* SPDX-License-Identifier: MIT */
/*
 * The layout of a `.tdw` file, and what the files of this room share. The full description, with
 * a worked example, is docs/trace-format.md.
 *
 *     file    ┌────────┬────────┬────────┬─ ─ ─┬─────┐
 *             │ header │ chunk  │ chunk  │     │ END │        header and chunk header: 32 bytes
 *             └────────┴────────┴────────┴─ ─ ─┴─────┘
 *     header  magic 8 │ major 2 │ minor 2 │ kind 1 │ 0 × 15 │ CRC32C of the 28 bytes before 4
 *     chunk   "TDWc" 4 │ type 1 │ packing 1 │ 0 × 2 │ stored bytes 4 │ raw bytes 4 │ number 4
 *             │ records 4 │ CRC32C of the stored bytes 4 │ CRC32C of the 28 bytes before 4
 *             then the stored bytes: the records, as they are or compressed
 *
 * Words are little-endian. Every chunk can be decoded by itself: the coding state (the event
 * before, actors, texts) starts empty in each, so damage never spreads and memory is bounded by the
 * chunk's size. Chunk numbers count from 0: a chunk that is lost or doubled is noticed.
 *
 * Invariants: stored <= raw <= TDW_TRACE_CHUNK_BYTES; what does not shrink is stored as it is; END
 * is the last chunk and has the totals. Nothing here depends on the machine's byte order, pointer
 * size or hash seeds: the same records give the same raw bytes everywhere.
 */
#ifndef TDW_TRACES_FORMAT_H
#define TDW_TRACES_FORMAT_H

#include <tidewheel/trace.h>
#include <traces/varint.h>

enum {
    TDW__HEADER_BYTES = 32,
    TDW__MAJOR = 1,
    TDW__MINOR = 1,
    TDW__PACK_NONE = 0,
    TDW__PACK_ZSTD = 1,
    TDW__SKIPPABLE = 128, /* chunk types from here on may be passed over by a reader */
};

#define TDW__MAGIC_BYTES "\x89TDW\r\n\x1a\n"
#define TDW__CHUNK_MAGIC "TDWc"

enum tdw__chunk {
    TDW__CHUNK_META = 1,
    TDW__CHUNK_EVENTS = 2, /* events and actors */
    TDW__CHUNK_THREADS = 3,
    TDW__CHUNK_IMAGES = 4,
    TDW__CHUNK_CALLS = 5,
    TDW__CHUNK_END = 6,
    TDW__CHUNK_GAPS = 128, /* since 1.1; a reader of 1.0 passes them over */
};

struct tdw__chunk_header {
    uint8_t type, packing;
    uint32_t stored, raw, number, records, crc;
};

/* The header's bytes, checksum included. */
void tdw__chunk_header_put(uint8_t bytes[TDW__HEADER_BYTES],
                           const struct tdw__chunk_header *header);

/* CRC32C (Castagnoli) of `bytes` bytes, going on from `crc` (0 at first). */
uint32_t tdw__crc32c(uint32_t crc, const void *data, size_t bytes);
uint32_t tdw__crc32c_tables(uint32_t crc, const void *data, size_t bytes); /* the plain way */

/* ── Compression: one of compress_zstd.c and compress_none.c ─────────────────────────────────────
 */
struct tdw__pack;

/* A compressor (or decompressor) for chunks. NULL when memory is short. */
struct tdw__pack *tdw__pack_new(bool compress);
void tdw__pack_free(struct tdw__pack *pack);

/* Compress into `to`, which has `bytes` bytes, like `from`. Answers the compressed length, or 0
 * when it is not shorter than `bytes`: the chunk is then stored as it is. */
size_t tdw__pack_chunk(struct tdw__pack *pack, uint8_t *to, const uint8_t *from, size_t bytes);

/* The reverse. 0 if exactly `raw` bytes came out, -EBADMSG, or -ENOTSUP in a build without it. */
int tdw__unpack_chunk(struct tdw__pack *pack, uint8_t *to, size_t raw, const uint8_t *from,
                      size_t stored);

/* ── Texts ─────────────────────────────────────────────────────────────────────────────────────
 * A text is a varint of its length, the bytes, and a NUL, so that a reader can point into the
 * chunk. A repeated text is a number: 0 is NULL, n is the nth text of the chunk, and one more than
 * there are introduces the next.
 */
enum { TDW__TEXTS_MAX = 4096, TDW__TEXT_SLOTS = 2 * TDW__TEXTS_MAX };

struct tdw__texts {
    uint32_t count;
    uint32_t at[TDW__TEXTS_MAX + 1];     /* where in the chunk, by number */
    uint32_t length[TDW__TEXTS_MAX + 1]; /* writing only */
    uint16_t slots[TDW__TEXT_SLOTS];     /* writing only: number by hash; 0: free */
};

void tdw__texts_reset(struct tdw__texts *texts);
uint8_t *tdw__put_text(uint8_t *at, const char *text, size_t bytes);
const char *tdw__get_text(struct tdw__in *in, size_t bytes_max);
uint8_t *tdw__put_interned(struct tdw__texts *texts, const uint8_t *chunk, uint8_t *at,
                           const char *text);
const char *tdw__get_interned(struct tdw__texts *texts, const uint8_t *chunk, struct tdw__in *in);

/* Length of a text, cut at `max`; 0 for NULL. */
static inline size_t tdw__text_bytes(const char *text, size_t max)
{
    return text ? strnlen(text, max) : 0;
}

/* ── Events (event_codec.c) ──────────────────────────────────────────────────────────────────────
 */
enum {
    TDW__EVENT_BYTES = 128 + 3 * (TDW_TRACE_PATH_BYTES + 8), /* of an event without name, at most */
    TDW__ACTORS_MAX = 32768,                                 /* more do not fit into a chunk */
    TDW__ACTOR_SLOTS = 65536,
    TDW__SITES_MAX = 1024,
    TDW__SITE_SLOTS = 2048,
};

struct tdw__actor {
    uint64_t actor;
    uint32_t ordinal; /* of its last submit */
    uint8_t opcode;
};

/* What the last event of the same kind and a like opcode said: the prediction for the next. */
struct tdw__before {
    uint64_t off, len, data;
    int32_t fd, res;
    uint32_t site;
    uint16_t flags;
};

struct tdw__site_slot {
    const struct tdw_site *site;
    uint32_t number;
};

struct tdw__events {
    uint64_t now_ns;
    uint32_t actor, actors, sites; /* the last one's number; how many there are */
    uint8_t opcode[32];            /* the last one, of each kind without an op */
    struct tdw__before before[32][64];
    struct tdw__actor table[TDW__ACTORS_MAX];
    uint16_t slots[TDW__ACTOR_SLOTS]; /* writing only: number + 1 by hash; 0: free */
    struct tdw__site_slot site_slots[TDW__SITE_SLOTS]; /* writing only */
    const struct tdw_site *site_of[TDW__SITES_MAX + 1];
    struct tdw_site site[TDW__SITES_MAX + 1]; /* reading only */
};

void tdw__events_reset(struct tdw__events *events);

/* Append to the chunk, in which there is room; answers the new end. */
uint8_t *tdw__event_put(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                        uint8_t *at, const struct tdw_event *event);
uint8_t *tdw__actor_put(uint8_t *at, uint64_t actor, const char *path);

/* The next record of an event chunk: an event or an actor. `in->bad` on malformed bytes. */
void tdw__event_get(struct tdw__events *events, struct tdw__texts *texts, const uint8_t *chunk,
                    struct tdw__in *in, struct tdw_trace_record *record);

/* ── Recordings (call_codec.c) ───────────────────────────────────────────────────────────────────
 */
enum { TDW__NAME_SLOTS = 256, TDW__THREAD_SLOTS = 1024 };

/* What the last call of the same name said. */
struct tdw__call_before {
    int64_t arg[6], result;
    uint16_t bits;
    uint8_t row, how, compare, object, args;
    uint32_t path[2], fd_path[2]; /* numbers of texts */
};

struct tdw__calls {
    uint64_t start_ns, line;
    uint32_t thread, process;
    uint32_t ordinal[TDW__THREAD_SLOTS];
    struct tdw__call_before before[TDW__NAME_SLOTS];
    struct tdw_call_item item[TDW_TRACE_ITEMS_MAX]; /* reading only */
};

void tdw__calls_reset(struct tdw__calls *calls);
size_t tdw__call_bytes(const struct tdw_call *call);
uint8_t *tdw__call_put(struct tdw__calls *calls, struct tdw__texts *texts, const uint8_t *chunk,
                       uint8_t *at, const struct tdw_call *call);
void tdw__call_get(struct tdw__calls *calls, struct tdw__texts *texts, const uint8_t *chunk,
                   struct tdw__in *in, struct tdw_call *call);

/* ── Small records (record_codec.c) ──────────────────────────────────────────────────────────────
 */
enum { TDW__SMALL_BYTES = 256 }; /* of a small record without texts, at most */

uint8_t *tdw__meta_put(uint8_t *at, const char *key, const char *value);
void tdw__meta_get(struct tdw__in *in, struct tdw_trace_meta *meta);
uint8_t *tdw__thread_put(uint8_t *at, const struct tdw_trace_thread *thread);
void tdw__thread_get(struct tdw__in *in, struct tdw_trace_thread *thread);
uint8_t *tdw__image_put(uint8_t *at, const struct tdw_image *image);
void tdw__image_get(struct tdw__in *in, struct tdw_image *image);
uint8_t *tdw__gap_put(uint8_t *at, const struct tdw_trace_gap *gap);
void tdw__gap_get(struct tdw__in *in, struct tdw_trace_gap *gap);
uint8_t *tdw__end_put(uint8_t *at, const struct tdw_trace_end *end);
void tdw__end_get(struct tdw__in *in, struct tdw_trace_end *end);

#endif
