/* A short sequence of look-ups: SRV, then the addresses of its targets and the key side by side. */
#include "host/finder.h"

#include "crypto/memory.h"
#include "host/host.h"
#include "host/lookup.h"
#include "io/clock.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINDER_PORT        4500 /* of a connector found without SRV */
#define FINDER_PARENTS_MAX 3
#define FINDER_TARGETS_MAX 4
/* Once there are addresses of one family, the other's are waited for so long: for IPv6 as RFC 8305,
 * 3 has it; for IPv4 as long as a connection over IPv6 would have before IPv4 is tried (RFC 8305,
 * 5), because a list without it would leave nothing to fall back to. */
#define WAIT_IPV6_US (50 * MS_US)
#define WAIT_IPV4_US (250 * MS_US)

/* One name whose addresses are asked for. */
struct target {
    struct finder *finder;
    char name[NAME_TEXT_CAP];
    struct lookup *lookups[2]; /* AAAA, A */
};

struct finder {
    struct host *host;
    finder_done *done;
    void *context;
    char name[NAME_TEXT_CAP]; /* of the host; empty when a zone was asked for */
    struct finder_result result;
    char asked[NAME_TEXT_CAP + 16]; /* the name of the SRV look-up */
    unsigned parents;
    bool is_by_address; /* no SRV: the zone's own address */
    struct lookup *service_lookup;
    struct lookup *key_lookup;
    struct target targets[FINDER_TARGETS_MAX];
    struct lookup_target found[FINDER_TARGETS_MAX]; /* for each of them */
    size_t target_count;
    struct task wait_task;
    uint64_t wait_us; /* when that runs */
    bool is_waited;   /* long enough for the addresses that are still missing */
};

static void finish(struct finder *finder, int error, const char *why)
{
    finder_done *done = finder->done;
    void *context = finder->context;
    struct finder_result result = finder->result;
    finder_cancel(finder);
    done(context, error, error == ERR_OK ? &result : NULL, why);
}

static bool is_private_allowed(const struct finder *finder)
{
    const struct host_config *config = &finder->host->config;
    if (strcmp(finder->result.zone, config->zone) == 0)
        return true;
    for (uint32_t i = 0; i < config->private_zone_count; i++) {
        if (strcmp(finder->result.zone, config->private_zones[i]) == 0)
            return true;
    }
    return false;
}

/* Why this cannot be a connector's address; NULL: it can. */
static const char *refusal(const struct finder *finder, const struct address *address)
{
    if (address_is_unspecified(address) || address_is_multicast(address) ||
        address_is_orchid(address) || nat64_is_inside(finder->host, address) ||
        prefix_contains(&finder->host->config.pool, address))
        return "the zone's connector has an address that cannot be one";
    if ((address_is_private(address) || address_is_loopback(address)) &&
        !is_private_allowed(finder))
        return "the zone's connector has a private address, and the configuration does not allow "
               "that ([trust] private-connector)";
    return NULL;
}

/* DNS64 and the IPv4 address behind it are one. */
static bool is_chosen(const struct finder_result *result, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < result->connector_count; i++) {
        if (endpoint_is_equal(&result->connectors[i], endpoint))
            return true;
    }
    return false;
}

/* What can be a connector's, those that can be reached now first. Returns why there is none. */
static const char *choose(struct finder *finder)
{
    struct endpoint order[FINDER_CONNECTORS_MAX];
    bool can_be[FINDER_CONNECTORS_MAX] = {0}, is_near[FINDER_CONNECTORS_MAX] = {0};
    struct finder_result *result = &finder->result;
    const size_t count =
        lookup_order(finder->found, finder->target_count, order, FINDER_CONNECTORS_MAX);
    const char *why = "the connector's name has no address";
    for (size_t i = 0; i < count; i++) {
        const char *refused = refusal(finder, &order[i].address);
        can_be[i] = refused == NULL;
        why = refused != NULL ? refused : why;
        if (!can_be[i])
            continue;
        order[i].address = nat64_origin(finder->host, &order[i].address);
        const struct address reached = nat64_reach(finder->host, &order[i].address);
        is_near[i] = nat64_has_route(finder->host, &reached);
    }
    result->connector_count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            if (can_be[i] && is_near[i] == (pass == 0) && !is_chosen(result, &order[i]))
                result->connectors[result->connector_count++] = order[i];
        }
    }
    return result->connector_count > 0 ? NULL : why;
}

/* Is there something to go on with, or nothing more to come? */
static bool is_complete(struct finder *finder)
{
    bool is_asking = false, has_ipv6 = false, has_ipv4 = false;
    if (finder->service_lookup != NULL || finder->key_lookup != NULL)
        return false;
    for (size_t i = 0; i < finder->target_count; i++) {
        is_asking |= finder->targets[i].lookups[0] != NULL || finder->targets[i].lookups[1] != NULL;
        has_ipv6 |= finder->found[i].ipv6.count > 0;
        has_ipv4 |= finder->found[i].ipv4.count > 0;
    }
    if (!is_asking)
        return true;
    if (!has_ipv6 && !has_ipv4)
        return false;
    const uint64_t end_us = clock_now_us() + (has_ipv4 ? WAIT_IPV6_US : WAIT_IPV4_US);
    if (!finder->is_waited && end_us < finder->wait_us) {
        finder->wait_us = end_us;
        task_set(&finder->host->tasks, &finder->wait_task, end_us);
    }
    return finder->is_waited;
}

static void conclude(struct finder *finder)
{
    if (!is_complete(finder))
        return;
    if (finder->is_by_address && !finder->result.has_key) {
        finish(finder, ERR_NOT_FOUND, "the zone names no connector in DNS");
        return;
    }
    const char *why = choose(finder);
    if (why != NULL) {
        bool is_refused = false;
        for (size_t i = 0; i < finder->target_count; i++)
            is_refused |= finder->found[i].ipv6.count + finder->found[i].ipv4.count > 0;
        finish(finder, is_refused ? ERR_REFUSED : ERR_NOT_FOUND, why);
        return;
    }
    if (finder->is_by_address)
        finder->result.has_key = false; /* that key was the host's, not the connector's */
    finish(finder, ERR_OK, NULL);
}

static void on_wait_task(struct task *task, uint64_t now_us)
{
    struct finder *finder = CONTAINER_OF(task, struct finder, wait_task);
    finder->is_waited = true;
    conclude(finder);
}

static void on_address6(void *context, int error, const uint8_t *answer, size_t len)
{
    struct target *target = context;
    struct finder *finder = target->finder;
    struct lookup_target *found = &finder->found[target - finder->targets];
    target->lookups[0] = NULL;
    if (answer == NULL ||
        lookup_parse_addresses(answer, len, target->name, DNS_TYPE_AAAA, &found->ipv6) != ERR_OK)
        found->ipv6.count = 0;
    conclude(finder);
}

static void on_address(void *context, int error, const uint8_t *answer, size_t len)
{
    struct target *target = context;
    struct finder *finder = target->finder;
    struct lookup_target *found = &finder->found[target - finder->targets];
    target->lookups[1] = NULL;
    if (answer == NULL ||
        lookup_parse_addresses(answer, len, target->name, DNS_TYPE_A, &found->ipv4) != ERR_OK)
        found->ipv4.count = 0;
    conclude(finder);
}

static void on_key(void *context, int error, const uint8_t *answer, size_t len)
{
    struct finder *finder = context;
    struct lookup_keys keys;
    const char *name = finder->is_by_address ? finder->name : finder->result.zone;
    finder->key_lookup = NULL;
    if (answer != NULL && lookup_parse_keys(answer, len, name, &keys) == ERR_OK) {
        finder->result.key = keys.items[0];
        finder->result.has_key = true;
    }
    conclude(finder);
}

static int ask_target(struct finder *finder, const char *name, uint16_t port)
{
    struct host *host = finder->host;
    struct target *target = &finder->targets[finder->target_count];
    finder->found[finder->target_count++] = (struct lookup_target){.port = port};
    target->finder = finder;
    snprintf(target->name, sizeof(target->name), "%s", name);
    int error = lookup_start(&host->loop, HOST_MARK, target->name, DNS_TYPE_AAAA, on_address6,
                             target, &target->lookups[0]);
    if (error == ERR_OK)
        error = lookup_start(&host->loop, HOST_MARK, target->name, DNS_TYPE_A, on_address, target,
                             &target->lookups[1]);
    return error;
}

static void ask_addresses_and_key(struct finder *finder, const struct lookup_services *services)
{
    struct host *host = finder->host;
    const char *key_name = finder->is_by_address ? finder->name : finder->result.zone;
    int error = lookup_start(&host->loop, HOST_MARK, key_name, DNS_TYPE_IPSECKEY, on_key, finder,
                             &finder->key_lookup);
    for (size_t i = 0; error == ERR_OK && i < services->count && i < FINDER_TARGETS_MAX; i++)
        error = ask_target(finder, services->items[i].target, services->items[i].port);
    if (error != ERR_OK)
        finish(finder, ERR_IO, "DNS queries cannot be sent");
}

static int ask_service(struct finder *finder);

static void on_service(void *context, int error, const uint8_t *answer, size_t len)
{
    struct finder *finder = context;
    struct lookup_services services;
    uint64_t random = 0;
    finder->service_lookup = NULL;
    if (answer == NULL) {
        finish(finder, error, "no DNS server answers");
        return;
    }
    if (crypto_random(&random, sizeof(random)) == ERR_OK &&
        lookup_parse_services(answer, len, finder->asked, random, &services) == ERR_OK) {
        ask_addresses_and_key(finder, &services);
        return;
    }
    const char *parent = name_parent(finder->result.zone);
    if (finder->name[0] != '\0' && parent != NULL && strchr(parent, '.') != NULL &&
        ++finder->parents < FINDER_PARENTS_MAX) {
        memmove(finder->result.zone, parent, strlen(parent) + 1);
        if (ask_service(finder) != ERR_OK)
            finish(finder, ERR_IO, "DNS queries cannot be sent");
        return;
    }
    if (finder->name[0] == '\0') {
        finish(finder, ERR_NOT_FOUND, "the zone names no connector in DNS");
        return;
    }
    finder->is_by_address = true;
    strcpy(finder->result.zone, name_parent(finder->name));
    services = (struct lookup_services){.count = 1, .items[0].port = FINDER_PORT};
    strcpy(services.items[0].target, finder->result.zone);
    ask_addresses_and_key(finder, &services);
}

static int ask_service(struct finder *finder)
{
    snprintf(finder->asked, sizeof(finder->asked), "_detec._tcp.%s", finder->result.zone);
    return lookup_start(&finder->host->loop, HOST_MARK, finder->asked, DNS_TYPE_SRV, on_service,
                        finder, &finder->service_lookup);
}

static int start(struct host *host, const char *name, const char *zone, finder_done *done,
                 void *context, struct finder **ret_finder)
{
    struct finder *finder = calloc(1, sizeof(*finder));
    if (finder == NULL)
        return ERR_NOMEM;
    finder->host = host;
    finder->done = done;
    finder->context = context;
    finder->wait_task.run = on_wait_task;
    finder->wait_us = DEADLINE_NEVER;
    strcpy(finder->name, name);
    strcpy(finder->result.zone, zone);
    int error = ask_service(finder);
    if (error != ERR_OK) {
        free(finder);
        return error;
    }
    *ret_finder = finder;
    return ERR_OK;
}

int finder_start_name(struct host *host, const char *name, finder_done *done, void *context,
                      struct finder **ret_finder)
{
    const char *zone = name_parent(name);
    if (zone == NULL)
        return ERR_INVALID;
    return start(host, name, zone, done, context, ret_finder);
}

int finder_start_zone(struct host *host, const char *zone, finder_done *done, void *context,
                      struct finder **ret_finder)
{
    return start(host, "", zone, done, context, ret_finder);
}

void finder_cancel(struct finder *finder)
{
    if (finder == NULL)
        return;
    task_clear(&finder->host->tasks, &finder->wait_task);
    lookup_cancel(finder->service_lookup);
    lookup_cancel(finder->key_lookup);
    for (size_t i = 0; i < finder->target_count; i++) {
        lookup_cancel(finder->targets[i].lookups[0]);
        lookup_cancel(finder->targets[i].lookups[1]);
    }
    free(finder);
}
