/* SPDX-License-Identifier: MIT */
/*
 * Flows: what packets belong to, what of them is an event, and what becomes of them when a host or
 * the world ends.
 *
 * A flow is named by the actor that began it and how many it had begun before. Its packets are
 * numbered by it. Nothing of a flow depends on ports, addresses or memory.
 */
#include <sim/kernel/net/net.h>

struct tdw_flow *tdw__flow_new(struct tdw_world *world)
{
    struct tdw_flow *flow = tdw__memory_get(world->loop.memory, sizeof(*flow));

    if (flow) {
        tdw__actor_init(&flow->actor, world, tdw__own_name(&world->loop));
        flow->refs = 1;
    }
    return flow;
}

void tdw__flow_put(struct tdw_flow *flow)
{
    struct tdw_loop *loop = flow->actor.ring->loop;

    if (--flow->refs > 0)
        return;
    if (loop->last == &flow->actor)
        loop->last = NULL;
    tdw__memory_put(loop->memory, flow, sizeof(*flow));
}

void tdw__packet_event(struct tdw_loop *loop, uint64_t actor, uint32_t ordinal, uint16_t flags,
                       uint64_t seq, uint64_t bytes, int32_t res)
{
    tdw__event(loop, (struct tdw_event){
                         .kind = TDW_E_PACKET,
                         .opcode = TDW_OP_PACKET,
                         .flags = flags & (TDW_SEG_SYN | TDW_SEG_ACK | TDW_SEG_FIN | TDW_SEG_RST),
                         .actor = actor,
                         .ordinal = ordinal,
                         .off = seq,
                         .len = bytes,
                         .res = res,
                     });
}

void tdw__net_host_down(struct tdw_host *host)
{
    struct tdw_net_host *net = host->net;

    tdw__unix_purge(host);
    while (net->ends) {
        struct tdw_connection *connection = net->ends->connection;

        tdw__tcp_forget(net->ends);
        tdw__tcp_settle(connection);
    }
}

void tdw__flows_free(struct tdw_world *world)
{
    while (world->net->connections)
        tdw__tcp_free(world->net->connections);
    while (world->net->datagrams)
        tdw__datagram_free(world, world->net->datagrams);
}
