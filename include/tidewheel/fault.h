/* SPDX-License-Identifier: MIT */
/*
 * Faults: what may go wrong in a run, by a plan.
 *
 *     plan (YAML) ─ tdw_plan_read ─▶ rules ─ tdw_plan_apply ─▶ loop: at each fault point, a verdict
 *
 * A fault *point* is a name for a place where something may go wrong, as in libfiu. Those of the
 * library are `tdw/op/OPCODE/…` (`tdw points` lists them); a program's own are `app/…`:
 *
 *     if (tdw_fault("app/cache/full"))
 *         return -ENOSPC;
 *
 * A *rule* of a plan says at which points, for whom, how often, and what. Whether a rule fires
 * where chance is asked for is a choice of kind `fault`, so that a run can be repeated, and made
 * smaller; each firing is an event (TDW_E_FAULT). Without a plan a point costs a load and a branch.
 */
#ifndef TIDEWHEEL_FAULT_H
#define TIDEWHEEL_FAULT_H

#include <tidewheel/gate.h>
#include <stdatomic.h>
#include <stdio.h>

/* ── Points of the program's own ───────────────────────────────────────────────────────────── */

/* Does the point `name` ("app/…", any text that lives as long as the program) fail now? */
#define tdw_fault(name)                                                                            \
    (__builtin_expect(atomic_load_explicit(&tdw__plans, memory_order_relaxed) != 0, 0) &&          \
     tdw__fault((name), TDW_SITE("fault")))

/* How many plans with rules for points of programs are applied to loops of this process. */
extern _Atomic unsigned tdw__plans;
bool tdw__fault(const char *name, const struct tdw_site *site);

/* ── Plans ─────────────────────────────────────────────────────────────────────────────────── */

struct tdw_plan;

/* One thing that is wrong with a plan: `line` and `column` from 1; 0 where it has no place. */
typedef void tdw_plan_told(void *arg, const char *file, unsigned line, unsigned column,
                           const char *text);

/* Read the file, or the preset of that name where there is no such file, then set `count` keys of
 * it ("path.to.key=value": "rules.0.p=0.1"). All that is wrong is told, not only the first thing;
 * `told` NULL: on stderr. The plan is the caller's, and does not change any more: several loops, of
 * several threads, may have it applied.
 * 0; -ENOENT: there is neither; -EINVAL: it was told; -ENOMEM; or what reading answered. */
int tdw_plan_read(struct tdw_plan **plan, const char *name, const char *const *set, size_t count,
                  tdw_plan_told *told, void *arg);
/* The same of a text; `name` stands in what is told. */
int tdw_plan_text(struct tdw_plan **plan, const char *name, const char *text, size_t bytes,
                  const char *const *set, size_t count, tdw_plan_told *told, void *arg);
void tdw_plan_free(struct tdw_plan *plan);

/* Print it as it was understood: a plan in itself. 0, or -EIO. */
int tdw_plan_show(const struct tdw_plan *plan, FILE *to);

/* The presets, in order; NULL behind the last. */
const char *tdw_plan_preset(size_t index);

/* What a rule did in a run, or in several. */
struct tdw_rule_count {
    uint64_t hits;  /* what it matched */
    uint64_t fires; /* … and made fail */
    uint64_t live;  /* runs in which it was live */
};

/* A plan at work on a loop. From now on its rules judge there (in the place of another gate); with
 * `counts`, one for each rule, it adds there what they do. NULL: no memory. */
struct tdw_faults;
struct tdw_faults *tdw_plan_apply(const struct tdw_plan *plan, struct tdw_loop *loop,
                                  struct tdw_rule_count *counts);
/* Before the loop runs again, or is closed: it is left as it was without. */
void tdw_faults_end(struct tdw_faults *faults);
/* Nothing goes wrong at that point of the kernel, whatever the plan says: lockstep leaves out what
 * models do differently. */
void tdw_faults_leave_out(struct tdw_faults *faults, enum tdw_kernel_point point);
/* The name of the plan's first rule that names the point; NULL: none does. */
const char *tdw_plan_rule_at(const struct tdw_plan *plan, enum tdw_kernel_point point);

/* From the root task of a run: what the plan does to hosts, links and clocks as time goes by,
 * begins (fate.c). tdw_main does that. */
void tdw_faults_begin(void);

/* Nothing goes wrong by the plan from here on with the hosts that match the pattern (NULL: with any),
 * and between them: those that are down boot, paused ones go on, disks answer and can be changed, links
 * are mended. The schedule is fair from here on (tdw_schedule_fair). So what must come about once the
 * storm is over, or with a majority alone, can be checked from then on. From a task. Several patterns
 * add up. */
void tdw_heal(const char *hosts);

/* What rules that are `exhaustive` do: all of a plan's do the same. */
enum tdw_sweep {
    TDW_SWEEP_NONE,  /* there are none */
    TDW_SWEEP_EACH,  /* `true`: run n fails hit n, so runs 1, 2, 3, … fail each hit once */
    TDW_SWEEP_PAIRS, /* `pairs`: run n fails two hits, the n-th of (1,2) (1,3) (2,3) (1,4) … */
};
enum tdw_sweep tdw_plan_sweeps(const struct tdw_plan *plan);

/* The n-th pair, from 1. They are in the order of the later hit, so it takes no knowledge of how
 * many hits a run has. `nth` 0: {0, 0}, which no hit is. */
void tdw_sweep_pair(uint64_t nth, uint64_t pair[2]);

/* The run in hand is the `nth` of the sweep: its exhaustive rules make these hits fail, and no
 * others. After tdw_plan_apply, before the loop runs. */
void tdw_faults_sweep(struct tdw_faults *faults, uint64_t nth);
/* Where the first (`which` 0) or the second (1) of them was; NULL: nothing was hit so often. What
 * was hit inside of the kernel has no line, 0, and says which point it was. */
const struct tdw_site *tdw_faults_struck(const struct tdw_faults *faults, unsigned which);

size_t tdw_plan_rules(const struct tdw_plan *plan);
const char *tdw_plan_rule_name(const struct tdw_plan *plan, size_t rule);

#endif
