/* SPDX-License-Identifier: MIT */
/*
 * Texts of a chunk: written once, then a number.
 *
 * The writer finds a text it has already written through a hash table of numbers and compares with
 * the bytes in the chunk itself, so nothing is copied and nothing allocated. The reader keeps where
 * each text stands in its chunk. Both sides count in the same order, so the table need not be
 * stored. A text's NUL is stored with it: what the reader hands out points into the chunk.
 *
 * Invariants: at most TDW__TEXTS_MAX texts in a chunk (the writer closes the chunk before); none is
 * longer than TDW_TRACE_PATH_BYTES; none has a NUL inside. The hash decides no byte of the file.
 *
 * Cost: a hash and one comparison for each text. Called by the codecs.
 */
#define XXH_INLINE_ALL
#include <traces/format.h>
#include <xxhash.h>

void tdw__texts_reset(struct tdw__texts *texts)
{
    texts->count = 0;
    memset(texts->slots, 0, sizeof texts->slots);
}

uint8_t *tdw__put_text(uint8_t *at, const char *text, size_t bytes)
{
    at = tdw__put_varint(at, bytes);
    if (bytes > 0)
        memcpy(at, text, bytes);
    at[bytes] = 0;
    return at + bytes + 1;
}

const char *tdw__get_text(struct tdw__in *in, size_t bytes_max)
{
    const size_t bytes = tdw__get_upto(in, bytes_max);
    const uint8_t *text = in->at;

    if (in->bad || (size_t)(in->end - in->at) <= bytes || memchr(text, 0, bytes) ||
        text[bytes] != 0) {
        in->bad = true;
        return "";
    }
    in->at += bytes + 1;
    return (const char *)text;
}

/* The slot of a text: its own, or the free one where it belongs. */
static uint16_t *find(struct tdw__texts *texts, const uint8_t *chunk, const char *text,
                      size_t bytes)
{
    uint32_t slot = (uint32_t)XXH3_64bits(text, bytes) % TDW__TEXT_SLOTS;

    for (;; slot = (slot + 1) % TDW__TEXT_SLOTS) {
        const uint16_t number = texts->slots[slot];

        if (number == 0 ||
            (texts->length[number] == bytes && !memcmp(chunk + texts->at[number], text, bytes)))
            return &texts->slots[slot];
    }
}

uint8_t *tdw__put_interned(struct tdw__texts *texts, const uint8_t *chunk, uint8_t *at,
                           const char *text)
{
    size_t bytes;
    uint16_t *slot;

    if (!text)
        return tdw__put_varint(at, 0);
    bytes = tdw__text_bytes(text, TDW_TRACE_PATH_BYTES);
    slot = find(texts, chunk, text, bytes);
    if (*slot != 0)
        return tdw__put_varint(at, *slot);

    *slot = (uint16_t)++texts->count;
    at = tdw__put_varint(at, *slot);
    at = tdw__put_text(at, text, bytes);
    texts->at[*slot] = (uint32_t)(at - 1 - bytes - chunk);
    texts->length[*slot] = (uint32_t)bytes;
    return at;
}

const char *tdw__get_interned(struct tdw__texts *texts, const uint8_t *chunk, struct tdw__in *in)
{
    const uint64_t number = tdw__get_upto(in, texts->count + 1);
    const char *text;

    if (number == 0)
        return NULL;
    if (number <= texts->count)
        return (const char *)chunk + texts->at[number];
    if (texts->count == TDW__TEXTS_MAX) {
        in->bad = true;
        return "";
    }
    text = tdw__get_text(in, TDW_TRACE_PATH_BYTES);
    if (!in->bad)
        texts->at[++texts->count] = (uint32_t)((const uint8_t *)text - chunk);
    return text;
}
