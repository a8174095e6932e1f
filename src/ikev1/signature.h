/* Main Mode with signatures (RFC 2409, 5.1; RFC 4754): which method a key stands for, our
 * certificates and signature in messages 5 and 6, and judging the peer's. */
#ifndef IKEV1_SIGNATURE_H
#define IKEV1_SIGNATURE_H

#include "ikev1/message.h"

/* enum isakmp_value of the method that the config proves itself by, ISAKMP_AUTH_PSK among them; 0:
 * there is none for its key. */
uint16_t ikev1_signature_method(const struct ikev1_config *config);
/* The HMAC of HASH_I and HASH_R: RFC 4754 fixes it for ECDSA, else it is the one negotiated. */
enum hash_algorithm ikev1_signature_hash(const struct ikev1_config *config,
                                         enum hash_algorithm negotiated);
/* Do our certificates and signature fit into one message? */
bool ikev1_signature_fits(const struct ikev1_config *config);

/* Appends CERTREQ payloads for the CAs of these profiles: messages 3 and 4. */
void ikev1_signature_ask(struct ikev1_profile *const *profiles, size_t count,
                         struct ike_builder *b);
/* Appends our certificates and the signature of HASH_I or HASH_R. */
MUST_USE int ikev1_signature_build(const struct ikev1_config *config, const uint8_t *hash,
                                   size_t hash_len, struct ike_builder *b);
/* Is it signed by whom the config expects, and does a certificate bind the identity that it gives?
 * now_s: seconds since 1970. ERR_AUTH: no; *ret_why then says what is wrong. */
MUST_USE int ikev1_signature_check(const struct ikev1_config *config,
                                   const struct ikev1_message *message, const struct isakmp_id *id,
                                   const uint8_t *hash, size_t hash_len, uint64_t now_s,
                                   const char **ret_why);

#endif
