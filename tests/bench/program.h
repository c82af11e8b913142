/* SPDX-License-Identifier: MIT */
/*
 * Programs of peers/ as the bench runs them: started on a CPU of their own, asked by lines,
 * measured from outside, and stopped.
 *
 * A program that is not there, fails, or does not answer is a result (false, or 0), never the end
 * of the bench. Each is gone when the bench is.
 */
#ifndef TDW_BENCH_PROGRAM_H
#define TDW_BENCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

struct program {
    pid_t pid; /* 0: not running */
    clockid_t clock;
    FILE *to, *from;
};

/* Start argv[0], build/bench-NAME for a peer, pinned to `cpu` where there are so many. */
bool program_start(struct program *program, int cpu, const char *const argv[]);
/* The next line of its output, without what ends it; false at the end. */
bool program_line(struct program *program, char *line, int bytes);
/* Tell it a number; it answers with two. */
bool program_ask(struct program *program, uint64_t number, uint64_t answer[2]);
/* Processor time so far, of all of its threads, user and system. */
double program_cpu_ns(const struct program *program);
/* SIGTERM, and SIGKILL for one that does not mind it; it is gone afterwards. */
void program_stop(struct program *program);

/* A number from the environment, 1 to `max`, or `otherwise`. */
uint32_t program_setting(const char *name, uint32_t otherwise, uint32_t max);

#endif
