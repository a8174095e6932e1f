/* Log-in sessions inside TLS, for hosts whose networks let nothing else out: taking and making
 * records, and the cap on what strangers can hold. Who they are is IKE's business, inside. */
#include "connector/session_internal.h"

#include "crypto/tls.h"

#define STRANGERS_MAX             512 /* TLS connections that have not proven a key yet, of all */
#define STRANGERS_PER_ADDRESS_MAX 32  /* of one address (IPv6: one /64) */
#define STRANGERS_PER_SITE_MAX    128 /* of one IPv6 /48 */
#define PLAINTEXT_CAP             4096
#define QUEUE_MAX                 ((size_t)96 * 1024) /* frames have their own, lower, limits */

int session_tls_begin(struct session *session, uint64_t now_us)
{
    struct connector *connector = session->connector;
    struct strangers *strangers = &connector->tls_strangers;
    const struct address *address = &session->remote.address;
    if (connector->tls == NULL)
        return ERR_UNSUPPORTED;
    if (strangers_count_of(strangers, STRANGERS_HOST, address) >= STRANGERS_PER_ADDRESS_MAX)
        session_evict(strangers_oldest_of(strangers, STRANGERS_HOST, address), now_us);
    else if (strangers_count_of(strangers, STRANGERS_SITE, address) >= STRANGERS_PER_SITE_MAX)
        session_evict(strangers_oldest_of(strangers, STRANGERS_SITE, address), now_us);
    else if (strangers->count >= STRANGERS_MAX)
        session_evict(strangers->oldest, now_us);
    int error = strangers_add(strangers, &session->tls_stranger, address);
    if (error == ERR_OK)
        error = tls_channel_new(connector->tls, NULL, &session->tls);
    if (error == ERR_OK)
        connector->tls_count++;
    return error;
}

void session_tls_end(struct session *session)
{
    if (session->tls == NULL)
        return;
    tls_channel_free(session->tls);
    session->tls = NULL;
    session->connector->tls_count--;
}

/* Sends what the channel has to send: answers of the handshake, records, and what a peer can ask
 * for at will, new keys (RFC 8446, 4.6.3), whether or not it reads the answers. */
static int flush(struct session *session)
{
    uint8_t data[PLAINTEXT_CAP];
    size_t len;
    while ((len = tls_channel_take(session->tls, data, sizeof data)) > 0) {
        const int error = session_unsent(session) + len <= QUEUE_MAX
                              ? session_write_bytes(session, data, len)
                              : ERR_LIMIT;
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

int session_tls_write(struct session *session, const uint8_t *data, size_t len)
{
    const int error = tls_channel_write(session->tls, data, len);
    return error == ERR_OK ? flush(session) : error;
}

/* Everything that one piece of ciphertext brought forth. */
static int read_plaintext(struct session *session, uint64_t now_us)
{
    uint8_t data[PLAINTEXT_CAP];
    size_t len = 0;
    int error = ERR_OK;
    while (!session->is_ended) {
        error = tls_channel_read(session->tls, data, sizeof data, &len);
        if (error != ERR_OK)
            break;
        error = session_take_bytes(session, data, len, now_us);
        if (error != ERR_OK && error != ERR_AGAIN)
            break;
    }
    return error == ERR_AGAIN ? ERR_OK : error;
}

int session_tls_feed(struct session *session, const uint8_t *data, size_t len, uint64_t now_us)
{
    while (len > 0 && !session->is_ended) {
        const size_t piece = len < TLS_FEED_MAX ? len : TLS_FEED_MAX;
        const int fed = tls_channel_feed(session->tls, data, piece);
        int error = flush(session); /* an alert too */
        if (fed != ERR_OK || error != ERR_OK)
            return fed != ERR_OK ? fed : error;
        error = read_plaintext(session, now_us);
        if (error != ERR_OK)
            return error;
        if (session->tls != NULL)
            error = flush(session);
        if (error != ERR_OK)
            return error;
        data += piece;
        len -= piece;
    }
    return ERR_OK;
}
