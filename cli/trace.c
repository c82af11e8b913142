/* SPDX-License-Identifier: MIT */
/*
 * tdw import, tdw stat, tdw show: what is done with trace files. All of it is in traces/.
 */
#include <cli/cli.h>
#include <string.h>
#include <stdlib.h>
#include <traces/import.h>
#include <traces/traces.h>

int tdw__cli_import(int argc, char **argv)
{
    const char *in = NULL, *out = NULL;
    int ret;

    if (argc < 2 || strcmp(argv[1], "strace") != 0)
        return tdw__usage("import", "what from? There is: strace");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            out = argv[++i];
        else if (argv[i][0] == '-' && argv[i][1])
            return tdw__usage("import", "an unknown option; there is -o OUT.tdw");
        else if (!in)
            in = argv[i];
        else
            return tdw__usage("import", "one file at a time");
    }
    if (!in || !out)
        return tdw__usage("import", "name the file, and where the recording goes: -o OUT.tdw");
    ret = tdw__import_strace(in, out, stdout, stderr);
    return ret == 0 ? TDW_EXIT_OK : ret == -EINVAL ? TDW_EXIT_USAGE : TDW_EXIT_IO;
}

int tdw__cli_stat(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false;
    int ret;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (argv[i][0] == '-' && argv[i][1])
            return tdw__usage("stat", "an unknown option; there is --json");
        else
            path = argv[i];
    }
    if (!path)
        return tdw__usage("stat", "of which file?");
    ret = tdw__trace_stat(path, stdout, json);
    return ret == 0 ? TDW_EXIT_OK : TDW_EXIT_IO;
}

/* The options of `tdw show`: each takes a value but the last two. 0, or an exit code. */
static int show_option(struct tdw__show *show, const char *name, const char *value)
{
    if (!value)
        return tdw__usage("show", "that option needs a value");
    if (strcmp(name, "--from") == 0)
        show->from_ns = strtoull(value, NULL, 10);
    else if (strcmp(name, "--to") == 0)
        show->to_ns = strtoull(value, NULL, 10);
    else if (strcmp(name, "--skip") == 0)
        show->skip = strtoull(value, NULL, 10);
    else if (strcmp(name, "--count") == 0)
        show->count = strtoull(value, NULL, 10);
    else if (strcmp(name, "--actor") == 0)
        show->actor = value;
    else if (strcmp(name, "--op") == 0)
        show->op = value;
    else if (strcmp(name, "--path") == 0)
        show->path = value;
    else if (strcmp(name, "--thread") == 0)
        show->thread = strtoll(value, NULL, 10) + 1;
    else
        return tdw__usage("show", "an unknown option; there are --from NS, --to NS, --skip N, "
                                  "--count N, --actor TEXT, --op NAME, --path TEXT, --thread N, "
                                  "--choices, --setup");
    return 0;
}

int tdw__cli_show(int argc, char **argv)
{
    struct tdw__show show = {0};
    const char *path = NULL;
    int ret;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--choices") == 0) {
            show.choices = true;
        } else if (strcmp(argv[i], "--setup") == 0) {
            show.setup = true;
        } else if (argv[i][0] == '-' && argv[i][1]) {
            ret = show_option(&show, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            if (ret != 0)
                return ret;
            i++;
        } else {
            path = argv[i];
        }
    }
    if (!path)
        return tdw__usage("show", "which file?");
    ret = tdw__trace_show(path, stdout, &show);
    return ret == 0 ? TDW_EXIT_OK : TDW_EXIT_IO;
}
