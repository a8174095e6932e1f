/* Cookies: bound to sender and request, valid for two lifetimes at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "ike/cookie.h"
#include <string.h>

#define LIFETIME_US 60000000u

static const uint8_t nonce[32] = {1, 2, 3};

static struct ike_cookie_bind bind_of(uint32_t address, uint16_t port, uint64_t spi)
{
    return (struct ike_cookie_bind){nonce, sizeof(nonce), spi, {address_from_ipv4(address), port}};
}

static void test_binding(void **state)
{
    struct ike_cookies cookies;
    struct ike_cookie_bind good = bind_of(0xc0000201, 4500, 7), other;
    uint8_t cookie[IKE_COOKIE_LEN];

    assert_int_equal(ike_cookies_init(&cookies, LIFETIME_US, 1000), ERR_OK);
    assert_int_equal(ike_cookies_make(&cookies, &good, 2000, cookie), ERR_OK);
    assert_int_equal(ike_cookies_check(&cookies, &good, cookie, sizeof(cookie), 2000), ERR_OK);
    other = bind_of(0xc0000202, 4500, 7);
    assert_int_equal(ike_cookies_check(&cookies, &other, cookie, sizeof(cookie), 2000), ERR_AUTH);
    other = bind_of(0xc0000201, 4501, 7);
    assert_int_equal(ike_cookies_check(&cookies, &other, cookie, sizeof(cookie), 2000), ERR_AUTH);
    other = bind_of(0xc0000201, 4500, 8);
    assert_int_equal(ike_cookies_check(&cookies, &other, cookie, sizeof(cookie), 2000), ERR_AUTH);
    other = good;
    other.nonce_len--;
    assert_int_equal(ike_cookies_check(&cookies, &other, cookie, sizeof(cookie), 2000), ERR_AUTH);
    for (size_t len = 0; len < sizeof(cookie); len++)
        assert_int_equal(ike_cookies_check(&cookies, &good, cookie, len, 2000), ERR_AUTH);
    for (size_t bit = 0; bit < sizeof(cookie) * 8; bit++) {
        cookie[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ike_cookies_check(&cookies, &good, cookie, sizeof(cookie), 2000),
                         ERR_AUTH);
        cookie[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ike_cookies_done(&cookies);
    (void)state;
}

static void test_rotation(void **state)
{
    struct ike_cookies cookies;
    struct ike_cookie_bind bind = bind_of(0xc0000201, 4500, 7);
    uint8_t cookie[IKE_COOKIE_LEN], later[IKE_COOKIE_LEN];

    for (uint64_t silence = 0; silence < 5; silence++) {
        uint64_t now_us = 1000;
        assert_int_equal(ike_cookies_init(&cookies, LIFETIME_US, now_us), ERR_OK);
        assert_int_equal(ike_cookies_make(&cookies, &bind, now_us, cookie), ERR_OK);
        now_us += silence * LIFETIME_US + 1;
        bool is_valid = silence < 2;
        assert_int_equal(ike_cookies_check(&cookies, &bind, cookie, sizeof(cookie), now_us),
                         is_valid ? ERR_OK : ERR_AUTH);
        assert_int_equal(ike_cookies_make(&cookies, &bind, now_us, later), ERR_OK);
        assert_int_equal(memcmp(cookie, later, sizeof(cookie)) == 0, silence == 0);
        assert_int_equal(ike_cookies_check(&cookies, &bind, later, sizeof(later), now_us), ERR_OK);
        ike_cookies_done(&cookies);
    }
    /* busy all the time: an old cookie still ends */
    assert_int_equal(ike_cookies_init(&cookies, LIFETIME_US, 0), ERR_OK);
    assert_int_equal(ike_cookies_make(&cookies, &bind, 0, cookie), ERR_OK);
    for (uint64_t now_us = 0; now_us < 3 * LIFETIME_US; now_us += LIFETIME_US / 10)
        assert_int_equal(ike_cookies_check(&cookies, &bind, cookie, sizeof(cookie), now_us),
                         now_us < 2 * LIFETIME_US ? ERR_OK : ERR_AUTH);
    ike_cookies_done(&cookies);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_binding),
                                       cmocka_unit_test(test_rotation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
