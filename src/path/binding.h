/* The connector's half of STUN Binding (RFC 8489): a request in, an answer out, no state. Rate
 * limits by source are left to the owner. */
#ifndef PATH_BINDING_H
#define PATH_BINDING_H

#include "base/address.h"
#include "base/writer.h"

/* No answer is longer: a forged source gains at most some 30 bytes over its own request. */
#define BINDING_ANSWER_CAP 56

/* ERR_OK: send what was written back to `from`. Else drop: ERR_NOT_FOUND it is no STUN request,
 * ERR_INVALID or ERR_TRUNCATED malformed, ERR_UNSUPPORTED no Binding. A request with unknown
 * comprehension-required attributes is answered with error 420 (RFC 8489, 6.3.1). */
MUST_USE int binding_answer(const void *data, size_t len, const struct endpoint *from,
                            struct writer *w);

#endif
