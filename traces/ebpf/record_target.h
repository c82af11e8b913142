/* SPDX-License-Identifier: MIT */
/*
 * Whom a recording is of (record_target.c): a command that is started for it, or a process that
 * runs.
 */
#ifndef TDW_TRACES_RECORD_TARGET_H
#define TDW_TRACES_RECORD_TARGET_H

#include "record_spool.h"
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* A command that waits to be started. */
struct tdw__record_command {
    pid_t pid;
    int go, failed; /* ends of pipes: to let it go on; what exec answered */
};

/* Fork; the child waits. `mask`: its signals. 0, or -errno, told on `err`. */
int tdw__record_command_fork(struct tdw__record_command *command, char **argv, const sigset_t *mask,
                             FILE *err);
/* Let it exec. 0, or -errno, told on `err`. */
int tdw__record_command_go(struct tdw__record_command *command, const char *name, FILE *err);
void tdw__record_command_close(struct tdw__record_command *command);

/* The descriptors of a process as they are now, as events. */
void tdw__record_descriptors(struct tdw__record_spool *spool, pid_t pid);

#endif
