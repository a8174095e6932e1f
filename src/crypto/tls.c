/* libssl over memory buffers; see crypto/tls.h. */
#include "crypto/tls.h"

#include "crypto/libcrypto.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define VALID_S      ((long)10 * 365 * 86400) /* nobody checks it; connectors run for years */
#define BACKDATE_S   (-86400L)
#define SERIAL_BYTES 8

struct tls_context {
    SSL_CTX *ctx;
    bool is_server;
};

struct tls_channel {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    size_t fed;    /* before the handshake was done */
};

/* TLS 1.3 alone: no renegotiation, no compression, nothing to downgrade to. No tickets and no early
 * data: a session lasts as long as its connection, and servers keep nothing. */
static int new_context(bool is_server, struct tls_context **ret_context)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return ERR_NOMEM;
    context->is_server = is_server;
    context->ctx = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (context->ctx == NULL || SSL_CTX_set_min_proto_version(context->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_num_tickets(context->ctx, 0) != 1 ||
        SSL_CTX_set_max_early_data(context->ctx, 0) != 1) {
        tls_context_free(context);
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    SSL_CTX_set_options(context->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context->ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_max_cert_list(context->ctx, (long)TLS_HANDSHAKE_MAX);
    *ret_context = context;
    return ERR_OK;
}

int tls_client_new(struct tls_context **ret_context)
{
    return new_context(false, ret_context);
}

/* No private key of ours has a passphrase, and nobody is there to be asked for one. */
static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    return -1;
}

static int use_texts(SSL_CTX *ctx, const char *certificate, const char *key)
{
    int error = ERR_INVALID;
    BIO *certificate_bio = BIO_new_mem_buf(certificate, -1);
    BIO *key_bio = BIO_new_mem_buf(key, -1);
    X509 *leaf = NULL, *next;
    EVP_PKEY *pkey = NULL;
    if (certificate_bio == NULL || key_bio == NULL)
        goto done;
    leaf = PEM_read_bio_X509(certificate_bio, NULL, no_passphrase, NULL);
    pkey = PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL);
    if (leaf == NULL || pkey == NULL || SSL_CTX_use_certificate(ctx, leaf) != 1)
        goto done;
    while ((next = PEM_read_bio_X509(certificate_bio, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, next) != 1) {
            X509_free(next);
            goto done;
        }
    }
    if (SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1)
        error = ERR_OK;
done:
    EVP_PKEY_free(pkey);
    X509_free(leaf);
    BIO_free(key_bio);
    BIO_free(certificate_bio);
    ERR_clear_error();
    return error;
}

static bool fill_certificate(X509 *x, EVP_PKEY *key, const char *name)
{
    uint8_t serial_bytes[SERIAL_BYTES];
    X509_NAME *subject = X509_get_subject_name(x);
    /* CN holds 64 characters (RFC 5280, upper bounds); longer names stand in no field. */
    const char *common = strlen(name) <= 64 ? name : "connector";
    if (RAND_bytes(serial_bytes, sizeof serial_bytes) != 1)
        return false;
    serial_bytes[0] = (uint8_t)((serial_bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(serial_bytes, sizeof serial_bytes, NULL);
    const bool is_numbered =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    return is_numbered && X509_set_version(x, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(x), BACKDATE_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(x), VALID_S) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)common, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, subject) == 1 && X509_set_pubkey(x, key) == 1 &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

/* P-256, as most servers have: Ed25519 would make it look like nobody else's. */
static int use_own(SSL_CTX *ctx, const char *name)
{
    int error = ERR_CRYPTO;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    if (key != NULL && x != NULL && fill_certificate(x, key, name) &&
        SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1)
        error = ERR_OK;
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return error;
}

int tls_server_new(const char *certificate, const char *key, const char *name,
                   struct tls_context **ret_context)
{
    struct tls_context *context;
    int error = new_context(true, &context);
    if (error != ERR_OK)
        return error;
    error = certificate != NULL && key != NULL ? use_texts(context->ctx, certificate, key)
                                               : use_own(context->ctx, name);
    if (error != ERR_OK) {
        tls_context_free(context);
        return error;
    }
    *ret_context = context;
    return ERR_OK;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

/* Goes on with the handshake as far as what was fed allows. */
static int shake(struct tls_channel *channel)
{
    if (SSL_is_init_finished(channel->ssl))
        return ERR_OK;
    const int result = SSL_do_handshake(channel->ssl);
    const int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(channel->ssl, result);
    ERR_clear_error();
    return why == SSL_ERROR_NONE || why == SSL_ERROR_WANT_READ ? ERR_OK : ERR_INVALID;
}

int tls_channel_new(struct tls_context *context, const char *name, struct tls_channel **ret_channel)
{
    struct tls_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return ERR_NOMEM;
    channel->ssl = SSL_new(context->ctx);
    channel->in = BIO_new(BIO_s_mem());
    channel->out = BIO_new(BIO_s_mem());
    if (channel->ssl == NULL || channel->in == NULL || channel->out == NULL) {
        BIO_free(channel->in);
        BIO_free(channel->out);
        SSL_free(channel->ssl);
        free(channel);
        ERR_clear_error();
        return ERR_NOMEM;
    }
    SSL_set_bio(channel->ssl, channel->in, channel->out);
    if (context->is_server)
        SSL_set_accept_state(channel->ssl);
    else
        SSL_set_connect_state(channel->ssl);
    if ((name != NULL && SSL_set_tlsext_host_name(channel->ssl, name) != 1) ||
        (!context->is_server && shake(channel) != ERR_OK)) {
        tls_channel_free(channel);
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    *ret_channel = channel;
    return ERR_OK;
}

void tls_channel_free(struct tls_channel *channel)
{
    if (channel == NULL)
        return;
    SSL_free(channel->ssl);
    free(channel);
}

int tls_channel_feed(struct tls_channel *channel, const void *data, size_t len)
{
    if (len > TLS_FEED_MAX)
        return ERR_LIMIT;
    const bool was_ready = SSL_is_init_finished(channel->ssl);
    if (!was_ready && (channel->fed += len) > TLS_HANDSHAKE_MAX)
        return ERR_LIMIT;
    if (BIO_write(channel->in, data, (int)len) != (int)len) {
        ERR_clear_error();
        return ERR_NOMEM;
    }
    return shake(channel);
}

int tls_channel_read(struct tls_channel *channel, void *ret_data, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    if (!SSL_is_init_finished(channel->ssl))
        return ERR_AGAIN;
    const int result = SSL_read_ex(channel->ssl, ret_data, cap, &len);
    const int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(channel->ssl, result);
    ERR_clear_error();
    if (why == SSL_ERROR_NONE && len > 0) {
        *ret_len = len;
        return ERR_OK;
    }
    if (why == SSL_ERROR_WANT_READ)
        return ERR_AGAIN;
    return why == SSL_ERROR_ZERO_RETURN ? ERR_NOT_FOUND : ERR_INVALID;
}

int tls_channel_write(struct tls_channel *channel, const void *data, size_t len)
{
    size_t written = 0;
    if (len > TLS_WRITE_MAX)
        return ERR_LIMIT;
    if (!SSL_is_init_finished(channel->ssl))
        return ERR_STATE;
    const int result = SSL_write_ex(channel->ssl, data, len, &written);
    ERR_clear_error();
    return result == 1 && written == len ? ERR_OK : ERR_CRYPTO;
}

size_t tls_channel_take(struct tls_channel *channel, void *data, size_t cap)
{
    size_t len = 0;
    if (BIO_ctrl_pending(channel->out) == 0 || BIO_read_ex(channel->out, data, cap, &len) != 1)
        return 0;
    return len;
}

bool tls_channel_is_ready(const struct tls_channel *channel)
{
    return SSL_is_init_finished(channel->ssl) == 1;
}
