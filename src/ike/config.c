/* Configuration and profiles; see ike/config.h. */
#include "crypto/memory.h"
#include "ike/profile.h"
#include <stdlib.h>
#include <string.h>

void ike_config_init(struct ike_config *config, const struct identity *identity)
{
    *config = (struct ike_config){
        .identity = identity,
        .ciphers = {IKE_CIPHER_AES256_GCM, IKE_CIPHER_AES128_GCM, IKE_CIPHER_CHACHA20_POLY1305},
        .prfs = {HASH_SHA256},
        .groups = {KEX_X25519},
        .retransmit_first_us = 500 * MS_US,
        .retransmit_min_us = 200 * MS_US,
        .retransmit_factor_percent = 180,
        .establish_timeout_us = 15 * SECOND_US,
        .half_open_timeout_us = 15 * SECOND_US,
        .request_timeout_us = 15 * SECOND_US,
        .close_timeout_us = 2 * SECOND_US,
        .dpd_interval_us = 30 * SECOND_US,
        .rekey_ike_us = 3600 * SECOND_US,
        .rekey_child_us = 3600 * SECOND_US,
        .rekey_jitter_percent = 10,
        .hard_percent = 110,
        .rekey_retry_us = 2 * SECOND_US,
        .linger_us = 5 * SECOND_US,
    };
}

/* A list ended by 0, each element once and known. */
static bool ciphers_are_valid(const enum ike_cipher *list)
{
    for (size_t i = 0; i < IKE_CIPHER_COUNT && list[i] != IKE_CIPHER_NONE; i++) {
        if (ike_cipher_key_len(list[i]) == 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (list[j] == list[i])
                return false;
    }
    return list[0] != IKE_CIPHER_NONE;
}

static bool hashes_are_valid(const enum hash_algorithm *list)
{
    for (size_t i = 0; i < IKE_HASH_COUNT && list[i] != HASH_NONE; i++) {
        if (hash_len(list[i]) == 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (list[j] == list[i])
                return false;
    }
    return true;
}

static bool groups_are_valid(const enum kex_group *list)
{
    for (size_t i = 0; i < KEX_GROUP_COUNT && list[i] != KEX_NONE; i++) {
        if (!kex_is_known(list[i]))
            return false;
        for (size_t j = 0; j < i; j++)
            if (list[j] == list[i])
                return false;
    }
    return list[0] != KEX_NONE;
}

/* Each cipher has what it needs. */
static bool algorithms_are_valid(const struct ike_config *c)
{
    bool needs_integ = false;

    if (!ciphers_are_valid(c->ciphers) || !hashes_are_valid(c->prfs) ||
        !hashes_are_valid(c->integs) || !groups_are_valid(c->groups) || c->prfs[0] == HASH_NONE)
        return false;
    for (size_t i = 0; i < IKE_CIPHER_COUNT && c->ciphers[i] != IKE_CIPHER_NONE; i++)
        needs_integ |= !ike_cipher_is_aead(c->ciphers[i]);
    return !needs_integ || c->integs[0] != HASH_NONE;
}

static bool suites_are_valid(const enum suite *list)
{
    for (size_t i = 0; i < SUITE_COUNT && list[i] != SUITE_NONE; i++) {
        if (suite_key_len(list[i]) == 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (list[j] == list[i])
                return false;
    }
    return true;
}

/* ESP needs a mode, each once. */
static bool modes_are_valid(const struct ike_config *config)
{
    bool has_esp = false;

    for (size_t i = 0; i < SUITE_COUNT && config->suites[i] != SUITE_NONE; i++)
        has_esp |= suite_is_esp(config->suites[i]);
    if (config->esp_mode_count > CHILD_MODE_COUNT || (has_esp && config->esp_mode_count == 0))
        return false;
    for (uint8_t i = 0; i < config->esp_mode_count; i++)
        for (uint8_t j = 0; j < i; j++)
            if (config->esp_modes[j] == config->esp_modes[i])
                return false;
    return true;
}

/* Tunnel mode can do with networks alone. */
static bool has_only_networks(const struct ike_config *config)
{
    const struct ike_addresses *a = &config->addresses;

    return config->esp_mode_count == 1 && config->esp_modes[0] == CHILD_TUNNEL &&
           config->selectors.own.count > 0 && config->selectors.peer.count > 0 &&
           a->own_ipv4.family == ADDRESS_NONE && a->own_ipv6.family == ADDRESS_NONE &&
           a->other_ipv4.family == ADDRESS_NONE && a->other_ipv6.family == ADDRESS_NONE;
}

static bool addresses_are_valid(const struct ike_addresses *a)
{
    bool has_ipv4 = a->own_ipv4.family == ADDRESS_IPV4 && a->other_ipv4.family == ADDRESS_IPV4;
    bool has_ipv6 = a->own_ipv6.family == ADDRESS_IPV6 && a->other_ipv6.family == ADDRESS_IPV6;
    bool lacks_ipv4 = a->own_ipv4.family == ADDRESS_NONE && a->other_ipv4.family == ADDRESS_NONE;
    bool lacks_ipv6 = a->own_ipv6.family == ADDRESS_NONE && a->other_ipv6.family == ADDRESS_NONE;
    return (has_ipv4 || lacks_ipv4) && (has_ipv6 || lacks_ipv6) && (has_ipv4 || has_ipv6);
}

static bool times_are_valid(const struct ike_config *c)
{
    return c->retransmit_first_us > 0 && c->retransmit_min_us > 0 &&
           c->retransmit_factor_percent >= 100 && c->establish_timeout_us > 0 &&
           c->half_open_timeout_us > 0 && c->request_timeout_us > 0 && c->close_timeout_us > 0 &&
           (c->fragment_len == 0 ||
            (c->fragment_len >= IKE_FRAGMENT_LEN_MIN && c->fragment_len <= IKE_FRAGMENT_LEN_MAX)) &&
           c->rekey_jitter_percent <= 50 && c->hard_percent >= 100 && c->rekey_retry_us > 0;
}

static bool peers_are_valid(const struct ike_config *c)
{
    for (size_t i = 0; i < c->peer_count; i++)
        if (ike_peer_entry_check(&c->peers[i]) != ERR_OK)
            return false;
    return c->identity != NULL || (c->peer_count > 0 && !c->takes_others);
}

int ike_profile_new(const struct ike_config *config, struct ike_profile **ret_profile)
{
    char name[NAME_TEXT_CAP];

    if (!peers_are_valid(config) || !algorithms_are_valid(config) ||
        !suites_are_valid(config->suites) || !times_are_valid(config))
        return ERR_INVALID;
    if (config->suites[0] != SUITE_NONE &&
        (!modes_are_valid(config) ||
         !(has_only_networks(config) || addresses_are_valid(&config->addresses))))
        return ERR_INVALID;
    if (config->id[0] != '\0' &&
        (name_normalize(config->id, name) != ERR_OK || strcmp(name, config->id) != 0))
        return ERR_INVALID;
    struct ike_profile *profile = (struct ike_profile *)calloc(1, sizeof(*profile));
    if (profile == NULL)
        return ERR_NOMEM;
    profile->config = *config;
    profile->references = 1;
    *ret_profile = profile;
    return ERR_OK;
}

struct ike_profile *ike_profile_share(struct ike_profile *profile)
{
    profile->references++;
    return profile;
}

void ike_profile_free(struct ike_profile *profile)
{
    if (profile == NULL || --profile->references > 0)
        return;
    crypto_wipe(&profile->config.met, sizeof(profile->config.met));
    free(profile);
}

const struct ike_config *ike_profile_config(const struct ike_profile *profile)
{
    return &profile->config;
}
