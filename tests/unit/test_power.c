/* SPDX-License-Identifier: MIT */
/*
 * What a power cut may leave, by persistence profile: random programs on a disk, random answers at
 * the cut, and a model that knows every state that sectors, sizes and names went through.
 *
 * Files are written in whole sectors, each filled with the number of the write, so that of what is
 * read afterwards each sector tells which write it is of.
 */
#include "dice.h"
#include "files_rig.h"
#include "tests.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int tests_power(void);

enum { SECTOR = TDW_SECTOR_BYTES, SECTORS = 40, PER_PAGE = TDW_PAGE_BYTES / SECTOR, WRITES = 250 };

static struct rig rig;
static struct dice dice;

struct answers {
    struct tdw_survival survival; /* first */
    bool calm;
    int mode; /* the answer for "mode"; -1: any */
};

static uint32_t answer(struct tdw_survival *survival, const char *point, uint32_t ordinal,
                       uint32_t bound)
{
    const struct answers *answers = (const struct answers *)survival;

    (void)ordinal;
    assert_true(bound >= 2);
    if (answers->calm)
        return 0;
    if (strcmp(point, "mode") == 0 && answers->mode >= 0)
        return (uint32_t)answers->mode;
    return below(&dice, bound);
}

static const char *cut_power(int mode, bool calm)
{
    struct answers answers = {.survival = {.choose = answer}, .calm = calm, .mode = mode};
    struct tdw_disk *disk = rig.disk;

    rig_fini(&rig, false);
    tdw__disk_crash(disk, &answers.survival);
    rig_init(&rig, disk);
    return answers.survival.what;
}

static int setup(void **state)
{
    (void)state;
    dice.state = 7;
    rig_init(&rig, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_fini(&rig, true);
    return 0;
}

static int open_at(const char *path, int flags)
{
    return RIG(&rig, openat, AT_FDCWD, path, flags, 0644);
}

static int must_open(const char *path, int flags)
{
    const int fd = open_at(path, flags);

    assert_true(fd >= 0);
    return fd;
}

static void sync_path(const char *path)
{
    const int fd = must_open(path, O_RDONLY);

    assert_int_equal(RIG(&rig, fsync, fd, 0), 0);
    RIG(&rig, close, fd);
}

static void cut_off(int fd, int bytes)
{
    assert_int_equal(rig_raw(&rig, TDW_OP_FTRUNCATE, fd, NULL, 0, (uint64_t)bytes), 0);
}

/* ── Data ──────────────────────────────────────────────────────────────────────────────────── */

/* What the file may be after a cut: each sector any of these writes (0: zeros), the size, in
 * sectors, any of these; and each page one of those that it was as a whole. */
static struct {
    bool sector[SECTORS][WRITES], size[SECTORS + 1];
    uint8_t now[SECTORS], size_now, synced_size;
    uint8_t pages[WRITES][SECTORS];
    unsigned pages_count;
} model;

static void model_synced(void)
{
    memset(model.sector, 0, sizeof model.sector);
    memset(model.size, 0, sizeof model.size);
    for (int i = 0; i < SECTORS; i++)
        model.sector[i][model.now[i]] = true;
    model.size[model.size_now] = true;
    model.synced_size = model.size_now;
    memcpy(model.pages[0], model.now, SECTORS);
    model.pages_count = 1;
}

static void model_changed(void)
{
    for (int i = 0; i < SECTORS; i++)
        model.sector[i][model.now[i]] = true;
    model.size[model.size_now] = true;
    memcpy(model.pages[model.pages_count++], model.now, SECTORS);
}

static void write_sectors(int fd, int from, int count, uint8_t number)
{
    static uint8_t bytes[SECTORS * SECTOR];

    memset(bytes, number, (size_t)count * SECTOR);
    assert_int_equal(
        RIG(&rig, write, fd, bytes, (unsigned)(count * SECTOR), (uint64_t)from * SECTOR),
        count * SECTOR);
    memset(model.now + from, number, (size_t)count);
    if (from + count > model.size_now)
        model.size_now = (uint8_t)(from + count);
}

/* Which numbers are in the file; every sector is of one write. Returns how many sectors it has. */
static int read_sectors(int fd, uint8_t found[SECTORS])
{
    static uint8_t bytes[SECTORS * SECTOR];
    const int n = RIG(&rig, read, fd, bytes, sizeof bytes, 0);

    assert_true(n >= 0 && n % SECTOR == 0);
    for (int i = 0; i < n / SECTOR; i++) {
        found[i] = bytes[i * SECTOR];
        for (int j = 1; j < SECTOR; j++)
            assert_int_equal(bytes[i * SECTOR + j], found[i]);
    }
    return n / SECTOR;
}

/* Is the page in `found` one that the file had as a whole, as far as the file reaches? */
static bool is_whole(const uint8_t found[SECTORS], int page, int size)
{
    const int first = page * PER_PAGE;
    const int count = size - first < PER_PAGE ? size - first : PER_PAGE;

    for (unsigned i = 0; i < model.pages_count; i++)
        if (memcmp(model.pages[i] + first, found + first, (size_t)count) == 0)
            return true;
    return false;
}

static unsigned torn, lost, all, between;

static void check_sectors(int fd, enum tdw_persistence profile)
{
    uint8_t found[SECTORS];
    const int size = read_sectors(fd, found);
    bool as_now = size == model.size_now, as_synced = size == model.synced_size;

    assert_true(model.size[size]);
    for (int i = 0; i < size; i++) {
        const bool alone = found[i] == 0 && profile == TDW_STRICT; /* a size without its data */

        if (!model.sector[i][found[i]] && !(alone && i >= model.synced_size))
            fail_msg("%s: sector %d is of write %d", tdw_persistence_name(profile), i, found[i]);
        if (profile != TDW_STRICT && i >= model.synced_size && found[i] == 0)
            assert_int_equal(model.now[i], 0); /* a hole, and not what is missing */
        as_now = as_now && found[i] == model.now[i];
        as_synced = as_synced && found[i] == model.pages[0][i];
    }
    for (int page = 0; page * PER_PAGE < size; page++) {
        const bool whole = is_whole(found, page, size);

        torn += !whole;
        assert_true(whole || profile != TDW_BTRFS);
    }
    all += as_now && !as_synced;
    lost += as_synced && !as_now;
    between += !as_now && !as_synced;
}

/* No holes: what is behind the end is not written to. */
static void random_changes(int fd, uint8_t *number)
{
    const int steps = 1 + (int)below(&dice, 12);

    for (int i = 0; i < steps; i++) {
        const int from = (int)below(&dice, model.size_now + 1u);
        const int room = SECTORS - from;

        if (room == 0 || below(&dice, 8) == 0) {
            assert_int_equal(RIG(&rig, fsync, fd, below(&dice, 2)), 0);
            model_synced();
            continue;
        }
        write_sectors(fd, from, 1 + (int)below(&dice, room < 12 ? (uint32_t)room : 12), ++*number);
        model_changed();
    }
}

static void leave_files(bool whole_blocks)
{
    rig.disk->whole_blocks = whole_blocks;
    for (int p = TDW_STRICT; p < TDW_NO_BARRIERS; p++) {
        torn = lost = all = between = 0;
        for (int run = 0; run < 300; run++) {
            uint8_t number = 0;
            int fd;

            memset(&model, 0, sizeof model);
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            assert_int_equal(RIG(&rig, fsync, fd, 0), 0);
            sync_path("/");
            model_synced();
            for (int boot = 0; boot < 3 && number < WRITES - 40; boot++) {
                random_changes(fd, &number);
                cut_power(-1, false);
                fd = must_open("/file", O_RDWR);
                check_sectors(fd, (enum tdw_persistence)p);
                memset(model.now, 0, sizeof model.now);
                model.size_now = (uint8_t)read_sectors(fd, model.now);
                model_synced();
            }
            RIG(&rig, close, fd);
        }
        /* Every kind of outcome has been there, but for those that the profile rules out. */
        assert_true(lost > 20 && all > 20 && between > 20);
        assert_true((torn > 5) == (p != TDW_BTRFS && !whole_blocks));
    }
}

static void what_is_left_of_a_file_was_there_once(void **state)
{
    (void)state;
    leave_files(false);
}

static void large_sectors_are_not_torn(void **state)
{
    (void)state;
    leave_files(true);
}

static void calm_is_what_was_synced(void **state)
{
    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++) {
        for (int run = 0; run < 100; run++) {
            uint8_t number = 0, found[SECTORS];
            int fd;

            memset(&model, 0, sizeof model);
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            assert_int_equal(RIG(&rig, fsync, fd, 0), 0);
            sync_path("/");
            model_synced();
            random_changes(fd, &number);
            cut_power(-1, true);
            fd = must_open("/file", O_RDWR);
            assert_int_equal(read_sectors(fd, found), model.synced_size);
            assert_memory_equal(found, model.pages[0], model.synced_size);
            RIG(&rig, close, fd);
        }
    }
}

/* A drive that has no barriers loses what it acknowledged, and nothing else does. */
static void only_a_drive_without_barriers_loses_what_was_synced(void **state)
{
    (void)state;
    for (int p = TDW_STRICT; p < TDW_PERSISTENCES; p++) {
        unsigned missing = 0;

        for (int run = 0; run < 200; run++) {
            uint8_t found[SECTORS];
            int fd, size;

            memset(&model, 0, sizeof model);
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            sync_path("/");
            for (uint8_t i = 1; i <= 5; i++) {
                write_sectors(fd, i, 1, i);
                assert_int_equal(RIG(&rig, fsync, fd, IORING_FSYNC_DATASYNC), 0);
            }
            cut_power(-1, false);
            fd = open_at("/file", O_RDWR);
            size = fd < 0 ? 0 : read_sectors(fd, found);
            for (uint8_t i = 1; i <= 5; i++)
                missing += i >= size || found[i] != i;
            if (fd >= 0)
                RIG(&rig, close, fd);
        }
        assert_true((missing > 0) == (p == TDW_NO_BARRIERS));
    }
}

static void what_was_cut_off_does_not_come_back_with_a_later_size(void **state)
{
    (void)state;
    for (int p = TDW_STRICT; p < TDW_NO_BARRIERS; p++)
        for (int run = 0; run < 300; run++) {
            uint8_t found[SECTORS];
            int fd;

            memset(&model, 0, sizeof model);
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            write_sectors(fd, 0, 20, 1);
            sync_path("/file");
            sync_path("/");
            assert_int_equal(tdw_sys_truncate("/file", 3 * SECTOR), 0);
            write_sectors(fd, 21, 1, 2);
            cut_power(-1, false);
            fd = must_open("/file", O_RDWR);
            if (read_sectors(fd, found) == 22)
                for (int i = 3; i < 21; i++)
                    assert_int_equal(found[i], 0);
            RIG(&rig, close, fd);
        }
}

/* ── Many changes, none of them synced ─────────────────────────────────────────────────────── */

enum { CHANGES = 90 };

/* All that the file was, oldest first. */
static struct {
    uint8_t sectors[CHANGES + 1][SECTORS];
    int sizes[CHANGES + 1];
    int count;
} past;

static void remember(void)
{
    memcpy(past.sectors[past.count], model.now, SECTORS);
    past.sizes[past.count++] = model.size_now;
}

static bool was_so(const uint8_t found[SECTORS], int size)
{
    for (int i = 0; i < past.count; i++)
        if (past.sizes[i] == size && memcmp(past.sectors[i], found, (size_t)size) == 0)
            return true;
    return false;
}

static void append_or_cut_off(int fd)
{
    if (model.size_now > 0 && below(&dice, 6) == 0) {
        model.size_now = (uint8_t)below(&dice, model.size_now);
        memset(model.now + model.size_now, 0, (size_t)(SECTORS - model.size_now));
        cut_off(fd, model.size_now * SECTOR);
    } else if (model.size_now < SECTORS) {
        write_sectors(fd, model.size_now, 1, (uint8_t)past.count);
    } else {
        return;
    }
    remember();
}

/* However many states there were, a file that grows and is cut off is left as it was once. */
static void a_moment_is_a_state_that_there_was(void **state)
{
    (void)state;
    for (int p = TDW_STRICT; p < TDW_NO_BARRIERS; p++) {
        unsigned early = 0;

        for (int run = 0; run < 400; run++) {
            uint8_t found[SECTORS];
            int fd, size;

            memset(&model, 0, sizeof model);
            past.count = 0;
            remember();
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            sync_path("/file");
            sync_path("/");
            for (uint32_t steps = below(&dice, CHANGES); steps > 0; steps--)
                append_or_cut_off(fd);
            cut_power(2, false);
            fd = must_open("/file", O_RDWR);
            size = read_sectors(fd, found);
            assert_true(was_so(found, size));
            early += size != model.size_now;
            RIG(&rig, close, fd);
        }
        assert_true(early > 100);
    }
}

/* A second sector is there from the second write on, and the first is written many times more. */
static void data_is_there_with_the_size_that_shows_it(void **state)
{
    (void)state;
    for (int p = TDW_EXT4; p < TDW_NO_BARRIERS; p++)
        for (int run = 0; run < 200; run++) {
            uint8_t found[SECTORS];
            int fd;

            memset(&model, 0, sizeof model);
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            sync_path("/file");
            sync_path("/");
            write_sectors(fd, 0, 1, 1);
            write_sectors(fd, 1, 1, 2);
            for (uint8_t i = 3; i < 40; i++)
                write_sectors(fd, 0, 1, i);
            cut_power(2, false);
            fd = must_open("/file", O_RDWR);
            if (read_sectors(fd, found) == 2)
                assert_int_equal(found[1], 2);
            RIG(&rig, close, fd);
        }
}

/* 512 times "A" were durable; the file was cut off, and ten times "B" written. */
static void what_came_after_a_truncation_is_not_there_without_it(void **state)
{
    (void)state;
    for (int p = TDW_STRICT; p < TDW_NO_BARRIERS; p++)
        for (int run = 0; run < 200; run++) {
            uint8_t bytes[SECTOR];
            int fd, n;

            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
            memset(bytes, 'A', sizeof bytes);
            RIG(&rig, write, fd, bytes, SECTOR, 0);
            sync_path("/file");
            sync_path("/");
            cut_off(fd, 0);
            RIG(&rig, write, fd, "BBBBBBBBBB", 10, 0);
            cut_power(-1, false);
            fd = must_open("/file", O_RDWR);
            n = RIG(&rig, read, fd, bytes, SECTOR, 0);
            assert_true(n == 0 || n == 10 || n == SECTOR);
            for (int i = 0; i < n; i++)
                assert_true(bytes[i] == (n == SECTOR ? 'A' : 'B') ||
                            (p == TDW_STRICT && n == 10 && bytes[i] == 0));
            RIG(&rig, close, fd);
        }
}

/* ── Syncs and what comes between ──────────────────────────────────────────────────────────── */

static void write_byte(int fd, char byte)
{
    assert_int_equal(RIG(&rig, write, fd, &byte, 1, 0), 1);
}

static int first_byte(const char *path)
{
    const int fd = open_at(path, O_RDONLY);
    uint8_t byte = 0;

    if (fd < 0)
        return fd;
    RIG(&rig, read, fd, &byte, 1, 0);
    RIG(&rig, close, fd);
    return byte;
}

/* ext4 brings the data along with a rename over a file: newer data than what a sync under way is
 * about to keep. */
static void a_sync_that_ends_late_takes_nothing_back(void **state)
{
    struct io_uring_sqe sqe = {0};
    struct rig_flight flight;
    int fd;

    (void)state;
    tdw__disk_persistence(rig.disk, TDW_EXT4);
    fd = must_open("/old", O_RDWR | O_CREAT);
    write_byte(fd, 'o');
    RIG(&rig, close, fd);
    fd = must_open("/new", O_RDWR | O_CREAT);
    write_byte(fd, '1');
    io_uring_prep_fsync(&sqe, fd, 0);
    assert_int_equal(rig_start(&rig, &flight, &sqe), 0);
    write_byte(fd, '2');
    assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/new", AT_FDCWD, "/old", 0), 0);
    sync_path("/");
    assert_int_equal(rig_land(&rig, &flight, true), 0);
    cut_power(-1, true);
    assert_int_equal(first_byte("/old"), '2');
}

/* A file whose "a" is durable; then a "b" over it, which never reaches the disk. */
static int lose_a_write(int profile)
{
    int fd;

    tdw__disk_persistence(rig.disk, (enum tdw_persistence)profile);
    fd = must_open("/file", O_RDWR | O_CREAT);
    write_byte(fd, 'a');
    sync_path("/file");
    sync_path("/");
    write_byte(fd, 'b');
    tdw__page_lose(tdw__name_find(rig.disk->root, "file", 4)->now, 0);
    return fd;
}

static void a_lost_write_takes_no_older_one_along(void **state)
{
    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++) {
        RIG(&rig, fsync, lose_a_write(p), 0);
        cut_power(-1, true);
        assert_int_equal(first_byte("/file"), 'a');
        RIG(&rig, unlinkat, AT_FDCWD, "/file", 0);
    }
}

static void a_lost_page_that_is_cut_off_is_cut_off(void **state)
{
    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++) {
        const int fd = lose_a_write(p);

        cut_off(fd, 0);
        cut_off(fd, 1);
        RIG(&rig, fsync, fd, 0);
        cut_power(-1, true);
        assert_int_equal(first_byte("/file"), 0);
        RIG(&rig, unlinkat, AT_FDCWD, "/file", 0);
    }
}

/* The page that the new end lies in is lost: what was behind the end is gone all the same. */
static void a_lost_page_has_nothing_behind_the_end(void **state)
{
    static uint8_t bytes[TDW_PAGE_BYTES];

    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++) {
        int fd;

        tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
        fd = must_open("/file", O_RDWR | O_CREAT);
        memset(bytes, 'a', sizeof bytes);
        RIG(&rig, write, fd, bytes, sizeof bytes, 0);
        sync_path("/file");
        sync_path("/");
        cut_off(fd, 100);
        RIG(&rig, write, fd, "b", 1, 0);
        tdw__page_lose(tdw__name_find(rig.disk->root, "file", 4)->now, 0);
        assert_int_equal(RIG(&rig, fsync, fd, 0), 0);
        cut_power(-1, true);
        fd = must_open("/file", O_RDWR);
        cut_off(fd, TDW_PAGE_BYTES);
        assert_int_equal(RIG(&rig, read, fd, bytes, sizeof bytes, 0), (int)sizeof bytes);
        assert_int_equal(bytes[99], 'a');
        for (size_t i = 100; i < sizeof bytes; i++)
            assert_int_equal(bytes[i], 0);
        RIG(&rig, close, fd);
        RIG(&rig, unlinkat, AT_FDCWD, "/file", 0);
    }
}

/* A file that came with the disk is cut off, and grows: in many steps, or few. */
static void what_was_seeded_does_not_come_back(void **state)
{
    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++)
        for (int more = 0; more < 40; more += 39) {
            uint8_t byte = 1;
            int fd;

            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            tdw__disk_seed_file(rig.disk, "/seeded", 3 * TDW_PAGE_BYTES, 7);
            fd = must_open("/seeded", O_RDWR);
            cut_off(fd, 0);
            for (int i = 0; i <= more; i++)
                cut_off(fd, 2 * TDW_PAGE_BYTES + i);
            RIG(&rig, fsync, fd, 0);
            cut_power(-1, true);
            fd = must_open("/seeded", O_RDWR);
            for (uint64_t at = 0; at < 2 * TDW_PAGE_BYTES; at += 100) {
                assert_int_equal(RIG(&rig, read, fd, &byte, 1, at), 1);
                assert_int_equal(byte, 0);
            }
            RIG(&rig, close, fd);
            RIG(&rig, unlinkat, AT_FDCWD, "/seeded", 0);
        }
}

/* ── Names ─────────────────────────────────────────────────────────────────────────────────── */

enum { NAMES = 5, FILES = 4, STATES = 64 };

/* Which file each name leads to, -1: none; all states since the last sync. */
struct names {
    int8_t of[NAMES];
};
static struct {
    struct names states[STATES];
    unsigned count;
} history;

static const char *const paths[NAMES] = {"/a/x", "/a/y", "/b/x", "/b/y", "/b/z"};

/* A file says in its content which it is. */
static struct names look(void)
{
    struct names now;

    for (int i = 0; i < NAMES; i++) {
        const int fd = open_at(paths[i], O_RDONLY);
        uint8_t which = 0;

        now.of[i] = -1;
        if (fd < 0)
            continue;
        assert_int_equal(RIG(&rig, read, fd, &which, 1, 0), 1);
        now.of[i] = (int8_t)which;
        RIG(&rig, close, fd);
    }
    return now;
}

static void names_synced(void)
{
    sync_path("/a");
    sync_path("/b");
    history.states[0] = look();
    history.count = 1;
}

static void change_names(void)
{
    const char *from = paths[below(&dice, NAMES)];
    const char *to = paths[below(&dice, NAMES)];

    switch (below(&dice, 4)) {
    case 0:
        RIG(&rig, unlinkat, AT_FDCWD, from, 0);
        break;
    case 1:
        RIG(&rig, linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
        break;
    default:
        RIG(&rig, renameat, AT_FDCWD, from, AT_FDCWD, to, 0);
    }
    history.states[history.count++] = look();
}

static bool in_history(const struct names *names)
{
    for (unsigned i = 0; i < history.count; i++)
        if (memcmp(&history.states[i], names, sizeof *names) == 0)
            return true;
    return false;
}

/* Does each name lead where it once led? */
static void names_are_of_history(const struct names *names)
{
    for (int i = 0; i < NAMES; i++) {
        bool seen = false;

        for (unsigned j = 0; j < history.count; j++)
            seen |= history.states[j].of[i] == names->of[i];
        assert_true(seen);
    }
}

static void names_are_left_in_order_or_not(void **state)
{
    (void)state;
    for (int p = TDW_STRICT; p < TDW_NO_BARRIERS; p++) {
        unsigned reordered = 0, earlier = 0;

        for (int run = 0; run < 600; run++) {
            struct names left;

            tdw__disk_persistence(rig.disk, TDW_SYNCED);
            tdw__disk_seed_dir(rig.disk, "/a");
            tdw__disk_seed_dir(rig.disk, "/b");
            for (uint8_t i = 0; i < FILES; i++) {
                const int fd = must_open(paths[i], O_RDWR | O_CREAT | O_TRUNC);

                assert_int_equal(RIG(&rig, write, fd, &i, 1, 0), 1);
                RIG(&rig, close, fd);
            }
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            names_synced();
            for (int step = (int)below(&dice, 20); step >= 0; step--)
                if (below(&dice, 10) == 0)
                    names_synced();
                else
                    change_names();
            cut_power(-1, false);
            left = look();
            names_are_of_history(&left);
            reordered += !in_history(&left);
            earlier += memcmp(&left, &history.states[history.count - 1], sizeof left) != 0;
            for (int i = 0; i < NAMES; i++)
                RIG(&rig, unlinkat, AT_FDCWD, paths[i], 0);
        }
        assert_true(earlier > 50);
        assert_true((reordered > 3) == (p == TDW_STRICT || p == TDW_BTRFS));
    }
}

/* "old" is replaced by "new!", which was never synced, by a rename. What is left of the name? */
static unsigned replaced_by_rename(enum tdw_persistence profile)
{
    unsigned empty = 0;

    for (int run = 0; run < 300; run++) {
        char text[8] = "";
        int fd;

        tdw__disk_persistence(rig.disk, profile);
        fd = must_open("/file", O_RDWR | O_CREAT | O_TRUNC);
        assert_int_equal(RIG(&rig, write, fd, "old", 3, 0), 3);
        RIG(&rig, close, fd);
        sync_path("/file");
        sync_path("/");
        fd = must_open("/tmp", O_RDWR | O_CREAT | O_TRUNC);
        assert_int_equal(RIG(&rig, write, fd, "new!", 4, 0), 4);
        RIG(&rig, close, fd);
        assert_int_equal(RIG(&rig, renameat, AT_FDCWD, "/tmp", AT_FDCWD, "/file", 0), 0);
        cut_power(-1, false);
        fd = must_open("/file", O_RDONLY);
        assert_true(RIG(&rig, read, fd, text, 8, 0) >= 0);
        RIG(&rig, close, fd);
        if (strcmp(text, "old") != 0 && strcmp(text, "new!") != 0)
            empty++;
    }
    return empty;
}

static void replace_by_rename_is_helped_by_one_file_system(void **state)
{
    (void)state;
    assert_true(replaced_by_rename(TDW_STRICT) > 0);
    assert_int_equal(replaced_by_rename(TDW_EXT4), 0);
    assert_true(replaced_by_rename(TDW_XFS) > 0);
}

/* A journal is written as a whole: the sync of one file makes the names of others durable. */
static void a_sync_commits_the_journal_where_there_is_one(void **state)
{
    static const bool is_there[TDW_PERSISTENCES] = {[TDW_EXT4] = true, [TDW_XFS] = true};

    (void)state;
    for (int p = 0; p < TDW_NO_BARRIERS; p++) {
        int fd, other;

        tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
        fd = must_open("/one", O_RDWR | O_CREAT);
        other = must_open("/other", O_RDWR | O_CREAT);
        assert_int_equal(RIG(&rig, fsync, other, 0), 0);
        RIG(&rig, close, fd);
        RIG(&rig, close, other);
        cut_power(-1, true);
        assert_int_equal(open_at("/one", O_RDONLY) >= 0, is_there[p]);
        assert_int_equal(open_at("/other", O_RDONLY) >= 0, is_there[p] || p == TDW_BTRFS);
        RIG(&rig, unlinkat, AT_FDCWD, "/one", 0);
        RIG(&rig, unlinkat, AT_FDCWD, "/other", 0);
    }
}

/* ── Directories that go ───────────────────────────────────────────────────────────────────── */

/* Every file has one name, whatever happens: files are moved, and never over one another. */
static void files_are_all_there(struct tdw_disk *disk, const char *where)
{
    int files = 0;

    for (const struct tdw_inode *inode = disk->inodes_all; inode; inode = inode->next) {
        if (!tdw__is_reg(inode))
            continue;
        files++;
        if (inode->links_now != 1)
            fail_msg("%s: a file has %u names", where, inode->links_now);
    }
    if (files != FILES)
        fail_msg("%s: %d files are left", where, files);
}

static void move_files_and_directories(void)
{
    static const char *const dirs[] = {"/a", "/b", "/c", "/a/d", "/b/d"};
    char from[16], to[16];

    snprintf(from, sizeof from, "%s/%u", dirs[below(&dice, 5)], below(&dice, FILES));
    snprintf(to, sizeof to, "%s/%u", dirs[below(&dice, 5)], below(&dice, FILES));
    switch (below(&dice, 8)) {
    case 0:
        RIG(&rig, unlinkat, AT_FDCWD, dirs[below(&dice, 5)], AT_REMOVEDIR);
        break;
    case 1:
        RIG(&rig, mkdirat, AT_FDCWD, dirs[below(&dice, 5)], 0755);
        break;
    case 2:
        RIG(&rig, renameat, AT_FDCWD, dirs[below(&dice, 5)], AT_FDCWD, dirs[below(&dice, 5)], 0);
        break;
    case 3: {
        const int fd = open_at(below(&dice, 2) ? dirs[below(&dice, 5)] : "/", O_RDONLY);

        if (fd >= 0) {
            RIG(&rig, fsync, fd, 0);
            RIG(&rig, close, fd);
        }
        break;
    }
    default:
        RIG(&rig, renameat, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    }
}

/* A power cut on an image of the disk, which goes on. */
static void cut_image(const char *where)
{
    struct answers answers = {.survival = {.choose = answer}, .mode = -1};
    struct tdw_memory *memory = tdw__memory_new();
    struct tdw_disk *image = tdw__disk_image(rig.disk, memory, &answers.survival);

    assert_non_null(image);
    files_are_all_there(image, where);
    tdw__disk_free(image);
    tdw__memory_free(memory);
}

static void moved_files_outlive_the_directories_they_came_from(void **state)
{
    (void)state;
    for (int p = 0; p < TDW_PERSISTENCES; p++)
        for (int run = 0; run < 500; run++) {
            const char *where = tdw_persistence_name((enum tdw_persistence)p);

            teardown(NULL);
            rig_init(&rig, NULL);
            for (unsigned i = 0; i < FILES; i++) {
                char path[16];

                snprintf(path, sizeof path, "/%c/%u", 'a' + (int)(i % 3), i);
                tdw__disk_seed_file(rig.disk, path, 1, i);
            }
            tdw__disk_persistence(rig.disk, (enum tdw_persistence)p);
            for (int step = (int)below(&dice, 30); step >= 0; step--) {
                move_files_and_directories();
                if (below(&dice, 8) == 0)
                    cut_image(where);
            }
            cut_power(-1, below(&dice, 4) == 0);
            files_are_all_there(rig.disk, where);
        }
}

int tests_power(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_left_of_a_file_was_there_once),
        TEST(large_sectors_are_not_torn),
        TEST(calm_is_what_was_synced),
        TEST(only_a_drive_without_barriers_loses_what_was_synced),
        TEST(what_was_cut_off_does_not_come_back_with_a_later_size),
        TEST(a_moment_is_a_state_that_there_was),
        TEST(data_is_there_with_the_size_that_shows_it),
        TEST(what_came_after_a_truncation_is_not_there_without_it),
        TEST(a_sync_that_ends_late_takes_nothing_back),
        TEST(a_lost_write_takes_no_older_one_along),
        TEST(a_lost_page_that_is_cut_off_is_cut_off),
        TEST(a_lost_page_has_nothing_behind_the_end),
        TEST(what_was_seeded_does_not_come_back),
        TEST(names_are_left_in_order_or_not),
        TEST(replace_by_rename_is_helped_by_one_file_system),
        TEST(a_sync_commits_the_journal_where_there_is_one),
        TEST(moved_files_outlive_the_directories_they_came_from),
    };
#undef TEST

    return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
