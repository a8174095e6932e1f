/* What a UPnP helper may report, and whom it may talk to. */
#include "host/upnp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct address GATEWAY = {ADDRESS_IPV4, {10, 0, 1, 1}};

static void test_only_the_gateways_addresses(void **state)
{
    static const char *const good[] = {"http://10.0.1.1/", "http://10.0.1.1:5000/root.xml",
                                       "http://10.0.1.1:80/ctl?a=b"};
    static const char *const bad[] = {"",
                                      "http://",
                                      "http://10.0.1.1",
                                      "http://10.0.1.10/",
                                      "http://10.0.1.11:80/",
                                      "http://10.0.1.1.example/",
                                      "http://010.0.1.1/",
                                      "https://10.0.1.1/",
                                      "HTTP://10.0.1.1/",
                                      "http://user@10.0.1.1/",
                                      "http://10.0.1.1:80@192.0.2.1/",
                                      "http://[::ffff:10.0.1.1]/",
                                      "http://10.0.1.1/a b",
                                      "http://10.0.1.1/\r\nHost:x",
                                      "http://10.0.1.1/\x80",
                                      "ftp://10.0.1.1/"};
    char large[UPNP_URL_CAP + 1] = "http://10.0.1.1/";
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(upnp_url_is_at(good[i], &GATEWAY));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(upnp_url_is_at(bad[i], &GATEWAY));
    memset(large + strlen(large), 'a', UPNP_URL_CAP - 1 - strlen(large));
    assert_true(upnp_url_is_at(large, &GATEWAY));
    large[UPNP_URL_CAP - 1] = 'a';
    assert_false(upnp_url_is_at(large, &GATEWAY));
}

static void test_reports(void **state)
{
    static const char *const bad[] = {
        "",
        "mapped",
        "error the gateway refused",
        "unmapped",
        "mapped 198.51.100.7 0 3600 http://10.0.1.1:5000/r\n",
        "mapped 198.51.100.7 65536 3600 http://10.0.1.1:5000/r\n",
        "mapped 198.51.100.7 -1 3600 http://10.0.1.1:5000/r\n",
        "mapped 198.51.100.7 5 99999 http://10.0.1.1:5000/r\n",
        "mapped 198.51.100 5 3600 http://10.0.1.1:5000/r\n",
        "mapped 2001:db8::1 5 3600 http://10.0.1.1:5000/r\n",
        "mapped 198.51.100.7 5 3600 http://10.0.1.2:5000/r\n",
        "mapped 198.51.100.7 5 3600 http://10.0.1.1:5000/r more\n",
        "mapped 198.51.100.7 5 3600 ",
    };
    static const char whole[] = "mapped 198.51.100.7 41000 3600 http://10.0.1.1:5000/r\n";
    struct endpoint external = {0};
    uint32_t lease_s = 0;
    char url[UPNP_URL_CAP] = "", cut[sizeof(whole)];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(upnp_report_parse(bad[i], &GATEWAY, &external, &lease_s, url),
                         ERR_INVALID);
    assert_int_equal(lease_s, 0);
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        memcpy(cut, whole, len);
        cut[len] = '\0';
        assert_int_equal(upnp_report_parse(cut, &GATEWAY, &external, &lease_s, url), ERR_INVALID);
    }
    assert_int_equal(upnp_report_parse(whole, &GATEWAY, &external, &lease_s, url), ERR_OK);
    assert_int_equal(external.port, 41000);
    assert_int_equal(address_to_ipv4(&external.address), 0xc6336407);
    assert_int_equal(lease_s, 3600);
    assert_string_equal(url, "http://10.0.1.1:5000/r");
}

static void test_idle(void **state)
{
    struct upnp upnp = {0};
    assert_true(upnp_is_idle(&upnp));
    upnp_stop(&upnp, 1);
    upnp_kill(&upnp);
    assert_true(upnp_is_idle(&upnp));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_gateways_addresses),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
