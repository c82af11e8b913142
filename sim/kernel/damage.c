/* SPDX-License-Identifier: MIT */
/*
 * A disk that is not what it should be: damage, and what a plan may do to reads, writes and syncs.
 *
 *     read   ─▶ points read/error, read/rot      ─▶ a sector of the file is damaged from now on
 *     write  ─▶ points write/lost, /misdirected  ─▶ a page that never reaches its place
 *     fsync  ─▶ points sync/error, sync/lie      ─▶ what was to be kept is not
 *
 * The content itself stays as it was written: damage is an overlay, so a second read sees the same,
 * and a write that reaches the disk repairs it, as a drive does that puts a sector elsewhere. Pages
 * that were written and not synced are in memory; reading them does not meet the disk.
 *
 * A page whose write was lost, or dropped by a failed sync, has the bit TDW_PAGE_LOST: what
 * programs read is right, what a power cut leaves is not, and no sync changes that until it is
 * written again. That is what Linux does with dirty pages when write-back fails (Rebello et al.
 * 2020, "Can Applications Recover from fsync Failures?"): they become clean, and the error is told
 * once to each open file that had the file open then (fsync(2)).
 *
 * Cost without a plan: a test for each read, write and sync of a file. Called by io.c and fsync.c.
 */
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <string.h>

enum { SECTORS_PER_PAGE = TDW_PAGE_BYTES / TDW_SECTOR_BYTES };

/* ── Points ────────────────────────────────────────────────────────────────────────────────── */

static bool hits(struct tdw_process *process, const struct tdw_op *op, enum tdw_kernel_point point,
                 const struct tdw_file *file, uint64_t bytes, uint64_t bound, struct tdw_blow *blow)
{
    const struct tdw_loop *loop = process->ring.loop;
    const struct tdw_hit hit = {.point = point,
                                .host = process->host->name,
                                .op = op,
                                .actor = op->task->actor,
                                .ordinal = op->ordinal,
                                .bytes = bytes,
                                .bound = bound < UINT32_MAX ? (uint32_t)bound : UINT32_MAX,
                                .path = tdw__file_path,
                                .file = file};

    return tdw__point_asked(loop, point) && tdw__point_hit(loop, &hit, blow);
}

/* ── Sectors ───────────────────────────────────────────────────────────────────────────────── */

/* No read of it meets the disk. */
static bool is_in_memory(struct tdw_inode *inode, uint64_t sector)
{
    return !tdw__page_on_disk(inode, sector / SECTORS_PER_PAGE);
}

static struct tdw_damage **damage_at(struct tdw_inode *inode, uint64_t sector)
{
    struct tdw_damage **at = &inode->damage;

    while (*at && (*at)->sector != sector)
        at = &(*at)->next;
    return at;
}

static void damage_add(struct tdw_inode *inode, uint64_t sector, bool rot)
{
    struct tdw_damage **at = damage_at(inode, sector);

    if (*at || is_in_memory(inode, sector))
        return;
    *at = tdw__memory_get(inode->disk->memory, sizeof **at);
    if (*at)
        **at = (struct tdw_damage){.sector = sector, .rot = rot};
}

static void damage_take(struct tdw_inode *inode, struct tdw_damage **at)
{
    struct tdw_damage *damage = *at;

    *at = damage->next;
    tdw__memory_put(inode->disk->memory, damage, sizeof *damage);
}

void tdw__damage_free(struct tdw_inode *inode)
{
    while (inode->damage)
        damage_take(inode, &inode->damage);
}

void tdw__damage_heal(struct tdw_inode *inode, uint64_t index, uint8_t sectors)
{
    for (struct tdw_damage **at = &inode->damage; *at;)
        if ((*at)->sector / SECTORS_PER_PAGE == index &&
            sectors >> (*at)->sector % SECTORS_PER_PAGE & 1)
            damage_take(inode, at);
        else
            at = &(*at)->next;
}

bool tdw__damage_copy(struct tdw_inode *to, const struct tdw_inode *from)
{
    struct tdw_damage **at = &to->damage;

    *at = NULL;
    for (const struct tdw_damage *damage = from->damage; damage; damage = damage->next) {
        *at = tdw__memory_get(to->disk->memory, sizeof **at);
        if (!*at)
            return false;
        **at = *damage;
        (*at)->next = NULL;
        at = &(*at)->next;
    }
    return true;
}

/* ── Reading ───────────────────────────────────────────────────────────────────────────────── */

int64_t tdw__damage_read(struct tdw_process *process, const struct tdw_op *op,
                         struct tdw_file *file, uint64_t pos, size_t left)
{
    struct tdw_inode *inode = file->inode;
    const uint64_t first = pos / TDW_SECTOR_BYTES;
    const uint64_t sectors = (pos + left - 1) / TDW_SECTOR_BYTES - first + 1;
    struct tdw_blow blow;

    if (hits(process, op, TDW_AT_READ_ERROR, file, left, sectors, &blow))
        damage_add(inode, first + blow.way, false);
    if (hits(process, op, TDW_AT_READ_ROT, file, left, sectors, &blow))
        damage_add(inode, first + blow.way, true);
    for (const struct tdw_damage *damage = inode->damage; damage; damage = damage->next) {
        const uint64_t start = damage->sector * TDW_SECTOR_BYTES;

        if (damage->rot || is_in_memory(inode, damage->sector) || start + TDW_SECTOR_BYTES <= pos ||
            start >= pos + left)
            continue;
        if (start <= pos)
            return -EIO;
        left = (size_t)(start - pos);
    }
    return (int64_t)left;
}

void tdw__damage_rot(struct tdw_inode *inode, uint64_t pos, void *to, size_t bytes)
{
    for (const struct tdw_damage *damage = inode->damage; damage; damage = damage->next) {
        const uint64_t bit = tdw__mix(damage->sector, TDW_K2) % (TDW_SECTOR_BYTES * 8);
        const uint64_t at = damage->sector * TDW_SECTOR_BYTES + bit / 8;

        if (damage->rot && at >= pos && at < pos + bytes && !is_in_memory(inode, damage->sector))
            ((uint8_t *)to)[at - pos] ^= (uint8_t)(1 << bit % 8);
    }
}

/* ── Writing ───────────────────────────────────────────────────────────────────────────────── */

void tdw__damage_write(struct tdw_process *process, const struct tdw_op *op, struct tdw_file *file,
                       uint64_t pos, size_t bytes)
{
    struct tdw_inode *inode = file->inode;
    const uint64_t first = pos / TDW_PAGE_BYTES;
    const uint64_t pages = (pos + bytes - 1) / TDW_PAGE_BYTES - first + 1;
    const uint64_t there = inode->now.size / TDW_PAGE_BYTES;
    struct tdw_blow blow;

    if (hits(process, op, TDW_AT_WRITE_LOST, file, bytes, pages, &blow))
        tdw__page_lose(inode, first + blow.way);
    if (there > 0 && hits(process, op, TDW_AT_WRITE_MISDIRECTED, file, bytes, there, &blow))
        tdw__page_misdirect(inode, first, blow.way);
}

/* ── Syncs ─────────────────────────────────────────────────────────────────────────────────── */

enum tdw_sync_fate tdw__damage_sync(struct tdw_process *process, const struct tdw_op *op,
                                    struct tdw_file *file)
{
    struct tdw_blow blow;

    if (hits(process, op, TDW_AT_SYNC_ERROR, file, 0, 1, &blow))
        return blow.keep ? TDW_SYNC_FAILS : TDW_SYNC_DROPS;
    return hits(process, op, TDW_AT_SYNC_LIE, file, 0, 1, &blow) ? TDW_SYNC_LIES : TDW_SYNC_KEEPS;
}
