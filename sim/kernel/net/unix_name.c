/* SPDX-License-Identifier: MIT */
/*
 * Names of unix sockets: paths and abstract names.
 *
 * A bound path is an inode; an abstract name belongs to the host, and each type of sockets has
 * names of its own. Either is an entry of the host's table, by a hash of the name or of the
 * inode's number. A socket that was accepted shows its listener's name and is not found by it.
 *
 * Called by unix.c and, through the protocol, by the rows.
 */
#define XXH_INLINE_ALL
#include <sim/kernel/net/unix.h>
#include <stdio.h>
#include <xxhash.h>

int tdw__unix_parse(const struct sockaddr *address, socklen_t bytes, struct sockaddr_un *name)
{
    const struct sockaddr_un *given = (const void *)address;
    size_t path;

    if (bytes <= TDW_UNIX_PATH_AT || bytes > sizeof(*given) || given->sun_family != AF_UNIX)
        return -EINVAL;
    memset(name, 0, sizeof(*name));
    memcpy(name, given, bytes);
    if (name->sun_path[0] == '\0')
        return (int)bytes;
    path = strnlen(name->sun_path, bytes - TDW_UNIX_PATH_AT);
    return (int)(TDW_UNIX_PATH_AT + path + 1);
}

static bool is_abstract(const struct sockaddr_un *name)
{
    return name->sun_path[0] == '\0';
}

/* ── Finding ───────────────────────────────────────────────────────────────────────────────── */

static uint64_t abstract_key(int type, const struct sockaddr_un *name, socklen_t bytes)
{
    return XXH3_64bits_withSeed(name, bytes, (uint64_t)type);
}

static uint64_t inode_key(const struct tdw_inode *inode)
{
    return tdw__mix(inode->number, TDW_K3);
}

static struct tdw_socket *find_abstract(const struct tdw_host *host, int type,
                                        const struct sockaddr_un *name, socklen_t bytes)
{
    const uint64_t key = abstract_key(type, name, bytes);

    for (struct tdw_hashed *entry = tdw__table_chain(&host->net->names, key); entry;
         entry = entry->next) {
        const struct tdw_unix *other = tdw_of(entry, struct tdw_unix, hashed);

        if (entry->key == key && !other->inode && other->socket->type == type &&
            other->name_bytes == bytes && memcmp(&other->name, name, bytes) == 0)
            return other->socket;
    }
    return NULL;
}

static struct tdw_socket *find_inode(const struct tdw_host *host, const struct tdw_inode *inode)
{
    for (struct tdw_hashed *entry = tdw__table_chain(&host->net->names, inode_key(inode)); entry;
         entry = entry->next)
        if (tdw_of(entry, struct tdw_unix, hashed)->inode == inode)
            return tdw_of(entry, struct tdw_unix, hashed)->socket;
    return NULL;
}

int tdw__unix_find(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes,
                   struct tdw_socket **found)
{
    /* A path may fill sun_path, without a NUL. */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = {0};
    struct sockaddr_un name;
    struct tdw_walk walk;
    const int length = tdw__unix_parse(address, bytes, &name);
    int err;

    if (length < 0)
        return length;
    if (is_abstract(&name)) {
        *found = find_abstract(socket->host, socket->type, &name, (socklen_t)length);
    } else {
        memcpy(path, name.sun_path, sizeof(name.sun_path));
        err = tdw__walk_existing(tdw__process()->files, AT_FDCWD, path, TDW_WALK_FOLLOW, &walk);
        if (err)
            return err;
        *found = S_ISSOCK(walk.inode->now.mode) ? find_inode(socket->host, walk.inode) : NULL;
    }
    if (!*found)
        return -ECONNREFUSED;
    return (*found)->type == socket->type ? 0 : -EPROTOTYPE;
}

/* ── Binding ───────────────────────────────────────────────────────────────────────────────── */

static int make_room(struct tdw_socket *socket)
{
    return tdw__table_room(tdw__socket_loop(socket), &socket->host->net->names);
}

/* There is room for it. */
static void take_name(struct tdw_socket *socket, const struct sockaddr_un *name, socklen_t bytes)
{
    struct tdw_unix *own = tdw__unix_of(socket);

    own->name = *name;
    own->name_bytes = bytes;
    own->bound = true;
    tdw__table_put(&socket->host->net->names, &own->hashed,
                   own->inode ? inode_key(own->inode) : abstract_key(socket->type, name, bytes));
}

/* An abstract name that nobody has: a NUL and five digits. */
static int autobind(struct tdw_socket *socket)
{
    struct sockaddr_un name;
    char digits[8];
    const int err = make_room(socket);

    if (err)
        return err;
    do {
        name = (struct sockaddr_un){.sun_family = AF_UNIX};
        snprintf(digits, sizeof digits, "%05x", socket->host->net->autobound++ & 0xfffff);
        memcpy(name.sun_path + 1, digits, 5);
    } while (find_abstract(socket->host, socket->type, &name, TDW_UNIX_PATH_AT + 6));
    take_name(socket, &name, TDW_UNIX_PATH_AT + 6);
    return 0;
}

int tdw__unix_name_if_passing(struct tdw_socket *socket)
{
    return socket->options.pass_cred && tdw__unix_of(socket)->name_bytes == 0 ? autobind(socket)
                                                                              : 0;
}

static int make_path(struct tdw_socket *socket, const struct sockaddr_un *name)
{
    char path[sizeof(name->sun_path) + 1] = {0};
    struct tdw_inode *inode;
    int err;

    memcpy(path, name->sun_path, sizeof(name->sun_path));
    err = tdw__make_node(tdw__process(), path, S_IFSOCK | 0777, &inode);
    if (err)
        return err == -EEXIST ? -EADDRINUSE : err;
    tdw__pin(inode);
    tdw__unix_of(socket)->inode = inode;
    return 0;
}

int tdw__unix_bind(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes)
{
    const struct tdw_unix *own = tdw__unix_of(socket);
    struct sockaddr_un name;
    int length, err;

    if (bytes == TDW_UNIX_PATH_AT && address->sa_family == AF_UNIX)
        return own->name_bytes == 0 ? autobind(socket) : 0;
    length = tdw__unix_parse(address, bytes, &name);
    if (length < 0)
        return length;
    if (own->name_bytes)
        return -EINVAL;
    err = make_room(socket);
    if (!err && !is_abstract(&name))
        err = make_path(socket, &name);
    else if (!err && find_abstract(socket->host, socket->type, &name, (socklen_t)length))
        err = -EADDRINUSE;
    if (!err)
        take_name(socket, &name, (socklen_t)length);
    return err;
}

void tdw__unix_unbind(struct tdw_socket *socket)
{
    struct tdw_unix *own = tdw__unix_of(socket);

    if (own->bound)
        tdw__table_take(&socket->host->net->names, &own->hashed);
    if (own->inode)
        tdw__unpin(own->inode);
}

int tdw__unix_name_of(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address)
{
    const struct tdw_unix *own = tdw__unix_of(socket);
    const struct tdw_unix *from = !peer ? own : own->peer ? tdw__unix_of(own->peer) : NULL;
    const struct sockaddr_un none = {.sun_family = AF_UNIX};
    const socklen_t bytes = from ? from->name_bytes : own->peer_name_bytes;

    if (!from && socket->state != TDW_TCP_ESTABLISHED)
        return -ENOTCONN;
    memcpy(address, bytes == 0 ? &none : from ? &from->name : &own->peer_name, sizeof(none));
    return bytes ? (int)bytes : TDW_UNIX_PATH_AT;
}
