/* Reading detec.conf: the table of keys, their parsers and what follows from them. */
#include "host/config.h"

#include "base/config.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/memory.h"
#include "io/file.h"
#include "names/allow.h"
#include "names/trust.h"
#include <stdlib.h>
#include <string.h>

#define FILE_CAP        (256 * 1024)
#define SUITES_TEXT_CAP 512

static int parse_dns(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    if (strcmp(value, "auto") == 0 || strcmp(value, "capture") == 0)
        config->dns = DNS_MODE_CAPTURE;
    else if (strcmp(value, "off") == 0)
        config->dns = DNS_MODE_OFF;
    else
        return ERR_INVALID;
    return ERR_OK;
}

static int parse_port_mapping(const char *value, void *target, const struct config_key *key)
{
    bool is_auto = strcmp(value, "auto") == 0;
    if (!is_auto && strcmp(value, "off") != 0)
        return ERR_INVALID;
    ((struct host_config *)target)->has_port_mapping = is_auto;
    return ERR_OK;
}

static int parse_pool(const char *value, void *target, const struct config_key *key)
{
    struct prefix prefix;
    int error = prefix_parse(value, &prefix);
    if (error != ERR_OK)
        return error;
    if (prefix.address.family != ADDRESS_IPV4 || prefix.bits < 8 || prefix.bits > 28)
        return ERR_INVALID;
    if (address_is_loopback(&prefix.address) || address_is_multicast(&prefix.address))
        return ERR_INVALID;
    ((struct host_config *)target)->pool = prefix;
    return ERR_OK;
}

static int parse_connector(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    return endpoint_parse(value, 4500, &config->connector);
}

static int parse_proxy(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    config->is_proxy_automatic = strcmp(value, "auto") == 0;
    config->has_proxy = !config->is_proxy_automatic && strcmp(value, "none") != 0;
    return config->has_proxy ? http_proxy_parse(value, &config->proxy) : ERR_OK;
}

static int parse_connector_key(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    int error = public_key_parse(value, &config->connector_key);
    config->has_connector_key = error == ERR_OK;
    return error;
}

/* "NAME BASE64" into one more pin of a list. */
static int parse_pin_into(const char *value, struct host_pin *pins, uint32_t *count)
{
    char name[NAME_TEXT_CAP];
    size_t name_len = strcspn(value, " \t");
    if (*count >= HOST_RULES_MAX || name_len >= sizeof(name) || value[name_len] == '\0')
        return ERR_INVALID;
    memcpy(name, value, name_len);
    name[name_len] = '\0';
    const char *key_text = value + name_len + strspn(value + name_len, " \t");
    struct host_pin *pin = &pins[*count];
    int error = name_normalize(name, pin->name);
    if (error == ERR_OK)
        error = public_key_parse(key_text, &pin->key);
    if (error == ERR_OK)
        ++*count;
    return error;
}

static int parse_pin(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    return parse_pin_into(value, config->pins, &config->pin_count);
}

/* In [trust]: "ZONE BASE64", or just "BASE64" for the own zone. */
static int parse_trust_connector_key(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    if (strpbrk(value, " \t") == NULL)
        return parse_connector_key(value, target, key);
    return parse_pin_into(value, config->connector_pins, &config->connector_pin_count);
}

static int parse_private_zone(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    if (config->private_zone_count >= HOST_RULES_MAX)
        return ERR_INVALID;
    int error = name_normalize(value, config->private_zones[config->private_zone_count]);
    if (error == ERR_OK)
        config->private_zone_count++;
    return error;
}

static int parse_accept(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    static const struct {
        const char *text;
        enum trust_level level;
    } levels[] = {
        {"pinned", TRUST_LEVEL_PINNED},
        {"dnssec", TRUST_LEVEL_DNSSEC},
        {"connector", TRUST_LEVEL_CONNECTOR},
    };
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i].text) == 0) {
            config->accept = (int)levels[i].level;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static int parse_allow(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    if (config->allow_count >= HOST_RULES_MAX || strlen(value) >= HOST_RULE_CAP)
        return ERR_INVALID;
    struct allow *trial = malloc(sizeof(*trial));
    if (trial == NULL)
        return ERR_NOMEM;
    char message[ALLOW_MESSAGE_CAP];
    allow_init(trial);
    int error = allow_add(trial, value, message);
    allow_done(trial);
    free(trial);
    if (error == ERR_OK)
        strcpy(config->allow[config->allow_count++], value);
    return error;
}

static int take_suite(const char *word, void *context)
{
    struct host_config *config = context;
    enum suite suite;
    if (config->suite_count >= SUITE_COUNT || suite_parse(word, &suite) != ERR_OK)
        return ERR_INVALID;
    for (uint32_t i = 0; i < config->suite_count; i++) {
        if (config->suites[i] == suite)
            return ERR_INVALID;
    }
    config->suites[config->suite_count++] = suite;
    return ERR_OK;
}

static int parse_suites(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    config->suite_count = 0;
    const int error = text_each_word(value, SUITES_TEXT_CAP, take_suite, config);
    return error == ERR_OK && config->suite_count == 0 ? ERR_INVALID : error;
}

static int parse_mtu(const char *value, void *target, const struct config_key *key)
{
    char *end;
    unsigned long mtu = strtoul(value, &end, 10);
    if (*end != '\0' || end == value || mtu < 1280 || mtu > 4000)
        return ERR_INVALID;
    ((struct host_config *)target)->mtu = (uint16_t)mtu;
    return ERR_OK;
}

static int parse_threads(const char *value, void *target, const struct config_key *key)
{
    const bool is_number = value[0] >= '1' && value[0] <= '0' + HOST_THREADS_MAX && !value[1];
    if (!is_number && strcmp(value, "auto") != 0)
        return ERR_INVALID;
    ((struct host_config *)target)->threads = is_number ? (unsigned)(value[0] - '0') : 0;
    return ERR_OK;
}

static int parse_relay(const char *value, void *target, const struct config_key *key)
{
    static const char *const modes[] = {
        [RELAY_MODE_YES] = "yes",
        [RELAY_MODE_NO] = "no",
        [RELAY_MODE_ALWAYS] = "always",
    };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(value, modes[i]) == 0) {
            ((struct host_config *)target)->relay = (enum relay_mode)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static int parse_esp_offload(const char *value, void *target, const struct config_key *key)
{
    static const char *const modes[] = {
        [ESP_OFFLOAD_AUTO] = "auto",
        [ESP_OFFLOAD_KERNEL] = "kernel",
        [ESP_OFFLOAD_OFF] = "off",
    };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(value, modes[i]) == 0) {
            ((struct host_config *)target)->esp_offload = (enum esp_offload)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static int parse_mac(const char *value, void *target, const struct config_key *key)
{
    struct host_config *config = target;
    if (mac_parse(value, config->mac) != ERR_OK)
        return ERR_INVALID;
    config->has_mac = true;
    return ERR_OK;
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
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i].text) == 0) {
            ((struct host_config *)target)->log_level = (int)levels[i].level;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

static int parse_interface(const char *value, void *target, const struct config_key *key)
{
    size_t len = strlen(value);
    if (len == 0 || len >= HOST_INTERFACE_CAP || strpbrk(value, "/% \t:\"") != NULL ||
        strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
        return ERR_INVALID;
    strcpy(((struct host_config *)target)->interface, value);
    return ERR_OK;
}

#define AT(member)   offsetof(struct host_config, member)
#define SIZE(member) sizeof(((struct host_config *)NULL)->member)
#define DURATION     "a duration such as 90s, 10m or 1h"

static const struct config_key KEYS[] = {
    {"host", "name", config_parse_name, AT(name), SIZE(name), "a DNS name in a connector's zone",
     0},
    {"host", "zone", config_parse_name, AT(zone), SIZE(zone), "the DNS zone of the own connector",
     0},
    {"host", "key", config_parse_text, AT(key_file), SIZE(key_file), "a path", 0},
    {"host", "connector", parse_connector, 0, 0, "an address, or address:port", 0},
    {"host", "connector-key", parse_connector_key, 0, 0, "a public key in base64", 0},
    {"host", "proxy", parse_proxy, 0, 0,
     "auto, none, or http://[USER:PASSWORD@]HOST:PORT (percent-encoded)", 0, .is_secret = 1},
    {"host", "port", config_parse_port, AT(port), 0, "a UDP port from 1 to 65535", 0},
    {"host", "pool", parse_pool, 0, 0, "an IPv4 prefix of 8 to 28 bits, such as 0.0.0.0/8", 0},
    {"host", "dns", parse_dns, 0, 0,
     "auto, capture or off (`resolved` is not in this version; capture serves systemd-resolved "
     "too)",
     0},
    {"host", "port-mapping", parse_port_mapping, 0, 0, "auto or off", 0},
    {"host", "birthday", config_parse_bool, AT(has_birthday), 0, "yes or no", 0},
    {"host", "relay", parse_relay, 0, 0, "yes, no or always", 0},
    {"host", "idle", config_parse_duration, AT(idle_us), 0, DURATION, 0},
    {"host", "attempt-timeout", config_parse_duration, AT(attempt_us), 0, DURATION, 0},
    {"host", "lease", config_parse_duration, AT(lease_us), 0, DURATION, 0},
    {"host", "keepalive", config_parse_duration, AT(keepalive_us), 0, DURATION, 0},
    {"host", "rekey", config_parse_duration, AT(rekey_us), 0, DURATION, 0},
    {"host", "state", config_parse_text, AT(state), SIZE(state), "a directory", 0},
    {"host", "socket", config_parse_text, AT(socket), SIZE(socket), "a path", 0},
    {"host", "interface", parse_interface, 0, 0, "an interface name of at most 15 characters", 0},
    {"host", "mtu", parse_mtu, 0, 0, "1280 to 4000", 0},
    {"host", "tun-offload", config_parse_bool, AT(has_tun_offload), 0, "yes or no", 0},
    {"host", "esp-offload", parse_esp_offload, 0, 0, "auto, kernel or off", 0},
    {"host", "udp-offload", config_parse_bool, AT(has_udp_offload), 0, "yes or no", 0},
    {"host", "threads", parse_threads, 0, 0, "auto, or a number from 1 to 8", 0},
    {"host", "suites", parse_suites, 0, 0,
     "a list of paper, aes128-gcm, aes256-gcm, chacha20-poly1305, and of ESP esp-aes128-gcm, "
     "esp-aes256-gcm, esp-chacha20-poly1305 (each also with -iiv behind it), "
     "esp-aes128-cbc-sha256, esp-aes256-cbc-sha256, esp-aes128-ctr-sha256, esp-aes256-ctr-sha256",
     0},
    {"host", "mac", parse_mac, 0, 0, "a MAC address such as 02:00:5e:10:00:01", 0},
    {"host", "log", parse_log, 0, 0, "error, warn, info or debug", 0},
    {"host", "ike-port", config_parse_port, AT(ike_port), 0, "a UDP port from 1 to 65535", 0},
    {"host", "ike-nat-port", config_parse_port, AT(ike_nat_port), 0, "a UDP port from 1 to 65535",
     0},
    {"host", "ike-tcp-port", config_parse_port, AT(ike_tcp_port), 0, "a TCP port from 1 to 65535",
     0},
    {"trust", "accept", parse_accept, 0, 0, "pinned, dnssec or connector", 0},
    {"trust", "pin", parse_pin, 0, 0, "a host name and its public key in base64", 1},
    {"trust", "connector-key", parse_trust_connector_key, 0, 0,
     "a zone and its connector's public key in base64", 1},
    {"trust", "private-connector", parse_private_zone, 0, 0, "the name of a zone", 1},
    {"allow", "allow", parse_allow, 0, 0,
     "a name pattern and optionally ports, such as `*.example.net tcp/22,udp/53,icmp`, or nobody",
     1},
};
#define KEY_COUNT (sizeof(KEYS) / sizeof(KEYS[0]))

static void set_defaults(struct host_config *config)
{
    memset(config, 0, sizeof(*config));
    strcpy(config->key_file, "/var/lib/detec/host.key");
    strcpy(config->state, "/var/lib/detec");
    strcpy(config->socket, "/run/detec/detecd.sock");
    strcpy(config->interface, "detec0");
    config->port = 32589;
    config->ike_port = 500;
    config->ike_nat_port = 4500;
    config->ike_tcp_port = 4500;
    config->pool.address = address_from_ipv4(0);
    config->pool.bits = 8;
    config->dns = DNS_MODE_CAPTURE;
    config->has_port_mapping = true;
    config->has_birthday = true;
    config->idle_us = 600 * SECOND_US;
    config->attempt_us = 5 * SECOND_US;
    config->keepalive_us = UINT64_MAX;
    config->rekey_us = 3600 * SECOND_US;
    config->mtu = 1500;
    config->has_tun_offload = config->has_udp_offload = true;
    config->suites[0] = SPUT_AES128_GCM;
    config->suites[1] = SPUT_PAPER;
    config->suite_count = 2;
    config->accept = TRUST_LEVEL_CONNECTOR;
    config->is_proxy_automatic = true;
    config->log_level = LOG_LEVEL_INFO;
}

/* The names that most programs know. no_proxy is not needed: the straight way is tried first. */
static void take_environment(struct host_config *config, FILE *report)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !config->has_proxy; i++) {
        const char *value = getenv(names[i]);
        if (value == NULL || value[0] == '\0')
            continue;
        config->has_proxy = http_proxy_parse(value, &config->proxy) == ERR_OK;
        if (!config->has_proxy)
            fprintf(report, "%s: in the environment, ignored: not the URL of an http proxy\n",
                    names[i]);
    }
}

static int parse_all(const char *text, const char *file, struct host_config *config, FILE *report)
{
    struct config_key keys[KEY_COUNT + PLAIN_CONFIG_ROWS + 1] = {0};
    memcpy(keys, KEYS, sizeof(KEYS));
    plain_config_rows(AT(plain), keys + KEY_COUNT);
    return config_parse(text, file, keys, config, report);
}

/* A host may do without a zone where it has plain peers: then it is nobody's but theirs. */
static int check_names(struct host_config *config, FILE *report)
{
    if (config->zone[0] == '\0' && config->name[0] == '\0' && config->plain.count > 0)
        return ERR_OK;
    if (config->zone[0] == '\0') {
        const char *parent = config->name[0] != '\0' ? name_parent(config->name) : NULL;
        if (parent == NULL) {
            fprintf(report,
                    "%s: [host] name: missing or without a zone; give the host's full name, or "
                    "`zone =` "
                    "for a dynamic name\n",
                    config->file);
            return ERR_INVALID;
        }
        strcpy(config->zone, parent);
    } else if (config->name[0] != '\0' && (!name_is_in_zone(config->name, config->zone) ||
                                           strcmp(config->name, config->zone) == 0)) {
        fprintf(report, "%s: [host] name: %s is not below the zone %s\n", config->file,
                config->name, config->zone);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static int check_whole(struct host_config *config, FILE *report)
{
    int error = check_names(config, report);
    if (error == ERR_OK)
        error = plain_config_check(&config->plain, config->file, config->name[0] != '\0',
                                   &config->pool, report);
    if (error == ERR_OK && config->plain.count > 0 &&
        (config->ike_port == config->ike_nat_port || config->ike_port == config->port ||
         config->ike_nat_port == config->port)) {
        fprintf(report, "%s: [host] port, ike-port, ike-nat-port: must be three different ones\n",
                config->file);
        error = ERR_INVALID;
    }
    if (error != ERR_OK)
        return error;
    const struct {
        const char *key;
        uint64_t value_us, least_us;
    } durations[] = {{"idle", config->idle_us, SECOND_US},
                     {"attempt-timeout", config->attempt_us, 100 * MS_US},
                     {"keepalive", config->keepalive_us, SECOND_US},
                     {"rekey", config->rekey_us, SECOND_US}};
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        if (durations[i].value_us < durations[i].least_us) {
            fprintf(report, "%s: [host] %s: must be at least %llu ms\n", config->file,
                    durations[i].key, (unsigned long long)(durations[i].least_us / MS_US));
            return ERR_INVALID;
        }
    }
    return ERR_OK;
}

int host_config_load(const char *file, struct host_config *ret_config, FILE *report)
{
    char *text = NULL;
    size_t len = 0;
    int error = file_read(file, FILE_CAP, &text, &len);
    if (error != ERR_OK) {
        fprintf(report, "%s: cannot be read: %s%s\n", file, file_error_text(error),
                error == ERR_NOT_FOUND ? "; detec.conf(5) tells what belongs in it" : "");
        return ERR_INVALID;
    }
    struct host_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        free(text);
        return ERR_NOMEM;
    }
    set_defaults(config);
    if (strlen(file) >= sizeof(config->file)) {
        fprintf(report, "%s: path too long\n", file);
        error = ERR_INVALID;
    } else {
        strcpy(config->file, file);
        error = parse_all(text, file, config, report);
    }
    if (error == ERR_OK)
        error = check_whole(config, report);
    if (config->keepalive_us == UINT64_MAX)
        config->keepalive_us = 0;
    if (error == ERR_OK && config->is_proxy_automatic)
        take_environment(config, report);
    if (error == ERR_OK)
        *ret_config = *config;
    else
        plain_config_done(&config->plain);
    crypto_wipe(&config->proxy, sizeof(config->proxy));
    free(config);
    crypto_wipe(text, len);
    free(text);
    return error;
}

void host_config_done(struct host_config *config)
{
    plain_config_done(&config->plain);
    crypto_wipe(&config->proxy, sizeof(config->proxy));
}
