/* Connectivity checks: STUN and its HMAC put together. */
#include "path/check.h"

#include "crypto/hash.h"
#include "crypto/memory.h"
#include <string.h>

static int seal(struct writer *w, const char *password)
{
    const uint8_t *region;
    size_t len;
    uint8_t mac[SHA1_LEN];
    int error = stun_build_integrity_prepare(w, &region, &len);
    if (error != ERR_OK)
        return error;
    const struct piece piece = {region, len};
    error = hmac_sha1(password, strlen(password), &piece, 1, mac);
    if (error != ERR_OK)
        return error;
    stun_build_integrity_finish(w, mac);
    stun_build_fingerprint(w);
    return stun_build_end(w);
}

int check_build_request(struct writer *w, const struct check_request *request,
                        const struct credentials *remote, const char *local_fragment)
{
    char username[CHECK_USERNAME_LEN];
    memcpy(username, remote->fragment, CREDENTIALS_FRAGMENT_LEN);
    username[CREDENTIALS_FRAGMENT_LEN] = ':';
    memcpy(username + CREDENTIALS_FRAGMENT_LEN + 1, local_fragment, CREDENTIALS_FRAGMENT_LEN);
    stun_build_begin(w, STUN_REQUEST, STUN_BINDING, request->id);
    stun_build_username(w, username, sizeof username);
    stun_build_priority(w, request->priority);
    if (request->is_controlling)
        stun_build_ice_controlling(w, request->tie_breaker);
    else
        stun_build_ice_controlled(w, request->tie_breaker);
    if (request->use_candidate)
        stun_build_use_candidate(w);
    return seal(w, remote->password);
}

int check_build_success(struct writer *w, const uint8_t id[STUN_TRANSACTION_LEN],
                        const struct endpoint *from, const char *password)
{
    stun_build_begin(w, STUN_SUCCESS, STUN_BINDING, id);
    stun_build_xor_mapped(w, from);
    return seal(w, password);
}

int check_build_error(struct writer *w, const uint8_t id[STUN_TRANSACTION_LEN], uint16_t code,
                      const uint16_t *unknown, size_t unknown_count, const char *password)
{
    stun_build_begin(w, STUN_ERROR, STUN_BINDING, id);
    stun_build_error(w, code, "");
    if (code == STUN_UNKNOWN_ATTRIBUTE)
        stun_build_unknown(w, unknown, unknown_count);
    return seal(w, password);
}

bool check_is_for(const struct stun_message *message, const char *local_fragment)
{
    return message->username != NULL && message->username_len == CHECK_USERNAME_LEN &&
           message->username[CREDENTIALS_FRAGMENT_LEN] == ':' &&
           memcmp(message->username, local_fragment, CREDENTIALS_FRAGMENT_LEN) == 0;
}

int check_verify(const void *data, const struct stun_message *message, const char *password)
{
    uint8_t region[STUN_MESSAGE_CAP];
    uint8_t mac[SHA1_LEN];
    if (!message->has_integrity || (message->has_fingerprint && !message->is_fingerprint_right))
        return ERR_AUTH;
    const int len = stun_integrity_region(data, message, region, sizeof region);
    if (len < 0)
        return ERR_AUTH;
    const struct piece piece = {region, (size_t)len};
    const int error = hmac_sha1(password, strlen(password), &piece, 1, mac);
    if (error != ERR_OK)
        return error;
    return crypto_is_equal(mac, message->integrity, sizeof mac) ? ERR_OK : ERR_AUTH;
}
