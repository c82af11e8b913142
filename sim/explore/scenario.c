/* SPDX-License-Identifier: MIT */
/*
 * What scenarios call while they run: checks, logs, parameters.
 *
 * A failed check is a finding, and ends the run behind the present step: nothing is unwound, so the
 * three models end in the same place. A log line is an event outside the digest, formatted only if
 * somebody listens.
 */
#include <sim/explore/explore.h>
#include <stdarg.h>
#include <string.h>

_Thread_local const struct tdw_options *tdw__running;

void tdw__check_failed(const struct tdw_site *site, const char *condition, const char *format, ...)
{
    struct tdw_loop *loop = tdw__self->ring->loop;
    char values[256];
    va_list args;

    va_start(args, format);
    vsnprintf(values, sizeof values, format, args);
    va_end(args);
    tdw__finding(loop, tdw__self, site, "check failed: %s: %s", condition, values);
    loop->stop = true;
}

void tdw_log(const char *format, ...)
{
    struct tdw_loop *loop = tdw__self->ring->loop;
    char line[512];
    va_list args;

    if (!loop->taps)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_LOG,
                         .actor = tdw__self->actor,
                         .name = line,
                     });
}

uint64_t tdw_param(const char *name, uint64_t low, uint64_t high)
{
    const struct tdw_options *options = tdw__running;

    for (uint32_t i = 0; options && i < options->params_count; i++)
        if (strlen(name) == options->params[i].name_bytes &&
            memcmp(options->params[i].name, name, options->params[i].name_bytes) == 0)
            return options->params[i].value;
    return low + tdw_choose(name, (uint32_t)(high - low + 1));
}
