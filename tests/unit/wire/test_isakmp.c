/* IKEv1's codec: every payload to and fro, cut at every length, hostile lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "wire/isakmp_sa.h"
#include <stdlib.h>
#include <string.h>

static struct ike_builder begin(struct writer *w, uint8_t *bytes, size_t cap)
{
    const struct ike_header header = {
        .spi_i = 1, .major_version = ISAKMP_MAJOR_VERSION, .exchange = ISAKMP_EXCHANGE_MAIN};
    struct ike_builder b;

    writer_init(w, bytes, cap);
    ike_build_begin(&b, w, &header);
    return b;
}

static struct ike_payload first(const uint8_t *bytes, size_t len)
{
    struct isakmp_chain chain;
    struct ike_payload p = {0};
    struct ike_header header;

    assert_int_equal(ike_header_parse(bytes, len, &header), ERR_OK);
    assert_int_equal(header.major_version, 1);
    isakmp_chain_init(&chain, header.next_payload, bytes + IKE_HEADER_LEN, len - IKE_HEADER_LEN);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_OK);
    return p;
}

static void test_vendors(void **state)
{
    uint8_t bytes[64];
    struct writer w;

    for (int v = ISAKMP_VENDOR_NATT_RFC; v < ISAKMP_VENDOR_COUNT; v++) {
        struct ike_builder b = begin(&w, bytes, sizeof(bytes));
        isakmp_build_vendor(&b, (enum isakmp_vendor)v);
        ike_build_end(&b, 0);
        struct ike_payload p = first(bytes, w.len);
        assert_int_equal(p.type, ISAKMP_PAYLOAD_VENDOR);
        assert_int_equal(isakmp_vendor_find(p.body, p.len), v);
        assert_int_equal(isakmp_vendor_find(p.body, p.len - 1), ISAKMP_VENDOR_UNKNOWN);
        bytes[IKE_HEADER_LEN + 4] ^= 1;
        assert_int_equal(isakmp_vendor_find(p.body, p.len), ISAKMP_VENDOR_UNKNOWN);
    }
    /* RFC 3947, 3.1, as it is printed there */
    static const uint8_t rfc[] = {0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45,
                                  0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f};
    assert_int_equal(isakmp_vendor_find(rfc, sizeof(rfc)), ISAKMP_VENDOR_NATT_RFC);
}

static void test_chain(void **state)
{
    uint8_t bytes[128];
    struct writer w;
    struct isakmp_chain chain;
    struct ike_payload p;

    struct ike_builder b = begin(&w, bytes, sizeof(bytes));
    isakmp_build_payload(&b, ISAKMP_PAYLOAD_HASH);
    writer_zero(&w, 20);
    isakmp_build_payload(&b, ISAKMP_PAYLOAD_NONCE);
    writer_zero(&w, 7);
    ike_build_end(&b, 0);
    const size_t len = w.len - IKE_HEADER_LEN;
    /* with padding behind, as in what is encrypted */
    isakmp_chain_init(&chain, ISAKMP_PAYLOAD_HASH, bytes + IKE_HEADER_LEN, len + 5);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_OK);
    assert_int_equal(p.len, 20);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_OK);
    assert_int_equal(p.type, ISAKMP_PAYLOAD_NONCE);
    assert_int_equal(p.len, 7);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_NOT_FOUND);
    assert_int_equal(isakmp_chain_end(&chain), len);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = (uint8_t *)malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, bytes + IKE_HEADER_LEN, cut);
        isakmp_chain_init(&chain, ISAKMP_PAYLOAD_HASH, copy, cut);
        int error;
        while ((error = isakmp_chain_next(&chain, &p)) == ERR_OK)
            ;
        assert_int_equal(error, ERR_TRUNCATED);
        free(copy);
    }
    /* a length below its own header, and a chain without end */
    bytes[IKE_HEADER_LEN + 2] = 0;
    bytes[IKE_HEADER_LEN + 3] = 3;
    isakmp_chain_init(&chain, ISAKMP_PAYLOAD_HASH, bytes + IKE_HEADER_LEN, len);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_INVALID);
    uint8_t many[4 * (IKE_PAYLOADS_MAX + 1)];
    for (size_t i = 0; i < sizeof(many); i += 4)
        memcpy(many + i, (const uint8_t[]){13, 0, 0, 4}, 4);
    isakmp_chain_init(&chain, ISAKMP_PAYLOAD_VENDOR, many, sizeof(many));
    for (size_t i = 0; i < IKE_PAYLOADS_MAX; i++)
        assert_int_equal(isakmp_chain_next(&chain, &p), ERR_OK);
    assert_int_equal(isakmp_chain_next(&chain, &p), ERR_LIMIT);
}

static void id_round_trip(const char *text)
{
    uint8_t bytes[128];
    struct writer w;
    struct prefix prefix, back;
    struct isakmp_id id;

    assert_int_equal(prefix_parse(text, &prefix), ERR_OK);
    struct ike_builder b = begin(&w, bytes, sizeof(bytes));
    isakmp_build_id_prefix(&b, &prefix, 17, 1701);
    ike_build_end(&b, 0);
    const struct ike_payload p = first(bytes, w.len);
    assert_int_equal(isakmp_id_parse(p.body, p.len, &id), ERR_OK);
    assert_int_equal(id.protocol, 17);
    assert_int_equal(id.port, 1701);
    assert_int_equal(isakmp_id_prefix(&id, &back), ERR_OK);
    assert_int_equal(back.bits, prefix.bits);
    assert_true(address_is_equal(&back.address, &prefix.address));
    for (size_t len = 0; len < p.len; len++) {
        if (isakmp_id_parse(p.body, len, &id) == ERR_OK)
            assert_int_equal(isakmp_id_prefix(&id, &back), ERR_INVALID);
        else
            assert_true(len < 4);
    }
}

static void test_ids(void **state)
{
    struct prefix prefix;
    struct isakmp_id id;

    id_round_trip("10.1.2.0/24");
    id_round_trip("10.1.2.3/32");
    id_round_trip("0.0.0.0/0");
    id_round_trip("10.1.2.128/25");
    id_round_trip("2001:db8::/33");
    id_round_trip("2001:db8::1/128");
    /* a subnet whose mask says it is one address */
    static const uint8_t host[] = {4, 0, 0, 0, 10, 1, 2, 3, 255, 255, 255, 255};
    assert_int_equal(isakmp_id_parse(host, sizeof(host), &id), ERR_OK);
    assert_int_equal(isakmp_id_prefix(&id, &prefix), ERR_OK);
    assert_int_equal(prefix.bits, 32);
    /* holes in the mask, host bits, a range, a name */
    static const uint8_t holes[] = {4, 0, 0, 0, 10, 0, 0, 0, 255, 0, 255, 0};
    static const uint8_t bits[] = {4, 0, 0, 0, 10, 0, 0, 1, 255, 255, 255, 0};
    static const uint8_t range[] = {7, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9};
    static const uint8_t name[] = {2, 0, 0, 0, 'a'};
    assert_int_equal(isakmp_id_parse(holes, sizeof(holes), &id), ERR_OK);
    assert_int_equal(isakmp_id_prefix(&id, &prefix), ERR_INVALID);
    assert_int_equal(isakmp_id_parse(bits, sizeof(bits), &id), ERR_OK);
    assert_int_equal(isakmp_id_prefix(&id, &prefix), ERR_INVALID);
    assert_int_equal(isakmp_id_parse(range, sizeof(range), &id), ERR_OK);
    assert_int_equal(isakmp_id_prefix(&id, &prefix), ERR_UNSUPPORTED);
    assert_int_equal(isakmp_id_parse(name, sizeof(name), &id), ERR_OK);
    assert_int_equal(isakmp_id_prefix(&id, &prefix), ERR_UNSUPPORTED);
}

static void test_notify_and_delete(void **state)
{
    static const uint8_t spi[] = {1, 2, 3, 4}, data[] = {9, 8, 7};
    uint8_t bytes[128];
    struct writer w;
    struct ike_notify n = {ISAKMP_PROTOCOL_ESP, ISAKMP_NOTIFY_R_U_THERE, spi, 4, data, 3}, got;
    struct isakmp_delete d;

    struct ike_builder b = begin(&w, bytes, sizeof(bytes));
    isakmp_build_notify(&b, &n);
    ike_build_end(&b, 0);
    struct ike_payload p = first(bytes, w.len);
    assert_int_equal(isakmp_notify_parse(p.body, p.len, &got), ERR_OK);
    assert_int_equal(got.type, ISAKMP_NOTIFY_R_U_THERE);
    assert_int_equal(got.protocol, ISAKMP_PROTOCOL_ESP);
    assert_int_equal(got.spi_len, 4);
    assert_memory_equal(got.spi, spi, 4);
    assert_int_equal(got.len, 3);
    assert_memory_equal(got.data, data, 3);
    for (size_t len = 0; len < 12; len++)
        assert_int_equal(isakmp_notify_parse(p.body, len, &got), ERR_TRUNCATED);
    bytes[IKE_HEADER_LEN + 4 + 3] = 2; /* another domain of interpretation */
    assert_int_equal(isakmp_notify_parse(p.body, p.len, &got), ERR_UNSUPPORTED);

    b = begin(&w, bytes, sizeof(bytes));
    isakmp_build_delete(&b, ISAKMP_PROTOCOL_ESP, spi, sizeof(spi));
    ike_build_end(&b, 0);
    p = first(bytes, w.len);
    assert_int_equal(isakmp_delete_parse(p.body, p.len, &d), ERR_OK);
    assert_int_equal(d.count, 1);
    assert_int_equal(d.spi_len, 4);
    assert_memory_equal(d.spis, spi, 4);
    for (size_t len = 0; len < p.len; len++)
        assert_int_equal(isakmp_delete_parse(p.body, len, &d), ERR_TRUNCATED);
    bytes[IKE_HEADER_LEN + 4 + 6] = 0xff; /* 65281 SPIs in four bytes */
    assert_int_equal(isakmp_delete_parse(p.body, p.len, &d), ERR_TRUNCATED);
    assert_string_equal(isakmp_notify_name(14), "NO-PROPOSAL-CHOSEN");
    assert_string_equal(isakmp_notify_name(36137), "R-U-THERE-ACK");
    assert_null(isakmp_notify_name(9999));
}

static size_t build_sa(uint8_t *bytes, size_t cap)
{
    struct writer w;
    struct ike_builder b = begin(&w, bytes, cap);

    isakmp_build_sa(&b);
    for (uint8_t n = 1; n <= 2; n++) {
        const size_t p =
            isakmp_build_proposal(&b, n == 2, n, ISAKMP_PROTOCOL_ESP, "\1\2\3\4", 4, 2);
        for (uint8_t i = 1; i <= 2; i++) {
            const size_t t = isakmp_build_transform(&b, i == 2, i, ISAKMP_ESP_AES_CBC);
            isakmp_build_attribute(&b, ISAKMP_P2_KEY_LENGTH, 256);
            isakmp_build_attribute(&b, ISAKMP_P2_LIFE, 100000);
            isakmp_build_transform_end(&b, t);
        }
        isakmp_build_proposal_end(&b, p);
    }
    ike_build_end(&b, 0);
    return w.len;
}

static void test_sa(void **state)
{
    uint8_t bytes[256];
    struct isakmp_proposals proposals;
    struct ike_proposal proposal;
    struct isakmp_transform transform;
    struct isakmp_attribute a;

    const struct ike_payload sa = first(bytes, build_sa(bytes, sizeof(bytes)));
    assert_int_equal(isakmp_sa_check(sa.body, sa.len), ERR_OK);
    assert_int_equal(isakmp_proposals_init(&proposals, sa.body, sa.len), ERR_OK);
    for (uint8_t n = 1; n <= 2; n++) {
        assert_int_equal(isakmp_proposals_next(&proposals, &proposal), ERR_OK);
        assert_int_equal(proposal.number, n);
        assert_int_equal(proposal.protocol, ISAKMP_PROTOCOL_ESP);
        assert_int_equal(proposal.spi_len, 4);
        for (uint8_t i = 1; i <= 2; i++) {
            assert_int_equal(isakmp_transform_next(&proposal, &transform), ERR_OK);
            assert_int_equal(transform.number, i);
            assert_int_equal(transform.raw_len, 12);
            assert_int_equal(isakmp_attribute_next(&transform, &a), ERR_OK);
            assert_int_equal(a.type, ISAKMP_P2_KEY_LENGTH);
            assert_int_equal(a.value, 256);
            assert_int_equal(isakmp_attribute_next(&transform, &a), ERR_OK);
            assert_int_equal(a.type, ISAKMP_P2_LIFE);
            assert_int_equal(a.value, 100000);
            assert_int_equal(isakmp_attribute_next(&transform, &a), ERR_NOT_FOUND);
        }
        assert_int_equal(isakmp_transform_next(&proposal, &transform), ERR_NOT_FOUND);
    }
    assert_int_equal(isakmp_proposals_next(&proposals, &proposal), ERR_NOT_FOUND);
}

static void test_broken_sa(void **state)
{
    uint8_t bytes[256];
    const struct ike_payload sa = first(bytes, build_sa(bytes, sizeof(bytes)));
    uint8_t *body = bytes + (sa.body - bytes);

    for (size_t len = 0; len < sa.len; len++) {
        uint8_t *copy = (uint8_t *)malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, sa.body, len);
        assert_int_not_equal(isakmp_sa_check(copy, len), ERR_OK);
        free(copy);
    }
    /* Lengths, counts and "last" marks: whatever is changed is noticed. */
    static const size_t structural[] = {3, 7, 8, 10, 11, 14, 15, 20, 22, 23};
    for (size_t i = 0; i < sizeof(structural) / sizeof(structural[0]); i++) {
        const uint8_t old = body[structural[i]];
        for (unsigned value = 0; value < 256; value++) {
            body[structural[i]] = (uint8_t)value;
            if (value != old)
                assert_int_not_equal(isakmp_sa_check(body, sa.len), ERR_OK);
        }
        body[structural[i]] = old;
    }
    assert_int_equal(isakmp_sa_check(body, sa.len), ERR_OK);
    /* an attribute longer than 32 bits has no value that anybody would take */
    static const uint8_t lone[] = {0, 2, 0, 5, 0, 0, 0, 0, 1};
    struct isakmp_transform t;
    struct isakmp_attribute a;
    reader_init(&t.attributes, lone, sizeof(lone));
    assert_int_equal(isakmp_attribute_next(&t, &a), ERR_OK);
    assert_int_equal(a.value, UINT32_MAX);
    reader_init(&t.attributes, lone, sizeof(lone) - 1);
    assert_int_equal(isakmp_attribute_next(&t, &a), ERR_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vendors), cmocka_unit_test(test_chain),
        cmocka_unit_test(test_ids),     cmocka_unit_test(test_notify_and_delete),
        cmocka_unit_test(test_sa),      cmocka_unit_test(test_broken_sa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
