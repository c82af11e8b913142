/* SPDX-License-Identifier: MIT */
/*
 * `tdw record`: the kernel side loaded, its ring drained, the recording made.
 *
 *     load, attach ─▶ follow the target ─▶ drain … drain ─▶ detach ─▶ count losses ─▶ import
 *
 * While the target runs, this process only copies events into a file (record_spool.c): what they
 * mean is found out afterwards. The kernel side wakes nobody; the ring is looked at after pauses
 * that halve when much was in it and double when little was, so an idle target costs little and a
 * busy one never waits for a reader to wake up.
 *
 * Invariants: nothing of a command is recorded before its exec, and it does not run unless it is
 * followed. What the kernel side lost is counted there, by CPU, and told here in the last line and
 * in the recording.
 *
 * Cost: see docs/design.md. Called by cli/record.c.
 */
#include "record.h"
#include "events_import.h"
#include "record_spool.h"
#include "record_target.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/types.h>
#include <poll.h>
#include <record.skel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <traces/traces.h>
#include <unistd.h>

enum { PAUSE_NS_MIN = 50000, PAUSE_NS_MAX = 10000000 };

struct recorder {
    const struct tdw__record_options *options;
    FILE *err;
    struct tdw__recorded *recorded;
    struct record *skel;
    struct ring_buffer *ring;
    struct tdw__record_spool spool;
    struct tdw__record_command command;
    sigset_t mask;       /* before ours */
    int signals, target; /* descriptors: signals that come; the target's pidfd */
    uint64_t calls, lost, others;
    uint64_t drained; /* bytes in this look at the ring */
    bool ended, stopped;
};

/* ── Load ────────────────────────────────────────────────────────────────────────────────────────
 */

/* Why there will be no recording, and what to do. Answers `error`. */
static int refuse(struct recorder *r, const char *what, int error)
{
    const char *advice = "this kernel refuses it; strace and tdw import strace record without it";

    if (error == -EPERM || error == -EACCES)
        advice = "it needs CAP_BPF and CAP_PERFMON: run it as root, or with sudo";
    else if (access("/sys/kernel/btf/vmlinux", R_OK))
        advice = "this kernel has no BTF (/sys/kernel/btf/vmlinux): it needs one built with "
                 "CONFIG_DEBUG_INFO_BTF";
    fprintf(r->err, "tdw record: %s: %s; %s\n", what, strerror(-error), advice);
    r->recorded->refused = true;
    return error;
}

static int load(struct recorder *r)
{
    int error;

    libbpf_set_print(NULL);
    r->skel = record__open();
    if (!r->skel)
        return refuse(r, "cannot open the kernel side", -errno);
    for (unsigned nr = 0; nr < TDW__EV_NRS; nr++) {
        struct tdw__event_plan plan;

        tdw__event_plan(nr, &plan);
        memcpy(&r->skel->rodata->plans[nr], &plan, sizeof plan);
    }
    bpf_map__set_max_entries(r->skel->maps.ring, (__u32)r->options->ring_bytes);
    error = record__load(r->skel);
    if (error)
        return refuse(r, "cannot load the kernel side", error);
    error = record__attach(r->skel);
    return error ? refuse(r, "cannot attach to the kernel's tracepoints", error) : 0;
}

/* ── Drain ───────────────────────────────────────────────────────────────────────────────────────
 */

static int on_event(void *recorder, void *bytes, size_t count)
{
    struct recorder *const r = recorder;
    const struct tdw__event *const event = bytes;

    r->calls += event->kind == TDW__EV_CALL;
    r->drained += count;
    tdw__record_spool_put(&r->spool, bytes, (count + 7) & ~(size_t)7);
    /* Now and then look at signals, however much there is. */
    return r->drained >= r->options->ring_bytes ? -EAGAIN : 0;
}

static void drain(struct recorder *r)
{
    r->drained = 0;
    ring_buffer__consume(r->ring);
}

/* What signals ask for. */
static void signals_take(struct recorder *r)
{
    struct signalfd_siginfo info;

    while (read(r->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (r->command.pid <= 0 || r->ended)
            r->stopped = true;
        else if (info.ssi_code != SI_KERNEL) /* a terminal's went to the command too */
            kill(r->command.pid, (int)info.ssi_signo);
    }
}

/* Has the target ended? Its status is kept. */
static void target_look(struct recorder *r)
{
    struct pollfd fd = {.fd = r->target, .events = POLLIN};
    int status;

    if (r->ended || poll(&fd, 1, 0) != 1)
        return;
    r->ended = true;
    if (r->command.pid <= 0 || waitpid(r->command.pid, &status, 0) != r->command.pid)
        return;
    r->recorded->has_status = true;
    r->recorded->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void follow(struct recorder *r)
{
    uint64_t pause_ns = PAUSE_NS_MIN;

    while (!r->stopped && !r->spool.error) {
        struct pollfd fds[2] = {{.fd = r->signals, .events = POLLIN},
                                {.fd = r->ended ? -1 : r->target, .events = POLLIN}};
        const struct timespec pause = {.tv_nsec = (long)pause_ns};

        target_look(r);
        drain(r);
        if (r->ended && __atomic_load_n(&r->skel->bss->alive, __ATOMIC_RELAXED) <= 0)
            break;
        if (r->drained > r->options->ring_bytes / 8 && pause_ns > PAUSE_NS_MIN)
            pause_ns /= 2;
        else if (r->drained < r->options->ring_bytes / 32 && pause_ns < PAUSE_NS_MAX)
            pause_ns *= 2;
        ppoll(fds, 2, &pause, NULL);
        signals_take(r);
    }
}

/* ── The beginning ───────────────────────────────────────────────────────────────────────────────
 */

/* Give the kernel side the first task to follow. */
static int target_mark(struct recorder *r, pid_t pid)
{
    const struct bpf_map *const states = r->skel->maps.states;
    const size_t bytes = bpf_map__value_size(states);
    uint32_t *const state = calloc(1, bytes);
    int error;

    r->target = (int)syscall(SYS_pidfd_open, pid, 0);
    if (r->target < 0 || !state) {
        error = r->target < 0 ? -errno : -ENOMEM;
        free(state);
        r->recorded->no_target = error == -ESRCH;
        if (error == -ESRCH)
            fprintf(r->err, "tdw record: there is no process %d\n", (int)pid);
        return error;
    }
    state[0] = 1; /* all its threads */
    error = bpf_map__update_elem(states, &r->target, sizeof r->target, state, bytes, BPF_ANY);
    free(state);
    return error ? refuse(r, "cannot follow the process", error) : 0;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int target_start(struct recorder *r)
{
    const struct tdw__event began = {
        .kind = TDW__EV_BEGAN,
        .bytes = sizeof began,
        .at_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC),
    };
    int error;

    tdw__record_spool_put(&r->spool, &began, sizeof began);
    if (r->options->pid) {
        tdw__record_descriptors(&r->spool, r->options->pid);
        error = target_mark(r, r->options->pid);
        if (!error)
            fprintf(r->err, "recording process %d until it ends, or SIGINT comes\n",
                    r->options->pid);
        return error;
    }
    error = target_mark(r, r->command.pid);
    if (error)
        return error;
    error = tdw__record_command_go(&r->command, r->options->command[0], r->err);
    r->recorded->no_target = error != 0;
    return error;
}

static int signals_open(struct recorder *r)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &r->mask);
    r->signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    return r->signals < 0 ? -errno : 0;
}

static int begin(struct recorder *r)
{
    int error = signals_open(r);

    /* Forked before the kernel side is loaded: its descriptors are none of the command's. */
    if (!error && !r->options->pid)
        error = tdw__record_command_fork(&r->command, r->options->command, &r->mask, r->err);
    r->recorded->no_target = error == -ENOENT;
    if (!error)
        error = load(r);
    if (error) {
        if (!r->recorded->no_target && !r->recorded->refused)
            fprintf(r->err, "tdw record: cannot begin: %s\n", strerror(-error));
        return error;
    }
    error = tdw__record_spool_open(&r->spool, r->options->output);
    if (error) {
        fprintf(r->err, "tdw record: cannot write beside %s: %s\n", r->options->output,
                strerror(-error));
        return error;
    }
    r->ring = ring_buffer__new(bpf_map__fd(r->skel->maps.ring), on_event, r, NULL);
    return r->ring ? target_start(r) : -errno;
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────────
 */

/* Calls that still run are told by the kernel side when its iterator is read. */
static void running_tell(struct recorder *r)
{
    char nothing[64];
    int fd;

    fd = bpf_iter_create(bpf_link__fd(r->skel->links.on_stop));
    if (fd < 0)
        return;
    while (read(fd, nothing, sizeof nothing) > 0)
        continue;
    close(fd);
}

static void detach(struct recorder *r)
{
    struct bpf_link **const links[] = {
        &r->skel->links.on_enter,   &r->skel->links.on_exit, &r->skel->links.on_fork,
        &r->skel->links.on_exec,    &r->skel->links.on_end,  &r->skel->links.on_signal,
        &r->skel->links.on_ignored,
    };

    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        bpf_link__destroy(*links[i]);
        *links[i] = NULL;
    }
}

/* Runs of a program that the kernel left out. */
static uint64_t missed(const struct bpf_program *program)
{
    struct bpf_prog_info info = {0};
    __u32 bytes = sizeof info;

    return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes) ? 0
                                                                           : info.recursion_misses;
}

static void losses_count(struct recorder *r)
{
    const int cpus = libbpf_num_possible_cpus();
    struct {
        uint64_t calls, others;
    } *const by_cpu = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof *by_cpu);
    const __u32 zero = 0;

    r->lost = missed(r->skel->progs.on_enter) + missed(r->skel->progs.on_exit);
    if (!by_cpu || cpus <= 0 ||
        bpf_map__lookup_elem(r->skel->maps.lost, &zero, sizeof zero, by_cpu,
                             (size_t)cpus * sizeof *by_cpu, 0)) {
        free(by_cpu);
        return;
    }
    for (int i = 0; i < cpus; i++) {
        r->lost += by_cpu[i].calls;
        r->others += by_cpu[i].others;
        if (by_cpu[i].calls)
            fprintf(r->err, "lost on CPU %-4d %llu calls\n", i,
                    (unsigned long long)by_cpu[i].calls);
    }
    free(by_cpu);
}

static int finish(struct recorder *r)
{
    struct tdw__event_lost lost = {.head = {.kind = TDW__EV_LOST, .bytes = sizeof lost}};
    const uint8_t *events;
    size_t bytes;
    int error;

    detach(r);
    running_tell(r);
    do
        drain(r);
    while (r->drained >= r->options->ring_bytes);
    losses_count(r);
    lost.calls = r->lost;
    lost.others = r->others;
    tdw__record_spool_put(&r->spool, &lost, sizeof lost);
    error = tdw__record_spool_map(&r->spool, &events, &bytes);
    if (error)
        fprintf(r->err, "tdw record: cannot keep the events: %s\n", strerror(-error));
    else
        error = tdw__import_recorded(events, bytes, r->options->output, r->err, r->err);
    r->recorded->nothing = error == -EINVAL;
    fprintf(r->err, "recorded         %llu calls, lost %llu, and %llu other events\n",
            (unsigned long long)r->calls, (unsigned long long)r->lost,
            (unsigned long long)r->others);
    return error;
}

int tdw__record(const struct tdw__record_options *options, FILE *err,
                struct tdw__recorded *recorded)
{
    struct recorder r = {
        .options = options,
        .err = err,
        .recorded = recorded,
        .spool.fd = -1,
        .command = {-1, -1, -1},
        .signals = -1,
        .target = -1,
    };
    int error;

    *recorded = (struct tdw__recorded){0};
    error = begin(&r);
    if (!error) {
        follow(&r);
        error = finish(&r);
    }
    ring_buffer__free(r.ring);
    record__destroy(r.skel);
    tdw__record_spool_close(&r.spool);
    tdw__record_command_close(&r.command);
    if (r.command.pid > 0 && !r.ended)
        waitpid(r.command.pid, NULL, WNOHANG);
    if (r.signals >= 0)
        close(r.signals);
    if (r.target >= 0)
        close(r.target);
    sigprocmask(SIG_SETMASK, &r.mask, NULL);
    return error;
}
