/* SPDX-License-Identifier: MIT */
/*
 * The one function that every event passes: it folds the event into the digest and shows it to
 * the taps.
 *
 * It is always inlined, so that the words which an event kind leaves zero cost nothing. The four
 * products are independent of each other; only one multiplication per lane depends on the event
 * before. Cost: about 2 ns, plus a predicted branch for the taps.
 *
 * The digest is defined by value, not by memory layout, so it is the same on every architecture.
 */
#ifndef TDW_RUNTIME_EVENT_H
#define TDW_RUNTIME_EVENT_H

#include <runtime/mix.h>
#include <runtime/runtime.h>
#include <stdarg.h>

static inline void tdw__digest_fold(struct tdw_digest *digest, const struct tdw_event *e)
{
    const uint64_t what = (uint64_t)e->kind | (uint64_t)e->opcode << 8 | (uint64_t)e->flags << 16 |
                          (uint64_t)(uint32_t)e->fd << 32;
    const uint64_t which = (uint64_t)e->ordinal | (uint64_t)(uint32_t)e->res << 32;

    const uint64_t a = tdw__mix2(what ^ TDW_K0, e->now_ns ^ TDW_K1);
    const uint64_t b = tdw__mix2(e->actor ^ TDW_K2, which ^ TDW_K3);
    const uint64_t c = tdw__mix2(e->off ^ TDW_K1, e->len ^ TDW_K2);
    const uint64_t d = tdw__mix2(e->data ^ TDW_K3, TDW_K0);

    digest->lo = (tdw__rotl(digest->lo, 29) ^ (a + tdw__rotl(b, 21) + c + d)) * TDW_K2;
    digest->hi =
        (tdw__rotl(digest->hi, 37) + (tdw__rotl(a, 13) ^ b ^ tdw__rotl(c, 42) ^ d)) * TDW_K3;
}

/* Show `event` to the taps (event.c). */
void tdw__event_show(struct tdw_loop *loop, const struct tdw_event *event);

__attribute__((always_inline)) static inline void tdw__event(struct tdw_loop *loop,
                                                             struct tdw_event event)
{
    if (TDW_UNLIKELY(loop->unobserved))
        return;
    event.now_ns = loop->now_ns;
    if (event.kind < TDW_E_CHOICE)
        tdw__digest_fold(&loop->digest, &event);
    if (TDW_UNLIKELY(loop->taps != NULL)) {
        const struct tdw_event shown = event; /* so that otherwise it never leaves registers */

        tdw__event_show(loop, &shown);
    }
}

/* As people and files have it: 32 hexadecimal digits, the high half first. */
void tdw__digest_text(struct tdw_digest digest, char text[33]);

/* A call that never waits happened: an event, nothing else. `call` is enum tdw_sys_call. Returns
 * `res`, so that calls can end with it. */
int tdw__sys_event(uint8_t call, int fd, uint64_t off, uint64_t len, uint64_t data, int64_t res);

/* Something is wrong with the program: an event, and the run's failure if it is the first. */
void tdw__finding_v(struct tdw_loop *loop, const struct tdw_task *task, const struct tdw_site *site,
                    const char *format, va_list args);
void tdw__finding(struct tdw_loop *loop, const struct tdw_task *task, const struct tdw_site *site,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Hash of what the entry says beyond fd, off, len: by the table of opcodes. Only where words point
 * to something does it look further (opcode.c). */
uint64_t tdw__entry_pointed(const struct tdw_ring *ring, const struct tdw_op *op);
static inline uint64_t tdw__entry_hash(const struct tdw_ring *ring, const struct tdw_op *op)
{
    const struct tdw_opcode *row = &tdw__opcodes[op->sqe.opcode];
    const struct io_uring_sqe *sqe = &op->sqe;
    const uint64_t rest =
        (uint64_t)sqe->rw_flags | (uint64_t)sqe->ioprio << 32 | (uint64_t)sqe->buf_index << 48;

    if (row->addr > TDW_W_VALUE || (row->off > TDW_W_VALUE && sqe->off))
        return tdw__entry_pointed(ring, op);
    return tdw__mix2(rest ^ TDW_K2, (uint64_t)sqe->file_index ^ TDW_K3) +
           (row->addr == TDW_W_VALUE ? sqe->addr : 0);
}

#endif
