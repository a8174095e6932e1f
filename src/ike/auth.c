/* Signing and judging AUTH payloads; see ike/auth.h. */
#include "crypto/memory.h"
#include "ike/auth_internal.h"
#include "ike/resume.h"
#include <string.h>

/* AlgorithmIdentifier of Ed25519, OID 1.3.101.112 without parameters (RFC 8420, A), after its
 * length as RFC 7427, 3 has it. */
static const uint8_t signature_prefix[] = {7, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

bool ike_auth_is_possible(const struct ike_config *config, const struct ike_message *init)
{
    struct ike_handshake read = {.peer_hashes = 0};

    if (config->peer_count > 0)
        return true; /* which of them it is, and how it proves itself, is seen later */
    ike_auth_read_wishes(&read, init);
    return (read.peer_hashes & 1u << IKE_HASH_IDENTITY) != 0;
}

void ike_auth_build_hashes(const struct ike_config *config, struct ike_builder *b)
{
    static const uint8_t hashes[] = {0, IKE_HASH_SHA2_256, 0, IKE_HASH_SHA2_384,
                                     0, IKE_HASH_SHA2_512, 0, IKE_HASH_IDENTITY};
    const size_t skip = config->peer_count > 0 ? 0 : sizeof(hashes) - 2;

    ike_build_notify(b, IKE_NOTIFY_SIGNATURE_HASH_ALGORITHMS, hashes + skip, sizeof(hashes) - skip);
}

void ike_auth_read_wishes(struct ike_handshake *handshake, const struct ike_message *message)
{
    struct ike_chain chain = message->chain;
    struct ike_notify n;
    struct ike_cert request;
    struct reader r;

    while (ike_message_next_cert(&chain, IKE_PAYLOAD_CERTREQ, &request))
        handshake->wants_raw_key |= request.encoding == IKE_CERT_RAW_PUBLIC_KEY;
    if (!ike_message_find_notify(message, IKE_NOTIFY_SIGNATURE_HASH_ALGORITHMS, &n))
        return;
    reader_init(&r, n.data, n.len);
    while (reader_left(&r) > 0) {
        const uint16_t hash = reader_u16(&r);
        if (reader_is_ok(&r) && hash < 32)
            handshake->peer_hashes |= 1u << hash;
    }
}

/* Our IKE_SA_INIT message; the peer's: the first of those that it may be. */
static struct ike_answer init_message(const struct ike_handshake *h, bool is_initiators)
{
    return is_initiators ? (struct ike_answer){h->init_request, h->init_request_len}
                         : h->init_responses[0];
}

/* RealMessage | nonce of the other side | prf(SK_p, body of ID payload) (2.15), of the initiator's
 * or the responder's proof. */
static int signed_octets(const struct ike_generation *g, bool is_initiator,
                         const struct ike_answer *real_message, const void *id_body, size_t id_len,
                         struct ike_octets *ret_octets)
{
    const struct ike_handshake *h = g->handshake;
    bool is_ours = is_initiator == g->is_initiator;
    uint8_t maced_id[IKE_PRF_LEN_MAX];
    size_t key_len;
    const uint8_t *key = ike_keys_part(&g->keys, is_initiator ? IKE_SK_PI : IKE_SK_PR, &key_len);
    const struct piece piece = {id_body, id_len};
    struct writer w;

    int error = ike_keys_prf(&g->keys, key, key_len, &piece, 1, maced_id);
    if (error != ERR_OK)
        return error;
    writer_init(&w, ret_octets->bytes, sizeof(ret_octets->bytes));
    writer_bytes(&w, real_message->data, real_message->len);
    if (is_ours)
        writer_bytes(&w, h->peer_nonce, h->peer_nonce_len);
    else
        writer_bytes(&w, h->own_nonce, sizeof(h->own_nonce));
    writer_bytes(&w, maced_id, ike_keys_prf_len(&g->keys));
    crypto_wipe(maced_id, sizeof(maced_id));
    ret_octets->len = w.len;
    return w.error;
}

int ike_auth_own_octets(const struct ike_generation *g, const void *id_body, size_t id_len,
                        struct ike_octets *ret_octets)
{
    const struct ike_answer ours = init_message(g->handshake, g->is_initiator);
    return signed_octets(g, g->is_initiator, &ours, id_body, id_len, ret_octets);
}

int ike_auth_peer_octets(const struct ike_generation *g, const struct ike_payload *id, size_t index,
                         struct ike_octets *ret_octets)
{
    const struct ike_handshake *h = g->handshake;
    const struct ike_answer request = init_message(h, true);

    if (index >= (g->is_initiator ? h->init_response_count : 1))
        return ERR_NOT_FOUND;
    return signed_octets(g, !g->is_initiator,
                         g->is_initiator ? &h->init_responses[index] : &request, id->body, id->len,
                         ret_octets);
}

int ike_auth_shared(const struct ike_generation *g, const void *secret, size_t len,
                    const struct ike_octets *octets, uint8_t ret_auth[IKE_PRF_LEN_MAX])
{
    static const char pad[] = "Key Pad for IKEv2";
    const struct piece pad_piece = {pad, sizeof(pad) - 1};
    const struct piece piece = {octets->bytes, octets->len};
    uint8_t key[IKE_PRF_LEN_MAX];

    int error = ike_keys_prf(&g->keys, secret, len, &pad_piece, 1, key);
    if (error == ERR_OK)
        error = ike_keys_prf(&g->keys, key, ike_keys_prf_len(&g->keys), &piece, 1, ret_auth);
    crypto_wipe(key, sizeof(key));
    return error;
}

const uint8_t *ike_auth_null_secret(const struct ike_generation *g, bool is_initiators,
                                    size_t *ret_len)
{
    return ike_keys_part(&g->keys, is_initiators ? IKE_SK_PI : IKE_SK_PR, ret_len);
}

/* As a Detec host. */
static int build_own(struct ike_generation *g, struct ike_builder *b)
{
    const struct ike_config *config = ike_sa_config(g->sa);
    const struct public_key *key = identity_public(config->identity);
    bool has_name = config->id[0] != '\0';
    const void *id = has_name ? (const void *)config->id : key->bytes;
    size_t id_len = has_name ? strlen(config->id) : sizeof(key->bytes);
    uint8_t spki[PUBLIC_KEY_SPKI_LEN];
    uint8_t proof[sizeof(signature_prefix) + SIGNATURE_LEN];
    struct ike_octets octets;

    ike_build_id(b, g->is_initiator ? IKE_PAYLOAD_IDI : IKE_PAYLOAD_IDR,
                 has_name ? IKE_ID_FQDN : IKE_ID_KEY_ID, id, id_len);
    if (!writer_is_ok(b->w))
        return b->w->error;
    const uint8_t *id_body = b->w->base + b->payload_at + IKE_PAYLOAD_HEADER_LEN;
    int error = ike_auth_own_octets(g, id_body, 4 + id_len, &octets);
    if (error != ERR_OK)
        return error;
    if (g->handshake->resumed != NULL) {
        error = ike_resume_proof(g, g->is_initiator, octets.bytes, octets.len, proof);
        if (error != ERR_OK)
            return error;
        ike_build_auth(b, IKE_AUTH_SHARED_KEY, proof, IKE_PRF_LEN);
        return b->w->error;
    }
    memcpy(proof, signature_prefix, sizeof(signature_prefix));
    error =
        identity_sign(config->identity, octets.bytes, octets.len, proof + sizeof(signature_prefix));
    if (error != ERR_OK)
        return error;
    public_key_to_spki(key, spki);
    ike_build_cert(b, IKE_PAYLOAD_CERT, IKE_CERT_RAW_PUBLIC_KEY, spki, sizeof(spki));
    ike_build_auth(b, IKE_AUTH_DIGITAL_SIGNATURE, proof, sizeof(proof));
    return b->w->error;
}

int ike_auth_build(struct ike_generation *g, struct ike_builder *b)
{
    return g->sa->entry != NULL ? ike_prove(g, b) : build_own(g, b);
}

/* The key that the peer claims: from its CERT (RFC 7670), else the one configured for it. */
static bool claimed_key(const struct ike_config *config, const struct ike_message *message,
                        struct public_key *ret_key)
{
    struct ike_chain chain = message->chain;
    struct ike_cert cert;

    while (ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert))
        if (cert.encoding == IKE_CERT_RAW_PUBLIC_KEY)
            return public_key_from_spki(cert.data, cert.len, ret_key) == ERR_OK;
    if (!config->has_expected_key)
        return false;
    *ret_key = config->expected_key;
    return true;
}

/* The name in an ID payload; "" for types that hold none. false: malformed, or the key of another.
 */
static bool read_id(const struct ike_id *id, const struct public_key *key,
                    char ret_name[NAME_TEXT_CAP])
{
    char text[NAME_TEXT_CAP];

    ret_name[0] = '\0';
    if (id->type == IKE_ID_KEY_ID)
        return id->len == PUBLIC_KEY_LEN && crypto_is_equal(id->data, key->bytes, PUBLIC_KEY_LEN);
    if (id->type != IKE_ID_FQDN)
        return true;
    if (id->len >= sizeof(text) || memchr(id->data, '\0', id->len) != NULL)
        return false;
    memcpy(text, id->data, id->len);
    text[id->len] = '\0';
    return name_normalize(text, ret_name) == ERR_OK;
}

static const uint8_t *find_signature(const struct ike_auth *auth)
{
    if (auth->method != IKE_AUTH_DIGITAL_SIGNATURE ||
        auth->len != sizeof(signature_prefix) + SIGNATURE_LEN ||
        memcmp(auth->data, signature_prefix, sizeof(signature_prefix)) != 0)
        return NULL;
    return auth->data + sizeof(signature_prefix);
}

/* ERR_AUTH: signature is not the peer's proof, whichever of its answers is the genuine one. */
static int check_signature(const struct ike_generation *g, const struct public_key *key,
                           const struct ike_payload *id, const uint8_t *signature)
{
    struct ike_octets octets;
    int error;

    for (size_t i = 0; (error = ike_auth_peer_octets(g, id, i, &octets)) == ERR_OK; i++)
        if (public_key_verify(key, octets.bytes, octets.len, signature) == ERR_OK)
            return ERR_OK;
    return error == ERR_NOT_FOUND ? ERR_AUTH : error;
}

/* The same for an SA that began with a ticket: who knows the keys of the SA before is who it was
 * then, and has to give the same name. */
static int check_resumed(const struct ike_generation *g, const struct ike_payload *id_payload,
                         const struct ike_auth *auth, struct ike_auth_result *result)
{
    const struct ike_handshake *h = g->handshake;
    uint8_t proof[IKE_PRF_LEN];
    struct ike_octets octets;

    if (auth->method != IKE_AUTH_SHARED_KEY || auth->len != sizeof(proof))
        return ERR_AUTH;
    int error = ike_auth_peer_octets(g, id_payload, 0, &octets);
    if (error == ERR_OK)
        error = ike_resume_proof(g, !g->is_initiator, octets.bytes, octets.len, proof);
    if (error == ERR_OK && !crypto_is_equal(proof, auth->data, sizeof(proof)))
        error = ERR_AUTH;
    crypto_wipe(proof, sizeof(proof));
    if (error == ERR_OK)
        result->key = h->resumed->peer_key;
    return error;
}

/* ERR_AUTH: the proof is wrong. */
static int check_proof(const struct ike_generation *g, const struct ike_message *message,
                       const struct ike_payload *id_payload, const struct ike_auth *auth,
                       struct ike_auth_result *result)
{
    if (g->handshake->resumed != NULL)
        return check_resumed(g, id_payload, auth, result);
    const uint8_t *signature = find_signature(auth);
    if (signature == NULL || !claimed_key(ike_sa_config(g->sa), message, &result->key))
        return ERR_AUTH;
    return check_signature(g, &result->key, id_payload, signature);
}

int ike_auth_check(struct ike_generation *g, const struct ike_message *message,
                   struct ike_auth_result *ret_result)
{
    const struct ike_config *config = ike_sa_config(g->sa);
    const struct ike_payload *id_payload = g->is_initiator ? &message->id_r : &message->id_i;
    struct ike_id id;
    struct ike_auth auth;

    memset(ret_result, 0, sizeof(*ret_result));
    ret_result->reason = IKE_REASON_PEER_NOT_AUTHENTIC;
    if (id_payload->body == NULL || message->auth.body == NULL ||
        ike_id_parse(id_payload->body, id_payload->len, &id) != ERR_OK ||
        ike_auth_parse(message->auth.body, message->auth.len, &auth) != ERR_OK)
        return ERR_OK;
    if (config->peer_count > 0 && g->handshake->resumed == NULL) {
        const int judged = ike_judge(g, message, id_payload, &auth, ret_result);
        if (judged != ERR_OK || ret_result->entry != NULL || !config->takes_others)
            return judged;
        ret_result->reason = IKE_REASON_PEER_NOT_AUTHENTIC;
    }
    int error = check_proof(g, message, id_payload, &auth, ret_result);
    if (error != ERR_OK)
        return error == ERR_AUTH ? ERR_OK : error;
    if (config->has_expected_key && !public_key_is_equal(&ret_result->key, &config->expected_key)) {
        ret_result->reason = IKE_REASON_PEER_KEY;
        return ERR_OK;
    }
    if (!read_id(&id, &ret_result->key, ret_result->id) ||
        (config->expected_id[0] != '\0' && strcmp(config->expected_id, ret_result->id) != 0) ||
        (g->handshake->resumed != NULL &&
         strcmp(g->handshake->resumed->peer_id, ret_result->id) != 0)) {
        ret_result->reason = IKE_REASON_PEER_ID;
        return ERR_OK;
    }
    ret_result->reason = IKE_REASON_NONE;
    return ERR_OK;
}
