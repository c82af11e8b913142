/* SPDX-License-Identifier: MIT */
/* What reading a plan is about, for read.c, mapping.c, keys.c, machines.c and set.c. */
#ifndef TDW_FAULTS_READ_H
#define TDW_FAULTS_READ_H

#include <faults/faults.h>
#include <libfyaml.h>

struct wrong { /* one thing that is; kept until all are known, and told in the file's order */
    char *text, *file;
    unsigned line, column;
    size_t order;
};

struct reader {
    struct tdw_plan *plan;
    struct fy_document *document;
    tdw_plan_told *told;
    void *arg;
    const char *const *set; /* "path.to.key=value" */
    struct fy_node **set_nodes;
    size_t set_count;
    struct wrong *wrongs;
    size_t wrongs_count, wrongs_max;
    bool bad, no_memory;
};

/* Tell what is wrong, at the scalar `at`; NULL: nowhere in particular. */
void tdw__read_wrong(struct reader *r, struct fy_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* ── Mappings and values (mapping.c) ───────────────────────────────────────────────────────── */

typedef void tdw__key_fn(struct reader *r, struct tdw_rule *rule, struct fy_node *key,
                         struct fy_node *value);
struct key {
    const char *name;
    tdw__key_fn *read;
    const char *help; /* what a value looks like */
};
/* Each key of `mapping` by the table; `where` is what it is, in what is told. */
#define READ_MAPPING(r, rule, at, mapping, where, keys)                                            \
    tdw__read_mapping((r), (rule), (at), (mapping), (where), (keys), sizeof(keys) / sizeof *(keys))
void tdw__read_mapping(struct reader *r, struct tdw_rule *rule, struct fy_node *at,
                       struct fy_node *mapping, const char *where, const struct key *keys,
                       size_t count);
/* Where a value that is no scalar is, is told by its key, unless it came by --set. */
struct fy_node *tdw__read_place(const struct reader *r, struct fy_node *key, struct fy_node *value);
/* NULL: told that it is none. */
const char *tdw__read_scalar(struct reader *r, struct fy_node *key, struct fy_node *value);
void tdw__read_text(struct reader *r, char **to, struct fy_node *key, struct fy_node *value);
/* By one of value.c; `kind` says what it should have been. False: told. */
bool tdw__read_value(struct reader *r, uint64_t *to, struct fy_node *key, struct fy_node *value,
                     bool (*read)(const char *text, uint64_t *to), const char *kind);
extern const char tdw__chance_kind[], tdw__time_kind[], tdw__size_kind[], tdw__count_kind[];
bool tdw__read_bool(struct reader *r, bool *to, struct fy_node *key, struct fy_node *value);
/* A clock's: a time with a sign, and parts in a million; and how often as long what is slow takes.
 */
void tdw__read_step(struct reader *r, int64_t *to, struct fy_node *key, struct fy_node *value);
void tdw__read_ppm(struct reader *r, int32_t *to, struct fy_node *key, struct fy_node *value);
void tdw__read_times(struct reader *r, uint64_t *to, struct fy_node *key, struct fy_node *value);

/* ── Sections (machines.c) ─────────────────────────────────────────────────────────────────── */

tdw__key_fn tdw__read_hosts, tdw__read_disks, tdw__read_clocks, tdw__read_links;

/* ── Reading ───────────────────────────────────────────────────────────────────────────────── */

/* The text of the --set that the node came by, or NULL. */
const char *tdw__read_set_of(const struct reader *r, struct fy_node *node);
/* The document's root into the plan; what is wrong is told (keys.c). */
void tdw__read_plan(struct reader *r, struct fy_node *root);
/* Put the values of --set in (set.c). */
void tdw__read_set(struct reader *r);

#endif
