/* Taking IKEv1 messages apart, and building them; see ikev1/message.h. */
#include "ikev1/message.h"
#include "crypto/memory.h"
#include <string.h>

/* NULL: any number of this type may come. */
static struct ike_payload *slot(struct ikev1_message *m, uint8_t type)
{
    switch (type) {
    case ISAKMP_PAYLOAD_SA:
        return &m->sa;
    case ISAKMP_PAYLOAD_KE:
        return &m->ke;
    case ISAKMP_PAYLOAD_HASH:
        return &m->hash;
    case ISAKMP_PAYLOAD_SIGNATURE:
        return &m->signature;
    case ISAKMP_PAYLOAD_NONCE:
        return &m->nonce;
    default:
        return NULL;
    }
}

int ikev1_message_parse(struct ikev1_message *message, uint8_t first, const uint8_t *data,
                        size_t len, bool is_padded)
{
    struct ikev1_message m = {.first = first, .data = data};
    struct isakmp_chain chain;
    struct ike_payload p;
    int error;

    isakmp_chain_init(&chain, first, data, len);
    while ((error = isakmp_chain_next(&chain, &p)) == ERR_OK) {
        struct ike_payload *place = slot(&m, p.type);
        if (p.type == ISAKMP_PAYLOAD_ID) {
            if (m.id_count == 2)
                return ERR_INVALID;
            place = &m.id[m.id_count++];
        }
        if (place != NULL && place->body != NULL)
            return ERR_INVALID;
        if (place != NULL)
            *place = p;
    }
    if (error != ERR_NOT_FOUND)
        return error;
    m.len = isakmp_chain_end(&chain);
    if (!is_padded && m.len != len)
        return ERR_INVALID;
    *message = m;
    return ERR_OK;
}

int ikev1_message_hashed(const struct ikev1_message *message, struct piece *ret_rest)
{
    if (message->first != ISAKMP_PAYLOAD_HASH)
        return ERR_INVALID;
    const size_t offset = IKE_PAYLOAD_HEADER_LEN + message->hash.len;
    *ret_rest = (struct piece){message->data + offset, message->len - offset};
    return ERR_OK;
}

int ikev1_message_open(const struct ikev1_keys *keys, const uint8_t iv[CBC_BLOCK_LEN],
                       const struct ike_header *header, const uint8_t *bytes, size_t len,
                       struct ikev1_opened *ret_opened)
{
    const size_t body_len = len - IKE_HEADER_LEN;

    if ((header->flags & ISAKMP_FLAG_ENCRYPTED) == 0)
        return ERR_AUTH;
    if (len > IKEV1_MESSAGE_CAP || body_len == 0 || body_len % CBC_BLOCK_LEN != 0)
        return ERR_INVALID;
    memcpy(ret_opened->bytes, bytes + IKE_HEADER_LEN, body_len);
    memcpy(ret_opened->last_block, bytes + len - CBC_BLOCK_LEN, CBC_BLOCK_LEN);
    const int error =
        cbc_decrypt(keys->skeyid_e, keys->cipher_key_len, iv, ret_opened->bytes, body_len);
    if (error != ERR_OK)
        return error;
    return ikev1_message_parse(&ret_opened->message, header->next_payload, ret_opened->bytes,
                               body_len, true);
}

void ikev1_draft_begin(struct ikev1_draft *draft, const struct ikev1_phase *phase,
                       enum isakmp_exchange exchange, uint32_t message_id)
{
    const struct ike_header header = {
        .spi_i = phase->cookie_i,
        .spi_r = phase->cookie_r,
        .major_version = ISAKMP_MAJOR_VERSION,
        .exchange = (uint8_t)exchange,
        .message_id = message_id,
    };

    draft->hash_at = draft->hash_len = 0;
    writer_init(&draft->w, draft->bytes, sizeof(draft->bytes));
    ike_build_begin(&draft->b, &draft->w, &header);
}

void ikev1_draft_hash(struct ikev1_draft *draft, const struct ikev1_keys *keys)
{
    isakmp_build_payload(&draft->b, ISAKMP_PAYLOAD_HASH);
    draft->hash_at = draft->w.len;
    draft->hash_len = hash_len(keys->hash);
    writer_zero(&draft->w, draft->hash_len);
}

int ikev1_draft_end(struct ikev1_draft *draft)
{
    ike_build_end(&draft->b, 0);
    return draft->w.error;
}

int ikev1_draft_seal(struct ikev1_draft *draft, const struct ikev1_keys *keys,
                     uint8_t iv[CBC_BLOCK_LEN])
{
    struct writer *w = &draft->w;

    ike_build_end(&draft->b, 0);
    /* Zeroes up to a whole block (RFC 2409, appendix B), and the header tells of them. */
    writer_zero(w, (CBC_BLOCK_LEN - (w->len - IKE_HEADER_LEN) % CBC_BLOCK_LEN) % CBC_BLOCK_LEN);
    writer_patch_u8(w, 19, ISAKMP_FLAG_ENCRYPTED);
    writer_patch_u16(w, 26, (uint16_t)w->len);
    if (!writer_is_ok(w))
        return w->error;
    const int error = cbc_encrypt(keys->skeyid_e, keys->cipher_key_len, iv,
                                  draft->bytes + IKE_HEADER_LEN, w->len - IKE_HEADER_LEN);
    if (error == ERR_OK)
        memcpy(iv, draft->bytes + w->len - CBC_BLOCK_LEN, CBC_BLOCK_LEN);
    return error;
}

int ikev1_draft_prove(struct ikev1_draft *draft, const struct ikev1_keys *keys, uint32_t message_id,
                      const void *before, size_t before_len, uint8_t iv[CBC_BLOCK_LEN])
{
    uint8_t hash[HASH_LEN_MAX];

    int error = ikev1_draft_end(draft);
    if (error != ERR_OK)
        return error;
    const size_t rest_at = draft->hash_at + draft->hash_len;
    const struct piece pieces[] = {{before, before_len},
                                   {draft->bytes + rest_at, draft->w.len - rest_at}};
    error = ikev1_keys_hash(keys, message_id, pieces, 2, hash);
    if (error != ERR_OK)
        return error;
    memcpy(draft->bytes + draft->hash_at, hash, draft->hash_len);
    return ikev1_draft_seal(draft, keys, iv);
}
