/* SPDX-License-Identifier: MIT */
/*
 * Calls on their way to the file, in the order of their starts.
 *
 *     calls   call │ call │ place 0 │ call │ place 1 │ …       a temporary file
 *     late                 call (of place 1) │ call (of 0) │ …  another, with its offsets by place
 *
 * A call that another thread's line interrupts is known only later, so it gets a place where it
 * started, and is put into the second file when it ends. At the end both are read once, merged and
 * handed to the trace's writer. A place that was never filled is an error of the importer: every
 * thread's last call is filled, with or without a result.
 *
 * The spooled form is this process's own (structure, then texts, then lists), not a file format.
 * Cost: one write and one read of some 300 bytes a call. Called by import_calls.c.
 */
#include <traces/import.h>
#include <traces/format.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE = 0xffffffff };

struct spooled {
    struct tdw_call call;
    uint32_t text[7]; /* lengths; UINT32_MAX: NULL */
};

static void texts_of(const struct tdw_call *call, const char *texts[7])
{
    texts[0] = call->name;
    texts[1] = call->path[0];
    texts[2] = call->path[1];
    texts[3] = call->fd_path[0];
    texts[4] = call->fd_path[1];
    texts[5] = call->result_path;
    texts[6] = call->address;
}

int tdw__spool_init(struct tdw__spool *spool)
{
    spool->calls = tmpfile();
    spool->late = spool->calls ? tmpfile() : NULL;
    return spool->late ? 0 : -errno;
}

void tdw__spool_fini(struct tdw__spool *spool)
{
    if (spool->calls)
        fclose(spool->calls);
    if (spool->late)
        fclose(spool->late);
    free(spool->late_at);
}

static int failed(FILE *file)
{
    return ferror(file) ? (errno ? -errno : -EIO) : 0;
}

static int put(FILE *file, const struct tdw_call *call)
{
    struct spooled spooled = {.call = *call};
    const char *texts[7];

    texts_of(call, texts);
    for (int i = 0; i < 7; i++)
        spooled.text[i] =
            texts[i] ? (uint32_t)tdw__text_bytes(texts[i], TDW_TRACE_PATH_BYTES) : UINT32_MAX;
    fwrite(&spooled, sizeof spooled, 1, file);
    for (int i = 0; i < 7; i++) {
        if (texts[i])
            fwrite(texts[i], 1, spooled.text[i], file);
    }
    if (call->items)
        fwrite(call->item, sizeof *call->item, call->items, file);
    return failed(file);
}

int tdw__spool_put(struct tdw__spool *spool, const struct tdw_call *call)
{
    const uint32_t no_place = PLACE;

    fwrite(&no_place, sizeof no_place, 1, spool->calls);
    return put(spool->calls, call);
}

int tdw__spool_reserve(struct tdw__spool *spool, uint32_t *slot)
{
    const int error =
        tdw__grow(&spool->late_at, &spool->slots_room, spool->slots, sizeof *spool->late_at);

    if (error || spool->slots >= PLACE)
        return error ? error : -EOVERFLOW;
    *slot = (uint32_t)spool->slots++;
    spool->late_at[*slot] = -1;
    fwrite(slot, sizeof *slot, 1, spool->calls);
    return failed(spool->calls);
}

int tdw__spool_fill(struct tdw__spool *spool, uint32_t slot, const struct tdw_call *call)
{
    spool->late_at[slot] = ftell(spool->late);
    return spool->late_at[slot] < 0 ? -errno : put(spool->late, call);
}

/* Room for a call that comes back. */
struct back {
    char texts[7][TDW_TRACE_PATH_BYTES + 1];
    struct tdw_call_item items[TDW_TRACE_ITEMS_MAX];
};

static int get(FILE *file, struct tdw_call *call, struct back *back)
{
    struct spooled spooled;
    const char *texts[7] = {NULL};

    if (fread(&spooled, sizeof spooled, 1, file) != 1)
        return -EIO;
    for (int i = 0; i < 7; i++) {
        const uint32_t bytes = spooled.text[i];

        if (bytes == UINT32_MAX)
            continue;
        if (bytes > TDW_TRACE_PATH_BYTES || fread(back->texts[i], 1, bytes, file) != bytes)
            return -EIO;
        back->texts[i][bytes] = 0;
        texts[i] = back->texts[i];
    }
    *call = spooled.call;
    if (call->items > TDW_TRACE_ITEMS_MAX ||
        fread(back->items, sizeof *back->items, call->items, file) != call->items)
        return -EIO;
    call->name = texts[0];
    call->path[0] = texts[1];
    call->path[1] = texts[2];
    call->fd_path[0] = texts[3];
    call->fd_path[1] = texts[4];
    call->result_path = texts[5];
    call->address = texts[6];
    call->item = back->items;
    return 0;
}

static int get_late(struct tdw__spool *spool, uint32_t slot, struct tdw_call *call,
                    struct back *back)
{
    if (slot >= spool->slots || spool->late_at[slot] < 0)
        return -EIO;
    if (fseek(spool->late, spool->late_at[slot], SEEK_SET) < 0)
        return -errno;
    return get(spool->late, call, back);
}

int tdw__spool_write(struct tdw__spool *spool, struct tdw_trace_writer *writer)
{
    struct back *const back = malloc(sizeof *back);
    uint32_t slot;
    int error = back ? 0 : -ENOMEM;

    rewind(spool->calls);
    while (!error && fread(&slot, sizeof slot, 1, spool->calls) == 1) {
        struct tdw_call call;

        error = slot == PLACE ? get(spool->calls, &call, back) : get_late(spool, slot, &call, back);
        if (!error)
            error = tdw_trace_call(writer, &call);
    }
    if (!error)
        error = failed(spool->calls);
    free(back);
    return error;
}
