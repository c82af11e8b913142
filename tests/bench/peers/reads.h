/* SPDX-License-Identifier: MIT */
/*
 * What the readers of the bench's file_read_uring have in common: a file, how many reads are kept
 * in flight, and where the next of them goes.
 *
 *     bench-read_… FILE DEPTH …
 *
 * A reader prints "ready"; for each number on its standard input it does that many reads of 4 KiB,
 * at random places, DEPTH of them in flight, and prints that number and the nanoseconds from before
 * the first was submitted until the last was complete.
 */
#ifndef TDW_BENCH_READS_H
#define TDW_BENCH_READS_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 4096, DEPTH_MAX = 256, PATIENCE_S = 120 };

static struct {
    int fd;
    uint32_t depth;
    uint64_t blocks;
    uint64_t left; /* to be submitted */
    uint64_t state;
    char (*buffers)[READ_BYTES];
} reads;

static inline uint64_t reads_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Marsaglia's xorshift: three shifts, and good enough to spread reads. */
static inline uint64_t reads_offset(void)
{
    reads.state ^= reads.state << 13;
    reads.state ^= reads.state >> 7;
    reads.state ^= reads.state << 17;
    return (reads.state >> 32) * reads.blocks / (UINT64_C(1) << 32) * READ_BYTES;
}

static inline void reads_open(int argc, char **argv)
{
    struct stat file;

    reads.depth = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    reads.fd = open(argc > 1 ? argv[1] : "", O_RDONLY);
    reads.state = 0x9e3779b97f4a7c15u;
    if (reads.fd < 0 || fstat(reads.fd, &file) < 0 || reads.depth < 1 || reads.depth > DEPTH_MAX) {
        fprintf(stderr, "usage: FILE DEPTH\n");
        exit(2);
    }
    reads.blocks = (uint64_t)file.st_size / READ_BYTES;
    reads.buffers = aligned_alloc(READ_BYTES, (size_t)reads.depth * READ_BYTES);
}

/* All requests: `run` does `reads.left` of them, and tells the time. */
static inline int reads_serve(uint64_t (*run)(void))
{
    unsigned long long count;

    printf("ready\n");
    fflush(stdout);
    while (scanf("%llu", &count) == 1) {
        alarm(PATIENCE_S); /* ends the program if a read never completes */
        reads.left = count;
        printf("%llu %llu\n", count, (unsigned long long)run());
        fflush(stdout);
    }
    return 0;
}

#endif
