/* INFORMATIONAL: private notifies, signs of life, and DELETE of children and of the IKE SA (RFC
 * 7296, 1.4, 2.4, 2.25). */
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/life.h"
#include "ike/mobility.h"
#include "ike/queue.h"

/* What a closed child was replaced by is what to send with now: the peer has it, as its DELETE or
 * its answer to ours shows. That one's own successor has to wait for its turn. */
static int use_survivor(struct ike_sa *sa, const struct ike_child *closed)
{
    struct ike_child *next =
        closed->replaced_by != 0 ? ike_child_find(sa, closed->replaced_by) : NULL;

    if (next == NULL || next->state == IKE_CHILD_LINGERING)
        return ERR_OK;
    return ike_child_use(sa, next);
}

/* Our SPIs of closed children, by protocol: SPUT's, then ESP's. */
struct closed {
    uint32_t spis[2][IKE_CHILDREN_MAX];
    uint16_t count[2];
};

/* The peer closes one child; closed collects ours to be named in the answer. Where both sides
 * close it at once, neither names it (2.25.1). */
static int close_child(struct ike_generation *g, uint8_t protocol, uint32_t spi_out,
                       uint64_t now_us, struct closed *closed)
{
    struct ike_sa *sa = g->sa;
    struct ike_child *child = ike_child_find_out(sa, protocol, spi_out);
    const size_t list = protocol == IKE_PROTOCOL_ESP;

    if (child == NULL)
        return ERR_OK;
    bool is_crossing =
        g->request.kind == IKE_REQUEST_DELETE_CHILD && g->request.child == child->number;
    if (!is_crossing && closed->count[list] < IKE_CHILDREN_MAX)
        closed->spis[list][closed->count[list]++] = child->spi_in;
    int error = use_survivor(sa, child);
    if (error != ERR_OK)
        return error;
    enum ike_reason reason =
        is_crossing && child->reason != IKE_REASON_NONE ? child->reason : IKE_REASON_CLOSED_BY_PEER;
    return ike_child_end(sa, child, reason, now_us);
}

static int close_children(struct ike_generation *g, const struct ike_delete *deletion,
                          uint64_t now_us, struct closed *closed)
{
    struct reader r;

    if (deletion->spi_len != 4)
        return ERR_OK;
    reader_init(&r, deletion->spis, (size_t)deletion->count * deletion->spi_len);
    while (reader_left(&r) > 0) {
        int error = close_child(g, deletion->protocol, reader_u32(&r), now_us, closed);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

/* The peer closes the IKE SA that this message came on: an old generation after a rekey, the one
 * that lost a collision, or all. */
static void close_ike(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_generation *rival =
        g->request.kind == IKE_REQUEST_REKEY_IKE ? g->request.rekey->rival_generation : NULL;

    if (g == sa->current && rival != NULL && rival->state == IKE_GENERATION_LIVE)
        ike_sa_adopt(sa, rival, now_us); /* its rekey stands; ours is forgotten (2.25.2) */
    if (g == sa->current)
        ike_sa_fail(sa, IKE_REASON_CLOSED_BY_PEER, 0);
    else
        ike_generation_retire(g, now_us);
}

int ike_informational_answer(struct ike_generation *g, const struct ike_incoming *in,
                             struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_chain chain = in->message->chain;
    struct ike_delete deletion;
    struct ike_notify notify;
    static const uint8_t protocols[2] = {IKE_PROTOCOL_SPUT, IKE_PROTOCOL_ESP};
    struct closed closed = {0};
    int error = ERR_OK;

    if (ike_message_find_notify(in->message, IKE_NOTIFY_AUTHENTICATION_FAILED, NULL)) {
        ike_sa_fail(sa, IKE_REASON_REFUSED_BY_PEER, IKE_NOTIFY_AUTHENTICATION_FAILED);
        return ERR_OK;
    }
    while (error == ERR_OK && ike_message_next_notify(&chain, &notify))
        if (notify.type >= IKE_NOTIFY_PRIVATE_MIN)
            error = ike_events_add_notify(sa, &notify);
    chain = in->message->chain;
    while (error == ERR_OK && ike_message_next_delete(&chain, &deletion)) {
        if (deletion.protocol == IKE_PROTOCOL_IKE) {
            close_ike(g, in->now_us);
            return ERR_OK; /* all children go with it, unnamed */
        }
        error = close_children(g, &deletion, in->now_us, &closed);
    }
    for (size_t i = 0; error == ERR_OK && i < 2; i++)
        if (closed.count[i] > 0)
            ike_build_delete_children(b, protocols[i], closed.spis[i], closed.count[i]);
    if (error == ERR_OK)
        ike_mobility_answer(g, in->message, in->remote, b);
    return error;
}

int ike_notify_begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_outgoing out;
    struct ike_notify_node *notifies = ike_notifies_take(g->sa);

    ike_generation_begin(g, &out, IKE_EXCHANGE_INFORMATIONAL, false, g->send_id);
    for (const struct ike_notify_node *n = notifies; n != NULL; n = n->next)
        ike_build_notify(&out.b, n->type, n->data, n->len);
    g->request.notifies = notifies;
    int error = ike_mobility_ask(g, &out.b);
    if (error != ERR_OK)
        return error;
    return ike_generation_request(g, &out, IKE_REQUEST_NOTIFY, now_us);
}

int ike_delete_child_begin(struct ike_generation *g, struct ike_child *child, uint64_t now_us)
{
    struct ike_outgoing out;

    child->wants_delete = false;
    g->request.child = child->number;
    ike_generation_begin(g, &out, IKE_EXCHANGE_INFORMATIONAL, false, g->send_id);
    ike_build_delete_children(&out.b, (uint8_t)suite_protocol(child->suite), &child->spi_in, 1);
    return ike_generation_request(g, &out, IKE_REQUEST_DELETE_CHILD, now_us);
}

int ike_delete_child_finish(struct ike_generation *g, struct ike_request *request,
                            const struct ike_incoming *in)
{
    struct ike_sa *sa = g->sa;
    struct ike_child *child = ike_child_find(sa, request->child);

    if (child == NULL || child->state == IKE_CHILD_LINGERING)
        return ERR_OK; /* the peer's DELETE crossed ours */
    int error = use_survivor(sa, child);
    if (error != ERR_OK)
        return error;
    enum ike_reason reason =
        child->reason != IKE_REASON_NONE ? child->reason : IKE_REASON_CLOSED_HERE;
    return ike_child_end(sa, child, reason, in->now_us);
}

int ike_delete_begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_outgoing out;

    g->wants_delete = false;
    ike_generation_begin(g, &out, IKE_EXCHANGE_INFORMATIONAL, false, g->send_id);
    ike_build_delete_ike(&out.b);
    return ike_generation_request(g, &out, IKE_REQUEST_DELETE_IKE, now_us);
}

int ike_delete_finish(struct ike_generation *g, struct ike_request *request,
                      const struct ike_incoming *in)
{
    (void)request;
    if (g == g->sa->current)
        ike_sa_fail(g->sa, IKE_REASON_CLOSED_HERE, 0);
    else
        ike_generation_retire(g, in->now_us);
    return ERR_OK;
}

int ike_farewell_begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_outgoing out;

    ike_generation_begin(g, &out, IKE_EXCHANGE_INFORMATIONAL, false, g->send_id);
    ike_build_notify(&out.b, IKE_NOTIFY_AUTHENTICATION_FAILED, NULL, 0);
    return ike_generation_request(g, &out, IKE_REQUEST_FAREWELL, now_us);
}
