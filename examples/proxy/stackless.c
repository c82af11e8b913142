/* SPDX-License-Identifier: MIT */
/*
 * The proxy with stackless coroutines: what lives across a wait is in the frame.
 */
#include "proxy.h"

struct session {
    struct tdw_frame frame;
    struct tdw_op timer;
    int client, backend, n;
    struct tdw_wg pumps;
};

struct pump {
    struct tdw_frame frame;
    struct tdw_op timer;
    int from, to, n, sent;
    struct session *session;
    char buffer[BUFFER_BYTES];
};
TDW_CO(pump)
{
    TDW_BEGIN(struct pump, me);
    for (;;) {
        TDW_AWAIT_WITHIN(me->n, &me->timer, IDLE_NS, recv, me->from, me->buffer, sizeof me->buffer,
                         0);
        if (me->n <= 0)
            break;
        TDW_AWAIT(me->sent, send, me->to, me->buffer, (size_t)me->n, MSG_WAITALL);
        if (me->sent < me->n)
            break;
    }
    proxy_ended(me->session->client, me->n);
    if (me->n != 0) /* the session is over: the other pump ends, too */
        TDW_AWAIT(me->sent, shutdown, me->from, SHUT_RDWR);
    TDW_AWAIT(me->sent, shutdown, me->to, me->n == 0 ? SHUT_WR : SHUT_RDWR);
    tdw_wg_done(&me->session->pumps);
    TDW_RETURN(0);
    TDW_END;
}

TDW_CO(session)
{
    TDW_BEGIN(struct session, me);
    me->backend = tdw_sys_socket(AF_INET, SOCK_STREAM, 0);
    TDW_AWAIT_WITHIN(me->n, &me->timer, CONNECT_NS, connect, me->backend,
                     (struct sockaddr *)&scene.backend_address, sizeof scene.backend_address);
    proxy_ended(me->client, me->n);
    if (me->n == 0) {
        tdw_wg_init(&me->pumps, "pumps");
        tdw_wg_add(&me->pumps, 2);
        tdw_detach(TDW_SPAWN("up", pump, struct pump, .from = me->client, .to = me->backend,
                             .session = me));
        tdw_detach(TDW_SPAWN("down", pump, struct pump, .from = me->backend, .to = me->client,
                             .session = me));
        TDW_AWAIT(me->n, wg_wait, &me->pumps);
    }
    TDW_AWAIT(me->n, close, me->backend);
    TDW_AWAIT(me->n, close, me->client);
    TDW_RETURN(0);
    TDW_END;
}

struct proxy {
    struct tdw_frame frame;
    int listener, fd, n;
};
TDW_CO(proxy)
{
    TDW_BEGIN(struct proxy, me);
    me->listener = proxy_listen(PROXY_PORT);
    for (;;) {
        TDW_AWAIT(me->fd, accept, me->listener, NULL, NULL, 0);
        if (me->fd < 0)
            break;
        tdw_detach(TDW_SPAWN("session", session, struct session, .client = me->fd));
    }
    TDW_AWAIT(me->n, close, me->listener);
    TDW_RETURN(0);
    TDW_END;
}

void proxy_stackless_server(void *unused)
{
    (void)unused;
    tdw_daemon(TDW_SPAWN("proxy", proxy, struct proxy));
}

TDW_CO_EXTERN(proxy_stackless)
{
    TDW_BEGIN(struct proxy_test, me);
    scene_init(proxy_stackless_server);
    TDW_AWAIT(me->n, wg_wait, &scene.running);
    TDW_RETURN(0);
    TDW_END;
}
