/* What implements AEAD: one of several libraries, alike in every byte. aead.c chooses. */
#ifndef CRYPTO_AEAD_BACKEND_H
#define CRYPTO_AEAD_BACKEND_H

#include "crypto/aead.h"

struct arena;

/* What every keyed context begins with; its back-end's own part follows. */
struct aead {
    const struct aead_backend *backend;
    struct arena *arena; /* that it lies in; NULL: the heap */
};

struct aead_backend {
    const char *name;
    size_t size; /* of a context, with its beginning */
    /* Fills in a zeroed one, at the start of a cache line. key: aead_key_len() bytes.
     * ERR_UNSUPPORTED: not on this processor. */
    int (*make)(enum aead_algorithm algorithm, const uint8_t *key, void *keyed);
    void (*destroy)(void *keyed); /* wipes the key, frees no memory of its own. Also where make()
                                   * has failed */
    /* In place; return as aead_seal() and aead_open(), but on ERR_AUTH data holds the unauthentic
     * text. */
    int (*seal)(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len, uint8_t *data,
                size_t len, uint8_t *ret_tag);
    int (*open)(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len, uint8_t *data,
                size_t len, const uint8_t *tag);
};

extern const struct aead_backend aead_libcrypto;
extern const struct aead_backend aead_ipsec_mb; /* never ERR_OK where it was not built in */

/* With a given back-end instead of the chosen one. */
MUST_USE int aead_new_with(const struct aead_backend *backend, enum aead_algorithm algorithm,
                           const uint8_t *key, struct aead **ret_aead);
/* Does it compute what it should? Sealing, opening and refusing, against known answers. */
MUST_USE bool aead_backend_is_right(const struct aead_backend *backend,
                                    enum aead_algorithm algorithm);

#endif
