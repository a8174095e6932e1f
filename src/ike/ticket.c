/* Sealing and opening of tickets; see ike/ticket.h. A ticket is: version, key number, nonce, and
 * under AES-256-GCM with the first two as associated data: expiry, cipher, SK_d, key, name. */
#include "ike/ticket.h"

#include "base/reader.h"
#include "crypto/aead.h"
#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

#define VERSION    1
#define HEAD_LEN   5 /* version, key number */
#define SEALED_CAP (8 + 1 + IKE_PRF_LEN + PUBLIC_KEY_LEN + 1 + NAME_TEXT_CAP)
#define LEAST_S    60 /* a ticket for less is not worth having */
#define KEYS       2

struct ike_tickets {
    struct {
        bool is_set;
        uint32_t number;
        struct aead *aead;
    } keys[KEYS]; /* newest first */
    uint32_t lifetime_s;
    uint64_t now_s;
};

int ike_tickets_new(uint32_t lifetime_s, struct ike_tickets **ret_tickets)
{
    struct ike_tickets *tickets = (struct ike_tickets *)calloc(1, sizeof(*tickets));
    if (tickets == NULL)
        return ERR_NOMEM;
    tickets->lifetime_s = lifetime_s;
    *ret_tickets = tickets;
    return ERR_OK;
}

void ike_tickets_free(struct ike_tickets *tickets)
{
    if (tickets == NULL)
        return;
    for (size_t i = 0; i < KEYS; i++)
        aead_free(tickets->keys[i].aead);
    free(tickets);
}

/* The number only tells keys apart, and gives nothing of the key away. */
static uint32_t key_number(const uint8_t key[IKE_TICKET_KEY_LEN])
{
    static const char label[] = "ticket key number";
    const struct piece piece = {label, sizeof(label) - 1};
    uint8_t hash[SHA256_LEN] = {0};
    uint32_t number;

    if (hmac_sha256(key, IKE_TICKET_KEY_LEN, &piece, 1, hash) != ERR_OK)
        return 0;
    memcpy(&number, hash, sizeof(number));
    return number;
}

void ike_tickets_add_key(struct ike_tickets *tickets, const uint8_t key[IKE_TICKET_KEY_LEN])
{
    struct aead *aead;

    if (aead_new(AEAD_AES256_GCM, key, &aead) != ERR_OK)
        return;
    aead_free(tickets->keys[KEYS - 1].aead);
    tickets->keys[1] = tickets->keys[0];
    tickets->keys[0].is_set = true;
    tickets->keys[0].number = key_number(key);
    tickets->keys[0].aead = aead;
}

void ike_tickets_set_time(struct ike_tickets *tickets, uint64_t now_s)
{
    tickets->now_s = now_s;
}

int ike_ticket_seal(const struct ike_tickets *tickets, const struct ike_ticket_state *state,
                    struct writer *w, uint32_t *ret_lifetime_s)
{
    uint8_t sealed[SEALED_CAP];
    uint8_t nonce[AEAD_NONCE_LEN], tag[AEAD_TAG_LEN];
    const uint64_t longest_s = tickets->now_s + tickets->lifetime_s;
    const uint64_t expires_s =
        state->expires_s != 0 && state->expires_s < longest_s ? state->expires_s : longest_s;
    const size_t id_len = strnlen(state->id, sizeof(state->id) - 1);
    const size_t start = w->len;
    struct writer inner;

    if (!tickets->keys[0].is_set || tickets->now_s == 0 || expires_s < tickets->now_s + LEAST_S)
        return ERR_STATE;
    writer_init(&inner, sealed, sizeof(sealed));
    writer_u32(&inner, (uint32_t)(expires_s >> 32));
    writer_u32(&inner, (uint32_t)expires_s);
    writer_u8(&inner, (uint8_t)state->cipher);
    writer_bytes(&inner, state->sk_d, sizeof(state->sk_d));
    writer_bytes(&inner, state->key.bytes, sizeof(state->key.bytes));
    writer_u8(&inner, (uint8_t)id_len);
    writer_bytes(&inner, state->id, id_len);
    int error = inner.error;
    if (error == ERR_OK)
        error = crypto_random(nonce, sizeof(nonce));
    writer_u8(w, VERSION);
    writer_u32(w, tickets->keys[0].number);
    writer_bytes(w, nonce, sizeof(nonce));
    if (error == ERR_OK)
        error = w->error;
    if (error == ERR_OK)
        error = aead_seal(tickets->keys[0].aead, nonce, w->base + start, HEAD_LEN, sealed,
                          inner.len, tag);
    writer_bytes(w, sealed, inner.len);
    writer_bytes(w, tag, sizeof(tag));
    crypto_wipe(sealed, sizeof(sealed));
    if (error == ERR_OK)
        error = w->error;
    if (error == ERR_OK)
        *ret_lifetime_s = (uint32_t)(expires_s - tickets->now_s);
    return error;
}

/* The inside of a ticket that is ours. */
static int read_state(const uint8_t *data, size_t len, struct ike_ticket_state *ret_state)
{
    struct ike_ticket_state state = {0};
    struct reader r;

    reader_init(&r, data, len);
    state.expires_s = reader_u64(&r);
    state.cipher = (enum ike_cipher)reader_u8(&r);
    reader_copy(&r, state.sk_d, sizeof(state.sk_d));
    reader_copy(&r, state.key.bytes, sizeof(state.key.bytes));
    const size_t id_len = reader_u8(&r);
    if (id_len >= sizeof(state.id) || id_len != reader_left(&r))
        return ERR_INVALID;
    reader_copy(&r, state.id, id_len);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_state = state;
    crypto_wipe(&state, sizeof(state));
    return ERR_OK;
}

int ike_ticket_open(const struct ike_tickets *tickets, const uint8_t *ticket, size_t len,
                    struct ike_ticket_state *ret_state)
{
    uint8_t sealed[SEALED_CAP];
    struct ike_ticket_state state;
    struct reader r;
    int error = ERR_AUTH;

    if (len < HEAD_LEN + AEAD_NONCE_LEN + AEAD_TAG_LEN ||
        len > HEAD_LEN + AEAD_NONCE_LEN + sizeof(sealed) + AEAD_TAG_LEN)
        return ERR_TRUNCATED;
    const size_t sealed_len = len - HEAD_LEN - AEAD_NONCE_LEN - AEAD_TAG_LEN;
    reader_init(&r, ticket, len);
    if (reader_u8(&r) != VERSION)
        return ERR_INVALID;
    const uint32_t number = reader_u32(&r);
    const uint8_t *nonce = reader_bytes(&r, AEAD_NONCE_LEN);
    reader_copy(&r, sealed, sealed_len);
    const uint8_t *tag = reader_bytes(&r, AEAD_TAG_LEN);
    if (!reader_is_ok(&r))
        return r.error;
    for (size_t i = 0; i < KEYS && error == ERR_AUTH; i++) {
        if (tickets->keys[i].is_set && tickets->keys[i].number == number)
            error =
                aead_open(tickets->keys[i].aead, nonce, ticket, HEAD_LEN, sealed, sealed_len, tag);
    }
    if (error == ERR_OK)
        error = read_state(sealed, sealed_len, &state);
    crypto_wipe(sealed, sizeof(sealed));
    if (error != ERR_OK)
        return error;
    /* A clock that was set back must not make old tickets good for longer than they were. */
    if (tickets->now_s == 0 || state.expires_s <= tickets->now_s ||
        state.expires_s - tickets->now_s > tickets->lifetime_s)
        error = ERR_AUTH;
    else
        *ret_state = state;
    crypto_wipe(&state, sizeof(state));
    return error;
}
