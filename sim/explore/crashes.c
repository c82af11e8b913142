/* SPDX-License-Identifier: MIT */
/*
 * Crash everywhere: a host that crashes at every point at which that could make a difference.
 *
 *     between two items, if the disk changed or a promise was made or kept:
 *         several ways to cut the power ─▶ image ─ known? ─ no ─▶ recovery in a world of its own
 *                                                   └ yes ─▶ what was found then ─┐
 *         the promises so far ◀── judged by what is found ───────────────────────┘
 *
 * The ways: nothing that was not durable survives; all of it; and some that choices of kind crash
 * pick. Images that are equal share one recovery, whose checks are the recovery's own; what it
 * found is judged anew each time, since the image just before and just after an acknowledgement is
 * the same and the verdict is not.
 *
 * Nothing of this is in the run's events or digest: a run has the same digest with and without.
 *
 * Cost: an image, its hash, and a look into a table for each way and point; a recovery for each
 * image that was not seen before. Linear in the length of the run.
 */
#include <sim/explore/promises.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <stdlib.h>
#include <string.h>

/* An image's recovery: what it found, in the list of all that was found. */
struct recovered {
    uint64_t hash;
    size_t first, count;
    bool failed;
    char text[256];
    const struct tdw_site *site;
};

struct tdw_crashes {
    struct tdw_loop *loop;   /* of the run */
    struct tdw_world *world; /* of the recoveries */
    struct tdw_host *host;
    void (*recover)(void *arg);
    void *arg;
    struct recovered *recovered;
    size_t recovered_count, recovered_max;
    uint32_t *table; /* hash -> index + 1, twice as many slots as there is room for recoveries */
    struct tdw_promise *found;
    size_t found_count, found_max;
    struct tdw_cuts cuts;
};

/* How the power is cut, this time. */
struct cut {
    struct tdw_survival survival; /* first */
    struct tdw_crashes *crashes;
    uint32_t way; /* 0: nothing survives, 1: all does; else drawn */
};

static uint32_t choose(struct tdw_survival *survival, const char *point, uint32_t ordinal,
                       uint32_t bound)
{
    const struct cut *cut = (const struct cut *)survival;
    const struct tdw_host *host = cut->crashes->host;
    const uint64_t moment = host->disk->shown << 8 | cut->way;

    if (cut->way < 2)
        return cut->way && strcmp(point, "mode") == 0;
    return tdw__choose_cut(host, tdw__mix(tdw__hash_text(point), moment), ordinal, bound);
}

/* ── Recoveries ────────────────────────────────────────────────────────────────────────────── */

static bool keep_found(struct tdw_crashes *crashes, const struct tdw_promises *promises)
{
    const size_t count = promises ? promises->count : 0;

    if (crashes->found_count + count > crashes->found_max) {
        const size_t max = (crashes->found_count + count) * 2;
        struct tdw_promise *found = realloc(crashes->found, max * sizeof *found);

        if (!found)
            return false;
        crashes->found = found;
        crashes->found_max = max;
    }
    if (count)
        memcpy(crashes->found + crashes->found_count, promises->items,
               count * sizeof *crashes->found);
    crashes->found_count += count;
    return true;
}

static void enter(struct tdw_crashes *crashes, size_t index)
{
    const size_t mask = crashes->recovered_max * 2 - 1;
    size_t at = (size_t)crashes->recovered[index].hash & mask;

    while (crashes->table[at])
        at = (at + 1) & mask;
    crashes->table[at] = (uint32_t)index + 1;
}

/* Room for twice as many; false: no memory. */
static bool grow(struct tdw_crashes *crashes)
{
    const size_t max = crashes->recovered_max ? crashes->recovered_max * 2 : 64;
    struct recovered *recovered = realloc(crashes->recovered, max * sizeof *recovered);
    uint32_t *table = calloc(max * 2, sizeof *table);

    if (recovered)
        crashes->recovered = recovered;
    if (!recovered || !table) {
        free(table);
        return false;
    }
    free(crashes->table);
    crashes->table = table;
    crashes->recovered_max = max;
    for (size_t i = 0; i < crashes->recovered_count; i++)
        enter(crashes, i);
    return true;
}

static struct recovered *new_recovered(struct tdw_crashes *crashes, uint64_t hash)
{
    if (crashes->recovered_count == crashes->recovered_max && !grow(crashes))
        return NULL;
    crashes->recovered[crashes->recovered_count] =
        (struct recovered){.hash = hash, .first = crashes->found_count};
    enter(crashes, crashes->recovered_count);
    return &crashes->recovered[crashes->recovered_count++];
}

/* Boot from the image, and see what is found. NULL: no memory. */
static struct recovered *boot(struct tdw_crashes *crashes, struct tdw_disk *image, uint64_t hash)
{
    struct tdw_loop *loop = tdw_world_loop(crashes->world);
    struct tdw_promises *promises = tdw__promises(loop);
    struct recovered *recovered = new_recovered(crashes, hash);

    if (!promises || !recovered) {
        tdw__disk_free(image);
        return NULL;
    }
    promises->recovers = true;
    tdw__judge_end(loop, tdw__image_run(crashes->world, crashes->host->name, image,
                                        crashes->recover, crashes->arg));
    recovered->failed = loop->findings > 0;
    recovered->site = loop->failure.site;
    snprintf(recovered->text, sizeof recovered->text, "%.255s",
             recovered->failed ? loop->failure.text : "");
    recovered->count = promises->count;
    return keep_found(crashes, promises) ? recovered : NULL;
}

static struct recovered *known(const struct tdw_crashes *crashes, uint64_t hash)
{
    const size_t mask = crashes->recovered_max * 2 - 1;
    size_t at = (size_t)hash & mask;

    if (!crashes->table)
        return NULL;
    for (; crashes->table[at]; at = (at + 1) & mask)
        if (crashes->recovered[crashes->table[at] - 1].hash == hash)
            return &crashes->recovered[crashes->table[at] - 1];
    return NULL;
}

/* ── Verdicts ──────────────────────────────────────────────────────────────────────────────── */

static void fail(struct tdw_crashes *crashes, const struct tdw_site *site, const char *text)
{
    tdw__finding(crashes->loop, NULL, site, "%s", text);
    crashes->loop->stop = true;
}

/* Every key that something was promised of, with what was found of it. */
static void judge(struct tdw_crashes *crashes, const struct recovered *recovered, const char *when)
{
    const struct tdw_promises *promises = crashes->loop->promises;
    char text[384];

    for (size_t i = 0; i < promises->count; i++) {
        const uint64_t key = promises->items[i].key;
        uint64_t value = 0;

        for (size_t j = 0; j < recovered->count; j++)
            if (crashes->found[recovered->first + j].key == key)
                value = crashes->found[recovered->first + j].value;
        if (tdw__promise_kept(promises, key, value, when, text, sizeof text))
            continue;
        crashes->cuts.lost++;
        if (!tdw__running->crash_counts)
            fail(crashes, NULL, text);
        return;
    }
}

static void cut_power(struct tdw_crashes *crashes, uint32_t way)
{
    struct cut cut = {.survival = {.choose = choose}, .crashes = crashes, .way = way};
    const struct tdw_world_options options = {
        .strategy = TDW_CALM, .watch_buffers = true, .stack_bytes = crashes->loop->stack_bytes};
    struct recovered *recovered;
    struct tdw_disk *image;
    char when[200], text[512];
    uint64_t hash;

    tdw_world_reset(crashes->world, &options);
    image = tdw__image_of(crashes->world, crashes->host, &cut.survival);
    if (!image) {
        fail(crashes, NULL, "no memory for the image of a disk");
        return;
    }
    crashes->cuts.cuts++;
    hash = tdw__disk_hash(image);
    recovered = known(crashes, hash);
    if (recovered)
        tdw__disk_free(image);
    else
        recovered = boot(crashes, image, hash);
    snprintf(when, sizeof when, "after a power cut of %s at %.3f us (%s) ", crashes->host->name,
             (double)crashes->loop->now_ns / 1e3,
             cut.survival.what ? cut.survival.what : "nothing that was not synced survives");
    if (!recovered) {
        fail(crashes, NULL, "no memory for a recovery");
    } else if (recovered->failed) {
        snprintf(text, sizeof text, "%s%s", when, recovered->text);
        crashes->cuts.broken++;
        if (!tdw__running->crash_counts)
            fail(crashes, recovered->site, text);
    } else {
        judge(crashes, recovered, when);
    }
}

/* Something happened that a power cut could show. */
static void shown(struct tdw_host *host, void *arg)
{
    struct tdw_crashes *crashes = arg;
    const uint32_t ways = host->disk->log ? 2 + tdw__running->crash_draws : 1;

    if (!host->up)
        return;
    for (uint32_t way = 0; way < ways && !crashes->loop->stop; way++)
        cut_power(crashes, way);
}

/* ── From outside ──────────────────────────────────────────────────────────────────────────── */

void tdw_survives(struct tdw_host *host, void (*recover)(void *arg), void *arg)
{
    struct tdw_loop *loop = tdw_loop();
    struct tdw_promises *promises;
    struct tdw_crashes *crashes;

    if (!tdw__running || !tdw__running->crash_every || tdw__running->backend != TDW_BACKEND_SIM)
        return;
    promises = tdw__promises(loop);
    if (promises && promises->crashes) {
        tdw__finding(loop, NULL, NULL, "tdw_survives was said of %s and of %s: of one host a run",
                     promises->crashes->host->name, host->name);
        return;
    }
    crashes = promises ? calloc(1, sizeof *crashes) : NULL;
    if (!crashes)
        return;
    *crashes = (struct tdw_crashes){.loop = loop,
                                    .world = tdw_world_new(&(struct tdw_world_options){0}),
                                    .host = host,
                                    .recover = recover,
                                    .arg = arg};
    if (!crashes->world) {
        free(crashes);
        return;
    }
    promises->crashes = crashes;
    tdw__host_watch(host, shown, crashes);
}

void tdw__crashes_look(struct tdw_crashes *crashes)
{
    if (crashes)
        crashes->host->shown_last = UINT64_MAX;
}

void tdw__crashes_free(struct tdw_crashes *crashes)
{
    if (!crashes)
        return;
    tdw_world_free(crashes->world);
    free(crashes->recovered);
    free(crashes->table);
    free(crashes->found);
    free(crashes);
}

struct tdw_cuts tdw__crashes_count(const struct tdw_loop *loop)
{
    const struct tdw_crashes *crashes = loop->promises ? loop->promises->crashes : NULL;
    struct tdw_cuts cuts = {.cuts = 0};

    if (!crashes)
        return cuts;
    cuts = crashes->cuts;
    cuts.recoveries = crashes->recovered_count;
    return cuts;
}
