/* SPDX-License-Identifier: MIT */
/*
 * `tdw record`: what the command line asks for. Built twice: record.c records, record_none.c says
 * that this build does not.
 */
#ifndef TDW_TRACES_RECORD_H
#define TDW_TRACES_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { TDW__RING_BYTES = 32 << 20, TDW__RING_BYTES_MIN = 4096 };

struct tdw__record_options {
    const char *output;
    int pid;             /* 0: `command` is run */
    char **command;      /* ends with NULL */
    uint64_t ring_bytes; /* a power of two, at least TDW__RING_BYTES_MIN */
};

/* How it went. */
struct tdw__recorded {
    int status; /* of the command, as a shell tells it: 128 + signal */
    bool has_status;
    bool refused;   /* the reason was printed: not supported here */
    bool no_target; /* the reason was printed: no such program or process */
    bool nothing;   /* no call was made */
};

/*
 * Record until the command and its children have ended, or process `pid` has, or SIGINT or SIGTERM.
 * Tells what goes wrong on `err`, and at the end what the recording holds. 0, or -errno.
 */
int tdw__record(const struct tdw__record_options *options, FILE *err,
                struct tdw__recorded *recorded);

#endif
