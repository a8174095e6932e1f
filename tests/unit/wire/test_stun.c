/* STUN: the vectors of RFC 5769, round trips, every cut and every flipped bit of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "wire/stun.h"

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";

/* RFC 5769, 2.1 */
static const char request_hex[] = "000100582112a442b7e7a701bc34d686fa87dfae"
                                  "802200105354554e207465737420636c69656e74"
                                  "002400046e0001ff"
                                  "80290008932ff9b151263b36"
                                  "000600096576746a3a68367659202020"
                                  "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
                                  "80280004e57a3bcf";
/* RFC 5769, 2.2 */
static const char response4_hex[] = "0101003c2112a442b7e7a701bc34d686fa87dfae"
                                    "8022000b7465737420766563746f7220"
                                    "002000080001a147e112a643"
                                    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
                                    "80280004c07d4c96";
/* RFC 5769, 2.3 */
static const char response6_hex[] = "010100482112a442b7e7a701bc34d686fa87dfae"
                                    "8022000b7465737420766563746f7220"
                                    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
                                    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
                                    "80280004c8fb0b4c";

static const uint8_t transaction[12] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
                                        0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};

static size_t from_hex(const char *hex, uint8_t *ret, size_t cap)
{
    int len = hex_decode(hex, ret, cap);
    assert_true(len > 0);
    return (size_t)len;
}

static void hmac(const uint8_t *data, size_t len, uint8_t ret_mac[20])
{
    const struct piece piece = {data, len};
    assert_int_equal(hmac_sha1(password, strlen(password), &piece, 1, ret_mac), ERR_OK);
}

static bool is_authentic(const uint8_t *message, const struct stun_message *m)
{
    uint8_t region[STUN_MESSAGE_CAP], mac[20];
    int len = stun_integrity_region(message, m, region, sizeof region);
    if (len < 0)
        return false;
    hmac(region, (size_t)len, mac);
    return memcmp(mac, m->integrity, sizeof mac) == 0;
}

static void test_request_vector(void **state)
{
    uint8_t message[256];
    struct stun_message m;
    const size_t len = from_hex(request_hex, message, sizeof message);
    assert_int_equal(stun_parse(message, len, &m), ERR_OK);
    assert_int_equal(m.class, STUN_REQUEST);
    assert_int_equal(m.method, STUN_BINDING);
    assert_memory_equal(m.transaction_id, transaction, 12);
    assert_int_equal(m.username_len, 9);
    assert_memory_equal(m.username, "evtj:h6vY", 9);
    assert_int_equal(m.software_len, 16);
    assert_memory_equal(m.software, "STUN test client", 16);
    assert_true(m.has_priority);
    assert_int_equal(m.priority, 0x6e0001ff);
    assert_true(m.has_ice_controlled && !m.has_ice_controlling);
    assert_true(m.tie_breaker == 0x932ff9b151263b36);
    assert_true(m.has_integrity);
    assert_true(is_authentic(message, &m));
    assert_true(m.has_fingerprint && m.is_fingerprint_right);
    assert_int_equal(m.unknown_count, 0);
    assert_false(m.use_candidate || m.has_mapped || m.has_xor_mapped);
}

static void test_response_vectors(void **state)
{
    static const char *const vectors[] = {response4_hex, response6_hex};
    static const char *const endpoints[] = {"192.0.2.1:32853",
                                            "[2001:db8:1234:5678:11:2233:4455:6677]:32853"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t message[256];
        char text[ENDPOINT_TEXT_CAP];
        struct stun_message m;
        const size_t len = from_hex(vectors[i], message, sizeof message);
        assert_int_equal(stun_parse(message, len, &m), ERR_OK);
        assert_int_equal(m.class, STUN_SUCCESS);
        assert_true(m.has_xor_mapped);
        assert_string_equal(endpoint_format(&m.xor_mapped, text, sizeof text), endpoints[i]);
        assert_true(is_authentic(message, &m));
        assert_true(m.is_fingerprint_right);
    }
}

/* The request vector, but for its padding of spaces (ours is zero) built by us. */
static void test_build_is_the_vector(void **state)
{
    uint8_t message[256], expected[256], mac[20];
    struct writer w;
    const uint8_t *region;
    size_t region_len;
    struct endpoint e;
    const size_t len = from_hex(response6_hex, expected, sizeof expected);
    assert_int_equal(endpoint_parse("[2001:db8:1234:5678:11:2233:4455:6677]:32853", 0, &e), 0);
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_SUCCESS, STUN_BINDING, transaction);
    stun_build_software(&w, "test vector");
    message[w.len - 1] = ' ';
    stun_build_xor_mapped(&w, &e);
    assert_int_equal(stun_build_integrity_prepare(&w, &region, &region_len), ERR_OK);
    hmac(region, region_len, mac);
    stun_build_integrity_finish(&w, mac);
    stun_build_fingerprint(&w);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(w.len, len);
    assert_memory_equal(message, expected, len);
}

/* All that we know, in one message. */
static void build_full(struct writer *w)
{
    static const struct endpoint e = {{ADDRESS_IPV4, {192, 0, 2, 7}}, 4500};
    static const uint16_t unknown[3] = {0x1234, 0x2345, 0x3456};
    const uint8_t *region;
    size_t region_len;
    uint8_t mac[20] = {0};
    stun_build_begin(w, STUN_ERROR, 0xabc, transaction);
    stun_build_username(w, "a:b", 3);
    stun_build_software(w, "x");
    stun_build_xor_mapped(w, &e);
    stun_build_mapped(w, &e);
    stun_build_priority(w, 7);
    stun_build_use_candidate(w);
    stun_build_ice_controlling(w, 0x0102030405060708);
    stun_build_error(w, STUN_ROLE_CONFLICT, "role");
    stun_build_unknown(w, unknown, 3);
    if (stun_build_integrity_prepare(w, &region, &region_len) == ERR_OK)
        hmac(region, region_len, mac);
    stun_build_integrity_finish(w, mac);
    stun_build_fingerprint(w);
}

static void test_round_trip(void **state)
{
    uint8_t message[512];
    struct writer w;
    struct stun_message m;
    writer_init(&w, message, sizeof message);
    build_full(&w);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(stun_parse(message, w.len, &m), ERR_OK);
    assert_int_equal(m.class, STUN_ERROR);
    assert_int_equal(m.method, 0xabc);
    assert_int_equal(m.username_len, 3);
    assert_true(m.has_mapped && m.has_xor_mapped);
    assert_true(endpoint_is_equal(&m.mapped, &m.xor_mapped));
    assert_int_equal(m.mapped.port, 4500);
    assert_int_equal(address_to_ipv4(&m.mapped.address), 0xc0000207);
    assert_int_equal(m.priority, 7);
    assert_true(m.use_candidate && m.has_ice_controlling && !m.has_ice_controlled);
    assert_true(m.tie_breaker == 0x0102030405060708);
    assert_int_equal(m.error_code, STUN_ROLE_CONFLICT);
    assert_int_equal(m.reason_len, 4);
    assert_memory_equal(m.reason, "role", 4);
    assert_true(is_authentic(message, &m));
    assert_true(m.is_fingerprint_right);
    const size_t full = w.len;
    for (size_t cap = 0; cap < full; cap++) {
        uint8_t *exact = malloc(cap > 0 ? cap : 1);
        writer_init(&w, exact, cap);
        build_full(&w);
        assert_int_equal(stun_build_end(&w) < 0, 1);
        free(exact);
    }
}

static void test_all_types(void **state)
{
    uint8_t message[20];
    struct writer w;
    struct stun_message m;
    for (unsigned method = 0; method < 0x1000; method++) {
        for (unsigned class = 0; class < 4; class ++) {
            writer_init(&w, message, sizeof message);
            stun_build_begin(&w, class, (uint16_t)method, transaction);
            assert_int_equal(stun_build_end(&w), ERR_OK);
            assert_int_equal(stun_parse(message, w.len, &m), ERR_OK);
            assert_int_equal(m.class, class);
            assert_int_equal(m.method, method);
        }
    }
    assert_int_equal(message[0] >> 6, 0);
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_REQUEST, 0x1000, transaction);
    assert_int_equal(stun_build_end(&w), ERR_INVALID);
}

static void test_every_cut(void **state)
{
    uint8_t message[256];
    const size_t len = from_hex(request_hex, message, sizeof message);
    for (size_t cut = 0; cut < len; cut++) {
        struct stun_message m;
        uint8_t *exact = malloc(cut > 0 ? cut : 1);
        memcpy(exact, message, cut);
        assert_int_equal(stun_parse(exact, cut, &m), ERR_TRUNCATED);
        /* The same with a length that fits: it must never be read past the end, nor be authentic.
         */
        if (cut >= 20 && cut % 4 == 0) {
            exact[2] = 0;
            exact[3] = (uint8_t)(cut - 20);
            if (stun_parse(exact, cut, &m) == ERR_OK && m.has_integrity)
                assert_true(cut == len - 8);
        }
        free(exact);
    }
    struct stun_message m;
    message[len] = 0;
    assert_int_equal(stun_parse(message, len + 1, &m), ERR_INVALID);
    assert_int_equal(stun_parse(message, len + 4, &m), ERR_INVALID);
}

/* Each bit before the fingerprint's end changes the verdict of at least one of the two checks. */
static void test_every_flip(void **state)
{
    static const char *const vectors[] = {request_hex, response4_hex, response6_hex};
    for (size_t i = 0; i < 3; i++) {
        uint8_t message[256];
        const size_t len = from_hex(vectors[i], message, sizeof message);
        for (size_t bit = 0; bit < len * 8; bit++) {
            struct stun_message m;
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (stun_parse(message, len, &m) == ERR_OK) {
                assert_false(m.has_fingerprint && m.is_fingerprint_right);
                if (bit / 8 < len - 8) /* what the integrity covers, and its own bytes */
                    assert_false(is_authentic(message, &m));
            }
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* One attribute behind a header; its value is what `value` holds. */
static int parse_one(uint16_t type, const void *value, size_t len, struct stun_message *m)
{
    static uint8_t message[1200];
    struct writer w;
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
    writer_u16(&w, type);
    writer_u16(&w, (uint16_t)len);
    writer_bytes(&w, value, len);
    writer_zero(&w, (4 - len % 4) % 4);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    return stun_parse(message, w.len, m);
}

static void test_lengths_are_exact(void **state)
{
    static const struct {
        uint16_t type;
        size_t len;
    } rows[] = {{STUN_PRIORITY, 4},        {STUN_USE_CANDIDATE, 0},      {STUN_ICE_CONTROLLED, 8},
                {STUN_ICE_CONTROLLING, 8}, {STUN_MESSAGE_INTEGRITY, 20}, {STUN_FINGERPRINT, 4},
                {STUN_MAPPED_ADDRESS, 8},  {STUN_XOR_MAPPED_ADDRESS, 8}};
    static const uint8_t value[64] = {0, 1};
    struct stun_message m;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t len = 0; len < 40; len++)
            assert_int_equal(parse_one(rows[i].type, value, len, &m),
                             len == rows[i].len ? ERR_OK : ERR_INVALID);
    }
    static const uint8_t value6[64] = {0, 2};
    for (size_t len = 0; len < 40; len++)
        assert_int_equal(parse_one(STUN_XOR_MAPPED_ADDRESS, value6, len, &m),
                         len == 20 ? ERR_OK : ERR_INVALID);
    static const uint8_t value3[64] = {0, 3};
    assert_int_equal(parse_one(STUN_XOR_MAPPED_ADDRESS, value3, 8, &m), ERR_INVALID);
}

static void test_text_limits(void **state)
{
    static uint8_t value[800];
    struct stun_message m;
    assert_int_equal(parse_one(STUN_USERNAME, value, 508, &m), ERR_OK);
    assert_int_equal(parse_one(STUN_USERNAME, value, 509, &m), ERR_INVALID);
    assert_int_equal(parse_one(STUN_USERNAME, value, 0, &m), ERR_OK);
    assert_non_null(m.username);
    assert_int_equal(parse_one(STUN_SOFTWARE, value, 763, &m), ERR_OK);
    assert_int_equal(parse_one(STUN_SOFTWARE, value, 764, &m), ERR_INVALID);
}

static void test_error_code(void **state)
{
    struct stun_message m;
    assert_int_equal(parse_one(STUN_ERROR_CODE, "\0\0\4\x57ok", 6, &m), ERR_OK);
    assert_int_equal(m.error_code, 487);
    assert_int_equal(m.reason_len, 2);
    assert_int_equal(parse_one(STUN_ERROR_CODE, "\0\0\4\x64", 4, &m), ERR_INVALID);
    assert_int_equal(parse_one(STUN_ERROR_CODE, "\0\0\2\0", 4, &m), ERR_INVALID);
    assert_int_equal(parse_one(STUN_ERROR_CODE, "\0\0\7\0", 4, &m), ERR_INVALID);
    assert_int_equal(parse_one(STUN_ERROR_CODE, "\0\0\4", 3, &m), ERR_INVALID);
}

/* RFC 5780, 7, byte by byte; then what does not fit. */
static void test_discovery_attributes(void **state)
{
    static const uint8_t expected[] = {
        0x00, 0x01, 0x00, 0x44, 0x21, 0x12, 0xa4, 0x42, 'D', 'H', 'I', 'S',
        'I',  'S',  'N',  'O',  'T',  'R',  'N',  'D',                     /**/
        0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x06,                    /**/
        0x00, 0x27, 0x00, 0x04, 0x80, 0x01, 0x00, 0x00,                    /**/
        0x80, 0x2b, 0x00, 0x08, 0x00, 0x01, 0x11, 0x94, 203, 0,   113, 10, /**/
        0x80, 0x2c, 0x00, 0x08, 0x00, 0x01, 0x11, 0x95, 203, 0,   113, 11, /**/
        0xde, 0x7e, 0x00, 0x04, 0x11, 0x95, 0x00, 0x00,                    /**/
        0xde, 0x7f, 0x00, 0x03, 1,    2,    3,    0,                       /**/
        0x00, 0x26, 0x00, 0x08, 0,    0,    0,    0,    0,   0,   0,   0,
    };
    const struct endpoint origin = {address_from_ipv4(0xcb00710a), 4500},
                          other = {address_from_ipv4(0xcb00710b), 4501};
    uint8_t data[128];
    struct stun_message m;
    struct writer w;
    writer_init(&w, data, sizeof data);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, (const uint8_t *)"DHISISNOTRND");
    stun_build_change_request(&w, true, true);
    stun_build_response_port(&w, 0x8001);
    stun_build_response_origin(&w, &origin);
    stun_build_other_address(&w, &other);
    stun_build_other_port(&w, 4501);
    stun_build_ticket(&w, "\1\2\3", 3);
    stun_build_padding(&w, 8);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(w.len, sizeof expected);
    assert_memory_equal(data, expected, sizeof expected);
    assert_int_equal(stun_parse(data, w.len, &m), ERR_OK);
    assert_true(m.has_change_request && m.change_address && m.change_port && m.has_padding);
    assert_int_equal(m.response_port, 0x8001);
    assert_int_equal(m.other_port, 4501);
    assert_true(m.has_response_origin && endpoint_is_equal(&m.response_origin, &origin));
    assert_true(m.has_other_address && endpoint_is_equal(&m.other_address, &other));
    assert_int_equal(m.ticket_len, 3);
    assert_memory_equal(m.ticket, "\1\2\3", 3);
    /* Who knows nothing of discovery refuses them as unknown. */
    assert_int_equal(m.unknown_count, 3);
    assert_int_equal(m.unknown[0], STUN_CHANGE_REQUEST);
    assert_int_equal(m.unknown[1], STUN_RESPONSE_PORT);
    assert_int_equal(m.unknown[2], STUN_PADDING);
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_not_equal(stun_parse(data, cut, &m), ERR_OK);
    data[32] = data[33] = 0; /* port 0 */
    assert_int_not_equal(stun_parse(data, w.len, &m), ERR_OK);

    writer_init(&w, data, sizeof data);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, (const uint8_t *)"DHISISNOTRND");
    stun_build_padding(&w, 6);
    assert_int_not_equal(stun_build_end(&w), ERR_OK);
    writer_init(&w, data, sizeof data);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, (const uint8_t *)"DHISISNOTRND");
    stun_build_response_port(&w, 0);
    assert_int_not_equal(stun_build_end(&w), ERR_OK);
}

static void test_unknown_attributes(void **state)
{
    uint8_t message[512];
    struct writer w;
    struct stun_message m;
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
    for (unsigned i = 0; i < 20; i++) {
        writer_u16(&w, (uint16_t)(0x7000 + i));
        writer_u16(&w, 0);
        writer_u16(&w, (uint16_t)(0xf000 + i)); /* comprehension-optional */
        writer_u16(&w, 0);
    }
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(stun_parse(message, w.len, &m), ERR_OK);
    assert_int_equal(m.unknown_count, 20);
    for (unsigned i = 0; i < STUN_UNKNOWN_MAX; i++)
        assert_int_equal(m.unknown[i], 0x7000 + i);
}

static void test_after_integrity(void **state)
{
    static const uint8_t mac[20] = {1};
    uint8_t message[512];
    struct writer w;
    struct stun_message m;
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
    stun_build_username(&w, "first", 5);
    stun_build_username(&w, "second", 6);
    stun_build_priority(&w, 1);
    stun_build_priority(&w, 2);
    const size_t offset = w.len;
    stun_build_integrity_finish(&w, mac);
    stun_build_use_candidate(&w);
    stun_build_integrity_finish(&w, mac);
    writer_u32(&w, 0x70000000); /* unknown, behind the integrity: nobody cares */
    stun_build_fingerprint(&w);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(stun_parse(message, w.len, &m), ERR_OK);
    assert_int_equal(m.username_len, 5);
    assert_int_equal(m.priority, 1);
    assert_int_equal(m.integrity_offset, offset);
    assert_false(m.use_candidate);
    assert_int_equal(m.unknown_count, 0);
    assert_true(m.has_fingerprint && m.is_fingerprint_right);

    stun_build_use_candidate(&w); /* behind the fingerprint */
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(stun_parse(message, w.len, &m), ERR_INVALID);
}

static void test_header_refused(void **state)
{
    uint8_t message[20];
    struct writer w;
    struct stun_message m;
    writer_init(&w, message, sizeof message);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(stun_parse(message, 20, &m), ERR_OK);
    message[0] |= 0x80;
    assert_int_equal(stun_parse(message, 20, &m), ERR_INVALID);
    message[0] = 0;
    message[4] ^= 1;
    assert_int_equal(stun_parse(message, 20, &m), ERR_INVALID);
    message[4] ^= 1;
    message[3] = 2;
    assert_int_equal(stun_parse(message, 20, &m), ERR_INVALID);
    uint8_t region[20];
    message[3] = 0;
    assert_int_equal(stun_parse(message, 20, &m), ERR_OK);
    assert_int_equal(stun_integrity_region(message, &m, region, sizeof region), ERR_NOT_FOUND);
}

static void test_builder_refuses(void **state)
{
    uint8_t message[2000];
    static char text[1000];
    struct writer w;
    struct endpoint none = {0};
    memset(text, 'x', sizeof text - 1);
    for (int step = 0; step < 6; step++) {
        writer_init(&w, message, sizeof message);
        stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
        switch (step) {
        case 0:
            stun_build_username(&w, text, 509);
            break;
        case 1:
            stun_build_software(&w, text);
            break;
        case 2:
            stun_build_error(&w, 200, "");
            break;
        case 3:
            stun_build_error(&w, 700, "");
            break;
        case 4:
            stun_build_xor_mapped(&w, &none);
            break;
        default:
            stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, transaction);
            break;
        }
        assert_int_equal(stun_build_end(&w), ERR_INVALID);
    }
    writer_init(&w, message, sizeof message);
    assert_int_equal(stun_build_end(&w), ERR_INVALID);
}

static void test_crc(void **state)
{
    assert_int_equal(stun_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(stun_crc32("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_vector),
        cmocka_unit_test(test_response_vectors),
        cmocka_unit_test(test_build_is_the_vector),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_all_types),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_flip),
        cmocka_unit_test(test_lengths_are_exact),
        cmocka_unit_test(test_text_limits),
        cmocka_unit_test(test_error_code),
        cmocka_unit_test(test_discovery_attributes),
        cmocka_unit_test(test_unknown_attributes),
        cmocka_unit_test(test_after_integrity),
        cmocka_unit_test(test_header_refused),
        cmocka_unit_test(test_builder_refuses),
        cmocka_unit_test(test_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
