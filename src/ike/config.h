/* What an IKE SA is to be: who we are, whom we expect, which child we wish, and all times. A
 * filled-in config becomes an immutable, reference-counted profile that any number of SAs share. */
#ifndef IKE_CONFIG_H
#define IKE_CONFIG_H

#include "base/address.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/identity.h"
#include "crypto/kex.h"
#include "ike/credentials.h"
#include "ike/met.h"
#include "wire/selector.h"
#include "wire/suite.h"

/* Ciphers of the IKE SA itself: AEADs (RFC 5282, RFC 7634), and for peers that have none AES-CBC
 * with an HMAC (RFC 3602, RFC 4868). */
enum ike_cipher {
    IKE_CIPHER_NONE,
    IKE_CIPHER_AES256_GCM,
    IKE_CIPHER_AES128_GCM,
    IKE_CIPHER_CHACHA20_POLY1305,
    IKE_CIPHER_AES256_CBC,
    IKE_CIPHER_AES128_CBC,
};
#define IKE_CIPHER_COUNT 5
#define IKE_HASH_COUNT   3
#define IKE_OTHERS_MAX   4 /* addresses of a plain peer beside the one in use (RFC 4555) */

/* For ike_config.fragment_len: of IPv6's least path MTU what IPv6, UDP and the non-ESP marker
 * leave. */
#define IKE_FRAGMENT_LEN     (1280 - 40 - 8 - 4)
#define IKE_FRAGMENT_LEN_MIN 256
#define IKE_FRAGMENT_LEN_MAX 4000

/* ESP's sequence numbers of 64 bits (RFC 4303, 2.2.1). */
enum ike_esn_policy {
    IKE_ESN_POLICY_PREFER, /* offered first, short ones are taken */
    IKE_ESN_POLICY_NEVER,
    IKE_ESN_POLICY_ALWAYS,
};

/* The addresses that the packets of one side carry: `own` is that side's own address, `other` what
 * it calls the opposite side. They become TSi and TSr (RFC 7296, 2.9): each side's packets keep its
 * own view, and the receiver needs the sender's to correct checksums. ADDRESS_NONE where a family
 * is not used; own and other of a family go together. */
struct ike_addresses {
    struct address own_ipv4;
    struct address other_ipv4;
    struct address own_ipv6;
    struct address other_ipv6;
};

struct ike_tickets; /* ike/ticket.h */

struct ike_config {
    /* Who we are. Borrowed: must outlive every profile made from this. NULL only with peers, and
     * without takes_others. */
    const struct identity *identity;
    char id[NAME_TEXT_CAP]; /* ID_FQDN; empty: ID_KEY_ID of the public key */

    /* Whom we expect. Without a key, any is taken and reported (the owner decides). */
    bool has_expected_key;
    struct public_key expected_key;
    char expected_id[NAME_TEXT_CAP]; /* empty: any */

    /* Peers that are not Detec hosts: initiators have one, responders all that may call. With any,
     * the fields above serve only where takes_others says so. Borrowed, as identity is. */
    const struct ike_peer_entry *peers;
    size_t peer_count;
    bool takes_others; /* responders: Detec hosts too (the owner decides by their key) */

    /* The transport under it. */
    bool is_reliable; /* TCP (RFC 9329): no retransmission, cookies or NAT detection */
    /* UDP: messages longer than this go in fragments where the peer takes them (RFC 7383): bytes
     * of one, at least IKE_FRAGMENT_LEN_MIN; 0: never, and none are taken. */
    uint16_t fragment_len;
    /* UDP: the peer is made to see a NAT before us, so that it takes and sends ESP in UDP (RFC
     * 7296, 2.23; as others do). */
    bool forces_encapsulation;
    /* Initiators that begin on port 500: the peer's port that they go on with where there is a NAT
     * or encapsulation is forced, if the peer does NAT traversal; usually 4500. 0: none. */
    uint16_t nat_port;
    /* Says strongSwan's vendor ID, without which its BEET mode is not understood. */
    bool has_beet_vendor;
    /* Children may be rekeyed without a key exchange of their own, where the peer wants that. */
    bool is_pfs_optional;
    struct endpoint
        local; /* for NAT detection; ADDRESS_NONE or unspecified: shows as "behind NAT" */

    /* The IKE SA. */
    enum ike_cipher ciphers[IKE_CIPHER_COUNT]; /* in order of preference; IKE_CIPHER_NONE ends it */
    enum hash_algorithm prfs[IKE_HASH_COUNT];  /* likewise; HASH_NONE ends it */
    enum hash_algorithm integs[IKE_HASH_COUNT]; /* for AES-CBC; HASH_NONE ends it */
    /* Key exchange groups; the first one is tried first, and any other of them that the peer asks
     * for. KEX_NONE ends it. Children are rekeyed in the group of the IKE SA. */
    enum kex_group groups[KEX_GROUP_COUNT];
    bool is_initial_contact; /* we know of no other SA with this peer (2.4) */

    /* Resumption (RFC 5723), over a reliable transport. Responders give and take tickets with
     * these, initiators ask for one. */
    struct ike_tickets *tickets; /* borrowed, as identity is; NULL: none */
    bool wants_ticket;
    /* Initiators: notifies queued by then go with IKE_AUTH in a full handshake, too, before the
     * peer has proven itself (in a resumed one only the right peer can read them). */
    bool sends_early;

    /* Initiators that have met the peer (expected_key) before: the proof that IKE_SA_INIT carries.
     */
    bool has_met;
    struct ike_met met;
    uint64_t met_number; /* above that of every message before with the same proof */

    /* The child, of SPUT or ESP, in order of preference; none: childless (RFC 6023). */
    enum suite suites[SUITE_COUNT]; /* SUITE_NONE ends it */
    struct ike_addresses addresses; /* those our packets carry */
    /* Of ESP. Modes in order of preference: those before CHILD_TUNNEL are asked for, and what the
     * peer does not agree to is CHILD_TUNNEL (RFC 7296, 1.3.1). */
    enum child_mode esp_modes[CHILD_MODE_COUNT];
    uint8_t esp_mode_count;
    enum ike_esn_policy esn;
    bool has_esp_commands; /* offer, and understand, those of Detec hosts */
    /* What tunnel mode may carry. Empty: the addresses above alone. */
    struct selector_pair selectors;

    /* Times. */
    uint64_t retransmit_first_us; /* until the round-trip time is known; then RFC 6298 style */
    uint64_t retransmit_min_us;
    uint32_t retransmit_factor_percent;
    uint64_t establish_timeout_us; /* initiator: from the first message to the SA */
    uint64_t half_open_timeout_us; /* responder: likewise */
    uint64_t request_timeout_us;   /* later requests unanswered this long: the peer is dead */
    uint64_t close_timeout_us;     /* wait for the answer to our DELETE */
    uint64_t dpd_interval_us; /* nothing authentic heard for so long: ask; 0: never by itself */
    uint64_t rekey_ike_us;    /* soft; 0: never by itself. Up to rekey_jitter_percent earlier */
    uint64_t rekey_child_us;
    uint32_t rekey_jitter_percent;
    /* Of rekey_*_us (at least 100), past which an SA not rekeyed is closed; never sooner than
     * request_timeout_us past rekey_*_us. */
    uint32_t hard_percent;
    uint64_t rekey_retry_us; /* after TEMPORARY_FAILURE; half to one and a half of it */
    uint64_t linger_us;      /* a replaced child stays readable so long after its DELETE */
};

/* Defaults for everything but the identity: childless, over UDP, any peer. */
void ike_config_init(struct ike_config *config, const struct identity *identity);

struct ike_profile;

/* Copies config (the identity stays borrowed). ERR_INVALID if it makes no sense: no identity, a
 * suite or cipher unknown or listed twice, a child without addresses, a time of zero where none is
 * allowed. */
MUST_USE int ike_profile_new(const struct ike_config *config, struct ike_profile **ret_profile);
/* Drops the caller's reference; SAs hold their own. NULL is fine. */
void ike_profile_free(struct ike_profile *profile);
const struct ike_config *ike_profile_config(const struct ike_profile *profile);

#endif
