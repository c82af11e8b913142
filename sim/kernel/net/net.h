/* SPDX-License-Identifier: MIT */
/*
 * The network of the simulated kernel: what the files of sim/kernel/net/ share.
 *
 *     op ─▶ socket.c (rows) ─▶ protocol ─▶ link.c ─▶ work at its due time ─▶ protocol ─▶ wake
 *            transfer.c          tcp.c udp.c unix.c
 *
 * A socket is an open file whose kind is tdw__kind_socket. What differs between families stands in
 * a `struct tdw_protocol`; the rows know no family. Nothing here waits: an op waits in one of the
 * socket's queues, and a protocol wakes the queue.
 *
 * A *flow* is what packets belong to: a TCP connection, or all that one UDP socket sends. Its actor
 * is named by the task that connected, or first sent, and a count there; so the keys of its choices
 * and its place in the digest are the same in the three models. Bytes travel in *segments*.
 *
 * Addresses are IPv6 throughout; an IPv4 address is its mapped form (::ffff:a.b.c.d).
 *
 * Lifetimes. A socket lives while its open file does, or, not accepted yet, while its listener
 * does. A connection lives while one of its ends is a socket, is lingering (bytes or a FIN to
 * deliver, TIME_WAIT), or a packet of it is on its way. All memory is the loop's pool; a host that
 * crashes forgets its sockets without a packet, and the world's reset frees what is left.
 */
#ifndef TDW_NET_H
#define TDW_NET_H

#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <sys/un.h>
#include <tidewheel/net.h>

enum {
    TDW_SEGMENT_BYTES = 4096 - 64, /* data of one segment: with its head a block of the pool */
    TDW_MSS = 1448,                /* Ethernet's 1500 less IP, TCP and timestamps */
    TDW_PACKET_BYTES_MAX =
        65536,             /* what is handed to a link at once, as with segmentation offload */
    TDW_HEADER_BYTES = 66, /* Ethernet, IP and TCP with timestamps */
    TDW_SOMAXCONN = 4096,
    TDW_PORT_FIRST = 32768, /* ip_local_port_range */
    TDW_PORT_LAST = 60999,
};

/* ── Segments: bytes with a head ───────────────────────────────────────────────────────────── */

enum tdw_segment_flags {
    TDW_SEG_SYN = 1,
    TDW_SEG_ACK = 2, /* the third step of a handshake, or a bare acknowledgement */
    TDW_SEG_FIN = 4,
    TDW_SEG_RST = 8,
    TDW_SEG_LAST = 16, /* the packet ends here */
    TDW_SEG_LOST = 32, /* on its way it was lost: at its due time it is sent again */
    TDW_SEG_EOR = 64,  /* a message ends here (datagrams, seqpacket) */
    TDW_SEG_TWIN = 128, /* of a datagram that arrives twice: the second */
};

struct tdw_segment {
    struct tdw_segment *next;
    uint64_t due_ns;
    union {
        struct {
            uint64_t seq;       /* place of its first byte in the stream */
            uint64_t ack, edge; /* what it tells: bytes that arrived here; may be sent to here */
        };
        struct ucred sender; /* unix */
    };
    uint32_t off, bytes;       /* what is left of the data: [off, off + bytes) */
    uint32_t room;             /* of data */
    uint16_t flags;            /* enum tdw_segment_flags */
    uint16_t name_bytes;       /* datagrams: the sender's address stands before the data, at 0 */
    struct tdw_passed *passed; /* unix: descriptors, or NULL */
    uint8_t data[];
};

struct tdw_segments {
    struct tdw_segment *head, *tail;
};

/* With room for `bytes`; NULL when memory is exhausted. */
struct tdw_segment *tdw__segment_new(struct tdw_loop *loop, size_t bytes);
void tdw__segment_free(struct tdw_loop *loop, struct tdw_segment *segment);
void tdw__segments_push(struct tdw_segments *list, struct tdw_segment *segment);
struct tdw_segment *tdw__segments_pop(struct tdw_segments *list);
void tdw__segments_free(struct tdw_loop *loop, struct tdw_segments *list);

/* ── Lists: circular, through a head that is a node too ────────────────────────────────────── */

struct tdw_node {
    struct tdw_node *next, *prev; /* itself: in no list, or an empty one */
};

static inline void tdw__node_init(struct tdw_node *node)
{
    node->next = node->prev = node;
}

static inline bool tdw__node_alone(const struct tdw_node *node)
{
    return node->next == node;
}

static inline void tdw__node_first(struct tdw_node *list, struct tdw_node *node)
{
    node->next = list->next;
    node->prev = list;
    node->next->prev = node;
    list->next = node;
}

static inline void tdw__node_out(struct tdw_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    tdw__node_init(node);
}

static inline void tdw__node_last(struct tdw_node *list, struct tdw_node *node)
{
    tdw__node_first(list->prev, node);
}

/* All of `list` goes to `to`, which is empty. */
static inline void tdw__node_all(struct tdw_node *list, struct tdw_node *to)
{
    if (tdw__node_alone(list))
        return;
    *to = *list;
    to->next->prev = to->prev->next = to;
    tdw__node_init(list);
}

/* ── Tables (table.c) ──────────────────────────────────────────────────────────────────────── */

/* An entry, inside of what it leads to. */
struct tdw_hashed {
    struct tdw_hashed *next; /* of its chain */
    uint64_t key;
};

struct tdw_table {
    struct tdw_hashed **chains;
    uint32_t chains_count, count;
};

/* The next put finds room: 0, -ENOMEM. */
int tdw__table_room(struct tdw_loop *loop, struct tdw_table *table);
/* The low bits of `key` should be spread. */
void tdw__table_put(struct tdw_table *table, struct tdw_hashed *entry, uint64_t key);
void tdw__table_take(struct tdw_table *table, struct tdw_hashed *entry);
/* The first of those among which entries with this key are; NULL: there are none. */
struct tdw_hashed *tdw__table_chain(const struct tdw_table *table, uint64_t key);
void tdw__table_free(struct tdw_loop *loop, struct tdw_table *table); /* it is empty */

/* ── Addresses, names, links (link.c) ──────────────────────────────────────────────────────── */

struct tdw_address {
    struct in6_addr ip;
    uint16_t port;
};

bool tdw__is_ipv4(const struct in6_addr *ip);  /* mapped */
bool tdw__is_any(const struct in6_addr *ip);   /* of either family */
bool tdw__is_local(const struct in6_addr *ip); /* 127.0.0.0/8, ::1 */
static inline bool tdw__same_ip(const struct in6_addr *a, const struct in6_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The host with that name, or NULL. */
struct tdw_host *tdw__host_named(const struct tdw_world *world, const char *name);
/* The host that `ip` belongs to, seen from `from`; NULL: nobody's. */
struct tdw_host *tdw__host_of(struct tdw_host *from, const struct in6_addr *ip);
/* Is there a route from `host` to `ip` at all? */
bool tdw__routed(const struct tdw_host *host, const struct in6_addr *ip);
/* The address that `host` sends from to reach `ip`. */
struct in6_addr tdw__source_ip(const struct tdw_host *host, const struct in6_addr *ip);
bool tdw__host_has(const struct tdw_host *host, const struct in6_addr *ip);

/* One way from a host to another: its properties, and until when it is busy. */
struct tdw_way {
    struct tdw_link link;
    uint64_t busy_until_ns;
    struct tdw_host *from, *to;
    bool own;     /* set by itself: the default does not reach it */
    uint32_t cut; /* by so many faults: nothing passes */
};
/* NULL when memory is exhausted. */
struct tdw_way *tdw__way(struct tdw_host *from, struct tdw_host *to);
/* When does a packet of `bytes`, handed over now, arrive? TDW_NEVER: it is lost. `actor` and
 * `ordinal` key the choice of its jitter. */
uint64_t tdw__way_send(struct tdw_way *way, uint64_t bytes, uint64_t actor, uint32_t ordinal);
/* Does a plan hit what passes there? */
bool tdw__way_hit(const struct tdw_way *way, enum tdw_kernel_point point, uint64_t bytes,
                  uint64_t actor, uint32_t ordinal, uint32_t bound, struct tdw_blow *blow);
static inline bool tdw__way_down(const struct tdw_way *way)
{
    return way->link.down || way->cut > 0;
}

/* What a world has of the network. Tables are open hashes. */
struct tdw_net {
    struct tdw_link link; /* of ways that were not set by themselves, between hosts */
    struct {
        struct in6_addr ip;
        struct tdw_host *host;
    } * addresses;
    struct tdw_way **ways;
    struct tdw_table names; /* of hosts */
    uint32_t addresses_count, addresses_max, ways_count, ways_max;
    uint32_t hosts;                     /* numbered so far */
    struct tdw_connection *connections; /* all of them */
    struct tdw_datagram *datagrams;     /* on their way */
};

/* What a host has of it. */
struct tdw_net_host {
    struct in6_addr ipv4, ipv6;
    struct tdw_table ports;           /* that are taken, by number */
    struct tdw_table names;           /* of unix sockets */
    struct tdw_host_name *host_names; /* its own */
    struct tdw_end *ends;             /* of connections */
    struct tdw_node locals;           /* unix sockets, newest first */
    struct tdw_node waiting;          /* of them: those that wait for room at several others */
    uint32_t number;
    uint16_t port_next[2]; /* where the search for a free port goes on: streams, datagrams */
    uint32_t autobound;    /* abstract unix names given out */
};

/* For world.c and host.c. A world's network; a host's part of it, with its addresses. */
int tdw__net_init(struct tdw_world *world);
void tdw__flows_free(struct tdw_world *world); /* before the hosts go */
void tdw__net_reset(struct tdw_world *world);  /* no host is left; nothing is on its way */
void tdw__net_fini(struct tdw_world *world);
int tdw__net_host_init(struct tdw_host *host);
/* The power went: sockets and connections are forgotten, and nobody is told. */
void tdw__net_host_down(struct tdw_host *host);
void tdw__net_host_fini(struct tdw_host *host);

/* ── Ports (port.c) ────────────────────────────────────────────────────────────────────────── */

/* An address that is taken: by a socket, or by what is left of its connection. */
struct tdw_port {
    struct tdw_node node; /* in a list of its number, oldest first */
    struct tdw_port_number *number;
    struct tdw_host *host;
    struct tdw_socket *socket; /* NULL: a connection in TIME_WAIT, or one that nobody holds */
    struct tdw_address address;
    bool datagram, reuse_addr, reuse_port, listens, v6only;
};

/* 0: *port is the socket's from now on; -EADDRINUSE, -ENOMEM. Number 0: any that is free. */
int tdw__port_take(struct tdw_socket *socket, struct tdw_address address, struct tdw_port **port);
/* Another socket's record of the same address: of an accepted connection. */
struct tdw_port *tdw__port_share(const struct tdw_port *port, struct tdw_socket *socket);
void tdw__port_give(struct tdw_port *port);
/* The port that a socket was given goes back, and it may be bound again. */
void tdw__port_leave(struct tdw_socket *socket);
/* May the socket that holds `port` listen there? */
bool tdw__port_may_listen(const struct tdw_port *port);
/* Who listens at `to`, or receives datagrams there that come from `from`; NULL: nobody. Among
 * several that share the port a choice decides, keyed by `actor`. */
struct tdw_socket *tdw__port_find(struct tdw_host *host, bool datagram,
                                  const struct tdw_address *to, const struct tdw_address *from,
                                  uint64_t actor);

/* ── Sockets (socket.c) ────────────────────────────────────────────────────────────────────── */

struct tdw_socket_options {
    uint32_t send_bytes, receive_bytes; /* SO_SNDBUF, SO_RCVBUF as they are answered */
    uint32_t low_water;
    int32_t linger_s; /* -1: off */
    int32_t keep_idle_s, keep_interval_s, keep_count;
    uint32_t user_timeout_ms;
    int32_t priority, mark, tos, busy_poll, max_seg;
    struct timeval receive_timeout, send_timeout;
    bool reuse_addr, reuse_port, keep_alive, broadcast, v6only, no_delay, cork, quick_ack,
        pass_cred, timestamp, defer_accept, fastopen, oob_inline, dont_route, recv_pktinfo,
        recv_err, set_send_bytes, set_receive_bytes;
};

/* What a program made of a stream's socket, whatever has become of the connection since. */
enum tdw_tried {
    TDW_UNCONNECTED,
    TDW_CONNECTING, /* a connect is under way, or its end was not told yet, or it failed */
    TDW_CONNECTED,
    TDW_DISCONNECTING, /* shut down before it was connected */
};

enum tdw_shut { TDW_SHUT_READ = 1, TDW_SHUT_WRITE = 2, TDW_SHUT_BOTH = 3 };

/* What every send touches is in the first cache line, what every receive does in the next two. */
struct tdw_socket {
    const struct tdw_protocol *protocol;
    struct tdw_host *host;
    struct tdw_end *end;    /* TCP: of its connection, or NULL */
    struct tdw_unix *unix_; /* unix sockets */
    int error;              /* SO_ERROR: told once */
    uint8_t shut;           /* enum tdw_shut */
    uint8_t tried;          /* enum tdw_tried */
    uint8_t state;          /* enum tdw_tcp_state; unix sockets: CLOSED, LISTEN, ESTABLISHED */
    bool ended;             /* TCP: the peer sent its FIN */
    struct tdw_waitq writers;
    struct tdw_waitq readers;
    struct tdw_waitq changed; /* polls */
    struct tdw_segments received;
    uint64_t received_bytes; /* of data in `received` */
    struct tdw_socket_options options;
    struct tdw_file *file; /* NULL: not accepted yet */
    int domain, type;
    struct tdw_port *port;
    bool port_wanted;    /* bound to this number by the program; else it goes with the connection */
    bool address_wanted; /* the same of its address; or its listener was */
    bool by_ipv4;        /* TCP: has tried an IPv4 peer */
    bool peered;         /* UDP: is connected, if only to port 0 */
    struct tdw_address local, peer;
    struct tdw_flow *flow; /* datagrams: what it sends, or NULL */

    /* A listener: who waits to be accepted, oldest first. */
    struct tdw_socket *accept_next, *accept_head, *accept_tail;
    uint32_t accept_count, backlog;
    uint32_t messages; /* datagrams that wait in `received` */
};
_Static_assert(offsetof(struct tdw_socket, readers) == 64, "a send touches one line of its socket");

/* One send or receive. */
struct tdw_msg {
    struct tdw_io io;
    struct tdw_process *process;
    int flags; /* MSG_… */
    /* Of a send: so many bytes. Of a receive: so much room, and the bytes that there were. */
    struct sockaddr *name;
    void *control;
    socklen_t name_room, name_bytes;
    size_t control_room, control_bytes;
    int flags_out;
};

/* What one asks for, as far as it decides whether it has to wait. */
struct tdw_want {
    size_t bytes;
    const struct sockaddr *name; /* where it goes; NULL */
    socklen_t name_bytes;
    bool urgent; /* data, which there never is: TCP and unix sockets do not wait for it */
};

/* A family and type of sockets. What a protocol has no function for, it does not support. */
struct tdw_protocol {
    const char *name;
    bool stream; /* bytes without boundaries: MSG_WAITALL and short counts */
    int (*open)(struct tdw_socket *socket); /* 0, -ENOMEM */
    int (*bind)(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes);
    int (*listen)(struct tdw_socket *socket, int backlog);
    /* Begin: 0, -errno, or -EINPROGRESS: `connected` answers when `writers` are woken. */
    int (*connect)(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes);
    int (*connected)(struct tdw_socket *socket); /* -EINPROGRESS: not yet */
    /* The oldest that waits; -EAGAIN. */
    int (*accept)(struct tdw_socket *socket, struct tdw_socket **child);
    /* Bytes, or -errno; -EAGAIN: it would have to wait. */
    int64_t (*send)(struct tdw_socket *socket, struct tdw_msg *msg);
    int64_t (*receive)(struct tdw_socket *socket, struct tdw_msg *msg);
    /* Would they? */
    bool (*send_waits)(struct tdw_socket *socket, const struct tdw_want *want);
    bool (*receive_waits)(struct tdw_socket *socket, const struct tdw_want *want);
    int (*shutdown)(struct tdw_socket *socket, int how);
    uint32_t (*ready)(struct tdw_socket *socket);
    /* The bound address, or the peer's: its length, or -errno. */
    int (*name_of)(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address);
    void (*options_changed)(struct tdw_socket *socket);
    uint64_t (*unsent)(struct tdw_socket *socket); /* SIOCOUTQ */
    void (*release)(struct tdw_socket *socket);    /* nobody holds it any more */
};

extern const struct tdw_protocol tdw__tcp, tdw__udp, tdw__unix_stream, tdw__unix_dgram,
    tdw__unix_seqpacket;
extern const struct tdw_file_kind tdw__kind_socket;
/* Does it keep the boundaries of messages? */
bool tdw__socket_moves_whole(const struct tdw_file *file);

/* A socket without an open file; NULL when memory is exhausted. */
struct tdw_socket *tdw__socket_new(struct tdw_host *host, const struct tdw_protocol *protocol,
                                   int domain, int type);
/* Its memory, and what it received; the protocol has let go of it. */
void tdw__socket_free(struct tdw_socket *socket);
/* Make it an open file of `process`: with the lowest descriptor, or where `op` (may be NULL) wants
 * it. `flags`: SOCK_CLOEXEC, SOCK_NONBLOCK. What row and call answer; on a refusal the socket is
 * released. */
int tdw__socket_install(struct tdw_process *process, const struct tdw_op *op,
                        struct tdw_socket *socket, int flags);
/* The socket of `file`, or NULL. */
static inline struct tdw_socket *tdw__socket_of(const struct tdw_file *file)
{
    return file->kind == &tdw__kind_socket ? file->socket : NULL;
}
/* sim/kernel/net/socket.c: what SOCKET and its like do, for the ops and for sys.c. */
int tdw__socket_open(struct tdw_process *process, const struct tdw_op *op, int domain, int type,
                     int protocol);
int tdw__socket_pair(struct tdw_process *process, int domain, int type, int protocol, int fds[2]);

static inline struct tdw_loop *tdw__socket_loop(const struct tdw_socket *socket)
{
    return &socket->host->world->loop;
}
/* SO_ERROR: the pending error as -errno, which is told once; 0. */
int tdw__socket_error(struct tdw_socket *socket);
/* Wake whoever reads, writes and polls, for these events. */
void tdw__socket_wake(struct tdw_socket *socket, uint32_t events);
/* A listener gets somebody to accept. */
void tdw__accept_push(struct tdw_socket *listener, struct tdw_socket *child);
struct tdw_socket *tdw__accept_pop(struct tdw_socket *listener);

/* A row's start that finds a socket: as tdw__start_fd, or -ENOTSOCK. */
int tdw__start_socket(struct tdw_process *process, struct tdw_op *op, void **object);
/* An address for a program that left room for it: cut, and its full length. */
void tdw__address_out(const struct sockaddr_storage *from, socklen_t bytes, struct sockaddr *to,
                      socklen_t *to_bytes);

/* The open files that a unix socket passes along with bytes (passed.c). */
struct tdw_passed {
    uint32_t files_count;
    struct tdw_file *files[253]; /* SCM_MAX_FD */
};
/* Nobody wanted to know who a sender is when it sent. */
#define TDW_SENDER_UNKNOWN ((struct ucred){0, 65534, 65534})
void tdw__passed_free(struct tdw_loop *loop, struct tdw_passed *passed);
/* The control bytes of a send: 0, *passed (may be NULL), and *sender if it claims to be somebody;
 * or -errno. */
int tdw__passed_take(struct tdw_socket *socket, const struct tdw_msg *msg,
                     struct tdw_passed **passed, struct ucred *sender);
/* Hand over who sent, if the socket asks for it, then a segment's files, as the control bytes of a
 * receive. */
void tdw__sender_give(const struct tdw_socket *socket, const struct ucred *sender,
                      struct tdw_msg *msg);
void tdw__passed_give(struct tdw_socket *socket, struct tdw_segment *segment, struct tdw_msg *msg);

/* What was received is taken by a program: bytes of a stream; one message, of which the rest is
 * lost. Returns the bytes copied; with MSG_PEEK nothing is taken. (receive.c) */
int64_t tdw__receive_stream(struct tdw_socket *socket, struct tdw_msg *msg);
/* RECV and RECVMSG into a buffer that is picked now, once or again and again (selected.c). */
int32_t tdw__receive_selected(struct tdw_process *process, struct tdw_op *op,
                              struct tdw_socket *socket);
int64_t tdw__receive_message(struct tdw_socket *socket, struct tdw_msg *msg);

/* IP addresses as programs write them (inet.c). */
struct in6_addr tdw__inet_any(int domain);
int tdw__inet_parse(const struct tdw_socket *socket, const struct sockaddr *address,
                    socklen_t bytes, struct tdw_address *to);
/* Can the socket have the peer `ip`? 0, -ENETUNREACH, -EAFNOSUPPORT. Any address becomes ours. */
int tdw__inet_reach(const struct tdw_socket *socket, struct in6_addr *ip);
/* The control bytes of a send, which say nothing that matters here: 0, -EINVAL. */
int tdw__inet_control(const struct tdw_msg *msg, bool datagram);
socklen_t tdw__inet_format(int domain, const struct tdw_address *from, struct sockaddr_storage *to);
int tdw__inet_bind(struct tdw_socket *socket, const struct sockaddr *address, socklen_t bytes);
int tdw__inet_autobind(struct tdw_socket *socket, const struct in6_addr *to);
/* A connection is over: the port and the address that it was given go with it. */
void tdw__inet_unbind(struct tdw_socket *socket);
int tdw__inet_name(struct tdw_socket *socket, bool peer, struct sockaddr_storage *address);

/* ── Flows (flow.c) ────────────────────────────────────────────────────────────────────────── */

/* What one UDP socket sends. It outlives the socket while a datagram of it is on its way. */
struct tdw_flow {
    struct tdw_task actor;
    uint32_t refs, packets;
};
struct tdw_flow *tdw__flow_new(struct tdw_world *world);
void tdw__flow_put(struct tdw_flow *flow);

/* A packet arrived, or was lost (res -ETIMEDOUT …): an event. */
void tdw__packet_event(struct tdw_loop *loop, uint64_t actor, uint32_t ordinal, uint16_t flags,
                       uint64_t seq, uint64_t bytes, int32_t res);

/* udp.c: a datagram that will not arrive any more, since the world ends. */
void tdw__datagram_free(struct tdw_world *world, struct tdw_datagram *datagram);
/* unix.c: forget what the sockets of a host hold of others: it is down. */
void tdw__unix_purge(struct tdw_host *host);
/* The name and the credentials of a unix socket's peer: SO_PEERCRED. */
struct ucred tdw__unix_peer_cred(const struct tdw_socket *socket);
/* Two sockets that are connected to each other; 0, -ENOMEM. */
int tdw__unix_pair(struct tdw_host *host, int type, struct tdw_socket *pair[2]);

/* option.c: setsockopt, getsockopt. */
int tdw__option_set(struct tdw_socket *socket, int level, int name, const void *value,
                    socklen_t bytes);
int tdw__option_get(struct tdw_socket *socket, int level, int name, void *value, socklen_t *bytes);

/* ── TCP (tcp.c, tcp_out.c) ────────────────────────────────────────────────────────────────── */

enum tdw_tcp_state {
    TDW_TCP_CLOSED,
    TDW_TCP_LISTEN,
    TDW_TCP_SYN_SENT,
    TDW_TCP_SYN_RECEIVED,
    TDW_TCP_ESTABLISHED,
    TDW_TCP_FIN_WAIT,   /* our FIN is out, the peer's has not come */
    TDW_TCP_CLOSE_WAIT, /* the peer's FIN came, ours is not out */
    TDW_TCP_LAST_ACK,
    TDW_TCP_TIME_WAIT,
};

/* One direction of a connection, from `end` to the other one. What every send touches comes first,
 * in two cache lines. */
struct tdw_half {
    uint64_t written, sent, arrived, taken; /* bytes: by the program, to the link, at the other
                                               end, by the program there */
    uint64_t acked, edge;          /* what the sender knows: has arrived; may be sent up to */
    uint64_t arrived_ns, taken_ns; /* when these last changed */
    struct tdw_segments unsent;    /* the window, Nagle or the handshake holds it back */
    struct tdw_segments transit;   /* on its way, oldest first */
    uint64_t last_due_ns;          /* of the last packet of `transit`: none overtakes it */
    uint32_t packets, retries, probes;
    uint32_t send_bytes; /* SO_SNDBUF */
    bool fin_queued;     /* the program will write no more */
    bool fin_sent;
    bool no_delay, cork;
    bool corked;     /* TCP_CORK; `cork` is also MSG_MORE */
    bool wants_news; /* the sender waits for an acknowledgement or for space */
    bool news_sent;  /* and one is on its way */

    struct tdw_op arrival; /* the first packet of `transit` */
    struct tdw_op news;    /* an acknowledgement on its way back to the sender, or its next probe */
    uint64_t news_acked, news_edge; /* what the acknowledgement on its way says */
    uint64_t lost_ns;               /* since when the first packet is sent again and again */
    uint64_t probing_ns;            /* since when `probes` were sent for nothing */
};

/* One end of a connection. `socket` is NULL when the program has closed it. The first cache line is
 * what the other end looks at. */
struct tdw_end {
    struct tdw_connection *connection;
    struct tdw_host *host;
    struct tdw_socket *socket;
    struct tdw_loop *loop;
    uint64_t back_ns;      /* what the other end says takes so long; TDW_NEVER: it is cut off */
    uint64_t heard_ns;     /* when something last arrived */
    uint32_t window_bytes; /* what it is ready to receive beyond `taken` */
    uint32_t peer_window_bytes; /* … and the other end */
    uint32_t probes;            /* keepalive's */
    uint8_t state;              /* enum tdw_tcp_state */
    bool interactive; /* it answers what it receives: its acknowledgements wait for the answer */
    bool linked;      /* in the list of its host */
    bool reset_sent;  /* an RST is on its way, or arrived */
    struct tdw_half out;

    struct tdw_way *way; /* to the other end */
    uint32_t user_timeout_ms;
    struct tdw_op timer;         /* keepalive, TIME_WAIT, an unreachable address */
    struct tdw_socket *listener; /* SYN_RECEIVED: who will be asked to accept */
    struct tdw_port *port;
    struct tdw_end *next, *prev; /* of the host */
    struct tdw_address address;
};
_Static_assert(offsetof(struct tdw_end, out) == 64 && offsetof(struct tdw_half, arrival) == 128,
               "a send touches three lines of its end");

struct tdw_connection {
    struct tdw_end ends[2]; /* 0 connected to 1 */
    struct tdw_task actor;
    struct tdw_connection *next, *prev; /* of the world */
};

static inline struct tdw_end *tdw__other(struct tdw_end *end)
{
    return &end->connection->ends[end == &end->connection->ends[0]];
}

/* tcp_out.c: send what may be sent. */
void tdw__tcp_push(struct tdw_end *end);
/* A segment without data: SYN, ACK, FIN, RST. */
void tdw__tcp_signal(struct tdw_end *end, uint16_t flags);
/* The program at `end` took bytes: the other one may learn of the space. */
void tdw__tcp_taken(struct tdw_end *end, uint64_t bytes);
/* What `end` sends, was sent or taken at the other end: it is told, if it waits for that. */
void tdw__tcp_tell(struct tdw_end *end);
/* What the sender can know by now, without having been told. */
void tdw__tcp_catch_up(struct tdw_end *end);
/* The sender has to be told as soon as there is news. */
void tdw__tcp_want_news(struct tdw_end *end);
/* Would what `end` sends now be answered? */
bool tdw__tcp_heard(struct tdw_end *end);
/* Forget what was not sent. */
void tdw__tcp_drop_unsent(struct tdw_end *end);
/* tcp.c: may a packet arrive at `end`, or is it dropped there (a full backlog)? */
bool tdw__tcp_accepts(struct tdw_end *end, const struct tdw_segment *first);
/* A segment arrived there, and is the end's. */
void tdw__tcp_arrived(struct tdw_end *end, struct tdw_segment *segment);
/* Is a third of the send buffer free? */
bool tdw__tcp_writable(const struct tdw_end *end);
/* The connection broke at `end`: its socket tells `error`. */
void tdw__tcp_broken(struct tdw_end *end, int error);
/* RST arrived there. */
void tdw__tcp_reset(struct tdw_end *end);
/* This end is no more: what arrives is answered with RST. The same, and the other end is told. */
void tdw__tcp_forget(struct tdw_end *end);
void tdw__tcp_abort(struct tdw_end *end);
/* The program and the connection let go of each other. */
void tdw__tcp_detach(struct tdw_end *end);
/* A new connection from `socket`, whose addresses are set, to a host. */
void tdw__tcp_begin(struct tdw_connection *connection, struct tdw_socket *socket,
                    struct tdw_host *to);
void tdw__tcp_link(struct tdw_end *end); /* into the list of its host */
/* Ways have changed, or a host is paused: what the connections of the world know of it. */
void tdw__tcp_ways_changed(struct tdw_net *net);
void tdw__tcp_options(struct tdw_end *end, const struct tdw_socket_options *options);
/* Its timer runs out at `due_ns`; keepalive as its socket's options say. */
void tdw__tcp_arm(struct tdw_end *end, uint64_t due_ns);
void tdw__tcp_keepalive(struct tdw_end *end);
#define TDW_SECOND_NS (uint64_t)1000000000
#define TDW_TCP_MINUTE_NS (60 * TDW_SECOND_NS) /* TIME_WAIT, FIN_WAIT_2 of a closed socket */
/* Free the connection if nothing will come of it. */
void tdw__tcp_settle(struct tdw_connection *connection);
void tdw__tcp_free(struct tdw_connection *connection);

#endif
