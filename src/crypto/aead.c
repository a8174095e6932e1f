/* Chooses, once for each algorithm, what computes it: every library that passes its self-test is
 * timed for a moment, and the fastest wins. */
#include "crypto/aead_backend.h"

#include "base/arena.h"
#include "crypto/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALGORITHMS   3
#define TRIAL_LEN    1400
#define TRIAL_COUNT  64 /* messages, sealed and opened: some 50 µs */
#define TRIAL_ROUNDS 5

/* Looking ahead, in bytes of a context: its beginning with the round keys, the last of its lines,
 * and what a message has around its text. */
#define AHEAD_ROUND_KEYS (5 * ARENA_LINE)
#define AHEAD_END        (16 * ARENA_LINE)
#define AHEAD_AROUND     48
#define AHEAD_LEN_MAX    (8 * ARENA_LINE)

static const struct aead_backend *const backends[] = {&aead_libcrypto, &aead_ipsec_mb};
static const struct aead_backend *chosen[ALGORITHMS];
static pthread_once_t choice_once = PTHREAD_ONCE_INIT;

size_t aead_key_len(enum aead_algorithm algorithm)
{
    return algorithm == AEAD_AES128_GCM ? 16 : 32;
}

/* ---- which one ---- */

/* Of the zero key, nonce 000102…, associated data "detec" and 37 bytes of 0x5a: computed with
 * another implementation (tests/vectors/aead.txt holds the published ones). */
#define ANSWER_LEN 37
static const uint8_t answers[ALGORITHMS][AEAD_TAG_LEN] = {
    [AEAD_AES128_GCM] = {0x25, 0xcc, 0x54, 0xec, 0x41, 0x66, 0x89, 0x9f, 0x7d, 0xcb, 0x1c, 0xbd,
                         0xbb, 0xb0, 0x98, 0x69},
    [AEAD_AES256_GCM] = {0x6b, 0xa1, 0x61, 0x70, 0x16, 0xa2, 0xcd, 0x7a, 0xed, 0x57, 0x92, 0x65,
                         0x68, 0x2b, 0xaa, 0xf9},
    [AEAD_CHACHA20_POLY1305] = {0x39, 0x02, 0xa5, 0xa8, 0x0d, 0xc9, 0x96, 0x17, 0x31, 0xc3, 0x5b,
                                0x41, 0xb7, 0x9b, 0x40, 0x70}};

bool aead_backend_is_right(const struct aead_backend *backend, enum aead_algorithm algorithm)
{
    static const uint8_t key[AEAD_KEY_LEN_MAX] = {0};
    static const uint8_t nonce[AEAD_NONCE_LEN] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    uint8_t data[ANSWER_LEN], tag[AEAD_TAG_LEN];
    struct aead *keyed;
    bool is_right = false;

    memset(data, 0x5a, sizeof(data));
    if (aead_new_with(backend, algorithm, key, &keyed) != ERR_OK)
        return false;
    if (backend->seal(keyed, nonce, "detec", 5, data, sizeof(data), tag) == ERR_OK &&
        crypto_is_equal(tag, answers[algorithm], sizeof(tag)) &&
        backend->open(keyed, nonce, "detec", 5, data, sizeof(data), tag) == ERR_OK) {
        is_right = true;
        for (size_t i = 0; i < sizeof(data); i++)
            is_right = is_right && data[i] == 0x5a;
        tag[AEAD_TAG_LEN - 1] ^= 1;
        is_right = is_right &&
                   backend->open(keyed, nonce, "detec", 5, data, sizeof(data), tag) == ERR_AUTH;
    }
    aead_free(keyed);
    return is_right;
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Nanoseconds for the same work, the best of some rounds: others may use the processor too. */
static uint64_t trial_ns(const struct aead_backend *backend, enum aead_algorithm algorithm)
{
    uint8_t key[AEAD_KEY_LEN_MAX] = {0}, nonce[AEAD_NONCE_LEN] = {0}, tag[AEAD_TAG_LEN];
    uint8_t data[TRIAL_LEN] = {0};
    uint64_t best = UINT64_MAX;
    struct aead *keyed;

    if (aead_new_with(backend, algorithm, key, &keyed) != ERR_OK)
        return best;
    for (int round = 0; round < TRIAL_ROUNDS; round++) {
        const uint64_t begin = clock_ns();
        int failures = 0;
        for (int i = 0; i < TRIAL_COUNT; i++) {
            failures += backend->seal(keyed, nonce, nonce, 4, data, sizeof(data), tag) != ERR_OK;
            failures += backend->open(keyed, nonce, nonce, 4, data, sizeof(data), tag) != ERR_OK;
        }
        const uint64_t took = clock_ns() - begin;
        if (failures == 0 && took < best)
            best = took;
    }
    aead_free(keyed);
    return best;
}

static void choose(void)
{
    for (int algorithm = 0; algorithm < ALGORITHMS; algorithm++) {
        uint64_t best = UINT64_MAX;
        chosen[algorithm] = &aead_libcrypto;
        for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
            if (!aead_backend_is_right(backends[i], (enum aead_algorithm)algorithm))
                continue;
            const uint64_t took = trial_ns(backends[i], (enum aead_algorithm)algorithm);
            if (took < best) {
                best = took;
                chosen[algorithm] = backends[i];
            }
        }
    }
}

void aead_choose(void)
{
    pthread_once(&choice_once, choose);
}

const char *aead_backend_name(enum aead_algorithm algorithm)
{
    aead_choose();
    return chosen[algorithm]->name;
}

/* ---- contexts ---- */

static void give_back(struct aead *aead, size_t size)
{
    if (aead->arena != NULL)
        arena_give_back(aead->arena, aead, size);
    else
        free(aead);
}

static int new_in(struct arena *arena, const struct aead_backend *backend,
                  enum aead_algorithm algorithm, const uint8_t *key, struct aead **ret_aead)
{
    const size_t size = (backend->size + ARENA_LINE - 1) / ARENA_LINE * ARENA_LINE;
    struct aead *aead =
        (struct aead *)(arena != NULL ? arena_take(arena, size) : aligned_alloc(ARENA_LINE, size));
    if (aead == NULL)
        return ERR_NOMEM;
    memset(aead, 0, size);
    aead->backend = backend;
    aead->arena = arena;
    int result = backend->make(algorithm, key, aead);
    if (result != ERR_OK) {
        backend->destroy(aead);
        give_back(aead, size);
        return result;
    }
    *ret_aead = aead;
    return ERR_OK;
}

int aead_new_with(const struct aead_backend *backend, enum aead_algorithm algorithm,
                  const uint8_t *key, struct aead **ret_aead)
{
    return new_in(NULL, backend, algorithm, key, ret_aead);
}

int aead_new_in(struct arena *arena, enum aead_algorithm algorithm, const uint8_t *key,
                struct aead **ret_aead)
{
    aead_choose();
    return new_in(arena, chosen[algorithm], algorithm, key, ret_aead);
}

int aead_new(enum aead_algorithm algorithm, const uint8_t *key, struct aead **ret_aead)
{
    return aead_new_in(NULL, algorithm, key, ret_aead);
}

void aead_free(struct aead *aead)
{
    if (aead == NULL)
        return;
    const struct aead_backend *backend = aead->backend;
    backend->destroy(aead);
    give_back(aead, backend->size);
}

/* As intel-ipsec-mb lays it out: round keys, and at the end of a table the powers of the hash key
 * that short messages need, the more of them the longer one is. Of others it is the beginning. */
void aead_look_ahead(const struct aead *aead, size_t len)
{
    const uint8_t *const start = (const uint8_t *)aead;
    const size_t powers = len < AHEAD_LEN_MAX ? len + AHEAD_AROUND : AHEAD_LEN_MAX;
    for (size_t at = 0; at < AHEAD_ROUND_KEYS; at += ARENA_LINE)
        __builtin_prefetch(start + at);
    for (size_t at = AHEAD_END - powers / ARENA_LINE * ARENA_LINE; at <= AHEAD_END;
         at += ARENA_LINE)
        __builtin_prefetch(start + at);
}

int aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad, size_t ad_len,
              uint8_t *data, size_t len, uint8_t ret_tag[AEAD_TAG_LEN])
{
    return aead->backend->seal(aead, nonce, ad, ad_len, data, len, ret_tag);
}

int aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad, size_t ad_len,
              uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN])
{
    int result = aead->backend->open(aead, nonce, ad, ad_len, data, len, tag);
    if (result != ERR_OK)
        crypto_wipe(data, len);
    return result;
}

int aead_open_or_keep(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad,
                      size_t ad_len, uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN])
{
    uint8_t none[AEAD_TAG_LEN];
    int result = aead->backend->open(aead, nonce, ad, ad_len, data, len, tag);
    if (result == ERR_OK)
        return ERR_OK;
    /* All three are stream ciphers: encrypting under the same nonce undoes the decryption. */
    if (result != ERR_AUTH ||
        aead->backend->seal(aead, nonce, NULL, 0, data, len, none) != ERR_OK) {
        crypto_wipe(data, len);
        return ERR_CRYPTO;
    }
    return ERR_AUTH;
}
