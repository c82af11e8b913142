/* SPDX-License-Identifier: MIT */
/* What judge.c wants of vfs.c. */
#ifndef JUDGE_H
#define JUDGE_H

/* From now on SQLite's files are those of the running task's host. */
void judge_register(void);

#endif
