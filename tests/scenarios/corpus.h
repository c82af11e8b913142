/* SPDX-License-Identifier: MIT */
/*
 * The corpus of bugs: what its programs share.
 *
 * A program is one file, NAME.c, with one bug, and is built twice: as it should be, and with BUG
 * defined (where two differ in the bug alone, the rest is in a header). In the code the bug is an
 * `if` on a constant that says what goes wrong:
 *
 *     enum { DROPS_THE_REST = BUGGY };
 *
 * The *subject*, the part that has the bug, is written in the three models; its peers and checks
 * are stackful tasks, written once. The models do the same ops in the same order, so a run fails in
 * all three of them or in none.
 *
 *     SUBJECT(sender)           sender_callback(arg), sender_stackless with its frame
 *                               struct sender_frame { struct tdw_frame frame; void *arg; … },
 *                               sender_stackful(arg); sender_spawn(name, arg) starts one of them
 *     CORPUS(NAME, start, doc)  the scenario: start() sets up the run, and waits for nothing
 *
 * What check.sh has to know stands in the file's opening comment, one word and a colon each:
 *
 *     Found as:  a pattern (grep -E) for the text of the failure that is meant
 *     Options:   of the explorer, where the defaults do not do
 *     Faults:    options that bring the faults, such as power cuts; the calm run is without them
 *     Optimum:   N deviations, M faults: the fewest that show the bug; a deviation is a choice with
 *                another answer than the calm one
 *
 * NAME.yaml, where there is one, is the plan under which the program runs.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include <arpa/inet.h>
#include <string.h>
#include <tidewheel/scenario.h>

#ifdef BUG
enum { BUGGY = true };
#else
enum { BUGGY = false };
#endif

#define US ((uint64_t)1000)
#define MS ((uint64_t)1000000)

static enum tdw_model corpus_model; /* of the subject, in the run in progress */

#define SUBJECT(name)                                                                              \
    static struct tdw_task *name##_spawn(const char *as, void *arg)                                \
    {                                                                                              \
        switch (corpus_model) {                                                                    \
        case TDW_CALLBACK:                                                                         \
            return tdw_spawn_callback(as, name##_callback, arg);                                   \
        case TDW_STACKLESS:                                                                        \
            return TDW_SPAWN(as, name##_stackless, struct name##_frame, .arg = arg);               \
        case TDW_STACKFUL:                                                                         \
            break;                                                                                 \
        }                                                                                          \
        return tdw_spawn_stackful(as, name##_stackful, arg);                                       \
    }                                                                                              \
    static struct tdw_task *name##_spawn(const char *as, void *arg)

#define CORPUS(name_, start, doc_)                                                                 \
    static void corpus_callback(void *unused)                                                      \
    {                                                                                              \
        (void)unused;                                                                              \
        corpus_model = TDW_CALLBACK;                                                               \
        start();                                                                                   \
    }                                                                                              \
    struct corpus_frame {                                                                          \
        struct tdw_frame frame;                                                                    \
    };                                                                                             \
    TDW_CO(corpus_stackless)                                                                       \
    {                                                                                              \
        TDW_BEGIN(struct corpus_frame, me);                                                        \
        corpus_model = TDW_STACKLESS;                                                              \
        start();                                                                                   \
        TDW_RETURN(0);                                                                             \
        TDW_END;                                                                                   \
    }                                                                                              \
    static void corpus_stackful(void *unused)                                                      \
    {                                                                                              \
        (void)unused;                                                                              \
        corpus_model = TDW_STACKFUL;                                                               \
        start();                                                                                   \
    }                                                                                              \
    TDW_SCENARIO(name_, .doc = (doc_), .callback = corpus_callback,                                \
                 .stackless = TDW_FRAME(corpus_stackless, struct corpus_frame),                    \
                 .stackful = corpus_stackful);                                                     \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return tdw_main(argc, argv);                                                               \
    }                                                                                              \
    int main(int argc, char **argv)

/* The last step of a callback task whose struct begins with its op. */
static inline void gone(struct tdw_op *op)
{
    tdw_free(op);
}

/* A step with nothing behind it. */
static inline void done(struct tdw_op *op)
{
    (void)op;
}

/* ── Sockets between hosts ─────────────────────────────────────────────────────────────────── */

static inline struct sockaddr_in address_of(const struct tdw_host *host, int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = tdw_host_ipv4(host)};
}

/* A socket of that type on `port` of the running host; a stream listens there. */
static inline int bound_socket(int type, int port)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = tdw_sys_socket(AF_INET, type, 0);

    tdw_sys_bind(fd, (const struct sockaddr *)&any, sizeof any);
    if (type == SOCK_STREAM)
        tdw_sys_listen(fd, SOMAXCONN);
    return fd;
}

/* Of a stackful task: a connection with the host, which may not listen yet. */
static inline int connect_to(const struct tdw_host *host, int port)
{
    const struct sockaddr_in address = address_of(host, port);

    for (;;) {
        const int fd = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);

        if (tdw_connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        tdw_close(fd);
        tdw_sleep(MS);
    }
}

/* Nothing passes between the two hosts, or everything does again. */
static inline void cut(struct tdw_host *a, struct tdw_host *b, bool down)
{
    struct tdw_link link = *tdw_link_preset("lan");

    link.down = down;
    tdw_link_set(a, b, &link);
    tdw_link_set(b, a, &link);
}

/* ── Disks ─────────────────────────────────────────────────────────────────────────────────── */

static struct {
    void (*main)(void *), (*recover)(void *);
} corpus_disk;

static inline void corpus_disk_main(void *unused)
{
    tdw_spawn_stackful("main", corpus_disk.main, unused);
}

static inline void corpus_disk_recover(void *unused)
{
    tdw_spawn_stackful("recover", corpus_disk.recover, unused);
}

/* Boots a host with a disk and runs `main` there. With `--crash every` what a power cut leaves is
 * shown to `recover`. Both are stackful tasks. `recover` runs while `main` is in the middle of
 * something: it leaves the scene's memory alone. */
static inline void boot_disk(void (*main)(void *), void (*recover)(void *))
{
    struct tdw_host *host = tdw_host("db", corpus_disk_main, NULL);

    corpus_disk.main = main;
    corpus_disk.recover = recover;
    tdw_survives(host, corpus_disk_recover, NULL);
    tdw_host_boot(host);
}

/* Of a stackful task: a descriptor of the directory. */
static inline int directory(void)
{
    return tdw_open(".", O_RDONLY | O_DIRECTORY, 0);
}

/* Of a stackful task: a file that survives a power cut from now on, if only as an empty one. */
static inline int durable_file(const char *path)
{
    const int fd = tdw_open(path, O_RDWR | O_CREAT, 0644), dir = directory();

    tdw_fsync(fd);
    tdw_fsync(dir);
    tdw_close(dir);
    return fd;
}

/* Of a stackful task: up to `bytes` of the file; how many, or -ENOENT. */
static inline int load(const char *path, void *to, uint32_t bytes)
{
    const int fd = tdw_open(path, O_RDONLY, 0);
    const int n = fd < 0 ? fd : tdw_pread(fd, to, bytes, 0);

    if (fd >= 0)
        tdw_close(fd);
    return n;
}

/* A checksum (FNV-1a, 64 bits); not 0 for zeros. */
static inline uint64_t sum_of(const void *from, uint32_t bytes)
{
    const uint8_t *byte = from;
    uint64_t sum = 0xcbf29ce484222325u;

    for (uint32_t i = 0; i < bytes; i++)
        sum = (sum ^ byte[i]) * 0x100000001b3u;
    return sum;
}

#endif
