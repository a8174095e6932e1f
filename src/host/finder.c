/* A short sequence of look-ups: SRV, then address and key side by side. */
#include "host/finder.h"

#include "crypto/memory.h"
#include "host/host.h"
#include "host/lookup.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINDER_PORT        4500 /* of a connector found without SRV */
#define FINDER_PARENTS_MAX 3

struct finder {
    struct host *host;
    finder_done *done;
    void *context;
    char name[NAME_TEXT_CAP]; /* of the host; empty when a zone was asked for */
    struct finder_result result;
    char asked[NAME_TEXT_CAP + 16]; /* the name of the look-up under way */
    struct lookup_services services;
    unsigned parents;
    bool is_by_address; /* no SRV: the zone's own address */
    struct lookup *lookup;
    struct lookup *key_lookup;
    bool has_address;
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

/* Both look-ups are in: judge. */
static void conclude(struct finder *finder)
{
    if (finder->lookup != NULL || finder->key_lookup != NULL)
        return;
    const struct address *address = &finder->result.connector.address;
    if (!finder->has_address) {
        finish(finder, ERR_NOT_FOUND, "the connector's name has no address");
        return;
    }
    if (finder->is_by_address && !finder->result.has_key) {
        finish(finder, ERR_NOT_FOUND, "the zone names no connector in DNS");
        return;
    }
    if (address_is_unspecified(address) || address_is_multicast(address) ||
        prefix_contains(&finder->host->config.pool, address)) {
        finish(finder, ERR_REFUSED, "the zone's connector has an address that cannot be one");
        return;
    }
    if ((address_is_private(address) || address_is_loopback(address)) &&
        !is_private_allowed(finder)) {
        finish(
            finder, ERR_REFUSED,
            "the zone's connector has a private address, and the configuration does not allow that "
            "([trust] private-connector)");
        return;
    }
    if (finder->is_by_address)
        finder->result.has_key = false; /* that key was the host's, not the connector's */
    finish(finder, ERR_OK, NULL);
}

static void take_address(struct finder *finder, const uint8_t *answer, size_t len, uint16_t type)
{
    struct lookup_addresses addresses;
    finder->lookup = NULL;
    if (answer != NULL &&
        lookup_parse_addresses(answer, len, finder->asked, type, &addresses) == ERR_OK) {
        finder->result.connector.address = addresses.items[0];
        finder->has_address = true;
    }
}

static void on_address6(void *context, int error, const uint8_t *answer, size_t len)
{
    struct finder *finder = context;
    take_address(finder, answer, len, DNS_TYPE_AAAA);
    conclude(finder);
}

static void on_address(void *context, int error, const uint8_t *answer, size_t len)
{
    struct finder *finder = context;
    take_address(finder, answer, len, DNS_TYPE_A);
    if (!finder->has_address &&
        lookup_start(&finder->host->loop, HOST_MARK, finder->asked, DNS_TYPE_AAAA, on_address6,
                     finder, &finder->lookup) == ERR_OK)
        return;
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

static void ask_address_and_key(struct finder *finder, const char *target, uint16_t port)
{
    struct host *host = finder->host;
    finder->result.connector.port = port;
    snprintf(finder->asked, sizeof(finder->asked), "%s", target);
    const char *key_name = finder->is_by_address ? finder->name : finder->result.zone;
    if (lookup_start(&host->loop, HOST_MARK, finder->asked, DNS_TYPE_A, on_address, finder,
                     &finder->lookup) != ERR_OK ||
        lookup_start(&host->loop, HOST_MARK, key_name, DNS_TYPE_IPSECKEY, on_key, finder,
                     &finder->key_lookup) != ERR_OK)
        finish(finder, ERR_IO, "DNS queries cannot be sent");
}

static int ask_service(struct finder *finder);

static void on_service(void *context, int error, const uint8_t *answer, size_t len)
{
    struct finder *finder = context;
    uint64_t random = 0;
    finder->lookup = NULL;
    if (answer == NULL) {
        finish(finder, error, "no DNS server answers");
        return;
    }
    if (crypto_random(&random, sizeof(random)) == ERR_OK &&
        lookup_parse_services(answer, len, finder->asked, random, &finder->services) == ERR_OK) {
        ask_address_and_key(finder, finder->services.items[0].target,
                            finder->services.items[0].port);
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
    ask_address_and_key(finder, finder->result.zone, FINDER_PORT);
}

static int ask_service(struct finder *finder)
{
    snprintf(finder->asked, sizeof(finder->asked), "_detec._tcp.%s", finder->result.zone);
    return lookup_start(&finder->host->loop, HOST_MARK, finder->asked, DNS_TYPE_SRV, on_service,
                        finder, &finder->lookup);
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
    lookup_cancel(finder->lookup);
    lookup_cancel(finder->key_lookup);
    free(finder);
}
