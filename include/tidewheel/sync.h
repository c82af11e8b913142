/* SPDX-License-Identifier: MIT */
/*
 * Synchronisation between tasks of one loop, in all three models.
 *
 * The waiting forms (lock, cond_wait, sem_take, put, take, wg_wait, token) are verbs: ops that
 * complete through the loop, also when nothing has to be waited for, so that the three models run
 * the same steps. Everything below never waits. What is freed (by unlock, post, put, take) is
 * handed directly to a waiter that a choice names (0: who waits longest): there is no barging and
 * no retry.
 *
 * An object belongs to the process that initialised it; the tasks of a process that is killed
 * vanish from its queues. `name` (a string that outlives the object) stands for the object in
 * digests and reports: give objects of one process different names where they can be told apart.
 * Zeroed memory is no initialised object.
 */
#ifndef TIDEWHEEL_SYNC_H
#define TIDEWHEEL_SYNC_H

#include <tidewheel/ring.h>

/* What all have in common: a name, and a queue of blocked ops, oldest first. */
struct tdw_sync {
    const char *name;
    uint64_t hash; /* of the name */
    struct tdw_op *waiters;
};

struct tdw_mutex {
    struct tdw_sync object;
    const struct tdw_task *owner;
};
struct tdw_cond {
    struct tdw_sync object;
};
struct tdw_sem {
    struct tdw_sync object;
    uint32_t count;
};
/* A bounded first-in first-out queue of pointers. Capacity 0 is a rendezvous. */
struct tdw_chan {
    struct tdw_sync object; /* blocked takers */
    struct tdw_sync full;   /* blocked putters */
    void **items;           /* the caller's, `capacity` of them */
    uint32_t capacity, head, count;
    bool closed;
    const struct tdw_ring *server; /* see tdw_chan_serve */
};
struct tdw_wg {
    struct tdw_sync object;
    uint32_t left;
};
/* A cancellation token: ops may wait for it, code may ask it. */
struct tdw_token {
    struct tdw_sync object;
    bool cancelled;
};

void tdw_mutex_init(struct tdw_mutex *mutex, const char *name);
bool tdw_mutex_trylock(struct tdw_mutex *mutex);
/* The caller must hold it (asserted). */
void tdw_mutex_unlock(struct tdw_mutex *mutex);

void tdw_cond_init(struct tdw_cond *cond, const char *name);
void tdw_cond_signal(struct tdw_cond *cond);
void tdw_cond_broadcast(struct tdw_cond *cond);

void tdw_sem_init(struct tdw_sem *sem, const char *name, uint32_t count);
bool tdw_sem_trytake(struct tdw_sem *sem);
void tdw_sem_post(struct tdw_sem *sem);

/* `items` holds `capacity` pointers and outlives the channel; may be NULL for capacity 0. */
void tdw_chan_init(struct tdw_chan *chan, const char *name, void **items, uint32_t capacity);
/* Forget the items that are in it; putters that were blocked stay so. */
void tdw_chan_clear(struct tdw_chan *chan);
/* The running process is this channel's server: when it is killed, what others put or take ends
 * -EPIPE, until another process serves the channel. For channels that outlive a process. */
void tdw_chan_serve(struct tdw_chan *chan);
/* 0; -EAGAIN when full (no taker waits); -EPIPE when closed. */
int tdw_chan_tryput(struct tdw_chan *chan, void *item);
/* 0; -EAGAIN when empty; -EPIPE when closed and empty. */
int tdw_chan_trytake(struct tdw_chan *chan, void **item);
/* No more puts: blocked and later ones end -EPIPE; takes get what is left, then -EPIPE. */
void tdw_chan_close(struct tdw_chan *chan);

void tdw_wg_init(struct tdw_wg *wg, const char *name);
void tdw_wg_add(struct tdw_wg *wg, uint32_t count);
/* Once more than was added is a finding. */
void tdw_wg_done(struct tdw_wg *wg);

void tdw_token_init(struct tdw_token *token, const char *name);
/* Every op that waits for the token completes with 0; later ones too, at once. */
void tdw_token_cancel(struct tdw_token *token);

#endif
