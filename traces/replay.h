/* SPDX-License-Identifier: MIT */
/*
 * Replaying a recording on the simulated kernel, in any model.
 *
 *     load (replay_load.c)     the file becomes a program: images, threads, steps by thread
 *     plan (replay_plan.c)     who was outside of the recording, and what came from there when
 *     run (replay_run.c)       one task a recorded thread; before each step its edges and pace
 *     calls (replay_calls.c)   what a step does: the verb it submits, what of its result counts
 *     peers (replay_peers.c)   one task a connection with the outside
 *     drive (replay_drive.c)   the same loop in the three models
 *     report (replay_report.c)
 *
 * A step is one recorded call. It is submitted with the recorded arguments, descriptors through a
 * map of each process, and its result is compared as the recording's table says; bytes never are.
 * The program is held in memory: edges may lead anywhere in it. Cost: about 250 bytes a call.
 */
#ifndef TDW_REPLAY_H
#define TDW_REPLAY_H

#include <sim/kernel/vfs.h>
#include <stdio.h>
#include <sys/socket.h>
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

#define REPLAY_NONE UINT32_MAX

struct replay_thread;

/* One recorded call, or the opening of a descriptor that was there at the start. */
struct replay_step {
    uint64_t index, start_ns, end_ns, line;
    int64_t arg[6], result;
    const char *name, *path[2], *address;
    const char *fd_path, *result_path; /* what the first descriptor and the result stand for */
    union {
        struct tdw_call_lock lock;
        struct tdw_call_stat stat;
        struct tdw_call_names names;
    };
    const struct replay_call *call; /* NULL: nothing to do */
    uint32_t thread, first_edge, edges;
    uint32_t first_item, items;
    uint32_t gate;    /* others wait for it: index of its gate; REPLAY_NONE: nobody does */
    uint32_t segment; /* the first one that it releases, or REPLAY_NONE */
    uint16_t bits;
    uint8_t row, how, compare, object;
    bool timing; /* its result is a matter of time */
    bool fed;    /* what it reads or accepts comes from peers alone */
};

/* Who waits for a step: until it was submitted, until it completed. */
struct replay_gate {
    struct tdw_token submitted, completed;
};

/*
 * Peers: who talks to the recorded program from outside of the recording. A peer is one connection.
 * It acts one segment after the other, each held back until the recorded call that harvests it is
 * about to be made: the wait that was told of it, else the read or accept that took it. So two
 * requests never merge into one read, and nothing arrives that was not there in the recording.
 */
enum replay_act {
    REPLAY_CONNECT, /* to the program's listening socket */
    REPLAY_ACCEPT,  /* the program's connection to us */
    REPLAY_SEND,
    REPLAY_END,   /* no more bytes: the program's read answers 0 */
    REPLAY_RESET, /* the connection is torn down: -ECONNRESET */
};

struct replay_segment {
    struct tdw_token released; /* in the present run */
    uint32_t consumer;         /* the step that releases it and waits for its arrival */
    uint32_t taker;            /* the step that takes it: a read, an accept, a connect */
    uint32_t peer;
    uint32_t next_of_peer, next_of_consumer; /* or REPLAY_NONE */
    uint32_t bytes;
    uint8_t act; /* enum replay_act */
};

struct replay_peer {
    struct tdw_token connected; /* in the present run: its connection exists */
    const char *ours, *theirs;  /* addresses: of the peer (NULL: any), of the program */
    uint32_t first, last;       /* segments, or REPLAY_NONE */
    uint32_t listener;          /* where it accepts, or REPLAY_NONE: it connects */
    uint32_t before;            /* the peer that accepts there before it, or REPLAY_NONE */
    bool inside;                /* its other end is in the recording too: there is no peer */
};

/* What an epoll instance of a process was told of, in all of the recording. */
struct replay_told {
    uint64_t data;
    uint32_t process, events;
};

struct replay_program {
    struct replay_step *steps;
    size_t steps_count, steps_max;
    struct tdw_edge *edges;
    size_t edges_count, edges_max;
    struct tdw_call_item *items;
    size_t items_count, items_max;
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
    struct replay_segment *segments;
    size_t segments_count, segments_max;
    struct replay_peer *peers;
    size_t peers_count, peers_max;
    const char **listeners; /* addresses at which peers accept */
    size_t listeners_count, listeners_max;
    struct replay_told *told; /* sorted by process, data */
    size_t told_count, told_max;
    uint32_t bytes_max; /* of one transfer */
    uint64_t calls, ignored, served, startup, unsupported;
    uint64_t compared, timing; /* of the calls that are replayed */
    struct {
        const char *name;
        uint64_t count;
    } unsupported_names[64];
    uint64_t recorded_ns;
    struct replay_text *text_list;
};

int tdw__replay_load(struct replay_program *program, const struct tdw__replay_options *options);
void tdw__replay_free(struct replay_program *program);

/* `before` and `text` as one text that lives as long as the program; NULL: no memory. */
const char *tdw__replay_text(struct replay_program *program, const char *before, const char *text,
                             size_t bytes);
/* Peers, their segments, and the edges that keep connections in their recorded order. Once, after
 * all steps are there; 0 or -ENOMEM. */
int tdw__replay_plan(struct replay_program *program);
/* An epoll instance of `process` was told of `events` for `data` (0 or -ENOMEM); when all is told,
 * the list is put in order. (replay_waits.c) */
int tdw__replay_tell(struct replay_program *program, uint32_t process, uint64_t data,
                     uint32_t events);
void tdw__replay_told(struct replay_program *program);
/* Was an epoll instance of `process` ever told `events` for `data`? */
bool tdw__replay_was_told(const struct replay_program *program, uint32_t process, uint64_t data,
                          uint32_t events);

/* What to do for a call of this name. `prepare` fills thread->task.op, or does the call at once:
 * then the value is true and thread->result is set. `after` looks at the result of an op, and may
 * fill another one in: then the value is true. */
struct replay_call {
    const char *name;
    bool (*prepare)(struct replay_thread *thread, const struct replay_step *step);
    bool (*after)(struct replay_thread *thread, const struct replay_step *step);
};
const struct replay_call *tdw__replay_call(const char *name);
/* Is the result as recorded? */
bool tdw__replay_matches(const struct replay_thread *thread, const struct replay_step *step);
/* The address in a recording's notation; its length, or 0 for one that cannot be read. */
socklen_t tdw__replay_address(const char *text, struct sockaddr_storage *to);

/* ── A run ─────────────────────────────────────────────────────────────────────────────────── */

enum { REPLAY_MISMATCHES = 64 };

/* What a task of a replay does, in any model: `next` goes on as far as it can. True: `op` is filled
 * and must be submitted and waited for; false: it has ended. */
struct replay_task {
    struct tdw_op op;
    enum tdw_model model;
    bool (*next)(struct replay_task *task);
    void (*submitted)(struct replay_task *task); /* `op` was; or NULL */
};
/* Spawn it (replay_drive.c). */
void tdw__replay_start(struct replay_task *task, const char *name, bool daemon);

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
    struct replay_outside *outside; /* the peers at work; NULL: there are none */
    uint64_t operations, mismatches;
    uint64_t timing_as_recorded; /* calls of the timing class that answered as they did there */
    uint32_t mismatched[REPLAY_MISMATCHES]; /* the first ones: steps, and what they answered */
    int64_t mismatched_result[REPLAY_MISMATCHES];
    struct tdw__histogram by_row[TDW_ROWS], recorded_by_row[TDW_ROWS];
};

enum replay_phase {
    REPLAY_START, /* of a thread that was there before the first call */
    REPLAY_EDGES,
    REPLAY_PACE,
    REPLAY_RELEASE, /* of what it harvests */
    REPLAY_ARRIVAL, /* of that; then the call */
    REPLAY_RESULT,
};

struct replay_thread {
    struct replay_task task;
    struct replay *replay;
    const struct tdw_trace_thread *recorded;
    struct replay_process *process;
    const uint32_t *steps;
    const struct replay_step *fds[16]; /* what it opens first */
    uint32_t fds_count, steps_count, at, edge;
    uint32_t arriving; /* the segment whose arrival is looked at */
    enum replay_phase phase;
    bool asked;                  /* for the present arrival: a poll answered */
    uint64_t began_ns, ended_ns; /* of the present step, of the one before */
    uint64_t recorded_end_ns;    /* of the step before */
    int64_t result;
    int64_t moved; /* by a transfer that goes on */
    bool polls;    /* the same: a poll, before it goes on */
    bool differs;  /* from the recording, in something that the result does not tell */
    uint8_t *buffer;
    struct iovec iov;
    struct msghdr message;
    uint64_t control[32]; /* of a message: struct cmsghdr */
    off_t offsets[2];     /* of a copy */
    struct statx statx;
    struct flock flock;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    uint64_t names_hash;
    uint32_t names_count;
};

/* The thread's present step. */
const struct replay_step *tdw__replay_step(const struct replay_thread *thread);
/* Start a thread: in the running task's process, or, if it was forked, in one of its own. */
void tdw__replay_spawn(struct replay_thread *thread);
/* One run, from a reset world to its end; the loop's answer. */
int tdw__replay_run(struct replay *replay, struct tdw_world *world,
                    const struct replay_program *program, const struct tdw__replay_options *options,
                    enum tdw_model model);
void tdw__replay_fini(struct replay *replay);
/* The simulated descriptor for a recorded one; -1 if there is none. */
int tdw__replay_fd(const struct replay_thread *thread, int64_t recorded);
void tdw__replay_map_fd(struct replay_thread *thread, int64_t recorded, int simulated);

/* Peers (replay_peers.c). Start them all, in a process of their own: from the first process, before
 * its threads start. 0 or -ENOMEM. */
int tdw__replay_peers_start(struct replay *replay);
void tdw__replay_peers_fini(struct replay *replay);
/* Peers listen from here on; a token that threads wait for. */
struct tdw_token *tdw__replay_peers_ready(struct replay *replay);
/* The step is about to be made: release what it harvests; then, until the value is false, wait for
 * its arrival with thread->task.op. */
void tdw__replay_release(struct replay_thread *thread, const struct replay_step *step);
bool tdw__replay_arrives(struct replay_thread *thread, const struct replay_step *step);

#endif
