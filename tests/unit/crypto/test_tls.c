/* TLS channels against each other: handshake, bytes both ways in any pieces, certificates, and what
 * strangers send. */
#include "crypto/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/libcrypto.h"
#include <openssl/ssl.h>

static struct tls_context *server_context, *client_context;
static struct tls_channel *server, *client;

static int setup(void **state)
{
    assert_int_equal(tls_server_new(NULL, NULL, "detec.example.net", &server_context), ERR_OK);
    assert_int_equal(tls_client_new(&client_context), ERR_OK);
    assert_int_equal(tls_channel_new(server_context, NULL, &server), ERR_OK);
    assert_int_equal(tls_channel_new(client_context, "detec.example.net", &client), ERR_OK);
    return 0;
}

static int teardown(void **state)
{
    tls_channel_free(client);
    tls_channel_free(server);
    tls_context_free(client_context);
    tls_context_free(server_context);
    return 0;
}

/* What one has to say, fed to the other in pieces; returns how much it was. */
static size_t carry(struct tls_channel *from, struct tls_channel *to, size_t piece)
{
    uint8_t data[TLS_FEED_MAX];
    size_t len, total = 0;
    while ((len = tls_channel_take(from, data, piece)) > 0) {
        assert_int_equal(tls_channel_feed(to, data, len), ERR_OK);
        total += len;
    }
    return total;
}

static void shake(size_t piece)
{
    for (int i = 0; i < 4; i++)
        (void)(carry(client, server, piece) + carry(server, client, piece));
    assert_true(tls_channel_is_ready(client));
    assert_true(tls_channel_is_ready(server));
}

static void expect_plain(struct tls_channel *channel, const uint8_t *expected, size_t len)
{
    uint8_t data[TLS_WRITE_MAX];
    size_t got = 0, part = 0;
    while (got < len) {
        assert_int_equal(tls_channel_read(channel, data, sizeof data, &part), ERR_OK);
        assert_true(part > 0 && part <= len - got);
        assert_memory_equal(data, expected + got, part);
        got += part;
    }
    assert_int_equal(tls_channel_read(channel, data, sizeof data, &part), ERR_AGAIN);
}

static void test_both_ways(void **state)
{
    uint8_t data[TLS_WRITE_MAX];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(tls_channel_write(client, data, 1), ERR_STATE);
    shake(1);
    static const size_t lens[] = {1, 6, 4100, TLS_WRITE_MAX};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        assert_int_equal(tls_channel_write(client, data, lens[i]), ERR_OK);
        (void)carry(client, server, 333);
        expect_plain(server, data, lens[i]);
        assert_int_equal(tls_channel_write(server, data, lens[i]), ERR_OK);
        (void)carry(server, client, TLS_FEED_MAX);
        expect_plain(client, data, lens[i]);
    }
    assert_int_equal(tls_channel_write(client, data, TLS_WRITE_MAX + 1), ERR_LIMIT);
    assert_int_equal(tls_channel_feed(client, data, TLS_FEED_MAX + 1), ERR_LIMIT);
}

/* After its handshake the server says nothing by itself: no tickets. */
static void test_no_tickets(void **state)
{
    shake(TLS_FEED_MAX);
    assert_int_equal(carry(server, client, TLS_FEED_MAX), 0);
}

static void test_altered_record(void **state)
{
    uint8_t data[512], plain[64];
    size_t len, plain_len;
    shake(TLS_FEED_MAX);
    assert_int_equal(tls_channel_write(client, "hello", 5), ERR_OK);
    len = tls_channel_take(client, data, sizeof data);
    assert_true(len > 10);
    data[len - 1] ^= 1;
    assert_int_equal(tls_channel_feed(server, data, len), ERR_OK);
    assert_int_equal(tls_channel_read(server, plain, sizeof plain, &plain_len), ERR_INVALID);
}

static void test_garbage(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n", "IKETCP\0\x20",
                                        "SSH-2.0-OpenSSH\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct tls_channel *channel;
        assert_int_equal(tls_channel_new(server_context, NULL, &channel), ERR_OK);
        assert_int_equal(tls_channel_feed(channel, texts[i], strlen(texts[i])), ERR_INVALID);
        assert_false(tls_channel_is_ready(channel));
        tls_channel_free(channel);
    }
}

/* A handshake message that never ends is cut off, whatever length it promises. */
static void test_endless_hello(void **state)
{
    uint8_t record[5 + 1024] = {TLS_FIRST_BYTE, 3, 1, 4, 0, 1, 1, 0xff, 0xff};
    size_t fed = 0;
    int error = ERR_OK;
    while (error == ERR_OK && fed < 4 * TLS_HANDSHAKE_MAX) {
        error = tls_channel_feed(server, record, sizeof record);
        fed += sizeof record;
        memset(record + 5, 0, 1024);
    }
    assert_true(error == ERR_LIMIT || error == ERR_INVALID);
    assert_true(fed <= TLS_HANDSHAKE_MAX + sizeof record);
}

/* Who speaks only TLS 1.2 gets no further. */
static void test_old_version(void **state)
{
    uint8_t data[2048];
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION), 1);
    SSL *ssl = SSL_new(old);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    const int len = BIO_read(out, data, sizeof data);
    assert_true(len > 0);
    assert_int_equal(tls_channel_feed(server, data, (size_t)len), ERR_INVALID);
    assert_true(tls_channel_take(server, data, sizeof data) > 0); /* the alert */
    SSL_free(ssl);
    SSL_CTX_free(old);
}

static char *make_pem(bool is_key, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (is_key) {
        assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    } else {
        X509 *x = X509_new();
        X509_gmtime_adj(X509_getm_notBefore(x), 0);
        X509_gmtime_adj(X509_getm_notAfter(x), 3600);
        X509_set_pubkey(x, key);
        assert_true(X509_sign(x, key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_bio_X509(bio, x), 1);
        X509_free(x);
    }
    char *data;
    const long len = BIO_get_mem_data(bio, &data);
    text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static void test_configured_certificate(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    char *certificate = make_pem(false, key), *pem = make_pem(true, key),
         *wrong = make_pem(true, other);
    struct tls_context *context;
    assert_int_equal(tls_server_new(certificate, pem, "x", &context), ERR_OK);
    tls_context_free(context);
    assert_int_equal(tls_server_new(certificate, wrong, "x", &context), ERR_INVALID);
    assert_int_equal(tls_server_new(pem, certificate, "x", &context), ERR_INVALID);
    assert_int_equal(tls_server_new("", "", "x", &context), ERR_INVALID);
    free(certificate);
    free(pem);
    free(wrong);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_altered_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endless_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_configured_certificate, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
