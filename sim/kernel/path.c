/* SPDX-License-Identifier: MIT */
/*
 * Paths: from a string to the inode it names, and to the directory that holds its last name.
 *
 * One loop takes one component at a time. A symlink inside the path is followed by setting aside
 * what is left of the string and going on with the link's target, so no recursion is needed; at
 * most 40 links are followed in one walk (-ELOOP), which also bounds what is set aside. The root
 * is the process's own, and ".." does not leave it. In a removed directory every name but "." and
 * ".." is -ENOENT.
 *
 * openat2 may ask for less: no symlinks, or not to leave the directory where the walk began (which
 * is its root then, or leaving it is -EXDEV).
 *
 * A walk changes nothing and pins nothing. Permissions are not looked at: everything runs as uid
 * 0. Cost: a hash look-up for each component. Called by name_ops.c, sys.c and unix.c.
 */
#include <sim/kernel/vfs.h>
#include <string.h>

int tdw__path_check(const char *path, bool empty)
{
    size_t bytes;

    if (!path)
        return -EFAULT;
    bytes = strnlen(path, TDW_PATH_BYTES_MAX);
    if (bytes == 0 && !empty)
        return -ENOENT;
    return bytes == TDW_PATH_BYTES_MAX ? -ENAMETOOLONG : 0;
}

/* The strings being walked: the innermost, and what is left of those around it. */
struct strings {
    const char *rest[TDW_SYMLINKS_MAX + 1];
    uint32_t depth, links;
    const char *at;
};

/* Skip slashes, and strings that have ended. */
static void skip(struct strings *s)
{
    for (;;) {
        s->at += strspn(s->at, "/");
        if (*s->at || s->depth == 0)
            return;
        s->at = s->rest[--s->depth];
    }
}

static enum tdw_last kind_of(const char *text, uint32_t bytes)
{
    if (bytes == 1 && text[0] == '.')
        return TDW_LAST_DOT;
    return bytes == 2 && text[0] == '.' && text[1] == '.' ? TDW_LAST_DOTDOT : TDW_LAST_NAME;
}

/* Look the component up in w->dir: sets name and inode. */
static int look(struct tdw_walk *w)
{
    w->name = NULL;
    w->inode = w->dir;
    if (!tdw__is_dir(w->dir))
        return -ENOTDIR;
    switch (w->last) {
    case TDW_LAST_ROOT:
    case TDW_LAST_DOT:
        return 0;
    case TDW_LAST_DOTDOT:
        if (w->dir != w->root)
            w->inode = w->dir->names.parent;
        return w->dir == w->root && w->beneath ? -EXDEV : 0;
    case TDW_LAST_NAME:
        break;
    }
    w->inode = NULL;
    if (w->dir->links_now == 0)
        return -ENOENT;
    if (w->bytes > TDW_NAME_BYTES_MAX)
        return -ENAMETOOLONG;
    w->name = tdw__name_find(w->dir, w->text, w->bytes);
    if (w->name)
        w->inode = w->name->now;
    return 0;
}

/* Go on at the target of the symlink w->inode. */
static int follow(struct tdw_walk *w, struct strings *s)
{
    if (s->links++ >= TDW_SYMLINKS_MAX)
        return -ELOOP;
    if (*s->at)
        s->rest[s->depth++] = s->at;
    s->at = w->inode->target;
    if (*s->at != '/')
        return 0;
    w->dir = w->root;
    return w->beneath ? -EXDEV : 0;
}

static int start(const struct tdw_files *files, int dirfd, const char *path, uint32_t flags,
                 struct tdw_inode **at)
{
    const struct tdw_file *file;

    if (*path == '/' && flags & TDW_WALK_BENEATH)
        return -EXDEV;
    if (*path == '/' && !(flags & TDW_WALK_IN_ROOT)) {
        *at = files->root;
    } else if (dirfd == AT_FDCWD) {
        *at = files->cwd;
    } else {
        file = tdw__fd_any(files, dirfd);
        if (!file)
            return -EBADF;
        if (!file->inode)
            return *path ? -ENOTDIR : -EXDEV;
        *at = file->inode;
    }
    return 0;
}

static int walk(struct strings *s, uint32_t flags, struct tdw_walk *w)
{
    bool must_dir = false;

    skip(s);
    w->last = TDW_LAST_ROOT;
    w->inode = w->dir;
    while (*s->at) {
        bool more;
        int err;

        w->text = s->at;
        w->bytes = (uint32_t)strcspn(s->at, "/");
        w->last = kind_of(w->text, w->bytes);
        s->at += w->bytes;
        w->slash = *s->at == '/';
        skip(s);
        more = *s->at;
        if (!more && w->slash && w->last == TDW_LAST_NAME && flags & TDW_WALK_CREATE)
            return tdw__is_dir(w->dir) ? -EISDIR : -ENOTDIR;
        if (!more && flags & TDW_WALK_PARENT)
            return tdw__is_dir(w->dir) ? 0 : -ENOTDIR;
        err = look(w);
        if (err)
            return err;
        must_dir |= !more && w->slash;
        if (!w->inode)
            return more ? -ENOENT : 0;
        if (tdw__is_lnk(w->inode) && (more || must_dir || flags & TDW_WALK_FOLLOW)) {
            err = flags & TDW_WALK_NO_SYMLINKS ? -ELOOP : follow(w, s);
            if (err)
                return err;
            skip(s);
            w->inode = w->dir; /* in case nothing comes: the target was "/" */
            w->name = NULL;
            w->last = TDW_LAST_ROOT;
        } else if (more) {
            w->dir = w->inode;
        }
    }
    return must_dir && !tdw__is_dir(w->inode) ? -ENOTDIR : 0;
}

int tdw__walk(const struct tdw_files *files, int dirfd, const char *path, uint32_t flags,
              struct tdw_walk *w)
{
    struct strings s = {.at = path};
    int err = tdw__path_check(path, flags & TDW_WALK_EMPTY);

    *w = (struct tdw_walk){.text = path};
    if (err)
        return err;
    err = start(files, dirfd, path, flags, &w->dir);
    if (err)
        return err;
    w->root = flags & (TDW_WALK_BENEATH | TDW_WALK_IN_ROOT) ? w->dir : files->root;
    w->beneath = flags & TDW_WALK_BENEATH;
    if (!*path) {
        w->inode = w->dir;
        return 0;
    }
    if (!tdw__is_dir(w->dir))
        return -ENOTDIR;
    return walk(&s, flags, w);
}

int tdw__walk_last(struct tdw_walk *w)
{
    return look(w);
}

int tdw__walk_existing(const struct tdw_files *files, int dirfd, const char *path, uint32_t flags,
                       struct tdw_walk *w)
{
    const int err = tdw__walk(files, dirfd, path, flags, w);

    return err ? err : w->inode ? 0 : -ENOENT;
}
