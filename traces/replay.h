/* SPDX-License-Identifier: MIT */
/*
 * Replaying a recording on the simulated kernel, in any model.
 *
 *     load (replay_load.c)     the file becomes a program: images, threads, steps by thread
 *     run (replay_run.c)       one task a recorded thread; before each step its edges and pace
 *     calls (replay_calls.c)   what a step does: the verb it submits, what of its result counts
 *     drive (replay_drive.c)   the same loop in the three models
 *     report (replay_report.c)
 *
 * A step is one recorded call. It is submitted with the recorded arguments, descriptors through a
 * map of each process, and its result is compared as the recording's table says; bytes never are.
 * The program is held in memory: edges may lead anywhere in it. Cost: about 200 bytes a call.
 */
#ifndef TDW_REPLAY_H
#define TDW_REPLAY_H

#include <sim/kernel/vfs.h>
#include <stdio.h>
#include <tidewheel/scenario.h>
#include <tidewheel/trace.h>
#include <traces/histogram.h>

enum tdw_pace {
    TDW_PACE_ASAP,     /* as soon as the step before is done */
    TDW_PACE_RECORDED, /* not before its recorded time */
    TDW_PACE_CLOSED,   /* think times are kept: recorded gaps after the step before */
};

struct tdw__replay_options {
    const char *path;
    unsigned models; /* bit by enum tdw_model */
    enum tdw_schedule schedule;
    enum tdw_strategy strategy;
    uint64_t seed, seeds; /* how many, from `seed` on */
    enum tdw_pace pace;
    bool startup;   /* the dynamic loader's calls too */
    bool strict_fd; /* descriptors must have their recorded numbers */
    bool json;
    uint64_t explain; /* so many mismatches are shown with the recorded line */
    FILE *out;
};

/* Replay and tell. 0: all as recorded, and the same in all models; 1: mismatches; 3: the models
 * differ; -errno: the file could not be read, as told on standard error. */
int tdw__replay_recording(const struct tdw__replay_options *options);

/* ── Inside ────────────────────────────────────────────────────────────────────────────────── */

struct replay_thread;

/* One recorded call, or the opening of a descriptor that was there at the start. */
struct replay_step {
    uint64_t index, start_ns, end_ns, line;
    int64_t arg[6], result;
    const char *name, *path[2];
    union {
        struct tdw_call_lock lock;
        struct tdw_call_stat stat;
        struct tdw_call_names names;
    };
    const struct replay_call *call; /* NULL: nothing to do */
    uint32_t thread, first_edge, edges;
    uint32_t gate; /* others wait for it: index of its gate; UINT32_MAX: nobody does */
    uint16_t bits;
    uint8_t row, how, compare;
};

/* Who waits for a step: until it was submitted, until it completed. */
struct replay_gate {
    struct tdw_token submitted, completed;
};

struct replay_program {
    struct replay_step *steps;
    size_t steps_count, steps_max;
    struct tdw_edge *edges;
    size_t edges_count, edges_max;
    struct tdw_trace_thread *threads;
    uint32_t threads_count, processes_count;
    uint32_t **by_thread; /* indexes of steps */
    uint32_t *by_thread_count;
    struct tdw_image *images;
    size_t images_count;
    struct replay_step *fds; /* descriptors of the images, as steps: arg[0] fd, arg[5] process */
    uint32_t fds_count;
    struct replay_gate *gates;
    uint32_t gates_count;
    uint32_t bytes_max; /* of one transfer */
    uint64_t calls, ignored, served, startup, unsupported;
    struct {
        const char *name;
        uint64_t count;
    } unsupported_names[64];
    uint64_t recorded_ns;
    struct replay_text *text_list;
};

int tdw__replay_load(struct replay_program *program, const struct tdw__replay_options *options);
void tdw__replay_free(struct replay_program *program);

/* What to do for a call of this name. `prepare` fills thread->op, or does the call at once: then
 * the value is true and thread->result is set. `after` looks at the result of an op. */
struct replay_call {
    const char *name;
    bool (*prepare)(struct replay_thread *thread, const struct replay_step *step);
    void (*after)(struct replay_thread *thread, const struct replay_step *step);
};
const struct replay_call *tdw__replay_call(const char *name);
/* Is the result as recorded? */
bool tdw__replay_matches(const struct replay_thread *thread, const struct replay_step *step);

enum { REPLAY_MISMATCHES = 64 };

/* The state of one run. */
struct replay {
    const struct replay_program *program;
    const struct tdw__replay_options *options;
    enum tdw_model model;
    struct replay_thread *threads;
    struct replay_process {
        struct tdw_process *process;
        int32_t *fds; /* recorded -> simulated; -1: none */
        uint32_t fds_max;
    } * processes;
    uint64_t operations, mismatches, timing;
    uint32_t mismatched[REPLAY_MISMATCHES]; /* the first ones: steps, and what they answered */
    int64_t mismatched_result[REPLAY_MISMATCHES];
    struct tdw__histogram by_row[TDW_ROWS], recorded_by_row[TDW_ROWS];
};

enum replay_phase { REPLAY_EDGES, REPLAY_PACE, REPLAY_CALL, REPLAY_RESULT };

struct replay_thread {
    struct replay *replay;
    const struct tdw_trace_thread *recorded;
    struct replay_process *process;
    const uint32_t *steps;
    const struct replay_step *fds[16]; /* what it opens first */
    uint32_t fds_count, steps_count, at, edge;
    enum replay_phase phase;
    uint64_t began_ns, ended_ns; /* of the present step, of the one before */
    uint64_t recorded_end_ns;    /* of the step before */
    struct tdw_op op;
    int64_t result;
    uint8_t *buffer;
    struct iovec iov;
    struct statx statx;
    struct flock flock;
    struct sockaddr_storage address;
    uint64_t names_hash;
    uint32_t names_count;
};

/* The thread goes on as far as it can. True: thread->op is filled and must be submitted and waited
 * for; false: the thread has ended. */
bool tdw__replay_next(struct replay_thread *thread);
/* thread->op is about to be submitted. */
void tdw__replay_submitted(struct replay_thread *thread);
/* The thread's present step. */
const struct replay_step *tdw__replay_step(const struct replay_thread *thread);
/* Start a thread: in the running task's process, or, if it was forked, in one of its own. */
void tdw__replay_spawn(struct replay_thread *thread);
/* Spawn the thread's task, in the run's model (replay_drive.c). */
void tdw__replay_start(struct replay_thread *thread);
/* One run, from a reset world to its end; the loop's answer. */
int tdw__replay_run(struct replay *replay, struct tdw_world *world,
                    const struct replay_program *program, const struct tdw__replay_options *options,
                    enum tdw_model model);
void tdw__replay_fini(struct replay *replay);
/* The simulated descriptor for a recorded one; -1 if there is none. */
int tdw__replay_fd(const struct replay_thread *thread, int64_t recorded);
void tdw__replay_map_fd(struct replay_thread *thread, int64_t recorded, int simulated);

#endif
