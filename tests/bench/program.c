/* SPDX-License-Identifier: MIT */
/*
 * Programs of peers/: processes with a pipe each way. Servers are measured by their process's
 * CPU clock, which another process may read: exact at any moment, and nothing that the server does
 * has to wait for it.
 */
#include "program.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 };

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu < sysconf(_SC_NPROCESSORS_ONLN) ? cpu : 0, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* The child, until it is another program. */
static void become(int cpu, const char *const argv[], int in, int out)
{
    struct rlimit files;
    const int silent = open("/dev/null", O_WRONLY);

    pin(cpu);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(silent, 2);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

bool program_start(struct program *program, int cpu, const char *const argv[])
{
    int in[2], out[2];

    *program = (struct program){.pid = 0};
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(in, O_CLOEXEC) < 0)
        return false;
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]), close(in[1]);
        return false;
    }
    program->pid = fork();
    if (program->pid == 0)
        become(cpu, argv, in[0], out[1]);
    close(in[0]), close(out[1]);
    program->to = fdopen(in[1], "w");
    program->from = fdopen(out[0], "r");
    if (program->pid > 0 && clock_getcpuclockid(program->pid, &program->clock) == 0)
        return true;
    program_stop(program);
    return false;
}

bool program_line(struct program *program, char *line, int bytes)
{
    if (!fgets(line, bytes, program->from))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

bool program_ask(struct program *program, uint64_t number, uint64_t answer[2])
{
    char line[64];

    fprintf(program->to, "%" PRIu64 "\n", number);
    return fflush(program->to) == 0 && program_line(program, line, sizeof line) &&
           sscanf(line, "%" SCNu64 " %" SCNu64, &answer[0], &answer[1]) == 2 && answer[0] > 0;
}

double program_cpu_ns(const struct program *program)
{
    struct timespec time = {0, 0};

    clock_gettime(program->clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

void program_stop(struct program *program)
{
    if (program->to)
        fclose(program->to);
    if (program->from)
        fclose(program->from);
    if (program->pid > 0) {
        kill(program->pid, SIGTERM);
        for (int ms = 0; waitpid(program->pid, NULL, WNOHANG) == 0; ms++) {
            if (ms == PATIENCE_MS)
                kill(program->pid, SIGKILL);
            usleep(1000);
        }
    }
    *program = (struct program){.pid = 0};
}

uint32_t program_setting(const char *name, uint32_t otherwise, uint32_t max)
{
    const char *text = getenv(name);
    const long number = text ? atol(text) : 0;

    if (number < 1)
        return otherwise;
    return number < max ? (uint32_t)number : max;
}
