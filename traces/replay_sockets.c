/* SPDX-License-Identifier: MIT */
/*
 * Recorded calls on sockets.
 */
#include <string.h>
#include <sys/un.h>
#include <traces/replay_calls.h>

PREPARE(prepare_socket)
{
    tdw_prep_socket(&t->op, (int)s->arg[0], (int)s->arg[1], (int)s->arg[2]);
    return false;
}

PREPARE(prepare_connect)
{
    struct sockaddr_un *to = (struct sockaddr_un *)&t->address;

    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    if (s->path[0])
        snprintf(to->sun_path, sizeof to->sun_path, "%s", s->path[0]);
    tdw_prep_connect(&t->op, FD(0), (struct sockaddr *)to, sizeof *to);
    return false;
}
const struct replay_call tdw__replay_sockets[] = {
    {"socket", prepare_socket, tdw__replay_new_fd},
    {"connect", prepare_connect, NULL},
    {NULL, NULL, NULL},
};
