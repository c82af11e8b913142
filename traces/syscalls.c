/* SPDX-License-Identifier: MIT */
/*
 * The replay table, looked up; and what a call's arguments change about its row.
 *
 * The table says what a system call usually becomes. What remains is decided here from the call
 * itself, never from how a run went: the same `read` is file data, a stream or served from the
 * recording, depending on what its descriptor is; `fcntl` is a lock or not; a `futex`, `ioctl` or
 * `flock` depends on its command. The class of a call is therefore the table's and this function's,
 * and is stored with it.
 *
 * Cost: a walk over some 230 names, about 0.2 µs, once a call (reading its line takes ten times as
 * long). Called by importers.
 */
#include <traces/syscalls.h>
#include <errno.h>
#include <string.h>

#define ROW(name, row, how, compare, track, shape)                                                 \
    {#name, TDW_ROW_##row, TDW_HOW_##how, TDW_COMPARE_##compare, TDW__T_##track, shape},
static const struct tdw__syscall table[] = {TDW__SYSCALLS(ROW)};
#undef ROW
enum { COUNT = sizeof table / sizeof table[0] };

static const struct tdw__syscall unknown = {
    NULL, TDW_ROW_UNSUPPORTED, TDW_HOW_UNSUPPORTED, TDW_COMPARE_NONE, TDW__T_NONE, "",
};

size_t tdw__syscalls(void)
{
    return COUNT;
}

const struct tdw__syscall *tdw__syscall_at(size_t i)
{
    return &table[i];
}

const struct tdw__syscall *tdw__syscall(const char *name, size_t bytes)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (table[i].name[0] == name[0] && !strncmp(table[i].name, name, bytes) &&
            table[i].name[bytes] == 0)
            return &table[i];
    }
    return &unknown;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

bool tdw__is_timing(const struct tdw_call *call)
{
    return call->compare == TDW_COMPARE_TIMING ||
           (call->compare == TDW_COMPARE_STREAM &&
            (call->result == -EAGAIN || call->result == -EINTR));
}

bool tdw__served(const char *path)
{
    static const char *const roots[] = {"/proc", "/sys", "/dev"};

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        const size_t bytes = strlen(roots[i]);

        if (begins(path, roots[i]) && (path[bytes] == '/' || path[bytes] == 0))
            return !begins(path, "/dev/shm/");
    }
    return path[0] == '/' && (strstr(path, "<char ") || strstr(path, "<block "));
}

/* What a descriptor is, from the recorder's words for it. */
static uint8_t object_of(const char *path)
{
    static const struct {
        const char *begins;
        uint8_t object;
    } words[] = {
        {"pipe:", TDW_OBJECT_PIPE},
        {"TCP", TDW_OBJECT_SOCKET},
        {"UDP", TDW_OBJECT_SOCKET},
        {"UNIX", TDW_OBJECT_SOCKET},
        {"NETLINK", TDW_OBJECT_SOCKET},
        {"RAW", TDW_OBJECT_SOCKET},
        {"PING", TDW_OBJECT_SOCKET},
        {"SCTP", TDW_OBJECT_SOCKET},
        {"socket:", TDW_OBJECT_SOCKET},
        {"anon_inode:[eventfd]", TDW_OBJECT_EVENTFD},
        {"anon_inode:[signalfd]", TDW_OBJECT_SIGNALFD},
        {"anon_inode:[timerfd]", TDW_OBJECT_TIMERFD},
        {"anon_inode:[eventpoll]", TDW_OBJECT_EPOLL},
    };

    if (!path)
        return TDW_OBJECT_NONE;
    if (path[0] == '/')
        return tdw__served(path) ? TDW_OBJECT_SERVED : TDW_OBJECT_FILE;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (begins(path, words[i].begins))
            return words[i].object;
    }
    return TDW_OBJECT_OTHER;
}

/* fcntl: locks have a row of their own, copies answer a descriptor, pids go through the map. */
static void classify_fcntl(struct tdw_call *call)
{
    switch (call->arg[1]) {
    case 0:    /* F_DUPFD */
    case 1030: /* F_DUPFD_CLOEXEC */
        call->compare = TDW_COMPARE_FD;
        break;
    case 5:  /* F_GETLK */
    case 6:  /* F_SETLK */
    case 36: /* F_OFD_GETLK */
    case 37: /* F_OFD_SETLK */
        call->row = TDW_ROW_LOCK;
        call->compare = TDW_COMPARE_LOCK;
        break;
    case 7:  /* F_SETLKW */
    case 38: /* F_OFD_SETLKW */
        call->row = TDW_ROW_LOCK;
        call->how = TDW_HOW_OP;
        call->compare = TDW_COMPARE_LOCK;
        break;
    case 9: /* F_GETOWN */
        call->compare = TDW_COMPARE_PID;
        break;
    }
}

/* Calls whose row depends on a command among their arguments. */
static void classify_command(struct tdw_call *call)
{
    enum { IOCTL_FIONBIO = 0x5421, LOCK_NOWAIT = 4 };

    if (!strcmp(call->name, "fcntl")) {
        classify_fcntl(call);
    } else if (!strcmp(call->name, "flock") && call->arg[1] & (LOCK_NOWAIT | 8)) {
        call->how = TDW_HOW_SYS; /* no wait, or an unlock */
    } else if (!strcmp(call->name, "ioctl") && call->arg[1] == IOCTL_FIONBIO) {
        call->row = TDW_ROW_SOCKOPT;
        call->how = TDW_HOW_SYS;
        call->compare = TDW_COMPARE_ERRNO;
    }
}

/* A conversation with the machine's kernel, about its interfaces and users. */
static bool is_netlink(const char *path)
{
    return path && begins(path, "NETLINK");
}

void tdw__classify(struct tdw_call *call, const struct tdw__syscall *syscall)
{
    const char *const path = call->path[0];
    bool served;

    call->row = syscall->row;
    call->how = syscall->how;
    call->compare = syscall->compare;
    call->object = object_of(call->fd_path[0]);
    classify_command(call);
    if (call->row == TDW_ROW_FILE && call->object != TDW_OBJECT_FILE &&
        call->object != TDW_OBJECT_SERVED && call->object != TDW_OBJECT_NONE) {
        call->row = TDW_ROW_STREAM;
        call->compare = TDW_COMPARE_STREAM;
    }
    served = call->object == TDW_OBJECT_SERVED || is_netlink(call->fd_path[0]) ||
             is_netlink(call->result_path) ||
             (call->object != TDW_OBJECT_FILE && path && tdw__served(path)) ||
             (path && path[0] == '/' && tdw__served(path)) ||
             (call->result_path && tdw__served(call->result_path));
    if (served && call->how != TDW_HOW_IGNORE && call->how != TDW_HOW_TASK &&
        call->how != TDW_HOW_WAIT && call->row != TDW_ROW_FDS) {
        call->how = TDW_HOW_SERVED;
        call->compare = TDW_COMPARE_NONE;
    }
}
