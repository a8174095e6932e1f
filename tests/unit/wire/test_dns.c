/* Reading of DNS messages: samples, every truncation, mutations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns_samples.h"
#include "wire/dns.h"
#include <stdlib.h>
#include <string.h>

static void assert_name(const struct dns_name *name, const char *text)
{
    char formatted[DNS_NAME_TEXT_CAP];
    assert_string_equal(dns_name_format(name, formatted, sizeof formatted), text);
}

/* Reads everything there is, each record by each of its readers. Returns how many records were
 * read, or the error. */
static int read_all(const uint8_t *message, size_t len)
{
    struct dns_question question;
    struct dns_record record;
    struct dns_ipseckey key;
    struct dns_name name;
    struct dns_reader r;
    struct dns_edns edns;
    struct dns_srv srv;
    struct dns_soa soa;
    struct address address;
    int count = 0;

    int error = dns_reader_init(&r, message, len);
    if (error != ERR_OK)
        return error;
    while ((error = dns_reader_question(&r, &question)) == ERR_OK)
        continue;
    if (error != ERR_NOT_FOUND)
        return error;
    while ((error = dns_reader_record(&r, &record)) == ERR_OK) {
        count++;
        assert_true(record.rdata_offset + record.rdata_len <= len);
        assert_int_equal(record.ttl_offset + 6, record.rdata_offset);
        assert_ptr_equal(record.rdata, message + record.rdata_offset);
        (void)!dns_record_name(&r, &record, 0, &name, NULL);
        (void)!dns_record_address(&record, &address);
        (void)!dns_record_srv(&r, &record, &srv);
        (void)!dns_record_soa(&r, &record, &soa);
        (void)!dns_record_edns(&record, &edns);
        if (dns_record_ipseckey(&r, &record, &key) == ERR_OK)
            assert_true(key.key >= record.rdata &&
                        key.key + key.key_len == record.rdata + record.rdata_len);
    }
    return error == ERR_NOT_FOUND ? count : error;
}

static const struct {
    const uint8_t *bytes;
    size_t len;
    int record_count;
} SAMPLES[] = {
    {SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A, 3}, {SAMPLE_SOA, sizeof SAMPLE_SOA, 1},
    {SAMPLE_SRV, sizeof SAMPLE_SRV, 3},         {SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY, 3},
    {SAMPLE_QUERY, sizeof SAMPLE_QUERY, 1},
};
#define SAMPLE_COUNT (sizeof SAMPLES / sizeof SAMPLES[0])

static void test_truncated(void **state)
{
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        assert_int_equal(read_all(SAMPLES[i].bytes, SAMPLES[i].len), SAMPLES[i].record_count);
        for (size_t len = 0; len < SAMPLES[i].len; len++) {
            /* An own allocation of the exact length: a sanitizer sees any byte read beyond it. */
            uint8_t *copy = malloc(len > 0 ? len : 1);
            assert_non_null(copy);
            memcpy(copy, SAMPLES[i].bytes, len);
            assert_int_equal(read_all(copy, len), ERR_TRUNCATED);
            free(copy);
        }
    }
}

static void test_mutated(void **state)
{
    uint32_t random = 1;

    for (int round = 0; round < 200000; round++) {
        size_t i = (size_t)round % SAMPLE_COUNT;
        uint8_t copy[256];
        struct dns_query query;
        assert_true(SAMPLES[i].len <= sizeof copy);
        memcpy(copy, SAMPLES[i].bytes, SAMPLES[i].len);
        for (int change = 0; change < 1 + round % 3; change++) {
            random = random * 1664525 + 1013904223;
            copy[(random >> 8) % SAMPLES[i].len] = (uint8_t)(random >> 24);
        }
        (void)!read_all(copy, SAMPLES[i].len);
        (void)!dns_query_parse(copy, SAMPLES[i].len, &query);
        (void)!dns_response_is_for(copy, SAMPLES[i].len, SAMPLE_QUERY, sizeof SAMPLE_QUERY);
    }
}

static void test_cname_a(void **state)
{
    struct dns_question question;
    struct dns_record record;
    struct dns_reader r;
    struct dns_name target;
    struct address address;
    size_t next = 0;

    assert_int_equal(dns_reader_init(&r, SAMPLE_CNAME_A, sizeof SAMPLE_CNAME_A), ERR_OK);
    assert_int_equal(r.header.id, 0x1a2b);
    assert_int_equal(r.header.flags, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA | DNS_FLAG_AD);
    assert_int_equal(dns_reader_question(&r, &question), ERR_OK);
    assert_name(&question.name, "www.example.net");
    assert_int_equal(question.type, DNS_TYPE_A);
    assert_int_equal(question.class, DNS_CLASS_IN);
    assert_int_equal(dns_reader_question(&r, &question), ERR_NOT_FOUND);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.type, DNS_TYPE_CNAME);
    assert_int_equal(record.ttl, 300);
    assert_name(&record.name, "www.example.net");
    assert_int_equal(dns_record_name(&r, &record, 0, &target, &next), ERR_OK);
    assert_int_equal(next, record.rdata_len);
    assert_name(&target, "home.detec.example.net");
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_name(&record.name, "home.detec.example.net");
    assert_int_equal(record.section, DNS_SECTION_ANSWER);
    assert_int_equal(record.ttl_offset, SAMPLE_CNAME_A_TTL_AT);
    assert_int_equal(record.rdata_offset, SAMPLE_CNAME_A_RDATA_AT);
    assert_int_equal(dns_record_address(&record, &address), ERR_OK);
    assert_int_equal(address_to_ipv4(&address), 1);
    assert_false(dns_reader_is_at_end(&r));
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.section, DNS_SECTION_ADDITIONAL);
    assert_int_equal(record.type, DNS_TYPE_OPT);
    assert_int_equal(dns_record_address(&record, &address), ERR_INVALID);
    assert_int_equal(dns_reader_record(&r, &record), ERR_NOT_FOUND);
    assert_true(dns_reader_is_at_end(&r));
}

/* The reader before record `index` is read into ret_record. */
static struct dns_reader record_at(const uint8_t *message, size_t len, int index,
                                   struct dns_record *ret_record)
{
    struct dns_reader r;
    assert_int_equal(dns_reader_init(&r, message, len), ERR_OK);
    for (int i = 0; i <= index; i++)
        assert_int_equal(dns_reader_record(&r, ret_record), ERR_OK);
    return r;
}

static void test_soa_and_srv(void **state)
{
    struct dns_record record;
    struct dns_soa soa;
    struct dns_srv srv;
    struct dns_reader r = record_at(SAMPLE_SOA, sizeof SAMPLE_SOA, 0, &record);

    assert_int_equal(dns_record_soa(&r, &record, &soa), ERR_OK);
    assert_name(&soa.primary, "ns.example.net");
    assert_name(&soa.mailbox, "hostmaster.example.net");
    assert_int_equal(soa.serial, 0x78b23c01);
    assert_int_equal(soa.minimum, 5);
    assert_int_equal(dns_record_srv(&r, &record, &srv), ERR_INVALID);
    record.rdata_len--;
    assert_int_equal(dns_record_soa(&r, &record, &soa), ERR_TRUNCATED);

    r = record_at(SAMPLE_SRV, sizeof SAMPLE_SRV, 1, &record);
    assert_int_equal(dns_record_srv(&r, &record, &srv), ERR_OK);
    assert_int_equal(srv.priority, 10);
    assert_int_equal(srv.weight, 5);
    assert_int_equal(srv.port, 4500);
    assert_name(&srv.target, "a.example.net");
    for (uint16_t len = 0; len < 21; len++) {
        record.rdata_len = len;
        assert_int_equal(dns_record_srv(&r, &record, &srv), ERR_TRUNCATED);
    }
}

static void test_ipseckey(void **state)
{
    struct dns_record record;
    struct dns_ipseckey key;
    struct dns_reader r = record_at(SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY, 0, &record);

    assert_int_equal(dns_record_ipseckey(&r, &record, &key), ERR_OK);
    assert_int_equal(key.gateway_type, 3);
    assert_int_equal(key.key_len, 1);
    assert_int_equal(key.key[0], 0xaa);
    r = record_at(SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY, 1, &record);
    assert_int_equal(dns_record_ipseckey(&r, &record, &key), ERR_OK);
    assert_int_equal(key.key_len, 2);
    r = record_at(SAMPLE_IPSECKEY, sizeof SAMPLE_IPSECKEY, 2, &record);
    assert_int_equal(dns_record_ipseckey(&r, &record, &key), ERR_OK);
    assert_int_equal(key.precedence, 10);
    assert_int_equal(key.algorithm, DNS_IPSECKEY_ALGORITHM_EDDSA);
    assert_int_equal(key.key_len, 32);
    assert_int_equal(key.key[31], 32);

    uint8_t unknown[sizeof SAMPLE_IPSECKEY];
    memcpy(unknown, SAMPLE_IPSECKEY, sizeof unknown);
    unknown[sizeof unknown - 34] = 4; /* no such gateway type */
    r = record_at(unknown, sizeof unknown, 2, &record);
    assert_int_equal(dns_record_ipseckey(&r, &record, &key), ERR_INVALID);
}

static void test_query(void **state)
{
    uint8_t copy[sizeof SAMPLE_QUERY + 30];
    struct dns_query query;
    size_t len = sizeof SAMPLE_QUERY;

    assert_int_equal(dns_query_parse(SAMPLE_QUERY, len, &query), ERR_OK);
    assert_int_equal(query.header.id, 0x4242);
    assert_int_equal(query.question_end, len - 23);
    assert_true(query.edns.is_present);
    assert_true(query.edns.is_dnssec_ok);
    assert_int_equal(query.edns.udp_len, 1400);
    assert_int_equal(query.edns.version, 0);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(dns_query_parse(SAMPLE_QUERY, cut, &query), ERR_OK);

    memcpy(copy, SAMPLE_QUERY, len);
    copy[len] = 0;
    assert_int_equal(dns_query_parse(copy, len + 1, &query), ERR_INVALID); /* left over */
    copy[2] |= 0x80;
    assert_int_equal(dns_query_parse(copy, len, &query), ERR_INVALID); /* a response */
    copy[2] &= 0x7f;
    copy[5] = 0;
    assert_int_equal(dns_query_parse(copy, len, &query), ERR_INVALID); /* no question */
    copy[5] = 1;
    memcpy(copy + len, SAMPLE_QUERY + len - 23, 23);
    copy[11] = 2;
    assert_int_equal(dns_query_parse(copy, len + 23, &query), ERR_INVALID); /* two OPTs */
    copy[11] = 1;
    copy[len - 9] = 9; /* the option is said to be longer than the rdata */
    assert_int_equal(dns_query_parse(copy, len, &query), ERR_INVALID);
    copy[len - 9] = 8;
    copy[len - 20] = 0;
    copy[len - 19] = 100; /* a size below 512 counts as 512 */
    assert_int_equal(dns_query_parse(copy, len, &query), ERR_OK);
    assert_int_equal(query.edns.udp_len, 512);
}

static void test_response_is_for(void **state)
{
    uint8_t response[sizeof SAMPLE_QUERY];
    size_t len = sizeof response;

    memcpy(response, SAMPLE_QUERY, len);
    assert_false(dns_response_is_for(response, len, SAMPLE_QUERY, len)); /* QR clear */
    response[2] |= 0x80;
    assert_true(dns_response_is_for(response, len, SAMPLE_QUERY, len));
    response[13] = 'h'; /* case does not matter */
    assert_true(dns_response_is_for(response, len, SAMPLE_QUERY, len));
    response[13] = 'x';
    assert_false(dns_response_is_for(response, len, SAMPLE_QUERY, len));
    response[13] = 'h';
    response[0] ^= 1; /* ID */
    assert_false(dns_response_is_for(response, len, SAMPLE_QUERY, len));
    response[0] ^= 1;
    response[37] = 28; /* type */
    assert_false(dns_response_is_for(response, len, SAMPLE_QUERY, len));
    response[37] = 1;
    response[2] |= 0x28; /* opcode */
    assert_false(dns_response_is_for(response, len, SAMPLE_QUERY, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated),       cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_cname_a),         cmocka_unit_test(test_soa_and_srv),
        cmocka_unit_test(test_ipseckey),        cmocka_unit_test(test_query),
        cmocka_unit_test(test_response_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
