/* Answers from the zone: what may be asked, the name, the records, and the negative answers. */
#include "names/answer.h"
#include "names/zone_table.h"
#include <string.h>

/* For secondaries, of which there are none; the usual values. */
#define SOA_REFRESH_S 3600
#define SOA_RETRY_S   600
#define SOA_EXPIRE_S  86400

#define HOST_ADDRESS 0x00000001 /* 0.0.0.1: "reachable through Detec" */

#define QTYPE_FIRST 128 /* RFC 6895, 3.1: from here to 255 are no types of records */

struct response {
    struct dns_writer d;
    const struct zone *zone;
    const struct dns_query *query;
    size_t answer_count;
};

/* Is the type asked for, ANY included (RFC 8482, 4.1: one RRset is enough)? */
static bool is_asked(const struct response *response, uint16_t type)
{
    uint16_t asked = response->query->question.type;

    return asked == type || (asked == DNS_TYPE_ANY && response->answer_count == 0);
}

static void answer_address(struct response *response, const struct address *address, uint32_t ttl)
{
    uint16_t type = address->family == ADDRESS_IPV4 ? DNS_TYPE_A : DNS_TYPE_AAAA;

    if (!is_asked(response, type))
        return;
    dns_writer_address(&response->d, DNS_SECTION_ANSWER, &response->query->question.name, ttl,
                       address);
    response->answer_count++;
}

static void answer_key(struct response *response, const struct public_key *key, uint32_t ttl)
{
    if (!is_asked(response, DNS_TYPE_IPSECKEY))
        return;
    dns_writer_ipseckey(&response->d, DNS_SECTION_ANSWER, &response->query->question.name, ttl,
                        key->bytes);
    response->answer_count++;
}

static void write_soa(struct response *response, enum dns_section section, uint32_t ttl)
{
    const struct zone *zone = response->zone;
    const struct dns_soa soa = {
        .primary = zone->name_server,
        .mailbox = zone->mailbox,
        .serial = zone->serial,
        .refresh = SOA_REFRESH_S,
        .retry = SOA_RETRY_S,
        .expire = SOA_EXPIRE_S,
        .minimum = ZONE_NEGATIVE_TTL_S,
    };

    dns_writer_soa(&response->d, section, &zone->name, ttl, &soa);
}

/* Spares the asker another question. */
static void add_addresses(struct response *response, const struct dns_name *name)
{
    for (size_t i = 0; i < 2; i++) {
        if (response->zone->addresses[i].family != ADDRESS_NONE)
            dns_writer_address(&response->d, DNS_SECTION_ADDITIONAL, name, ZONE_TTL_S,
                               &response->zone->addresses[i]);
    }
}

static void answer_addresses(struct response *response)
{
    for (size_t i = 0; i < 2; i++) {
        if (response->zone->addresses[i].family != ADDRESS_NONE)
            answer_address(response, &response->zone->addresses[i], ZONE_TTL_S);
    }
}

static void answer_apex(struct response *response)
{
    const struct zone *zone = response->zone;

    answer_addresses(response);
    answer_key(response, &zone->key, ZONE_TTL_S);
    if (is_asked(response, DNS_TYPE_SOA)) {
        write_soa(response, DNS_SECTION_ANSWER, ZONE_TTL_S);
        response->answer_count++;
    }
    if (is_asked(response, DNS_TYPE_NS)) {
        dns_writer_name(&response->d, DNS_SECTION_ANSWER, &zone->name, DNS_TYPE_NS, ZONE_TTL_S,
                        &zone->name_server);
        response->answer_count++;
        if (zone->is_name_server_inside)
            add_addresses(response, &zone->name_server);
    }
}

static void answer_service(struct response *response)
{
    const struct zone *zone = response->zone;
    const struct dns_srv srv = {.port = zone->port, .target = zone->name};

    if (!is_asked(response, DNS_TYPE_SRV))
        return;
    dns_writer_srv(&response->d, DNS_SECTION_ANSWER, &response->query->question.name, ZONE_TTL_S,
                   &srv);
    response->answer_count++;
    add_addresses(response, &zone->name);
}

static void answer_node(struct response *response, const struct zone_node *node)
{
    struct address host = address_from_ipv4(HOST_ADDRESS);

    if ((node->roles & ZONE_ROLE_APEX) != 0) {
        answer_apex(response); /* also where the zone's name is its name server */
    } else if ((node->roles & ZONE_ROLE_NAME_SERVER) != 0) {
        answer_addresses(response);
    }
    if ((node->roles & ZONE_ROLE_SERVICE) != 0)
        answer_service(response);
    if ((node->roles & ZONE_ROLE_HOST) != 0) {
        answer_address(response, &host, ZONE_HOST_TTL_S);
        answer_key(response, &node->key, ZONE_HOST_TTL_S);
    }
}

/* What is wrong with the question as such; NOERROR if it is one for the zone. */
static unsigned judge(const struct zone *zone, const struct dns_query *query)
{
    const struct dns_question *question = &query->question;

    if (query->edns.version > 0)
        return DNS_RCODE_BADVERS;
    if (question->class != DNS_CLASS_IN || !dns_name_is_in(&question->name, &zone->name))
        return DNS_RCODE_REFUSED;
    if (question->type == DNS_TYPE_AXFR || question->type == DNS_TYPE_IXFR)
        return DNS_RCODE_REFUSED;
    if (question->type == DNS_TYPE_OPT)
        return DNS_RCODE_FORMERR;
    if (question->type >= QTYPE_FIRST && question->type < DNS_TYPE_ANY)
        return DNS_RCODE_NOTIMP;
    return DNS_RCODE_NOERROR;
}

/* For what cannot be read as a query: no more than a header, so that nothing is amplified. */
static int answer_header(const struct dns_header *header, unsigned rcode, uint8_t *ret_response,
                         size_t cap, size_t *ret_len)
{
    struct dns_writer d;
    uint16_t flags = DNS_FLAG_QR | (header->flags & (DNS_FLAG_RD | 15u << 11)); /* and the opcode */

    dns_writer_init(&d, ret_response, cap, header->id, flags, false);
    return dns_writer_finish(&d, rcode, ret_len);
}

int zone_answer(const struct zone *zone, const uint8_t *query, size_t len, bool is_tcp,
                size_t udp_len_max, uint8_t *ret_response, size_t cap, size_t *ret_len)
{
    struct response response = {.zone = zone};
    struct dns_query parsed;
    struct dns_reader r;

    if (dns_reader_init(&r, query, len) != ERR_OK || (r.header.flags & DNS_FLAG_QR) != 0 ||
        cap < DNS_UDP_LEN_MIN)
        return ERR_INVALID;
    if (dns_opcode(r.header.flags) != DNS_OPCODE_QUERY)
        return answer_header(&r.header, DNS_RCODE_NOTIMP, ret_response, cap, ret_len);
    if (dns_query_parse(query, len, &parsed) != ERR_OK)
        return answer_header(&r.header, DNS_RCODE_FORMERR, ret_response, cap, ret_len);
    if (!is_tcp && udp_len_max >= DNS_UDP_LEN_MIN && cap > udp_len_max)
        cap = udp_len_max;

    response.query = &parsed;
    unsigned rcode = judge(zone, &parsed);
    uint16_t flags = rcode == DNS_RCODE_NOERROR ? DNS_FLAG_AA : 0;
    answer_begin(&response.d, &parsed, flags, is_tcp, ret_response, cap);
    if (rcode == DNS_RCODE_NOERROR) {
        const struct zone_node *node = zone_table_find(zone, &parsed.question.name);
        if (node != NULL)
            answer_node(&response, node);
        else
            rcode = DNS_RCODE_NXDOMAIN;
        if (response.answer_count == 0) /* RFC 2308, 3 */
            write_soa(&response, DNS_SECTION_AUTHORITY, ZONE_NEGATIVE_TTL_S);
    }
    return answer_finish(&response.d, &parsed, rcode, ret_len);
}
