/* Sealing and opening in place. Two kinds of suite: AEAD (RFC 4106, RFC 7634, RFC 8750), and AES in
 * CBC or CTR mode with HMAC (RFC 3602, RFC 3686, RFC 4868). */
#include "tunnel/esp.h"

#include "crypto/aead.h"
#include "crypto/cipher_mac.h"
#include "crypto/memory.h"
#include "tunnel/bytes.h"
#include <string.h>

#define COUNTER_LEN 8                    /* the explicit IV of counter suites */
#define AAD_LEN_MAX (ESP_HEADER_LEN + 4) /* with the high half of the number */
#define ESN_MAX     (UINT64_MAX / 2)     /* far from where the counter itself would wrap */

_Static_assert(ESP_ICV_LEN == AEAD_TAG_LEN && ESP_ICV_LEN == CIPHER_MAC_LEN, "one ICV length");
_Static_assert(SUITE_ESP_SALT_LEN + COUNTER_LEN == AEAD_NONCE_LEN, "nonce: salt and IV");
_Static_assert(SUITE_ESP_MAC_KEY_LEN == CIPHER_MAC_KEY_LEN, "wire and crypto agree");

static bool is_aead(enum suite suite)
{
    return suite <= ESP_CHACHA20_POLY1305_IIV;
}

static bool is_cbc(enum suite suite)
{
    return suite == ESP_AES128_CBC_SHA256 || suite == ESP_AES256_CBC_SHA256;
}

static enum aead_algorithm aead_of(enum suite suite)
{
    switch (suite) {
    case ESP_AES256_GCM:
    case ESP_AES256_GCM_IIV:
        return AEAD_AES256_GCM;
    case ESP_CHACHA20_POLY1305:
    case ESP_CHACHA20_POLY1305_IIV:
        return AEAD_CHACHA20_POLY1305;
    default:
        return AEAD_AES128_GCM;
    }
}

/* Key material: encryption key, salt or nonce, MAC key, as far as the suite has them. */
static int make_context(const struct esp_keys *keys, void **ret_context)
{
    const size_t mac_key_at = suite_key_len(keys->suite) - SUITE_ESP_MAC_KEY_LEN;
    struct cipher_mac *cipher_mac;
    struct aead *aead;
    int result;

    if (is_aead(keys->suite)) {
        result = aead_new_in(keys->arena, aead_of(keys->suite), keys->key, &aead);
        if (result == ERR_OK)
            *ret_context = aead;
        return result;
    }
    result = cipher_mac_new(is_cbc(keys->suite) ? CIPHER_AES_CBC : CIPHER_AES_CTR, keys->key,
                            suite_cipher_key_len(keys->suite), keys->key + mac_key_at, &cipher_mac);
    if (result == ERR_OK)
        *ret_context = cipher_mac;
    return result;
}

static void free_context(const struct esp_keys *keys, void *context)
{
    if (is_aead(keys->suite))
        aead_free(context);
    else
        cipher_mac_free(context);
}

static int take_context(struct esp_keys *keys, void **ret_context)
{
    void *context = contexts_take(&keys->contexts);
    if (context == NULL)
        return make_context(keys, ret_context);
    *ret_context = context;
    return ERR_OK;
}

static void give_context(struct esp_keys *keys, void *context)
{
    if (!contexts_give(&keys->contexts, context))
        free_context(keys, context);
}

static int keys_init(struct esp_keys *keys, const struct esp_terms *terms, const uint8_t *key,
                     size_t key_len)
{
    void *first;

    memset(keys, 0, sizeof(*keys));
    if (!suite_is_esp(terms->suite))
        return ERR_UNSUPPORTED;
    if (key_len != suite_key_len(terms->suite))
        return ERR_INVALID;
    keys->arena = terms->arena;
    keys->suite = terms->suite;
    keys->spi = terms->spi;
    keys->has_esn = terms->has_esn;
    memcpy(keys->key, key, key_len);
    if (!is_cbc(terms->suite))
        memcpy(keys->salt, key + suite_cipher_key_len(terms->suite), SUITE_ESP_SALT_LEN);
    int result = make_context(keys, &first);
    if (result == ERR_OK)
        contexts_init(&keys->contexts, first);
    return result;
}

static void keys_done(struct esp_keys *keys)
{
    void *context;
    while ((context = contexts_drain(&keys->contexts)) != NULL)
        free_context(keys, context);
}

int esp_sender_init(struct esp_sender *sender, const struct esp_terms *terms, const uint8_t *key,
                    size_t key_len, uint64_t rekey_at)
{
    int result = keys_init(&sender->keys, terms, key, key_len);
    if (rekey_at == 0)
        rekey_at = terms->has_esn ? ESP_REKEY_AT_DEFAULT_ESN : ESP_REKEY_AT_DEFAULT;
    sender->rekey_at = rekey_at;
    atomic_init(&sender->next, 1);
    return result;
}

int esp_receiver_init(struct esp_receiver *receiver, const struct esp_terms *terms,
                      const uint8_t *key, size_t key_len, uint32_t window)
{
    int result = keys_init(&receiver->keys, terms, key, key_len);
    replay_init(&receiver->replay, window);
    if (result == ERR_OK && pthread_mutex_init(&receiver->lock, NULL) != 0) {
        keys_done(&receiver->keys);
        result = ERR_NOMEM;
    }
    return result;
}

void esp_sender_done(struct esp_sender *sender)
{
    keys_done(&sender->keys);
    crypto_wipe(sender, sizeof(*sender));
}

void esp_receiver_done(struct esp_receiver *receiver)
{
    keys_done(&receiver->keys);
    pthread_mutex_destroy(&receiver->lock); /* a zeroed one is an unlocked one here */
    crypto_wipe(receiver, sizeof(*receiver));
}

/* One packet on its way through: header, IV, text, ICV, one behind the other. */
struct frame {
    uint8_t *header, *iv, *text, *icv;
    size_t iv_len, text_len;
    uint64_t number;
    void *context;           /* while it is being sealed or opened */
    const uint8_t *foreseen; /* the ICV that it should have; NULL: not computed yet */
};

static struct frame frame_of(const struct esp_keys *keys, uint8_t *start, size_t len)
{
    struct frame f = {.header = start, .iv = start + ESP_HEADER_LEN};
    f.iv_len = suite_iv_len(keys->suite);
    f.text = f.iv + f.iv_len;
    f.text_len = len - ESP_HEADER_LEN - f.iv_len - ESP_ICV_LEN;
    f.icv = f.text + f.text_len;
    return f;
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)(value >> 32));
    put32(at + 4, (uint32_t)value);
}

/* ---- AEAD ---- */

/* SPI and sequence number; of an extended one its high half between them (RFC 4106, 5). */
static size_t make_aad(const struct esp_keys *keys, const struct frame *f, uint8_t aad[AAD_LEN_MAX])
{
    memcpy(aad, f->header, ESP_HEADER_LEN);
    if (!keys->has_esn)
        return ESP_HEADER_LEN;
    put64(aad + 4, f->number);
    return AAD_LEN_MAX;
}

/* The IV that is not sent is the sequence number, in 64 bits whatever of it is (RFC 8750, 4). */
static void make_nonce(const struct esp_keys *keys, const struct frame *f,
                       uint8_t nonce[AEAD_NONCE_LEN])
{
    memcpy(nonce, keys->salt, SUITE_ESP_SALT_LEN);
    if (f->iv_len > 0)
        memcpy(nonce + SUITE_ESP_SALT_LEN, f->iv, COUNTER_LEN);
    else
        put64(nonce + SUITE_ESP_SALT_LEN, f->number);
}

static int seal_aead(const struct esp_keys *keys, struct frame *f)
{
    uint8_t nonce[AEAD_NONCE_LEN], aad[AAD_LEN_MAX];

    if (f->iv_len > 0)
        put64(f->iv, f->number);
    make_nonce(keys, f, nonce);
    const size_t aad_len = make_aad(keys, f, aad);
    return aead_seal(f->context, nonce, aad, aad_len, f->text, f->text_len, f->icv);
}

static int open_aead(const struct esp_keys *keys, struct frame *f)
{
    uint8_t nonce[AEAD_NONCE_LEN], aad[AAD_LEN_MAX];

    make_nonce(keys, f, nonce);
    const size_t aad_len = make_aad(keys, f, aad);
    return aead_open_or_keep(f->context, nonce, aad, aad_len, f->text, f->text_len, f->icv);
}

/* ---- cipher and HMAC ---- */

/* RFC 3686, 4: nonce, IV, block counter from 1. */
static void make_counter_block(const struct esp_keys *keys, const struct frame *f,
                               uint8_t block[CIPHER_BLOCK_LEN])
{
    memcpy(block, keys->salt, SUITE_ESP_SALT_LEN);
    memcpy(block + SUITE_ESP_SALT_LEN, f->iv, COUNTER_LEN);
    put32(block + SUITE_ESP_SALT_LEN + COUNTER_LEN, 1);
}

/* CBC wants an IV that nobody can foresee: the number's own encryption is one (NIST SP 800-38A,
 * appendix C). Encrypting number and text in one go under a zero IV is just that. */
static int encrypt(const struct esp_keys *keys, struct frame *f)
{
    uint8_t block[CIPHER_BLOCK_LEN] = {0};

    if (is_cbc(keys->suite)) {
        memset(f->iv, 0, CIPHER_BLOCK_LEN);
        put64(f->iv + CIPHER_BLOCK_LEN - COUNTER_LEN, f->number);
        return cipher_mac_encrypt(f->context, block, f->iv, f->iv_len + f->text_len);
    }
    put64(f->iv, f->number);
    make_counter_block(keys, f, block);
    return cipher_mac_encrypt(f->context, block, f->text, f->text_len);
}

static int decrypt(const struct esp_keys *keys, struct frame *f)
{
    uint8_t block[CIPHER_BLOCK_LEN];

    if (is_cbc(keys->suite))
        memcpy(block, f->iv, CIPHER_BLOCK_LEN);
    else
        make_counter_block(keys, f, block);
    return cipher_mac_decrypt(f->context, block, f->text, f->text_len);
}

/* All but the ICV, and the high half of an extended number behind it (RFC 4303, 2.2.1). */
static size_t mac_pieces(const struct esp_keys *keys, const struct frame *f, uint8_t high[4],
                         struct piece pieces[2])
{
    pieces[0] = (struct piece){f->header, (size_t)(f->icv - f->header)};
    pieces[1] = (struct piece){high, 4};
    put32(high, (uint32_t)(f->number >> 32));
    return keys->has_esn ? 2 : 1;
}

static int seal_mac(const struct esp_keys *keys, struct frame *f, bool has_icv)
{
    struct piece pieces[2];
    uint8_t high[4];
    int result = encrypt(keys, f);

    if (result != ERR_OK)
        return result;
    if (!has_icv) {
        put32(f->icv, (uint32_t)(f->number >> 32)); /* for whoever computes it */
        return ERR_OK;
    }
    const size_t count = mac_pieces(keys, f, high, pieces);
    return cipher_mac_compute(f->context, pieces, count, f->icv);
}

static int check_icv(const struct esp_keys *keys, const struct frame *f)
{
    struct piece pieces[2];
    uint8_t high[4];

    if (f->foreseen != NULL)
        return crypto_is_equal(f->foreseen, f->icv, ESP_ICV_LEN) ? ERR_OK : ERR_AUTH;
    const size_t count = mac_pieces(keys, f, high, pieces);
    return cipher_mac_check(f->context, pieces, count, f->icv);
}

static int open_mac(const struct esp_keys *keys, struct frame *f)
{
    int result = check_icv(keys, f);

    if (result != ERR_OK)
        return result;
    return decrypt(keys, f) == ERR_OK ? ERR_OK : ERR_CRYPTO;
}

/* ---- the way out ---- */

static int seal(struct esp_sender *sender, struct packet *packet, uint8_t next_header, bool has_icv,
                uint64_t *ret_number)
{
    struct esp_keys *keys = &sender->keys;
    const uint32_t front = ESP_HEADER_LEN + (uint32_t)suite_iv_len(keys->suite);
    const size_t padding = esp_padding_len(packet->len, suite_alignment(keys->suite));

    if (packet->len > suite_payload_max(keys->suite) || packet_headroom(packet) < front ||
        packet_tailroom(packet) < padding + ESP_TRAILER_LEN + ESP_ICV_LEN)
        return ERR_FULL;
    /* The counter goes on where the wire's numbers end, so that none is ever taken twice. */
    const uint64_t number = atomic_fetch_add_explicit(&sender->next, 1, memory_order_relaxed);
    if (number > (keys->has_esn ? ESN_MAX : UINT32_MAX))
        return ERR_STATE;
    esp_trailer_write(packet->data + packet->len, padding, next_header);
    packet->len += (uint32_t)(padding + ESP_TRAILER_LEN + ESP_ICV_LEN);
    const struct esp_header header = {.spi = keys->spi, .sequence = (uint32_t)number};
    uint8_t *start = packet_push(packet, front);
    esp_header_write(&header, start);
    struct frame f = frame_of(keys, start, packet->len);
    f.number = number;

    int result = take_context(keys, &f.context);
    if (result == ERR_OK) {
        result = is_aead(keys->suite) ? seal_aead(keys, &f) : seal_mac(keys, &f, has_icv);
        give_context(keys, f.context);
    }
    if (result != ERR_OK) {
        crypto_wipe(start, packet->len);
        return ERR_CRYPTO;
    }
    packet->tag_keys = has_icv ? NULL : keys;
    packet->tag_is_esp = true;
    if (ret_number != NULL)
        *ret_number = number;
    return ERR_OK;
}

int esp_seal(struct esp_sender *sender, struct packet *packet, uint8_t next_header,
             uint64_t *ret_number)
{
    return seal(sender, packet, next_header, true, ret_number);
}

int esp_seal_deferring(struct esp_sender *sender, struct packet *packet, uint8_t next_header,
                       uint64_t *ret_number)
{
    return seal(sender, packet, next_header, is_aead(sender->keys.suite), ret_number);
}

bool esp_sender_is_rekey_due(const struct esp_sender *sender)
{
    return atomic_load_explicit(&sender->next, memory_order_relaxed) > sender->rekey_at;
}

/* ---- the way in ---- */

/* RFC 4303, appendix A2: the high half that puts the number into the window or ahead of it. 0: it
 * would lie before the first of all. */
static uint64_t infer_number(const struct esp_receiver *receiver, uint32_t low)
{
    const struct replay *r = &receiver->replay;
    const uint64_t highest = atomic_load_explicit(&r->highest, memory_order_relaxed);
    const uint32_t highest_low = (uint32_t)highest;
    const uint32_t bottom = highest_low - r->window + 1; /* modulo 2^32 */
    uint32_t high = (uint32_t)(highest >> 32);

    if (!receiver->keys.has_esn)
        return low;
    if (highest_low >= r->window - 1) { /* the window lies within one subspace */
        if (low < bottom)
            high++;
    } else if (low >= bottom) { /* it begins in the one before */
        if (high == 0)
            return 0;
        high--;
    }
    return (uint64_t)high << 32 | low;
}

/* Of the threads that have the same message, whoever marks it first. */
static int mark(struct esp_receiver *receiver, const struct frame *f)
{
    pthread_mutex_lock(&receiver->lock);
    const bool is_new = replay_mark(&receiver->replay, f->number);
    pthread_mutex_unlock(&receiver->lock);
    if (is_new)
        return ERR_OK;
    /* Nobody is to take what is clear now for a datagram. */
    crypto_wipe(f->header, (size_t)(f->icv - f->header) + ESP_ICV_LEN);
    return ERR_REPLAY;
}

/* The window may move up meanwhile: the number is the one that has been authenticated. */
static int open_new(struct esp_receiver *receiver, struct frame *f, const struct packet *packet,
                    uint32_t low)
{
    struct esp_keys *keys = &receiver->keys;

    f->number = infer_number(receiver, low);
    if (!replay_is_new(&receiver->replay, f->number))
        return ERR_REPLAY;
    if (packet->tag_keys == keys && packet->foreseen_high == (uint32_t)(f->number >> 32))
        f->foreseen = packet->foreseen_tag;
    if (take_context(keys, &f->context) != ERR_OK)
        return ERR_CRYPTO;
    int result = is_aead(keys->suite) ? open_aead(keys, f) : open_mac(keys, f);
    give_context(keys, f->context);
    return result == ERR_OK ? mark(receiver, f) : result;
}

/* By its length and its SPI. */
static bool is_for(const struct esp_keys *keys, const struct packet *packet,
                   struct esp_header *ret_header)
{
    const size_t alignment = suite_alignment(keys->suite);
    const size_t around = ESP_HEADER_LEN + suite_iv_len(keys->suite) + ESP_ICV_LEN;

    if (packet->len < around + alignment || (packet->len - around) % alignment != 0)
        return false;
    esp_header_read(packet->data, ret_header);
    return ret_header->spi == keys->spi;
}

int esp_open(struct esp_receiver *receiver, struct packet *packet, struct esp_message *ret_message)
{
    struct esp_keys *keys = &receiver->keys;
    struct esp_header header;
    size_t payload_len = 0;

    if (!is_for(keys, packet, &header))
        return ERR_INVALID;
    struct frame f = frame_of(keys, packet->data, packet->len);
    int result = open_new(receiver, &f, packet, header.sequence);
    if (result != ERR_OK)
        return result;
    struct esp_message message = {.number = f.number};
    if (esp_trailer_read(f.text, f.text_len, &payload_len, &message.next_header) != ERR_OK)
        return ERR_LIMIT;
    packet->data = f.text;
    packet->len = (uint32_t)payload_len;
    *ret_message = message;
    return ERR_OK;
}

/* ---- MACs in batches ---- */

const struct mac_states *esp_keys_states(const struct esp_keys *keys)
{
    return is_aead(keys->suite) ? NULL : cipher_mac_states(keys->contexts.first);
}

uint32_t esp_keys_mac_len(const struct esp_keys *keys, const struct packet *packet)
{
    return packet->len - ESP_ICV_LEN + (keys->has_esn ? 4 : 0);
}

int esp_keys_mac(struct esp_keys *keys, const uint8_t *data, size_t len, uint8_t *ret_mac)
{
    const struct piece piece = {data, len};
    void *context;
    int result = take_context(keys, &context);

    if (result != ERR_OK)
        return result;
    result = cipher_mac_compute(context, &piece, 1, ret_mac);
    give_context(keys, context);
    return result;
}

bool esp_receiver_guess(const struct esp_receiver *receiver, const struct packet *packet,
                        uint32_t *ret_high)
{
    struct esp_header header;

    if (is_aead(receiver->keys.suite) || !is_for(&receiver->keys, packet, &header))
        return false;
    *ret_high = (uint32_t)(infer_number(receiver, header.sequence) >> 32);
    return true;
}
