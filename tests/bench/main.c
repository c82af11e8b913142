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

    fprintf(out, "%s\t%.2f\t%s\t%s\t%.2f\t%.3f\n", name, value, unit, reference, reference_value,
            ratio);
    printf("%-28s %10.2f %-6s %-26s %10.2f  x %.2f\n", name, value, unit, reference,
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

/* bench [FILE [GROUP]] */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(FILE *out);
    } groups[] = {
        {"switch", bench_switch}, {"trace", bench_trace}, {"sim", bench_sim}, {"net", bench_net}};
    FILE *out = fopen(argc > 1 ? argv[1] : "bench.tsv", "w");

    if (!out) {
        perror(argc > 1 ? argv[1] : "bench.tsv");
        return 7;
    }
    fprintf(out, "name\tvalue\tunit\treference\treference_value\tratio\n");
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (argc < 3 || strcmp(argv[2], groups[i].name) == 0)
            groups[i].run(out);
    return fclose(out) == 0 ? 0 : 7;
}
