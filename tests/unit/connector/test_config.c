/* connector.conf: defaults, every key, and a message for every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "connector/config.h"

/* Parses text; returns the report, which the caller frees. */
static char *parse(const char *text, int *ret_error, struct connector_config *ret_config)
{
    char *report = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&report, &len);
    assert_non_null(stream);
    *ret_error = connector_config_parse(text, "c.conf", ret_config, stream);
    fclose(stream);
    return report;
}

static void test_defaults(void **state)
{
    struct connector_config config;
    int error;
    char text[ENDPOINT_TEXT_CAP];
    char *report =
        parse("[connector]\nzone = Detec.Example.net.\naddress = 203.0.113.10\n", &error, &config);
    assert_int_equal(error, ERR_OK);
    assert_string_equal(report, "");
    free(report);
    assert_string_equal(config.file, "c.conf");
    assert_string_equal(config.zone, "detec.example.net");
    assert_string_equal(config.name_server, "");
    assert_string_equal(endpoint_format(&config.listen, text, sizeof text), "0.0.0.0:4500");
    assert_true(config.has_dns);
    assert_string_equal(endpoint_format(&config.dns, text, sizeof text), "0.0.0.0:53");
    assert_string_equal(config.key, "/var/lib/detec-connector/connector.key");
    assert_string_equal(config.database, "/var/lib/detec-connector/hosts.db");
    assert_string_equal(config.socket, "/run/detec-connector/connector.sock");
    assert_string_equal(config.user, "");
    assert_false(config.is_strict);
    assert_true(config.has_dynamic);
    assert_true(config.has_listen_tls);
    assert_false(config.is_listen_tls_wanted);
    assert_string_equal(endpoint_format(&config.listen_tls, text, sizeof text), "0.0.0.0:443");
    assert_string_equal(config.certificate, "");
    assert_true(config.has_stun_alternate);
    assert_int_equal(config.stun_alternate_port, 0);
    assert_int_equal(config.stun_alternate_address.family, ADDRESS_NONE);
    assert_int_equal(config.lease_us, 120 * 1000000);
    assert_int_equal(config.sessions_max, 100000);
    assert_int_equal(config.sessions_per_address_max, 256);
    assert_int_equal(connector_config_site_max(&config), 50000);
    assert_int_equal(config.log_level, LOG_LEVEL_INFO);
}

static void test_every_key(void **state)
{
    struct connector_config config;
    int error;
    char text[ENDPOINT_TEXT_CAP];
    char *report =
        parse("; a connector\n[connector]\n"
              "zone = z.example ; its zone\n"
              "address = 2001:db8::1\n"
              "name-server = NS.example.\n"
              "listen = 192.0.2.1\n"
              "listen-tls = 192.0.2.2\ncertificate = /c\ncertificate-key = /ck\n"
              "stun-alternate-port = 4600\n"
              "stun-alternate-address = 2001:db8::2\n"
              "dns = [::]:5353\n"
              "key = /k\ndatabase = /d\nsocket = /s\nuser = someone\n"
              "strict = yes\ndynamic = no\nlease = 30s\n"
              "sessions = 5\nsessions-per-address = 4\nsessions-per-site = 3\nlog = debug\n",
              &error, &config);
    assert_string_equal(report, "");
    free(report);
    assert_int_equal(error, ERR_OK);
    assert_string_equal(address_format(&config.address, text, sizeof text), "2001:db8::1");
    assert_string_equal(config.name_server, "ns.example");
    assert_string_equal(endpoint_format(&config.listen, text, sizeof text), "192.0.2.1:4500");
    assert_true(config.has_listen_tls && config.is_listen_tls_wanted);
    assert_string_equal(endpoint_format(&config.listen_tls, text, sizeof text), "192.0.2.2:443");
    assert_string_equal(config.certificate, "/c");
    assert_string_equal(config.certificate_key, "/ck");
    assert_true(config.has_stun_alternate);
    assert_int_equal(config.stun_alternate_port, 4600);
    assert_string_equal(address_format(&config.stun_alternate_address, text, sizeof text),
                        "2001:db8::2");
    assert_string_equal(endpoint_format(&config.dns, text, sizeof text), "[::]:5353");
    assert_string_equal(config.key, "/k");
    assert_string_equal(config.database, "/d");
    assert_string_equal(config.socket, "/s");
    assert_string_equal(config.user, "someone");
    assert_true(config.is_strict);
    assert_false(config.has_dynamic);
    assert_int_equal(config.lease_us, 30 * 1000000);
    assert_int_equal(config.sessions_max, 5);
    assert_int_equal(config.sessions_per_address_max, 4);
    assert_int_equal(config.sessions_per_site_max, 3);
    assert_int_equal(connector_config_site_max(&config), 4); /* one host may have so many */
    assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
}

static void test_address_from_listen(void **state)
{
    struct connector_config config;
    int error;
    char text[ADDRESS_TEXT_CAP];
    free(parse("[connector]\nzone = z.example\nlisten = 192.0.2.7:4500\ndns = off\n", &error,
               &config));
    assert_int_equal(error, ERR_OK);
    assert_false(config.has_dns);
    assert_string_equal(address_format(&config.address, text, sizeof text), "192.0.2.7");
}

static void test_address_of_each_family(void **state)
{
    struct connector_config config, other;
    int error;
    char text[ENDPOINT_TEXT_CAP];
    free(parse("[connector]\nzone = z.example\naddress = 192.0.2.7\naddress = 2001:db8::7\n",
               &error, &config));
    assert_int_equal(error, ERR_OK);
    assert_string_equal(address_format(&config.address, text, sizeof text), "192.0.2.7");
    assert_string_equal(address_format(&config.other_address, text, sizeof text), "2001:db8::7");
    assert_string_equal(endpoint_format(&config.listen, text, sizeof text), "[::]:4500");
    assert_string_equal(endpoint_format(&config.dns, text, sizeof text), "[::]:53");
    free(parse("[connector]\nzone = z.example\naddress = 192.0.2.7\n", &error, &other));
    assert_string_equal(connector_config_fixed_change(&config, &other), "address");
    free(parse("[connector]\nzone = z.example\naddress = 192.0.2.7\naddress = 2001:db8::7\n"
               "listen = 192.0.2.7\ndns = 0.0.0.0:5353\n",
               &error, &config));
    assert_string_equal(endpoint_format(&config.listen, text, sizeof text), "192.0.2.7:4500");
    assert_string_equal(endpoint_format(&config.dns, text, sizeof text), "0.0.0.0:5353");
    char *report =
        parse("[connector]\nzone = z.example\naddress = 192.0.2.7\naddress = 192.0.2.8\n", &error,
              &config);
    assert_int_equal(error, ERR_INVALID);
    assert_non_null(strstr(report, "once for each family"));
    free(report);
}

#define GOOD "[connector]\nzone = z.example\naddress = 192.0.2.1\n"

static void test_mistakes(void **state)
{
    /* Each is added behind GOOD, in line 4; the message has to hold all of the texts. */
    static const struct {
        const char *line;
        const char *says[3];
    } cases[] = {
        {"zone = other.example", {"c.conf:4:", "zone is given twice", "allowed: once"}},
        {"frob = 1", {"c.conf:4:", "there is no key \"frob\"", "zone, address"}},
        {"strict = maybe", {"c.conf:4:", "strict = maybe", "yes or no"}},
        {"dynamic = 1", {"c.conf:4:", "dynamic = 1", "yes or no"}},
        {"lease = 29s", {"c.conf:4:", "lease = 29s", "from 30s to 18h"}},
        {"lease = 18h 1s", {"c.conf:4:", "lease", "from 30s to 18h"}},
        {"lease = 19h", {"c.conf:4:", "lease = 19h", "from 30s to 18h"}},
        {"lease = 30500ms", {"c.conf:4:", "whole seconds", ""}},
        {"lease =", {"c.conf:4:", "lease has no value", "from 30s"}},
        {"listen = 0.0.0.0:0", {"c.conf:4:", "listen = 0.0.0.0:0", "an address and port"}},
        {"listen = somewhere", {"c.conf:4:", "listen = somewhere", "0.0.0.0:4500"}},
        {"listen-tls = somewhere", {"c.conf:4:", "listen-tls = somewhere", "or off"}},
        {"certificate = /c", {"c.conf:", "certificate-key", "both or neither"}},
        {"certificate = c.pem", {"c.conf:4:", "certificate = c.pem", "absolute path"}},
        {"stun-alternate-port = 0", {"c.conf:4:", "stun-alternate-port = 0", "1 to 65535, or off"}},
        {"stun-alternate-port = 70000", {"c.conf:4:", "stun-alternate-port", "1 to 65535"}},
        {"stun-alternate-port = 4500", {"c.conf:", "the port of listen", "another one"}},
        {"stun-alternate-address = ::", {"c.conf:4:", "stun-alternate-address", "second IPv4"}},
        {"stun-alternate-address = 192.0.2.1", {"c.conf:", "= 192.0.2.1", "not the same"}},
        {"stun-alternate-address = 2001:db8::1", {"c.conf:", "2001:db8::1", "the same family"}},
        {"dns = 0.0.0.0:99999", {"c.conf:4:", "dns = 0.0.0.0:99999", "or off"}},
        {"dns = on", {"c.conf:4:", "dns = on", "or off"}},
        {"key = connector.key", {"c.conf:4:", "key = connector.key", "absolute path"}},
        {"database = hosts.db", {"c.conf:4:", "database = hosts.db", "absolute path"}},
        {"sessions = 0", {"c.conf:4:", "sessions = 0", "1 to 2000000"}},
        {"sessions = 2000001", {"c.conf:4:", "sessions = 2000001", "1 to 2000000"}},
        {"sessions = -1", {"c.conf:4:", "sessions = -1", "1 to 2000000"}},
        {"sessions-per-site = 0", {"c.conf:4:", "sessions-per-site = 0", "1 to 2000000"}},
        {"sessions-per-address = 5x", {"c.conf:4:", "sessions-per-address = 5x", "1 to 2000000"}},
        {"log = loud", {"c.conf:4:", "log = loud", "error, warn, info or debug"}},
        {"name-server = 192.0.2.1", {"c.conf:4:", "name-server = 192.0.2.1", "ns.example.net"}},
        {"[host]", {"c.conf:4:", "there is no section [host]", "[connector]"}},
        {"nonsense", {"c.conf:4:", "key = value", ""}},
        {"user = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", {"c.conf:4:", "user", "a user"}},
        {"socket = /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         {"c.conf:", "socket", "at most 107"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct connector_config config;
        char text[512];
        int error;
        snprintf(text, sizeof text, GOOD "%s\n", cases[i].line);
        char *report = parse(text, &error, &config);
        assert_int_equal(error, ERR_INVALID);
        for (size_t j = 0; j < 3; j++) {
            if (strstr(report, cases[i].says[j]) == NULL)
                fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].line, report,
                         cases[i].says[j]);
        }
        free(report);
    }
}

static void test_missing(void **state)
{
    struct connector_config config;
    int error;
    char *report = parse("[connector]\n", &error, &config);
    assert_int_equal(error, ERR_INVALID);
    assert_non_null(strstr(report, "zone is missing"));
    assert_non_null(strstr(report, "address is missing"));
    free(report);
    report = parse("[connector]\nzone = z.example\naddress = 0.0.0.0\n", &error, &config);
    assert_int_equal(error, ERR_INVALID);
    assert_non_null(strstr(report, "c.conf:3:"));
    free(report);
}

static void test_zone_leaves_room(void **state)
{
    struct connector_config config;
    int error;
    char text[512], zone[254];
    for (size_t i = 0; i < 253; i++)
        zone[i] = i % 32 == 31 ? '.' : 'a';
    zone[190] = '\0';
    snprintf(text, sizeof text, "[connector]\nzone = %.170s\naddress = 192.0.2.1\n", zone);
    free(parse(text, &error, &config));
    assert_int_equal(error, ERR_OK);
    /* 190 is too long; the parser of lines must not get in the way. */
    snprintf(text, sizeof text, "[connector]\nzone=%.190s\naddress=192.0.2.1\n", zone);
    char *report = parse(text, &error, &config);
    assert_int_equal(error, ERR_INVALID);
    assert_non_null(strstr(report, "too long"));
    free(report);
}

static void test_unreadable(void **state)
{
    struct connector_config config;
    char *report = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&report, &len);
    assert_int_equal(connector_config_load("/nonexistent/c.conf", &config, stream), ERR_INVALID);
    fclose(stream);
    assert_non_null(strstr(report, "/nonexistent/c.conf: cannot be read"));
    free(report);
}

static void test_fixed_change(void **state)
{
    static const struct {
        const char *line;
        const char *key; /* NULL: may change while running */
    } cases[] = {
        {"", NULL},
        {"strict = yes\ndynamic = no\nlease = 40s\nsessions = 9\nlog = warn\n", NULL},
        {"listen = 0.0.0.0:4501\n", "listen"},
        {"stun-alternate-port = off\n", "stun-alternate-port"},
        {"stun-alternate-port = 9\n", "stun-alternate-port"},
        {"stun-alternate-address = 192.0.2.9\n", "stun-alternate-address"},
        {"dns = off\n", "dns"},
        {"dns = 0.0.0.0:54\n", "dns"},
        {"key = /k\n", "key"},
        {"database = /d\n", "database"},
        {"socket = /s\n", "socket"},
        {"user = u\n", "user"},
        {"name-server = n.example\n", "name-server"},
    };
    struct connector_config a, b;
    int error;
    free(parse(GOOD, &error, &a));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, GOOD "%s", cases[i].line);
        free(parse(text, &error, &b));
        assert_int_equal(error, ERR_OK);
        const char *key = connector_config_fixed_change(&a, &b);
        if (cases[i].key == NULL)
            assert_null(key);
        else
            assert_string_equal(key, cases[i].key);
    }
    free(parse("[connector]\nzone = y.example\naddress = 192.0.2.1\n", &error, &b));
    assert_string_equal(connector_config_fixed_change(&a, &b), "zone");
    free(parse("[connector]\nzone = z.example\naddress = 192.0.2.2\n", &error, &b));
    assert_string_equal(connector_config_fixed_change(&a, &b), "address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_address_from_listen),
        cmocka_unit_test(test_address_of_each_family),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_zone_leaves_room),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_fixed_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
