/* SPDX-License-Identifier: MIT */
/*
 * The operations: the kernel's own submission entries, plus a few of ours.
 *
 * An operation is described by a `struct io_uring_sqe`, filled in by liburing's inline
 * `io_uring_prep_*` functions: there is no op set to invent or to learn. This header includes
 * <liburing.h> and adds
 *   - upstream's numbers for opcodes that an older header lacks (each only where it is missing);
 *   - private opcodes (>= TDW_OP_FIRST) for waits that have no io_uring opcode. Those below
 *     TDW_OP_KERNEL are completed by the runtime itself on every backend; the others belong to a
 *     kernel, simulated or real (there a worker runs the plain system call);
 *   - TDW_OPCODES, the one table that says what each field of an entry means. The digest, traces,
 *     findings and the fault points are derived from it: one fact, one place.
 *
 * Words of an entry that hold addresses never reach the digest; what they point to does, by
 * content, as the table's columns say.
 */
#ifndef TIDEWHEEL_OPS_H
#define TIDEWHEEL_OPS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <liburing.h>

/* Opcodes that upstream added after the oldest header we build with (liburing 2.3). Enum values
 * cannot be tested by the preprocessor, so ours carry our prefix and upstream's numbers. */
enum {
    TDW_OP_FTRUNCATE = 55, /* IORING_OP_FTRUNCATE, Linux 6.9 */
    TDW_OP_BIND = 56,      /* IORING_OP_BIND, Linux 6.11 */
    TDW_OP_LISTEN = 57,    /* IORING_OP_LISTEN, Linux 6.11 */
};

/* Flags that upstream added later, by its numbers. */
enum {
    TDW_ACCEPT_DONTWAIT = 1 << 1, /* IORING_ACCEPT_DONTWAIT, Linux 6.10: -EAGAIN if nobody waits */
    TDW_ACCEPT_POLL_FIRST = 1 << 2,
};

/* Private opcodes. Numbers are kept in traces: never re-use one. */
enum {
    TDW_OP_FIRST = 192,
    TDW_OP_START = 192, /* a task begins */
    TDW_OP_YIELD = 193,
    TDW_OP_JOIN = 194,      /* addr: task; res: its result */
    TDW_OP_LOCK = 195,      /* addr: struct tdw_mutex */
    TDW_OP_COND_WAIT = 196, /* addr: struct tdw_cond, off: the mutex, held again at the end */
    TDW_OP_SEM_TAKE = 197,  /* addr: struct tdw_sem */
    TDW_OP_PUT = 198,       /* addr: struct tdw_chan, off: the item */
    TDW_OP_TAKE = 199,      /* addr: struct tdw_chan, off: where the item goes */
    TDW_OP_WG_WAIT = 200,   /* addr: struct tdw_wg */
    TDW_OP_TOKEN = 201,     /* addr: struct tdw_token: until it is cancelled */
    TDW_OP_WAKE = 202,  /* until tdw_ring_wake */
    TDW_OP_KERNEL = 224,
    TDW_OP_GETDENTS = 224,   /* fd, addr: buffer, len */
    TDW_OP_SETLKW = 225,     /* fd, addr: struct flock, len: F_SETLKW or F_OFD_SETLKW */
    TDW_OP_FLOCK = 226,      /* fd, len: LOCK_SH, LOCK_EX */
    TDW_OP_EPOLL_WAIT = 227, /* fd, addr: struct epoll_event, len: how many, off: time-out in ns */
    TDW_OP_PPOLL = 228,      /* addr: struct pollfd, len: how many, off: time-out in ns */
    /* As SPLICE: fd: out, splice_fd_in: in, len; addr: the offset in `in` (a pointer or NULL). */
    TDW_OP_SENDFILE = 229,
    TDW_OP_COPY_FILE_RANGE = 230, /* … and off: the offset in `out`, splice_flags: flags */
    TDW_OP_RESOLVE = 231,         /* addr: a name, off: struct tdw_resolved */
    TDW_OP_WAITPID = 232, /* fd: a pid or -1, addr: where its status goes */
    TDW_OP_RING_MESSAGE = 233, /* addr: struct tdw_ring_message */
    /* Work of the simulated kernel's own, never submitted: see sim/kernel/kernel.h. */
    TDW_OP_SHOT = 253,   /* one completion, and not the last, of an op in flight */
    TDW_OP_PACKET = 254, /* something on its way through a link */
    TDW_OP_TIMER = 255,  /* a timer of a connection */
};

/* What a 64-bit word of an entry is. */
enum tdw_word {
    TDW_W_ADDR,     /* an address: never looked at; what an unknown opcode's words are taken for */
    TDW_W_VALUE,    /* a number: into the digest as it is */
    TDW_W_PATH,     /* a NUL-terminated string: into the digest by content */
    TDW_W_TIME,     /* struct __kernel_timespec, by content */
    TDW_W_NEWTIME,  /* the same of a TIMEOUT_REMOVE, if it is an update */
    TDW_W_HOW,      /* struct open_how, by content */
    TDW_W_BYTES,    /* `len` bytes that the kernel takes in at the start */
    TDW_W_OFFSET,   /* an off_t, by content */
    TDW_W_FDS,      /* `len` descriptors, by content */
    TDW_W_IOVEC,    /* `len` struct iovec: their lengths */
    TDW_W_FLOCK,    /* struct flock: type, whence, start, length */
    TDW_W_OP,       /* the user_data of another op: its actor and ordinal */
    TDW_W_TASK,     /* a task: its actor */
    TDW_W_OBJECT,   /* a named object of the runtime (lock, channel): its name */
    TDW_W_SOCKADDR, /* struct sockaddr, by content; its length is the word `off` */
    TDW_W_SOCKTO,   /* the same with its length in `addr_len` */
    TDW_W_MSGHDR,   /* struct msghdr: the address, the lengths of its vectors and control bytes */
    TDW_W_EPEVENT,  /* struct epoll_event: the events; its data is the program's */
    TDW_W_POLLFDS,  /* `len` struct pollfd: descriptors and events */
};

/* Which way the bytes of the buffer at `addr` go, seen from the program. */
enum tdw_buffer {
    TDW_B_NONE,
    TDW_B_OUT,  /* the kernel reads `len` bytes: must not change while in flight; digested */
    TDW_B_OUTV, /* the same through an iovec */
    TDW_B_IN,   /* the kernel writes up to `len` bytes: must not be used before completion */
    TDW_B_INV,
    TDW_B_OUTMSG, /* through the vectors of a struct msghdr */
    TDW_B_INMSG,
};

/* How long an op takes by default on the simulated kernel: the row of its latency class. */
enum tdw_class {
    TDW_C_NONE,  /* never reaches a kernel, or completes at once */
    TDW_C_CALL,  /* a call that touches memory only: lookup, cancel, pipe */
    TDW_C_READ,  /* data from a device */
    TDW_C_WRITE, /* data into the page cache */
    TDW_C_FLUSH, /* a barrier on a device */
    TDW_C_TIMER, /* exactly when it says */
};

/* X(NAME, number, addr, off, buffer, class) */
#define TDW_OPCODES(X)                                                                             \
    X(NOP, IORING_OP_NOP, VALUE, VALUE, NONE, CALL)                                                \
    X(READV, IORING_OP_READV, IOVEC, VALUE, INV, READ)                                             \
    X(WRITEV, IORING_OP_WRITEV, IOVEC, VALUE, OUTV, WRITE)                                         \
    X(FSYNC, IORING_OP_FSYNC, VALUE, VALUE, NONE, FLUSH)                                           \
    X(POLL_ADD, IORING_OP_POLL_ADD, VALUE, VALUE, NONE, CALL)                                      \
    X(READ_FIXED, IORING_OP_READ_FIXED, ADDR, VALUE, IN, READ)                                     \
    X(WRITE_FIXED, IORING_OP_WRITE_FIXED, ADDR, VALUE, OUT, WRITE)                                 \
    X(TIMEOUT, IORING_OP_TIMEOUT, TIME, VALUE, NONE, TIMER)                                        \
    X(TIMEOUT_REMOVE, IORING_OP_TIMEOUT_REMOVE, OP, NEWTIME, NONE, CALL)                           \
    X(ASYNC_CANCEL, IORING_OP_ASYNC_CANCEL, OP, VALUE, NONE, CALL)                                 \
    X(LINK_TIMEOUT, IORING_OP_LINK_TIMEOUT, TIME, VALUE, NONE, TIMER)                              \
    X(POLL_REMOVE, IORING_OP_POLL_REMOVE, OP, ADDR, NONE, CALL)                                    \
    X(ACCEPT, IORING_OP_ACCEPT, ADDR, ADDR, NONE, CALL)                                            \
    X(CONNECT, IORING_OP_CONNECT, SOCKADDR, VALUE, NONE, CALL)                                     \
    X(SENDMSG, IORING_OP_SENDMSG, MSGHDR, VALUE, OUTMSG, CALL)                                     \
    X(RECVMSG, IORING_OP_RECVMSG, MSGHDR, VALUE, INMSG, CALL)                                      \
    X(SEND, IORING_OP_SEND, ADDR, SOCKTO, OUT, CALL)                                               \
    X(RECV, IORING_OP_RECV, ADDR, VALUE, IN, CALL)                                                 \
    X(SHUTDOWN, IORING_OP_SHUTDOWN, VALUE, VALUE, NONE, CALL)                                      \
    X(EPOLL_CTL, IORING_OP_EPOLL_CTL, EPEVENT, VALUE, NONE, CALL)                                  \
    X(SEND_ZC, IORING_OP_SEND_ZC, ADDR, SOCKTO, OUT, CALL)                                         \
    X(SENDMSG_ZC, IORING_OP_SENDMSG_ZC, MSGHDR, VALUE, OUTMSG, CALL)                               \
    X(BIND, TDW_OP_BIND, SOCKADDR, VALUE, NONE, CALL)                                              \
    X(LISTEN, TDW_OP_LISTEN, VALUE, VALUE, NONE, CALL)                                             \
    X(FALLOCATE, IORING_OP_FALLOCATE, VALUE, VALUE, NONE, WRITE)                                   \
    X(OPENAT, IORING_OP_OPENAT, PATH, VALUE, NONE, CALL)                                           \
    X(OPENAT2, IORING_OP_OPENAT2, PATH, HOW, NONE, CALL)                                           \
    X(CLOSE, IORING_OP_CLOSE, VALUE, VALUE, NONE, CALL)                                            \
    X(FILES_UPDATE, IORING_OP_FILES_UPDATE, FDS, VALUE, NONE, CALL)                                \
    X(STATX, IORING_OP_STATX, PATH, ADDR, NONE, CALL)                                              \
    X(READ, IORING_OP_READ, ADDR, VALUE, IN, READ)                                                 \
    X(WRITE, IORING_OP_WRITE, ADDR, VALUE, OUT, WRITE)                                             \
    X(PROVIDE_BUFFERS, IORING_OP_PROVIDE_BUFFERS, ADDR, VALUE, NONE, CALL)                         \
    X(REMOVE_BUFFERS, IORING_OP_REMOVE_BUFFERS, VALUE, VALUE, NONE, CALL)                          \
    X(RENAMEAT, IORING_OP_RENAMEAT, PATH, PATH, NONE, WRITE)                                       \
    X(UNLINKAT, IORING_OP_UNLINKAT, PATH, VALUE, NONE, WRITE)                                      \
    X(MKDIRAT, IORING_OP_MKDIRAT, PATH, VALUE, NONE, WRITE)                                        \
    X(SYMLINKAT, IORING_OP_SYMLINKAT, PATH, PATH, NONE, WRITE)                                     \
    X(LINKAT, IORING_OP_LINKAT, PATH, PATH, NONE, WRITE)                                           \
    X(SOCKET, IORING_OP_SOCKET, VALUE, VALUE, NONE, CALL)                                          \
    X(URING_CMD, IORING_OP_URING_CMD, ADDR, ADDR, NONE, NONE)                                      \
    X(FSETXATTR, IORING_OP_FSETXATTR, PATH, BYTES, NONE, WRITE)                                    \
    X(SETXATTR, IORING_OP_SETXATTR, PATH, BYTES, NONE, WRITE)                                      \
    X(FGETXATTR, IORING_OP_FGETXATTR, PATH, ADDR, NONE, CALL)                                      \
    X(GETXATTR, IORING_OP_GETXATTR, PATH, ADDR, NONE, CALL)                                        \
    X(SYNC_FILE_RANGE, IORING_OP_SYNC_FILE_RANGE, VALUE, VALUE, NONE, FLUSH)                       \
    X(FADVISE, IORING_OP_FADVISE, VALUE, VALUE, NONE, CALL)                                        \
    X(MADVISE, IORING_OP_MADVISE, ADDR, VALUE, NONE, CALL)                                         \
    X(MSG_RING, IORING_OP_MSG_RING, VALUE, VALUE, NONE, CALL)                                      \
    X(SPLICE, IORING_OP_SPLICE, VALUE, VALUE, NONE, WRITE)                                         \
    X(TEE, IORING_OP_TEE, VALUE, VALUE, NONE, CALL)                                                \
    X(FTRUNCATE, TDW_OP_FTRUNCATE, VALUE, VALUE, NONE, WRITE)                                      \
    X(START, TDW_OP_START, VALUE, VALUE, NONE, NONE)                                               \
    X(YIELD, TDW_OP_YIELD, VALUE, VALUE, NONE, NONE)                                               \
    X(JOIN, TDW_OP_JOIN, TASK, VALUE, NONE, NONE)                                                  \
    X(LOCK, TDW_OP_LOCK, OBJECT, VALUE, NONE, NONE)                                                \
    X(COND_WAIT, TDW_OP_COND_WAIT, OBJECT, OBJECT, NONE, NONE)                                     \
    X(SEM_TAKE, TDW_OP_SEM_TAKE, OBJECT, VALUE, NONE, NONE)                                        \
    X(PUT, TDW_OP_PUT, OBJECT, ADDR, NONE, NONE)                                                   \
    X(TAKE, TDW_OP_TAKE, OBJECT, ADDR, NONE, NONE)                                                 \
    X(WG_WAIT, TDW_OP_WG_WAIT, OBJECT, VALUE, NONE, NONE)                                          \
    X(TOKEN, TDW_OP_TOKEN, OBJECT, VALUE, NONE, NONE)                                              \
    X(WAKE, TDW_OP_WAKE, ADDR, VALUE, NONE, NONE)                                                  \
    X(GETDENTS, TDW_OP_GETDENTS, ADDR, VALUE, NONE, READ)                                          \
    X(SETLKW, TDW_OP_SETLKW, FLOCK, VALUE, NONE, CALL)                                             \
    X(FLOCK, TDW_OP_FLOCK, VALUE, VALUE, NONE, CALL)                                               \
    X(SENDFILE, TDW_OP_SENDFILE, OFFSET, VALUE, NONE, WRITE)                                       \
    X(RING_MESSAGE, TDW_OP_RING_MESSAGE, ADDR, VALUE, NONE, CALL)                                  \
    X(COPY_FILE_RANGE, TDW_OP_COPY_FILE_RANGE, OFFSET, OFFSET, NONE, WRITE)                        \
    X(EPOLL_WAIT, TDW_OP_EPOLL_WAIT, ADDR, VALUE, NONE, CALL)                                      \
    X(PPOLL, TDW_OP_PPOLL, POLLFDS, VALUE, NONE, CALL)                                             \
    X(RESOLVE, TDW_OP_RESOLVE, PATH, ADDR, NONE, CALL)                                             \
    X(WAITPID, TDW_OP_WAITPID, ADDR, VALUE, NONE, CALL)                                            \
    X(SHOT, TDW_OP_SHOT, VALUE, VALUE, NONE, NONE)                                                 \
    X(PACKET, TDW_OP_PACKET, VALUE, VALUE, NONE, NONE)                                             \
    X(TIMER, TDW_OP_TIMER, VALUE, VALUE, NONE, TIMER)

/* One row of the table, for lookup by opcode. `name` is NULL for an opcode we do not know. */
struct tdw_opcode {
    const char *name;
    uint8_t addr, off; /* enum tdw_word */
    uint8_t buffer;    /* enum tdw_buffer */
    uint8_t class;     /* enum tdw_class */
};

/* The row of `opcode`; its name is "?" where the table has none. Never NULL. */
const struct tdw_opcode *tdw_opcode(uint8_t opcode);

#endif
