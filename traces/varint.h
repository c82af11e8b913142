/* SPDX-License-Identifier: MIT */
/*
 * Numbers as bytes: little-endian words, varints, zigzag.
 *
 * A varint holds seven bits a byte, low ones first; the high bit says that another byte follows.
 * A signed number is folded first (0, -1, 1, -2, … become 0, 1, 2, 3, …), so that small differences
 * of either sign stay short. Differences are taken modulo 2^64: no value is out of range.
 *
 * The put side is given room by its caller, TDW__VARINT_BYTES for each number, and never checks.
 * The get side reads from `struct tdw__in`, which remembers the first thing that was wrong and
 * answers 0 from then on: a decoder reads a whole record and checks once. It never reads behind
 * `end`.
 *
 * Cost: about 1 ns for a number below 128. Called by the codecs of this room only.
 */
#ifndef TDW_TRACES_VARINT_H
#define TDW_TRACES_VARINT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TDW__VARINT_BYTES = 10 }; /* at most */

struct tdw__in {
    const uint8_t *at, *end;
    bool bad;
};

static inline uint64_t tdw__zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static inline uint64_t tdw__unzigzag(uint64_t folded)
{
    return folded >> 1 ^ (0 - (folded & 1));
}

static inline uint8_t *tdw__put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    return at + 2;
}

static inline uint8_t *tdw__put_u32(uint8_t *at, uint32_t value)
{
    at = tdw__put_u16(at, (uint16_t)value);
    return tdw__put_u16(at, (uint16_t)(value >> 16));
}

static inline uint8_t *tdw__put_u64(uint8_t *at, uint64_t value)
{
    at = tdw__put_u32(at, (uint32_t)value);
    return tdw__put_u32(at, (uint32_t)(value >> 32));
}

static inline uint8_t *tdw__put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)value | 0x80;
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* The difference from `base`, folded. */
static inline uint8_t *tdw__put_delta(uint8_t *at, uint64_t value, uint64_t base)
{
    return tdw__put_varint(at, tdw__zigzag(value - base));
}

static inline uint32_t tdw__load_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t tdw__load_u64(const uint8_t *at)
{
    return tdw__load_u32(at) | (uint64_t)tdw__load_u32(at + 4) << 32;
}

static inline uint8_t tdw__get_u8(struct tdw__in *in)
{
    if (in->at == in->end) {
        in->bad = true;
        return 0;
    }
    return *in->at++;
}

static inline uint64_t tdw__get_u64(struct tdw__in *in)
{
    if (in->end - in->at < 8) {
        in->bad = true;
        return 0;
    }
    in->at += 8;
    return tdw__load_u64(in->at - 8);
}

/* A tenth byte may only hold the highest bit of a 64-bit number. */
static inline uint64_t tdw__get_varint(struct tdw__in *in)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = tdw__get_u8(in);

        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return in->bad ? 0 : value;
    }
    in->bad = true;
    return 0;
}

/* A varint that must not exceed `max`. */
static inline uint64_t tdw__get_upto(struct tdw__in *in, uint64_t max)
{
    const uint64_t value = tdw__get_varint(in);

    if (value <= max)
        return value;
    in->bad = true;
    return 0;
}

static inline uint64_t tdw__get_delta(struct tdw__in *in, uint64_t base)
{
    return base + tdw__unzigzag(tdw__get_varint(in));
}

#endif
