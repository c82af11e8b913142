/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests have seen of the kernel's opcodes: how often each succeeded, and how often it
 * answered each error.
 *
 * Told by two: the rig that runs rows directly (files_rig.h), and a tap on the worlds that
 * tdw_test_run makes, for seeds that are even, so that runs without a tap are tested too. At the
 * end of a full run it is written beside the program as opcodes-seen.tsv, from which
 * tests/opcodes/table.sh finds out what no test provokes. The counts are shared with the children
 * of tests.
 */
#include "tests.h"
#include <stdio.h>
#include <sys/mman.h>
#include <tidewheel/uring.h>

enum { ERRNOS = 134 };

/* By opcode and errno; [0] are successes. */
static uint64_t (*seen)[ERRNOS];

int tdw_test_seen_begin(void)
{
    void *memory =
        mmap(NULL, 256 * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    seen = memory == MAP_FAILED ? NULL : memory;
    return seen ? 0 : -1;
}

void tdw_test_seen(uint8_t opcode, int32_t res)
{
    if (seen && res > -ERRNOS)
        seen[opcode][res < 0 ? -res : 0]++;
}

static void saw(struct tdw_tap *tap, const struct tdw_event *event)
{
    (void)tap;
    if (event->kind == TDW_E_COMPLETE)
        tdw_test_seen(event->opcode, event->res);
}

void tdw_test_watch(struct tdw_world *world, struct tdw_tap *tap, uint64_t seed)
{
    *tap = (struct tdw_tap){.event = saw};
    if (seed % 2 == 0)
        tdw_tap_add(tdw_world_loop(world), tap);
}

int tdw_test_seen_write(const char *program)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof path, "%.*s/opcodes-seen.tsv",
             (int)(strrchr(program, '/') ? strrchr(program, '/') - program : 0), program);
    out = fopen(strchr(program, '/') ? path : "opcodes-seen.tsv", "w");
    if (!out)
        return -1;
    for (int opcode = 0; opcode < TDW_OP_FIRST; opcode++)
        for (int error = 0; error < ERRNOS; error++)
            if (seen[opcode][error])
                fprintf(out, "%s\t%s\t%llu\n", tdw_opcode((uint8_t)opcode)->name,
                        error ? strerrorname_np(error) : "ok",
                        (unsigned long long)seen[opcode][error]);
    return fclose(out);
}
