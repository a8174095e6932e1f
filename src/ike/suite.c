/* The negotiation of children; see ike/suite.h. */
#include "ike/suite.h"
#include <string.h>

#define TRANSFORMS_MAX (SUITE_COUNT + KEX_GROUP_COUNT)

/* The encryption transforms that the rule takes, in order. */
static size_t rule_encryption(const struct ike_rule *rule, struct ike_transform *ret_transforms,
                              uint16_t *ret_values)
{
    const struct ike_config *config = rule->config;
    size_t count = 0;

    for (size_t i = 0; i < SUITE_COUNT && config->suites[i] != SUITE_NONE; i++) {
        if (suite_protocol(config->suites[i]) != IKE_PROTOCOL_SPUT)
            continue;
        ret_transforms[count] =
            (struct ike_transform){.type = IKE_TRANSFORM_ENCR, .id = (uint16_t)config->suites[i]};
        ret_values[count++] = (uint16_t)config->suites[i];
    }
    return count;
}

/* Key exchange transforms: one group, or (KEX_NONE) all that the configuration has. */
static size_t rule_groups(const struct ike_rule *rule, enum kex_group group,
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

void ike_rule_offer(const struct ike_rule *rule, struct ike_builder *b, const uint8_t *spi)
{
    struct ike_transform transforms[TRANSFORMS_MAX];
    uint16_t values[TRANSFORMS_MAX];

    size_t count = rule_encryption(rule, transforms, values);
    count += rule_groups(rule, KEX_NONE, transforms + count);
    ike_build_sa(b);
    ike_build_proposal(b, true, 1, rule->protocol, spi, rule->spi_len, transforms, (uint8_t)count);
}

void ike_rule_answer(const struct ike_rule *rule, struct ike_builder *b,
                     const struct ike_choice *choice, const uint8_t *spi)
{
    struct ike_transform transforms[TRANSFORMS_MAX];
    uint16_t values[TRANSFORMS_MAX];

    size_t count = rule_encryption(rule, transforms, values);
    for (size_t i = 0; i < count; i++)
        if (values[i] == choice->value)
            transforms[0] = transforms[i];
    count = 1 + rule_groups(rule, choice->group, transforms + 1);
    ike_build_sa(b);
    ike_build_proposal(b, true, choice->number, rule->protocol, spi, rule->spi_len, transforms,
                       (uint8_t)count);
}

/* What one proposal offers of each transform type. */
struct tally {
    uint16_t value;       /* first encryption that we take */
    enum kex_group group; /* likewise, but for that of the KE payload, which goes first */
    unsigned encryption, prf, integ, ke;
    bool has_integ_none;
    bool has_unknown_type;
};

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
                            const struct ike_transform *ours, const uint16_t *values, size_t count,
                            struct tally *tally)
{
    switch (t->type) {
    case IKE_TRANSFORM_ENCR:
        tally->encryption++;
        for (size_t i = 0; tally->value == 0 && !t->has_unknown && i < count; i++)
            if (t->id == ours[i].id && t->key_bits == ours[i].key_bits)
                tally->value = values[i];
        break;
    case IKE_TRANSFORM_PRF:
        tally->prf++;
        break;
    case IKE_TRANSFORM_INTEG:
        tally->integ++;
        tally->has_integ_none |= t->id == IKE_INTEG_NONE;
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

static bool tally_fits(const struct ike_rule *rule, const struct tally *t, bool is_answer)
{
    if (t->value == 0 || t->has_unknown_type || (t->integ > 0 && !t->has_integ_none) || t->prf > 0)
        return false;
    if (rule->has_ke ? t->group == KEX_NONE : t->ke > 0)
        return false;
    return !is_answer || (t->encryption == 1 && t->integ <= 1 && t->ke <= 1);
}

int ike_rule_choose(const struct ike_rule *rule, const uint8_t *body, size_t len, bool is_answer,
                    struct ike_choice *ret_choice)
{
    struct ike_transform ours[TRANSFORMS_MAX];
    uint16_t values[TRANSFORMS_MAX];
    size_t count = rule_encryption(rule, ours, values);
    struct ike_proposals proposals;
    struct ike_proposal p;

    ike_proposals_init(&proposals, body, len);
    while (ike_proposals_next(&proposals, &p) == ERR_OK) {
        struct tally tally = {0};
        struct ike_transform t;

        if (is_answer && (!proposals.is_last || p.number != 1))
            return ERR_NOT_FOUND; /* we offer one, and exactly one is chosen (2.7) */
        if (p.protocol != rule->protocol || p.spi_len != rule->spi_len)
            continue;
        uint8_t number = p.number;
        const uint8_t *spi = p.spi;
        while (ike_transform_next(&p, &t) == ERR_OK)
            tally_transform(rule, &t, ours, values, count, &tally);
        if (!tally_fits(rule, &tally, is_answer))
            continue;
        struct ike_choice choice = {.number = number, .value = tally.value, .group = tally.group};
        memcpy(choice.spi, spi, rule->spi_len);
        *ret_choice = choice;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}
