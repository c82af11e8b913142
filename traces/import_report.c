/* SPDX-License-Identifier: MIT */
/*
 * `tdw import strace` and the end of `tdw record`: files opened, the stream run, the summary
 * printed.
 *
 * The summary says what a replay of the recording will be worth: how many calls there are of each
 * row of the replay table and how much of the time they took, which share of the time inside calls
 * is covered, what is served or ignored, and each unsupported system call by name. Its numbers are
 * those of the trace written; `tdw stat` can be asked for them again.
 *
 * The output appears under its name only when it is whole: it is written beside it and renamed.
 */
#include <traces/ebpf/events_import.h>
#include <traces/import.h>
#include <traces/traces.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void rows_print(const struct tdw__import_report *r, FILE *out)
{
    fprintf(out, "%-16s %10s %7s\n", "row", "calls", "time");
    for (uint8_t row = 1; row < TDW_ROWS; row++) {
        if (r->by_row[row])
            fprintf(out, "%-16s %10llu %6.1f%%\n", tdw_row_name(row),
                    (unsigned long long)r->by_row[row], share(r->ns_by_row[row], r->total_ns));
    }
}

static void summary_print(const struct tdw__import_report *r, const char *what, FILE *out)
{
    uint64_t compared = 0;

    for (int i = TDW_COMPARE_RESULT; i <= TDW_COMPARE_TIMING; i++)
        compared += r->by_compare[i];
    fprintf(out, "%llu calls of %llu threads in %llu processes, from %llu %s (%llu malformed)\n",
            (unsigned long long)r->calls, (unsigned long long)r->threads,
            (unsigned long long)r->processes, (unsigned long long)r->lines, what,
            (unsigned long long)r->malformed);
    rows_print(r, out);
    fprintf(out, "covered          %.1f%% of the time inside calls\n",
            share(r->covered_ns, r->total_ns));
    fprintf(out, "compared         %llu calls, of which timing %.1f%%\n",
            (unsigned long long)compared, share(r->timing, compared));
    fprintf(out, "start-up         %llu calls of the dynamic loader\n",
            (unsigned long long)r->startup);
    fprintf(out, "served           %llu calls on /proc, /sys, devices and terminals\n",
            (unsigned long long)r->served);
    fprintf(out, "edges            %llu, file images %llu\n", (unsigned long long)r->edges,
            (unsigned long long)r->images);
    if (r->no_result)
        fprintf(out, "without result   %llu\n", (unsigned long long)r->no_result);
    if (r->shared_maps)
        fprintf(out, "shared mappings  %llu writable ones of files: stores are not recorded\n",
                (unsigned long long)r->shared_maps);
    if (r->words_unknown)
        fprintf(out, "unknown words    in %llu calls: record with -X raw\n",
                (unsigned long long)r->words_unknown);
    if (r->lists_cut)
        fprintf(out, "cut              in %llu calls a text or list was too long\n",
                (unsigned long long)r->lists_cut);
    fprintf(out, "unsupported      %llu\n", (unsigned long long)r->by_row[TDW_ROW_UNSUPPORTED]);
    for (size_t i = 0; i < r->unsupported_names; i++)
        fprintf(out, "    %-20s %llu\n", r->unsupported[i].name,
                (unsigned long long)r->unsupported[i].count);
}

/* What is imported: a stream of lines, or events in memory. */
struct source {
    FILE *lines;
    const uint8_t *events;
    size_t bytes;
};

/* Import into `part`, then let it appear as `output`. */
static int import_to(const struct source *source, const char *part, const char *output, FILE *err,
                     struct tdw__import_report *report)
{
    const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int error;

    if (fd < 0) {
        error = -errno;
        fprintf(err, "cannot write %s: %s\n", part, strerror(errno));
        return error;
    }
    error = source->lines ? tdw__import_stream(source->lines, fd, err, report)
                          : tdw__import_events(source->events, source->bytes, fd, report);
    if (close(fd) < 0 && !error)
        error = -errno;
    if (!error && rename(part, output) < 0)
        error = -errno;
    if (error) {
        unlink(part);
        fprintf(err, "%s\n",
                error != -EINVAL ? strerror(-error)
                : source->lines  ? "no line could be read: is this the output of strace?"
                                 : "no system call was made: there is nothing to keep");
    }
    return error;
}

int tdw__import_strace(const char *input, const char *output, FILE *out, FILE *err)
{
    struct tdw__import_report *const report = malloc(sizeof *report);
    const bool standard = !strcmp(input, "-");
    FILE *const in = standard ? stdin : fopen(input, "re");
    char part[TDW_TRACE_PATH_BYTES];
    int error = -ENOMEM;

    if (!in) {
        error = -errno;
        fprintf(err, "cannot read %s: %s\n", input, strerror(errno));
    } else if (snprintf(part, sizeof part, "%s.part", output) >= (int)sizeof part) {
        error = -ENAMETOOLONG;
    } else if (report) {
        error = import_to(&(struct source){.lines = in}, part, output, err, report);
        if (!error)
            summary_print(report, "lines", out);
    }
    if (in && !standard)
        fclose(in);
    free(report);
    return error;
}

int tdw__import_recorded(const uint8_t *events, size_t bytes, const char *output, FILE *out,
                         FILE *err)
{
    struct tdw__import_report *const report = malloc(sizeof *report);
    const struct source source = {.events = events, .bytes = bytes};
    char part[TDW_TRACE_PATH_BYTES];
    int error = -ENOMEM;

    if (snprintf(part, sizeof part, "%s.part", output) >= (int)sizeof part) {
        error = -ENAMETOOLONG;
    } else if (report) {
        error = import_to(&source, part, output, err, report);
        if (!error)
            summary_print(report, "events", out);
    }
    free(report);
    return error;
}
