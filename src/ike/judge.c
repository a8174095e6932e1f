/* The proof of a peer, and which of the configured ones it is: by its ID and the one that it wants,
 * then by what it can prove. Nothing that it says of itself counts before. */
#include "crypto/memory.h"
#include "ike/auth_internal.h"
#include <string.h>

#define ENTRIES_MAX 16 /* whose credentials one proof is tried with */

/* What a proof consists of. */
struct proof {
    const struct ike_generation *g;
    const struct ike_message *message;
    const struct ike_payload *id_payload;
    struct ike_name name;
    uint8_t method;
    const uint8_t *data; /* of AUTH, the algorithm's name taken off */
    size_t len;
    struct signature_form form;
};

/* ERR_AUTH: an ID or a method that we don't know. */
static int read_proof(const struct ike_payload *id_payload, const struct ike_auth *auth,
                      struct proof *proof)
{
    static const struct signature_form raw[] = {
        {SIGNATURE_ECDSA_RAW, HASH_SHA256},
        {SIGNATURE_ECDSA_RAW, HASH_SHA384},
        {SIGNATURE_ECDSA_RAW, HASH_SHA512},
    };
    struct ike_id id;

    if (ike_id_parse(id_payload->body, id_payload->len, &id) != ERR_OK ||
        id.len > IKE_NAME_LEN_MAX || id.type == 0)
        return ERR_AUTH;
    proof->name = (struct ike_name){.type = id.type, .len = (uint16_t)id.len};
    if (id.len > 0)
        memcpy(proof->name.bytes, id.data, id.len);
    proof->method = auth->method;
    proof->data = auth->data;
    proof->len = auth->len;
    switch (auth->method) {
    case IKE_AUTH_SHARED_KEY:
    case IKE_AUTH_NULL:
        return ERR_OK;
    case IKE_AUTH_ECDSA_256:
    case IKE_AUTH_ECDSA_384:
    case IKE_AUTH_ECDSA_521:
        proof->form = raw[auth->method - IKE_AUTH_ECDSA_256];
        return ERR_OK;
    case IKE_AUTH_DIGITAL_SIGNATURE:
        break;
    default:
        return ERR_AUTH; /* method 1, RSA with SHA-1, among them */
    }
    if (auth->len < 1 || (size_t)1 + auth->data[0] > auth->len ||
        signature_form_parse(auth->data + 1, auth->data[0], &proof->form) != ERR_OK)
        return ERR_AUTH;
    proof->data += 1 + auth->data[0];
    proof->len -= (size_t)1 + auth->data[0];
    return ERR_OK;
}

/* Curves and hashes belong together in the old methods (RFC 4754). */
static bool fits_method(const struct proof *p, const struct verifier *key)
{
    const enum key_kind kind = verifier_kind(key);

    switch (p->method) {
    case IKE_AUTH_ECDSA_256:
        return kind == KEY_ECDSA_P256;
    case IKE_AUTH_ECDSA_384:
        return kind == KEY_ECDSA_P384;
    case IKE_AUTH_ECDSA_521:
        return kind == KEY_ECDSA_P521;
    default:
        return true;
    }
}

/* ERR_AUTH: the signature is not this key's, whichever of the peer's answers is the genuine one. */
static int check_signature(const struct proof *p, const struct verifier *key)
{
    struct ike_octets octets;
    int error;

    if (!fits_method(p, key))
        return ERR_AUTH;
    for (size_t i = 0; (error = ike_auth_peer_octets(p->g, p->id_payload, i, &octets)) == ERR_OK;
         i++) {
        error = verifier_check(key, &p->form, octets.bytes, octets.len, p->data, p->len);
        if (error != ERR_AUTH)
            return error;
    }
    return error == ERR_NOT_FOUND ? ERR_AUTH : error;
}

static int check_secret(const struct proof *p, const uint8_t *secret, size_t secret_len)
{
    uint8_t expected[IKE_PRF_LEN_MAX];
    struct ike_octets octets;
    int error;

    if (p->len != ike_keys_prf_len(&p->g->keys))
        return ERR_AUTH;
    for (size_t i = 0; (error = ike_auth_peer_octets(p->g, p->id_payload, i, &octets)) == ERR_OK;
         i++) {
        error = ike_auth_shared(p->g, secret, secret_len, &octets, expected);
        const bool is_equal = error == ERR_OK && crypto_is_equal(expected, p->data, p->len);
        crypto_wipe(expected, sizeof(expected));
        if (error != ERR_OK || is_equal)
            return error;
    }
    return error == ERR_NOT_FOUND ? ERR_AUTH : error;
}

static int check_certificates(const struct proof *p, const struct anchors *anchors)
{
    struct ike_chain chain = p->message->chain;
    struct piece ders[CHAIN_MAX];
    struct certificate *certificate;
    const struct verifier *key;
    struct ike_cert cert;
    size_t count = 0;

    while (ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert)) {
        if (cert.encoding != IKE_CERT_X509_SIGNATURE)
            continue;
        if (count == CHAIN_MAX)
            return ERR_AUTH;
        ders[count++] = (struct piece){cert.data, cert.len};
    }
    int error = anchors_check(anchors, ders, count, p->g->sa->table->wall_s, &certificate);
    if (error != ERR_OK)
        return error;
    /* It has to bind the name that the peer gives (RFC 4945, 3). */
    error = certificate_binds_id(certificate, p->name.type, p->name.bytes, p->name.len)
                ? certificate_key(certificate, &key)
                : ERR_AUTH;
    if (error == ERR_OK)
        error = check_signature(p, key);
    certificate_free(certificate);
    return error == ERR_UNSUPPORTED || error == ERR_INVALID ? ERR_AUTH : error;
}

static int check_keys(const struct proof *p, const struct ike_expected *expected)
{
    for (size_t i = 0; i < IKE_KEYS_MAX && expected->keys[i] != NULL; i++) {
        const int error = check_signature(p, expected->keys[i]);
        if (error != ERR_AUTH)
            return error;
    }
    return ERR_AUTH;
}

/* ERR_AUTH: this peer's credentials do not lead to this proof. */
static int check_entry(const struct proof *p, const struct ike_expected *expected)
{
    size_t len;
    int error = ERR_AUTH;

    if (p->method == IKE_AUTH_SHARED_KEY)
        return (expected->proofs & IKE_PROOF_PSK) != 0
                   ? check_secret(p, expected->psk, expected->psk_len)
                   : ERR_AUTH;
    if (p->method == IKE_AUTH_NULL) {
        const uint8_t *secret = ike_auth_null_secret(p->g, !p->g->is_initiator, &len);
        return (expected->proofs & IKE_PROOF_NULL) != 0 ? check_secret(p, secret, len) : ERR_AUTH;
    }
    if ((expected->proofs & IKE_PROOF_KEY) != 0)
        error = check_keys(p, expected);
    if (error == ERR_AUTH && (expected->proofs & IKE_PROOF_CERT) != 0)
        error = check_certificates(p, expected->anchors);
    return error;
}

/* Whom the initiator wants to talk to, where it says so. */
static bool is_wanted(const struct proof *p, const struct ike_credentials *own)
{
    const struct ike_payload *id_r = &p->message->id_r;
    struct ike_name wanted;
    struct ike_id id;

    if (p->g->is_initiator || id_r->body == NULL)
        return true;
    if (ike_id_parse(id_r->body, id_r->len, &id) != ERR_OK || id.len > IKE_NAME_LEN_MAX)
        return false;
    if (id.type == IKE_ID_NULL)
        return true;
    wanted = (struct ike_name){.type = id.type, .len = (uint16_t)id.len};
    if (id.len > 0)
        memcpy(wanted.bytes, id.data, id.len);
    return ike_name_is_equal(&wanted, &own->name);
}

static bool is_candidate(const struct proof *p, const struct ike_peer_entry *entry, bool by_name)
{
    const struct ike_name *name = &entry->expected.name;

    if (by_name ? !ike_name_is_equal(name, &p->name) : name->type != 0)
        return false;
    if (entry->lacks_streams && endpoint_is_stream(&p->g->sa->remote))
        return false;
    return is_wanted(p, &entry->own);
}

/* Those configured by this very name go before those that take any. */
static int find_entry(const struct proof *p, struct ike_auth_result *result)
{
    const struct ike_config *config = ike_sa_config(p->g->sa);
    size_t tried = 0;

    result->reason = IKE_REASON_PEER_ID;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < config->peer_count && tried < ENTRIES_MAX; i++) {
            if (!is_candidate(p, &config->peers[i], pass == 0))
                continue;
            tried++;
            result->reason = IKE_REASON_PEER_NOT_AUTHENTIC;
            const int error = check_entry(p, &config->peers[i].expected);
            if (error == ERR_OK) {
                result->entry = &config->peers[i];
                result->reason = IKE_REASON_NONE;
            }
            if (error != ERR_AUTH)
                return error;
        }
    }
    return ERR_OK;
}

int ike_judge(struct ike_generation *g, const struct ike_message *message,
              const struct ike_payload *id_payload, const struct ike_auth *auth,
              struct ike_auth_result *result)
{
    struct proof proof = {.g = g, .message = message, .id_payload = id_payload};
    char text[IKE_NAME_TEXT_CAP];

    if (read_proof(id_payload, auth, &proof) != ERR_OK)
        return ERR_OK; /* result says already that it is not authentic */
    const int error = find_entry(&proof, result);
    if (error != ERR_OK || result->entry == NULL)
        return error;
    ike_name_format(&proof.name, text);
    memcpy(result->id, text, sizeof(result->id) - 1);
    return ERR_OK;
}
