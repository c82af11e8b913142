/* SPDX-License-Identifier: MIT */
/*
 * A process without a world: enough around the simulated files to call their rows directly.
 *
 * An op is given as its entry, prepared with liburing's functions; it runs through start,
 * blocked, effect and release of its row, and answers with its result, or RIG_BLOCKED if it would
 * have to wait (and is then dropped). Time stands where the test puts it.
 */
#ifndef TDW_TESTS_FILES_RIG_H
#define TDW_TESTS_FILES_RIG_H

#include "tests.h"
#include <sim/kernel/vfs.h>
#include <sim/kernel/world.h>
#include <tidewheel/sys.h>
#include <string.h>

enum { RIG_BLOCKED = -1000000 };

struct rig {
    struct tdw_disk *disk;
    struct tdw_loop loop;
    struct tdw_task task;
    struct tdw_process process;
    struct tdw_task *before;
    uint32_t flags; /* of the last op's completion */
};

/* Make `rig` the running process. */
static inline void rig_enter(struct rig *rig)
{
    tdw__self = &rig->task;
}

/* A process on `disk`; NULL: on a new one. */
static inline void rig_init(struct rig *rig, struct tdw_disk *disk)
{
    *rig = (struct rig){.before = tdw__self};
    rig->disk = disk ? disk : tdw__disk_new(tdw__memory_new());
    rig->loop.memory = tdw__memory_new();
    rig->process.ring.loop = &rig->loop;
    rig->loop.backend = &tdw__sim_backend; /* for plain calls: no op goes through it */
    rig->process.files = tdw__files_new(rig->disk);
    rig->process.pid = 77;
    rig->task.ring = &rig->process.ring;
    rig_enter(rig);
}

static inline void rig_fini(struct rig *rig, bool with_disk)
{
    tdw__registered_free(&rig->process);
    tdw__files_free(rig->process.files);
    tdw__memory_free(rig->loop.memory);
    if (with_disk) {
        struct tdw_memory *memory = rig->disk->memory;

        tdw__disk_free(rig->disk);
        tdw__memory_free(memory);
    }
    tdw__self = rig->before;
}

static inline int32_t rig_run(struct rig *rig, const struct io_uring_sqe *sqe)
{
    const struct tdw_sim_opcode *row = tdw__file_opcode(sqe->opcode);
    struct tdw_op op = {.sqe = *sqe, .task = &rig->task};
    void *object = NULL;
    int32_t res;

    rig->flags = 0;
    if (!row)
        return -EINVAL;
    if (sqe->flags & IOSQE_BUFFER_SELECT && !tdw__buffer_selects(sqe->opcode))
        return -EOPNOTSUPP;
    res = row->start ? row->start(&rig->process, &op, &object) : 0;
    rig->flags = op.flags;
    if (res < 0) {
        tdw_test_seen(sqe->opcode, res);
        return res;
    }
    if (row->blocked && row->blocked(&rig->process, &op, object))
        res = RIG_BLOCKED;
    else
        res = row->effect(&rig->process, &op, object);
    if (row->release)
        row->release(&rig->process, object);
    rig->flags = op.flags;
    if (res != RIG_BLOCKED)
        tdw_test_seen(sqe->opcode, res);
    return res;
}

/* An op between its start and its effect. */
struct rig_flight {
    struct tdw_op op;
    void *object;
    const struct tdw_sim_opcode *row;
};

static inline int32_t rig_start(struct rig *rig, struct rig_flight *flight,
                                const struct io_uring_sqe *sqe)
{
    *flight = (struct rig_flight){.op = {.sqe = *sqe, .task = &rig->task},
                                  .row = tdw__file_opcode(sqe->opcode)};
    return flight->row->start(&rig->process, &flight->op, &flight->object);
}

/* `effect`: it takes effect; else it is dropped, as with a process that was killed. */
static inline int32_t rig_land(struct rig *rig, struct rig_flight *flight, bool effect)
{
    const int32_t res =
        effect ? flight->row->effect(&rig->process, &flight->op, flight->object) : 0;

    if (effect)
        tdw_test_seen(flight->op.sqe.opcode, res);
    flight->row->release(&rig->process, flight->object);
    flight->row = NULL;
    return res;
}

/* RIG(rig, read, fd, buffer, bytes, offset): prepare and run. */
#define RIG(rig, verb, ...)                                                                        \
    (__extension__({                                                                               \
        struct io_uring_sqe rig_sqe_ = {0};                                                        \
        io_uring_prep_##verb(&rig_sqe_, __VA_ARGS__);                                              \
        rig_run((rig), &rig_sqe_);                                                                 \
    }))

/* What liburing has no function for: private ops, and those newer than its header. */
static inline int32_t rig_raw(struct rig *rig, uint8_t opcode, int fd, const void *addr,
                              uint32_t len, uint64_t off)
{
    struct io_uring_sqe sqe = {
        .opcode = opcode, .fd = fd, .addr = (uint64_t)(uintptr_t)addr, .len = len, .off = off};

    return rig_run(rig, &sqe);
}

#endif
