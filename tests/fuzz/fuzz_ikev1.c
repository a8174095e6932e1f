/* The IKEv1 engine: strangers' messages, and behind its encryption what an authentic peer gone mad
 * may send. The first byte says which, the second varies it, the rest is the message, or the
 * payloads (behind the type of the first) that are proven by a HASH and sealed. */
#include "fuzz.h"

#include <string.h>

#include "ikev1/message.h"

enum stage {
    STAGE_STRANGER, /* a whole message to a responder */
    STAGE_CLEAR_2,  /* payloads of message 2 */
    STAGE_CLEAR_3,  /* and so on */
    STAGE_CLEAR_4,
    STAGE_PROOF,        /* sealed payloads of message 5 */
    STAGE_QUICK,        /* sealed and proven: a Quick Mode that begins */
    STAGE_QUICK_ANSWER, /* message 2 of one that was begun */
    STAGE_INFORMATIONAL,
    STAGE_SIGNED_KEYS,   /* with signatures: payloads of message 3, */
    STAGE_SIGNED_PROOF,  /* sealed ones of message 5, */
    STAGE_SIGNED_ANSWER, /* and of message 6 */
    STAGE_COUNT,
};

#define NOW_S 1767225600u /* 2026: the certificates of the seeds are good */

/* tests/pki/p256.key and ca.pem. */
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1Y7OUU6gHifFaFQH\n"
                              "69itWqdDAinIAT/Av4kFi+PVJiKhRANCAARs4LvQjCVDiyjUXTAgeVBzDFIxANYL\n"
                              "iE2X84UdSJ49xuhTMnb7uLkX+JZ8c/kAdSNFpuEgedFFEGq2jaKk4Asy\n"
                              "-----END PRIVATE KEY-----\n";
static const char ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBYzCCAQmgAwIBAgIUNxUoefSdlCAfnOPoVm5iXz3KsFYwCgYIKoZIzj0EAwIw\n"
                             "HzEQMA4GA1UECgwHRXhhbXBsZTELMAkGA1UEAwwCY2EwHhcNMjAwMTAxMDAwMDAw\n"
                             "WhcNNDAwMTAxMDAwMDAwWjAfMRAwDgYDVQQKDAdFeGFtcGxlMQswCQYDVQQDDAJj\n"
                             "YTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABF67oWWA9vx/5RSReST407661X0M\n"
                             "l81AHmO0UsPEbHSHruP3q1CzJAByJC+KiEZGwIdZZR8GOumY4m52UrgjuRCjIzAh\n"
                             "MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0gA\n"
                             "MEUCIQDd+V7IFegsg+80WZNL34EFTDgsWW7hs6iMtVNhsggy9AIgB2tZ0p/E+7tQ\n"
                             "AdCeicF++h/MfNfRGQFXKW4pLjEy88o=\n"
                             "-----END CERTIFICATE-----\n";

static struct signer *signer;
static struct anchors *anchors;

struct side {
    struct ikev1_table *table;
    struct ikev1_profile *profile;
    struct ikev1_sa *sa;
    struct endpoint endpoint;
};

/* Both sign; the initiator expects a key, the responder a certificate. */
static void sign(struct ikev1_config *config, uint8_t last_byte)
{
    if (signer == NULL) {
        must(signer_from_pem(key_pem, sizeof(key_pem) - 1, &signer) == 0);
        must(anchors_from_pem(ca_pem, sizeof(ca_pem) - 1, &anchors) == 0);
    }
    config->psk_len = 0;
    config->signer = signer;
    config->peer_id =
        (struct ikev1_id){.type = ISAKMP_ID_FQDN, .len = 16, .bytes = "gate.example.net"};
    if (last_byte == 1)
        config->peer_key = signer_public(signer);
    else
        config->anchors = anchors;
}

static void side_init(struct side *side, uint8_t last_byte, bool is_signed)
{
    struct ikev1_table_limits limits;
    struct ikev1_config config;

    memset(side, 0, sizeof(*side));
    side->endpoint.address = address_from_ipv4(0xc0000200u + last_byte);
    side->endpoint.port = 4500;
    ikev1_table_limits_init(&limits);
    ikev1_config_init(&config);
    config.id = (struct ikev1_id){.type = ISAKMP_ID_FQDN, .len = 1, .bytes = "x"};
    config.psk_len = 16;
    config.mode = last_byte == 1 ? CHILD_TUNNEL : config.mode;
    config.selectors.local.address.family = config.selectors.remote.address.family = ADDRESS_IPV4;
    if (is_signed)
        sign(&config, last_byte);
    must(ikev1_table_new(&limits, &side->table) == 0);
    ikev1_table_set_time(side->table, NOW_S);
    must(ikev1_profile_new(&config, &side->profile) == 0);
}

static void side_done(struct side *side)
{
    ikev1_table_free(side->table);
    ikev1_profile_free(side->profile);
}

static void drain(struct side *side)
{
    struct ikev1_event event;

    do {
        ikev1_table_next_event(side->table, &event);
        if (event.type == IKEV1_EVENT_ESTABLISHED)
            side->sa = event.sa;
        if (event.type == IKEV1_EVENT_CHILD_READY)
            must(event.child_ready.key_len == suite_key_len(event.child_ready.suite));
        if (event.type == IKEV1_EVENT_REFUSED)
            must(memchr(event.refused.text, 0, sizeof(event.refused.text)) != NULL);
        if (event.type == IKEV1_EVENT_CLOSED) {
            if (side->sa == event.sa)
                side->sa = NULL;
            ikev1_sa_free(event.sa);
        }
    } while (event.type != IKEV1_EVENT_NONE);
}

static void receive(struct side *side, const struct side *from, const uint8_t *bytes, size_t len)
{
    uint8_t out[IKEV1_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;

    (void)!ikev1_table_receive(side->table, &side->profile, 1, bytes, len, &from->endpoint, 1);
    do {
        writer_init(&w, out, sizeof(out));
    } while (ikev1_table_transmit(side->table, &w, &remote) == 0);
    drain(side);
    must(ikev1_table_count(side->table) <= 1);
    must(ikev1_table_half_open_count(side->table) <= 1);
}

/* What one side has to send next goes to the other. */
static void carry(struct side *from, struct side *to)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;

    writer_init(&w, bytes, sizeof(bytes));
    must(ikev1_table_transmit(from->table, &w, &remote) == 0);
    if (to != NULL)
        (void)!ikev1_table_receive(to->table, &to->profile, 1, bytes, w.len, &from->endpoint, 1);
}

static void send_clear(struct side *from, struct side *to, const uint8_t *data, size_t len)
{
    const struct ikev1_phase *phase = from->table->phases;
    struct ikev1_draft draft;

    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_MAIN, 0);
    writer_patch_u8(&draft.w, draft.b.next_at, data[0]);
    writer_bytes(&draft.w, data + 1, len - 1);
    if (ikev1_draft_end(&draft) == 0)
        receive(to, from, draft.bytes, draft.w.len);
}

static void send_sealed(struct side *from, struct side *to, enum stage stage, uint8_t variant,
                        const uint8_t *data, size_t len)
{
    /* the one that is called has derived nothing yet when message 6 is due: the caller's keys */
    const bool is_answer_6 = stage == STAGE_SIGNED_ANSWER;
    struct ikev1_phase *phase = is_answer_6 ? to->table->phases : from->table->phases;
    const struct ikev1_quick *quick = to->table->phases->quicks;
    const bool is_proof = stage == STAGE_PROOF || stage >= STAGE_SIGNED_KEYS;
    const bool is_answer = stage == STAGE_QUICK_ANSWER && quick != NULL;
    const uint32_t id = is_proof ? 0 : is_answer ? quick->message_id : 0x1000u + variant;
    uint8_t iv[CBC_BLOCK_LEN];
    struct ikev1_draft draft;

    must(is_proof ? ikev1_iv_main(phase->keys.hash, phase->handshake->kex.public_key,
                                  phase->handshake->peer_public, phase->handshake->kex.public_len,
                                  iv) == 0
                  : ikev1_iv_exchange(phase->keys.hash, phase->iv, id, iv) == 0);
    if (is_answer || is_answer_6)
        memcpy(iv, is_answer ? quick->iv : phase->iv, sizeof(iv));
    ikev1_draft_begin(&draft, phase,
                      is_proof                       ? ISAKMP_EXCHANGE_MAIN
                      : stage == STAGE_INFORMATIONAL ? ISAKMP_EXCHANGE_INFORMATIONAL
                                                     : ISAKMP_EXCHANGE_QUICK,
                      id);
    if (!is_proof)
        ikev1_draft_hash(&draft, &phase->keys);
    writer_patch_u8(&draft.w, draft.b.next_at, data[0]);
    if (!is_proof) {
        /* the HASH payload's own length, as the builder would end it at the message's end */
        writer_patch_u16(&draft.w, draft.b.payload_at + 2, (uint16_t)(4 + draft.hash_len));
        draft.b.payload_at = 0;
    }
    writer_bytes(&draft.w, data + 1, len - 1);
    if (!writer_is_ok(&draft.w))
        return;
    const int error =
        is_proof ? ikev1_draft_seal(&draft, &phase->keys, iv)
                 : ikev1_draft_prove(&draft, &phase->keys, id, is_answer ? quick->nonce_i : NULL,
                                     is_answer ? quick->nonce_i_len : 0, iv);
    if (error == 0)
        receive(to, from, draft.bytes, draft.w.len);
}

static void run(enum stage stage, uint8_t variant, const uint8_t *data, size_t len)
{
    const bool is_signed = stage >= STAGE_SIGNED_KEYS;
    struct side a, b;

    side_init(&a, 1, is_signed);
    side_init(&b, 2, is_signed);
    if (stage == STAGE_STRANGER) {
        receive(&b, &a, data, len);
        goto done;
    }
    must(ikev1_sa_initiate(a.table, a.profile, &b.endpoint, 1, &a.sa) == 0);
    carry(&a, &b);
    if (stage == STAGE_CLEAR_2) {
        send_clear(&b, &a, data, len);
        goto done;
    }
    carry(&b, &a);
    if (stage == STAGE_CLEAR_3 || stage == STAGE_SIGNED_KEYS) {
        send_clear(&a, &b, data, len);
        goto done;
    }
    carry(&a, &b);
    if (stage == STAGE_CLEAR_4) {
        send_clear(&b, &a, data, len);
        goto done;
    }
    carry(&b, &a);
    if (stage == STAGE_SIGNED_ANSWER) {
        send_sealed(&b, &a, stage, variant, data, len);
        goto done;
    }
    if (stage == STAGE_PROOF || stage == STAGE_SIGNED_PROOF) {
        send_sealed(&a, &b, stage, variant, data, len);
        goto done;
    }
    carry(&a, &b);
    carry(&b, &a);
    drain(&a);
    drain(&b);
    must(a.sa != NULL && b.sa != NULL);
    if (stage == STAGE_QUICK_ANSWER)
        send_sealed(&b, &a, stage, variant, data, len);
    else
        send_sealed(&a, &b, stage, variant, data, len);
done:
    side_done(&a);
    side_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len >= 3)
        run((enum stage)(data[0] % STAGE_COUNT), data[1], data + 2, len - 2);
    return 0;
}
