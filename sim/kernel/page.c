/* SPDX-License-Identifier: MIT */
/*
 * The content of regular files: sparse, volatile and durable side by side.
 *
 *     tree (64-way, as high as the file needs) ─▶ page { now, kept } ─▶ block of 4096 bytes
 *
 * A page is in the tree once it was written; `now` is what programs read, `kept` what a power cut
 * leaves. Both refer to one block until the page is written, which then takes a copy. Pages whose
 * two sides differ hang in the file's dirty list, so making a file durable, and losing what was
 * not, cost what changed. A page that is not in the tree is the keyed pattern that the file was
 * seeded with as far as that reaches, and zeros beyond.
 *
 * Invariants: bytes of a block at and beyond the file's size are zero, on either side. A page is
 * in the tree only if one of its sides is not TDW_PRISTINE. `allocated` counts the pages that
 * take space now, pristine ones below the pattern's end included.
 *
 * Cost of reading or writing in a page that was used last: a comparison and the memcpy; of any
 * other page, one step per 6 bits of the file's size in pages. Called by inode.c, io.c, disk.c.
 */
#include <sim/kernel/vfs.h>
#include <runtime/mix.h>
#include <endian.h>
#include <string.h>

uint64_t tdw__pattern(uint64_t key, uint64_t word)
{
    return htole64(tdw__mix2(key ^ TDW_K0, word + TDW_K1) ^ key);
}

/* ── The tree ──────────────────────────────────────────────────────────────────────────────── */

static uint32_t digit(uint64_t index, uint32_t level)
{
    return (uint32_t)(index >> (TDW_TREE_BITS * level)) & (TDW_TREE_SLOTS - 1);
}

static struct tdw_page *page_walk(struct tdw_pages *pages, uint64_t index)
{
    void *at = pages->root;

    if (index >> (TDW_TREE_BITS * pages->height))
        return NULL;
    for (uint32_t level = pages->height; level > 0 && at; level--)
        at = ((struct tdw_page_node *)at)->slots[digit(index, level - 1)];
    if (at)
        pages->recent = at;
    return at;
}

static inline struct tdw_page *page_find(struct tdw_pages *pages, uint64_t index)
{
    struct tdw_page *recent = pages->recent;

    return TDW_LIKELY(recent && recent->index == index) ? recent : page_walk(pages, index);
}

/* The first page at or above `index`, or NULL. */
static struct tdw_page *page_next(const struct tdw_pages *pages, uint64_t index)
{
    while (!(index >> (TDW_TREE_BITS * pages->height))) {
        void *at = pages->root;
        uint32_t level = pages->height;

        for (; level > 0 && at; level--)
            at = ((struct tdw_page_node *)at)->slots[digit(index, level - 1)];
        if (at)
            return at;
        /* Nothing below this slot: go on with the one after it. */
        index = ((index >> (TDW_TREE_BITS * level)) + 1) << (TDW_TREE_BITS * level);
        if (pages->height == 0)
            return NULL;
    }
    return NULL;
}

/* Make the tree high enough for `index`. */
static int tree_raise(struct tdw_disk *disk, struct tdw_pages *pages, uint64_t index)
{
    while (index >> (TDW_TREE_BITS * pages->height)) {
        struct tdw_page_node *node;

        if (pages->root) {
            node = tdw__pool_get_zeroed(&disk->nodes);
            if (!node)
                return -ENOMEM;
            node->slots[0] = pages->root;
            node->used = 1;
            pages->root = node;
        }
        pages->height++;
    }
    return 0;
}

/* A copy of the tree below `at`, `level` nodes high; NULL when memory is exhausted. What was made
 * by then stays in the pools of the disk. */
static void *tree_copy(struct tdw_inode *inode, const void *at, uint32_t level)
{
    struct tdw_page_node *node;

    if (level == 0) {
        struct tdw_page *page = tdw__pool_get(&inode->disk->pages);

        if (page)
            *page = *(const struct tdw_page *)at;
        return page;
    }
    node = tdw__pool_get(&inode->disk->nodes);
    if (!node)
        return NULL;
    *node = *(const struct tdw_page_node *)at;
    for (uint32_t i = 0; i < TDW_TREE_SLOTS; i++)
        if (node->slots[i] && !(node->slots[i] = tree_copy(inode, node->slots[i], level - 1)))
            return NULL;
    return node;
}

/* Before a borrowed tree is changed: it becomes the file's own. */
static int tree_own(struct tdw_inode *inode)
{
    struct tdw_pages *pages = &inode->pages;
    void *root;

    if (TDW_LIKELY(!pages->borrowed))
        return 0;
    root = pages->root ? tree_copy(inode, pages->root, pages->height) : NULL;
    if (pages->root && !root)
        return -ENOMEM;
    pages->root = root;
    pages->recent = NULL;
    pages->borrowed = false;
    return 0;
}

/* The page at `index`, put into the tree if it is not there. NULL when memory is exhausted. */
static struct tdw_page *page_make(struct tdw_inode *inode, uint64_t index)
{
    struct tdw_pages *pages = &inode->pages;
    struct tdw_page *page = page_find(pages, index);
    struct tdw_page_node *above = NULL;
    void **at = &pages->root;

    if (page)
        return page;
    page = tdw__pool_get(&inode->disk->pages);
    if (!page)
        return NULL;
    *page = (struct tdw_page){.now = TDW_PRISTINE, .kept = TDW_PRISTINE, .index = index};
    if (tree_raise(inode->disk, pages, index))
        goto full;
    for (uint32_t level = pages->height; level > 0; level--) {
        if (!*at) {
            *at = tdw__pool_get_zeroed(&inode->disk->nodes);
            if (!*at)
                goto full;
            if (above)
                above->used++;
        }
        above = *at;
        at = &above->slots[digit(index, level - 1)];
    }
    *at = page;
    if (above)
        above->used++;
    pages->recent = page;
    return page;
full:
    tdw__pool_put(&inode->disk->pages, page);
    return NULL;
}

/* Take the page out of the tree, and the nodes that it leaves empty. */
static void page_unlink(struct tdw_inode *inode, struct tdw_page *page)
{
    struct tdw_pages *pages = &inode->pages;
    void **path[TDW_TREE_HEIGHT_MAX + 1];
    void **at = &pages->root;
    uint32_t depth = 0;

    for (uint32_t level = pages->height; level > 0; level--) {
        path[depth++] = at;
        at = &((struct tdw_page_node *)*at)->slots[digit(page->index, level - 1)];
    }
    assert(*at == page);
    *at = NULL;
    while (depth-- > 0) {
        struct tdw_page_node *node = *path[depth];

        if (--node->used)
            break;
        *path[depth] = NULL;
        tdw__pool_put(&inode->disk->nodes, node);
    }
    if (!pages->root)
        pages->height = 0;
    if (pages->recent == page)
        pages->recent = NULL;
    tdw__pool_put(&inode->disk->pages, page);
}

/* ── Blocks and states of one page ─────────────────────────────────────────────────────────── */

struct tdw_block *tdw__block_new(struct tdw_disk *disk)
{
    struct tdw_block *block = tdw__pool_get(&disk->blocks);

    if (!block)
        return NULL;
    block->disk = disk;
    block->refs = 1;
    return block;
}

struct tdw_block *tdw__block_ref(const struct tdw_disk *disk, struct tdw_block *block)
{
    if (tdw__is_block(block) && block->disk == disk)
        block->refs++;
    return block;
}

void tdw__block_put(struct tdw_disk *disk, struct tdw_block *block)
{
    if (tdw__is_block(block) && block->disk == disk && --block->refs == 0)
        tdw__pool_put(&disk->blocks, block);
}

static uint64_t pages_of(uint64_t bytes)
{
    return bytes / TDW_PAGE_BYTES + (bytes % TDW_PAGE_BYTES != 0);
}

/* Does the page, in state `now`, take space? */
static bool takes_space(const struct tdw_pages *pages, uint64_t index, const struct tdw_block *now)
{
    if (now == TDW_PRISTINE)
        return index < pages_of(pages->pattern_now);
    return now != TDW_HOLE;
}

static void count_space(struct tdw_inode *inode, int64_t change)
{
    inode->pages.allocated += (uint64_t)change;
    inode->disk->pages_used += (uint64_t)change;
}

static bool space_left(const struct tdw_disk *disk, uint64_t pages)
{
    const uint64_t max = disk->bytes_max / TDW_PAGE_BYTES;

    return disk->bytes_max == 0 || (disk->pages_used <= max && pages <= max - disk->pages_used);
}

static void page_dirty(struct tdw_pages *pages, struct tdw_page *page, uint32_t bits)
{
    if (!(page->bits & TDW_PAGE_DIRTY)) {
        page->prev = NULL;
        page->next = pages->dirty;
        if (page->next)
            page->next->prev = page;
        pages->dirty = page;
    }
    page->bits |= TDW_PAGE_DIRTY | bits;
    pages->cut |= bits != 0;
}

/* Both sides are alike now. A page that says nothing leaves the tree. */
static void page_clean(struct tdw_inode *inode, struct tdw_page *page)
{
    struct tdw_pages *pages = &inode->pages;

    if (page->newest)
        tdw__versions_drop(inode->disk, page, UINT64_MAX);
    if (page->bits & TDW_PAGE_DIRTY) {
        if (page->prev)
            page->prev->next = page->next;
        else
            pages->dirty = page->next;
        if (page->next)
            page->next->prev = page->prev;
    }
    page->bits = 0;
    page->next = page->prev = NULL;
    if (!tdw__is_block(page->now) && page->now == page->kept &&
        (page->now == TDW_PRISTINE ||
         (page->now == TDW_HOLE && pages->pattern_now == 0 && pages->pattern_kept == 0)))
        page_unlink(inode, page);
}

static void page_keep(struct tdw_inode *inode, struct tdw_page *page)
{
    if (TDW_UNLIKELY(page->bits & TDW_PAGE_LOST)) {
        if (page->bits & TDW_PAGE_CUT) /* what was there before a truncation went with it */
            tdw__page_set_kept(inode, page, TDW_HOLE);
        return;
    }
    if (TDW_UNLIKELY(inode->damage != NULL))
        tdw__damage_heal(inode, page->index, 0xff);
    if (page->kept != page->now) {
        tdw__block_put(inode->disk, page->kept);
        page->kept = tdw__block_ref(inode->disk, page->now);
    }
    page_clean(inode, page);
}

/* The pattern as far as `end`, and zeros. */
static void fill_pattern(const struct tdw_pages *pages, uint64_t end, uint64_t off, uint8_t *to,
                         size_t bytes)
{
    const size_t reach = off >= end ? 0 : end - off < bytes ? (size_t)(end - off) : bytes;
    size_t done = 0;

    while (done < reach) {
        const uint64_t word = tdw__pattern(pages->pattern, (off + done) / 8);
        const size_t skip = (off + done) % 8;
        const size_t part = reach - done < 8 - skip ? reach - done : 8 - skip;

        memcpy(to + done, (const uint8_t *)&word + skip, part);
        done += part;
    }
    memset(to + reach, 0, bytes - reach);
}

void tdw__page_copy(const struct tdw_inode *inode, uint64_t index, const struct tdw_block *block,
                    uint64_t pattern, uint8_t to[TDW_PAGE_BYTES])
{
    if (tdw__is_block(block))
        memcpy(to, block->bytes, TDW_PAGE_BYTES);
    else if (block == TDW_PRISTINE)
        fill_pattern(&inode->pages, pattern, index * TDW_PAGE_BYTES, to, TDW_PAGE_BYTES);
    else
        memset(to, 0, TDW_PAGE_BYTES);
}

/* Give `page` a block of its own to write in. `whole`: all of it is going to be overwritten. */
static int page_own(struct tdw_inode *inode, struct tdw_page *page, bool whole)
{
    struct tdw_block *old = page->now;
    const bool took = takes_space(&inode->pages, page->index, old);
    struct tdw_block *block;

    if (TDW_LIKELY(tdw__is_block(old) && old->refs == 1 && old->disk == inode->disk))
        return 0;
    if (!took && !space_left(inode->disk, 1))
        return -inode->disk->full_error;
    block = tdw__block_new(inode->disk);
    if (!block)
        return -ENOMEM;
    if (!whole)
        tdw__page_copy(inode, page->index, old, inode->pages.pattern_now, block->bytes);
    tdw__block_put(inode->disk, old);
    page->now = block;
    count_space(inode, !took);
    page_dirty(&inode->pages, page, 0);
    return 0;
}

/* A page that failed to get a block and says nothing need not stay. */
static void page_settle(struct tdw_inode *inode, struct tdw_page *page)
{
    if (!(page->bits & TDW_PAGE_DIRTY))
        page_clean(inode, page);
}

/* The page reads as zeros from now on; `cut`: since the file ends before it. */
static void page_drop(struct tdw_inode *inode, struct tdw_page *page, bool cut)
{
    if (takes_space(&inode->pages, page->index, page->now))
        count_space(inode, -1);
    tdw__block_put(inode->disk, page->now);
    page->now = TDW_HOLE;
    page->bits &= ~(uint32_t)TDW_PAGE_LOST;
    if (inode->disk->log)
        tdw__version_add(inode, page, 0xff, cut);
    if (inode->syncs || inode->disk->log) /* what was before may be kept yet, or come back */
        page_dirty(&inode->pages, page, TDW_PAGE_CUT);
    else if (page->kept == TDW_HOLE)
        page_clean(inode, page);
    else if (page->kept == TDW_PRISTINE && page->index >= pages_of(inode->pages.pattern_kept)) {
        page->kept = TDW_HOLE; /* the same content, and one state fewer */
        page_clean(inode, page);
    } else
        page_dirty(&inode->pages, page, TDW_PAGE_CUT);
}

/* ── Reading and writing ───────────────────────────────────────────────────────────────────── */

bool tdw__pages_resident(struct tdw_inode *inode, uint64_t off, size_t bytes)
{
    const uint64_t size = inode->now.size;
    const uint64_t end = off >= size ? off : bytes < size - off ? off + bytes : size;

    for (uint64_t index = off / TDW_PAGE_BYTES; index * TDW_PAGE_BYTES < end; index++) {
        const struct tdw_page *page = page_find(&inode->pages, index);

        if (!page || page->now == TDW_PRISTINE)
            return false;
    }
    return true;
}

void tdw__pages_read(struct tdw_inode *inode, uint64_t off, void *to, size_t bytes)
{
    uint8_t *at = to;

    while (bytes > 0) {
        const uint64_t index = off / TDW_PAGE_BYTES;
        const size_t skip = off % TDW_PAGE_BYTES;
        const size_t part = bytes < TDW_PAGE_BYTES - skip ? bytes : TDW_PAGE_BYTES - skip;
        const struct tdw_page *page = page_find(&inode->pages, index);
        const struct tdw_block *block = page ? page->now : TDW_PRISTINE;

        if (TDW_LIKELY(tdw__is_block(block)))
            memcpy(at, block->bytes + skip, part);
        else if (block == TDW_PRISTINE)
            fill_pattern(&inode->pages, inode->pages.pattern_now, off, at, part);
        else
            memset(at, 0, part);
        at += part;
        off += part;
        bytes -= part;
    }
}

int64_t tdw__pages_write(struct tdw_inode *inode, uint64_t off, const void *from, size_t bytes)
{
    const uint8_t *at = from;
    int64_t done = 0;

    if (TDW_UNLIKELY(tree_own(inode)))
        return -ENOMEM;
    while (bytes > 0) {
        const size_t skip = off % TDW_PAGE_BYTES;
        const size_t part = bytes < TDW_PAGE_BYTES - skip ? bytes : TDW_PAGE_BYTES - skip;
        struct tdw_page *page = page_make(inode, off / TDW_PAGE_BYTES);
        const int err = page ? page_own(inode, page, part == TDW_PAGE_BYTES) : -ENOMEM;

        if (TDW_UNLIKELY(err)) {
            if (page)
                page_settle(inode, page);
            return done ? done : err;
        }
        memcpy(page->now->bytes + skip, at, part);
        page->bits &= ~(uint32_t)TDW_PAGE_LOST;
        if (TDW_UNLIKELY(inode->disk->log))
            tdw__version_add(inode, page, tdw__sectors(skip, part), false);
        at += part;
        off += part;
        bytes -= part;
        done += (int64_t)part;
    }
    return done;
}

/* Zero a part of one page. Takes no space where there are zeros already. */
static int zero_part(struct tdw_inode *inode, uint64_t off, uint64_t end, bool cut)
{
    const uint64_t index = off / TDW_PAGE_BYTES;
    struct tdw_page *page = page_find(&inode->pages, index);
    int err;

    if (off == end)
        return 0;
    if (page ? !takes_space(&inode->pages, index, page->now) || page->now == TDW_RESERVED
             : off >= inode->pages.pattern_now)
        return 0;
    page = page_make(inode, index);
    if (!page)
        return -ENOMEM;
    err = page_own(inode, page, false);
    if (err) {
        page_settle(inode, page);
        return err;
    }
    memset(page->now->bytes + off % TDW_PAGE_BYTES, 0, (size_t)(end - off));
    page->bits &= ~(uint32_t)TDW_PAGE_LOST;
    if (inode->disk->log)
        tdw__version_add(inode, page, tdw__sectors(off % TDW_PAGE_BYTES, (size_t)(end - off)), cut);
    page_dirty(&inode->pages, page, TDW_PAGE_WHOLE);
    return 0;
}

int tdw__pages_cut(struct tdw_inode *inode, uint64_t size)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t first = pages_of(size);
    struct tdw_page *page;
    uint64_t pristine;

    if (tree_own(inode))
        return -ENOMEM;
    page = page_find(pages, size / TDW_PAGE_BYTES);

    /* A pristine page needs no zeros: the pattern will end here. */
    if (size % TDW_PAGE_BYTES && page && page->now != TDW_PRISTINE) {
        const int err = zero_part(inode, size, first * TDW_PAGE_BYTES, true);

        if (err)
            return err;
    }
    pristine = pages_of(pages->pattern_now) > first ? pages_of(pages->pattern_now) - first : 0;
    for (uint64_t at = first; (page = page_next(pages, at)) != NULL;) {
        at = page->index + 1;
        pristine -= page->index < pages_of(pages->pattern_now);
        page_drop(inode, page, true);
    }
    count_space(inode, -(int64_t)pristine);
    if (pages->pattern_now > size)
        pages->pattern_now = size;
    return 0;
}

int tdw__pages_punch(struct tdw_inode *inode, uint64_t off, uint64_t end)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t first = pages_of(off), last = end / TDW_PAGE_BYTES;
    const uint64_t seeded = pages_of(pages->pattern_now);
    struct tdw_page *page;
    int err;

    err = tree_own(inode);
    if (err)
        return err;
    if (first > last)
        return zero_part(inode, off, end, false);
    err = zero_part(inode, off, first * TDW_PAGE_BYTES, false);
    if (!err)
        err = zero_part(inode, last * TDW_PAGE_BYTES, end, false);
    for (uint64_t at = first; !err && at < last && at < seeded; at++)
        err = page_make(inode, at) ? 0 : -ENOMEM; /* to say that the pattern ends here */
    if (err)
        return err;
    for (uint64_t at = first; (page = page_next(pages, at)) != NULL && page->index < last;) {
        at = page->index + 1;
        page_drop(inode, page, false);
    }
    return 0;
}

int tdw__pages_reserve(struct tdw_inode *inode, uint64_t off, uint64_t end)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t first = off / TDW_PAGE_BYTES, last = pages_of(end);
    const uint64_t seeded = pages_of(pages->pattern_now);
    uint64_t missing = last - first;
    struct tdw_page *page;
    const int err = tree_own(inode);

    if (err || inode->disk->bytes_max == 0)
        return err;
    if (seeded > first)
        missing -= (seeded < last ? seeded : last) - first;
    for (uint64_t at = first; (page = page_next(pages, at)) != NULL && page->index < last;) {
        at = page->index + 1;
        missing += page->index < seeded;
        missing -= takes_space(pages, page->index, page->now);
    }
    if (!space_left(inode->disk, missing))
        return -inode->disk->full_error;
    for (uint64_t at = first; at < last; at++) {
        page = page_find(pages, at);
        if (takes_space(pages, at, page ? page->now : TDW_PRISTINE))
            continue;
        page = page_make(inode, at);
        if (!page)
            return -ENOMEM;
        page->now = TDW_RESERVED;
        count_space(inode, 1);
        if (inode->disk->log)
            tdw__version_add(inode, page, 0xff, false);
        page_dirty(pages, page, 0);
    }
    return 0;
}

/* ── Durability ────────────────────────────────────────────────────────────────────────────── */

/* A durable size is about to reach over `page`, whose own content stays volatile. */
static void page_keep_cut(struct tdw_inode *inode, struct tdw_page *page)
{
    if (page->bits & TDW_PAGE_WHOLE) {
        page_keep(inode, page);
    } else if (page->bits & TDW_PAGE_CUT) {
        const struct tdw_version *version = page->newest;

        while (version && version->block != TDW_HOLE)
            version = version->older;
        if (version)
            tdw__versions_drop(inode->disk, page, version->change);
        tdw__block_put(inode->disk, page->kept);
        page->kept = TDW_HOLE;
        page->bits &= ~(uint32_t)TDW_PAGE_CUT;
        if (page->now == TDW_HOLE)
            page_clean(inode, page);
    }
}

void tdw__pages_keep(struct tdw_inode *inode, uint64_t off, uint64_t end)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t first = off / TDW_PAGE_BYTES, last = pages_of(end);
    struct tdw_page *page, *next;

    if (inode->disk->no_barriers) {
        tdw__pages_flushed(inode, off, end, UINT64_MAX);
        return;
    }
    pages->pattern_kept = pages->pattern_now;
    if (first == 0 && end >= (uint64_t)TDW_FILE_BYTES_MAX) {
        for (page = pages->dirty; page; page = next) {
            next = page->next;
            page_keep(inode, page);
        }
        pages->cut = false;
        return;
    }
    for (uint64_t at = first; (page = page_next(pages, at)) != NULL && page->index < last;) {
        at = page->index + 1;
        if (page->bits & TDW_PAGE_DIRTY)
            page_keep(inode, page);
    }
    for (page = pages->cut ? pages->dirty : NULL; page; page = next) {
        next = page->next;
        page_keep_cut(inode, page);
    }
    pages->cut = false;
}

static int record(struct tdw_inode *inode, const struct tdw_page *page, struct tdw_block *block,
                  struct tdw_page_record **records)
{
    struct tdw_page_record *made = tdw__pool_get(&inode->disk->records);

    if (!made)
        return -ENOMEM;
    *made = (struct tdw_page_record){*records, tdw__block_ref(inode->disk, block), page->index};
    *records = made;
    return 0;
}

int tdw__pages_record(struct tdw_inode *inode, uint64_t off, uint64_t end,
                      struct tdw_page_record **records)
{
    const uint64_t first = off / TDW_PAGE_BYTES, last = pages_of(end);
    int err = 0;

    for (const struct tdw_page *page = inode->pages.dirty; page && !err; page = page->next) {
        if (page->bits & TDW_PAGE_LOST)
            err = page->bits & TDW_PAGE_CUT ? record(inode, page, TDW_HOLE, records) : 0;
        else if ((page->index >= first && page->index < last) || page->bits & TDW_PAGE_WHOLE)
            err = record(inode, page, page->now, records);
        else if (page->bits & TDW_PAGE_CUT)
            err = record(inode, page, TDW_HOLE, records);
    }
    return err;
}

/* `block` is what the page is after a power cut; the reference is the page's from now on. */
static void page_apply(struct tdw_inode *inode, struct tdw_page *page, struct tdw_block *block,
                       uint64_t change)
{
    tdw__versions_drop(inode->disk, page, change);
    /* A hole may have been filled and punched again: what a later sync recorded is still to come.
     */
    if (page->now == block && (tdw__is_block(block) || !inode->syncs)) {
        tdw__block_put(inode->disk, block);
        page_keep(inode, page);
        return;
    }
    if (TDW_UNLIKELY(inode->damage != NULL))
        tdw__damage_heal(inode, page->index, 0xff);
    tdw__block_put(inode->disk, page->kept);
    page->kept = block;
    page_dirty(&inode->pages, page, page->now == TDW_HOLE ? TDW_PAGE_CUT : 0);
}

void tdw__pages_apply(struct tdw_inode *inode, struct tdw_page_record **records, uint64_t pattern,
                      uint64_t change)
{
    struct tdw_pages *pages = &inode->pages;
    struct tdw_page_record *next;

    if (pages->pattern_kept > pattern)
        pages->pattern_kept = pattern;
    for (struct tdw_page_record *at = *records; at; at = next) {
        struct tdw_page *page = page_make(inode, at->index);

        next = at->next;
        if (page)
            page_apply(inode, page, at->block, change);
        else
            tdw__block_put(inode->disk, at->block); /* no memory: it is lost as if it came later */
        tdw__pool_put(&inode->disk->records, at);
    }
    *records = NULL;
    if (!pages->dirty)
        pages->cut = false;
}

void tdw__page_set_kept(struct tdw_inode *inode, struct tdw_page *page, struct tdw_block *block)
{
    tdw__block_ref(inode->disk, block);
    tdw__block_put(inode->disk, page->kept);
    page->kept = block;
    if (page->now == block && !page->newest)
        page_clean(inode, page);
}

void tdw__page_keep_bytes(struct tdw_inode *inode, struct tdw_page *page,
                          const uint8_t bytes[TDW_PAGE_BYTES])
{
    struct tdw_block *block = tdw__block_new(inode->disk);

    if (!block)
        return; /* this state is not offered, then */
    memcpy(block->bytes, bytes, TDW_PAGE_BYTES);
    tdw__page_set_kept(inode, page, block);
    tdw__block_put(inode->disk, block);
}

void tdw__pages_trim(struct tdw_inode *inode)
{
    const uint64_t size = inode->kept.size, tail = size / TDW_PAGE_BYTES;
    uint8_t bytes[TDW_PAGE_BYTES];

    for (struct tdw_page *page = inode->pages.dirty, *next; page; page = next) {
        next = page->next;
        if (page->index < tail || page->kept == TDW_HOLE)
            continue;
        if (page->index > tail || size % TDW_PAGE_BYTES == 0) {
            tdw__page_set_kept(inode, page, TDW_HOLE);
            continue;
        }
        tdw__page_copy(inode, page->index, page->kept, inode->pages.pattern_kept, bytes);
        memset(bytes + size % TDW_PAGE_BYTES, 0, TDW_PAGE_BYTES - size % TDW_PAGE_BYTES);
        tdw__page_keep_bytes(inode, page, bytes);
    }
}

bool tdw__page_on_disk(struct tdw_inode *inode, uint64_t index)
{
    const struct tdw_page *page = page_find(&inode->pages, index);

    if (page && (page->bits & TDW_PAGE_DIRTY || tdw__is_block(page->now)))
        return !(page->bits & TDW_PAGE_DIRTY);
    return (!page || page->now == TDW_PRISTINE) && index < pages_of(inode->pages.pattern_now);
}

static void lose(struct tdw_inode *inode, struct tdw_page *page)
{
    page->bits |= TDW_PAGE_LOST;
    inode->pages.lost = true;
    tdw__versions_lose(inode->disk, page);
}

void tdw__page_lose(struct tdw_inode *inode, uint64_t index)
{
    struct tdw_page *page = page_find(&inode->pages, index);

    if (page && page->bits & TDW_PAGE_DIRTY)
        lose(inode, page);
}

void tdw__page_misdirect(struct tdw_inode *inode, uint64_t index, uint64_t to)
{
    struct tdw_page *from = page_find(&inode->pages, index), *page;
    struct tdw_block *block = from ? from->now : NULL;

    if (index == to || !tdw__is_block(block) || !(from->bits & TDW_PAGE_DIRTY))
        return;
    page = page_make(inode, to);
    if (!page)
        return;
    page_dirty(&inode->pages, page, 0);
    lose(inode, page);
    tdw__page_set_kept(inode, page, block);
    tdw__damage_heal(inode, to, 0xff);
    inode->disk->shown++;
    lose(inode, from);
}

void tdw__pages_lose(struct tdw_inode *inode, const struct tdw_page_record *records)
{
    for (const struct tdw_page_record *at = records; at; at = at->next) {
        struct tdw_page *page = page_find(&inode->pages, at->index);

        if (page && page->now == at->block && page->bits & TDW_PAGE_DIRTY)
            lose(inode, page);
    }
}

void tdw__pages_unrecord(struct tdw_inode *inode, struct tdw_page_record **records)
{
    while (*records) {
        struct tdw_page_record *at = *records;

        *records = at->next;
        tdw__block_put(inode->disk, at->block);
        tdw__pool_put(&inode->disk->records, at);
    }
}

/* Count anew what takes space: after the pattern's end moved. */
void tdw__pages_recount(struct tdw_inode *inode)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t seeded = pages_of(pages->pattern_now);
    uint64_t count = seeded;
    struct tdw_page *page;

    for (uint64_t at = 0; (page = page_next(pages, at)) != NULL;) {
        at = page->index + 1;
        count -= page->index < seeded;
        count += takes_space(pages, page->index, page->now);
    }
    count_space(inode, (int64_t)(count - pages->allocated));
}

void tdw__pages_revert(struct tdw_inode *inode)
{
    struct tdw_pages *pages = &inode->pages;
    const bool moved = pages->pattern_now != pages->pattern_kept;
    int64_t change = 0;

    while (pages->dirty) {
        struct tdw_page *page = pages->dirty;

        change -= takes_space(pages, page->index, page->now);
        tdw__block_put(inode->disk, page->now);
        page->now = tdw__block_ref(inode->disk, page->kept);
        change += takes_space(pages, page->index, page->now);
        page_clean(inode, page);
    }
    pages->pattern_now = pages->pattern_kept;
    pages->cut = pages->lost = false;
    if (moved)
        tdw__pages_recount(inode);
    else
        count_space(inode, change);
}

void tdw__pages_uncount(struct tdw_inode *inode)
{
    count_space(inode, -(int64_t)inode->pages.allocated);
}

void tdw__pages_free(struct tdw_inode *inode)
{
    struct tdw_pages *pages = &inode->pages;
    struct tdw_page *page;

    if (pages->borrowed)
        pages->root = pages->recent = NULL;
    while ((page = page_next(pages, 0)) != NULL) {
        tdw__versions_drop(inode->disk, page, UINT64_MAX);
        tdw__block_put(inode->disk, page->now);
        tdw__block_put(inode->disk, page->kept);
        page_unlink(inode, page);
    }
    count_space(inode, -(int64_t)pages->allocated);
    *pages = (struct tdw_pages){0};
}

int64_t tdw__pages_seek(struct tdw_inode *inode, uint64_t off, bool hole)
{
    struct tdw_pages *pages = &inode->pages;
    const uint64_t size = inode->now.size, seeded = pages_of(pages->pattern_now);
    uint64_t at = off / TDW_PAGE_BYTES;

    if (off >= size)
        return -ENXIO;
    for (;;) {
        const struct tdw_page *page = page_find(pages, at);
        const struct tdw_block *now = page ? page->now : TDW_PRISTINE;
        const struct tdw_page *next = page ? NULL : page_next(pages, at);
        bool data = now == TDW_PRISTINE ? at < seeded : tdw__is_block(now);

        if (data != hole)
            break;
        /* Go on behind this page, or behind all the pages like it that are not in the tree. */
        if (page)
            at++;
        else if (at < seeded)
            at = next && next->index < seeded ? next->index : seeded;
        else if (next)
            at = next->index;
        else
            return -ENXIO;
        if (at >= pages_of(size))
            return hole ? (int64_t)size : -ENXIO;
    }
    at *= TDW_PAGE_BYTES;
    if (at < off)
        at = off;
    return at < size ? (int64_t)at : hole ? (int64_t)size : -ENXIO;
}

/* ── Images ────────────────────────────────────────────────────────────────────────────────── */

/* A dirty page of an image has a log of its own; the blocks stay the first disk's. */
static int image_page(struct tdw_inode *to, const struct tdw_page *from)
{
    struct tdw_page *page = page_find(&to->pages, from->index);
    struct tdw_version **at = &page->newest;

    page->newest = NULL;
    page->bits = 0;
    page_dirty(&to->pages, page, from->bits & (uint32_t)~TDW_PAGE_DIRTY);
    for (const struct tdw_version *version = from->newest; version; version = version->older) {
        *at = tdw__pool_get(&to->disk->versions);
        if (!*at)
            return -ENOMEM;
        **at = *version;
        (*at)->older = NULL;
        at = &(*at)->older;
    }
    return 0;
}

int tdw__pages_image(struct tdw_inode *to, const struct tdw_inode *from)
{
    int err = 0;

    to->pages = from->pages;
    to->pages.borrowed = true;
    to->pages.recent = NULL;
    to->pages.dirty = NULL;
    if (!from->pages.dirty)
        return 0;
    err = tree_own(to);
    for (const struct tdw_page *page = from->pages.dirty; page && !err; page = page->next)
        err = image_page(to, page);
    return err;
}
