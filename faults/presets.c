/* SPDX-License-Identifier: MIT */
/*
 * Plans that come with the library: each what a program of some kind should survive, to begin with.
 *
 * They are text, read as any other plan is, and `tdw plan show NAME` prints one to start from.
 */
#include <faults/faults.h>
#include <string.h>

static const struct {
    const char *name, *text;
} presets[] = {
    {"none", "rules: []\n"},
    {"power-cut", "disks:\n"
                  "  \"*\":\n"
                  "    persistence: strict\n"
                  "rules: []\n"},
    {"flaky-disk", "rules:\n"
                   "  - name: read errors\n"
                   "    point: tdw/op/read*/error\n"
                   "    action: {error: EIO}\n"
                   "    p: 0.2%\n"
                   "    enable: 50%\n"
                   "  - name: write errors\n"
                   "    point: tdw/op/write*/error\n"
                   "    p: 0.2%\n"
                   "    enable: 50%\n"
                   "  - name: failed flushes\n"
                   "    point: tdw/op/fsync/error\n"
                   "    p: 1%\n"
                   "    enable: 50%\n"
                   "  - name: short transfers\n"
                   "    point: tdw/op/*/short\n"
                   "    p: 2%\n"
                   "    enable: 50%\n"
                   "  - name: slow requests\n"
                   "    point: tdw/op/*/delay\n"
                   "    p: 1%\n"
                   "    enable: 50%\n"},
};
enum { COUNT = sizeof presets / sizeof *presets };

const char *tdw_plan_preset(size_t index)
{
    return index < COUNT ? presets[index].name : NULL;
}

const char *tdw__preset_text(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(presets[i].name, name) == 0)
            return presets[i].text;
    return NULL;
}
