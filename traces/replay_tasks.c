/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls that begin and end threads and processes.
 *
 * A thread is a task of the run's model; a process that was forked has its parent's descriptors
 * under the same numbers. Who waits for an end is held back by its edge.
 */
#include <traces/replay_calls.h>

/* Threads and processes that this call made, start here. */
PREPARE(call_clone)
{
    struct replay *replay = t->replay;

    for (uint32_t i = 0; i < replay->program->threads_count; i++)
        if (replay->program->threads[i].clone_call == s->index)
            tdw__replay_spawn(&replay->threads[i]);
    return at_once(t, s->result);
}

PREPARE(call_recorded)
{
    return at_once(t, s->result);
}

/* A process ends: its descriptors are closed, and whoever reads from its pipes sees the end. */
PREPARE(call_exit)
{
    const struct replay_process *p = t->process;

    for (uint32_t fd = 0; fd < p->fds_max; fd++) {
        if (p->fds[fd] >= 0)
            tdw__fd_close(tdw__process()->files, p->fds[fd]);
        tdw__replay_map_fd(t, fd, -1);
    }
    return at_once(t, s->result);
}

PREPARE(call_exec)
{
    struct tdw_process *process = tdw__process();

    if (s->result == 0)
        process->files = tdw__files_exec(process->files);
    return at_once(t, s->result);
}

const struct replay_call tdw__replay_tasks[] = {
    {"clone", call_clone, NULL},
    {"clone3", call_clone, NULL},
    {"fork", call_clone, NULL},
    {"vfork", call_clone, NULL},
    {"execve", call_exec, NULL},
    {"execveat", call_exec, NULL},
    {"exit", call_recorded, NULL},
    {"exit_group", call_exit, NULL},
    {"wait4", call_recorded, NULL},
    {"waitid", call_recorded, NULL},
    {NULL, NULL, NULL},
};
