/* SPDX-License-Identifier: MIT */
/*
 * What a descriptor stands for, in the words that strace has for it.
 *
 *     /path   /dev/null<char 1:3>   pipe:[183297]   anon_inode:[eventfd]
 *     TCP:[4711]   TCP:[127.0.0.1:80]   TCP:[127.0.0.1:80->127.0.0.1:5000]   TCPv6:[[::1]:80]
 *     UNIX-STREAM:[17->18,"/path"]   UNIX-DGRAM:[17,@"name"]   NETLINK:[19]
 *
 * The later stages read these words (which ends of a connection belong together, what is served
 * from the recording), so both recorders speak alike. A socket's dentry is named after its
 * protocol.
 *
 * Memory: one text for each number. Called by events_import.c.
 */
#include "events_import.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIPEFS = 0x50495045, ANON_INODES = 0x09041934, PIDFS = 0x50494446, TMPFS = 0x01021994 };
enum {
    TYPE = 0170000,
    TYPE_SOCKET = 0140000,
    TYPE_FIFO = 0010000,
    TYPE_CHAR = 0020000,
    TYPE_BLOCK = 0060000,
};

/* Bytes that are put together; what does not fit is left out. */
struct line {
    char bytes[TDW__EV_PATH_MAX + 512];
    size_t used;
};

static void put(struct line *line, const char *text, size_t bytes)
{
    if (bytes > sizeof line->bytes - 1 - line->used)
        bytes = sizeof line->bytes - 1 - line->used;
    memcpy(line->bytes + line->used, text, bytes);
    line->used += bytes;
    line->bytes[line->used] = 0;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_number(struct line *line, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    put_text(line, text);
}

/* The names of the path, which come from the last one up: at most `max` of them. */
static size_t names_of(const struct tdw__event_words *event, const char **name, size_t max)
{
    const char *at = (const char *)(event + 1), *const end = at + event->path_bytes;
    size_t count = 0;

    while (at < end && count < max) {
        const size_t bytes = strnlen(at, (size_t)(end - at));

        if (at + bytes == end)
            break;
        name[count++] = at;
        at += bytes + 1;
    }
    return count;
}

static void put_path(struct line *line, const struct tdw__event_words *event)
{
    const char *name[TDW__EV_PARTS_MAX];
    size_t count = names_of(event, name, TDW__EV_PARTS_MAX);

    if (count == 0)
        put_text(line, "/");
    while (count-- > 0) {
        if (name[count][0] != '/')
            put_text(line, "/");
        put_text(line, name[count]);
    }
}

static void put_end(struct line *line, const struct tdw__event_words *event, const uint8_t *address,
                    uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    const bool six = event->family == AF_INET6;

    inet_ntop(six ? AF_INET6 : AF_INET, address, text, sizeof text);
    if (six)
        put_text(line, "[");
    put_text(line, text);
    put_text(line, six ? "]:" : ":");
    put_number(line, port);
}

static void put_unix(struct line *line, const struct tdw__event_words *event)
{
    const char *const path = (const char *)event->name + 2;
    size_t bytes = event->name_bytes;

    if (bytes > sizeof event->name)
        bytes = sizeof event->name;
    put_number(line, event->ino);
    if (event->peer_ino) {
        put_text(line, "->");
        put_number(line, event->peer_ino);
    }
    if (bytes <= 2)
        return;
    put_text(line, path[0] ? ",\"" : ",@\"");
    if (path[0])
        put(line, path, strnlen(path, bytes - 2));
    else
        put(line, path + 1, strnlen(path + 1, bytes - 3));
    put_text(line, "\"");
}

static void put_socket(struct line *line, const struct tdw__event_words *event)
{
    const char *protocol;
    const bool internet = event->family == AF_INET || event->family == AF_INET6;

    put_text(line, names_of(event, &protocol, 1) ? protocol : "socket");
    put_text(line, ":[");
    if (event->family == AF_UNIX) {
        put_unix(line, event);
    } else if (internet && event->port) {
        put_end(line, event, event->here, event->port);
        if (event->peer_port) {
            put_text(line, "->");
            put_end(line, event, event->there, event->peer_port);
        }
    } else {
        put_number(line, event->ino);
    }
    put_text(line, "]");
}

static void put_device(struct line *line, const struct tdw__event_words *event, const char *kind)
{
    put_text(line, kind);
    put_number(line, event->rdev >> 20);
    put_text(line, ":");
    put_number(line, event->rdev & 0xfffff);
    put_text(line, ">");
}

static void put_words(struct line *line, const struct tdw__event_words *event)
{
    const uint32_t type = event->mode & TYPE;
    const char *name = "";

    if (type == TYPE_SOCKET) {
        put_socket(line, event);
    } else if (type == TYPE_FIFO && event->magic == PIPEFS) {
        put_text(line, "pipe:[");
        put_number(line, event->ino);
        put_text(line, "]");
    } else if (event->magic == ANON_INODES || event->magic == PIDFS) {
        names_of(event, &name, 1);
        put_text(line, "anon_inode:");
        put_text(line, event->magic == PIDFS ? "[pidfd]" : name);
    } else {
        put_path(line, event);
        if (type == TYPE_CHAR)
            put_device(line, event, "<char ");
        else if (type == TYPE_BLOCK)
            put_device(line, event, "<block ");
    }
}

int tdw__event_words_add(struct tdw__event_texts *texts, const struct tdw__event_words *event)
{
    struct line line = {.used = 0};
    int error = tdw__grow(&texts->text, &texts->room, texts->count, sizeof *texts->text);

    if (error)
        return error;
    line.bytes[0] = 0;
    put_words(&line, event);
    texts->text[texts->count] = strdup(line.bytes);
    if (!texts->text[texts->count])
        return -ENOMEM;
    texts->count++;
    return tdw__map_put(&texts->by_id, (uint64_t)event->id + 1, (int64_t)texts->count - 1);
}

const char *tdw__event_words(const struct tdw__event_texts *texts, uint32_t id)
{
    const int64_t *const at = id ? tdw__map_get(&texts->by_id, (uint64_t)id + 1) : NULL;

    return at ? texts->text[*at] : NULL;
}

void tdw__event_words_fini(struct tdw__event_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->text[i]);
    free(texts->text);
    tdw__map_fini(&texts->by_id);
}
