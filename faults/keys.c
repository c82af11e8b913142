/* SPDX-License-Identifier: MIT */
/*
 * The keys of a plan: what each mapping may have, and what is wrong with a value.
 *
 * The sections that say what machines are, are in machines.c.
 * `tdw plan show` (show.c) prints the same keys in the same order.
 */
#include <faults/read.h>
#include <stdlib.h>
#include <string.h>

/* ── Match ─────────────────────────────────────────────────────────────────────────────────── */

#define READ_TEXT(name, member)                                                                    \
    static void read_##name(struct reader *r, struct tdw_rule *rule, struct fy_node *key,          \
                            struct fy_node *value)                                                 \
    {                                                                                              \
        tdw__read_text(r, &rule->member, key, value);                                              \
    }
READ_TEXT(host, match.host)
READ_TEXT(process, match.process)
READ_TEXT(task, match.task)
READ_TEXT(path, match.path)
READ_TEXT(peer, match.peer)
READ_TEXT(group, spare.group)
READ_TEXT(name, name)
READ_TEXT(point, point)
READ_TEXT(while, during_name)
READ_TEXT(after, after)

static void read_fd(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                    struct fy_node *value)
{
    static const char *const kinds[] = {"file",    "directory", "device", "pipe",
                                        "tcp",     "udp",       "unix",   "socket",
                                        "eventfd", "timerfd",   "epoll",  "io_uring"};
    bool any = false;

    tdw__read_text(r, &rule->match.fd, key, value);
    for (size_t i = 0; rule->match.fd && i < sizeof kinds / sizeof *kinds; i++)
        any |= tdw__glob(rule->match.fd, kinds[i]);
    if (rule->match.fd && !any)
        tdw__read_wrong(r, value,
                        "no descriptor is a '%.40s': file, directory, device, pipe, tcp, udp, "
                        "unix, socket, eventfd, timerfd, epoll, io_uring",
                        rule->match.fd);
}

static void read_one_opcode(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                            struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);
    bool any = false;

    for (int opcode = 0; text && opcode < 256; opcode++) {
        char name[TDW_POINT_NAME];

        if (!tdw__point_is((uint8_t)opcode, TDW_POINT_DELAY))
            continue;
        tdw__opcode_word((uint8_t)opcode, name);
        if (!tdw__glob(text, name))
            continue;
        rule->match.opcodes[opcode / 8] |= (uint8_t)(1 << opcode % 8);
        any = rule->match.by_opcode = true;
    }
    if (text && !any)
        tdw__read_wrong(r, value, "no opcode is called '%.40s'; tdw points names them", text);
}

/* One, or a list. */
static void read_opcode(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        struct fy_node *value)
{
    struct fy_node *item;
    void *iterator = NULL;

    if (!value || !fy_node_is_sequence(value)) {
        read_one_opcode(r, rule, key, value);
        return;
    }
    while ((item = fy_node_sequence_iterate(value, &iterator)) != NULL)
        read_one_opcode(r, rule, key, item);
}

/* 4k, >=4k, <=4k, >4k, <4k, 1k..4k */
static void read_size(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value), *range = text ? strstr(text, "..") : NULL;
    const bool least = text && *text == '>', most = text && *text == '<';
    const bool equal = text && *text && text[1] == '=';
    char first[32];
    uint64_t size;

    if (!text)
        return;
    rule->match.by_size = true;
    rule->match.size_min = 0;
    rule->match.size_max = UINT64_MAX;
    snprintf(first, sizeof first, "%.*s", range ? (int)(range - text) : 31,
             text + (least || most) + ((least || most) && equal));
    if (!tdw__value_size(first, &size) ||
        (range && !tdw__value_size(range + 2, &rule->match.size_max)) ||
        (range && rule->match.size_max < size)) {
        tdw__read_wrong(r, value, "'%.40s' is no range of sizes: 4k, >=4k, <1M, 1k..4k", text);
        return;
    }
    if (!most)
        rule->match.size_min = size + (least && !equal);
    if (most)
        rule->match.size_max = equal || size == 0 ? size : size - 1;
    else if (!least && !range)
        rule->match.size_max = size;
}

static const struct key match_keys[] = {
    {"host", read_host, "a pattern"}, {"process", read_process, "a pattern"},
    {"task", read_task, "a pattern"}, {"peer", read_peer, "a pattern"},
    {"path", read_path, "a pattern"}, {"opcode", read_opcode, "read, write, …"},
    {"size", read_size, ">=4k"},      {"fd", read_fd, "file, tcp, …"},
};

static void read_match(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    READ_MAPPING(r, rule, key, value, "match", match_keys);
}

/* ── Trigger ───────────────────────────────────────────────────────────────────────────────── */

static void set_trigger(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        enum tdw_trigger trigger)
{
    if (rule->trigger != TDW_TRIGGER_ALWAYS)
        tdw__read_wrong(r, key, "a rule has one of p, nth, every, exhaustive");
    rule->trigger = trigger;
}

static void read_p(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                   struct fy_node *value)
{
    set_trigger(r, rule, key, TDW_TRIGGER_CHANCE);
    tdw__read_value(r, &rule->chance, key, value, tdw__value_chance, tdw__chance_kind);
}

static void read_number(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        struct fy_node *value, enum tdw_trigger trigger)
{
    set_trigger(r, rule, key, trigger);
    if (tdw__read_value(r, &rule->n, key, value, tdw__value_count, tdw__count_kind) && rule->n == 0)
        tdw__read_wrong(r, value, "'%s' counts from 1", fy_node_get_scalar0(key));
}

static void read_nth(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                     struct fy_node *value)
{
    read_number(r, rule, key, value, TDW_TRIGGER_NTH);
}

static void read_every(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    read_number(r, rule, key, value, TDW_TRIGGER_EVERY);
}

static void read_exhaustive(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                            struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    if (text && strcmp(text, "true") == 0)
        set_trigger(r, rule, key, TDW_TRIGGER_SWEEP);
    else if (text && strcmp(text, "pairs") == 0)
        set_trigger(r, rule, key, TDW_TRIGGER_PAIRS);
    else if (text && strcmp(text, "false") != 0)
        tdw__read_wrong(r, value, "'exhaustive' is true, pairs or false");
}

/* The same as a budget of one. */
static void read_once(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    bool once;

    if (tdw__read_bool(r, &once, key, value))
        rule->budget = 1;
}

static void read_from(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    tdw__read_value(r, &rule->from_ns, key, value, tdw__value_time, tdw__time_kind);
}

/* The first hit from then on. */
static void read_at(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                    struct fy_node *value)
{
    if (tdw__read_value(r, &rule->from_ns, key, value, tdw__value_time, tdw__time_kind) &&
        rule->budget > 1)
        rule->budget = 1;
}

static void read_between(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                         struct fy_node *value)
{
    uint64_t *const to[] = {&rule->from_ns, &rule->end_ns};
    struct fy_node *item;
    void *iterator = NULL;
    int count = 0;

    while (value && fy_node_is_sequence(value) &&
           (item = fy_node_sequence_iterate(value, &iterator)) != NULL && count < 3)
        if (count++ < 2)
            tdw__read_value(r, to[count - 1], key, item, tdw__value_time, tdw__time_kind);
    if (count != 2)
        tdw__read_wrong(r, key, "'between' has two times: [10ms, 1s]");
    else if (rule->from_ns >= rule->end_ns)
        tdw__read_wrong(r, key, "'between' ends before it begins");
}

/* ── Action ────────────────────────────────────────────────────────────────────────────────── */

static void read_error(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    if (!text)
        return;
    rule->action.error = tdw__value_error(text);
    if (rule->action.error == 0)
        tdw__read_wrong(r, value, "no error is called '%.40s'", text);
}

static void read_short(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    if (tdw__read_value(r, &rule->action.bytes, key, value, tdw__value_size, tdw__size_kind) &&
        (rule->action.bytes == 0 || rule->action.bytes > INT32_MAX))
        tdw__read_wrong(r, value, "a short op moves something: 1 to 2G");
}

static void read_delay(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    tdw__read_value(r, &rule->action.delay_ns, key, value, tdw__value_time, tdw__time_kind);
}

static void read_keep(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    tdw__read_bool(r, &rule->action.keep, key, value);
}

static void read_down(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    tdw__read_value(r, &rule->action.down_ns, key, value, tdw__value_time, tdw__time_kind);
}

static void read_step(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                      struct fy_node *value)
{
    tdw__read_step(r, &rule->action.step_ns, key, value);
}

static void read_ppm(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                     struct fy_node *value)
{
    tdw__read_ppm(r, &rule->action.ppm, key, value);
}

static void read_times(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    tdw__read_times(r, &rule->action.times, key, value);
}

static void read_bandwidth(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                           struct fy_node *value)
{
    if (tdw__read_value(r, &rule->action.bandwidth, key, value, tdw__value_size, tdw__size_kind) &&
        rule->action.bandwidth == 0)
        tdw__read_wrong(r, value,
                        "a bandwidth is 1 byte a second at least; tdw/net/partition is "
                        "none at all");
}

static const struct key action_keys[] = {
    {"error", read_error, "EIO"},
    {"short", read_short, "512"},
    {"delay", read_delay, "10ms"},
    {"keep", read_keep, "true"},
    {"down", read_down, "10ms"},
    {"step", read_step, "-5s"},
    {"ppm", read_ppm, "-200"},
    {"times", read_times, "10"},
    {"bandwidth", read_bandwidth, "10k"},
};

static void read_action(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        struct fy_node *value)
{
    READ_MAPPING(r, rule, key, value, "action", action_keys);
}

/* ── Spare ─────────────────────────────────────────────────────────────────────────────────── */

static void read_spare_keep(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                            struct fy_node *value)
{
    tdw__read_value(r, &rule->spare.keep, key, value, tdw__value_count, tdw__count_kind);
}

static const struct key spare_keys[] = {
    {"group", read_group, "replica*"},
    {"keep", read_spare_keep, "2"},
};

static void read_spare(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                       struct fy_node *value)
{
    READ_MAPPING(r, rule, key, value, "spare", spare_keys);
    if (!rule->spare.group || rule->spare.keep == 0)
        tdw__read_wrong(r, key, "'spare' has a group of hosts, and how many to keep");
}

/* ── Rules ─────────────────────────────────────────────────────────────────────────────────── */

static void read_budget(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        struct fy_node *value)
{
    tdw__read_value(r, &rule->budget, key, value, tdw__value_count, tdw__count_kind);
}

static void read_cooldown(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                          struct fy_node *value)
{
    tdw__read_value(r, &rule->cooldown_ns, key, value, tdw__value_time, tdw__time_kind);
}

static void read_enable(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                        struct fy_node *value)
{
    tdw__read_value(r, &rule->enable, key, value, tdw__value_chance, tdw__chance_kind);
}

static const struct key rule_keys[] = {
    {"name", read_name, "a word"},
    {"point", read_point, "a pattern"},
    {"match", read_match, "keys"},
    {"p", read_p, "0.01"},
    {"nth", read_nth, "3"},
    {"every", read_every, "10"},
    {"exhaustive", read_exhaustive, "true, pairs"},
    {"once", read_once, "true"},
    {"at", read_at, "5ms"},
    {"from", read_from, "5ms"},
    {"between", read_between, "[1ms, 2s]"},
    {"while", read_while, "a rule's name"},
    {"after", read_after, "a mark"},
    {"action", read_action, "keys"},
    {"budget", read_budget, "5"},
    {"cooldown", read_cooldown, "10ms"},
    {"enable", read_enable, "0.5"},
    {"spare", read_spare, "a group"},
};

/* Does the pattern name any point, or may it name one that a program has? */
static bool names_a_point(const char *pattern)
{
    char name[TDW_POINT_NAME];

    if (strncmp(pattern, "tdw/", 4) != 0)
        return true;
    for (int point = 0; point < TDW_KERNEL_POINTS_COUNT; point++)
        if (tdw__glob(pattern, tdw__kernel_point_name((enum tdw_kernel_point)point)))
            return true;
    for (int opcode = 0; opcode < 256; opcode++)
        for (int kind = 0; kind < TDW_POINT_KINDS; kind++) {
            if (!tdw__point_is((uint8_t)opcode, (enum tdw_point_kind)kind))
                continue;
            tdw__point_name((uint8_t)opcode, (enum tdw_point_kind)kind, name);
            if (tdw__glob(pattern, name))
                return true;
        }
    return false;
}

/* What a mapping begins with: its place. */
static struct fy_node *first_of(const struct reader *r, struct fy_node *mapping,
                                struct fy_node *otherwise)
{
    struct fy_node_pair *pair;
    void *iterator = NULL;

    if (mapping && fy_node_is_scalar(mapping))
        return mapping;
    if (!mapping || !fy_node_is_mapping(mapping))
        return otherwise;
    if (tdw__read_set_of(r, mapping))
        return mapping;
    pair = fy_node_mapping_iterate(mapping, &iterator);
    if (!pair)
        return otherwise;
    return tdw__read_set_of(r, fy_node_pair_value(pair)) ? fy_node_pair_value(pair)
                                                         : fy_node_pair_key(pair);
}

static void read_rule(struct reader *r, struct fy_node *at, struct fy_node *node)
{
    struct tdw_plan *plan = r->plan;
    struct tdw_rule *rules = realloc(plan->rules, (plan->rules_count + 1) * sizeof *plan->rules),
                    *rule;
    struct fy_node *point = NULL;

    at = first_of(r, node, at);
    if (!rules) {
        r->no_memory = true;
        return;
    }
    plan->rules = rules;
    rule = &rules[plan->rules_count++];
    *rule = (struct tdw_rule){
        .end_ns = UINT64_MAX, .during = -1, .budget = UINT64_MAX, .enable = (uint64_t)1 << 32};
    READ_MAPPING(r, rule, at, node, "a rule", rule_keys);
    if (node && fy_node_is_mapping(node))
        point = fy_node_mapping_lookup_by_string(node, "point", FY_NT);
    if (!rule->point)
        tdw__read_wrong(r, at, "rule %zu has no point", plan->rules_count);
#ifdef TDW_NO_FIU
    else if (strncmp(rule->point, "tdw/", 4) != 0)
        tdw__read_wrong(r, point,
                        "'%.60s' is a point of programs, and this build (FIU=no) has only those "
                        "of the library, tdw/…",
                        rule->point);
#endif
    else if (!names_a_point(rule->point))
        tdw__read_wrong(r, point, "no point matches '%.60s'; tdw points names them", rule->point);
    if (!rule->name && asprintf(&rule->name, "rule %zu", plan->rules_count) < 0)
        r->no_memory = true;
}

static void read_rules(struct reader *r, struct tdw_rule *unused, struct fy_node *key,
                       struct fy_node *value)
{
    struct fy_node *item;
    void *iterator = NULL;

    (void)unused;
    if (value && fy_node_is_scalar(value) && *fy_node_get_scalar0(value) == '\0')
        return; /* none */
    if (!value || !fy_node_is_sequence(value)) {
        tdw__read_wrong(r, tdw__read_place(r, key, value), "'rules' is a list");
        return;
    }
    while ((item = fy_node_sequence_iterate(value, &iterator)) != NULL) {
        if (r->plan->rules_count == TDW_RULES_MAX) {
            tdw__read_wrong(r, key, "a plan has at most %d rules", TDW_RULES_MAX);
            return;
        }
        read_rule(r, key, item);
    }
}

/* ── The plan ──────────────────────────────────────────────────────────────────────────────── */

static const struct key plan_keys[] = {
    {"hosts", tdw__read_hosts, "hosts"},   {"disks", tdw__read_disks, "hosts"},
    {"clocks", tdw__read_clocks, "hosts"}, {"links", tdw__read_links, "client -> server"},
    {"rules", read_rules, "a list"},
};

/* ── What rules say of each other ──────────────────────────────────────────────────────────── */

static struct tdw_rule *named(const struct tdw_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->rules_count; i++)
        if (plan->rules[i].name && strcmp(plan->rules[i].name, name) == 0)
            return &plan->rules[i];
    return NULL;
}

/* A run's number stands for one hit or for two, so the rules of a plan have to agree. */
static void join_sweeps(struct reader *r)
{
    bool each = false, pairs = false;

    for (size_t i = 0; i < r->plan->rules_count; i++) {
        each |= r->plan->rules[i].trigger == TDW_TRIGGER_SWEEP;
        pairs |= r->plan->rules[i].trigger == TDW_TRIGGER_PAIRS;
    }
    if (each && pairs)
        tdw__read_wrong(r, NULL,
                        "one rule has 'exhaustive: true' and another 'exhaustive: pairs'; "
                        "a plan does one of them");
}

static void join(struct reader *r)
{
    struct tdw_plan *plan = r->plan;

    for (size_t i = 0; i < plan->rules_count; i++) {
        struct tdw_rule *rule = &plan->rules[i], *other;

        if (rule->name && named(plan, rule->name) != rule)
            tdw__read_wrong(r, NULL, "two rules are called '%.40s'", rule->name);
        if (!rule->during_name)
            continue;
        other = named(plan, rule->during_name);
        if (other)
            rule->during = (int32_t)(other - plan->rules);
        else
            tdw__read_wrong(r, NULL, "'%.40s' waits for '%.40s', and no rule has that name",
                            rule->name, rule->during_name);
    }
    for (size_t i = 0; i < plan->rules_count; i++) {
        size_t steps = 0;

        for (int32_t at = (int32_t)i; at >= 0 && steps <= plan->rules_count; steps++)
            at = plan->rules[at].during;
        if (steps > plan->rules_count)
            tdw__read_wrong(r, NULL, "'%.40s' waits for itself: its 'while' goes round in a circle",
                            plan->rules[i].name);
    }
}

void tdw__read_plan(struct reader *r, struct fy_node *root)
{
    if (root && !(fy_node_is_scalar(root) && *fy_node_get_scalar0(root) == '\0'))
        READ_MAPPING(r, NULL, NULL, root, "a plan", plan_keys);
    join(r);
    join_sweeps(r);
}
