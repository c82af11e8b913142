/* SPDX-License-Identifier: MIT */
/*
 * The importer of the recorder's events: what its files share.
 *
 *     events_numbers.c   names of system calls; what the kernel side does for each
 *     events_words.c     what descriptors stand for
 *     events_args.c      one call's event becomes a struct tdw_call
 *     events_import.c    all events, in the order of time
 */
#ifndef TDW_TRACES_EVENTS_IMPORT_H
#define TDW_TRACES_EVENTS_IMPORT_H

#include <traces/import.h>
#include <linux/types.h>
#include "events.h"

/* The name of a system call; NULL for an unknown number. */
const char *tdw__event_name(unsigned nr);
void tdw__event_plan(unsigned nr, struct tdw__event_plan *plan);

/* Words by number. */
struct tdw__event_texts {
    struct tdw__map by_id;
    char **text;
    size_t count, room;
};

/* Keep the words that this event tells; its bytes were checked. 0 or -ENOMEM. */
int tdw__event_words_add(struct tdw__event_texts *texts, const struct tdw__event_words *event);
/* NULL: there are none of that number. */
const char *tdw__event_words(const struct tdw__event_texts *texts, uint32_t id);
void tdw__event_words_fini(struct tdw__event_texts *texts);

/*
 * Fill in `parsed` from a call's event and, unless it is NULL, what was read before the call: both
 * with so many bytes as they say. Never fails, and never looks behind a field's bytes.
 */
void tdw__event_parse(struct tdw__parsed *parsed, const struct tdw__event_call *event,
                      const struct tdw__event_call *before, const struct tdw__event_texts *texts);

/* Import `bytes` bytes of events, at an address that is a multiple of eight, into a new trace.
 * 0, -EINVAL (there is no call), -ENOMEM, or what writing says. */
int tdw__import_events(const uint8_t *events, size_t bytes, int out_fd,
                       struct tdw__import_report *report);

#endif
