/* TLS 1.3 as a disguise: a byte stream that passes where only TLS does. It proves nothing to
 * anybody (IKE inside authenticates both sides), so no certificate is checked, and a server makes
 * its own where none is given. Pure machines over bytes: whoever owns the connection carries what
 * is taken out of a channel, and feeds what comes. */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A client's first bytes: a handshake record (RFC 8446, 5.1). */
#define TLS_FIRST_BYTE 0x16
/* Most that one side may say before its handshake is done: a ClientHello has 200 to 4000 bytes. */
#define TLS_HANDSHAKE_MAX ((size_t)16 * 1024)
/* Longest piece of ciphertext that one tls_channel_feed() takes. */
#define TLS_FEED_MAX ((size_t)4 * 1024)
/* Longest piece of plaintext that one tls_channel_write() takes, and what it becomes at most. */
#define TLS_WRITE_MAX ((size_t)8 * 1024)

struct tls_context;
struct tls_channel;

/* For connections that we open. */
MUST_USE int tls_client_new(struct tls_context **ret_context);
/* For connections that we accept. certificate, key: PEM texts (a chain; its private key), or both
 * NULL: a key pair and a certificate for `name` are made now, and die with the context.
 * ERR_INVALID: the texts do not fit; ERR_CRYPTO. */
MUST_USE int tls_server_new(const char *certificate, const char *key, const char *name,
                            struct tls_context **ret_context);
/* Channels keep what they need of it. NULL is fine. */
void tls_context_free(struct tls_context *context);

/* One connection. name: of the server, for SNI; NULL on servers, and where it is only known by
 * address. A client has something to send at once. */
MUST_USE int tls_channel_new(struct tls_context *context, const char *name,
                             struct tls_channel **ret_channel);
/* Wipes. NULL is fine. */
void tls_channel_free(struct tls_channel *channel);

/* What came from the network, at most TLS_FEED_MAX bytes; afterwards read until ERR_AGAIN and take
 * until it is empty. ERR_INVALID: not TLS, or broken; ERR_LIMIT: too much of it before the
 * handshake is done; take the alert and close, in both cases. */
MUST_USE int tls_channel_feed(struct tls_channel *channel, const void *data, size_t len);
/* The next plaintext, *ret_len > 0. ERR_AGAIN: more has to be fed; ERR_NOT_FOUND: the peer has
 * said that nothing follows; ERR_INVALID. */
MUST_USE int tls_channel_read(struct tls_channel *channel, void *ret_data, size_t cap,
                              size_t *ret_len);
/* Seals plaintext, at most TLS_WRITE_MAX bytes. ERR_STATE before the handshake is done. */
MUST_USE int tls_channel_write(struct tls_channel *channel, const void *data, size_t len);
/* Moves ciphertext that is to be sent into data; returns how many bytes, 0: nothing is left. */
size_t tls_channel_take(struct tls_channel *channel, void *data, size_t cap);
bool tls_channel_is_ready(const struct tls_channel *channel);

#endif
