/* SPDX-License-Identifier: MIT */
/*
 * The real kernel, through both backends: the same bodies on uring and on epoll, and where nothing
 * in them depends on time, on the simulated kernel too.
 *
 * Each body is a stackful task of the program's own host, in a directory of its own, and notes what
 * it saw; the test judges when the loop was closed.
 */
#include "backends.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tidewheel/gate.h>
#include <tidewheel/loop.h>
#include <tidewheel/register.h>
#include <unistd.h>

/* ── Files ─────────────────────────────────────────────────────────────────────────────────── */

static void files(void *unused)
{
    char buffer[16] = "";
    struct statx info = {.stx_size = 0};
    int fd;

    (void)unused;
    seen[0] = tdw_open("missing", O_RDONLY, 0);
    fd = tdw_open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    seen[1] = tdw_write(fd, "hello", 5);
    seen[2] = tdw_pwrite(fd, "J", 1, 0);
    seen[3] = tdw_fdatasync(fd);
    seen[4] = tdw_pread(fd, buffer, 16, 0);
    seen[5] = memcmp(buffer, "Jello", 5);
    seen[6] = tdw_read(fd, buffer, 16);
    seen[7] = tdw_ftruncate(fd, 2);
    seen[8] = tdw_statx(AT_FDCWD, "file", 0, STATX_SIZE, &info);
    seen[9] = (int64_t)info.stx_size;
    seen[10] = tdw_sys_lseek(fd, 0, SEEK_END);
    seen[11] = tdw_close(fd);
    seen[12] = tdw_close(fd);
    seen[13] = tdw_rename("file", "other");
    seen[14] = tdw_unlink("file");
    seen[15] = tdw_unlink("other");
    seen[16] = tdw_sys_fcntl(fd, F_GETFL);
}

static void files_judge(void)
{
    SAW(-ENOENT, 5, 1, 0, 5, 0, 0, 0, 0, 2, 2, 0, -EBADF, 0, -ENOENT, 0, -EBADF);
}

static void files_answer_as_on_the_simulated_kernel(void **state)
{
    (void)state;
    everywhere(files, files_judge);
}

/* With every opcode that can be done by plain calls taken for missing. */
static void what_a_kernel_lacks_is_done_by_plain_calls(void **state)
{
    static const int kept[] = {IORING_OP_READ, IORING_OP_RECV, IORING_OP_ASYNC_CANCEL};

    (void)state;
    options = (struct tdw_loop_options){.backend = TDW_BACKEND_URING, .missing = ~(uint64_t)0};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        options.missing &= ~((uint64_t)1 << kept[i]);
    assert_int_equal(on_real(files), 0);
    files_judge();
}

/* ── Waiting, and no longer ────────────────────────────────────────────────────────────────── */

static void deadlines(void *unused)
{
    int fds[2];
    char byte;

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    seen[0] = TDW_DO_WITHIN(20 * MS, read, fds[0], &byte, 1);
    seen[1] = tdw_write(fds[1], "x", 1);
    seen[2] = TDW_DO_WITHIN(3600000 * MS, read, fds[0], &byte, 1);
    seen[3] = byte;
    seen[4] = TDW_DO_WITHIN(20 * MS, poll, fds[0], POLLIN);
    tdw_close(fds[1]);
    seen[5] = tdw_read(fds[0], &byte, 1);
    seen[6] = tdw_sleep(1 * MS);
    tdw_close(fds[0]);
}

static void deadlines_judge(void)
{
    SAW(-ETIME, 1, 1, 'x', -ETIME, 0, 0);
}

static void a_deadline_ends_a_wait_and_only_a_wait(void **state)
{
    (void)state;
    everywhere(deadlines, deadlines_judge);
}

static void cancels(void *unused)
{
    struct tdw_op reads[3] = {{.res = 0}}, sleep = {.res = 0};
    char bytes[3];
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    TDW_GO(&reads[0], read, fds[0], &bytes[0], 1);
    seen[0] = tdw_cancel(&reads[0]);
    seen[1] = tdw_await(&reads[0]);
    seen[2] = tdw_cancel(&reads[0]);
    for (int i = 0; i < 3; i++)
        TDW_GO(&reads[i], read, fds[0], &bytes[i], 1);
    seen[3] = tdw_cancel_fd(fds[0]);
    for (int i = 0; i < 3; i++)
        seen[4 + i] = tdw_await(&reads[i]);
    for (int i = 0; i < 2; i++)
        TDW_GO(&reads[i], read, fds[0], &bytes[i], 1);
    TDW_GO(&sleep, sleep, 3600000 * MS);
    seen[7] = tdw_cancel_all();
    seen[8] = tdw_await(&reads[0]);
    seen[9] = tdw_await(&reads[1]);
    seen[10] = tdw_await(&sleep);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void cancels_judge(void)
{
    SAW(0, -ECANCELED, -ENOENT, 3, -ECANCELED, -ECANCELED, -ECANCELED, 3, -ECANCELED, -ECANCELED,
        -ECANCELED);
}

static void what_waits_can_be_cancelled(void **state)
{
    (void)state;
    everywhere(cancels, cancels_judge);
}

static void closes(void *unused)
{
    struct tdw_op read = {.res = 0};
    int fds[2];
    char byte = 0;

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    TDW_GO(&read, read, fds[0], &byte, 1);
    tdw_sleep(MS);
    seen[0] = tdw_close(fds[0]);
    seen[1] = tdw_open("other", O_RDWR | O_CREAT, 0644) == fds[0]; /* its number, used anew */
    seen[2] = tdw_write(fds[1], "x", 1);
    seen[3] = tdw_await(&read);
    seen[4] = byte;
    seen[5] = tdw_write(fds[1], "x", 1); /* nobody is left to read */
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void closes_judge(void)
{
    SAW(0, true, 1, 1, 'x', -EPIPE);
}

static void a_closed_descriptor_leaves_the_op_its_file_here_too(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    everywhere(closes, closes_judge);
}

/* ── Order ─────────────────────────────────────────────────────────────────────────────────── */

static void links(void *unused)
{
    struct tdw_op ops[4] = {{.res = 0}};
    char buffer[16] = "";
    int fd;

    (void)unused;
    fd = tdw_open("links", O_RDWR | O_CREAT | O_TRUNC, 0644);
    TDW_GO_LINKED(&ops[0], pwrite, fd, "abc", 3, 0);
    TDW_GO_LINKED(&ops[1], fsync, fd);
    TDW_GO(&ops[2], pread, fd, buffer, 3, 0);
    for (int i = 0; i < 3; i++)
        seen[i] = tdw_await(&ops[i]);
    seen[3] = memcmp(buffer, "abc", 3);
    TDW_GO_LINKED(&ops[0], pread, fd, buffer, 16, 0); /* short: it breaks the chain */
    TDW_GO_LINKED(&ops[1], fsync, fd);
    TDW_GO(&ops[2], nop);
    for (int i = 0; i < 3; i++)
        seen[4 + i] = tdw_await(&ops[i]);
    TDW_GO(&ops[0], pwrite, fd, "xyz", 3, 0);
    TDW_GO(&ops[1], pwrite, fd, "uvw", 3, 3);
    tdw_prep_pread(&ops[2], fd, buffer, 16, 0);
    ops[2].sqe.flags |= IOSQE_IO_DRAIN;
    ops[2].done = tdw__go_done;
    seen[7] = tdw_submit(&ops[2]);
    seen[8] = tdw_await(&ops[2]);
    seen[9] = memcmp(buffer, "xyzuvw", 6);
    tdw_await(&ops[0]);
    tdw_await(&ops[1]);
    tdw_close(fd);
}

static void links_judge(void)
{
    SAW(3, 0, 3, 0, 3, -ECANCELED, -ECANCELED, 0, 6, 0);
}

static void links_and_drains_keep_their_order(void **state)
{
    (void)state;
    everywhere(links, links_judge);
}

static void timers(void *unused)
{
    const struct __kernel_timespec hour = {.tv_sec = 3600}, soon = {.tv_nsec = 2000000};
    struct tdw_op timer = {.res = 0}, nops[2] = {{.res = 0}};

    (void)unused;
    seen[0] = tdw_timeout(&soon, 0);
    TDW_GO(&timer, timeout, &hour, 0);
    seen[1] = tdw_timeout_remove(&timer);
    seen[2] = tdw_await(&timer);
    TDW_GO(&timer, timeout, &hour, 0);
    seen[3] = tdw_timeout_update(&timer, &soon);
    seen[4] = tdw_await(&timer);
    tdw_prep_timeout(&timer, &hour, 0);
    timer.sqe.off = 2; /* after so many completions */
    timer.done = tdw__go_done;
    seen[5] = tdw_submit(&timer);
    for (int i = 0; i < 2; i++)
        TDW_GO(&nops[i], nop);
    seen[6] = tdw_await(&timer);
    seen[7] = tdw_await(&nops[0]) + tdw_await(&nops[1]);
    seen[8] = tdw_timeout_remove(&timer);
}

static void timers_judge(void)
{
    SAW(-ETIME, 0, -ECANCELED, 0, -ETIME, 0, 0, 0, -ENOENT);
}

static void timers_are_io_urings(void **state)
{
    (void)state;
    everywhere(timers, timers_judge);
}

/* ── Sockets ───────────────────────────────────────────────────────────────────────────────── */

static int listener(struct sockaddr_in *at)
{
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    socklen_t bytes = sizeof *at;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    tdw_sys_bind(fd, (struct sockaddr *)at, sizeof *at);
    tdw_sys_listen(fd, 8);
    tdw_sys_getsockname(fd, (struct sockaddr *)at, &bytes);
    return fd;
}

static void multishots(void *unused)
{
    enum { COUNT = 4, BYTES = 64 };
    static char room[COUNT * BYTES];
    struct tdw_op accept = {.res = 0}, recv = {.res = 0};
    struct sockaddr_in at;
    const int fd = listener(&at);
    int client, server;

    (void)unused;
    TDW_GO(&accept, accept_multishot, fd, NULL, NULL, 0);
    client = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    seen[0] = tdw_connect(client, (struct sockaddr *)&at, sizeof at);
    server = tdw_await(&accept);
    seen[1] = server >= 0 && accept.flags & IORING_CQE_F_MORE;
    seen[2] = tdw_provide_buffers(room, BYTES, COUNT, 7, 0);
    TDW_GO(&recv, recv_multishot, server, 7, 0);
    for (int i = 0; i < 2; i++) {
        tdw_send(client, "message", 7, MSG_WAITALL);
        seen[3 + 3 * i] = tdw_await(&recv);
        seen[4 + 3 * i] = (recv.flags & IORING_CQE_F_BUFFER) != 0;
        seen[5 + 3 * i] =
            memcmp(room + (recv.flags >> IORING_CQE_BUFFER_SHIFT) * BYTES, "message", 7);
    }
    tdw_close(client);
    seen[9] = tdw_await(&recv);
    seen[10] = recv.flags & IORING_CQE_F_MORE;
    seen[11] = tdw_cancel(&accept);
    seen[12] = tdw_await(&accept);
    tdw_close(server);
    tdw_close(fd);
}

static void multishots_judge(void)
{
    SAW(0, true, 0, 7, true, 0, 7, true, 0, 0, 0, 0, -ECANCELED);
}

static void several_completions_come_one_by_one(void **state)
{
    (void)state;
    everywhere(multishots, multishots_judge);
}

static void registers(void *unused)
{
    static char room[4096];
    const struct iovec buffer = {room, sizeof room};
    struct tdw_op op = {.res = 0};
    int fd, fds[2];

    (void)unused;
    fd = tdw_open("registered", O_RDWR | O_CREAT | O_TRUNC, 0644);
    fds[0] = fd;
    fds[1] = -1;
    seen[0] = tdw_ring_register_files(fds, 2);
    seen[1] = tdw_ring_register_buffers(&buffer, 1);
    tdw_close(fd);
    memcpy(room, "fixed", 5);
    tdw_prep_write_fixed(&op, 0, room, 5, 0, 0);
    op.sqe.flags |= IOSQE_FIXED_FILE;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[2] = tdw_await(&op);
    tdw_prep_pread(&op, 0, room + 100, 5, 0);
    op.sqe.flags |= IOSQE_FIXED_FILE;
    op.done = tdw__go_done;
    tdw_submit(&op);
    seen[3] = tdw_await(&op);
    seen[4] = memcmp(room + 100, "fixed", 5);
    seen[5] = tdw_open_direct("registered", O_RDONLY, 0, 1);
    seen[6] = tdw_close_direct(1);
    seen[7] = tdw_close_direct(1);
    seen[8] = tdw_write_fixed(0, room, 5, 0, 3);
    seen[9] = tdw_ring_unregister_files();
    seen[10] = tdw_ring_unregister_buffers();
    seen[11] = tdw_ring_unregister_files();
}

static void registers_judge(void)
{
    SAW(0, 0, 5, 5, 0, 0, 0, -EBADF, -EFAULT, 0, 0, -ENXIO);
}

static void files_and_buffers_are_registered(void **state)
{
    (void)state;
    everywhere(registers, registers_judge);
}

static void buf_rings(void *unused)
{
    struct io_uring_buf_ring *ring =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring, .ring_entries = 8, .bgid = 3};
    struct tdw_op op = {.res = 0};
    char room[2][8];
    int fds[2];

    (void)unused;
    tdw_sys_pipe2(fds, 0);
    seen[0] = tdw_ring_register_buf_ring(&reg, 0);
    for (int i = 0; i < 2; i++)
        io_uring_buf_ring_add(ring, room[i], 8, (unsigned short)(40 + i), 7, i);
    io_uring_buf_ring_advance(ring, 2);
    tdw_write(fds[1], "0123456789", 10);
    for (int i = 0; i < 3; i++) {
        TDW_GO(&op, read_select, fds[0], 8, (uint64_t)-1, 3);
        if (i == 2)
            tdw_write(fds[1], "more", 4);
        seen[1 + 2 * i] = tdw_await(&op);
        seen[2 + 2 * i] = op.flags >> IORING_CQE_BUFFER_SHIFT;
    }
    seen[7] = memcmp(room[0], "01234567", 8) + memcmp(room[1], "89", 2);
    seen[8] = tdw_ring_unregister_buf_ring(3);
    seen[9] = tdw_ring_unregister_buf_ring(3);
    tdw_close(fds[0]);
    tdw_close(fds[1]);
    munmap(ring, 4096);
}

static void buf_rings_judge(void)
{
    SAW(0, 8, 40, 2, 41, -ENOBUFS, 0, 0, 0, -ENOENT);
}

static void a_ring_of_buffers_is_emptied_in_order(void **state)
{
    (void)state;
    everywhere(buf_rings, buf_rings_judge);
}

/* ── Workers ───────────────────────────────────────────────────────────────────────────────── */

static void lock_waits(void *unused)
{
    struct tdw_op waits[8] = {{.res = 0}};
    struct tdw_op timers_of[8] = {{.res = 0}};
    int fds[9];
    char buffer[4];

    (void)unused;
    for (int i = 0; i < 9; i++)
        fds[i] = tdw_open("lock", O_RDWR | O_CREAT, 0644);
    seen[0] = tdw_flock(fds[8], LOCK_EX);
    for (int i = 0; i < 8; i++)
        TDW_GO(&waits[i], flock, fds[i], LOCK_SH);
    tdw_sleep(5 * MS);
    seen[1] = tdw_pwrite(fds[8], "abc", 3, 0); /* they do not stand in the way of files */
    seen[2] = tdw_pread(fds[8], buffer, 3, 0);
    tdw_cancel(&waits[0]); /* 0, or -EALREADY: which is no promise */
    seen[3] = tdw_await(&waits[0]);
    seen[4] = tdw_sys_flock(fds[8], LOCK_UN);
    seen[5] = 0;
    for (int i = 1; i < 8; i++)
        seen[5] += tdw_await(&waits[i]) == 0;
    (void)timers_of;
    for (int i = 0; i < 9; i++)
        tdw_close(fds[i]);
    seen[6] = TDW_DO_WITHIN(20 * MS, ppoll, NULL, 0, UINT64_MAX);
}

static void lock_waits_judge(void)
{
    SAW(0, 3, 3, -ECANCELED, 0, 7, -ETIME);
}

static void waits_without_a_descriptor_are_threads_and_can_be_stopped(void **state)
{
    (void)state;
    everywhere(lock_waits, lock_waits_judge);
}

static void resolves(void *unused)
{
    struct tdw_resolved to;
    int status = 0;
    pid_t child = fork();

    (void)unused;
    if (child == 0)
        _exit(3);
    seen[0] = tdw_waitpid(child, &status) == child;
    seen[1] = WEXITSTATUS(status);
    seen[2] = tdw_waitpid(child, &status);
    seen[3] = tdw_resolve("127.0.0.1", &to);
    seen[4] = ntohl(to.ipv4.s_addr) == INADDR_LOOPBACK;
    seen[5] = tdw_resolve("no.such.name.invalid", &to) < 0;
}

static void resolves_judge(void)
{
    SAW(true, 3, -ECHILD, 0, true, true);
}

static void children_and_names_are_waited_for(void **state)
{
    (void)state;
    each(resolves, resolves_judge);
}

/* ── Other threads, other processes, signals ───────────────────────────────────────────────── */

struct caller {
    struct tdw_loop *loop;
    int count;
};

static void *call_often(void *arg)
{
    const struct caller *caller = arg;

    for (int i = 0; i < caller->count; i++)
        tdw_ring_wake(caller->loop);
    return NULL;
}

static void woken(void *unused)
{
    struct caller caller = {tdw_loop(), 10000};
    pthread_t threads[2];
    int total = 0, n;

    (void)unused;
    seen[0] = TDW_DO_WITHIN(5 * MS, wake);
    tdw_ring_wake(tdw_loop()); /* one's own thread may, too */
    seen[1] = tdw_wake();
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, call_often, &caller);
    while (total < 20000 && (n = tdw_wake()) > 0)
        total += n;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    seen[2] = total;
    seen[3] = TDW_DO_WITHIN(5 * MS, wake);
}

static void woken_judge(void)
{
    SAW(-ETIME, 1, 20000, -ETIME);
}

static void other_threads_wake_a_loop(void **state)
{
    (void)state;
    each(woken, woken_judge);
}

static void own_wakes(void *unused)
{
    (void)unused;
    tdw_ring_wake(tdw_loop());
    tdw_ring_wake(tdw_loop());
    seen[0] = tdw_wake();
    seen[1] = TDW_DO_WITHIN(5 * MS, wake);
}

static void own_wakes_judge(void)
{
    SAW(2, -ETIME);
}

static void wakes_are_kept_until_somebody_waits(void **state)
{
    (void)state;
    everywhere(own_wakes, own_wakes_judge);
}

static void pipe_task(void *arg)
{
    int *result = *(int **)arg, fds[2];
    char byte = 0;

    tdw_sys_pipe2(fds, 0);
    for (int i = 0; i < 100; i++) {
        tdw_write(fds[1], "x", 1);
        *result += tdw_read(fds[0], &byte, 1);
    }
    tdw_close(fds[0]);
    tdw_close(fds[1]);
}

static void pipe_main(void *arg)
{
    tdw_spawn_stackful("pipe", pipe_task, arg);
}

static void *loop_thread(void *arg)
{
    struct tdw_loop_options own = options;
    int *result = arg;
    struct tdw_loop *loop;

    if (tdw_loop_open(&loop, &own) < 0)
        return NULL;
    tdw_loop_start(loop, pipe_main, &result);
    if (tdw_loop_run(loop) != 0)
        *result = -1;
    tdw_loop_close(loop);
    return NULL;
}

static void each_thread_has_loops_of_its_own(void **state)
{
    (void)state;
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        pthread_t threads[8];
        int results[8] = {0};

        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        for (int i = 0; i < 8; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, loop_thread, &results[i]), 0);
        for (int i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(results[i], 100);
        }
    }
}

static void forks(void *unused)
{
    int status = 0;
    const pid_t child = fork();

    (void)unused;
    if (child == 0)
        _exit(tdw_loop_wait(tdw_loop(), 0) == -ECHILD ? 3 : 4);
    waitpid(child, &status, 0);
    seen[0] = WEXITSTATUS(status);
    seen[1] = tdw_sleep(MS);
}

static void forks_judge(void)
{
    SAW(3, 0);
}

static void a_child_may_not_run_its_parents_loop(void **state)
{
    (void)state;
    each(forks, forks_judge);
}

static void signals(void *unused)
{
    struct signalfd_siginfo info = {.ssi_signo = 0};
    sigset_t set, before;
    int fd;

    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &before);
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    seen[0] = TDW_DO_WITHIN(5 * MS, read, fd, &info, sizeof info);
    kill(getpid(), SIGUSR2);
    seen[1] = tdw_read(fd, &info, sizeof info);
    seen[2] = (int64_t)info.ssi_signo;
    tdw_close(fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void signals_judge(void)
{
    SAW(-ETIME, sizeof(struct signalfd_siginfo), SIGUSR2);
}

static void signals_are_read_like_bytes(void **state)
{
    (void)state;
    each(signals, signals_judge);
}

/* ── Ends ──────────────────────────────────────────────────────────────────────────────────── */

static void server(void *arg)
{
    const int fd = (int)(intptr_t)arg;

    seen[0] = tdw_accept(fd, NULL, NULL, 0);
    seen[1] = tdw_close(fd); /* it may tidy up */
}

static void daemons(void *unused)
{
    struct sockaddr_in at;

    (void)unused;
    tdw_daemon(tdw_spawn_stackful("server", server, (void *)(intptr_t)listener(&at)));
    tdw_sleep(MS);
}

static void daemons_judge(void)
{
    SAW(-ECANCELED, 0);
}

static void daemons_are_told_to_stop(void **state)
{
    (void)state;
    everywhere(daemons, daemons_judge);
}

static void waits_for_nobody(void *unused)
{
    struct tdw_sem sem;

    (void)unused;
    tdw_sem_init(&sem, "nobody", 0);
    tdw_sem_take(&sem);
}

static void a_deadlock_is_found(void **state)
{
    (void)state;
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        assert_int_equal(on_real(waits_for_nobody), -EDEADLK);
    }
}

static int left_pipe[2], left_files[2];
static char left_byte;

static void leaves(void *unused)
{
    static struct tdw_op ops[4];

    (void)unused;
    memset(ops, 0, sizeof ops);
    for (int i = 0; i < 2; i++)
        left_files[i] = tdw_open("left", O_RDWR | O_CREAT, 0644);
    tdw_flock(left_files[0], LOCK_EX);
    TDW_GO(&ops[0], read, left_pipe[0], &left_byte, 1);
    TDW_GO(&ops[1], flock, left_files[1], LOCK_EX);
    TDW_GO(&ops[2], sleep, 3600000 * MS);
    TDW_GO(&ops[3], poll_multishot, left_pipe[0], POLLIN);
    tdw_sleep(2 * MS);
    tdw_loop()->stop = true;
    tdw_sleep(3600000 * MS);
}

/* Closing takes everything back from the kernel: nothing is written afterwards. */
static void a_loop_may_be_closed_in_the_middle(void **state)
{
    (void)state;
    for (int b = TDW_BACKEND_URING; b <= TDW_BACKEND_EPOLL; b++) {
        options = (struct tdw_loop_options){.backend = (enum tdw_backend)b};
        assert_int_equal(pipe2(left_pipe, O_CLOEXEC), 0);
        assert_int_equal(on_real(leaves), 0);
        assert_int_equal(write(left_pipe[1], "x", 1), 1);
        left_byte = 0;
        assert_int_equal(read(left_pipe[0], &left_byte, 1), 1);
        assert_int_equal(left_byte, 'x');
        for (int i = 0; i < 2; i++) {
            close(left_pipe[i]);
            close(left_files[i]);
        }
    }
}

/* ── The gate ──────────────────────────────────────────────────────────────────────────────── */

static struct tdw_verdict judge_writes(struct tdw_gate *gate, struct tdw_op *op)
{
    (void)gate;
    if (op->sqe.opcode == IORING_OP_WRITE && op->sqe.len == 3)
        return (struct tdw_verdict){.error = -ENOSPC, .point = "test/write"};
    return (struct tdw_verdict){.error = 0};
}

static void gated(void *unused)
{
    static struct tdw_gate gate = {.judge = judge_writes};
    struct tdw_op ops[2] = {{.res = 0}};
    struct statx info = {.stx_size = 7};
    int fd;

    (void)unused;
    tdw_gate_set(tdw_loop(), &gate);
    fd = tdw_open("gated", O_RDWR | O_CREAT | O_TRUNC, 0644);
    seen[0] = tdw_pwrite(fd, "abcd", 4, 0);
    seen[1] = tdw_pwrite(fd, "xyz", 3, 8);
    TDW_GO_LINKED(&ops[0], pwrite, fd, "xyz", 3, 8);
    TDW_GO(&ops[1], fsync, fd);
    seen[2] = tdw_await(&ops[0]);
    seen[3] = tdw_await(&ops[1]);
    tdw_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &info);
    seen[4] = (int64_t)info.stx_size;
    tdw_gate_set(tdw_loop(), NULL);
    seen[5] = tdw_pwrite(fd, "xyz", 3, 8);
    tdw_close(fd);
}

static void gated_judge(void)
{
    SAW(4, -ENOSPC, -ENOSPC, -ECANCELED, 4, 3);
}

static void the_gate_refuses_alike_on_every_backend(void **state)
{
    (void)state;
    everywhere(gated, gated_judge);
}

/* ── Hosts ─────────────────────────────────────────────────────────────────────────────────── */

static struct tdw_wg booted;

static void host_task(void *arg)
{
    const int which = (int)(intptr_t)arg;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7777)};
    const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    char buffer[4] = "";
    int file;

    seen[which] = tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    file = tdw_open("own", O_RDWR | O_CREAT | O_EXCL, 0644);
    seen[which + 2] = file >= 0;
    tdw_write(file, which ? "1" : "0", 1);
    tdw_rename("own", "renamed");
    tdw_close(file);
    file = tdw_open("renamed", O_RDONLY, 0);
    seen[which + 4] = tdw_read(file, buffer, 4) == 1 && buffer[0] == '0' + which;
    tdw_close(file);
    tdw_close(fd);
    tdw_wg_done(&booted);
}

static void host_main(void *arg)
{
    tdw_spawn_stackful("host", host_task, arg);
}

static void hosts(void *unused)
{
    struct tdw_host *a, *b;
    struct tdw_resolved to;

    (void)unused;
    tdw_wg_init(&booted, "booted");
    tdw_wg_add(&booted, 2);
    a = tdw_host("a", host_main, (void *)(intptr_t)0);
    b = tdw_host("b", host_main, (void *)(intptr_t)1);
    seen[6] = tdw_host_ipv4(a).s_addr != tdw_host_ipv4(b).s_addr;
    tdw_host_boot(a);
    tdw_host_boot(b);
    tdw_wg_wait(&booted);
    seen[7] = tdw_resolve("b", &to) == 0 && to.ipv4.s_addr == tdw_host_ipv4(b).s_addr;
    seen[8] = tdw_sys_access("renamed", F_OK);
}

static void hosts_judge(void)
{
    SAW(0, 0, true, true, true, true, true, true, -ENOENT);
}

static void hosts_have_addresses_and_directories_of_their_own(void **state)
{
    (void)state;
    everywhere(hosts, hosts_judge);
}

/* A host goes somewhere else, and nothing of what is there is its own. */
static char roams_to[128], roams_home[256];

static void roams_task(void *unused)
{
    struct tdw_op open_op = {.res = 0};
    char cwd[256] = "", now[256] = "";
    int fd, first, last;

    (void)unused;
    fd = tdw_open("kept", O_RDWR | O_CREAT, 0644);
    seen[0] = fd >= 0 && tdw_close(fd) == 0;
    seen[1] = tdw_sys_truncate("kept", 3);
    seen[2] = tdw_sys_getcwd(cwd, sizeof cwd) > 1;
    snprintf(roams_home, sizeof roams_home, "%s", cwd);
    TDW_GO(&open_op, open, "kept", O_RDWR, 0);
    seen[3] = tdw_sys_chdir(roams_to);
    fd = tdw_await(&open_op); /* it was submitted before: at home */
    seen[4] = fd >= 0 && tdw_sys_lseek(fd, 0, SEEK_END) == 3;
    tdw_close(fd);
    tdw_sys_getcwd(now, sizeof now);
    seen[5] = strcmp(now, roams_to);
    fd = tdw_open("precious", O_RDONLY, 0);
    seen[6] = fd >= 0 && tdw_close(fd) == 0;
    seen[7] = tdw_sys_chdir("nowhere");
    seen[8] = tdw_sys_chdir("..");
    first = open(".", O_PATH | O_CLOEXEC);
    for (int i = 0; i < 100; i++)
        tdw_sys_chdir(i & 1 ? roams_to : roams_home);
    last = open(".", O_PATH | O_CLOEXEC);
    seen[9] = last - first < 5; /* directories are kept once each */
    close(first);
    close(last);
}

static void roams_main(void *unused)
{
    tdw_spawn_stackful("roams", roams_task, unused);
}

static void roams(void *unused)
{
    struct tdw_host *host = tdw_host("nomad", roams_main, NULL);

    (void)unused;
    tdw_host_boot(host);
}

static void roams_judge(void)
{
    struct stat info;
    char precious[160];

    SAW(true, 0, true, 0, true, 0, true, -ENOENT, 0, true);
    snprintf(precious, sizeof precious, "%s/precious", roams_to);
    assert_int_equal(stat(precious, &info), 0); /* whatever a host has left and where it went */
    assert_true(strncmp(roams_home, roams_to, strlen(roams_to)) != 0);
    assert_int_equal(stat(roams_home, &info), -1);
}

static void a_host_that_moved_loses_its_home_and_nothing_else(void **state)
{
    char precious[160];

    (void)state;
    snprintf(roams_to, sizeof roams_to, "%s/elsewhere", scratch);
    assert_int_equal(mkdir(roams_to, 0755), 0);
    snprintf(precious, sizeof precious, "%s/precious", roams_to);
    close(open(precious, O_RDWR | O_CREAT, 0644));
    each(roams, roams_judge);
}

/* ── No io_uring ───────────────────────────────────────────────────────────────────────────── */

/* From now on this process's call `nr` answers -err. */
static int forbid(unsigned nr, int err)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)err),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int first_free_fd(void)
{
    const int fd = dup(0);

    close(fd);
    return fd;
}

/* In a child whose call `nr` answers -err: what it finds wrong, as bits; 77: it cannot be tried. */
static int opens_without(unsigned nr, int err, int by_name)
{
    struct tdw_loop_options any = {.backend = TDW_BACKEND_ANY};
    const int free_fd = first_free_fd();
    struct tdw_loop *loop;
    int bad = 0;

    if (forbid(nr, err) < 0)
        return 77;
    if (!freopen("told", "w", stderr))
        return 99;
    if (tdw_loop_open(&loop, &any) != 0)
        return 1;
    bad |= strcmp(tdw_loop_backend(loop), "epoll") != 0 ? 2 : 0;
    tdw_loop_close(loop);
    any.backend = TDW_BACKEND_URING;
    bad |= tdw_loop_open(&loop, &any) == by_name ? 0 : 4;
    bad |= first_free_fd() == free_fd ? 0 : 8;
    fflush(stderr);
    return bad;
}

static void without_io_uring_it_is_epoll_unless_asked_for_by_name(void **state)
{
    static const struct {
        unsigned nr;
        int err, by_name;
    } kernels[] = {
        {__NR_io_uring_setup, EPERM, -EPERM},      {__NR_io_uring_setup, ENOSYS, -ENOSYS},
        {__NR_io_uring_setup, EINVAL, -ENOSYS},    /* knows none of the ways to set it up */
        {__NR_io_uring_setup, ENOMEM, -ENOMEM},    /* may lock no memory */
        {__NR_io_uring_register, EINVAL, -ENOSYS}, /* has no probe */
    };

    (void)state;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        char line[256] = "", more[16];
        int status;
        FILE *told;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0)
            _exit(opens_without(kernels[i].nr, kernels[i].err, kernels[i].by_name));
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            skip();
        assert_int_equal(status, 0);
        told = fopen("told", "r");
        assert_non_null(told);
        assert_non_null(fgets(line, sizeof line, told));
        assert_non_null(strstr(line, "epoll"));
        assert_null(fgets(more, sizeof more, told));
        fclose(told);
    }
}

/* More than the submission queue has room for. */
static void many_at_once(void *unused)
{
    static struct tdw_op ops[200];

    (void)unused;
    memset(ops, 0, sizeof ops);
    seen[0] = 0;
    for (int i = 0; i < 200; i++)
        TDW_GO(&ops[i], nop);
    for (int i = 0; i < 200; i++)
        seen[0] += tdw_await(&ops[i]) == 0;
}

static void many_at_once_judge(void)
{
    SAW(200);
}

static void sqpoll_is_an_option(void **state)
{
    (void)state;
    options = (struct tdw_loop_options){.backend = TDW_BACKEND_URING, .sqpoll = true};
    assert_int_equal(on_real(files), 0);
    files_judge();
    options = (struct tdw_loop_options){.backend = TDW_BACKEND_URING, .entries = 2};
    assert_int_equal(on_real(cancels), 0);
    cancels_judge();
    for (uint32_t entries = 8; entries <= 128; entries *= 16) {
        options = (struct tdw_loop_options){
            .backend = TDW_BACKEND_URING, .sqpoll = true, .entries = entries};
        assert_int_equal(on_real(many_at_once), 0);
        many_at_once_judge();
    }
}

int tests_real(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_answer_as_on_the_simulated_kernel),
        TEST(what_a_kernel_lacks_is_done_by_plain_calls),
        TEST(a_deadline_ends_a_wait_and_only_a_wait),
        TEST(what_waits_can_be_cancelled),
        TEST(a_closed_descriptor_leaves_the_op_its_file_here_too),
        TEST(links_and_drains_keep_their_order),
        TEST(timers_are_io_urings),
        TEST(several_completions_come_one_by_one),
        TEST(files_and_buffers_are_registered),
        TEST(a_ring_of_buffers_is_emptied_in_order),
        TEST(waits_without_a_descriptor_are_threads_and_can_be_stopped),
        TEST(children_and_names_are_waited_for),
        TEST(other_threads_wake_a_loop),
        TEST(wakes_are_kept_until_somebody_waits),
        TEST(each_thread_has_loops_of_its_own),
        TEST(a_child_may_not_run_its_parents_loop),
        TEST(signals_are_read_like_bytes),
        TEST(daemons_are_told_to_stop),
        TEST(a_deadlock_is_found),
        TEST(a_loop_may_be_closed_in_the_middle),
        TEST(the_gate_refuses_alike_on_every_backend),
        TEST(hosts_have_addresses_and_directories_of_their_own),
        TEST(a_host_that_moved_loses_its_home_and_nothing_else),
        TEST(without_io_uring_it_is_epoll_unless_asked_for_by_name),
        TEST(sqpoll_is_an_option),
    };

    return cmocka_run_group_tests_name("real", tests, NULL, NULL);
}
