/* The keys of [peer NAME]: their parsers, and what has to fit together. */
#include "host/plain_config.h"

#include "base/deadline.h"
#include "crypto/memory.h"
#include "host/plain_ikev1.h"
#include "host/plain_terms.h"
#include "names/pool_ipv6.h"
#include <stdlib.h>
#include <string.h>

#define PSK_LEN_MIN  8
#define IDENTITY_CAP 190

static struct plain_configs *configs_of(void *target, const struct config_key *key)
{
    return (struct plain_configs *)(void *)((char *)target + key->cap);
}

/* The section that is being read: its header came first, and was taken. */
static struct plain_config *current(void *target, const struct config_key *key)
{
    struct plain_configs *configs = configs_of(target, key);
    return &configs->peers[configs->count - 1];
}

static int parse_header(const char *value, void *target, const struct config_key *key)
{
    struct plain_configs *configs = configs_of(target, key);
    char text[NAME_TEXT_CAP], name[NAME_TEXT_CAP];
    if (strlen(value) > PLAIN_LABEL_MAX || strchr(value, '.') != NULL ||
        configs->count >= PLAIN_PEERS_MAX)
        return ERR_INVALID;
    snprintf(text, sizeof(text), "%s." PLAIN_ZONE, value);
    if (name_normalize(text, name) != ERR_OK)
        return ERR_INVALID;
    for (uint32_t i = 0; i < configs->count; i++) {
        if (strcmp(configs->peers[i].name, name) == 0)
            return ERR_EXISTS;
    }
    struct plain_config *peers = calloc(configs->count + 1, sizeof(*peers));
    if (peers == NULL)
        return ERR_NOMEM;
    if (configs->count > 0) {
        memcpy(peers, configs->peers, configs->count * sizeof(*peers));
        crypto_wipe(configs->peers, configs->count * sizeof(*peers));
    }
    free(configs->peers);
    configs->peers = peers;
    struct plain_config *peer = &peers[configs->count++];
    peer->line = configs->line;
    peer->port = IKE_PORT;
    peer->tcp_port = IKE_NAT_PORT;
    peer->ike_version = 2;
    strcpy(peer->name, name);
    return ERR_OK;
}

static int copy_text(const char *value, char text[PLAIN_TEXT_CAP])
{
    if (strlen(value) >= PLAIN_TEXT_CAP)
        return ERR_INVALID;
    strcpy(text, value);
    return ERR_OK;
}

/* A text or path as it is, at key->offset of the section. */
static int parse_text(const char *value, void *target, const struct config_key *key)
{
    return copy_text(value, (char *)current(target, key) + key->offset);
}

static int parse_address(const char *value, void *target, const struct config_key *key)
{
    struct plain_config *peer = current(target, key);
    struct address address;
    char name[NAME_TEXT_CAP];
    if (address_parse(value, &address) == ERR_OK) {
        if (address_is_unspecified(&address) || address_is_multicast(&address))
            return ERR_INVALID;
        return copy_text(value, peer->address);
    }
    return name_normalize(value, name) == ERR_OK ? copy_text(name, peer->address) : ERR_INVALID;
}

static int parse_word(const char *value, const char *const *words, size_t count,
                      unsigned *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (words[i] != NULL && strcmp(words[i], value) == 0) {
            *ret_index = (unsigned)i;
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

#define WORDS(list) list, sizeof(list) / sizeof(list[0])

static int parse_port(const char *value, void *target, const struct config_key *key)
{
    return config_parse_port(value, current(target, key), key);
}

static int parse_transport(const char *value, void *target, const struct config_key *key)
{
    static const char *const words[] = {
        [PLAIN_TRANSPORT_UDP] = "udp",
        [PLAIN_TRANSPORT_AUTO] = "auto",
        [PLAIN_TRANSPORT_TCP] = "tcp",
    };
    unsigned index;
    if (parse_word(value, WORDS(words), &index) != ERR_OK)
        return ERR_INVALID;
    current(target, key)->transport = (enum plain_transport)index;
    return ERR_OK;
}

static int parse_version(const char *value, void *target, const struct config_key *key)
{
    if (strcmp(value, "1") != 0 && strcmp(value, "2") != 0)
        return ERR_INVALID;
    current(target, key)->ike_version = (uint16_t)(value[0] - '0');
    return ERR_OK;
}

static int parse_duration(const char *value, void *target, const struct config_key *key)
{
    struct plain_config *peer = current(target, key);
    uint64_t us;
    if (duration_parse(value, &us) != ERR_OK || us < SECOND_US)
        return ERR_INVALID;
    memcpy((char *)peer + key->offset, &us, sizeof(us));
    return ERR_OK;
}

static int parse_identity(const char *value, void *target, const struct config_key *key)
{
    return strlen(value) < IDENTITY_CAP ? parse_text(value, target, key) : ERR_INVALID;
}

static int parse_auth(const char *value, void *target, const struct config_key *key)
{
    static const char *const words[] = {
        [PLAIN_AUTH_PSK] = "psk",
        [PLAIN_AUTH_PUBKEY] = "pubkey",
        [PLAIN_AUTH_CERT] = "cert",
        [PLAIN_AUTH_NULL] = "null",
    };
    struct plain_config *peer = current(target, key);
    unsigned index;
    if (parse_word(value, WORDS(words), &index) != ERR_OK)
        return ERR_INVALID;
    *(enum plain_auth *)(void *)((char *)peer + key->offset) = (enum plain_auth)index;
    return ERR_OK;
}

static int parse_mode(const char *value, void *target, const struct config_key *key)
{
    static const char *const words[] = {
        [PLAIN_MODE_TUNNEL] = "tunnel",
        [PLAIN_MODE_TRANSPORT] = "transport",
        [PLAIN_MODE_BEET] = "beet",
    };
    unsigned index;
    if (parse_word(value, WORDS(words), &index) != ERR_OK)
        return ERR_INVALID;
    current(target, key)->mode = (enum plain_mode)index;
    return ERR_OK;
}

static int parse_start(const char *value, void *target, const struct config_key *key)
{
    static const char *const words[] = {
        [PLAIN_START_ON_DEMAND] = "on-demand",
        [PLAIN_START_ALWAYS] = "always",
        [PLAIN_START_NEVER] = "never",
    };
    unsigned index;
    if (parse_word(value, WORDS(words), &index) != ERR_OK)
        return ERR_INVALID;
    current(target, key)->start = (enum plain_start)index;
    return ERR_OK;
}

/* "file:PATH", or the secret itself, in quotes or without. */
static int parse_psk(const char *value, void *target, const struct config_key *key)
{
    struct plain_config *peer = current(target, key);
    size_t len = strlen(value);
    if (strncmp(value, "file:", 5) == 0)
        return value[5] != '\0' ? copy_text(value + 5, peer->psk_file) : ERR_INVALID;
    if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
        value++;
        len -= 2;
    }
    if (len < PSK_LEN_MIN || len >= PLAIN_TEXT_CAP)
        return ERR_INVALID;
    memcpy(peer->psk, value, len);
    peer->psk[len] = '\0';
    return ERR_OK;
}

static int parse_ts(const char *value, void *target, const struct config_key *key)
{
    struct plain_config *peer = current(target, key);
    return plain_ts_parse(value, (struct plain_ts *)(void *)((char *)peer + key->offset));
}

static int parse_esp(const char *value, void *target, const struct config_key *key)
{
    enum suite suites[SUITE_COUNT];
    enum kex_group pfs;
    return plain_terms_esp(value, suites, &pfs) == ERR_OK ? parse_text(value, target, key)
                                                          : ERR_INVALID;
}

static int parse_ike(const char *value, void *target, const struct config_key *key)
{
    struct ike_config config;
    ike_config_init(&config, NULL);
    return plain_terms_ike(value, &config) == ERR_OK ? parse_text(value, target, key) : ERR_INVALID;
}

#define AT(member)  offsetof(struct plain_config, member)
#define IDENTITY    "an IP address, a host name, NAME@DOMAIN, keyid:HEX, or a distinguished name"
#define AUTH        "psk, pubkey, cert or null"
#define TS          "at most 8 addresses and, in mode tunnel, networks, such as 192.0.2.1, 10.9.0.0/16"
#define LONG_ENOUGH "a duration of at least one second, such as 90s, 10m or 1h"

static const struct config_key ROWS[] = {
    {"peer", NULL, parse_header, 0, 0,
     "[peer NAME], one label of at most 32 letters, digits and '-'; at most 32 peers", 0},
    {"peer", "address", parse_address, 0, 0, "an IP address or a DNS name", 0},
    {"peer", "port", parse_port, AT(port), 0, "a UDP port from 1 to 65535", 0},
    {"peer", "transport", parse_transport, 0, 0, "udp, auto or tcp", 0},
    {"peer", "tcp-port", parse_port, AT(tcp_port), 0, "a TCP port from 1 to 65535", 0},
    {"peer", "id", parse_identity, AT(id), 0, IDENTITY, 0},
    {"peer", "local-id", parse_identity, AT(local_id), 0, IDENTITY, 0},
    {"peer", "auth", parse_auth, AT(auth), 0, AUTH, 0},
    {"peer", "local-auth", parse_auth, AT(local_auth), 0, AUTH, 0},
    {"peer", "psk", parse_psk, 0, 0, "file:PATH, or a secret of at least 8 characters", 0,
     .is_secret = 1},
    {"peer", "key", parse_text, AT(key_file), 0, "a path", 0},
    {"peer", "cert", parse_text, AT(cert_file), 0, "a path", 0},
    {"peer", "ca", parse_text, AT(ca_file), 0, "a path", 0},
    {"peer", "peer-key", parse_text, AT(peer_key_file), 0, "a path", 0},
    {"peer", "mode", parse_mode, 0, 0, "tunnel, transport or beet", 0},
    {"peer", "local-ts", parse_ts, AT(local_ts), 0, TS, 0},
    {"peer", "remote-ts", parse_ts, AT(remote_ts), 0, TS, 0},
    {"peer", "esp", parse_esp, AT(esp), 0,
     "a list of " PLAIN_ESP_WORDS ", and perhaps a group, as in ike", 0},
    {"peer", "ike", parse_ike, AT(ike), 0, "a list of " PLAIN_IKE_WORDS, 0},
    {"peer", "ike-version", parse_version, 0, 0, "1 or 2", 0},
    {"peer", "start", parse_start, 0, 0, "on-demand, always or never", 0},
    {"peer", "rekey", parse_duration, AT(rekey_us), 0, LONG_ENOUGH, 0},
    {"peer", "dpd", parse_duration, AT(dpd_us), 0, LONG_ENOUGH, 0},
};
_Static_assert(sizeof(ROWS) / sizeof(ROWS[0]) == PLAIN_CONFIG_ROWS, "the header says so");

void plain_config_rows(size_t offset, struct config_key ret_rows[PLAIN_CONFIG_ROWS])
{
    memcpy(ret_rows, ROWS, sizeof(ROWS));
    for (size_t i = 0; i < PLAIN_CONFIG_ROWS; i++)
        ret_rows[i].cap = offset; /* of no use otherwise: these parsers know their members */
    ret_rows[0].offset = offset + offsetof(struct plain_configs, line);
}

static int complain(const struct plain_config *peer, const char *file, const char *what,
                    FILE *report)
{
    fprintf(report, "%s:%u: [peer %.*s] %s\n", file, peer->line, (int)strcspn(peer->name, "."),
            peer->name, what);
    return ERR_INVALID;
}

static int check_proof(const struct plain_config *peer, const char *file, FILE *report)
{
    const bool has_psk = peer->psk[0] != '\0' || peer->psk_file[0] != '\0';
    const enum plain_auth local =
        peer->local_auth != PLAIN_AUTH_UNSET ? peer->local_auth : peer->auth;
    if (peer->auth == PLAIN_AUTH_UNSET)
        return complain(peer, file, "auth: missing; allowed: " AUTH, report);
    if ((peer->auth == PLAIN_AUTH_PSK || local == PLAIN_AUTH_PSK) && !has_psk)
        return complain(peer, file, "psk: missing, as auth is psk", report);
    if (has_psk && peer->auth != PLAIN_AUTH_PSK && local != PLAIN_AUTH_PSK)
        return complain(peer, file, "psk: of no use, as auth is not psk", report);
    if (peer->auth == PLAIN_AUTH_PUBKEY && peer->peer_key_file[0] == '\0')
        return complain(peer, file, "peer-key: missing, as auth is pubkey", report);
    if (peer->auth == PLAIN_AUTH_CERT && peer->ca_file[0] == '\0')
        return complain(peer, file, "ca: missing, as auth is cert", report);
    if (peer->auth == PLAIN_AUTH_CERT && peer->id[0] == '\0')
        return complain(peer, file,
                        "id: missing; a CA certifies many, so with auth = cert it is needed",
                        report);
    if (local == PLAIN_AUTH_CERT && (peer->cert_file[0] == '\0' || peer->key_file[0] == '\0'))
        return complain(peer, file, "cert, key: missing, as our own proof is a certificate",
                        report);
    return ERR_OK;
}

bool plain_config_has_network(const struct plain_config *config)
{
    return config->mode == PLAIN_MODE_TUNNEL &&
           (plain_ts_is_wide(&config->local_ts) || plain_ts_is_wide(&config->remote_ts));
}

/* Networks behind the peer get routes of their own: they must not be where this host, or the way to
 * the peer, is, nor in another one. */
static int check_network(const struct plain_configs *configs, const struct plain_config *peer,
                         const struct prefix *network, const struct prefix *pool, const char *file,
                         FILE *report)
{
    const struct prefix twins = pool_ipv6_prefix();
    const struct plain_ts one = {.count = 1, .list = {*network}};
    struct address address;
    if (plain_ts_overlaps(&one, pool) || plain_ts_overlaps(&one, &twins))
        return complain(peer, file, "remote-ts: overlaps the pool", report);
    if (plain_ts_overlaps(&peer->local_ts, network))
        return complain(peer, file, "local-ts: overlaps remote-ts", report);
    if (address_parse(peer->address, &address) == ERR_OK && prefix_contains(network, &address))
        return complain(peer, file, "address: lies in remote-ts; no packet would get there",
                        report);
    for (const struct plain_config *other = configs->peers; other < peer; other++) {
        if (plain_config_has_network(other) && plain_ts_overlaps(&other->remote_ts, network))
            return complain(peer, file, "remote-ts: overlaps another peer's", report);
    }
    return ERR_OK;
}

static int check_ts(const struct plain_configs *configs, const struct plain_config *peer,
                    const struct prefix *pool, const char *file, FILE *report)
{
    const struct plain_ts *local = &peer->local_ts, *remote = &peer->remote_ts;
    int error = ERR_OK;
    if (peer->mode == PLAIN_MODE_TRANSPORT)
        return ERR_OK;
    if (local->count == 0 || remote->count == 0)
        return complain(peer, file, "local-ts, remote-ts: both are needed but in mode transport",
                        report);
    for (unsigned i = 0; i < 2; i++) {
        const enum address_family family = i == 0 ? ADDRESS_IPV4 : ADDRESS_IPV6;
        if (plain_ts_has_family(local, family) != plain_ts_has_family(remote, family))
            return complain(peer, file,
                            "local-ts, remote-ts: one has a family that the other lacks", report);
    }
    if (peer->mode == PLAIN_MODE_BEET && (local->count > 1 || remote->count > 1 ||
                                          plain_ts_is_wide(local) || plain_ts_is_wide(remote)))
        return complain(peer, file, "local-ts, remote-ts: in mode beet one address each", report);
    for (uint8_t i = 0; i < remote->count && error == ERR_OK && plain_config_has_network(peer); i++)
        error = check_network(configs, peer, &remote->list[i], pool, file, report);
    return error;
}

int plain_config_check(const struct plain_configs *configs, const char *file, bool has_name,
                       const struct prefix *pool, FILE *report)
{
    unsigned networks = 0;
    int result = ERR_OK;
    for (uint32_t i = 0; i < configs->count; i++) {
        const struct plain_config *peer = &configs->peers[i];
        int error = check_proof(peer, file, report);
        if (error == ERR_OK && peer->local_id[0] == '\0' && !has_name)
            error = complain(peer, file, "local-id: missing, as this host has no name =", report);
        if (error == ERR_OK && peer->ike_version == 1 && peer->transport != PLAIN_TRANSPORT_UDP)
            error = complain(peer, file, "transport: IKEv1 knows UDP alone", report);
        if (error == ERR_OK && peer->address[0] == '\0' && peer->start == PLAIN_START_ALWAYS)
            error = complain(peer, file, "address: missing, as start is always", report);
        if (error == ERR_OK)
            error = check_ts(configs, peer, pool, file, report);
        if (plain_config_has_network(peer))
            networks += peer->remote_ts.count;
        if (error == ERR_OK && networks > PLAIN_NETWORKS_MAX)
            error = complain(peer, file, "remote-ts: more than 32 networks in all", report);
        if (error == ERR_OK && peer->ike_version == 1)
            error = plain_ikev1_check(peer, file, report);
        if (error != ERR_OK)
            result = error;
    }
    return result;
}

void plain_config_done(struct plain_configs *configs)
{
    if (configs->peers != NULL)
        crypto_wipe(configs->peers, configs->count * sizeof(*configs->peers));
    free(configs->peers);
    *configs = (struct plain_configs){0};
}
