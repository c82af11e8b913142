/* SPDX-License-Identifier: MIT */
/*
 * build/conformance [-n OPERATIONS] [-s SEED] [-S SUBSYSTEM] [-b uring|epoll] [FILE.tsv]
 *
 * Runs so many operations of each subsystem on the simulated kernel and on both real backends, two
 * processes at a time, each in a directory and, where that is allowed, a network of its own. A
 * program that differs is made short and printed as C; the exit status is then 1. The table has the
 * file system and the kernel in its head, since both have a part in what is right.
 *
 * SEED with -n 1 runs the one program of each subsystem that has that seed.
 */
#include "conformance.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 2, FAILURES_SHOWN = 3, PROGRAM_SECONDS = 120 };

struct tally {
    uint64_t operations, programs, differences, explained;
    uint64_t seed; /* of the program that is being run */
    bool skipped;
};

static uint64_t operations_wanted = 20000, first_seed = 1;
static const char *only;
static int only_backend;
static char scratch[64];

/* ── A place to work ───────────────────────────────────────────────────────────────────────── */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind;
    if (walk->level > 0)
        remove(path);
    return 0;
}

void clean_place(void)
{
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool enter_scratch(void)
{
    snprintf(scratch, sizeof scratch, "/tmp/tidewheel-conformance-XXXXXX");
    umask(022);
    return mkdtemp(scratch) && chdir(scratch) == 0;
}

/* A network of our own, with its loopback up; else the machine's. */
static void own_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) < 0)
        return;
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    ioctl(fd, SIOCSIFFLAGS, &lo);
    close(fd);
}

/* ── One program ───────────────────────────────────────────────────────────────────────────── */

static uint64_t entries_of(const struct program *program)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < program->count; i++)
        count += program->steps[i].what == W_ENTRY;
    return count;
}

/* `first` is printed too: one that cannot be had again is a race, and this is all that is left. */
static void report(const struct program *program, enum tdw_backend backend,
                   const struct difference *first)
{
    struct program shorter = *program;

    fprintf(stderr, "/* step %u: %s */\n", first->step, first->text);
    shrink(&shorter, backend);
    print_as_c(stderr, &shorter, backend);
    fflush(stderr);
}

/* On both real backends. */
static void run_one(const struct program *program, struct tally *tally)
{
    static struct view sim, real;
    struct difference d;

    if (run_program(program, TDW_BACKEND_SIM, NULL, &sim) < 0) {
        fprintf(stderr, "seed %llu could not be run in simulation\n",
                (unsigned long long)program->seed);
        tally->differences++;
        return;
    }
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        int ret;

        if (only_backend && b != only_backend)
            continue;
        ret = run_program(program, (enum tdw_backend)b, &sim, &real);
        if (ret == -EPERM || ret == -ENOSYS) {
            tally->skipped = true;
            continue;
        }
        compare(program, &sim, &real, &d);
        if (!d.is)
            continue;
        if (d.explained)
            tally->explained++;
        else if (++tally->differences <= FAILURES_SHOWN)
            report(program, (enum tdw_backend)b, &d);
    }
    tally->programs++;
    tally->operations += entries_of(program);
}

static void work(int subsystem, uint64_t which, struct tally *tally)
{
    if (!enter_scratch())
        _exit(99);
    own_network();
    signal(SIGPIPE, SIG_IGN);
    for (uint64_t seed = first_seed + which; tally->operations < operations_wanted / WORKERS ||
                                             (operations_wanted == 1 && tally->programs == 0);
         seed += WORKERS) {
        struct program program;

        draw_program(&program, subsystem, seed);
        tally->seed = seed;
        alarm(PROGRAM_SECONDS);
        run_one(&program, tally);
        if (tally->differences >= FAILURES_SHOWN)
            break;
    }
    clean_place();
    if (chdir("/") == 0)
        rmdir(scratch);
    _exit(0);
}

/* ── All ───────────────────────────────────────────────────────────────────────────────────── */

/* Both workers of a subsystem; what they found, added up. */
static struct tally run_subsystem(int subsystem, struct tally *shared)
{
    const int workers = operations_wanted == 1 ? 1 : WORKERS;
    struct tally sum = {.skipped = false};
    pid_t pids[WORKERS];

    memset(shared, 0, WORKERS * sizeof *shared);
    fflush(NULL);
    for (int i = 0; i < workers; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            work(subsystem, (uint64_t)i, &shared[i]);
    }
    for (int i = 0; i < workers; i++) {
        int status = 0;

        waitpid(pids[i], &status, 0);
        if (status != 0) {
            fprintf(stderr, "conformance: %s, seed %llu: the process ended with %#x\n",
                    subsystems[subsystem].name, (unsigned long long)shared[i].seed, status);
            sum.differences++;
        }
        sum.operations += shared[i].operations;
        sum.programs += shared[i].programs;
        sum.differences += shared[i].differences;
        sum.explained += shared[i].explained;
        sum.skipped |= shared[i].skipped;
    }
    return sum;
}

static const char *file_system(void)
{
    struct statfs info;
    static char number[32];

    if (statfs("/tmp", &info) < 0)
        return "?";
    switch (info.f_type) {
    case 0xef53:
        return "ext4";
    case 0x58465342:
        return "xfs";
    case 0x9123683e:
        return "btrfs";
    case 0x01021994:
        return "tmpfs";
    case 0x794c7630:
        return "overlayfs";
    default:
        snprintf(number, sizeof number, "%#lx", (unsigned long)info.f_type);
        return number;
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: conformance [-n operations] [-s seed] [-S subsystem] [-b uring|epoll] "
                    "[file.tsv]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct tally *shared = mmap(NULL, WORKERS * sizeof *shared, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct utsname machine;
    uint64_t differences = 0, ran = 0;
    FILE *table = NULL;
    int option;

    while ((option = getopt(argc, argv, "n:s:S:b:")) != -1) {
        if (option == 'n')
            operations_wanted = strtoull(optarg, NULL, 0);
        else if (option == 's')
            first_seed = strtoull(optarg, NULL, 0);
        else if (option == 'S')
            only = optarg;
        else if (option == 'b')
            only_backend = tdw_backend_named(optarg);
        else
            return usage();
    }
    if (shared == MAP_FAILED || operations_wanted == 0 || only_backend < 0)
        return usage();
    uname(&machine);
    if (optind < argc)
        table = fopen(argv[optind], "w");
    if (optind < argc && !table) {
        fprintf(stderr, "conformance: %s: %s\n", argv[optind], strerror(errno));
        return 7;
    }
    if (table)
        fprintf(table,
                "# kernel %s, file system %s\nsubsystem\toperations\tprograms\tdifferences\t"
                "explained\n",
                machine.release, file_system());
    for (int i = 0; i < subsystems_count; i++) {
        struct tally sum;

        if (only && strcmp(only, subsystems[i].name) != 0)
            continue;
        sum = run_subsystem(i, shared);
        differences += sum.differences;
        ran += sum.programs;
        printf("  %-12s %9llu operations %7llu programs  %llu differences, %llu explained%s\n",
               subsystems[i].name, (unsigned long long)sum.operations,
               (unsigned long long)sum.programs, (unsigned long long)sum.differences,
               (unsigned long long)sum.explained, sum.skipped ? "  (no io_uring: epoll only)" : "");
        fflush(stdout);
        if (table)
            fprintf(table, "%s\t%llu\t%llu\t%llu\t%llu\n", subsystems[i].name,
                    (unsigned long long)sum.operations, (unsigned long long)sum.programs,
                    (unsigned long long)sum.differences, (unsigned long long)sum.explained);
    }
    if (table && fclose(table) != 0)
        return 7;
    return ran == 0 ? 2 : differences > 0;
}
