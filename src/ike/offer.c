/* See ike/offer.h. */
#include "ike/offer.h"
#include <string.h>

#define TRANSFORMS_MAX 16

static const struct cipher {
    enum ike_cipher cipher;
    uint16_t transform;
    uint16_t key_bits;
    bool is_aead;
    enum aead_algorithm algorithm;
} ciphers[IKE_CIPHER_COUNT] = {
    {IKE_CIPHER_AES256_GCM, IKE_ENCR_AES_GCM_16, 256, true, AEAD_AES256_GCM},
    {IKE_CIPHER_AES128_GCM, IKE_ENCR_AES_GCM_16, 128, true, AEAD_AES128_GCM},
    {IKE_CIPHER_CHACHA20_POLY1305, IKE_ENCR_CHACHA20_POLY1305, 0, true, AEAD_CHACHA20_POLY1305},
    {IKE_CIPHER_AES256_CBC, IKE_ENCR_AES_CBC, 256, false, AEAD_AES256_GCM},
    {IKE_CIPHER_AES128_CBC, IKE_ENCR_AES_CBC, 128, false, AEAD_AES128_GCM},
};

static const struct {
    enum hash_algorithm hash;
    uint16_t prf, integ;
} hashes[IKE_HASH_COUNT] = {
    {HASH_SHA256, IKE_PRF_HMAC_SHA2_256, IKE_INTEG_HMAC_SHA2_256_128},
    {HASH_SHA384, IKE_PRF_HMAC_SHA2_384, IKE_INTEG_HMAC_SHA2_384_192},
    {HASH_SHA512, IKE_PRF_HMAC_SHA2_512, IKE_INTEG_HMAC_SHA2_512_256},
};

static const struct cipher *find_cipher(enum ike_cipher cipher)
{
    for (size_t i = 0; i < IKE_CIPHER_COUNT; i++)
        if (ciphers[i].cipher == cipher)
            return &ciphers[i];
    return NULL;
}

bool ike_cipher_is_aead(enum ike_cipher cipher)
{
    const struct cipher *c = find_cipher(cipher);
    return c != NULL && c->is_aead;
}

int ike_cipher_algorithm(enum ike_cipher cipher, enum aead_algorithm *ret_algorithm)
{
    const struct cipher *c = find_cipher(cipher);
    if (c == NULL || !c->is_aead)
        return ERR_UNSUPPORTED;
    *ret_algorithm = c->algorithm;
    return ERR_OK;
}

size_t ike_cipher_key_len(enum ike_cipher cipher)
{
    const struct cipher *c = find_cipher(cipher);
    if (c == NULL)
        return 0;
    const size_t len = c->key_bits != 0 ? c->key_bits / 8 : 32;
    return c->is_aead ? len + IKE_SALT_LEN : len;
}

static uint16_t prf_transform(enum hash_algorithm hash)
{
    for (size_t i = 0; i < IKE_HASH_COUNT; i++)
        if (hashes[i].hash == hash)
            return hashes[i].prf;
    return 0;
}

static uint16_t integ_transform(enum hash_algorithm hash)
{
    for (size_t i = 0; i < IKE_HASH_COUNT; i++)
        if (hashes[i].hash == hash)
            return hashes[i].integ;
    return 0;
}

bool ike_offer_has_group(const struct ike_config *config, unsigned int group)
{
    for (size_t i = 0; i < KEX_GROUP_COUNT && config->groups[i] != KEX_NONE; i++)
        if ((unsigned int)config->groups[i] == group)
            return true;
    return false;
}

enum kex_group ike_offer_ke_group(const struct ike_message *message)
{
    struct ike_ke ke;

    if (message->ke.body == NULL ||
        ike_ke_parse(message->ke.body, message->ke.len, &ke) != ERR_OK || !kex_is_known(ke.group))
        return KEX_NONE;
    return (enum kex_group)ke.group;
}

/* Transforms being collected for one proposal. */
struct list {
    struct ike_transform transforms[TRANSFORMS_MAX];
    uint8_t count;
};

static void add(struct list *list, uint8_t type, uint16_t id, uint16_t key_bits)
{
    if (list->count < TRANSFORMS_MAX)
        list->transforms[list->count++] =
            (struct ike_transform){.type = type, .id = id, .key_bits = key_bits};
}

/* All of one class. No ciphers: an empty list. */
static void collect(const struct ike_config *config, bool is_aead, struct list *ret_list)
{
    struct list list = {.count = 0};

    for (size_t i = 0; i < IKE_CIPHER_COUNT && config->ciphers[i] != IKE_CIPHER_NONE; i++) {
        const struct cipher *c = find_cipher(config->ciphers[i]);
        if (c != NULL && c->is_aead == is_aead)
            add(&list, IKE_TRANSFORM_ENCR, c->transform, c->key_bits);
    }
    *ret_list = list;
    if (list.count == 0)
        return;
    for (size_t i = 0; i < IKE_HASH_COUNT && config->prfs[i] != HASH_NONE; i++)
        add(&list, IKE_TRANSFORM_PRF, prf_transform(config->prfs[i]), 0);
    for (size_t i = 0; i < IKE_HASH_COUNT && config->integs[i] != HASH_NONE && !is_aead; i++)
        add(&list, IKE_TRANSFORM_INTEG, integ_transform(config->integs[i]), 0);
    for (size_t i = 0; i < KEX_GROUP_COUNT && config->groups[i] != KEX_NONE; i++)
        add(&list, IKE_TRANSFORM_KE, (uint16_t)config->groups[i], 0);
    *ret_list = list;
}

void ike_offer_build(const struct ike_config *config, struct ike_builder *b, const uint8_t *spi)
{
    const bool is_aead_first = ike_cipher_is_aead(config->ciphers[0]);
    struct list lists[2];
    const uint8_t spi_len = spi != NULL ? 8 : 0;

    collect(config, is_aead_first, &lists[0]);
    collect(config, !is_aead_first, &lists[1]);
    ike_build_sa(b);
    for (uint8_t i = 0; i < 2 && lists[i].count > 0; i++)
        ike_build_proposal(b, i == 1 || lists[1].count == 0, (uint8_t)(i + 1), IKE_PROTOCOL_IKE,
                           spi, spi_len, lists[i].transforms, lists[i].count);
}

void ike_offer_answer(struct ike_builder *b, const struct ike_offer_choice *choice,
                      const uint8_t *spi)
{
    const struct ike_algorithms *a = &choice->algorithms;
    const struct cipher *c = find_cipher(a->cipher);
    struct list list = {.count = 0};

    if (c == NULL) {
        writer_fail(b->w, ERR_UNSUPPORTED);
        return;
    }
    add(&list, IKE_TRANSFORM_ENCR, c->transform, c->key_bits);
    add(&list, IKE_TRANSFORM_PRF, prf_transform(a->prf), 0);
    if (a->integ != HASH_NONE)
        add(&list, IKE_TRANSFORM_INTEG, integ_transform(a->integ), 0);
    add(&list, IKE_TRANSFORM_KE, (uint16_t)a->group, 0);
    ike_build_sa(b);
    ike_build_proposal(b, true, choice->number, IKE_PROTOCOL_IKE, spi, spi != NULL ? 8 : 0,
                       list.transforms, list.count);
}

/* What one proposal offers of each transform type. */
struct tally {
    unsigned encryption, prf, integ, ke;
    bool has_integ_none, has_unknown_type;
    struct ike_algorithms best;
};

static enum ike_cipher read_cipher(const struct ike_config *config, const struct ike_transform *t)
{
    for (size_t i = 0; i < IKE_CIPHER_COUNT && config->ciphers[i] != IKE_CIPHER_NONE; i++) {
        const struct cipher *c = find_cipher(config->ciphers[i]);
        if (c != NULL && !t->has_unknown && t->id == c->transform && t->key_bits == c->key_bits)
            return c->cipher;
    }
    return IKE_CIPHER_NONE;
}

static enum hash_algorithm read_hash(const enum hash_algorithm *list, bool is_prf,
                                     const struct ike_transform *t)
{
    for (size_t i = 0; i < IKE_HASH_COUNT && list[i] != HASH_NONE; i++)
        if (!t->has_unknown &&
            t->id == (is_prf ? prf_transform(list[i]) : integ_transform(list[i])))
            return list[i];
    return HASH_NONE;
}

/* All but the cipher, which depends on what integrity there is. */
static void tally_transform(const struct ike_config *config, const struct ike_transform *t,
                            enum kex_group ke_group, struct tally *tally)
{
    struct ike_algorithms *best = &tally->best;

    switch (t->type) {
    case IKE_TRANSFORM_ENCR:
        tally->encryption++;
        break;
    case IKE_TRANSFORM_PRF:
        tally->prf++;
        if (best->prf == HASH_NONE)
            best->prf = read_hash(config->prfs, true, t);
        break;
    case IKE_TRANSFORM_INTEG:
        tally->integ++;
        tally->has_integ_none |= t->id == IKE_INTEG_NONE;
        if (best->integ == HASH_NONE)
            best->integ = read_hash(config->integs, false, t);
        break;
    case IKE_TRANSFORM_KE:
        tally->ke++;
        if (!t->has_unknown && ike_offer_has_group(config, t->id) &&
            (best->group == KEX_NONE || t->id == (uint16_t)ke_group))
            best->group = (enum kex_group)t->id;
        break;
    default:
        tally->has_unknown_type = true; /* the proposal asks for something we cannot do (3.3.6) */
        break;
    }
}

/* The first cipher that goes with the rest. */
static bool choose_cipher(const struct ike_config *config, struct ike_proposal proposal,
                          struct tally *tally)
{
    struct ike_transform t;

    while (ike_transform_next(&proposal, &t) == ERR_OK) {
        if (t.type != IKE_TRANSFORM_ENCR)
            continue;
        const enum ike_cipher cipher = read_cipher(config, &t);
        if (cipher == IKE_CIPHER_NONE)
            continue;
        const bool is_aead = ike_cipher_is_aead(cipher);
        if (is_aead ? tally->integ > 0 && !tally->has_integ_none : tally->best.integ == HASH_NONE)
            continue;
        tally->best.cipher = cipher;
        if (is_aead)
            tally->best.integ = HASH_NONE;
        return true;
    }
    return false;
}

/* Judges one proposal. */
static bool take_proposal(const struct ike_config *config, struct ike_proposal *p,
                          enum kex_group ke_group, bool is_answer,
                          struct ike_offer_choice *ret_choice)
{
    const struct ike_proposal copy = *p;
    struct tally tally = {0};
    struct ike_transform t;

    while (ike_transform_next(p, &t) == ERR_OK)
        tally_transform(config, &t, ke_group, &tally);
    if (tally.has_unknown_type || tally.best.prf == HASH_NONE || tally.best.group == KEX_NONE ||
        !choose_cipher(config, copy, &tally))
        return false;
    if (is_answer && (tally.encryption != 1 || tally.prf != 1 || tally.integ > 1 || tally.ke != 1))
        return false;
    ret_choice->number = copy.number;
    ret_choice->algorithms = tally.best;
    memcpy(ret_choice->spi, copy.spi, copy.spi_len);
    return true;
}

int ike_offer_choose(const struct ike_config *config, const struct ike_payload *sa, uint8_t spi_len,
                     enum kex_group ke_group, struct ike_offer_choice *ret_choice)
{
    struct ike_proposals proposals;
    struct ike_proposal p;

    ike_proposals_init(&proposals, sa->body, sa->len);
    while (ike_proposals_next(&proposals, &p) == ERR_OK)
        if (p.protocol == IKE_PROTOCOL_IKE && p.spi_len == spi_len &&
            take_proposal(config, &p, ke_group, false, ret_choice))
            return ERR_OK;
    return ERR_NOT_FOUND;
}

int ike_offer_read(const struct ike_config *config, const struct ike_payload *sa, uint8_t spi_len,
                   struct ike_offer_choice *ret_choice)
{
    const bool is_aead_first = ike_cipher_is_aead(config->ciphers[0]);
    struct ike_proposals proposals;
    struct ike_proposal p;
    struct ike_offer_choice choice = {0};

    /* Exactly one is chosen (2.7). */
    ike_proposals_init(&proposals, sa->body, sa->len);
    if (ike_proposals_next(&proposals, &p) != ERR_OK || !proposals.is_last ||
        p.protocol != IKE_PROTOCOL_IKE || p.spi_len != spi_len ||
        !take_proposal(config, &p, KEX_NONE, true, &choice))
        return ERR_NOT_FOUND;
    const bool is_aead = ike_cipher_is_aead(choice.algorithms.cipher);
    if (choice.number != (is_aead == is_aead_first ? 1 : 2))
        return ERR_NOT_FOUND;
    *ret_choice = choice;
    return ERR_OK;
}
