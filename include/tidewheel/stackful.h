/* SPDX-License-Identifier: MIT */
/*
 * Stackful coroutines: a task with a stack of its own, suspended anywhere.
 *
 *     static void client(void *arg)
 *     {
 *         int fd = tdw_open("log", O_RDWR | O_CREAT, 0644);
 *         …
 *     }
 *     tdw_spawn_stackful("client", client, arg);
 *
 * A wait switches to the loop's stack and back: two stack switches. Between two waits nothing else
 * runs, so plain variables need no lock. Stacks come from a pool, are guarded where the system can
 * (see tdw_stack_guard), and are `TDW_STACK_BYTES` large unless the loop was told otherwise; an
 * overflow is reported as "stack overflow in task NAME".
 *
 * The floating-point control words belong to the thread, not to the task: a task that changes the
 * rounding mode restores it before it waits.
 */
#ifndef TIDEWHEEL_STACKFUL_H
#define TIDEWHEEL_STACKFUL_H

#include <tidewheel/verbs.h>

#define TDW_STACK_BYTES 65536

/* Submit the running task's own op, already filled, and wait for it: its result, or a refusal. */
int tdw__await_own(const struct tdw_site *site);

/* Wait until `op`, submitted before (TDW_GO), is delivered; its result. Continues at once if it
 * was delivered already. Of a multishot op each call takes one completion, as long as its flags
 * have IORING_CQE_F_MORE. */
int tdw_await(struct tdw_op *op);

/* Wait for all `count` ops; 0. */
int tdw_await_all(struct tdw_op *const ops[], uint32_t count);
/* Wait until one of `count` ops is delivered: its index (the lowest, if several are). */
int tdw_await_any(struct tdw_op *const ops[], uint32_t count);

/* n = TDW_DO(pread, fd, buf, 512, 0); tdw_pread(…) below is the same. */
#define TDW_DO(verb, ...)                                                                          \
    (__extension__({                                                                               \
        tdw_prep_##verb(tdw__own_op(), ##__VA_ARGS__);                                             \
        tdw__await_own(TDW_SITE(#verb));                                                           \
    }))

/* The same with a deadline: -ETIME if `ns` passed first and the op could be stopped. */
#define TDW_DO_WITHIN(ns, verb, ...)                                                               \
    (__extension__({                                                                               \
        tdw_prep_##verb(tdw__own_op(), ##__VA_ARGS__);                                             \
        tdw__await_own_within((ns), TDW_SITE(#verb));                                              \
    }))
int tdw__await_own_within(uint64_t ns, const struct tdw_site *site);

/* One line a verb; tests/unit/test_ring.c holds this list against the table. */
#define tdw_nop(...) TDW_DO(nop, ##__VA_ARGS__)
#define tdw_open(...) TDW_DO(open, __VA_ARGS__)
#define tdw_openat(...) TDW_DO(openat, __VA_ARGS__)
#define tdw_close(...) TDW_DO(close, __VA_ARGS__)
#define tdw_read(...) TDW_DO(read, __VA_ARGS__)
#define tdw_write(...) TDW_DO(write, __VA_ARGS__)
#define tdw_pread(...) TDW_DO(pread, __VA_ARGS__)
#define tdw_pwrite(...) TDW_DO(pwrite, __VA_ARGS__)
#define tdw_preadv(...) TDW_DO(preadv, __VA_ARGS__)
#define tdw_pwritev(...) TDW_DO(pwritev, __VA_ARGS__)
#define tdw_fsync(...) TDW_DO(fsync, __VA_ARGS__)
#define tdw_fdatasync(...) TDW_DO(fdatasync, __VA_ARGS__)
#define tdw_fallocate(...) TDW_DO(fallocate, __VA_ARGS__)
#define tdw_ftruncate(...) TDW_DO(ftruncate, __VA_ARGS__)
#define tdw_statx(...) TDW_DO(statx, __VA_ARGS__)
#define tdw_unlink(...) TDW_DO(unlink, __VA_ARGS__)
#define tdw_unlinkat(...) TDW_DO(unlinkat, __VA_ARGS__)
#define tdw_rename(...) TDW_DO(rename, __VA_ARGS__)
#define tdw_renameat(...) TDW_DO(renameat, __VA_ARGS__)
#define tdw_mkdir(...) TDW_DO(mkdir, __VA_ARGS__)
#define tdw_mkdirat(...) TDW_DO(mkdirat, __VA_ARGS__)
#define tdw_linkat(...) TDW_DO(linkat, __VA_ARGS__)
#define tdw_symlinkat(...) TDW_DO(symlinkat, __VA_ARGS__)
#define tdw_getdents(...) TDW_DO(getdents, __VA_ARGS__)
#define tdw_setlkw(...) TDW_DO(setlkw, __VA_ARGS__)
#define tdw_flock(...) TDW_DO(flock, __VA_ARGS__)
#define tdw_socket(...) TDW_DO(socket, __VA_ARGS__)
#define tdw_connect(...) TDW_DO(connect, __VA_ARGS__)
#define tdw_bind(...) TDW_DO(bind, __VA_ARGS__)
#define tdw_listen(...) TDW_DO(listen, __VA_ARGS__)
#define tdw_accept(...) TDW_DO(accept, __VA_ARGS__)
#define tdw_accept_multishot(...) TDW_DO(accept_multishot, __VA_ARGS__)
#define tdw_send(...) TDW_DO(send, __VA_ARGS__)
#define tdw_sendto(...) TDW_DO(sendto, __VA_ARGS__)
#define tdw_send_zc(...) TDW_DO(send_zc, __VA_ARGS__)
#define tdw_recv(...) TDW_DO(recv, __VA_ARGS__)
#define tdw_recv_multishot(...) TDW_DO(recv_multishot, __VA_ARGS__)
#define tdw_sendmsg(...) TDW_DO(sendmsg, __VA_ARGS__)
#define tdw_recvmsg(...) TDW_DO(recvmsg, __VA_ARGS__)
#define tdw_shutdown(...) TDW_DO(shutdown, __VA_ARGS__)
#define tdw_poll(...) TDW_DO(poll, __VA_ARGS__)
#define tdw_poll_multishot(...) TDW_DO(poll_multishot, __VA_ARGS__)
#define tdw_poll_remove(...) TDW_DO(poll_remove, __VA_ARGS__)
#define tdw_poll_update(...) TDW_DO(poll_update, __VA_ARGS__)
#define tdw_epoll_ctl(...) TDW_DO(epoll_ctl, __VA_ARGS__)
#define tdw_epoll_wait(...) TDW_DO(epoll_wait, __VA_ARGS__)
#define tdw_ppoll(...) TDW_DO(ppoll, __VA_ARGS__)
#define tdw_waitpid(...) TDW_DO(waitpid, __VA_ARGS__)
#define tdw_resolve(...) TDW_DO(resolve, __VA_ARGS__)
#define tdw_splice(...) TDW_DO(splice, __VA_ARGS__)
#define tdw_tee(...) TDW_DO(tee, __VA_ARGS__)
#define tdw_sendfile(...) TDW_DO(sendfile, __VA_ARGS__)
#define tdw_copy_file_range(...) TDW_DO(copy_file_range, __VA_ARGS__)
#define tdw_openat2(...) TDW_DO(openat2, __VA_ARGS__)
#define tdw_sync_file_range(...) TDW_DO(sync_file_range, __VA_ARGS__)
#define tdw_fadvise(...) TDW_DO(fadvise, __VA_ARGS__)
#define tdw_madvise(...) TDW_DO(madvise, __VA_ARGS__)
#define tdw_fsetxattr(...) TDW_DO(fsetxattr, __VA_ARGS__)
#define tdw_setxattr(...) TDW_DO(setxattr, __VA_ARGS__)
#define tdw_fgetxattr(...) TDW_DO(fgetxattr, __VA_ARGS__)
#define tdw_getxattr(...) TDW_DO(getxattr, __VA_ARGS__)
#define tdw_msg_ring(...) TDW_DO(msg_ring, __VA_ARGS__)
#define tdw_msg_ring_fd(...) TDW_DO(msg_ring_fd, __VA_ARGS__)
#define tdw_ring_message(...) TDW_DO(ring_message, __VA_ARGS__)
#define tdw_open_direct(...) TDW_DO(open_direct, __VA_ARGS__)
#define tdw_openat_direct(...) TDW_DO(openat_direct, __VA_ARGS__)
#define tdw_socket_direct(...) TDW_DO(socket_direct, __VA_ARGS__)
#define tdw_close_direct(...) TDW_DO(close_direct, __VA_ARGS__)
#define tdw_read_fixed(...) TDW_DO(read_fixed, __VA_ARGS__)
#define tdw_write_fixed(...) TDW_DO(write_fixed, __VA_ARGS__)
#define tdw_files_update(...) TDW_DO(files_update, __VA_ARGS__)
#define tdw_provide_buffers(...) TDW_DO(provide_buffers, __VA_ARGS__)
#define tdw_remove_buffers(...) TDW_DO(remove_buffers, __VA_ARGS__)
#define tdw_read_select(...) TDW_DO(read_select, __VA_ARGS__)
#define tdw_sleep(...) TDW_DO(sleep, __VA_ARGS__)
#define tdw_timeout(...) TDW_DO(timeout, __VA_ARGS__)
#define tdw_link_timeout(...) TDW_DO(link_timeout, __VA_ARGS__)
#define tdw_timeout_remove(...) TDW_DO(timeout_remove, __VA_ARGS__)
#define tdw_timeout_update(...) TDW_DO(timeout_update, __VA_ARGS__)
#define tdw_cancel(...) TDW_DO(cancel, __VA_ARGS__)
#define tdw_cancel_fd(...) TDW_DO(cancel_fd, __VA_ARGS__)
#define tdw_cancel_all(...) TDW_DO(cancel_all, ##__VA_ARGS__)
#define tdw_yield(...) TDW_DO(yield, ##__VA_ARGS__)
#define tdw_join(...) TDW_DO(join, __VA_ARGS__)
#define tdw_lock(...) TDW_DO(lock, __VA_ARGS__)
#define tdw_cond_wait(...) TDW_DO(cond_wait, __VA_ARGS__)
#define tdw_sem_take(...) TDW_DO(sem_take, __VA_ARGS__)
#define tdw_put(...) TDW_DO(put, __VA_ARGS__)
#define tdw_take(...) TDW_DO(take, __VA_ARGS__)
#define tdw_wg_wait(...) TDW_DO(wg_wait, __VA_ARGS__)
#define tdw_token_wait(...) TDW_DO(token_wait, __VA_ARGS__)
#define tdw_wake(...) TDW_DO(wake, ##__VA_ARGS__)

/* How stacks are protected: "guard" (no mapping each), "mprotect", or "canary". */
const char *tdw_stack_guard(void);
/* The deepest use of a stack of this loop so far, in bytes; ended and pooled stacks included.
 * Costs a scan of the stacks: for tests and reports. */
size_t tdw_stack_high_water(struct tdw_loop *loop);

#endif
