/* DNS messages through everything that answers or changes them: rewriting leaves the rest as it is,
 * the zone answers with well-formed messages, look-ups stay inside their caps. State files
 * likewise. */
#include "fuzz.h"

#include <string.h>

#include "names/lookup.h"
#include "names/met_table.h"
#include "names/pool.h"
#include "names/rewrite.h"
#include "names/trust.h"
#include "names/zone.h"
#include "wire/dns.h"

#define CAP 65535

static const uint8_t seed[16];

static void check_well_formed(const uint8_t *message, size_t len)
{
    struct dns_record record;
    struct dns_reader r;

    must(dns_reader_init(&r, message, len) == 0);
    while (dns_reader_record(&r, &record) == 0)
        continue;
    must(dns_reader_is_at_end(&r));
}

static void check_rewrite(const uint8_t *data, size_t len)
{
    const struct address address = address_from_ipv4(0x0a010203);
    struct rewrite rewrite;

    uint8_t *made_up = malloc(len + 1);
    must(made_up != NULL);
    memcpy(made_up, data, len);
    const struct nat64_prefixes prefixes = {
        .items = {{.address = {ADDRESS_IPV6, {0x20, 0x01, 0x0d, 0xb8}}, .bits = 32}}, .count = 1};
    const size_t left = rewrite_drop_made_up(made_up, len, &prefixes);
    must(left <= len && (left < len || memcmp(made_up, data, len) == 0));
    free(made_up);
    if (rewrite_scan(data, len, &rewrite) != 0)
        return;
    must(rewrite.count > 0 && rewrite.count <= REWRITE_SITES_MAX);
    uint8_t *copy = malloc(len);
    must(copy != NULL);
    memcpy(copy, data, len);
    if (rewrite_apply(copy, len, &rewrite, &address, REWRITE_TTL_MAX_S) == 0) {
        for (size_t i = 0; i < rewrite.count; i++) {
            memcpy(copy + rewrite.sites[i].rdata_offset, data + rewrite.sites[i].rdata_offset, 4);
            memcpy(copy + rewrite.sites[i].ttl_offset, data + rewrite.sites[i].ttl_offset, 4);
        }
        copy[3] = data[3];
        must(memcmp(copy, data, len) == 0);
    }
    free(copy);
}

static void check_zone(const uint8_t *data, size_t len, uint8_t *response)
{
    const struct zone_config config = {
        .name = "detec.example.net", .address = address_from_ipv4(0xcb00710a), .port = 4500};
    const struct public_key key = {{1}};
    struct zone *zone = NULL;
    size_t response_len = 0;

    must(zone_new(&config, &zone) == 0);
    must(zone_add_host(zone, "home-pc.detec.example.net", &key, true) == 0);
    must(zone_add_host(zone, "a.b.detec.example.net", &key, true) == 0);
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        if (zone_answer(zone, data, len, is_tcp, DNS_UDP_LEN_SAFE, response, CAP, &response_len) !=
            0)
            continue;
        must(is_tcp || response_len <= DNS_UDP_LEN_SAFE);
        check_well_formed(response, response_len);
    }
    zone_free(zone);
}

static void check_local_answers(const uint8_t *data, size_t len, uint8_t *response)
{
    const struct prefix prefix = {address_from_ipv4(0), 8};
    const struct address address = address_from_ipv4(86);
    struct pool *pool = NULL;
    char name[NAME_TEXT_CAP];
    size_t response_len = 0;

    must(pool_new(&prefix, seed, &pool) == 0);
    if (rewrite_answer_ptr(pool, "me.example.net", data, len, false, response, CAP,
                           &response_len) == 0)
        check_well_formed(response, response_len);
    if (rewrite_build_answer(data, len, false, "a.example.net", &address, 30, response, CAP,
                             &response_len) == 0)
        check_well_formed(response, response_len);
    if (rewrite_build_error(data, len, DNS_RCODE_SERVFAIL, response, CAP, &response_len) == 0)
        check_well_formed(response, response_len);
    if (len > 0 && rewrite_needs_completion(data, len / 2, data + len / 2, len - len / 2, name))
        must(strlen(name) > 0);
    pool_free(pool);
}

static void check_lookups(const uint8_t *data, size_t len)
{
    struct lookup_services services;
    struct lookup_keys keys;
    struct lookup_addresses addresses;

    if (lookup_parse_services(data, len, "_detec._tcp.detec.example.net", len, &services) == 0)
        must(services.count > 0 && services.count <= LOOKUP_SERVICES_MAX);
    if (lookup_parse_keys(data, len, "home-pc.detec.example.net", &keys) == 0)
        must(keys.count > 0 && keys.count <= LOOKUP_KEYS_MAX);
    if (lookup_parse_addresses(data, len, "home-pc.detec.example.net", DNS_TYPE_A, &addresses) == 0)
        must(addresses.count > 0 && addresses.count <= LOOKUP_ADDRESSES_MAX);
}

static void check_state(const uint8_t *data, size_t len)
{
    const struct prefix prefix = {address_from_ipv4(0x0a000000), 8};
    struct state_damage damage;
    struct pool *pool = NULL;
    struct trust *trust = NULL;

    must(pool_new(&prefix, seed, &pool) == 0 && trust_new(seed, &trust) == 0);
    if (pool_load(pool, (const char *)data, len, &damage) != 0)
        must(pool_count(pool) == 0);
    if (trust_load(trust, (const char *)data, len, &damage) != 0)
        must(trust_count(trust) == 0);
    pool_free(pool);
    trust_free(trust);
    struct met_table met = {0};
    if (met_table_load(&met, (const char *)data, len, 1800000000, &damage) != 0)
        must(met.count == 0);
    must(met.count <= MET_PEERS_MAX);
    met_table_done(&met);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t response[CAP];

    check_rewrite(data, len);
    check_zone(data, len, response);
    check_local_answers(data, len, response);
    check_lookups(data, len);
    check_state(data, len);
    return 0;
}
