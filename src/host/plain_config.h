/* [peer NAME] sections of detec.conf: hosts that speak plain IPsec and know nothing of connectors.
 * What is written there, checked as far as that goes without reading other files. */
#ifndef HOST_PLAIN_CONFIG_H
#define HOST_PLAIN_CONFIG_H

#include "base/address.h"
#include "base/config.h"
#include "base/text.h"
#include "host/plain_ts.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PLAIN_PEERS_MAX 32
/* NAME of [peer NAME] is known to this host as NAME.peer.detec.internal. */
#define PLAIN_ZONE      "peer.detec.internal"
#define PLAIN_LABEL_MAX 32
#define PLAIN_TEXT_CAP  192 /* a value is never longer: CONFIG_LINE_MAX */

enum plain_auth {
    PLAIN_AUTH_UNSET,
    PLAIN_AUTH_PSK,
    PLAIN_AUTH_PUBKEY,
    PLAIN_AUTH_CERT,
    PLAIN_AUTH_NULL
};
enum plain_mode { PLAIN_MODE_TUNNEL, PLAIN_MODE_TRANSPORT, PLAIN_MODE_BEET };
/* When keys are negotiated by ourselves: with the first packet or name, at once and for ever, or
 * not at all (it calls us). */
/* How we call it, and whether it may come by TCP (not with PLAIN_TRANSPORT_UDP): first by UDP, and
 * where that is not answered by TCP, or by one of them alone. */
enum plain_transport { PLAIN_TRANSPORT_UDP, PLAIN_TRANSPORT_AUTO, PLAIN_TRANSPORT_TCP };
enum plain_start { PLAIN_START_ON_DEMAND, PLAIN_START_ALWAYS, PLAIN_START_NEVER };

struct plain_config {
    unsigned line;                /* of its header */
    char name[NAME_TEXT_CAP];     /* in PLAIN_ZONE */
    char address[PLAIN_TEXT_CAP]; /* IP address or DNS name; empty: any, it calls us */
    uint16_t port;
    enum plain_transport transport;
    uint16_t tcp_port;
    char id[PLAIN_TEXT_CAP];       /* as written; empty: any */
    char local_id[PLAIN_TEXT_CAP]; /* empty: this host's name */
    enum plain_auth auth, local_auth;
    char psk[PLAIN_TEXT_CAP];      /* itself; empty: in psk_file */
    char psk_file[PLAIN_TEXT_CAP]; /* files: empty where not given */
    char key_file[PLAIN_TEXT_CAP];
    char cert_file[PLAIN_TEXT_CAP];
    char ca_file[PLAIN_TEXT_CAP];
    char peer_key_file[PLAIN_TEXT_CAP];
    enum plain_mode mode;
    struct plain_ts local_ts, remote_ts;
    char esp[PLAIN_TEXT_CAP]; /* lists as written; empty: the defaults */
    char ike[PLAIN_TEXT_CAP];
    enum plain_start start;
    uint16_t ike_version; /* 1 or 2 */
    uint64_t rekey_us;    /* 0: as [host] says */
    uint64_t dpd_us;
};

/* Of the whole file. Zeroed is right. */
struct plain_configs {
    unsigned line; /* of the header being read */
    struct plain_config *peers;
    uint32_t count;
};

/* The rows of [peer] in the table of keys, for a target at whose `offset` this struct is. They go
 * behind one another into ret_rows (PLAIN_CONFIG_ROWS of them). */
#define PLAIN_CONFIG_ROWS 23
void plain_config_rows(size_t offset, struct config_key ret_rows[PLAIN_CONFIG_ROWS]);

/* What can only be told once all is read. has_name: this host has a name that peers may know it by.
 * ERR_INVALID: told to report. */
MUST_USE int plain_config_check(const struct plain_configs *configs, const char *file,
                                bool has_name, const struct prefix *pool, FILE *report);
/* Tunnel form with more than one address of a family at either end: what remote-ts names is reached
 * by its own addresses, too. */
bool plain_config_has_network(const struct plain_config *config);
/* Wipes and frees. */
void plain_config_done(struct plain_configs *configs);

#endif
