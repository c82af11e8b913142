/* SPDX-License-Identifier: MIT */
/*
 * The faults' own header: what a plan is once it has been read.
 *
 *     points.c    the names of the library's points, from the table of opcodes
 *     presets.c   plans that come with the library, as text
 *     read.c      YAML ─▶ document, and all that is wrong with it, in order
 *     mapping.c   mappings and values, whatever they are about
 *     keys.c      document ─▶ rules: what each mapping may have
 *     machines.c  document ─▶ what hosts, disks, clocks and links are; and they are made so
 *     set.c       --set: values put into the document
 *     value.c     durations, sizes, probabilities, error names, as people write them
 *     show.c      plan ─▶ YAML
 *     judge.c     a plan at work: at each point, which rule fires
 *     short.c     ops that move a part of what they were asked to
 *     fiu.c       libfiu's points, and libfiu in between
 *
 * I9: the kernels ask for verdicts and apply them; what may fail, when, and how often is decided
 * here alone.
 */
#ifndef TDW_FAULTS_H
#define TDW_FAULTS_H

#include <runtime/event.h>
#include <stdatomic.h>
#include <tidewheel/disk.h>
#include <tidewheel/fault.h>
#include <tidewheel/gate.h>
#include <tidewheel/net.h>

/* ── Points (points.c) ─────────────────────────────────────────────────────────────────────── */

enum tdw_point_kind {
    TDW_POINT_ERROR,  /* the op completes with an error, and nothing of it was done */
    TDW_POINT_CANCEL, /* … with -ECANCELED, as if somebody had cancelled it */
    TDW_POINT_SHORT,  /* it moves a part of what it was asked to */
    TDW_POINT_DELAY,  /* it takes longer */
    TDW_POINT_KINDS
};

/* "error", "cancel", …, and what it means. */
const char *tdw__point_kind_name(enum tdw_point_kind kind);
const char *tdw__point_kind_text(enum tdw_point_kind kind);
enum { TDW_POINT_NAME = 48, TDW_ERRORS_MAX = 40 };
/* "read". */
void tdw__opcode_word(uint8_t opcode, char word[TDW_POINT_NAME]);
/* Is there a point of that kind for the opcode? */
bool tdw__point_is(uint8_t opcode, enum tdw_point_kind kind);
/* "tdw/op/read/error". */
void tdw__point_name(uint8_t opcode, enum tdw_point_kind kind, char name[TDW_POINT_NAME]);
/* The errors that the manual pages document for the opcode and that a program cannot keep from
 * happening (a full disk; not a wrong descriptor), as positive numbers. */
size_t tdw__point_errors(uint8_t opcode, int errors[TDW_ERRORS_MAX]);

/* The name of a kernel point, and what it means. */
const char *tdw__kernel_point_name(enum tdw_kernel_point point);
const char *tdw__kernel_point_text(enum tdw_kernel_point point);

/* ── Values (value.c) ──────────────────────────────────────────────────────────────────────── */

/* Of 2^32: 0.25, 25%, 1/4. Exact for what fits; false: it is none, or not between 0 and 1. */
bool tdw__value_chance(const char *text, uint64_t *to);
/* In ns: 10ns, 1.5us, 20ms, 1s, 2m, 1h. */
bool tdw__value_time(const char *text, uint64_t *to);
/* In bytes: 4096, 4k, 1M, 1G (powers of 1,024; KiB and the like are taken, too). */
bool tdw__value_size(const char *text, uint64_t *to);
bool tdw__value_count(const char *text, uint64_t *to);
/* The same time with a sign: -5ms. */
bool tdw__value_step(const char *text, int64_t *to);
/* "EIO": 5; 0: no errno has that name. */
int tdw__value_error(const char *text);
/* Does `text` match the pattern, in which * stands for any text, also of several parts of a name,
 * and ? for a byte? */
bool tdw__glob(const char *pattern, const char *text);

/* ── Plans that come with the library (presets.c) ──────────────────────────────────────────── */

const char *tdw__preset_text(const char *name); /* NULL: there is none of that name */

/* ── Rules ─────────────────────────────────────────────────────────────────────────────────── */

enum { TDW_RULES_MAX = 256 };

enum tdw_trigger {
    TDW_TRIGGER_ALWAYS,
    TDW_TRIGGER_CHANCE, /* with probability `chance` */
    TDW_TRIGGER_NTH,    /* the n-th hit */
    TDW_TRIGGER_EVERY,  /* each n-th hit */
    TDW_TRIGGER_SWEEP,  /* the hit whose number is the run's */
    TDW_TRIGGER_PAIRS,  /* the two hits that the run's number stands for */
};

struct tdw_rule {
    char *name;
    char *point; /* a pattern */
    unsigned line, column;
    struct { /* for whom: NULL, 0: for everybody */
        char *host, *process, *task, *path, *peer, *fd;
        uint8_t opcodes[32]; /* bits; all 0: any */
        bool by_opcode, by_size;
        uint64_t size_min, size_max;
    } match;
    enum tdw_trigger trigger;
    uint64_t chance, n;        /* of 2^32; of nth, every */
    uint64_t from_ns, end_ns;  /* when: [from, end) */
    int32_t during;            /* only while that rule is active; -1: always */
    char *during_name, *after; /* after: a mark */
    struct {
        int error;          /* 0: one of the opcode's, by choice */
        uint64_t bytes;     /* of a short op; 0: by choice */
        uint64_t delay_ns;  /* 0: by choice, up to 100 ms */
        bool keep;          /* of a failed sync: what it was for */
        uint64_t down_ns;   /* of what ends by itself; 0: 10 ms */
        int64_t step_ns;    /* of a clock; 0: by choice, up to 1 s to either side */
        int32_t ppm;        /* of a clock; 0: by choice, up to 500 to either side */
        uint64_t times;     /* of what is slow; 0: 10 */
        uint64_t bandwidth; /* bytes a second; 0: 10,000 */
    } action;
    struct { /* hosts are only hurt as long as `keep` of those that match are whole */
        char *group;
        uint64_t keep;
    } spare;
    uint64_t budget; /* how often it may fire; UINT64_MAX: no bound */
    uint64_t cooldown_ns;
    uint64_t enable; /* of 2^32: is it live in a run? */
};

struct tdw_concern { /* a point of an opcode, or of the kernel, that a rule names */
    uint16_t rule;
    uint8_t kind; /* of an opcode's: enum tdw_point_kind */
    char point[TDW_POINT_NAME];
    uint64_t hash; /* of the point and the rule: where the choice is made */
};

struct tdw_disk_plan { /* what the disks of some hosts are */
    char *hosts;       /* a pattern */
    enum tdw_persistence persistence;
    bool by_persistence;
    char *device; /* the name of a preset; NULL: as it is */
    uint64_t capacity, file_max;
    int full;        /* what a full one answers; 0: ENOSPC */
    uint64_t sector; /* what is written whole; 0: 512 */
};

struct tdw_host_plan { /* what some hosts are */
    char *hosts;
    uint64_t slow;        /* their ops take so many times as long; 0: once */
    uint64_t descriptors; /* that a process may have; 0: as the kernel says */
};

struct tdw_clock_plan { /* what the clocks of some hosts are from the beginning */
    char *hosts;
    int64_t step_ns;
    int32_t ppm;
};

struct tdw_link_plan { /* what the links between some hosts are */
    char *ways;        /* "client -> server", "a* <-> b*" */
    char *from, *to;   /* patterns */
    bool both;
    struct tdw_link link;
};

enum { TDW_SECTIONS_MAX = 64, TDW_PLACES = 256 + TDW_KERNEL_POINTS_COUNT };

struct tdw_plan {
    char *name; /* its file or preset */
    /* What machines are: of each kind the first that matches says. */
    struct tdw_host_plan *hosts;
    struct tdw_disk_plan *disks;
    struct tdw_clock_plan *clocks;
    struct tdw_link_plan *links;
    size_t hosts_count, disks_count, clocks_count, links_count;
    struct tdw_rule *rules;
    size_t rules_count;
    struct tdw_concern *concerns;
    uint32_t first[TDW_PLACES + 1]; /* of each opcode's, then of each kernel point's; they end where
                                     * the next begin */
    bool of_programs;               /* some rule may name points of programs */
    bool sees_marks;                /* some rule waits for a mark */
    bool ticks;                     /* some rule is about hosts as time goes by */
    enum tdw_sweep sweeps;          /* some rule is exhaustive */
};

/* A point of the program's, by where it stands (`site`), or by its name alone. */
struct tdw_place {
    const void *site;
    const char *name;
    uint64_t hash;
    uint64_t rules[TDW_RULES_MAX / 64]; /* bits: those that name it */
    bool any;                           /* of these */
    bool enabled;                       /* libfiu asks for it (fiu.c) */
};

/* The point of that name under the plan of the running task's loop; NULL: there is none, or no
 * memory. And whether it fails now (judge.c). */
struct tdw_place *tdw__fault_place(const char *name);
bool tdw__fault_at(const struct tdw_place *place, const struct tdw_site *site);

/* Called where a plan is applied, so that fiu.c's fiu_fail is linked into every program that has
 * plans, and stands in front of libfiu's for its shared libraries as well. */
#ifdef TDW_NO_FIU
static inline void tdw__fiu_stands_in(void)
{
}
#else
void tdw__fiu_stands_in(void);
#endif

struct tdw_faults;

/* The plan at work on the running task's loop; NULL (judge.c). */
struct tdw_faults *tdw__faults_here(void);
/* Does nothing go wrong any more with `host`? NULL: with anybody. */
bool tdw__faults_healed(const struct tdw_faults *faults, const char *host);
const struct tdw_plan *tdw__faults_plan(const struct tdw_faults *faults);
/* Does a rule fire at a kernel's point? */
bool tdw__faults_hit(struct tdw_faults *faults, const struct tdw_hit *hit, struct tdw_blow *blow);

/* machines.c: `host` was made: it, its disk, clock and links to the hosts of `fate` are as the plan
 * says. */
struct tdw_fate;
void tdw__machine_made(const struct tdw_plan *plan, const struct tdw_fate *fate,
                       struct tdw_host *host, const char *name);
void tdw__machines_free(struct tdw_plan *plan);

/* May a rule about ticks fire yet? */
bool tdw__faults_ticks_left(struct tdw_faults *faults);

/* fate.c: what the plan knows of hosts, and does to them. NULL: no memory. */
struct tdw_fate *tdw__fate_new(struct tdw_faults *faults);
void tdw__fate_free(struct tdw_fate *fate);
void tdw__fate_host(struct tdw_fate *fate, struct tdw_host *host, const char *name);
struct tdw_fate *tdw__faults_fate(struct tdw_faults *faults);
void tdw__fate_heal(struct tdw_fate *fate); /* those that tdw__faults_healed says */
/* The `n`th host that was made, and its name; NULL: there are fewer. */
struct tdw_host *tdw__fate_nth(const struct tdw_fate *fate, size_t n, const char **name);
/* May the rule hurt the host, and leave as many of its group as it says? */
bool tdw__fate_may_hurt(const struct tdw_fate *fate, const struct tdw_rule *rule, const char *host);

/* ── Short ops (short.c) ───────────────────────────────────────────────────────────────────── */

struct tdw_short;
struct tdw_shorts { /* those in flight; zeroed: none */
    struct tdw_short *entries;
    uint32_t count, max;
};
void tdw__shorts_fini(struct tdw_shorts *shorts);

/* How many bytes an op that has a point `short` is to move. */
uint64_t tdw__bytes_asked(const struct tdw_op *op);
/* May such an op move a part of them? */
bool tdw__has_parts(const struct tdw_op *op);
/* It moves `bytes`, at least 1 and less than what was asked; its entry says so until it completes.
 * false: no memory, and it moves all. */
bool tdw__shorten(struct tdw_shorts *shorts, struct tdw_op *op, uint32_t bytes);
/* It is complete: its entry is as it was. */
void tdw__restore(struct tdw_shorts *shorts, struct tdw_op *op);

/* Fill in what follows from the rules (judge.c). 0 or -ENOMEM. */
int tdw__plan_prepare(struct tdw_plan *plan);

#endif
