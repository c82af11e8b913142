/* SPDX-License-Identifier: MIT */
/*
 * One call's event, taken apart: the sibling of strace_args.c.
 *
 * What comes in are registers, a result and fields (raw bytes, each with the argument that led to
 * it); what goes out is a struct tdw_call, with the same arguments, paths, lists and structures
 * that strace's importer reads from text, by the same letters of the table. How many arguments are
 * shown follows strace too, which leaves out those that the kernel does not look at.
 *
 * It never fails: a field that is missing or too short is a pointer that led nowhere. Structures
 * are those of 64-bit Linux. Never reads behind a field.
 *
 * Cost: about 0.2 µs a call. Called by events_import.c.
 */
#include "events_import.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A call that is taken apart. */
struct parts {
    struct tdw__parsed *p;
    const struct tdw__event_call *event, *before;
    const struct tdw__event_texts *texts;
    int fds, paths, words;
    const char *dir; /* what the directory before the next path stands for */
    int64_t dir_fd;
};

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────
 */

struct found {
    const uint8_t *at;
    size_t bytes;
    uint32_t number;
};

/* The next field behind `*at` of this argument and letter; false if there is none. */
static bool field_next(const struct tdw__event_call *event, size_t *at, unsigned arg, int letter,
                       struct found *found)
{
    const uint8_t *const base = (const uint8_t *)event;

    while (event && *at + sizeof(struct tdw__event_field) <= event->head.bytes) {
        struct tdw__event_field field;

        memcpy(&field, base + *at, sizeof field);
        *found = (struct found){base + *at + sizeof field, field.bytes, field.number};
        if (found->bytes > event->head.bytes - *at - sizeof field)
            return false;
        *at += sizeof field + ((found->bytes + 7) & ~(size_t)7);
        if (field.arg == arg && field.letter == letter)
            return true;
    }
    return false;
}

/* The field of argument `arg`, read before the call or else after it. No bytes if there is none. */
static struct found field_of(const struct parts *x, unsigned arg, int letter)
{
    struct found found;
    size_t at = sizeof *x->event;

    if (field_next(x->before, &at, arg, letter, &found))
        return found;
    at = sizeof *x->event;
    if (field_next(x->event, &at, arg, letter, &found))
        return found;
    return (struct found){NULL, 0, 0};
}

/* A copy of a structure at the beginning of a field; zeros and false if it is too short. */
static bool copy_of(struct found found, size_t at, void *to, size_t bytes)
{
    memset(to, 0, bytes);
    if (found.bytes < at + bytes)
        return false;
    memcpy(to, found.at + at, bytes);
    return true;
}

static const char *text_of(struct parts *x, unsigned arg, int letter)
{
    const struct found found = field_of(x, arg, letter);
    struct tdw__arena *const arena = &x->p->arena;
    char *const kept = arena->bytes + arena->used;
    size_t bytes;

    if (found.bytes == 0)
        return NULL;
    bytes = strnlen((const char *)found.at, found.bytes);
    if (sizeof arena->bytes - arena->used < bytes + 1) {
        arena->cut = true;
        return NULL;
    }
    memcpy(kept, found.at, bytes);
    kept[bytes] = 0;
    arena->used += bytes + 1;
    return kept;
}

/* ── Lists ───────────────────────────────────────────────────────────────────────────────────────
 */

struct iovec64 {
    uint64_t base, length;
};

static int64_t iovecs(struct parts *x, struct found found, uint64_t tag)
{
    uint64_t sum = 0;

    for (size_t at = 0; at + sizeof(struct iovec64) <= found.bytes; at += sizeof(struct iovec64)) {
        struct iovec64 one;

        copy_of(found, at, &one, sizeof one);
        tdw__item_add(x->p, (int64_t)one.length, tag);
        sum += one.length;
    }
    return (int64_t)sum;
}

/* Descriptors that travel with a message. */
static void rights(struct parts *x, struct found control)
{
    struct {
        uint64_t bytes;
        int32_t level, type;
    } head;

    for (size_t at = 0; copy_of(control, at, &head, sizeof head);) {
        if (head.bytes < sizeof head || head.bytes > control.bytes - at)
            break;
        if (head.level == SOL_SOCKET && head.type == SCM_RIGHTS) {
            for (size_t i = sizeof head; i + 4 <= head.bytes; i += 4) {
                int32_t fd;

                copy_of(control, at + i, &fd, sizeof fd);
                tdw__item_add(x->p, fd, 1);
            }
        }
        at += (head.bytes + 7) & ~7ull;
    }
}

/* One message or several: the lengths of their parts. */
static int64_t messages(struct parts *x, unsigned arg, bool several)
{
    size_t at = sizeof *x->event;
    struct found found;
    uint64_t sum = 0;

    while (field_next(x->event, &at, arg, 'v', &found))
        sum += (uint64_t)iovecs(x, found, several ? found.number : 0);
    at = sizeof *x->event;
    while (!several && field_next(x->event, &at, arg, TDW__EV_CONTROL, &found))
        rights(x, found);
    return (int64_t)sum;
}

static void pollfds(struct parts *x, unsigned arg)
{
    const struct found found = field_of(x, arg, 'q');
    struct {
        int32_t fd;
        uint16_t events, revents;
    } one;

    for (size_t at = 0; copy_of(found, at, &one, sizeof one); at += sizeof one)
        tdw__item_add(x->p, one.fd,
                      one.events | (x->event->result > 0 ? (uint64_t)one.revents << 32 : 0));
}

static void select_set(struct parts *x, struct found set, uint64_t bit)
{
    const int64_t count = x->event->arg[0] & 0x7fffffff;

    for (int64_t fd = 0; fd < count && (size_t)fd / 8 < set.bytes; fd++) {
        struct tdw__parsed *const p = x->p;
        uint32_t i = 0;

        if (!(set.at[fd / 8] >> fd % 8 & 1))
            continue;
        while (i < p->call.items && p->items[i].a != fd)
            i++;
        if (i == p->call.items)
            tdw__item_add(p, fd, 0);
        if (i < p->call.items)
            p->items[i].b |= bit;
    }
}

static const char select_letters[] = "rwc";

/* What select answered. */
static void select_answer(struct parts *x)
{
    for (unsigned i = 0; i < 3; i++) {
        size_t at = sizeof *x->event;
        struct found found;

        if (field_next(x->event, &at, i + 1, select_letters[i], &found))
            select_set(x, found, 1ull << (32 + i));
    }
}

static void epoll_events(struct parts *x, unsigned arg, int letter)
{
    const struct found found = field_of(x, arg, letter);
    struct epoll_event one;

    for (size_t at = 0; copy_of(found, at, &one, sizeof one); at += sizeof one)
        tdw__item_add(x->p, (int64_t)one.data.u64, one.events);
}

/* One entry of getdents64. */
static bool entry_next(struct tdw__arena *arena, struct tdw__span *rest, struct tdw__entry *entry)
{
    enum { LENGTH = 16, TYPE = 18, NAME = 19 };
    uint16_t bytes;

    (void)arena;
    if (rest->bytes <= NAME)
        return false;
    memcpy(&bytes, rest->at + LENGTH, sizeof bytes);
    if (bytes <= NAME || bytes > rest->bytes || !memchr(rest->at + NAME, 0, bytes - NAME))
        return false;
    *entry = (struct tdw__entry){rest->at + NAME, (uint8_t)(rest->at[TYPE] & 15)};
    *rest = (struct tdw__span){rest->at + bytes, rest->bytes - bytes};
    return true;
}

/* Their fields, which follow each other, as one: of them all the bytes but heads are entries. */
static void entries(struct parts *x, unsigned arg)
{
    struct tdw__arena *const arena = &x->p->arena;
    char *const kept = arena->bytes + arena->used;
    size_t at = sizeof *x->event, bytes = 0;
    struct found found;

    if (x->event->result < 0 || strcmp(x->p->call.name, "getdents64") != 0)
        return;
    while (field_next(x->event, &at, arg, 'e', &found)) {
        if (found.bytes > sizeof arena->bytes - arena->used - bytes)
            break;
        memcpy(kept + bytes, found.at, found.bytes);
        bytes += found.bytes;
    }
    arena->used += bytes;
    x->p->entries = (struct tdw__span){kept, bytes};
    x->p->entry_next = entry_next;
    tdw__entries_hash(x->p);
}

/* ── Structures ──────────────────────────────────────────────────────────────────────────────────
 */

/* A lock command's structure, or a number. */
static int64_t lock(struct parts *x, unsigned arg)
{
    const struct found found = field_of(x, arg, 'l');
    const int64_t command = x->p->call.arg[1];
    struct flock one;

    if (!copy_of(found, 0, &one, sizeof one))
        return x->event->arg[arg];
    x->p->call.bits |= TDW_CALL_LOCK;
    x->p->call.lock = (struct tdw_call_lock){
        .type = one.l_type,
        .whence = one.l_whence,
        .start = one.l_start,
        .length = one.l_len,
        .pid = command == F_GETLK || command == F_OFD_GETLK ? one.l_pid : 0,
    };
    return 0;
}

static void stat_of(struct parts *x, unsigned arg)
{
    enum { X_MODE = 28, X_SIZE = 40, MODE = 24, SIZE = 48 };
    const struct found found = field_of(x, arg, 's');
    const bool extended = !strcmp(x->p->call.name, "statx");
    uint32_t mode;
    uint64_t size;

    if (x->event->result != 0 || !copy_of(found, extended ? X_SIZE : SIZE, &size, sizeof size))
        return;
    copy_of(found, extended ? X_MODE : MODE, &mode, sizeof mode);
    x->p->call.bits |= TDW_CALL_STAT;
    x->p->call.stat.mode = extended ? mode & 0xffff : mode;
    x->p->call.stat.size = size;
}

/* A timespec, timeval or the value of an itimerspec, in ns; -1 for NULL. */
static int64_t duration(struct parts *x, unsigned arg, int letter)
{
    const bool timer = strstr(x->p->call.name, "_settime") != NULL;
    const bool micro = !strcmp(x->p->call.name, "select");
    int64_t value[2];

    if (x->event->arg[arg] == 0)
        return -1;
    copy_of(field_of(x, arg, letter), timer ? 16 : 0, value, sizeof value);
    return (int64_t)((uint64_t)value[0] * 1000000000u + (uint64_t)value[1] * (micro ? 1000u : 1u));
}

static const char *unix_address(struct parts *x, const struct sockaddr_un *un, size_t bytes)
{
    struct tdw__arena *const arena = &x->p->arena;
    const size_t head = offsetof(struct sockaddr_un, sun_path);
    const bool abstract = bytes > head + 1 && un->sun_path[0] == 0;
    const char *const path = un->sun_path + abstract;
    const size_t room = bytes > head ? bytes - head - abstract : 0;
    char *const kept = arena->bytes + arena->used;

    if (sizeof arena->bytes - arena->used < TDW_TRACE_PATH_BYTES + 16)
        return NULL;
    arena->used += (size_t)snprintf(kept, sizeof un->sun_path + 16, "unix:%s%.*s",
                                    abstract ? "@" : "", (int)strnlen(path, room), path) +
                   1;
    return kept;
}

/* The address in our notation (trace.h); NULL for other families. */
static const char *address(struct parts *x, unsigned arg)
{
    const struct found found = field_of(x, arg, 'a');
    union {
        uint16_t family;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } any = {0};
    const size_t bytes = found.bytes < sizeof any ? found.bytes : sizeof any;
    char host[INET6_ADDRSTRLEN], line[INET6_ADDRSTRLEN + 16];

    /* What comes back from a call is only there if it succeeded. */
    if (bytes < sizeof any.family || (x->p->syscall->shape[arg + 1] == 'x' && x->event->result < 0))
        return NULL;
    memcpy(&any, found.at, bytes);
    if (any.family == AF_UNIX)
        return unix_address(x, &any.un, bytes);
    if (any.family == AF_INET && bytes >= sizeof any.in) {
        inet_ntop(AF_INET, &any.in.sin_addr, host, sizeof host);
        snprintf(line, sizeof line, "%s:%u", host, ntohs(any.in.sin_port));
    } else if (any.family == AF_INET6 && bytes >= 24) {
        inet_ntop(AF_INET6, &any.in6.sin6_addr, host, sizeof host);
        snprintf(line, sizeof line, "[%s]:%u", host, ntohs(any.in6.sin6_port));
    } else {
        return NULL;
    }
    return tdw__keep(&x->p->arena, line, line + strlen(line));
}

/* ── Arguments ───────────────────────────────────────────────────────────────────────────────────
 */

static const char *words_next(struct parts *x)
{
    return x->words < TDW__EV_WORDS_MAX ? tdw__event_words(x->texts, x->event->words[x->words++])
                                        : NULL;
}

static int64_t descriptor(struct parts *x, int64_t fd)
{
    const char *const words = words_next(x);

    if (x->fds < 2)
        x->p->call.fd_path[x->fds++] = words;
    return (int32_t)fd;
}

static void path(struct parts *x, unsigned arg, bool text)
{
    struct tdw__parsed *const p = x->p;
    const char *const given = text_of(x, arg, text ? 't' : 'p');

    if (text) {
        if (x->paths < 2)
            p->call.path[x->paths++] = given;
        return;
    }
    if (x->paths < 2) {
        p->dir[x->paths] = x->dir;
        p->dir_fd[x->paths] = x->dir_fd;
        p->call.path[x->paths++] = given;
    }
    /* An empty path means the descriptor itself: it is the call's. */
    if (given && given[0] == 0 && x->fds < 2 && x->dir_fd >= 0)
        p->call.fd_path[x->fds++] = x->dir;
    x->dir = NULL;
    x->dir_fd = -100;
}

static void descriptor_pair(struct parts *x, unsigned arg)
{
    const struct found found = field_of(x, arg, 'k');
    int32_t fd;

    for (size_t at = 0; at < 8 && copy_of(found, at, &fd, sizeof fd); at += 4)
        tdw__item_add(x->p, descriptor(x, fd), 0);
}

/* futex's fourth: a time-out for those that wait, else a number. */
static int64_t futex_fourth(struct parts *x, unsigned arg)
{
    switch (x->p->call.arg[1] & 0x7f) {
    case 0:  /* WAIT */
    case 6:  /* LOCK_PI */
    case 9:  /* WAIT_BITSET */
    case 11: /* WAIT_REQUEUE_PI */
    case 13: /* LOCK_PI2 */
        return duration(x, arg, 'K');
    default:
        return (int32_t)x->event->arg[arg];
    }
}

/* What a pointer to a number leads to: for ioctl only where its command says that it is one. */
static int64_t pointed(struct parts *x, unsigned arg)
{
    const bool ioctl = !strcmp(x->p->call.name, "ioctl");
    const uint32_t command = (uint32_t)x->event->arg[1];
    int32_t value;

    if (ioctl ? command != 0x5421 && command != 0x5452 : x->event->arg[4] != 4)
        return 0;
    copy_of(field_of(x, arg, 'i'), 0, &value, sizeof value);
    return value;
}

/* One argument by its letter; answers its number. */
static int64_t argument(struct parts *x, char letter, unsigned i)
{
    const int64_t value = x->event->arg[i];
    int64_t offset;

    switch (letter) {
    case 'f':
        return descriptor(x, value);
    case 'd':
        x->dir = words_next(x);
        return x->dir_fd = (int32_t)value;
    case 'p':
    case 't':
        path(x, i, letter == 't');
        return 0;
    case 'n':
        return value;
    case 'j':
        return (int32_t)value;
    case 'u':
        return (uint32_t)value;
    case 'v':
        return iovecs(x, field_of(x, i, 'v'), 0);
    case 'm':
    case 'M':
        return messages(x, i, letter == 'M');
    case 'o':
        return copy_of(field_of(x, i, 'o'), 0, &offset, sizeof offset) ? offset : -1;
    case 'i':
        return pointed(x, i);
    case 'l':
        return lock(x, i);
    case 's':
        stat_of(x, i);
        return 0;
    case 'e':
        entries(x, i);
        return 0;
    case 'a':
        x->p->call.address = address(x, i);
        return 0;
    case 'k':
        descriptor_pair(x, i);
        return 0;
    case 'q':
        pollfds(x, i);
        return 0;
    case 'r':
    case 'w':
    case 'c':
        select_set(x, field_of(x, i, letter), letter == 'r' ? 1 : letter == 'w' ? 2 : 4);
        return 0;
    case 'E':
    case 'V':
        epoll_events(x, i, letter);
        return 0;
    case 'T':
        return duration(x, i, 'T');
    case 'K':
        return futex_fourth(x, i);
    default:
        return 0;
    }
}

/* ── What strace shows ───────────────────────────────────────────────────────────────────────────
 */

/* How many arguments a futex command has. */
static unsigned futex_args(struct tdw_call *call)
{
    const int64_t last = call->arg[5];

    switch (call->arg[1] & 0x7f) {
    case 1: /* WAKE */
        return 3;
    case 3: /* REQUEUE */
        return 5;
    case 4:  /* CMP_REQUEUE */
    case 5:  /* WAKE_OP */
    case 12: /* CMP_REQUEUE_PI */
        return 6;
    case 9: /* WAIT_BITSET: the fifth is not looked at */
        call->arg[4] = last;
        return 5;
    case 10: /* WAKE_BITSET: neither is the fourth */
        call->arg[3] = last;
        return 4;
    default:
        return 4;
    }
}

static bool fcntl_has_third(int64_t command)
{
    return command != F_GETFD && command != F_GETFL && command != F_GETOWN && command != F_GETSIG &&
           command != F_GETLEASE && command != F_GETPIPE_SZ && command != F_GET_SEALS;
}

/* Fewer arguments than the table has letters, where the kernel does not look at the last ones. */
static unsigned shown(struct tdw__parsed *p)
{
    struct tdw_call *const call = &p->call;
    const unsigned all = (unsigned)strnlen(p->syscall->shape, 6);

    switch ((enum tdw__track)p->syscall->track) {
    case TDW__T_OPEN:
        if (!strcmp(call->name, "openat") || !strcmp(call->name, "open")) {
            const int64_t flags = call->arg[all - 2];

            return all - !(flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)));
        }
        return all;
    case TDW__T_FUTEX:
        return futex_args(call);
    case TDW__T_FCNTL:
        return fcntl_has_third(call->arg[1]) ? 3 : 2;
    default:
        return !strcmp(call->name, "mremap") && !(call->arg[3] & 6) ? 4 : all;
    }
}

/* clone and clone3: flags, and where the child's number is cleared at its end. */
static void clone_args(struct parts *x)
{
    struct tdw__parsed *const p = x->p;
    uint64_t child_tid = (uint64_t)x->event->arg[3];

    if (!strcmp(p->call.name, "clone3")) {
        const struct found found = field_of(x, 0, TDW__EV_CLONE3);

        copy_of(found, 0, &p->call.arg[0], 8);
        copy_of(found, 16, &child_tid, 8);
        p->call.args = 2;
    } else if (!strcmp(p->call.name, "clone")) {
        p->call.arg[0] = x->event->arg[0];
        p->call.args = p->call.arg[0] & 0x80000 ? 5 : 3; /* CLONE_SETTLS */
    }
    p->child_tid = p->call.arg[0] & 0x200000 ? child_tid : 0; /* CLONE_CHILD_CLEARTID */
}

static void result(struct parts *x)
{
    struct tdw_call *const call = &x->p->call;
    const int64_t value = x->event->result;

    if (x->event->bits & TDW__EV_NO_RESULT) {
        call->bits |= TDW_CALL_NO_RESULT;
    } else if (value == -512 || value == -513 || value == -514 || value == -516) {
        call->bits |= TDW_CALL_RESTART;
        call->result = -4;
    } else {
        call->result = value;
        call->result_path = tdw__event_words(x->texts, x->event->result_words);
    }
}

void tdw__event_parse(struct tdw__parsed *p, const struct tdw__event_call *event,
                      const struct tdw__event_call *before, const struct tdw__event_texts *texts)
{
    struct parts x = {.p = p, .event = event, .before = before, .texts = texts, .dir_fd = -100};
    const char *const name = tdw__event_name(event->head.nr);
    const char *shape;
    char number[32];

    tdw__parsed_init(p, tdw__syscall(name ? name : "", name ? strlen(name) : 0));
    if (!p->call.name) {
        snprintf(number, sizeof number, "syscall_%u", event->head.nr);
        p->call.name = name ? name : tdw__keep(&p->arena, number, number + strlen(number));
    }
    shape = p->syscall->shape;
    for (unsigned i = 0; i < 6 && shape[i] != 0; i++)
        p->call.arg[i] = argument(&x, shape[i], i);
    p->call.args = (uint8_t)shown(p);
    for (unsigned i = p->call.args; i < 6; i++)
        p->call.arg[i] = 0;
    if (p->syscall->track == TDW__T_CLONE)
        clone_args(&x);
    result(&x);
    if (shape[0] && shape[1] == 'r' && event->result > 0)
        select_answer(&x);
    if (event->bits & TDW__EV_CUT || p->arena.cut)
        p->call.bits |= TDW_CALL_CUT;
}
