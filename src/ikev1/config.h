/* What an IKEv1 SA is to be: who we are, whom we expect, which child we wish, and all times. A
 * filled-in config becomes an immutable, reference-counted profile that any number of SAs share.
 * IKEv1 (RFC 2409) is here for old peers alone: Main Mode and Quick Mode, AES and SHA-2, and always
 * ESP in UDP (RFC 3947, RFC 3948). */
#ifndef IKEV1_CONFIG_H
#define IKEV1_CONFIG_H

#include "base/address.h"
#include "crypto/chain.h"
#include "crypto/kex.h"
#include "wire/isakmp.h"
#include "wire/suite.h"

#define IKEV1_ID_CAP        256
#define IKEV1_PSK_CAP       256
#define IKEV1_PROPOSALS_MAX 32
#define IKEV1_SUITES_MAX    8

/* An identity as ID payloads have it. */
struct ikev1_id {
    uint8_t type; /* enum isakmp_id_type; 0: none, or any */
    uint16_t len;
    uint8_t bytes[IKEV1_ID_CAP];
};

/* What protects phase 1: AES-CBC, HMAC of a SHA-2 hash, a group. */
struct ikev1_proposal {
    uint8_t key_len; /* of AES: 16 or 32; 0 ends the list */
    enum hash_algorithm hash;
    enum kex_group group;
};

/* Which packets a child is for. */
struct ikev1_selectors {
    struct prefix local;
    struct prefix remote;
    uint8_t protocol; /* 0: any */
    uint16_t local_port, remote_port;
};

/* The addresses that the packets of one side carry in transport form, and that their checksums are
 * made with: `own` that side's, `other` what it calls the opposite one (NAT-OA, RFC 3947, 5.2). */
struct ikev1_addresses {
    struct address own;
    struct address other;
};

struct ikev1_config {
    /* Who we are and whom we expect. */
    struct ikev1_id id;
    struct ikev1_id peer_id; /* type 0: any; not where a certificate is to prove it */
    /* Both prove it by a shared key … */
    uint8_t psk[IKEV1_PSK_CAP];
    size_t psk_len;
    /* … or both by signatures (RFC 2409, 5.1), with keys of one kind, RSA or ECDSA on the same
     * curve, as what is offered names it. Borrowed: they outlive the profile and its SAs. */
    const struct signer *signer;     /* NULL: by a shared key */
    const struct chain *chain;       /* our certificates; NULL: the peer has our key */
    const struct verifier *peer_key; /* the peer's key: no certificate counts; or */
    const struct anchors *anchors;   /* who certifies the peer */

    struct endpoint local; /* of the socket that Main Mode starts from; for NAT detection */
    /* Where Main Mode floats to once NAT traversal is agreed on (RFC 3947, 4), when it began on
     * port 500: the peer's port, and which of our sockets reaches it. */
    uint16_t nat_port;
    uint16_t nat_socket;
    bool is_initial_contact; /* we know of no other SA with this peer */

    /* In order of preference. */
    struct ikev1_proposal proposals[IKEV1_PROPOSALS_MAX];
    enum suite suites[IKEV1_SUITES_MAX]; /* ESP ones; SUITE_NONE ends them */
    /* For Quick Mode: offered; a peer may choose another. KEX_NONE: none, unless the peer wants
     * one. */
    enum kex_group pfs;

    enum child_mode mode;             /* CHILD_TRANSPORT or CHILD_TUNNEL */
    struct ikev1_selectors selectors; /* tunnel form: the child's. As responder, any part of it */
    struct ikev1_addresses addresses; /* transport form: those our packets carry */

    /* Times. */
    uint64_t retransmit_first_us;
    uint32_t retransmit_factor_percent;
    uint64_t establish_timeout_us; /* initiator: from the first message to the SA */
    uint64_t half_open_timeout_us; /* responder: likewise */
    uint64_t request_timeout_us;   /* Quick Mode, or liveness, unanswered for so long */
    uint64_t dpd_interval_us;      /* nothing heard for so long: ask; 0: never */
    uint64_t rekey_us;             /* of phase 1, soft */
    uint64_t rekey_child_us;
    uint32_t rekey_jitter_percent;
    uint32_t hard_percent; /* of the soft times: the end */
    uint64_t linger_us;    /* a replaced child or phase 1 is deleted so long afterwards */
};

/* Defaults for everything but identities and key: tunnel form of nothing, over port 4500. */
void ikev1_config_init(struct ikev1_config *config);

struct ikev1_profile;

/* Copies config. ERR_INVALID if it makes no sense: no identity, no key, keys of different kinds or
 * one that IKEv1 has no method for, a proposal or suite that this engine does not do, a time of
 * zero where none is allowed, certificates that do not fit into a message. */
MUST_USE int ikev1_profile_new(const struct ikev1_config *config,
                               struct ikev1_profile **ret_profile);
/* Drops the caller's reference; SAs hold their own. Wipes with the last one. NULL is fine. */
void ikev1_profile_free(struct ikev1_profile *profile);
/* What of our own proof IKEv1 cannot do, in words; NULL: nothing. Of a config without shared key.
 */
const char *ikev1_config_check_keys(const struct ikev1_config *config);
const struct ikev1_config *ikev1_profile_config(const struct ikev1_profile *profile);

/* Alike, the case of names aside. */
bool ikev1_id_is_equal(const struct ikev1_id *a, const struct ikev1_id *b);
/* For people: the name or address, "keyid:…" in hexadecimal. Writes into text and returns it. */
#define IKEV1_ID_TEXT_CAP 280
const char *ikev1_id_format(const struct ikev1_id *id, char *text, size_t cap);

#endif
