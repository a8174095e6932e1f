/* ESP sealing and opening (RFC 4303): one direction of one SA, with the same face as sput.h. A
 * sender numbers, pads, encrypts and authenticates; a receiver checks for replays, authenticates,
 * and only then lets anything be believed. Both may be used by several threads at once. What is
 * inside is translate.h's matter, which SA is meant is tunnel.h's. */
#ifndef TUNNEL_ESP_H
#define TUNNEL_ESP_H

#include "base/packet.h"
#include "tunnel/contexts.h"
#include "tunnel/replay.h"
#include "wire/esp.h"
#include "wire/suite.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct aead;
struct arena;
struct cipher_mac;

/* Sequence numbers after which a new SA is due: half of all where they have 32 bits; extended ones
 * well before one key has encrypted too much (2^36 packets of 1500 bytes are 2^43 blocks). */
#define ESP_REKEY_AT_DEFAULT     ((uint64_t)1 << 31)
#define ESP_REKEY_AT_DEFAULT_ESN ((uint64_t)1 << 36)

/* The keyed contexts of one direction. Private to esp.c. */
struct esp_keys {
    struct contexts contexts; /* struct cipher_mac: the suites with HMAC; struct aead: the others */
    enum suite suite;
    uint32_t spi;
    bool has_esn;
    uint8_t salt[SUITE_ESP_SALT_LEN];
    struct arena *arena;        /* more contexts lie there; NULL: on the heap */
    uint8_t key[SUITE_KEY_CAP]; /* for them */
};

/* What every message needs comes first, and what few of them need last. */
struct esp_sender {
    _Atomic uint64_t next; /* sequence number; past what the wire carries nothing is sent */
    uint64_t rekey_at;
    struct esp_keys keys;
};

struct esp_receiver {
    pthread_mutex_t lock; /* of marking */
    struct esp_keys keys;
    struct replay replay;
};

/* What an SA is, besides its keys. */
struct esp_terms {
    enum suite suite;
    uint32_t spi;
    bool has_esn;        /* extended sequence numbers (RFC 4303, 2.2.1) */
    struct arena *arena; /* for keyed contexts, which it outlives; NULL: the heap */
};

/* key: suite_key_len(suite) bytes, copied; key_len must be that, else ERR_INVALID. ERR_UNSUPPORTED:
 * not a suite of ESP. rekey_at: 0 for the defaults above. */
MUST_USE int esp_sender_init(struct esp_sender *sender, const struct esp_terms *terms,
                             const uint8_t *key, size_t key_len, uint64_t rekey_at);
/* window: REPLAY_WINDOW_DEFAULT. */
MUST_USE int esp_receiver_init(struct esp_receiver *receiver, const struct esp_terms *terms,
                               const uint8_t *key, size_t key_len, uint32_t window);
/* Wipe everything. Also for zeroed ones that were never initialised. */
void esp_sender_done(struct esp_sender *sender);
void esp_receiver_done(struct esp_receiver *receiver);

/* Seals the packet's bytes as payload, in place: needs head-room for header and IV, tail-room for
 * padding, trailer and ICV (at most ESP_TAIL_MAX). ret_number (may be NULL) is the sequence number
 * used. ERR_FULL: payload too long, or no room; ERR_STATE: no sequence numbers are left; the packet
 * is as it was then. ERR_CRYPTO: its content is lost. */
#define ESP_TAIL_MAX (ESP_PADDING_MAX + ESP_TRAILER_LEN + ESP_ICV_LEN)
MUST_USE int esp_seal(struct esp_sender *sender, struct packet *packet, uint8_t next_header,
                      uint64_t *ret_number);
/* The same, but the ICV of a suite with HMAC is left open: packet->tag_keys is this SA's then
 * (tunnel/sput_batch.h). */
MUST_USE int esp_seal_deferring(struct esp_sender *sender, struct packet *packet,
                                uint8_t next_header, uint64_t *ret_number);
/* Is it time for a new SA? */
bool esp_sender_is_rekey_due(const struct esp_sender *sender);

struct esp_message {
    uint64_t number; /* with the high half, sent or inferred */
    uint8_t next_header;
};

/* Opens a datagram in place: the packet is the payload then, without padding. On ERR_INVALID (no
 * length of this suite, another SPI), ERR_REPLAY and ERR_AUTH the packet is as it was (or zeroes,
 * where another thread has opened the same message at that very moment). ERR_LIMIT: authentic, but
 * its padding is longer than itself; ERR_CRYPTO: content lost, as with ERR_LIMIT. */
MUST_USE int esp_open(struct esp_receiver *receiver, struct packet *packet,
                      struct esp_message *ret_message);

/* ---- MACs in batches: sput_batch.c alone ---- */

struct mac_states;
/* NULL: of a suite without HMAC. */
const struct mac_states *esp_keys_states(const struct esp_keys *keys);
/* What a MAC is made of begins with the packet, and is so long: behind the message there may be the
 * high half of its number, where the ICV belongs. */
uint32_t esp_keys_mac_len(const struct esp_keys *keys, const struct packet *packet);
/* ret_mac: ESP_ICV_LEN bytes. */
MUST_USE int esp_keys_mac(struct esp_keys *keys, const uint8_t *data, size_t len, uint8_t *ret_mac);
/* Is the packet a message of this SA, with HMAC? Then ret_high is what the high half of its number
 * seems to be. */
bool esp_receiver_guess(const struct esp_receiver *receiver, const struct packet *packet,
                        uint32_t *ret_high);

#endif
