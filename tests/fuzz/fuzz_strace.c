/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: arbitrary bytes as strace's output.
 *
 * The importer must take or refuse them, and what it writes must be a whole trace that reads to its
 * end with as many calls as it reported. Built with libFuzzer, or with replay_main.c to run given
 * files.
 */
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int fd, uint64_t calls)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    uint64_t seen = 0;
    int got;

    lseek(fd, 0, SEEK_SET);
    if (tdw_trace_open_fd(&reader, fd, NULL))
        abort();
    while ((got = tdw_trace_next(reader, &record)) == 1)
        seen += record.type == TDW_TRACE_CALL;
    if (got != 0 || seen != calls)
        abort();
    tdw_trace_reader_close(reader);
}

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
        check(fd, report.calls);
    close(fd);
    return 0;
}
