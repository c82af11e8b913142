/* SPDX-License-Identifier: MIT */
/*
 * Keyed mixing: the only source of "randomness" and of hashes of small things.
 *
 * One 64x64->128 multiplication, both halves folded together and the operands added back, so that
 * a zero operand does not swallow the other one (the folded multiply of wyhash and of the Philox
 * generators: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * Two rounds pass chi-square on neighbouring keys, which tests/unit/test_choices.c repeats.
 */
#ifndef TDW_RUNTIME_MIX_H
#define TDW_RUNTIME_MIX_H

#include <stdint.h>

/* Odd constants: the fractions of sqrt(2), sqrt(3), sqrt(5), sqrt(7). */
#define TDW_K0 0x6a09e667f3bcc909u
#define TDW_K1 0xbb67ae8584caa73bu
#define TDW_K2 0x3c6ef372fe94f82bu
#define TDW_K3 0xa54ff53a5f1d36f1u

static inline uint64_t tdw__rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline uint64_t tdw__mix2(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ a ^ tdw__rotl(b, 32);
}

/* Two rounds: good enough to draw from. */
static inline uint64_t tdw__mix(uint64_t a, uint64_t b)
{
    return tdw__mix2(tdw__mix2(a ^ TDW_K0, b ^ TDW_K1) ^ TDW_K2, a + TDW_K3);
}

/* A hash of a string, by content: for names, never on an op's way. */
static inline uint64_t tdw__hash_text(const char *text)
{
    uint64_t hash = TDW_K0;

    for (; *text; text++)
        hash = tdw__mix(hash, (unsigned char)*text);
    return hash;
}

#endif
