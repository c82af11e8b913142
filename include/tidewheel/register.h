/* SPDX-License-Identifier: MIT */
/*
 * What a process registers with its ring: files, buffers, and buffers to pick from.
 *
 *     files    IOSQE_FIXED_FILE names one by its slot; rows that open something can put it there
 *              at once (sqe->file_index: a direct descriptor)
 *     buffers  READ_FIXED and WRITE_FIXED name one by its index (sqe->buf_index)
 *     groups   IOSQE_BUFFER_SELECT has the kernel pick one of a group (sqe->buf_group) when there
 *              is something to put into it; filled by PROVIDE_BUFFERS, or a ring in memory
 *
 * These are plain calls on the running task's process, as those of <tidewheel/sys.h>: they never
 * wait, take no virtual time, and are events. Arguments and results are those of the functions of
 * liburing whose names they share, without the ring: >= 0 or -errno. All of it is the ring's: a
 * forked process has none of it, and it ends with its process.
 */
#ifndef TIDEWHEEL_REGISTER_H
#define TIDEWHEEL_REGISTER_H

#include <tidewheel/sys.h>

/* A -1 leaves a slot empty. -EBUSY: there are some already. */
int tdw_ring_register_files(const int *fds, unsigned count);
int tdw_ring_register_files_sparse(unsigned count);
int tdw_ring_unregister_files(void);
/* From slot `off` on: -1 empties a slot, IORING_REGISTER_FILES_SKIP leaves it as it is. How many
 * were done. */
int tdw_ring_register_files_update(unsigned off, const int *fds, unsigned count);
/* Where IORING_FILE_INDEX_ALLOC looks for a free slot: [off, off + count). */
int tdw_ring_register_file_alloc_range(unsigned off, unsigned count);

/* {NULL, 0} leaves an index empty. */
int tdw_ring_register_buffers(const struct iovec *buffers, unsigned count);
int tdw_ring_register_buffers_sparse(unsigned count);
int tdw_ring_register_buffers_update(unsigned off, const struct iovec *buffers, unsigned count);
int tdw_ring_unregister_buffers(void);

/* A group whose buffers stand in a ring in the program's memory (io_uring_buf_ring_add and
 * _advance fill it). `flags`: 0 or TDW_BUF_RING_INC. IOU_PBUF_RING_MMAP is -EINVAL: there is no
 * kernel whose memory could be mapped. */
enum {
    TDW_BUF_RING_INC = 2,        /* IOU_PBUF_RING_INC: buffers are used up piece by piece */
    TDW_CQE_F_BUF_MORE = 1 << 4, /* IORING_CQE_F_BUF_MORE: there is more of this buffer to come */
};
int tdw_ring_register_buf_ring(const struct io_uring_buf_reg *reg, unsigned flags);
int tdw_ring_unregister_buf_ring(int group);

/* A new descriptor of the process's ring, for MSG_RING; processes that it starts inherit it. The receiver awaits the verb `ring_message`, which fills this in: what on Linux would be
 * a completion that nobody submitted. */
struct tdw_ring_message {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};
enum { TDW_MSG_RING_FLAGS_PASS = 1 << 1 }; /* IORING_MSG_RING_FLAGS_PASS, Linux 6.3 */
int tdw_ring_fd(void);

#endif
