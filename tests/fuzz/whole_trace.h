/* SPDX-License-Identifier: MIT */
/*
 * What importers promise of any input that they take: a whole trace.
 */
#ifndef TDW_FUZZ_WHOLE_TRACE_H
#define TDW_FUZZ_WHOLE_TRACE_H

#include <stdlib.h>
#include <traces/import.h>
#include <unistd.h>

/* The trace in `fd` reads to its end, with so many calls; else abort. */
static inline void check_whole(int fd, uint64_t calls)
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

#endif
