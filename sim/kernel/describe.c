/* SPDX-License-Identifier: MIT */
/*
 * What an op is about, in words: the kind of its open file, a path that leads there, and the host
 * at the other end. For plans that say "reads of *.wal" or "sends to replica2".
 *
 * Nothing is remembered for it: a path is found by a walk through all names of the disk, so only
 * rules that ask pay. Called by the gate, before the op starts, and at the points of damage.c.
 */
#include <sim/kernel/net/net.h>
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *tdw__file_path(const void *object, char *to, size_t bytes)
{
    const struct tdw_file *file = object;
    const struct tdw_disk *disk = file->disk;

    *to = '\0';
    for (uint32_t i = 0; i <= disk->bucket_mask; i++)
        for (const struct tdw_name *name = disk->buckets[i]; name; name = name->hash_next) {
            int length;

            if (name->now != file->inode)
                continue;
            length = tdw__names_path(name->dir, disk->root, to, bytes);
            if (length > 0 && (size_t)length + name->bytes < bytes)
                snprintf(to + length - 1, bytes - (size_t)length + 1, "%s%s", length > 2 ? "/" : "",
                         name->text);
            return to;
        }
    return to;
}

bool tdw__sim_moves_whole(const struct tdw_op *op)
{
    const struct tdw_process *process = tdw_of(op->task->ring, struct tdw_process, ring);
    const struct tdw_file *file = tdw__op_file(process, op);

    return file && (tdw__socket_moves_whole(file) || file->flags & O_DIRECT ||
                    file->kind == &tdw__kind_dir || strcmp(file->kind->name, "eventfd") == 0 ||
                    strcmp(file->kind->name, "timerfd") == 0);
}

static const char *kind_of(const struct tdw_file *file)
{
    if (file->kind != &tdw__kind_socket)
        return file->kind->name;
    if (file->socket->protocol == &tdw__tcp)
        return "tcp";
    return file->socket->protocol == &tdw__udp ? "udp" : "unix";
}

static void name_peer(const struct tdw_socket *socket, const struct io_uring_sqe *sqe,
                      struct tdw_described *to)
{
    struct tdw_address address = socket->peer;
    const struct tdw_host *host;
    socklen_t bytes = 0;
    const struct sockaddr *named = tdw__op_peer(sqe, &bytes);

    if (socket->domain == AF_UNIX || (named && tdw__inet_parse(socket, named, bytes, &address)) ||
        address.port == 0)
        return;
    host = tdw__host_of(socket->host, &address.ip);
    if (host)
        snprintf(to->peer, sizeof to->peer, "%s", host->name);
    else if (!tdw__is_ipv4(&address.ip))
        inet_ntop(AF_INET6, &address.ip, to->peer, sizeof to->peer);
    else
        inet_ntop(AF_INET, &address.ip.s6_addr[12], to->peer, sizeof to->peer);
}

void tdw__sim_describe(const struct tdw_op *op, struct tdw_described *to)
{
    const struct tdw_process *process = tdw_of(op->task->ring, struct tdw_process, ring);
    const struct tdw_file *file = tdw__op_file(process, op);

    if (!file)
        return;
    to->kind = kind_of(file);
    if (file->inode)
        tdw__file_path(file, to->path, sizeof to->path);
    if (file->kind == &tdw__kind_socket)
        name_peer(file->socket, &op->sqe, to);
}
