/* SPDX-License-Identifier: MIT */
/*
 * The arguments and result of one call, as numbers and texts.
 *
 * What comes in are the spans that strace_line.c found; what goes out is a struct tdw_call with its
 * arguments, paths, lists, lock, stat, names and result. Each letter of the table's shape says how
 * its argument is read (syscalls.h). With -X raw numbers are numbers or or-expressions, and ports
 * and addresses are bytes; decoded output is read too, as far as strace_words.c knows the words.
 *
 * Texts are unescaped into the arena of the call. It never fails: what it cannot read is 0 or NULL,
 * and TDW_CALL_SYMBOL or TDW_CALL_CUT says so. Never reads behind a span, and no list or text of
 * the input makes it allocate.
 *
 * Cost: about 1 µs a call. Called by import_strace.c.
 */
#include <traces/import.h>
#include <arpa/inet.h>
#include <string.h>

/* ── Lists ───────────────────────────────────────────────────────────────────────────────────────
 */

static int64_t member_number(struct tdw__span braces, const char *key, bool *bad)
{
    return tdw__number(tdw__member(braces, key), bad);
}

/* iovecs: their lengths as items; answers the sum. */
static int64_t iovecs(struct tdw__parsed *p, struct tdw__span list, uint64_t tag, bool *bad)
{
    struct tdw__span rest = tdw__list_open(list), one;
    uint64_t sum = 0;

    while (tdw__next_member(&rest, &one)) {
        const int64_t length = member_number(one, "iov_len", bad);

        tdw__item_add(p, length, tag);
        sum += (uint64_t)length;
    }
    return (int64_t)sum;
}

/* Descriptors that travel with a message. */
static void rights(struct tdw__parsed *p, struct tdw__span control, bool *bad)
{
    struct tdw__span rest = tdw__list_open(control), one, fds, fd;

    while (tdw__next_member(&rest, &one)) {
        if (member_number(one, "cmsg_level", bad) != 1 || member_number(one, "cmsg_type", bad) != 1)
            continue;
        fds = tdw__list_open(tdw__member(one, "cmsg_data"));
        while (tdw__next_member(&fds, &fd))
            tdw__item_add(p, tdw__number(fd, bad), 1);
    }
}

static int64_t message(struct tdw__parsed *p, struct tdw__span text, bool *bad)
{
    const struct tdw__span control = tdw__member(text, "msg_control");
    const int64_t sum = iovecs(p, tdw__member(text, "msg_iov"), 0, bad);

    if (control.bytes > 0)
        rights(p, control, bad);
    return sum;
}

static int64_t messages(struct tdw__parsed *p, struct tdw__span list, bool *bad)
{
    struct tdw__span rest = tdw__list_open(list), one;
    uint64_t sum = 0, number = 0;

    while (tdw__next_member(&rest, &one)) {
        const struct tdw__span header = tdw__member(one, "msg_hdr");

        sum += (uint64_t)iovecs(p, tdw__member(header, "msg_iov"), number++, bad);
    }
    return (int64_t)sum;
}

/* poll's array at entry, and what came back in the note. */
static void pollfds(struct tdw__parsed *p, struct tdw__span list, struct tdw__span note, bool *bad)
{
    struct tdw__span rest = tdw__list_open(list), one;
    const char *const back = memchr(note.at, '[', note.bytes);

    while (tdw__next_member(&rest, &one))
        tdw__item_add(p, member_number(one, "fd", bad),
                      (uint64_t)member_number(one, "events", bad) & 0xffff);
    if (!back)
        return;
    rest = tdw__list_open((struct tdw__span){back, (size_t)(note.at + note.bytes - back)});
    while (tdw__next_member(&rest, &one)) {
        const int64_t fd = member_number(one, "fd", bad);
        const uint64_t events = (uint64_t)member_number(one, "revents", bad) & 0xffff;

        for (uint32_t i = 0; i < p->call.items; i++) {
            if (p->items[i].a == fd && p->items[i].b >> 32 == 0) {
                p->items[i].b |= events << 32;
                break;
            }
        }
    }
}

/* Past an annotation, if one begins at `at`. */
static const char *past_annotation(const char *at, const char *end)
{
    int depth = 0;

    if (at == end || *at != '<')
        return at;
    for (; at < end; at++) {
        depth += *at == '<';
        if (*at == '>' && at[-1] != '-' && --depth == 0)
            return at + 1;
    }
    return end;
}

/* A set of select: descriptors with spaces between them, up to a closing bracket. */
static void select_set(struct tdw__parsed *p, struct tdw__span set, uint64_t bit)
{
    const char *const end = set.at + set.bytes;

    while (set.bytes > 0) {
        uint32_t i = 0;
        int64_t fd;

        if (*set.at == ' ') {
            set.at++, set.bytes--;
            continue;
        }
        if (!tdw__plain_number(&set, &fd))
            break;
        while (i < p->call.items && p->items[i].a != fd)
            i++;
        if (i == p->call.items)
            tdw__item_add(p, fd, 0);
        if (i < p->call.items)
            p->items[i].b |= bit;
        set.at = past_annotation(set.at, end);
        set.bytes = (size_t)(end - set.at);
    }
}

/* What select answered: "(in [14], out [3], left {…})". */
static void select_note(struct tdw__parsed *p, struct tdw__span note)
{
    static const char *const names[] = {"in [", "out [", "except ["};

    for (int i = 0; i < 3; i++) {
        const size_t bytes = strlen(names[i]);
        const char *const at = memmem(note.at, note.bytes, names[i], bytes);

        if (at)
            select_set(p,
                       (struct tdw__span){at + bytes, (size_t)(note.at + note.bytes - at) - bytes},
                       1ull << (32 + i));
    }
}

static void epoll_event(struct tdw__parsed *p, struct tdw__span one, bool *bad)
{
    const struct tdw__span data = tdw__member(one, "data");
    struct tdw__span number = tdw__member(data, "u64");

    if (number.bytes == 0)
        number = data.bytes > 0 && data.at[0] != '{' ? data : tdw__member(data, "u32");
    tdw__item_add(p, tdw__number(number, bad), (uint64_t)member_number(one, "events", bad));
}

/* One member of getdents' list. */
static bool entry_next(struct tdw__arena *arena, struct tdw__span *rest, struct tdw__entry *entry)
{
    const size_t used = arena->used;
    struct tdw__span one;
    bool bad = false;

    if (!tdw__next_member(rest, &one))
        return false;
    entry->name = tdw__quoted(arena, tdw__member(one, "d_name"));
    entry->type = (uint8_t)(tdw__number(tdw__member(one, "d_type"), &bad) & 15);
    arena->used = used;
    return true;
}

static void entries(struct tdw__parsed *p, struct tdw__span list)
{
    if (list.bytes == 0 || list.at[0] != '[')
        return;
    p->entries = tdw__list_open(list);
    p->entry_next = entry_next;
    tdw__entries_hash(p);
}

/* ── Structures ──────────────────────────────────────────────────────────────────────────────────
 */

static void lock(struct tdw__parsed *p, struct tdw__span text, bool *bad)
{
    p->call.bits |= TDW_CALL_LOCK;
    p->call.lock = (struct tdw_call_lock){
        .type = (int16_t)member_number(text, "l_type", bad),
        .whence = (int16_t)member_number(text, "l_whence", bad),
        .start = member_number(text, "l_start", bad),
        .length = member_number(text, "l_len", bad),
        .pid = (int32_t)member_number(text, "l_pid", bad),
    };
}

static void stat_of(struct tdw__parsed *p, struct tdw__span text, bool *bad)
{
    const bool x = tdw__member(text, "stx_mode").bytes > 0;

    if (!x && tdw__member(text, "st_mode").bytes == 0)
        return;
    p->call.bits |= TDW_CALL_STAT;
    p->call.stat.mode = (uint32_t)member_number(text, x ? "stx_mode" : "st_mode", bad);
    p->call.stat.size = (uint64_t)member_number(text, x ? "stx_size" : "st_size", bad);
}

/* A timespec or timeval in ns; -1 for NULL; as answered of what changes ("{…} => {…}"): as asked.
 */
static int64_t duration(struct tdw__span text, bool *bad)
{
    struct tdw__span value = tdw__member(text, "it_value");

    if (text.bytes >= 4 && !memcmp(text.at, "NULL", 4))
        return -1;
    if (value.bytes == 0)
        value = text;
    if (tdw__member(value, "tv_sec").bytes == 0)
        return 0;
    return (int64_t)((uint64_t)member_number(value, "tv_sec", bad) * 1000000000u +
                     (uint64_t)member_number(value, "tv_nsec", bad) +
                     (uint64_t)member_number(value, "tv_usec", bad) * 1000u);
}

/* Bytes of an address that strace wrote as text: at most `max`. */
static size_t raw_bytes(struct tdw__span text, uint8_t *bytes, size_t max)
{
    const char *at = text.at, *const end = at + text.bytes;
    size_t count = 0;

    if (text.bytes < 2 || *at++ != '"')
        return 0;
    while (at < end && *at != '"' && count < max)
        bytes[count++] = (uint8_t)tdw__unescape(&at, end);
    return count;
}

/* A port: two bytes, or decoded as htons(80). */
static unsigned port_of(struct tdw__span text, bool *bad)
{
    uint8_t bytes[2];

    if (raw_bytes(text, bytes, 2) == 2)
        return (unsigned)bytes[0] << 8 | bytes[1];
    if (text.bytes > 7 && !memcmp(text.at, "htons(", 6))
        return (unsigned)tdw__number((struct tdw__span){text.at + 6, text.bytes - 7}, bad);
    return (unsigned)tdw__number(text, bad);
}

/* The last quoted text of a decoded address: inet_addr("…"), inet_pton(AF_INET6, "…", …). */
static void host_of(struct tdw__span text, int family, char *host, size_t bytes)
{
    const char *const quote = text.bytes ? memchr(text.at, '"', text.bytes) : NULL;
    uint8_t raw[16] = {0};

    host[0] = 0;
    if (!quote)
        return;
    if (quote == text.at) {
        raw_bytes(text, raw, sizeof raw);
        inet_ntop(family, raw, host, (socklen_t)bytes);
        return;
    }
    snprintf(host, bytes, "%.*s",
             (int)(tdw__quote_end(quote + 1, text.at + text.bytes) - quote - 1), quote + 1);
}

/* The address in our notation (trace.h); NULL for other families. */
static const char *address(struct tdw__parsed *p, struct tdw__span text, bool *bad)
{
    char host[INET6_ADDRSTRLEN + 1], line[INET6_ADDRSTRLEN + 32];
    struct tdw__span path = tdw__member(text, "sun_path");
    const char *quoted;
    char *kept;
    bool abstract;

    switch (tdw__member(text, "sa_family").bytes ? member_number(text, "sa_family", bad) : -1) {
    case 1:
        abstract = path.bytes > 0 && path.at[0] == '@';
        path.at += abstract, path.bytes -= abstract;
        kept = p->arena.bytes + p->arena.used;
        if (sizeof p->arena.bytes - p->arena.used < TDW_TRACE_PATH_BYTES + 16)
            return NULL;
        p->arena.used += (size_t)snprintf(kept, 8, abstract ? "unix:@" : "unix:");
        quoted = tdw__quoted(&p->arena, path);
        if (!quoted)
            p->arena.used++;
        return kept;
    case 2:
        host_of(tdw__member(text, "sin_addr"), AF_INET, host, sizeof host);
        snprintf(line, sizeof line, "%s:%u", host, port_of(tdw__member(text, "sin_port"), bad));
        break;
    case 10:
        path = tdw__member(text, "sin6_addr");
        host_of(path.bytes ? path : text, AF_INET6, host, sizeof host);
        snprintf(line, sizeof line, "[%s]:%u", host, port_of(tdw__member(text, "sin6_port"), bad));
        break;
    default:
        return NULL;
    }
    return tdw__keep(&p->arena, line, line + strlen(line));
}

/* ── A call ──────────────────────────────────────────────────────────────────────────────────────
 */

/* clone and clone3: what matters is named, not placed. arg[0]: flags. */
static void clone_args(struct tdw__parsed *p, const struct tdw__call_text *text, bool *bad)
{
    for (size_t i = 0; i < text->args; i++) {
        struct tdw__span arg = text->arg[i];
        const bool braces = arg.bytes > 0 && arg.at[0] == '{';
        char line[64];
        struct tdw__span flags, tid;

        /* clone's arguments are read as if they stood in braces. */
        if (!braces && arg.bytes + 2 < sizeof line) {
            arg.bytes = (size_t)snprintf(line, sizeof line, "{%.*s}", (int)arg.bytes, arg.at);
            arg.at = line;
        }
        flags = tdw__member(arg, "flags");
        tid = tdw__member(arg, braces ? "child_tid" : "child_tidptr");
        if (flags.bytes > 0)
            p->call.arg[0] = tdw__number(flags, bad);
        if (tid.bytes > 0)
            p->child_tid = (uint64_t)tdw__number(tid, bad);
    }
    if (!(p->call.arg[0] & 0x200000)) /* CLONE_CHILD_CLEARTID */
        p->child_tid = 0;
}

/* An argument that stands for a descriptor or directory, with what it means. */
static int64_t descriptor(struct tdw__parsed *p, struct tdw__span arg, int *fds, bool *bad)
{
    const char *const path = tdw__annotation(&p->arena, arg);

    if (*fds < 2)
        p->call.fd_path[(*fds)++] = path;
    return tdw__number(arg, bad);
}

struct places {
    int fds, paths;
    const char *dir; /* what the directory before the next path stood for */
    int64_t dir_fd;
};

static int64_t directory(struct tdw__parsed *p, struct tdw__span arg, struct places *at, bool *bad)
{
    at->dir = tdw__annotation(&p->arena, arg);
    at->dir_fd = tdw__number(arg, bad);
    return at->dir_fd;
}

static void path(struct tdw__parsed *p, struct tdw__span arg, struct places *at)
{
    const char *const text = tdw__quoted(&p->arena, arg);

    if (at->paths < 2) {
        p->dir[at->paths] = at->dir;
        p->dir_fd[at->paths] = at->dir_fd;
        p->call.path[at->paths++] = text;
    }
    /* An empty path means the descriptor itself: it is the call's. */
    if (text && text[0] == 0 && at->fds < 2 && at->dir_fd >= 0)
        p->call.fd_path[at->fds++] = at->dir;
    at->dir = NULL;
    at->dir_fd = -100;
}

static void descriptor_pair(struct tdw__parsed *p, struct tdw__span one, struct places *at,
                            bool *bad)
{
    tdw__item_add(p, descriptor(p, one, &at->fds, bad), 0);
}

/* One argument by its letter; answers its number. */
static int64_t argument(struct tdw__parsed *p, char letter, struct tdw__span arg,
                        struct tdw__span note, struct places *at, bool *bad)
{
    struct tdw__span one, rest = tdw__list_open(arg);
    int64_t number;

    switch (letter) {
    case 'f':
        return descriptor(p, arg, &at->fds, bad);
    case 'd':
        return directory(p, arg, at, bad);
    case 'p':
        path(p, arg, at);
        return 0;
    case 't':
        if (at->paths < 2)
            p->call.path[at->paths++] = tdw__quoted(&p->arena, arg);
        return 0;
    case 'n':
    case 'j':
    case 'u':
        return tdw__number(arg, bad);
    case 'v':
        return iovecs(p, arg, 0, bad);
    case 'm':
        return message(p, arg, bad);
    case 'M':
        return messages(p, arg, bad);
    case 'o':
        return tdw__next_member(&rest, &one) ? tdw__number(one, bad) : -1;
    case 'i':
        return arg.bytes > 0 && arg.at[0] == '[' && tdw__next_member(&rest, &one) &&
                       tdw__plain_number(&one, &number)
                   ? number
                   : 0;
    case 'l':
        if (arg.bytes > 0 && arg.at[0] == '{') {
            lock(p, arg, bad);
            return 0;
        }
        return tdw__number(arg, bad);
    case 's':
        stat_of(p, arg, bad);
        return 0;
    case 'e':
        entries(p, arg);
        return 0;
    case 'a':
        p->call.address = address(p, arg, bad);
        return 0;
    case 'k':
        while (tdw__next_member(&rest, &one))
            descriptor_pair(p, one, at, bad);
        return 0;
    case 'q':
        pollfds(p, arg, note, bad);
        return 0;
    case 'r':
    case 'w':
    case 'c':
        if (rest.bytes > 0)
            select_set(p, rest, letter == 'r' ? 1 : letter == 'w' ? 2 : 4);
        return 0;
    case 'E':
        while (tdw__next_member(&rest, &one))
            epoll_event(p, one, bad);
        return 0;
    case 'V':
        if (arg.bytes > 0 && arg.at[0] == '{')
            epoll_event(p, arg, bad);
        return 0;
    case 'T':
        return duration(arg, bad);
    case 'K':
        return arg.bytes > 0 && (arg.at[0] == '{' || arg.at[0] == 'N') ? duration(arg, bad)
                                                                       : tdw__number(arg, bad);
    default:
        return 0;
    }
}

/* The result: a value, an error, or none. */
static void result(struct tdw__parsed *p, const struct tdw__call_text *text)
{
    struct tdw__span name = {text->note.at, 0};
    bool bad = false;

    name = tdw__word_of(&text->note);
    if (text->result.at[0] == '?') {
        const bool restart = name.bytes > 8 && !memcmp(name.at, "ERESTART", 8);

        p->call.bits |= restart ? TDW_CALL_RESTART : TDW_CALL_NO_RESULT;
        p->call.result = restart ? -4 : 0;
        return;
    }
    p->call.result = tdw__number(text->result, &bad);
    if (p->call.result == -1 && name.bytes > 1 && name.at[0] == 'E') {
        const int number = tdw__errno_number(name);

        p->call.result = number ? -number : -5;
        bad |= number == 0;
    } else {
        p->call.result_path = tdw__annotation(&p->arena, text->result);
    }
    if (bad)
        p->call.bits |= TDW_CALL_SYMBOL;
}

void tdw__parse(struct tdw__parsed *p, const struct tdw__call_text *text, bool whole)
{
    struct places at = {.dir_fd = -100};
    const char *shape;
    bool bad = false;

    tdw__parsed_init(p, tdw__syscall(text->name.at, text->name.bytes));
    if (!p->call.name)
        p->call.name = tdw__keep(&p->arena, text->name.at, text->name.at + text->name.bytes);
    p->call.args = (uint8_t)(text->args < 6 ? text->args : 6);
    if (p->syscall->track == TDW__T_CLONE)
        clone_args(p, text, &bad);
    shape = p->syscall->shape;
    for (size_t i = 0; i < text->args && shape[i] != 0; i++) {
        const int64_t value = argument(p, shape[i], text->arg[i], text->note, &at, &bad);

        if (i < 6)
            p->call.arg[i] = value;
    }
    if (whole)
        result(p, text);
    if (whole && strchr(shape, 'r'))
        select_note(p, text->note);
    if (bad)
        p->call.bits |= TDW_CALL_SYMBOL;
    if (p->arena.cut)
        p->call.bits |= TDW_CALL_CUT;
}
