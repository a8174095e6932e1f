/* Connectivity checks on the wire: STUN Binding with short-term credentials (RFC 8445, 7; RFC
 * 8489, 9.1). Builds them, and tells authentic ones. When to send them is left to punch. */
#ifndef PATH_CHECK_H
#define PATH_CHECK_H

#include "base/writer.h"
#include "wire/notify.h"
#include "wire/stun.h"

struct check_request {
    uint8_t id[STUN_TRANSACTION_LEN];
    bool is_controlling;
    bool use_candidate;
    uint64_t tie_breaker;
    uint32_t priority;
};

/* USERNAME "remote:local", integrity by the remote password. */
MUST_USE int check_build_request(struct writer *w, const struct check_request *request,
                                 const struct credentials *remote, const char *local_fragment);
/* Success, with the address that the request came from; integrity by our own password. */
MUST_USE int check_build_success(struct writer *w, const uint8_t id[STUN_TRANSACTION_LEN],
                                 const struct endpoint *from, const char *password);
/* unknown: for STUN_UNKNOWN_ATTRIBUTE. */
MUST_USE int check_build_error(struct writer *w, const uint8_t id[STUN_TRANSACTION_LEN],
                               uint16_t code, const uint16_t *unknown, size_t unknown_count,
                               const char *password);

/* "local:remote": 8 characters each. Is it a request for this fragment? */
bool check_is_for(const struct stun_message *message, const char *local_fragment);
#define CHECK_USERNAME_LEN (2 * CREDENTIALS_FRAGMENT_LEN + 1)
/* ERR_AUTH unless MESSAGE-INTEGRITY is there and right, and FINGERPRINT right where there is one.
 */
MUST_USE int check_verify(const void *data, const struct stun_message *message,
                          const char *password);

#endif
