/* What a [peer] says of suites: words to the terms of ike/config.h. */
#ifndef HOST_PLAIN_TERMS_H
#define HOST_PLAIN_TERMS_H

#include "base/error.h"
#include "ike/config.h"

#define PLAIN_ESP_WORDS                                                                            \
    "aes128-gcm, aes256-gcm, chacha20-poly1305, aes128-cbc-sha256, aes256-cbc-sha256, "            \
    "aes128-ctr-sha256, aes256-ctr-sha256"
#define PLAIN_IKE_WORDS                                                                            \
    "aes256-gcm, aes128-gcm, chacha20-poly1305, aes256-cbc, aes128-cbc, sha256, sha384, sha512, "  \
    "x25519, ecp256, ecp384, modp3072, modp2048"

/* A list of PLAIN_ESP_WORDS, most wanted first; none of them: all. One of the groups of
 * PLAIN_IKE_WORDS may be among them: children then have a key exchange of their own; else *ret_pfs
 * is KEX_NONE. ERR_INVALID: an unknown word, one twice, or a list of none. */
MUST_USE int plain_terms_esp(const char *text, enum suite ret_suites[SUITE_COUNT],
                             enum kex_group *ret_pfs);
/* Does a list of PLAIN_IKE_WORDS name a group? */
bool plain_terms_has_group(const char *text);
/* A list of PLAIN_IKE_WORDS into config: ciphers, hashes (of the PRF, and of integrity with CBC)
 * and groups, each kind most wanted first; kinds not named get what "" gives all of them. */
MUST_USE int plain_terms_ike(const char *text, struct ike_config *config);

#endif
