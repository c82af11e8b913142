/* SPDX-License-Identifier: MIT */
/* What reading a plan is about, for read.c, keys.c and set.c. */
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
/* The text of the --set that the node came by, or NULL. */
const char *tdw__read_set_of(const struct reader *r, struct fy_node *node);
/* The document's root into the plan; what is wrong is told (keys.c). */
void tdw__read_plan(struct reader *r, struct fy_node *root);
/* Put the values of --set in (set.c). */
void tdw__read_set(struct reader *r);

#endif
