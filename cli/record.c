/* SPDX-License-Identifier: MIT */
/*
 * tdw record: the system calls of a command or process, without strace. All of it is in
 * traces/ebpf/.
 */
#include <cli/cli.h>
#include <stdlib.h>
#include <string.h>
#include <traces/ebpf/record.h>

/* A power of two that BPF takes for a ring; 0 if `text` is none. */
static uint64_t ring_bytes(const char *text)
{
    char *end;
    const uint64_t bytes = strtoull(text, &end, 10);
    const bool power = bytes >= TDW__RING_BYTES_MIN && (bytes & (bytes - 1)) == 0;

    return *end == '\0' && power && bytes <= 1u << 31 ? bytes : 0;
}

/* The options that take a value. 0, or an exit code. */
static int option(struct tdw__record_options *options, const char *name, const char *value)
{
    if (strcmp(name, "-o") != 0 && strcmp(name, "-p") != 0 && strcmp(name, "--ring") != 0)
        return tdw__usage("record", "an unknown option; there are -o OUT.tdw, -p PID, --ring "
                                    "BYTES, and -- before the command");
    if (!value)
        return tdw__usage("record", "that option needs a value");
    if (name[1] == 'o')
        options->output = value;
    else if (name[1] == 'p' && (options->pid = atoi(value)) <= 0)
        return tdw__usage("record", "-p needs the number of a process");
    else if (name[1] == '-' && (options->ring_bytes = ring_bytes(value)) == 0)
        return tdw__usage("record", "--ring needs a power of two, 4096 or more");
    return 0;
}

/* 0, or an exit code. */
static int parse(struct tdw__record_options *options, int argc, char **argv)
{
    for (int i = 1; i < argc && !options->command; i += 2) {
        if (strcmp(argv[i], "--") == 0) {
            options->command = argv + i + 1;
        } else {
            const int ret = option(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);

            if (ret)
                return ret;
        }
    }
    if (!options->output)
        return tdw__usage("record", "where does the recording go? -o OUT.tdw");
    if (options->pid ? options->command != NULL : !options->command || !options->command[0])
        return tdw__usage("record", "of what? Either -p PID, or -- and a command");
    return 0;
}

int tdw__cli_record(int argc, char **argv)
{
    struct tdw__record_options options = {.ring_bytes = TDW__RING_BYTES};
    struct tdw__recorded recorded;
    int ret = parse(&options, argc, argv);

    if (ret)
        return ret;
    ret = tdw__record(&options, stderr, &recorded);
    if (recorded.refused)
        return TDW_EXIT_UNSUPPORTED;
    if (recorded.nothing)
        return recorded.has_status ? recorded.status : TDW_EXIT_NOTHING;
    if (recorded.no_target)
        return TDW_EXIT_USAGE;
    if (ret)
        return TDW_EXIT_IO;
    return recorded.has_status ? recorded.status : TDW_EXIT_OK;
}
