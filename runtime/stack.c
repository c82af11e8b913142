/* SPDX-License-Identifier: MIT */
/*
 * The pool of stacks for stackful tasks, their guards, and what happens when one overflows.
 *
 *     slab:  [guard | stack … top] [guard | stack … top] …       one mapping, up to 4096 stacks
 *                            └ struct tdw_stack, coloured
 *
 * Guards, the best that the system offers, decided once:
 *   guard      MADV_GUARD_INSTALL (Linux 6.13): no mapping per stack, so 10^6 stacks are fine
 *   mprotect   two mappings per stack, up to half of the usual limit of 65,530
 *   canary     a pattern in the lowest page, looked at when the stack is given back
 * `tdw_stack_guard` names it.
 *
 * Tops are coloured: without it the hot ends of all stacks would fall into the same few cache sets.
 * The pool never gives memory back before its end; a task that used much stack leaves it resident.
 *
 * An access to a guard raises SIGSEGV: our handler, on a stack of its own, says which task it was
 * and where it last waited, and then lets the signal take its usual course.
 */
#include <runtime/runtime.h>
#include <runtime/stack.h>
#include <runtime/switch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(from, to) 0u
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define GUARD_BYTES 4096u
#define SLAB_STACKS_MAX 4096u
#define COLOURS 16u
#define COLOUR_BYTES 128u
#define CANARY 0x5ca1ab1e0ddba11u
#define MPROTECT_MAX                                                                               \
    16000u /* stacks: half of vm.max_map_count's usual 65,530, two mappings each                   \
            */

enum guard { GUARD_MADVISE, GUARD_MPROTECT, GUARD_CANARY };

struct slab {
    struct slab *next;
    char *memory;
    uint32_t stacks, used;
};

struct tdw_stacks {
    struct slab *slabs;
    struct tdw_stack *free;
    size_t stack_bytes; /* with its guard */
    uint32_t made;
    enum guard guard;
};

/* ── Overflow ──────────────────────────────────────────────────────────────────────────────── */

static struct sigaction previous_segv; /* what the process itself has only once */
/* The thread's own: from its first pool of stacks to its last, in front of the one it had. */
static _Thread_local struct {
    char *memory;
    stack_t previous;
    uint32_t pools;
} signal_stack;

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void on_segv(int signal, siginfo_t *info, void *context)
{
    const struct tdw_task *task = tdw__self;

    (void)signal, (void)context;
    if (task && task->model == TDW_STACKFUL &&
        tdw__stack_guards(task->ring->loop->stacks, info->si_addr)) {
        char path[256], text[512];

        tdw_task_path(task, path, sizeof path);
        snprintf(text, sizeof text,
                 "tidewheel: stack overflow in task %s, after %s:%u (%s); stacks have %zu bytes\n",
                 path, task->site->file, task->site->line, task->site->what,
                 task->ring->loop->stack_bytes);
        say(text);
    }
    sigaction(SIGSEGV, &previous_segv, NULL); /* the access is repeated, and meets it */
}

/* The signal needs a stack of its own: the one in use has just run out. */
static int watch_overflow(void)
{
    const size_t bytes = 65536;
    stack_t stack = {.ss_size = bytes};
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction present;

    if (signal_stack.pools == 0) {
        signal_stack.memory = malloc(bytes);
        if (!signal_stack.memory)
            return -ENOMEM;
        stack.ss_sp = signal_stack.memory;
        sigaltstack(&stack, &signal_stack.previous);
    }
    signal_stack.pools++;
    sigaction(SIGSEGV, NULL, &present);
    if (present.sa_sigaction != on_segv) { /* not yet, or somebody came after us */
        sigemptyset(&action.sa_mask);
        previous_segv = present;
        sigaction(SIGSEGV, &action, NULL);
    }
    return 0;
}

static void unwatch_overflow(void)
{
    stack_t present;

    if (--signal_stack.pools > 0)
        return;
    sigaltstack(NULL, &present);
    if (present.ss_sp == signal_stack.memory) /* else somebody came after us, and keeps it */
        sigaltstack(&signal_stack.previous, NULL);
    free(signal_stack.memory);
}

bool tdw__stack_guards(const struct tdw_stacks *stacks, const void *address)
{
    const char *at = address;

    for (const struct slab *slab = stacks ? stacks->slabs : NULL; slab; slab = slab->next) {
        if (at >= slab->memory && at < slab->memory + slab->stacks * stacks->stack_bytes)
            return (size_t)(at - slab->memory) % stacks->stack_bytes < GUARD_BYTES;
    }
    return false;
}

/* ── Guards ────────────────────────────────────────────────────────────────────────────────── */

static enum guard best_guard(void)
{
    void *page =
        mmap(NULL, GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool madvise_works =
        page != MAP_FAILED && madvise(page, GUARD_BYTES, MADV_GUARD_INSTALL) == 0;

    if (page != MAP_FAILED)
        munmap(page, GUARD_BYTES);
    return madvise_works ? GUARD_MADVISE : GUARD_MPROTECT;
}

static void protect(struct tdw_stacks *stacks, char *low)
{
    if (stacks->guard == GUARD_MADVISE && madvise(low, GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
        return;
    if (stacks->guard == GUARD_MPROTECT && stacks->made < MPROTECT_MAX &&
        mprotect(low, GUARD_BYTES, PROT_NONE) == 0)
        return;
    if (stacks->guard != GUARD_CANARY)
        fprintf(stderr,
                "tidewheel: no guard pages beyond %u stacks; overflows of further ones are "
                "seen when their task ends\n",
                stacks->made);
    stacks->guard = GUARD_CANARY;
    *(uint64_t *)(void *)(low + GUARD_BYTES - sizeof(uint64_t)) = CANARY;
}

static bool overflowed(const struct tdw_stack *stack)
{
    uint64_t word;

    if (!stack->canary)
        return false;
    memcpy(&word, (const char *)stack->base - sizeof word, sizeof word);
    return word != CANARY;
}

const char *tdw_stack_guard(void)
{
    return best_guard() == GUARD_MADVISE ? "guard" : "mprotect";
}

/* ── The pool ──────────────────────────────────────────────────────────────────────────────── */

struct tdw_stacks *tdw__stacks_new(size_t stack_bytes)
{
    struct tdw_stacks *stacks = calloc(1, sizeof *stacks);

    if (!stacks || watch_overflow() < 0) {
        free(stacks);
        return NULL;
    }
    stacks->stack_bytes = (stack_bytes + GUARD_BYTES - 1) / GUARD_BYTES * GUARD_BYTES + GUARD_BYTES;
    stacks->guard = best_guard();
    return stacks;
}

static struct slab *slab_new(struct tdw_stacks *stacks)
{
    const uint32_t before = stacks->slabs ? stacks->slabs->stacks : 8;
    struct slab *slab = calloc(1, sizeof *slab);

    if (!slab)
        return NULL;
    slab->stacks = before * 2 < SLAB_STACKS_MAX ? before * 2 : SLAB_STACKS_MAX;
    slab->memory = mmap(NULL, slab->stacks * stacks->stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab->memory == MAP_FAILED) {
        free(slab);
        return NULL;
    }
    /* A huge page would make the first touch of one stack cost as much as that of thirty. */
    madvise(slab->memory, slab->stacks * stacks->stack_bytes, MADV_NOHUGEPAGE);
    slab->next = stacks->slabs;
    stacks->slabs = slab;
    return slab;
}

static struct tdw_stack *cut(struct tdw_stacks *stacks)
{
    struct slab *slab = stacks->slabs;
    struct tdw_stack *stack;
    char *low, *top;

    if (!slab || slab->used == slab->stacks)
        slab = slab_new(stacks);
    if (!slab)
        return NULL;
    low = slab->memory + slab->used++ * stacks->stack_bytes;
    protect(stacks, low);
    top = low + stacks->stack_bytes - sizeof *stack - stacks->made % COLOURS * COLOUR_BYTES;
    stack = (struct tdw_stack *)((uintptr_t)top & ~(uintptr_t)63);
    stacks->made++;
    *stack = (struct tdw_stack){.base = low + GUARD_BYTES, .canary = stacks->guard == GUARD_CANARY};
    stack->bytes = (size_t)((char *)stack - (char *)stack->base);
    stack->valgrind = VALGRIND_STACK_REGISTER(stack->base, stack);
    return stack;
}

struct tdw_stack *tdw__stack_get(struct tdw_stacks *stacks)
{
    struct tdw_stack *stack = stacks->free;

    if (stack)
        stacks->free = stack->next;
    else
        stack = cut(stacks);
    if (!stack)
        return NULL;
    stack->tsan = TDW_TSAN_NEW();
    return stack;
}

void tdw__stack_put(struct tdw_stacks *stacks, struct tdw_stack *stack)
{
    if (overflowed(stack)) {
        say("tidewheel: a task overflowed its stack (found when it ended)\n");
        abort();
    }
    TDW_ASAN_CLEAN(stack->base, stack->bytes);
    TDW_TSAN_FREE(stack->tsan);
    stack->next = stacks->free;
    stacks->free = stack;
}

void tdw__stacks_free(struct tdw_stacks *stacks)
{
    if (!stacks)
        return;
    unwatch_overflow();
    while (stacks->slabs) {
        struct slab *slab = stacks->slabs;

        stacks->slabs = slab->next;
        TDW_ASAN_CLEAN(slab->memory, slab->stacks * stacks->stack_bytes);
        munmap(slab->memory, slab->stacks * stacks->stack_bytes);
        free(slab);
    }
    free(stacks);
}

/* Bytes of [low, top) from the first one that was ever written. */
static size_t used_bytes(const char *low, const char *top)
{
    const uint64_t *at = (const uint64_t *)(const void *)low;

    while ((const char *)at < top && *at == 0)
        at++;
    return (size_t)(top - (const char *)at);
}

size_t tdw_stack_high_water(struct tdw_loop *loop)
{
    const struct tdw_stacks *stacks = loop->stacks;
    size_t most = 0;

    for (const struct slab *slab = stacks ? stacks->slabs : NULL; slab; slab = slab->next) {
        for (uint32_t i = 0; i < slab->used; i++) {
            const char *low = slab->memory + i * stacks->stack_bytes;
            const size_t used = used_bytes(low + GUARD_BYTES, low + stacks->stack_bytes);

            most = used > most ? used : most;
        }
    }
    return most;
}
