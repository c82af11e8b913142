/* SPDX-License-Identifier: MIT */
/*
 * What the readers of the bench's file_read_uring have in common: a file, how many reads are kept
 * in flight, and where the next of them goes.
 *
 *     bench-read_… FILE DEPTH …
 *
 * A reader prints "ready"; for each number on its standard input it does that many reads of 4 KiB,
 * at random places, DEPTH of them in flight, and prints the nanoseconds from before the first was
 * submitted until the last was complete, and how many of them the process had a CPU.
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
    uint64_t wall_began, cpu_began, wall_ns, cpu_ns;
    char (*buffers)[READ_BYTES];
} reads;

static inline uint64_t reads_clock(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Before the first read, and after the last; also after others that might have been the last. */
static inline void reads_begin(void)
{
    reads.wall_began = reads_clock(CLOCK_MONOTONIC);
    reads.cpu_began = reads_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static inline void reads_end(void)
{
    reads.cpu_ns = reads_clock(CLOCK_PROCESS_CPUTIME_ID) - reads.cpu_began;
    reads.wall_ns = reads_clock(CLOCK_MONOTONIC) - reads.wall_began;
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

/* All requests: `run` does `reads.left` reads between reads_begin and reads_end. */
static inline int reads_serve(void (*run)(void))
{
    unsigned long long count;

    printf("ready\n");
    fflush(stdout);
    while (scanf("%llu", &count) == 1) {
        alarm(PATIENCE_S); /* ends the program if a read never completes */
        reads.left = count;
        run();
        printf("%llu %llu\n", (unsigned long long)reads.wall_ns, (unsigned long long)reads.cpu_ns);
        fflush(stdout);
    }
    return 0;
}

#endif
