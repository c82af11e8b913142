/* SPDX-License-Identifier: MIT */
/*
 * Threads and processes of a recording: who made whom, and where a program's start-up ends.
 *
 * A thread shows itself by its first line. Who made it is known when the clone that answered its
 * tid ends; often the child's first line is earlier. Then it is taken for the child of the oldest
 * clone that has begun and has no child yet, and the clone's flags say whether it is a thread of
 * the same process. Two clones in flight at once may be mixed up by this; when the second clone
 * ends and finds its tid taken, the two are left as they are, since either is a possible order.
 *
 * Start-up of the dynamic loader is what happens between an exec and main, as seen from outside:
 * with glibc the loader maps /etc/ld.so.cache and unmaps it as its very last call, so that unmap
 * ends it. A program without that (static, or another loader) is starting up as long as it makes
 * only calls that loaders make: mappings, protections, thread set-up, limits, and opening, reading,
 * closing and examining shared objects.
 *
 * Memory: one entry for each thread and process. Called by import_calls.c.
 */
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLONE_IS_THREAD = 0x10000 };

static uint64_t tid_key(uint32_t tid)
{
    return (uint64_t)tid + 1;
}

static int process_new(struct tdw__import *im, uint32_t pid, const struct tdw__process *parent)
{
    struct tdw__process *process;
    int error =
        tdw__grow(&im->processes, &im->processes_room, im->processes_count, sizeof *im->processes);

    if (error)
        return error;
    process = &im->processes[im->processes_count];
    *process = (struct tdw__process){.pid = pid, .last = TDW__NO_REF};
    im->processes_count++;
    if (parent) {
        process->cwd = parent->cwd ? strdup(parent->cwd) : NULL;
        process->startup = parent->startup;
        process->cache_at = parent->cache_at;
        error = tdw__fds_copy(im, process, parent);
    }
    return error;
}

/* The thread that has the oldest clone in flight without a child; TDW__NONE if there is none. */
static int64_t cloner(const struct tdw__import *im)
{
    int64_t best = TDW__NONE;

    for (size_t i = 0; i < im->threads_count; i++) {
        const struct tdw__pending *pending = &im->threads[i].pending;

        if (!pending->clones || pending->claimed)
            continue;
        if (best < 0 || pending->start_ns < im->threads[best].pending.start_ns)
            best = (int64_t)i;
    }
    return best;
}

/* A new thread of this process (TDW__NONE: of a new one), made by `parent` (TDW__NONE: it was there
 * before) with these flags. */
static int64_t thread_of(struct tdw__import *im, uint32_t tid, int64_t of, int64_t parent,
                         uint64_t flags, struct tdw__ref clone, uint64_t at_ns)
{
    const uint32_t index = (uint32_t)im->threads_count;
    const bool same = of >= 0;
    struct tdw__thread *thread;
    uint32_t process = same ? (uint32_t)of : (uint32_t)im->processes_count;

    im->error = tdw__grow(&im->threads, &im->threads_room, index, sizeof *im->threads);
    if (!im->error && !same) {
        /* The array of processes may move: the parent's entry is copied. */
        struct tdw__process from = {0};

        if (parent >= 0)
            from = im->processes[im->threads[parent].row.process];
        im->error = process_new(im, tid, parent >= 0 ? &from : NULL);
    }
    if (!im->error)
        im->error = tdw__map_put(&im->tids, tid_key(tid), index);
    if (im->error)
        return TDW__NONE;
    thread = &im->threads[index];
    *thread = (struct tdw__thread){
        .row = {.index = index,
                .process = process,
                .tid = tid,
                .pid = im->processes[process].pid,
                .parent = parent < 0 ? UINT32_MAX : (uint32_t)parent,
                .clone_flags = flags,
                .clone_call = parent < 0 ? UINT64_MAX : clone.call,
                .start_ns = at_ns,
                .end_ns = at_ns},
        .last = TDW__NO_REF,
        .spawn = parent < 0 ? TDW__NO_REF : clone,
    };
    im->threads_count++;
    return index;
}

static int64_t thread_new(struct tdw__import *im, uint32_t tid, int64_t parent, uint64_t flags,
                          struct tdw__ref clone, uint64_t at_ns)
{
    const bool same = parent >= 0 && flags & CLONE_IS_THREAD;

    return thread_of(im, tid, same ? (int64_t)im->threads[parent].row.process : TDW__NONE, parent,
                     flags, clone, at_ns);
}

int64_t tdw__task_there(struct tdw__import *im, uint32_t tid, uint32_t pid, uint64_t at_ns)
{
    const int64_t *const known = tdw__map_get(&im->tids, tid_key(tid));
    size_t i = im->processes_count;
    int64_t thread;

    if (known && *known >= 0)
        return *known;
    while (i > 0 && im->processes[i - 1].pid != pid)
        i--;
    thread = thread_of(im, tid, tid == pid || i == 0 ? TDW__NONE : (int64_t)i - 1, TDW__NONE, 0,
                       TDW__NO_REF, at_ns);
    if (thread >= 0) {
        im->processes[im->threads[thread].row.process].pid = pid;
        im->threads[thread].row.pid = pid;
    }
    return thread;
}

int64_t tdw__task_forked(struct tdw__import *im, uint32_t parent, uint32_t tid, uint64_t at_ns)
{
    const int64_t maker = tdw__task_of(im, parent, at_ns);
    const int64_t *const known = tdw__map_get(&im->tids, tid_key(tid));
    struct tdw__pending pending;
    int64_t child;

    if ((known && *known >= 0) || maker < 0)
        return known ? *known : TDW__NONE;
    im->threads[maker].pending.claimed = true;
    pending = im->threads[maker].pending;
    child = thread_new(im, tid, maker, pending.clone_flags,
                       pending.started ? pending.ref : TDW__NO_REF, at_ns);
    if (child >= 0)
        im->threads[child].child_tid = pending.child_tid;
    return child;
}

int64_t tdw__task_of(struct tdw__import *im, uint32_t tid, uint64_t at_ns)
{
    const int64_t *known = tdw__map_get(&im->tids, tid_key(tid));
    struct tdw__pending pending;
    int64_t parent, child;

    if (known && *known >= 0)
        return *known;
    parent = cloner(im);
    if (parent < 0)
        return thread_new(im, tid, TDW__NONE, 0, TDW__NO_REF, at_ns);
    im->threads[parent].pending.claimed = true;
    pending = im->threads[parent].pending;
    child = thread_new(im, tid, parent, pending.clone_flags, pending.ref, at_ns);
    if (child >= 0)
        im->threads[child].child_tid = pending.child_tid;
    return child;
}

void tdw__task_cloned(struct tdw__import *im, uint32_t thread, const struct tdw_call *call,
                      uint64_t child_tid)
{
    const struct tdw__ref ref = {call->index, thread, call->ordinal};
    const uint32_t tid = (uint32_t)call->result;
    const int64_t *known = tdw__map_get(&im->tids, tid_key(tid));
    int64_t child = known ? *known : TDW__NONE;

    if (call->result <= 0)
        return;
    if (child < 0)
        child = thread_new(im, tid, thread, (uint64_t)call->arg[0], ref, call->end_ns);
    if (child >= 0 && child_tid)
        im->threads[child].child_tid = child_tid;
}

void tdw__task_ended(struct tdw__import *im, uint32_t thread, int32_t status, uint64_t at_ns)
{
    struct tdw__thread *t = &im->threads[thread];

    t->row.ended = true;
    t->row.status = status;
    t->row.end_ns = at_ns;
    if (t->row.tid == t->row.pid)
        tdw__fds_end(im, &im->processes[t->row.process]);
    /* The number may come again, for another thread. */
    im->error = tdw__map_put(&im->tids, tid_key(t->row.tid), TDW__NONE);
}

void tdw__task_superseded(struct tdw__import *im, uint32_t leader, uint32_t by_tid, uint64_t at_ns)
{
    const int64_t *known = tdw__map_get(&im->tids, tid_key(by_tid));
    struct tdw__thread *from, *to = &im->threads[leader];

    if (!known || *known < 0 || *known == leader)
        return;
    /* The thread that called exec goes on under the leader's number. */
    from = &im->threads[*known];
    free(to->pending.text);
    to->pending = from->pending;
    from->pending = (struct tdw__pending){0};
    tdw__task_ended(im, (uint32_t)*known, 0, at_ns);
}

void tdw__task_exec(struct tdw__import *im, uint32_t thread, const char *path)
{
    struct tdw__thread *t = &im->threads[thread];
    struct tdw__process *process = &im->processes[t->row.process];

    free(t->program);
    t->program = path ? strdup(path) : NULL;
    t->child_tid = 0;
    process->startup = TDW__LOADS;
    process->cache_at = 0;
    tdw__fds_exec(im, process);
}

/* Is it a call that a loader without a cache makes? */
static bool of_a_loader(const struct tdw_call *call)
{
    static const char *const names[] = {
        "brk",
        "mmap",
        "mprotect",
        "munmap",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "uname",
        "getrandom",
        "access",
    };
    const char *path = call->fd_path[0] ? call->fd_path[0] : call->path[0];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strcmp(call->name, names[i]))
            return strcmp(call->name, "access") != 0 || (path && strstr(path, "ld.so"));
    }
    return path && (strstr(path, ".so") || !strcmp(path, "/proc/self/exe"));
}

bool tdw__task_startup(struct tdw__process *process, const struct tdw_call *call,
                       const struct tdw__syscall *syscall)
{
    static const char cache[] = "ld.so.cache";

    switch ((enum tdw__startup)process->startup) {
    case TDW__RUNS:
        return false;
    case TDW__LOADS:
        if (syscall->track == TDW__T_MMAP && call->fd_path[0] && strstr(call->fd_path[0], cache)) {
            process->startup = TDW__LOADS_WITH_CACHE;
            process->cache_at = call->result;
        } else if (!of_a_loader(call)) {
            process->startup = TDW__RUNS;
            return false;
        }
        return true;
    case TDW__LOADS_WITH_CACHE:
        if (syscall->track == TDW__T_MUNMAP && call->arg[0] == process->cache_at)
            process->startup = TDW__RUNS;
        return true;
    }
    return false;
}

void tdw__tasks_fini(struct tdw__import *im)
{
    for (size_t i = 0; i < im->threads_count; i++) {
        free(im->threads[i].program);
        free(im->threads[i].pending.text);
    }
    for (size_t i = 0; i < im->processes_count; i++) {
        free(im->processes[i].fds);
        free(im->processes[i].cloexec);
        free(im->processes[i].since);
        free(im->processes[i].cwd);
    }
    free(im->threads);
    free(im->processes);
    free(im->opens);
    tdw__map_fini(&im->tids);
}
