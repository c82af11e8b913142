/* SPDX-License-Identifier: MIT */
/*
 * Devices: how long a host's disk takes.
 *
 * A device serves so many requests at once as it has channels; the others wait, first come, first
 * served. So the delay of a queue comes of the load and is not configured. A request takes a
 * service time, drawn from the distribution of its class, and its bytes at the device's bandwidth.
 * A flush waits for the writes before it and takes the bytes with it that were written into the
 * page cache.
 *
 *     arrives ─ waits for a channel ─ service time + bytes / bandwidth ─▶ done      (now and then:
 * a stall)
 *
 * What meets the page cache does not reach the device: buffered writes, and reads of pages that are
 * in memory. A host without a device has the fixed latencies of sim/kernel/latency.c.
 */
#ifndef TIDEWHEEL_DEVICE_H
#define TIDEWHEEL_DEVICE_H

#include <stdint.h>

struct tdw_host;

/* How service times are distributed. All arithmetic is in integers. */
enum tdw_service_kind {
    TDW_CONSTANT,   /* a_ns */
    TDW_UNIFORM,    /* between a_ns and b */
    TDW_LOG_NORMAL, /* median a_ns; b: sigma in 1/1024 */
    TDW_PARETO,     /* at least a_ns; b: the exponent in 1/1024 */
    TDW_EMPIRICAL,  /* `count` quantiles in `table`, ascending, evenly spaced, interpolated */
};

struct tdw_service {
    enum tdw_service_kind kind;
    uint64_t a_ns, b;
    const uint64_t *table;
    uint32_t count;
};

struct tdw_device {
    const char *name;
    struct tdw_service read, write, flush;
    uint32_t channels;                            /* requests at work at once, 1 to 256 … */
    uint32_t depth;                               /* … of those that it takes in; 0: no limit */
    uint64_t read_bytes_per_s, write_bytes_per_s; /* 0: as fast as can be */
    uint32_t stall_ppm; /* of 10^6 requests so many find it busy with itself, for … */
    uint64_t stall_ns;
};

/* "nvme", "sata-ssd", "hdd", "ebs-like"; NULL for an unknown name. */
const struct tdw_device *tdw_device_preset(const char *name);

/* The disk of `host` is on such a device from now on; NULL: on none. 0, -EINVAL, -ENOMEM. */
int tdw_host_device(struct tdw_host *host, const struct tdw_device *device);

/* The value of a distribution at the quantile (place + 1/2) / 4096. */
uint64_t tdw_service_ns(const struct tdw_service *service, uint32_t place);

#endif
