/* SPUT sealing and opening: one direction of one SA. A sender numbers, encrypts and authenticates;
 * a receiver checks for replays, authenticates, and only then lets anything be believed. Both may
 * be used by several threads at once. What is inside a message is translate.h's
 * matter, which SA is tried is tunnel.h's. */
#ifndef TUNNEL_SPUT_H
#define TUNNEL_SPUT_H

#include "base/packet.h"
#include "tunnel/contexts.h"
#include "tunnel/replay.h"
#include "wire/sput.h"
#include "wire/suite.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct aead;
struct arena;
struct stream_mac;

/* Message numbers after which a new SA is due: half of all, so that there is time for it. */
#define SPUT_REKEY_AT_DEFAULT ((uint32_t)1 << 31)

/* The keyed contexts of one direction. Private to sput.c. */
struct sput_keys {
    struct contexts contexts; /* struct stream_mac: paper; struct aead: the others */
    enum suite suite;
    uint8_t salt[SUITE_AEAD_SALT_LEN];
    const struct stream_mac *stream; /* paper: the first, for what is constant in it */
    struct arena *arena;             /* more contexts lie there; NULL: on the heap */
    uint8_t key[SUITE_KEY_CAP];      /* for them */
};

/* What every message needs comes first, and what few of them need last. */
struct sput_sender {
    _Atomic uint64_t next; /* message number; past UINT32_MAX nothing is sent any more */
    uint32_t rekey_at;
    struct sput_keys keys;
};

struct sput_receiver {
    pthread_mutex_t lock; /* of marking */
    struct sput_keys keys;
    struct replay replay;
};

/* key: suite_key_len(suite) bytes, copied; key_len must be that, else ERR_INVALID. ERR_UNSUPPORTED
 * for an unknown suite. rekey_at: SPUT_REKEY_AT_DEFAULT. */
MUST_USE int sput_sender_init(struct sput_sender *sender, enum suite suite, const uint8_t *key,
                              size_t key_len, uint32_t rekey_at);
/* window: REPLAY_WINDOW_DEFAULT. */
MUST_USE int sput_receiver_init(struct sput_receiver *receiver, enum suite suite,
                                const uint8_t *key, size_t key_len, uint32_t window);
/* The same with keyed contexts in an arena (NULL: on the heap), which outlives them. */
MUST_USE int sput_sender_init_in(struct arena *arena, struct sput_sender *sender, enum suite suite,
                                 const uint8_t *key, size_t key_len, uint32_t rekey_at);
MUST_USE int sput_receiver_init_in(struct arena *arena, struct sput_receiver *receiver,
                                   enum suite suite, const uint8_t *key, size_t key_len,
                                   uint32_t window);
/* Wipe everything. Also for zeroed ones that were never initialised. */
void sput_sender_done(struct sput_sender *sender);
void sput_receiver_done(struct sput_receiver *receiver);

/* Seals the packet's bytes as payload, in place: needs SPUT_HEADER_LEN of head-room and the suite's
 * tag as tail-room. ret_number (may be NULL) is the message number used. ERR_FULL: payload too long
 * for the suite, or no room; ERR_STATE: no message numbers are left; the packet is as it was then.
 * ERR_CRYPTO: its content is lost. */
MUST_USE int sput_seal(struct sput_sender *sender, struct packet *packet, uint8_t command,
                       uint8_t next_header, uint16_t flags, uint32_t *ret_number);
/* The same, but the tag may be left open, to be made with those of other messages by
 * sput_batch_seal() (tunnel/sput_batch.h): packet->tag_keys says so then. */
MUST_USE int sput_seal_deferring(struct sput_sender *sender, struct packet *packet, uint8_t command,
                                 uint8_t next_header, uint16_t flags, uint32_t *ret_number);
/* Is it time for a new SA? */
bool sput_sender_is_rekey_due(const struct sput_sender *sender);
/* Numbers used so far. */
uint32_t sput_sender_count(const struct sput_sender *sender);

/* The tag alone, of a message of the suite with the HMAC. ERR_CRYPTO, ERR_NOMEM. */
MUST_USE int sput_keys_mac(struct sput_keys *keys, const uint8_t *message, size_t len,
                           uint8_t *ret_mac);

/* Opens a datagram in place: the packet is the payload then, ret_header what was authentic with it;
 * whether its command is known is the caller's matter. On ERR_INVALID (length, number 0),
 * ERR_REPLAY and ERR_AUTH the packet is as it was, so that an older SA can be tried (or zeroes,
 * where another thread has opened the same message at that very moment). ERR_CRYPTO: its content is
 * lost.
 */
MUST_USE int sput_open(struct sput_receiver *receiver, struct packet *packet,
                       struct sput_header *ret_header);

#endif
