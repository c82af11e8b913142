/* SPDX-License-Identifier: MIT */
/*
 * Mappings and values of a plan, whatever they are about.
 *
 * Each mapping has a table of its keys; what is not in the table is told with the nearest that is.
 */
#include <faults/read.h>
#include <stdlib.h>
#include <string.h>

/* ── Mappings ──────────────────────────────────────────────────────────────────────────────── */

struct fy_node *tdw__read_place(const struct reader *r, struct fy_node *key, struct fy_node *value)
{
    return value && (fy_node_is_scalar(value) || tdw__read_set_of(r, value)) ? value : key;
}

static void unknown_key(struct reader *r, struct fy_node *at, const char *name, const char *where,
                        const struct key *keys, size_t count)
{
    const char *names[32], *near;

    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    near = tdw__nearest(name, names, count);
    tdw__read_wrong(r, at, "there is no key '%.40s' in %s%s%s%s", name, where,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

void tdw__read_mapping(struct reader *r, struct tdw_rule *rule, struct fy_node *at,
                       struct fy_node *mapping, const char *where, const struct key *keys,
                       size_t count)
{
    struct fy_node_pair *pair;
    void *iterator = NULL;

    if (!mapping || !fy_node_is_mapping(mapping)) {
        tdw__read_wrong(r, tdw__read_place(r, at, mapping), "%s has keys and values", where);
        return;
    }
    while ((pair = fy_node_mapping_iterate(mapping, &iterator)) != NULL) {
        struct fy_node *key = fy_node_pair_key(pair), *value = fy_node_pair_value(pair);
        const char *name = key ? fy_node_get_scalar0(key) : NULL;
        size_t i = 0;

        while (name && i < count && strcmp(keys[i].name, name) != 0)
            i++;
        if (!name)
            tdw__read_wrong(r, at, "a key of %s is no word", where);
        else if (i == count)
            unknown_key(r, tdw__read_set_of(r, value) ? value : key, name, where, keys, count);
        else
            keys[i].read(r, rule, key, value);
    }
}

/* ── Scalars ───────────────────────────────────────────────────────────────────────────────── */

const char *tdw__read_scalar(struct reader *r, struct fy_node *key, struct fy_node *value)
{
    const char *text = value && fy_node_is_scalar(value) ? fy_node_get_scalar0(value) : NULL;

    if (!text)
        tdw__read_wrong(r, key, "'%s' has one value", fy_node_get_scalar0(key));
    return text;
}

void tdw__read_text(struct reader *r, char **to, struct fy_node *key, struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    if (!text)
        return;
    free(*to);
    *to = strdup(text);
    r->no_memory |= !*to;
}

bool tdw__read_value(struct reader *r, uint64_t *to, struct fy_node *key, struct fy_node *value,
                     bool (*read)(const char *text, uint64_t *to), const char *kind)
{
    const char *text = tdw__read_scalar(r, key, value);

    if (text && !read(text, to)) {
        tdw__read_wrong(r, value, "'%.40s' is no %s", text, kind);
        return false;
    }
    return text != NULL;
}

bool tdw__read_bool(struct reader *r, bool *to, struct fy_node *key, struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    *to = text && strcmp(text, "true") == 0;
    if (text && !*to && strcmp(text, "false") != 0)
        tdw__read_wrong(r, value, "'%s' is true or false", fy_node_get_scalar0(key));
    return *to;
}

const char tdw__chance_kind[] = "probability: 0.01, 1%, 1/100, from 0 to 1";
const char tdw__time_kind[] = "time: 10us, 1.5ms, 2s";
const char tdw__size_kind[] = "size: 512, 4k, 1M";
const char tdw__count_kind[] = "count: 1, 2, …";

void tdw__read_step(struct reader *r, int64_t *to, struct fy_node *key, struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);

    if (text && !tdw__value_step(text, to))
        tdw__read_wrong(r, value, "'%.40s' is no step: 5s, -10ms", text);
}

void tdw__read_ppm(struct reader *r, int32_t *to, struct fy_node *key, struct fy_node *value)
{
    const char *text = tdw__read_scalar(r, key, value);
    uint64_t ppm = 0;

    if (text && (!tdw__value_count(text + (*text == '-'), &ppm) || ppm == 0 || ppm > 500000))
        tdw__read_wrong(r, value, "'%.40s' is no drift: 200, -50, up to 500000", text);
    else if (text)
        *to = *text == '-' ? -(int32_t)ppm : (int32_t)ppm;
}

void tdw__read_times(struct reader *r, uint64_t *to, struct fy_node *key, struct fy_node *value)
{
    if (tdw__read_value(r, to, key, value, tdw__value_count, tdw__count_kind) &&
        (*to < 2 || *to > 1000000))
        tdw__read_wrong(r, value, "what is slow takes 2 to 1000000 times as long");
}
