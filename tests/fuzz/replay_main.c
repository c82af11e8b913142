/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target on the files that are named, without libFuzzer: to look at a finding in gdb,
 * and to keep the corpora as tests with any compiler. Prints each name before its run, so that the
 * last one is the one that failed. A file that cannot be read is an error.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run(const char *path)
{
    FILE *const in = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;

    if (!in) {
        perror(path);
        return 1;
    }
    for (size_t got = 1; got > 0; size += got) {
        uint8_t *const larger = realloc(data, size + 65536);

        if (!larger)
            abort();
        data = larger;
        got = fread(data + size, 1, 65536, in);
    }
    fclose(in);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= run(argv[i]);
    return failed;
}
