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
    {"split-brain", "rules:\n"
                    "  - name: cut off\n"
                    "    point: tdw/net/partition\n"
                    "    p: 0.5%\n"
                    "    action: {down: 50ms}\n"
                    "    budget: 4\n"
                    "  - name: deaf\n"
                    "    point: tdw/net/deaf\n"
                    "    p: 0.5%\n"
                    "    action: {down: 50ms}\n"
                    "    budget: 4\n"
                    "    enable: 50%\n"
                    "  - name: pauses\n"
                    "    point: tdw/host/pause\n"
                    "    p: 0.5%\n"
                    "    action: {down: 30ms}\n"
                    "    budget: 4\n"
                    "    enable: 50%\n"
                    "  - name: clocks\n"
                    "    point: tdw/clock/step\n"
                    "    p: 0.2%\n"
                    "    budget: 2\n"
                    "    enable: 50%\n"},
    {"slow-network", "rules:\n"
                     "  - name: late packets\n"
                     "    point: tdw/net/delay\n"
                     "    p: 5%\n"
                     "  - name: lost packets\n"
                     "    point: tdw/net/drop\n"
                     "    p: 1%\n"
                     "    budget: 50\n"
                     "    enable: 50%\n"
                     "  - name: doubled datagrams\n"
                     "    point: tdw/net/duplicate\n"
                     "    p: 1%\n"
                     "    enable: 50%\n"
                     "  - name: thin links\n"
                     "    point: tdw/net/slow\n"
                     "    p: 0.5%\n"
                     "    action: {down: 20ms, bandwidth: 20k}\n"
                     "    budget: 4\n"
                     "    enable: 50%\n"},
    {"chaos", "disks:\n"
              "  \"*\":\n"
              "    persistence: strict\n"
              "rules:\n"
              "  - name: power cuts\n"
              "    point: tdw/host/crash\n"
              "    p: 0.5%\n"
              "    budget: 2\n"
              "    enable: 50%\n"
              "  - name: kills\n"
              "    point: tdw/host/restart\n"
              "    p: 0.5%\n"
              "    budget: 2\n"
              "    enable: 50%\n"
              "  - name: pauses\n"
              "    point: tdw/host/pause\n"
              "    p: 0.5%\n"
              "    budget: 4\n"
              "    enable: 50%\n"
              "  - name: overload\n"
              "    point: tdw/host/slow\n"
              "    p: 0.5%\n"
              "    action: {times: 20, down: 20ms}\n"
              "    budget: 4\n"
              "    enable: 50%\n"
              "  - name: partitions\n"
              "    point: tdw/net/partition\n"
              "    p: 0.5%\n"
              "    budget: 4\n"
              "    enable: 50%\n"
              "  - name: resets\n"
              "    point: tdw/net/reset\n"
              "    p: 0.5%\n"
              "    budget: 10\n"
              "    enable: 50%\n"
              "  - name: late packets\n"
              "    point: tdw/net/delay\n"
              "    p: 3%\n"
              "    budget: 100\n"
              "    enable: 50%\n"
              "  - name: short transfers\n"
              "    point: tdw/op/*/short\n"
              "    p: 1%\n"
              "    enable: 30%\n"},
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
                   "  - name: hangs\n"
                   "    point: tdw/disk/hang\n"
                   "    p: 0.5%\n"
                   "    action: {down: 30ms}\n"
                   "    budget: 3\n"
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
