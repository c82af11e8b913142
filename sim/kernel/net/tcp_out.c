/* SPDX-License-Identifier: MIT */
/*
 * TCP, what one direction of a connection sends: segments, acknowledgements, sending again.
 *
 *     program ─ written ─▶ unsent ─ sent ─▶ transit ─ arrived ─▶ received ─ taken ─▶ program
 *                 ▲ window, Nagle, cork       ▲ the way: bandwidth, latency, loss
 *                 └──────────── acked, edge ◀── news ◀──┘
 *
 * A packet is one segment or several, up to 64 KiB, handed to the way at once. Packets of a
 * direction arrive in order: only the first of them is an item; when it arrives, the next becomes
 * one. A packet that is lost stays at the head and is sent again after 200 ms (SYN: 1 s), doubling
 * each time, and what is behind it waits: so a loss costs the program what it costs in reality, a
 * delay, and after `user time-out` the connection.
 *
 * Acknowledgements travel with packets of the other direction. A bare one is on its way only when
 * the sender waits for it (`wants_news`): its buffer is full, the window is closed, or Nagle holds
 * back a small segment. Otherwise the sender works out what it would have been told by now
 * (tdw__tcp_catch_up), which costs nothing. So a message is one item, not two.
 *
 * A sender that waits with nothing on its way asks with probes (tcp_send_probe0), 200 ms after each
 * other, then twice that. While the other end is there they change nothing, so they are only made
 * when they may: the other end or its host is gone or paused, the way is down, or a user time-out
 * is set.
 *
 * There is no congestion window: a direction sends what the receiver's window allows. Silly windows
 * are avoided on the receiver's side (RFC 9293, 3.8.6.2), small segments on the sender's (RFC 896).
 */
#include <sim/kernel/net/net.h>
#include <poll.h>

enum {
    RTO_NS = 200000000,      /* TCP_RTO_MIN */
    RTO_SYN_NS = 1000000000, /* TCP_TIMEOUT_INIT */
    DELAYED_ACK_NS = 40000000,
    RETRIES_SYN = 6,    /* tcp_syn_retries: 127 s in all */
    RETRIES_SYNACK = 5, /* tcp_synack_retries */
};
#define RTO_MAX_NS 120000000000u
#define RETRY_NS_MAX 924600000000u /* tcp_retries2 = 15 */

static void run_arrival(struct tdw_op *work);
static void run_news(struct tdw_op *work);
static void run_probe(struct tdw_op *work);

/* ── The packets on their way ──────────────────────────────────────────────────────────────── */

static void schedule_first(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;

    if (!half->transit.head || half->arrival.state != TDW_IDLE)
        return;
    half->arrival.ordinal = half->packets << 1 | (end == &end->connection->ends[1]);
    /* To send a lost one again is a matter of a timer, and of the sender. */
    if (half->transit.head->flags & TDW_SEG_LOST)
        tdw__work_at(&half->arrival, &end->connection->actor, end->host, TDW_OP_TIMER,
                     half->transit.head->due_ns, run_arrival);
    else
        tdw__work_at(&half->arrival, &end->connection->actor, tdw__other(end)->host, TDW_OP_PACKET,
                     half->transit.head->due_ns, run_arrival);
}

static uint64_t backoff_ns(uint64_t first, uint32_t retries)
{
    const uint64_t wait = retries < 16 ? first << retries : RTO_MAX_NS;

    return wait < RTO_MAX_NS ? wait : RTO_MAX_NS;
}

static uint64_t rto_ns(const struct tdw_half *half, const struct tdw_segment *segment)
{
    return backoff_ns(segment->flags & (TDW_SEG_SYN | TDW_SEG_ACK) ? RTO_SYN_NS : RTO_NS,
                      half->retries);
}

/* The first packet did not arrive: it will be sent again. */
static void lose(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    struct tdw_segment *first = half->transit.head;
    struct tdw_loop *loop = end->loop;

    tdw__packet_event(loop, end->connection->actor.actor, half->arrival.ordinal, first->flags,
                      first->seq, first->bytes, -EAGAIN);
    if (half->retries == 0)
        half->lost_ns = loop->now_ns;
    first->flags |= TDW_SEG_LOST;
    first->due_ns = loop->now_ns + rto_ns(half, first);
    half->retries++;
}

/* How long it is tried to be heard. */
static uint64_t limit_ns(const struct tdw_end *end)
{
    return end->user_timeout_ms ? (uint64_t)end->user_timeout_ms * 1000000 : RETRY_NS_MAX;
}

static bool given_up(const struct tdw_end *end, const struct tdw_segment *first)
{
    const struct tdw_half *half = &end->out;

    if (first->flags & TDW_SEG_SYN)
        return half->retries > (end == &end->connection->ends[0] ? RETRIES_SYN : RETRIES_SYNACK);
    if (first->flags & TDW_SEG_ACK)
        return half->retries > RETRIES_SYNACK;
    return end->loop->now_ns - half->lost_ns >= limit_ns(end);
}

static uint64_t packet_bytes(const struct tdw_segment *segment)
{
    uint64_t bytes = segment->bytes;

    while (!(segment->flags & TDW_SEG_LAST)) {
        segment = segment->next;
        bytes += segment->bytes;
    }
    return bytes;
}

/* On the wire every MSS has headers of its own. */
static uint64_t wire_bytes(uint64_t bytes)
{
    return bytes + (bytes / TDW_MSS + 1) * TDW_HEADER_BYTES;
}

/* Hand the packet that begins with `first`, the last one of the list, to the way. */
static void hand_over(struct tdw_end *end, struct tdw_segment *first, uint64_t not_before_ns)
{
    struct tdw_half *half = &end->out;
    const struct tdw_half *back = &tdw__other(end)->out;
    const uint32_t ordinal = half->packets++ << 1 | (end == &end->connection->ends[1]);
    const uint64_t due = tdw__way_send(end->way, wire_bytes(packet_bytes(first)),
                                       end->connection->actor.actor, ordinal);

    first->ack = back->arrived;
    first->edge = back->taken + end->window_bytes;
    if (due == TDW_NEVER) {
        first->flags |= TDW_SEG_LOST;
        first->due_ns = end->loop->now_ns + rto_ns(half, first);
        if (half->retries++ == 0)
            half->lost_ns = end->loop->now_ns;
        return;
    }
    first->due_ns = due > not_before_ns ? due : not_before_ns;
}

/* Of what a closed end had on its way only an RST matters. If the other end has sent what is not
 * acknowledged, it does so again, and is answered again; else it does not know, and will ask. */
static void reset_again(struct tdw_end *end)
{
    const struct tdw_end *to = tdw__other(end);
    struct tdw_segment *reset = NULL, *segment;

    while ((segment = end->out.transit.head) != NULL) {
        tdw__segments_pop(&end->out.transit);
        if (segment->flags & TDW_SEG_RST && !reset)
            reset = segment;
        else
            tdw__segment_free(end->loop, segment);
    }
    if (reset && to->state != TDW_TCP_CLOSED && to->out.sent > to->out.acked &&
        !given_up(end, reset)) {
        reset->flags &= (uint16_t)~TDW_SEG_LOST;
        reset->next = NULL;
        hand_over(end, reset, 0);
        tdw__segments_push(&end->out.transit, reset);
        return;
    }
    if (reset) {
        end->reset_sent = false;
        tdw__segment_free(end->loop, reset);
    }
    tdw__tcp_tell(tdw__other(end));
}

/* A lost packet's time has come. */
static void send_again(struct tdw_end *end)
{
    struct tdw_segment *first = end->out.transit.head;

    first->flags &= (uint16_t)~TDW_SEG_LOST;
    if (end->state == TDW_TCP_CLOSED) { /* nobody is there to send it */
        reset_again(end);
        return;
    }
    if (given_up(end, first)) {
        if (first->flags & TDW_SEG_ACK && !(first->flags & TDW_SEG_SYN)) {
            /* The server has forgotten the handshake; this side will learn by RST. */
            tdw__segment_free(end->loop, tdw__segments_pop(&end->out.transit));
            tdw__tcp_forget(tdw__other(end));
        } else {
            tdw__tcp_broken(end, ETIMEDOUT);
        }
        return;
    }
    hand_over(end, first, 0);
}

/* A third of the buffer, or more, is free again: programs are told (sk_stream_write_space). */
static void tell_space(struct tdw_end *end)
{
    struct tdw_socket *socket = end->socket;

    if (socket && (socket->writers.head || socket->changed.head || socket->changed.watches) &&
        tdw__tcp_writable(end))
        tdw__socket_wake(socket, POLLOUT | POLLWRNORM);
}

/* What a packet tells beside its bytes. */
static void learn(struct tdw_end *end, const struct tdw_segment *packet)
{
    struct tdw_half *half = &end->out;
    const bool news = packet->ack > half->acked || packet->edge > half->edge;

    if (packet->ack > half->acked)
        half->acked = packet->ack;
    if (packet->edge > half->edge)
        half->edge = packet->edge;
    if (news && half->wants_news) {
        tdw__tcp_push(end);
        tell_space(end);
    }
}

static void arrive(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    struct tdw_end *to = tdw__other(end);
    struct tdw_segment *first = half->transit.head, *segment;
    struct tdw_segment told = {.ack = first->ack, .edge = first->edge};
    bool last;

    if (!to->host->up || !tdw__tcp_accepts(to, first)) {
        if (first->flags == (TDW_SEG_ACK | TDW_SEG_LAST) && to->state != TDW_TCP_SYN_RECEIVED)
            tdw__segment_free(end->loop, tdw__segments_pop(&half->transit)); /* nobody asks */
        else
            lose(end);
        return;
    }
    half->retries = 0;
    tdw__packet_event(end->loop, end->connection->actor.actor, half->arrival.ordinal, first->flags,
                      first->seq, packet_bytes(first), 0);
    do {
        segment = tdw__segments_pop(&half->transit);
        last = segment->flags & TDW_SEG_LAST;
        tdw__tcp_arrived(to, segment);
    } while (!last && half->transit.head);
    if (to->state != TDW_TCP_CLOSED)
        learn(to, &told);
}

/* Somebody in between ends the connection, by a plan. */
static bool is_reset(const struct tdw_end *end)
{
    struct tdw_blow blow;

    return tdw__way_hit(end->way, TDW_AT_NET_RESET, packet_bytes(end->out.transit.head),
                        end->connection->actor.actor, end->out.arrival.ordinal, 1, &blow);
}

static void reset_both(struct tdw_end *end)
{
    struct tdw_end *to = tdw__other(end);

    end->reset_sent = to->reset_sent = true;
    tdw__tcp_broken(to, ECONNRESET);
    tdw__tcp_broken(end, ECONNRESET);
}

static void run_arrival(struct tdw_op *work)
{
    struct tdw_half *half = tdw_of(work, struct tdw_half, arrival);
    struct tdw_end *end = tdw_of(half, struct tdw_end, out);

    if (half->transit.head->flags & TDW_SEG_LOST)
        send_again(end);
    else if (is_reset(end))
        reset_both(end);
    else
        arrive(end);
    schedule_first(end);
    tdw__tcp_settle(end->connection);
}

/* ── Sending ───────────────────────────────────────────────────────────────────────────────── */

void tdw__tcp_signal(struct tdw_end *end, uint16_t flags)
{
    struct tdw_half *half = &end->out;
    struct tdw_segment *segment = tdw__segment_new(end->loop, 0);
    const uint64_t after = half->transit.head ? half->last_due_ns : 0;

    if (!segment)
        return;
    segment->flags = flags | TDW_SEG_LAST;
    segment->seq = half->sent;
    if (flags & TDW_SEG_FIN)
        half->fin_sent = true;
    hand_over(end, segment, after);
    half->last_due_ns = segment->due_ns;
    tdw__segments_push(&half->transit, segment);
    schedule_first(end);
}

/* Cut the segment after `bytes`; the rest stays in front of the list. */
static bool split(struct tdw_end *end, struct tdw_segment *segment, uint64_t bytes)
{
    struct tdw_segments *unsent = &end->out.unsent;
    const uint32_t rest = segment->bytes - (uint32_t)bytes;
    struct tdw_segment *behind = tdw__segment_new(end->loop, rest);

    if (!behind)
        return false;
    memcpy(behind->data, segment->data + segment->off + bytes, rest);
    behind->bytes = rest;
    segment->bytes = (uint32_t)bytes;
    behind->next = unsent->head;
    if (!unsent->head)
        unsent->tail = behind;
    unsent->head = behind;
    return true;
}

/* One packet of up to `room` bytes. */
static void send_packet(struct tdw_end *end, uint64_t room)
{
    struct tdw_half *half = &end->out;
    struct tdw_segments packet = {NULL, NULL};
    const uint64_t after = half->transit.head ? half->last_due_ns : 0;

    if (room > TDW_PACKET_BYTES_MAX)
        room = TDW_PACKET_BYTES_MAX;
    while (half->unsent.head && room > 0) {
        struct tdw_segment *segment = tdw__segments_pop(&half->unsent);

        if (segment->bytes > room && !split(end, segment, room)) {
            tdw__segments_push(&packet, segment); /* no memory: a little beyond the window */
            room = segment->bytes;
        } else {
            tdw__segments_push(&packet, segment);
        }
        segment->seq = half->sent;
        half->sent += segment->bytes;
        room -= segment->bytes;
    }
    packet.tail->flags |= TDW_SEG_LAST;
    hand_over(end, packet.head, after);
    half->last_due_ns = packet.head->due_ns;
    if (half->transit.head)
        half->transit.tail->next = packet.head;
    else
        half->transit.head = packet.head;
    half->transit.tail = packet.tail;
    end->interactive |= tdw__other(end)->out.arrived > 0; /* it answers */
    schedule_first(end);
}

/* Is what is left too little to be sent while something is not acknowledged? */
static bool held_back(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    const uint64_t unsent = half->written - half->sent;

    if (unsent >= TDW_MSS || half->fin_queued)
        return false;
    if (half->cork)
        return true;
    return !half->no_delay && half->acked < half->sent;
}

static bool may_send(const struct tdw_end *end)
{
    switch ((enum tdw_tcp_state)end->state) {
    case TDW_TCP_ESTABLISHED:
    case TDW_TCP_CLOSE_WAIT:
    case TDW_TCP_FIN_WAIT:
    case TDW_TCP_LAST_ACK:
        return true;
    case TDW_TCP_CLOSED:
    case TDW_TCP_LISTEN:
    case TDW_TCP_SYN_SENT:
    case TDW_TCP_SYN_RECEIVED:
    case TDW_TCP_TIME_WAIT:
        break;
    }
    return false;
}

void tdw__tcp_push(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    const uint64_t acked = half->acked;

    if (!may_send(end))
        return;
    tdw__tcp_catch_up(end);
    while (half->unsent.head) {
        if (half->edge <= half->sent || held_back(end)) {
            tdw__tcp_want_news(end);
            break;
        }
        send_packet(end, half->edge - half->sent);
    }
    if (!half->unsent.head && half->fin_queued && !half->fin_sent)
        tdw__tcp_signal(end, TDW_SEG_FIN);
    if (half->acked > acked)
        tell_space(end);
}

void tdw__tcp_drop_unsent(struct tdw_end *end)
{
    tdw__segments_free(end->loop, &end->out.unsent);
    end->out.written = end->out.sent;
}

/* ── Acknowledgements ──────────────────────────────────────────────────────────────────────── */

/* How long a bare acknowledgement takes, and whether the receiver holds it back to send it with an
 * answer of its own. */
static uint64_t news_delay_ns(struct tdw_end *end)
{
    const struct tdw_half *half = &end->out;
    struct tdw_end *to = tdw__other(end);
    const bool delayed = to->interactive && half->unsent.head && half->edge > half->sent &&
                         half->arrived - half->acked < 2 * TDW_MSS;

    return end->back_ns + (delayed ? DELAYED_ACK_NS : 0);
}

void tdw__tcp_catch_up(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    const uint64_t now = end->loop->now_ns, edge = half->taken + end->peer_window_bytes;
    const bool acks = half->arrived > half->acked && half->arrived_ns + end->back_ns <= now;
    const bool opens = edge > half->edge && half->taken_ns + end->back_ns <= now;

    if (!acks && !opens) /* usually: the other end is another line of the cache */
        return;
    if (tdw__other(end)->state == TDW_TCP_CLOSED || end->back_ns == TDW_NEVER)
        return;
    if (acks && half->arrived_ns + news_delay_ns(end) <= now) {
        half->acked = half->arrived;
        half->probes = 0;
    }
    if (opens) {
        half->edge = edge;
        half->probes = 0;
    }
}

/* Is there something to tell that is worth a packet? A window that opens by a little is not. */
static bool has_news(struct tdw_end *end)
{
    const struct tdw_half *half = &end->out;
    const uint64_t window = end->peer_window_bytes;
    const uint64_t least = window / 2 < 2 * TDW_MSS ? window / 2 : 2 * TDW_MSS;

    return half->arrived > half->acked || half->taken + window >= half->edge + least;
}

static uint32_t news_ordinal(const struct tdw_end *end)
{
    return 1u << 31 | end->out.packets << 1 | (end == &end->connection->ends[1]);
}

bool tdw__tcp_heard(struct tdw_end *end)
{
    const struct tdw_end *to = tdw__other(end);

    return to->host->up && !to->host->paused && !tdw__way_down(end->way) &&
           end->back_ns != TDW_NEVER;
}

/* Probe, if the answer may be another one than "wait". */
static void doubt(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    const struct tdw_end *to = tdw__other(end);
    uint64_t due;
    bool gone;

    if (half->transit.head || half->news.state != TDW_IDLE)
        return;
    gone = to->state == TDW_TCP_CLOSED && !to->reset_sent;
    if (!gone && tdw__tcp_heard(end) && !end->user_timeout_ms)
        return;
    if (half->probes == 0)
        half->probing_ns = end->loop->now_ns;
    due = end->loop->now_ns + backoff_ns(RTO_NS, half->probes);
    if (end->back_ns != TDW_NEVER) /* the item is its answer */
        due += end->way->link.latency_ns + end->back_ns;
    if (end->user_timeout_ms && due > half->probing_ns + limit_ns(end))
        due = half->probing_ns + limit_ns(end);
    half->news.ordinal = news_ordinal(end);
    tdw__work_at(&half->news, &end->connection->actor, end->host, TDW_OP_TIMER, due, run_probe);
}

/* The receiver sends an acknowledgement if the sender waits for one. */
void tdw__tcp_tell(struct tdw_end *end)
{
    struct tdw_half *half = &end->out;
    const uint64_t changed = half->arrived_ns > half->taken_ns ? half->arrived_ns : half->taken_ns;

    if (!half->wants_news || half->news_sent)
        return;
    if (!has_news(end) || tdw__other(end)->state == TDW_TCP_CLOSED || end->back_ns == TDW_NEVER) {
        doubt(end);
        return;
    }
    tdw__work_cancel(&half->news);
    half->news_sent = true;
    half->news_acked = half->arrived;
    half->news_edge = half->taken + end->peer_window_bytes;
    half->news.ordinal = news_ordinal(end);
    tdw__work_at(&half->news, &end->connection->actor, end->host, TDW_OP_PACKET,
                 changed + news_delay_ns(end), run_news);
}

void tdw__tcp_want_news(struct tdw_end *end)
{
    end->out.wants_news = true;
    tdw__tcp_tell(end);
}

static void run_news(struct tdw_op *work)
{
    struct tdw_half *half = tdw_of(work, struct tdw_half, news);
    struct tdw_end *end = tdw_of(half, struct tdw_end, out);

    half->news_sent = false;
    if (end->back_ns == TDW_NEVER &&
        tdw__other(end)->state != TDW_TCP_CLOSED) { /* it is lost; a probe will ask */
        doubt(end);
        return;
    }
    half->probes = 0;
    if (half->news_acked > half->acked)
        half->acked = half->news_acked;
    if (half->news_edge > half->edge)
        half->edge = half->news_edge;
    half->wants_news = false;
    end->heard_ns = end->loop->now_ns;
    tdw__tcp_push(end);
    tell_space(end);
    if (end->socket && !tdw__tcp_writable(end))
        tdw__tcp_want_news(end);
    tdw__tcp_settle(end->connection);
}

static void run_probe(struct tdw_op *work)
{
    struct tdw_half *half = tdw_of(work, struct tdw_half, news);
    struct tdw_end *end = tdw_of(half, struct tdw_end, out);
    const bool heard = tdw__tcp_heard(end);
    const bool late = end->loop->now_ns - half->probing_ns >= limit_ns(end);

    if (half->transit.head) /* it was sent meanwhile, and tells */
        return;
    half->probes++;
    if (heard && tdw__other(end)->state == TDW_TCP_CLOSED) {
        tdw__tcp_reset(end);
    } else if (late && (!heard || end->user_timeout_ms)) {
        tdw__tcp_broken(end, ETIMEDOUT);
    } else {
        if (heard && !end->user_timeout_ms)
            half->probes = 0;
        tdw__tcp_tell(end);
    }
    tdw__tcp_settle(end->connection);
}

void tdw__tcp_taken(struct tdw_end *end, uint64_t bytes)
{
    struct tdw_half *half = &tdw__other(end)->out;

    half->taken += bytes;
    half->taken_ns = end->loop->now_ns;
    if (half->wants_news)
        tdw__tcp_tell(tdw__other(end));
}
