/* detec.conf: every key that detecd knows, its default and its meaning for the program. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include "base/address.h"
#include "base/text.h"
#include "crypto/identity.h"
#include "host/plain_config.h"
#include "ike/config.h"
#include "wire/http_connect.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define HOST_PATH_CAP      256
#define HOST_RULES_MAX     64
#define HOST_RULE_CAP      320
#define HOST_INTERFACE_CAP 16 /* IFNAMSIZ */
#define HOST_THREADS_MAX   8  /* of the data path */

/* Through the connector: where nothing else opens; never; always, for tests and for the shy. */
enum relay_mode { RELAY_MODE_YES, RELAY_MODE_NO, RELAY_MODE_ALWAYS };

/* ESP in the kernel: where it can; the same, but not to start where it cannot; or not at all. */
enum esp_offload { ESP_OFFLOAD_AUTO, ESP_OFFLOAD_KERNEL, ESP_OFFLOAD_OFF };

enum dns_mode { DNS_MODE_CAPTURE, DNS_MODE_OFF };

/* A key given by the configuration: of a host, or of a zone's connector. */
struct host_pin {
    char name[NAME_TEXT_CAP];
    struct public_key key;
};

struct host_config {
    char file[HOST_PATH_CAP]; /* where it was read from */

    char name[NAME_TEXT_CAP]; /* static name wanted; empty: a dynamic one */
    char zone[NAME_TEXT_CAP]; /* own zone; from name when not given */
    char key_file[HOST_PATH_CAP];
    struct endpoint connector; /* port 0: found through DNS */
    bool has_connector_key;
    struct public_key connector_key;
    bool is_proxy_automatic; /* from the environment */
    bool has_proxy;
    struct http_proxy proxy; /* to the connectors, where nothing else leads there */
    uint16_t port;
    struct prefix pool;
    enum dns_mode dns;
    enum relay_mode relay;
    bool has_port_mapping; /* asked of the gateway */
    bool has_birthday;     /* many sockets and probes where a NAT's ports are random */
    uint64_t idle_us;
    uint64_t attempt_us;   /* one of three attempts of a call */
    uint64_t lease_us;     /* wanted from the connector; 0: the connector's choice */
    uint64_t keepalive_us; /* NAT keepalive of idle tunnels, at the most; 0: as is needed */
    uint64_t rekey_us;     /* of IKE and child SAs */
    char state[HOST_PATH_CAP];
    char socket[HOST_PATH_CAP];
    char interface[HOST_INTERFACE_CAP]; /* of the TUN device */
    uint16_t mtu;                       /* of the outer path, from the host on */
    bool has_tun_offload;               /* super-packets from and to the kernel, */
    bool has_udp_offload;               /* and super-datagrams: as far as it has them */
    unsigned threads;                   /* of the data path; 0: as suits the machine */
    enum esp_offload esp_offload;
    enum suite suites[SUITE_COUNT]; /* most wanted first */
    uint32_t suite_count;
    bool has_mac;
    uint8_t mac[6];
    int log_level; /* enum log_level */

    int accept; /* enum trust_level that is enough */
    struct host_pin pins[HOST_RULES_MAX];
    uint32_t pin_count;
    struct host_pin connector_pins[HOST_RULES_MAX]; /* name is the zone */
    uint32_t connector_pin_count;
    char private_zones[HOST_RULES_MAX]
                      [NAME_TEXT_CAP]; /* whose connectors may have private addresses */
    uint32_t private_zone_count;

    char allow[HOST_RULES_MAX][HOST_RULE_CAP]; /* rules as written (names/allow.h) */
    uint32_t allow_count;

    uint16_t ike_port, ike_nat_port, ike_tcp_port; /* for plain IPsec peers */
    struct plain_configs plain;
};

/* Reads and checks file. Problems go to `report`, one line each. ERR_INVALID if there was any; then
 * there is nothing to free. */
MUST_USE int host_config_load(const char *file, struct host_config *ret_config, FILE *report);
/* Wipes and frees what it points to; copies of the struct share that. */
void host_config_done(struct host_config *config);

#endif
