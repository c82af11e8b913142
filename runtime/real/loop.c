/* SPDX-License-Identifier: MIT */
/*
 * Real loops: opened, started, woken, closed.
 *
 * What differs between the backends is in uring.c and epoll.c; here is which of them it is, and
 * what both have: the clock's start, the eventfd by which other threads make the loop look, and the
 * program's own host.
 *
 * A wake is a flag and an eventfd: only the first call since the loop last looked writes to it, so
 * a thousand wakes cost one system call. It is safe in a signal handler.
 */
#include <runtime/real/real.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What a strategy would draw, without a strategy: the program's own choices, and faults, are drawn by
 * key from the seed; of all others, the order of events is the machine's, and a waiter is the
 * oldest. */
static uint32_t choose(struct tdw_loop *loop, const struct tdw_choice *choice)
{
    const uint64_t key = tdw__mix2(choice->actor ^ (uint64_t)choice->kind << 56,
                                   choice->point + choice->ordinal * TDW_K1);

    if (choice->kind != TDW_CHOOSE_APP && choice->kind != TDW_CHOOSE_FAULT)
        return 0;
    return (uint32_t)((unsigned __int128)tdw__mix2(key, tdw__real(loop)->seed ^ TDW_K2) *
                          choice->bound >>
                      64);
}

int tdw__real_init(struct tdw_real *real, const struct tdw_backend_ops *backend,
                   const struct tdw_loop_options *options)
{
    int ret = tdw__loop_init(&real->loop, backend);

    if (ret < 0)
        return ret;
    real->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (real->wake_fd < 0) {
        ret = -errno;
        tdw__loop_fini(&real->loop);
        return ret;
    }
    real->start_ns = tdw__os_clock_ns(1);
    real->pid = getpid();
    real->seed = options->seed;
    real->ops_max = options->ops_max ? options->ops_max : 1u << 20;
    real->loop.choose = choose;
    real->loop.unobserved = true;
    if (options->stack_bytes)
        real->loop.stack_bytes = options->stack_bytes;
    return 0;
}

void tdw__real_fini(struct tdw_real *real)
{
    close(real->wake_fd);
    free(real->timers.items);
    tdw__loop_fini(&real->loop);
}

const char *tdw__backend_name(enum tdw_backend backend)
{
    static const char *const names[] = {[TDW_BACKEND_ANY] = "any",
                                        [TDW_BACKEND_URING] = "uring",
                                        [TDW_BACKEND_EPOLL] = "epoll",
                                        [TDW_BACKEND_SIM] = "sim"};

    return names[backend];
}

int tdw_backend_named(const char *name)
{
    for (int i = TDW_BACKEND_URING; i <= TDW_BACKEND_SIM; i++)
        if (strcmp(name, tdw__backend_name((enum tdw_backend)i)) == 0)
            return i;
    return -EINVAL;
}

int tdw_loop_open(struct tdw_loop **loop, const struct tdw_loop_options *given)
{
    const struct tdw_loop_options options =
        given ? *given : (struct tdw_loop_options){.backend = TDW_BACKEND_ANY};
    int ret = -EINVAL;

    switch (options.backend) {
    case TDW_BACKEND_URING:
        return tdw__uring_open(loop, &options);
    case TDW_BACKEND_EPOLL:
        return tdw__epoll_open(loop, &options);
    case TDW_BACKEND_ANY:
        ret = tdw__uring_open(loop, &options);
        if (ret == -EPERM || ret == -ENOSYS || ret == -EACCES || ret == -ENOMEM) {
            fprintf(stderr, "tidewheel: io_uring is not to be had here (%s); backend epoll\n",
                    strerror(-ret));
            ret = tdw__epoll_open(loop, &options);
        }
        return ret;
    case TDW_BACKEND_SIM:
        break;
    }
    return ret;
}

int tdw_loop_start(struct tdw_loop *loop, void (*main)(void *), void *arg)
{
    struct tdw_real *real = tdw__real(loop);

    if (real->hosts)
        return -EALREADY;
    if (!tdw__real_host_new(real, "main", main, arg, true))
        return -ENOMEM;
    return tdw_host_boot(real->hosts);
}

const char *tdw_loop_backend(const struct tdw_loop *loop)
{
    return loop->backend->name;
}

void tdw_loop_close(struct tdw_loop *loop)
{
    struct tdw_real *real = tdw__real(loop);

    assert(tdw__real_enter(loop) == 0); /* a child closes descriptors, or executes */
    for (struct tdw_boot *boot = real->boots; boot; boot = boot->next)
        boot->ring.dead = true;
    tdw__workers_free(real);
    real->closed(real);
    for (struct tdw_boot *boot = real->boots; boot; boot = boot->next) {
        tdw__ring_withdraw_all(&boot->ring);
        tdw__ring_drop_tasks(&boot->ring);
        tdw__ring_fini(&boot->ring);
    }
    tdw__real_hosts_free(real);
    tdw__real_fini(real);
    free(real);
}

void tdw__real_clock(struct tdw_loop *loop)
{
    tdw__real_now(tdw__real(loop));
}

uint64_t tdw__real_until_stopped(struct tdw_real *real, uint64_t until)
{
    if (tdw__worker_stops(real) && until > tdw__real_now(real) + 1000000)
        return real->loop.now_ns + 1000000;
    return until;
}

void tdw__real_step(struct tdw_loop *loop, struct tdw_op *op)
{
    (void)loop, (void)op;
    assert(!"only what is posted is an item of a real loop");
}

void tdw__real_forget(struct tdw_ring *ring, struct tdw_op *op)
{
    (void)ring, (void)op; /* the loop is being closed, and the kernel has nothing any more */
}

void tdw__real_release(struct tdw_ring *ring, struct tdw_op *op, void *object)
{
    (void)ring, (void)op, (void)object;
}

int tdw__real_enter(struct tdw_loop *loop)
{
    return tdw__real(loop)->pid == getpid() ? 0 : -ECHILD;
}

/* ── Wakes ─────────────────────────────────────────────────────────────────────────────────── */

/* By calls that nobody stands in front of (fiu-run -x makes write fail): it is not the program's. */
void tdw__real_wake(struct tdw_real *real)
{
    const int err = errno;

    if (!atomic_exchange(&real->woken, true) && eventfd_write(real->wake_fd, 1) < 0)
        assert(errno == EAGAIN); /* it is readable as it is */
    errno = err;
}

void tdw__real_woken(struct tdw_real *real)
{
    uint32_t wakes;

    atomic_store(&real->woken, false); /* first: what comes from now on is told anew */
    tdw__worker_reap(real);
    wakes = atomic_exchange(&real->wakes, 0);
    if (wakes > 0)
        tdw__wakes(&real->loop, wakes);
}

void tdw__real_loop_wake(struct tdw_loop *loop)
{
    struct tdw_real *real = tdw__real(loop);

    atomic_fetch_add(&real->wakes, 1);
    tdw__real_wake(real);
}

bool tdw__real_expects(const struct tdw_real *real)
{
    return real->timers.count > 0 || tdw__worker_count(real) > 0 || real->loop.wakers.waiters;
}

/* ── What is not there ─────────────────────────────────────────────────────────────────────── */

void tdw__real_lacks(struct tdw_real *real, struct tdw_op *op)
{
    uint64_t *word = &real->warned[op->sqe.opcode / 64];
    const uint64_t bit = (uint64_t)1 << (op->sqe.opcode % 64);

    if (!(*word & bit))
        fprintf(stderr, "tidewheel: %s:%u: the backend %s has no opcode %u (%s); -EINVAL\n",
                op->site->file, op->site->line, real->loop.backend->name, op->sqe.opcode,
                tdw_opcode(op->sqe.opcode)->name);
    *word |= bit;
    tdw__post(op, -EINVAL, 0, 0);
}
