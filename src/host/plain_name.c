/* NAME.peer.detec.internal: names that exist on this host alone. */
#include "host/plain_internal.h"

#include "host/call.h"
#include "io/clock.h"
#include "names/pool_ipv6.h"
#include "names/rewrite.h"
#include "wire/dns.h"
#include <string.h>

static struct plain_peer *find(const struct host *host, const char *name)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++) {
        if (strcmp(host->plain->peers[i]->config.name, name) == 0)
            return host->plain->peers[i];
    }
    return NULL;
}

bool plain_find_name(const struct host *host, const char *label, char ret_name[NAME_TEXT_CAP])
{
    char text[2 * NAME_TEXT_CAP], name[NAME_TEXT_CAP];
    snprintf(text, sizeof(text), "%.*s." PLAIN_ZONE, NAME_TEXT_CAP, label);
    if (name_normalize(text, name) != ERR_OK || find(host, name) == NULL)
        return false;
    strcpy(ret_name, name);
    return true;
}

struct peer *plain_find_network(const struct host *host, const struct address *address)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++) {
        const struct plain_peer *plain = host->plain->peers[i];
        if (plain_config_has_network(&plain->config) &&
            plain_ts_contains(&plain->config.remote_ts, address))
            return plain->peer;
    }
    return NULL;
}

size_t plain_networks(const struct host_config *config, struct prefix *ret_networks)
{
    size_t count = 0;
    for (uint32_t i = 0; i < config->plain.count; i++) {
        const struct plain_config *peer = &config->plain.peers[i];
        for (uint8_t j = 0; plain_config_has_network(peer) && j < peer->remote_ts.count; j++)
            ret_networks[count++] = peer->remote_ts.list[j];
    }
    return count;
}

/* Of the peer's two addresses here the one that the query is for, as far as packets of that family
 * may reach it. Where the mode leaves that to the path, the path's address says it. */
static struct address address_for(const struct plain_peer *plain, const struct dns_query *query)
{
    const struct plain_config *config = &plain->config;
    const bool is_ipv6 = query->question.type == DNS_TYPE_AAAA;
    const enum address_family family = is_ipv6 ? ADDRESS_IPV6 : ADDRESS_IPV4;
    struct address path = plain->remote.address;
    bool has_family = plain_ts_has_family(&config->remote_ts, family);
    if (config->mode == PLAIN_MODE_TRANSPORT) {
        if (plain->peer->tunnel != NULL)
            path = plain->peer->path.address;
        else if (path.family == ADDRESS_NONE && address_parse(config->address, &path) != ERR_OK)
            path.family = ADDRESS_IPV4;
        has_family = path.family == family;
    }
    if (!has_family || (is_ipv6 && !plain->host->has_ipv6_inside))
        return (struct address){0};
    return is_ipv6 ? pool_ipv6_of(&plain->peer->address) : plain->peer->address;
}

static int answer_address(struct host *host, const char *name, const uint8_t *query,
                          size_t query_len, bool is_tcp, uint8_t *ret_response, size_t cap,
                          size_t *ret_len)
{
    struct plain_peer *plain = find(host, name);
    struct dns_query parsed;
    if (plain == NULL || plain->peer == NULL)
        return rewrite_build_error(query, query_len, DNS_RCODE_NXDOMAIN, ret_response, cap,
                                   ret_len);
    const uint64_t now_us = clock_now_us();
    int error = dns_query_parse(query, query_len, &parsed);
    if (error != ERR_OK)
        return error;
    const struct address address = address_for(plain, &parsed);
    error = rewrite_build_answer(query, query_len, is_tcp, name, &address, REWRITE_TTL_MAX_S,
                                 ret_response, cap, ret_len);
    if (error != ERR_OK) /* there is none of that type */
        return rewrite_build_error(query, query_len, DNS_RCODE_NOERROR, ret_response, cap, ret_len);
    host->rewritten_count++;
    if (now_us >= plain->peer->held_until_us)
        call_start(plain->peer, false, now_us);
    return ERR_OK;
}

int plain_answer(struct host *host, const uint8_t *query, size_t query_len, bool is_tcp,
                 uint8_t *ret_response, size_t cap, size_t *ret_len)
{
    struct dns_query parsed;
    struct dns_name zone;
    char name[NAME_TEXT_CAP];
    if (host->plain == NULL || host->plain->count == 0 ||
        dns_query_parse(query, query_len, &parsed) != ERR_OK ||
        dns_name_from_text(PLAIN_ZONE, &zone) != ERR_OK ||
        !dns_name_is_in(&parsed.question.name, &zone))
        return ERR_NOT_FOUND;
    if (dns_name_to_host(&parsed.question.name, name) != ERR_OK)
        name[0] = '\0'; /* is nobody's */
    return answer_address(host, name, query, query_len, is_tcp, ret_response, cap, ret_len);
}
