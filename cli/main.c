/* SPDX-License-Identifier: MIT */
/*
 * The command line's first step: which verb. The table is the help.
 */
#include <cli/cli.h>
#include <string.h>

static const struct tdw_verb verbs[] = {
    {"run", "PROGRAM [options] [SCENARIO…]", "explore a scenario program", tdw__cli_run},
    {"replay", "FILE [options]", "repeat a kept run, or drive a recording through the models",
     tdw__cli_replay},
    {"import", "strace FILE -o OUT.tdw", "turn a recorder's output into a recording",
     tdw__cli_import},
    {"record", "-o OUT.tdw [-p PID | -- CMD…]", "record a program's system calls (Linux BPF)",
     tdw__cli_record},
    {"stat", "FILE [--json]", "what is in a trace", tdw__cli_stat},
    {"show", "FILE [options]", "a trace, one line an event", tdw__cli_show},
    {"models", "[PROGRAM [options]] [--json]",
     "what the three models cost, in general or in a program", tdw__cli_models},
    {"plan", "list | check FILE | show FILE", "look at a plan of faults", tdw__cli_plan},
    {"points", "", "where faults can be planned", tdw__cli_points},
    {"opcodes", "", "what the simulated kernel performs", tdw__cli_opcodes},
    {"version", "", "the version", tdw__cli_version},
};
#define COUNT (sizeof verbs / sizeof *verbs)

static void help(FILE *out)
{
    fprintf(out, "usage: tdw VERB …\n\n");
    for (size_t i = 0; i < COUNT; i++)
        fprintf(out, "  tdw %-7s %-32s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
    fprintf(out, "\nExit: 0 nothing failed, 1 a failure or difference was found, 2 usage, 3 not "
                 "deterministic,\n4 nothing was run, 5 not supported here, 7 own input or output "
                 "failed, 70 a bug in tdw.\n");
}

int tdw__usage(const char *verb, const char *what)
{
    fprintf(stderr, "tdw %s: %s; see tdw --help\n", verb, what);
    return TDW_EXIT_USAGE;
}

int tdw__cli_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("tdw %s\n", TDW_VERSION);
    return TDW_EXIT_OK;
}

static int unknown(const char *word)
{
    const char *names[COUNT];
    const char *near;

    for (size_t i = 0; i < COUNT; i++)
        names[i] = verbs[i].name;
    near = tdw__nearest(word, names, COUNT);
    fprintf(stderr, "tdw: there is no verb '%s'%s%s%s; tdw --help names them\n", word,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return TDW_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return TDW_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return TDW_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return tdw__cli_version(0, NULL);
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
