/* Candidates: priorities, one's own list, credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "path/candidate.h"
#include "sim.h"

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static void test_priority(void **state)
{
    /* RFC 8445, 5.1.2.1, with component 1. */
    assert_true(candidate_priority(CANDIDATE_HOST, 65535) == 2130706431u);
    assert_true(candidate_priority(CANDIDATE_PEER, 65535) == 1862270975u);
    assert_true(candidate_priority(CANDIDATE_REFLEXIVE, 65535) == 1694498815u);
    assert_true(candidate_priority(CANDIDATE_HOST, 0) > candidate_priority(CANDIDATE_PEER, 65535));
    assert_true(candidate_priority(CANDIDATE_MAPPED, 0) >
                candidate_priority(CANDIDATE_REFLEXIVE, 65535));

    struct prefix subnets[2];
    assert_int_equal(prefix_parse("192.168.1.0/24", &subnets[0]), ERR_OK);
    assert_int_equal(prefix_parse("2001:db8:1::/64", &subnets[1]), ERR_OK);
    const struct address near = address_of("192.168.1.9"), far = address_of("192.168.2.9"),
                         global = address_of("203.0.113.1"), global6 = address_of("2001:db8:2::1"),
                         near6 = address_of("2001:db8:1::1");
    assert_int_equal(candidate_preference(&near, subnets, 2), 65535);
    assert_int_equal(candidate_preference(&near6, subnets, 2), 65535);
    assert_true(candidate_preference(&global6, subnets, 2) >
                candidate_preference(&global, subnets, 2));
    assert_true(candidate_preference(&global, subnets, 2) > candidate_preference(&far, subnets, 2));
}

static void test_build(void **state)
{
    const struct address addresses[] = {
        address_of("127.0.0.1"),   address_of("192.168.1.2"), address_of("fe80::1"),
        address_of("2001:db8::2"), address_of("10.9.0.1"),    address_of("192.168.1.2"),
    };
    const struct endpoint reflexive[] = {sim_endpoint("198.51.100.1:20000"),
                                         sim_endpoint("198.51.100.1:20001"),
                                         sim_endpoint("[2001:db8::2]:32589")};
    const struct endpoint mapped[] = {sim_endpoint("198.51.100.1:40000")};
    struct prefix pool;
    assert_int_equal(prefix_parse("10.9.0.0/16", &pool), ERR_OK);
    const struct candidate_sources sources = {.addresses = addresses,
                                              .address_count = 6,
                                              .port = 32589,
                                              .reflexive = reflexive,
                                              .reflexive_count = 3,
                                              .mapped = mapped,
                                              .mapped_count = 1,
                                              .pool = &pool};
    struct candidate_list list;
    candidate_list_build(&sources, &list);
    static const struct {
        enum candidate_type type;
        const char *endpoint;
    } expected[] = {{CANDIDATE_HOST, "[2001:db8::2]:32589"},
                    {CANDIDATE_HOST, "192.168.1.2:32589"},
                    {CANDIDATE_MAPPED, "198.51.100.1:40000"},
                    {CANDIDATE_REFLEXIVE, "198.51.100.1:20000"}};
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct endpoint e = sim_endpoint(expected[i].endpoint);
        assert_int_equal(list.items[i].type, expected[i].type);
        assert_true(endpoint_is_equal(&list.items[i].endpoint, &e));
    }
}

/* A host with many addresses still tells how it is seen from outside. */
static void test_build_full(void **state)
{
    struct address addresses[20];
    for (uint32_t i = 0; i < 20; i++)
        addresses[i] = address_from_ipv4(0x0a000001 + i);
    addresses[19] = address_of("203.0.113.7");
    const struct endpoint reflexive = sim_endpoint("198.51.100.1:20000");
    const struct candidate_sources sources = {.addresses = addresses,
                                              .address_count = 20,
                                              .port = 5,
                                              .reflexive = &reflexive,
                                              .reflexive_count = 1};
    struct candidate_list list;
    candidate_list_build(&sources, &list);
    assert_int_equal(list.count, CANDIDATE_MAX);
    assert_true(address_is_equal(&list.items[0].endpoint.address, &addresses[19]));
    assert_int_equal(list.items[CANDIDATE_MAX - 1].type, CANDIDATE_REFLEXIVE);
}

/* Many addresses of one family leave room for the other, and for how both are seen. */
static void test_build_both_families(void **state)
{
    struct address addresses[24];
    const struct endpoint reflexive[2] = {sim_endpoint("198.51.100.1:20000"),
                                          sim_endpoint("[2001:db8:9::1]:20000")};
    for (uint32_t i = 0; i < 12; i++) {
        addresses[i] = address_from_ipv4(0xac110001 + i); /* bridges of containers */
        addresses[12 + i] = address_of("2001:db8::1");
        addresses[12 + i].bytes[15] = (uint8_t)(i + 1);
    }
    addresses[12] = address_of("fd00::1");
    const struct candidate_sources sources = {.addresses = addresses,
                                              .address_count = 24,
                                              .port = 5,
                                              .reflexive = reflexive,
                                              .reflexive_count = 2};
    struct candidate_list list;
    unsigned hosts[2] = {0}, seen[2] = {0};
    candidate_list_build(&sources, &list);
    assert_int_equal(list.count, CANDIDATE_MAX);
    for (size_t i = 0; i < list.count; i++) {
        const bool is_ipv6 = list.items[i].endpoint.address.family == ADDRESS_IPV6;
        assert_true(!is_ipv6 || !address_is_private(&list.items[i].endpoint.address));
        (list.items[i].type == CANDIDATE_HOST ? hosts : seen)[is_ipv6]++;
    }
    assert_int_equal(hosts[0], 3);
    assert_int_equal(hosts[1], 3);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
}

static void test_add(void **state)
{
    struct candidate_list list = {0};
    struct endpoint e = sim_endpoint("203.0.113.1:1");
    assert_int_equal(candidate_list_add(&list, CANDIDATE_REFLEXIVE, &e, NULL), ERR_OK);
    assert_int_equal(candidate_list_add(&list, CANDIDATE_HOST, &e, NULL), ERR_EXISTS);
    assert_int_equal(list.items[0].type, CANDIDATE_HOST);
    assert_int_equal(candidate_list_add(&list, CANDIDATE_MAPPED, &e, NULL), ERR_EXISTS);
    assert_int_equal(list.items[0].type, CANDIDATE_HOST);
    for (uint16_t i = 2; i <= CANDIDATE_MAX; i++) {
        e.port = i;
        assert_int_equal(candidate_list_add(&list, CANDIDATE_HOST, &e, NULL), ERR_OK);
    }
    e.port = 99;
    assert_int_equal(candidate_list_add(&list, CANDIDATE_HOST, &e, NULL), ERR_FULL);
    e = sim_endpoint("0.0.0.5:99");
    assert_int_equal(candidate_list_add(&list, CANDIDATE_HOST, &e, NULL), ERR_INVALID);
}

static void test_credentials(void **state)
{
    struct credentials first, second;
    assert_int_equal(credentials_generate(&first), ERR_OK);
    assert_int_equal(credentials_generate(&second), ERR_OK);
    assert_true(credentials_are_valid(&first) && credentials_are_valid(&second));
    assert_string_not_equal(first.fragment, second.fragment);
    assert_string_not_equal(first.password, second.password);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority),    cmocka_unit_test(test_build),
        cmocka_unit_test(test_build_full),  cmocka_unit_test(test_add),
        cmocka_unit_test(test_credentials), cmocka_unit_test(test_build_both_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
