/* SPDX-License-Identifier: MIT */
/*
 * Segments: bytes with a head, from the loop's pool, in lists.
 *
 * A segment is the unit in which bytes are queued, sent and received; it is never copied on its
 * way, only split where a window ends. What a unix socket passes along with bytes hangs on the
 * segment.
 */
#include <sim/kernel/net/net.h>

_Static_assert(sizeof(struct tdw_segment) + TDW_SEGMENT_BYTES == 4096, "a block of the pool");

static size_t size_of(size_t room)
{
    return sizeof(struct tdw_segment) + room;
}

struct tdw_segment *tdw__segment_new(struct tdw_loop *loop, size_t bytes)
{
    const size_t room = (size_of(bytes) + 63) / 64 * 64 - sizeof(struct tdw_segment);
    struct tdw_segment *segment = tdw__memory_take(loop->memory, size_of(room));

    if (!segment)
        return NULL;
    *segment = (struct tdw_segment){.room = (uint32_t)room};
    return segment;
}

void tdw__segment_free(struct tdw_loop *loop, struct tdw_segment *segment)
{
    if (segment->passed)
        tdw__passed_free(loop, segment->passed);
    tdw__memory_put(loop->memory, segment, size_of(segment->room));
}

void tdw__segments_push(struct tdw_segments *list, struct tdw_segment *segment)
{
    segment->next = NULL;
    if (list->head)
        list->tail->next = segment;
    else
        list->head = segment;
    list->tail = segment;
}

struct tdw_segment *tdw__segments_pop(struct tdw_segments *list)
{
    struct tdw_segment *segment = list->head;

    if (segment)
        list->head = segment->next;
    return segment;
}

void tdw__segments_free(struct tdw_loop *loop, struct tdw_segments *list)
{
    struct tdw_segment *segment;

    while ((segment = tdw__segments_pop(list)) != NULL)
        tdw__segment_free(loop, segment);
}
