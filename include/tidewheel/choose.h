/* SPDX-License-Identifier: MIT */
/*
 * Choices: every decision that a real machine takes by chance.
 *
 * A choice is asked with a key, (kind, actor, point, ordinal of that actor there), and a bound,
 * and answered with a number below the bound. 0 is always the calm answer: the machine behaves
 * as one would expect on a quiet day. Keys hold no global counter, so an edit elsewhere in the
 * program leaves the other choices, and what a seed draws for them, as they were.
 */
#ifndef TIDEWHEEL_CHOOSE_H
#define TIDEWHEEL_CHOOSE_H

#include <tidewheel/ring.h>

/* Numbers are kept in traces: never re-use one. */
enum tdw_choice_kind {
    TDW_CHOOSE_NEXT = 1,    /* which item runs */
    TDW_CHOOSE_EFFECT = 2,  /* when, between start and complete, an op takes effect */
    TDW_CHOOSE_LATENCY = 3, /* how long an op takes: 0 the median, then by distance from it */
    TDW_CHOOSE_FAULT = 4,
    TDW_CHOOSE_COUNT = 5,  /* how much is read or written: 0 all */
    TDW_CHOOSE_WAITER = 6, /* who is granted what was freed: 0 who waits longest */
    TDW_CHOOSE_PACKET = 7,
    TDW_CHOOSE_CRASH = 8, /* what survives a power cut: 0 only what was made durable */
    TDW_CHOOSE_APP = 9,   /* the program's own */
    TDW_CHOOSE_KINDS
};

struct tdw_choice {
    uint8_t kind; /* enum tdw_choice_kind */
    uint32_t ordinal;
    uint32_t bound; /* >= 2: with one candidate there is no choice */
    uint64_t actor;
    uint64_t point; /* hash of the name of the place, or 0 */
};

/* Ask: a number below `bound`, the same in every run with the same choices. `point` names the
 * place, e.g. "retry". bound <= 1 answers 0 without a choice. */
uint32_t tdw_choose(const char *point, uint32_t bound);

/* 64 bits, from two choices at `point`; 0 in the calm run. For `/dev/urandom`-like needs. */
uint64_t tdw_random(const char *point);

/* "next", "latency", …; "?" for an unknown kind. */
const char *tdw_choice_name(uint8_t kind);

#endif
