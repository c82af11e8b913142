/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The reference of record_pread: the least that a recorder does in the kernel. It notes when a call
 * of one process begins, and writes a small record of it when it ends: no arguments, no
 * descriptors, no losses counted, nobody woken.
 */
#include <traces/ebpf/vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct record {
    __u64 began_ns, ended_ns;
    __s64 result;
    __u32 tid, nr;
};

struct began {
    __u64 ns;
    __u32 nr;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct began);
} began SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 25);
} ring SEC(".maps");

__u32 target = 0;

SEC("tp_btf/sys_enter")
int BPF_PROG(bare_enter, struct pt_regs *regs, long nr)
{
    struct began *b;

    if (bpf_get_current_pid_tgid() >> 32 != target)
        return 0;
    b = bpf_task_storage_get(&began, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (b) {
        b->nr = nr;
        b->ns = bpf_ktime_get_ns();
    }
    return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(bare_exit, struct pt_regs *regs, long result)
{
    struct record *record;
    struct began *b;

    if (bpf_get_current_pid_tgid() >> 32 != target)
        return 0;
    b = bpf_task_storage_get(&began, bpf_get_current_task_btf(), 0, 0);
    record = b ? bpf_ringbuf_reserve(&ring, sizeof *record, 0) : 0;
    if (!record)
        return 0;
    record->began_ns = b->ns;
    record->ended_ns = bpf_ktime_get_ns();
    record->result = result;
    record->tid = (__u32)bpf_get_current_pid_tgid();
    record->nr = b->nr;
    bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
    return 0;
}
