/* SPDX-License-Identifier: MIT */
/*
 * The drive under a host's disk: from a request to the time when it is done.
 *
 * A station with c servers in the order of arrival: a request begins when the first of the channels
 * is free, and its end is known at its start, so it needs no queue and no event of its own; the
 * state is when each channel will be free. A flush begins when all are.
 *
 * Service times are the choice *latency* of the op, so the calm run has median times; a stall is
 * one more choice of the op, at the point "stall".
 *
 * Called by world.c at the start of ops that reach a device. Cost: a look at each channel.
 */
#include <sim/kernel/drive.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHANNELS_MAX = 256,
    MILLION = 1000000,
    KNOT_PLACES = 8, /* quantiles between two knots */
    KNOTS = TDW_LATENCY_BOUND / KNOT_PLACES + 1,
    REQUESTS = TDW_REQUEST_FLUSH + 1,
};

struct tdw_drive {
    struct tdw_device device;
    uint64_t knots[REQUESTS][KNOTS]; /* service times, taken once: a draw is an interpolation */
    uint64_t dirty_bytes;            /* written into the page cache since the last flush */
    uint32_t channels;
    uint64_t free_ns[];
};

/* ── Presets ───────────────────────────────────────────────────────────────────────────────────
 * Each figure that has a source names it. Flushes have none: data sheets do not tell how long the
 * cache of a drive takes to drain; theirs are what small synced writes commonly show.
 */
static const struct tdw_device presets[] = {
    /* Samsung SSD 970 PRO, data sheet revision 1.0 (2018): random 4 KiB at queue depth 1 15,000
     * reads/s and 55,000 writes/s, at depth 32 in four threads 500,000/s; 3,500 and 2,700 MB/s. */
    {.name = "nvme",
     .read = {TDW_LOG_NORMAL, 65000, 256, NULL, 0},
     .write = {TDW_LOG_NORMAL, 17000, 256, NULL, 0},
     .flush = {TDW_LOG_NORMAL, 400000, 512, NULL, 0},
     .channels = 32,
     .depth = 1024,
     .read_bytes_per_s = 3500000000,
     .write_bytes_per_s = 2700000000},
    /* Samsung SSD 860 PRO, data sheet revision 1.0 (2018): at depth 1 11,000 reads/s and 43,000
     * writes/s, at depth 32 100,000 and 90,000; 560 and 530 MB/s; SATA takes 32 commands. */
    {.name = "sata-ssd",
     .read = {TDW_LOG_NORMAL, 84000, 256, NULL, 0},
     .write = {TDW_LOG_NORMAL, 16000, 256, NULL, 0},
     .flush = {TDW_LOG_NORMAL, 1000000, 512, NULL, 0},
     .channels = 8,
     .depth = 32,
     .read_bytes_per_s = 560000000,
     .write_bytes_per_s = 530000000},
    /* Seagate Barracuda ST2000DM001, product manual (2013): 7,200 rpm, so half a turn is 4.16 ms
     * and a full one 8.33; average seek 8.5 ms reading, 9.5 writing; 156 MB/s on average. */
    {.name = "hdd",
     .read = {TDW_UNIFORM, 8500000, 16830000, NULL, 0},
     .write = {TDW_UNIFORM, 9500000, 17830000, NULL, 0},
     .flush = {TDW_UNIFORM, 8330000, 33330000, NULL, 0},
     .channels = 1,
     .depth = 32,
     .read_bytes_per_s = 156000000,
     .write_bytes_per_s = 156000000},
    /* A network volume like Amazon EBS gp3 (user guide): 3,000 requests/s and 125 MiB/s at least,
     * latencies of single-digit milliseconds. Here: two at a time, and now and then a stall. */
    {.name = "ebs-like",
     .read = {TDW_LOG_NORMAL, 660000, 400, NULL, 0},
     .write = {TDW_LOG_NORMAL, 660000, 400, NULL, 0},
     .flush = {TDW_LOG_NORMAL, 1000000, 512, NULL, 0},
     .channels = 2,
     .depth = 64,
     .read_bytes_per_s = 131072000,
     .write_bytes_per_s = 131072000,
     .stall_ppm = 100,
     .stall_ns = 50000000},
};

const struct tdw_device *tdw_device_preset(const char *name)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

static bool is_valid(const struct tdw_service *service)
{
    switch (service->kind) {
    case TDW_CONSTANT:
    case TDW_LOG_NORMAL:
        return true;
    case TDW_UNIFORM:
        return service->a_ns <= service->b;
    case TDW_PARETO:
        return service->b > 0;
    case TDW_EMPIRICAL:
        for (uint32_t i = 1; i < service->count; i++)
            if (service->table[i] < service->table[i - 1])
                return false;
        return service->count > 0 && service->table;
    }
    return false;
}

static void take_knots(struct tdw_drive *drive)
{
    const struct tdw_service *services[REQUESTS] = {[TDW_REQUEST_READ] = &drive->device.read,
                                                    [TDW_REQUEST_WRITE] = &drive->device.write,
                                                    [TDW_REQUEST_FLUSH] = &drive->device.flush};

    for (uint32_t r = 0; r < REQUESTS; r++)
        for (uint32_t i = 0; i < KNOTS; i++)
            drive->knots[r][i] = tdw_service_ns(services[r], i < KNOTS - 1 ? i * KNOT_PLACES
                                                                           : TDW_LATENCY_BOUND - 1);
}

static uint64_t service_ns(const struct tdw_drive *drive, enum tdw_request request, uint32_t place)
{
    const uint64_t *knot = &drive->knots[request][place / KNOT_PLACES];

    return knot[0] + (knot[1] - knot[0]) * (place % KNOT_PLACES) / KNOT_PLACES;
}

int tdw__sim_host_device(struct tdw_host *host, const struct tdw_device *device)
{
    struct tdw_drive *drive = NULL;

    if (device) {
        const uint32_t depth = device->depth ? device->depth : UINT32_MAX;

        if (device->channels == 0 || device->channels > CHANNELS_MAX ||
            device->stall_ppm > MILLION || !is_valid(&device->read) || !is_valid(&device->write) ||
            !is_valid(&device->flush))
            return -EINVAL;
        drive = calloc(1, sizeof(*drive) + device->channels * sizeof(*drive->free_ns));
        if (!drive)
            return -ENOMEM;
        drive->device = *device;
        drive->channels = device->channels < depth ? device->channels : depth;
        take_knots(drive);
    }
    free(host->drive);
    host->drive = drive;
    return 0;
}

/* ── Requests ──────────────────────────────────────────────────────────────────────────────── */

void tdw__drive_dirty(struct tdw_drive *drive, uint64_t bytes)
{
    drive->dirty_bytes += bytes;
}

static uint64_t transfer_ns(uint64_t bytes, uint64_t bytes_per_s)
{
    return bytes_per_s == 0 ? 0 : (uint64_t)((unsigned __int128)bytes * 1000000000u / bytes_per_s);
}

/* The channel that is free first. */
static uint64_t *first_free(struct tdw_drive *drive)
{
    uint64_t *first = drive->free_ns;

    for (uint32_t i = 1; i < drive->channels; i++)
        if (drive->free_ns[i] < *first)
            first = &drive->free_ns[i];
    return first;
}

static uint64_t last_free(const struct tdw_drive *drive)
{
    uint64_t last = 0;

    for (uint32_t i = 0; i < drive->channels; i++)
        last = drive->free_ns[i] > last ? drive->free_ns[i] : last;
    return last;
}

static uint64_t stall_ns(const struct tdw_drive *drive, const struct tdw_op *op)
{
    static const uint64_t point = TDW_K1;
    uint32_t value;

    if (drive->device.stall_ppm == 0)
        return 0;
    value = tdw__choose(op->task->ring->loop, &(struct tdw_choice){.kind = TDW_CHOOSE_LATENCY,
                                                                   .actor = op->task->actor,
                                                                   .ordinal = op->ordinal,
                                                                   .point = point,
                                                                   .bound = MILLION});
    return value >= MILLION - drive->device.stall_ppm ? drive->device.stall_ns : 0;
}

uint64_t tdw__drive_ns(struct tdw_drive *drive, const struct tdw_op *op, enum tdw_request request,
                       uint64_t bytes, uint32_t place)
{
    const struct tdw_device *device = &drive->device;
    const uint64_t now = op->task->ring->loop->now_ns;
    uint64_t *channel = first_free(drive), begin = *channel;
    uint64_t service = service_ns(drive, request, place) + stall_ns(drive, op);

    switch (request) {
    case TDW_REQUEST_READ:
        service += transfer_ns(bytes, device->read_bytes_per_s);
        break;
    case TDW_REQUEST_WRITE:
        service += transfer_ns(bytes, device->write_bytes_per_s);
        break;
    case TDW_REQUEST_FLUSH:
        begin = last_free(drive);
        service += transfer_ns(drive->dirty_bytes, device->write_bytes_per_s);
        drive->dirty_bytes = 0;
        break;
    }
    begin = begin > now ? begin : now;
    *channel = begin + service;
    return begin + service - now;
}
