/* SPDX-License-Identifier: MIT */
/*
 * Each completed call as evidence of what was there before the recording.
 *
 * import_images.c keeps names and nodes; here stands what each system call tells about them: which
 * names a success or an error proves, how large a file must have been, what changes it. One
 * function for each kind of call of the table, and one switch over them.
 *
 * It never looks at calls without result, and never decides twice: what a name was at the start is
 * settled by its first sight. Called by import_calls.c with each completed call, before the
 * descriptors' table learns of it.
 */
#include <traces/format.h>
#include <traces/import.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CREAT = 0100, EXCL = 0200, TRUNC = 01000, DIRECTORY = 0200000 };
enum { TYPE_MASK = 0170000, TYPE_DIR = 040000, TYPE_FILE = 0100000, TYPE_LINK = 0120000 };

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
    const int64_t name = tdw__name_of(im, path);
    int64_t node;

    if (name < 0 || im->names[name].node != TDW__UNKNOWN)
        return;
    node = tdw__node_new(im, name, TDW_IMAGE_LINK, true);
    if (node < 0)
        return;
    im->nodes[node].target = strdup(target);
    tdw__parents_exist(im, path);
}

static void opened(struct tdw__import *im, const struct tdw_call *call)
{
    const char *const path = call->path[0], *real = call->result_path ? call->result_path : path;
    const int64_t flags = open_flags(call);
    const uint8_t kind = flags & DIRECTORY ? TDW_IMAGE_DIRECTORY : TDW_IMAGE_FILE;
    int64_t name, node;

    if (tdw__imageless(real))
        return;
    if (!tdw__imageless(path) && strcmp(path, real) != 0)
        link_seen(im, path, real);
    name = tdw__name_of(im, real);
    if (name < 0)
        return;
    node = im->names[name].node;
    if (node < 0 && flags & CREAT) {
        const bool maybe = node == TDW__UNKNOWN && !(flags & EXCL);

        node = tdw__node_new(im, name, kind, maybe);
        if (node >= 0)
            im->nodes[node].maybe = maybe;
        tdw__parents_exist(im, real);
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
        tdw__absent_parent(im, path);
    else if (call->result == -ENOENT)
        tdw__absent(im, path);
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
            tdw__absent(im, call->path[0]);
        else if (told)
            stat_path(im, call);
        return;
    }
    open = open_of(im, call, 0, 0);
    if (open && told)
        stat_seen(im, open->node, &call->stat);
}

/* Did the call ask whether the file may be run, or run it? */
static bool runs(const struct tdw_call *call)
{
    if (!strncmp(call->name, "exec", 4))
        return true;
    return (!strcmp(call->name, "access") && call->arg[1] & X_OK) ||
           (!strncmp(call->name, "faccessat", 9) && call->arg[2] & X_OK);
}

static void track_exists(struct tdw__import *im, const struct tdw_call *call)
{
    const char *const path = call->path[0];
    int64_t node = call->result >= 0 ? tdw__node_of_path(im, path) : TDW__NONE;

    if (call->result >= 0 && node < 0)
        node = tdw__node_exists(im, path, TDW_IMAGE_FILE);
    if (call->result >= 0 && node >= 0 && im->nodes[node].mode == 0 && runs(call))
        im->nodes[node].mode = 0755;
    else if (call->result == -ENOENT)
        tdw__absent(im, path);
}

static void track_link_read(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result >= 0 && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_LINK);
    else if (call->result == -EINVAL && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_FILE);
    else if (call->result == -ENOENT)
        tdw__absent(im, call->path[0]);
}

/* The entries of a directory: each was there, unless its name is known already. */
static void track_list(struct tdw__import *im, const struct tdw__parsed *parsed)
{
    const struct tdw_call *const call = &parsed->call;
    const char *const directory = call->fd_path[0];
    static const uint8_t kinds[16] = {
        [4] = TDW_IMAGE_DIRECTORY, [8] = TDW_IMAGE_FILE, [10] = TDW_IMAGE_LINK};
    struct tdw__span rest = parsed->entries;
    struct tdw__entry entry;

    if (tdw__imageless(directory) || call->result < 0 || !parsed->entry_next)
        return;
    tdw__node_exists(im, directory, TDW_IMAGE_DIRECTORY);
    while (!im->error && parsed->entry_next(&im->parsed.arena, &rest, &entry)) {
        const uint8_t kind = kinds[entry.type & 15];
        char path[2 * TDW_TRACE_PATH_BYTES + 2];
        int64_t known;

        if (!entry.name || !strcmp(entry.name, ".") || !strcmp(entry.name, "..") ||
            entry.name[0] == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory[1] ? directory : "", entry.name);
        known = tdw__name_of(im, path);
        if (known >= 0 && im->names[known].node == TDW__UNKNOWN)
            tdw__node_exists(im, path, kind ? kind : (uint8_t)TDW_IMAGE_OTHER);
    }
}

static void track_mkdir(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result == 0)
        tdw__created(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -EEXIST && tdw__node_of_path(im, call->path[0]) < 0)
        tdw__node_exists(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -ENOENT)
        tdw__absent_parent(im, call->path[0]);
}

static void track_unlink(struct tdw__import *im, const struct tdw_call *call)
{
    const bool directory =
        !strcmp(call->name, "rmdir") || (!strcmp(call->name, "unlinkat") && call->arg[2] & 0x200);

    if (call->result == 0) {
        if (tdw__node_of_path(im, call->path[0]) < 0)
            tdw__node_exists(im, call->path[0], directory ? TDW_IMAGE_DIRECTORY : TDW_IMAGE_FILE);
        tdw__absent(im, call->path[0]);
    } else if (call->result == -ENOENT) {
        tdw__absent(im, call->path[0]);
    }
}

static void track_rename(struct tdw__import *im, const struct tdw_call *call, bool moves)
{
    const char *const from = call->path[0], *const to = call->path[1];
    int64_t node, name;

    if (call->result == -ENOENT && moves)
        tdw__absent(im, from);
    if (call->result == -EEXIST)
        tdw__node_exists(im, to, TDW_IMAGE_FILE);
    if (call->result != 0 || tdw__imageless(from) || tdw__imageless(to))
        return;
    node = tdw__node_of_path(im, from);
    if (node < 0)
        node = tdw__node_exists(im, from, TDW_IMAGE_FILE);
    name = tdw__name_of(im, to);
    if (name < 0 || node < 0)
        return;
    if (moves)
        tdw__absent(im, from);
    im->names[name].node = node;
    tdw__parents_exist(im, to);
}

static void track_chdir(struct tdw__import *im, const struct tdw_call *call)
{
    if (call->result == 0 && call->path[0])
        tdw__node_exists(im, call->path[0], TDW_IMAGE_DIRECTORY);
    else if (call->result == -ENOENT)
        tdw__absent(im, call->path[0]);
}

static void track_resize(struct tdw__import *im, const struct tdw_call *call)
{
    struct tdw__open *open;

    if (call->path[0]) {
        if (call->result == 0)
            changed(im, tdw__node_exists(im, call->path[0], TDW_IMAGE_FILE));
        else if (call->result == -ENOENT)
            tdw__absent(im, call->path[0]);
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
            tdw__created(im, call->path[call->path[1] ? 1 : 0], TDW_IMAGE_LINK);
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
