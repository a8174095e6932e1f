/* NAME.peer.detec.internal: names that exist on this host alone. */
#include "host/plain_internal.h"

#include "host/call.h"
#include "io/clock.h"
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
            prefix_contains(&plain->config.remote_ts, address))
            return plain->peer;
    }
    return NULL;
}

size_t plain_networks(const struct host_config *config, struct prefix *ret_networks)
{
    size_t count = 0;
    for (uint32_t i = 0; i < config->plain.count; i++) {
        if (plain_config_has_network(&config->plain.peers[i]))
            ret_networks[count++] = config->plain.peers[i].remote_ts;
    }
    return count;
}

static int answer_address(struct host *host, const char *name, const uint8_t *query,
                          size_t query_len, bool is_tcp, uint8_t *ret_response, size_t cap,
                          size_t *ret_len)
{
    struct plain_peer *plain = find(host, name);
    if (plain == NULL || plain->peer == NULL)
        return rewrite_build_error(query, query_len, DNS_RCODE_NXDOMAIN, ret_response, cap,
                                   ret_len);
    const uint64_t now_us = clock_now_us();
    int error = rewrite_build_answer(query, query_len, is_tcp, name, &plain->peer->address,
                                     REWRITE_TTL_MAX_S, ret_response, cap, ret_len);
    if (error != ERR_OK) /* another type than A: there is none */
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
