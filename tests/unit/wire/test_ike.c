/* The IKEv2 codec against wire bytes written out by hand, at every length, and with every bit
 * flipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "wire/ike_message.h"
#include <stdlib.h>
#include <string.h>

#define CAP 1024

/* IKE_SA_INIT by hand (RFC 7296, 3; RFC 8031, 2: group 31 with 32 bytes; RFC 7427, 4: 16431 with
 * hash 5). */
static const uint8_t init_message[] = {
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0,    0,  0,  0,   0,  0,  0,  0, /* SPIs */
    33,   0x20, 34,   0x08, 0,    0,    0,    0,    0,    0,  0,  170, /* rest of header */
    34,   0,    0,    48,                                              /* SA */
    0,    0,    0,    44,   1,    1,    0,    4,                       /* proposal */
    3,    0,    0,    12,   1,    0,    0,    20,   0x80, 14, 1,  0,   /* AES-GCM-16, 256 bits */
    3,    0,    0,    8,    1,    0,    0,    28,                      /* ChaCha20-Poly1305 */
    3,    0,    0,    8,    2,    0,    0,    5,                       /* PRF-HMAC-SHA-256 */
    0,    0,    0,    8,    4,    0,    0,    31,                      /* Curve25519 */
    40,   0,    0,    40,   0,    31,   0,    0,                       /* KE */
    1,    2,    3,    4,    5,    6,    7,    8,    9,    10, 11, 12,  13, 14, 15, 16,
    17,   18,   19,   20,   21,   22,   23,   24,   25,   26, 27, 28,  29, 30, 31, 32, /* */
    41,   0,    0,    36,                                                              /* nonce */
    9,    9,    9,    9,    9,    9,    9,    9,    9,    9,  9,  9,   9,  9,  9,  9,
    9,    9,    9,    9,    9,    9,    9,    9,    9,    9,  9,  9,   9,  9,  9,  9,
    41,   0,    0,    8,    0,    0,    0x40, 0x22,          /* CHILDLESS_IKEV2_SUPPORTED */
    0,    0,    0,    10,   0,    0,    0x40, 0x2f, 0,    5, /* hash: Identity */
};

static size_t build_init(uint8_t *bytes)
{
    static const struct ike_transform transforms[] = {
        {IKE_TRANSFORM_ENCR, IKE_ENCR_AES_GCM_16, 256, false},
        {IKE_TRANSFORM_ENCR, IKE_ENCR_CHACHA20_POLY1305, 0, false},
        {IKE_TRANSFORM_PRF, IKE_PRF_HMAC_SHA2_256, 0, false},
        {IKE_TRANSFORM_KE, IKE_GROUP_CURVE25519, 0, false},
    };
    const struct ike_header header = {.spi_i = 0x0102030405060708,
                                      .major_version = 2,
                                      .exchange = IKE_EXCHANGE_SA_INIT,
                                      .flags = IKE_FLAG_INITIATOR};
    static const uint8_t hashes[] = {0, IKE_HASH_IDENTITY};
    uint8_t public_key[32], nonce[32];
    struct writer w;
    struct ike_builder b;

    for (uint8_t i = 0; i < 32; i++)
        public_key[i] = i + 1;
    memset(nonce, 9, sizeof(nonce));
    writer_init(&w, bytes, CAP);
    ike_build_begin(&b, &w, &header);
    ike_build_sa(&b);
    ike_build_proposal(&b, true, 1, IKE_PROTOCOL_IKE, NULL, 0, transforms, 4);
    ike_build_ke(&b, IKE_GROUP_CURVE25519, public_key, 32);
    ike_build_nonce(&b, nonce, 32);
    ike_build_notify(&b, IKE_NOTIFY_CHILDLESS_IKEV2_SUPPORTED, NULL, 0);
    ike_build_notify(&b, IKE_NOTIFY_SIGNATURE_HASH_ALGORITHMS, hashes, 2);
    ike_build_end(&b, 0);
    assert_int_equal(w.error, ERR_OK);
    return w.len;
}

static void test_init_bytes(void **state)
{
    uint8_t bytes[CAP];
    size_t len = build_init(bytes);

    assert_int_equal(len, sizeof(init_message));
    assert_memory_equal(bytes, init_message, len);
    (void)state;
}

static void test_init_parsed(void **state)
{
    struct ike_header h;
    struct ike_message m;
    struct ike_ke ke;
    struct ike_notify n;
    struct ike_proposals proposals;
    struct ike_proposal p;
    struct ike_transform t;
    static const struct ike_transform expected[] = {
        {1, 20, 256, false}, {1, 28, 0, false}, {2, 5, 0, false}, {4, 31, 0, false}};

    assert_int_equal(ike_header_parse(init_message, sizeof(init_message), &h), ERR_OK);
    assert_true(h.spi_i == 0x0102030405060708 && h.spi_r == 0);
    assert_int_equal(h.next_payload, IKE_PAYLOAD_SA);
    assert_int_equal(h.major_version, 2);
    assert_int_equal(h.exchange, IKE_EXCHANGE_SA_INIT);
    assert_int_equal(h.flags, IKE_FLAG_INITIATOR);
    assert_int_equal(ike_message_parse(h.next_payload, init_message + IKE_HEADER_LEN,
                                       sizeof(init_message) - IKE_HEADER_LEN, &m),
                     ERR_OK);
    assert_int_equal(m.present, IKE_BIT(IKE_PAYLOAD_SA) | IKE_BIT(IKE_PAYLOAD_KE) |
                                    IKE_BIT(IKE_PAYLOAD_NONCE) | IKE_BIT(IKE_PAYLOAD_NOTIFY));
    assert_int_equal(ike_ke_parse(m.ke.body, m.ke.len, &ke), ERR_OK);
    assert_int_equal(ke.group, 31);
    assert_int_equal(ke.len, 32);
    assert_int_equal(ke.data[31], 32);
    assert_int_equal(m.nonce.len, 32);
    assert_true(ike_message_find_notify(&m, 16418, &n));
    assert_int_equal(n.len, 0);
    assert_false(ike_message_find_notify(&m, 14, NULL));
    assert_int_equal(ike_message_error(&m), 0);
    ike_proposals_init(&proposals, m.sa.body, m.sa.len);
    assert_int_equal(ike_proposals_next(&proposals, &p), ERR_OK);
    assert_int_equal(p.number, 1);
    assert_int_equal(p.protocol, IKE_PROTOCOL_IKE);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ike_transform_next(&p, &t), ERR_OK);
        assert_int_equal(t.type, expected[i].type);
        assert_int_equal(t.id, expected[i].id);
        assert_int_equal(t.key_bits, expected[i].key_bits);
        assert_false(t.has_unknown);
    }
    assert_int_equal(ike_transform_next(&p, &t), ERR_NOT_FOUND);
    assert_int_equal(ike_proposals_next(&proposals, &p), ERR_NOT_FOUND);
    (void)state;
}

/* Parses a copy that is exactly as long as it says, so that a sanitizer sees every byte too far. */
static int parse_copy(const uint8_t *bytes, size_t len)
{
    struct ike_header h;
    struct ike_message m;
    uint8_t *copy = (uint8_t *)malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int error = ike_header_parse(copy, len, &h);
    if (error == ERR_OK)
        error = ike_message_parse(h.next_payload, copy + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m);
    free(copy);
    return error;
}

static void test_every_length(void **state)
{
    for (size_t len = 0; len < sizeof(init_message); len++) {
        uint8_t bytes[CAP];
        assert_int_not_equal(parse_copy(init_message, len), ERR_OK);
        /* and with a length field that agrees */
        if (len < IKE_HEADER_LEN)
            continue;
        memcpy(bytes, init_message, len);
        bytes[26] = (uint8_t)(len >> 8);
        bytes[27] = (uint8_t)len;
        assert_int_not_equal(parse_copy(bytes, len), ERR_OK);
    }
    assert_int_equal(parse_copy(init_message, sizeof(init_message)), ERR_OK);
    (void)state;
}

static void test_every_bit(void **state)
{
    for (size_t bit = 0; bit < sizeof(init_message) * 8; bit++) {
        uint8_t bytes[CAP];
        memcpy(bytes, init_message, sizeof(init_message));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int error = parse_copy(bytes, sizeof(init_message));
        /* lengths bear load (a longer nonce may swallow a whole notify, though) */
        static const size_t lengths[] = {24, 25, 26, 27, 30, 31, 34, 35, 42, 43,
                                         54, 55, 62, 63, 70, 71, 78, 79, 118};
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
            if (lengths[i] == bit / 8)
                assert_int_not_equal(error, ERR_OK);
    }
    (void)state;
}

static void test_other_payloads(void **state)
{
    static const uint32_t spis[] = {0x01020304, 0xfffefdfc};
    struct ike_selector selectors[] = {
        {0, 0, 65535, address_from_ipv4(0x00000056), address_from_ipv4(0x00000056)},
        {.protocol = 6}};
    static const uint8_t expected_ts[] = {2, 0,    0, 0, 7, 0,    0, 16, 0, 0,  0xff, 0xff, 0, 0,
                                          0, 0x56, 0, 0, 0, 0x56, 8, 6,  0, 40, 0,    22,   0, 22};
    struct ike_selector parsed[4];
    struct ike_message m;
    struct ike_chain chain;
    struct ike_delete d;
    struct ike_cert cert;
    struct ike_auth auth;
    struct ike_id id;
    struct ike_notify n;
    uint8_t bytes[CAP];
    struct writer w;
    struct ike_builder b;
    const struct ike_header header = {.major_version = 2};
    size_t count;

    assert_int_equal(address_parse("2001:20::1", &selectors[1].first), ERR_OK);
    assert_int_equal(address_parse("2001:20::ff", &selectors[1].last), ERR_OK);
    selectors[1].port_first = selectors[1].port_last = 22;
    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_id(&b, IKE_PAYLOAD_IDI, IKE_ID_FQDN, "a.b", 3);
    ike_build_cert(&b, IKE_PAYLOAD_CERT, IKE_CERT_RAW_PUBLIC_KEY, "spki", 4);
    ike_build_cert(&b, IKE_PAYLOAD_CERTREQ, IKE_CERT_RAW_PUBLIC_KEY, NULL, 0);
    ike_build_auth(&b, IKE_AUTH_DIGITAL_SIGNATURE, "proof", 5);
    ike_build_child_notify(&b, IKE_NOTIFY_REKEY_SA, IKE_PROTOCOL_SPUT, 0xa0b0c0d0);
    ike_build_notify(&b, IKE_NOTIFY_NO_PROPOSAL_CHOSEN, NULL, 0);
    ike_build_delete_ike(&b);
    ike_build_delete_children(&b, IKE_PROTOCOL_SPUT, spis, 2);
    ike_build_ts(&b, IKE_PAYLOAD_TSI, selectors, 2);
    ike_build_ts(&b, IKE_PAYLOAD_TSR, selectors, 1);
    ike_build_end(&b, 0);
    assert_int_equal(w.error, ERR_OK);
    assert_int_equal(
        ike_message_parse(bytes[16], bytes + IKE_HEADER_LEN, w.len - IKE_HEADER_LEN, &m), ERR_OK);
    assert_int_equal(ike_id_parse(m.id_i.body, m.id_i.len, &id), ERR_OK);
    assert_int_equal(id.type, IKE_ID_FQDN);
    assert_memory_equal(id.data, "a.b", id.len);
    chain = m.chain;
    assert_true(ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert));
    assert_int_equal(cert.encoding, 15);
    assert_int_equal(cert.len, 4);
    assert_false(ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert));
    chain = m.chain;
    assert_true(ike_message_next_cert(&chain, IKE_PAYLOAD_CERTREQ, &cert));
    assert_int_equal(cert.len, 0);
    assert_int_equal(ike_auth_parse(m.auth.body, m.auth.len, &auth), ERR_OK);
    assert_int_equal(auth.method, 14);
    assert_memory_equal(auth.data, "proof", 5);
    assert_true(ike_message_find_notify(&m, IKE_NOTIFY_REKEY_SA, &n));
    assert_int_equal(n.protocol, 201);
    assert_int_equal(n.spi_len, 4);
    assert_int_equal(n.spi[0], 0xa0);
    assert_int_equal(ike_message_error(&m), IKE_NOTIFY_NO_PROPOSAL_CHOSEN);
    chain = m.chain;
    assert_true(ike_message_next_delete(&chain, &d));
    assert_int_equal(d.protocol, IKE_PROTOCOL_IKE);
    assert_true(ike_message_next_delete(&chain, &d));
    assert_int_equal(d.count, 2);
    assert_int_equal(d.spis[4], 0xff);
    assert_memory_equal(m.ts_i.body, expected_ts, sizeof(expected_ts));
    assert_int_equal(ike_ts_parse(m.ts_i.body, m.ts_i.len, parsed, 4, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(address_is_equal(&parsed[1].last, &selectors[1].last));
    assert_int_equal(parsed[1].protocol, 6);
    assert_int_equal(parsed[1].port_last, 22);
    assert_int_equal(ike_ts_parse(m.ts_i.body, m.ts_i.len, parsed, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    for (size_t len = 0; len < w.len; len++)
        assert_int_not_equal(parse_copy(bytes, len), ERR_OK);
    for (size_t bit = 0; bit < w.len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)parse_copy(bytes, w.len);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    (void)state;
}

static int parse_payloads(uint8_t first, const uint8_t *bytes, size_t len, struct ike_message *m)
{
    return ike_message_parse(first, bytes, len, m);
}

static void test_rules(void **state)
{
    static const uint8_t twice[] = {40, 0, 0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    0,  0, 0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t short_nonce[] = {0, 0, 0, 19, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t critical[] = {0, 0x80, 0, 4};
    static const uint8_t tail[] = {0, 0, 0, 4, 0};
    static const uint8_t zero_length[] = {0, 0, 0, 0};
    static const uint8_t delete_ike_with_spi[] = {0, 0, 0, 16, 1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t delete_child_without[] = {0, 0, 0, 8, 3, 0, 0, 1};
    static const uint8_t no_selector[] = {0, 0, 0, 8, 0, 0, 0, 0};
    static const uint8_t short_selector[] = {0, 0,  0, 20, 1, 0, 0, 0, 7, 0,
                                             0, 12, 0, 0,  0, 0, 0, 0, 0, 0};
    struct ike_message m;
    uint8_t many[(IKE_PAYLOADS_MAX + 1) * 4];

    assert_int_equal(parse_payloads(40, twice, sizeof(twice), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(40, short_nonce, sizeof(short_nonce), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(99, critical, sizeof(critical), &m), ERR_OK);
    assert_int_equal(m.unknown_critical, 99);
    assert_int_equal(parse_payloads(43, critical, sizeof(critical), &m), ERR_OK);
    assert_int_equal(m.unknown_critical, 0); /* Vendor ID is not unknown */
    assert_int_equal(parse_payloads(43, tail, sizeof(tail), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(43, zero_length, sizeof(zero_length), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(42, delete_ike_with_spi, sizeof(delete_ike_with_spi), &m),
                     ERR_INVALID);
    assert_int_equal(parse_payloads(42, delete_child_without, sizeof(delete_child_without), &m),
                     ERR_INVALID);
    assert_int_equal(parse_payloads(44, no_selector, sizeof(no_selector), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(44, short_selector, sizeof(short_selector), &m), ERR_INVALID);
    assert_int_equal(parse_payloads(0, NULL, 0, &m), ERR_OK);
    assert_int_equal(m.present, 0);
    for (size_t i = 0; i <= IKE_PAYLOADS_MAX; i++)
        memcpy(many + 4 * i, i < IKE_PAYLOADS_MAX ? "\x2b\0\0\x04" : "\0\0\0\x04", 4);
    assert_int_equal(parse_payloads(43, many, sizeof(many), &m), ERR_LIMIT);
    assert_int_equal(parse_payloads(43, many + 4, sizeof(many) - 4, &m), ERR_OK);
    (void)state;
}

static void test_proposal_rules(void **state)
{
    /* an attribute in the long form is skipped, and makes the transform useless */
    static const uint8_t long_attribute[] = {0, 0, 0, 24, 1, 1,  0, 1, 0, 0, 0, 16,
                                             1, 0, 0, 20, 0, 99, 0, 4, 1, 2, 3, 4};
    uint8_t bytes[sizeof(long_attribute)];
    struct ike_proposals proposals;
    struct ike_proposal p;
    struct ike_transform t;

    ike_proposals_init(&proposals, long_attribute, sizeof(long_attribute));
    assert_int_equal(ike_proposals_next(&proposals, &p), ERR_OK);
    assert_int_equal(ike_transform_next(&p, &t), ERR_OK);
    assert_true(t.has_unknown);
    assert_int_equal(ike_proposals_check(long_attribute, sizeof(long_attribute)), ERR_OK);
    static const struct {
        size_t at;
        uint8_t value;
    } spoiled[] = {
        {0, 2}, {0, 1}, {3, 23}, {3, 25}, {4, 0},   {6, 1},  {7, 0},
        {7, 2}, {8, 3}, {8, 1},  {11, 7}, {11, 17}, {19, 5}, {2, 1},
    };
    for (size_t i = 0; i < sizeof(spoiled) / sizeof(spoiled[0]); i++) {
        memcpy(bytes, long_attribute, sizeof(bytes));
        bytes[spoiled[i].at] = spoiled[i].value;
        assert_int_not_equal(ike_proposals_check(bytes, sizeof(bytes)), ERR_OK);
    }
    assert_int_not_equal(ike_proposals_check(NULL, 0), ERR_OK);
    (void)state;
}

static void test_sk(void **state)
{
    uint8_t bytes[CAP];
    struct writer w;
    struct ike_builder b;
    struct ike_sk sk;
    size_t len;
    const struct ike_header header = {.spi_i = 1, .spi_r = 2, .major_version = 2};

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_sk(&b, 8, 1);
    ike_build_notify(&b, 40960, "abc", 3);
    ike_build_nonce(&b, "0123456789abcdef", 16);
    ike_build_end(&b, 16);
    assert_int_equal(w.error, ERR_OK);
    assert_int_equal(ike_sk_locate(bytes, w.len, 8, 16, &sk), ERR_OK);
    assert_int_equal(sk.ad_len, 32);
    assert_int_equal(sk.iv_at, 32);
    assert_int_equal(sk.data_at, 40);
    assert_int_equal(sk.data_len, 11 + 20 + 1);
    assert_int_equal(sk.tag_at + 16, w.len);
    assert_int_equal(sk.inner, IKE_PAYLOAD_NOTIFY);
    assert_int_equal(bytes[16], IKE_PAYLOAD_SK);
    assert_int_equal(ike_sk_strip(bytes + sk.data_at, sk.data_len, &len), ERR_OK);
    assert_int_equal(len, 31);
    bytes[sk.tag_at - 1] = 31;
    assert_int_equal(ike_sk_strip(bytes + sk.data_at, sk.data_len, &len), ERR_OK);
    assert_int_equal(len, 0);
    bytes[sk.tag_at - 1] = 32;
    assert_int_equal(ike_sk_strip(bytes + sk.data_at, sk.data_len, &len), ERR_INVALID);
    assert_int_equal(ike_sk_strip(bytes, 0, &len), ERR_INVALID);
    /* shorter ones, also with lengths that agree */
    for (size_t cut = 0; cut < w.len; cut++) {
        assert_int_not_equal(ike_sk_locate(bytes, cut, 8, 16, &sk), ERR_OK);
        if (cut < 32)
            continue;
        bytes[27] = (uint8_t)cut;
        bytes[31] = (uint8_t)(cut - 28);
        assert_int_equal(ike_sk_locate(bytes, cut, 8, 16, &sk),
                         cut < 32 + 8 + 1 + 16 ? ERR_INVALID : ERR_OK);
    }
    (void)state;
}

/* A writer too small at any size fails, and writes nothing beyond. */
static void test_small_writers(void **state)
{
    static const uint32_t spis[] = {1, 2};
    const struct ike_header header = {.major_version = 2};
    struct writer w;
    struct ike_builder b;

    for (size_t cap = 0; cap < 110; cap++) {
        uint8_t *bytes = (uint8_t *)malloc(cap > 0 ? cap : 1);
        assert_non_null(bytes);
        writer_init(&w, bytes, cap);
        ike_build_begin(&b, &w, &header);
        ike_build_sk(&b, 8, 1);
        ike_build_notify(&b, 40960, "abc", 3);
        ike_build_delete_children(&b, 201, spis, 2);
        ike_build_end(&b, 16);
        size_t needed = 28 + 4 + 8 + 11 + 16 + 1 + 16;
        assert_int_equal(w.error, cap < needed ? ERR_FULL : ERR_OK);
        free(bytes);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_bytes),     cmocka_unit_test(test_init_parsed),
        cmocka_unit_test(test_every_length),   cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_other_payloads), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_proposal_rules), cmocka_unit_test(test_sk),
        cmocka_unit_test(test_small_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
