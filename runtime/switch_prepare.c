/* SPDX-License-Identifier: MIT */
/*
 * How a new stack looks to the switches written in assembly: as if it had been suspended in
 * tdw__switch, called from tdw__switch_boot.
 */
#include <runtime/switch.h>
#include <stdint.h>
#include <string.h>

void tdw__switch_boot(void);

enum {
#if defined(__x86_64__)
    WORDS = 7,
    ENTRY = 4, /* rbx */
    ARG = 3,   /* r12 */
    GOES_ON = 6,
#elif defined(__aarch64__)
    WORDS = 20,
    ENTRY = 0, /* x19 */
    ARG = 1,   /* x20 */
    GOES_ON = 11,
#endif
};

void *tdw__switch_prepare(void *base, size_t bytes, void (*entry)(void *), void *arg)
{
    /* At the boot frame the stack pointer is a multiple of 16, as before any call. */
    const uintptr_t top = ((uintptr_t)base + bytes) & ~(uintptr_t)15;
    uintptr_t *words = (uintptr_t *)top - WORDS;

    memset(words, 0, WORDS * sizeof *words);
    words[ENTRY] = (uintptr_t)entry;
    words[ARG] = (uintptr_t)arg;
    words[GOES_ON] = (uintptr_t)tdw__switch_boot;
    return words;
}
