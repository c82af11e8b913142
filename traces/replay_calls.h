/* SPDX-License-Identifier: MIT */
/*
 * What the files of recorded calls share: replay_files.c, replay_fds.c, replay_tasks.c, …
 *
 * Each of them has one array of rows, a row a system call. A row's `prepare` takes the recorded
 * arguments, with descriptors through the map of the process, and fills the thread's op; or makes
 * the call at once. Paths are absolute in the recording. Data that is written is a fixed pattern:
 * the recording holds no bytes.
 */
#ifndef TDW_REPLAY_CALLS_H
#define TDW_REPLAY_CALLS_H

#include <traces/replay.h>

#define PREPARE(name) static bool name(struct replay_thread *t, const struct replay_step *s)
#define FD(i) tdw__replay_fd(t, s->arg[i])

/* Each ends with a row without a name. */
extern const struct replay_call tdw__replay_files[], tdw__replay_copies[], tdw__replay_fds[],
    tdw__replay_sockets[], tdw__replay_waits[], tdw__replay_tasks[];

/* The result of a call that answers a descriptor: it is mapped. An `after` of rows. (replay_fds.c)
 */
bool tdw__replay_new_fd(struct replay_thread *t, const struct replay_step *s);

/* A call that was made at once. */
static inline bool at_once(struct replay_thread *t, int64_t result)
{
    t->result = result;
    return true;
}

/* The items of a recorded call. */
static inline const struct tdw_call_item *items(const struct replay_thread *t,
                                                const struct replay_step *s)
{
    return t->replay->program->items + s->first_item;
}

/* How many bytes of `wanted` the thread's buffer takes. */
static inline uint32_t bytes(const struct replay_thread *t, int64_t wanted)
{
    const uint32_t most = t->replay->program->bytes_max;

    return wanted < 0 ? 0 : wanted > most ? most : (uint32_t)wanted;
}

static inline const struct iovec *vector(struct replay_thread *t, int64_t wanted)
{
    t->iov = (struct iovec){t->buffer, bytes(t, wanted)};
    return &t->iov;
}

/* Reads and writes on streams, and what comes after them: what replay_files.c leaves to
 * replay_sockets.c. */
bool tdw__replay_stream_read(struct replay_thread *t, const struct replay_step *s);
bool tdw__replay_stream_taken(struct replay_thread *t, const struct replay_step *s);
bool tdw__replay_stream_write(struct replay_thread *t, const struct replay_step *s);
bool tdw__replay_stream_written(struct replay_thread *t, const struct replay_step *s);

/* The call found nothing to move or no room, or was interrupted: it had no effect. */
bool tdw__replay_had_no_effect(const struct replay_step *s);

/* How far a transfer from or into a stream has come. */
enum replay_transfer {
    REPLAY_WHOLE,   /* to its end: t->result is that of all of it */
    REPLAY_MORE,    /* the op is to be filled in with the rest, recorded result less t->moved */
    REPLAY_NOT_NOW, /* the op is filled in, to wait for bytes or room */
};
enum replay_transfer tdw__replay_transferred(struct replay_thread *t, const struct replay_step *s,
                                             uint32_t events /* POLLIN or POLLOUT */);

#endif
