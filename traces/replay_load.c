/* SPDX-License-Identifier: MIT */
/*
 * A recording as a program: read once, kept by thread.
 *
 * What needs no replay (ignored calls, those served from the recording, the loader's start-up) is
 * counted and left out here. A call that should be replayed and for whose name there is no row is
 * unsupported: counted by name, and told.
 */
#include <runtime/mix.h>
#include <stdlib.h>
#include <string.h>
#include <traces/import.h>
#include <traces/replay.h>

/* ── Texts ─────────────────────────────────────────────────────────────────────────────────── */

/* One copy of each text: a hash table of lists. */
struct replay_text {
    struct replay_text *next;
    char text[];
};
enum { TEXTS = 4096 };

static const char *keep_text(struct replay_text **table, const char *text)
{
    struct replay_text **at;
    const size_t bytes = text ? strlen(text) + 1 : 0;

    if (!text)
        return NULL;
    at = &table[tdw__hash_text(text) % TEXTS];
    for (; *at; at = &(*at)->next)
        if (strcmp((*at)->text, text) == 0)
            return (*at)->text;
    *at = calloc(1, sizeof **at + bytes);
    if (!*at)
        return NULL;
    memcpy((*at)->text, text, bytes);
    return (*at)->text;
}

const char *tdw__replay_text(struct replay_program *program, const char *before, const char *text,
                             size_t bytes)
{
    const size_t first = strlen(before);
    struct replay_text *kept = calloc(1, sizeof *kept + first + bytes + 1);

    if (!kept)
        return NULL;
    memcpy(kept->text, before, first);
    memcpy(kept->text + first, text, bytes);
    kept->next = program->text_list;
    program->text_list = kept;
    return kept->text;
}

static void keep_all_texts(struct replay_program *program, struct replay_text **table)
{
    for (int i = 0; i < TEXTS; i++) {
        while (table[i]) {
            struct replay_text *text = table[i];

            table[i] = text->next;
            text->next = program->text_list;
            program->text_list = text;
        }
    }
}

/* ── Records ───────────────────────────────────────────────────────────────────────────────── */

static void count_unsupported(struct replay_program *program, const char *name)
{
    program->unsupported++;
    for (size_t i = 0; i < 64; i++) {
        if (program->unsupported_names[i].name &&
            strcmp(program->unsupported_names[i].name, name) != 0)
            continue;
        program->unsupported_names[i].name = name;
        program->unsupported_names[i].count++;
        return;
    }
}

/* What is served from the recording still takes a descriptor and gives it back. */
static const struct replay_call *served(const struct tdw_call *call)
{
    if (call->row != TDW_ROW_OPEN || call->result < 0)
        return NULL;
    return tdw__replay_call(strcmp(call->name, "close") == 0 ? "close" : "(served)");
}

/* Is there anything to do for the call? Counts why not. */
static bool is_replayed(struct replay_program *program, const struct tdw__replay_options *options,
                        const struct tdw_call *call, const struct replay_call **how,
                        const char *name)
{
    *how = NULL;
    if (call->bits & TDW_CALL_STARTUP && !options->startup) {
        program->startup++;
        return false;
    }
    switch ((enum tdw_how)call->how) {
    case TDW_HOW_OP:
    case TDW_HOW_SYS:
    case TDW_HOW_TASK:
        *how = tdw__replay_call(name);
        if (*how)
            return true;
        break;
    case TDW_HOW_WAIT:
    case TDW_HOW_EDGE:
        *how = tdw__replay_call(name);
        if (!*how)
            *how = tdw__replay_call(call->how == TDW_HOW_WAIT ? "(wait)" : "(order)");
        return true;
    case TDW_HOW_IGNORE:
        program->ignored++;
        return false;
    case TDW_HOW_SERVED:
        program->served++;
        *how = served(call);
        return *how != NULL;
    case TDW_HOW_UNSUPPORTED:
        break;
    }
    count_unsupported(program, name);
    return false;
}

/* How many bytes a transfer of this call moves at most. */
static uint32_t transfer(const struct tdw_call *call)
{
    const int64_t bytes = call->arg[2] > call->arg[1] && call->row != TDW_ROW_STREAM ? call->arg[2]
                          : call->arg[2] > 0                                         ? call->arg[2]
                                                                                     : call->arg[1];
    const int64_t most = call->result > bytes ? call->result : bytes;

    return most < 0 ? 0 : most > (64 << 20) ? 64u << 20 : (uint32_t)most;
}

/* Lists: descriptors of a pair or message, what was waited for and what came. */
static int take_items(struct replay_program *program, const struct tdw_call *call,
                      struct replay_step *step)
{
    step->first_item = (uint32_t)program->items_count;
    if (call->row != TDW_ROW_WAIT && call->row != TDW_ROW_EPOLL && call->row != TDW_ROW_STREAM &&
        call->row != TDW_ROW_FDS)
        return 0;
    for (uint32_t i = 0; i < call->items; i++) {
        if (tdw__grow(&program->items, &program->items_max, program->items_count,
                      sizeof *program->items) < 0)
            return -ENOMEM;
        program->items[program->items_count++] = call->item[i];
    }
    step->items = call->items;
    return 0;
}

/* The edges that a replay keeps: the spawn itself sees to a thread's first call. */
static int take_edges(struct replay_program *program, const struct tdw_call *call,
                      struct replay_step *step)
{
    step->first_edge = (uint32_t)program->edges_count;
    for (uint8_t i = 0; step->call && i < call->edges; i++) {
        if (call->edge[i].kind == TDW_EDGE_SPAWN)
            continue;
        if (tdw__grow(&program->edges, &program->edges_max, program->edges_count,
                      sizeof *program->edges) < 0)
            return -ENOMEM;
        program->edges[program->edges_count++] = call->edge[i];
        step->edges++;
    }
    return 0;
}

static void count_compared(struct replay_program *program, const struct tdw_call *call)
{
    program->compared += call->compare != TDW_COMPARE_NONE;
    program->timing += tdw__is_timing(call);
}

static int take_call(struct replay_program *program, const struct tdw__replay_options *options,
                     struct replay_text **texts, const struct tdw_call *call)
{
    const char *name = keep_text(texts, call->name);
    const struct replay_call *how;
    struct replay_step *step;

    program->calls++;
    if (call->end_ns > program->recorded_ns)
        program->recorded_ns = call->end_ns;
    is_replayed(program, options, call, &how, name);
    if (tdw__grow(&program->steps, &program->steps_max, program->steps_count, sizeof *step) < 0)
        return -ENOMEM;
    step = &program->steps[program->steps_count++];
    *step = (struct replay_step){
        .index = call->index,
        .start_ns = call->start_ns,
        .end_ns = call->end_ns,
        .line = call->line,
        .result = call->result,
        .name = name,
        .path = {keep_text(texts, call->path[0]), keep_text(texts, call->path[1])},
        .address = keep_text(texts, call->address),
        .fd_path = keep_text(texts, call->fd_path[0]),
        .result_path = keep_text(texts, call->result_path),
        .call = how,
        .thread = call->thread,
        .gate = REPLAY_NONE,
        .segment = REPLAY_NONE,
        .bits = call->bits,
        .row = call->row,
        .how = call->how,
        .compare = call->compare,
        .object = call->object,
        .timing = how && tdw__is_timing(call),
    };
    memcpy(step->arg, call->arg, sizeof step->arg);
    if (call->bits & TDW_CALL_LOCK)
        step->lock = call->lock;
    else if (call->bits & TDW_CALL_STAT)
        step->stat = call->stat;
    else if (call->bits & TDW_CALL_NAMES)
        step->names = call->names;
    if (take_items(program, call, step) < 0 || take_edges(program, call, step) < 0)
        return -ENOMEM;
    if (how)
        count_compared(program, call);
    if (how &&
        (call->row == TDW_ROW_FILE_AT || call->row == TDW_ROW_FILE || call->row == TDW_ROW_STREAM ||
         call->row == TDW_ROW_META) &&
        transfer(call) > program->bytes_max)
        program->bytes_max = transfer(call);
    return 0;
}

static int take_thread(struct replay_program *program, struct replay_text **texts,
                       const struct tdw_trace_thread *thread)
{
    struct tdw_trace_thread *threads =
        realloc(program->threads, (program->threads_count + 1) * sizeof *threads);

    if (!threads)
        return -ENOMEM;
    program->threads = threads;
    threads[program->threads_count] = *thread;
    threads[program->threads_count].program = keep_text(texts, thread->program);
    program->threads_count++;
    if (thread->process >= program->processes_count)
        program->processes_count = thread->process + 1;
    return 0;
}

static int take_image(struct replay_program *program, struct replay_text **texts,
                      const struct tdw_image *image)
{
    struct tdw_image *images =
        realloc(program->images, (program->images_count + 1) * sizeof *images);

    if (!images)
        return -ENOMEM;
    program->images = images;
    images[program->images_count] = *image;
    images[program->images_count].path = keep_text(texts, image->path);
    images[program->images_count].target = keep_text(texts, image->target);
    program->images_count++;
    return 0;
}

/* ── By thread, and the gates ──────────────────────────────────────────────────────────────── */

static int sort_by_thread(struct replay_program *program)
{
    program->by_thread = calloc(program->threads_count + 1, sizeof *program->by_thread);
    program->by_thread_count = calloc(program->threads_count + 1, sizeof(uint32_t));
    if (!program->by_thread || !program->by_thread_count)
        return -ENOMEM;
    for (size_t i = 0; i < program->steps_count; i++) {
        if (program->steps[i].thread >= program->threads_count)
            return -EBADMSG;
        program->by_thread_count[program->steps[i].thread]++;
    }
    for (uint32_t t = 0; t < program->threads_count; t++) {
        program->by_thread[t] = calloc(program->by_thread_count[t] + 1, sizeof(uint32_t));
        if (!program->by_thread[t])
            return -ENOMEM;
        program->by_thread_count[t] = 0;
    }
    for (size_t i = 0; i < program->steps_count; i++) {
        const uint32_t t = program->steps[i].thread;

        if (program->steps[i].call) /* what has nothing to do is no step of its thread */
            program->by_thread[t][program->by_thread_count[t]++] = (uint32_t)i;
    }
    return 0;
}

/* Whoever is waited for gets a gate. An edge from a call that is not replayed holds nobody. */
static int make_gates(struct replay_program *program)
{
    for (size_t i = 0; i < program->edges_count; i++) {
        struct tdw_edge *edge = &program->edges[i];
        struct replay_step *target;

        if (edge->call >= program->steps_count)
            return -EBADMSG;
        target = &program->steps[edge->call];
        if (target->call && target->gate == REPLAY_NONE)
            target->gate = program->gates_count++;
    }
    program->gates = calloc(program->gates_count + 1, sizeof *program->gates);
    return program->gates ? 0 : -ENOMEM;
}

/* The descriptors that a process has at its start become steps of its first thread. */
static int make_fds(struct replay_program *program)
{
    program->fds = calloc(program->images_count + 1, sizeof *program->fds);
    if (!program->fds)
        return -ENOMEM;
    for (size_t i = 0; i < program->images_count; i++) {
        const struct tdw_image *image = &program->images[i];
        int64_t flags = O_RDWR;

        if (image->kind != TDW_IMAGE_FD || !image->path || image->path[0] != '/')
            continue;
        for (size_t j = 0; j < program->images_count; j++)
            if (program->images[j].kind == TDW_IMAGE_DIRECTORY &&
                strcmp(program->images[j].path, image->path) == 0)
                flags = O_RDONLY | O_DIRECTORY;
        program->fds[program->fds_count++] = (struct replay_step){
            .index = UINT64_MAX,
            .name = "(descriptor)",
            .path = {image->path},
            .arg = {image->fd, flags, 0, 0, 0, image->process},
            .call = tdw__replay_call("(descriptor)"),
            .gate = REPLAY_NONE,
            .segment = REPLAY_NONE,
        };
    }
    return 0;
}

static int read_all(struct replay_program *program, const struct tdw__replay_options *options,
                    struct tdw_trace_reader *reader)
{
    struct replay_text *texts[TEXTS] = {NULL};
    struct tdw_trace_record record;
    uint64_t lost = 0;
    int ret, more;

    for (ret = 0; ret == 0 && (more = tdw_trace_next(reader, &record)) != 0;) {
        if (more < 0)
            ret = more;
        else if (record.type == TDW_TRACE_THREAD)
            ret = take_thread(program, texts, &record.thread);
        else if (record.type == TDW_TRACE_IMAGE)
            ret = take_image(program, texts, &record.image);
        else if (record.type == TDW_TRACE_CALL)
            ret = take_call(program, options, texts, &record.call);
        else if (record.type == TDW_TRACE_GAP)
            lost += record.gap.calls + record.gap.others;
    }
    if (lost > 0)
        fprintf(stderr,
                "tdw: %s: its recorder lost %llu events: what follows may differ for that\n",
                options->path, (unsigned long long)lost);
    keep_all_texts(program, texts);
    return ret;
}

int tdw__replay_load(struct replay_program *program, const struct tdw__replay_options *options)
{
    struct tdw_trace_reader *reader;
    struct tdw_trace_error error;
    int ret = tdw_trace_open(&reader, options->path, &error);

    *program = (struct replay_program){.bytes_max = 4096};
    if (ret < 0) {
        fprintf(stderr, "tdw: %s: %s\n", options->path, error.text);
        return ret;
    }
    ret = read_all(program, options, reader);
    if (ret < 0 && tdw_trace_error(reader)->code)
        fprintf(stderr, "tdw: %s: byte %llu: %s\n", options->path,
                (unsigned long long)tdw_trace_error(reader)->offset, tdw_trace_error(reader)->text);
    tdw_trace_reader_close(reader);
    if (ret == 0)
        ret = sort_by_thread(program);
    if (ret == 0)
        ret = tdw__replay_plan(program);
    if (ret == 0)
        ret = make_gates(program);
    if (ret == 0)
        ret = make_fds(program);
    if (ret == -EBADMSG)
        fprintf(stderr, "tdw: %s: a call or an edge leads out of the file\n", options->path);
    if (ret < 0)
        tdw__replay_free(program);
    return ret;
}

void tdw__replay_free(struct replay_program *program)
{
    for (uint32_t t = 0; program->by_thread && t < program->threads_count; t++)
        free(program->by_thread[t]);
    free(program->by_thread);
    free(program->by_thread_count);
    free(program->steps);
    free(program->edges);
    free(program->threads);
    free(program->images);
    free(program->gates);
    free(program->items);
    free(program->segments);
    free(program->peers);
    free(program->listeners);
    free(program->told);
    free(program->fds);
    while (program->text_list) {
        struct replay_text *next = program->text_list->next;

        free(program->text_list);
        program->text_list = next;
    }
}
