/* SPDX-License-Identifier: MIT */
/*
 * Writing a trace: ns and bytes an event, for the events of NOPs from a few tasks, to a file.
 */
#include "bench.h"
#include <stdlib.h>
#include <string.h>
#include <tidewheel/trace.h>
#include <unistd.h>

enum { EVENTS = 900000, ACTORS = 16 };

static double bytes_per_event;

static double run_writer(const void *arg)
{
    const char *path = arg;
    struct tdw_trace_writer *writer;
    struct tdw_trace_reader *reader;
    struct tdw_trace_record record;
    uint64_t now = 0, file, raw;
    double began;

    if (tdw_trace_create(&writer, path, TDW_TRACE_RUN, NULL, 0) < 0)
        return 0;
    began = bench_now();
    for (uint32_t i = 0; i < EVENTS / 3; i++) {
        static const uint8_t kinds[] = {TDW_E_SUBMIT, TDW_E_COMPLETE, TDW_E_DELIVER};

        for (int k = 0; k < 3; k++) {
            const struct tdw_event event = {.kind = kinds[k],
                                            .fd = k == 0 ? -1 : 0,
                                            .now_ns = now,
                                            .actor = 0x9e3779b97f4a7c15u * (i % ACTORS + 1),
                                            .ordinal = i / ACTORS};

            tdw_trace_event(writer, &event);
            now += k == 1 ? 0 : 300 + i * 7 % 900;
        }
    }
    tdw_trace_close(writer, NULL);
    began = (bench_now() - began) / EVENTS;
    if (tdw_trace_open(&reader, path, NULL) == 0) {
        while (tdw_trace_next(reader, &record) > 0)
            ;
        tdw_trace_bytes(reader, &file, &raw);
        bytes_per_event = (double)raw / EVENTS;
        tdw_trace_reader_close(reader);
    }
    return began;
}

static double budget(const void *unused)
{
    (void)unused;
    return 25;
}

void bench_trace(FILE *out)
{
    char path[] = "/tmp/tidewheel-bench-XXXXXX";
    const int fd = mkstemp(path);

    if (fd < 0)
        return;
    close(fd);
    bench_pair(out, &(struct bench){"trace_event", "ns", run_writer, path, "budget (with zstd)",
                                    budget, NULL});
    bench_value(out, "trace_event_bytes", "bytes", bytes_per_event, "budget", 10);
    unlink(path);
}
