/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: arbitrary bytes as the recorder's events.
 *
 * They come from the kernel, but half of what is in them is the recorded program's. The importer
 * must take or refuse them, and what it writes must be a whole trace that reads to its end with as
 * many calls as it reported. Built with libFuzzer, or with replay_main.c to run given files.
 */
#include "whole_trace.h"
#include <traces/ebpf/events_import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tdw__import_report report;
    uint8_t *const events = malloc(size + 1); /* aligned, with its end known to the sanitizer */
    int fd, error;

    if (!events)
        return 0;
    memcpy(events, data, size);
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    error = tdw__import_events(events, size, fd, &report);
    free(events);
    if (error && error != -EINVAL)
        abort();
    if (!error)
        check_whole(fd, report.calls);
    close(fd);
    return 0;
}
