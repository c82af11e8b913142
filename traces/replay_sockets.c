/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls on sockets, and on what else is read and written as a stream.
 *
 * Addresses are the recorded ones: the simulated host has them all. What comes from outside of the
 * recording comes from peers (replay_peers.c) and has arrived when its read is made. What goes out
 * is exactly as much as in the recording: how much fits into a socket's buffer at once is a matter
 * of its reader's speed, so a write that was cut short there asks for no more, and one that is cut
 * short here goes on. A call that found nothing to read or no room, or was interrupted, had no
 * effect, and has none here: it is made only if it cannot have one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <tidewheel/sys.h>
#include <traces/replay_calls.h>

/* ── Addresses ─────────────────────────────────────────────────────────────────────────────── */

static socklen_t unix_address(const char *path, struct sockaddr_un *to)
{
    const bool abstract = path[0] == '@';
    const size_t bytes = strlen(path);

    if (bytes >= sizeof to->sun_path)
        return 0;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, bytes + 1);
    if (abstract)
        to->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes +
                       (bytes && !abstract ? 1 : 0));
}

/* "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@name" (docs/trace-format.md). An IPv4 address
 * in IPv6's clothes stays one of IPv6. */
socklen_t tdw__replay_address(const char *text, struct sockaddr_storage *to)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    const bool six = text[0] == '[';
    const char *const colon = strrchr(text, ':');
    const char *const end = six ? strchr(text, ']') : colon;
    char host[INET6_ADDRSTRLEN];
    uint16_t port;

    memset(to, 0, sizeof *to);
    if (strncmp(text, "unix:", 5) == 0)
        return unix_address(text + 5, (struct sockaddr_un *)to);
    if (!colon || !end || (size_t)(end - text) - six >= sizeof host)
        return 0;
    snprintf(host, sizeof host, "%.*s", (int)(end - text) - six, text + six);
    port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (six) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? sizeof *in6 : 0;
    }
    in->sin_family = AF_INET;
    in->sin_port = port;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? sizeof *in : 0;
}

/* The call's address into t->address. An unknown one is of no family. */
static const struct sockaddr *address(struct replay_thread *t, const struct replay_step *s)
{
    t->address_bytes = s->address ? tdw__replay_address(s->address, &t->address) : 0;
    if (t->address_bytes == 0) {
        memset(&t->address, 0, sizeof t->address);
        t->address_bytes = sizeof(struct sockaddr);
    }
    return (struct sockaddr *)&t->address;
}

/* ── Connections ───────────────────────────────────────────────────────────────────────────── */

PREPARE(prepare_socket)
{
    tdw_prep_socket(&t->task.op, (int)s->arg[0], (int)s->arg[1], (int)s->arg[2]);
    return false;
}

PREPARE(prepare_bind)
{
    const struct sockaddr *to = address(t, s);

    tdw_prep_bind(&t->task.op, FD(0), to, t->address_bytes);
    return false;
}

PREPARE(prepare_listen)
{
    tdw_prep_listen(&t->task.op, FD(0), (int)s->arg[1]);
    return false;
}

PREPARE(prepare_connect)
{
    const struct sockaddr *to = address(t, s);

    tdw_prep_connect(&t->task.op, FD(0), to, t->address_bytes);
    return false;
}

/* An op waits until it is connected. Who asked for a connection without waiting was told so, and
 * told of its success when it asked again. */
static bool after_connect(struct replay_thread *t, const struct replay_step *s)
{
    if (s->result == -EINPROGRESS && (t->result == 0 || t->result == -ECONNREFUSED))
        t->result = s->result;
    if (t->result == -EISCONN && (s->result == 0 || s->result == -EALREADY))
        t->result = s->result;
    return false;
}

/* Nothing was done, and nothing may be done now. */
bool tdw__replay_had_no_effect(const struct replay_step *s)
{
    return s->result == -EAGAIN || s->result == -EINTR || s->bits & TDW_CALL_RESTART;
}

/* One that found nobody waiting finds nobody here only if the recording says when others connect.
 */
PREPARE(prepare_accept)
{
    if (tdw__replay_had_no_effect(s) && (!s->fed || s->result != -EAGAIN))
        return at_once(t, s->result);
    t->address_bytes = sizeof t->address;
    tdw_prep_accept(&t->task.op, FD(0), (struct sockaddr *)&t->address, &t->address_bytes,
                    s->name[6] ? (int)s->arg[3] : 0);
    if (s->result == -EAGAIN) /* an op waits, whatever the descriptor's flags say */
        t->task.op.sqe.ioprio |= TDW_ACCEPT_DONTWAIT;
    return false;
}

PREPARE(call_shutdown)
{
    return at_once(t, tdw_sys_shutdown(FD(0), (int)s->arg[1]));
}

/* ── Options ───────────────────────────────────────────────────────────────────────────────── */

/* An option's value is recorded where it is a number; SO_LINGER's and times are not needed. */
PREPARE(call_setsockopt)
{
    union {
        int number;
        uint8_t bytes[128];
    } value = {.number = (int)s->arg[3]};
    const int64_t length = s->arg[4];

    if (length < 0 || length > (int64_t)sizeof value.bytes)
        return at_once(t, s->result);
    return at_once(
        t, tdw_sys_setsockopt(FD(0), (int)s->arg[1], (int)s->arg[2], &value, (socklen_t)length));
}

PREPARE(call_getsockopt)
{
    uint8_t value[256];
    socklen_t length = sizeof value;

    return at_once(t, tdw_sys_getsockopt(FD(0), (int)s->arg[1], (int)s->arg[2], value, &length));
}

PREPARE(call_getsockname)
{
    t->address_bytes = sizeof t->address;
    return at_once(t,
                   tdw_sys_getsockname(FD(0), (struct sockaddr *)&t->address, &t->address_bytes));
}

PREPARE(call_getpeername)
{
    t->address_bytes = sizeof t->address;
    return at_once(t,
                   tdw_sys_getpeername(FD(0), (struct sockaddr *)&t->address, &t->address_bytes));
}

/* FIONBIO; other requests are not replayed. */
PREPARE(call_ioctl)
{
    int value = (int)s->arg[2];

    return at_once(t, tdw_sys_ioctl(FD(0), (unsigned long)s->arg[1], &value));
}

/* ── Transfers ─────────────────────────────────────────────────────────────────────────────── */

/* A transfer goes on until it has moved what it moved in the recording: at once, or, where it would
 * not wait, when there are bytes or room. */
enum replay_transfer tdw__replay_transferred(struct replay_thread *t, const struct replay_step *s,
                                             uint32_t events)
{
    if (t->polls) {
        t->polls = false;
        return t->result < 0 ? REPLAY_WHOLE : REPLAY_MORE;
    }
    if (s->result > 0 && t->result == -EAGAIN) {
        tdw_prep_poll(&t->task.op, FD(0), events);
        t->polls = true;
        return REPLAY_NOT_NOW;
    }
    if (t->result > 0)
        t->moved += t->result;
    if (s->result > 0 && t->result > 0 && t->moved < s->result)
        return REPLAY_MORE;
    if (t->moved > 0)
        t->result = t->moved;
    return REPLAY_WHOLE;
}

/* ── Reading ───────────────────────────────────────────────────────────────────────────────── */

/* A read without effect is made as a look, and only where peers alone write. What a signalfd
 * answers is the recording's to say. */
static bool reads_at_once(struct replay_thread *t, const struct replay_step *s)
{
    if (s->object == TDW_OBJECT_SIGNALFD || (tdw__replay_had_no_effect(s) && !s->fed))
        return at_once(t, s->result);
    return false;
}

/* How many bytes a read asked for, and with which flags. */
static int64_t wanted_by(const struct replay_step *s, int *flags)
{
    const bool from = strcmp(s->name, "recvfrom") == 0, message = strcmp(s->name, "recvmsg") == 0;

    *flags = from ? (int)s->arg[3] : message ? (int)s->arg[2] : 0;
    return s->arg[message || s->name[4] == 'v' ? 1 : 2];
}

/* What others in the recording send may be there earlier than it was, so no more is asked for than
 * was read. Peers do not send early: what they send is asked for as it was. */
static void read_rest(struct replay_thread *t, const struct replay_step *s)
{
    int flags;
    const int64_t wanted = wanted_by(s, &flags);
    const uint32_t left = bytes(t, (s->fed || s->result <= 0 ? wanted : s->result) - t->moved);

    if (tdw__replay_had_no_effect(s))
        flags |= MSG_DONTWAIT | MSG_PEEK;
    if (s->object == TDW_OBJECT_SOCKET)
        tdw_prep_recv(&t->task.op, FD(0), t->buffer, left, flags);
    else
        tdw_prep_read(&t->task.op, FD(0), t->buffer, left);
}

bool tdw__replay_stream_read(struct replay_thread *t, const struct replay_step *s)
{
    if (reads_at_once(t, s))
        return true;
    read_rest(t, s);
    return false;
}

/* A stream's bytes may come in several parts; messages are whole. */
bool tdw__replay_stream_taken(struct replay_thread *t, const struct replay_step *s)
{
    const bool stream = s->object == TDW_OBJECT_PIPE ||
                        (s->fd_path && (strncmp(s->fd_path, "TCP", 3) == 0 ||
                                        strncmp(s->fd_path, "UNIX-STREAM", 11) == 0));
    enum replay_transfer transfer;
    int flags;

    wanted_by(s, &flags);
    if (!stream || flags & MSG_PEEK)
        return false;
    transfer = tdw__replay_transferred(t, s, POLLIN);
    if (transfer == REPLAY_MORE)
        read_rest(t, s);
    return transfer != REPLAY_WHOLE;
}

/* A message of one vector, with room for descriptors. */
static struct msghdr *message(struct replay_thread *t, int64_t wanted, size_t control)
{
    t->iov = (struct iovec){t->buffer, bytes(t, wanted)};
    t->message = (struct msghdr){.msg_iov = &t->iov, .msg_iovlen = 1};
    if (control) {
        t->message.msg_control = t->control;
        t->message.msg_controllen = control;
    }
    return &t->message;
}

PREPARE(prepare_recvmsg)
{
    if (reads_at_once(t, s))
        return true;
    tdw_prep_recvmsg(&t->task.op, FD(0), message(t, s->arg[1], sizeof t->control),
                     (unsigned)s->arg[2] |
                         (tdw__replay_had_no_effect(s) ? MSG_DONTWAIT | MSG_PEEK : 0u));
    return false;
}

/* Descriptors that came with a message: in the order of the recorded ones. */
static bool after_recvmsg(struct replay_thread *t, const struct replay_step *s)
{
    uint32_t at = 0;

    if (t->moved > 0 || t->result < 0 || s->result < 0 || t->message.msg_controllen == 0)
        return tdw__replay_stream_taken(t, s);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&t->message); c; c = CMSG_NXTHDR(&t->message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            while (at < s->items && items(t, s)[at].b != 1)
                at++;
            if (at < s->items)
                tdw__replay_map_fd(t, items(t, s)[at++].a, fd);
        }
    }
    return tdw__replay_stream_taken(t, s);
}

/* ── Writing ───────────────────────────────────────────────────────────────────────────────── */

/* What is left to write, as one op. */
static void write_rest(struct replay_thread *t, const struct replay_step *s, int64_t wanted,
                       int flags)
{
    const uint32_t left = bytes(t, wanted - t->moved);

    if (s->object == TDW_OBJECT_SOCKET)
        tdw_prep_send(&t->task.op, FD(0), t->buffer, left, flags | MSG_NOSIGNAL);
    else
        tdw_prep_write(&t->task.op, FD(0), t->buffer, left);
    if (s->object == TDW_OBJECT_EVENTFD) /* what is added is not recorded: 1 */
        memcpy(t->buffer, &(uint64_t){1}, sizeof(uint64_t));
}

/* As many bytes as the recording moved, if it moved any. */
static bool prepare_send(struct replay_thread *t, const struct replay_step *s, int64_t wanted,
                         int flags)
{
    if (tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    write_rest(t, s, s->result > 0 ? s->result : wanted, flags);
    return false;
}

bool tdw__replay_stream_write(struct replay_thread *t, const struct replay_step *s)
{
    return prepare_send(t, s, s->arg[s->name[5] == 'v' ? 1 : 2], 0);
}

PREPARE(prepare_sendto)
{
    if (!s->address)
        return prepare_send(t, s, s->arg[2], (int)s->arg[3]);
    if (tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    address(t, s);
    tdw_prep_sendto(&t->task.op, FD(0), t->buffer, bytes(t, s->arg[2]),
                    (int)s->arg[3] | MSG_NOSIGNAL, (struct sockaddr *)&t->address,
                    t->address_bytes);
    return false;
}

/* Descriptors travel with the message as they did. */
static size_t pack_rights(struct replay_thread *t, const struct replay_step *s)
{
    struct cmsghdr *c = (struct cmsghdr *)t->control;
    int fds[32];
    size_t count = 0;

    for (uint32_t i = 0; i < s->items && count < 32; i++)
        if (items(t, s)[i].b == 1)
            fds[count++] = tdw__replay_fd(t, items(t, s)[i].a);
    if (count == 0)
        return 0;
    memset(t->control, 0, sizeof t->control);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    return CMSG_SPACE(count * sizeof(int));
}

PREPARE(prepare_sendmsg)
{
    if (tdw__replay_had_no_effect(s))
        return at_once(t, s->result);
    tdw_prep_sendmsg(&t->task.op, FD(0),
                     message(t, s->result > 0 ? s->result : s->arg[1], pack_rights(t, s)),
                     (unsigned)s->arg[2] | MSG_NOSIGNAL);
    return false;
}

bool tdw__replay_stream_written(struct replay_thread *t, const struct replay_step *s)
{
    const enum replay_transfer transfer = tdw__replay_transferred(t, s, POLLOUT);

    if (transfer == REPLAY_MORE)
        write_rest(t, s, s->result, 0);
    return transfer != REPLAY_WHOLE;
}

const struct replay_call tdw__replay_sockets[] = {
    {"socket", prepare_socket, tdw__replay_new_fd},
    {"bind", prepare_bind, NULL},
    {"listen", prepare_listen, NULL},
    {"connect", prepare_connect, after_connect},
    {"accept", prepare_accept, tdw__replay_new_fd},
    {"accept4", prepare_accept, tdw__replay_new_fd},
    {"shutdown", call_shutdown, NULL},
    {"setsockopt", call_setsockopt, NULL},
    {"getsockopt", call_getsockopt, NULL},
    {"getsockname", call_getsockname, NULL},
    {"getpeername", call_getpeername, NULL},
    {"ioctl", call_ioctl, NULL},
    {"recvfrom", tdw__replay_stream_read, tdw__replay_stream_taken},
    {"recvmsg", prepare_recvmsg, after_recvmsg},
    {"sendto", prepare_sendto, tdw__replay_stream_written},
    {"sendmsg", prepare_sendmsg, tdw__replay_stream_written},
    {NULL, NULL, NULL},
};
