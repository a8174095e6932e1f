/* URLs of proxies, the request, and every way an answer can be cut or wrong. */
#include "wire/http_connect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_urls(void **state)
{
    struct http_proxy proxy;
    char text[HTTP_PROXY_TEXT_CAP];
    assert_int_equal(http_proxy_parse("http://Proxy.Example:3128/", &proxy), ERR_OK);
    assert_string_equal(proxy.name, "proxy.example");
    assert_int_equal(proxy.endpoint.port, 3128);
    assert_int_equal(proxy.endpoint.address.family, ADDRESS_NONE);
    assert_string_equal(proxy.authorization, "");
    assert_string_equal(http_proxy_format(&proxy, text, sizeof text), "http://proxy.example:3128");
    assert_int_equal(http_proxy_parse("HTTP://192.0.2.7", &proxy), ERR_OK);
    assert_string_equal(http_proxy_format(&proxy, text, sizeof text), "http://192.0.2.7:80");
    assert_int_equal(http_proxy_parse("http://[2001:db8::1]:8080", &proxy), ERR_OK);
    assert_string_equal(http_proxy_format(&proxy, text, sizeof text), "http://[2001:db8::1]:8080");
    /* RFC 7617, 2: Aladdin, "open sesame"; and characters that a URL cannot hold as they are. */
    assert_int_equal(http_proxy_parse("http://Aladdin:open%20sesame@p.example:1", &proxy), ERR_OK);
    assert_string_equal(proxy.authorization, "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_null(strstr(http_proxy_format(&proxy, text, sizeof text), "Aladdin"));
    assert_int_equal(http_proxy_parse("http://u:p%40%3a%2F@p.example", &proxy), ERR_OK);
    assert_string_equal(proxy.authorization, "dTpwQDov"); /* u:p@:/ */
    assert_int_equal(http_proxy_parse("http://u@p.example", &proxy), ERR_OK);
    assert_string_equal(proxy.authorization, "dTo=");
}

static void test_wrong_urls(void **state)
{
    static const char *const wrong[] = {
        "",
        "proxy:3128",
        "http://",
        "http://@p.example",
        "http://:p@p.example",
        "http://a%3ab:p@p.example",
        "http://u:p%4@p.example",
        "http://u:p%zz@p.example",
        "http://u:p%0d%0aX@p.example",
        "http://p.example:0",
        "http://p.example:65536",
        "http://p.example:",
        "http://p.example:1x",
        "http://p.example/path",
        "http://p.example?query",
        "http://bad_.name-.example",
        "http://0.0.0.0:80",
        "http://[2001:db8::1",
    };
    struct http_proxy proxy, before;
    char url[600];
    memset(&proxy, 0x5a, sizeof proxy);
    before = proxy;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (http_proxy_parse(wrong[i], &proxy) != ERR_INVALID)
            fail_msg("%s is taken", wrong[i]);
    }
    assert_int_equal(http_proxy_parse("https://p.example", &proxy), ERR_UNSUPPORTED);
    assert_int_equal(http_proxy_parse("socks5://p.example", &proxy), ERR_UNSUPPORTED);
    /* One byte more than there is room for. */
    const size_t longest = HTTP_CREDENTIALS_MAX - 2;
    for (size_t len = longest; len <= longest + 1; len++) {
        strcpy(url, "http://u:");
        memset(url + 9, 'p', len);
        strcpy(url + 9 + len, "@p.example");
        struct http_proxy got;
        assert_int_equal(http_proxy_parse(url, &got), len == longest ? ERR_OK : ERR_INVALID);
    }
    memset(url, 'a', sizeof url - 1);
    memcpy(url, "http://", 7);
    url[sizeof url - 1] = '\0';
    assert_int_equal(http_proxy_parse(url, &proxy), ERR_INVALID);
    assert_memory_equal(&proxy, &before, sizeof proxy);
}

static void test_request(void **state)
{
    static const char expected[] = "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n"
                                   "Proxy-Authorization: Basic dTpw\r\n\r\n";
    struct http_proxy proxy;
    uint8_t buffer[HTTP_REQUEST_CAP];
    struct writer w;
    assert_int_equal(http_proxy_parse("http://u:p@proxy", &proxy), ERR_OK);
    writer_init(&w, buffer, sizeof buffer);
    http_connect_build(&w, &proxy, "192.0.2.1:443");
    assert_int_equal(w.error, ERR_OK);
    assert_int_equal(w.len, sizeof expected - 1);
    assert_memory_equal(buffer, expected, w.len);
    for (size_t cap = 0; cap < sizeof expected - 1; cap++) {
        writer_init(&w, buffer, cap);
        http_connect_build(&w, &proxy, "192.0.2.1:443");
        assert_int_equal(w.error, ERR_FULL);
    }
}

static void test_answers(void **state)
{
    static const char good[] = "HTTP/1.1 200 Connection established\r\nProxy-agent: x\r\n\r\nrest";
    unsigned status = 0;
    size_t len = 0;
    const size_t head = sizeof good - 5;
    for (size_t i = 0; i < head; i++)
        assert_int_equal(http_connect_parse(good, i, &status, &len), ERR_AGAIN);
    assert_int_equal(http_connect_parse(good, sizeof good - 1, &status, &len), ERR_OK);
    assert_int_equal(status, 200);
    assert_int_equal(len, head);
    static const struct {
        const char *text;
        int error;
        unsigned status;
    } cases[] = {
        {"HTTP/1.0 200\r\n\r\n", ERR_OK, 200},
        {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ERR_OK, 407},
        {"HTTP/1.1 2000 OK\r\n\r\n", ERR_INVALID, 0},
        {"HTTP/1.1 20 OK\r\n\r\n", ERR_INVALID, 0},
        {"HTTP/1.1  200 OK\r\n\r\n", ERR_INVALID, 0},
        {"HTTP/2 200 OK\r\n\r\n", ERR_INVALID, 0},
        {"HTTP/1.2 200 OK\r\n\r\n", ERR_INVALID, 0},
        {"HTTP/1.1\r\n\r\n", ERR_INVALID, 0},
        {"SSH-2.0-x", ERR_INVALID, 0},
        {"I", ERR_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int error = http_connect_parse(cases[i].text, strlen(cases[i].text), &status, &len);
        assert_int_equal(error, cases[i].error);
        assert_true(error != ERR_OK || status == cases[i].status);
    }
}

static void test_endless_answer(void **state)
{
    char *text = malloc(HTTP_RESPONSE_MAX + 16);
    unsigned status;
    size_t len;
    assert_non_null(text);
    memset(text, 'x', HTTP_RESPONSE_MAX + 16);
    memcpy(text, "HTTP/1.1 200 ", 13);
    assert_int_equal(http_connect_parse(text, HTTP_RESPONSE_MAX - 1, &status, &len), ERR_AGAIN);
    assert_int_equal(http_connect_parse(text, HTTP_RESPONSE_MAX, &status, &len), ERR_LIMIT);
    memcpy(text + HTTP_RESPONSE_MAX, "\r\n\r\n", 4); /* too late */
    assert_int_equal(http_connect_parse(text, HTTP_RESPONSE_MAX + 16, &status, &len), ERR_LIMIT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),           cmocka_unit_test(test_wrong_urls),
        cmocka_unit_test(test_request),        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_endless_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
