/* SPDX-License-Identifier: MIT */
/*
 * Sockets as open files, and the rows SOCKET BIND LISTEN ACCEPT CONNECT SHUTDOWN.
 *
 * The rows know no family: they find the socket behind a descriptor, check what io_uring checks,
 * and ask its protocol. An op waits in one of three queues of the socket: `readers` (receive,
 * accept), `writers` (send, connect), `changed` (polls). CONNECT begins when it takes effect, waits
 * for the answer, and tells it one latency later; BIND, LISTEN and SHUTDOWN never wait.
 *
 * io_uring waits whether or not a descriptor is O_NONBLOCK; only flags of the entry say otherwise.
 *
 * ACCEPT takes a descriptor before it waits: with -EMFILE a connection stays in the queue. One that
 * was reset in there is accepted all the same. Multishot accepts end with the first error.
 *
 * What READ and WRITE do to a socket is the kind's below; SEND, RECV and their like are in
 * transfer.c, options in option.c, the calls that never wait in calls.c.
 */
#include <sim/kernel/net/net.h>
#include <poll.h>

enum { TYPE_MASK = 0xf };

/* ── Life ──────────────────────────────────────────────────────────────────────────────────── */

static const struct tdw_socket_options defaults = {
    .send_bytes = 87040, /* tcp_wmem, tcp_rmem of a connected socket before it is tuned */
    .receive_bytes = 131072,
    .low_water = 1,
    .linger_s = -1,
    .keep_idle_s = 7200,
    .keep_interval_s = 75,
    .keep_count = 9,
};

struct tdw_socket *tdw__socket_new(struct tdw_host *host, const struct tdw_protocol *protocol,
                                   int domain, int type)
{
    struct tdw_loop *loop = &host->world->loop;
    struct tdw_socket *socket = tdw__memory_get(loop->memory, sizeof(*socket));

    if (!socket)
        return NULL;
    socket->host = host;
    socket->protocol = protocol;
    socket->domain = domain;
    socket->type = type;
    socket->options = defaults;
    if (type == SOCK_DGRAM || domain == AF_UNIX)
        socket->options.send_bytes = socket->options.receive_bytes = 212992; /* wmem_default */
    if (protocol->open && protocol->open(socket) < 0) {
        tdw__memory_put(loop->memory, socket, sizeof(*socket));
        return NULL;
    }
    return socket;
}

void tdw__socket_free(struct tdw_socket *socket)
{
    struct tdw_loop *loop = tdw__socket_loop(socket);

    assert(!socket->readers.head && !socket->writers.head);
    tdw__segments_free(loop, &socket->received);
    tdw__memory_put(loop->memory, socket, sizeof(*socket));
}

int tdw__socket_install(struct tdw_process *process, const struct tdw_op *op,
                        struct tdw_socket *socket, int flags)
{
    static const struct tdw_op plain; /* the lowest descriptor */
    struct tdw_disk *disk = process->files->disk;
    struct tdw_file *file =
        tdw__file_new(disk, &tdw__kind_socket, O_RDWR | (flags & SOCK_NONBLOCK), NULL);

    if (!file) {
        socket->protocol->release(socket);
        return -ENFILE;
    }
    file->socket = socket;
    file->number = disk->inode_next++;
    socket->file = file;
    return tdw__install(process, op ? op : &plain, file, flags & SOCK_CLOEXEC);
}

static const struct tdw_protocol *protocol_of(int domain, int type)
{
    const int kind = type & TYPE_MASK;

    if (domain == AF_UNIX)
        return kind == SOCK_STREAM      ? &tdw__unix_stream
               : kind == SOCK_SEQPACKET ? &tdw__unix_seqpacket
                                        : &tdw__unix_dgram;
    return kind == SOCK_STREAM ? &tdw__tcp : &tdw__udp;
}

/* 0, or what socket(2) answers for this combination. */
static int check_type(int domain, int type, int protocol)
{
    const int kind = type & TYPE_MASK;

    if (type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    if (kind >= 11) /* SOCK_MAX */
        return -EINVAL;
    switch (domain) {
    case AF_UNIX:
        if (protocol != 0 && protocol != PF_UNIX)
            return -EPROTONOSUPPORT;
        return kind == SOCK_STREAM || kind == SOCK_DGRAM || kind == SOCK_RAW ||
                       kind == SOCK_SEQPACKET
                   ? 0
                   : -ESOCKTNOSUPPORT;
    case AF_INET:
    case AF_INET6:
        if (protocol < 0 || protocol > IPPROTO_MPTCP)
            return -EINVAL;
        if (kind != SOCK_STREAM && kind != SOCK_DGRAM)
            return -ESOCKTNOSUPPORT;
        return protocol == 0 || protocol == (kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP)
                   ? 0
                   : -EPROTONOSUPPORT;
    default:
        return -EAFNOSUPPORT;
    }
}

int tdw__socket_open(struct tdw_process *process, const struct tdw_op *op, int domain, int type,
                     int protocol)
{
    const int kind = (type & TYPE_MASK) == SOCK_RAW ? SOCK_DGRAM : type & TYPE_MASK;
    struct tdw_socket *socket;
    const int err = check_type(domain, type, protocol);

    if (err < 0)
        return err;
    socket = tdw__socket_new(process->host, protocol_of(domain, type), domain, kind);
    return socket ? tdw__socket_install(process, op, socket, type) : -ENOMEM;
}

int tdw__socket_pair(struct tdw_process *process, int domain, int type, int protocol, int fds[2])
{
    struct tdw_socket *pair[2];
    int err = check_type(domain, type, protocol);

    if (err)
        return err;
    if (domain != AF_UNIX)
        return -EOPNOTSUPP;
    err = tdw__unix_pair(process->host, type & TYPE_MASK, pair);
    if (err)
        return err;
    fds[0] = tdw__socket_install(process, NULL, pair[0], type);
    if (fds[0] < 0) {
        pair[1]->protocol->release(pair[1]);
        return fds[0];
    }
    fds[1] = tdw__socket_install(process, NULL, pair[1], type);
    if (fds[1] < 0)
        tdw__fd_close(process->files, fds[0]);
    return fds[1] < 0 ? fds[1] : 0;
}

int tdw__socket_error(struct tdw_socket *socket)
{
    const int error = socket->error;

    socket->error = 0;
    return -error;
}

void tdw__socket_wake(struct tdw_socket *socket, uint32_t events)
{
    if (events & (POLLIN | POLLRDHUP | POLLERR | POLLHUP))
        tdw__wake(&socket->readers);
    if (events & (POLLOUT | POLLERR | POLLHUP))
        tdw__wake(&socket->writers);
    if (socket->changed.head || socket->changed.watches)
        tdw__wake_for(&socket->changed, events);
}

void tdw__accept_push(struct tdw_socket *listener, struct tdw_socket *child)
{
    child->accept_next = NULL;
    if (listener->accept_head)
        listener->accept_tail->accept_next = child;
    else
        listener->accept_head = child;
    listener->accept_tail = child;
    listener->accept_count++;
    tdw__socket_wake(listener, POLLIN | POLLRDNORM);
}

struct tdw_socket *tdw__accept_pop(struct tdw_socket *listener)
{
    struct tdw_socket *child = listener->accept_head;

    if (!child)
        return NULL;
    listener->accept_head = child->accept_next;
    listener->accept_count--;
    return child;
}

/* ── The kind of open file ─────────────────────────────────────────────────────────────────── */

static struct tdw_waitq *socket_blocked(struct tdw_file *file, const struct tdw_io *io, bool write)
{
    struct tdw_socket *socket = file->socket;
    const struct tdw_want want = {.bytes = io->left};

    if (write)
        return socket->protocol->send_waits(socket, &want) ? &socket->writers : NULL;
    return io->left > 0 && socket->protocol->receive_waits(socket, &want) ? &socket->readers : NULL;
}

static int32_t socket_read(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                           const struct tdw_op *op)
{
    struct tdw_msg msg = {.io = *io, .process = process};

    (void)op;
    if (io->left == 0)
        return 0;
    return (int32_t)file->socket->protocol->receive(file->socket, &msg);
}

static int32_t socket_write(struct tdw_process *process, struct tdw_file *file, struct tdw_io *io,
                            const struct tdw_op *op)
{
    struct tdw_msg msg = {.io = *io, .process = process};

    (void)op;
    return (int32_t)file->socket->protocol->send(file->socket, &msg);
}

static uint32_t socket_ready(const struct tdw_file *file)
{
    return file->socket->protocol->ready(file->socket);
}

static struct tdw_waitq *socket_queue(struct tdw_file *file)
{
    return &file->socket->changed;
}

static void socket_close(struct tdw_file *file)
{
    file->socket->file = NULL;
    file->socket->protocol->release(file->socket);
}

const struct tdw_file_kind tdw__kind_socket = {.name = "socket",
                                               .mode = S_IFSOCK | 0777,
                                               .blocked = socket_blocked,
                                               .read = socket_read,
                                               .write = socket_write,
                                               .ready = socket_ready,
                                               .ready_queue = socket_queue,
                                               .close = socket_close};

/* ── SOCKET, BIND, LISTEN, SHUTDOWN ────────────────────────────────────────────────────────── */

int tdw__start_socket(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const int err = tdw__start_fd(process, op, object);

    if (err)
        return err;
    return tdw__socket_of(*object) ? 0 : -ENOTSOCK;
}

bool tdw__socket_moves_whole(const struct tdw_file *file)
{
    return file->kind == &tdw__kind_socket && file->socket->type != SOCK_STREAM;
}

static int start_new(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    (void)process, (void)object;
    if (sqe->addr || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (sqe->file_index && (int)sqe->off & SOCK_CLOEXEC)
        return -EINVAL;
    return (int)sqe->off & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK) ? -EINVAL : 0;
}

static int32_t effect_new(struct tdw_process *process, struct tdw_op *op, void *object)
{
    const int err = tdw__install_check(process, op, (int)op->sqe.off & SOCK_CLOEXEC);

    (void)object;
    return err ? err
               : tdw__socket_open(process, op, op->sqe.fd, (int)op->sqe.off, (int)op->sqe.len);
}

static int start_bind(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->len || sqe->buf_index || sqe->rw_flags || sqe->splice_fd_in)
        return -EINVAL;
    return tdw__start_socket(process, op, object);
}

static int32_t effect_bind(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_socket *socket = tdw__socket_of(object);
    const struct sockaddr *address = tdw__pointer(op->sqe.addr);

    (void)process;
    if (op->sqe.off > sizeof(struct sockaddr_storage))
        return -EINVAL;
    return address ? socket->protocol->bind(socket, address, (socklen_t)op->sqe.off) : -EFAULT;
}

static int start_listen(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->addr || sqe->buf_index || sqe->rw_flags || sqe->splice_fd_in || sqe->off)
        return -EINVAL;
    return tdw__start_socket(process, op, object);
}

static int32_t effect_listen(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_socket *socket = tdw__socket_of(object);

    (void)process;
    return socket->protocol->listen ? socket->protocol->listen(socket, (int)op->sqe.len)
                                    : -EOPNOTSUPP;
}

static int start_shutdown(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;

    if (sqe->off || sqe->addr || sqe->rw_flags || sqe->buf_index || sqe->splice_fd_in)
        return -EINVAL;
    return tdw__start_socket(process, op, object);
}

static int32_t effect_shutdown(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_socket *socket = tdw__socket_of(object);
    const int how = (int)op->sqe.len;

    (void)process;
    return how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : socket->protocol->shutdown(socket, how);
}

/* ── CONNECT ───────────────────────────────────────────────────────────────────────────────── */

/* The address is the kernel's own copy, made at the start, as io_uring makes it. */
struct connecting {
    struct tdw_file *file;
    bool begun;
    socklen_t bytes;
    struct sockaddr_storage address;
};

static int start_connect(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const struct sockaddr *address = tdw__pointer(sqe->addr);
    struct tdw_file *file = tdw__op_file(process, op);
    struct connecting *connecting;

    if (sqe->len || sqe->rw_flags || sqe->buf_index)
        return -EINVAL;
    if (!file)
        return -EBADF;
    if (!tdw__socket_of(file))
        return -ENOTSOCK;
    if (sqe->off > sizeof(struct sockaddr_storage))
        return -EINVAL;
    if (sqe->off > 0 && !address)
        return -EFAULT;
    if (sqe->off < sizeof(address->sa_family))
        return -EINVAL;
    connecting = tdw__memory_get(process->ring.loop->memory, sizeof(*connecting));
    if (!connecting)
        return -ENOMEM;
    file->refs++;
    connecting->file = file;
    connecting->bytes = (socklen_t)sqe->off;
    memcpy(&connecting->address, address, connecting->bytes);
    *object = connecting;
    return 0;
}

struct tdw_file *tdw__connect_file(const void *object)
{
    return ((const struct connecting *)object)->file;
}

/* It waits once it has begun. */
static struct tdw_waitq *blocked_connect(struct tdw_process *process, struct tdw_op *op,
                                         void *object)
{
    const struct connecting *connecting = object;
    struct tdw_socket *socket = tdw__socket_of(connecting->file);

    (void)process;
    if (op->state == TDW_BLOCKED)
        return &socket->writers;
    return connecting->begun && socket->protocol->connected(socket) == -EINPROGRESS
               ? &socket->writers
               : NULL;
}

static int32_t effect_connect(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct connecting *connecting = object;
    struct tdw_socket *socket = tdw__socket_of(connecting->file);
    int err;

    (void)process, (void)op;
    if (!connecting->begun) {
        err = socket->protocol->connect(socket, (const void *)&connecting->address,
                                        connecting->bytes);
        if (err < 0 && err != -EINPROGRESS)
            return err;
        connecting->begun = true;
        if (err == -EINPROGRESS)
            return TDW_AGAIN;
    }
    err = socket->protocol->connected(socket);
    if (err && (socket->tried == TDW_CONNECTING || socket->error == -err)) /* told only here */
        tdw__socket_error(socket);
    return err;
}

static void release_connect(struct tdw_process *process, void *object)
{
    struct connecting *connecting = object;

    tdw__file_put(connecting->file);
    tdw__memory_put(process->ring.loop->memory, connecting, sizeof(*connecting));
}

/* ── ACCEPT ────────────────────────────────────────────────────────────────────────────────── */

void tdw__address_out(const struct sockaddr_storage *from, socklen_t bytes, struct sockaddr *to,
                      socklen_t *to_bytes)
{
    if (!to || !to_bytes)
        return;
    memcpy(to, from, bytes < *to_bytes ? bytes : *to_bytes);
    *to_bytes = bytes;
}

static int start_accept(struct tdw_process *process, struct tdw_op *op, void **object)
{
    const struct io_uring_sqe *sqe = &op->sqe;
    const socklen_t *bytes = tdw__pointer(sqe->off);
    int err;

    if (sqe->len || sqe->buf_index ||
        sqe->ioprio & ~(IORING_ACCEPT_MULTISHOT | TDW_ACCEPT_DONTWAIT | TDW_ACCEPT_POLL_FIRST))
        return -EINVAL;
    if (sqe->accept_flags & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    if (sqe->file_index && sqe->accept_flags & SOCK_CLOEXEC)
        return -EINVAL;
    err = tdw__start_fd(process, op, object);
    if (err)
        return err;
    return sqe->addr && bytes && (int)*bytes < 0 ? -EINVAL : 0;
}

/* Nobody more will come. A TCP listener that is shut down does not listen any more, and what was
 * shut before it listened is of no matter. */
static bool is_shut(const struct tdw_socket *listener)
{
    return listener->domain == AF_UNIX && listener->shut & TDW_SHUT_READ;
}

static bool accept_waits(const struct tdw_op *op, const struct tdw_socket *socket)
{
    return socket && !(op->sqe.ioprio & TDW_ACCEPT_DONTWAIT) && socket->state == TDW_TCP_LISTEN &&
           !socket->accept_head && (!is_shut(socket) || op->sqe.ioprio & IORING_ACCEPT_MULTISHOT);
}

static struct tdw_waitq *blocked_accept(struct tdw_process *process, struct tdw_op *op,
                                        void *object)
{
    struct tdw_socket *socket = tdw__socket_of(object);

    if (op->state == TDW_BLOCKED)
        return &socket->readers;
    if (!accept_waits(op, socket))
        return NULL;
    return tdw__install_check(process, op, op->sqe.accept_flags & SOCK_CLOEXEC) < 0
               ? NULL
               : &socket->readers;
}

static int accept_one(struct tdw_process *process, struct tdw_op *op, struct tdw_socket *listener)
{
    const int room = tdw__install_check(process, op, op->sqe.accept_flags & SOCK_CLOEXEC);
    struct sockaddr_storage address;
    struct tdw_socket *child;
    int fd, bytes;

    if (room < 0)
        return room;
    if (!listener)
        return -ENOTSOCK;
    if (!listener->protocol->accept)
        return -EOPNOTSUPP;
    /* Also if it is shut down: then a worker tries, which minds O_NONBLOCK. */
    if ((op->sqe.ioprio & TDW_ACCEPT_DONTWAIT ||
         (is_shut(listener) && listener->file->flags & O_NONBLOCK)) &&
        listener->state == TDW_TCP_LISTEN && !listener->accept_head)
        return -EAGAIN;
    fd = listener->protocol->accept(listener, &child);
    if (fd < 0)
        return fd;
    if (op->sqe.addr) {
        if (!op->sqe.off) { /* the connection is lost */
            child->protocol->release(child);
            return -EFAULT;
        }
        /* A peer's address stays when the connection ends. */
        bytes = child->peer.port ? tdw__inet_name(child, true, &address)
                                 : child->protocol->name_of(child, true, &address);
        tdw__address_out(&address, bytes > 0 ? (socklen_t)bytes : 0, tdw__pointer(op->sqe.addr),
                         tdw__pointer(op->sqe.off));
    }
    return tdw__socket_install(process, op, child, (int)op->sqe.accept_flags);
}

static int32_t effect_accept(struct tdw_process *process, struct tdw_op *op, void *object)
{
    struct tdw_socket *listener = tdw__socket_of(object);
    const int fd = accept_one(process, op, listener);

    if (fd == -EAGAIN && accept_waits(op, listener))
        return TDW_AGAIN; /* another one was quicker */
    if (fd >= 0 && op->sqe.ioprio & IORING_ACCEPT_MULTISHOT)
        return tdw__post_more(op, fd, 0, 0) ? TDW_AGAIN : fd;
    return fd;
}

const struct tdw_sim_opcode tdw__row_socket = {.start = start_new, .effect = effect_new};
const struct tdw_sim_opcode tdw__row_bind = {
    .start = start_bind, .effect = effect_bind, .release = tdw__release_fd};
const struct tdw_sim_opcode tdw__row_listen = {
    .start = start_listen, .effect = effect_listen, .release = tdw__release_fd};
const struct tdw_sim_opcode tdw__row_shutdown = {
    .start = start_shutdown, .effect = effect_shutdown, .release = tdw__release_fd};
const struct tdw_sim_opcode tdw__row_connect = {start_connect, blocked_connect, effect_connect,
                                                release_connect, TDW_WHOLE};
const struct tdw_sim_opcode tdw__row_accept = {start_accept, blocked_accept, effect_accept,
                                               tdw__release_fd, TDW_WHOLE};
