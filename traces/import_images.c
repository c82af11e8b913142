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
 * Memory: an entry for each distinct path. Called by import_calls.c with each completed call.
 */
#include <traces/format.h>
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *copy(struct tdw__import *im, const char *text)
{
    char *const fresh = strdup(text);

    if (!fresh)
        im->error = -ENOMEM;
    return fresh;
}

/* The name of a path, made when it is new. Its index, or TDW__NONE. */
int64_t tdw__name_of(struct tdw__import *im, const char *path)
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
    im->names[index] =
        (struct tdw__name){.path = fresh, .node = TDW__UNKNOWN, .made = TDW__UNKNOWN};
    im->names_count++;
    return (int64_t)index;
}

/* A node for this name; with `was_there` false it is made by the recording. Files that are made,
 * removed and made again share one: nothing is told of them. */
int64_t tdw__node_new(struct tdw__import *im, int64_t name, uint8_t kind, bool was_there)
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

bool tdw__imageless(const char *path)
{
    return !path || path[0] != '/' || tdw__served(path);
}

/* All directories above `path` are there. */
void tdw__parents_exist(struct tdw__import *im, const char *path)
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
        name = tdw__name_of(im, parent);
        if (name < 0 || im->names[name].node >= 0)
            break;
        tdw__node_new(im, name, TDW_IMAGE_DIRECTORY, im->names[name].node == TDW__UNKNOWN);
    }
}

int64_t tdw__node_of_path(struct tdw__import *im, const char *path)
{
    const int64_t name = tdw__imageless(path) ? TDW__NONE : tdw__name_of(im, path);

    return name < 0 || im->names[name].node < 0 ? TDW__NONE : im->names[name].node;
}

int64_t tdw__node_exists(struct tdw__import *im, const char *path, uint8_t kind)
{
    int64_t name, node;

    if (tdw__imageless(path) || im->error)
        return TDW__NONE;
    name = tdw__name_of(im, path);
    if (name < 0)
        return TDW__NONE;
    node = im->names[name].node;
    if (node < 0)
        node = tdw__node_new(im, name, kind, node == TDW__UNKNOWN);
    else if (im->nodes[node].guessed)
        im->nodes[node].kind = kind;
    tdw__parents_exist(im, path);
    return im->error ? TDW__NONE : node;
}

/* Nothing has this name now, and if it was not known before, nothing ever had. */
void tdw__absent(struct tdw__import *im, const char *path)
{
    const int64_t name = tdw__imageless(path) || im->error ? TDW__NONE : tdw__name_of(im, path);

    if (name < 0)
        return;
    im->names[name].was_absent |= im->names[name].node == TDW__UNKNOWN;
    im->names[name].node = TDW__ABSENT;
}

void tdw__absent_parent(struct tdw__import *im, const char *path)
{
    char parent[TDW_TRACE_PATH_BYTES + 1];
    const char *const slash = path ? strrchr(path, '/') : NULL;

    if (!slash || slash == path || slash - path > TDW_TRACE_PATH_BYTES)
        return;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = 0;
    tdw__absent(im, parent);
}

/* The recording makes this name. */
int64_t tdw__created(struct tdw__import *im, const char *path, uint8_t kind)
{
    const int64_t name = tdw__imageless(path) || im->error ? TDW__NONE : tdw__name_of(im, path);

    if (name < 0)
        return TDW__NONE;
    tdw__parents_exist(im, path);
    return tdw__node_new(im, name, kind, false);
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
