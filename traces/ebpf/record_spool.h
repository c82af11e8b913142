/* SPDX-License-Identifier: MIT */
/*
 * The spool of a recording under way (record_spool.c).
 */
#ifndef TDW_TRACES_RECORD_SPOOL_H
#define TDW_TRACES_RECORD_SPOOL_H

#include <stddef.h>
#include <stdint.h>

enum { TDW__RECORD_BUFFER_BYTES = 1 << 20 }; /* more than any event */

struct tdw__record_spool {
    int fd;
    int error; /* the first one sticks */
    uint8_t *buffer;
    size_t used;
    uint64_t bytes; /* written */
    void *map;
};

/* 0 or -errno; close it in either case. */
int tdw__record_spool_open(struct tdw__record_spool *spool, const char *output);
void tdw__record_spool_put(struct tdw__record_spool *spool, const void *bytes, size_t count);
/* All that was put, in memory until the spool is closed. 0 or -errno. */
int tdw__record_spool_map(struct tdw__record_spool *spool, const uint8_t **events, size_t *bytes);
void tdw__record_spool_close(struct tdw__record_spool *spool);

#endif
