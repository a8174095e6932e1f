/* What [peer] sections name, read: proofs of ours and of the peer's, and from them the profiles of
 * IKE SAs. */
#include "host/plain_internal.h"

#include "crypto/memory.h"
#include "host/plain_terms.h"
#include "ike/credentials.h"
#include "io/file.h"
#include <stdlib.h>
#include <string.h>

#define FILE_CAP    (64 * 1024)
#define PSK_LEN_MIN 8
#define DEAD_US     (15 * SECOND_US) /* a request unanswered so long: the peer is gone */
#define CALL_US     (8 * SECOND_US)  /* for one try */
#define CALL_UDP_US (4 * SECOND_US)  /* where TCP is tried then */
#define DPD_US      (30 * SECOND_US)

/* A file as it is; none: data NULL. */
struct content {
    char *data;
    size_t len;
};

struct plain_proof {
    struct content psk, key, cert, ca, peer_key;
    struct signer *signer;
    struct chain *chain;
    struct anchors *anchors;
    struct verifier *verifier;
    struct ike_peer_entry entry; /* all of the above, as IKE takes it */
};

static void content_done(struct content *content)
{
    if (content->data != NULL)
        crypto_wipe(content->data, content->len);
    free(content->data);
}

void plain_proof_free(struct plain_proof *proof)
{
    if (proof == NULL)
        return;
    signer_free(proof->signer);
    chain_free(proof->chain);
    anchors_free(proof->anchors);
    verifier_free(proof->verifier);
    content_done(&proof->psk);
    content_done(&proof->key);
    content_done(&proof->cert);
    content_done(&proof->ca);
    content_done(&proof->peer_key);
    free(proof);
}

static bool content_is_equal(const struct content *a, const struct content *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

const struct ike_peer_entry *plain_proof_entry(const struct plain_proof *proof)
{
    return &proof->entry;
}

bool plain_proof_is_equal(const struct plain_proof *a, const struct plain_proof *b)
{
    return content_is_equal(&a->psk, &b->psk) && content_is_equal(&a->key, &b->key) &&
           content_is_equal(&a->cert, &b->cert) && content_is_equal(&a->ca, &b->ca) &&
           content_is_equal(&a->peer_key, &b->peer_key);
}

/* ---- reading ---- */

/* One section, for messages. */
struct section {
    const struct plain_config *config;
    const struct host_config *host;
};

static int complain(const struct section *section, const char *key, const char *file,
                    const char *what)
{
    log_error("%s:%u: [peer %.*s] %s: %s%s%s", section->host->file, section->config->line,
              (int)strcspn(section->config->name, "."), section->config->name, key, file,
              file[0] != '\0' ? ": " : "", what);
    return ERR_INVALID;
}

static int read_one(const struct section *section, const char *key, const char *file,
                    bool is_secret, struct content *ret_content)
{
    if (file[0] == '\0')
        return ERR_OK;
    int error = is_secret ? file_read_secret(file, FILE_CAP, &ret_content->data, &ret_content->len)
                          : file_read(file, FILE_CAP, &ret_content->data, &ret_content->len);
    if (error == ERR_REFUSED)
        return complain(section, key, file,
                        "others than its owner may read it, or it is somebody else's: chmod 600");
    return error == ERR_OK ? ERR_OK : complain(section, key, file, file_error_text(error));
}

static int read_psk(const struct section *section, struct content *psk)
{
    const struct plain_config *config = section->config;
    if (config->psk[0] != '\0') {
        psk->len = strlen(config->psk);
        psk->data = strdup(config->psk);
        return psk->data != NULL ? ERR_OK : ERR_NOMEM;
    }
    int error = read_one(section, "psk", config->psk_file, true, psk);
    if (error != ERR_OK || psk->data == NULL)
        return error;
    psk->len = strcspn(psk->data, "\r\n"); /* its first line */
    if (psk->len < PSK_LEN_MIN)
        return complain(section, "psk", config->psk_file,
                        "its first line is not a secret of at least 8 characters");
    return ERR_OK;
}

static enum plain_auth own_auth(const struct plain_config *config)
{
    return config->local_auth != PLAIN_AUTH_UNSET ? config->local_auth : config->auth;
}

static int read_files(const struct section *section, struct plain_proof *proof)
{
    const struct plain_config *config = section->config;
    const bool is_default = own_auth(config) == PLAIN_AUTH_PUBKEY && config->key_file[0] == '\0';
    int error = read_psk(section, &proof->psk);
    if (error == ERR_OK)
        error = read_one(section, "key", is_default ? section->host->key_file : config->key_file,
                         true, &proof->key);
    if (error == ERR_OK)
        error = read_one(section, "cert", config->cert_file, false, &proof->cert);
    if (error == ERR_OK)
        error = read_one(section, "ca", config->ca_file, false, &proof->ca);
    if (error == ERR_OK)
        error = read_one(section, "peer-key", config->peer_key_file, false, &proof->peer_key);
    return error;
}

static int parse_files(const struct section *section, struct plain_proof *proof)
{
    const struct plain_config *config = section->config;
    if (proof->key.data != NULL &&
        signer_from_pem(proof->key.data, proof->key.len, &proof->signer) != ERR_OK)
        return complain(section, "key", config->key_file,
                        "not a private key in PEM (Ed25519, ECDSA, or RSA from 2048 bits)");
    if (proof->cert.data != NULL &&
        chain_from_pem(proof->cert.data, proof->cert.len, &proof->chain) != ERR_OK)
        return complain(section, "cert", config->cert_file, "not one to five certificates in PEM");
    if (proof->ca.data != NULL &&
        anchors_from_pem(proof->ca.data, proof->ca.len, &proof->anchors) != ERR_OK)
        return complain(section, "ca", config->ca_file, "not one to 16 certificates in PEM");
    if (proof->peer_key.data != NULL &&
        verifier_from_pem(proof->peer_key.data, proof->peer_key.len, &proof->verifier) != ERR_OK)
        return complain(section, "peer-key", config->peer_key_file,
                        "not a public key in PEM (Ed25519, ECDSA, or RSA from 2048 bits)");
    return ERR_OK;
}

static enum ike_proof proof_of(enum plain_auth auth)
{
    switch (auth) {
    case PLAIN_AUTH_PUBKEY:
        return IKE_PROOF_KEY;
    case PLAIN_AUTH_CERT:
        return IKE_PROOF_CERT;
    case PLAIN_AUTH_NULL:
        return IKE_PROOF_NULL;
    case PLAIN_AUTH_PSK:
    case PLAIN_AUTH_UNSET:
        break;
    }
    return IKE_PROOF_PSK;
}

static int build_entry(const struct section *section, struct plain_proof *proof)
{
    const struct plain_config *config = section->config;
    const enum plain_auth own = own_auth(config);
    struct ike_peer_entry *entry = &proof->entry;
    const char *local_id = config->local_id[0] != '\0' ? config->local_id : section->host->name;
    entry->lacks_streams = config->transport == PLAIN_TRANSPORT_UDP;
    entry->own.proof = proof_of(own);
    entry->own.signer = proof->signer;
    entry->own.chain = own == PLAIN_AUTH_CERT ? proof->chain : NULL;
    entry->expected.proofs = proof_of(config->auth);
    entry->expected.keys[0] = proof->verifier;
    entry->expected.anchors = proof->anchors;
    if (own == PLAIN_AUTH_PSK) {
        entry->own.psk = (const uint8_t *)proof->psk.data;
        entry->own.psk_len = proof->psk.len;
    }
    if (config->auth == PLAIN_AUTH_PSK) {
        entry->expected.psk = (const uint8_t *)proof->psk.data;
        entry->expected.psk_len = proof->psk.len;
    }
    if (own != PLAIN_AUTH_NULL && ike_name_parse(local_id, &entry->own.name) != ERR_OK)
        return complain(section, "local-id", local_id, "not an identity");
    if (config->id[0] != '\0' && ike_name_parse(config->id, &entry->expected.name) != ERR_OK)
        return complain(section, "id", config->id, "not an identity");
    if (own == PLAIN_AUTH_CERT && !chain_fits(proof->chain, signer_public(proof->signer)))
        return complain(section, "cert", config->cert_file, "it is not the key's");
    if (ike_peer_entry_check(entry) != ERR_OK)
        return complain(section, "auth", "", "something is missing for it");
    const char *why = config->ike_version == 1 ? plain_ikev1_check_entry(entry) : NULL;
    return why == NULL ? ERR_OK : complain(section, "ike-version", "", why);
}

int plain_proof_new(const struct plain_config *config, const struct host_config *host,
                    struct plain_proof **ret_proof)
{
    const struct section section = {config, host};
    struct plain_proof *proof = calloc(1, sizeof(*proof));
    if (proof == NULL)
        return ERR_NOMEM;
    int error = read_files(&section, proof);
    if (error == ERR_OK)
        error = parse_files(&section, proof);
    if (error == ERR_OK)
        error = build_entry(&section, proof);
    if (error != ERR_OK) {
        plain_proof_free(proof);
        return error;
    }
    *ret_proof = proof;
    return ERR_OK;
}

/* ---- profiles ---- */

/* All but who may call and be called, and the addresses. */
static int common_terms(const struct plain_peer *plain, struct ike_config *ret_config)
{
    const struct plain_config *config = &plain->config;
    const struct host *host = plain->host;
    enum kex_group pfs = KEX_NONE;
    ike_config_init(ret_config, NULL);
    int error = plain_terms_ike(config->ike, ret_config);
    if (error == ERR_OK)
        error = plain_terms_esp(config->esp, ret_config->suites, &pfs);
    ret_config->is_initial_contact = plain->peer == NULL || plain->peer->sa == NULL;
    ret_config->is_pfs_optional = pfs == KEX_NONE;
    ret_config->fragment_len = IKE_FRAGMENT_LEN;
    ret_config->forces_encapsulation = true;
    ret_config->nat_port = IKE_NAT_PORT;
    ret_config->has_beet_vendor = config->mode == PLAIN_MODE_BEET;
    ret_config->establish_timeout_us = CALL_US;
    ret_config->request_timeout_us = DEAD_US;
    ret_config->dpd_interval_us = config->dpd_us != 0 ? config->dpd_us : DPD_US;
    ret_config->rekey_ike_us = ret_config->rekey_child_us =
        config->rekey_us != 0 ? config->rekey_us : host->config.rekey_us;
    return error;
}

static enum child_mode mode_of(enum plain_mode mode)
{
    switch (mode) {
    case PLAIN_MODE_TRANSPORT:
        return CHILD_TRANSPORT;
    case PLAIN_MODE_BEET:
        return CHILD_BEET;
    case PLAIN_MODE_TUNNEL:
        break;
    }
    return CHILD_TUNNEL;
}

/* source, remote: of the path, for transport mode (RFC 7296, 2.23.1); NULL: the peer says them. */
static void child_terms(const struct plain_config *config, const struct address *source,
                        const struct address *remote, struct ike_config *ret_config)
{
    static const struct address any6 = {.family = ADDRESS_IPV6};
    const struct address any4 = address_from_ipv4(0);
    struct ike_addresses *a = &ret_config->addresses;
    ret_config->esp_modes[0] = mode_of(config->mode);
    ret_config->esp_mode_count = 1;
    if (config->mode == PLAIN_MODE_TRANSPORT && source != NULL) {
        if (source->family == ADDRESS_IPV6)
            *a = (struct ike_addresses){.own_ipv6 = *source, .other_ipv6 = *remote};
        else
            *a = (struct ike_addresses){.own_ipv4 = *source, .other_ipv4 = *remote};
        return;
    }
    if (config->mode == PLAIN_MODE_TRANSPORT) {
        *a = (struct ike_addresses){any4, any4, any6, any6};
        return;
    }
    *a = (struct ike_addresses){
        .own_ipv4 = plain_ts_address(&config->local_ts, ADDRESS_IPV4),
        .other_ipv4 = plain_ts_address(&config->remote_ts, ADDRESS_IPV4),
        .own_ipv6 = plain_ts_address(&config->local_ts, ADDRESS_IPV6),
        .other_ipv6 = plain_ts_address(&config->remote_ts, ADDRESS_IPV6),
    };
    if (plain_config_has_network(config)) {
        ret_config->selectors.own = plain_ts_selectors(&config->local_ts);
        ret_config->selectors.peer = plain_ts_selectors(&config->remote_ts);
    }
}

int plain_profile_call(struct plain_peer *plain, const struct address *source,
                       struct ike_profile **ret_profile)
{
    struct ike_config config;
    int error = common_terms(plain, &config);
    config.peers = &plain->proof->entry;
    config.peer_count = 1;
    /* There is another way to try, then. */
    if (plain->config.transport == PLAIN_TRANSPORT_AUTO && !endpoint_is_stream(&plain->remote))
        config.establish_timeout_us = CALL_UDP_US;
    child_terms(&plain->config, source, &plain->remote.address, &config);
    return error == ERR_OK ? ike_profile_new(&config, ret_profile) : error;
}

/* What an SA goes on with once this peer has proven itself. */
static int profile_of_caller(struct plain_peer *plain, struct ike_profile **ret_profile)
{
    struct ike_config config;
    int error = common_terms(plain, &config);
    config.peers = &plain->proof->entry;
    config.peer_count = 1;
    child_terms(&plain->config, NULL, NULL, &config);
    return error == ERR_OK ? ike_profile_new(&config, ret_profile) : error;
}

/* Until one of them has proven itself, an SA goes by the terms of all: what any of them may use. */
static void widen(struct ike_config *all, const struct ike_config *one)
{
#define WIDEN(list, count)                                                                         \
    for (size_t i = 0; i < (count) && one->list[i] != 0; i++) {                                    \
        size_t at = 0;                                                                             \
        while (at < (count) && all->list[at] != 0 && all->list[at] != one->list[i])                \
            at++;                                                                                  \
        if (at < (count))                                                                          \
            all->list[at] = one->list[i];                                                          \
    }
    all->has_beet_vendor |= one->has_beet_vendor;
    WIDEN(ciphers, IKE_CIPHER_COUNT)
    WIDEN(prfs, IKE_HASH_COUNT)
    WIDEN(integs, IKE_HASH_COUNT)
    WIDEN(groups, KEX_GROUP_COUNT)
}

int plain_profile_respond(struct plain *all, struct host *host, struct ike_profile **ret_profile)
{
    const struct plain_config *first = NULL;
    struct ike_config config;
    size_t count = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        struct plain_peer *plain = all->peers[i];
        struct ike_config one;
        if (plain->config.ike_version == 1)
            continue;
        int error = common_terms(plain, &one);
        if (count == 0)
            first = &plain->config;
        if (count == 0)
            config = one;
        else
            widen(&config, &one);
        all->entries[count] = plain->proof->entry;
        all->entries[count].user = plain;
        if (error == ERR_OK)
            error = profile_of_caller(plain, &all->entries[count].profile);
        if (error != ERR_OK)
            return error;
        count++;
    }
    if (count == 0)
        return ERR_OK;
    /* The child is the entry's matter. */
    child_terms(first, NULL, NULL, &config);
    config.peers = all->entries;
    config.peer_count = count;
    return ike_profile_new(&config, ret_profile);
}

struct peer *plain_adopt(struct host *host, struct ike_sa *sa,
                         const struct ike_event_established *established)
{
    struct plain_peer *plain = established->entry != NULL ? established->entry->user : NULL;
    if (plain == NULL || plain->peer == NULL)
        return NULL; /* its section has gone meanwhile */
    peer_take_sa(plain->peer, sa);
    return plain->peer;
}
