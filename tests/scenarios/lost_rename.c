/* SPDX-License-Identifier: MIT */
/*
 * A file is replaced by a rename, and its directory is not synced.
 *
 *     config.tmp: write, fsync ── rename to config ── (missing: fsync of the directory) ── done
 *
 * The new file is on the disk; that it has the old one's name is not, until the directory is
 * synced. A power cut brings the old file back, after the new one was acknowledged.
 *
 * Seen: LevelDB's CURRENT file (github.com/google/leveldb/issues/195), and RocksDB's
 * (github.com/facebook/rocksdb/pull/10573).
 *
 * Found as:  key 0: [0-9]+ was acknowledged at .*; after a power cut of db .* it is
 * Faults:    --plan power-cut --crash every
 * Optimum:   0 deviations, 1 fault: the power is cut after the answer
 */
#include "corpus.h"

enum { FORGETS_DIRECTORY = BUGGY, FORGETS_CONTENT = false };
#include "replace.h"

CORPUS(lost_rename, start, "a file that was replaced stays replaced");
