/* The daemons' own look-ups: queries, and what answers say. */
#include "names/lookup.h"

#include "names/answer.h"
#include <string.h>

int lookup_build_query(const char *name, uint16_t type, uint16_t id, bool is_dnssec_ok,
                       uint8_t *ret_query, size_t cap, size_t *ret_len)
{
    struct dns_question question = {.type = type, .class = DNS_CLASS_IN};
    struct dns_writer d;

    int error = dns_name_from_text(name, &question.name);
    if (error != ERR_OK)
        return error;
    dns_writer_init(&d, ret_query, cap, id, DNS_FLAG_RD, true);
    dns_writer_question(&d, &question);
    dns_writer_edns(&d, DNS_UDP_LEN_SAFE, is_dnssec_ok, 0);
    return dns_writer_finish(&d, 0, ret_len);
}

/* Called for each record wanted; an error ends the walk. */
typedef int take_record(const struct dns_reader *r, const struct dns_record *record, void *context);

static int walk(const uint8_t *response, size_t len, const char *name, uint16_t type,
                take_record *take, void *context)
{
    struct dns_record record;
    struct dns_reader r;
    struct dns_name want;
    struct answer answer;

    int error = dns_reader_init(&r, response, len);
    if (error == ERR_OK)
        error = dns_name_from_text(name, &want);
    if (error != ERR_OK)
        return error;
    /* Before all else: some servers cut truncated messages in the middle of a record. */
    if ((r.header.flags & DNS_FLAG_QR) != 0 && (r.header.flags & DNS_FLAG_TC) != 0)
        return ERR_AGAIN;
    error = answer_parse(response, len, &answer);
    if (error != ERR_OK)
        return error;
    if (answer.question.type != type || answer.question.class != DNS_CLASS_IN ||
        !dns_name_is_equal(&answer.question.name, &want))
        return ERR_INVALID;
    if (answer.rcode == DNS_RCODE_NXDOMAIN)
        return ERR_NOT_FOUND;
    if (answer.rcode != DNS_RCODE_NOERROR)
        return ERR_REFUSED;
    while ((error = dns_reader_record(&r, &record)) == ERR_OK) {
        if (!answer_is_wanted(&answer, &record, type))
            continue;
        error = take(&r, &record, context);
        if (error != ERR_OK)
            return error;
    }
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

/* ---- SRV ---- */

static int take_service(const struct dns_reader *r, const struct dns_record *record, void *context)
{
    struct lookup_services *services = context;
    struct lookup_service service;
    struct dns_srv srv;

    int error = dns_record_srv(r, record, &srv);
    if (error != ERR_OK)
        return error;
    /* A target "." (RFC 2782: no service), and what is no host, cannot be called. */
    if (srv.port == 0 || dns_name_to_host(&srv.target, service.target) != ERR_OK ||
        services->count == LOOKUP_SERVICES_MAX)
        return ERR_OK;
    service.port = srv.port;
    service.priority = srv.priority;
    service.weight = srv.weight;
    services->items[services->count++] = service;
    return ERR_OK;
}

/* SplitMix64: spreads one random value over several choices. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* RFC 2782: of those of the lowest priority left, one at random by weight; weight 0 seldom. */
static size_t choose_service(const struct lookup_services *services, size_t from, uint64_t *random)
{
    uint64_t sum = 0;
    uint16_t lowest = UINT16_MAX;

    for (size_t i = from; i < services->count; i++)
        if (services->items[i].priority < lowest)
            lowest = services->items[i].priority;
    for (size_t i = from; i < services->count; i++)
        if (services->items[i].priority == lowest)
            sum += services->items[i].weight * (uint64_t)256 + 1;
    uint64_t at = next_random(random) % sum;
    for (size_t i = from; i < services->count; i++) {
        if (services->items[i].priority != lowest)
            continue;
        uint64_t share = services->items[i].weight * (uint64_t)256 + 1;
        if (at < share)
            return i;
        at -= share;
    }
    return from;
}

int lookup_parse_services(const uint8_t *response, size_t len, const char *name, uint64_t random,
                          struct lookup_services *ret_services)
{
    struct lookup_services services = {.count = 0};

    int error = walk(response, len, name, DNS_TYPE_SRV, take_service, &services);
    if (error != ERR_OK)
        return error;
    if (services.count == 0)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i + 1 < services.count; i++) {
        size_t chosen = choose_service(&services, i, &random);
        struct lookup_service swapped = services.items[i];
        services.items[i] = services.items[chosen];
        services.items[chosen] = swapped;
    }
    *ret_services = services;
    return ERR_OK;
}

/* ---- IPSECKEY ---- */

struct ranked_keys {
    struct lookup_keys keys;
    uint8_t precedences[LOOKUP_KEYS_MAX];
};

static int take_key(const struct dns_reader *r, const struct dns_record *record, void *context)
{
    struct ranked_keys *ranked = context;
    struct lookup_keys *keys = &ranked->keys;
    struct dns_ipseckey key;

    int error = dns_record_ipseckey(r, record, &key);
    if (error != ERR_OK)
        return error;
    /* A gateway's key is not the host's own (RFC 4025, 1.2). */
    if (key.gateway_type != DNS_IPSECKEY_GATEWAY_NONE ||
        key.algorithm != DNS_IPSECKEY_ALGORITHM_EDDSA || key.key_len != PUBLIC_KEY_LEN)
        return ERR_OK;
    for (size_t i = 0; i < keys->count; i++)
        if (memcmp(keys->items[i].bytes, key.key, PUBLIC_KEY_LEN) == 0)
            return ERR_OK;
    if (keys->count == LOOKUP_KEYS_MAX)
        return ERR_OK;
    size_t at = keys->count++;
    for (; at > 0 && ranked->precedences[at - 1] > key.precedence; at--) {
        keys->items[at] = keys->items[at - 1];
        ranked->precedences[at] = ranked->precedences[at - 1];
    }
    memcpy(keys->items[at].bytes, key.key, PUBLIC_KEY_LEN);
    ranked->precedences[at] = key.precedence;
    return ERR_OK;
}

int lookup_parse_keys(const uint8_t *response, size_t len, const char *name,
                      struct lookup_keys *ret_keys)
{
    struct ranked_keys ranked = {.keys.count = 0};

    int error = walk(response, len, name, DNS_TYPE_IPSECKEY, take_key, &ranked);
    if (error != ERR_OK)
        return error;
    if (ranked.keys.count == 0)
        return ERR_NOT_FOUND;
    *ret_keys = ranked.keys;
    return ERR_OK;
}

/* ---- A, AAAA ---- */

static int take_address(const struct dns_reader *r, const struct dns_record *record, void *context)
{
    struct lookup_addresses *addresses = context;
    struct address address;

    int error = dns_record_address(record, &address);
    if (error == ERR_OK && record->ttl < addresses->ttl_s)
        addresses->ttl_s = record->ttl;
    if (error == ERR_OK && addresses->count < LOOKUP_ADDRESSES_MAX)
        addresses->items[addresses->count++] = address;
    return error;
}

int lookup_parse_addresses(const uint8_t *response, size_t len, const char *name, uint16_t type,
                           struct lookup_addresses *ret_addresses)
{
    struct lookup_addresses addresses = {.ttl_s = UINT32_MAX};

    if (type != DNS_TYPE_A && type != DNS_TYPE_AAAA)
        return ERR_INVALID;
    int error = walk(response, len, name, type, take_address, &addresses);
    if (error != ERR_OK)
        return error;
    if (addresses.count == 0)
        return ERR_NOT_FOUND;
    *ret_addresses = addresses;
    return ERR_OK;
}

bool lookup_is_validated(const uint8_t *response, size_t len)
{
    struct dns_reader r;

    return dns_reader_init(&r, response, len) == ERR_OK && (r.header.flags & DNS_FLAG_QR) != 0 &&
           (r.header.flags & DNS_FLAG_AD) != 0;
}
