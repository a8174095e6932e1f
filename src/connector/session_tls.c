/* Log-in sessions inside TLS, for hosts whose networks let nothing else out: taking and making
 * records, and the cap on what strangers can hold. Who they are is IKE's business, inside. */
#include "connector/session_internal.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/tls.h"

#define STRANGERS_MAX             512 /* TLS connections that have not proven a key yet, of all */
#define STRANGERS_PER_ADDRESS_MAX 32  /* of one address (IPv6: one /64) */
#define PLAINTEXT_CAP             4096
/* Answers of TLS itself that nobody reads, beside what session.c lets wait: whoever asks for new
 * keys again and again gets one each time. */
#define UNREAD_MAX ((size_t)128 * 1024)

static void unlink_stranger(struct session *session)
{
    struct connector *connector = session->connector;
    if (!session->is_tls_stranger)
        return;
    session->is_tls_stranger = false;
    *(session->tls_previous != NULL ? &session->tls_previous->tls_next : &connector->tls_oldest) =
        session->tls_next;
    *(session->tls_next != NULL ? &session->tls_next->tls_previous : &connector->tls_newest) =
        session->tls_previous;
    connector->tls_stranger_count--;
    address_counts_remove(&connector->tls_addresses, &session->remote.address);
}

int session_tls_begin(struct session *session, uint64_t now_us)
{
    struct connector *connector = session->connector;
    if (connector->tls == NULL)
        return ERR_UNSUPPORTED;
    int error = address_counts_add(&connector->tls_addresses, &session->remote.address,
                                   STRANGERS_PER_ADDRESS_MAX);
    if (error != ERR_OK)
        return error;
    error = tls_channel_new(connector->tls, NULL, &session->tls);
    if (error != ERR_OK) {
        address_counts_remove(&connector->tls_addresses, &session->remote.address);
        return error;
    }
    /* The oldest goes: an honest host needs three round trips, an attacker would have to bring all
     * the others within that time. */
    if (connector->tls_stranger_count >= STRANGERS_MAX)
        session_end(connector->tls_oldest, false, now_us);
    session->is_tls_stranger = true;
    session->tls_previous = connector->tls_newest;
    session->tls_next = NULL;
    *(connector->tls_newest != NULL ? &connector->tls_newest->tls_next : &connector->tls_oldest) =
        session;
    connector->tls_newest = session;
    connector->tls_stranger_count++;
    connector->tls_count++;
    return ERR_OK;
}

void session_tls_trust(struct session *session)
{
    unlink_stranger(session);
}

void session_tls_end(struct session *session)
{
    unlink_stranger(session);
    if (session->tls == NULL)
        return;
    tls_channel_free(session->tls);
    session->tls = NULL;
    session->connector->tls_count--;
}

/* Sends what the channel has to send: answers of the handshake, records. */
static int flush(struct session *session)
{
    uint8_t data[PLAINTEXT_CAP];
    size_t len;
    if (uv_stream_get_write_queue_size((uv_stream_t *)&session->tcp) > UNREAD_MAX)
        return ERR_LIMIT;
    while ((len = tls_channel_take(session->tls, data, sizeof data)) > 0) {
        const int error = session_write_bytes(session, data, len);
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
