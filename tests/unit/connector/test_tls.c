/* What strangers may make a connector keep for them inside TLS. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "crypto/libcrypto.h"
#include "fixture.h"
#include "io/clock.h"
#include <openssl/ssl.h>

#define UPDATE_LEN 27 /* a KeyUpdate in its record, about */
/* More than the kernel's buffers hold, on both sides, and what the connector lets wait. */
#define ENOUGH_BYTES ((size_t)8 * 1024 * 1024)
#define STEP_COUNT   500

static int connect_small(const struct fixture *fixture)
{
    const int size = 4096;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                        .sin_port = htons(fixture->config.listen.port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Each is answered with another one, which this client never reads. */
static bool ask_for_keys(SSL *ssl)
{
    for (int i = 0; i < STEP_COUNT; i++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            return false;
    }
    return true;
}

static void test_answers_that_nobody_reads(void **state)
{
    struct fixture fixture;
    size_t asked = 0;
    signal(SIGPIPE, SIG_IGN);
    fixture_init(&fixture);
    fixture_start(&fixture);
    const int fd = connect_small(&fixture);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    while (asked * UPDATE_LEN < ENOUGH_BYTES && ask_for_keys(ssl))
        asked += STEP_COUNT;
    assert_true(asked * UPDATE_LEN < ENOUGH_BYTES); /* thrown out */
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    assert_int_equal(fixture_stop(&fixture, SIGTERM), 0);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers_that_nobody_reads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
