/* SPDX-License-Identifier: MIT */
/*
 * Processes: how they end, what their parents are told, what becomes of what they held.
 */
#include "body.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tidewheel/process.h>
#include <tidewheel/sys.h>

int tests_process(void);

static unsigned nseen;

static void saw(int64_t value)
{
    assert_true(nseen < SEEN);
    seen[nseen++] = value;
}

static void judge(void (*body)(void *))
{
    nseen = 0;
    run(body);
}

/* A child whose root task is one stackful task: what waitpid tells of it. */
static int status_of(void (*body)(void *), void *arg)
{
    int status = -1;
    const int pid = tdw_proc_spawn("child", body, arg);

    return tdw_waitpid(pid, &status) == pid ? status : -1;
}

/* ── Ends ──────────────────────────────────────────────────────────────────────────────────── */

static void exits_task(void *status)
{
    tdw_sleep(1000);
    tdw_proc_exit(*(int *)status);
    saw(-1); /* it does not come back */
}

static void exits(void *status)
{
    tdw_spawn_stackful("exits", exits_task, status);
}

static void returns(void *unused)
{
    (void)unused;
}

static void sleeps_task(void *unused)
{
    (void)unused;
    tdw_sleep(3600000000000);
    saw(-1);
}

static void sleeps(void *unused)
{
    tdw_spawn_stackful("sleeps", sleeps_task, unused);
}

static void ends(void *unused)
{
    int code = 0x1ff, status = 0, pid;

    (void)unused;
    saw(status_of(exits, &code));
    saw(status_of(returns, NULL));
    saw(tdw_waitpid(-1, &status));
    pid = tdw_proc_spawn("child", sleeps, NULL);
    tdw_sleep(1000);
    saw(tdw_proc_kill(pid));
    saw(tdw_proc_kill(pid));
    saw(tdw_waitpid(-1, &status) == pid);
    saw(status);
}

static void a_parent_is_told_how_its_children_ended(void **state)
{
    (void)state;
    judge(ends);
    SAW(0xff00, 0, -ECHILD, 0, -ESRCH, 1, SIGKILL, NOT_SEEN);
    assert_true(WIFEXITED(0xff00) && WEXITSTATUS(0xff00) == 255);
}

/* ── What it held ──────────────────────────────────────────────────────────────────────────── */

static int pipe_fds[2];

static void writes_task(void *unused)
{
    const int fd = tdw_openat(AT_FDCWD, "/kept", O_CREAT | O_WRONLY, 0600);

    (void)unused;
    tdw_write(fd, "cached", 6);
    tdw_close(pipe_fds[0]);
    tdw_sleep(3600000000000);
}

static void writes(void *unused)
{
    tdw_spawn_stackful("writes", writes_task, unused);
}

static void leaves(void *unused)
{
    char bytes[8];
    int pid, fd;

    (void)unused;
    tdw_sys_pipe2(pipe_fds, 0);
    pid = tdw_proc_spawn("writes", writes, NULL);
    tdw_close(pipe_fds[1]); /* the child has the other one */
    tdw_sleep(1000000000);
    tdw_proc_kill(pid);
    saw(tdw_read(pipe_fds[0], bytes, sizeof bytes));
    fd = tdw_openat(AT_FDCWD, "/kept", O_RDONLY, 0);
    saw(tdw_read(fd, bytes, sizeof bytes));
}

static void a_kill_closes_descriptors_and_leaves_the_page_cache(void **state)
{
    (void)state;
    judge(leaves);
    SAW(0, 6, NOT_SEEN);
}

/* ── SIGPIPE ───────────────────────────────────────────────────────────────────────────────── */

enum how { WRITE_PIPE, WRITE_SOCKET, SEND_SOCKET, SPLICE_PIPE, HOWS };

static void breaks_task(void *arg)
{
    const enum how how = *(int *)arg % HOWS;
    int fds[2], from[2];
    int32_t res;

    tdw_proc_sigpipe(*(int *)arg >= HOWS);
    if (how == WRITE_PIPE || how == SPLICE_PIPE)
        tdw_sys_pipe2(fds, 0);
    else
        tdw_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    tdw_close(fds[0]);
    if (how == SPLICE_PIPE) {
        tdw_sys_pipe2(from, 0);
        tdw_write(from[1], "x", 1);
        res = tdw_splice(from[0], -1, fds[1], -1, 1, 0);
    } else {
        res = how == SEND_SOCKET ? tdw_send(fds[1], "x", 1, 0) : tdw_write(fds[1], "x", 1);
    }
    tdw_proc_exit(res == -EPIPE ? 7 : 8);
}

static void breaks(void *arg)
{
    tdw_spawn_stackful("breaks", breaks_task, arg);
}

static void broken_pipes(void *unused)
{
    (void)unused;
    for (int how = 0; how < 2 * HOWS; how++)
        saw(status_of(breaks, &how));
}

/* As a real io_uring does it, when an entry is performed by the task that submits it. */
static void a_broken_pipe_kills_who_does_not_ignore_it(void **state)
{
    (void)state;
    judge(broken_pipes);
    SAW(7 << 8, 7 << 8, 7 << 8, 7 << 8, SIGPIPE, SIGPIPE, 7 << 8, SIGPIPE);
}

int tests_process(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parent_is_told_how_its_children_ended),
        cmocka_unit_test(a_kill_closes_descriptors_and_leaves_the_page_cache),
        cmocka_unit_test(a_broken_pipe_kills_who_does_not_ignore_it),
    };

    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
