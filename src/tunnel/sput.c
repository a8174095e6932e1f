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

static int make_context(const struct sput_keys *keys, void **ret_context)
{
    const uint8_t *key = keys->key;
    int result;

    if (keys->suite == SPUT_PAPER) {
        struct stream_mac *stream;
        result =
            stream_mac_new(key, key + STREAM_KEY_LEN, key + STREAM_KEY_LEN + MAC_KEY_LEN, &stream);
        if (result == ERR_OK)
            *ret_context = stream;
    } else {
        struct aead *aead;
        result = aead_new_in(keys->arena, aead_of(keys->suite), key, &aead);
        if (result == ERR_OK)
            *ret_context = aead;
    }
    return result;
}

static void free_context(const struct sput_keys *keys, void *context)
{
    if (keys->suite == SPUT_PAPER)
        stream_mac_free(context);
    else
        aead_free(context);
}

static int take_context(struct sput_keys *keys, void **ret_context)
{
    void *context = contexts_take(&keys->contexts);
    if (context == NULL)
        return make_context(keys, ret_context);
    *ret_context = context;
    return ERR_OK;
}

static void give_context(struct sput_keys *keys, void *context)
{
    if (!contexts_give(&keys->contexts, context))
        free_context(keys, context);
}

static int keys_init(struct arena *arena, struct sput_keys *keys, enum suite suite,
                     const uint8_t *key, size_t key_len)
{
    void *first = NULL;

    memset(keys, 0, sizeof(*keys));
    if (suite_protocol(suite) != IKE_PROTOCOL_SPUT)
        return ERR_UNSUPPORTED;
    if (key_len != suite_key_len(suite))
        return ERR_INVALID;
    keys->arena = arena;
    keys->suite = suite;
    memcpy(keys->key, key, key_len);
    if (suite != SPUT_PAPER)
        memcpy(keys->salt, key + key_len - SUITE_AEAD_SALT_LEN, SUITE_AEAD_SALT_LEN);
    int result = make_context(keys, &first);
    if (result != ERR_OK)
        return result;
    contexts_init(&keys->contexts, first);
    if (suite == SPUT_PAPER)
        keys->stream = first;
    return ERR_OK;
}

static void keys_done(struct sput_keys *keys)
{
    void *context;
    while ((context = contexts_drain(&keys->contexts)) != NULL)
        free_context(keys, context);
}

int sput_sender_init_in(struct arena *arena, struct sput_sender *sender, enum suite suite,
                        const uint8_t *key, size_t key_len, uint32_t rekey_at)
{
    int result = keys_init(arena, &sender->keys, suite, key, key_len);
    sender->rekey_at = rekey_at;
    atomic_init(&sender->next, 1);
    return result;
}

int sput_receiver_init_in(struct arena *arena, struct sput_receiver *receiver, enum suite suite,
                          const uint8_t *key, size_t key_len, uint32_t window)
{
    int result = keys_init(arena, &receiver->keys, suite, key, key_len);
    replay_init(&receiver->replay, window);
    if (result == ERR_OK && pthread_mutex_init(&receiver->lock, NULL) != 0) {
        keys_done(&receiver->keys);
        result = ERR_NOMEM;
    }
    return result;
}

int sput_sender_init(struct sput_sender *sender, enum suite suite, const uint8_t *key,
                     size_t key_len, uint32_t rekey_at)
{
    return sput_sender_init_in(NULL, sender, suite, key, key_len, rekey_at);
}

int sput_receiver_init(struct sput_receiver *receiver, enum suite suite, const uint8_t *key,
                       size_t key_len, uint32_t window)
{
    return sput_receiver_init_in(NULL, receiver, suite, key, key_len, window);
}

void sput_sender_done(struct sput_sender *sender)
{
    keys_done(&sender->keys);
    crypto_wipe(sender, sizeof(*sender));
}

void sput_receiver_done(struct sput_receiver *receiver)
{
    keys_done(&receiver->keys);
    pthread_mutex_destroy(&receiver->lock); /* a zeroed one is an unlocked one here */
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
static int seal_bytes(const struct sput_keys *keys, void *context, uint8_t *message, size_t len,
                      bool has_tag)
{
    uint8_t nonce[AEAD_NONCE_LEN];
    uint8_t *secret = message + SPUT_CLEAR_LEN;

    if (keys->suite == SPUT_PAPER) {
        int result =
            stream_mac_crypt(context, sput_number_read(message), secret, len - SPUT_CLEAR_LEN);
        return result == ERR_OK && has_tag
                   ? stream_mac_compute(context, message, len, message + len)
                   : result;
    }
    make_nonce(keys, message, nonce);
    return aead_seal(context, nonce, message, SPUT_CLEAR_LEN, secret, len - SPUT_CLEAR_LEN,
                     message + len);
}

static int check_mac(struct stream_mac *context, const uint8_t *message, size_t len,
                     const uint8_t *foreseen)
{
    if (foreseen == NULL)
        return stream_mac_check(context, message, len, message + len);
    return crypto_is_equal(foreseen, message + len, MAC_LEN) ? ERR_OK : ERR_AUTH;
}

/* The same bytes the other way; unchanged on ERR_AUTH. foreseen: the tag that it should have, if
 * that has been computed already. */
static int open_bytes(const struct sput_keys *keys, void *context, uint8_t *message, size_t len,
                      const uint8_t *foreseen)
{
    uint8_t nonce[AEAD_NONCE_LEN];
    uint8_t *secret = message + SPUT_CLEAR_LEN;

    if (keys->suite == SPUT_PAPER) {
        int result = check_mac(context, message, len, foreseen);
        if (result != ERR_OK)
            return result;
        return stream_mac_crypt(context, sput_number_read(message), secret, len - SPUT_CLEAR_LEN);
    }
    make_nonce(keys, message, nonce);
    return aead_open_or_keep(context, nonce, message, SPUT_CLEAR_LEN, secret, len - SPUT_CLEAR_LEN,
                             message + len);
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
    void *context;
    int result = take_context(&sender->keys, &context);
    if (result == ERR_OK) {
        result = seal_bytes(&sender->keys, context, message, packet->len, has_tag);
        give_context(&sender->keys, context);
    }
    if (result != ERR_OK) {
        crypto_wipe(message, packet->len);
        return ERR_CRYPTO;
    }
    packet->len += (uint32_t)tag_len;
    packet->tag_keys = has_tag ? NULL : &sender->keys;
    packet->tag_is_esp = false;
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

int sput_keys_mac(struct sput_keys *keys, const uint8_t *message, size_t len, uint8_t *ret_mac)
{
    void *context;
    int result = take_context(keys, &context);
    if (result != ERR_OK)
        return result;
    result = stream_mac_compute(context, message, len, ret_mac);
    give_context(keys, context);
    return result;
}

/* Of the threads that have the same message, whoever marks it first. */
static int mark(struct sput_receiver *receiver, uint8_t *message, size_t len, uint32_t number)
{
    pthread_mutex_lock(&receiver->lock);
    const bool is_new = replay_mark(&receiver->replay, number);
    pthread_mutex_unlock(&receiver->lock);
    if (is_new)
        return ERR_OK;
    crypto_wipe(message, len); /* nobody is to take what is clear now for a datagram */
    return ERR_REPLAY;
}

static int open_new(struct sput_receiver *receiver, uint8_t *message, size_t len,
                    const uint8_t *foreseen)
{
    const uint32_t number = sput_number_read(message);
    void *context;

    if (!replay_is_new(&receiver->replay, number))
        return ERR_REPLAY;
    if (take_context(&receiver->keys, &context) != ERR_OK)
        return ERR_CRYPTO;
    int result = open_bytes(&receiver->keys, context, message, len, foreseen);
    give_context(&receiver->keys, context);
    return result == ERR_OK ? mark(receiver, message, len, number) : result;
}

int sput_open(struct sput_receiver *receiver, struct packet *packet, struct sput_header *ret_header)
{
    const size_t tag_len = suite_tag_len(receiver->keys.suite);

    if (tag_len == 0 || !sput_len_is_valid(packet->len, tag_len) ||
        sput_number_read(packet->data) == 0)
        return ERR_INVALID;
    const uint8_t *foreseen = packet->tag_keys == &receiver->keys ? packet->foreseen_tag : NULL;
    int result = open_new(receiver, packet->data, packet->len - tag_len, foreseen);
    if (result != ERR_OK)
        return result;
    packet->len -= (uint32_t)tag_len;
    sput_header_read(packet->data, ret_header);
    packet_pull(packet, SPUT_HEADER_LEN);
    return ERR_OK;
}
