/* SPDX-License-Identifier: MIT */
/*
 * A write that never reached the disk leaves an old block, and that is taken for the new one.
 *
 *     write to a: acknowledged, lost ── write to b ── done        a: 1 (its checksum is right)
 *                                                                 b: 5
 *
 * An old block is in order: it is the one that was asked for, and its checksum is right. There are
 * two copies of each, in two files; recovery takes the first that is good, and can do no better, as
 * blocks do not say how new they are.
 *
 * Seen: "parity inconsistencies" of Bairavasundaram et al., "An Analysis of Data Corruption in the
 * Storage Stack", FAST 2008; Krioukov et al., "Parity Lost and Parity Regained", FAST 2008.
 *
 * Found as:  key [0-9]: [0-9]+ was acknowledged at .*; after a power cut of db .* it is
 * Faults:    --crash every
 * Optimum:   0 deviations, 2 faults: a lost write, and a power cut, after which it is read
 */
#include "corpus.h"

enum { TELLS_NO_VERSION = BUGGY, NAMES_NO_BLOCK = false };
#include "copies.h"

CORPUS(lost_write, start, "a block is the newest that was written");
