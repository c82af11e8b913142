/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The recorder's kernel side: system calls of one process tree, into a ring.
 *
 *     sys_enter ─▶ this task's state: number, arguments, time, what the descriptors stand for
 *     sys_exit  ─▶ one event: all of that, the result, and what the pointers led to
 *     fork, exit, signals ─▶ an event each; a child of a followed task is followed
 *
 * What a call's arguments are is not known here but told by the loader, in `plans`, from the replay
 * table. Bytes behind pointers are copied as they are when the call ends: by then the kernel has
 * read them, so their pages are there. Those that the call itself changes are read when it begins.
 *
 * What a descriptor stands for is told once: a file's words depend on its directory entry, a
 * socket's on its addresses, and together they are the *key* of its words. A key that has been told
 * has a number, kept by key in `words`, and near the task in a few slots by descriptor. So a read
 * of a file costs some loads and compares, and a file that is renamed, or a socket that is
 * connected, gets new words by itself.
 *
 * Invariants: a call is written whole or counted as lost, by CPU and by its thread (I25). A number is
 * entered only after its words are in the ring. Nothing is woken here: the reader looks by itself.
 *
 * Only tracepoints with BTF are used: no kprobe, no fentry, no bpf_d_path, which some kernels
 * refuse. Cost: see docs/design.md.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
    SLOTS = 8,    /* a task's near descriptors; a power of two */
    ROOM = 15000, /* fields begin before this */
    IOVECS_MAX = 1024,
    MESSAGES_MAX = 8,
    CONTROL_MAX = 1024,
    AT_FDCWD = -100,
    S_IFMT = 0170000,
    S_IFSOCK = 0140000,
    SIGNAL_GROUP_EXIT = 4,
    RESTART_FIRST = -512, /* results that mean: interrupted, the kernel may restart it */
    RESTART_LAST = -516,
    COMPAT = 2, /* thread_info.status: the call came by the 32-bit table */
    FAMILY_UNIX = 1,
    FAMILY_INET = 2,
    FAMILY_INET6 = 10,
};

struct key {
    __u64 dentry, mnt, ino, name, parent, extra;
};

struct slot {
    struct key key;
    __u32 id, socket;
};

/* A followed task. User space makes the first one. */
struct state {
    __u32 root; /* all threads of this process are followed */
    __u32 tid, pid;
    __u32 in_call, nr;
    __u32 lost, unwhole;      /* unwhole: something of the present call was lost */
    __u32 delivered;          /* the last signal that was */
    __u32 signal, signal_pid; /* ignored, to be told after the present call */
    __u32 words[TDW__EV_WORDS_MAX];
    __u64 start_ns;
    __u64 arg[6];
    struct slot slot[SLOTS];
};

struct counts {
    __u64 calls, others;
};

/* Room to put a call with fields together. */
struct draft {
    struct tdw__event_call call;
    __u8 fields[ROOM + sizeof(struct tdw__event_field) + TDW__EV_FIELD_MAX];
};

struct walk {
    struct tdw__event_words words;
    __u8 path[TDW__EV_PATH_MAX + 256];
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct state);
} states SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 24);
} ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1 << 14);
    __type(key, struct key);
    __type(value, __u32);
} words SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct counts);
} lost SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct draft);
} drafts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct walk);
} walks SEC(".maps");

const volatile struct tdw__event_plan plans[TDW__EV_NRS];
__u32 ids = 0;   /* numbers of words that were given */
__s32 alive = 0; /* followed tasks */

#define KERNEL(to, from) bpf_probe_read_kernel(&(to), sizeof(to), from)

static __always_inline void count_lost(struct state *st, bool call)
{
    const __u32 zero = 0;
    struct counts *const c = bpf_map_lookup_elem(&lost, &zero);

    if (c && call)
        c->calls++;
    else if (c)
        c->others++;
    if (st && call)
        st->lost++;
}

static __always_inline struct state *state_of(struct task_struct *task)
{
    return bpf_task_storage_get(&states, task, 0, 0);
}

/* A task's number as its own namespace has it. */
static __always_inline __u32 number_of(struct task_struct *task)
{
    struct pid *const pid = BPF_CORE_READ(task, thread_pid);
    const unsigned level = BPF_CORE_READ(pid, level);
    const struct upid *const at = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
                                  (__u64)(level & 31) * bpf_core_type_size(struct upid);

    return BPF_CORE_READ(at, nr);
}

static __always_inline void head_put(struct tdw__event *head, __u16 kind, __u32 bytes, __u32 tid)
{
    head->kind = kind;
    head->nr = 0;
    head->bytes = bytes;
    head->tid = tid;
    head->other = 0;
    head->at_ns = bpf_ktime_get_ns();
}

/* An event without more than a head. */
static __always_inline void tell(__u16 kind, __u16 nr, __u32 tid, __u32 other)
{
    struct tdw__event *const event = bpf_ringbuf_reserve(&ring, sizeof *event, 0);

    if (!event) {
        count_lost(0, false);
        return;
    }
    head_put(event, kind, sizeof *event, tid);
    event->nr = nr;
    event->other = other;
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Follow a task from now on. */
static __always_inline struct state *follow(struct task_struct *task)
{
    struct state *const st = bpf_task_storage_get(&states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

    if (!st) {
        count_lost(0, false);
        return 0;
    }
    if (st->tid == 0)
        __sync_fetch_and_add(&alive, 1);
    st->tid = number_of(task);
    st->pid = number_of(BPF_CORE_READ(task, group_leader));
    return st;
}

/* ── Words ───────────────────────────────────────────────────────────────────────────────────────
 */

static __always_inline struct sock *sock_of(struct inode *inode)
{
    struct socket *const socket = (void *)inode -
                                  bpf_core_field_offset(struct socket_alloc, vfs_inode) +
                                  bpf_core_field_offset(struct socket_alloc, socket);

    return BPF_CORE_READ(socket, sk);
}

/* What changes about a socket's words while it is the same socket. */
static __always_inline __u64 socket_extra(struct inode *inode)
{
    struct sock *const sk = sock_of(inode);
    struct unix_sock *const u = (void *)sk;
    const __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

    if (family == FAMILY_UNIX)
        return (__u64)BPF_CORE_READ(u, peer) ^ ((__u64)BPF_CORE_READ(u, addr) << 1);
    if (family == FAMILY_INET || family == FAMILY_INET6)
        return (__u64)BPF_CORE_READ(sk, __sk_common.skc_num) << 48 |
               (__u64)BPF_CORE_READ(sk, __sk_common.skc_dport) << 32 |
               (BPF_CORE_READ(sk, __sk_common.skc_daddr) ^
                BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
    return 0;
}

static __always_inline void socket_words(struct tdw__event_words *w, struct inode *inode)
{
    struct sock *const sk = sock_of(inode);
    struct unix_sock *const u = (void *)sk;

    w->family = BPF_CORE_READ(sk, __sk_common.skc_family);
    w->state = BPF_CORE_READ(sk, __sk_common.skc_state);
    if (w->family == FAMILY_UNIX) {
        struct unix_address *const addr = BPF_CORE_READ(u, addr);
        struct sock *const peer = BPF_CORE_READ(u, peer);
        struct socket *const there = peer ? BPF_CORE_READ(peer, sk_socket) : 0;
        struct socket_alloc *const both =
            (void *)there - bpf_core_field_offset(struct socket_alloc, socket);

        if (there)
            w->peer_ino = BPF_CORE_READ(both, vfs_inode.i_ino);
        if (addr) {
            __u32 bytes = BPF_CORE_READ(addr, len);

            if (bytes > sizeof w->name)
                bytes = sizeof w->name;
            if (!bpf_probe_read_kernel(w->name, bytes,
                                       (void *)addr +
                                           bpf_core_field_offset(struct unix_address, name)))
                w->name_bytes = bytes;
        }
        return;
    }
    w->port = BPF_CORE_READ(sk, __sk_common.skc_num);
    w->peer_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
    if (w->family == FAMILY_INET6) {
        BPF_CORE_READ_INTO(&w->here, sk, __sk_common.skc_v6_rcv_saddr);
        BPF_CORE_READ_INTO(&w->there, sk, __sk_common.skc_v6_daddr);
    } else if (w->family == FAMILY_INET) {
        BPF_CORE_READ_INTO((__be32 *)w->here, sk, __sk_common.skc_rcv_saddr);
        BPF_CORE_READ_INTO((__be32 *)w->there, sk, __sk_common.skc_daddr);
    }
}

/* The names from a directory entry up to the task's root. */
static __noinline int path_walk(struct walk *walk, struct dentry *dentry, struct vfsmount *vfs,
                                struct task_struct *task)
{
    struct mount *mnt = (void *)vfs - bpf_core_field_offset(struct mount, mnt);
    struct dentry *const root = BPF_CORE_READ(task, fs, root.dentry);
    struct vfsmount *const root_vfs = BPF_CORE_READ(task, fs, root.mnt);
    __u32 at = 0;

    for (int i = 0; i < TDW__EV_PARTS_MAX; i++) {
        struct dentry *const parent = BPF_CORE_READ(dentry, d_parent);
        long bytes;

        vfs = (void *)mnt + bpf_core_field_offset(struct mount, mnt);
        if (dentry == root && vfs == root_vfs)
            return at;
        if (dentry == parent || dentry == BPF_CORE_READ(vfs, mnt_root)) {
            struct mount *const up = BPF_CORE_READ(mnt, mnt_parent);

            if (i > 0 && up == mnt)
                return at;
            if (up != mnt) {
                dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
                mnt = up;
                continue;
            }
        }
        if (at >= TDW__EV_PATH_MAX)
            break;
        bytes = bpf_probe_read_kernel_str(walk->path + at, 256, BPF_CORE_READ(dentry, d_name.name));
        if (bytes < 0)
            break;
        at += bytes & 511;
        if (dentry == parent)
            return at;
        dentry = parent;
    }
    walk->words.bits |= TDW__EV_PATH_CUT;
    return at;
}

/* Tell the words of a key under a new number; the number, or 0 if there was no room. (Not static:
 * so it is verified once, and not again for each caller.) */
__noinline __u32 words_tell(const struct key *key, __u32 tid)
{
    const __u32 zero = 0;
    struct walk *const walk = bpf_map_lookup_elem(&walks, &zero);
    struct dentry *dentry;
    struct inode *inode;
    __u32 bytes, id;

    if (!walk || !key)
        return 0;
    dentry = (void *)key->dentry;
    inode = BPF_CORE_READ(dentry, d_inode);
    __builtin_memset(&walk->words, 0, sizeof walk->words);
    walk->words.mode = BPF_CORE_READ(inode, i_mode);
    walk->words.rdev = BPF_CORE_READ(inode, i_rdev);
    walk->words.ino = key->ino;
    walk->words.magic = BPF_CORE_READ(inode, i_sb, s_magic);
    if (BPF_CORE_READ(dentry, d_hash.pprev) == 0)
        walk->words.bits = TDW__EV_DELETED;
    if ((walk->words.mode & S_IFMT) == S_IFSOCK)
        socket_words(&walk->words, inode);
    bytes = path_walk(walk, dentry, (void *)key->mnt, bpf_get_current_task_btf());
    if (bytes > TDW__EV_PATH_MAX)
        bytes = TDW__EV_PATH_MAX;
    walk->words.path_bytes = bytes;
    bytes = (bytes + 7) & ~7u;
    head_put(&walk->words.head, TDW__EV_WORDS, sizeof walk->words + bytes, tid);
    id = __sync_fetch_and_add(&ids, 1) + 1;
    walk->words.id = id;
    if (bpf_ringbuf_output(&ring, walk, sizeof walk->words + bytes, BPF_RB_NO_WAKEUP)) {
        count_lost(0, false);
        return 0;
    }
    bpf_map_update_elem(&words, key, &id, BPF_ANY);
    return id;
}

/* The number of a key's words, told if need be. */
static __noinline __u32 words_find(struct state *st, struct slot *slot, struct key *key,
                                   struct inode *inode)
{
    __u16 mode = 0;
    __u32 *known, id;

    KERNEL(mode, &inode->i_mode);
    if ((mode & S_IFMT) == S_IFSOCK)
        key->extra = socket_extra(inode);
    known = bpf_map_lookup_elem(&words, key);
    id = known ? *known : words_tell(key, st->tid);
    if (id == 0)
        st->unwhole = 1;
    slot->key = *key;
    slot->id = id;
    slot->socket = (mode & S_IFMT) == S_IFSOCK;
    return id;
}

/* The key of what is at this path. */
static __always_inline void key_read(struct key *key, const struct path *path, struct inode *inode)
{
    struct dentry *const dentry = path->dentry;

    key->dentry = (__u64)dentry;
    key->mnt = (__u64)path->mnt;
    KERNEL(key->ino, &inode->i_ino);
    KERNEL(key->name, &dentry->d_name.hash_len);
    KERNEL(key->parent, &dentry->d_parent);
    key->extra = 0;
}

static __always_inline __u32 words_at(struct state *st, struct key *key, struct inode *inode,
                                      __u32 near)
{
    struct slot *const slot = &st->slot[near & (SLOTS - 1)];

    if (slot->id && !slot->socket && slot->key.dentry == key->dentry && slot->key.ino == key->ino &&
        slot->key.name == key->name && slot->key.parent == key->parent && slot->key.mnt == key->mnt)
        return slot->id;
    return words_find(st, slot, key, inode);
}

/* With this (Linux 6.2) a pointer is followed by plain loads instead of a call for each: a tenth of
 * the time of a recorded read. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;
#define CAST(type, pointer)                                                                        \
    ((struct type *)bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(struct type)))

/* The key of an open descriptor's file, by the table that it is in; false if it is not open. */
static __always_inline bool file_key(struct fdtable *table, int fd, struct key *key,
                                     struct inode **inode)
{
    if (bpf_rdonly_cast) {
        /* Any type will do that begins with a pointer: what is read is the table's entry. */
        const void *const at = CAST(list_head, table->fd + fd)->next;
        const struct file *const file = at ? CAST(file, at) : 0;
        const struct dentry *dentry;

        if (!file)
            return false;
        dentry = file->f_path.dentry;
        *inode = file->f_inode;
        key->dentry = (__u64)dentry;
        key->mnt = (__u64)file->f_path.mnt;
        key->ino = (*inode)->i_ino;
        key->name = dentry->d_name.hash_len;
        key->parent = (__u64)dentry->d_parent;
        key->extra = 0;
    } else {
        struct file *file = 0;
        struct path path;

        KERNEL(file, table->fd + fd);
        if (!file)
            return false;
        KERNEL(path, &file->f_path);
        KERNEL(*inode, &file->f_inode);
        key_read(key, &path, *inode);
    }
    return true;
}

/* The number of what descriptor `fd` of the current task stands for; 0: it is not open. */
static __noinline __u32 words_of(struct state *st, int fd)
{
    struct task_struct *const task = bpf_get_current_task_btf();
    struct fdtable *table;
    struct inode *inode;
    struct path path;
    struct key key;

    if (fd == AT_FDCWD) {
        BPF_CORE_READ_INTO(&path, task, fs, pwd);
        inode = BPF_CORE_READ(path.dentry, d_inode);
        key_read(&key, &path, inode);
        return words_at(st, &key, inode, SLOTS - 1);
    }
    if (fd < 0 || !task->files)
        return 0;
    table = task->files->fdt;
    if ((__u32)fd >= table->max_fds)
        return 0;
    return file_key(table, fd, &key, &inode) ? words_at(st, &key, inode, fd) : 0;
}

/* ── Fields ──────────────────────────────────────────────────────────────────────────────────────
 */

/* Append `bytes` bytes of the task's memory. (Not static: as words_tell.) */
__noinline int field_copy(struct draft *draft, __u32 what, __u64 from, __u32 bytes)
{
    struct tdw__event_field *field;
    __u32 at;

    if (!draft || !from || !bytes)
        return 0;
    at = draft->call.head.bytes - sizeof draft->call;
    if (bytes > TDW__EV_FIELD_MAX) {
        bytes = TDW__EV_FIELD_MAX;
        draft->call.bits |= TDW__EV_CUT;
    }
    if (at > ROOM) {
        draft->call.bits |= TDW__EV_CUT;
        return 0;
    }
    field = (void *)(draft->fields + at);
    if (bpf_probe_read_user(field + 1, bytes, (void *)from))
        return 0;
    field->arg = what;
    field->letter = what >> 8;
    field->number = what >> 16;
    field->bytes = bytes;
    draft->call.head.bytes += sizeof *field + ((bytes + 7) & ~7u);
    return bytes;
}

static __noinline int field_text(struct draft *draft, __u32 what, __u64 from)
{
    const __u32 at = draft->call.head.bytes - sizeof draft->call;
    struct tdw__event_field *field;
    long bytes;

    if (!from)
        return 0;
    if (at > ROOM) {
        draft->call.bits |= TDW__EV_CUT;
        return 0;
    }
    field = (void *)(draft->fields + at);
    bytes = bpf_probe_read_user_str(field + 1, TDW__EV_PATH_MAX, (void *)from);
    if (bytes <= 0)
        return 0;
    field->arg = what;
    field->letter = what >> 8;
    field->number = 0;
    field->bytes = bytes;
    draft->call.head.bytes += sizeof *field + ((bytes + 7) & ~7u);
    return bytes;
}

struct user_msg {
    __u64 name;
    __u32 name_bytes, unused;
    __u64 iov, iovs, control, control_bytes;
    __u32 flags, unused2;
};

static __noinline int field_message(struct draft *draft, __u32 i, __u64 from, __u32 number)
{
    struct user_msg msg;

    if (bpf_probe_read_user(&msg, sizeof msg, (void *)from))
        return 0;
    if (msg.iovs > IOVECS_MAX)
        msg.iovs = IOVECS_MAX;
    if (msg.control_bytes > CONTROL_MAX)
        msg.control_bytes = CONTROL_MAX;
    field_copy(draft, i | 'v' << 8 | number << 16, msg.iov, msg.iovs * 16);
    if (msg.control)
        field_copy(draft, i | TDW__EV_CONTROL << 8 | number << 16, msg.control, msg.control_bytes);
    return 0;
}

static __noinline int field_messages(struct draft *draft, __u32 i, __u64 from, __u32 count)
{
    for (__u32 k = 0; k < MESSAGES_MAX && k < count; k++)
        field_message(draft, i, from + k * 64, k);
    if (count > MESSAGES_MAX)
        draft->call.bits |= TDW__EV_CUT;
    return 0;
}

/* How many bytes of an address: told by the next argument, or by what it points to. */
static __always_inline __u32 address_bytes(const struct state *st, __u32 i)
{
    __u64 next = i < 5 ? st->arg[i + 1] : 0;
    __u32 bytes = 0;

    if (next > 4096)
        bpf_probe_read_user(&bytes, sizeof bytes, (void *)next);
    else
        bytes = next;
    return bytes > 128 ? 128 : bytes;
}

static __always_inline __u32 bounded(struct draft *draft, __u64 count, __u32 max)
{
    if (count <= max)
        return count;
    draft->call.bits |= TDW__EV_CUT;
    return max;
}

/* The commands of fcntl that take a lock. */
static __always_inline bool is_lock(__u32 command)
{
    return (command >= 5 && command <= 7) || (command >= 36 && command <= 38);
}

/* What argument `i` points to, by its letter. `result`: of the call, 0 when it begins. */
static __noinline int field(struct draft *draft, struct state *st, __u32 i, __s64 result)
{
    const __u32 safe = i < 6 ? i : 0; /* for the verifier, which has forgotten */
    const __u8 letter = plans[st->nr & (TDW__EV_NRS - 1)].letter[safe];
    const __u32 what = i | (__u32)letter << 8;
    const __u64 at = st->arg[safe], next = st->arg[i < 5 ? i + 1 : 0];

    switch (letter) {
    case 'p':
    case 't':
        return field_text(draft, what, at);
    case 'v':
        return field_copy(draft, what, at, bounded(draft, next, IOVECS_MAX) * 16);
    case 'o':
        return field_copy(draft, what, at, 8);
    case 'i':
        return field_copy(draft, what, at, 4);
    case 'l':
        if (!is_lock(st->arg[1]))
            return 0;
        return field_copy(draft, what, at, 32);
    case 's':
        return result < 0 ? 0 : field_copy(draft, what, at, 144);
    case 'e':
        if (result > ROOM - 24) {
            field_copy(draft, what, at, ROOM - 24);
            return field_copy(draft, what, at + ROOM - 24, result - (ROOM - 24));
        }
        return result < 0 ? 0 : field_copy(draft, what, at, result);
    case 'a':
        return field_copy(draft, what, at, address_bytes(st, i));
    case 'm':
        return at ? field_message(draft, i, at, 0) : 0;
    case 'M':
        return field_messages(draft, i, at, result > 0 ? result : 0);
    case 'k':
        return result < 0 ? 0 : field_copy(draft, what, at, 8);
    case 'q':
        return field_copy(draft, what, at, bounded(draft, next, 1024) * 8);
    case 'r':
    case 'w':
    case 'c':
        return field_copy(draft, what, at, (bounded(draft, st->arg[0], 1024) + 63) / 64 * 8);
    case 'E':
        return result < 0 ? 0 : field_copy(draft, what, at, bounded(draft, result, 1024) * 12);
    case 'V':
        return field_copy(draft, what, at, 12);
    case 'T':
        return field_copy(draft, what, at, 32) || field_copy(draft, what, at, 16);
    case 'K':
        return at > 4096 ? field_copy(draft, what, at, 16) : 0;
    case TDW__EV_CLONE3:
        return field_copy(draft, what, at, 64);
    default:
        return 0;
    }
}

/* ── Calls ───────────────────────────────────────────────────────────────────────────────────────
 */

static __always_inline void call_put(struct tdw__event_call *call, const struct state *st,
                                     __s64 result, __u16 bits)
{
    call->head.kind = TDW__EV_CALL;
    call->head.nr = st->nr;
    call->head.bytes = sizeof *call;
    call->head.tid = st->tid;
    call->head.other = st->pid;
    call->head.at_ns = st->start_ns;
    call->end_ns = bpf_ktime_get_ns();
    call->result = result;
    call->arg[0] = st->arg[0];
    call->arg[1] = st->arg[1];
    call->arg[2] = st->arg[2];
    call->arg[3] = st->arg[3];
    call->arg[4] = st->arg[4];
    call->arg[5] = st->arg[5];
    call->words[0] = st->words[0];
    call->words[1] = st->words[1];
    call->result_words = 0;
    call->lost = st->lost;
    call->began_tid = st->tid;
    call->bits = bits;
    call->unused = 0;
}

/* A call of which registers and result say all. */
static __always_inline void call_plain(struct state *st, __s64 result, __u16 bits)
{
    struct tdw__event_call *const call =
        st->unwhole ? 0 : bpf_ringbuf_reserve(&ring, sizeof *call, 0);

    if (!call) {
        count_lost(st, true);
        return;
    }
    call_put(call, st, result, bits);
    st->lost = 0;
    bpf_ringbuf_submit(call, BPF_RB_NO_WAKEUP);
}

/* Hand the draft over. */
static __always_inline long draft_send(struct draft *draft)
{
    __u32 bytes = draft->call.head.bytes;

    if (bytes > sizeof *draft)
        bytes = sizeof *draft;
    return bpf_ringbuf_output(&ring, draft, bytes, BPF_RB_NO_WAKEUP);
}

static __always_inline bool makes_fd(const struct state *st, __u8 bits)
{
    return bits & TDW__PLAN_RESULT ||
           (bits & TDW__PLAN_FCNTL && ((__u32)st->arg[1] == 0 || (__u32)st->arg[1] == 1030));
}

static __noinline int call_fields(struct state *st, __s64 result, __u32 began_tid, __u16 without)
{
    const __u32 zero = 0;
    struct draft *const draft = bpf_map_lookup_elem(&drafts, &zero);
    const volatile struct tdw__event_plan *const plan = &plans[st->nr & (TDW__EV_NRS - 1)];
    const __u8 bits = plan->bits;

    if (!draft)
        return 0;
    call_put(&draft->call, st, result, without);
    draft->call.began_tid = began_tid;
    if (result >= 0 && makes_fd(st, bits))
        draft->call.result_words = words_of(st, result);
    if (bits & TDW__PLAN_FIELDS || result < 0) {
        for (__u32 i = 0; i < 6; i++)
            field(draft, st, i, result);
        if (result >= 0 && plan->letter[0] == 'k') {
            int fds[2] = {-1, -1};

            bpf_probe_read_user(fds, sizeof fds, (void *)st->arg[0]);
            draft->call.words[0] = words_of(st, fds[0]);
            draft->call.words[1] = words_of(st, fds[1]);
        } else if (result >= 0 && plan->letter[3] == 'k') {
            int fds[2] = {-1, -1};

            bpf_probe_read_user(fds, sizeof fds, (void *)st->arg[3]);
            draft->call.words[0] = words_of(st, fds[0]);
            draft->call.words[1] = words_of(st, fds[1]);
        }
    }
    if (st->unwhole || draft_send(draft))
        count_lost(st, true);
    else
        st->lost = 0;
    return 0;
}

/* What must be read before the kernel changes it, or the memory that it is in. */
static __noinline int before(struct state *st)
{
    const __u32 zero = 0;
    struct draft *const draft = bpf_map_lookup_elem(&drafts, &zero);

    if (!draft)
        return 0;
    call_put(&draft->call, st, 0, 0);
    draft->call.head.kind = TDW__EV_BEFORE;
    for (__u32 i = 0; i < 6; i++)
        field(draft, st, i, 0);
    if (draft_send(draft))
        st->unwhole = 1;
    return 0;
}

/* Descriptors and directories among the arguments: the first two. */
static __always_inline void arguments_words(struct state *st)
{
    const __u8 where = plans[st->nr & (TDW__EV_NRS - 1)].words;
    const __u32 first = (where - 1) & 7, second = ((where >> 4) - 1) & 7;

    if (first < 6)
        st->words[0] = words_of(st, st->arg[first]);
    if (where >> 4 && second < 6)
        st->words[1] = words_of(st, st->arg[second]);
}

/* A call that is broken off because its thread is about to be killed has no result: nobody will
 * see it. */
static __always_inline __u16 ending(struct task_struct *task)
{
    struct signal_struct *const signal = BPF_CORE_READ(task, signal);

    if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
        return TDW__EV_NO_RESULT;
    if (bpf_core_field_exists(signal->group_exec_task) && BPF_CORE_READ(signal, group_exec_task) &&
        BPF_CORE_READ(signal, group_exec_task) != task)
        return TDW__EV_NO_RESULT;
    return 0;
}

/* A thread of a process that is followed as a whole, seen for the first time. */
static __noinline struct state *adopt(struct task_struct *task)
{
    struct state *leader, *st;

    if (!task->group_leader || task->group_leader == task)
        return 0;
    leader = state_of(task->group_leader);
    if (!leader || !leader->root)
        return 0;
    st = follow(task);
    if (st)
        tell(TDW__EV_THREAD, 0, st->tid, st->pid);
    return st;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_enter, struct pt_regs *regs, long nr)
{
    struct task_struct *const task = bpf_get_current_task_btf();
    struct state *st = state_of(task);
    __u8 bits;

    if (!st) {
        st = adopt(task);
        if (!st)
            return 0;
    } else if (st->tid == 0) {
        st = follow(task);
        if (!st)
            return 0;
        tell(TDW__EV_THREAD, 0, st->tid, st->pid);
    }
    st->nr =
        nr < 0 || nr >= TDW__EV_NRS || task->thread_info.status & COMPAT ? TDW__EV_NR_OTHER : nr;
    st->arg[0] = regs->di;
    st->arg[1] = regs->si;
    st->arg[2] = regs->dx;
    st->arg[3] = regs->r10;
    st->arg[4] = regs->r8;
    st->arg[5] = regs->r9;
    st->words[0] = st->words[1] = 0;
    st->unwhole = 0;
    bits = plans[st->nr & (TDW__EV_NRS - 1)].bits;
    if (bits & TDW__PLAN_WORDS)
        arguments_words(st);
    st->start_ns = bpf_ktime_get_ns();
    if (bits & TDW__PLAN_BEFORE)
        before(st);
    st->in_call = 1;
    return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long result)
{
    struct task_struct *const task = bpf_get_current_task_btf();
    struct state *const st = state_of(task);
    __u16 without = 0;
    __u8 bits;

    if (!st || !st->in_call)
        return 0;
    st->in_call = 0;
    bits = plans[st->nr & (TDW__EV_NRS - 1)].bits;
    if (result <= RESTART_FIRST && result >= RESTART_LAST)
        without = ending(task);
    if (bits & ~TDW__PLAN_WORDS) {
        const __u32 began_tid = st->tid;

        if (bits & TDW__PLAN_BEFORE)
            st->tid = number_of(task); /* exec by another thread than the leader */
        call_fields(st, result, began_tid, without);
    } else {
        call_plain(st, result, without);
    }
    if (st->signal) {
        tell(TDW__EV_SIGNAL, st->signal, st->tid, st->signal_pid);
        st->signal = 0;
    }
    return 0;
}

/* ── Tasks and signals ───────────────────────────────────────────────────────────────────────────
 */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    const struct state *const from = state_of(parent);
    struct state *st;

    if (!from || from->tid == 0)
        return 0;
    st = follow(child);
    if (st)
        tell(TDW__EV_FORK, st->tid == st->pid, from->tid, st->tid);
    return 0;
}

/* The program of an exec that succeeds. Its name is the kernel's copy: that of the caller may not
 * have been in memory when the call began, and is gone when it ends. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    const __u32 zero = 0;
    struct draft *const draft = bpf_map_lookup_elem(&drafts, &zero);
    struct state *const st = state_of(task);
    struct tdw__event_field *field;
    long bytes;

    if (!st || !st->in_call || !draft)
        return 0;
    call_put(&draft->call, st, 0, 0);
    draft->call.head.kind = TDW__EV_BEFORE;
    field = (void *)draft->fields;
    bytes = bpf_probe_read_kernel_str(field + 1, TDW__EV_PATH_MAX, BPF_CORE_READ(bprm, filename));
    if (bytes <= 0)
        return 0;
    field->letter = 'p';
    field->arg = plans[st->nr & (TDW__EV_NRS - 1)].letter[0] == 'p' ? 0 : 1;
    field->number = 0;
    field->bytes = bytes;
    draft->call.head.bytes += sizeof *field + ((bytes + 7) & ~7u);
    if (draft_send(draft))
        st->unwhole = 1;
    return 0;
}

/* The thread that ends this leader by calling exec; 0: none does. */
static __always_inline __u32 superseded_by(struct task_struct *task)
{
    struct signal_struct *const signal = BPF_CORE_READ(task, signal);
    struct signal_struct___old *const old = (void *)signal;
    struct task_struct *by = 0;

    if (bpf_core_field_exists(signal->group_exec_task))
        by = BPF_CORE_READ(signal, group_exec_task);
    else if (bpf_core_field_exists(old->group_exit_task))
        by = BPF_CORE_READ(old, group_exit_task);
    return by && by != task && BPF_CORE_READ(task, group_leader) == task ? number_of(by) : 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_end, struct task_struct *task)
{
    struct state *const st = state_of(task);
    struct tdw__event_ended *event;
    __u32 by, code;

    if (!st)
        return 0;
    if (st->tid)
        __sync_fetch_and_add(&alive, -1);
    if (st->tid == 0)
        return 0;
    by = superseded_by(task);
    if (by) {
        tell(TDW__EV_SUPERSEDED, 0, st->tid, by);
        return 0;
    }
    if (st->in_call)
        call_plain(st, 0, TDW__EV_NO_RESULT);
    st->in_call = 0;
    code = BPF_CORE_READ(task, exit_code);
    /* A signal that ends a process at once is not delivered: its threads are killed. */
    if ((code & 0x7f) && (code & 0x7f) != 9 && st->tid == st->pid && st->delivered != (code & 0x7f))
        tell(TDW__EV_SIGNAL, code & 0x7f, st->tid, 0);
    event = bpf_ringbuf_reserve(&ring, sizeof *event, 0);
    if (!event) {
        count_lost(st, false);
        return 0;
    }
    head_put(&event->head, TDW__EV_ENDED, sizeof *event, st->tid);
    event->head.other = st->pid;
    event->code = code;
    event->lost = st->lost;
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

struct siginfo_head {
    int signo, error, code, unused, pid;
};

/* Who sent it, where the kernel says so. */
static __always_inline __u32 sender(int signal, void *info)
{
    struct siginfo_head head = {0};

    if ((__u64)info <= 2 || bpf_probe_read_kernel(&head, sizeof head, info))
        return 0;
    return signal == 17 || head.code == 0 || head.code == -1 || head.code == -6 ? head.pid : 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal, int signal, struct kernel_siginfo *info)
{
    struct state *const st = state_of(bpf_get_current_task_btf());

    if (!st || st->tid == 0 || signal == 9)
        return 0;
    st->delivered = signal;
    tell(TDW__EV_SIGNAL, signal, st->tid, sender(signal, info));
    return 0;
}

/* A child's end of which its parent does not want to know: there is no delivery, but wait4 is
 * explained by it. Told after the call that the parent is in. */
SEC("tp_btf/signal_generate")
int BPF_PROG(on_ignored, int signal, struct kernel_siginfo *info, struct task_struct *to, int type,
             int result)
{
    struct state *st;

    if (signal != 17 || result != 1)
        return 0;
    st = state_of(to);
    if (!st || st->tid == 0)
        return 0;
    if (!st->in_call) {
        tell(TDW__EV_SIGNAL, signal, st->tid, sender(signal, info));
        return 0;
    }
    st->signal_pid = sender(signal, info);
    st->signal = signal;
    return 0;
}

/* At the end of a recording: calls that still run. */
SEC("iter/task")
int on_stop(struct bpf_iter__task *iter)
{
    struct task_struct *const task = iter->task;
    struct state *const st = task ? state_of(task) : 0;

    if (st && st->tid && st->in_call)
        call_plain(st, 0, TDW__EV_NO_RESULT);
    return 0;
}
