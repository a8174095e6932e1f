/* Reading connector.conf: the table of its keys, and what must hold between them. */
#include "connector/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

#define FILE_CAP         ((size_t)256 * 1024)
#define SESSIONS_DEFAULT 100000
#define PER_ADDRESS      256 /* a carrier's NAT has many homes behind it */
#define SESSIONS_LIMIT   2000000
#define RELAY_RATE       20000 /* kbit/s of one host: work goes on, bulk waits for a direct path */
#define RELAY_RATE_TOTAL 200000
#define RELAY_RATE_LEAST 8
#define LISTEN_PORT      4500
#define DNS_PORT         53
#define TLS_PORT         443

#define AT(member)   offsetof(struct connector_config, member)
#define SIZE(member) sizeof(((struct connector_config *)NULL)->member)

static int parse_count(const char *value, void *target, const struct config_key *key)
{
    const size_t len = strspn(value, "0123456789");
    if (len == 0 || len > 7 || value[len] != '\0')
        return ERR_INVALID;
    const unsigned long count = strtoul(value, NULL, 10);
    if (count == 0 || count > SESSIONS_LIMIT)
        return ERR_INVALID;
    const uint32_t result = (uint32_t)count;
    memcpy((uint8_t *)target + key->offset, &result, sizeof result);
    return ERR_OK;
}

static int parse_rate(const char *value, void *target, const struct config_key *key)
{
    uint32_t rate;
    const int error = parse_count(value, target, key);
    memcpy(&rate, (const uint8_t *)target + key->offset, sizeof rate);
    return error == ERR_OK && rate < RELAY_RATE_LEAST ? ERR_INVALID : error;
}

static int parse_listen(const char *value, void *target, const struct config_key *key)
{
    struct connector_config *config = target;
    return endpoint_parse(value, LISTEN_PORT, &config->listen);
}

static int parse_listen_tls(const char *value, void *target, const struct config_key *key)
{
    struct connector_config *config = target;
    config->has_listen_tls = strcmp(value, "off") != 0;
    config->is_listen_tls_wanted = config->has_listen_tls;
    return config->has_listen_tls ? endpoint_parse(value, TLS_PORT, &config->listen_tls) : ERR_OK;
}

static int parse_alternate_port(const char *value, void *target, const struct config_key *key)
{
    struct connector_config *config = target;
    const size_t len = strspn(value, "0123456789");
    const unsigned long port = len > 0 && len <= 5 ? strtoul(value, NULL, 10) : 0;
    config->has_stun_alternate = strcmp(value, "off") != 0;
    if (!config->has_stun_alternate)
        return ERR_OK;
    if (value[len] != '\0' || port == 0 || port > UINT16_MAX)
        return ERR_INVALID;
    config->stun_alternate_port = (uint16_t)port;
    return ERR_OK;
}

static int parse_single_address(const char *value, struct address *ret_address)
{
    struct address address;
    const int error = address_parse(value, &address);
    if (error != ERR_OK)
        return error;
    if (address_is_unspecified(&address) || address_is_multicast(&address))
        return ERR_INVALID;
    *ret_address = address;
    return ERR_OK;
}

static int parse_alternate_address(const char *value, void *target, const struct config_key *key)
{
    return parse_single_address(value,
                                &((struct connector_config *)target)->stun_alternate_address);
}

static int parse_dns(const char *value, void *target, const struct config_key *key)
{
    struct connector_config *config = target;
    config->has_dns = strcmp(value, "off") != 0;
    return config->has_dns ? endpoint_parse(value, DNS_PORT, &config->dns) : ERR_OK;
}

static int parse_address(const char *value, void *target, const struct config_key *key)
{
    struct connector_config *config = target;
    struct address address;
    const int error = parse_single_address(value, &address);
    if (error != ERR_OK)
        return error;
    if (config->address.family == ADDRESS_NONE)
        config->address = address;
    else if (config->other_address.family == ADDRESS_NONE &&
             config->address.family != address.family)
        config->other_address = address;
    else
        return ERR_INVALID;
    return ERR_OK;
}

static int parse_lease(const char *value, void *target, const struct config_key *key)
{
    uint64_t us;
    if (duration_parse(value, &us) != ERR_OK || us < LEASE_MIN_US || us > LEASE_MAX_US ||
        us % 1000000 != 0)
        return ERR_INVALID;
    ((struct connector_config *)target)->lease_us = us;
    return ERR_OK;
}

static int parse_path(const char *value, void *target, const struct config_key *key)
{
    return value[0] == '/' ? config_parse_text(value, target, key) : ERR_INVALID;
}

static int parse_log(const char *value, void *target, const struct config_key *key)
{
    static const struct {
        const char *text;
        enum log_level level;
    } levels[] = {{"error", LOG_LEVEL_ERROR},
                  {"warn", LOG_LEVEL_WARN},
                  {"info", LOG_LEVEL_INFO},
                  {"debug", LOG_LEVEL_DEBUG}};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(value, levels[i].text) == 0) {
            ((struct connector_config *)target)->log_level = levels[i].level;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

#define ABSOLUTE "an absolute path of at most 255 characters"

static const struct config_key keys[] = {
    {"connector", "zone", config_parse_name, AT(zone), SIZE(zone),
     "the DNS zone to serve, such as detec.example.net", 0},
    {"connector", "address", parse_address, 0, 0,
     "the public IPv4 or IPv6 address of this machine, without a port, once for each family", 1},
    {"connector", "name-server", config_parse_name, AT(name_server), SIZE(name_server),
     "the host name of this DNS server, such as ns.example.net", 0},
    {"connector", "listen", parse_listen, 0, 0, "an address and port, such as 0.0.0.0:4500", 0},
    {"connector", "listen-tls", parse_listen_tls, 0, 0,
     "an address and port, such as 0.0.0.0:443, or off", 0},
    {"connector", "certificate", parse_path, AT(certificate), SIZE(certificate), ABSOLUTE, 0},
    {"connector", "certificate-key", parse_path, AT(certificate_key), SIZE(certificate_key),
     ABSOLUTE, 0},
    {"connector", "stun-alternate-port", parse_alternate_port, 0, 0,
     "a port from 1 to 65535, or off", 0},
    {"connector", "stun-alternate-address", parse_alternate_address, 0, 0,
     "a second IPv4 or IPv6 address of this machine, without a port", 0},
    {"connector", "dns", parse_dns, 0, 0, "an address and port, such as 0.0.0.0:53, or off", 0},
    {"connector", "key", parse_path, AT(key), SIZE(key), ABSOLUTE, 0},
    {"connector", "strict", config_parse_bool, AT(is_strict), 0, "yes or no", 0},
    {"connector", "database", parse_path, AT(database), SIZE(database), ABSOLUTE, 0},
    {"connector", "dynamic", config_parse_bool, AT(has_dynamic), 0, "yes or no", 0},
    {"connector", "lease", parse_lease, 0, 0,
     "a duration in whole seconds from 30s to 18h, such as 2m", 0},
    {"connector", "socket", parse_path, AT(socket), SIZE(socket), ABSOLUTE, 0},
    {"connector", "user", config_parse_text, AT(user), SIZE(user), "the name of a user", 0},
    {"connector", "sessions", parse_count, AT(sessions_max), 0, "a number from 1 to 2000000", 0},
    {"connector", "sessions-per-address", parse_count, AT(sessions_per_address_max), 0,
     "a number from 1 to 2000000", 0},
    {"connector", "sessions-per-site", parse_count, AT(sessions_per_site_max), 0,
     "a number from 1 to 2000000", 0},
    {"connector", "relay", config_parse_bool, AT(has_relay), 0, "yes or no", 0},
    {"connector", "relay-rate", parse_rate, AT(relay_rate), 0, "kbit/s, a number from 8 to 2000000",
     0},
    {"connector", "relay-rate-total", parse_rate, AT(relay_rate_total), 0,
     "kbit/s, a number from 8 to 2000000", 0},
    {"connector", "log", parse_log, 0, 0, "error, warn, info or debug", 0},
    {NULL, NULL, NULL, 0, 0, NULL, 0},
};

static void set_defaults(struct connector_config *config, const char *file)
{
    memset(config, 0, sizeof *config);
    snprintf(config->file, sizeof config->file, "%s", file);
    config->listen.port = LISTEN_PORT;
    config->has_listen_tls = true;
    config->has_dns = true;
    config->dns.port = DNS_PORT;
    snprintf(config->key, sizeof config->key, "/var/lib/detec-connector/connector.key");
    snprintf(config->database, sizeof config->database, "/var/lib/detec-connector/hosts.db");
    snprintf(config->socket, sizeof config->socket, "/run/detec-connector/connector.sock");
    config->has_dynamic = true;
    config->has_stun_alternate = true;
    config->lease_us = (uint64_t)120 * 1000000;
    config->sessions_max = SESSIONS_DEFAULT;
    config->sessions_per_address_max = PER_ADDRESS;
    config->has_relay = true;
    config->relay_rate = RELAY_RATE;
    config->relay_rate_total = RELAY_RATE_TOTAL;
    config->log_level = LOG_LEVEL_INFO;
}

/* Unless listen or dns says otherwise: one socket for both families where the zone has an IPv6
 * address. */
static void choose_any(const struct connector_config *config, struct endpoint *listen)
{
    static const uint8_t any[16];
    if (listen->address.family == ADDRESS_NONE &&
        (config->address.family == ADDRESS_IPV6 || config->other_address.family == ADDRESS_IPV6))
        listen->address = address_from_bytes(ADDRESS_IPV6, any);
    else if (listen->address.family == ADDRESS_NONE)
        listen->address = address_from_ipv4(INADDR_ANY);
}

/* What no single value shows. */
static int check_whole(struct connector_config *config, FILE *report)
{
    const size_t zone_len = strlen(config->zone);
    char text[ADDRESS_TEXT_CAP];
    int result = ERR_OK;
    if (zone_len == 0) {
        fprintf(report,
                "%s: [connector] zone is missing; allowed: the DNS zone to serve, such as "
                "zone = detec.example.net\n",
                config->file);
        result = ERR_INVALID;
    }
    /* A host's name, and "_detec._tcp" before the zone's, must still be names. */
    if (zone_len > NAME_TEXT_CAP - 1 - 64) {
        fprintf(report,
                "%s: [connector] zone = %s: too long; allowed: at most %d characters, so that "
                "hosts can have names below it\n",
                config->file, config->zone, NAME_TEXT_CAP - 1 - 64);
        result = ERR_INVALID;
    }
    choose_any(config, &config->listen);
    choose_any(config, &config->dns);
    if (config->address.family == ADDRESS_NONE && !address_is_unspecified(&config->listen.address))
        config->address = config->listen.address;
    if (config->address.family == ADDRESS_NONE) {
        fprintf(report,
                "%s: [connector] address is missing, and listen names no single address; "
                "allowed: the public address of this machine, such as address = 203.0.113.10\n",
                config->file);
        result = ERR_INVALID;
    }
    if (config->listen_tls.port == 0)
        config->listen_tls = (struct endpoint){config->listen.address, TLS_PORT};
    if (config->has_listen_tls && endpoint_is_equal(&config->listen, &config->listen_tls))
        config->has_listen_tls = false; /* it takes both anyway */
    if ((config->certificate[0] == '\0') != (config->certificate_key[0] == '\0')) {
        fprintf(report,
                "%s: [connector] certificate and certificate-key belong together; allowed: both or "
                "neither\n",
                config->file);
        result = ERR_INVALID;
    }
    if (config->stun_alternate_port == config->listen.port) {
        fprintf(report,
                "%s: [connector] stun-alternate-port = %u: that is the port of listen; allowed: "
                "another one\n",
                config->file, config->stun_alternate_port);
        result = ERR_INVALID;
    }
    if (config->stun_alternate_address.family != ADDRESS_NONE) {
        const struct address *alternate = &config->stun_alternate_address;
        if (alternate->family != config->address.family ||
            address_is_equal(alternate, &config->address) ||
            address_is_equal(alternate, &config->listen.address) || !config->has_stun_alternate) {
            fprintf(report,
                    "%s: [connector] stun-alternate-address = %s: allowed: an address of the same "
                    "family as address, but not the same, and not with stun-alternate-port = off\n",
                    config->file, address_format(alternate, text, sizeof text));
            result = ERR_INVALID;
        }
    }
    if (strlen(config->socket) > 107) {
        fprintf(report, "%s: [connector] socket = %s: too long; allowed: at most 107 characters\n",
                config->file, config->socket);
        result = ERR_INVALID;
    }
    return result;
}

int connector_config_parse(const char *text, const char *file, struct connector_config *ret_config,
                           FILE *report)
{
    struct connector_config config;
    set_defaults(&config, file);
    const int error = config_parse(text, file, keys, &config, report);
    /* Even if lines were bad: all problems in one go. */
    const int whole = error == ERR_NOMEM ? error : check_whole(&config, report);
    if (error != ERR_OK || whole != ERR_OK)
        return error != ERR_OK ? error : whole;
    *ret_config = config;
    return ERR_OK;
}

int connector_config_load(const char *file, struct connector_config *ret_config, FILE *report)
{
    char *text = NULL;
    if (strlen(file) >= CONNECTOR_PATH_CAP) {
        fprintf(report, "%s: the path is too long; allowed: at most %d characters\n", file,
                CONNECTOR_PATH_CAP - 1);
        return ERR_INVALID;
    }
    int error = file_read(file, FILE_CAP, &text, NULL);
    if (error != ERR_OK) {
        fprintf(report, "%s: cannot be read: %s%s\n", file, file_error_text(error),
                error == ERR_NOT_FOUND ? "; connector.conf(5) tells what belongs in it" : "");
        return ERR_INVALID;
    }
    error = connector_config_parse(text, file, ret_config, report);
    free(text);
    return error;
}

const char *connector_config_fixed_change(const struct connector_config *a,
                                          const struct connector_config *b)
{
    if (strcmp(a->zone, b->zone) != 0)
        return "zone";
    if (!address_is_equal(&a->address, &b->address) ||
        !address_is_equal(&a->other_address, &b->other_address))
        return "address";
    if (strcmp(a->name_server, b->name_server) != 0)
        return "name-server";
    if (!endpoint_is_equal(&a->listen, &b->listen))
        return "listen";
    if (a->has_listen_tls != b->has_listen_tls ||
        !endpoint_is_equal(&a->listen_tls, &b->listen_tls))
        return "listen-tls";
    if (strcmp(a->certificate, b->certificate) != 0)
        return "certificate";
    if (strcmp(a->certificate_key, b->certificate_key) != 0)
        return "certificate-key";
    if (a->has_stun_alternate != b->has_stun_alternate ||
        a->stun_alternate_port != b->stun_alternate_port)
        return "stun-alternate-port";
    if (!address_is_equal(&a->stun_alternate_address, &b->stun_alternate_address))
        return "stun-alternate-address";
    if (a->has_dns != b->has_dns || (a->has_dns && !endpoint_is_equal(&a->dns, &b->dns)))
        return "dns";
    if (strcmp(a->key, b->key) != 0)
        return "key";
    if (strcmp(a->database, b->database) != 0)
        return "database";
    if (strcmp(a->socket, b->socket) != 0)
        return "socket";
    return strcmp(a->user, b->user) != 0 ? "user" : NULL;
}

uint32_t connector_config_site_max(const struct connector_config *config)
{
    const uint32_t max = config->sessions_per_site_max != 0 ? config->sessions_per_site_max
                                                            : config->sessions_max / 2;
    return max > config->sessions_per_address_max ? max : config->sessions_per_address_max;
}
