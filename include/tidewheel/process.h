/* SPDX-License-Identifier: MIT */
/*
 * Processes of a host: started, waited for, killed.
 *
 * A host boots with one process; that one may start others, with copies of its descriptors. A
 * process ends when the last of its tasks has ended, when it says so (tdw_proc_exit), or when it is
 * killed. Its descriptors are closed then, as a kernel does: locks are dropped, peers read the end
 * of streams. The page cache stays: only tdw_host_crash takes what was not synced.
 */
#ifndef TIDEWHEEL_PROCESS_H
#define TIDEWHEEL_PROCESS_H

#include <tidewheel/task.h>

/* Start main(arg) as the root task of a new process on the running task's host, a child of its
 * process, with copies of the descriptors that are not FD_CLOEXEC, of the working and root
 * directories and the umask. Its pid; -ENOMEM. `name` is copied; children may share a name. */
int tdw_proc_spawn(const char *name, void (*main)(void *), void *arg);

/* The running process ends, with `status` (its low 8 bits). A stackful task does not come back from
 * this; elsewhere the process ends when the running step returns to the loop. */
void tdw_proc_exit(int status);

/* No further instruction of it runs; its status is that of SIGKILL. 0; -ESRCH: there is no such
 * process on the running task's host, or it has ended. Killing oneself is an exit. */
int tdw_proc_kill(int pid);

/* What SIGPIPE does to the running process: with `kills`, a write, writev, splice or sendfile into
 * a pipe or stream socket that nobody reads ends it as that signal does by default, and the line
 * behind it never runs; without, as at first, it is -EPIPE, as in a program that ignores SIGPIPE.
 * Sends never raise it: io_uring gives them MSG_NOSIGNAL. */
void tdw_proc_sigpipe(bool kills);

#endif
