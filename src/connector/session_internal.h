/* The inside of a log-in session, for session.c (the connection), session_tls.c (TLS around it) and
 * session_ike.c (what it carries). */
#ifndef CONNECTOR_SESSION_INTERNAL_H
#define CONNECTOR_SESSION_INTERNAL_H

#include "connector/session.h"
#include "io/ike_stream.h"

struct session {
    uv_tcp_t tcp;
    struct connector *connector;
    struct map_node node; /* by number */
    uint64_t number;
    struct endpoint remote;
    struct ike_stream parser;
    struct tls_channel *tls;      /* NULL: plain */
    struct stranger stranger;     /* until it is authenticated */
    struct stranger tls_stranger; /* … where it is inside TLS */
    size_t unproven_len;          /* bytes that it has sent until then */
    bool was_heard;               /* its first byte tells plain from TLS */
    struct ike_sa *sa;            /* NULL before its first message, and after its end */
    struct session *busy_previous, *busy_next;
    struct deadline deadline; /* until authenticated; until goodbye; until the stream is flushed */
    uint64_t since_us;
    bool is_busy;
    bool is_registered; /* the registry knows it */
    bool is_closing;    /* our DELETE is under way */
    bool is_ended;      /* out of every table; only libuv still holds it */
};

/* NULL if there is none. */
struct session *session_find(const struct connector *connector, uint64_t number);
/* To be driven before the loop sleeps. */
void session_mark_busy(struct session *session);
/* Writes or queues one IKE message. After an error the stream is of no more use: ERR_LIMIT: the
 * peer does not read, ERR_NOMEM, ERR_IO. */
MUST_USE int session_write(struct session *session, const uint8_t *message, size_t len);
/* Bytes of the IKE stream that the peer sent, out of TLS or plain. ERR_AGAIN: taken; others: the
 * stream is of no more use. */
MUST_USE int session_take_bytes(struct session *session, const uint8_t *data, size_t len,
                                uint64_t now_us);
/* Writes or queues bytes as they are; errors as of session_write(). */
MUST_USE int session_write_bytes(struct session *session, const uint8_t *data, size_t len);
/* Bytes that the kernel has not taken yet. */
size_t session_unsent(const struct session *session);

/* The peer's first byte was one of TLS. */
MUST_USE int session_tls_begin(struct session *session, uint64_t now_us);
/* Ciphertext of the peer. After an error the stream is of no more use. */
MUST_USE int session_tls_feed(struct session *session, const uint8_t *data, size_t len,
                              uint64_t now_us);
/* Seals and writes. */
MUST_USE int session_tls_write(struct session *session, const uint8_t *data, size_t len);
/* Gives back what it holds. */
void session_tls_end(struct session *session);

/* This stranger has to make room, at once; NULL is fine. */
void session_evict(struct stranger *stranger, uint64_t now_us);
/* The peer has proven its key. */
void session_trust(struct session *session);
/* The end: out of every table, the rest of the stream is flushed and closed. is_logout: the host
 * said goodbye, so its records go at once. */
void session_end(struct session *session, bool is_logout, uint64_t now_us);

/* One message of the peer. */
void session_take_message(struct session *session, const uint8_t *message, size_t len,
                          uint64_t now_us);
/* Transmits and hears until nothing is due. */
void session_drive(struct session *session, uint64_t now_us);

#endif
