/* SPDX-License-Identifier: MIT */
/*
 * Paths of a recording, made absolute.
 *
 * A path is relative to the directory descriptor before it, whose name the recorder tells, or to
 * the process's working directory. The latter is told with AT_FDCWD, by getcwd, and moves with
 * chdir and fchdir; before it was ever told, a relative path stays as it is. `//`, `.` and `..` are
 * taken out by their letters: links are not followed, since nobody knows any more where they led.
 *
 * Texts go into the call's arena. Called by import_calls.c with each completed call.
 */
#include <traces/import.h>
#include <stdlib.h>
#include <string.h>

/* Make `path` absolute under `dir`, without //, . and .. — by its letters: links are not followed.
 */
static const char *resolve(struct tdw__arena *arena, const char *dir, const char *path)
{
    char *const out = arena->bytes + arena->used;
    const char *const parts[2] = {path[0] == '/' ? NULL : dir, path};
    size_t used = 0;

    if (path[0] == 0 || (path[0] != '/' && !dir))
        return path;
    if (sizeof arena->bytes - arena->used < 2 * TDW_TRACE_PATH_BYTES + 4)
        return path;
    for (int i = 0; i < 2; i++) {
        const char *at = parts[i];

        while (at && *at) {
            const size_t bytes = strcspn(at, "/");

            if (bytes == 2 && !memcmp(at, "..", 2)) {
                while (used > 0 && out[--used] != '/')
                    continue;
            } else if (bytes > 0 && !(bytes == 1 && *at == '.')) {
                out[used++] = '/';
                memcpy(out + used, at, bytes);
                used += bytes;
            }
            at += bytes + (at[bytes] == '/');
        }
    }
    if (used == 0)
        out[used++] = '/';
    out[used] = 0;
    arena->used += used + 1;
    return out;
}

/* The same for the name of a unix socket. */
static const char *address_resolve(struct tdw__arena *arena, const char *dir, const char *address)
{
    const char *const path = address + 5;
    char *out = arena->bytes + arena->used;

    if (path[0] == '/' || path[0] == '@' || path[0] == 0 || !dir ||
        sizeof arena->bytes - arena->used < 3 * TDW_TRACE_PATH_BYTES)
        return address;
    memcpy(out, "unix:", 5);
    arena->used += 5;
    resolve(arena, dir, path);
    return out;
}

/* What a path is relative to: its directory descriptor, else the working directory. Learns the
 * latter from the recorder, which tells it with AT_FDCWD. */
void tdw__paths_resolve(struct tdw__import *im, struct tdw__parsed *p)
{
    struct tdw__process *const process = &im->processes[p->call.process];
    const int first = p->syscall->shape[0] == 't' ? 1 : 0;

    for (int i = 0; i < 2; i++) {
        if (p->dir[i] && p->dir_fd[i] == -100 && p->dir[i][0] == '/' &&
            (!process->cwd || strcmp(process->cwd, p->dir[i]) != 0)) {
            free(process->cwd);
            process->cwd = strdup(p->dir[i]);
        }
        if (i >= first && p->call.path[i])
            p->call.path[i] =
                resolve(&p->arena, p->dir[i] ? p->dir[i] : process->cwd, p->call.path[i]);
    }
    if (p->call.address && !strncmp(p->call.address, "unix:", 5))
        p->call.address = address_resolve(&p->arena, process->cwd, p->call.address);
    if (p->syscall->track == TDW__T_GETCWD && p->call.result <= 0)
        p->call.path[0] = NULL;
}

void tdw__chdir_track(struct tdw__import *im, const struct tdw__parsed *p)
{
    struct tdw__process *const process = &im->processes[p->call.process];
    const char *const to = p->call.path[0] ? p->call.path[0] : p->call.fd_path[0];
    const bool moved = p->syscall->track == TDW__T_CHDIR && p->call.result == 0;
    const bool told = p->syscall->track == TDW__T_GETCWD && p->call.result > 0;

    if ((moved || told) && to && to[0] == '/') {
        free(process->cwd);
        process->cwd = strdup(to);
    }
}
