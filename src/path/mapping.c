/* A mapped port: asking, renewing, noticing that the gateway has forgotten, deleting. */
#include "path/mapping.h"

#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

enum mapping_state {
    STATE_ASKING, /* not mapped: requests out, or waiting to ask again */
    STATE_MAPPED, /* renewal requests may be out */
    STATE_DELETING,
    STATE_RELEASED,
};

/* Requests that wait for mapping_transmit. */
enum { DUE_PCP = 1, DUE_ADDRESS = 2, DUE_LEGACY_MAP = 4 };

struct mapping {
    struct mapping_config config;
    enum mapping_state state;
    enum mapping_protocol protocol;
    unsigned due;      /* set of DUE_* */
    unsigned rounds;   /* requests without an answer so far */
    uint64_t at_us;    /* next request */
    uint64_t rt_us;    /* time to the next but one, without jitter */
    uint64_t asked_us; /* last request sent; answers without one are nobody's */
    bool is_asked;
    uint64_t expires_us;
    struct endpoint external; /* as last granted: the wish when lost */
    /* NAT-PMP gives address and port in two answers */
    bool has_address, has_port;
    struct endpoint legacy;
    uint32_t legacy_lifetime_s;
    /* RFC 6887, 8.5 */
    bool has_epoch;
    uint32_t epoch_s;
    uint64_t epoch_us;
    const char *error;
    unsigned events; /* set of 1 << enum mapping_event_type, told in that order */
};

/* Up to part of us, to spread what many hosts do at once. Without randomness it just isn't spread.
 */
static uint64_t jitter(uint64_t us)
{
    uint16_t random = 0;
    if (crypto_random(&random, sizeof(random)) != ERR_OK)
        random = 0;
    return us * random / UINT16_MAX;
}

static void emit(struct mapping *m, enum mapping_event_type type)
{
    m->events |= 1u << type;
}

static void ask(struct mapping *m, uint64_t now_us)
{
    switch (m->protocol) {
    case MAPPING_PCP:
        m->due = DUE_PCP;
        break;
    case MAPPING_NAT_PMP:
        m->due = DUE_ADDRESS | DUE_LEGACY_MAP;
        m->has_address = m->has_port = false;
        break;
    default:
        /* A gateway of NAT-PMP says so when asked by PCP (RFC 6887, 9). One that is silent is asked
         * for its address too, which changes nothing in it. */
        m->due = DUE_PCP | (m->rounds > 0 ? DUE_ADDRESS : 0);
        break;
    }
    m->rounds++;
    /* RFC 6887, 8.1.1: ± a tenth. */
    m->at_us = now_us + m->rt_us - m->rt_us / 10 + jitter(m->rt_us / 5);
    m->rt_us = deadline_min(m->rt_us * 2, MAPPING_RT_MAX_US);
}

static void ask_afresh(struct mapping *m, uint64_t now_us)
{
    m->rounds = 0;
    m->rt_us = MAPPING_RT_FIRST_US;
    ask(m, now_us);
}

int mapping_new(const struct mapping_config *config, uint64_t now_us, struct mapping **ret_mapping)
{
    if (config->gateway.address.family != ADDRESS_IPV4 || config->client.family != ADDRESS_IPV4 ||
        config->gateway.port == 0 || config->port == 0)
        return ERR_INVALID;
    struct mapping *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NOMEM;
    m->config = *config;
    m->external.port = config->port; /* the wish */
    m->error = "";
    ask_afresh(m, now_us);
    *ret_mapping = m;
    return ERR_OK;
}

void mapping_free(struct mapping *m)
{
    free(m);
}

/* ---- what comes ---- */

/* Has the gateway's clock gone on as ours has? If not, its tables are not what they were (RFC 6887,
 * 8.5; NAT-PMP's rule, RFC 6886, 3.6, is laxer by a little). Takes the new value. */
static bool epoch_is_valid(struct mapping *m, uint32_t epoch_s, uint64_t now_us)
{
    bool is_valid = true;
    if (m->has_epoch) {
        const int64_t ours = (int64_t)((now_us - m->epoch_us) / SECOND_US);
        const int64_t theirs = (int64_t)epoch_s - (int64_t)m->epoch_s;
        is_valid =
            theirs >= -1 && ours + 2 >= theirs - theirs / 16 && theirs + 2 >= ours - ours / 16;
    }
    m->has_epoch = true;
    m->epoch_s = epoch_s;
    m->epoch_us = now_us;
    return is_valid;
}

static void lose(struct mapping *m)
{
    m->state = STATE_ASKING;
    emit(m, MAPPING_LOST);
}

/* Asks again when the gateway said it may, within bounds. */
static void on_refused(struct mapping *m, const char *why, uint64_t wait_us, uint64_t now_us)
{
    const bool is_news = strcmp(m->error, why) != 0 || m->state == STATE_MAPPED;
    m->error = why;
    m->due = 0;
    m->is_asked = false;
    m->rounds = 0;
    m->rt_us = MAPPING_RT_FIRST_US;
    if (wait_us < MAPPING_RETRY_MIN_US)
        wait_us = MAPPING_RETRY_MIN_US;
    wait_us = deadline_min(wait_us, MAPPING_RETRY_MAX_US);
    m->at_us = now_us + wait_us + jitter(wait_us / 8);
    if (m->state == STATE_MAPPED)
        lose(m);
    if (is_news)
        emit(m, MAPPING_UNAVAILABLE);
}

static void on_granted(struct mapping *m, const struct endpoint *external, uint32_t lifetime_s,
                       uint64_t now_us)
{
    const bool is_same = m->state == STATE_MAPPED && endpoint_is_equal(&m->external, external);
    uint64_t lifetime_us = deadline_min(lifetime_s, MAPPING_LIFETIME_MAX_S) * SECOND_US;
    if (lifetime_s == 0 || external->port == 0 || address_is_unspecified(&external->address)) {
        on_refused(m, "the gateway granted nothing", 0, now_us);
        return;
    }
    m->state = STATE_MAPPED;
    m->external = *external;
    m->expires_us = now_us + lifetime_us;
    m->error = "";
    m->due = 0;
    m->is_asked = false;
    m->rounds = 0;
    m->rt_us = MAPPING_RT_FIRST_US;
    /* RFC 6887, 11.2.1: between half and 5/8. */
    uint64_t wait_us = lifetime_us / 2 + jitter(lifetime_us / 8);
    m->at_us = now_us + (wait_us > MAPPING_RENEW_MIN_US ? wait_us : MAPPING_RENEW_MIN_US);
    if (!is_same)
        emit(m, MAPPING_GRANTED);
}

/* ERR_NOT_FOUND: it answers nothing of ours. */
static int take_pcp(struct mapping *m, const struct pcp_response *response, uint64_t now_us)
{
    const struct mapping_config *config = &m->config;
    if (response->opcode != PCP_MAP || (m->protocol == MAPPING_NAT_PMP && m->state != STATE_ASKING))
        return ERR_NOT_FOUND;
    if (response->has_map &&
        (!crypto_is_equal(response->nonce, config->nonce, PCP_NONCE_LEN) ||
         response->protocol != PCP_PROTOCOL_UDP || response->internal_port != config->port))
        return ERR_NOT_FOUND;
    if (m->state == STATE_DELETING) {
        m->state = STATE_RELEASED;
        return ERR_OK;
    }
    m->protocol = MAPPING_PCP;
    (void)epoch_is_valid(m, response->epoch_s, now_us); /* the grant is of now: only noted */
    if (response->result == PCP_SUCCESS)
        on_granted(m, &response->external, response->lifetime_s, now_us);
    else
        on_refused(m, pcp_result_text(response->result), response->lifetime_s * SECOND_US, now_us);
    return ERR_OK;
}

static int take_legacy(struct mapping *m, const struct pcp_response *response, uint64_t now_us)
{
    if (m->protocol == MAPPING_PCP && m->state != STATE_ASKING)
        return ERR_NOT_FOUND;
    if (response->has_map && response->internal_port != m->config.port)
        return ERR_NOT_FOUND;
    if (m->state == STATE_DELETING) {
        if (response->opcode != PCP_MAP)
            return ERR_NOT_FOUND;
        m->state = STATE_RELEASED;
        return ERR_OK;
    }
    const bool is_chosen = m->protocol == MAPPING_NAT_PMP;
    (void)epoch_is_valid(m, response->epoch_s, now_us);
    m->protocol = MAPPING_NAT_PMP;
    if (!is_chosen) {
        /* It is an answer to a PCP request ("another version"), or to the one for the address. */
        ask_afresh(m, now_us);
        if (response->result == PCP_UNSUPP_VERSION)
            return ERR_OK;
        m->due = DUE_LEGACY_MAP;
    }
    if (response->result != PCP_SUCCESS) {
        on_refused(m, pcp_result_text(response->result), 0, now_us);
        return ERR_OK;
    }
    if (response->has_map) {
        m->has_port = true;
        m->legacy.port = response->external.port;
        m->legacy_lifetime_s = response->lifetime_s;
    } else {
        m->has_address = true;
        m->legacy.address = response->external.address;
    }
    if (m->has_address && m->has_port)
        on_granted(m, &m->legacy, m->legacy_lifetime_s, now_us);
    return ERR_OK;
}

int mapping_receive(struct mapping *m, const void *data, size_t len, const struct endpoint *from,
                    uint64_t now_us)
{
    struct pcp_response response;
    if (!endpoint_is_equal(from, &m->config.gateway) || !m->is_asked)
        return ERR_NOT_FOUND;
    int error = pcp_response_parse(data, len, &response);
    if (error != ERR_OK)
        return error;
    if (response.version == PCP_VERSION)
        return take_pcp(m, &response, now_us);
    if (response.version == PCP_VERSION_NAT_PMP)
        return take_legacy(m, &response, now_us);
    if (m->protocol != MAPPING_NONE || m->state != STATE_ASKING)
        return ERR_NOT_FOUND;
    on_refused(m, pcp_result_text(PCP_UNSUPP_VERSION), MAPPING_RETRY_MAX_US, now_us);
    return ERR_OK;
}

int mapping_announced(struct mapping *m, const void *data, size_t len, const struct endpoint *from,
                      uint64_t now_us)
{
    struct pcp_response response;
    if (!endpoint_is_equal(from, &m->config.gateway) ||
        (m->state != STATE_MAPPED && m->state != STATE_ASKING))
        return ERR_NOT_FOUND;
    int error = pcp_response_parse(data, len, &response);
    if (error != ERR_OK)
        return error;
    if (response.opcode != PCP_ANNOUNCE || response.result != PCP_SUCCESS)
        return ERR_NOT_FOUND;
    bool is_changed = m->state == STATE_ASKING || !epoch_is_valid(m, response.epoch_s, now_us) ||
                      (response.version == PCP_VERSION_NAT_PMP &&
                       !address_is_equal(&response.external.address, &m->external.address));
    if (is_changed)
        mapping_refresh(m, now_us);
    return ERR_OK;
}

void mapping_refused(struct mapping *m, uint64_t now_us)
{
    /* A gateway that has answered before is restarting, or somebody forges: the retransmissions and
     * the lease's end tell. */
    if (m->state == STATE_DELETING)
        m->state = STATE_RELEASED;
    else if (m->state == STATE_ASKING && m->is_asked && m->protocol == MAPPING_NONE)
        on_refused(m, "the gateway speaks neither PCP nor NAT-PMP", MAPPING_RETRY_MAX_US, now_us);
}

/* ---- what goes, and when ---- */

int mapping_transmit(struct mapping *m, struct writer *w, uint64_t now_us)
{
    const bool is_delete = m->state == STATE_DELETING;
    struct pcp_map_request request = {
        .client = m->config.client,
        .internal_port = m->config.port,
        .lifetime_s = is_delete ? 0 : MAPPING_LIFETIME_S,
    };
    if (!is_delete) /* a deletion suggests nothing (RFC 6887, 15.1) */
        request.external = m->external;
    if (m->due == 0)
        return ERR_AGAIN;
    m->is_asked = true;
    m->asked_us = now_us;
    memcpy(request.nonce, m->config.nonce, PCP_NONCE_LEN);
    if (m->due & DUE_PCP) {
        m->due &= ~(unsigned)DUE_PCP;
        return pcp_map_request_build(w, &request);
    }
    if (m->due & DUE_ADDRESS) {
        m->due &= ~(unsigned)DUE_ADDRESS;
        return pcp_address_request_build(w);
    }
    m->due &= ~(unsigned)DUE_LEGACY_MAP;
    return pcp_legacy_map_request_build(w, &request);
}

uint64_t mapping_deadline(const struct mapping *m)
{
    if (m->state == STATE_RELEASED)
        return DEADLINE_NEVER;
    if (m->state == STATE_MAPPED)
        return deadline_min(m->at_us, m->expires_us);
    return m->at_us;
}

static void delete_again(struct mapping *m, uint64_t now_us)
{
    if (m->rounds >= MAPPING_DELETE_TRIES) {
        m->state = STATE_RELEASED;
        return;
    }
    m->rounds++;
    m->due = m->protocol == MAPPING_NAT_PMP ? DUE_LEGACY_MAP : DUE_PCP;
    m->at_us = now_us + MAPPING_DELETE_RT_US;
}

void mapping_expire(struct mapping *m, uint64_t now_us)
{
    if (m->state == STATE_RELEASED || now_us < mapping_deadline(m))
        return;
    if (m->state == STATE_DELETING) {
        delete_again(m, now_us);
        return;
    }
    if (m->state == STATE_MAPPED && now_us >= m->expires_us) {
        /* Perhaps another gateway has this address by now: ask it what it speaks. */
        m->protocol = MAPPING_NONE;
        m->has_epoch = false;
        m->error = "the gateway has stopped answering";
        lose(m);
        ask_afresh(m, now_us);
        return;
    }
    if (m->state == STATE_ASKING && m->rounds == 1 && m->error[0] == '\0') {
        m->error = m->protocol == MAPPING_NONE ? "the gateway does not answer"
                                               : "the gateway has stopped answering";
        emit(m, MAPPING_UNAVAILABLE);
    }
    if (m->state == STATE_ASKING && m->rounds >= 2)
        m->protocol = MAPPING_NONE; /* perhaps it is another gateway by now */
    ask(m, now_us);
}

bool mapping_next_event(struct mapping *m, struct mapping_event *ret_event)
{
    for (unsigned type = 0; type <= MAPPING_GRANTED; type++) {
        if ((m->events & 1u << type) == 0)
            continue;
        m->events &= ~(1u << type);
        *ret_event = (struct mapping_event){(enum mapping_event_type)type, m->external};
        return true;
    }
    return false;
}

void mapping_refresh(struct mapping *m, uint64_t now_us)
{
    if (m->state != STATE_MAPPED && m->state != STATE_ASKING)
        return;
    /* Many hosts hear the same announcement. RFC 6887, 14.1.3, spreads them over 5 s; a home has
     * few, and this host may be out of reach meanwhile. */
    uint64_t at_us = now_us + jitter(SECOND_US);
    if (m->asked_us != 0 && at_us < m->asked_us + MAPPING_REFRESH_MIN_US)
        at_us = m->asked_us + MAPPING_REFRESH_MIN_US;
    m->rounds = 0;
    m->rt_us = MAPPING_RT_FIRST_US;
    m->at_us = deadline_min(m->at_us, at_us);
}

void mapping_release(struct mapping *m, uint64_t now_us)
{
    if (m->state == STATE_DELETING || m->state == STATE_RELEASED)
        return;
    const bool is_mapped = m->state == STATE_MAPPED;
    m->state = STATE_DELETING;
    m->events = 0;
    m->due = 0;
    m->rounds = is_mapped ? 0 : MAPPING_DELETE_TRIES;
    delete_again(m, now_us);
}

bool mapping_is_released(const struct mapping *m)
{
    return m->state == STATE_RELEASED;
}

void mapping_get_status(const struct mapping *m, struct mapping_status *ret_status)
{
    struct mapping_status status = {.protocol = m->protocol, .error = ""};
    if (m->state == STATE_MAPPED) {
        status.is_mapped = true;
        status.external = m->external;
        status.expires_us = m->expires_us;
    } else {
        status.error = m->error;
    }
    *ret_status = status;
}

const char *mapping_protocol_text(enum mapping_protocol protocol)
{
    static const char *const texts[] = {[MAPPING_NONE] = "none",
                                        [MAPPING_PCP] = "PCP",
                                        [MAPPING_NAT_PMP] = "NAT-PMP",
                                        [MAPPING_UPNP] = "UPnP"};
    return texts[protocol];
}
