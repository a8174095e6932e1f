/* DNS messages from any server or application: every name, record and kind of rdata that is read.
 */
#include "fuzz.h"

#include "wire/dns.h"

static void check_record(const struct dns_reader *r, const struct dns_record *record,
                         const uint8_t *data, size_t len)
{
    struct address address;
    struct dns_srv srv;
    struct dns_soa soa;
    struct dns_ipseckey key;
    struct dns_edns edns;
    struct dns_name name;

    must(record->rdata_offset <= len && record->rdata_len <= len - record->rdata_offset);
    must(record->ttl_offset + 6 == record->rdata_offset &&
         record->rdata == data + record->rdata_offset);
    if (dns_record_address(record, &address) == 0)
        must(address_len(&address) == record->rdata_len || address.family == ADDRESS_IPV4);
    if (dns_record_srv(r, record, &srv) == 0)
        must(srv.target.len > 0);
    if (dns_record_soa(r, record, &soa) == 0)
        must(soa.primary.len > 0 && soa.mailbox.len > 0);
    if (dns_record_ipseckey(r, record, &key) == 0)
        must(key.key >= record->rdata &&
             key.key + key.key_len <= record->rdata + record->rdata_len);
    if (dns_record_edns(record, &edns) == 0)
        must(edns.udp_len >= DNS_UDP_LEN_MIN);
    if (dns_record_name(r, record, 0, &name, NULL) == 0)
        must(name.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct dns_reader r;
    struct dns_question question;
    struct dns_record record;
    struct dns_query query;
    char text[DNS_NAME_TEXT_CAP], host[NAME_TEXT_CAP], again[NAME_TEXT_CAP];

    if (dns_query_parse(data, len, &query) == 0)
        must(query.question_end <= len &&
             query.edns.udp_len >= (query.edns.is_present ? DNS_UDP_LEN_MIN : 0));
    if (dns_reader_init(&r, data, len) != 0)
        return 0;
    while (dns_reader_question(&r, &question) == 0) {
        (void)dns_name_format(&question.name, text, sizeof(text));
        if (dns_name_to_host(&question.name, host) == 0)
            must(name_normalize(host, again) == 0);
    }
    while (dns_reader_record(&r, &record) == 0)
        check_record(&r, &record, data, len);
    (void)dns_response_is_for(data, len, data, len);
    return 0;
}
