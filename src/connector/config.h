/* connector.conf: what the connector serves, where it listens, and its limits. */
#ifndef CONNECTOR_CONFIG_H
#define CONNECTOR_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/address.h"
#include "base/config.h"
#include "base/log.h"
#include "base/text.h"

#define CONNECTOR_PATH_CAP 256
#define CONNECTOR_USER_CAP 33
#define LEASE_MIN_US       ((uint64_t)30 * 1000000)    /* REGISTRY_LEASE_MIN_S */
#define LEASE_MAX_US       ((uint64_t)65535 * 1000000) /* 16 bits of seconds in NAME */

struct connector_config {
    char file[CONNECTOR_PATH_CAP]; /* where this was read from */
    char zone[NAME_TEXT_CAP];
    char name_server[NAME_TEXT_CAP]; /* in NS and SOA; empty: the zone's own name */
    struct address address;          /* of the zone's own name */
    struct address other_address;    /* … of the other family; ADDRESS_NONE: there is none */
    struct endpoint listen;          /* TCP for log-ins, UDP for STUN */
    /* TCP for log-ins too, where networks let nothing else out: IKE in TCP, and in TLS. */
    bool has_listen_tls;
    bool is_listen_tls_wanted; /* asked for: it is an error if it cannot be opened */
    struct endpoint listen_tls;
    char certificate[CONNECTOR_PATH_CAP]; /* PEM, of TLS; empty: made at the start */
    char certificate_key[CONNECTOR_PATH_CAP];
    /* The second port and address of NAT behaviour discovery (RFC 5780). */
    bool has_stun_alternate;
    uint16_t stun_alternate_port;          /* 0: the one behind listen's, if it is free */
    struct address stun_alternate_address; /* of this machine; ADDRESS_NONE: there is none */
    bool has_dns;
    struct endpoint dns;
    char key[CONNECTOR_PATH_CAP];
    char database[CONNECTOR_PATH_CAP];
    char socket[CONNECTOR_PATH_CAP];
    char user[CONNECTOR_USER_CAP]; /* to become once the ports are open; empty: stay */
    bool is_strict;
    bool has_dynamic;
    uint64_t lease_us;
    uint32_t sessions_max;
    uint32_t sessions_per_address_max;
    uint32_t sessions_per_site_max; /* 0: by the others; see connector_config_site_max() */
    bool has_relay;
    uint32_t relay_rate;       /* kbit/s that one host may send through the relay */
    uint32_t relay_rate_total; /* … all together */
    enum log_level log_level;
};

/* Reads and checks a file. Every problem goes to report, one line each: file:line, the key, what is
 * allowed. ERR_INVALID if there was any. */
MUST_USE int connector_config_load(const char *file, struct connector_config *ret_config,
                                   FILE *report);
/* The same for text that was read already. */
MUST_USE int connector_config_parse(const char *text, const char *file,
                                    struct connector_config *ret_config, FILE *report);
/* The most sessions of one IPv6 site: a half of all by default, never fewer than one host may have.
 */
uint32_t connector_config_site_max(const struct connector_config *config);
/* The keys that differ and that a running connector cannot take over (NULL if none): the first one.
 */
const char *connector_config_fixed_change(const struct connector_config *a,
                                          const struct connector_config *b);

#endif
