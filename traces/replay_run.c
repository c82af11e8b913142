/* SPDX-License-Identifier: MIT */
/*
 * One run of a program on a world: images first, then a task for each thread.
 *
 * A step goes through five phases, each of which may have to wait:
 *
 *     edges    until the calls that it comes after were submitted, or have completed
 *     pace     until its time: recorded, or the recorded gap after the step before
 *     arrival  what peers send for it is released, and has to come
 *     call     the op itself
 *     result   compared; whoever waits for this step goes on
 *
 * All waits are ops of the thread, so the three models submit the same ones.
 */
#include <runtime/mix.h>
#include <runtime/runtime.h>
#include <sim/kernel/kernel.h>
#include <stdlib.h>
#include <string.h>
#include <traces/replay.h>

/* ── Descriptors ───────────────────────────────────────────────────────────────────────────── */

int tdw__replay_fd(const struct replay_thread *t, int64_t recorded)
{
    const struct replay_process *p = t->process;

    return recorded >= 0 && recorded < p->fds_max ? p->fds[recorded] : -1;
}

void tdw__replay_map_fd(struct replay_thread *t, int64_t recorded, int simulated)
{
    struct replay_process *p = t->process;

    if (recorded < 0 || recorded >= 1 << 20)
        return;
    if (recorded >= p->fds_max) {
        const uint32_t max = (uint32_t)recorded * 2 + 16;
        int32_t *fds = realloc(p->fds, max * sizeof *fds);

        if (!fds)
            abort();
        for (uint32_t i = p->fds_max; i < max; i++)
            fds[i] = -1;
        p->fds = fds;
        p->fds_max = max;
    }
    p->fds[recorded] = simulated;
}

/* ── A thread's steps ──────────────────────────────────────────────────────────────────────── */

const struct replay_step *tdw__replay_step(const struct replay_thread *t)
{
    return t->at < t->fds_count ? t->fds[t->at]
                                : &t->replay->program->steps[t->steps[t->at - t->fds_count]];
}

static void open_gate(struct replay_thread *t, const struct replay_step *s, bool completed)
{
    struct replay_gate *gate;

    if (s->gate == REPLAY_NONE)
        return;
    gate = &t->replay->program->gates[s->gate];
    tdw_token_cancel(completed ? &gate->completed : &gate->submitted);
}

/* The next edge that still holds the step back becomes t->task.op. */
static bool wait_for_edge(struct replay_thread *t, const struct replay_step *s)
{
    const struct replay_program *program = t->replay->program;

    for (; t->edge < s->edges; t->edge++) {
        const struct tdw_edge *edge = &program->edges[s->first_edge + t->edge];
        const struct replay_step *target = &program->steps[edge->call];
        struct replay_gate *gate;
        struct tdw_token *token;

        if (target->gate == REPLAY_NONE || target->thread == s->thread)
            continue;
        gate = &program->gates[target->gate];
        token = edge->kind == TDW_EDGE_ORDER ? &gate->completed : &gate->submitted;
        if (token->cancelled)
            continue;
        tdw_prep_token_wait(&t->task.op, token);
        t->edge++;
        return true;
    }
    return false;
}

static bool wait_for_pace(struct replay_thread *t, const struct replay_step *s)
{
    const uint64_t now = tdw_now();
    uint64_t until = now;

    switch (t->replay->options->pace) {
    case TDW_PACE_ASAP:
        return false;
    case TDW_PACE_RECORDED:
        until = s->start_ns;
        break;
    case TDW_PACE_CLOSED:
        if (s->start_ns > t->recorded_end_ns)
            until = t->ended_ns + (s->start_ns - t->recorded_end_ns);
        break;
    }
    if (until <= now)
        return false;
    tdw_prep_sleep(&t->task.op, until - now);
    return true;
}

/* Outgoing connections find somebody there. */
static bool wait_for_peers(struct replay_thread *t)
{
    struct tdw_token *ready = t->replay->outside ? tdw__replay_peers_ready(t->replay) : NULL;

    if (!ready || ready->cancelled)
        return false;
    tdw_prep_token_wait(&t->task.op, ready);
    return true;
}

static void judge(struct replay_thread *t, const struct replay_step *s)
{
    struct replay *replay = t->replay;

    t->ended_ns = tdw_now();
    t->recorded_end_ns = s->end_ns;
    open_gate(t, s, true);
    if (s->index == UINT64_MAX)
        return; /* a descriptor of the images: no call of the recording */
    replay->operations++;
    tdw__histogram_add(&replay->by_row[s->row], t->ended_ns - t->began_ns);
    tdw__histogram_add(&replay->recorded_by_row[s->row], s->end_ns - s->start_ns);
    replay->timing_as_recorded += s->timing && t->result == s->result;
    if (s->bits & TDW_CALL_NO_RESULT || tdw__replay_matches(t, s))
        return;
    if (replay->mismatches < REPLAY_MISMATCHES) {
        replay->mismatched[replay->mismatches] = (uint32_t)s->index;
        replay->mismatched_result[replay->mismatches] = t->result;
    }
    replay->mismatches++;
}

/* On to the next step. */
static void advance(struct replay_thread *t)
{
    t->at++;
    t->edge = 0;
    t->moved = 0;
    t->differs = false;
    t->phase = REPLAY_EDGES;
}

static bool thread_next(struct replay_task *task)
{
    struct replay_thread *t = tdw_of(task, struct replay_thread, task);

    while (t->at < t->fds_count + t->steps_count) {
        const struct replay_step *s = tdw__replay_step(t);

        switch (t->phase) {
        case REPLAY_START:
            t->phase = REPLAY_EDGES;
            if (wait_for_peers(t))
                return true;
            /* fall through */
        case REPLAY_EDGES:
            if (wait_for_edge(t, s))
                return true;
            t->phase = REPLAY_PACE;
            /* fall through */
        case REPLAY_PACE:
            t->phase = REPLAY_RELEASE;
            if (s->index != UINT64_MAX && wait_for_pace(t, s))
                return true;
            /* fall through */
        case REPLAY_RELEASE:
            t->phase = REPLAY_ARRIVAL;
            t->began_ns = tdw_now();
            tdw__replay_release(t, s);
            /* fall through */
        case REPLAY_ARRIVAL:
            if (tdw__replay_arrives(t, s))
                return true;
            t->phase = REPLAY_RESULT;
            if (!s->call->prepare(t, s))
                return true;
            open_gate(t, s, false);
            break;
        case REPLAY_RESULT:
            t->result = t->task.op.res;
            break;
        }
        if (s->call->after && s->call->after(t, s))
            return true;
        judge(t, s);
        advance(t);
    }
    return false;
}

static void thread_submitted(struct replay_task *task)
{
    struct replay_thread *t = tdw_of(task, struct replay_thread, task);

    if (t->phase == REPLAY_RESULT)
        open_gate(t, tdw__replay_step(t), false);
}

/* ── Threads and processes ─────────────────────────────────────────────────────────────────── */

static void start_in_child(void *arg)
{
    struct replay_thread *t = arg;

    t->process->process = tdw__process();
    tdw__replay_start(&t->task, "thread", false);
}

/* A process that was forked has its parent's descriptors, under the same numbers. */
void tdw__replay_spawn(struct replay_thread *t)
{
    const struct replay_process *parent;

    if (t->process->process) {
        tdw__replay_start(&t->task, "thread", false);
        return;
    }
    parent = t->replay->threads[t->recorded->parent].process;
    t->process->process = tdw__process_fork(parent->process, start_in_child, t);
    for (uint32_t fd = 0; t->process->process && fd < parent->fds_max; fd++)
        if (parent->fds[fd] >= 0)
            tdw__replay_map_fd(t, fd, parent->fds[fd]);
}

/* ── Images ────────────────────────────────────────────────────────────────────────────────── */

static void seed_disk(const struct replay_program *program, struct tdw_disk *disk)
{
    for (size_t i = 0; i < program->images_count; i++) {
        const struct tdw_image *image = &program->images[i];

        switch ((enum tdw_image_kind)image->kind) {
        case TDW_IMAGE_DIRECTORY:
            tdw__disk_seed_dir(disk, image->path);
            break;
        case TDW_IMAGE_FILE:
        case TDW_IMAGE_OTHER:
            tdw__disk_seed_file(disk, image->path, image->size, tdw__hash_text(image->path));
            break;
        case TDW_IMAGE_LINK:
            tdw__disk_seed_symlink(disk, image->path, image->target ? image->target : "unknown");
            break;
        case TDW_IMAGE_FD: /* what is open exists; its own image, if any, came before */
            if (image->path[0] == '/')
                tdw__disk_seed_file(disk, image->path, image->size, tdw__hash_text(image->path));
            break;
        case TDW_IMAGE_ABSENT:
            break;
        }
        if (image->mode & 07777 && image->kind != TDW_IMAGE_LINK)
            tdw__disk_seed_mode(disk, image->path, image->mode);
    }
}

/* The first process starts with the threads that were there before. */
static void start_first(void *arg)
{
    struct replay *replay = arg;

    seed_disk(replay->program, tdw_host_disk(tdw__process()->host));
    if (replay->program->peers_count && tdw__replay_peers_start(replay) < 0)
        return;
    for (uint32_t i = 0; i < replay->program->gates_count; i++) {
        tdw_token_init(&replay->program->gates[i].submitted, "submitted");
        tdw_token_init(&replay->program->gates[i].completed, "completed");
    }
    for (uint32_t i = 0; i < replay->program->threads_count; i++) {
        struct replay_thread *t = &replay->threads[i];

        if (t->recorded->clone_call != UINT64_MAX)
            continue;
        if (!t->process->process) {
            t->process->process = tdw__process();
            for (int fd = 0; fd < 3; fd++) /* open on /dev/null, until an image says otherwise */
                tdw__replay_map_fd(t, fd, fd);
        }
        tdw__replay_start(&t->task, "thread", false);
    }
}

/* ── A run ─────────────────────────────────────────────────────────────────────────────────── */

static int make_threads(struct replay *replay)
{
    const struct replay_program *program = replay->program;

    replay->threads = calloc(program->threads_count + 1, sizeof *replay->threads);
    replay->processes = calloc(program->processes_count + 1, sizeof *replay->processes);
    if (!replay->threads || !replay->processes)
        return -ENOMEM;
    for (uint32_t i = 0; i < program->threads_count; i++) {
        struct replay_thread *t = &replay->threads[i];

        *t = (struct replay_thread){
            .task = {.model = replay->model, .next = thread_next, .submitted = thread_submitted},
            .replay = replay,
            .recorded = &program->threads[i],
            .process = &replay->processes[program->threads[i].process],
            .steps = program->by_thread[i],
            .steps_count = program->by_thread_count[i],
            .buffer = malloc(program->bytes_max),
        };
        if (!t->buffer)
            return -ENOMEM;
        memset(t->buffer, 0x74, program->bytes_max);
        for (uint32_t j = 0; t->recorded->clone_call == UINT64_MAX && j < program->fds_count; j++)
            if (program->fds[j].arg[5] == t->recorded->process && t->fds_count < 16)
                t->fds[t->fds_count++] = &program->fds[j];
    }
    return 0;
}

int tdw__replay_run(struct replay *replay, struct tdw_world *world,
                    const struct replay_program *program, const struct tdw__replay_options *options,
                    enum tdw_model model)
{
    *replay = (struct replay){.program = program, .options = options, .model = model};
    if (make_threads(replay) < 0)
        return -ENOMEM;
    return tdw_world_run(world, start_first, replay);
}

void tdw__replay_fini(struct replay *replay)
{
    for (uint32_t i = 0; replay->threads && i < replay->program->threads_count; i++)
        free(replay->threads[i].buffer);
    for (uint32_t i = 0; replay->processes && i < replay->program->processes_count; i++)
        free(replay->processes[i].fds);
    for (int i = 0; i < TDW_ROWS; i++) {
        tdw__histogram_fini(&replay->by_row[i]);
        tdw__histogram_fini(&replay->recorded_by_row[i]);
    }
    tdw__replay_peers_fini(replay);
    free(replay->threads);
    free(replay->processes);
}
