/* SPDX-License-Identifier: MIT */
/*
 * The word that was meant: the nearest of those that are known, by edit distance (Levenshtein
 * 1966), if half of it at least is right.
 */
#include <runtime/runtime.h>
#include <string.h>

static size_t distance(const char *a, const char *b)
{
    size_t row[64], bytes = strlen(b);

    if (bytes >= 63)
        return SIZE_MAX;
    for (size_t j = 0; j <= bytes; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < bytes; j++) {
            const size_t change = corner + (a[i] != b[j]);
            const size_t least = row[j] < row[j + 1] ? row[j] : row[j + 1];

            corner = row[j + 1];
            row[j + 1] = change < least + 1 ? change : least + 1;
        }
    }
    return row[bytes];
}

const char *tdw__nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) / 2 + 1;

    for (size_t i = 0; i < count; i++) {
        const size_t d = distance(word, words[i]);

        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}
