/* SPDX-License-Identifier: MIT */
/*
 * Processes: their memory, starts, ends; and WAITPID.
 *
 *     spawn ─▶ running ─▶ ended: last task · exit · kill · the host's crash ─▶ waited for
 *
 * A process is a ring of the runtime, a table of descriptors, and what it allocated. Ending one
 * runs no further instruction of it: its ops are unlinked from every queue, stacks and frames go
 * back to their pools, memory is freed, descriptors are closed. What is closed on a host that is up
 * tells its peers; a crash tells nobody. The husk is kept until the world is reset, since channels,
 * reports and a parent that has yet to wait may still name it.
 *
 * A step that ends its own process ends it when it has returned to the loop: nothing is torn down
 * under running code.
 */
#include <tidewheel/process.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ── Memory ────────────────────────────────────────────────────────────────────────────────── */

/* In a list, so that it can be freed at once. */
struct tdw_allocation {
    struct tdw_allocation *next, *prev;
};

/* By a plan there is no memory. The runtime's own allocations are never asked about. */
static bool is_refused(struct tdw_process *process, size_t bytes)
{
    struct tdw_loop *loop = process->ring.loop;
    struct tdw_hit hit = {.point = TDW_AT_MEMORY,
                          .host = process->host->name,
                          .actor = tdw__self->actor,
                          .bytes = bytes};
    struct tdw_blow blow;

    if (!tdw__point_asked(loop, TDW_AT_MEMORY))
        return false;
    hit.ordinal = tdw__count(loop, tdw__mix(hit.actor, TDW_AT_MEMORY));
    return tdw__point_hit(loop, &hit, &blow);
}

void *tdw__sim_malloc(size_t bytes)
{
    struct tdw_process *process = tdw__process();
    struct tdw_allocation *block =
        is_refused(process, bytes) ? NULL : calloc(1, sizeof *block + bytes);

    if (!block)
        return NULL;
    block->next = process->memory;
    if (block->next)
        block->next->prev = block;
    process->memory = block;
    return block + 1;
}

void tdw__sim_free(void *pointer)
{
    struct tdw_process *process = tdw__process();
    struct tdw_allocation *block;

    if (!pointer)
        return;
    block = (struct tdw_allocation *)pointer - 1;
    if (block->next)
        block->next->prev = block->prev;
    if (block->prev)
        block->prev->next = block->next;
    else
        process->memory = block->next;
    free(block);
}

static void free_memory(struct tdw_process *process)
{
    while (process->memory) {
        struct tdw_allocation *next = process->memory->next;

        free(process->memory);
        process->memory = next;
    }
}

/* ── Starts ────────────────────────────────────────────────────────────────────────────────── */

struct tdw_process *tdw__process_new(struct tdw_host *host, const char *path,
                                     struct tdw_files *files)
{
    struct tdw_world *world = host->world;
    struct tdw_process *process = tdw__memory_get(world->loop.memory, sizeof *process);

    if (!process || !files ||
        tdw__ring_init(&process->ring, &world->loop, path, world->options.ops_max) < 0) {
        if (files)
            tdw__files_free(files);
        if (process)
            tdw__memory_put(world->loop.memory, process, sizeof *process);
        return NULL;
    }
    process->files = files;
    process->host = host;
    process->pid = ++world->pids;
    process->next = world->processes;
    world->processes = process;
    return process;
}

static const struct tdw_site boot_site = {"(boot)", "main", "boot", 0};

int tdw__process_start(struct tdw_process *process, void (*main)(void *), void *arg)
{
    struct tdw_task *root =
        tdw__task_new(&process->ring, NULL, TDW_CALLBACK, process->ring.path, &boot_site);

    if (!root)
        return -ENOMEM;
    root->bits |= TDW_TASK_ROOT | TDW_TASK_DETACHED;
    root->entry = main;
    root->arg = arg;
    process->ring.root = root;
    return tdw__task_start(root, &boot_site);
}

/* A child of `parent` with `files`, which it takes over. */
static struct tdw_process *child_new(struct tdw_process *parent, const char *name,
                                     struct tdw_files *files)
{
    struct tdw_loop *loop = parent->ring.loop;
    struct tdw_process *process;
    char path[160];

    snprintf(path, sizeof path, "%s/%s#%u", parent->ring.path, name,
             tdw__count(loop, tdw__mix(tdw__hash_text(parent->ring.path), tdw__hash_text(name))));
    process = tdw__process_new(parent->host, path, files);
    if (process)
        process->parent = parent;
    return process;
}

struct tdw_process *tdw__process_fork(struct tdw_process *parent, void (*main)(void *), void *arg)
{
    struct tdw_process *process = child_new(parent, "fork", tdw__files_clone(parent->files));

    if (process && tdw__process_start(process, main, arg) < 0)
        return NULL;
    return process;
}

int tdw__sim_proc_spawn(const char *name, void (*main)(void *), void *arg)
{
    struct tdw_process *parent = tdw__process();
    struct tdw_files *files = tdw__files_clone(parent->files);
    struct tdw_process *process = child_new(parent, name, files ? tdw__files_exec(files) : NULL);

    if (!process)
        return -ENOMEM;
    process->ring.ends = true;
    if (tdw__process_start(process, main, arg) < 0) {
        tdw__process_end(process, SIGKILL);
        return -ENOMEM;
    }
    return process->pid;
}

/* ── Ends ──────────────────────────────────────────────────────────────────────────────────── */

void tdw__process_end(struct tdw_process *process, int status)
{
    tdw__ring_withdraw_all(&process->ring);
    tdw__ring_drop_tasks(&process->ring);
    tdw__registered_free(process);
    tdw__urings_end(process);
    tdw__files_free(process->files);
    process->files = NULL;
    free_memory(process);
    tdw__ring_fini(&process->ring);
    process->ring.dead = true;
    process->status = status;
    if (process->parent && !process->parent->ring.dead)
        tdw__wake(&process->parent->children);
}

void tdw__process_ended(struct tdw_ring *ring)
{
    struct tdw_process *process = tdw_of(ring, struct tdw_process, ring);

    tdw__process_end(process, process->status);
    tdw__channels_orphan(ring->loop, ring);
}

void tdw__sim_proc_exit(int status)
{
    struct tdw_task *task = tdw__self;
    struct tdw_process *process = tdw__process();

    process->status = (status & 0xff) << 8;
    process->ring.ending = true;
    if (task->model == TDW_STACKFUL)
        tdw__pause(task); /* for ever */
}

struct tdw_process *tdw__process_find(const struct tdw_host *host, int pid)
{
    struct tdw_process *process = host->world->processes;

    while (process && (process->host != host || process->pid != pid || process->ring.dead))
        process = process->next;
    return process;
}

static void show_kill(const struct tdw_process *process)
{
    tdw__event(process->ring.loop, (struct tdw_event){.kind = TDW_E_CRASH,
                                                      .off = (uint64_t)process->pid,
                                                      .data = tdw__hash_text(process->ring.path),
                                                      .name = process->ring.path});
}

int tdw__sim_proc_kill(int pid)
{
    struct tdw_process *self = tdw__process();
    struct tdw_process *process = tdw__process_find(self->host, pid);

    if (!process)
        return -ESRCH;
    show_kill(process);
    if (process == self) {
        process->status = SIGKILL;
        process->ring.ending = true;
        return 0;
    }
    tdw__process_end(process, SIGKILL);
    tdw__channels_orphan(self->ring.loop, &process->ring);
    return 0;
}

static bool is_child_of(const struct tdw_process *process, const struct tdw_host *host)
{
    return process->host == host && process->parent && !process->ring.dead;
}

uint32_t tdw__sim_host_children(const struct tdw_host *host)
{
    uint32_t count = 0;

    for (const struct tdw_process *p = host->world->processes; p; p = p->next)
        count += is_child_of(p, host);
    return count;
}

int tdw__sim_host_kill(struct tdw_host *host, uint32_t child)
{
    struct tdw_process *process = host->world->processes;

    while (process && (!is_child_of(process, host) || child-- > 0))
        process = process->next;
    if (!process)
        return -ESRCH;
    if (tdw__self && tdw__process() == process)
        return -EDEADLK;
    show_kill(process);
    tdw__process_end(process, SIGKILL);
    tdw__channels_orphan(&host->world->loop, &process->ring);
    return 0;
}

void tdw__sim_proc_sigpipe(bool kills)
{
    tdw__process()->sigpipe_kills = kills;
}

static bool raises_sigpipe(const struct tdw_op *op)
{
    switch (op->sqe.opcode) {
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
    case TDW_OP_SENDFILE:
        return true;
    default:
        return false;
    }
}

void tdw__process_sigpipe(struct tdw_process *process, const struct tdw_op *op)
{
    if (!process->sigpipe_kills || process->ring.ending || !raises_sigpipe(op))
        return;
    show_kill(process);
    process->status = SIGPIPE;
    process->ring.ending = true; /* nothing of it is resumed: the next delivery ends it */
}

/* ── WAITPID ───────────────────────────────────────────────────────────────────────────────── */

/* The child that `op` waits for and that has ended; *any: there are such children at all. */
static struct tdw_process *ended_child(struct tdw_process *process, const struct tdw_op *op,
                                       bool *any)
{
    struct tdw_process *found = NULL;

    *any = false;
    /* The list is newest first: the oldest that fits is the last one. */
    for (struct tdw_process *child = process->ring.loop ? tdw__world(process->ring.loop)->processes
                                                        : NULL;
         child; child = child->next) {
        if (child->parent != process || child->waited ||
            (op->sqe.fd > 0 && child->pid != op->sqe.fd))
            continue;
        *any = true;
        if (child->ring.dead)
            found = child;
    }
    return found;
}

static int start_wait(struct tdw_process *process, struct tdw_op *op, void **object)
{
    bool any;

    (void)object;
    ended_child(process, op, &any);
    return any ? 0 : -ECHILD;
}

static struct tdw_waitq *blocked_wait(struct tdw_process *process, struct tdw_op *op, void *object)
{
    bool any;

    (void)object;
    return op->state == TDW_BLOCKED || (!ended_child(process, op, &any) && any) ? &process->children
                                                                                : NULL;
}

static int32_t effect_wait(struct tdw_process *process, struct tdw_op *op, void *object)
{
    int *status = tdw__pointer(op->sqe.addr);
    bool any;
    struct tdw_process *child = ended_child(process, op, &any);

    (void)object;
    if (!child)
        return -ECHILD; /* another op has waited for it */
    child->waited = true;
    if (status)
        *status = child->status;
    return child->pid;
}

const struct tdw_sim_opcode tdw__row_waitpid = {start_wait, blocked_wait, effect_wait, NULL,
                                                TDW_WHOLE};
