/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets, what unix.c (connections, messages) and unix_name.c (names) share.
 *
 * Everything that one socket has to find when something happens to it stands in a list of its own:
 * who has it as peer, who waits for room in its queue, who wants to connect to it. There may be
 * thousands of sockets, and none of this walks along all of them.
 */
#ifndef TDW_UNIX_H
#define TDW_UNIX_H

#include <sim/kernel/net/net.h>

enum { TDW_UNIX_PATH_AT = offsetof(struct sockaddr_un, sun_path) };

struct tdw_unix {
    struct tdw_socket *socket;
    struct tdw_node of_host;
    struct tdw_socket *peer;
    struct tdw_node followers, follows; /* whose peer it is; among those of its peer */
    /* Who waits for room here, newest first; itself, in such a list of another, or of the host. */
    struct tdw_node waiters, waits;
    struct tdw_socket *waits_for; /* the other one; NULL: several */
    struct tdw_socket *wanted; /* connecting, among the waiters of this listener, which is full */
    bool waited;               /* somebody waits since it was last told of room */
    struct tdw_hashed hashed;  /* its name or inode, if it is bound */
    struct tdw_inode *inode;   /* bound to a path: pinned */
    struct sockaddr_un name, peer_name;
    socklen_t name_bytes, peer_name_bytes; /* 0: none */
    bool bound;                            /* by its own name; who was accepted only shows it */
    struct ucred cred, peer_cred;
};

static inline struct tdw_unix *tdw__unix_of(const struct tdw_socket *socket)
{
    return socket->unix_;
}

/* Is it a unix address? Its length as it is kept: a path's ends with its NUL. */
int tdw__unix_parse(const struct sockaddr *address, socklen_t bytes, struct sockaddr_un *name);
/* The bound socket of that name and of the type of `socket`. */
int tdw__unix_find(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes,
                   struct tdw_socket **found);
int tdw__unix_bind(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes);
/* Who asks for credentials gets a name when it connects or sends messages: 0, -ENOMEM. */
int tdw__unix_name_if_passing(struct tdw_socket *socket);
/* The socket goes: its name is free. */
void tdw__unix_unbind(struct tdw_socket *socket);
int tdw__unix_name_of(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address);

#endif
