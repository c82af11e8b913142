/* SPDX-License-Identifier: MIT */
/*
 * Addresses at which the recording itself listens: who connects there has no peer, and an order.
 *
 *     connect that worked        after the listen that it found (or the bind, for datagrams)
 *     listen                     after the connects to its address that were refused before
 *
 * A socket bound to any address ("0.0.0.0:80", "[::]:80") is found by its port. Called by
 * replay_plan.c for each bind, listen and connect, in the file's order.
 */
#include <errno.h>
#include <string.h>
#include <traces/replay_plan.h>

static uint64_t key_of_address(const char *address)
{
    return tdw__key(address, strlen(address), 40);
}

static uint64_t key_of_socket(const struct plan *plan, const struct replay_step *s)
{
    const uint64_t what[2] = {tdw__plan_process(plan, s), (uint64_t)s->arg[0]};

    return tdw__key(what, sizeof what, 41);
}

/* ":80" of "127.0.0.1:80"; of others the address itself. */
static const char *port_of(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address : strrchr(address, ':');
}

static bool is_any(const char *address)
{
    return strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

void tdw__plan_bind(struct plan *plan, uint32_t at)
{
    const struct replay_step *s = &plan->program->steps[at];

    if (s->result != 0 || !s->address || !port_of(s->address))
        return;
    tdw__plan_put(plan, &plan->bound_by, key_of_socket(plan, s), at);
    tdw__plan_put(plan, &plan->bound,
                  key_of_address(is_any(s->address) ? port_of(s->address) : s->address), at);
}

void tdw__plan_listen(struct plan *plan, uint32_t at)
{
    const struct replay_step *steps = plan->program->steps, *s = &steps[at];
    const uint32_t bind = tdw__plan_get(&plan->bound_by, key_of_socket(plan, s));
    const char *address = bind == REPLAY_NONE ? NULL : steps[bind].address;
    uint64_t key;
    uint32_t refused;

    if (!address || s->result != 0)
        return;
    key = key_of_address(is_any(address) ? port_of(address) : address);
    tdw__plan_put(plan, &plan->bound, key, at);
    refused = tdw__plan_get(&plan->refused, key);
    if (refused != REPLAY_NONE && steps[refused].end_ns <= s->end_ns)
        tdw__plan_edge(plan, at, refused);
}

bool tdw__plan_connects_inside(struct plan *plan, uint32_t at)
{
    const struct replay_step *steps = plan->program->steps, *s = &steps[at];
    const char *const port = port_of(s->address);
    uint32_t listen = tdw__plan_get(&plan->bound, key_of_address(s->address));

    if (!port)
        return false;
    if (s->result == -ECONNREFUSED || s->result == -ENOENT) {
        tdw__plan_put(plan, &plan->refused, key_of_address(s->address), at);
        tdw__plan_put(plan, &plan->refused, key_of_address(port), at);
    }
    if (listen == REPLAY_NONE)
        listen = tdw__plan_get(&plan->bound, key_of_address(port));
    if (listen == REPLAY_NONE)
        return false;
    if ((s->result == 0 || s->result == -EINPROGRESS) && steps[listen].end_ns <= s->end_ns)
        tdw__plan_edge(plan, at, listen);
    return true;
}
