/* SPDX-License-Identifier: MIT */
/*
 * The fault points. Those that every backend has: one for each opcode and each thing that may go
 * wrong with an op before it starts; and those of the simulated kernel alone (gate.h).
 *
 * Names come from the table of opcodes, errors from what the manual pages document (errnos.tsv,
 * which faults/errnos.sh makes from the pages). Of those, an error by choice is only one that the
 * world makes. What the program makes (a wrong descriptor, a bad address) can be asked for by name.
 */
#include <faults/faults.h>
#include "errnos_documented.h"

static const struct {
    const char *name, *text;
} kinds[TDW_POINT_KINDS] = {
    [TDW_POINT_ERROR] = {"error", "the op fails before it starts, and nothing of it was done"},
    [TDW_POINT_CANCEL] = {"cancel", "the op ends -ECANCELED, as if it had been cancelled"},
    [TDW_POINT_SHORT] = {"short", "the op moves a part of what it was asked to move"},
    [TDW_POINT_DELAY] = {"delay", "the op takes longer"},
};

/* What happens to a program that does nothing wrong. */
static const int of_the_world[] = {
    EAGAIN, ECONNABORTED, ECONNREFUSED, ECONNRESET, EDQUOT,      EHOSTDOWN, EHOSTUNREACH,
    EINTR,  EIO,          EMFILE,       ENETDOWN,   ENETUNREACH, ENFILE,    ENOBUFS,
    ENOLCK, ENOMEM,       ENONET,       ENOSPC,     ENOSR,       EPIPE,     EPROTO,
    EROFS,  ESTALE,       ETIMEDOUT,    EADDRINUSE,
};

static const struct {
    uint8_t opcode;
    int error;
} documented[] = {
#define ROW(opcode, error) {opcode, error},
    TDW__ERRNOS(ROW)
#undef ROW
    /* A look-up has no errnos: getaddrinfo(3) documents EAI_AGAIN and EAI_MEMORY as what passes. */
    {TDW_OP_RESOLVE, EAGAIN},
    {TDW_OP_RESOLVE, ENOMEM},
};

const char *tdw__point_kind_name(enum tdw_point_kind kind)
{
    return kinds[kind].name;
}

const char *tdw__point_kind_text(enum tdw_point_kind kind)
{
    return kinds[kind].text;
}

void tdw__opcode_word(uint8_t opcode, char word[TDW_POINT_NAME])
{
    snprintf(word, TDW_POINT_NAME, "%s", tdw_opcode(opcode)->name);
    for (char *at = word; *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
}

void tdw__point_name(uint8_t opcode, enum tdw_point_kind kind, char name[TDW_POINT_NAME])
{
    char word[TDW_POINT_NAME];

    tdw__opcode_word(opcode, word);
    snprintf(name, TDW_POINT_NAME, "tdw/op/%.24s/%s", word, kinds[kind].name);
}

static const struct {
    const char *name, *text;
} kernel_points[TDW_KERNEL_POINTS_COUNT] = {
#define ROW(name, text, what) [TDW_AT_##name] = {text, what},
    TDW_KERNEL_POINTS(ROW)
#undef ROW
};
_Static_assert(TDW_KERNEL_POINTS_COUNT <= 64, "a bit for each");

const char *tdw__kernel_point_name(enum tdw_kernel_point point)
{
    return kernel_points[point].name;
}

const char *tdw__kernel_point_text(enum tdw_kernel_point point)
{
    return kernel_points[point].text;
}

static bool is_of_the_world(int error)
{
    for (size_t i = 0; i < sizeof of_the_world / sizeof *of_the_world; i++)
        if (of_the_world[i] == error)
            return true;
    return false;
}

size_t tdw__point_errors(uint8_t opcode, int errors[TDW_ERRORS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof documented / sizeof *documented && count < TDW_ERRORS_MAX; i++)
        if (documented[i].opcode == opcode && is_of_the_world(documented[i].error))
            errors[count++] = documented[i].error;
    return count;
}

/* Those that have a buffer, vectors or a message, and those that move bytes between descriptors. */
static bool moves_bytes(uint8_t opcode)
{
    return tdw_opcode(opcode)->buffer != TDW_B_NONE || opcode == IORING_OP_SPLICE ||
           opcode == IORING_OP_TEE || opcode == TDW_OP_SENDFILE || opcode == TDW_OP_COPY_FILE_RANGE;
}

bool tdw__point_is(uint8_t opcode, enum tdw_point_kind kind)
{
    const bool private = opcode >= TDW_OP_FIRST && opcode < TDW_OP_KERNEL;
    int errors[TDW_ERRORS_MAX];

    if (tdw_opcode(opcode)->name[0] == '?' || private || opcode > TDW_OP_WAITPID)
        return false;
    switch (kind) {
    case TDW_POINT_ERROR:
        return tdw__point_errors(opcode, errors) > 0;
    case TDW_POINT_SHORT:
        return moves_bytes(opcode);
    case TDW_POINT_CANCEL:
        return opcode != IORING_OP_LINK_TIMEOUT && opcode != IORING_OP_ASYNC_CANCEL;
    case TDW_POINT_DELAY:
        return true;
    case TDW_POINT_KINDS:
        break;
    }
    return false;
}
