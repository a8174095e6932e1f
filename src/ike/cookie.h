/* Stateless cookies against floods of IKE_SA_INIT from forged addresses (RFC 7296, 2.6). */
#ifndef IKE_COOKIE_H
#define IKE_COOKIE_H

#include "base/address.h"
#include "crypto/hash.h"

#define IKE_COOKIE_LEN 17 /* version of the secret, and half a HMAC-SHA-256 */

struct ike_cookies {
    uint8_t secrets[2][SHA256_LEN]; /* by the version's lowest bit */
    uint8_t version;                /* of the newer one */
    uint64_t changed_us;
    uint64_t lifetime_us;
};

/* What a cookie is bound to. */
struct ike_cookie_bind {
    const uint8_t *nonce;
    size_t nonce_len;
    uint64_t spi_i;
    struct endpoint remote;
};

MUST_USE int ike_cookies_init(struct ike_cookies *cookies, uint64_t lifetime_us, uint64_t now_us);
void ike_cookies_done(struct ike_cookies *cookies);
MUST_USE int ike_cookies_make(struct ike_cookies *cookies, const struct ike_cookie_bind *bind,
                              uint64_t now_us, uint8_t ret_cookie[IKE_COOKIE_LEN]);
/* ERR_AUTH: not one of ours, for another sender, or too old. */
MUST_USE int ike_cookies_check(struct ike_cookies *cookies, const struct ike_cookie_bind *bind,
                               const uint8_t *cookie, size_t len, uint64_t now_us);

#endif
