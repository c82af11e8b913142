/* SPDX-License-Identifier: MIT */
/*
 * Traces: what happened, in a file.
 *
 * One format, `.tdw`, for two kinds of file: a *run* (the events of a loop, simulated or real) and
 * a *recording* (the system calls of a real program, imported from a recorder's output). The bytes
 * are described in docs/trace-format.md.
 *
 * Writing appends records to a chunk of fixed size, which is compressed, given a checksum and
 * written when it is full: no allocation and no system call per event. Reading goes through the
 * file once, a chunk at a time; neither side ever holds the whole file. A file whose writer was
 * killed, or that was damaged, is delivered up to the last whole chunk before the damage, and only
 * then is the error told, with the byte at which it was found.
 *
 * Limits, which both sides keep and a reader enforces before it allocates or believes anything:
 * the enum below. Who calls it: `tdw run`, `tdw record`, `tdw import` write; `tdw replay`, `tdw
 * show`, `tdw stat`, `tdw fit` read. A writer or reader belongs to one thread at a time.
 */
#ifndef TIDEWHEEL_TRACE_H
#define TIDEWHEEL_TRACE_H

#include <tidewheel/event.h>

enum {
    TDW_TRACE_CHUNK_BYTES = 256 * 1024, /* of a chunk before compression; never more in a file */
    TDW_TRACE_TEXT_BYTES = 32 * 1024,   /* of an event's name or a value; what is longer is cut */
    TDW_TRACE_PATH_BYTES = 4096,        /* of a path, a key, a site's text; the same */
    TDW_TRACE_EDGES_MAX = 4,            /* of one call */
    TDW_TRACE_ITEMS_MAX = 1024,         /* of one call; further ones are dropped and flagged */
};

enum tdw_trace_kind {
    TDW_TRACE_RUN = 1,
    TDW_TRACE_RECORDING = 2,
};

struct tdw_trace_meta {
    const char *key, *value;
};

/* ── Recorded system calls ─────────────────────────────────────────────────────────────────────
 * All numbers below are kept in files: never re-use one.
 */

/* The rows of the replay table: what kind of call it is. */
enum tdw_row {
    TDW_ROW_FILE_AT = 1, /* file data at an offset of the call's own */
    TDW_ROW_FILE = 2,    /* file data at the offset of the open file description */
    TDW_ROW_STREAM = 3,  /* data through sockets, pipes and the like */
    TDW_ROW_COPY = 4,    /* from descriptor to descriptor */
    TDW_ROW_SYNC = 5,    /* durability */
    TDW_ROW_OPEN = 6,    /* open and close */
    TDW_ROW_NAMES = 7,   /* directory entries made, moved, removed; space set aside */
    TDW_ROW_META = 8,    /* sizes, modes, names looked up and listed */
    TDW_ROW_STAT = 9,
    TDW_ROW_SEEK = 10,
    TDW_ROW_LOCK = 11,
    TDW_ROW_FDS = 12,     /* descriptors made and copied */
    TDW_ROW_SOCKET = 13,  /* connections made and accepted */
    TDW_ROW_SOCKOPT = 14, /* sockets asked and tuned */
    TDW_ROW_EPOLL = 15,
    TDW_ROW_WAIT = 16, /* until one of several descriptors is ready, or a time passed */
    TDW_ROW_FUTEX = 17,
    TDW_ROW_SIGNAL = 18,
    TDW_ROW_TASK = 19, /* threads and processes begin and end */
    TDW_ROW_MEMORY = 20,
    TDW_ROW_IGNORED = 21, /* nothing that a replay needs */
    TDW_ROW_UNSUPPORTED = 22,
    TDW_ROWS = 23,
};

/* How a call is replayed. */
enum tdw_how {
    TDW_HOW_OP = 1,     /* submitted as an op */
    TDW_HOW_SYS = 2,    /* a call that never waits */
    TDW_HOW_WAIT = 3,   /* a waiting op with the recorded deadline */
    TDW_HOW_EDGE = 4,   /* only its order relative to others matters */
    TDW_HOW_TASK = 5,   /* spawn, end, join, exec */
    TDW_HOW_IGNORE = 6, /* counted, not replayed */
    TDW_HOW_SERVED = 7, /* answered with the recorded result: /proc, /sys, devices, terminals */
    TDW_HOW_UNSUPPORTED = 8,
};

/* What of a replayed call must be as recorded. */
enum tdw_compare {
    TDW_COMPARE_NONE = 0,
    TDW_COMPARE_RESULT = 1, /* the whole result */
    TDW_COMPARE_ERRNO = 2,  /* success, or which error */
    TDW_COMPARE_FD = 3,     /* error, or the descriptor through the process's map */
    TDW_COMPARE_STREAM = 4, /* the result; EAGAIN, EINTR and restarts are timing */
    TDW_COMPARE_STAT = 5,   /* error, type, and size of a regular file */
    TDW_COMPARE_NAMES = 6,  /* the set of names */
    TDW_COMPARE_LOCK = 7,   /* the result and the conflicting range */
    TDW_COMPARE_PID = 8,    /* error, or the process through the map */
    TDW_COMPARE_TIMING = 9, /* depends on time alone: counted, never a difference */
};

/* What the first descriptor of a call is. */
enum tdw_object {
    TDW_OBJECT_NONE = 0,
    TDW_OBJECT_FILE = 1, /* or directory */
    TDW_OBJECT_PIPE = 2,
    TDW_OBJECT_SOCKET = 3,
    TDW_OBJECT_EVENTFD = 4,
    TDW_OBJECT_SIGNALFD = 5,
    TDW_OBJECT_TIMERFD = 6,
    TDW_OBJECT_EPOLL = 7,
    TDW_OBJECT_SERVED = 8, /* /proc, /sys, a device, a terminal */
    TDW_OBJECT_OTHER = 9,
};

enum tdw_call_bits {
    TDW_CALL_NO_RESULT = 1, /* its thread ended while in it */
    TDW_CALL_RESTART = 2,   /* a signal came first: `result` is -EINTR, the kernel may restart it */
    TDW_CALL_STARTUP = 4,   /* of the dynamic loader, between an exec and the program itself */
    TDW_CALL_CUT = 8,       /* a text or list was too long and is not whole */
    TDW_CALL_LOCK = 16,     /* `lock` is filled in */
    TDW_CALL_STAT = 32,     /* `stat` is filled in */
    TDW_CALL_NAMES = 64,    /* `names` is filled in */
    TDW_CALL_SYMBOL = 128,  /* an argument held a word without a known value: taken as 0 */
};

enum tdw_edge_kind {
    TDW_EDGE_SPAWN = 1,  /* the clone that made this thread */
    TDW_EDGE_EXIT = 2,   /* the last call of the process or thread waited for */
    TDW_EDGE_WAKE = 3,   /* futex wake to wait */
    TDW_EDGE_DATA = 4,   /* write to read, through a pipe, socket or eventfd */
    TDW_EDGE_SIGNAL = 5, /* kill to delivery, signalfd read or interruption */
    TDW_EDGE_ORDER = 6,  /* an earlier call of another thread on the same file or directory */
};

/*
 * This call comes after that one. SPAWN and ORDER hold back its submission (ORDER until the other
 * has completed, SPAWN until it was submitted); the other kinds hold back its effect until the
 * other was submitted. `call` may be larger than the index of the call that has the edge: a wait
 * starts before its wake.
 */
struct tdw_edge {
    uint64_t call;    /* index in the file */
    uint32_t thread;  /* the same call, */
    uint32_t ordinal; /* as a thread's own */
    uint8_t kind;     /* enum tdw_edge_kind */
};

struct tdw_call_lock { /* as given; for F_GETLK as answered */
    int64_t start, length;
    int32_t pid;
    int16_t type, whence;
};

struct tdw_call_stat {
    uint64_t size;
    uint32_t mode; /* type and permissions */
};

struct tdw_call_names {
    uint64_t hash;  /* sum of the names' XXH3 (64 bits, seed 0): adds up over calls, in any order */
    uint32_t count; /* with . and .. */
};

/*
 * A member of a list argument:
 *   iovecs            a: length
 *   message           a: length; b = 1: a descriptor that travels with it (a)
 *   several messages  a: length of an iovec; b: which message
 *   pipe, socketpair  a: descriptor
 *   poll              a: descriptor, b: events wanted | events returned << 32
 *   select            a: descriptor, b: sets asked | sets answered << 32 (1 read, 2 write, 4
 * except) epoll_wait, _ctl  a: data, b: events
 */
struct tdw_call_item {
    int64_t a;
    uint64_t b;
};

/*
 * One system call of a recording. Arguments keep their places: arg[1] is the second one. What is no
 * number becomes one: an iovec array or message its total length, a pointed-to offset its value at
 * entry (-1 where the pointer was NULL), a timespec or timeval its nanoseconds (-1 where NULL), all
 * else 0. Texts belong to the reader and are valid until the next record.
 */
struct tdw_call {
    uint64_t index;    /* place in the file, from 0: calls are sorted by start */
    uint64_t start_ns; /* since the recording began */
    uint64_t end_ns;   /* equal to start_ns where the recorder did not say */
    uint64_t line;     /* of the recorder's output, from 1; 0: unknown */
    uint32_t thread;   /* index in the thread table */
    uint32_t process;  /* the same for all threads of a process */
    uint32_t ordinal;  /* place among its thread's calls, from 0 */
    uint16_t bits;     /* enum tdw_call_bits */
    uint8_t row;       /* enum tdw_row */
    uint8_t how;       /* enum tdw_how */
    uint8_t compare;   /* enum tdw_compare */
    uint8_t object;    /* enum tdw_object */
    uint8_t args;      /* how many of `arg` the recorder showed */
    uint8_t edges;     /* how many of `edge` count */
    int64_t arg[6];
    int64_t result;      /* >= 0, or -errno; 0 with TDW_CALL_NO_RESULT */
    const char *name;    /* of the system call; "signal" for a signal's delivery (arg[0]: which) */
    const char *path[2]; /* path arguments, absolute; or NULL */
    const char *fd_path[2];  /* what the descriptor arguments stood for, as recorded; or NULL */
    const char *result_path; /* what the resulting descriptor stands for; or NULL */
    const char *address;     /* "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@name"; or NULL */
    struct tdw_call_lock lock;
    struct tdw_call_stat stat;
    struct tdw_call_names names;
    uint32_t items;
    const struct tdw_call_item *item;
    struct tdw_edge edge[TDW_TRACE_EDGES_MAX];
};

/* One thread of a recording. The table comes before the calls, by index. */
struct tdw_trace_thread {
    uint32_t index;
    uint32_t process;     /* threads with the same number share memory and descriptors */
    uint32_t tid, pid;    /* as recorded; pid 0: unknown */
    uint32_t parent;      /* index of the thread that made it; UINT32_MAX: there before */
    uint32_t calls;       /* how many calls it has in this file */
    uint64_t clone_flags; /* CLONE_*; 0 for fork */
    uint64_t clone_call;  /* index of the call that made it; UINT64_MAX: there before */
    uint64_t start_ns, end_ns;
    int32_t status; /* exit code, or -signal; 0 if it was still there at the end */
    bool ended;
    const char *program; /* of its last exec, or NULL */
};

/* What a replay must set up before the first call. */
enum tdw_image_kind {
    TDW_IMAGE_ABSENT = 1, /* nothing has this name */
    TDW_IMAGE_FILE = 2,
    TDW_IMAGE_DIRECTORY = 3,
    TDW_IMAGE_LINK = 4,  /* leads to `target` */
    TDW_IMAGE_OTHER = 5, /* socket, fifo */
    TDW_IMAGE_FD = 6,    /* process `process` has descriptor `fd` at its start, for `path` */
};

struct tdw_image {
    const char *path;   /* absolute (FD: as recorded) */
    const char *target; /* of a link, or NULL */
    uint64_t size;      /* of a file; content is the replay's, keyed by path and offset. Of a
                           descriptor: its offset, if exact */
    uint32_t mode;      /* permissions if seen, else 0 */
    int32_t fd;
    uint32_t process;
    uint8_t kind; /* enum tdw_image_kind */
    bool exact;   /* the size was told by the kernel; else it is what was seen at least */
};

/*
 * A gap: calls that the recorder lost, because its ring was full. They stand between the calls of
 * `thread` before `ordinal` and that one, which began at before_ns. What cannot be told of a thread
 * has none: `calls`, and `others` for losses that are no calls (a thread's birth or end, a signal).
 */
struct tdw_trace_gap {
    uint32_t thread; /* index; UINT32_MAX: not known */
    uint32_t ordinal;
    uint64_t calls, others;
    uint64_t before_ns;
};

/* ── Writing ───────────────────────────────────────────────────────────────────────────────────
 * All functions answer 0 or -errno. The first error sticks: nothing is written after it, and every
 * later call, also tdw_trace_close, answers it. -EINVAL: a value out of range; nothing is written.
 */
struct tdw_trace_writer;

/* Create the file `path` (an existing one is emptied) and write header and metadata. The writer is
 * the caller's until tdw_trace_close. -ENOMEM, or what open(2) and write(2) say; then *writer is
 * NULL. */
int tdw_trace_create(struct tdw_trace_writer **writer, const char *path, enum tdw_trace_kind kind,
                     const struct tdw_trace_meta *meta, size_t metas);

/* The same on an open descriptor, which stays the caller's. It need not be seekable. */
int tdw_trace_create_fd(struct tdw_trace_writer **writer, int fd, enum tdw_trace_kind kind,
                        const struct tdw_trace_meta *meta, size_t metas);

/* The writer as an observer: add it to a loop and every event is written. */
struct tdw_tap *tdw_trace_tap(struct tdw_trace_writer *writer);

int tdw_trace_event(struct tdw_trace_writer *writer, const struct tdw_event *event);

/* A further key with its value. A key may come again: the last one counts. */
int tdw_trace_meta(struct tdw_trace_writer *writer, const char *key, const char *value);

/* The path behind an actor's number, for those that no spawn event names. */
int tdw_trace_actor(struct tdw_trace_writer *writer, uint64_t actor, const char *path);

/* A recording's parts, in this order: threads by index, images, gaps, calls by start. `index` of a
 * call is not looked at: it is its place. */
int tdw_trace_thread(struct tdw_trace_writer *writer, const struct tdw_trace_thread *thread);
int tdw_trace_image(struct tdw_trace_writer *writer, const struct tdw_image *image);
int tdw_trace_gap(struct tdw_trace_writer *writer, const struct tdw_trace_gap *gap);
int tdw_trace_call(struct tdw_trace_writer *writer, const struct tdw_call *call);

/* Close the chunk and hand all bytes to the kernel: what was written so far survives a kill of this
 * process (not a power cut). Costs compression; a chunk is closed by itself when full. */
int tdw_trace_flush(struct tdw_trace_writer *writer);

/* The error that stuck, or 0. */
int tdw_trace_status(const struct tdw_trace_writer *writer);

/* Write the end (totals; `digest` of the run, or NULL), close, free. The writer is gone also when
 * an error is answered. NULL is allowed. */
int tdw_trace_close(struct tdw_trace_writer *writer, const struct tdw_digest *digest);

/* Free without an end: the file reads as one whose writer was killed. NULL is allowed. */
void tdw_trace_abandon(struct tdw_trace_writer *writer);

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */
struct tdw_trace_reader;

struct tdw_trace_error {
    int code;        /* -errno, as returned */
    uint64_t offset; /* byte of the file at which the damage was found */
    char text[160];  /* a sentence for the user, without the file's name */
};

enum tdw_trace_type {
    TDW_TRACE_META = 1,
    TDW_TRACE_EVENT = 2,
    TDW_TRACE_ACTOR = 3,
    TDW_TRACE_THREAD = 4,
    TDW_TRACE_IMAGE = 5,
    TDW_TRACE_CALL = 6,
    TDW_TRACE_END = 7,
    TDW_TRACE_GAP = 8,
};

struct tdw_trace_end {
    uint64_t events, calls, threads, images, metas, actors;
    uint64_t last_ns;         /* the largest time in the file */
    struct tdw_digest digest; /* of the run */
    bool has_digest;
};

struct tdw_trace_record {
    enum tdw_trace_type type;
    uint64_t offset; /* of the chunk in the file */
    union {
        struct tdw_trace_meta meta;
        struct tdw_event event; /* `op` is NULL */
        struct {
            uint64_t actor;
            const char *path;
        } actor;
        struct tdw_trace_thread thread;
        struct tdw_image image;
        struct tdw_trace_gap gap;
        struct tdw_call call;
        struct tdw_trace_end end;
    };
};

/* Open `path` for reading. 0, or -errno with *reader NULL and, where `error` is not NULL, the
 * reason: what open(2) says, -ENOMEM, -EINVAL (not a tidewheel trace), -ENOTSUP (a later version),
 * -EBADMSG (the header is damaged), -ENODATA (the header is cut). */
int tdw_trace_open(struct tdw_trace_reader **reader, const char *path,
                   struct tdw_trace_error *error);

/* The same on an open descriptor, which stays the caller's and is read from where it stands. */
int tdw_trace_open_fd(struct tdw_trace_reader **reader, int fd, struct tdw_trace_error *error);

enum tdw_trace_kind tdw_trace_kind(const struct tdw_trace_reader *reader);

/*
 * The next record, in *record; its texts are valid until the next call.
 *   1         a record
 *   0         the end: the file is whole
 *   -ENODATA  the file ends before its end record: the writer was stopped, or is still writing
 *   -EBADMSG  damage
 *   -ENOTSUP  compressed, and this build has no zstd; or of a kind that a later version added
 *   others    as read(2) says
 * An error stays. Every whole chunk before it has been delivered.
 */
int tdw_trace_next(struct tdw_trace_reader *reader, struct tdw_trace_record *record);

/* Why tdw_trace_next answered an error; code 0 if it did not. Valid until tdw_trace_reader_close.
 */
const struct tdw_trace_error *tdw_trace_error(const struct tdw_trace_reader *reader);

/* Bytes of the file that were read, and what they were before compression. */
void tdw_trace_bytes(const struct tdw_trace_reader *reader, uint64_t *file, uint64_t *raw);

/* NULL is allowed. */
void tdw_trace_reader_close(struct tdw_trace_reader *reader);

/* Words for the numbers above; "?" for an unknown one. */
const char *tdw_row_name(uint8_t row);
const char *tdw_how_name(uint8_t how);
const char *tdw_compare_name(uint8_t compare);
const char *tdw_object_name(uint8_t object);
const char *tdw_edge_name(uint8_t kind);
const char *tdw_image_name(uint8_t kind);

#endif
