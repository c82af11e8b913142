/* SPDX-License-Identifier: MIT */
/*
 * Importers of what recorders tell: what their files share.
 *
 *     line ─▶ strace_line.c ─▶ strace_args.c ─▶ import_strace.c ─▶ import_calls.c
 *             what it is       a struct tdw_call                   whoever recorded it
 *     which keeps    threads and processes   import_tasks.c
 *                    files at the start      import_evidence.c, import_images.c
 *                    descriptors             import_fds.c
 *                    what came after what    import_edges.c
 *                    calls, until the end    import_spool.c
 *
 * A call is numbered when it starts and becomes complete when it ends; in between, other threads'
 * lines come. So that the file has the calls in the order of their starts, without holding them,
 * they are spooled (import_spool.c); threads and images, which are known only at the end, are
 * written before them.
 *
 * Memory: linear in threads, open descriptors and distinct paths, plus 8 bytes for each call that
 * another thread's line interrupted; not in calls or bytes.
 */
#ifndef TDW_TRACES_IMPORT_H
#define TDW_TRACES_IMPORT_H

#include <traces/syscalls.h>
#include <stdio.h>

enum {
    TDW__LINE_BYTES = 1 << 20, /* of one line; a longer one is malformed */
    TDW__ARGS_MAX = 16,
    TDW__FDS_MAX = 1 << 16, /* larger descriptors are not followed */
    TDW__NONE = -1,
};

/* ── Lines (strace_line.c) ───────────────────────────────────────────────────────────────────────
 */

struct tdw__span {
    const char *at;
    size_t bytes;
};

enum tdw__line_kind {
    TDW__LINE_CALL,
    TDW__LINE_UNFINISHED, /* `text` is the call so far */
    TDW__LINE_RESUMED,    /* `text` is the rest of it */
    TDW__LINE_SIGNAL,     /* `text` is the signal's name and what is in braces */
    TDW__LINE_EXITED,     /* `status`; `text` is a signal's name if it was killed */
    TDW__LINE_SUPERSEDED, /* `status`: the thread whose exec ended this one */
    TDW__LINE_NOTE,       /* nothing to keep */
};

struct tdw__line {
    enum tdw__line_kind kind;
    uint32_t tid; /* 0: not said */
    uint64_t at_ns;
    struct tdw__span name, text;
    int32_t status;
};

/* A call, taken apart: `text` is name(args) = result <duration>. */
struct tdw__call_text {
    struct tdw__span name, arg[TDW__ARGS_MAX], result, note; /* note: what follows the result */
    size_t args;
    uint64_t duration_ns;
    bool has_duration;
};

/* Both answer 0, or -EINVAL with *why (a constant) when the text is malformed. */
int tdw__line_lex(const char *text, size_t bytes, struct tdw__line *line, const char **why);
int tdw__call_lex(const char *text, size_t bytes, bool whole, struct tdw__call_text *call,
                  const char **why);

/* ── Arguments (strace_args.c) ───────────────────────────────────────────────────────────────────
 */

/* Room for the texts of one call; emptied before the next. */
struct tdw__arena {
    size_t used;
    bool cut;
    char bytes[16 * (TDW_TRACE_PATH_BYTES + 1)];
};

/*
 * Fill in `call` from its text: numbers, texts, lists, extras, result; not its class, thread, times
 * or edges. Paths are as the program gave them, and `dir` is what the directory descriptor before
 * each stood for (NULL: none). Texts live in `arena`, items in `items`. `whole` is false for the
 * first part of a call that was interrupted.
 */
struct tdw__entry {
    const char *name; /* valid until the next one */
    uint8_t type;     /* DT_DIR and its like */
};

/* The next entry of a directory's list, taken off *rest; false at its end. A name may be NULL. The
 * arena is left as it was, but for bytes behind its end. */
typedef bool tdw__entry_fn(struct tdw__arena *arena, struct tdw__span *rest,
                           struct tdw__entry *entry);

struct tdw__parsed {
    struct tdw_call call;
    const struct tdw__syscall *syscall;
    const char *dir[2];
    struct tdw__span entries; /* getdents: what it listed, in the recorder's form */
    tdw__entry_fn *entry_next;
    int64_t dir_fd[2];
    uint64_t child_tid; /* clone: where the thread's number is cleared when it ends */
    struct tdw_call_item items[TDW_TRACE_ITEMS_MAX];
    struct tdw__arena arena;
};

void tdw__parse(struct tdw__parsed *parsed, const struct tdw__call_text *text, bool whole);

/* For importers of all recorders: an empty call of this system call; one more item; the listed
 * names, hashed. */
void tdw__parsed_init(struct tdw__parsed *parsed, const struct tdw__syscall *syscall);
void tdw__item_add(struct tdw__parsed *parsed, int64_t a, uint64_t b);
void tdw__entries_hash(struct tdw__parsed *parsed);

/* A number or an or-expression of numbers and words; *bad is set where a word is unknown. */
int64_t tdw__number(struct tdw__span span, bool *bad);

/* A number in C's notation, taken off *span; false if there is none. */
bool tdw__plain_number(struct tdw__span *span, int64_t *value);
int tdw__digit(char c); /* 99 for what is none */
struct tdw__span tdw__word_of(const struct tdw__span *span);

/* One character, its escape undone; moves *at on. `at` is not at the end. */
char tdw__unescape(const char **at, const char *end);
const char *tdw__quote_end(const char *at, const char *end);

/* The bytes from `at` to `end`, unescaped, in the arena. */
const char *tdw__keep(struct tdw__arena *arena, const char *at, const char *end);

/* The value of `key=` among the members of a list in braces, or an empty span. */
struct tdw__span tdw__member(struct tdw__span braces, const char *key);

/* The inside of a list in brackets or braces; empty if it is none. */
struct tdw__span tdw__list_open(struct tdw__span list);

/* The next member of such an inside, taken off *rest; false at its end. */
bool tdw__next_member(struct tdw__span *rest, struct tdw__span *member);

/* A quoted text, unescaped into the arena; NULL if there is none. */
const char *tdw__quoted(struct tdw__arena *arena, struct tdw__span span);

/* What stands in angle brackets behind a descriptor; NULL if nothing does. */
const char *tdw__annotation(struct tdw__arena *arena, struct tdw__span span);

/* ── Words (strace_words.c) ──────────────────────────────────────────────────────────────────────
 */

/* The value of a word such as O_CREAT, or false. */
bool tdw__word(struct tdw__span word, int64_t *value);

/* The positive number of ENOENT and its like; 0 for an unknown name. */
int tdw__errno_number(struct tdw__span name);
int tdw__signal_number(struct tdw__span name);

/* ── A map from 64-bit keys to numbers (import_map.c) ───────────────────────────────────────────
 */

struct tdw__map_entry {
    uint64_t key; /* 0: free */
    int64_t value;
};

struct tdw__map {
    struct tdw__map_entry *entry;
    size_t count, room;
};

/* Where the value of `key` is kept; NULL if it is not there. Valid until the next put. */
int64_t *tdw__map_get(const struct tdw__map *map, uint64_t key);
int tdw__map_put(struct tdw__map *map, uint64_t key, int64_t value);
void tdw__map_fini(struct tdw__map *map);
uint64_t tdw__key(const void *bytes, size_t count, uint64_t salt);

/* Make room for one more of `*array`; 0 or -ENOMEM. */
int tdw__grow(void *array, size_t *room, size_t count, size_t bytes);

/* ── The parts ───────────────────────────────────────────────────────────────────────────────────
 */

/* A call, named as edges name it. `thread` UINT32_MAX: none. */
struct tdw__ref {
    uint64_t call;
    uint32_t thread, ordinal;
};

static inline bool tdw__ref_none(struct tdw__ref ref)
{
    return ref.thread == UINT32_MAX;
}

#define TDW__NO_REF ((struct tdw__ref){0, UINT32_MAX, 0})

/* The call that a thread is in. */
struct tdw__pending {
    char *text; /* strace's: name(args so far; NULL: none */
    size_t bytes;
    uint64_t start_ns, line;
    struct tdw__ref ref;
    uint64_t clone_flags, child_tid;
    uint32_t slot; /* in the spool */
    bool started;
    bool clones;
    bool claimed; /* a clone whose child has already shown itself */
};

struct tdw__thread {
    struct tdw_trace_thread row;
    char *program;
    uint32_t ordinal;
    uint64_t child_tid; /* its futex at the end */
    struct tdw__ref last, spawn;
    struct tdw__pending pending;
};

enum tdw__startup { TDW__RUNS, TDW__LOADS, TDW__LOADS_WITH_CACHE };

struct tdw__process {
    uint32_t pid;
    uint32_t *fds; /* index of the open file description + 1; 0: not known */
    uint8_t *cloexec;
    uint64_t *since; /* by descriptor: how many calls had begun when it got its present meaning */
    size_t fds_room;
    char *cwd;
    uint8_t startup; /* enum tdw__startup */
    int64_t cache_at;
    struct tdw__ref last;
};

/* An open file description. */
struct tdw__open {
    uint64_t what; /* key of the recorder's words for it */
    int64_t node;  /* of import_images.c, or TDW__NONE */
    uint64_t offset, serial;
    uint32_t refs; /* descriptors that stand for it; free (and in a list by `offset`) without any */
    bool offset_known, append;
};

enum { TDW__UNKNOWN = -1, TDW__ABSENT = -2 }; /* in place of a node */

/* A path, and what it stands for at present. */
struct tdw__name {
    char *path;
    int64_t node; /* or TDW__UNKNOWN, TDW__ABSENT */
    int64_t made; /* the node of the recording's own files of this name; or TDW__UNKNOWN */
    bool was_absent;
};

struct tdw__node {
    char *path, *target; /* path NULL: made by the recording */
    uint64_t size;
    uint32_t mode;
    uint8_t kind; /* enum tdw_image_kind */
    bool guessed; /* the kind */
    bool exact, changed;
    bool maybe; /* it is not known whether it was there at the start */
};

struct tdw__channel;
struct tdw__wakes;
struct tdw__recent;

struct tdw__spool {
    FILE *calls, *late;
    long *late_at;
    size_t slots, slots_room;
};

struct tdw__import {
    int error;
    struct tdw__import_report *report;
    uint64_t first_ns, last_ns;
    uint64_t unix_ns; /* to be added to first_ns to get a Unix time */
    bool started;
    uint64_t calls, lines, malformed;
    bool counts_losses; /* the recorder tells what it lost */
    uint64_t lost_calls, lost_others;
    struct tdw_trace_gap *gaps;
    size_t gaps_count, gaps_room;

    struct tdw__thread *threads;
    size_t threads_count, threads_room;
    struct tdw__map tids; /* live thread by tid */
    struct tdw__process *processes;
    size_t processes_count, processes_room;
    struct tdw__open *opens;
    size_t opens_count, opens_room;
    uint64_t opens_made, open_free; /* the first free one + 1; 0: none */

    struct tdw__map names_by_path;
    struct tdw__name *names;
    size_t names_count, names_room;
    struct tdw__node *nodes;
    size_t nodes_count, nodes_room;
    struct tdw_image *fd_images;
    size_t fd_images_count, fd_images_room;
    uint64_t images_written;

    struct tdw__map channel_by_key, wakes_by_key, recent_by_key, kills;
    struct tdw__channel *channels;
    size_t channels_count, channels_room;
    struct tdw__wakes *wakes;
    size_t wakes_count, wakes_room;
    struct tdw__recent *recent;
    size_t recent_count, recent_room;

    struct tdw__spool spool;
    struct tdw__parsed parsed;
};

/*
 * Calls on their way from start to file (import_calls.c). What a call is stands in im->parsed;
 * whose it is, when and where are told here. Errors stick in im->error.
 */
void tdw__import_init(struct tdw__import *im, struct tdw__import_report *report);
void tdw__call_whole(struct tdw__import *im, uint32_t thread, uint64_t start_ns, uint64_t end_ns);
void tdw__call_started(struct tdw__import *im, uint32_t thread, uint64_t start_ns);
void tdw__call_ended(struct tdw__import *im, uint32_t thread, uint64_t end_ns);
/* The recorder lost so many calls of this thread before its next one. */
void tdw__gap(struct tdw__import *im, uint32_t thread, uint64_t calls, uint64_t now_ns);
/* Write the file. -EINVAL: there was no call. */
int tdw__import_write(struct tdw__import *im, const char *recorder, int out_fd);
void tdw__import_fini(struct tdw__import *im);

/* Threads and processes (import_tasks.c). Indexes stay valid; pointers until the next thread. */
int64_t tdw__task_of(struct tdw__import *im, uint32_t tid, uint64_t at_ns);
void tdw__task_cloned(struct tdw__import *im, uint32_t thread, const struct tdw_call *call,
                      uint64_t child_tid);
/* For recorders that tell: `tid` of process `pid` was there before; `tid` was made by `parent`,
 * which is in its clone. The thread's index, or TDW__NONE. */
int64_t tdw__task_there(struct tdw__import *im, uint32_t tid, uint32_t pid, uint64_t at_ns);
int64_t tdw__task_forked(struct tdw__import *im, uint32_t parent, uint32_t tid, uint64_t at_ns);
void tdw__task_ended(struct tdw__import *im, uint32_t thread, int32_t status, uint64_t at_ns);
void tdw__task_superseded(struct tdw__import *im, uint32_t leader, uint32_t by_tid, uint64_t at_ns);
void tdw__task_exec(struct tdw__import *im, uint32_t thread, const char *path);
bool tdw__task_startup(struct tdw__process *process, const struct tdw_call *call,
                       const struct tdw__syscall *syscall);
void tdw__tasks_fini(struct tdw__import *im);

/* Descriptors (import_fds.c). */
struct tdw__open *tdw__fd_open(struct tdw__import *im, uint32_t process, int64_t fd,
                               const char *path);
/* A descriptor that the process has when the recording begins, with its open flags and offset. */
void tdw__fd_there(struct tdw__import *im, uint32_t process, int64_t fd, const char *path,
                   uint32_t flags, uint64_t offset);
void tdw__fds_track(struct tdw__import *im, const struct tdw__parsed *parsed);
int tdw__fds_copy(struct tdw__import *im, struct tdw__process *to, const struct tdw__process *from);
void tdw__fds_exec(struct tdw__import *im, struct tdw__process *process);
void tdw__fds_end(struct tdw__import *im, struct tdw__process *process);

/* Names and files (import_images.c). Indexes stay valid; pointers until the next name or node. */
int64_t tdw__name_of(struct tdw__import *im, const char *path);
int64_t tdw__node_new(struct tdw__import *im, int64_t name, uint8_t kind, bool was_there);
bool tdw__imageless(const char *path);
void tdw__parents_exist(struct tdw__import *im, const char *path);
void tdw__absent(struct tdw__import *im, const char *path);
void tdw__absent_parent(struct tdw__import *im, const char *path);
int64_t tdw__created(struct tdw__import *im, const char *path, uint8_t kind);
int64_t tdw__node_of_path(struct tdw__import *im, const char *path);
int64_t tdw__node_exists(struct tdw__import *im, const char *path, uint8_t kind);
int tdw__images_write(struct tdw__import *im, struct tdw_trace_writer *writer);
void tdw__images_fini(struct tdw__import *im);

/* What a completed call tells about them (import_evidence.c). */
void tdw__images_track(struct tdw__import *im, const struct tdw__parsed *parsed);

/* Paths (import_paths.c): made absolute; the working directory learned. */
void tdw__paths_resolve(struct tdw__import *im, struct tdw__parsed *parsed);
void tdw__chdir_track(struct tdw__import *im, const struct tdw__parsed *parsed);

/* Edges (import_edges.c): when a call starts, and when it ends. */
void tdw__edges_start(struct tdw__import *im, const struct tdw__parsed *parsed);
void tdw__edges_end(struct tdw__import *im, struct tdw__parsed *parsed);
void tdw__edges_thread_end(struct tdw__import *im, uint32_t thread);
void tdw__edge_add(struct tdw_call *call, enum tdw_edge_kind kind, struct tdw__ref ref);
void tdw__edges_fini(struct tdw__import *im);

/* Calls on their way to the file (import_spool.c). */
int tdw__spool_init(struct tdw__spool *spool);
int tdw__spool_put(struct tdw__spool *spool, const struct tdw_call *call);
int tdw__spool_reserve(struct tdw__spool *spool, uint32_t *slot);
int tdw__spool_fill(struct tdw__spool *spool, uint32_t slot, const struct tdw_call *call);
int tdw__spool_write(struct tdw__spool *spool, struct tdw_trace_writer *writer);
void tdw__spool_fini(struct tdw__spool *spool);

/* ── What the command asks for ───────────────────────────────────────────────────────────────────
 */

enum { TDW__UNSUPPORTED_MAX = 64 };

struct tdw__import_report {
    uint64_t lines, malformed, calls, threads, processes, images;
    uint64_t first_malformed[8]; /* line numbers */
    uint64_t by_row[TDW_ROWS], ns_by_row[TDW_ROWS], by_compare[16], timing;
    uint64_t served, startup, edges, no_result, words_unknown, lists_cut, shared_maps;
    uint64_t covered_ns, total_ns; /* inside calls */
    uint64_t lost_calls, lost_others;
    struct {
        char name[32];
        uint64_t count;
    } unsupported[TDW__UNSUPPORTED_MAX];
    size_t unsupported_names;
};

/* Import what `in` delivers into a new trace at `out_fd`. Malformed lines are told to `notes` (or
 * not, if NULL) with their number, and skipped. 0, -EINVAL (no line was understood), or -errno. */
int tdw__import_stream(FILE *in, int out_fd, FILE *notes, struct tdw__import_report *report);

#endif
