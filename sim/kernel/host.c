/* SPDX-License-Identifier: MIT */
/*
 * Hosts: what a power cut takes away.
 *
 * A host keeps its name, its disk, its addresses and the number of its boots. Crashing it ends all
 * of its processes (process.c) without a word to anybody, forgets its connections, and lets the
 * disk fall back to what was durable.
 */
#include <sim/kernel/net/net.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

struct tdw_host *tdw__host_in(struct tdw_world *world, const char *name, void (*main)(void *),
                              void *arg)
{
    struct tdw_host *host = tdw__host_named(world, name);

    if (host && strcmp(host->name, name) != 0)
        return NULL; /* another one has it as an alias */
    if (!host) {
        host = tdw__memory_get(world->loop.memory, sizeof *host);
        if (!host)
            return NULL;
        host->calls = &tdw__sim_calls;
        host->world = world;
        host->name = tdw__intern(&world->loop, name);
        host->disk = tdw__disk_new(world->loop.memory);
        if (!host->name || !host->disk || tdw__net_host_init(host) < 0) {
            if (host->disk)
                tdw__disk_free(host->disk);
            tdw__net_host_fini(host);
            return NULL; /* its block stays: an address may have been entered for it */
        }
        host->slowdown = world->options.slowdown;
        tdw__clock_init(host);
        host->disk->seed = tdw__mix(world->options.seed, tdw__hash_text(name));
        *world->hosts_tail = host;
        world->hosts_tail = &host->next;
        if (world->loop.gate && world->loop.gate->host_made)
            world->loop.gate->host_made(world->loop.gate, host, name);
    }
    if (main) {
        host->main = main;
        host->arg = arg;
    }
    return host;
}

struct tdw_host *tdw__sim_host(const char *name, void (*main)(void *), void *arg)
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

/* A point of a host that is about to boot. */
static bool hits(const struct tdw_host *host, enum tdw_kernel_point point, uint32_t bound,
                 struct tdw_blow *blow)
{
    const struct tdw_loop *loop = &host->world->loop;
    const struct tdw_hit hit = {.point = point,
                                .host = host->name,
                                .actor = tdw__hash_text(host->name),
                                .ordinal = host->boots,
                                .bound = bound};

    return tdw__point_asked(loop, point) && tdw__point_hit(loop, &hit, blow);
}

/* Is it a host whose disk somebody may have taken out? */
static bool is_down(const struct tdw_host *host, const struct tdw_host *but)
{
    return host != but && !host->up && host->main;
}

/* By a plan a host may find another disk than it had: that of a host that is down, which has its
 * own from now on. */
static void swap_if_hit(struct tdw_host *host)
{
    struct tdw_host *other;
    struct tdw_disk *disk;
    struct tdw_blow blow;
    uint32_t count = 0;

    for (other = host->world->hosts; other; other = other->next)
        count += is_down(other, host);
    if (count == 0 || !hits(host, TDW_AT_DISK_SWAPPED, count, &blow))
        return;
    for (other = host->world->hosts; !is_down(other, host) || blow.way-- > 0; other = other->next)
        ;
    disk = other->disk;
    other->disk = host->disk;
    host->disk = disk;
    host->shown_last = other->shown_last = UINT64_MAX;
}

/* … or an empty one of the same kind. */
static int wipe_if_hit(struct tdw_host *host)
{
    struct tdw_disk *disk;
    struct tdw_blow blow;

    if (!hits(host, TDW_AT_DISK_WIPED, 1, &blow))
        return 0;
    disk = tdw__disk_new(host->world->loop.memory);
    if (!disk)
        return -ENOMEM;
    tdw__disk_persistence(disk, host->disk->profile);
    disk->seed = host->disk->seed;
    disk->full_error = host->disk->full_error;
    disk->whole_blocks = host->disk->whole_blocks;
    disk->bytes_max = host->disk->bytes_max;
    disk->file_bytes_max = host->disk->file_bytes_max;
    tdw__disk_free(host->disk);
    host->disk = disk;
    host->shown_last = UINT64_MAX;
    return 0;
}

/* A process that runs the host's main function. */
static int start_main(struct tdw_host *host)
{
    struct tdw_process *process;
    char path[128];

    snprintf(path, sizeof path, "%s/main#%u", host->name, host->boots);
    process = tdw__process_new(host, path, tdw__files_new(host->disk));
    if (!process)
        return -ENOMEM;
    if (host->descriptors)
        tdw__files_limit(process->files, host->descriptors, host->descriptors);
    process->ring.ends = true;
    show(host, TDW_E_BOOT);
    host->boots++;
    return tdw__process_start(process, host->main, host->arg);
}

int tdw__sim_host_boot(struct tdw_host *host)
{
    if (host->up)
        return -EALREADY;
    if (!host->main)
        return -EINVAL;
    swap_if_hit(host);
    if (wipe_if_hit(host) < 0)
        return -ENOMEM;
    tdw__clock_boot(host);
    host->up = true;
    return start_main(host);
}

static void end_processes(struct tdw_host *host)
{
    for (struct tdw_process *p = host->world->processes; p; p = p->next)
        if (p->host == host && !p->ring.dead)
            tdw__process_end(p, SIGKILL);
}

static void orphan_channels(struct tdw_host *host)
{
    for (struct tdw_process *p = host->world->processes; p; p = p->next)
        if (p->host == host)
            tdw__channels_orphan(&host->world->loop, &p->ring);
}

int tdw__sim_host_restart(struct tdw_host *host)
{
    if (!host->up)
        return -ESRCH;
    if (tdw__self && tdw__process()->host == host)
        return -EDEADLK;
    show(host, TDW_E_CRASH);
    end_processes(host);
    orphan_channels(host);
    return start_main(host);
}

uint32_t tdw__choose_cut(const struct tdw_host *host, uint64_t point, uint32_t ordinal,
                         uint32_t bound)
{
    return tdw__choose(
        &host->world->loop,
        &(struct tdw_choice){.kind = TDW_CHOOSE_CRASH,
                             .ordinal = ordinal,
                             .bound = bound,
                             .actor = tdw__mix(tdw__hash_text(host->name), host->boots),
                             .point = point});
}

/* What a power cut leaves is asked for in the host's name. */
struct asked {
    struct tdw_survival survival; /* first */
    const struct tdw_host *host;
};

static uint32_t choose(struct tdw_survival *survival, const char *point, uint32_t ordinal,
                       uint32_t bound)
{
    return tdw__choose_cut(((const struct asked *)survival)->host, tdw__hash_text(point), ordinal,
                           bound);
}

int tdw__sim_host_crash(struct tdw_host *host)
{
    struct asked asked = {.survival = {.choose = choose}, .host = host};

    if (!host->up)
        return -ESRCH;
    if (tdw__self && tdw__process()->host == host)
        return -EDEADLK;
    tdw__sim_host_resume(host); /* what was put aside is taken back like all else */
    show(host, TDW_E_CRASH);
    host->up = false; /* nothing leaves it any more */
    end_processes(host);
    tdw__net_host_down(host);
    tdw__disk_crash(host->disk, &asked.survival);
    orphan_channels(host);
    return 0;
}

static void show_pause(const struct tdw_host *host)
{
    tdw__event(&host->world->loop, (struct tdw_event){
                                       .kind = TDW_E_FAULT,
                                       .off = tdw__hash_text(host->name),
                                       .len = host->paused,
                                       .data = tdw__hash_text("tdw/host/pause"),
                                       .name = host->name,
                                   });
}

int tdw__sim_host_pause(struct tdw_host *host)
{
    if (!host->up)
        return -ESRCH;
    if (host->paused)
        return -EALREADY;
    if (tdw__self && tdw__process()->host == host)
        return -EDEADLK;
    host->paused = true;
    host->world->paused++;
    show_pause(host);
    tdw__tcp_ways_changed(host->world->net);
    return 0;
}

int tdw__sim_host_resume(struct tdw_host *host)
{
    if (!host->paused)
        return -EALREADY;
    host->paused = false;
    tdw__schedule_thaw(host);
    host->world->paused--;
    show_pause(host);
    return 0;
}

bool tdw__sim_host_running(const struct tdw_host *host)
{
    return host->up;
}

struct tdw_disk *tdw__sim_host_disk(struct tdw_host *host)
{
    return host->disk;
}

void tdw__sim_host_disk_limits(struct tdw_host *host, uint64_t bytes, uint64_t file_bytes)
{
    host->disk->bytes_max = bytes;
    host->disk->file_bytes_max = file_bytes ? file_bytes : TDW_FILE_BYTES_MAX;
}

int tdw__sim_host_slow(struct tdw_host *host, uint32_t times)
{
    int was;

    if (times == 0 || times > 1000000)
        return -EINVAL;
    was = (int)(host->slowdown / host->world->options.slowdown);
    host->slowdown = (uint64_t)host->world->options.slowdown * times;
    return was;
}

int tdw__sim_host_descriptors(struct tdw_host *host, uint32_t count)
{
    if (count < 3)
        return -EINVAL;
    host->descriptors = count;
    return 0;
}

int tdw__sim_host_disk_kind(struct tdw_host *host, int full, uint32_t sector)
{
    if ((full && full != ENOSPC && full != EDQUOT) ||
        (sector && sector != TDW_SECTOR_BYTES && sector != TDW_PAGE_BYTES))
        return -EINVAL;
    if (full)
        host->disk->full_error = full;
    if (sector)
        host->disk->whole_blocks = sector == TDW_PAGE_BYTES;
    return 0;
}

int tdw__sim_host_disk_stall(struct tdw_host *host, uint64_t ns)
{
    host->stalled_until_ns = host->world->loop.now_ns + ns;
    return 0;
}

int tdw__sim_host_disk_read_only(struct tdw_host *host, bool on)
{
    host->disk->read_only = on;
    return 0;
}

int tdw__sim_host_persistence(struct tdw_host *host, enum tdw_persistence profile)
{
    if ((unsigned)profile >= TDW_PERSISTENCES)
        return -EINVAL;
    tdw__disk_persistence(host->disk, profile);
    return 0;
}

void tdw__hosts_free(struct tdw_world *world)
{
    for (struct tdw_host *host = world->hosts; host; host = host->next) {
        tdw__sim_host_resume(host);
        host->up = false;
    }
    while (world->processes) {
        struct tdw_process *process = world->processes;

        world->processes = process->next;
        if (!process->ring.dead)
            tdw__process_end(process, SIGKILL);
        tdw__memory_put(world->loop.memory, process, sizeof *process);
    }
    for (struct tdw_host *host = world->hosts; host; host = host->next)
        tdw__net_host_down(host);
    tdw__flows_free(world);
    while (world->hosts) {
        struct tdw_host *host = world->hosts;

        world->hosts = host->next;
        tdw__disk_free(host->disk);
        tdw__net_host_fini(host);
        free(host->drive);
        free(host->frozen.items);
        tdw__memory_put(world->loop.memory, host, sizeof *host);
    }
    world->hosts_tail = &world->hosts;
    world->loop.rings = NULL;
}
