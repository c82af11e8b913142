/* SPDX-License-Identifier: MIT */
/*
 * The small records as bytes, and back: metadata, threads, images, gaps, the end.
 *
 *     meta     key, value
 *     thread   process, tid, pid, parent + 1, calls, clone flags, clone call + 1, start, end -
 * start, status (folded), bits (1 ended, 2 has a program), program if it has one image    kind,
 * bits (1 exact, 2 has a target), path, size, mode, fd (folded), process, target end      events,
 * calls, threads, images, metas, actors, last time, bits (1 has a digest), digest low and high (8
 * bytes each, if it has one)
 *
 * Numbers are varints, texts as in text.c but never interned: these records are few, and zstd sees
 * what repeats. A thread's index is its place. Called by writer.c and reader.c.
 */
#include <traces/format.h>

enum { THREAD_ENDED = 1, THREAD_PROGRAM = 2 };
enum { IMAGE_EXACT = 1, IMAGE_TARGET = 2 };
enum { END_DIGEST = 1 };

static uint8_t *path_put(uint8_t *at, const char *text)
{
    return tdw__put_text(at, text, tdw__text_bytes(text, TDW_TRACE_PATH_BYTES));
}

static uint8_t bits_get(struct tdw__in *in, uint8_t known)
{
    const uint8_t bits = tdw__get_u8(in);

    if (bits & ~known)
        in->bad = true;
    return bits;
}

uint8_t *tdw__meta_put(uint8_t *at, const char *key, const char *value)
{
    at = path_put(at, key);
    return tdw__put_text(at, value, tdw__text_bytes(value, TDW_TRACE_TEXT_BYTES));
}

void tdw__meta_get(struct tdw__in *in, struct tdw_trace_meta *meta)
{
    meta->key = tdw__get_text(in, TDW_TRACE_PATH_BYTES);
    meta->value = tdw__get_text(in, TDW_TRACE_TEXT_BYTES);
}

uint8_t *tdw__thread_put(uint8_t *at, const struct tdw_trace_thread *thread)
{
    at = tdw__put_varint(at, thread->process);
    at = tdw__put_varint(at, thread->tid);
    at = tdw__put_varint(at, thread->pid);
    at = tdw__put_varint(at, (uint32_t)(thread->parent + 1));
    at = tdw__put_varint(at, thread->calls);
    at = tdw__put_varint(at, thread->clone_flags);
    at = tdw__put_varint(at, thread->clone_call + 1);
    at = tdw__put_varint(at, thread->start_ns);
    at = tdw__put_delta(at, thread->end_ns, thread->start_ns);
    at = tdw__put_delta(at, (uint64_t)(int64_t)thread->status, 0);
    *at++ = (uint8_t)((thread->ended ? THREAD_ENDED : 0) | (thread->program ? THREAD_PROGRAM : 0));
    return thread->program ? path_put(at, thread->program) : at;
}

void tdw__thread_get(struct tdw__in *in, struct tdw_trace_thread *thread)
{
    uint8_t bits;

    thread->process = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    thread->tid = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    thread->pid = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    thread->parent = (uint32_t)tdw__get_upto(in, UINT32_MAX) - 1;
    thread->calls = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    thread->clone_flags = tdw__get_varint(in);
    thread->clone_call = tdw__get_varint(in) - 1;
    thread->start_ns = tdw__get_varint(in);
    thread->end_ns = tdw__get_delta(in, thread->start_ns);
    thread->status = (int32_t)tdw__get_delta(in, 0);
    bits = bits_get(in, THREAD_ENDED | THREAD_PROGRAM);
    thread->ended = bits & THREAD_ENDED;
    thread->program = bits & THREAD_PROGRAM ? tdw__get_text(in, TDW_TRACE_PATH_BYTES) : NULL;
}

uint8_t *tdw__image_put(uint8_t *at, const struct tdw_image *image)
{
    *at++ = image->kind;
    *at++ = (uint8_t)((image->exact ? IMAGE_EXACT : 0) | (image->target ? IMAGE_TARGET : 0));
    at = path_put(at, image->path);
    at = tdw__put_varint(at, image->size);
    at = tdw__put_varint(at, image->mode);
    at = tdw__put_delta(at, (uint64_t)(int64_t)image->fd, 0);
    at = tdw__put_varint(at, image->process);
    return image->target ? path_put(at, image->target) : at;
}

void tdw__image_get(struct tdw__in *in, struct tdw_image *image)
{
    uint8_t bits;

    image->kind = tdw__get_u8(in);
    if (image->kind < TDW_IMAGE_ABSENT || image->kind > TDW_IMAGE_FD)
        in->bad = true;
    bits = bits_get(in, IMAGE_EXACT | IMAGE_TARGET);
    image->exact = bits & IMAGE_EXACT;
    image->path = tdw__get_text(in, TDW_TRACE_PATH_BYTES);
    image->size = tdw__get_varint(in);
    image->mode = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    image->fd = (int32_t)tdw__get_delta(in, 0);
    image->process = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    image->target = bits & IMAGE_TARGET ? tdw__get_text(in, TDW_TRACE_PATH_BYTES) : NULL;
}

uint8_t *tdw__gap_put(uint8_t *at, const struct tdw_trace_gap *gap)
{
    at = tdw__put_varint(at, (uint32_t)(gap->thread + 1));
    at = tdw__put_varint(at, gap->ordinal);
    at = tdw__put_varint(at, gap->calls);
    at = tdw__put_varint(at, gap->others);
    return tdw__put_varint(at, gap->before_ns);
}

void tdw__gap_get(struct tdw__in *in, struct tdw_trace_gap *gap)
{
    gap->thread = (uint32_t)tdw__get_upto(in, UINT32_MAX) - 1;
    gap->ordinal = (uint32_t)tdw__get_upto(in, UINT32_MAX);
    gap->calls = tdw__get_varint(in);
    gap->others = tdw__get_varint(in);
    gap->before_ns = tdw__get_varint(in);
}

uint8_t *tdw__end_put(uint8_t *at, const struct tdw_trace_end *end)
{
    at = tdw__put_varint(at, end->events);
    at = tdw__put_varint(at, end->calls);
    at = tdw__put_varint(at, end->threads);
    at = tdw__put_varint(at, end->images);
    at = tdw__put_varint(at, end->metas);
    at = tdw__put_varint(at, end->actors);
    at = tdw__put_varint(at, end->last_ns);
    *at++ = end->has_digest ? END_DIGEST : 0;
    if (end->has_digest) {
        at = tdw__put_u64(at, end->digest.lo);
        at = tdw__put_u64(at, end->digest.hi);
    }
    return at;
}

void tdw__end_get(struct tdw__in *in, struct tdw_trace_end *end)
{
    end->events = tdw__get_varint(in);
    end->calls = tdw__get_varint(in);
    end->threads = tdw__get_varint(in);
    end->images = tdw__get_varint(in);
    end->metas = tdw__get_varint(in);
    end->actors = tdw__get_varint(in);
    end->last_ns = tdw__get_varint(in);
    end->has_digest = bits_get(in, END_DIGEST) & END_DIGEST;
    end->digest = (struct tdw_digest){0, 0};
    if (end->has_digest) {
        end->digest.lo = tdw__get_u64(in);
        end->digest.hi = tdw__get_u64(in);
    }
}
