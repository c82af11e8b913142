/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: arbitrary bytes as strace's output.
 *
 * The importer must take or refuse them, and what it writes must be a whole trace that reads to its
 * end with as many calls as it reported. Built with libFuzzer, or with replay_main.c to run given
 * files.
 */
#include "whole_trace.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tdw__import_report report;
    FILE *const in = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    int fd, error;

    if (!in)
        return 0;
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    error = tdw__import_stream(in, fd, NULL, &report);
    fclose(in);
    if (error && error != -EINVAL)
        abort();
    if (!error)
        check_whole(fd, report.calls);
    close(fd);
    return 0;
}
