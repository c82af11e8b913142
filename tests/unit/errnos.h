/* SPDX-License-Identifier: MIT */
/*
 * One entry, one errno: tables of what an entry answers, on the simulated kernel and, where the
 * machine has one, on its own.
 *
 * A table is a function of calls of ASK, one line each: the result, liburing's verb, its arguments.
 * It is written once and holds for both sides (sides.h), so the expectation is Linux's and not
 * ours. What has to be there first is made on both sides by the same calls (GET), and gets the same
 * numbers. SIM is for what cannot be asked of a real kernel here; a word beside it says why.
 *
 * The real side is asked as root on Linux 6.12 or later: everything runs as uid 0 on the simulated
 * one, and older kernels lack opcodes. Else the simulated side is held against the table alone.
 */
#ifndef TDW_TESTS_ERRNOS_H
#define TDW_TESTS_ERRNOS_H

#include "sides.h"
#include <fcntl.h>
#include <ftw.h>
#include <sys/utsname.h>

enum { ERRNOS_REPORT_BYTES = 1 << 14, ERRNOS_NONE = -1000000, ERRNOS_DONE_MAX = 8 };

struct errnos {
    struct side *sim, *real; /* real: NULL if there is none to be asked */
    uint64_t ids;            /* of the last entry: the same on both sides */
    uint64_t of;      /* the entry whose result is asked for, if it is another than the last */
    uint64_t wait_ns; /* how long the simulated side lets time pass before it looks */
};

/* Shared with the child that runs a table: what did not answer as it should. */
struct errnos_report {
    uint32_t asked, wrong, bytes;
    char text[ERRNOS_REPORT_BYTES];
};
static struct errnos_report *errnos_report;

/* The last of `count` entries of a batch: its first completion. Others that are under way, and what
 * they complete with, are left out of it. */
static inline int32_t errnos_run(struct errnos *e, struct side *side,
                                 const struct io_uring_sqe *sqes, uint32_t count)
{
    struct side_done done[ERRNOS_DONE_MAX];
    uint32_t seen;

    for (uint32_t i = 0; i < count; i++)
        side_put(side, &sqes[i], ++e->ids);
    side_enter(side, count);
    if (!side->real && e->wait_ns > 0)
        tdw_sleep(e->wait_ns);
    seen = side_reap(side, done, ERRNOS_DONE_MAX, e->of ? count + 1 : count);
    for (uint32_t i = 0; i < seen; i++)
        if (done[i].id == (e->of ? e->of : e->ids))
            return done[i].res;
    return ERRNOS_NONE;
}

static inline const char *errnos_name(int32_t res, char text[16])
{
    const char *name = res < 0 ? strerrorname_np(-res) : NULL;

    if (res == ERRNOS_NONE)
        return "nothing";
    if (name)
        snprintf(text, 16, "-%s", name);
    else
        snprintf(text, 16, "%d", res);
    return text;
}

static inline void errnos_say(const char *file, int line, const char *what, const char *side,
                              int32_t res, int32_t want)
{
    const size_t room = sizeof(errnos_report->text) - errnos_report->bytes;
    char is[16], should[16];
    const int more = snprintf(errnos_report->text + errnos_report->bytes, room,
                              "%s:%d: %s: %s answers %s for %s\n", file, line, what, side,
                              errnos_name(res, is), errnos_name(want, should));

    errnos_report->wrong++;
    if (more > 0 && (size_t)more < room)
        errnos_report->bytes += (uint32_t)more;
}

/* The last of a batch is to answer `want`, on both sides or on the simulated one; if that is 0, any
 * success is good, but on both sides the same. What the simulated side answered. */
static inline int32_t errnos_ask(struct errnos *e, int32_t want, const struct io_uring_sqe *sqes,
                                 uint32_t count, bool both, const char *file, int line)
{
    const char *what = tdw_opcode(sqes[count - 1].opcode)->name;
    const bool real_too = both && e->real;
    const uint64_t ids = e->ids;
    int32_t real = 0, sim;

    if (real_too)
        real = errnos_run(e, e->real, sqes, count);
    e->ids = ids;
    sim = errnos_run(e, e->sim, sqes, count);
    errnos_report->asked++;
    if (want < 0 ? sim != want : sim < 0)
        errnos_say(file, line, what, "the simulated kernel", sim, want);
    if (real_too && (want < 0 ? real != want : real != sim))
        errnos_say(file, line, what, "Linux", real, want < 0 ? want : sim);
    return sim;
}

#define ERRNOS_HERE __FILE_NAME__, __LINE__
#define ERRNOS_ASK(e, want, both, verb, ...)                                                       \
    (__extension__({                                                                               \
        struct io_uring_sqe errnos_sqe_ = {0};                                                     \
        io_uring_prep_##verb(&errnos_sqe_, __VA_ARGS__);                                           \
        errnos_ask(e, want, &errnos_sqe_, 1, both, ERRNOS_HERE);                                   \
    }))
/* In a table, whose argument is `e`. */
#define ASK(want, verb, ...) ERRNOS_ASK(e, want, true, verb, __VA_ARGS__)
#define GET(verb, ...) ERRNOS_ASK(e, 0, true, verb, __VA_ARGS__)
#define SIM(want, verb, ...) ERRNOS_ASK(e, want, false, verb, __VA_ARGS__)
/* The same for an entry that liburing has no function for, by its fields. */
#define ASK_RAW(want, ...)                                                                         \
    errnos_ask(e, want, &(struct io_uring_sqe){__VA_ARGS__}, 1, true, ERRNOS_HERE)
#define SIM_RAW(want, ...)                                                                         \
    errnos_ask(e, want, &(struct io_uring_sqe){__VA_ARGS__}, 1, false, ERRNOS_HERE)
/* … and for the one behind the first, which is linked to it. */
#define ASK_LINKED(want, first, ...)                                                               \
    errnos_ask(e, want, (struct io_uring_sqe[]){first, {__VA_ARGS__}}, 2, true, ERRNOS_HERE)

/* A call that is not an entry, on both sides: must succeed, with the same result. */
#define BOTH(e, call)                                                                              \
    (__extension__({                                                                               \
        struct side *side = (e)->real;                                                             \
        const int errnos_real_ = side ? (call) : 0;                                                \
        int errnos_sim_;                                                                           \
        side = (e)->sim;                                                                           \
        errnos_sim_ = (call);                                                                      \
        if (errnos_sim_ < 0 || ((e)->real && errnos_real_ != errnos_sim_))                         \
            errnos_say(ERRNOS_HERE, #call, "a side", errnos_real_, errnos_sim_);                   \
        errnos_sim_;                                                                               \
    }))

/* `bytes` at `at` as the ring's one registered buffer; a table of `count` registered files. */
static inline int errnos_register(struct side *side, void *at, size_t bytes)
{
    const struct iovec iov = {at, bytes};

    return side->real ? real_ring_register(&side->ring, IORING_REGISTER_BUFFERS, &iov, 1)
                      : tdw_ring_register_buffers(&iov, 1);
}

static inline int errnos_register_files(struct side *side, unsigned count)
{
    static const int none[4] = {-1, -1, -1, -1};

    return side->real ? real_ring_register(&side->ring, IORING_REGISTER_FILES, none, count)
                      : tdw_ring_register_files(none, count);
}

/* ── Running a table ───────────────────────────────────────────────────────────────────────── */

static inline int errnos_remove(const char *path, const struct stat *stat, int type,
                                struct FTW *walk)
{
    (void)stat, (void)type, (void)walk;
    return remove(path);
}

typedef void errnos_table_fn(struct errnos *e);

static inline int errnos_run_table(struct side *sim, struct side *real, void *arg)
{
    struct errnos e = {.sim = sim, .real = real};

    (*(errnos_table_fn **)arg)(&e);
    return 0;
}

static inline bool errnos_real_is_comparable(void)
{
    unsigned major = 0, minor = 0;
    struct utsname name;

    return geteuid() == 0 && uname(&name) == 0 &&
           sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 12));
}

/* The table with both sides in a directory of its own, or with the simulated side alone. */
static inline void errnos_check(errnos_table_fn *table, bool both)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char dir[512];
    int status = 77;

    snprintf(dir, sizeof(dir), "%s/tdw-errnos-XXXXXX", base);
    errnos_report = mmap(NULL, sizeof(*errnos_report), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(errnos_report, MAP_FAILED);
    if (both && errnos_real_is_comparable() && mkdtemp(dir)) {
        status = sides_in_child(errnos_run_table, &table, dir);
        nftw(dir, errnos_remove, 8, FTW_DEPTH | FTW_PHYS);
    }
    if (status == 77)
        status = sides_alone(errnos_run_table, &table);
    if (errnos_report->wrong > 0)
        fputs(errnos_report->text, stderr);
    assert_int_equal(status, 0);
    assert_int_equal(errnos_report->wrong, 0);
    assert_true(errnos_report->asked > 0);
    munmap(errnos_report, sizeof(*errnos_report));
}

#endif
