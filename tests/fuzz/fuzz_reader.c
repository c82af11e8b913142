/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: arbitrary bytes as a trace.
 *
 * The first byte chooses: with an even one the rest is a file as it is, which mostly tries headers
 * and lengths; with an odd one the rest is the inside of a single chunk, with right checksums put
 * around it, so that the codecs behind the checksums are reached. The chunk's type is the rest of
 * that byte.
 *
 * The reader must end, without touching memory that is not its own, and every text that it hands
 * out must be a text. Built with libFuzzer, or with replay_main.c to run given files.
 */
#include <traces/format.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t touched; /* so that the compiler must look */

static size_t length(const char *text)
{
    return text ? strlen(text) : 0;
}

static size_t event_touch(const struct tdw_event *e)
{
    size_t sum = length(e->name);

    if (e->site)
        sum += length(e->site->file) + length(e->site->function) + length(e->site->what);
    return sum;
}

static size_t call_touch(const struct tdw_call *c)
{
    size_t sum = length(c->name) + length(c->result_path) + length(c->address);

    for (int i = 0; i < 2; i++)
        sum += length(c->path[i]) + length(c->fd_path[i]);
    for (uint32_t i = 0; i < c->items; i++)
        sum += (size_t)c->item[i].a;
    for (int i = 0; i < c->edges; i++)
        sum += c->edge[i].call;
    return sum;
}

/* Look at every byte that the record points to. */
static size_t touch(const struct tdw_trace_record *r)
{
    switch (r->type) {
    case TDW_TRACE_META:
        return length(r->meta.key) + length(r->meta.value);
    case TDW_TRACE_EVENT:
        return event_touch(&r->event);
    case TDW_TRACE_ACTOR:
        return length(r->actor.path);
    case TDW_TRACE_THREAD:
        return length(r->thread.program);
    case TDW_TRACE_IMAGE:
        return length(r->image.path) + length(r->image.target);
    case TDW_TRACE_CALL:
        return call_touch(&r->call);
    case TDW_TRACE_GAP:
        return r->gap.calls;
    case TDW_TRACE_END:
        return r->end.calls;
    }
    abort();
}

static int file_of(const uint8_t *data, size_t size, uint8_t type)
{
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    uint8_t header[TDW__HEADER_BYTES];
    const struct tdw__chunk_header chunk = {
        .type = type,
        .stored = (uint32_t)size,
        .raw = (uint32_t)size,
        .records = (uint32_t)size,
        .crc = tdw__crc32c(0, data, size),
    };
    struct tdw_trace_writer *writer;

    if (type) {
        if (tdw_trace_create_fd(&writer, fd, TDW_TRACE_RUN, NULL, 0))
            abort();
        tdw_trace_abandon(writer);
        tdw__chunk_header_put(header, &chunk);
        if (write(fd, header, sizeof header) != (ssize_t)sizeof header)
            abort();
    }
    if (write(fd, data, size) != (ssize_t)size)
        abort();
    lseek(fd, 0, SEEK_SET);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_error error;
    struct tdw_trace_record record;
    int fd;

    if (size < 1 || size > TDW_TRACE_CHUNK_BYTES)
        return 0;
    fd = file_of(data + 1, size - 1, data[0] & 1 ? (uint8_t)((data[0] >> 1) % 7) : 0);
    if (tdw_trace_open_fd(&reader, fd, &error) == 0) {
        while (tdw_trace_next(reader, &record) == 1)
            touched += touch(&record);
        if (tdw_trace_next(reader, &record) == 1)
            abort();
    } else if (error.text[0] == 0) {
        abort();
    }
    tdw_trace_reader_close(reader);
    close(fd);
    return 0;
}
