/* Reading of DNS messages. Every function checks what it reads; whether a message as a whole is
 * what the caller wanted is the caller's to judge. */
#include "wire/dns.h"

#include "base/reader.h"
#include <string.h>

int dns_reader_init(struct dns_reader *r, const uint8_t *message, size_t len)
{
    struct reader in;

    reader_init(&in, message, len);
    struct dns_header header = {.id = reader_u16(&in)};
    header.flags = reader_u16(&in);
    header.question_count = reader_u16(&in);
    for (int i = 0; i < 3; i++)
        header.record_counts[i] = reader_u16(&in);
    if (!reader_is_ok(&in))
        return in.error;
    *r = (struct dns_reader){.message = message,
                             .len = len,
                             .at = reader_offset(&in),
                             .header = header,
                             .questions_left = header.question_count};
    memcpy(r->records_left, header.record_counts, sizeof r->records_left);
    return ERR_OK;
}

/* A failed reader says ERR_NOT_FOUND from then on, and is never at its end. */
static int fail(struct dns_reader *r, int error)
{
    r->questions_left = 0;
    memset(r->records_left, 0, sizeof r->records_left);
    r->at = SIZE_MAX;
    return error;
}

int dns_reader_question(struct dns_reader *r, struct dns_question *ret_question)
{
    struct dns_question question;
    struct reader in;
    size_t at = 0;

    if (r->questions_left == 0)
        return ERR_NOT_FOUND;
    int error = dns_name_parse(r->message, r->len, r->at, &question.name, &at);
    if (error != ERR_OK)
        return fail(r, error);
    reader_init(&in, r->message, r->len);
    reader_skip(&in, at);
    question.type = reader_u16(&in);
    question.class = reader_u16(&in);
    if (!reader_is_ok(&in))
        return fail(r, in.error);
    r->questions_left--;
    r->at = reader_offset(&in);
    *ret_question = question;
    return ERR_OK;
}

int dns_reader_record(struct dns_reader *r, struct dns_record *ret_record)
{
    struct dns_record record;
    struct reader in;
    int section = 0;
    size_t at = 0;

    while (r->questions_left > 0) {
        struct dns_question skipped;
        int error = dns_reader_question(r, &skipped);
        if (error != ERR_OK)
            return error;
    }
    while (section < 3 && r->records_left[section] == 0)
        section++;
    if (section == 3)
        return ERR_NOT_FOUND;
    int error = dns_name_parse(r->message, r->len, r->at, &record.name, &at);
    if (error != ERR_OK)
        return fail(r, error);
    reader_init(&in, r->message, r->len);
    reader_skip(&in, at);
    record.section = (enum dns_section)section;
    record.type = reader_u16(&in);
    record.class = reader_u16(&in);
    record.ttl_offset = reader_offset(&in);
    record.ttl = reader_u32(&in);
    record.rdata_len = reader_u16(&in);
    record.rdata_offset = reader_offset(&in);
    record.rdata = reader_bytes(&in, record.rdata_len);
    if (!reader_is_ok(&in))
        return fail(r, in.error);
    r->records_left[section]--;
    r->at = reader_offset(&in);
    *ret_record = record;
    return ERR_OK;
}

bool dns_reader_is_at_end(const struct dns_reader *r)
{
    return r->questions_left == 0 && r->records_left[0] == 0 && r->records_left[1] == 0 &&
           r->records_left[2] == 0 && r->at == r->len;
}

int dns_record_name(const struct dns_reader *r, const struct dns_record *record, size_t at,
                    struct dns_name *ret_name, size_t *ret_next)
{
    struct dns_name name;
    size_t end = 0;

    if (at >= record->rdata_len)
        return ERR_TRUNCATED;
    /* The message ends with this rdata as far as this name is concerned. */
    int error = dns_name_parse(r->message, record->rdata_offset + record->rdata_len,
                               record->rdata_offset + at, &name, &end);
    if (error != ERR_OK)
        return error;
    *ret_name = name;
    if (ret_next != NULL)
        *ret_next = end - record->rdata_offset;
    return ERR_OK;
}

int dns_record_address(const struct dns_record *record, struct address *ret_address)
{
    if (record->type == DNS_TYPE_A && record->rdata_len == 4)
        *ret_address = address_from_bytes(ADDRESS_IPV4, record->rdata);
    else if (record->type == DNS_TYPE_AAAA && record->rdata_len == 16)
        *ret_address = address_from_bytes(ADDRESS_IPV6, record->rdata);
    else
        return ERR_INVALID;
    return ERR_OK;
}

int dns_record_srv(const struct dns_reader *r, const struct dns_record *record,
                   struct dns_srv *ret_srv)
{
    struct dns_srv srv;
    struct reader in;
    size_t next = 0;

    if (record->type != DNS_TYPE_SRV)
        return ERR_INVALID;
    reader_init(&in, record->rdata, record->rdata_len);
    srv.priority = reader_u16(&in);
    srv.weight = reader_u16(&in);
    srv.port = reader_u16(&in);
    if (!reader_is_ok(&in))
        return in.error;
    int error = dns_record_name(r, record, reader_offset(&in), &srv.target, &next);
    if (error != ERR_OK)
        return error;
    if (next != record->rdata_len)
        return ERR_INVALID;
    *ret_srv = srv;
    return ERR_OK;
}

int dns_record_soa(const struct dns_reader *r, const struct dns_record *record,
                   struct dns_soa *ret_soa)
{
    struct dns_soa soa;
    struct reader in;
    size_t next = 0;

    if (record->type != DNS_TYPE_SOA)
        return ERR_INVALID;
    int error = dns_record_name(r, record, 0, &soa.primary, &next);
    if (error == ERR_OK)
        error = dns_record_name(r, record, next, &soa.mailbox, &next);
    if (error != ERR_OK)
        return error;
    reader_init(&in, record->rdata, record->rdata_len);
    reader_skip(&in, next);
    soa.serial = reader_u32(&in);
    soa.refresh = reader_u32(&in);
    soa.retry = reader_u32(&in);
    soa.expire = reader_u32(&in);
    soa.minimum = reader_u32(&in);
    if (!reader_is_ok(&in))
        return in.error;
    if (reader_left(&in) > 0)
        return ERR_INVALID;
    *ret_soa = soa;
    return ERR_OK;
}

int dns_record_ipseckey(const struct dns_reader *r, const struct dns_record *record,
                        struct dns_ipseckey *ret_key)
{
    struct dns_ipseckey key;
    struct reader in;

    if (record->type != DNS_TYPE_IPSECKEY)
        return ERR_INVALID;
    reader_init(&in, record->rdata, record->rdata_len);
    key.precedence = reader_u8(&in);
    key.gateway_type = reader_u8(&in);
    key.algorithm = reader_u8(&in);
    if (key.gateway_type == 1 || key.gateway_type == 2) { /* RFC 4025, 2.5: IPv4, IPv6 */
        reader_skip(&in, key.gateway_type == 1 ? 4 : 16);
    } else if (key.gateway_type == 3) { /* a name */
        struct dns_name gateway;
        size_t next = 0;
        int error = dns_record_name(r, record, reader_offset(&in), &gateway, &next);
        if (error != ERR_OK)
            return error;
        reader_skip(&in, next - reader_offset(&in));
    } else if (key.gateway_type != DNS_IPSECKEY_GATEWAY_NONE) {
        return ERR_INVALID;
    }
    key.key_len = reader_left(&in);
    key.key = reader_bytes(&in, key.key_len);
    if (!reader_is_ok(&in))
        return in.error;
    *ret_key = key;
    return ERR_OK;
}

int dns_record_edns(const struct dns_record *record, struct dns_edns *ret_edns)
{
    struct reader in;

    if (record->type != DNS_TYPE_OPT || record->name.len != 1)
        return ERR_INVALID;
    reader_init(&in, record->rdata, record->rdata_len);
    while (reader_left(&in) > 0) {
        reader_skip(&in, 2); /* option code */
        reader_skip(&in, reader_u16(&in));
    }
    if (!reader_is_ok(&in))
        return ERR_INVALID;
    *ret_edns = (struct dns_edns){
        .is_present = true,
        .extended_rcode = (uint8_t)(record->ttl >> 24),
        .version = (uint8_t)(record->ttl >> 16),
        .is_dnssec_ok = (record->ttl & 0x8000) != 0,
        .udp_len = record->class < DNS_UDP_LEN_MIN ? DNS_UDP_LEN_MIN : record->class, /* 6.2.3 */
    };
    return ERR_OK;
}

int dns_query_parse(const uint8_t *message, size_t len, struct dns_query *ret_query)
{
    struct dns_query query = {.question_end = 0};
    struct dns_record record;
    struct dns_reader r;

    int error = dns_reader_init(&r, message, len);
    if (error != ERR_OK)
        return error;
    query.header = r.header;
    if ((query.header.flags & DNS_FLAG_QR) != 0 || query.header.question_count != 1)
        return ERR_INVALID;
    error = dns_reader_question(&r, &query.question);
    if (error != ERR_OK)
        return error;
    query.question_end = r.at;
    while ((error = dns_reader_record(&r, &record)) == ERR_OK) {
        if (record.type != DNS_TYPE_OPT)
            continue;
        if (query.edns.is_present || record.section != DNS_SECTION_ADDITIONAL)
            return ERR_INVALID; /* RFC 6891, 6.1.1: one at most */
        error = dns_record_edns(&record, &query.edns);
        if (error != ERR_OK)
            return error;
    }
    if (error != ERR_NOT_FOUND)
        return error;
    if (!dns_reader_is_at_end(&r))
        return ERR_INVALID;
    *ret_query = query;
    return ERR_OK;
}

bool dns_response_is_for(const uint8_t *response, size_t len, const uint8_t *query,
                         size_t query_len)
{
    struct dns_question asked, answered;
    struct dns_reader q, r;

    if (dns_reader_init(&q, query, query_len) != ERR_OK ||
        dns_reader_init(&r, response, len) != ERR_OK)
        return false;
    if ((r.header.flags & DNS_FLAG_QR) == 0 || (q.header.flags & DNS_FLAG_QR) != 0 ||
        r.header.id != q.header.id || dns_opcode(r.header.flags) != dns_opcode(q.header.flags) ||
        r.header.question_count != 1 || q.header.question_count != 1)
        return false;
    if (dns_reader_question(&q, &asked) != ERR_OK || dns_reader_question(&r, &answered) != ERR_OK)
        return false;
    return asked.type == answered.type && asked.class == answered.class &&
           dns_name_is_equal(&asked.name, &answered.name);
}
