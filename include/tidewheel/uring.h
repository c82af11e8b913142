/* SPDX-License-Identifier: MIT */
/*
 * Bring your own io_uring loop: liburing's calls on a simulated ring.
 *
 * A program that has its own loop over liburing's functions, and wants to keep it, runs on the
 * simulated kernel as one stackful task. These are the functions of liburing that are not inline,
 * with its names and signatures under our prefix; `struct io_uring` is liburing's own, and its
 * rings are ordinary memory, so that its inline functions (io_uring_get_sqe, io_uring_cqe_seen,
 * io_uring_for_each_cqe, …) work on it as they are.
 *
 * <tidewheel/liburing.h> maps liburing's names, and those of the C library's calls, to these: with
 * it a source file is moved without a change. What each does is in liburing's manual pages.
 *
 *     tdw_uring_submit ─▶ each entry becomes an op of the running task ─▶ … ─▶ delivery ─▶ the CQ
 *
 * Where it differs: an entry is started at submit, there is no SQPOLL thread (the flag is taken,
 * and submit submits), and looking for a completion in vain costs a microsecond, since otherwise a
 * program that spins would stop the clock. What is registered belongs to the process's one ring.
 */
#ifndef TIDEWHEEL_URING_H
#define TIDEWHEEL_URING_H

#include <tidewheel/ops.h>

int tdw_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
/* -EINVAL for IOPOLL, SQE128, CQE32. */
int tdw_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                struct io_uring_params *params);
/* What is in flight is cancelled, and waited for. */
void tdw_uring_queue_exit(struct io_uring *ring);

int tdw_uring_submit(struct io_uring *ring);
int tdw_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr);
int tdw_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                      unsigned wait_nr, struct __kernel_timespec *time,
                                      sigset_t *sigmask);
int tdw_uring_submit_and_get_events(struct io_uring *ring);
int tdw_uring_get_events(struct io_uring *ring);
int tdw_uring_peek_cqe(struct io_uring *ring, struct io_uring_cqe **cqe);
unsigned tdw_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes,
                                  unsigned count);
int tdw_uring_wait_cqe(struct io_uring *ring, struct io_uring_cqe **cqe);
int tdw_uring_wait_cqe_nr(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr);
int tdw_uring_wait_cqes(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                        struct __kernel_timespec *time, sigset_t *sigmask);
int tdw_uring_wait_cqe_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                               struct __kernel_timespec *time);
/* What liburing's inline functions call. */
int tdw_uring__get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                       unsigned wait_nr, sigset_t *sigmask);
int tdw_uring__sqring_wait(struct io_uring *ring);

/* Those that only touch the rings. */
#define tdw_uring_get_sqe(ring) io_uring_get_sqe(ring)
#define tdw_uring_cqe_seen(ring, cqe) io_uring_cqe_seen(ring, cqe)
#define tdw_uring_cq_advance(ring, count) io_uring_cq_advance(ring, count)
#define tdw_uring_cq_ready(ring) io_uring_cq_ready(ring)
#define tdw_uring_sq_ready(ring) io_uring_sq_ready(ring)
#define tdw_uring_sq_space_left(ring) io_uring_sq_space_left(ring)
#define tdw_uring_for_each_cqe(ring, head, cqe) io_uring_for_each_cqe(ring, head, cqe)

int tdw_uring_register_buffers(struct io_uring *ring, const struct iovec *buffers, unsigned count);
int tdw_uring_register_buffers_sparse(struct io_uring *ring, unsigned count);
int tdw_uring_unregister_buffers(struct io_uring *ring);
int tdw_uring_register_files(struct io_uring *ring, const int *files, unsigned count);
int tdw_uring_register_files_sparse(struct io_uring *ring, unsigned count);
int tdw_uring_register_files_update(struct io_uring *ring, unsigned off, const int *files,
                                    unsigned count);
int tdw_uring_unregister_files(struct io_uring *ring);
int tdw_uring_register_file_alloc_range(struct io_uring *ring, unsigned off, unsigned count);
int tdw_uring_register_eventfd(struct io_uring *ring, int fd);
int tdw_uring_register_eventfd_async(struct io_uring *ring, int fd); /* the same */
int tdw_uring_unregister_eventfd(struct io_uring *ring);
int tdw_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                unsigned flags);
int tdw_uring_unregister_buf_ring(struct io_uring *ring, int group);
int tdw_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count);
struct io_uring_probe *tdw_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *tdw_uring_get_probe(void);
void tdw_uring_free_probe(struct io_uring_probe *probe);
int tdw_uring_enable_rings(struct io_uring *ring);
int tdw_uring_register_restrictions(struct io_uring *ring, struct io_uring_restriction *given,
                                    unsigned count);
/* Nothing to gain here: 0, or 1 where liburing counts descriptors. */
int tdw_uring_ring_dontfork(struct io_uring *ring);
int tdw_uring_register_ring_fd(struct io_uring *ring);
int tdw_uring_unregister_ring_fd(struct io_uring *ring);
int tdw_uring_register_iowq_max_workers(struct io_uring *ring, unsigned *values);

/* Does the simulated kernel perform `opcode`? */
bool tdw_opcode_supported(uint8_t opcode);

#endif
