/* Negotiating a child: SA, TSi and TSr payloads of offers and answers (RFC 7296, 2.9 and 2.17). */
#include "ike/child.h"
#include "ike/offer.h"
#include <string.h>

#define SELECTORS_MAX 8

static struct ike_rule child_rule(const struct ike_sa *sa, bool has_ke)
{
    return (struct ike_rule){
        .config = ike_sa_config(sa), .protocol = IKE_PROTOCOL_SPUT, .spi_len = 4, .has_ke = has_ke};
}

static void put_spi(uint32_t spi, uint8_t ret_bytes[4])
{
    for (size_t i = 0; i < 4; i++)
        ret_bytes[i] = (uint8_t)(spi >> (24 - 8 * i));
}

static void build_selectors(struct ike_builder *b, enum ike_payload_type type,
                            const struct address *ipv4, const struct address *ipv6)
{
    struct ike_selector selectors[2];
    uint8_t count = 0;
    const struct address *const addresses[] = {ipv4, ipv6};

    for (size_t i = 0; i < 2; i++) {
        if (addresses[i]->family == ADDRESS_NONE)
            continue;
        selectors[count++] = (struct ike_selector){
            .port_last = UINT16_MAX, .first = *addresses[i], .last = *addresses[i]};
    }
    ike_build_ts(b, type, selectors, count);
}

void ike_child_offer(struct ike_sa *sa, struct ike_builder *b, uint32_t spi_in, bool has_ke)
{
    struct ike_rule rule = child_rule(sa, has_ke);
    uint8_t spi[4];

    put_spi(spi_in, spi);
    ike_build_notify(b, IKE_NOTIFY_USE_TRANSPORT_MODE, NULL, 0);
    ike_rule_offer(&rule, b, spi);
}

void ike_child_offer_ts(struct ike_sa *sa, struct ike_builder *b)
{
    const struct ike_addresses *a = &ike_sa_config(sa)->addresses;

    build_selectors(b, IKE_PAYLOAD_TSI, &a->own_ipv4, &a->own_ipv6);
    build_selectors(b, IKE_PAYLOAD_TSR, &a->other_ipv4, &a->other_ipv6);
}

/* The single address of this family that a TS payload names, if it does. */
static bool single_address(const struct ike_payload *ts, enum address_family family,
                           struct address *ret_address)
{
    struct ike_selector selectors[SELECTORS_MAX];
    size_t count;

    if (ts->body == NULL ||
        ike_ts_parse(ts->body, ts->len, selectors, SELECTORS_MAX, &count) != ERR_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct ike_selector *s = &selectors[i];
        if (s->first.family != family || !address_is_equal(&s->first, &s->last))
            continue;
        if (s->protocol != 0 || s->port_first != 0 || s->port_last != UINT16_MAX)
            continue;
        *ret_address = s->first;
        return true;
    }
    return false;
}

/* The peer's view of both ends, in the families that we use too. false: none in common. */
static bool read_addresses(const struct ike_sa *sa, const struct ike_payload *own_ts,
                           const struct ike_payload *other_ts, struct ike_addresses *ret_peer)
{
    const struct ike_addresses *ours = &ike_sa_config(sa)->addresses;
    struct ike_addresses peer = {0};
    struct address own, other;

    if (ours->own_ipv4.family != ADDRESS_NONE && single_address(own_ts, ADDRESS_IPV4, &own) &&
        single_address(other_ts, ADDRESS_IPV4, &other)) {
        peer.own_ipv4 = own;
        peer.other_ipv4 = other;
    }
    if (ours->own_ipv6.family != ADDRESS_NONE && single_address(own_ts, ADDRESS_IPV6, &own) &&
        single_address(other_ts, ADDRESS_IPV6, &other)) {
        peer.own_ipv6 = own;
        peer.other_ipv6 = other;
    }
    *ret_peer = peer;
    return peer.own_ipv4.family != ADDRESS_NONE || peer.own_ipv6.family != ADDRESS_NONE;
}

static uint16_t read_terms(struct ike_sa *sa, const struct ike_message *message, bool has_ke,
                           bool is_answer, struct ike_child_terms *ret_terms)
{
    struct ike_rule rule = child_rule(sa, has_ke);
    struct ike_child_terms terms = {0};
    struct reader r;

    rule.ke_group = ike_offer_ke_group(message);

    if (message->sa.body == NULL || ike_rule_choose(&rule, message->sa.body, message->sa.len,
                                                    is_answer, &terms.choice) != ERR_OK)
        return IKE_NOTIFY_NO_PROPOSAL_CHOSEN;
    reader_init(&r, terms.choice.spi, 4);
    terms.spi_out = reader_u32(&r);
    terms.suite = (enum suite)terms.choice.value;
    /* The peer's own address is in TSi where it asks, in TSr where it answers. */
    if (!read_addresses(sa, is_answer ? &message->ts_r : &message->ts_i,
                        is_answer ? &message->ts_i : &message->ts_r, &terms.peer))
        return IKE_NOTIFY_TS_UNACCEPTABLE;
    terms.wants_transport_mode =
        ike_message_find_notify(message, IKE_NOTIFY_USE_TRANSPORT_MODE, NULL);
    *ret_terms = terms;
    return 0;
}

uint16_t ike_child_read_offer(struct ike_sa *sa, const struct ike_message *message, bool has_ke,
                              struct ike_child_terms *ret_terms)
{
    return read_terms(sa, message, has_ke, false, ret_terms);
}

uint16_t ike_child_read_answer(struct ike_sa *sa, const struct ike_message *message, bool has_ke,
                               struct ike_child_terms *ret_terms)
{
    return read_terms(sa, message, has_ke, true, ret_terms);
}

void ike_child_answer(struct ike_sa *sa, struct ike_builder *b, const struct ike_child_terms *terms,
                      uint32_t spi_in, bool has_ke)
{
    struct ike_rule rule = child_rule(sa, has_ke);
    uint8_t spi[4];

    put_spi(spi_in, spi);
    if (terms->wants_transport_mode)
        ike_build_notify(b, IKE_NOTIFY_USE_TRANSPORT_MODE, NULL, 0);
    ike_rule_answer(&rule, b, &terms->choice, spi);
}

void ike_child_answer_ts(struct ike_sa *sa, struct ike_builder *b,
                         const struct ike_child_terms *terms)
{
    static const struct address none = {0};
    const struct ike_addresses *a = &ike_sa_config(sa)->addresses;
    bool has_ipv4 = terms->peer.own_ipv4.family != ADDRESS_NONE;
    bool has_ipv6 = terms->peer.own_ipv6.family != ADDRESS_NONE;

    build_selectors(b, IKE_PAYLOAD_TSI, has_ipv4 ? &a->other_ipv4 : &none,
                    has_ipv6 ? &a->other_ipv6 : &none);
    build_selectors(b, IKE_PAYLOAD_TSR, has_ipv4 ? &a->own_ipv4 : &none,
                    has_ipv6 ? &a->own_ipv6 : &none);
}
