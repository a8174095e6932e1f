/* The private Notify payloads between a host and a connector (docs/protocol.md, Private Notify
 * payloads): bytes <-> structs. Who may send what, and what follows from it, is left to login. */
#ifndef WIRE_NOTIFY_H
#define WIRE_NOTIFY_H

#include "base/address.h"
#include "base/text.h"
#include "base/writer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Notify Message Types: status types of the private range (RFC 7296, 3.10.1). */
enum notify_type {
    NOTIFY_LOGIN = 56800,
    NOTIFY_NAME = 56801,
    NOTIFY_CALL = 56802,
    NOTIFY_ANSWER = 56803,
    NOTIFY_RELAY = 56804,
    NOTIFY_LOOKUP = 56805,
    NOTIFY_KEY = 56806,
    NOTIFY_VOUCH = 56807,
    NOTIFY_VOUCHER = 56808,
    NOTIFY_MET = 56816, /* between hosts, of ike/met.h */
};

#define NOTIFY_VERSION     1
#define NOTIFY_LEN_MAX     1664 /* no notification data is longer */
#define NOTIFY_IKE_MAX     700  /* the IKE messages that a call or its answer carries, together */
#define NOTIFY_ADDRESS_MAX 8    /* local addresses in LOGIN */
#define NOTIFY_KEY_LEN     32   /* raw Ed25519 public key */
#define NOTIFY_MAC_LEN     6
#define NOTIFY_SIGN_LEN    64  /* Ed25519 signature */
#define NOTIFY_TEXT_CAP    256 /* text8 and its NUL */

/* The same limit everywhere: what one host may make another one probe. */
#define CANDIDATE_MAX 8

enum candidate_type {
    CANDIDATE_HOST = 1,      /* an address of the host itself */
    CANDIDATE_REFLEXIVE = 2, /* as a connector saw it */
    CANDIDATE_MAPPED = 3,    /* a port mapping that the host's NAT granted */
    CANDIDATE_PEER = 4,      /* peer-reflexive: learnt from a check, never on the wire */
};

struct candidate {
    uint8_t type; /* enum candidate_type */
    struct endpoint endpoint;
    /* The connector itself sees that host at this address: only there may bursts go. Set by the
     * connector alone. */
    bool is_observed;
};

/* How a host's NAT gives out ports, where a connection to another destination gets another one. */
enum port_pattern_kind {
    PORT_PATTERN_NONE = 0,       /* one port for all destinations, or not known */
    PORT_PATTERN_SEQUENTIAL = 1, /* the next is `step` after the one before */
    PORT_PATTERN_RANDOM = 2,
};

#define PORT_PATTERN_STEP_MAX 64

struct port_pattern {
    uint8_t kind;       /* enum port_pattern_kind */
    bool is_by_address; /* another address gets another port, another port of it does not */
    uint16_t last;      /* SEQUENTIAL: given out last, as far as known; never 0 */
    int16_t step;       /* SEQUENTIAL: never 0, at most PORT_PATTERN_STEP_MAX either way */
};

#define CANDIDATE_PROOF_MAX 32 /* bytes */

struct candidate_list {
    struct candidate items[CANDIDATE_MAX];
    size_t count;
    struct port_pattern pattern;
    /* For the connector alone, that it has seen the host at one of these; 0: none. */
    uint8_t proof_len;
    uint8_t proof[CANDIDATE_PROOF_MAX];
};

/* Short-term credentials of one side of one call (RFC 8445, 5.3): secret towards everyone but the
 * two hosts and the connector. NUL-terminated, of [A-Za-z0-9+/]. */
#define CREDENTIALS_FRAGMENT_LEN 8
#define CREDENTIALS_PASSWORD_LEN 24
struct credentials {
    char fragment[CREDENTIALS_FRAGMENT_LEN + 1];
    char password[CREDENTIALS_PASSWORD_LEN + 1];
};

/* IKE messages between the two hosts, of meaning to them alone. Length 0: none. */
struct notify_ike {
    uint16_t len; /* of a new SA */
    uint8_t data[NOTIFY_IKE_MAX];
    uint16_t wake_len; /* of an SA at rest */
    uint8_t wake[NOTIFY_IKE_MAX];
};

/* Names are canonical (base/text.h) or "". */
struct notify_login {
    bool has_mac;
    bool is_guest;    /* no name wanted, only calls */
    uint16_t lease_s; /* wanted; 0: whatever the connector gives */
    uint8_t mac[NOTIFY_MAC_LEN];
    char name[NAME_TEXT_CAP]; /* wanted; "": whatever the key has */
    uint16_t port;            /* of the tunnel socket */
    size_t address_count;
    struct address addresses[NOTIFY_ADDRESS_MAX];
};

enum name_result {
    NAME_OK = 0,
    NAME_KEY_UNKNOWN = 1, /* strict */
    NAME_OF_ANOTHER_KEY = 2,
    NAME_MAC_DIFFERS = 3,
    NAME_NO_DYNAMIC = 4,
    NAME_TOO_MANY_HOSTS = 5,
    NAME_REPLACED = 6,  /* by a newer login of the same key */
    NAME_GUEST = 7,     /* accepted, without a name */
    NAME_TOO_OFTEN = 8, /* logins of this key chase each other */
};

struct notify_name {
    uint8_t result; /* enum name_result; values above the known ones are refusals too */
    bool is_static;
    uint16_t lease_s;
    char name[NAME_TEXT_CAP]; /* given */
    char zone[NAME_TEXT_CAP];
    uint16_t stun_port;
    char reason[NOTIFY_TEXT_CAP]; /* printable ASCII */
};

/* A connector's word, signed, that a name of its zone has a key; which ones, is known from
 * elsewhere (login/voucher.h). */
struct notify_voucher {
    uint64_t expires_s; /* seconds since 1970 */
    uint8_t signature[NOTIFY_SIGN_LEN];
};

struct notify_call {
    bool wants_relay;
    bool is_vouched; /* caller's name vouched for by this connector */
    bool is_static;  /* that name is static */
    uint64_t number;
    char called[NAME_TEXT_CAP]; /* never empty */
    char caller[NAME_TEXT_CAP]; /* claimed, unless is_vouched */
    uint8_t caller_key[NOTIFY_KEY_LEN];
    struct credentials credentials;
    struct candidate_list candidates;
    struct notify_ike ike; /* the caller's first one */
    bool has_voucher;      /* of the caller's zone, for caller and caller_key */
    struct notify_voucher voucher;
};

enum answer_result {
    ANSWER_ACCEPTED = 0,
    ANSWER_RATE_LIMIT = 1,
    ANSWER_BUSY = 2,
};

/* Why no relay channel follows an ANSWER. Values above the known ones are refusals too. */
enum answer_relay {
    ANSWER_RELAY_UNSAID = 0,  /* one may */
    ANSWER_RELAY_REFUSED = 1, /* the called host wants none */
    ANSWER_RELAY_OFF = 2,     /* the connector relays nothing */
};

struct notify_answer {
    uint8_t result; /* enum answer_result; other values are refusals too */
    uint64_t number;
    uint8_t called_key[NOTIFY_KEY_LEN];
    struct credentials credentials;   /* empty strings when refused */
    struct candidate_list candidates; /* empty when refused */
    char reason[NOTIFY_TEXT_CAP];
    struct notify_ike ike; /* the answer to the call's; none when refused */
    uint8_t relay;         /* enum answer_relay */
};

/* A channel for a call, or its end. Datagrams travel as frames of the same TCP stream (RFC 9329)
 * with the channel number in place of the SPI. */
struct notify_relay {
    bool is_closed;   /* the channel is no more; the limits are 0 */
    uint64_t number;  /* of the call, as its receiver knows it */
    uint32_t channel; /* never 0 */
    uint32_t rate;    /* bytes a second that the receiver may send through the relay */
    uint16_t len_max; /* of one datagram */
};

struct notify_lookup {
    uint64_t number;
    char name[NAME_TEXT_CAP]; /* never empty */
};

struct notify_key {
    uint64_t number;
    bool is_known;
    bool is_static;
    uint8_t key[NOTIFY_KEY_LEN]; /* zero when unknown */
};

/* VOUCHER: the answer to VOUCH, for the name and key of the session that asks. */
struct notify_vouched {
    uint16_t left_s; /* how long it is good for; never 0 */
    struct notify_voucher voucher;
};

/* Parsers take the notification data (version byte first) and leave ret alone on failure.
 * ERR_TRUNCATED or ERR_INVALID: ignore and count. ERR_UNSUPPORTED: another version, ignore. */
MUST_USE int notify_parse_login(const void *data, size_t len, struct notify_login *ret_login);
MUST_USE int notify_parse_name(const void *data, size_t len, struct notify_name *ret_name);
MUST_USE int notify_parse_call(const void *data, size_t len, struct notify_call *ret_call);
MUST_USE int notify_parse_answer(const void *data, size_t len, struct notify_answer *ret_answer);
MUST_USE int notify_parse_relay(const void *data, size_t len, struct notify_relay *ret_relay);
MUST_USE int notify_parse_lookup(const void *data, size_t len, struct notify_lookup *ret_lookup);
MUST_USE int notify_parse_key(const void *data, size_t len, struct notify_key *ret_key);
/* VOUCH says nothing but that it is one. */
MUST_USE int notify_parse_vouch(const void *data, size_t len);
MUST_USE int notify_parse_vouched(const void *data, size_t len, struct notify_vouched *ret_vouched);

/* Builders write the notification data. The writer fails with ERR_FULL without room, and with
 * ERR_INVALID for a struct that no parser would take. */
void notify_build_login(struct writer *w, const struct notify_login *login);
void notify_build_name(struct writer *w, const struct notify_name *name);
void notify_build_call(struct writer *w, const struct notify_call *call);
void notify_build_answer(struct writer *w, const struct notify_answer *answer);
void notify_build_relay(struct writer *w, const struct notify_relay *relay);
void notify_build_lookup(struct writer *w, const struct notify_lookup *lookup);
void notify_build_key(struct writer *w, const struct notify_key *key);
void notify_build_vouch(struct writer *w);
void notify_build_vouched(struct writer *w, const struct notify_vouched *vouched);
/* The voucher alone, as CALL and VOUCHER hold it: NOTIFY_VOUCHER_LEN bytes. */
#define NOTIFY_VOUCHER_LEN (8 + NOTIFY_SIGN_LEN)
struct reader;
void notify_read_voucher(struct reader *r, struct notify_voucher *ret_voucher);
void notify_write_voucher(struct writer *w, const struct notify_voucher *voucher);

/* May this be probed? Not loopback, multicast, broadcast, reserved, unspecified, link-local (its
 * scope is lost on the way), ORCHID, port 0, or within pool (NULL: none). */
bool candidate_is_acceptable(const struct candidate *candidate, const struct prefix *pool);
/* Takes out what isn't acceptable and what is there twice; keeps the order. */
void candidate_list_sanitize(struct candidate_list *list, const struct prefix *pool);
/* The connector's: marks the candidates at this address, where it sees their host, and no others.
 * NULL: it sees it nowhere. */
void candidate_list_observe(struct candidate_list *list, const struct address *address);
/* Marks those at this address, too. */
void candidate_list_observe_also(struct candidate_list *list, const struct address *address);
bool port_pattern_is_valid(const struct port_pattern *pattern);
/* Two well-formed strings of the right lengths and alphabet? */
bool credentials_are_valid(const struct credentials *credentials);

#endif
