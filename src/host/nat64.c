/* One look-up, repeated as long as its answer lives; and the use of what it says. */
#include "host/nat64.h"

#include "host/host.h"
#include "host/lookup.h"
#include "host/session.h"
#include "io/clock.h"
#include "io/route.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <string.h>

/* How long an answer counts, within these limits (RFC 7050, 3: the records' TTL). */
#define LIFE_MIN_US (60 * SECOND_US)
#define LIFE_MAX_US (3600 * SECOND_US)
/* Without any answer: asked anew after that, doubled each time. */
#define BURST_US     (50 * MS_US) /* addresses and routes change one after the other */
#define RETRY_US     (2 * SECOND_US)
#define RETRY_MAX_US (600 * SECOND_US)

static void set_prefixes(struct host *host, const struct nat64_prefixes *prefixes)
{
    struct nat64 *nat64 = &host->nat64;
    char text[PREFIX_TEXT_CAP];
    bool is_same = nat64->prefixes.count == prefixes->count;
    for (size_t i = 0; is_same && i < prefixes->count; i++)
        is_same = nat64->prefixes.items[i].bits == prefixes->items[i].bits &&
                  address_is_equal(&nat64->prefixes.items[i].address, &prefixes->items[i].address);
    if (is_same)
        return;
    nat64->prefixes = *prefixes;
    if (prefixes->count > 0)
        log_info("IPv4 is reached through a translator (NAT64) at %s, where there is no other way",
                 prefix_format(&prefixes->items[0], text, sizeof(text)));
    else
        log_info("no translator (NAT64) any more");
    sessions_on_addresses(host, clock_now_us());
}

static void on_answer(void *context, int error, const uint8_t *answer, size_t len)
{
    struct host *host = context;
    struct nat64 *nat64 = &host->nat64;
    const uint64_t now_us = clock_now_us();
    struct lookup_addresses addresses = {.count = 0};
    struct nat64_prefixes prefixes;
    uint64_t life_us = LIFE_MIN_US;
    nat64->lookup = NULL;
    error = answer != NULL
                ? lookup_parse_addresses(answer, len, NAT64_NAME, DNS_TYPE_AAAA, &addresses)
                : error;
    if (error != ERR_OK && error != ERR_NOT_FOUND) {
        task_set(&host->tasks, &nat64->task, now_us + nat64->retry_us);
        nat64->retry_us = deadline_min(2 * nat64->retry_us, RETRY_MAX_US);
        return;
    }
    nat64->retry_us = RETRY_US;
    if (error == ERR_OK)
        life_us = (uint64_t)addresses.ttl_s * SECOND_US;
    else
        life_us = LIFE_MAX_US; /* no translator; a change of network asks at once */
    nat64_discover(addresses.items, addresses.count, &prefixes);
    set_prefixes(host, &prefixes);
    if (life_us < LIFE_MIN_US)
        life_us = LIFE_MIN_US;
    task_set(&host->tasks, &nat64->task, now_us + deadline_min(life_us, LIFE_MAX_US));
}

static bool has_ipv6(const struct host *host)
{
    for (size_t i = 0; i < host->local_count; i++) {
        if (host->locals[i].family == ADDRESS_IPV6)
            return true;
    }
    return false;
}

static void ask(struct host *host, uint64_t now_us)
{
    struct nat64 *nat64 = &host->nat64;
    lookup_cancel(nat64->lookup);
    nat64->lookup = NULL;
    if (!has_ipv6(host)) {
        task_clear(&host->tasks, &nat64->task);
        return;
    }
    if (lookup_start(&host->loop, HOST_MARK, NAT64_NAME, DNS_TYPE_AAAA, on_answer, host,
                     &nat64->lookup) != ERR_OK)
        task_set(&host->tasks, &nat64->task, now_us + RETRY_MAX_US);
}

static void on_task(struct task *task, uint64_t now_us)
{
    ask(CONTAINER_OF(task, struct host, nat64.task), now_us);
}

void nat64_refresh(struct host *host, uint64_t now_us)
{
    host->nat64.task.run = on_task;
    host->nat64.retry_us = RETRY_US;
    task_set(&host->tasks, &host->nat64.task, now_us + BURST_US);
}

void nat64_stop(struct host *host)
{
    lookup_cancel(host->nat64.lookup);
    host->nat64.lookup = NULL;
    task_clear(&host->tasks, &host->nat64.task);
}

bool nat64_has_route(struct host *host, const struct address *to)
{
    struct route_lookup lookup;
    return route_lookup(&host->netlink, to, HOST_MARK, &lookup) != ERR_OK || !lookup.is_unreachable;
}

struct address nat64_reach(struct host *host, const struct address *to)
{
    struct address reached;
    if (to->family != ADDRESS_IPV4 || host->nat64.prefixes.count == 0 ||
        nat64_has_route(host, to) ||
        nat64_embed(&host->nat64.prefixes.items[0], to, &reached) != ERR_OK)
        return *to;
    return reached;
}

struct address nat64_origin(const struct host *host, const struct address *address)
{
    struct address origin;
    if (nat64_extract_any(&host->nat64.prefixes, address, &origin) != ERR_OK)
        return *address;
    return origin;
}

bool nat64_is_inside(const struct host *host, const struct address *address)
{
    const struct address origin = nat64_origin(host, address);
    struct address again;
    return !address_is_equal(&origin, address) &&
           nat64_embed(&host->nat64.prefixes.items[0], &origin, &again) != ERR_OK;
}

void nat64_reach_candidates(struct host *host, struct candidate_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct candidate candidate = list->items[i];
        struct address *address = &candidate.endpoint.address;
        if (!candidate_is_acceptable(&candidate, &host->config.pool) ||
            nat64_is_inside(host, address))
            continue;
        *address = nat64_reach(host, address);
        if (address->family == ADDRESS_IPV4 && address_is_private(address) &&
            !nat64_has_route(host, address))
            continue;
        list->items[count++] = candidate;
    }
    list->count = count;
}
