/* SPDX-License-Identifier: MIT */
/*
 * Measuring: a figure and its reference in turn, several times, the median of each.
 *
 * Machines drift, so a figure alone says little: what is told is its ratio to a reference that was
 * measured in the same minute. Nothing here asserts a time.
 *
 * Programs that are compared with others run in rounds, each once a round: a figure and its
 * reference are then pairs, and what is told is the median of the pairs' ratios, with an interval
 * that holds the true median with a chance of 95 %, whatever the noise looks like.
 */
#ifndef TDW_BENCH_H
#define TDW_BENCH_H

#include <stdint.h>
#include <stdio.h>

/* Nanoseconds for one unit of work. */
typedef double bench_fn(const void *arg);

struct bench {
    const char *name, *unit;
    bench_fn *run;
    const void *arg;
    const char *reference;
    bench_fn *reference_run;
    const void *reference_arg;
};

double bench_now(void);
/* Measure and write a line: name, value, unit, reference, its value, ratio. */
void bench_pair(FILE *out, const struct bench *bench);
void bench_value(FILE *out, const char *name, const char *unit, double value, const char *reference,
                 double reference_value);

enum { BENCH_ROUNDS_MAX = 999 };
/* Pairs of round `i`, values[i] and references[i]: the same line, and the interval of the ratio. */
void bench_paired(FILE *out, const char *name, const char *unit, const double *values,
                  const char *reference, const double *references, uint32_t count);

/* The groups. */
void bench_faults(FILE *out);
void bench_echo_epoll(FILE *out);
void bench_echo_uring(FILE *out);
void bench_file_read(FILE *out);
void bench_net(FILE *out);
void bench_record(FILE *out);
void bench_sim(FILE *out);
void bench_switch(FILE *out);
void bench_trace(FILE *out);

/* The floor of sim_op: the hold of a 4-ary heap (pop the least, push it again later) of `pending`
 * entries; with `touch`, three cache lines of a popped entry's own are written. */
struct bench_hold {
    uint32_t pending;
    int touch;
};
bench_fn bench_heap_hold;

#endif
