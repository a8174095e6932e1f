/* Profiles and identities; see ikev1/config.h. */
#include "ikev1/config.h"
#include "base/text.h"
#include "crypto/memory.h"
#include "ikev1/event.h"
#include "ikev1/signature.h"
#include "ikev1/state.h"
#include "ikev1/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOUR_US (3600 * SECOND_US)

void ikev1_config_init(struct ikev1_config *config)
{
    static const struct ikev1_proposal proposals[] = {
        {32, HASH_SHA256, KEX_X25519},   {32, HASH_SHA256, KEX_ECP256},
        {32, HASH_SHA384, KEX_ECP384},   {32, HASH_SHA256, KEX_MODP3072},
        {16, HASH_SHA256, KEX_ECP256},   {16, HASH_SHA256, KEX_MODP3072},
        {32, HASH_SHA256, KEX_MODP2048}, {16, HASH_SHA256, KEX_MODP2048},
        {32, HASH_SHA512, KEX_ECP384},   {32, HASH_SHA512, KEX_MODP3072},
    };

    *config = (struct ikev1_config){
        .nat_port = 4500,
        .suites = {ESP_AES256_GCM, ESP_AES128_GCM, ESP_AES256_CBC_SHA256, ESP_AES128_CBC_SHA256},
        .mode = CHILD_TUNNEL,
        .retransmit_first_us = SECOND_US,
        .retransmit_factor_percent = 170,
        .establish_timeout_us = 30 * SECOND_US,
        .half_open_timeout_us = 30 * SECOND_US,
        .request_timeout_us = 20 * SECOND_US,
        .dpd_interval_us = 30 * SECOND_US,
        .rekey_us = 8 * HOUR_US,
        .rekey_child_us = HOUR_US,
        .rekey_jitter_percent = 10,
        .hard_percent = 120,
        .linger_us = 10 * SECOND_US,
    };
    memcpy(config->proposals, proposals, sizeof(proposals));
}

static bool lists_are_sound(const struct ikev1_config *config)
{
    if (config->proposals[0].key_len == 0 || config->suites[0] == SUITE_NONE)
        return false;
    for (size_t i = 0; i < IKEV1_PROPOSALS_MAX && config->proposals[i].key_len != 0; i++) {
        const struct ikev1_proposal *p = &config->proposals[i];
        if ((p->key_len != 16 && p->key_len != 32) || p->hash == HASH_NONE ||
            !ikev1_group_is_known(p->group))
            return false;
    }
    for (size_t i = 0; i < IKEV1_SUITES_MAX && config->suites[i] != SUITE_NONE; i++)
        if (!ikev1_suite_is_known(config->suites[i]))
            return false;
    return config->pfs == KEX_NONE || ikev1_group_is_known(config->pfs);
}

static bool times_are_sound(const struct ikev1_config *config)
{
    return config->retransmit_first_us > 0 && config->retransmit_factor_percent >= 100 &&
           config->establish_timeout_us > 0 && config->half_open_timeout_us > 0 &&
           config->request_timeout_us > 0 && config->rekey_us >= 2 * SECOND_US &&
           config->rekey_child_us >= 2 * SECOND_US && config->rekey_jitter_percent < 100 &&
           config->hard_percent > 100 && config->linger_us > 0;
}

static bool child_is_sound(const struct ikev1_config *config)
{
    const struct ikev1_selectors *s = &config->selectors;

    if (config->mode == CHILD_TRANSPORT)
        return config->addresses.own.family == config->addresses.other.family;
    return config->mode == CHILD_TUNNEL && s->local.address.family == s->remote.address.family &&
           address_len(&s->local.address) > 0;
}

const char *ikev1_config_check_keys(const struct ikev1_config *config)
{
    if (ikev1_signature_method(config) == 0)
        return "IKEv1 signs with RSA or ECDSA keys alone";
    if (config->peer_key != NULL &&
        verifier_kind(config->peer_key) != verifier_kind(signer_public(config->signer)))
        return "in IKEv1 both keys are of one kind: RSA, or ECDSA on the same curve";
    if (config->chain != NULL && !ikev1_signature_fits(config))
        return "the certificates are too long for IKEv1, which has no fragments";
    return NULL;
}

/* Exactly one way to prove who one is, and everything that it takes. */
static bool proof_is_sound(const struct ikev1_config *config)
{
    if (config->signer == NULL)
        return config->psk_len > 0 && config->psk_len <= IKEV1_PSK_CAP && config->chain == NULL &&
               config->peer_key == NULL && config->anchors == NULL;
    return config->psk_len == 0 && (config->peer_key == NULL) != (config->anchors == NULL) &&
           (config->anchors == NULL || config->peer_id.type != 0) &&
           (config->chain == NULL || chain_fits(config->chain, signer_public(config->signer))) &&
           ikev1_config_check_keys(config) == NULL;
}

int ikev1_profile_new(const struct ikev1_config *config, struct ikev1_profile **ret_profile)
{
    if (config->id.type == 0 || config->id.len == 0 || config->id.len > IKEV1_ID_CAP ||
        config->peer_id.len > IKEV1_ID_CAP || !proof_is_sound(config) || !lists_are_sound(config) ||
        !times_are_sound(config) || !child_is_sound(config))
        return ERR_INVALID;
    struct ikev1_profile *profile = (struct ikev1_profile *)calloc(1, sizeof(*profile));
    if (profile == NULL)
        return ERR_NOMEM;
    profile->config = *config;
    profile->references = 1;
    *ret_profile = profile;
    return ERR_OK;
}

struct ikev1_profile *ikev1_profile_share(struct ikev1_profile *profile)
{
    profile->references++;
    return profile;
}

void ikev1_profile_free(struct ikev1_profile *profile)
{
    if (profile == NULL || --profile->references > 0)
        return;
    crypto_wipe(profile, sizeof(*profile));
    free(profile);
}

const struct ikev1_config *ikev1_profile_config(const struct ikev1_profile *profile)
{
    return &profile->config;
}

bool ikev1_id_is_equal(const struct ikev1_id *a, const struct ikev1_id *b)
{
    if (a->type == ISAKMP_ID_DER_DN && b->type == ISAKMP_ID_DER_DN)
        return dn_is_equal(a->bytes, a->len, b->bytes, b->len);
    if (a->type != b->type || a->len != b->len)
        return false;
    if (a->type == ISAKMP_ID_FQDN || a->type == ISAKMP_ID_USER_FQDN)
        return strncasecmp((const char *)a->bytes, (const char *)b->bytes, a->len) == 0;
    return memcmp(a->bytes, b->bytes, a->len) == 0;
}

const char *ikev1_id_format(const struct ikev1_id *id, char *text, size_t cap)
{
    const bool is_ipv4 = id->type == ISAKMP_ID_IPV4 && id->len == 4;
    char address[ADDRESS_TEXT_CAP];
    size_t len = 0;

    if (is_ipv4 || (id->type == ISAKMP_ID_IPV6 && id->len == 16)) {
        const struct address a =
            address_from_bytes(is_ipv4 ? ADDRESS_IPV4 : ADDRESS_IPV6, id->bytes);
        snprintf(text, cap, "%s", address_format(&a, address, sizeof(address)));
    } else if (id->type == ISAKMP_ID_FQDN || id->type == ISAKMP_ID_USER_FQDN) {
        /* it comes from the network, and goes into logs */
        for (; len < id->len && len + 1 < cap; len++)
            text[len] = id->bytes[len] > 0x20 && id->bytes[len] < 0x7f ? (char)id->bytes[len] : '?';
        text[len] = '\0';
    } else if (id->type == ISAKMP_ID_DER_DN && dn_format(id->bytes, id->len, text, cap) >= 0) {
        for (; text[len] != '\0'; len++)
            if (text[len] < 0x20 || text[len] >= 0x7f)
                text[len] = '?';
    } else {
        const int head =
            snprintf(text, cap, "%s", id->type == ISAKMP_ID_KEY_ID ? "keyid:" : "identity:");
        const size_t room = cap - (size_t)head;
        const size_t shown = id->len < (room - 1) / 2 ? id->len : (room - 1) / 2;
        if (hex_encode(id->bytes, shown, text + head, room) < 0)
            text[head] = '\0';
    }
    return text;
}

const char *ikev1_reason_text(enum ikev1_reason reason)
{
    switch (reason) {
    case IKEV1_REASON_NONE:
        return "no reason";
    case IKEV1_REASON_CLOSED_HERE:
        return "closed here";
    case IKEV1_REASON_CLOSED_BY_PEER:
        return "closed by the peer";
    case IKEV1_REASON_REPLACED:
        return "replaced by a newer one";
    case IKEV1_REASON_TIMEOUT:
        return "no answer";
    case IKEV1_REASON_EXPIRED:
        return "expired without a rekey";
    case IKEV1_REASON_NO_PROPOSAL:
        return "nothing in common with the peer, or no NAT traversal there";
    case IKEV1_REASON_NOT_AUTHENTIC:
        return "the peer has not proven who it is";
    case IKEV1_REASON_PEER_ID:
        return "the peer has another identity than expected";
    case IKEV1_REASON_REFUSED_BY_PEER:
        return "refused by the peer";
    case IKEV1_REASON_FAILED_HERE:
        return "failed here: no memory, or the crypto library";
    }
    return "unknown reason";
}
