/* See connector/admission.h. */
#include "connector/admission.h"

#include "connector/session_internal.h"

/* Connections of one site that have not proven a key: as many as of so many of its hosts. */
#define SITE_STRANGER_HOSTS 4

int admission_init(struct connector *connector, const uint8_t seed[16])
{
    const int error = address_counts_init(&connector->session_addresses, ADDRESS_HOST_BITS, seed);
    return error == ERR_OK ? address_counts_init(&connector->session_sites, ADDRESS_SITE_BITS, seed)
                           : error;
}

void admission_done(struct connector *connector)
{
    address_counts_done(&connector->session_addresses);
    address_counts_done(&connector->session_sites);
}

static bool has_room(const struct connector *connector)
{
    return connector->sessions.count < connector->config.sessions_max &&
           connector->open_count <= connector->open_max; /* it counts itself */
}

/* One more of the host or the site; its oldest stranger has to go where there are too many. */
static int count(struct connector *connector, enum strangers_level level,
                 const struct address *address, uint32_t max, uint64_t now_us)
{
    struct address_counts *counts =
        level == STRANGERS_SITE ? &connector->session_sites : &connector->session_addresses;
    const int error = address_counts_add(counts, address, max);
    if (error != ERR_LIMIT)
        return error;
    session_evict(strangers_oldest_of(&connector->strangers, level, address), now_us);
    return address_counts_add(counts, address, max);
}

int admission_enter(struct connector *connector, const struct address *address, uint64_t now_us)
{
    const struct connector_config *config = &connector->config;
    const struct strangers *strangers = &connector->strangers;
    const uint32_t max = config->sessions_per_address_max;
    const bool is_ipv6 = address->family == ADDRESS_IPV6;
    if (is_ipv6 &&
        strangers_count_of(strangers, STRANGERS_SITE, address) / SITE_STRANGER_HOSTS >= max)
        session_evict(strangers_oldest_of(strangers, STRANGERS_SITE, address), now_us);
    if (!has_room(connector))
        session_evict(strangers->oldest, now_us);
    if (!has_room(connector))
        return ERR_LIMIT;
    int error = count(connector, STRANGERS_HOST, address, max, now_us);
    if (error != ERR_OK || !is_ipv6)
        return error;
    error = count(connector, STRANGERS_SITE, address, connector_config_site_max(config), now_us);
    if (error != ERR_OK)
        address_counts_remove(&connector->session_addresses, address);
    return error;
}

void admission_leave(struct connector *connector, const struct address *address)
{
    address_counts_remove(&connector->session_addresses, address);
    if (address->family == ADDRESS_IPV6)
        address_counts_remove(&connector->session_sites, address);
}
