/* SPDX-License-Identifier: MIT */
/*
 * World: the simulated kernel, its clock, its choices, and the hosts that live in it.
 *
 * A run is a pure function of (program, options): the same options give the same digest, on every
 * machine. Worlds are independent of each other; one OS thread runs one at a time.
 */
#ifndef TIDEWHEEL_WORLD_H
#define TIDEWHEEL_WORLD_H

#include <tidewheel/choose.h>
#include <tidewheel/event.h>
#include <tidewheel/task.h>

struct tdw_host;
struct tdw_world;

/* What may come next. */
enum tdw_schedule {
    TDW_TIMED,     /* what is due now; ties are choices; time moves when nothing is left to do */
    TDW_ADVERSARY, /* anything that is not blocked; picking an op moves time to when it was due.
                    * Timers keep their order, are never early, and are picked less often. */
};

/* Where answers come from when nothing overrides them. */
enum tdw_strategy {
    TDW_CALM,   /* always 0 */
    TDW_RANDOM, /* drawn by hashing seed and key; every item equally likely to be next */
};

struct tdw_world_options {
    uint64_t seed;
    enum tdw_schedule schedule;
    enum tdw_strategy strategy;
    uint32_t ops_max;   /* in flight per process; 0: 1,048,576 */
    size_t stack_bytes; /* of a stackful task; 0: TDW_STACK_BYTES */
    uint64_t steps_max; /* after which a run counts as a livelock; 0: 100,000,000 */
    uint32_t slowdown;  /* multiplies every latency; 0: 1 */
    bool watch_buffers; /* findings for buffers that are used while their op is in flight */
};

/* A new world with one host, "main"; NULL when memory is exhausted. */
struct tdw_world *tdw_world_new(const struct tdw_world_options *options);
/* As new, for the next run: pools and tables are kept. Taps stay. */
void tdw_world_reset(struct tdw_world *world, const struct tdw_world_options *options);
void tdw_world_free(struct tdw_world *world);

/* Run main(arg) as the root task of host "main", and everything that comes of it, to the end.
 * 0 or the error of tdw_loop_run. */
int tdw_world_run(struct tdw_world *world, void (*main)(void *), void *arg);

struct tdw_loop *tdw_world_loop(struct tdw_world *world);
struct tdw_digest tdw_world_digest(const struct tdw_world *world);
/* Steps (effects, completions, deliveries) and virtual time of the run so far. */
uint64_t tdw_world_steps(const struct tdw_world *world);
uint64_t tdw_world_now(const struct tdw_world *world);
/* Findings of the run so far; each was an event. */
uint32_t tdw_world_findings(const struct tdw_world *world);

/* ── Recorded and overridden choices ───────────────────────────────────────────────────────────
 * A choice's key stands for (kind, actor, point, ordinal). For `next` the key is the calm item and
 * how often it was passed over, and the value the item that ran instead.
 */
struct tdw_answer {
    uint64_t key, value;
    uint32_t bound;
    uint8_t kind;
};

/* Guided: answer the choices with these keys so; the rest as the strategy says. The array stays
 * the caller's and must outlive the run. Answers that were never asked for, or whose bound no
 * longer admits the value, are counted. */
void tdw_world_guide(struct tdw_world *world, const struct tdw_answer *answers, size_t count);
size_t tdw_world_unused_answers(const struct tdw_world *world);

/* Strict: the choices of a run in the order in which they were asked; each must be asked again
 * with the same key and bound. The first that is not ends the replay: `diverged` tells which. */
void tdw_world_replay(struct tdw_world *world, const struct tdw_answer *answers, size_t count);
/* The index of the first choice that differed; SIZE_MAX: none did. */
size_t tdw_world_diverged(const struct tdw_world *world);

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────────
 * From a running task. A host has a disk; what is on it durably survives a crash.
 */
/* The host called `name`, made if there is none. Each boot runs main(arg) as the root task; no main:
 * as said before. NULL if another host has that name as an alias, or memory is exhausted. */
struct tdw_host *tdw_host(const char *name, void (*main)(void *), void *arg);
/* 0, -EALREADY (it runs), -EINVAL (no main was said), -ENOMEM. */
int tdw_host_boot(struct tdw_host *host);
/* Power off: no further instruction of it runs, what was not durable is lost. -ESRCH: it does not
 * run. -EDEADLK: it is the caller's own host. */
int tdw_host_crash(struct tdw_host *host);
/* All processes of the host are killed, and its main function runs anew: files and what is in the page
 * cache stay, connections are closed by the kernel. 0; -ESRCH: it does not run; -EDEADLK: it is the
 * caller's own; -ENOMEM. */
int tdw_host_restart(struct tdw_host *host);
bool tdw_host_running(const struct tdw_host *host);
/* Nothing of it runs, arrives or runs out until it is resumed, while its clocks go on: a virtual
 * machine that is stopped. 0; -EALREADY: it is (not) paused; -ESRCH: it does not run; -EDEADLK: it
 * is the caller's own. A host that crashes is resumed first. */
int tdw_host_pause(struct tdw_host *host);
int tdw_host_resume(struct tdw_host *host);
/* The disk, for setting up files before a boot. */
struct tdw_disk *tdw_host_disk(struct tdw_host *host);
/* How many processes of it live that another one has started (process.h), and the end of one of
 * them, counted from 0 in their order: SIGKILL, as if by hand. 0; -ESRCH: there are not so many;
 * -EDEADLK: it is the caller. */
uint32_t tdw_host_children(const struct tdw_host *host);
int tdw_host_kill(struct tdw_host *host, uint32_t child);
/* Its ops take so many times as long from now on: an overloaded machine. 1: as before. How many times
 * it was until now; -EINVAL: 0 times, or more than a million. */
int tdw_host_slow(struct tdw_host *host, uint32_t times);
/* A process that it starts from now on has room for so many descriptors (RLIMIT_NOFILE, which it may
 * not raise): -EMFILE beyond. 0; -EINVAL: fewer than 3, which it has open at first. */
int tdw_host_descriptors(struct tdw_host *host, uint32_t count);
/* What writes answer when the disk is full (ENOSPC, EDQUOT; 0: as it is), and how many bytes it
 * writes whole: 512, or 4096, below which a power cut tears nothing (0: as it is). 0, -EINVAL. */
int tdw_host_disk_kind(struct tdw_host *host, int full, uint32_t sector);
/* A disk that hangs: no request that begins in the next `ns` ends before they are over; 0: from now on
 * they do. Writes that stay in the page cache go on. 0. */
int tdw_host_disk_stall(struct tdw_host *host, uint64_t ns);
/* `on`: until the next boot nothing on the disk can be changed, and nothing made durable (-EROFS): a
 * file system that has met an error it cannot go on after (errors=remount-ro). 0. */
int tdw_host_disk_read_only(struct tdw_host *host, bool on);
/* How many bytes the disk holds (-ENOSPC beyond), and one file of it (-EFBIG); 0: no end. */
void tdw_host_disk_limits(struct tdw_host *host, uint64_t bytes, uint64_t file_bytes);

/* ── Clocks of a host ──────────────────────────────────────────────────────────────────────────
 * CLOCK_MONOTONIC and CLOCK_BOOTTIME start at 0 with each boot; CLOCK_REALTIME at 2000-01-01 with
 * the world, and goes on over boots. Programs read them with tdw_sys_clock_gettime; what they sleep
 * is measured by them.
 */
/* From now on the host's clocks run fast by so many parts in 10^9; -EINVAL beyond -0.5 and 1. */
int tdw_host_drift(struct tdw_host *host, int32_t ppb);
/* CLOCK_REALTIME jumps. */
void tdw_host_step(struct tdw_host *host, int64_t ns);
/* A clock of another host, for tests: ns. */
uint64_t tdw_host_clock(const struct tdw_host *host, int clock);

/* Memory of the running process: gone when its host crashes, without a free. */
void *tdw_malloc(size_t bytes);
void tdw_free(void *block);

/* From now on what is due first runs first, and among equals what came first, whatever the schedule
 * and the strategy: nobody is passed over for ever. No more choices of kind *next* are asked in this
 * run. On a real kernel nothing happens. */
void tdw_schedule_fair(void);

/* Something worth comparing happened: an event with a name and a value. */
void tdw_mark(const char *name, uint64_t value);

#endif
