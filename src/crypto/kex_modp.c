/* Diffie-Hellman modulo the primes of RFC 3526, for peers that have nothing shorter. Private
 * exponents have 384 bits: more than twice the strength of either group. */
#include "crypto/kex_internal.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"

static BIGNUM *prime_new(enum kex_group group)
{
    return group == KEX_MODP3072 ? BN_get_rfc3526_prime_3072(NULL)
                                 : BN_get_rfc3526_prime_2048(NULL);
}

/* base to our private exponent, in constant time, as len bytes. */
static int power(const struct kex *kex, const BIGNUM *base, const BIGNUM *prime, uint8_t *ret_bytes,
                 size_t len)
{
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *exponent = BN_secure_new();
    BIGNUM *value = BN_secure_new();
    bool is_done = ctx != NULL && exponent != NULL && value != NULL &&
                   BN_bin2bn(kex->private_key, sizeof(kex->private_key), exponent) != NULL;

    if (is_done) {
        BN_set_flags(exponent, BN_FLG_CONSTTIME);
        is_done = BN_mod_exp_mont_consttime(value, base, exponent, prime, ctx, NULL) == 1 &&
                  BN_bn2binpad(value, ret_bytes, (int)len) == (int)len;
    }
    BN_clear_free(value);
    BN_clear_free(exponent);
    BN_CTX_free(ctx);
    return is_done ? ERR_OK : ERR_CRYPTO;
}

int kex_modp_init(struct kex *kex)
{
    int result = crypto_random(kex->private_key, sizeof(kex->private_key));
    if (result != ERR_OK)
        return result;
    kex->private_key[0] |= 0x80; /* never short, and never 0 */
    BIGNUM *prime = prime_new(kex->group);
    BIGNUM *generator = BN_new();
    result = ERR_CRYPTO;
    if (prime != NULL && generator != NULL && BN_set_word(generator, 2) == 1)
        result = power(kex, generator, prime, kex->public_key, kex->public_len);
    BN_free(generator);
    BN_free(prime);
    return result;
}

/* Neither 0, 1 nor p - 1, and below p (RFC 6989, 2.1): the primes are safe ones. */
static int check_range(const BIGNUM *value, const BIGNUM *prime)
{
    BIGNUM *last = BN_dup(prime);
    int result = ERR_CRYPTO;

    if (last != NULL && BN_sub_word(last, 1) == 1)
        result =
            BN_cmp(value, BN_value_one()) > 0 && BN_cmp(value, last) < 0 ? ERR_OK : ERR_INVALID;
    BN_free(last);
    return result;
}

int kex_modp_derive(const struct kex *kex, const uint8_t *peer_public, struct kex_secret *secret)
{
    BIGNUM *prime = prime_new(kex->group);
    BIGNUM *value = BN_bin2bn(peer_public, (int)kex->public_len, NULL);
    int result = prime != NULL && value != NULL ? check_range(value, prime) : ERR_CRYPTO;

    if (result == ERR_OK)
        result = power(kex, value, prime, secret->bytes, secret->len);
    BN_free(value);
    BN_free(prime);
    return result;
}
