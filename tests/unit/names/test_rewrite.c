/* Rewriting: what is ours is changed in four bytes, TTL and AD; all else passes byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../wire/dns_samples.h"
#include "names/rewrite.h"
#include "wire/dns_writer.h"

static const uint8_t SEED[16] = {5};

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_int_equal(dns_name_from_text(text, &name), ERR_OK);
    return name;
}

/* A message under construction, with its question. */
struct draft {
    struct dns_writer d;
    uint8_t bytes[1024];
    size_t len;
};

static void begin(struct draft *draft, const char *name, uint16_t type, uint16_t flags)
{
    struct dns_question question = {name_of(name), type, DNS_CLASS_IN};

    dns_writer_init(&draft->d, draft->bytes, sizeof draft->bytes, 7, flags, false);
    dns_writer_question(&draft->d, &question);
}

static void add_a(struct draft *draft, enum dns_section section, const char *name, uint32_t ttl,
                  uint32_t address)
{
    struct dns_name owner = name_of(name);
    struct address value = address_from_ipv4(address);

    dns_writer_address(&draft->d, section, &owner, ttl, &value);
}

static void add_cname(struct draft *draft, const char *name, const char *target)
{
    struct dns_name owner = name_of(name), to = name_of(target);

    dns_writer_name(&draft->d, DNS_SECTION_ANSWER, &owner, DNS_TYPE_CNAME, 300, &to);
}

static void add_raw(struct draft *draft, enum dns_section section, const char *name, uint16_t type,
                    const void *rdata, size_t len)
{
    struct dns_name owner = name_of(name);

    dns_writer_raw(&draft->d, section, &owner, type, 60, rdata, len);
}

static void end(struct draft *draft, unsigned rcode)
{
    assert_int_equal(dns_writer_finish(&draft->d, rcode, &draft->len), ERR_OK);
}

static void assert_left_alone(const struct draft *draft)
{
    struct rewrite rewrite = {.count = 99};

    assert_int_equal(rewrite_scan(draft->bytes, draft->len, &rewrite), ERR_NOT_FOUND);
    assert_int_equal(rewrite.count, 99);
}

static void test_sample(void **state)
{
    uint8_t message[sizeof SAMPLE_CNAME_A], want[sizeof SAMPLE_CNAME_A];
    struct address address = address_from_ipv4(86), v6 = {.family = ADDRESS_IPV6};
    struct rewrite rewrite;

    memcpy(message, SAMPLE_CNAME_A, sizeof message);
    memcpy(want, SAMPLE_CNAME_A, sizeof want);
    assert_int_equal(rewrite_scan(message, sizeof message, &rewrite), ERR_OK);
    assert_string_equal(rewrite.name, "home.detec.example.net");
    assert_int_equal(rewrite.count, 1);
    assert_memory_equal(message, SAMPLE_CNAME_A, sizeof message);
    assert_int_equal(rewrite_apply(message, sizeof message, &rewrite, &v6, 30), ERR_INVALID);
    assert_int_equal(rewrite_apply(message, sizeof message, &rewrite, &address, 30), ERR_OK);
    want[SAMPLE_CNAME_A_RDATA_AT + 3] = 86;
    want[SAMPLE_CNAME_A_TTL_AT + 3] = 30;
    want[3] = 0x80; /* AD is gone */
    assert_memory_equal(message, want, sizeof want);
    /* Not the message that was scanned any more. */
    assert_int_equal(rewrite_apply(message, sizeof message, &rewrite, &address, 30), ERR_INVALID);

    memcpy(message, SAMPLE_CNAME_A, sizeof message);
    assert_int_equal(rewrite_apply(message, 40, &rewrite, &address, 30), ERR_INVALID);
    assert_int_equal(rewrite_apply(message, sizeof message, &rewrite, &address, 600), ERR_OK);
    assert_int_equal(message[SAMPLE_CNAME_A_TTL_AT + 3], 60); /* below the cap: as it was */
}

static void test_truncated_and_mutated(void **state)
{
    struct address address = address_from_ipv4(0x00010256);
    struct rewrite rewrite;
    uint32_t random = 3;

    for (size_t len = 0; len < sizeof SAMPLE_CNAME_A; len++) {
        uint8_t *copy = malloc(len > 0 ? len : 1);
        assert_non_null(copy);
        memcpy(copy, SAMPLE_CNAME_A, len);
        assert_int_equal(rewrite_scan(copy, len, &rewrite), ERR_NOT_FOUND);
        free(copy);
    }
    for (int round = 0; round < 100000; round++) {
        uint8_t message[sizeof SAMPLE_CNAME_A], before[sizeof SAMPLE_CNAME_A];
        memcpy(message, SAMPLE_CNAME_A, sizeof message);
        random = random * 1664525 + 1013904223;
        message[(random >> 8) % sizeof message] = (uint8_t)(random >> 24);
        memcpy(before, message, sizeof before);
        int error = rewrite_scan(message, sizeof message, &rewrite);
        assert_memory_equal(message, before, sizeof before);
        if (error != ERR_OK)
            continue;
        assert_int_equal(rewrite_apply(message, sizeof message, &rewrite, &address, 30), ERR_OK);
        size_t changed = 0;
        for (size_t i = 0; i < sizeof message; i++)
            changed += message[i] != before[i];
        assert_true(changed >= 2 && changed <= 9);
    }
}

static void test_several_records(void **state)
{
    struct draft draft;
    struct rewrite rewrite;
    struct address address = address_from_ipv4(0x0a000009);

    begin(&draft, "a.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&draft, DNS_SECTION_ANSWER, "a.example.net", 5, 0xcb007105);
    add_a(&draft, DNS_SECTION_ANSWER, "A.example.net", 5, 1);
    add_a(&draft, DNS_SECTION_ANSWER, "bank.example.org", 5, 1); /* off the chain */
    add_a(&draft, DNS_SECTION_ADDITIONAL, "a.example.net", 5, 1);
    end(&draft, 0);
    struct draft before = draft;
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_OK);
    assert_string_equal(rewrite.name, "a.example.net");
    assert_int_equal(rewrite.count, 1);
    assert_int_equal(rewrite_apply(draft.bytes, draft.len, &rewrite, &address, 30), ERR_OK);
    memcpy(before.bytes + rewrite.sites[0].rdata_offset, address.bytes, 4);
    assert_memory_equal(before.bytes, draft.bytes, draft.len);
}

static void add_aaaa(struct draft *draft, enum dns_section section, const char *name,
                     const char *text)
{
    struct address address;

    assert_int_equal(address_parse(text, &address), ERR_OK);
    add_raw(draft, section, name, DNS_TYPE_AAAA, address.bytes, 16);
}

/* A whole response to a question for AAAA; returns what is left of it. */
static size_t drop_made_up(struct draft *draft, const char *const *addresses)
{
    const struct nat64_prefixes prefixes = {
        .items = {{.address = {ADDRESS_IPV6, {0x20, 0x01, 0x0d, 0xb8, 0, 0x64}}, .bits = 64}},
        .count = 1};

    begin(draft, "b.example.net", DNS_TYPE_AAAA, DNS_FLAG_QR | DNS_FLAG_AD);
    for (; *addresses != NULL; addresses++)
        add_aaaa(draft, DNS_SECTION_ANSWER, "b.example.net", *addresses);
    end(draft, 0);
    return rewrite_drop_made_up(draft->bytes, draft->len, &prefixes);
}

/* What a DNS64 server makes of 0.0.0.1 reaches no application; all else passes byte for byte. */
static void test_drop_made_up(void **state)
{
    static const char *const made_up[] = {"64:ff9b::0.0.0.1", "64:ff9b::0.0.0.0",
                                          "2001:db8:64::0:1:0", "64:ff9b::0.86.0.1"};
    static const char *const others[] = {"64:ff9b::192.0.2.1", "2001:db8:64::c0:2:100:0",
                                         "2001:db8::1", "::1", "2001:db8:64:1::0:1:0"};
    struct draft draft, before;

    for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        struct dns_record record;
        struct dns_question question;
        struct dns_reader r;
        const size_t left =
            drop_made_up(&draft, (const char *const[]){"2001:db8::1", made_up[i], NULL});
        assert_true(left < draft.len);
        assert_int_equal(dns_reader_init(&r, draft.bytes, left), ERR_OK);
        assert_int_equal(r.header.flags & (DNS_FLAG_QR | DNS_FLAG_AD), DNS_FLAG_QR);
        assert_int_equal(dns_reader_question(&r, &question), ERR_OK);
        assert_int_equal(question.type, DNS_TYPE_AAAA);
        assert_int_equal(dns_reader_record(&r, &record), ERR_NOT_FOUND);
        assert_true(dns_reader_is_at_end(&r));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const size_t left = drop_made_up(&draft, (const char *const[]){others[i], NULL});
        assert_int_equal(left, draft.len);
        before = draft;
        assert_int_equal(
            rewrite_drop_made_up(draft.bytes, draft.len, &(struct nat64_prefixes){.count = 0}),
            draft.len);
        assert_memory_equal(before.bytes, draft.bytes, draft.len);
    }
    /* Cut anywhere: nothing beyond the end is touched. */
    begin(&draft, "b.example.net", DNS_TYPE_AAAA, DNS_FLAG_QR);
    add_aaaa(&draft, DNS_SECTION_ANSWER, "b.example.net", made_up[0]);
    end(&draft, 0);
    for (size_t len = 0; len <= draft.len; len++) {
        struct draft cut = draft;
        assert_true(rewrite_drop_made_up(cut.bytes, len, &(struct nat64_prefixes){.count = 0}) <=
                    len);
        assert_memory_equal(cut.bytes + len, draft.bytes + len, draft.len - len);
    }
}

/* 0.0.0.1 in place of pool addresses that the names do not have here; nothing else changes. */
static void test_disown(void **state)
{
    const struct prefix prefix = {address_from_ipv4(0), 8};
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [13] = 9, [15] = 9};
    struct pool *pool = NULL;
    struct address own, peer;
    struct draft draft, before;
    struct rewrite rewrite;
    bool is_new;

    assert_int_equal(pool_new(&prefix, SEED, &pool), ERR_OK);
    assert_int_equal(pool_get(pool, "b.example.net", 1, &peer, &is_new), ERR_OK);
    own = pool_own_address(pool);
    begin(&draft, "b.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&draft, DNS_SECTION_ANSWER, "B.example.net", 5, address_to_ipv4(&peer));
    add_a(&draft, DNS_SECTION_ANSWER, "self.example.net", 5, address_to_ipv4(&own));
    add_a(&draft, DNS_SECTION_ANSWER, "ads.example.org", 5, 0);
    add_a(&draft, DNS_SECTION_ANSWER, "b.example.net", 5, 1);
    add_a(&draft, DNS_SECTION_ANSWER, "www.example.org", 5, 0xcb007105);
    add_raw(&draft, DNS_SECTION_ANSWER, "b.example.net", DNS_TYPE_A, "abc", 3);
    end(&draft, 0);
    before = draft;
    assert_false(rewrite_disown(draft.bytes, draft.len, pool, "self.example.net"));
    assert_memory_equal(before.bytes, draft.bytes, draft.len);
    /* The own address is nobody else's. */
    assert_true(rewrite_disown(draft.bytes, draft.len, pool, NULL));

    begin(&draft, "evil.example.org", DNS_TYPE_A, DNS_FLAG_QR | DNS_FLAG_AD);
    add_a(&draft, DNS_SECTION_ANSWER, "evil.example.org", 5, address_to_ipv4(&peer));
    add_raw(&draft, DNS_SECTION_ADDITIONAL, "evil.example.org", DNS_TYPE_AAAA, mapped,
            sizeof mapped);
    end(&draft, 0);
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_NOT_FOUND);
    for (size_t len = 0; len < draft.len; len++) {
        struct draft cut = draft;
        (void)rewrite_disown(cut.bytes, len, pool, NULL);
        assert_memory_equal(cut.bytes + len, draft.bytes + len, draft.len - len);
    }
    assert_true(rewrite_disown(draft.bytes, draft.len, pool, NULL));
    assert_int_equal(draft.bytes[3] & DNS_FLAG_AD, 0);
    assert_int_equal(draft.bytes[draft.len - 1], 1);
    assert_int_equal(draft.bytes[draft.len - 3], 0);
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_OK);
    assert_string_equal(rewrite.name, "evil.example.org");
    assert_int_equal(rewrite.count, 1);
    assert_false(rewrite_disown(draft.bytes, draft.len, pool, NULL));
    pool_free(pool);
}

static void test_left_alone(void **state)
{
    static const uint8_t rrsig[20] = {0, 1};
    static const uint8_t long_a[5] = {0, 0, 0, 1, 0};
    static const uint16_t other_types[] = {DNS_TYPE_AAAA, DNS_TYPE_AXFR, DNS_TYPE_IPSECKEY};
    struct rewrite rewrite;
    struct draft draft;

    for (size_t i = 0; i < 3; i++) {
        begin(&draft, "a.b", other_types[i], DNS_FLAG_QR);
        add_a(&draft, DNS_SECTION_ANSWER, "a.b", 5, 1);
        end(&draft, 0);
        assert_left_alone(&draft);
    }
    begin(&draft, "a.b", DNS_TYPE_A, 0); /* a query */
    add_a(&draft, DNS_SECTION_ANSWER, "a.b", 5, 1);
    end(&draft, 0);
    assert_left_alone(&draft);
    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&draft, DNS_SECTION_ANSWER, "a.b", 5, 1);
    end(&draft, DNS_RCODE_NXDOMAIN);
    assert_left_alone(&draft);
    draft.bytes[3] = 0;
    draft.bytes[2] |= 4 << 3; /* NOTIFY */
    assert_left_alone(&draft);
    draft.bytes[2] = 0x80;
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_OK);
    draft.bytes[draft.len] = 0; /* a byte left over */
    draft.len++;
    assert_left_alone(&draft);
    draft.len--;
    draft.bytes[5] = 2; /* two questions */
    assert_left_alone(&draft);

    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&draft, DNS_SECTION_AUTHORITY, "a.b", 5, 1);
    end(&draft, 0);
    assert_left_alone(&draft);
    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR);
    add_raw(&draft, DNS_SECTION_ANSWER, "a.b", DNS_TYPE_A, long_a, sizeof long_a);
    end(&draft, 0);
    assert_left_alone(&draft);
    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR); /* bound to every byte by its signature */
    add_a(&draft, DNS_SECTION_ANSWER, "a.b", 5, 1);
    add_raw(&draft, DNS_SECTION_ADDITIONAL, "k", DNS_TYPE_TSIG, "x", 1);
    end(&draft, 0);
    assert_left_alone(&draft);
    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR | DNS_FLAG_CD); /* the asker validates */
    add_a(&draft, DNS_SECTION_ANSWER, "a.b", 5, 1);
    add_raw(&draft, DNS_SECTION_ANSWER, "a.b", DNS_TYPE_RRSIG, rrsig, sizeof rrsig);
    end(&draft, 0);
    assert_left_alone(&draft);
    draft.bytes[3] &= (uint8_t)~DNS_FLAG_CD; /* the resolver did: rewritten, RRSIG as it is */
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_OK);
    begin(&draft, "a.b", DNS_TYPE_A, DNS_FLAG_QR);
    end(&draft, 0);
    assert_left_alone(&draft);                       /* an empty answer */
    begin(&draft, "a b.c", DNS_TYPE_A, DNS_FLAG_QR); /* no host name */
    add_a(&draft, DNS_SECTION_ANSWER, "a b.c", 5, 1);
    end(&draft, 0);
    assert_left_alone(&draft);
}

static void test_cname_chains(void **state)
{
    struct rewrite rewrite;
    struct draft draft;

    /* In whatever order. */
    begin(&draft, "a.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&draft, DNS_SECTION_ANSWER, "c.example.org", 5, 1);
    add_cname(&draft, "b.example.com", "c.example.org");
    add_cname(&draft, "A.example.net", "b.example.com");
    end(&draft, 0);
    assert_int_equal(rewrite_scan(draft.bytes, draft.len, &rewrite), ERR_OK);
    assert_string_equal(rewrite.name, "c.example.org");
    /* A loop. */
    begin(&draft, "a.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_cname(&draft, "a.example.net", "b.example.net");
    add_cname(&draft, "b.example.net", "a.example.net");
    add_a(&draft, DNS_SECTION_ANSWER, "a.example.net", 5, 1);
    end(&draft, 0);
    assert_left_alone(&draft);
}

static void test_completion(void **state)
{
    struct draft query, response;
    char name[NAME_TEXT_CAP];
    struct dns_name zone = name_of("example.net");
    struct dns_soa soa = {zone, zone, 1, 2, 3, 4, 5};

    begin(&query, "home.example.net", DNS_TYPE_A, DNS_FLAG_RD);
    end(&query, 0);
    begin(&response, "home.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    end(&response, 0);
    assert_true(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    assert_string_equal(name, "home.example.net");
    response.bytes[3] |= DNS_RCODE_NXDOMAIN;
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    response.bytes[3] &= 0xf0;
    response.bytes[2] |= 2; /* TC */
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    response.bytes[2] &= (uint8_t)~2;
    response.bytes[1] ^= 1; /* another ID */
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));

    begin(&response, "home.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_cname(&response, "home.example.net", "pc.example.org");
    end(&response, 0);
    assert_true(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    assert_string_equal(name, "pc.example.org");
    begin(&response, "home.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    add_a(&response, DNS_SECTION_ANSWER, "home.example.net", 5, 0xcb007101);
    end(&response, 0);
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    begin(&response, "home.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    dns_writer_soa(&response.d, DNS_SECTION_AUTHORITY, &zone, 5, &soa);
    end(&response, 0); /* an honest NODATA */
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
    begin(&query, "localhost", DNS_TYPE_A, DNS_FLAG_RD);
    end(&query, 0);
    begin(&response, "localhost", DNS_TYPE_A, DNS_FLAG_QR);
    end(&response, 0);
    assert_false(
        rewrite_needs_completion(query.bytes, query.len, response.bytes, response.len, name));
}

/* As dnsmasq 2.89 with --stop-dns-rebind sends it: everything taken out, EDE 15 (blocked) put in.
 */
static void test_failure(void **state)
{
    static const unsigned no_failures[] = {DNS_RCODE_NOERROR, DNS_RCODE_NXDOMAIN};
    struct draft query, response;
    char name[NAME_TEXT_CAP] = "";
    bool is_ipv6 = true;

    begin(&query, "Home.example.net", DNS_TYPE_A, DNS_FLAG_RD);
    end(&query, 0);
    assert_true(rewrite_asks_address(query.bytes, query.len, name, &is_ipv6));
    assert_string_equal(name, "home.example.net");
    begin(&response, "Home.example.net", DNS_TYPE_A, DNS_FLAG_QR);
    end(&response, 0);
    for (size_t i = 0; i < sizeof no_failures / sizeof no_failures[0]; i++) {
        response.bytes[3] = (uint8_t)((response.bytes[3] & 0xf0) | no_failures[i]);
        assert_false(rewrite_is_failure(query.bytes, query.len, response.bytes, response.len, name,
                                        &is_ipv6));
    }
    response.bytes[3] = (uint8_t)((response.bytes[3] & 0xf0) | DNS_RCODE_REFUSED);
    assert_true(
        rewrite_is_failure(query.bytes, query.len, response.bytes, response.len, name, &is_ipv6));
    response.bytes[3] = (uint8_t)((response.bytes[3] & 0xf0) | DNS_RCODE_SERVFAIL);
    assert_true(
        rewrite_is_failure(query.bytes, query.len, response.bytes, response.len, name, &is_ipv6));
    assert_string_equal(name, "home.example.net");
    assert_false(is_ipv6);
    for (size_t len = 0; len < query.len; len++)
        assert_false(rewrite_asks_address(query.bytes, len, name, &is_ipv6));
    response.bytes[1] ^= 1; /* another ID */
    assert_false(
        rewrite_is_failure(query.bytes, query.len, response.bytes, response.len, name, &is_ipv6));
    begin(&query, "home.example.net", DNS_TYPE_AAAA, DNS_FLAG_RD);
    end(&query, 0);
    assert_true(rewrite_asks_address(query.bytes, query.len, name, &is_ipv6));
    assert_true(is_ipv6);
    begin(&query, "home.example.net", DNS_TYPE_SRV, DNS_FLAG_RD);
    end(&query, 0);
    assert_false(rewrite_asks_address(query.bytes, query.len, name, &is_ipv6));
}
static void test_completion_dnsmasq(void **state)
{
    static const uint8_t response[] = {
        0xfe, 0xeb, 0x85, 0x80, 0,   1,   0,   0,   0, 0,   0,   1,   4,   'h',  'o',
        'm',  'e',  5,    'd',  'e', 't', 'e', 'c', 7, 'e', 'x', 'a', 'm', 'p',  'l',
        'e',  3,    'n',  'e',  't', 0,   0,   1,   0, 1,   0,   0,   41,  0x04, 0xd0,
        0,    0,    0,    0,    0,   6,   0,   15,  0, 2,   0,   15};
    uint8_t query[40];
    char name[NAME_TEXT_CAP];

    memcpy(query, response, sizeof query);
    query[2] = 1;
    query[3] = query[11] = 0;
    assert_true(rewrite_needs_completion(query, sizeof query, response, sizeof response, name));
    assert_string_equal(name, "home.detec.example.net");
    for (size_t len = 0; len < sizeof response; len++)
        assert_false(rewrite_needs_completion(query, sizeof query, response, len, name));
}

static void test_build_answer(void **state)
{
    struct address address = address_from_ipv4(86), got;
    struct dns_question question;
    struct dns_record record;
    struct dns_reader r;
    struct dns_edns edns;
    uint8_t response[600];
    size_t len = 0;

    assert_int_equal(rewrite_build_answer(SAMPLE_QUERY, sizeof SAMPLE_QUERY, false,
                                          "home.detec.example.net", &address, 30, response,
                                          sizeof response, &len),
                     ERR_OK);
    assert_true(dns_response_is_for(response, len, SAMPLE_QUERY, sizeof SAMPLE_QUERY));
    assert_memory_equal(response + 12, SAMPLE_QUERY + 12, sizeof SAMPLE_QUERY - 12 - 23);
    assert_int_equal(dns_reader_init(&r, response, len), ERR_OK);
    assert_int_equal(r.header.flags, DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA);
    assert_int_equal(dns_reader_question(&r, &question), ERR_OK);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.ttl, 30);
    assert_int_equal(dns_record_address(&record, &got), ERR_OK);
    assert_true(address_is_equal(&got, &address));
    assert_true(dns_name_is_equal(&record.name, &question.name));
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(dns_record_edns(&record, &edns), ERR_OK);
    assert_true(edns.is_dnssec_ok);
    assert_int_equal(dns_reader_record(&r, &record), ERR_NOT_FOUND);
    assert_true(dns_reader_is_at_end(&r));

    assert_int_equal(rewrite_build_answer(SAMPLE_QUERY, sizeof SAMPLE_QUERY, false,
                                          "pc.example.org", &address, 30, response, sizeof response,
                                          &len),
                     ERR_OK);
    assert_int_equal(dns_reader_init(&r, response, len), ERR_OK);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.type, DNS_TYPE_CNAME);
    assert_int_equal(dns_reader_record(&r, &record), ERR_OK);
    assert_int_equal(record.type, DNS_TYPE_A);

    assert_int_equal(rewrite_build_error(SAMPLE_QUERY, sizeof SAMPLE_QUERY, DNS_RCODE_SERVFAIL,
                                         response, sizeof response, &len),
                     ERR_OK);
    assert_int_equal(response[3] & 15, DNS_RCODE_SERVFAIL);
    assert_true(dns_response_is_for(response, len, SAMPLE_QUERY, sizeof SAMPLE_QUERY));
    for (size_t cut = 0; cut < sizeof SAMPLE_QUERY; cut++) {
        assert_int_equal(rewrite_build_answer(SAMPLE_QUERY, cut, false, "a.b", &address, 30,
                                              response, sizeof response, &len),
                         ERR_INVALID);
        assert_int_equal(rewrite_build_error(SAMPLE_QUERY, cut, 2, response, sizeof response, &len),
                         ERR_INVALID);
    }
}

/* The rcode of the answer to a PTR query, or -1 if it is not answered here; ret_target empty if
 * there is no record. */
static int ask_ptr(const struct pool *pool, const char *name, uint16_t type,
                   char ret_target[DNS_NAME_TEXT_CAP])
{
    struct draft query;
    struct dns_record record;
    struct dns_reader r;
    uint8_t response[512];
    size_t len = 0;

    ret_target[0] = '\0';
    begin(&query, name, type, DNS_FLAG_RD);
    end(&query, 0);
    int error = rewrite_answer_ptr(pool, "me.example.net", query.bytes, query.len, false, response,
                                   sizeof response, &len);
    if (error == ERR_NOT_FOUND)
        return -1;
    assert_int_equal(error, ERR_OK);
    assert_true(dns_response_is_for(response, len, query.bytes, query.len));
    assert_int_equal(dns_reader_init(&r, response, len), ERR_OK);
    if (dns_reader_record(&r, &record) == ERR_OK) {
        struct dns_name target;
        assert_int_equal(record.type, DNS_TYPE_PTR);
        assert_int_equal(dns_record_name(&r, &record, 0, &target, NULL), ERR_OK);
        dns_name_format(&target, ret_target, DNS_NAME_TEXT_CAP);
    }
    return (int)dns_rcode(r.header.flags);
}

static struct pool *new_pool(const char *text)
{
    struct prefix prefix;
    struct pool *pool = NULL;

    assert_int_equal(prefix_parse(text, &prefix), ERR_OK);
    assert_int_equal(pool_new(&prefix, SEED, &pool), ERR_OK);
    return pool;
}

static void test_ptr(void **state)
{
    struct pool *pool = new_pool("0.0.0.0/8");
    char target[DNS_NAME_TEXT_CAP], name[64];
    struct address address;
    bool is_new = false;

    assert_int_equal(pool_get(pool, "home.example.net", 1000000, &address, &is_new), ERR_OK);
    snprintf(name, sizeof name, "%d.%d.%d.0.In-Addr.ARPA", address.bytes[3], address.bytes[2],
             address.bytes[1]);
    assert_int_equal(ask_ptr(pool, name, DNS_TYPE_PTR, target), 0);
    assert_string_equal(target, "home.example.net");
    assert_int_equal(ask_ptr(pool, name, DNS_TYPE_ANY, target), 0);
    assert_string_equal(target, "home.example.net");
    assert_int_equal(ask_ptr(pool, name, DNS_TYPE_TXT, target), 0); /* NODATA */
    assert_string_equal(target, "");
    assert_int_equal(ask_ptr(pool, "2.0.0.0.in-addr.arpa", DNS_TYPE_PTR, target), 0);
    assert_string_equal(target, "me.example.net");
    static const char *const unknown[] = {"1.0.0.0.in-addr.arpa",  "0.0.0.0.in-addr.arpa",
                                          "x.0.in-addr.arpa",      "300.1.0.in-addr.arpa",
                                          "01.0.0.0.in-addr.arpa", "9.9.9.9.0.in-addr.arpa"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_int_equal(ask_ptr(pool, unknown[i], DNS_TYPE_PTR, target), DNS_RCODE_NXDOMAIN);
        assert_string_equal(target, "");
    }
    assert_int_equal(ask_ptr(pool, "0.in-addr.arpa", DNS_TYPE_SOA, target), 0);
    assert_int_equal(ask_ptr(pool, "7.0.in-addr.arpa", DNS_TYPE_PTR, target), 0);
    assert_int_equal(ask_ptr(pool, "in-addr.arpa", DNS_TYPE_PTR, target), -1);
    assert_int_equal(ask_ptr(pool, "86.0.0.10.in-addr.arpa", DNS_TYPE_PTR, target), -1);
    assert_int_equal(ask_ptr(pool, "0.ip6.arpa", DNS_TYPE_PTR, target), -1);
    assert_int_equal(ask_ptr(pool, "home.example.net", DNS_TYPE_PTR, target), -1);
    assert_int_equal(pool_release(pool, "home.example.net", 1000000), ERR_OK);
    assert_int_equal(ask_ptr(pool, name, DNS_TYPE_PTR, target), DNS_RCODE_NXDOMAIN);
    pool_free(pool);

    pool = new_pool("100.64.0.0/10"); /* on no octet's boundary */
    assert_int_equal(ask_ptr(pool, "100.in-addr.arpa", DNS_TYPE_PTR, target), -1);
    assert_int_equal(ask_ptr(pool, "64.100.in-addr.arpa", DNS_TYPE_PTR, target), 0);
    assert_int_equal(ask_ptr(pool, "127.100.in-addr.arpa", DNS_TYPE_PTR, target), 0);
    assert_int_equal(ask_ptr(pool, "128.100.in-addr.arpa", DNS_TYPE_PTR, target), -1);
    assert_int_equal(ask_ptr(pool, "9.9.99.100.in-addr.arpa", DNS_TYPE_PTR, target),
                     DNS_RCODE_NXDOMAIN);
    pool_free(pool);
}

static void test_ptr_malformed(void **state)
{
    struct pool *pool = new_pool("0.0.0.0/8");
    struct draft query;
    uint8_t response[512];
    size_t len = 0;

    begin(&query, "2.0.0.0.in-addr.arpa", DNS_TYPE_PTR, DNS_FLAG_RD);
    end(&query, 0);
    for (size_t cut = 0; cut < query.len; cut++)
        assert_int_equal(rewrite_answer_ptr(pool, NULL, query.bytes, cut, false, response,
                                            sizeof response, &len),
                         ERR_NOT_FOUND);
    assert_int_equal(rewrite_answer_ptr(pool, NULL, query.bytes, query.len, false, response,
                                        sizeof response, &len),
                     ERR_OK);
    assert_int_equal(response[3] & 15, DNS_RCODE_NXDOMAIN); /* no own name */
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),          cmocka_unit_test(test_truncated_and_mutated),
        cmocka_unit_test(test_several_records), cmocka_unit_test(test_disown),
        cmocka_unit_test(test_drop_made_up),    cmocka_unit_test(test_left_alone),
        cmocka_unit_test(test_cname_chains),    cmocka_unit_test(test_completion),
        cmocka_unit_test(test_failure),         cmocka_unit_test(test_completion_dnsmasq),
        cmocka_unit_test(test_build_answer),    cmocka_unit_test(test_ptr),
        cmocka_unit_test(test_ptr_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
