/* Rewriting of DNS answers in place, and answers of our own to this host's applications. Reverse
 * look-ups are in rewrite_ptr.c. */
#include "names/rewrite.h"

#include "names/answer.h"
#include <string.h>

static const uint8_t MARK[4] = {0, 0, 0, 1}; /* "reachable through Detec" */

#define RRSIG_COVERED_LEN 2 /* RFC 4034, 3.1.1: first in the rdata */

static bool is_rrsig_of_a(const struct dns_record *record)
{
    return record->rdata_len >= RRSIG_COVERED_LEN && record->rdata[0] == 0 &&
           record->rdata[1] == DNS_TYPE_A;
}

/* Fills the sites; ERR_NOT_FOUND if the records are to be left alone. */
static int find_sites(const uint8_t *message, size_t len, const struct answer *answer,
                      struct rewrite *rewrite)
{
    struct dns_record record;
    struct dns_reader r;
    int error;

    if (dns_reader_init(&r, message, len) != ERR_OK)
        return ERR_NOT_FOUND;
    while ((error = dns_reader_record(&r, &record)) == ERR_OK) {
        if (answer_is_wanted(answer, &record, DNS_TYPE_RRSIG) && is_rrsig_of_a(&record) &&
            (answer->header.flags & DNS_FLAG_CD) != 0)
            return ERR_NOT_FOUND; /* its reader validates, and would find it forged */
        if (!answer_is_wanted(answer, &record, DNS_TYPE_A))
            continue;
        if (record.rdata_len != sizeof MARK)
            return ERR_NOT_FOUND;
        if (memcmp(record.rdata, MARK, sizeof MARK) != 0)
            continue;
        if (rewrite->count == REWRITE_SITES_MAX)
            return ERR_NOT_FOUND; /* the same record so many times: nobody sends that */
        rewrite->sites[rewrite->count++] =
            (struct rewrite_site){record.ttl_offset, record.rdata_offset};
    }
    return error == ERR_NOT_FOUND && rewrite->count > 0 ? ERR_OK : ERR_NOT_FOUND;
}

int rewrite_scan(const uint8_t *message, size_t len, struct rewrite *ret_rewrite)
{
    struct rewrite rewrite = {.count = 0};
    struct answer answer;

    /* Nearly every response ends here: no such bytes, nothing to do. */
    if (len < DNS_HEADER_LEN ||
        memmem(message + DNS_HEADER_LEN, len - DNS_HEADER_LEN, MARK, sizeof MARK) == NULL)
        return ERR_NOT_FOUND;
    if (answer_parse(message, len, &answer) != ERR_OK || answer.rcode != DNS_RCODE_NOERROR ||
        answer.has_signature || answer.question.class != DNS_CLASS_IN ||
        (answer.question.type != DNS_TYPE_A && answer.question.type != DNS_TYPE_ANY))
        return ERR_NOT_FOUND;
    if (dns_name_to_host(&answer.end, rewrite.name) != ERR_OK)
        return ERR_NOT_FOUND;
    int error = find_sites(message, len, &answer, &rewrite);
    if (error != ERR_OK)
        return error;
    *ret_rewrite = rewrite;
    return ERR_OK;
}

/* Where the IPv4 address of an A record, or of an IPv4-mapped AAAA, is in its rdata; -1: neither.
 */
static int ipv4_place(const struct dns_record *record)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (record->type == DNS_TYPE_A && record->rdata_len == 4)
        return 0;
    if (record->type == DNS_TYPE_AAAA && record->rdata_len == 16 &&
        memcmp(record->rdata, mapped, sizeof mapped) == 0)
        return (int)sizeof mapped;
    return -1;
}

static bool has_address(const struct pool *pool, const char *own_name, const struct dns_name *owner,
                        const struct address *address)
{
    const struct address own = pool_own_address(pool);
    char name[NAME_TEXT_CAP];
    struct address assigned;
    if (dns_name_to_host(owner, name) != ERR_OK)
        return false;
    if (own_name != NULL && strcmp(name, own_name) == 0 && address_is_equal(address, &own))
        return true;
    return pool_find_by_name(pool, name, &assigned) == ERR_OK &&
           address_is_equal(address, &assigned);
}

bool rewrite_disown(uint8_t *message, size_t len, const struct pool *pool, const char *own_name)
{
    struct dns_record record;
    struct dns_reader r;
    bool did_any = false;

    if (dns_reader_init(&r, message, len) != ERR_OK)
        return false;
    while (dns_reader_record(&r, &record) == ERR_OK) {
        const int place = ipv4_place(&record);
        if (place < 0)
            continue;
        uint8_t *bytes = message + record.rdata_offset + place;
        const struct address address = address_from_bytes(ADDRESS_IPV4, bytes);
        if (!pool_contains(pool, &address) || address_is_unspecified(&address) ||
            memcmp(bytes, MARK, sizeof MARK) == 0 ||
            has_address(pool, own_name, &record.name, &address))
            continue;
        memcpy(bytes, MARK, sizeof MARK);
        message[3] &= (uint8_t)~DNS_FLAG_AD;
        did_any = true;
    }
    return did_any;
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int rewrite_apply(uint8_t *message, size_t len, const struct rewrite *rewrite,
                  const struct address *address, uint32_t ttl_max_s)
{
    if (address->family != ADDRESS_IPV4 || len < DNS_HEADER_LEN)
        return ERR_INVALID;
    for (size_t i = 0; i < rewrite->count; i++) {
        const struct rewrite_site *site = &rewrite->sites[i];
        if (site->rdata_offset > len - 4 || site->ttl_offset > len - 4 ||
            memcmp(message + site->rdata_offset, MARK, sizeof MARK) != 0)
            return ERR_INVALID; /* not the message that was scanned */
    }
    for (size_t i = 0; i < rewrite->count; i++) {
        const struct rewrite_site *site = &rewrite->sites[i];
        memcpy(message + site->rdata_offset, address->bytes, 4);
        if (read_u32(message + site->ttl_offset) > ttl_max_s) {
            struct writer w;
            writer_init(&w, message + site->ttl_offset, 4);
            writer_u32(&w, ttl_max_s);
        }
    }
    message[3] &= (uint8_t)~DNS_FLAG_AD;
    return ERR_OK;
}

bool rewrite_needs_completion(const uint8_t *query, size_t query_len, const uint8_t *response,
                              size_t len, char ret_name[NAME_TEXT_CAP])
{
    char name[NAME_TEXT_CAP];
    struct dns_record record;
    struct answer answer;
    struct dns_reader r;

    if (!dns_response_is_for(response, len, query, query_len) ||
        answer_parse(response, len, &answer) != ERR_OK)
        return false;
    if (answer.question.type != DNS_TYPE_A || answer.question.class != DNS_CLASS_IN ||
        answer.rcode != DNS_RCODE_NOERROR || (answer.header.flags & DNS_FLAG_TC) != 0 ||
        answer.has_authority || answer.has_signature)
        return false;
    if (dns_reader_init(&r, response, len) != ERR_OK)
        return false;
    while (dns_reader_record(&r, &record) == ERR_OK)
        if (record.section == DNS_SECTION_ANSWER && record.type == DNS_TYPE_A)
            return false;
    if (dns_name_label_count(&answer.end) < 2 || dns_name_to_host(&answer.end, name) != ERR_OK)
        return false;
    memcpy(ret_name, name, sizeof name);
    return true;
}

bool rewrite_asks_address(const uint8_t *query, size_t query_len, char ret_name[NAME_TEXT_CAP],
                          bool *ret_is_ipv6)
{
    struct dns_query parsed;

    if (dns_query_parse(query, query_len, &parsed) != ERR_OK ||
        dns_opcode(parsed.header.flags) != DNS_OPCODE_QUERY ||
        (parsed.question.type != DNS_TYPE_A && parsed.question.type != DNS_TYPE_AAAA) ||
        parsed.question.class != DNS_CLASS_IN || dns_name_label_count(&parsed.question.name) < 2 ||
        dns_name_to_host(&parsed.question.name, ret_name) != ERR_OK)
        return false;
    *ret_is_ipv6 = parsed.question.type == DNS_TYPE_AAAA;
    return true;
}

bool rewrite_is_failure(const uint8_t *query, size_t query_len, const uint8_t *response, size_t len,
                        char ret_name[NAME_TEXT_CAP], bool *ret_is_ipv6)
{
    char name[NAME_TEXT_CAP];
    bool is_ipv6;

    if (!dns_response_is_for(response, len, query, query_len) ||
        !rewrite_asks_address(query, query_len, name, &is_ipv6))
        return false;
    const unsigned rcode = response[3] & 15;
    if (rcode != DNS_RCODE_SERVFAIL && rcode != DNS_RCODE_REFUSED)
        return false;
    memcpy(ret_name, name, sizeof name);
    *ret_is_ipv6 = is_ipv6;
    return true;
}

int rewrite_build_answer(const uint8_t *query, size_t query_len, bool is_tcp, const char *name,
                         const struct address *address, uint32_t ttl_s, uint8_t *ret_response,
                         size_t cap, size_t *ret_len)
{
    struct dns_query parsed;
    struct dns_name owner;
    struct dns_writer d;

    if (dns_query_parse(query, query_len, &parsed) != ERR_OK ||
        dns_opcode(parsed.header.flags) != DNS_OPCODE_QUERY ||
        parsed.question.type != (address->family == ADDRESS_IPV6 ? DNS_TYPE_AAAA : DNS_TYPE_A) ||
        parsed.question.class != DNS_CLASS_IN || address->family == ADDRESS_NONE ||
        dns_name_from_text(name, &owner) != ERR_OK)
        return ERR_INVALID;
    answer_begin(&d, &parsed, DNS_FLAG_RA, is_tcp, ret_response, cap);
    if (!dns_name_is_equal(&owner, &parsed.question.name))
        dns_writer_name(&d, DNS_SECTION_ANSWER, &parsed.question.name, DNS_TYPE_CNAME, ttl_s,
                        &owner);
    dns_writer_address(&d, DNS_SECTION_ANSWER, &owner, ttl_s, address);
    return answer_finish(&d, &parsed, DNS_RCODE_NOERROR, ret_len);
}

int rewrite_build_error(const uint8_t *query, size_t query_len, unsigned rcode,
                        uint8_t *ret_response, size_t cap, size_t *ret_len)
{
    struct dns_query parsed;
    struct dns_writer d;

    if (dns_query_parse(query, query_len, &parsed) != ERR_OK ||
        dns_opcode(parsed.header.flags) != DNS_OPCODE_QUERY)
        return ERR_INVALID;
    answer_begin(&d, &parsed, DNS_FLAG_RA, false, ret_response, cap);
    return answer_finish(&d, &parsed, rcode, ret_len);
}
