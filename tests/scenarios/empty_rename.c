/* SPDX-License-Identifier: MIT */
/*
 * A file is renamed before its content is on the disk.
 *
 *     config.tmp: write (missing: fsync) ── rename to config ── fsync of the directory ── done
 *
 * The name goes through the file system's journal, the content does not: after a power cut the new
 * file has the name, and nothing in it; the old one is gone. Some file systems help (ext4 writes
 * the data out at such a rename), xfs does not.
 *
 * Seen: KDE's and GNOME's settings on ext4 before Linux 2.6.30 (bugs.launchpad.net/bugs/317781,
 * lwn.net/Articles/322823).
 *
 * Found as:  power cut of db .*check failed: .*: the configuration has [0-9]+ bytes and is 0
 * Faults:    --crash every
 * Optimum:   0 deviations, 1 fault: the power is cut after the sync of the directory
 */
#include "corpus.h"

enum { FORGETS_CONTENT = BUGGY, FORGETS_DIRECTORY = false };
#include "replace.h"

CORPUS(empty_rename, start, "a file is the old one or the new one");
