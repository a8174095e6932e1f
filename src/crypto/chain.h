/* X.509 for IKE (RFC 4945, RFC 5280): our own chain, the CAs that we anchors, and judging a peer's
 * chain. No revocation lists. Files are read by the caller; so is the clock. */
#ifndef CRYPTO_CHAIN_H
#define CRYPTO_CHAIN_H

#include "crypto/signer.h"

#define CHAIN_MAX          5 /* certificates of one chain: the peer's own and 4 between it and a CA */
#define ANCHORS_MAX        16 /* CAs */
#define ANCHORS_HASHES_MAX (ANCHORS_MAX * SHA1_LEN)
#define DN_LEN_MAX         256 /* bytes of a distinguished name in DER */

/* Our own certificates, own first. */
struct chain;

/* Of a PEM file's "BEGIN CERTIFICATE" parts. ERR_INVALID: none, or malformed; ERR_LIMIT: too many.
 */
MUST_USE int chain_from_pem(const char *text, size_t len, struct chain **ret_chain);
/* NULL is fine. */
void chain_free(struct chain *chain);
size_t chain_count(const struct chain *chain);
const uint8_t *chain_der(const struct chain *chain, size_t index, size_t *ret_len);
/* Is the first one this key's? */
bool chain_fits(const struct chain *chain, const struct verifier *key);

/* CAs that we trust: nothing above them counts. */
struct anchors;

MUST_USE int anchors_from_pem(const char *text, size_t len, struct anchors **ret_anchors);
/* NULL is fine. */
void anchors_free(struct anchors *anchors);
/* SHA-1 of each CA's SubjectPublicKeyInfo, for CERTREQ (RFC 7296, 3.7). Returns the length. */
MUST_USE int anchors_hashes(const struct anchors *anchors, uint8_t ret_hashes[ANCHORS_HASHES_MAX]);

size_t anchors_count(const struct anchors *anchors);
/* The name of one CA in DER, as IKEv1's CERTREQ has it; borrowed. *ret_len 0: it is longer than
 * DN_LEN_MAX. */
const uint8_t *anchors_subject(const struct anchors *anchors, size_t index, size_t *ret_len);

/* A certificate that has been found good. */
struct certificate;

/* Judges a chain in DER, the peer's own certificate first, the others in any order. now_s: seconds
 * since 1970. ERR_AUTH: it leads to none of the CAs, is not good now, or is not for this use (key
 * usage and extended key usage, RFC 4945, 5.1.3; an absent one allows all). */
MUST_USE int anchors_check(const struct anchors *anchors, const struct piece *ders, size_t count,
                           uint64_t now_s, struct certificate **ret_certificate);
/* NULL is fine. */
void certificate_free(struct certificate *certificate);
/* Its key; borrowed. ERR_UNSUPPORTED for other algorithms and short RSA keys. */
MUST_USE int certificate_key(struct certificate *certificate, const struct verifier **ret_key);

/* Does it bind this name? DNS names without wildcards. */
enum certificate_name {
    CERTIFICATE_DNS,
    CERTIFICATE_MAIL,
    CERTIFICATE_ADDRESS,
    CERTIFICATE_SUBJECT
};
bool certificate_has_name(const struct certificate *certificate, enum certificate_name type,
                          const uint8_t *name, size_t len);
/* Does it bind an identity of IKE (RFC 4945, 3)? type: of the ID payload, whose numbers for single
 * names and addresses are the same in both versions (RFC 7296, 3.5; RFC 2407, 4.6.2.1). */
bool certificate_binds_id(const struct certificate *certificate, uint8_t type, const uint8_t *id,
                          size_t len);

/* Distinguished names. "CN=…, O=…", first the most significant part; ERR_INVALID: not one. Returns
 * the length. */
MUST_USE int dn_parse(const char *text, uint8_t ret_der[DN_LEN_MAX]);
/* Writes text of at most cap bytes, the end of a longer one left out. ERR_INVALID. */
MUST_USE int dn_format(const uint8_t *der, size_t len, char *ret_text, size_t cap);
/* Letters' case, spaces and encodings do not matter (RFC 5280, 7.1). */
bool dn_is_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

#endif
