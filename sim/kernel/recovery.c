/* SPDX-License-Identifier: MIT */
/*
 * Recoveries: a host that would have crashed here boots in a world of its own, while the run goes
 * on.
 *
 *     the run   item ─ item ─ item ─ item ─▶          between two items: did the disk of a watched
 *                          │                          host change? then whoever watches is called
 *                          └─▶ image ─ boot ─ … end   in another world, to its end
 *
 * The two worlds share nothing but the blocks of the disk, which the image only reads; nothing of
 * the recovery is in the events, the choices or the digest of the run. It runs on the loop's own
 * stack, since items are taken there.
 *
 * Called by sim/explore/, which decides which images are worth a recovery.
 */
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>

void tdw__host_watch(struct tdw_host *host, tdw_disk_shown *shown, void *arg)
{
    host->world->watched += (shown != NULL) - (host->shown != NULL);
    host->shown = shown;
    host->shown_arg = arg;
    host->shown_last = UINT64_MAX; /* it is called once at the beginning */
}

void tdw__watch_disks(struct tdw_world *world)
{
    for (struct tdw_host *host = world->hosts; host; host = host->next) {
        if (!host->shown || host->disk->shown == host->shown_last)
            continue;
        host->shown_last = host->disk->shown;
        host->shown(host, host->shown_arg);
    }
}

struct tdw_disk *tdw__image_of(struct tdw_world *world, struct tdw_host *host,
                               struct tdw_survival *survival)
{
    return tdw__disk_image(host->disk, world->loop.memory, survival);
}

int tdw__image_run(struct tdw_world *world, const char *name, struct tdw_disk *image,
                   void (*main)(void *), void *arg)
{
    struct tdw_task *self = tdw__self;
    struct tdw_host *host;
    int ret = -ENOMEM;

    tdw__self = NULL;
    host = tdw__host_in(world, name, main, arg);
    if (host) {
        tdw__disk_free(host->disk);
        host->disk = image;
        ret = tdw__sim_host_boot(host);
    } else {
        tdw__disk_free(image);
    }
    if (ret == 0)
        ret = tdw_loop_run(&world->loop);
    tdw__self = self;
    return ret;
}
