/* SPDX-License-Identifier: MIT */
/*
 * The stack switch for machines without one in assembly: ucontext(3).
 *
 * It saves the signal mask with a system call at each switch, so it is some 50 times slower than
 * the others. A suspended stack is named by the address of its ucontext_t, which stands on it.
 */
#include <runtime/switch.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

void tdw__switch(void **from, void *to)
{
    ucontext_t here;

    *from = &here;
    if (swapcontext(&here, to) != 0)
        abort(); /* only an invalid context can fail */
}

/* makecontext passes ints: a pointer goes in two halves. */
static void boot(unsigned entry_high, unsigned entry_low, unsigned arg_high, unsigned arg_low)
{
    void (*entry)(void *) = (void (*)(void *))((uintptr_t)((uint64_t)entry_high << 32 | entry_low));

    entry((void *)(uintptr_t)((uint64_t)arg_high << 32 | arg_low));
}

void *tdw__switch_prepare(void *base, size_t bytes, void (*entry)(void *), void *arg)
{
    const size_t room = (sizeof(ucontext_t) + 63) & ~(size_t)63;
    ucontext_t *context = (ucontext_t *)(((uintptr_t)base + bytes - room) & ~(uintptr_t)63);
    const uint64_t e = (uintptr_t)entry, a = (uintptr_t)arg;

    if (getcontext(context) != 0)
        abort();
    context->uc_stack.ss_sp = base;
    context->uc_stack.ss_size = (size_t)((char *)context - (char *)base);
    context->uc_link = NULL;
    makecontext(context, (void (*)(void))boot, 4, (unsigned)(e >> 32), (unsigned)e,
                (unsigned)(a >> 32), (unsigned)a);
    return context;
}
