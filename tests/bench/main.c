/* SPDX-License-Identifier: MIT */
/*
 * build/bench FILE: all figures, as tab-separated lines in FILE and as a table on the terminal.
 */
#include "bench.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 7 };

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void bench_value(FILE *out, const char *name, const char *unit, double value, const char *reference,
                 double reference_value)
{
    const double ratio = reference_value > 0 ? value / reference_value : 0;

    fprintf(out, "%s\t%.2f\t%s\t%s\t%.2f\t%.3f\t\t\n", name, value, unit, reference,
            reference_value, ratio);
    printf("%-36s %10.2f %-6s %-20s %10.2f  x %.2f\n", name, value, unit, reference,
           reference_value, ratio);
    fflush(stdout);
}

void bench_pair(FILE *out, const struct bench *bench)
{
    double values[REPEATS], references[REPEATS];

    bench->run(bench->arg); /* warm */
    for (int i = 0; i < REPEATS; i++) {
        references[i] = bench->reference_run(bench->reference_arg);
        values[i] = bench->run(bench->arg);
    }
    qsort(values, REPEATS, sizeof *values, by_value);
    qsort(references, REPEATS, sizeof *references, by_value);
    bench_value(out, bench->name, bench->unit, values[REPEATS / 2], bench->reference,
                references[REPEATS / 2]);
}

static double median(const double *values, uint32_t count)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, by_value);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* How many of the least and of the greatest of `count` values lie outside of a 95 % interval of
 * their median. Whether a value is below the median is the toss of a coin, whatever the values'
 * distribution: the chance that at most k of them are is a sum of binomials, and k may grow while
 * the two tails together have a chance of at most 5 %. */
static uint32_t outside_interval(uint32_t count)
{
    double term = 1, tail = 0;
    uint32_t k = 0;

    for (uint32_t i = 0; i < count; i++)
        term /= 2;
    for (; k < count / 2; k++) {
        tail += term;
        if (2 * tail > 0.05)
            break;
        term *= (double)(count - k) / (k + 1);
    }
    return k > 0 ? k - 1 : 0;
}

void bench_paired(FILE *out, const char *name, const char *unit, const double *values,
                  const char *reference, const double *references, uint32_t count)
{
    const double value = median(values, count), reference_value = median(references, count);
    const uint32_t outside = outside_interval(count);
    double ratios[BENCH_ROUNDS_MAX], ratio;

    for (uint32_t i = 0; i < count; i++)
        ratios[i] = values[i] / references[i];
    ratio = median(ratios, count);
    qsort(ratios, count, sizeof *ratios, by_value);
    fprintf(out, "%s\t%.2f\t%s\t%s\t%.2f\t%.3f\t%.3f\t%.3f\n", name, value, unit, reference,
            reference_value, ratio, ratios[outside], ratios[count - 1 - outside]);
    printf("%-36s %10.2f %-6s %-20s %10.2f  x %.2f  (%.2f to %.2f)\n", name, value, unit, reference,
           reference_value, ratio, ratios[outside], ratios[count - 1 - outside]);
    fflush(stdout);
}

/* bench [FILE [GROUP]] */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(FILE *out);
    } groups[] = {{"switch", bench_switch},
                  {"trace", bench_trace},
                  {"sim", bench_sim},
                  {"faults", bench_faults},
                  {"net", bench_net},
                  {"echo_uring", bench_echo_uring},
                  {"echo_epoll", bench_echo_epoll},
                  {"file_read_uring", bench_file_read},
                  {"record", bench_record}};
    FILE *out = fopen(argc > 1 ? argv[1] : "bench.tsv", "w");

    if (!out) {
        perror(argc > 1 ? argv[1] : "bench.tsv");
        return 7;
    }
    fprintf(out, "name\tvalue\tunit\treference\treference_value\tratio\tratio_low\tratio_high\n");
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 3 || strcmp(argv[2], groups[i].name) == 0)
            groups[i].run(out);
    return fclose(out) == 0 ? 0 : 7;
}
