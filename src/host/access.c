/* [allow], from names to the kernel's policy. */
#include "host/host.h"

#include "io/policy.h"
#include <stdlib.h>
#include <string.h>

#define ALL_PORTS 65535

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

int access_open(struct host *host, const char *name, bool is_static, const struct address *peer)
{
    struct policy_rule rules[POLICY_RULE_CAP];
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
    error = policy_peer_set(host->policy, peer, rules, count);
    if (error != ERR_OK) {
        log_error("%s: what it may do here cannot be set: %s", name, policy_error(host->policy));
        return ERR_REFUSED;
    }
    return ERR_OK;
}

void access_close(struct host *host, const struct address *peer)
{
    if (policy_peer_clear(host->policy, peer) != ERR_OK)
        log_warn("policy: %s", policy_error(host->policy));
}
