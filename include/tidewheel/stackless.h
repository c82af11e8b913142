/* SPDX-License-Identifier: MIT */
/*
 * Stackless coroutines: a function that returns at each wait and is called again.
 *
 *     struct get { struct tdw_frame frame; int fd, n; char buf[512]; };
 *
 *     TDW_CO(get)
 *     {
 *         TDW_BEGIN(struct get, me);
 *         TDW_AWAIT(me->fd, open, "log", O_RDONLY, 0);
 *         TDW_AWAIT(me->n, pread, me->fd, me->buf, sizeof me->buf, 0);
 *         TDW_RETURN(me->n);
 *         TDW_END;
 *     }
 *     TDW_SPAWN("get", get, struct get, .fd = -1);
 *
 * What has to live across a wait lives in the frame, a struct that begins with `struct tdw_frame`.
 * Frames are pooled by size. A wait stores where to go on, as the distance of a label from the
 * function's first one, and returns; it works inside loops, nested blocks and the user's own
 * switch.
 *
 * TDW_AWAIT(out, verb, …) expands to
 *
 *     tdw_prep_verb(the task's op, …);
 *     if (submitted) { me->frame.at = label - first label; return TDW_WAIT; label: }
 *     out = the op's result
 *
 * Mistakes, and who catches them: a local variable used across a wait, the compiler
 * (-Wmaybe-uninitialized, gcc, when it optimises; the local is uninitialised on the way that
 * resumes); TDW_AWAIT outside TDW_BEGIN, the compiler (undeclared name); a second wait for an op
 * in flight, tdw_submit (-EBUSY and a finding); a function that falls off its end, TDW_END.
 */
#ifndef TIDEWHEEL_STACKLESS_H
#define TIDEWHEEL_STACKLESS_H

#include <tidewheel/verbs.h>

enum tdw_step_result { TDW_WAIT, TDW_RUN };

struct tdw_frame;
typedef enum tdw_step_result tdw_step_fn(struct tdw_frame *tdw_frame);

struct tdw_frame {
    tdw_step_fn *step;
    struct tdw_frame *up; /* who called; NULL in a task's first frame */
    int32_t at;           /* where to go on; 0 at the beginning */
    uint32_t bytes;       /* of the whole frame */
    int64_t ret;          /* what the function called last returned */
};

#ifdef __clang__
#define TDW__STEP __attribute__((noinline))
#else
#define TDW__STEP __attribute__((noinline, noclone))
#endif

/* Defines the function: TDW_CO(get) { TDW_BEGIN(…); … TDW_END; }. For a declaration: TDW_CO(get);
 * It has internal linkage; TDW_CO_EXTERN gives it external linkage. */
#define TDW_CO(name) static TDW__STEP enum tdw_step_result name(struct tdw_frame *tdw_frame)
#define TDW_CO_EXTERN(name) TDW__STEP enum tdw_step_result name(struct tdw_frame *tdw_frame)

/* First statement: `me` points to the frame, of struct type `type`. */
#define TDW_BEGIN(type, me)                                                                        \
    type *const me = (type *)(void *)tdw_frame;                                                    \
    (void)(me);                                                                                    \
    _Static_assert(offsetof(type, frame) == 0, "the frame comes first");                           \
    if (tdw_frame->at)                                                                             \
        goto *((char *)&&tdw_first_ + tdw_frame->at);                                              \
    tdw_first_:                                                                                    \
    __asm__ volatile("")

/* Last statement. Control must not reach it: end with TDW_RETURN. */
#define TDW_END                                                                                    \
    tdw__fell_off(tdw_frame);                                                                      \
    return TDW_RUN

#define TDW__SUSPEND(result)                                                                       \
    do {                                                                                           \
        __label__ tdw_resume_;                                                                     \
        tdw_frame->at = (int32_t)((char *)&&tdw_resume_ - (char *)&&tdw_first_);                   \
        return (result);                                                                           \
    tdw_resume_:                                                                                   \
        __asm__ volatile("");                                                                      \
    } while (0)

/* out = the result of a verb. `out` is evaluated after the wait. */
#define TDW_AWAIT(out, verb, ...)                                                                  \
    do {                                                                                           \
        tdw_prep_##verb(tdw__own_op(), ##__VA_ARGS__);                                             \
        if (tdw__stackless_submit(TDW_SITE(#verb)))                                                \
            TDW__SUSPEND(TDW_WAIT);                                                                \
        (out) = tdw_self()->op.res;                                                                \
    } while (0)

/* The same with a deadline: -ETIME if `ns` passed first and the op could be stopped. `timer` is an
 * op in the frame. */
#define TDW_AWAIT_WITHIN(out, timer, ns, verb, ...)                                                \
    do {                                                                                           \
        tdw_prep_##verb(tdw__own_op(), ##__VA_ARGS__);                                             \
        if (tdw__stackless_submit_within((timer), (ns), TDW_SITE(#verb)))                          \
            TDW__SUSPEND(TDW_WAIT);                                                                \
        (out) = tdw_self()->op.res;                                                                \
    } while (0)

/* Wait for an op that was submitted before (TDW_GO). At once if it was delivered already. Of a
 * multishot op each wait takes one completion. */
#define TDW_AWAIT_OP(out, op)                                                                      \
    do {                                                                                           \
        if (tdw__wait_for((struct tdw_op *const[]){(op)}, 1, 1, TDW_SITE("await")))                \
            TDW__SUSPEND(TDW_WAIT);                                                                \
        (out) = tdw__op_take(op);                                                                  \
    } while (0)

/* Wait for all of `count` ops, or for one: out = the index of one that is delivered. `ops` is an
 * array of pointers that lives across the wait. */
#define TDW_AWAIT_ALL(ops, count)                                                                  \
    do {                                                                                           \
        if (tdw__wait_for((ops), (count), (count), TDW_SITE("await all")))                         \
            TDW__SUSPEND(TDW_WAIT);                                                                \
    } while (0)
#define TDW_AWAIT_ANY(out, ops, count)                                                             \
    do {                                                                                           \
        if (tdw__wait_for((ops), (count), 1, TDW_SITE("await any")))                               \
            TDW__SUSPEND(TDW_WAIT);                                                                \
        (out) = tdw__wait_done((ops), (count));                                                    \
    } while (0)

#define TDW_YIELD()                                                                                \
    do {                                                                                           \
        int tdw_yielded_;                                                                          \
        TDW_AWAIT(tdw_yielded_, yield);                                                            \
        (void)tdw_yielded_;                                                                        \
    } while (0)

/* Call another stackless function: out = what it returns. `.field = value` initialise its frame;
 * -ENOMEM if there is none to be had. */
#define TDW_CALL(out, co, type, ...)                                                               \
    do {                                                                                           \
        type *tdw_callee_ = tdw__frame_push(tdw_frame, co, sizeof(type));                          \
        if (tdw_callee_) {                                                                         \
            struct tdw_frame tdw_head_ = tdw_callee_->frame;                                       \
            *tdw_callee_ = (type){.frame = tdw_head_, ##__VA_ARGS__};                              \
            TDW__SUSPEND(TDW_RUN);                                                                 \
        } else {                                                                                   \
            tdw_frame->ret = -ENOMEM;                                                              \
        }                                                                                          \
        (out) = (__typeof__(out))tdw_frame->ret;                                                   \
    } while (0)

/* End the function with a value: for its caller, or as the task's result. The frame is gone. */
#define TDW_RETURN(value)                                                                          \
    do {                                                                                           \
        tdw__frame_pop(tdw_frame, (int64_t)(value));                                               \
        return TDW_RUN;                                                                            \
    } while (0)

/* Spawn a task whose first function is `co`. Its frame is zeroed, then the fields are set. The
 * value is the task, NULL with errno set if there is no memory or the ring is full. */
#define TDW_SPAWN(name, co, type, ...)                                                             \
    (__extension__({                                                                               \
        struct tdw_task *tdw_new_ =                                                                \
            tdw__spawn_stackless((name), (co), sizeof(type), TDW_SITE("spawn"));                   \
        if (tdw_new_) {                                                                            \
            type *tdw_fields_ = tdw_new_->where;                                                   \
            struct tdw_frame tdw_head_ = tdw_fields_->frame;                                       \
            *tdw_fields_ = (type){.frame = tdw_head_, ##__VA_ARGS__};                              \
        }                                                                                          \
        tdw_new_;                                                                                  \
    }))

struct tdw_task *tdw__spawn_stackless(const char *name, tdw_step_fn *step, size_t bytes,
                                      const struct tdw_site *site);
bool tdw__stackless_submit(const struct tdw_site *site);
bool tdw__stackless_submit_within(struct tdw_op *timer, uint64_t ns, const struct tdw_site *site);
void *tdw__frame_push(struct tdw_frame *caller, tdw_step_fn *step, size_t bytes);
void tdw__frame_pop(struct tdw_frame *frame, int64_t value);
void tdw__fell_off(const struct tdw_frame *frame) __attribute__((noreturn));
/* Mark `ops` as awaited until `needed` of them are delivered; false: they are already. */
bool tdw__wait_for(struct tdw_op *const ops[], uint32_t count, uint32_t needed,
                   const struct tdw_site *site);
/* After the wait: take the marks off, and return the lowest index that is delivered. */
int tdw__wait_done(struct tdw_op *const ops[], uint32_t count);

#endif
