/* SPDX-License-Identifier: MIT */
/*
 * How far a long exploration is: one line on a terminal, written anew about once a second.
 *
 * Only the process that waits for the workers tells it, woken by a timer, and only where stderr is
 * a terminal and nobody asked to be told less (--quiet). Nothing of it is in the output or in a
 * digest; before anything else is told the line is taken away. With --jobs 0 there is none: the
 * runs are in this process then, and a signal now and then would be in their way.
 */
#include <sim/explore/explore.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static struct sigaction before;

/* A wait that it interrupts is all that is wanted of it. */
static void on_alarm(int signal)
{
    (void)signal;
}

bool tdw__progress_begin(const struct tdw_options *options)
{
    const struct itimerval second = {{1, 0}, {1, 0}};
    struct sigaction action = {.sa_handler = on_alarm};

    if (options->quiet || !isatty(STDERR_FILENO))
        return false;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGALRM, &action, &before) < 0)
        return false;
    if (setitimer(ITIMER_REAL, &second, NULL) == 0)
        return true;
    sigaction(SIGALRM, &before, NULL);
    return false;
}

/* Which hits the run of that number has fail. */
static void hits_text(enum tdw_sweep sweep, uint64_t seed, char *text, size_t bytes)
{
    uint64_t pair[2];

    text[0] = '\0';
    switch (sweep) {
    case TDW_SWEEP_NONE:
        break;
    case TDW_SWEEP_EACH:
        snprintf(text, bytes, ", at hit %llu", (unsigned long long)seed);
        break;
    case TDW_SWEEP_PAIRS:
        tdw_sweep_pair(seed, pair);
        snprintf(text, bytes, ", at hits %llu and %llu", (unsigned long long)pair[0],
                 (unsigned long long)pair[1]);
        break;
    }
}

void tdw__progress_tell(const struct tdw_progress *progress)
{
    const double seconds = progress->seconds > 0 ? progress->seconds : 1e-9;
    char hits[64];

    hits_text(progress->sweep, progress->seed, hits, sizeof hits);
    fprintf(stderr, "\r%.24s: %llu runs, %.0f /s, %llu finding%s%s\033[K", progress->name,
            (unsigned long long)progress->runs, (double)progress->runs / seconds,
            (unsigned long long)progress->findings, progress->findings == 1 ? "" : "s", hits);
    fflush(stderr);
}

void tdw__progress_end(void)
{
    setitimer(ITIMER_REAL, &(const struct itimerval){{0, 0}, {0, 0}}, NULL);
    sigaction(SIGALRM, &before, NULL);
    fprintf(stderr, "\r\033[K");
    fflush(stderr);
}
