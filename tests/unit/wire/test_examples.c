/* The examples of docs/protocol.md: the program takes and writes exactly those bytes, and the
 * document quotes them. They were computed by tests/vectors/examples.py, which shares nothing with
 * the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/identity.h"
#include "vectors.h"
#include "wire/notify.h"
#include "wire/sput.h"
#include "wire/stun.h"

#define DOCUMENT_CAP (1024 * 1024)
static char document[DOCUMENT_CAP]; /* without white space */

static int load_document(void **state)
{
    FILE *in = fopen(DOCUMENT, "r");
    size_t len = 0;
    if (in == NULL)
        return -1;
    for (int c; (c = fgetc(in)) != EOF && len < DOCUMENT_CAP - 1;) {
        if (!isspace(c))
            document[len++] = (char)c;
    }
    fclose(in);
    return len > 0 ? 0 : -1;
}

static void assert_quoted(const char *hex)
{
    if (strstr(document, hex) == NULL)
        fail_msg("%s does not quote %s", DOCUMENT, hex);
}

/* Parse and build again: the same bytes. */
#define CHECK(kind)                                                                                \
    do {                                                                                           \
        static struct notify_##kind value;                                                         \
        assert_int_equal(notify_parse_##kind(data, len, &value), ERR_OK);                          \
        notify_build_##kind(&w, &value);                                                           \
    } while (0)

static void check_notify(unsigned long type, const uint8_t *data, size_t len)
{
    uint8_t back[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, back, sizeof back);
    switch (type) {
    case NOTIFY_LOGIN:
        CHECK(login);
        break;
    case NOTIFY_NAME:
        CHECK(name);
        break;
    case NOTIFY_CALL:
        CHECK(call);
        break;
    case NOTIFY_ANSWER:
        CHECK(answer);
        break;
    case NOTIFY_RELAY:
        CHECK(relay);
        break;
    case NOTIFY_LOOKUP:
        CHECK(lookup);
        break;
    case NOTIFY_KEY:
        CHECK(key);
        break;
    case NOTIFY_VOUCH:
        assert_int_equal(notify_parse_vouch(data, len), ERR_OK);
        notify_build_vouch(&w);
        break;
    case NOTIFY_VOUCHER:
        CHECK(vouched);
        break;
    default:
        fail_msg("type %lu", type);
    }
    assert_true(writer_is_ok(&w));
    assert_int_equal(w.len, len);
    assert_memory_equal(back, data, len);
}

static void test_notifies(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("notify.txt");
    int cases = 0;
    for (; vectors_next(in, &c); cases++) {
        uint8_t data[NOTIFY_LEN_MAX];
        const size_t len = vector_hex(&c, "data", data, sizeof data);
        check_notify(vector_number(&c, "type"), data, len);
        assert_quoted(vector_text(&c, "data"));
    }
    fclose(in);
    assert_int_equal(cases, 17);
}

/* The fields, not only the form. */
static void test_call_says(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("notify.txt");
    bool was_seen = false;
    while (vectors_next(in, &c)) {
        static struct notify_call call;
        uint8_t data[NOTIFY_LEN_MAX];
        char text[ENDPOINT_TEXT_CAP];
        if (strcmp(vector_text(&c, "name"), "CALL, as the called host gets it") != 0)
            continue;
        const size_t len = vector_hex(&c, "data", data, sizeof data);
        assert_int_equal(notify_parse_call(data, len, &call), ERR_OK);
        assert_false(call.wants_relay);
        assert_true(call.is_vouched && call.is_static);
        assert_true(call.number == 0x2122232425262728);
        assert_string_equal(call.called, "home-pc.detec.example.net");
        assert_string_equal(call.caller, "laptop.detec.example.net");
        assert_string_equal(call.credentials.fragment, "caLLer01");
        assert_string_equal(call.credentials.password, "passwordOfTheCaller+/012");
        assert_int_equal(call.candidates.count, 2);
        assert_int_equal(call.candidates.items[1].type, CANDIDATE_REFLEXIVE);
        assert_string_equal(endpoint_format(&call.candidates.items[1].endpoint, text, sizeof text),
                            "198.51.100.7:32589");
        was_seen = true;
    }
    fclose(in);
    assert_true(was_seen);
}

static void test_checks(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("stun.txt");
    int cases = 0;
    for (; vectors_next(in, &c); cases++) {
        uint8_t message[256], region[256], mac[SHA1_LEN];
        struct stun_message m;
        const char *name = vector_text(&c, "name");
        const char *password = vector_text(&c, "password");
        const size_t len = vector_hex(&c, "message", message, sizeof message);
        assert_int_equal(stun_parse(message, len, &m), ERR_OK);
        const int region_len = stun_integrity_region(message, &m, region, sizeof region);
        assert_true(region_len > 0);
        const struct piece piece = {region, (size_t)region_len};
        assert_int_equal(hmac_sha1(password, strlen(password), &piece, 1, mac), ERR_OK);
        assert_memory_equal(m.integrity, mac, sizeof mac);
        assert_true(m.has_fingerprint && m.is_fingerprint_right);
        assert_int_equal(m.use_candidate, strcmp(name, "nomination") == 0);
        if (strcmp(name, "answer") == 0) {
            char text[ENDPOINT_TEXT_CAP];
            assert_int_equal(m.class, STUN_SUCCESS);
            assert_string_equal(endpoint_format(&m.xor_mapped, text, sizeof text),
                                "198.51.100.7:32589");
        } else {
            assert_int_equal(m.class, STUN_REQUEST);
            assert_int_equal(m.username_len, 17);
            assert_memory_equal(m.username, "caLLed02:caLLer01", 17);
            assert_true(m.has_ice_controlling && m.has_priority);
            assert_true(m.priority == 0x6effffff);
        }
        assert_quoted(vector_text(&c, "message"));
    }
    fclose(in);
    assert_int_equal(cases, 3);
}

static enum aead_algorithm algorithm_of(const char *suite)
{
    return strcmp(suite, "aes128-gcm") == 0   ? AEAD_AES128_GCM
           : strcmp(suite, "aes256-gcm") == 0 ? AEAD_AES256_GCM
                                              : AEAD_CHACHA20_POLY1305;
}

static void check_sealed(const struct vector_case *c)
{
    uint8_t key[AEAD_KEY_LEN_MAX], nonce[AEAD_NONCE_LEN], expected[256], message[256];
    struct sput_header header = {.number = (uint32_t)vector_number(c, "number"),
                                 .command = (uint8_t)vector_number(c, "command"),
                                 .next_header = (uint8_t)vector_number(c, "next_header"),
                                 .flags = (uint16_t)vector_number(c, "flags")};
    struct aead *aead;
    const enum aead_algorithm algorithm = algorithm_of(vector_text(c, "suite"));
    const size_t len = vector_hex(c, "message", expected, sizeof expected);

    assert_int_equal(vector_hex(c, "key", key, sizeof key), aead_key_len(algorithm));
    assert_int_equal(vector_hex(c, "salt", nonce, sizeof nonce), 8);
    sput_header_write(&header, message);
    const size_t payload_len =
        vector_hex(c, "payload", message + SPUT_HEADER_LEN, sizeof message - SPUT_HEADER_LEN);
    assert_int_equal(len, SPUT_HEADER_LEN + payload_len + SPUT_TAG_LEN);
    assert_true(sput_len_is_valid(len, SPUT_TAG_LEN));
    memcpy(nonce + 8, message, SPUT_CLEAR_LEN);
    assert_int_equal(aead_new(algorithm, key, &aead), ERR_OK);
    assert_int_equal(aead_seal(aead, nonce, message, SPUT_CLEAR_LEN, message + SPUT_CLEAR_LEN,
                               len - SPUT_CLEAR_LEN - SPUT_TAG_LEN, message + len - SPUT_TAG_LEN),
                     ERR_OK);
    assert_memory_equal(message, expected, len);
    aead_free(aead);
}

static void test_sput_aead(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("sput-aead.txt");
    int cases = 0;
    for (; vectors_next(in, &c); cases++) {
        check_sealed(&c);
        if (cases == 0)
            assert_quoted(vector_text(&c, "message"));
    }
    fclose(in);
    assert_int_equal(cases, 6);
}

/* The bytes themselves are crypto/stream_mac's test. */
static void test_sput_paper_is_quoted(void **state)
{
    static const char *const fields[] = {
        "key",      "mac_key", "salt",     "payload",   "block_0",    "stream_0", "block_1",
        "stream_1", "block_2", "stream_2", "plaintext", "ciphertext", "mac",      "message"};
    struct vector_case c = {0};
    FILE *in = vectors_open("sput-paper.txt");
    assert_true(vectors_next(in, &c));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        assert_quoted(vector_text(&c, fields[i]));
    assert_true(vectors_next(in, &c));
    assert_quoted(vector_text(&c, "message"));
    vector_case_done(&c);
    fclose(in);
}

/* The keys of the examples are those of RFC 8032, and that is the dynamic name's form. */
static void test_dynamic_label(void **state)
{
    struct public_key key;
    char label[PUBLIC_KEY_LABEL_CAP];
    assert_int_equal(hex_decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                                key.bytes, sizeof key.bytes),
                     PUBLIC_KEY_LEN);
    public_key_label(&key, label);
    assert_int_equal(strlen(label), 15);
    assert_quoted(label);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notifies),
        cmocka_unit_test(test_call_says),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_sput_aead),
        cmocka_unit_test(test_sput_paper_is_quoted),
        cmocka_unit_test(test_dynamic_label),
    };
    return cmocka_run_group_tests(tests, load_document, NULL);
}
