/* SPDX-License-Identifier: MIT */
/*
 * Hosts on the real kernel: several of a scenario's on one machine.
 *
 * A host is a name, a ring of the runtime for its tasks, an address in 127.0.0.0/8, and a directory
 * in which its relative paths begin. All of them share the loop and, with it, one ring of the
 * kernel's. The program's own host, "main", has the program's directory, and no address of its own:
 * whatever runs there is an ordinary program.
 *
 * Addresses are 127.(64 + p / 256 mod 128).(p mod 256).(1 + n) for process p and host n, so that
 * two runs at a time seldom meet. A host that binds to any address binds to its own, else two
 * hosts could not listen on one port.
 *
 * What no machine does on request is refused, and told once: power cuts, pauses, clocks that drift,
 * links and devices. The scenario goes on as if they had not happened.
 */
#include <runtime/real/real.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── Made, booted, ended ───────────────────────────────────────────────────────────────────── */

/* A directory for the host's files, below $TMPDIR. 0, or -errno and there is none. */
static int make_home(struct tdw_host *host)
{
    const char *tmp = getenv("TMPDIR");
    int err;

    snprintf(host->home, sizeof host->home, "%.200s/tidewheel-host-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(host->home)) {
        err = -errno;
        host->home[0] = '\0';
        return err;
    }
    host->dir = open(host->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (host->dir >= 0 && realpath(host->home, host->path)) {
        memcpy(host->home, host->path, sizeof host->home); /* wherever the program goes */
        return 0;
    }
    err = -errno;
    if (host->dir >= 0)
        close(host->dir);
    rmdir(host->home);
    return err;
}

/* The descriptor of the same directory among those that it has left, in the place of `fd`, so that
 * there are no more of them than it has been to. */
static int been_there(struct tdw_host *host, int fd)
{
    struct stat to, one;

    for (uint32_t i = 0; fstat(fd, &to) == 0 && i < host->left_count; i++)
        if (fstat(host->left[i], &one) == 0 && one.st_dev == to.st_dev && one.st_ino == to.st_ino) {
            close(fd);
            fd = host->left[i];
            host->left[i] = host->left[--host->left_count];
            break;
        }
    return fd;
}

int tdw__real_host_move(struct tdw_host *host, int fd)
{
    char link[32], path[sizeof host->path];
    int *left = realloc(host->left, (host->left_count + 1) * sizeof *left);
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path);
    if (!left || n < 0 || (size_t)n == sizeof path) {
        const int err = !left ? -ENOMEM : n < 0 ? -errno : -ENAMETOOLONG;

        host->left = left ? left : host->left;
        close(fd);
        return err;
    }
    path[n] = '\0';
    memcpy(host->path, path, (size_t)n + 1);
    host->left = left;
    host->left[host->left_count++] = host->dir;
    host->dir = been_there(host, fd);
    return 0;
}

static uint32_t next_address(const struct tdw_real *real)
{
    const uint32_t pid = (uint32_t)real->pid;
    uint32_t hosts = 0;

    for (const struct tdw_host *host = real->hosts; host; host = host->next)
        hosts++;
    return 127u << 24 | (64 + (pid >> 8) % 128) << 16 | (pid & 255) << 8 | (hosts & 255);
}

struct tdw_host *tdw__real_host_new(struct tdw_real *real, const char *name, void (*main)(void *),
                                    void *arg, bool own)
{
    struct tdw_host *host = calloc(1, sizeof *host);

    if (!host)
        return NULL;
    *host = (struct tdw_host){.calls = &tdw__real_calls,
                              .real = real,
                              .name = tdw__intern(&real->loop, name),
                              .main = main,
                              .arg = arg,
                              .address = own ? 0 : next_address(real),
                              .dir = AT_FDCWD,
                              .next = real->hosts};
    if (!host->name || (!own && make_home(host) < 0)) {
        free(host);
        return NULL;
    }
    real->hosts = host;
    return host;
}

struct tdw_host *tdw__real_host(const char *name, void (*main)(void *), void *arg)
{
    struct tdw_real *real = tdw__real(tdw__self->ring->loop);

    for (struct tdw_host *host = real->hosts; host; host = host->next) {
        if (strcmp(host->name, name) != 0)
            continue;
        if (main) {
            host->main = main;
            host->arg = arg;
        }
        return host;
    }
    return tdw__real_host_new(real, name, main, arg, false);
}

static void show(const struct tdw_host *host, uint8_t kind)
{
    tdw__event(&host->real->loop, (struct tdw_event){.kind = kind,
                                                     .off = host->boots,
                                                     .data = tdw__hash_text(host->name),
                                                     .name = host->name});
}

int tdw__real_host_boot(struct tdw_host *host)
{
    static const struct tdw_site site = {"(boot)", "main", "boot", 0};
    struct tdw_loop *loop = &host->real->loop;
    struct tdw_boot *boot;
    struct tdw_task *root;
    char path[128];

    if (host->up)
        return -EALREADY;
    if (!host->main)
        return -EINVAL;
    boot = calloc(1, sizeof *boot);
    if (!boot)
        return -ENOMEM;
    snprintf(path, sizeof path, "%s/main#%u", host->name, host->boots);
    boot->host = host;
    if (tdw__ring_init(&boot->ring, loop, path, host->real->ops_max) < 0) {
        free(boot);
        return -ENOMEM;
    }
    boot->next = host->real->boots;
    host->real->boots = boot;
    boot->ring.ends = true;
    show(host, TDW_E_BOOT);
    host->up = true;
    host->boots++;
    root = tdw__task_new(&boot->ring, NULL, TDW_CALLBACK, boot->ring.path, &site);
    if (!root)
        return -ENOMEM;
    root->bits |= TDW_TASK_ROOT | TDW_TASK_DETACHED;
    root->entry = host->main;
    root->arg = host->arg;
    boot->ring.root = root;
    return tdw__task_start(root, &site);
}

/* What an exit leaves in the kernel ends by and by, and nobody is told: `ending` stays. Tasks keep
 * their memory until the loop is closed, since the kernel may still write there. */
static void abandon(struct tdw_ring *ring)
{
    for (struct tdw_task *task = ring->tasks; task; task = task->next) {
        if (!(task->bits & (TDW_TASK_ENDED | TDW_TASK_DAEMON)))
            ring->loop->tasks_alive--;
        task->bits |= TDW_TASK_ENDED;
    }
    for (uint32_t i = 0; i < ring->slots_used; i++)
        if (ring->slots[i].op)
            tdw__cancel(ring->slots[i].op, -ECANCELED, NULL);
}

void tdw__real_ended(struct tdw_ring *ring)
{
    struct tdw_host *host = tdw__host_of(ring);

    if (!host->up || ring->dead)
        return;
    host->up = false;
    ring->dead = true;
    if (ring->ending)
        abandon(ring);
    tdw__channels_orphan(ring->loop, ring);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    remove(path);
    return 0;
}

void tdw__real_hosts_free(struct tdw_real *real)
{
    while (real->boots) {
        struct tdw_boot *next = real->boots->next;

        free(real->boots);
        real->boots = next;
    }
    while (real->hosts) {
        struct tdw_host *next = real->hosts->next;

        if (real->hosts->dir >= 0)
            close(real->hosts->dir);
        for (uint32_t i = 0; i < real->hosts->left_count; i++)
            close(real->hosts->left[i]);
        if (real->hosts->home[0])
            nftw(real->hosts->home, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        free(real->hosts->left);
        free(real->hosts);
        real->hosts = next;
    }
}

/* ── What an entry means on a host ─────────────────────────────────────────────────────────── */

/* Rows whose `fd` is where a path begins, and those whose `len` is, for the second path. */
static bool begins_at_fd(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_STATX:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_SYMLINKAT:
    case IORING_OP_LINKAT:
        return true;
    default:
        return false;
    }
}

/* `own` in the place of any address; what it is now is in `room`. */
static const struct sockaddr *own_address(const struct tdw_host *host,
                                          const struct sockaddr *address, uint64_t bytes,
                                          struct sockaddr_storage *room)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)room;

    if (!host->address || !address || bytes < sizeof *in || bytes > sizeof *room ||
        address->sa_family != AF_INET)
        return address;
    memcpy(room, address, bytes);
    if (in->sin_addr.s_addr == htonl(INADDR_ANY))
        in->sin_addr.s_addr = htonl(host->address);
    return (const struct sockaddr *)room;
}

void tdw__real_localise(struct tdw_ring *ring, struct io_uring_sqe *sqe,
                        struct sockaddr_storage *room)
{
    const struct tdw_host *host = tdw__host_of(ring);

    if (begins_at_fd(sqe->opcode)) {
        if (sqe->fd == AT_FDCWD)
            sqe->fd = host->dir;
        if ((sqe->opcode == IORING_OP_RENAMEAT || sqe->opcode == IORING_OP_LINKAT) &&
            (int)sqe->len == AT_FDCWD)
            sqe->len = (uint32_t)host->dir;
    } else if (sqe->opcode == TDW_OP_BIND) {
        sqe->addr =
            (uintptr_t)own_address(host, (const void *)(uintptr_t)sqe->addr, sqe->off, room);
    }
}

int tdw__real_bind_on(const struct tdw_host *host, int fd, const struct sockaddr *address,
                      socklen_t bytes)
{
    struct sockaddr_storage room;

    return bind(fd, own_address(host, address, bytes, &room), bytes) < 0 ? -errno : 0;
}

/* ── Addresses and names ───────────────────────────────────────────────────────────────────── */

struct in_addr tdw__real_host_ipv4(const struct tdw_host *host)
{
    return (struct in_addr){htonl(host->address ? host->address : INADDR_LOOPBACK)};
}

struct in6_addr tdw__real_host_ipv6(const struct tdw_host *host)
{
    (void)host;
    return in6addr_loopback; /* there is but one */
}

bool tdw__real_host_named(const struct tdw_real *real, const char *name, struct tdw_resolved *to)
{
    for (struct tdw_host *host = real->hosts; host; host = host->next) {
        if (strcmp(host->name, name) != 0)
            continue;
        *to = (struct tdw_resolved){.ipv4 = tdw__real_host_ipv4(host), .has = 1};
        return true;
    }
    return false;
}

int32_t tdw__real_resolve(const char *name, struct tdw_resolved *to)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    memset(to, 0, sizeof *to);
    switch (getaddrinfo(name, NULL, &hints, &list)) {
    case 0:
        break;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -ENOENT;
    }
    for (const struct addrinfo *one = list; one; one = one->ai_next) {
        if (one->ai_family == AF_INET && !(to->has & 1)) {
            to->ipv4 = ((const struct sockaddr_in *)(const void *)one->ai_addr)->sin_addr;
            to->has |= 1;
        } else if (one->ai_family == AF_INET6 && !(to->has & 2)) {
            to->ipv6 = ((const struct sockaddr_in6 *)(const void *)one->ai_addr)->sin6_addr;
            to->has |= 2;
        }
    }
    freeaddrinfo(list);
    return to->has ? 0 : -ENOENT;
}

/* ── What no machine does on request ───────────────────────────────────────────────────────── */

static int refuse(const struct tdw_host *host, const char *what)
{
    struct tdw_real *real = host->real;

    if (!real->refused)
        fprintf(stderr,
                "tidewheel: %s: the real kernel has no %s; the program goes on without (told "
                "once)\n",
                host->name, what);
    real->refused = true;
    return -EOPNOTSUPP;
}

int tdw__real_host_crash(struct tdw_host *host)
{
    return host->up ? refuse(host, "power cuts") : -ESRCH;
}

int tdw__real_host_restart(struct tdw_host *host)
{
    return host->up ? refuse(host, "restarts of a host") : -ESRCH;
}

int tdw__real_link_cut(struct tdw_host *host, struct tdw_host *to, bool cut)
{
    (void)to, (void)cut;
    return refuse(host, "links");
}

uint32_t tdw__real_host_children(const struct tdw_host *host)
{
    (void)host;
    return 0;
}

int tdw__real_host_kill(struct tdw_host *host, uint32_t child)
{
    (void)host, (void)child;
    return -ESRCH;
}

int tdw__real_host_slow(struct tdw_host *host, uint32_t times)
{
    return times == 1 ? 1 : refuse(host, "hosts that are slow");
}

int tdw__real_host_descriptors(struct tdw_host *host, uint32_t count)
{
    (void)count;
    return refuse(host, "limits of one host");
}

int tdw__real_host_disk_kind(struct tdw_host *host, int full, uint32_t sector)
{
    (void)full, (void)sector;
    return refuse(host, "simulated disk");
}

uint64_t tdw__real_host_bandwidth(struct tdw_host *host, uint64_t bytes_per_s)
{
    if (bytes_per_s)
        refuse(host, "links");
    return 0;
}

int tdw__real_host_disk_stall(struct tdw_host *host, uint64_t ns)
{
    return ns == 0 ? 0 : refuse(host, "simulated disk");
}

int tdw__real_host_disk_read_only(struct tdw_host *host, bool on)
{
    return on ? refuse(host, "simulated disk") : 0;
}

void tdw__real_schedule_fair(void)
{
}

int tdw__real_host_pause(struct tdw_host *host)
{
    return host->up ? refuse(host, "pauses of a host") : -ESRCH;
}

int tdw__real_host_resume(struct tdw_host *host)
{
    (void)host;
    return -EALREADY;
}

bool tdw__real_host_running(const struct tdw_host *host)
{
    return host->up;
}

struct tdw_disk *tdw__real_host_disk(struct tdw_host *host)
{
    refuse(host, "simulated disk");
    return NULL;
}

void tdw__real_host_disk_limits(struct tdw_host *host, uint64_t bytes, uint64_t file_bytes)
{
    (void)bytes, (void)file_bytes;
    refuse(host, "limits of a disk");
}

int tdw__real_host_drift(struct tdw_host *host, int32_t ppb)
{
    return ppb ? refuse(host, "clocks that drift") : 0;
}

void tdw__real_host_step(struct tdw_host *host, int64_t ns)
{
    (void)ns;
    refuse(host, "clocks that jump");
}

uint64_t tdw__real_host_clock(const struct tdw_host *host, int clock)
{
    (void)host;
    return tdw__os_clock_ns(clock);
}

int tdw__real_host_persistence(struct tdw_host *host, enum tdw_persistence profile)
{
    (void)host;
    return (unsigned)profile < TDW_PERSISTENCES ? 0 : -EINVAL;
}

int tdw__real_host_device(struct tdw_host *host, const struct tdw_device *device)
{
    return device ? refuse(host, "devices to choose") : 0;
}

int tdw__real_host_address(struct tdw_host *host, const char *address)
{
    (void)address;
    return refuse(host, "further addresses of a host");
}

int tdw__real_host_alias(struct tdw_host *host, const char *name)
{
    (void)name;
    return refuse(host, "further names of a host");
}

int tdw__real_link_set(struct tdw_host *host, struct tdw_host *to, const struct tdw_link *link)
{
    (void)to, (void)link;
    return refuse(host, "links to choose");
}

void tdw__real_link_default(const struct tdw_link *link)
{
    (void)link;
    refuse(tdw__host_of(tdw__self->ring), "links to choose");
}
