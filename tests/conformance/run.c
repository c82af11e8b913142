/* SPDX-License-Identifier: MIT */
/*
 * One program on one backend: its steps as ops and plain calls of a stackful task.
 *
 * Ops go through tidewheel's own ring on every backend. What is looked at afterwards is looked at
 * with the machine's plain calls on a real backend, so that a fault of ours is not looked at
 * through itself.
 */
#include "conformance.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <runtime/runtime.h>
#include <tidewheel/register.h>
#include <tidewheel/stackful.h>
#include <tidewheel/sys.h>
#include <tidewheel/world.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SETTLE_NS = 20000000, LOOK_NS = 20000, RING_BUFFERS = 4, GROUPS = 3 };

/* What an op points to. */
struct memory {
    char data[DATA];
    struct iovec iov[2];
    struct msghdr header;
    _Alignas(8) char control[64];
    struct sockaddr_storage name;
    socklen_t name_bytes;
    struct __kernel_timespec time;
    struct statx info;
    struct open_how how;
    struct epoll_event events[4];
    struct flock lock;
};

struct run {
    const struct program *program;
    const struct view *expected;
    struct view *view;
    bool real;
    int vars[VARS];
    struct sockaddr_storage bound[VARS];
    socklen_t bound_bytes[VARS];
    struct tdw_op ops[IDS];
    bool flying[IDS];
    const struct step *steps[IDS]; /* of what is in flight, or was */
    bool over;                     /* it differs: the rest is of no interest */
    struct memory memory[IDS];
    _Alignas(4096) char rings[GROUPS][4096];
    char group_data[GROUPS][RING_BUFFERS][32];
    char fixed[2][DATA];
    uint32_t at; /* the step */
};

uint32_t patience_ms = 1000; /* a disk may stall; what is explained waits as long */

static const char *const paths[PATHS] = {"f0", "f1", "d0", "d0/f2", "d1", "l0"};

static int var(const struct run *run, int index)
{
    return index == -2 ? AT_FDCWD : index < 0 || index >= VARS ? -1 : run->vars[index];
}

static void set_var(struct run *run, int index, int fd)
{
    if (index < 0 || index >= VARS || fd < 0)
        return;
    if (run->vars[index] >= 0 && run->vars[index] != fd)
        tdw_close(run->vars[index]);
    for (int i = 0; i < VARS; i++)
        if (run->vars[i] == fd)
            run->vars[i] = -1;
    run->vars[index] = fd;
}

static uint64_t word(const void *at)
{
    return (uint64_t)(uintptr_t)at;
}

/* ── An entry ──────────────────────────────────────────────────────────────────────────────── */

static void lay_memory(struct run *run, const struct step *step)
{
    struct memory *m = &run->memory[step->id];

    memset(m, 0, sizeof *m);
    for (int i = 0; i < DATA; i++)
        m->data[i] = (char)(step->fill + i * 7);
    if (step->addr == A_DATA && step->opcode == IORING_OP_WRITE && step->len == 8 && step->word) {
        const uint64_t value = step->word; /* of an eventfd */

        memcpy(m->data, &value, 8);
    }
    for (int i = 0; i < 2; i++)
        m->iov[i] = (struct iovec){m->data + i * (DATA / 2), step->iov[i]};
    m->header = (struct msghdr){.msg_iov = m->iov, .msg_iovlen = step->iov_count};
    if (step->control) {
        m->header.msg_control = m->control;
        m->header.msg_controllen = step->control;
    }
    m->time = (struct __kernel_timespec){(long long)(step->ns / 1000000000u),
                                         (long long)(step->ns % 1000000000u)};
    m->how = (struct open_how){.flags = step->flags, .mode = step->len, .resolve = step->word};
    m->events[0] = (struct epoll_event){.events = step->events, .data.u64 = step->word};
    m->lock = (struct flock){.l_type = (short)step->word, .l_start = (off_t)step->off, .l_len = 1};
}

static uint64_t addr_of(struct run *run, const struct step *step)
{
    struct memory *m = &run->memory[step->id];

    switch ((enum addr)step->addr) {
    case A_WORD:
        return step->word;
    case A_DATA:
        return word(m->data);
    case A_IOV:
        return word(m->iov);
    case A_PATH:
        return word(step->path < 0 ? "" : paths[step->path % PATHS]);
    case A_NAME:
        return word(&run->bound[step->fd2 < 0 ? 0 : step->fd2]);
    case A_HEADER:
        return word(&m->header);
    case A_TIME:
        return word(&m->time);
    case A_EVENT:
        return word(m->events);
    case A_OP:
        return run->ops[step->word % IDS].sqe.user_data;
    case A_FIXED:
        return word(run->fixed[step->buf & 1] + step->word);
    case A_LOCK:
        return word(&m->lock);
    case A_GROUP:
        return word(run->group_data[step->buf % GROUPS]);
    }
    return 0;
}

static uint64_t off_of(struct run *run, const struct step *step)
{
    struct memory *m = &run->memory[step->id];

    switch ((enum off)step->off_is) {
    case O_WORD:
        return step->off;
    case O_PATH2:
        return word(paths[step->path2 < 0 ? 0 : step->path2 % PATHS]);
    case O_STATX:
        return word(&m->info);
    case O_HOW:
        return word(&m->how);
    case O_VAR:
        return (uint64_t)(int64_t)var(run, step->fd2);
    case O_TIME:
        return word(&m->time);
    case O_VALUE:
        return word(m->data + DATA / 2);
    }
    return 0;
}

static bool splices(uint8_t opcode)
{
    return opcode == IORING_OP_SPLICE || opcode == IORING_OP_TEE || opcode == TDW_OP_SENDFILE ||
           opcode == TDW_OP_COPY_FILE_RANGE;
}

static void lay_entry(struct run *run, const struct step *step, struct io_uring_sqe *sqe)
{
    lay_memory(run, step);
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = step->opcode;
    sqe->flags = step->sqe_flags;
    sqe->fd = step->sqe_flags & IOSQE_FIXED_FILE ? step->fd : var(run, step->fd);
    if (step->opcode == IORING_OP_SOCKET || step->opcode == IORING_OP_PROVIDE_BUFFERS ||
        step->opcode == IORING_OP_REMOVE_BUFFERS)
        sqe->fd = (int)step->a;
    sqe->addr = addr_of(run, step);
    sqe->off = off_of(run, step);
    sqe->len = step->len;
    if (step->opcode == IORING_OP_RENAMEAT || step->opcode == IORING_OP_LINKAT)
        sqe->len = (uint32_t)AT_FDCWD;
    if (step->opcode == IORING_OP_CONNECT || step->opcode == TDW_OP_BIND)
        sqe->off = run->bound_bytes[step->fd2 < 0 ? 0 : step->fd2];
    sqe->rw_flags = (__kernel_rwf_t)step->flags;
    sqe->ioprio = step->ioprio;
    sqe->buf_index = step->buf;
    if (step->opcode == IORING_OP_OPENAT2)
        sqe->rw_flags = 0, sqe->len = sizeof(struct open_how);
    if (splices(step->opcode))
        sqe->splice_fd_in = var(run, step->fd2);
    else
        sqe->file_index = (uint32_t)step->file_index;
}

/* ── What a completion shows ───────────────────────────────────────────────────────────────── */

/* Inode, device, times and blocks are the machine's; a directory's size and links are its file
 * system's. */
static uint64_t hash_statx(const struct statx *info)
{
    const bool file = S_ISREG(info->stx_mode);
    const uint64_t shown[] = {info->stx_mode, file ? info->stx_size : 0,
                              file ? info->stx_nlink : 0};

    return XXH3_64bits(shown, sizeof shown);
}

struct entry { /* of getdents64 */
    uint64_t ino, off;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

/* Names as a set. */
static uint64_t hash_names(const char *data, int32_t bytes)
{
    uint64_t sum = 0;

    for (int32_t at = 0; at < bytes;) {
        const struct entry *entry = (const void *)(data + at);

        if (entry->bytes == 0)
            break;
        sum += XXH3_64bits(entry->name, strlen(entry->name));
        at += entry->bytes;
    }
    return sum;
}

static uint64_t written(const struct run *run, const struct step *step, int32_t res, uint32_t flags)
{
    const struct memory *m = &run->memory[step->id];
    const uint32_t buffer = flags >> IORING_CQE_BUFFER_SHIFT;

    if (step->opcode == IORING_OP_STATX)
        return res == 0 ? hash_statx(&m->info) : 0;
    if (step->opcode == TDW_OP_GETDENTS)
        return res > 0 ? hash_names(m->data, res) : 0;
    if (step->opcode == TDW_OP_EPOLL_WAIT) {
        uint64_t sum = 0; /* in any order */

        for (int i = 0; i < res && i < 4; i++)
            sum += XXH3_64bits(&m->events[i], sizeof m->events[i]);
        return sum;
    }
    if (flags & IORING_CQE_F_BUFFER)
        return XXH3_64bits(run->group_data[step->buf % GROUPS][buffer % RING_BUFFERS],
                           sizeof run->group_data[0][0]);
    if (step->addr == A_FIXED)
        return XXH3_64bits(run->fixed, sizeof run->fixed);
    if (res < 0)
        return 0; /* what an op that failed wrote is no promise */
    return XXH3_64bits(m->data, DATA) + m->header.msg_controllen * 31 +
           (uint32_t)m->header.msg_flags;
}

static bool opens(const struct step *step)
{
    if (step->file_index)
        return false;
    switch (step->opcode) {
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_ACCEPT:
    case IORING_OP_SOCKET:
        return true;
    default:
        return false;
    }
}

static void note(struct run *run, uint8_t id, int32_t res, uint32_t flags, uint64_t hash)
{
    struct view *view = run->view;

    if (view->count == NOTES_MAX)
        return;
    view->notes[view->count++] =
        (struct note){(uint16_t)run->at,
                      id < IDS ? (uint16_t)(run->steps[id] - run->program->steps) : 0,
                      id,
                      res,
                      flags,
                      hash};
}

/* In simulation our own sleep is in flight when a cancellation of all takes effect. */
static int32_t our_own(const struct run *run, const struct step *step, int32_t res)
{
    const uint32_t all = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;

    return !run->real && step->opcode == IORING_OP_ASYNC_CANCEL && step->flags == all && res > 0;
}

/* A completion of op `id` was delivered; coroutines take one at a time. */
static void completed(struct run *run, uint8_t id)
{
    const struct step *step = run->steps[id];
    const int32_t res = tdw_await(&run->ops[id]);
    uint32_t flags = run->ops[id].flags & ~(uint32_t)IORING_CQE_F_SOCK_NONEMPTY;

    if (!(flags & IORING_CQE_F_MORE))
        run->flying[id] = false;
    /* How often a multishot poll tells of one change depends on how it came about. */
    if (step->opcode == IORING_OP_POLL_ADD && flags & IORING_CQE_F_MORE)
        return;
    if (opens(step) && res >= 0) {
        set_var(run, step->out, res);
        note(run, id, 0, flags, 0);
        return;
    }
    if (step->opcode == IORING_OP_CLOSE && res == 0)
        for (int i = 0; i < VARS; i++)
            if (run->vars[i] == run->ops[id].sqe.fd && !step->file_index)
                run->vars[i] = -1;
    note(run, id, res - our_own(run, step, res), flags, written(run, step, res, flags));
}

/* ── Plain calls ───────────────────────────────────────────────────────────────────────────── */

static int32_t bind_var(struct run *run, int index)
{
    struct sockaddr_in *name = (void *)&run->bound[index < 0 ? 0 : index];
    int32_t res;

    if (index < 0)
        return -EBADF;
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    run->bound_bytes[index] = sizeof *name;
    res = tdw_sys_bind(var(run, index), (struct sockaddr *)name, sizeof *name);
    if (res == 0)
        tdw_sys_getsockname(var(run, index), (struct sockaddr *)name, &run->bound_bytes[index]);
    return res;
}

static int32_t settime(struct run *run, const struct step *step)
{
    const struct itimerspec value = {
        .it_interval = {step->b / 1000000000, step->b % 1000000000},
        .it_value = {step->a / 1000000000, step->a % 1000000000},
    };

    return tdw_sys_timerfd_settime(var(run, step->fd), (int)step->c, &value, NULL);
}

static int32_t register_files(struct run *run, const struct step *step)
{
    const int fds[4] = {var(run, step->fd), var(run, step->fd + 1), -1, -1};

    return step->a ? tdw_ring_unregister_files() : tdw_ring_register_files(fds, 4);
}

static int32_t register_buffers(struct run *run, const struct step *step)
{
    const struct iovec buffers[2] = {{run->fixed[0], DATA}, {run->fixed[1], DATA}};

    return step->a ? tdw_ring_unregister_buffers() : tdw_ring_register_buffers(buffers, 2);
}

static int32_t register_ring(struct run *run, const struct step *step)
{
    const int group = (int)(step->a % GROUPS);
    struct io_uring_buf_ring *ring = (void *)run->rings[group];
    const struct io_uring_buf_reg reg = {
        .ring_addr = word(ring), .ring_entries = RING_BUFFERS, .bgid = (uint16_t)group};
    int32_t res;

    if (step->b)
        return tdw_ring_unregister_buf_ring(group);
    memset(ring, 0, 4096);
    for (int i = 0; i < RING_BUFFERS; i++)
        io_uring_buf_ring_add(ring, run->group_data[group][i], sizeof run->group_data[0][0],
                              (unsigned short)i, RING_BUFFERS - 1, i);
    res = tdw_ring_register_buf_ring(&reg, (unsigned)step->c);
    io_uring_buf_ring_advance(ring, RING_BUFFERS);
    return res;
}

static int32_t call(struct run *run, const struct step *step)
{
    const char *path = paths[step->path < 0 ? 0 : step->path % PATHS];
    const int fd = var(run, step->fd);
    const int value = (int)step->c;
    int fds[2] = {-1, -1};
    char link[64];
    int32_t res = 0;

    switch ((enum what)step->what) {
    case W_PIPE:
        res = tdw_sys_pipe2(fds, (int)step->a);
        set_var(run, step->out, fds[0]);
        set_var(run, step->out + 1, fds[1]);
        return res;
    case W_EVENTFD:
        res = tdw_sys_eventfd((unsigned)step->a, (int)step->b);
        break;
    case W_TIMERFD:
        res = tdw_sys_timerfd_create((int)step->a, (int)step->b);
        break;
    case W_SETTIME:
        return settime(run, step);
    case W_EPOLL:
        res = tdw_sys_epoll_create1((int)step->a);
        break;
    case W_SOCKETPAIR:
        res = tdw_sys_socketpair(AF_UNIX, (int)step->a, 0, fds);
        set_var(run, step->out, fds[0]);
        set_var(run, step->out + 1, fds[1]);
        return res;
    case W_SOCKET:
        res = tdw_sys_socket((int)step->a, (int)step->b, 0);
        break;
    case W_BIND:
        return bind_var(run, step->fd);
    case W_LISTEN:
        return tdw_sys_listen(fd, 8);
    case W_DUP:
        res = tdw_sys_dup(fd);
        break;
    case W_LSEEK:
        return (int32_t)tdw_sys_lseek(fd, step->a, (int)step->b);
    case W_SETFL:
        return tdw_sys_fcntl(fd, F_SETFL, (int)step->a);
    case W_OPTION:
        return tdw_sys_setsockopt(fd, (int)step->a, (int)step->b, &value, sizeof value);
    case W_TRUNCATE:
        return tdw_sys_truncate(path, step->a);
    case W_ACCESS:
        return tdw_sys_access(path, (int)step->a);
    case W_READLINK:
        return tdw_sys_readlink(path, link, sizeof link);
    case W_CHMOD:
        return tdw_sys_chmod(path, (mode_t)step->a);
    case W_FILES:
        return register_files(run, step);
    case W_BUFFERS:
        return register_buffers(run, step);
    case W_BUF_RING:
        return register_ring(run, step);
    case W_ENTRY:
    case W_END:
        break;
    }
    set_var(run, step->out, res);
    return res < 0 ? res : 0;
}

/* ── Looks ─────────────────────────────────────────────────────────────────────────────────── */

static void look(struct run *run)
{
    struct look *looks = run->view->looks[run->at];
    struct pollfd fds[VARS];

    for (int i = 0; i < VARS; i++)
        fds[i] = (struct pollfd){run->vars[i], POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    if (run->real)
        poll(fds, VARS, 0);
    else
        tdw_ppoll(fds, VARS, 0);
    for (int i = 0; i < VARS; i++) {
        const int fd = run->vars[i];
        struct statx info = {.stx_size = 0};
        int waits = -1;

        looks[i] = (struct look){fds[i].revents, -1, -1, -1};
        if (fd < 0)
            continue;
        if (run->real) {
            looks[i].offset = lseek(fd, 0, SEEK_CUR);
            if (statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_TYPE, &info) < 0)
                info.stx_mode = 0;
            if (ioctl(fd, FIONREAD, &waits) < 0)
                waits = -1;
        } else {
            looks[i].offset = tdw_sys_lseek(fd, 0, SEEK_CUR);
            looks[i].offset = looks[i].offset < 0 ? -1 : looks[i].offset;
            if (tdw_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_TYPE, &info) < 0)
                info.stx_mode = 0;
            if (tdw_sys_ioctl(fd, FIONREAD, &waits) < 0)
                waits = -1;
        }
        if (S_ISDIR(info.stx_mode)) /* where a directory is read on is its file system's */
            looks[i].offset = waits = 0;
        looks[i].waits = waits;
        looks[i].size = S_ISREG(info.stx_mode) ? (int64_t)info.stx_size : -1;
    }
}

/* ── Steps ─────────────────────────────────────────────────────────────────────────────────── */

static bool has_one(const struct run *run, uint8_t id)
{
    return run->flying[id] && tdw__op_delivered(&run->ops[id]);
}

/* Take what was delivered, in the order of the ops. */
static void take(struct run *run)
{
    for (uint8_t id = 0; id < IDS; id++)
        while (has_one(run, id))
            completed(run, id);
}

/* How many completions the simulated kernel saw up to this step. */
static uint32_t expected_by_now(const struct run *run)
{
    uint32_t count = 0;

    while (count < run->expected->count && run->expected->notes[count].step <= run->at)
        count++;
    return count;
}

/* Until all that must have happened has, and what must wait had a chance not to. */
static void settle(struct run *run)
{
    uint32_t before;
    uint64_t end_ns;

    if (!run->real) {
        do { /* what is taken may close something, which others hear of */
            before = run->view->count;
            end_ns = tdw_now() + SETTLE_NS;
            while (tdw_now() < end_ns) /* a program may cancel everything, our sleep too */
                tdw_sleep(end_ns - tdw_now());
            take(run);
        } while (run->view->count > before);
        look(run);
        return;
    }
    end_ns = tdw_now() + (uint64_t)patience_ms * 1000000u;
    for (;;) {
        tdw_sleep(1); /* the kernel is entered, and has a chance to complete what must wait */
        take(run);
        look(run);
        if ((run->view->count >= expected_by_now(run) &&
             memcmp(run->view->looks[run->at], run->expected->looks[run->at],
                    sizeof run->view->looks[0]) == 0))
            return;
        if (tdw_now() >= end_ns) {
            run->over = true;
            return;
        }
        tdw_sleep(LOOK_NS);
    }
}

/* May the step be linked to the next? Only an entry may follow, or what we do ourselves would. */
static bool may_link(const struct run *run, const struct step *step)
{
    const struct step *next = step + 1;

    return run->at + 1 < run->program->count && next->what == W_ENTRY && next->id != step->id &&
           next->opcode != IORING_OP_ASYNC_CANCEL && !run->flying[next->id];
}

static void do_step(struct run *run, const struct step *step)
{
    struct tdw_op *op = &run->ops[step->id];
    const uint8_t links = IOSQE_IO_LINK | IOSQE_IO_HARDLINK;
    const bool linked = step->sqe_flags & links && may_link(run, step);

    if (step->what != W_ENTRY) {
        note(run, IDS, call(run, step), 0, 0);
        settle(run);
        return;
    }
    if (run->flying[step->id])
        return; /* a program that was cut may come to this */
    lay_entry(run, step, &op->sqe);
    if (!linked)
        op->sqe.flags &= (uint8_t)~links;
    op->done = tdw__go_done;
    {
        const int ret = tdw_submit(op);

        run->steps[step->id] = step;
        if (ret < 0)
            note(run, step->id, ret, 0, 0);
        else
            run->flying[step->id] = true;
    }
    if (linked) /* the chain is submitted in one step: nothing waits in between */
        return;
    settle(run);
}

static void task(void *arg)
{
    struct run *run = arg;

    for (int i = 0; i < VARS; i++)
        run->vars[i] = -1;
    for (run->at = 0; run->at < run->program->count && !run->over; run->at++)
        do_step(run, &run->program->steps[run->at]);
    if (run->over)
        run->view->until = run->at;
    run->at = run->at ? run->at - 1 : 0;
    tdw_cancel_all();
    for (int i = 0; i < VARS; i++)
        if (run->vars[i] >= 0)
            tdw_close(run->vars[i]);
    if (run->real)
        tdw_loop()->stop = true; /* what still waits is the loop's to end */
}

static void main_task(void *arg)
{
    tdw_spawn_stackful("program", task, arg);
}

static struct run *run_new(const struct program *program, const struct view *expected,
                           struct view *view)
{
    struct run *run = aligned_alloc(4096, (sizeof *run + 4095) / 4096 * 4096);

    if (!run)
        return NULL;
    memset(run, 0, sizeof *run);
    memset(view, 0, sizeof *view);
    view->until = program->count;
    run->program = program;
    run->expected = expected;
    run->view = view;
    return run;
}

int run_program(const struct program *program, enum tdw_backend backend,
                const struct view *expected, struct view *view)
{
    const struct tdw_world_options calm = {.strategy = TDW_CALM};
    const struct tdw_loop_options options = {.backend = backend, .entries = 64};
    struct run *run = run_new(program, expected, view);
    struct tdw_loop *loop;
    int ret;

    if (!run)
        return -ENOMEM;
    if (backend == TDW_BACKEND_SIM) {
        struct tdw_world *world = tdw_world_new(&calm);

        if (!world) {
            free(run);
            return -ENOMEM;
        }
        ret = tdw_world_run(world, main_task, run);
        tdw_world_free(world);
    } else {
        run->real = true;
        clean_place();
        ret = tdw_loop_open(&loop, &options);
        if (ret == 0) {
            tdw_loop_start(loop, main_task, run);
            ret = tdw_loop_run(loop);
            tdw_loop_close(loop);
        }
    }
    free(run);
    return ret == -EDEADLK ? 0 : ret;
}
