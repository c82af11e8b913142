/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types, as far as record.bpf.c reads them.
 *
 * Not a dump: each structure has only the fields that are used, and their places here mean nothing.
 * preserve_access_index makes the compiler note each access by name, and libbpf puts in the offset
 * that the running kernel's BTF tells, so one object fits all kernels that have the field. A field
 * that kernels renamed stands here under each of its names, in a structure with a suffix behind
 * three underscores, which libbpf takes for the same one.
 */
#ifndef TDW_EBPF_VMLINUX_H
#define TDW_EBPF_VMLINUX_H

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

typedef _Bool bool;
enum { false = 0, true = 1 };

enum bpf_map_type {
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_RINGBUF = 27,
    BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
    BPF_ANY = 0,
    BPF_F_NO_PREALLOC = 1,
    BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
    BPF_RB_NO_WAKEUP = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* x86-64's registers at a system call. */
struct pt_regs {
    unsigned long r10, r9, r8, dx, si, di, orig_ax;
};

struct thread_info {
    __u32 status; /* bit 2: a call by the 32-bit table */
};

struct list_head {
    struct list_head *next;
};

struct upid {
    int nr;
};

struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct qstr {
    __u64 hash_len;
    const unsigned char *name;
};

struct super_block {
    unsigned long s_magic;
};

struct inode {
    unsigned short i_mode;
    __u32 i_rdev;
    unsigned long i_ino;
    struct super_block *i_sb;
};

struct hlist_bl_node {
    struct hlist_bl_node **pprev;
};

struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
};

struct vfsmount {
    struct dentry *mnt_root;
};

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};

struct file {
    struct path f_path;
    struct inode *f_inode;
    void *private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct fs_struct {
    struct path root, pwd;
};

struct in6_addr {
    __u8 bytes[16];
};

struct sock_common {
    unsigned short skc_family;
    unsigned char skc_state;
    __be32 skc_daddr, skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct socket;

struct sock {
    struct sock_common __sk_common;
    struct socket *sk_socket;
};

struct socket {
    struct sock *sk;
};

struct socket_alloc {
    struct socket socket;
    struct inode vfs_inode;
};

struct sockaddr_un {
    unsigned short sun_family;
};

struct unix_address {
    int len;
    struct sockaddr_un name[1];
};

struct unix_sock {
    struct unix_address *addr;
    struct sock *peer;
};

struct task_struct;

struct signal_struct {
    unsigned int flags;
    struct task_struct *group_exec_task;
};

/* Before 5.17. */
struct signal_struct___old {
    struct task_struct *group_exit_task;
};

struct task_struct {
    struct thread_info thread_info;
    int exit_code;
    struct task_struct *group_leader;
    struct pid *thread_pid;
    struct fs_struct *fs;
    struct files_struct *files;
    struct signal_struct *signal;
};

struct linux_binprm {
    const char *filename;
};

/* What a signal's information begins with. */
struct kernel_siginfo {
    int si_signo, si_code;
};

struct k_sigaction;

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#pragma clang attribute pop

#endif
