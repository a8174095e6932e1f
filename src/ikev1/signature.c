/* Signatures and certificates of Main Mode; see ikev1/signature.h. */
#include "ikev1/signature.h"
#include "wire/isakmp_sa.h"

#define CERTREQS_MAX 4 /* more CAs, and we ask for a certificate of any */

static const struct method {
    enum key_kind key;
    uint16_t value;
    enum signature_kind form;
    enum hash_algorithm hash; /* HASH_NONE: the one negotiated */
} methods[] = {
    {KEY_RSA, ISAKMP_AUTH_RSA, SIGNATURE_RSA_PKCS1, HASH_NONE},
    {KEY_ECDSA_P256, ISAKMP_AUTH_ECDSA_256, SIGNATURE_ECDSA_RAW, HASH_SHA256},
    {KEY_ECDSA_P384, ISAKMP_AUTH_ECDSA_384, SIGNATURE_ECDSA_RAW, HASH_SHA384},
    {KEY_ECDSA_P521, ISAKMP_AUTH_ECDSA_521, SIGNATURE_ECDSA_RAW, HASH_SHA512},
};

/* NULL: a shared key, or a key that there is no method for. */
static const struct method *method_of(const struct ikev1_config *config)
{
    for (size_t i = 0; config->signer != NULL && i < sizeof(methods) / sizeof(methods[0]); i++)
        if (methods[i].key == verifier_kind(signer_public(config->signer)))
            return &methods[i];
    return NULL;
}

uint16_t ikev1_signature_method(const struct ikev1_config *config)
{
    const struct method *method = method_of(config);

    if (config->signer == NULL)
        return ISAKMP_AUTH_PSK;
    return method != NULL ? method->value : 0;
}

enum hash_algorithm ikev1_signature_hash(const struct ikev1_config *config,
                                         enum hash_algorithm negotiated)
{
    const struct method *method = method_of(config);
    return method != NULL && method->hash != HASH_NONE ? method->hash : negotiated;
}

bool ikev1_signature_fits(const struct ikev1_config *config)
{
    size_t len, sum;

    /* A signature is no longer than the key: of RSA its modulus, of ECDSA two coordinates. */
    (void)verifier_spki(signer_public(config->signer), &len);
    sum = IKE_HEADER_LEN + 3 * IKE_PAYLOAD_HEADER_LEN + 4 + config->id.len + len;
    sum += 8 + ISAKMP_COOKIES_LEN + CBC_BLOCK_LEN; /* INITIAL-CONTACT, padding */
    for (size_t i = 0; i < chain_count(config->chain); i++) {
        (void)chain_der(config->chain, i, &len);
        sum += IKE_PAYLOAD_HEADER_LEN + 1 + len;
    }
    return sum <= IKEV1_MESSAGE_CAP;
}

static bool is_named(struct ikev1_profile *const *profiles, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (profiles[i]->config.anchors == profiles[index]->config.anchors)
            return true;
    return false;
}

void ikev1_signature_ask(struct ikev1_profile *const *profiles, size_t count, struct ike_builder *b)
{
    size_t total = 0, len;

    for (size_t i = 0; i < count; i++)
        if (profiles[i]->config.anchors != NULL && !is_named(profiles, i))
            total += anchors_count(profiles[i]->config.anchors);
    if (total > CERTREQS_MAX)
        isakmp_build_cert(b, ISAKMP_PAYLOAD_CERTREQ, IKE_CERT_X509_SIGNATURE, NULL, 0);
    if (total == 0 || total > CERTREQS_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        const struct anchors *anchors = profiles[i]->config.anchors;
        for (size_t j = 0; anchors != NULL && !is_named(profiles, i) && j < anchors_count(anchors);
             j++) {
            const uint8_t *name = anchors_subject(anchors, j, &len);
            isakmp_build_cert(b, ISAKMP_PAYLOAD_CERTREQ, IKE_CERT_X509_SIGNATURE, name, len);
        }
    }
}

int ikev1_signature_build(const struct ikev1_config *config, const uint8_t *hash, size_t hash_len,
                          struct ike_builder *b)
{
    const struct method *method = method_of(config);
    uint8_t signature[SIGNER_SIGNATURE_MAX];
    size_t len;

    if (method == NULL)
        return ERR_UNSUPPORTED;
    /* Asked for or not: who has no use for them skips them. */
    for (size_t i = 0; config->chain != NULL && i < chain_count(config->chain); i++) {
        const uint8_t *der = chain_der(config->chain, i, &len);
        isakmp_build_cert(b, ISAKMP_PAYLOAD_CERT, IKE_CERT_X509_SIGNATURE, der, len);
    }
    const int signature_len =
        signer_sign_digest(config->signer, method->form, hash, hash_len, signature);
    if (signature_len < 0)
        return signature_len;
    isakmp_build_payload(b, ISAKMP_PAYLOAD_SIGNATURE);
    writer_bytes(b->w, signature, (size_t)signature_len);
    return b->w->error;
}

/* The X.509 certificates of a message; -1: more than a chain may have. */
static int find_certificates(const struct ikev1_message *message, struct piece ders[CHAIN_MAX])
{
    struct isakmp_chain chain;
    struct ike_payload p;
    struct ike_cert cert;
    int count = 0;

    ikev1_message_walk(message, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type != ISAKMP_PAYLOAD_CERT || ike_cert_parse(p.body, p.len, &cert) != ERR_OK ||
            cert.encoding != IKE_CERT_X509_SIGNATURE)
            continue;
        if (count == CHAIN_MAX)
            return -1;
        ders[count++] = (struct piece){cert.data, cert.len};
    }
    return count;
}

/* ERR_AUTH: not this key's, which has to be of the kind that the method says. */
static int check_key(const struct ikev1_config *config, const struct verifier *key,
                     const struct ike_payload *signature, const uint8_t *hash, size_t hash_len,
                     const char **ret_why)
{
    const struct method *method = method_of(config);

    if (method == NULL || verifier_kind(key) != method->key) {
        *ret_why = "its key is of another kind than ours";
        return ERR_AUTH;
    }
    const int error =
        verifier_check_digest(key, method->form, hash, hash_len, signature->body, signature->len);
    if (error == ERR_AUTH)
        *ret_why = "its signature is not that of the key expected";
    return error;
}

int ikev1_signature_check(const struct ikev1_config *config, const struct ikev1_message *message,
                          const struct isakmp_id *id, const uint8_t *hash, size_t hash_len,
                          uint64_t now_s, const char **ret_why)
{
    struct certificate *certificate;
    struct piece ders[CHAIN_MAX];
    const struct verifier *key;

    if (message->signature.body == NULL) {
        *ret_why = "it has not signed";
        return ERR_AUTH;
    }
    if (config->peer_key != NULL)
        return check_key(config, config->peer_key, &message->signature, hash, hash_len, ret_why);
    const int count = find_certificates(message, ders);
    if (count <= 0) {
        *ret_why = count == 0 ? "it has sent no certificate" : "it has sent too many certificates";
        return ERR_AUTH;
    }
    int error = anchors_check(config->anchors, ders, (size_t)count, now_s, &certificate);
    if (error != ERR_OK) {
        *ret_why = "its certificate is of none of the CAs, not good now, or not for this use";
        return error;
    }
    if (!certificate_binds_id(certificate, id->type, id->data, id->len)) {
        *ret_why = "its certificate is not for the identity that it gives";
        error = ERR_AUTH;
    } else {
        error = certificate_key(certificate, &key);
        *ret_why = "its key is of no kind that is taken";
    }
    if (error == ERR_OK)
        error = check_key(config, key, &message->signature, hash, hash_len, ret_why);
    certificate_free(certificate);
    return error == ERR_UNSUPPORTED || error == ERR_INVALID ? ERR_AUTH : error;
}
