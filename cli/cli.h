/* SPDX-License-Identifier: MIT */
/*
 * `tdw`: one file a verb, thin. A verb gets its arguments behind its own name, prints what it has
 * to say, and returns an exit code (enum tdw_exit). Everything it knows is in the rooms below.
 */
#ifndef TDW_CLI_H
#define TDW_CLI_H

#include <sim/explore/explore.h>

struct tdw_verb {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

int tdw__cli_run(int argc, char **argv);
int tdw__cli_replay(int argc, char **argv);
int tdw__cli_import(int argc, char **argv);
int tdw__cli_record(int argc, char **argv);
int tdw__cli_stat(int argc, char **argv);
int tdw__cli_show(int argc, char **argv);
int tdw__cli_models(int argc, char **argv);
int tdw__cli_plan(int argc, char **argv);
int tdw__cli_points(int argc, char **argv);
int tdw__cli_opcodes(int argc, char **argv);
int tdw__cli_version(int argc, char **argv);

/* Is `path` a program that was built with tdw_main? 0, or -errno after the reason was printed. */
int tdw__check_program(const char *path);
/* "tdw VERB: there is no option X; did you mean Y?" Returns TDW_EXIT_USAGE. */
int tdw__usage(const char *verb, const char *what);

#endif
