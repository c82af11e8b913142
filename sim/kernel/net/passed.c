/* SPDX-License-Identifier: MIT */
/*
 * What a unix socket passes along with bytes: open files (SCM_RIGHTS) and who sent them
 * (SCM_CREDENTIALS).
 *
 * A sender's files become a struct tdw_passed, which travels on the first segment of the message
 * and holds a reference to each file. The receiver's process gets the lowest free descriptors; what
 * does not fit into its control bytes, or into its table, is closed and told as MSG_CTRUNC.
 *
 * Each segment says who sent it, if one of the two sockets had SO_PASSCRED then, or the sender
 * said so. Everybody is uid 0 here, so those of any process of the host may be claimed.
 *
 * A socket that is passed through itself, in a circle that nobody else can reach, is not collected;
 * it goes with its host.
 */
#include <sim/kernel/net/net.h>

enum { FILES_MAX = 253 };

void tdw__passed_free(struct tdw_loop *loop, struct tdw_passed *passed)
{
    for (uint32_t i = 0; i < passed->files_count; i++)
        tdw__file_put(passed->files[i]);
    tdw__memory_put(loop->memory, passed, sizeof(*passed));
}

/* ── Sending ───────────────────────────────────────────────────────────────────────────────── */

static int take_files(struct tdw_process *process, const struct cmsghdr *cmsg,
                      struct tdw_passed *passed)
{
    const size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const int *fds = (const int *)(const void *)CMSG_DATA(cmsg);

    if (count + passed->files_count > FILES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct tdw_file *file;
        int fd;

        memcpy(&fd, fds + i, sizeof(fd));
        file = tdw__fd_any(process->files, fd);
        if (!file)
            return -EBADF;
        file->refs++;
        passed->files[passed->files_count++] = file;
    }
    return 0;
}

static int take_credentials(struct tdw_process *process, const struct cmsghdr *cmsg,
                            struct ucred *sender)
{
    if (cmsg->cmsg_len != CMSG_LEN(sizeof(*sender)))
        return -EINVAL;
    memcpy(sender, CMSG_DATA(cmsg), sizeof(*sender));
    if (!tdw__process_find(process->host, sender->pid))
        return -ESRCH;
    return 0;
}

/* The next control message behind `cmsg`; NULL at the end. */
static const struct cmsghdr *next_of(const struct tdw_msg *msg, const struct cmsghdr *cmsg)
{
    const char *end = (const char *)msg->control + msg->control_bytes;
    const char *next =
        cmsg ? (const char *)cmsg + CMSG_ALIGN(cmsg->cmsg_len) : (const char *)msg->control;

    return next + sizeof(*cmsg) <= end ? (const void *)next : NULL;
}

static int take_all(const struct tdw_msg *msg, struct tdw_passed *passed, struct ucred *sender)
{
    const struct cmsghdr *cmsg = NULL;
    int err = 0;

    while (!err && (cmsg = next_of(msg, cmsg)) != NULL) {
        const size_t left =
            (size_t)((const char *)msg->control + msg->control_bytes - (const char *)cmsg);

        if (cmsg->cmsg_len < CMSG_LEN(0) || cmsg->cmsg_len > left)
            return -EINVAL;
        if (cmsg->cmsg_level != SOL_SOCKET)
            continue;
        if (cmsg->cmsg_type == SCM_RIGHTS)
            err = take_files(msg->process, cmsg, passed);
        else if (cmsg->cmsg_type == SCM_CREDENTIALS)
            err = take_credentials(msg->process, cmsg, sender);
        else
            err = -EINVAL;
    }
    return err;
}

int tdw__passed_take(struct tdw_socket *socket, const struct tdw_msg *msg,
                     struct tdw_passed **passed, struct ucred *sender)
{
    struct tdw_loop *loop = tdw__socket_loop(socket);
    int err;

    *passed = NULL;
    if (!msg->control || msg->control_bytes < sizeof(struct cmsghdr))
        return 0;
    *passed = tdw__memory_get(loop->memory, sizeof(**passed));
    if (!*passed)
        return -ENOMEM;
    err = take_all(msg, *passed, sender);
    if (err || (*passed)->files_count == 0) {
        tdw__passed_free(loop, *passed);
        *passed = NULL;
    }
    return err;
}

/* ── Receiving ─────────────────────────────────────────────────────────────────────────────── */

/* A control message behind those before, as far as there is room for it. */
static void put(struct tdw_msg *msg, int type, const void *data, size_t bytes)
{
    const size_t room = msg->control ? msg->control_room - msg->control_bytes : 0;
    struct cmsghdr cmsg = {CMSG_LEN(bytes), SOL_SOCKET, type};
    char *at = (char *)msg->control + msg->control_bytes;

    if (room < cmsg.cmsg_len)
        msg->flags_out |= MSG_CTRUNC;
    if (room < sizeof(cmsg))
        return;
    if (room < cmsg.cmsg_len)
        cmsg.cmsg_len = room;
    memcpy(at, &cmsg, sizeof(cmsg));
    memcpy(at + sizeof(cmsg), data, cmsg.cmsg_len - sizeof(cmsg));
    msg->control_bytes += CMSG_SPACE(bytes) < room ? CMSG_SPACE(bytes) : room;
}

void tdw__sender_give(const struct tdw_socket *socket, const struct ucred *sender,
                      struct tdw_msg *msg)
{
    if (socket->domain == AF_UNIX && socket->options.pass_cred)
        put(msg, SCM_CREDENTIALS, sender, sizeof(*sender));
}

/* As many descriptors as there is room for; the rest of the files is closed. */
static void give_files(struct tdw_passed *passed, struct tdw_msg *msg)
{
    struct tdw_process *process = msg->process;
    const size_t at = msg->control_bytes + CMSG_LEN(0);
    const size_t room =
        msg->control && msg->control_room > at ? (msg->control_room - at) / sizeof(int) : 0;
    int fds[FILES_MAX];
    size_t count = 0;

    while (count < passed->files_count && count < room) {
        const int fd = tdw__fd_free(process->files, 0);

        if (fd < 0)
            break;
        passed->files[count]->refs++;
        tdw__fd_set(process->files, fd, passed->files[count], msg->flags & MSG_CMSG_CLOEXEC);
        fds[count++] = fd;
    }
    if (count < passed->files_count)
        msg->flags_out |= MSG_CTRUNC;
    if (count > 0)
        put(msg, SCM_RIGHTS, fds, count * sizeof(int));
}

void tdw__passed_give(struct tdw_socket *socket, struct tdw_segment *segment, struct tdw_msg *msg)
{
    if (!segment->passed)
        return;
    give_files(segment->passed, msg);
    if (msg->flags & MSG_PEEK) /* the next read gets them again, as on Linux */
        return;
    tdw__passed_free(tdw__socket_loop(socket), segment->passed);
    segment->passed = NULL;
}
