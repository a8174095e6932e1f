/* Sealing and opening in place. The suites differ in two functions only: seal_bytes, open_bytes. */
#include "tunnel/sput.h"

#include "crypto/aead.h"
#include "crypto/memory.h"
#include "crypto/stream_mac.h"
#include <string.h>

_Static_assert(SPUT_TAG_LEN == AEAD_TAG_LEN && SPUT_MAC_LEN == MAC_LEN, "wire and crypto agree");
_Static_assert(SUITE_AEAD_SALT_LEN + SPUT_CLEAR_LEN == AEAD_NONCE_LEN, "nonce: salt and number");

static enum aead_algorithm aead_of(enum suite suite)
{
    switch (suite) {
    case SPUT_AES256_GCM:
        return AEAD_AES256_GCM;
    case SPUT_CHACHA20_POLY1305:
        return AEAD_CHACHA20_POLY1305;
    default:
        return AEAD_AES128_GCM;
    }
}

static int keys_init(struct sput_keys *keys, enum suite suite, const uint8_t *key, size_t key_len)
{
    int result;

    memset(keys, 0, sizeof(*keys));
    if (suite_protocol(suite) != IKE_PROTOCOL_SPUT)
        return ERR_UNSUPPORTED;
    if (key_len != suite_key_len(suite))
        return ERR_INVALID;
    if (pthread_mutex_init(&keys->lock, NULL) != 0)
        return ERR_NOMEM;
    keys->suite = suite;
    if (suite == SPUT_PAPER) {
        result = stream_mac_new(key, key + STREAM_KEY_LEN, key + STREAM_KEY_LEN + MAC_KEY_LEN,
                                &keys->stream);
    } else {
        result = aead_new(aead_of(suite), key, &keys->aead);
        memcpy(keys->salt, key + key_len - SUITE_AEAD_SALT_LEN, SUITE_AEAD_SALT_LEN);
    }
    if (result != ERR_OK)
        pthread_mutex_destroy(&keys->lock);
    return result;
}

/* A zeroed mutex is an unlocked one here, so zeroed keys may come too. */
static void keys_done(struct sput_keys *keys)
{
    stream_mac_free(keys->stream);
    aead_free(keys->aead);
    pthread_mutex_destroy(&keys->lock);
}

int sput_sender_init(struct sput_sender *sender, enum suite suite, const uint8_t *key,
                     size_t key_len, uint32_t rekey_at)
{
    int result = keys_init(&sender->keys, suite, key, key_len);
    sender->rekey_at = rekey_at;
    atomic_init(&sender->next, 1);
    return result;
}

int sput_receiver_init(struct sput_receiver *receiver, enum suite suite, const uint8_t *key,
                       size_t key_len, uint32_t window)
{
    int result = keys_init(&receiver->keys, suite, key, key_len);
    replay_init(&receiver->replay, window);
    return result;
}

void sput_sender_done(struct sput_sender *sender)
{
    keys_done(&sender->keys);
    crypto_wipe(sender, sizeof(*sender));
}

void sput_receiver_done(struct sput_receiver *receiver)
{
    keys_done(&receiver->keys);
    crypto_wipe(receiver, sizeof(*receiver));
}

/* salt || message number, as on the wire. */
static void make_nonce(const struct sput_keys *keys, const uint8_t *clear,
                       uint8_t nonce[AEAD_NONCE_LEN])
{
    memcpy(nonce, keys->salt, SUITE_AEAD_SALT_LEN);
    memcpy(nonce + SUITE_AEAD_SALT_LEN, clear, SPUT_CLEAR_LEN);
}

/* message: len bytes of header and payload, and the tag's room behind them. */
static int seal_bytes(struct sput_keys *keys, uint8_t *message, size_t len, bool has_tag)
{
    uint8_t nonce[AEAD_NONCE_LEN];
    uint8_t *secret = message + SPUT_CLEAR_LEN;

    if (keys->suite == SPUT_PAPER) {
        int result =
            stream_mac_crypt(keys->stream, sput_number_read(message), secret, len - SPUT_CLEAR_LEN);
        return result == ERR_OK && has_tag
                   ? stream_mac_compute(keys->stream, message, len, message + len)
                   : result;
    }
    make_nonce(keys, message, nonce);
    return aead_seal(keys->aead, nonce, message, SPUT_CLEAR_LEN, secret, len - SPUT_CLEAR_LEN,
                     message + len);
}

static int check_mac(struct sput_keys *keys, const uint8_t *message, size_t len,
                     const uint8_t *foreseen)
{
    if (foreseen == NULL)
        return stream_mac_check(keys->stream, message, len, message + len);
    return crypto_is_equal(foreseen, message + len, MAC_LEN) ? ERR_OK : ERR_AUTH;
}

/* The same bytes the other way; unchanged on ERR_AUTH. foreseen: the tag that it should have, if
 * that has been computed already. */
static int open_bytes(struct sput_keys *keys, uint8_t *message, size_t len, const uint8_t *foreseen)
{
    uint8_t nonce[AEAD_NONCE_LEN];
    uint8_t *secret = message + SPUT_CLEAR_LEN;

    if (keys->suite == SPUT_PAPER) {
        int result = check_mac(keys, message, len, foreseen);
        if (result != ERR_OK)
            return result;
        return stream_mac_crypt(keys->stream, sput_number_read(message), secret,
                                len - SPUT_CLEAR_LEN);
    }
    make_nonce(keys, message, nonce);
    return aead_open_or_keep(keys->aead, nonce, message, SPUT_CLEAR_LEN, secret,
                             len - SPUT_CLEAR_LEN, message + len);
}

static int seal(struct sput_sender *sender, struct packet *packet, const struct sput_header *fields,
                bool has_tag, uint32_t *ret_number)
{
    const size_t tag_len = suite_tag_len(sender->keys.suite);

    if (packet->len > suite_payload_max(sender->keys.suite) ||
        packet_headroom(packet) < SPUT_HEADER_LEN || packet_tailroom(packet) < tag_len)
        return ERR_FULL;
    /* 64 bits count on where the wire's 32 end, so that no number is ever taken twice. */
    const uint64_t number = atomic_fetch_add_explicit(&sender->next, 1, memory_order_relaxed);
    if (number > UINT32_MAX)
        return ERR_STATE;

    struct sput_header header = *fields;
    header.number = (uint32_t)number;
    uint8_t *message = packet_push(packet, SPUT_HEADER_LEN);
    sput_header_write(&header, message);
    pthread_mutex_lock(&sender->keys.lock);
    int result = seal_bytes(&sender->keys, message, packet->len, has_tag);
    pthread_mutex_unlock(&sender->keys.lock);
    if (result != ERR_OK) {
        crypto_wipe(message, packet->len);
        return ERR_CRYPTO;
    }
    packet->len += (uint32_t)tag_len;
    packet->tag_keys = has_tag ? NULL : &sender->keys;
    if (ret_number != NULL)
        *ret_number = (uint32_t)number;
    return ERR_OK;
}

int sput_seal(struct sput_sender *sender, struct packet *packet, uint8_t command,
              uint8_t next_header, uint16_t flags, uint32_t *ret_number)
{
    const struct sput_header header = {
        .command = command, .next_header = next_header, .flags = flags};
    return seal(sender, packet, &header, true, ret_number);
}

int sput_seal_deferring(struct sput_sender *sender, struct packet *packet, uint8_t command,
                        uint8_t next_header, uint16_t flags, uint32_t *ret_number)
{
    const struct sput_header header = {
        .command = command, .next_header = next_header, .flags = flags};
    return seal(sender, packet, &header, sender->keys.suite != SPUT_PAPER, ret_number);
}

bool sput_sender_is_rekey_due(const struct sput_sender *sender)
{
    return atomic_load_explicit(&sender->next, memory_order_relaxed) > sender->rekey_at;
}

uint32_t sput_sender_count(const struct sput_sender *sender)
{
    const uint64_t next = atomic_load_explicit(&sender->next, memory_order_relaxed);
    return next > UINT32_MAX ? UINT32_MAX : (uint32_t)(next - 1);
}

/* Under the lock: check, authenticate, mark are one step for any number of threads. */
static int open_new(struct sput_receiver *receiver, uint8_t *message, size_t len,
                    const uint8_t *foreseen)
{
    const uint32_t number = sput_number_read(message);

    if (!replay_is_new(&receiver->replay, number))
        return ERR_REPLAY;
    int result = open_bytes(&receiver->keys, message, len, foreseen);
    if (result == ERR_OK)
        replay_mark(&receiver->replay, number);
    return result;
}

int sput_open(struct sput_receiver *receiver, struct packet *packet, struct sput_header *ret_header)
{
    const size_t tag_len = suite_tag_len(receiver->keys.suite);

    if (tag_len == 0 || !sput_len_is_valid(packet->len, tag_len) ||
        sput_number_read(packet->data) == 0)
        return ERR_INVALID;
    const uint8_t *foreseen = packet->tag_keys == &receiver->keys ? packet->foreseen_tag : NULL;
    pthread_mutex_lock(&receiver->keys.lock);
    int result = open_new(receiver, packet->data, packet->len - tag_len, foreseen);
    pthread_mutex_unlock(&receiver->keys.lock);
    if (result != ERR_OK)
        return result;
    packet->len -= (uint32_t)tag_len;
    sput_header_read(packet->data, ret_header);
    packet_pull(packet, SPUT_HEADER_LEN);
    return ERR_OK;
}
