/* The authoritative zone, asked as resolvers ask, and its answers read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/zone.h"
#include "wire/dns_writer.h"

#define ZONE "detec.example.net"

static const struct public_key CONNECTOR_KEY = {{0xcc, 1}}, HOME_KEY = {{0x11, 2}};

static struct zone *new_zone(const char *name_server)
{
    struct zone_config config = {.name = ZONE,
                                 .name_server = name_server,
                                 .address = address_from_ipv4(0xcb00710a),
                                 .port = 4500,
                                 .key = CONNECTOR_KEY,
                                 .serial = 100,
                                 .seed = {1}};
    struct zone *zone = NULL;

    assert_int_equal(zone_new(&config, &zone), ERR_OK);
    return zone;
}

static struct zone *home_zone(void)
{
    struct zone *zone = new_zone(NULL);

    assert_int_equal(zone_add_host(zone, "home." ZONE, &HOME_KEY, true), ERR_OK);
    return zone;
}

/* An answer taken apart. */
struct reply {
    uint8_t bytes[4096];
    size_t len;
    struct dns_header header;
    unsigned rcode; /* with EDNS's upper bits */
    struct dns_edns edns;
    struct dns_record answers[4];
    struct dns_record authority; /* the first one */
    struct dns_reader r;
};

static void take_apart(struct reply *reply)
{
    struct dns_record record;
    unsigned answer_count = 0, authority_count = 0;

    assert_int_equal(dns_reader_init(&reply->r, reply->bytes, reply->len), ERR_OK);
    struct dns_reader r = reply->r;
    reply->header = r.header;
    assert_true((r.header.flags & DNS_FLAG_QR) != 0);
    assert_int_equal(r.header.flags & (DNS_FLAG_RA | DNS_FLAG_AD), 0);
    reply->rcode = dns_rcode(r.header.flags);
    memset(&reply->edns, 0, sizeof reply->edns);
    while (dns_reader_record(&r, &record) == ERR_OK) {
        if (record.section == DNS_SECTION_ANSWER && answer_count < 4)
            reply->answers[answer_count++] = record;
        if (record.section == DNS_SECTION_AUTHORITY && authority_count++ == 0)
            reply->authority = record;
        if (record.type == DNS_TYPE_OPT) {
            assert_int_equal(dns_record_edns(&record, &reply->edns), ERR_OK);
            reply->rcode |= (unsigned)reply->edns.extended_rcode << 4;
        }
    }
    assert_true(dns_reader_is_at_end(&r));
}

struct ask {
    uint16_t type;
    uint16_t class;
    uint16_t udp_len; /* 0: no EDNS */
    bool is_tcp;
};

static size_t build_query(const char *name, const struct ask *ask, uint8_t query[600])
{
    struct dns_question question = {.type = ask->type, .class = ask->class};
    struct dns_writer d;
    size_t len = 0;

    assert_int_equal(dns_name_from_text(name, &question.name), ERR_OK);
    dns_writer_init(&d, query, 600, 0x1234, DNS_FLAG_RD, ask->udp_len > 0);
    dns_writer_question(&d, &question);
    if (ask->udp_len > 0)
        dns_writer_edns(&d, ask->udp_len, true, 0);
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_OK);
    return len;
}

static struct reply *ask_with(const struct zone *zone, const char *name, const struct ask *ask)
{
    static struct reply reply;
    uint8_t query[600];
    size_t len = build_query(name, ask, query);

    assert_int_equal(zone_answer(zone, query, len, ask->is_tcp, DNS_UDP_LEN_SAFE, reply.bytes,
                                 sizeof reply.bytes, &reply.len),
                     ERR_OK);
    take_apart(&reply);
    assert_int_equal(reply.header.id, 0x1234);
    assert_true((reply.header.flags & DNS_FLAG_RD) != 0);
    assert_true(dns_response_is_for(reply.bytes, reply.len, query, len));
    assert_int_equal(reply.edns.is_present, ask->udp_len > 0);
    /* The question as it was asked, letter by letter. */
    assert_memory_equal(reply.bytes + 12, query + 12, strlen(name) + 2 + 4);
    assert_true(reply.len < 4 * len + 60); /* no use to amplify attacks */
    return &reply;
}

static struct reply *ask(const struct zone *zone, const char *name, uint16_t type)
{
    return ask_with(zone, name,
                    &(struct ask){.type = type, .class = DNS_CLASS_IN, .udp_len = 1232});
}

static void assert_address(const struct dns_record *record, uint32_t want, uint32_t ttl)
{
    struct address address;

    assert_int_equal(dns_record_address(record, &address), ERR_OK);
    assert_int_equal(address_to_ipv4(&address), want);
    assert_int_equal(record->ttl, ttl);
    assert_int_equal(record->class, DNS_CLASS_IN);
}

static void assert_key(const struct reply *reply, const struct dns_record *record,
                       const struct public_key *want)
{
    struct dns_ipseckey key;

    assert_int_equal(dns_record_ipseckey(&reply->r, record, &key), ERR_OK);
    assert_int_equal(key.precedence, 10);
    assert_int_equal(key.gateway_type, 0);
    assert_int_equal(key.algorithm, 4);
    assert_int_equal(key.key_len, 32);
    assert_memory_equal(key.key, want->bytes, 32);
}

static void assert_positive(const struct reply *reply)
{
    assert_int_equal(reply->rcode, DNS_RCODE_NOERROR);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 1);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_AUTHORITY], 0);
    assert_true((reply->header.flags & DNS_FLAG_AA) != 0);
}

static void assert_negative(const struct reply *reply, unsigned rcode)
{
    struct dns_soa soa;
    char text[DNS_NAME_TEXT_CAP];

    assert_int_equal(reply->rcode, rcode);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 0);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_AUTHORITY], 1);
    assert_true((reply->header.flags & DNS_FLAG_AA) != 0);
    assert_int_equal(dns_record_soa(&reply->r, &reply->authority, &soa), ERR_OK);
    assert_true(soa.minimum <= 5 && reply->authority.ttl <= 5);
    assert_string_equal(dns_name_format(&reply->authority.name, text, sizeof text), ZONE);
}

static void assert_refused(const struct reply *reply)
{
    assert_int_equal(reply->rcode, DNS_RCODE_REFUSED);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 0);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_AUTHORITY], 0);
    assert_true((reply->header.flags & DNS_FLAG_AA) == 0);
}

static void test_apex(void **state)
{
    struct zone *zone = home_zone();
    char text[DNS_NAME_TEXT_CAP];
    struct dns_name name;
    struct dns_soa soa;
    struct dns_srv srv;
    struct reply *reply = ask(zone, ZONE, DNS_TYPE_A);

    assert_positive(reply);
    assert_address(&reply->answers[0], 0xcb00710a, ZONE_TTL_S);
    reply = ask(zone, ZONE, DNS_TYPE_IPSECKEY);
    assert_positive(reply);
    assert_key(reply, &reply->answers[0], &CONNECTOR_KEY);
    reply = ask(zone, ZONE, DNS_TYPE_SOA);
    assert_positive(reply);
    assert_int_equal(dns_record_soa(&reply->r, &reply->answers[0], &soa), ERR_OK);
    assert_int_equal(soa.serial, 101);
    assert_string_equal(dns_name_format(&soa.primary, text, sizeof text), ZONE);
    assert_string_equal(dns_name_format(&soa.mailbox, text, sizeof text), "hostmaster." ZONE);
    reply = ask(zone, ZONE, DNS_TYPE_NS);
    assert_positive(reply);
    assert_int_equal(dns_record_name(&reply->r, &reply->answers[0], 0, &name, NULL), ERR_OK);
    assert_string_equal(dns_name_format(&name, text, sizeof text), ZONE);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ADDITIONAL], 2); /* A, OPT */
    assert_negative(ask(zone, ZONE, DNS_TYPE_AAAA), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, ZONE, DNS_TYPE_TXT), DNS_RCODE_NOERROR);
    assert_positive(ask(zone, ZONE, DNS_TYPE_ANY));

    reply = ask(zone, "_detec._tcp." ZONE, DNS_TYPE_SRV);
    assert_positive(reply);
    assert_int_equal(dns_record_srv(&reply->r, &reply->answers[0], &srv), ERR_OK);
    assert_int_equal(srv.port, 4500);
    assert_string_equal(dns_name_format(&srv.target, text, sizeof text), ZONE);
    assert_negative(ask(zone, "_detec._tcp." ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "_tcp." ZONE, DNS_TYPE_SRV), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "_udp." ZONE, DNS_TYPE_SRV), DNS_RCODE_NXDOMAIN);
    assert_negative(ask(zone, "x._detec._tcp." ZONE, DNS_TYPE_SRV), DNS_RCODE_NXDOMAIN);
    zone_free(zone);
}

static void test_host(void **state)
{
    struct zone *zone = home_zone();
    struct reply *reply = ask(zone, "home." ZONE, DNS_TYPE_A);

    assert_positive(reply);
    assert_address(&reply->answers[0], 1, ZONE_HOST_TTL_S);
    reply = ask(zone, "hOmE.DeTeC.example.NET", DNS_TYPE_A); /* 0x20 */
    assert_positive(reply);
    assert_memory_equal(reply->answers[0].name.bytes, "\4hOmE\5DeTeC\7example\3NET", 24);
    reply = ask(zone, "home." ZONE, DNS_TYPE_IPSECKEY);
    assert_positive(reply);
    assert_key(reply, &reply->answers[0], &HOME_KEY);
    assert_positive(ask(zone, "home." ZONE, DNS_TYPE_ANY));
    assert_negative(ask(zone, "home." ZONE, DNS_TYPE_AAAA), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "home." ZONE, DNS_TYPE_HTTPS), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "home." ZONE, 65280), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "work." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
    assert_negative(ask(zone, "x.home." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);

    assert_int_equal(zone_remove_host(zone, "home." ZONE), ERR_OK);
    assert_negative(ask(zone, "home." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
    assert_int_equal(zone_remove_host(zone, "home." ZONE), ERR_NOT_FOUND);
    assert_int_equal(zone_serial(zone), 102);
    zone_free(zone);
}

static void test_empty_non_terminals(void **state)
{
    struct zone *zone = new_zone(NULL);

    assert_int_equal(zone_add_host(zone, "a.b.c." ZONE, &HOME_KEY, true), ERR_OK);
    assert_int_equal(zone_add_host(zone, "d.c." ZONE, &HOME_KEY, true), ERR_OK);
    assert_negative(ask(zone, "c." ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "b.c." ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    assert_negative(ask(zone, "x.c." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
    assert_int_equal(zone_remove_host(zone, "c." ZONE), ERR_NOT_FOUND);
    assert_int_equal(zone_add_host(zone, "c." ZONE, &HOME_KEY, false), ERR_OK);
    assert_positive(ask(zone, "c." ZONE, DNS_TYPE_A));
    assert_int_equal(zone_remove_host(zone, "c." ZONE), ERR_OK);
    assert_negative(ask(zone, "c." ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    assert_int_equal(zone_remove_host(zone, "a.b.c." ZONE), ERR_OK);
    assert_negative(ask(zone, "b.c." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
    assert_negative(ask(zone, "c." ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    assert_int_equal(zone_remove_host(zone, "d.c." ZONE), ERR_OK);
    assert_negative(ask(zone, "c." ZONE, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
    assert_int_equal(zone_host_count(zone), 0);
    zone_free(zone);
}

static void test_refusals(void **state)
{
    struct zone *zone = home_zone();
    static const char *const others[] = {"example.net", "net", ".", "xdetec.example.net",
                                         "home.detec.example.org"};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct ask question = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN, .udp_len = 512};
        static struct reply reply;
        uint8_t query[600];
        size_t len = build_query(others[i], &question, query);
        assert_int_equal(
            zone_answer(zone, query, len, false, 1232, reply.bytes, sizeof reply.bytes, &reply.len),
            ERR_OK);
        take_apart(&reply);
        assert_refused(&reply);
    }
    assert_refused(ask_with(zone, ZONE, &(struct ask){.type = DNS_TYPE_A, .class = DNS_CLASS_CH}));
    assert_refused(ask_with(zone, ZONE, &(struct ask){.type = DNS_TYPE_A, .class = DNS_CLASS_ANY}));
    assert_refused(ask_with(
        zone, ZONE, &(struct ask){.type = DNS_TYPE_AXFR, .class = DNS_CLASS_IN, .is_tcp = true}));
    assert_refused(ask(zone, ZONE, DNS_TYPE_IXFR));
    assert_int_equal(ask(zone, ZONE, DNS_TYPE_TKEY)->rcode, DNS_RCODE_NOTIMP);
    assert_int_equal(ask(zone, ZONE, DNS_TYPE_OPT)->rcode, DNS_RCODE_FORMERR);
    zone_free(zone);
}

static void test_edns(void **state)
{
    struct zone *zone = home_zone();
    struct ask plain = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN};
    struct reply *reply = ask(zone, "home." ZONE, DNS_TYPE_A);
    static struct reply raw;
    uint8_t query[600];

    assert_int_equal(reply->edns.udp_len, DNS_UDP_LEN_SAFE);
    assert_true(reply->edns.is_dnssec_ok); /* RFC 3225, 3: copied */
    reply = ask_with(zone, "home." ZONE, &plain);
    assert_positive(reply);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ADDITIONAL], 0);

    plain.udp_len = 1232;
    size_t len = build_query("home." ZONE, &plain, query);
    query[len - 5] = 1; /* EDNS version 1 */
    assert_int_equal(
        zone_answer(zone, query, len, false, 1232, raw.bytes, sizeof raw.bytes, &raw.len), ERR_OK);
    take_apart(&raw);
    assert_int_equal(raw.rcode, DNS_RCODE_BADVERS);
    assert_int_equal(raw.edns.version, 0);
    assert_int_equal(raw.header.record_counts[DNS_SECTION_ANSWER], 0);
    zone_free(zone);
}

/* The longest names: what does not fit 512 bytes is left out with TC, and goes over TCP. */
static void test_truncation(void **state)
{
    char name[NAME_TEXT_CAP], server[NAME_TEXT_CAP];
    struct zone *zone = NULL;
    struct zone_config config = {.name = name,
                                 .name_server = server,
                                 .address = address_from_ipv4(0xcb00710a),
                                 .port = 4500,
                                 .key = CONNECTOR_KEY,
                                 .seed = {1}};
    struct ask soa = {.type = DNS_TYPE_SOA, .class = DNS_CLASS_IN};

    memset(name, 'a', sizeof name);
    memset(server, 'b', sizeof server);
    for (size_t i = 63; i < 240; i += 64)
        name[i] = server[i] = '.';
    name[235] = server[240] = '\0';
    assert_int_equal(zone_new(&config, &zone), ERR_OK);
    struct reply *reply = ask_with(zone, name, &soa);
    assert_true(reply->len <= 512);
    assert_true((reply->header.flags & DNS_FLAG_TC) != 0);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 0);
    soa.is_tcp = true;
    reply = ask_with(zone, name, &soa);
    assert_true((reply->header.flags & DNS_FLAG_TC) == 0);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 1);
    soa.is_tcp = false;
    soa.udp_len = 1232;
    reply = ask_with(zone, name, &soa);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 1);
    zone_free(zone);
}

static void test_malformed(void **state)
{
    struct zone *zone = home_zone();
    struct ask question = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN, .udp_len = 1232};
    static struct reply reply;
    uint8_t query[600], copy[600];
    size_t len = build_query("home." ZONE, &question, query);
    uint32_t random = 9;

    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut > 0 ? cut : 1);
        assert_non_null(exact);
        memcpy(exact, query, cut);
        int error =
            zone_answer(zone, exact, cut, false, 1232, reply.bytes, sizeof reply.bytes, &reply.len);
        assert_int_equal(error, cut < 12 ? ERR_INVALID : ERR_OK);
        if (error == ERR_OK) {
            take_apart(&reply);
            assert_int_equal(reply.rcode, DNS_RCODE_FORMERR);
            assert_int_equal(reply.len, 12);
            assert_int_equal(reply.header.id, 0x1234);
        }
        free(exact);
    }
    memcpy(copy, query, len);
    copy[2] |= 0x80; /* a response is never answered */
    assert_int_equal(
        zone_answer(zone, copy, len, false, 1232, reply.bytes, sizeof reply.bytes, &reply.len),
        ERR_INVALID);
    copy[2] = 5 << 3; /* UPDATE */
    assert_int_equal(
        zone_answer(zone, copy, len, false, 1232, reply.bytes, sizeof reply.bytes, &reply.len),
        ERR_OK);
    take_apart(&reply);
    assert_int_equal(reply.rcode, DNS_RCODE_NOTIMP);
    assert_int_equal(dns_opcode(reply.header.flags), DNS_OPCODE_UPDATE);
    assert_int_equal(reply.len, 12);

    for (int round = 0; round < 100000; round++) {
        memcpy(copy, query, len);
        for (int change = 0; change < 1 + round % 3; change++) {
            random = random * 1664525 + 1013904223;
            copy[(random >> 8) % len] = (uint8_t)(random >> 24);
        }
        if (zone_answer(zone, copy, len, round % 2 == 0, 1232, reply.bytes, sizeof reply.bytes,
                        &reply.len) == ERR_OK)
            take_apart(&reply);
    }
    zone_free(zone);
}

static void test_names(void **state)
{
    struct zone *zone = new_zone("ns." ZONE);
    struct public_key key;
    bool is_static = true;
    static const char *const bad[] = {
        ZONE,          "ns." ZONE,   "_x." ZONE, "a._tcp." ZONE,      "a.example.net", "A." ZONE,
        "a." ZONE ".", "a..b." ZONE, "",         "xdetec.example.net"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(zone_check_name(zone, bad[i]), ERR_INVALID);
        assert_int_equal(zone_add_host(zone, bad[i], &HOME_KEY, true), ERR_INVALID);
    }
    assert_int_equal(zone_check_name(zone, "a." ZONE), ERR_OK);
    assert_int_equal(zone_add_host(zone, "a." ZONE, &HOME_KEY, false), ERR_OK);
    assert_int_equal(zone_add_host(zone, "a." ZONE, &HOME_KEY, false), ERR_OK);
    assert_int_equal(zone_add_host(zone, "a." ZONE, &CONNECTOR_KEY, false), ERR_EXISTS);
    assert_int_equal(zone_host_count(zone), 1);
    assert_int_equal(zone_serial(zone), 101);
    assert_int_equal(zone_find_host(zone, "a." ZONE, &key, &is_static), ERR_OK);
    assert_true(public_key_is_equal(&key, &HOME_KEY));
    assert_false(is_static);
    assert_int_equal(zone_find_host(zone, "b." ZONE, NULL, NULL), ERR_NOT_FOUND);
    assert_int_equal(zone_find_host(zone, "ns." ZONE, NULL, NULL), ERR_NOT_FOUND);

    struct reply *reply = ask(zone, "ns." ZONE, DNS_TYPE_A);
    assert_positive(reply);
    assert_address(&reply->answers[0], 0xcb00710a, ZONE_TTL_S);
    assert_negative(ask(zone, "ns." ZONE, DNS_TYPE_IPSECKEY), DNS_RCODE_NOERROR);
    zone_free(zone);

    zone = new_zone("ns.example.org"); /* elsewhere: no address here */
    reply = ask(zone, ZONE, DNS_TYPE_NS);
    assert_positive(reply);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ADDITIONAL], 1);
    zone_free(zone);
    zone_free(NULL);
}

static void test_bad_configuration(void **state)
{
    struct zone_config config = {
        .name = "Upper.example.net", .address = address_from_ipv4(0xcb00710a), .port = 4500};
    struct zone *zone = NULL;

    assert_int_equal(zone_new(&config, &zone), ERR_INVALID);
    config.name = ZONE;
    config.port = 0;
    assert_int_equal(zone_new(&config, &zone), ERR_INVALID);
    config.port = 4500;
    config.address.family = ADDRESS_NONE;
    assert_int_equal(zone_new(&config, &zone), ERR_INVALID);
    config.address = address_from_bytes(ADDRESS_IPV6, (const uint8_t *)" 123456789abcdef");
    assert_int_equal(zone_new(&config, &zone), ERR_OK);
    struct reply *reply = ask(zone, ZONE, DNS_TYPE_AAAA);
    assert_positive(reply);
    assert_int_equal(reply->answers[0].type, DNS_TYPE_AAAA);
    assert_negative(ask(zone, ZONE, DNS_TYPE_A), DNS_RCODE_NOERROR);
    zone_free(zone);
    config.other_address = config.address;
    assert_int_equal(zone_new(&config, &zone), ERR_INVALID);
}

static void test_addresses_of_both_families(void **state)
{
    struct zone_config config = {
        .name = ZONE,
        .address = address_from_bytes(ADDRESS_IPV6, (const uint8_t *)" 123456789abcdef"),
        .other_address = address_from_ipv4(0xcb00710a),
        .port = 4500};
    struct zone *zone = NULL;

    assert_int_equal(zone_new(&config, &zone), ERR_OK);
    struct reply *reply = ask(zone, ZONE, DNS_TYPE_AAAA);
    assert_positive(reply);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 1);
    assert_int_equal(reply->answers[0].type, DNS_TYPE_AAAA);
    reply = ask(zone, ZONE, DNS_TYPE_A);
    assert_positive(reply);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ANSWER], 1);
    assert_address(&reply->answers[0], 0xcb00710a, ZONE_TTL_S);
    reply = ask(zone, "_detec._tcp." ZONE, DNS_TYPE_SRV);
    assert_positive(reply);
    assert_int_equal(reply->header.record_counts[DNS_SECTION_ADDITIONAL], 3); /* and OPT */
    zone_free(zone);
}

static void test_many_hosts(void **state)
{
    enum { COUNT = 100000 };
    struct zone *zone = new_zone(NULL);
    char name[NAME_TEXT_CAP];

    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "h-%d." ZONE, i);
        assert_int_equal(zone_add_host(zone, name, &HOME_KEY, false), ERR_OK);
    }
    assert_int_equal(zone_host_count(zone), COUNT);
    for (int i = 0; i < COUNT; i += 2) {
        snprintf(name, sizeof name, "h-%d." ZONE, i);
        assert_int_equal(zone_remove_host(zone, name), ERR_OK);
    }
    for (int i = 0; i < COUNT; i += 997) {
        snprintf(name, sizeof name, "h-%d." ZONE, i);
        if (i % 2 == 0)
            assert_negative(ask(zone, name, DNS_TYPE_A), DNS_RCODE_NXDOMAIN);
        else
            assert_positive(ask(zone, name, DNS_TYPE_A));
    }
    zone_free(zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apex),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_empty_non_terminals),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_edns),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_addresses_of_both_families),
        cmocka_unit_test(test_many_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
