/* SPDX-License-Identifier: MIT */
/*
 * The calls on sockets that never wait (include/tidewheel/sys.h): each does its work at once, is an
 * event, and answers with its result or -errno.
 *
 * Addresses and option values reach the digest by content. As in sys.c, errno is not touched.
 */
#define XXH_INLINE_ALL
#include <tidewheel/sys.h>
#include <sim/kernel/net/net.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <xxhash.h>

static struct tdw_socket *socket_at(int fd, int *err)
{
    struct tdw_file *file = tdw__fd(tdw__process()->files, fd);
    struct tdw_socket *socket = file ? tdw__socket_of(file) : NULL;

    *err = !file ? -EBADF : !socket ? -ENOTSOCK : 0;
    return socket;
}

/* An address, less its family, which is hashed by value, and any padding. */
static uint64_t hash_address(const struct sockaddr *address, socklen_t bytes)
{
    if (!address || bytes < sizeof(address->sa_family) || bytes > sizeof(struct sockaddr_storage))
        return bytes;
    return tdw__mix(XXH3_64bits((const char *)address + sizeof(address->sa_family),
                                bytes - sizeof(address->sa_family)),
                    address->sa_family);
}

int tdw__sim_sys_socket(int domain, int type, int protocol)
{
    const int fd = tdw__socket_open(tdw__process(), NULL, domain, type, protocol);

    return tdw__sys_event(TDW_SYS_SOCKET, domain, (uint64_t)type, (uint64_t)protocol, 0, fd);
}

int tdw__sim_sys_socketpair(int domain, int type, int protocol, int fds[2])
{
    int made[2] = {-1, -1};
    const int res = tdw__socket_pair(tdw__process(), domain, type, protocol, made);

    if (res == 0) {
        fds[0] = made[0];
        fds[1] = made[1];
    }
    return tdw__sys_event(TDW_SYS_SOCKETPAIR, made[0], (uint64_t)type, (uint64_t)made[1], 0, res);
}

int tdw__sim_sys_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket && (int)bytes < 0)
        res = -EINVAL;
    else if (socket)
        res = address ? socket->protocol->bind(socket, address, bytes) : -EFAULT;
    return tdw__sys_event(TDW_SYS_BIND, fd, 0, bytes, hash_address(address, bytes), res);
}

int tdw__sim_sys_listen(int fd, int backlog)
{
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket)
        res = socket->protocol->listen ? socket->protocol->listen(socket, backlog) : -EOPNOTSUPP;
    return tdw__sys_event(TDW_SYS_LISTEN, fd, (uint64_t)backlog, 0, 0, res);
}

int tdw__sim_sys_shutdown(int fd, int how)
{
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket)
        res = how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : socket->protocol->shutdown(socket, how);
    return tdw__sys_event(TDW_SYS_SHUTDOWN, fd, (uint64_t)how, 0, 0, res);
}

int tdw__sim_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
    const uint64_t data = value && (int)bytes > 0 && bytes <= 256 ? XXH3_64bits(value, bytes) : 0;
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket)
        res = tdw__option_set(socket, level, name, value, bytes);
    return tdw__sys_event(TDW_SYS_SETSOCKOPT, fd, (uint64_t)level << 32 | (uint32_t)name, bytes,
                          data, res);
}

int tdw__sim_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket)
        res = tdw__option_get(socket, level, name, value, bytes);
    return tdw__sys_event(TDW_SYS_GETSOCKOPT, fd, (uint64_t)level << 32 | (uint32_t)name, 0, 0,
                          res);
}

static int name_of(uint8_t call, int fd, struct sockaddr *address, socklen_t *bytes)
{
    struct sockaddr_storage name;
    int res;
    struct tdw_socket *socket = socket_at(fd, &res);

    if (socket && (!address || !bytes))
        res = -EFAULT;
    else if (socket && (int)*bytes < 0)
        res = -EINVAL;
    else if (socket)
        res = socket->protocol->name_of(socket, call == TDW_SYS_GETPEERNAME, &name);
    if (res > 0) {
        const socklen_t length = (socklen_t)res;

        tdw__address_out(&name, length, address, bytes);
        tdw__sys_event(call, fd, 0, length, hash_address((const void *)&name, length), 0);
        return 0;
    }
    return tdw__sys_event(call, fd, 0, 0, 0, res);
}

int tdw__sim_sys_getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return name_of(TDW_SYS_GETSOCKNAME, fd, address, bytes);
}

int tdw__sim_sys_getpeername(int fd, struct sockaddr *address, socklen_t *bytes)
{
    return name_of(TDW_SYS_GETPEERNAME, fd, address, bytes);
}

/* ── ioctl ─────────────────────────────────────────────────────────────────────────────────── */

static int readable_bytes(const struct tdw_file *file)
{
    const struct tdw_socket *socket = tdw__socket_of(file);

    if (!socket)
        return file->kind->readable_bytes ? file->kind->readable_bytes(file) : -ENOTTY;
    if (socket->state == TDW_TCP_LISTEN)
        return -EINVAL;
    return (int)(socket->type != SOCK_DGRAM || !socket->received.head
                     ? socket->received_bytes
                     : socket->received.head->bytes);
}

static int do_ioctl(struct tdw_file *file, unsigned long request, void *arg)
{
    struct tdw_socket *socket;
    int number = 0;

    if (!arg)
        return -EFAULT;
    socket = tdw__socket_of(file);
    switch (request) {
    case FIONBIO:
        memcpy(&number, arg, sizeof(number));
        return tdw__fd_setfl(file, number ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK);
    case FIOASYNC:
        return 0;
    case FIONREAD:
        if (file->inode && S_ISREG(file->inode->now.mode)) { /* behind the end it is less than 0 */
            number = (int)(int64_t)(file->inode->now.size - file->pos);
            memcpy(arg, &number, sizeof(number));
            return 0;
        }
        number = readable_bytes(file);
        break;
    case SIOCOUTQ:
        if (!socket)
            return -ENOTTY;
        number = socket->state == TDW_TCP_LISTEN ? -EINVAL
                 : socket->protocol->unsent      ? (int)socket->protocol->unsent(socket)
                                                 : 0;
        break;
    case SIOCATMARK:
        number = socket && socket->protocol->stream ? 0 : -ENOTTY;
        break;
    default:
        return -ENOTTY;
    }
    if (number < 0)
        return number;
    memcpy(arg, &number, sizeof(number));
    return 0;
}

int tdw__sim_sys_ioctl(int fd, unsigned long request, void *arg)
{
    struct tdw_file *file = tdw__fd(tdw__process()->files, fd);
    const int res = file ? do_ioctl(file, request, arg) : -EBADF;
    int number = 0;

    if (res == 0)
        memcpy(&number, arg, sizeof(number));
    return tdw__sys_event(TDW_SYS_IOCTL, fd, request, 0, (uint64_t)number, res);
}
