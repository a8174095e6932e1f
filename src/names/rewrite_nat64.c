/* AAAA records that a DNS64 server has made up from 0.0.0.1. */
#include "names/rewrite.h"

#include "wire/dns.h"

/* RFC 6052, 2.1: what it is made of where nobody has configured another one. */
static const struct nat64_prefixes well_known = {
    .items = {{.address = {ADDRESS_IPV6, {0x00, 0x64, 0xff, 0x9b}}, .bits = 96}}, .count = 1};

/* Nothing of 0.0.0.0/8 can be reached through a translator. */
static bool is_made_up(const struct dns_record *record, const struct nat64_prefixes *prefixes)
{
    struct address ipv6, ipv4;
    if (record->type != DNS_TYPE_AAAA || dns_record_address(record, &ipv6) != ERR_OK)
        return false;
    return (nat64_extract_any(prefixes, &ipv6, &ipv4) == ERR_OK ||
            nat64_extract_any(&well_known, &ipv6, &ipv4) == ERR_OK) &&
           ipv4.bytes[0] == 0;
}

size_t rewrite_drop_made_up(uint8_t *message, size_t len, const struct nat64_prefixes *prefixes)
{
    struct dns_question question;
    struct dns_record record;
    struct dns_reader r;
    bool has_any = false;

    if (dns_reader_init(&r, message, len) != ERR_OK || (r.header.flags & DNS_FLAG_QR) == 0)
        return len;
    while (dns_reader_question(&r, &question) == ERR_OK)
        continue;
    const size_t end = r.at;
    if (r.questions_left > 0)
        return len;
    while (!has_any && dns_reader_record(&r, &record) == ERR_OK)
        has_any = is_made_up(&record, prefixes);
    if (!has_any)
        return len;
    for (size_t i = 6; i < DNS_HEADER_LEN; i++)
        message[i] = 0; /* the numbers of records */
    message[3] &= (uint8_t)~DNS_FLAG_AD;
    return end;
}
