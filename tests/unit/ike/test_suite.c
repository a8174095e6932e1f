/* Profiles refuse what makes no sense; the choice among proposals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "ike/offer.h"
#include "ike/profile.h"
#include <string.h>

static struct identity *identity;

static struct ike_config good_config(void)
{
    struct ike_config config;
    ike_config_init(&config, identity);
    config.suites[0] = SPUT_PAPER;
    config.suites[1] = SPUT_AES256_GCM;
    config.addresses.own_ipv4 = address_from_ipv4(1);
    config.addresses.other_ipv4 = address_from_ipv4(2);
    return config;
}

static void expect_profile(const struct ike_config *config, int expected)
{
    struct ike_profile *profile = NULL;
    assert_int_equal(ike_profile_new(config, &profile), expected);
    assert_int_equal(profile != NULL, expected == ERR_OK);
    ike_profile_free(profile);
}

static void test_profiles(void **state)
{
    struct ike_config c = good_config();
    expect_profile(&c, ERR_OK);
    c.identity = NULL;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.suites[1] = SPUT_PAPER;
    expect_profile(&c, ERR_INVALID);
    c.suites[1] = (enum suite)1024;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.ciphers[0] = IKE_CIPHER_NONE;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.ciphers[1] = c.ciphers[0];
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    memset(&c.addresses.other_ipv4, 0, sizeof(c.addresses.other_ipv4));
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.addresses.own_ipv6.family = ADDRESS_IPV6;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.retransmit_first_us = 0;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    c.hard_percent = 99;
    expect_profile(&c, ERR_INVALID);
    c = good_config();
    strcpy(c.id, "Not.Canonical.");
    expect_profile(&c, ERR_INVALID);
    strcpy(c.id, "canonical.example.net");
    expect_profile(&c, ERR_OK);
    (void)state;
}

/* One proposal of these transforms. */
static size_t build(uint8_t *bytes, uint8_t number, uint8_t protocol, uint8_t spi_len,
                    const struct ike_transform *transforms, uint8_t count, bool is_last)
{
    static const uint8_t spi[8] = {0, 0, 0, 5, 6, 7, 8, 9};
    struct writer w;
    struct ike_builder b = {.w = &w};
    writer_init(&w, bytes, 512);
    ike_build_proposal(&b, is_last, number, protocol, spi, spi_len, transforms, count);
    assert_true(writer_is_ok(&w));
    return w.len;
}

/* The proposal as one of the first len bytes of a payload. */
static int choose(const struct ike_config *c, const uint8_t *bytes, size_t len, enum kex_group ke,
                  struct ike_offer_choice *ret_choice)
{
    const struct ike_payload sa = {.body = bytes, .len = len};
    return ike_offer_choose(c, &sa, 0, ke, ret_choice);
}

static int read_answer(const struct ike_config *c, const uint8_t *bytes, size_t len,
                       struct ike_offer_choice *ret_choice)
{
    const struct ike_payload sa = {.body = bytes, .len = len};
    return ike_offer_read(c, &sa, 0, ret_choice);
}

static void test_choice(void **state)
{
    struct ike_config c = good_config();
    struct ike_offer_choice choice;
    uint8_t bytes[1024];
    struct ike_transform t[] = {
        {IKE_TRANSFORM_ENCR, 12, 256, false}, /* CBC: not ours */
        {IKE_TRANSFORM_ENCR, IKE_ENCR_AES_GCM_16, 192, false},
        {IKE_TRANSFORM_ENCR, IKE_ENCR_AES_GCM_16, 128, false},
        {IKE_TRANSFORM_PRF, 2, 0, false},
        {IKE_TRANSFORM_PRF, IKE_PRF_HMAC_SHA2_256, 0, false},
        {IKE_TRANSFORM_KE, 19, 0, false},
        {IKE_TRANSFORM_KE, IKE_GROUP_CURVE25519, 0, false},
        {IKE_TRANSFORM_INTEG, IKE_INTEG_NONE, 0, false},
    };

    size_t len = build(bytes, 1, 1, 0, t, 8, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_OK);
    assert_int_equal(choice.algorithms.cipher, IKE_CIPHER_AES128_GCM);
    assert_int_equal(choice.algorithms.prf, HASH_SHA256);
    assert_int_equal(choice.algorithms.integ, HASH_NONE);
    assert_int_equal(choice.algorithms.group, KEX_X25519);
    assert_int_equal(choice.number, 1);
    /* as an answer it is ambiguous */
    assert_int_equal(read_answer(&c, bytes, len, &choice), ERR_NOT_FOUND);
    /* no PRF, no group, a MAC demanded, an unknown kind of transform, another protocol, a SPI */
    len = build(bytes, 1, 1, 0, t, 4, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    len = build(bytes, 1, 1, 0, t, 6, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    t[7].id = 12;
    len = build(bytes, 1, 1, 0, t, 8, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    t[7] = (struct ike_transform){9, 0, 0, false};
    len = build(bytes, 1, 1, 0, t, 8, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    len = build(bytes, 1, 3, 0, t, 7, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    len = build(bytes, 1, 1, 8, t, 7, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    /* the second proposal fits */
    len = build(bytes, 1, 1, 0, t, 2, false);
    len += build(bytes + len, 2, 1, 0, t, 7, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_OK);
    assert_int_equal(choice.number, 2);
    (void)state;
}

/* A cipher without authentication of its own needs an HMAC; the group is that of the KE payload
 * where it may be. */
static void test_choice_with_hmac(void **state)
{
    struct ike_config c = good_config();
    struct ike_offer_choice choice;
    uint8_t bytes[1024];
    struct ike_transform t[] = {
        {IKE_TRANSFORM_ENCR, IKE_ENCR_AES_GCM_16, 256, false},
        {IKE_TRANSFORM_ENCR, IKE_ENCR_AES_CBC, 128, false},
        {IKE_TRANSFORM_PRF, IKE_PRF_HMAC_SHA2_512, 0, false},
        {IKE_TRANSFORM_PRF, IKE_PRF_HMAC_SHA2_256, 0, false},
        {IKE_TRANSFORM_INTEG, IKE_INTEG_HMAC_SHA2_384_192, 0, false},
        {IKE_TRANSFORM_KE, KEX_MODP3072, 0, false},
        {IKE_TRANSFORM_KE, KEX_ECP256, 0, false},
    };

    c.ciphers[0] = IKE_CIPHER_AES256_GCM;
    c.ciphers[1] = IKE_CIPHER_AES128_CBC;
    c.ciphers[2] = IKE_CIPHER_NONE;
    c.prfs[0] = HASH_SHA512;
    c.integs[0] = HASH_SHA384;
    c.groups[0] = KEX_ECP256;
    c.groups[1] = KEX_MODP3072;
    size_t len = build(bytes, 1, 1, 0, t, 7, true);
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_OK);
    assert_int_equal(choice.algorithms.cipher, IKE_CIPHER_AES128_CBC); /* GCM with an HMAC: never */
    assert_int_equal(choice.algorithms.prf, HASH_SHA512);
    assert_int_equal(choice.algorithms.integ, HASH_SHA384);
    assert_int_equal(choice.algorithms.group, KEX_MODP3072);
    assert_int_equal(choose(&c, bytes, len, KEX_ECP256, &choice), ERR_OK);
    assert_int_equal(choice.algorithms.group, KEX_ECP256);
    assert_int_equal(choose(&c, bytes, len, KEX_X25519, &choice), ERR_OK);
    assert_int_equal(choice.algorithms.group, KEX_MODP3072);
    /* no HMAC that we take: no CBC */
    c.integs[0] = HASH_SHA256;
    assert_int_equal(choose(&c, bytes, len, KEX_NONE, &choice), ERR_NOT_FOUND);
    /* what we offer is two proposals, and the answer names that of its cipher */
    struct writer w;
    struct ike_builder b;
    const struct ike_header header = {.major_version = IKE_MAJOR_VERSION};
    uint8_t message[512];
    writer_init(&w, message, sizeof(message));
    ike_build_begin(&b, &w, &header);
    ike_offer_build(&c, &b, NULL);
    ike_build_end(&b, 0);
    assert_true(writer_is_ok(&w));
    const uint8_t *body = message + IKE_HEADER_LEN + IKE_PAYLOAD_HEADER_LEN;
    const size_t body_len = w.len - IKE_HEADER_LEN - IKE_PAYLOAD_HEADER_LEN;
    assert_int_equal(ike_proposals_check(body, body_len), ERR_OK);
    assert_int_equal(choose(&c, body, body_len, KEX_MODP3072, &choice), ERR_OK);
    assert_int_equal(choice.algorithms.cipher, IKE_CIPHER_AES256_GCM);
    for (uint8_t number = 1; number <= 3; number++) {
        for (int is_cbc = 0; is_cbc < 2; is_cbc++) {
            struct ike_transform answer[] = {
                t[is_cbc],
                t[2],
                t[6],
                {IKE_TRANSFORM_INTEG, IKE_INTEG_HMAC_SHA2_256_128, 0, false}};
            len = build(bytes, number, 1, 0, answer, is_cbc ? 4 : 3, true);
            assert_int_equal(read_answer(&c, bytes, len, &choice),
                             number == 1 + is_cbc ? ERR_OK : ERR_NOT_FOUND);
        }
    }
    (void)state;
}

static void test_child_choice(void **state)
{
    struct ike_config c = good_config();
    const struct ike_rule first = {.config = &c};
    const struct ike_rule rekey = {.config = &c, .has_ke = true};
    struct ike_choice choice;
    uint8_t bytes[512];
    const struct ike_transform t[] = {
        {IKE_TRANSFORM_ENCR, 1028, 0, false},
        {IKE_TRANSFORM_ENCR, 1026, 0, false},
        {IKE_TRANSFORM_ENCR, 1025, 0, false},
        {IKE_TRANSFORM_KE, IKE_GROUP_CURVE25519, 0, false},
    };

    size_t len = build(bytes, 1, IKE_PROTOCOL_SPUT, 4, t, 3, true);
    assert_int_equal(ike_rule_choose(&first, bytes, len, false, &choice), ERR_OK);
    assert_int_equal(choice.suite, SPUT_PAPER);
    assert_int_equal(choice.spi, 5);
    assert_int_equal(ike_rule_choose(&rekey, bytes, len, false, &choice), ERR_NOT_FOUND);
    len = build(bytes, 1, IKE_PROTOCOL_SPUT, 4, t, 4, true);
    assert_int_equal(ike_rule_choose(&first, bytes, len, false, &choice), ERR_NOT_FOUND);
    assert_int_equal(ike_rule_choose(&rekey, bytes, len, false, &choice), ERR_OK);
    /* an answer is one encryption and one group */
    len = build(bytes, 1, IKE_PROTOCOL_SPUT, 4, t + 2, 2, true);
    assert_int_equal(ike_rule_choose(&rekey, bytes, len, true, &choice), ERR_OK);
    len = build(bytes, 2, IKE_PROTOCOL_SPUT, 4, t + 2, 2, true);
    assert_int_equal(ike_rule_choose(&rekey, bytes, len, true, &choice), ERR_NOT_FOUND);
    (void)state;
}

/* Suites of both protocols: a proposal for each run of one kind, and each answered by its number.
 */
static void test_mixed_offer(void **state)
{
    static const enum suite suites[] = {ESP_AES128_GCM_IIV,    ESP_CHACHA20_POLY1305,
                                        ESP_AES256_CBC_SHA256, ESP_AES128_CTR_SHA256,
                                        SPUT_AES128_GCM,       SPUT_PAPER,
                                        ESP_AES256_GCM};
    static const uint8_t numbers[] = {1, 1, 2, 2, 3, 3, 4};
    struct ike_config ours = good_config(), theirs = good_config();
    const struct ike_rule offer = {.config = &ours}, answer = {.config = &theirs};
    struct ike_choice choice;
    uint8_t bytes[1024], reply[256];

    memcpy(ours.suites, suites, sizeof(suites));
    for (size_t i = 0; i < 7; i++) {
        struct writer w;
        struct ike_builder b;
        const struct ike_header header = {0};
        theirs.suites[0] = suites[i];
        theirs.suites[1] = SUITE_NONE;
        writer_init(&w, bytes, sizeof(bytes));
        ike_build_begin(&b, &w, &header);
        ike_rule_offer(&offer, &b, 0x02030405);
        ike_build_end(&b, 0);
        assert_true(writer_is_ok(&w));
        const size_t at = 28 + 4; /* behind both headers */
        assert_int_equal(ike_rule_choose(&answer, bytes + at, w.len - at, false, &choice), ERR_OK);
        assert_int_equal(choice.suite, suites[i]);
        assert_int_equal(choice.number, numbers[i]);
        assert_int_equal(choice.spi, 0x02030405);
        assert_int_equal(choice.has_esn, suite_is_esp(suites[i]));

        writer_init(&w, reply, sizeof(reply));
        ike_build_begin(&b, &w, &header);
        ike_rule_answer(&answer, &b, &choice, 0x0a0b0c0d);
        ike_build_end(&b, 0);
        assert_int_equal(ike_rule_choose(&offer, reply + at, w.len - at, true, &choice), ERR_OK);
        assert_int_equal(choice.suite, suites[i]);
        assert_int_equal(choice.spi, 0x0a0b0c0d);
        assert_int_equal(choice.has_esn, suite_is_esp(suites[i]));
        reply[at + 4]++; /* another proposal's number */
        assert_int_equal(ike_rule_choose(&offer, reply + at, w.len - at, true, &choice),
                         ERR_NOT_FOUND);
        reply[at + 4]--;
        const struct ike_rule no_esp = {.config = &ours, .no_esp = true};
        assert_int_equal(ike_rule_choose(&no_esp, reply + at, w.len - at, false, &choice),
                         suite_is_esp(suites[i]) ? ERR_NOT_FOUND : ERR_OK);
    }
    (void)state;
}

/* What others put together: integrity of AEADs, both kinds in one proposal, sequence numbers. */
static void test_esp_proposals(void **state)
{
    static const struct {
        struct ike_transform t[6];
        uint8_t count;
        enum ike_esn_policy esn;
        enum suite suite; /* SUITE_NONE: refused */
        bool has_esn;
    } cases[] = {
        {{{1, 20, 128, false}, {5, 0, 0, false}}, 2, 0, ESP_AES128_GCM, false},
        {{{1, 20, 128, false}, {5, 0, 0, false}, {5, 1, 0, false}}, 3, 0, ESP_AES128_GCM, true},
        {{{1, 20, 128, false}, {5, 0, 0, false}, {5, 1, 0, false}}, 3, 1, ESP_AES128_GCM, false},
        {{{1, 20, 128, false}, {5, 1, 0, false}}, 2, 1, SUITE_NONE, false},
        {{{1, 20, 128, false}, {5, 0, 0, false}}, 2, 2, SUITE_NONE, false},
        {{{1, 20, 128, false}}, 1, 0, ESP_AES128_GCM, false}, /* says nothing: short */
        {{{1, 20, 128, false}, {5, 7, 0, false}}, 2, 0, SUITE_NONE, false},
        {{{1, 20, 128, false}, {3, 0, 0, false}, {5, 0, 0, false}}, 3, 0, ESP_AES128_GCM, false},
        {{{1, 20, 128, false}, {3, 12, 0, false}, {5, 0, 0, false}}, 3, 0, SUITE_NONE, false},
        {{{1, 12, 256, false}, {5, 0, 0, false}}, 2, 0, SUITE_NONE, false}, /* CBC by itself */
        {{{1, 12, 256, false}, {3, 2, 0, false}, {5, 0, 0, false}}, 3, 0, SUITE_NONE, false},
        {{{1, 12, 256, false}, {3, 2, 0, false}, {3, 12, 0, false}, {5, 0, 0, false}},
         4,
         0,
         ESP_AES256_CBC_SHA256,
         false},
        {{{1, 12, 256, false},
          {1, 20, 128, false},
          {3, 0, 0, false},
          {3, 12, 0, false},
          {5, 0, 0, false}},
         5,
         0,
         ESP_AES256_CBC_SHA256,
         false},
        {{{1, 20, 128, false},
          {1, 12, 256, false},
          {3, 0, 0, false},
          {3, 12, 0, false},
          {5, 0, 0, false}},
         5,
         0,
         ESP_AES128_GCM,
         false},
        {{{1, 20, 192, false}, {5, 0, 0, false}}, 2, 0, SUITE_NONE, false},
        {{{1, 20, 0, false}, {5, 0, 0, false}}, 2, 0, SUITE_NONE, false},
        {{{1, 20, 128, false}, {2, 5, 0, false}, {5, 0, 0, false}}, 3, 0, SUITE_NONE, false},
        {{{1, 20, 128, false}, {5, 0, 0, false}, {4, 31, 0, false}}, 3, 0, SUITE_NONE, false},
    };
    struct ike_config c = good_config();
    const struct ike_rule rule = {.config = &c};
    uint8_t bytes[512];

    c.suites[0] = ESP_AES128_GCM;
    c.suites[1] = ESP_AES256_CBC_SHA256;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ike_choice choice = {0};
        c.esn = cases[i].esn;
        const size_t len = build(bytes, 1, IKE_PROTOCOL_ESP, 4, cases[i].t, cases[i].count, true);
        const int result = ike_rule_choose(&rule, bytes, len, false, &choice);
        assert_int_equal(result, cases[i].suite == SUITE_NONE ? ERR_NOT_FOUND : ERR_OK);
        assert_int_equal(choice.suite, cases[i].suite);
        assert_int_equal(choice.has_esn, cases[i].has_esn);
    }
    /* of another protocol the same numbers mean something else */
    struct ike_choice choice;
    const size_t len = build(bytes, 1, IKE_PROTOCOL_AH, 4, cases[0].t, 2, true);
    assert_int_equal(ike_rule_choose(&rule, bytes, len, false, &choice), ERR_NOT_FOUND);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profiles),         cmocka_unit_test(test_choice),
        cmocka_unit_test(test_choice_with_hmac), cmocka_unit_test(test_child_choice),
        cmocka_unit_test(test_mixed_offer),      cmocka_unit_test(test_esp_proposals),
    };
    if (identity_generate(&identity) != ERR_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    identity_free(identity);
    return failed;
}
