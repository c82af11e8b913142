/* SPDX-License-Identifier: MIT */
/*
 * What was received, on its way to a program: bytes of a stream, or one message.
 *
 * MSG_PEEK copies and takes nothing. MSG_TRUNC of a stream takes and copies nothing; of a message
 * it gives the full length. Bytes that were sent along with descriptors end a read, and another
 * sender does if the reader is told who sent; a peek goes on to the first descriptors, however few
 * bytes it wants.
 */
#include <sim/kernel/net/net.h>

/* Copy [off, off + bytes) of the segment's data, or drop it, as the flags say. */
static void copy(struct tdw_msg *msg, const struct tdw_segment *segment, size_t bytes)
{
    tdw__io_fill(&msg->io, segment->data + segment->off, bytes);
}

static void consume(struct tdw_socket *socket, struct tdw_segment *segment, size_t bytes)
{
    segment->off += (uint32_t)bytes;
    segment->bytes -= (uint32_t)bytes;
    socket->received_bytes -= bytes;
    if (segment->bytes == 0) {
        tdw__segments_pop(&socket->received);
        tdw__segment_free(tdw__socket_loop(socket), segment);
    }
}

/* Does a read that has begun, with bytes from `sender`, go on with the segment? */
static bool goes_on(const struct tdw_socket *socket, const struct tdw_msg *msg,
                    const struct tdw_segment *segment, const struct ucred *sender)
{
    if (socket->domain != AF_UNIX)
        return msg->io.left > 0;
    if (socket->options.pass_cred && memcmp(&segment->sender, sender, sizeof(*sender)) != 0)
        return false;
    return msg->io.left > 0 || msg->flags & MSG_PEEK;
}

int64_t tdw__receive_stream(struct tdw_socket *socket, struct tdw_msg *msg)
{
    const bool peek = msg->flags & MSG_PEEK;
    const bool drop = msg->flags & MSG_TRUNC && socket->domain != AF_UNIX;
    struct tdw_segment *segment = socket->received.head;
    const struct ucred sender = segment->sender;
    int64_t done = 0;
    bool passed;

    tdw__sender_give(socket, &sender, msg);
    do {
        const size_t part = msg->io.left < segment->bytes ? msg->io.left : segment->bytes;
        struct tdw_segment *next = segment->next;

        passed = segment->passed != NULL;
        tdw__passed_give(socket, segment, msg);
        if (drop)
            msg->io.left -= part;
        else
            copy(msg, segment, part);
        if (!peek)
            consume(socket, segment, part);
        done += (int64_t)part;
        segment = next;
    } while (segment && !passed && goes_on(socket, msg, segment, &sender));
    return done;
}

int64_t tdw__receive_message(struct tdw_socket *socket, struct tdw_msg *msg)
{
    struct tdw_segment *segment = socket->received.head;
    const size_t whole = segment->bytes;
    const size_t part = msg->io.left < whole ? msg->io.left : whole;

    copy(msg, segment, part);
    if (part < whole)
        msg->flags_out |= MSG_TRUNC;
    if (segment->name_bytes > 0) {
        struct sockaddr_storage from = {0};
        socklen_t room = msg->name_room;

        memcpy(&from, segment->data, segment->name_bytes);
        tdw__address_out(&from, segment->name_bytes, msg->name, &room);
        msg->name_bytes = segment->name_bytes;
    }
    tdw__sender_give(socket, &segment->sender, msg);
    tdw__passed_give(socket, segment, msg);
    if (!(msg->flags & MSG_PEEK)) {
        socket->received_bytes -= whole;
        tdw__segments_pop(&socket->received);
        tdw__segment_free(tdw__socket_loop(socket), segment);
    }
    return (int64_t)(msg->flags & MSG_TRUNC ? whole : part);
}
