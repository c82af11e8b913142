/* SPDX-License-Identifier: MIT */
/*
 * A block that was written to another's place is taken for that one.
 *
 *     write block 2 ─▶ the disk puts it at 0 ─▶ recovery reads block 0: its checksum is right
 *
 * A checksum tells that a block is as it was written, and not that it is the block that was asked
 * for. There are two copies of each, in two files, and the newest that is good is taken; that it
 * belongs elsewhere cannot be seen, as blocks do not say which they are.
 *
 * Seen: "identity discrepancies" of Bairavasundaram et al., "An Analysis of Data Corruption in the
 * Storage Stack", FAST 2008.
 *
 * Found as:  key [0-9]: after a power cut of db .* it is [0-9]+, which nobody ever wrote
 * Faults:    --crash every
 * Optimum:   0 deviations, 2 faults: a misdirected write, and a power cut, after which it is read
 */
#include "corpus.h"

enum { NAMES_NO_BLOCK = BUGGY, TELLS_NO_VERSION = false };
#include "copies.h"

CORPUS(misdirected, start, "a block is the one that was asked for");
