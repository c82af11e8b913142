/* SPDX-License-Identifier: MIT */
/*
 * Events beyond the digest: taps, findings, and the words for the kinds.
 *
 * Taps are called in the order in which they were added, for every event, with the digest already
 * up to date. Nothing here runs unless somebody listens or something is wrong.
 */
#include <runtime/event.h>
#include <tidewheel/world.h>
#include <stdarg.h>
#include <stdio.h>

void tdw__event_show(struct tdw_loop *loop, const struct tdw_event *event)
{
    for (struct tdw_tap *tap = loop->taps, *next; tap; tap = next) {
        next = tap->next;
        tap->event(tap, event);
    }
}

void tdw_tap_add(struct tdw_loop *loop, struct tdw_tap *tap)
{
    struct tdw_tap **at = &loop->taps;

    while (*at)
        at = &(*at)->next;
    tap->next = NULL;
    *at = tap;
    loop->unobserved = false;
}

void tdw_tap_remove(struct tdw_loop *loop, struct tdw_tap *tap)
{
    struct tdw_tap **at = &loop->taps;

    while (*at && *at != tap)
        at = &(*at)->next;
    if (*at)
        *at = tap->next;
    loop->unobserved = !loop->taps && loop->backend->clock;
}

struct tdw_digest tdw_loop_digest(const struct tdw_loop *loop)
{
    return loop->digest;
}

void tdw__finding_v(struct tdw_loop *loop, const struct tdw_task *task, const struct tdw_site *site,
                    const char *format, va_list args)
{
    struct tdw_failure again, *failure = loop->findings++ == 0 ? &loop->failure : &again;

    failure->site = site;
    failure->now_ns = loop->now_ns;
    failure->task[0] = '\0';
    if (task)
        tdw_task_path(task, failure->task, sizeof failure->task);
    vsnprintf(failure->text, sizeof failure->text, format, args);
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_FINDING,
                         .actor = task ? task->actor : 0,
                         .site = site,
                         .name = failure->text,
                     });
}

void tdw__finding(struct tdw_loop *loop, const struct tdw_task *task, const struct tdw_site *site,
                  const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tdw__finding_v(loop, task, site, format, args);
    va_end(args);
}

const char *tdw_event_name(uint8_t kind)
{
    switch ((enum tdw_event_kind)kind) {
    case TDW_E_SUBMIT:
        return "submit";
    case TDW_E_EFFECT:
        return "effect";
    case TDW_E_COMPLETE:
        return "complete";
    case TDW_E_DELIVER:
        return "deliver";
    case TDW_E_SYS:
        return "sys";
    case TDW_E_SPAWN:
        return "spawn";
    case TDW_E_END:
        return "end";
    case TDW_E_FAULT:
        return "fault";
    case TDW_E_PACKET:
        return "packet";
    case TDW_E_CRASH:
        return "crash";
    case TDW_E_BOOT:
        return "boot";
    case TDW_E_ACQUIRE:
        return "acquire";
    case TDW_E_MARK:
        return "mark";
    case TDW_E_CHOICE:
        return "choice";
    case TDW_E_LOG:
        return "log";
    case TDW_E_FINDING:
        return "finding";
    case TDW_E_CALL:
        return "call";
    }
    return "?";
}

void tdw__digest_text(struct tdw_digest digest, char text[33])
{
    snprintf(text, 33, "%016llx%016llx", (unsigned long long)digest.hi,
             (unsigned long long)digest.lo);
}
void tdw_mark(const char *name, uint64_t value)
{
    tdw__event(tdw__self->ring->loop, (struct tdw_event){
                                          .kind = TDW_E_MARK,
                                          .actor = tdw__self->actor,
                                          .off = value,
                                          .data = tdw__hash_text(name),
                                          .name = name,
                                      });
}

int tdw__sys_event(uint8_t call, int fd, uint64_t off, uint64_t len, uint64_t data, int64_t res)
{
    tdw__event(tdw__self->ring->loop, (struct tdw_event){
                                          .kind = TDW_E_SYS,
                                          .opcode = call,
                                          .fd = fd,
                                          .actor = tdw__self->actor,
                                          .off = off,
                                          .len = len,
                                          .data = tdw__mix2(data ^ TDW_K0, (uint64_t)res ^ TDW_K1),
                                          .res = (int32_t)res,
                                      });
    return (int)res;
}
