/* SPDX-License-Identifier: MIT */
/*
 * Reading a plan: YAML, through libfyaml, into rules.
 *
 *     text ─ libfyaml ─▶ document ─ --set (set.c) ─▶ document ─ tables of keys (keys.c) ─▶ plan
 *
 * Nothing stops at the first error: whoever writes a plan is told all that is wrong with it, each
 * with its place. Anchors and aliases are refused, since what they stand for can be made to grow
 * without bound; a plan is at most a MiB.
 */
#include <faults/read.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES_MAX = 1 << 20 };

/* ── Telling ───────────────────────────────────────────────────────────────────────────────── */

static void told_on_stderr(void *arg, const char *file, unsigned line, unsigned column,
                           const char *text)
{
    (void)arg;
    if (line)
        fprintf(stderr, "%s:%u:%u: %s\n", file, line, column, text);
    else
        fprintf(stderr, "%s: %s\n", file, text);
}

/* The text of the --set that the node came by, or NULL. */
const char *tdw__read_set_of(const struct reader *r, struct fy_node *node)
{
    for (; node; node = fy_node_get_parent(node))
        for (size_t i = 0; i < r->set_count; i++)
            if (r->set_nodes[i] == node)
                return r->set[i];
    return NULL;
}

static void keep_wrong(struct reader *r, const char *file, unsigned line, unsigned column,
                       const char *text)
{
    r->bad = true;
    if (r->wrongs_count == r->wrongs_max) {
        const size_t max = r->wrongs_max ? r->wrongs_max * 2 : 16;
        struct wrong *wrongs = realloc(r->wrongs, max * sizeof *wrongs);

        r->no_memory |= !wrongs;
        if (!wrongs)
            return;
        r->wrongs = wrongs;
        r->wrongs_max = max;
    }
    r->wrongs[r->wrongs_count] =
        (struct wrong){strdup(text), strdup(file), line, column, r->wrongs_count};
    r->wrongs_count++;
}

/* By place; what has none comes last. */
static int by_place(const void *a, const void *b)
{
    const struct wrong *x = a, *y = b;

    if (x->line != y->line)
        return x->line == 0 || (y->line != 0 && x->line > y->line) ? 1 : -1;
    if (x->column != y->column)
        return x->column > y->column ? 1 : -1;
    return x->order > y->order ? 1 : -1;
}

static void tell_all(struct reader *r)
{
    if (r->wrongs_count)
        qsort(r->wrongs, r->wrongs_count, sizeof *r->wrongs, by_place);
    for (size_t i = 0; i < r->wrongs_count; i++) {
        struct wrong *one = &r->wrongs[i];

        if (one->text && one->file)
            r->told(r->arg, one->file, one->line, one->column, one->text);
        free(one->text);
        free(one->file);
    }
    free(r->wrongs);
}

void tdw__read_wrong(struct reader *r, struct fy_node *at, const char *format, ...)
{
    struct fy_token *token = at ? fy_node_get_scalar_token(at) : NULL;
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    const char *set = tdw__read_set_of(r, at);
    char text[512], file[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(file, sizeof file, set ? "--set %s" : "%s", set ? set : r->plan->name);
    keep_wrong(r, file, mark && !set ? (unsigned)mark->line + 1 : 0,
               mark && !set ? (unsigned)mark->column + 1 : 0, text);
}

/* ── Documents ─────────────────────────────────────────────────────────────────────────────── */

/* Neither anchors nor aliases, nor anything that libfyaml would have to look up. */
static void refuse_references(struct reader *r, struct fy_node *node)
{
    void *iterator = NULL;
    struct fy_node_pair *pair;
    struct fy_node *item;

    if (!node)
        return;
    if (fy_node_is_alias(node) || fy_node_get_anchor(node)) {
        tdw__read_wrong(r, node, "a plan has no anchors and no aliases");
        return;
    }
    while (fy_node_is_mapping(node) && (pair = fy_node_mapping_iterate(node, &iterator)) != NULL) {
        refuse_references(r, fy_node_pair_key(pair));
        refuse_references(r, fy_node_pair_value(pair));
    }
    while (fy_node_is_sequence(node) && (item = fy_node_sequence_iterate(node, &iterator)) != NULL)
        refuse_references(r, item);
}

static void tell_syntax(struct reader *r, struct fy_diag *diag)
{
    struct fy_diag_error *error;
    void *iterator = NULL;
    bool any = false;

    while ((error = fy_diag_errors_iterate(diag, &iterator)) != NULL) {
        keep_wrong(r, r->plan->name, error->line > 0 ? (unsigned)error->line : 0,
                   error->column > 0 ? (unsigned)error->column : 0, error->msg);
        any = true;
    }
    if (!any)
        keep_wrong(r, r->plan->name, 0, 0, "this is no YAML");
}

/* How many bytes the character at `at` has; 0: it is none (RFC 3629), or one that YAML refuses. */
static size_t character(const unsigned char *at, size_t bytes)
{
    const unsigned char first = *at;
    const size_t length = first < 0x80   ? 1
                          : first < 0xc2 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;

    if (length > bytes || (first < 0x20 && first != '\n' && first != '\t' && first != '\r') ||
        (first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* libfyaml takes what is no text for the end of it. */
static bool is_text(struct reader *r, const char *text, size_t bytes)
{
    unsigned line = 1, column = 1;

    for (size_t at = 0, length; at < bytes; at += length) {
        length = character((const unsigned char *)text + at, bytes - at);
        if (length == 0) {
            keep_wrong(r, r->plan->name, line, column, "this byte is no text (UTF-8)");
            return false;
        }
        column = text[at] == '\n' ? 1 : column + 1;
        line += text[at] == '\n';
    }
    return true;
}

/* The text's one document; NULL: it is empty, or something was wrong. */
static struct fy_document *parse(struct reader *r, const struct fy_parse_cfg *config,
                                 const char *text, size_t bytes)
{
    struct fy_parser *parser = fy_parser_create(config);
    struct fy_document *document = NULL, *more = NULL;

    if (!parser || fy_parser_set_string(parser, text, bytes) < 0) {
        r->no_memory = true;
    } else {
        document = fy_parse_load_document(parser);
        more = document ? fy_parse_load_document(parser) : NULL;
        if (fy_parser_get_stream_error(parser) || fy_diag_got_error(config->diag))
            tell_syntax(r, config->diag);
        else if (more)
            keep_wrong(r, r->plan->name, 0, 0, "a plan is one document");
    }
    fy_document_destroy(more);
    fy_parser_destroy(parser);
    return document;
}

static void read_document(struct reader *r, const char *text, size_t bytes)
{
    struct fy_diag *diag = fy_diag_create(NULL);
    const struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};

    if (!diag) {
        r->no_memory = true;
        return;
    }
    fy_diag_set_collect_errors(diag, true);
    r->document = bytes ? parse(r, &config, text, bytes) : NULL;
    if (!r->document && !r->bad)
        r->document = fy_document_create(&config);
    if (r->document) {
        refuse_references(r, fy_document_root(r->document));
        if (!r->bad)
            tdw__read_set(r);
        if (!r->bad)
            tdw__read_plan(r, fy_document_root(r->document));
        r->no_memory |= !r->bad && tdw__plan_prepare(r->plan) < 0;
        fy_document_destroy(r->document);
    }
    fy_diag_destroy(diag);
}

int tdw_plan_text(struct tdw_plan **plan, const char *name, const char *text, size_t bytes,
                  const char *const *set, size_t count, tdw_plan_told *told, void *arg)
{
    struct reader r = {.told = told ? told : told_on_stderr,
                       .arg = arg,
                       .plan = calloc(1, sizeof **plan),
                       .set = set,
                       .set_count = count};

    *plan = NULL;
    if (!r.plan)
        return -ENOMEM;
    r.plan->name = strdup(name);
    r.set_nodes = calloc(count ? count : 1, sizeof *r.set_nodes);
    if (!r.plan->name || !r.set_nodes) {
        r.no_memory = true;
    } else if (bytes > BYTES_MAX) {
        keep_wrong(&r, name, 0, 0, "a plan has at most 1 MiB");
    } else if (is_text(&r, text, bytes)) {
        read_document(&r, text, bytes);
    }
    tell_all(&r);
    free(r.set_nodes);
    if (!r.bad && !r.no_memory) {
        *plan = r.plan;
        return 0;
    }
    tdw_plan_free(r.plan);
    return r.no_memory ? -ENOMEM : -EINVAL;
}

static int read_file(int fd, char **text, size_t *bytes)
{
    char *room = malloc(BYTES_MAX + 1);
    ssize_t n = 1;

    *bytes = 0;
    while (room && n > 0 && *bytes <= BYTES_MAX) {
        n = read(fd, room + *bytes, BYTES_MAX + 1 - *bytes);
        *bytes += n > 0 ? (size_t)n : 0;
    }
    if (!room || n < 0) {
        n = room ? -errno : -ENOMEM;
        free(room);
        return (int)n;
    }
    *text = room;
    return 0;
}

int tdw_plan_read(struct tdw_plan **plan, const char *name, const char *const *set, size_t count,
                  tdw_plan_told *told, void *arg)
{
    const char *preset = tdw__preset_text(name);
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    size_t bytes = 0;
    char *text = NULL;
    int ret;

    *plan = NULL;
    if (fd < 0 && preset)
        return tdw_plan_text(plan, name, preset, strlen(preset), set, count, told, arg);
    if (fd < 0)
        return -errno;
    ret = read_file(fd, &text, &bytes);
    close(fd);
    if (ret < 0)
        return ret;
    ret = tdw_plan_text(plan, name, text, bytes, set, count, told, arg);
    free(text);
    return ret;
}

void tdw_plan_free(struct tdw_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->rules_count; i++) {
        struct tdw_rule *rule = &plan->rules[i];
        char *const texts[] = {rule->name,          rule->point,      rule->match.host,
                               rule->match.process, rule->match.task, rule->match.path,
                               rule->during_name,   rule->after,      rule->match.peer,
                               rule->match.fd,      rule->spare.group};

        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++)
            free(texts[j]);
    }
    tdw__machines_free(plan);
    free(plan->rules);
    free(plan->concerns);
    free(plan->name);
    free(plan);
}

size_t tdw_plan_rules(const struct tdw_plan *plan)
{
    return plan->rules_count;
}

const char *tdw_plan_rule_name(const struct tdw_plan *plan, size_t rule)
{
    return plan->rules[rule].name;
}
