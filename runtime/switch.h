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

#include <runtime/stack.h>

#ifdef TDW_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define TDW_ASAN_START(fake, base, bytes) __sanitizer_start_switch_fiber(fake, base, bytes)
#define TDW_ASAN_FINISH(fake, base, bytes) __sanitizer_finish_switch_fiber(fake, base, bytes)
#define TDW_ASAN_CLEAN(base, bytes) __asan_unpoison_memory_region(base, bytes)
#else
#define TDW_ASAN_START(fake, base, bytes) (void)(fake)
#define TDW_ASAN_FINISH(fake, base, bytes) (void)(fake)
#define TDW_ASAN_CLEAN(base, bytes) (void)(base)
#endif

#ifdef TDW_TSAN
#include <sanitizer/tsan_interface.h>
#define TDW_TSAN_ENTER(stack)                                                                      \
    ((stack)->tsan_loop = __tsan_get_current_fiber(), __tsan_switch_to_fiber((stack)->tsan, 0))
#define TDW_TSAN_LEAVE(stack) __tsan_switch_to_fiber((stack)->tsan_loop, 0)
#define TDW_TSAN_NEW() __tsan_create_fiber(0)
#define TDW_TSAN_FREE(fiber) __tsan_destroy_fiber(fiber)
#else
#define TDW_TSAN_ENTER(stack) (void)(stack)
#define TDW_TSAN_LEAVE(stack) (void)(stack)
#define TDW_TSAN_NEW() NULL
#define TDW_TSAN_FREE(fiber) (void)(fiber)
#endif

/* From the loop's stack to a task's, and the arrival back there. */
static inline void tdw__fiber_leave(void **fake, struct tdw_stack *stack)
{
    TDW_ASAN_START(fake, stack->base, stack->bytes);
    TDW_TSAN_ENTER(stack);
}
static inline void tdw__fiber_arrive_loop(void *fake)
{
    TDW_ASAN_FINISH(fake, NULL, NULL);
}

/* From a task's stack to the loop's (`fake` NULL: for good), and the arrival on the task's. */
static inline void tdw__fiber_leave_task(void **fake, struct tdw_stack *stack)
{
    TDW_ASAN_START(fake, stack->loop_base, stack->loop_bytes);
    TDW_TSAN_LEAVE(stack);
}
static inline void tdw__fiber_arrive(void *fake, struct tdw_stack *stack)
{
    TDW_ASAN_FINISH(fake, &stack->loop_base, &stack->loop_bytes);
    (void)stack;
}

#endif
