/* Building of DNS messages: what is built reads back, names are compressed, truncation is by
 * record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/dns_writer.h"
#include <stdlib.h>
#include <string.h>

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_int_equal(dns_name_from_text(text, &name), ERR_OK);
    return name;
}

/* A response with every kind of record; returns what dns_writer_finish says. */
static int build(uint8_t *buffer, size_t limit, size_t *ret_len)
{
    struct dns_question question = {name_of("Host.Example.net"), DNS_TYPE_A, DNS_CLASS_IN};
    struct dns_name host = name_of("host.example.net"), zone = name_of("example.net");
    struct dns_srv srv = {1, 2, 4500, name_of("c.example.net")};
    struct dns_soa soa = {name_of("example.net"), name_of("hostmaster.example.net"), 7, 1, 2, 3, 5};
    struct address v4 = address_from_ipv4(0x00000001);
    struct address v6 = address_from_bytes(ADDRESS_IPV6, (const uint8_t *)"0123456789abcdef");
    uint8_t key[32] = {9, 8, 7};
    struct dns_writer d;

    dns_writer_init(&d, buffer, limit, 0xabcd, DNS_FLAG_QR | DNS_FLAG_AA, true);
    dns_writer_question(&d, &question);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &host, 5, &v4);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &host, 5, &v6);
    dns_writer_ipseckey(&d, DNS_SECTION_ANSWER, &host, 5, key);
    dns_writer_srv(&d, DNS_SECTION_ANSWER, &zone, 60, &srv);
    dns_writer_name(&d, DNS_SECTION_AUTHORITY, &zone, DNS_TYPE_NS, 60, &zone);
    dns_writer_soa(&d, DNS_SECTION_AUTHORITY, &zone, 60, &soa);
    dns_writer_raw(&d, DNS_SECTION_ADDITIONAL, &srv.target, DNS_TYPE_TXT, 60, "\3abc", 4);
    dns_writer_edns(&d, 1232, true, DNS_RCODE_BADVERS);
    return dns_writer_finish(&d, DNS_RCODE_BADVERS, ret_len);
}

static void test_reads_back(void **state)
{
    uint8_t buffer[512];
    struct dns_name host = name_of("host.example.net"), zone = name_of("example.net"), name;
    struct dns_question question;
    struct dns_record record;
    struct dns_ipseckey key;
    struct dns_reader r;
    struct dns_edns edns;
    struct dns_srv srv;
    struct dns_soa soa;
    struct address address;
    size_t len = 0;

    assert_int_equal(build(buffer, sizeof buffer, &len), ERR_OK);
    assert_int_equal(dns_reader_init(&r, buffer, len), ERR_OK);
    assert_int_equal(r.header.id, 0xabcd);
    assert_int_equal(r.header.flags, DNS_FLAG_QR | DNS_FLAG_AA); /* BADVERS has no lower bits */
    assert_int_equal(r.header.record_counts[0], 4);
    assert_int_equal(r.header.record_counts[1], 2);
    assert_int_equal(r.header.record_counts[2], 2);
    assert_int_equal(dns_reader_question(&r, &question), ERR_OK);
    assert_memory_equal(question.name.bytes, "\4Host\7Example\3net", 5);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_memory_equal(buffer + record.ttl_offset - 6, "\xc0\x0c", 2); /* the question's name */
    assert_true(dns_name_is_equal(&record.name, &host));
    assert_int_equal(dns_record_address(&record, &address), ERR_OK);
    assert_int_equal(address_to_ipv4(&address), 1);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(dns_record_address(&record, &address), ERR_OK);
    assert_int_equal(address.family, ADDRESS_IPV6);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(dns_record_ipseckey(&r, &record, &key), ERR_OK);
    assert_int_equal(key.precedence, 10);
    assert_int_equal(key.gateway_type, 0);
    assert_int_equal(key.algorithm, 4);
    assert_int_equal(key.key_len, 32);
    assert_int_equal(key.key[0], 9);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_true(dns_name_is_equal(&record.name, &zone));
    assert_memory_equal(buffer + record.ttl_offset - 6, "\xc0\x11", 2); /* its suffix */
    assert_int_equal(dns_record_srv(&r, &record, &srv), ERR_OK);
    assert_int_equal(srv.port, 4500);
    assert_int_equal(record.rdata_len, 6 + 15); /* never compressed */
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.rdata_len, 2);
    assert_int_equal(dns_record_name(&r, &record, 0, &name, NULL), ERR_OK);
    assert_true(dns_name_is_equal(&name, &zone));
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(dns_record_soa(&r, &record, &soa), ERR_OK);
    assert_int_equal(soa.serial, 7);
    assert_int_equal(soa.minimum, 5);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_memory_equal(record.rdata, "\3abc", 4);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(dns_record_edns(&record, &edns), ERR_OK);
    assert_int_equal(edns.udp_len, 1232);
    assert_int_equal(edns.extended_rcode, 1);
    assert_true(edns.is_dnssec_ok);
    assert_true(dns_reader_is_at_end(&r));
}

/* At every limit: whole records, TC if one of the first two sections was cut, OPT always. */
static void test_every_limit(void **state)
{
    uint8_t whole[512];
    size_t whole_len = 0;

    assert_int_equal(build(whole, sizeof whole, &whole_len), ERR_OK);
    for (size_t limit = 0; limit < whole_len; limit++) {
        uint8_t *buffer = malloc(limit > 0 ? limit : 1);
        struct dns_record record = {.type = 0};
        struct dns_reader r;
        size_t len = 0;
        assert_non_null(buffer);
        int error = build(buffer, limit, &len);
        if (limit < 12 + 18 + 4 + DNS_OPT_LEN) {
            assert_int_equal(error, ERR_FULL);
            free(buffer);
            continue;
        }
        assert_int_equal(error, ERR_OK);
        assert_true(len <= limit);
        assert_int_equal(dns_reader_init(&r, buffer, len), ERR_OK);
        unsigned count = r.header.record_counts[0] + r.header.record_counts[1];
        assert_int_equal((r.header.flags & DNS_FLAG_TC) != 0, count < 6);
        while (dns_reader_record(&r, &record) == ERR_OK)
            continue;
        assert_true(dns_reader_is_at_end(&r));
        assert_int_equal(record.type, DNS_TYPE_OPT);
        free(buffer);
    }
}

static void test_misuse(void **state)
{
    struct dns_question question = {name_of("a.b"), DNS_TYPE_A, DNS_CLASS_IN};
    struct address address = address_from_ipv4(1), none = {.family = ADDRESS_NONE};
    uint8_t buffer[256];
    struct dns_writer d;
    size_t len = 0;

    dns_writer_init(&d, buffer, sizeof buffer, 1, 0, false);
    dns_writer_question(&d, &question);
    dns_writer_address(&d, DNS_SECTION_ADDITIONAL, &question.name, 1, &address);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &question.name, 1, &address);
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_STATE);
    dns_writer_init(&d, buffer, sizeof buffer, 1, 0, false);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &question.name, 1, &address);
    dns_writer_question(&d, &question);
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_STATE);
    dns_writer_init(&d, buffer, sizeof buffer, 1, 0, false);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &question.name, 1, &none);
    assert_int_equal(dns_writer_finish(&d, 0, &len), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),
        cmocka_unit_test(test_every_limit),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
