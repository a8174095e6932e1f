/* See ike/met.h. */
#include "ike/met.h"

#include "base/reader.h"
#include "crypto/hash.h"
#include "crypto/memory.h"
#include "ike/generation.h"
#include "wire/notify.h"
#include <string.h>

static const char KEY_LABEL[] = "Detec met before";
static const char MAC_LABEL[] = "Detec meets again";

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

int ike_sa_met(const struct ike_sa *sa, struct ike_met *ret_met)
{
    const struct piece seed[] = {{KEY_LABEL, sizeof(KEY_LABEL) - 1}};
    uint8_t out[IKE_MET_ID_LEN + IKE_MET_SECRET_LEN];

    if (sa->state != IKE_STATE_ESTABLISHED || sa->current == NULL)
        return ERR_STATE;
    const struct ike_keys *keys = &sa->current->keys;
    size_t sk_d_len;
    const uint8_t *sk_d = ike_keys_part(keys, IKE_SK_D, &sk_d_len);
    const int error =
        hash_prf_plus(keys->algorithms.prf, sk_d, sk_d_len, seed, 1, out, sizeof(out));
    if (error == ERR_OK) {
        memcpy(ret_met->id, out, IKE_MET_ID_LEN);
        memcpy(ret_met->secret, out + IKE_MET_ID_LEN, IKE_MET_SECRET_LEN);
    }
    crypto_wipe(out, sizeof(out));
    return error;
}

/* Both keys: what one of the two has sent does not come back as the other one's. */
static int make_mac(const struct ike_met *met, const struct ike_met_claim *claim,
                    const struct public_key *initiator, const struct public_key *responder,
                    uint8_t ret_mac[IKE_MET_MAC_LEN])
{
    const uint8_t exchange_len[] = {(uint8_t)(claim->exchange_len >> 8),
                                    (uint8_t)claim->exchange_len};
    uint8_t number[8];
    put_u64(number, claim->number);
    const struct piece pieces[] = {
        {MAC_LABEL, sizeof(MAC_LABEL)},
        {initiator->bytes, sizeof(initiator->bytes)},
        {responder->bytes, sizeof(responder->bytes)},
        {number, sizeof(number)},
        {claim->spi, 8},
        {exchange_len, sizeof(exchange_len)},
        {claim->exchange, claim->exchange_len},
        {claim->nonce, claim->nonce_len}, /* the only one whose length is not told */
    };
    return hmac_sha256(met->secret, sizeof(met->secret), pieces, sizeof(pieces) / sizeof(pieces[0]),
                       ret_mac);
}

int ike_met_build(const struct ike_generation *g, struct ike_builder *b)
{
    const struct ike_config *config = ike_sa_config(g->sa);
    const struct ike_handshake *h = g->handshake;
    uint8_t data[IKE_MET_LEN], spi[8];

    if (!config->has_met || !config->has_expected_key)
        return ERR_OK;
    put_u64(spi, g->spi_i);
    /* Once more for a cookie, or in another group, is another message. */
    const struct ike_met_claim claim = {.number =
                                            config->met_number + h->cookie_count + h->regroup_count,
                                        .spi = spi,
                                        .nonce = h->own_nonce,
                                        .nonce_len = IKE_NONCE_LEN,
                                        .exchange = h->kex.public_key,
                                        .exchange_len = h->kex.public_len};
    data[0] = NOTIFY_VERSION;
    memcpy(data + 1, config->met.id, IKE_MET_ID_LEN);
    put_u64(data + 1 + IKE_MET_ID_LEN, claim.number);
    const int error = make_mac(&config->met, &claim, identity_public(config->identity),
                               &config->expected_key, data + sizeof(data) - IKE_MET_MAC_LEN);
    if (error == ERR_OK)
        ike_build_notify(b, NOTIFY_MET, data, sizeof(data));
    return error;
}

int ike_met_parse(const uint8_t *message, size_t len, struct ike_met_claim *ret_claim)
{
    struct ike_header header;
    struct ike_message m;
    struct ike_notify notify;
    struct ike_ke ke;
    struct ike_met_claim claim;
    struct reader r;

    if (len > IKE_INIT_LEN_MAX || ike_header_parse(message, len, &header) != ERR_OK ||
        header.exchange != IKE_EXCHANGE_SA_INIT || header.flags != IKE_FLAG_INITIATOR ||
        header.spi_r != 0)
        return ERR_NOT_FOUND;
    int error =
        ike_message_parse(header.next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m);
    if (error != ERR_OK)
        return error;
    if (!ike_message_find_notify(&m, NOTIFY_MET, &notify))
        return ERR_NOT_FOUND;
    if (m.nonce.body == NULL || m.ke.body == NULL || notify.len != IKE_MET_LEN ||
        notify.data[0] != NOTIFY_VERSION)
        return ERR_INVALID;
    error = ike_ke_parse(m.ke.body, m.ke.len, &ke);
    if (error != ERR_OK)
        return error;
    reader_init(&r, notify.data + 1, notify.len - 1);
    claim.id = reader_bytes(&r, IKE_MET_ID_LEN);
    claim.number = reader_u64(&r);
    claim.mac = reader_bytes(&r, IKE_MET_MAC_LEN);
    claim.spi = message;
    claim.nonce = m.nonce.body;
    claim.nonce_len = m.nonce.len;
    claim.exchange = ke.data;
    claim.exchange_len = ke.len;
    *ret_claim = claim;
    return ERR_OK;
}

bool ike_met_is_right(const struct ike_met *met, const struct ike_met_claim *claim,
                      const struct public_key *initiator, const struct public_key *responder)
{
    uint8_t mac[IKE_MET_MAC_LEN];
    const bool is_right = make_mac(met, claim, initiator, responder, mac) == ERR_OK &&
                          crypto_is_equal(mac, claim->mac, sizeof(mac));
    crypto_wipe(mac, sizeof(mac));
    return is_right;
}
