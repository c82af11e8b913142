/* SPDX-License-Identifier: MIT */
/*
 * What this room offers to the command line: one function a verb.
 *
 * Each answers 0 or -errno and prints for a user. What can be told is told before an error is:
 * a damaged trace is shown up to the damage, then the damage is.
 */
#ifndef TDW_TRACES_TRACES_H
#define TDW_TRACES_TRACES_H

#include <tidewheel/trace.h>
#include <stdio.h>

/*
 * `tdw import strace`: `input` ("-": standard input) becomes the recording `output`, which appears
 * only when it is whole. The summary goes to `out`, malformed lines and errors to `err`.
 * -EINVAL: no line was understood; else what the system says.
 */
int tdw__import_strace(const char *input, const char *output, FILE *out, FILE *err);

/* The end of `tdw record`: what its kernel side told becomes the recording `output`. -EINVAL: there
 * was no call. */
int tdw__import_recorded(const uint8_t *events, size_t bytes, const char *output, FILE *out,
                         FILE *err);

/*
 * `tdw stat`: kind, metadata, counts, times, size. `json`: one object. A file that cannot be opened
 * is told on standard error; one that is damaged or not complete is described as far as it goes,
 * says so, and answers as tdw_trace_next does.
 */
int tdw__trace_stat(const char *path, FILE *out, bool json);

/* Which records `tdw show` prints. Zero fields do not restrict, so {0} shows all. */
struct tdw__show {
    uint64_t from_ns, to_ns; /* to_ns 0: no limit */
    uint64_t skip, count;    /* of what passes the other filters; count 0: all */
    uint64_t kinds;          /* bit per event kind (1 << TDW_E_SUBMIT); 0: all kinds */
    uint32_t rows;           /* bit per row of calls; 0: all rows */
    const char *actor;       /* part of the actor's path, or of a call's program; or NULL */
    const char *op;          /* name of the opcode or system call; or NULL */
    const char *path;        /* part of a path or descriptor's path of a call; or NULL */
    int64_t thread;          /* index + 1 of a recording's thread; 0: all */
    bool choices;            /* choices too: they are left out unless asked for, or in `kinds` */
    bool setup;              /* threads and images of a recording too */
};

/* `tdw show`: one line an event or call. Errors as tdw__trace_stat. */
int tdw__trace_show(const char *path, FILE *out, const struct tdw__show *show);

/* One call as a line much like the recorder's, without its end of line: for `tdw show` and `tdw
 * replay
 * --explain`. Answers the length, as snprintf does. */
size_t tdw__call_text(const struct tdw_call *call, char *text, size_t bytes);

#endif
