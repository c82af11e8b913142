/* SPDX-License-Identifier: MIT */
/*
 * The inside of a world: what world.c, schedule.c, choices.c and host.c share. The subsystems of
 * the kernel (files, pipes, locks) see only kernel.h.
 */
#ifndef TDW_WORLD_INSIDE_H
#define TDW_WORLD_INSIDE_H

#include <sim/kernel/kernel.h>
#include <sim/kernel/wheel.h>
#include <string.h>

/* A latency choice has this many values. */
#define TDW_LATENCY_BOUND 4096u
/* An effect choice: together with complete, or after 1/4, 2/4, 3/4 of the latency. */
#define TDW_EFFECT_BOUND 4u
/* How much rarer an adversary picks the next timer than each other op. */
#define TDW_TIMER_WEIGHT 16u

/* Answers by key, and the position in a strict replay. */
struct tdw_choices {
    const struct tdw_answer *answers; /* guided: the caller's */
    uint32_t *table;                  /* guided: key -> index + 1, open addressing */
    uint32_t table_max;
    size_t count, used;
    const struct tdw_answer *script; /* strict: the caller's */
    size_t script_count, script_at, diverged;
    uint64_t asked; /* next choices so far: the random walk's counter */
};

/* recovery.c: between two items, something happened to the host's disk. */
typedef void tdw_disk_shown(struct tdw_host *host, void *arg);

/* clock.c: the host's clocks at `base_ns` of the world's time, and how fast they go. */
struct tdw_host_clock {
    uint64_t base_ns, monotonic_ns, realtime_ns;
    int32_t drift_ppb;
};

struct tdw_survival;

struct tdw_host {
    const struct tdw_calls *calls; /* the first member of any kernel's host */
    struct tdw_world *world;
    bool up; /* powered */
    bool paused;
    struct tdw_host *next;
    const char *name;
    void (*main)(void *);
    void *arg;
    struct tdw_disk *disk;
    struct tdw_drive *drive; /* drive.c; NULL: none */
    struct tdw_net_host *net;
    struct tdw_host_clock clock;
    struct tdw_timer *timers; /* that its clocks decide about: timer.c */
    struct tdw_heap frozen;   /* items whose turn came while it was paused */
    tdw_disk_shown *shown;    /* recovery.c: told when a power cut could show something else */
    void *shown_arg;
    uint64_t shown_last;
    uint64_t stalled_until_ns; /* its disk answers nothing before */
    uint64_t bytes_per_s;      /* that its links carry at most; 0: no limit */
    uint64_t slowdown;         /* multiplies every latency */
    uint32_t descriptors;      /* of a process; 0: as the kernel has them */
    uint32_t boots;
};

struct tdw_world {
    struct tdw_loop loop;    /* first: the backend finds the world by its loop */
    struct tdw_wheel wheel;  /* timed: all that is due later */
    struct tdw_heap pending; /* adversary: ops that may take effect, but for timers */
    struct tdw_heap timers;  /* adversary */
    uint32_t picked;         /* where in its heap the item drawn last stood */
    struct tdw_choices choices;
    struct tdw_world_options options;
    uint64_t seed_key;
    const struct tdw_sim_opcode *rows[256]; /* how each opcode is performed; NULL: not known */
    struct tdw_ring kernel;                 /* of the kernel's own work; it has no ops */
    struct tdw_net *net;                    /* sim/kernel/net/ */
    struct tdw_host *hosts, **hosts_tail;
    struct tdw_process *processes; /* dead ones too, until the reset: others may refer to them */
    int32_t pids;
    uint32_t paused;    /* hosts */
    uint32_t watched;   /* hosts, too: recovery.c */
    bool fair;          /* what is due first runs first: no more choices of what is next */
    uint64_t warned[4]; /* opcodes that the kernel was asked for and does not know */
};

static inline struct tdw_world *tdw__world(struct tdw_loop *loop)
{
    return tdw_of(loop, struct tdw_world, loop);
}

extern const struct tdw_backend_ops tdw__sim_backend;

/* world.c: `op`, started or woken, may go on after `latency_ns`, which `place` keeps meanwhile. */
void tdw__pend(struct tdw_op *op, uint64_t latency_ns);

/* timeout.c: a TIMEOUT or LINK_TIMEOUT starts, runs out; the host's CLOCK_REALTIME was stepped. */
static inline bool tdw__is_timeout(const struct tdw_op *op)
{
    return op->sqe.opcode == IORING_OP_TIMEOUT || op->sqe.opcode == IORING_OP_LINK_TIMEOUT;
}
void tdw__timeout_start(struct tdw_op *op);
void tdw__timeout_fires(struct tdw_op *op);
/* world.c: is the entry refused before anybody looks what it asks for? 0, -errno. */
int tdw__check_entry(const struct tdw_world *world, const struct tdw_op *op);
/* A host's clocks were bent (they were `before`), or the real one was stepped by `step_ns`. */
void tdw__timeouts_changed(struct tdw_host *host, const struct tdw_host_clock *before,
                           int64_t step_ns);
void tdw__timeouts_count(struct tdw_ring *ring);
extern const struct tdw_sim_opcode tdw__row_timeout_remove;

/* schedule.c: the item that comes next; putting an op that is due later where it waits. */
struct tdw_op *tdw__schedule_next(struct tdw_loop *loop, uint64_t deadline_ns);
void tdw__schedule_add(struct tdw_world *world, struct tdw_op *op);
void tdw__schedule_remove(struct tdw_world *world, struct tdw_op *op);
void tdw__schedule_thaw(struct tdw_host *host); /* it is paused no more */

/* choices.c */
uint32_t tdw__sim_choose(struct tdw_loop *loop, const struct tdw_choice *choice);
/* Which of `count` candidates is next. `calm` is the calm one, `weight` the sum of all weights,
 * `pick` maps a draw below `weight` to a candidate. */
struct tdw_candidates {
    struct tdw_world *world;
    uint32_t count;
    uint64_t weight;
    struct tdw_op *calm;
    struct tdw_op *(*pick)(struct tdw_world *world, uint64_t draw);
    struct tdw_op *(*find)(struct tdw_world *world, uint64_t item);
};
struct tdw_op *tdw__choose_next(const struct tdw_candidates *candidates);
/* Do answers come from anywhere but the strategy, or does somebody listen? Then the calm item has
 * to be known at every `next`. */
static inline bool tdw__choices_explicit(const struct tdw_world *world)
{
    return world->choices.count || world->choices.script || world->loop.taps;
}
void tdw__choices_reset(struct tdw_choices *choices);
/* The key of an item: (actor, ordinal, phase). */
uint64_t tdw__item_key(const struct tdw_op *op);

/* latency.c: the time for a value of the latency choice. */
uint64_t tdw__latency_ns(uint8_t class, uint32_t value);
/* The same around any median; which quantile a value stands for; its factor, in 1/1024. */
uint64_t tdw__log_normal(uint64_t median, uint32_t value);
uint32_t tdw__quantile_place(uint32_t value);
uint64_t tdw__log_normal_factor(uint32_t place);

/* clock.c: a host is made, boots. */
void tdw__clock_init(struct tdw_host *host);
void tdw__clock_boot(struct tdw_host *host);

/* process.c: a process on `host` with these descriptors, which it takes over; its root task, which
 * runs main(arg); everything of it but its husk is gone, and that is its status; the same, from the
 * runtime: its last task ended, or it said so. */
struct tdw_process *tdw__process_new(struct tdw_host *host, const char *path,
                                     struct tdw_files *files);
int tdw__process_start(struct tdw_process *process, void (*main)(void *), void *arg);
void tdw__process_end(struct tdw_process *process, int status);
void tdw__process_ended(struct tdw_ring *ring);
/* A running process of the host; NULL. */
struct tdw_process *tdw__process_find(const struct tdw_host *host, int pid);

/* host.c */
struct tdw_host *tdw__host_in(struct tdw_world *world, const char *name, void (*main)(void *),
                              void *arg);
void tdw__hosts_free(struct tdw_world *world);
/* What a power cut of the host leaves: a choice of kind crash, in its name and its boot's. */
uint32_t tdw__choose_cut(const struct tdw_host *host, uint64_t point, uint32_t ordinal,
                         uint32_t bound);

/* recovery.c: from now on `shown` is called, between two items, whenever something happened to the
 * disk of `host` that a power cut could show; NULL: no more. */
void tdw__host_watch(struct tdw_host *host, tdw_disk_shown *shown, void *arg);
void tdw__watch_disks(struct tdw_world *world);
/* In `world`, which was reset: what a power cut of `host` now would leave, by the answers of
 * `survival`; NULL: no memory. Good until the host's world goes on. */
struct tdw_disk *tdw__image_of(struct tdw_world *world, struct tdw_host *host,
                               struct tdw_survival *survival);
/* Run main(arg) there as a host called `name` that boots from the image, which is the host's from
 * now on, to the end; the loop's answer. */
int tdw__image_run(struct tdw_world *world, const char *name, struct tdw_disk *image,
                   void (*main)(void *), void *arg);

/* The buffers of ops in flight (buffers.c): begin to watch; stop, before the effect or a cancel;
 * after the effect: the hash of the bytes that the kernel took in. */
void tdw__buffer_start(struct tdw_op *op);
void tdw__buffer_stop(struct tdw_op *op);
void tdw__buffer_drop(struct tdw_op *op); /* its process was killed: do not look */
uint64_t tdw__buffer_effect(struct tdw_op *op, int32_t res);

#endif
