/* SPDX-License-Identifier: MIT */
/*
 * libfiu's points are points of a plan: code that is instrumented with it runs unchanged.
 *
 *     fiu_fail("app/x") ─ here ─┬─ no plan, no libfiu at work ─▶ 0
 *                               ├─ a rule matches ─▶ libfiu ─▶ our callback ─▶ the rules
 *                               └─ no rule does ─▶ 0, or libfiu, on a real loop
 *
 * This fiu_fail stands in front of libfiu's, in the program and in its shared libraries, because
 * libfiu has to be told the exact name of a point before it asks (under a wildcard its callback
 * gets the pattern), and because an unused point of its costs a lock of the whole process. A name
 * that is seen for the first time is enabled there if a rule names it; what libfiu then asks us is
 * decided as tdw_fault is. Its own probabilities, drawn from a clock, never decide anything in
 * simulation.
 *
 * Where the program uses libfiu itself (fiu_enable, or fiu-run and fiu-ctrl from outside) points on
 * real loops, and outside of any, are libfiu's as ever. Whoever does not link libfiu has its points
 * from here alone.
 */
#include <faults/faults.h>
#include <dlfcn.h>
#include <fiu-control.h>
#include <stdlib.h>
#include <string.h>

int fiu_fail(const char *name);

static atomic_bool at_work;                          /* libfiu: something was enabled there */
static _Thread_local const struct tdw_place *asking; /* what libfiu is about to ask us for */

/* libfiu's own, or NULL. Looked up once; a race finds the same. */
static void *theirs(const char *symbol, _Atomic(void *) *known)
{
    static char none;
    void *found = atomic_load_explicit(known, memory_order_acquire);

    if (!found) {
        found = dlsym(RTLD_NEXT, symbol);
        found = found ? found : &none;
        atomic_store_explicit(known, found, memory_order_release);
    }
    return found == &none ? NULL : found;
}

/* libfiu's tables are there; it may be told so more than once. */
static bool begin_theirs(void)
{
    static _Atomic(void *) known;
    int (*init)(unsigned) = (int (*)(unsigned))theirs("fiu_init", &known);

    return init && init(0) == 0;
}

static int their_fail(const char *name)
{
    static _Atomic(void *) known;
    int (*fail)(const char *) = (int (*)(const char *))theirs("fiu_fail", &known);

    return fail ? fail(name) : 0;
}

static int ask_rules(const char *name, int *failnum, void **failinfo, unsigned *flags)
{
    (void)name, (void)failnum, (void)failinfo, (void)flags;
    return asking && tdw__fault_at(asking, NULL);
}

typedef int enable_external_fn(const char *, int, void *, unsigned, external_cb_t *);

/* The points that libfiu asks for, of all plans of the process so far: it loses memory when it is
 * told of one again. */
struct enabled {
    struct enabled *next;
    char name[];
};
static _Atomic(struct enabled *) enabled;

static bool is_enabled(const char *name)
{
    const struct enabled *at = atomic_load(&enabled);

    while (at && strcmp(at->name, name) != 0)
        at = at->next;
    return at != NULL;
}

static void note_enabled(const char *name)
{
    struct enabled *made = malloc(sizeof *made + strlen(name) + 1);

    if (!made)
        return;
    memcpy(made->name, name, strlen(name) + 1);
    made->next = atomic_load(&enabled);
    while (!atomic_compare_exchange_weak(&enabled, &made->next, made))
        ;
}

/* True: from now on libfiu asks for it. */
static bool enable(struct tdw_place *place)
{
    static _Atomic(void *) known;
    enable_external_fn *fn = (enable_external_fn *)theirs("fiu_enable_external", &known);

    if (place->enabled || is_enabled(place->name))
        return place->enabled = true;
    if (!fn || !begin_theirs() || fn(place->name, 1, NULL, 0, ask_rules) != 0)
        return false;
    note_enabled(place->name);
    return place->enabled = true;
}

static int fail_slowly(const char *name)
{
    const bool simulated = tdw__self && !tdw__self->ring->loop->backend->clock;
    struct tdw_place *place = tdw__fault_place(name);
    int ret;

    if (place && place->any) {
        if (!enable(place))
            return tdw__fault_at(place, NULL);
        asking = place;
        ret = their_fail(name);
        asking = NULL;
        return ret;
    }
    return simulated || !atomic_load_explicit(&at_work, memory_order_relaxed) ? 0
                                                                              : their_fail(name);
}

int fiu_fail(const char *name)
{
    if (__builtin_expect(atomic_load_explicit(&tdw__plans, memory_order_relaxed) == 0 &&
                             !atomic_load_explicit(&at_work, memory_order_relaxed),
                         1))
        return 0;
    return fail_slowly(name);
}

void tdw__fiu_stands_in(void)
{
}

/* Set in the environment by fiu-run, before the program began. */
__attribute__((constructor)) static void look_for_remote_control(void)
{
    if (getenv("FIU_CTRL_FIFO") || getenv("FIU_ENABLE"))
        atomic_store(&at_work, true);
}

/* Each way to enable something: libfiu's, and noted. */
#define FORWARD(name, parameters, arguments)                                                       \
    int name parameters                                                                            \
    {                                                                                              \
        static _Atomic(void *) known;                                                              \
        int(*fn) parameters = (int(*) parameters)theirs(#name, &known);                            \
                                                                                                   \
        atomic_store(&at_work, true);                                                              \
        return fn && begin_theirs() ? fn arguments : -1;                                           \
    }
FORWARD(fiu_enable, (const char *name, int failnum, void *failinfo, unsigned int flags),
        (name, failnum, failinfo, flags))
FORWARD(fiu_enable_random,
        (const char *name, int failnum, void *failinfo, unsigned int flags, float probability),
        (name, failnum, failinfo, flags, probability))
FORWARD(fiu_enable_external,
        (const char *name, int failnum, void *failinfo, unsigned int flags, external_cb_t *cb),
        (name, failnum, failinfo, flags, cb))
FORWARD(fiu_enable_stack,
        (const char *name, int failnum, void *failinfo, unsigned int flags, void *func,
         int func_pos_in_stack),
        (name, failnum, failinfo, flags, func, func_pos_in_stack))
FORWARD(fiu_enable_stack_by_name,
        (const char *name, int failnum, void *failinfo, unsigned int flags, const char *func_name,
         int func_pos_in_stack),
        (name, failnum, failinfo, flags, func_name, func_pos_in_stack))
FORWARD(fiu_rc_fifo, (const char *basename), (basename))
FORWARD(fiu_rc_string, (const char *cmd, char **const error), (cmd, error))
