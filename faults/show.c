/* SPDX-License-Identifier: MIT */
/*
 * A plan as it was understood, as a plan: keys in the order of the table, values in one form, what
 * is as it would be without saying left out.
 */
#include <faults/faults.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* In the largest unit that it is a whole number of. */
static void show_time(FILE *to, uint64_t ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"s", 1000000000u}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}};
    size_t i = 0;

    while (ns % units[i].ns != 0)
        i++;
    fprintf(to, "%" PRIu64 "%s", ns / units[i].ns, ns == 0 ? "ns" : units[i].name);
}

/* The shortest decimal fraction that is read as `chance`, which is so many of 2^32. */
static void show_chance(FILE *to, uint64_t chance)
{
    uint64_t scale = 1, number = 0, read = UINT64_MAX;
    char text[32];

    for (int digits = 0; digits <= 10 && read != chance; digits++, scale *= 10) {
        number = (uint64_t)(((unsigned __int128)chance * scale + UINT32_MAX) >> 32);
        snprintf(text, sizeof text, digits ? "%" PRIu64 ".%0*" PRIu64 : "%" PRIu64, number / scale,
                 digits, number % scale);
        tdw__value_chance(text, &read);
    }
    fputs(text, to);
}

/* So that nothing in it is anything to YAML. */
static void show_quoted(FILE *to, const char *text)
{
    fprintf(to, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(to, "\\%c", *text);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(to, "\\x%02x", (unsigned char)*text);
        else
            fputc(*text, to);
    }
    fprintf(to, "\"");
}

static void show_text(FILE *to, const char *key, const char *text, const char *indent)
{
    if (!text)
        return;
    fprintf(to, "%s%s: ", indent, key);
    show_quoted(to, text);
    fprintf(to, "\n");
}

static void show_opcodes(FILE *to, const struct tdw_rule *rule)
{
    char word[TDW_POINT_NAME];
    const char *comma = "";

    fprintf(to, "      opcode: [");
    for (int opcode = 0; opcode < 256; opcode++) {
        if (!(rule->match.opcodes[opcode / 8] & 1 << opcode % 8))
            continue;
        tdw__opcode_word((uint8_t)opcode, word);
        fprintf(to, "%s%s", comma, word);
        comma = ", ";
    }
    fprintf(to, "]\n");
}

static void show_match(FILE *to, const struct tdw_rule *rule)
{
    const char *indent = "      ";

    if (!rule->match.host && !rule->match.process && !rule->match.task && !rule->match.path &&
        !rule->match.peer && !rule->match.fd && !rule->match.by_opcode && !rule->match.by_size)
        return;
    fprintf(to, "    match:\n");
    show_text(to, "host", rule->match.host, indent);
    show_text(to, "process", rule->match.process, indent);
    show_text(to, "task", rule->match.task, indent);
    show_text(to, "peer", rule->match.peer, indent);
    show_text(to, "path", rule->match.path, indent);
    show_text(to, "fd", rule->match.fd, indent);
    if (rule->match.by_opcode)
        show_opcodes(to, rule);
    if (rule->match.by_size && rule->match.size_max == UINT64_MAX)
        fprintf(to, "      size: \">=%" PRIu64 "\"\n", rule->match.size_min);
    else if (rule->match.by_size)
        fprintf(to, "      size: %" PRIu64 "..%" PRIu64 "\n", rule->match.size_min,
                rule->match.size_max);
}

static void show_trigger(FILE *to, const struct tdw_rule *rule)
{
    switch (rule->trigger) {
    case TDW_TRIGGER_ALWAYS:
        break;
    case TDW_TRIGGER_CHANCE:
        fprintf(to, "    p: ");
        show_chance(to, rule->chance);
        fprintf(to, "\n");
        break;
    case TDW_TRIGGER_NTH:
        fprintf(to, "    nth: %" PRIu64 "\n", rule->n);
        break;
    case TDW_TRIGGER_SWEEP:
        fprintf(to, "    exhaustive: true\n");
        break;
    case TDW_TRIGGER_PAIRS:
        fprintf(to, "    exhaustive: pairs\n");
        break;
    case TDW_TRIGGER_EVERY:
        fprintf(to, "    every: %" PRIu64 "\n", rule->n);
        break;
    }
    if (rule->end_ns != UINT64_MAX) {
        fprintf(to, "    between: [");
        show_time(to, rule->from_ns);
        fprintf(to, ", ");
        show_time(to, rule->end_ns);
        fprintf(to, "]\n");
    } else if (rule->from_ns > 0) {
        fprintf(to, "    from: ");
        show_time(to, rule->from_ns);
        fprintf(to, "\n");
    }
}

static void show_action(FILE *to, const struct tdw_rule *rule)
{
    const bool any = rule->action.error || rule->action.bytes || rule->action.delay_ns ||
                     rule->action.keep || rule->action.down_ns || rule->action.step_ns ||
                     rule->action.ppm || rule->action.times || rule->action.bandwidth;

    if (!any)
        return;
    fprintf(to, "    action:\n");
    if (rule->action.error)
        fprintf(to, "      error: %s\n", strerrorname_np(rule->action.error));
    if (rule->action.bytes)
        fprintf(to, "      short: %" PRIu64 "\n", rule->action.bytes);
    if (rule->action.delay_ns) {
        fprintf(to, "      delay: ");
        show_time(to, rule->action.delay_ns);
        fprintf(to, "\n");
    }
    if (rule->action.keep)
        fprintf(to, "      keep: true\n");
    if (rule->action.down_ns) {
        fprintf(to, "      down: ");
        show_time(to, rule->action.down_ns);
        fprintf(to, "\n");
    }
    if (rule->action.step_ns) {
        fprintf(to, "      step: %s", rule->action.step_ns < 0 ? "-" : "");
        show_time(to, (uint64_t)llabs(rule->action.step_ns));
        fprintf(to, "\n");
    }
    if (rule->action.ppm)
        fprintf(to, "      ppm: %d\n", rule->action.ppm);
    if (rule->action.times)
        fprintf(to, "      times: %" PRIu64 "\n", rule->action.times);
    if (rule->action.bandwidth)
        fprintf(to, "      bandwidth: %" PRIu64 "\n", rule->action.bandwidth);
}

/* An entry of a section; `empty`: nothing is said of it. */
static void show_entry(FILE *to, const char *name, bool empty)
{
    fprintf(to, "  ");
    show_quoted(to, name);
    fprintf(to, empty ? ": {}\n" : ":\n");
}

static void show_number(FILE *to, const char *key, uint64_t number)
{
    if (number)
        fprintf(to, "    %s: %" PRIu64 "\n", key, number);
}

static void show_span(FILE *to, const char *key, uint64_t ns)
{
    fprintf(to, "    %s: ", key);
    show_time(to, ns);
    fprintf(to, "\n");
}

static void show_hosts(FILE *to, const struct tdw_plan *plan)
{
    fprintf(to, plan->hosts_count ? "hosts:\n" : "");
    for (size_t i = 0; i < plan->hosts_count; i++) {
        const struct tdw_host_plan *host = &plan->hosts[i];

        show_entry(to, host->hosts, !host->slow && !host->descriptors);
        show_number(to, "slow", host->slow);
        show_number(to, "descriptors", host->descriptors);
    }
}

static void show_disks(FILE *to, const struct tdw_plan *plan)
{
    fprintf(to, plan->disks_count ? "disks:\n" : "");
    for (size_t i = 0; i < plan->disks_count; i++) {
        const struct tdw_disk_plan *disk = &plan->disks[i];

        show_entry(to, disk->hosts,
                   !disk->by_persistence && !disk->device && !disk->capacity && !disk->file_max &&
                       !disk->full && !disk->sector);
        if (disk->by_persistence)
            fprintf(to, "    persistence: %s\n", tdw_persistence_name(disk->persistence));
        show_text(to, "device", disk->device, "    ");
        show_number(to, "capacity", disk->capacity);
        show_number(to, "file_max", disk->file_max);
        if (disk->full)
            fprintf(to, "    full: %s\n", strerrorname_np(disk->full));
        show_number(to, "sector", disk->sector);
    }
}

static void show_clocks(FILE *to, const struct tdw_plan *plan)
{
    fprintf(to, plan->clocks_count ? "clocks:\n" : "");
    for (size_t i = 0; i < plan->clocks_count; i++) {
        const struct tdw_clock_plan *clock = &plan->clocks[i];

        show_entry(to, clock->hosts, !clock->step_ns && !clock->ppm);
        if (clock->step_ns) {
            fprintf(to, "    step: %s", clock->step_ns < 0 ? "-" : "");
            show_time(to, (uint64_t)llabs(clock->step_ns));
            fprintf(to, "\n");
        }
        if (clock->ppm)
            fprintf(to, "    ppm: %d\n", clock->ppm);
    }
}

/* All of it, whatever preset it began with. */
static void show_links(FILE *to, const struct tdw_plan *plan)
{
    fprintf(to, plan->links_count ? "links:\n" : "");
    for (size_t i = 0; i < plan->links_count; i++) {
        const struct tdw_link *link = &plan->links[i].link;

        show_entry(to, plan->links[i].ways, false);
        show_span(to, "latency", link->latency_ns);
        show_span(to, "jitter", link->jitter_ns);
        fprintf(to, "    bandwidth: %" PRIu64 "\n", link->bytes_per_s);
        fprintf(to, "    queue: %" PRIu64 "\n", link->queue_bytes);
        fprintf(to, "    drop: %s\n", link->drop == TDW_DROP_TAIL ? "true" : "false");
        if (link->down)
            fprintf(to, "    down: true\n");
    }
}

int tdw_plan_show(const struct tdw_plan *plan, FILE *to)
{
    show_hosts(to, plan);
    show_disks(to, plan);
    show_clocks(to, plan);
    show_links(to, plan);
    fprintf(to, plan->rules_count ? "rules:\n" : "rules: []\n");
    for (size_t i = 0; i < plan->rules_count; i++) {
        const struct tdw_rule *rule = &plan->rules[i];

        show_text(to, "name", rule->name, "  - ");
        show_text(to, "point", rule->point, "    ");
        show_match(to, rule);
        show_trigger(to, rule);
        show_text(to, "while", rule->during_name, "    ");
        show_text(to, "after", rule->after, "    ");
        show_action(to, rule);
        if (rule->budget != UINT64_MAX)
            fprintf(to, "    budget: %" PRIu64 "\n", rule->budget);
        if (rule->cooldown_ns) {
            fprintf(to, "    cooldown: ");
            show_time(to, rule->cooldown_ns);
            fprintf(to, "\n");
        }
        if (rule->spare.group) {
            fprintf(to, "    spare:\n");
            show_text(to, "group", rule->spare.group, "      ");
            fprintf(to, "      keep: %" PRIu64 "\n", rule->spare.keep);
        }
        if (rule->enable != (uint64_t)1 << 32) {
            fprintf(to, "    enable: ");
            show_chance(to, rule->enable);
            fprintf(to, "\n");
        }
    }
    return ferror(to) ? -EIO : 0;
}
