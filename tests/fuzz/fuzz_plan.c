/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: arbitrary bytes as a plan of faults.
 *
 * Reading must take or refuse them, telling why; what it takes, shown and read again, must be the
 * same plan. The first line, if it begins with "set ", is a --set. Built with libFuzzer, or with
 * replay_main.c to run given files.
 */
#include <tidewheel/fault.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libfyaml 0.7 loses an atom's text on some errors; what is ours is looked for. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml";
}

static int told;

static void count(void *unused, const char *file, unsigned line, unsigned column, const char *text)
{
    (void)unused, (void)file, (void)line, (void)column;
    if (!*text)
        abort();
    told++;
}

static char *shown(const struct tdw_plan *plan, size_t *bytes)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, bytes);

    if (!to || tdw_plan_show(plan, to) != 0 || fclose(to) != 0)
        abort();
    return text;
}

/* What is shown is read, and shown as the same. */
static void check_shown(const struct tdw_plan *plan)
{
    size_t bytes, again_bytes;
    char *text = shown(plan, &bytes), *again_text;
    struct tdw_plan *again;

    if (tdw_plan_text(&again, "again", text, bytes, NULL, 0, count, NULL) != 0)
        abort();
    again_text = shown(again, &again_bytes);
    if (again_bytes != bytes || memcmp(text, again_text, bytes) != 0)
        abort();
    tdw_plan_free(again);
    free(text);
    free(again_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* its end known to the sanitizer */
    const char *set = text + 4;
    size_t skip = 0, sets = 0;
    struct tdw_plan *plan;
    int ret;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (strncmp(text, "set ", 4) == 0 && memchr(text, '\n', size)) {
        skip = (size_t)((char *)memchr(text, '\n', size) - text) + 1;
        text[skip - 1] = '\0';
        sets = 1;
    }
    told = 0;
    ret = tdw_plan_text(&plan, "fuzz", text + skip, size - skip, &set, sets, count, NULL);
    if (ret == 0)
        check_shown(plan);
    else if (ret != -EINVAL || told == 0)
        abort();
    tdw_plan_free(plan);
    free(text);
    return 0;
}
