/* [allow], from names to the kernel's policy. */
#include "host/host.h"

#include "host/plain.h"
#include "io/clock.h"
#include "io/policy.h"
#include "names/pool_ipv6.h"
#include <stdlib.h>
#include <string.h>

#define ALL_PORTS        65535
#define RELEASE_US       (100 * MS_US) /* for many tunnels at once */
#define RELEASE_AGAIN_US SECOND_US

bool access_may_call(const struct host *host, const char *name, bool is_static)
{
    struct allow_verdict *verdict = malloc(sizeof(*verdict));
    if (verdict == NULL)
        return false;
    allow_decide(&host->allow, name, is_static, host->config.zone, verdict);
    bool is_allowed = verdict->is_allowed;
    free(verdict);
    return is_allowed;
}

/* One kernel rule for each port, or one for a whole protocol. ERR_LIMIT: too many. */
static int add_ports(const struct allow_port *port, struct policy_rule *rules, size_t *count)
{
    if (port->first == 0 && port->last == ALL_PORTS) {
        if (*count == POLICY_RULE_CAP)
            return ERR_LIMIT;
        rules[(*count)++] = (struct policy_rule){.protocol = port->protocol};
        return ERR_OK;
    }
    for (uint32_t number = port->first; number <= port->last; number++) {
        if (*count == POLICY_RULE_CAP)
            return ERR_LIMIT;
        rules[(*count)++] =
            (struct policy_rule){.protocol = port->protocol, .port = (uint16_t)number};
    }
    return ERR_OK;
}

static int rules_of(const struct allow_verdict *verdict, struct policy_rule rules[POLICY_RULE_CAP],
                    size_t *ret_count)
{
    size_t count = 0;
    int error = ERR_OK;
    if (verdict->is_allowed && verdict->is_any)
        rules[count++] = (struct policy_rule){.protocol = 0};
    else if (verdict->is_allowed && verdict->port_count == 0 && verdict->is_ping)
        rules[count++] = (struct policy_rule){.protocol = IPPROTO_ICMP};
    else if (verdict->is_allowed)
        for (size_t i = 0; i < verdict->port_count && error == ERR_OK; i++)
            error = add_ports(&verdict->ports[i], rules, &count);
    if (error == ERR_OK)
        *ret_count = count;
    return error;
}

/* What [allow] lets this name do here. */
static int rules_for(const struct host *host, const char *name, bool is_static,
                     struct policy_rule rules[POLICY_RULE_CAP], size_t *ret_count)
{
    size_t count = 0;
    struct allow_verdict *verdict = malloc(sizeof(*verdict));
    if (verdict == NULL)
        return ERR_NOMEM;
    allow_decide(&host->allow, name, is_static, host->config.zone, verdict);
    int error = rules_of(verdict, rules, &count);
    free(verdict);
    if (error == ERR_LIMIT) {
        log_error("%s: [allow] gives it more than %d ports; use whole protocols or fewer ports. It "
                  "gets none",
                  name, POLICY_RULE_CAP);
        count = 0;
    }
    *ret_count = count;
    return ERR_OK;
}

/* Only plain peers have IPv6 inside. */
static bool has_twin(const struct host *host, const char *name)
{
    const size_t len = strlen(name), zone_len = strlen(PLAIN_ZONE);
    return host->own_ipv6.family != ADDRESS_NONE && len > zone_len &&
           strcmp(name + len - zone_len, PLAIN_ZONE) == 0;
}

static void on_release(struct task *task, uint64_t now_us)
{
    access_release(CONTAINER_OF(task, struct host, release_task));
}

static void release_in(struct host *host, uint64_t wait_us)
{
    if (!policy_is_release_due(host->policy) || host->release_task.deadline.index != 0)
        return;
    host->release_task.run = on_release;
    task_set(&host->tasks, &host->release_task, clock_now_us() + wait_us);
}

void access_release(struct host *host)
{
    task_clear(&host->tasks, &host->release_task);
    if (policy_release(host->policy) == ERR_OK)
        return;
    log_warn("policy: connections that may be forbidden by now go on; trying again: %s",
             policy_error(host->policy));
    release_in(host, RELEASE_AGAIN_US);
}

int access_open(struct host *host, const char *name, bool is_static, const struct address *peer)
{
    struct policy_rule rules[POLICY_RULE_CAP];
    size_t count;
    int error = rules_for(host, name, is_static, rules, &count);
    if (error != ERR_OK)
        return error;
    error = policy_peer_set(host->policy, peer, rules, count);
    if (error == ERR_OK && has_twin(host, name)) {
        const struct address twin = pool_ipv6_of(peer);
        error = policy_peer_set(host->policy, &twin, rules, count);
    }
    if (error != ERR_OK) {
        log_error("%s: what it may do here cannot be set: %s", name, policy_error(host->policy));
        return ERR_REFUSED;
    }
    release_in(host, RELEASE_US);
    return ERR_OK;
}

/* All networks of one peer. */
static int describe_networks(const struct host *host, const struct plain_config *config,
                             struct policy_rule rules[POLICY_RULE_CAP],
                             struct policy_network *networks, size_t *count)
{
    size_t rule_count;
    int error = rules_for(host, config->name, false, rules, &rule_count);
    for (uint8_t i = 0; error == ERR_OK && i < config->remote_ts.count; i++) {
        const struct prefix *remote = &config->remote_ts.list[i];
        const enum address_family family = (enum address_family)remote->address.family;
        networks[(*count)++] = (struct policy_network){
            .remote = *remote,
            .locals = config->local_ts.list,
            .local_count = plain_ts_is_wide(&config->local_ts) ? config->local_ts.count : 0,
            .stands = plain_ts_address(&config->local_ts, family),
            .rules = rules,
            .rule_count = rule_count,
        };
    }
    return error;
}

int access_networks(struct host *host)
{
    struct policy_network networks[PLAIN_NETWORKS_MAX];
    struct policy_rule(*rules)[POLICY_RULE_CAP] = calloc(PLAIN_PEERS_MAX, sizeof(*rules));
    size_t count = 0;
    int error = rules != NULL ? ERR_OK : ERR_NOMEM;
    const struct plain_config *config = NULL;
    for (uint32_t i = 0; error == ERR_OK && (config = plain_section(host, i)) != NULL; i++) {
        if (plain_config_has_network(config))
            error = describe_networks(host, config, rules[i], networks, &count);
    }
    if (error == ERR_OK && count > 0)
        error = policy_networks_set(host->policy, networks, count);
    free(rules);
    if (error != ERR_OK)
        log_error("[peer]: what the networks behind them may do here cannot be set: %s",
                  policy_error(host->policy));
    return error == ERR_OK || error == ERR_NOMEM ? error : ERR_REFUSED;
}

void access_close(struct host *host, const struct address *peer)
{
    const struct address twin = pool_ipv6_of(peer);
    if (policy_peer_clear(host->policy, peer) != ERR_OK ||
        policy_peer_clear(host->policy, &twin) != ERR_OK)
        log_warn("policy: %s", policy_error(host->policy));
    release_in(host, RELEASE_US);
}
