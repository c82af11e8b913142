/* SPDX-License-Identifier: MIT */
/*
 * The drive under a host's disk (drive.c), for world.c, which knows which ops reach it.
 */
#ifndef TDW_DRIVE_H
#define TDW_DRIVE_H

#include <sim/kernel/world.h>
#include <tidewheel/device.h>

enum tdw_request { TDW_REQUEST_READ, TDW_REQUEST_WRITE, TDW_REQUEST_FLUSH };

/* How long a request takes that arrives now. `place`: the quantile of its service time. */
uint64_t tdw__drive_ns(struct tdw_drive *drive, const struct tdw_op *op, enum tdw_request request,
                       uint64_t bytes, uint32_t place);
/* What an op asks of the drive, of how many bytes; false: it meets the page cache only. (io.c) */
bool tdw__file_request(const struct tdw_op *op, const void *object, enum tdw_request *request,
                       uint64_t *bytes);
/* So many bytes more wait in the page cache for the next flush. */
void tdw__drive_dirty(struct tdw_drive *drive, uint64_t bytes);

#endif
