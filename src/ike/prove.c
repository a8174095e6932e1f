/* Our proof to a configured peer: ID, CERT and AUTH, and what we ask of its (RFC 7296, 2.15, 3.6
 * and 3.7; RFC 4754; RFC 7427; RFC 7619; RFC 7670). */
#include "crypto/memory.h"
#include "ike/auth_internal.h"
#include <string.h>

#define HASH_BIT(hash) (1u << (hash))

/* Of our signatures; ours_first: the hash that fits the key's strength. ERR_UNSUPPORTED. */
static int choose_form(enum key_kind kind, unsigned peer_hashes, struct signature_form *ret_form)
{
    static const struct {
        enum hash_algorithm hash;
        enum ike_hash_algorithm number;
    } hashes[] = {{HASH_SHA256, IKE_HASH_SHA2_256},
                  {HASH_SHA384, IKE_HASH_SHA2_384},
                  {HASH_SHA512, IKE_HASH_SHA2_512}};
    const size_t first = kind == KEY_ECDSA_P384 ? 1 : kind == KEY_ECDSA_P521 ? 2 : 0;

    if (kind == KEY_ED25519) {
        *ret_form = (struct signature_form){SIGNATURE_ED25519, HASH_NONE};
        return (peer_hashes & HASH_BIT(IKE_HASH_IDENTITY)) != 0 ? ERR_OK : ERR_UNSUPPORTED;
    }
    if (peer_hashes == 0 && kind != KEY_RSA) {
        /* RFC 4754: the curve tells the hash. */
        *ret_form = (struct signature_form){SIGNATURE_ECDSA_RAW, hashes[first].hash};
        return ERR_OK;
    }
    for (size_t i = 0; i < 3; i++) {
        const size_t at = (first + i) % 3;
        if ((peer_hashes & HASH_BIT(hashes[at].number)) == 0)
            continue;
        *ret_form = (struct signature_form){kind == KEY_RSA ? SIGNATURE_RSA_PSS : SIGNATURE_ECDSA,
                                            hashes[at].hash};
        return ERR_OK;
    }
    return ERR_UNSUPPORTED; /* RSA with SHA-1 (method 1) is not made */
}

static uint8_t raw_method(enum key_kind kind)
{
    return kind == KEY_ECDSA_P256   ? IKE_AUTH_ECDSA_256
           : kind == KEY_ECDSA_P384 ? IKE_AUTH_ECDSA_384
                                    : IKE_AUTH_ECDSA_521;
}

static int prove_key(const struct ike_generation *g, const struct ike_credentials *own,
                     const struct ike_octets *octets, struct ike_builder *b)
{
    const enum key_kind kind = verifier_kind(signer_public(own->signer));
    uint8_t proof[1 + SIGNATURE_NAME_CAP + SIGNER_SIGNATURE_MAX];
    uint8_t signature[SIGNER_SIGNATURE_MAX];
    struct signature_form form;

    const int error = choose_form(kind, g->handshake->peer_hashes, &form);
    if (error != ERR_OK)
        return error;
    const int len = signer_sign(own->signer, &form, octets->bytes, octets->len, signature);
    if (len < 0)
        return len;
    if (form.kind == SIGNATURE_ECDSA_RAW) {
        ike_build_auth(b, raw_method(kind), signature, (size_t)len);
        return b->w->error;
    }
    const int name_len = signature_form_build(&form, proof + 1);
    if (name_len < 0)
        return name_len;
    proof[0] = (uint8_t)name_len;
    memcpy(proof + 1 + name_len, signature, (size_t)len);
    ike_build_auth(b, IKE_AUTH_DIGITAL_SIGNATURE, proof, 1 + (size_t)name_len + (size_t)len);
    return b->w->error;
}

static int prove_secret(const struct ike_generation *g, const struct ike_credentials *own,
                        const struct ike_octets *octets, struct ike_builder *b)
{
    const bool is_null = own->proof == IKE_PROOF_NULL;
    uint8_t proof[IKE_PRF_LEN_MAX];
    size_t len = own->psk_len;
    const uint8_t *secret = is_null ? ike_auth_null_secret(g, g->is_initiator, &len) : own->psk;

    const int error = ike_auth_shared(g, secret, len, octets, proof);
    if (error != ERR_OK)
        return error;
    ike_build_auth(b, is_null ? IKE_AUTH_NULL : IKE_AUTH_SHARED_KEY, proof,
                   ike_keys_prf_len(&g->keys));
    return b->w->error;
}

/* A raw key goes along only where it is asked for: others don't know the encoding. */
static void build_certificates(const struct ike_generation *g, const struct ike_credentials *own,
                               struct ike_builder *b)
{
    size_t len;

    if (own->proof == IKE_PROOF_KEY && g->handshake->wants_raw_key) {
        const uint8_t *spki = verifier_spki(signer_public(own->signer), &len);
        ike_build_cert(b, IKE_PAYLOAD_CERT, IKE_CERT_RAW_PUBLIC_KEY, spki, len);
    }
    if (own->proof != IKE_PROOF_CERT)
        return;
    for (size_t i = 0; i < chain_count(own->chain); i++) {
        const uint8_t *der = chain_der(own->chain, i, &len);
        ike_build_cert(b, IKE_PAYLOAD_CERT, IKE_CERT_X509_SIGNATURE, der, len);
    }
}

int ike_prove(struct ike_generation *g, struct ike_builder *b)
{
    const struct ike_credentials *own = &g->sa->entry->own;
    const bool is_null = own->proof == IKE_PROOF_NULL && own->name.type == 0;
    struct ike_octets octets;

    ike_build_id(b, g->is_initiator ? IKE_PAYLOAD_IDI : IKE_PAYLOAD_IDR,
                 is_null ? IKE_ID_NULL : own->name.type, own->name.bytes, own->name.len);
    if (!writer_is_ok(b->w))
        return b->w->error;
    const uint8_t *id_body = b->w->base + b->payload_at + IKE_PAYLOAD_HEADER_LEN;
    const int error = ike_auth_own_octets(g, id_body, 4 + (size_t)own->name.len, &octets);
    if (error != ERR_OK)
        return error;
    build_certificates(g, own, b);
    if (own->proof == IKE_PROOF_KEY || own->proof == IKE_PROOF_CERT)
        return prove_key(g, own, &octets, b);
    return prove_secret(g, own, &octets, b);
}

static void ask_certificates(const struct ike_expected *expected, struct ike_builder *b)
{
    uint8_t hashes[ANCHORS_HASHES_MAX];

    if ((expected->proofs & IKE_PROOF_CERT) == 0)
        return;
    const int len = anchors_hashes(expected->anchors, hashes);
    if (len > 0)
        ike_build_cert(b, IKE_PAYLOAD_CERTREQ, IKE_CERT_X509_SIGNATURE, hashes, (size_t)len);
}

/* As initiators of the one peer, as responders of all, once each. */
void ike_auth_build_requests(const struct ike_config *config, struct ike_builder *b)
{
    unsigned proofs = 0;

    if (config->peer_count == 0 || config->takes_others) {
        ike_build_cert(b, IKE_PAYLOAD_CERTREQ, IKE_CERT_RAW_PUBLIC_KEY, NULL, 0);
        proofs |= IKE_PROOF_KEY;
    }
    for (size_t i = 0; i < config->peer_count; i++) {
        const struct ike_expected *expected = &config->peers[i].expected;
        bool is_known = false;
        for (size_t j = 0; j < i; j++)
            is_known |= config->peers[j].expected.anchors == expected->anchors;
        /* An initiator asks in IKE_AUTH, which may be long; a responder in IKE_SA_INIT. */
        if (!is_known && (config->peer_count == 1 || b->w->len < IKE_INIT_LEN_MAX / 2))
            ask_certificates(expected, b);
        if ((expected->proofs & ~proofs & IKE_PROOF_KEY) != 0)
            ike_build_cert(b, IKE_PAYLOAD_CERTREQ, IKE_CERT_RAW_PUBLIC_KEY, NULL, 0);
        proofs |= expected->proofs;
    }
}

int ike_peer_entry_check(const struct ike_peer_entry *entry)
{
    const struct ike_credentials *own = &entry->own;
    const struct ike_expected *expected = &entry->expected;
    const unsigned known = IKE_PROOF_KEY | IKE_PROOF_CERT | IKE_PROOF_PSK | IKE_PROOF_NULL;
    bool is_good = false;

    switch (own->proof) {
    case IKE_PROOF_KEY:
        is_good = own->signer != NULL;
        break;
    case IKE_PROOF_CERT:
        is_good = own->signer != NULL && own->chain != NULL &&
                  chain_fits(own->chain, signer_public(own->signer));
        break;
    case IKE_PROOF_PSK:
        is_good = own->psk != NULL && own->psk_len > 0;
        break;
    case IKE_PROOF_NULL:
        is_good = true;
        break;
    }
    if (!is_good || (own->name.type == 0 && own->proof != IKE_PROOF_NULL) ||
        own->name.len > IKE_NAME_LEN_MAX || expected->name.len > IKE_NAME_LEN_MAX)
        return ERR_INVALID;
    if (expected->proofs == 0 || (expected->proofs & ~known) != 0 ||
        ((expected->proofs & IKE_PROOF_KEY) != 0 && expected->keys[0] == NULL) ||
        ((expected->proofs & IKE_PROOF_CERT) != 0 && expected->anchors == NULL) ||
        ((expected->proofs & IKE_PROOF_PSK) != 0 &&
         (expected->psk == NULL || expected->psk_len == 0)))
        return ERR_INVALID;
    return ERR_OK;
}
