/* SPDX-License-Identifier: MIT */
/*
 * Sets of rows of words: what a search has seen.
 *
 * Rows stand one behind the other in one array, so a row is named by a number of 32 bits, equal
 * rows by the same one, and rows are walked in the order in which they came. A table of open
 * addressing finds them; rows of equal hash are compared word by word, so that a collision costs
 * time and decides nothing. Nothing is ever taken out; the whole set is cleared and its memory used
 * again.
 *
 * Cost: two words a row beside its own, and four to eight bytes of table.
 */
#include <sim/explore/linearize.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_FIRST = 256, WORDS_FIRST = 1024 };

static void table_put(struct tdw__rows *rows, uint32_t row)
{
    uint32_t at = (uint32_t)rows->words[row] & (rows->table_size - 1);

    while (rows->table[at])
        at = (at + 1) & (rows->table_size - 1);
    rows->table[at] = row + 1;
}

/* Half of the table stays free. */
static bool table_grow(struct tdw__rows *rows)
{
    const uint32_t size = rows->table_size ? rows->table_size * 2 : TABLE_FIRST;
    uint32_t *table = calloc(size, sizeof *table);

    if (!table)
        return false;
    free(rows->table);
    rows->table = table;
    rows->table_size = size;
    for (uint32_t row = 0; row < rows->used; row = tdw__row_next(rows, row))
        table_put(rows, row);
    return true;
}

static bool words_grow(struct tdw__rows *rows, size_t needed)
{
    size_t room = rows->room ? rows->room : WORDS_FIRST;
    uint64_t *words;

    while (room < needed)
        room += room / 2;
    words = realloc(rows->words, room * sizeof *words);
    if (!words)
        return false;
    rows->words = words;
    rows->room = room;
    return true;
}

static uint32_t find(const struct tdw__rows *rows, uint64_t hash, const uint64_t *words,
                     uint32_t count)
{
    if (!rows->table_size)
        return TDW__NO_ROW;
    for (uint32_t at = (uint32_t)hash & (rows->table_size - 1); rows->table[at];
         at = (at + 1) & (rows->table_size - 1)) {
        const uint32_t row = rows->table[at] - 1;

        if (rows->words[row] == hash && tdw__row_count(rows, row) == count &&
            memcmp(tdw__row(rows, row), words, count * sizeof *words) == 0)
            return row;
    }
    return TDW__NO_ROW;
}

uint32_t tdw__rows_add(struct tdw__rows *rows, uint64_t hash, const uint64_t *words, uint32_t count,
                       size_t bytes_max, bool *is_new)
{
    const size_t needed = rows->used + 2 + count;
    uint32_t row = find(rows, hash, words, count);

    *is_new = false;
    if (row != TDW__NO_ROW)
        return row;
    if (needed * sizeof *words > bytes_max || needed >= TDW__NO_ROW)
        return TDW__NO_ROW;
    if (needed > rows->room && !words_grow(rows, needed))
        return TDW__NO_ROW;
    if (rows->count * 2 >= rows->table_size && !table_grow(rows))
        return TDW__NO_ROW;
    row = (uint32_t)rows->used;
    rows->words[row] = hash;
    rows->words[row + 1] = count;
    if (count)
        memcpy(rows->words + row + 2, words, count * sizeof *words);
    rows->used = needed;
    rows->count++;
    table_put(rows, row);
    *is_new = true;
    return row;
}

void tdw__rows_clear(struct tdw__rows *rows)
{
    rows->used = rows->count = 0;
    if (rows->table_size > TABLE_FIRST) { /* a large one would cost every later clear */
        free(rows->table);
        rows->table = NULL;
        rows->table_size = 0;
    } else if (rows->table) {
        memset(rows->table, 0, rows->table_size * sizeof *rows->table);
    }
}

void tdw__rows_fini(struct tdw__rows *rows)
{
    free(rows->words);
    free(rows->table);
    *rows = (struct tdw__rows){.words = NULL};
}
