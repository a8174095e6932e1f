/* Key derivation, proofs and IVs against values computed apart from the code; the vectors' file
 * holds the script that made them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "ikev1/keys.h"
#include "vectors.h"

#define COOKIE_I 0x0123456789abcdefu
#define COOKIE_R 0xfedcba9876543210u
#define ID       0x89abcdefu
#define SPI      0xc0ffee01u

static void expect(const struct vector_case *c, const char *name, const uint8_t *actual)
{
    uint8_t bytes[128];
    const size_t len = vector_hex(c, name, bytes, sizeof(bytes));

    assert_true(len > 0);
    assert_memory_equal(actual, bytes, len);
}

static void check_case(const struct vector_case *c, enum hash_algorithm hash)
{
    static const char psk[] = "a long shared secret for tests";
    static const char payloads[] = "payloads", id_body[] = "\x02\0\0\0a.example";
    static const uint8_t sa[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 12, 1, 1, 0, 0, 0, 0, 0, 0};
    uint8_t ni[16], nr[32], gi[32], gr[32], out[SUITE_KEY_CAP], iv[CBC_BLOCK_LEN];
    uint8_t mac[HASH_LEN_MAX];
    struct kex_secret secret = {.len = 32}, secret2 = {.len = 48};
    struct ikev1_keys keys;

    memset(ni, 0x11, sizeof(ni));
    memset(nr, 0x22, sizeof(nr));
    memset(gi, 0x33, sizeof(gi));
    memset(gr, 0x44, sizeof(gr));
    for (uint8_t i = 0; i < 48; i++) {
        secret.bytes[i] = i;
        secret2.bytes[i] = (uint8_t)(100 + i);
    }
    const struct ikev1_material material = {
        hash,    32,         (const uint8_t *)psk, sizeof(psk) - 1, ni,
        nr,      sizeof(ni), sizeof(nr),           &secret,         COOKIE_I,
        COOKIE_R};
    struct ikev1_material signed_material = material;
    signed_material.is_signed = true;
    assert_int_equal(ikev1_keys_derive(&signed_material, &keys), ERR_OK);
    expect(c, "skeyid_signed", keys.skeyid);
    assert_int_equal(ikev1_keys_derive(&material, &keys), ERR_OK);
    expect(c, "skeyid", keys.skeyid);
    expect(c, "skeyid_d", keys.skeyid_d);
    expect(c, "skeyid_a", keys.skeyid_a);
    expect(c, "skeyid_e", keys.skeyid_e);

    struct ikev1_proof proof = {gi,
                                gr,
                                32,
                                COOKIE_I,
                                COOKIE_R,
                                sa,
                                sizeof(sa),
                                (const uint8_t *)id_body,
                                sizeof(id_body) - 1,
                                hash};
    assert_int_equal(ikev1_keys_prove(&keys, &proof, mac), ERR_OK);
    expect(c, "hash_i", mac);
    proof = (struct ikev1_proof){gr,
                                 gi,
                                 32,
                                 COOKIE_R,
                                 COOKIE_I,
                                 sa,
                                 sizeof(sa),
                                 (const uint8_t *)id_body,
                                 sizeof(id_body) - 1,
                                 hash};
    assert_int_equal(ikev1_keys_prove(&keys, &proof, mac), ERR_OK);
    expect(c, "hash_r", mac);

    assert_int_equal(ikev1_iv_main(hash, gi, gr, 32, iv), ERR_OK);
    expect(c, "iv", iv);
    assert_int_equal(ikev1_iv_exchange(hash, iv, ID, iv), ERR_OK);
    expect(c, "iv_exchange", iv);

    const struct piece pieces[] = {{ni, sizeof(ni)}, {payloads, sizeof(payloads) - 1}};
    assert_int_equal(ikev1_keys_hash(&keys, ID, pieces + 1, 1, mac), ERR_OK);
    expect(c, "hash_1", mac);
    assert_int_equal(ikev1_keys_hash(&keys, ID, pieces, 2, mac), ERR_OK);
    expect(c, "hash_2", mac);
    assert_int_equal(ikev1_keys_hash3(&keys, ID, ni, sizeof(ni), nr, sizeof(nr), mac), ERR_OK);
    expect(c, "hash_3", mac);

    static const struct {
        enum suite suite;
        const char *name;
        int has_secret;
    } children[] = {{ESP_AES256_GCM, "gcm256", 0},
                    {ESP_AES256_CBC_SHA256, "cbc256", 0},
                    {ESP_AES256_CTR_SHA256, "ctr256_pfs", 1}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ikev1_keys_child(&keys, children[i].has_secret ? &secret2 : NULL, SPI, ni,
                                          sizeof(ni), nr, sizeof(nr), children[i].suite, out),
                         ERR_OK);
        expect(c, children[i].name, out);
    }
    assert_int_equal(
        ikev1_keys_child(&keys, NULL, SPI, ni, sizeof(ni), nr, sizeof(nr), SUITE_NONE, out),
        ERR_UNSUPPORTED);
}

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("ikev1-keys.txt");
    unsigned count = 0;

    while (vectors_next(in, &c))
        check_case(&c, (enum hash_algorithm)(HASH_SHA256 + count++));
    assert_int_equal(count, 3);
    fclose(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
