/* SPDX-License-Identifier: MIT */
/*
 * `tdw plan`: look at plans without running anything.
 *
 *     tdw plan list                       the presets
 *     tdw plan check FILE [--set K=V]…    all that is wrong with it, each with its place
 *     tdw plan show FILE [--set K=V]…     as it is understood, which is a plan again
 *
 * `tdw points`: the library's fault points; one line each, tab-separated: name, kind, the errors
 * that an error by choice is one of, what it means.
 */
#include <cli/cli.h>
#include <faults/faults.h>
#include <string.h>

enum { SETS_MAX = 64 };

static int list(void)
{
    const char *name;

    for (size_t i = 0; (name = tdw_plan_preset(i)) != NULL; i++)
        printf("%s\n", name);
    return TDW_EXIT_OK;
}

/* The --set arguments behind the file; -1: told what is wrong. */
static int take_sets(int argc, char **argv, const char *sets[SETS_MAX])
{
    int count = 0;

    for (int i = 0; i < argc; i++) {
        const bool joined = strncmp(argv[i], "--set=", 6) == 0;

        if (!joined && (strcmp(argv[i], "--set") != 0 || i + 1 == argc)) {
            tdw__usage("plan", "after the file come --set KEY=VALUE");
            return -1;
        }
        if (count == SETS_MAX) {
            tdw__usage("plan", "that is too much to set");
            return -1;
        }
        sets[count++] = joined ? argv[i] + 6 : argv[++i];
    }
    return count;
}

int tdw__cli_plan(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *sets[SETS_MAX];
    const bool show = strcmp(verb, "show") == 0;
    struct tdw_plan *plan;
    int count, ret;

    if (strcmp(verb, "list") == 0 && argc == 2)
        return list();
    if ((!show && strcmp(verb, "check") != 0) || argc < 3)
        return tdw__usage("plan", "what is wanted is list, check FILE, or show FILE");
    count = take_sets(argc - 3, argv + 3, sets);
    if (count < 0)
        return TDW_EXIT_USAGE;
    ret = tdw_plan_read(&plan, argv[2], sets, (size_t)count, NULL, NULL);
    if (ret == -EINVAL)
        return TDW_EXIT_USAGE;
    if (ret < 0) {
        fprintf(stderr, "tdw plan: %s: %s\n", argv[2], strerror(-ret));
        return ret == -ENOENT ? TDW_EXIT_USAGE : TDW_EXIT_IO;
    }
    if (show)
        ret = tdw_plan_show(plan, stdout);
    else
        printf("%s: %zu rules\n", argv[2], tdw_plan_rules(plan));
    tdw_plan_free(plan);
    return ret < 0 || fflush(stdout) != 0 ? TDW_EXIT_IO : TDW_EXIT_OK;
}

static void print_point(uint8_t opcode, enum tdw_point_kind kind)
{
    int errors[TDW_ERRORS_MAX];
    const size_t count = kind == TDW_POINT_ERROR ? tdw__point_errors(opcode, errors) : 0;
    char name[TDW_POINT_NAME];

    tdw__point_name(opcode, kind, name);
    printf("%s\tgate\t", name);
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", strerrorname_np(errors[i]));
    printf("%s\t%s\n", count ? "" : "-", tdw__point_kind_text(kind));
}

int tdw__cli_points(int argc, char **argv)
{
    if (argc > 1)
        return tdw__usage(argv[0], "takes no arguments");
    for (int opcode = 0; opcode < 256; opcode++)
        for (int kind = 0; kind < TDW_POINT_KINDS; kind++)
            if (tdw__point_is((uint8_t)opcode, (enum tdw_point_kind)kind))
                print_point((uint8_t)opcode, (enum tdw_point_kind)kind);
    for (int point = 0; point < TDW_KERNEL_POINTS_COUNT; point++)
        printf("%s\tkernel\t-\t%s\n", tdw__kernel_point_name((enum tdw_kernel_point)point),
               tdw__kernel_point_text((enum tdw_kernel_point)point));
    return TDW_EXIT_OK;
}
