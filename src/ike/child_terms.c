/* Negotiating a child: SA, TSi and TSr payloads of offers and answers (RFC 7296, 2.9 and 2.17). */
#include "ike/child.h"
#include "ike/offer.h"
#include "wire/esp.h"
#include <string.h>

#define TS_MAX 16 /* selectors read of one payload */

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

/* ---- notifies ---- */

static bool offers(const struct ike_config *config, bool of_esp)
{
    for (size_t i = 0; i < SUITE_COUNT && config->suites[i] != SUITE_NONE; i++)
        if (suite_is_esp(config->suites[i]) == of_esp)
            return true;
    return false;
}

static bool takes_mode(const struct ike_config *config, enum child_mode mode)
{
    for (uint8_t i = 0; i < config->esp_mode_count; i++)
        if (config->esp_modes[i] == mode)
            return true;
    return false;
}

static void build_empty(struct ike_builder *b, uint16_t type)
{
    ike_build_notify(b, type, NULL, 0);
}

/* Beside ESP, in offers and answers. Padding for TFC cannot be told from payload in all modes. */
static void build_esp_notifies(struct ike_builder *b, bool is_beet, bool has_commands)
{
    if (is_beet)
        build_empty(b, IKE_NOTIFY_USE_BEET_MODE);
    if (has_commands)
        build_empty(b, IKE_NOTIFY_ESP_COMMANDS);
    build_empty(b, IKE_NOTIFY_ESP_TFC_PADDING_NOT_SUPPORTED);
}

void ike_child_offer(struct ike_sa *sa, struct ike_builder *b, uint32_t spi_in, bool has_ke)
{
    const struct ike_config *config = ike_sa_config(sa);
    const struct ike_rule rule = {.config = config, .has_ke = has_ke};

    if (offers(config, false) || takes_mode(config, CHILD_TRANSPORT))
        build_empty(b, IKE_NOTIFY_USE_TRANSPORT_MODE);
    if (offers(config, true))
        build_esp_notifies(b, takes_mode(config, CHILD_BEET), config->has_esp_commands);
    ike_rule_offer(&rule, b, spi_in);
}

/* The mode that an offer or answer comes to: the first of ours that it asks for (RFC 7296, 1.3.1:
 * without a word it is tunnel mode). false: none. */
static bool read_mode(const struct ike_config *config, const struct ike_message *m, bool is_answer,
                      enum child_mode *ret_mode)
{
    const bool is_beet = ike_message_find_notify(m, IKE_NOTIFY_USE_BEET_MODE, NULL);
    const bool is_transport = ike_message_find_notify(m, IKE_NOTIFY_USE_TRANSPORT_MODE, NULL);

    for (uint8_t i = 0; i < config->esp_mode_count; i++) {
        const enum child_mode mode = config->esp_modes[i];
        const bool fits = mode == CHILD_BEET        ? is_beet
                          : mode == CHILD_TRANSPORT ? is_transport
                                                    : !is_answer || (!is_beet && !is_transport);
        if (!fits)
            continue;
        *ret_mode = mode;
        return true;
    }
    return false;
}

/* ---- traffic selectors ---- */

static bool has_networks(const struct ike_config *config)
{
    return takes_mode(config, CHILD_TUNNEL) && config->selectors.own.count > 0 &&
           config->selectors.peer.count > 0;
}

/* What tunnel mode may carry, as configured. */
static struct selector_pair networks(const struct ike_config *config)
{
    const struct ike_addresses *a = &config->addresses;
    const struct address *const own[] = {&a->own_ipv4, &a->own_ipv6};
    const struct address *const other[] = {&a->other_ipv4, &a->other_ipv6};
    struct selector_pair pair = config->selectors;

    if (has_networks(config))
        return pair;
    pair = (struct selector_pair){0};
    for (size_t i = 0; i < 2; i++) {
        if (own[i]->family == ADDRESS_NONE)
            continue;
        pair.own.list[pair.own.count++] = selector_of(own[i], own[i]);
        pair.peer.list[pair.peer.count++] = selector_of(other[i], other[i]);
    }
    return pair;
}

static void narrow(const struct ike_payload *ts, struct selectors *selectors)
{
    struct ike_selector theirs[TS_MAX];
    struct selectors both = {0};
    size_t count = 0;

    if (ts->body != NULL && ike_ts_parse(ts->body, ts->len, theirs, TS_MAX, &count) != ERR_OK)
        count = 0;
    for (uint8_t i = 0; i < selectors->count; i++)
        for (size_t j = 0; j < count; j++)
            selectors_intersect(&selectors->list[i], &theirs[j], &both);
    *selectors = both;
}

/* Packets carry the addresses that are configured, in the peer's direction the same the other way
 * round; nobody translates but us. */
static struct ike_addresses mirrored(const struct ike_addresses *a)
{
    return (struct ike_addresses){.own_ipv4 = a->other_ipv4,
                                  .other_ipv4 = a->own_ipv4,
                                  .own_ipv6 = a->other_ipv6,
                                  .other_ipv6 = a->own_ipv6};
}

static bool read_networks(const struct ike_config *config, const struct ike_payload *ours,
                          const struct ike_payload *theirs, struct ike_child_terms *terms)
{
    terms->selectors = networks(config);
    narrow(ours, &terms->selectors.own);
    narrow(theirs, &terms->selectors.peer);
    terms->peer = mirrored(&config->addresses);
    return terms->selectors.own.count > 0 && terms->selectors.peer.count > 0;
}

const struct ike_addresses *ike_child_addresses(const struct ike_sa *sa)
{
    const bool is_agreed = sa->transport.own_ipv4.family != ADDRESS_NONE ||
                           sa->transport.own_ipv6.family != ADDRESS_NONE;

    return is_agreed ? &sa->transport : &ike_sa_config(sa)->addresses;
}

void ike_child_offer_ts(struct ike_sa *sa, struct ike_builder *b)
{
    const struct ike_config *config = ike_sa_config(sa);
    const struct ike_addresses *a = ike_child_addresses(sa);

    if (has_networks(config)) {
        const struct selector_pair *s = &config->selectors;
        ike_build_ts(b, IKE_PAYLOAD_TSI, s->own.list, s->own.count);
        ike_build_ts(b, IKE_PAYLOAD_TSR, s->peer.list, s->peer.count);
        return;
    }
    build_selectors(b, IKE_PAYLOAD_TSI, &a->own_ipv4, &a->own_ipv6);
    build_selectors(b, IKE_PAYLOAD_TSR, &a->other_ipv4, &a->other_ipv6);
}

/* The single address of this family that a TS payload names, if it does. */
static bool single_address(const struct ike_payload *ts, enum address_family family,
                           struct address *ret_address)
{
    struct ike_selector selectors[TS_MAX];
    size_t count;

    if (ts->body == NULL || ike_ts_parse(ts->body, ts->len, selectors, TS_MAX, &count) != ERR_OK)
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

static uint16_t read_terms(struct ike_sa *sa, const struct ike_message *m, bool has_ke,
                           bool is_answer, struct ike_child_terms *ret_terms)
{
    const struct ike_config *config = ike_sa_config(sa);
    struct ike_child_terms terms = {0};
    const bool has_mode = read_mode(config, m, is_answer, &terms.mode);
    const struct ike_rule rule = {
        .config = config, .has_ke = has_ke, .no_esp = !has_mode, .ke_group = ike_offer_ke_group(m)};
    /* The peer's own address is in TSi where it asks, in TSr where it answers. */
    const struct ike_payload *theirs = is_answer ? &m->ts_r : &m->ts_i;
    const struct ike_payload *ours = is_answer ? &m->ts_i : &m->ts_r;

    if (m->sa.body == NULL ||
        ike_rule_choose(&rule, m->sa.body, m->sa.len, is_answer, &terms.choice) != ERR_OK)
        return IKE_NOTIFY_NO_PROPOSAL_CHOSEN;
    const bool is_esp = suite_is_esp(terms.choice.suite);
    if (!is_esp)
        terms.mode = CHILD_BEET; /* what SPUT always is */
    if (is_esp && terms.choice.spi < ESP_SPI_MIN)
        return IKE_NOTIFY_NO_PROPOSAL_CHOSEN;
    const bool is_fine = is_esp && terms.mode == CHILD_TUNNEL
                             ? read_networks(config, ours, theirs, &terms)
                             : read_addresses(sa, theirs, ours, &terms.peer);
    if (!is_fine)
        return IKE_NOTIFY_TS_UNACCEPTABLE;
    terms.wants_transport_mode =
        !is_esp && ike_message_find_notify(m, IKE_NOTIFY_USE_TRANSPORT_MODE, NULL);
    terms.has_commands = is_esp && config->has_esp_commands &&
                         ike_message_find_notify(m, IKE_NOTIFY_ESP_COMMANDS, NULL);
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
    const struct ike_rule rule = {.config = ike_sa_config(sa), .has_ke = has_ke};
    const bool is_esp = suite_is_esp(terms->choice.suite);

    if (is_esp ? terms->mode == CHILD_TRANSPORT : terms->wants_transport_mode)
        build_empty(b, IKE_NOTIFY_USE_TRANSPORT_MODE);
    if (is_esp)
        build_esp_notifies(b, terms->mode == CHILD_BEET, terms->has_commands);
    ike_rule_answer(&rule, b, &terms->choice, spi_in);
}

void ike_child_answer_ts(struct ike_sa *sa, struct ike_builder *b,
                         const struct ike_child_terms *terms)
{
    static const struct address none = {0};
    const struct ike_addresses *a = ike_child_addresses(sa);
    const struct selector_pair *s = &terms->selectors;
    bool has_ipv4 = terms->peer.own_ipv4.family != ADDRESS_NONE;
    bool has_ipv6 = terms->peer.own_ipv6.family != ADDRESS_NONE;

    if (s->own.count > 0) {
        ike_build_ts(b, IKE_PAYLOAD_TSI, s->peer.list, s->peer.count);
        ike_build_ts(b, IKE_PAYLOAD_TSR, s->own.list, s->own.count);
        return;
    }
    build_selectors(b, IKE_PAYLOAD_TSI, has_ipv4 ? &a->other_ipv4 : &none,
                    has_ipv6 ? &a->other_ipv6 : &none);
    build_selectors(b, IKE_PAYLOAD_TSR, has_ipv4 ? &a->own_ipv4 : &none,
                    has_ipv6 ? &a->own_ipv6 : &none);
}
