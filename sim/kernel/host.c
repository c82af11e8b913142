/* SPDX-License-Identifier: MIT */
/*
 * Hosts and processes: what a power cut takes away.
 *
 * A host keeps its name, its disk and the number of its boots; a process is its ring, descriptors
 * and memory. Crashing a host runs no further instruction of it: its ops are unlinked from every
 * queue, stacks and frames go back to the pools, the memory of tdw_malloc is freed, the disk falls
 * back to what was durable. The husk of a dead process is kept until the world is reset, since
 * channels and reports may still name it.
 */
#include <sim/kernel/net/net.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory of a process: in a list, so that it can be freed at once. */
struct tdw_allocation {
    struct tdw_allocation *next, *prev;
};

void *tdw_malloc(size_t bytes)
{
    struct tdw_process *process = tdw__process();
    struct tdw_allocation *block = calloc(1, sizeof *block + bytes);

    if (!block)
        return NULL;
    block->next = process->memory;
    if (block->next)
        block->next->prev = block;
    process->memory = block;
    return block + 1;
}

void tdw_free(void *pointer)
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

/* ── Processes ─────────────────────────────────────────────────────────────────────────────── */

/* A process on `host` with these descriptors, which it takes over. */
static struct tdw_process *process_new(struct tdw_host *host, const char *path,
                                       struct tdw_files *files)
{
    struct tdw_world *world = host->world;
    struct tdw_process *process = calloc(1, sizeof *process);

    if (!process || !files ||
        tdw__ring_init(&process->ring, &world->loop, path, world->options.ops_max) < 0) {
        if (files)
            tdw__files_free(files);
        free(process);
        return NULL;
    }
    process->files = files;
    process->host = host;
    process->pid = ++world->pids;
    process->next = world->processes;
    world->processes = process;
    return process;
}

/* Everything of it but its husk. */
static void process_kill(struct tdw_process *process)
{
    tdw__ring_withdraw_all(&process->ring);
    tdw__ring_drop_tasks(&process->ring);
    tdw__registered_free(process);
    tdw__files_free(process->files);
    process->files = NULL;
    free_memory(process);
    tdw__ring_fini(&process->ring);
    process->ring.dead = true;
}

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

struct tdw_host *tdw__host_in(struct tdw_world *world, const char *name, void (*main)(void *),
                              void *arg)
{
    struct tdw_host **at = &world->hosts, *host;

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    host = *at;
    if (!host) {
        host = calloc(1, sizeof *host);
        if (!host)
            return NULL;
        host->world = world;
        host->name = tdw__intern(&world->loop, name);
        host->disk = tdw__disk_new();
        if (!host->name || !host->disk || tdw__net_host_init(host) < 0) {
            if (host->disk)
                tdw__disk_free(host->disk);
            tdw__net_host_fini(host);
            free(host);
            return NULL;
        }
        tdw__clock_init(host);
        host->disk->seed = tdw__mix(world->options.seed, tdw__hash_text(name));
        *at = host;
    }
    host->main = main;
    host->arg = arg;
    return host;
}

struct tdw_host *tdw_host(const char *name, void (*main)(void *), void *arg)
{
    return tdw__host_in(tdw__world(tdw__self->ring->loop), name, main, arg);
}

static void show(const struct tdw_host *host, uint8_t kind)
{
    tdw__event(&host->world->loop, (struct tdw_event){
                                       .kind = kind,
                                       .off = host->boots,
                                       .data = tdw__hash_text(host->name),
                                       .name = host->name,
                                   });
}

static const struct tdw_site boot_site = {"(boot)", "main", "boot", 0};

/* Its root task, which runs main(arg). */
static int start_root(struct tdw_process *process, void (*main)(void *), void *arg)
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

int tdw_host_boot(struct tdw_host *host)
{
    char path[128];

    if (host->process)
        return -EALREADY;
    snprintf(path, sizeof path, "%s/main#%u", host->name, host->boots);
    host->process = process_new(host, path, tdw__files_new(host->disk));
    if (!host->process)
        return -ENOMEM;
    show(host, TDW_E_BOOT);
    tdw__clock_boot(host);
    host->up = true;
    host->boots++;
    return start_root(host->process, host->main, host->arg);
}

struct tdw_process *tdw__process_fork(struct tdw_process *parent, void (*main)(void *), void *arg)
{
    struct tdw_process *process;
    char path[160];

    snprintf(path, sizeof path, "%s/fork#%u", parent->ring.path,
             tdw__count(parent->ring.loop, tdw__hash_text(parent->ring.path)));
    process = process_new(parent->host, path, tdw__files_clone(parent->files));
    if (process && start_root(process, main, arg) < 0)
        return NULL;
    return process;
}

int tdw_host_crash(struct tdw_host *host)
{
    if (!host->process)
        return -ESRCH;
    if (tdw__self && tdw__process()->host == host)
        return -EDEADLK;
    show(host, TDW_E_CRASH);
    host->process = NULL;
    host->up = false; /* nothing leaves it any more */
    for (struct tdw_process *p = host->world->processes; p; p = p->next)
        if (p->host == host && !p->ring.dead)
            process_kill(p);
    tdw__net_host_down(host);
    tdw__disk_crash(host->disk);
    for (struct tdw_process *p = host->world->processes; p; p = p->next)
        if (p->host == host)
            tdw__channels_orphan(&host->world->loop, &p->ring);
    return 0;
}

bool tdw_host_running(const struct tdw_host *host)
{
    return host->process != NULL;
}

struct tdw_disk *tdw_host_disk(struct tdw_host *host)
{
    return host->disk;
}

void tdw__hosts_free(struct tdw_world *world)
{
    for (struct tdw_host *host = world->hosts; host; host = host->next)
        host->up = false;
    while (world->processes) {
        struct tdw_process *process = world->processes;

        world->processes = process->next;
        if (!process->ring.dead)
            process_kill(process);
        free(process);
    }
    for (struct tdw_host *host = world->hosts; host; host = host->next)
        tdw__net_host_down(host);
    tdw__flows_free(world);
    while (world->hosts) {
        struct tdw_host *host = world->hosts;

        world->hosts = host->next;
        tdw__disk_free(host->disk);
        tdw__net_host_fini(host);
        free(host);
    }
    world->loop.rings = NULL;
}

/* ── Who waits ─────────────────────────────────────────────────────────────────────────────── */

static const char *state_name(uint8_t state)
{
    static const char *const names[] = {
        [TDW_IDLE] = "idle",       [TDW_HELD] = "held",         [TDW_BLOCKED] = "blocked",
        [TDW_PENDING] = "pending", [TDW_EFFECTED] = "effected", [TDW_POSTED] = "complete",
    };

    return names[state];
}

void tdw_world_waiters(struct tdw_world *world, void (*line)(void *out, const char *text),
                       void *out)
{
    for (const struct tdw_process *process = world->processes; process; process = process->next) {
        for (uint32_t i = 0; i < process->ring.slots_used; i++) {
            const struct tdw_op *op = process->ring.slots[i].op;
            const struct tdw_opcode *row;
            char path[256], text[512];

            if (!op)
                continue;
            row = tdw_opcode(op->sqe.opcode);
            tdw_task_path(op->task, path, sizeof path);
            snprintf(text, sizeof text, "%s waits for %s%s%s (%s) at %s:%u", path, row->name,
                     row->addr == TDW_W_OBJECT ? " of " : "",
                     row->addr == TDW_W_OBJECT
                         ? ((const struct tdw_sync *)(uintptr_t)op->sqe.addr)->name
                         : "",
                     state_name(op->state), op->site->file, op->site->line);
            line(out, text);
        }
    }
}
