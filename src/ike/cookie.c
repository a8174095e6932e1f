/* Cookies: <version of secret> | HMAC(secret, Ni | IPi | port | SPIi) (RFC 7296, 2.6). */
#include "ike/cookie.h"
#include "crypto/memory.h"
#include <string.h>

int ike_cookies_init(struct ike_cookies *cookies, uint64_t lifetime_us, uint64_t now_us)
{
    memset(cookies, 0, sizeof(*cookies));
    cookies->lifetime_us = lifetime_us;
    cookies->changed_us = now_us;
    return crypto_random(cookies->secrets, sizeof(cookies->secrets));
}

void ike_cookies_done(struct ike_cookies *cookies)
{
    crypto_wipe(cookies, sizeof(*cookies));
}

/* One step forgets the older secret; after a long silence, both. */
static int rotate(struct ike_cookies *cookies, uint64_t now_us)
{
    for (int i = 0; i < 2 && now_us - cookies->changed_us >= cookies->lifetime_us; i++) {
        uint8_t version = (uint8_t)(cookies->version + 1);
        int error = crypto_random(cookies->secrets[version & 1], SHA256_LEN);
        if (error != ERR_OK)
            return error;
        cookies->version = version;
        bool is_long_ago = now_us - cookies->changed_us >= 2 * cookies->lifetime_us;
        cookies->changed_us =
            i == 0 && is_long_ago ? cookies->changed_us + cookies->lifetime_us : now_us;
    }
    return ERR_OK;
}

static int compute(const struct ike_cookies *cookies, uint8_t version,
                   const struct ike_cookie_bind *bind, uint8_t ret_cookie[IKE_COOKIE_LEN])
{
    uint8_t mac[SHA256_LEN];
    const struct piece pieces[] = {
        {bind->nonce, bind->nonce_len},
        {&bind->remote.address.family, sizeof(bind->remote.address.family)},
        {bind->remote.address.bytes, sizeof(bind->remote.address.bytes)},
        {&bind->remote.port, sizeof(bind->remote.port)},
        {&bind->spi_i, sizeof(bind->spi_i)},
    };

    int error = hmac_sha256(cookies->secrets[version & 1], SHA256_LEN, pieces,
                            sizeof(pieces) / sizeof(pieces[0]), mac);
    if (error != ERR_OK)
        return error;
    ret_cookie[0] = version;
    memcpy(ret_cookie + 1, mac, IKE_COOKIE_LEN - 1);
    return ERR_OK;
}

int ike_cookies_make(struct ike_cookies *cookies, const struct ike_cookie_bind *bind,
                     uint64_t now_us, uint8_t ret_cookie[IKE_COOKIE_LEN])
{
    int error = rotate(cookies, now_us);
    return error != ERR_OK ? error : compute(cookies, cookies->version, bind, ret_cookie);
}

int ike_cookies_check(struct ike_cookies *cookies, const struct ike_cookie_bind *bind,
                      const uint8_t *cookie, size_t len, uint64_t now_us)
{
    uint8_t expected[IKE_COOKIE_LEN];

    int error = rotate(cookies, now_us);
    if (error != ERR_OK)
        return error;
    if (len != IKE_COOKIE_LEN || (uint8_t)(cookies->version - cookie[0]) > 1)
        return ERR_AUTH;
    error = compute(cookies, cookie[0], bind, expected);
    if (error != ERR_OK)
        return error;
    return crypto_is_equal(expected, cookie, IKE_COOKIE_LEN) ? ERR_OK : ERR_AUTH;
}
