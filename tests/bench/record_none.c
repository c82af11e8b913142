/* SPDX-License-Identifier: MIT */
/*
 * record_pread of a build without BPF: its line says so. The sibling of record.c.
 */
#include "bench.h"

void bench_record(FILE *out)
{
    fprintf(out, "record_pread\t\tns\t(built without BPF)\t\t\n");
    printf("%-28s skipped: built without BPF\n", "record_pread");
}
