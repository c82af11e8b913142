/* SPDX-License-Identifier: MIT */
/*
 * `--set path.to.key=value`: one value of a plan's document, replaced or added.
 *
 * Each part of the path is a key of a mapping, or a number of a list; one more than the list has is
 * a new item. What is not there is made: a list for `rules`, which is the only one, else a mapping.
 * The value is YAML, so a whole rule may be set: rules.2={point: tdw/op/read/error, p: 1%}.
 */
#include <faults/read.h>
#include <string.h>

#define wrong(text)                                                                                \
    do {                                                                                           \
        tdw__read_wrong(r, NULL, "--set %s: %s", r->set[which], text);                             \
        return NULL;                                                                               \
    } while (0)

static struct fy_node *new_node(struct reader *r, const char *parent)
{
    return strcmp(parent, "rules") == 0 ? fy_node_create_sequence(r->document)
                                        : fy_node_create_mapping(r->document);
}

/* By its text: libfyaml's own looks up YAML, to which "*" is no word. NULL: there is none. */
static struct fy_node_pair *pair_of(struct fy_node *mapping, const char *text)
{
    struct fy_node_pair *pair;
    void *iterator = NULL;

    while ((pair = fy_node_mapping_iterate(mapping, &iterator)) != NULL) {
        const char *key = fy_node_get_scalar0(fy_node_pair_key(pair));

        if (key && strcmp(key, text) == 0)
            return pair;
    }
    return NULL;
}

/* Put `node` at `part` of `in`; what was there is gone. */
static struct fy_node *put(struct reader *r, size_t which, struct fy_node *in, const char *part,
                           struct fy_node *node)
{
    if (!node)
        wrong("this is no value");
    if (fy_node_is_mapping(in)) {
        struct fy_node_pair *pair = pair_of(in, part);
        struct fy_node *key = pair ? NULL : fy_node_create_scalar_copy(r->document, part, FY_NT);

        if (pair ? fy_node_pair_set_value(pair, node) == 0
                 : key && fy_node_mapping_append(in, key, node) == 0)
            return node;
        fy_node_free(key); /* what is put nowhere is nobody else's */
        fy_node_free(node);
        wrong("a part of the path is no key that YAML can have");
    }
    if (fy_node_sequence_append(in, node) < 0) {
        r->no_memory = true;
        return NULL;
    }
    return node;
}

/* What stands at `part` of `in`, or NULL; not `possible`: nothing may stand there. */
static struct fy_node *find(struct fy_node *in, const char *part, bool *possible)
{
    uint64_t index;
    int count;

    *possible = true;
    if (fy_node_is_mapping(in))
        return pair_of(in, part) ? fy_node_pair_value(pair_of(in, part)) : NULL;
    count = fy_node_is_sequence(in) ? fy_node_sequence_item_count(in) : -1;
    *possible = count >= 0 && tdw__value_count(part, &index) && index <= (uint64_t)count;
    return *possible && index < (uint64_t)count ? fy_node_sequence_get_by_index(in, (int)index)
                                                : NULL;
}

static struct fy_node *set_one(struct reader *r, size_t which)
{
    const char *equals = strchr(r->set[which], '='), *at = r->set[which];
    struct fy_node *in = fy_document_root(r->document), *found, *node;
    char part[64] = "plan";

    if (!equals || equals == at)
        wrong("what is wanted is path.to.key=value");
    if (!in || fy_node_is_scalar(in)) {
        in = fy_node_create_mapping(r->document);
        if (!in || fy_document_set_root(r->document, in) < 0)
            wrong("the plan is no mapping");
    }
    for (;;) {
        const char *end = memchr(at, '.', (size_t)(equals - at));
        bool possible;

        end = end ? end : equals;
        if (end == at || (size_t)(end - at) >= sizeof part)
            wrong("a part of the path is empty, or too long");
        snprintf(part, sizeof part, "%.*s", (int)(end - at), at);
        found = find(in, part, &possible);
        if (!possible)
            wrong("there is no such place; lists count from 0, one behind the last is new");
        at = end + 1;
        if (end == equals)
            break;
        if (found && fy_node_is_scalar(found) && *fy_node_get_scalar0(found))
            wrong("a part of the path has a value, and no keys of its own");
        if (!found || fy_node_is_scalar(found))
            found = put(r, which, in, part, new_node(r, part));
        if (!found)
            return NULL;
        in = found;
    }
    if (found && fy_node_is_sequence(in))
        wrong("an item that is there already is set key by key");
    node = fy_node_build_from_string(r->document, at, FY_NT);
    return put(r, which, in, part, node);
}

void tdw__read_set(struct reader *r)
{
    for (size_t i = 0; i < r->set_count; i++)
        r->set_nodes[i] = set_one(r, i);
}
