/* SPDX-License-Identifier: MIT */
/*
 * What machines are from the beginning, by a plan: hosts, disks, clocks, links.
 *
 *     hosts:  {db*: {slow: 3, descriptors: 64}}
 *     disks:  {db*: {persistence: ext4-ordered, device: hdd, capacity: 10M}}
 *     clocks: {db2: {step: 5s, ppm: -200}}
 *     links:  {"client <-> db*": {preset: wan, latency: 40ms}}
 *
 * Each section has patterns, and of those the first that matches a host (a link: its two hosts)
 * says all. A host is made so when it is made, before the program has a word to say: what the
 * program says itself, comes later and counts. Rules say what happens to them (keys.c).
 */
#include <faults/read.h>
#include <tidewheel/device.h>
#include <tidewheel/world.h>
#include <stdlib.h>
#include <string.h>

/* ── Sections ──────────────────────────────────────────────────────────────────────────────── */

/* One more of `count` elements, all zero; NULL: no memory. */
static void *one_more(struct reader *r, void *list, size_t *count, size_t bytes)
{
    char *more = realloc(*(void **)list, (*count + 1) * bytes);

    if (!more) {
        r->no_memory = true;
        return NULL;
    }
    *(void **)list = more;
    memset(more + *count * bytes, 0, bytes);
    return more + (*count)++ * bytes;
}

/* Each entry of a section: `entry` reads it. */
static void read_section(struct reader *r, struct fy_node *key, struct fy_node *value,
                         const char *what, const size_t *count,
                         void (*entry)(struct reader *r, struct fy_node *key,
                                       struct fy_node *value))
{
    struct fy_node_pair *pair;
    void *iterator = NULL;

    if (!value || !fy_node_is_mapping(value)) {
        tdw__read_wrong(r, tdw__read_place(r, key, value), "'%s' has %s, and what they are",
                        fy_node_get_scalar0(key), what);
        return;
    }
    while ((pair = fy_node_mapping_iterate(value, &iterator)) != NULL) {
        struct fy_node *name = fy_node_pair_key(pair);

        if (!name || !fy_node_get_scalar0(name))
            tdw__read_wrong(r, key, "a key of '%s' is no word", fy_node_get_scalar0(key));
        else if (*count == TDW_SECTIONS_MAX)
            tdw__read_wrong(r, name, "'%s' has at most %d entries", fy_node_get_scalar0(key),
                            TDW_SECTIONS_MAX);
        else
            entry(r, name, fy_node_pair_value(pair));
    }
}

static char *copy_of(struct reader *r, const char *text)
{
    char *copy = strdup(text);

    r->no_memory |= !copy;
    return copy;
}

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

/* The entry that is being read is the last. */
static struct tdw_host_plan *host_of(const struct reader *r)
{
    return &r->plan->hosts[r->plan->hosts_count - 1];
}

static void read_slow(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                      struct fy_node *value)
{
    (void)unused;
    tdw__read_times(r, &host_of(r)->slow, key, value);
}

static void read_descriptors(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                             struct fy_node *value)
{
    uint64_t *to = &host_of(r)->descriptors;

    (void)unused;
    if (tdw__read_value(r, to, key, value, tdw__value_count, tdw__count_kind) &&
        (*to < 3 || *to > 1u << 20))
        tdw__read_wrong(r, value, "a process has room for 3 to 1048576 descriptors");
}

static const struct key host_keys[] = {
    {"slow", read_slow, "3"},
    {"descriptors", read_descriptors, "64"},
};

static void read_host(struct reader *r, struct fy_node *key, struct fy_node *value)
{
    struct tdw_host_plan *host = one_more(r, &r->plan->hosts, &r->plan->hosts_count, sizeof *host);

    if (!host)
        return;
    host->hosts = copy_of(r, fy_node_get_scalar0(key));
    READ_MAPPING(r, NULL, key, value, "a host", host_keys);
}

void tdw__read_hosts(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                     struct fy_node *value)
{
    (void)unused;
    read_section(r, key, value, "hosts", &r->plan->hosts_count, read_host);
}

/* ── Disks ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_disk_plan *disk_of(const struct reader *r)
{
    return &r->plan->disks[r->plan->disks_count - 1];
}

static void read_persistence(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                             struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value), *names[TDW_PERSISTENCES], *near;
    struct tdw_disk_plan *disk = disk_of(r);

    (void)unused;
    for (int i = 0; i < TDW_PERSISTENCES; i++)
        names[i] = tdw_persistence_name((enum tdw_persistence)i);
    if (!text)
        return;
    disk->by_persistence = true;
    if (tdw_persistence_named(text, &disk->persistence) == 0)
        return;
    near = tdw__nearest(text, names, TDW_PERSISTENCES);
    tdw__read_wrong(r, value, "no profile is called '%.40s'%s%s%s", text,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static void read_device(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                        struct fy_node *value)
{
    (void)unused;
    tdw__read_text(r, &disk_of(r)->device, key, value);
    if (disk_of(r)->device && !tdw_device_preset(disk_of(r)->device))
        tdw__read_wrong(r, value, "no device is called '%.40s': nvme, sata-ssd, hdd, ebs-like",
                        disk_of(r)->device);
}

static void read_capacity(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                          struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &disk_of(r)->capacity, key, value, tdw__value_size, tdw__size_kind);
}

static void read_file_max(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                          struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &disk_of(r)->file_max, key, value, tdw__value_size, tdw__size_kind);
}

static void read_full(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                      struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    (void)unused;
    disk_of(r)->full = text ? tdw__value_error(text) : 0;
    if (text && disk_of(r)->full != ENOSPC && disk_of(r)->full != EDQUOT)
        tdw__read_wrong(r, value, "a full disk answers ENOSPC or EDQUOT, not '%.40s'", text);
}

static void read_sector(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                        struct fy_node *value)
{
    uint64_t *to = &disk_of(r)->sector;

    (void)unused;
    if (tdw__read_value(r, to, key, value, tdw__value_size, tdw__size_kind) && *to != 512 &&
        *to != 4096)
        tdw__read_wrong(r, value, "a sector has 512 or 4096 bytes");
}

static const struct key disk_keys[] = {
    {"persistence", read_persistence, "ext4-ordered"},
    {"device", read_device, "nvme"},
    {"capacity", read_capacity, "10M"},
    {"file_max", read_file_max, "1M"},
    {"full", read_full, "EDQUOT"},
    {"sector", read_sector, "4k"},
};

static void read_disk(struct reader *r, struct fy_node *key, struct fy_node *value)
{
    struct tdw_disk_plan *disk = one_more(r, &r->plan->disks, &r->plan->disks_count, sizeof *disk);

    if (!disk)
        return;
    disk->hosts = copy_of(r, fy_node_get_scalar0(key));
    READ_MAPPING(r, NULL, key, value, "a disk", disk_keys);
}

void tdw__read_disks(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                     struct fy_node *value)
{
    (void)unused;
    read_section(r, key, value, "hosts", &r->plan->disks_count, read_disk);
}

/* ── Clocks ────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_clock_plan *clock_of(const struct reader *r)
{
    return &r->plan->clocks[r->plan->clocks_count - 1];
}

static void read_step(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                      struct fy_node *value)
{
    (void)unused;
    tdw__read_step(r, &clock_of(r)->step_ns, key, value);
}

static void read_ppm(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                     struct fy_node *value)
{
    (void)unused;
    tdw__read_ppm(r, &clock_of(r)->ppm, key, value);
}

static const struct key clock_keys[] = {
    {"step", read_step, "-5s"},
    {"ppm", read_ppm, "200"},
};

static void read_clock(struct reader *r, struct fy_node *key, struct fy_node *value)
{
    struct tdw_clock_plan *clock =
        one_more(r, &r->plan->clocks, &r->plan->clocks_count, sizeof *clock);

    if (!clock)
        return;
    clock->hosts = copy_of(r, fy_node_get_scalar0(key));
    READ_MAPPING(r, NULL, key, value, "a clock", clock_keys);
}

void tdw__read_clocks(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                      struct fy_node *value)
{
    (void)unused;
    read_section(r, key, value, "hosts", &r->plan->clocks_count, read_clock);
}

/* ── Links ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_link_plan *link_of(const struct reader *r)
{
    return &r->plan->links[r->plan->links_count - 1];
}

/* Has been read before all other keys. */
static void read_preset(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                        struct fy_node *value)
{
    (void)r, (void)unused, (void)key, (void)value;
}

static void read_latency(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                         struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &link_of(r)->link.latency_ns, key, value, tdw__value_time, tdw__time_kind);
}

static void read_jitter(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                        struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &link_of(r)->link.jitter_ns, key, value, tdw__value_time, tdw__time_kind);
}

static void read_bandwidth(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                           struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &link_of(r)->link.bytes_per_s, key, value, tdw__value_size, tdw__size_kind);
}

static void read_queue(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                       struct fy_node *value)
{
    (void)unused;
    tdw__read_value(r, &link_of(r)->link.queue_bytes, key, value, tdw__value_size, tdw__size_kind);
}

static void read_drop(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                      struct fy_node *value)
{
    bool drops = false;

    (void)unused;
    tdw__read_bool(r, &drops, key, value);
    link_of(r)->link.drop = drops ? TDW_DROP_TAIL : TDW_DROP_NONE;
}

static void read_link_down(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                           struct fy_node *value)
{
    (void)unused;
    tdw__read_bool(r, &link_of(r)->link.down, key, value);
}

static const struct key link_keys[] = {
    {"preset", read_preset, "wan"},   {"latency", read_latency, "5ms"},
    {"jitter", read_jitter, "1ms"},   {"bandwidth", read_bandwidth, "10M"},
    {"queue", read_queue, "64k"},     {"drop", read_drop, "true"},
    {"down", read_link_down, "true"},
};

/* What the other keys change. */
static struct tdw_link base_of(struct reader *r, struct fy_node *value)
{
    struct fy_node *node = value && fy_node_is_mapping(value)
                               ? fy_node_mapping_lookup_by_string(value, "preset", FY_NT)
                               : NULL;
    const char *name = node && fy_node_is_scalar(node) ? fy_node_get_scalar0(node) : NULL;
    const struct tdw_link *preset = name ? tdw_link_preset(name) : NULL;

    if (node && !preset)
        tdw__read_wrong(r, node, "no link is called '%.40s': loopback, lan, wan", name ? name : "");
    return *(preset ? preset : tdw_link_preset("lan"));
}

/* A part of a text, without spaces around it. */
static char *trimmed(struct reader *r, const char *from, const char *end)
{
    char *copy;

    while (from < end && *from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    copy = strndup(from, (size_t)(end - from));
    r->no_memory |= !copy;
    return copy;
}

static void read_link(struct reader *r, struct fy_node *key, struct fy_node *value)
{
    const char *text = fy_node_get_scalar0(key), *arrow = strstr(text, "->");
    struct tdw_link_plan *link;

    if (!arrow) {
        tdw__read_wrong(r, key, "'%.40s' is no link: client -> server, a* <-> b*", text);
        return;
    }
    link = one_more(r, &r->plan->links, &r->plan->links_count, sizeof *link);
    if (!link)
        return;
    link->both = arrow > text && arrow[-1] == '<';
    link->ways = copy_of(r, text);
    link->from = trimmed(r, text, arrow - link->both);
    link->to = trimmed(r, arrow + 2, text + strlen(text));
    link->link = base_of(r, value);
    READ_MAPPING(r, NULL, key, value, "a link", link_keys);
}

void tdw__read_links(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                     struct fy_node *value)
{
    (void)unused;
    read_section(r, key, value, "links", &r->plan->links_count, read_link);
}

/* ── A host is made ────────────────────────────────────────────────────────────────────────── */

static void make_host(const struct tdw_plan *plan, struct tdw_host *host, const char *name)
{
    for (size_t i = 0; i < plan->hosts_count; i++) {
        const struct tdw_host_plan *is = &plan->hosts[i];

        if (!tdw__glob(is->hosts, name))
            continue;
        if (is->slow)
            tdw_host_slow(host, (uint32_t)is->slow);
        if (is->descriptors)
            tdw_host_descriptors(host, (uint32_t)is->descriptors);
        return;
    }
}

static void make_disk(const struct tdw_plan *plan, struct tdw_host *host, const char *name)
{
    for (size_t i = 0; i < plan->disks_count; i++) {
        const struct tdw_disk_plan *disk = &plan->disks[i];

        if (!tdw__glob(disk->hosts, name))
            continue;
        if (disk->by_persistence)
            tdw_host_persistence(host, disk->persistence);
        if (disk->device)
            tdw_host_device(host, tdw_device_preset(disk->device));
        if (disk->capacity || disk->file_max)
            tdw_host_disk_limits(host, disk->capacity, disk->file_max);
        if (disk->full || disk->sector)
            tdw_host_disk_kind(host, disk->full, (uint32_t)disk->sector);
        return;
    }
}

static void make_clock(const struct tdw_plan *plan, struct tdw_host *host, const char *name)
{
    for (size_t i = 0; i < plan->clocks_count; i++) {
        const struct tdw_clock_plan *clock = &plan->clocks[i];

        if (!tdw__glob(clock->hosts, name))
            continue;
        if (clock->step_ns)
            tdw_host_step(host, clock->step_ns);
        if (clock->ppm)
            tdw_host_drift(host, clock->ppm * 1000);
        return;
    }
}

static void make_way(const struct tdw_plan *plan, struct tdw_host *from, const char *from_name,
                     struct tdw_host *to, const char *to_name)
{
    for (size_t i = 0; i < plan->links_count; i++) {
        const struct tdw_link_plan *link = &plan->links[i];

        if ((tdw__glob(link->from, from_name) && tdw__glob(link->to, to_name)) ||
            (link->both && tdw__glob(link->from, to_name) && tdw__glob(link->to, from_name))) {
            tdw_link_set(from, to, &link->link);
            return;
        }
    }
}

void tdw__machine_made(const struct tdw_plan *plan, const struct tdw_fate *fate,
                       struct tdw_host *host, const char *name)
{
    struct tdw_host *peer;
    const char *peer_name;

    make_host(plan, host, name);
    make_disk(plan, host, name);
    make_clock(plan, host, name);
    for (size_t i = 0; plan->links_count > 0 && (peer = tdw__fate_nth(fate, i, &peer_name)); i++)
        if (peer != host) {
            make_way(plan, peer, peer_name, host, name);
            make_way(plan, host, name, peer, peer_name);
        }
}

void tdw__machines_free(struct tdw_plan *plan)
{
    for (size_t i = 0; i < plan->hosts_count; i++)
        free(plan->hosts[i].hosts);
    for (size_t i = 0; i < plan->disks_count; i++) {
        free(plan->disks[i].hosts);
        free(plan->disks[i].device);
    }
    for (size_t i = 0; i < plan->clocks_count; i++)
        free(plan->clocks[i].hosts);
    for (size_t i = 0; i < plan->links_count; i++) {
        free(plan->links[i].ways);
        free(plan->links[i].from);
        free(plan->links[i].to);
    }
    free(plan->hosts);
    free(plan->disks);
    free(plan->clocks);
    free(plan->links);
}
