/* Keys of every kind: signing and verifying in every form, and the names of the forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include <string.h>

#include "pki.h"

static const char *const names[] = {"ed25519", "p256", "p384", "p521", "rsa"};

static struct signer *signer_of(size_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "%s.key", names[i]);
    return pki_signer(name);
}

static struct verifier *verifier_of(size_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "%s.pub", names[i]);
    return pki_verifier(name);
}

static const struct signature_form forms[] = {
    {SIGNATURE_ED25519, HASH_NONE},     {SIGNATURE_ECDSA, HASH_SHA256},
    {SIGNATURE_ECDSA, HASH_SHA384},     {SIGNATURE_ECDSA, HASH_SHA512},
    {SIGNATURE_ECDSA_RAW, HASH_SHA256}, {SIGNATURE_ECDSA_RAW, HASH_SHA384},
    {SIGNATURE_ECDSA_RAW, HASH_SHA512}, {SIGNATURE_RSA_PSS, HASH_SHA256},
    {SIGNATURE_RSA_PSS, HASH_SHA384},   {SIGNATURE_RSA_PSS, HASH_SHA512},
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

static bool goes_with(enum key_kind key, enum signature_kind form)
{
    if (form == SIGNATURE_ED25519)
        return key == KEY_ED25519;
    if (form == SIGNATURE_RSA_PSS || form == SIGNATURE_RSA_PKCS1)
        return key == KEY_RSA;
    return key != KEY_ED25519 && key != KEY_RSA;
}

static void test_every_form(void **state)
{
    static const char data[] = "what is signed";
    struct verifier *verifiers[5];

    for (size_t i = 0; i < 5; i++)
        verifiers[i] = verifier_of(i);
    for (size_t i = 0; i < 5; i++) {
        struct signer *signer = signer_of(i);
        assert_true(verifier_is_equal(signer_public(signer), verifiers[i]));
        assert_false(verifier_is_equal(signer_public(signer), verifiers[(i + 1) % 5]));
        for (size_t f = 0; f < FORMS; f++) {
            uint8_t signature[SIGNER_SIGNATURE_MAX];
            int len = signer_sign(signer, &forms[f], data, sizeof(data), signature);
            if (!goes_with((enum key_kind)i, forms[f].kind)) {
                assert_int_equal(len, ERR_UNSUPPORTED);
                continue;
            }
            assert_in_range(len, 64, 256);
            for (size_t v = 0; v < 5; v++)
                assert_int_equal(verifier_check(verifiers[v], &forms[f], data, sizeof(data),
                                                signature, (size_t)len),
                                 v == i ? ERR_OK : ERR_AUTH);
            /* as any other form it is none */
            for (size_t g = 0; g < FORMS; g++)
                if (g != f)
                    assert_int_equal(verifier_check(verifiers[i], &forms[g], data, sizeof(data),
                                                    signature, (size_t)len),
                                     ERR_AUTH);
            assert_int_equal(verifier_check(verifiers[i], &forms[f], data, sizeof(data) - 1,
                                            signature, (size_t)len),
                             ERR_AUTH);
            for (int cut = 0; cut < len; cut += cut < len - 2 ? len / 8 : 1)
                assert_int_equal(verifier_check(verifiers[i], &forms[f], data, sizeof(data),
                                                signature, (size_t)cut),
                                 ERR_AUTH);
            for (int bit = 0; bit < 8 * len; bit += 5) {
                signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(verifier_check(verifiers[i], &forms[f], data, sizeof(data),
                                                signature, (size_t)len),
                                 ERR_AUTH);
                signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
        signer_free(signer);
    }
    for (size_t i = 0; i < 5; i++)
        verifier_free(verifiers[i]);
    (void)state;
}

/* What IKEv1 signs: digests as they are. */
static void test_digests(void **state)
{
    uint8_t digest[HASH_LEN_MAX + 1], signature[SIGNER_SIGNATURE_MAX];
    const struct signature_form named = {SIGNATURE_RSA_PKCS1, HASH_SHA256};

    for (size_t i = 0; i < sizeof(digest); i++)
        digest[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i < 5; i++) {
        struct signer *signer = signer_of(i);
        const struct verifier *key = signer_public(signer);
        const bool is_rsa = verifier_kind(key) == KEY_RSA;
        const enum signature_kind kind = is_rsa ? SIGNATURE_RSA_PKCS1 : SIGNATURE_ECDSA_RAW;
        const int len = signer_sign_digest(signer, kind, digest, 32, signature);
        if (verifier_kind(key) == KEY_ED25519) {
            assert_int_equal(len, ERR_UNSUPPORTED);
            signer_free(signer);
            continue;
        }
        assert_in_range(len, 64, 256);
        const size_t n = (size_t)len;
        assert_int_equal(verifier_check_digest(key, kind, digest, 32, signature, n), ERR_OK);
        assert_int_equal(verifier_check_digest(key, kind, digest, 33, signature, n),
                         verifier_kind(key) == KEY_ECDSA_P256 ? ERR_OK
                                                              : ERR_AUTH); /* cut to 256 bits */
        assert_int_equal(verifier_check_digest(key, kind, digest + 1, 32, signature, n), ERR_AUTH);
        /* neither a signature of that digest as data, nor of the data that has it */
        assert_int_equal(verifier_check(key, &named, digest, 32, signature, n), ERR_AUTH);
        for (size_t cut = 0; cut < n; cut += 7)
            assert_int_equal(verifier_check_digest(key, kind, digest, 32, signature, cut),
                             ERR_AUTH);
        for (size_t bit = 0; bit < 8 * n; bit += 5) {
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(verifier_check_digest(key, kind, digest, 32, signature, n), ERR_AUTH);
            signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        /* SHA-1's are too short, and there is none longer than SHA-512's */
        assert_int_equal(signer_sign_digest(signer, kind, digest, 20, signature), ERR_UNSUPPORTED);
        assert_int_equal(signer_sign_digest(signer, kind, digest, 65, signature), ERR_UNSUPPORTED);
        assert_int_equal(signer_sign_digest(signer, SIGNATURE_RSA_PSS, digest, 32, signature),
                         ERR_UNSUPPORTED);
        assert_int_equal(verifier_check_digest(key, SIGNATURE_RSA_PSS, digest, 32, signature, n),
                         ERR_AUTH);
        signer_free(signer);
    }
}

/* What we name is what we read, and what others write (RFC 7427, A). */
static void test_names(void **state)
{
    static const uint8_t pss_with_trailer[] = {
        0x30, 0x46, 6,    9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,    1,    10,   0x30, 0x39,
        0xa0, 0x0f, 0x30, 0x0d, 6,    9,    0x60, 0x86, 0x48, 1,    0x65, 3,    4,    2,    1,
        5,    0,    0xa1, 0x1c, 0x30, 0x1a, 6,    9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,
        1,    8,    0x30, 0x0d, 6,    9,    0x60, 0x86, 0x48, 1,    0x65, 3,    4,    2,    1,
        5,    0,    0xa2, 3,    2,    1,    0x20, 0xa3, 3,    2,    1,    1};
    static const uint8_t pss_default[] = {0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86,
                                          0xf7, 0x0d, 1, 1, 10,   0x30, 0};
    static const uint8_t rsa_sha256[] = {0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86,
                                         0xf7, 0x0d, 1, 1, 11,   5,    0};
    uint8_t der[SIGNATURE_NAME_CAP + 1];
    struct signature_form form;

    for (size_t f = 0; f < FORMS; f++) {
        int len = signature_form_build(&forms[f], der);
        if (forms[f].kind == SIGNATURE_ECDSA_RAW) {
            assert_int_equal(len, ERR_UNSUPPORTED);
            continue;
        }
        assert_true(len > 0);
        assert_int_equal(signature_form_parse(der, (size_t)len, &form), ERR_OK);
        assert_int_equal(form.kind, forms[f].kind);
        assert_int_equal(form.hash, forms[f].hash);
        for (int cut = 0; cut < len; cut++)
            assert_int_not_equal(signature_form_parse(der, (size_t)cut, &form), ERR_OK);
        der[len] = 0;
        assert_int_not_equal(signature_form_parse(der, (size_t)len + 1, &form), ERR_OK);
        /* no flipped bit gives another form than one of those that there are */
        for (int bit = 0; bit < 8 * len; bit++) {
            der[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const int error = signature_form_parse(der, (size_t)len, &form);
            assert_true(error != ERR_OK || form.kind != SIGNATURE_NONE);
            der[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_int_equal(signature_form_parse(pss_with_trailer, sizeof(pss_with_trailer), &form),
                     ERR_OK);
    assert_true(form.kind == SIGNATURE_RSA_PSS && form.hash == HASH_SHA256);
    assert_int_equal(signature_form_parse(rsa_sha256, sizeof(rsa_sha256), &form), ERR_OK);
    assert_true(form.kind == SIGNATURE_RSA_PKCS1 && form.hash == HASH_SHA256);
    /* all defaults: SHA-1 */
    assert_int_equal(signature_form_parse(pss_default, sizeof(pss_default), &form),
                     ERR_UNSUPPORTED);
    (void)state;
}

static void test_bad_keys(void **state)
{
    struct signer *signer;
    struct verifier *verifier;
    size_t len;

    char *text = pki_read("rsa1024.key", &len);
    assert_int_equal(signer_from_pem(text, len, &signer), ERR_UNSUPPORTED);
    free(text);
    text = pki_read("secp256k1.pub", &len);
    assert_int_equal(verifier_from_pem(text, len, &verifier), ERR_UNSUPPORTED);
    assert_int_equal(signer_from_pem(text, len, &signer), ERR_INVALID);
    free(text);
    struct verifier *good = verifier_of(1);
    size_t spki_len;
    const uint8_t *spki = verifier_spki(good, &spki_len);
    for (size_t cut = 0; cut < spki_len; cut++)
        assert_int_not_equal(verifier_from_spki(spki, cut, &verifier), ERR_OK);
    assert_int_equal(verifier_from_spki(spki, spki_len, &verifier), ERR_OK);
    assert_true(verifier_is_equal(good, verifier));
    verifier_free(verifier);
    verifier_free(good);
    verifier_free(NULL);
    signer_free(NULL);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
