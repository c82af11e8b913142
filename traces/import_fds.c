/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of each process, and the open file descriptions behind them.
 *
 * The recorder says with every descriptor what it stands for, so this is not needed to know a
 * file's name. It is needed for what a name does not tell: which descriptors share an offset (dup,
 * fork), where that offset is (to know how large a file was), and which of several eventfds is
 * meant, whose words are all the same.
 *
 * The recorder's words have the last say: where a descriptor stands for something else than is
 * remembered (it came in a message, or by a call that is not known), a new description is made for
 * it, whose offset is unknown. A descriptor that a process has without having opened it was there
 * at its start: it becomes an image.
 *
 * Memory: thirteen bytes for each descriptor of a process up to TDW__FDS_MAX, one description for
 * each open. Called by import_calls.c, import_images.c and import_edges.c.
 */
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLOEXEC = 02000000, APPEND = 02000, F_GET_FD = 1, F_SET_FD = 2, F_SET_FL = 4 };

static uint64_t what_key(const char *path)
{
    return tdw__key(path, strlen(path), 1);
}

/* Make room for descriptor `fd`. */
static int reach(struct tdw__process *process, size_t fd)
{
    size_t room = process->fds_room ? process->fds_room : 16;
    uint32_t *fds;
    uint8_t *cloexec;
    uint64_t *since;

    if (fd < process->fds_room)
        return 0;
    while (room <= fd)
        room *= 2;
    fds = realloc(process->fds, room * sizeof *fds);
    if (!fds)
        return -ENOMEM;
    process->fds = fds;
    cloexec = realloc(process->cloexec, room);
    if (!cloexec)
        return -ENOMEM;
    process->cloexec = cloexec;
    since = realloc(process->since, room * sizeof *since);
    if (!since)
        return -ENOMEM;
    process->since = since;
    memset(since + process->fds_room, 0, (room - process->fds_room) * sizeof *since);
    memset(fds + process->fds_room, 0, (room - process->fds_room) * sizeof *fds);
    memset(cloexec + process->fds_room, 0, room - process->fds_room);
    process->fds_room = room;
    return 0;
}

static bool followed(int64_t fd)
{
    return fd >= 0 && fd < TDW__FDS_MAX;
}

/* One descriptor fewer stands for the description with this number (index + 1; 0: none). */
static void release(struct tdw__import *im, uint32_t number)
{
    struct tdw__open *open;

    if (number == 0)
        return;
    open = &im->opens[number - 1];
    if (--open->refs > 0)
        return;
    open->offset = im->open_free;
    im->open_free = number;
}

/* Let `fd` of `process` stand for description `index`. */
static void set(struct tdw__import *im, uint32_t process, int64_t fd, uint32_t index, bool cloexec)
{
    struct tdw__process *p = &im->processes[process];

    im->opens[index].refs++;
    if (followed(fd) && !im->error)
        im->error = reach(p, (size_t)fd);
    if (!followed(fd) || im->error) {
        release(im, index + 1);
        return;
    }
    release(im, p->fds[fd]);
    p->fds[fd] = index + 1;
    p->cloexec[fd] = cloexec;
    p->since[fd] = im->calls;
}

/* A new description; answers its index, or TDW__NONE. The caller sets a descriptor to it. */
static int64_t open_new(struct tdw__import *im, const char *path)
{
    size_t index = im->opens_count;

    if (im->open_free) {
        index = im->open_free - 1;
        im->open_free = im->opens[index].offset;
    } else {
        im->error = tdw__grow(&im->opens, &im->opens_room, index, sizeof *im->opens);
        if (im->error)
            return TDW__NONE;
        im->opens_count++;
    }
    im->opens[index] = (struct tdw__open){
        .what = path ? what_key(path) : 0,
        .node = TDW__NONE,
        .serial = ++im->opens_made,
    };
    return (int64_t)index;
}

/* A descriptor that nobody opened: the process had it from its start. */
static void inherited(struct tdw__import *im, uint32_t process, int64_t fd, const char *path)
{
    struct tdw_image *image;

    im->error =
        tdw__grow(&im->fd_images, &im->fd_images_room, im->fd_images_count, sizeof *im->fd_images);
    if (im->error)
        return;
    image = &im->fd_images[im->fd_images_count];
    *image = (struct tdw_image){.kind = TDW_IMAGE_FD, .fd = (int32_t)fd, .process = process};
    image->path = strdup(path);
    if (!image->path) {
        im->error = -ENOMEM;
        return;
    }
    im->fd_images_count++;
}

void tdw__fd_there(struct tdw__import *im, uint32_t process, int64_t fd, const char *path,
                   uint32_t flags, uint64_t offset)
{
    int64_t index;

    if (im->error || !followed(fd))
        return;
    inherited(im, process, fd, path);
    if (im->error)
        return;
    im->fd_images[im->fd_images_count - 1].size = offset;
    im->fd_images[im->fd_images_count - 1].exact = true;
    index = open_new(im, path);
    if (index < 0)
        return;
    im->opens[index].offset = offset;
    im->opens[index].offset_known = true;
    im->opens[index].append = flags & APPEND;
    if (path[0] == '/' && !tdw__served(path))
        im->opens[index].node = tdw__node_exists(im, path, TDW_IMAGE_FILE);
    set(im, process, fd, (uint32_t)index, flags & CLOEXEC);
}

struct tdw__open *tdw__fd_open(struct tdw__import *im, uint32_t process, int64_t fd,
                               const char *path)
{
    struct tdw__process *p = &im->processes[process];
    const uint32_t known = followed(fd) && (size_t)fd < p->fds_room ? p->fds[fd] : 0;
    int64_t index;

    if (!path || im->error || !followed(fd))
        return NULL;
    if (known && im->opens[known - 1].what == what_key(path))
        return &im->opens[known - 1];
    if (known && path[0] != '/') {
        /* A socket's words change when it is bound or connected; it is the same one. */
        im->opens[known - 1].what = what_key(path);
        return &im->opens[known - 1];
    }
    if (!known)
        inherited(im, process, fd, path);
    index = im->error ? TDW__NONE : open_new(im, path);
    if (index < 0)
        return NULL;
    if (path[0] == '/' && !tdw__served(path))
        im->opens[index].node = tdw__node_exists(im, path, TDW_IMAGE_FILE);
    set(im, process, fd, (uint32_t)index, false);
    return im->error ? NULL : &im->opens[index];
}

/* The result of `call` is a new descriptor. */
static void made(struct tdw__import *im, const struct tdw_call *call, bool cloexec)
{
    const int64_t index = open_new(im, call->result_path);

    if (index < 0)
        return;
    if (call->result_path && call->result_path[0] == '/' && !tdw__served(call->result_path)) {
        im->opens[index].node = tdw__node_of_path(im, call->result_path);
        im->opens[index].offset_known = true;
    }
    set(im, call->process, call->result, (uint32_t)index, cloexec);
}

static void copied(struct tdw__import *im, const struct tdw_call *call, bool cloexec)
{
    struct tdw__open *from = tdw__fd_open(im, call->process, call->arg[0], call->fd_path[0]);

    if (from)
        set(im, call->process, call->result, (uint32_t)(from - im->opens), cloexec);
}

static void pair(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *call = &parsed->call;
    const int64_t flags = call->arg[0] | call->arg[1];

    for (uint32_t i = 0; i < call->items && i < 2; i++) {
        const int64_t index = open_new(im, NULL);

        if (index >= 0)
            set(im, call->process, call->item[i].a, (uint32_t)index, flags & CLOEXEC);
    }
}

static void fcntl_track(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__process *p = &im->processes[call->process];
    const int64_t fd = call->arg[0];

    if (call->compare == TDW_COMPARE_FD)
        copied(im, call, call->arg[1] != 0);
    else if (call->arg[1] == F_SET_FD && followed(fd) && (size_t)fd < p->fds_room)
        p->cloexec[fd] = call->arg[2] & 1;
    else if (call->arg[1] == F_SET_FL && followed(fd) && (size_t)fd < p->fds_room && p->fds[fd])
        im->opens[p->fds[fd] - 1].append = call->arg[2] & APPEND;
}

static void closed(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__process *p = &im->processes[call->process];
    const bool range = !strcmp(call->name, "close_range");
    const int64_t first = call->arg[0], last = range ? call->arg[1] : first;

    for (int64_t fd = first; fd >= 0 && fd <= last && (size_t)fd < p->fds_room; fd++) {
        /* A number is free when the close begins: another thread may have it by now. */
        if (p->since[fd] > call->index)
            continue;
        release(im, p->fds[fd]);
        p->fds[fd] = 0;
    }
}

/* Does a call that makes a descriptor make one that exec closes? */
static bool makes_cloexec(const struct tdw_call *call)
{
    static const struct {
        const char *name;
        uint8_t arg;
    } flags[] = {
        {"openat", 2},   {"open", 1},          {"socket", 1},         {"accept4", 3},
        {"eventfd2", 1}, {"signalfd4", 3},     {"timerfd_create", 1}, {"epoll_create1", 0},
        {"dup3", 2},     {"inotify_init1", 0},
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (!strcmp(call->name, flags[i].name))
            return call->arg[flags[i].arg] & CLOEXEC;
    }
    return !strcmp(call->name, "memfd_create") && call->arg[1] & 1;
}

void tdw__fds_track(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *call = &parsed->call;
    const char *const shape = parsed->syscall->shape;

    for (int i = 0; i < 2 && shape[0] == 'f'; i++) {
        if (call->fd_path[i] && (i == 0 || shape[1] == 'f'))
            tdw__fd_open(im, call->process, call->arg[i], call->fd_path[i]);
    }
    if (call->result < 0 || call->bits & (TDW_CALL_NO_RESULT | TDW_CALL_RESTART))
        return;
    switch ((enum tdw__track)parsed->syscall->track) {
    case TDW__T_OPEN:
    case TDW__T_NEW_FD:
        made(im, call, makes_cloexec(call));
        break;
    case TDW__T_DUP:
        copied(im, call, makes_cloexec(call));
        break;
    case TDW__T_FCNTL:
        fcntl_track(im, call);
        break;
    case TDW__T_PAIR:
        pair(im, parsed);
        break;
    case TDW__T_CLOSE:
        closed(im, call);
        break;
    default: /* the others leave the table as it is */
        break;
    }
}

int tdw__fds_copy(struct tdw__import *im, struct tdw__process *to, const struct tdw__process *from)
{
    if (from->fds_room == 0)
        return 0;
    if (reach(to, from->fds_room - 1))
        return -ENOMEM;
    memcpy(to->fds, from->fds, from->fds_room * sizeof *to->fds);
    memcpy(to->cloexec, from->cloexec, from->fds_room);
    memcpy(to->since, from->since, from->fds_room * sizeof *to->since);
    for (size_t fd = 0; fd < from->fds_room; fd++) {
        if (to->fds[fd])
            im->opens[to->fds[fd] - 1].refs++;
    }
    return 0;
}

static void drop(struct tdw__import *im, struct tdw__process *process, bool all)
{
    for (size_t fd = 0; fd < process->fds_room; fd++) {
        if (all || process->cloexec[fd]) {
            release(im, process->fds[fd]);
            process->fds[fd] = 0;
        }
    }
}

void tdw__fds_exec(struct tdw__import *im, struct tdw__process *process)
{
    drop(im, process, false);
}

void tdw__fds_end(struct tdw__import *im, struct tdw__process *process)
{
    drop(im, process, true);
}
