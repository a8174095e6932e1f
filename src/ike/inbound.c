/* A message on its way in: window, decryption, form, legality, and the exchange that it belongs to
 * (RFC 7296, 2.1 to 2.3, 2.21). Until it has been decrypted nothing changes. */
#include "ike/exchange.h"
#include "ike/fragment.h"
#include "ike/life.h"
#include "ike/mobility.h"
#include "ike/rest.h"
#include <string.h>

#define STATE_BIT(state) (1u << (state))
#define STATES_RUNNING   (STATE_BIT(IKE_GENERATION_LIVE) | STATE_BIT(IKE_GENERATION_REPLACED))

/* Of a peer that we know, over UDP: what it may ask at once, and then how often. */
#define REQUESTS_BURST 64
#define REQUEST_US     (SECOND_US / 16)

typedef int answer_request(struct ike_generation *g, const struct ike_incoming *in,
                           struct ike_builder *b);
typedef int finish_request(struct ike_generation *g, struct ike_request *request,
                           const struct ike_incoming *in);

/* Requests that we answer: in which states, with what payloads at least. */
static const struct {
    uint8_t exchange;
    unsigned states;
    uint32_t required;
    answer_request *answer;
} requests[] = {
    /* Without AUTH it is EAP that the peer wants (2.16), which is refused like a wrong proof. */
    {IKE_EXCHANGE_AUTH, STATE_BIT(IKE_GENERATION_AUTH), IKE_BIT(IKE_PAYLOAD_IDI),
     ike_authenticate_answer},
    {IKE_EXCHANGE_CREATE_CHILD_SA, STATES_RUNNING,
     IKE_BIT(IKE_PAYLOAD_SA) | IKE_BIT(IKE_PAYLOAD_NONCE), ike_create_child_answer},
    {IKE_EXCHANGE_INFORMATIONAL, STATES_RUNNING, 0, ike_informational_answer},
};

static int finish_notify(struct ike_generation *g, struct ike_request *request,
                         const struct ike_incoming *in)
{
    /* Any answer says "arrived". */
    return ike_mobility_finish(g->sa, request, in->message, in->remote, in->now_us);
}

static int finish_farewell(struct ike_generation *g, struct ike_request *request,
                           const struct ike_incoming *in)
{
    (void)g, (void)request, (void)in;
    return ERR_OK;
}

/* Responses that we wait for, by what we asked. */
static const struct {
    enum ike_request_kind kind;
    uint8_t exchange;
    finish_request *finish;
} responses[] = {
    {IKE_REQUEST_AUTH, IKE_EXCHANGE_AUTH, ike_authenticate_finish},
    {IKE_REQUEST_NOTIFY, IKE_EXCHANGE_INFORMATIONAL, finish_notify},
    {IKE_REQUEST_WAKE, IKE_EXCHANGE_CREATE_CHILD_SA, ike_wake_finish},
    {IKE_REQUEST_REKEY_CHILD, IKE_EXCHANGE_CREATE_CHILD_SA, ike_rekey_child_finish},
    {IKE_REQUEST_REKEY_IKE, IKE_EXCHANGE_CREATE_CHILD_SA, ike_rekey_ike_finish},
    {IKE_REQUEST_DELETE_CHILD, IKE_EXCHANGE_INFORMATIONAL, ike_delete_child_finish},
    {IKE_REQUEST_DELETE_IKE, IKE_EXCHANGE_INFORMATIONAL, ike_delete_finish},
    {IKE_REQUEST_FAREWELL, IKE_EXCHANGE_INFORMATIONAL, finish_farewell},
};

/* What a decrypted message holds. */
struct opened {
    uint8_t first;
    const uint8_t *data;
    size_t len;
    uint64_t hash; /* that tells the message, or its first fragment, when it is repeated */
};

/* Is the other end of this generation known to be the peer? */
static bool is_proven(const struct ike_generation *g)
{
    return (STATE_BIT(g->state) & STATES_RUNNING) != 0;
}

/* ERR_AGAIN: a fragment, and others are missing. */
static int open_message(struct ike_generation *g, const struct ike_header *header,
                        const uint8_t *message, size_t len, uint64_t now_us,
                        struct opened *ret_opened)
{
    struct ike_table *table = g->sa->table;

    if (len > sizeof(table->in))
        return ERR_LIMIT;
    if (header->next_payload == IKE_PAYLOAD_SKF) {
        ret_opened->data = table->in;
        return ike_fragment_take(g, header, message, len, now_us, &ret_opened->first,
                                 &ret_opened->len, &ret_opened->hash);
    }
    ret_opened->hash = siphash(table->hash_key, message, len);
    memcpy(table->in, message, len);
    return ike_keys_open(&g->keys, !g->is_initiator, table->in, len, &ret_opened->first,
                         &ret_opened->data, &ret_opened->len);
}

/* A broken message of an authentic peer: said once, and the SA is over (2.21.3). */
static void refuse_syntax(struct ike_sa *sa, struct ike_builder *b)
{
    ike_build_notify(b, IKE_NOTIFY_INVALID_SYNTAX, NULL, 0);
    ike_sa_fail(sa, IKE_REASON_PROTOCOL, IKE_NOTIFY_INVALID_SYNTAX);
}

static int answer(struct ike_generation *g, const struct ike_header *header,
                  const struct opened *opened, const struct endpoint *remote, uint64_t now_us,
                  struct ike_builder *b)
{
    struct ike_message m;
    const struct ike_incoming in = {&m, remote, now_us};
    bool was_live = g->state != IKE_GENERATION_AUTH;

    if (ike_message_parse(opened->first, opened->data, opened->len, &m) != ERR_OK) {
        refuse_syntax(g->sa, b);
        return ERR_OK;
    }
    if (m.unknown_critical != 0) {
        ike_build_notify(b, IKE_NOTIFY_UNSUPPORTED_CRITICAL_PAYLOAD, &m.unknown_critical, 1);
        if (!was_live)
            ike_sa_fail(g->sa, IKE_REASON_PROTOCOL, IKE_NOTIFY_UNSUPPORTED_CRITICAL_PAYLOAD);
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].exchange != header->exchange ||
            (requests[i].states & STATE_BIT(g->state)) == 0)
            continue;
        if ((m.present & requests[i].required) != requests[i].required)
            break;
        return requests[i].answer(g, &in, b);
    }
    refuse_syntax(g->sa, b);
    return ERR_OK;
}

/* Only an authenticated peer, and one on its way to be: whoever answered our IKE_SA_INIT has keys,
 * but has proven nothing yet, and has lost its chance where another answer has won. */
static bool may_request(const struct ike_generation *g, uint8_t exchange)
{
    if (g->state == IKE_GENERATION_AUTH)
        return !g->is_initiator && exchange == IKE_EXCHANGE_AUTH;
    return is_proven(g);
}

static int receive_request(struct ike_generation *g, const struct ike_header *header,
                           const uint8_t *message, size_t len, const struct endpoint *remote,
                           uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct opened opened;
    struct ike_outgoing out;

    if (header->message_id + 1 == g->receive_id) {
        const uint64_t hash = siphash(sa->table->hash_key, message, len);
        if (g->response.data == NULL || g->response.request_hash != hash)
            return ERR_REPLAY;
        g->response.is_to_send = true;
        g->response.next_at = 0;
        g->response.remote = *remote;
        ike_mobility_repeated(sa, remote);
        return ERR_OK;
    }
    if (header->message_id != g->receive_id)
        return ERR_REPLAY;
    if (sa->state == IKE_STATE_CLOSED || !may_request(g, header->exchange))
        return ERR_STATE;
    int error = open_message(g, header, message, len, now_us, &opened);
    if (error != ERR_OK)
        return error == ERR_AGAIN ? ERR_OK : error;
    bool was_proven = is_proven(g);
    /* As if it had been lost: a peer that keeps to the protocol asks again. */
    if (was_proven && !ike_sa_config(sa)->is_reliable &&
        !bucket_take(&sa->requests, REQUESTS_BURST, REQUEST_US, now_us))
        return ERR_LIMIT;
    ike_generation_begin(g, &out, header->exchange, true, header->message_id);
    error = answer(g, header, &opened, remote, now_us, &out.b);
    if (error == ERR_OK)
        error = ike_generation_respond(g, &out, remote, opened.hash);
    if (error != ERR_OK)
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
    if (was_proven || is_proven(g))
        sa->heard_us = now_us;
    if (was_proven)
        ike_mobility_heard(sa, remote, true, now_us);
    return ERR_OK;
}

/* An answer that is no answer. */
static int refuse_answer(struct ike_generation *g, uint64_t now_us)
{
    if (g->state == IKE_GENERATION_AUTH)
        return ike_authenticate_refuse(g, IKE_REASON_PROTOCOL, IKE_NOTIFY_INVALID_SYNTAX, now_us);
    if (g->state == IKE_GENERATION_OUTDONE)
        g->state = IKE_GENERATION_GONE;
    else
        ike_sa_part(g->sa, IKE_REASON_PROTOCOL, now_us);
    return ERR_OK;
}

static int receive_response(struct ike_generation *g, const struct ike_header *header,
                            const uint8_t *message, size_t len, const struct endpoint *remote,
                            uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct opened opened;
    struct ike_message m;
    const struct ike_incoming in = {&m, remote, now_us};
    size_t i = 0;
    const size_t count = sizeof(responses) / sizeof(responses[0]);

    while (i < count && responses[i].kind != g->request.kind)
        i++;
    if (i == count || header->message_id != g->request.id ||
        header->exchange != responses[i].exchange)
        return ERR_REPLAY;
    if (sa->state == IKE_STATE_CLOSED)
        return ERR_STATE;
    int error = open_message(g, header, message, len, now_us, &opened);
    if (error != ERR_OK)
        return error == ERR_AGAIN ? ERR_OK : error;
    bool was_proven = is_proven(g);
    /* The window is free again before the answer is acted on. */
    struct ike_request request = g->request;
    memset(&g->request, 0, sizeof(g->request));
    if (!request.was_repeated)
        ike_sa_measure(sa, now_us - request.sent_us);
    else
        ike_sa_measure_bound(sa, now_us - request.sent_us);
    error = ike_message_parse(opened.first, opened.data, opened.len, &m);
    if (error != ERR_OK || m.unknown_critical != 0)
        error = refuse_answer(g, now_us);
    else
        error = responses[i].finish(g, &request, &in);
    if (error != ERR_OK)
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
    ike_request_done(&request);
    if (was_proven || is_proven(g))
        sa->heard_us = now_us;
    if (was_proven)
        ike_mobility_heard(sa, remote, false, now_us);
    return ERR_OK;
}

int ike_inbound_receive(struct ike_generation *g, const struct ike_header *header,
                        const uint8_t *message, size_t len, const struct endpoint *remote,
                        uint64_t now_us)
{
    if (g->state == IKE_GENERATION_INIT || g->state == IKE_GENERATION_GONE)
        return ERR_STATE;
    if ((header->flags & IKE_FLAG_RESPONSE) != 0)
        return receive_response(g, header, message, len, remote, now_us);
    return receive_request(g, header, message, len, remote, now_us);
}
