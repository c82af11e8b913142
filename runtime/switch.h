/* SPDX-License-Identifier: MIT */
/*
 * The stack switch: save the callee-saved registers on the present stack, load the other's.
 *
 * Three implementations of the same two functions: switch_x86_64.S, switch_aarch64.S, and
 * switch_ucontext.c for all other machines (make SWITCH=ucontext builds it anywhere). The
 * control words of the floating-point unit are the thread's and are not switched.
 *
 * The annotations below tell AddressSanitizer and ThreadSanitizer of each switch; without a
 * sanitizer they are empty.
 */
#ifndef TDW_SWITCH_H
#define TDW_SWITCH_H

#include <stddef.h>

/* Leave the present stack, storing where it stands in *from, and go on where `to` stands. */
void tdw__switch(void **from, void *to);

/* Make [base, base + bytes) a stack that starts in entry(arg), which never returns. The value is
 * for tdw__switch. */
void *tdw__switch_prepare(void *base, size_t bytes, void (*entry)(void *), void *arg);

#if defined(__SANITIZE_ADDRESS__)
#define TDW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TDW_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TDW_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TDW_TSAN 1
#endif
#endif

#ifdef TDW_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
static inline void tdw__asan_leave(void **fake, const void *base, size_t bytes)
{
    __sanitizer_start_switch_fiber(fake, base, bytes);
}
static inline void tdw__asan_arrive(void *fake, const void **base, size_t *bytes)
{
    __sanitizer_finish_switch_fiber(fake, base, bytes);
}
static inline void tdw__asan_clean(void *base, size_t bytes)
{
    __asan_unpoison_memory_region(base, bytes);
}
#else
static inline void tdw__asan_leave(void **fake, const void *base, size_t bytes)
{
    (void)fake, (void)base, (void)bytes;
}
static inline void tdw__asan_arrive(void *fake, const void **base, size_t *bytes)
{
    (void)fake, (void)base, (void)bytes;
}
static inline void tdw__asan_clean(void *base, size_t bytes)
{
    (void)base, (void)bytes;
}
#endif

#ifdef TDW_TSAN
#include <sanitizer/tsan_interface.h>
static inline void *tdw__tsan_new(void)
{
    return __tsan_create_fiber(0);
}
static inline void *tdw__tsan_self(void)
{
    return __tsan_get_current_fiber();
}
static inline void tdw__tsan_switch(void *fiber)
{
    __tsan_switch_to_fiber(fiber, 0);
}
static inline void tdw__tsan_free(void *fiber)
{
    __tsan_destroy_fiber(fiber);
}
#else
static inline void *tdw__tsan_new(void)
{
    return NULL;
}
static inline void *tdw__tsan_self(void)
{
    return NULL;
}
static inline void tdw__tsan_switch(void *fiber)
{
    (void)fiber;
}
static inline void tdw__tsan_free(void *fiber)
{
    (void)fiber;
}
#endif

#endif
