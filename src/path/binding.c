/* STUN Binding, the server's half. */
#include "path/binding.h"

#include "wire/stun.h"

/* Plain clients send at most a SOFTWARE attribute and padding; longer ones cost time only. */
#define REQUEST_LEN_MAX 548 /* RFC 8489, 6.1: below the smallest MTU */

int binding_answer(const void *data, size_t len, const struct endpoint *from, struct writer *w)
{
    struct stun_message request;
    if (len > REQUEST_LEN_MAX)
        return ERR_INVALID;
    const int error = stun_parse(data, len, &request);
    if (error != ERR_OK)
        return error;
    if (request.class != STUN_REQUEST)
        return ERR_NOT_FOUND;
    if (request.method != STUN_BINDING)
        return ERR_UNSUPPORTED;
    if (request.has_fingerprint && !request.is_fingerprint_right)
        return ERR_INVALID;

    if (request.unknown_count > 0) {
        const size_t count =
            request.unknown_count < STUN_UNKNOWN_MAX ? request.unknown_count : STUN_UNKNOWN_MAX;
        stun_build_begin(w, STUN_ERROR, STUN_BINDING, request.transaction_id);
        stun_build_error(w, STUN_UNKNOWN_ATTRIBUTE, "");
        stun_build_unknown(w, request.unknown, count);
    } else {
        stun_build_begin(w, STUN_SUCCESS, STUN_BINDING, request.transaction_id);
        stun_build_xor_mapped(w, from);
    }
    if (request.has_fingerprint)
        stun_build_fingerprint(w);
    return stun_build_end(w);
}
