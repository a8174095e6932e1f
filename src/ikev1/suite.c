/* SA payloads of both phases; see ikev1/suite.h. */
#include "ikev1/suite.h"
#include "base/deadline.h"
#include "ikev1/signature.h"
#include <stdio.h>
#include <string.h>

/* The suites of children, as RFC 2407's numbers. */
static const struct row {
    enum suite suite;
    uint8_t transform;
    uint16_t key_bits;
    uint16_t integ; /* 0: the cipher's own */
} rows[] = {
    {ESP_AES128_GCM, ISAKMP_ESP_AES_GCM_16, 128, 0},
    {ESP_AES256_GCM, ISAKMP_ESP_AES_GCM_16, 256, 0},
    {ESP_AES128_CBC_SHA256, ISAKMP_ESP_AES_CBC, 128, ISAKMP_INTEG_SHA2_256},
    {ESP_AES256_CBC_SHA256, ISAKMP_ESP_AES_CBC, 256, ISAKMP_INTEG_SHA2_256},
    {ESP_AES128_CTR_SHA256, ISAKMP_ESP_AES_CTR, 128, ISAKMP_INTEG_SHA2_256},
    {ESP_AES256_CTR_SHA256, ISAKMP_ESP_AES_CTR, 256, ISAKMP_INTEG_SHA2_256},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static const struct hash_row {
    enum hash_algorithm hash;
    uint16_t value;
} hashes[] = {
    {HASH_SHA256, ISAKMP_HASH_SHA2_256},
    {HASH_SHA384, ISAKMP_HASH_SHA2_384},
    {HASH_SHA512, ISAKMP_HASH_SHA2_512},
};

static enum hash_algorithm hash_from(uint32_t value)
{
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (hashes[i].value == value)
            return hashes[i].hash;
    return HASH_NONE;
}

static uint16_t hash_to(enum hash_algorithm hash)
{
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (hashes[i].hash == hash)
            return hashes[i].value;
    return 0;
}

bool ikev1_group_is_known(enum kex_group group)
{
    return kex_is_known(group);
}

bool ikev1_suite_is_known(enum suite suite)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].suite == suite)
            return true;
    return false;
}

/* What a transform's attributes say; 0: nothing. */
struct terms {
    uint32_t cipher, hash, auth, group, key_bits, mode, integ;
    uint64_t life_us;
    bool has_unknown;
};

static void take_life(struct terms *terms, uint32_t type, uint32_t value)
{
    if (type == ISAKMP_LIFE_SECONDS && value != UINT32_MAX && value > 0)
        terms->life_us = deadline_min(terms->life_us, value * SECOND_US);
}

static struct terms read_phase1(struct isakmp_transform transform)
{
    struct terms terms = {.life_us = DEADLINE_NEVER};
    struct isakmp_attribute a;
    uint32_t life_type = 0;

    terms.has_unknown = transform.id != ISAKMP_TRANSFORM_KEY_IKE;
    while (isakmp_attribute_next(&transform, &a) == ERR_OK) {
        switch (a.type) {
        case ISAKMP_P1_CIPHER:
            terms.cipher = a.value;
            break;
        case ISAKMP_P1_HASH:
            terms.hash = a.value;
            break;
        case ISAKMP_P1_AUTH:
            terms.auth = a.value;
            break;
        case ISAKMP_P1_GROUP:
            terms.group = a.value;
            break;
        case ISAKMP_P1_LIFE_TYPE:
            life_type = a.value;
            break;
        case ISAKMP_P1_LIFE:
            take_life(&terms, life_type, a.value);
            break;
        case ISAKMP_P1_KEY_LENGTH:
            terms.key_bits = a.value;
            break;
        default:
            terms.has_unknown = true;
        }
    }
    return terms;
}

static struct terms read_phase2(struct isakmp_transform transform)
{
    struct terms terms = {.life_us = DEADLINE_NEVER, .cipher = transform.id};
    struct isakmp_attribute a;
    uint32_t life_type = 0;

    while (isakmp_attribute_next(&transform, &a) == ERR_OK) {
        switch (a.type) {
        case ISAKMP_P2_LIFE_TYPE:
            life_type = a.value;
            break;
        case ISAKMP_P2_LIFE:
            take_life(&terms, life_type, a.value);
            break;
        case ISAKMP_P2_GROUP:
            terms.group = a.value;
            break;
        case ISAKMP_P2_MODE:
            terms.mode = a.value;
            break;
        case ISAKMP_P2_INTEG:
            terms.integ = a.value;
            break;
        case ISAKMP_P2_KEY_LENGTH:
            terms.key_bits = a.value;
            break;
        default:
            terms.has_unknown = true;
        }
    }
    return terms;
}

static uint32_t life_seconds(const struct ikev1_config *config, uint64_t soft_us)
{
    const uint64_t seconds = soft_us / 100 * config->hard_percent / SECOND_US;
    return seconds < UINT32_MAX ? (uint32_t)(seconds > 0 ? seconds : 1) : UINT32_MAX - 1;
}

void ikev1_suite_offer_phase1(const struct ikev1_config *config, struct ike_builder *b)
{
    uint8_t count = 0;

    while (count < IKEV1_PROPOSALS_MAX && config->proposals[count].key_len != 0)
        count++;
    isakmp_build_sa(b);
    const size_t proposal =
        isakmp_build_proposal(b, true, 1, ISAKMP_PROTOCOL_ISAKMP, NULL, 0, count);
    for (uint8_t i = 0; i < count; i++) {
        const struct ikev1_proposal *p = &config->proposals[i];
        const size_t transform =
            isakmp_build_transform(b, i + 1 == count, (uint8_t)(i + 1), ISAKMP_TRANSFORM_KEY_IKE);
        isakmp_build_attribute(b, ISAKMP_P1_CIPHER, ISAKMP_CIPHER_AES_CBC);
        isakmp_build_attribute(b, ISAKMP_P1_KEY_LENGTH, p->key_len * 8u);
        isakmp_build_attribute(b, ISAKMP_P1_HASH, hash_to(p->hash));
        isakmp_build_attribute(b, ISAKMP_P1_GROUP, p->group);
        isakmp_build_attribute(b, ISAKMP_P1_AUTH, ikev1_signature_method(config));
        isakmp_build_attribute(b, ISAKMP_P1_LIFE_TYPE, ISAKMP_LIFE_SECONDS);
        isakmp_build_attribute(b, ISAKMP_P1_LIFE, life_seconds(config, config->rekey_us));
        isakmp_build_transform_end(b, transform);
    }
    isakmp_build_proposal_end(b, proposal);
}

static uint16_t mode_value(enum child_mode mode, enum isakmp_natt natt)
{
    const bool is_tunnel = mode == CHILD_TUNNEL;

    if (natt == ISAKMP_NATT_RFC)
        return is_tunnel ? ISAKMP_MODE_UDP_TUNNEL : ISAKMP_MODE_UDP_TRANSPORT;
    return is_tunnel ? ISAKMP_MODE_UDP_TUNNEL_DRAFT : ISAKMP_MODE_UDP_TRANSPORT_DRAFT;
}

static void build_phase2_transform(const struct ikev1_config *config, enum isakmp_natt natt,
                                   enum kex_group group, const struct row *row, bool is_last,
                                   uint8_t number, struct ike_builder *b)
{
    const size_t transform = isakmp_build_transform(b, is_last, number, row->transform);

    if (group != KEX_NONE)
        isakmp_build_attribute(b, ISAKMP_P2_GROUP, group);
    isakmp_build_attribute(b, ISAKMP_P2_MODE, mode_value(config->mode, natt));
    if (row->integ != 0)
        isakmp_build_attribute(b, ISAKMP_P2_INTEG, row->integ);
    isakmp_build_attribute(b, ISAKMP_P2_KEY_LENGTH, row->key_bits);
    isakmp_build_attribute(b, ISAKMP_P2_LIFE_TYPE, ISAKMP_LIFE_SECONDS);
    isakmp_build_attribute(b, ISAKMP_P2_LIFE, life_seconds(config, config->rekey_child_us));
    isakmp_build_transform_end(b, transform);
}

static void put_u32(uint8_t bytes[4], uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

void ikev1_suite_offer_phase2(const struct ikev1_config *config, enum isakmp_natt natt,
                              enum kex_group group, uint32_t spi, struct ike_builder *b)
{
    uint8_t spi_bytes[4];
    uint8_t count = 0, number = 0;

    put_u32(spi_bytes, spi);
    while (count < IKEV1_SUITES_MAX && config->suites[count] != SUITE_NONE)
        count++;
    isakmp_build_sa(b);
    const size_t proposal =
        isakmp_build_proposal(b, true, 1, ISAKMP_PROTOCOL_ESP, spi_bytes, 4, count);
    for (uint8_t i = 0; i < count; i++) {
        for (size_t r = 0; r < ROW_COUNT; r++) {
            if (rows[r].suite == config->suites[i])
                build_phase2_transform(config, natt, group, &rows[r], i + 1 == count, ++number, b);
        }
    }
    isakmp_build_proposal_end(b, proposal);
}

/* NULL: not what the config takes. */
static const struct ikev1_proposal *fit_phase1(const struct ikev1_config *config,
                                               const struct terms *terms)
{
    if (terms->has_unknown || terms->cipher != ISAKMP_CIPHER_AES_CBC ||
        terms->auth != ikev1_signature_method(config))
        return NULL;
    for (size_t i = 0; i < IKEV1_PROPOSALS_MAX && config->proposals[i].key_len != 0; i++) {
        const struct ikev1_proposal *p = &config->proposals[i];
        if (terms->key_bits == p->key_len * 8u && hash_from(terms->hash) == p->hash &&
            terms->group == (uint32_t)p->group)
            return p;
    }
    return NULL;
}

static bool mode_fits(enum child_mode mode, uint32_t value)
{
    return value == mode_value(mode, ISAKMP_NATT_RFC) ||
           value == mode_value(mode, ISAKMP_NATT_DRAFT);
}

static enum suite fit_phase2(const struct ikev1_config *config, const struct terms *terms,
                             bool is_answer)
{
    const bool group_fits =
        terms->group == (uint32_t)config->pfs || (!is_answer && kex_is_known(terms->group));

    if (terms->has_unknown || !mode_fits(config->mode, terms->mode) || !group_fits)
        return SUITE_NONE;
    for (size_t i = 0; i < IKEV1_SUITES_MAX && config->suites[i] != SUITE_NONE; i++) {
        for (size_t r = 0; r < ROW_COUNT; r++) {
            if (rows[r].suite == config->suites[i] && rows[r].transform == terms->cipher &&
                rows[r].key_bits == terms->key_bits && rows[r].integ == terms->integ)
                return rows[r].suite;
        }
    }
    return SUITE_NONE;
}

/* Proposals of one number belong together, say AH and ESP at once (RFC 2408, 4.2): not taken. */
static unsigned count_number(const uint8_t *body, size_t len, uint8_t number, unsigned *ret_all)
{
    struct isakmp_proposals proposals;
    struct ike_proposal proposal;
    unsigned count = 0;

    *ret_all = 0;
    if (isakmp_proposals_init(&proposals, body, len) != ERR_OK)
        return 0;
    while (isakmp_proposals_next(&proposals, &proposal) == ERR_OK) {
        count += proposal.number == number;
        ++*ret_all;
    }
    return count;
}

/* Walks an offer; `fit` fills in what it likes of a transform. */
typedef bool fit_function(const struct ikev1_config *config, const struct ike_proposal *proposal,
                          bool is_answer, struct ikev1_choice *choice);

static int choose(const struct ikev1_config *config, const uint8_t *body, size_t len,
                  bool is_answer, fit_function *fit, struct ikev1_choice *ret_choice)
{
    struct isakmp_proposals proposals;
    struct ike_proposal proposal;
    unsigned all;

    int error = isakmp_proposals_init(&proposals, body, len);
    if (error != ERR_OK)
        return error;
    while (isakmp_proposals_next(&proposals, &proposal) == ERR_OK) {
        struct ikev1_choice choice = {.number = proposal.number};
        const struct ike_proposal whole = proposal;
        if (count_number(body, len, proposal.number, &all) != 1)
            continue;
        if (is_answer && (all != 1 || proposal.transform_count != 1))
            return ERR_INVALID;
        while (isakmp_transform_next(&proposal, &choice.transform) == ERR_OK) {
            if (!fit(config, &whole, is_answer, &choice))
                continue;
            *ret_choice = choice;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

static bool fit_one_phase1(const struct ikev1_config *config, const struct ike_proposal *proposal,
                           bool is_answer, struct ikev1_choice *choice)
{
    const struct terms terms = read_phase1(choice->transform);
    const struct ikev1_proposal *p = fit_phase1(config, &terms);

    if (proposal->protocol != ISAKMP_PROTOCOL_ISAKMP || p == NULL)
        return false;
    choice->proposal = *p;
    choice->life_us = terms.life_us;
    return true;
}

static bool fit_one_phase2(const struct ikev1_config *config, const struct ike_proposal *proposal,
                           bool is_answer, struct ikev1_choice *choice)
{
    const struct terms terms = read_phase2(choice->transform);
    struct reader spi;

    if (proposal->protocol != ISAKMP_PROTOCOL_ESP || proposal->spi_len != 4)
        return false;
    reader_init(&spi, proposal->spi, 4);
    choice->spi = reader_u32(&spi);
    choice->suite = fit_phase2(config, &terms, is_answer);
    choice->group = (enum kex_group)terms.group;
    choice->life_us = terms.life_us;
    /* Up to 255 they are reserved (RFC 4303, 2.1), and no marker looks like one. */
    return choice->suite != SUITE_NONE && choice->spi > 255;
}

int ikev1_suite_choose_phase1(const struct ikev1_config *config, const uint8_t *body, size_t len,
                              bool is_answer, struct ikev1_choice *ret_choice)
{
    return choose(config, body, len, is_answer, fit_one_phase1, ret_choice);
}

int ikev1_suite_choose_phase2(const struct ikev1_config *config, const uint8_t *body, size_t len,
                              bool is_answer, struct ikev1_choice *ret_choice)
{
    return choose(config, body, len, is_answer, fit_one_phase2, ret_choice);
}

static void answer(const struct ikev1_choice *choice, uint8_t protocol, const void *spi,
                   uint8_t spi_len, struct ike_builder *b)
{
    isakmp_build_sa(b);
    const size_t proposal =
        isakmp_build_proposal(b, true, choice->number, protocol, spi, spi_len, 1);
    const size_t transform =
        isakmp_build_transform(b, true, choice->transform.number, choice->transform.id);
    writer_bytes(b->w, choice->transform.raw, choice->transform.raw_len);
    isakmp_build_transform_end(b, transform);
    isakmp_build_proposal_end(b, proposal);
}

void ikev1_suite_answer_phase1(const struct ikev1_choice *choice, struct ike_builder *b)
{
    answer(choice, ISAKMP_PROTOCOL_ISAKMP, NULL, 0, b);
}

void ikev1_suite_answer_phase2(const struct ikev1_choice *choice, uint32_t spi,
                               struct ike_builder *b)
{
    uint8_t spi_bytes[4];

    put_u32(spi_bytes, spi);
    answer(choice, ISAKMP_PROTOCOL_ESP, spi_bytes, sizeof(spi_bytes), b);
}
