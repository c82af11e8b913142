/* SPDX-License-Identifier: MIT */
/*
 * `tdw opcodes`: io_uring's opcodes, and which of them the simulated kernel performs.
 *
 * One line each, tab-separated: name, number, yes or no, the Linux release that brought it. The
 * manual page's table and tests/opcodes/table.sh are made from it. Those without a name of ours
 * answer -EINVAL, as every other number does.
 */
#include <cli/cli.h>
#include <tidewheel/uring.h>

/* Releases brought opcodes in order: the first of each. */
static const struct {
    uint8_t first;
    const char *release;
} since[] = {
    {IORING_OP_NOP, "5.1"},
    {IORING_OP_SYNC_FILE_RANGE, "5.2"},
    {IORING_OP_SENDMSG, "5.3"},
    {IORING_OP_TIMEOUT, "5.4"},
    {IORING_OP_TIMEOUT_REMOVE, "5.5"},
    {IORING_OP_FALLOCATE, "5.6"},
    {IORING_OP_SPLICE, "5.7"},
    {IORING_OP_TEE, "5.8"},
    {IORING_OP_SHUTDOWN, "5.11"},
    {IORING_OP_MKDIRAT, "5.15"},
    {IORING_OP_MSG_RING, "5.18"},
    {IORING_OP_FSETXATTR, "5.19"},
    {IORING_OP_SEND_ZC, "6.0"},
    {IORING_OP_SENDMSG_ZC, "6.1"},
    {TDW_OP_FTRUNCATE, "6.9"},
    {TDW_OP_BIND, "6.11"},
};

static const char *since_of(int opcode)
{
    size_t i = sizeof since / sizeof *since;

    while (since[--i].first > opcode)
        ;
    return since[i].release;
}

int tdw__cli_opcodes(int argc, char **argv)
{
    if (argc > 1)
        return tdw__usage(argv[0], "takes no arguments");
    for (int opcode = 0; opcode < TDW_OP_FIRST; opcode++)
        if (tdw_opcode((uint8_t)opcode)->name[0] != '?')
            printf("%s\t%d\t%s\t%s\n", tdw_opcode((uint8_t)opcode)->name, opcode,
                   tdw_opcode_supported((uint8_t)opcode) ? "yes" : "no", since_of(opcode));
    return TDW_EXIT_OK;
}
