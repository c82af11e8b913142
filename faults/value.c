/* SPDX-License-Identifier: MIT */
/*
 * Values of a plan, as people write them: 0.1 %, 20ms, 4k, EIO.
 *
 * All are kept as integers, so that a plan means the same on every machine: a decimal fraction is
 * digits over a power of ten, and what a unit makes of it is computed in 128 bits and cut.
 */
#include <faults/faults.h>
#include <string.h>

/* Digits with at most one point: number / scale. What follows, or NULL: there are none, or too
 * many. */
static const char *decimal(const char *text, uint64_t *number, uint64_t *scale)
{
    const char *begin = text;
    bool point = false;

    *number = 0;
    *scale = 1;
    for (;; text++) {
        if (*text == '.' && !point && text > begin) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9')
            break;
        if (*number > UINT64_MAX / 10 - 1 || (point && *scale > UINT64_MAX / 100))
            return NULL;
        *number = *number * 10 + (uint64_t)(*text - '0');
        *scale *= point ? 10 : 1;
    }
    return text == begin || text[-1] == '.' ? NULL : text;
}

struct unit {
    const char *name;
    uint64_t of;
};

static bool with_unit(const char *text, const struct unit *units, size_t count, uint64_t *to)
{
    uint64_t number, scale;
    const char *unit = decimal(text, &number, &scale);

    while (unit && *unit == ' ')
        unit++;
    for (size_t i = 0; unit && i < count; i++) {
        const unsigned __int128 value = (unsigned __int128)number * units[i].of / scale;

        if (strcmp(unit, units[i].name) == 0 && value <= UINT64_MAX) {
            *to = (uint64_t)value;
            return true;
        }
    }
    return false;
}

bool tdw__value_time(const char *text, uint64_t *to)
{
    static const struct unit units[] = {{"ns", 1},           {"us", 1000},
                                        {"ms", 1000000},     {"s", 1000000000u},
                                        {"m", 60000000000u}, {"h", 3600000000000u}};

    return with_unit(text, units, sizeof units / sizeof *units, to) ||
           (strcmp(text, "0") == 0 && (*to = 0, true));
}

bool tdw__value_size(const char *text, uint64_t *to)
{
    static const struct unit units[] = {
        {"", 1},        {"B", 1},         {"k", 1 << 10}, {"K", 1 << 10},   {"KiB", 1 << 10},
        {"M", 1 << 20}, {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30},
    };

    return with_unit(text, units, sizeof units / sizeof *units, to);
}

bool tdw__value_count(const char *text, uint64_t *to)
{
    uint64_t scale;
    const char *end = decimal(text, to, &scale);

    return end && *end == '\0' && scale == 1;
}

bool tdw__value_chance(const char *text, uint64_t *to)
{
    uint64_t number, scale, over = 1, over_scale = 1;
    const char *end = decimal(text, &number, &scale);
    unsigned __int128 value;

    if (!end)
        return false;
    if (*end == '/') {
        end = decimal(end + 1, &over, &over_scale);
        if (!end || over == 0 || over_scale != 1 || scale != 1)
            return false;
    } else {
        while (*end == ' ')
            end++;
        if (*end == '%') {
            over = 100;
            end++;
        }
    }
    value = ((unsigned __int128)number << 32) / scale / over;
    *to = (uint64_t)value;
    return *end == '\0' && value <= (uint64_t)1 << 32;
}

int tdw__value_error(const char *text)
{
    for (int error = 1; error < 134; error++) {
        const char *name = strerrorname_np(error);

        if (name && strcmp(name, text) == 0)
            return error;
    }
    return 0;
}

/* The last * is gone back to, so it takes time of pattern times text at most. */
bool tdw__glob(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool tdw__value_step(const char *text, int64_t *to)
{
    const bool back = *text == '-';
    uint64_t ns;

    if (!tdw__value_time(text + back, &ns) || ns > INT64_MAX)
        return false;
    *to = back ? -(int64_t)ns : (int64_t)ns;
    return true;
}
