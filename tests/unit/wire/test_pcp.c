/* PCP and NAT-PMP messages: byte-exact requests, what a real gateway answered, every length. */
#include "wire/pcp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t NONCE[PCP_NONCE_LEN] = {0x56, 0x91, 0x92, 0xf2, 0xfe, 0x63,
                                             0x27, 0x23, 0x0a, 0x23, 0x49, 0x00};

/* Answers of miniupnpd 2.3.1. */
static const uint8_t GRANTED[60] = {
    2,    0x81, 0,    0,    0,    0, 2,  0x58, 0, 0,    0,    0x1e, 0,    0,    0,
    0,    0,    0,    0,    0,    0, 0,  0,    0, 0x56, 0x91, 0x92, 0xf2, 0xfe, 0x63,
    0x27, 0x23, 0x0a, 0x23, 0x49, 0, 17, 0,    0, 0,    0x7f, 0x4d, 0x7f, 0x4e, 0,
    0,    0,    0,    0,    0,    0, 0,  0,    0, 0xff, 0xff, 0xc6, 0x33, 0x65, 7};
static const uint8_t LEGACY_ADDRESS[12] = {0, 0x80, 0, 0, 0, 0, 1, 0, 0xc6, 0x33, 0x65, 7};
static const uint8_t LEGACY_MAP[16] = {0,    0x81, 0,    0,    0, 0, 0, 5,
                                       0x7f, 0x4d, 0x7f, 0x4e, 0, 0, 0, 100};

static struct pcp_map_request a_request(uint32_t lifetime_s)
{
    struct pcp_map_request request = {
        .client = address_from_ipv4(0x0a00010a),
        .internal_port = 32589,
        .external = {address_from_ipv4(0xc6336507), 32590},
        .lifetime_s = lifetime_s,
    };
    memcpy(request.nonce, NONCE, sizeof(NONCE));
    return request;
}

static void test_map_request(void **state)
{
    static const uint8_t expected[60] = {
        2,    1,    0,    0,    0,    0,  0x0e, 0x10, 0,  0,    0,    0,    0,    0,    0,
        0,    0,    0,    0xff, 0xff, 10, 0,    1,    10, 0x56, 0x91, 0x92, 0xf2, 0xfe, 0x63,
        0x27, 0x23, 0x0a, 0x23, 0x49, 0,  17,   0,    0,  0,    0x7f, 0x4d, 0x7f, 0x4e, 0,
        0,    0,    0,    0,    0,    0,  0,    0,    0,  0xff, 0xff, 0xc6, 0x33, 0x65, 7};
    uint8_t buffer[PCP_REQUEST_CAP];
    struct pcp_map_request request = a_request(3600);
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(pcp_map_request_build(&w, &request), ERR_OK);
    assert_int_equal(w.len, sizeof(expected));
    assert_memory_equal(buffer, expected, sizeof(expected));
    for (size_t cap = 0; cap < sizeof(expected); cap++) {
        writer_init(&w, buffer, cap);
        assert_int_equal(pcp_map_request_build(&w, &request), ERR_FULL);
    }
    /* No wish is IPv4's all-zeros address, or the answer might be of IPv6. */
    request.external = (struct endpoint){0};
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(pcp_map_request_build(&w, &request), ERR_OK);
    assert_int_equal(buffer[54] << 8 | buffer[55], 0xffff);
    assert_int_equal(buffer[56] | buffer[59], 0);
}

static void test_legacy_requests(void **state)
{
    static const uint8_t map[12] = {0, 1, 0, 0, 0x7f, 0x4d, 0x7f, 0x4e, 0, 0, 0x0e, 0x10};
    static const uint8_t delete[12] = {0, 1, 0, 0, 0x7f, 0x4d, 0, 0, 0, 0, 0, 0};
    uint8_t buffer[PCP_REQUEST_CAP];
    struct pcp_map_request request = a_request(3600);
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(pcp_address_request_build(&w), ERR_OK);
    assert_int_equal(w.len, 2);
    assert_memory_equal(buffer, "\0\0", 2);
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(pcp_legacy_map_request_build(&w, &request), ERR_OK);
    assert_int_equal(w.len, sizeof(map));
    assert_memory_equal(buffer, map, sizeof(map));
    request.lifetime_s = 0; /* RFC 6886, 3.4: and no port is suggested */
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(pcp_legacy_map_request_build(&w, &request), ERR_OK);
    assert_memory_equal(buffer, delete, sizeof(delete));
}

static void test_responses(void **state)
{
    struct pcp_response r;
    assert_int_equal(pcp_response_parse(GRANTED, sizeof(GRANTED), &r), ERR_OK);
    assert_int_equal(r.version, PCP_VERSION);
    assert_int_equal(r.opcode, PCP_MAP);
    assert_int_equal(r.result, PCP_SUCCESS);
    assert_int_equal(r.lifetime_s, 600);
    assert_int_equal(r.epoch_s, 30);
    assert_true(r.has_map);
    assert_memory_equal(r.nonce, NONCE, sizeof(NONCE));
    assert_int_equal(r.protocol, PCP_PROTOCOL_UDP);
    assert_int_equal(r.internal_port, 32589);
    assert_int_equal(r.external.port, 32590);
    assert_int_equal(r.external.address.family, ADDRESS_IPV4);
    assert_int_equal(address_to_ipv4(&r.external.address), 0xc6336507);

    assert_int_equal(pcp_response_parse(LEGACY_ADDRESS, sizeof(LEGACY_ADDRESS), &r), ERR_OK);
    assert_int_equal(r.version, PCP_VERSION_NAT_PMP);
    assert_false(r.has_map);
    assert_int_equal(r.epoch_s, 256);
    assert_int_equal(address_to_ipv4(&r.external.address), 0xc6336507);

    assert_int_equal(pcp_response_parse(LEGACY_MAP, sizeof(LEGACY_MAP), &r), ERR_OK);
    assert_true(r.has_map);
    assert_int_equal(r.internal_port, 32589);
    assert_int_equal(r.external.port, 32590);
    assert_int_equal(r.lifetime_s, 100);
}

static void test_every_length(void **state)
{
    struct pcp_response r;
    /* The options that may follow are not ours to understand. */
    uint8_t longer[PCP_MESSAGE_CAP + 4] = {0};
    for (size_t len = 0; len < sizeof(GRANTED); len++)
        assert_int_not_equal(pcp_response_parse(GRANTED, len, &r), ERR_OK);
    for (size_t len = 0; len < sizeof(LEGACY_ADDRESS); len++)
        assert_int_equal(pcp_response_parse(LEGACY_ADDRESS, len, &r), ERR_TRUNCATED);
    for (size_t len = 0; len < sizeof(LEGACY_MAP); len++)
        assert_int_equal(pcp_response_parse(LEGACY_MAP, len, &r), ERR_TRUNCATED);
    memcpy(longer, GRANTED, sizeof(GRANTED));
    for (size_t len = sizeof(GRANTED); len <= sizeof(longer); len++)
        assert_int_equal(pcp_response_parse(longer, len, &r),
                         len <= PCP_MESSAGE_CAP && len % 4 == 0 ? ERR_OK : ERR_INVALID);
}

static void test_errors(void **state)
{
    uint8_t message[60];
    struct pcp_response r;
    /* "Another version" of a gateway that speaks NAT-PMP alone, to a PCP MAP request. */
    static const uint8_t legacy_only[8] = {0, 0x81, 0, 1, 0, 0, 0, 9};
    assert_int_equal(pcp_response_parse(legacy_only, sizeof(legacy_only), &r), ERR_OK);
    assert_int_equal(r.version, PCP_VERSION_NAT_PMP);
    assert_int_equal(r.result, PCP_UNSUPP_VERSION);
    assert_false(r.has_map);
    /* NAT-PMP's own numbers. */
    static const uint16_t numbers[][2] = {{2, PCP_NOT_AUTHORIZED},
                                          {3, PCP_NETWORK_FAILURE},
                                          {4, PCP_NO_RESOURCES},
                                          {5, PCP_UNSUPP_OPCODE}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const uint8_t refusal[8] = {0, 0x81, 0, (uint8_t)numbers[i][0]};
        assert_int_equal(pcp_response_parse(refusal, sizeof(refusal), &r), ERR_OK);
        assert_int_equal(r.result, numbers[i][1]);
    }
    /* PCP's errors come with the request's fields or without. */
    memcpy(message, GRANTED, sizeof(message));
    message[3] = PCP_NOT_AUTHORIZED;
    assert_int_equal(pcp_response_parse(message, 60, &r), ERR_OK);
    assert_true(r.has_map);
    assert_int_equal(pcp_response_parse(message, 24, &r), ERR_OK);
    assert_false(r.has_map);
    assert_int_equal(r.result, PCP_NOT_AUTHORIZED);
    assert_int_equal(r.lifetime_s, 600);
    /* Requests, other versions, other opcodes. */
    message[1] = PCP_MAP;
    assert_int_equal(pcp_response_parse(message, 60, &r), ERR_INVALID);
    message[1] = 0x81;
    message[0] = 3;
    assert_int_equal(pcp_response_parse(message, 60, &r), ERR_UNSUPPORTED);
    message[3] = PCP_UNSUPP_VERSION;
    assert_int_equal(pcp_response_parse(message, 60, &r), ERR_OK);
    const uint8_t tcp_map[16] = {0, 0x82};
    assert_int_equal(pcp_response_parse(tcp_map, sizeof(tcp_map), &r), ERR_UNSUPPORTED);
    for (unsigned result = 0; result < 65536; result++)
        assert_true(strlen(pcp_result_text((uint16_t)result)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_request), cmocka_unit_test(test_legacy_requests),
        cmocka_unit_test(test_responses),   cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
