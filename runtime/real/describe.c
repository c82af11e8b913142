/* SPDX-License-Identifier: MIT */
/*
 * What an op is about on the real kernel (gate.h): fstat, the link of its descriptor in /proc, and
 * the address at the other end. What is on a host's own directory has its path from there.
 */
#include <runtime/real/real.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *socket_kind(int fd)
{
    int domain = 0, type = 0;
    socklen_t bytes = sizeof domain;

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes);
    bytes = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
    if (domain == AF_UNIX)
        return "unix";
    if (domain != AF_INET && domain != AF_INET6)
        return "socket";
    return type == SOCK_STREAM ? "tcp" : type == SOCK_DGRAM ? "udp" : "socket";
}

/* By what the kernel calls it: anon_inode:[eventfd]. */
static const char *anonymous_kind(const char *link)
{
    static const char *const kinds[][2] = {
        {"anon_inode:[eventfd]", "eventfd"},
        {"anon_inode:[timerfd]", "timerfd"},
        {"anon_inode:[eventpoll]", "epoll"},
        {"anon_inode:[io_uring]", "io_uring"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(link, kinds[i][0]) == 0)
            return kinds[i][1];
    return "other";
}

static const char *kind_of(int fd, uint32_t mode, const char *link)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFCHR:
    case S_IFBLK:
        return "device";
    case S_IFIFO:
        return "pipe";
    case S_IFSOCK:
        return socket_kind(fd);
    default:
        return anonymous_kind(link);
    }
}

/* From the host's directory, if it lies there. */
static void keep_path(const struct tdw_host *host, const char *link, struct tdw_described *to)
{
    const size_t home = strlen(host->home);
    const bool inside = home > 0 && strncmp(link, host->home, home) == 0 && link[home] == '/';

    if (*link == '/')
        snprintf(to->path, sizeof to->path, "%s", inside ? link + home : link);
}

static void name_peer(struct tdw_real *real, const struct sockaddr *address, char to[128])
{
    const struct sockaddr_in *ipv4 = (const void *)address;
    const struct sockaddr_in6 *ipv6 = (const void *)address;

    if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &ipv6->sin6_addr, to, 128);
    if (address->sa_family != AF_INET)
        return;
    for (const struct tdw_host *host = real->hosts; host; host = host->next)
        if (tdw__real_host_ipv4(host).s_addr == ipv4->sin_addr.s_addr) {
            snprintf(to, 128, "%s", host->name);
            return;
        }
    inet_ntop(AF_INET, &ipv4->sin_addr, to, 128);
}

void tdw__real_describe(const struct tdw_op *op, struct tdw_described *to)
{
    struct tdw_ring *ring = op->task->ring;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = 0;
    const struct sockaddr *named = tdw__op_peer(&op->sqe, &bytes);
    char proc[32], link[sizeof to->path] = "";
    struct stat about;

    /* A registered file has no number that one could ask about. */
    if (op->sqe.flags & IOSQE_FIXED_FILE || fstat(op->sqe.fd, &about) < 0)
        return;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", op->sqe.fd);
    if (readlink(proc, link, sizeof link - 1) < 0)
        link[0] = '\0';
    to->kind = kind_of(op->sqe.fd, about.st_mode, link);
    keep_path(tdw__host_of(ring), link, to);
    if (!S_ISSOCK(about.st_mode))
        return;
    if (named && bytes >= sizeof(sa_family_t) && bytes <= sizeof address) {
        memcpy(&address, named, bytes);
    } else {
        bytes = sizeof address;
        getpeername(op->sqe.fd, (struct sockaddr *)&address, &bytes);
    }
    name_peer(tdw__real(ring->loop), (const struct sockaddr *)&address, to->peer);
}
