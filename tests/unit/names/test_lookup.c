/* What answers to the daemons' own look-ups say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../wire/dns_samples.h"
#include "names/lookup.h"
#include "names/zone.h"
#include "wire/dns_writer.h"

#define SRV_NAME "_detec._tcp.example.net"

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_int_equal(dns_name_from_text(text, &name), ERR_OK);
    return name;
}

static void test_build_query(void **state)
{
    uint8_t query[LOOKUP_QUERY_CAP];
    struct dns_query parsed;
    size_t len = 0;

    assert_int_equal(
        lookup_build_query(SRV_NAME, DNS_TYPE_SRV, 0xabcd, true, query, sizeof query, &len),
        ERR_OK);
    assert_int_equal(dns_query_parse(query, len, &parsed), ERR_OK);
    assert_int_equal(parsed.header.id, 0xabcd);
    assert_int_equal(parsed.header.flags, DNS_FLAG_RD);
    assert_int_equal(parsed.question.type, DNS_TYPE_SRV);
    assert_true(parsed.edns.is_dnssec_ok);
    assert_int_equal(parsed.edns.udp_len, DNS_UDP_LEN_SAFE);
    assert_int_equal(lookup_build_query("a..b", DNS_TYPE_A, 1, false, query, sizeof query, &len),
                     ERR_INVALID);
    assert_int_equal(lookup_build_query("a.b", DNS_TYPE_A, 1, false, query, 20, &len), ERR_FULL);
}

static void test_samples(void **state)
{
    struct lookup_services services;
    struct lookup_keys keys;
    struct lookup_addresses addresses;

    assert_int_equal(lookup_parse_services(SAMPLE_SRV, sizeof SAMPLE_SRV, SRV_NAME, 1, &services),
                     ERR_OK);
    assert_int_equal(services.count, 2);
    assert_string_equal(services.items[0].target, "a.example.net"); /* the lower priority first */
    assert_int_equal(services.items[0].port, 4500);
    assert_string_equal(services.items[1].target, "b.example.net");
    assert_int_equal(lookup_parse_keys(SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY, "home.net", &keys),
                     ERR_OK);
    assert_int_equal(keys.count, 1); /* gateways' keys and other algorithms do not count */
    assert_int_equal(keys.items[0].bytes[31], 32);
    assert_int_equal(lookup_parse_addresses(SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A,
                                            "www.example.net", DNS_TYPE_A, &addresses),
                     ERR_OK);
    assert_int_equal(addresses.count, 1);
    assert_int_equal(address_to_ipv4(&addresses.items[0]), 1);
    assert_true(lookup_is_validated(SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A));
    assert_false(lookup_is_validated(SAMPLE_SRV, sizeof SAMPLE_SRV));
    assert_false(lookup_is_validated(SAMPLE_SRV, 5));
}

static void test_mismatches(void **state)
{
    struct lookup_services services = {.count = 77};
    struct lookup_keys keys;
    struct lookup_addresses addresses;

    assert_int_equal(lookup_parse_services(SAMPLE_SRV, sizeof SAMPLE_SRV, "_detec._tcp.example.org",
                                           1, &services),
                     ERR_INVALID);
    assert_int_equal(lookup_parse_keys(SAMPLE_SRV, sizeof SAMPLE_SRV, SRV_NAME, &keys),
                     ERR_INVALID);
    assert_int_equal(lookup_parse_addresses(SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A,
                                            "www.example.net", DNS_TYPE_AAAA, &addresses),
                     ERR_INVALID);
    assert_int_equal(lookup_parse_addresses(SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A,
                                            "www.example.net", DNS_TYPE_SRV, &addresses),
                     ERR_INVALID);
    for (size_t len = 0; len < sizeof SAMPLE_SRV; len++) {
        int error = lookup_parse_services(SAMPLE_SRV, len, SRV_NAME, 1, &services);
        assert_int_equal(error, ERR_TRUNCATED);
    }
    assert_int_equal(services.count, 77);
}

static void test_mutated(void **state)
{
    uint32_t random = 11;

    for (int round = 0; round < 100000; round++) {
        struct lookup_services services;
        struct lookup_keys keys;
        uint8_t copy[sizeof SAMPLE_SRV > sizeof SAMPLE_IPSECKEY ? sizeof SAMPLE_SRV
                                                                : sizeof SAMPLE_IPSECKEY];
        random = random * 1664525 + 1013904223;
        memcpy(copy, SAMPLE_SRV, sizeof SAMPLE_SRV);
        copy[(random >> 8) % sizeof SAMPLE_SRV] = (uint8_t)(random >> 24);
        if (lookup_parse_services(copy, sizeof SAMPLE_SRV, SRV_NAME, random, &services) == ERR_OK)
            assert_true(services.count > 0 && services.count <= LOOKUP_SERVICES_MAX);
        memcpy(copy, SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY);
        copy[(random >> 8) % sizeof SAMPLE_IPSECKEY] = (uint8_t)(random >> 24);
        if (lookup_parse_keys(copy, sizeof SAMPLE_IPSECKEY, "home.net", &keys) == ERR_OK)
            assert_true(keys.count > 0 && keys.count <= LOOKUP_KEYS_MAX);
    }
}

static void test_rcodes(void **state)
{
    struct lookup_services services;
    uint8_t copy[sizeof SAMPLE_SRV];

    memcpy(copy, SAMPLE_SRV, sizeof copy);
    copy[3] = 0x80 | DNS_RCODE_NXDOMAIN;
    assert_int_equal(lookup_parse_services(copy, sizeof copy, SRV_NAME, 1, &services),
                     ERR_NOT_FOUND);
    copy[3] = 0x80 | DNS_RCODE_SERVFAIL;
    assert_int_equal(lookup_parse_services(copy, sizeof copy, SRV_NAME, 1, &services), ERR_REFUSED);
    copy[3] = 0x80;
    copy[2] |= 2; /* TC, even if the rest is cut */
    assert_int_equal(lookup_parse_services(copy, 60, SRV_NAME, 1, &services), ERR_AGAIN);
    copy[2] = 0x01; /* a query */
    assert_int_equal(lookup_parse_services(copy, sizeof copy, SRV_NAME, 1, &services), ERR_INVALID);
}

/* A response with SRV records of these priorities and weights; port = 1000 + index. */
static size_t build_srv(const uint16_t (*items)[2], size_t count, const char *target,
                        uint8_t *response, size_t cap)
{
    struct dns_question question = {name_of(SRV_NAME), DNS_TYPE_SRV, DNS_CLASS_IN};
    struct dns_writer d;
    size_t len = 0;

    dns_writer_init(&d, response, cap, 1, DNS_FLAG_QR, false);
    dns_writer_question(&d, &question);
    for (size_t i = 0; i < count; i++) {
        struct dns_srv srv = {items[i][0], items[i][1], (uint16_t)(1000 + i), name_of(target)};
        dns_writer_srv(&d, DNS_SECTION_ANSWER, &question.name, 5, &srv);
    }
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_OK);
    return len;
}

static void test_srv_order(void **state)
{
    static const uint16_t items[][2] = {{20, 1}, {10, 90}, {10, 10}, {10, 0}, {5, 0}};
    struct lookup_services services;
    uint8_t response[1024];
    size_t len = build_srv(items, 5, "c.example.net", response, sizeof response);
    unsigned second[5] = {0};

    for (uint64_t random = 0; random < 2000; random++) {
        assert_int_equal(lookup_parse_services(response, len, SRV_NAME, random, &services), ERR_OK);
        assert_int_equal(services.count, 5);
        assert_int_equal(services.items[0].port, 1004);
        assert_int_equal(services.items[4].port, 1000);
        second[services.items[1].port - 1000]++;
    }
    assert_in_range(second[1], 1700, 1900); /* 90 % */
    assert_in_range(second[2], 120, 280);   /* 10 % */
    assert_true(second[3] < 20);

    len = build_srv(items, 1, ".", response, sizeof response);
    assert_int_equal(lookup_parse_services(response, len, SRV_NAME, 1, &services), ERR_NOT_FOUND);
}

static void test_caps(void **state)
{
    uint16_t items[20][2] = {{0, 0}};
    struct lookup_services services;
    uint8_t response[2048];
    size_t len =
        build_srv((const uint16_t(*)[2])items, 20, "c.example.net", response, sizeof response);

    assert_int_equal(lookup_parse_services(response, len, SRV_NAME, 1, &services), ERR_OK);
    assert_int_equal(services.count, LOOKUP_SERVICES_MAX);
}

static void test_off_chain_is_ignored(void **state)
{
    struct dns_question question = {name_of("a.example.net"), DNS_TYPE_A, DNS_CLASS_IN};
    struct dns_name other = name_of("b.example.net");
    struct address address = address_from_ipv4(0x01020304);
    struct lookup_addresses addresses;
    uint8_t response[256];
    struct dns_writer d;
    size_t len = 0;

    dns_writer_init(&d, response, sizeof response, 1, DNS_FLAG_QR, false);
    dns_writer_question(&d, &question);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &other, 5, &address);
    dns_writer_address(&d, DNS_SECTION_ADDITIONAL, &question.name, 5, &address);
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_OK);
    assert_int_equal(lookup_parse_addresses(response, len, "a.example.net", DNS_TYPE_A, &addresses),
                     ERR_NOT_FOUND);
}

/* The zone's answers are what the look-ups understand. */
static void test_against_the_zone(void **state)
{
    struct zone_config config = {.name = "example.net",
                                 .address = address_from_ipv4(0xcb00710a),
                                 .port = 4500,
                                 .key = {{7}},
                                 .seed = {1}};
    struct public_key host_key = {{8}};
    struct lookup_addresses addresses;
    struct lookup_services services;
    struct lookup_keys keys;
    struct zone *zone = NULL;
    uint8_t query[LOOKUP_QUERY_CAP], response[1232];
    size_t len = 0, response_len = 0;

    assert_int_equal(zone_new(&config, &zone), ERR_OK);
    assert_int_equal(zone_add_host(zone, "home.example.net", &host_key, true), ERR_OK);
#define ASK(name, type)                                                                            \
    do {                                                                                           \
        assert_int_equal(lookup_build_query(name, type, 3, true, query, sizeof query, &len),       \
                         ERR_OK);                                                                  \
        assert_int_equal(                                                                          \
            zone_answer(zone, query, len, false, 1232, response, sizeof response, &response_len),  \
            ERR_OK);                                                                               \
        assert_true(dns_response_is_for(response, response_len, query, len));                      \
    } while (0)
    ASK(SRV_NAME, DNS_TYPE_SRV);
    assert_int_equal(lookup_parse_services(response, response_len, SRV_NAME, 1, &services), ERR_OK);
    assert_string_equal(services.items[0].target, "example.net");
    assert_int_equal(services.items[0].port, 4500);
    ASK("example.net", DNS_TYPE_IPSECKEY);
    assert_int_equal(lookup_parse_keys(response, response_len, "example.net", &keys), ERR_OK);
    assert_true(public_key_is_equal(&keys.items[0], &config.key));
    ASK("home.example.net", DNS_TYPE_IPSECKEY);
    assert_int_equal(lookup_parse_keys(response, response_len, "home.example.net", &keys), ERR_OK);
    assert_true(public_key_is_equal(&keys.items[0], &host_key));
    ASK("example.net", DNS_TYPE_A);
    assert_int_equal(
        lookup_parse_addresses(response, response_len, "example.net", DNS_TYPE_A, &addresses),
        ERR_OK);
    assert_int_equal(address_to_ipv4(&addresses.items[0]), 0xcb00710a);
    ASK("gone.example.net", DNS_TYPE_IPSECKEY);
    assert_int_equal(lookup_parse_keys(response, response_len, "gone.example.net", &keys),
                     ERR_NOT_FOUND);
    ASK("home.example.net", DNS_TYPE_AAAA);
    assert_int_equal(lookup_parse_addresses(response, response_len, "home.example.net",
                                            DNS_TYPE_AAAA, &addresses),
                     ERR_NOT_FOUND);
    ASK("home.example.org", DNS_TYPE_A);
    assert_int_equal(
        lookup_parse_addresses(response, response_len, "home.example.org", DNS_TYPE_A, &addresses),
        ERR_REFUSED);
#undef ASK
    zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build_query),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_rcodes),
        cmocka_unit_test(test_srv_order),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_off_chain_is_ignored),
        cmocka_unit_test(test_against_the_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
