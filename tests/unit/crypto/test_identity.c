/* Identities: PEM there and back, foreign key files, signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/text.h"
#include "crypto/identity.h"
#include "vectors.h"

/* PKCS#8 of an Ed25519 seed (RFC 8410, 7). */
static size_t pem_of_seed(const uint8_t seed[32], char *pem, size_t cap)
{
    uint8_t der[48] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                       0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
    char base64[BASE64_TEXT_CAP(48)];
    memcpy(der + 16, seed, 32);
    assert_int_equal(base64_encode(der, sizeof(der), base64, sizeof(base64)), 64);
    return (size_t)snprintf(pem, cap,
                            "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", base64);
}

static void check_signature(const struct vector_case *c)
{
    uint8_t seed[32], expected_public[32], message[128], expected[64], signature[64];
    char pem[IDENTITY_PEM_CAP], again[IDENTITY_PEM_CAP];
    struct identity *identity = NULL;
    vector_hex(c, "seed", seed, sizeof(seed));
    vector_hex(c, "public", expected_public, sizeof(expected_public));
    const size_t len = vector_hex(c, "message", message, sizeof(message));
    vector_hex(c, "signature", expected, sizeof(expected));

    const size_t pem_len = pem_of_seed(seed, pem, sizeof(pem));
    assert_int_equal(identity_from_pem(pem, pem_len, &identity), ERR_OK);
    assert_memory_equal(identity_public(identity)->bytes, expected_public, 32);
    assert_int_equal(identity_to_pem(identity, again, sizeof(again)), pem_len);
    assert_string_equal(again, pem);
    assert_int_equal(identity_to_pem(identity, again, pem_len), ERR_FULL);
    assert_int_equal(identity_sign(identity, message, len, signature), ERR_OK);
    assert_memory_equal(signature, expected, 64);

    struct public_key key = *identity_public(identity);
    assert_int_equal(public_key_verify(&key, message, len, signature), ERR_OK);
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(public_key_verify(&key, message, len, signature), ERR_AUTH);
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < len * 8; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(public_key_verify(&key, message, len, signature), ERR_AUTH);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    identity_free(identity);
}

static void check_files(const struct vector_case *c)
{
    char pem[IDENTITY_PEM_CAP];
    uint8_t der[PUBLIC_KEY_SPKI_LEN], again[PUBLIC_KEY_SPKI_LEN];
    struct identity *identity = NULL;
    struct public_key key;
    const int len =
        snprintf(pem, sizeof(pem), "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
                 vector_text(c, "pem"));
    assert_int_equal(identity_from_pem(pem, (size_t)len, &identity), ERR_OK);
    assert_int_equal(base64_decode(vector_text(c, "spki"), der, sizeof(der)), PUBLIC_KEY_SPKI_LEN);
    assert_int_equal(public_key_from_spki(der, sizeof(der), &key), ERR_OK);
    assert_true(public_key_is_equal(&key, identity_public(identity)));
    public_key_to_spki(&key, again);
    assert_memory_equal(again, der, sizeof(der));
    identity_free(identity);
}

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("ed25519.txt");
    int cases = 0;
    for (; vectors_next(in, &c); cases++) {
        if (vector_find(&c, "pem") != NULL)
            check_files(&c);
        else
            check_signature(&c);
    }
    fclose(in);
    assert_int_equal(cases, 5);
}

static void test_generate(void **state)
{
    struct identity *a = NULL, *b = NULL, *c = NULL;
    char pem[IDENTITY_PEM_CAP];
    assert_int_equal(identity_generate(&a), ERR_OK);
    assert_int_equal(identity_generate(&b), ERR_OK);
    assert_false(public_key_is_equal(identity_public(a), identity_public(b)));
    const int len = identity_to_pem(a, pem, sizeof(pem));
    assert_true(len > 0);
    assert_int_equal(strlen(pem), len);
    assert_int_equal(identity_from_pem(pem, (size_t)len, &c), ERR_OK);
    assert_true(public_key_is_equal(identity_public(a), identity_public(c)));
    /* A cut file is none, at whatever byte (the last line break may be missing). */
    for (int cut = 0; cut < len - 1; cut++) {
        struct identity *none = NULL;
        assert_int_equal(identity_from_pem(pem, (size_t)cut, &none), ERR_INVALID);
        assert_null(none);
    }
    identity_free(a);
    identity_free(b);
    identity_free(c);
    identity_free(NULL);
}

static void test_foreign_files(void **state)
{
    /* An X25519 key, which is well-formed and no identity (RFC 8410, 10.3 with OID 1.3.101.110). */
    static const char x25519[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VuBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
        "-----END PRIVATE KEY-----\n";
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    static const char public_only[] =
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        "-----END PUBLIC KEY-----\n";
    struct identity *none = NULL;
    assert_int_equal(identity_from_pem(x25519, strlen(x25519), &none), ERR_UNSUPPORTED);
    assert_int_equal(identity_from_pem(encrypted, strlen(encrypted), &none), ERR_INVALID);
    assert_int_equal(identity_from_pem(public_only, strlen(public_only), &none), ERR_INVALID);
    assert_int_equal(identity_from_pem("", 0, &none), ERR_INVALID);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_foreign_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
