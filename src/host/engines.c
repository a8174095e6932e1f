/* The engines of a host, made and freed as one: no socket, no interface, no thread is touched here,
 * so that a simulated network can have many. */
#include "host/engines.h"

#include "crypto/memory.h"
#include "host/host.h"
#include "io/clock.h"
#include "names/pool_ipv6.h"

int engines_load_allow(struct host *host, const struct host_config *config)
{
    char message[ALLOW_MESSAGE_CAP];
    struct allow fresh;
    allow_init(&fresh);
    for (uint32_t i = 0; i < config->allow_count; i++) {
        int error = allow_add(&fresh, config->allow[i], message);
        if (error != ERR_OK) {
            log_error("%s: [allow] %s: %s", config->file, config->allow[i], message);
            allow_done(&fresh);
            return error;
        }
    }
    allow_done(&host->allow);
    host->allow = fresh;
    return ERR_OK;
}

int engines_open(struct host *host)
{
    struct ike_table_limits limits;
    uint64_t now_us = clock_now_us();
    ike_table_limits_init(&limits);
    int error = crypto_random(host->seed, sizeof(host->seed));
    if (error == ERR_OK)
        error = map_init(&host->peers_by_name, host->seed);
    if (error == ERR_OK)
        error = map_init(&host->peers_by_address, host->seed);
    if (error == ERR_OK)
        error = map_init(&host->calls_by_number, host->seed);
    if (error == ERR_OK)
        error = ike_table_new(&limits, now_us, &host->ike);
    if (error == ERR_OK)
        error = ike_table_new(&limits, now_us, &host->ike_tcp);
    if (error == ERR_OK)
        error = punch_table_new(&host->punches);
    if (error == ERR_OK)
        error = tunnel_table_new(host->seed, &host->tunnels);
    if (error == ERR_OK)
        error = engines_load_allow(host, &host->config);
    if (error == ERR_OK)
        error = state_load(host);
    if (error == ERR_OK)
        host->own = pool_own_address(host->pool);
    if (error == ERR_OK && host->config.plain.count > 0)
        host->own_ipv6 = pool_ipv6_of(&host->own);
    return error;
}

void engines_close(struct host *host)
{
    tunnel_table_free(host->tunnels);
    punch_table_free(host->punches);
    ike_table_free(host->ike);
    ike_table_free(host->ike_tcp);
    pool_free(host->pool);
    trust_free(host->trust);
    allow_done(&host->allow);
    met_done(host);
    map_done(&host->peers_by_name);
    map_done(&host->peers_by_address);
    map_done(&host->calls_by_number);
}
