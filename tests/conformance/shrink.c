/* SPDX-License-Identifier: MIT */
/*
 * The shortest program that still differs, and its text as C.
 *
 * Steps are left out in pieces, from the half down to one (Zeller and Hildebrandt 2002), for as
 * long as that helps; then words of what is left are made zero. Any unexplained difference will do:
 * it is the short one that is looked at. Each attempt is a run on both sides.
 */
#include "conformance.h"
#include <string.h>

static bool without(const struct program *from, uint32_t begin, uint32_t count,
                    enum tdw_backend backend, struct program *to)
{
    struct difference d;

    *to = *from;
    memmove(&to->steps[begin], &to->steps[begin + count],
            (from->count - begin - count) * sizeof to->steps[0]);
    to->count -= count;
    return to->count > 0 && differs(to, backend, &d);
}

static bool drop_pieces(struct program *program, enum tdw_backend backend, uint32_t size)
{
    bool any = false;

    for (uint32_t at = 0; at + size <= program->count;) {
        struct program shorter;

        if (without(program, at, size, backend, &shorter)) {
            *program = shorter;
            any = true;
        } else {
            at += size;
        }
    }
    return any;
}

/* A word of a step that can be zero is. */
static void zero(struct program *program, enum tdw_backend backend, void *word, size_t bytes)
{
    static const uint64_t zeros[2];
    uint64_t saved = 0;
    struct difference d;

    if (memcmp(word, zeros, bytes) == 0)
        return;
    memcpy(&saved, word, bytes);
    memset(word, 0, bytes);
    if (!differs(program, backend, &d))
        memcpy(word, &saved, bytes);
}

void shrink(struct program *program, enum tdw_backend backend)
{
    const uint32_t patience = patience_ms;
    bool any = true;

    patience_ms = 100;
    while (any) {
        any = false;
        for (uint32_t size = program->count / 2; size > 0; size /= 2)
            any |= drop_pieces(program, backend, size);
    }
    for (uint32_t i = 0; i < program->count; i++) {
        struct step *s = &program->steps[i];

        zero(program, backend, &s->ioprio, sizeof s->ioprio);
        if (s->opcode != IORING_OP_POLL_ADD)
            zero(program, backend, &s->flags, sizeof s->flags);
        zero(program, backend, &s->off, sizeof s->off);
        if (!(s->sqe_flags & IOSQE_BUFFER_SELECT))
            zero(program, backend, &s->sqe_flags, sizeof s->sqe_flags);
        if (s->addr != A_TIME)
            zero(program, backend, &s->len, sizeof s->len);
    }
    patience_ms = patience;
}

/* ── As C ──────────────────────────────────────────────────────────────────────────────────── */

static const char *const calls[] = {
    [W_PIPE] = "tdw_sys_pipe2(&fd[%d], %lld)",
    [W_EVENTFD] = "tdw_sys_eventfd",
    [W_TIMERFD] = "tdw_sys_timerfd_create",
    [W_SETTIME] = "tdw_sys_timerfd_settime",
    [W_EPOLL] = "tdw_sys_epoll_create1",
    [W_SOCKETPAIR] = "tdw_sys_socketpair",
    [W_SOCKET] = "tdw_sys_socket",
    [W_BIND] = "bind_to_loopback",
    [W_LISTEN] = "tdw_sys_listen",
    [W_DUP] = "tdw_sys_dup",
    [W_LSEEK] = "tdw_sys_lseek",
    [W_SETFL] = "tdw_sys_fcntl_setfl",
    [W_OPTION] = "tdw_sys_setsockopt",
    [W_TRUNCATE] = "tdw_sys_truncate",
    [W_ACCESS] = "tdw_sys_access",
    [W_READLINK] = "tdw_sys_readlink",
    [W_CHMOD] = "tdw_sys_chmod",
    [W_FILES] = "tdw_ring_register_files",
    [W_BUFFERS] = "tdw_ring_register_buffers",
    [W_BUF_RING] = "tdw_ring_register_buf_ring",
};

static void print_call(FILE *out, const struct step *s)
{
    static const char *const path[PATHS] = {"f0", "f1", "d0", "d0/f2", "d1", "l0"};

    fprintf(out, "    ");
    if (s->what == W_PIPE) {
        fprintf(out, "tdw_sys_pipe2(&fd[%d], %lld);\n", s->out, (long long)s->a);
        return;
    }
    if (s->out >= 0)
        fprintf(out, "fd[%d] = ", s->out);
    fprintf(out, "%s(", calls[s->what]);
    if (s->fd >= 0)
        fprintf(out, "fd[%d], ", s->fd);
    if (s->path >= 0)
        fprintf(out, "\"%s\", ", path[s->path % PATHS]);
    fprintf(out, "%lld, %lld, %lld);\n", (long long)s->a, (long long)s->b, (long long)s->c);
}

static void print_addr(FILE *out, const struct step *s)
{
    static const char *const path[PATHS] = {"f0", "f1", "d0", "d0/f2", "d1", "l0"};
    static const char *const words[] = {
        [A_DATA] = "data[%d]",     [A_IOV] = "iov[%d]",      [A_HEADER] = "&header[%d]",
        [A_TIME] = "&time[%d]",    [A_EVENT] = "&event[%d]", [A_FIXED] = "fixed + %d",
        [A_GROUP] = "group_of_%d", [A_LOCK] = "&lock[%d]",
    };

    switch ((enum addr)s->addr) {
    case A_WORD:
        if (s->word)
            fprintf(out, ", .addr = %llu", (unsigned long long)s->word);
        break;
    case A_PATH:
        fprintf(out, ", .addr = \"%s\"", s->path < 0 ? "" : path[s->path % PATHS]);
        break;
    case A_NAME:
        fprintf(out, ", .addr = &bound[%d], .off = sizeof bound[0]", s->fd2);
        break;
    case A_OP:
        fprintf(out, ", .addr = op[%llu]", (unsigned long long)s->word % IDS);
        break;
    case A_DATA:
    case A_IOV:
    case A_HEADER:
    case A_TIME:
    case A_EVENT:
    case A_FIXED:
    case A_LOCK:
    case A_GROUP:
        fprintf(out, ", .addr = ");
        fprintf(out, words[s->addr], s->addr == A_GROUP ? s->buf : s->id);
        break;
    }
}

static void print_entry(FILE *out, const struct step *s)
{
    static const char *const path[PATHS] = {"f0", "f1", "d0", "d0/f2", "d1", "l0"};

    fprintf(out, "    submit(op[%u], &(struct io_uring_sqe){.opcode = %s_%s", s->id,
            s->opcode >= TDW_OP_FTRUNCATE ? "TDW_OP" : "IORING_OP", tdw_opcode(s->opcode)->name);
    if (s->sqe_flags)
        fprintf(out, ", .flags = %#x", s->sqe_flags);
    if (s->fd == -2)
        fprintf(out, ", .fd = AT_FDCWD");
    else if (s->fd >= 0)
        fprintf(out, s->sqe_flags & IOSQE_FIXED_FILE ? ", .fd = %d" : ", .fd = fd[%d]", s->fd);
    else if (s->a)
        fprintf(out, ", .fd = %lld", (long long)s->a);
    else
        fprintf(out, ", .fd = -1");
    print_addr(out, s);
    if (s->off_is == O_PATH2)
        fprintf(out, ", .off = \"%s\"", path[s->path2 % PATHS]);
    else if (s->off_is == O_VAR)
        fprintf(out, ", .off = fd[%d]", s->fd2);
    else if (s->off_is)
        fprintf(out, ", .off = &…");
    else if (s->off)
        fprintf(out, ", .off = %lld", (long long)s->off);
    if (s->len)
        fprintf(out, ", .len = %u", s->len);
    if (s->flags)
        fprintf(out, ", .rw_flags = %#x", s->flags);
    if (s->ioprio)
        fprintf(out, ", .ioprio = %#x", s->ioprio);
    if (s->buf)
        fprintf(out, ", .buf_index = %u", s->buf);
    if (s->file_index)
        fprintf(out, ", .file_index = %d", s->file_index);
    fprintf(out, "});");
    if (s->addr == A_IOV || s->addr == A_HEADER)
        fprintf(out, " /* iov of %u and %u, count %u */", s->iov[0], s->iov[1], s->iov_count);
    if (s->addr == A_TIME || s->off_is == O_TIME)
        fprintf(out, " /* %llu ns */", (unsigned long long)s->ns);
    if (s->addr == A_EVENT)
        fprintf(out, " /* events %#x */", s->events);
    if (s->out >= 0)
        fprintf(out, " /* its result is fd[%d] */", s->out);
    fprintf(out, "\n");
}

void print_as_c(FILE *out, const struct program *program, enum tdw_backend backend)
{
    struct difference d;
    const bool is = differs(program, backend, &d);

    fprintf(out, "/* %s, seed %llu, backend %s */\n", subsystems[program->subsystem].name,
            (unsigned long long)program->seed, backend == TDW_BACKEND_URING ? "uring" : "epoll");
    for (uint32_t i = 0; i < program->count; i++) {
        if (program->steps[i].what == W_ENTRY)
            print_entry(out, &program->steps[i]);
        else
            print_call(out, &program->steps[i]);
        if (is && d.step == i)
            fprintf(out, "    /* here: %s */\n", d.text);
    }
    if (!is)
        fprintf(out, "    /* (this time there was no difference) */\n");
}
