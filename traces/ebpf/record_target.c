/* SPDX-License-Identifier: MIT */
/*
 * Whom a recording is of: a command, started as its user would, or a process that runs.
 *
 * A command is forked before anything follows it and waits at a pipe, so that the first call that
 * is recorded is its exec. It is looked for in PATH once, by the parent: what is recorded is the
 * program's, not the search. Started through sudo it runs as the user who called sudo, with that
 * user's groups; its environment, directory and descriptors are the caller's.
 *
 * Of a process that runs, /proc tells what its descriptors are, with flags and offsets. It may open
 * and close some meanwhile: what it does once it is followed has the last word.
 *
 * Called by record.c.
 */
#include "record_target.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/types.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include "events.h"

/* ── A command ───────────────────────────────────────────────────────────────────────────────────
 */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The file that `name` means, in `path`; false if there is none. */
static bool program_find(const char *name, char *path, size_t bytes)
{
    const char *at = getenv("PATH");

    if (strchr(name, '/')) {
        snprintf(path, bytes, "%s", name);
        return is_program(path);
    }
    while (at && *at) {
        const size_t length = strcspn(at, ":");

        snprintf(path, bytes, "%.*s/%s", length ? (int)length : 1, length ? at : ".", name);
        if (is_program(path))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* The number in this variable, or `otherwise`. */
static unsigned variable(const char *name, unsigned otherwise)
{
    const char *const text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* Be the user who called sudo. 0 or -errno. */
static int be_caller(void)
{
    const uid_t uid = variable("SUDO_UID", getuid());
    const gid_t gid = variable("SUDO_GID", getgid());
    const struct passwd *user;

    if (geteuid() != 0 || uid == 0)
        return 0;
    user = getpwuid(uid);
    if (user ? initgroups(user->pw_name, gid) : setgroups(1, &gid))
        return -errno;
    return setgid(gid) || setuid(uid) ? -errno : 0;
}

static _Noreturn void child(int go, int failed, const char *path, char **argv, const sigset_t *mask)
{
    char byte;
    int error = be_caller();

    sigprocmask(SIG_SETMASK, mask, NULL);
    /* An end without a byte: there will be no recording. */
    if (!error && read(go, &byte, 1) == 1) {
        execv(path, argv);
        error = -errno;
    }
    if (write(failed, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

int tdw__record_command_fork(struct tdw__record_command *command, char **argv, const sigset_t *mask,
                             FILE *err)
{
    int go[2], failed[2];
    char path[4096];

    *command = (struct tdw__record_command){-1, -1, -1};
    if (!program_find(argv[0], path, sizeof path)) {
        fprintf(err, "tdw record: there is no program %s\n", argv[0]);
        return -ENOENT;
    }
    if (pipe2(go, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
        return -errno;
    command->pid = fork();
    if (command->pid == 0) {
        close(go[1]);
        close(failed[0]);
        child(go[0], failed[1], path, argv, mask);
    }
    close(go[0]);
    close(failed[1]);
    command->go = go[1];
    command->failed = failed[0];
    return command->pid < 0 ? -errno : 0;
}

int tdw__record_command_go(struct tdw__record_command *command, const char *name, FILE *err)
{
    int error = 0;

    if (write(command->go, "", 1) != 1)
        return -errno;
    close(command->go);
    command->go = -1;
    /* Nothing comes if exec succeeded: the pipe is closed by it. */
    if (read(command->failed, &error, sizeof error) <= 0)
        return 0;
    fprintf(err, "tdw record: %s could not be executed: %s\n", name, strerror(-error));
    return error;
}

void tdw__record_command_close(struct tdw__record_command *command)
{
    if (command->go >= 0)
        close(command->go);
    if (command->failed >= 0)
        close(command->failed);
}

/* ── A process ───────────────────────────────────────────────────────────────────────────────────
 */

/* "key:\tvalue" of fdinfo. */
static unsigned long long value_of(const char *info, const char *key, int base)
{
    const char *const at = strstr(info, key);

    return at ? strtoull(at + strlen(key), NULL, base) : 0;
}

static void info_read(pid_t pid, const char *fd, struct tdw__event_fd *event)
{
    char path[300], info[512];
    ssize_t bytes;
    int in;

    snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int)pid, fd);
    in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return;
    bytes = read(in, info, sizeof info - 1);
    close(in);
    info[bytes > 0 ? bytes : 0] = 0;
    event->offset = value_of(info, "pos:\t", 10);
    event->flags = (__u32)value_of(info, "flags:\t", 8);
}

/* /proc's words as the later stages want them: a device with its numbers, nothing about being
 * deleted. Answers their length. */
static size_t words_read(const char *link, char *words, size_t bytes)
{
    static const char deleted[] = " (deleted)";
    const ssize_t n = readlink(link, words, bytes - 64);
    size_t length = n > 0 ? (size_t)n : 0;
    struct stat st;

    words[length] = 0;
    if (length >= sizeof deleted && !strcmp(words + length - sizeof deleted + 1, deleted))
        words[length -= sizeof deleted - 1] = 0;
    if (stat(link, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)))
        length += (size_t)snprintf(words + length, 64, "<%s %u:%u>",
                                   S_ISCHR(st.st_mode) ? "char" : "block", major(st.st_rdev),
                                   minor(st.st_rdev));
    return length;
}

static void descriptor_tell(struct tdw__record_spool *spool, pid_t pid, const char *fd)
{
    struct {
        struct tdw__event_fd event;
        char words[4096];
    } both = {.event.fd = (__s32)strtol(fd, NULL, 10)};
    struct timespec now;
    char link[300];
    size_t bytes;

    snprintf(link, sizeof link, "/proc/%d/fd/%s", (int)pid, fd);
    bytes = words_read(link, both.words, sizeof both.words);
    if (bytes == 0)
        return;
    info_read(pid, fd, &both.event);
    clock_gettime(CLOCK_MONOTONIC, &now);
    both.event.head.kind = TDW__EV_FD;
    both.event.head.bytes = (__u32)(sizeof both.event + (bytes / 8 + 1) * 8);
    both.event.head.tid = both.event.head.other = (__u32)pid;
    both.event.head.at_ns = (__u64)now.tv_sec * 1000000000u + (__u64)now.tv_nsec;
    tdw__record_spool_put(spool, &both, both.event.head.bytes);
}

void tdw__record_descriptors(struct tdw__record_spool *spool, pid_t pid)
{
    char path[64];
    const struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            descriptor_tell(spool, pid, entry->d_name);
    }
    if (dir)
        closedir(dir);
}
