/* SPDX-License-Identifier: MIT */
/*
 * What a power cut leaves on a host's disk.
 *
 *     write ─▶ page cache ┄┄┄ some of it, some day ┄┄┄▶ disk        power cut: what is on the disk
 *                   └─────── fsync: this file, now ────▶
 *
 * What was synced survives. Of the rest a real disk holds an accidental part, and how accidental it
 * may be depends on the file system: a *persistence profile* says so. At a power cut choices of
 * kind `crash` pick one state from all that the profile allows; the calm answer, 0, is that nothing
 * survives but what was synced.
 *
 * All profiles: fsync and fdatasync of a file, and a write with O_SYNC, O_DSYNC, RWF_SYNC or
 * RWF_DSYNC, make its data and size durable; sync_file_range makes nothing durable; a rename is
 * atomic. What they differ in:
 *
 *                     names                data                          fsync(file) keeps, too
 *     TDW_SYNCED      as synced            as synced                     nothing else
 *     TDW_STRICT      any, in any order    any sectors of any write,     nothing else: names need
 *                                          sizes without data            an fsync of the directory
 *     TDW_EXT4        a prefix of what     sectors in place; what is     names: all operations
 *                     was done             new comes before the size     before it
 *                                          that shows it; a rename over
 *                                          a file brings the data
 *     TDW_XFS         a prefix             the same without that help    the same
 *     TDW_BTRFS       any, in any order    whole blocks of 4,096 bytes   the names of that file
 *     TDW_NO_BARRIERS as TDW_EXT4, and what was synced may be lost or
 *                     reordered as well: a drive that acknowledges and forgets
 *
 * Sources: Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI); Mohan et al. 2018,
 * "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (OSDI); Bornholt et al.
 * 2016, "Specifying and Checking File System Crash-Consistency Models" (ASPLOS); the kernel's
 * documentation of ext4 (data=ordered, auto_da_alloc), xfs and btrfs.
 */
#ifndef TIDEWHEEL_DISK_H
#define TIDEWHEEL_DISK_H

#include <stddef.h>

struct tdw_host;

enum tdw_persistence {
    TDW_SYNCED, /* exactly what was synced survives: no choices */
    TDW_STRICT,
    TDW_EXT4, /* data=ordered */
    TDW_XFS,
    TDW_BTRFS,
    TDW_NO_BARRIERS,
    TDW_PERSISTENCES
};

/* From now on; the disk is synced first. On a real backend nothing happens. 0; -EINVAL: there is no
 * such profile. */
int tdw_host_persistence(struct tdw_host *host, enum tdw_persistence profile);

/* "synced", "strict", "ext4-ordered", "xfs", "btrfs-like", "no-barriers". */
const char *tdw_persistence_name(enum tdw_persistence profile);
/* 0; -EINVAL: there is none of that name. */
int tdw_persistence_named(const char *name, enum tdw_persistence *profile);

#endif
