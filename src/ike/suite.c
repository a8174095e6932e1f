/* The negotiation of children; see ike/suite.h. */
#include "ike/suite.h"
#include <string.h>

#define TRANSFORMS_MAX (SUITE_COUNT + KEX_GROUP_COUNT + 3) /* and INTEG, two of ESN */
#define SPI_LEN        4

/* ---- suites and transforms ---- */

static const struct {
    enum suite suite;
    uint16_t id, key_bits;
} esp_transforms[ESP_SUITE_COUNT] = {
    {ESP_AES128_GCM, IKE_ENCR_AES_GCM_16, 128},
    {ESP_AES256_GCM, IKE_ENCR_AES_GCM_16, 256},
    {ESP_CHACHA20_POLY1305, IKE_ENCR_CHACHA20_POLY1305, 0},
    {ESP_AES128_GCM_IIV, IKE_ENCR_AES_GCM_16_IIV, 128},
    {ESP_AES256_GCM_IIV, IKE_ENCR_AES_GCM_16_IIV, 256},
    {ESP_CHACHA20_POLY1305_IIV, IKE_ENCR_CHACHA20_POLY1305_IIV, 0},
    {ESP_AES128_CBC_SHA256, IKE_ENCR_AES_CBC, 128},
    {ESP_AES256_CBC_SHA256, IKE_ENCR_AES_CBC, 256},
    {ESP_AES128_CTR_SHA256, IKE_ENCR_AES_CTR, 128},
    {ESP_AES256_CTR_SHA256, IKE_ENCR_AES_CTR, 256},
};

static struct ike_transform transform_of(enum suite suite)
{
    for (size_t i = 0; i < ESP_SUITE_COUNT; i++)
        if (esp_transforms[i].suite == suite)
            return (struct ike_transform){.type = IKE_TRANSFORM_ENCR,
                                          .id = esp_transforms[i].id,
                                          .key_bits = esp_transforms[i].key_bits};
    return (struct ike_transform){.type = IKE_TRANSFORM_ENCR, .id = (uint16_t)suite};
}

/* Of ESP: with an HMAC beside the cipher. */
static bool has_integ(enum suite suite)
{
    return suite >= ESP_AES128_CBC_SHA256;
}

static bool is_of_one_proposal(enum suite a, enum suite b)
{
    return suite_protocol(a) == suite_protocol(b) && has_integ(a) == has_integ(b);
}

static bool is_taken(const struct ike_rule *rule, enum suite suite)
{
    return !rule->no_esp || !suite_is_esp(suite);
}

/* ---- what we write ---- */

static void put_spi(uint32_t spi, uint8_t ret_bytes[SPI_LEN])
{
    for (size_t i = 0; i < SPI_LEN; i++)
        ret_bytes[i] = (uint8_t)(spi >> (24 - 8 * i));
}

/* Key exchange transforms: one group, or (KEX_NONE) all that the configuration has. */
static size_t add_groups(const struct ike_rule *rule, enum kex_group group,
                         struct ike_transform *ret_transforms)
{
    const enum kex_group *groups = rule->config->groups;
    size_t count = 0;

    for (size_t i = 0; i < KEX_GROUP_COUNT && groups[i] != KEX_NONE && rule->has_ke; i++)
        if (group == KEX_NONE || groups[i] == group)
            ret_transforms[count++] =
                (struct ike_transform){.type = IKE_TRANSFORM_KE, .id = (uint16_t)groups[i]};
    return count;
}

static struct ike_transform esn_of(bool has_esn)
{
    return (struct ike_transform){.type = IKE_TRANSFORM_ESN,
                                  .id = has_esn ? IKE_ESN : IKE_ESN_NONE};
}

static size_t add_integ(enum suite suite, struct ike_transform *ret_transform)
{
    if (!has_integ(suite))
        return 0;
    *ret_transform =
        (struct ike_transform){.type = IKE_TRANSFORM_INTEG, .id = IKE_INTEG_HMAC_SHA2_256_128};
    return 1;
}

/* Suites from the given one on that go into one proposal. */
static size_t run_length(const struct ike_config *config, size_t first)
{
    size_t i = first;
    while (i < SUITE_COUNT && config->suites[i] != SUITE_NONE &&
           is_of_one_proposal(config->suites[first], config->suites[i]))
        i++;
    return i - first;
}

void ike_rule_offer(const struct ike_rule *rule, struct ike_builder *b, uint32_t spi)
{
    const struct ike_config *config = rule->config;
    struct ike_transform t[TRANSFORMS_MAX];
    uint8_t spi_bytes[SPI_LEN];
    uint8_t number = 1;

    put_spi(spi, spi_bytes);
    ike_build_sa(b);
    for (size_t first = 0, run; first < SUITE_COUNT && config->suites[first] != SUITE_NONE;
         first += run) {
        const enum suite suite = config->suites[first];
        size_t count = 0;
        run = run_length(config, first);
        for (size_t i = 0; i < run; i++)
            t[count++] = transform_of(config->suites[first + i]);
        count += add_integ(suite, t + count);
        if (suite_is_esp(suite) && config->esn != IKE_ESN_POLICY_NEVER)
            t[count++] = esn_of(true);
        if (suite_is_esp(suite) && config->esn != IKE_ESN_POLICY_ALWAYS)
            t[count++] = esn_of(false);
        count += add_groups(rule, KEX_NONE, t + count);
        const size_t next = first + run;
        const bool is_last = next == SUITE_COUNT || config->suites[next] == SUITE_NONE;
        ike_build_proposal(b, is_last, number++, (uint8_t)suite_protocol(suite), spi_bytes, SPI_LEN,
                           t, (uint8_t)count);
    }
}

void ike_rule_answer(const struct ike_rule *rule, struct ike_builder *b,
                     const struct ike_choice *choice, uint32_t spi)
{
    struct ike_transform t[TRANSFORMS_MAX];
    uint8_t spi_bytes[SPI_LEN];
    size_t count = 0;

    put_spi(spi, spi_bytes);
    t[count++] = transform_of(choice->suite);
    count += add_integ(choice->suite, t + count);
    if (suite_is_esp(choice->suite))
        t[count++] = esn_of(choice->has_esn);
    count += add_groups(rule, choice->group, t + count);
    ike_build_sa(b);
    ike_build_proposal(b, true, choice->number, (uint8_t)suite_protocol(choice->suite), spi_bytes,
                       SPI_LEN, t, (uint8_t)count);
}

/* ---- what we read ---- */

/* What one proposal offers of each transform type. */
struct tally {
    uint8_t protocol;
    enum suite aead;      /* first encryption that we take without an HMAC, or of SPUT */
    enum suite with_hmac; /* … with one */
    bool is_hmac_first;
    enum kex_group group; /* first that we take, but for that of the KE payload, which goes first */
    unsigned encryption, integ, esn, ke;
    bool has_integ_none, has_hmac;
    bool has_esn, has_no_esn;
    bool has_unknown_type;
};

static void tally_encryption(const struct ike_rule *rule, const struct ike_transform *t,
                             struct tally *tally)
{
    const enum suite *suites = rule->config->suites;

    tally->encryption++;
    for (size_t i = 0; i < SUITE_COUNT && suites[i] != SUITE_NONE && !t->has_unknown; i++) {
        const struct ike_transform ours = transform_of(suites[i]);
        if (!is_taken(rule, suites[i]) || suite_protocol(suites[i]) != tally->protocol ||
            t->id != ours.id || t->key_bits != ours.key_bits)
            continue;
        enum suite *first = has_integ(suites[i]) ? &tally->with_hmac : &tally->aead;
        if (*first == SUITE_NONE)
            *first = suites[i];
        if (has_integ(suites[i]) && tally->aead == SUITE_NONE)
            tally->is_hmac_first = true;
    }
}

static void tally_group(const struct ike_rule *rule, const struct ike_transform *t,
                        struct tally *tally)
{
    const enum kex_group *groups = rule->config->groups;

    for (size_t i = 0; i < KEX_GROUP_COUNT && groups[i] != KEX_NONE && !t->has_unknown; i++)
        if (t->id == (uint16_t)groups[i] &&
            (tally->group == KEX_NONE || groups[i] == rule->ke_group))
            tally->group = groups[i];
}

static void tally_transform(const struct ike_rule *rule, const struct ike_transform *t,
                            struct tally *tally)
{
    switch (t->type) {
    case IKE_TRANSFORM_ENCR:
        tally_encryption(rule, t, tally);
        break;
    case IKE_TRANSFORM_INTEG:
        tally->integ++;
        tally->has_integ_none |= t->id == IKE_INTEG_NONE;
        tally->has_hmac |= t->id == IKE_INTEG_HMAC_SHA2_256_128 && !t->has_unknown;
        break;
    case IKE_TRANSFORM_ESN:
        tally->esn++;
        tally->has_esn |= t->id == IKE_ESN && !t->has_unknown;
        tally->has_no_esn |= t->id == IKE_ESN_NONE && !t->has_unknown;
        break;
    case IKE_TRANSFORM_KE:
        tally->ke++;
        tally_group(rule, t, tally);
        break;
    default:
        tally->has_unknown_type = true; /* the proposal asks for something we cannot do (3.3.6) */
        break;
    }
}

/* The suite that a proposal comes to: its first encryption that goes with its integrity. */
static enum suite tally_suite(const struct tally *t)
{
    const enum suite aead = t->integ == 0 || t->has_integ_none ? t->aead : SUITE_NONE;
    const enum suite with_hmac = t->has_hmac ? t->with_hmac : SUITE_NONE;

    if (aead == SUITE_NONE || (with_hmac != SUITE_NONE && t->is_hmac_first))
        return with_hmac;
    return aead;
}

/* Without a word on it, which is not allowed (3.3.3), numbers are short. false: no agreement. */
static bool tally_esn(const struct ike_rule *rule, const struct tally *t, bool *ret_has_esn)
{
    const enum ike_esn_policy policy = rule->config->esn;
    const bool may_be_short = t->esn == 0 || t->has_no_esn;

    if (t->protocol != IKE_PROTOCOL_ESP) {
        *ret_has_esn = false;
        return t->esn == 0;
    }
    *ret_has_esn = t->has_esn && policy != IKE_ESN_POLICY_NEVER;
    return *ret_has_esn || (may_be_short && policy != IKE_ESN_POLICY_ALWAYS);
}

static bool tally_fits(const struct ike_rule *rule, const struct tally *t, bool is_answer)
{
    if (t->has_unknown_type || (rule->has_ke ? t->group == KEX_NONE : t->ke > 0))
        return false;
    return !is_answer || (t->encryption == 1 && t->integ <= 1 && t->esn <= 1 && t->ke <= 1);
}

/* The number of our proposal that offered a suite. */
static uint8_t number_of(const struct ike_config *config, enum suite suite)
{
    uint8_t number = 1;

    for (size_t first = 0, run; first < SUITE_COUNT && config->suites[first] != SUITE_NONE;
         first += run, number++) {
        run = run_length(config, first);
        for (size_t i = 0; i < run; i++)
            if (config->suites[first + i] == suite)
                return number;
    }
    return 0;
}

int ike_rule_choose(const struct ike_rule *rule, const uint8_t *body, size_t len, bool is_answer,
                    struct ike_choice *ret_choice)
{
    struct ike_proposals proposals;
    struct ike_proposal p;

    ike_proposals_init(&proposals, body, len);
    while (ike_proposals_next(&proposals, &p) == ERR_OK) {
        struct tally tally = {.protocol = p.protocol};
        struct ike_transform t;
        struct reader r;

        if (is_answer && !proposals.is_last)
            return ERR_NOT_FOUND; /* exactly one is chosen (2.7) */
        if (p.spi_len != SPI_LEN)
            continue;
        reader_init(&r, p.spi, SPI_LEN);
        struct ike_choice choice = {.number = p.number, .spi = reader_u32(&r)};
        while (ike_transform_next(&p, &t) == ERR_OK)
            tally_transform(rule, &t, &tally);
        choice.suite = tally_suite(&tally);
        choice.group = rule->has_ke ? tally.group : KEX_NONE;
        if (choice.suite == SUITE_NONE || !tally_fits(rule, &tally, is_answer) ||
            !tally_esn(rule, &tally, &choice.has_esn))
            continue;
        if (is_answer && choice.number != number_of(rule->config, choice.suite))
            return ERR_NOT_FOUND;
        *ret_choice = choice;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}
