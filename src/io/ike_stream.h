/* IKE over a TCP stream (RFC 9329): cutting the byte stream into frames, and framing for sending. A
 * pure machine over bytes: whoever owns the connection reads and writes it.
 *
 *   stream:  "IKETCP" (from the originator, once)  frame  frame  …
 *   frame:   length (2 bytes, itself included)  payload
 *   payload: four zero bytes and an IKE message; else the first four bytes are an ESP SPI, or a
 * relay channel of ours, and the sealed datagram follows
 */
#ifndef IO_IKE_STREAM_H
#define IO_IKE_STREAM_H

#include "base/writer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IKE_STREAM_PREFIX_LEN  6
#define IKE_STREAM_HEADER_LEN  6     /* length and marker or channel */
#define IKE_STREAM_PAYLOAD_CAP 65533 /* with marker or channel: what 16 bits of length allow */
/* Longest payload before the other side is authenticated; an IKE_AUTH of ours has some 600 bytes.
 */
#define IKE_STREAM_STRANGER_CAP 4096

/* Receiving side of one connection. Holds memory only while a frame is incomplete. */
struct ike_stream {
    uint8_t *rest; /* incomplete frame (or prefix), owned */
    uint32_t rest_len;
    uint32_t rest_cap;
    uint32_t limit;       /* longest payload taken */
    const uint8_t *input; /* borrowed between feed and the ERR_AGAIN of next */
    size_t input_len;
    bool is_prefix_due;
    bool is_rest_taken; /* rest is the frame last returned */
    int error;          /* for ever */
};

struct ike_frame {
    uint32_t
        channel; /* 0: an IKE message (non-ESP marker, RFC 9329, 3); else SPI or relay channel */
    const uint8_t
        *data; /* behind the marker or channel; valid until the next call with the stream */
    size_t len;
};

/* is_prefix_due: this is the accepting side, the stream begins with the prefix. limit: longest
 * payload, e.g. IKE_STREAM_STRANGER_CAP. */
void ike_stream_init(struct ike_stream *stream, bool is_prefix_due, uint32_t limit);
void ike_stream_done(struct ike_stream *stream);
/* Once authenticated: at most IKE_STREAM_PAYLOAD_CAP. Applies to frames not yet begun. */
void ike_stream_set_limit(struct ike_stream *stream, uint32_t limit);
/* Gives it the bytes that were read; borrowed until ike_stream_next returns ERR_AGAIN, which must
 * be waited for before the next feed (else ERR_STATE). */
MUST_USE int ike_stream_feed(struct ike_stream *stream, const void *data, size_t len);
/* The next frame, in order. ERR_AGAIN: more bytes are needed. Payloads of less than 4 bytes
 * (keepalives) are passed over silently. ERR_INVALID: not this protocol, or a length of 0 or 1;
 * ERR_LIMIT: longer than the limit; ERR_NOMEM: close the connection in all three cases; the stream
 * stays failed. */
MUST_USE int ike_stream_next(struct ike_stream *stream, struct ike_frame *ret_frame);

/* What the originator sends first. */
void ike_stream_put_prefix(struct writer *w);
/* One frame: channel 0 for IKE messages. Fails the writer with ERR_INVALID where data is too long,
 * or empty for IKE. */
void ike_stream_put_frame(struct writer *w, uint32_t channel, const void *data, size_t len);
/* Only length and marker or channel, for a payload of len bytes that the caller sends behind it. */
void ike_stream_put_header(struct writer *w, uint32_t channel, size_t len);

#endif
