/* SPDX-License-Identifier: MIT */
/*
 * File images: what a replay must find in the file system before the first call.
 *
 *     names   path ─▶ unknown │ absent │ node        as things stand now
 *     nodes   what was there at the start under its first path, or NULL: made by the recording
 *
 * Each call is a piece of evidence, and only the first sight of a name counts for whether it was
 * there: an open without O_CREAT that succeeds says yes, ENOENT says no, a success says that all
 * directories above are there. Renaming moves the node, so that what is learned later under the new
 * name is told of the old one. A file's size at the start is the largest of what stat told, where
 * reads ended, and where SEEK_END led, as long as nothing in the recording has changed the file.
 * A file opened with O_CREAT that nobody has seen may have been there: it counts as made by that
 * open, unless it shows a size or content before it is written.
 *
 * A path that leads to a file of another name is a link to it. /proc, /sys and devices have no
 * image: they are served from the recording. What cannot be known: names of directories that were
 * moved as a whole, a link's target that was only read (the recorder shows no bytes).
 *
 * Memory: an entry for each distinct path. Called by import_strace.c with each completed call.
 */
#include <traces/format.h>
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = -1, ABSENT = -2 };
enum { CREAT = 0100, EXCL = 0200, TRUNC = 01000, DIRECTORY = 0200000, APPEND = 02000 };
enum { TYPE_MASK = 0170000, TYPE_DIR = 040000, TYPE_FILE = 0100000, TYPE_LINK = 0120000 };

struct tdw__name {
    char *path;
    int64_t node; /* or UNKNOWN, ABSENT */
    int64_t made; /* the node of the recording's own files of this name; or UNKNOWN */
    bool was_absent;
};

struct tdw__node {
    char *path, *target; /* path NULL: made by the recording */
    uint64_t size;
    uint32_t mode;
    uint8_t kind; /* enum tdw_image_kind */
    bool guessed; /* the kind */
    bool exact, changed;
    bool maybe; /* it is not known whether it was there at the start */
};

static char *copy(struct tdw__import *im, const char *text)
{
    char *const fresh = strdup(text);

    if (!fresh)
        im->error = -ENOMEM;
    return fresh;
}

/* The name of a path, made when it is new. Its index, or TDW__NONE. */
static int64_t name_of(struct tdw__import *im, const char *path)
{
    const uint64_t key = tdw__key(path, strlen(path), 2);
    const int64_t *const known = tdw__map_get(&im->names_by_path, key);
    const size_t index = im->names_count;
    char *fresh;

    if (known)
        return *known;
    if (im->error || !(fresh = copy(im, path)))
        return TDW__NONE;
    im->error = tdw__grow(&im->names, &im->names_room, index, sizeof *im->names);
    if (!im->error)
        im->error = tdw__map_put(&im->names_by_path, key, (int64_t)index);
    if (im->error) {
        free(fresh);
        return TDW__NONE;
    }
    im->names[index] = (struct tdw__name){.path = fresh, .node = UNKNOWN, .made = UNKNOWN};
    im->names_count++;
    return (int64_t)index;
}

/* A node for this name; with `was_there` false it is made by the recording. Files that are made,
 * removed and made again share one: nothing is told of them. */
static int64_t node_new(struct tdw__import *im, int64_t name, uint8_t kind, bool was_there)
{
    const bool again = !was_there && im->names[name].made >= 0;
    const size_t index = again ? (size_t)im->names[name].made : im->nodes_count;
    char *path = NULL;

    if (im->error || (was_there && !(path = copy(im, im->names[name].path))))
        return TDW__NONE;
    im->error = tdw__grow(&im->nodes, &im->nodes_room, index, sizeof *im->nodes);
    if (im->error) {
        free(path);
        return TDW__NONE;
    }
    im->nodes[index] = (struct tdw__node){
        .path = path, .kind = kind, .guessed = kind == TDW_IMAGE_FILE, .changed = !was_there};
    im->nodes_count += !again;
    im->names[name].node = (int64_t)index;
    if (!was_there)
        im->names[name].made = (int64_t)index;
    return (int64_t)index;
}

static bool imageless(const char *path)
{
    return !path || path[0] != '/' || tdw__served(path);
}

/* All directories above `path` are there. */
static void parents_exist(struct tdw__import *im, const char *path)
{
    char parent[TDW_TRACE_PATH_BYTES + 1];
    size_t bytes = tdw__text_bytes(path, TDW_TRACE_PATH_BYTES);

    memcpy(parent, path, bytes);
    while (bytes > 1 && !im->error) {
        int64_t name;

        while (bytes > 1 && parent[bytes - 1] != '/')
            bytes--;
        bytes -= bytes > 1;
        parent[bytes] = 0;
        name = name_of(im, parent);
        if (name < 0 || im->names[name].node >= 0)
            break;
        node_new(im, name, TDW_IMAGE_DIRECTORY, im->names[name].node == UNKNOWN);
    }
}

int64_t tdw__node_of_path(struct tdw__import *im, const char *path)
{
    const int64_t name = imageless(path) ? TDW__NONE : name_of(im, path);

    return name < 0 || im->names[name].node < 0 ? TDW__NONE : im->names[name].node;
}

int64_t tdw__node_exists(struct tdw__import *im, const char *path, uint8_t kind)
{
    int64_t name, node;

    if (imageless(path) || im->error)
        return TDW__NONE;
    name = name_of(im, path);
    if (name < 0)
        return TDW__NONE;
    node = im->names[name].node;
    if (node < 0)
        node = node_new(im, name, kind, node == UNKNOWN);
    else if (im->nodes[node].guessed)
        im->nodes[node].kind = kind;
    parents_exist(im, path);
    return im->error ? TDW__NONE : node;
}

/* Nothing has this name now, and if it was not known before, nothing ever had. */
static void absent(struct tdw__import *im, const char *path)
{
    const int64_t name = imageless(path) || im->error ? TDW__NONE : name_of(im, path);

    if (name < 0)
        return;
    im->names[name].was_absent |= im->names[name].node == UNKNOWN;
    im->names[name].node = ABSENT;
}

static void absent_parent(struct tdw__import *im, const char *path)
{
    char parent[TDW_TRACE_PATH_BYTES + 1];
    const char *const slash = path ? strrchr(path, '/') : NULL;

    if (!slash || slash == path || slash - path > TDW_TRACE_PATH_BYTES)
        return;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = 0;
    absent(im, parent);
}

/* The recording makes this name. */
static int64_t created(struct tdw__import *im, const char *path, uint8_t kind)
{
    const int64_t name = imageless(path) || im->error ? TDW__NONE : name_of(im, path);

    if (name < 0)
        return TDW__NONE;
    parents_exist(im, path);
    return node_new(im, name, kind, false);
}

/* ── Evidence of sizes ───────────────────────────────────────────────────────────────────────────
 */

static void size_seen(struct tdw__import *im, int64_t node, uint64_t size, bool exact)
{
    struct tdw__node *n = node < 0 ? NULL : &im->nodes[node];

    if (!n || n->changed || (n->maybe && size == 0))
        return;
    n->maybe = false;
    n->exact |= exact;
    if (size > n->size)
        n->size = size;
}

static void changed(struct tdw__import *im, int64_t node)
{
    if (node >= 0)
        im->nodes[node].changed = true;
}

static void stat_seen(struct tdw__import *im, int64_t node, const struct tdw_call_stat *stat)
{
    struct tdw__node *n = node < 0 ? NULL : &im->nodes[node];
    const uint32_t type = stat->mode & TYPE_MASK;

    if (!n)
        return;
    if (n->guessed && !n->maybe)
        n->kind = type == TYPE_DIR    ? TDW_IMAGE_DIRECTORY
                  : type == TYPE_FILE ? TDW_IMAGE_FILE
                  : type == TYPE_LINK ? TDW_IMAGE_LINK
                                      : TDW_IMAGE_OTHER;
    if (n->mode == 0 && !n->changed)
        n->mode = stat->mode & 07777;
    if (type == TYPE_FILE)
        size_seen(im, node, stat->size, true);
}

/* The description behind the first descriptor, if it is a file's. */
static struct tdw__open *open_of(struct tdw__import *im, const struct tdw_call *call, int which,
                                 int arg)
{
    struct tdw__open *open = tdw__fd_open(im, call->process, call->arg[arg], call->fd_path[which]);

    return open && open->node >= 0 ? open : NULL;
}

/* Bytes were read at `offset`; fewer than asked for means the end. */
static void read_seen(struct tdw__import *im, int64_t node, uint64_t offset, int64_t asked,
                      int64_t got)
{
    if (got > 0)
        size_seen(im, node, offset + (uint64_t)got, got < asked);
}

static void track_read(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__open *const open = open_of(im, call, 0, 0);
    const bool at = call->row == TDW_ROW_FILE_AT && call->arg[3] >= 0;
    const int64_t asked =
        !strcmp(call->name, "pread64") || !strcmp(call->name, "read") ? call->arg[2] : call->arg[1];

    if (!open || call->result < 0)
        return;
    if (at) {
        read_seen(im, open->node, (uint64_t)call->arg[3], asked, call->result);
    } else if (open->offset_known) {
        read_seen(im, open->node, open->offset, asked, call->result);
        open->offset += (uint64_t)call->result;
    }
}

static void track_write(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__open *const open = open_of(im, call, 0, 0);

    if (!open || call->result < 0)
        return;
    changed(im, open->node);
    if (call->row == TDW_ROW_FILE) {
        open->offset += (uint64_t)call->result;
        open->offset_known &= !open->append;
    }
}

/* sendfile(out, in, …), splice and copy_file_range(in, offset, out, offset, …). */
static void track_copy(struct tdw__import *im, const struct tdw_call *call)
{
    const bool sendfile = !strncmp(call->name, "sendfile", 8);
    struct tdw__open *const in = open_of(im, call, sendfile ? 1 : 0, sendfile ? 1 : 0);
    struct tdw__open *out;
    const int64_t offset = call->arg[sendfile ? 2 : 1];

    if (call->result < 0)
        return;
    if (in && (offset >= 0 || in->offset_known))
        size_seen(im, in->node,
                  (offset >= 0 ? (uint64_t)offset : in->offset) + (uint64_t)call->result, false);
    if (in && offset < 0)
        in->offset += (uint64_t)call->result;
    out = open_of(im, call, sendfile ? 0 : 1, sendfile ? 0 : 2);
    if (out) {
        changed(im, out->node);
        out->offset += (uint64_t)call->result;
    }
}

static void track_seek(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__open *const open = open_of(im, call, 0, 0);

    if (!open || call->result < 0)
        return;
    if (call->arg[2] == 2)
        size_seen(im, open->node, (uint64_t)(call->result - call->arg[1]), true);
    open->offset = (uint64_t)call->result;
    open->offset_known = true;
}

/* ── Evidence of names ───────────────────────────────────────────────────────────────────────────
 */

static int64_t open_flags(const struct tdw_call *call)
{
    if (!strcmp(call->name, "creat"))
        return CREAT | TRUNC | 1;
    /* openat2's are in a structure that is not taken apart. */
    return !strcmp(call->name, "open") ? call->arg[1] : call->arg[2];
}

static void link_seen(struct tdw__import *im, const char *path, const char *target)
{
    const int64_t name = name_of(im, path);
    int64_t node;

    if (name < 0 || im->names[name].node != UNKNOWN)
        return;
    node = node_new(im, name, TDW_IMAGE_LINK, true);
    if (node < 0)
        return;
    im->nodes[node].target = copy(im, target);
    parents_exist(im, path);
}

static void opened(struct tdw__import *im, const struct tdw_call *call)
{
    const char *const path = call->path[0], *real = call->result_path ? call->result_path : path;
    const int64_t flags = open_flags(call);
    const uint8_t kind = flags & DIRECTORY ? TDW_IMAGE_DIRECTORY : TDW_IMAGE_FILE;
    int64_t name, node;

    if (imageless(real))
        return;
    if (!imageless(path) && strcmp(path, real) != 0)
        link_seen(im, path, real);
    name = name_of(im, real);
    if (name < 0)
        return;
    node = im->names[name].node;
    if (node < 0 && flags & CREAT) {
        const bool maybe = node == UNKNOWN && !(flags & EXCL);

        node = node_new(im, name, kind, maybe);
        if (node >= 0)
            im->nodes[node].maybe = maybe;
        parents_exist(im, real);
    } else {
        node = tdw__node_exists(im, real, node >= 0 ? im->nodes[node].kind : kind);
    }
    if (flags & TRUNC)
        changed(im, node);
}

static void track_open(struct tdw__import *im, const struct tdw_call *call)
{
    const char *const path = call->path[0];

    if (call->result >= 0)
        opened(im, call);
    else if (call->result == -ENOENT && open_flags(call) & CREAT)
        absent_parent(im, path);
    else if (call->result == -ENOENT)
        absent(im, path);
    else if (call->result == -EEXIST)
        tdw__node_exists(im, path, TDW_IMAGE_FILE);
    else if (call->result == -EISDIR)
        tdw__node_exists(im, path, TDW_IMAGE_DIRECTORY);
}

/* stat of a path: of what it leads to, if it is a link that is followed. */
static void stat_path(struct tdw__import *im, const struct tdw_call *call)
{
    const uint32_t type = call->stat.mode & TYPE_MASK;
    const uint8_t kind = type == TYPE_DIR ? TDW_IMAGE_DIRECTORY : TDW_IMAGE_FILE;
    int64_t node = tdw__node_exists(im, call->path[0], kind);
    const char *const target = node < 0 ? NULL : im->nodes[node].target;

    if (target && type != TYPE_LINK)
        node = tdw__node_exists(im, target, kind);
    stat_seen(im, node, &call->stat);
}

static void track_stat(struct tdw__import *im, const struct tdw_call *call)
{
    const bool told = call->result == 0 && call->bits & TDW_CALL_STAT;
    struct tdw__open *open;

    if (call->path[0] && call->path[0][0] == '/') {
        if (call->result == -ENOENT)
            absent(im, call->path[0]);
        else if (told)
            stat_path(im, call);
        return;
    }
    open = open_of(im, call, 0, 0);
    if (open && told)
        stat_seen(im, open->node, &call->stat);
}

static void track_exists(struct tdw__import *im, const struct tdw_call *call)
{
    const char *const path = call->path[0];

    if (call->result >= 0 && tdw__node_of_path(im, path) < 0)
        tdw__node_exists(im, path, TDW_IMAGE_FILE);
    else if (call->result == -ENOENT)
        absent(im, path);
}

static void track_link_read(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result >= 0 && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_LINK);
    else if (call->result == -EINVAL && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_FILE);
    else if (call->result == -ENOENT)
        absent(im, call->path[0]);
}

/* The entries of a directory: each was there, unless its name is known already. */
static void track_list(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *const call = &parsed->call;
    const char *const directory = call->fd_path[0];
    static const uint8_t kinds[16] = {
        [4] = TDW_IMAGE_DIRECTORY, [8] = TDW_IMAGE_FILE, [10] = TDW_IMAGE_LINK};
    struct tdw__span rest = tdw__list_open(parsed->entries), one;
    struct tdw__arena *arena;

    if (imageless(directory) || call->result < 0)
        return;
    tdw__node_exists(im, directory, TDW_IMAGE_DIRECTORY);
    arena = &im->parsed.arena;
    while (!im->error && tdw__next_member(&rest, &one)) {
        const size_t used = arena->used;
        const char *const name = tdw__quoted(arena, tdw__member(one, "d_name"));
        char path[2 * TDW_TRACE_PATH_BYTES + 2];
        bool bad = false;
        const int64_t type = tdw__number(tdw__member(one, "d_type"), &bad) & 15;
        int64_t known;

        arena->used = used;
        if (!name || !strcmp(name, ".") || !strcmp(name, "..") || name[0] == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory[1] ? directory : "", name);
        known = name_of(im, path);
        if (known >= 0 && im->names[known].node == UNKNOWN)
            tdw__node_exists(im, path, kinds[type] ? kinds[type] : (uint8_t)TDW_IMAGE_OTHER);
    }
}

static void track_mkdir(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result == 0)
        created(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -EEXIST && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -ENOENT)
        absent_parent(im, call->path[0]);
}

static void track_unlink(struct tdw__import *im, const struct tdw_call *call)
{
    const bool directory =
        !strcmp(call->name, "rmdir") || (!strcmp(call->name, "unlinkat") && call->arg[2] & 0x200);

    if (call->result == 0) {
        if (tdw__node_of_path(im, call->path[0]) < 0)
            tdw__node_exists(im, call->path[0], directory ? TDW_IMAGE_DIRECTORY : TDW_IMAGE_FILE);
        absent(im, call->path[0]);
    } else if (call->result == -ENOENT) {
        absent(im, call->path[0]);
    }
}

static void track_rename(struct tdw__import *im, const struct tdw_call *call, bool moves)
{
    const char *const from = call->path[0], *const to = call->path[1];
    int64_t node, name;

    if (call->result == -ENOENT && moves)
        absent(im, from);
    if (call->result == -EEXIST)
        tdw__node_exists(im, to, TDW_IMAGE_FILE);
    if (call->result != 0 || imageless(from) || imageless(to))
        return;
    node = tdw__node_of_path(im, from);
    if (node < 0)
        node = tdw__node_exists(im, from, TDW_IMAGE_FILE);
    name = name_of(im, to);
    if (name < 0 || node < 0)
        return;
    if (moves)
        absent(im, from);
    im->names[name].node = node;
    parents_exist(im, to);
}

static void track_chdir(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result == 0 && call->path[0])
        tdw__node_exists(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -ENOENT)
        absent(im, call->path[0]);
}

static void track_resize(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__open *open;

    if (call->path[0]) {
        if (call->result == 0)
            changed(im, tdw__node_exists(im, call->path[0], TDW_IMAGE_FILE));
        else if (call->result == -ENOENT)
            absent(im, call->path[0]);
        return;
    }
    open = open_of(im, call, 0, 0);
    if (open && call->result == 0)
        changed(im, open->node);
}

void tdw__images_track(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *const call = &parsed->call;

    if (call->bits & (TDW_CALL_NO_RESULT | TDW_CALL_RESTART) || im->error)
        return;
    switch ((enum tdw__track)parsed->syscall->track) {
    case TDW__T_READ:
        track_read(im, call);
        break;
    case TDW__T_WRITE:
        track_write(im, call);
        break;
    case TDW__T_COPY:
        track_copy(im, call);
        break;
    case TDW__T_SEEK:
        track_seek(im, call);
        break;
    case TDW__T_RESIZE:
        track_resize(im, call);
        break;
    case TDW__T_OPEN:
        track_open(im, call);
        break;
    case TDW__T_STAT:
        track_stat(im, call);
        break;
    case TDW__T_EXISTS:
        track_exists(im, call);
        break;
    case TDW__T_LINK_READ:
        track_link_read(im, call);
        break;
    case TDW__T_LIST:
        track_list(im, parsed);
        break;
    case TDW__T_MKDIR:
        track_mkdir(im, call);
        break;
    case TDW__T_UNLINK:
        track_unlink(im, call);
        break;
    case TDW__T_RENAME:
        track_rename(im, call, true);
        break;
    case TDW__T_LINK:
        track_rename(im, call, false);
        break;
    case TDW__T_SYMLINK:
        if (call->result == 0)
            created(im, call->path[call->path[1] ? 1 : 0], TDW_IMAGE_LINK);
        break;
    case TDW__T_CHDIR:
        track_chdir(im, call);
        break;
    case TDW__T_GETCWD:
        if (call->result > 0)
            tdw__node_exists(im, call->path[0], TDW_IMAGE_DIRECTORY);
        break;
    case TDW__T_EXEC:
        track_exists(im, call);
        break;
    default: /* the others say nothing about files */
        break;
    }
}

/* ── The end ─────────────────────────────────────────────────────────────────────────────────────
 */

static int image_write(struct tdw__import *im, struct tdw_trace_writer *writer,
                       const struct tdw_image *image)
{
    im->images_written++;
    return tdw_trace_image(writer, image);
}

int tdw__images_write(struct tdw__import *im, struct tdw_trace_writer *writer)
{
    int error = 0;

    for (size_t i = 0; i < im->nodes_count && !error; i++) {
        const struct tdw__node *n = &im->nodes[i];
        const struct tdw_image image = {.kind = n->kind,
                                        .path = n->path,
                                        .target = n->target,
                                        .size = n->size,
                                        .mode = n->mode,
                                        .exact = n->exact};

        if (n->path && !n->maybe)
            error = image_write(im, writer, &image);
    }
    for (size_t i = 0; i < im->names_count && !error; i++) {
        const struct tdw_image image = {.kind = TDW_IMAGE_ABSENT, .path = im->names[i].path};

        if (im->names[i].was_absent)
            error = image_write(im, writer, &image);
    }
    for (size_t i = 0; i < im->fd_images_count && !error; i++)
        error = image_write(im, writer, &im->fd_images[i]);
    return error;
}

void tdw__images_fini(struct tdw__import *im)
{
    for (size_t i = 0; i < im->names_count; i++)
        free(im->names[i].path);
    for (size_t i = 0; i < im->nodes_count; i++) {
        free(im->nodes[i].path);
        free(im->nodes[i].target);
    }
    for (size_t i = 0; i < im->fd_images_count; i++) {
        char *path;

        memcpy(&path, &im->fd_images[i].path, sizeof path);
        free(path);
    }
    free(im->names);
    free(im->nodes);
    free(im->fd_images);
    tdw__map_fini(&im->names_by_path);
}
