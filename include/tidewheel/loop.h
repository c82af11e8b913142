/* SPDX-License-Identifier: MIT */
/*
 * Loops on the real kernel: the same program, the same verbs, on Linux itself.
 *
 *     tdw_loop_open ─▶ tdw_loop_start(main) ─▶ tdw_loop_run ─▶ tdw_loop_close
 *
 * A real loop has one of two backends. `uring` hands each op to io_uring; `epoll` performs the same
 * ops by readiness, calls that do not block, and a few worker threads, for kernels and containers
 * that forbid io_uring. The simulated kernel has the same place in a world (world.h).
 *
 * Threads: a loop belongs to the thread that opened it; each thread may have loops of its own, and
 * they know nothing of each other. tdw_ring_wake is the one call for other threads.
 * Fork: a child must not use a loop of its parent's, only close descriptors or exec; tdw_loop_run
 * answers -ECHILD there.
 * Signals: a loop installs none, but for one that its workers are interrupted by
 * (SIGRTMAX - 1), from the first wait that only a thread can do. A program that wants signals as
 * events blocks them in all threads before the loop is opened, and reads a signalfd.
 * Descriptors: those that ops have used are closed through the verb `close` (or tdw_sys_dup2), which
 * leaves the ops in flight their file. A plain close(2) is not seen: on epoll the ops that wait on
 * it go on waiting, and if the number is then given out by a plain call, too, and not by a verb or
 * a tdw_sys_ call, what was known of the old file is taken for the new one's.
 * What workers have in flight on a descriptor when it is closed goes on with a duplicate, whose end
 * drops the process's POSIX locks on that file, as any close of it does.
 * A PPOLL has its descriptors in the program's memory: none may be closed before it has completed.
 */
#ifndef TIDEWHEEL_LOOP_H
#define TIDEWHEEL_LOOP_H

#include <tidewheel/task.h>

enum tdw_backend {
    TDW_BACKEND_ANY, /* uring where the kernel allows it, else epoll, told once on stderr */
    TDW_BACKEND_URING,
    TDW_BACKEND_EPOLL,
    TDW_BACKEND_SIM, /* not for tdw_loop_open: see tdw_run */
};

struct tdw_loop_options {
    enum tdw_backend backend;
    uint32_t ops_max;   /* in flight; 0: 1,048,576 */
    uint32_t entries;   /* uring: of the submission queue, a power of two; 0: 128 */
    size_t stack_bytes; /* of a stackful task; 0: TDW_STACK_BYTES */
    uint64_t seed;      /* of tdw_choose and tdw_random */
    bool sqpoll;        /* uring: a thread of the kernel's takes submissions, without a call */
    uint64_t missing;   /* uring: opcodes, by bit, to take for missing in the kernel: for tests */
    uint32_t sqpoll_idle_ms; /* … and goes to sleep after so long; 0: the kernel's default */
};

/* A loop of the calling thread. `options` may be NULL. 0; -EPERM, -ENOSYS: the kernel forbids
 * io_uring, or has none, and it was asked for by name; -ENOMEM; or what setting it up answered. */
int tdw_loop_open(struct tdw_loop **loop, const struct tdw_loop_options *options);

/* main(arg) is the root task of host "main", in the program's own working directory; it runs as
 * soon as the loop does. Further hosts (tdw_host) are addresses in 127.0.0.0/8 on the same loop.
 * 0, -ENOMEM; -EALREADY: there is a main already. */
int tdw_loop_start(struct tdw_loop *loop, void (*main)(void *), void *arg);

/* Cancels what is in flight, waits for it, and frees everything. No task runs any more. */
void tdw_loop_close(struct tdw_loop *loop);

/* "uring", "epoll", "sim". */
const char *tdw_loop_backend(const struct tdw_loop *loop);

/* All of that in one: main(arg) as the root task on the backend that TDW_BACKEND names (sim, uring,
 * epoll), or that `options` names in code, which goes first; TDW_TRACE=FILE writes a trace of the
 * run. On `sim` it runs in a world of its own, with the seed of `options`.
 * 0, or the error of tdw_loop_open, tdw_loop_run, or of the trace; -EBADMSG: a check failed, or
 * there was a finding. Each of these is told on stderr. */
int tdw_run(const struct tdw_loop_options *options, void (*main)(void *), void *arg);

/* Of any thread, and of a signal handler: the ops of the verb `wake` that wait on this loop
 * complete, each with the number of calls since the last time one did. Calls before anybody waits
 * are kept. The loop must be open. */
void tdw_ring_wake(struct tdw_loop *loop);

/* "sim", "uring", "epoll" as a number; -EINVAL. */
int tdw_backend_named(const char *name);

#endif
