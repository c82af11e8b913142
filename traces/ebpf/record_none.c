/* SPDX-License-Identifier: MIT */
/*
 * `tdw record` of a build without BPF: says so, and what to do. The sibling of record.c.
 */
#include "record.h"
#include <errno.h>

int tdw__record(const struct tdw__record_options *options, FILE *err,
                struct tdw__recorded *recorded)
{
    (void)options;
    *recorded = (struct tdw__recorded){.refused = true};
    fprintf(err, "tdw record: this build has no recorder (it was built with BPF=no, or without "
                 "clang, bpftool\nand libbpf's headers: make deps-bpf brings them). Record with "
                 "strace, and tdw import strace.\n");
    return -ENOTSUP;
}
