/* Vouchers: what one is good for, and above all for what it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "login/voucher.h"
#include "vectors.h"

#define ZONE  "detec.example.net"
#define NAME  "laptop.detec.example.net"
#define NOW_S 1767225600

static struct identity *connector, *other;
static uint8_t key[NOTIFY_KEY_LEN];

static int make_keys(void **state)
{
    memset(key, 0x4b, sizeof key);
    return identity_generate(&connector) == ERR_OK && identity_generate(&other) == ERR_OK ? 0 : -1;
}

static int free_keys(void **state)
{
    identity_free(connector);
    identity_free(other);
    return 0;
}

static const struct voucher_claim claim = {ZONE, NAME, key};

static struct notify_voucher make(void)
{
    struct notify_voucher voucher;
    assert_int_equal(voucher_sign(connector, &claim, NOW_S, &voucher), ERR_OK);
    return voucher;
}

static int check(const struct notify_voucher *voucher, const char *zone, const char *name,
                 const uint8_t *of)
{
    const struct voucher_claim claimed = {zone, name, of};
    return voucher_check(voucher, identity_public(connector), &claimed);
}

static void test_good(void **state)
{
    const struct notify_voucher voucher = make();
    assert_true(voucher.expires_s == NOW_S + VOUCHER_LIFE_S);
    assert_int_equal(check(&voucher, ZONE, NAME, key), ERR_OK);
}

/* Another zone, name, key or connector; and no way to move the border between zone and name. */
static void test_for_nothing_else(void **state)
{
    const struct notify_voucher voucher = make();
    static const struct {
        const char *zone, *name;
    } wrong[] = {{"detec.example.org", NAME},
                 {"example.net", NAME},
                 {ZONE, "laptop2.detec.example.net"},
                 {ZONE, "aptop.detec.example.net"},
                 {ZONE "l", "aptop.detec.example.net"},
                 {ZONE, ""},
                 {"", NAME},
                 {NAME, ZONE}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(check(&voucher, wrong[i].zone, wrong[i].name, key), ERR_AUTH);
    for (size_t i = 0; i < sizeof key * 8; i++) {
        uint8_t stolen[NOTIFY_KEY_LEN];
        memcpy(stolen, key, sizeof stolen);
        stolen[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(check(&voucher, ZONE, NAME, stolen), ERR_AUTH);
    }
    assert_int_equal(voucher_check(&voucher, identity_public(other), &claim), ERR_AUTH);
    /* Another connector may say what it likes of this zone. */
    struct notify_voucher evil;
    assert_int_equal(voucher_sign(other, &claim, NOW_S, &evil), ERR_OK);
    assert_int_equal(check(&evil, ZONE, NAME, key), ERR_AUTH);
}

/* Every bit counts, those of the expiry as well. */
static void test_every_bit(void **state)
{
    for (size_t i = 0; i < 64 + NOTIFY_SIGN_LEN * 8; i++) {
        struct notify_voucher voucher = make();
        if (i < 64)
            voucher.expires_s ^= (uint64_t)1 << i;
        else
            voucher.signature[(i - 64) / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(check(&voucher, ZONE, NAME, key), ERR_AUTH);
    }
    const struct notify_voucher zero = {0};
    assert_int_equal(check(&zero, ZONE, NAME, key), ERR_AUTH);
}

static void test_time(void **state)
{
    const struct notify_voucher voucher = make();
    static const struct {
        int64_t after_s;
        bool is_fresh;
    } times[] = {{0, true},
                 {VOUCHER_LIFE_S, true},
                 {VOUCHER_LIFE_S + VOUCHER_SKEW_S, true},
                 {VOUCHER_LIFE_S + VOUCHER_SKEW_S + 1, false},
                 {86400, false},
                 {-VOUCHER_SKEW_S, true},
                 {-VOUCHER_SKEW_S - 1, false},
                 {-(int64_t)NOW_S, false}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_int_equal(voucher_is_fresh(&voucher, (uint64_t)(NOW_S + times[i].after_s)),
                         times[i].is_fresh);
    /* Good for ever, says who signs it; and what wraps around. */
    static const uint64_t odd[] = {
        0, 1, UINT64_MAX, UINT64_MAX - 1, NOW_S + 86400, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        const struct notify_voucher made_up = {.expires_s = odd[i]};
        assert_false(voucher_is_fresh(&made_up, NOW_S));
    }
    const struct notify_voucher now = {.expires_s = NOW_S};
    assert_false(voucher_is_fresh(&now, (uint64_t)-1)); /* a clock before 1970 */
}

static void test_long_names(void **state)
{
    char name[NAME_TEXT_CAP + 8];
    struct notify_voucher voucher;
    memset(name, 'a', sizeof name);
    name[NAME_TEXT_CAP - 1] = '\0';
    const struct voucher_claim longest = {name, name, key};
    assert_int_equal(voucher_sign(connector, &longest, NOW_S, &voucher), ERR_OK);
    assert_int_equal(voucher_check(&voucher, identity_public(connector), &longest), ERR_OK);
    name[NAME_TEXT_CAP - 1] = 'a';
    name[NAME_TEXT_CAP] = '\0';
    assert_int_equal(voucher_sign(connector, &longest, NOW_S, &voucher), ERR_INVALID);
    assert_int_equal(voucher_check(&voucher, identity_public(connector), &longest), ERR_INVALID);
}

/* The example of docs/protocol.md, by the keys of RFC 8032, 7.1. */
static void test_example(void **state)
{
    static const uint8_t host[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                   0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                   0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    static const struct public_key signer = {{0xfc, 0x51, 0xcd, 0x8e, 0x62, 0x18, 0xa1, 0xa3,
                                              0x8d, 0xa4, 0x7e, 0xd0, 0x02, 0x30, 0xf0, 0x58,
                                              0x08, 0x16, 0xed, 0x13, 0xba, 0x33, 0x03, 0xac,
                                              0x5d, 0xeb, 0x91, 0x15, 0x48, 0x90, 0x80, 0x25}};
    const struct voucher_claim example = {ZONE, NAME, host};
    struct vector_case c = {0};
    FILE *in = vectors_open("notify.txt");
    int cases = 0;
    while (vectors_next(in, &c)) {
        static struct notify_call call;
        struct notify_vouched vouched;
        uint8_t data[NOTIFY_LEN_MAX];
        const size_t len = vector_hex(&c, "data", data, sizeof data);
        if (strcmp(vector_text(&c, "name"), "CALL, with a voucher") == 0) {
            assert_int_equal(notify_parse_call(data, len, &call), ERR_OK);
            assert_true(call.has_voucher);
            assert_string_equal(call.caller, NAME);
            vouched.voucher = call.voucher;
        } else if (strcmp(vector_text(&c, "name"), "VOUCHER") == 0) {
            assert_int_equal(notify_parse_vouched(data, len, &vouched), ERR_OK);
            assert_int_equal(vouched.left_s, VOUCHER_LIFE_S);
        } else {
            continue;
        }
        assert_true(vouched.voucher.expires_s == NOW_S + VOUCHER_LIFE_S);
        assert_int_equal(voucher_check(&vouched.voucher, &signer, &example), ERR_OK);
        cases++;
    }
    fclose(in);
    assert_int_equal(cases, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_for_nothing_else),
        cmocka_unit_test(test_every_bit),  cmocka_unit_test(test_time),
        cmocka_unit_test(test_long_names), cmocka_unit_test(test_example),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
