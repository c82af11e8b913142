/* SPDX-License-Identifier: MIT */
/*
 * The reader: chunks come in, records go out, damage is named.
 *
 *     read(2) ─▶ header checked ─▶ bytes checked ─▶ unpacked ─▶ codec ─▶ record
 *
 * It trusts nothing: a length is compared with the format's limits before it is used, a checksum
 * before the bytes are, and every number inside a chunk is bounded by what the chunk defined
 * before. A chunk whose checksum is right but whose records are not is still refused at the first
 * bad one. So a reader of arbitrary bytes ends with an error, in memory that was taken at open
 * (about 1.6 MiB), and all that was whole before has been delivered.
 *
 * Invariants: chunks are numbered without gap; the end's totals are those that were seen; nothing
 * follows the end. It never seeks, so a pipe will do. Texts of a record point into the chunk and
 * are valid until the next record.
 *
 * Cost: about 10 ns an event. Called by all verbs that take a trace.
 */
#include <traces/format.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tdw_trace_reader {
    int fd;
    bool owned, ended;
    uint8_t kind;
    uint32_t number;    /* of the next chunk */
    uint32_t left;      /* records of this chunk that are still to come */
    uint64_t offset;    /* of the next byte in the file */
    uint64_t chunk_at;  /* where this chunk's header is */
    uint64_t raw_bytes; /* so far */
    struct tdw__chunk_header header;
    struct tdw__in in;
    struct tdw_trace_end seen;
    struct tdw_trace_error error;
    struct tdw__pack *pack;
    struct tdw__texts texts;
    struct tdw__events events;
    struct tdw__calls calls;
    uint8_t chunk[TDW_TRACE_CHUNK_BYTES];
    uint8_t stored[TDW_TRACE_CHUNK_BYTES];
};

/* Note the first error; answers its code. */
__attribute__((format(printf, 4, 5))) static int fail(struct tdw_trace_reader *reader, int code,
                                                      uint64_t offset, const char *format, ...)
{
    struct tdw_trace_error *error = &reader->error;
    va_list args;

    error->code = code;
    error->offset = offset;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}

/* Read up to `count` bytes; fewer only at the end of the file. Answers how many, or -errno. */
static ssize_t read_all(struct tdw_trace_reader *reader, uint8_t *to, size_t count)
{
    size_t done = 0;

    while (done < count) {
        const ssize_t got = read(reader->fd, to + done, count - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(reader, -errno, reader->offset + done, "cannot read: %s", strerror(errno));
        if (got == 0)
            break;
        done += (size_t)got;
    }
    reader->offset += done;
    return (ssize_t)done;
}

static int file_header_read(struct tdw_trace_reader *reader)
{
    uint8_t bytes[TDW__HEADER_BYTES];
    const ssize_t got = read_all(reader, bytes, sizeof bytes);
    unsigned major;

    if (got < 0)
        return (int)got;
    if (got == 0)
        return fail(reader, -ENODATA, 0, "the file is empty");
    if (memcmp(bytes, TDW__MAGIC_BYTES, got < 8 ? (size_t)got : 8) != 0)
        return fail(reader, -EINVAL, 0, "not a tidewheel trace: the first bytes are others");
    if (got < (ssize_t)sizeof bytes)
        return fail(reader, -ENODATA, (uint64_t)got, "the file ends within its header");
    if (tdw__load_u32(bytes + 28) != tdw__crc32c(0, bytes, TDW__HEADER_BYTES - 4))
        return fail(reader, -EBADMSG, 0, "the file's header is damaged: its checksum is wrong");
    major = bytes[8] | (unsigned)bytes[9] << 8;
    if (major != TDW__MAJOR)
        return fail(reader, -ENOTSUP, 8, "format version %u, but this program reads version %d",
                    major, TDW__MAJOR);
    if (bytes[12] != TDW_TRACE_RUN && bytes[12] != TDW_TRACE_RECORDING)
        return fail(reader, -ENOTSUP, 12, "a kind of trace that this program does not know (%u)",
                    bytes[12]);
    reader->kind = bytes[12];
    return 0;
}

/* The header of the next chunk. 1, 0 where the file ends, or -errno. */
static int chunk_header_read(struct tdw_trace_reader *reader)
{
    struct tdw__chunk_header *h = &reader->header;
    uint8_t b[TDW__HEADER_BYTES];
    ssize_t got;

    reader->chunk_at = reader->offset;
    got = read_all(reader, b, sizeof b);
    if (got <= 0)
        return (int)got;
    if (got < (ssize_t)sizeof b)
        return fail(reader, -ENODATA, reader->offset, "the file ends within a chunk's header");
    if (memcmp(b, TDW__CHUNK_MAGIC, 4) != 0)
        return fail(reader, -EBADMSG, reader->chunk_at, "no chunk begins here");
    if (tdw__load_u32(b + 28) != tdw__crc32c(0, b, TDW__HEADER_BYTES - 4))
        return fail(reader, -EBADMSG, reader->chunk_at, "a chunk's header is damaged");
    *h = (struct tdw__chunk_header){
        .type = b[4],
        .packing = b[5],
        .stored = tdw__load_u32(b + 8),
        .raw = tdw__load_u32(b + 12),
        .number = tdw__load_u32(b + 16),
        .records = tdw__load_u32(b + 20),
        .crc = tdw__load_u32(b + 24),
    };
    if (h->number != reader->number)
        return fail(reader, -EBADMSG, reader->chunk_at, "chunk %u is missing: here is chunk %u",
                    reader->number, h->number);
    if (h->raw > TDW_TRACE_CHUNK_BYTES || h->stored > h->raw || h->records > h->raw ||
        (h->packing == TDW__PACK_NONE && h->stored != h->raw))
        return fail(reader, -EBADMSG, reader->chunk_at, "a chunk claims an impossible size");
    if (h->packing > TDW__PACK_ZSTD)
        return fail(reader, -ENOTSUP, reader->chunk_at,
                    "a chunk is compressed in a way that this program does not know (%u)",
                    h->packing);
    return 1;
}

static int chunk_bytes_read(struct tdw_trace_reader *reader)
{
    const struct tdw__chunk_header *h = &reader->header;
    const bool plain = h->packing == TDW__PACK_NONE;
    uint8_t *to = plain ? reader->chunk : reader->stored;
    const ssize_t got = read_all(reader, to, h->stored);
    int error;

    if (got < 0)
        return (int)got;
    if ((size_t)got < h->stored)
        return fail(reader, -ENODATA, reader->offset, "the file ends within a chunk");
    if (tdw__crc32c(0, to, h->stored) != h->crc)
        return fail(reader, -EBADMSG, reader->chunk_at + TDW__HEADER_BYTES,
                    "a chunk is damaged: the checksum of its %u bytes is wrong", h->stored);
    error = plain
                ? 0
                : tdw__unpack_chunk(reader->pack, reader->chunk, h->raw, reader->stored, h->stored);
    if (error == -ENOTSUP)
        return fail(reader, error, reader->chunk_at,
                    "a chunk is compressed, and this program was built without zstd");
    if (error)
        return fail(reader, error, reader->chunk_at + TDW__HEADER_BYTES,
                    "a chunk cannot be decompressed");
    reader->raw_bytes += h->raw;
    return 0;
}

/* The next chunk, ready to be decoded. 1, 0 at the end of a whole file, or -errno. */
static int chunk_read(struct tdw_trace_reader *reader)
{
    int got;

    do {
        got = chunk_header_read(reader);
        if (got > 0 && reader->ended)
            return fail(reader, -EBADMSG, reader->chunk_at, "there is something behind the end");
        if (got == 0 && !reader->ended)
            return fail(reader, -ENODATA, reader->offset,
                        "the file stops before its end: its writer was stopped, or still writes");
        if (got <= 0)
            return got;
        got = chunk_bytes_read(reader);
        if (got < 0)
            return got;
        reader->number++;
        if (reader->header.type == TDW__CHUNK_GAPS && reader->header.records > 0)
            break;
        if (reader->header.type == 0 ||
            (reader->header.type > TDW__CHUNK_END && reader->header.type < TDW__SKIPPABLE))
            return fail(reader, -ENOTSUP, reader->chunk_at,
                        "a kind of chunk that this program does not know (%u)",
                        reader->header.type);
    } while (reader->header.type >= TDW__SKIPPABLE || reader->header.records == 0);

    reader->left = reader->header.records;
    reader->in = (struct tdw__in){reader->chunk, reader->chunk + reader->header.raw, false};
    tdw__texts_reset(&reader->texts);
    if (reader->header.type == TDW__CHUNK_EVENTS)
        tdw__events_reset(&reader->events);
    else if (reader->header.type == TDW__CHUNK_CALLS)
        tdw__calls_reset(&reader->calls);
    return 1;
}

/* Are the end's totals those of what was delivered? */
static bool totals_agree(const struct tdw_trace_end *seen, const struct tdw_trace_end *end)
{
    return seen->events == end->events && seen->calls == end->calls &&
           seen->threads == end->threads && seen->images == end->images &&
           seen->metas == end->metas && seen->actors == end->actors;
}

static void event_next(struct tdw_trace_reader *reader, struct tdw_trace_record *record)
{
    tdw__event_get(&reader->events, &reader->texts, reader->chunk, &reader->in, record);
    if (record->type == TDW_TRACE_ACTOR)
        reader->seen.actors++;
    else
        reader->seen.events++;
}

static void thread_next(struct tdw_trace_reader *reader, struct tdw_trace_thread *thread)
{
    tdw__thread_get(&reader->in, thread);
    thread->index = (uint32_t)reader->seen.threads++;
}

static void call_next(struct tdw_trace_reader *reader, struct tdw_call *call)
{
    tdw__call_get(&reader->calls, &reader->texts, reader->chunk, &reader->in, call);
    call->index = reader->seen.calls++;
}

/* Decode one record of the present chunk. */
static void record_next(struct tdw_trace_reader *reader, struct tdw_trace_record *record)
{
    switch ((enum tdw__chunk)reader->header.type) {
    case TDW__CHUNK_META:
        record->type = TDW_TRACE_META;
        tdw__meta_get(&reader->in, &record->meta);
        reader->seen.metas++;
        break;
    case TDW__CHUNK_EVENTS:
        event_next(reader, record);
        break;
    case TDW__CHUNK_THREADS:
        record->type = TDW_TRACE_THREAD;
        thread_next(reader, &record->thread);
        break;
    case TDW__CHUNK_IMAGES:
        record->type = TDW_TRACE_IMAGE;
        tdw__image_get(&reader->in, &record->image);
        reader->seen.images++;
        break;
    case TDW__CHUNK_CALLS:
        record->type = TDW_TRACE_CALL;
        call_next(reader, &record->call);
        break;
    case TDW__CHUNK_GAPS:
        record->type = TDW_TRACE_GAP;
        tdw__gap_get(&reader->in, &record->gap);
        break;
    case TDW__CHUNK_END:
        record->type = TDW_TRACE_END;
        tdw__end_get(&reader->in, &record->end);
        if (!totals_agree(&reader->seen, &record->end))
            reader->in.bad = true;
        reader->ended = true;
        break;
    }
}

int tdw_trace_next(struct tdw_trace_reader *reader, struct tdw_trace_record *record)
{
    const struct tdw__in *in = &reader->in;
    size_t at;

    if (reader->error.code)
        return reader->error.code;
    if (reader->left == 0) {
        const int got = chunk_read(reader);

        if (got <= 0)
            return got;
    }
    at = (size_t)(in->at - reader->chunk);
    record->offset = reader->chunk_at;
    record_next(reader, record);
    reader->left--;
    if (in->bad || (reader->left == 0 && in->at != in->end))
        return fail(reader, -EBADMSG, reader->chunk_at,
                    "a record is malformed: byte %zu of the %u of this chunk, unpacked", at,
                    reader->header.raw);
    return 1;
}

static int open_fd(struct tdw_trace_reader **out, int fd, bool owned, struct tdw_trace_error *error)
{
    struct tdw_trace_reader *reader = malloc(sizeof *reader);
    int code = -ENOMEM;

    *out = NULL;
    if (reader) {
        memset(reader, 0, offsetof(struct tdw_trace_reader, texts));
        reader->fd = fd;
        reader->pack = tdw__pack_new(false);
        code = reader->pack ? file_header_read(reader) : -ENOMEM;
    }
    if (error)
        *error = reader && reader->error.code
                     ? reader->error
                     : (struct tdw_trace_error){.code = code, .text = "not enough memory"};
    if (code) {
        tdw_trace_reader_close(reader);
        return code;
    }
    if (error)
        *error = (struct tdw_trace_error){0};
    reader->owned = owned;
    *out = reader;
    return 0;
}

int tdw_trace_open_fd(struct tdw_trace_reader **reader, int fd, struct tdw_trace_error *error)
{
    return open_fd(reader, fd, false, error);
}

int tdw_trace_open(struct tdw_trace_reader **reader, const char *path,
                   struct tdw_trace_error *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code;

    *reader = NULL;
    if (fd < 0) {
        code = -errno;
        if (error) {
            *error = (struct tdw_trace_error){.code = code};
            snprintf(error->text, sizeof error->text, "cannot open: %s", strerror(-code));
        }
        return code;
    }
    code = open_fd(reader, fd, true, error);
    if (code)
        close(fd);
    return code;
}

enum tdw_trace_kind tdw_trace_kind(const struct tdw_trace_reader *reader)
{
    return (enum tdw_trace_kind)reader->kind;
}

const struct tdw_trace_error *tdw_trace_error(const struct tdw_trace_reader *reader)
{
    return &reader->error;
}

void tdw_trace_bytes(const struct tdw_trace_reader *reader, uint64_t *file, uint64_t *raw)
{
    *file = reader->offset;
    *raw = reader->raw_bytes;
}

void tdw_trace_reader_close(struct tdw_trace_reader *reader)
{
    if (!reader)
        return;
    if (reader->owned)
        close(reader->fd);
    tdw__pack_free(reader->pack);
    free(reader);
}
