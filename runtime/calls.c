/* SPDX-License-Identifier: MIT */
/*
 * The public face of the plain calls: each goes to the kernel beneath (calls.h), and nowhere else.
 *
 * Outside of any task there is no kernel to ask: that is an error of the program, and asserted.
 */
#include <runtime/calls.h>
#include <runtime/runtime.h>
#include <fcntl.h>
#include <stdarg.h>

static const struct tdw_calls *here(void)
{
    assert(tdw__self);
    return tdw__self->ring->loop->backend->calls;
}

/* A host's first member. */
static const struct tdw_calls *of(const struct tdw_host *host)
{
    return *(const struct tdw_calls *const *)(const void *)host;
}

#define HERE(result, name, parameters, arguments)                                                  \
    result tdw_##name parameters                                                                   \
    {                                                                                              \
        return here()->name arguments;                                                             \
    }
#define HERE_VOID(name, parameters, arguments)                                                     \
    void tdw_##name parameters                                                                     \
    {                                                                                              \
        here()->name arguments;                                                                    \
    }
#define HOST(result, name, parameters, arguments)                                                  \
    result tdw_##name parameters                                                                   \
    {                                                                                              \
        return of(host)->name arguments;                                                           \
    }
#define HOST_VOID(name, parameters, arguments)                                                     \
    void tdw_##name parameters                                                                     \
    {                                                                                              \
        of(host)->name arguments;                                                                  \
    }
TDW_CALLS_HERE(HERE)
TDW_CALLS_HERE_VOID(HERE_VOID)
TDW_CALLS_HOST(HOST)
TDW_CALLS_HOST_VOID(HOST_VOID)

int tdw_sys_fcntl(int fd, int cmd, ...)
{
    uintptr_t arg = 0;
    va_list rest;

    va_start(rest, cmd);
    switch (cmd) {
    case F_SETLK:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_GETLK:
        arg = (uintptr_t)va_arg(rest, struct flock *);
        break;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_SETFD:
    case F_SETFL:
    case F_SETPIPE_SZ:
        arg = (unsigned)va_arg(rest, int);
        break;
    default:
        break;
    }
    va_end(rest);
    return here()->sys_fcntl(fd, cmd, arg);
}

const char *tdw_sys_name(uint8_t call)
{
    static const char *const names[] = {
#define TDW_SYS_NAME(NAME, number, name) [number] = name,
        TDW_SYS_CALLS(TDW_SYS_NAME)
#undef TDW_SYS_NAME
    };

    return call < sizeof(names) / sizeof(*names) && names[call] ? names[call] : "?";
}
