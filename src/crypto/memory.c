/* Secrets in memory, on libcrypto's primitives. What is secret and when it dies is decided by the
 * callers. */
#include "crypto/memory.h"

#include "crypto/libcrypto.h"
#include <limits.h>

void crypto_wipe(void *data, size_t len)
{
    if (data != NULL && len > 0)
        OPENSSL_cleanse(data, len);
}

bool crypto_is_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

int crypto_random(void *ret_data, size_t len)
{
    uint8_t *at = (uint8_t *)ret_data;

    for (size_t left = len; left > 0;) {
        int part = left > INT_MAX ? INT_MAX : (int)left;
        if (RAND_priv_bytes(at, part) != 1) {
            crypto_wipe(ret_data, len);
            return ERR_CRYPTO;
        }
        at += part;
        left -= (size_t)part;
    }
    return ERR_OK;
}
