/* SPDX-License-Identifier: MIT */
/*
 * The writer: records come in, chunks go out.
 *
 *     record ─▶ codec ─▶ chunk (256 KiB) ─▶ zstd ─▶ CRC32C ─▶ write(2)
 *                        └ closed when full, when the kind of record changes, at flush and close
 *
 * Each chunk holds one kind of record and starts with empty coding state. All memory is taken when
 * the writer is made (about 1.8 MiB, of which a small trace touches little); after that nothing is
 * allocated, and the system is called once a chunk. Each record first makes sure that its largest
 * possible size fits, so the codecs need not check.
 *
 * Invariants: the file only grows, and is valid up to its last whole chunk at every moment. The
 * first error sticks: nothing is written behind a hole. It never reads a clock, and never looks at
 * what an event's pointers lead to after the call returned (sites are constants: they may be).
 *
 * Cost: see event_codec.c; a chunk's close is about 0.5 ms. Called by the loop's taps and
 * importers.
 */
#include <traces/format.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct tdw_trace_writer {
    struct tdw_tap tap; /* first: the tap is the writer */
    int fd;
    int error;    /* 0, or the first -errno */
    bool owned;   /* the descriptor is ours to close */
    uint8_t type; /* of the open chunk, enum tdw__chunk; 0: none */
    uint32_t number, records;
    uint8_t *at;
    struct tdw_trace_end totals;
    struct tdw__pack *pack;
    struct tdw__texts texts;
    struct tdw__events events;
    struct tdw__calls calls;
    uint8_t chunk[TDW_TRACE_CHUNK_BYTES];
    uint8_t packed[TDW__HEADER_BYTES + TDW_TRACE_CHUNK_BYTES];
};

/* The largest record must fit into an empty chunk. */
_Static_assert(2 * TDW_TRACE_TEXT_BYTES + 8 * TDW_TRACE_PATH_BYTES +
                       2 * TDW__VARINT_BYTES * TDW_TRACE_ITEMS_MAX + 1024 <
                   TDW_TRACE_CHUNK_BYTES,
               "a record fits a chunk");

static int write_all(int fd, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        const ssize_t done = write(fd, bytes, count);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        bytes += done;
        count -= (size_t)done;
    }
    return 0;
}

void tdw__chunk_header_put(uint8_t bytes[TDW__HEADER_BYTES], const struct tdw__chunk_header *header)
{
    uint8_t *at = bytes;

    memcpy(at, TDW__CHUNK_MAGIC, 4);
    at[4] = header->type;
    at[5] = header->packing;
    at = tdw__put_u16(at + 6, 0);
    at = tdw__put_u32(at, header->stored);
    at = tdw__put_u32(at, header->raw);
    at = tdw__put_u32(at, header->number);
    at = tdw__put_u32(at, header->records);
    at = tdw__put_u32(at, header->crc);
    tdw__put_u32(at, tdw__crc32c(0, bytes, TDW__HEADER_BYTES - 4));
}

static int file_header_write(int fd, enum tdw_trace_kind kind)
{
    uint8_t bytes[TDW__HEADER_BYTES] = {0};

    memcpy(bytes, TDW__MAGIC_BYTES, 8);
    tdw__put_u16(bytes + 8, TDW__MAJOR);
    tdw__put_u16(bytes + 10, TDW__MINOR);
    bytes[12] = (uint8_t)kind;
    tdw__put_u32(bytes + 28, tdw__crc32c(0, bytes, TDW__HEADER_BYTES - 4));
    return write_all(fd, bytes, sizeof bytes);
}

/* Write the open chunk, if it holds anything. */
static int chunk_close(struct tdw_trace_writer *writer)
{
    const size_t raw = (size_t)(writer->at - writer->chunk);
    uint8_t *const stored = writer->packed + TDW__HEADER_BYTES;
    size_t packed;

    if (writer->error || writer->records == 0)
        return writer->error;
    packed = tdw__pack_chunk(writer->pack, stored, writer->chunk, raw);
    if (packed == 0)
        memcpy(stored, writer->chunk, raw);
    const struct tdw__chunk_header header = {
        .type = writer->type,
        .packing = packed ? TDW__PACK_ZSTD : TDW__PACK_NONE,
        .stored = (uint32_t)(packed ? packed : raw),
        .raw = (uint32_t)raw,
        .number = writer->number,
        .records = writer->records,
        .crc = tdw__crc32c(0, stored, packed ? packed : raw),
    };
    tdw__chunk_header_put(writer->packed, &header);
    writer->error = write_all(writer->fd, writer->packed, TDW__HEADER_BYTES + header.stored);
    writer->number++;
    writer->records = 0;
    writer->type = 0;
    return writer->error;
}

static void chunk_open(struct tdw_trace_writer *writer, enum tdw__chunk type)
{
    writer->type = (uint8_t)type;
    writer->at = writer->chunk;
    writer->records = 0;
    tdw__texts_reset(&writer->texts);
    writer->events.sites = 0;
    if (type == TDW__CHUNK_EVENTS)
        tdw__events_reset(&writer->events);
    else if (type == TDW__CHUNK_CALLS)
        tdw__calls_reset(&writer->calls);
}

static int chunk_change(struct tdw_trace_writer *writer, enum tdw__chunk type)
{
    const int error = chunk_close(writer);

    if (!error)
        chunk_open(writer, type);
    return error;
}

/* Make room for `bytes` more of records of this type. (No chunk is open once an error stuck.) */
static inline int room(struct tdw_trace_writer *writer, enum tdw__chunk type, size_t bytes)
{
    const size_t left = (size_t)(writer->chunk + TDW_TRACE_CHUNK_BYTES - writer->at);

    if (__builtin_expect(writer->type == type && left >= bytes &&
                             writer->texts.count + 8 <= TDW__TEXTS_MAX &&
                             writer->events.sites < TDW__SITES_MAX,
                         true))
        return 0;
    return chunk_change(writer, type);
}

static inline int appended(struct tdw_trace_writer *writer, uint8_t *at, uint64_t *total)
{
    writer->at = at;
    writer->records++;
    ++*total;
    return 0;
}

static inline void saw(struct tdw_trace_writer *writer, uint64_t now_ns)
{
    if (now_ns > writer->totals.last_ns)
        writer->totals.last_ns = now_ns;
}

int tdw_trace_event(struct tdw_trace_writer *writer, const struct tdw_event *event)
{
    const size_t name = tdw__text_bytes(event->name, TDW_TRACE_TEXT_BYTES);
    const int error = room(writer, TDW__CHUNK_EVENTS, TDW__EVENT_BYTES + name);

    if (error)
        return error;
    saw(writer, event->now_ns);
    return appended(
        writer, tdw__event_put(&writer->events, &writer->texts, writer->chunk, writer->at, event),
        &writer->totals.events);
}

static void on_event(struct tdw_tap *tap, const struct tdw_event *event)
{
    tdw_trace_event((struct tdw_trace_writer *)(void *)tap, event);
}

struct tdw_tap *tdw_trace_tap(struct tdw_trace_writer *writer)
{
    return &writer->tap;
}

int tdw_trace_meta(struct tdw_trace_writer *writer, const char *key, const char *value)
{
    const size_t bytes = TDW__SMALL_BYTES + tdw__text_bytes(key, TDW_TRACE_PATH_BYTES) +
                         tdw__text_bytes(value, TDW_TRACE_TEXT_BYTES);
    int error;

    if (!key || !value)
        return -EINVAL;
    error = room(writer, TDW__CHUNK_META, bytes);
    return error ? error
                 : appended(writer, tdw__meta_put(writer->at, key, value), &writer->totals.metas);
}

int tdw_trace_actor(struct tdw_trace_writer *writer, uint64_t actor, const char *path)
{
    int error;

    if (!path)
        return -EINVAL;
    error = room(writer, TDW__CHUNK_EVENTS,
                 TDW__SMALL_BYTES + tdw__text_bytes(path, TDW_TRACE_PATH_BYTES));
    return error
               ? error
               : appended(writer, tdw__actor_put(writer->at, actor, path), &writer->totals.actors);
}

int tdw_trace_thread(struct tdw_trace_writer *writer, const struct tdw_trace_thread *thread)
{
    int error;

    if (thread->index != writer->totals.threads)
        return -EINVAL;
    error = room(writer, TDW__CHUNK_THREADS,
                 TDW__SMALL_BYTES + tdw__text_bytes(thread->program, TDW_TRACE_PATH_BYTES));
    return error ? error
                 : appended(writer, tdw__thread_put(writer->at, thread), &writer->totals.threads);
}

int tdw_trace_image(struct tdw_trace_writer *writer, const struct tdw_image *image)
{
    int error;

    if (image->kind < TDW_IMAGE_ABSENT || image->kind > TDW_IMAGE_FD || !image->path)
        return -EINVAL;
    error = room(writer, TDW__CHUNK_IMAGES,
                 TDW__SMALL_BYTES + tdw__text_bytes(image->path, TDW_TRACE_PATH_BYTES) +
                     tdw__text_bytes(image->target, TDW_TRACE_PATH_BYTES));
    return error ? error
                 : appended(writer, tdw__image_put(writer->at, image), &writer->totals.images);
}

int tdw_trace_gap(struct tdw_trace_writer *writer, const struct tdw_trace_gap *gap)
{
    const int error = room(writer, TDW__CHUNK_GAPS, TDW__SMALL_BYTES);
    uint64_t gaps = 0;

    return error ? error : appended(writer, tdw__gap_put(writer->at, gap), &gaps);
}

int tdw_trace_call(struct tdw_trace_writer *writer, const struct tdw_call *call)
{
    int error;

    if (!call->name || call->args > 6 || call->row >= TDW_ROWS ||
        call->edges > TDW_TRACE_EDGES_MAX || call->items > TDW_TRACE_ITEMS_MAX)
        return -EINVAL;
    error = room(writer, TDW__CHUNK_CALLS, tdw__call_bytes(call));
    if (error)
        return error;
    saw(writer, call->end_ns);
    return appended(writer,
                    tdw__call_put(&writer->calls, &writer->texts, writer->chunk, writer->at, call),
                    &writer->totals.calls);
}

static int create(struct tdw_trace_writer **out, int fd, bool owned, enum tdw_trace_kind kind,
                  const struct tdw_trace_meta *meta, size_t metas)
{
    struct tdw_trace_writer *writer = malloc(sizeof *writer);
    int error;

    *out = NULL;
    if (!writer)
        return -ENOMEM;
    /* The large tables are set up chunk by chunk; only the small fields must be zero here. */
    memset(writer, 0, offsetof(struct tdw_trace_writer, texts));
    writer->texts.count = 0;
    writer->events.sites = 0;
    writer->tap.event = on_event;
    writer->fd = fd;
    writer->at = writer->chunk;
    writer->pack = tdw__pack_new(true);
    error = writer->pack ? file_header_write(fd, kind) : -ENOMEM;
    for (size_t i = 0; i < metas && !error; i++)
        error = tdw_trace_meta(writer, meta[i].key, meta[i].value);
    if (!error)
        error = tdw_trace_flush(writer);
    if (error) {
        tdw_trace_abandon(writer);
        return error;
    }
    writer->owned = owned;
    *out = writer;
    return 0;
}

int tdw_trace_create_fd(struct tdw_trace_writer **writer, int fd, enum tdw_trace_kind kind,
                        const struct tdw_trace_meta *meta, size_t metas)
{
    return create(writer, fd, false, kind, meta, metas);
}

int tdw_trace_create(struct tdw_trace_writer **writer, const char *path, enum tdw_trace_kind kind,
                     const struct tdw_trace_meta *meta, size_t metas)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int error;

    *writer = NULL;
    if (fd < 0)
        return -errno;
    error = create(writer, fd, true, kind, meta, metas);
    if (error)
        close(fd);
    return error;
}

int tdw_trace_flush(struct tdw_trace_writer *writer)
{
    return chunk_close(writer);
}

int tdw_trace_status(const struct tdw_trace_writer *writer)
{
    return writer->error;
}

int tdw_trace_close(struct tdw_trace_writer *writer, const struct tdw_digest *digest)
{
    struct tdw_trace_end end;
    uint64_t ends = 0;
    int error;

    if (!writer)
        return 0;
    end = writer->totals;
    end.has_digest = digest != NULL;
    if (digest)
        end.digest = *digest;
    error = room(writer, TDW__CHUNK_END, TDW__SMALL_BYTES);
    if (!error)
        error = appended(writer, tdw__end_put(writer->at, &end), &ends);
    if (!error)
        error = chunk_close(writer);
    if (writer->owned && close(writer->fd) < 0 && !error)
        error = -errno;
    writer->owned = false;
    tdw_trace_abandon(writer);
    return error;
}

void tdw_trace_abandon(struct tdw_trace_writer *writer)
{
    if (!writer)
        return;
    if (writer->owned)
        close(writer->fd);
    tdw__pack_free(writer->pack);
    free(writer);
}
