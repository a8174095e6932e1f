/* The IKEv2 engine behind its encryption: what an authentic peer gone mad may send at any stage.
 * The first byte says at which, the second varies it, the rest is the message or what is sealed in
 * it. */
#include "fuzz.h"

#include <string.h>

#include "ike/state.h"

enum stage {
    STAGE_STRANGER,     /* a whole message to a responder */
    STAGE_INIT_ANSWER,  /* payloads of an answer to IKE_SA_INIT */
    STAGE_AUTH_REQUEST, /* sealed payloads to a half-open responder */
    STAGE_AUTH_ANSWER,  /* to an initiator that waits for IKE_AUTH's answer */
    STAGE_REQUEST,      /* to an established SA; the exchange varies */
    STAGE_REKEY_ANSWER, /* to one that rekeys its child, or its IKE SA */
    STAGE_COUNT,
};

struct side {
    struct ike_table *table;
    struct ike_profile *profile;
    struct ike_sa *sa;
    struct endpoint endpoint;
};

static struct identity *identity;

static void side_init(struct side *side, uint8_t last_byte)
{
    struct ike_table_limits limits;
    struct ike_config config;

    if (identity == NULL)
        must(identity_generate(&identity) == 0);
    memset(side, 0, sizeof(*side));
    side->endpoint.address = address_from_ipv4(0xc0000200u + last_byte);
    side->endpoint.port = 4500;
    ike_table_limits_init(&limits);
    ike_config_init(&config, identity);
    config.suites[0] = SPUT_PAPER;
    config.addresses.own_ipv4 = address_from_ipv4(2);
    config.addresses.other_ipv4 = address_from_ipv4(86);
    must(ike_table_new(&limits, 1, &side->table) == 0);
    must(ike_profile_new(&config, &side->profile) == 0);
}

static void side_done(struct side *side)
{
    ike_table_free(side->table);
    ike_profile_free(side->profile);
}

static void drain(struct ike_sa *sa)
{
    struct ike_event event;
    do {
        ike_sa_next_event(sa, &event);
        if (event.type == IKE_EVENT_CHILD_READY)
            must(event.child_ready.key_len == suite_key_len(event.child_ready.suite));
        if (event.type == IKE_EVENT_NOTIFY)
            must(event.notify.type >= IKE_NOTIFY_PRIVATE_MIN);
    } while (event.type != IKE_EVENT_NONE);
}

/* What one side has to send next goes to the other; 0 when it has nothing. */
static int carry(struct side *from, struct side *to)
{
    uint8_t bytes[IKE_MESSAGE_CAP];
    struct writer w;
    struct endpoint remote;
    struct ike_sa *sa;

    writer_init(&w, bytes, sizeof(bytes));
    if (from->sa == NULL || ike_sa_transmit(from->sa, &w, &remote, 1) != 0)
        return 0;
    if (to != NULL &&
        ike_table_receive(to->table, to->profile, bytes, w.len, &from->endpoint, 1, &sa) == 0)
        to->sa = sa;
    return 1;
}

static void receive(struct side *side, const struct side *from, const uint8_t *bytes, size_t len)
{
    struct ike_sa *sa;
    uint8_t out[IKE_MESSAGE_CAP];
    struct writer w;
    struct endpoint remote;

    if (ike_table_receive(side->table, side->profile, bytes, len, &from->endpoint, 1, &sa) == 0)
        must(sa != NULL);
    for (sa = ike_table_walk(side->table, NULL); sa != NULL; sa = ike_table_walk(side->table, sa)) {
        do {
            writer_init(&w, out, sizeof(out));
        } while (ike_sa_transmit(sa, &w, &remote, 1) == 0);
        drain(sa);
    }
    must(ike_table_count(side->table) <= 1);
}

/* One message from `from`, sealed where its generation has keys, built around the payloads. */
static void send_payloads(struct side *from, struct side *to, uint8_t exchange, int is_response,
                          uint8_t first, const uint8_t *payloads, size_t len)
{
    const struct ike_generation *g = from->sa->current;
    const struct ike_generation *other = to->sa->current;
    struct ike_header header = {
        .spi_i = g->spi_i,
        .spi_r = g->spi_r,
        .major_version = 2,
        .exchange = exchange,
        .flags = (uint8_t)((g->is_initiator ? IKE_FLAG_INITIATOR : 0) |
                           (is_response ? IKE_FLAG_RESPONSE : 0)),
        .message_id = is_response ? other->request.id : other->receive_id,
    };
    uint8_t bytes[IKE_MESSAGE_CAP];
    struct writer w;
    struct ike_builder b;
    const int is_sealed = exchange != IKE_EXCHANGE_SA_INIT;

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    if (is_sealed)
        ike_build_sk(&b, IKE_IV_LEN, 1);
    writer_patch_u8(&w, b.next_at, first);
    writer_bytes(&w, payloads, len);
    ike_build_end(&b, is_sealed ? AEAD_TAG_LEN : 0);
    if (!writer_is_ok(&w))
        return;
    if (is_sealed)
        must(ike_keys_seal(&g->keys, g->is_initiator, 1u << 20, bytes, w.len) == 0);
    receive(to, from, bytes, w.len);
}

/* Brings both sides to the stage, then lets one of them have the input. */
static void run(enum stage stage, uint8_t variant, const uint8_t *data, size_t len)
{
    struct side a, b;
    const uint8_t first = len > 0 ? data[0] : 0;
    const uint8_t *payloads = len > 0 ? data + 1 : data;
    const size_t payloads_len = len > 0 ? len - 1 : 0;

    side_init(&a, 1);
    side_init(&b, 2);
    if (stage == STAGE_STRANGER) {
        struct ike_met_claim claim;
        if (ike_met_parse(data, len, &claim) == 0)
            must(!ike_met_is_right(&(struct ike_met){{0}, {0}}, &claim, identity_public(identity),
                                   identity_public(identity)));
        receive(&b, &a, data, len);
        goto done;
    }
    must(ike_sa_initiate(a.table, a.profile, &b.endpoint, 1, &a.sa) == 0);
    must(carry(&a, &b) == 1);
    must(b.sa != NULL);
    if (stage == STAGE_INIT_ANSWER) {
        send_payloads(&b, &a, IKE_EXCHANGE_SA_INIT, 1, first, payloads, payloads_len);
        goto done;
    }
    must(carry(&b, &a) == 1);
    if (stage == STAGE_AUTH_REQUEST) {
        /* the initiator's own request gives way */
        a.sa->current->request.is_to_send = false;
        send_payloads(&a, &b, IKE_EXCHANGE_AUTH, 0, first, payloads, payloads_len);
        goto done;
    }
    must(carry(&a, stage == STAGE_AUTH_ANSWER ? NULL : &b) == 1);
    if (stage == STAGE_AUTH_ANSWER) {
        send_payloads(&b, &a, IKE_EXCHANGE_AUTH, 1, first, payloads, payloads_len);
        goto done;
    }
    must(carry(&b, &a) == 1);
    drain(a.sa);
    drain(b.sa);
    must(ike_sa_state(a.sa) == IKE_STATE_ESTABLISHED);
    if (stage == STAGE_REQUEST) {
        send_payloads(&a, &b, (uint8_t)(IKE_EXCHANGE_SA_INIT + 1 + variant % 4), 0, first, payloads,
                      payloads_len);
        goto done;
    }
    must((variant % 2 ? ike_sa_rekey(a.sa) : ike_sa_rekey_child(a.sa)) == 0);
    must(carry(&a, NULL) == 1);
    send_payloads(&b, &a, IKE_EXCHANGE_CREATE_CHILD_SA, 1, first, payloads, payloads_len);
done:
    side_done(&a);
    side_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len >= 2)
        run((enum stage)(data[0] % STAGE_COUNT), data[1], data + 2, len - 2);
    return 0;
}
