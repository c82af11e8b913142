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
extern const struct replay_call tdw__replay_files[], tdw__replay_fds[], tdw__replay_sockets[],
    tdw__replay_waits[], tdw__replay_tasks[];

/* The result of a call that answers a descriptor: it is mapped. (replay_fds.c) */
void tdw__replay_new_fd(struct replay_thread *t, const struct replay_step *s);

/* A call that was made at once. */
static inline bool at_once(struct replay_thread *t, int64_t result)
{
    t->result = result;
    return true;
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

#endif
