/* SPDX-License-Identifier: MIT */
/*
 * What survives a power cut of what was not durable.
 *
 *     mode   0 nothing · 1 all · 2 what came before some moment · 3 parts · 4 as 2, and the change
 *            that came next is torn
 *     parts  names by the profile's rules; of each file nothing, all, or: one of its sizes, and of
 *            each page nothing, all, or some sectors of each version
 *
 * The log (unsynced.c) has every state that pages, sizes and names went through. Choices pick one
 * of the states of the disk that the profile (disk.h) allows, and make it the kept side;
 * tdw__disk_crash then falls back to that. The coarse questions come first, so that a state that is
 * described by few answers differs in little from "nothing".
 *
 * Rules. A size that shows what was newly written brings the data along, but with TDW_STRICT, where
 * the size may come alone. What a truncation took away is gone with the size that it made, or a
 * later one, and only with these. Bytes behind the kept size are zero. A block of TDW_BTRFS is
 * written whole.
 *
 * A write-back in the background needs no moment of its own: it makes durable a part of what is
 * not, and every such part is among the answers at the cut.
 *
 * Cost: a step for each inode, and what there is in the log. Called by tdw__disk_crash and by the
 * images of image.c.
 */
#include <sim/kernel/vfs.h>
#include <string.h>

enum mode { NOTHING, ALL, BEFORE, PARTS, TORN, MODES };

static const char *const words[MODES] = {
    [NOTHING] = "nothing that was not durable survives",
    [ALL] = "all that was written survives",
    [BEFORE] = "what was done before some moment survives",
    [PARTS] = "parts of what was written survive",
    [TORN] = "what was done before some moment survives, and a torn write",
};

struct survivors {
    struct tdw_disk *disk;
    struct tdw_survival *survival;
    uint32_t asked;
    bool size_alone; /* a size may come without its data */
    bool any_names;  /* names in any order */
    bool tears;      /* sectors of a page may differ */
};

static uint32_t pick(struct survivors *s, const char *point, uint64_t bound)
{
    const uint32_t of = bound < UINT32_MAX ? (uint32_t)bound : UINT32_MAX;

    return of < 2 || !s->survival->choose ? 0
                                          : s->survival->choose(s->survival, point, s->asked++, of);
}

static bool is_dirty(const struct tdw_inode *inode)
{
    return tdw__is_reg(inode) && (inode->pages.dirty || inode->sizes);
}

/* ── The kept side of a page ───────────────────────────────────────────────────────────────── */

/* Take the sectors `mask` of a version. */
static void overlay(const struct tdw_inode *inode, const struct tdw_page *page,
                    const struct tdw_version *version, uint8_t mask, uint8_t to[TDW_PAGE_BYTES])
{
    uint8_t from[TDW_PAGE_BYTES];

    tdw__page_copy(inode, page->index, version->block, inode->pages.pattern_now, from);
    for (unsigned i = 0; i < TDW_PAGE_BYTES / TDW_SECTOR_BYTES; i++)
        if (mask >> i & 1)
            memcpy(to + i * TDW_SECTOR_BYTES, from + i * TDW_SECTOR_BYTES, TDW_SECTOR_BYTES);
}

/* ── All that came before ──────────────────────────────────────────────────────────────────── */

static void keep_before(struct survivors *s, uint64_t change)
{
    tdw__names_commit(s->disk, change);
    for (struct tdw_inode *inode = s->disk->inodes_all; inode; inode = inode->next)
        if (is_dirty(inode)) {
            tdw__inode_keep_upto(inode, change);
            tdw__pages_trim(inode);
        }
}

static void keep_all(struct survivors *s)
{
    keep_before(s, UINT64_MAX);
    for (struct tdw_inode *inode = s->disk->inodes_all; inode; inode = inode->next) {
        inode->kept = inode->now;
        tdw__xattrs_keep(inode);
    }
}

struct span { /* of numbers of changes */
    uint64_t first, last;
};

static void widen(struct span *span, uint64_t change)
{
    span->first = change < span->first ? change : span->first;
    span->last = change > span->last ? change : span->last;
}

/* What is in the log; last 0: nothing. */
static struct span span_of(const struct tdw_disk *disk)
{
    struct span span = {.first = UINT64_MAX};

    for (const struct tdw_name_op *op = disk->op_first; op; op = op->next)
        widen(&span, op->change);
    for (const struct tdw_inode *inode = disk->inodes_all; inode; inode = inode->next) {
        if (!is_dirty(inode))
            continue;
        for (const struct tdw_size *size = inode->sizes; size; size = size->older)
            widen(&span, size->change);
        for (const struct tdw_page *page = inode->pages.dirty; page; page = page->next)
            for (const struct tdw_version *at = page->newest; at; at = at->older)
                widen(&span, at->change);
    }
    return span;
}

/* The calm moment is before everything. */
static uint64_t pick_moment(struct survivors *s)
{
    const struct span span = span_of(s->disk);

    return span.last ? span.first - 1 + pick(s, "moment", span.last - span.first + 2) : 0;
}

/* ── A torn write ──────────────────────────────────────────────────────────────────────────── */

/* The write that comes next after `change`: the page, and its version of it. NULL: there is none,
 * or a truncation comes next, which is not torn. */
static const struct tdw_version *next_write(const struct tdw_disk *disk, uint64_t change,
                                            struct tdw_inode **of, struct tdw_page **page)
{
    const struct tdw_version *found = NULL;

    for (struct tdw_inode *inode = disk->inodes_all; inode; inode = inode->next)
        for (struct tdw_page *at = tdw__is_reg(inode) ? inode->pages.dirty : NULL; at;
             at = at->next)
            for (const struct tdw_version *version = at->newest; version; version = version->older)
                if (version->change > change && (!found || version->change < found->change)) {
                    found = version;
                    *of = inode;
                    *page = at;
                }
    return found && !found->cut ? found : NULL;
}

static void keep_torn(struct survivors *s, uint64_t change)
{
    struct tdw_inode *inode = NULL;
    struct tdw_page *page = NULL;
    uint8_t bytes[TDW_PAGE_BYTES], taken;
    const struct tdw_version *version;
    const struct tdw_size *size;

    keep_before(s, change);
    version = s->tears ? next_write(s->disk, change, &inode, &page) : NULL;
    if (!version || !tdw__is_block(version->block))
        return;
    if (s->size_alone && pick(s, "size", 2)) {
        for (size = inode->sizes; size && size->older && size->older->change > version->change;)
            size = size->older; /* the one that came with the write, if one did */
        if (size && size->change > version->change && size->bytes > inode->kept.size)
            inode->kept.size = size->bytes;
    }
    taken = (uint8_t)(version->sectors & pick(s, "sectors", 256));
    tdw__page_copy(inode, page->index, page->kept, inode->pages.pattern_kept, bytes);
    overlay(inode, page, version, taken, bytes);
    tdw__damage_heal(inode, page->index, taken);
    tdw__page_keep_bytes(inode, page, bytes);
    tdw__pages_trim(inode);
}

/* ── Parts ─────────────────────────────────────────────────────────────────────────────────── */

static void names_in_order(struct survivors *s)
{
    const uint32_t count = pick(s, "names", (uint64_t)s->disk->ops + 1);
    const struct tdw_name_op *op = s->disk->op_first;

    for (uint32_t i = 1; i < count; i++)
        op = op->next;
    if (count)
        tdw__names_commit(s->disk, op->change);
}

static bool picked(void *survivors)
{
    return pick(survivors, "name", 2);
}

static void names_in_any_order(struct survivors *s)
{
    switch (pick(s, "names", s->disk->ops ? 3 : 1)) {
    case 1:
        tdw__names_commit(s->disk, UINT64_MAX);
        break;
    case 2:
        tdw__names_commit_some(s->disk, picked, s);
        break;
    }
}

/* One of the sizes that the file had; up to which change that reaches. What the file had before and
 * still has lies below `*old`. */
static uint64_t pick_size(struct survivors *s, struct tdw_inode *inode, uint64_t *old)
{
    const struct tdw_size *size = inode->sizes;
    uint32_t back = pick(s, "size", (uint64_t)inode->sizes_count + 1);

    if (back == 0)
        return 0;
    while (--back && size->older)
        size = size->older;
    tdw__size_keep(inode, size);
    for (const struct tdw_size *at = size; at; at = at->older)
        if (at->least < *old)
            *old = at->least;
    return size->change;
}

/* The sectors of `version` that are there for sure: what lies behind `old` below the kept size. */
static uint8_t shown(const struct survivors *s, const struct tdw_inode *inode,
                     const struct tdw_page *page, uint64_t old)
{
    const uint64_t start = page->index * TDW_PAGE_BYTES;

    if (s->size_alone || inode->kept.size <= old || start + TDW_PAGE_BYTES <= old)
        return 0;
    return old <= start ? 0xff : tdw__sectors(old - start, start + TDW_PAGE_BYTES - old);
}

/* The `n`th before the newest. */
static const struct tdw_version *nth(const struct tdw_page *page, uint32_t n)
{
    const struct tdw_version *version = page->newest;

    while (n-- > 0)
        version = version->older;
    return version;
}

/* Some sectors of each version, from the oldest on. What a truncation did is there if it is older
 * than the size that survives, and only then; if it is not, nothing is that was written after it,
 * among its zeros. The sectors `must` are those of the newest. */
static void keep_page(struct survivors *s, struct tdw_inode *inode, struct tdw_page *page,
                      uint64_t size_change, uint8_t must)
{
    const uint32_t how = pick(s, "page", must == 0xff ? 1 : 3);
    uint8_t bytes[TDW_PAGE_BYTES], taken = 0;

    tdw__page_copy(inode, page->index, page->kept, inode->pages.pattern_kept, bytes);
    for (uint32_t n = page->versions; n-- > 0;) {
        const struct tdw_version *version = nth(page, n);
        uint8_t mask = how == 1 ? 0xff : must;

        if (version->cut && version->change > size_change)
            break;
        if (version->cut)
            mask = 0xff;
        else if (how == 2)
            mask |= s->tears ? (uint8_t)pick(s, "sectors", 256) : pick(s, "block", 2) ? 0xff : 0;
        if (s->tears)
            mask &= version->sectors;
        else
            mask = mask ? 0xff : 0;
        overlay(inode, page, version, mask, bytes);
        taken |= mask;
    }
    tdw__damage_heal(inode, page->index, taken);
    tdw__page_keep_bytes(inode, page, bytes);
}

static void keep_parts_of(struct survivors *s, struct tdw_inode *inode)
{
    uint64_t old = inode->kept.size;
    const uint64_t size_change = pick_size(s, inode, &old);

    for (struct tdw_page *page = inode->pages.dirty, *next; page; page = next) {
        next = page->next;
        if (page->newest)
            keep_page(s, inode, page, size_change, shown(s, inode, page, old));
    }
    tdw__pages_trim(inode);
}

static void keep_parts(struct survivors *s)
{
    if (s->any_names)
        names_in_any_order(s);
    else
        names_in_order(s);
    for (struct tdw_inode *inode = s->disk->inodes_all; inode; inode = inode->next) {
        if (!is_dirty(inode) || inode->links_kept == 0)
            continue;
        switch (pick(s, "file", 3)) {
        case 1:
            tdw__inode_keep_upto(inode, UINT64_MAX);
            tdw__pages_trim(inode); /* of a page that is lost no version is there */
            break;
        case 2:
            keep_parts_of(s, inode);
            break;
        }
    }
}

/* ── A drive without barriers ──────────────────────────────────────────────────────────────── */

/* It did keep what it said. */
static void keep_flushed(struct survivors *s)
{
    uint64_t names = 0;

    for (struct tdw_inode *inode = s->disk->inodes_all; inode; inode = inode->next) {
        const struct tdw_size *size = inode->sizes;

        if (!is_dirty(inode))
            continue;
        for (struct tdw_page *page = inode->pages.dirty, *next; page; page = next) {
            const struct tdw_version *version = page->newest;

            next = page->next;
            while (version && !version->flushed)
                version = version->older;
            if (version)
                tdw__version_keep(inode, page, version);
        }
        while (size && !size->flushed)
            size = size->older;
        if (size) {
            tdw__size_keep(inode, size);
            tdw__sizes_drop(inode, size->change);
        }
        tdw__pages_trim(inode);
    }
    for (const struct tdw_name_op *op = s->disk->op_first; op; op = op->next)
        if (op->flushed)
            names = op->change;
    tdw__names_commit(s->disk, names);
}

/* What the drive acknowledged may be lost: true if that is so, and is done. */
static bool forgets(struct survivors *s)
{
    switch (pick(s, "flushes", 3)) {
    case 1:
        keep_before(s, pick_moment(s));
        s->survival->what = "flushes after some moment were acknowledged and are lost";
        return true;
    case 2:
        keep_parts(s);
        s->survival->what = "flushes were acknowledged and reached the disk in another order";
        return true;
    }
    keep_flushed(s);
    return false;
}

void tdw__disk_survive(struct tdw_disk *disk, struct tdw_survival *survival)
{
    struct survivors s = {.disk = disk,
                          .survival = survival,
                          .size_alone = disk->profile == TDW_STRICT,
                          .any_names = disk->profile == TDW_STRICT || disk->profile == TDW_BTRFS,
                          .tears = disk->profile != TDW_BTRFS && !disk->whole_blocks};
    enum mode mode;

    survival->what = words[NOTHING];
    if (span_of(disk).last == 0)
        return;
    if (disk->no_barriers && (forgets(&s) || span_of(disk).last == 0))
        return;
    mode = (enum mode)pick(&s, "mode", MODES);
    survival->what = words[mode];
    switch (mode) {
    case NOTHING:
    case MODES:
        break;
    case ALL:
        keep_all(&s);
        break;
    case BEFORE:
        keep_before(&s, pick_moment(&s));
        break;
    case PARTS:
        keep_parts(&s);
        break;
    case TORN:
        keep_torn(&s, pick_moment(&s));
        break;
    }
}
