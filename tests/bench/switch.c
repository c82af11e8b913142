/* SPDX-License-Identifier: MIT */
/*
 * A stack switch, one way, against Boost.Context and against a bare one (an inline assembly switch
 * that saves only what the compiler asks for); a stackless resume against an indirect call.
 */
#include "bench.h"
#include <runtime/switch.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/stackless.h>

enum { SWITCHES = 4000000, STACK = 65536 };

/* ── Ours ──────────────────────────────────────────────────────────────────────────────────── */

static void *main_sp, *other_sp;

static void bounce(void *unused)
{
    (void)unused;
    for (;;)
        tdw__switch(&other_sp, main_sp);
}

static double run_ours(const void *unused)
{
    void *stack = malloc(STACK);
    double began;

    (void)unused;
    other_sp = tdw__switch_prepare(stack, STACK, bounce, NULL);
    tdw__switch(&main_sp, other_sp);
    began = bench_now();
    for (int i = 0; i < SWITCHES / 2; i++)
        tdw__switch(&main_sp, other_sp);
    began = (bench_now() - began) / SWITCHES;
    free(stack);
    return began;
}

/* ── Boost.Context ─────────────────────────────────────────────────────────────────────────── */

struct transfer {
    void *context, *data;
};
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *top, size_t bytes, void (*entry)(struct transfer));

static void boost_bounce(struct transfer from)
{
    for (;;)
        from = jump_fcontext(from.context, NULL);
}

static double run_boost(const void *unused)
{
    char *stack = malloc(STACK);
    struct transfer there = {make_fcontext(stack + STACK, STACK, boost_bounce), NULL};
    double began;

    (void)unused;
    there = jump_fcontext(there.context, NULL);
    began = bench_now();
    for (int i = 0; i < SWITCHES / 2; i++)
        there = jump_fcontext(there.context, NULL);
    began = (bench_now() - began) / SWITCHES;
    free(stack);
    return began;
}

/* ── Bare ──────────────────────────────────────────────────────────────────────────────────── */

#if defined(__x86_64__)
static void *bare_main, *bare_other;

/* The callee-saved registers, pushed and popped, and nothing else. */
__attribute__((naked, noinline)) static void bare_switch(void **from, void *to)
{
    (void)from, (void)to;
    __asm__("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
            "mov %rsp, (%rdi); mov %rsi, %rsp\n"
            "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
            "pop %rcx; jmp *%rcx");
}

static void bare_bounce(void)
{
    for (;;)
        bare_switch(&bare_other, bare_main);
}

static double run_bare(const void *unused)
{
    char *stack = malloc(STACK);
    void **top = (void **)(void *)(stack + STACK - 64);
    double began;

    (void)unused;
    memset(stack + STACK - 256, 0, 256);
    top[-1] = (void *)bare_bounce;
    bare_other = top - 7;
    bare_switch(&bare_main, bare_other);
    began = bench_now();
    for (int i = 0; i < SWITCHES / 2; i++)
        bare_switch(&bare_main, bare_other);
    began = (bench_now() - began) / SWITCHES;
    free(stack);
    return began;
}
#else
static double run_bare(const void *unused)
{
    return run_ours(unused);
}
#endif

/* ── Frames ────────────────────────────────────────────────────────────────────────────────── */

struct counter {
    struct tdw_frame frame;
    uint64_t n;
};

TDW_CO(count_up)
{
    TDW_BEGIN(struct counter, me);
    for (;;) {
        me->n++;
        TDW__SUSPEND(TDW_WAIT);
    }
    TDW_END;
}

static __attribute__((noinline)) enum tdw_step_result plain(struct tdw_frame *frame)
{
    ((struct counter *)(void *)frame)->n++;
    return TDW_WAIT;
}

static double run_frames(tdw_step_fn *step)
{
    struct counter counter = {.frame = {.step = step}};
    double began = bench_now();

    for (int i = 0; i < SWITCHES; i++) {
        counter.frame.step(&counter.frame);
        __asm__ volatile("" : : "r"(&counter) : "memory");
    }
    return (bench_now() - began) / SWITCHES;
}

static double run_resume(const void *unused)
{
    (void)unused;
    return run_frames(count_up);
}

static double run_call(const void *unused)
{
    (void)unused;
    return run_frames(plain);
}

void bench_switch(FILE *out)
{
    bench_pair(out,
               &(struct bench){"switch", "ns", run_ours, NULL, "boost_context", run_boost, NULL});
    bench_pair(out, &(struct bench){"switch_vs_bare", "ns", run_ours, NULL, "bare_switch", run_bare,
                                    NULL});
    bench_pair(out, &(struct bench){"frame_resume", "ns", run_resume, NULL, "indirect_call",
                                    run_call, NULL});
}
