/* What is proven to a peer that is not a Detec host, and what is accepted of it: typed names, keys
 * of any kind, certificates, a shared secret, or nothing at all. All that is pointed to is
 * borrowed, and must outlive every profile and SA that uses it. */
#ifndef IKE_CREDENTIALS_H
#define IKE_CREDENTIALS_H

#include "crypto/chain.h"
#include "wire/ike_payload.h"

#define IKE_NAME_LEN_MAX  256
#define IKE_NAME_TEXT_CAP 600

/* An identity as ID payloads hold it. All zero: none, or any. */
struct ike_name {
    uint8_t type; /* enum ike_id_type; 0: none, or any */
    uint16_t len;
    uint8_t bytes[IKE_NAME_LEN_MAX];
};

/* By its form: "192.0.2.1", "2001:db8::1", "user@example.net", "vpn.example.net" or
 * "@vpn.example.net" (FQDN whatever it looks like), "CN=gate, O=Example", "keyid:6f666669". "*":
 * any. ERR_INVALID. */
MUST_USE int ike_name_parse(const char *text, struct ike_name *ret_name);
/* The same for people, and into logs: nothing but printable ASCII. Writes into text, returns it. */
const char *ike_name_format(const struct ike_name *name, char text[IKE_NAME_TEXT_CAP]);
/* By the rules of its type; of type 0 none is equal to any. */
bool ike_name_is_equal(const struct ike_name *a, const struct ike_name *b);

/* Ways to prove an identity; sets of them are sums. */
enum ike_proof {
    IKE_PROOF_KEY = 1,  /* a raw public key that the other side has (RFC 7670, or preloaded) */
    IKE_PROOF_CERT = 2, /* X.509 */
    IKE_PROOF_PSK = 4,  /* a shared secret (RFC 7296, 2.15) */
    IKE_PROOF_NULL = 8, /* nobody proves anything (RFC 7619): safe against listeners alone */
};

/* Ours. */
struct ike_credentials {
    enum ike_proof proof;
    struct ike_name name;        /* ID_NULL with IKE_PROOF_NULL where there is none */
    const struct signer *signer; /* IKE_PROOF_KEY, IKE_PROOF_CERT */
    const struct chain *chain;   /* IKE_PROOF_CERT */
    const uint8_t *psk;          /* IKE_PROOF_PSK */
    size_t psk_len;
};

#define IKE_KEYS_MAX 4

/* The peer's. */
struct ike_expected {
    unsigned proofs; /* any one of them is enough */
    struct ike_name
        name; /* type 0: any that is proven; with a key or a secret that is any at all */
    const struct verifier *keys[IKE_KEYS_MAX]; /* IKE_PROOF_KEY: any one; NULL ends it */
    const struct anchors *anchors;             /* IKE_PROOF_CERT; the certificate binds the name */
    const uint8_t *psk;                        /* IKE_PROOF_PSK */
    size_t psk_len;
};

struct ike_profile;

/* One peer that the owner has configured. */
struct ike_peer_entry {
    struct ike_credentials own;
    struct ike_expected expected;
    struct ike_profile *profile; /* that an SA goes on with once this peer has proven itself; NULL:
                                    with the one that it began with */
    bool lacks_streams;          /* may not call over TCP (RFC 9329) */
    void *user;                  /* the owner's */
};

/* ERR_INVALID where something is missing: no key for a signature, a chain that is another key's, an
 * empty secret, nothing that is accepted. */
MUST_USE int ike_peer_entry_check(const struct ike_peer_entry *entry);

#endif
