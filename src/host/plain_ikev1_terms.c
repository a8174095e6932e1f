/* What a [peer] section with `ike-version = 1` says, as a profile of the engine. */
#include "host/plain_ikev1_internal.h"

#include "crypto/memory.h"
#include "host/plain_terms.h"
#include <string.h>

#define CALL_US       (15 * SECOND_US)
#define DEAD_US       (10 * SECOND_US)
#define DPD_US        (30 * SECOND_US)
#define RETRANSMIT_US (500 * MS_US)

/* Old peers may know no better one. */
static void add_old_group(struct ike_config *terms)
{
    size_t count = 0;
    while (count + 1 < KEX_GROUP_COUNT && terms->groups[count] != KEX_NONE)
        count++;
    if (terms->groups[count] == KEX_NONE)
        terms->groups[count] = KEX_MODP2048;
}

/* Every cipher, hash and group that the list has, as far as there is room. */
static int read_ike(const char *text, struct ikev1_config *config)
{
    struct ike_config terms;
    size_t count = 0;
    ike_config_init(&terms, NULL);
    if (text[0] == '\0')
        return ERR_OK; /* the engine's own, in fewer combinations */
    if (plain_terms_ike(text, &terms) != ERR_OK)
        return ERR_INVALID;
    if (!plain_terms_has_group(text))
        add_old_group(&terms);
    memset(config->proposals, 0, sizeof(config->proposals));
    for (size_t g = 0; g < KEX_GROUP_COUNT && terms.groups[g] != KEX_NONE; g++)
        for (size_t c = 0; c < IKE_CIPHER_COUNT && terms.ciphers[c] != IKE_CIPHER_NONE; c++)
            for (size_t h = 0; h < IKE_HASH_COUNT && terms.prfs[h] != HASH_NONE; h++) {
                const bool is_256 = terms.ciphers[c] == IKE_CIPHER_AES256_CBC;
                if ((!is_256 && terms.ciphers[c] != IKE_CIPHER_AES128_CBC) ||
                    count == IKEV1_PROPOSALS_MAX)
                    continue;
                config->proposals[count++] =
                    (struct ikev1_proposal){is_256 ? 32 : 16, terms.prfs[h], terms.groups[g]};
            }
    return count > 0 ? ERR_OK : ERR_INVALID;
}

static int read_esp(const char *text, struct ikev1_config *config)
{
    enum suite suites[SUITE_COUNT] = {SUITE_NONE};
    size_t count = 0;
    if (plain_terms_esp(text, suites, &config->pfs) != ERR_OK)
        return ERR_INVALID;
    memset(config->suites, 0, sizeof(config->suites));
    for (size_t i = 0; i < SUITE_COUNT && suites[i] != SUITE_NONE; i++)
        if (suites[i] != ESP_CHACHA20_POLY1305 && count < IKEV1_SUITES_MAX)
            config->suites[count++] = suites[i];
    return count > 0 ? ERR_OK : ERR_INVALID;
}

static int complain(const struct plain_config *config, const char *file, const char *what,
                    FILE *report)
{
    fprintf(report, "%s:%u: [peer %.*s] %s\n", file, config->line, (int)strcspn(config->name, "."),
            config->name, what);
    return ERR_INVALID;
}

int plain_ikev1_check(const struct plain_config *config, const char *file, FILE *report)
{
    const enum plain_auth local =
        config->local_auth != PLAIN_AUTH_UNSET ? config->local_auth : config->auth;
    struct ikev1_config terms;
    ikev1_config_init(&terms);
    if (config->auth == PLAIN_AUTH_NULL || local == PLAIN_AUTH_NULL)
        return complain(config, file, "auth: with ike-version = 1 psk, pubkey or cert is allowed",
                        report);
    if ((config->auth == PLAIN_AUTH_PSK) != (local == PLAIN_AUTH_PSK))
        return complain(config, file,
                        "local-auth: in IKEv1 psk is for both sides, or for none of them", report);
    if (config->mode == PLAIN_MODE_BEET)
        return complain(config, file, "mode: IKEv1 knows tunnel and transport, not beet", report);
    if (config->local_ts.count > 1 || config->remote_ts.count > 1 ||
        plain_ts_has_family(&config->local_ts, ADDRESS_IPV6) ||
        plain_ts_has_family(&config->remote_ts, ADDRESS_IPV6))
        return complain(config, file, "local-ts, remote-ts: with IKEv1 one each, of IPv4", report);
    if (read_ike(config->ike, &terms) != ERR_OK)
        return complain(config, file, "ike: IKEv1 needs one of aes256-cbc, aes128-cbc", report);
    if (read_esp(config->esp, &terms) != ERR_OK)
        return complain(config, file, "esp: nothing that IKEv1 can negotiate", report);
    return ERR_OK;
}

static void set_id(const struct ike_name *name, struct ikev1_id *ret_id)
{
    *ret_id = (struct ikev1_id){.type = name->type};
    if (name->type != 0 && name->len <= sizeof(ret_id->bytes)) {
        ret_id->len = name->len;
        memcpy(ret_id->bytes, name->bytes, name->len);
    }
}

static int set_proof(const struct ike_peer_entry *entry, struct ikev1_config *config)
{
    set_id(&entry->own.name, &config->id);
    set_id(&entry->expected.name, &config->peer_id);
    if (entry->own.proof == IKE_PROOF_PSK) {
        if (entry->expected.psk_len > sizeof(config->psk))
            return ERR_LIMIT;
        memcpy(config->psk, entry->expected.psk, entry->expected.psk_len);
        config->psk_len = entry->expected.psk_len;
        return ERR_OK;
    }
    config->signer = entry->own.signer;
    config->chain = entry->own.chain;
    if ((entry->expected.proofs & IKE_PROOF_KEY) != 0)
        config->peer_key = entry->expected.keys[0];
    else
        config->anchors = entry->expected.anchors;
    return ERR_OK;
}

const char *plain_ikev1_check_entry(const struct ike_peer_entry *entry)
{
    struct ikev1_config config;
    ikev1_config_init(&config);
    const int error = set_proof(entry, &config);
    const char *why = error != ERR_OK         ? "psk: longer than 256 characters"
                      : config.signer != NULL ? ikev1_config_check_keys(&config)
                                              : NULL;
    crypto_wipe(&config, sizeof(config));
    return why;
}

static void set_child(const struct plain_peer *plain, const struct address *source,
                      const struct address *remote, struct ikev1_config *config)
{
    const struct plain_config *section = &plain->config;
    if (section->mode == PLAIN_MODE_TRANSPORT) {
        config->mode = CHILD_TRANSPORT;
        config->addresses = (struct ikev1_addresses){*source, *remote};
        return;
    }
    config->mode = CHILD_TUNNEL;
    config->selectors.local = section->local_ts.list[0];
    config->selectors.remote = section->remote_ts.list[0];
}

int plain_ikev1_prepare(struct plain_peer *plain, const struct address *source,
                        const struct address *remote)
{
    const struct plain_config *section = &plain->config;
    const struct host_config *host = &plain->host->config;
    struct plain_ikev1 *own = &plain->ikev1;
    struct ikev1_profile *profile;
    struct ikev1_config config;
    if (own->profile != NULL && address_is_equal(&own->source, source) &&
        address_is_equal(&own->remote, remote))
        return ERR_OK;
    ikev1_config_init(&config);
    int error = read_ike(section->ike, &config);
    if (error == ERR_OK)
        error = read_esp(section->esp, &config);
    if (error == ERR_OK)
        error = set_proof(plain_proof_entry(plain->proof), &config);
    set_child(plain, source, remote, &config);
    config.local = (struct endpoint){
        .address = *source,
        .port = section->port == IKE_PORT ? host->ike_port : host->ike_nat_port,
    };
    config.nat_socket = HOST_SOCKET_NAT;
    config.is_initial_contact = true;
    config.retransmit_first_us = RETRANSMIT_US;
    config.establish_timeout_us = CALL_US;
    config.request_timeout_us = DEAD_US;
    config.dpd_interval_us = section->dpd_us != 0 ? section->dpd_us : DPD_US;
    config.rekey_us = config.rekey_child_us =
        section->rekey_us != 0 ? section->rekey_us : host->rekey_us;
    if (error == ERR_OK)
        error = ikev1_profile_new(&config, &profile);
    crypto_wipe(&config, sizeof(config));
    if (error != ERR_OK)
        return error;
    ikev1_profile_free(own->profile);
    own->profile = profile;
    own->source = *source;
    own->remote = *remote;
    return ERR_OK;
}
