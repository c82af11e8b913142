/* SPDX-License-Identifier: MIT */
/*
 * Words in strace's output and their numbers: flags, errors, signals.
 *
 * With -X raw only errors and signals come as words; without it flags do too, and those that a
 * replay looks at are known here. The numbers are those of Linux on x86-64, which is what the words
 * stand for when a recording does not carry raw numbers. A word that is not known is 0 and counted:
 * raw output is the better one.
 *
 * Cost: a walk over a table, only for words. Called by strace_args.c.
 */
#include <traces/import.h>
#include <string.h>

struct word {
    const char *name;
    int64_t value;
};

static const struct word words[] = {
    {"NULL", 0},
    {"AT_FDCWD", -100},
    {"AT_EMPTY_PATH", 0x1000},
    {"AT_SYMLINK_NOFOLLOW", 0x100},
    {"AT_REMOVEDIR", 0x200},
    {"AT_SYMLINK_FOLLOW", 0x400},
    {"AT_NO_AUTOMOUNT", 0x800},
    {"AT_STATX_SYNC_AS_STAT", 0},
    {"O_RDONLY", 0},
    {"O_WRONLY", 1},
    {"O_RDWR", 2},
    {"O_CREAT", 0100},
    {"O_EXCL", 0200},
    {"O_NOCTTY", 0400},
    {"O_TRUNC", 01000},
    {"O_APPEND", 02000},
    {"O_NONBLOCK", 04000},
    {"O_DSYNC", 010000},
    {"O_SYNC", 04010000},
    {"O_DIRECT", 040000},
    {"O_LARGEFILE", 0},
    {"O_DIRECTORY", 0200000},
    {"O_NOFOLLOW", 0400000},
    {"O_NOATIME", 01000000},
    {"O_CLOEXEC", 02000000},
    {"O_PATH", 010000000},
    {"O_TMPFILE", 020200000},
    {"FD_CLOEXEC", 1},
    {"F_DUPFD", 0},
    {"F_GETFD", 1},
    {"F_SETFD", 2},
    {"F_GETFL", 3},
    {"F_SETFL", 4},
    {"F_GETLK", 5},
    {"F_SETLK", 6},
    {"F_SETLKW", 7},
    {"F_SETOWN", 8},
    {"F_GETOWN", 9},
    {"F_OFD_GETLK", 36},
    {"F_OFD_SETLK", 37},
    {"F_OFD_SETLKW", 38},
    {"F_DUPFD_CLOEXEC", 1030},
    {"F_RDLCK", 0},
    {"F_WRLCK", 1},
    {"F_UNLCK", 2},
    {"SEEK_SET", 0},
    {"SEEK_CUR", 1},
    {"SEEK_END", 2},
    {"SEEK_DATA", 3},
    {"SEEK_HOLE", 4},
    {"LOCK_SH", 1},
    {"LOCK_EX", 2},
    {"LOCK_NB", 4},
    {"LOCK_UN", 8},
    {"F_OK", 0},
    {"X_OK", 1},
    {"W_OK", 2},
    {"R_OK", 4},
    {"S_IFSOCK", 0140000},
    {"S_IFLNK", 0120000},
    {"S_IFREG", 0100000},
    {"S_IFBLK", 060000},
    {"S_IFDIR", 040000},
    {"S_IFCHR", 020000},
    {"S_IFIFO", 010000},
    {"DT_FIFO", 1},
    {"DT_CHR", 2},
    {"DT_DIR", 4},
    {"DT_BLK", 6},
    {"DT_REG", 8},
    {"DT_LNK", 10},
    {"DT_SOCK", 12},
    {"PROT_NONE", 0},
    {"PROT_READ", 1},
    {"PROT_WRITE", 2},
    {"PROT_EXEC", 4},
    {"MAP_SHARED", 1},
    {"MAP_PRIVATE", 2},
    {"MAP_FIXED", 0x10},
    {"MAP_ANONYMOUS", 0x20},
    {"MAP_DENYWRITE", 0x800},
    {"MAP_NORESERVE", 0x4000},
    {"MAP_POPULATE", 0x8000},
    {"MAP_STACK", 0x20000},
    {"AF_UNSPEC", 0},
    {"AF_UNIX", 1},
    {"AF_INET", 2},
    {"AF_INET6", 10},
    {"AF_NETLINK", 16},
    {"SOCK_STREAM", 1},
    {"SOCK_DGRAM", 2},
    {"SOCK_RAW", 3},
    {"SOCK_SEQPACKET", 5},
    {"SOCK_NONBLOCK", 04000},
    {"SOCK_CLOEXEC", 02000000},
    {"IPPROTO_IP", 0},
    {"IPPROTO_TCP", 6},
    {"IPPROTO_UDP", 17},
    {"IPPROTO_IPV6", 41},
    {"SHUT_RD", 0},
    {"SHUT_WR", 1},
    {"SHUT_RDWR", 2},
    {"SOL_SOCKET", 1},
    {"SOL_TCP", 6},
    {"SCM_RIGHTS", 1},
    {"SO_REUSEADDR", 2},
    {"SO_TYPE", 3},
    {"SO_ERROR", 4},
    {"SO_SNDBUF", 7},
    {"SO_RCVBUF", 8},
    {"SO_KEEPALIVE", 9},
    {"SO_LINGER", 13},
    {"SO_REUSEPORT", 15},
    {"TCP_NODELAY", 1},
    {"TCP_CORK", 3},
    {"TCP_KEEPIDLE", 4},
    {"TCP_KEEPINTVL", 5},
    {"TCP_KEEPCNT", 6},
    {"MSG_OOB", 1},
    {"MSG_PEEK", 2},
    {"MSG_DONTWAIT", 0x40},
    {"MSG_WAITALL", 0x100},
    {"MSG_NOSIGNAL", 0x4000},
    {"MSG_MORE", 0x8000},
    {"MSG_CMSG_CLOEXEC", 0x40000000},
    {"EPOLL_CTL_ADD", 1},
    {"EPOLL_CTL_DEL", 2},
    {"EPOLL_CTL_MOD", 3},
    {"EPOLL_CLOEXEC", 02000000},
    {"EPOLLIN", 1},
    {"EPOLLPRI", 2},
    {"EPOLLOUT", 4},
    {"EPOLLERR", 8},
    {"EPOLLHUP", 0x10},
    {"EPOLLRDNORM", 0x40},
    {"EPOLLRDBAND", 0x80},
    {"EPOLLWRNORM", 0x100},
    {"EPOLLRDHUP", 0x2000},
    {"EPOLLEXCLUSIVE", 1 << 28},
    {"EPOLLONESHOT", 1 << 30},
    {"EPOLLET", 1ll << 31},
    {"POLLIN", 1},
    {"POLLPRI", 2},
    {"POLLOUT", 4},
    {"POLLERR", 8},
    {"POLLHUP", 0x10},
    {"POLLNVAL", 0x20},
    {"POLLRDNORM", 0x40},
    {"POLLRDBAND", 0x80},
    {"POLLWRNORM", 0x100},
    {"POLLRDHUP", 0x2000},
    {"EFD_SEMAPHORE", 1},
    {"EFD_NONBLOCK", 04000},
    {"EFD_CLOEXEC", 02000000},
    {"SFD_NONBLOCK", 04000},
    {"SFD_CLOEXEC", 02000000},
    {"TFD_NONBLOCK", 04000},
    {"TFD_CLOEXEC", 02000000},
    {"TFD_TIMER_ABSTIME", 1},
    {"CLOCK_REALTIME", 0},
    {"CLOCK_MONOTONIC", 1},
    {"CLOCK_BOOTTIME", 7},
    {"TIMER_ABSTIME", 1},
    {"ITIMER_REAL", 0},
    {"FUTEX_WAIT", 0},
    {"FUTEX_WAKE", 1},
    {"FUTEX_REQUEUE", 3},
    {"FUTEX_CMP_REQUEUE", 4},
    {"FUTEX_WAKE_OP", 5},
    {"FUTEX_LOCK_PI", 6},
    {"FUTEX_UNLOCK_PI", 7},
    {"FUTEX_TRYLOCK_PI", 8},
    {"FUTEX_WAIT_BITSET", 9},
    {"FUTEX_WAKE_BITSET", 10},
    {"FUTEX_WAIT_REQUEUE_PI", 11},
    {"FUTEX_CMP_REQUEUE_PI", 12},
    {"FUTEX_LOCK_PI2", 13},
    {"FUTEX_WAIT_PRIVATE", 0x80},
    {"FUTEX_WAKE_PRIVATE", 0x81},
    {"FUTEX_REQUEUE_PRIVATE", 0x83},
    {"FUTEX_CMP_REQUEUE_PRIVATE", 0x84},
    {"FUTEX_WAKE_OP_PRIVATE", 0x85},
    {"FUTEX_WAIT_BITSET_PRIVATE", 0x89},
    {"FUTEX_WAKE_BITSET_PRIVATE", 0x8a},
    {"FUTEX_CLOCK_REALTIME", 0x100},
    {"FUTEX_BITSET_MATCH_ANY", 0xffffffff},
    {"CLONE_VM", 0x100},
    {"CLONE_FS", 0x200},
    {"CLONE_FILES", 0x400},
    {"CLONE_SIGHAND", 0x800},
    {"CLONE_PTRACE", 0x2000},
    {"CLONE_VFORK", 0x4000},
    {"CLONE_PARENT", 0x8000},
    {"CLONE_THREAD", 0x10000},
    {"CLONE_NEWNS", 0x20000},
    {"CLONE_SYSVSEM", 0x40000},
    {"CLONE_SETTLS", 0x80000},
    {"CLONE_PARENT_SETTID", 0x100000},
    {"CLONE_CHILD_CLEARTID", 0x200000},
    {"CLONE_CHILD_SETTID", 0x1000000},
    {"CLONE_CLEAR_SIGHAND", 0x100000000},
    {"FALLOC_FL_KEEP_SIZE", 1},
    {"FALLOC_FL_PUNCH_HOLE", 2},
    {"FALLOC_FL_ZERO_RANGE", 16},
    {"SYNC_FILE_RANGE_WAIT_BEFORE", 1},
    {"SYNC_FILE_RANGE_WRITE", 2},
    {"SYNC_FILE_RANGE_WAIT_AFTER", 4},
    {"RENAME_NOREPLACE", 1},
    {"RENAME_EXCHANGE", 2},
    {"FIONBIO", 0x5421},
    {"TCGETS", 0x5401},
    {"WNOHANG", 1},
    {"WUNTRACED", 2},
    {"WEXITED", 4},
    {"P_ALL", 0},
    {"P_PID", 1},
    {"UTIME_NOW", (1 << 30) - 1},
    {"UTIME_OMIT", (1 << 30) - 2},
};

/* By number: Linux's, the same on x86-64 and aarch64. */
static const char *const errors[] = {
    [1] = "EPERM", [2] = "ENOENT", [3] = "ESRCH", [4] = "EINTR", [5] = "EIO", [6] = "ENXIO",
    [7] = "E2BIG", [8] = "ENOEXEC", [9] = "EBADF", [10] = "ECHILD", [11] = "EAGAIN",
    [12] = "ENOMEM", [13] = "EACCES", [14] = "EFAULT", [15] = "ENOTBLK", [16] = "EBUSY",
    [17] = "EEXIST", [18] = "EXDEV", [19] = "ENODEV", [20] = "ENOTDIR", [21] = "EISDIR",
    [22] = "EINVAL", [23] = "ENFILE", [24] = "EMFILE", [25] = "ENOTTY", [26] = "ETXTBSY",
    [27] = "EFBIG", [28] = "ENOSPC", [29] = "ESPIPE", [30] = "EROFS", [31] = "EMLINK",
    [32] = "EPIPE", [33] = "EDOM", [34] = "ERANGE", [35] = "EDEADLK", [36] = "ENAMETOOLONG",
    [37] = "ENOLCK", [38] = "ENOSYS", [39] = "ENOTEMPTY", [40] = "ELOOP", [42] = "ENOMSG",
    [43] = "EIDRM", [61] = "ENODATA", [62] = "ETIME", [71] = "EPROTO", [74] = "EBADMSG",
    [75] = "EOVERFLOW", [77] = "EBADFD", [84] = "EILSEQ", [87] = "EUSERS", [88] = "ENOTSOCK",
    [89] = "EDESTADDRREQ", [90] = "EMSGSIZE", [91] = "EPROTOTYPE", [92] = "ENOPROTOOPT",
    [93] = "EPROTONOSUPPORT", [94] = "ESOCKTNOSUPPORT", [95] = "EOPNOTSUPP", [96] = "EPFNOSUPPORT",
    [97] = "EAFNOSUPPORT", [98] = "EADDRINUSE", [99] = "EADDRNOTAVAIL", [100] = "ENETDOWN",
    [101] = "ENETUNREACH", [102] = "ENETRESET", [103] = "ECONNABORTED", [104] = "ECONNRESET",
    [105] = "ENOBUFS", [106] = "EISCONN", [107] = "ENOTCONN", [108] = "ESHUTDOWN",
    [110] = "ETIMEDOUT", [111] = "ECONNREFUSED", [112] = "EHOSTDOWN", [113] = "EHOSTUNREACH",
    [114] = "EALREADY", [115] = "EINPROGRESS", [116] = "ESTALE", [122] = "EDQUOT",
    [125] = "ECANCELED", [126] = "ENOKEY", [130] = "EOWNERDEAD", [131] = "ENOTRECOVERABLE",
};

static const char *const signals[] = {
    [1] = "SIGHUP", [2] = "SIGINT", [3] = "SIGQUIT", [4] = "SIGILL", [5] = "SIGTRAP",
    [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL", [10] = "SIGUSR1",
    [11] = "SIGSEGV", [12] = "SIGUSR2", [13] = "SIGPIPE", [14] = "SIGALRM", [15] = "SIGTERM",
    [16] = "SIGSTKFLT", [17] = "SIGCHLD", [18] = "SIGCONT", [19] = "SIGSTOP", [20] = "SIGTSTP",
    [21] = "SIGTTIN", [22] = "SIGTTOU", [23] = "SIGURG", [24] = "SIGXCPU", [25] = "SIGXFSZ",
    [26] = "SIGVTALRM", [27] = "SIGPROF", [28] = "SIGWINCH", [29] = "SIGIO", [30] = "SIGPWR",
    [31] = "SIGSYS",
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static bool is(struct tdw__span span, const char *name)
{
    return name && !strncmp(span.at, name, span.bytes) && name[span.bytes] == 0;
}

bool tdw__word(struct tdw__span word, int64_t *value)
{
    for (size_t i = 0; i < COUNT(words); i++) {
        if (is(word, words[i].name)) {
            *value = words[i].value;
            return true;
        }
    }
    *value = tdw__signal_number(word);
    return *value != 0;
}

int tdw__errno_number(struct tdw__span name)
{
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (is(name, errors[i]))
            return (int)i;
    }
    return is(name, "ENOTSUP") ? 95 : is(name, "EWOULDBLOCK") ? 11 : 0;
}

int tdw__signal_number(struct tdw__span name)
{
    for (size_t i = 0; i < COUNT(signals); i++) {
        if (is(name, signals[i]))
            return (int)i;
    }
    return 0;
}
