/* SPDX-License-Identifier: MIT */
/*
 * A program that makes a known number of system calls, to be recorded: for tests and bench.
 *
 *     record-calls preads N              N cached preads of 4 KiB; prints ns a call
 *     record-calls calls N THREADS RATE  N calls of getppid in all, by so many threads, RATE a
 *                                        second in all (0: as fast as they go); prints calls a
 * second
 *
 * Paced threads look at the clock every few calls and spin: it is read without a system call. So
 * two runs that differ in N alone differ by exactly that many calls.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, THREADS_MAX = 16, PAGE = 4096 };

struct worker {
    pthread_t thread;
    uint64_t calls;
    double ns_each; /* 0: as fast as they go */
};

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void *work(void *worker)
{
    const struct worker *const w = worker;
    const double began = now_ns();

    for (uint64_t i = 0; i < w->calls; i++) {
        if (i % BATCH == 0 && w->ns_each > 0)
            while (now_ns() < began + w->ns_each * (double)i)
                continue;
        syscall(SYS_getppid);
    }
    return NULL;
}

static int calls(uint64_t count, unsigned threads, double rate)
{
    struct worker workers[THREADS_MAX];
    const double began = now_ns();

    if (threads < 1 || threads > THREADS_MAX)
        return 2;
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.calls = count / threads + (i < count % threads),
                                     .ns_each = rate > 0 ? 1e9 * threads / rate : 0};
        if (i > 0 && pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return 1;
    }
    work(&workers[0]);
    for (unsigned i = 1; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    printf("%.0f\n", (double)count * 1e9 / (now_ns() - began));
    return 0;
}

static int preads(uint64_t count)
{
    static char page[PAGE];
    char name[] = "/tmp/record-calls-XXXXXX";
    const int fd = mkstemp(name);
    double began;

    if (fd < 0 || unlink(name) || write(fd, page, sizeof page) != sizeof page)
        return 1;
    began = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        if (pread(fd, page, sizeof page, 0) != sizeof page)
            return 1;
    }
    printf("%.2f\n", (now_ns() - began) / (double)count);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "preads"))
        return preads(strtoull(argv[2], NULL, 10));
    if (argc == 5 && !strcmp(argv[1], "calls"))
        return calls(strtoull(argv[2], NULL, 10), (unsigned)atoi(argv[3]), atof(argv[4]));
    fprintf(stderr, "usage: record-calls preads N | calls N THREADS RATE\n");
    return 2;
}
