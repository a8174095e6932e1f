/* Chains to a CA: what is good, and everything that may be wrong with one; names in certificates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include <string.h>

#include "pki.h"

/* The chain of these files, judged. */
static int check_at(const char *ca, const char *leaf, const char *second, uint64_t now_s,
                    struct certificate **ret_certificate)
{
    struct anchors *anchors = pki_anchors(ca);
    struct chain *chain = pki_chain(leaf, second);
    struct piece pieces[CHAIN_MAX];

    for (size_t i = 0; i < chain_count(chain); i++)
        pieces[i].data = chain_der(chain, i, &pieces[i].len);
    int error = anchors_check(anchors, pieces, chain_count(chain), now_s, ret_certificate);
    chain_free(chain);
    anchors_free(anchors);
    return error;
}

static void test_good_and_bad(void **state)
{
    static const struct {
        const char *leaf, *second;
        int expected;
    } cases[] = {
        {"p256.pem", NULL, ERR_OK},
        {"ed25519.pem", NULL, ERR_OK},
        {"rsa.pem", NULL, ERR_OK},
        {"p384.pem", "middle.pem", ERR_OK}, /* more than is needed */
        {"behind-middle.pem", "middle.pem", ERR_OK},
        {"behind-middle.pem", NULL, ERR_AUTH},
        {"behind-middle.pem", "other-ca.pem", ERR_AUTH},
        {"expired.pem", NULL, ERR_AUTH},
        {"early.pem", NULL, ERR_AUTH},
        {"of-other-ca.pem", NULL, ERR_AUTH},
        {"of-other-ca.pem", "other-ca.pem", ERR_AUTH},
        {"for-code.pem", NULL, ERR_AUTH},
        {"for-ike.pem", NULL, ERR_OK},
        {"for-tls.pem", NULL, ERR_OK},
        {"no-signing.pem", NULL, ERR_AUTH},
        {"no-usage.pem", NULL, ERR_OK},
        {"unknown-critical.pem", NULL, ERR_AUTH},
        {"sha1.pem", NULL, ERR_AUTH},
        {"signed-by-leaf.pem", "p384.pem", ERR_AUTH},
        {"self-signed.pem", NULL, ERR_AUTH},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct certificate *certificate = NULL;
        int error = check_at("ca.pem", cases[i].leaf, cases[i].second, PKI_NOW, &certificate);
        if (error != cases[i].expected)
            print_error("%s\n", cases[i].leaf);
        assert_int_equal(error, cases[i].expected);
        assert_int_equal(certificate != NULL, error == ERR_OK);
        certificate_free(certificate);
    }
    (void)state;
}

static void test_time(void **state)
{
    static const struct {
        uint64_t now_s;
        int expected;
    } times[] = {{0, ERR_AUTH},        {1577836799, ERR_AUTH}, {1577836801, ERR_OK},
                 {2208988799, ERR_OK}, {2208988801, ERR_AUTH}, {UINT64_MAX, ERR_AUTH}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct certificate *certificate = NULL;
        assert_int_equal(check_at("ca.pem", "p256.pem", NULL, times[i].now_s, &certificate),
                         times[i].expected);
        certificate_free(certificate);
    }
    struct certificate *certificate;
    assert_int_equal(check_at("ca.pem", "early.pem", NULL, 2082844800, &certificate), ERR_OK);
    certificate_free(certificate);
    (void)state;
}

static void test_every_bit(void **state)
{
    struct anchors *anchors = pki_anchors("ca.pem");
    struct chain *chain = pki_chain("p256.pem", NULL);
    struct certificate *certificate;
    size_t len;
    const uint8_t *der = chain_der(chain, 0, &len);
    uint8_t copy[2048];

    memcpy(copy, der, len);
    const struct piece piece = {copy, len};
    for (size_t bit = 0; bit < 8 * len; bit += 3) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(anchors_check(anchors, &piece, 1, PKI_NOW, &certificate), ERR_AUTH);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        const struct piece part = {copy, cut};
        assert_int_equal(anchors_check(anchors, &part, 1, PKI_NOW, &certificate), ERR_AUTH);
    }
    assert_int_equal(anchors_check(anchors, &piece, 0, PKI_NOW, &certificate), ERR_AUTH);
    assert_int_equal(anchors_check(anchors, &piece, 1, PKI_NOW, &certificate), ERR_OK);
    certificate_free(certificate);
    chain_free(chain);
    anchors_free(anchors);
    (void)state;
}

static bool has(const struct certificate *c, enum certificate_name type, const char *name)
{
    return certificate_has_name(c, type, (const uint8_t *)name, strlen(name));
}

static void test_certificate_names(void **state)
{
    static const uint8_t ipv4[] = {192, 0, 2, 7}, other[] = {192, 0, 2, 8};
    struct certificate *c;
    uint8_t der[DN_LEN_MAX];

    assert_int_equal(check_at("ca.pem", "p256.pem", NULL, PKI_NOW, &c), ERR_OK);
    assert_true(has(c, CERTIFICATE_DNS, "gate.example.net"));
    assert_true(has(c, CERTIFICATE_DNS, "GATE.example.net"));
    assert_true(has(c, CERTIFICATE_MAIL, "gate@example.net"));
    assert_true(certificate_has_name(c, CERTIFICATE_ADDRESS, ipv4, 4));
    assert_false(certificate_has_name(c, CERTIFICATE_ADDRESS, other, 4));
    assert_false(certificate_has_name(c, CERTIFICATE_ADDRESS, ipv4, 3));
    static const char *const wrong[] = {"",
                                        "example.net",
                                        "xgate.example.net",
                                        "gate",
                                        "*.wild.example.net",
                                        "a.wild.example.net",
                                        "gate@example.net"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(has(c, CERTIFICATE_DNS, wrong[i]));
    assert_false(
        certificate_has_name(c, CERTIFICATE_DNS, (const uint8_t *)"gate\0example.net", 16));
    assert_false(has(c, CERTIFICATE_MAIL, "gate.example.net"));
    int len = dn_parse("o=example , CN=gate", der);
    assert_true(len > 0);
    assert_true(certificate_has_name(c, CERTIFICATE_SUBJECT, der, (size_t)len));
    len = dn_parse("CN=gate, O=Example", der); /* the order counts */
    assert_true(len > 0);
    assert_false(certificate_has_name(c, CERTIFICATE_SUBJECT, der, (size_t)len));
    for (int cut = 0; cut < len; cut++)
        assert_false(certificate_has_name(c, CERTIFICATE_SUBJECT, der, (size_t)cut));
    const struct verifier *key;
    assert_int_equal(certificate_key(c, &key), ERR_OK);
    assert_int_equal(verifier_kind(key), KEY_ECDSA_P256);
    certificate_free(c);
    certificate_free(NULL);
    (void)state;
}

static void test_distinguished_names(void **state)
{
    static const char *const bad[] = {"", "CN", "CN=", "=x", "CN=x,", "nonsense=x", ",CN=x"};
    uint8_t a[DN_LEN_MAX], b[DN_LEN_MAX];
    char text[64], longer[DN_LEN_MAX * 2];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dn_parse(bad[i], a), ERR_INVALID);
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "CN=", 3);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(dn_parse(longer, a), ERR_INVALID);
    int len = dn_parse("C=CH, O=Some  Company, CN=gate", a);
    int other = dn_parse("C=ch,O=some company,CN=GATE", b);
    assert_true(len > 0 && other > 0);
    assert_true(dn_is_equal(a, (size_t)len, b, (size_t)other));
    assert_false(dn_is_equal(a, (size_t)len - 1, b, (size_t)other));
    assert_int_equal(dn_format(a, (size_t)len, text, sizeof(text)), ERR_OK);
    assert_string_equal(text, "C=CH, O=Some  Company, CN=gate");
    assert_int_equal(dn_format(a, (size_t)len, text, 6), ERR_OK);
    assert_string_equal(text, "C=CH,");
    assert_int_equal(dn_format(a, (size_t)len - 1, text, sizeof(text)), ERR_INVALID);
    (void)state;
}

static void test_files(void **state)
{
    struct anchors *anchors;
    struct chain *chain;
    uint8_t hashes[ANCHORS_HASHES_MAX];
    size_t len;

    char *text = pki_read("ca.pem", &len);
    for (size_t cut = 0; cut < len; cut += 7) {
        assert_int_equal(anchors_from_pem(text, cut, &anchors), ERR_INVALID);
        assert_int_equal(chain_from_pem(text, cut, &chain), ERR_INVALID);
    }
    char *many = (char *)malloc(len * (ANCHORS_MAX + 1));
    assert_non_null(many);
    for (size_t i = 0; i <= ANCHORS_MAX; i++)
        memcpy(many + i * len, text, len);
    assert_int_equal(chain_from_pem(many, len * (CHAIN_MAX + 1), &chain), ERR_LIMIT);
    assert_int_equal(anchors_from_pem(many, len * (ANCHORS_MAX + 1), &anchors), ERR_LIMIT);
    assert_int_equal(anchors_from_pem(text, len, &anchors), ERR_OK);
    assert_int_equal(anchors_hashes(anchors, hashes), SHA1_LEN);
    anchors_free(anchors);
    free(many);
    free(text);
    struct signer *p256 = pki_signer("p256.key"), *p384 = pki_signer("p384.key");
    chain = pki_chain("p256.pem", NULL);
    assert_true(chain_fits(chain, signer_public(p256)));
    assert_false(chain_fits(chain, signer_public(p384)));
    chain_free(chain);
    signer_free(p256);
    signer_free(p384);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_and_bad),        cmocka_unit_test(test_time),
        cmocka_unit_test(test_every_bit),           cmocka_unit_test(test_certificate_names),
        cmocka_unit_test(test_distinguished_names), cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
