/* Reverse look-ups of the pool's addresses, answered on this host. */
#include "names/answer.h"
#include "names/rewrite.h"
#include <string.h>

#define OCTETS_MAX 4

/* A label that is a decimal number from 0 to 255 as programs write it: no leading zero. */
static bool parse_octet(const uint8_t *label, size_t len, uint8_t *ret_octet)
{
    unsigned value = 0;

    if (len == 0 || len > 3 || (len > 1 && label[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (label[i] < '0' || label[i] > '9')
            return false;
        value = value * 10 + (unsigned)(label[i] - '0');
    }
    if (value > 255)
        return false;
    *ret_octet = (uint8_t)value;
    return true;
}

struct reverse {
    uint8_t octets[OCTETS_MAX]; /* network order, the missing ones zero */
    unsigned octet_count;       /* that the name fixes */
    unsigned rest_count;        /* labels in front of them that are no part of an address */
};

/* ERR_NOT_FOUND: not below in-addr.arpa. */
static int parse_reverse(const struct dns_name *name, struct reverse *ret_reverse)
{
    struct dns_name suffix, rest;
    struct reverse reverse = {.octet_count = 0};
    unsigned count = dns_name_label_count(name);

    if (dns_name_from_text("in-addr.arpa", &suffix) != ERR_OK || !dns_name_is_in(name, &suffix))
        return ERR_NOT_FOUND;
    count -= 2;
    while (reverse.octet_count < OCTETS_MAX && reverse.octet_count < count) {
        if (dns_name_strip(name, count - reverse.octet_count - 1, &rest) != ERR_OK)
            return ERR_NOT_FOUND;
        if (!parse_octet(rest.bytes + 1, rest.bytes[0], &reverse.octets[reverse.octet_count]))
            break;
        reverse.octet_count++;
    }
    reverse.rest_count = count - reverse.octet_count;
    *ret_reverse = reverse;
    return ERR_OK;
}

int rewrite_answer_ptr(const struct pool *pool, const char *own_name, const uint8_t *query,
                       size_t query_len, bool is_tcp, uint8_t *ret_response, size_t cap,
                       size_t *ret_len)
{
    struct address own = pool_own_address(pool);
    unsigned rcode = DNS_RCODE_NOERROR;
    struct dns_query parsed;
    struct dns_name target;
    struct reverse reverse;
    struct dns_writer d;
    const char *name = NULL;

    if (dns_query_parse(query, query_len, &parsed) != ERR_OK ||
        dns_opcode(parsed.header.flags) != DNS_OPCODE_QUERY ||
        parsed.question.class != DNS_CLASS_IN ||
        parse_reverse(&parsed.question.name, &reverse) != ERR_OK)
        return ERR_NOT_FOUND;
    struct address address = address_from_bytes(ADDRESS_IPV4, reverse.octets);
    if (reverse.octet_count * 8 < pool_prefix(pool)->bits || !pool_contains(pool, &address))
        return ERR_NOT_FOUND;

    if (reverse.octet_count == OCTETS_MAX && reverse.rest_count == 0)
        name = address_is_equal(&address, &own) ? own_name : pool_find_by_address(pool, &address);
    if (name != NULL && dns_name_from_text(name, &target) != ERR_OK)
        name = NULL;
    if (name == NULL && (reverse.octet_count == OCTETS_MAX || reverse.rest_count > 0))
        rcode = DNS_RCODE_NXDOMAIN;

    answer_begin(&d, &parsed, DNS_FLAG_AA | DNS_FLAG_RA, is_tcp, ret_response, cap);
    if (name != NULL &&
        (parsed.question.type == DNS_TYPE_PTR || parsed.question.type == DNS_TYPE_ANY))
        dns_writer_name(&d, DNS_SECTION_ANSWER, &parsed.question.name, DNS_TYPE_PTR,
                        REWRITE_TTL_MAX_S, &target);
    return answer_finish(&d, &parsed, rcode, ret_len);
}
