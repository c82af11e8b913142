/* SPDX-License-Identifier: MIT */
/*
 * SQLite as the judge of the disk model: a program whose promises are known, on disks of each kind.
 *
 *     transactions, each of which changes several rows ── COMMIT answered: promised
 *     power cuts everywhere ─▶ open, integrity_check, is it one state as a whole, what is in it
 *
 * What SQLite promises: after a COMMIT was answered the transaction is there, with the journal
 * modes and levels of `synchronous` that say so, on a file system that keeps what is synced. With a
 * rollback journal that is deleted and synchronous=FULL it is not promised: the directory is not
 * synced after the unlink, so the journal may come back and undo a transaction that was answered,
 * with the database intact; EXTRA syncs it (sqlite.org/pragma.html#pragma_synchronous). So a model
 * of disks under which one of the first kind fails, or DELETE with FULL never does, is wrong.
 *
 * The cell is chosen by -p cell=N (check.sh has the table); the profile of the disk by a plan.
 */
#include "judge.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidewheel/scenario.h>

enum { ROWS = 6, TRANSACTIONS = 12 };

static const struct {
    const char *journal, *synchronous;
} cells[] = {
    {"WAL", "FULL"},     {"TRUNCATE", "FULL"}, {"DELETE", "EXTRA"}, {"DELETE", "FULL"},
    {"PERSIST", "FULL"}, {"WAL", "NORMAL"},    {"DELETE", "OFF"},
};
enum { CELLS = sizeof cells / sizeof *cells };

static struct {
    uint32_t cell;
    bool done;
} test;

static bool run_sql(sqlite3 *db, const char *sql)
{
    char *wrong = NULL;
    const int ret = sqlite3_exec(db, sql, NULL, NULL, &wrong);

    tdw_check(ret == SQLITE_OK, "%s: %s", sql, wrong ? wrong : sqlite3_errstr(ret));
    sqlite3_free(wrong);
    return ret == SQLITE_OK;
}

static sqlite3 *open_database(void)
{
    sqlite3 *db = NULL;
    char sql[200];

    if (sqlite3_open_v2("data.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "tidewheel") !=
        SQLITE_OK)
        return NULL;
    /* Without shared memory WAL is exclusive; others must not be, or the journal is never deleted.
     */
    snprintf(sql, sizeof sql,
             "PRAGMA locking_mode=%s; PRAGMA temp_store=MEMORY; PRAGMA journal_mode=%s; "
             "PRAGMA synchronous=%s; PRAGMA cache_size=10; PRAGMA wal_autocheckpoint=8",
             strcmp(cells[test.cell].journal, "WAL") == 0 ? "EXCLUSIVE" : "NORMAL",
             cells[test.cell].journal, cells[test.cell].synchronous);
    run_sql(db, sql);
    return db;
}

/* ── The program ───────────────────────────────────────────────────────────────────────────── */

/* Transaction `number` writes it into some rows, and into row 0, which all of them write. Rows are
 * large, so that a transaction is several pages. */
static void transact(sqlite3 *db, int number)
{
    const uint32_t rows = 1 + tdw_choose("rows", 3);
    char sql[300];

    if (!run_sql(db, "BEGIN"))
        return;
    for (uint32_t i = 0; i <= rows; i++) {
        const uint32_t row = i == 0 ? 0 : 1 + (uint32_t)(number + (int)i * 2) % (ROWS - 1);

        tdw_attempted(row, (uint64_t)number);
        snprintf(sql, sizeof sql,
                 "INSERT INTO t VALUES(%u, %d, zeroblob(%u)) ON CONFLICT(k) DO UPDATE SET "
                 "v=excluded.v, filler=excluded.filler",
                 row, number, 900 + tdw_choose("bytes", 4) * 1100);
        run_sql(db, sql);
    }
    if (!run_sql(db, "COMMIT"))
        return;
    for (uint32_t i = 0; i <= rows; i++)
        tdw_acked(i == 0 ? 0 : 1 + (uint32_t)(number + (int)i * 2) % (ROWS - 1), (uint64_t)number);
}

static void work(void *unused)
{
    sqlite3 *db = open_database();

    (void)unused;
    tdw_check(db != NULL, "the database does not open");
    if (!db)
        return;
    run_sql(db, "CREATE TABLE t(k INTEGER PRIMARY KEY, v INTEGER, filler BLOB)");
    for (int i = 1; i <= TRANSACTIONS; i++)
        transact(db, i);
    sqlite3_close(db);
    test.done = true;
}

static void host_main(void *unused)
{
    tdw_spawn_stackful("work", work, unused);
}

/* ── The recovery ──────────────────────────────────────────────────────────────────────────── */

static int take_text(void *to, int columns, char **values, char **names)
{
    (void)columns, (void)names;
    snprintf(to, 200, "%s", values[0] ? values[0] : "");
    return 0;
}

/* Row 0 has the number of the last transaction, and no row has a later one. */
static int take_row(void *highest, int columns, char **values, char **names)
{
    const uint64_t key = strtoull(values[0], NULL, 10), value = strtoull(values[1], NULL, 10);
    uint64_t *at = highest;

    (void)columns, (void)names;
    tdw_found(key, value);
    if (key == 0)
        at[0] = value;
    else if (value > at[1])
        at[1] = value;
    return 0;
}

static void recover(void *unused)
{
    sqlite3 *db = open_database();
    char said[200] = "";
    uint64_t last[2] = {0, 0};
    int ret;

    (void)unused;
    tdw_check(db != NULL, "the database does not open");
    if (!db)
        return;
    ret = sqlite3_exec(db, "PRAGMA integrity_check", take_text, said, NULL);
    tdw_check(ret == SQLITE_OK && strcmp(said, "ok") == 0, "integrity: %s, %s", sqlite3_errstr(ret),
              said);
    ret = sqlite3_exec(db, "SELECT name FROM sqlite_schema WHERE name='t'", take_text, said, NULL);
    if (ret == SQLITE_OK && strcmp(said, "t") == 0)
        ret = sqlite3_exec(db, "SELECT k, v FROM t", take_row, last, NULL);
    tdw_check(ret == SQLITE_OK, "reading: %s", sqlite3_errstr(ret));
    tdw_check(last[0] >= last[1], "half a transaction: the last is %d, and %d is there",
              (int)last[0], (int)last[1]);
    sqlite3_close(db);
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_RESTORE);
}

/* SQLite has one generator of random numbers for all its users: the run must not see this one. */
static void recover_main(void *unused)
{
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SAVE);
    tdw_spawn_stackful("recovery", recover, unused);
}

static void judge(void *unused)
{
    struct tdw_host *host = tdw_host("db", host_main, NULL);

    (void)unused;
    test.cell = (uint32_t)tdw_param("cell", 0, CELLS - 1);
    test.done = false;
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1, NULL);
    tdw_survives(host, recover_main, NULL);
    tdw_host_boot(host);
    while (!test.done)
        tdw_sleep(1000000);
}
TDW_SCENARIO(sqlite, .doc = "SQLite keeps its promises, or does not", .stackful = judge,
             .stack_bytes = 1 << 20);

int main(int argc, char **argv)
{
    judge_register();
    return tdw_main(argc, argv);
}
